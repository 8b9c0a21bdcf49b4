"""torchrun's elastic agent without its tracebacks: `python -m facial_r1.launch.agent <run directory> [torchrun options]`.

What went wrong is said by the rank that failed. Only where a rank could not say anything (killed from outside, a crash of a
library) the agent says which one it was, and where its log is.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facial_r1.launch.environment import AGENT, LAUNCHER
from facial_r1.launch.rank import die_with, failed_first

#: Signals that ask for a checkpoint. They are the ranks' business, which get them from the application.
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
#: Exit code of an agent that did not find the other nodes in time.
NOT_MET = 3


def main(argv: Sequence[str]) -> int:
    """Run the ranks of this node. Returns 0 when all ended in order, 1 when one failed, 3 when the nodes did not meet."""
    die_with(LAUNCHER)
    os.environ[AGENT] = str(os.getpid())
    for number in ASKING:  # a batch system signals every process of a job, and the ranks need the agent until they have ended
        signal.signal(number, _leave_to_the_ranks)
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError
    from torch.distributed.run import parse_args, run

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # importing it has set up handlers of its own
    run_directory, *options = argv
    try:
        run(parse_args([*options, "--signals-to-handle=SIGHUP,SIGQUIT", "--module", "facial_r1.worker", run_directory]))
    except ChildFailedError as error:
        _tell(Path(run_directory) / "logs", error)
        return 1
    except SignalException as error:
        return 128 + int(error.sigval)
    except (RendezvousError, DistError) as error:
        logging.getLogger("facial_r1").debug("%s", error)
        return NOT_MET
    return 0


def _leave_to_the_ranks(number: int, frame: Any) -> None:
    """A handler, not SIG_IGN, which the ranks would inherit and be deaf until they have handlers of their own."""


def _tell(logs: Path, error: Any) -> None:
    """Say which rank was killed or crashed, unless a rank has said why it failed."""
    rank, failure = error.get_first_failure()
    code = failure.exitcode
    if -code in ASKING:
        return  # asked to stop before it could listen; nothing was lost
    if code < 0:
        name = signal.Signals(-code).name
        reason = f"rank {rank} was ended by {name}" + (" (out of memory?)" if -code == signal.SIGKILL else "")
    else:
        reason = f"rank {rank} ended with code {code}"
    if failed_first(logs, rank, reason):
        print(f"facial_r1: failed: {reason}; its log is {logs / f'rank{rank}.log'}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
