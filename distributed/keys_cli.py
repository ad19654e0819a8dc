"""The commands ``retrograd keys new``, ``add`` and ``list``: make the keys of a run, and look at them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import OptionError
from .run_options import natural

if TYPE_CHECKING:
    from .security import Key

__all__ = ["add_commands"]


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``keys`` to the commands of the command line."""
    keys = commands.add_parser("keys", help="make and list the keys that let processes take part over a network")
    group = keys.add_subparsers(required=True, metavar="COMMAND")
    new = group.add_parser("new", help="make the keys of a run: of the server, the launcher, and each worker")
    new.add_argument("folder", metavar="DIR", help="where to; an existing key is never overwritten")
    new.add_argument("--workers", type=natural, default=2, metavar="N", help="number of workers (default: 2)")
    new.set_defaults(run=_new)
    add = group.add_parser("add", help="make one more key pair in a keys folder")
    add.add_argument("folder", metavar="DIR", help="the keys folder")
    add.add_argument("name", metavar="NAME", help="name of the key")
    add.add_argument("--role", choices=("worker", "launcher", "server"), default="worker", help="default: worker")
    add.add_argument("--ranks", default="", metavar="RANKS", help="which workers may use it: 3, or 0-3,7, or * for any")
    add.set_defaults(run=_add)
    listing = group.add_parser("list", help="show the keys of a folder")
    listing.add_argument("folder", metavar="DIR", help="the keys folder")
    listing.set_defaults(run=_list)


def _new(options: argparse.Namespace) -> int:
    from .security import new_keys

    _show(new_keys(options.folder, options.workers))
    print(
        f"\nThe server gets --keys {options.folder}: all the .key files, which are its list of who may come in, and "
        "server.key_secret.\nThe machine of worker 0 gets server.key and worker-0.key_secret in a folder that "
        "RETROGRAD_KEYS names; so do the others.\nMove each .key_secret file to where it is used, over a channel "
        "you trust, and leave no copy behind."
    )
    return 0


def _add(options: argparse.Namespace) -> int:
    from .security import new_key

    _show([new_key(options.folder, options.name, options.role, options.ranks)])
    return 0


def _list(options: argparse.Namespace) -> int:
    from .security import Keyring

    if not Path(options.folder).is_dir():
        raise OptionError(f"there is no keys folder {options.folder}: `retrograd keys new {options.folder}` makes one")
    keyring = Keyring(options.folder)
    _show(keyring, Path(options.folder))
    return 0


def _show(keys: Iterable[Key], folder: Path | None = None) -> None:
    """Print a table; with the `folder`, also which of the secret halves are there."""
    rows = [("NAME", "ROLE", "RANKS", "FINGERPRINT")]
    rows += [(key.name, key.role, key.ranks or "-", key.fingerprint) for key in keys]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *row in rows:
        cells = [cell.ljust(width) for cell, width in zip([name, *row], widths, strict=True)]
        here = folder is not None and (folder / f"{name}.key_secret").exists()
        print("  ".join([*cells, "secret key here" if here else ""]).rstrip())
