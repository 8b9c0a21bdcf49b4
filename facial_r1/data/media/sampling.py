"""Which moments of a video are looked at. Times, never frame numbers, so that a variable frame rate does not matter."""

from __future__ import annotations


def sample_times(seconds: float, count: int | None = 8, rate: float | None = None, max_frames: int = 64) -> list[float]:
    """Moments in [0, seconds), in order: the middles of equal parts of the clip.

    Args:
        seconds: Length of the clip.
        count: How many moments; not used where a rate is given.
        rate: Moments a second. Where that makes more than `max_frames`, these are spread over the whole clip.
        max_frames: Most moments there may be.

    >>> sample_times(4.0, 2)
    [1.0, 3.0]
    >>> sample_times(1.0, rate=4)
    [0.125, 0.375, 0.625, 0.875]
    """
    if rate is not None:
        if rate <= 0:
            raise ValueError(f"rate={rate}: give frames a second above 0")
        count = max(1, round(seconds * rate))
    if count is None or count < 1 or max_frames < 1:
        raise ValueError(f"count={count}, max_frames={max_frames}: give a number of frames from 1 on, or a rate")
    count = min(count, max_frames)
    part = max(seconds, 0.0) / count
    return [(place + 0.5) * part for place in range(count)]
