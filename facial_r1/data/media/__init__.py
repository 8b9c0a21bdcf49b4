"""Video and sound as people have them: opened, looked at, decoded in bounded memory, or refused with the file's name.

Nothing here imports torch; numpy is imported with the first function that is used, PyAV (``pip install 'facial_r1[media]'``) with the
first file that is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facial_r1.data.media.audio import waveform
    from facial_r1.data.media.cache import MediaCache
    from facial_r1.data.media.errors import MediaError
    from facial_r1.data.media.probing import MediaFacts, probe
    from facial_r1.data.media.reading import hear, see
    from facial_r1.data.media.video import frames

__all__ = ["MediaCache", "MediaError", "MediaFacts", "frames", "hear", "probe", "see", "waveform"]

_PLACES = {
    "MediaCache": "cache",
    "MediaError": "errors",
    "MediaFacts": "probing",
    "frames": "video",
    "hear": "reading",
    "probe": "probing",
    "see": "reading",
    "waveform": "audio",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
