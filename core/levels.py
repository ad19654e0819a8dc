"""Which function transforms are running: the levels of `vmap`, and derivatives of functions.

What is created inside a transform belongs to no level; random numbers, which a level of `vmap` may
draw for each sample, and rules that hold inside transforms only, ask here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final

__all__ = [
    "PLAIN", "Derivative", "bare", "below", "births", "innermost_derivative", "innermost_vmap", "is_derived",
    "is_mapped", "note_birth", "refuse_in_transforms", "running", "transforms",
]  # fmt: skip

PLAIN: Final = "plain"
"""The name of a transform within which custom Functions are called as they are: gradients or tangents are mapped over,
not a function of the program's that knows of levels."""

_running: ContextVar[tuple[Any, ...]] = ContextVar("retrograd.transforms", default=())
_number: ContextVar[int] = ContextVar("retrograd.derivative", default=0)
"""That of the innermost derivative that has been entered; zero if none has."""


def transforms() -> tuple[Any, ...]:
    """The transforms that run in this thread or task, innermost last: kernel tables of `vmap`, names of others."""
    return _running.get()


def refuse_in_transforms(call: str, perhaps: str = "") -> None:
    """Raise if a transform runs, in which this method of tensors cannot be called; `perhaps` goes on after its name."""
    if transforms():
        raise RuntimeError(
            f"You are attempting to call Tensor.{call}{perhaps} inside of a function being transformed by a functorch "
            "transform. This is unsupported, please attempt to use the functorch transforms (e.g. grad, vjp, jacrev, "
            f"jacfwd, hessian) or call {call} outside of a function being transformed instead."
        )


def innermost_vmap() -> Any:
    """The kernel table of the innermost `vmap` that is running, or None."""
    running = _running.get()
    return next((each for each in reversed(running) if not isinstance(each, str)), None) if running else None


def is_derived() -> bool:
    """Whether the innermost transform is no `vmap`: what it hands to its function is a tensor of its own."""
    running = _running.get()
    return bool(running) and isinstance(running[-1], str)


def is_mapped(tensor: Any) -> bool:
    """Whether a tensor differs by sample, at its own level of `vmap` or at one below."""
    while tensor._kernels.level:
        if tensor._array.mapped:
            return True
        tensor = tensor._array.value
    return False


def bare(tensor: Any) -> Any:
    """The tensor of a backend that one of a level stands for: of all samples, of all levels."""
    while tensor._kernels.level:
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


class Derivative(str):
    """The name of a transform that differentiates, with what its function may write to.

    Note [Captured tensors]
        A function that is differentiated may write in place to its arguments and to what it makes itself,
        not to what it captures. So while a derivative runs in some thread, new version cells get its number
        (`note_birth`), as their third entry; what has none, or a smaller one, is captured. Aliases share the
        cell, and `retrograd.autograd.captured` asks before a write.
    """

    number: int
    admitted: tuple[Any, ...]
    refuses: bool

    def __new__(cls, name: str, arguments: Iterable[Any] = (), refuses: bool = True) -> Derivative:
        """With `refuses` false, what the function captures may be written to: that new cells are marked is all."""
        made = super().__new__(cls, name)
        made.refuses = refuses
        made.number = _next_number()
        made.admitted = tuple(each._cell for each in arguments if hasattr(each, "_cell"))
        return made


_next_number = itertools.count(1).__next__

births: Final[list[int]] = []
"""The numbers of the derivatives that run in any thread: empty, and so at no cost to who makes tensors, mostly."""


def note_birth(tensor: Any) -> None:
    """Let a new tensor know in which derivative of a function it was made: Note [Captured tensors]."""
    number = _number.get()
    if number:
        tensor._cell = [0, None, number]


def innermost_derivative() -> tuple[Derivative | None, tuple[Any, ...], tuple[Any, ...]]:
    """The innermost derivative of a function that is running, and the transforms outside and inside of it."""
    stack = _running.get()
    for position in range(len(stack) - 1, -1, -1):
        if type(stack[position]) is Derivative:
            return stack[position], stack[:position], stack[position + 1 :]
    return None, stack, ()


class running:
    """A context in which a transform runs: a kernel table of `vmap`, a `Derivative`, or the name of another."""

    __slots__ = ("_outer", "transform")

    def __init__(self, transform: Any) -> None:
        self.transform = transform
        self._outer = 0

    def __enter__(self) -> None:
        # A tuple: tasks share what the variable holds.
        _running.set((*_running.get(), self.transform))
        if type(self.transform) is Derivative:
            self._outer = _number.get()
            _number.set(self.transform.number)
            births.append(self.transform.number)

    def __exit__(self, *exc_info: object) -> None:
        _running.set(_running.get()[:-1])
        if type(self.transform) is Derivative:
            _number.set(self._outer)
            births.remove(self.transform.number)
