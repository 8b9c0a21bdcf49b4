"""THE TABLE: edge cases of the released Facial-R1 code, each with the value it gives and the rule that says so.

A rule names its section of the specification of Facial-R1: 2.3 and 4.4 rarity weights, 3 prompts, 4.1 accuracy, 4.2 format, 4.3 action
units, 4.5 the sum, 8.2 metrics and REGE. Where our strict reading differs, `strict` holds its value for the same input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from facial_r1 import rewards
from facial_r1.affect import emola, emola_released
from facial_r1.metrics import facial_r1_compat as evaluation
from facial_r1.metrics.evaluate import evaluate
from facial_r1.metrics.rege import Scoring, rege, rouge_l_by_sentence
from facial_r1.metrics.text import rouge_pair, rouge_pair_compat
from facial_r1.prompts.completion import parse
from facial_r1.prompts.template import Prompt, compat_labels, render
from facial_r1.rewards import rarity

SAME = object()
"""In place of a strict value: there is none to compare with."""


def wrap(thinking: str, answer: str = "anger") -> str:
    return f"<think>{thinking}</think><answer>{answer}</answer>"


@dataclass(frozen=True)
class Case:
    """What goes in, what comes out, and why."""

    rule: str
    function: str
    given: tuple[Any, ...]
    expected: Any
    strict: Any = SAME


# --- what is called -----------------------------------------------------------------------------------------------------------

PROMPT = Prompt.from_mapping(
    yaml.safe_load((Path(__file__).parents[2] / "conf" / "prompt" / "facial_r1_compat.yaml").read_text(encoding="utf-8"))
)


def _reward(name: str) -> Callable[..., Any]:
    return lambda completion, record: rewards.score(name, [completion], [record])[0]


def _sum(values: dict[str, float | None], weights: dict[str, float], limit: float | None) -> float | None:
    return rewards.combine({name: [value] for name, value in values.items()}, weights, limit)[0]


def _prompt_line(start: str, record: dict[str, Any], space: list[str] | None, training: bool) -> str:
    """The first line of the prompt that holds `start`, from there on."""
    line = next(line for line in render(PROMPT, record, space, "labels", training=training).splitlines() if start in line)
    return line[line.index(start) :]


def _figure(prefix: str) -> Callable[..., Any]:
    def figure(name: str, completions: list[str], records: list[dict[str, Any]]) -> float | None:
        rows = [{"id": str(index), **record} for index, record in enumerate(records)]
        found = evaluate(completions, rows, ["AU1", "AU4", "AU12"], ["anger", "fear"], resamples=0, compat=True)
        return found.metrics[f"{prefix}{name}"]["value"]

    return figure


COMPAT: dict[str, Callable[..., Any]] = {
    "au": _reward("au_compat"),
    "accuracy": _reward("accuracy_compat"),
    "format": _reward("format_compat"),
    "sum": _sum,
    "labels": compat_labels,
    "prompt": _prompt_line,
    "unit weights": rarity.unit_weights_compat,
    "row weights": rarity.row_weights_compat,
    "batch factor": rarity.batch_factor_compat,
    "units read": lambda text: sorted(evaluation.units(text)),
    "emotion read": evaluation.emotion,
    "figure": _figure("compat/"),
    "rouge": lambda reference, text: rouge_pair_compat(reference, text).rouge_1,
    "judge": evaluation.judge_mean,
    "rege emotion": emola_released.emotion_of_text,
    "rege units": lambda text: sorted(emola_released.units_of_text(text)),
    "rege re": lambda texts, rows, units: rege(texts, rows, Scoring("action_units", tuple(units))).re,
    "rege rouge": rouge_l_by_sentence,
}
STRICT: dict[str, Callable[..., Any]] = {
    "au": _reward("au"),
    "accuracy": _reward("accuracy"),
    "format": _reward("format"),
    "row weights": lambda rows, _: rarity.row_weights(rows),
    "units read": lambda text: sorted(parse(text).action_units),
    "emotion read": lambda text: next(iter(parse(text).labels), None),
    "figure": _figure(""),
    "rouge": lambda reference, text: rouge_pair(reference, text).rouge_1,
    "rege emotion": emola.emotion_of_text,
}

# --- the table ----------------------------------------------------------------------------------------------------------------

AU4, AU47, ANGER, NONE = {"AUs": ["AU4"]}, {"AUs": ["AU4", "AU7"]}, {"labels": ["anger"]}, {"AUs": [], "labels": []}

REWARDS = [
    Case("4.3: all right is 1", "au", (wrap("AU4 AU7"), AU47), 1.0, 1.0),
    Case("4.3: 2 F1 - 1", "au", (wrap("AU4"), AU47), 1 / 3, 2 / 3),
    Case("4.3: precision and recall weigh the same", "au", (wrap("AU4 AU7"), AU4), 1 / 3, 2 / 3),
    Case("4.3: a set, repetition counts once", "au", (wrap("AU4 AU4 AU7"), AU47), 1.0, 1.0),
    Case("4.3: no overlap is -1", "au", (wrap("AU1"), AU4), -1.0, 0.0),
    Case("4.3: none named is -1", "au", (wrap("a frown"), AU4), -1.0, 0.0),
    Case("4.3: no annotation is 0", "au", (wrap("AU4"), NONE), 0.0, None),
    Case("4.3: no annotation, none named is 0", "au", (wrap("calm"), NONE), 0.0, None),
    Case("4.3: AUs null is no annotation", "au", (wrap("AU4"), {"AUs": None}), 0.0, None),
    Case("4.3: no think block, no units", "au", ("AU4<answer>x</answer>", AU4), -1.0),
    Case("4.3: reasoning that never ends is no block", "au", ("<think>AU4", AU4), -1.0, 0.0),
    Case("4.3: first think block only", "au", ("<think>AU1</think>" + wrap("AU4"), AU4), -1.0, 0.0),
    Case("4.3: think tags in any case", "au", ("<THINK>AU4</THINK>", AU4), 1.0, 1.0),
    Case("4.3: in Unicode's sense of case", "au", ("<thin\u212a>AU4</thin\u212a>", AU4), 1.0, 0.0),
    Case("4.3: line breaks inside the block", "au", (wrap("a\nAU4\n"), AU4), 1.0, 1.0),
    Case("4.3: AU<blank>1 is missed", "au", (wrap("AU 4"), AU4), -1.0, 1.0),
    Case("4.3: AU-4 is missed", "au", (wrap("AU-4"), AU4), -1.0, 1.0),
    Case("4.3: the 12 of AU6+12 is missed", "au", (wrap("AU6+12"), {"AUs": ["AU6", "AU12"]}), 1 / 3, 1.0),
    Case("4.3: AU012 is another token", "au", (wrap("AU012"), {"AUs": ["AU12"]}), -1.0, 1.0),
    Case("4.3: (au15) counts", "au", (wrap("(au15)"), {"AUs": ["AU15"]}), 1.0, 1.0),
    Case("4.3: denied mentions count", "au", (wrap("no AU4"), AU4), 1.0, 0.0),
    Case("4.3: annotation is upper-cased", "au", (wrap("AU4"), {"AUs": ["au4"]}), 1.0, 1.0),
    Case("4.3: units that nobody annotated are punished", "au", (wrap("AU12 AU14"), {"AUs": ["AU12"]}), 1 / 3),
    Case("4.3: units that FACS does not have are punished", "au", (wrap("AU4 AU99"), AU4), 1 / 3, 1.0),
    Case("4.3: units in the answer do not count", "au", (wrap("x", "AU4"), AU4), -1.0, 1.0),
    Case("4.1: equal", "accuracy", (wrap("x"), ANGER), 1.0, 1.0),
    Case("4.1: wrong", "accuracy", (wrap("x", "fear"), ANGER), 0.0, 0.0),
    Case("4.1: blanks are stripped", "accuracy", (wrap("x", " anger\n"), ANGER), 1.0, 1.0),
    Case("4.1: case matters", "accuracy", (wrap("x", "Anger"), ANGER), 0.0, 1.0),
    Case("4.1: punctuation matters", "accuracy", (wrap("x", "anger."), ANGER), 0.0, 1.0),
    Case("4.1: another form of the word is wrong", "accuracy", (wrap("x", "angry"), ANGER), 0.0, 1.0),
    Case("4.1: two answers in one are wrong", "accuracy", (wrap("x", "anger, fear"), ANGER), 0.0, 0.0),
    Case("4.1: last answer", "accuracy", ("<answer>fear</answer><answer>anger</answer>", ANGER), 1.0, 0.0),
    Case("4.1: last answer, the first is right", "accuracy", ("<answer>anger</answer><answer>fear</answer>", ANGER), 0.0, 1.0),
    Case("4.1: answer tags in lower case only", "accuracy", (f"<ANSWER>fear</ANSWER>{wrap('x')}", ANGER), 1.0),
    Case("4.1: bare word", "accuracy", ("anger", ANGER), 1.0, 0.0),
    Case("4.1: bare word with blanks", "accuracy", (" anger\n", ANGER), 1.0, 0.0),
    Case("4.1: empty answer", "accuracy", (wrap("x", ""), ANGER), 0.0, 0.0),
    Case("4.1: empty completion", "accuracy", ("", ANGER), 0.0, 0.0),
    Case("4.1: only the first label", "accuracy", (wrap("x", "fear"), {"labels": ["anger", "fear"]}), 0.0, 1.0),
    Case("4.1: no label is 0.5", "accuracy", (wrap("x"), NONE), 0.5, None),
    Case('4.1: labels [""] is 0.5', "accuracy", (wrap("x"), {"labels": [""]}), 0.5, None),
    Case("4.1: no label is 0.5, whatever is written", "accuracy", ("", NONE), 0.5, None),
    Case('4.1: a label of the letters of "answer" is 0.5', "accuracy", (wrap("x", "awe"), {"labels": ["awe"]}), 0.5, 1.0),
    Case('4.1: "sneer" too, right or wrong', "accuracy", (wrap("x"), {"labels": ["sneer"]}), 0.5, 0.0),
    Case("4.1: reasoning that never ends does not matter", "accuracy", ("<think>x<answer>anger</answer>", ANGER), 1.0, 0.0),
    Case("4.1: an answer that never ends is no answer", "accuracy", ("<think>x</think><answer>anger", ANGER), 0.0, 0.0),
    Case("4.2: full structure", "format", (wrap("x"), {}), 1.0, 1.0),
    Case("4.2: blanks between", "format", ("<think>x</think> \n <answer>y</answer>", {}), 1.0, 1.0),
    Case("4.2: empty tags pass", "format", (wrap("", ""), {}), 1.0, 0.0),
    Case("4.2: a character in front fails", "format", (" " + wrap("x"), {}), 0.0, 1.0),
    Case("4.2: a final line break fails", "format", (wrap("x") + "\n", {}), 0.0, 1.0),
    Case("4.2: several answers pass", "format", (wrap("x") + "<answer>y</answer>", {}), 1.0, 0.0),
    Case(
        "4.2: text and another block between pass",
        "format",
        ("<think>a</think>b<think>c</think><answer>d</answer>", {}),
        1.0,
        0.0,
    ),
    Case("4.2: text between the only two blocks fails", "format", ("<think>a</think>b<answer>c</answer>", {}), 0.0, 0.0),
    Case("4.2: tags in capitals fail", "format", ("<THINK>x</THINK><ANSWER>y</ANSWER>", {}), 0.0, 1.0),
    Case("4.2: wrong order fails", "format", ("<answer>y</answer><think>x</think>", {}), 0.0, 0.0),
    Case("4.2: reasoning alone fails", "format", ("<think>x</think>", {}), 0.0, 0.0),
    Case("4.2: joint that overlaps the closing tag fails", "format", ("<think></think><answer>", {}), 0.0, 0.0),
    Case("4.2: dots match line breaks", "format", ("<think>a\nb</think>\n<answer>c\n</answer>", {}), 1.0, 1.0),
    Case("4: the sum has weight 1 each", "sum", ({"a": 1 / 3, "b": 1.0, "c": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}, 10.0), 7 / 3),
    Case("4: the sum is clamped to 10", "sum", ({"a": 8.0, "b": 8.0}, {"a": 1.0, "b": 1.0}, 10.0), 10.0),
    Case("4: and to -10", "sum", ({"a": -8.0, "b": -8.0}, {"a": 1.0, "b": 1.0}, 10.0), -10.0),
]

RARITY = [
    Case(
        "2.3: units weigh as the inverse of their frequency",
        "unit weights",
        ({"AU1": 0.3, "AU2": 0.1},),
        {"AU1": 0.25, "AU2": 0.75},
    ),
    Case(
        "2.3: a unit that never occurs weighs almost all", "unit weights", ({"AU1": 1.0, "AU2": 0.0},), {"AU1": 0.0, "AU2": 1.0}
    ),
    Case(
        "2.3: sums of units, min-max normalised in the file",
        "row weights",
        ([["AU1"], ["AU2"], ["AU1", "AU2"]], {"AU1": 0.3, "AU2": 0.1}),
        [0.0, 2 / 3, 1.0],
    ),
    Case("2.3: all equal is 0", "row weights", ([["AU1"], ["AU1"]], {"AU1": 0.5}), [0.0, 0.0], [1.0, 1.0]),
    Case("4.4: rows without units get 0", "row weights", ([[], ["AU1"]], {"AU1": 0.5}), [0.0, 1.0], [1.0, 1.0]),
    Case("4.4: the loss is scaled by ten times the sum: 80 for 8 completions", "batch factor", ([1.0] * 8,), 80.0),
    Case("4.4: a batch of the commonest pattern learns nothing", "batch factor", ([0.0] * 8,), 0.0),
]

PROMPTS = [
    Case(
        "3.1: labels are printed as dict_keys",
        "prompt",
        ("dict_keys", {}, ["fear", "anger"], True),
        "dict_keys(['anger', 'fear']).",
    ),
    Case("2.3: labels of all files together", "labels", ([["fear"], ["contempt", "anger"]], True), ("anger", "contempt", "fear")),
    Case("2.3: a file of units only lists those of the others", "labels", ([["fear"], None], True), ("fear",)),
    Case(
        "2.3: only files of units: the seven emotions",
        "labels",
        ([None, []], True),
        ("anger", "happiness", "sadness", "neutral", "disgust", "surprise", "fear"),
    ),
    Case("8.1: evaluation has no fallback", "labels", ([None], False), ()),
    Case("8.1: and prints dict_keys([])", "prompt", ("dict_keys", {}, None, False), "dict_keys([])."),
    Case(
        "2.1: the default question", "prompt", ("What is", {"question": ""}, ["fear"], True), "What is the emotion of this face?"
    ),
    Case("2.1: <image> is taken out of the question", "prompt", ("Who", {"question": "<image>Who?"}, ["fear"], True), "Who?"),
    Case("3.1: its name for AU13", "prompt", ("- AU13", {}, ["fear"], True), "- AU13: Cheek puffer;"),
    Case("3.1: its spelling of AU11", "prompt", ("- AU11", {}, ["fear"], True), "- AU11: Nasolabial Furrow Deepener;"),
    Case(
        "3.1: the example is anger, whatever the labels",
        "prompt",
        ("<answer>anger", {}, ["fear"], True),
        "<answer>anger</answer>",
    ),
    Case(
        "7.2: true units as a sorted Python list", "prompt", ("['AU", {"AUs": ["AU4", "AU12"]}, ["fear"], True), "['AU12', 'AU4']"
    ),
    Case("7.2: true labels as a Python list", "prompt", ("['fear", {"labels": ["fear"]}, [], False), "['fear']"),
]

FACES = [{"AUs": ["AU4"], "labels": ["anger"]}, {"AUs": ["AU12"], "labels": ["fear"]}]

METRICS = [
    Case("8.2: units of the first block", "units read", ("<think>AU1</think>AU2<think>AU3</think>",), ["AU1"], ["AU1"]),
    Case("8.2: without a block, of the whole output", "units read", ("AU1 <answer>AU2</answer>",), ["AU1", "AU2"], ["AU2"]),
    Case("8.2: case matters", "units read", ("<think>au1</think>",), [], ["AU1"]),
    Case("8.2: tags in capitals are no block", "units read", ("<THINK>x</THINK>AU2",), ["AU2"], []),
    Case("8.2: denials count", "units read", (wrap("no AU1"),), ["AU1"], []),
    Case("8.2: AU012 as written", "units read", (wrap("AU012"),), ["AU012"], ["AU12"]),
    Case(
        "8.2: first answer, rewards read the last",
        "emotion read",
        ("<answer>fear</answer><answer>anger</answer>",),
        "fear",
        "fear",
    ),
    Case("8.2: first item at a comma", "emotion read", (wrap("x", "anger,fear"),), "anger", "anger"),
    Case("8.2: at a semicolon", "emotion read", (wrap("x", "anger;fear"),), "anger", "anger"),
    Case("8.2: at a blank", "emotion read", (wrap("x", " anger or fear"),), "anger", "anger"),
    Case("8.2: at a full-width comma", "emotion read", (wrap("x", "anger\uff0cfear"),), "anger", "anger"),
    Case("8.2: a full stop stays", "emotion read", (wrap("x", "anger."),), "anger.", "anger"),
    Case("8.2: case stays", "emotion read", (wrap("x", "Anger"),), "Anger", "anger"),
    Case("8.2: without tags the first word of the output", "emotion read", ("The face is angry",), "The", None),
    Case("8.2: an empty answer stopped it", "emotion read", (wrap("x", ""),), None, None),
    Case("8.2: an answer of separators stopped it", "emotion read", (wrap("x", " ,; "),), None, None),
    Case(
        "8.2: an empty answer is wrong here", "figure", ("emotion/accuracy", [wrap("x", ""), wrap("x", "fear")], FACES), 0.5, 0.5
    ),
    Case(
        "8.2: case-sensitive accuracy", "figure", ("emotion/accuracy", [wrap("x", "Anger"), wrap("x", "fear")], FACES), 0.5, 1.0
    ),
    Case(
        "8.2: accuracy against labels[0]",
        "figure",
        ("emotion/accuracy", [wrap("x", "fear")], [{"labels": ["anger", "fear"], "AUs": ["AU4"]}]),
        0.0,
        1.0,
    ),
    Case(
        "8.2: predictions outside the truth's classes are ignored",
        "figure",
        ("au/micro_f1", [wrap("AU4 AU1"), wrap("AU12")], FACES),
        1.0,
        0.8,
    ),
    Case("8.2: macro over units with positives", "figure", ("au/macro_f1", [wrap("AU4 AU1"), wrap("x")], FACES), 0.5, 1 / 3),
    Case("8.2: micro sums counts first", "figure", ("au/micro_f1", [wrap("AU4"), wrap("x")], FACES), 2 / 3, 2 / 3),
    Case(
        "8.2: faces without coding count as faces without units",
        "figure",
        ("au/micro_f1", [wrap("AU4"), wrap("AU4")], [FACES[0], {"AUs": []}]),
        2 / 3,
        1.0,
    ),
    Case("8.2: subset accuracy", "figure", ("au/subset_accuracy", [wrap("AU4 AU12"), wrap("AU12")], FACES), 0.5, 0.5),
    Case("8.2: tags count as words", "rouge", (wrap("brow"), wrap("lid")), 2 * 5 / 12, 2 * 1 / 4),
    Case("8.2: words are stemmed", "rouge", ("raised cheeks", "raise cheek"), 1.0, 1.0),
    Case("8.2: short words are not", "rouge", ("eyes", "eye"), 1.0, 1.0),
    Case("8.2: nor are words of three letters", "rouge", ("lid", "lids"), 1.0, 1.0),
    Case("8.2: an empty reference scores 0", "rouge", ("", "brow"), 0.0, 0.0),
    Case("8.2: failed judge calls are 0", "judge", ([6, None],), 3.0),
    Case(
        "8.2 REGE: no as letters drops a sentence",
        "rege emotion",
        ("The nose shows anger. The eyes show fear.",),
        "fear",
        "anger",
    ),
    Case("8.2 REGE: not as letters", "rege emotion", ("A noticeable smile. It is anger.",), "anger"),
    Case("8.2 REGE: all denied, the full text", "rege emotion", ("There is no anger.",), "anger"),
    Case("8.2 REGE: first word of the first sentence", "rege emotion", ("Fear and anger. Anger.",), "fear", "fear"),
    Case("8.2 REGE: else the majority of the rest", "rege emotion", ("Low brows. Fear, anger, anger.",), "anger", "anger"),
    Case("8.2 REGE: AU<digits> anywhere", "rege units", ("no AU4 <answer>AU1",), ["AU1", "AU4"]),
    Case("8.2 REGE: F1 of each unit, averaged", "rege re", (["AU4", "AU1"], FACES, ["AU4", "AU12"]), 50.0),
    Case("8.2 REGE: words as written, at blanks", "rege rouge", ("Low brows", "low brows,"), 0.0),
    Case("8.2 REGE: each distinct word once", "rege rouge", ("a a a b", "a b"), 1.0),
]

CASES = [*REWARDS, *RARITY, *PROMPTS, *METRICS]


def _close(found: Any, expected: Any) -> bool:
    if isinstance(expected, (float, list, dict)) and not _holds_text(expected):
        return found == pytest.approx(expected, abs=1e-5)
    return found == expected


def _holds_text(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, str) for item in value)


@pytest.mark.parametrize("case", CASES, ids=[case.rule for case in CASES])
def test_as_released(case: Case) -> None:
    found = COMPAT[case.function](*case.given)
    assert _close(found, case.expected), f"{case.rule}: {case.function}{case.given} gave {found}, not {case.expected}"


BESIDE = [case for case in CASES if case.strict is not SAME]


@pytest.mark.parametrize("case", BESIDE, ids=[case.rule for case in BESIDE])
def test_strict_beside_it(case: Case) -> None:
    found = STRICT[case.function](*case.given)
    assert _close(found, case.strict), f"{case.rule}: strict {case.function}{case.given} gave {found}, not {case.strict}"


def test_the_unit_reward_has_the_last_digit_of_f_beta() -> None:
    """4.3: F-beta is made of precision and recall (2/2 and 2/5 here); made of counts it would be 0.1428571428571428."""
    record = {"AUs": ["AU1", "AU2", "AU4", "AU6", "AU7"]}
    assert rewards.score("au_compat", [wrap("AU1 AU2")], [record]) == [0.14285714285714302]


def test_the_table_is_as_long_as_promised_and_says_each_thing_once() -> None:
    rules = Counter(case.rule for case in CASES)
    assert len(CASES) >= 60 and max(rules.values()) == 1
