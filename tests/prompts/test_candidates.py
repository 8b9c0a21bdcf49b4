"""Which candidate an answer chooses: whole words, no order, no guess."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1.prompts.candidates import MAX_RESPONSE, choose, named, same_label

NOUNS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
ADJECTIVES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def answered(text: str) -> str:
    return f"<think>The brow is raised.</think><answer>{text}</answer>"


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("fear", "fear"),
        (" Fear.\n", "fear"),
        ("**Happy**", "happiness"),
        ("The person is angry.", "anger"),
        ("one\nsurprise\nthree", "surprise"),
        ("not happiness but sadness", "sadness"),
        ("neither happy nor sad, but surprised", "surprise"),
        ("sadness rather than fear", "sadness"),
        ("isn't angry; it is disgust", "disgust"),
        ("unhappy", "sadness"),
        ("no emotion", "neutral"),
        ("not happy", None),
        ("fear, surprise", None),
        ("surprise, fear", None),
        ("contempt", None),
        ("anger or contempt", None),
        ("dangerous", None),
        ("crusade", None),
        ("abnormal", None),
        ("blanket", None),
        ("nomad", None),
        ("", None),
        ("2", None),
        ("s a d", None),
    ],
)
def test_what_an_answer_chooses(text: str, chosen: str | None) -> None:
    assert choose(answered(text), NOUNS) == chosen


def test_the_candidate_is_written_as_the_list_writes_it() -> None:
    assert choose(answered("happiness"), ADJECTIVES) == "happy"
    assert choose(answered("Sorrow"), ("Sad", "Joyful")) == "Sad"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*NOUNS, *ADJECTIVES, "not", "but", "and", ",", "x"]), max_size=6), st.permutations(NOUNS))
def test_the_order_of_the_candidates_does_not_matter(words: list[str], order: list[str]) -> None:
    assert choose(answered(" ".join(words)), order) == choose(answered(" ".join(words)), NOUNS)


@pytest.mark.parametrize(
    ("completion", "required", "optional"),
    [
        ("fear", None, "fear"),
        ("<think>fear</think>anger", None, "anger"),
        ("<think>x</think><answer>neutral", None, "neutral"),
        ("<think>fear and anger", None, None),
        ("<answer >fear</answer>", None, "fear"),
        ("<ANSWER>fear</ANSWER>", "fear", "fear"),
        ("<think>sad</think> <answer>fear</answer> sadness", "fear", "fear"),
        ("The face shows fear, not anger.", None, "fear"),
        ("fear or anger", None, None),
    ],
)
def test_an_answer_without_a_block_counts_only_when_that_is_asked_for(
    completion: str, required: str | None, optional: str | None
) -> None:
    assert (choose(completion, NOUNS), choose(completion, NOUNS, tag_required=False)) == (required, optional)


def test_the_reasoning_does_not_choose() -> None:
    assert choose("<think>the <answer></answer> tags, not neutral</think><answer>surprise</answer>", NOUNS) == "surprise"


@pytest.mark.parametrize(("blocks", "chosen"), [(("fear", "anger"), None), (("fear", "fear"), "fear"), (("", "anger"), "anger")])
def test_blocks_that_differ_choose_nothing(blocks: tuple[str, str], chosen: str | None) -> None:
    for order in itertools.permutations(blocks):
        assert choose("".join(f"<answer>{text}</answer>" for text in order), NOUNS) == chosen


def test_an_overlong_completion_chooses_nothing_and_takes_no_time() -> None:
    began = time.perf_counter()
    assert choose("<answer>" * 8_000_000 + "fear</answer>", NOUNS) is None
    assert choose(answered("not " * (MAX_RESPONSE // 5) + "fear"), NOUNS) is None
    assert choose("not " * (MAX_RESPONSE // 5) + "fear", NOUNS, tag_required=False) is None
    assert time.perf_counter() - began < 5


def test_same_label_finds_other_spellings() -> None:
    assert [same_label(word, ADJECTIVES) for word in ("Happiness", "anger", "sad", "contempt", "")] == [
        "happy",
        "angry",
        "sad",
        None,
        None,
    ]


def test_named_reads_bare_text() -> None:
    assert named("a happy face", ADJECTIVES) == "happy"
