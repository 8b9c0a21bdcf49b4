"""What closes a sweep: the console, sweep.csv, sweep.html."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

from facial_r1.report.sweep import SweepTable, sweep_table
from facial_r1.report.sweep_page import write_page


def test_a_sweep_shows_every_job_and_writes_csv(tmp_path: Path) -> None:
    rows = [
        {
            "settings": {"stage.num_generations": "2"},
            "state": "finished",
            "seconds": 12.34,
            "run": "/runs/a",
            "reason": "",
            "metrics": {"reward/mean": {"value": 0.5, "low": 0.4, "high": 0.6}, "emotion/accuracy": {"value": 0.7}},
        },
        {
            "settings": {"stage.num_generations": "4", "data.amount": "64"},
            "state": "failed",
            "seconds": None,
            "run": "/runs/b",
            "reason": "out of [memory]",
            "metrics": {},
        },
    ]
    stream = io.StringIO()
    path = sweep_table(rows, tmp_path, stream)
    shown = stream.getvalue()
    assert all(
        part in shown
        for part in ("stage.num_generations", "0.500 [0.400, 0.600]", "failed", "/runs/b", "out of [memory]", str(path))
    )
    written = list(csv.DictReader(path.open()))
    assert written[0]["reward/mean"] == "0.5" and written[0]["reward/mean_low"] == "0.4" and written[0]["seconds"] == "12.3"
    assert written[1]["data.amount"] == "64" and written[1]["reward/mean"] == "" and written[1]["reason"] == "out of [memory]"


def job(seed: int, size: int, value: float | None, **more: Any) -> dict[str, Any]:
    metrics = {} if value is None else {"reward/mean": {"value": value, "low": value - 0.1, "high": value + 0.1}}
    state = "finished" if value is not None else "not run"
    return {
        "settings": {"seed": str(seed), "size": str(size)},
        "state": state,
        "metrics": metrics,
        "seconds": 60.0,
        "run": "",
        **more,
    }


def test_the_best_follows_the_direction():
    rows = [job(1, 1, 0.2), job(2, 1, 0.8)]
    assert SweepTable(rows).best("reward/mean") == 0.8
    assert SweepTable(rows, direction="minimize").best("reward/mean") == 0.2


def test_the_objective_comes_first_and_is_the_users():
    row = {"settings": {}, "metrics": {"reward/mean": 1.0, "text/rouge_l": 0.5, "emotion/uar": 0.1}}
    assert SweepTable([row], "text/rouge_l").shown == ["text/rouge_l", "reward/mean", "emotion/uar"]


def test_the_page_stands_alone_and_sums_up_each_setting(tmp_path):
    rows = [
        job(1, 8, 0.2),
        job(2, 8, 0.4),
        job(1, 16, 0.6),
        job(2, 16, None, reason="<b>memory</b>", command="python -m facial_r1 a"),
    ]
    page = write_page(SweepTable(rows), tmp_path, title="Sweep x", command="python -m facial_r1 -m a=1,2").read_text()
    assert "src=" not in page and not re.search(r'href="(?!#|data:)', page)
    assert "&lt;b&gt;memory" in page and "<b>memory" not in page
    assert "1 not run" in page and "python -m facial_r1 -m a=1,2" in page
    text = re.sub(r"<[^>]+>", " ", page)
    assert re.search(r"8\s+2\s+0\.300\s+0\.200 to 0\.400", text), "the mean over the jobs with size=8"


def test_columns_carry_numbers_to_sort_by(tmp_path):
    page = write_page(SweepTable([job(10, 1, 0.5), job(9, 1, 0.25)]), tmp_path, title="t", command="c").read_text()
    assert 'data-sort="10.0"' in page and 'data-sort="0.25"' in page and 'aria-sort="none"' in page
