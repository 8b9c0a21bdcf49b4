"""Domain facts: action units, emotions, label spaces, aliases."""

from __future__ import annotations

from facial_r1.affect.action_units import ACTION_UNITS, ActionUnit, normalise_code, sort_codes
from facial_r1.affect.emotions import (
    ALIASES,
    EMOTIONS,
    LABEL_SPACES,
    PROTOTYPES,
    SEVEN_EMOTIONS,
    SIX_EMOTIONS,
    normalise_label,
)

__all__ = [
    "ACTION_UNITS",
    "ALIASES",
    "EMOTIONS",
    "LABEL_SPACES",
    "PROTOTYPES",
    "SEVEN_EMOTIONS",
    "SIX_EMOTIONS",
    "ActionUnit",
    "normalise_code",
    "normalise_label",
    "sort_codes",
]
