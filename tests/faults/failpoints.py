"""The tests' side of `retrograd.distributed.failpoints`: switch points on, here or in processes to come.

::

    plan = Failpoints("server.after_apply_before_ack:3=kill", tmp_path)
    launch = Launch(..., **plan.variables)
    plan.wait_hit()  # the server is dead now, and its next life will live
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from retrograd.distributed import failpoints

from .waiting import wait_until


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that happened at a point: which rule said so, to which worker or server, in which process."""

    rule: str
    index: int
    pid: int

    def wait_stopped(self) -> None:
        """Wait until the process stands still, after ``stop``; only then `resume` has an effect."""
        process = psutil.Process(self.pid)
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, f"process {self.pid} to stop")

    def resume(self) -> None:
        """Let a stopped process go on."""
        os.kill(self.pid, signal.SIGCONT)


class Failpoints:
    """What happens at which points in the processes that get `variables` in their environment.

    Parameters
    ----------
    text : str
        As in ``RETROGRAD_FAILPOINTS``; an error here and now, if it cannot be read.
    folder : Path
        Where the log of what has happened is kept.
    """

    def __init__(self, text: str, folder: Path) -> None:
        failpoints.Plan(text)
        self.log = folder / "failpoints.log"
        self.variables = {"RETROGRAD_FAILPOINTS": text, "RETROGRAD_FAILPOINTS_LOG": str(self.log)}

    def hits(self) -> list[Hit]:
        """What has happened, in its order."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        fields = (line.split("\t") for line in lines)
        return [Hit(rule, int(index), int(pid)) for rule, index, pid in fields]

    def wait_hit(self, count: int = 1) -> Hit:
        """Wait until so much has happened, and return the last of it."""
        return wait_until(lambda: self.hits()[count - 1 : count], f"{count} hits of {self.variables}")[0]


@contextmanager
def armed(text: str, log: Path | None = None) -> Iterator[None]:
    """Switch points on in this process while the block runs."""
    failpoints.arm(text, log)
    try:
        yield
    finally:
        failpoints.disarm()
