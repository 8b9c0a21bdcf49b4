"""Open-vocabulary answers: words of the answer, format, words of the reasoning."""

from __future__ import annotations

import time

import pytest

from facial_r1.affect.wheels import load
from facial_r1.errors import InputError
from facial_r1.prompts.open_vocabulary import (
    comparison_request,
    extraction_request,
    is_formatted,
    mentioned_words,
    read_answer,
    read_extraction,
    read_verdict,
    split_words,
)

LISTS = [
    ("commas", "Happy, relieved", ("happy", "relieved")),
    ("a bracketed and quoted list", "['happy', \"relieved\"]", ("happy", "relieved")),
    ("a full stop at the end", "happy, relieved.", ("happy", "relieved")),
    ("and before the last", "happy, sad, and angry", ("happy", "sad", "angry")),
    ("full-width commas", "happy\uff0csad\u3001angry", ("happy", "sad", "angry")),
    ("lines with dashes", "- happy\n- sad", ("happy", "sad")),
    ("semicolons", "happy; sad", ("happy", "sad")),
    ("a label sentence", "The character's emotional state is happy, at ease.", ("happy", "at ease")),
    ("repetitions are kept", "happy, happy", ("happy", "happy")),
    ("an apostrophe inside a word is typographic, as in the tables", "don't care", ("don\u2019t care",)),
    ("blanks inside are single", "at   ease", ("at ease",)),
    ("nested brackets", "[[happy]], ((sad))", ("happy", "sad")),
    ("nothing", " , . [] ", ()),
    ("calm stays calm, unlike in closed label spaces", "calm", ("calm",)),
]


@pytest.mark.parametrize(("rule", "text", "words"), LISTS, ids=[case[0] for case in LISTS])
def test_words_of_a_list(rule: str, text: str, words: tuple[str, ...]):
    assert split_words(text) == words


THINKING = "<think>She smiles.</think><answer>happy</answer>"
READ = [
    ("with reasoning", THINKING, "auto", ("happy",), "think"),
    ("a bare list", "happy, sad", "auto", ("happy", "sad"), "direct"),
    ("a bare list is no answer in think", "happy, sad", "think", (), "think"),
    ("an answer without reasoning", "<answer>happy</answer>", "direct", ("happy",), "direct"),
    ("reasoning in direct mode: the answer counts", THINKING, "direct", ("happy",), "direct"),
    ("reasoning that never ends", "<think>happy", "auto", (), "think"),
    ("an answer that never ends", "<answer>happy", "direct", (), "direct"),
    ("the first answer behind the reasoning", THINKING + "<answer>sad</answer>", "think", ("happy",), "think"),
]


@pytest.mark.parametrize(("rule", "text", "output", "words", "mode"), READ, ids=[case[0] for case in READ])
def test_reading(rule: str, text: str, output: str, words: tuple[str, ...], mode: str):
    answer = read_answer(text, output)
    assert (answer.words, answer.output) == (words, mode)


FORMAT = [  # text, then presence, ordered, exact in think
    ("all right", THINKING, (True, True, True)),
    ("a line break between", "<think>a</think>\n<answer>happy, sad</answer>\n", (True, True, True)),
    ("text in front", "So: " + THINKING, (True, True, False)),
    ("two answers", THINKING + "<answer>sad</answer>", (True, True, False)),
    ("the answer first", "<answer>happy</answer><think>a</think>", (True, False, False)),
    ("an empty item", "<think>a</think><answer>happy,, sad</answer>", (True, True, False)),
    ("blank reasoning", "<think> </think><answer>happy</answer>", (False, False, False)),
    ("blank answer", "<think>a</think><answer> </answer>", (False, False, False)),
    ("no reasoning", "<answer>happy</answer>", (False, False, False)),
    ("reasoning that never ends", "<think>a<answer>happy</answer>", (False, False, False)),
    ("upper case", "<THINK>a</THINK><ANSWER>happy</ANSWER>", (True, True, True)),
    ("nothing", "", (False, False, False)),
]


@pytest.mark.parametrize(("rule", "text", "expected"), FORMAT, ids=[case[0] for case in FORMAT])
def test_format_with_reasoning(rule: str, text: str, expected: tuple[bool, ...]):
    assert tuple(is_formatted(text, "think", strictness) for strictness in ("presence", "ordered", "exact")) == expected


DIRECT = [
    ("a bare list", "happy, sad", (True, True, True)),
    ("in answer tags", "<answer>happy</answer>", (True, True, True)),
    ("text around the tags", "So: <answer>happy</answer>", (True, True, False)),
    ("a sentence", "I think that she is rather happy today", (True, True, False)),
    ("an empty item", "happy,,sad", (True, True, False)),
    ("reasoning", THINKING, (True, False, False)),
    ("an answer that never ends", "<answer>happy", (False, False, False)),
    ("nothing", " . ", (False, False, False)),
]


@pytest.mark.parametrize(("rule", "text", "expected"), DIRECT, ids=[case[0] for case in DIRECT])
def test_format_without_reasoning(rule: str, text: str, expected: tuple[bool, ...]):
    assert tuple(is_formatted(text, "direct", strictness) for strictness in ("presence", "ordered", "exact")) == expected


def test_auto_follows_the_tags():
    assert is_formatted("happy", "auto", "exact")
    assert not is_formatted("<answer>happy</answer>", "auto", "ordered")


MENTIONS = [
    ("words of the tables", "She looks happy and relieved.", ("happy", "relieved")),
    ("in any case", "HAPPY", ("happy",)),
    ("on word boundaries", "unhappyish maddening-ly", ()),
    ("the longest", "He feels let down.", ("let down",)),
    ("with a hyphen", "He is self-conscious.", ("self-conscious",)),
    ("each once, in order", "sad, happy, sad", ("sad", "happy")),
    ("denied", "She is not angry.", ()),
    ("denied and affirmed", "She is not angry but worried.", ("worried",)),
    ("a denied list", "There is no sign of fear or disgust; he is calm.", ("calm",)),
    ("without", "without any anger, only sadness", ("sadness",)),
    ("not only denies nothing", "not only angry", ("angry",)),
    ("words that describe a clip", "His mouth is open and he is close.", ()),
    ("nothing", "", ()),
]


@pytest.mark.parametrize(("rule", "text", "words"), MENTIONS, ids=[case[0] for case in MENTIONS])
def test_words_of_a_reasoning(rule: str, text: str, words: tuple[str, ...]):
    assert mentioned_words(text, load()) == words


def test_an_unknown_output_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match="output='thinking': did you mean 'think'"):
        read_answer("happy", "thinking")


@pytest.mark.parametrize(
    "text", ["<answer>" * 20_000, "happy, " * 20_000, "not " * 20_000, "<think>" * 9_000 + "</think>" * 9_000]
)
def test_long_texts_take_no_more_than_linear_time(text: str):
    started = time.perf_counter()
    for strictness in ("presence", "ordered", "exact"):
        is_formatted(text, "think", strictness)
        is_formatted(text, "direct", strictness)
    mentioned_words(read_answer(text, "direct").text, load())
    assert time.perf_counter() - started < 10


@pytest.mark.reference
def test_descriptions_name_what_people_labelled(reference, tmp_path, monkeypatch):
    """On the 332 OV-MERD descriptions, the dictionary finds most of what the labels say (recall), and more (precision)."""
    from facial_r1.data.ovmer import read_labels, read_texts

    monkeypatch.setenv("FACIAL_R1_CACHE", str(tmp_path))
    wheels = load()
    truths = read_labels(reference / "ovmer" / "ovmerd" / "check-openset.csv")
    texts = read_texts(reference / "ovmer" / "ovmerd" / "final-EMER-reason.csv", "english")
    score = wheels.corpus(truths, {name: mentioned_words(texts[name], wheels) for name in truths})
    assert score.recall > 0.9
    assert score.precision > 0.53


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("[happy, at ease]", ("happy", "at ease")),
        ("Output: ['happy']\n", ("happy",)),
        ("For example [sad]. So: [happy, happy]", ("happy",)),
        ("[]", ()),
        ("[none]", ()),
        ("She is happy.", None),
    ],
)
def test_replies_of_the_extractor(reply: str, words: tuple[str, ...] | None):
    assert read_extraction(reply) == words


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("Verdict: 1", "first"),
        ("Verdict: 1 is tempting.\n**Verdict:** 2", "second"),
        ("verdict - TIE", "tie"),
        ("Both are good.", "failed"),
        ("Verdict: 12", "failed"),
        ("", "failed"),
    ],
)
def test_replies_of_the_judge(reply: str, verdict: str):
    assert read_verdict(reply) == verdict


def test_requests_hold_what_is_asked_about():
    assert "TEXT {braces}" in extraction_request(" TEXT {braces} ")
    request = comparison_request("happy", "sad", "Hello!")
    assert all(part in request for part in ("Answer 1: happy", "Answer 2: sad", "What is said: Hello!"))


@pytest.mark.parametrize(
    "text",
    [
        "<think>She smiles.</think><answer><answer></answer>",
        "<think><think></think><answer>happy</answer>",
        "<think><THINK></think><answer> ,</answer>",
    ],
)
def test_a_stricter_format_implies_the_looser_one(text: str):
    """A block that holds nothing but another tag is blank at every strictness, not only at the loosest."""
    assert [is_formatted(text, "think", strictness) for strictness in ("presence", "ordered", "exact")] == [False] * 3
