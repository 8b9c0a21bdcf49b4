"""`facial-r1 cache`: shows and prunes, and says what it did not understand."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from facial_r1 import commands
from facial_r1.generation import cache as cache_module
from facial_r1.generation.cache import ResponseCache
from facial_r1.generation.cache_command import duration, main, size
from facial_r1.generation.engine import Completion


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The common cache with two models, one of them 40 days old."""
    monkeypatch.setenv("FACIAL_R1_CACHE", str(tmp_path))
    cache, now = ResponseCache(tmp_path / "responses.sqlite"), time.time()
    cache.put_many([(b"1", Completion("x", (), "stop"))], {"model": "qwen", "weights": "abc", "engine": "vllm"})
    monkeypatch.setattr(cache_module.time, "time", lambda: now - 40 * 86400)
    cache.put_many([(b"2", Completion("y", (), "stop"))], {"model": "gpt", "weights": "https://x/v1", "engine": "openai"})
    monkeypatch.setattr(cache_module.time, "time", lambda: now)
    return cache.path


def test_show(path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["show"]) == 0
    first, header, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{path}: 2 answers, ") and header.split() == [
        "model",
        "weights",
        "engine",
        "answers",
        "size",
        "first",
        "last",
    ]
    assert sorted(row.split()[:4] for row in rows) == [["gpt", "https://x/v1", "openai", "1"], ["qwen", "abc", "vllm", "1"]]


def test_show_without_a_cache_makes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["show", "--file", str(tmp_path / "none.sqlite")]) == 0
    assert "there is no cache yet" in capsys.readouterr().out and not (tmp_path / "none.sqlite").exists()


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--older-than", "30d"], {"qwen"}),
        (["--model", "qwen"], {"gpt"}),
        (["--max-size", "0"], set()),
        (["--max-size", "1G"], {"qwen", "gpt"}),
    ],
)
def test_prune(path: Path, arguments: list[str], left: set[str], capsys: pytest.CaptureFixture[str]):
    assert main(["prune", *arguments]) == 0
    assert {share.model for share in ResponseCache(path).stats()} == left
    assert capsys.readouterr().out.startswith(f"deleted {2 - len(left)} answer")


def test_prune_says_what_it_needs(path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["prune"]) == 2 and "--older-than 30d, --max-size 2G or --model NAME" in capsys.readouterr().err
    assert main(["prune", "--model", "qwem"]) == 2 and "did you mean 'qwen'?" in capsys.readouterr().err


def test_ages_and_sizes():
    assert (duration("12h"), duration("1.5d"), size("500"), size("2K"), size("1.5G"), size("3MiB")) == (
        43200,
        129600,
        500,
        2048,
        3 << 29,
        3 << 20,
    )
    for wrong in ("30", "d", "3 months"):
        with pytest.raises(Exception, match="give a number and a unit"):
            duration(wrong)


def test_it_is_a_command_with_help(capsys: pytest.CaptureFixture[str]):
    assert "cache" in commands.names()
    with pytest.raises(SystemExit) as ended:
        commands.run("cache", ["prune", "--help"])
    assert ended.value.code == 0 and "--older-than" in capsys.readouterr().out
