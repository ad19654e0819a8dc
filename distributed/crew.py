"""Threads that share work on arrays of megabytes.

What a step does with its slices (add up, look, copy) runs at the speed of memory, of which one core does not get all.
NumPy lets other threads run meanwhile, and most of the time one side of the conversation waits for the other, so that
its cores are idle.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

__all__ = ["WORTH_SHARING", "each"]

WORTH_SHARING = 8 << 20
"""Bytes from which work is shared: to wake a thread takes as long as to read a megabyte."""

_MOST_THREADS = 8

T = TypeVar("T")
R = TypeVar("R")


def each(call: Callable[[T], R], items: Sequence[T], nbytes: int) -> list[R]:
    """What a call gives for each item, in their order, of which `nbytes` says how much work they are together.

    The calls may be made in other threads, in any order, and several at once; not one is under way any more when this
    returns or raises what one of them has raised.

    >>> each(abs, [3, -4], nbytes=8)
    [3, 4]
    """
    crew = None if nbytes < WORTH_SHARING or len(items) < 2 else _crew()
    if crew is None:
        return list(map(call, items))
    results: list[R] = [None] * len(items)  # type: ignore[list-item]
    numbers = itertools.count()  # `next` of it is one step for all threads

    def work() -> None:
        while (number := next(numbers)) < len(items):
            results[number] = call(items[number])

    others: list[Future[None]] = []
    try:
        with contextlib.suppress(RuntimeError):  # the interpreter is ending, and takes no more work for threads
            others.extend(crew.submit(work) for _ in range(min(_others(), len(items) - 1)))
        work()
    finally:
        # Whoever has not begun, as on a busy machine, would find nothing more to do.
        begun = [other for other in others if not other.cancel()]
        failures = [error for other in begun if (error := other.exception()) is not None]
    if failures:
        raise failures[0]
    return results


@cache
def _crew() -> ThreadPoolExecutor | None:
    """The process's threads; none where there is only one core."""
    return ThreadPoolExecutor(_others(), "retrograd-crew") if _others() else None


@cache
def _others() -> int:
    """How many threads there are beside the one that asks."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_THREADS) - 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_crew.cache_clear)  # the threads are the parent's
