"""What is wrong with a data file: found all at once, said with file, line, field and fix."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from facial_r1.errors import InputError

SHOWN = 20
"""How many problems one message spells out; the rest is counted by field."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in one row, or in a whole file.

    Attributes:
        line: from 1; 0 for a fault that is in no line.
        whole_file: nothing or not all of the file could be read, so that leaving out a row does not help.
    """

    file: str
    line: int
    field: str
    reason: str
    fix: str
    whole_file: bool = False

    @property
    def place(self) -> str:
        """ "file:12", or the file alone for a fault of the whole file."""
        return f"{self.file}:{self.line}" if self.line else self.file

    def __str__(self) -> str:
        return f"{self.place}: {self.field}: {self.reason}\n    fix: {self.fix}"


def describe_problems(problems: Sequence[Problem], shown: int = SHOWN) -> str:
    """The text of a message about `problems`: the first `shown` in full, the rest counted by field."""
    lines = [f"  {problem}".replace("\n", "\n  ") for problem in problems[:shown]]
    rest = problems[shown:]
    if rest:
        counts = Counter(problem.field for problem in rest)
        lines.append(f"  and {len(rest)} more: " + ", ".join(f"{n} in {name}" for name, n in counts.most_common()))
    return "\n".join(lines)


def fail(problems: Sequence[Problem]) -> None:
    """Raise one InputError about all `problems`; return when there are none."""
    if not problems:
        return
    what = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    advice = ""
    if not any(problem.whole_file for problem in problems):
        advice = "\ndata.on_error=skip leaves such rows out and lists them in skipped.jsonl of the run directory."
    raise InputError(f"{what} in the data:\n{describe_problems(problems)}{advice}")


def skipped_rows(problems: Iterable[Problem]) -> int:
    """Number of rows that `problems` are about; a row may have several."""
    return len({(problem.file, problem.line) for problem in problems})


def write_skipped(path: str | os.PathLike[str], problems: Iterable[Problem]) -> int:
    """Write one JSON object a problem (file, line, field, reason, fix) and return how many there are.

    The file appears whole or not at all, also when the process is killed meanwhile.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    count = 0
    with open(partial, "w", encoding="utf-8") as stream:
        for problem in problems:
            stream.write(json.dumps(asdict(problem), ensure_ascii=False) + "\n")
            count += 1
    partial.replace(target)
    return count
