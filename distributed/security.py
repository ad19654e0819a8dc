"""Who may take part: keys, the files they are kept in, and the list of those that a server lets in.

Every process of a run that leaves the machine has a CURVE key pair. A *keys folder* holds, for each, a
public file ``NAME.key`` and, where it belongs, a secret file ``NAME.key_secret`` that only its owner can
read. Both say what the key is for::

    metadata
        role = "worker"
        ranks = "0-3"
    curve
        public-key = "..."

The form is that of CZMQ's and pyzmq's certificates. A server's keys folder is its allow-list: a process
gets in when the public file of its key is there, and takes part as what that file says.

This module knows files and rules. What happens on the wire is :mod:`~retrograd.distributed.handshake`'s.

Notes
-----
Note [Who a key is is read where it is checked]
    Role and ranks count as they stand in the *server's* folder. A secret file says the same about itself,
    and is believed only by the process that owns it, to find its own key among several.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import os
import re
import stat
import struct
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

import zmq
from zmq.utils import z85

from .addresses import checked, is_local
from .errors import DistributedError, Refused

__all__ = [
    "ClientKeys",
    "Key",
    "Keyring",
    "Role",
    "ServerKeys",
    "check_bind",
    "new_key",
    "new_keys",
]

log = logging.getLogger("retrograd.distributed.security")

Role: TypeAlias = Literal["worker", "launcher", "server"]

_PUBLIC, _SECRET = ".key", ".key_secret"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_Z85_KEY = re.compile(r"[0-9a-zA-Z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")
_RANKS = re.compile(r"\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*")
_ANY_RANK = range(1 << 63)

_PUBLIC_NOTE = """\
# Public key of a process that takes part in a run. It is no secret, but whoever can write this file on the
# server's machine decides who gets in, and as what.
"""
_SECRET_NOTE = """\
# SECRET key. It belongs to one process on one machine: nobody else may read it, and no copy is needed.
"""


def _check_zmq(version: tuple[int, ...]) -> None:
    if version < (4, 3, 3):
        raise ImportError(
            f"libzmq {'.'.join(map(str, version))} has known security holes (CVE-2020-15166 and others), and "
            "retrograd.distributed needs 4.3.3 or later: pip install --upgrade pyzmq, or build it with a newer libzmq"
        )


_check_zmq(zmq.zmq_version_info())


def _need_curve() -> None:
    if not zmq.has("curve"):
        raise DistributedError(
            "this libzmq was built without CURVE, so keys cannot be used: install pyzmq from its wheel, or build "
            "libzmq with libsodium"
        )


# ---- keys --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, and what it may be used for.

    Examples
    --------
    >>> key = Key("worker-0", "worker", "0,4-7", bytes(32))
    >>> 5 in key, 3 in key
    (True, False)
    >>> key.fingerprint
    'SHA256:Zmh6rfhivXdsj8GLjp+OIAiXFIVu4jOzkCpZHQ1fKSU'
    """

    name: str
    role: Role
    ranks: str
    """Which workers may use it: ``"0"``, ``"0-3,7"``, ``"*"`` for any; empty for other roles."""
    public: bytes

    def __contains__(self, rank: int) -> bool:
        return any(rank in span for span in _parse_ranks(self.ranks))

    @property
    def fingerprint(self) -> str:
        """What people compare: as OpenSSH writes it, the SHA-256 of the public key."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.public).digest()).decode().rstrip("=")


def _parse_ranks(text: str) -> list[range]:
    """The ranks that a text names.

    >>> _parse_ranks("0-3,7")
    [range(0, 4), range(7, 8)]
    """
    if text in ("", "*"):
        return [_ANY_RANK] if text else []
    if not _RANKS.fullmatch(text):
        raise DistributedError(f"ranks = {text!r} cannot be read: it must be like 0, 0-3,7 or *")
    bounds = [span.partition("-") for span in text.split(",")]
    return [range(int(first), int(last or first) + 1) for first, _, last in bounds]


# ---- files -------------------------------------------------------------------------------------------------


def _write(path: Path, key: Key, secret: bytes | None = None) -> None:
    lines = ["metadata", f'    role = "{key.role}"']
    lines += [f'    ranks = "{key.ranks}"'] if key.ranks else []
    lines += ["curve", f'    public-key = "{z85.encode(key.public).decode()}"']
    lines += [f'    secret-key = "{z85.encode(secret).decode()}"'] if secret else []
    text = (_SECRET_NOTE if secret else _PUBLIC_NOTE) + "\n".join(lines) + "\n"
    try:
        # O_EXCL: neither a file that exists nor what a link points to is written. The mode holds at once.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
        with open(handle, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise DistributedError(f"the key file {path} cannot be written: {error}") from None


def _read(path: Path) -> tuple[Key, bytes | None]:
    """The key in a file, and its secret half if that is there."""
    secret = path.name.endswith(_SECRET)
    try:
        with path.open(encoding="utf-8") as file:
            status, fields = os.fstat(file.fileno()), _fields(file)
    except (OSError, UnicodeDecodeError) as error:
        raise DistributedError(f"the key file {path} cannot be read: {error}") from None
    _check_mode(path, status, _ANYTHING if secret else _WRITABLE)
    try:
        return _key_of(path.name.removesuffix(_SECRET if secret else _PUBLIC), fields, secret)
    except DistributedError as error:
        raise DistributedError(f"{path} is no key file: {error}") from None


def _fields(lines: Iterable[str]) -> dict[str, str]:
    # A key may hold "#" and "=", and no quotation mark.
    pairs = (line.strip().partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip(" \t\"'") for name, separator, value in pairs if separator}


def _key_of(name: str, fields: Mapping[str, str], with_secret: bool) -> tuple[Key, bytes | None]:
    role, ranks = fields.get("role", ""), fields.get("ranks", "")
    if not _NAME.fullmatch(name):
        raise DistributedError(f"{name!r} is no name for a key: letters, digits, '.', '_' and '-', at most 64")
    if role not in get_args(Role):
        raise DistributedError(f"role = {role!r} must be one of {', '.join(get_args(Role))}")
    if (role == "worker") != bool(_parse_ranks(ranks)):
        raise DistributedError("a worker's key says which `ranks` may use it, and no other key does")
    public = _key_bytes("public-key", fields.get("public-key", ""))
    key = Key(name, role, ranks, public)  # type: ignore[arg-type]
    if not with_secret:
        if "secret-key" in fields:
            raise DistributedError("it holds a secret key, which must not be passed around: make a new key")
        return key, None
    secret = _key_bytes("secret-key", fields.get("secret-key", ""))
    if z85.decode(zmq.curve_public(z85.encode(secret))) != public:
        raise DistributedError("its public key does not belong to its secret key")
    return key, secret


def _key_bytes(what: str, text: str) -> bytes:
    try:
        if _Z85_KEY.fullmatch(text):
            return z85.decode(text.encode())
    except struct.error:  # five digits that stand for more than 32 bits
        pass
    raise DistributedError(f"its {what} is not 40 characters of Z85")


# What other users must not be able to do with a file.
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_ANYTHING = stat.S_IRWXG | stat.S_IRWXO


def _check_mode(path: Path, status: os.stat_result, forbidden: int) -> None:
    """Refuse what other users can read (a secret) or change (the allow-list), as ssh does."""
    if os.name != "posix" or not status.st_mode & forbidden:
        return
    mode = stat.S_IMODE(status.st_mode)
    if forbidden == _WRITABLE:
        raise Refused(
            f"other users can write to {path} (mode {mode:o}), so they could decide who gets in: say chmod go-w {path}"
        )
    raise Refused(
        f"other users can read the secret key {path} (mode {mode:o}): say chmod 600 {path}, and make a new "
        "key if somebody may have seen it"
    )


def new_key(folder: str | os.PathLike[str], name: str, role: Role, ranks: str = "") -> Key:
    """Make a key pair, and write both its files into `folder`.

    Raises
    ------
    DistributedError
        When there is one of that name already: a key is never overwritten.
    """
    _need_curve()
    public, secret = map(z85.decode, zmq.curve_keypair())
    fields = {"role": role, "ranks": ranks, "public-key": z85.encode(public).decode()}
    key, _ = _key_of(name, fields, with_secret=False)
    folder = _make_folder(folder)
    _check_free(folder, [name])
    # The secret first: nobody is on the allow-list who could not use it.
    _write(folder / (name + _SECRET), key, secret)
    _write(folder / (name + _PUBLIC), key)
    return key


def new_keys(folder: str | os.PathLike[str], workers: int) -> list[Key]:
    """Make the keys of a whole run: of the server, the launcher, and each of so many workers."""
    plan: list[tuple[str, Role, str]] = [("server", "server", ""), ("launcher", "launcher", "")]
    plan += [(f"worker-{rank}", "worker", str(rank)) for rank in range(workers)]
    _check_free(_make_folder(folder), [name for name, _, _ in plan])
    return [new_key(folder, *row) for row in plan]


def _make_folder(folder: str | os.PathLike[str]) -> Path:
    path = Path(folder)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        raise DistributedError(f"{path} cannot be a keys folder: {error}") from None
    _check_mode(path, status, _WRITABLE)
    return path


def _check_free(folder: Path, names: Iterable[str]) -> None:
    for path in (folder / (name + ending) for name in names for ending in (_PUBLIC, _SECRET)):
        if path.exists():
            raise DistributedError(
                f"{path} exists, and a key is never overwritten: choose another folder, add single keys with "
                "`retrograd keys add`, or delete the old ones first"
            )


# ---- a server's side ---------------------------------------------------------------------------------------


_LOOK_EVERY = 1.0  # seconds between looks at the folder, while it answers all questions with yes

Stamps: TypeAlias = dict[str, tuple[int, ...]]


class _Index(NamedTuple):
    """What was in the folder when its files had these stamps."""

    stamps: Stamps
    by_public: Mapping[bytes, Key]
    by_name: Mapping[str, Key]


class Keyring:
    """The allow-list: the public files of a folder, as they are now.

    They are read again when they have changed, without a restart: a key that is added counts at once, one
    that is changed or taken away a second later at the latest. A file that cannot be used lets nobody in: it
    is an error when a server starts, and a warning in its log later.

    May be used by several threads.

    Raises
    ------
    DistributedError
        When the folder or one of its public files cannot be read or understood.
    Refused
        When other users can change one of them.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        # Replaced as a whole, so that no thread sees half of it.
        self._index = _Index({}, {}, {})
        self._looked = 0.0
        for problem in self._refresh():
            raise problem

    def __iter__(self) -> Iterator[Key]:
        """All keys in the folder, sorted by name."""
        return iter(sorted(self._current().by_name.values(), key=lambda key: key.name))

    def find(self, public: bytes) -> Key | None:
        """The key with these 32 bytes, if it may come in."""
        return self._current().by_public.get(public) or self._current(now=True).by_public.get(public)

    def allows(self, user: str | None, role: Role, rank: int | None = None) -> None:
        """Let the process that authenticated with the key `user` take part as `role` and `rank`, or raise.

        Raises
        ------
        Refused
            When the key is another role's or another worker's, or is not in the folder any more.
        """
        try:
            key = self._current().by_name.get(user or "") or self._current(now=True).by_name.get(user or "")
        except DistributedError as error:
            raise Refused(f"the server cannot read its list of keys: {error}") from None
        if key is None:
            who = f"the key {user!r}" if user else "a process without a key"
            raise Refused(f"{who} is not on the server's list of keys ({self.folder})")
        if key.role != role:
            raise Refused(
                f"the key {key.name!r} is a {key.role}'s, and this process says it is a {role}: use a {role}'s key "
                f"(RETROGRAD_KEYS or --keys names the folder or file)"
            )
        if role == "worker" and (rank is None or rank not in key):
            raise Refused(
                f"the key {key.name!r} is for ranks {key.ranks}, and this process says it is worker {rank}: use the "
                f"key of that worker, or change `ranks` in {key.name}{_PUBLIC} in the server's keys folder"
            )

    def _current(self, *, now: bool = False) -> _Index:
        # A thousand workers that connect are not a million files to look at.
        if now or not 0 <= time.monotonic() - self._looked < _LOOK_EVERY:
            for problem in self._refresh():
                log.warning("a key is ignored: %s", problem)
        return self._index

    def _refresh(self) -> list[DistributedError]:
        """Read the folder if it has changed; what is wrong with it."""
        looked, stamps = time.monotonic(), self._stamps()
        self._looked = looked  # only if the folder could be read
        if stamps == self._index.stamps:
            return []
        problems: list[DistributedError] = []
        keys: list[Key] = []
        for name in sorted(stamps):
            try:
                keys.append(_read(self.folder / name)[0])
            except DistributedError as error:
                problems.append(error)
        times = Counter(key.public for key in keys)
        for public in (public for public, count in times.items() if count > 1):
            names = ", ".join(sorted(key.name for key in keys if key.public == public))
            problems.append(
                DistributedError(f"{names} in {self.folder} are one key, which cannot be several processes'")
            )
        keys = [key for key in keys if times[key.public] == 1]
        self._index = _Index(stamps, {key.public: key for key in keys}, {key.name: key for key in keys})
        return problems

    def _stamps(self) -> Stamps:
        stamps: Stamps = {}
        try:
            folder = self.folder.stat()
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if entry.name.endswith(_PUBLIC) and entry.is_file():
                        with contextlib.suppress(FileNotFoundError):  # deleted a moment ago
                            file = entry.stat()
                            stamps[entry.name] = (file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns)
        except OSError as error:
            raise DistributedError(
                f"the keys folder {self.folder} cannot be read ({error}): `retrograd keys new {self.folder}` makes one"
            ) from None
        _check_mode(self.folder, folder, _WRITABLE)
        return stamps


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """What a server needs: its own key pair, and the list of those it lets in."""

    key: Key
    secret: bytes = field(repr=False)
    keyring: Keyring

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> ServerKeys:
        """Read a keys folder.

        Raises
        ------
        DistributedError
            When there is no secret key of a server, or several, or nobody who may come in.
        Refused
            When other users can read the secret or change the list.
        """
        _need_curve()
        keyring = Keyring(folder)
        key, secret = _only_secret(_secret_files(Path(folder)), Path(folder), "server", None)
        if all(other.role == "server" for other in keyring):
            raise DistributedError(
                f"no public key of a worker or launcher (NAME{_PUBLIC}) is in {folder}, so nobody could connect: copy "
                "them there, or make some with `retrograd keys new` or `retrograd keys add`"
            )
        return cls(key, secret, keyring)


# ---- a client's side ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """What a worker or launcher needs: its own key pair, and the server's public key."""

    key: Key
    secret: bytes = field(repr=False)
    server: Key
    folder: Path

    @classmethod
    def read(cls, path: str | os.PathLike[str], role: Role, rank: int | None = None) -> ClientKeys:
        """Read the key of a process from a keys folder, or from the secret file that `path` names.

        In a folder it is the one that fits `role` and `rank`. The server's public key is in the same folder.

        Raises
        ------
        DistributedError
            When one of the two is missing, or there are several.
        Refused
            When other users can read the secret or change the server's key.
        """
        _need_curve()
        path = Path(path)
        folder, files = (path, _secret_files(path)) if path.is_dir() else (path.parent, [path])
        key, secret = _only_secret(files, path, role, rank)
        servers = [public for public in Keyring(folder) if public.role == "server"]
        if len(servers) != 1:
            found = ", ".join(server.name + _PUBLIC for server in servers) or "none"
            raise DistributedError(
                f"the public key of the server must be in {folder}, once, and there is {found}: copy it from the "
                "server's keys folder (server.key), without its secret file"
            )
        return cls(key, secret, servers[0], folder)


def _secret_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(_SECRET))
    except OSError as error:
        raise DistributedError(f"the keys folder {folder} cannot be read: {error}") from None


def _only_secret(files: Iterable[Path], where: Path, role: Role, rank: int | None) -> tuple[Key, bytes]:
    there = [(key, secret) for key, secret in map(_read, files) if secret]
    found = [(key, secret) for key, secret in there if key.role == role]
    if role == "worker":
        found = [pair for pair in found if rank is None or rank in pair[0]]
    who = f"worker {rank}" if role == "worker" and rank is not None else f"a {role}"
    if not found:
        others = ", ".join(f"{key.name}{_SECRET} of {_whose(key)}" for key, _ in there)
        instead = f" (there is {others})" if others else ""
        raise DistributedError(
            f"no secret key for {who} is in {where}{instead}: copy its NAME{_SECRET} there from where it was made, or "
            "make one with `retrograd keys new` or `retrograd keys add`"
        )
    if len(found) > 1:
        names = ", ".join(key.name + _SECRET for key, _ in found)
        raise DistributedError(
            f"{where} holds several secret keys for {who} ({names}): leave one there, or name one file"
        )
    return found[0]


def _whose(key: Key) -> str:
    """For whom a key is.

    >>> _whose(Key("pool", "worker", "1-3", bytes(32))), _whose(Key("server", "server", "", bytes(32)))
    ('worker 1-3', 'a server')
    """
    if key.role != "worker":
        return f"a {key.role}"
    return "any worker" if key.ranks == "*" else f"worker {key.ranks}"


# ---- where a server may listen -----------------------------------------------------------------------------


def check_bind(address: str, keys: ServerKeys | None, *, insecure: bool) -> None:
    """Refuse to listen without keys where other machines could connect.

    Raises
    ------
    Refused
        When they could.
    DistributedError
        When it is no address.
    """
    checked(address, to_listen=True)
    if keys is None and not insecure and not is_local(address):
        raise Refused(
            f"{address} can be reached from other machines, and whoever reaches it could read and change the "
            "weights. Make keys with `retrograd keys new DIR` and say --keys DIR; or use tcp://127.0.0.1:*; or say "
            "--insecure on a network where you trust everyone"
        )
