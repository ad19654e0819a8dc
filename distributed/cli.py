"""The command ``retrograd``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import retrograd as rg
from retrograd.backends import registry

from .errors import DistributedError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (those of the process unless given); its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except (DistributedError, registry.BackendError) as error:
        print(f"retrograd: error: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="retrograd", description="Train in many processes, on any backend.")
    parser.add_argument("--version", action="version", version=f"retrograd {rg.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_launch(commands)
    _add_server(commands)
    backends = commands.add_parser("backends", help="list the array backends")
    backends.set_defaults(run=_backends)
    return parser


def _add_launch(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    launch = commands.add_parser("launch", help="run a script in several workers around one server, on this machine")
    launch.add_argument("--workers", type=_positive, default=2, metavar="N", help="worker processes (default: 2)")
    launch.add_argument(
        "--backend", metavar="NAME", help="array backend of workers and server (default: as configured)"
    )
    _add_bind(launch)
    launch.add_argument("script", help="the training script")
    launch.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    launch.set_defaults(run=_launch)


def _add_server(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    server = commands.add_parser("server", help="run a server by hand; `launch` starts its own")
    server.add_argument("--world-size", type=_positive, required=True, metavar="N", help="number of workers")
    server.add_argument("--backend", metavar="NAME", help="array backend of the optimizer")
    server.add_argument("--run", default="", metavar="ID", dest="run_id", help="serve only workers of this run")
    _add_bind(server)
    server.set_defaults(run=_serve)


def _add_bind(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bind",
        default="tcp://127.0.0.1:*",
        metavar="ADDRESS",
        help="where the server listens (default: %(default)s)",
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="allow an address that other machines can reach, without protection",
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, and is {number}")
    return number


def _launch(options: argparse.Namespace) -> int:
    from .console import Display
    from .job import Job, JobOptions
    from .launcher import LocalLauncher

    if not Path(options.script).is_file():
        raise DistributedError(f"there is no script {options.script!r} to launch")
    job = JobOptions(
        script=[options.script, *options.arguments],
        workers=options.workers,
        backend=options.backend,
        bind=options.bind,
        insecure=options.insecure,
    )
    return Job(job, LocalLauncher(), Display()).run()


def _serve(options: argparse.Namespace) -> int:
    from .environment import read_timeout
    from .server import Server, ServerOptions

    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    if options.backend:
        rg.set_default_backend(options.backend)  # an unknown one fails here, before anybody connects
    server = Server(
        ServerOptions(
            world_size=options.world_size,
            bind=options.bind,
            backend=options.backend,
            run=options.run_id,
            timeout=read_timeout(),
            insecure=options.insecure,
        )
    )
    # The launcher reads this line: port `*` is known only now.
    print(f"listening at {server.address}", flush=True)
    try:
        return 0 if server.serve() else 1
    except KeyboardInterrupt:
        return 130


def _backends(options: argparse.Namespace) -> int:
    for name, plugin in registry.available().items():
        try:
            devices = ", ".join(registry.load(name).devices())
        except registry.BackendError as error:
            devices = str(error)
        print(f"{name} (plugin {plugin}): {devices}")
    return 0
