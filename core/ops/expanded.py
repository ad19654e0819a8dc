"""Filling and indexed writing of expanded tensors, several elements of which are one in memory.

PyTorch warns of these and writes: an element in memory gets the value if any of the positions that stand for it is hit.
So they run on the first of these positions alone, with a mask or indices that tell of all of them.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from retrograd.autograd.modes import current_mode
from retrograd.autograd.rebase import check_writable
from retrograd.ops.shape import narrow
from retrograd.storage import expanded_dims
from retrograd.tensor import Tensor

__all__ = ["Fold", "folding", "once", "warn"]

Fold = Callable[..., tuple[Any, ...]]


def folding(in_place: Callable[..., Tensor], fold: Fold) -> Callable[..., Tensor]:
    """`in_place`, which on an expanded tensor runs on what `fold` makes of the dimensions and its arguments."""

    @wraps(in_place)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        dims = expanded_dims(self)
        if not dims:
            return in_place(self, *args, **kwargs)
        warn(method.__name__, "mask] = scalar")
        *places, value = fold(self, dims, *args, **kwargs)
        in_place(once(self, dims, value), *places, value)
        return self

    return method


def once(target: Tensor, dims: Sequence[int], value: Any) -> Tensor:
    """The part of `target` that has each element once; refused where the graph forbids to write `value` to it."""
    mode = current_mode()
    check_writable(target, mode, mode.grad and (target.requires_grad or getattr(value, "requires_grad", False)))
    for dim in dims:
        target = narrow(target, dim, 0, 1)
    return target


def warn(name: str, key: str) -> None:
    """PyTorch's warning, at the line outside of this library."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("retrograd."):
        frame, level = frame.f_back, level + 1
    warnings.warn(
        f"Use of {name} on expanded tensors is deprecated. Please clone() the tensor before performing this "
        f"operation. This also applies to advanced indexing e.g. tensor[{key}",
        UserWarning,
        stacklevel=level,
    )
