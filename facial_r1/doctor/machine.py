"""What the machine offers: GPUs, cores, memory, disk, network. Nothing here waits longer than a few seconds."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from facial_r1.data.drawn import cache_folder
from facial_r1.doctor.check import Check, Verdict
from facial_r1.doctor.packages import torch_cuda, version_of
from facial_r1.launch.automatic import visible_gpus

_GIB = 1 << 30
_QUERY = "name,memory.total,memory.free,driver_version,compute_cap"
_LEAST_MEMORY, _LEAST_DISK = 4 * _GIB, 5 * _GIB
NETWORK_SECONDS = 2.0
"""How long the hub may take to answer."""


def gpus() -> list[Check]:
    """NVIDIA GPUs, what they can do, and whether this torch can use them."""
    build = torch_cuda()
    listed = _nvidia_smi()
    if not listed:
        blind = visible_gpus() > 0
        meaning = (
            "a GPU device is there, but its driver does not answer"
            if blind
            else "model=tiny runs on the CPU; larger ones need a GPU"
        )
        return [Check("gpu", "gpu", "note" if blind else "missing", "none", meaning, "check nvidia-smi" if blind else "")]
    checks = []
    for number, (name, total, free, driver, capability) in enumerate(listed):
        bf16 = float(capability or 0) >= 8.0
        found = f"{name}, {_mib(free)} of {_mib(total)} free, driver {driver}, {'bfloat16' if bf16 else 'no bfloat16'}"
        meaning = "" if bf16 else "training in bfloat16 is emulated or fails: model.dtype=float32 or float16"
        checks.append(Check("gpu", f"gpu {number}", "ok" if bf16 else "note", found, meaning))
    seen = visible_gpus()
    if seen != len(listed):
        checks.append(
            Check(
                "gpu",
                "visible",
                "note",
                f"{seen} of {len(listed)} (CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')})",
            )
        )
    return [*checks, _torch_on_gpu(build)]


def _torch_on_gpu(build: str | None) -> Check:
    version = version_of("torch") or "missing"
    if build is None:
        fix = "install a torch with CUDA: constraints.txt pins the standard build"
        return Check("gpu", "torch", "broken", f"{version}, built without CUDA", "the GPUs are not used", fix)
    try:
        import torch

        usable = torch.cuda.device_count() if torch.cuda.is_available() else 0
    except (ImportError, OSError, RuntimeError):
        usable = 0
    if usable or not visible_gpus():
        return Check("gpu", "torch", "ok", f"{version}, CUDA {build}, sees {usable}")
    return Check(
        "gpu",
        "torch",
        "broken",
        f"{version}, CUDA {build}, sees none",
        f"the driver is too old for CUDA {build}",
        "update the driver",
    )


def _nvidia_smi() -> list[list[str]]:
    """One list of name, total, free (MiB), driver and compute capability for each GPU; empty without a driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()] if done.returncode == 0 else []
    return [row for row in rows if len(row) == 5]


def _mib(text: str) -> str:
    return f"{int(text) / 1024:.0f} GiB" if text.isdigit() else text


def cores_and_memory() -> list[Check]:
    """CPU cores that this process may use, memory that is free."""
    import psutil

    usable, all_cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        os.cpu_count() or 1,
    )
    threads = f", OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}" if "OMP_NUM_THREADS" in os.environ else ""
    cpu = Check("system", "cpu cores", "ok", f"{usable} of {all_cores}{threads}")
    memory = psutil.virtual_memory()
    limit = _memory_limit()
    total = min(memory.total, limit or memory.total)
    free = min(memory.available, total)
    found = f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
    if free >= _LEAST_MEMORY:
        return [cpu, Check("system", "memory", "ok", found)]
    return [
        cpu,
        Check(
            "system",
            "memory",
            "note",
            found,
            "the demo needs 2 GiB, larger models their weights and more",
            "close other programs",
        ),
    ]


def _memory_limit() -> int | None:
    """What the container allows, in bytes; None without a limit (control groups, version 2 then 1)."""
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            return int(text)
    return None


def disks(outputs: str = "outputs") -> list[Check]:
    """Free space where runs, derived files and downloaded checkpoints go, and whether they can be written."""
    hub = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    places = (
        ("outputs", Path(outputs).expanduser().absolute(), "choose another place: output_root=<folder>", True),
        ("cache", cache_folder(), "choose another place: export FACIAL_R1_CACHE=<folder>", True),
        ("checkpoints", hub, "choose another place: export HF_HOME=<folder>", False),
    )
    return [_disk(*place) for place in places]


def _disk(name: str, folder: Path, fix: str, needed: bool) -> Check:
    there = next((parent for parent in (folder, *folder.parents) if parent.is_dir()), Path("/"))
    bad: Verdict = "broken" if needed else "note"
    try:
        free = shutil.disk_usage(there).free
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Check("disk", name, bad, str(folder), f"cannot be written: {error.strerror or error}", fix)
    found = f"{folder}, {free / _GIB:.0f} GiB free"
    if free >= _LEAST_DISK:
        return Check("disk", name, "ok", found)
    return Check("disk", name, "note", found, "a run of a large model writes tens of GiB", fix)


def network(seconds: float = NETWORK_SECONDS) -> list[Check]:
    """Whether the hub answers. It is needed to download checkpoints only, so that no network breaks nothing."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return [Check("network", "hub", "note", "HF_HUB_OFFLINE is set", "only checkpoints that are here already are found")]
    said = answer_of(lambda: _status(constants.ENDPOINT, seconds), seconds)
    if said is not None and said.isdigit() and int(said) < 500:
        return [Check("network", "hub", "ok", "reachable")]
    reason = f"no answer within {seconds:g} s" if said is None else said
    meaning = "model=tiny needs none; download other checkpoints where there is one and give the folder as init_from"
    return [Check("network", "hub", "missing", f"not reachable ({reason})", meaning)]


def answer_of(ask: Callable[[], str], seconds: float) -> str | None:
    """What `ask` gives within so many seconds, None otherwise; name look-ups keep to no time limit of their own."""
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(ask()), daemon=True)
    thread.start()
    thread.join(seconds)
    return said[0] if said else None


def _status(address: str, seconds: float) -> str:
    import httpx

    try:
        return str(httpx.head(address, timeout=seconds).status_code)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return type(error).__name__
