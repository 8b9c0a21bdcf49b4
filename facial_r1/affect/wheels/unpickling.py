"""Pickled dictionaries in an .npz, read without running what a pickle may contain.

``numpy.load(..., allow_pickle=True)`` runs any code that the file names. Here the only things a file may name are those that
numpy itself writes for an array of Python objects and for its numbers and strings, and even these are replaced by stand-ins that hold
data and do nothing.
"""

from __future__ import annotations

import ast
import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

from facial_r1.errors import InputError

_LARGEST = 256 << 20


class _Array:
    """Stands for ``numpy.ndarray``: keeps the objects that a pickled array holds."""

    def __init__(self, *_: Any) -> None:
        self.items: list[Any] = []

    def __setstate__(self, state: Any) -> None:
        items = state[-1] if isinstance(state, tuple) else None
        if not isinstance(items, list):
            raise pickle.UnpicklingError("an array of something else than Python objects")
        self.items = items


class _Type:
    """Stands for ``numpy.dtype``: keeps its code (``f8``, ``U5``) and byte order."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code = str(code)
        self.order = "<"

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
            self.order = ">"


def _reconstruct(*_: Any) -> _Array:
    return _Array()


_NUMBERS = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "i1": "b", "u8": "Q", "u4": "I", "u2": "H", "u1": "B", "b1": "?"}  # fmt: skip


def _scalar(kind: Any = None, content: Any = None, *_: Any) -> Any:
    """A single number or string of numpy, as Python's own."""
    if not isinstance(kind, _Type) or not isinstance(content, bytes):
        raise pickle.UnpicklingError("a number of numpy without its type or bytes")
    if kind.code in _NUMBERS:
        return struct.unpack(kind.order + _NUMBERS[kind.code], content)[0]
    if kind.code.startswith("U"):
        return content.decode("utf-32-le" if kind.order == "<" else "utf-32-be").rstrip("\0")
    raise pickle.UnpicklingError(f"a value of numpy's type {kind.code}, which is neither number nor string")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
}


class _DataOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no data") from None


def read_object_npz(path: Path) -> dict[str, Any]:
    """The single Python object of each entry of an .npz: strings, numbers, lists, tuples, dictionaries.

    Raises:
        InputError: The file is missing or broken, or holds anything else than data.
    """
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.file_size > _LARGEST:
                    raise ValueError(f"{entry.filename} is larger than {_LARGEST >> 20} MiB")
                found[entry.filename.removesuffix(".npy")] = _object(archive.read(entry))
    except (OSError, zipfile.BadZipFile, pickle.UnpicklingError, ValueError, EOFError, struct.error) as error:
        raise InputError(f"{path}: refused: {error}; give the file as it was released") from error
    except (AttributeError, IndexError, KeyError, TypeError, SyntaxError, ImportError) as error:  # what broken pickles end in
        raise InputError(f"{path}: broken ({type(error).__name__}: {error}); give the file as it was released") from error
    return found


def _object(content: bytes) -> Any:
    """The object in an .npy of shape () and type object."""
    if content[:6] != b"\x93NUMPY":
        raise ValueError("an entry is no .npy")
    wide = content[6] >= 2
    length = struct.unpack_from("<I" if wide else "<H", content, 8)[0]
    start = 12 if wide else 10
    header = ast.literal_eval(content[start : start + length].decode("utf-8"))
    if header.get("descr") != "|O" or header.get("shape") != ():
        raise ValueError("an entry does not hold one Python object")
    array = _DataOnly(io.BytesIO(content[start + length :])).load()
    if not isinstance(array, _Array) or len(array.items) != 1:
        raise ValueError("an entry does not hold one Python object")
    return array.items[0]
