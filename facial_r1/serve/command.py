"""`facial-r1 serve init_from=<run>`: start vLLM's or transformers' own OpenAI-compatible server with a run's model.

This process becomes the server, so that signals reach it and its exit code is the command's.
"""

from __future__ import annotations

import argparse
import os
import shlex
import socket
import sys
from collections.abc import Sequence

from facial_r1 import init_from
from facial_r1.data.drawn import cache_folder
from facial_r1.errors import InputError
from facial_r1.serve import servers
from facial_r1.serve.checkpoint import folder_to_serve

_NOTES = """\
Settings are those of every job: model=, model.image_size.*, generation.vllm.tensor_parallel=2, launch.device=cpu. With init_from=<run>, model
and picture size are those of the run unless chosen here. Options behind -- go to the server itself: -- --max-num-seqs 8

exit code: the server's; 2 when it was not started, with what is wrong."""


def main(arguments: Sequence[str]) -> int:
    """Become the server; returns only when it is not started: 0 after `--dry-run`, 2 with a message."""
    own, more = _cut(list(arguments))
    options = _parser().parse_intermixed_args(own)
    try:
        for setting in options.settings:
            if "=" not in setting and not setting.startswith("~"):
                raise InputError(f"'{setting}' is no setting: write init_from={setting}")
        engine = servers.pick(options.engine)
        chosen = init_from.choose(_with_generation(options.settings, engine))
        if not options.dry_run:
            servers.check(engine)
            _check_free(options.host, options.port)
        folder = folder_to_serve(chosen.job.model, chosen.source, cache_folder())
        command = servers.command(engine, folder, chosen.job, options.host, options.port, more)
    except InputError as error:
        print(f"facial-r1 serve: {error}", file=sys.stderr)
        return 2
    if options.dry_run:
        print(shlex.join(command))
        return 0
    url = f"http://{'127.0.0.1' if options.host in ('0.0.0.0', '::') else options.host}:{options.port}/v1"
    like = f"init_from={chosen.job.init_from} " if chosen.job.init_from else ""
    asked = f"generation=openai generation.base_url={url} generation.model={folder}"
    print(f"facial-r1 serve: {folder} with {engine} at {url}; when it is ready:", file=sys.stderr)
    print(f"    facial-r1 predict face.jpg {like}{asked}", file=sys.stderr, flush=True)
    environment = dict(os.environ, VLLM_NO_USAGE_STATS=os.environ.get("VLLM_NO_USAGE_STATS", "1"))
    if chosen.job.launch.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    sys.stdout.flush()
    os.execve(command[0], command, environment)


def _with_generation(settings: Sequence[str], engine: str) -> list[str]:
    """Settings in which the keys of `generation.vllm` exist when vLLM is started."""
    chosen = any(setting.startswith("generation=") for setting in settings)
    return [*settings] if chosen or engine != "vllm" else ["generation=vllm", *settings]


def _cut(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Our arguments, and those behind `--`."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facial-r1 serve",
        description="An OpenAI-compatible server (/v1/chat/completions) in front of a run's model, with its chat template and picture size.",
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "settings", nargs="*", metavar="key=value", help="init_from=<run, model folder or hub id>, and other settings"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1; 0.0.0.0 lets other machines in)")
    parser.add_argument("--port", type=_port, default=8000, help="port (8000)")
    parser.add_argument("--engine", choices=servers.ENGINES, default="auto", help="auto takes vLLM where it is installed")
    parser.add_argument("--dry-run", action="store_true", help="print the server's command line and stop")
    return parser


def _port(text: str) -> int:
    """A port number. Raises argparse.ArgumentTypeError."""
    if not text.isdigit() or not 0 < int(text) < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 1 to 65535")
    return int(text)


def _check_free(host: str, port: int) -> None:
    """Refuse a port that is taken before the weights are loaded.

    Raises:
        InputError: Nothing can listen there.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host looks like this
        raise InputError(
            f"--host {host} --port {port}: {getattr(error, 'strerror', None) or error}; choose another port"
        ) from None
