"""What is printed and written about FERBench."""

from __future__ import annotations

import json
from pathlib import Path

from facial_r1.metrics.ferbench_report import compat_report, describe, write_compat
from facial_r1.metrics.ferbench_run import score_predictions, score_results
from tests.metrics.ferbench_cases import answer, predictions, recorded, result, results


def test_every_recorded_printout_is_reproduced_to_the_letter(reference: Path) -> None:
    for case in recorded(reference):
        parts = predictions(case)
        for name, rows in [*parts.items(), ("total", parts)]:
            expected = (case / "expected" / f"{name}.stdout.txt").read_text()
            assert compat_report(rows, name) == expected, f"{case.name} {name}"


def test_recorded_files_are_written_byte_for_byte(reference: Path, tmp_path: Path) -> None:
    for case in recorded(reference):
        write_compat(tmp_path / case.name, predictions(case))
        for expected in sorted((case / "expected").iterdir()):
            assert (tmp_path / case.name / expected.name).read_bytes() == expected.read_bytes(), f"{case.name} {expected.name}"


def test_what_is_written_can_be_read_again(tmp_path: Path) -> None:
    parts = {name: results(name, 5, [answer("fear"), "h\u00e9"]) for name in ("rafdb", "sfew")}
    written = write_compat(tmp_path, parts)
    assert [path.name for path in written if path.suffix == ".json"] == [
        "rafdb_results.json",
        "rafdb_metrics.json",
        "sfew_2.0_results.json",
        "sfew_2.0_metrics.json",
    ], "no total without all four"
    assert score_predictions(tmp_path).results == parts
    assert json.loads((tmp_path / "rafdb_metrics.json").read_text())["overall"]["accuracy"] == 0.6


def test_a_dataset_of_crashes_alone_gets_no_metrics_file(tmp_path: Path) -> None:
    written = write_compat(tmp_path, {"rafdb": [result("rafdb", 0, "ERROR: out of memory", error=True)]})
    assert [path.name for path in written] == ["rafdb_results.json"]


def test_where_the_released_script_stops_there_is_a_note_and_no_metrics_file(tmp_path: Path) -> None:
    parts = {name: results(name, 3) for name in ("affectnet", "rafdb", "ferplus", "sfew")}
    parts["rafdb"] = [{**row, "true_label": row["true_label"].title()} for row in parts["rafdb"]]
    scored = score_results(parts, resamples=0)
    names = {path.name for path in write_compat(tmp_path, scored.results)}
    assert "rafdb_metrics.json" not in names and {"ferplus_metrics.json", "total_metrics.json"} <= names
    assert [note for note in scored.notes if note.startswith("rafdb: no true label is written as its candidates are")]


def test_the_table_names_both_modes_the_rates_and_the_notes() -> None:
    text = describe(score_results({"rafdb": results("rafdb", 20, ["happiness"])}, resamples=50))
    head, row, *_ = text.splitlines()
    assert all(word in head for word in ("compat accuracy", "strict accuracy", "UAR", "majority", "format", "fall-back"))
    assert row.startswith("rafdb") and "[" in row and "95.00" in row
