"""The layout of `facial_r1.tracking.workspace` as a workspace of the wandb-workspaces package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facial_r1.errors import InputError
from facial_r1.tracking.workspace import STEP, Panel, Section

NAME = "facial_r1: GRPO"
_COLUMNS = 3


def build(entity: str, project: str, sections: Sequence[Section], name: str = NAME) -> Any:
    """A `wandb_workspaces.workspaces.Workspace`; nothing is sent until its `save()` is called.

    Raises:
        InputError: wandb-workspaces is not installed.
    """
    try:
        import wandb_workspaces.reports.v2 as panels
        import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise InputError(
            "facial-r1 workspace needs wandb-workspaces: run `pip install wandb-workspaces`; --json prints the layout without it"
        ) from error
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[
            workspaces.Section(
                name=section.name,
                panels=[_panel(panels, panel) for panel in section.panels],
                is_open=section.name in ("reward", "policy", "completions"),
                layout_settings=workspaces.SectionLayoutSettings(columns=_COLUMNS, rows=-(-len(section.panels) // _COLUMNS)),
                panel_settings=workspaces.SectionPanelSettings(x_axis=STEP),
            )
            for section in sections
        ],
        settings=workspaces.WorkspaceSettings(x_axis=STEP),
    )


def _panel(panels: Any, panel: Panel) -> Any:
    ends = (panel.low, panel.high)
    if panel.kind == "lines":
        chosen = {"metric_regex": panel.pattern} if panel.pattern else {"y": list(panel.names)}
        return panels.LinePlot(title=panel.title, x=STEP, range_y=ends, **chosen)
    if panel.kind == "bars":
        return panels.BarPlot(title=panel.title, metrics=[panels.SummaryMetric(name) for name in panel.names], range_x=ends)
    if panel.kind == "pictures":
        return panels.MediaBrowser(title=panel.title, media_keys=list(panel.names))
    if panel.kind == "runs":
        return panels.RunComparer(diff_only=True)
    if panel.kind == "table":
        return panels.MarkdownPanel(
            markdown=f"### {panel.title}\n\nEvery logged step has a table of its own, `samples/rollouts_<step>`, on the page of its run."
        )
    return panels.MarkdownPanel(markdown=f"### {panel.title}\n\n{panel.text}")
