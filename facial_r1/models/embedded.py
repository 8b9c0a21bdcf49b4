"""The checkpoints that come with the package, by the value of ``model.source`` that stands for them. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from facial_r1.models import tiny, tiny_omni

FOLDERS: Mapping[str, Path] = {tiny.SOURCE: tiny.WEIGHTS, tiny_omni.SOURCE: tiny_omni.WEIGHTS}
"""Folder of each embedded checkpoint, in the layout of ``save_pretrained``."""


def resolved(source: str | Path) -> str:
    """The folder of an embedded checkpoint; any other source as it is.

    >>> resolved("Qwen/Qwen2.5-Omni-7B")
    'Qwen/Qwen2.5-Omni-7B'
    """
    return str(FOLDERS.get(str(source), source))
