"""A weight per training row, exactly, for any of TRL's policy-gradient losses."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def weighted_advantages(advantages: Tensor, rows: Sequence[int], weights: Sequence[float]) -> Tensor:
    """Advantages scaled by the weights of their rows.

    The clipped objective min(r A, clip(r) A) is homogeneous in A, and a weight above 0 leaves the sign and so the choice of the
    minimum: scaling A by w scales the policy-gradient term of each of the row's tokens by w, and nothing else. What is not weighted is
    the KL term (beta > 0) and the normaliser of the loss (tokens or sequences, which count as before). A weight of 0 would make a row
    dead, which is why `facial_r1.rewards.rarity.row_weights` never gives one.

    Args:
        advantages: Shape (completions,) or (completions, tokens), after normalisation in the group.
        rows: The training row of each completion.
        weights: By row, finite and above 0.

    Raises:
        ValueError: Lengths differ, or a weight is not above 0.
    """
    if len(rows) != len(advantages):
        raise ValueError(f"{len(advantages)} advantages, but {len(rows)} rows")
    chosen = advantages.new_tensor([weights[row] for row in rows])
    if not bool(((chosen > 0) & chosen.isfinite()).all()):
        raise ValueError("weights of rows must be finite and above 0")
    return advantages * (chosen if advantages.ndim == 1 else chosen[:, None])
