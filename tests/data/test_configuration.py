"""The files of `conf/data` say what `load_data` takes."""

from __future__ import annotations

import yaml

from facial_r1.config.paths import conf_dir
from facial_r1.config.schema import Data as DataConfig
from facial_r1.data import load_data, load_protocol


def read(name: str) -> dict:
    return yaml.safe_load((conf_dir() / "data" / f"{name}.yaml").read_text(encoding="utf-8"))


def test_jsonl_with_files_loads(folder):
    folder.faces("a.jsonl", 20)
    values = read("jsonl") | {"files": [str(folder.path / "a.jsonl")], "images": [str(folder.images)]}
    data = load_data(DataConfig(**values))
    assert data.protocol == load_protocol("generic")
    assert len(data.train) + len(data.test) == 20


def test_schematic_names_its_protocol_in_full():
    assert load_protocol(DataConfig(**read("schematic")).protocol) == load_protocol("schematic")
