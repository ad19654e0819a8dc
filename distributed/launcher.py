"""Where processes run: the interface, and the launcher for this machine.

A launcher starts a program and hands out its output and its end. What the programs are, and what is to be
done when one fails, is :mod:`~retrograd.distributed.job`'s part and the same for every launcher.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Literal, TypeAlias

from .errors import DistributedError

__all__ = ["Launcher", "LocalLauncher", "LocalProcess", "Process", "describe_exit"]

Line: TypeAlias = tuple[Literal["stdout", "stderr"], str]


class Process(ABC):
    """A program that was started."""

    name: str

    @abstractmethod
    def poll(self) -> int | None:
        """Its exit code, negative for a signal; ``None`` while it runs."""

    @abstractmethod
    def lines(self) -> list[Line]:
        """The lines that it has written since the last call, without waiting."""

    @abstractmethod
    def terminate(self) -> None:
        """Ask it, and what it has started, to end."""

    @abstractmethod
    def kill(self) -> None:
        """End it, and what it has started, at once."""


class Launcher(ABC):
    """A place where processes can run."""

    @abstractmethod
    def start(self, name: str, arguments: Sequence[str], variables: Mapping[str, str]) -> Process:
        """Start a fresh Python interpreter.

        Parameters
        ----------
        name : str
            For people: ``worker 0``.
        arguments
            Of the interpreter: a script and its arguments, or ``-m`` and a module.
        variables
            Added to the environment.
        """

    @abstractmethod
    def wait(self, processes: Iterable[Process], timeout: float) -> None:
        """Return when one of them has written something or ended, or after `timeout` seconds."""


class LocalProcess(Process):
    """A process on this machine, with a process group of its own."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes]) -> None:
        assert popen.stdout is not None
        assert popen.stderr is not None
        self.name = name
        self.pid = popen.pid
        self._popen = popen
        self._pipes: dict[IO[bytes], tuple[Literal["stdout", "stderr"], bytearray]] = {
            popen.stdout: ("stdout", bytearray()),
            popen.stderr: ("stderr", bytearray()),
        }
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)

    def poll(self) -> int | None:
        running = self._popen.returncode is None
        code = self._popen.poll()
        if running and code is not None:
            self._signal_group(signal.SIGKILL)  # whatever it has started and left behind
        return code

    def lines(self) -> list[Line]:
        found: list[Line] = []
        for pipe, (stream, pending) in list(self._pipes.items()):
            closed = _read_available(pipe, pending)
            *whole, rest = bytes(pending).split(b"\n")
            if closed:
                whole, rest = [*whole, *([rest] if rest else [])], b""
                pipe.close()
                del self._pipes[pipe]
            pending[:] = rest
            found.extend((stream, line.decode(errors="replace").rstrip("\r")) for line in whole)
        return found

    @property
    def pipes(self) -> Iterable[IO[bytes]]:
        """Those that are still open."""
        return self._pipes

    def terminate(self) -> None:
        if self.poll() is None:
            self._signal_group(signal.SIGTERM)

    def kill(self) -> None:
        if self.poll() is None:
            self._signal_group(signal.SIGKILL)
            self._popen.wait()

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


class LocalLauncher(Launcher):
    """Starts processes on this machine.

    Each is a fresh interpreter and not a fork: ZeroMQ and JAX do not survive a fork. Each has a process
    group of its own, so that Ctrl-C in a terminal reaches the launcher alone, which then ends the others
    in order, with all that they have started. See :mod:`retrograd.distributed.guard` for what happens when
    the launcher itself is killed.
    """

    def start(self, name: str, arguments: Sequence[str], variables: Mapping[str, str]) -> LocalProcess:
        guard = str(Path(__file__).with_name("guard.py"))
        try:
            popen = subprocess.Popen(
                [sys.executable, "-I", "-S", guard, str(os.getpid()), sys.executable, *arguments],
                env={**os.environ, "PYTHONUNBUFFERED": "1", **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise DistributedError(f"{name} cannot be started: {error.strerror}") from error
        return LocalProcess(name, popen)

    def wait(self, processes: Iterable[Process], timeout: float) -> None:
        with selectors.DefaultSelector() as selector:
            for process in processes:
                assert isinstance(process, LocalProcess)
                for pipe in process.pipes:
                    selector.register(pipe, selectors.EVENT_READ)
            selector.select(timeout)


def describe_exit(code: int) -> str:
    """An exit code in words.

    >>> describe_exit(1), describe_exit(-9)
    ('ended with exit code 1', 'was killed by signal 9 (SIGKILL)')
    """
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"was killed by signal {-code}"


def _read_available(pipe: IO[bytes], into: bytearray) -> bool:
    """Read what is there; whether the other end is closed."""
    while True:
        try:
            data = os.read(pipe.fileno(), 65_536)
        except BlockingIOError:
            return False
        if not data:
            return True
        into += data
