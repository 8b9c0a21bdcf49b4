"""The folder that a server is given: weights, chat template, and a processor that shows pictures at the size the job says.

A server reads the picture bounds from the processor's files. Runs write them as they were trained; another checkpoint may come with
bounds of its own, and `transformers serve` has no option for them. Then the files are linked into a folder of the cache with the
processor written anew, so that every server sees the same pixels as an evaluation here.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from facial_r1 import atomic
from facial_r1.config.schema import ImageSize, Model
from facial_r1.errors import InputError
from facial_r1.models import embedded
from facial_r1.models.images import ImageSizer

_TEMPLATES = ("chat_template.jinja", "chat_template.json")
_NEEDED = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]


def folder_to_serve(model: Model, source: str, cache: Path) -> Path:
    """A folder of the checkpoint at `source` that shows pictures as `model.image_size` says.

    Args:
        model: The `model` group of the job.
        source: Folder, hub id or embedded checkpoint (`embedded:tiny`).
        cache: Where a folder with another processor is made, if it takes one.

    Raises:
        InputError: There is no such checkpoint, or it has no chat template.
    """
    folder = _local(source)
    if not _has_template(folder):
        raise InputError(
            f"{folder}: no chat template there ({' or '.join(_TEMPLATES)}), so a server cannot ask the model anything. "
            "Give the folder that a run wrote (model/), or the whole checkpoint"
        )
    settings = _image_settings(folder)
    if settings is not None and _shows_as(settings, model.image_size):
        return folder
    return _with_processor(model, folder, cache)


def _local(source: str) -> Path:
    if source in embedded.FOLDERS:
        return embedded.FOLDERS[source]
    folder = Path(source).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InputError(f"{source}: no config.json there, so it is no model. Give a run or the folder of a whole model")
        return folder.absolute()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, allow_patterns=_NEEDED))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"{source}: no folder of that name, and the hub has no such model or cannot be reached ({type(error).__name__}: {said}). "
            f"Download it where there is a network (hf download {source}) and give the folder as init_from"
        ) from None


def _has_template(folder: Path) -> bool:
    if any((folder / name).is_file() for name in _TEMPLATES):
        return True
    return bool(_json(folder / "tokenizer_config.json").get("chat_template"))


def _image_settings(folder: Path) -> dict[str, Any] | None:
    """The image processor's settings as they are written down; None when the files do not say all that decides the size."""
    found = {
        **_json(folder / "preprocessor_config.json"),
        **(_json(folder / "processor_config.json").get("image_processor") or {}),
    }
    size = found.get("size") or {}
    stated = [found.get("patch_size"), found.get("merge_size"), size.get("shortest_edge"), size.get("longest_edge")]
    if not all(isinstance(value, int) for value in stated) or found.get("min_pixels") or found.get("max_pixels"):
        return None
    return found


def _shows_as(settings: dict[str, Any], image_size: ImageSize) -> bool:
    """Whether a processor with these settings has the bounds that the job's picture size gives it."""
    size = {name: settings["size"][name] for name in ("shortest_edge", "longest_edge")}
    image_processor = SimpleNamespace(patch_size=settings["patch_size"], merge_size=settings["merge_size"], size=dict(size))
    stand_in: Any = SimpleNamespace(
        image_processor=image_processor
    )  # what `ImageSizer` reads of a processor, without transformers
    ImageSizer.from_processor(stand_in, image_size)
    return bool(image_processor.size == size)


def _with_processor(model: Model, folder: Path, cache: Path) -> Path:
    from facial_r1.models.loading import load_processor

    processor = load_processor(model, folder)  # which sets the bounds
    sizer = ImageSizer.from_processor(processor, model.image_size)
    if sizer.cell is None:
        return folder  # it tiles pictures by itself; there are no bounds to set
    name = hashlib.sha256(f"{folder} {sizer.min_pixels} {sizer.max_pixels}".encode()).hexdigest()[:12]
    target = cache / "served" / f"{folder.parent.name if folder.name == 'model' else folder.name}-{name}"
    with atomic.folder(target) as fresh:
        processor.save_pretrained(fresh)
        for file in folder.iterdir():
            if file.is_file() and not (fresh / file.name).exists():
                (fresh / file.name).symlink_to(file.resolve())
        (fresh / "preprocessor_config.json").unlink(missing_ok=True)  # the old place of what processor_config.json says now
    return target


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file}: not JSON ({error}); the checkpoint is damaged, copy it again") from None
    return value if isinstance(value, dict) else {}
