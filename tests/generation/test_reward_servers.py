"""Extractor and judge over a real connection: cached, counted where they fail, and never guessing."""

from __future__ import annotations

import base64
import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facial_r1.config.schema import AnswerJudge, WordModel
from facial_r1.data.schematic.clip_files import write_sound, write_video
from facial_r1.errors import InputError
from facial_r1.generation.cache import ResponseCache
from facial_r1.generation.reward_servers import ServerComparer, ServerExtractor
from facial_r1.rewards.perception import Comparison, Perception
from tests.generation.fake_server import Body, serving, text_of
from tests.models.drawn_media import sound

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


def clip_record(folder: Path) -> dict[str, str]:
    """A record with a video of four frames at 2.5 a second, larger than the judge is shown, and its sound."""
    write_video(folder / "a.mp4", np.full((4, 480, 640, 3), 90, np.uint8), 2.5)
    write_sound(folder / "a.wav", sound(0, 1.6))
    return {"id": "1", "video": str(folder / "a.mp4"), "audio": str(folder / "a.wav"), "transcript": "Well done!"}


def test_the_judge_gets_the_video_as_it_is_and_the_sound(tmp_path: Path):
    record = clip_record(tmp_path)
    with serving(answer=prefer_longer) as server:
        comparer = ServerComparer(AnswerJudge(base_url=server.url, **FAST))
        assert comparer([Comparison(record, "happy, proud", "sad")]) == ["first"]
    parts = server.bodies[0]["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["video_url", "input_audio", "text"]
    kind, data = parts[0]["video_url"]["url"].split(",")
    assert kind == "data:video/mp4;base64" and base64.b64decode(data) == (tmp_path / "a.mp4").read_bytes()
    with wave.open(io.BytesIO(base64.b64decode(parts[1]["input_audio"]["data"]))) as file:
        assert (file.getframerate(), file.getnframes()) == (16_000, int(1.6 * 16_000))


def test_a_judge_without_video_gets_frames(tmp_path: Path):
    with serving(answer=prefer_longer) as server:
        settings = AnswerJudge(base_url=server.url, video="frames", frames=3, **FAST)
        ServerComparer(settings)([Comparison(clip_record(tmp_path), "happy, proud", "sad")])
    parts = server.bodies[0]["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["image_url"] * 3 + ["input_audio", "text"]
    first = Image.open(io.BytesIO(base64.b64decode(parts[0]["image_url"]["url"].split(",")[1])))
    assert first.size == (448, 336)


def test_a_video_that_is_too_large_is_refused_with_the_keys_that_help(tmp_path: Path):
    with (
        serving() as server,
        pytest.raises(InputError, match=r"a\.mp4: .* MiB to send.*reward\.judge\.video=frames.*max_megabytes"),
    ):
        settings = AnswerJudge(base_url=server.url, max_megabytes=0.0005, **FAST)
        ServerComparer(settings)([Comparison(clip_record(tmp_path), "happy, proud", "sad")])


def test_verdicts_are_kept_by_what_the_media_hold(tmp_path: Path, cache: ResponseCache):
    record = clip_record(tmp_path)
    with serving(answer=prefer_longer) as server:

        def compare(**settings: Any) -> int:
            """Questions that reached the server so far, after one more comparison."""
            judge = AnswerJudge(base_url=server.url, **settings, **FAST)
            ServerComparer(judge, cache)([Comparison(record, "happy, proud", "sad")])
            return len(server.seen)

        assert [compare(), compare()] == [1, 1]
        write_sound(tmp_path / "a.wav", sound(1, 1.6))
        assert compare() == 2, "another sound under the same name"
        write_video(tmp_path / "a.mp4", np.full((4, 480, 640, 3), 200, np.uint8), 2.5)
        assert compare() == 3, "another video under the same name"
        assert [compare(video="frames"), compare(video="frames"), compare(video="frames", frames=2)] == [4, 4, 5]
