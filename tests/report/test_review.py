"""Rows put up for review, and what people decided read back."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facial_r1.errors import InputError
from facial_r1.report import review
from facial_r1.report.decisions import Decision, compare, read_decisions, reviewed_rows, summarise
from facial_r1.report.review_command import main
from tests.report import fixture_run


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("faces")
    rows = fixture_run.make_faces(folder / "faces", 12)
    return [{**row, "image": str(folder / row["image"])} for row in rows]


@pytest.fixture
def run(tmp_path: Path, records: list[dict[str, Any]]) -> Path:
    """A synthesis run that was put up for review."""
    folder = tmp_path / "synthesis-0a1b"
    folder.mkdir()
    (folder / "accepted.jsonl").write_text("".join(json.dumps(row) + "\n" for row in records))
    review.write_review(folder, records)
    return folder


def table_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def fill(source: Path, target: Path, *decisions: str, **changes: str) -> Path:
    """Write `target` with the rows of `source` and these decisions, in turn."""
    rows = table_of(source)
    for number, row in enumerate(rows):
        row["decision"] = decisions[number % len(decisions)]
        row |= changes
    target.write_text(review.table(rows))
    return target


# --- putting up ---------------------------------------------------------------------------------------------------


def test_the_table_holds_what_a_person_needs(run, records):
    rows = table_of(run / "review.csv")
    assert list(rows[0]) == list(review.COLUMNS) and len(rows) == 12
    by_id = {record["id"]: record for record in records}
    for row in rows:
        record = by_id[row["id"]]
        assert row["description"] == record["description"] and row["labels"] == record["labels"][0]
        assert row["AUs"] == (", ".join(record["AUs"]) or "none") and row["decision"] == row["comment"] == ""


def test_fewer_rows_are_a_part_of_more_and_the_seed_chooses(records):
    ids = lambda count, seed: [row["id"] for row in review.put_up(records, count, seed)]  # noqa: E731
    assert ids(5, 0) == ids(None, 0)[:5] and ids(5, 0) != ids(5, 1)
    assert sorted(ids(99, 0)) == sorted(record["id"] for record in records)


def test_rows_that_repeat_are_put_up_once(records):
    assert len(review.put_up([*records, *records], None, 0)) == len(records)


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ({"id": 7, "AUs": None, "labels": []}, {"id": "7", "AUs": "not coded", "labels": "", "description": ""}),
        ({"id": "a", "AUs": [], "image": ["x.png", "y.png"]}, {"AUs": "none", "image": "x.png, y.png"}),
        ({"id": "a", "description": "=HYPERLINK(1)"}, {"description": "'=HYPERLINK(1)"}),
        ({"id": "a", "meta_info": {"provenance": {"checks": {"format": True, "leak": False}}}}, {"checks": "failed: leak"}),
    ],
)
def test_cells(row, cells):
    assert {name: review.cells(row)[name] for name in cells} == cells


def test_a_page_is_self_contained_and_safe(tmp_path, records):
    attack = "</script><script>alert(1)</script>{{ 7*7 }}"
    review.write_review(tmp_path, [{**records[0], "id": attack, "labels": [attack], "description": attack}])
    page = (tmp_path / "review.html").read_text()
    assert "<script>alert" not in page and "49" not in re.sub(r"[\w+/=]{80,}", "", page).split('id="data"')[0]
    assert "default-src 'none'" in page and not re.search(r'(?:src|href)="https?:', page)


def test_missing_images_are_said_and_shown_as_empty_frames(tmp_path, records):
    review.write_review(tmp_path, [{**records[0], "image": "nowhere.png"}])
    assert "1 image(s) could not be read" in (tmp_path / "review.html").read_text()


def test_many_rows_go_on_several_pages_below_the_limit(tmp_path, monkeypatch):
    """Photographs do not compress as drawings do: noise is the worst case."""
    noise = np.random.default_rng(0)
    rows = []
    for number in range(12):
        Image.fromarray(noise.integers(0, 256, (320, 320, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
        rows.append({"id": str(number), "image": f"{number}.png", "description": "x", "labels": ["fear"]})
    monkeypatch.setattr(review, "MAX_BYTES", 300_000)
    files = review.write_review(tmp_path, rows)
    pages = [file for file in files if file.suffix == ".html"]
    assert len(pages) > 2 and [page.name for page in pages[:2]] == ["review-1.html", "review-2.html"]
    assert all(page.stat().st_size < 450_000 for page in pages)
    shown = [json.loads(re.search(r'id="data">(.*?)</script>', page.read_text())[1]) for page in pages]
    assert [row["id"] for data in shown for row in data["rows"]] == [row["id"] for row in table_of(files[0])]
    assert [data["file"] for data in shown[:2]] == ["review-1.csv", "review-2.csv"]
    monkeypatch.undo()
    review.write_review(tmp_path, rows)
    assert sorted(path.name for path in tmp_path.glob("review*.html")) == ["review.html"], "pages of before are gone"


# --- reading back -------------------------------------------------------------------------------------------------


def test_decisions_come_back(run, tmp_path):
    ids = [row["id"] for row in table_of(run / "review.csv")]
    file = fill(run / "review.csv", tmp_path / "mine.csv", "accept", " Reject ", "", comment='a, "b"\nc')
    found = read_decisions([file], ids)
    assert [found[key] for key in ids[:3]] == [Decision(name, 'a, "b"\nc') for name in ("accept", "reject", "")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_spreadsheets_may_save_with_any_delimiter_a_mark_and_other_columns(tmp_path, delimiter):
    lines = ["comment|decision|seen|id", "fine|ACCEPT|x|1", "||x|2"]
    (tmp_path / "a.csv").write_text("\ufeff" + "\r\n".join(lines).replace("|", delimiter) + "\r\n", newline="")
    assert read_decisions([tmp_path / "a.csv"], ["1", "2"]) == {"1": Decision("accept", "fine"), "2": Decision("")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,decision\n1,accept\n9,accept\n", ["a.csv:3: id: '9' is no accepted row"]),
        ("id,decision\nface-001,accept\n", ["a.csv:2", "did you mean 'face-0001'"]),
        ("id,decision\n1,acept\n", ["a.csv:2: decision: 'acept' is no decision", "did you mean 'accept'"]),
        ("id,decision\n1,yes\n", ["'yes' is no decision", "accept, reject, unsure"]),
        ('id,comment,decision\n1,"two\nlines",reject\n2,,maybe\n', ["a.csv:4: decision: 'maybe'"]),
        ("id,decision\n1,accept\n1,reject\n", ["a.csv:3: id: '1' is decided in", "a.csv:2 already"]),
        ("id,decision\n1,accept,\n", ["a.csv:2: row: 3 cells, the first line has 2"]),
        ("id,verdict\n1,accept\n", ["a.csv:1: decision: there is no such column", "id, verdict"]),
        ('id,decision\n1,"accept\n', ["not CSV"]),
        ("\n\n", ["the file is empty"]),
        ("id,decision\n1,\n2,\n", ["no row has a decision", "--decisions"]),
        ("id,decision\n8,accept\n9,no\n1,no\n", ["3 problems"]),
    ],
)
def test_bad_tables_are_refused_with_line_and_fix(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_decisions([tmp_path / "a.csv"], ["1", "2", "face-0001"])
    for part in said:
        assert part in str(caught.value)


def test_files_that_are_no_text_or_not_there_are_refused(tmp_path):
    (tmp_path / "a.xls").write_bytes(b"id,decision\n\xff\xfe\x00")
    with pytest.raises(InputError, match="byte 12 is not UTF-8"):
        read_decisions([tmp_path / "a.xls"], ["1"])
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_decisions([tmp_path / "b.csv"], ["1"])


ROWS = {
    "1": {"id": "1", "labels": ["fear"], "AUs": ["AU12", "AU6"], "subject": "p", "split": "train", "meta_info": {"k": 1}},
    "2": {"id": "2", "labels": ["fear"], "AUs": None, "subject": "q"},
    "3": {"id": "3", "labels": ["anger"], "AUs": ["AU6"], "subject": "q"},
    "4": {"id": "4", "labels": [], "AUs": []},
}


def decided(*names: str) -> dict[str, Decision]:
    return {str(number): Decision(name) for number, name in enumerate(names, start=1)}


def test_counts_by_decision_label_and_unit():
    found = summarise(ROWS, decided("accept", "reject", "", "unsure"))
    assert found["rows"] == 4 and found["decisions"] == {"accept": 1, "reject": 1, "unsure": 1, "open": 1}
    assert found["by_label"] == {
        "anger": {"accept": 0, "reject": 0, "unsure": 0, "open": 1},
        "fear": {"accept": 1, "reject": 1, "unsure": 0, "open": 0},
    }
    assert list(found["by_action_unit"]) == ["AU6", "AU12"] and found["by_action_unit"]["AU6"]["open"] == 1


def test_two_people_are_compared_where_both_decided():
    found = compare(ROWS, decided("accept", "reject", "accept", ""), decided("accept", "accept", "", "reject"), resamples=0)
    assert found["rows"] == 2 and found["raw"]["value"] == 0.5
    assert found["disagreements"] == [{"id": "2", "first": "reject", "second": "accept"}]
    assert found["table"]["reject"]["accept"] == 1
    with pytest.raises(InputError, match="no row was decided by both"):
        compare(ROWS, decided("accept"), decided("", "accept"))


def test_a_row_is_kept_when_nobody_speaks_against_it():
    first = decided("accept", "accept", "accept", "unsure")
    assert [row["id"] for row in reviewed_rows(ROWS, first)] == ["1", "2", "3"]
    kept = reviewed_rows(ROWS, first, decided("accept", "unsure", "", "accept"))
    assert [row["id"] for row in kept] == ["1", "3"]
    assert kept[0]["split"] == "test" and kept[0]["meta_info"]["k"] == 1
    assert kept[0]["meta_info"]["review"] == {"decision": "accept", "reviewers": 2, "comments": [], "split_before": "train"}
    assert kept[1]["meta_info"]["review"]["reviewers"] == 1


# --- the command --------------------------------------------------------------------------------------------------


def test_the_command_writes_a_test_set_that_loads(run, tmp_path, capsys):
    from facial_r1.data import load_data

    mine = fill(run / "review.csv", tmp_path / "mine.csv", "accept", "accept", "reject")
    second = fill(run / "review.csv", tmp_path / "second.csv", "accept", "reject", "reject")
    assert main([str(run), "--decisions", str(mine), "--second", str(second)]) == 0
    told = capsys.readouterr().out
    assert "raw agreement 0.67" in told and f"data.test_files=[{run}/reviewed.jsonl]" in told and "of the train side" in told
    summary = json.loads((run / "review_summary.json").read_text())
    assert summary["decisions"] == {"accept": 8, "reject": 4, "unsure": 0, "open": 0} and summary["reviewed"] == 4
    assert summary["agreement"]["kappa"]["value"] == pytest.approx(0.4)
    data = load_data({"test_files": [str(run / "reviewed.jsonl")]}, need=("test",))
    assert len(data.test) == 4 and all(record.description and Path(record.images[0]).is_file() for record in data.test)


def test_reviewed_rows_do_not_land_among_train_rows_by_accident(run, tmp_path):
    from facial_r1.data import load_data

    assert main([str(run), "--decisions", str(fill(run / "review.csv", tmp_path / "mine.csv", "accept"))]) == 0
    with pytest.raises(InputError, match="train side has no rows"):
        load_data({"files": [str(run / "reviewed.jsonl")]}, need=("train",))


def test_parts_of_several_pages_are_read_together(run, tmp_path):
    rows = table_of(fill(run / "review.csv", tmp_path / "all.csv", "accept"))
    for name, part in (("review-1.csv", rows[:5]), ("review-2.csv", rows[5:])):
        (tmp_path / name).write_text(review.table(part))
    assert main([str(run), "--decisions", str(tmp_path / "review-1.csv"), str(tmp_path / "review-2.csv")]) == 0
    assert len((run / "reviewed.jsonl").read_text().splitlines()) == 12


def test_bad_input_ends_with_exit_code_2_and_nothing_written(run, tmp_path, capsys):
    bad = fill(run / "review.csv", tmp_path / "bad.csv", "accept", "perhaps")
    for arguments, said in (
        ([str(run)], "no row has a decision"),
        ([str(run), "--decisions", str(bad)], "'perhaps' is no decision"),
        ([str(tmp_path)], "name the step: " + str(run)),
        ([str(tmp_path / "nowhere")], "name a finished run of stage=synthesis"),
        ([str(run), "--prepare", "--rows", "0"], "--rows 0"),
    ):
        assert main(arguments) == 2
        assert said in capsys.readouterr().err
    assert not (run / "reviewed.jsonl").exists() and not (run / "review_summary.json").exists()


def test_nothing_accepted_is_said(run, tmp_path, capsys):
    assert main([str(run), "--decisions", str(fill(run / "review.csv", tmp_path / "mine.csv", "reject"))]) == 0
    assert "no row was accepted" in capsys.readouterr().out


def test_a_finished_run_is_put_up_later_and_work_is_not_lost(run, capsys):
    for file in (run / "review.csv", run / "review.html"):
        file.unlink()
    assert main([str(run)]) == 2 and "--prepare does it now" in capsys.readouterr().err
    assert main([str(run), "--prepare", "--rows", "3"]) == 0
    assert len(table_of(run / "review.csv")) == 3 and (run / "review.html").is_file()
    assert main([str(run), "--prepare"]) == 0 and len(table_of(run / "review.csv")) == 12
    fill(run / "review.csv", run / "review.csv", "accept")
    assert main([str(run), "--prepare"]) == 2 and "holds decisions" in capsys.readouterr().err
    assert main([str(run)]) == 0
