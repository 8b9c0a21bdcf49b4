"""UniFER's prompts: the question as it is, one system turn, and a template of our own for other data."""

from __future__ import annotations

from typing import Any

import pytest

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.prompts import messages
from facial_r1.prompts.template import Prompt
from tests.metrics.ferbench_cases import question

SHARED = ("name", "instruction", "system", "definitions", "hint", "retry")


def prompt(name: str) -> Prompt:
    values = plain(compose_tree([f"prompt={name}"]))["prompt"]
    return Prompt(**{key: values[key] for key in SHARED})


def asked(name: str, record: dict[str, Any]) -> list[dict[str, Any]]:
    return messages(record, prompt(name), ("anger", "fear"))


RECORD = {"question": question("rafdb", 0)["prompt"], "images": ["a.png"], "candidate_labels": ["surprise", "fear"]}


def test_the_question_is_the_whole_text_and_the_image_comes_first() -> None:
    system, user = asked("unifer", RECORD)
    assert system == {"role": "system", "content": [{"type": "text", "text": "You are a helpful assistant."}]}
    assert user["content"] == [{"type": "image"}, {"type": "text", "text": RECORD["question"]}]


def test_tags_in_the_question_stay() -> None:
    text = "Reason in <think></think>, answer in <answer></answer>."
    assert asked("unifer", RECORD | {"question": text})[1]["content"][1]["text"] == text


def test_the_published_sft_prompt_differs_by_an_empty_system_turn_alone() -> None:
    system, user = asked("unifer_sft_published", RECORD)
    assert system == {"role": "system", "content": [{"type": "text", "text": ""}]}
    assert user == asked("unifer", RECORD)[1]


@pytest.mark.parametrize(("record", "labels"), [(RECORD, "surprise, fear"), ({"images": ["a.png"]}, "anger, fear")])
def test_our_own_template_names_the_candidates_and_the_format(record: dict[str, Any], labels: str) -> None:
    text = asked("unifer_own", record)[1]["content"][1]["text"]
    assert f"one of these labels: {labels}." in text
    assert all(tag in text for tag in ("<think>", "</think>", "<answer>", "</answer>"))
