"""stage=prepare with a face detector: rows name crops, what has no face is counted, and a run that goes on cuts what is missing."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facial_r1.config.compose import compose_tree
from facial_r1.config.media_schema import CropFaces
from facial_r1.config.resolved import plain
from facial_r1.config.validation import validate
from facial_r1.data import Record, Records
from facial_r1.data.media import probe
from facial_r1.errors import InputError
from facial_r1.interruption import StopRequest
from facial_r1.runs import RunDirectory
from facial_r1.stages import prepare
from facial_r1.stages.context import Context
from facial_r1.stages.face_crops import Cropped, crop_faces
from tests.data.faces.test_cutting import bright, scene
from tests.data.media.made import tone, write_video

HAAR = CropFaces(detector="haar", size=64)
SKIP = CropFaces(detector="haar", size=64, on_missing="skip")


def context(folder: Path, *overrides: str) -> Context:
    rows = folder / "rows.jsonl"
    tree = compose_tree(["stage=prepare", "data=clips", f"data.files=[{rows}]", "data.split.test=0", *overrides])
    run = RunDirectory(folder / "run")
    run.path.mkdir(exist_ok=True)
    return Context(run, validate(plain(tree)), StopRequest())


def record(name: str, images: tuple[str, ...] = (), **media: str) -> Record:
    return Record(
        id=name, dataset="x", images=images, question="", AUs=None, labels=("fear",), source=f"rows.jsonl:{name}", **media
    )


@pytest.fixture
def rows(tmp_path: Path) -> Records:
    """A picture, one without a face, both as one row, a clip with sound, and a clip without a face."""
    Image.fromarray(scene(0)).save(tmp_path / "face.png")
    Image.new("RGB", (96, 96)).save(tmp_path / "none.png")
    face, none = str(tmp_path / "face.png"), str(tmp_path / "none.png")
    clip = str(write_video(tmp_path / "clip.mp4", 6, size=(160, 96), picture=scene, sound=tone(0.6)))
    dark = str(write_video(tmp_path / "dark.mp4", 4, size=(160, 96)))
    return Records(
        [
            record("1", (face,)),
            record("2", (none,)),
            record("3", (face, none)),
            record("4", video=clip, audio=clip),
            record("5", video=dark, transcript="Hello."),
        ]
    )


class Looking:
    """The detector of bright squares, counting its calls by the width of the picture."""

    def __init__(self) -> None:
        self.calls: Counter[int] = Counter()

    def __call__(self, picture: np.ndarray) -> Any:
        self.calls[picture.shape[1]] += 1
        return bright(picture)


def cropped(folder: Path, rows: Records, settings: CropFaces = HAAR, finder: Any = bright) -> Cropped:
    return crop_faces(context(folder), {"train": rows}, settings, finder)


def listed(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_name_crops_and_keep_whole_what_has_no_face(rows: Records, tmp_path: Path):
    result = cropped(tmp_path, rows)
    one, two, three, four, five = result.sides["train"]
    assert Image.open(one.images[0]).size == (64, 64) and Path(one.images[0]).is_relative_to(tmp_path / "run" / "faces")
    assert two == rows[1] and five == rows[4]
    assert three.images == (one.images[0], rows[2].images[1])
    assert probe(four.video).video.width == 64 and four.audio == rows[3].video, "the sound is that of the whole clip"
    assert (result.facts["pictures"], result.facts["clips"], result.facts["without_face"]) == (1, 1, 2)


def test_what_has_no_face_is_listed_by_name(rows: Records, tmp_path: Path):
    result = cropped(tmp_path, rows)
    assert [(row["id"], Path(row["file"]).name, row["kept"]) for row in listed(tmp_path / "run" / "no_face.jsonl")] == [
        ("2", "none.png", "whole"), ("3", "none.png", "whole"), ("5", "dark.mp4", "whole"),
    ]  # fmt: skip
    assert any("no face was found in 2 files, kept whole" in note and "none.png" in note for note in result.notes)


def test_rows_without_a_face_can_be_left_out(rows: Records, tmp_path: Path):
    result = cropped(tmp_path, rows, SKIP)
    assert [(one.id, len(one.images)) for one in result.sides["train"]] == [("1", 1), ("3", 1), ("4", 0)]
    assert [(problem.line, problem.field) for problem in result.missing] == [(2, "image"), (5, "video")]
    assert all("no face was found (haar)" in problem.reason for problem in result.missing)


def test_no_face_at_all_is_refused(rows: Records, tmp_path: Path):
    with pytest.raises(InputError, match="no face was found in any of 5 rows"):
        cropped(tmp_path, rows, SKIP, lambda picture: [])


def test_each_file_is_searched_once_and_never_again(rows: Records, tmp_path: Path):
    finder = Looking()
    first = cropped(tmp_path, rows, finder=finder)
    assert finder.calls[96] == 1, "the picture of two rows"
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "faces").rglob("*.*") if path.suffix != ".jsonl"}
    again = Looking()
    second = cropped(tmp_path, rows, finder=again)
    assert not again.calls and list(second.sides["train"]) == list(first.sides["train"]) and second.facts == first.facts
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_crop_that_is_gone_and_a_file_that_changed_are_cut_again(rows: Records, tmp_path: Path):
    first = cropped(tmp_path, rows)
    Path(first.sides["train"][0].images[0]).unlink()
    Image.fromarray(scene(40)).save(tmp_path / "none.png")
    finder = Looking()
    second = cropped(tmp_path, rows, finder=finder)
    assert finder.calls == {160: 2} and second.facts["pictures"] == 2 and second.facts["without_face"] == 1


def test_ready_made_crops_stay(tmp_path: Path):
    np.save(tmp_path / "face.npy", np.zeros((4, 8, 8, 3), np.uint8))
    rows = Records([record("1", video=str(tmp_path / "face.npy"))])
    result = cropped(tmp_path, rows, SKIP)
    assert list(result.sides["train"]) == list(rows) and result.facts["crops_of_the_owner"] == 1


def test_a_clip_that_breaks_off_is_bad_data(rows: Records, tmp_path: Path):
    Path(rows[3].video).write_bytes(b"x" * 100)
    with pytest.raises(InputError, match=r"rows.jsonl:4: video: .*clip.mp4"):
        cropped(tmp_path, rows)
    result = crop_faces(context(tmp_path, "data.on_error=skip"), {"train": rows}, HAAR, bright)
    assert [one.id for one in result.sides["train"]] == ["1", "2", "3", "5"] and result.broken[0].line == 4


def test_prepare_writes_rows_that_load_again(rows: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("cv2", reason="pip install 'facial-r1[faces]'")
    from facial_r1.data import load_data
    from facial_r1.data.faces import detectors

    monkeypatch.setattr(detectors, "open_finder", lambda detector, weights: bright)
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps(row.to_json() | {"split": "test" if row.id == "3" else "train"}) + "\n" for row in rows)
    )
    job = context(
        tmp_path,
        "stage.crop_faces.detector=haar",
        "stage.crop_faces.on_missing=skip",
        "stage.crop_faces.size=64",
        "stage.tile=48",
    )
    summary = prepare.run(job)
    assert summary is not None and summary["failures"] == {"rows_without_face": 2} and summary["rows"] == 3
    assert summary["faces"]["clips"] == 1 and len(listed(tmp_path / "run" / "skipped.jsonl")) == 2
    loaded = load_data({"files": [str(tmp_path / "run" / "train.jsonl")], "split": {"test": 0}}, need=("train",))
    clip = next(one for one in loaded.train if one.video)
    assert probe(clip.video).video.width == 64 and clip.audio.endswith("clip.mp4")


def test_yunet_asks_for_its_weights(tmp_path: Path):
    with pytest.raises(InputError, match=r"detector=yunet needs its weights: stage.crop_faces.weights="):
        context(tmp_path, "stage.crop_faces.detector=yunet")


def test_opencv_is_asked_for_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r"pip install 'facial-r1\[faces\]'"):
        prepare.run(context(tmp_path, "stage.crop_faces.detector=haar"))


def test_a_run_that_is_stopped_goes_on(rows: Records, tmp_path: Path):
    first = context(tmp_path)
    real = StopRequest()
    calls = iter(range(100))

    def check() -> None:
        if next(calls) == 4:
            raise KeyboardInterrupt
        real.check()

    first.stop.check = check  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        crop_faces(first, {"train": rows}, HAAR, bright)
    assert not list((tmp_path / "run").rglob("*.partial")) and not (tmp_path / "run" / "no_face.jsonl").exists()
    assert len(cropped(tmp_path, rows).sides["train"]) == 5
