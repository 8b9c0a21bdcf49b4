"""Answers as records: what evaluation would read, what a loader takes back."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.schema import Prompt
from facial_r1.config.validation import validate
from facial_r1.data import Record, load_protocol, load_records
from facial_r1.predict.answers import Prediction, predict
from facial_r1.predict.showing import facts
from facial_r1.predict.showing import plain as as_text

GOOD = "<think>The lip corners rise (AU12), no AU4.</think><answer>happy</answer>"
PROMPT: Prompt = validate(plain(compose_tree(["prompt=brief"]))).prompt


def read(completion: str, protocol: str = "generic", finish_reason: str = "stop") -> Prediction:
    record = Record("a.png", "predicted", ("/pictures/a.png",), "", None, ())
    return predict(record, completion, finish_reason, load_protocol(protocol), PROMPT)


def test_a_good_answer() -> None:
    said = read(GOOD)
    assert (said.action_units, said.labels, said.left_out, said.valid) == (("AU12",), ("happiness",), (), True)
    assert said.reasoning == "The lip corners rise (AU12), no AU4."
    row = said.to_json()
    assert (row["AUs"], row["labels"], row["description"], row["completion"], row["valid"]) == (
        ["AU12"],
        ["happiness"],
        GOOD,
        GOOD,
        True,
    )
    assert "is_valid" not in row


def test_nothing_is_read_out_of_an_answer_that_names_no_unit() -> None:
    """`[]` would say that no unit is active."""
    said = read("A face.")
    assert said.action_units is None and said.to_json()["AUs"] is None
    assert read("<think>A calm face.</think><answer>neutral</answer>").action_units == ()


def test_an_answer_outside_of_the_format_is_no_target_for_training() -> None:
    row = read("<think>AU12 is active", finish_reason="length").to_json()
    assert (row["description"], row["valid"], row["is_valid"], row["finish_reason"]) == ("", False, False, "length")


def test_what_the_protocol_does_not_know_is_left_out_and_said() -> None:
    said = read("<think>AU12, AU43 and AU99.</think><answer>contempt</answer>", "schematic")
    assert (said.action_units, said.labels) == (("AU12",), ()) and set(said.left_out) == {"contempt", "AU43", "AU99"}
    assert "contempt, AU43, AU99 (not in the protocol)" in dict(facts(said))["left out"]


def test_labels_of_an_open_vocabulary_are_words() -> None:
    assert read("<think>She smiles.</think><answer>Relieved, calm</answer>", "open").labels == ("relieved", "calm")


def test_a_protocol_without_emotions_has_no_labels() -> None:
    said = read("<think>The lip corners rise (AU12).</think><answer>AU12</answer>", "disfa")
    assert (said.action_units, said.labels, said.valid) == (("AU12",), (), True)


def test_rows_are_ready_for_data_jsonl(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    answers = [GOOD, "<think>AU6 and AU99.</think><answer>delighted beyond words</answer>", "nothing"]
    rows = []
    for number, answer in enumerate(answers):
        record = Record(f"r{number}", "predicted", (str(tmp_path / "a.png"),), "", None, ())
        rows.append(predict(record, answer, "stop", load_protocol("generic"), PROMPT).to_json())
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = load_records(tmp_path / "rows.jsonl", protocol="generic")
    assert [(record.id, record.AUs, record.labels) for record in loaded] == [
        ("r0", ("AU12",), ("happiness",)),
        ("r1", ("AU6",), ()),
    ]
    assert loaded.invalid == 1 and loaded.records[0].description == GOOD


def test_text_for_people() -> None:
    assert as_text(read(GOOD)).splitlines() == [
        "a.png",
        "  emotion:      happiness",
        "  action units: AU12 lip corner puller",
        "  reasoning:    The lip corners rise (AU12), no AU4.",
    ]
    assert "cut off at stage.max_new_tokens" in as_text(read("<think>AU12", finish_reason="length"))
    failed = Prediction(Record("x", "", (), "", None, ()), "", "error", "", None, (), (), False, "server after 3 tries")
    assert as_text(failed).splitlines()[1:] == ["  no answer:    server after 3 tries"]
