"""Which samples of two runs are laid over each other, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facial_r1.errors import InputError
from facial_r1.report.compare_runs import Pair, read_pair
from facial_r1.stages.predictions import read_predictions
from tests.report import compare_cases


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    records = compare_cases.faces(tmp_path, 12)
    return compare_cases.write_run(tmp_path / "one", records, 0.5), compare_cases.write_run(tmp_path / "two", records, 0.9, 1)


def read(a: Path, b: Path) -> Pair:
    return read_pair(a, b, read_predictions)


def refused(a: Path, b: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(a, b)
    return str(caught.value)


def test_common_samples_are_counted_and_so_are_the_others(runs: tuple[Path, Path]) -> None:
    for folder, kept in zip(runs, (slice(0, 10), slice(3, 12)), strict=True):
        rows = compare_cases.samples_of(folder)[kept]
        (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pair = read(*runs)
    assert (len(pair.keys), pair.only_a, pair.only_b) == (7, 3, 2)
    assert [row["id"] for row in pair.rows(pair.a)] == [row["id"] for row in pair.rows(pair.b)] == [key[0] for key in pair.keys]


def test_rules_are_those_that_the_figures_were_computed_by(runs: tuple[Path, Path]) -> None:
    rules = read(*runs).rules
    assert rules.vocabulary == compare_cases.VOCABULARY and rules.labels == compare_cases.LABELS
    assert rules.empty == "unknown" and not rules.compat and rules.wheels is None


def test_names_are_the_folders_or_what_tells_them_apart(runs: tuple[Path, Path], tmp_path: Path) -> None:
    assert [side.name for side in (read(*runs).a, read(*runs).b)] == ["one", "two"]
    records = compare_cases.faces(tmp_path / "other", 4)
    twins = [compare_cases.write_run(tmp_path / name / "same", records, 0.5) for name in ("left", "right")]
    assert [side.name for side in (read(*twins).a, read(*twins).b)] == ["left/same", "right/same"]


def test_no_common_sample_is_refused_with_examples(runs: tuple[Path, Path]) -> None:
    rows = [{**row, "id": "other-" + row["id"]} for row in compare_cases.samples_of(runs[1])]
    (runs[1] / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    message = refused(*runs)
    assert "no sample is in both" in message and "'face-0000'" in message and "'other-face-0000'" in message


@pytest.mark.parametrize(
    ("field", "value"), [("labels", ["contempt"]), ("AUs", ["AU26", "AU1"]), ("AUs", None), ("subject", "somebody")]
)
def test_another_truth_is_refused_with_its_id(runs: tuple[Path, Path], field: str, value: object) -> None:
    compare_cases.change(runs[1], 4, **{field: value})
    message = refused(*runs)
    assert f"1 of the 12 common samples have different truths in one and two: face-0004 ({field}: " in message


def test_another_spelling_of_the_same_truth_is_the_same(runs: tuple[Path, Path]) -> None:
    row = compare_cases.samples_of(runs[1])[0]
    compare_cases.change(
        runs[1], 0, labels=[row["labels"][0].upper()], AUs=[code.replace("AU", "au") for code in row["AUs"][::-1]]
    )
    assert len(read(*runs).keys) == 12


def test_many_different_truths_are_counted_and_five_are_named(runs: tuple[Path, Path]) -> None:
    for place in range(8):
        compare_cases.change(runs[1], place, labels=["contempt"])
    message = refused(*runs)
    assert "8 of the 12" in message and "face-0004" in message and "face-0005" not in message and "and 3 more" in message


def test_other_rules_are_refused_with_the_way_out(runs: tuple[Path, Path]) -> None:
    summary = json.loads((runs[1] / "summary.json").read_text())
    del summary["metrics"]["au/f1/AU26"]
    (runs[1] / "summary.json").write_text(json.dumps(summary))
    message = refused(*runs)
    assert "scored by different rules, action units" in message and "stage.predictions=<run>" in message


def test_a_pipeline_names_its_steps(pipeline_dir: Path) -> None:
    assert "one of 01_base, 02_sft, 03_grpo, 05_sft in it" in refused(pipeline_dir, pipeline_dir / "02_sft")


def test_a_run_without_samples_says_how_to_get_them(runs: tuple[Path, Path]) -> None:
    (runs[0] / "samples.jsonl").unlink()
    assert "has no samples.jsonl" in refused(*runs) and "stage=eval init_from=" in refused(*runs)


def test_a_run_that_was_cut_off_before_its_figures_is_refused(runs: tuple[Path, Path]) -> None:
    (runs[0] / "summary.json").unlink()
    assert "has no figures in summary.json: its evaluation did not end" in refused(*runs)


def test_what_is_no_run_is_named(runs: tuple[Path, Path], tmp_path: Path) -> None:
    assert "nowhere: there is no such run directory" in refused(runs[0], tmp_path / "nowhere")


def test_answers_in_a_file_take_the_truth_of_the_run(runs: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    rows = compare_cases.samples_of(runs[1])
    file.write_text("".join(json.dumps({"id": row["id"], "response": row["completion"]}) + "\n" for row in rows[::-1]))
    pair = read(runs[0], file)
    assert len(pair.keys) == 12 and pair.b.run is None
    assert pair.rows(pair.b)[2]["completion"] == rows[2]["completion"] and pair.rows(pair.b)[2]["labels"] == rows[2]["labels"]
    assert len(read(file, runs[0]).keys) == 12


def test_two_files_of_answers_have_no_truth(runs: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text('{"id": "face-0000", "response": "<answer>fear</answer>"}\n')
    assert "nothing says what is right" in refused(file, file)


def test_a_file_that_leaves_out_samples_is_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text('{"id": "face-0000", "response": "<answer>fear</answer>"}\n')
    assert "11 of 12 records have no answer, for example face-0001" in refused(runs[0], file)


def test_rewards_that_are_paid_differently_are_not_compared(tmp_path: Path) -> None:
    records = compare_cases.faces(tmp_path, 6)
    one, two = (compare_cases.write_run(tmp_path / name, records, 0.5, weight=w) for name, w in (("one", 1.0), ("two", 2.0)))
    pair = read(one, two)
    assert pair.left_out == {"reward/mean"} and "pay their rewards differently" in pair.notes[0]


def test_other_references_leave_the_text_figures_out(runs: tuple[Path, Path]) -> None:
    compare_cases.change(runs[1], 3, description="<think>Another text.</think><answer>fear</answer>")
    pair = read(*runs)
    assert any("text figures are left out" in note for note in pair.notes)
    assert {record["description"] for record in pair.records} == {""}


def test_an_unfinished_run_is_compared_with_a_note(runs: tuple[Path, Path]) -> None:
    (runs[0] / "status.json").write_text('{"state": "interrupted", "stage": "eval"}')
    assert "one: the run is interrupted, its samples may not be all" in read(*runs).notes


def test_broken_lines_are_noted(runs: tuple[Path, Path]) -> None:
    with (runs[0] / "samples.jsonl").open("a") as stream:
        stream.write("{broken\n")
    assert any("one: samples.jsonl: 1 broken line" in note for note in read(*runs).notes)
