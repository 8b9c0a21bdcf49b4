"""A voice made of harmonics under formants: melody, loudness and timbre of speech, with the vowels of a sentence, not its words.

The sentence gives the syllables and their vowels; as many of them are said as fit into the time. Who listens learns how something
is said; what is said is in the transcript.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from facial_r1.data.schematic.stream import Stream
from facial_r1.data.schematic.voice import Prosody, Speaker

RATE = 16_000
"""Samples a second."""

FORMANTS: dict[str, tuple[float, float, float]] = {
    "a": (730.0, 1090.0, 2440.0),
    "e": (530.0, 1840.0, 2480.0),
    "i": (270.0, 2290.0, 3010.0),
    "o": (570.0, 840.0, 2410.0),
    "u": (300.0, 870.0, 2240.0),
}
"""Vowel -> first three formants in Hz of men's vowels (Peterson and Barney 1952, table II; the nearest vowel for each letter)."""

_BANDS = (80.0, 110.0, 160.0)
_WEIGHTS = (1.0, 0.55, 0.3)
_STEP = 160
"""Samples between two places at which loudness and formants are set, 10 ms."""
_LEAD = 0.06
_HISS = "sfztkcxh"
_TOP = 4200.0


def speak(sentence: str, speaker: Speaker, how: Prosody, seconds: float, stream: Stream) -> NDArray[np.float32]:
    """The sound of a sentence.

    Args:
        stream: Where breath and irregularities come from.

    Returns:
        float32 of shape (round(seconds * RATE),) on the grid of 16-bit numbers, in [-1, 1].
    """
    samples = round(seconds * RATE)
    steps = samples // _STEP + 2
    times: NDArray[np.float64] = np.arange(steps, dtype=np.float64) * (_STEP / RATE)
    syllables = _syllables(sentence)
    starts, length = _timing(len(syllables), how.rate, seconds)
    syllables = syllables[: len(starts)]
    loud, hiss, formants = _tracks(syllables, starts, length, how.attack, times, speaker.tract)
    pitch = _melody(speaker, how, starts, length, times, stream)
    place = np.arange(samples) / _STEP
    before = place.astype(np.int64)
    weight = (place - before).astype(np.float64)

    def fine(track: NDArray[np.float64]) -> NDArray[np.float64]:
        """A track at each sample."""
        return track[before] + (track[before + 1] - track[before]) * weight

    phase = np.cumsum(fine(pitch)) * (2 * np.pi / RATE)
    voice = _harmonics(phase, pitch, formants, speaker.tilt + how.tilt, fine)
    if how.creak:
        voice *= 1.0 - how.creak * (0.5 + 0.5 * np.cos(phase / 2))
    if how.tremor:
        voice *= 1.0 + 3.0 * how.tremor * np.sin(2 * np.pi * 8.0 * np.arange(samples) / RATE)
    noise = stream.octets(samples).astype(np.float64) / 127.5 - 1.0
    breath = (speaker.breath + how.breath) * _coloured(noise, formants.mean(axis=1))
    sound = (voice / (np.sqrt(np.mean(voice**2)) + 1e-9) + breath) * fine(loud)
    sound += 0.5 * fine(hiss) * np.diff(noise, prepend=noise[0])
    strong = np.sqrt(np.mean(sound[fine(loud) > 0.5] ** 2)) if np.any(loud > 0.5) else 1.0
    sound *= how.level / (strong + 1e-9)
    return (np.round(np.clip(sound, -0.98, 0.98) * 32767) / 32768).astype(np.float32)


def _syllables(sentence: str) -> list[tuple[str, bool]]:
    """Vowel of each syllable, and whether a hiss comes before it."""
    found = re.findall(r"([^aeiouy]*)([aeiouy]+)", sentence.lower())
    return [(vowel[0].replace("y", "i"), any(letter in _HISS for letter in before)) for before, vowel in found] or [("a", False)]


def _timing(count: int, rate: float, seconds: float) -> tuple[list[float], float]:
    """Starts of the syllables that fit, and the length of one."""
    length = 1.0 / rate
    fitting = max(1, int((seconds - 2 * _LEAD) * rate))
    return [_LEAD + place * length for place in range(min(count, fitting))], length


def _tracks(
    syllables: list[tuple[str, bool]], starts: list[float], length: float, attack: float, times: NDArray[np.float64], tract: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Loudness and hiss in [0, 1], shape (steps,), and formants in Hz, shape (3, steps)."""
    loud, hiss = np.zeros_like(times), np.zeros_like(times)
    middles = np.array([start + length / 2 for start in starts])
    formants = np.stack(
        [np.interp(times, middles, [FORMANTS[vowel][number] * tract for vowel, _ in syllables]) for number in range(3)]
    )
    for start, (_, hissing) in zip(starts, syllables, strict=True):
        inside = times - start - 0.15 * length
        rise = np.clip(inside / max(attack, 0.005), 0.0, 1.0)
        fall = np.clip((0.85 * length - inside) / (0.3 * length), 0.0, 1.0)
        loud = np.maximum(loud, rise * fall)
        if hissing:
            hiss = np.maximum(hiss, np.clip(1.0 - np.abs(times - start - 0.05 * length) / (0.12 * length), 0.0, 1.0))
    return loud, hiss, formants


def _melody(
    speaker: Speaker, how: Prosody, starts: list[float], length: float, times: NDArray[np.float64], stream: Stream
) -> NDArray[np.float64]:
    """Pitch in Hz, shape (steps,)."""
    begin, end = starts[0], starts[-1] + length
    height = np.interp(times, np.linspace(begin, end, len(how.melody)), how.melody) * how.span
    pitch = speaker.pitch * how.pitch * 2.0 ** (height / 12.0)
    wobble = np.array([stream.uniform(-1.0, 1.0) for _ in range(len(times) // 4 + 2)])
    pitch *= 1.0 + 0.008 * np.interp(np.arange(len(times)) / 4, np.arange(len(wobble)), wobble)
    if how.tremor:
        pitch *= 1.0 + how.tremor * np.sin(2 * np.pi * 8.0 * times)
    return pitch


def _harmonics(
    phase: NDArray[np.float64],
    pitch: NDArray[np.float64],
    formants: NDArray[np.float64],
    tilt: float,
    fine: object,
) -> NDArray[np.float64]:
    """The sum of all harmonics below `_TOP`, each as strong as the formants let it through."""
    assert callable(fine)
    turn = np.exp(1j * phase)
    spin = np.ones_like(turn)
    total = np.zeros(len(phase))
    for number in range(1, int(_TOP / pitch.min()) + 1):
        spin = spin * turn
        frequency = number * pitch
        through = sum(
            weight / (1.0 + ((frequency - formant) / band) ** 2)
            for weight, formant, band in zip(_WEIGHTS, formants, _BANDS, strict=True)
        )
        strength = (0.04 + through) * number ** -max(0.2, tilt) * (frequency < _TOP)
        total += fine(strength) * spin.imag
    return total


def _coloured(noise: NDArray[np.float64], formants: NDArray[np.float64]) -> NDArray[np.float64]:
    """Noise through the formants, of unit strength."""
    spectrum = np.fft.rfft(noise)
    frequency = np.fft.rfftfreq(len(noise), 1 / RATE)
    shape = sum(1.0 / (1.0 + ((frequency - formant) / 400.0) ** 2) for formant in formants) + 0.05
    coloured = np.fft.irfft(spectrum * shape, len(noise))
    return coloured / (np.sqrt(np.mean(coloured**2)) + 1e-9)
