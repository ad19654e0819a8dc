"""Tensors made from less usual descriptions: `range`, with its end, and `empty_permuted`."""

from __future__ import annotations

import builtins
import math
import warnings
from collections.abc import Sequence
from typing import Any

from retrograd.dtypes import get_default_dtype
from retrograd.ops.creation import arange, empty
from retrograd.ops.shape import permute
from retrograd.tensor import Tensor

__all__ = ["empty_permuted", "range"]


def range(start: float, end: float, step: float = 1, **options: Any) -> Tensor:
    """The numbers ``start, start + step, ...`` up to `end`, which is among them; deprecated, use `arange`.

    Raises
    ------
    RuntimeError
        If `step` is zero or leads away from `end`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.range.html
    """
    warnings.warn(
        "retrograd.range is deprecated and will be removed in a future release because its behavior is inconsistent "
        "with Python's range builtin. Instead, use retrograd.arange, which produces values in [start, end).",
        UserWarning,
        stacklevel=2,
    )
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start:g} -> {end:g}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    out = options.get("out")
    dtype = options.pop("dtype", None) or (get_default_dtype() if out is None else out.dtype)
    count = math.floor((end - start) / step) + 1
    if not dtype.is_floating_point:
        start, step = int(start), int(step)
    return arange(start, start + step * (count - 0.5), step, dtype=dtype, **options)


def empty_permuted(size: Sequence[int], physical_layout: Sequence[int], **options: Any) -> Tensor:
    """An uninitialised tensor whose dimensions lie in memory in the order `physical_layout`, the outermost first.

    Raises
    ------
    RuntimeError
        If that is no order of the dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.empty_permuted.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.empty_permuted((2, 3, 5, 7), (0, 2, 3, 1)).stride()
    (105, 1, 21, 3)
    """
    ndim = len(size)
    if len(physical_layout) != ndim:
        raise RuntimeError(
            "Number of dimensions in size does not match the length of the physical_layout; i.e. "
            f"len(size) = {ndim} is not equal to len(physical_layout) = {len(physical_layout)}"
        )
    seen: set[int] = set()
    for place, axis in enumerate(physical_layout):
        if not 0 <= axis < ndim:
            raise RuntimeError(
                f"Dimension out of range (expected to be between 0 and {ndim - 1}, but got {axis} at index {place}).  "
                "NB: negative dims not currently supported; file an issue if you want it."
            )
        if axis in seen:
            raise RuntimeError("Duplicate dim not allowed")
        seen.add(axis)
    back = [list(physical_layout).index(axis) for axis in builtins.range(ndim)]
    requires_grad = options.pop("requires_grad", False)
    made = permute(empty([size[axis] for axis in physical_layout], **options), back)
    return made.requires_grad_(requires_grad)
