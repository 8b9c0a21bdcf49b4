"""Large row files as an Arrow table on disk: read once as a stream, then mapped into memory.

Hundreds of thousands of rows as Python objects take gigabytes and, from JSON, tens of seconds. Here each row is read once and its
text columns are written to an Arrow file in the cache, batch by batch; after that a load maps the file, and a record is made
when it is asked for.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from facial_r1 import atomic
from facial_r1.data.drawn import cache_folder, exclusive
from facial_r1.data.images import digest
from facial_r1.data.locate import absolute
from facial_r1.data.problems import Problem
from facial_r1.data.record import Record
from facial_r1.data.rows import read_distinct_rows
from facial_r1.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1
"""Raise it when what is stored changes."""
LINE = "line"
"""Column with the number of each row in its file, see `read_distinct_rows`."""

_BATCH = 16_384

Check = Callable[[Mapping[str, Any]], tuple[str, str, str] | None]
"""What is wrong with a row: field, reason and fix; None for a sound one."""


@dataclass(frozen=True)
class ArrowRows:
    """Text columns of a row file.

    Attributes:
        file: The file that was read.
        table: One column of text each, then `LINE`; mapped from the cache, so that it takes no memory until it is used.
        problems: Rows that were left out.
    """

    file: Path
    table: pa.Table
    problems: list[Problem]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> Iterator[str]:
        """The values of a column, in order."""
        for chunk in self.table.column(name).chunks:
            yield from chunk.to_pylist()


def arrow_rows(
    path: str | os.PathLike[str], columns: Sequence[str], check: Check = lambda row: None, cache: str | None = None
) -> ArrowRows:
    """The text columns of a JSON array or of JSON lines, plain or gzipped.

    The result is kept in the cache under the file's path, size, time of change and content at both ends, and made again when one of
    them changes. Processes that ask at the same time convert once.

    Args:
        path: The file.
        columns: Keys that each row must have as text; others are passed over.
        check: A further test of a row; what it is must follow from `columns`, since the cache is not named after it.
        cache: Folder of the cache; None for the usual one.

    Raises:
        InputError: The file cannot be read, or the cache cannot be written.
    """
    import pyarrow as pa

    file = absolute(path)
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    facts = file.stat()
    look = [VERSION, str(file), facts.st_size, facts.st_mtime_ns, digest(file), list(columns)]
    base = cache_folder(cache) / "arrow"
    stored = base / f"{file.name.split('.')[0]}-{hashlib.sha256(json.dumps(look).encode()).hexdigest()[:16]}.arrow"
    try:
        base.mkdir(parents=True, exist_ok=True)
        with exclusive(base / f".{stored.stem}.lock"):
            if not stored.is_file():
                _convert(file, columns, check, stored)
        table = pa.ipc.open_file(pa.memory_map(str(stored))).read_all()
        problems = [Problem(**problem) for problem in atomic.read_json(_beside(stored))]
    except OSError as error:
        raise InputError(
            f"{file}: its rows cannot be kept in {base}: {error.strerror or error}. Set FACIAL_R1_CACHE to a folder that you may write"
        ) from error
    return ArrowRows(file, table, problems)


def _convert(file: Path, columns: Sequence[str], check: Check, target: Path) -> None:
    """Write the Arrow file, whole or not at all."""
    import pyarrow as pa

    schema = pa.schema([*((name, pa.large_string()) for name in columns), (LINE, pa.int32())])
    problems: list[Problem] = []
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    partial = Path(name)
    try:
        with pa.OSFile(name, "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for values in _batches(file, columns, check, problems):
                writer.write_batch(pa.record_batch(values, schema=schema))
        atomic.write_json(_beside(target), [asdict(problem) for problem in problems])
        partial.chmod(0o644)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _beside(target: Path) -> Path:
    """Where the problems of a table lie."""
    return target.with_suffix(".problems.json")


def _batches(file: Path, columns: Sequence[str], check: Check, problems: list[Problem]) -> Iterator[list[list[Any]]]:
    values: list[list[Any]] = [[] for _ in range(len(columns) + 1)]
    for entry in read_distinct_rows(file):
        if isinstance(entry, Problem):
            problems.append(entry)
            continue
        line, row = entry
        texts = [row.get(name) for name in columns]
        wrong = next((name for name, text in zip(columns, texts, strict=True) if not isinstance(text, str)), None)
        if wrong is not None:
            what = f"is a {type(row[wrong]).__name__}, not text" if wrong in row else "is missing"
            problems.append(Problem(str(file), line, wrong, what, f'write "{wrong}": "..." in each row'))
            continue
        found = check(row)
        if found is not None:
            problems.append(Problem(str(file), line, *found))
            continue
        for column, value in zip(values, [*texts, line], strict=True):
            column.append(value)
        if len(values[-1]) == _BATCH:
            yield values
            values = [[] for _ in values]
    if values[-1]:
        yield values


@dataclass(frozen=True)
class LazyRecords(Sequence[Record]):
    """Records that are made when they are asked for.

    Attributes:
        rows: The table behind them.
        make: A record from the text columns of a row, by name, and its place, "file:line".
        chosen: Rows of the table, in order; None for all.
    """

    rows: ArrowRows
    make: Callable[[Mapping[str, str], str], Record]
    chosen: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.rows) if self.chosen is None else len(self.chosen)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        row = self.rows.table.slice(place if self.chosen is None else self.chosen[place], 1).to_pylist()[0]
        return self._record(row)

    def __iter__(self) -> Iterator[Record]:
        table = self.rows.table if self.chosen is None else self.rows.table.take(list(self.chosen))
        for batch in table.to_batches(max_chunksize=_BATCH):
            for row in batch.to_pylist():
                yield self._record(row)

    def _record(self, row: dict[str, Any]) -> Record:
        return self.make(row, f"{self.rows.file}:{row[LINE]}")
