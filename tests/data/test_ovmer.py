"""Files of OV-MER and AffectGPT: styles, overlaps, the reinforcement-learning split."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from facial_r1.data.ovmer import (
    cold_start_records,
    exclude_names,
    intersections,
    read_items,
    read_labels,
    read_names,
    read_texts,
    rl_split,
)
from facial_r1.errors import InputError
from facial_r1.prompts.completion import parse


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "cell", ["\"['happy', 'at ease']\"", '"[happy, at ease]"', '"happy,at ease"'], ids=["quoted", "bare", "commas"]
)
def test_three_styles_are_one(tmp_path: Path, cell: str):
    assert read_labels(write(tmp_path / "a.csv", f"name,openset\nclip,{cell}\n")) == {"clip": ["happy", "at ease"]}


def test_archives_of_strings_are_read_without_pickle(tmp_path: Path):
    np.savez(tmp_path / "a.npz", filenames=np.array(["clip"]), fileitems=np.array(["[happy, sad]"]))
    assert read_labels(tmp_path / "a.npz") == {"clip": ["happy", "sad"]}
    assert read_items(tmp_path / "a.npz") == {"clip": "[happy, sad]"}


def test_archives_of_objects_are_refused(tmp_path: Path):
    np.savez(tmp_path / "a.npz", filenames=np.array(["clip"], dtype=object), fileitems=np.array([["happy"]], dtype=object))
    with pytest.raises(InputError, match="without running code"):
        read_labels(tmp_path / "a.npz")


def test_other_archives_are_refused(tmp_path: Path):
    np.savez(tmp_path / "a.npz", name2reason=np.array(["a"]))
    with pytest.raises(InputError, match="filenames and fileitems"):
        read_labels(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,openset\na,b\n", r"a\.csv:1: no column name"),
        ("name,opensets\na,b\n", r"a\.csv:1: no column openset"),
        ("name,openset\na,b\na,c\n", r"a\.csv:3: the clip 'a' is listed twice"),
        ("name,openset\n,b\n", r"a\.csv:2: the name is empty"),
    ],
)
def test_broken_rows_name_file_and_line(tmp_path: Path, text: str, message: str):
    with pytest.raises(InputError, match=message):
        read_labels(write(tmp_path / "a.csv", text))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"no\.csv: cannot be read"):
        read_labels(tmp_path / "no.csv")


def test_missing_values_are_no_labels(tmp_path: Path):
    assert read_labels(write(tmp_path / "a.csv", "name,openset\na,\nb,[]\n")) == {"a": [], "b": []}


def test_texts_of_csv_and_gzipped_json(tmp_path: Path):
    write(tmp_path / "a.csv", 'name,reason,english\nclip,"one, two",three\n')
    assert read_texts(tmp_path / "a.csv") == {"clip": "one, two"}
    assert read_texts(tmp_path / "a.csv", "english") == {"clip": "three"}
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps({"clip": "text"}).encode()))
    assert read_texts(tmp_path / "a.json.gz") == {"clip": "text"}
    with pytest.raises(InputError, match="did you mean 'reason'"):
        read_texts(tmp_path / "a.csv", "reasons")


def test_what_is_excluded_is_counted():
    kept, report = exclude_names({"a": 1, "b": 2, "c": 3}, ["b", "x"])
    assert kept == {"a": 1, "c": 3}
    assert (report.before, report.names, report.removed) == (3, 2, 1)


def test_intersections_of_every_pair():
    assert intersections({"train": ["a", "b"]}, {"one": ["b"], "two": ["c"]}) == {("train", "one"): 1, ("train", "two"): 0}


def test_the_split_is_the_human_labels_without_the_test_names(tmp_path: Path):
    human = write(tmp_path / "human.csv", 'name,openset\na,"shocked,care"\nb,sad\nc,\n')
    names = write(tmp_path / "names.csv", "name,in_ovmerd332\nb,1\nz,0\n")
    kept, report = rl_split(human, names)
    assert kept == {"a": ["shocked", "care"]}
    assert str(report) == "3 clips, 1 of them among the 2 names to exclude; 2 are left"
    assert read_names(names) == ["b", "z"]


def test_cold_start_records_have_the_full_format():
    (record,) = cold_start_records(
        {"a": "She\nsmiles.", "b": "x"}, {"a": ["happy", "at ease"], "b": []}, video="clips/{name}.mp4"
    )
    assert record["video"] == "clips/a.mp4"
    assert parse(record["description"]).valid
    assert record["description"].endswith("<answer>happy, at ease</answer>")


@pytest.mark.reference
def test_released_files_are_read_whole(reference: Path):
    folder = reference / "ovmer"
    truths = read_labels(folder / "ovmerd" / "check-openset.csv")
    assert len(truths) == 332
    assert sum(len(labels) for labels in truths.values()) == 1121
    names = read_names(folder / "ovmerd" / "ovmerdplus_names.csv")
    assert len(names) == 532
    assert exclude_names(truths, names)[1].removed == 332
    for file in (folder / "predictions_ovmerd").glob("*/*-openset.npz"):
        assert set(read_labels(file)) >= set(truths)
