"""Labels and figures of FERBench, against the recorded output of the released scripts and against their rules."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1.data.ferbench import LABELS
from facial_r1.errors import InputError
from facial_r1.metrics.ferbench import UNKNOWN, Figures, Stopped, evaluate, extract
from tests.metrics.ferbench_cases import answer, predictions, recorded, result, results

# --- recorded ----------------------------------------------------------------------------------------------------------


def test_every_recorded_extraction_is_reproduced(reference: Path) -> None:
    rows = [json.loads(line) for line in (reference / "ferbench_golden" / "extraction_golden.jsonl").read_text().splitlines()]
    differing = [
        (row["dataset"], row["response"], script)
        for row in rows
        for script in ("dataset", "total")
        if extract(row["response"], row["candidate_labels"], row["dataset"], script=script) != row[f"eval_{script}"]
    ]
    assert rows and not differing


def test_every_recorded_metrics_file_is_reproduced_to_the_last_digit(reference: Path) -> None:
    for case in recorded(reference):
        parts = predictions(case)
        for name, rows in [*parts.items(), ("total", parts)]:
            expected = json.loads((case / "expected" / f"{name}_metrics.json").read_text())
            assert dict(evaluate(rows, name)) == expected, f"{case.name} {name}"


def test_the_pooled_figures_do_not_depend_on_how_the_results_are_given(reference: Path) -> None:
    parts = predictions(recorded(reference)[-1])
    flat = [row for rows in parts.values() for row in rows]
    assert evaluate(flat, "pooled") == evaluate(parts, "total")


# --- extraction --------------------------------------------------------------------------------------------------------

_PIECES = ["<answer>", "</answer>", "<ANSWER>", "</Answer>", "\n", " ", "\t", "\u2028", "happy", "sad", "x", "<think>", "\r\n"]
_PIECES += ["<an\u017fwer>", "</AN\u017fWER>", "\x1c", "\x85", "\u3000", "< answer >", "</answer"]


def by_pattern(response: str, dataset: str, script: str) -> str | None:
    """The answer block by the pattern that the rules describe."""
    if dataset == "sfew" and script == "dataset":
        found = re.search(r"<answer>\s*(.*?)\s*</answer>", response, re.DOTALL)
    else:
        found = re.search(r"<answer>\s*(.*?)\s*</answer>", response, re.IGNORECASE)
    return found[1].strip().lower() if found else None


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from(_PIECES), max_size=14), st.sampled_from(["sfew", "ferplus"]), st.sampled_from(["dataset", "total"])
)
def test_the_linear_reader_finds_what_the_pattern_finds(pieces: list[str], dataset: str, script: str) -> None:
    response = "".join(pieces)
    candidates = ["happy", "sad"]
    block = by_pattern(response, dataset, script)
    expected = next((label for label in candidates if block is not None and label in block), None)
    expected = expected or next((label for label in candidates if label in response.lower()), UNKNOWN)
    assert extract(response, candidates, dataset, script=script) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dataset", "response", "compat", "strict"),
    [
        ("rafdb", answer("unhappy"), "happiness", "sadness"),
        ("rafdb", answer("dangerous"), "anger", UNKNOWN),
        ("affectnet", answer("nomad"), "anger", UNKNOWN),
        ("rafdb", answer("nomad"), UNKNOWN, UNKNOWN),
        ("rafdb", answer("not happiness but sadness"), "happiness", "sadness"),
        ("rafdb", answer("neutral, surprise"), "surprise", UNKNOWN),
        ("affectnet", answer("neutral, surprise"), "neutral", UNKNOWN),
        ("rafdb", "I see fear, then surprise.", "surprise", UNKNOWN),
        ("rafdb", answer("astonished"), UNKNOWN, "surprise"),
        ("rafdb", answer("2", "It may be fear."), "fear", UNKNOWN),
        ("sfew", answer("surprise\nand more", "angry"), "surprise", "surprise"),
        ("ferplus", answer("surprise\nand more", "angry"), "angry", "surprise"),
    ],
)
def test_both_readings_of_an_answer(dataset: str, response: str, compat: str, strict: str) -> None:
    found = [extract(response, LABELS[dataset], dataset, mode) for mode in ("compat", "strict")]  # type: ignore[arg-type]
    assert found == [compat, strict]


@pytest.mark.parametrize("name", ["sfew", "sfew_2.0", "SFEW-2.0", "SFEW 2.0"])
def test_a_dataset_is_known_by_its_usual_spellings(name: str) -> None:
    assert extract("<answer>one\nhappy</answer>", LABELS["sfew"], name) == "happy"


def test_an_unknown_dataset_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InputError, match="did you mean 'ferplus'"):
        extract("x", ["happy"], "ferplu")
    with pytest.raises(InputError, match="script='total'"):
        extract("x", ["happy"], "total")


@pytest.mark.parametrize("mode", ["compat", "strict"])
@pytest.mark.parametrize(
    "piece", ["<answer>", "</answer>", "<answer>\n", "<answer> ", "<think>", "a", " ", "\n", "<answer>x\n</answer>", "not "]
)
def test_a_long_response_is_read_in_linear_time(piece: str, mode: str) -> None:
    """50 MB of one kind, 5 MB of the others."""
    response = piece * ((50_000_000 if piece == "<answer>" else 5_000_000) // len(piece)) + "happy"
    began = time.perf_counter()
    label = extract(response, LABELS["sfew"], "rafdb", mode)  # type: ignore[arg-type]
    assert label == ("happy" if mode == "compat" else UNKNOWN)
    assert time.perf_counter() - began < 60


# --- figures -----------------------------------------------------------------------------------------------------------


def test_an_unknown_answer_is_one_more_class_of_the_compat_averages() -> None:
    rows = results("rafdb", 7)
    rows[0]["model_response"] = "no idea"
    compat = evaluate(rows, "rafdb")
    assert compat.overall["recall"] == pytest.approx(6 / 8) and compat.unknown == 1
    assert sum(map(sum, compat.confusion_matrix)) == 6, "the released matrix does not show unknown answers"


def test_strict_shows_unknown_answers_and_never_makes_them_a_class() -> None:
    rows = results("rafdb", 7)
    rows[0]["model_response"] = "no idea"
    strict = evaluate(rows, "rafdb", mode="strict")
    assert strict.overall["uar"] == pytest.approx(6 / 7)
    assert sum(map(sum, strict.confusion_matrix)) == 7 and strict.confusion_matrix[0][-1] == 1


@pytest.mark.parametrize(("error", "counted"), [(True, 6), ("yes", 6), (1, 6), (False, 7), (None, 7), (0, 7), ("", 7)])
def test_compat_leaves_out_results_with_a_true_error_and_strict_counts_them_as_wrong(error: object, counted: int) -> None:
    rows = results("rafdb", 7)
    rows[3] |= {"error": error}
    assert evaluate(rows, "rafdb").counted == counted
    strict = evaluate(rows, "rafdb", "strict")
    assert strict.counted == 7 and strict.overall["accuracy"] == pytest.approx(counted / 7)


def test_the_candidates_of_the_last_counted_result_order_the_report() -> None:
    rows = results("rafdb", 3)
    rows[-2]["candidate_labels"] = sorted(rows[-2]["candidate_labels"])
    rows[-1] |= {"error": True, "candidate_labels": ["fear"]}
    assert evaluate(rows, "rafdb").labels == tuple(sorted(LABELS["rafdb"]))


def test_compat_compares_the_truth_as_written() -> None:
    rows = [result("rafdb", 3, answer("happiness"), true_label="Happiness"), result("rafdb", 0)]
    assert evaluate(rows, "rafdb").overall["accuracy"] == 0.5
    assert evaluate(rows, "rafdb", "strict").overall["accuracy"] == 1.0


def test_compat_stops_where_no_truth_is_a_row_of_the_matrix() -> None:
    """6.3: the matrix has the candidates of the last counted result, and scikit-learn refuses one that no truth is in. Pooled, its
    labels are the truths themselves."""
    rows = [result("rafdb", 3, answer("happiness"), true_label="Happiness"), result("rafdb", 0, error=True)]
    with pytest.raises(Stopped, match=r"none of the 1 true labels \(Happiness\) is among the candidates"):
        evaluate(rows, "rafdb")
    assert evaluate(rows, "total").labels == ("Happiness",)
    assert evaluate(rows, "rafdb", "strict").overall["accuracy"] == 0.5


def test_a_class_of_the_truth_that_is_no_candidate_counts_in_the_averages_alone() -> None:
    """6.3: averages run over the union of truth and predictions, matrix and table over the candidates."""
    rows = [*results("rafdb", 7), result("rafdb", 0, answer("fear"), true_label="contempt")]
    figures = evaluate(rows, "rafdb")
    assert figures.overall["recall"] == pytest.approx(7 / 8) and sum(map(sum, figures.confusion_matrix)) == 7
    assert {row["emotion"] for row in figures.per_class} == set(LABELS["rafdb"])


def test_results_that_repeat_are_counted_as_often_as_they_occur() -> None:
    """6.3: the scripts drop errors and nothing else."""
    rows = results("rafdb", 2, ["no idea"])
    assert evaluate([*rows, rows[1]], "rafdb").overall["accuracy"] == pytest.approx(2 / 3)


def test_the_pooled_figures_use_the_pooled_script_and_the_merged_words() -> None:
    parts = {"sfew_2.0": [result("sfew", 3, answer("happy\nindeed", "angry"))], "rafdb": results("rafdb", 7)}
    assert evaluate(parts["sfew_2.0"], "sfew_2.0").overall["accuracy"] == 1.0
    pooled = evaluate(parts, "total")
    assert pooled.overall["accuracy"] == pytest.approx(7 / 8) and "happiness" in pooled.labels and "happy" not in pooled.labels


@pytest.mark.parametrize("rows", [[], [result("rafdb", 0, error=True)]])
def test_nothing_to_count_is_an_error_of_the_input(rows: list[dict[str, object]]) -> None:
    for name in ("rafdb", "total"):
        with pytest.raises(InputError, match="none of the"):
            evaluate(rows, name)


@pytest.mark.parametrize(("key", "value"), [("true_label", None), ("model_response", 3), ("candidate_labels", "fear")])
def test_a_result_that_cannot_be_judged_is_refused_with_its_key(key: str, value: object) -> None:
    rows = [result("rafdb", 0) | {key: value}]
    for mode in ("compat", "strict"):
        with pytest.raises(InputError, match=key):
            evaluate(rows, "rafdb", mode)  # type: ignore[arg-type]


def test_figures_are_a_mapping_of_the_published_keys_and_unpack_into_them() -> None:
    figures = evaluate(results("sfew", 7), "sfew")
    overall, per_class, matrix = figures
    assert isinstance(figures, Figures)
    assert list(dict(figures)) == ["overall", "per_class", "confusion_matrix"]
    assert (figures["overall"], figures["per_class"], figures["confusion_matrix"]) == (overall, per_class, matrix)
    with pytest.raises(KeyError):
        figures["labels"]


def test_strict_without_required_tags_reads_bare_answers() -> None:
    rows = [result("rafdb", 0, "surprise")]
    assert evaluate(rows, "rafdb", "strict").overall["accuracy"] == 0.0
    assert evaluate(rows, "rafdb", "strict", tag_required=False).overall["accuracy"] == 1.0
