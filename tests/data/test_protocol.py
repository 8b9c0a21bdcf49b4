"""What labels and units mean under a protocol."""

from __future__ import annotations

import pytest
import yaml

from facial_r1.affect import ACTION_UNITS, EMOTIONS
from facial_r1.config.schema import Protocol as ProtocolConfig
from facial_r1.data import Protocol, load_protocol
from facial_r1.data.protocol import shipped_protocols
from facial_r1.errors import InputError


def test_the_default_protocol():
    protocol = load_protocol()
    assert (protocol.name, protocol.labels, protocol.empty_action_units) == ("generic", EMOTIONS, "unknown")
    assert protocol.action_units == () and protocol.vocabulary == tuple(ACTION_UNITS)


def test_the_schematic_protocol():
    protocol = load_protocol("schematic")
    assert set(protocol.labels) == set(EMOTIONS) - {"contempt"}
    assert len(protocol.action_units) == 15 and protocol.empty_action_units == "absent"


@pytest.mark.parametrize("name", shipped_protocols())
def test_shipped_protocols_survive_a_round_trip(name):
    protocol = load_protocol(name)
    assert load_protocol(protocol.to_dict()) == protocol
    assert load_protocol(yaml.safe_load(yaml.safe_dump(protocol.to_dict()))) == protocol


def test_a_shipped_name_gives_what_is_left_out():
    protocol = load_protocol({"name": "schematic", "labels": ["fear"]})
    assert protocol.labels == ("fear",) and len(protocol.action_units) == 15


def test_the_typed_protocol_of_a_job():
    protocol = load_protocol(ProtocolConfig(name="generic", presence_threshold=2.0))
    assert protocol.labels == EMOTIONS and protocol.presence_threshold == 2.0


def test_a_protocol_of_ones_own_in_a_file(tmp_path):
    (tmp_path / "mine.yaml").write_text("labels: [happy, sad]\nclusters: subject\n")
    with pytest.raises(InputError, match=r"mine\.yaml: unknown key 'clusters'; did you mean 'cluster'\?"):
        load_protocol(str(tmp_path / "mine.yaml"))
    (tmp_path / "good.yaml").write_text("labels: [happy, sad]\n")
    assert load_protocol(str(tmp_path / "good.yaml")).name == "good"


def test_a_space_of_adjectives_understands_nouns():
    protocol = Protocol("mine", ("happy", "sad"))
    assert [protocol.label(text) for text in ("happy", "Happiness", "SAD", "fear")] == [
        "happy",
        "happy",
        "sad",
        None,
    ]


def test_aliases_go_before_what_is_known():
    protocol = Protocol("mine", ("anger", "neutral"), {"calm": "anger", "Fed  up": "anger"})
    assert [protocol.label(text) for text in ("calm", "fed up", "expressionless")] == [
        "anger",
        "anger",
        "neutral",
    ]


def test_a_label_outside_the_space_is_unknown_also_when_it_is_an_emotion():
    assert load_protocol("schematic").label("contempt") is None


def test_units_outside_the_vocabulary_are_unknown():
    protocol = load_protocol("schematic")
    assert [protocol.action_unit(text) for text in ("AU12", 12, "au 12", "AU14", "x")] == ["AU12"] * 3 + [None] * 2
    assert "add it to data.protocol.action_units" in protocol.action_unit_fix("AU14")


BAD = {
    "unknown name": ("genric", "did you mean 'generic'?"),
    "unknown key": ({"label": ["x"]}, "unknown key 'label'; did you mean 'labels'?"),
    "unknown unit": ({"action_units": ["AU1", "AU99"]}, "'AU99' is no FACS code"),
    "alias to nowhere": ({"labels": ["anger"], "aliases": {"mad": "angre"}}, "did you mean 'anger'?"),
    "empty units": ({"empty_action_units": "none"}, "give absent (coded, none active) or unknown"),
    "text for a list": ({"labels": "anger"}, "give a list"),
    "no file": ("nowhere.yaml", "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_protocol(case):
    settings, fix = BAD[case]
    with pytest.raises(InputError) as caught:
        load_protocol(settings)
    assert fix in str(caught.value)


# --- what the configuration leaves to the protocol -----------------------------------------------------------


def test_a_configuration_that_only_names_a_protocol_is_that_protocol():
    for name in shipped_protocols():
        assert load_protocol(ProtocolConfig(name=name)) == load_protocol(name)


def test_values_of_the_configuration_win_over_the_protocol():
    settings = ProtocolConfig(name="schematic", empty_action_units="unknown", action_units=[], cluster="dataset")
    protocol = load_protocol(settings)
    assert (protocol.empty_action_units, protocol.action_units, protocol.cluster) == ("unknown", (), "dataset")
    assert protocol.labels == load_protocol("schematic").labels


def test_aliases_of_the_configuration_add_to_those_of_the_protocol(tmp_path):
    (tmp_path / "mine.yaml").write_text("labels: [anger, sadness]\naliases: {mad: anger, blue: sadness}\n")
    path = str(tmp_path / "mine.yaml")
    protocol = load_protocol({"name": path, "aliases": {"mad": "sadness", "low": "sadness"}})
    assert [protocol.label(word) for word in ("mad", "blue", "low")] == ["sadness"] * 3
    narrower = load_protocol({"name": path, "labels": ["sadness"]})
    assert narrower.label("blue") == "sadness" and narrower.label("mad") is None


def test_an_unknown_name_alone_is_refused_and_with_values_it_is_ones_own():
    with pytest.raises(InputError, match="no such protocol; did you mean 'schematic'"):
        load_protocol(ProtocolConfig(name="schematics"))
    assert load_protocol(ProtocolConfig(name="mine", labels=["joy"])).labels == ("joy",)


def test_no_emotion_differs_from_any_emotion():
    assert load_protocol("action_units").labels is None and load_protocol("open").labels == ()
    assert load_protocol({"name": "generic", "labels": "none"}).labels is None
    assert load_protocol({"name": "generic", "labels": []}).labels == ()
    with pytest.raises(ValueError, match=r"labels=anger: give a list, \[anger, \.\.\.\]"):
        ProtocolConfig(labels="anger")


def test_counts_name_labels_of_the_space():
    with pytest.raises(InputError, match=r"data\.protocol\.counts\.train\.angre: .* did you mean 'anger'"):
        load_protocol({"name": "mine", "labels": ["anger"], "counts": {"train": {"angre": 1}}})


def test_a_subject_is_in_one_fold():
    with pytest.raises(InputError, match="subject S1 is in two folds"):
        load_protocol({"name": "mine", "labels": ["anger"], "folds": [["S1"], ["S2", "S1"]]})
    with pytest.raises(InputError, match="give a list of subjects for each fold"):
        load_protocol({"name": "mine", "labels": ["anger"], "folds": ["S1", "S2"]})


def test_choices_of_the_command_line_are_shipped_protocols(root):
    for file in sorted((root / "conf/protocol").glob("*.yaml")):
        values = yaml.safe_load(file.read_text())
        assert load_protocol(values) == load_protocol(file.stem), file.name


def test_a_choice_wins_over_the_protocol_of_the_data(root):
    from facial_r1.config.compose import compose_tree
    from facial_r1.config.resolved import plain
    from facial_r1.config.validation import validate

    for data in ("schematic", "jsonl", "raf_db"):
        more = {"jsonl": ["data.files=[a.jsonl]"], "raf_db": ["data.root=/x"]}.get(data, [])
        job = validate(plain(compose_tree([f"data={data}", "protocol=disfa", *more])))
        assert load_protocol(job.data.protocol) == load_protocol("disfa"), data
