"""The published format in every spelling that people have it in."""

from __future__ import annotations

import gzip
import json

import pytest

from facial_r1.data import Protocol, load_protocol, load_records

CODED = Protocol("coded", ("happiness",), empty_action_units="absent")


def read(folder, row, protocol=None, name="a.jsonl"):
    [record] = load_records(folder.rows(name, [{"image": "face.png"} | row]), folder.images, protocol=protocol)
    return record


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        ([], ()),
        ([""], ()),
        (None, ()),
        ("", ()),
        ("happiness", ("happiness",)),
        (["happy"], ("happiness",)),
        (["Happy "], ("happiness",)),
        (["sad", "surprised"], ("sadness", "surprise")),
        (["happy", "joy"], ("happiness",)),
        ([None, "fearful"], ("fear",)),
    ],
)
def test_labels(folder, written, labels):
    assert read(folder, {"labels": written}).labels == labels


@pytest.mark.parametrize(
    ("written", "units"),
    [
        (None, None),
        ("", None),
        ([], None),
        ([""], None),
        (["AU1", "AU12"], ("AU1", "AU12")),
        (["AU12", "AU1", "AU12"], ("AU1", "AU12")),
        (["au01"], ("AU1",)),
        (["AU 4", "AU-5", "AU_6"], ("AU4", "AU5", "AU6")),
        ([12, "12"], ("AU12",)),
        (12, ("AU12",)),
        ("AU12", ("AU12",)),
        ("4, 9, 15", ("AU4", "AU9", "AU15")),
        ("AU1+AU4", ("AU1", "AU4")),
        ("AU 4, AU 9", ("AU4", "AU9")),
        ("1 2 26", ("AU1", "AU2", "AU26")),
    ],
)
def test_action_units(folder, written, units):
    assert read(folder, {"AUs": written}).AUs == units


@pytest.mark.parametrize("written", [[], [""]])
def test_an_empty_list_is_a_coded_face_where_the_protocol_says_so(folder, written):
    assert read(folder, {"AUs": written}, CODED).AUs == ()


@pytest.mark.parametrize("row", [{}, {"AUs": None}])
def test_no_list_is_an_uncoded_face_under_every_protocol(folder, row):
    assert read(folder, row, CODED).AUs is None


@pytest.mark.parametrize(("threshold", "units"), [(0.0, ("AU1", "AU12")), (2.0, ("AU12",)), (4.0, ())])
def test_intensities_count_from_the_threshold_on(folder, threshold, units):
    protocol = Protocol("disfa", (), presence_threshold=threshold)
    assert read(folder, {"AUs": {"AU1": 1, "AU2": 0, "AU12": 3.5}}, protocol).AUs == units


@pytest.mark.parametrize("key", ["image", "images"])
@pytest.mark.parametrize("form", ["text", "list"])
def test_image_keys(folder, key, form):
    value = "face.png" if form == "text" else ["face.png"]
    file = folder.rows("a.jsonl", [{key: value}])
    assert load_records(file, folder.images)[0].images == (str(folder.images / "face.png"),)


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_absolute_image_paths(folder, prefix):
    path = str(folder.images / "face.png")
    assert load_records(folder.rows("a.jsonl", [{"image": prefix + path}]))[0].images == (path,)


def test_images_are_found_beside_the_file_and_in_images(folder):
    (folder.path / "beside.png").write_bytes((folder.images / "face.png").read_bytes())
    file = folder.rows("a.jsonl", [{"image": "beside.png"}, {"image": "face.png"}])
    assert [record.images[0] for record in load_records(file)] == [
        str(folder.path / "beside.png"),
        str(folder.images / "face.png"),
    ]


def test_a_bare_row_gets_an_id_from_file_and_line_and_a_dataset_from_the_file(folder):
    file = folder.rows("mine.v2.jsonl", ["", {"image": "face.png"}])
    [record] = load_records(file, folder.images)
    assert (record.id, record.dataset, record.meta_info) == ("mine.v2:2", "mine.v2", {})


def test_dataset_may_be_called_source_as_in_the_sibling_release(folder):
    assert read(folder, {"source": "MFEA"}).dataset == "MFEA"


def test_numbers_as_ids_and_subjects(folder):
    record = read(folder, {"id": 17, "subject": 3})
    assert (record.id, record.subject) == ("17", "3")


ROWS = [{"id": "a", "image": "face.png"}, {"id": "b", "image": "face.png"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", "\n".join(map(json.dumps, ROWS)).encode()),
        ("a.json", json.dumps(ROWS).encode()),
        ("a.json", json.dumps(ROWS, indent=2).encode()),
        ("a.json", b"\xef\xbb\xbf \n" + json.dumps(ROWS).encode()),
        ("a.jsonl", b"\xef\xbb\xbf" + "\r\n\r\n".join(map(json.dumps, ROWS)).encode()),
        ("a.jsonl.gz", gzip.compress("\n".join(map(json.dumps, ROWS)).encode())),
        ("a.json.gz", gzip.compress(json.dumps(ROWS).encode())),
        ("a", json.dumps(ROWS).encode()),
    ],
    ids=[
        "lines",
        "array",
        "indented array",
        "array with BOM",
        "lines with BOM and CRLF",
        "gz",
        "array gz",
        "bare",
    ],
)
def test_containers(folder, name, content):
    (folder.path / name).write_bytes(content)
    assert [record.id for record in load_records(folder.path / name, folder.images)] == ["a", "b"]


def test_array_rows_know_their_line(folder):
    (folder.path / "a.json").write_text(json.dumps([{"image": "face.png"}, {"image": "face.png"}], indent=1))
    records = load_records(folder.path / "a.json", folder.images)
    assert [record.source.rpartition(":")[2] for record in records] == ["2", "5"]


def test_colon_joined_files_and_folders_are_a_list(folder):
    a, b = folder.faces("a.jsonl", 2), folder.faces("b.jsonl", 2)
    joined = load_records(f"{a}:{b}", f"{folder.images}:{folder.images}")
    listed = load_records([a, b], [folder.images, folder.images])
    assert [record.id for record in joined] == ["a0", "a1", "b0", "b1"] == [record.id for record in listed]


def test_a_path_that_holds_a_colon_and_exists_is_taken_whole(folder):
    file = folder.rows("a:b.jsonl", [{"image": "face.png"}])
    assert len(load_records(str(file), str(folder.images))) == 1


@pytest.mark.parametrize("value", [False, "false"])
def test_invalid_rows_are_left_out_and_counted(folder, value):
    file = folder.rows("a.jsonl", [{"image": "face.png"}, {"image": "absent.png", "is_valid": value}])
    records = load_records(file, folder.images)
    assert (len(records), records.invalid, records.summary()["invalid"]) == (1, 1, 1)


def test_files_that_count_from_one_get_distinct_ids_in_either_order(folder):
    a = folder.rows("a.jsonl", [{"id": 1, "image": "face.png"}, {"id": 2, "image": "face.png"}])
    b = folder.rows("b.jsonl", [{"id": 1, "image": "face.png", "labels": ["fear"]}])
    c = folder.rows("c.jsonl", [{"id": 9, "image": "face.png"}])
    there, back = load_records([a, b, c]), load_records([c, b, a])
    assert {record.id for record in there} == {"a:1", "a:2", "b:1", "9"} == {record.id for record in back}
    assert any("share ids" in note for note in there.notes)


def test_a_misspelt_optional_field_is_noted(folder):
    records = load_records(folder.rows("a.jsonl", [{"image": "face.png", "lables": ["fear"]}]), folder.images)
    assert records.notes == ["a.jsonl: 1 rows have the unknown field 'lables'; did you mean 'labels'?"]


def test_rows_of_one_split(folder):
    file = folder.rows("a.jsonl", [{"image": "face.png", "split": side} for side in ("train", "test", "train")])
    assert len(load_records(file, folder.images, split="train")) == 2


def test_open_protocol_takes_free_words(folder):
    assert read(folder, {"labels": ["Bitter-sweet", "happy"]}, load_protocol("open")).labels == (
        "bitter-sweet",
        "happy",
    ), "words stay as they are: happy and happiness are two words to a wheel"


def test_summary_counts(folder):
    file = folder.faces(
        "a.jsonl",
        8,
        labels=lambda index: ["fear"] if index % 4 == 0 else [],
        AUs=lambda index: [1] * (index % 2),
    )
    summary = load_records(file, folder.images).summary()
    assert {key: summary[key] for key in ("rows", "subjects", "images", "labelled", "coded")} == {
        "rows": 8,
        "subjects": 2,
        "images": 8,
        "labelled": 2,
        "coded": 4,
    }
    assert (summary["labels"], summary["AUs"], summary["datasets"]) == ({"fear": 2}, {"AU1": 4}, {"a": 8})
