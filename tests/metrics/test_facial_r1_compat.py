"""The figures of the released evaluation, by hand, and beside the strict ones."""

from __future__ import annotations

from typing import Any

import pytest

from facial_r1.errors import InputError
from facial_r1.metrics.evaluate import Evaluation, compare, evaluate
from facial_r1.metrics.facial_r1_compat import Classes, emotion, judge_mean, units


def wrap(thinking: str, answer: str) -> str:
    return f"<think>{thinking}</think><answer>{answer}</answer>"


RECORDS: list[dict[str, Any]] = [
    {"id": "0", "AUs": ["AU4"], "labels": ["anger"], "description": wrap("low brows (AU4)", "anger")},
    {"id": "1", "AUs": ["AU4", "AU12"], "labels": ["fear", "anger"], "description": ""},
    {"id": "2", "AUs": [], "labels": ["anger"], "description": ""},
    {"id": "3", "AUs": None, "labels": [], "description": ""},
]
COMPLETIONS = [
    wrap("low brows (AU4), no AU12", "anger, fear"),
    wrap("AU4 AU9", "anger") + "<answer>fear</answer>",
    wrap("AU4", " "),
    "AU12 at rest",
]
UNITS, SPACE = ["AU4", "AU12"], ["anger", "fear"]


@pytest.fixture(scope="module")
def result() -> Evaluation:
    return evaluate(COMPLETIONS, RECORDS, UNITS, SPACE, resamples=100, compat=True)


BY_HAND = {
    # row 0 right by its first item, row 1 wrong (only labels[0] counts), row 2 had no item; row 3 has no label
    "compat/emotion/accuracy": (1 / 3, 3),
    "compat/emotion/recall/anger": (1 / 2, 3),
    "compat/emotion/recall/fear": (0.0, 3),
    # AU4: TP 2 (rows 0, 1), FP 1 (row 2). AU12: FP 2 (rows 0, 3: uncoded rows count), FN 1. AU9 is no class.
    "compat/au/f1/AU4": (4 / 5, 4),
    "compat/au/f1/AU12": (0.0, 4),
    "compat/au/macro_f1": (2 / 5, 4),
    "compat/au/micro_f1": (2 * 2 / (2 * 2 + 3 + 1), 4),
    "compat/au/micro_recall": (2 / 3, 4),
    "compat/au/macro_recall": (1 / 2, 4),
    "compat/au/subset_accuracy": (0.0, 4),
    # Beside them, strict:
    "emotion/accuracy": (1 / 3, 3),
    "au/f1/AU4": (1.0, 2),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(result: Evaluation, name: str) -> None:
    value, n = BY_HAND[name]
    assert (result.metrics[name]["value"], result.metrics[name]["n"]) == (pytest.approx(value), n)


def test_every_figure_has_an_interval(result: Evaluation) -> None:
    for name, figure in result.metrics.items():
        if name.startswith("compat/"):
            assert figure["low"] <= figure["value"] <= figure["high"], name


def test_rouge_runs_over_all_rows_and_counts_tags(result: Evaluation) -> None:
    # row 0: think low brows au4 think answer anger answer (8 words) in 11; the rows without description add 0
    assert result.metrics["compat/text/rouge_1"]["value"] == pytest.approx(2 * 8 / (8 + 11) / 4)
    assert result.metrics["text/rouge_1"]["n"] == 1


def test_without_any_description_there_is_no_rouge() -> None:
    rows = [{**row, "description": ""} for row in RECORDS]
    assert "compat/text/rouge_l" not in evaluate(COMPLETIONS, rows, UNITS, SPACE, resamples=0, compat=True).metrics


def test_answers_that_stopped_the_released_code_are_counted(result: Evaluation) -> None:
    assert result.failures["compat_empty_answer"] == 1


def test_only_when_asked() -> None:
    plain = evaluate(COMPLETIONS, RECORDS, UNITS, SPACE, resamples=0)
    assert not any(name.startswith("compat/") for name in plain.metrics) and "compat_empty_answer" not in plain.failures


def test_classes_come_from_the_truth_by_number() -> None:
    rows = [{"AUs": ["AU12", "AU4"], "labels": ["fear"]}, {"AUs": ["AU012"], "labels": ["awe", ""]}]
    assert Classes.of(rows) == Classes(("awe", "fear"), ("AU4", "AU012", "AU12"), False)


def test_compared_only_where_both_have_the_same_classes(result: Evaluation) -> None:
    assert compare(result, result)["compat/au/micro_f1"]["difference"] == 0.0
    part = evaluate(COMPLETIONS[:1], RECORDS[:1], UNITS, SPACE, resamples=10, compat=True)
    assert not any(name.startswith("compat/") for name in compare(result, part))


def test_different_truths_are_refused() -> None:
    rows = [{**RECORDS[0], "labels": ["anger", "fear"]}, {**RECORDS[1], "labels": ["fear"]}]
    turned = [{**RECORDS[0], "labels": ["fear", "anger"]}, {**RECORDS[1], "labels": ["anger"]}]
    one, two = (evaluate(COMPLETIONS[:2], part, UNITS, SPACE, resamples=1, compat=True) for part in (rows, turned))
    with pytest.raises(InputError, match="different truths"):
        compare(one, two)


@pytest.mark.parametrize(("scores", "mean"), [([8, None, 4], 4.0), ([None], 0.0), ([], 0.0)])
def test_failed_judge_calls_are_zero(scores: list[float | None], mean: float) -> None:
    assert judge_mean(scores) == mean


@pytest.mark.parametrize("text", ["", "<answer>", "<think>", "</answer><answer>", "\ud800", "AU" * 1000])
def test_any_text_is_read(text: str) -> None:
    assert units(text) == frozenset() and emotion(text) in (None, text.strip() or None)
