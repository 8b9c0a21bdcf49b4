"""Emotion wheels: open-vocabulary emotion words scored by the sectors that they lie in."""

from __future__ import annotations

from facial_r1.affect.wheels.loading import SOURCES, load
from facial_r1.affect.wheels.parsing import parse
from facial_r1.affect.wheels.scorer import Wheels

__all__ = ["SOURCES", "Wheels", "load", "parse"]
