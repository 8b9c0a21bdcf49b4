"""Synthesis with an engine that answers from a list: attempts, temperatures, feedback, both yields, the test side."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.validation import validate
from facial_r1.data import Data, Record, load_data
from facial_r1.data.mixture import Mixture
from facial_r1.data.protocol import load_protocol
from facial_r1.errors import InputError
from facial_r1.generation.engine import Completion
from facial_r1.interruption import StopRequest
from facial_r1.runs import RunDirectory
from facial_r1.stages import journal
from facial_r1.stages.context import Context
from facial_r1.stages.material import describe_rows
from facial_r1.stages.quality import Accepted
from facial_r1.stages.synthesis import collect, write_chunk

SMILE = Record("1", "d", ("a.png",), "", ("AU6", "AU12"), ("happiness",))
GOOD = "<think>The cheeks rise (AU6), the lip corners too (AU12).</think><answer>happiness</answer>"
LOOSE = "AU6 and AU12. <answer>happiness</answer>"
BAD = "AU4 <answer>happiness</answer>"


class Script:
    """An engine that gives one text an attempt, the same to all rows, and keeps what it was asked."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.samplings: list[Any] = []
        self.prompts: list[str] = []

    def generate(self, requests, sampling, seed):
        text = self.texts[len(self.samplings)]
        self.samplings.append(sampling)
        self.prompts += [json.dumps(request.messages) for request in requests]
        return [Completion(text, (1,), "stop") for _ in requests]


def context_of(folder, *overrides: str) -> Context:
    job = validate(plain(compose_tree(["stage=synthesis", *overrides])))
    return Context(RunDirectory(folder), job, StopRequest())


def write(context: Context, engine: Script, rows=(SMILE,)) -> list[dict[str, Any]]:
    data = Data(Mixture([], []), Mixture([], []), load_protocol("generic"))
    return write_chunk(context, context.job.stage, engine, list(rows), data, Accepted())


def test_temperature_zero_is_greedy_in_every_attempt(tmp_path):
    engine = Script(*[BAD] * 6)
    (row,) = write(context_of(tmp_path, "stage.temperature=0.0"), engine)
    assert [sampling.temperature for sampling in engine.samplings] == [0.0] * 6
    assert row["attempt"] == 6 and {issue["check"] for issue in row["issues"]} >= {"action_units"}


def test_only_the_first_attempt_is_greedy_otherwise(tmp_path):
    engine = Script(BAD, BAD, GOOD)
    (row,) = write(context_of(tmp_path, "stage.temperature=0.7"), engine)
    assert [sampling.temperature for sampling in engine.samplings] == [0.0, 0.7, 0.7] and row["attempt"] == 3


def test_the_published_mode_ends_the_tries_where_the_strict_one_goes_on(tmp_path):
    (loose,) = write(context_of(tmp_path, "stage.quality.mode=published"), Script(LOOSE))
    assert loose["attempt"] == 1 and not loose["issues"]
    assert loose["passes"] == {"strict": False, "published": True} and "format" in loose["strict"]
    (strict,) = write(context_of(tmp_path), Script(LOOSE, GOOD))
    assert strict["attempt"] == 2
    assert strict["first"] == {"strict": False, "published": True} and strict["passes"] == {"strict": True, "published": True}


def test_a_published_retry_is_told_about_the_form_too_and_only_about_the_last_try(tmp_path):
    engine = Script(BAD, BAD.replace("AU4", "AU9"), GOOD)
    write(context_of(tmp_path, "stage.quality.mode=published"), engine)
    assert "no reasoning between" in engine.prompts[1] and "AU6, AU12" in engine.prompts[1]
    assert "AU9" in engine.prompts[2] and "AU4 <answer>" not in engine.prompts[2]


@pytest.mark.parametrize(("mode", "kept"), [("strict", 1), ("published", 2)])
def test_both_yields_are_counted_whichever_decides(tmp_path, mode, kept):
    context = context_of(tmp_path, f"stage.quality.mode={mode}", "stage.attempts=1")
    rows = [dataclasses.replace(SMILE, id=str(number)) for number in range(3)]
    for row, text in zip(rows, (GOOD, LOOSE, BAD), strict=True):
        journal.append(tmp_path, "written", 0, write(context, Script(text), [row]))
    summary = collect(context, context.job.stage, rows, "m")
    found = json.loads((tmp_path / "yield.json").read_text())
    assert found["decided_by"] == mode and found["accepted"] == kept == summary["yield"]["accepted"]
    assert found["tests"] == {
        "strict": {"written": 1, "first": 1, "yield": 1 / 3},
        "published": {"written": 2, "first": 2, "yield": 2 / 3},
    }


def test_rows_about_test_rows_say_so_and_are_never_laid_over_train_rows(tmp_path):
    from PIL import Image

    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    own = {
        "id": "1",
        "dataset": "d",
        "image": "a.png",
        "question": "",
        "AUs": ["AU6"],
        "labels": ["happiness"],
        "description": "",
    }
    (tmp_path / "train.jsonl").write_text(json.dumps(own) + "\n")
    data = load_data({"files": [str(tmp_path / "train.jsonl")], "split": {"by": "record", "test": 0.0}}, need=("train",))
    for split, taken in (("train", GOOD), ("test", None)):
        folder = tmp_path / split
        folder.mkdir()
        context = context_of(folder, f"stage.split={split}")
        journal.append(folder, "written", 0, write(context, Script(GOOD)))
        collect(context, context.job.stage, [SMILE], "m")
        (row,) = (json.loads(line) for line in (folder / "accepted.jsonl").read_text().splitlines())
        assert row["meta_info"]["provenance"]["split"] == split and row.get("split") == ("test" if split == "test" else None)
        if taken:
            assert describe_rows(data, [str(folder)]).train[0].description == taken
        else:
            with pytest.raises(InputError, match=r"accepted\.jsonl:1: data\.descriptions: .*leak the test set"):
                describe_rows(data, [str(folder)])


def test_a_pipeline_does_not_write_about_test_rows():
    with pytest.raises(InputError, match=r"stage=synthesis stage\.split=test"):
        validate(plain(compose_tree(["stage=pipeline", "stage.synthesis.split=test"])))


def test_retries_that_could_only_repeat_themselves_are_refused():
    with pytest.raises(InputError, match=r"stage\.feedback=true or stage\.temperature"):
        validate(plain(compose_tree(["stage=synthesis", "stage.temperature=0.0", "stage.feedback=false"])))
    validate(plain(compose_tree(["stage=synthesis", "stage.temperature=0.0", "stage.feedback=false", "stage.attempts=1"])))


def test_accepted_rows_are_put_up_for_review(tmp_path):
    context = context_of(tmp_path, "stage.review.enabled=true", "stage.review.rows=2")
    rows = [dataclasses.replace(SMILE, id=str(number)) for number in range(3)]
    journal.append(tmp_path, "written", 0, write(context, Script(GOOD), rows))
    collect(context, context.job.stage, rows, "m")
    assert (tmp_path / "review.html").is_file()
    assert len((tmp_path / "review.csv").read_text().splitlines()) == 1 + 2
