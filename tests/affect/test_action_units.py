"""Action units: codes, FACS names, order."""

from __future__ import annotations

import pytest

from facial_r1.affect import ACTION_UNITS, normalise_code, sort_codes
from facial_r1.affect.action_units import MISNAMED_IN_PAPER, PAPER_NAMES

COMMON = (1, 2, 4, 5, 6, 7, 8, 9, *range(10, 21), *range(22, 35), 37, 38, 39, 43, 45)


def test_table_holds_every_commonly_coded_unit() -> None:
    assert {f"AU{number}" for number in COMMON} <= set(ACTION_UNITS)


def test_table_is_consistent_and_in_order() -> None:
    assert all(code == unit.code == f"AU{unit.number}" for code, unit in ACTION_UNITS.items())
    assert list(ACTION_UNITS) == sort_codes(ACTION_UNITS)


@pytest.mark.parametrize(
    ("code", "name"),
    [("AU12", "Lip corner puller"), ("AU13", "Sharp lip puller"), ("AU34", "Cheek puff"), ("AU43", "Eyes closed")],
)
def test_names_are_those_of_the_manual(code: str, name: str) -> None:
    assert ACTION_UNITS[code].name == name


def test_upper_face_is_brows_lids_and_cheeks() -> None:
    upper = {unit.number for unit in ACTION_UNITS.values() if unit.region == "upper"}
    assert upper == {1, 2, 4, 5, 6, 7, 41, 42, 43, 44, 45, 46}


@pytest.mark.parametrize("text", ["AU12", "au12", "12", 12, " AU 12 ", "AU-12", "au_12", "AU012"])
def test_spellings_of_a_known_unit(text: str | int) -> None:
    assert normalise_code(text) == "AU12"


@pytest.mark.parametrize("text", ["AU3", "AU99", "", "AU", "smile", "AU12a", "AU6+12", "1.0", "-4x"])
def test_unknown_codes_give_none(text: str) -> None:
    assert normalise_code(text) is None


def test_sorting_is_by_number_without_duplicates() -> None:
    assert sort_codes(["AU12", "AU2", "AU12", "AU1"]) == ["AU1", "AU2", "AU12"]


def test_the_released_prompt_differs_from_facs_in_one_unit_and_two_spellings() -> None:
    differ = {code: (name, ACTION_UNITS[code].name) for code, name in PAPER_NAMES.items() if name != ACTION_UNITS[code].name}
    assert differ == {
        "AU11": ("Nasolabial Furrow Deepener", "Nasolabial furrow deepener"),
        "AU13": ("Cheek puffer", "Sharp lip puller"),
        "AU25": ("Lips parted", "Lips part"),
    }
    assert MISNAMED_IN_PAPER == ("AU13",) and ACTION_UNITS["AU34"].name == "Cheek puff"


def test_the_released_prompt_defines_thirty_units() -> None:
    assert len(PAPER_NAMES) == 30 and not {"AU8", "AU33", "AU34", "AU37", "AU38", "AU39"} & set(PAPER_NAMES)
