"""`launch=auto`: what it becomes on a machine with and without GPUs."""

from __future__ import annotations

import pytest

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.validation import validate
from facial_r1.launch import automatic
from facial_r1.launch.automatic import settle, visible_gpus


def settled(*overrides: str) -> tuple[str, int, str]:
    tree = compose_tree(["stage=sft", *overrides])
    launch = validate(plain(settle(tree, validate(plain(tree))))).launch
    return launch.name, launch.processes, launch.distributed


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch):
    return lambda count: monkeypatch.setattr(automatic, "visible_gpus", lambda: count)


def test_eight_gpus_are_eight_ranks(gpus):
    gpus(8)
    assert settled("launch=auto", "model=qwen2_5_vl_7b") == ("torchrun", 8, "zero3")


def test_one_gpu_is_this_process(gpus):
    gpus(1)
    assert settled("launch=auto", "model=qwen2_5_vl_7b") == ("inline", 1, "none")


def test_the_embedded_model_runs_in_this_process(gpus):
    gpus(8)
    assert settled("launch=auto", "model=tiny") == ("inline", 1, "none")


def test_a_dry_run_without_a_gpu_plans_for_the_expected_ones(gpus):
    gpus(0)
    assert settled("launch=auto", "model=qwen2_5_vl_7b", "debug=dry_run") == ("torchrun", 8, "zero3")


def test_a_real_run_without_a_gpu_stays_in_this_process(gpus):
    gpus(0)
    assert settled("launch=auto", "model=qwen2_5_vl_7b") == ("inline", 1, "none")


def test_the_cpu_is_one_rank(gpus):
    gpus(8)
    assert settled("launch=auto", "launch.device=cpu", "model=qwen2_5_vl_7b") == ("inline", 1, "none")


def test_another_launcher_is_left_alone(gpus):
    gpus(8)
    assert settled("launch=torchrun", "launch.processes=2", "model=qwen2_5_vl_7b") == ("torchrun", 2, "ddp")


@pytest.mark.parametrize(("value", "count"), [("0,1,3", 3), ("", 0), ("-1", 0)])
def test_the_environment_decides_what_is_visible(monkeypatch: pytest.MonkeyPatch, value: str, count: int):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == count
