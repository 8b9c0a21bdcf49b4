"""`generation.parity` with the engines themselves, from the command line to parity.json."""

from __future__ import annotations

import json
from pathlib import Path

from facial_r1.stages import parity
from tests.command import SMALL, facial_r1, run_directory

ROWS = 12
#: Answers that may differ: the two engines add up in another order, and a tie may fall the other way.
TIES = 1


def test_an_evaluation_says_how_far_transformers_and_vllm_agree(tmp_path: Path, face_cache: Path) -> None:
    done = facial_r1(
        "stage=eval",
        *SMALL,
        "generation.parity=[transformers,vllm]",
        f"generation.parity_rows={ROWS}",
        "+generation.vllm.enforce_eager=true",
        "+generation.vllm.gpu_memory_utilization=0.1",
        "stage.resamples=0",
        f"run_dir={tmp_path}/run",
        cache=face_cache,
    )
    (found,) = json.loads((run_directory(done) / parity.FILE).read_text())
    assert (found["first"], found["second"], found["rows"], found["failed"]) == ("transformers", "vllm", ROWS, 0)
    assert found["equal"] >= 1 - TIES / ROWS
    assert len(found["examples"]) == round((1 - found["equal"]) * ROWS)
    assert min(found["same_labels"], found["same_action_units"]) >= found["equal"]
    assert (found["first_difference"] is None) == (found["equal"] == 1)
    assert f"parity: transformers and vllm: {found['equal']:.1%} of {ROWS} greedy answers are equal" in done.stdout + done.stderr
