"""The sets of MER and OV-MER: sides that do not overlap, frames at equal distances, words as their owners wrote them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facial_r1.data import load_data
from facial_r1.data.sources import read_source
from facial_r1.data.sources.mer import frames_of
from facial_r1.errors import InputError
from tests.data.media.made import tone, write_sound, write_video


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


def clips(root: Path, *names: str, folder: str = "video", suffix: str = "mp4", sound: bool = False) -> None:
    for name in names:
        write_video(root / folder / f"{name}.{suffix}", 3, sound=tone(0.3) if sound else None)


def test_clips_as_video_and_sound_files(tmp_path: Path):
    clips(tmp_path, "a", "b", folder="ovmerdplus-process/video")
    for name in ("a", "b"):
        write_sound(tmp_path / f"ovmerdplus-process/audio/{name}.wav", tone(0.3))
    write(tmp_path, "ovmerdplus-process/ovlabel.csv", "name,openset\na,\"['sad']\"\nb,\"['happy']\"\nc,\"['calm']\"\n")
    write(tmp_path, "ovmerdplus-process/subtitle_eng.csv", "name,sentence\na,Well.\n")
    reading = read_source("mer", tmp_path, set="ovmerdplus", media="video")
    first, _ = reading.records
    assert (Path(first.video).name, Path(first.audio).name, first.images, first.transcript) == ("a.mp4", "a.wav", (), "Well.")
    [problem] = reading.problems
    assert problem.line == 4 and "'c' has no video file" in problem.reason and "ovmerdplus-process/video/c.mp4" in problem.fix


def test_the_sound_track_takes_the_place_of_sound_files(tmp_path: Path):
    clips(tmp_path, "a", sound=True)
    write(tmp_path, "check-openset.csv", "name,openset\na,\"['sad']\"\n")
    reading = read_source("mer", tmp_path, set="ovmerd", media="video")
    assert reading.records[0].audio == "" and any("the sound tracks of the videos are used" in note for note in reading.notes)
    values = {"kind": "source", "source": "mer", "root": str(tmp_path), "options": {"set": "ovmerd", "media": "video"}}
    data = load_data(values | {"cache": str(tmp_path / "cache"), "protocol": {"name": "open"}}, need=("test",))
    assert data.test[0].audio == data.test[0].video == str(tmp_path / "video/a.mp4")


def test_a_broken_clip_is_said_with_its_label_file(tmp_path: Path):
    clips(tmp_path, "a")
    (tmp_path / "video/b.mp4").write_text("no video")
    write(tmp_path, "check-openset.csv", "name,openset\na,\"['sad']\"\nb,\"['sad']\"\n")
    values = {"kind": "source", "source": "mer", "root": str(tmp_path), "options": {"set": "ovmerd", "media": "video"}}
    values |= {"cache": str(tmp_path / "cache"), "protocol": {"name": "open"}}
    with pytest.raises(InputError, match=r"check-openset.csv:3: video: .*b.mp4: this is text"):
        load_data(values, need=("test",))
    assert len(load_data(values | {"on_error": "skip"}, need=("test",)).test) == 1


def test_arrays_of_face_crops(tmp_path: Path):
    (tmp_path / "openface_face/a").mkdir(parents=True)
    np.save(tmp_path / "openface_face/a/a.npy", np.zeros((30, 8, 8, 3), np.uint8))
    write_sound(tmp_path / "audio/a.wav", tone(0.3))
    write(tmp_path, "check-openset.csv", "name,openset\na,\"['sad']\"\n")
    [row] = read_source("mer", tmp_path, set="ovmerd", media="faces").records
    assert row.video.endswith("openface_face/a/a.npy") and row.audio.endswith("a.wav")


def test_a_set_without_videos_is_said(tmp_path: Path):
    write(tmp_path, "check-openset.csv", "name,openset\na,\"['sad']\"\n")
    with pytest.raises(InputError, match=r"there is no video/ or videos/ .*data.options.video_folder"):
        read_source("mer", tmp_path, set="ovmerd", media="video")
    (tmp_path / "video").mkdir()
    with pytest.raises(InputError, match=r"data.options.audio_folder: .*nowhere: no such folder"):
        read_source("mer", tmp_path, set="ovmerd", media="video", audio_folder="nowhere")
