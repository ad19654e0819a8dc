"""What can go wrong between processes, one class for each thing that a caller may want to catch.

Each class stands under :class:`DistributedError` and under the builtin exception that describes it, so
that code which knows nothing of this package still catches it by a name it knows.
"""

from __future__ import annotations

__all__ = [
    "AddressInUse",
    "Damaged",
    "DistributedError",
    "Evicted",
    "FolderInUse",
    "JournalError",
    "Mismatch",
    "NonFiniteGradient",
    "OptionError",
    "ProtocolError",
    "Refused",
    "RemoteError",
    "ServerLost",
    "SnapshotError",
    "Stranger",
    "Taken",
    "WorkerLost",
    "from_kind",
    "kind_of",
]


class DistributedError(RuntimeError):
    """Base of all errors that this package raises about other processes."""


class OptionError(DistributedError, ValueError):
    """An option of the command line, or a variable of the environment, that cannot be so, or not with the others."""


class ProtocolError(DistributedError, ValueError):
    """A message that is not one of ours, or that contradicts itself. It has had no effect."""


class Damaged(ProtocolError):
    """Bytes that were changed on their way, or never were a message. Whoever sent one may say it again."""


class Mismatch(DistributedError, ValueError):
    """Two processes of one run disagree about what they are training, or with what."""


class Refused(DistributedError, PermissionError):
    """The server does not let this process in; the text says why."""


class Taken(Refused):
    """The rank is another process's, which is alive."""


class Evicted(Refused):
    """The server has declared this worker lost and gone on without it; it may join again."""


class Stranger(DistributedError):
    """A request over a connection that has not said who it is: the server, or the connection, is a new one."""


class NonFiniteGradient(DistributedError, FloatingPointError):
    """A gradient holds a NaN or an infinity, and the run refuses such a push. It has had no effect."""


class ServerLost(DistributedError, ConnectionError):
    """The server cannot be reached, or has stopped answering."""


class WorkerLost(DistributedError, ConnectionError):
    """Another worker died, failed or left, so the step that waits for it can never complete."""


class RemoteError(DistributedError):
    """The server failed while it did what it was asked for."""


class AddressInUse(DistributedError, OSError):
    """The address that the server should listen on is taken, or is not one of this machine's."""


# `OSError` comes first in these, so that its constructor is the one that is used: `errno`, `strerror` and `filename`
# are set where the system refused something, and None where what is on disk is wrong.


class SnapshotError(OSError, DistributedError):
    """A snapshot cannot be written or read, or is damaged; the text names the file and says what is wrong."""


class JournalError(OSError, DistributedError):
    """A journal cannot be written or read, or is damaged; the text names the file and the offset in it."""


class FolderInUse(OSError, DistributedError):
    """Another server, which is alive, keeps its snapshots or its journal in this folder."""


# What an ERROR message says in one word, so that the client can raise the class that the server meant.
_KINDS: dict[str, type[DistributedError]] = {
    "protocol": ProtocolError,
    "mismatch": Mismatch,
    "refused": Refused,
    "taken": Taken,
    "evicted": Evicted,
    "stranger": Stranger,
    "nonfinite": NonFiniteGradient,
    "worker_lost": WorkerLost,
    "server_lost": ServerLost,
    "remote": RemoteError,
}


def kind_of(error: BaseException) -> str:
    """The word for an error's class on the wire.

    >>> kind_of(WorkerLost("worker 1 died")), kind_of(ZeroDivisionError())
    ('worker_lost', 'remote')
    """
    return next((kind for kind, cls in _KINDS.items() if type(error) is cls), "remote")


def from_kind(kind: str, text: str) -> DistributedError:
    """The error that an ERROR message stands for.

    >>> from_kind("mismatch", "worker 1 has another model")
    Mismatch('worker 1 has another model')
    """
    return _KINDS.get(kind, RemoteError)(text)
