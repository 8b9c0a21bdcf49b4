"""`facial-r1 doctor`: what is there and what is not; 1 only when something needed is broken."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from facial_r1.app import main
from facial_r1.doctor import machine, packages
from facial_r1.doctor.check import Check
from tests.command import environment

SMI = "NVIDIA A, 81559, 80000, 580.10, 9.0\nNVIDIA B, 15000, 14000, 580.10, 7.5\n"


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_this_environment_is_sound(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    began = time.monotonic()
    assert main(["doctor", "--json", "--outputs", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] and time.monotonic() - began < 60
    names = {check["name"]: check for check in found["checks"]}
    wanted = ["python", "platform", "cpu cores", "memory", "outputs", "cache", "hub", "torch", "transformers", "trl", "pydantic"]
    wanted += ["vllm", "flash-attn", "deepspeed", "wandb", "chromium", "serve"]
    assert not set(wanted) - set(names)
    assert not [check for check in found["checks"] if check["verdict"] == "missing" and not check["meaning"]]


def test_people_get_verdict_meaning_and_fix(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [
        Check("system", "python", "ok", "3.11"),
        Check("packages", "torch", "broken", "2.0", "too old", "pip install torch"),
    ]
    monkeypatch.setattr("facial_r1.doctor.command.examine", lambda outputs: checks)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "broken  torch   2.0" in out and "too old" in out and "fix: pip install torch" in out and "1 broken" in out


def test_a_wrong_version_and_a_missing_package_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [Requirement("numpy>=99"), Requirement("no-such-thing>=1"), Requirement("pillow>=1")]
    monkeypatch.setattr(packages, "_requirements", lambda extra: wanted)
    found = by_name(packages.required())
    assert [found[name].verdict for name in ("numpy", "no-such-thing", "pillow")] == ["broken", "broken", "ok"]
    assert ">=99" in found["numpy"].meaning and "pip install 'numpy>=99'" in found["numpy"].fix


def test_an_optional_part_that_is_missing_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "version_of", lambda name: "0.1.0" if name == "facial_r1" else None)
    monkeypatch.setattr(packages, "lacks", lambda engine: ["uvicorn"])
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    checks = packages.optional()
    assert {check.verdict for check in checks} == {"missing"}
    assert all(check.meaning and check.fix for check in checks)


def test_a_torch_that_cannot_be_imported_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (found,) = packages._imports([Check("packages", "torch", "ok", "2.13.0")])
    assert found.verdict == "broken" and "no model can be loaded" in found.meaning and "force-reinstall torch" in found.fix


def test_a_folder_that_cannot_be_written_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        machine.tempfile, "TemporaryFile", lambda dir: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    found = by_name(machine.disks(str(tmp_path / "runs")))
    assert found["outputs"].verdict == "broken" and "output_root=" in found["outputs"].fix
    assert found["cache"].verdict == "broken" and "FACIAL_R1_CACHE" in found["cache"].fix
    assert found["checkpoints"].verdict == "note", "only large models need it"


def test_a_folder_that_is_not_there_yet_is_fine(tmp_path: Path) -> None:
    assert by_name(machine.disks(str(tmp_path / "a" / "b")))["outputs"].verdict == "ok"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [("200", "ok"), ("307", "ok"), ("503", "missing"), ("ConnectError", "missing")],
)
def test_no_network_is_no_fault(monkeypatch: pytest.MonkeyPatch, answer: str, verdict: str) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(machine, "_status", lambda address, seconds: answer)
    (found,) = machine.network()
    assert found.verdict == verdict and (verdict == "ok" or "model=tiny needs none" in found.meaning)


def test_a_network_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(machine, "_status", lambda address, seconds: time.sleep(30) or "200")  # a look-up of a name that hangs
    began = time.monotonic()
    (found,) = machine.network(0.2)
    assert time.monotonic() - began < 5 and "no answer within 0.2 s" in found.found


def gpus_as_told(monkeypatch: pytest.MonkeyPatch, said: str, build: str | None, sees: int) -> dict[str, Check]:
    done = subprocess.CompletedProcess([], 0, stdout=said)
    monkeypatch.setattr(machine.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(machine.subprocess, "run", lambda *arguments, **options: done)
    monkeypatch.setattr(machine, "torch_cuda", lambda: build)
    monkeypatch.setattr(machine, "visible_gpus", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: sees > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: sees)
    return by_name(machine.gpus())


def test_gpus_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    found = gpus_as_told(monkeypatch, SMI, "13.0", 2)
    assert found["gpu 0"] == Check("gpu", "gpu 0", "ok", "NVIDIA A, 78 GiB of 80 GiB free, driver 580.10, bfloat16")
    assert found["gpu 1"].verdict == "note" and "no bfloat16" in found["gpu 1"].found and "model.dtype" in found["gpu 1"].meaning
    assert found["torch"].verdict == "ok" and "CUDA 13.0, sees 2" in found["torch"].found


@pytest.mark.parametrize(("build", "fix"), [(None, "a torch with CUDA"), ("13.0", "update the driver")])
def test_gpus_that_torch_cannot_use_are_broken(monkeypatch: pytest.MonkeyPatch, build: str | None, fix: str) -> None:
    found = gpus_as_told(monkeypatch, SMI, build, 0)
    assert found["torch"].verdict == "broken" and fix in found["torch"].fix


def test_no_gpu_is_said_and_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    monkeypatch.setattr(machine, "visible_gpus", lambda: 0)
    (found,) = machine.gpus()
    assert (found.verdict, found.found) == ("missing", "none") and "model=tiny runs on the CPU" in found.meaning


def test_importing_the_command_is_light() -> None:
    code = "import sys, facial_r1.doctor.command; print(any(name in sys.modules for name in ('torch', 'numpy', 'httpx', 'psutil', 'rich')))"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
