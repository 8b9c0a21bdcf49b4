"""From completions and records to every figure, and back from stored samples."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1 import rewards
from facial_r1.errors import InputError
from facial_r1.metrics.bootstrap import interval_of_mean
from facial_r1.metrics.evaluate import Evaluation, compare, evaluate, mean_figures

UNITS = ["AU1", "AU4", "AU12"]
SPACE = ["anger", "fear", "happiness"]


def wrap(thinking: str, answer: str) -> str:
    return f"<think>{thinking}</think><answer>{answer}</answer>"


def record(number: int, units: list[str] | None, labels: list[str], subject: str | None = None) -> dict[str, Any]:
    description = wrap("the brows are low (AU4)", "anger") if labels else ""
    return {
        "id": f"r{number}", "dataset": "d", "AUs": units, "labels": labels, "description": description, "subject": subject,
    }  # fmt: skip


RECORDS = [
    record(0, ["AU4"], ["anger"], "s1"),
    record(1, ["AU4", "AU1"], ["fear"], "s1"),
    record(2, ["AU12"], ["happiness"], "s2"),
    record(3, None, ["anger"], "s2"),
    record(4, ["AU1"], [], "s3"),
]
COMPLETIONS = [
    wrap("the brows are low (AU4)", "anger"),
    wrap("low brows (AU4), no AU1", "anger"),
    "<think>the corners (AU12) <answer>happiness</answer>",
    wrap("calm", "banana"),
    wrap("AU1, AU99 and AU17", "fear"),
]


@pytest.fixture(scope="module")
def result() -> Evaluation:
    return evaluate(COMPLETIONS, RECORDS, UNITS, SPACE, resamples=200)


BY_HAND = {
    "emotion/accuracy": (1 / 4, 4),
    "emotion/uar": ((1 / 2 + 0 + 0) / 3, 4),
    "emotion/macro_f1": ((2 * 1 / (2 + 2) + 0 + 0) / 3, 4),
    "emotion/recall/anger": (1 / 2, 4),
    # AU4: TP 2; AU1: TP 1, FN 1; AU12: FN 1 (reasoning that never ends names nothing)
    "au/f1/AU4": (1.0, 4),
    "au/f1/AU1": (2 / 3, 4),
    "au/f1/AU12": (0.0, 4),
    "au/macro_f1": (5 / 9, 4),
    "au/micro_f1": (2 * 3 / (2 * 3 + 2), 4),
    "au/subset_accuracy": (2 / 4, 4),
    "au/set_f1": ((1 + 2 / 3 + 0 + 1) / 4, 4),
    "au/hallucinated": (0.0, 4),
    "au/outside_vocabulary": (2 / 5, 4),
    "format/valid": (4 / 5, 5),
    "format/truncated": (1 / 5, 5),
    "format/parsed": (3 / 5, 5),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(result: Evaluation, name: str) -> None:
    value, n = BY_HAND[name]
    assert (result.metrics[name]["value"], result.metrics[name]["n"]) == (pytest.approx(value), n)


def test_every_published_name_is_there(result: Evaluation) -> None:
    names = {"text/rouge_1", "text/rouge_2", "text/rouge_l", *BY_HAND}
    assert names <= set(result.metrics)


def test_every_figure_has_its_interval_n_and_clusters(result: Evaluation) -> None:
    for name, figure in result.metrics.items():
        assert set(figure) == {"value", "low", "high", "n", "clusters"}, name
        assert figure["low"] <= figure["value"] <= figure["high"], name


def test_failures_are_counted(result: Evaluation) -> None:
    assert result.failures == {
        "unparsed": 2,
        "truncated": 1,
        "invalid_format": 1,
        "unknown_action_units": 1,
        "without_labels": 1,
        "without_action_units": 1,
        "without_reference": 1,
    }


def test_unparsed_answers_have_a_column(result: Evaluation) -> None:
    assert result.confusion is not None
    assert result.confusion.matrix == [[1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 1]]


def test_subjects_of_different_datasets_are_different_people() -> None:
    rows = [{**RECORDS[0], "dataset": name, "id": str(index)} for index, name in enumerate("aab")]
    assert evaluate([COMPLETIONS[0]] * 3, rows, UNITS, SPACE, resamples=10).metrics["format/valid"]["clusters"] == 2


def test_rows_without_subject_are_their_own_cluster() -> None:
    rows = [record(index, ["AU4"], ["anger"]) for index in range(3)]
    assert evaluate([COMPLETIONS[0]] * 3, rows, UNITS, SPACE, resamples=10).metrics["au/macro_f1"]["clusters"] == 3


def test_the_engines_word_on_truncation_is_taken() -> None:
    found = evaluate(COMPLETIONS[:1], RECORDS[:1], UNITS, SPACE, finish_reasons=["length"])
    assert found.metrics["format/truncated"]["value"] == 1.0 and found.metrics["emotion/accuracy"]["value"] == 1.0


@pytest.mark.parametrize(("empty", "n"), [("unknown", None), ("absent", 1)])
def test_the_protocol_says_what_an_empty_list_means(empty: Any, n: int | None) -> None:
    found = evaluate([wrap("calm", "fear")], [record(0, [], ["fear"])], UNITS, SPACE, empty_action_units=empty)
    assert found.metrics.get("au/set_f1", {}).get("n") == n


def test_an_open_vocabulary_is_scored_over_the_labels_that_occur() -> None:
    found = evaluate([wrap("x", "Awe"), wrap("x", "sad")], [record(0, None, ["awe"]), record(1, None, ["fear"])], [], [])
    assert found.labels == ("fear", "awe") and found.metrics["emotion/accuracy"]["value"] == 0.5


def test_without_vocabulary_units_are_not_scored() -> None:
    found = evaluate(COMPLETIONS, RECORDS, [], SPACE, resamples=10)
    assert not any(name.startswith("au/") for name in found.metrics)


def test_without_resamples_there_are_no_intervals() -> None:
    found = evaluate(COMPLETIONS, RECORDS, UNITS, SPACE, resamples=0).metrics["emotion/accuracy"]
    assert (found["value"], found["low"], found["high"]) == (0.25, None, None)


def test_baselines(result: Evaluation) -> None:
    assert result.baselines["majority"]["emotion/accuracy"]["value"] == 0.5
    # AU1 and AU4 for every face: set F1 2/3, 1, 0, 2/3
    assert result.baselines["constant"]["au/set_f1"]["value"] == pytest.approx((2 / 3 + 1 + 0 + 2 / 3) / 4)


def test_a_label_outside_the_protocol_names_the_record() -> None:
    with pytest.raises(InputError, match="record r9: field labels: 'contempt'"):
        evaluate([COMPLETIONS[0]], [record(9, None, ["contempt"])], UNITS, SPACE)


@pytest.mark.parametrize("records", [[], RECORDS])
def test_a_record_for_each_completion(records: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match=r"no completions|5 records"):
        evaluate(COMPLETIONS[: len(records) // 2], records, UNITS, SPACE)


def test_what_does_not_look_like_an_answer_does_not_raise() -> None:
    texts = ["", "\x00", "<think>" * 50, "</answer><answer>", "\ud800", "AU" * 1000]
    found = evaluate(texts, [RECORDS[0]] * len(texts), UNITS, SPACE, resamples=10)
    assert found.metrics["emotion/accuracy"]["value"] == 0.0 and found.failures["unparsed"] == len(texts)


def test_means_of_many_values_are_those_of_each() -> None:
    clusters = ["a", "a", "b", "c", "d"]
    columns = {
        "x": [1.0, 0.0, None, 0.5, 1.0],
        "y": [0.25, 1.0, 0.5, 0.0, 1.0],
        "z": [1.0, 0.0, None, 0.0, 0.0],
        "none": [None] * 5,
    }
    found = mean_figures(columns, clusters, resamples=100, seed=3)
    assert found == {name: interval_of_mean(columns[name], clusters, resamples=100, seed=3) for name in "xyz"}


# --- reward and metric are one function -------------------------------------------------------------------------------------

PARTS = st.sampled_from(["AU1", "no AU4", "AU12", "AU9", "AU99", "calm"])
TEXTS = st.builds(
    lambda thinking, answer, form: form.format(", ".join(thinking), answer),
    st.lists(PARTS, max_size=4),
    st.sampled_from([*SPACE, "Angry.", "anger, fear", "banana", ""]),
    st.sampled_from(["<think>{}</think><answer>{}</answer>", "<think>{} {}", "{} {}", "<think>{}</think>{}"]),
)
ROWS = st.builds(
    lambda units, labels: {"AUs": units, "labels": labels},
    st.one_of(st.none(), st.lists(st.sampled_from([*UNITS, "AU9"]), unique=True, max_size=3)),
    st.lists(st.sampled_from(SPACE), max_size=2),
)


@given(TEXTS, ROWS)
@settings(max_examples=200, deadline=None)
def test_each_sample_scores_as_it_was_rewarded(text: str, row: dict[str, Any]) -> None:
    (sample,) = evaluate([text], [row], UNITS, SPACE, resamples=0, empty_action_units="absent").samples
    for metric, name, options in (
        ("emotion/accuracy", "accuracy", {}),
        ("au/set_f1", "au", {"vocabulary": UNITS, "empty": "absent"}),
        ("format/valid", "format", {}),
    ):
        assert sample["scores"][metric] == rewards.score(name, [text], [row], **options)[0], metric


# --- comparison -----------------------------------------------------------------------------------------------------------


def _many(right: int, count: int = 60) -> Evaluation:
    rows = [record(index, ["AU4"], ["anger"], f"s{index % 20}") for index in range(count)]
    texts = [COMPLETIONS[0] if index < right else wrap("AU12", "fear") for index in range(count)]
    return evaluate(texts, rows, UNITS, SPACE, resamples=300)


def test_a_better_system_differs_by_what_it_is_better() -> None:
    found = compare(_many(50), _many(20))["emotion/accuracy"]
    assert found["difference"] == pytest.approx(0.5) and found["low"] > 0 and found["p"] < 0.05
    assert (found["n"], found["clusters"]) == (60, 20)


def test_every_metric_is_compared() -> None:
    one = _many(30)
    assert set(compare(one, one)) == set(one.metrics)


def test_records_are_paired_by_id_whatever_their_order() -> None:
    one = _many(50)
    turned = Evaluation(**{**_fields(one), "samples": one.samples[::-1]})
    found = compare(turned, one)["au/macro_f1"]
    assert (found["difference"], found["p"]) == (0.0, 1.0)


def test_only_shared_records_are_compared() -> None:
    assert compare(_many(50), _many(10, count=30))["emotion/accuracy"]["n"] == 30


def test_stored_samples_compare_as_fresh_ones() -> None:
    one, two = _many(50), _many(20)
    stored = Evaluation(**{**_fields(one), "samples": json.loads(json.dumps(one.samples)), "families": []})
    assert compare(stored, two) == compare(one, two)


def test_repeated_ids_are_paired_by_occurrence() -> None:
    rows = [RECORDS[0], RECORDS[0]]
    one = evaluate([COMPLETIONS[0], wrap("AU1", "fear")], rows, UNITS, SPACE)
    assert compare(one, one)["emotion/accuracy"]["n"] == 2


def _fields(result: Evaluation) -> dict[str, Any]:
    return {name: getattr(result, name) for name in Evaluation.__dataclass_fields__}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: evaluate(COMPLETIONS, RECORDS, UNITS[:2], SPACE, resamples=1), "one protocol"),
        (lambda: evaluate(COMPLETIONS[:1], [{**RECORDS[0], "id": "z"}], UNITS, SPACE, resamples=1), "share no record"),
        (lambda: evaluate(COMPLETIONS[:1], [{**RECORDS[0], "labels": ["fear"]}], UNITS, SPACE, resamples=1), "different truths"),
    ],
)
def test_what_cannot_be_compared_is_refused(result: Evaluation, other: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare(result, other())


def test_the_size_of_a_benchmark_is_scored_in_seconds() -> None:
    count = 3_589
    rows = [{**RECORDS[index % 3], "id": str(index), "subject": None} for index in range(count)]
    texts = [COMPLETIONS[index % 5] + " " * (index % 7) for index in range(count)]
    started = time.process_time()
    evaluate(texts, rows, UNITS, SPACE, compat=True)
    assert time.process_time() - started < 5.0
