"""Answers are judged, marked and chosen as the page says they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facial_r1.report.gallery import Pictures, Prompts, answer, as_text, gallery, length_against_reward, rollouts, segments
from facial_r1.report.load import Run, load_run

TEXT = "<think>The corners rise (AU12), no AU4, but AU6.</think><answer>happiness</answer>"


def sample(**changes: Any) -> dict[str, Any]:
    parsed = {"action_units": ["AU12", "AU6"], "labels": ["happiness"], "thinking": "", "valid": True}
    base = {"completion": TEXT, "finish_reason": "stop", "AUs": ["AU12", "AU25"], "labels": ["happiness"], "parsed": parsed}
    return {**base, **changes}


def marked(parts: list[Any], kind: str) -> list[str]:
    return [part[2] for part in parts if not isinstance(part, str) and part[1] == kind]


def joined(parts: list[Any]) -> str:
    return "".join(part if isinstance(part, str) else part[0] for part in parts)


def test_hits_false_alarms_and_misses() -> None:
    found = answer(sample())
    assert (found["hit"], found["false"], found["missed"]) == (["AU12"], ["AU6"], ["AU25"])


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "right"),
        ({"labels": ["Happy"]}, "right"),
        ({"labels": ["fear"]}, "wrong"),
        ({"finish_reason": "length"}, "unparsed"),
        ({"parsed": {"action_units": [], "labels": ["happiness"], "valid": False}}, "unparsed"),
        ({"labels": []}, "wrong"),
        ({"labels": [], "AUs": ["AU6", "AU12"]}, "right"),
        ({"labels": [], "AUs": None}, "unscored"),
        ({"parsed": {"action_units": [], "labels": [], "valid": True}}, "wrong"),
    ],
)
def test_outcomes(changes: dict[str, Any], outcome: str) -> None:
    assert answer(sample(**changes))["outcome"] == outcome


def test_without_spans_the_parser_marks_what_is_affirmed() -> None:
    parts = segments(TEXT, None, ["AU12"])
    assert marked(parts, "hit") == ["AU12"] and marked(parts, "false") == ["AU6"]
    assert joined(parts) == TEXT


def test_without_truth_mentions_are_not_judged() -> None:
    assert marked(segments(TEXT, None, None), "mention") == ["AU12", "AU6"]


def test_given_spans_are_taken_as_they_are() -> None:
    at = TEXT.index("AU6")
    parts = segments(TEXT, [[at, at + 3, "AU6", True]], ["AU12"])
    assert marked(parts, "hit") == ["AU6"] and marked(parts, "false") == []


@pytest.mark.parametrize(
    "spans",
    [[[5, 3, "AU1", True]], [[0, 9999, "AU1", True]], [[0, 8, "AU1", True], [4, 12, "AU2", False]], [["a", "b", 1, 2]], [[1]]],
)
def test_odd_spans_never_lose_text(spans: list[Any]) -> None:
    assert joined(segments(TEXT, spans, [])) == TEXT


def test_chat_prompts_become_text() -> None:
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What do you see?"}]}]
    assert as_text(messages) == "user:\n[image]What do you see?"


def test_more_samples_than_fit_keep_failures_and_order() -> None:
    rows = [sample(id=str(index), finish_reason="length" if index in (401, 777) else "stop") for index in range(1000)]
    run = Run(Path("/nowhere"), "sft", samples=rows)
    shown = gallery({"sft": run}, Pictures(), Prompts(), limit=100)
    names = [int(row["id"]) for row in shown["samples"]]
    assert len(names) == 100 and names == sorted(names) and {401, 777} <= set(names) and shown["total"] == 1000


def test_the_same_face_is_shown_through_all_models(pipeline_dir: Path) -> None:
    run = load_run(pipeline_dir)
    models = {child.path.name: child for child in run.children if child.samples}
    pictures = Pictures()
    shown = gallery(models, pictures, Prompts())
    assert all(set(row["answers"]) == set(models) for row in shown["samples"])
    assert len(pictures.uris) == 30 and pictures.missing == 0


def test_missing_images_are_counted(grpo_dir: Path) -> None:
    run = load_run(grpo_dir)
    run.samples[0]["image"] = "gone.png"
    pictures = Pictures()
    gallery({"grpo": run}, pictures, Prompts())
    assert pictures.missing == 1


def test_rollouts_come_in_groups(grpo_dir: Path) -> None:
    found = rollouts(load_run(grpo_dir), "GRPO", Pictures(), Prompts(), max_steps=2, max_groups=3)
    assert found is not None and [step["step"] for step in found["steps"]] == [10, 120]
    group = found["steps"][0]["groups"][0]
    assert len(found["steps"][0]["groups"]) == 3 and found["steps"][0]["total"] == 4 and len(group["completions"]) == 8
    assert set(group["completions"][0]["rewards"]) == {"au", "accuracy", "format"}


def test_a_broken_rollout_file_is_noted(grpo_dir: Path, tmp_path: Path) -> None:
    run = load_run(grpo_dir)
    broken = tmp_path / "step_00000010.parquet"
    broken.write_bytes(b"PAR1 no")
    run.rollouts[10] = broken
    assert rollouts(run, "GRPO", Pictures(), Prompts()) is not None
    assert any("step_00000010.parquet" in note for note in run.notes)


def test_completions_of_one_length_share_a_bin(grpo_dir: Path) -> None:
    bins = length_against_reward(load_run(grpo_dir), bins=4)
    lengths = [length for length, *_ in bins]
    assert lengths == sorted(set(lengths)) and all(n >= 8 for *_, n in bins)
