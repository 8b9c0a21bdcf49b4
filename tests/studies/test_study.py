"""study.yaml: what is read, what is refused, and the sweep it becomes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.validation import validate
from facial_r1.errors import InputError
from facial_r1.studies import Study, load_study
from facial_r1.studies.running import start_overrides
from tests.command import ROOT

STUDIES = sorted(path.parent.name for path in (ROOT / "experiments").glob("*/study.yaml"))
TREE = {
    "question": "How large?",
    "settings": {"stage": "grpo", "stage.max_steps": 2},
    "vary": {"stage.num_generations": [2, 4]},
    "seeds": [0, 1],
    "figure": {"x_label": "G", "scale": "log", "panels": [{"metric": "reward/mean"}]},
}


def study(folder: Path, **changes: object) -> Study:
    """A study on disk, read; None takes a key away."""
    tree = {key: value for key, value in {**TREE, **changes}.items() if value is not None}
    (folder / "study.yaml").write_text(yaml.safe_dump(tree))
    return load_study(folder)


def test_the_studies_of_the_papers_are_there():
    wanted = {
        "group_size",
        "cold_start_amount",
        "rl_amount",
        "reward_ablation",
        "thinking_mode",
        "synthesis_rounds",
        "freeze_vision",
    }
    assert wanted <= set(STUDIES)


@pytest.mark.parametrize("name", STUDIES)
def test_every_job_of_a_study_validates(name: str):
    found = load_study(ROOT / "experiments" / name)
    if found.start is not None:
        validate(plain(compose_tree(start_overrides(found))))
    for point, seed, overrides in found.jobs():
        if seed == found.seeds[0]:
            job = validate(plain(compose_tree([*found.overrides(), *overrides])))
            assert job.seed == seed, point


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_says_what_it_is_and_what_it_found(name: str):
    folder = ROOT / "experiments" / name
    head = "\n".join((folder / "study.yaml").read_text().splitlines()[:4])
    assert all(word in head for word in ("# What:", f"# Command: python -m facial_r1 -m study=experiments/{name}", "# Cost:"))
    for file in ("README.md", "results.csv", "results.md", "figure.png"):
        assert (folder / file).is_file(), f"{folder / file} is missing: facial-r1 figure experiments/{name}"
    readme = (folder / "README.md").read_text()
    assert (folder / "results.md").read_text().strip() in readme, "the README shows another table than results.md"
    for word in ("**Question.**", "**Cost.**", "**Result.**", "7B", "figure.png", f"facial-r1 figure experiments/{name}"):
        assert word in readme, f"{folder / 'README.md'} does not say {word}"


@pytest.mark.parametrize("name", ["group_size", "cold_start_amount", "rl_amount"])
def test_group_size_and_amounts_have_three_seeds_or_more(name: str):
    assert len(load_study(ROOT / "experiments" / name).seeds) >= 3


def test_one_key_becomes_an_axis_of_the_sweep(tmp_path):
    found = study(tmp_path)
    assert found.sweep() == [
        "stage=grpo",
        "stage.max_steps=2",
        "stage.num_generations=2,4",
        "seed=0,1",
        f"sweep.name={tmp_path.name}",
    ]


def test_points_become_zipped_points_of_the_sweep(tmp_path):
    points = [
        {"name": "a", "settings": {"seed_of": "x y", "stage.steps": ["sft", "grpo"]}},
        {"name": "b", "settings": {"k": None}},
    ]
    found = study(tmp_path, vary=None, points=points)
    assert "sweep.points=[{seed_of:'x y',stage.steps:[sft,grpo]},{k:null}]" in found.sweep()


def test_jobs_are_points_times_seeds(tmp_path):
    names = [(point.name, seed) for point, seed, _ in study(tmp_path).jobs()]
    assert names == [("2", 0), ("2", 1), ("4", 0), ("4", 1)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vary": None}, "either vary"),
        ({"points": [{"name": "a", "settings": {}}]}, "either vary"),
        ({"vary": {"a": [1], "b": [2]}}, "vary holds one key"),
        ({"vary": {"a": []}}, "vary holds one key"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [1, 1]}, "a seed is named twice"),
        ({"settings": {"seed": 3}}, "settings: seed is set by the study"),
        ({"start": {"init_from": "x"}}, "start: init_from is set by the study"),
        ({"question": None}, "question"),
        ({"qestion": "x"}, "did you mean 'question'"),
        ({"figure": {"x_label": "G", "panels": []}}, "figure.panels"),
        (
            {"figure": {"x_label": "G", "panels": [{"metric": "a", "training": True, "models": ["sft"]}]}},
            "leave out models or training",
        ),
        ({"vary": None, "points": [{"name": "a", "settings": {}}, {"name": "a", "settings": {}}]}, "two points share a name"),
    ],
)
def test_what_is_no_study_is_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as found:
        study(tmp_path, **changes)
    assert str(tmp_path / "study.yaml") in str(found.value)


def test_a_misspelt_study_gets_a_suggestion(tmp_path):
    (tmp_path / "group_size").mkdir()
    study(tmp_path / "group_size")
    with pytest.raises(InputError, match="did you mean 'group_size'"):
        load_study(tmp_path / "gruop_size")


def test_an_axis_of_numbers_refuses_words(tmp_path):
    found = study(tmp_path, vary={"prompt": ["brief"]})
    with pytest.raises(InputError, match="needs numbers"):
        found.position(found.compared()[0])
