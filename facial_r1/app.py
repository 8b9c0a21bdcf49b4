"""The application: compose, validate, write resolved.yaml, launch. Imports no torch.

Order of events for one job: Hydra composes `conf/` with the overrides; the tree is validated as a whole; the starting
weights are found (and made, when a model that has never seen the answer format needs a short SFT first); the run
directory is created; the launcher runs `facial_r1.worker` on it. Hydra itself never starts a rank.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facial_r1 import atomic, init_from, runs
from facial_r1.errors import InputError
from facial_r1.locks import held

if TYPE_CHECKING:
    from omegaconf import DictConfig

DONE, FAILED, REFUSED, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143

_SHOW_ONLY = (
    "--help",
    "-h",
    "--hydra-help",
    "--version",
    "--cfg",
    "-c",
    "--info",
    "-i",
    "--shell-completion",
    "-sc",
    "--resolve",
    "--package",
    "-p",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code: 0 done, 1 failed, 2 refused, 130 or 143 interrupted."""
    argv = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        return _dispatch(argv)
    except InputError as error:
        print(f"facial_r1: {error}", file=sys.stderr)
        return REFUSED
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        print("facial_r1: interrupted; the same command continues", file=sys.stderr)
        return INTERRUPTED


def _dispatch(argv: list[str]) -> int:
    from facial_r1 import commands

    argv = commands.as_settings(argv)
    if argv and argv[0] in commands.names():
        return commands.run(argv[0], argv[1:])
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        ranks = os.environ.get("LOCAL_WORLD_SIZE") or os.environ["WORLD_SIZE"]
        own = shlex.join(item for item in argv if item.split("=")[0] not in ("launch", "launch.processes"))
        raise InputError(
            "this is already a rank of torchrun. Start the application itself, it starts the ranks: "
            f"python -m facial_r1 {own} launch=torchrun launch.processes={ranks}. "
            "Where no torchrun is meant, the variables are left over: unset RANK WORLD_SIZE"
        )
    if any(argument.split("=")[0] in _SHOW_ONLY and "=" not in argument for argument in argv):
        return _show(argv)
    overrides, config_dir, multirun = _split(argv)
    if multirun:
        from facial_r1.multirun import run_many

        if any(item.startswith("study=") for item in overrides):
            from facial_r1.studies.running import as_sweep

            overrides, code = as_sweep(overrides, config_dir)
            if code:
                return code
        return run_many(argv, overrides, config_dir)
    for item in overrides:
        if item.startswith("study="):
            raise InputError(f"{item} is a sweep: put -m in front, python -m facial_r1 -m {' '.join(overrides)}")
        if item.lstrip("+~").startswith("sweep."):
            raise InputError(
                f"{item} is about a sweep: put -m in front of the settings, python -m facial_r1 -m {' '.join(overrides)}"
            )
    return run_one(overrides, config_dir)


def run_one(overrides: Sequence[str], config_dir: str | None = None) -> int:
    """Compose, validate and run one job; print its run directory as the last line of standard output."""
    from facial_r1 import rerun
    from facial_r1.config.compose import compose_tree

    again, own = rerun.named(overrides)
    run, code = execute(rerun.composer(again, config_dir)(own) if again else compose_tree(overrides, config_dir))
    if again:
        rerun.record(again, run)
    if code == DONE and run.path.exists():
        print(f"run: {run.path}", flush=True)
    return code


def execute(tree: DictConfig, refused: list[str] | None = None) -> tuple[runs.RunDirectory, int]:
    """Validate a composed tree, find its starting weights, create its run directory and launch it.

    Args:
        tree: the composed configuration.
        refused: is given the reason when the job is refused for its data, which leaves no run directory to look it up in.

    Raises:
        InputError: the configuration, its data or its starting weights are wrong; nothing is left on disk.
    """
    from omegaconf import OmegaConf

    from facial_r1.config.resolved import plain, resolved_yaml
    from facial_r1.config.validation import validate
    from facial_r1.launch import launch
    from facial_r1.launch.automatic import settle

    job = validate(plain(tree))
    if job.launch.name == "auto":
        tree = settle(tree, job)
        job = validate(plain(tree))
    parent, source = _start(job, tree)
    tree = tree.copy()
    OmegaConf.set_struct(tree, False)
    for key in ("hydra", "experiment", "sweep"):
        tree.pop(key, None)
    tree["init_from"] = source
    settled = plain(tree)
    if job.debug.dry_run:
        return _rehearse(tree, settled, job)
    run = runs.directory_for(settled, fresh=job.resume == "never")
    state = run.state()
    if state == "finished" and _answers_changed(run, job):
        run = runs.directory_for(settled, fresh=True)
        state = run.state()
    if run.resolved.is_file() and state:
        _check_same(run, settled)
        if state != "finished":
            atomic.write_text(run.resolved, resolved_yaml(tree))  # where it is shown may have changed
    if state == "finished":
        if run.summary.is_file() and not run.report.is_file():
            runs.build_report(run)
        _say(f"{run.path} is finished already; resume=never runs it again in a new directory")
        return run, DONE
    created = runs.create(
        run, resolved_yaml(tree), job.stage.name, parent.path if parent else None, runs.chain_of(parent) if parent else []
    )
    _say(f"{'starting' if created else f'continuing ({state})'} {job.stage.name} in {run.path}")
    code = launch(run, job)
    if code == REFUSED and created:
        if refused is not None:
            refused.append(str(run.status().get("reason") or ""))
        runs.remove_if_unused(run)
    return run, code


def _check_same(run: runs.RunDirectory, settled: dict[str, Any]) -> None:
    """Raise InputError when a run directory named by the user holds a run of another configuration."""
    from facial_r1.config.resolved import load_resolved

    if runs.identity(load_resolved(run.resolved)) != runs.identity(settled):
        raise InputError(
            f"run_dir={run.path} holds a run of another configuration (compare its resolved.yaml): "
            "choose another run_dir, or leave it out"
        )


def _answers_changed(run: runs.RunDirectory, job: Any) -> bool:
    """Whether a finished evaluation of given answers (`stage.predictions`) is about other answers than lie there now."""
    given = getattr(job.stage, "predictions", None)
    if not given:
        return False
    from facial_r1.stages.predictions import digest

    return (run.status().get("predictions") or {}).get("digest") != digest(given)


def _rehearse(tree: DictConfig, settled: dict[str, Any], job: Any) -> tuple[runs.RunDirectory, int]:
    """A dry run: the plan is printed from a folder that is gone afterwards."""
    import tempfile

    from facial_r1 import worker
    from facial_r1.config.resolved import resolved_yaml

    with tempfile.TemporaryDirectory(prefix="facial_r1-dry-run-") as folder:
        run = runs.RunDirectory(Path(folder) / runs.directory_for(settled).path.name)
        runs.create(run, resolved_yaml(tree), job.stage.name, None, [])
        return run, worker.run(run.path)


def _start(job: Any, tree: DictConfig) -> tuple[runs.RunDirectory | None, str | None]:
    """The run whose weights a job starts from (None for a plain model) and what to put into `init_from`."""
    wanted = job.init_from
    if job.stage.name == "prepare" and wanted is not None:
        raise InputError(f"init_from={wanted}: stage=prepare uses no model; leave it out")
    if wanted is None:
        if job.model.cold_start and job.stage.name in ("grpo", "synthesis") and not job.debug.dry_run:
            run = _cold_start(job, tree)
            return run, str(run.path)
        return None, None
    found, source = init_from.find(wanted, job.stage.name, job.output_root)
    if wanted == "latest":
        _say(f"init_from=latest is {source}")
    return found, source


def _cold_start(job: Any, tree: DictConfig) -> runs.RunDirectory:
    """The short SFT run behind a model that has never seen the answer format: found, or made now.

    It is an ordinary run of `stage=sft` with this job's model and prompt, kept under the output root, so that every job of
    a sweep starts from the same one. It learns from drawn faces: a user's own rows need not carry descriptions.
    """
    from omegaconf import OmegaConf

    from facial_r1.config.compose import compose_tree

    hinted = 0.5 if job.stage.name == "synthesis" else 0.0  # synthesis asks with the labels in the prompt
    cold = compose_tree(["stage=sft", "run_name=cold_start", "stage.evaluate=false", f"stage.hinted={hinted}"])
    OmegaConf.set_struct(cold, False)
    for key in ("model", "prompt", "launch", "seed", "debug", "output_root"):
        cold[key] = tree[key]
    if job.data.kind == "schematic":
        cold["data"] = tree["data"].copy()
        cold["data"]["amount"] = cold["data"]["test_amount"] = None
    _say(f"model={job.model.name} has never seen the answer format: a short SFT comes first (once; init_from= skips it)")
    root = Path(job.output_root).expanduser().absolute()
    with held(root / ".cold_start.lock"):  # jobs side by side share one: the others wait for it
        run, code = execute(cold)
    if code != DONE:
        raise SystemExit(code)
    return run


def _say(text: str) -> None:
    print(f"facial_r1: {text}", file=sys.stderr, flush=True)


def _split(argv: Sequence[str]) -> tuple[list[str], str | None, bool]:
    """Overrides, --config-dir and whether -m was given."""
    from hydra._internal.utils import get_args_parser

    arguments, unknown = get_args_parser().parse_known_args(list(argv))
    bad = [item for item in unknown if item.startswith("-")]
    if bad:
        raise InputError(f"unknown option {bad[0]}; --help lists what there is. Settings are written key=value")
    overrides = [*arguments.overrides, *(item for item in unknown if not item.startswith("-"))]
    without_value = [item for item in overrides if "=" not in item and not item.startswith("~")]
    if without_value:
        from facial_r1 import commands
        from facial_r1.config.suggest import did_you_mean

        raise InputError(
            f"'{without_value[0]}' is neither a setting (key=value) nor a command; "
            f"{did_you_mean(without_value[0], commands.names())}"
        )
    return overrides, arguments.config_dir, bool(arguments.multirun)


def _show(argv: list[str]) -> int:
    """--help, --cfg, --info and shell completion. What people ask for daily is answered here, the rest by Hydra."""
    if "--help" in argv or "-h" in argv:
        print(help_text())
        return DONE
    wants_configuration = "--cfg" in argv or "-c" in argv
    if wants_configuration:
        from facial_r1.config.compose import compose_tree
        from facial_r1.config.resolved import plain
        from facial_r1.config.validation import validate

        overrides, config_dir, _ = _split(argv)
        tree = compose_tree(overrides, config_dir)
        validate(plain(tree))
        options = [item for item in argv if item.startswith("-")]
        if options in (["--cfg"], ["-c"]) and argv[argv.index(options[0]) + 1 :][:1] == ["job"]:
            from omegaconf import OmegaConf

            print(OmegaConf.to_yaml(tree), end="")
            return DONE
    from facial_r1.multirun import hydra_main

    return hydra_main(argv, lambda tree: None)


def help_text() -> str:
    """Usage, the groups with their options, the commands. Read off `conf/`, so that it is always what there is."""
    from facial_r1 import commands
    from facial_r1.config.paths import groups, options

    choices = [f"  {group + '=':<13}{', '.join(options(group))}" for group in groups()]
    listed = [f"  {name:<13}{line}" for name, line in commands.describe().items()]
    return "\n".join(
        [
            "facial_r1: a vision-language model through the R1 recipe for emotion understanding.",
            "",
            "Usage:  python -m facial_r1 [choice=option ...] [key=value ...]",
            "        python -m facial_r1 -m key=a,b,c          runs every combination and ends with one table",
            "        python -m facial_r1 <command> ...",
            "",
            "Choices",
            *choices,
            "",
            "Often set",
            "  stage.max_steps  stage.learning_rate  stage.num_generations  data.amount  reward.weights.<name>  seed",
            "  init_from=latest|<run>|<folder>|<hub id>   launch.processes   launch.distributed   run_dir   resume=auto|never",
            "  rerun=<run> repeats a past run from its resolved.yaml; with -m: sweep.name, sweep.jobs, sweep.points, sweep.retry",
            "",
            "Commands",
            *listed,
            "",
            "  --cfg job shows the composed configuration; --info, --hydra-help and -sc are Hydra's own.",
        ]
    )
