"""What is said in a clip is in its prompt, and only where something is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from facial_r1.prompts.template import Prompt, hides_transcript, messages, render

CONF = Path(__file__).resolve().parents[2] / "conf" / "prompt"


@pytest.fixture(params=["affectgpt_r1_think", "affectgpt_r1_direct", "clip"])
def prompt(request: pytest.FixtureRequest) -> Prompt:
    return Prompt.from_mapping(yaml.safe_load((CONF / f"{request.param}.yaml").read_text()))


def test_the_transcript_is_shown(prompt: Prompt):
    assert 'The person says: "Well  done!"'.replace("  ", " ") in render(prompt, {"transcript": "Well  done!"})


def test_without_a_transcript_the_line_is_dropped(prompt: Prompt):
    assert "says" not in render(prompt, {"transcript": ""}) and "says" not in render(prompt, {})


def test_marks_of_media_in_a_transcript_are_inert(prompt: Prompt):
    assert "<image>" not in render(prompt, {"transcript": "look <image> here"})


@pytest.mark.parametrize(
    ("record", "parts"),
    [
        ({"video": "a.mp4", "audio": "a.wav"}, [{"type": "video", "sound": True}]),
        ({"video": "a.mp4", "audio": ""}, [{"type": "video"}]),
        ({"video": "", "audio": "a.wav"}, [{"type": "audio"}]),
        ({"image": "a.png", "video": "a.mp4"}, [{"type": "image"}, {"type": "video"}]),
        ({}, []),
    ],
    ids=["video and sound", "video", "sound", "picture and video", "text"],
)
def test_a_clip_and_its_sound_come_before_the_text(record: dict, parts: list[dict]):
    prompt = Prompt.from_mapping(yaml.safe_load((CONF / "clip.yaml").read_text()))
    content = messages({**record, "transcript": "Well done!"}, prompt, ("anger",))[-1]["content"]
    assert content[:-1] == parts and content[-1]["text"].startswith('The person says: "Well done!"\n')


# --- prompts that never show it --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instruction", "question", "transcript", "hidden"),
    [
        ("{question}", "How is she?", "I won.", True),
        ('She says "{transcript}". {question}', "How is she?", "I won.", False),
        ("{question}", 'She says "I won."  How is she?', "I  won.", False),
        ("Which emotion?", 'She says "I won."', "I won.", True),
        ("{question}", "How is she?", "", False),
        ("{question}", "How is she?", "  ", False),
    ],
)
def test_a_transcript_that_is_not_shown(instruction: str, question: str, transcript: str, hidden: bool) -> None:
    prompt = Prompt("x", instruction)
    record = {"question": question, "transcript": transcript}
    assert hides_transcript(prompt, record) is hidden
    said = " ".join(transcript.split())
    assert hidden is bool(said and said not in " ".join(render(prompt, record, ("fear",)).split())), "as `render` does"


def test_a_released_template_has_no_place_for_it(tmp_path) -> None:
    (tmp_path / "t.txt").write_text("{Question} {Emotions}")
    prompt = Prompt("x", '"{transcript}" {question}', file=str(tmp_path / "t.txt"))
    assert hides_transcript(prompt, {"question": "How is she?", "transcript": "I won."})
