"""Open vocabularies through the stages: wheels with blind baselines, answers read by the prompt's mode, servers set up on demand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facial_r1 import rewards
from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.validation import validate
from facial_r1.data.schematic.open_vocabulary import description_of, words_of
from facial_r1.errors import InputError
from facial_r1.interruption import StopRequest
from facial_r1.rewards.open_vocabulary import use_extractor
from facial_r1.rewards.perception import use_judge
from facial_r1.runs import RunDirectory
from facial_r1.stages import evaluation
from facial_r1.stages.context import Context
from facial_r1.stages.material import load_records, reward_options
from facial_r1.stages.reward_servers import server_failures, set_up_rewards
from facial_r1.stages.sft import target
from tests.generation.fake_server import Body, serving, text_of

DRAWN = ["data.schematic.train=7", "data.schematic.test=21", "data.schematic.instructions=3", "data.schematic.size=28"]


@pytest.fixture
def opened(tmp_path: Path):
    """Makes the context of an evaluation of drawn faces with emotion words."""

    def make(*overrides: str) -> Context:
        drawn = [*DRAWN, f"data.schematic.folder={tmp_path}/faces"]
        tree = compose_tree(["experiment=affectgpt_r1/eval", "model=tiny", "data=schematic_open", *drawn, *overrides])
        run = RunDirectory(tmp_path / "run")
        run.path.mkdir(exist_ok=True)
        return Context(run, validate(plain(tree)), StopRequest())

    yield make
    use_extractor(None)
    use_judge(None)


def answered(context: Context, tmp_path: Path, completion: Any) -> dict[str, Any]:
    """The summary of answers that `completion` writes about each test record."""
    rows = [{"id": record.id, "completion": completion(record)} for record in load_records(context).test]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = evaluation.run(context)
    assert summary
    return summary


def test_true_words_score_one_beside_blind_baselines(opened, tmp_path: Path):
    context = opened(f"stage.predictions={tmp_path}/answers.jsonl", "stage.resamples=100")
    summary = answered(context, tmp_path, lambda record: record.description)
    metrics = summary["metrics"]
    assert metrics["wheel/level1/f"]["value"] == 1.0
    assert metrics["wheel/clip_f"]["value"] == pytest.approx(metrics["reward/ov_accuracy"]["value"]), (
        "what is paid is what is shown"
    )
    assert metrics["format/valid"]["value"] == 1.0 and metrics["wheel/words_per_answer"]["value"] == 1.0
    assert metrics["wheel/level1/f"]["clusters"] == 21, "intervals are clustered by person"
    assert not [name for name in metrics if name.startswith(("emotion/", "au/"))], "free words are no classes"
    blind = summary["baselines"]
    assert "whole vocabulary" in blind and sum(name.startswith("constant words: ") for name in blind) >= 2
    assert all(0 < figures["wheel/level1/f"]["value"] < 1 for figures in blind.values())
    sample = json.loads((tmp_path / "run" / "samples.jsonl").read_text().splitlines()[0])
    assert (
        sample["parsed"]["labels"] == sample["labels"] and sample["parsed"]["valid"] and 'The person says: "' in sample["prompt"]
    )


def test_groups_have_wheel_figures(opened, tmp_path: Path):
    context = opened(f"stage.predictions={tmp_path}/answers.jsonl", "stage.resamples=0", "stage.by=[meta_info.expression]")
    summary = answered(context, tmp_path, lambda record: "<think>So.</think><answer>happy</answer>")
    groups = summary["by"][0]["groups"]
    assert groups["happiness"]["metrics"]["wheel/level1/f"]["value"] > groups["sadness"]["metrics"]["wheel/level1/f"]["value"]


@pytest.mark.parametrize(("prompt", "valid", "words"), [("affectgpt_r1_think", 0.0, 0.0), ("affectgpt_r1_direct", 1.0, 1.0)])
def test_a_bare_list_is_an_answer_in_the_mode_without_reasoning(opened, tmp_path: Path, prompt: str, valid: float, words: float):
    context = opened(f"prompt={prompt}", f"stage.predictions={tmp_path}/answers.jsonl", "stage.resamples=0")
    metrics = answered(context, tmp_path, lambda record: ", ".join(record.labels))["metrics"]
    assert metrics["format/valid"]["value"] == valid and metrics["wheel/level1/f"]["value"] == words
    paid = metrics["reward/ov_accuracy"]["value"]
    assert paid == pytest.approx(metrics["wheel/clip_f"]["value"]) and bool(paid) == bool(words), "reward and figure read alike"


def test_words_may_come_from_a_language_model(opened, tmp_path: Path):
    def extract(body: Body, index: int) -> str:
        return "[joyful]" if "grin" in text_of(body) else "no idea"

    with serving(answer=extract) as server:
        model = [f"reward.extractor.base_url={server.url}", "reward.extractor.model=m", "reward.extractor.cache=false"]
        context = opened(
            *model, "data.protocol.extractor=llm", f"stage.predictions={tmp_path}/answers.jsonl", "stage.resamples=0"
        )
        shown = {"happiness": "a broad grin"}
        summary = answered(
            context, tmp_path, lambda r: f"<think>So.</think><answer>{shown.get(r.meta_info['expression'], 'hm')}</answer>"
        )
    assert len(server.seen) == 2, "each text once"
    assert summary["failures"]["extractor_unreadable"] == 1 and summary["failures"]["unparsed"] == 18
    assert summary["metrics"]["wheel/level1/recall"]["value"] > 0


def test_rewards_follow_the_prompt_and_the_protocol(opened):
    context = opened("prompt=affectgpt_r1_direct", "reward=affectgpt_r1")
    options = reward_options(context, load_records(context))
    assert options["ov_accuracy"]["output"] == options["ov_format"]["output"] == "direct"
    assert options["ov_dual"]["wheels"] == "embedded" and "wheels" not in options["ov_format"]
    assert rewards.score("ov_format", ["happy, proud"], [{}], **options["ov_format"]) == [1.0]


def test_the_judge_is_set_up_once_and_its_failures_are_told(opened):
    with serving(answer=lambda body, index: "hm") as server:
        judge = ["+reward.weights.ov_perception=1", f"reward.judge.base_url={server.url}", "reward.judge.model=m"]
        context = opened(*judge, "reward.judge.cache=false")
        data = load_records(context)
        set_up_rewards(context, data)
        set_up_rewards(context, data)
        record = data.test[0].to_json()
        completions = [f"<think>So.</think><answer>{word}</answer>" for word in ("happy", "sad")]
        assert rewards.score("ov_perception", completions, [record, record], output="think") == [0.0, 0.0]
    failures = server_failures(context)
    assert failures["comparison_asked"] == failures["comparison_unreadable"] == failures["comparison_unranked"] == 1


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("+reward.weights.ov_perception=1", "reward.judge.base_url"),
        ("reward.options.ov_dual.extractor=llm", "reward.extractor.base_url"),
        ("data.protocol.wheels=mer2025", "data.protocol.wheel_root"),
    ],
)
def test_what_is_missing_is_said_before_anything_runs(opened, override: str, wanted: str):
    with pytest.raises(InputError, match=wanted):
        opened(override)


def test_without_reasoning_the_answer_alone_is_learned(opened):
    context = opened("prompt=affectgpt_r1_direct")
    record = next(record for record in load_records(context).test)
    assert target(context, record) == ", ".join(record.labels) and record.description.startswith("<think>")
    assert target(opened(), record) == record.description


def test_descriptions_of_drawn_faces_end_in_their_words():
    from facial_r1.data.schematic.faces import TEST_PEOPLE, face

    one = face(0, 3, TEST_PEOPLE)
    assert description_of(one).endswith(f"<answer>{', '.join(words_of(one))}</answer>")
