"""Which repeated work the group-aware trainer leaves out, and why a saving is off where it cannot be had."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Efficiency:
    """Switches of `GroupGRPOTrainer`. Each is exact up to rounding, each can be turned off on its own.

    Attributes:
        load_once: An image is decoded and preprocessed once per generation batch, in the data loader's workers, and
            not G times at every micro-batch.
        share_vision: The vision tower encodes an image once per pass, and once per step while it is frozen.
        share_prompt: A prompt is forwarded once per group; its completions branch from it.
        share_prefill: Generation prefills a prompt once and samples its group in a lean loop; sequences that have
            ended leave the batch.
        skip_dead_groups: Completions without advantage are not forwarded; normalisers still count them.
        trim_padding: Micro-batches hold whole groups of similar length and are padded to their own longest row.
        skip_old_logprobs: Old log-probabilities of the first optimizer step of a generation batch are those that the
            training pass computes anyway.
        overlap_rewards: Reward functions run in a thread while the device computes reference and old
            log-probabilities.
    """

    load_once: bool = True
    share_vision: bool = True
    share_prompt: bool = True
    share_prefill: bool = True
    skip_dead_groups: bool = True
    trim_padding: bool = True
    skip_old_logprobs: bool = True
    overlap_rewards: bool = True

    @classmethod
    def none(cls) -> Efficiency:
        """Plain TRL."""
        return cls(**{switch.name: False for switch in fields(cls)})

    @classmethod
    def only(cls, *names: str) -> Efficiency:
        """The named switches on, all others off."""
        return cls(**{switch.name: switch.name in names for switch in fields(cls)})

    def resolve(self, obstacles: dict[str, str | None]) -> dict[str, str]:
        """Report of what is in force.

        Args:
            obstacles: For each switch why it cannot be on, or None.

        Returns:
            For each switch "on" or "off: reason".
        """
        report = {}
        for name, wanted in asdict(self).items():
            if not wanted:
                report[name] = "off: switched off"
            elif obstacles.get(name):
                report[name] = f"off: {obstacles[name]}"
            else:
                report[name] = "on"
        return report
