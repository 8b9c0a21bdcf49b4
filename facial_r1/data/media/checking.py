"""Video and sound of records: which of them a job wants, where a clip's sound comes from, and what is wrong with the files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from facial_r1.data.identity import place
from facial_r1.data.problems import Problem
from facial_r1.data.record import Record
from facial_r1.progress import progress_bar

if TYPE_CHECKING:
    from facial_r1.config.media_schema import Modality
    from facial_r1.data.media.errors import MediaError
    from facial_r1.data.media.looking import Kind, Look

_THREADS = 8
_CHUNK = 64
_NAMED = 3


@dataclass(frozen=True)
class Wanted:
    """What a job wants of clips.

    Attributes:
        modalities: Of "video" (pictures too), "audio" and "text"; None for all that a record has.
        video_seconds, audio_seconds: Longer ones are refused; None for any length.
    """

    modalities: Collection[Modality] | None = None
    video_seconds: float | None = None
    audio_seconds: float | None = None

    @classmethod
    def of(cls, config: Any) -> Wanted:
        """What the `data` part of a job asks for."""
        modalities = None if config.modalities is None else tuple(config.modalities)
        return cls(modalities, config.video.max_seconds, config.audio.max_seconds)

    def has(self, modality: Modality) -> bool:
        """Whether a modality is used."""
        return self.modalities is None or modality in self.modalities


@dataclass(frozen=True)
class Checked:
    """Records after the look at their files.

    Attributes:
        records: All that were given, in order; those whose sound is that of their video name it as `audio`.
        digests: Digest of each sound file, by path.
        problems: Of rows whose files are unsound.
        notes: Counts of what is sound and may still not be meant, for example silent recordings.
    """

    records: list[Record]
    digests: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def media_of(record: Record) -> tuple[str, ...]:
    """Paths of the video and the sound file of a record, each once."""
    return tuple(dict.fromkeys(path for path in (record.video, record.audio) if path))


def uses_of(record: Record) -> list[tuple[str, Kind]]:
    """The files of `media_of`, each with what it is used as; a sound track is looked at with its video."""
    return [(path, "video" if path == record.video else "audio") for path in media_of(record)]


def narrow(records: Sequence[Record], wanted: Wanted) -> tuple[list[Record], list[Problem]]:
    """Records with the wanted modalities alone, and a problem for each that has none of them left."""
    if wanted.modalities is None:
        return list(records), []
    kept, problems = [], []
    for record in records:
        sound = record.audio if wanted.has("audio") else ""
        if wanted.has("audio") and not sound and record.video and not wanted.has("video"):
            sound = record.video  # only the sound of the clip is wanted
        one = replace(
            record,
            images=record.images if wanted.has("video") else (),
            video=record.video if wanted.has("video") else "",
            audio=sound,
            transcript=record.transcript if wanted.has("text") else "",
        )
        if one.images or one.video or one.audio or one.transcript:
            kept.append(one)
            continue
        listed = ", ".join(wanted.modalities)
        fix = "give the row what is asked for, name more in data.modalities, or set data.on_error=skip"
        problems.append(Problem(*place(record), "video", f"the row has none of data.modalities=[{listed}]", fix))
    return kept, problems


def check_media(records: Sequence[Record], wanted: Wanted | None = None) -> Checked:
    """Look at the video and sound files of records, each once, in threads; see `facial_r1.data.media.looking.look_at`.

    A record with a video and no `audio` of its own gets the sound track of the video, where it has one and sound is wanted.
    """
    wanted = wanted or Wanted()
    uses = dict.fromkeys(use for record in records for use in uses_of(record))
    if not uses:
        return Checked(list(records))
    looks = looks_of(list(uses), wanted.has("audio"))
    kept: list[Record] = []
    problems: list[Problem] = []
    for record in records:
        one, found = _judge(record, looks, wanted)
        kept.append(one)
        problems += found
    digests = {path: look.digest for (path, _), look in looks.items() if not isinstance(look, Exception)}
    return Checked(kept, digests, problems, _notes(kept, looks, wanted))


_Looks = dict[tuple[str, "Kind"], "Look | MediaError"]


def _judge(record: Record, looks: _Looks, wanted: Wanted) -> tuple[Record, list[Problem]]:
    """The record with its sound, and what is wrong with its files."""
    from facial_r1.data.media.errors import MediaError

    problems: list[Problem] = []

    def add(name: str, reason: str, fix: str) -> None:
        problems.append(Problem(*place(record), name, reason, fix))

    seen = looks.get((record.video, "video"))
    own = record.audio != "" and record.audio != record.video
    heard = looks.get((record.audio, "audio")) if own else seen
    for name, look in (("video", seen), ("audio", heard if own else None)):
        if isinstance(look, MediaError):
            add(name, f"{look.path}: {look.reason}", look.fix)
    if problems:
        return record, problems
    assert not isinstance(seen, MediaError) and not isinstance(heard, MediaError)
    if seen is not None and wanted.video_seconds is not None and seen.facts.seconds > wanted.video_seconds:
        add("video", *_too_long(record.video, seen.facts.seconds, "data.video.max_seconds", wanted.video_seconds))
    if not own and heard is not None and heard.facts.audio is None:
        if record.audio:
            add("audio", f"{record.video}: the video has no sound track", 'leave "audio": "video" out, or name a sound file')
        elif wanted.modalities is not None and wanted.has("audio"):
            fix = 'give the row an "audio" file, leave audio out of data.modalities, or set data.on_error=skip'
            add("audio", f"{record.video}: the video has no sound track, and data.modalities asks for audio", fix)
        return record, problems
    if heard is None or not wanted.has("audio"):
        return record, problems
    path = record.audio or record.video
    if wanted.audio_seconds is not None and heard.facts.seconds > wanted.audio_seconds:
        add("audio", *_too_long(path, heard.facts.seconds, "data.audio.max_seconds", wanted.audio_seconds))
    return (record if record.audio else replace(record, audio=record.video)), problems


def _too_long(path: str, seconds: float, key: str, most: float) -> tuple[str, str]:
    reason = f"{path}: it lasts {seconds:,.1f} s, more than {key}={most:g}"
    return reason, f"cut the clip out, raise {key}, or set data.on_error=skip"


def _notes(records: Sequence[Record], looks: _Looks, wanted: Wanted) -> list[str]:
    used = {(record.video, "video") for record in records if record.video}
    used |= {(record.audio, "audio") for record in records if record.audio and record.audio != record.video}
    found = {use: look for use, look in looks.items() if use in used and not isinstance(look, Exception)}
    silent = [path for (path, _), look in found.items() if look.silent]
    still = [path for (path, kind), look in found.items() if kind == "video" and look.still]
    mute = [record.video for record in records if record.video and not record.audio] if wanted.has("audio") else []
    notes = []
    if silent:
        notes.append(f"{_count(silent, 'recording')} silent, every sample zero where it was listened to: {_examples(silent)}")
    if still:
        notes.append(f"{_count(still, 'video')} still, the picture never changes: {_examples(still)}")
    if mute:
        notes.append(f"{_count(list(dict.fromkeys(mute)), 'video')} without sound: {_examples(mute)}")
    return notes


def _count(paths: Sequence[str], what: str) -> str:
    return f"1 {what} is" if len(paths) == 1 else f"{len(paths)} {what}s are"


def _examples(paths: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(paths))
    more = f" and {len(distinct) - _NAMED} more" if len(distinct) > _NAMED else ""
    return ", ".join(distinct[:_NAMED]) + more


def looks_of(uses: Sequence[tuple[str, Kind]], listen: bool) -> _Looks:
    """A look at each file as it is used, or what is wrong with it; files that were looked at before are not opened."""
    from facial_r1.data.media.errors import MediaError
    from facial_r1.data.media.looking import look_at
    from facial_r1.data.media.opening import library
    from facial_r1.data.media.remembered import recall, remember

    library()  # said once, and not of each file

    def look(use: tuple[str, Kind]) -> Look | MediaError:
        try:
            return look_at(*use, listen=listen)
        except MediaError as error:
            return error

    known = recall(uses, listen)
    looks: _Looks = {**known}
    uses = [use for use in uses if use not in known]
    if not uses:
        return looks
    with ThreadPoolExecutor(_THREADS) as pool, progress_bar(len(uses), "checking clips", "files") as advance:
        for start in range(0, len(uses), _CHUNK):
            part = uses[start : start + _CHUNK]
            found = dict(zip(part, pool.map(look, part), strict=True))
            remember({use: one for use, one in found.items() if not isinstance(one, MediaError)}, listen)
            looks |= found
            advance(len(part))
    return looks
