"""Runs one resolved job: `python -m facial_r1.worker <run directory>`. The only entry that ranks execute.

Imports no Hydra: everything a rank needs is in `resolved.yaml`.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
import traceback
from pathlib import Path

from facial_r1.config.resolved import load_resolved
from facial_r1.config.schema import Eval, Job, Prepare
from facial_r1.config.validation import validate
from facial_r1.errors import Busy, InputError
from facial_r1.interruption import Interrupted, listening
from facial_r1.runs import RunDirectory, build_report, now, write_card

_log = logging.getLogger("facial_r1")


def run(path: str | Path) -> int:
    """Run the job of the run directory `path` as this process's rank.

    Returns:
        0 done; 1 failed (traceback in the rank's log); 2 refused for its input; 130, 143, ... interrupted.
        `status.json` says the same.
    """
    folder = RunDirectory(Path(path))
    rank = int(os.environ.get("RANK", "0"))
    log_file = _open_log(folder, rank)
    began = time.time()
    fresh = folder.state() in ("", "created")
    try:
        job = validate(load_resolved(folder.resolved))
        with listening() as stop:
            if rank == 0:
                _claim(folder)
            quiet_libraries(job)
            from facial_r1.stages import context, run_stage

            summary = run_stage(context.open_context(folder, job, stop))
        if rank == 0:
            if summary:
                folder.write_summary({**summary, "seconds": round(time.time() - began, 1)})
            folder.update_status(state="finished", ended=now(), reason=None, exit_code=0)
            if summary:
                build_report(folder)
                write_card(folder)
        return 0
    except Busy as error:
        print(f"facial_r1: {error}", file=sys.stderr, flush=True)
        return 2
    except InputError as error:
        if rank == 0:
            print(f"facial_r1: {error}", file=sys.stderr, flush=True)
        return _end(folder, rank, "refused" if fresh else "failed", str(error).splitlines()[0], 2)
    except (Interrupted, KeyboardInterrupt) as error:
        number = error.number if isinstance(error, Interrupted) else 2
        if rank == 0:
            print("facial_r1: interrupted; the same command continues", file=sys.stderr, flush=True)
        return _end(folder, rank, "interrupted", f"signal {number}", 128 + number)
    except Exception as error:  # the boundary of the process: log it whole, show one line
        _log.error("%s", traceback.format_exc())
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        print(f"facial_r1: failed: {reason} (traceback in {folder.logs / f'rank{rank}.log'})", file=sys.stderr, flush=True)
        return _end(folder, rank, "failed", reason, 1)
    finally:
        logging.getLogger().removeHandler(log_file)
        log_file.close()
        _leave_process_group()


def _end(folder: RunDirectory, rank: int, state: str, reason: str, code: int) -> int:
    if state == "interrupted" and folder.state() == "failed":
        return code  # another rank fell over and took this one with it
    if rank == 0 or state == "failed":
        folder.update_status(state=state, ended=now(), reason=reason, exit_code=code)
    return code


def _claim(folder: RunDirectory) -> None:
    """Mark the run as ours; refuse when another live process on this machine works in it."""
    import psutil

    status = folder.status()
    owner = status.get("process") or {}
    if status.get("state") == "running" and owner.get("host") == socket.gethostname():
        try:
            if psutil.Process(owner["pid"]).create_time() == owner.get("began") and owner["pid"] != os.getpid():
                raise Busy(f"{folder.path}: process {owner['pid']} is working on this run; wait for it or stop it")
        except psutil.NoSuchProcess:
            pass
    me = psutil.Process()
    folder.update_status(
        state="running",
        started=status.get("started") or now(),
        reason=None,
        exit_code=None,
        process={"pid": me.pid, "began": me.create_time(), "host": socket.gethostname()},
    )


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
    """Whether the job loads weights; preparing data and scoring answers that are there already do without torch."""
    return not isinstance(job.stage, Prepare) and not (isinstance(job.stage, Eval) and job.stage.predictions)


def _open_log(folder: RunDirectory, rank: int) -> logging.Handler:
    folder.logs.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder.logs / f"rank{rank}.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    _log.setLevel(logging.INFO)
    _log.propagate = True
    for console in logging.getLogger().handlers:
        if console is not handler and isinstance(console, logging.StreamHandler):
            console.setLevel(logging.WARNING)
            console.addFilter(lambda record: record.name != "facial_r1" or record.levelno < logging.ERROR)
    return handler


def _leave_process_group() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized() and "RANK" in os.environ:
        torch.distributed.destroy_process_group()


def _as_rank(path: str) -> int:
    """Run as a rank of torchrun. Ends that are told elsewhere (status.json, one line) are no failures to the launcher,
    which would print a traceback of its own."""
    from facial_r1.launch.torchrun import die_with_parent

    die_with_parent()
    code = run(path)
    return code if code == 1 else 0


if __name__ == "__main__":
    raise SystemExit(_as_rank(sys.argv[1]) if "RANK" in os.environ else run(sys.argv[1]))
