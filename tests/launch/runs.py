"""Short runs of the stages that the harness cuts off, and what they leave behind when they are let alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facial_r1.runs import RunDirectory
from tests.command import SMALL
from tests.launch.harness import Zygote, artefacts, claims, same

STAGES = ("sft", "grpo", "synthesis", "eval")
_LINES = {
    "sft": [
        "stage.per_device_batch_size=4", "stage.max_steps=10", "stage.save_steps=3", "stage.eval_rows=4", "stage.max_new_tokens=24",
    ],
    "grpo": [
        "stage.max_steps=5", "stage.save_steps=2", "stage.prompts_per_step=2", "stage.num_generations=2",
        "stage.max_completion_length=16", "stage.eval_rows=4",
    ],
    "synthesis": ["stage.attempts=2", "stage.chunk=4", "stage.max_new_tokens=32"],
    "eval": ["stage.chunk=2", "generation.batch_size=2", "stage.max_new_tokens=48", "stage.resamples=50"],
}  # fmt: skip


@dataclass
class Straight:
    """Runs that nobody interrupts, each made when it is first asked for."""

    zygote: Zygote
    fitted: Path
    folder: Path
    _made: dict[str, tuple[dict[str, Any], float]] = field(default_factory=dict)

    def line(self, stage: str) -> list[str]:
        start = [] if stage == "sft" else [f"init_from={self.fitted}"]
        return [f"stage={stage}", *SMALL, *_LINES[stage], *start]

    def artefacts(self, stage: str) -> dict[str, Any]:
        return self._run(stage)[0]

    def seconds(self, stage: str) -> float:
        return self._run(stage)[1]

    def _run(self, stage: str) -> tuple[dict[str, Any], float]:
        if stage not in self._made:
            run = self.folder / f"straight-{stage}"
            done = self.zygote.run(*self.line(stage), f"run_dir={run}")
            assert done.code == 0, done.err
            self._made[stage] = artefacts(run), done.seconds
        return self._made[stage]

    def cut(self, stage: str, run: Path, after: float, number: int) -> tuple[int, str]:
        """Cut a run off, run the same command again, and check that it ends as one that was not; the exit code and words of the first."""
        line = [*self.line(stage), f"run_dir={run}"]
        first = self.zygote.start(line).cut(after, number)
        had = claims(run) if run.is_dir() else {"checkpoint": 0, "written": {}}
        second = self.zygote.run(*line)
        assert second.code == 0, f"the rerun ended with {second.code}:\n{second.err}"
        assert RunDirectory(run).state() == "finished"
        if had["checkpoint"] and "training on" in second.err:
            assert f"from checkpoint-{had['checkpoint']}" in second.err, "the checkpoint was not used"
        lost = [name for name, text in had["written"].items() if claims(run)["written"].get(name) != text]
        differ = same(self.artefacts(stage), artefacts(run))
        assert not differ, f"differs from an uninterrupted run in {differ}"
        if stage == "eval":
            assert not lost, f"written before, and lost: {lost}"
        left = [path.name for path in run.iterdir() if path.name.startswith(".")]
        assert not left, f"half-written files were left: {left}"
        return first.code, first.err
