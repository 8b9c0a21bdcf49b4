"""Figures of a study's runs: what is collected, the interval over seeds, the files that are written."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from facial_r1.errors import InputError
from facial_r1.studies.command import main
from facial_r1.studies.drawing import draw
from facial_r1.studies.results import START, collect, markdown, over_seeds, read_csv, spread, write_csv
from facial_r1.sweeps.expand import slug
from tests.studies.test_study import study

PANELS = [{"metric": "reward/mean"}, {"metric": "loss", "training": True}]
FIGURE = {"x_label": "G", "scale": "log", "panels": PANELS}


def finish(folder: Path, value: float, losses: list[float], parent: Path | None = None, **summary: object) -> None:
    """A finished run with one metric and a course of losses."""
    folder.mkdir(parents=True)
    figure = {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 30}
    (folder / "status.json").write_text(json.dumps({"state": "finished", "parent": str(parent) if parent else None}))
    (folder / "summary.json").write_text(json.dumps({"metrics": {"reward/mean": figure}, "seconds": 5.0, **summary}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"step": n, "loss": loss}) + "\n" for n, loss in enumerate(losses)))


@pytest.fixture
def done(tmp_path):
    """A study with all of its runs: reward = G + seed / 10."""
    (tmp_path / "s").mkdir()
    found = study(tmp_path / "s", start={"stage": "sft"}, figure=FIGURE)
    finish(tmp_path / "start", 0.5, [])
    for point, seed, overrides in found.jobs():
        losses = [9.0] * 6 + [float(seed), float(seed) + 1]
        finish(tmp_path / "runs" / slug(overrides), float(point.name) + seed / 10, losses, tmp_path / "start")
    return found, tmp_path / "runs"


def test_the_interval_is_students_t_over_the_seeds():
    values = [0.2, 0.5, 0.6]
    found = spread(values)
    half = 4.303 * statistics.stdev(values) / 3**0.5
    assert found.mean == pytest.approx(statistics.mean(values))
    assert (found.low, found.high) == (pytest.approx(found.mean - half), pytest.approx(found.mean + half))


def test_one_seed_has_no_interval():
    assert (spread([0.3]).low, spread([0.3]).high) == (None, None)


def test_every_run_and_the_start_are_collected(done):
    found, runs = done
    rows, missing = collect(found, runs)
    assert missing == []
    rewards = {(row.point, row.seed): row.value for row in rows if row.metric == "reward/mean"}
    assert rewards == {(START, None): 0.5, ("2", 0): 2.0, ("2", 1): 2.1, ("4", 0): 4.0, ("4", 1): 4.1}


def test_a_training_metric_is_the_mean_of_the_last_quarter(done):
    found, runs = done
    losses = {row.seed: (row.value, row.n) for row in collect(found, runs)[0] if row.metric == "training: loss"}
    assert losses == {0: (0.5, 2), 1: (1.5, 2)}


def test_a_pipelines_models_are_told_apart(tmp_path):
    panels = [{"metric": "reward/mean", "models": ["sft", "grpo"]}]
    found = study(tmp_path, seeds=[0], vary={"stage.num_generations": [2]}, figure={"x_label": "G", "panels": panels})
    models = {name: {"metrics": {"reward/mean": {"value": value, "n": 3}}} for name, value in (("sft", 0.1), ("grpo", 0.2))}
    finish(tmp_path / "runs" / slug(found.jobs()[0][2]), 0.2, [], models=models)
    assert {row.model: row.value for row in collect(found, tmp_path / "runs")[0]} == {"sft": 0.1, "grpo": 0.2}


def test_jobs_without_figures_are_named(done):
    found, runs = done
    (runs / slug(found.jobs()[1][2]) / "status.json").write_text('{"state": "interrupted"}')
    assert collect(found, runs)[1] == ["2, seed 1: interrupted"]


def test_a_metric_that_a_run_lacks_is_refused(done):
    found, runs = done
    run = runs / slug(found.jobs()[0][2])
    (run / "summary.json").write_text('{"metrics": {}}')
    with pytest.raises(InputError, match=r"no metric reward/mean in its summary\.json") as error:
        collect(found, runs)
    assert str(run) in str(error.value)


def test_rows_survive_the_file(done, tmp_path):
    rows, _ = collect(*done)
    write_csv(rows, tmp_path / "r.csv")
    again = read_csv(tmp_path / "r.csv")
    write_csv(again, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "r.csv").read_bytes()
    assert [(row.point, row.seed, row.metric, row.n) for row in again] == [
        (row.point, row.seed, row.metric, row.n) for row in rows
    ]
    assert [row.value for row in again] == pytest.approx([row.value for row in rows], rel=1e-5)


@pytest.mark.parametrize(
    ("text", "line"),
    [("a,b\n", ":1:"), ("point,seed,model,metric,value,low,high,n,seconds\n2,0,,reward/mean,much,,,3,\n", ":2:")],
)
def test_another_file_is_refused_with_its_line(tmp_path, text, line):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(InputError, match=line):
        read_csv(tmp_path / "r.csv")


def test_the_table_has_mean_and_interval(done):
    found, runs = done
    rows, _ = collect(found, runs)
    text = markdown(found, rows)
    one = over_seeds(rows, "2", found.figure.panels[0], "")
    assert one is not None
    assert f"| 2 | 2 | 2.050 [{one.low:.3f}, {one.high:.3f}] |" in text
    assert "| start | | 0.500 [0.400, 0.600] (over rows) |" in text


def test_the_command_writes_and_redraws(done, capsys):
    found, runs = done
    assert main([str(found.folder), "--runs", str(runs)]) == 0
    first = (found.folder / "figure.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert (found.folder / "results.md").read_text() in capsys.readouterr().out
    (found.folder / "figure.png").unlink()
    assert main([str(found.folder)]) == 0
    assert (found.folder / "figure.png").read_bytes() == first, "the figure drawn from results.csv is another one"


def test_the_command_without_runs_and_results_says_what_to_run(tmp_path, capsys):
    study(tmp_path)
    assert main([str(tmp_path)]) == 2
    assert f"python -m facial_r1 -m study={tmp_path}" in capsys.readouterr().err


def test_a_study_of_one_seed_has_no_seed_in_its_folders(tmp_path):
    found = study(tmp_path, seeds=[0, 1], vary={"stage.num_generations": [2]}, figure={"x_label": "G", "panels": [PANELS[0]]})
    run = tmp_path / "runs" / slug(found.jobs()[1][2][:-1])
    finish(run, 0.2, [])
    (run / "resolved.yaml").write_text("seed: 1\nstage: {num_generations: 2}\n")
    rows, missing = collect(found, tmp_path / "runs")
    assert [row.seed for row in rows] == [1]
    assert missing == ["2, seed 0: not started"]


BY = [
    {
        "field": "meta_info.carrier",
        "groups": {"voice": {"metrics": {"emotion/accuracy": {"value": 0.7, "low": 0.6, "high": 0.8, "n": 9}}}},
    }
]


def test_a_panel_can_show_a_group_of_the_test_rows(tmp_path):
    panels = [{"metric": "emotion/accuracy", "group": "meta_info.carrier=voice", "chance": 0.125}]
    found = study(tmp_path, seeds=[0], vary={"stage.num_generations": [2]}, figure={"x_label": "G", "panels": panels})
    finish(tmp_path / "runs" / slug(found.jobs()[0][2]), 0.2, [], by=BY)
    (row,) = collect(found, tmp_path / "runs")[0]
    assert (row.metric, row.value, row.n) == ("emotion/accuracy, meta_info.carrier=voice", 0.7, 9)
    one = over_seeds([row], "2", found.figure.panels[0], "")
    assert (one.low, one.high) == (0.6, 0.8), "with one seed the interval is that over the test rows"
    assert draw(found, [row], tmp_path / "figure.png").stat().st_size > 5000


def test_a_group_that_was_not_evaluated_is_named_with_the_fix(tmp_path):
    panels = [{"metric": "emotion/accuracy", "group": "meta_info.sex=female"}]
    found = study(tmp_path, seeds=[0], vary={"stage.num_generations": [2]}, figure={"x_label": "G", "panels": panels})
    finish(tmp_path / "runs" / slug(found.jobs()[0][2]), 0.2, [], by=BY)
    with pytest.raises(InputError, match=r"need stage\.by: \[meta_info\.sex\]"):
        collect(found, tmp_path / "runs")


def test_a_group_of_training_metrics_is_refused(tmp_path):
    panels = [{"metric": "loss", "training": True, "group": "dataset=a"}]
    with pytest.raises(InputError, match="not with training"):
        study(tmp_path, figure={"x_label": "G", "panels": panels})


def test_runs_are_found_where_one_value_is_varied_over_several_seeds(tmp_path):
    found = study(tmp_path, vary={"stage.num_generations": [2]}, seeds=[0, 1], figure={"x_label": "G", "panels": PANELS[:1]})
    for _, seed, _ in found.jobs():
        folder = tmp_path / "runs" / f"seed={seed}"
        finish(folder, 1.0 + seed, [])
        (folder / "resolved.yaml").write_text(f"seed: {seed}\nstage:\n  num_generations: 2\n")
    assert [row.value for row in collect(found, tmp_path / "runs")[0]] == [1.0, 2.0]
    (tmp_path / "runs" / "seed=1" / "resolved.yaml").write_text("seed: 1\nstage:\n  num_generations: 4\n")
    assert collect(found, tmp_path / "runs")[1] == ["2, seed 1: not started"], "a run of another study is none of this one"
