"""AffectGPT-R1's rewards: values by hand, options, and no text that breaks them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from facial_r1 import rewards
from facial_r1.affect.wheels import load
from facial_r1.errors import InputError
from facial_r1.rewards.open_vocabulary import jaccard, use_extractor
from tests.command import ROOT

HAPPY = {"id": "1", "labels": ["joyful", "relieved"]}
NAMES = ("ov_format", "ov_accuracy", "ov_dual", "ov_alignment")


def wrap(thinking: str, answer: str) -> str:
    return f"<think>{thinking}</think><answer>{answer}</answer>"


def one(name: str, completion: str, record: dict[str, Any] = HAPPY, **options: Any) -> float | None:
    (value,) = rewards.score(name, [completion], [record], **options)
    return value


@pytest.fixture(autouse=True)
def no_extractor() -> Iterator[None]:
    yield
    use_extractor(None)


def test_accuracy_is_the_f_of_the_clip():
    assert one("ov_accuracy", wrap("a", "joyful, angry")) == load().f(["joyful", "relieved"], ["joyful", "angry"])


def test_accuracy_reads_the_answer_not_the_reasoning():
    assert one("ov_accuracy", wrap("joyful, relieved", "furious")) == 0.0


def test_a_bare_list_is_read_unless_reasoning_is_required():
    assert one("ov_accuracy", "joyful, relieved") > 0.8
    assert one("ov_accuracy", "joyful, relieved", output="think") == 0.0


def test_no_overlap_is_0_not_nan():
    assert one("ov_accuracy", wrap("a", "furious")) == 0.0


@pytest.mark.parametrize("labels", [[], [""], None, "", "[]"])
def test_a_record_without_labels_has_no_value(labels: object):
    assert one("ov_accuracy", wrap("a", "happy"), {"id": "1", "labels": labels}) is None
    assert one("ov_dual", wrap("happy", "happy"), {"id": "1", "labels": labels}) is None


def test_labels_may_be_a_published_string():
    assert one("ov_accuracy", wrap("a", "joyful"), {"labels": "['joyful', 'relieved']"}) == one(
        "ov_accuracy", wrap("a", "joyful")
    )


def test_labels_that_are_no_labels_name_the_record():
    with pytest.raises(InputError, match="record 7: field labels"):
        one("ov_accuracy", "happy", {"id": 7, "labels": 3})


def test_neutral_earns_nothing_in_compat_and_everything_in_strict():
    record = {"labels": ["neutral"]}
    assert one("ov_accuracy", wrap("a", "neutral"), record) == 0.0
    assert one("ov_accuracy", wrap("a", "neutral"), record, mode="strict") == 1.0


def test_padding_with_unknown_words_is_free_in_compat_and_costs_in_strict():
    short, padded = wrap("a", "joyful, relieved"), wrap("a", "joyful, relieved, blorp, gnarf")
    assert one("ov_accuracy", padded) == one("ov_accuracy", short)
    assert one("ov_accuracy", padded, mode="strict") < one("ov_accuracy", short, mode="strict")


@pytest.mark.parametrize(("penalty", "factor"), [("p1", 1 / 3), ("p2", 1 / 2), ("p3", math.log(2) / math.log(4))])
def test_accuracy_is_multiplied_by_the_penalty(penalty: str, factor: float):
    completion = wrap("a", "joyful, relieved, glad, merry")
    assert one("ov_accuracy", completion, penalty=penalty) == pytest.approx(factor * one("ov_accuracy", completion))


@pytest.mark.parametrize(("count", "words"), [("unique", 4), ("raw", 5), ("mapped", 3)])
def test_what_the_penalty_counts(count: str, words: int):
    completion = wrap("a", "joyful, relieved, glad, blorp, joyful")
    plain = one("ov_accuracy", completion)
    assert one("ov_accuracy", completion, penalty="p2", count=count) == pytest.approx(plain * 2 / words)


@pytest.mark.parametrize(("count", "true"), [("unique", 2), ("raw", 3)])
def test_repetitions_count_on_both_sides_or_on_none(count: str, true: int):
    completion = wrap("a", "joyful, relieved, glad, merry")
    truth = {"labels": ["joyful", "Joyful", "relieved"]}
    plain, paid = (
        rewards.score("ov_accuracy", [completion], [truth], penalty=penalty, count=count)[0] for penalty in ("none", "p2")
    )
    assert paid == pytest.approx(plain * true / 4), "three labels as listed, two distinct ones"


def test_dual_scores_the_words_of_the_reasoning_with_their_own_penalty():
    completion = wrap("He is joyful and relieved, not angry.", "furious")
    assert one("ov_dual", completion) == load().f(["joyful", "relieved"], ["joyful", "relieved"])
    longer = wrap("He is joyful, relieved, glad, merry.", "furious")
    assert one("ov_dual", longer, penalty="p2") == pytest.approx(one("ov_dual", longer) / 2)


def test_rewards_on_reasoning_do_not_apply_to_bare_answers():
    assert one("ov_dual", "joyful") is None
    assert one("ov_alignment", "joyful") is None
    assert one("ov_alignment", wrap("joyful", "joyful"), output="direct") is None


def test_alignment_is_the_mean_jaccard():
    wheels = load()
    assert one("ov_alignment", wrap("She is joyful.", "joyful")) == 1.0
    assert one("ov_alignment", wrap("She is joyful.", "furious")) == 0.0
    half = one("ov_alignment", wrap("She is joyful.", "joyful, furious"))
    assert half == pytest.approx(jaccard(wheels, ["joyful"], ["joyful", "furious"]))
    assert 0.4 < half < 0.6


def test_a_wheel_without_any_sector_counts_zero_in_the_mean_jaccard():
    """One fifth of the sum over five wheels, however few of them have a place for the words."""
    source = load().source
    wheels = load()
    placed = {word: [bool(wheels.sectors([word], wheel)) for wheel in range(1, 6)] for word in source.forms}
    word, where = next((word, where) for word, where in sorted(placed.items()) if 0 < sum(where) < 5)
    assert jaccard(wheels, [word], [word]) == pytest.approx(sum(where) / 5)
    assert jaccard(wheels, [word], [word], mode="strict") == 1.0, "strict leaves such wheels out"
    assert jaccard(wheels, ["blorp"], ["blorp"]) == jaccard(wheels, ["blorp"], ["blorp"], mode="strict") == 0.0


def test_alignment_by_threshold_is_0_or_1():
    completion = wrap("She is joyful.", "joyful, furious, sad, disgusted")
    assert one("ov_alignment", completion, form="threshold") == 0.0
    assert one("ov_alignment", completion, form="threshold", threshold=0.3) == 1.0


def test_alignment_of_nothing_with_nothing_is_0():
    assert one("ov_alignment", wrap("The lips part.", "blorp")) == 0.0


def test_the_model_extractor_is_asked_once_for_each_text():
    asked: list[str] = []

    def extract(texts: list[str]) -> list[list[str]]:
        asked.extend(texts)
        return [["Joyful ", "joyful"] for _ in texts]

    use_extractor(extract)
    completion = wrap("text", "joyful")
    assert rewards.score("ov_dual", [completion, completion, "bare"], [HAPPY] * 3, extractor="llm") == [
        pytest.approx(load().f(["joyful", "relieved"], ["joyful"])),
        pytest.approx(load().f(["joyful", "relieved"], ["joyful"])),
        None,
    ]
    assert asked == ["text"]


def test_the_model_extractor_must_be_set_up():
    with pytest.raises(InputError, match="extractor=llm: no language model is set up"):
        one("ov_dual", wrap("a", "b"), extractor="llm")


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("ov_accuracy", "penalty", "p4"),
        ("ov_accuracy", "p3_variant", "ours"),
        ("ov_accuracy", "count", "all"),
        ("ov_accuracy", "mode", "lenient"),
        ("ov_accuracy", "level", 3),
        ("ov_accuracy", "wheels", "mer2027"),
        ("ov_accuracy", "output", "json"),
        ("ov_format", "strictness", "exactly"),
        ("ov_alignment", "form", "dice"),
        ("ov_dual", "extractor", "human"),
    ],
)
def test_options_that_do_not_exist_are_refused(name: str, option: str, value: object):
    with pytest.raises(InputError, match=f"{option}={value!r}"):
        one(name, wrap("a", "happy"), **{option: value})


@pytest.mark.parametrize("name", ["affectgpt_r1", "affectgpt_r1_v1", "affectgpt_r1_direct"])
def test_shipped_settings_score(name: str):
    values = yaml.safe_load((ROOT / "conf" / "reward" / f"{name}.yaml").read_text())
    completion = "joyful, relieved" if name.endswith("direct") else wrap("He is joyful.", "joyful, relieved")
    scores = {key: rewards.score(key, [completion], [HAPPY], **values["options"][key]) for key in values["weights"]}
    (total,) = rewards.combine(scores, values["weights"])
    assert total == pytest.approx(values["weights"]["ov_format"] + scores["ov_accuracy"][0])


# --- fuzzing -----------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    ["<think>", "</think>", "<answer>", "</answer>", "<THINK>", "happy", "not angry", "sad", "neutral", ",", "\uff0c", "\u3001", ";", "[", "]", "[[", "'"]
    + ['"', "\u201c", "\u3010", "\u9ad8\u5174", "\U0001f642", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u200b", "\x00", "\n", " ", ".", "don't care", "I\u0307"]
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=30).map("".join), st.lists(PIECES, max_size=30).map(" ".join))
LABELS = st.one_of(
    st.none(),
    st.text(max_size=50),
    st.lists(st.one_of(st.text(max_size=12), st.sampled_from(["happy", "sad", "neutral"])), max_size=6),
)
OPTIONS = [
    ("ov_format", {"output": output, "strictness": strictness})
    for output in ("auto", "think", "direct")
    for strictness in ("presence", "ordered", "exact")
]
OPTIONS += [
    (name, {"mode": mode, "level": level, "output": output, "penalty": penalty, "p3_variant": variant, "count": count})
    for name in ("ov_accuracy", "ov_dual")
    for mode, level, output, penalty, variant, count in (
        ("compat", 1, "auto", "none", "paper", "unique"),
        ("strict", 1, "think", "p1", "paper", "raw"),
        ("compat", 2, "direct", "p2", "paper", "mapped"),
        ("strict", 2, "auto", "p3", "paper", "mapped"),
        ("compat", 1, "auto", "p3", "plus_one_if_single", "mapped"),
        ("strict", 1, "direct", "p3", "plus_one_always", "raw"),
    )
]
OPTIONS += [("ov_alignment", {"form": form, "mode": mode}) for form in ("jaccard", "threshold") for mode in ("compat", "strict")]


@settings(max_examples=150, deadline=None)
@given(completion=TEXTS, labels=LABELS)
@example(completion=", ".join(f"label {number}" for number in range(10_000)), labels=["happy"])
@example(completion=wrap("x " * 10_000, ", ".join(["happy"] * 10_000)), labels=["happy"])
@example(completion="[" * 5_000 + "happy" + "]" * 5_000, labels="[")
@example(completion="", labels=[])
def test_no_text_raises_or_leaves_0_to_1(completion: str, labels: object):
    record = {"id": "1", "labels": labels}
    for name, options in OPTIONS:
        value = one(name, completion, record, **options)
        assert value is None or 0.0 <= value <= 1.0, (name, options, value)


@settings(max_examples=150, deadline=None)
@given(truth=LABELS, said=TEXTS)
def test_no_labels_raise_in_the_metric(truth: object, said: str):
    wheels = load()
    for mode in ("compat", "strict"):
        for level in (1, 2):
            score = wheels.pair(truth, said, level, mode)
            assert all(0.0 <= score[name] <= 1.0 for name in ("f", "precision", "recall"))
            assert 0.0 <= wheels.f(truth, said, level, mode) <= 1.0
