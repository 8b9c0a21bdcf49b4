"""How far two engines agree."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facial_r1.app import main
from facial_r1.generation.engine import Completion
from facial_r1.stages import parity
from facial_r1.stages.parity import agreement


def answers(*texts: str | None) -> list[Completion]:
    return [Completion("" if text is None else text, (), "error" if text is None else "stop") for text in texts]


ANGER = "<think>AU4 and AU7.</think><answer>anger</answer>"


def test_equal_answers():
    found = agreement(("transformers", "vllm"), ["a", "b"], answers(ANGER, "x"), answers(ANGER, "x"))
    assert (found.rows, found.equal, found.first_difference, found.examples) == (2, 1.0, None, ())
    assert "100.0% of 2 greedy answers are equal" in found.describe()


def test_different_words_may_say_the_same():
    other = "<think>AU7 with AU4.</think><answer>anger</answer>"
    found = agreement(("transformers", "vllm"), ["a", "b"], answers(ANGER, "x"), answers(other, "x"))
    assert (found.equal, found.same_labels, found.same_action_units) == (0.5, 1.0, 1.0)
    assert found.examples == (("a", ANGER, other),)


def test_the_first_difference_is_a_share_of_the_text():
    found = agreement(("a", "b"), ["1", "2"], answers("abcd", "abcd"), answers("abxx", "abc"))
    assert found.first_difference == pytest.approx((2 / 4 + 3 / 4) / 2)


def test_answers_that_an_engine_failed_to_give_are_counted_apart():
    found = agreement(("a", "b"), ["1", "2"], answers("x", "y"), answers("x", None))
    assert (found.rows, found.failed, found.equal) == (1, 1, 1.0)
    assert "1 more were not given" in found.describe()


def test_an_evaluation_asks_both_about_the_same_rows(
    face_cache: Path, cold_start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("FACIAL_R1_CACHE", str(face_cache))
    asked: dict[str, list[str]] = {}

    class Other:
        def __init__(self, name: str) -> None:
            self.name = name

        def generate(self, requests: Any, sampling: Any, seed: int) -> list[Completion]:
            assert sampling.temperature == 0
            asked[self.name] = [request.key for request in requests]
            return answers(*(ANGER if self.name == "transformers" or place else "sad" for place in range(len(requests))))

    def load(context: Any) -> Any:
        return SimpleNamespace(source="fake", name=context.job.generation.name)

    monkeypatch.setattr(parity, "load_for_generation", load)
    monkeypatch.setattr(parity, "engine_of", lambda context, loaded: Other(loaded.name))
    code = main(
        ["stage=eval", f"init_from={cold_start}", "data.test_amount=8", "generation.parity=[transformers,vllm]", "generation.parity_rows=4",
         f"run_dir={tmp_path}/run"]
    )  # fmt: skip
    said = capsys.readouterr().err
    assert code == 0, said
    assert "parity: transformers and vllm: 75.0% of 4 greedy answers are equal" in said
    assert len(asked["vllm"]) == 4 and asked["vllm"] == asked["transformers"]
    (written,) = json.loads((tmp_path / "run" / parity.FILE).read_text())
    assert written["equal"] == 0.75
    assert written["examples"][0]["second"] == "sad"


@pytest.mark.parametrize("names", ["[transformers]", "[vllm,vllm]"])
def test_one_engine_is_compared_with_nothing(names: str, capsys: pytest.CaptureFixture[str]):
    assert main(["stage=eval", f"generation.parity={names}"]) == 2
    assert "generation.parity=[transformers,vllm]" in capsys.readouterr().err
