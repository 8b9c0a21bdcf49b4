"""Positions of clips in Qwen2.5-VL, by hand: time in seconds, not rounded before it is multiplied, and text goes on above it."""

from __future__ import annotations

import pytest
import torch

from facial_r1.models.media import Item
from facial_r1.models.positions import PositionRule, rotary_positions, sound_tokens

RULE = PositionRule(image=5, video=6, audio=None, audio_start=None, merge=2, per_second=2)


def clip(steps: int, seconds: float) -> Item:
    return Item("video", torch.zeros(steps * 16, 4), torch.tensor([steps, 4, 4]), seconds)


@pytest.mark.parametrize(("seconds", "times"), [(1.0, [0, 2, 4]), (0.5, [0, 1, 2]), (0.75, [0, 1, 3]), (0.2, [0, 0, 0])])
def test_time_moves_with_the_seconds_of_the_grid(seconds: float, times: list[int]) -> None:
    ids = torch.tensor([1, 3] + [6] * 12 + [4, 9])
    found = rotary_positions(RULE, ids, [clip(3, seconds)])
    assert found[:, :2].tolist() == [[0, 1]] * 3
    assert found[0, 2:14].tolist() == [2 + time for time in times for _ in range(4)]
    assert found[1, 2:14].tolist() == [2, 2, 3, 3] * 3 and found[2, 2:14].tolist() == [2, 3, 2, 3] * 3
    after = 2 + max(times[-1], 1) + 1
    assert found[:, 14:].tolist() == [[after, after + 1]] * 3


def test_a_picture_and_a_clip_in_one_prompt() -> None:
    picture = Item("image", torch.zeros(16, 4), torch.tensor([1, 4, 4]))
    ids = torch.tensor([3, 5, 5, 5, 5, 4, 3] + [6] * 8 + [4])
    found = rotary_positions(RULE, ids, [picture, clip(2, 1.0)])
    assert found[0].tolist() == [0, 1, 1, 1, 1, 3, 4, 5, 5, 5, 5, 7, 7, 7, 7, 8]


def test_text_alone_counts_on() -> None:
    assert rotary_positions(RULE, torch.tensor([1, 2, 3])).tolist() == [[0, 1, 2]] * 3


@pytest.mark.parametrize(("frames", "tokens"), [(100, 25), (160, 40), (10, 2), (7, 2), (200, 50), (201, 50)])
def test_a_second_of_sound_is_25_tokens(frames: int, tokens: int) -> None:
    assert sound_tokens(Item("audio", torch.zeros(80, frames))) == tokens
