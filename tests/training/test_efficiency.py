"""The switches and their report."""

from __future__ import annotations

import pytest

from facial_r1.training.efficiency import Efficiency


def test_all_are_on_unless_something_is_in_the_way() -> None:
    report = Efficiency(share_prompt=False).resolve({"load_once": "an iterable dataset", "share_vision": None})
    assert report["load_once"] == "off: an iterable dataset"
    assert report["share_prompt"] == "off: switched off"
    assert [name for name, state in report.items() if state == "on"] == [
        name for name in report if name not in ("load_once", "share_prompt")
    ]


def test_none_and_only() -> None:
    assert set(Efficiency.none().resolve({}).values()) == {"off: switched off"}
    assert Efficiency.only("load_once") == Efficiency(**{name: name == "load_once" for name in Efficiency().resolve({})})


def test_the_configuration_has_the_same_switches() -> None:
    schema = pytest.importorskip("facial_r1.config.schema")
    assert set(schema.Efficiency.__annotations__) == set(Efficiency().resolve({}))
