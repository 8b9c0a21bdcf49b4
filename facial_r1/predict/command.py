"""`facial-r1 predict face.jpg init_from=<run>`: reasoning, action units and emotion of pictures, asked as an evaluation asks."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from facial_r1 import init_from
from facial_r1.errors import InputError
from facial_r1.progress import progress_bar

if TYPE_CHECKING:
    from facial_r1.data.protocol import Protocol
    from facial_r1.data.record import Record
    from facial_r1.predict.answers import Prediction
    from facial_r1.predict.asking import Asking

DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130

_NOTES = """\
Settings are those of every job (model=, prompt=, protocol=, generation=, stage.max_new_tokens=256, ...). With init_from=<run>, model, prompt
and labels are those of the run unless chosen here. generation=vllm and generation=openai answer with vLLM or a server.

exit code: 0 every picture that could be read has an answer (others are named and counted); 1 the engine failed; 2 a setting is
wrong, or there was nothing to read."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code, see `--help`."""
    options = _parser().parse_intermixed_args(list(arguments))
    paths = [item for item in options.what if not _is_setting(item)]
    settings = [item for item in options.what if _is_setting(item)]
    settings += [f"prompt={options.prompt}"] if options.prompt else []
    try:
        if not paths:
            raise InputError("nothing to look at: give pictures, folders, files of records, or - for a list on standard input")
        return _predict(options, paths, settings)
    except InputError as error:
        print(f"facial-r1 predict: {error}", file=sys.stderr)
        return REFUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facial-r1 predict",
        description="What a model says about pictures: reasoning, action units, emotion.",
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what",
        nargs="+",
        metavar="PATH|key=value",
        help="a picture, a folder, a JSON lines file of records, or - for paths or records on standard input; and settings",
    )
    parser.add_argument("--jsonl", metavar="FILE", help="write records, one a line, for data=jsonl; - is standard output")
    parser.add_argument("-r", "--recursive", action="store_true", help="also look into the folders of folders")
    parser.add_argument("--prompt", metavar="NAME", help="the same as prompt=NAME; facial-r1 ls prompts lists them")
    parser.add_argument("--question", default="", metavar="TEXT", help="ask this instead of the prompt's own question")
    return parser


def _is_setting(item: str) -> bool:
    """Whether an argument is an override; a file with an equals sign in its name is none."""
    return ("=" in item or item.startswith("~")) and not Path(item).expanduser().exists()


@dataclass
class _Counts:
    unreadable: int = 0
    answered: int = 0
    invalid: int = 0
    failed: int = 0

    def add(self, prediction: Prediction) -> None:
        self.failed += prediction.failed
        self.answered += not prediction.failed
        self.invalid += not prediction.failed and not prediction.valid

    def line(self, seconds: float) -> str:
        parts = [f"{self.answered} answered"]
        parts += [f"{self.invalid} of them not in the answer format"] if self.invalid else []
        parts += [f"{self.unreadable} could not be read"] if self.unreadable else []
        parts += [f"{self.failed} failed"] if self.failed else []
        return f"{', '.join(parts)}; {seconds:.1f} s"


def _predict(options: argparse.Namespace, paths: list[str], settings: list[str]) -> int:
    chosen = init_from.choose(settings)
    target = Path(options.jsonl).expanduser() if options.jsonl and options.jsonl != "-" else None
    if target is not None and (target.is_dir() or not target.absolute().parent.is_dir()):
        raise InputError(f"--jsonl {target}: give a file in a folder that exists")
    # torch comes in from here on; what is wrong with a command line is said before.
    from facial_r1.predict.inputs import gather
    from facial_r1.predict.protocol import protocol_of_job

    protocol = protocol_of_job(chosen.job)
    found = gather(paths, sys.stdin, protocol, recursive=options.recursive, question=options.question)
    counts = _Counts()
    for problem in found.problems:
        counts.unreadable += 1
        _say(str(problem))
    if not found.records:
        raise InputError(f"nothing to read: {counts.unreadable} of {counts.unreadable} could not be used, see above")
    _note_on(chosen)
    from facial_r1.predict.asking import Asking

    writer = _Writer(target, as_json=bool(options.jsonl))
    began, code = time.monotonic(), DONE
    try:
        asking = Asking(chosen)
        began = time.monotonic()
        _answer(asking, found.records, protocol, writer, counts)
    except RuntimeError as error:  # a server that is gone, memory that is not enough: what was answered is written
        code = FAILED
        _say(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
    except KeyboardInterrupt:
        code = INTERRUPTED
        _say("interrupted")
    finally:
        writer.close()
    _say(counts.line(time.monotonic() - began) + (f"; {target}" if target and writer.rows else ""))
    if code == DONE and not counts.answered + counts.failed:
        raise InputError("nothing to read: no file could be opened, see above")
    return FAILED if counts.failed else code


def _answer(asking: Asking, records: Sequence[Record], protocol: Protocol, writer: _Writer, counts: _Counts) -> None:
    """Ask about all records, chunk by chunk, and write each answer as soon as it is there."""
    from facial_r1.predict.answers import predict

    with writer.progress(len(records)) as advance:
        for start in range(0, len(records), asking.chunk):
            part = records[start : start + asking.chunk]
            readable, broken = asking.open_files(part)
            for error in broken:
                counts.unreadable += 1
                _say(str(error))
            for record, answer in zip(readable, asking.ask(readable, protocol), strict=True):
                said = predict(record, answer.text, answer.finish_reason, protocol, asking.job.prompt, answer.reason)
                counts.add(said)
                writer.write(said)
            advance(len(part))


class _Writer:
    """Where predictions go: a file of records that appears when all is done, records or text on standard output."""

    def __init__(self, target: Path | None, as_json: bool) -> None:
        self.rows, self._target, self._as_json = 0, target, as_json
        self._partial = None if target is None else target.with_name(f".{target.name}.partial")
        self._file: TextIO | None = None
        try:
            self._file = self._partial.open("w", encoding="utf-8") if self._partial else None
        except OSError as error:
            raise InputError(f"--jsonl {target}: cannot be written ({error.strerror}); choose another place") from None

    def progress(self, total: int) -> Any:
        """A bar, unless answers are printed where it would be."""
        from contextlib import nullcontext

        if self._file is None and sys.stdout.isatty():
            return nullcontext(lambda count: None)
        return progress_bar(total, "asking", "pictures")

    def write(self, prediction: Prediction) -> None:
        if not self._as_json:
            from facial_r1.predict.showing import show

            show(prediction, sys.stdout)
        elif prediction.failed:
            _say(f"{prediction.record.id}: no answer: {prediction.reason}")
        else:
            self.rows += 1
            print(json.dumps(prediction.to_json(), ensure_ascii=False), file=self._file or sys.stdout, flush=True)

    def close(self) -> None:
        """Put the file into its place; without a row nothing is left, and what was there before stays."""
        if self._file is None or self._partial is None or self._target is None:
            return
        self._file.close()
        if self.rows:
            self._partial.replace(self._target)
        else:
            self._partial.unlink()


def _note_on(chosen: init_from.Chosen) -> None:
    """Say which weights answer, and what the embedded base cannot do."""
    job = chosen.job
    if job.generation.name == "openai":
        _say(f"asking {job.generation.base_url}")
        return
    _say(f"model={job.model.name} from {chosen.source}, prompt={job.prompt.name}")
    if job.init_from is None and job.model.cold_start:
        from facial_r1 import runs

        latest = runs.latest(Path(job.output_root).expanduser().absolute(), runs.STAGE_BEFORE["eval"])
        better = f"init_from={latest.path}" if latest else "train one first: python -m facial_r1 stage=sft, then init_from=latest"
        _say(f"these base weights describe faces in plain words and have never seen the answer format; {better}")


def _say(text: str) -> None:
    print(f"facial-r1 predict: {text}", file=sys.stderr, flush=True)
