"""What a model's answers depend on, as short texts for cache keys: its files, its weights in memory, its processor.

Imports no torch: the files of a checkpoint are hashed as bytes.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any, Protocol

SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".model")
"""Files of a checkpoint that decide its answers: weights, settings, templates, vocabularies."""

# A file changed again within the resolution of its time stamp would go unnoticed, so young files are not remembered.
_SETTLED_SECONDS = 2.0


class Memory(Protocol):
    """Keeps digests of files that have not changed, so that 15 GB are read once. `ResponseCache` is one."""

    def recall_file(self, stamp: str) -> str | None:
        """The digest that was remembered for `stamp`, or None."""

    def remember_file(self, stamp: str, digest: str) -> None:
        """Keep a digest."""


def file_digest(path: str | Path, memory: Memory | None = None) -> str:
    """sha256 of a whole file, 64 hex digits.

    With a `memory` a file is read again only when its path, size, inode, or the time of the last change of its content or
    its inode differs from when it was read.
    """
    path = Path(path).resolve()
    state = path.stat()
    stamp = f"{path}:{state.st_dev}:{state.st_ino}:{state.st_size}:{state.st_mtime_ns}:{state.st_ctime_ns}"
    known = memory.recall_file(stamp) if memory is not None else None
    if known:
        return known
    settled = time.time() - max(state.st_mtime, state.st_ctime) > _SETTLED_SECONDS
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if memory is not None and settled:
        memory.remember_file(stamp, digest)
    return digest


def folder_fingerprint(folder: str | Path, memory: Memory | None = None) -> str:
    """24 hex digits that change when a weight, a setting or a template in a model's folder does.

    Every byte of the weights counts; see `file_digest` for what `memory` saves.
    """
    digest = hashlib.sha256()
    for file in sorted(file for file in Path(folder).iterdir() if file.suffix in SUFFIXES):
        digest.update(file.name.encode())
        digest.update(bytes.fromhex(file_digest(file, memory)))
    return digest.hexdigest()[:24]


def weights_fingerprint(model: Any) -> str:
    """24 hex digits of the weights and buffers of a model in memory: for a model that was trained since it was loaded.

    A folder names such a model wrongly: its answers would be taken for those of the weights it started from.
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8).cpu()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(flat.numpy().data)
    settings = getattr(model, "generation_config", None)
    digest.update(_canonical(settings.to_dict() if settings is not None else {}))
    return digest.hexdigest()[:24]


def processor_fingerprint(processor: Any) -> str:
    """24 hex digits of how a processor in memory makes a prompt: chat template, picture settings, vocabulary.

    The bounds of the picture size are read as they are set now, not as they lie in a file.
    """
    digest = hashlib.sha256()
    tokenizer = processor.tokenizer
    for template in (getattr(processor, "chat_template", None), getattr(tokenizer, "chat_template", None)):
        digest.update(_canonical(template))
    digest.update(_canonical(processor.image_processor.to_dict()))
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        digest.update(_canonical(tokenizer.get_vocab()))
    else:  # padding and truncation are left in it by whichever call came last
        digest.update(_canonical({**json.loads(backend.to_str()), "padding": None, "truncation": None}))
    return digest.hexdigest()[:24]


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()
