"""Datasets in their owners' folders as parts of a mix: where each lies, how each is read, what all have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from facial_r1.affect import EMOTIONS
from facial_r1.affect.action_units import sort_codes
from facial_r1.data.locate import absolute
from facial_r1.data.protocol import Protocol, load_protocol
from facial_r1.data.selection import by_fold
from facial_r1.errors import InputError

if TYPE_CHECKING:
    from facial_r1.config.schema import Data as DataConfig
    from facial_r1.config.schema import Source
    from facial_r1.data.prepared import Prepared

PICTURES = {"fea_20k": "images"}
"""Options that name folders of pictures, by source; relative ones lie below data.root, as the owners' folders do."""

_KEY = re.compile(r"\bdata\.(?=(?:source|root|options|fold|protocol)\b)")


def entry_name(config: DataConfig, place: int) -> str:
    """What the user calls a source of a mix: its name, else its number."""
    return config.sources[place].name or str(place)


def protocol_of(config: DataConfig, entry: Source) -> Protocol:
    """The protocol of a source: its own, else that of its owner's set, else that of the whole mix."""
    if entry.protocol is not None:
        return load_protocol(entry.protocol)
    return load_protocol(entry.source if entry.source else config.protocol)


def check_entry(config: DataConfig, place: int) -> None:
    """What can be said about a source of a mix without looking at files.

    Raises:
        InputError: no such dataset, option or protocol, a value of the wrong type, or no such fold.
    """
    from facial_r1.data.sources import checked_options

    entry = config.sources[place]
    with named(config, place):
        if entry.source:
            checked_options(entry.source, entry.options)
        rules = protocol_of(config, entry)
        if entry.fold is not None:
            by_fold([], rules.folds, entry.fold)


def prepare_entries(config: DataConfig, stop: Callable[[], None]) -> list[tuple[int, Prepared]]:
    """The prepared set of each source that lies in an owner's folder, with its place in `data.sources`.

    Raises:
        InputError: folders that are not there, all named at once, and what `facial_r1.data.prepared.prepare_source` raises.
    """
    places = [place for place, entry in enumerate(config.sources) if entry.source]
    if not places:
        return []
    _check_folders(config, places)
    # Imports every reader; data from files needs none of them.
    from facial_r1.data.prepared import prepare_source

    found = []
    for place in places:
        entry = config.sources[place]
        options = dict(entry.options)
        for option, folders in _pictures(config, entry).items():
            options[option] = [str(folder) for folder in folders]
        with named(config, place):
            alone = replace(
                config,
                kind="source",
                source=entry.source,
                root=str(root_of(config, entry)),
                options=options,
                files=[],
                images=[],
                test_files=[],
                test_images=[],
                sources=[],
            )
            found.append((place, prepare_source(alone, stop)))
    return found


def root_of(config: DataConfig, entry: Source) -> Path:
    """The owner's folder of a source, absolute: `root` below data.root."""
    return absolute(Path(config.root or ".").expanduser() / Path(entry.root or ".").expanduser())


def _pictures(config: DataConfig, entry: Source) -> dict[str, list[Path]]:
    """Folders of pictures that an option of the source names, by option."""
    option = PICTURES.get(str(entry.source))
    given = entry.options.get(option) if option else None
    if not option or not given:
        return {}
    items = [given] if isinstance(given, str) else list(given)
    return {option: [absolute(Path(config.root or ".").expanduser() / Path(str(item)).expanduser()) for item in items]}


def _check_folders(config: DataConfig, places: Sequence[int]) -> None:
    absent: dict[Path, list[str]] = {}
    first: str | None = None
    for place in places:
        entry = config.sources[place]
        name = f"data.sources.{entry_name(config, place)}"
        wanted = [(root_of(config, entry), f"{name}.root")]
        wanted += [(path, f"{name}.options.{option}") for option, paths in _pictures(config, entry).items() for path in paths]
        for path, key in wanted:
            if not path.is_dir():
                absent.setdefault(path, []).append(key)
                first = first or (name if entry.name else None)
    if not absent:
        return
    what = "1 folder is" if len(absent) == 1 else f"{len(absent)} folders are"
    listed = "".join(f"\n  {path} ({', '.join(keys)})" for path, keys in absent.items())
    leave = f"{first}=null" if first else "remove its entry from data.sources"
    raise InputError(
        f"data={config.name}: {what} missing:{listed}\n"
        "Unpack what the owners sent there, or name another place by the key in brackets. Leave a dataset out of the mix with "
        f"{leave}"
    )


@contextmanager
def named(config: DataConfig, place: int) -> Iterator[None]:
    """Messages raised inside speak of the keys of a source of the mix, not of those of the whole."""
    try:
        yield
    except InputError as error:
        raise InputError(_KEY.sub(f"data.sources.{entry_name(config, place)}.", str(error))) from error


def joint_protocol(config: DataConfig, parts: Sequence[Protocol], any_unit: bool) -> Protocol:
    """The protocol of a whole mix: labels and action units of all its sets, for figures over all rows.

    Each row is asked and scored by the protocol of its own dataset; this one says over which classes figures run. What
    `data.protocol` sets, holds. Rows of coded faces carry (), uncoded ones None, whatever their files wrote.

    Args:
        parts: The protocol of each source.
        any_unit: Whether rows are coded whose protocol names no action units, so that any may come.
    """
    own = load_protocol(config.protocol)
    labels: tuple[str, ...] | None = own.labels
    if config.protocol.labels is None:
        spaces = [rules.labels for rules in parts]
        seen = {label for space in spaces for label in space or ()}
        others = dict.fromkeys(label for space in spaces for label in space or () if label not in EMOTIONS)
        labels = (*(label for label in EMOTIONS if label in seen), *others)
        if any(space == () for space in spaces):
            labels = ()
        elif not labels:
            labels = None
    units = own.action_units
    if config.protocol.action_units is None:
        units = () if any_unit else tuple(sort_codes({code for rules in parts for code in rules.action_units}))
    licences = dict.fromkeys(f"{rules.name}: {rules.licence}" for rules in parts if rules.licence)
    return replace(
        own,
        name=config.name,
        labels=labels,
        aliases={},
        action_units=units,
        empty_action_units="absent",
        folds=(),
        licence=own.licence or "; ".join(licences),
        counts={},
        published=(),
    )
