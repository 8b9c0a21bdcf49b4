"""`facial-r1 ls`: everything that can be chosen is listed, in one line."""

from __future__ import annotations

import fnmatch
import json
import subprocess
import sys

import pytest

from facial_r1 import rewards
from facial_r1.app import main
from facial_r1.config.paths import options
from facial_r1.data.protocol import shipped_protocols
from facial_r1.listing.entries import FIGURES, KINDS, header, summary
from facial_r1.metrics.evaluate import evaluate
from facial_r1.metrics.wheel import wheel_metrics
from tests.command import environment

WANTED = ["data", "experiments", "metrics", "models", "prompts", "protocols", "rewards", "stages"]


def listed(capsys: pytest.CaptureFixture[str], kind: str) -> list[dict[str, object]]:
    assert main(["ls", kind, "--json"]) == 0
    return list(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("kind", WANTED)
def test_each_entry_is_one_line_with_a_purpose(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    entries = listed(capsys, kind)
    assert main(["ls", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [entry["name"] for entry in entries] and entries
    assert all(len(str(entry["what"])) > 8 for entry in entries), entries


@pytest.mark.parametrize("kind", ["models", "experiments", "data", "prompts", "stages"])
def test_every_file_of_a_group_is_there_with_command_and_cost(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    entries = listed(capsys, kind)
    group = kind if kind == "data" else kind.removesuffix("s")
    assert [entry["name"] for entry in entries] == options(group)
    assert not [entry["name"] for entry in entries if not (entry["command"] and entry["cost"])]


def test_every_protocol_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert {entry["name"] for entry in listed(capsys, "protocols")} == {*options("protocol"), *shipped_protocols()}


def test_every_reward_is_there_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    entries = {entry["name"]: entry for entry in listed(capsys, "rewards")}
    assert sorted(entries) == rewards.names()
    assert "vocabulary" in entries["au"]["options"] and entries["au"]["bound"] == 1.0  # type: ignore[operator]


def test_every_figure_of_an_evaluation_belongs_to_a_listed_family() -> None:
    row = {"id": "1", "AUs": ["AU4"], "labels": ["anger"], "description": "<think>AU4.</think><answer>anger</answer>"}
    found = evaluate([row["description"]], [row], ["AU4"], ["anger"], resamples=0, compat=True, rege_task="emotion").metrics
    patterns = [pattern for _, figures in FIGURES.values() for pattern in figures]
    lost = [
        name for name in (*found, "wheel/hit", "reward/mean") if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    ]
    assert not lost and wheel_metrics


def test_kinds_are_listed_without_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(KINDS) == WANTED and main(["ls"]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == list(KINDS)


@pytest.mark.parametrize(
    ("kind", "message"), [("reward", "reward: no such kind; did you mean 'rewards'?"), ("zzz", "there is: data, experiments")]
)
def test_an_unknown_kind_is_refused(kind: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", kind]) == 2
    assert message in capsys.readouterr().err


def test_headers_may_go_on_over_several_lines() -> None:
    text = "# @package x\n# What:    one\n#          two.\n# Command: run\n#\n# More about it.\n# Cost:    none.\nkey: 1\n# What: no\n"
    assert header(text) == {"what": "one two.", "command": "run", "cost": "none."}
    assert header("key: 1\n# What: no") == {}


def test_docstrings_are_cut_after_their_first_paragraph() -> None:
    assert summary("One\n  line.\n\nMore.") == "One line." and summary(None) == ""


def test_a_terminal_gets_columns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["ls", "models"]) == 0
    out = capsys.readouterr().out
    assert "tiny" in out and "stage=grpo model=tiny" in out and "\t" not in out


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from facial_r1.app import main; main(['ls', 'data']); main(['ls', 'rewards']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "False"
