"""Rewards that are computed while the device works: same values, same log, errors where they belong, and time saved."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch

from facial_r1.training.efficiency import Efficiency
from facial_r1.training.reward_overlap import AheadOfTime, run_ahead
from tests.invariants import rollouts, tiny_vl
from tests.invariants.rollouts import train

ON, OFF = Efficiency(), Efficiency(overlap_rewards=False)
NOTHING = "off: no pass lies between generation and rewards (beta 0, no old log-probabilities needed)"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vl.saved("qwen2_5_vl", tmp_path_factory.mktemp("model"))


def first(completion_ids: list[list[int]], row: list[int], log_metric: Any, log_extra: Any, **rest: Any) -> list[float]:
    """Logs, draws random numbers and reads every argument that TRL gives."""
    assert len(rest["prompts"]) == len(rest["completions"]) == len(row) and rest["trainer_state"].global_step >= 0
    log_metric("noise", float(torch.rand(())))
    log_extra("row", row)
    return [(sum(ids) % 8) / 8 for ids in completion_ids]


def second(completions: list[Any], log_metric: Any, **_: Any) -> list[float | None]:
    log_metric("noise", float(torch.rand(())))
    return [None if place % 3 == 0 else float(torch.rand(())) for place, _ in enumerate(completions)]


async def third(completions: list[Any], **_: Any) -> list[float]:
    return [0.25 * (place % 2) for place, _ in enumerate(completions)]


@pytest.mark.parametrize(
    "settings",
    [{"beta": 0.04}, {"beta": 0.04, "num_iterations": 2, "kinds": "12"}],
    ids=["reference model", "two iterations, several images"],
)
@pytest.mark.parametrize(
    "base", [ON, Efficiency(load_once=False), Efficiency.only("overlap_rewards")], ids=["all", "rows", "TRL"]
)
def test_values_and_logs_are_those_without_the_thread(
    base: Efficiency, settings: dict[str, Any], model: Path, tmp_path: Path
) -> None:
    settings = dict(settings)
    data = rollouts.dataset(6, kinds=settings.pop("kinds", "1"))
    runs = []
    for overlap in (True, False):
        efficiency = Efficiency(**{**vars(base), "overlap_rewards": overlap})
        options = {"reward_funcs": [first, third, second]}
        runs.append(train(tmp_path, model, "qwen2_5_vl", efficiency, rows=data, trainer_options=options, **settings))
        assert runs[-1].trainer.efficiency_report()["overlap_rewards"] == ("on" if overlap else "off: switched off")
    ours, theirs = runs
    assert ours.losses == theirs.losses
    assert all(torch.equal(ours.weights[name], theirs.weights[name]) for name in theirs.weights)
    for own, expected in zip(ours.trainer.state.log_history, theirs.trainer.state.log_history, strict=True):
        names = [name for name in expected if name.startswith(("reward", "noise"))]
        assert [own[name] for name in names] == [expected[name] for name in names]
    assert list(ours.trainer._logs["extra"]["row"]) == list(theirs.trainer._logs["extra"]["row"])


def step_time(folder: Path, model: Path, efficiency: Efficiency, reward_seconds: float, pass_seconds: float) -> float:
    """Seconds of one step with a slow reward and a slow reference model."""

    def slow(completions: list[Any], **_: Any) -> list[float]:
        time.sleep(reward_seconds)
        return [float(place % 2) for place, _ in enumerate(completions)]

    def mutate(trainer: Any) -> None:
        trainer.ref_model.register_forward_pre_hook(lambda *_: time.sleep(pass_seconds))

    run = train(
        folder, model, "qwen2_5_vl", efficiency, beta=0.04, max_steps=1, mutate=mutate, trainer_options={"reward_funcs": [slow]}
    )
    return run.trainer.state.log_history[0]["step_time"]


def test_the_shorter_of_reward_and_pass_is_saved(model: Path, tmp_path: Path) -> None:
    step_time(tmp_path, model, ON, 0.0, 0.0)  # whatever is set up once
    with_it = min(step_time(tmp_path, model, ON, 1.0, 1.0) for _ in range(2))
    without = min(step_time(tmp_path, model, OFF, 1.0, 1.0) for _ in range(2))
    assert without >= 2.0
    assert without - with_it >= 0.5, f"{without:.2f} s without, {with_it:.2f} s with the thread"


def test_an_error_comes_with_its_traceback(model: Path, tmp_path: Path) -> None:
    def broken(completions: list[Any], **_: Any) -> list[float]:
        raise ZeroDivisionError("of this reward")

    def never(completions: list[Any], **_: Any) -> list[float]:
        raise AssertionError("called after an error")

    with pytest.raises(ZeroDivisionError, match="of this reward") as caught:
        train(tmp_path, model, "qwen2_5_vl", ON, beta=0.04, max_steps=1, trainer_options={"reward_funcs": [broken, never]})
    text = "".join(traceback.format_exception(caught.value))
    assert "in broken" in text and "in _calculate_rewards" in text
    assert "overlap_rewards=false" in text


def test_a_reward_of_the_wrong_length_is_reported_as_trl_does(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="The reward function 'short' returned 1 rewards"):

        def short(completions: list[Any], **_: Any) -> list[float]:
            return [1.0]

        train(tmp_path, model, "qwen2_5_vl", ON, beta=0.04, max_steps=1, trainer_options={"reward_funcs": [short]})


def test_where_there_is_nothing_to_overlap_with_it_says_so(model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        run = train(tmp_path, model, "qwen2_5_vl", ON, max_steps=1)
    assert run.trainer.efficiency_report()["overlap_rewards"] == NOTHING
    assert "overlap_rewards" not in caplog.text, "nothing is lost, so nobody is warned"
    run = train(tmp_path, model, "qwen2_5_vl", Efficiency(skip_old_logprobs=False), max_steps=1, num_iterations=2)
    assert run.trainer.efficiency_report()["overlap_rewards"] == "on", "the pass for old log-probabilities"
    run = train(tmp_path, model, "qwen2_5_vl", ON, max_steps=1, beta=0.04, trainer_options={"reward_funcs": [third]})
    assert run.trainer.efficiency_report()["overlap_rewards"] == "off: no reward is a plain function"


def test_evaluation_overlaps_too(model: Path, tmp_path: Path) -> None:
    losses = []
    for efficiency in (ON, OFF):
        run = train(
            tmp_path, model, "qwen2_5_vl", efficiency, beta=0.04, max_steps=1, per_device_eval_batch_size=8,
            trainer_options={"eval_dataset": rollouts.dataset(4)},
        )  # fmt: skip
        losses.append(run.trainer.evaluate()["eval_loss"])
    assert losses[0] == losses[1] != 0.0


CPU = torch.device("cpu")


def test_another_call_than_the_one_that_ran_is_made_anew(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []
    function = AheadOfTime(lambda x, **_: seen.append(x) or x)
    run_ahead([function], {"x": 1}, CPU)
    with caplog.at_level("WARNING"):
        assert function(x=2, log_extra=None, log_metric=None) == 2
    assert "computed again" in caplog.text
    assert function(x=3, log_extra=None, log_metric=None) == 3, "without a call that runs it is an ordinary function"


def test_what_was_not_run_after_an_error_is_run_when_asked_for() -> None:
    def broken(**_: Any) -> None:
        raise OSError("no connection")

    functions = [AheadOfTime(broken), AheadOfTime(lambda x, **_: x)]
    run_ahead(functions, {"x": 1}, CPU)
    assert functions[1](x=1, log_extra=None, log_metric=None) == 1
    with pytest.raises(OSError, match="no connection"):
        functions[0](x=1, log_extra=None, log_metric=None)


def test_arrays_are_compared_by_identity() -> None:
    array = torch.ones(3)
    function = AheadOfTime(lambda **_: "ran")
    call = function.begin({"x": [array]})
    assert call.answers({"x": [array], "log_extra": None}) and not call.answers({"x": [torch.ones(3)]})
