"""Every recipe under conf/experiment composes, validates and says what it would do, on small copies of its data."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from facial_r1.app import main
from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.validation import validate
from tests.command import ROOT
from tests.data.owners import SMALL, face, owners, published
from tests.data.sources import emotion_sets
from tests.metrics.ferbench_cases import question, write

FILES = sorted((ROOT / "conf" / "experiment").rglob("*.yaml"))
RECIPES = [str(path.relative_to(ROOT / "conf" / "experiment").with_suffix("")) for path in FILES]
DRAWN = ["data.schematic.train=64", "data.schematic.test=8", "data.schematic.instructions=32"]


@dataclass(frozen=True)
class Plan:
    """What a recipe needs to be tried out (`{root}` is the folder of all sets), and what its dry run must say."""

    options: tuple[str, ...]
    says: tuple[str, ...]


MEMORY = r"memory \(estimate\): [\d.]+ GiB a GPU \(weights"
"""Of training: what the GPUs hold."""

PLANS: dict[str, Plan] = {
    "demo": Plan(
        (*DRAWN, "stage.amounts.sft=16", "stage.amounts.synthesis=16"),
        (
            r"sft: plan: 16 rows",
            r"16 prompts x 8 completions = 128 a step .* 60 steps",
            r"synthesis: plan: 16 train rows",
            "memory",
        ),
    ),
    "schematic_clips": Plan(
        tuple(DRAWN),
        (
            r"sft: plan: 32 rows, 16 a pass",
            r"16 prompts x 8 completions = 128 a step .* 40 steps",
            "memory",
        ),
    ),
    "facial_r1/sft": Plan(
        ("data.root={root}",),
        (r"plan: 27 rows, 2 a pass x 2 passes x 8 rank\(s\) = 32 rows a step, 2 steps", MEMORY),
    ),
    "facial_r1/grpo": Plan(
        ("data.root={root}", *SMALL),
        (
            r"4 prompts x 8 completions = 32 a step \(4 a pass x 8 ranks x 1 pass\), 14 steps over 57 rows",
            MEMORY,
            "reference model",
        ),
    ),
    "facial_r1/grpo_reasoning_credit": Plan(
        ("data.root={root}", *SMALL), (r"4 prompts x 8 completions = 32 a step .* 14 steps over 57 rows", MEMORY)
    ),
    "facial_r1/grpo_task": Plan(
        ("data.root={root}/RAF-DB-70",),
        (r"32 prompts x 8 completions = 256 a step .* 8 ranks .*, 17 steps over 70 rows", MEMORY),
    ),
    "facial_r1/synthesis": Plan(("data.root={root}", *SMALL), (r"plan: 55 train rows, at most 6 attempts each",)),
    "facial_r1/iterate": Plan(
        ("data.root={root}", "stage.amounts.sft=10"),
        (
            r"base, SFT, then 2 rounds of GRPO, synthesis, SFT; 6 test rows after each",
            r"sft: plan: 10 rows, 2 a pass x 2 passes x 8 rank\(s\) = 32 rows a step",
            r"4 prompts x 8 completions = 32 a step .* 6 steps over 27 rows",
            r"synthesis: plan: 27 train rows",
            MEMORY,
        ),
    ),
    "facial_r1/eval": Plan(("data.root={root}/FER2013",), (r"plan: 7 rows, one answer each of at most 1024 tokens",)),
    "unifer/sft": Plan(
        ("data.root={root}",), (r"plan: 60 rows, 1 a pass x 4 passes x 4 rank\(s\) = 16 rows a step, 8 steps", MEMORY)
    ),
    "unifer/grpo": Plan(("data.root={root}",), (r"28 prompts x 8 completions = 224 a step .* 2 steps over 60 rows", MEMORY)),
    "unifer/eval": Plan(
        ("data.root={root}", "data.options.questions={root}/questions", "data.options.datasets=[rafdb]"),
        (r"plan: 3 questions, one answer each",),
    ),
    "affectgpt_r1/cold_start": Plan(("data=schematic_open", *DRAWN), (r"plan: .* rows a step, \d+ steps", MEMORY)),
    "affectgpt_r1/grpo": Plan(
        ("data=schematic_open", *DRAWN, "data.amount=null"), (r"\d+ prompts x 8 completions = \d+ a step .* steps over", MEMORY)
    ),
    "affectgpt_r1/eval": Plan(("data=schematic_open", *DRAWN), (r"plan: 8 rows",)),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sets of all recipes, a few rows each."""
    folder = published(owners(tmp_path_factory.mktemp("recipes")))
    emotion_sets.raf_db(folder / "RAF-DB-70", train=70)
    rows = {"UniFER_CoT_230K.json": {"question": "Which label fits?", "response": "<think>Up.</think>\n<answer>happy</answer>"},
            "UniFER_RLVR_360K.json": {"problem": "Which label fits?", "solution": "<answer>happy</answer>"}}  # fmt: skip
    paths = [f"/UniFER/train_{number}.jpg" for number in range(60)]
    for path in paths:
        face(folder / path.lstrip("/"))
    for name, row in rows.items():
        (folder / name).write_text(json.dumps([{"image_path": path, **row} for path in paths]))
    asked = [question("rafdb", number) for number in range(3)]
    write(folder / "questions", "rafdb_qa.json", asked)
    for row in asked:
        face(folder / row["image_path"].lstrip("/"))
    return folder


def test_every_recipe_is_tried_out():
    assert set(PLANS) == set(RECIPES), "a new recipe gets a plan here"


@pytest.mark.parametrize("recipe", RECIPES)
def test_composes_and_validates(recipe: str, root: Path):
    options = [option.format(root=root) for option in PLANS[recipe].options]
    job = validate(plain(compose_tree([f"experiment={recipe}", *options])))
    assert job.launch.name in ("auto", "inline")


@pytest.mark.parametrize("recipe", RECIPES)
def test_says_what_it_would_do(
    recipe: str,
    root: Path,
    face_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """On a machine without a GPU: batch arithmetic, steps and memory of the GPUs that the recipe is for."""
    monkeypatch.setenv("FACIAL_R1_CACHE", str(face_cache))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    plan = PLANS[recipe]
    options = [option.format(root=root) for option in plan.options]
    code = main([f"experiment={recipe}", *options, "debug=dry_run", f"output_root={tmp_path}/out"])
    said = capsys.readouterr().err
    assert code == 0, said[-3000:]
    for part in plan.says:
        assert re.search(part, said), f"{part!r} is not in:\n{said[-3000:]}"
    assert not (tmp_path / "out").exists(), "a dry run leaves nothing behind"


@pytest.mark.parametrize(
    "recipe", ["facial_r1/sft", "facial_r1/grpo", "facial_r1/grpo_task", "facial_r1/iterate", "facial_r1/synthesis"]
)
def test_the_tiny_model_takes_what_suits_its_size(recipe: str):
    """`model=tiny` replaces the published values where a model of that size needs others, and nowhere else."""
    large, small = (
        plain(compose_tree([f"experiment={recipe}", "data=schematic", *more]))["stage"] for more in ([], ["model=tiny"])
    )
    changed = {key for key in _flat(large) if _flat(large)[key] != _flat(small)[key]}
    keys = {key.rpartition(".")[2] for key in changed}
    assert keys <= {
        "per_device_batch_size", "gradient_accumulation", "learning_rate", "epochs", "max_new_tokens", "max_steps", "prompts_per_step",
        "max_completion_length", "temperature", "hinted", "sft", "synthesis",
    }  # fmt: skip
    assert changed


def _flat(tree: object, start: str = "") -> dict[str, object]:
    if not isinstance(tree, dict):
        return {start: tree}
    return {
        name: value for key, part in tree.items() for name, value in _flat(part, f"{start}.{key}" if start else str(key)).items()
    }
