"""A clip as ordinary files: H.264 in MP4 (MPEG-4 part 2 where libav comes without x264) and 16-bit WAV."""

from __future__ import annotations

import os
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facial_r1.data.media.opening import library
from facial_r1.data.schematic.voice_synthesis import RATE

ENCODING = {"libx264": {"crf": "16", "preset": "veryfast"}, "mpeg4": {"qscale": "2"}}


def write_video(path: Path, frames: NDArray[np.uint8], fps: float) -> None:
    """Write frames [T, H, W, 3] of even height and width; the file is whole or not there.

    The same frames give the same bytes with one build of libav only, so that nothing may be named after the file's bytes.
    """
    av = library()
    codec = encoder()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with av.open(str(partial), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1000), options=ENCODING[codec])
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for place, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = place
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    partial.replace(path)


def write_sound(path: Path, sound: NDArray[np.float32]) -> None:
    """Write a waveform in [-1, 1] as 16 bits; the file is whole or not there."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with wave.open(str(partial), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        file.writeframes(np.round(sound * 32768).clip(-32768, 32767).astype("<i2").tobytes())
    partial.replace(path)


def encoder() -> str:
    """The video encoder that there is."""
    av = library()
    try:
        av.codec.Codec("libx264", "w")
    except ValueError:
        return "mpeg4"
    return "libx264"
