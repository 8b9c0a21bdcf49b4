"""What the launcher does for its ranks, with an agent and ranks that import nothing: signals, ends, verdicts, owners."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from facial_r1 import worker
from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.schema import Job
from facial_r1.config.validation import validate
from facial_r1.errors import Busy
from facial_r1.launch import launch, nodes, ownership, rank, torchrun
from facial_r1.launch.environment import AGENT, LAUNCHER
from facial_r1.runs import RunDirectory
from tests.command import ROOT

#: An agent that starts one rank and ends as it does. A rank notes the signals that it gets, and ends once it has them all.
AGENT_OF_ONE = """
import subprocess, sys
sys.exit(subprocess.run([sys.executable, "-S", "-c", sys.argv[1], *sys.argv[2:]], start_new_session=True).returncode % 256)
"""
LISTENING = """
import signal, sys, time
run, wanted = sys.argv[1], int(sys.argv[2])
got = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda number, frame: got.append(int(number)))
open(run + "/ready", "w").close()
while len(set(got)) < wanted:
    time.sleep(0.01)
open(run + "/got", "w").write(str(sorted(set(got))))
"""
DEAF = """
import signal, subprocess, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)
below = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], start_new_session=True)
open(sys.argv[1] + "/below", "w").write(str(below.pid))
open(sys.argv[1] + "/ready", "w").close()
time.sleep(60)
"""
FAILING = """
import json, signal, sys, time
def fail(number, frame):
    file = sys.argv[1] + "/status.json"
    status = {**json.load(open(file)), "state": "failed", "reason": "the disk is full", "exit_code": 1}
    open(file, "w").write(json.dumps(status))
    sys.exit(1)
signal.signal(signal.SIGUSR1, fail)
open(sys.argv[1] + "/ready", "w").close()
time.sleep(60)
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run directory that was just made."""
    found = RunDirectory(tmp_path / "a run")
    found.logs.mkdir(parents=True)
    found.update_status(state="created")
    return found


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    """A signal that comes too late for the code under test ends no pytest."""
    previous = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


def job(*overrides: str) -> Job:
    return validate(plain(compose_tree(["stage=sft", "launch=torchrun", "launch.device=cpu", *overrides])))


def with_agent(monkeypatch: pytest.MonkeyPatch, run: RunDirectory, code: str, *arguments: str) -> None:
    """Replace the agent by one line of Python and what it is given."""
    line = [sys.executable, "-S", "-c", code, *arguments, *([str(run.path)] if not arguments else [])]
    monkeypatch.setattr(torchrun, "command", lambda *given: line)


def with_rank(monkeypatch: pytest.MonkeyPatch, run: RunDirectory, code: str, *arguments: str) -> None:
    with_agent(monkeypatch, run, AGENT_OF_ONE, code, str(run.path), *arguments)


def signalled(*numbers: int, when: Callable[[], bool] = lambda: True) -> None:
    """Send this process signals as soon as `when` holds."""

    def send() -> None:
        end = time.monotonic() + 20
        while not when() and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.15)  # the launcher has looked at its ranks
        for number in numbers:
            os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_each_signal_reaches_the_rank_and_is_the_exit_code(monkeypatch, run, number):
    with_rank(monkeypatch, run, LISTENING, "1")
    signalled(number, when=(run.path / "ready").exists)
    assert launch(run, job()) == 128 + number
    assert (run.path / "got").read_text() == str([int(number)])
    assert (run.state(), run.status()["exit_code"]) == ("interrupted", 128 + number)


def test_slurms_warning_wins_over_the_sigterm_that_comes_with_it(monkeypatch, run):
    """Else a job that is preempted would not be put back into the queue."""
    with_rank(monkeypatch, run, LISTENING, "2")
    signalled(signal.SIGTERM, signal.SIGUSR1, when=(run.path / "ready").exists)
    assert launch(run, job()) == 128 + signal.SIGUSR1


def test_what_does_not_listen_is_ended_after_the_grace_period_with_all_that_it_started(monkeypatch, run):
    with_rank(monkeypatch, run, DEAF)
    signalled(signal.SIGTERM, when=(run.path / "ready").exists)
    assert launch(run, job("launch.grace_seconds=0.5")) == 128 + signal.SIGTERM
    below = int((run.path / "below").read_text())
    assert not psutil.pid_exists(below) or psutil.Process(below).status() == psutil.STATUS_ZOMBIE


def test_before_there_is_a_rank_nothing_is_waited_for(monkeypatch, run):
    with_agent(monkeypatch, run, "import sys, time; open(sys.argv[1] + '/ready', 'w').close(); time.sleep(60)")
    began = time.monotonic()
    signalled(signal.SIGUSR1, when=(run.path / "ready").exists)
    assert launch(run, job("launch.grace_seconds=50")) == 128 + signal.SIGUSR1
    assert time.monotonic() - began < 20


def test_a_rank_that_fails_while_it_stops_has_failed(monkeypatch, run):
    """A full disk under the checkpoint: requeued, the job would come to the same end again and again."""
    with_rank(monkeypatch, run, FAILING)
    signalled(signal.SIGUSR1, when=(run.path / "ready").exists)
    assert launch(run, job()) == 1
    assert (run.state(), run.status()["reason"]) == ("failed", "the disk is full")


def test_what_an_earlier_start_said_is_no_verdict_on_this_one(monkeypatch, run):
    run.update_status(state="failed", reason="the data were wrong", exit_code=2)
    with_agent(monkeypatch, run, "import sys; sys.exit(1)")
    assert launch(run, job()) == 1
    assert "the ranks ended with code 1" in run.status()["reason"]


def test_the_run_is_taken_before_the_ranks_have_started(monkeypatch, run):
    """The agent here is another command on the same directory: 0 where it is refused. A rank of this start is not."""
    other = (
        "import os, sys\nfrom pathlib import Path\nfrom facial_r1.errors import Busy\nfrom facial_r1.launch.ownership import refuse_if_busy\n"
        "from facial_r1.runs import RunDirectory\nrun = RunDirectory(Path(sys.argv[1]))\nrefuse_if_busy(run)\n"
        f"del os.environ[{LAUNCHER!r}]\ntry:\n    refuse_if_busy(run)\nexcept Busy:\n    run.update_status(seen=True)\n"
    )  # fmt: skip
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(torchrun, "command", lambda *given: [sys.executable, "-c", other, str(run.path)])
    launch(run, job())
    assert run.status().get("seen")


def test_a_clock_that_was_set_right_does_not_hide_an_owner(run):
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as other:
        ownership.claim(run)
        owner = {**run.status()["process"], "pid": other.pid, "began": psutil.Process(other.pid).create_time() + 1.0}
        run.update_status(process=owner)
        with pytest.raises(Busy):
            ownership.refuse_if_busy(run)
        other.kill()


def test_waiting_for_the_first_node_ends_with_a_signal(run):
    two = job("launch.nodes=2", "launch.rendezvous=node0:29500", "launch.node_rank=1", "launch.join_seconds=30")
    before = signal.getsignal(signal.SIGINT)
    signalled(signal.SIGINT, when=lambda: signal.getsignal(signal.SIGINT) is not before)
    began = time.monotonic()
    assert launch(run, two) == 130 and time.monotonic() - began < 20


def test_the_last_word_of_another_node_may_come_late(monkeypatch, run):
    """Its ranks ended in order, and the file system still shows the run as running: the other node has written `finished`."""
    run.update_status(state="running")
    threading.Timer(1.0, lambda: run.update_status(state="finished", exit_code=0)).start()
    (run.logs / nodes.ANNOUNCEMENT).write_text("{}")
    with_agent(monkeypatch, run, "pass")
    assert launch(run, job("launch.nodes=2", "launch.rendezvous=node0:29500", "launch.node_rank=1")) == 0


def test_a_rank_left_in_the_shell_makes_no_rank_of_a_job_in_this_process(monkeypatch, run):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "ACCELERATE_USE_FSDP"):
        monkeypatch.setenv(name, "1")
    seen: list[str] = []
    monkeypatch.setattr(worker, "run", lambda path: seen.extend(os.environ) or 0)
    assert launch(run, validate(plain(compose_tree(["stage=sft", "launch=inline"])))) == 0
    assert not {"RANK", "LOCAL_RANK", "MASTER_ADDR", "ACCELERATE_USE_FSDP"} & set(seen)


def test_a_rank_whose_agent_is_gone_already_ends_at_once():
    code = f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); from facial_r1.launch import rank; rank.die_with({AGENT!r}); print('on')"
    for parent, said in ((os.getpid(), b"on\n"), (1, b"")):
        env = {**os.environ, AGENT: str(parent)}
        assert subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, check=False).stdout == said


@pytest.mark.parametrize(("code", "to_the_agent"), [(0, 0), (1, 1), (2, 2), (130, 0), (138, 0), (143, 0)])
def test_the_agent_ends_the_other_ranks_of_one_that_failed_and_of_none_that_was_asked_to_stop(
    monkeypatch, tmp_path, code, to_the_agent
):
    monkeypatch.setenv("RANK", "0")
    for name in ("run", "die_with", "console_of"):
        monkeypatch.setattr(worker, name, lambda *given: code)
    assert worker._as_rank(str(tmp_path)) == to_the_agent


@pytest.mark.parametrize(("address", "here"), [("127.0.1.1", True), ("::1", True), ("192.0.2.7", False), ("2001:db8::7", False)])
def test_a_name_that_leads_to_loopback_is_this_machine(monkeypatch, address, here):
    monkeypatch.setattr("socket.getaddrinfo", lambda *given: [(2, 1, 6, "", (address, 0))])
    assert nodes.is_here("node0") is here


def test_only_the_first_failure_counts(tmp_path):
    assert rank.failed_first(tmp_path, 1, "why") and not rank.failed_first(tmp_path, 0, "because of it")
    assert (rank.first_failure(tmp_path) or {})["rank"] == 1
