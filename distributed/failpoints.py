"""Named places of the program at which a test kills, stops or fails the process, to see what survives it.

The code says ``failpoint("server.after_apply_before_ack")`` where a failure would hurt most. That does nothing, and
costs the look at one name, unless the environment says what shall happen there::

    RETROGRAD_FAILPOINTS="server.after_apply_before_ack:3=kill; worker.before_push@1=sleep:0.5"

==============  ============================================================================================
``name``        one of `POINTS`
``@index``      only on the worker of this rank, or the server of this number; without it, on all
``:n``          at the n-th passage, counted from 1; without it, at every passage
``kill``        ``SIGKILL`` to itself: no handler runs, nothing is flushed
``stop``        ``SIGSTOP`` to itself: it stands still until someone sends ``SIGCONT``
``raise``       raise `Injected`; ``raise:ENOSPC`` raises the `OSError` of that number
``sleep:s``     go on after s seconds
==============  ============================================================================================

``RETROGRAD_FAILPOINTS_LOG`` names a file that gets a line for each action before it is taken. What is to happen at the
n-th passage, and has happened according to the log, does not happen again: so a server that was killed lives when it
is started again in the same environment.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import DistributedError

__all__ = ["POINTS", "Injected", "Plan", "arm", "disarm", "failpoint"]

POINTS: Mapping[str, str] = {
    "worker.before_push": "the gradients are there, and nothing of them is sent",
    "worker.between_slices": "some slices of a push are sent, and others are not",
    "worker.after_push": "all of a push is sent, and no answer has come",
    "server.before_apply": "all gradients of an update are there, and no weight is changed",
    "server.after_apply_before_ack": "an update is applied, and nobody has been told",
    "server.after_ack": "an update is applied, and somebody has been told",
    "journal.torn": "the beginning of a record is written",
    "journal.before_flush": "records are written, and may not be on the disk",
    "journal.after_flush": "records are on the disk",
    "journal.before_cut": "a new segment is begun, and those that a snapshot makes superfluous are still there",
    "segment.before_sync": "a segment is written aside, and may not be on the disk",
    "segment.before_rename": "a segment is on the disk under its temporary name",
    "segment.after_rename": "a segment has its name, which may not be on the disk",
    "snapshot.torn": "the tensors of a snapshot are written aside, and its header is not",
    "snapshot.before_sync": "a snapshot is written aside, and may not be on the disk",
    "snapshot.before_rename": "a snapshot is on the disk under its temporary name",
    "snapshot.after_rename": "a snapshot has its name, which may not be on the disk",
    "snapshot.before_prune": "a snapshot is durable, and those that it makes superfluous are still there",
}
"""Every point, and what is true there. A test holds this against the calls of `failpoint`."""


class Injected(RuntimeError):
    """What the action ``raise`` raises: an error that no code expects."""


@dataclass(slots=True)
class Rule:
    """What happens at one point, to whom and when."""

    text: str
    point: str
    index: int | None
    passage: int | None
    action: str
    argument: str
    passed: Counter[int] = field(default_factory=Counter)
    """How often each worker or server has come by."""

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read ``name[@index][:n]=action[:argument]``."""
        where, _, what = (part.strip() for part in text.partition("="))
        where, _, passage = where.partition(":")
        point, _, index = where.partition("@")
        action, _, argument = what.partition(":")
        _check_name(point)
        if not _FORM.fullmatch(text):
            raise DistributedError(f"RETROGRAD_FAILPOINTS: {text!r} must look like name@index:n=action")
        if not _is_action(action, argument):
            raise DistributedError(
                f"RETROGRAD_FAILPOINTS: no action {what!r} in {text!r}; there are kill, stop, raise, raise:ERRNO "
                "and sleep:SECONDS"
            )
        return cls(text, point, int(index) if index else None, int(passage) if passage else None, action, argument)

    def act(self) -> None:
        """Do it to this process, or to the code that is running."""
        match self.action:
            case "kill":
                signal.pthread_kill(threading.get_ident(), signal.SIGKILL)
            case "stop":
                # To this thread and not to the process, where another could take it while this one goes on.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            case "sleep":
                time.sleep(float(self.argument))
            case _ if self.argument:
                number = getattr(errno, self.argument)
                raise OSError(number, f"{os.strerror(number)} (injected at {self.point})")
            case _:
                raise Injected(f"injected at {self.point}")


class Plan:
    """What happens at which points.

    Parameters
    ----------
    text : str
        The rules, as in ``RETROGRAD_FAILPOINTS``.
    log : Path, optional
        The file of ``RETROGRAD_FAILPOINTS_LOG``.

    Raises
    ------
    DistributedError
        When a rule cannot be read, or names a point that there is not; the text lists those that there are.

    Examples
    --------
    >>> plan = Plan("server.before_apply:2=raise")
    >>> plan.reach("server.before_apply")
    >>> plan.reach("server.before_apply")
    Traceback (most recent call last):
    retrograd.distributed.failpoints.Injected: injected at server.before_apply
    >>> plan.reach("server.before_apply")
    """

    def __init__(self, text: str, log: Path | None = None) -> None:
        self.rules = [Rule.parse(part.strip()) for part in text.split(";") if part.strip()]
        self._log = log
        self._lock = threading.Lock()

    def reach(self, point: str, index: int = 0) -> None:
        """Count a passage, and do what is to be done at it."""
        _check_name(point)
        here = [rule for rule in self.rules if rule.point == point and rule.index in (None, index)]
        # All of them count the passage before the first can raise.
        for rule in [rule for rule in here if self._is_due(rule, index)]:
            rule.act()

    def _is_due(self, rule: Rule, index: int) -> bool:
        with self._lock:
            rule.passed[index] += 1
            if rule.passage is not None and (rule.passage != rule.passed[index] or self._has_happened(rule, index)):
                return False
            self._record(rule, index)
            return True

    def _has_happened(self, rule: Rule, index: int) -> bool:
        if self._log is None or not self._log.exists():
            return False
        lines = self._log.read_text(encoding="utf-8").splitlines()
        return any(line.split("\t")[:2] == [rule.text, str(index)] for line in lines)

    def _record(self, rule: Rule, index: int) -> None:
        if self._log is not None:
            # One write to a file opened to append: processes that share the log do not mix their lines.
            descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                os.write(descriptor, f"{rule.text}\t{index}\t{os.getpid()}\n".encode())
            finally:
                os.close(descriptor)


def failpoint(point: str, index: int = 0) -> None:
    """Say that the program is at a point of `POINTS`; as a rule, nothing happens.

    Parameters
    ----------
    point : str
    index : int
        The rank of the worker, or the number of the server, that is there.
    """
    if _plan is not None:
        _plan.reach(point, index)


def arm(text: str, log: Path | None = None) -> None:
    """Let things happen in this process from now on, and forget what was to happen; see `Plan`."""
    global _plan
    _plan = Plan(text, log)


def disarm() -> None:
    """Let nothing happen any more."""
    global _plan
    _plan = None


def _check_name(point: str) -> None:
    if point not in POINTS:
        raise DistributedError(f"no fail-point has the name {point!r}; there are {', '.join(POINTS)}")


def _is_action(action: str, argument: str) -> bool:
    match action:
        case "kill" | "stop":
            return not argument
        case "raise":
            return not argument or (argument.startswith("E") and hasattr(errno, argument))
        case "sleep":
            return re.fullmatch(r"\d+(\.\d+)?", argument) is not None
    return False


_FORM = re.compile(r"[^@:=]+(@\d+)?(:[1-9]\d*)?\s*=.*")
_plan: Plan | None = None
if "RETROGRAD_FAILPOINTS" in os.environ:
    arm(os.environ["RETROGRAD_FAILPOINTS"], Path(log) if (log := os.environ.get("RETROGRAD_FAILPOINTS_LOG")) else None)
