"""What a record says is true, in the form that rewards and metrics compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from facial_r1.affect.action_units import normalise_code
from facial_r1.errors import InputError
from facial_r1.prompts.completion import clean_label

Vocabulary = Sequence[str] | Mapping[str, Sequence[str]] | None
Empty = Literal["unknown", "absent"]


def true_units(record: Mapping[str, Any], empty: Empty = "unknown") -> frozenset[str] | None:
    """The units that are present, as canonical codes; None when nobody coded this face.

    ``AUs`` that is missing or None is not coded. An empty list is not coded in the published format
    (``empty="unknown"``), and a coded face at rest where the protocol says so (``empty="absent"``).

    Raises:
        InputError: A code that FACS does not have, or `empty` is neither.
    """
    if empty not in ("unknown", "absent"):
        raise InputError(f"empty={empty!r}: give 'unknown' ([] is not annotated) or 'absent' ([] is coded, none present)")
    units = record.get("AUs")
    if units is None or (len(units) == 0 and empty == "unknown"):
        return None
    return frozenset(_code(str(unit), record) for unit in units)


def true_labels(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The accepted labels, normalised, in order; empty when the record has none (``[]``, ``[""]`` and None alike)."""
    labels = record.get("labels") or ()
    listed = (labels,) if isinstance(labels, str) else labels
    return tuple(dict.fromkeys(label for raw in listed if raw is not None and (label := _label(str(raw)))))


def vocabulary_of(record: Mapping[str, Any], vocabulary: Vocabulary) -> frozenset[str] | None:
    """The units that this record's protocol annotates; None when there is no restriction.

    Args:
        record: Its ``dataset`` is looked up when `vocabulary` is a mapping.
        vocabulary: Codes for all records, or codes per dataset, or None.
    """
    if isinstance(vocabulary, Mapping):
        vocabulary = vocabulary.get(str(record.get("dataset")))
    return _codes(tuple(str(unit) for unit in vocabulary)) if vocabulary else None


@lru_cache(maxsize=256)
def _codes(units: tuple[str, ...]) -> frozenset[str]:
    unknown = [unit for unit in units if normalise_code(unit) is None]
    if unknown:
        raise InputError(f"vocabulary: {unknown[0]!r} is no FACS action unit; write codes as AU12")
    return frozenset(code for unit in units if (code := normalise_code(unit)))


@lru_cache(maxsize=1024)
def _label(raw: str) -> str:
    return clean_label(raw)


def _code(unit: str, record: Mapping[str, Any]) -> str:
    code = _normalised(unit)
    if code is None:
        raise InputError(f"record {record.get('id', '?')}: field AUs: {unit!r} is no FACS action unit; write codes as AU12")
    return code


_normalised = lru_cache(maxsize=1024)(normalise_code)
