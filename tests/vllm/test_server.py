"""`generation=openai` against real servers: what `facial-r1 serve` starts answers as the model in this process does.

Greedy text has to be identical. Batches of another size add up in another order, and where two tokens are equally likely to the last
bit the other one may win; on these faces none is (measured: 60 of 60 answers of a trained model are equal with both servers), so no
difference is allowed here. The shim of conftest.py, which keeps weights that are updated, is for training: a server runs without it.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from facial_r1.config.schema import Endpoint, Generation, Sampling
from facial_r1.data.schematic.drawing import draw
from facial_r1.data.schematic.faces import face
from facial_r1.generation.engine import Completion, Request
from facial_r1.generation.openai_engine import OpenAIEngine
from facial_r1.generation.opening import open_engine
from facial_r1.models import tiny
from tests.command import ROOT, command, environment, facial_r1
from tests.vllm import faces

REQUESTS = [Request(f"face-{number}", faces.ask(number), (str(number),)) for number in range(24)]
GREEDY = Sampling(temperature=0.0, max_new_tokens=60)
#: vLLM imports itself twice: 57 s on one idle core, three times as long on one that others use too.
READY_SECONDS = 300
NEEDS = {"transformers": ("uvicorn", "openai"), "vllm": ("uvicorn", "model_hosting_container_standards")}
OPTIONS = {"transformers": [], "vllm": ["generation.vllm.enforce_eager=true", "generation.vllm.max_model_length=512"]}

#: Packages of the server may lie beside the environment of these tests.
PATHS = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}


@pytest.fixture(scope="module")
def local() -> list[Completion]:
    """The answers of the transformers engine in this process."""
    model, processor = faces.load(train=False)
    return open_engine(Generation(), model, processor, faces.open_face, "embedded:tiny").generate(REQUESTS, GREEDY, 0)


@contextmanager
def served(engine: str, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`facial-r1 serve` with the embedded model: its process and address, once it answers. It is stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    asked = command("serve", "--engine", engine, "--port", port, "launch.device=cpu", *OPTIONS[engine])
    with log.open("wb") as stream:
        # A group of its own, so that nothing outlives the test: an engine of vLLM that is killed leaves its workers behind.
        process = subprocess.Popen(
            asked, env=environment(extra=PATHS), stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        wait_for(process, f"http://127.0.0.1:{port}/health", log)
        yield process, f"http://127.0.0.1:{port}/v1"
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, f"the server ended with {process.returncode}:\n{log.read_text()[-3000:]}"
        try:
            if httpx.get(address, timeout=1, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"the server was not ready within {READY_SECONDS} s:\n{log.read_text()[-3000:]}")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_greedy_answers_are_identical(
    engine: str, local: list[Completion], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = [name for name in NEEDS[engine] if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the server needs {', '.join(missing)}: make test-vllm installs tests/vllm/requirements.txt")
    began = time.monotonic()
    with served(engine, tmp_path / "log") as (process, url):
        ready = time.monotonic() - began
        endpoint = Endpoint(base_url=url, model=str(tiny.WEIGHTS), concurrency=4, timeout=60)
        client = OpenAIEngine(endpoint, faces.open_face)
        theirs = client.generate(REQUESTS, GREEDY, 0)
        said = predicted(url, tmp_path) if engine == "transformers" else None  # once is enough
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert process.returncode in (0, -signal.SIGTERM), "the signal reached the server, which ended by itself"
    differing = [(one.text, other.text) for one, other in zip(local, theirs, strict=True) if one.text != other.text]
    with capsys.disabled():
        print(f"\n{engine}: {len(REQUESTS) - len(differing)} of {len(REQUESTS)} identical; ready after {ready:.0f} s")
    assert not differing
    assert [answer.finish_reason for answer in theirs] == [answer.finish_reason for answer in local]
    assert client.counts == {"calls": 24, "answered": 24, "failed": 0}
    assert len({answer.text for answer in local}) > 8, "answers that are all alike show nothing"
    assert said is None or (said["completion"] and said["finish_reason"] == "stop")


def predicted(url: str, folder: Path) -> dict[str, Any]:
    """What `facial-r1 predict` writes about one face when it asks the server."""
    import json

    draw(face(0, 1, range(40))).save(folder / "face.png")
    done = facial_r1(
        "predict", f"{folder}/face.png", "--jsonl", "-", "generation=openai", f"generation.base_url={url}",
        f"generation.model={tiny.WEIGHTS}", "generation.cache=false",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))
