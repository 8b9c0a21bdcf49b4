"""MER-UniBench figures: those of the scorers by hand, the rule for checkpoints, means, and the recorded corpora."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facial_r1.affect.wheels import load
from facial_r1.data.unibench import NINE, SETS, Checkpoint, Truth, read_truths
from facial_r1.errors import InputError
from facial_r1.metrics import sentiment
from facial_r1.metrics.unibench import FIGURES, _statistic, score_set, score_unibench

BASIC = {"a": "happy", "b": "sad", "c": "neutral", "d": "angry"}
SAID = {"a": "[joyful, sad]", "b": "[furious]", "c": "[happy]", "d": "[angry]", "unused": "[happy]"}
VALUES = {"a": 1.2, "b": -0.4, "c": 0.0, "d": 2.0}
SIDES = {"a": "positive", "b": "neutral", "c": "positive", "d": "Positive"}


def listed(path: Path, items: dict[str, str]) -> Path:
    np.savez_compressed(path, filenames=list(items), fileitems=list(items.values()))
    return path


def checkpoint(folder: Path, items: dict[str, str], sides: dict[str, str] | None = None, name: str = "checkpoint_000030_loss_0.1") -> Checkpoint:  # fmt: skip
    words = listed(folder / f"{name}-openset.npz", items)
    return Checkpoint(name, words, listed(folder / f"{name}-openset-sentiment.npz", sides) if sides else None)


def test_hits_are_those_of_the_scorer(tmp_path: Path):
    result = score_set("mer2023", BASIC, checkpoint(tmp_path, SAID), load())
    hits = load().hit(BASIC, SAID)
    assert result.values == {"hit": hits.hit_rate, "mscore": hits.mscore} and result.scored == list(hits.n)
    assert (result.n, result.neutral) == (4, 1)


def test_sentiments_are_compared_as_written(tmp_path: Path):
    """ "Positive" is none of the three words, and neither it nor neutral is above 0."""
    result = score_set("cmumosi", VALUES, checkpoint(tmp_path, SAID, SIDES), load())
    score = sentiment(VALUES, SIDES)
    assert result.values == {"waf": score.waf, "accuracy": score.accuracy} and score.accuracy == pytest.approx(2 / 3)
    assert (result.scored, result.neutral, result.strays, result.stand_in) == ([3], 1, 1, False)


def test_without_sentiments_the_wheels_stand_in_and_it_is_said(tmp_path: Path):
    found = score_unibench({"cmumosi": VALUES}, {"cmumosi": [checkpoint(tmp_path, SAID)]}, load(), resamples=0)
    assert found.failures["sentiments_by_wheels"] == 4
    assert any("read off the wheels" in note for note in found.notes)
    assert found.best["cmumosi"].predictions["d"] == "negative"


def test_words_are_taken_apart_as_the_released_code_does(tmp_path: Path):
    """Not as answers of ours are: semicolons do not separate, apostrophes do."""
    truths: dict[str, Truth] = {"a": "happy, sad", "b": "['angry']"}
    said = {"a": "[happy; sad]", "b": "don't be angry, angry"}
    result = score_set("ovmerdplus", truths, checkpoint(tmp_path, said), load())
    corpus = load().corpus(truths, said)
    assert result.values == {"f": corpus.f, "precision": corpus.precision, "recall": corpus.recall}
    assert result.strays == 1


@pytest.fixture
def benchmark(tmp_path: Path) -> tuple[dict[str, dict[str, Truth]], dict[str, list[Checkpoint]]]:
    """Nine sets with two checkpoints each; the second is better on the first five sets."""
    truths: dict[str, dict[str, Any]] = {}
    checkpoints: dict[str, list[Checkpoint]] = {}
    good = {"a": "[happy]", "b": "[sad]", "c": "[sad]", "d": "[angry]"}
    right = {"a": "positive", "b": "negative", "c": "neutral", "d": "positive"}
    for place, name in enumerate(NINE):
        folder = tmp_path / name
        folder.mkdir()
        truths[name] = VALUES if name in ("cmumosi", "cmumosei", "sims", "simsv2") else BASIC
        worse, better = (SAID, SIDES), (good, right)
        pairs = (worse, better) if place < 5 else (better, worse)
        checkpoints[name] = [
            checkpoint(folder, *pair, name=f"checkpoint_0000{epoch}_loss_0.{place}")
            for pair, epoch in zip(pairs, (30, 60), strict=True)
        ]
    return truths, checkpoints


def test_the_best_checkpoint_of_each_set_counts_and_the_other_rules_stand_beside(benchmark):
    truths, checkpoints = benchmark
    found = score_unibench(truths, checkpoints, load(), resamples=200, seed=1)
    primaries = [found.best[name].primary for name in NINE]
    assert primaries == [1.0] * 9
    assert found.metrics["unibench/mean"]["value"] == 1.0 and found.metrics["unibench/mean"]["n"] == 36
    kinds = dict(zip(NINE, ["hit"] * 4 + ["waf"] * 4 + ["f"], strict=True))
    first, last = (np.mean([found.checkpoints[name][place][figure] for name, figure in kinds.items()]) for place in (0, 1))
    assert found.metrics["unibench/last_checkpoint/mean"]["value"] == pytest.approx(last)
    assert found.metrics["unibench/one_checkpoint/mean"]["value"] == pytest.approx(max(first, last))
    assert max(first, last) < 1.0
    assert any("on the test set itself" in note for note in found.notes)


def test_fewer_than_nine_sets_have_no_benchmark_mean(benchmark):
    truths, checkpoints = benchmark
    found = score_unibench({name: truths[name] for name in NINE[:3]}, checkpoints, load(), resamples=0)
    assert "unibench/mean" not in found.metrics and found.metrics["unibench/given/mean"]["value"] == 1.0
    assert any("not scored" in note and "ovmerdplus" in note for note in found.notes)


@pytest.mark.parametrize("name", ["mer2023", "cmumosi", "ovmerdplus"])
def test_intervals_hold_the_value_and_come_from_the_same_counts(name: str, tmp_path: Path):
    rng = np.random.default_rng(0)
    clips = [f"c{number}" for number in range(60)]
    words = ["happy", "sad", "angry", "worried", "surprised"]
    truths = {clip: float(rng.normal()) if name == "cmumosi" else str(rng.choice(words)) for clip in clips}
    said = {clip: f"[{rng.choice(words)}, {rng.choice(words)}]" for clip in clips}
    sides = {clip: str(rng.choice(["positive", "negative", "neutral"])) for clip in clips}
    found = score_unibench({name: truths}, {name: [checkpoint(tmp_path, said, sides)]}, load(), resamples=400)
    for figure in found.metrics.values():
        if figure["low"] is not None:
            assert figure["low"] < figure["value"] < figure["high"]
    best = found.best[name]
    figures = _statistic(SETS[name].kind, 0.0)(best.counts.sum(axis=0))
    assert figures == pytest.approx([best.values[key] for key in FIGURES[SETS[name].kind]], abs=1e-12)


def test_naming_one_thing_for_every_clip_stands_beside(benchmark):
    truths, checkpoints = benchmark
    blind = score_unibench(truths, checkpoints, load(), resamples=0).baselines["best constant word"]
    assert blind["unibench/mer2023/hit"]["value"] == pytest.approx(1 / 3)
    assert blind["unibench/cmumosi/waf"]["value"] == sentiment(VALUES, dict.fromkeys(VALUES, "positive")).waf


def test_a_clip_without_a_prediction_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="1 of 4 clips of mer2023 have no prediction, for example d"):
        score_set("mer2023", BASIC, checkpoint(tmp_path, {"a": "", "b": "", "c": ""}), load())
    with pytest.raises(InputError, match="no set has both"):
        score_unibench({"meld": BASIC}, {}, load())


@pytest.mark.reference
def test_recorded_corpora_of_released_files(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each released file of OV-MERD, by the tables of 2025 and 2026, to 1e-12."""
    monkeypatch.setenv("FACIAL_R1_CACHE", str(tmp_path))
    recorded = json.loads((reference / "wheels_golden" / "dataset_level_golden.json").read_text())["ew_ovmerd332"]
    truths = read_truths("ovmerd", reference / "ovmer" / "ovmerd" / "check-openset.csv")
    for version in ("2025", "2026"):
        wheels = load(f"mer{version}", reference / "wheels")
        for name, told in recorded.items():
            file = reference / "ovmer" / "predictions_ovmerd" / f"{name}-openset.npz"
            values = score_set("ovmerd", truths, Checkpoint(file.stem, file), wheels).values
            expected = told[f"v{version}"]["level1"]["mean_FPR"]
            assert [values["f"], values["precision"], values["recall"]] == pytest.approx(expected, abs=1e-12), name
    assert len(recorded) >= 12 and not math.isnan(values["f"])
