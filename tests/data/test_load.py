"""From the `data` part of a job to the rows of both sides."""

from __future__ import annotations

import json
import shutil

import pytest

from facial_r1.config.schema import Data as DataConfig
from facial_r1.data import load_data
from facial_r1.errors import InputError


def config(folder, files=("a.jsonl",), **options):
    names = [str(folder.path / name) for name in files]
    return {"files": names, "images": [str(folder.images)] * len(names)} | options


def ids(records):
    return {record.id for record in records}


def test_typed_configuration_and_mapping_load_the_same(folder):
    folder.faces("a.jsonl", 20)
    settings = config(folder)
    typed = load_data(DataConfig(name="mine", kind="jsonl", **settings))
    assert typed.fingerprint == load_data(settings).fingerprint


def test_a_wrong_key_of_a_mapping_is_bad_input(folder):
    with pytest.raises(InputError, match=r"data\.filse"):
        load_data({"filse": []})


def test_subjects_are_on_one_side(folder):
    folder.faces("a.jsonl", 40)
    data = load_data(config(folder, split={"by": "subject", "test": 0.25}))
    assert 10 <= len(data.test) <= 13, "a quarter, in whole people of four"
    assert not {record.subject for record in data.train} & {record.subject for record in data.test}
    assert ids(data.train) | ids(data.test) == {f"a{index}" for index in range(40)}


def test_the_test_side_does_not_depend_on_the_train_amount(folder):
    folder.faces("a.jsonl", 80)
    small, large = (load_data(config(folder, amount=amount)) for amount in (8, 32))
    assert ids(small.test) == ids(large.test)
    assert ids(small.train) < ids(large.train)
    assert (len(small.train), len(large.train)) == (8, 32)


def test_amounts_of_both_sides(folder):
    folder.faces("a.jsonl", 80)
    data = load_data(config(folder, amount=0.5, test_amount=3, split={"test": 0.25}))
    assert (len(data.train), len(data.test)) == (30, 3)


def test_test_files_of_their_own(folder):
    folder.faces("a.jsonl", 12)
    folder.faces("t.jsonl", 8)
    data = load_data(config(folder, test_files=f"{folder.path}/t.jsonl", test_images=str(folder.images)))
    assert (len(data.train), len(data.test)) == (12, 8), "nothing is cut off the train files"


def test_a_side_that_is_not_needed_is_not_read(folder):
    folder.faces("a.jsonl", 4)
    settings = config(folder, test_files=[str(folder.path / "gone.jsonl")])
    data = load_data(settings, need=("train",))
    assert (len(data.train), len(data.test)) == (4, 0)


def test_evaluation_needs_no_train_files(folder):
    folder.faces("t.jsonl", 4)
    data = load_data({"test_files": [str(folder.path / "t.jsonl")], "amount": 1000}, need=("test",))
    assert (len(data.train), len(data.test)) == (0, 4)


def test_the_ids_of_the_test_side_are_the_same_with_and_without_the_train_side(folder):
    folder.faces("a.jsonl", 4, id=lambda index: index)
    folder.faces("t.jsonl", 4, id=lambda index: index)
    settings = config(folder, test_files=[str(folder.path / "t.jsonl")], test_images=[str(folder.images)])
    assert ids(load_data(settings).test) == ids(load_data(settings, need=("test",)).test)


def test_rows_say_on_which_side_they_are(folder):
    folder.faces("a.jsonl", 20, split=lambda index: "test" if index < 5 else "train")
    data = load_data(config(folder))
    assert ids(data.test) == {f"a{index}" for index in range(5)}
    assert len(data.train) == 15


def test_rows_for_testing_are_not_trained_on_beside_test_files(folder):
    folder.faces("a.jsonl", 20, split=lambda index: "test" if index < 5 else "train")
    folder.faces("t.jsonl", 4)
    data = load_data(config(folder, test_files=[str(folder.path / "t.jsonl")], test_images=[str(folder.images)]))
    assert (len(data.train), len(data.test)) == (15, 4)
    assert "5 rows of data.files say that they are for test or validation: left out" in data.notes


def test_sources_with_amount_weight_and_side(folder):
    for name, count in (("a", 40), ("b", 20), ("c", 8)):
        folder.faces(f"{name}.jsonl", count)
    sources = [
        {"files": [str(folder.path / "a.jsonl")], "amount": 10, "weight": 2, "split": "train"},
        {"files": [str(folder.path / "b.jsonl")], "amount": 0.5, "split": "train"},
        {"files": [str(folder.path / "c.jsonl")], "weight": 5, "split": "test"},
    ]
    data = load_data({"sources": sources})
    assert [(row["source"], row["rows"], row["repeats"]) for row in data.train.table()] == [
        ("a", 20, 10),
        ("b", 10, 0),
    ]
    assert [(row["source"], row["rows"], row["repeats"]) for row in data.test.table()] == [("c", 8, 0)]


def test_files_and_sources_together(folder):
    folder.faces("a.jsonl", 8)
    folder.faces("b.jsonl", 8)
    source = {"files": [str(folder.path / "b.jsonl")], "images": [str(folder.images)], "weight": 2}
    data = load_data(config(folder, sources=[source], split={"test": 0.0}), need=("train",))
    assert len(data.train) == 24


def test_a_file_in_two_sources(folder):
    folder.faces("a.jsonl", 8)
    with pytest.raises(InputError, match=r"a\.jsonl is named by two sources of data: name it once; weight=2"):
        load_data(config(folder, sources=[{"files": [str(folder.path / "a.jsonl")]}]))


def test_a_source_on_an_unknown_side(folder):
    folder.faces("a.jsonl", 8)
    with pytest.raises(InputError, match=r"data\.sources\[0\]\.split=dev: give train, test or null"):
        load_data({"sources": [{"files": [str(folder.path / "a.jsonl")], "split": "dev"}]})


def test_the_number_of_folders_of_a_source(folder):
    folder.faces("a.jsonl", 8)
    with pytest.raises(InputError, match=r"data\.sources\[0\]\.files names 1 file\(s\), data\.sources\[0\]\.images 2"):
        load_data({"sources": [{"files": [str(folder.path / "a.jsonl")], "images": ["x", "y"]}]})


def test_folders_without_files():
    with pytest.raises(InputError, match=r"data.test_images is given but data.test_files is empty"):
        load_data({"files": ["a.jsonl"], "test_images": ["x"]})


def test_having_is_by_side(folder):
    folder.faces(
        "a.jsonl",
        20,
        description=lambda i: "d" if i % 2 else "",
        split=lambda i: "test" if i < 6 else "train",
    )
    data = load_data(config(folder), having={"train": ("description",)})
    assert (len(data.train), len(data.test)) == (7, 6)


def test_no_row_has_the_field(folder):
    folder.faces("a.jsonl", 20)
    with pytest.raises(InputError, match="no row of the train side has description: of 16 rows none"):
        load_data(config(folder, split={"test": 0.2}), having={"train": ("description",)})


def test_no_train_files(folder):
    folder.faces("t.jsonl", 4)
    with pytest.raises(InputError, match=r"there is nothing to train on: set data.files="):
        load_data({"test_files": [str(folder.path / "t.jsonl")]})


def test_no_test_side(folder):
    folder.faces("a.jsonl", 4, subject="only one")
    with pytest.raises(InputError, match=r"the test side has no rows .*set data.test_files="):
        load_data(config(folder))


def test_an_amount_above_the_rows(folder):
    folder.faces("a.jsonl", 20)
    with pytest.raises(InputError, match=r"data\.amount=100, but there are 16 rows: give at most 16"):
        load_data(config(folder, amount=100))


def test_skipped_rows_are_listed_and_counted_by_source(folder):
    folder.faces("a.jsonl", 20)
    folder.faces("b.jsonl", 20, labels=lambda index: ["boredom"] if index == 3 else ["fear"], is_valid=lambda i: i != 5)
    data = load_data(config(folder, ("a.jsonl", "b.jsonl"), on_error="skip"))
    assert [(problem.line, problem.field) for problem in data.problems] == [(4, "labels")]
    assert "1 bad rows were left out (data.on_error=skip)" in data.notes
    by_source = {row["source"]: (row["skipped"], row["invalid"]) for row in data.train.table()}
    assert by_source == {"a": (0, 0), "b": (1, 1)}


def test_bad_rows_of_both_sides_stop_the_load(folder):
    folder.faces("a.jsonl", 8, labels=["boredom"])
    with pytest.raises(InputError, match="8 problems in the data"):
        load_data(config(folder))


def test_the_protocol_of_the_job_is_used(folder):
    folder.faces("a.jsonl", 20, labels=["boredom"], AUs=[])
    data = load_data(config(folder, protocol={"labels": ["boredom", "joy"], "empty_action_units": "absent"}))
    assert data.train[0].labels == ("boredom",) and data.train[0].AUs == ()
    assert data.protocol.labels == ("boredom", "joy")


def test_copies_of_an_image_on_both_sides_are_noted(folder):
    folder.faces("a.jsonl", 8)
    folder.faces("t.jsonl", 8)
    shutil.copy(folder.images / "a" / "0.png", folder.images / "t" / "5.png")
    data = load_data(config(folder, test_files=[str(folder.path / "t.jsonl")], test_images=[str(folder.images)]))
    assert [note for note in data.notes if "images" in note] == [
        f"1 test images are also in training (exact a / t: 1), for example {folder.images}/a/0.png and {folder.images}/t/5.png; "
        "data.deduplicate=true leaves the 1 train rows out"
    ]


def test_subjects_on_both_sides_are_noted(folder):
    folder.faces("a.jsonl", 8, subject="F001")
    folder.faces("t.jsonl", 8, subject="F001")
    data = load_data(config(folder, test_files=[str(folder.path / "t.jsonl")], test_images=[str(folder.images)]))
    assert "1 subjects are on the train and the test side, for example F001" in data.notes


def test_the_description_names_sides_and_notes(folder):
    folder.faces("a.jsonl", 20, subject=None)
    text = load_data(config(folder)).describe()
    assert text.startswith("train:\nsource") and "\ntest:\nsource" in text
    assert "note: 20 of 20 rows have no subject" in text


def test_the_fingerprint_is_of_content_not_of_place(folder, tmp_path):
    folder.faces("a.jsonl", 20)
    before = load_data(config(folder)).fingerprint
    shutil.copytree(folder.path, tmp_path / "moved")
    file, images = tmp_path / "moved" / "a.jsonl", tmp_path / "moved" / "images"
    assert load_data({"files": [str(file)], "images": [str(images)]}).fingerprint == before
    lines = file.read_text().splitlines()
    file.write_text("\n".join(reversed(lines)))
    assert load_data({"files": [str(file)], "images": [str(images)]}).fingerprint == before, "the order of rows"


@pytest.mark.parametrize("change", ["text", "image"])
def test_the_fingerprint_changes_with_content(folder, change):
    folder.faces("a.jsonl", 20)
    before = load_data(config(folder)).fingerprint
    if change == "image":
        folder.image("a/7.png", (250, 250, 250))
    else:
        rows = [json.loads(line) for line in (folder.path / "a.jsonl").read_text().splitlines()]
        rows[7]["question"] = "Who is it?"
        folder.rows("a.jsonl", rows)
    assert load_data(config(folder)).fingerprint != before


def test_unchecked_images_are_not_opened(folder):
    file = folder.rows("a.jsonl", [{"image": "gone.png", "subject": index} for index in range(4)])
    data = load_data({"files": [str(file)], "images": [str(folder.images)]}, check_images=False)
    assert data.train[0].images == (str(folder.images / "gone.png"),)


# --- both sides compared -----------------------------------------------------------------------------------------------


def two_files(folder, **options):
    """Eight train and eight test faces; a/0.png lies among the test images again."""
    folder.faces("a.jsonl", 8)
    folder.faces("t.jsonl", 8)
    shutil.copy(folder.images / "a" / "0.png", folder.images / "t" / "5.png")
    return config(folder, test_files=[str(folder.path / "t.jsonl")], test_images=[str(folder.images)], **options)


def test_leaks_say_which_images_are_on_both_sides(folder):
    (leak,) = load_data(two_files(folder)).leaks
    assert (leak.train, leak.test, leak.kind) == (f"{folder.images}/a/0.png", f"{folder.images}/t/5.png", "exact")


def test_nothing_is_removed_unless_asked(folder):
    data = load_data(two_files(folder))
    assert (len(data.train), len(data.test), data.deduplicated) == (8, 8, 0)


def test_deduplicate_leaves_out_the_train_row_and_keeps_the_test_row(folder):
    data = load_data(two_files(folder, deduplicate=True))
    assert "a0" not in ids(data.train) and "t5" in ids(data.test)
    assert (len(data.train), data.deduplicated) == (7, 1)
    assert any("1 train rows were left out (data.deduplicate=true)" in note for note in data.notes)


def test_repeats_of_a_leaked_row_are_left_out_too(folder):
    settings = two_files(folder, deduplicate=True)
    source = {"files": settings["files"], "images": settings["images"], "weight": 2}
    data = load_data({**settings, "files": [], "images": [], "sources": [source]})
    assert (len(data.train), data.deduplicated) == (14, 2)


def test_nothing_left_after_deduplication_is_bad_input(folder):
    folder.faces("a.jsonl", 1)
    folder.faces("t.jsonl", 1)
    shutil.copy(folder.images / "a" / "0.png", folder.images / "t" / "0.png")
    settings = config(folder, test_files=[str(folder.path / "t.jsonl")], test_images=[str(folder.images)], deduplicate=True)
    with pytest.raises(InputError, match=r"data\.deduplicate=true: all 1 train rows show images of the test side"):
        load_data(settings)


def test_recompressed_copies_are_found_where_asked_for(folder, tmp_path):
    from PIL import Image

    from tests.data.owners import face

    settings = two_files(folder, cache=str(tmp_path / "cache"))
    face(folder.images / "a" / "3.png", seed=7)
    Image.open(folder.images / "a" / "3.png").save(folder.images / "t" / "2.png", "JPEG", quality=70)
    assert [leak.kind for leak in load_data(settings).leaks] == ["exact"]
    found = load_data({**settings, "leaks": "perceptual"}).leaks
    assert {(leak.kind, leak.test) for leak in found} == {
        ("exact", f"{folder.images}/t/5.png"),
        ("perceptual", f"{folder.images}/t/2.png"),
    }


def test_balance_of_the_whole_is_said(folder):
    folder.faces("a.jsonl", 40, AUs=lambda index: ["AU9"] if index == 0 else ["AU12"])
    data = load_data(config(folder, amount=30, balance="action_units", repeats=True, split={"test": 0.0}), need=("train",))
    assert len(data.train) == 30
    rare = sum("AU9" in (record.AUs or ()) for record in data.train)
    assert rare == 1 and not data.train.repeats, "one of 30 is its share of 3 %"


def test_files_of_a_source_may_have_a_protocol_of_their_own(folder):
    folder.faces("a.jsonl", 4, dataset="DISFA", labels=[""], AUs=lambda index: ["AU12"] if index else [])
    folder.faces("b.jsonl", 4, dataset="mine", AUs=[])
    sources = [
        {"files": [str(folder.path / "a.jsonl")], "images": [str(folder.images)], "protocol": {"name": "disfa"}},
        {"files": [str(folder.path / "b.jsonl")], "images": [str(folder.images)]},
    ]
    data = load_data({"sources": sources, "split": {"test": 0.0}}, need=("train",))
    assert {record.dataset: data.protocol_of(record).name for record in data.train} == {"DISFA": "disfa", "mine": "generic"}
    assert next(record for record in data.train if record.id == "a0").AUs == (), "[] is coded, none present, in DISFA"
    assert next(record for record in data.train if record.dataset == "mine").AUs is None, "and not coded in the other file"
