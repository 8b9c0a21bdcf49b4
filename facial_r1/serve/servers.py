"""The servers that there are: what each needs, and how it is started."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from facial_r1.config.schema import Job, OfflineVLLM
from facial_r1.errors import InputError
from facial_r1.launch.automatic import visible_gpus

ENGINES = ("auto", "vllm", "transformers")
_MODULES = {"vllm": ("vllm", "uvicorn", "fastapi"), "transformers": ("transformers", "fastapi", "uvicorn", "openai")}
_EXTRAS = {"vllm": "vllm", "transformers": "serve"}


def pick(engine: str) -> str:
    """The engine that `auto` means here: vLLM where it is installed, else transformers; any other as it is."""
    if engine != "auto":
        return engine
    return "transformers" if lacks("vllm") else "vllm"


def check(engine: str) -> None:
    """Refuse an engine that cannot be started here.

    Raises:
        InputError: It lacks packages; the message says how to install them.
    """
    missing = lacks(engine)
    if missing:
        other = " (Linux with a CUDA GPU). Without it: --engine transformers" if engine == "vllm" else ""
        raise InputError(f"--engine {engine} needs {', '.join(missing)}, not installed here: {install(_EXTRAS[engine])}{other}")


def lacks(engine: str) -> list[str]:
    """Packages that the server of this engine needs and that are not installed."""
    return [name for name in _MODULES[engine] if importlib.util.find_spec(name) is None]


def install(extra: str) -> str:
    """The command that installs an optional part: of the checkout that runs, else of the package."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        return f"{sys.executable} -m pip install --editable '{checkout}[{extra}]'"
    return f"{sys.executable} -m pip install 'facial_r1[{extra}]'"


def command(engine: str, folder: Path, job: Job, host: str, port: int, more: Sequence[str] = ()) -> list[str]:
    """The command line of a server.

    Args:
        engine: "vllm" or "transformers".
        folder: The checkpoint. Its path is the name under which the server knows it.
        job: Precision, length and the settings of `generation.vllm`.
        more: Further options of the server itself; they come last and win.

    Raises:
        InputError: transformers cannot take this path.
    """
    make = _vllm if engine == "vllm" else _transformers
    return [*make(folder, job, host, port), *more]


def _vllm(folder: Path, job: Job, host: str, port: int) -> list[str]:
    settings = job.generation.vllm
    asked = [*_vllm_program(), str(folder)] if _has_entry_point() else [*_vllm_program(), "--model", str(folder)]
    asked += ["--host", host, "--port", str(port), "--dtype", precision(job)]
    length = settings.max_model_length or job.model.max_position
    if length:
        asked += ["--max-model-len", str(length)]
    if visible_gpus() or settings.gpu_memory_utilization != OfflineVLLM().gpu_memory_utilization:
        asked += ["--gpu-memory-utilization", str(settings.gpu_memory_utilization)]
    if settings.tensor_parallel > 1:
        asked += ["--tensor-parallel-size", str(settings.tensor_parallel)]
    if settings.enforce_eager:
        asked += ["--enforce-eager"]
    if job.model.architecture.startswith("qwen"):
        asked += ["--limit-mm-per-prompt", json.dumps({"video": 0})]  # no memory is kept for videos, which nobody sends
    return asked


def _vllm_program() -> list[str]:
    if _has_entry_point():
        return [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve"]
    return [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]


def _has_entry_point() -> bool:
    """Whether `vllm serve` works: it asks for the version of a distribution named vllm, which builds for the CPU are not."""
    try:
        metadata.version("vllm")
    except metadata.PackageNotFoundError:
        return False
    return True


def _transformers(folder: Path, job: Job, host: str, port: int) -> list[str]:
    if "@" in str(folder):
        raise InputError(
            f"{folder}: transformers reads what follows an @ as a revision; rename the folder, or take --engine vllm"
        )
    asked = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)]
    asked += ["--host", host, "--port", str(port), "--dtype", precision(job)]
    asked += ["--device", "cpu" if on_cpu(job) else "auto"]
    if job.model.attention != "auto":
        asked += ["--attn-implementation", job.model.attention]
    return asked


def on_cpu(job: Job) -> bool:
    """Whether the model runs on the CPU."""
    return job.launch.device == "cpu" or not visible_gpus()


def precision(job: Job) -> str:
    """Type of the weights as in an evaluation: the model's own choice, else float32 on a CPU and bfloat16 on a GPU."""
    if job.model.dtype != "auto":
        return job.model.dtype
    return "float32" if on_cpu(job) else "bfloat16"
