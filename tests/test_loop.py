"""The recipe end to end through the command line, on small amounts: artefacts, lineage, sweeps, other people's photographs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from facial_r1.runs import RunDirectory
from tests.command import SMALL, facial_r1, refused, run_directory

pytestmark = pytest.mark.slow

QUICK_GRPO = [
    "stage.max_steps=2",
    "stage.prompts_per_step=2",
    "stage.num_generations=4",
    "stage.max_completion_length=48",
    "stage.eval_rows=8",
]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, face_cache: Path) -> Path:
    """One small pipeline run."""
    done = facial_r1(
        "stage=pipeline", *SMALL, "stage.sft.epochs=4", "stage.sft.per_device_batch_size=8", "stage.grpo.max_steps=3", "stage.grpo.prompts_per_step=2",
        "stage.grpo.num_generations=4", "stage.synthesis.attempts=2", "stage.resft.epochs=1", f"output_root={tmp_path_factory.mktemp('pipeline')}",
        cache=face_cache, timeout=600,
    )  # fmt: skip
    return run_directory(done)


def test_the_pipeline_evaluates_four_models_on_the_same_rows(pipeline):
    summary = RunDirectory(pipeline).read_summary()
    assert list(summary["models"]) == ["base", "sft", "grpo", "synthesis"]
    assert {model["rows"] for model in summary["models"].values()} == {16}
    assert list(summary["differences"]) == ["sft - base", "grpo - sft", "synthesis - grpo"]


def test_every_figure_carries_its_interval_and_counts(pipeline):
    for model in RunDirectory(pipeline).read_summary()["models"].values():
        for name, figure in model["metrics"].items():
            assert set(figure) >= {"value", "low", "high", "n", "clusters"}, name


def test_the_pipeline_shows_the_figures_of_its_steps(pipeline):
    summary = RunDirectory(pipeline).read_summary()
    for name, step in (("base", "01_base"), ("sft", "02_sft"), ("grpo", "03_grpo"), ("synthesis", "05_sft")):
        own = RunDirectory(pipeline / step).read_summary()
        assert summary["models"][name] == {key: own[key] for key in summary["models"][name]}


def test_a_gain_is_the_difference_of_the_figures_of_two_steps(pipeline):
    summary = RunDirectory(pipeline).read_summary()
    for pair, gains in summary["differences"].items():
        later, earlier = (summary["models"][name]["metrics"] for name in pair.split(" - "))
        assert "reward/mean" in gains
        for name in ("reward/mean", "emotion/accuracy", "au/macro_f1"):
            assert gains[name]["difference"] == pytest.approx(later[name]["value"] - earlier[name]["value"]), f"{pair}: {name}"


def test_each_step_is_an_ordinary_finished_run(pipeline):
    steps = sorted(path for path in pipeline.iterdir() if (path / "status.json").is_file())
    assert [path.name for path in steps] == ["01_base", "02_sft", "03_grpo", "04_synthesis", "05_sft"]
    assert {RunDirectory(path).state() for path in steps} == {"finished"}


def test_the_chain_is_written(pipeline):
    chain = RunDirectory(pipeline / "05_sft").status()["chain"]
    assert [link["stage"] for link in chain] == ["eval", "sft", "grpo", "synthesis"]


def test_the_report_stands_alone(pipeline):
    page = (pipeline / "report.html").read_text()
    assert "<html" in page and 'src="http' not in page and 'href="http' not in page
    assert len(page) < 10_000_000


def test_rollouts_carry_rewards_and_record_ids(pipeline):
    (first, *_) = sorted((pipeline / "03_grpo" / "rollouts").glob("*.parquet"))
    rows = pq.read_table(first).to_pylist()
    assert len(rows) == 8 and len({row["group"] for row in rows}) == 2
    assert {"record_id", "completion", "reward", "reward/au", "reward/accuracy", "reward/format", "advantage"} <= set(rows[0])
    for group in (rows[:4], rows[4:]):
        assert len({row["record_id"] for row in group}) == 1
        assert abs(sum(row["advantage"] for row in group)) < 1e-3


def test_metrics_have_one_row_a_step(pipeline):
    rows = [json.loads(line) for line in (pipeline / "03_grpo" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert {"loss", "reward/mean", "reward/au", "reward/std", "groups/zero_variance", "completions/parse_failures"} <= set(
        rows[0]
    )


def test_accepted_rows_carry_provenance_and_load_as_data(pipeline):
    from facial_r1.data import load_records

    file = pipeline / "04_synthesis" / "accepted.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        provenance = row["meta_info"]["provenance"]
        assert provenance["run"].endswith("04_synthesis") and provenance["attempt"] >= 1 and all(provenance["checks"].values())
    if rows:
        assert len(load_records([file])) == len(rows)


def test_the_model_folder_loads_with_from_pretrained(pipeline):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = pipeline / "05_sft" / "model"
    assert AutoModelForImageTextToText.from_pretrained(folder).config.model_type == "qwen2_5_vl"
    assert AutoProcessor.from_pretrained(folder).tokenizer.padding_side == "left"


def test_a_sweep_runs_six_jobs_and_ends_with_one_table(tmp_path, face_cache):
    line = [
        "-m", "sweep.name=groups", "stage=grpo", "stage.num_generations=2,4,8", "data.amount=16,32", *SMALL, "stage.max_steps=1",
        "stage.prompts_per_step=2", "stage.max_completion_length=32", "stage.eval_rows=4", f"output_root={tmp_path}",
    ]  # fmt: skip
    folder = run_directory(facial_r1(*line, cache=face_cache, timeout=600))
    assert folder == tmp_path / "sweeps/groups" and (folder / "sweep.html").is_file()
    rows = list(csv.DictReader((folder / "sweep.csv").open()))
    assert [(row["stage.num_generations"], row["data.amount"]) for row in rows] == [(g, a) for g in "248" for a in ("16", "32")]
    assert {row["state"] for row in rows} == {"finished"}
    assert all(float(row["emotion/accuracy"]) >= 0 and Path(row["run"]).is_dir() for row in rows)
    assert len(list(tmp_path.glob("cold_start-*"))) == 1, "the six jobs share one SFT start"
    again = facial_r1(*line, cache=face_cache)
    assert run_directory(again) == folder and "0 to run" in again.stderr


def test_a_portrait_goes_through_evaluation_and_grpo(tmp_path, face_cache, cold_start):
    """A real photograph, rotated by its EXIF tag, beside a row that has only action units and one that has only a label."""
    from PIL import Image
    from skimage.data import astronaut

    portrait = Image.fromarray(astronaut()[0:220, 130:320])
    exif = portrait.getexif()
    exif[0x0112] = 6
    portrait.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "portrait.jpg", exif=exif)
    base = {"dataset": "mine", "image": "portrait.jpg", "question": "", "description": "", "meta_info": {}}
    rows = [
        {"id": "both", "AUs": ["AU6", "AU12", "AU25"], "labels": ["happiness"], **base},
        {"id": "units", "AUs": ["AU6", "AU12"], "labels": [], **base},
        {"id": "label", "AUs": [], "labels": ["happiness"], **base},
        {
            "id": "odd",
            "AUs": None,
            "labels": [""],
            **base,
            "description": "<think>A smile (AU12).</think><answer>happiness</answer>",
        },
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = ["data=jsonl", f"init_from={cold_start}", f"output_root={tmp_path}/out"]
    evaluated = run_directory(
        facial_r1(
            "stage=eval", *common, f"data.test_files=[{tmp_path}/rows.jsonl]", f"data.test_images=[{tmp_path}]", cache=face_cache
        )
    )
    summary = RunDirectory(evaluated).read_summary()
    assert summary["metrics"]["emotion/accuracy"]["n"] == 2 and summary["metrics"]["au/micro_f1"]["n"] == 2
    line = ["stage=grpo", *common, f"data.files=[{tmp_path}/rows.jsonl]", f"data.images=[{tmp_path}]", *QUICK_GRPO[:-1]]
    trained = run_directory(facial_r1(*line, "stage.evaluate=false", cache=face_cache))
    rolled = [row for file in (trained / "rollouts").glob("*.parquet") for row in pq.read_table(file).to_pylist()]
    none_for = {("units", "reward/accuracy"), ("label", "reward/au")}
    for row in rolled:
        for record, name in none_for:
            if row["record_id"] == record:
                assert row[name] is None, f"{name} of a row that has nothing to compare with must be None"


def test_wandb_offline_gets_what_the_run_logs(tmp_path, face_cache, cold_start):
    done = facial_r1(
        "stage=grpo", f"init_from={cold_start}", *SMALL, *QUICK_GRPO, "tracker=wandb", f"output_root={tmp_path}", cache=face_cache,
        env={"WANDB_MODE": "offline"},
    )  # fmt: skip
    run = run_directory(done)
    assert list(run.rglob("*.wandb")), "the offline records are inside the run directory"
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_job_without_test_rows_says_how_to_go_on(tmp_path, face_cache):
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    row = {"id": "1", "dataset": "d", "image": "a.png", "question": "", "AUs": ["AU12"], "labels": ["happiness"],
           "description": "<think>Up (AU12).</think><answer>happiness</answer>", "meta_info": {}}  # fmt: skip
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    done = facial_r1(
        "stage=sft",
        "data=jsonl",
        f"data.files=[{tmp_path}/rows.jsonl]",
        f"data.images=[{tmp_path}]",
        f"output_root={tmp_path}/out",
    )
    refused(done, "test")
