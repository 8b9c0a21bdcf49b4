"""Readers of emotion datasets: the owner's layout in, records with the right class, side, image and id out."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from facial_r1.data import load_protocol
from facial_r1.data.sources import MODULES, Reading, find, names, read_source
from facial_r1.data.sources.affectnet import scalar
from facial_r1.data.sources.ferplus import majority, plurality
from facial_r1.errors import InputError
from tests.data.sources import emotion_sets as owners

EIGHT = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
NAMES = ("affectnet", "expw", "fer2013", "ferplus", "raf_db", "sfew")


def labels_by_split(reading: Reading) -> dict[str | None, Counter[str]]:
    found: dict[str | None, Counter[str]] = {}
    for record in reading.records:
        found.setdefault(record.split, Counter())[record.labels[0]] += 1
    return found


def each(names: tuple[str, ...] | list[str], count: int = 1) -> Counter[str]:
    return Counter(dict.fromkeys(names, count))


def problems(reading: Reading) -> list[str]:
    return [str(problem) for problem in reading.problems]


def only_problem(reading: Reading) -> str:
    assert len(reading.problems) == 1, problems(reading)
    return str(reading.problems[0])


# --- all ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_has_a_protocol_and_a_configuration_of_its_name(name, root):
    protocol = load_protocol(name)
    assert protocol.licence and protocol.labels and (root / "conf/data" / f"{name}.yaml").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_options_in_the_configuration_are_the_readers(name, root):
    import yaml

    options = yaml.safe_load((root / "conf/data" / f"{name}.yaml").read_text())["options"]
    assert options == dict(find(name).options)


@pytest.mark.parametrize("name", NAMES)
def test_a_foreign_folder_is_refused_with_the_layout(name, tmp_path):
    (tmp_path / "holiday.txt").write_text("hello")
    with pytest.raises(InputError) as caught:
        read_source(name, tmp_path)
    assert find(name).layout in str(caught.value) and f"data.root={tmp_path}" in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_records_are_faces_of_that_set_without_action_units(name, tmp_path):
    {"raf_db": owners.raf_db, "fer2013": owners.fer2013_csv, "affectnet": owners.affectnet_lists, "expw": owners.expw,
     "sfew": owners.sfew, "ferplus": owners.ferplus}[name](tmp_path)  # fmt: skip
    reading = read_source(name, tmp_path)
    ids = [record.id for record in reading.records]
    assert len(set(ids)) == len(ids) and all(one.startswith(f"{name}/") for one in ids)
    assert all(record.AUs is None and len(record.labels) == 1 for record in reading.records)
    assert {record.labels[0] for record in reading.records} <= set(load_protocol(name).labels or ())
    assert all(record.images or record.id in reading.pixels for record in reading.records)
    assert all(Path(image).is_file() for record in reading.records for image in record.images)
    assert not reading.problems


def test_names_are_listed_and_nearest_is_suggested():
    assert set(NAMES) <= set(names()) and set(NAMES) <= set(MODULES)
    with pytest.raises(InputError, match=r"data\.source=raf-db: no such source; did you mean 'raf_db'"):
        find("raf-db")


def test_options_are_checked_by_name_and_type(tmp_path):
    with pytest.raises(InputError, match=r"data\.options\.marginn: expw has no such option; did you mean 'margin'"):
        read_source("expw", tmp_path, marginn=0.1)
    with pytest.raises(InputError, match=r"data\.options\.classes=6: input should be 7 or 8"):
        read_source("affectnet", tmp_path, classes=6)


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no such folder; raf_db needs\n"):
        read_source("raf_db", tmp_path / "nowhere")


# --- RAF-DB ---------------------------------------------------------------------------------------------------


def test_raf_db_by_the_owners_list(tmp_path):
    labels = owners.raf_db(tmp_path)
    reading = read_source("raf_db", tmp_path)
    seven = tuple(owners.RAF_NAMES.values())
    assert labels_by_split(reading) == {"train": each(seven, 2), "test": each(seven)}
    first = reading.records[0]
    assert (first.id, first.labels, first.split) == ("raf_db/train_00001", ("surprise",), "train")
    assert first.images == (str(tmp_path / "basic/Image/aligned/train_00001_aligned.jpg"),)
    assert first.source == f"{labels}:1" and reading.records[-1].id == "raf_db/test_0007"


def test_raf_db_takes_original_photographs_and_the_folder_basic_itself(tmp_path):
    owners.raf_db(tmp_path)
    reading = read_source("raf_db", tmp_path / "basic", images="original")
    assert reading.records[3].images == (str(tmp_path / "basic/Image/original/train_00004.jpg"),)


def test_raf_db_names_the_folder_that_was_not_unpacked(tmp_path):
    owners.raf_db(tmp_path)
    (tmp_path / "basic/Image/aligned").rename(tmp_path / "basic/Image/elsewhere")
    with pytest.raises(InputError, match=r"basic/Image/aligned is missing; raf_db needs"):
        read_source("raf_db", tmp_path)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("train_00099.jpg 8", "class: unknown class id '8'"),
        ("train_00099.jpg", "row: broken row 'train_00099.jpg'"),
        ("train_00099.jpg happy", "unknown class id 'happy'"),
        ("valid_00099.jpg 3", "split: 'valid_00099.jpg' says no side"),
    ],
)
def test_raf_db_bad_lines_are_named(tmp_path, line, part):
    labels = owners.raf_db(tmp_path)
    labels.write_text(f"{line}\n" + labels.read_text())
    reading = read_source("raf_db", tmp_path)
    assert only_problem(reading).startswith(f"{labels}:1: ") and part in only_problem(reading)
    assert len(reading.records) == 21


def test_raf_db_kaggle_folders(tmp_path):
    owners.raf_db_kaggle(tmp_path)
    reading = read_source("raf_db", tmp_path)
    seven = tuple(owners.RAF_NAMES.values())
    assert labels_by_split(reading) == {"train": each(seven), "test": each(seven)}
    assert {record.id for record in reading.records} >= {"raf_db/train_00001", "raf_db/test_00007"}
    assert [file.name for file in reading.files] == ["train_labels.csv", "test_labels.csv"]


def test_raf_db_kaggle_folders_that_contradict_the_csv_are_named(tmp_path):
    folder = owners.raf_db_kaggle(tmp_path)
    (folder / "train/1/train_00001_aligned.jpg").rename(folder / "train/2/train_00001_aligned.jpg")
    reading = read_source("raf_db", tmp_path)
    assert only_problem(reading).startswith(f"{folder / 'train_labels.csv'}:2: class: train_00001_aligned.jpg is class 1 here")


def test_raf_db_kaggle_unknown_class_folder(tmp_path):
    folder = owners.raf_db_kaggle(tmp_path, tables=False)
    owners.picture(folder / "train/9/x.jpg")
    assert "unknown class id '9'" in only_problem(read_source("raf_db", folder))


# --- FER2013 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["fer2013.csv", "icml_face_data.csv"])
def test_fer2013_tables(tmp_path, layout):
    (owners.fer2013_csv if layout == "fer2013.csv" else owners.icml_face_data)(tmp_path)
    reading = read_source("fer2013", tmp_path)
    seven = owners.FER_NOUNS
    assert labels_by_split(reading) == {"train": each(seven, 2), "validation": each(seven), "test": each(seven)}
    last = reading.records[-1]
    assert (last.id, last.split, last.meta_info) == ("fer2013/image_27", "test", {"usage": "PrivateTest"})
    assert reading.pixels["fer2013/image_27"] == (48, 48, bytes((27 + place) % 256 for place in range(2304)))


def test_fer2013_public_test_can_be_trained_on(tmp_path):
    owners.fer2013_csv(tmp_path)
    reading = read_source("fer2013", tmp_path, public_test="train")
    assert {split: sum(count.values()) for split, count in labels_by_split(reading).items()} == {"train": 21, "test": 7}


@pytest.mark.parametrize(
    ("row", "part"),
    [
        (("3", owners.pixels(1, 2000), "Training"), "pixels: 2000 pixels, not 48 x 48 = 2304"),
        (("3", owners.pixels(1, 2303) + " 256", "Training"), "pixels: '256' is no grey value"),
        (("7", owners.pixels(1), "Training"), "class: unknown class id '7'"),
        (("3", owners.pixels(1), "Trainning"), "Usage: unknown usage 'Trainning'\n    fix: did you mean 'Training'?"),
        (("3", owners.pixels(1)), "row: broken row '3 "),
    ],
)
def test_fer2013_bad_rows_are_named_and_keep_their_number(tmp_path, row, part):
    rows = owners.fer2013_rows()
    file = owners.fer2013_csv(tmp_path, [*rows[:2], row, *rows[2:]])
    reading = read_source("fer2013", tmp_path)
    assert only_problem(reading).startswith(f"{file}:4: ") and part in only_problem(reading)
    assert [record.id for record in reading.records[:3]] == ["fer2013/image_0", "fer2013/image_1", "fer2013/image_3"]


def test_fer2013_without_its_columns(tmp_path):
    (tmp_path / "fer2013.csv").write_text("emotion,pixel\n3,1 2\n")
    reading = read_source("fer2013", tmp_path)
    assert reading.problems[0].whole_file and "there is no column 'pixels'" in only_problem(reading)


def test_fer2013_folders_whose_test_sides_are_mixed_say_so(tmp_path):
    owners.fer2013_folders(tmp_path)
    reading = read_source("fer2013", tmp_path)
    assert labels_by_split(reading) == {"train": each(owners.FER_NOUNS), "test": each(owners.FER_NOUNS, 2)}
    assert "PublicTest" in reading.notes[0] and reading.official == {"train": 28709, "test": 7178}


def test_fer2013_folders_whose_names_tell_public_from_private(tmp_path):
    owners.fer2013_folders(tmp_path, named=True)
    reading = read_source("fer2013", tmp_path)
    assert set(labels_by_split(reading)) == {"train", "validation", "test"} and not reading.notes


def test_fer2013_unknown_class_folder(tmp_path):
    owners.fer2013_folders(tmp_path)
    owners.picture(tmp_path / "train/hapy/x.jpg")
    assert "unknown class folder 'hapy'\n    fix: did you mean 'happy'?" in only_problem(read_source("fer2013", tmp_path))


# --- AffectNet ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [True, False])
def test_affectnet_lists(tmp_path, header):
    owners.affectnet_lists(tmp_path, header)
    reading = read_source("affectnet", tmp_path)
    assert labels_by_split(reading) == {"train": each(EIGHT, 2), "test": each(EIGHT)}
    assert reading.excluded == {"expression 8: none": 2, "expression 9: uncertain": 2, "expression 10: no face": 2}
    assert reading.records[0].meta_info == {}


def test_affectnet_with_seven_classes(tmp_path):
    owners.affectnet_lists(tmp_path)
    reading = read_source("affectnet", tmp_path, classes=7)
    assert labels_by_split(reading) == {"train": each(EIGHT[:7], 2), "test": each(EIGHT[:7])}
    assert reading.excluded["expression 7: contempt"] == 3 and reading.official == load_protocol("affectnet_7").counts


def test_affectnet_valence_and_arousal(tmp_path):
    owners.affectnet_lists(tmp_path / "lists")
    owners.affectnet_arrays(tmp_path / "arrays")
    for layout in ("lists", "arrays"):
        meta = read_source("affectnet", tmp_path / layout, affect=True).records[0].meta_info
        assert meta == {"valence": 0.25, "arousal": -0.5}


@pytest.mark.parametrize(
    ("row", "part"),
    [
        (owners.affectnet_row("1/x.jpg", 11), "class: unknown class id '11'"),
        (owners.affectnet_row("1/x.jpg", "happy"), "unknown class id 'happy'"),
        ("1/x.jpg,10,10", "row: broken row '1/x.jpg 10 10'"),
    ],
)
def test_affectnet_bad_rows_are_named(tmp_path, row, part):
    owners.affectnet_lists(tmp_path)
    file = tmp_path / "validation.csv"
    file.write_text(file.read_text() + row + "\n")
    reading = read_source("affectnet", tmp_path)
    assert only_problem(reading).startswith(f"{file}:10: ") and part in only_problem(reading)


def test_affectnet_an_unclosed_quote_is_one_problem_and_no_crash(tmp_path):
    owners.affectnet_lists(tmp_path)
    file = tmp_path / "training.csv"
    file.write_text(file.read_text() + '"' + "x" * 200_000)
    assert "broken row: field larger than field limit" in only_problem(read_source("affectnet", tmp_path))


def test_affectnet_arrays(tmp_path):
    owners.affectnet_arrays(tmp_path)
    reading = read_source("affectnet", tmp_path)
    assert labels_by_split(reading) == {"train": each(EIGHT, 2), "test": each(EIGHT)}
    assert [record.id for record in reading.records[9:12]] == [f"affectnet/train_set/{n}" for n in (9, 10, 11)]
    assert reading.records[10].labels == ("sadness",)


def test_affectnet_arrays_that_cannot_be_read_are_named(tmp_path):
    owners.affectnet_arrays(tmp_path)
    folder = tmp_path / "val_set/annotations"
    (folder / "0_exp.npy").write_bytes(owners.npy({"run": "me"}, dtype=object))
    (folder / "1_exp.npy").write_bytes(b"nonsense")
    (folder / "2_exp.npy").write_bytes(owners.npy(["1", "2"]))
    (folder / "3_exp.npy").write_bytes(owners.npy("12"))
    (folder / "4_exp.npy").unlink()
    found = problems(read_source("affectnet", tmp_path))
    assert len(found) == 5
    wanted = ["no expression for this image", "allow_pickle=False", "cannot be read", "2 values, not one", "class id '12'"]
    for part, text in zip(wanted, found, strict=True):
        assert part in text


def test_affectnet_numbers_are_read_in_every_form():
    values = ["3", 3, 3.0, [3], b"3"]
    assert [float(scalar(owners.npy(value)).strip("b'")) for value in values] == [3.0] * 5


# --- ExpW -----------------------------------------------------------------------------------------------------


def test_expw_boxes(tmp_path):
    owners.expw(tmp_path)
    reading = read_source("expw", tmp_path)
    assert labels_by_split(reading) == {None: each(owners.FER_NOUNS)}
    first = reading.records[0]
    assert first.id == "expw/angry_actor_1_0" and first.images == (str(tmp_path / "image/origin/angry_actor_1.jpg"),)
    assert reading.crops[first.id] == (5, 10, 25, 40) and first.meta_info["confidence"] == 20.5


def test_expw_margin_and_confidence(tmp_path):
    owners.expw(tmp_path)
    reading = read_source("expw", tmp_path, margin=0.5, min_confidence=30)
    assert reading.crops["expw/angry_actor_1_1"] == (29 - 10, 15 - 15, 49 + 10, 45 + 15)
    assert reading.excluded == {"confidence below 30": 2} and len(reading.records) == 5 and reading.official == {}


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("a.jpg 0 10 10 30 40 50 9", "unknown class id '9'"),
        ("a.jpg 0 10 10 30 40 3", "broken row"),
        ("a.jpg 0 10 ten 30 40 50 3", "broken row"),
        ("a.jpg 0 10 30 30 40 50 3", "box: an empty box: left 30, right 30"),
        ("a.jpg 0 nan 30 30 40 50 3", "broken row"),
    ],
)
def test_expw_bad_lines_are_named(tmp_path, line, part):
    labels = owners.expw(tmp_path)
    labels.write_text(labels.read_text() + line + "\n")
    reading = read_source("expw", tmp_path)
    assert only_problem(reading).startswith(f"{labels}:8: ") and part in only_problem(reading)


# --- SFEW 2.0 -------------------------------------------------------------------------------------------------


def test_sfew_aligned_faces(tmp_path):
    owners.sfew(tmp_path)
    reading = read_source("sfew", tmp_path)
    seven = set(owners.FER_NOUNS)
    assert labels_by_split(reading) == {"train": each(sorted(seven)), "test": each(sorted(seven - {"fear"}))}
    assert reading.records[0].images[0].endswith("Train/Train_Aligned_Faces/Angry/Film0_001_0001.png")
    assert reading.records[0].meta_info == {"film": "Film0"} and reading.excluded == {"Test: labels are withheld": 3}


def test_sfew_frames(tmp_path):
    owners.sfew(tmp_path)
    reading = read_source("sfew", tmp_path, images="frames")
    assert labels_by_split(reading) == {"train": each(owners.FER_NOUNS), "test": each(owners.FER_NOUNS)}
    assert sum(reading.official["train"].values()) == 958 and sum(reading.official["test"].values()) == 436


def test_sfew_without_aligned_faces_says_what_there_is(tmp_path):
    for folder in owners.SFEW_FOLDERS:
        owners.picture(tmp_path / "Train" / folder / "a.png")
    with pytest.raises(InputError, match=r"data\.options\.images=frames takes whole frames"):
        read_source("sfew", tmp_path)


def test_sfew_unknown_class_folder(tmp_path):
    owners.sfew(tmp_path)
    owners.picture(tmp_path / "Val/Val_Aligned_Faces/Supprise/a.png")
    assert "did you mean 'surprise'?" in only_problem(read_source("sfew", tmp_path))


# --- FER+ -----------------------------------------------------------------------------------------------------


def test_ferplus_by_plurality(tmp_path):
    owners.ferplus(tmp_path)
    reading = read_source("ferplus", tmp_path)
    side = each(EIGHT) + Counter(neutral=1, sadness=1)
    assert labels_by_split(reading) == {"train": side, "validation": side, "test": side}
    assert reading.records[0].meta_info["votes"]["neutral"] == 8 and not reading.excluded


def test_ferplus_by_majority(tmp_path):
    owners.ferplus(tmp_path)
    reading = read_source("ferplus", tmp_path, rule="majority")
    assert labels_by_split(reading) == dict.fromkeys(("train", "validation", "test"), each(EIGHT))
    assert reading.excluded == {"no majority for an emotion": 6}
    assert reading.official == {"train": 25045, "validation": 3191, "test": 3137}


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ('fer9.png,"(0, 0, 48, 48)",1,2,3', "row: broken row"),
        ('fer9.png,"(0, 0, 48, 48)",1,2,x,0,0,0,0,0,0,0', "votes: a vote is no whole number"),
        ('fer9.png,"(0, 0, 48, 48)",0,0,0,0,0,0,0,0,0,0', "votes: nobody voted"),
    ],
)
def test_ferplus_bad_lines_are_named(tmp_path, line, part):
    owners.ferplus(tmp_path)
    file = tmp_path / "FER2013Test/label.csv"
    file.write_text(file.read_text() + line + "\n")
    reading = read_source("ferplus", tmp_path)
    assert only_problem(reading).startswith(f"{file}:11: ") and part in only_problem(reading)


def test_ferplus_with_votes_but_no_pictures_says_where_they_come_from(tmp_path):
    owners.ferplus(tmp_path)
    for image in (tmp_path / "FER2013Valid").glob("*.png"):
        image.unlink()
    with pytest.raises(InputError, match=r"FER2013Valid has its label\.csv and no pictures") as caught:
        read_source("ferplus", tmp_path)
    assert "fer2013.csv by src/generate_training_data.py" in str(caught.value)


@pytest.mark.reference
def test_ferplus_rules_give_the_labels_of_ferbench(reference):
    nouns = {"happy": "happiness", "sad": "sadness", "angry": "anger"}
    asked = json.loads((reference / "ferbench/ferplus_qa.json").read_text())
    truth = {Path(row["image_path"]).name: nouns.get(row["true_label"], row["true_label"]) for row in asked}
    with open(reference / "ferbench/ferplus_votes.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    votes = {row["image"]: [int(row[name]) for name in row if name.startswith("v_")] for row in rows}
    assert len(votes) == 3573 and all(len(vote) == 10 for vote in votes.values())
    assert sum(plurality(vote) == truth[image] for image, vote in votes.items()) == 3573
    kept = {image for image, vote in votes.items() if majority(vote) is not None}
    assert kept == {row["image"] for row in rows if row["majority_mode_keeps"] == "1"} and len(kept) == 3137
    assert Counter(truth.values()) == load_protocol("ferplus").counts["test"]


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "file"), [("raf_db", "rafdb_qa.json"), ("affectnet", "affectnet_qa.json"), ("sfew", "sfew_2.0_qa.json")]
)
def test_counts_and_order_of_labels_are_those_of_the_question_files(reference, name, file):
    rows = json.loads((reference / "ferbench" / file).read_text())
    protocol = load_protocol(name)
    assert [protocol.label(label) for label in rows[0]["candidate_labels"]] == list(protocol.labels)
    assert Counter(protocol.label(row["true_label"]) for row in rows) == protocol.counts["test"]


@pytest.mark.reference
def test_the_official_partition_list_parses_unchanged(reference, tmp_path):
    """The test part of RAF-DB's list, rebuilt from the question file: every line is read, in the counts that are published."""
    rows = json.loads((reference / "ferbench/rafdb_qa.json").read_text())
    ids = {label: number for number, label in owners.RAF_NAMES.items()}
    lines = [f"{Path(row['image_path']).stem.removesuffix('_aligned')}.jpg {ids[row['true_label']]}" for row in rows]
    (tmp_path / "EmoLabel").mkdir()
    (tmp_path / "Image/aligned").mkdir(parents=True)
    (tmp_path / "EmoLabel/list_patition_label.txt").write_text("\n".join(sorted(lines)) + "\n")
    reading = read_source("raf_db", tmp_path)
    assert not reading.problems and labels_by_split(reading)["test"] == load_protocol("raf_db").counts["test"]
    wanted = {str(tmp_path / "Image/aligned" / Path(row["image_path"]).name) for row in rows}
    assert {record.images[0] for record in reading.records} == wanted
