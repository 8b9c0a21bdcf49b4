"""Every bad input is named with its file, line, field and fix, all of them in one message."""

from __future__ import annotations

import json

import pytest

from facial_r1.data import load_records, write_skipped
from facial_r1.data.problems import SHOWN
from facial_r1.errors import InputError

GOOD = {"image": "face.png", "labels": ["happiness"], "AUs": ["AU6", "AU12"]}


def message(*args, **options) -> str:
    with pytest.raises(InputError) as caught:
        load_records(*args, **options)
    return str(caught.value)


ROWS = {
    "missing image": (
        GOOD | {"image": "gone.png"},
        "image",
        "image 'gone.png' is missing; looked for {images}/gone.png",
        "set data.images to the folder",
    ),
    "missing image with another suffix": (
        GOOD | {"image": "face.jpg"},
        "image",
        "image 'face.jpg' is missing",
        "did you mean {images}/face.png?",
    ),
    "missing image in a subfolder": (
        GOOD | {"image": "train/deep.png"},
        "image",
        "image 'train/deep.png' is missing",
        "did you mean {images}/below/deep.png?",
    ),
    "Windows path": (
        GOOD | {"image": "faces\\face.png"},
        "image",
        "is missing",
        "did you mean {images}/face.png?",
    ),
    "misspelt image": (
        GOOD | {"image": "fcae.png"},
        "image",
        "image 'fcae.png' is missing",
        "did you mean {images}/face.png?",
    ),
    "image on the web": (
        GOOD | {"image": "https://example.org/a.jpg"},
        "image",
        "is not a file",
        "save the image as a file",
    ),
    "image of a wrong type": (GOOD | {"image": 7}, "image", "is a number", '"image": "folder/a.jpg"'),
    "unreadable image": (GOOD | {"image": "text.png"}, "image", "unreadable image", "replace the file"),
    "cut off image": (GOOD | {"image": "cut.png"}, "image", "unreadable image", "replace the file"),
    "empty image": (GOOD | {"image": "zero.png"}, "image", "0 bytes", "copy it again"),
    "missing field": ({"labels": ["fear"]}, "image", "the field is missing", 'add "image": "folder/a.jpg"'),
    "misspelt field": (
        {"imgae": "face.png"},
        "image",
        "the field is missing",
        "\"image\" by 'imgae'? Rename it",
    ),
    "empty field": (GOOD | {"image": ""}, "image", "the field is empty", 'add "image": "folder/a.jpg"'),
    "unknown AU code": (
        GOOD | {"AUs": ["AU6", "AU99"]},
        "AUs",
        "unknown AU code 'AU99'",
        "did you mean 'AU9'?",
    ),
    "AU with letters": (GOOD | {"AUs": ["L12"]}, "AUs", "unknown AU code 'L12'", "did you mean 'AU12'?"),
    "AU of no kind": (
        GOOD | {"AUs": ["smile"]},
        "AUs",
        "unknown AU code 'smile'",
        "the known codes are AU1, AU2",
    ),
    "AU of a wrong type": (GOOD | {"AUs": [1.5]}, "AUs", "1.5 is a number", 'write codes as "AU12"'),
    "AUs of a wrong type": (GOOD | {"AUs": 1.5}, "AUs", "is a number", '"AUs": ["AU1", "AU12"]'),
    "AU intensity": (
        GOOD | {"AUs": {"AU1": "B"}},
        "AUs",
        "intensity 'B' is no number",
        '"AUs": {{"AU12": 3}}',
    ),
    "misspelt label": (
        GOOD | {"labels": ["hapiness"]},
        "labels",
        "label 'hapiness' is outside the protocol generic",
        "did you mean 'happiness'?",
    ),
    "other label": (
        GOOD | {"labels": ["boredom"]},
        "labels",
        "label 'boredom' is outside the protocol generic",
        "add it to data.protocol.labels",
    ),
    "label of a wrong type": (
        GOOD | {"labels": [3]},
        "labels",
        "not a label or a list",
        '"labels": ["happiness"]',
    ),
    "description of a wrong type": (
        GOOD | {"description": []},
        "description",
        "is a list",
        '"description": "..."',
    ),
    "meta_info of a wrong type": (GOOD | {"meta_info": "x"}, "meta_info", "is a text", '"meta_info": {{}}'),
    "not an object": ([1, 2], "json", "the row is a list, not an object", "write each row as"),
    "broken JSON": ('{"image": "face.png" "labels": []}', "json", "column 22", "mend the line or remove it"),
    "single quotes": ("{'image': 'face.png'}", "json", "column 2", "double quotes"),
    "cut off line": ('{"image": "face.png", "labels": ["ha', "json", "column 34", "the row ends too early"),
    "comma at the end": ('{"image": "face.png",}', "json", "broken JSON at column", "mend the line"),
}


@pytest.fixture
def spoilt(folder):
    """The folder with the damaged images that `ROWS` name."""
    whole = folder.image("below/deep.png").read_bytes()
    (folder.images / "text.png").write_text("this is no image")
    (folder.images / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder.images / "zero.png").write_bytes(b"")
    return folder


@pytest.mark.parametrize("case", ROWS)
def test_bad_row(spoilt, case):
    row, field, reason, fix = ROWS[case]
    file = spoilt.rows("a.jsonl", [GOOD, GOOD, row])
    text = message(file, spoilt.images)
    [problem] = load_records(file, spoilt.images, on_error="skip").skipped
    assert f"{file}:3: {field}: " in text, "file, line and field"
    assert (problem.file, problem.line, problem.field) == (str(file), 3, field)
    assert reason.format(images=spoilt.images) in problem.reason
    assert fix.format(images=spoilt.images) in problem.fix
    assert problem.reason in text and problem.fix in text
    assert "data.on_error=skip" in text, "the way to go on without the row"


@pytest.mark.parametrize("field", ["labels", "AUs", "description", "subject", "split", "question"])
def test_required_field(folder, field):
    file = folder.rows("a.jsonl", [{"image": "face.png"}])
    assert f'{file}:1: {field}: the field is missing\n      fix: add "{field}"' in message(
        file, folder.images, require=("image", field)
    )


def test_all_problems_of_a_row_are_named(folder):
    file = folder.rows("a.jsonl", [{"image": "x.png", "AUs": ["AU99"], "labels": ["boredom"], "question": 1}])
    problems = message(file, folder.images)
    assert problems.startswith("4 problems in the data:")


def test_twenty_problems_are_shown_and_the_rest_counted(folder):
    bad = [GOOD | {"labels": ["boredom"]}] * 30 + [GOOD | {"AUs": ["AU99"]}] * 3
    text = message(folder.rows("a.jsonl", bad), folder.images)
    assert text.count("fix:") == SHOWN == 20
    assert "33 problems" in text and "and 13 more: 10 in labels, 3 in AUs" in text


def test_problems_of_several_files_come_in_one_message_in_order(folder):
    a = folder.rows("a.jsonl", [GOOD, GOOD | {"AUs": ["AU99"]}])
    b = folder.rows("b.jsonl", ['{"x"', GOOD | {"image": "no.png"}])
    text = message([b, a], [folder.images, folder.images])
    places = [line.split(": ")[0].strip() for line in text.splitlines() if line.startswith("  /")]
    assert places == [f"{b}:1", f"{b}:2", f"{a}:2"]


def test_a_bad_image_of_several_rows_is_named_for_each(folder):
    (folder.images / "bad.png").write_text("no")
    file = folder.rows("a.jsonl", [{"image": "bad.png"}, GOOD, {"image": ["face.png", "bad.png"]}])
    problems = load_records(file, folder.images, on_error="skip").skipped
    assert [problem.line for problem in problems] == [1, 3]


FILES = {
    "empty": (b"", "the file is empty"),
    "blank": (b"\n  \n", "the file is empty"),
    "empty array": (b"[]", "the file is empty: []"),
    "one row over several lines": (json.dumps(GOOD, indent=2).encode(), "spread over several lines"),
    "array that breaks": (b'[{"image": "face.png"},\n{"image" 1}]', ":2: json: broken JSON at column 10"),
    "array that ends": (b'[{"image": "face.png"}', "Expecting ',' delimiter"),
    "binary": (b"PAR1\x00\xff\xfe\x00", "is not UTF-8 text"),
    "broken gzip": (b"\x1f\x8b\x08\x00garbage", "cannot be read"),
    "only invalid rows": (b'{"image": "face.png", "is_valid": false}', "all 1 rows say is_valid: false"),
}


@pytest.mark.parametrize("on_error", ["fail", "skip"])
@pytest.mark.parametrize("case", FILES)
def test_bad_file_is_an_error_also_when_rows_may_be_skipped(folder, case, on_error):
    content, reason = FILES[case]
    file = folder.path / "a.jsonl"
    file.write_bytes(content)
    text = message(file, folder.images, on_error=on_error)
    assert str(file) in text and reason in text and "fix: " in text
    assert "on_error=skip" not in text, "skipping does not help here"


def test_missing_file_suggests_its_neighbour(folder):
    file = folder.rows("train.jsonl", [GOOD])
    text = message(folder.path / "trian.jsonl")
    assert f"{folder.path}/trian.jsonl: file: the file does not exist" in text
    assert f"did you mean {file}?" in text


def test_missing_file_without_neighbours_says_what_paths_are_relative_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"paths are relative to {tmp_path}" in message("nowhere/a.jsonl")


def test_a_folder_is_no_file(folder):
    assert "this is a folder" in message(folder.images)


def test_missing_image_folder(folder):
    text = message(folder.rows("a.jsonl", [GOOD]), folder.path / "imagse")
    assert f"the image folder {folder.path}/imagse does not exist" in text and "set data.images" in text


@pytest.mark.parametrize(("files", "folders"), [(2, 1), (1, 2), (3, 2)])
def test_number_of_image_folders(folder, files, folders):
    names = [folder.faces(f"{index}.jsonl", 1) for index in range(files)]
    text = message(names, [folder.images] * folders)
    assert f"data.files names {files} file(s), data.images {folders} folder(s)" in text
    assert "give one folder for each file" in text and "data.images=[" in text


def test_no_files():
    assert "data.files is empty: give at least one JSONL file" in message([])


def test_a_file_named_twice(folder):
    file = folder.faces("a.jsonl", 1)
    assert f"names {file} twice" in message([file, file])


def test_duplicate_id_in_a_file(folder):
    file = folder.rows("a.jsonl", [GOOD | {"id": "x"}, GOOD, GOOD | {"id": "x"}])
    text = message(file, folder.images)
    assert f"{file}:3: id: id 'x' is already that of {file}:1" in text and "give each row its own id" in text


def test_the_same_row_in_two_files(folder):
    row = GOOD | {"id": "x", "dataset": "d"}
    a, b = folder.rows("a.jsonl", [row]), folder.rows("b.jsonl", [row])
    assert f"{b}:1: id: id 'x' is already that of {a}:1" in message([a, b], [folder.images] * 2)


def test_skipping_keeps_sound_rows_and_lists_the_others(folder, tmp_path):
    file = folder.rows("a.jsonl", [GOOD | {"id": "good"}, GOOD | {"AUs": ["AU99"], "labels": ["x"]}, '{"a'])
    records = load_records(file, folder.images, on_error="skip")
    assert [record.id for record in records] == ["good"]
    assert records.summary()["skipped"] == 2, "two rows, three problems"
    assert write_skipped(tmp_path / "run" / "skipped.jsonl", records.skipped) == 3
    written = [json.loads(line) for line in (tmp_path / "run" / "skipped.jsonl").read_text().splitlines()]
    assert [(row["line"], row["field"]) for row in written] == [(2, "AUs"), (2, "labels"), (3, "json")]
    assert all(row["file"] == str(file) and row["reason"] and row["fix"] for row in written)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["skipped.jsonl"], "nothing half-written"


def test_skipping_everything_is_an_error(folder):
    text = message(folder.rows("a.jsonl", [GOOD | {"AUs": ["AU99"]}]), folder.images, on_error="skip")
    assert "no sound row is left, 1 rows are bad" in text and "AU99" in text


def test_thousands_of_missing_images_are_reported_at_once(folder):
    for index in range(300):
        folder.image(f"face_{index}.png")
    file = folder.rows("a.jsonl", [{"image": f"fcae_{index}x.png"} for index in range(3000)])
    assert "3000 problems" in message(file, folder.images)
