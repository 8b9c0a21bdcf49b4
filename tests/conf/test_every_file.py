"""Every YAML file under conf/ says what it is for, explains its keys, composes and validates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.validation import validate
from tests.command import ROOT

CONF = ROOT / "conf"
FILES = sorted(path for path in CONF.rglob("*.yaml") if "local" not in path.parts)
EXPECTED = 108

# What an option needs to be complete; everything else must validate as it is.
COMPANIONS = {
    "data/jsonl.yaml": ["data.files=[a.jsonl]"],
    "data/clips.yaml": ["data.files=[a.jsonl]"],
    "data/source.yaml": ["data.source=raf_db"],
    "data/mix.yaml": ["data.sources={faces: {source: raf_db, root: RAF-DB}}"],
}


def test_the_number_of_files_is_known():
    """Found recursively; a new file raises the number here, so that none goes untested by a wrong glob."""
    assert len(FILES) == EXPECTED, [str(path.relative_to(CONF)) for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_composes_and_validates(path: Path):
    group, _, option = str(path.relative_to(CONF).with_suffix("")).partition("/")
    overrides = [f"{group}={option}"] if option else []
    overrides += COMPANIONS.get(str(path.relative_to(CONF)), [])
    data = compose_tree(overrides).data
    if data.kind == "source" or OmegaConf.is_dict(
        data.get("sources")
    ):  # owners' folders are needed wherever such a set is chosen
        overrides += [f"data.root={data.root or '/owner'}"]
    validate(plain(compose_tree(overrides)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_opens_with_purpose_command_and_cost(path: Path):
    head = "\n".join(path.read_text().splitlines()[:12])
    for word in ("# What:", "# Command:", "# Cost:"):
        assert word in head, f"{path} does not say {word}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_has_a_comment_above_each_key(path: Path):
    bare = [f"line {number}: {line}" for number, line in undescribed(path.read_text().splitlines())]
    assert not bare, bare


def undescribed(lines: list[str]) -> list[tuple[int, str]]:
    """Keys without a comment above them. Hydra's own keys, defaults lists and block scalars need none."""
    found, skip_deeper_than = [], None
    for index, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        if skip_deeper_than is not None:
            if indent > skip_deeper_than or line.lstrip().startswith("- "):
                continue
            skip_deeper_than = None
        key = re.match(r"\s*([\w/@.]+):(.*)", line)
        if key is None:
            continue
        if key[1] in ("defaults", "hydra") or key[2].strip() in ("|-", "|", ">-", ">") or (key[2].strip() in ("[", "{")):
            skip_deeper_than = indent
        if key[1] in ("defaults", "hydra"):
            continue
        if index == 0 or not lines[index - 1].lstrip().startswith("#"):
            found.append((index + 1, line))
    return found
