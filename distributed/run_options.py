"""The options of a run: declared once, and used by ``retrograd launch``, ``retrograd server`` and what starts them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .addresses import checked
from .compression import codec_for
from .errors import DistributedError, OptionError
from .messages import MAX_SERVERS, MAX_WORKERS
from .strategies import strategy_for

__all__ = [
    "OPTIONS",
    "add_to",
    "address",
    "address_to_bind",
    "arguments_of",
    "fields_of",
    "natural",
    "port",
    "servers",
    "workers",
]

_Value = TypeVar("_Value")


class Option(NamedTuple):
    """One option: its flag, the field of `ServerOptions` that it sets, and how it is read."""

    flag: str
    field: str
    kind: Callable[[str], Any] | None
    """Reads the value; ``None`` for a flag without one."""
    default: Any
    metavar: str
    help: str
    choices: tuple[str, ...] | None = None


def whole(text: str, least: int, most: float = math.inf) -> int:
    """A whole number of at least `least` and at most `most`."""
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        bound = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise argparse.ArgumentTypeError(f"must be a whole number {bound}, and is {text!r}")
    return number


def positive(text: str) -> int:
    """A whole number from 1 on."""
    return whole(text, 1)


def natural(text: str) -> int:
    """A whole number from 0 on."""
    return whole(text, 0)


def workers(text: str) -> int:
    """A number of workers."""
    return whole(text, 1, MAX_WORKERS)


def servers(text: str) -> int:
    """A number of servers."""
    return whole(text, 1, MAX_SERVERS)


def port(text: str) -> int:
    """A port of TCP, or 0 for any free one."""
    return whole(text, 0, 65_535)


def address(text: str) -> str:
    """An address to connect to."""
    return _read(checked, text)


def address_to_bind(text: str) -> str:
    """An address to listen at."""
    return _read(partial(checked, to_listen=True), text)


def _read(read: Callable[[str], _Value], text: str) -> _Value:
    try:
        return read(text)
    except (DistributedError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _staleness(text: str) -> float:
    if text in ("sync", "async"):
        return 0 if text == "sync" else math.inf
    number = _float(text)
    if not number >= 0 or (number != math.inf and number != int(number)):
        raise argparse.ArgumentTypeError(f"must be a number of steps, 'sync' or 'async', and is {text!r}")
    return number


def _amount(text: str) -> float:
    number = _float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number from 0 on, and is {text!r}")
    return number


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def size(text: str) -> int:
    """A number of bytes, with or without a unit.

    >>> size("4096"), size("64k"), size("1.5GiB")
    (4096, 65536, 1610612736)
    """
    digits = text.rstrip("kKmMgGtTiIbB ")
    unit = text[len(digits) :].strip().lower().rstrip("b").rstrip("i")
    try:
        number = int(float(digits) * 1024 ** ("", "k", "m", "g", "t").index(unit))
        if not 0 <= number < 1 << 63:
            raise ValueError
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes: write 4096, 64k, 100M or 2G") from None
    return number


def _codec(text: str) -> str:
    _read(codec_for, text)
    return text


OPTIONS = (
    Option("--backend", "backend", str, None, "NAME", "array backend of workers and servers (default: as configured)"),
    Option(
        "--staleness", "staleness", _staleness, 0, "STEPS",
        "how many steps a worker may be ahead of the slowest: 0 or 'sync' is in step, 'async' is no bound",
    ),
    Option("--backups", "backups", natural, 0, "N", "in step, do not wait for the last N gradients"),
    Option("--deterministic", "deterministic", None, False, "", "with a staleness: the same numbers in every run"),
    Option("--scale-rate", "scale_rate", None, False, "", "divide the learning rate by a gradient's staleness"),
    Option(
        "--on-loss", "on_loss", str, "fail", "", "when a worker is lost: fail (default), or continue without it",
        ("fail", "continue"),
    ),
    Option(
        "--non-finite", "nonfinite", str, "reject", "",
        "a NaN or an infinity in a gradient: reject the push (default), skip the step, or allow it",
        ("reject", "skip", "allow"),
    ),
    Option("--clip", "clip", _amount, 0.0, "NORM", "largest norm of a step's gradients (default: no bound)"),
    Option(
        "--compression", "compression", _codec, "none", "CODEC",
        "of gradients on their way: none, fp16, bf16, int8, topk:SHARE, 1bit, powersgd:RANK",
    ),
    Option("--slice-bytes", "slice_bytes", size, 0, "BYTES", "size of slices (default: 1 to 4 MiB by the model)"),
    Option("--budget", "budget", size, 0, "BYTES", "memory for gradients that wait (default: half of the machine's)"),
    Option("--no-shared-memory", "shared", None, True, "", "send all over TCP on the same machine, too"),
    Option("--snapshots", "folder", Path, None, "DIR", "keep snapshots here, from which a server that died comes back"),
    Option("--every", "every", positive, 100, "N", "orders (updates, as a rule) from one snapshot to the next"),
    Option("--keep", "keep", positive, 3, "N", "how many snapshots are kept"),
    Option("--durable", "durable", None, False, "", "with --snapshots: keep a journal, so that no update is lost"),
    Option("--recovery", "recovery", _amount, None, "SECONDS", "how long workers wait for a server that died"),
    Option("--keys", "keys", Path, None, "DIR", "encrypt, and let in only these keys; see `retrograd keys`"),
    Option("--insecure", "insecure", None, False, "", "allow an address that others can reach, without protection"),
)  # fmt: skip

_RECOVERY = 60.0  # seconds that workers wait for a server which keeps snapshots


def add_to(parser: argparse.ArgumentParser) -> None:
    """Let a parser take the options of a run."""
    for option in OPTIONS:
        if option.kind is None:
            action = "store_false" if option.default else "store_true"
            parser.add_argument(option.flag, dest=option.field, action=action, help=option.help)
        else:
            parser.add_argument(
                option.flag,
                dest=option.field,
                type=option.kind,
                default=option.default,
                metavar=None if option.choices else option.metavar,
                choices=option.choices,
                help=option.help,
            )


def fields_of(namespace: argparse.Namespace, world_size: int) -> dict[str, Any]:
    """The options by the names of `ServerOptions`' fields.

    Raises
    ------
    OptionError
        When they contradict each other.
    """
    fields = {option.field: getattr(namespace, option.field) for option in OPTIONS}
    if fields["folder"] is None:
        if fields["durable"]:
            raise OptionError("--durable keeps a journal beside the snapshots: say where with --snapshots DIR")
        if namespace.resume:
            raise OptionError("--resume goes on from snapshots: say where they are with --snapshots DIR")
    try:
        strategy_for(
            world_size,
            fields["staleness"],
            backups=fields["backups"],
            deterministic=fields["deterministic"],
            scale_rate=fields["scale_rate"],
        )
    except DistributedError as error:
        raise OptionError(str(error)) from None
    if fields["recovery"] is None:
        fields["recovery"] = _RECOVERY if fields["folder"] is not None else 0.0
    return fields


def arguments_of(fields: dict[str, Any]) -> list[str]:
    """The arguments that make another process have these options.

    >>> arguments_of({"staleness": 2.0, "deterministic": True, "backend": None})
    ['--staleness', '2.0', '--deterministic']
    """
    arguments = []
    for option in OPTIONS:
        value = fields.get(option.field, option.default)
        if value == option.default or value is None:
            continue
        arguments += [option.flag] if option.kind is None else [option.flag, str(value)]
    return arguments
