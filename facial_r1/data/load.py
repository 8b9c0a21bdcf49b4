"""From the `data` part of a job to the rows of its train and test side."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from facial_r1.data.drawn import cache_folder
from facial_r1.data.files import SIDES, Files, files_of, owners, parts_of, prepared_files
from facial_r1.data.identity import place
from facial_r1.data.jsonl import load_pairs, verify_images
from facial_r1.data.leaks import Leak, describe_leaks, find_leaks, without_leaks
from facial_r1.data.media.checking import Wanted, check_media, media_of
from facial_r1.data.mixture import Mixture, mix
from facial_r1.data.owned import check_entry, entry_name, joint_protocol, prepare_entries
from facial_r1.data.problems import Problem, fail, skipped_rows
from facial_r1.data.protocol import Protocol, load_protocol
from facial_r1.data.record import Record
from facial_r1.data.records import Records
from facial_r1.data.selection import by_fold, filled
from facial_r1.data.sides import divide_files, for_test
from facial_r1.errors import InputError

if TYPE_CHECKING:
    from facial_r1.config.schema import Data as DataConfig
    from facial_r1.data.prepared import Prepared


@dataclass(frozen=True)
class Data:
    """What a stage works on.

    Attributes:
        train, test: rows of each side; empty for a side that was not asked for.
        protocol: label space, action units and scoring rules; of a mix of several protocols, what they say together.
        problems: bad rows that were left out under `data.on_error=skip`, with file, line, field, reason and
            fix.
        notes: what the user should know, each one line, for example rows without a subject.
        protocols: in a mix of several protocols, that of each dataset, by the name on its rows.
        leaks: images of the test side that training shows, or showed before `data.deduplicate` left their rows out.
        deduplicated: how many train rows were left out for that.
    """

    train: Mixture
    test: Mixture
    protocol: Protocol
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    protocols: Mapping[str, Protocol] = field(default_factory=dict)
    leaks: list[Leak] = field(default_factory=list)
    deduplicated: int = 0

    def protocol_of(self, record: Record) -> Protocol:
        """The protocol that `record` is asked and scored by: its dataset's own in a mix."""
        return self.protocols.get(record.dataset, self.protocol)

    @property
    def annotated(self) -> dict[str, tuple[str, ...]]:
        """The action units that each dataset of a mix annotates, where it names them; empty for anything but a mix."""
        return {dataset: rules.action_units for dataset, rules in self.protocols.items() if rules.action_units}

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over both sides; equal for equal rows and images wherever they lie."""
        return hashlib.sha256(f"{self.train.fingerprint}:{self.test.fingerprint}".encode()).hexdigest()

    def describe(self) -> str:
        """The tables of the sides that have rows, and the notes."""
        parts = [f"{name}:\n{side.describe()}" for name, side in zip(SIDES, (self.train, self.test), strict=True) if len(side)]
        parts += [f"note: {note}" for note in self.notes]
        return "\n".join(parts)


def load_data(
    config: DataConfig | Mapping[str, Any],
    *,
    need: Collection[str] = SIDES,
    require: Collection[str] = ("image",),
    having: Mapping[str, Collection[str]] | None = None,
    check_images: bool = True,
    stop: Callable[[], None] = lambda: None,
) -> Data:
    """Load, check, divide and select the rows of a job.

    Rows are read and checked, bad ones are reported or left out (`data.on_error`); then train and test are
    divided (by the files, by the field `split`, or by subject); then rows are selected (`amount` and `weight`
    of each source, then `data.amount` and `data.test_amount` of the whole). So the test side does not depend
    on the amounts of training.

    Args:
        config: the typed `data` of a job, or a mapping with its keys.
        need: the sides that must have rows: "train", "test". The other side stays empty, and is not read when
            it has files of its own.
        require: fields that every row must have filled; rows without them are problems.
        having: by side, fields that select: rows without them are not available to the amounts, and that is
            no fault.
        check_images: see `facial_r1.data.jsonl.load_records`.
        stop: called while a set is prepared; may raise to stop the work, which the next call continues.

    Raises:
        InputError: problems in the data, a needed side without rows, an amount above what there is.
    """
    config = _typed(config)
    rules = load_protocol(config.protocol)
    prepared = _prepared(config, stop) if config.kind == "source" else None
    entries = prepare_entries(config, stop)
    sources = prepared_files(prepared) if prepared is not None else files_of(config, entries)
    own_test = any(source.split == "test" for source in sources)
    groups = {
        "train": [source for source in sources if source.split != "test"],
        "test": [source for source in sources if source.split == "test"],
    }
    # Loaded apart, so that the ids of the test side do not depend on whether the train side is read too.
    loaded = {}
    for side in SIDES:
        group = groups[side] if side in need or not own_test else [source for source in groups[side] if source.whole]
        loaded[side] = _read(group, require, rules, config, check_images)
    notes = [] if prepared is None else _notes_on(prepared)
    notes += [f"{entry_name(config, place)}: {note}" for place, one in entries for note in _notes_on(one)]
    notes += [note for side in SIDES for note in loaded[side].notes]
    train, test = divide_files(loaded["train"], groups["train"], config, rules, own_test, notes)
    test += for_test(loaded["test"], config, notes)
    protocols = _protocols(config, sources, [*loaded["train"], *loaded["test"]])
    if protocols:
        coded = any(record.AUs and not protocols[record.dataset].action_units for side in SIDES for record in loaded[side])
        rules = joint_protocol(config, [source.rules or rules for source in sources], coded)
    if prepared is not None:
        notes += _unshown(rules, train + test)
    digests = loaded["train"].digests | loaded["test"].digests
    problems = [problem for one in (prepared, *(one for _, one in entries)) if one is not None for problem in one.problems]
    problems += [problem for side in SIDES for problem in loaded[side].skipped]
    invalid = loaded["train"].invalid_by_file | loaded["test"].invalid_by_file
    mixtures = {}
    for side, rows, amount in (("train", train, config.amount), ("test", test, config.test_amount)):
        fields = (having or {}).get(side, ())
        parts = parts_of(sources, rows if side in need else [], problems, invalid, side)
        name = "data.amount" if side == "train" else "data.test_amount"
        if side in need and not filled(rows, fields):
            raise InputError(_no_rows(side, config, fields, len(rows)))
        balance = config.balance if side == "train" else None
        mixtures[side] = mix(parts, amount if side in need else None, config.seed, fields, digests, name, balance, config.repeats)
        notes += mixtures[side].notes
    if entries and check_images:
        problems += _look_at_chosen(mixtures, digests, config, notes)
    leaks, left_out = _compare_sides(mixtures, digests, config, notes)
    notes += _shared_subjects(mixtures["train"], mixtures["test"], bool(protocols))
    if problems:
        notes.append(f"{skipped_rows(problems)} bad rows were left out (data.on_error=skip)")
    return Data(mixtures["train"], mixtures["test"], rules, problems, notes, protocols, leaks, left_out)


def check_settings(config: DataConfig) -> None:
    """What can be said about the data's settings without looking at files.

    Raises:
        InputError: no such source, option or protocol, a value of the wrong type, or no such fold.
    """
    if config.kind == "source":
        from facial_r1.data.sources import checked_options

        checked_options(str(config.source), config.options)
    rules = load_protocol(config.protocol)
    if config.fold is not None:
        by_fold([], rules.folds, config.fold)
    for number in range(len(config.sources)):
        check_entry(config, number)


def _typed(config: DataConfig | Mapping[str, Any]) -> DataConfig:
    if not isinstance(config, Mapping):
        return config
    from pydantic import ValidationError

    from facial_r1.config.schema import Data as DataConfig

    try:
        return DataConfig(**{"name": config.get("kind", "jsonl"), "kind": "jsonl", **config})
    except ValidationError as error:
        lines = [f"data.{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise InputError("\n".join(lines)) from error


def _prepared(config: DataConfig, stop: Callable[[], None]) -> Prepared:
    # Imports every reader; data from files needs none of them.
    from facial_r1.data.prepared import prepare_source

    return prepare_source(config, stop)


def _notes_on(prepared: Prepared) -> list[str]:
    notes = list(prepared.notes)
    if prepared.excluded:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in prepared.excluded.items())
        notes.append(f"{sum(prepared.excluded.values())} of the owner's rows are left out on purpose: {reasons}")
    if count := prepared.rows.get("validation"):
        notes.append(f"{count} rows are for validation and are on neither side; they lie in {prepared.file('validation')}")
    return notes


def _unshown(rules: Protocol, records: Sequence[Record]) -> list[str]:
    """A note on labels that a prompt would offer and no row has, as when contempt was left out of AffectNet."""
    shown = {label for record in records for label in record.labels}
    missing = [label for label in rules.labels or () if label not in shown]
    if not records or not missing:
        return []
    return [f"no row shows {', '.join(missing)}, which protocol {rules.name} has among its labels"]


def _read(
    sources: Sequence[Files],
    require: Collection[str],
    rules: Protocol,
    config: DataConfig,
    check_images: bool,
) -> Records:
    pairs = [pair for source in sources for pair in source.files]
    if not pairs:
        return Records([])
    each = [source.rules or rules for source in sources for _ in source.files]
    # Of a mix only the chosen rows are looked at: a thousand faces of AffectNet need no look at 290,000.
    checked = [path for source in sources if source.owned and source.entry is not None for path, _ in source.files]
    wanted = Wanted.of(config)
    return load_pairs(pairs, each, config.on_error, require, check_images=check_images, checked=checked, wanted=wanted)


def _look_at_chosen(mixtures: dict[str, Mixture], digests: dict[str, str], config: DataConfig, notes: list[str]) -> list[Problem]:
    """Check the images and clips of the rows that were chosen and not looked at yet; bad rows are refused or left out.

    Adds to `digests` and `notes`, and gives the mixtures of both sides what is known then.
    """
    rows = [record for side in mixtures.values() for record in side.unique]
    more, problems = verify_images([r for r in rows if any(path not in digests for path in r.images)])
    digests |= more
    clips = [r for r in rows if any(path not in digests for path in media_of(r))]
    if clips:
        checked = check_media(clips, Wanted.of(config))
        digests |= checked.digests
        problems += checked.problems
        notes += checked.notes
        with_sound = {before.id: after for before, after in zip(clips, checked.records, strict=True)}
        for name, mixture in mixtures.items():
            mixtures[name] = replace(mixture, records=[with_sound.get(record.id, record) for record in mixture])
    if config.on_error == "fail":
        fail(problems)
    bad = {problem.place for problem in problems}
    for side, mixture in mixtures.items():
        kept = mixture.only({id(record) for record in mixture if record.source not in bad}) if bad else mixture
        mixtures[side] = replace(kept, digests=digests)
    return problems


def _compare_sides(
    mixtures: dict[str, Mixture], digests: Mapping[str, str], config: DataConfig, notes: list[str]
) -> tuple[list[Leak], int]:
    """Images that both sides show, and how many train rows were left out for that (`data.deduplicate`)."""
    train, test = mixtures["train"], mixtures["test"]
    leaks = find_leaks(train, test, digests, config.leaks == "perceptual", cache_folder(config.cache) / "fingerprints")
    if not leaks:
        return [], 0
    clean = train.only({id(record) for record in without_leaks(train, leaks)})
    shown = len(train) - len(clean)
    notes.append(describe_leaks(leaks, shown, config.deduplicate))
    if not config.deduplicate:
        return leaks, 0
    if not clean:
        raise InputError(f"data.deduplicate=true: all {shown} train rows show images of the test side; nothing is left")
    mixtures["train"] = clean
    return leaks, shown


def _protocols(config: DataConfig, sources: Sequence[Files], records: Sequence[Record]) -> dict[str, Protocol]:
    """The protocol of each dataset by the name on its rows, where the sources have protocols of their own.

    Raises:
        InputError: two sources have rows of one dataset and different protocols.
    """
    if all(source.rules is None for source in sources):
        return {}
    owner = owners(sources)
    whole = load_protocol(config.protocol)
    found: dict[str, tuple[Protocol, Files]] = {}
    for record in records:
        source = owner[place(record)[0]]
        rules = source.rules or whole
        known = found.setdefault(record.dataset, (rules, source))
        if known[0] is not rules and known[0] != rules:
            names = [f"data.sources.{entry_name(config, s.entry)}" if s.entry is not None else "data" for s in (known[1], source)]
            raise InputError(
                f"{' and '.join(names)} both have rows of {record.dataset}, read by the protocols {known[0].name} and {rules.name}: "
                f"a dataset is asked and scored by one. Leave one of the two out, or set {names[1]}.protocol.name={known[0].name}"
            )
    return {dataset: rules for dataset, (rules, _) in found.items()}


def _shared_subjects(train: Mixture, test: Mixture, by_dataset: bool) -> list[str]:
    """A note on people whom both sides show. In a mix of several protocols, the same name in two datasets is not one person."""
    people = [
        {(record.dataset if by_dataset else "", record.subject) for record in side if record.subject is not None}
        for side in (train, test)
    ]
    both = sorted(name for _, name in people[0] & people[1] if name is not None)
    return [f"{len(both)} subjects are on the train and the test side, for example {both[0]}"] if both else []


def _no_rows(side: str, config: DataConfig, having: Collection[str], available: int) -> str:
    if available and having:
        return (
            f"no row of the {side} side has {' and '.join(having)}: of {available} rows none can be used. "
            "Add the field to the rows, or choose other files"
        )
    if config.kind == "source":
        return f"the {side} side has no rows: data.root={config.root} holds none of the owner's rows for it"
    if side == "train" and not (config.files or config.sources):
        return "there is nothing to train on: set data.files=[train.jsonl] data.images=[folder]"
    if side == "test" and not config.test_files:
        return (
            f"the test side has no rows (data.split.test={config.split.test}): "
            'set data.test_files=[test.jsonl], mark rows with "split": "test", or raise data.split.test'
        )
    return f"the {side} side has no rows: all rows of its files are marked for another side by their field split"
