"""Putting a trained model or a written dataset on the Hugging Face Hub, when somebody asks for it and only then. Imports no torch."""

from __future__ import annotations
