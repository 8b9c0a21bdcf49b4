"""Files at any depth, found by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from facial_r1.data.sources.pictures import PictureIndex, files_below, find_below, is_picture
from tests.data.sources.layouts_au import picture


def test_the_longest_common_path_wins(tmp_path: Path) -> None:
    for side in ("train", "eval"):
        picture(tmp_path / side / "images/a.jpg")
    assert PictureIndex([tmp_path]).find("FABA/eval/images/a.jpg") == str(tmp_path / "eval/images/a.jpg")


def test_the_same_ending_wins(tmp_path: Path) -> None:
    picture(tmp_path / "1/a.png")
    picture(tmp_path / "2/a.jpg")
    assert PictureIndex([tmp_path]).find("a.jpg") == str(tmp_path / "2/a.jpg")


def test_nested_roots_list_a_picture_once(tmp_path: Path) -> None:
    picture(tmp_path / "in/a.jpg")
    index = PictureIndex([tmp_path / "in", tmp_path])
    assert (index.find("a.jpg"), index.count, index.ambiguous) == (str(tmp_path / "in/a.jpg"), 1, set())


@pytest.mark.parametrize("name", ["", "/", "b.jpg", "./"])
def test_names_of_nothing_are_not_found(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "a.jpg")
    assert PictureIndex([tmp_path]).find(name) is None


@pytest.mark.parametrize(
    ("name", "is_one"), [("a.JPG", True), ("a.txt", False), ("._a.jpg", False), ("jpg", False), ("a.b.png", True)]
)
def test_what_a_picture_is(name: str, is_one: bool) -> None:
    assert is_picture(name) == is_one


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    picture(tmp_path / "a/face.jpg")
    (tmp_path / "a/back").symlink_to(tmp_path)
    assert [name for _, name in files_below(tmp_path)] == ["face.jpg"]


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    picture(tmp_path / "far/face.jpg")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link").symlink_to(tmp_path / "far")
    assert list(files_below(tmp_path / "root")) == [(str(tmp_path / "root/link"), "face.jpg")]


def test_the_nearest_is_found_without_regard_to_case(tmp_path: Path) -> None:
    for folder in ("a/b/ActionUnit_Labels", "z/actionunit_labels"):
        (tmp_path / folder).mkdir(parents=True)
    assert find_below(tmp_path, "ActionUnit_Labels") == tmp_path / "z/actionunit_labels"


def test_too_deep_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "a/b/c/wanted").mkdir(parents=True)
    assert find_below(tmp_path, "wanted") is None
