"""Convolution and pooling on NumPy arrays, by windows and one matrix product.

Layout is PyTorch's: input (N, C, *spatial), weight (O, C / groups, *kernel); all settings are tuples with one
int per spatial axis.

Note [Columns]
    A convolution is a matrix product with the matrix whose rows are what each tap of the kernel sees: shape
    (groups, C / groups * taps, N * windows). It is as many times larger than the input as the kernel has
    taps, so it is made for as many samples at a time as keep it in the processor's cache: also the fastest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from retrograd.backends.numpy.indexing import counting, within
from retrograd.backends.numpy.layouts import strided
from retrograd.backends.windows import ceil_padding, convolved, offsets, pooled, taps

__all__ = ["KERNELS"]

Array = np.ndarray[Any, Any]
Ints = tuple[int, ...]
Around = tuple[tuple[int, int], ...]

_COLUMN_BYTES = 1 << 20


def _is_half(x: Array) -> bool:
    return x.dtype.itemsize == 2 and x.dtype.kind in "fV"


def _in_float32(function: Any) -> Any:
    """A kernel of two arrays that accumulates half types in float32."""

    def kernel(a: Array, b: Array, *settings: Any) -> Array:
        if _is_half(a):
            return function(a.astype(np.float32), b.astype(np.float32), *settings).astype(a.dtype)
        return function(a, b, *settings)

    return kernel


def _padded(x: Array, around: Around, value: Any) -> Array:
    if not any(before or after for before, after in around):
        return x
    lead, spatial = x.shape[: x.ndim - len(around)], x.shape[x.ndim - len(around) :]
    sizes = tuple(before + n + after for (before, after), n in zip(around, spatial, strict=True))
    out = np.full(lead + sizes, value, x.dtype)
    out[(..., *(slice(before, before + n) for (before, _), n in zip(around, spatial, strict=True)))] = x
    return out


def _columns(x: Array, kernel: Ints, out: Ints, stride: Ints, dilation: Ints, groups: int) -> Array:
    """See Note [Columns]; `x` is padded already."""
    samples, channels = x.shape[:2]
    steps = x.strides[2:]
    view = strided(
        x,
        (channels, *kernel, samples, *out),
        (
            x.strides[1],
            *(step * d for step, d in zip(steps, dilation, strict=True)),
            x.strides[0],
            *(step * s for step, s in zip(steps, stride, strict=True)),
        ),
    )
    return view.reshape(groups, channels // groups * math.prod(kernel), samples * math.prod(out))


def _chunks(samples: int, bytes_each: int) -> Iterator[slice]:
    """Slices of the batch whose columns fit the cache."""
    size = max(_COLUMN_BYTES // max(bytes_each, 1), 1)
    return (slice(start, min(start + size, samples)) for start in range(0, samples, size))


def _column_bytes(w_shape: Ints, groups: int, out: Ints, x: Array) -> int:
    return groups * math.prod(w_shape[1:]) * math.prod(out) * x.itemsize


def _by_group(g: Array, groups: int) -> Array:
    """(N, O, *out) as (groups, O / groups, N * windows)."""
    samples, channels = g.shape[:2]
    swapped = g.reshape(samples, channels, math.prod(g.shape[2:])).swapaxes(0, 1)
    return swapped.reshape(groups, channels // groups, samples * math.prod(g.shape[2:]))


@_in_float32
def convolution(x: Array, w: Array, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """Cross-correlation of `x` with `w`, as every framework's `conv`."""
    kernel = w.shape[2:]
    out = convolved(x.shape[2:], kernel, stride, padding, dilation)
    x = _padded(x, tuple((p, p) for p in padding), 0)
    matrix = w.reshape(groups, w.shape[0] // groups, -1)
    result = np.empty((x.shape[0], w.shape[0], *out), np.result_type(x, w))
    for chunk in _chunks(x.shape[0], _column_bytes(w.shape, groups, out, x)):
        part = np.matmul(matrix, _columns(x[chunk], kernel, out, stride, dilation, groups))
        result[chunk] = part.reshape(w.shape[0], -1, *out).swapaxes(0, 1)
    return result


@_in_float32
def convolution_input(
    g: Array, w: Array, input_shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Array:
    """The adjoint of `convolution` in its input."""
    reach = tuple(d * (k - 1) for d, k in zip(dilation, w.shape[2:], strict=True))
    is_dense = all(s == 1 for s in stride) and all(p <= r for p, r in zip(padding, reach, strict=True))
    if is_dense and w.shape[0] <= 2 * input_shape[1]:
        rest = tuple(r - p for r, p in zip(reach, padding, strict=True))
        return convolution(g, _turned(w, groups), stride, rest, dilation, groups)
    return _spread_shares(g, w, input_shape, stride, padding, dilation, groups)


def _turned(w: Array, groups: int) -> Array:
    """The kernel that convolves back: reversed in space, its channels exchanged."""
    split = w.reshape(groups, w.shape[0] // groups, *w.shape[1:]).swapaxes(1, 2)
    turned = np.flip(split, tuple(range(3, split.ndim)))
    return turned.reshape(groups * w.shape[1], w.shape[0] // groups, *w.shape[2:])


def _spread_shares(
    g: Array, w: Array, input_shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Array:
    """Add every tap's share of the gradient to where the tap read."""
    kernel, out, spatial = w.shape[2:], g.shape[2:], input_shape[2:]
    matrix = w.reshape(groups, w.shape[0] // groups, -1).swapaxes(1, 2)
    padded = tuple(n + 2 * p for n, p in zip(spatial, padding, strict=True))
    wide = np.zeros((*input_shape[:2], *padded), np.result_type(g, w))
    for chunk in _chunks(g.shape[0], _column_bytes(w.shape, groups, out, g)):
        shares = np.matmul(matrix, _by_group(g[chunk], groups))
        shares = shares.reshape(groups * w.shape[1], math.prod(kernel), -1, *out)
        target = wide[chunk].swapaxes(0, 1)
        for tap, offset in enumerate(offsets(kernel, dilation)):
            target[(..., *taps(offset, out, stride))] += shares[:, tap]
    inside = tuple(slice(p, p + n) for n, p in zip(spatial, padding, strict=True))
    return np.ascontiguousarray(wide[(..., *inside)])


@_in_float32
def convolution_weight(
    g: Array, x: Array, weight_shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Array:
    """The adjoint of `convolution` in its weight."""
    kernel, out = weight_shape[2:], g.shape[2:]
    x = _padded(x, tuple((p, p) for p in padding), 0)
    total = np.zeros((groups, weight_shape[0] // groups, math.prod(weight_shape[1:])), np.result_type(g, x))
    for chunk in _chunks(x.shape[0], _column_bytes(weight_shape, groups, out, x)):
        columns = _columns(x[chunk], kernel, out, stride, dilation, groups)
        total += np.matmul(_by_group(g[chunk], groups), columns.swapaxes(1, 2))
    return total.reshape(weight_shape)


def max_pool(
    x: Array, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool
) -> tuple[Array, Array]:
    """The largest element of each window, and its position in the flattened spatial axes of `x`.

    NaN counts as the largest; of equal elements the first is taken. Padding is never taken.
    """
    ways = _ways(x.shape[x.ndim - len(kernel) :], kernel, stride, padding, dilation, ceil_mode)
    if x.size * len(ways.places) <= _LITTLE and (found := _pooled_at_once(x, ways)) is not None:
        return found
    padded = _padded(x, ways.around, _lowest(x.dtype)) if ways.pads else x
    has_nan = x.dtype.kind in "fV" and bool(np.isnan(x).any())
    value = padded[(..., *ways.places[0])].copy()
    chosen = np.zeros(value.shape, ways.number)  # the number of the largest tap
    for number, place in enumerate(ways.places[1:], 1):
        seen = padded[(..., *place)]
        better = np.greater(seen, value)
        if has_nan:
            better |= np.isnan(seen)
        np.maximum(value, seen, out=value)
        np.copyto(chosen, number, where=better)
    if ways.pads:
        _avoid_padding(value, chosen, ways)
    positions = ways.within.take(chosen)
    for start in ways.starts:
        positions += start
    return value, positions


_LITTLE = 1 << 13  # elements seen, up to which one look at all windows is quicker than one at each tap


def _pooled_at_once(x: Array, ways: _Ways) -> tuple[Array, Array] | None:
    """`max_pool` by one look at all that all windows see; None where that does not do."""
    if ways.seen is None or x.dtype.kind not in "fiu":
        return None
    seen = x.reshape(-1, math.prod(ways.spatial)).take(ways.seen, 1)
    chosen = seen.argmax(2)
    chosen += ways.rows
    positions = ways.seen.take(chosen)
    if len(chosen) > 1:
        chosen += (counting(len(chosen)) * ways.seen.size).reshape(-1, 1)
    value = seen.take(chosen)
    if x.dtype.kind == "f" and np.isnan(value).any():  # of which the last is to be chosen
        return None
    shape = (*x.shape[: x.ndim - len(ways.out)], *ways.out)
    return value.reshape(shape), positions.reshape(shape)


class _Ways:
    """What the windows of a pool are, whatever is in them.

    Attributes
    ----------
    around, pads
        What is put around the input, for each axis before and behind it, and whether that is anything.
    places
        What each tap sees of the padded input.
    number
        The type of the number of a tap.
    out
        The spatial shape of the result.
    within, starts
        Positions in the flattened input: of each tap in its window, and, by axis, of the windows.
    seen, rows
        By window and tap the position in the flattened input, that of another tap for one in the padding, and by window
        the number of its first position there; None where there are many, or a window is all padding.
    """

    __slots__ = ("around", "number", "out", "pads", "places", "rows", "seen", "spatial", "starts", "within")

    def __init__(
        self, spatial: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool
    ) -> None:
        out = pooled(spatial, kernel, stride, padding, dilation, ceil_mode)
        self.spatial, self.out = spatial, out
        self.around = ceil_padding(spatial, out, kernel, stride, padding, dilation)
        self.pads = any(before or after for before, after in self.around)
        self.places = [taps(offset, out, stride) for offset in offsets(kernel, dilation)]
        self.number = np.min_scalar_type(len(self.places))
        steps = [math.prod(spatial[axis + 1 :]) for axis in range(len(spatial))]
        self.within = np.array(list(offsets(kernel, dilation)), np.int64) @ np.array(steps, np.int64)
        self.starts = []
        for axis, (m, s, p, step) in enumerate(zip(out, stride, padding, steps, strict=True)):
            starts = (np.arange(m, dtype=np.int64) * s - p) * step
            self.starts.append(starts.reshape((m,) + (1,) * (len(out) - axis - 1)))
        self.seen, self.rows = self._table() if math.prod(out) * len(self.places) <= _LITTLE else (None, None)

    def _table(self) -> tuple[Array | None, Array | None]:
        sizes = zip(self.spatial, self.around, strict=True)
        padded = np.full([before + n + after for n, (before, after) in sizes], -1, np.int64)
        inner = tuple(slice(before, before + n) for n, (before, _) in zip(self.spatial, self.around, strict=True))
        padded[inner] = np.arange(math.prod(self.spatial)).reshape(self.spatial)
        seen = np.stack([padded[place].reshape(-1) for place in self.places], 1)
        inside = seen.max(1, keepdims=True)
        if (inside < 0).any():
            return None, None
        first = np.take_along_axis(seen, (seen >= 0).argmax(1)[:, None], 1)
        return np.where(seen < 0, first, seen), np.arange(len(seen)) * len(self.places)


_ways = lru_cache(64)(_Ways)  # as many as there are pools in a program


def _avoid_padding(value: Array, chosen: Array, ways: _Ways) -> None:
    """Where nothing is larger than the padding, choose the first tap that is not in it."""
    lowest = value == _lowest(value.dtype)
    if lowest.any():
        inside = _padded(np.ones(ways.spatial, np.bool_), ways.around, False)
        first = np.argmax(np.stack([inside[place] for place in ways.places]), axis=0)
        np.copyto(chosen, first.astype(chosen.dtype), where=lowest)


def _lowest(dtype: Any) -> Any:
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def nll(x: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int) -> Any:
    """Minus the log-probability `x` of each target's class, (N, C) and (N), each class counting as `weight` says."""
    classes, counts = _picked(x.shape, target, weight, ignore_index, x.dtype)
    value = np.negative(x[classes], order="C")
    if counts is not None:
        value = np.where(counts == 0, np.zeros((), x.dtype), value * counts)
    if reduction == "none":
        return value
    total = np.add.reduce(value, None)
    if reduction == "sum":
        return total
    return total / x.dtype.type(value.size if counts is None else counts.sum())


def nll_adjoint(g: Array, target: Array, weight: Array | None, shape: Ints, reduction: str, ignore_index: int) -> Array:
    """Zeros of `shape` with minus the gradient at each target's class: the adjoint of `nll`."""
    classes, counts = _picked(shape, target, weight, ignore_index, g.dtype)
    if reduction == "mean":
        g = g / g.dtype.type(target.size if counts is None else counts.sum())
    out = np.zeros(shape, g.dtype)
    out[classes] = -g if counts is None else np.where(counts == 0, np.zeros((), g.dtype), -counts * g)
    return out


def _picked(
    shape: Ints, target: Array, weight: Array | None, ignore_index: int, dtype: Any
) -> tuple[tuple[Any, ...], Array | None]:
    """The index of each target's class in an array of `shape`, whose second axis (or only one) is the class.

    And what each target counts, or None if all count the same.

    Raises
    ------
    IndexError
        If a target that is not to be ignored is no class.
    """
    count = shape[1] if len(shape) > 1 else shape[0]
    counts = None
    if weight is not None or 0 <= ignore_index < count or not target.size or not within(target, count):
        ignored = target == ignore_index
        wrong = ~ignored & ((target < 0) | (target >= count))
        if wrong.any():
            raise IndexError(f"Target {target[wrong].flat[0]} is out of bounds.")
        target = np.where(ignored, 0, target)
        counts = (~ignored).astype(dtype) if weight is None else weight[target] * ~ignored
    if len(shape) == 1:
        return (target,), counts
    if len(shape) == 2:
        return (counting(target.shape[0]), target), counts
    first, *rest = np.ogrid[tuple(slice(n) for n in target.shape)]
    return (first, target, *rest), counts


KERNELS: dict[str, Any] = {
    "convolution": convolution,
    "convolution_input": convolution_input,
    "convolution_weight": convolution_weight,
    "max_pool": max_pool,
    "nll": nll,
    "nll_adjoint": nll_adjoint,
}
