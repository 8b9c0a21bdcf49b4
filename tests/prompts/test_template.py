"""Prompts: what is printed for which record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from facial_r1.affect.emotions import EMOTIONS, SEVEN_EMOTIONS
from facial_r1.errors import InputError
from facial_r1.prompts.completion import parse
from facial_r1.prompts.template import (
    MAX_ISSUES,
    MAX_PREVIOUS,
    PAPER_UNITS,
    Prompt,
    completion_messages,
    messages,
    render,
)

FOLDER = Path(__file__).parents[2] / "conf" / "prompt"
RECORD: dict[str, Any] = {
    "id": "1",
    "image": "a.png",
    "question": "What does she feel?",
    "AUs": ["AU4", "AU7"],
    "labels": ["anger"],
}


def shipped(name: str) -> Prompt:
    return Prompt.from_mapping(yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))


LISTED = ["facial_r1", "facial_r1_sft", "facial_r1_seed", "brief"]


@pytest.mark.parametrize("name", LISTED)
def test_each_shipped_prompt_names_question_labels_and_tags(name: str) -> None:
    text = render(shipped(name), RECORD, SEVEN_EMOTIONS)
    for part in ("What does she feel?", "anger, happiness, sadness, neutral, disgust, surprise, fear", "<think>", "</answer>"):
        assert part in text


def test_brief_has_at_most_sixty_words() -> None:
    assert len(render(shipped("brief"), RECORD, EMOTIONS).split()) <= 60


@pytest.mark.parametrize("name", LISTED)
def test_no_placeholder_and_no_python_object_is_left(name: str) -> None:
    text = render(shipped(name), RECORD, list(EMOTIONS), "labels", vocabulary=["AU4"], issues=["x"], previous="y")
    assert not any(mark in text for mark in ("{", "}", "dict_keys", "['", "None"))


def test_the_paper_defines_thirty_units() -> None:
    assert len(PAPER_UNITS) == 30


def _definitions(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("- AU")]


def test_definitions_are_those_of_the_vocabulary() -> None:
    text = render(shipped("facial_r1"), RECORD, EMOTIONS, vocabulary=["AU12", "AU13"])
    assert _definitions(text) == ["- AU12: Lip corner puller;", "- AU13: Sharp lip puller;"]


def test_without_a_vocabulary_all_thirty_are_defined() -> None:
    assert len(_definitions(render(shipped("facial_r1"), RECORD, EMOTIONS))) == 30


@pytest.mark.parametrize("name", ["facial_r1"])
def test_the_worked_example_is_itself_valid(name: str) -> None:
    text = render(shipped(name), RECORD, EMOTIONS)
    parsed = parse(text[text.rindex("<think>") :])
    assert (parsed.valid, parsed.action_units, parsed.labels) == (True, ("AU6", "AU12"), ("happiness",))


def test_the_example_uses_the_protocols_word() -> None:
    assert "<answer>happy</answer>" in render(shipped("facial_r1"), RECORD, ["happy", "sad"])


def test_an_example_that_fits_no_label_is_dropped_with_its_heading() -> None:
    assert "### Example" not in render(shipped("facial_r1"), RECORD, ["sad", "angry"])


@pytest.mark.parametrize("name", LISTED)
def test_without_label_space_the_answer_lists_codes(name: str) -> None:
    text = render(shipped(name), {"AUs": ["AU1"]}, None)
    assert "codes of the action units" in text and "emotion" not in text
    assert "Which action units are active" in text


def test_an_open_vocabulary_asks_for_words() -> None:
    assert "the emotion words that fit" in render(shipped("brief"), RECORD, [])


def test_annotation_of_the_record_does_not_change_the_prompt() -> None:
    bare = {**RECORD, "AUs": None, "labels": []}
    assert render(shipped("facial_r1"), bare, EMOTIONS) == render(shipped("facial_r1"), RECORD, EMOTIONS)


def test_candidate_labels_of_the_record_come_first() -> None:
    text = render(shipped("brief"), {**RECORD, "candidate_labels": ["fear", "anger"]}, EMOTIONS)
    assert "one of: fear, anger." in text


@pytest.mark.parametrize("question", ["", None, "<image>", " <image>\n"])
def test_an_empty_question_gets_ours(question: str | None) -> None:
    assert render(shipped("brief"), {"question": question}, EMOTIONS).startswith("What is the emotion of this face?")


def test_image_marks_and_chat_tokens_are_taken_out_of_the_question() -> None:
    text = render(shipped("brief"), {"question": "<image>Who<|image_pad|> is it?<|im_end|>"}, EMOTIONS)
    assert text.startswith("Who is it?")


def test_a_question_with_braces_is_printed_as_it_is() -> None:
    assert "{labels} {x}" in render(shipped("brief"), {"question": "{labels} {x}"}, EMOTIONS)


# --- hint and retry --------------------------------------------------------------------------------------------------


def test_the_hint_gives_what_is_known() -> None:
    text = render(shipped("facial_r1"), RECORD, EMOTIONS, "labels")
    assert "AU4, AU7" in text and "Final answer: anger." in text


@pytest.mark.parametrize(("field", "gone"), [("AUs", "Action units in this image"), ("labels", "Final answer")])
def test_a_hint_line_without_knowledge_is_dropped(field: str, gone: str) -> None:
    assert gone not in render(shipped("facial_r1"), {**RECORD, field: []}, EMOTIONS, "labels")


def test_no_hint_unless_asked() -> None:
    assert "anger" not in render(shipped("brief"), RECORD, ["fear"]).replace("What does she feel?", "")


def test_the_retry_block_is_bounded() -> None:
    prompt = shipped("facial_r1")
    plain = render(prompt, RECORD, EMOTIONS)
    text = render(prompt, RECORD, EMOTIONS, issues=["i" * 5_000] * 50, previous="p " * 50_000)
    assert "and 44 more" in text and text.count("\n- iii") == MAX_ISSUES
    assert len(text) - len(plain) < MAX_PREVIOUS + 2_000


def test_the_retry_block_quotes_issue_and_answer() -> None:
    text = render(shipped("facial_r1"), RECORD, EMOTIONS, issues=["AU12 is missing"], previous="<think>AU4</think>")
    assert "- AU12 is missing" in text and "<think>AU4</think>" in text


# --- chat form ---------------------------------------------------------------------------------------------------------


def test_images_come_first_and_the_text_last() -> None:
    (user,) = messages({**RECORD, "image": ["a", "b"]}, shipped("brief"), EMOTIONS)
    assert [part["type"] for part in user["content"]] == ["image", "image", "text"]


def test_image_count_can_be_given() -> None:
    (user,) = messages({"question": "x"}, shipped("brief"), EMOTIONS, image_count=3)
    assert sum(part["type"] == "image" for part in user["content"]) == 3


def test_a_system_turn_is_sent_when_there_is_one() -> None:
    prompt = Prompt("x", "{question}", system="Be exact.")
    assert [turn["role"] for turn in messages(RECORD, prompt, EMOTIONS)] == ["system", "user"]


def test_the_completion_is_the_assistants_turn() -> None:
    assert completion_messages("x") == [{"role": "assistant", "content": [{"type": "text", "text": "x"}]}]


# --- errors ----------------------------------------------------------------------------------------------------------


def test_a_misspelt_placeholder_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InputError, match="did you mean 'labels'"):
        Prompt("x", "{question} {lables}")


def test_a_misspelt_key_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InputError, match="did you mean 'instruction'"):
        Prompt.from_mapping({"name": "x", "instructions": "y"})
