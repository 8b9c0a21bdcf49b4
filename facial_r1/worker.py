"""Runs one resolved job: `python -m facial_r1.worker <run directory>`. The only entry that ranks execute.

Imports no Hydra: everything a rank needs is in `resolved.yaml`.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from facial_r1 import atomic
from facial_r1.config.resolved import load_resolved
from facial_r1.config.schema import Eval, Job, Prepare, Synthesis
from facial_r1.config.validation import validate
from facial_r1.disk import DiskFull, is_full
from facial_r1.errors import Busy, InputError
from facial_r1.interruption import Interrupted, StopRequest, listening
from facial_r1.launch.environment import AGENT
from facial_r1.launch.ownership import claim, refuse_if_busy
from facial_r1.launch.rank import console_of, die_with, failed_first, first_failure
from facial_r1.runs import RunDirectory, build_report, directory_for, now, write_card

_log = logging.getLogger("facial_r1")


def run(path: str | Path, console: TextIO | None = None) -> int:
    """Run the job of the run directory `path` as this process's rank.

    Of several ranks that fail, the first one says why and writes it to `status.json`; what the others have to say, most often
    that a peer is gone, is in their logs.

    Args:
        path: The run directory.
        console: Where the person watching is told; standard error by default.

    Returns:
        0 done; 1 failed (traceback in the rank's log); 2 refused for its input; 130, 143, ... interrupted.
        `status.json` says the same.
    """
    folder = RunDirectory(Path(path))
    here = _Rank(folder, int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")), console or sys.stderr)
    log_file = _open_log(folder, here.number)
    began = time.time()
    fresh = not folder.status().get("started")
    stop = StopRequest()
    try:
        job = validate(load_resolved(folder.resolved))
        with listening() as stop:
            if here.number == 0:
                _claim(folder)
            quiet_libraries(job)
            from facial_r1.stages import context, run_stage

            summary = run_stage(context.open_context(folder, job, stop))
            if here.number == 0:
                _finish(folder, summary, began)
        if job.debug.dry_run and job.launch.name == "slurm":
            from facial_r1.launch.slurm import script

            print(script(directory_for(load_resolved(folder.resolved)), job), flush=True)
        return 0
    except Busy as error:
        if here.ranks == 1 or failed_first(folder.logs, here.number, str(error)):
            here.say(str(error))
        return 2
    except InputError as error:
        return here.fail("refused" if fresh else "failed", str(error).splitlines()[0], 2, str(error))
    except (Interrupted, KeyboardInterrupt) as error:
        return here.interrupted(error.number if isinstance(error, Interrupted) else 2)
    except Exception as error:  # the boundary of the process: log it whole, show one line
        if is_full(error):
            return here.out_of_space(error)
        _log.error("%s", traceback.format_exc())
        if here.ranks > 1 and _peer_is_gone(error):
            if stop.number is not None:
                return here.interrupted(stop.number)  # the others have stopped already
            if here.another_failed(stop):
                return 1
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        log = folder.logs / f"rank{here.number}.log"
        return here.fail("failed", reason, 1, f"failed: {reason} (traceback in {log})")
    finally:
        logging.getLogger().removeHandler(log_file)
        log_file.close()
        _leave_process_group()


@dataclass(frozen=True)
class _Rank:
    """One rank, and how it ends."""

    folder: RunDirectory
    number: int
    ranks: int
    console: TextIO

    def say(self, text: str) -> None:
        print(f"facial_r1: {text}", file=self.console, flush=True)

    def fail(self, state: str, reason: str, code: int, text: str) -> int:
        """Say it and write it down, unless another rank has failed before."""
        if self.ranks == 1 or failed_first(self.folder.logs, self.number, reason):
            self.say(text)
            self._write(state, reason, code)
        return code

    def another_failed(self, stop: StopRequest, patience: float = 5.0) -> bool:
        """Wait for the rank that is gone to have said why, or for the agent to end this one, which then says it."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if first_failure(self.folder.logs) is not None or stop.number is not None:
                return True
            time.sleep(0.05)
        return False

    def interrupted(self, number: int) -> int:
        if self.number == 0 and (self.ranks == 1 or first_failure(self.folder.logs) is None):
            self.say("interrupted; the same command continues")
            self._write("interrupted", f"signal {number}", 128 + number)
        return 128 + number

    def out_of_space(self, error: Exception) -> int:
        """A checkpoint that was cut off goes, which makes room for the line in status.json that says why."""
        full = error if isinstance(error, DiskFull) else DiskFull("a file of the run", self.folder.path)
        text = str(full)  # before anything is taken away, so that it says what was free
        if self.number == 0 and self.folder.checkpoints.is_dir():
            from facial_r1.training.arguments import last_checkpoint

            last_checkpoint(self.folder.checkpoints, clean=True)
        _log.error("%s", "".join(traceback.format_exception(error)))
        return self.fail("failed", text, 1, text)

    def _write(self, state: str, reason: str, code: int) -> None:
        try:
            self.folder.update_status(state=state, ended=now(), reason=reason, exit_code=code)
        except OSError as error:  # a full disk; a run that says "running" without a process continues like one that was killed
            _log.error("status.json could not be written: %s", error)


def _peer_is_gone(error: BaseException) -> bool:
    """Whether an error is that of a rank whose peers have left."""
    words = (
        "Connection closed by peer",
        "Connection reset by peer",
        "Broken pipe",
        "connectionAborted",
        "remote process exited",
        "gloo",
        "NCCL",
    )
    return type(error).__name__.startswith("Dist") or any(word in str(error) for word in words)


def _finish(folder: RunDirectory, summary: dict[str, Any] | None, began: float) -> None:
    """Write what a finished run has. The card comes before the state: a finished run is not looked at again."""
    if summary:
        folder.write_summary({**summary, "seconds": round(time.time() - began, 1)})
        write_card(folder)
    folder.update_status(state="finished", ended=now(), reason=None, exit_code=0)
    if summary:
        build_report(folder)


def _claim(folder: RunDirectory) -> None:
    """Mark the run as ours, and clear away what a killed process was writing; refuse when another live process works in it."""
    refuse_if_busy(folder)
    atomic.remove_leftovers(folder.path)
    claim(folder, started=folder.status().get("started") or now())


def quiet_libraries(job: Job) -> None:
    """Keep the libraries' banners and advice off the console unless `debug.verbose`."""
    if job.debug.verbose or not needs_model(job):
        return
    import warnings

    import torch
    import transformers

    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed announces that it found nothing better
    transformers.utils.logging.disable_progress_bar()

    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("DS_LOG_LEVEL", "error")
    warnings.filterwarnings("ignore", module=r"torch\.|transformers\.|trl\.|accelerate\.|peft\.|deepspeed\.")
    for name in ("transformers", "trl", "accelerate", "deepspeed", "DeepSpeed", "torch", "datasets"):
        logging.getLogger(name).setLevel(logging.ERROR)


def needs_model(job: Job) -> bool:
    """Whether the job loads weights. Preparing data, scoring answers that are there already, and asking a server do without torch."""
    asks_a_server = isinstance(job.stage, (Eval, Synthesis)) and job.generation.name == "openai" and job.launch.world == 1
    return not (asks_a_server or isinstance(job.stage, Prepare) or (isinstance(job.stage, Eval) and job.stage.predictions))


def _open_log(folder: RunDirectory, rank: int) -> logging.Handler:
    folder.logs.mkdir(parents=True, exist_ok=True)
    handler = _RankLog(folder.logs / f"rank{rank}.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    _log.setLevel(logging.INFO)
    _log.propagate = True
    for console in logging.getLogger().handlers:
        if console is not handler and isinstance(console, logging.StreamHandler):
            console.setLevel(logging.WARNING)
            console.addFilter(lambda record: record.name != "facial_r1" or record.levelno < logging.ERROR)
    return handler


class _RankLog(logging.FileHandler):
    """A rank's log. A line that does not fit on a full disk is lost; the console is told about the disk once, elsewhere."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if error is None or not is_full(error):
            super().handleError(record)

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            if not is_full(error):
                raise


def _leave_process_group() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized() and "RANK" in os.environ:
        torch.distributed.destroy_process_group()


def _as_rank(path: str) -> int:
    """Run as a rank of torchrun. An interruption is no failure to the agent, which would end the other ranks before their
    checkpoint; what is wrong with the input is one, so that none of them waits for a rank that is gone."""
    die_with(AGENT)
    console = console_of(RunDirectory(Path(path)).logs / f"rank{os.environ['RANK']}.log", int(os.environ["RANK"]))
    code = run(path, console)
    return code if code in (1, 2) else 0


if __name__ == "__main__":
    raise SystemExit(_as_rank(sys.argv[1]) if "RANK" in os.environ else run(sys.argv[1]))
