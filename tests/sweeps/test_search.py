"""Points chosen by optuna: the space in Hydra's grammar, and a search that goes on where it was cut off."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from facial_r1.errors import InputError
from facial_r1.sweeps.expand import parse
from facial_r1.sweeps.search import Axis, space
from tests.command import ROOT, command
from tests.sweeps.conftest import acting

NEEDED = ["optuna", "sqlalchemy", "alembic", "mako", "colorlog"]


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("interval(0,1)", Axis("float", low=0.0, high=1.0)),
        ("int(interval(1,5))", Axis("int", low=1, high=5)),
        ("tag(log, interval(1e-6,1e-3))", Axis("float", low=1e-6, high=1e-3, log=True)),
        ("range(2,10,2)", Axis("int", low=2, high=8, step=2)),
        ("range(0,0.5,0.1)", Axis("float", low=0, high=0.4, step=0.1)),
        ("choice(a,b)", Axis("choice", choices=("a", "b"))),
        ("4,8", Axis("choice", choices=("4", "8"))),
    ],
)
def test_the_space_is_read_from_hydras_grammar(text, axis):
    (found,) = space(parse([f"key={text}"], search=True)).values()
    assert (found.kind, found.choices, found.log) == (axis.kind, axis.choices, axis.log)
    assert (found.low, found.high, found.step) == (axis.low, pytest.approx(axis.high), axis.step)


@pytest.mark.parametrize("text", ["interval(1,0)", "tag(log, interval(0,1))", "range(3,3)"])
def test_an_empty_space_is_refused(text):
    with pytest.raises(InputError, match="key"):
        space(parse([f"key={text}"], search=True))


def test_values_are_written_as_hydra_reads_them():
    assert [Axis("int").text(3.0), Axis("float").text(1e-6), Axis("choice").text("tiny")] == ["3", "1e-06", "tiny"]


@pytest.fixture(scope="module")
def optuna(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with optuna and what it needs."""
    folder = tmp_path_factory.mktemp("optuna")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", str(folder), *NEEDED],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"optuna cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    return folder


def test_without_optuna_it_says_what_to_install(sweep, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = sweep("sweep.optuna.trials=2", "seed=int(interval(1,9))")
    assert done.code == 2 and 'pip install "facial_r1[optuna]"' in done.err


def test_an_interrupted_search_goes_on_as_it_would_have(optuna, common, tmp_path):
    """Cut off in its third trial, then asked for four: the same four trials as a search that was never cut off."""

    def run(name: str, trials: int, seeds: dict[str, str]) -> tuple[int, list[tuple[str, ...]], str]:
        settings = [f"sweep.name={name}", f"sweep.optuna.trials={trials}", "seed=int(interval(1,1000))", "stage.resamples=0"]
        env = acting(seeds, optuna)
        done = subprocess.run(command("-m", *common, *settings), cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        file = tmp_path / "out/sweeps" / name / "sweep.json"
        jobs = json.loads(file.read_text())["jobs"] if file.is_file() else []
        return done.returncode, [tuple(job["point"]) for job in jobs], done.stderr

    code, whole, err = run("whole", 4, {})
    assert code == 0 and len(set(whole)) == 4, err
    third = whole[2][0].removeprefix("seed=")
    assert run("cut", 4, {third: "kill"})[0] == -9
    code, cut, err = run("cut", 4, {})
    assert code == 0 and cut == whole, err
    assert "2 done" in err and sum("facial_r1: starting" in line or "continuing" in line for line in err.splitlines()) == 2
    assert (tmp_path / "out/sweeps/cut/sweep.csv").read_text().count("finished") == 4
