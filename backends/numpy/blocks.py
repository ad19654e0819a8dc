"""Elementwise functions of several kernels, written in place block by block.

NumPy makes an array of what each kernel gives. Of a large tensor that is memory of megabytes, which the system has to
clear before, and which is in no cache any more when the next kernel reads it. An optimizer does this with all weights
in each step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["in_blocks"]

Array = np.ndarray[Any, Any]

_BYTES = 1 << 19  # of a block: so many that Python's part of the work is small, and few enough for a cache
_LENT = "add subtract multiply divide negative sqrt square exp abs maximum minimum reciprocal".split()

_lenders = threading.local()


def in_blocks(K: Any, function: Callable[..., Any], arguments: Sequence[Any]) -> bool:
    """Write what an elementwise function gives to its first argument; see `Kernels.in_blocks`."""
    target = arguments[0]
    if target.nbytes <= _BYTES or not all(_lies_like(target, each) for each in arguments):
        return False
    flat = [each.reshape(-1) if isinstance(each, np.ndarray) and each.ndim else each for each in arguments]
    lender = _lender(K, target.dtype)
    with K.quiet():  # a warning that a program has made an error would be raised between two blocks
        parts = (_of(flat, start, stop) for start, stop in _bounds(target.size, target.itemsize))
        first = next(parts)
        try:
            result = lender.compute(function, first)
            if result.shape != first[0].shape or result.dtype != target.dtype:
                return False
        except Exception:  # of whatever kind: nothing has changed
            return False
        first[0][...] = result
        for part in parts:
            part[0][...] = lender.compute(function, part)
    return True


def _lender(K: Any, dtype: np.dtype[Any]) -> _Lender:
    lenders: dict[Any, _Lender] = _lenders.__dict__
    if (K, dtype) not in lenders:
        lenders[K, dtype] = _Lender(K, dtype)
    return lenders[K, dtype]


class _Lender:
    """Has kernels write to memory of its own, the same for each block: it stays in the cache.

    The results of one block must have been used up before the next is computed.
    """

    def __init__(self, kernels: Any, dtype: np.dtype[Any]) -> None:
        self._kernels = copy(kernels)
        for name in _LENT:
            if (kernel := getattr(kernels, name)) in kernels.takes_out:  # else a plugin's
                setattr(self._kernels, name, self._lending(kernel))
        self._dtype = dtype
        self._shape: tuple[int, ...] = ()
        self._lent = 0
        self._memory: list[Array] = []

    def compute(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        self._shape, self._lent = arguments[0].shape, 0
        return function(self._kernels, *arguments)

    def _lending(self, kernel: Any) -> Callable[..., Any]:
        def call(*inputs: Any) -> Any:
            for each in inputs:
                if type(each) is np.ndarray:
                    if each.shape != self._shape or each.dtype != self._dtype:
                        return kernel(*inputs)
                elif type(each) is not float and type(each) is not int:
                    return kernel(*inputs)
            return kernel(*inputs, self._next())

        return call

    def _next(self) -> Array:
        (size,) = self._shape
        if self._lent == len(self._memory) or len(self._memory[self._lent]) < size:
            self._memory[self._lent :] = [np.empty(size, self._dtype)]
        self._lent += 1
        return self._memory[self._lent - 1][:size]


def _lies_like(target: Array, argument: Any) -> bool:
    """Whether an argument has an element, at the same place, for each element of the target, or one for all.

    It must not change while the target is written to.
    """
    if not isinstance(argument, np.ndarray):
        return True
    if argument is not target and np.may_share_memory(argument, target):
        return False
    return not argument.ndim or (argument.shape == target.shape and argument.flags.c_contiguous)


def _bounds(size: int, itemsize: int) -> Iterator[tuple[int, int]]:
    """Where blocks begin and end. They are of about one size, so that kernels for many elements are for all of them.

    >>> list(_bounds(300_000, 4))
    [(0, 100000), (100000, 200000), (200000, 300000)]
    """
    count = -(-size * itemsize // _BYTES)
    return pairwise(number * size // count for number in range(count + 1))


def _of(arguments: Sequence[Any], start: int, stop: int) -> list[Any]:
    return [each[start:stop] if isinstance(each, np.ndarray) and each.ndim else each for each in arguments]
