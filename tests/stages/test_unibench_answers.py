"""Answers of a run to the nine sets of MER-UniBench: scored exactly as the same words in files, and refused where they are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facial_r1.affect.wheels import load
from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.validation import validate
from facial_r1.data.unibench import NINE
from facial_r1.errors import InputError
from facial_r1.interruption import StopRequest
from facial_r1.runs import RunDirectory
from facial_r1.stages import evaluation
from facial_r1.stages.context import Context
from facial_r1.stages.unibench_answers import is_answered, read_answered
from tests.command import facial_r1, run_directory
from tests.data.benchmark import FOLDERS, archive, clips_of, owners
from tests.data.media.made import tone, write_video
from tests.generation.fake_server import serving

SAID = {"a": ("happy", "at ease"), "b": ("sad", "worried", "zorbic"), "Ses05a": ("joyful",), "Ses05b": ()}


def row(name: str, clip: str, **other: Any) -> dict[str, Any]:
    answer = f"<think>So.</think><answer>{', '.join(SAID[clip])}</answer>"
    return {"id": f"{name}/{clip}", "dataset": name, "completion": answer, "meta_info": {"clip": clip}} | other


def answered(path: Path, rows: list[dict[str, Any]], resolved: str = "") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "samples.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    if resolved:
        (path / "resolved.yaml").write_text(resolved)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return answered(tmp_path / "eval-1", [row(name, clip) for name in NINE for clip in clips_of(name)])


@pytest.fixture
def truths(tmp_path: Path) -> Path:
    return owners(tmp_path / "datasets")


def score(tmp_path: Path, predictions: Path, truths: Path, *overrides: str) -> dict[str, Any]:
    folder = RunDirectory(tmp_path / "scored")
    folder.path.mkdir(exist_ok=True)
    settings = ["stage=eval", "protocol=mer_unibench", "stage.resamples=20"]
    tree = compose_tree([*settings, f"stage.predictions={predictions}", f"stage.truths={truths}", *overrides])
    summary = evaluation.run(Context(folder, validate(plain(tree)), StopRequest()))
    assert summary
    return summary


def test_a_run_is_scored_as_the_same_words_in_files(tmp_path: Path, run: Path, truths: Path, capsys: pytest.CaptureFixture[str]):
    found = score(tmp_path, run, truths)
    assert "read off the wheels" in capsys.readouterr().err
    for name in NINE:
        clips = clips_of(name)
        words = [f"[{', '.join(SAID[clip])}]" for clip in clips]
        archive(tmp_path / "files" / f"results-{name}" / "run" / "eval-1-openset.npz", filenames=clips, fileitems=words)
    expected = score(tmp_path, tmp_path / "files", truths)
    for part in ("metrics", "failures", "baselines", "sets", "rows"):
        assert found[part] == expected[part], part
    assert found == score(tmp_path, run / "samples.jsonl", truths), "its rows alone are the same"
    assert found["failures"]["sentiments_by_wheels"] == 8
    with_ = {entry["metric"]: entry["scored_with"] for entry in found["published"]}
    assert (with_["unibench/meld/hit"], with_["unibench/sims/waf"]) == ("embedded", "embedded, sentiment too") and (
        with_["unibench/mean"] == with_["unibench/sims/waf"]
    ), "what is not the published step is not compared with it"
    assert found["metrics"]["unibench/mean"]["n"] == 18 and [one["set"] for one in found["sets"]] == list(NINE)
    assert {one["checkpoint"] for one in found["sets"]} == {"eval-1"}


def test_strict_figures_stand_beside_the_published_ones(tmp_path: Path, run: Path, truths: Path):
    figures = {name: figure["value"] for name, figure in score(tmp_path, run, truths)["metrics"].items()}
    strict = {name for name in figures if "/strict/" in name}
    assert strict == {*(f"unibench/{name}/strict/hit" for name in NINE[:4]), "unibench/ovmerdplus/strict/f"}
    assert figures["unibench/mer2024/hit"] == 0.0 and figures["unibench/mer2024/strict/hit"] == 0.0
    said = {clip: ", ".join(SAID[clip]) for clip in ("Ses05a", "Ses05b")}
    by_hand = load().hit({"Ses05a": "happy", "Ses05b": "anger"}, said, mode="strict").hit_rate
    assert figures["unibench/iemocap/hit"] == 0.5 and figures["unibench/iemocap/strict/hit"] == by_hand, (
        "an empty answer is wrong"
    )
    assert figures["unibench/ovmerdplus/f"] == 1.0, "the neutral clip is not scored"
    assert figures["unibench/ovmerdplus/strict/f"] == 0.5, "and here it is"


def test_answers_are_read_as_the_run_read_them(tmp_path: Path, truths: Path):
    """With `prompt.output` think, text without tags has no words; read by itself it would be a list."""
    rows = [row("sims", clip, completion="happy") for clip in ("a", "b")]
    bare = score(tmp_path, answered(tmp_path / "bare", rows), truths)
    asked = answered(tmp_path / "asked", rows, "prompt: {output: think}\ndata: {protocol: {extractor: llm}}\n")
    assert bare["metrics"]["unibench/sims/accuracy"]["value"] == 0.5
    samples = tmp_path / "scored" / "samples.jsonl"
    assert [json.loads(line)["completion"] for line in samples.read_text().splitlines()] == ["positive", "positive"]
    score(tmp_path, asked, truths)
    assert [json.loads(line)["completion"] for line in samples.read_text().splitlines()] == ["neutral", "neutral"]
    score(tmp_path, asked, truths, "+prompt.output=direct")
    assert [json.loads(line)["completion"] for line in samples.read_text().splitlines()] == ["positive", "positive"]


def test_a_language_model_takes_words_out_where_one_is_set_up(tmp_path: Path, truths: Path):
    rows = [row("meld", clip, completion="<think>So.</think><answer>a broad grin</answer>") for clip in ("a", "b")]
    with serving(answer=lambda body, index: "[joyful]") as server:
        settings = [
            "reward=affectgpt_r1",
            f"reward.extractor.base_url={server.url}",
            "reward.extractor.model=m",
            "reward.extractor.cache=false",
        ]
        found = score(tmp_path, answered(tmp_path / "eval-3", rows), truths, "+data.protocol.extractor=llm", *settings)
    assert found["metrics"]["unibench/meld/hit"]["value"] == 0.5 and found["failures"]["extractor_asked"] == 1
    with pytest.raises(InputError, match=r"reward\.extractor"):
        score(tmp_path, tmp_path / "eval-3", truths, "+data.protocol.extractor=llm")


def test_rows_of_other_sets_are_said_or_refused(tmp_path: Path):
    other = row("sims", "a", id="schematic/1", dataset="schematic", meta_info={})
    found = read_answered(str(answered(tmp_path / "some", [row("sims", "a"), other])))
    assert found.texts.keys() == {"sims"} and found.notes == [
        "1 rows are of 'schematic', which is no set of MER-UniBench: not scored"
    ]
    with pytest.raises(
        InputError, match=r"none of its 1 rows is of a set of MER-UniBench \(dataset: simms\); did you mean 'sims'"
    ):
        read_answered(str(answered(tmp_path / "none", [row("sims", "a", id="x", dataset="simms")])))


def test_set_and_clip_are_read_from_the_id_where_nothing_else_says_them(tmp_path: Path):
    file = tmp_path / "answers.jsonl"
    file.write_text('{"id": "iemocapfour/Ses05a", "response": "happy"}\n{"id": "x/y", "dataset": "meld", "text": "sad"}\n')
    found = read_answered(str(file))
    assert found.texts == {"meld": {"x/y": "sad"}, "iemocap": {"Ses05a": "happy"}} and found.name == "answers"


def test_what_is_no_run_of_answers_is_refused(tmp_path: Path, run: Path, truths: Path):
    with pytest.raises(InputError, match=r"samples\.jsonl:2: a second answer for the clip a of sims"):
        read_answered(str(answered(tmp_path / "twice", [row("sims", "a"), row("sims", "a")])))
    with pytest.raises(InputError, match="eval-2: 1 of 2 clips of sims have no prediction, for example b"):
        score(tmp_path, answered(tmp_path / "eval-2", [row("sims", "a")]), truths)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "resolved.yaml").write_text("{}")
    assert is_answered(str(tmp_path / "begun"))
    with pytest.raises(InputError, match=r"this run has not finished"):
        read_answered(str(tmp_path / "begun"))
    score(tmp_path, run, truths)
    with pytest.raises(InputError, match=r"this run scored words with protocol=mer_unibench"):
        read_answered(str(tmp_path / "scored"))


def test_one_label_file_scores_its_set(tmp_path: Path, run: Path, truths: Path):
    found = score(tmp_path, run, truths / "meld-process" / "label.npz")
    assert [one["set"] for one in found["sets"]] == ["meld"]


@pytest.mark.slow
def test_two_commands_run_a_model_over_the_nine(tmp_path: Path):
    truths = owners(tmp_path / "datasets")
    for name in NINE:
        for clip in clips_of(name):
            write_video(truths / FOLDERS[name] / "video" / f"{clip}.mp4", 3, sound=tone(0.3))
    asked = facial_r1(
        "experiment=affectgpt_r1/eval", "model=tiny_omni", "data=mer_clips", "data.options.set=mer_unibench", f"data.root={truths}",
        "launch.device=cpu", "stage.max_new_tokens=4", "stage.resamples=10", "stage.by=[dataset]",
        f"output_root={tmp_path / 'outputs'}", cache=tmp_path / "cache",
    )  # fmt: skip
    run = run_directory(asked)
    assert len((run / "samples.jsonl").read_text().splitlines()) == 18
    assert json.loads((run / "summary.json").read_text())["failures"]["without_labels"] == 8
    scored = facial_r1(
        "stage=eval", "protocol=mer_unibench", f"stage.predictions={run}", f"stage.truths={truths}", "stage.resamples=10",
        f"output_root={tmp_path / 'outputs'}", cache=tmp_path / "cache",
    )  # fmt: skip
    summary = json.loads((run_directory(scored) / "summary.json").read_text())
    assert summary["metrics"]["unibench/mean"]["n"] == 18 and {one["checkpoint"] for one in summary["sets"]} == {run.name}
