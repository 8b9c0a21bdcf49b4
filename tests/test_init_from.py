"""Commands that use a model are set up as the run behind `init_from` was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from facial_r1 import init_from
from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import resolved_yaml
from facial_r1.errors import InputError


def finished_run(folder: Path, *settings: str, state: str = "finished", ended: str = "2026-01-01T00:00:00+00:00") -> Path:
    """A run directory as a stage leaves it, with an empty model folder."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.json").write_text("{}")
    (folder / "resolved.yaml").write_text(resolved_yaml(compose_tree(["stage=sft", *settings])))
    (folder / "status.json").write_text(json.dumps({"state": state, "stage": "sft", "ended": ended}))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished_run(
        tmp_path / "out" / "sft-1", "model=qwen2_5_vl_3b", "prompt=facial_r1", "data=jsonl", "data.files=[gone.jsonl]", "protocol=raf_db"
    )  # fmt: skip


def test_model_prompt_and_labels_are_those_of_the_run(run: Path) -> None:
    chosen = init_from.choose([f"init_from={run}"])
    assert (chosen.job.model.name, chosen.job.prompt.name, chosen.job.data.protocol.name) == (
        "qwen2_5_vl_3b",
        "facial_r1",
        "raf_db",
    )
    assert chosen.run is not None and chosen.run.path == run
    assert chosen.source == str(run / "model") and chosen.job.init_from == str(run)


def test_the_model_folder_of_a_run_stands_for_the_run(run: Path) -> None:
    chosen = init_from.choose([f"init_from={run}/model"])
    assert chosen.job.prompt.name == "facial_r1" and chosen.source == str(run / "model")


def test_latest_is_found(run: Path) -> None:
    assert init_from.choose(["init_from=latest", f"output_root={run.parent}"]).source == str(run / "model")


def test_what_the_user_chooses_holds_and_single_keys_go_on_top(run: Path) -> None:
    job = init_from.choose([f"init_from={run}", "prompt=brief", "protocol=disfa", "model.image_size.max_pixels=50000"]).job
    assert (job.model.name, job.model.image_size.max_pixels) == ("qwen2_5_vl_3b", 50000)
    assert (job.prompt.name, job.data.protocol.name) == ("brief", "disfa")


def test_an_experiment_is_taken_whole(run: Path) -> None:
    job = init_from.choose([f"init_from={run}", "experiment=facial_r1/eval", "data=schematic", "model=tiny"]).job
    assert job.model.name == "tiny"


def test_without_a_run_a_real_model_is_not_asked_about_drawn_faces() -> None:
    assert init_from.choose(["model=qwen2_5_vl_7b"]).job.data.protocol.name == "generic"
    assert init_from.choose(["model=qwen2_5_vl_7b", "protocol=open"]).job.data.protocol.name == "open"
    assert init_from.choose([]).job.data.protocol.name == "schematic"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["init_from=./nowhere"], "there is no such folder. Give a run, a model folder"),
        (["init_from=latest", "output_root=./nowhere"], "no finished pipeline or grpo or sft run below ./nowhere"),
        (["stage=sft"], "leave stage= out"),
        (["modle=tiny"], "did you mean 'model'"),
        (["stage.max_new_tokens=0"], "stage.max_new_tokens=0"),
    ],
)
def test_wrong_settings_are_refused(settings: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        init_from.choose(settings)


def test_a_run_that_is_not_finished_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="that sft run is interrupted"):
        init_from.choose([f"init_from={finished_run(tmp_path / 'run', state='interrupted')}"])


def test_a_folder_that_is_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither a run directory \(status.json\) nor a model directory"):
        init_from.choose([f"init_from={tmp_path}"])


def test_a_run_s_own_file_is_not_changed(run: Path) -> None:
    before = yaml.safe_load((run / "resolved.yaml").read_text())
    init_from.choose([f"init_from={run}", "prompt=brief"])
    assert yaml.safe_load((run / "resolved.yaml").read_text()) == before
