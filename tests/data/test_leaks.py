"""Images on both sides: copies are found in whatever form, other faces are left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from facial_r1.data import Record
from facial_r1.data.images import digest
from facial_r1.data.leaks import describe_leaks, find_leaks, without_leaks


def photograph(seed: int, side: int = 224) -> Image.Image:
    """Soft random shapes: as different from one another as photographs of different people are."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))


def row(path: Path, dataset: str = "set") -> Record:
    return Record(path.stem, dataset, (str(path),), "", None, ("anger",))


@pytest.fixture
def original(tmp_path: Path) -> Path:
    photograph(0).save(tmp_path / "original.png")
    return tmp_path / "original.png"


def other_form(form: str, folder: Path) -> Path:
    image = photograph(0)
    path = folder / f"{form}.jpg"
    if form == "recompressed":
        image.save(path, quality=60)
    elif form == "smaller":
        image.resize((100, 100), Image.Resampling.LANCZOS).save(path, quality=90)
    elif form == "grey":
        image.convert("L").save(path, quality=95)
    elif form == "brighter":
        image.point(lambda value: min(255, int(value * 0.9 + 25))).save(path, quality=95)
    return path


def leaks(train: list[Path], test: list[Path], perceptual: bool = True):
    digests = {str(path): digest(path) for path in [*train, *test]}
    return find_leaks([row(path, "FABA") for path in train], [row(path, "AffectNet") for path in test], digests, perceptual)


@pytest.mark.parametrize("form", ["recompressed", "smaller", "grey", "brighter"])
def test_the_same_photograph_in_another_form(original: Path, tmp_path: Path, form: str):
    found = leaks([original], [other_form(form, tmp_path)])
    assert [leak.kind for leak in found] == ["perceptual"]


def test_a_copy_of_the_file_is_exact(original: Path, tmp_path: Path):
    copy = tmp_path / "copy.png"
    copy.write_bytes(original.read_bytes())
    assert [leak.kind for leak in leaks([original], [copy], perceptual=False)] == ["exact"]


def test_other_forms_are_left_alone_unless_asked_for(original: Path, tmp_path: Path):
    assert leaks([original], [other_form("recompressed", tmp_path)], perceptual=False) == []


def test_different_photographs_are_no_leaks(tmp_path: Path):
    paths = []
    for seed in range(60):
        photograph(seed, 64).save(tmp_path / f"{seed}.png")
        paths.append(tmp_path / f"{seed}.png")
    assert leaks(paths[:30], paths[30:]) == []


def test_different_drawn_faces_are_no_leaks(tmp_path: Path):
    """The hardest case there is: the same drawing style, the same pose, other people with other expressions."""
    from facial_r1.data.schematic.dataset import materialise

    materialise(tmp_path / "faces", seed=0, train=60, test=30, instructions=10, size=112)
    images = sorted((tmp_path / "faces" / "images").rglob("*.png"))
    train = [path for path in images if "train" in str(path.relative_to(tmp_path))] or images[:60]
    test = [path for path in images if path not in train]
    assert leaks(train, test) == []


def test_a_blank_picture_matches_nothing(tmp_path: Path):
    for name, shade in (("a", 10), ("b", 200)):
        Image.new("RGB", (64, 64), (shade,) * 3).save(tmp_path / f"{name}.png")
    assert leaks([tmp_path / "a.png"], [tmp_path / "b.png"]) == []


def test_train_rows_are_removed_and_test_rows_stay(original: Path, tmp_path: Path):
    other = tmp_path / "other.png"
    photograph(7).save(other)
    found = leaks([original, other], [other_form("smaller", tmp_path)])
    assert without_leaks([row(original), row(other)], found) == [row(other)]


def test_the_line_names_datasets_counts_and_the_fix(original: Path, tmp_path: Path):
    line = describe_leaks(leaks([original], [other_form("grey", tmp_path)]), 1, removed=False)
    for part in ("1 test images", "perceptual FABA / AffectNet: 1", "original.png", "data.deduplicate=true"):
        assert part in line


def test_every_copy_in_training_is_removed(original: Path, tmp_path: Path):
    copies = [original, other_form("smaller", tmp_path), other_form("grey", tmp_path)]
    found = leaks(copies, [other_form("brighter", tmp_path)])
    assert without_leaks([row(path) for path in copies], found) == []
    assert describe_leaks(found, 3, removed=True).startswith("1 test images")
