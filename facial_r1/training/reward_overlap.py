"""Reward functions run in a thread while the device computes reference and old log-probabilities.

TRL generates, then computes those log-probabilities, then calls the reward functions; the device waits for them. They
need nothing of the passes, so they start as soon as the completions are decoded. `_calculate_rewards` of TRL is left as
it is: each function is wrapped, and the wrapper hands out what its function has returned meanwhile, provided that it is
asked with equal arguments. What a function logs is recorded and replayed there, in the order of the functions; an error
is raised there, with its traceback.

Reward functions run one after the other, in TRL's order, in one thread. They must not talk to other ranks and must not
need the main thread (`signal.alarm`); `overlap_rewards=False` gives such functions what they need. Asynchronous functions
and reward models stay with TRL.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from accelerate.logging import get_logger
from torch import nn
from trl.trainer.utils import is_async_callable

from facial_r1.training.group_base import SharedWork

logger = get_logger(__name__)

RewardFunction = Callable[..., Any]
#: Arguments that TRL makes for each call, and that are stood in for while the thread runs.
_LOGGING = ("log_extra", "log_metric")
_NOTE = (
    "raised in the thread that computes rewards while the device works; overlap_rewards=False "
    "(stage.efficiency.overlap_rewards=false) calls reward functions in the main thread"
)


class Call:
    """One call of a reward function that runs ahead.

    Args:
        function: The reward function.
        arguments: Its keyword arguments without those for logging.
    """

    def __init__(self, function: RewardFunction, arguments: Mapping[str, Any]) -> None:
        self._function, self._arguments = function, dict(arguments)
        self._logged: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._done = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None
        self._skipped = False

    def run(self) -> bool:
        """Call the function; returns whether it succeeded. Called in the thread."""
        try:
            recorders = {name: self._recorder(name) for name in _LOGGING}
            self._value = self._function(**self._arguments, **recorders)
        except BaseException as error:  # whatever it is, the main thread raises it
            self._error = error
        finally:
            self._done.set()
        return self._error is None

    def skip(self) -> None:
        """Leave the call to whoever asks for its result."""
        self._skipped = True
        self._done.set()

    def _recorder(self, name: str) -> Callable[..., None]:
        def record(*args: Any, **kwargs: Any) -> None:
            self._logged.append((name, args, kwargs))

        return record

    def answers(self, arguments: Mapping[str, Any]) -> bool:
        """Whether a call with these keyword arguments is this one."""
        given = {name: value for name, value in arguments.items() if name not in _LOGGING}
        return given.keys() == self._arguments.keys() and all(_same(given[name], self._arguments[name]) for name in given)

    def result(self, arguments: Mapping[str, Any]) -> Any:
        """Wait for the function, then log what it logged and return or raise what it did."""
        self._done.wait()
        if self._skipped:
            return self._function(**arguments)
        for name, args, kwargs in self._logged:
            arguments[name](*args, **kwargs)
        if self._error is not None:
            self._error.add_note(_NOTE)
            raise self._error
        return self._value


def _same(left: Any, right: Any) -> bool:
    if left is right:
        return True
    try:
        return bool(left == right)
    except (ValueError, RuntimeError):  # arrays that are not the same object compare by element
        return False


class AheadOfTime:
    """A reward function that may have been called already when it is called.

    Args:
        function: The reward function.
    """

    def __init__(self, function: RewardFunction) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self._call: Call | None = None

    def begin(self, arguments: Mapping[str, Any]) -> Call:
        """Prepare a call; the caller has to run it."""
        self._call = Call(self.function, arguments)
        return self._call

    def __call__(self, **arguments: Any) -> Any:
        call, self._call = self._call, None
        if call is None:
            return self.function(**arguments)
        if not call.answers(arguments):
            logger.warning(f"reward {self.__name__}: its arguments changed after generation, so it is computed again")
            return self.function(**arguments)
        return call.result(arguments)


def run_ahead(functions: Sequence[AheadOfTime], arguments: Mapping[str, Any], device: torch.device) -> None:
    """Start a thread that calls these functions one after the other; after an error the rest is not called."""
    calls = [function.begin(arguments) for function in functions]

    def work() -> None:
        if device.type == "cuda":
            torch.cuda.set_device(device)  # the current device is the thread's own
        running = True
        for call in calls:
            if running:
                running = call.run()
            else:
                call.skip()

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name="rewards", daemon=True).start()


class OverlappedRewards(SharedWork):
    """The part of the trainer that starts reward functions early. It stands next to TRL, below what changes its rows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._trl_rows: list[dict[str, Any]] = []
        super().__init__(*args, **kwargs)
        if self._on("overlap_rewards"):
            functions: list[Any] = self.reward_funcs
            self.reward_funcs = [AheadOfTime(function) if _plain(function) else function for function in functions]

    def _obstacles(self) -> dict[str, str | None]:
        obstacles = super()._obstacles()
        skipped = self.efficiency.skip_old_logprobs and not obstacles["skip_old_logprobs"]
        cycle = self.args.steps_per_generation * self.num_iterations
        corrected = self.use_vllm and self.vllm_importance_sampling_correction
        old = (bool(self.args.gradient_accumulation_steps % cycle) or corrected) and not skipped
        reason = None
        if self.environment_factories is not None or self.rollout_func is not None:
            reason = "environments and rollout functions change the rows that rewards get"
        elif not any(_plain(function) for function in self.reward_funcs):
            reason = "no reward is a plain function"
        elif not old and self.beta == 0.0:
            reason = "no pass lies between generation and rewards (beta 0, no old log-probabilities needed)"
        obstacles["overlap_rewards"] = reason
        return obstacles

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._trl_rows = inputs
        try:
            return super()._generate_and_score_completions(inputs)
        finally:
            self._trl_rows = []

    def _generate(self, prompts: Any) -> Any:
        generated = super()._generate(prompts)
        if self._on("overlap_rewards"):
            rows, shown = self._seen_by_rewards(self._trl_rows, prompts)
            columns = [key for key in rows[0] if key not in ("prompt", "completion", "completion_ids")]
            arguments = {
                **{key: [row[key] for row in rows] for key in columns},
                "prompts": shown,
                "completions": generated[3],
                "completion_ids": generated[1],
                "trainer_state": self.state,
            }
            run_ahead([f for f in self.reward_funcs if isinstance(f, AheadOfTime)], arguments, self.accelerator.device)
        return generated


def _plain(function: Any) -> bool:
    """Whether TRL calls it as an ordinary function."""
    return callable(function) and not isinstance(function, nn.Module) and not is_async_callable(function)
