"""The sets of MER and OV-MER: sides that do not overlap, frames at equal distances, words as their owners wrote them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facial_r1.data.sources import read_source
from facial_r1.data.sources.mer import frames_of
from facial_r1.errors import InputError


def frames(root: Path, *names: str, count: int = 3) -> None:
    for name in names:
        (root / "frames" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(root / "frames" / name / f"{number:04d}.jpg")


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")


def test_rl_clips_are_without_those_of_the_test(tmp_path: Path):
    frames(tmp_path, "a", "b", "c")
    write(tmp_path, "track2_train_human.csv", 'name,openset\na,"shocked,care"\nb,"Calm"\nc,\n')
    write(tmp_path, "ovmerdplus_names.csv", "name\na\nz\n")
    write(tmp_path, "subtitle_chieng.csv", "name,chinese,english\nb,你好,\n")
    reading = read_source("mer", tmp_path, set="mer_ov")
    (row,) = reading.records
    assert (row.id, row.labels, row.split, row.transcript) == ("mer_ov/b", ("calm",), "train", "你好")
    assert reading.excluded == {"is in OV-MERD+": 1, "no label": 1}
    (tmp_path / "ovmerdplus_names.csv").unlink()
    with pytest.raises(InputError, match="must not be trained on"):
        read_source("mer", tmp_path, set="mer_ov")


@pytest.mark.parametrize(("overlapping", "kept"), [("note", ["a", "b"]), ("exclude", ["b"])])
def test_the_cold_start_says_which_clips_people_labelled(tmp_path: Path, overlapping: str, kept: list[str]):
    frames(tmp_path, "a", "b")
    write(tmp_path, "track2_train_mercaptionplus.csv", 'name,openset\na,"[concern, pessimism]"\nb,"[happy]"\n')
    write(tmp_path, "track3_train_mercaptionplus.csv", "name,reason\na,He frowns.\nb,She  laughs.\n")
    write(tmp_path, "track2_train_human.csv", "name,openset\na,sad\n")
    reading = read_source("mer", tmp_path, set="mercaptionplus", overlapping=overlapping)
    assert [row.meta_info["clip"] for row in reading.records] == kept
    assert reading.records[-1].description == "<think>She laughs.</think><answer>happy</answer>"
    assert any("1 of 2 clips are labelled by people" in note for note in reading.notes)


def test_ov_merd_is_a_test_set_and_a_clip_without_frames_is_a_problem(tmp_path: Path):
    frames(tmp_path, "a")
    write(tmp_path, "check-openset.csv", "name,openset\na,\"['At ease', 'happy']\"\nb,\"['sad']\"\n")
    reading = read_source("mer", tmp_path, set="ovmerd", frames=2)
    (row,) = reading.records
    assert row.labels == ("at ease", "happy") and row.split == "test" and len(row.images) == 2
    (problem,) = reading.problems
    assert problem.line == 3 and "'b' has no frames" in problem.reason


@pytest.mark.parametrize(
    ("which", "part", "corpus", "expected"),
    [
        ("mer2023", "test1_corpus", {"a": {"emo": "worried", "val": -10}}, ("worried",)),
        ("meld", "test_corpus", {"a": {"emo": 1, "val": -10}}, ("joy",)),
        ("iemocap", "whole_corpus", {"Ses05x": {"emo": 3, "val": 0}, "Ses01x": {"emo": 0, "val": 0}}, ("anger",)),
    ],
)
def test_label_archives_of_mer_unibench(tmp_path: Path, which: str, part: str, corpus: dict, expected: tuple[str, ...]):
    frames(tmp_path, *corpus)
    np.savez(tmp_path / "label-6way.npz", **{part: np.array(corpus, dtype=object)})
    (row,) = read_source("mer", tmp_path, set=which).records
    assert row.labels == expected and row.split == "test"


def test_frames_are_taken_at_equal_distances(tmp_path: Path):
    frames(tmp_path, "a", count=9)
    names = [Path(path).stem for path in frames_of(tmp_path / "frames", "a", 3)]
    assert names == ["0000", "0004", "0008"]
    assert len(frames_of(tmp_path / "frames", "a", 20)) == 9 and frames_of(tmp_path / "frames", "b", 3) == ()
