"""Which training curves a page shows, and how the metrics of a run are gathered into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from facial_r1.report import svg
from facial_r1.report.wording import is_number, short
from facial_r1.tracking.names import documented


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart with its title and one line of explanation."""

    title: str
    note: str
    drawing: Markup
    wide: bool = False


@dataclass(frozen=True, slots=True)
class _Plan:
    title: str
    note: str
    names: tuple[tuple[str, str], ...]  # metric, label
    unit: bool = False
    spread: str = ""
    aside: bool = False  # folded away with the numbers that no plan names


_PLANS = (
    _Plan("Mean reward", "band: spread inside groups", (("reward/mean", "reward"),), spread="reward/std"),
    _Plan(
        "Groups without spread",
        "share of groups that teach nothing",
        (
            ("groups/zero_variance", "all"),
            ("groups/zero_variance_right", "all right"),
            ("groups/zero_variance_wrong", "all wrong"),
        ),
        unit=True,
    ),
    _Plan("Completion length", "tokens", (("completions/mean_length", "mean"), ("completions/p95_length", "95 %"))),
    _Plan(
        "Answers that fail",
        "share of completions",
        (("completions/truncated", "cut off"), ("completions/parse_failures", "unparsed")),
        unit=True,
    ),
    _Plan("Loss", "", (("loss", "loss"),)),
    _Plan("Token accuracy", "share of completion tokens predicted right", (("token_accuracy", "accuracy"),), unit=True),
    _Plan("KL to the reference", "nats per token", (("kl", "KL"),)),
    _Plan("Entropy", "nats per token", (("entropy", "entropy"),)),
    _Plan("Gradient norm", "before clipping", (("grad_norm", "norm"),)),
    _Plan("Learning rate", "", (("learning_rate", "rate"),), aside=True),
    _Plan("Seconds per step", "", (("seconds/step", "s"),), aside=True),
    _Plan("Tokens per second", "", (("tokens_per_second", "tokens/s"),), aside=True),
)
_NOT_SHOWN = {"step", "time", "epoch", "num_tokens", "not_finite"}


def training_charts(rows: Sequence[dict[str, Any]]) -> tuple[list[Chart], list[Chart], list[str]]:
    """Charts of the metrics of one run.

    Returns:
        The main charts, charts of every other number that was logged, and remarks ("kl is 0 throughout").
    """
    if not rows:
        return [], [], []
    names = list(dict.fromkeys(name for row in rows for name, value in row.items() if is_number(value)))
    used: set[str] = set(_NOT_SHOWN)
    main: list[Chart] = []
    other: list[Chart] = []
    remarks: list[str] = []
    components = [name for name in names if name.startswith("reward/") and name not in ("reward/mean", "reward/std")]
    components = [name for name in components if not name.endswith("/std")]
    plans = [
        _PLANS[0],
        _Plan("Components of the reward", "mean over completions", tuple((name, name[7:]) for name in components[:6])),
        *_PLANS[1:],
    ]
    for plan in plans:
        present = [(name, label) for name, label in plan.names if name in names]
        used.update(name for name, _ in present)
        used.add(plan.spread)
        constant = {name: rows_of[0] for name, _ in present if len(set(rows_of := _known(rows, name))) == 1 and len(rows_of) > 2}
        moving = [(name, label) for name, label in present if name not in constant]
        if not moving:
            remarks += [f"{name} is {short(value)} throughout" for name, value in constant.items()]
        else:
            (other if plan.aside else main).append(_draw(plan, present, rows))
    rest = [name for name in names if name not in used and not name.endswith("/std") and len(set(_known(rows, name))) > 1]
    for name in rest:
        entry = documented(name)
        other.append(
            _draw(_Plan(name, entry.meaning if entry and "<" not in entry.name else "", ((name, name),)), [(name, name)], rows)
        )
    return main, other, remarks


def length_chart(bins: Sequence[tuple[float, float, float, int]]) -> Chart | None:
    """Mean reward over completion length, with 95 % intervals; None without data."""
    if len(bins) < 2:
        return None
    series = svg.Series("reward", [mean for _, mean, _, _ in bins], [half for _, _, half, _ in bins])
    drawing = svg.lines("Reward against length", [length for length, *_ in bins], [series], x_label="tokens in the completion")
    total = sum(n for *_, n in bins)
    return Chart(
        "Reward against length", f"{total:,} completions in {len(bins)} equal bins, band: 95 % interval of the mean", drawing
    )


def ends(rows: Sequence[dict[str, Any]], name: str) -> tuple[float, float] | None:
    """Mean of the first and of the last tenth of the steps (at least three rows each, or all there are)."""
    values = _known(rows, name)
    if not values:
        return None
    part = min(len(values), max(3, len(values) // 10))
    return sum(values[:part]) / part, sum(values[-part:]) / part


def _draw(plan: _Plan, present: Sequence[tuple[str, str]], rows: Sequence[dict[str, Any]]) -> Chart:
    kept = [row for row in rows if any(is_number(row.get(name)) for name, _ in present)]

    def column(name: str) -> list[float | None]:
        return [float(row[name]) if is_number(row.get(name)) else None for row in kept]

    series = []
    for index, (name, label) in enumerate(present):
        spread = column(plan.spread) if plan.spread and any(is_number(row.get(plan.spread)) for row in kept) else None
        series.append(svg.Series(label, column(name), spread, colour=index))
    note = plan.note if not plan.spread or any(entry.spread is not None for entry in series) else ""
    return Chart(plan.title, note, svg.lines(plan.title, [row["step"] for row in kept], series, unit=plan.unit))


def _known(rows: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [float(row[name]) for row in rows if is_number(row.get(name))]
