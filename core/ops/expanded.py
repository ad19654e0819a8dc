"""Filling and indexed writing of expanded tensors, several elements of which are one in memory.

PyTorch warns of these and writes: an element in memory gets the value if any of the positions that stand for it is hit.
So they run on the first of these positions alone, with a mask or indices that tell of all of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from math import prod
from typing import Any

from retrograd.autograd.cautions import level_of_caller
from retrograd.autograd.modes import current_mode
from retrograd.autograd.rebase import check_writable
from retrograd.dtypes import bool_
from retrograd.ops.shape import narrow
from retrograd.storage import expanded_dims
from retrograd.tensor import Tensor

__all__ = ["Fold", "folding", "in_memory", "once", "trimming", "warn"]

Fold = Callable[..., tuple[Any, ...]]


def in_memory(target: Tensor) -> tuple[Tensor, Tensor] | None:
    """The memory of a tensor of which some elements are one without its being expanded, and where they lie in it.

    What is written to some places of such a tensor is written there: to write all of it would undo it elsewhere.
    """
    meta = target._tensor_meta
    if meta is None or meta.storage is None or target._kernels.level or target.is_contiguous():
        return None
    if not target._layout().overlaps_itself():
        return None
    from retrograd.ops.creation import arange

    layout, count = target._layout(), prod(meta.storage.array.shape)
    places = arange(count, device=target.device).as_strided(layout.shape, layout.strides, layout.offset)
    return target.as_strided((count,), (1,), 0), places


def folding(in_place: Callable[..., Tensor], fold: Fold, select: Fold) -> Callable[..., Tensor]:
    """`in_place`, which on an expanded tensor runs on what `fold` makes of the dimensions and its arguments.

    Of places in memory and its arguments, `select` makes those places that are written to, and the value.
    """

    @wraps(in_place)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        dims = expanded_dims(self)
        if not dims:
            if (overlapping := in_memory(self)) is None:
                return in_place(self, *args, **kwargs)
            memory, everywhere = overlapping
            at, written = select(everywhere, *args, **kwargs)
            memory[at] = written
            return self
        warn(method.__name__, "mask] = scalar")
        *places, value = fold(self, dims, *args, **kwargs)
        in_place(once(self, dims, value), *places, value)
        return self

    return method


def trimming(in_place: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`triu_` or `tril_`, by which an element of an expanded tensor becomes zero if it does anywhere."""

    @wraps(in_place)
    def method(self: Tensor, diagonal: int = 0) -> Tensor:
        dims = expanded_dims(self)
        if not dims:
            return in_place(self, diagonal)
        from retrograd.ops.creation import ones

        gone = in_place(ones(self.shape, dtype=bool_, device=self.device), diagonal).logical_not()
        for dim in dims:
            gone = gone.any(dim, keepdim=True)
        once(self, dims, None).masked_fill_(gone, 0)
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
    warnings.warn(
        f"Use of {name} on expanded tensors is deprecated. Please clone() the tensor before performing this "
        f"operation. This also applies to advanced indexing e.g. tensor[{key}",
        UserWarning,
        stacklevel=level_of_caller(),
    )
