"""Shows a run to people: one self-contained `report.html`, figures for papers, tables in every common form.

    from facial_r1.report import build
    page = build("outputs/my_run")

The report reads only the files of a run directory, so it can be built again at any time and on any machine.
"""

from __future__ import annotations

from facial_r1.report.page import build, build_comparison
from facial_r1.report.sweep import sweep_table
from facial_r1.report.tables import MetricTable, console, leaderboard, write_tables

__all__ = ["MetricTable", "build", "build_comparison", "console", "leaderboard", "sweep_table", "write_tables"]
