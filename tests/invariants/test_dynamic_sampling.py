"""Dynamic sampling: every group of a batch is live in the end, and the step is that of a plain run over the kept prompts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

from facial_r1.training.dynamic_sampling import Round, draw, fill, sampled_metric
from facial_r1.training.efficiency import Efficiency
from facial_r1.training.group_grpo import GroupGRPOTrainer
from tests.invariants import rollouts, tiny_vl
from tests.invariants.rollouts import difference, train
from tests.invariants.test_two_ranks import ROOT, free_port

GROUP, PROMPTS = 4, 4
SHAPE: dict[str, Any] = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "num_generations": GROUP}


def reward(completions: list[Any], completion_ids: list[list[int]], row: list[int], log_extra: Any, **_: Any) -> list[float]:
    """Odd rows are dead whatever is answered; even ones are live, for no two answers have the same sum."""
    log_extra("row", row)
    return [0.5 if index % 2 else sum(ids) / 1000 + len(ids) for ids, index in zip(completion_ids, row, strict=True)]


def run(folder: Path, model: Path, efficiency: Efficiency | None, rounds: int | None = None, **settings: Any) -> rollouts.Run:
    """A run on recorded completions with the reward above."""
    options: dict[str, Any] = {"reward_funcs": [reward]}
    if efficiency is not None:
        options["dynamic_sampling"] = rounds
    settings = {"max_steps": 1, "dtype": torch.float64, **SHAPE} | settings
    return train(folder, model, "qwen2_5_vl", efficiency, trainer_options=options, **settings)


def rows(count: int = 24, kinds: str = "1") -> Dataset:
    return rollouts.dataset(count, kinds=kinds)


def kept(trainer: Any) -> list[int]:
    """The prompt of each group that was trained on."""
    return list(trainer._logs["extra"]["row"])[::GROUP]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vl.saved("qwen2_5_vl", tmp_path_factory.mktemp("model"), torch.float64)


@pytest.mark.parametrize(
    ("efficiency", "settings"),
    [
        (Efficiency(), {}),
        (Efficiency(), {"freeze_vision": False, "beta": 0.04, "rows": rollouts.dataset(24, kinds="12")}),
        (Efficiency(load_once=False), {"freeze_vision": False}),
        (Efficiency.only("load_once"), {"num_iterations": 2, "max_steps": 2}),
        (Efficiency.none(), {"beta": 0.04}),
    ],
    ids=["all savings", "trained tower and reference", "rows loaded one by one", "two iterations", "plain TRL"],
)
def test_the_step_is_that_of_plain_trl_over_the_kept_prompts(
    efficiency: Efficiency, settings: dict[str, Any], model: Path, tmp_path: Path
) -> None:
    data = settings.get("rows", rows())
    ours = run(tmp_path, model, efficiency, rounds=6, **({"rows": data} | settings))
    prompts = kept(ours.trainer)
    assert all(prompt % 2 == 0 for prompt in prompts) and len(set(prompts)) == PROMPTS
    plain = run(tmp_path, model, None, **(settings | {"rows": data.select(prompts), "shuffle_dataset": False}))
    assert kept(plain.trainer) == prompts
    assert ours.step_losses() == pytest.approx(plain.step_losses(), rel=1e-6, abs=1e-7)
    for own, expected in zip(ours.gradients, plain.gradients, strict=True):
        assert difference(own, expected) <= 1e-6
    assert difference(ours.weights, plain.weights) <= 1e-6
    logged, expected_log = ours.trainer.state.log_history[0], plain.trainer.state.log_history[0]
    for name in expected_log:
        if name.startswith(("reward", "completions/", "frac_reward")):
            assert logged[name] == pytest.approx(expected_log[name], rel=1e-6), name
    for name in ("completion", "advantages"):
        assert list(ours.trainer._logs[name]) == list(plain.trainer._logs[name])


def test_what_is_replaced_is_counted(model: Path, tmp_path: Path) -> None:
    data = rows()
    ours = run(tmp_path, model, Efficiency(), rounds=8, rows=data, shuffle_dataset=False)
    log = ours.trainer.state.log_history[0]
    # Rows 0 to 3 come first, two of them dead; fresh ones come in the order of the rows, two at a time: (0, 1 were asked) 4, 5 and then 6.
    assert kept(ours.trainer) == [0, 4, 2, 6]
    assert log["dynamic_sampling/rounds"] == 3
    assert log["dynamic_sampling/replaced"] == 2
    assert log["dynamic_sampling/live_fraction"] == 1.0
    assert log["dynamic_sampling/accept_rate"] == pytest.approx(4 / 7)
    assert log["frac_reward_zero_std"] == 0.0


def test_what_is_dead_after_the_last_round_stays(model: Path, tmp_path: Path) -> None:
    ours = run(tmp_path, model, Efficiency(), rounds=2, rows=rows(), shuffle_dataset=False)
    log = ours.trainer.state.log_history[0]
    assert kept(ours.trainer) == [0, 4, 2, 3]
    assert log["dynamic_sampling/rounds"] == 2 and log["dynamic_sampling/live_fraction"] == 0.75
    assert log["frac_reward_zero_std"] == 0.25


def test_it_ends_when_every_prompt_was_asked(model: Path, tmp_path: Path) -> None:
    ours = run(tmp_path, model, Efficiency(), rounds=50, rows=rows(6), shuffle_dataset=False)
    log = ours.trainer.state.log_history[0]
    assert kept(ours.trainer) == [0, 4, 2, 3]
    assert log["dynamic_sampling/rounds"] == 2 and log["dynamic_sampling/accept_rate"] == 0.5


def test_a_full_batch_is_left_as_it_is(model: Path, tmp_path: Path) -> None:
    data = rows().filter(lambda row: row["row"] % 2 == 0)
    with_it, without = (run(tmp_path, model, Efficiency(), rounds=n, rows=data) for n in (4, None))
    assert all(torch.equal(with_it.weights[name], without.weights[name]) for name in without.weights)
    log = with_it.trainer.state.log_history[0]
    assert log["dynamic_sampling/rounds"] == 1 and log["dynamic_sampling/replaced"] == 0


def sampling(folder: Path, model_folder: Path, efficiency: Efficiency, steps: int = 4, **settings: Any) -> GroupGRPOTrainer:
    """A trainer that samples its completions, so that random states matter."""
    from transformers import Qwen2_5_VLForConditionalGeneration

    options = {"optim": "adamw_torch", "max_steps": steps, "save_strategy": "steps", "save_steps": 2, **SHAPE} | settings
    return GroupGRPOTrainer(
        model=Qwen2_5_VLForConditionalGeneration.from_pretrained(model_folder, dtype=torch.float32),
        reward_funcs=[reward],
        args=rollouts.config(folder, **options),
        train_dataset=rows(10),
        processing_class=tiny_vl.processor("qwen2_5_vl"),
        image_loader=rollouts.load_image,
        efficiency=efficiency,
        dynamic_sampling=4,
    )


@pytest.mark.parametrize("settings", [{}, {"num_iterations": 3}], ids=["between batches", "inside a batch"])
@pytest.mark.parametrize("efficiency", [Efficiency(), Efficiency(load_once=False)], ids=["load_once", "rows one by one"])
def test_a_resumed_run_draws_the_same_prompts(
    efficiency: Efficiency, settings: dict[str, Any], tmp_path: Path, model: Path
) -> None:
    whole = sampling(tmp_path / "run", model, efficiency, **settings)
    whole.train()
    assert whole._reserve_position > 0
    resumed = sampling(tmp_path / "again", model, efficiency, **settings)
    torch.manual_seed(321)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    assert resumed._reserve_position == whole._reserve_position
    for name, weight in whole.model.named_parameters():
        assert torch.equal(resumed.model.get_parameter(name), weight), name
    volatile = ("step_time", "epoch", "train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss")
    for own, expected in zip(resumed.state.log_history[:4], whole.state.log_history[:4], strict=True):
        for name in expected.keys() - set(volatile):
            assert own[name] == pytest.approx(expected[name], nan_ok=True), name


def test_what_it_cannot_do_is_refused(tmp_path: Path, model: Path) -> None:
    for settings, wanted in (
        ({"scale_rewards": "batch"}, "group by group"),
        ({"remove_unused_columns": True}, "row numbers"),
        ({"per_device_train_batch_size": 6, "gradient_accumulation_steps": 1, "num_generations": 4}, "divisible|whole groups"),
    ):
        with pytest.raises(ValueError, match=wanted):
            sampling(tmp_path, model, Efficiency(), **settings)


PROGRAM = """
import sys, torch
from pathlib import Path
from facial_r1.training.efficiency import Efficiency
from tests.invariants import test_dynamic_sampling as tests
folder, model = Path(sys.argv[1]), Path(sys.argv[2])
shape = dict(per_device_train_batch_size=8, freeze_vision=False, ddp_find_unused_parameters=True)
data = tests.rows(64)
ours = tests.run(folder, model, Efficiency(), rounds=8, rows=data, **shape)
prompts = ours.trainer._logs["extra"]["row"]
prompts = list(prompts)[::tests.GROUP]
plain = tests.run(folder, model, None, rows=data.select(prompts), shuffle_dataset=False, **shape)
torch.save({"prompts": prompts, "ours": ours.weights, "plain": plain.weights, "log": ours.trainer.state.log_history[0]},
           folder / f"rank{ours.trainer.accelerator.process_index}.pt")
"""


@pytest.mark.slow
def test_two_ranks_fill_their_own_places(model: Path, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"),
            *(str(script), str(tmp_path), str(model)),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first["prompts"] == second["prompts"] and len(set(first["prompts"])) == 8
    assert all(prompt % 2 == 0 for prompt in first["prompts"])
    assert first["log"]["dynamic_sampling/live_fraction"] == 1.0 and first["log"]["dynamic_sampling/rounds"] > 1
    assert difference(first["ours"], first["plain"]) <= 1e-6
    assert all(torch.equal(first["ours"][name], second["ours"][name]) for name in first["ours"])


def test_the_stream_is_a_function_of_the_seed_and_goes_on_where_it_stopped() -> None:
    whole, end = draw(10, 0, 10, set(), seed=3, shuffle=True)
    assert sorted(whole) == list(range(10)) and end == 10
    first, middle = draw(10, 0, 4, set(), seed=3, shuffle=True)
    second, again = draw(10, middle, 6, set(), seed=3, shuffle=True)
    assert first + second == whole and again == end
    assert draw(10, 10, 10, set(), seed=3, shuffle=True)[0] != whole, "the second permutation is another"
    assert draw(10, 0, 10, set(), seed=4, shuffle=True)[0] != whole


def test_the_stream_passes_over_rows_that_were_asked() -> None:
    asked = {0, 1, 4}
    assert draw(6, 0, 2, asked, seed=0, shuffle=False) == ([2, 3], 4)
    assert asked == {0, 1, 2, 3, 4}
    assert draw(6, 4, 5, asked, seed=0, shuffle=False) == ([5], 6), "fewer come when fewer are left"
    assert draw(6, 6, 5, asked, seed=0, shuffle=False) == ([], 6)


def rounds_of(*live: list[bool]) -> list[Round]:
    return [Round({}, torch.zeros(0), flags, [], [], {}, {}) for flags in live]


def test_each_rank_fills_its_places_with_its_own_groups() -> None:
    two = rounds_of([True, False, False, False], [False, True, True, True])
    slots = [(0, group) for group in range(4)]
    assert fill(slots, two, ranks=2) == [(0, 0), (1, 1), (1, 2), (1, 3)]
    assert fill(slots, two, ranks=1) == [(0, 0), (1, 1), (1, 2), (1, 3)]
    surplus = rounds_of([True, True, False, False], [True, True, False, True])
    assert fill(slots, surplus, ranks=2) == [(0, 0), (0, 1), (1, 3), (0, 3)], "rank 0 has no place for its two"


def test_metrics_over_rounds() -> None:
    assert sampled_metric("completions/parse_failures", [0.5, 0.0], [8, 24]) == 0.125
    assert sampled_metric("sampling/importance_sampling_ratio/min", [0.5, 0.1], [8, 24]) == 0.1
    assert sampled_metric("sampling/importance_sampling_ratio/max", [0.5, 0.1], [8, 24]) == 0.5
