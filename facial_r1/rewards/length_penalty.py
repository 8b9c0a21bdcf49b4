"""Length penalties: factors in [0, 1] on a reward whose answer names more words than the truth has.

AffectGPT-R1 (arXiv 2508.01318) lists three, all 1 for |s| <= |y|, where s is predicted and y true:

* P1 = 1 / (|s| - |y| + 1), the strictest;
* P2 = |y| / |s|;
* P3 = log |y| / log |s|, the loosest from three true words on; with one, it is 0 for every longer answer. Variants mend that.
"""

from __future__ import annotations

import math
from typing import Literal

Penalty = Literal["none", "p1", "p2", "p3"]
P3Variant = Literal["paper", "plus_one_if_single", "plus_one_always"]
"""``paper``: as above. ``plus_one_if_single``: log(|y| + 1) / log(|s| + 1) where the truth has one word. ``plus_one_always``: everywhere."""


def length_penalty(predicted: int, true: int, penalty: Penalty = "none", p3_variant: P3Variant = "paper") -> float:
    """The factor, in [0, 1].

    Args:
        predicted: Words of the answer, at least 0.
        true: Words of the truth; with none, an answer that has words gets 0 from P2 and P3.
        penalty: ``none`` is always 1.
        p3_variant: Of P3.

    Example:
        >>> length_penalty(4, 2, "p1"), length_penalty(4, 2, "p2"), length_penalty(4, 2, "p3")
        (0.3333333333333333, 0.5, 0.5)
    """
    if penalty == "none" or predicted <= true:
        return 1.0
    if penalty == "p1":
        return 1 / (predicted - true + 1)
    if true < 1:
        return 0.0
    if penalty == "p2":
        return true / predicted
    if p3_variant == "plus_one_always" or (p3_variant == "plus_one_if_single" and true == 1):
        return math.log(true + 1) / math.log(predicted + 1)
    return math.log(true) / math.log(predicted)
