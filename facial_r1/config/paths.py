"""Where `conf/` is: beside the package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from facial_r1.errors import InputError


def conf_dir() -> Path:
    """Absolute path of the configuration folder.

    A checkout (also an editable install) has `conf/` beside `pyproject.toml`; it wins, so that edits are live. A
    wheel carries the same files as `facial_r1/conf`.

    Raises:
        InputError: neither exists, which means a broken installation.
    """
    package = Path(__file__).resolve().parent.parent
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "conf" / "config.yaml").is_file():
        return checkout / "conf"
    if (package / "conf" / "config.yaml").is_file():
        return package / "conf"
    raise InputError(f"the configuration folder is missing beside {package}: install facial_r1 again")


def groups() -> list[str]:
    """The configuration groups, sorted; `local` (settings of one machine) is none."""
    return sorted(folder.name for folder in conf_dir().iterdir() if folder.is_dir() and folder.name != "local")


def options(group: str) -> list[str]:
    """The options of a group, sorted: "tiny", "unifer/sft", ... Empty for a group that does not exist."""
    folder = conf_dir() / group
    return sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.yaml"))
