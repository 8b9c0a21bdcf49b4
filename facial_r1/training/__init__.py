"""SFT and group-aware GRPO on top of TRL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facial_r1.training.group_grpo import GroupGRPOTrainer as GroupGRPOTrainer

__all__ = ["GroupGRPOTrainer"]


def __getattr__(name: str) -> Any:
    if name == "GroupGRPOTrainer":  # imported when asked for: it brings torch and trl
        from facial_r1.training.group_grpo import GroupGRPOTrainer

        return GroupGRPOTrainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
