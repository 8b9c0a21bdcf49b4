"""ROUGE against values worked out by hand."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1.metrics import rouge
from facial_r1.metrics.text import rouge_pair, rouge_pair_compat, words

GOLDEN = json.loads((Path(__file__).parent / "golden" / "rouge.json").read_text(encoding="utf-8"))["rows"]

# (rule, reference, prediction, ROUGE-1, ROUGE-2, ROUGE-L)
BY_HAND = [
    ("identical", "the brow is low", "the brow is low", 1.0, 1.0, 1.0),
    ("nothing shared", "the brow", "lips part", 0.0, 0.0, 0.0),
    # words 6/6; pairs: the cat, on the, the mat = 3 of 5 and 5; sequence: the cat on the mat = 5
    ("one word moved", "the cat sat on the mat", "the cat on the mat sat", 1.0, 6 / 10, 10 / 12),
    ("shorter prediction", "the cat sat on the mat", "the cat", 4 / 8, 2 / 6, 4 / 8),
    ("repetition is clipped", "the cat", "the the the the", 2 / 6, 0.0, 2 / 6),
    ("order matters for L only", "a b c d", "d c b a", 1.0, 0.0, 2 / 8),
    ("case and punctuation do not count", "The brow, lowered!", "the BROW lowered", 1.0, 1.0, 1.0),
    ("one word has no pairs", "brow", "brow", 1.0, 0.0, 1.0),
    ("nothing written", "the brow", "", 0.0, 0.0, 0.0),
    ("nothing to compare with", "", "the brow", 0.0, 0.0, 0.0),
    ("tags are no words", "the brow", "<think>the brow</think>", 1.0, 1.0, 1.0),
    ("codes are words", "brow AU4", "brow (AU4)", 1.0, 1.0, 1.0),
    ("Chinese agrees with itself", "眉毛下压", "眉毛下压", 1.0, 1.0, 1.0),
    ("Chinese by character", "眉毛下压", "眉毛上扬", 0.5, 2 / 6, 0.5),
]


@pytest.mark.parametrize(("rule", "reference", "prediction", "one", "two", "longest"), BY_HAND, ids=[r[0] for r in BY_HAND])
def test_by_hand(rule: str, reference: str, prediction: str, one: float, two: float, longest: float) -> None:
    found = rouge_pair(reference, prediction)
    assert (found.rouge_1, found.rouge_2, found.rouge_l) == pytest.approx((one, two, longest)), rule


def test_the_mean_over_pairs() -> None:
    assert rouge(["a b", "a b"], ["a b", "c d"]).rouge_l == 0.5


def test_a_stemmer_is_applied_to_both() -> None:
    assert rouge(["raised brows"], ["raise brow"], stem=lambda word: word[:4]).rouge_1 == 1.0


def test_stems_are_compared_by_default() -> None:
    assert rouge(["raised brows, tightening"], ["raise brow tightened"]).rouge_1 == 1.0


def test_without_a_stemmer_words_are_compared_as_they_are() -> None:
    assert rouge(["raised brows"], ["raise brow"], stem=None).rouge_1 == 0.0


@pytest.mark.parametrize("case", GOLDEN, ids=[str(index) for index in range(len(GOLDEN))])
def test_compat_equals_the_rouge_score_package(case: list[Any]) -> None:
    found = rouge_pair_compat(case[0], case[1])
    assert (found.rouge_1, found.rouge_2, found.rouge_l) == pytest.approx(case[2:5], abs=1e-11)


def test_compat_equals_the_package_to_its_last_digit() -> None:
    """8.2: F comes from precision and recall; from the counts the first would be 0.5454545454545454 too, the second 0.4444444444444444."""
    found = rouge_pair_compat("a b c d e f", "a b c x y")
    assert (found.rouge_1, found.rouge_2, found.rouge_l) == (0.5454545454545454, 0.4444444444444445, 0.5454545454545454)


def test_strict_equals_compat_on_english_without_tags() -> None:
    for reference, prediction, *_ in GOLDEN:
        if "<" not in reference + prediction and (reference + prediction).isascii():
            assert rouge_pair(reference, prediction) == rouge_pair_compat(reference, prediction)


def test_letters_with_accents_part_words_in_compat_only() -> None:
    assert rouge_pair("caf\u00e9", "caf").rouge_1 == 0.0 and rouge_pair_compat("caf\u00e9", "caf").rouge_1 == 1.0


def test_words() -> None:
    assert words("<think>Lid-tightener (AU7) isn't 眉毛.</think>") == ["lid", "tightener", "au7", "isn", "t", "眉", "毛"]


@pytest.mark.parametrize(("references", "predictions"), [([], []), (["a"], ["a", "b"])])
def test_pairs_are_needed(references: list[str], predictions: list[str]) -> None:
    with pytest.raises(ValueError, match=r"no texts|2 predictions"):
        rouge(references, predictions)


def _longest_common(one: list[str], two: list[str]) -> int:
    row = [0] * (len(two) + 1)
    for a in one:
        diagonal = 0
        for index, b in enumerate(two, start=1):
            diagonal, row[index] = row[index], diagonal + 1 if a == b else max(row[index], row[index - 1])
    return row[-1]


WORDS = st.lists(st.sampled_from("abcde"), max_size=80)


@given(WORDS, WORDS)
@settings(deadline=None)
def test_the_fast_subsequence_equals_the_table(one: list[str], two: list[str]) -> None:
    expected = 2 * _longest_common(one, two) / (len(one) + len(two)) if one and two else 0.0
    assert rouge_pair(" ".join(one), " ".join(two)).rouge_l == pytest.approx(expected)


@given(st.text(max_size=200), st.text(max_size=200))
@settings(deadline=None)
def test_any_text_scores_between_0_and_1_and_symmetrically(one: str, two: str) -> None:
    forth, back = rouge_pair(one, two), rouge_pair(two, one)
    assert 0 <= forth.rouge_l <= forth.rouge_1 <= 1
    assert (forth.rouge_1, forth.rouge_2, forth.rouge_l) == pytest.approx((back.rouge_1, back.rouge_2, back.rouge_l))


def test_a_prediction_of_two_megabytes_takes_linear_time() -> None:
    started = time.process_time()
    rouge_pair("the inner brows rise and the lids tighten " * 10, "the brow " * 250_000)
    assert time.process_time() - started < 8.0
