"""Evaluations for other harnesses: a task folder and samples that lmms-eval reads."""

from __future__ import annotations
