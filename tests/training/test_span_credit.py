"""Advantages by token when a reward is credited to the reasoning only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from facial_r1.errors import InputError
from facial_r1.training.efficiency import Efficiency
from facial_r1.training.micro_batches import total_reward
from facial_r1.training.span_credit import credited_advantages, group_advantages, outside_advantages, reasoning_tokens
from tests.invariants import rollouts, tiny_vl

NAN = float("nan")


def test_advantages_of_a_group():
    # mean 2, standard deviation (n - 1) 1
    found = group_advantages(torch.tensor([1.0, 2.0, 3.0]), 3, "group")
    assert found.tolist() == pytest.approx([-1 / 1.0001, 0, 1 / 1.0001])


def test_without_scaling_they_are_differences_from_the_mean():
    found = group_advantages(torch.tensor([1.0, 2.0, 3.0, 0.0, 0.0, 3.0]), 3, "none")
    assert found.tolist() == [-1, 0, 1, -1, -1, 2]


def test_scaled_by_the_batch_they_share_one_divisor():
    total = torch.tensor([0.0, 2.0, 0.0, 4.0])
    divisor = float(total.std()) + 1e-4
    assert group_advantages(total, 2, "batch").tolist() == pytest.approx([-1 / divisor, 1 / divisor, -2 / divisor, 2 / divisor])


def test_equal_rewards_give_no_advantage():
    # 0.1 + 0.2 and 0.3 differ in the last bit of their mean in float32
    assert group_advantages(torch.full((7,), 0.3), 7, "group").tolist() == [0] * 7


def test_rows_without_a_reward_get_none():
    assert group_advantages(torch.tensor([NAN, 1.0, 3.0]), 3, "none").tolist() == [0, -1, 1]


def test_outside_of_the_reasoning_the_credited_reward_does_not_exist():
    rewards = torch.tensor([[0.9, 1.0], [0.1, 1.0], [0.5, 0.0], [0.4, 0.0]])
    weights = torch.tensor([1.0, 2.0])
    found = outside_advantages(rewards, weights, [True, False], 2, "none")
    assert found.tolist() == [0, 0, 0, 0]
    found = outside_advantages(rewards, weights, [False, True], 2, "none")
    assert found.tolist() == pytest.approx([0.4, -0.4, 0.05, -0.05])


def test_when_every_reward_is_credited_the_rest_gets_nothing():
    rewards = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    assert outside_advantages(rewards, torch.ones(2), [True, True], 2, "group").tolist() == [0, 0]


def test_tokens_of_the_reasoning_get_the_whole_advantage():
    reasoning = torch.tensor([[False, True, False], [False, False, False]])
    found = credited_advantages(torch.tensor([1.0, -1.0]), torch.tensor([0.5, -0.5]), reasoning)
    assert found.tolist() == [[0.5, 1.0, 0.5], [-0.5, -0.5, -0.5]]


class Bytes:
    """A tokenizer whose token `n` is the byte `n`; 256 ends a turn."""

    all_special_tokens = ("<end>",)

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return ["<end>" if one == 256 else chr(one) for one in ids]


def test_reasoning_is_found_in_the_ids():
    text = b"<think>AU4</think><answer>anger</answer>"
    ids = torch.tensor([[*text, 256, 0, 0], [*b"no_tags", *[0] * (len(text) - 4)]])
    mask = torch.zeros_like(ids)
    mask[0, : len(text) + 1] = mask[1, :7] = 1
    found = reasoning_tokens(Bytes(), ids, mask)
    assert [place for place, flag in enumerate(found[0].tolist()) if flag] == [7, 8, 9]
    assert not found[1].any()


def test_a_tokenizer_of_another_kind_is_refused():
    class Pieces(Bytes):
        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return ["\u2581the"] * len(ids)

    with pytest.raises(InputError, match=r"stage\.reasoning_rewards=\[\]"):
        reasoning_tokens(Pieces(), torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2, dtype=torch.long))


def sizes(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """A reward in eighths of where the reasoning lies."""
    return [len(ids) % 5 / 4 for ids in completion_ids]


class Reasoned(rollouts.Recorded):
    """Recorded completions of printable letters, most with reasoning."""

    def __call__(self, row: int, visit: int, place: int) -> list[int]:
        letters = [chr(ord("a") + token % 26) for token in super().__call__(row, visit, place)]
        half = letters[: len(letters) // 2 + 1]
        spelled = letters if (row + place) % 4 == 0 else [*"<think>", *half, *"</think>", *letters]
        return [*tiny_vl.tokenizer().convert_tokens_to_ids(spelled), 258]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vl.saved("qwen2_5_vl", tmp_path_factory.mktemp("model"))


def trained(
    folder: Path,
    model: Path,
    efficiency: Efficiency,
    credited: frozenset[str],
    functions: Any = (sizes, rollouts.reward),
    **more: Any,
) -> rollouts.Run:
    def credit(trainer: Any) -> None:
        trainer.reasoning_rewards = credited

    options = {"reward_funcs": list(functions)}
    return rollouts.train(
        folder, model, "qwen2_5_vl", efficiency, mutate=credit, trainer_options=options, max_completion_length=40, **more
    )


@pytest.mark.parametrize("settings", [{}, {"beta": 0.04}, {"num_iterations": 2}, {"importance_sampling_level": "sequence"}])
def test_savings_do_not_change_what_is_learnt(
    settings: dict[str, Any], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rollouts, "Recorded", Reasoned)
    runs = [
        trained(tmp_path, model, efficiency, frozenset({"sizes"}), **settings) for efficiency in (Efficiency(), Efficiency.none())
    ]
    assert rollouts.difference(runs[0].weights, runs[1].weights) <= 1e-5
    whole = trained(tmp_path, model, Efficiency(), frozenset(), **settings)
    assert rollouts.difference(runs[0].weights, whole.weights) > 1e-3, "the credit makes a difference"


def test_without_reasoning_the_credited_reward_does_not_train(model: Path, tmp_path: Path):
    credited = trained(tmp_path, model, Efficiency(), frozenset({"sizes"}))
    alone = trained(tmp_path, model, Efficiency(), frozenset(), functions=(rollouts.reward,))
    assert rollouts.difference(credited.weights, alone.weights) <= 1e-5


def test_the_total_is_what_trl_sums():
    rewards = torch.tensor([[1.0, NAN], [NAN, NAN]])
    assert total_reward(rewards, torch.tensor([2.0, 1.0])).nan_to_num(-1).tolist() == [2.0, -1.0]
