"""Drawn faces laid out as FERBench: what the readers of the real files see."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facial_r1.data.ferbench import AUTHORS_NAMES, DATASETS, KEYS, LABELS
from facial_r1.data.schematic.ferbench_layout import COT, RLVR, Amounts, lay_out, main, split, word
from facial_r1.data.sources import ferbench, unifer
from facial_r1.errors import InputError
from facial_r1.prompts.completion import parse

SMALL = Amounts(test=56, described=28, labelled=28)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "data"
    lay_out(folder, SMALL)
    return folder


def questions(folder: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / f"{AUTHORS_NAMES[name]}_qa.json").read_text())
    return found


def everything(folder: Path) -> list[dict[str, Any]]:
    return [row for name in DATASETS for row in questions(folder, name)]


def shape(path: str) -> str:
    """A path with what tells pictures apart taken out."""
    folder, _, name = path.rpartition("/")
    name = re.sub(r"^[0-9a-f]{56}(?=\.)", "<hash>", name)
    name = re.sub(r"^[^_]+_\d{9}_\d{8}(?=\.png$)", "<scene>", name)
    return re.sub(r"\d+", "0", f"{folder}/{name}")


def test_the_reader_of_the_benchmark_finds_every_question_and_picture(drawn: Path) -> None:
    found = ferbench.read(drawn)
    assert found.problems == [] and len(found.records) == sum(split(56).values()) == 63
    assert all(Path(record.images[0]).is_file() for record in found.records)


@pytest.mark.parametrize(("file", "read"), [(COT, unifer.read_cot), (RLVR, unifer.read_rlvr)])
def test_the_readers_of_the_training_files_find_every_row_and_no_overlap(drawn: Path, file: str, read: Any) -> None:
    found = read(drawn, ferbench=str(drawn))
    assert found.problems == [] and len(found.records) == len(json.loads((drawn / file).read_text())) == 28
    assert not any("show pictures of FERBench" in note for note in found.notes)
    assert all(record.labels and Path(record.images[0]).is_file() for record in found.records)


@pytest.mark.parametrize("name", DATASETS)
def test_questions_have_the_keys_candidates_and_form_of_the_files(drawn: Path, name: str) -> None:
    rows = questions(drawn, name)
    assert {tuple(row) for row in rows} == {KEYS}
    assert {tuple(row["candidate_labels"]) for row in rows} == {LABELS[name]}
    assert all(", ".join(LABELS[name]) + "." in row["prompt"] for row in rows)
    assert json.dumps(rows, indent=2).encode() == (drawn / f"{AUTHORS_NAMES[name]}_qa.json").read_bytes()


def test_every_emotion_but_contempt_is_asked_equally_often_in_each_set(drawn: Path) -> None:
    for name in DATASETS:
        counts = Counter(row["true_label"] for row in questions(drawn, name))
        assert len(set(counts.values())) == 1 and set(counts) == set(LABELS[name]) - {"contempt"}


def test_training_people_and_files_are_not_those_of_the_questions(drawn: Path) -> None:
    asked = {row["image_path"].rpartition("/")[2] for row in everything(drawn)}
    trained = [row["image_path"].rpartition("/")[2] for file in (COT, RLVR) for row in json.loads((drawn / file).read_text())]
    assert len(set(trained)) == len(trained) == 56 and not asked & set(trained)


def test_responses_are_well_formed_and_answer_in_the_words_of_their_question(drawn: Path) -> None:
    for row in json.loads((drawn / COT).read_text()):
        assert parse(row["response"]).valid
        assert re.search(rf"\b{parse(row['response']).answer}\b", row["question"]), row


def test_solutions_answer_in_the_words_of_their_question(drawn: Path) -> None:
    for row in json.loads((drawn / RLVR).read_text()):
        label = re.fullmatch(r"<answer>(\w+)</answer>", row["solution"])
        assert label and re.search(rf"\b{label[1]}\b", row["problem"])


def test_pictures_have_the_size_and_kind_of_their_set(drawn: Path) -> None:
    kinds = {}
    for name in DATASETS:
        with Image.open(drawn / questions(drawn, name)[0]["image_path"].lstrip("/")) as picture:
            kinds[name] = (picture.format, picture.mode, picture.size[0])
    assert kinds["ferplus"] == ("PNG", "L", 48) and kinds["rafdb"] == ("JPEG", "RGB", 100)
    assert (kinds["affectnet"][0], kinds["sfew"][0]) == ("JPEG", "PNG")


def test_amounts_are_split_as_the_benchmark_is() -> None:
    assert split(11072) == {"affectnet": 3997, "rafdb": 3066, "ferplus": 3570, "sfew": 434}
    assert min(split(28).values()) == 7
    assert [word("anger", name) for name in DATASETS] == ["anger", "anger", "angry", "angry"]


def test_the_same_amounts_are_found_again_and_others_refused(drawn: Path) -> None:
    before = (drawn / COT).stat().st_mtime_ns
    assert lay_out(drawn, SMALL)["counts"]["test"]["sfew"] == 7
    assert (drawn / COT).stat().st_mtime_ns == before
    with pytest.raises(InputError, match=r"was drawn with .*name another folder"):
        lay_out(drawn, Amounts(test=56, described=35, labelled=28))


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        lay_out(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("wrong", [{"test": 27}, {"described": 0}, {"seed": -1}])
def test_impossible_amounts_are_named(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=f"^{next(iter(wrong))}="):
        Amounts(**wrong)


def test_the_command_draws_and_says_what_to_give_the_recipes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(tmp_path / "data"), "--test", "28", "--described", "28", "--labelled", "28"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"data.root={tmp_path / 'data'}"
    assert main([*arguments, "--seed", "3"]) == 2
    assert "name another folder" in capsys.readouterr().err


def test_paths_and_question_are_those_of_the_benchmark(drawn: Path, reference: Path) -> None:
    for name in DATASETS:
        real, own = (questions(folder, name) for folder in (reference / "ferbench", drawn))
        assert {row["prompt"] for row in own} == {row["prompt"] for row in real}
        assert {shape(row["image_path"]) for row in own} <= {shape(row["image_path"]) for row in real}, name
