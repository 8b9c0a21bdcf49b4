"""A process that has imported everything and forks one child for each command line: a run without the seconds of importing.

Talks in JSON lines: `{"start": [arguments], "env": {...}, "cwd": folder, "out": file, "err": file}` answers `{"pid": n}`;
`{"poll": n}` answers `{"code": n}`, null while the child runs, negative for the signal that ended it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import Any


def preload() -> None:
    """Import what the stages import on their way. Nothing here may start a thread."""
    import datasets  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import peft  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401

    import facial_r1.app
    import facial_r1.models
    import facial_r1.report
    import facial_r1.stages.evaluation
    import facial_r1.stages.fitting
    import facial_r1.stages.grpo
    import facial_r1.stages.pipeline
    import facial_r1.stages.sft
    import facial_r1.stages.synthesis
    import facial_r1.training.grpo
    import facial_r1.training.sft  # noqa: F401


def start(order: dict[str, Any]) -> int:
    """Fork; the child runs the application in a session of its own. Returns the child's process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        for place, name in ((1, "out"), (2, "err")):
            handle = os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(handle, place)
        os.close(0)
        os.environ.clear()
        os.environ.update(order["env"])
        os.chdir(order["cwd"])
        sys.argv = ["facial_r1", *order["start"]]
        from facial_r1.app import main

        code = main(order["start"])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    with contextlib.redirect_stdout(sys.stderr):  # libraries greet there
        preload()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at pytest is pytest's
    print(json.dumps({"ready": os.getpid()}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "start" in order:
            print(json.dumps({"pid": start(order)}), flush=True)
        else:
            pid, status = os.waitpid(order["poll"], os.WNOHANG)
            code = None if pid == 0 else -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            print(json.dumps({"code": code}), flush=True)


if __name__ == "__main__":
    main()
