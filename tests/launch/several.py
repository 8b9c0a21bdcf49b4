"""A rank that works through several run directories, so that its start is paid once: `-m tests.launch.several <run> ...`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import torch

from facial_r1 import worker
from facial_r1.stages import ranks

_SEED = torch.initial_seed()  # what a fresh process has


def forget() -> None:
    """What the libraries remember of the last trainer's way to share its work; the process group stays."""
    from accelerate.state import AcceleratorState, PartialState
    from transformers.integrations import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState._reset_state()
    for name in [name for name in os.environ if name.startswith(("ACCELERATE_", "FSDP_"))]:
        del os.environ[name]
    torch.manual_seed(_SEED)


def copied(place: Path) -> str:
    """`<folder>/<name>@<step>` from `<folder>/<name>` as it was when its checkpoint of that step had just been written."""
    name, step = place.name.split("@")
    if os.environ["RANK"] == "0":
        shutil.copytree(
            place.with_name(name) / "checkpoints" / f"checkpoint-{step}", place / "checkpoints" / f"checkpoint-{step}"
        )
    ranks.barrier()
    return str(place)


def main() -> int:
    worker._leave_process_group = lambda: None
    for path in sys.argv[1:]:
        if "@" in path:
            path = copied(Path(path))
        code = worker.run(path)
        print(f"several: {path} ended with {code}", file=sys.stderr, flush=True)
        if code:
            return code
        forget()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
