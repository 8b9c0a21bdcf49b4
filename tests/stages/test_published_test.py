"""The published pass test, rule by rule, beside the strict one."""

from __future__ import annotations

import pytest

from facial_r1.config.schema import QualityControl
from facial_r1.data import Record
from facial_r1.stages.quality import Accepted, judge, published_issues, published_remarks

SMILE = Record("1", "d", ("a.png",), "", ("AU6", "AU12"), ("happiness",))
UNITS = Record("2", "d", ("a.png",), "", ("AU6", "AU12"), ())
LABEL = Record("3", "d", ("a.png",), "", None, ("happiness",))
TWO = Record("4", "d", ("a.png",), "", None, ("happiness", "surprise"))
NONE_PRESENT = Record("5", "d", ("a.png",), "", (), ("neutral",))
NOTHING = Record("6", "d", ("a.png",), "", None, ())

GOOD = "<think>The cheeks rise (AU6), the lip corners too (AU12).</think><answer>happiness</answer>"


@pytest.mark.parametrize(
    ("record", "text", "failed"),
    [
        pytest.param(SMILE, GOOD, [], id="all named, right answer"),
        pytest.param(SMILE, GOOD.replace("(AU6)", ""), ["action_units"], id="a unit is missing"),
        pytest.param(SMILE, GOOD.replace("too", "too, AU25"), ["action_units"], id="a unit too many"),
        pytest.param(SMILE, GOOD.replace("AU6", "au6"), ["action_units"], id="case counts"),
        pytest.param(SMILE, GOOD.replace("AU6", "AU 6"), ["action_units"], id="digits follow directly"),
        pytest.param(SMILE, GOOD.replace("AU6", "AU06"), ["action_units"], id="AU06 is not AU6"),
        pytest.param(SMILE, GOOD.replace("AU6", "FAU6"), [], id="no word boundary"),
        pytest.param(SMILE, GOOD.replace("AU6", "AU6C"), [], id="an intensity letter is passed over"),
        pytest.param(SMILE, GOOD.replace("too", "too, no AU4"), ["action_units"], id="a denial counts as a mention"),
        pytest.param(SMILE, GOOD.replace("(AU6)", "(not AU6)"), [], id="also where it denies what is there"),
        pytest.param(SMILE, GOOD.replace(" (AU12)", "") + " AU12", [], id="anywhere, behind the answer"),
        pytest.param(SMILE, "AU6 AU12 <answer>happiness</answer>", [], id="no reasoning tags"),
        pytest.param(SMILE, GOOD.replace("</think>", ""), [], id="reasoning that never ends"),
        pytest.param(SMILE, GOOD.replace(">happiness<", ">sadness<"), ["label"], id="wrong answer"),
        pytest.param(SMILE, GOOD.replace(">happiness<", ">happy<"), ["label"], id="no synonyms"),
        pytest.param(SMILE, GOOD.replace(">happiness<", ">Happiness<"), ["label"], id="case of the answer counts"),
        pytest.param(SMILE, GOOD.replace(">happiness<", "> happiness\n<"), [], id="blanks around an item do not"),
        pytest.param(SMILE, GOOD.replace(">happiness<", ">happiness, surprise<"), ["label"], id="an emotion too many"),
        pytest.param(SMILE, GOOD.replace(">happiness<", ">happiness, happiness<"), [], id="twice is once"),
        pytest.param(SMILE, GOOD.replace(">happiness<", "><"), ["label"], id="empty answer"),
        pytest.param(SMILE, GOOD.replace("</answer>", ""), ["label"], id="answer cut off"),
        pytest.param(SMILE, "", ["action_units", "label"], id="nothing"),
        pytest.param(SMILE, GOOD + "<answer>sadness</answer>", [], id="the first of two answers"),
        pytest.param(TWO, "<answer>surprise, happiness</answer>", [], id="two labels in any order"),
        pytest.param(TWO, "<answer>surprise</answer>", ["label"], id="one of two labels is not enough"),
        pytest.param(UNITS, "AU12 and AU6", [], id="units only: no answer needed"),
        pytest.param(UNITS, "AU12 and AU6 <answer>fear</answer>", [], id="units only: any answer"),
        pytest.param(LABEL, "AU4, AU9 <answer>happiness</answer>", [], id="not coded: any unit"),
        pytest.param(NONE_PRESENT, "AU4 <answer>neutral</answer>", [], id="an empty list is not tested"),
        pytest.param(NOTHING, "anything", [], id="nothing known, nothing tested"),
    ],
)
def test_each_rule(record, text, failed):
    assert sorted({issue.check for issue in published_issues(text, record)}) == failed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD, []),
        ("AU6", ["no reasoning", "no answer"]),
        ("<think> </think><answer>happiness</answer>", ["reasoning between <think> and </think> is empty"]),
        ("<think>x</think><answer> </answer>", ["answer between <answer> and </answer> is empty"]),
    ],
)
def test_the_form_is_remarked_upon(text, told):
    remarks = published_remarks(text)
    assert len(remarks) == len(told) and all(part in remark for part, remark in zip(told, remarks, strict=True))


@pytest.mark.parametrize(
    ("text", "strict", "published"),
    [
        (GOOD, True, True),
        (GOOD.replace("too", "too, as given"), False, True),
        ("AU6, AU12 <answer>happiness</answer>", False, True),
        (GOOD.replace("too", "too, and there is no frown, no AU4"), True, False),
        (GOOD.replace(">happiness<", ">Happy.<"), True, False),
        (GOOD.replace("AU6", "AU4"), False, False),
    ],
)
def test_the_mode_decides_and_both_are_told_apart(text, strict, published):
    for mode, passes in (("strict", strict), ("published", published)):
        verdict = judge(text, SMILE, QualityControl(mode=mode), Accepted())
        assert verdict.passes == {"strict": strict, "published": published}
        assert (not verdict.issues) == passes


def test_remarks_reach_the_writer_and_do_not_decide():
    verdict = judge("AU6, AU12, AU4 <answer>happiness</answer>", SMILE, QualityControl(mode="published"), Accepted())
    assert [issue.check for issue in verdict.issues] == ["action_units"]
    assert verdict.told == [verdict.issues[0].message, "there is no reasoning between <think> and </think>"]


def test_strict_keys_do_not_change_what_published_accepts():
    settings = QualityControl(mode="published", min_words=200, near_duplicate=0.0, near_duplicates_allowed=0)
    verdict = judge(GOOD, SMILE, settings, Accepted())
    assert not verdict.issues and {issue.check for issue in verdict.strict} == {"length"}
