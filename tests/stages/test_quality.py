"""Quality control of written reasoning: what passes, and under which name a rejection is counted."""

from __future__ import annotations

import pytest

from facial_r1.config.schema import QualityControl
from facial_r1.data import Record
from facial_r1.stages.quality import Accepted, check_answer

SAD = Record("1", "d", ("a.png",), "", ("AU1", "AU15"), ("sadness",))


def write(thinking: str, answer: str = "sadness") -> str:
    return f"<think>{thinking}</think><answer>{answer}</answer>"


GOOD = write("The inner brows are raised (AU1). The lip corners are pulled down (AU15). Together these suggest sadness.")


def checks(text: str, record: Record = SAD, settings: QualityControl | None = None, **kwargs: bool) -> list[str]:
    return [issue.check for issue in check_answer(text, record, settings or QualityControl(), Accepted(), **kwargs)]


def test_a_faithful_answer_passes():
    assert checks(GOOD) == []


@pytest.mark.parametrize(
    ("text", "check"),
    [
        (write("The inner brows are raised (AU1)."), "action_units"),
        (GOOD.replace("Together", "The lips part (AU25). Together"), "action_units"),
        (GOOD.replace("(AU15)", "(no AU15)"), "action_units"),
        (GOOD.replace(">sadness<", ">anger<"), "label"),
        (GOOD.removeprefix("<think>"), "format"),
        (GOOD + " I hope this helps.", "format"),
        (GOOD.replace("Together", "As given, these"), "leak"),
        (GOOD.replace("Together", "The ground truth says so:"), "leak"),
        (GOOD.replace("Together", "According to the labels"), "leak"),
        (write("AU1 AU15"), "length"),
        (write("The inner brows (AU1) " + "very " * 400 + "and AU15"), "length"),
    ],
)
def test_each_fault_is_found_under_its_name(text, check):
    assert check in checks(text)


def test_a_cut_off_answer_is_a_format_fault():
    assert checks(GOOD, truncated=True) == ["format"]


def test_records_are_checked_only_for_what_they_carry():
    assert checks(GOOD, Record("2", "d", ("a.png",), "", None, ())) == []


def test_a_face_coded_without_units_rejects_invented_ones():
    assert checks(write("The lips part a little (AU25).", "neutral"), Record("3", "d", ("a.png",), "", (), ("neutral",))) == [
        "action_units"
    ]


def test_near_duplicates_are_rejected_beyond_what_is_allowed():
    accepted, settings = Accepted(), QualityControl(near_duplicates_allowed=2)
    found = []
    for _ in range(4):
        issues = check_answer(GOOD, SAD, settings, accepted)
        found.append([issue.check for issue in issues])
        if not issues:
            accepted.add(GOOD)
    assert found == [[], [], [], ["near_duplicate"]]


def test_the_issue_tells_the_writer_what_to_mend():
    (issue,) = check_answer(GOOD.replace(">sadness<", ">anger<"), SAD, QualityControl(), Accepted())
    assert issue.message == "the emotion is sadness, the answer said anger"
