"""Prints the installed versions as pip constraints: `python -m facial_r1.config.constraints > constraints.txt`."""

from __future__ import annotations

import re
from importlib import metadata

_HEADER = """\
# The versions that are tested together. pip install -c constraints.txt -e ".[dev]"; made by `make constraints`.
# torch is pinned with three equals signs so that no local build (2.13.0+cpu) is taken: torchvision's compiled operators
# need the standard one.
"""
_OURS = {"facial-r1", "pip", "setuptools", "wheel"}


def constraints() -> str:
    """One `name==version` line per installed distribution, sorted; torch with `===`."""
    found = {}
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        if name not in _OURS:
            found[name] = distribution.version
    lines = [f"{name}{'===' if name == 'torch' else '=='}{version}" for name, version in sorted(found.items())]
    return _HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(constraints(), end="")
