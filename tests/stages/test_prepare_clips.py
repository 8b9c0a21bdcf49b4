"""`stage=prepare` on clips: counts, sheet and report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("av")

from facial_r1.data import Record
from facial_r1.report import page
from facial_r1.stages import prepare
from facial_r1.stages.context import Context
from tests.data.media.made import tone, write_sound, write_video
from tests.stages.test_face_crops import context


def row(name: str, **media: str) -> dict[str, Any]:
    return {"id": name, "dataset": "d", "question": "", "AUs": None, "labels": ["fear"], **media}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two clips with words, a sound, a silent one, a broken one; one of the clips is on the test side."""
    write_video(tmp_path / "a.mp4", 10, sound=tone(1.0))
    write_video(tmp_path / "b.mp4", 20)
    write_sound(tmp_path / "c.wav", tone(3.0))
    write_sound(tmp_path / "d.wav", np.zeros(8000, np.float32))
    (tmp_path / "e.mp4").write_bytes(b"\0" * 64)
    rows = [
        row("a", video="a.mp4", transcript="I won."),
        row("b", video="b.mp4", transcript="It rains.", split="test"),
        row("c", audio="c.wav"),
        row("d", audio="d.wav"),
        row("e", video="e.mp4"),
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return tmp_path


def prepared(job: Context) -> dict[str, Any]:
    summary = prepare.run(job)
    assert summary is not None
    (job.run.path / "summary.json").write_text(json.dumps(summary))
    job.run.update_status(stage="prepare", state="finished")
    return summary


def test_clips_are_counted_and_faults_by_reason(clips: Path):
    summary = prepared(context(clips, "data.on_error=skip", "prompt=facial_r1", "stage.tile=48"))
    found = summary["clips"]
    assert {name: found[name] for name in ("rows", "video", "sound", "transcript", "transcripts_not_shown")} == {
        "rows": 4, "video": 2, "sound": 3, "transcript": 2, "transcripts_not_shown": 2,
    }  # fmt: skip
    assert sum(found["histogram"]["counts"]) == 4 and found["seconds"]["longest"] == 3.0
    assert any("silent" in reason for reason in found["faults"]) and any("unreadable" in reason for reason in found["faults"])
    assert any("does not show" in note for note in summary["notes"])


def test_the_sheet_is_drawn_and_in_the_report(clips: Path):
    job = context(clips, "data.on_error=skip", "prompt=clip", "stage.faces=4", "stage.tile=48")
    assert prepared(job)["clips"]["transcripts_not_shown"] == 0
    with Image.open(job.run.path / "clip_sheet.png") as sheet:
        assert sheet.width == 640 and sheet.height > 150 + 4 * 60
    assert not (job.run.path / "contact_sheet.png").exists(), "there are no pictures"
    text = page.build(job.run.path).read_text()
    assert text.count("data:image/jpeg;base64,") == 1 and "clip_sheet.png" in text and "with transcript" in text
    again = page.build(job.run.path).read_text()
    assert again == text


def test_no_sheet_is_drawn_for_zero_faces(clips: Path):
    job = context(clips, "data.on_error=skip", "stage.faces=0")
    assert prepared(job)["clips"]["rows"] == 4 and not (job.run.path / "clip_sheet.png").exists()


def test_labels_take_turns_on_the_sheet():
    one = Record(id="", dataset="x", images=(), question="", AUs=None, labels=(), video="a.mp4")
    records = [replace(one, id=f"{label}{place}", labels=(label,)) for label in ("anger", "fear", "joy") for place in range(10)]
    chosen = prepare.sample_clips(records, 7)
    assert sorted(record.labels[0] for record in chosen) == ["anger"] * 3 + ["fear"] * 2 + ["joy"] * 2
    assert prepare.sample_clips(records[:3], 7) == records[:3]
