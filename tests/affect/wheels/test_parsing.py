"""Strings of labels, with the side effects that published numbers depend on."""

from __future__ import annotations

import numpy as np
import pytest

from facial_r1.affect.wheels import load, parse
from facial_r1.affect.wheels.parsing import words
from facial_r1.errors import InputError

CASES = [
    ("a quoted list", "['happy', 'at ease']", ["happy", "at ease"]),
    ("a bare list", "[happy, at ease]", ["happy", "at ease"]),
    ("commas only", "happy,at ease", ["happy", "at ease"]),
    ("double quotes", '["happy", "sad"]', ["happy", "sad"]),
    ("one bracket is dropped at each end", "[[happy]]", ["[happy]"]),
    ("brackets inside stay", "[happy],[sad]", ["happy]", "[sad"]),
    ("an apostrophe splits", "don't care", ["don", "t care"]),
    ("a typographic apostrophe does not", "don\u2019t care", ["don\u2019t care"]),
    ("semicolons do not split", "happy; sad", ["happy; sad"]),
    ("full-width commas do not split", "happy\uff0csad", ["happy\uff0csad"]),
    ("and does not split", "happy and sad", ["happy and sad"]),
    ("punctuation stays", "happy.", ["happy."]),
    ("empty pieces are dropped", ",,happy,, ,", ["happy"]),
    ("case is kept", "Happy", ["Happy"]),
    ("ideographic blanks are blanks", "\u3000happy\u00a0", ["happy"]),
    ("an empty string", "", []),
    ("an empty list", "[]", []),
    ("a closing bracket", "]", []),
    ("an opening bracket, at which the released parser fails", "[", []),
    ("None", None, []),
    ("NaN", float("nan"), []),
    ("numpy's NaN", np.float64("nan"), []),
    ("a list is taken as it is", [" Happy ", "a, b", ""], [" Happy ", "a, b", ""]),
    ("a tuple", ("happy",), ["happy"]),
    ("an array", np.array(["happy", "sad"]), ["happy", "sad"]),
    ("an array of one string", np.array("happy, sad"), ["happy", "sad"]),
    ("a numpy string", np.str_("happy, sad"), ["happy", "sad"]),
]


@pytest.mark.parametrize(("rule", "given", "expected"), CASES, ids=[case[0] for case in CASES])
def test_rule(rule: str, given: object, expected: list[str]):
    assert parse(given) == expected


def test_look_up_is_in_lower_case_and_stripped():
    assert words([" Happy ", "SAD"]) == ["happy", "sad"]
    assert words("Happy , SAD") == ["happy", "sad"]


def test_a_number_is_refused_with_what_to_give():
    with pytest.raises(InputError, match="give a string, a list of strings, None or NaN"):
        parse(3)


def test_wheels_offer_the_same_parser():
    assert load().parse("['happy']") == ["happy"]
