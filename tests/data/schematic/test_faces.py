"""Which faces a seed gives: determinism, balance, recoverable labels."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_r1.affect import PROTOTYPES, SEVEN_EMOTIONS
from facial_r1.data.schematic import (
    PRETRAINING_PEOPLE,
    TEST_PEOPLE,
    TRAIN_PEOPLE,
    Face,
    face,
    neutral_description,
    reasoned_description,
)
from facial_r1.data.schematic.expressions import CONFLICT_SHARE, DRAWN_UNITS, MINIMUM_INTENSITY, RECIPES, compatible, decide
from facial_r1.data.schematic.stream import Stream
from facial_r1.errors import InputError

MANY = 4200
GOLDEN_STREAM = [854, 984, 148, 714, 136, 422]
GOLDEN_OCTETS = [78, 39, 248, 185, 251]
GOLDEN_FACES = "63ac09460ee4b68395239989132251c88368f66d9c2ae05cda34b68df4365eb6"


@pytest.fixture(scope="module")
def faces() -> list[Face]:
    return [face(11, index, TRAIN_PEOPLE) for index in range(MANY)]


def label_by_mouth_first(units: tuple[str, ...]) -> str:
    """The documented rule, written a second time and from the units alone."""
    has = {int(unit[2:]) for unit in units}
    if has & {9, 10}:
        return "disgust"
    for unit, emotion in {12: "happiness", 20: "fear", 15: "sadness", 23: "anger"}.items():
        if unit in has:
            return emotion
    if {1, 4} <= has:
        return "fear" if 5 in has else "sadness"
    if 4 in has and has & {5, 7}:
        return "anger"
    return "surprise" if len(has & {1, 2, 5, 26}) >= 2 and has & {1, 2} else "neutral"


def nearest_prototype(units: tuple[str, ...]) -> str:
    """The emotion of the EMFACS prototype with the largest Dice overlap; knows nothing of our rule."""

    def overlap(emotion: str) -> float:
        return max(
            2 * len(prototype & set(units)) / (len(prototype) + len(units)) if prototype or units else 1.0
            for prototype in PROTOTYPES[emotion]
        )

    return max(SEVEN_EMOTIONS, key=overlap)


def test_stream_words_are_those_of_pcg64() -> None:
    # Recorded once: another NumPy or platform must give the same numbers, or every face changes.
    stream = Stream(1, 2, 3)
    assert [stream.integer(1000) for _ in range(6)] == GOLDEN_STREAM
    assert Stream(4).octets(5).tolist() == GOLDEN_OCTETS


def test_faces_and_texts_are_the_recorded_ones() -> None:
    digest = hashlib.sha256()
    for index in range(200):
        one = face(0, index, TRAIN_PEOPLE)
        digest.update(repr((one.person, one.emotion, sorted(one.intensities.items()), one.nuisance)).encode())
        digest.update((neutral_description(one) + reasoned_description(one)).encode())
    assert digest.hexdigest() == GOLDEN_FACES, "a seed gives other faces or texts than before: raise faces.VERSION"


def test_emotions_are_balanced(faces: list[Face]) -> None:
    counts = Counter(one.emotion for one in faces)
    assert counts == dict.fromkeys(SEVEN_EMOTIONS, MANY // 7)


def test_persons_take_equal_turns(faces: list[Face]) -> None:
    counts = Counter(one.person for one in faces)
    assert set(counts) == set(TRAIN_PEOPLE)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_groups_of_people_do_not_overlap() -> None:
    groups = [set(TRAIN_PEOPLE), set(TEST_PEOPLE), set(PRETRAINING_PEOPLE)]
    assert sum(map(len, groups)) == len(set().union(*groups))


def test_label_follows_from_the_units_by_the_documented_rule(faces: list[Face]) -> None:
    share = sum(label_by_mouth_first(one.action_units) == one.emotion for one in faces) / MANY
    assert share >= 0.97, f"recovered {share:.4f}"


def test_labels_agree_with_published_prototypes(faces: list[Face]) -> None:
    share = sum(nearest_prototype(one.action_units) == one.emotion for one in faces) / MANY
    assert share >= 0.88, f"agreement {share:.4f}"


def test_every_present_unit_is_clearly_present(faces: list[Face]) -> None:
    strengths = [strength for one in faces for pair in one.intensities.values() for strength in pair]
    assert min(strengths) >= MINIMUM_INTENSITY
    assert max(strengths) <= 1.0


def test_both_faint_and_strong_units_occur_for_each_unit(faces: list[Face]) -> None:
    for unit in DRAWN_UNITS:
        means = [sum(one.intensities[unit]) / 2 for one in faces if unit in one.intensities]
        assert len(means) > 0.05 * MANY, unit
        assert min(means) < 0.4, unit
        assert max(means) > 0.9, unit


def test_some_faces_are_asymmetric(faces: list[Face]) -> None:
    differences = [abs(left - right) for one in faces for left, right in one.intensities.values()]
    assert 0.02 < sum(differences) / len(differences) < 0.15


def test_no_unit_pulls_against_another(faces: list[Face]) -> None:
    assert all(compatible(one.action_units) for one in faces)


def test_conflicting_faces_keep_the_label_of_the_rule(faces: list[Face]) -> None:
    conflicting = [one for one in faces if one.conflicting]
    assert 0.06 < len(conflicting) / MANY < 0.10
    assert all(set(one.foreign) <= set(one.action_units) for one in conflicting)
    assert all(decide(one.action_units)[0] == one.emotion for one in conflicting)


def test_share_of_conflicts_refers_to_the_six_emotions() -> None:
    assert abs(CONFLICT_SHARE * 6 / 7 - 0.08) < 0.002


def test_each_conflict_of_the_recipes_leaves_the_label() -> None:
    for emotion, recipe in RECIPES.items():
        for foreign, needed in recipe.foreign:
            assert decide({*foreign, *needed})[0] == emotion, (emotion, foreign)


def test_neutral_faces_show_at_most_one_faint_unit(faces: list[Face]) -> None:
    neutral = [one for one in faces if one.emotion == "neutral"]
    assert all(len(one.intensities) <= 1 for one in neutral)
    assert 0.2 < sum(bool(one.intensities) for one in neutral) / len(neutral) < 0.4
    assert all(strength < 0.65 for one in neutral for pair in one.intensities.values() for strength in pair)


def test_share_of_occluded_faces(faces: list[Face]) -> None:
    assert 0.04 < sum(bool(one.nuisance.occluder) for one in faces) / MANY < 0.08


def test_no_unit_or_emotion_goes_with_a_sex(faces: list[Face]) -> None:
    women = [one for one in faces if one.identity.sex == "female"]
    share = len(women) / MANY
    for emotion in SEVEN_EMOTIONS:
        of_emotion = [one for one in faces if one.emotion == emotion]
        assert abs(sum(one.identity.sex == "female" for one in of_emotion) / len(of_emotion) - share) < 0.08, emotion


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**40), index=st.integers(0, 2**40))
def test_any_seed_and_index_give_a_valid_face(seed: int, index: int) -> None:
    one = face(seed, index, range(5))
    assert one == face(seed, index, range(5))
    assert decide(one.action_units)[0] == one.emotion
    assert set(one.intensities) <= set(DRAWN_UNITS)


@pytest.mark.parametrize(("seed", "index", "people"), [(-1, 0, range(3)), (0, -1, range(3)), (0, 0, range(0))])
def test_impossible_requests_are_refused(seed: int, index: int, people: range) -> None:
    with pytest.raises(InputError, match="data=schematic"):
        face(seed, index, people)
