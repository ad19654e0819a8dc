"""Which function transforms are running: the levels of `vmap`, and derivatives of functions.

What is created inside a transform belongs to no level; random numbers, which a level of `vmap` may
draw for each sample, and rules that hold inside transforms only, ask here.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

__all__ = ["bare", "below", "innermost_vmap", "is_mapped", "running", "transforms"]

_running: ContextVar[tuple[Any, ...]] = ContextVar("retrograd.transforms", default=())


def transforms() -> tuple[Any, ...]:
    """The transforms that run in this thread or task, innermost last: kernel tables of `vmap`, names of others."""
    return _running.get()


def innermost_vmap() -> Any:
    """The kernel table of the innermost `vmap` that is running, or None."""
    return next((each for each in reversed(_running.get()) if not isinstance(each, str)), None)


def is_mapped(tensor: Any) -> bool:
    """Whether a tensor differs by sample, at its own level of `vmap` or at one below."""
    while tensor._k.level:
        if tensor._array.mapped:
            return True
        tensor = tensor._array.value
    return False


def bare(tensor: Any) -> Any:
    """The tensor of a backend that one of a level stands for: of all samples, of all levels."""
    while tensor._k.level:
        tensor = tensor._array.value
    return tensor


class below:
    """A context in which a level of `vmap`, and all inside of it, are not running; with None, no transform is."""

    __slots__ = ("_kept", "table")

    def __init__(self, table: Any) -> None:
        self.table = table

    def __enter__(self) -> None:
        self._kept = _running.get()
        if self.table is None:
            _running.set(())
        elif self.table in self._kept:
            _running.set(self._kept[: self._kept.index(self.table)])

    def __exit__(self, *exc_info: object) -> None:
        _running.set(self._kept)


class running:
    """A context in which a transform runs: `with running("grad"): ...`."""

    __slots__ = ("transform",)

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __enter__(self) -> None:
        # A tuple: tasks share what the variable holds.
        _running.set((*_running.get(), self.transform))

    def __exit__(self, *exc_info: object) -> None:
        _running.set(_running.get()[:-1])
