"""`facial-r1 serve`: the right server with the right options; this process becomes it."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from facial_r1.app import main
from facial_r1.models import tiny
from facial_r1.serve import servers
from tests.command import environment
from tests.test_init_from import finished_run


@pytest.fixture(autouse=True)
def stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the tests does not become a server."""

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"a server would have been started: {arguments[1]}")

    monkeypatch.setattr(os, "execve", refuse)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with the embedded model's files."""
    folder = finished_run(tmp_path / "sft-1", "model=tiny")
    for file in tiny.WEIGHTS.iterdir():
        (folder / "model" / file.name).unlink(missing_ok=True)
        (folder / "model" / file.name).symlink_to(file)
    return folder


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """The command line that `--dry-run` prints."""
    code = main(["serve", "--dry-run", *arguments])
    done = capsys.readouterr()
    assert code == 0, done.err
    return shlex.split(done.out)


def value(command: Sequence[str], option: str) -> str:
    return command[list(command).index(option) + 1]


def test_transformers_gets_folder_precision_and_place(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = planned(
        capsys, f"init_from={run}", "--engine", "transformers", "--port", "8123", "launch.device=cpu", "model.attention=eager"
    )
    assert asked[:5] == [sys.executable, "-m", "transformers.cli.transformers", "serve", str(run / "model")]
    options = {name: value(asked, name) for name in ("--host", "--port", "--dtype", "--device", "--attn-implementation")}
    assert options == {
        "--host": "127.0.0.1",
        "--port": "8123",
        "--dtype": "float32",
        "--device": "cpu",
        "--attn-implementation": "eager",
    }


def test_vllm_gets_its_settings(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["tensor_parallel=2", "max_model_length=900", "enforce_eager=true", "gpu_memory_utilization=0.5"]
    asked = planned(
        capsys, f"init_from={run}", "--engine", "vllm", *(f"generation.vllm.{one}" for one in settings), "--host", "0.0.0.0"
    )
    assert str(run / "model") in asked and "--enforce-eager" in asked and value(asked, "--limit-mm-per-prompt") == '{"video": 0}'
    options = {
        name: value(asked, name) for name in ("--tensor-parallel-size", "--max-model-len", "--gpu-memory-utilization", "--host")
    }
    assert options == {
        "--tensor-parallel-size": "2", "--max-model-len": "900", "--gpu-memory-utilization": "0.5", "--host": "0.0.0.0",
    }  # fmt: skip


@pytest.mark.parametrize("entry_point", [True, False])
def test_vllm_is_started_by_its_own_command_where_that_works(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, entry_point: bool
) -> None:
    monkeypatch.setattr(servers, "_has_entry_point", lambda: entry_point)
    asked = planned(capsys, f"init_from={run}", "--engine", "vllm")
    start = ["vllm.entrypoints.cli.main", "serve"] if entry_point else ["vllm.entrypoints.openai.api_server", "--model"]
    assert asked[2:5] == [*start, str(run / "model")]


def test_the_server_s_own_options_come_last(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = planned(capsys, f"init_from={run}", "--engine", "vllm", "--", "--max-num-seqs", "8", "--dtype", "half")
    assert asked[-4:] == ["--max-num-seqs", "8", "--dtype", "half"]


def test_without_a_run_the_model_itself_is_served(capsys: pytest.CaptureFixture[str]) -> None:
    assert str(tiny.WEIGHTS) in planned(capsys, "--engine", "transformers")


def test_what_is_missing_is_named_with_the_command_that_installs_it(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "lacks", lambda engine: ["uvicorn"] if engine == "transformers" else ["vllm"])
    assert main(["serve", f"init_from={run}"]) == 2
    said = capsys.readouterr().err
    assert (
        "--engine transformers needs uvicorn, not installed here" in said
        and f"{sys.executable} -m pip install" in said
        and "[serve]" in said
    )
    assert main(["serve", f"init_from={run}", "--engine", "vllm"]) == 2
    said = capsys.readouterr().err
    assert "--engine vllm needs vllm" in said and "[vllm]" in said and "Without it: --engine transformers" in said


def test_vllm_is_taken_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "lacks", lambda engine: [])
    assert servers.pick("auto") == "vllm"
    monkeypatch.setattr(servers, "lacks", lambda engine: ["vllm"] if engine == "vllm" else [])
    assert servers.pick("auto") == "transformers" and servers.pick("vllm") == "vllm"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["init_from=nowhere/at/all"], "there is no such folder. Give a run"),
        (["some/run"], "'some/run' is no setting: write init_from=some/run"),
        (["modle=tiny"], "did you mean 'model'"),
        (["--engine", "vlm"], "invalid choice: 'vlm'"),
        (["--port", "x"], "give a number from 1 to 65535"),
        (["--port", "99999"], "give a number from 1 to 65535"),
        (["--engine", "transformers", "--host", "not a host"], "--host not a host"),
    ],
)
def test_what_is_wrong_is_refused_with_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "lacks", lambda engine: [])
    try:
        code = main(["serve", *arguments])
    except SystemExit as stop:
        code = int(str(stop.code))
    assert code == 2 and message in capsys.readouterr().err


def test_a_port_that_is_taken_is_refused_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "lacks", lambda engine: [])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "--engine", "transformers", "--port", str(port)]) == 2
    assert f"--port {port}: Address already in use; choose another port" in capsys.readouterr().err


def test_a_path_that_transformers_would_cut_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "a@b"
    folder.mkdir()
    for file in tiny.WEIGHTS.iterdir():
        (folder / file.name).symlink_to(file)
    assert main(["serve", "--dry-run", "--engine", "transformers", f"init_from={folder}"]) == 2
    assert "rename the folder" in capsys.readouterr().err


def stand_in(tmp_path: Path, program: str, *arguments: str) -> subprocess.Popen[str]:
    """The command in a process of its own, with `program` in the place of the server."""
    code = f"""
import sys
from facial_r1.serve import command, servers
servers.check = lambda engine: None
servers.command = lambda *arguments: [sys.executable, "-c", {program!r}]
raise SystemExit(command.main({list(arguments)!r}))
"""
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_exit_code_is_the_server_s_and_its_use_is_said(tmp_path: Path) -> None:
    port = free_port()
    process = stand_in(tmp_path, "raise SystemExit(7)", "--port", str(port))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 7
    assert (
        f"predict face.jpg generation=openai generation.base_url=http://127.0.0.1:{port}/v1 generation.model={tiny.WEIGHTS}"
        in err
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_server(tmp_path: Path, number: signal.Signals) -> None:
    program = """
import os, signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda got, frame: os._exit(40 + got))
print("ready", flush=True)
time.sleep(60)
"""
    process = stand_in(tmp_path, program, "--port", str(free_port()))
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    began = time.monotonic()
    os.kill(process.pid, number)
    process.communicate(timeout=20)
    assert process.returncode == 40 + number and time.monotonic() - began < 5


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_environment_of_a_server_on_the_cpu(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(servers, "lacks", lambda engine: [])

    def become(program: str, command: list[str], env: dict[str, str]) -> None:
        seen.update(program=program, command=command, env=env)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", become)
    with pytest.raises(SystemExit):
        main(["serve", f"init_from={run}", "launch.device=cpu", "--port", str(free_port())])
    assert seen["program"] == sys.executable and seen["env"]["CUDA_VISIBLE_DEVICES"] == ""
    assert seen["env"]["VLLM_NO_USAGE_STATS"] == "1", "nothing is sent anywhere unless the user says so"
