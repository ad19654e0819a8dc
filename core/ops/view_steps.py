"""The steps of views, made from the arguments of view operators.

Note [Steps that come again]
    A program takes the same few views over and over. A step is a record that nobody changes, so that one made before
    does, and with it go the checks of what it was made from.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from retrograd.ops.arguments import wrap_dim
from retrograd.views import Permute, Reshape, Slice, Unsqueeze

__all__ = ["permuting", "reshaping", "slicing", "swapping", "unsqueezing"]


@lru_cache(1024)
def permuting(axes: tuple[int, ...], ndim: int) -> Permute:
    """The step to a view with the dimensions in that order."""
    if len(axes) != ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = {len(axes)}"
        )
    wrapped = tuple(wrap_dim(each, ndim) for each in axes)
    if len(set(wrapped)) != len(wrapped):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return Permute(wrapped)


@lru_cache(1024)
def swapping(ndim: int, dim0: int, dim1: int) -> Permute:
    """The step to a view with two dimensions swapped."""
    axes = list(range(ndim))
    if axes:
        axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    return Permute(tuple(axes))


@lru_cache(1024)
def unsqueezing(shape: tuple[int, ...], at: int) -> Unsqueeze:
    """The step to a view with a new dimension of size 1 at `at`."""
    return Unsqueeze((*shape[:at], 1, *shape[at:]), at)


@lru_cache(1024)
def slicing(ahead: tuple[int, ...], item: Any) -> Slice:
    """The step to a part of the dimension behind those of the sizes `ahead`."""
    return Slice((*[(0, n, 1) for n in ahead], item))


reshaping = lru_cache(1024)(Reshape)
"""The step to a view of that shape."""
