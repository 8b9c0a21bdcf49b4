"""One row of a data file into a `Record`: the published format, in every spelling that people have it in."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from facial_r1.affect import sort_codes
from facial_r1.config.suggest import nearest
from facial_r1.data.locate import ImageFinder
from facial_r1.data.media.finding import MediaFinder
from facial_r1.data.problems import Problem
from facial_r1.data.protocol import Protocol
from facial_r1.data.record import Record

FIELDS = (
    "id",
    "dataset",
    "image",
    "images",
    "question",
    "AUs",
    "labels",
    "description",
    "meta_info",
    "subject",
    "split",
    "candidate_labels",
    "transcript",
    "video",
    "audio",
    "is_valid",
)
"""Keys of a row that are understood. All others are kept in `Record.extra`."""

_MAY_BE_NUMBERS = ("id", "dataset", "subject", "split")
_BETWEEN_CODES = re.compile(r"\s*[,;+/|]\s*|(?<=\d)\s+")


class RowReader:
    """Turns rows of one file into records and collects what is wrong with them.

    Args:
        file: the data file, for messages and for the ids of rows that have none.
        finder: resolves image names.
        protocol: label space, action units and the meaning of an empty list of them.
        require: published field names that must be filled: image, labels, AUs, description, subject, split,
            question.
        dataset: name for rows that carry neither `dataset` nor `source`.
        media: resolves names of video and sound files, by field.
    """

    def __init__(
        self,
        file: Path,
        finder: ImageFinder,
        protocol: Protocol,
        require: Collection[str],
        dataset: str,
        media: Mapping[str, MediaFinder] | None = None,
    ) -> None:
        self.problems: list[Problem] = []
        self.unasked = 0
        """Rows whose labels were left out, because the protocol asks for no emotion."""
        self._file, self._finder, self._protocol = str(file), finder, protocol
        self._require, self._dataset, self._stem = tuple(require), dataset, stem(file)
        self._media = media if media is not None else {kind: MediaFinder(file, None, kind) for kind in ("video", "audio")}
        self._line = 0

    def read(self, line: int, row: Mapping[str, Any]) -> Record | None:
        """The record of `row` on `line`, or None after adding to `problems` all that is wrong with it."""
        self._line = line
        before = len(self.problems)
        video = self._medium(row, "video")
        record = Record(
            id=self._text(row, "id") or f"{self._stem}:{line}",
            dataset=self._text(row, "dataset") or self._text(row, "source") or self._dataset,
            images=self._images(row),
            question=self._text(row, "question"),
            AUs=self._action_units(row.get("AUs")),
            labels=self._labels(row, "labels"),
            description=self._text(row, "description"),
            subject=self._text(row, "subject") or None,
            split=self._text(row, "split") or None,
            candidate_labels=self._labels(row, "candidate_labels", free=True),
            transcript=self._text(row, "transcript"),
            meta_info=self._mapping(row, "meta_info"),
            source=f"{self._file}:{line}",
            extra={key: value for key, value in row.items() if key not in FIELDS},
            video=video,
            audio=self._medium(row, "audio", video),
        )
        if len(self.problems) == before:
            self._required(record, row)
        return record if len(self.problems) == before else None

    def _problem(self, name: str, reason: str, fix: str) -> None:
        self.problems.append(Problem(self._file, self._line, name, reason, fix))

    def _text(self, row: Mapping[str, Any], name: str) -> str:
        value = row.get(name)
        if value is None:
            return ""
        if isinstance(value, str):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool) and name in _MAY_BE_NUMBERS:
            return str(value)
        if name != "source":  # `source` is not ours unless it is a name
            self._problem(name, f"is a {_kind(value)}, not text", f'write it as text: "{name}": "..."')
        return ""

    def _mapping(self, row: Mapping[str, Any], name: str) -> dict[str, Any]:
        value = row.get(name)
        if value is None or value == "" or value == []:
            return {}
        if isinstance(value, dict):
            return value
        self._problem(name, f"is a {_kind(value)}, not an object", f'write "{name}": {{}} or leave it out')
        return {}

    def _images(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        name = "images" if not _filled(row.get("image")) and _filled(row.get("images")) else "image"
        value = row.get(name)
        if not _filled(value):
            return ()
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(item, str) and item for item in values):
            self._problem(name, f"is a {_kind(value)}, not a path or a list of paths", f'write "{name}": "folder/a.jpg"')
            return ()
        found = []
        for item in values:
            path = self._finder.find(item)
            if path is None:
                self._problem(name, self._finder.reason(item), self._finder.fix(item))
            else:
                found.append(path)
        return tuple(found)

    def _medium(self, row: Mapping[str, Any], name: str, video: str = "") -> str:
        """Path of the video or sound file; `"audio": "video"` is the sound of the video."""
        value = row.get(name)
        if not _filled(value):
            return ""
        if not isinstance(value, str):
            suffix = "mp4" if name == "video" else "wav"
            self._problem(name, f"is a {_kind(value)}, not a path", f'write "{name}": "folder/a.{suffix}"')
            return ""
        if name == "audio" and value == "video":
            if not video and not _filled(row.get("video")):
                reason = '"audio": "video" is the sound of the video, and the row has no video'
                self._problem(name, reason, 'add "video": "folder/a.mp4"')
            return video
        path = self._media[name].find(value)
        if path is None:
            self._problem(name, self._media[name].reason(value), self._media[name].fix(value))
        return path or ""

    def _action_units(self, value: Any) -> tuple[str, ...] | None:
        if value is None or value == "":
            return None
        if isinstance(value, Mapping):
            return self._intensities(value)
        if isinstance(value, str):
            value = [part for part in _BETWEEN_CODES.split(value.strip(" ,;+")) if part.strip()]
        elif isinstance(value, int) and not isinstance(value, bool):
            value = [value]
        if not isinstance(value, list):
            self._problem("AUs", f"is a {_kind(value)}, not a list of codes", 'write "AUs": ["AU1", "AU12"]')
            return None
        entries = [entry for entry in value if entry not in ("", None)]
        if not entries:
            return () if self._protocol.empty_action_units == "absent" else None
        codes = [code for code in map(self._code, entries) if code]
        return tuple(sort_codes(codes))

    def _code(self, entry: Any) -> str | None:
        if isinstance(entry, bool) or not isinstance(entry, str | int):
            self._problem("AUs", f"{entry!r} is a {_kind(entry)}, not a code", 'write codes as "AU12"')
            return None
        code = self._protocol.action_unit(entry)
        if code is None:
            reason = f"unknown AU code {entry!r} (protocol {self._protocol.name})"
            self._problem("AUs", reason, self._protocol.action_unit_fix(entry))
        return code

    def _intensities(self, value: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Codes whose intensity reaches the protocol's threshold; the face is coded, so () for none."""
        present = []
        for entry, intensity in value.items():
            code = self._code(entry)
            if isinstance(intensity, bool) or not isinstance(intensity, int | float):
                self._problem("AUs", f"{entry}: intensity {intensity!r} is no number", 'write "AUs": {"AU12": 3}')
            elif code and intensity > 0 and intensity >= self._protocol.presence_threshold:
                present.append(code)
        return tuple(sort_codes(present)) if value else None

    def _labels(self, row: Mapping[str, Any], name: str, free: bool = False) -> tuple[str, ...]:
        value = row.get(name)
        values = [value] if isinstance(value, str) else [] if value is None else value
        if not isinstance(values, list) or not all(item is None or isinstance(item, str) for item in values):
            self._problem(
                name,
                f"is a {_kind(value)}, not a label or a list of labels",
                f'write "{name}": ["happiness"]',
            )
            return ()
        labels: list[str] = []
        if self._protocol.labels is None:
            self.unasked += name == "labels" and any(text and text.strip() for text in values)
            return ()
        for text in values:
            if text is None or not text.strip():
                continue
            label = self._protocol.label(text)
            if label is None and free:
                label = text.strip()
            if label is None:
                reason = f"label {text!r} is outside the protocol {self._protocol.name}"
                self._problem(name, reason, self._protocol.label_fix(text))
            elif label not in labels:
                labels.append(label)
        return tuple(labels)

    def _required(self, record: Record, row: Mapping[str, Any]) -> None:
        values: dict[str, Any] = {
            "image": record.images or record.video or record.audio or self._only_words(record, row),
            "AUs": record.AUs if record.AUs is None else "coded",
            "labels": record.labels,
            "description": record.description.strip(),
            "subject": record.subject,
            "split": record.split,
            "question": record.question.strip(),
        }
        for name in self._require:
            if values[name]:
                continue
            key = name if name in row or name != "image" else "images" if "images" in row else name
            reason = "is empty" if key in row else "is missing"
            self._problem(key, f"the field {reason}", self._missing_fix(name, row))

    def _only_words(self, record: Record, row: Mapping[str, Any]) -> bool:
        """Whether a row is about words alone: it has a transcript, and no key that is a misspelt one of a file."""
        unknown = [key.lower() for key in row if key not in FIELDS]
        misspelt = any(nearest(name, unknown) for name in ("image", "images", "video", "audio"))
        return bool(record.transcript.strip()) and not misspelt

    def _missing_fix(self, name: str, row: Mapping[str, Any]) -> str:
        if name not in row:
            others = {key.lower(): key for key in row if key not in FIELDS}
            close = nearest(name.lower(), others)
            if close:
                return f'did you mean "{name}" by {others[close]!r}? Rename it'
        return {
            "image": 'add "image": "folder/a.jpg"',
            "AUs": 'add "AUs": ["AU1", "AU12"]; a face without an active unit needs data.protocol.empty_action_units=absent',
            "labels": 'add "labels": ["happiness"]',
            "description": 'add "description": "<think>...</think><answer>...</answer>"',
        }.get(name, f'add "{name}": "..."')


def stem(file: Path) -> str:
    """File name without folder and without `.jsonl`, `.json` and `.gz`."""
    return re.sub(r"(\.jsonl?|\.ndjson)?(\.gz)?$", "", file.name, flags=re.IGNORECASE) or file.name


def _filled(value: Any) -> bool:
    return value is not None and value != "" and value != []


def _kind(value: Any) -> str:
    names = {"str": "text", "int": "number", "float": "number", "dict": "object", "bool": "true/false"}
    return names.get(type(value).__name__, type(value).__name__)
