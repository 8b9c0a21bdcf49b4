"""Pairwise comparison: strengths, the upper half, ties, failures, and what is counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from facial_r1 import rewards
from facial_r1.errors import InputError
from facial_r1.rewards.perception import Comparison, Perception, Verdict, bradley_terry, top_half, use_judge

CLIP = {"id": "1", "dataset": "d", "labels": ["happy"]}
WORDS = ["happy", "happy, calm", "happy, calm, glad", "happy, calm, glad, merry"]


class Longer:
    """A judge that prefers the longer answer; keeps what it was asked."""

    def __init__(self, verdict: Verdict | None = None) -> None:
        self.asked: list[Comparison] = []
        self.calls = 0
        self.verdict = verdict

    def __call__(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        self.calls += 1
        self.asked += comparisons
        return [self.verdict or ("first" if len(c.first) > len(c.second) else "second") for c in comparisons]


@pytest.fixture(autouse=True)
def no_judge() -> Iterator[None]:
    yield
    use_judge(None)


def answers(words: Sequence[str]) -> list[str]:
    return [f"<think>a</think><answer>{each}</answer>" for each in words]


def test_strengths_of_two_follow_their_wins():
    strong, weak = bradley_terry([[0, 3], [1, 0]])
    assert strong / weak == pytest.approx(3, rel=2e-3)
    assert strong + weak == pytest.approx(1)


def test_strengths_of_a_known_case():
    """Wins of three players that are exactly those expected for strengths 4, 2 and 1."""
    wins = [[0, 4 / 6 * 60, 4 / 5 * 60], [2 / 6 * 60, 0, 2 / 3 * 60], [1 / 5 * 60, 1 / 3 * 60, 0]]
    assert bradley_terry(wins) == pytest.approx([4 / 7, 2 / 7, 1 / 7], rel=1e-3)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 8, 16])
def test_a_clear_order_rewards_the_upper_half_rounded_up(size: int):
    wins = [[float(i < j) for j in range(size)] for i in range(size)]
    assert top_half(wins) == [1.0] * ((size + 1) // 2) + [0.0] * (size // 2)


def test_a_tie_at_the_border_rewards_neither():
    wins = [[0, 1, 1, 1], [0, 0, 0.5, 1], [0, 0.5, 0, 1], [0, 0, 0, 0]]
    assert top_half(wins) == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_ties_never_reward_more_than_half(size: int):
    """Whatever the parity: one winner above a tie of all others, and a tie of all."""
    tied = [[0.5 * (one != two) for two in range(size)] for one in range(size)]
    assert top_half(tied) == [0.0] * size
    tied[0] = [float(other > 0) for other in range(size)]
    for other in range(1, size):
        tied[other][0] = 0.0
    assert top_half(tied) == [1.0] + [0.0] * (size - 1)


def test_the_judge_is_asked_once_for_a_whole_batch():
    judge = Longer()
    other = {**CLIP, "id": "2"}
    values = Perception(judge)(answers(WORDS + WORDS), [CLIP] * 4 + [other] * 4)
    assert values == [0.0, 0.0, 1.0, 1.0] * 2
    assert (judge.calls, len(judge.asked)) == (1, 12)


def test_clips_are_told_apart_by_dataset_and_id():
    judge = Longer()
    Perception(judge)(answers(WORDS), [CLIP, CLIP, {**CLIP, "dataset": "e"}, {**CLIP, "dataset": "e"}])
    assert len(judge.asked) == 2


def test_both_orders_are_asked_when_wanted():
    judge = Longer()
    Perception(judge, orders=2)(answers(WORDS[:2]), [CLIP] * 2)
    assert [(c.first, c.second) for c in judge.asked] == [(WORDS[0], WORDS[1]), (WORDS[1], WORDS[0])]


def test_the_judge_sees_the_answer_or_the_completion():
    for shown, text in (("answer", "happy"), ("completion", answers(["happy"])[0])):
        judge = Longer()
        Perception(judge, shown)(answers(WORDS[:2]), [CLIP] * 2)
        assert text in (judge.asked[0].first, judge.asked[0].second)


def test_an_unreadable_answer_loses_without_the_judge():
    judge = Longer()
    perception = Perception(judge)
    assert perception(["<think>never ends", *answers(["happy"])], [CLIP] * 2) == [0.0, 1.0]
    assert (judge.calls, perception.counts["unread"]) == (0, 1)


def test_unreadable_answers_are_never_in_the_upper_half():
    values = Perception(Longer())(["", "<think>", "[", *answers(["happy"])], [CLIP] * 4)
    assert values == [0.0, 0.0, 0.0, 1.0]


def test_nothing_readable_gives_the_group_0_and_is_counted():
    perception = Perception(Longer())
    assert perception(["", "<think>"], [CLIP] * 2) == [0.0, 0.0]
    assert perception.counts["unranked"] == 1


def test_equal_answers_are_not_compared():
    perception = Perception(Longer())
    perception(answers(["happy", "happy", "sad, low"]), [CLIP] * 3)
    assert (perception.counts["skipped"], perception.counts["compared"]) == (1, 2)


def test_failures_are_left_out_and_counted():
    perception = Perception(Longer("failed"))
    assert perception(answers(WORDS), [CLIP] * 4) == [0.0] * 4
    assert (perception.counts["failed"], perception.counts["unranked"]) == (6, 1)


def test_ties_are_half_a_win_each_and_counted():
    perception = Perception(Longer("tie"))
    values = perception(answers(WORDS), [CLIP] * 4)
    assert len(set(values)) == 1
    assert perception.counts["ties"] == 6


def test_a_single_answer_has_nothing_to_be_compared_with():
    assert Perception(Longer())(answers(["happy"]), [CLIP]) == [None]


def test_a_judge_that_loses_count_is_an_error():
    with pytest.raises(ValueError, match="0 verdicts on 1 comparisons"):
        Perception(lambda comparisons: [])(answers(WORDS[:2]), [CLIP] * 2)


def test_without_a_judge_the_message_says_what_to_do():
    with pytest.raises(InputError, match=r"no judge is set up.*~reward\.weights\.ov_perception"):
        rewards.score("ov_perception", ["a"], [CLIP])


def test_the_registered_reward_asks_the_judge_that_was_set():
    use_judge(Perception(Longer()))
    assert rewards.score("ov_perception", answers(WORDS), [CLIP] * 4) == [0.0, 0.0, 1.0, 1.0]
