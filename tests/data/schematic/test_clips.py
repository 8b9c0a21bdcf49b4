"""Drawn clips: what carries the emotion shows it, the rest is neutral; the same for the same seed; ordinary files on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facial_r1.affect.emotions import SEVEN_EMOTIONS, normalise_label
from facial_r1.affect.wheels import load as load_wheels
from facial_r1.config.compose import compose_tree
from facial_r1.config.media_schema import Clips
from facial_r1.config.resolved import plain
from facial_r1.config.schema import Data as DataConfig
from facial_r1.config.schema import Schematic
from facial_r1.data import load_data, load_protocol
from facial_r1.data.media import frames, waveform
from facial_r1.data.schematic import PRETRAINING_PEOPLE, TRAIN_PEOPLE
from facial_r1.data.schematic.clip_folder import Settings, drawn_clips, materialise_clips
from facial_r1.data.schematic.clip_language import clip_description
from facial_r1.data.schematic.clip_sheet import clip_sheet
from facial_r1.data.schematic.clip_words import KINDS, SENTENCES
from facial_r1.data.schematic.clips import CARRIERS, draw_clip, random_spec
from facial_r1.data.schematic.voice import PROSODY, SOUNDS
from facial_r1.data.schematic.voice_synthesis import RATE
from facial_r1.errors import InputError
from facial_r1.prompts.completion import parse
from facial_r1.prompts.open_vocabulary import mentioned_words

SPECS = [random_spec(3, index, TRAIN_PEOPLE, size=48) for index in range(280)]
SMALL: dict[str, Any] = {"train": 35, "test": 7, "instructions": 5, "size": 28}
SHORT: dict[str, Any] = {"seconds": 0.6, "fps": 5.0}
SETTINGS = Settings(0, 35, 7, 5, 28, 0.6, 5.0, dict.fromkeys(CARRIERS, 0.25))


def first(carrier: str, emotion: str):
    return next(spec for spec in SPECS if (spec.carrier, spec.emotion) == (carrier, emotion))


def test_emotions_and_carriers_are_balanced():
    counts = Counter((spec.carrier, spec.emotion) for spec in SPECS)
    assert len(counts) == len(CARRIERS) * 7 and max(counts.values()) - min(counts.values()) <= 2
    skewed = Counter(random_spec(0, index, TRAIN_PEOPLE, carriers={"voice": 3.0, "all": 1.0}).carrier for index in range(280))
    assert set(skewed) == {"voice", "all"} and abs(skewed["voice"] - 210) <= 14


def test_what_does_not_carry_the_emotion_is_neutral():
    for spec in SPECS:
        told = {emotion for emotion, sentences in SENTENCES.items() if spec.sentence in sentences}
        assert told == {spec.shows("words")}
        assert spec.shows("face") == spec.emotion or not spec.action_units
        usual = PROSODY[spec.shows("voice")]
        assert abs(spec.voice.pitch / usual.pitch - 1) < 0.07 and abs(spec.voice.rate / usual.rate - 1) < 0.11
    assert all(first("voice", emotion).action_units == () for emotion in SEVEN_EMOTIONS)


def test_the_face_rises_and_falls_only_where_it_carries():
    """The picture at the apex differs from the first one by much more where units are drawn; grain and swaying taken out."""
    for carrier, moves in (("face", True), ("voice", False)):
        spec = replace(first(carrier, "happiness"), sway=(0.0,) * 5, size=112)
        spec = replace(spec, face=replace(spec.face, nuisance=replace(spec.face.nuisance, noise=0)))
        pictures = draw_clip(spec)[0].astype(int)
        changed = [float(np.abs(picture - pictures[0]).mean()) for picture in pictures]
        apex = round((spec.course.apex + spec.course.offset) / 2 * spec.fps)
        assert (changed[apex] > 0.5) == moves
        assert not moves or (changed[1] == 0 and changed[apex] >= max(changed) * 0.99 and changed[-1] < changed[apex])


def test_course_is_smooth_and_within_bounds():
    for spec in SPECS:
        shares = [spec.course.share(moment / 100 * spec.seconds) for moment in range(101)]
        assert shares[0] == 0 and max(shares) == 1 and abs(shares[-1] - spec.course.rest) < 1e-9
        assert max(abs(b - a) for a, b in pairwise(shares)) < 0.2


def test_a_spec_gives_the_same_clip_each_time_and_others_with_a_generator():
    spec = SPECS[0]
    one, two = draw_clip(spec), draw_clip(random_spec(3, 0, TRAIN_PEOPLE, size=48))
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1]) and one[2] == two[2]
    other = draw_clip(spec, np.random.default_rng(0))
    assert not np.array_equal(one[1], other[1]) and one[2] == other[2]


def test_shapes_and_ranges():
    pictures, sound, sentence = draw_clip(random_spec(0, 5, PRETRAINING_PEOPLE, size=30, seconds=1.0, fps=8))
    assert pictures.shape == (8, 30, 30, 3) and pictures.dtype == np.uint8
    assert sound.shape == (RATE,) and sound.dtype == np.float32 and 0.01 < np.abs(sound).max() <= 0.98
    assert np.array_equal(sound * 32768, np.round(sound * 32768)) and sentence


def test_loudness_and_pitch_follow_the_emotion():
    """Same speaker, same sentence: anger is louder than neutral, sadness softer; fear is higher, disgust lower."""
    from facial_r1.data.schematic.stream import Stream
    from facial_r1.data.schematic.voice import speaker
    from facial_r1.data.schematic.voice_synthesis import speak

    def measured(emotion: str) -> tuple[float, float]:
        sound = speak("The shop is closed.", speaker(7), PROSODY[emotion], 1.6, Stream(1))
        loud = float(np.sqrt(np.mean(sound[sound != 0] ** 2)))
        middle = sound[4800:8000] - sound[4800:8000].mean()
        match = np.correlate(middle, middle, "full")[len(middle) :]
        return loud, RATE / (30 + int(match[30:240].argmax()) + 1)

    found = {emotion: measured(emotion) for emotion in PROSODY}
    assert found["anger"][0] > 1.5 * found["neutral"][0] > 3 * found["sadness"][0]
    assert found["fear"][1] > 1.3 * found["neutral"][1] > 1.3 * 0.9 * found["disgust"][1]


def test_descriptions_name_units_and_answer_and_no_emotion_before():
    wheels = load_wheels()
    for spec in SPECS[:140]:
        parsed = parse(clip_description(spec))
        assert parsed.valid and parsed.labels == (spec.emotion,) and set(parsed.action_units) == set(spec.action_units)
    texts = [text for part in (SOUNDS, KINDS, SENTENCES) for texts in part.values() for text in texts]
    assert not [text for text in texts for word in text.strip(".!?").lower().split() if normalise_label(word)]
    assert not [text for texts in SENTENCES.values() for text in texts if mentioned_words(text, wheels)]
    assert {len(part[emotion]) for part in (SOUNDS, KINDS) for emotion in SEVEN_EMOTIONS} == {2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_clips(Schematic(**SMALL), Clips(**SHORT), str(tmp_path_factory.mktemp("cache")))


def rows(folder: Path, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_files_hold_what_was_drawn(folder: Path):
    for number in (0, 34):
        row = rows(folder, "train")[number]
        pictures, sound, sentence = draw_clip(random_spec(0, number, TRAIN_PEOPLE, size=28, **SHORT))
        seen, times = frames(folder / row["video"], None, rate=5)
        assert np.allclose(times, [0.0, 0.2, 0.4]) and np.abs(seen.astype(int) - pictures).mean() < 6
        assert np.array_equal(waveform(folder / row["audio"]), sound) and row["transcript"] == sentence


def test_rows_have_the_published_fields(folder: Path):
    required = {
        "id",
        "dataset",
        "video",
        "audio",
        "question",
        "AUs",
        "labels",
        "description",
        "meta_info",
        "subject",
        "split",
        "transcript",
    }
    train, test = rows(folder, "train"), rows(folder, "test")
    assert all(set(row) == required for row in train + test)
    assert [bool(row["description"]) for row in train] == [True] * 5 + [False] * 30 and all(row["description"] for row in test)
    assert not {row["subject"] for row in train} & {row["subject"] for row in test}


def test_the_second_call_draws_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("facial_r1.data.schematic.clip_folder.draw_clip", None)
    assert drawn_clips(Schematic(**SMALL), Clips(**SHORT), str(folder.parent)) == folder


def test_workers_do_not_matter(folder: Path, tmp_path: Path):
    materialise_clips(tmp_path / "two", SETTINGS, workers=2)
    assert (tmp_path / "two" / "train.jsonl").read_bytes() == (folder / "train.jsonl").read_bytes()
    cards = [json.loads((path / "dataset.json").read_text()) for path in (tmp_path / "two", folder)]
    assert cards[0] == cards[1]


def test_a_killed_drawing_goes_on(folder: Path, tmp_path: Path):
    target = tmp_path / "clips"
    script = (
        "import os\nfrom pathlib import Path\nfrom facial_r1.data.schematic.clip_folder import Settings, materialise_clips\n"
        "def stop(count):\n    if count: os._exit(9)\n"
        f"materialise_clips(Path({str(target)!r}), Settings(0, 35, 7, 5, 28, 0.6, 5.0, {dict.fromkeys(CARRIERS, 0.25)!r}), 1, stop)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert killed.returncode == 9 and not target.exists()
    left = tmp_path / ".clips.unfinished"
    kept = (left / "clips/train/000000.mp4").stat().st_mtime_ns
    steps: list[int] = []
    card = materialise_clips(target, SETTINGS, 1, steps.append)
    assert steps == [32, 3, 7] and not left.exists(), "the first part was there"
    assert (target / "clips/train/000000.mp4").stat().st_mtime_ns == kept
    assert card["fingerprint"] == json.loads((folder / "dataset.json").read_text())["fingerprint"]


@pytest.mark.parametrize(
    ("change", "reason"), [({"size": 33}, "odd"), ({"train": 0}, "train=0"), ({"instructions": 99}, "instructions")]
)
def test_impossible_settings_are_refused(tmp_path: Path, change: dict, reason: str):
    with pytest.raises(InputError, match=reason):
        materialise_clips(tmp_path / "x", replace(SETTINGS, **change))
    assert not list(tmp_path.iterdir())


def test_files_of_somebody_else_are_not_replaced(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        materialise_clips(tmp_path, SETTINGS)


def test_a_job_loads_them(folder: Path):
    values = plain(compose_tree(["data=schematic_clips"]))["data"]
    values["schematic"] |= SMALL
    values["clips"] |= SHORT
    data = load_data(DataConfig(**values | {"cache": str(folder.parent)}))
    assert (len(data.train), len(data.test), data.notes) == (35, 7, [])
    assert data.protocol == load_protocol("schematic_clips")
    row = data.train[0]
    assert (
        row.video.startswith(str(folder))
        and row.audio.endswith(".wav")
        and row.transcript
        and row.AUs is not None
        and not row.images
    )


def test_contact_sheet_of_specs_and_of_records(folder: Path):
    drawn = clip_sheet([random_spec(0, number, TRAIN_PEOPLE, size=28, **SHORT) for number in range(2)], columns=3, tile=32)
    opened = clip_sheet(rows(folder, "train")[:2], columns=3, tile=32, root=folder)
    assert drawn.size == opened.size
    assert np.abs(np.asarray(drawn).astype(int) - np.asarray(opened)).mean() < 3
    assert clip_sheet([{"audio": rows(folder, "train")[0]["audio"], "labels": ["fear"], "AUs": None}], root=folder).size[0] > 0
