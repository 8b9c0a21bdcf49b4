"""`facial-r1 push <run> --repo owner/name`: upload a trained model or a written dataset, after checking what is in it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from facial_r1.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="facial-r1 push",
        description="Upload model/ of a run (safetensors, settings, card) or the rows of a synthesis or prepare run to the Hugging Face Hub.",
        epilog="The token is huggingface_hub's own (hf auth login, HF_TOKEN). Nothing is ever uploaded unless this command is run. "
        "exit code: 0 uploaded or listed; 2 refused, and nothing was uploaded",
    )
    parser.add_argument("run", type=Path, help="a finished run directory")
    parser.add_argument("--repo", required=True, metavar="OWNER/NAME", help="where to; made where it is not there yet")
    parser.add_argument("--private", action="store_true", help="make it private; refused when the repository is there and public")
    parser.add_argument(
        "--with-images", action="store_true", help="also pictures of faces, as they are; ask whoever owns them first"
    )
    parser.add_argument("--dry-run", action="store_true", help="list what would be uploaded, without network")
    options = parser.parse_args(list(arguments))
    try:
        return _push(options)
    except InputError as error:
        print(f"facial-r1 push: {error}", file=sys.stderr)
        return 2


def _push(options: argparse.Namespace) -> int:
    from facial_r1.publish.hub import check_name, upload
    from facial_r1.publish.parcel import pack
    from facial_r1.report.load import load_run

    check_name(options.repo)
    parcel = pack(load_run(options.run), options.with_images)
    for name in sorted(parcel.files):
        print(f"{parcel.size(name):>15,}  {name}")
    print(
        f"{parcel.total():>15,}  bytes in {len(parcel.files)} files for {options.repo} ({parcel.kind}, {'private' if options.private else 'public'})"
    )
    for name, reason in parcel.left_out:
        print(f"left out: {name}: {reason}", file=sys.stderr)
    for note in parcel.notes:
        print(f"note: {note}", file=sys.stderr)
    if options.dry_run:
        print("dry run: nothing was uploaded", file=sys.stderr)
        return 0
    print(upload(parcel, options.repo, options.private))
    return 0
