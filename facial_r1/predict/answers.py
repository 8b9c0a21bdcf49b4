"""An answer taken apart the way evaluation does it, as a record that training and evaluation read again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facial_r1.config.schema import Prompt
from facial_r1.data.protocol import Protocol
from facial_r1.data.record import Record
from facial_r1.prompts import parse
from facial_r1.prompts.open_vocabulary import is_formatted, read_answer


@dataclass(frozen=True)
class Prediction:
    """What a model says about one record.

    Attributes:
        record: What was asked about.
        completion: What was written; "" when the engine failed.
        finish_reason: "stop", "length" or "error".
        reasoning: The text between the think tags.
        action_units: Codes that it affirms, those that the protocol knows; None where it names none and is not in the format, so
            that nobody reads "no unit is active" out of an answer that says nothing about units.
        labels: Its emotions, those of the protocol's label space; any words for an open vocabulary.
        left_out: Codes and labels outside of the protocol.
        valid: The answer has the whole format.
        reason: Why there is no answer; "" otherwise.
    """

    record: Record
    completion: str
    finish_reason: str
    reasoning: str
    action_units: tuple[str, ...] | None
    labels: tuple[str, ...]
    left_out: tuple[str, ...]
    valid: bool
    reason: str = ""

    @property
    def failed(self) -> bool:
        """True when the engine gave no answer."""
        return self.finish_reason == "error"

    def to_json(self) -> dict[str, Any]:
        """A row for `data=jsonl` with `completion`, `valid` and `finish_reason` beside it.

        An answer that is not in the format has no `description` and says `is_valid: false`, so that a loader counts the row and
        leaves it out; what could be read of it is there all the same.
        """
        row = self.record.to_json() | {
            "AUs": None if self.action_units is None else list(self.action_units),
            "labels": list(self.labels),
            "description": self.completion.strip() if self.valid else "",
        }
        row |= {} if self.valid else {"is_valid": False}
        return row | {"completion": self.completion, "valid": self.valid, "finish_reason": self.finish_reason}


def predict(
    record: Record, completion: str, finish_reason: str, protocol: Protocol, prompt: Prompt, reason: str = ""
) -> Prediction:
    """Read one completion by the strict parser and the protocol.

    Args:
        reason: Why the engine failed, for finish_reason "error".
    """
    parsed = parse(completion)
    words, valid = parsed.labels, parsed.valid
    if protocol.is_open:
        words, valid = read_answer(completion, prompt.output).words, is_formatted(completion, prompt.output)
    elif protocol.labels is None:
        words = ()  # no emotion was asked for; the answer lists codes
    labels = {word: protocol.label(word) for word in words}
    units = {code: protocol.action_unit(code) for code in parsed.action_units}
    known = tuple(code for code in units.values() if code)
    return Prediction(
        record,
        completion,
        finish_reason,
        parsed.thinking.strip(),
        known if known or valid else None,
        tuple(dict.fromkeys(label for label in labels.values() if label)),
        (
            *(word for word, label in labels.items() if not label),
            *(code for code, unit in units.items() if not unit),
            *parsed.unknown,
        ),
        valid,
        reason,
    )
