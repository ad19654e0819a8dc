"""What goes wrong with disks, for the tests of what a parameter server keeps: calls that fail, full disks, deaths.

`crash_everywhere` kills a piece of work before each of its system calls in turn. Tests call it by `run_python`, in an
interpreter of its own, from which children can be forked safely: there are no threads in it.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# All calls by which distributed/disk.py, snapshots.py, segments.py and journal.py change something.
CALLS = ("open", "writev", "lseek", "fsync", "fdatasync", "ftruncate", "replace", "unlink", "mkdir")


def refuse(number: int) -> Callable[..., Any]:
    """A system call that fails."""

    def call(*args: Any, **kwargs: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return call


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system refuses what lies behind `size` bytes of a file. Python ignores the signal, so `write` fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def disk_of_one_megabyte(folder: Path) -> Iterator[Path]:
    """A file system that is soon full; the test is skipped where none may be mounted."""
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mount.returncode != 0:
        pytest.skip("only root may mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def peak_of(call: Callable[[], object]) -> int:
    """Most bytes that Python and NumPy had allocated at a time during a call, beyond those before it."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# ---- other processes ---------------------------------------------------------------------------------------


def python(code: str, *args: object) -> dict[str, Any]:
    """Arguments for `subprocess` to run code that imports what a test can."""
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return {"args": command, "text": True, "env": {**os.environ, "PYTHONPATH": path}}


def run_python(code: str, *args: object) -> str:
    """Run code that must succeed; what it prints."""
    done = subprocess.run(**python(code, *args), capture_output=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def running_python(code: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    """A process that is killed at the end of the block, if not before."""
    process = subprocess.Popen(**python(code, *args), stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash_before_call(number: int) -> None:
    """Let this process die just before such a call. A write gets half of its first buffer out."""
    left = number

    def wrap(name: str) -> Callable[..., Any]:
        call = getattr(os, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left == 0:
                if name == "writev":
                    os.write(args[0], args[1][0][: len(args[1][0]) // 2])
                die()
            left -= 1
            return call(*args, **kwargs)

        return counting

    for name in CALLS:
        setattr(os, name, wrap(name))


def crash_everywhere(
    prepare: Callable[[], None], work: Callable[[Callable[[int], None]], None], check: Callable[[int], None]
) -> int:
    """For each system call of `work`: `prepare`, do the work in a child that dies there, `check`.

    `work` is given a function by which it tells what it has been promised so far, and `check` the last it told.
    Returns how many calls there were.
    """
    number = 0
    while True:
        prepare()
        died, promised = _crash_once(number, work)
        check(promised)
        if not died:
            return number
        number += 1


def _crash_once(number: int, work: Callable[[Callable[[int], None]], None]) -> tuple[bool, int]:
    told, tell = os.pipe()
    if (child := os.fork()) == 0:
        status = 1
        try:
            crash_before_call(number)
            work(lambda what: (os.write(tell, bytes([what])), None)[1])
            status = 0
        finally:
            os._exit(status)
    os.close(tell)
    _, status = os.waitpid(child, 0)
    promises = os.read(told, 100)
    os.close(told)
    assert status == 0 or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL), status
    return status != 0, promises[-1] if promises else 0
