"""Two CPU ranks: every stage makes one run directory, and ends with what one rank ends with, however the ranks share the work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from omegaconf import OmegaConf
from safetensors.numpy import load_file

from facial_r1 import runs
from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain, resolved_yaml
from facial_r1.config.schema import Job
from facial_r1.config.validation import validate
from facial_r1.launch.environment import environment
from facial_r1.runs import RunDirectory
from tests.command import ROOT, SMALL
from tests.command import environment as application_environment
from tests.launch.harness import Zygote, artefacts

pytestmark = pytest.mark.slow

SHARDED = ("zero2", "zero3", "fsdp2")
PAIRS = [("sft", kind) for kind in SHARDED] + [("grpo", kind) for kind in SHARDED] + [("clips", "zero3")]
#: Runs that go on from a checkpoint of another one; from the last step only the model is left to be saved.
AGAIN = ("sft-zero3@2", "sft-fsdp2@3", "grpo-fsdp2@1")
LINES = {
    "sft": [
        "stage=sft", "stage.max_steps=3", "stage.save_steps=1", "stage.keep_checkpoints=3", "stage.eval_rows=5", "stage.max_new_tokens=24",
    ],
    "grpo": [
        "stage=grpo", "stage.max_steps=2", "stage.prompts_per_step=2", "stage.num_generations=4", "stage.max_completion_length=24",
        "stage.evaluate=false", "stage.learning_rate=1e-3", "stage.save_steps=1", "stage.keep_checkpoints=2",
        # A reward that differs within the groups of a model that cannot write answers yet.
        "+reward.weights.length=1.0", "+reward.options.length={limit: 24, buffer: 24}",
    ],
    # SFT of a model that sees and hears.
    "clips": [
        "stage=sft", "model=tiny_omni", "data=schematic_clips", "prompt=clip", "stage.max_steps=2", "stage.per_device_batch_size=4",
        "stage.evaluate=false",
    ],
    "synthesis": ["stage=synthesis", "stage.attempts=3", "stage.chunk=7", "stage.max_new_tokens=64", "stage.quality.near_duplicates_allowed=0"],
    "eval": ["stage=eval", "stage.chunk=5", "stage.max_new_tokens=64", "stage.resamples=50"],
    "prepare": ["stage=prepare", "stage.faces=2"],
}  # fmt: skip


def line(stage: str, ranks: int, start: Path) -> list[str]:
    """A stage's command for so many ranks: SFT sees eight rows a step either way."""
    batch = [f"stage.per_device_batch_size={8 // ranks}"] if stage == "sft" else []
    return [*LINES[stage], *SMALL, *batch, *([f"init_from={start}"] if stage not in ("sft", "clips", "prepare") else [])]


def made(run: Path, *overrides: str) -> Job:
    """A run directory as the application makes it."""
    tree = compose_tree([*overrides, f"run_dir={run}"])
    job = validate(plain(tree))
    OmegaConf.set_struct(tree, False)
    for key in ("hydra", "experiment", "sweep"):
        tree.pop(key, None)
    runs.create(RunDirectory(run), resolved_yaml(tree), job.stage.name, None, [])
    return job


@pytest.fixture(scope="module")
def two(fitted: Path, face_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every stage on two ranks, SFT and GRPO with every way to share the work, in one start of the ranks."""
    folder = tmp_path_factory.mktemp("two")
    names = [f"{stage}-ddp" for stage in LINES] + [f"{stage}-{kind}" for stage, kind in PAIRS] + [*AGAIN]
    places = [folder / name for name in names]
    for place in places:
        stage, kind = place.name.split("@")[0].split("-")
        job = made(
            place,
            *line(stage, 2, fitted),
            *(["stage.evaluate=false"] if kind != "ddp" and stage == "sft" else []),
            "launch=torchrun",
            "launch.processes=2",
            f"launch.distributed={kind}",
            "launch.device=cpu",
        )
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--module", "tests.launch.several",
            *map(str, places),
        ],
        cwd=ROOT, env=environment(job, application_environment(face_cache)), capture_output=True, text=True, timeout=550, check=False,
    )  # fmt: skip
    (folder / "said.txt").write_text(done.stderr)
    return folder


@pytest.fixture(scope="module")
def one(zygote: Zygote, fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every stage in one process."""
    folder = tmp_path_factory.mktemp("one")
    for stage in (stage for stage in LINES if stage != "clips"):
        done = zygote.run(*line(stage, 1, fitted), f"run_dir={folder / stage}")
        assert done.code == 0, done.err
    return folder


def finished(folder: Path) -> dict[str, Any]:
    """What a run left, which must have finished."""
    found = artefacts(folder)
    said = folder.parent / "said.txt"
    assert found["state"] == "finished", f"{folder.name}: {RunDirectory(folder).status()}\n{said.read_text()[-4000:]}"
    return found


def distance(left: Path, right: Path) -> float:
    """Largest difference of two models' weights, relative to the norm of the tensor."""
    one, two = (load_file(folder / "model" / "model.safetensors") for folder in (left, right))
    assert one.keys() == two.keys()
    whole = max(float((value**2).sum() ** 0.5) for value in one.values())
    return max(
        float(((one[name] - two[name]) ** 2).sum() ** 0.5) / max(1e-3 * whole, float((one[name] ** 2).sum() ** 0.5))
        for name in one
    )


def same_numbers(left: Mapping[str, Any], right: Mapping[str, Any], tolerance: float) -> None:
    for one, two in zip(left["metrics"], right["metrics"], strict=True):
        for name in ("step", "loss", "grad_norm", "token_accuracy", "reward/mean"):
            if name in one:
                assert one[name] == pytest.approx(two[name], rel=tolerance, abs=tolerance), f"{name} of step {one['step']}"


@pytest.mark.parametrize("stage", ["eval", "synthesis", "prepare"])
def test_a_stage_that_trains_nothing_does_not_depend_on_the_ranks(stage: str, one: Path, two: Path):
    left, right = finished(one / stage), finished(two / f"{stage}-ddp")
    assert left["summary"] == right["summary"]
    for name in ("samples.jsonl", "accepted.jsonl", "rejected.jsonl", "confusion.csv"):
        assert left.get(name) == right.get(name), name
    if stage == "prepare":
        assert [path.name for path in sorted((one / stage).glob("*.jsonl"))] == [
            path.name for path in sorted((two / "prepare-ddp").glob("*.jsonl"))
        ]


def test_sft_on_two_ranks_learns_what_one_rank_learns(one: Path, two: Path):
    left, right = finished(one / "sft"), finished(two / "sft-ddp")
    same_numbers(left, right, 1e-4)
    assert distance(one / "sft", two / "sft-ddp") < 1e-3
    assert left["summary"]["rows"] == right["summary"]["rows"] == 5


def test_grpo_on_two_ranks_samples_and_learns_what_one_rank_does(one: Path, two: Path):
    left, right = finished(one / "grpo"), finished(two / "grpo-ddp")
    same_numbers(left, right, 1e-4)
    assert distance(one / "grpo", two / "grpo-ddp") < 1e-3
    said = [sorted(RunDirectory(run).rollouts.glob("*.parquet")) for run in (one / "grpo", two / "grpo-ddp")]
    texts = [[sorted(parquet.read_table(file)["completion"].to_pylist()) for file in files] for files in said]
    assert texts[0] == texts[1] and texts[0], "the same answers were sampled"


@pytest.mark.parametrize(("stage", "kind"), PAIRS)
def test_sharding_changes_where_numbers_lie_and_not_what_they_are(stage: str, kind: str, two: Path):
    left, right = finished(two / f"{stage}-ddp"), finished(two / f"{stage}-{kind}")
    same_numbers(left, right, 2e-3)
    assert distance(two / f"{stage}-ddp", two / f"{stage}-{kind}") < 1e-3
    assert right["model files"] == left["model files"], "the model is saved whole"
    assert any(row["grad_norm"] > 0 for row in left["metrics"]), "nothing was learnt"


@pytest.mark.parametrize("name", AGAIN)
def test_a_sharded_run_goes_on_from_its_checkpoint(name: str, two: Path):
    finished(two / name)
    assert distance(two / name.split("@")[0], two / name) < 1e-6


def test_one_run_directory_and_one_log_for_each_rank(two: Path):
    finished(two / "grpo-ddp")
    for run in two.glob("*-*"):
        assert {path.name for path in (run / "logs").iterdir()} >= {"rank0.log", "rank1.log"}
        json.loads((run / "status.json").read_text())
