"""REGE: the scorer of EmoLA by its rules, and the ROUGE-L of the package that it uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facial_r1.errors import InputError
from facial_r1.metrics.evaluate import compare, evaluate
from facial_r1.metrics.rege import Scoring, rege, rouge_l_by_sentence, scored_units

GOLDEN = json.loads((Path(__file__).parent / "golden" / "rouge.json").read_text(encoding="utf-8"))["rows"]
EMOTION = Scoring("emotion")


@pytest.mark.parametrize("case", GOLDEN, ids=[str(index) for index in range(len(GOLDEN))])
def test_rouge_l_equals_the_package(case: list[Any]) -> None:
    found = rouge_l_by_sentence(case[0], case[1])
    assert found == (None if case[5] is None else pytest.approx(case[5], abs=1e-11))


def _row(text: str, label: str, units: list[str] | None = None) -> dict[str, Any]:
    return {"id": text[:4], "description": text, "labels": [label] if label else [], "AUs": units}


def test_emotion_by_hand() -> None:
    rows = [_row("She smiles. A happy face.", "happiness"), _row("Tears fall.", "sadness")]
    found = rege(["A happy smile.", "Tears fall."], rows, EMOTION)
    # the second names no emotion word, which the scorer calls happiness: one of two is right
    ge = 100 * (rouge_l_by_sentence(rows[0]["description"], "A happy smile.") + 2 / (2 + 1e-8)) / 2
    assert (found.re, found.ge, found.n) == (50.0, pytest.approx(ge), 2)
    assert found.rege == pytest.approx(50.0 + ge)


def test_rows_without_a_label_are_left_out() -> None:
    assert rege(["A happy face."] * 2, [_row("x y", "happiness"), _row("x y", "")], EMOTION).n == 1


def test_without_any_row_nothing_is_claimed() -> None:
    assert rege([], [], EMOTION).rege is None


def test_an_emotion_that_it_does_not_know_is_refused() -> None:
    with pytest.raises(InputError, match=r"record cold: field labels: REGE knows happiness.*not 'contempt'"):
        rege(["x."], [_row("cold x", "contempt")], EMOTION)


def test_texts_without_words_are_left_out_of_the_wording() -> None:
    rows = [_row("A happy face.", "happiness")] * 2
    assert rege(["A happy face.", "..."], rows, EMOTION).ge == pytest.approx(100.0, abs=1e-4)


def test_tags_are_taken_out() -> None:
    row = _row("<think>A happy face.</think><answer>happiness</answer>", "happiness")
    assert rege(["<think>A happy face.</think> <answer>happiness</answer>"], [row], EMOTION).ge == pytest.approx(100.0, abs=1e-4)


def test_action_units_by_hand() -> None:
    rows = [_row("", "", units) for units in (["AU1", "AU4"], ["AU4"], ["AU4", "AU12"])]
    texts = ["AU1 and AU4.", "AU4, AU012 and no AU1.", "AU4"]
    # AU1: TP 1, FP 1 (denials count): 2/3. AU4: in all rows and all texts, no F1. AU12: FN 1 (AU012 is none): 0. AU9: nowhere, no F1.
    found = rege(texts, rows, Scoring("action_units", ("AU1", "AU4", "AU9", "AU12")))
    assert found.re == pytest.approx(100 * (2 / 3 + 0) / 2)


def test_faces_that_nobody_coded_are_left_out() -> None:
    assert rege(["AU1", "AU1"], [_row("", "", ["AU1"]), _row("", "", None)], Scoring("action_units", ("AU1",))).n == 1


@pytest.mark.parametrize(("empty", "n"), [("unknown", 1), ("absent", 2)])
def test_the_protocol_says_what_an_empty_list_means(empty: Any, n: int) -> None:
    rows = [_row("", "", ["AU1"]), _row("", "", [])]
    assert rege(["AU1", "AU1"], rows, Scoring("action_units", ("AU1",), empty)).n == n


@pytest.mark.parametrize(
    ("datasets", "count"),
    [
        (["FABA-Instruct"], 12),
        (["disfa_fold1", "DISFA"], 8),
        (["BP4D"], 12),
        (["gft"], 10),
        (["DISFA", "BP4D"], 2),
        (["mine"], 2),
    ],
)
def test_units_of_the_dataset_else_the_vocabulary(datasets: list[str], count: int) -> None:
    assert len(scored_units(datasets, ["AU1", "AU2"])) == count


def test_evaluate_reports_it_with_intervals_only_when_asked() -> None:
    rows = [_row("A happy face.", "happiness") | {"id": str(index)} for index in range(6)]
    texts = ["A happy face."] * 3 + ["A sad face, distress."] * 3
    plain = evaluate(texts, rows, [], ["happiness", "sadness"], resamples=50)
    asked = evaluate(texts, rows, [], ["happiness", "sadness"], resamples=50, rege_task="emotion")
    assert "text/rege" not in plain.metrics
    figure = asked.metrics["text/rege_re"]
    assert figure["value"] == 50.0 and figure["low"] <= 50.0 <= figure["high"] and figure["n"] == 6
    assert compare(asked, asked)["text/rege"]["difference"] == 0.0
