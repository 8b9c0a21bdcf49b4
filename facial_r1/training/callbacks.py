"""Trainer callbacks: metrics to our trackers, a progress bar, a clean stop on a signal."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from facial_r1.interruption import StopRequest

# The trainers' names on the left, ours (tracking/names.py) on the right.
_NAMES = {
    "reward": "reward/mean",
    "reward_std": "reward/std",
    "frac_reward_zero_std": "groups/zero_variance",
    "completions/clipped_ratio": "completions/truncated",
    "step_time": "seconds/step",
    "mean_token_accuracy": "token_accuracy",
    "clip_ratio/region_mean": "clip_ratio",
}
_SILENT = ("total_flos", "train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "num_tokens")


def rename(logs: Mapping[str, Any]) -> dict[str, float]:
    """The trainers' log entries under our names.

    A reward that applied to no completion of the step has no mean and is left out; a loss that is not finite stays, so
    that it is seen.

    >>> rename({"reward": 1.5, "rewards/au/mean": 0.5, "rewards/au/std": 0.1, "rewards/accuracy/mean": float("nan")})
    {'reward/mean': 1.5, 'reward/au': 0.5, 'reward/au/std': 0.1}
    """
    out: dict[str, float] = {}
    for key, value in logs.items():
        if key in _SILENT or not isinstance(value, (int, float)):
            continue
        if key.startswith("reward") and not math.isfinite(value):
            continue
        if key.startswith("rewards/") and key.endswith("/mean"):
            key = "reward/" + key[len("rewards/") : -len("/mean")]
        elif key.startswith("rewards/"):
            key = "reward/" + key[len("rewards/") :]
        out[_NAMES.get(key, key)] = float(value)
    return out


class TrackerCallback(TrainerCallback):
    """Sends each log entry to the trackers, with the seconds since the last one per step."""

    def __init__(self, log: Callable[[int, dict[str, float]], None]) -> None:
        self._log = log
        self._last: tuple[int, float] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._last = (state.global_step, time.perf_counter())

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        values = rename(logs or {})
        if not values or not state.is_world_process_zero or "train_runtime" in (logs or {}):
            return
        if self._last and state.global_step > self._last[0]:
            clock = time.perf_counter()
            values["seconds/step"] = (clock - self._last[1]) / (state.global_step - self._last[0])
            self._last = (state.global_step, clock)
        self._log(state.global_step, values)


class StopCallback(TrainerCallback):
    """Writes a checkpoint and ends training after the step in which a stop was asked for."""

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._asked(args):
            control.should_save = True
            control.should_training_stop = True

    def _asked(self, args: Any) -> bool:
        """True on every rank once one rank was asked, so that all stop after the same step."""
        import torch

        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return bool(self._stop)
        flag = torch.tensor([self._stop.number or 0], device=args.device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        if flag.item() and not self._stop:
            self._stop.number = int(flag.item())
        return bool(self._stop)


class BarCallback(TrainerCallback):
    """A progress bar over optimizer steps with the figure that matters beside it; quiet when not on a terminal."""

    def __init__(self, what: str, shown: tuple[str, ...]) -> None:
        self._what, self._shown = what, shown
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        from tqdm import tqdm

        if state.is_world_process_zero:
            self._bar = tqdm(
                total=state.max_steps, initial=state.global_step, desc=self._what, unit="step",
                disable=not sys.stderr.isatty(), file=sys.stderr, dynamic_ncols=True,
            )  # fmt: skip

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.update(1)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        values = rename(logs or {})
        shown = {key.split("/")[0]: f"{values[key]:.3f}" for key in self._shown if key in values}
        if self._bar is not None and shown:
            self._bar.set_postfix(shown)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.close()


def install(trainer: Any, *callbacks: TrainerCallback) -> None:
    """Put our callbacks in the place of the library's printing ones."""
    for ours in callbacks:
        trainer.add_callback(ours)
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
