"""The order of models, who is right where, and the tests between them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from facial_r1.data.ferbench import DATASETS
from facial_r1.data.protocol import load_protocol
from facial_r1.errors import InputError
from facial_r1.metrics.comparison import holm
from facial_r1.report.leaderboard_board import Board, counts, make_board
from facial_r1.report.leaderboard_models import Source, read_model
from tests.metrics.ferbench_cases import result, write
from tests.report.ferbench_models import everywhere, rows, scored


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    folder = tmp_path_factory.mktemp("models")
    return make_board(
        [
            scored(folder, "weak", everywhere(range(30))),
            scored(folder, "good", everywhere(range(4))),
            scored(folder, "near", {**everywhere(range(3, 8)), "sfew": range(2)}),
        ],
        published=load_protocol("ferbench").published,
        resamples=200,
    )


def test_models_are_sorted_by_pooled_strict_accuracy(board: Board) -> None:
    assert [model.name for model in board.models] == ["good", "near", "weak"]
    assert board.by == "ferbench/pooled/strict/accuracy" and board.best == {"strict": "good", "compat": "good"}


def test_another_metric_changes_the_order_but_not_the_best(tmp_path: Path) -> None:
    models = [
        scored(tmp_path, "a", {**everywhere(range(2)), "sfew": range(9)}, 0),
        scored(tmp_path, "b", {**everywhere(range(5)), "sfew": range(1)}, 0),
    ]
    found = make_board(models, "ferbench/sfew/strict/accuracy", resamples=0)
    assert [model.name for model in found.models] == ["b", "a"] and found.best["strict"] == "a"


def test_an_unknown_metric_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no model has the metric emotion/accuracy: choose --by from .*ferbench/sfew/strict"):
        make_board([scored(tmp_path, "a", {"sfew": range(2)}, 0)], "emotion/accuracy")


def test_every_question_is_counted_once_for_every_pair(board: Board) -> None:
    for mode, name in itertools.product(("strict", "compat"), ("pooled", *DATASETS)):
        for first, second in itertools.permutations(range(3), 2):
            found = counts(board, first, second, name, mode)
            assert sum(found) == (160 if name == "pooled" else 40)
            both, one, two, neither = counts(board, second, first, name, mode)
            assert found == (both, two, one, neither)


def test_a_comparison_counts_who_alone_is_right(board: Board) -> None:
    test = board.tests["near", "rafdb", "strict"]
    assert (test.best, test.n, test.gained, test.lost) == ("good", 40, 3, 4)
    assert test.difference == pytest.approx(-1 / 40)
    assert test.low is not None and test.high is not None and test.low <= test.difference <= test.high


def test_the_difference_is_that_of_the_accuracies(board: Board) -> None:
    for (name, dataset, mode), test in board.tests.items():
        values = {m.name: m.figure(f"ferbench/{dataset}/{mode}/accuracy")["value"] for m in board.models}
        assert test.difference == pytest.approx(values[name] - values[test.best]), (name, dataset, mode)


def test_the_interval_leaves_out_zero_where_the_test_is_clear(board: Board) -> None:
    weak, near = board.tests["weak", "pooled", "strict"], board.tests["near", "pooled", "strict"]
    assert weak.high is not None and weak.high < 0 and weak.significant
    assert near.low is not None and near.high is not None and near.low < 0 < near.high and not near.significant


def test_one_correction_covers_all_models_and_sets_of_a_reading(board: Board) -> None:
    for mode in ("strict", "compat"):
        own = [test for (_, _, its), test in board.tests.items() if its == mode]
        assert len(own) == 2 * 5
        assert [test.p_holm for test in own] == pytest.approx(holm([test.p for test in own]))


def test_the_same_files_give_the_same_numbers(board: Board, tmp_path: Path) -> None:
    again = make_board(
        [scored(tmp_path, "good", everywhere(range(4))), scored(tmp_path, "weak", everywhere(range(30)))], resamples=200
    )
    one, two = again.tests["weak", "rafdb", "strict"], board.tests["weak", "rafdb", "strict"]
    assert (one.low, one.high) == (two.low, two.high)


def test_published_figures_are_shown_as_they_are_and_nothing_else(board: Board) -> None:
    (system,) = board.references
    assert system["name"] == "UniFER-7B" and system["figures"] == {"ferbench/pooled/compat/accuracy": {"value": 0.6884}}
    assert "third-party" in system["sources"]["ferbench/pooled/compat/accuracy"]


def test_models_without_all_sets_are_compared_where_they_can_be(tmp_path: Path) -> None:
    models = [scored(tmp_path, "a", {"sfew": range(3)}, 0), scored(tmp_path, "b", {"sfew": range(5), "rafdb": range(1)}, 0)]
    found = make_board(models, resamples=0)
    assert found.sets == ("rafdb", "sfew") and found.by == "ferbench/sfew/strict/accuracy"
    assert {key[1] for key in found.tests} == {"sfew"}
    assert any("a: no results of AffectNet, RAF-DB, FER+: neither pooled" in note for note in found.notes)


def test_models_with_other_questions_are_compared_on_the_shared_ones(tmp_path: Path) -> None:
    whole = scored(tmp_path, "whole", {"rafdb": range(2)}, 0)
    write(tmp_path / "part", "rafdb_results.json", rows("rafdb", range(1), 25))
    part = read_model(Source("part", (tmp_path / "part" / "rafdb_results.json",)), resamples=0)
    found = make_board([whole, part], resamples=0)
    assert next(iter(found.tests.values())).n == 25
    assert any("part: RAF-DB has results for 25 of the 40 questions" in note for note in found.notes)


def test_crashes_are_left_out_of_compat_comparisons_only(tmp_path: Path) -> None:
    own = rows("sfew", range(2))
    own[0] |= {"error": True, "model_response": "ERROR: out of memory"}
    write(tmp_path / "crashed", "sfew_2.0_results.json", own)
    crashed = read_model(Source("crashed", (tmp_path / "crashed" / "sfew_2.0_results.json",)), resamples=0)
    found = make_board([crashed, scored(tmp_path, "fine", {"sfew": range(5)}, 0)], resamples=0)
    assert {mode: test.n for (_, _, mode), test in found.tests.items()} == {"strict": 40, "compat": 39}


def test_another_truth_for_the_same_picture_is_refused(tmp_path: Path) -> None:
    own = rows("sfew", range(0))
    own[3] = {**result("sfew", 3), "true_label": "angry"}
    write(tmp_path / "other", "sfew_2.0_results.json", own)
    other = read_model(Source("other", (tmp_path / "other" / "sfew_2.0_results.json",)), resamples=0)
    with pytest.raises(InputError, match=r"true label 'fear'.*with 'happiness'|true label 'happiness'.*|true label 'anger'"):
        make_board([scored(tmp_path, "one", {"sfew": range(0)}, 0), other], resamples=0)
