"""How fast emotion words are scored: one pair, a million pairs, memory, and the time to the first score.

Everything runs on one core and is given in seconds of that core (and the long run also by the clock, which is longer on a busy machine), on the tables that are shipped (``--source``, ``--root`` for the released ones). See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # runs from a checkout without installation

FIRST = (
    "import sys; sys.path.insert(0, {root!r}); "
    "from facial_r1.affect.wheels import load; "
    "load({source!r}, {folder!r}).pair('happy, relieved', 'joyful')"
)


def pairs_of(words: list[str], count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Truths and predictions as models write them: bracketed lists of one to five words, some of them unknown."""
    rng = random.Random(seed)
    known = [*words, "friendly manner", "hmm", "neutral"]

    def labels() -> str:
        return f"[{', '.join(rng.choices(known, k=rng.randint(1, 5)))}]"

    return [(labels(), labels()) for _ in range(count)]


def resident() -> float:
    """Memory of this process in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def first_score(source: str, folder: str | None, repeats: int) -> float:
    """Seconds of a core from the start of a Python process to its first score and end, without the start of Python itself; least."""

    def run(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    code = FIRST.format(root=str(ROOT), source=source, folder=folder)
    run(code)  # byte code, file cache
    return min(run(code) for _ in range(repeats)) - min(run("pass") for _ in range(repeats))


def measure(source: str, folder: str | None, million: int, repeats: int) -> dict[str, Any]:
    """All figures of one source."""
    from facial_r1.affect.wheels import load

    found: dict[str, Any] = {"source": source, "import_and_first_score_s": first_score(source, folder, repeats)}
    wheels = load(source, folder)
    pool = pairs_of(sorted(wheels.source.forms), 10_000)
    for level in (1, 2):
        for mode in ("compat", "strict"):
            for truth, prediction in pool:
                wheels.pair(truth, prediction, level, mode)  # fills the table in
            times = []
            for _ in range(repeats):
                started = time.process_time()
                for truth, prediction in pool:
                    wheels.pair(truth, prediction, level, mode)
                times.append((time.process_time() - started) / len(pool))
            found[f"us_per_pair_level{level}_{mode}"] = min(times) * 1e6
    before = resident()
    started, started_cpu, total = time.perf_counter(), time.process_time(), 0.0
    for index in range(million):
        truth, prediction = pool[index % len(pool)]
        total += wheels.f(truth, prediction)
    found |= {
        "pairs": million,
        "seconds_for_all_pairs": time.process_time() - started_cpu,
        "wall_seconds_for_all_pairs": time.perf_counter() - started,
        "memory_growth_mib": resident() - before,
        "mean_f": total / million,
    }
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="embedded", help="embedded, mer2025 or mer2026 (default: embedded)")
    parser.add_argument("--root", help="folder of the released tables")
    parser.add_argument("--pairs", type=int, default=1_000_000, help="pairs of the long run (default: 1,000,000)")
    parser.add_argument("--repeats", type=int, default=5, help="of the short runs (default: 5)")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    found = measure(options.source, options.root, options.pairs, options.repeats)
    for name, value in found.items():
        print(f"{name:28} {value:,.4f}" if isinstance(value, float) else f"{name:28} {value}", file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
