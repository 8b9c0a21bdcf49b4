"""MER-UniBench through the stage: released files in, figures, tables and samples out, with no model and no picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.validation import validate
from facial_r1.errors import InputError
from facial_r1.interruption import StopRequest
from facial_r1.runs import RunDirectory
from facial_r1.stages import evaluation
from facial_r1.stages.context import Context
from facial_r1.stages.predictions import digest, read_predictions


def archive(path: Path, **arrays: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


def released(output: Path, name: str, words: dict[str, str], sides: dict[str, str] | None = None) -> Path:
    stem = output / f"results-{name}" / "run" / "checkpoint_000030_loss_0.1"
    archive(stem.with_name(stem.name + ".npz"), name2reason=np.array(words, dtype=object))
    if sides:
        archive(stem.with_name(stem.name + "-openset-sentiment.npz"), filenames=list(sides), fileitems=list(sides.values()))
    return archive(stem.with_name(stem.name + "-openset.npz"), filenames=list(words), fileitems=list(words.values()))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and truths of one set of each kind."""
    output, truths = tmp_path / "output", tmp_path / "datasets"
    archive(truths / "meld-process" / "label.npz", test_corpus=np.array({"a": {"emo": 1}, "b": {"emo": 3}}, dtype=object))
    archive(truths / "sims-process" / "label.npz", test_corpus=np.array({"a": {"val": 0.4}, "b": {"val": -1.0}}, dtype=object))
    (truths / "ovmerdplus-process").mkdir()
    (truths / "ovmerdplus-process" / "ovlabel.csv").write_text("name,openset\na,\"['happy']\"\nb,\n")
    words = {"a": "[happy]", "b": "[]"}
    released(output, "meld", words)
    released(output, "sims", words, {"a": "positive", "b": "neutral"})
    released(output, "ovmerdplus", words)
    released(output, "cmumosi", words)
    return output, truths


def context(tmp_path: Path, *overrides: str) -> Context:
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir(exist_ok=True)
    tree = compose_tree(["stage=eval", "protocol=mer_unibench", "stage.resamples=50", *overrides])
    return Context(run, validate(plain(tree)), StopRequest())


def test_every_kind_of_set_is_scored_and_written_down(
    tmp_path: Path, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
):
    output, truths = folders
    summary = evaluation.run(context(tmp_path, f"stage.predictions={output}", f"stage.truths={truths}"))
    assert summary
    values = {name: figure["value"] for name, figure in summary["metrics"].items()}
    assert values["unibench/meld/hit"] == values["unibench/sims/waf"] == values["unibench/ovmerdplus/f"] == 1.0
    assert values["unibench/given/mean"] == 1.0 and "unibench/mean" not in values
    assert [row["set"] for row in summary["sets"]] == ["meld", "sims", "ovmerdplus"]
    assert summary["sets"][0]["never_scored"] == 0.5, "neutral"
    assert {entry["scored_with"] for entry in summary["published"]} == {"embedded"}
    assert any(entry["metric"] == "unibench/mean" and entry["value"] == 0.7477 for entry in summary["published"])
    samples = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    assert [row["id"] for row in samples][:3] == ["meld/a", "meld/b", "sims/a"]
    assert json.loads((tmp_path / "run" / "unibench" / "checkpoints.json").read_text())["sims"][0]["waf"] == 1.0
    assert "cmumosi: not scored, there is no cmumosi-process/label.npz" in capsys.readouterr().err


def test_one_file_and_the_truth_of_its_set_are_enough(tmp_path: Path, folders: tuple[Path, Path]):
    output, truths = folders
    moved = tmp_path / "answers-openset.npz"
    next(output.glob("results-meld/run/*-openset.npz")).rename(moved)
    for given in (truths / "meld-process" / "label.npz", f"{{meld: {truths / 'meld-process' / 'label.npz'}}}"):
        summary = evaluation.run(context(tmp_path, f"stage.predictions={moved}", f"stage.truths={given}"))
        assert summary and next(iter(summary["metrics"])) == "unibench/meld/hit"


def test_what_is_missing_is_said(tmp_path: Path, folders: tuple[Path, Path]):
    output, truths = folders
    with pytest.raises(InputError, match=r"stage\.predictions=<file.*stage\.truths"):
        evaluation.run(context(tmp_path, f"stage.predictions={output}"))
    file = truths / "meld-process" / "label.npz"
    (tmp_path / "plain").mkdir()
    one, two = tmp_path / "plain" / "x-openset.npz", tmp_path / "plain" / "label.npz"
    one.write_bytes(next(output.glob("results-meld/run/*-openset.npz")).read_bytes())
    two.write_bytes(file.read_bytes())
    with pytest.raises(InputError, match=r"which set is this\? Name it"):
        evaluation.run(context(tmp_path, f"stage.predictions={one}", f"stage.truths={two}"))


def test_changed_labels_are_noticed_and_other_protocols_refuse_them(folders: tuple[Path, Path]):
    output, _ = folders
    before = digest(str(output))
    assert before == digest(str(output / "results-*")), "the files count, not how they are named"
    file = next(output.glob("results-meld/run/*-openset.npz"))
    assert digest(str(file)) == digest(str(file.with_name("checkpoint_000030_loss_0.1.npz")))
    released(output, "meld", {"a": "[sad]", "b": "[]"})
    assert digest(str(output)) != before
    with pytest.raises(InputError, match="protocol=mer_unibench scores them"):
        read_predictions(file, [])
