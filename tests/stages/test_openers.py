"""Files behind a prompt, opened as the model takes them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from facial_r1.config.media_schema import Audio, Video
from facial_r1.config.schema import ImageSize
from facial_r1.data import Record
from facial_r1.errors import InputError
from facial_r1.models import tiny_omni
from facial_r1.models.images import ImageSizer
from facial_r1.stages.openers import MediaOpener, shown, span

pytest.importorskip("av")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A clip of two seconds, 20 frames of 160 x 120 pixels that grow brighter, and a sound of one second."""
    from facial_r1.data.schematic.clip_files import write_sound, write_video

    folder = tmp_path_factory.mktemp("media")
    frames = np.stack([np.full((120, 160, 3), 10 * place, np.uint8) for place in range(20)])
    write_video(folder / "a.mp4", frames, 10.0)
    write_sound(folder / "a.wav", np.sin(np.arange(16_000) / 20).astype(np.float32) / 2)
    return str(folder / "a.mp4"), str(folder / "a.wav")


def opener(size: ImageSize, **changes: object) -> MediaOpener:
    processor = tiny_omni(random=True)[1]
    made = MediaOpener(ImageSizer.from_processor(processor, size), Video(frames=8), Audio(), 16_000)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


SQUARE = ImageSize(mode="square", side=112)


def test_frames_have_the_models_size_and_the_clips_time(files: tuple[str, str]) -> None:
    clip = opener(SQUARE).clip(files[0])
    assert clip.frames.shape == (8, 112, 112, 3) and clip.frames.dtype == np.uint8
    assert clip.seconds == pytest.approx(2.0, abs=0.15), "eight frames at the middles of as many parts of two seconds"
    assert list(clip.frames.mean((1, 2, 3))) == sorted(clip.frames.mean((1, 2, 3))), "in order"


def test_a_budget_keeps_the_shape_of_a_frame(files: tuple[str, str]) -> None:
    frames = opener(ImageSize(mode="budget", min_pixels=784, max_pixels=20_000)).clip(files[0]).frames
    assert frames.shape[1] % 28 == 0 and frames.shape[2] % 28 == 0 and frames.shape[1] * frames.shape[2] <= 20_000
    assert frames.shape[2] > frames.shape[1]


def test_native_sizes_leave_frames_to_the_processor(files: tuple[str, str]) -> None:
    assert opener(ImageSize(mode="native")).clip(files[0]).frames.shape[1:] == (120, 160, 3)


def test_sound_is_heard_at_the_models_rate(files: tuple[str, str]) -> None:
    assert opener(SQUARE).sound(files[1]).shape == (16_000,)
    with pytest.raises(InputError, match=r"data\.audio\.rate=8000: the model hears 16000 samples a second; set it to 16000"):
        opener(SQUARE, audio=Audio(rate=8000)).sound(files[1])


def test_blank_frames_are_grey(files: tuple[str, str]) -> None:
    assert set(np.unique(opener(SQUARE, blank=True).clip(files[0]).frames)) == {128}


@pytest.mark.parametrize(("times", "seconds"), [([0.1, 0.3, 0.5, 0.7], 0.8), ([0.5], 1.0), ([0.0, 1.0], 2.0), ([0.0], 0.1)])
def test_span(times: list[float], seconds: float) -> None:
    assert span(np.array(times)) == pytest.approx(seconds)


def test_the_files_of_a_record() -> None:
    record = Record("a", "b", ("1.png",), "", None, (), video="v.mp4")
    assert shown(record) == {"images": ("1.png",), "videos": ("v.mp4",), "audios": ()}
