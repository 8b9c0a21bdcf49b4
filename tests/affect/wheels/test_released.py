"""Released tables are read from a folder, converted once, and never run code."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from facial_r1.affect.wheels.released import read_released
from facial_r1.affect.wheels.scorer import Wheels
from facial_r1.affect.wheels.spreadsheet import read_xlsx
from facial_r1.affect.wheels.tables import Table
from facial_r1.affect.wheels.unpickling import read_object_npz
from facial_r1.errors import InputError
from tests.affect.wheels.release import OTHER, object_npy, write_2025, write_2026, write_xlsx


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_spreadsheets_and_csv_become_the_three_levels(tmp_path: Path, cache: Path):
    source = read_released("mer2025", write_2025(tmp_path / "mer2025"), cache)
    assert source.forms["fear"] == ["fear", "fearless"]
    assert source.labels["glad"] == ["happy", "joyful"]
    assert source.trees[0]["happy"]["joyful"] == ["content", "relieved"]
    assert source.nan


@pytest.mark.parametrize("inside", ["", "mer2025", "emotion_wheel"])
def test_the_folder_itself_or_the_one_around_it_is_found(tmp_path: Path, cache: Path, inside: str):
    write_2025(tmp_path / "root" / inside if inside else tmp_path / "root")
    assert read_released("mer2025", tmp_path / "root", cache).forms


def test_the_archive_of_2026_is_enough(tmp_path: Path, cache: Path):
    source = read_released("mer2026", write_2026(tmp_path / "mer2026"), cache)
    assert Wheels(source).sectors(["gladly"], wheel=5) == {"good"}
    assert not source.nan


def test_2026_without_its_archive_takes_the_sheets_beside_it(tmp_path: Path, cache: Path):
    write_2025(tmp_path / "mer2025")
    (write_2026(tmp_path / "mer2026") / "wheel_mapping.npz").unlink()
    assert Wheels(read_released("mer2026", tmp_path, cache)).sectors(["gladly"], wheel=2) == {"good"}


def test_the_second_time_only_the_compact_file_is_read(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_2025(tmp_path / "mer2025")
    first = read_released("mer2025", folder, cache)

    def fail(*_: object) -> None:
        raise AssertionError("a spreadsheet was read again")

    monkeypatch.setattr("facial_r1.affect.wheels.released.read_xlsx", fail)
    again = read_released("mer2025", folder, cache)
    assert (again.forms, again.labels, again.sha256) == (first.forms, first.labels, first.sha256)


def test_changed_files_are_converted_again(tmp_path: Path, cache: Path):
    folder = write_2025(tmp_path / "mer2025")
    read_released("mer2025", folder, cache)
    with (folder / "format.csv").open("a", encoding="utf-8") as file:
        file.write('sad,"sadly"\n')
    assert "sadly" in read_released("mer2025", folder, cache).forms
    assert len(list((cache / "wheels").iterdir())) == 2


def test_a_damaged_compact_file_is_made_anew(tmp_path: Path, cache: Path):
    folder = write_2025(tmp_path / "mer2025")
    read_released("mer2025", folder, cache)
    (kept,) = (cache / "wheels").iterdir()
    kept.write_text('{"sha256": ')
    assert read_released("mer2025", folder, cache).forms["gladly"] == ["glad"]


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert read_released("mer2025", write_2025(tmp_path / "mer2025"), blocked / "cache").forms


def test_no_folder_says_what_to_give(cache: Path):
    with pytest.raises(InputError, match=r"root=.*embedded"):
        read_released("mer2025", None, cache)


def test_an_empty_folder_is_named(tmp_path: Path, cache: Path):
    with pytest.raises(InputError, match=r"no format\.csv"):
        read_released("mer2025", tmp_path, cache)


def test_missing_sheets_are_listed(tmp_path: Path, cache: Path):
    folder = write_2025(tmp_path / "only")
    (folder / "wheel4.xlsx").unlink()
    with pytest.raises(InputError, match=r"wheel4\.xlsx"):
        read_released("mer2025", folder, cache)


def test_wrong_columns_name_the_file(tmp_path: Path, cache: Path):
    folder = write_2025(tmp_path / "mer2025")
    write_xlsx(folder / "wheel2.xlsx", [["a", "b", "c"], *OTHER[1:]])
    with pytest.raises(InputError, match=r"wheel2\.xlsx.*level1, level2, level3"):
        read_released("mer2025", folder, cache)


def test_a_file_that_is_no_spreadsheet_is_named(tmp_path: Path):
    (tmp_path / "a.xlsx").write_text("name,format")
    with pytest.raises(InputError, match=r"a\.xlsx: cannot be read as \.xlsx"):
        read_xlsx(tmp_path / "a.xlsx")


def test_blank_cells_and_inline_text_are_read(tmp_path: Path):
    write_xlsx(tmp_path / "a.xlsx", [["x", "", "z & <"], ["", "y"]], inline=True)
    assert read_xlsx(tmp_path / "a.xlsx") == [["x", "", "z & <"], ["", "y"]]


class _Runs:
    """A pickle of this runs a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo run > ran",)


@pytest.mark.parametrize("payload", [_Runs(), np.random.default_rng, print], ids=["system", "numpy", "builtins"])
def test_a_pickle_that_names_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, payload: object):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(tmp_path / "wheel_mapping.npz", "w") as archive:
        archive.writestr("format_mapping.npy", object_npy(pickle.dumps(payload)))
    with pytest.raises(InputError, match="refused: it names"):
        read_object_npz(tmp_path / "wheel_mapping.npz")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an npy",
        object_npy(b"\x80\x04"),
        object_npy(pickle.dumps(5)),
        object_npy(b"", "{'descr': '<f8', 'shape': (2,)}"),
    ],
    ids=["empty", "text", "cut off", "no array", "numbers"],
)
def test_a_broken_archive_is_refused(tmp_path: Path, content: bytes):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("format_mapping.npy", content)
    with pytest.raises(InputError, match=r"a\.npz"):
        read_object_npz(tmp_path / "a.npz")


def test_an_archive_without_a_mapping_says_what_it_needs(tmp_path: Path, cache: Path):
    with pytest.raises(InputError, match="format_mapping, raw_mapping and wheel_map_whole"):
        read_released("mer2026", write_2026(tmp_path / "mer2026", wheel_map_whole={}), cache)


def test_what_numpy_writes_is_read_back(tmp_path: Path):
    value = {"a": ["b", ("c", 1, 2.5, None, True)]}
    np.savez(tmp_path / "a.npz", mapping=np.array(value, dtype=object))
    assert read_object_npz(tmp_path / "a.npz") == {"mapping": value}


def test_numbers_and_strings_of_numpy_become_plain_ones(tmp_path: Path):
    """Label files of the benchmarks hold some; what is neither number nor string is refused."""
    value = {"a": np.int64(3), "b": np.float32(-0.5), "c": np.str_("sad\u00e9"), "d": np.bool_(True), "e": np.float64(0.1)}
    np.savez(tmp_path / "a.npz", part=np.array(value, dtype=object))
    found = read_object_npz(tmp_path / "a.npz")["part"]
    assert found == {"a": 3, "b": -0.5, "c": "sad\u00e9", "d": True, "e": 0.1}
    assert [type(item) for item in found.values()] == [int, float, str, bool, float]
    np.savez(tmp_path / "b.npz", part=np.array({"a": np.datetime64("2020-01-01")}, dtype=object))
    with pytest.raises(InputError, match="neither number nor string"):
        read_object_npz(tmp_path / "b.npz")


def test_the_alphabet_decides_in_compat_and_identity_in_strict(tmp_path: Path, cache: Path):
    wheels = Wheels(read_released("mer2025", write_2025(tmp_path / "mer2025"), cache))
    assert wheels.sectors(["fear"], 1, 2) == {"brave"}  # fear is listed as a form of fearless, and daring sorts before fearful
    assert isinstance(wheels.table(2), Table)
    assert wheels.sectors(["fearful"], 1, 2, "strict") == set()  # a label without a row of forms is no word
