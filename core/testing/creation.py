"""`make_tensor`: tensors of random values for tests."""

from __future__ import annotations

import math
import warnings
from typing import Any

from retrograd.dtypes import DTYPES, bool_, dtype, finfo, iinfo
from retrograd.ops.declare import publics
from retrograd.ops.factories import empty, full
from retrograd.tensor import Tensor

__all__ = ["make_tensor"]


def make_tensor(
    *shape: Any,
    dtype: dtype,
    device: Any,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor of random values, drawn uniformly from ``[low, high)``.

    Parameters
    ----------
    shape
        Sizes, or one sequence of them.
    dtype, device
        Of what type and where.
    low, high
        Where the values lie: by default ``[0, 2)`` for `bool`, ``[-9, 10)`` for whole
        numbers, ``[-9, 9)`` for floating-point and complex ones, both parts of them. Bounds beyond what the
        type can hold are those of the type.
    requires_grad
        Whether it records; for floating-point and complex types.
    noncontiguous
        Its elements do not lie next to each other in memory. A tensor of less than two elements is contiguous.
    exclude_zero
        In place of zeros stands the smallest number above it that the type has (for whole numbers, 1).
    memory_format
        Accepted where `noncontiguous` is False.

    Raises
    ------
    ValueError
        If the bounds make no interval or the type has no number in it, or whole numbers shall require a gradient.
    TypeError
        If there is no such type.

    Source: https://docs.pytorch.org/docs/stable/testing.html#torch.testing.make_tensor

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.testing import make_tensor
    >>> x = make_tensor(2, 3, dtype=retrograd.float32, device="cpu", low=1, requires_grad=True)
    >>> x.shape, bool((x >= 1).all()), x.requires_grad
    (retrograd.Size([2, 3]), True, True)
    """
    sizes = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else tuple(shape)
    kind: Any = dtype
    if kind not in DTYPES.values():
        raise TypeError(
            f"The requested dtype '{kind}' is not supported by retrograd.testing.make_tensor(). To request support, "
            "file an issue at: https://github.com/pytorch/pytorch/issues"
        )
    differentiable = kind.is_floating_point or kind.is_complex
    if requires_grad and not differentiable:
        raise ValueError(f"`requires_grad=True` is not supported for boolean and integral dtypes, but got dtype={kind}")
    if noncontiguous and memory_format is not None:
        raise ValueError(
            "The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got "
            f"noncontiguous={noncontiguous} and memory_format={memory_format}"
        )
    start, end = _bounds(kind, low, high)
    made = _filled(sizes, kind, device, start, end)
    if noncontiguous and made.numel() > 1:
        made = publics["repeat_interleave"](made, 2, dim=-1)[..., ::2]
    if exclude_zero:
        least = finfo(kind).smallest_normal if differentiable else 1
        made[made == 0] = complex(least, least) if kind.is_complex else least
    return made.requires_grad_(requires_grad) if requires_grad else made


def _range_of(kind: dtype) -> tuple[float, float, tuple[float, float]]:
    """The least number of a type and the greatest (for whole numbers, the one after it), and the default bounds."""
    if kind is bool_:
        return 0, 2, (0, 2)
    if kind.is_floating_point or kind.is_complex:
        greatest = finfo(kind).max
        return -greatest, greatest, (-9, 9)
    limits = iinfo(kind)
    return limits.min, limits.max + (kind.itemsize < 8), (-9, 10)


def _bounds(kind: dtype, low: float | None, high: float | None) -> tuple[float, float]:
    least, greatest, (default_low, default_high) = _range_of(kind)
    start = default_low if low is None else low
    end = default_high if high is None else high
    if any(math.isnan(each) for each in (start, end)):
        raise ValueError(f"`low` and `high` cannot be NaN, but got low={low} and high={high}")
    differentiable = kind.is_floating_point or kind.is_complex
    if start == end and differentiable:
        warnings.warn(
            "Passing `low==high` to `retrograd.testing.make_tensor` for floating or complex types is deprecated since "
            "2.1 and will be removed in 2.3. Use `retrograd.full(...)` instead.",
            FutureWarning,
            stacklevel=3,
        )
    elif start >= end:
        raise ValueError(f"`low` must be less than `high`, but got {start} >= {end}")
    elif end < least or start >= greatest:
        raise ValueError(
            f"The value interval specified by `low` and `high` is [{start}, {end}), but {kind} only supports "
            f"[{least}, {greatest})"
        )
    start, end = (min(max(each, least), greatest) for each in (start, end))
    return (start, end) if differentiable else (math.ceil(start), math.ceil(end))


def _filled(sizes: tuple[int, ...], kind: dtype, device: Any, start: float, end: float) -> Tensor:
    if kind.is_complex:
        parts = [_filled(sizes, kind.to_real(), device, start, end) for _ in range(2)]
        return publics["complex"](*parts)
    if start == end and kind.is_floating_point:
        return full(sizes, start, dtype=kind, device=device)
    made = empty(sizes, dtype=kind, device=device)
    if not kind.is_floating_point:
        return made.random_(int(start), int(end))
    # The width of the widest interval is beyond the type's range: draw from half of it.
    scale = 2.0 if math.isinf(end - start) or end - start > finfo(kind).max else 1.0
    return made.uniform_(start / scale, end / scale).mul_(scale)
