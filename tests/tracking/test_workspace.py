"""The workspace: every panel shows documented names, the layout prints without a library, objects are what the library takes."""

from __future__ import annotations

import json
import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from facial_r1 import rewards
from facial_r1.errors import InputError
from facial_r1.tracking import workspace, workspace_objects
from facial_r1.tracking.collapse import _LENGTH, _LIMITS
from facial_r1.tracking.names import NAMES, SECTIONS, dashboard_name, documented
from facial_r1.tracking.workspace_command import main

PANELS = [(section.name, panel) for section in workspace.layout() for panel in section.panels]
SHOWN = {name for _, panel in PANELS for name in panel.names}


def test_every_section_of_the_names_has_panels_and_lineage_comes_last() -> None:
    assert [section.name for section in workspace.layout()] == [*SECTIONS, "lineage"]


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_every_name_shown_is_documented(name: str) -> None:
    plain = re.sub(r"_(low|high)$", "", name).split("/", 1)
    known = {dashboard_name(entry.name) for entry in NAMES}
    assert name in known or documented(plain[1]) or documented(name), name


def test_what_a_collapse_is_told_by_can_be_seen() -> None:
    assert {dashboard_name(name) for name in (*_LIMITS, _LENGTH)} <= SHOWN


def test_every_reward_there_is_has_a_curve() -> None:
    assert {f"reward/{entry.name}" for entry in rewards.describe()} <= SHOWN


def test_a_name_with_a_place_holder_becomes_a_pattern() -> None:
    [panel] = [panel for _, panel in PANELS if panel.title == "Parts of a step"]
    assert re.match(panel.pattern or "", "throughput/seconds/generate") and not re.match(panel.pattern or "", "policy/loss")


def test_json_needs_no_library_and_no_project(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for module in ("wandb", "wandb_workspaces"):
        monkeypatch.setitem(sys.modules, module, None)
    assert main(["--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(json.dumps(workspace.as_json())) and printed[0]["panels"][0]["names"] == ["reward/mean"]


@pytest.mark.parametrize("arguments", [[], ["alone"], ["a/b/c"]])
def test_a_project_is_an_entity_and_a_name(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "<entity>/<project>" in capsys.readouterr().err


def test_without_the_library_the_message_names_the_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(InputError, match="pip install wandb-workspaces"):
        workspace_objects.build("me", "faces", workspace.layout())
    assert main(["me/faces"]) == 2 and "--json" in capsys.readouterr().err


class Thing(SimpleNamespace):
    """Any object of the library: remembers its class and what it was made with."""


def library(save: Any) -> tuple[SimpleNamespace, SimpleNamespace]:
    def kind(name: str) -> Any:
        return lambda *values, **options: Thing(kind=name, values=values, **options)

    panels = SimpleNamespace(
        **{name: kind(name) for name in ("LinePlot", "BarPlot", "MediaBrowser", "RunComparer", "MarkdownPanel", "SummaryMetric")}
    )
    spaces = SimpleNamespace(
        **{name: kind(name) for name in ("Section", "SectionLayoutSettings", "SectionPanelSettings", "WorkspaceSettings")}
    )
    spaces.Workspace = lambda **options: Thing(save=save, url="http://wandb/me/faces", **options)
    return panels, spaces


def install(monkeypatch: pytest.MonkeyPatch, save: Any) -> None:
    panels, spaces = library(save)
    package = SimpleNamespace(workspaces=spaces, reports=SimpleNamespace(v2=panels))
    for name, module in {
        "wandb_workspaces": package,
        "wandb_workspaces.reports": package.reports,
        "wandb_workspaces.reports.v2": panels,
        "wandb_workspaces.workspaces": spaces,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)


def test_the_command_saves_one_section_for_each_of_the_layout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved: list[bool] = []
    install(monkeypatch, lambda: saved.append(True))
    assert main(["me/faces"]) == 0 and saved == [True]
    assert capsys.readouterr().out.strip() == "http://wandb/me/faces"
    built = workspace_objects.build("me", "faces", workspace.layout())
    assert [section.name for section in built.sections] == [*SECTIONS, "lineage"]
    assert (built.entity, built.project) == ("me", "faces")
    curves = [panel for section in built.sections for panel in section.panels if panel.kind == "LinePlot"]
    assert curves and all(panel.x == "step" and (getattr(panel, "y", None) or panel.metric_regex) for panel in curves)


def test_a_refusal_of_wandb_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def save() -> None:
        raise ConnectionError("no route to host")

    install(monkeypatch, save)
    assert main(["me/faces"]) == 1
    assert "wandb login" in (said := capsys.readouterr().err) and said.count("\n") == 1


def test_the_library_itself_takes_the_layout() -> None:
    pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is not installed")
    built = workspace_objects.build("me", "faces", workspace.layout())
    text = built._to_model().model_dump_json(by_alias=True)
    assert all(name in text for _, panel in PANELS for name in panel.names if "<" not in name)
