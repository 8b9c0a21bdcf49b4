"""Datasets of several owners in one mix: each row is asked and scored by the protocol of its own dataset."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from facial_r1 import rewards
from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.schema import Job
from facial_r1.config.validation import validate
from facial_r1.data import Data, Record, load_data
from facial_r1.errors import InputError
from facial_r1.interruption import StopRequest
from facial_r1.metrics.evaluate import evaluate
from facial_r1.runs import RunDirectory
from facial_r1.stages.context import Context
from facial_r1.stages.material import chat, reward_options
from tests.data.owners import SMALL, face, owners, published

DISFA_UNITS = {f"AU{number}" for number in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The owners' folders, in `datasets`, and a cache beside them."""
    folder = tmp_path_factory.mktemp("mix")
    published(owners(folder / "datasets"))
    return folder


def job(roots: Path, *overrides: str, recipe: str = "facial_r1/grpo") -> Job:
    where = [f"experiment={recipe}", f"data.root={roots}/datasets", f"data.cache={roots}/cache"]
    return validate(plain(compose_tree([*where, *(SMALL if recipe == "facial_r1/grpo" else ()), *overrides])))


@pytest.fixture(scope="module")
def stage2(roots: Path) -> Data:
    return load_data(job(roots).data)


def first(data: Data, dataset: str, side: str = "train") -> Record:
    return next(record for record in getattr(data, side) if record.dataset == dataset)


def context(tmp_path: Path, job: Job) -> Context:
    return Context(RunDirectory(tmp_path), job, StopRequest())


def prompt_of(tmp_path: Path, job: Job, data: Data, dataset: str, **options: Any) -> str:
    return str(chat(context(tmp_path, job), first(data, dataset), data, **options)[-1]["content"][-1]["text"])


# --- rows ------------------------------------------------------------------------------------------------------------


def test_each_source_gives_its_amount(stage2: Data):
    rows = {row["source"]: row["rows"] for row in stage2.train.table()}
    assert rows == {"faba": 8, "bp4d": 6, "disfa": 4, "raf_au": 24, "affectnet": 8, "raf_db": 7}


def test_the_published_amounts_add_up():
    tree = plain(compose_tree(["data=facial_r1_stage2", "data.root=/x"]))["data"]["sources"]
    amounts = {name: one["amount"] for name, one in tree.items() if name != "fer2013"}
    assert amounts.pop("raf_au") is None, "all of the train side, 3,491 rows in the published file"
    assert sum(amounts.values()) + 3491 == 11_923


def test_classes_are_balanced_as_the_recipe_says(stage2: Data):
    table = {row["source"]: row["labels"] for row in stage2.train.table()}
    assert set(table["affectnet"].values()) == {1} and len(table["affectnet"]) == 8
    assert set(table["raf_db"].values()) == {1} and len(table["raf_db"]) == 7


def test_a_set_for_testing_is_on_the_test_side_alone(stage2: Data):
    assert sum(record.dataset == "FER2013" for record in stage2.test) == 7
    assert not any(record.dataset == "FER2013" for record in stage2.train)


def test_folds_divide_the_people_of_their_own_set(stage2: Data):
    people = {
        (side, record.dataset): {r.subject for r in getattr(stage2, side) if r.dataset == record.dataset}
        for side in ("train", "test")
        for record in getattr(stage2, side)
    }
    assert people["train", "DISFA"] <= {"SN001", "SN002"} and people["test", "DISFA"] <= {"SN024", "SN025"}
    assert people["test", "BP4D"] == {"F001"} and people["train", "BP4D"] <= {"F003", "F007"}


def test_test_amounts_are_those_of_their_source(stage2: Data):
    rows = {row["source"]: row["rows"] for row in stage2.test.table()}
    assert (rows["disfa"], rows["bp4d"], rows["affectnet"], rows["raf_db"]) == (2, 2, 8, 7)


def test_repeats_of_a_balanced_source_are_counted_and_said(roots: Path):
    data = load_data(job(roots, "data.sources.bp4d.amount=20").data)
    row = next(row for row in data.train.table() if row["source"] == "bp4d")
    assert (row["available"], row["rows"], row["repeats"]) == (16, 20, 4)
    assert "amount of bp4d: 4 of 20 rows are repeats, to balance action units" in data.notes


def test_a_source_that_is_null_is_left_out(roots: Path):
    data = load_data(job(roots, "data.sources.bp4d=null").data)
    assert "BP4D" not in {record.dataset for record in data.train}


def test_the_ids_of_the_test_side_do_not_depend_on_the_train_side(roots: Path, stage2: Data):
    alone = load_data(job(roots).data, need=("test",))
    assert [record.id for record in alone.test] == [record.id for record in stage2.test]
    assert not alone.train


def test_files_may_stand_beside_owners_folders(roots: Path, tmp_path: Path):
    import json

    face(tmp_path / "mine.png")
    row = {"id": "mine", "dataset": "mine", "image": "mine.png", "question": "", "AUs": [], "labels": ["awe"], "description": ""}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    own = f"{{files: [{tmp_path}/rows.jsonl], split: train, protocol: {{name: generic, labels: [awe, anger]}}}}"
    sources = f"{{mine: {own}, raf: {{source: raf_db, root: RAF-DB}}}}"
    tree = compose_tree(["data=mix", f"data.root={roots}/datasets", f"data.cache={roots}/cache", f"data.sources={sources}"])
    data = load_data(validate(plain(tree)).data)
    assert data.protocol_of(first(data, "mine")).labels == ("awe", "anger")
    assert data.protocol_of(first(data, "RAF-DB")).name == "raf_db"
    assert data.protocol.labels is not None and "awe" in data.protocol.labels


# --- every row by its own protocol --------------------------------------------------------------------------------------


def test_disfa_rows_ask_for_no_emotion(roots: Path, tmp_path: Path, stage2: Data):
    text = prompt_of(tmp_path, job(roots), stage2, "DISFA")
    assert "the codes of the action units" in text
    assert "anger" not in text and "happiness" not in text


def test_raf_db_rows_list_their_seven_emotions_in_their_own_order(roots: Path, tmp_path: Path, stage2: Data):
    text = prompt_of(tmp_path, job(roots), stage2, "RAF-DB")
    assert "one of: surprise, fear, disgust, happiness, sadness, anger, neutral." in text


def test_affectnet_rows_offer_contempt_and_raf_au_rows_six_emotions(roots: Path, tmp_path: Path, stage2: Data):
    assert "contempt" in prompt_of(tmp_path, job(roots), stage2, "AffectNet")
    assert "one of: surprise, fear, disgust, happiness, sadness, anger." in prompt_of(tmp_path, job(roots), stage2, "RAF-AU")


def test_definitions_are_those_of_the_datasets_units(roots: Path, tmp_path: Path, stage2: Data):
    text = prompt_of(tmp_path, job(roots), stage2, "DISFA")
    listed = {line.split(":")[0].removeprefix("- ") for line in text.splitlines() if line.startswith("- AU")}
    assert listed == DISFA_UNITS


def test_the_compat_prompt_lists_the_emotions_of_all_files_in_grpo(roots: Path, tmp_path: Path, stage2: Data):
    text = prompt_of(tmp_path, job(roots, "prompt=facial_r1_compat"), stage2, "DISFA", training=True)
    assert "dict_keys(['anger', 'contempt', 'disgust', 'fear', 'happiness', 'neutral', 'sadness', 'surprise'])" in text


@pytest.mark.parametrize(("dataset", "value"), [("DISFA", 1.0), ("RAF-AU", 2 / 3)])
def test_the_reward_counts_only_units_that_the_dataset_annotates(
    roots: Path, tmp_path: Path, stage2: Data, dataset: str, value: float
):
    """AU10 is right or wrong where RAF-AU's experts coded it, and neither where DISFA's did not."""
    options = reward_options(context(tmp_path, job(roots)), stage2)["au"]
    row = dataclasses.replace(first(stage2, dataset), AUs=("AU12",)).to_json()
    text = "<think>The lip corners rise (AU12), the upper lip too (AU10).</think><answer>AU12</answer>"
    assert rewards.score("au", [text], [row], **options) == [pytest.approx(value)]


def test_figures_count_only_units_that_the_dataset_annotates(stage2: Data):
    rows = [dataclasses.replace(first(stage2, name), AUs=("AU12",), id=name).to_json() for name in ("DISFA", "RAF-AU")]
    text = "<think>The lip corners rise (AU12), the upper lip too (AU10).</think><answer>happiness</answer>"
    found = evaluate([text, text], rows, stage2.protocol.vocabulary, stage2.protocol.labels or (), 0, annotated=stage2.annotated)
    assert found.metrics["au/micro_f1"]["value"] == pytest.approx(2 * 2 / (2 * 2 + 1)), "AU10 is wrong once, for RAF-AU"
    assert found.metrics["au/set_f1"]["value"] == pytest.approx((1 + 2 / 3) / 2)
    assert found.metrics["au/outside_vocabulary"]["value"] == pytest.approx(1 / 4)


def test_the_whole_runs_over_the_classes_and_units_of_all_sets(stage2: Data):
    assert stage2.protocol.labels == ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    assert set(stage2.protocol.action_units) > DISFA_UNITS and "AU43" in stage2.protocol.action_units


def test_uncoded_rows_are_none_and_coded_rows_without_unit_are_empty(roots: Path):
    data = load_data(job(roots).data)
    assert all(record.AUs is None for record in data.train if record.dataset in ("AffectNet", "RAF-DB"))
    assert all(record.AUs is not None for record in data.train if record.dataset in ("BP4D", "DISFA"))


# --- the published annotations ----------------------------------------------------------------------------------------------


def test_stage_1_takes_the_published_rows_of_eight_sets(roots: Path):
    data = load_data(job(roots, recipe="facial_r1/sft").data)
    assert len(data.train) == 27 and {record.dataset for record in data.train} == {
        "FABA-Instruct", "RAF-AU", "DISFA", "BP4D", "ExpW", "FER2013", "AffectNet", "RAF-DB",
    }  # fmt: skip
    assert {record.dataset for record in data.test} == {"FABA-Instruct", "RAF-AU", "DISFA"}
    assert all(record.description for record in data.train)


def test_stage_1_tells_how_many_rows_the_published_files_hold(roots: Path):
    data = load_data(job(roots, recipe="facial_r1/sft").data)
    assert "faba: train: 4 rows where the owner's lists hold 5826" in data.notes


def test_the_published_counts_add_up():
    from facial_r1.data.sources.fea_20k import COUNTS

    assert sum(count["train"] for count in COUNTS.values()) == 17_737
    assert sum(count.get("test", 0) for count in COUNTS.values()) == 1_688


def test_of_the_published_rows_of_disfa_its_twelve_units_are_scored(roots: Path):
    data = load_data(job(roots, recipe="facial_r1/sft").data)
    assert {name: set(units) for name, units in data.annotated.items()} == {"DISFA": DISFA_UNITS}
    assert not data.protocol.action_units, "the other sets may carry any code"


# --- what can be wrong -------------------------------------------------------------------------------------------------------


def test_missing_folders_are_named_at_once_with_a_way_out(roots: Path, tmp_path: Path):
    (tmp_path / "FABAInstruct").mkdir()
    settings = job(roots, f"data.root={tmp_path}").data
    with pytest.raises(InputError) as raised:
        load_data(settings)
    text = str(raised.value)
    assert "6 folders are missing" in text and "FABAInstruct" not in text
    for part in (f"{tmp_path}/BP4D (data.sources.bp4d.root)", f"{tmp_path}/FER2013", "data.sources.bp4d=null"):
        assert part in text


def test_missing_picture_folders_of_the_published_rows_are_named(roots: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"/BP4D \(data\.sources\.bp4d\.options\.images\)"):
        load_data(job(roots, f"data.root={tmp_path}", recipe="facial_r1/sft").data)


def test_the_folder_of_the_folders_is_needed():
    with pytest.raises(InputError, match=r"data=facial_r1_stage2 needs the folder that holds the folders of its datasets"):
        validate(plain(compose_tree(["data=facial_r1_stage2"])))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.sources.disfa.options.threshold=9", r"data\.sources\.disfa\.options\.threshold=9: input should be 1, 2"),
        ("data.sources.bp4d.fold=7", r"data\.sources\.bp4d\.fold=7: there are 3 folds"),
        ("data.sources.faba.source=fabba", r"data\.sources\.faba\.source=fabba: no such source; did you mean 'faba'"),
        ("data.sources.faba.balance=classes", r"data\.sources\.faba\.balance=classes: not one of action_units, labels"),
        ("data.sources.faba.amount=null", r"data\.sources\.faba: balance=action_units needs an amount"),
        ("+data.sources.raf_au.repeats=true", r"data\.sources\.raf_au: repeats=true is for balance"),
        ("+data.sources.raf_au.foldd=1", r"data\.sources\.raf_au\.foldd: no such key; did you mean 'fold'"),
        ("data.sources.fabba.amount=1", r"data\.sources\.fabba: no such key; did you mean 'faba'"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_source(override: str, message: str):
    with pytest.raises(InputError, match=message):
        validate(plain(compose_tree(["data=facial_r1_stage2", "data.root=/x", override])))


def test_files_and_a_dataset_in_one_entry_are_refused():
    with pytest.raises(InputError, match=r"data\.sources\.a: give files=.*one of the two"):
        validate(plain(compose_tree(["data=mix", "data.root=/x", "data.sources={a: {files: [a.jsonl], source: raf_db}}"])))


def test_an_amount_above_the_rows_of_a_source(roots: Path):
    with pytest.raises(InputError, match=r"amount of raf_au=100, but there are 24 rows"):
        load_data(job(roots, "data.sources.raf_au.amount=100").data)


def test_two_protocols_for_one_dataset_are_refused(roots: Path):
    sources = "{one: {source: raf_db, root: RAF-DB}, two: {source: fea_20k, root: FEA-20K, options: {datasets: [RAF-DB], images: [RAF-DB]}}}"
    tree = compose_tree(["data=mix", f"data.root={roots}/datasets", f"data.cache={roots}/cache", f"data.sources={sources}"])
    with pytest.raises(InputError, match=r"data\.sources\.one and data\.sources\.two both have rows of RAF-DB"):
        load_data(validate(plain(tree)).data)


def test_a_picture_that_is_gone_is_found_among_the_chosen_rows(roots: Path, tmp_path: Path):
    """The rest of the set is not looked at when a run starts; what was chosen is."""
    folder = owners(tmp_path / "datasets")
    settings = job(roots, f"data.root={folder}", f"data.cache={tmp_path}/cache").data
    (folder / "RAF-DB/basic/Image/aligned/train_00001_aligned.jpg").touch()
    chosen = next(record for record in load_data(settings).train if record.dataset == "RAF-DB")
    stamp = Path(chosen.images[0]).parent.stat()
    Path(chosen.images[0]).write_bytes(b"")
    import os

    os.utime(Path(chosen.images[0]).parent, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    with pytest.raises(InputError, match=r"the image file is empty"):
        load_data(settings)
    skipped = load_data(dataclasses.replace(settings, on_error="skip"))
    assert chosen.id not in {record.id for record in skipped.train}
    assert len(skipped.problems) == 1
