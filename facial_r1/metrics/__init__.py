"""What an answer is worth, with how sure we are of it."""

from __future__ import annotations

from facial_r1.metrics import ferbench
from facial_r1.metrics.action_units import action_units
from facial_r1.metrics.emotion import emotion
from facial_r1.metrics.evaluate import Evaluation, compare, evaluate
from facial_r1.metrics.sentiment import sentiment
from facial_r1.metrics.text import rouge
from facial_r1.metrics.wheel import wheel_metrics

__all__ = ["Evaluation", "action_units", "compare", "emotion", "evaluate", "ferbench", "rouge", "sentiment", "wheel_metrics"]
