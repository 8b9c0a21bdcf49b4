"""A small dataset on disk that each test may spoil in its own way."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


class Folder:
    """A folder with images and data files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.images = path / "images"
        self.images.mkdir(parents=True, exist_ok=True)

    def image(self, name: str, colour: tuple[int, int, int] = (120, 130, 140)) -> Path:
        """A tiny image; its size depends on nothing."""
        path = self.images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 5), colour).save(path)
        return path

    def rows(self, name: str, rows: Iterable[Mapping[str, Any] | str]) -> Path:
        """A JSONL file; rows given as text are written as they are."""
        path = self.path / name
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    def faces(self, name: str, count: int, **fields: Any) -> Path:
        """A JSONL file of `count` sound rows of people with four faces each, with images of their own."""
        stem = name.split(".")[0]
        rows = []
        for index in range(count):
            image = f"{stem}/{index}.png"
            self.image(image, (index % 256, index // 256, sum(stem.encode()) % 256))
            row = {
                "id": f"{stem}{index}",
                "dataset": stem,
                "image": image,
                "question": "",
                "AUs": ["AU6", "AU12"],
                "labels": ["happiness"],
                "description": "",
                "meta_info": {},
                "subject": f"{stem}-{index // 4}",
            }
            rows.append(row | {key: value(index) if callable(value) else value for key, value in fields.items()})
        return self.rows(name, rows)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty dataset folder with one image, `face.png`."""
    made = Folder(tmp_path / "set")
    made.image("face.png")
    return made
