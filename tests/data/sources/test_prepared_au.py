"""Action unit datasets through the whole way: owner's folders, preparation, rows by the set's own protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.validation import validate
from facial_r1.data.load import load_data
from facial_r1.data.sources import find
from tests.command import ROOT
from tests.data.sources import layouts_au as layouts
from tests.data.sources.test_faba import LISTS

FRAMES = [{12: 2}, {4: 3}, {}]


def disfa(root: Path) -> None:
    layouts.disfa(root, {"SN002": FRAMES, "SN013": FRAMES, "SN003": FRAMES})


def bp4d(root: Path) -> None:
    tasks: dict[tuple[str, str], dict[int, dict[int, int]]] = {
        (subject, "T1"): {1: {12: 1}, 2: {6: 9}, 3: {}} for subject in ("F001", "M011", "F007")
    }
    layouts.bp4d(root, tasks)


def gft(root: Path) -> None:
    layouts.gft(root, {person: [[0] * 10, [1] * 10] for person in ("001A", "001B", "002A", "002C")})


def raf_au(root: Path) -> None:
    rows = {f"{number:04d}": "4+L12+25+39" for number in range(20)}
    layouts.raf_au(root, rows, dict.fromkeys(rows, (0.0, 0.0, 0.0, 1.0, 0.0, 0.0)))


def faba(root: Path) -> None:
    layouts.faba(root, LISTS)


def ck_plus(root: Path) -> None:
    layouts.ck_plus(root, {f"S{number:03d}_001": (2, {12: 3}, 5) for number in range(4)})


def fea_20k(root: Path) -> None:
    for name, image in (("DISFA-Train-3-gpt_stage1", "LeftVideoSN001_comp_0019.jpg"), ("RAF-AU-Test", "0012_aligned.jpg")):
        layouts.fea_file(root / f"{name}.jsonl", [layouts.fea_row(image, ["AU12"], "happiness")])
        layouts.picture(root / "pictures" / image)


def settings(name: str, root: Path, cache: Path, **more: Any) -> Any:
    overrides = [
        f"data={name}",
        f"data.root={root}",
        f"data.cache={cache}",
        *(f"data.{key}={value}" for key, value in more.items()),
    ]
    return validate(plain(compose_tree(overrides))).data


@pytest.mark.parametrize(
    ("write", "more", "train", "test"),
    [
        (disfa, {"fold": 0}, 6, 3),
        (bp4d, {"fold": 2}, 4, 2),
        (gft, {"split.test": 0.25}, 6, 2),
        (faba, {}, 2, 2),
        (ck_plus, {"split.test": 0.25}, 3, 1),
        (fea_20k, {}, 1, 1),
    ],
)
def test_sides(tmp_path: Path, write: Callable[[Path], None], more: dict[str, Any], train: int, test: int) -> None:
    root = tmp_path / "owner"
    write(root)
    data = load_data(settings(write.__name__, root, tmp_path / "cache", **more))
    assert (len(data.train), len(data.test)) == (train, test)


def test_raf_au_is_split_by_the_reader(tmp_path: Path) -> None:
    raf_au(tmp_path / "owner")
    data = load_data(settings("raf_au", tmp_path / "owner", tmp_path / "cache"))
    assert len(data.train) + len(data.test) == 20
    assert 0 < len(data.test) < 10


def test_a_fold_is_the_people_of_the_protocol(tmp_path: Path) -> None:
    disfa(tmp_path / "owner")
    data = load_data(settings("disfa", tmp_path / "owner", tmp_path / "cache", fold=1))
    assert {record.subject for record in data.test} == {"SN013"}


def test_coded_without_unit_survives_the_cache(tmp_path: Path) -> None:
    disfa(tmp_path / "owner")
    data = load_data(settings("disfa", tmp_path / "owner", tmp_path / "cache", fold=0))
    assert [record.AUs for record in data.test] == [("AU12",), ("AU4",), ()]


@pytest.mark.parametrize("name", ["disfa", "bp4d", "gft", "raf_au", "faba", "ck_plus", "fea_20k"])
def test_the_configuration_names_every_option_with_its_default(name: str) -> None:
    tree = plain(compose_tree([f"data={name}", "data.root=/x"]))
    assert tree["data"]["options"] == dict(find(name).options)
    assert (ROOT / f"facial_r1/data/protocols/{name}.yaml").is_file()
