"""Sets in their owners' folders become rows of a job: converted once, kept in the cache, refused with the owner's file and line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facial_r1.config.schema import Data as DataConfig
from facial_r1.data import load_data, open_image
from facial_r1.data.prepared import Prepared, compare_counts, prepare_source
from facial_r1.errors import InputError
from tests.command import ROOT, environment
from tests.data.sources import emotion_sets as owners


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def config(name: str, root: Path, cache: Path, **more: Any) -> DataConfig:
    more.setdefault("protocol", {"name": name})
    return DataConfig(name=name, kind="source", source=name, root=str(root), cache=str(cache), **more)


def rows(prepared: Prepared, side: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in prepared.file(side).read_text(encoding="utf-8").splitlines()]


def settle(path: Path) -> None:
    """Let what was just written be older than a reading that starts now (clocks of file systems are coarse)."""
    then = time.time() - 60
    for entry in [path, *path.rglob("*")]:
        os.utime(entry, (then, then))


# --- what is written ------------------------------------------------------------------------------------------


def test_the_owners_sides_become_files_and_images_stay_where_they_are(tmp_path, cache):
    owners.raf_db(tmp_path / "raf")
    prepared = prepare_source(config("raf_db", tmp_path / "raf", cache))
    assert prepared.rows == {"train": 14, "test": 7} and not (prepared.folder / "images").exists()
    first = rows(prepared, "train")[0]
    assert first["image"] == str(tmp_path / "raf/basic/Image/aligned/train_00001_aligned.jpg")
    assert (first["AUs"], first["labels"], first["split"]) == (None, ["surprise"], "train")


def test_sets_without_sides_are_one_file(tmp_path, cache):
    owners.expw(tmp_path / "expw")
    assert prepare_source(config("expw", tmp_path / "expw", cache)).rows == {"all": 7}


def test_grey_values_become_lossless_pictures_named_by_row(tmp_path, cache):
    owners.fer2013_csv(tmp_path / "fer")
    prepared = prepare_source(config("fer2013", tmp_path / "fer", cache))
    assert prepared.rows == {"train": 14, "validation": 7, "test": 7} and prepared.pictures == 28
    row = rows(prepared, "test")[0]
    assert row["image"] == "images/image_21.png"
    levels = bytes((21 + place) % 256 for place in range(2304))
    with Image.open(prepared.folder / row["image"]) as picture:
        assert picture.size == (48, 48) and picture.tobytes() == levels
    assert not list(prepared.folder.rglob("*.partial"))


def test_grey_values_as_jpeg_have_the_names_of_published_records(tmp_path, cache):
    owners.fer2013_csv(tmp_path / "fer")
    prepared = prepare_source(config("fer2013", tmp_path / "fer", cache, options={"suffix": "jpg"}))
    assert rows(prepared, "test")[0]["image"] == "images/image_21.jpg"
    with Image.open(prepared.folder / "images/image_21.jpg") as picture:
        worst = max(abs(have - (21 + place) % 256) for place, have in enumerate(picture.tobytes()))
    assert worst < 32, "the ramp's jump from 255 to 0 is the hardest place"


def test_faces_are_cut_out_by_their_boxes(tmp_path, cache):
    owners.expw(tmp_path / "expw")
    prepared = prepare_source(config("expw", tmp_path / "expw", cache))
    for number, row in enumerate(rows(prepared, "all")):
        face = open_image(prepared.folder / row["image"])
        assert face.size == (20, 30)
        assert abs(face.getpixel((10, 15))[0] - 30 * number) <= 3, "the face is the one of its box"


def test_a_margin_ends_at_the_border_of_the_picture(tmp_path, cache):
    owners.expw(tmp_path / "expw")
    prepared = prepare_source(config("expw", tmp_path / "expw", cache, options={"margin": 1.0, "suffix": "png"}))
    face = open_image(prepared.folder / rows(prepared, "all")[0]["image"])
    assert face.size == (25 + 20, 40 + 30), "left 5 - 20 and top 10 - 30 are outside"


# --- bad rows -------------------------------------------------------------------------------------------------


def spoilt_raf_db(root: Path) -> Path:
    """A missing image (line 2), a cut-off one (line 3), an unknown class (line 22), a name twice (line 23)."""
    labels = owners.raf_db(root)
    (root / "basic/Image/aligned/train_00002_aligned.jpg").unlink()
    (root / "basic/Image/aligned/train_00003_aligned.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    labels.write_text(labels.read_text() + "test_0008.jpg 9\ntrain_00001.jpg 1\n")
    return labels


def test_bad_rows_are_named_by_the_owners_file_and_line(tmp_path, cache):
    labels = spoilt_raf_db(tmp_path / "raf")
    with pytest.raises(InputError) as caught:
        prepare_source(config("raf_db", tmp_path / "raf", cache))
    assert f"{labels}:22: class: unknown class id '9'" in str(caught.value)
    text = labels.read_text().replace("test_0008.jpg 9\n", "")
    labels.write_text(text)
    with pytest.raises(InputError) as caught:
        prepare_source(config("raf_db", tmp_path / "raf", cache))
    message = str(caught.value)
    for part in (f"{labels}:2: image:", "the image is missing", f"{labels}:3: image:", "unpack the owner's archive again, or check data.root",
                 f"{labels}:22: id: id 'raf_db/train_00001' is already that of {labels}:1", "data.on_error=skip"):  # fmt: skip
        assert part in message
    assert not list(cache.rglob("prepared.json")), "nothing is kept of a refused set"


def test_bad_rows_can_be_left_out_and_are_told_again_from_the_cache(tmp_path, cache):
    labels = spoilt_raf_db(tmp_path / "raf")
    settle(tmp_path / "raf")
    settings = config("raf_db", tmp_path / "raf", cache, on_error="skip")
    prepared = prepare_source(settings)
    assert prepared.rows == {"train": 12, "test": 7}
    assert sorted(problem.line for problem in prepared.problems) == [2, 3, 22, 23]
    assert all(problem.file == str(labels) for problem in prepared.problems)
    assert prepare_source(settings) == prepared
    with pytest.raises(InputError, match="4 problems in the data"):
        prepare_source(config("raf_db", tmp_path / "raf", cache))


def test_boxes_outside_of_the_picture_and_broken_pictures_are_named(tmp_path, cache):
    labels = owners.expw(tmp_path / "expw")
    labels.write_text(labels.read_text() + "angry_actor_1.jpg 9 10 200 230 40 50 3\n")
    with pytest.raises(
        InputError, match=r"label.lst:8: box: the box \(left 200, top 10, right 230, bottom 40\) is outside"
    ) as caught:
        prepare_source(config("expw", tmp_path / "expw", cache))
    assert "100 x 80 pixels" in str(caught.value)
    skipping = prepare_source(config("expw", tmp_path / "expw", cache, on_error="skip"))
    assert skipping.rows == {"all": 7} and [problem.line for problem in skipping.problems] == [8]


def test_a_set_without_a_sound_row_is_refused_also_when_rows_may_be_skipped(tmp_path, cache):
    labels = owners.raf_db(tmp_path / "raf", 1, 0)
    labels.write_text("train_00001.jpg 9\n")
    with pytest.raises(InputError, match="has no sound row there; 1 rows are bad"):
        prepare_source(config("raf_db", tmp_path / "raf", cache, on_error="skip"))


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    owners.raf_db(tmp_path / "raf")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"Set data\.cache or FACIAL_R1_CACHE"):
        prepare_source(config("raf_db", tmp_path / "raf", tmp_path / "file"))


# --- the cache ------------------------------------------------------------------------------------------------


def count_readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from facial_r1.data import prepared, sources

    calls: list[str] = []

    def counting(name: str, root: Path, **options: Any) -> sources.Reading:
        calls.append(name)
        return sources.read_source(name, root, **options)

    class Counting:
        read_source = staticmethod(counting)
        checked_options = staticmethod(sources.checked_options)

    monkeypatch.setattr(prepared, "sources", Counting)
    return calls


def test_the_owners_files_are_read_once_and_again_when_they_change(tmp_path, cache, monkeypatch):
    labels = owners.raf_db(tmp_path / "raf")
    settle(tmp_path / "raf")
    calls = count_readings(monkeypatch)
    settings = config("raf_db", tmp_path / "raf", cache)
    first = prepare_source(settings)
    assert prepare_source(settings) == first and len(calls) == 1
    labels.write_text(labels.read_text().replace("train_00001.jpg 1", "train_00001.jpg 7"))
    second = prepare_source(settings)
    assert len(calls) == 2 and second.folder != first.folder
    assert rows(second, "train")[0]["labels"] == ["neutral"] and rows(first, "train")[0]["labels"] == ["surprise"]


def test_an_image_that_comes_or_goes_is_noticed(tmp_path, cache, monkeypatch):
    owners.fer2013_folders(tmp_path / "fer", named=True)
    settle(tmp_path / "fer")
    calls = count_readings(monkeypatch)
    settings = config("fer2013", tmp_path / "fer", cache)
    prepare_source(settings)
    owners.picture(tmp_path / "fer/train/happy/Training_99.jpg")
    assert prepare_source(settings).rows["train"] == 8 and len(calls) == 2


def test_other_options_are_another_set(tmp_path, cache):
    owners.raf_db(tmp_path / "raf")
    one = prepare_source(config("raf_db", tmp_path / "raf", cache))
    other = prepare_source(config("raf_db", tmp_path / "raf", cache, options={"images": "original"}))
    assert one.folder != other.folder


def test_stopped_work_is_continued_with_the_same_result(tmp_path, cache):
    owners.fer2013_csv(tmp_path / "fer", owners.fer2013_rows() * 5)
    whole = prepare_source(config("fer2013", tmp_path / "fer", tmp_path / "whole"))
    settings = config("fer2013", tmp_path / "fer", cache)

    class Stop(Exception):
        pass

    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise Stop

    with pytest.raises(Stop):
        prepare_source(settings, stop)
    written = {path: path.stat().st_mtime_ns for path in cache.rglob("*.png")}
    assert 0 < len(written) < 140 and not list(cache.rglob("prepared.json"))
    done = prepare_source(settings)
    assert {path.name: path.read_bytes() for path in whole.folder.rglob("*") if path.is_file()} == {
        path.name: path.read_bytes() for path in done.folder.rglob("*") if path.is_file()
    }
    assert all(path.stat().st_mtime_ns == then for path, then in written.items()), "finished pictures are not written again"


@pytest.mark.slow
def test_a_killed_process_is_finished_by_the_next_and_two_at_once_work_once(tmp_path, cache):
    owners.fer2013_csv(tmp_path / "fer", owners.fer2013_rows() * 60)
    code = f"""
from facial_r1.config.schema import Data
from facial_r1.data.prepared import prepare_source
done = prepare_source(Data(name="fer2013", kind="source", source="fer2013", root={str(tmp_path / "fer")!r}, cache={str(cache)!r}))
print(done.folder, done.rows)
"""

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment(), text=True, stdout=subprocess.PIPE)

    killed = start()
    deadline = time.time() + 60
    while time.time() < deadline and len(list(cache.rglob("*.png"))) < 50 and killed.poll() is None:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not list(cache.rglob("prepared.json")), "it was killed half way"
    both = [start(), start()]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0] and outputs[0] == outputs[1]
    assert len(list(cache.rglob("*.png"))) == 1680 and not list(cache.rglob("*.partial"))


# --- into a job -----------------------------------------------------------------------------------------------


def test_a_job_gets_the_owners_sides(tmp_path, cache):
    owners.raf_db(tmp_path / "raf")
    data = load_data(config("raf_db", tmp_path / "raf", cache))
    assert (len(data.train), len(data.test), data.protocol.name) == (14, 7, "raf_db")
    assert {record.split for record in data.test} == {"test"} and data.test[0].dataset == "RAF-DB"
    official = [note for note in data.notes if "owner's lists hold" in note]
    assert any("train: 14 rows where the owner's lists hold 12271: surprise 2 of 1290" in note for note in official)


def test_validation_rows_are_on_neither_side_and_that_is_said(tmp_path, cache):
    owners.fer2013_csv(tmp_path / "fer")
    data = load_data(config("fer2013", tmp_path / "fer", cache))
    assert (len(data.train), len(data.test)) == (14, 7)
    assert any("7 rows are for validation and are on neither side" in note for note in data.notes)


def test_sets_without_sides_are_divided_as_the_job_says(tmp_path, cache):
    owners.expw(tmp_path / "expw")
    data = load_data(config("expw", tmp_path / "expw", cache, split={"by": "record", "test": 0.3, "seed": 0}))
    assert (len(data.train), len(data.test)) == (5, 2)


def test_what_is_left_out_on_purpose_and_labels_without_rows_are_said(tmp_path, cache):
    owners.affectnet_lists(tmp_path / "affectnet")
    data = load_data(config("affectnet", tmp_path / "affectnet", cache, options={"classes": 7}))
    text = "\n".join(data.notes)
    assert "expression 8: none (2)" in text and "expression 7: contempt (3)" in text
    assert "no row shows contempt, which protocol affectnet has among its labels" in text
    seven = load_data(
        config("affectnet", tmp_path / "affectnet", cache, options={"classes": 7}, protocol={"name": "affectnet_7"})
    )
    assert "no row shows" not in "\n".join(seven.notes)


def test_a_side_that_the_owner_has_not_is_refused(tmp_path, cache):
    owners.affectnet_lists(tmp_path / "affectnet")
    (tmp_path / "affectnet/training.csv").unlink()
    assert len(load_data(config("affectnet", tmp_path / "affectnet", cache), need=("test",)).test) == 8
    with pytest.raises(InputError, match=r"the train side has no rows: data\.root=.* holds none of the owner's rows for it"):
        load_data(config("affectnet", tmp_path / "affectnet", cache), need=("train",))


def test_skipped_rows_reach_the_job_with_the_owners_lines(tmp_path, cache):
    labels = spoilt_raf_db(tmp_path / "raf")
    data = load_data(config("raf_db", tmp_path / "raf", cache, on_error="skip"))
    assert {problem.file for problem in data.problems} == {str(labels)} and len(data.problems) == 4
    assert any("4 bad rows were left out" in note for note in data.notes)


# --- counts ---------------------------------------------------------------------------------------------------


def test_counts_that_differ_are_noted_by_class(tmp_path, cache):
    owners.raf_db(tmp_path / "raf")
    prepared = prepare_source(config("raf_db", tmp_path / "raf", cache))
    records = list(load_data(config("raf_db", tmp_path / "raf", cache)).test)
    assert prepared.counts["test"]["found"]["surprise"] == 1 and prepared.counts["test"]["official"]["surprise"] == 329
    assert compare_counts(records, {"test": 7})[1] == []
    assert compare_counts(records, {"test": dict.fromkeys(prepared.counts["test"]["found"], 1)})[1] == []
    assert compare_counts(records, {"test": 8})[1] == ["test: 7 rows where the owner's lists hold 8"]
