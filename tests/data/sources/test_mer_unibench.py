"""The sets of MER-UniBench as clips that a model can answer: one by one, and all nine below one folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facial_r1.data import load_data
from facial_r1.data.sources import read_source
from facial_r1.data.sources.registry import checked_options
from facial_r1.data.unibench import NINE, SETS, read_truths
from facial_r1.errors import InputError
from tests.data.benchmark import CORPORA, FOLDERS, clips_of, frames, owners
from tests.data.media.made import tone, write_sound, write_video

SENTIMENT = ("cmumosi", "cmumosei", "sims", "simsv2")


@pytest.mark.parametrize("name", SENTIMENT)
def test_a_sentiment_set_has_numbers_and_no_words(tmp_path: Path, name: str):
    owners(tmp_path, [name])
    frames(tmp_path, [name])
    reading = read_source("mer", tmp_path / FOLDERS[name], set=name)
    assert [row.id for row in reading.records] == [f"{name}/a", f"{name}/b"], "the test part alone"
    assert {row.meta_info["clip"]: row.meta_info["val"] for row in reading.records} == {
        clip: pytest.approx(float(facts["val"])) for clip, facts in CORPORA[name].items()
    }
    assert all(row.labels == () and row.AUs is None and row.description == "" for row in reading.records)
    assert {row.dataset for row in reading.records} == {name} and {row.split for row in reading.records} == {"test"}
    assert reading.official == {"test": SETS[name].clips} and not reading.excluded


def test_transcripts_are_the_owners(tmp_path: Path):
    owners(tmp_path, ["sims"])
    frames(tmp_path, ["sims"])
    for language, expected in (("english", ["Hello.", "好"]), ("chinese", ["你好", "好"])):
        reading = read_source("mer", tmp_path / FOLDERS["sims"], set="sims", language=language)
        assert [row.transcript for row in reading.records] == expected


def test_clips_of_a_sentiment_set_as_video_and_sound_or_faces(tmp_path: Path):
    folder = owners(tmp_path, ["cmumosi"]) / FOLDERS["cmumosi"]
    for clip in ("a", "b"):
        write_video(folder / "subvideo" / f"{clip}.mp4", 3)
        write_sound(folder / "subaudio" / f"{clip}.wav", tone(0.3))
        (folder / "openface_face" / clip).mkdir(parents=True)
        np.save(folder / "openface_face" / clip / f"{clip}.npy", np.zeros((4, 8, 8, 3), np.uint8))
    for media, ending in (("video", "subvideo/a.mp4"), ("faces", "openface_face/a/a.npy")):
        first = read_source("mer", folder, set="cmumosi", media=media).records[0]
        assert first.video.endswith(ending) and first.audio.endswith("subaudio/a.wav") and first.meta_info["val"] == 1.8


def test_the_nine_are_read_below_one_folder(tmp_path: Path):
    frames(owners(tmp_path))
    reading = read_source("mer", tmp_path, set="mer_unibench")
    rows = reading.records
    assert not reading.problems and reading.official == {"test": 12_799}
    assert list(dict.fromkeys(row.dataset for row in rows)) == list(NINE)
    assert [row.id for row in rows] == [f"{name}/{clip}" for name in NINE for clip in clips_of(name)]
    for name in NINE:
        truths = read_truths(name, tmp_path / SETS[name].files[0])
        assert [row.meta_info["clip"] for row in rows if row.dataset == name] == list(truths), (
            "every clip that is scored is asked"
        )
    by_id = {row.id: row for row in rows}
    assert by_id["ovmerdplus/b"].labels == ("neutral",), "no label is neutral, as the benchmark reads it"
    assert by_id["meld/a"].labels == ("joy",) and by_id["simsv2/b"].meta_info["val"] == -0.8
    assert by_id["ovmerdplus/a"].transcript == "Well." and by_id["sims/a"].transcript == "Hello."
    assert any(note.startswith("meld: 2 clips have no transcript") for note in reading.notes)


def test_rows_survive_the_cache_and_the_open_protocol(tmp_path: Path):
    frames(owners(tmp_path / "sets"))
    values = {"kind": "source", "source": "mer", "root": str(tmp_path / "sets"), "options": {"set": "mer_unibench"}}
    data = load_data(values | {"cache": str(tmp_path / "cache"), "protocol": {"name": "open"}}, need=("test",))
    found = {row.id: row for row in data.test}
    assert len(found) == 18 and found["cmumosi/a"].meta_info == {"clip": "a", "val": 1.8} and found["cmumosi/a"].labels == ()


def test_sets_that_are_not_there_are_left_out_and_said(tmp_path: Path):
    some = ["meld", "sims"]
    frames(owners(tmp_path, some), some)
    reading = read_source("mer", tmp_path, set="mer_unibench")
    assert {row.dataset for row in reading.records} == {"meld", "sims"} and reading.official == {"test": 2610 + 457}
    assert any("left out of MER-UniBench: mer2023 (mer2023-dataset-process/)" in note for note in reading.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "none of the folders of MER-UniBench is there: mer2023"),
        (
            {"labels": "label.npz"},
            r"data\.options\.labels=label\.npz: set=mer_unibench reads the folders of nine owners; leave it null",
        ),
        ({"subtitles": "/x.csv"}, r"data\.options\.subtitles=/x\.csv.*as it is called in each owner's folder"),
    ],
)
def test_what_cannot_be_read_as_nine_sets_is_refused(tmp_path: Path, options: dict[str, str], message: str):
    with pytest.raises(InputError, match=message):
        read_source("mer", tmp_path, set="mer_unibench", **options)


def test_a_folder_without_its_label_file_or_media_is_refused(tmp_path: Path):
    owners(tmp_path, ["meld", "sims"])
    frames(tmp_path, ["meld"])
    with pytest.raises(InputError, match=r"sims-process: there is no folder of frames"):
        read_source("mer", tmp_path, set="mer_unibench")
    (tmp_path / SETS["sims"].files[0]).unlink()
    with pytest.raises(InputError, match=r"sims-process/ has no label file of sims \(sims-process/label\.npz\)"):
        read_source("mer", tmp_path, set="mer_unibench")


def test_the_label_file_of_the_benchmark_is_preferred(tmp_path: Path):
    """Owners' folders hold other label files too, and the first in the alphabet may be one of them."""
    folder = owners(tmp_path, ["mer2023"]) / FOLDERS["mer2023"]
    frames(tmp_path, ["mer2023"])
    (folder / "label-10way.npz").write_bytes(b"another")
    assert len(read_source("mer", folder, set="mer2023").records) == 2


def test_an_unknown_set_is_refused():
    with pytest.raises(InputError, match=r"data\.options\.set=cmu_mosi: input should be .*'cmumosi'"):
        checked_options("mer", {"set": "cmu_mosi"})
