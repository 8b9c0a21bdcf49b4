"""Files of MER-UniBench: truths in the owners' folders, released files of words, and which set a file belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facial_r1.data.unibench import (
    NINE,
    SETS,
    checkpoints_of,
    prediction_files,
    read_truths,
    set_in,
    truth_files,
)
from facial_r1.errors import InputError


def corpus(path: Path, **parts: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **{name: np.array(part, dtype=object) for name, part in parts.items()})
    return path


def listed(path: Path, items: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, filenames=list(items), fileitems=list(items.values()))
    return path


def test_the_nine_sets_are_in_the_order_of_the_tables_with_their_sizes():
    assert NINE == ("mer2023", "mer2024", "meld", "iemocap", "cmumosi", "cmumosei", "sims", "simsv2", "ovmerdplus")
    assert [SETS[name].clips for name in NINE] == [411, 1169, 2610, 1241, 686, 4659, 457, 1034, 532]
    assert [SETS[name].primary for name in NINE] == ["hit"] * 4 + ["waf"] * 4 + ["f"]


@pytest.mark.parametrize(
    ("name", "part", "clips", "expected"),
    [
        ("mer2023", "test1_corpus", {"a": {"emo": "worried", "val": -10}}, {"a": "worried"}),
        ("mer2024", "test1_corpus", {"a": {"emo": np.str_("sad"), "val": -10}}, {"a": "sad"}),
        ("meld", "test_corpus", {"a": {"emo": np.int64(1), "val": -10}, "b": {"emo": "fear"}}, {"a": "joy", "b": "fear"}),
        ("iemocap", "whole_corpus", {"Ses05F_x": {"emo": 3}, "Ses01F_x": {"emo": 0}}, {"Ses05F_x": "anger"}),
        ("cmumosi", "test_corpus", {"a": {"emo": 0, "val": np.float32(-1.5)}, "b": {"val": 0}}, {"a": -1.5, "b": 0.0}),
        ("simsv2", "test_corpus", {"a": {"emo": 0, "val": np.float64(0.2)}}, {"a": 0.2}),
    ],
)
def test_label_archives_hold_a_word_an_index_or_a_number(tmp_path: Path, name: str, part: str, clips: dict, expected: dict):
    file = corpus(tmp_path / "label.npz", train_corpus={"t": {"emo": 0, "val": 1.0}}, **{part: clips})
    assert read_truths(name, file) == expected


def test_lists_of_ov_merd_plus_are_taken_apart_twice_and_nothing_is_neutral(tmp_path: Path):
    """As the released loader joins what it has taken apart: brackets inside a list are gone the second time."""
    (tmp_path / "ovlabel.csv").write_text("name,openset\na,\"[[happy], [sad]]\"\nb,\nc,\"['calm', 'at ease']\"\n")
    assert read_truths("ovmerdplus", tmp_path / "ovlabel.csv") == {"a": "[happy], [sad]", "b": "neutral", "c": "calm, at ease"}
    assert read_truths("ovmerd", tmp_path / "ovlabel.csv")["a"] == "[[happy], [sad]]"


@pytest.mark.parametrize(
    ("name", "clips", "message"),
    [
        ("meld", {"a": {"emo": 7}}, r"test_corpus: a: emo=7 is not a number from 0 to 6 or a word"),
        ("meld", {"a": {"emo": True}}, "emo=True"),
        ("cmumosi", {"a": {"emo": 0}}, "val=None is no number"),
        ("mer2023", {"a": {"emo": "sad"}}, "no dictionary test1_corpus; give the label file of mer2023"),
    ],
)
def test_a_label_file_that_does_not_fit_says_where(tmp_path: Path, name: str, clips: dict, message: str):
    with pytest.raises(InputError, match=message):
        read_truths(name, corpus(tmp_path / "label.npz", test_corpus=clips))


def test_truths_are_found_in_the_owners_folders_or_by_name(tmp_path: Path):
    meld = corpus(tmp_path / "meld-process" / "label.npz", test_corpus={"a": {"emo": 0}})
    iemocap = corpus(tmp_path / "iemocapfour" / "label_4way.npz", whole_corpus={})
    assert truth_files(str(tmp_path), SETS) == {"meld": meld, "iemocap": iemocap}
    assert truth_files({"meld": str(meld)}, ["meld", "sims"]) == {"meld": meld}
    assert truth_files(str(meld), ["meld"]) == {"meld": meld}
    with pytest.raises(InputError, match="did you mean 'meld'"):
        truth_files({"mel": str(meld)}, SETS)
    with pytest.raises(InputError, match=r"stage\.truths\.sims"):
        truth_files({"sims": str(tmp_path / "no.npz")}, SETS)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("output/results-iemocapfour/run/checkpoint_000030_loss_0.1-openset.npz", "iemocap"),
        ("sims/output/results-SIMSv2/run/x-openset.npz", "simsv2"),
        ("answers/meld/x-openset.npz", "meld"),
        ("datasets/mer2023-dataset-process/label-6way.npz", "mer2023"),
        ("ovmerd/check-openset.csv", "ovmerd"),
        ("output/results-mer2025ov/run/x-openset.npz", None),
    ],
)
def test_a_path_names_its_set(path: str, name: str | None):
    assert set_in(Path(path)) == name


def test_a_folder_a_pattern_and_what_a_model_wrote_lead_to_the_files_with_words(tmp_path: Path):
    run = tmp_path / "results-sims" / "run"
    words, sides = (
        listed(run / f"checkpoint_000030_loss_0.1{end}.npz", {"a": "x"}) for end in ("-openset", "-openset-sentiment")
    )
    raw = corpus(run / "checkpoint_000030_loss_0.1.npz", name2reason={"a": "She smiles."})
    for given in (tmp_path, tmp_path / "results-*" / "r*", raw):
        assert set(prediction_files(str(given))) == {words, sides}
    words.unlink()
    sides.unlink()
    with pytest.raises(InputError, match="Words have to be taken out"):
        prediction_files(str(raw))


def test_checkpoints_are_sorted_and_the_run_with_the_most_is_taken(tmp_path: Path):
    for epoch in (60, 30):
        for ending in ("-openset", "-openset-sentiment"):
            listed(tmp_path / "results-sims" / "run" / f"checkpoint_0000{epoch}_loss_0.1{ending}.npz", {"a": "x"})
    other = listed(tmp_path / "results-sims" / "older" / "checkpoint_000030_loss_0.1-openset.npz", {"a": "x"})
    found, notes = checkpoints_of(prediction_files(str(tmp_path)), {})
    assert [one.epoch for one in found["sims"]] == ["30", "60"]
    assert all(one.words and one.sentiment for one in found["sims"])
    assert len(notes) == 1 and "most checkpoints of 2 folders" in notes[0]
    listed(other.with_name("checkpoint_000060_loss_0.1-openset.npz"), {"a": "x"})
    with pytest.raises(InputError, match=r"sims has 2 folders with 2 checkpoint"):
        checkpoints_of(prediction_files(str(tmp_path)), {})


def test_a_file_without_a_set_in_its_path_belongs_to_the_largest_set_that_it_covers(tmp_path: Path):
    file = listed(tmp_path / "x-openset.npz", {"a": "[happy]", "b": "[sad]", "c": "[]"})
    truths: dict[str, dict[str, Any]] = {"ovmerd": {"a": "happy"}, "ovmerdplus": {"a": "happy", "b": "sad"}, "meld": {"z": "joy"}}
    assert list(checkpoints_of([file], truths)[0]) == ["ovmerdplus"]
    with pytest.raises(InputError, match="which set is this"):
        checkpoints_of([file], {"meld": {"z": "joy"}})
