"""The sound of a file as one channel of numbers, at the rate that a model hears."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facial_r1.data.media.counting import decodes
from facial_r1.data.media.errors import MediaError
from facial_r1.data.media.opening import audio_stream, library, opened

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

Waveform = NDArray[np.float32]


def waveform(path: str | os.PathLike[str], rate: int = 16_000, *, seconds: float | None = 30.0) -> Waveform:
    """The sound of a sound file or of a video.

    Decoded as a stream and stopped after `seconds`, so that memory is bounded by the result (64 kB a second at 16 kHz). Channels are
    mixed to one by libswresample, full scale is 1.

    Args:
        path: Any file with a sound track; the first one is taken.
        rate: Samples a second of the result.
        seconds: Only the first seconds; None for the whole.

    Returns:
        float32 of shape (N,).

    Raises:
        MediaError: there is no sound track, no sample, damage, or samples that are no numbers.
    """
    decodes.add()
    with opened(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise MediaError(
                path, "the file has no sound track", 'give the sound as "audio", or leave audio out of data.modalities'
            )
        limit = None if seconds is None else max(1, round(seconds * rate))
        parts: list[Waveform] = []
        total = 0
        for part in resampled(container, stream, rate):
            parts.append(part)
            total += len(part)
            if limit is not None and total >= limit:
                break
    if not total:
        raise MediaError(path, "the sound track has no samples", "replace the file, or remove its row")
    sound = np.concatenate(parts)[:limit]
    if not np.isfinite(sound).all():
        raise MediaError(path, "the sound holds values that are no numbers", "save it again, or remove its row")
    return np.ascontiguousarray(sound)


def resampled(container: InputContainer, stream: AudioStream, rate: int) -> Iterator[Waveform]:
    """Parts of the sound from the place where the container is, float32, mono, at `rate`."""
    av = library()
    converter = av.AudioResampler(format="flt", layout="mono", rate=rate)
    for frame in container.decode(stream):
        frame.pts = None  # gaps in the times of packets are not filled with silence
        for part in converter.resample(frame):
            yield part.to_ndarray().reshape(-1)
    for part in converter.resample(None):
        yield part.to_ndarray().reshape(-1)
