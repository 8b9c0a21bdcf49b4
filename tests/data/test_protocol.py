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
