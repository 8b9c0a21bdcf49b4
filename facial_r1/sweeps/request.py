"""What a sweep's command line asks for, read once."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facial_r1 import rerun
from facial_r1.config.sweep_schema import Sweep
from facial_r1.config.validation import validate_sweep
from facial_r1.errors import InputError
from facial_r1.sweeps import plugins
from facial_r1.sweeps.expand import Swept, is_setting, parse
from facial_r1.sweeps.trees import Compose, Composer, files_digest

_DRY = "-dry_run"


@dataclass(frozen=True)
class Request:
    """A sweep as asked for.

    Attributes:
        overrides: as typed.
        config_dir: `--config-dir`.
        swept: the command line and `hydra.sweeper.params`, taken apart; without settings of the sweep.
        settings: the `sweep` node.
        hydras: overrides of Hydra's own settings, as typed.
        launcher: Hydra's launcher, "basic" for ours.
        sweeper: Hydra's sweeper, "basic" for ours.
        compose: from overrides to a tree.
        files: hash of what is composed from.
        again: the run that is repeated (`rerun=`), or None.
    """

    overrides: tuple[str, ...]
    config_dir: str | None
    swept: Swept
    settings: Sweep
    hydras: tuple[str, ...]
    launcher: str
    sweeper: str
    compose: Compose
    files: str
    again: Path | None

    def first(self) -> list[str]:
        """Overrides of one job: all that is fixed, and the first value of each axis."""
        return [*self.swept.fixed, *(f"{key}={values[0]}" for key, values in self.swept.axes.items())]

    def command(self, *more: str) -> str:
        """A command line of ours with everything that is fixed, and `more`."""
        options = ["--config-dir", self.config_dir] if self.config_dir else []
        again = [f"rerun={self.again}"] if self.again else []
        return shlex.join(["python", "-m", "facial_r1", *options, *again, *self.swept.fixed, *more])

    def whole(self) -> str:
        """The command that started the sweep, and continues it."""
        options = ["--config-dir", self.config_dir] if self.config_dir else []
        return shlex.join(["python", "-m", "facial_r1", *options, "-m", *self.overrides])

    def folder(self, tree: Mapping[str, Any]) -> Path:
        """Where the sweep lies: its name, else its stage and a hash of the command without what says how it is run.

        Args:
            tree: of one of its jobs, plain.
        """
        asked = [item for item in self.overrides if not _how(item)]
        hashed = hashlib.sha256(json.dumps(sorted(asked)).encode()).hexdigest()[:8]
        name = self.settings.name or f"{tree['stage']['name']}-{hashed}"
        dry = _DRY if tree["debug"]["dry_run"] else ""
        return Path(str(tree["output_root"])).expanduser().absolute() / "sweeps" / f"{name}{dry}"


def read(overrides: Sequence[str], config_dir: str | None) -> Request:
    """Read the command line of a sweep.

    Raises:
        InputError: it is wrong; the message says how.
    """
    again, rest = rerun.named(overrides)
    whole = parse(rest, search=True)
    hydras = tuple(item for item in whole.fixed if item.startswith(("hydra.", "hydra/")))
    settings = [item for item in whole.fixed if is_setting(item.split("=")[0])]
    swept = replace(whole, fixed=tuple(item for item in whole.fixed if item not in settings))
    base = settings if again else [*whole.fixed, *_firsts(whole)]
    composer = Composer(config_dir)
    with plugins.explained(hydras):
        said = composer.settings(base)
    sweep = validate_sweep(said["sweep"])
    params = {key: text for key, text in said["params"].items() if key not in _keys(whole)}
    if params:
        swept = _merged(parse([f"{key}={text}" for key, text in params.items()], search=True), swept)
    if not sweep.optuna.trials and said["sweeper"] == "basic":
        parse(rest)  # says what is wrong with an interval
        parse([f"{key}={text}" for key, text in params.items()])
    compose = rerun.composer(again, config_dir) if again else composer
    files = files_digest(config_dir)
    if again:
        files = hashlib.sha256((again / "resolved.yaml").read_bytes() + files.encode()).hexdigest()
    if any(not item.startswith("file://") for item in said["searchpath"]) or len(said["searchpath"]) > bool(config_dir):
        files = f"{files}-{hashlib.sha256(_elsewhere(said['searchpath'])).hexdigest()}"
    return Request(
        tuple(overrides), config_dir, swept, sweep, hydras, said["launcher"], said["sweeper"], compose, files, again
    )  # fmt: skip


def _merged(params: Swept, typed: Swept) -> Swept:
    """`hydra.sweeper.params` below what was typed, which wins."""
    return Swept((*params.fixed, *typed.fixed), {**params.axes, **typed.axes}, {**params.spaces, **typed.spaces})


def _keys(swept: Swept) -> set[str]:
    return {item.split("=")[0].lstrip("+~") for item in swept.fixed} | {key.lstrip("+~") for key in swept.spaces}


def _firsts(swept: Swept) -> list[str]:
    """One value of each swept key, so that a composition has it."""
    firsts = [f"{key}={values[0]}" for key, values in swept.axes.items()]
    return firsts + [f"{key}={space.start}" for key, space in swept.spaces.items() if key not in swept.axes]


def _how(override: str) -> bool:
    """Whether an override says how a sweep is run, and not what its jobs are."""
    key = override.lstrip("+~").split("=")[0]
    return is_setting(key) and key != "sweep.points" and not key.startswith(("hydra.sweeper.params", "sweep.optuna"))


def _elsewhere(folders: Sequence[str]) -> bytes:
    """The YAML files of folders that Hydra looks into besides ours.

    Raises:
        InputError: one of them is no folder on this machine.
    """
    found = b""
    for item in folders:
        folder = Path(item.removeprefix("file://"))
        if "://" in str(item) and not item.startswith("file://"):
            found += item.encode()
            continue
        if not folder.is_dir():
            raise InputError(f"hydra.searchpath: {item} is no folder")
        for file in sorted(folder.rglob("*.yaml")):
            found += f"\n{file}\n".encode() + file.read_bytes()
    return found
