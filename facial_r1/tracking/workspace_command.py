"""`facial-r1 workspace <entity>/<project>`: the panels a GRPO run is watched by, as a saved view of a wandb project."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence

from facial_r1.errors import InputError
from facial_r1.tracking import workspace


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="facial-r1 workspace",
        description="Save a wandb workspace with the panels that a GRPO run is watched by.",
        epilog="exit code: 0 saved or printed; 1 wandb refused; 2 wrong arguments, or wandb-workspaces is not installed",
    )
    parser.add_argument(
        "project", nargs="?", metavar="ENTITY/PROJECT", help="where to save it: the user or team, and tracker.project"
    )
    parser.add_argument("--name", default=None, help="of the saved view")
    parser.add_argument("--json", action="store_true", help="print the layout; no network, no wandb")
    options = parser.parse_args(list(arguments))
    try:
        return _run(options)
    except InputError as error:
        print(f"facial-r1 workspace: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    sections = workspace.layout()
    if options.json:
        print(json.dumps(workspace.as_json(sections), indent=2))
        return 0
    match = re.fullmatch(r"([^/\s]+)/([^/\s]+)", options.project or "")
    if match is None:
        raise InputError(
            f"{options.project or 'no project'}: give <entity>/<project>, as tracker.entity and tracker.project; or --json"
        )
    from facial_r1.tracking import workspace_objects

    view = workspace_objects.build(match[1], match[2], sections, options.name or workspace_objects.NAME)
    try:
        view.save()
        print(view.url)
    except Exception as error:  # no account, no network, no such project: wandb raises many types
        print(
            f"facial-r1 workspace: wandb did not save it ({type(error).__name__}: {error}). Log in with `wandb login`, and check that "
            f"{options.project} exists; --json prints the layout without network",
            file=sys.stderr,
        )
        return 1
    return 0
