"""The parser that rewards, metrics, synthesis and reports share."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1.prompts.completion import MAX_ANSWER, Parsed, clean_label, is_compat_format, labels_in, parse

GOOD = "<think>Cheeks rise (AU6), lip corners are pulled (AU12).</think><answer>happiness</answer>"


def test_the_expected_form_is_taken_apart() -> None:
    parsed = parse(GOOD)
    assert parsed.thinking == "Cheeks rise (AU6), lip corners are pulled (AU12)."
    assert (parsed.answer, parsed.action_units, parsed.labels) == ("happiness", ("AU6", "AU12"), ("happiness",))
    assert parsed.valid and not parsed.truncated and parsed.negated == () and parsed.unknown == ()


def test_spans_and_parts_are_offsets_into_the_completion() -> None:
    parsed = parse(GOOD)
    assert [GOOD[m.start : m.end] for m in parsed.spans] == ["AU6", "AU12"]
    assert parsed.thinking_span is not None and GOOD[slice(*parsed.thinking_span)] == parsed.thinking
    assert parsed.answer_span is not None and GOOD[slice(*parsed.answer_span)] == "happiness"


# (rule, completion, labels, action units, valid, truncated)
STRICT = [
    ("tags in any case", "<THINK>AU4</Think><Answer>Anger</ANSWER>", ("anger",), ("AU4",), True, False),
    ("blanks around and between", " \n<think>AU4</think>\n\n<answer> anger </answer>\n", ("anger",), ("AU4",), True, False),
    ("thinking never ends", "<think>AU4 <answer>anger</answer>", (), (), False, True),
    ("thinking never ends, nothing else", "<think>AU4 and AU7", (), (), False, True),
    ("answer never ends, reasoning is read", "<think>AU4</think><answer>anger", (), ("AU4",), False, True),
    ("no answer", "<think>AU4</think>", (), ("AU4",), False, False),
    ("no tags: nothing is graded", "AU4 anger", (), (), False, False),
    ("bare word", "anger", (), (), False, False),
    ("empty", "", (), (), False, False),
    ("answer without reasoning is read", "<answer>anger</answer>", ("anger",), (), False, False),
    ("answer inside the reasoning is not read", "<think><answer>fear</answer>AU4</think><answer>anger</answer>",
     ("anger",), ("AU4",), False, False),
    ("first answer behind the reasoning", "<think>AU4</think><answer>anger</answer><answer>fear</answer>",
     ("anger",), ("AU4",), False, False),
    ("first reasoning", "<think>AU4</think><think>AU1</think><answer>anger</answer>", ("anger",), ("AU4",), False, False),
    ("reasoning behind the answer: the answer came too early", "<answer>anger</answer><think>AU4</think>",
     (), ("AU4",), False, False),
    ("blank reasoning", "<think> </think><answer>anger</answer>", ("anger",), (), False, False),
    ("blank answer", "<think>AU4</think><answer> </answer>", (), ("AU4",), False, False),
    ("text in front", "Sure! <think>AU4</think><answer>anger</answer>", ("anger",), ("AU4",), False, False),
    ("text behind", "<think>AU4</think><answer>anger</answer> Done.", ("anger",), ("AU4",), False, False),
    ("text between", "<think>AU4</think> so <answer>anger</answer>", ("anger",), ("AU4",), False, False),
    ("closing tag alone", "AU4</think><answer>anger</answer>", ("anger",), (), False, False),
    ("Kelvin sign is no k", "<thin\u212a>AU4</thin\u212a><answer>anger</answer>", ("anger",), (), False, False),
    ("units in the answer", "<think>a smile</think><answer>AU6, AU12</answer>", (), ("AU6", "AU12"), True, False),
    ("units outside the tags", "AU1 <think>AU4</think> AU2 <answer>anger</answer>", ("anger",), ("AU4",), False, False),
    ("named twice", "<think>AU4, AU7 and again AU4</think><answer>anger</answer>", ("anger",), ("AU4", "AU7"), True, False),
    ("leading zeros", "<think>AU04 and AU004</think><answer>anger</answer>", ("anger",), ("AU4",), True, False),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "text", "labels", "units", "valid", "truncated"), STRICT, ids=[row[0] for row in STRICT])
def test_strict(rule: str, text: str, labels: tuple[str, ...], units: tuple[str, ...], valid: bool, truncated: bool) -> None:
    parsed = parse(text)
    assert (parsed.labels, parsed.action_units, parsed.valid, parsed.truncated) == (labels, units, valid, truncated), rule


def _units(thinking: str) -> Parsed:
    return parse(f"<think>{thinking}</think><answer>anger</answer>")


def test_denied_units_are_kept_apart() -> None:
    parsed = _units("no AU4, but AU1")
    assert (parsed.action_units, parsed.negated) == (("AU1",), ("AU4",))


@pytest.mark.parametrize(
    ("thinking", "units", "negated"),
    [
        ("AU4 seems absent. On a second look AU4 is clear.", ("AU4",), ()),
        ("AU4 is clear. On a second look there is no AU4.", (), ("AU4",)),
    ],
)
def test_the_last_mention_decides(thinking: str, units: tuple[str, ...], negated: tuple[str, ...]) -> None:
    parsed = _units(thinking)
    assert (parsed.action_units, parsed.negated) == (units, negated)


def test_numbers_outside_facs_are_listed_as_unknown() -> None:
    parsed = _units("AU4 and AU99")
    assert (parsed.action_units, parsed.unknown) == (("AU4",), ("AU99",))


ANSWERS = [
    ("Anger", ("anger",)),
    (" angry. ", ("anger",)),
    ("**Happy!**", ("happiness",)),
    ('"fear"', ("fear",)),
    ("\\boxed{fear}", ("fear",)),
    ("<b>fear</b>", ("fear",)),
    ("anger, fear", ("anger", "fear")),
    ("anger; fear", ("anger", "fear")),
    ("anger and fear", ("anger", "fear")),
    ("Anger or fear", ("anger", "fear")),
    ("anger/fear", ("anger", "fear")),
    ("anger\nfear", ("anger", "fear")),
    ("anger, and fear", ("anger", "fear")),
    ("anger, Angry", ("anger",)),
    ("no emotion", ("neutral",)),
    ("Awe.", ("awe",)),
    ("mixed feelings", ("mixed feelings",)),
    ("the person is angry", ("the person is angry",)),
    ("AU4 and AU7", ()),
    ("anger, AU4", ("anger",)),
    ("...", ()),
    ("", ()),
    ("sandy", ("sandy",)),
]


@pytest.mark.parametrize(("answer", "labels"), ANSWERS, ids=[answer or "empty" for answer, _ in ANSWERS])
def test_labels_of_an_answer(answer: str, labels: tuple[str, ...]) -> None:
    assert labels_in(answer) == labels


def test_a_long_answer_is_prose() -> None:
    assert labels_in("anger, " * MAX_ANSWER) == ()


@pytest.mark.parametrize(("written", "label"), [("Happy", "happiness"), (" SURPRISED ", "surprise"), ("Awe", "awe"), ("", "")])
def test_record_labels_are_cleaned_the_same_way(written: str, label: str) -> None:
    assert clean_label(written) == label


# --- compat: the released code's reading (spec 4.1 to 4.3) --------------------------------------------------------

COMPAT = [
    ("last answer", "<answer>fear</answer><answer>anger</answer>", "anger", ()),
    ("whole completion without tags", " anger\n", "anger", ()),
    ("answer tags in lower case only", "<Answer>anger</Answer>", "<Answer>anger</Answer>", ()),
    ("first think", "<think>AU4</think><think>AU1</think><answer>x</answer>", "x", ("AU4",)),
    ("think tags in any case", "<THINK>AU4</think><answer>x</answer>", "x", ("AU4",)),
    ("no think: no units", "AU4<answer>x</answer>", "x", ()),
    ("lower case counts", "<think>(au15)</think>", "<think>(au15)</think>", ("AU15",)),
    ("a blank is missed", "<think>AU 1 AU-4</think><answer>x</answer>", "x", ()),
    ("the second of a sum is missed", "<think>AU6+12</think><answer>x</answer>", "x", ("AU6",)),
    ("leading zeros are another token", "<think>AU012</think><answer>x</answer>", "x", ("AU012",)),
    ("denials count", "<think>no AU4</think><answer>x</answer>", "x", ("AU4",)),
    ("answer inside an open think", "<think>AU4<answer>x</answer>", "x", ()),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "text", "answer", "units"), COMPAT, ids=[row[0] for row in COMPAT])
def test_compat(rule: str, text: str, answer: str, units: tuple[str, ...]) -> None:
    parsed = parse(text, mode="compat")
    assert (parsed.answer, parsed.action_units) == (answer, units), rule


FRAGMENTS = st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "<Think>", "AU4", " ", "\n", "au12", "no ", "x"])
TEXTS = st.one_of(st.text(), st.lists(FRAGMENTS, max_size=12).map("".join))


@given(TEXTS)
@settings(max_examples=500, deadline=None)
def test_compat_format_equals_the_released_expression(text: str) -> None:
    expected = re.fullmatch(r"<think>.*?</think>\s*<answer>.*?</answer>", text, re.DOTALL) is not None
    assert is_compat_format(text) == expected


@given(TEXTS)
@settings(max_examples=500, deadline=None)
def test_compat_parts_equal_the_released_expressions(text: str) -> None:
    answers = re.findall(r"<answer>(.*?)</answer>", text, re.DOTALL)
    thinking = re.search(r"<think>(.*?)</think>", text, re.DOTALL | re.IGNORECASE | re.ASCII)
    units = set(re.findall(r"AU\d+", thinking.group(1).upper())) if thinking else set()
    parsed = parse(text, "compat")
    assert parsed.answer == (answers[-1].strip() if answers else text.strip())
    assert set(parsed.action_units) == units


# --- any text ------------------------------------------------------------------------------------------------------


@given(TEXTS, st.sampled_from(["strict", "compat"]))
@settings(max_examples=500, deadline=None)
def test_no_text_raises_and_parts_are_disjoint(text: str, mode: str) -> None:
    parsed = parse(text, mode)  # type: ignore[arg-type]
    assert not set(parsed.action_units) & set(parsed.negated)
    assert all(0 <= m.start < m.end <= len(text) for m in parsed.spans)
    assert not (parsed.valid and parsed.truncated)


LARGE = {
    "units": lambda: "<think>" + "no AU4, AU7 and " * 1_000_000 + "</think><answer>anger</answer>",
    "open tags": lambda: "<think>" * 2_000_000,
    "open answers": lambda: "<answer>a" * 1_500_000,
    "closing tags": lambda: "</think> " * 1_500_000,
    "blanks": lambda: "<think></think>" + " " * 16_000_000,
    "digits": lambda: "<think>AU" + "1" * 16_000_000,
    "labels": lambda: "<think>x</think><answer>" + "a," * 8_000_000 + "</answer>",
    "cues": lambda: "<think>" + "no " * 5_000_000 + "AU4</think>",
    "brackets": lambda: "<think>AU4" + "(" * 16_000_000 + " AU5</think>",
}


@pytest.mark.parametrize("mode", ["strict", "compat"])
@pytest.mark.parametrize("kind", LARGE)
def test_sixteen_megabytes_take_linear_time(kind: str, mode: str) -> None:
    text = LARGE[kind]()
    started = time.process_time()
    parse(text, mode)  # type: ignore[arg-type]
    assert time.process_time() - started < 8.0


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="strict"):
        parse("x", mode="loose")  # type: ignore[arg-type]
