"""The drawn faces lie in the cache and load like any other files."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from facial_r1.config.schema import Schematic
from facial_r1.data import load_data
from facial_r1.data.drawn import cache_folder, drawn_faces
from facial_r1.errors import InputError

SMALL = {"train": 21, "test": 14, "instructions": 7, "size": 32}


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


def config(cache: str, **options):
    return {
        "kind": "schematic",
        "cache": cache,
        "schematic": SMALL,
        "protocol": {"name": "schematic", "empty_action_units": "absent"},
    } | options


def test_sides_and_amounts(cache):
    data = load_data(config(cache, amount=8, test_amount=0.5))
    assert (len(data.train), len(data.test)) == (8, 7)
    assert not {record.subject for record in data.train} & {record.subject for record in data.test}
    assert data.notes == []


def test_every_face_is_coded_labelled_and_there(cache):
    data = load_data(config(cache))
    assert all(record.AUs is not None and record.labels and Path(record.images[0]).is_file() for record in data.train)
    assert len(data.train.having("description")) == 7


def test_the_second_load_draws_nothing(cache, monkeypatch):
    first = load_data(config(cache)).fingerprint

    def draw(*args, **kwargs):
        raise AssertionError("a face was drawn again")

    monkeypatch.setattr("facial_r1.data.schematic.dataset.draw", draw)
    assert load_data(config(cache)).fingerprint == first


def test_other_settings_lie_beside(cache):
    one, two = (drawn_faces(Schematic(**SMALL, seed=seed), cache) for seed in (0, 1))
    assert one != two and one.parent == two.parent == Path(cache)


def test_a_folder_of_choice(tmp_path):
    folder = drawn_faces(Schematic(**SMALL, folder=str(tmp_path / "mine")))
    assert folder == tmp_path / "mine" and (folder / "train.jsonl").is_file()


def test_files_of_somebody_else_are_not_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match=r"thesis.txt"):
        drawn_faces(Schematic(**SMALL, folder=str(tmp_path / "mine")))


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written to .* Set data.cache or FACIAL_R1_CACHE"):
        drawn_faces(Schematic(**SMALL), str(tmp_path / "file" / "cache"))


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("FACIAL_R1_CACHE", str(tmp_path / "by variable"))
    assert cache_folder("~/x") == Path.home() / "x"
    assert cache_folder() == tmp_path / "by variable"
    monkeypatch.delenv("FACIAL_R1_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "facial_r1"


def _draw(cache: str) -> str:
    return str(drawn_faces(Schematic(**SMALL), cache))


def test_processes_that_start_together_share_one_drawing(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        folders = pool.map(_draw, [str(tmp_path)] * 2, chunksize=1)
    assert len(set(folders)) == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [Path(folders[0]).name]
