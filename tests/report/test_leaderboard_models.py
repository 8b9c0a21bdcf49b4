"""Which models a path stands for, and how their results are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facial_r1.errors import InputError
from facial_r1.metrics.ferbench_report import write_compat
from facial_r1.metrics.ferbench_run import score_results
from facial_r1.report.leaderboard_models import Source, distinct, is_ferbench_run, read_model, sources_in
from tests.metrics.ferbench_cases import predictions, question, recorded, result, write
from tests.report.ferbench_models import everywhere, rows, write_model


def named(folder: Path) -> dict[str, list[str]]:
    return {source.name: [file.name for file in source.files] for source in sources_in(folder)}


def run_of(folder: Path, accuracy: float | None = None) -> Path:
    """A run directory as an evaluation on FERBench leaves it."""
    scored = score_results({"sfew": rows("sfew", range(4))}, resamples=0)
    write_compat(folder / "ferbench", scored.results)
    metrics = dict(scored.summary_metrics)
    if accuracy is not None:
        metrics["ferbench/sfew/strict/accuracy"] = {"value": accuracy}
    (folder / "summary.json").write_text(json.dumps({"stage": "eval", "metrics": metrics}))
    return folder


def test_a_folder_of_one_models_files_is_one_model(tmp_path: Path) -> None:
    write_model(tmp_path / "mine", everywhere(range(0)))
    assert [(name, len(files)) for name, files in named(tmp_path / "mine").items()] == [("mine", 4)]


def test_a_folder_of_folders_is_one_model_each(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_model(tmp_path / name, everywhere(range(0)))
    assert [(name, len(files)) for name, files in named(tmp_path).items()] == [("a", 4), ("b", 4)]


def test_models_in_one_folder_are_told_apart_by_their_file_names(tmp_path: Path) -> None:
    for tail in ("_unifer_7b", "_gpt-4o"):
        write_model(tmp_path, everywhere(range(0)), tail)
    assert {name: len(files) for name, files in named(tmp_path).items()} == {"unifer_7b": 4, "gpt-4o": 4}


def test_the_authors_own_layout_is_one_model(tmp_path: Path) -> None:
    for name in ("rafdb", "sfew_2.0"):
        write(tmp_path / f"eval_{name}" / "results", f"{name}_unifer_7b_results.json", rows(name.split("_")[0], range(0)))
        (tmp_path / f"eval_{name}" / "data").mkdir()
        (tmp_path / f"eval_{name}" / "data" / f"{name}_qa.json").write_text("[]")
    assert {name: len(files) for name, files in named(tmp_path).items()} == {"unifer_7b": 2}


def test_metrics_and_question_files_are_no_results(tmp_path: Path) -> None:
    for file in ("rafdb_qa.json", "rafdb_metrics.json", "notes_results.json"):
        (tmp_path / file).write_text("[]")
    assert sources_in(tmp_path) == []


def test_a_set_twice_in_a_folder_is_refused(tmp_path: Path) -> None:
    for file in ("rafdb_results.json", "rafdb_results.jsonl"):
        (tmp_path / file).write_text("[]")
    with pytest.raises(InputError, match=r"two files hold the same set \(rafdb_results.json, rafdb_results.jsonl\); keep one"):
        sources_in(tmp_path)


def test_a_run_is_a_model_and_its_files_are_not_another(tmp_path: Path) -> None:
    run = run_of(tmp_path / "outputs" / "eval-1234")
    assert is_ferbench_run(run)
    (found,) = sources_in(tmp_path / "outputs", [run])
    assert (found.name, found.run, [file.name for file in found.files]) == ("eval-1234", run, ["sfew_2.0_results.json"])


def test_a_run_without_its_files_says_which_are_missing(tmp_path: Path) -> None:
    run = run_of(tmp_path / "eval")
    (run / "ferbench" / "sfew_2.0_results.json").unlink()
    with pytest.raises(InputError, match=r"holds no <set>_results.json; evaluate it again"):
        sources_in(run, [run])


def test_a_run_whose_summary_says_something_else_is_noted(tmp_path: Path) -> None:
    run = run_of(tmp_path / "eval", accuracy=0.5)
    notes = read_model(sources_in(run, [run])[0], resamples=0).notes
    assert any("the run's own ferbench/sfew/strict/accuracy is 0.5000, here 0.9000" in note for note in notes)


def test_a_given_name_is_for_one_model(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_model(tmp_path / name, everywhere(range(0)))
    assert [source.name for source in sources_in(tmp_path / "a", name="Model A")] == ["Model A"]
    with pytest.raises(InputError, match="2 models are there \\(a, b\\); give each a path and a name"):
        sources_in(tmp_path, name="Both")


def test_names_that_are_the_same_are_told_apart() -> None:
    files = [Path("x/m/rafdb_results.json"), Path("y/m/rafdb_results.json")]
    found = distinct([Source("m", (files[0],), Path("x/m")), Source("m", (files[1],), Path("y/m")), Source("n", (files[0],))])
    assert [source.name for source in found] == ["x/m", "y/m", "n"]
    assert [source.name for source in distinct([Source("m", (files[0],), Path("x/m"))] * 2)] == ["x/m", "x/m (2)"]


def test_questions_without_a_result_count_as_wrong_when_the_questions_are_given(tmp_path: Path) -> None:
    write(tmp_path, "rafdb_qa.json", [question("rafdb", number) for number in range(20)])
    write(tmp_path / "m", "rafdb_results.json", [result("rafdb", number) for number in range(15)])
    (source,) = sources_in(tmp_path / "m")
    alone, whole = read_model(source, resamples=0), read_model(source, tmp_path, resamples=0)
    assert alone.figure("ferbench/rafdb/strict/accuracy")["value"] == 1.0
    assert whole.figure("ferbench/rafdb/strict/accuracy")["value"] == 0.75
    assert "RAF-DB: 5 questions have no result: wrong in strict figures, left out of compat ones" in whole.notes


def test_a_set_in_two_files_of_a_model_is_refused(tmp_path: Path) -> None:
    files = (write(tmp_path, "a.json", rows("rafdb", range(0))), write(tmp_path, "b.json", rows("rafdb", range(0))))
    with pytest.raises(InputError, match=r"b.json: holds results of rafdb, which another file of m holds too"):
        read_model(Source("m", files), resamples=0)


@pytest.mark.reference
def test_recorded_results_give_the_recorded_figures(reference: Path, tmp_path: Path) -> None:
    """What the released scripts printed for the same files, per set and pooled."""
    for case in recorded(reference):
        for name, own in predictions(case).items():
            write(tmp_path / case.name, f"{name}_unifer_7b_results.json", own)
        (source,) = sources_in(tmp_path / case.name)
        model = read_model(source, resamples=0)
        for theirs, ours in (
            ("affectnet", "affectnet"),
            ("rafdb", "rafdb"),
            ("ferplus", "ferplus"),
            ("sfew_2.0", "sfew"),
            ("total", "pooled"),
        ):
            written = case / "expected" / f"{theirs}_metrics.json"
            if not written.is_file():
                continue
            expected = json.loads(written.read_text())["overall"]
            found = {
                key: model.figure(f"ferbench/{ours}/compat/{name}")["value"]
                for key, name in (("accuracy", "accuracy"), ("f1", "macro_f1"))
            }
            assert found == pytest.approx({key: expected[key] for key in found}, abs=1e-12), f"{case.name}: {theirs}"
