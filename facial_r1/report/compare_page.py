"""`compare.html`: two runs on the same samples, the figures with their differences, and the samples on which they part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from facial_r1 import atomic
from facial_r1.prompts import parse
from facial_r1.report import document
from facial_r1.report.compare_runs import Side
from facial_r1.report.compare_scores import Comparison, Line
from facial_r1.report.compare_single import Contest
from facial_r1.report.compare_tables import MORE, cells, counted, parts, verdict
from facial_r1.report.gallery import Pictures, answer
from facial_r1.report.leaderboard_tables import probability
from facial_r1.report.wording import METRICS, au_meaning, au_number, is_number, metric_label, short

MAX_BYTES = 10_000_000
"""A page must open at once, also from a mail: beyond this, fewer samples and smaller faces are shown."""

# Samples, side of a thumbnail; the first plan that fits is taken.
_PLANS = ((600, 128), (600, 96), (300, 96), (150, 80), (60, 64), (15, 64), (0, 64))


def write_page(found: Comparison, lines: Sequence[Line], path: Path, max_bytes: int = MAX_BYTES) -> Path:
    """Write the page: one file that loads nothing.

    Args:
        found: What to show.
        lines: Figures to show.
        path: The file.
        max_bytes: See `MAX_BYTES`.
    """
    text = ""
    for limit, side in _PLANS:
        text = _render(found, lines, limit, side)
        if len(text.encode()) <= max_bytes:
            break
    atomic.write_text(path, text)
    return path


def _render(found: Comparison, lines: Sequence[Line], limit: int, thumbnail: int) -> str:
    pair, pictures = found.pair, Pictures(thumbnail)
    flips = {side: found.flips(side) for side in "ab"}
    chosen = _chosen(flips, limit, found.binary)
    samples = [_sample(found, place, better, pictures) for place, better in chosen]
    sides = [{"letter": letter, "name": side.name, "path": str(side.path)} for letter, side in (("A", pair.a), ("B", pair.b))]
    data = {
        "sides": sides,
        "samples": samples,
        "faces": pictures.uris,
        "decider": metric_label(found.decider),
        "binary": found.binary,
    }
    notes = list(found.notes)
    if pictures.missing and not pictures.uris:
        notes.append("the pictures are not where the runs say, so the samples are shown without faces")
    elif pictures.missing:
        notes.append(f"{pictures.missing} image(s) could not be read and are shown as empty frames")
    parting = sum(map(len, flips.values()))
    if parting and not samples:
        notes.append(f"the {parting:,} samples on which the runs part do not fit into this page; their ids are in compare.json")
    shown = [_part(title, part, place) for place, (title, part) in enumerate(parts(lines))]
    answering = found.line(found.primary)
    units = {code for one in samples for code in one["aus"] or ()}
    return document.render(
        "compare.html.j2",
        data,
        styles=("report.css", "compare.css"),
        scripts=("compare.js",),
        title=f"{pair.b.name} against {pair.a.name}",
        sides=sides,
        verdict=verdict(found),
        primary_verdict="" if answering is None else answering.verdict,
        counted=counted(found),
        notes=notes,
        parts=shown,
        any_corrected=any(part["corrected"] for part in shown),
        contests=[_contest(one) for one in found.contests],
        decided=_wording(found, {side: f"{len(places):,}" for side, places in flips.items()}) if samples else None,
        classes=sorted({one["labels"][0] for one in samples if one["labels"]}),
        datasets=sorted({one["dataset"] for one in samples if one["dataset"]}),
        units=sorted(units, key=lambda code: (au_number(code), code)),
        faces=bool(pictures.uris),
        shown=len(samples),
        flips=parting,
        resamples=f"{found.resamples:,}",
    )


# --- tables ------------------------------------------------------------------------------------------------------------


def _part(title: str, lines: Sequence[Line], place: int) -> dict[str, Any]:
    width = _span(lines)
    return {
        "title": title,
        "rows": [_row(line, width) for line in lines],
        "corrected": any(line.p_holm is not None for line in lines),
        "open": place == 0 or title != MORE,
    }


def _row(line: Line, width: float) -> dict[str, Any]:
    label, a, b, difference, range_, p, p_holm, detectable = cells(line)
    return {
        "name": line.metric,
        "label": label,
        "about": METRICS.get(line.metric, ("", ""))[1] or au_meaning(line.metric.rpartition("/")[2]),
        "a": a,
        "b": b,
        "a_range": _ends(line.a),
        "b_range": _ends(line.b),
        "difference": difference,
        "range": range_,
        "drawing": gap(line, width),
        "p": p,
        "p_holm": p_holm,
        "detectable": detectable,
        "verdict": line.verdict,
        "n": f"{line.n:,}" if line.n == line.clusters else f"{line.n:,} / {line.clusters:,}",
    }


def _ends(side: Mapping[str, float | None]) -> str:
    return f"[{short(side['low'])}, {short(side['high'])}]" if is_number(side["low"]) and is_number(side["high"]) else ""


def _span(lines: Sequence[Line]) -> float:
    """Half the width of an axis around zero that holds nine in ten of the intervals; longer ones are cut off at its ends."""
    ends = sorted(
        max(abs(value) for value in (line.difference, line.low, line.high) if is_number(value))
        for line in lines
        if is_number(line.difference)
    )
    return max(0.01, ends[(9 * (len(ends) - 1)) // 10]) if ends else 0.01


def gap(line: Line, width: float) -> Markup:
    """A difference with its interval on an axis from -width to +width, zero in the middle."""
    if not is_number(line.difference):
        return Markup("")

    def x(value: float) -> float:
        return 75 + 70 * max(-1.0, min(1.0, value / width))

    drawn = [Markup('<line class="grid" x1="5" x2="145" y1="9" y2="9"/><line class="zero" x1="75" x2="75" y1="2" y2="16"/>')]
    if is_number(line.low) and is_number(line.high):
        drawn.append(Markup('<line class="span" x1="{:.1f}" x2="{:.1f}" y1="9" y2="9"/>').format(x(line.low), x(line.high)))
    if abs(line.difference) <= width:
        drawn.append(Markup('<circle class="at" cx="{:.1f}" cy="9" r="4.5"/>').format(x(line.difference)))
    else:  # an arrow: further out than the axis reaches
        drawn.append(Markup('<path class="off" d="{}"/>').format("M139 3l6 6-6 6" if line.difference > 0 else "M11 3l-6 6 6 6"))
    return Markup('<svg class="gap {}" viewBox="0 0 150 18" aria-hidden="true">{}</svg>').format(
        line.verdict, Markup("").join(drawn)
    )


def _contest(one: Contest) -> dict[str, Any]:
    counts = (
        (one.only_b, "only B right"),
        (one.only_a, "only A right"),
        (one.both, "both right"),
        (one.neither, "neither right"),
    )
    return {
        "title": metric_label(one.metric),
        "tiles": [(f"{count:,}", f"{100 * count / one.n:.1f} %", label) for count, label in counts],
        "p": probability(one.p),
        "p_mid": probability(one.p_mid),
        "detectable": "none" if one.detectable is None else short(one.detectable),
        "clustered": one.clusters < one.n,
        "clusters": f"{one.clusters:,}",
    }


# --- samples -----------------------------------------------------------------------------------------------------------


def _wording(found: Comparison, counts: Mapping[str, str]) -> dict[str, Any]:
    if found.binary:
        return {"title": "Samples that flip", "a": "A right, B wrong", "b": "B right, A wrong", "counts": counts}
    title = f"Samples that differ in {metric_label(found.decider)}"
    return {"title": title, "a": "A is ahead", "b": "B is ahead", "counts": counts}


def _chosen(flips: Mapping[str, Sequence[int]], limit: int, binary: bool) -> list[tuple[int, str]]:
    """Samples for the page with the side that wins, in the order of the file (the clearest first where it is no matter of right or wrong).

    Where `limit` cannot hold all, each direction gets half, or what the other leaves, spread evenly.
    """
    sizes = {side: len(places) for side, places in flips.items()}
    share = {side: min(sizes[side], max(limit // 2, limit - sizes[other])) for side, other in (("a", "b"), ("b", "a"))}
    share["b"] = min(share["b"], limit - share["a"])
    found: list[tuple[int, int, str]] = []
    for side, places in flips.items():
        count = share[side]
        kept = [places[at * len(places) // count] for at in range(count)] if binary else places[:count]
        found += [(place if binary else rank, place, side) for rank, place in enumerate(kept)]
    return [(place, side) for _, place, side in sorted(found)]


def _sample(found: Comparison, place: int, better: str, pictures: Pictures) -> dict[str, Any]:
    pair = found.pair
    record, key = pair.records[place], pair.keys[place]
    truth = {"AUs": record["AUs"], "labels": record["labels"]}
    answers = [_answer(found, side, number, place, truth) for number, side in enumerate((pair.a, pair.b))]
    paths = [path for side in (pair.a, pair.b) if (path := side.image(side.rows[key])) is not None]
    codes = record["AUs"]
    return {
        "id": key[0],
        "dataset": record["dataset"],
        "subject": str(record["subject"] or ""),
        "face": pictures.add(next((path for path in paths if path.is_file()), paths[0] if paths else None)),
        "labels": [str(label) for label in record["labels"]],
        "aus": None if codes is None else sorted({str(code) for code in codes}, key=lambda code: (au_number(code), code)),
        "better": better,
        "answers": answers,
    }


def _answer(found: Comparison, side: Side, number: int, place: int, truth: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as the gallery shows it; whether it is right is what the figures say."""
    row = side.rows[found.pair.keys[place]]
    shown = answer({**row, **truth, "parsed": row.get("parsed") or _parsed(row["completion"])})
    score = found.scores[number][place]
    if not found.binary:
        shown["outcome"] = "unscored"
    elif score == 1.0:
        shown["outcome"] = "right"
    elif shown["outcome"] != "unparsed":
        shown["outcome"] = "wrong"
    del shown["scores"]
    return {**shown, "score": score if score is None else round(score, 4)}


def _parsed(completion: str) -> dict[str, Any]:
    found = parse(completion)
    return {"action_units": list(found.action_units), "labels": list(found.labels), "valid": found.valid}
