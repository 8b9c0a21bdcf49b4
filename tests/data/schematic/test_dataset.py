"""The drawn faces on disk: complete, reproducible, restartable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facial_r1.data.schematic import contact_sheet, draw, face, materialise
from facial_r1.data.schematic.contact_sheet import ORDER, selection
from facial_r1.data.schematic.dataset import CARD
from facial_r1.data.schematic.faces import TRAIN_PEOPLE
from facial_r1.errors import InputError

SMALL: dict[str, Any] = {"seed": 5, "train": 140, "test": 42, "instructions": 21}


def rows(folder: Path, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("drawn") / "faces"
    materialise(target, **SMALL)
    return target


def test_every_row_has_its_picture(folder: Path) -> None:
    for split, count in (("train", 140), ("test", 42)):
        found = rows(folder, split)
        assert len(found) == len({row["id"] for row in found}) == count
        for row in found:
            with Image.open(folder / row["image"]) as picture:
                assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (112, 112))


def test_pictures_are_those_of_the_faces(folder: Path) -> None:
    for number in (0, 63, 64, 139):
        expected = np.asarray(draw(face(5, number, TRAIN_PEOPLE)))
        assert np.array_equal(np.asarray(Image.open(folder / f"images/train/{number:06d}.png")), expected)


def test_rows_have_the_published_fields(folder: Path) -> None:
    required = {"id", "dataset", "image", "question", "AUs", "labels", "description", "meta_info", "subject", "split"}
    for split in ("train", "test"):
        for row in rows(folder, split):
            assert set(row) == required
            assert (row["dataset"], row["split"], len(row["labels"])) == ("schematic", split, 1)
            assert list(row["meta_info"]["intensities"]) == row["AUs"]


def test_three_questions_are_asked(folder: Path) -> None:
    assert len({row["question"] for row in rows(folder, "train")}) == 3


def test_only_the_first_training_rows_are_described(folder: Path) -> None:
    described = [bool(row["description"]) for row in rows(folder, "train")]
    assert described == [True] * 21 + [False] * 119
    assert all(row["description"].startswith("<think>") for row in rows(folder, "test"))


def test_splits_share_no_subject(folder: Path) -> None:
    subjects = {split: {row["subject"] for row in rows(folder, split)} for split in ("train", "test")}
    assert not subjects["train"] & subjects["test"]


def test_splits_share_no_expression(folder: Path) -> None:
    poses = {split: {json.dumps(row["meta_info"]["pose"]) for row in rows(folder, split)} for split in ("train", "test")}
    assert not poses["train"] & poses["test"]


def test_card_counts_what_is_there(folder: Path) -> None:
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    assert card["splits"]["train"]["emotions"] == dict.fromkeys(sorted(ORDER), 20)
    assert card["splits"]["test"]["emotions"] == dict.fromkeys(sorted(ORDER), 6)
    assert card["splits"]["train"]["described"] == 21
    counted = sum("AU12" in row["AUs"] for row in rows(folder, "train"))
    assert card["splits"]["train"]["AUs"]["AU12"] == counted


def test_number_of_workers_does_not_matter(folder: Path, tmp_path: Path) -> None:
    other = materialise(tmp_path / "two", workers=2, **SMALL)
    assert other == json.loads((folder / CARD).read_text(encoding="utf-8"))
    for split in ("train", "test"):
        assert (tmp_path / "two" / f"{split}.jsonl").read_bytes() == (folder / f"{split}.jsonl").read_bytes()


def test_longer_data_sets_begin_with_the_shorter_one(folder: Path, tmp_path: Path) -> None:
    materialise(tmp_path / "short", seed=5, train=30, test=7, instructions=21)
    assert rows(tmp_path / "short", "train") == rows(folder, "train")[:30]


def test_another_seed_gives_another_fingerprint(tmp_path: Path) -> None:
    cards = [materialise(tmp_path / str(seed), seed=seed, train=14, test=7, instructions=7) for seed in (1, 2)]
    assert cards[0]["fingerprint"] != cards[1]["fingerprint"]


def test_complete_folder_is_reused(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    card = materialise(folder, **SMALL)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert card == json.loads((folder / CARD).read_text(encoding="utf-8"))


@pytest.mark.parametrize("damage", ["image", "row", "card", "half"])
def test_incomplete_folder_is_drawn_again(damage: str, tmp_path: Path) -> None:
    target = tmp_path / "faces"
    settings = {"seed": 1, "train": 14, "test": 7, "instructions": 7}
    card = materialise(target, **settings)
    if damage == "image":
        (target / "images/train/000003.png").unlink()
    elif damage == "row":
        text = (target / "train.jsonl").read_text(encoding="utf-8")
        (target / "train.jsonl").write_text(text[: len(text) // 2], encoding="utf-8")
    elif damage == "card":
        (target / CARD).unlink()
    else:
        (target / CARD).write_text("{", encoding="utf-8")
    assert materialise(target, **settings) == card
    assert len(rows(target, "train")) == len(list((target / "images/train").glob("*.png"))) == 14


def test_other_settings_replace_the_folder(tmp_path: Path) -> None:
    target = tmp_path / "faces"
    materialise(target, seed=1, train=14, test=7, instructions=7)
    materialise(target, seed=1, train=7, test=7, instructions=7)
    assert len(list((target / "images/train").iterdir())) == 7


def test_killed_run_leaves_no_folder_and_is_taken_up(tmp_path: Path) -> None:
    target = tmp_path / "faces"
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom facial_r1.data.schematic import materialise\n"
        "def stop(done, total):\n    if done >= 64: os._exit(9)\n"
        f"materialise(Path({str(target)!r}), seed=5, train=140, test=42, instructions=21, progress=stop)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert killed.returncode == 9
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1, "the killed run's unfinished folder"
    materialise(target, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]
    assert len(rows(target, "train")) == 140


def test_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(done: int, total: int) -> None:
        raise RuntimeError(f"{done} of {total}")

    with pytest.raises(RuntimeError, match="64 of 182"):
        materialise(tmp_path / "faces", progress=fail, **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_files_of_somebody_else_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        materialise(tmp_path, **SMALL)
    assert (tmp_path / "thesis.tex").read_text(encoding="utf-8") == "years of work"


@pytest.mark.parametrize(
    ("name", "value"), [("seed", -1), ("train", 0), ("test", -1), ("instructions", 141), ("size", 8), ("workers", 0)]
)
def test_impossible_settings_are_refused(name: str, value: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=name):
        materialise(tmp_path / "faces", **{**SMALL, name: value})
    assert list(tmp_path.iterdir()) == []


def test_contact_sheet_of_faces_and_of_records_have_one_layout(folder: Path) -> None:
    faces = [face(5, number, TRAIN_PEOPLE) for number in range(5)]
    drawn = contact_sheet(faces, columns=3)
    opened = contact_sheet(rows(folder, "train")[:5], columns=3, root=folder)
    assert drawn.size == opened.size == (3 * 120 + 8, 2 * 150 + 8)
    assert np.array_equal(np.asarray(drawn), np.asarray(opened))


def test_selection_shows_every_emotion_and_each_person_once() -> None:
    faces = selection(rows=3)
    assert [one.emotion for one in faces] == list(ORDER) * 3
    assert len({one.person for one in faces}) == 21
