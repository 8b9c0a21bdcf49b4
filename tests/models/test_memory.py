"""The estimate of GPU memory: exact parameter counts, and bookkeeping that moves the right way."""

from __future__ import annotations

import pytest

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.schema import Job
from facial_r1.config.validation import validate
from facial_r1.models import memory


def job(*overrides: str) -> Job:
    return validate(plain(compose_tree(["model=qwen2_5_vl_7b", *overrides])))


ZERO3 = ("launch=torchrun", "launch.processes=8", "launch.distributed=zero3")

# Parameters that the model cards' safetensors indexes list.
PUBLISHED = {
    "Qwen/Qwen2.5-VL-3B-Instruct": 3_754_622_976,
    "Qwen/Qwen2.5-VL-7B-Instruct": 8_292_166_656,
    "Qwen/Qwen3-VL-8B-Instruct": 8_767_123_696,
}


@pytest.mark.parametrize("source", PUBLISHED)
def test_parameters_are_those_of_the_checkpoint(source: str):
    shape = memory.shape_of(job("stage=sft"), source)
    assert shape is not None
    assert shape.parameters == PUBLISHED[source]


def test_the_tiny_model_is_read_from_its_own_folder():
    tiny = validate(plain(compose_tree(["model=tiny", "stage=sft"])))
    shape = memory.shape_of(tiny, tiny.model.source)
    assert shape is not None
    assert shape.parameters == 3_826_848


def test_a_frozen_tower_does_not_learn():
    frozen = memory.shape_of(job("stage=sft", "model.freeze_vision=true"), "Qwen/Qwen2.5-VL-7B-Instruct")
    free = memory.shape_of(job("stage=sft", "model.freeze_vision=false"), "Qwen/Qwen2.5-VL-7B-Instruct")
    assert frozen is not None and free is not None
    assert free.trained == free.parameters
    assert frozen.trained < free.trained


def test_adapters_are_a_small_part():
    shape = memory.shape_of(job("stage=sft", "model.lora.enabled=true"), "Qwen/Qwen2.5-VL-7B-Instruct")
    assert shape is not None
    # rank 16 on q, k, v, o, gate, up, down of 28 layers; the same count as in AffectGPT for this decoder
    assert shape.trained == 40_370_176


def test_zero3_divides_what_is_learnt_by_the_ranks():
    shape = memory.shape_of(job("stage=sft"), "Qwen/Qwen2.5-VL-7B-Instruct")
    assert shape is not None
    alone = memory.training_memory(job("stage=sft", "launch=torchrun", "launch.distributed=zero3"), shape, 1, 1000)
    eight = memory.training_memory(job("stage=sft", *ZERO3), shape, 8, 1000)
    for part in ("weights", "gradients", "optimizer"):
        assert eight.parts[part] == pytest.approx(alone.parts[part] / 8)


def parts(*overrides: str) -> dict[str, float]:
    """GiB on each GPU by purpose, for SFT of the 7B model."""
    found = job("stage=sft", "launch=torchrun", *overrides)
    shape = memory.shape_of(found, "Qwen/Qwen2.5-VL-7B-Instruct")
    assert shape is not None
    return {
        name: size / memory.GIB for name, size in memory.training_memory(found, shape, found.launch.world, 1000).parts.items()
    }


def test_every_way_to_share_the_work_holds_what_it_says():
    """By hand: 8.292 B weights, 7.616 B of them learn (the tower is frozen by default or not: taken from the ddp line)."""
    ddp = parts("launch.processes=8", "launch.distributed=ddp")
    zero2 = parts("launch.processes=8", "launch.distributed=zero2")
    zero3 = parts("launch.processes=8", "launch.distributed=zero3")
    fsdp2 = parts("launch.processes=8", "launch.distributed=fsdp2")
    assert zero2["weights"] == pytest.approx(ddp["weights"] / 2) and zero3["weights"] == pytest.approx(ddp["weights"] / 16)
    assert fsdp2["weights"] == pytest.approx(ddp["weights"] / 8) and fsdp2["gradients"] == pytest.approx(ddp["gradients"] / 8)
    # 16 bytes of state a weight that learns, however they are cut: 2 + 2 + 12, or 4 + 4 + 8.
    for found in (zero3, fsdp2):
        assert found["weights"] + found["gradients"] + found["optimizer"] == pytest.approx(
            (ddp["weights"] + ddp["gradients"] + ddp["optimizer"]) / 8, rel=0.12
        )


def test_nodes_count_as_ranks():
    one = parts("launch.processes=16", "launch.distributed=zero3")
    two = parts("launch.nodes=2", "launch.rendezvous=a:1", "launch.processes=8", "launch.distributed=zero3")
    assert one == two


@pytest.mark.parametrize(
    ("kind", "gone"),
    [("zero2", ["optimizer"]), ("zero3", ["optimizer", "weights"]), ("fsdp2", ["optimizer", "weights", "gradients"])],
)
def test_what_is_offloaded_is_in_the_host(kind: str, gone: list[str]):
    found = parts("launch.processes=8", f"launch.distributed={kind}", "launch.offload=true")
    assert [name for name in ("optimizer", "weights", "gradients") if not found[name]] == gone
    told = memory.describe(
        job("stage=sft", "launch=torchrun", "launch.processes=8", f"launch.distributed={kind}", "launch.offload=true"),
        "Qwen/Qwen2.5-VL-7B-Instruct", 8, 1000,
    )  # fmt: skip
    assert any("in the host of each node" in line for line in told), told


def test_a_reference_model_is_counted_only_with_beta():
    shape = memory.shape_of(job("stage=grpo"), "Qwen/Qwen2.5-VL-7B-Instruct")
    assert shape is not None
    assert "reference model" not in memory.training_memory(job("stage=grpo", *ZERO3), shape, 8, 1000).parts
    assert "reference model" in memory.training_memory(job("stage=grpo", "stage.beta=0.04", *ZERO3), shape, 8, 1000).parts


def test_sharing_the_prompt_needs_fewer_activations():
    shape = memory.shape_of(job("stage=grpo"), "Qwen/Qwen2.5-VL-7B-Instruct")
    assert shape is not None
    shared = memory.training_memory(job("stage=grpo"), shape, 1, 1000).parts["activations"]
    plain_trl = memory.training_memory(job("stage=grpo", "stage.efficiency.share_prompt=false"), shape, 1, 1000).parts[
        "activations"
    ]
    assert shared < plain_trl


def test_advice_names_keys_where_it_does_not_fit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "gpu_bytes", lambda: (80.0 * memory.GIB, "test"))
    lines = memory.describe(job("stage=sft"), "Qwen/Qwen2.5-VL-7B-Instruct", 1, 1000)
    assert len(lines) == 2
    for key in ("launch.distributed=zero3", "model.lora.enabled=true", "stage.per_device_batch_size=1"):
        assert key in lines[1]


def test_what_fits_is_not_advised(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "gpu_bytes", lambda: (80.0 * memory.GIB, "test"))
    said = memory.describe(job("stage=sft", *ZERO3), "Qwen/Qwen2.5-VL-7B-Instruct", 8, 1000)
    assert not any("will not fit" in line for line in said), said


def test_an_unknown_hub_model_is_said():
    lines = memory.describe(job("stage=sft"), "someone/Unheard-of", 1, 1000)
    assert lines == ["memory: not estimated, someone/Unheard-of is neither downloaded nor one of the architectures shipped"]
