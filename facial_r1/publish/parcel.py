"""What would be uploaded: which files, which are left out and why, and what forbids it (secrets, pickled weights, paths of this machine)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facial_r1.cards.dataset import read_rows, rows_files
from facial_r1.cards.markdown import front_matter
from facial_r1.cards.write import DATASETS, card_of
from facial_r1.errors import InputError
from facial_r1.report.load import Run
from facial_r1.tracking.redaction import redact, redact_text

_MODEL_FILES = (".safetensors", ".json", ".jinja", ".txt", ".model")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".npy", ".npz", ".h5", ".msgpack")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_TEXT = (".json", ".jsonl", ".jinja", ".txt", ".md", ".yaml", ".yml")
_OWN_PATH = re.compile(r"(?<![\w.:/<])/(?:home|Users|root|mnt|work|data|scratch|tmp|var)/[\w.-]+/")
_TRAINING = ("optimizer", "scheduler", "rng_state", "training_args", "trainer_state")


@dataclass
class Parcel:
    """Files of an upload.

    Attributes:
        kind: "model" or "dataset", as the hub calls it.
        files: content by its path in the repository: a file of this machine, or bytes that are written on the way.
        left_out: path and reason.
        notes: what the user should know before it is public.
    """

    kind: str
    files: dict[str, Path | bytes] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def size(self, name: str) -> int:
        """Bytes of a file."""
        content = self.files[name]
        return len(content) if isinstance(content, bytes) else content.stat().st_size

    def total(self) -> int:
        """Bytes of all files."""
        return sum(self.size(name) for name in self.files)


def pack(run: Run, with_images: bool = False) -> Parcel:
    """The parcel of a run with a model, or of a synthesis or prepare run.

    Args:
        run: As `facial_r1.report.load.load_run` reads it.
        with_images: Also pictures: those in a model's folder, and the faces that the rows of a dataset name.

    Raises:
        InputError: The run is not finished, has no card, no weights as safetensors, holds a secret or a path of this machine, or a
            picture is missing.
    """
    if run.status.get("state") != "finished":
        raise InputError(f"{run.path}: the run is {run.status.get('state') or 'no run'}; finish it with its own command first")
    card = card_of(run)
    parcel = _dataset(run, with_images) if run.stage in DATASETS else _model(card.parent, with_images)
    parcel.files["README.md"] = card
    parcel.notes += _check_card(card)
    _refuse_secrets(parcel)
    return parcel


def _model(folder: Path, with_images: bool) -> Parcel:
    parcel = Parcel("model")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, suffix = file.relative_to(folder).as_posix(), file.suffix.lower()
        if suffix in _PICKLED or file.stem.startswith(_TRAINING):
            parcel.left_out.append(
                (name, "not safetensors: a pickle can run code" if suffix in _PICKLED else "state of the trainer")
            )
        elif suffix in _PICTURES and not with_images:
            parcel.left_out.append((name, "a picture, perhaps of a person; --with-images takes it along"))
        elif file.is_symlink() and not file.resolve().is_relative_to(folder.resolve()):
            parcel.left_out.append((name, "a link out of the model's folder"))
        elif suffix in (*_MODEL_FILES, *_PICTURES):
            parcel.files[name] = file
        elif name != "README.md":
            parcel.left_out.append((name, "no file of a model"))
    if not any(name.endswith(".safetensors") for name in parcel.files):
        raise InputError(f"{folder}: no weights as safetensors there; only those are uploaded")
    return parcel


def _dataset(run: Run, with_images: bool) -> Parcel:
    """Rows with `images/<...>` in place of this machine's paths; the pictures themselves only when they are asked for."""
    parcel = Parcel("dataset")
    pictures: dict[str, str] = {}
    for name in rows_files(run):
        text = "".join(json.dumps(_publishable(row, pictures), ensure_ascii=False) + "\n" for row in read_rows(run.path / name))
        parcel.files[name] = text.encode()
    if (run.path / "yield.json").is_file():
        parcel.files["yield.json"] = run.path / "yield.json"
    if not with_images:
        parcel.left_out.append(("images/", f"{len(pictures)} pictures of faces; --with-images takes them along"))
        for name in ("contact_sheet.png", "clip_sheet.png"):
            if (run.path / name).is_file():
                parcel.left_out.append((name, "pictures of faces"))
        return parcel
    for path, name in pictures.items():
        if not Path(path).is_file():
            raise InputError(f"{path}: this picture of the dataset is gone; bring it back, or publish without --with-images")
        parcel.files[name] = Path(path)
    parcel.notes.append(
        f"{len(pictures)} pictures of faces are uploaded as they are, with what cameras wrote into them: does the owner's licence allow it?"
    )
    return parcel


def _publishable(row: dict[str, Any], pictures: dict[str, str]) -> dict[str, Any]:
    """A row without paths of this machine; notes its pictures and the names they get."""
    result = dict(row)
    for key in ("image", "images"):
        value = row.get(key)
        if isinstance(value, str) and value:
            result[key] = _picture(value, row, pictures)
        elif isinstance(value, list):
            result[key] = [_picture(str(one), row, pictures) for one in value]
    meta = row.get("meta_info")
    if isinstance(meta, dict) and isinstance(meta.get("provenance"), dict):
        provenance = {key: _last_parts(value) if key in ("model", "run") else value for key, value in meta["provenance"].items()}
        result["meta_info"] = {**meta, "provenance": provenance}
    return result


def _picture(path: str, row: dict[str, Any], pictures: dict[str, str]) -> str:
    if path not in pictures:
        stem = re.sub(r"[^\w.-]", "_", f"{row.get('id', '')}") or "picture"
        name, number = f"images/{stem}{Path(path).suffix.lower()}", 2
        taken = set(pictures.values())
        while name in taken:
            name, number = f"images/{stem}-{number}{Path(path).suffix.lower()}", number + 1
        pictures[path] = name
    return pictures[path]


def _last_parts(value: Any) -> Any:
    """A hub id as it is; of a folder of this machine the run and what is in it."""
    if not isinstance(value, str) or not Path(value).is_absolute():
        return value
    path = Path(value)
    return f"{path.parent.name}/{path.name}" if path.name == "model" else path.name


def _check_card(card: Path) -> list[str]:
    if not card.is_file():
        raise InputError(
            f"{card}: there is no card; write it with `facial-r1 card {card.parent.parent if card.parent.name == 'model' else card.parent}`"
        )
    front = front_matter(card.read_text(encoding="utf-8"))
    if front is None:
        raise InputError(
            f"{card}: no front matter (YAML between two lines of ---), which the hub reads; write the card anew with `facial-r1 card`"
        )
    if not front.get("license"):
        raise InputError(f"{card}: its front matter has no license; add one, or `license: unknown`")
    if front["license"] in ("unknown", "other") and not front.get("license_name"):
        return [
            f"the card says license: {front['license']}; nobody may use it on that ground. State one: facial-r1 card <run> --license <id>"
        ]
    return []


def _refuse_secrets(parcel: Parcel) -> None:
    """Raises InputError for the first secret or path of this machine in a text, with file and line."""
    for name, lines in _texts(parcel):
        structured = name.endswith(".json")
        for place, line in enumerate(lines, start=1):
            if redact_text(line) != line:
                raise InputError(
                    f"{name}:{place}: this looks like an access key or a password; take it out before anything is uploaded"
                )
            if name != "tokenizer.json" and (found := _OWN_PATH.search(line)):
                raise InputError(f"{name}:{place}: {found[0]}... is a path of this machine; take it out before it is uploaded")
        if structured and _holds_secret("\n".join(lines)):
            raise InputError(
                f"{name}: a key in it names a secret (api_key, password, token, ...); take it out before anything is uploaded"
            )


def _texts(parcel: Parcel) -> Iterator[tuple[str, Iterable[str]]]:
    for name, content in parcel.files.items():
        if name.lower().endswith(_TEXT):
            data = content if isinstance(content, bytes) else content.read_bytes()
            yield name, data.decode("utf-8", errors="replace").split("\n")


def _holds_secret(text: str) -> bool:
    try:
        tree = json.loads(text)
    except ValueError:
        return False
    return bool(redact(tree) != tree)
