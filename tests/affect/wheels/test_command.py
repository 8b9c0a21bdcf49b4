"""`facial-r1 wheels` explains words and draws wheels."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from facial_r1 import commands
from facial_r1.affect.wheels import load
from facial_r1.affect.wheels.command import main
from facial_r1.affect.wheels.drawing import _spread, draw_wheel
from facial_r1.errors import InputError


def test_the_command_is_registered():
    assert "wheels" in commands.names()


def test_show_explains_the_path_on_each_wheel(capsys: pytest.CaptureFixture[str]):
    assert main(["show", "happy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "happy (embedded)"
    assert [line.split()[0] for line in lines[-5:]] == ["1", "2", "3", "4", "5"]
    assert "happy / accepted through happy" in lines[-5]


def test_show_suggests_a_word_for_one_that_is_unknown(capsys: pytest.CaptureFixture[str]):
    assert main(["show", "hapy"]) == 1
    assert "did you mean 'happy'?" in capsys.readouterr().out


def test_show_says_what_becomes_of_neutral(capsys: pytest.CaptureFixture[str]):
    main(["show", "neutral"])
    assert "strict gives it the sector neutral" in capsys.readouterr().out


def test_show_as_json(capsys: pytest.CaptureFixture[str]):
    main(["show", "sad", "angry", "--json"])
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["word"], second["word"]) == ("sad", "angry")
    assert first["steps"][0]["level1"] == "sad"


def test_a_source_without_its_folder_is_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["show", "happy", "--source", "mer2026"]) == 2
    assert "give the folder with the released tables" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_draw_writes_a_picture(tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]):
    target = tmp_path / "new" / f"wheel.{ending}"
    assert main(["draw", "--truth", "happy, hmm", "--prediction", "joyful, angry", "--out", str(target)]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    if ending == "png":
        with Image.open(target) as picture:
            assert min(picture.size) > 1000
    else:
        assert "joyful" in target.read_text() or "<svg" in target.read_text()[:500]


def test_all_five_wheels_side_by_side(tmp_path: Path):
    target = draw_wheel(load(), "happy, sad", "neutral", tmp_path / "all.png", wheel=None, mode="strict")
    with Image.open(target) as picture:
        assert picture.size[0] > 3000


def test_another_ending_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["draw", "--out", str(tmp_path / "wheel.gif")]) == 2
    assert ".png, .svg or .pdf" in capsys.readouterr().err


def test_wheel_6_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="give 1 to 5"):
        draw_wheel(load(), "", "", tmp_path / "a.png", wheel=6)


@pytest.mark.parametrize("upwards", [True, False])
def test_words_are_moved_apart_and_stay_on_the_page(upwards: bool):
    sign = 1 if upwards else -1
    heights = _spread([sign * x for x in (0.9, 0.95, 1.0, 1.1)], [0.2] * 4, upwards)
    gaps = [sign * (two - one) for one, two in pairwise(heights)]
    assert min(gaps) >= 0.2 - 1e-9
    assert max(map(abs, heights)) <= 1.24
