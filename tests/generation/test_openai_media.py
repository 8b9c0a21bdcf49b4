"""Clips and sounds on their way to a server: what arrives is decoded and compared with what was shown."""

from __future__ import annotations

import base64
import dataclasses
import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facial_r1.config.schema import Endpoint, Sampling
from facial_r1.data.media import frames, waveform
from facial_r1.data.schematic.clip_files import write_sound, write_video
from facial_r1.errors import InputError
from facial_r1.generation.engine import Request
from facial_r1.generation.openai_engine import OpenAIEngine
from facial_r1.generation.openai_media import MediaParts, encoded, own_file
from facial_r1.generation.openai_wire import same_prompt
from facial_r1.models.media import Clip
from tests.generation.fake_server import Body, serving
from tests.models.drawn_media import RATE, asked, sound

Parts = list[dict[str, Any]]
SECONDS = 1.6


def moving(count: int = 4, height: int = 56, width: int = 84) -> np.ndarray:
    """Frames of one grey each, so that the codec changes little."""
    return np.stack([np.full((height, width, 3), 40 + 40 * place, np.uint8) for place in range(count)])


class Opener:
    """Shows the same clip and sound whatever is asked for."""

    def __call__(self, name: str) -> Image.Image:
        return Image.new("RGB", (28, 28))

    def clip(self, name: str) -> Clip:
        return Clip(moving(), SECONDS)

    def sound(self, name: str) -> np.ndarray:
        return sound(int(name), SECONDS)


def content(body: Body) -> Parts:
    return body["messages"][0]["content"]


def seen(part: dict[str, Any], folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The frames of a video part, and their times."""
    kind, data = part["video_url"]["url"].split(";base64,")
    assert kind == "data:video/mp4"
    (folder / "sent.mp4").write_bytes(base64.b64decode(data))
    return frames(folder / "sent.mp4", rate=4 / SECONDS)


def heard(part: dict[str, Any]) -> tuple[int, np.ndarray]:
    """Rate and samples of a sound part."""
    assert part["input_audio"]["format"] == "wav"
    with wave.open(io.BytesIO(base64.b64decode(part["input_audio"]["data"]))) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767


def ask(*parts: str, **settings: Any) -> Parts:
    """The content that a server gets for a prompt with these parts."""
    shown = Request("a", asked("Who?", *parts), ("0",) * parts.count("image"), videos=("1",) * (parts.count("video") + parts.count("clip")),
                    audios=("2",) * (parts.count("audio") + parts.count("clip")))  # fmt: skip
    with serving() as server:
        OpenAIEngine(Endpoint(base_url=server.url, model="m"), Opener(), **settings).generate([shown], Sampling(), 0)
    return content(server.bodies[0])


def test_a_clip_arrives_with_our_frames_at_their_rate_and_its_sound_behind_it(tmp_path: Path) -> None:
    parts = ask("image", "clip")
    assert [part["type"] for part in parts] == ["image_url", "video_url", "input_audio", "text"]
    pictures, times = seen(parts[1], tmp_path)
    assert pictures.shape == (4, 56, 84, 3) and np.allclose(times, np.arange(4) * SECONDS / 4, atol=0.01)
    assert np.abs(pictures.astype(int) - moving()).max() < 8
    rate, samples = heard(parts[2])
    assert rate == RATE and np.abs(samples - sound(2, SECONDS)).max() < 1e-4


def test_a_server_without_video_gets_frames() -> None:
    parts = ask("video", video="frames")
    assert [part["type"] for part in parts] == ["image_url"] * 4 + ["text"]
    first = Image.open(io.BytesIO(base64.b64decode(parts[0]["image_url"]["url"].split(",")[1])))
    assert np.array_equal(np.asarray(first), moving()[0])


def test_what_is_too_large_is_refused_with_its_size_and_the_fix() -> None:
    with pytest.raises(InputError, match=r"1: 0\.\d MiB to send, where 0\.00\d+ MiB are the most.*or show less"):
        ask("video", largest=1000, advice="show less")
    with pytest.raises(InputError, match=r"2: 0\.0 MiB to send"):
        ask("audio", largest=1000)


def test_an_opener_of_pictures_says_so() -> None:
    with pytest.raises(InputError, match="names a clip, and what opens files here opens pictures alone"):
        MediaParts(lambda path: Image.new("RGB", (8, 8)), lambda picture: "").clip("a.mp4")


def test_odd_sides_are_filled_up() -> None:
    kind, data = encoded(Clip(moving(2, 57, 83), 1.0))
    assert kind == "video/mp4" and len(data) > 100


@pytest.mark.parametrize("name", ["a.npy", "folder", "a.txt"])
def test_what_is_no_video_file_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="send its frames as pictures"):
        own_file(name)


def test_prompts_with_other_clips_do_not_travel_together() -> None:
    one = Request("a", asked("Who?", "clip"), (), videos=("1",), audios=("1",))
    assert same_prompt(one, dataclasses.replace(one, key="b", sample=3))
    assert not same_prompt(one, dataclasses.replace(one, videos=("2",)))
    assert not same_prompt(one, dataclasses.replace(one, audios=("2",)))


@pytest.mark.parametrize(
    ("videos", "message"), [((), "more video parts than files"), (("1", "2"), "fewer video parts than files")]
)
def test_files_and_parts_that_do_not_match_are_refused(videos: tuple[str, ...], message: str) -> None:
    with serving() as server, pytest.raises(InputError, match=message):
        engine = OpenAIEngine(Endpoint(base_url=server.url, model="m"), Opener())
        engine.generate([Request("a", asked("Who?", "video"), (), videos=videos)], Sampling(), 0)


def test_written_files_are_read_as_written(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", moving(), 2.5)
    write_sound(tmp_path / "a.wav", sound(0, SECONDS))
    assert own_file(str(tmp_path / "a.mp4")) == ("video/mp4", (tmp_path / "a.mp4").read_bytes())
    assert len(waveform(tmp_path / "a.wav", RATE)) == int(SECONDS * RATE)
