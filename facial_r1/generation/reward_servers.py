"""Language models behind rewards: one that names the emotion words of a text, one that says which of two answers fits a clip better.

Both ask a server that speaks OpenAI's chat completions, through the cache, with temperature 0; what could not be had or read is
counted, never guessed. The wording is that of `facial_r1.prompts.open_vocabulary`, and ours.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from facial_r1.config.schema import AnswerJudge, Endpoint, Sampling, WordModel
from facial_r1.data.images import open_image
from facial_r1.errors import InputError
from facial_r1.generation.cache import ResponseCache
from facial_r1.generation.cached_engine import CachedEngine
from facial_r1.generation.engine import Completion, Request
from facial_r1.generation.openai_engine import OpenAIEngine
from facial_r1.generation.openai_media import MEBI, SOUND_RATE, own_file
from facial_r1.prompts.open_vocabulary import comparison_request, extraction_request, read_extraction, read_verdict
from facial_r1.rewards.perception import Comparison, Verdict

if TYPE_CHECKING:
    from facial_r1.models.media import Clip

LONGEST_SIDE = 448
"""Pixels of the longer side of a picture or frame that the judge is shown; larger ones are made smaller, in proportion."""
LONGEST_SOUND = 60.0
"""Seconds of a sound that the judge hears."""


class ServerExtractor:
    """A `facial_r1.rewards.open_vocabulary.WordExtractor` over a server.

    Attributes:
        counts: ``asked`` (texts that were not known yet), ``unanswered`` (the server gave nothing), ``unreadable`` (an answer without a
            list). Texts of the last two have no words, and are asked about again next time.
    """

    def __init__(self, settings: WordModel, cache: ResponseCache | None = None) -> None:
        """Set it up. Raises InputError when the variable of its key is not set."""
        server = OpenAIEngine(endpoint_of(settings), _no_pictures)
        self._engine = server if cache is None else CachedEngine(server, cache, server.identity())
        self._sampling = Sampling(temperature=0.0, max_new_tokens=settings.max_new_tokens)
        self._known: dict[str, tuple[str, ...]] = {}
        self.counts: Counter[str] = Counter()

    def __call__(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """The emotion words of each text, lower case, each once; () where none could be had."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        requests = [Request(f"text {place}", [_user(extraction_request(text))], ()) for place, text in enumerate(new)]
        answers = self._engine.generate(requests, self._sampling, 0) if requests else []
        self.counts["asked"] += len(new)
        for text, answer in zip(new, answers, strict=True):
            words = None if answer.failed else read_extraction(answer.text)
            if words is None:
                self.counts["unanswered" if answer.failed else "unreadable"] += 1
            else:
                self._known[text] = words
        return [self._known.get(text, ()) for text in texts]


class ServerComparer:
    """A `facial_r1.rewards.perception.Comparer` over a server with a multimodal model, which sees the record's pictures or video, hears
    its sound, and reads its transcript.

    A video travels as its file or as frames (`reward.judge.video`), a sound as 16 kHz WAV, each a part of its own.

    Attributes:
        counts: ``asked``, ``unanswered`` and ``unreadable`` comparisons; the last two are ``failed`` verdicts.
    """

    def __init__(self, settings: AnswerJudge, cache: ResponseCache | None = None) -> None:
        """Set it up. Raises InputError when the variable of its key is not set."""
        server = OpenAIEngine(
            endpoint_of(settings),
            _JudgeView(settings.frames),
            video=settings.video,
            video_file=own_file,
            largest=int(settings.max_megabytes * MEBI),
            advice="send frames (+reward.judge.video=frames), or allow more (+reward.judge.max_megabytes=...)",
        )
        view = {"longest_side": LONGEST_SIDE} | ({"frames": settings.frames} if settings.video == "frames" else {})
        identity = {**server.identity(), "view": view}
        self._engine = server if cache is None else CachedEngine(server, cache, identity)
        self._sampling = Sampling(temperature=0.0, max_new_tokens=settings.max_new_tokens)
        self.counts: Counter[str] = Counter()

    def __call__(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each comparison, in their order."""
        requests = [_comparison(place, one) for place, one in enumerate(comparisons)]
        answers = self._engine.generate(requests, self._sampling, 0) if requests else []
        self.counts["asked"] += len(requests)
        return [self._verdict(answer) for answer in answers]

    def _verdict(self, answer: Completion) -> Verdict:
        found: Verdict = "failed" if answer.failed else read_verdict(answer.text)
        if found == "failed":
            self.counts["unanswered" if answer.failed else "unreadable"] += 1
        return found


def endpoint_of(settings: Endpoint) -> Endpoint:
    """The address and limits of settings that hold more than these."""
    return Endpoint(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(Endpoint)})


def _comparison(place: int, one: Comparison) -> Request:
    files = {kind: _files(one.record, *names) for kind, names in _FIELDS.items()}
    text = comparison_request(one.first, one.second, str(one.record.get("transcript") or ""))
    parts: list[Mapping[str, Any]] = [{"type": kind} for kind, paths in files.items() for _ in paths]
    return Request(
        f"{one.record.get('id', '?')} comparison {place}",
        [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}],
        files["image"],
        videos=files["video"],
        audios=files["audio"],
    )


_FIELDS = {"image": ("images", "image"), "video": ("video",), "audio": ("audio",)}


def _files(record: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    shown = next((record[name] for name in names if record.get(name)), ())
    return (shown,) if isinstance(shown, str) else tuple(shown)


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


@dataclasses.dataclass(frozen=True)
class _JudgeView:
    """Opens what the judge is shown."""

    frames: int

    def __call__(self, path: str) -> Image.Image:
        return _small(open_image(path))

    def clip(self, path: str) -> Clip:
        from facial_r1.data.media import frames
        from facial_r1.models.media import Clip

        seen, times = frames(path, self.frames)
        return Clip(np.stack([np.asarray(_small(Image.fromarray(frame))) for frame in seen]), float(times[-1]))

    def sound(self, path: str) -> np.ndarray:
        from facial_r1.data.media import waveform

        return waveform(path, SOUND_RATE, seconds=LONGEST_SOUND)


def _small(picture: Image.Image) -> Image.Image:
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return picture


def _no_pictures(path: str) -> Image.Image:
    raise InputError(f"{path}: emotion words are read from text, no pictures are shown")
