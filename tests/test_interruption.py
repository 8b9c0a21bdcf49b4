"""Ctrl-C in places where a library would turn it into something else."""

from __future__ import annotations

import pytest
from hydra.errors import HydraException

from facial_r1.config import compose
from facial_r1.interruption import is_behind


def raised_while(first: type[BaseException]) -> Exception:
    """An error of a library that was cleaning up after another one."""
    try:
        try:
            raise first
        finally:
            raise ValueError("cleaning up failed")
    except ValueError as error:
        try:
            raise HydraException("composition failed") from error
        except HydraException as found:
            return found


def test_an_interruption_is_seen_behind_other_errors():
    assert is_behind(raised_while(KeyboardInterrupt))
    assert not is_behind(raised_while(LookupError))


def test_ctrl_c_while_composing_is_no_wrong_configuration(monkeypatch: pytest.MonkeyPatch):
    def interrupted(*args: object, **kwargs: object) -> None:
        raise raised_while(KeyboardInterrupt)

    monkeypatch.setattr(compose, "compose", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compose.compose_tree(["stage=eval"])
