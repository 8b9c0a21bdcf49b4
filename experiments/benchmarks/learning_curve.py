"""The demo's GRPO stage as plain TRL does the work and with every saving on: the same learning curve, in less time.

    python experiments/benchmarks/learning_curve.py --seeds 3 --out experiments/benchmarks/results

One SFT run is made first; every GRPO run starts from it, as `python -m facial_r1 stage=grpo` in a process of its own. The two
ways take turns, seed by seed. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a checkout without installation

from facial_r1.training.efficiency import Efficiency

ROOT = Path(__file__).resolve().parents[2]
BASE = ["model=tiny", "data=schematic", "prompt=brief", "reward=facial_r1"]
# What conf/experiment/demo.yaml sets for its first SFT.
SFT = ["stage=sft", "stage.epochs=30", "stage.hinted=0.5", "data.amount=64"]
PLAIN = [f"stage.efficiency.{name}=false" for name in vars(Efficiency())]
WAYS = {"plain": PLAIN, "ours": []}
# Steps that begin and end a curve, for the summary.
EDGE = 10


def run(folder: Path, *overrides: str) -> Path:
    """One run of the application in `folder`.

    Raises:
        subprocess.CalledProcessError: The run failed; its output has been printed.
    """
    command = [sys.executable, "-m", "facial_r1", *BASE, f"run_dir={folder}", *overrides]
    print("$", " ".join(command[1:]), flush=True)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
    done.check_returncode()
    return folder


def curve(folder: Path) -> dict[str, Any]:
    """Mean reward and seconds of every step of a run, and its accuracy on the test rows."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    steps = [line for line in lines if "reward/mean" in line]
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    return {
        "reward": [line["reward/mean"] for line in steps],
        "seconds": [line["seconds/step"] for line in steps],
        "accuracy": summary["metrics"]["emotion/accuracy"]["value"] if "metrics" in summary else None,
    }


def summarise(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of the two ways side by side.

    Args:
        runs: For each seed and way the keys of `curve`, `seed` and `way`.

    Returns:
        Medians of the seconds of a step (the first, which starts threads and caches, left out) and their ratio seed by
        seed; mean reward over the first and last `EDGE` steps; the mean difference of the curves, ours minus plain,
        over all steps, with its 95 % interval over seeds (Student's t).
    """
    from scipy.stats import t

    ways = {way: sorted((run for run in runs if run["way"] == way), key=lambda run: run["seed"]) for way in WAYS}
    reward = {way: np.array([run["reward"] for run in found]) for way, found in ways.items()}
    step = {way: [statistics.median(run["seconds"][1:]) for run in found] for way, found in ways.items()}
    gap = (reward["ours"] - reward["plain"]).mean(axis=1)
    width = float(t.ppf(0.975, len(gap) - 1) * gap.std(ddof=1) / len(gap) ** 0.5) if len(gap) > 1 else float("nan")
    ratios = [plain / ours for plain, ours in zip(step["plain"], step["ours"], strict=True)]
    return {
        "seeds": len(gap),
        "seconds_per_step": {way: statistics.median(values) for way, values in step.items()},
        "ratios": ratios,
        "step_ratio": statistics.median(ratios),
        "reward_first": {way: float(values[:, :EDGE].mean()) for way, values in reward.items()},
        "reward_last": {way: float(values[:, -EDGE:].mean()) for way, values in reward.items()},
        "reward_gap": float(gap.mean()),
        "reward_gap_interval": [float(gap.mean()) - width, float(gap.mean()) + width],
        "accuracy": {way: [run["accuracy"] for run in found] for way, found in ways.items()},
    }


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    """Reward over steps and over seconds, a line per run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (by_step, by_time) = pyplot.subplots(1, 2, figsize=(9, 3.4), sharey=True, constrained_layout=True)
    colours = {"plain": "#b0413e", "ours": "#2b6ca3"}
    names = {"plain": "plain TRL", "ours": "facial_r1"}
    labelled: set[str] = set()
    for run in runs:
        smooth = np.convolve(run["reward"], np.ones(5) / 5, mode="valid")
        label = None if run["way"] in labelled else names[run["way"]]
        labelled.add(run["way"])
        by_step.plot(range(5, 5 + len(smooth)), smooth, color=colours[run["way"]], alpha=0.8, label=label)
        by_time.plot(np.cumsum(run["seconds"])[4:], smooth, color=colours[run["way"]], alpha=0.8)
    by_step.set(xlabel="optimizer step", ylabel="mean reward (5 steps)")
    by_time.set(xlabel="seconds in steps")
    by_step.legend(frameon=False, loc="lower right")
    for axis in (by_step, by_time):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="GRPO runs of each way (default: 3)")
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of each (default: 60, the demo's)")
    parser.add_argument("--work", type=Path, help="folder for the runs (default: a temporary one)")
    parser.add_argument("--out", type=Path, help="writes learning_curve.json and learning_curve.png there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).absolute()
        sft = work / "sft"
        if not (sft / "model").exists():
            run(sft, *SFT, "stage.evaluate=false")
        runs = []
        for seed in range(options.seeds):
            for way in sorted(WAYS, reverse=bool(seed % 2)):
                folder = work / f"{way}_{seed}"
                if not (folder / "summary.json").exists():
                    run(folder, "stage=grpo", f"stage.max_steps={options.steps}", f"init_from={sft}", f"seed={seed}", *WAYS[way])
                runs.append({"seed": seed, "way": way, **curve(folder)})
    summary = summarise(runs)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "learning_curve.json").write_text(json.dumps({"summary": summary, "runs": runs}, indent=1), "utf-8")
        draw(runs, options.out / "learning_curve.png")
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
