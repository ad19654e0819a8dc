"""The command ``retrograd``."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeAlias

import retrograd as rg
from retrograd.backends import registry

from . import keys_cli, looking, run_options
from .addresses import names_a_port
from .environment import Environment, with_rank
from .errors import DistributedError, OptionError
from .messages import MAX_SERVERS
from .run_options import address, address_to_bind, natural, port, servers, workers

__all__ = ["main"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (those of the process unless given); its exit code."""
    try:
        options = _parser().parse_args(arguments)
        code: int = options.run(options)
    except KeyboardInterrupt:
        return 130
    except (DistributedError, registry.BackendError) as error:
        print(f"retrograd: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, OptionError | registry.BackendError) else 1
    return code


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and where to read what is right. Those of the commands are of this class, too."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(prog="retrograd", description="Train in many processes, on any backend.")
    parser.add_argument("--version", action="version", version=f"retrograd {rg.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_launch(commands)
    _add_server(commands)
    _add_worker(commands)
    keys_cli.add_commands(commands)
    looking.add_commands(commands)
    backends = commands.add_parser("backends", help="list the array backends")
    backends.set_defaults(run=_backends)
    return parser


def _add_launch(commands: Commands) -> None:
    launch = commands.add_parser("launch", help="run a script in several workers around servers, on this machine")
    launch.add_argument("--workers", type=workers, default=2, metavar="N", help="worker processes (default: 2)")
    launch.add_argument("--servers", type=servers, default=1, metavar="N", help="server processes (default: 1)")
    launch.add_argument(
        "--restarts", type=natural, default=3, metavar="N", help="how often processes are started again (default: 3)"
    )
    launch.add_argument("--resume", action="store_true", help="go on from the snapshots of a former run")
    _add_bind(launch)
    _add_metrics(launch)
    run_options.add_to(launch)
    _add_script(launch)
    launch.set_defaults(run=_launch)


def _add_server(commands: Commands) -> None:
    server = commands.add_parser("server", help="run a server by hand; `launch` starts its own")
    server.add_argument("--world-size", type=workers, required=True, metavar="N", help="number of workers")
    server.add_argument("--run", default="", metavar="ID", dest="run_id", help="serve only workers of this run")
    server.add_argument("--shard", type=_shard, default=(0, 1), metavar="K/N", help="this is server K, from 0, of N")
    server.add_argument("--lead", type=address, metavar="ADDRESS", help="of server 0, for the others")
    server.add_argument("--resume", action="store_true", help="go on from the snapshots of a former run")
    _add_bind(server)
    _add_metrics(server)
    run_options.add_to(server)
    server.set_defaults(run=_serve)


def _add_worker(commands: Commands) -> None:
    worker = commands.add_parser("worker", help="run a script as one worker by hand; `launch` starts its own")
    worker.add_argument("--connect", required=True, metavar="ADDRESSES", help="of the servers, comma-separated")
    worker.add_argument("--rank", metavar="N", help="number of this worker, from 0 (default: as the launcher says)")
    worker.add_argument("--world-size", metavar="N", help="number of workers (default: as the launcher says)")
    worker.add_argument("--run", default="", metavar="ID", dest="run_id", help="name of the run")
    worker.add_argument("--keys", default="", metavar="PATH", help="folder or file with this worker's key")
    _add_script(worker)
    worker.set_defaults(run=_work)


def _add_script(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("script", help="the training script")
    arguments = parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    arguments.required = False  # which argparse calls it where the script is missing


def _add_bind(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bind",
        type=address_to_bind,
        default="tcp://127.0.0.1:*",
        metavar="ADDRESS",
        help="where the server listens (default: %(default)s)",
    )


def _add_metrics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--metrics", type=port, metavar="PORT", help="serve Prometheus metrics on this loopback port")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append a line of JSON with all numbers every second")
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help="write event files for TensorBoard")


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    try:
        shard = int(index), int(count)
    except ValueError:
        shard = 0, 0
    if not 0 <= shard[0] < shard[1] <= MAX_SERVERS:
        raise argparse.ArgumentTypeError(
            f"must be K/N with K from 0 to N - 1, and N at most {MAX_SERVERS}, and is {text!r}"
        )
    return shard


def _launch(options: argparse.Namespace) -> int:
    from .console import Display
    from .job import Job, JobOptions
    from .launcher import LocalLauncher
    from .metrics import sinks_for

    if not Path(options.script).is_file():
        raise OptionError(f"there is no script {options.script}")
    fields = run_options.fields_of(options, options.workers)
    _check(options, fields)
    if options.servers > 1 and names_a_port(options.bind):
        raise OptionError(
            f"--bind {options.bind}: {options.servers} servers cannot share a port: say tcp://127.0.0.1:* for a free "
            "one each"
        )
    job_options = JobOptions(
        script=(options.script, *options.arguments),
        workers=options.workers,
        servers=options.servers,
        bind=options.bind,
        fields=fields,
        restarts=options.restarts,
        resume=options.resume,
    )
    sinks = sinks_for(options.metrics, options.log, options.tensorboard)
    try:
        return Job(job_options, LocalLauncher(), Display(), sinks).run()
    finally:
        for sink in sinks:
            sink.close()


def _check(options: argparse.Namespace, fields: dict[str, Any]) -> None:
    """Say what is wrong with the options before anything is started for them."""
    from .security import ServerKeys, check_bind

    if options.backend and options.backend not in registry.available():
        registry.load(options.backend)  # says which there are
    try:
        keys = None if fields["keys"] is None else ServerKeys.read(fields["keys"])
        check_bind(options.bind, keys, insecure=fields["insecure"])
    except DistributedError as error:
        raise OptionError(str(error)) from None


def _serve(options: argparse.Namespace) -> int:
    from .descriptors import allow_all_descriptors
    from .environment import read_timeout
    from .metrics import sinks_for
    from .server import Server
    from .server_options import ServerOptions

    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    fields = run_options.fields_of(options, options.world_size)
    _check(options, fields)
    allow_all_descriptors()
    if options.backend:
        rg.set_default_backend(options.backend)  # one that cannot be loaded fails here, before anybody connects
    shard, shards = options.shard
    if shard and not options.lead:
        raise OptionError(f"server {shard} of {shards} must know where server 0 listens: say --lead ADDRESS")
    server = Server(
        ServerOptions(
            world_size=options.world_size,
            bind=options.bind,
            run=options.run_id,
            timeout=read_timeout(),
            shard=shard,
            shards=shards,
            lead=options.lead or "",
            resume=options.resume,
            **fields,
        )
    )
    # The launcher reads this line: port `*` is known only now.
    print(f"listening at {server.address}", flush=True)
    sinks = sinks_for(options.metrics, options.log, options.tensorboard)
    ended: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        ended.append(number)
        server.stop()

    signal.signal(signal.SIGTERM, end)  # between two messages, and with a last snapshot
    try:
        went_well = server.serve(sinks)
        return 128 + ended[0] if ended else 0 if went_well else 1
    except KeyboardInterrupt:
        return 130
    finally:
        for sink in sinks:
            sink.close()


def _work(options: argparse.Namespace) -> int:
    """Become the script: its process, its output and its end are this one's."""
    variables = {"RETROGRAD_SERVERS": options.connect, "RETROGRAD_RUN": options.run_id}
    given = {"RETROGRAD_RANK": options.rank, "RETROGRAD_WORLD_SIZE": options.world_size, "RETROGRAD_KEYS": options.keys}
    os.environ.update({**variables, **{name: value for name, value in given.items() if value}})
    known = with_rank(os.environ)
    flags = {"--rank": "RETROGRAD_RANK", "--world-size": "RETROGRAD_WORLD_SIZE"}
    if missing := [flag for flag, name in flags.items() if not known.get(name)]:
        raise OptionError(
            f"say {' and '.join(f'{flag} N' for flag in missing)}: which worker this is, and of how many, is said by "
            "no launcher around it"
        )
    place = Environment.read()  # says what else is wrong before the script is loaded
    if place is not None and place.keys:
        from .security import ClientKeys

        ClientKeys.read(place.keys, "worker", place.rank)
    if not Path(options.script).is_file():
        raise OptionError(f"there is no script {options.script}")
    os.execv(sys.executable, [sys.executable, options.script, *options.arguments])


def _backends(options: argparse.Namespace) -> int:
    for name, plugin in registry.available().items():
        try:
            devices = ", ".join(registry.load(name).devices())
        except registry.BackendError as error:
            devices = str(error)
        print(f"{name} (plugin {plugin}): {devices}")
    return 0
