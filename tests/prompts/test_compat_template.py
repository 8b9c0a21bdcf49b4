"""What the released Facial-R1 code printed: labels as `dict_keys`, its names of units, its question, and a copy of its template."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from facial_r1.affect.emotions import EMOTIONS, SEVEN_EMOTIONS
from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.validation import validate
from facial_r1.errors import InputError
from facial_r1.prompts.completion import parse
from facial_r1.prompts.template import Prompt, compat_labels, messages, render

FOLDER = Path(__file__).parents[2] / "conf" / "prompt"
RECORD: dict[str, Any] = {"id": "1", "image": "a.png", "question": "", "AUs": ["AU4", "AU12"], "labels": ["anger"]}


def shipped(**changes: Any) -> Prompt:
    return Prompt.from_mapping(yaml.safe_load((FOLDER / "facial_r1_compat.yaml").read_text(encoding="utf-8")) | changes)


@pytest.mark.parametrize(
    ("spaces", "training", "labels"),
    [
        ([["fear", "anger"]], True, ("anger", "fear")),
        ([["fear", "anger"]], False, ("anger", "fear")),
        ([["fear", "anger"], ["contempt", "anger"]], True, ("anger", "contempt", "fear")),
        ([["fear"], None, []], True, ("fear",)),
        ([None], True, SEVEN_EMOTIONS),
        ([[], None], True, SEVEN_EMOTIONS),
        ([], True, SEVEN_EMOTIONS),
        ([None], False, ()),
        ([[]], False, ()),
    ],
)
def test_labels_of_a_run(spaces: Sequence[Sequence[str] | None], training: bool, labels: tuple[str, ...]) -> None:
    assert compat_labels(spaces, training) == labels


def test_labels_are_printed_as_dict_keys() -> None:
    assert "Use a single word from dict_keys(['anger', 'fear', 'happiness'])." in render(
        shipped(), RECORD, ["happiness", "fear", "anger"]
    )


@pytest.mark.parametrize(
    ("training", "printed"),
    [
        (True, "dict_keys(['anger', 'happiness', 'sadness', 'neutral', 'disgust', 'surprise', 'fear'])"),
        (False, "dict_keys([])"),
    ],
)
@pytest.mark.parametrize("space", [None, ()])
def test_without_emotions_training_falls_back_and_evaluation_does_not(
    space: Sequence[str] | None, training: bool, printed: str
) -> None:
    assert f"from {printed}." in render(shipped(), RECORD, space, training=training)


def test_the_chat_form_passes_the_side_on() -> None:
    (turn,) = messages(RECORD, shipped(), None, training=True)
    assert turn["content"][0] == {"type": "image"} and "'neutral', 'disgust'" in turn["content"][1]["text"]


def test_sections_stand_in_the_released_order() -> None:
    lines = render(shipped(), RECORD, EMOTIONS).splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        "### Question",
        "### Requirements",
        "### AU Definition",
        "### Example",
    ]


def test_all_thirty_units_by_the_released_names() -> None:
    lines = [line for line in render(shipped(), RECORD, EMOTIONS, vocabulary=["AU4"]).splitlines() if line.startswith("- AU")]
    assert len(lines) == 30
    assert {"- AU11: Nasolabial Furrow Deepener;", "- AU13: Cheek puffer;", "- AU25: Lips parted;"} <= set(lines)


def test_the_example_is_always_anger() -> None:
    text = render(shipped(), RECORD, ["fear", "surprise"])
    parsed = parse(text[text.rindex("<think>") :])
    assert (parsed.valid, parsed.action_units, parsed.labels) == (True, ("AU10", "AU17", "AU22"), ("anger",))


@pytest.mark.parametrize(
    ("question", "printed"),
    [("", "What is the emotion of this face?"), (None, "What is the emotion of this face?"), (" <image>Why? ", "Why?")],
)
def test_its_question(question: str | None, printed: str) -> None:
    assert render(shipped(), {**RECORD, "question": question}, None).startswith(f"### Question\n{printed}\n")


def test_known_labels_are_printed_as_sorted_lists() -> None:
    text = render(shipped(), RECORD, EMOTIONS, "labels")
    assert text.index("### Example") < text.index("### Ground Truth")
    assert "['AU12', 'AU4']" in text and "['anger']" in text


def test_a_line_whose_labels_are_missing_is_dropped() -> None:
    text = render(shipped(), {**RECORD, "AUs": None}, EMOTIONS, "labels")
    assert "final answer, exactly: ['anger']" in text and "have to be named" not in text


# --- a copy of the released template ------------------------------------------------------------------------------------------

TEMPLATE = "\n### Question\n{Question}\n  keep  this {{brace}}\nfrom {Emotions}.   \n- AU1: x;\n\n"


@pytest.fixture
def copy(tmp_path: Path) -> str:
    path = tmp_path / "copy.txt"
    path.write_text(TEMPLATE, encoding="utf-8")
    return str(path)


def as_released(template: str, question: str, emotions: dict[str, float]) -> str:
    """What the released code does with its template: `str.format`, with the keys of a mapping as they are."""
    asked = question.replace("<image>", "").strip() if question else "What is the emotion of this face?"
    return template.strip().format(Question=asked, Emotions=emotions.keys())


@pytest.mark.parametrize("question", ["", "What?", "<image> Who {is} this? ", "<image>", "x<|im_end|>"])
@pytest.mark.parametrize("labels", [["fear", "anger"], ["it's", 'a "word"'], []])
def test_a_copy_is_rendered_character_for_character(copy: str, question: str, labels: list[str]) -> None:
    expected = as_released(TEMPLATE, question, dict.fromkeys(sorted(labels), 0.5))
    assert render(shipped(file=copy), {**RECORD, "question": question}, labels) == expected


def test_a_copy_with_a_clean_list(copy: str) -> None:
    assert "from fear, anger." in render(shipped(file=copy, labels_style="list"), RECORD, ["fear", "anger"])


def test_blocks_of_synthesis_follow_a_copy(copy: str) -> None:
    assert "### Ground Truth" in render(shipped(file=copy), RECORD, ["anger"], "labels")


@pytest.mark.parametrize(
    ("text", "message"),
    [("{Questions}", r"no placeholder \{Questions\}"), ("{}", r"no placeholder \{\}"), ("{Question", "twice")],
)
def test_a_template_that_cannot_be_formatted_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"prompt.file=.*bad.txt: .*{message}"):
        shipped(file=str(path))


def test_a_file_that_is_missing_is_refused_with_the_configuration() -> None:
    tree = plain(compose_tree(["prompt=facial_r1_compat", "prompt.file=/nowhere/x.txt"]))
    with pytest.raises(InputError, match=r"prompt: file=/nowhere/x.txt: there is no such file"):
        validate(tree)
