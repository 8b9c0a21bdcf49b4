"""Files that are whole or not there: written beside the target, then renamed over it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facial_r1.disk import writing


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` in one step; a killed process leaves the old file or the new one."""
    with writing(path.name, path.parent):
        _write_text(path, text)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON in one step. NaN is refused (ValueError): readers of other languages reject it."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def create_json(path: Path, value: Any) -> bool:
    """Write `value` as JSON unless the file exists; False when it does. Of several processes exactly one gets True."""
    draft = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}")
    write_json(draft, value)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if path.exists():
            return False
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return True


def read_json(path: Path) -> Any:
    """The JSON value in `path`."""
    return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path` to fill; it becomes `path` when the block ends without an exception."""
    with writing(f"{path.name}/", path.parent), _folder(path) as fresh:
        yield fresh


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    fresh.chmod(0o755)
    try:
        yield fresh
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            path.replace(old / path.name)
            fresh.replace(path)
            shutil.rmtree(old)
        else:
            fresh.replace(path)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def remove_leftovers(place: Path) -> None:
    """Take away what killed processes left beside the files of `place`: nobody else may be writing there."""
    for path in place.glob(".*.*"):
        name, _, random = path.name[1:].rpartition(".")
        if len(random) != 8 or not name:  # as `tempfile` names them
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
