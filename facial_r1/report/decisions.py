"""What people decided about written rows: read back, counted, compared, and made into a reviewed file."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facial_r1.config.suggest import did_you_mean, nearest
from facial_r1.data.problems import Problem, describe_problems
from facial_r1.errors import InputError
from facial_r1.report.review import COLUMNS, DECISIONS

OPEN = "open"
"""What a row without a decision is counted as."""
_DELIMITERS = (",", ";", "\t")
_NEEDED = ("id", "decision")
_SEARCHED, _COMPARABLE = 5, 5000
"""For so many unknown ids, among so many known ones, a similar id is looked for: comparing takes time."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one person says about one row: `decision` is accept, reject, unsure or "" (not decided)."""

    decision: str
    comment: str = ""


def read_decisions(files: Sequence[Path], known: Collection[str], may_be_empty: bool = False) -> dict[str, Decision]:
    """The decisions in one or several CSV files, by row id.

    Files are as a review page exports them, or as a spreadsheet saves them: any order of columns (only `id`, `decision` and
    `comment` are read), commas, semicolons or tabs, with or without a byte-order mark, decisions in any case.

    Args:
        files: the parts of one person's review.
        known: ids of the rows that can be decided about.
        may_be_empty: whether files without any decision are fine.

    Raises:
        InputError: up to 20 problems with file, line, column, reason and fix; or no decision at all.
    """
    found: dict[str, Decision] = {}
    places: dict[str, str] = {}
    problems: list[Problem] = []
    for file in files:
        for line, row in _rows(file, problems):
            key, decision = row["id"], row["decision"].strip().lower()
            if key not in known:
                problems.append(_unknown(file, line, key, known, len(problems) < _SEARCHED and len(known) < _COMPARABLE))
            elif key in places:
                fix = "leave one of the two rows; two people's decisions are compared with --second"
                problems.append(Problem(str(file), line, "id", f"{key!r} is decided in {places[key]} already", fix))
            elif decision and decision not in DECISIONS:
                reason = f"{row['decision']!r} is no decision"
                problems.append(
                    Problem(str(file), line, "decision", reason, f"{did_you_mean(decision, DECISIONS)}; empty leaves it open")
                )
            else:
                found[key] = Decision(decision, row.get("comment", "").strip())
                places[key] = f"{file}:{line}"
    if problems:
        what = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise InputError(f"{what} in the decisions:\n{describe_problems(problems)}")
    if not may_be_empty and not any(entry.decision for entry in found.values()):
        names = ", ".join(map(str, files))
        raise InputError(
            f"{names}: no row has a decision. Decide in review.html and export, or fill the column decision with "
            f"{', '.join(DECISIONS)}; then give the file with --decisions"
        )
    return found


def summarise(rows: Mapping[str, Mapping[str, Any]], decisions: Mapping[str, Decision]) -> dict[str, Any]:
    """Counts of decisions over all reviewed rows, by label and by action unit.

    Args:
        rows: the accepted rows of the run by id.
        decisions: of the rows that were put up for review.
    """
    by_label: dict[str, Counter[str]] = {}
    by_unit: dict[str, Counter[str]] = {}
    total: Counter[str] = Counter()
    for key, entry in decisions.items():
        name = entry.decision or OPEN
        total[name] += 1
        for label in rows[key].get("labels") or ():
            by_label.setdefault(str(label), Counter())[name] += 1
        for code in rows[key].get("AUs") or ():
            by_unit.setdefault(str(code), Counter())[name] += 1
    return {
        "rows": len(decisions),
        "decisions": _all(total),
        "by_label": {label: _all(by_label[label]) for label in sorted(by_label)},
        "by_action_unit": {code: _all(by_unit[code]) for code in sorted(by_unit, key=lambda code: (len(code), code))},
        "comments": sum(bool(entry.comment) for entry in decisions.values()),
    }


def compare(
    rows: Mapping[str, Mapping[str, Any]], first: Mapping[str, Decision], second: Mapping[str, Decision], resamples: int = 2000
) -> dict[str, Any]:
    """Agreement of two people on the rows that both decided.

    Returns:
        ``{"rows", "raw", "kappa", "table", "disagreements"}``: raw agreement and Cohen's kappa with intervals, how often the first
        said this and the second that, and each row on which they differ.

    Raises:
        InputError: no row was decided by both.
    """
    from facial_r1.metrics.agreement import agreement

    both = [key for key, entry in first.items() if entry.decision and key in second and second[key].decision]
    if not both:
        raise InputError("--second: no row was decided by both people, so there is nothing to compare")
    ours, theirs = [first[key].decision for key in both], [second[key].decision for key in both]
    people = [str(rows[key].get("subject") or key) for key in both]
    pairs = Counter(zip(ours, theirs, strict=True))
    return {
        "rows": len(both),
        **agreement(ours, theirs, DECISIONS, people, resamples),
        "table": {one: {two: pairs[one, two] for two in DECISIONS} for one in DECISIONS},
        "disagreements": [
            {"id": key, "first": one, "second": two} for key, one, two in zip(both, ours, theirs, strict=True) if one != two
        ],
    }


def reviewed_rows(
    rows: Mapping[str, Mapping[str, Any]], first: Mapping[str, Decision], second: Mapping[str, Decision] | None = None
) -> list[dict[str, Any]]:
    """The rows that the first person accepts and the second, where they decided, accepts too; marked as test rows.

    Rows keep the order of the run. `meta_info.review` says what was decided, and on which side the row was before.
    """
    result = []
    for key, row in rows.items():
        entry, other = first.get(key), (second or {}).get(key)
        if entry is None or entry.decision != "accept" or (other is not None and other.decision not in ("", "accept")):
            continue
        comments = [part.comment for part in (entry, other) if part is not None and part.comment]
        review = {
            "decision": "accept",
            "reviewers": 2 if other is not None and other.decision else 1,
            "comments": comments,
            "split_before": row.get("split"),
        }
        result.append({**row, "split": "test", "meta_info": {**(row.get("meta_info") or {}), "review": review}})
    return result


def _all(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts.get(name, 0) for name in (*DECISIONS, OPEN)}


def _rows(file: Path, problems: list[Problem]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a file with the line on which each starts; what is wrong with the file itself goes to `problems`."""

    def wrong(line: int, field: str, reason: str, fix: str) -> list[tuple[int, dict[str, str]]]:
        problems.append(Problem(str(file), line, field, reason, fix, True))
        return []

    export = "export it from review.html, or take the review.csv of the run"
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        return wrong(0, "file", f"cannot be read: {error.strerror}", export)
    except UnicodeDecodeError as error:
        return wrong(
            0, "file", f"byte {error.start} is not UTF-8", "save it as “CSV UTF-8”; a spreadsheet's own format does not do"
        )
    header = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    result: list[tuple[int, dict[str, str]]] = []
    names: list[str] = []
    line = 1
    try:
        for values in reader:
            start, line = line, reader.line_num + 1
            if not any(value.strip() for value in values):
                continue
            if not names:
                names = [value.strip() for value in values]
                absent = [name for name in _NEEDED if name not in names]
                if absent:
                    guess = f"the columns are {', '.join(names)[:120]}"
                    return wrong(
                        start, absent[0], f"there is no such column; {guess}", f"the first line must be {','.join(COLUMNS)}"
                    )
                continue
            if len(values) != len(names):
                reason = f"{len(values)} cells, the first line has {len(names)}"
                problems.append(Problem(str(file), start, "row", reason, "quote cells that hold commas or line breaks"))
                continue
            result.append((start, dict(zip(names, values, strict=True))))
    except csv.Error as error:
        return wrong(line, "row", f"not CSV: {error}", export)
    if not names:
        return wrong(0, "file", "the file is empty", export)
    return result


def _unknown(file: Path, line: int, key: str, known: Collection[str], search: bool) -> Problem:
    close = nearest(key, known) if search else None
    guess = f"did you mean {close!r}? " if close else ""
    fix = f"{guess}The file must belong to this run, and a spreadsheet must not change ids (0012 to 12)"
    return Problem(str(file), line, "id", f"{key!r} is no accepted row of the run", fix)
