"""`Size`: a tensor's shape, a tuple that prints and multiplies as PyTorch's does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from operator import index
from typing import Any, SupportsIndex

__all__ = ["Size", "size_of"]


class _Checked(type):
    """Looks at what `Size` is called with; `size_of` does not, and is as fast as a class without this."""

    def __call__(cls, sizes: Iterable[Any] = ()) -> Any:
        given = tuple(sizes)
        return type.__call__(cls, tuple(each if type(each) is int else _whole(each, i) for i, each in enumerate(given)))


class Size(tuple[int, ...], metaclass=_Checked):
    """The shape of a tensor: ints, and what can be used as one, such as a tensor of one integer.

    Raises
    ------
    TypeError
        If a size is none of these.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.Size([2, 3]).numel()
    6
    """

    __module__ = "retrograd"

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"retrograd.Size([{', '.join(map(str, self))}])"

    __str__ = __repr__

    def __getitem__(self, key: Any) -> Any:
        got = tuple.__getitem__(self, key)
        return size_of(got) if isinstance(key, slice) else got

    def __add__(self, other: Iterable[int]) -> Size:  # type: ignore[override]
        return Size(tuple.__add__(self, tuple(other)))

    def __radd__(self, other: Iterable[int]) -> Size:
        return Size(tuple(other) + tuple(self))

    def __mul__(self, times: SupportsIndex) -> Size:
        return size_of(tuple.__mul__(self, times))

    __rmul__ = __mul__


def _whole(value: Any, place: int) -> int:
    try:
        return index(value)
    except TypeError:
        pass
    raise TypeError(f"retrograd.Size() takes an iterable of 'int' (item {place} is '{type(value).__name__}')")


size_of: Callable[[tuple[int, ...]], Size] = type.__call__.__get__(Size)
"""A `Size` of a tuple of ints, which are not looked at."""
