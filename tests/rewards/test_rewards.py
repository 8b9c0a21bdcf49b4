"""Every rule of the strict rewards with the value that follows from it; those of the released code are in `test_facial_r1_table`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from facial_r1 import rewards
from facial_r1.errors import InputError


def wrap(thinking: str, answer: str = "anger") -> str:
    return f"<think>{thinking}</think><answer>{answer}</answer>"


def one(name: str, completion: str, record: dict[str, Any], **options: Any) -> float | None:
    (value,) = rewards.score(name, [completion], [record], **options)
    return value


DISFA = ["AU1", "AU2", "AU4", "AU6", "AU9", "AU12", "AU25", "AU26"]

# (rule, reasoning, AUs, options, value)
AU = [
    ("all right", "AU4 and AU7", ["AU4", "AU7"], {}, 1.0),
    ("order and repetition do not matter", "AU7, AU4 and AU7", ["AU4", "AU7"], {}, 1.0),
    ("one of two: P 1, R 1/2", "AU4", ["AU4", "AU7"], {}, 2 / 3),
    ("two for one: P 1/2, R 1", "AU4 and AU7", ["AU4"], {}, 2 / 3),
    ("one shared of two and three", "AU1 and AU4", ["AU4", "AU7", "AU9"], {}, 2 / 5),
    ("no overlap is 0, not -1", "AU1", ["AU4"], {}, 0.0),
    ("none named is 0, not -1", "a frown", ["AU4"], {}, 0.0),
    ("denied units are not predictions", "AU4, no AU7", ["AU4"], {}, 1.0),
    ("a denied true unit is missed", "no AU4", ["AU4"], {}, 0.0),
    ("a blank inside the code", "AU 4", ["AU4"], {}, 1.0),
    ("the second of a sum", "AU6+12", ["AU6", "AU12"], {}, 1.0),
    ("leading zeros", "AU04", ["AU4"], {}, 1.0),
    ("annotation is normalised", "AU4", ["au04"], {}, 1.0),
    ("numbers outside FACS are not predictions", "AU4 and AU99", ["AU4"], {}, 1.0),
    ("not coded: None", "AU4", None, {}, None),
    ("empty list, published format: None", "AU4", [], {}, None),
    ("empty list, nothing named, published format: None", "calm", [], {}, None),
    ("empty list, coded: nothing named is right", "calm", [], {"empty": "absent"}, 1.0),
    ("empty list, coded: anything named is wrong", "AU4", [], {"empty": "absent"}, 0.0),
    ("empty list, coded: denials are right", "no AU4", [], {"empty": "absent"}, 1.0),
    ("unit outside the vocabulary is not punished", "AU12 and AU14", ["AU12"], {"vocabulary": DISFA}, 1.0),
    ("true unit outside the vocabulary is not asked for", "AU12", ["AU12", "AU14"], {"vocabulary": DISFA}, 1.0),
    ("only units outside the vocabulary are true", "calm", ["AU14"], {"vocabulary": DISFA}, 1.0),
    ("without a vocabulary it is punished", "AU12 and AU14", ["AU12"], {}, 2 / 3),
    ("vocabulary by dataset", "AU12 and AU14", ["AU12"], {"vocabulary": {"disfa": DISFA}}, 1.0),
    ("dataset without a vocabulary is not restricted", "AU12 and AU14", ["AU12"], {"vocabulary": {"bp4d": DISFA}}, 2 / 3),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "thinking", "units", "options", "value"), AU, ids=[row[0] for row in AU])
def test_au(rule: str, thinking: str, units: list[str] | None, options: dict[str, Any], value: float | None) -> None:
    record = {"id": "1", "dataset": "disfa", "AUs": units}
    assert one("au", wrap(thinking), record, **options) == (None if value is None else pytest.approx(value)), rule


@pytest.mark.parametrize("units", [["AU4"], []])
def test_reasoning_that_never_ends_earns_nothing(units: list[str]) -> None:
    assert one("au", "<think>AU4", {"AUs": units}, empty="absent") == 0.0


def test_a_record_without_the_key_is_not_coded() -> None:
    assert one("au", wrap("AU4"), {}) is None


def test_a_wrong_annotation_names_the_record() -> None:
    with pytest.raises(InputError, match="record r7: field AUs: 'AU99'"):
        one("au", wrap("AU4"), {"id": "r7", "AUs": ["AU99"]})


def test_a_wrong_vocabulary_is_refused() -> None:
    with pytest.raises(InputError, match="vocabulary: 'AU77'"):
        one("au", wrap("AU4"), {"AUs": ["AU4"]}, vocabulary=["AU77"])


def test_a_wrong_meaning_of_empty_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown.*absent"):
        one("au", wrap("AU4"), {"AUs": []}, empty="maybe")


# (rule, completion, labels, value)
ACCURACY = [
    ("right", wrap("x"), ["anger"], 1.0),
    ("wrong", wrap("x", "fear"), ["anger"], 0.0),
    ("case and punctuation do not matter", wrap("x", "Anger."), ["anger"], 1.0),
    ("adjective and noun are one label", wrap("x", "angry"), ["anger"], 1.0),
    ("the annotation is normalised too", wrap("x", "anger"), ["Angry"], 1.0),
    ("any label of the record", wrap("x", "fear"), ["anger", "fear"], 1.0),
    ("all named are the record's", wrap("x", "fear, anger"), ["anger", "fear"], 1.0),
    ("naming more is not partly right", wrap("x", "anger, fear"), ["anger"], 0.0),
    ("words outside our list compare as written", wrap("x", "Awe"), ["awe"], 1.0),
    ("bare word without tags", "anger", ["anger"], 0.0),
    ("empty answer", wrap("x", ""), ["anger"], 0.0),
    ("empty completion", "", ["anger"], 0.0),
    ("reasoning never ends", "<think>x <answer>anger</answer>", ["anger"], 0.0),
    ("answer never ends", "<think>x</think><answer>anger", ["anger"], 0.0),
    ("first answer counts", "<think>x</think><answer>anger</answer><answer>fear</answer>", ["anger"], 1.0),
    ("a sentence is not a label", wrap("x", "she shows anger"), ["anger"], 0.0),
    ("labels []: None", wrap("x"), [], None),
    ('labels [""]: None', wrap("x"), [""], None),
    ("labels None: None", wrap("x"), None, None),
    ("a label given as text", wrap("x"), "anger", 1.0),
]


@pytest.mark.parametrize(("rule", "completion", "labels", "value"), ACCURACY, ids=[row[0] for row in ACCURACY])
def test_accuracy(rule: str, completion: str, labels: Any, value: float | None) -> None:
    assert one("accuracy", completion, {"labels": labels}) == value, rule


FORMAT = [
    ("full structure", wrap("x"), 1.0),
    ("blanks around it", f"\n {wrap('x')} \n", 1.0),
    ("line break between", "<think>x</think>\n<answer>y</answer>", 1.0),
    ("tags in capitals", "<THINK>x</THINK><ANSWER>y</ANSWER>", 1.0),
    ("text in front", "a" + wrap("x"), 0.0),
    ("text behind", wrap("x") + "a", 0.0),
    ("text between", "<think>x</think>a<answer>y</answer>", 0.0),
    ("empty reasoning", wrap(""), 0.0),
    ("empty answer", wrap("x", ""), 0.0),
    ("two answers", wrap("x") + "<answer>y</answer>", 0.0),
    ("two reasonings", "<think>x</think>" + wrap("x"), 0.0),
    ("nested tag", wrap("x<think>y"), 0.0),
    ("wrong order", "<answer>y</answer><think>x</think>", 0.0),
    ("no reasoning", "<answer>y</answer>", 0.0),
    ("no answer", "<think>x</think>", 0.0),
    ("reasoning never ends", "<think>x", 0.0),
    ("nothing", "", 0.0),
]


@pytest.mark.parametrize(("rule", "completion", "value"), FORMAT, ids=[row[0] for row in FORMAT])
def test_format(rule: str, completion: str, value: float) -> None:
    assert one("format", completion, {}) == value, rule


@pytest.mark.parametrize(("tokens", "value"), [(0, 0.0), (384, 0.0), (448, -0.5), (512, -1.0), (9_999, -1.0)])
def test_length_falls_over_the_buffer(tokens: int, value: float) -> None:
    assert one("length", "x", {}, limit=512, buffer=128, lengths=[tokens]) == value


def test_length_counts_words_without_token_counts() -> None:
    assert one("length", "a " * 15, {}, limit=20, buffer=10) == -0.5


@pytest.mark.parametrize("options", [{"limit": 10, "buffer": 0}, {"limit": 10, "buffer": 11}])
def test_length_bounds_must_make_sense(options: dict[str, int]) -> None:
    with pytest.raises(InputError, match="0 < buffer <= limit"):
        one("length", "x", {}, **options)


# --- the files under conf/reward ---------------------------------------------------------------------------------------

FILES = sorted((Path(__file__).parents[2] / "conf" / "reward").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_each_file_weighs_rewards_that_exist(path: Path) -> None:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert values["name"] == path.stem and values["weights"]
    assert set(values["weights"]) | set(values["options"]) <= set(rewards.names())
