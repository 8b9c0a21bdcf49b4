"""Every command of the README runs, on small amounts; what needs a GPU is planned by a dry run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from facial_r1 import commands
from facial_r1.data.schematic.drawing import draw
from facial_r1.data.schematic.faces import face
from tests.command import ROOT, SMALL, facial_r1, run_directory
from tests.data.media.made import tone, write_video
from tests.data.sources.emotion_sets import raf_db
from tests.metrics import ferbench_cases

TEXT = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", TEXT, flags=re.S)
    for line in block.splitlines()
    if line.strip() and not line.startswith("#")
]
MAKE = [line for line in COMMANDS if line.startswith("make ")]
OURS = [line for line in COMMANDS if line.startswith("python -m facial_r1")]
# Commands that are no job: they leave no run directory.
USES = [line for line in OURS if line.split()[3] in set(commands.names()) - {"prepare"}]
JOBS = [line for line in OURS if line not in USES]

# What makes a command short without changing what it is about.
QUICK = {
    "grpo": ["stage.max_steps=1", "stage.prompts_per_step=2", "stage.max_completion_length=24", "stage.eval_rows=4"],
    "sft": ["stage.max_steps=2", "stage.eval_rows=4"],
}


def test_every_command_is_one_we_know():
    assert sorted(MAKE + OURS) == sorted(COMMANDS) and OURS


@pytest.mark.parametrize("line", MAKE)
def test_make_targets_exist(line):
    assert re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text(), flags=re.M)


@pytest.mark.slow
@pytest.mark.parametrize("line", JOBS)
def test_the_command_runs(line, tmp_path, face_cache, cold_start):
    arguments = shlex.split(line)[3:]
    settings = dict(item.split("=", 1) for item in arguments if "=" in item)
    stage = settings.get("stage", "" if "experiment" in settings else "grpo")
    extra = [f"output_root={tmp_path}/out", *SMALL, *QUICK.get(stage, [])]
    if settings.get("init_from") == "latest":
        give_a_finished_run(tmp_path / "out", cold_start)
    if settings.get("data") == "raf_db":
        raf_db(tmp_path / "RAF-DB")
        arguments = [item.replace("/datasets", str(tmp_path)) for item in arguments]
        extra = [item for item in extra if item not in SMALL]
    if "stage.predictions" in settings:
        ferbench_cases.write(tmp_path / "results", "rafdb_results.json", ferbench_cases.results("rafdb", 8))
        extra = [f"output_root={tmp_path}/out"]
    if settings.get("data") == "jsonl":
        write_own_data(tmp_path)
        extra = [f"output_root={tmp_path}/out", *QUICK.get(stage, []), "data.split.test=0.25", f"init_from={cold_start}"]
    elif settings.get("data") == "clips":
        write_own_clips(tmp_path)
        extra = [f"output_root={tmp_path}/out", "data.split.test=0.25"]
    elif settings.get("model", "tiny") != "tiny" or "experiment" in settings:
        extra.append("debug=dry_run")  # the weights of a large model are not here; recipes run in tests of their own
    elif stage == "grpo" and "init_from" not in settings and "-m" not in arguments:
        extra.append(f"init_from={cold_start}")
    if "data.amount" in settings:  # the sweep, of two jobs; one of six is in tests/test_loop.py
        extra += ["data.amount=16", "stage.num_generations=2,4"]
        arguments = [item for item in arguments if not item.startswith(("data.amount", "stage.num_generations"))]
    done = facial_r1(*arguments, *extra, cwd=tmp_path, cache=face_cache, timeout=600)
    if "debug=dry_run" in extra:
        assert done.returncode == 0, done.stderr[-2000:]
        assert "completions" in done.stderr or "plan" in done.stderr
    else:
        assert run_directory(done).is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("line", USES)
def test_the_command_that_is_no_job_runs(line, tmp_path, cold_start):
    """On drawn faces, with a run of seconds; what would become a server says how it would start."""
    arguments = shlex.split(line)[3:]
    faces = tmp_path / "faces"
    faces.mkdir()
    for place, number in ((tmp_path / "face.jpg", 0), (faces / "1.jpg", 1), (faces / "2.jpg", 2)):
        draw(face(0, number, range(40))).save(place, quality=95)
    if "init_from=latest" in arguments:
        give_a_finished_run(tmp_path / "out", cold_start)
        arguments.append(f"output_root={tmp_path}/out")
    if arguments[0] == "serve":
        arguments += ["--dry-run", "--engine", "transformers"]
    done = facial_r1(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    written = tmp_path / "predicted.jsonl"
    assert done.stdout.strip() or len(written.read_text().splitlines()) == 2


def give_a_finished_run(root: Path, cold_start: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "earlier").symlink_to(cold_start)


def write_own_clips(folder: Path) -> None:
    rows = []
    for number in range(8):
        write_video(folder / f"{number}.mp4", 8, size=(64, 48), sound=tone(0.8))
        rows.append({"id": f"r{number}", "dataset": "mine", "video": f"{number}.mp4", "audio": "video", "question": "", "AUs": None,
                     "labels": ["happiness"], "description": "", "meta_info": {}, "subject": f"s{number}", "transcript": "Look."})  # fmt: skip
    (folder / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_own_data(folder: Path) -> None:
    from PIL import Image

    (folder / "faces").mkdir()
    rows = []
    for number in range(8):
        Image.new("RGB", (90, 120), (20 * number, 90, 90)).save(folder / "faces" / f"{number}.jpg")
        rows.append({"id": f"r{number}", "dataset": "mine", "image": f"{number}.jpg", "question": "", "AUs": ["AU12"], "labels": ["happiness"],
                     "description": "", "meta_info": {}, "subject": f"s{number}"})  # fmt: skip
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
