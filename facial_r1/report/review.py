"""Accepted rows of a synthesis run put up for people: a table for any spreadsheet, and pages to click through.

`review.csv` and the pages hold the same rows in the same order; either can be filled in. A page exports what it holds as a file of
the same form. `facial_r1.report.decisions` reads such files back.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facial_r1 import atomic
from facial_r1.data.selection import rank
from facial_r1.report import document
from facial_r1.report.gallery import Pictures, segments
from facial_r1.report.load import Run

TABLE = "review.csv"
COLUMNS = ("id", "image", "AUs", "labels", "description", "checks", "decision", "comment")
DECISIONS = ("accept", "reject", "unsure")

ROWS_A_PAGE = 250
MAX_BYTES = 8_000_000
"""Of one page, faces included: a page must open at once, also on a phone."""

_SIDE = 320
"""Side of a face in pixels: large enough to see a nose wrinkle."""
_FACES_A_ROW = 4
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass
class _Page:
    """Rows of one page with their faces."""

    pictures: Pictures = field(default_factory=lambda: Pictures(_SIDE))
    rows: list[dict[str, Any]] = field(default_factory=list)
    bytes: int = 0


def put_up(rows: Sequence[Mapping[str, Any]], count: int | None, seed: int) -> list[Mapping[str, Any]]:
    """`count` of the rows (None or too many: all), in a random order that depends on the seed and the ids only.

    The rows of a smaller count come first in a larger one, and a review that stops half-way is still a random sample.
    """
    once = {str(row["id"]): row for row in rows}
    order = sorted(once, key=lambda key: rank(seed, key))
    return [once[key] for key in order[:count]]


def write_review(folder: Path, rows: Sequence[Mapping[str, Any]], count: int | None = None, seed: int = 0) -> list[Path]:
    """Write `review.csv` and `review.html` (`review-1.html`, `review-2.html`, ... where one would be too large) into a run.

    Args:
        folder: the run directory; relative image paths are relative to it.
        rows: accepted rows in the published record format, with what synthesis noted in `meta_info.provenance`.
        count: how many to put up; None is all.
        seed: of the draw and the order.

    Returns:
        The files, the table first. Pages of an earlier review are removed.
    """
    chosen = put_up(rows, count, seed)
    atomic.write_text(folder / TABLE, table([cells(row) for row in chosen]))
    parts = list(_pages(Run(folder, folder.name), chosen))
    key = _key(folder.name, chosen)
    names = ["review.html"] if len(parts) == 1 else [f"review-{number}.html" for number in range(1, len(parts) + 1)]
    for old in (folder / "review.html", *folder.glob("review-*.html")):
        if old.name not in names:
            old.unlink(missing_ok=True)
    labels = sorted({label for row in chosen for label in _texts(row.get("labels"))})
    for number, (name, part) in enumerate(zip(names, parts, strict=True), start=1):
        exported = TABLE if len(parts) == 1 else f"review-{number}.csv"
        data = {
            "key": f"facial_r1.review:{key}:{number}",
            "file": exported,
            "columns": COLUMNS,
            "decisions": DECISIONS,
            "formula": _FORMULA,
            "rows": part.rows,
            "faces": part.pictures.uris,
        }
        page = document.render(
            "review.html.j2",
            data,
            styles=("report.css", "review.css"),
            scripts=("review.js",),
            title=f"Review · {folder.name}",
            pages=names,
            number=number,
            exported=exported,
            labels=labels,
            missing=part.pictures.missing,
        )
        atomic.write_text(folder / name, page)
    return [folder / TABLE, *(folder / name for name in names)]


def cells(row: Mapping[str, Any]) -> dict[str, str]:
    """A row of `review.csv` without a decision. Only `id`, `decision` and `comment` are read back.

    A description that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    codes = row.get("AUs")
    text = str(row.get("description") or "")
    failed = failed_checks(row)
    return {
        "id": str(row["id"]),
        "image": ", ".join(_images(row)),
        "AUs": "not coded" if codes is None else ", ".join(_texts(codes)) or "none",
        "labels": ", ".join(_texts(row.get("labels"))),
        "description": f"'{text}" if text.startswith(_FORMULA) else text,
        "checks": f"failed: {', '.join(failed)}" if failed else "all passed",
        "decision": "",
        "comment": "",
    }


def failed_checks(row: Mapping[str, Any]) -> list[str]:
    """Names of the strict checks that an accepted row fails; it can, where the published test decided."""
    provenance = (row.get("meta_info") or {}).get("provenance") or {}
    return [str(name) for name, passed in (provenance.get("checks") or {}).items() if not passed]


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows as CSV with the columns of `COLUMNS`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _pages(run: Run, rows: Sequence[Mapping[str, Any]]) -> Iterator[_Page]:
    page = _Page()
    for row in rows:
        if len(page.rows) == ROWS_A_PAGE or page.bytes > MAX_BYTES:
            yield page
            page = _Page()
        known = len(page.pictures.uris)
        shown = _shown(run, row, page.pictures)
        page.rows.append(shown)
        page.bytes += sum(len(uri) for uri in page.pictures.uris[known:]) + len(json.dumps(shown))
    yield page


def _shown(run: Run, row: Mapping[str, Any], pictures: Pictures) -> dict[str, Any]:
    """What the page's script needs of a row: its cells, its faces, and its text cut at mentions of action units."""
    codes = None if row.get("AUs") is None else _texts(row["AUs"])
    written = cells(row)
    return {
        **{name: written[name] for name in ("id", "image", "AUs", "labels", "checks")},
        "faces": [pictures.add(run.image_path(image)) for image in _images(row)[:_FACES_A_ROW]],
        "truth": _texts(row.get("labels")),
        "units": codes or [],
        "failed": failed_checks(row),
        "text": segments(str(row.get("description") or ""), None, codes),
    }


def _key(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Names what is reviewed, so that a browser never shows the decisions about one text beside another."""
    content = json.dumps([[str(row["id"]), str(row.get("description") or "")] for row in rows])
    return f"{name}:{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def _images(row: Mapping[str, Any]) -> list[str]:
    images = row.get("image", row.get("images"))
    return [images] if isinstance(images, str) else _texts(images)


def _texts(values: Any) -> list[str]:
    return [str(value) for value in values or () if str(value)]
