"""Records with video, sound and words: read, written, narrowed to what a job wants, named by content."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from facial_r1 import runs
from facial_r1.config.compose import compose_tree
from facial_r1.config.paths import conf_dir
from facial_r1.config.resolved import plain
from facial_r1.config.schema import Data as DataConfig
from facial_r1.data import Record, load_data, load_records
from facial_r1.data.records import fingerprint
from facial_r1.errors import InputError
from tests.data.media.made import tone, write_sound, write_video

ROW = {"id": "1", "dataset": "d", "question": "", "AUs": None, "labels": ["fear"], "description": "", "meta_info": {}}


@pytest.fixture
def clips(folder):
    """`loud.mp4` with sound, `mute.mp4` without, `voice.wav`."""
    write_video(folder.path / "loud.mp4", 4, sound=tone(0.4))
    write_video(folder.path / "mute.mp4", 5)
    write_sound(folder.path / "voice.wav", tone(0.3))
    return folder


def load(folder, *rows: dict, **settings) -> list[Record]:
    listed = [{"labels": ["fear"], "id": str(place), **row} for place, row in enumerate(rows)]
    file = folder.rows("rows.jsonl", listed)
    data = load_data({"files": [str(file)], "split": {"test": 0.0}, **settings}, need=("train",))
    return sorted(data.train, key=lambda record: record.id)


def test_published_clip_survives_a_round_trip(clips):
    row = ROW | {"video": "mute.mp4", "audio": "voice.wav", "transcript": "Well."}
    [record] = load_records(clips.rows("a.jsonl", [row]))
    assert (record.images, record.video, record.audio) == ((), str(clips.path / "mute.mp4"), str(clips.path / "voice.wav"))
    assert record.to_json(relative_to=clips.path) == row


def test_media_stand_beside_pictures(clips):
    row = ROW | {"image": "images/face.png", "video": "mute.mp4"}
    [record] = load_records(clips.rows("a.jsonl", [row]))
    assert record.images and record.video and record.to_json(relative_to=clips.path) == row


def test_files_are_found_in_folders_named_after_their_kind(clips):
    for name, folder in (("mute.mp4", "videos"), ("voice.wav", "audio")):
        (clips.path / folder).mkdir()
        shutil.move(clips.path / name, clips.path / folder / name)
    [record] = load(clips, {"video": "mute.mp4", "audio": "voice.wav"})
    assert record.video.endswith("videos/mute.mp4") and record.audio.endswith("audio/voice.wav")


def test_the_sound_of_a_video_is_used_unless_the_row_has_its_own(clips):
    rows = load(clips, {"video": "loud.mp4"}, {"video": "loud.mp4", "audio": "voice.wav"}, {"video": "mute.mp4"})
    assert [Path(row.audio).name for row in rows] == ["loud.mp4", "voice.wav", ""]
    assert rows[0].to_json()["audio"] == "video"
    [again] = load_records(clips.rows("again.jsonl", [rows[0].to_json()]))
    assert again.audio == rows[0].audio


@pytest.mark.parametrize(
    ("modalities", "left"),
    [
        (None, ("loud.mp4", "loud.mp4", "Well.")),
        (["video"], ("loud.mp4", "", "")),
        (["audio"], ("", "loud.mp4", "")),
        (["text"], ("", "", "Well.")),
        (["video", "text"], ("loud.mp4", "", "Well.")),
        (["audio", "video"], ("loud.mp4", "loud.mp4", "")),
    ],
)
def test_a_job_sees_hears_and_reads_what_it_asks_for(clips, modalities, left):
    [row] = load(clips, {"video": "loud.mp4", "transcript": "Well."}, modalities=modalities)
    assert (Path(row.video).name, Path(row.audio).name, row.transcript) == left


def test_a_row_of_words_alone_is_a_row(clips):
    rows = load(clips, {"transcript": "Well."}, {"audio": "voice.wav"}, {"image": "images/face.png"})
    assert [bool(row.images or row.video or row.audio) for row in rows] == [False, True, True]


def test_a_row_without_what_is_asked_for_is_a_problem(clips):
    with pytest.raises(InputError, match=r"rows.jsonl:1: .*none of data.modalities=\[audio\]"):
        load(clips, {"image": "images/face.png"}, modalities=["audio"])


def test_length_is_bounded_by_the_settings(clips):
    with pytest.raises(InputError, match=r"more than data.video.max_seconds=0.2"):
        load(clips, {"video": "mute.mp4"}, video={"max_seconds": 0.2})
    with pytest.raises(InputError, match=r"more than data.audio.max_seconds=0.1"):
        load(clips, {"video": "loud.mp4"}, audio={"max_seconds": 0.1})
    assert load(clips, {"video": "loud.mp4"}, audio={"max_seconds": 0.1}, modalities=["video"])


def test_the_fingerprint_is_of_content_and_not_of_place(clips, tmp_path: Path):
    [record] = load_records(clips.rows("a.jsonl", [ROW | {"video": "mute.mp4"}]))
    shutil.copy(clips.path / "mute.mp4", tmp_path / "b.mp4")
    moved = Record(**{name: getattr(record, name) for name in Record.__slots__} | {"video": str(tmp_path / "b.mp4")})
    assert fingerprint([record]) == fingerprint([moved])
    write_video(tmp_path / "b.mp4", 9)
    assert fingerprint([record]) != fingerprint([moved])


def test_the_fingerprint_of_pictures_is_what_it_was(folder):
    """The value was taken before records knew of clips."""
    record = Record("1", "d", ("/nowhere.png",), "q", ("AU12",), ("happiness",), transcript="t", extra={"more": 1})
    assert fingerprint([record]) == "fe1185b8ab413c75b93f4f10c219c63181c71dcdd9be0b59b946f3b18b14fb07"


def test_the_same_clip_on_both_sides_is_a_leak(clips):
    shutil.copy(clips.path / "mute.mp4", clips.path / "copy.mp4")
    train = clips.rows("train.jsonl", [{"video": "mute.mp4", "labels": ["fear"]}, {"video": "loud.mp4", "labels": ["fear"]}])
    test = clips.rows("test.jsonl", [{"video": "copy.mp4", "labels": ["fear"]}])
    settings = {"files": [str(train)], "test_files": [str(test)], "leaks": "perceptual"}
    assert [Path(leak.train).name for leak in load_data(settings).leaks] == ["mute.mp4"]
    assert len(load_data(settings | {"deduplicate": True}).train) == 1


def test_clips_without_subjects_are_divided_one_by_one(clips):
    rows = [{"video": "mute.mp4", "transcript": "a"}, {"video": "loud.mp4"}, {"audio": "voice.wav"}, {"transcript": "b"}]
    file = clips.rows("rows.jsonl", [{"labels": ["fear"], **row} for row in rows])
    data = load_data({"files": [str(file)], "split": {"test": 0.25}})
    assert (len(data.train), len(data.test)) == (3, 1)


def test_loading_pictures_imports_nothing_of_this(folder):
    import json
    import subprocess
    import sys

    file = folder.rows("a.jsonl", [{"image": "images/face.png", "labels": ["fear"]}])
    code = (
        "import sys, json\nfrom facial_r1.data import load_records\n"
        f"load_records({str(file)!r})\nprint(json.dumps([m for m in ('av', 'numpy', 'torch') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_runs_on_pictures_are_named_as_before():
    """Keys of clips stand in the files of clips alone: what is composed for other data, and so the run's name, has none of them."""
    about_clips = {"clips", "mer_clips", "schematic_clips"}
    for path in sorted((conf_dir() / "data").glob("*.yaml")):
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = {"modalities", "video", "audio", "clips"} & values.keys()
        assert bool(found) == (path.stem in about_clips), path.stem
    tree = plain(compose_tree(["data=schematic"]))
    assert not {"modalities", "video", "audio", "clips"} & runs.asked(tree)["data"].keys()


def test_settings_of_clips_are_what_the_loader_takes():
    values = plain(compose_tree(["data=clips", "data.files=[a.jsonl]", "data.video.frames=4", "data.modalities=[video,text]"]))[
        "data"
    ]
    config = DataConfig(**values)
    assert (config.video.frames, config.modalities, config.audio.rate) == (4, ["video", "text"], 16_000)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"modalities": []}, "nothing would be left"),
        ({"modalities": ["video", "video"]}, "named twice"),
        ({"modalities": ["smell"]}, "Input should be"),
        ({"video": {"sampling": "rate"}}, "sampling=rate needs a rate"),
        ({"video": {"rate": 2.0}}, "rate=2.0 is for sampling=rate"),
        ({"video": {"frames": 99}}, "above max_frames=64"),
        ({"video": {"frame": 4}}, "frame"),
        ({"audio": {"rate": 10}}, "greater than or equal to 1000"),
        ({"clips": {}}, "clips are for drawn clips"),
    ],
)
def test_impossible_settings_are_refused(folder, settings: dict, reason: str):
    with pytest.raises(InputError, match=reason):
        load_data({"files": [str(folder.faces("a.jsonl", 4))], **settings})
