"""Where action units are named, and which of them are denied."""

from __future__ import annotations

import pytest

from facial_r1.prompts.mentions import MAX_MENTIONS, Mention, find_mentions

# (text, "+12 -4 ?99": affirmed, denied, not in FACS; in order)
SPELLINGS = [
    ("AU6+12", "+6 +12"),
    ("AU6+AU12", "+6 +12"),
    ("AU6 and 12", "+6 +12"),
    ("AUs 6, 12 and 25 are active", "+6 +12 +25"),
    ("AU 012", "+12"),
    ("AU-12", "+12"),
    ("au_4", "+4"),
    ("(au15)", "+15"),
    ("AU99", "?99"),
    ("AU6 and 12 %", "+6"),
    ("AU4, 2 of them", "+4"),
    ("action unit 12", "+12"),
    ("Action Units (AUs) 6, 12", "+6 +12"),
    ("AU12C", "+12"),
    ("tableau12", ""),
    ("AU4AU7", "+4 +7"),
    ("检测到AU12", "+12"),
    ("AU 1-2", "+1"),
    ("AU1234", "?1234"),
    ("AU0", "?0"),
    ("AU4 is barely visible", "+4"),
    ("AUL12 and AUR12", "+12 +12"),
    ("AU6/12", "+6 +12"),
    ("AU:12", "+12"),
    ("AU 12 px", "+12"),
    ("AU4, 2-3 wrinkles", "+4"),
    ("AU6 and 50 others", "+6"),
    ("AU6+99", "+6 ?99"),
    ("Lip corner puller", ""),
    ("AU12raised", "+12"),
    ("Au12.", "+12"),
    ("AU 6, AU 12", "+6 +12"),
]

DENIALS = [
    ("no AU4", "-4"),
    ("AU4 is absent", "-4"),
    ("without AU12", "-12"),
    ("not AU4 but AU1", "-4 +1"),
    ("No AU4, AU7 or AU9.", "-4 -7 -9"),
    ("no AU4, AU1 is present", "-4 +1"),
    ("AU4 and AU7 are absent", "-4 -7"),
    ("AU12 and AU4 is absent", "+12 -4"),
    ("Neither AU1 nor AU2 is visible, AU12 is strong", "-1 -2 +12"),
    ("not only AU4 but also AU7", "+4 +7"),
    ("AU12 is not strong", "+12"),
    ("no AU4 and AU12 is strong", "-4 +12"),
    ("no AU4 and AU7 are visible", "-4 -7"),
    ("AU1 rather than AU4", "+1 -4"),
    ("AU1, not AU4", "+1 -4"),
    ("AU1 not AU4", "+1 -4"),
    ("a smile (AU12, not AU14) and AU6", "+12 -14 +6"),
    ("The brows are not lowered and the lips pull up (AU12)", "+12"),
    ("there is no sign of brow lowering (AU4)", "-4"),
    ("no brow lowering (AU4), lid tightening (AU7), or nose wrinkling (AU9)", "-4 -7 -9"),
    ("no brow lowering (AU4) and a clear smile (AU12)", "-4 +12"),
    ("The face is not angry and AU12 is strong", "+12"),
    ("The expression isn't neutral because AU12", "+12"),
    ("AU4 isn't present", "-4"),
    ("AU4 isn’t visible. AU12 is.", "-4 +12"),
    ("AU4 (brow lowerer): absent; AU12: present", "-4 +12"),
    ("AU4 shows no activation", "-4"),
    ("AU4 cannot be seen", "-4"),
    ("AU4 does not appear", "-4"),
    ("AU12 is present. No AU4", "+12 -4"),
    ("The absence of AU4 and presence of AU12", "-4 +12"),
    ("AU12 without AU6", "+12 -6"),
    ("nothing suggests AU4", "-4"),
    ("none of AU1, AU2 or AU5", "-1 -2 -5"),
    ("no. AU4 is there", "+4"),
    ("AU4, AU7 and AU9 are missing", "-4 -7 -9"),
    ("AU1 or AU2 is absent", "-1 -2"),
    ("AU1+2 absent", "-1 -2"),
    ("no AU1+2+5", "-1 -2 -5"),
    ("does not show AU4 or AU7, while AU12 rises", "-4 -7 +12"),
    ("lips part (AU25), no jaw drop (AU26), cheeks rise (AU6)", "+25 -26 +6"),
    ("AU12 is present, AU4 is not, and AU6 is strong", "+12 -4 +6"),
    ("AU4 is not present, but AU12 is", "-4 +12"),
    ("AU6, AU12, no AU4", "+6 +12 -4"),
    ("AU6, not the cold smile of AU12", "+6 -12"),
    ("The AU4 seen is strong, no doubt", "+4"),
    ("no AU4 (brow lowerer), no AU7 (lid tightener), AU12 (lip corner puller)", "-4 -7 +12"),
    ("AU4 lacking, AU1", "-4 +1"),
    ("There is AU4 with no AU7", "+4 -7"),
    ("AU12, AU6, and no AU4", "+12 +6 -4"),
    ("No AU4, no AU7, and AU12 is clear", "-4 -7 +12"),
    ("no AU4, and AU12 is clear", "-4 +12"),
    ("no AU4, AU12", "-4 -12"),
    ("AU17 is not visible nor is AU24", "-17 -24"),
    ("AU17 is not visible, nor AU24", "-17 -24"),
    ("AU1, no AU4, AU6", "+1 -4 +6"),
    ("AU6 (AU12 absent), AU25", "+6 -12 +25"),
    ("the brows (AU4) are not lowered", "-4"),
]


def _shown(mentions: list[Mention]) -> str:
    return " ".join(f"{'?' if not m.known else '-' if m.negated else '+'}{m.code[2:]}" for m in mentions)


@pytest.mark.parametrize(("text", "expected"), SPELLINGS, ids=[text for text, _ in SPELLINGS])
def test_spelling(text: str, expected: str) -> None:
    assert _shown(find_mentions(text)) == expected


@pytest.mark.parametrize(("text", "expected"), DENIALS, ids=[text for text, _ in DENIALS])
def test_denial_stays_in_its_clause(text: str, expected: str) -> None:
    assert _shown(find_mentions(text)) == expected


def test_offsets_point_at_the_mention() -> None:
    text = "Cheeks (AU6) and AU 1+2, action unit 12."
    assert [text[m.start : m.end] for m in find_mentions(text)] == ["AU6", "AU 1", "2", "action unit 12"]


def test_window_limits_what_is_read_and_keeps_the_offsets() -> None:
    text = "AU1 then AU2 then AU4"
    assert [(m.code, m.start) for m in find_mentions(text, 4, 17)] == [("AU2", 9)]


def test_a_loop_is_read_up_to_a_limit() -> None:
    assert len(find_mentions("AU4 " * (MAX_MENTIONS + 5))) == MAX_MENTIONS


def test_digits_without_end_are_one_unknown_unit() -> None:
    (mention,) = find_mentions("AU" + "1" * 10_000)
    assert not mention.known and mention.code == "AU111111"


def test_digits_of_other_scripts_are_not_codes() -> None:
    assert find_mentions("AU١٢") == []
