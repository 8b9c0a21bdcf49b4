"""What is said in a clip is in its prompt, and only where something is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from facial_r1.prompts.template import Prompt, render

CONF = Path(__file__).resolve().parents[2] / "conf" / "prompt"


@pytest.fixture(params=["affectgpt_r1_think", "affectgpt_r1_direct"])
def prompt(request: pytest.FixtureRequest) -> Prompt:
    return Prompt.from_mapping(yaml.safe_load((CONF / f"{request.param}.yaml").read_text()))


def test_the_transcript_is_shown(prompt: Prompt):
    assert 'The person says: "Well  done!"'.replace("  ", " ") in render(prompt, {"transcript": "Well  done!"})


def test_without_a_transcript_the_line_is_dropped(prompt: Prompt):
    assert "says" not in render(prompt, {"transcript": ""}) and "says" not in render(prompt, {})


def test_marks_of_media_in_a_transcript_are_inert(prompt: Prompt):
    assert "<image>" not in render(prompt, {"transcript": "look <image> here"})
