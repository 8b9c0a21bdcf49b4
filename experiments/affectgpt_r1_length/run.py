"""Does an emotion-wheel reward make answers longer, and do length penalties cut them? A sweep on the tiny model, for the CPU.

Usage: python experiments/affectgpt_r1_length/run.py --work /tmp/length --seeds 0 1 --settings none p1 p2 p3

Runs that are finished are found again, so that the same command with further seeds or settings adds to the table.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from facial_r1.prompts.open_vocabulary import read_answer

HERE = Path(__file__).parent
COMMON = ["model=tiny", "data=schematic_open", "prompt=affectgpt_r1_direct", "reward=affectgpt_r1_direct", "launch.device=cpu",
          "data.test_amount=150"]  # fmt: skip
COLD = ["stage.max_steps=200", "stage.schedule=linear", "stage.max_new_tokens=32"]
SHORT = ["stage.prompts_per_step=8", "stage.num_generations=8", "stage.max_completion_length=48", "stage.rollouts_every=1",
         "stage.save_steps=1000"]  # fmt: skip
FIGURES = ("wheel/words_per_answer", "wheel/level1/f", "wheel/level1/precision", "wheel/level1/recall", "wheel/clip_f",
           "wheel/strict/level1/f", "wheel/unknown_words", "format/valid")  # fmt: skip


def run(recipe: str, folder: Path, *overrides: str) -> None:
    """A run of a recipe, unless it is finished."""
    if (folder / "summary.json").is_file():
        return
    command = [sys.executable, "-m", "facial_r1", f"experiment=affectgpt_r1/{recipe}", *COMMON, *overrides, f"run_dir={folder}"]
    subprocess.run(command, check=True, cwd=HERE.parent.parent)


def figures(folder: Path) -> dict[str, dict[str, float]]:
    """Metrics of a finished run."""
    return json.loads((folder / "summary.json").read_text())["metrics"]


def course(folder: Path) -> list[tuple[int, float, float]]:
    """(step, mean distinct words an answer, mean reward) of each step's rollouts."""
    points = []
    for file in sorted((folder / "rollouts").glob("step_*.parquet")):
        rows = pq.read_table(file).to_pylist()
        words = [len(set(read_answer(row["completion"], "direct").words)) for row in rows]
        points.append((rows[0]["step"], sum(words) / len(words), sum(row["reward"] for row in rows) / len(rows)))
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--settings", nargs="+", default=["none", "p1", "p2", "p3"])
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    given = parser.parse_args()
    first, cold = given.work / "direct_cold_1", given.work / "direct_cold"
    run("cold_start", first, *COLD)  # in two parts, as the first turned out to be too short
    run("cold_start", cold, *COLD, f"init_from={first}")
    rows, courses = [("cold start", "", figures(cold))], []
    for seed in given.seeds:
        for setting in given.settings:
            folder = given.work / f"{setting}_{seed}"
            penalty = f"reward.options.ov_accuracy.penalty={setting}"
            run("grpo", folder, *SHORT, penalty, f"stage.max_steps={given.steps}", f"init_from={cold}", f"seed={seed}")
            rows.append((setting, str(seed), figures(folder)))
            courses += [(setting, seed, *point) for point in course(folder)]
            write(given.results, rows, courses)


def write(folder: Path, rows: list[tuple[str, str, dict]], courses: list[tuple]) -> None:
    """results.csv, course.csv and figure.png."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "results.csv", "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["penalty", "seed", "metric", "value", "low", "high", "n"])
        for setting, seed, metrics in rows:
            for name in FIGURES:
                one = metrics[name]
                writer.writerow([setting, seed, name, *(f"{one[key]:.4f}" for key in ("value", "low", "high")), one["n"]])
    with open(folder / "course.csv", "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["penalty", "seed", "step", "words", "reward"])
        writer.writerows([*row[:3], f"{row[3]:.3f}", f"{row[4]:.4f}"] for row in courses)
    draw(folder / "figure.png", rows, courses)


def draw(target: Path, rows: list[tuple[str, str, dict]], courses: list[tuple]) -> None:
    """Words an answer during training, and figures on test faces with their 95 % intervals."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    settings = list(dict.fromkeys(row[0] for row in rows))
    colours = dict(zip(settings, ["#777777", "#c0392b", "#2471a3", "#1e8449", "#b9770e"], strict=False))
    drawing, axes = plt.subplots(1, 4, figsize=(15, 3.8))
    for setting in settings[1:]:
        for seed in sorted({row[1] for row in courses if row[0] == setting}):
            line = [(row[2], row[3]) for row in courses if row[0] == setting and row[1] == seed]
            axes[0].plot(*zip(*line, strict=True), color=colours[setting], alpha=0.8, lw=1.2)
    axes[0].set(xlabel="GRPO step", ylabel="distinct words an answer, sampled")
    titles = ("predicted over true words, greedy", "wheel precision, level 1", "wheel recall, level 1")
    names = ("wheel/words_per_answer", "wheel/level1/precision", "wheel/level1/recall")
    for axis, name, title in zip(axes[1:], names, titles, strict=True):
        for setting in settings:
            own = [row for row in rows if row[0] == setting]
            for place, (_, _, metrics) in enumerate(own):
                one = metrics[name]
                x = settings.index(setting) + 0.22 * (place - (len(own) - 1) / 2)
                spread = [[one["value"] - one["low"]], [one["high"] - one["value"]]]
                axis.errorbar(x, one["value"], spread, fmt="o", color=colours[setting], capsize=2, ms=4)
        axis.set_xticks(range(len(settings)), settings, rotation=20)
        axis.set_title(title, fontsize=10)
    drawing.tight_layout()
    drawing.savefig(target, dpi=110)
    plt.close(drawing)


if __name__ == "__main__":
    main()
