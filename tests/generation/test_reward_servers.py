"""Extractor and judge over a real connection: cached, counted where they fail, and never guessing."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from facial_r1.config.schema import AnswerJudge, WordModel
from facial_r1.generation.cache import ResponseCache
from facial_r1.generation.reward_servers import ServerComparer, ServerExtractor
from facial_r1.rewards.perception import Comparison, Perception
from tests.generation.fake_server import Body, serving, text_of

FAST = {"model": "m", "retries": 0, "timeout": 2.0}


def extract(body: Body, index: int) -> str:
    text = text_of(body)
    return "no list here" if "mumble" in text else "[Happy, at ease]"


def prefer_longer(body: Body, index: int) -> str:
    first, second = text_of(body).split("Answer 1: ")[1].split("Answer 2: ")
    return f"Verdict: {1 if len(first.strip()) >= len(second.split('End with')[0].strip()) else 2}"


@pytest.fixture
def cache(tmp_path: Path) -> ResponseCache:
    return ResponseCache(tmp_path / "responses.sqlite")


def test_words_come_from_the_server_once_a_text(cache: ResponseCache):
    with serving(answer=extract) as server:
        extractor = ServerExtractor(WordModel(base_url=server.url, **FAST), cache)
        assert extractor(["she smiles", "mumble", "she smiles"]) == [("happy", "at ease"), (), ("happy", "at ease")]
        assert len(server.seen) == 2 and extractor.counts == {"asked": 2, "unreadable": 1}
        assert extractor(["she smiles"]) == [("happy", "at ease")] and len(server.seen) == 2
    assert ServerExtractor(WordModel(base_url=server.url, **FAST), cache)(["she smiles"]) == [("happy", "at ease")]


def test_texts_the_server_fails_on_have_no_words_and_are_counted():
    with serving(lambda body, attempt: "500" if "broken" in text_of(body) else None, extract) as server:
        extractor = ServerExtractor(WordModel(base_url=server.url, **FAST))
        assert extractor(["fine", "broken"]) == [("happy", "at ease"), ()] and extractor.counts["unanswered"] == 1


def test_the_judge_sees_pictures_and_transcript_and_ranks_answers(tmp_path: Path, cache: ResponseCache):
    Image.new("RGB", (900, 600)).save(tmp_path / "a.png")
    record = {"id": "1", "image": str(tmp_path / "a.png"), "transcript": "Well done!"}
    with serving(answer=prefer_longer) as server:
        comparer = ServerComparer(AnswerJudge(base_url=server.url, **FAST), cache)
        assert comparer([Comparison(record, "happy, proud", "sad"), Comparison(record, "sad", "happy, proud")]) == [
            "first",
            "second",
        ]
        body = server.seen[0][2]
        assert [part["type"] for part in body["messages"][0]["content"]] == ["image_url", "text"] and "Well done!" in text_of(
            body
        )
        values = Perception(comparer)(["happy, proud", "sad", "happy, glad, merry", "mad"], [record] * 4)
    assert values[0] == values[2] == 1.0 and values[1] == values[3] == 0.0


def test_failed_comparisons_are_counted_and_decide_nothing(tmp_path: Path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    record = {"id": "1", "image": str(tmp_path / "a.png")}
    with serving(answer=lambda body, index: "I cannot tell.") as server:
        comparer = ServerComparer(AnswerJudge(base_url=server.url, **FAST))
        judged = Perception(comparer)
        assert judged(["happy", "sad"], [record] * 2) == [0.0, 0.0]
    assert comparer.counts == {"asked": 1, "unreadable": 1} and judged.counts["failed"] == judged.counts["unranked"] == 1
