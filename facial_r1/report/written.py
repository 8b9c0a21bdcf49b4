"""What synthesis wrote: yields, reasons for refusals, and rows as examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facial_r1.report.gallery import Pictures, as_text, segments
from facial_r1.report.load import Run, Synthesis, reasons_of, sub_runs
from facial_r1.report.wording import short


def synthesis(run: Run, pictures: Pictures) -> list[dict[str, Any]]:
    """Yield, reasons and example rows of each synthesis run."""
    found = []
    for child, _, label in sub_runs(run):
        if child.synthesis is None:
            continue
        part = child.synthesis
        total = part.accepted + part.rejected
        reasons = sorted(part.reasons.items(), key=lambda item: -item[1])
        found.append(
            {
                "name": label,
                "attempts": part.attempts if len(part.attempts) > 1 else {},
                "accepted": part.accepted,
                "rejected": part.rejected,
                "share": part.accepted / total if total else 0.0,
                "tests": _tests(part, total),
                "reasons": [
                    {
                        "name": name,
                        "count": count,
                        "width": 100 * count / max(reasons[0][1], 1),
                        "share": count / max(part.rejected, 1),
                    }
                    for name, count in reasons
                ],
                "rejected_examples": [_example(child, row, pictures, refused=True) for row in part.rejected_examples],
                "accepted_examples": [_example(child, row, pictures, refused=False) for row in part.accepted_examples],
            }
        )
    if len(found) == 1:
        found[0]["name"] = ""
    return found


def _tests(part: Synthesis, total: int) -> list[dict[str, Any]]:
    """Yield of the strict and of the published test side by side; the one that decided says so."""
    return [
        {
            "name": name,
            "decided": name == part.decided_by,
            "cells": [f"{short(counts[key])} ({counts[key] / max(total, 1):.1%})" for key in ("first", "written")],
        }
        for name, counts in part.tests.items()
    ]


def _example(run: Run, row: Mapping[str, Any], pictures: Pictures, refused: bool) -> dict[str, Any]:
    codes = [str(code) for code in row.get("AUs") or ()]
    text = as_text(row.get("completion") or row.get("description"))
    details = row.get("reasons") or row.get("reason") or row.get("checks_failed") or []
    index = pictures.add(run.image_path(row.get("image", row.get("images"))))
    return {
        "face": pictures.uris[index] if index >= 0 else "",
        "id": str(row.get("id", "")),
        "reasons": reasons_of(dict(row)) if refused else [],
        "details": [details] if isinstance(details, str) else [str(detail) for detail in details],
        "labels": [str(label) for label in row.get("labels") or ()],
        "aus": codes,
        "segments": [
            {"text": part, "kind": "", "code": ""}
            if isinstance(part, str)
            else dict(zip(("text", "kind", "code"), part, strict=True))
            for part in segments(text, row.get("spans"), codes if row.get("AUs") is not None else None)
        ],
    }
