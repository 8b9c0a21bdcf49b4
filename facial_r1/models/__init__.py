"""Models: the tiny embedded one, loading and saving of any other, freezing, adapters and image sizing.

Only light modules are imported here; torch and transformers come in with the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facial_r1.models import tiny

if TYPE_CHECKING:
    from facial_r1.models.loading import fingerprint as fingerprint
    from facial_r1.models.loading import load as load
    from facial_r1.models.loading import save as save

__all__ = ["fingerprint", "load", "save", "tiny"]


def __getattr__(name: str) -> Any:
    if name in ("fingerprint", "load", "save"):  # imported when asked for: they bring torch and transformers
        from facial_r1.models import loading

        return getattr(loading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
