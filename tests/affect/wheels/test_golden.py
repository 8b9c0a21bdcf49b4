"""Every recorded value of the released metric: parser, mapping, pairs, corpora. Skipped where the recordings are absent."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facial_r1.affect.wheels import Wheels, load, parse
from facial_r1.affect.wheels.parsing import words
from facial_r1.data.ovmer import read_labels

pytestmark = pytest.mark.reference

TOLERANCE = 1e-12


@pytest.fixture(scope="module")
def golden(reference: Path) -> Path:
    return reference / "wheels_golden"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACIAL_R1_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", params=["v2025", "v2026"])
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def wheels(version: str, reference: Path) -> Wheels:
    return load(version.replace("v", "mer"), reference / "wheels")


@pytest.fixture(scope="module")
def pairs(golden: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (golden / "pairs_golden.jsonl").read_text(encoding="utf-8").splitlines()]


def value(given: dict[str, Any]) -> Any:
    """An input as it was given to the released code."""
    if given["type"] in ("none", "nan"):
        return None if given["type"] == "none" else float("nan")
    return np.array(given["value"]) if given["type"] == "ndarray" else given["value"]


def same(ours: float, recorded: float | None) -> bool:
    """Equal to 1e-12; None was recorded for NaN."""
    return math.isnan(ours) if recorded is None else abs(ours - recorded) <= TOLERANCE


def test_parser(golden: Path):
    cases = json.loads((golden / "string_to_list_golden.json").read_text(encoding="utf-8"))
    wrong = [case for case in cases if "output" in case and parse(value(case["input"])) != case["output"]]
    assert len(cases) >= 357
    assert not wrong


def test_every_form_on_every_wheel(golden: Path, version: str, wheels: Wheels):
    table = json.loads((golden / "mapping_table.json").read_text(encoding="utf-8"))
    wrong = []
    for form, row in table[version].items():
        for column, sector in zip(table["columns"], row, strict=True):
            found = (
                wheels.single([form], column)
                if column.startswith("case")
                else wheels.sectors([form], int(column[5]), int(column[-1]))
            )
            if found != ({sector} if sector else set()):
                wrong.append((form, column, sector, found))
    assert len(table[version]) > 3_000
    assert not wrong


def test_tokens_of_every_pair(version: str, pairs: list[dict[str, Any]]):
    rows = [(row, row[version]) for row in pairs if "error" not in row[version]]
    wrong = [
        row["id"]
        for row, told in rows
        if [words(value(row["gt"])), words(value(row["pred"]))] != [told["gt_tokens"], told["pred_tokens"]]
    ]
    assert len(rows) >= 710
    assert not wrong


@pytest.mark.parametrize("level", [1, 2])
def test_every_pair_on_every_wheel(version: str, wheels: Wheels, pairs: list[dict[str, Any]], level: int):
    wrong = []
    for row in pairs:
        told = row[version]
        if "error" in told:
            continue
        truth, said = value(row["gt"]), value(row["pred"])
        score, recorded = wheels.pair(truth, said, level), told[f"reference_aggregate_level{level}"]
        checks = [
            same(score.f, recorded["fscore"]),
            same(score.precision, recorded["precision"]),
            same(score.recall, recorded["recall"]),
        ]
        alone = wheels.corpus({"clip": truth}, {"clip": said}, level)
        checks += [
            same(alone.f, recorded["fscore"]),
            same(alone.precision, recorded["precision"]),
            same(alone.recall, recorded["recall"]),
        ]
        for number, ours in enumerate(score.wheels, start=1):
            theirs = told["wheels"][f"wheel{number}_level{level}"]
            checks += [
                same(ours.precision, theirs["precision"]),
                same(ours.recall, theirs["recall"]),
                same(ours.f, theirs["fscore"]),
                ours.skipped == theirs["skipped_gt_empty"],
                wheels.sectors(truth, number, level) == set(theirs["gt_set"]),
                wheels.sectors(said, number, level) == set(theirs["pred_set"]),
            ]
        if not all(checks):
            wrong.append(row["id"])
    assert not wrong


@pytest.mark.parametrize("case", ["case1", "case2"])
def test_every_pair_without_a_wheel(version: str, wheels: Wheels, pairs: list[dict[str, Any]], case: str):
    wrong = []
    for row in pairs:
        if "error" not in row[version]:
            score, told = wheels.pair(value(row["gt"]), value(row["pred"]), mapping=case), row[version][case]
            if not (same(score.precision, told["precision"]) and same(score.recall, told["recall"])):
                wrong.append(row["id"])
    assert not wrong


def test_hits(version: str, wheels: Wheels, pairs: list[dict[str, Any]]):
    wrong, checked = [], 0
    for row in pairs:
        told, truth, said = row[version], value(row["gt"]), value(row["pred"])
        if "hit_or_not" in told:
            checked += 1
            if wheels.hit_any(truth, said) != told["hit_or_not"]:
                wrong.append(row["id"])
        if "hit_per_wheel" in told:
            rates = [wheel.hit_rate for wheel in wheels.hit({"clip": truth}, {"clip": said}).wheels]
            if not all(same(rate, told["hit_per_wheel"][f"wheel{number}"]) for number, rate in enumerate(rates, start=1)):
                wrong.append((row["id"], "per wheel"))
    assert checked or version == "v2026"
    assert not wrong


def test_every_corpus(reference: Path, golden: Path, version: str, wheels: Wheels):
    told = json.loads((golden / "dataset_level_golden.json").read_text(encoding="utf-8"))["ew_ovmerd332"]
    truths = read_labels(reference / "ovmer" / "ovmerd" / "check-openset.csv")
    wrong = []
    for name, versions in told.items():
        recorded = versions[version]
        said = read_labels(reference / "ovmer" / "predictions_ovmerd" / f"{name}-openset.npz")
        checks = {}
        for level in (1, 2):
            score = wheels.corpus(truths, said, level)
            ours = [[wheel.f, wheel.precision, wheel.recall] for wheel in score.wheels] + [
                [score.f, score.precision, score.recall]
            ]
            theirs = [*recorded[f"level{level}"]["per_wheel_FPR"], recorded[f"level{level}"]["mean_FPR"]]
            checks[f"level {level}"] = all(
                same(a, b) for one, two in zip(ours, theirs, strict=True) for a, b in zip(one, two, strict=True)
            )
        for case in ("case1", "case2"):
            score = wheels.corpus(truths, said, mapping=case)
            checks[case] = all(same(a, b) for a, b in zip((score.f, score.precision, score.recall), recorded[case], strict=True))
        checks["m_avg"] = same(wheels.m_avg(truths, said), recorded["m_avg_12"])
        checks["track 2"] = same(wheels.track2(truths, said), recorded["mer2025_track2_avg"])
        wrong += [(name, check) for check, right in checks.items() if not right]
    assert len(told) >= 12
    assert not wrong
