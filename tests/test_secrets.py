"""Secrets stay out of everything a run leaves behind, and out of the repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from facial_r1 import app
from tests.command import ROOT, SMALL, environment, facial_r1, run_directory
from tests.generation.fake_server import serving

KEY = "planted-key-4f9d02c7"
ENTITY = "planted-entity-77ab"
PASSWORD = "planted-word-e21c"  # pragma: allowlist secret


def places(folder: Path) -> list[str]:
    """Every file below a folder that holds a planted secret, and which."""
    secrets = {"key": KEY, "entity": ENTITY, "password": PASSWORD}
    return [
        f"{name} in {path.relative_to(folder)}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for name, secret in secrets.items()
        if secret.encode() in path.read_bytes()
    ]


@pytest.fixture(scope="module")
def planted() -> dict[str, str]:
    """Secrets where people keep them: keys of services, and values that the configuration takes from the environment."""
    return {
        "OPENAI_API_KEY": KEY,
        "WANDB_API_KEY": KEY + "0" * 24,
        "HF_TOKEN": KEY,
        "PLANTED_ENTITY": ENTITY,
        "PLANTED_PROXY": f"http://me:{PASSWORD}@127.0.0.1:9",
        "WANDB_MODE": "offline",
    }


def test_a_finished_run_holds_no_secret(tmp_path, face_cache, planted):
    with serving(lambda body, asked: None, lambda body, index: "<think>AU12</think><answer>happiness</answer>") as server:
        done = facial_r1(
            "stage=eval", *SMALL, "data.test_amount=8", "generation=openai", f"generation.base_url={server.url}",
            "generation.model=fake", "generation.api_key_env=OPENAI_API_KEY", "generation.cache=false", "tracker=wandb",
            "tracker.mode=offline", "tracker.entity=${oc.env:PLANTED_ENTITY}", f"output_root={tmp_path / 'out'}",
            cache=face_cache, env=planted,
        )  # fmt: skip
    run = run_directory(done)
    assert any(KEY in str(headers) for _, headers, _ in server.seen), "the key never reached the server, so nothing was tried"
    left = [
        place for place in places(run) if not (place.startswith("entity") and "wandb" in place)
    ]  # the entity is wandb's own field
    assert not left, left
    assert KEY not in done.stdout + done.stderr
    assert ENTITY not in (run / "resolved.yaml").read_text()
    assert "${oc.env:PLANTED_ENTITY}" in (run / "resolved.yaml").read_text()


def test_a_failed_run_holds_no_secret(tmp_path, face_cache, planted, monkeypatch, capfd):
    """In this process: nothing of a failure depends on how the application was started."""
    for name, value in {**planted, "FACIAL_R1_CACHE": str(face_cache)}.items():
        monkeypatch.setenv(name, value)
    with serving(lambda body, asked: (401, {}, b'{"error": {"message": "bad key"}}'), lambda body, index: "") as server:
        code = app.main(
            [
                "stage=eval", *SMALL, "data.test_amount=8", "generation=openai", f"generation.base_url={server.url}",
                "generation.model=fake", "generation.api_key_env=OPENAI_API_KEY", "generation.cache=false", "generation.retries=0",
                "run_name=${oc.env:PLANTED_ENTITY,x}", f"run_dir={tmp_path / 'run'}",
            ]
        )  # fmt: skip
        assert any(KEY in str(headers) for _, headers, _ in server.seen), "the key never reached the server, so nothing was tried"
    said = capfd.readouterr()
    assert code != 0
    assert KEY not in said.out + said.err
    assert not places(tmp_path), places(tmp_path)


def options() -> list[str]:
    """The options that the Makefile gives to the scan."""
    line = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "detect-secrets-hook" in line)
    return line.split("detect-secrets-hook", 1)[1].split()


def test_lint_finds_every_planted_secret(tmp_path):
    """The scan of `make lint`, over one file for each kind of secret."""
    pytest.importorskip("detect_secrets", reason="detect-secrets is not installed (pip install 'facial_r1[dev]')")
    lines = {
        "key": "wandb_api_key = '" + "5f" * 20 + "'",
        "token": "HF_TOKEN=hf_" + "aB3dE5fG7h" * 3,
        "address": "url: https://me:" + "swordfish9@example.org/",
        "certificate": "-----BEGIN RSA " + "PRIVATE KEY-----",
    }
    files = [tmp_path / f"{name}.env" for name in lines]
    for file, line in zip(files, lines.values(), strict=True):
        file.write_text(line + "\n")
    scan = [sys.executable, "-m", "detect_secrets.pre_commit_hook", *options()]
    done = subprocess.run([*scan, *map(str, files)], cwd=ROOT, capture_output=True, text=True, env=environment(), check=False)
    missed = [file.name for file in files if file.name not in done.stdout + done.stderr]
    assert done.returncode == 1 and not missed, f"not found: {missed}\n{done.stdout}{done.stderr}"
