"""Histograms with edges, quantiles without NaN, the parts of floating-point numbers, and places in a fixed number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from retrograd.autograd.modes import no_grad
from retrograd.dtypes import float32, float64, int32, int64
from retrograd.levels import is_mapped
from retrograd.ops import return_types
from retrograd.ops.arrange import cat
from retrograd.ops.autocasting import in_float32
from retrograd.ops.batching import sample_by_sample
from retrograd.ops.checks import least_and_greatest
from retrograd.ops.counting import searchsorted
from retrograd.ops.declare import composite
from retrograd.ops.factories import full, linspace, ones, zeros
from retrograd.ops.flags import flagged
from retrograd.ops.grouped import one_node
from retrograd.ops.indexing import nonzero
from retrograd.ops.reducing import reduction
from retrograd.ops.selection import _check_quantile, _quantiles
from retrograd.ops.underived import underived
from retrograd.tensor import Tensor

__all__: list[str] = []


# -- histograms ----------------------------------------------------------------------------------


def _edges(values: Tensor, bins: Any, bounds: tuple[float, float] | None, dimension: int) -> Tensor:
    """The edges of the bins of one coordinate."""
    if isinstance(bins, Tensor):
        return bins
    if bins <= 0:
        raise RuntimeError(f"retrograd.histogram(): bins must be > 0, but got {bins} for dimension {dimension}")
    if bounds is None:
        low, high = least_and_greatest(values, float) if values.numel() else (0.0, 1.0)
    else:
        low, high = bounds
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"retrograd.histogramdd: dimension {dimension}'s range [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError(
            f"retrograd.histogramdd: min should not exceed max, but got min {low:g} max {high:g} for "
            f"dimension {dimension}"
        )
    if low == high:
        low, high = low - 0.5, high + 0.5
    return linspace(low, high, bins + 1, dtype=values.dtype, device=values.device)


def _counts(points: Tensor, edges: list[Tensor], weight: Tensor | None, density: bool) -> Tensor:
    """How many points (n, dimensions), or how much weight, lie in each cell; all of it one if `density`."""
    shape = [each.numel() - 1 for each in edges]
    place = zeros(points.shape[0], dtype=int64, device=points.device)
    inside = place == 0
    for axis, (each, size) in enumerate(zip(edges, shape, strict=True)):
        values = points[:, axis].contiguous()
        found = searchsorted(each, values, right=True) - 1
        found = found - (values == each[-1]).long()  # the last bin has its right edge too
        inside = inside & (found >= 0) & (found < size) & (values <= each[-1])
        place = place * size + found.clamp(0, size - 1)
    share = ones(points.shape[0], dtype=points.dtype, device=points.device) if weight is None else weight.reshape(-1)
    cells = 1
    for size in shape:
        cells *= size
    made = zeros(cells, dtype=points.dtype, device=points.device)
    made = made.scatter_add(0, place, share * inside.to(points.dtype)).reshape(shape)
    if density:
        made = made / made.sum()
        for axis, each in enumerate(edges):
            made = made / each.diff().reshape([-1 if i == axis else 1 for i in range(len(edges))])
    return made


def _refuse_integers(input: Tensor) -> None:
    if input.dtype not in (float32, float64):
        raise NotImplementedError(f"\"histogramdd\" not implemented for '{input.dtype.type_name}'")


@composite
@flagged
@underived("histogram", "input", "bins", "weight")
def histogram(
    input: Tensor, bins: Any, *, range: Sequence[float] | None = None, weight: Tensor | None = None,
    density: bool = False,
) -> Any:  # fmt: skip
    """How many elements lie in each bin, and the edges of the bins.

    Parameters
    ----------
    bins
        Their number, or the edges, in order.
    range
        The outer edges; by default the least and the greatest element.
    weight
        What each element counts.
    density
        Whether the values are such that the integral over the bins is one.

    Raises
    ------
    RuntimeError
        If there are no bins, or the range is empty.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.histogram.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.histogram(retrograd.tensor([1.0, 2.0, 1.0]), bins=4, range=(0.0, 3.0)).hist
    tensor([0., 2., 1., 0.])
    """
    _refuse_integers(input)
    if any(isinstance(each, Tensor) and is_mapped(each) for each in (input, bins, weight)):
        name = f"histogram.{'bins_tensor' if isinstance(bins, Tensor) else 'bin_ct'}"
        return sample_by_sample(name, histogram, input, bins, range=range, weight=weight, density=density)
    points = input.reshape(-1, 1)
    edges = _edges(points, bins, None if range is None else (range[0], range[1]), 0)
    return return_types.histogram(_counts(points, [edges], weight, density), edges)


@composite
@flagged
def histogramdd(
    input: Tensor, bins: Any, *, range: Sequence[float] | None = None, weight: Tensor | None = None,
    density: bool = False,
) -> Any:  # fmt: skip
    """A histogram of points, whose coordinates lie in the last dimension.

    `bins` is the number of bins, or one for each coordinate, or a sequence of edges; `range` has two numbers for each
    coordinate, leftmost first.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.histogramdd.html

    Examples
    --------
    >>> import retrograd
    >>> points = retrograd.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [2.0, 2.0]])
    >>> retrograd.histogramdd(points, bins=[3, 3]).hist
    tensor([[0., 1., 0.],
            [1., 0., 0.],
            [1., 0., 1.]])
    """
    _refuse_integers(input)
    coordinates = input.shape[-1]
    each: list[Any] = [bins] * coordinates if isinstance(bins, int) else list(bins)
    if len(each) != coordinates:
        raise RuntimeError(
            "retrograd.histogramdd: The size of bins must be equal to the innermost dimension of the input."
        )
    if each and all(isinstance(one, Tensor) for one in each):
        return return_types.histogramdd(_counts_between(input, each, weight, density), tuple(each))
    edges = _all_edges(input, each, range, weight)
    return return_types.histogramdd(_counts_of_bins(input, edges, weight, density), edges)


@underived("_histogramdd_bin_edges", "input", "weight")
def _all_edges(
    input: Tensor, bins: list[Any], range: Sequence[float] | None, weight: Tensor | None
) -> tuple[Tensor, ...]:
    points = input.reshape(-1, input.shape[-1])
    bounds = [None if range is None else (range[2 * axis], range[2 * axis + 1]) for axis, _ in enumerate(bins)]
    return tuple(_edges(points[:, axis], one, bounds[axis], axis) for axis, one in enumerate(bins))


def _point_counts(input: Tensor, edges: Sequence[Tensor], weight: Tensor | None, density: bool) -> Tensor:
    return _counts(input.reshape(-1, input.shape[-1]), list(edges), weight, density)


_counts_of_bins = underived("_histogramdd_from_bin_cts", "input", "weight")(_point_counts)
_counts_between = underived("_histogramdd_from_bin_tensors", "input", "edges", "weight")(_point_counts)


# -- others --------------------------------------------------------------------------------------


@reduction
@in_float32
def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """`quantile` of the elements that are not NaN; NaN where all are.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nanquantile.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nanquantile(retrograd.tensor([float("nan"), 1.0, 2.0]), 0.5)
    tensor(1.5000)
    """
    _check_quantile(input, q, interpolation)
    found: Tensor = _quantiles(input, q, dim, keepdim, interpolation, True)
    return found


@composite
def frexp(input: Tensor) -> Any:
    """Mantissas, of sizes in [0.5, 1), and exponents: ``input = mantissa * 2**exponent``.

    Raises
    ------
    RuntimeError
        If the input is not in floating point.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.frexp.html

    Examples
    --------
    >>> import retrograd
    >>> m, e = retrograd.frexp(retrograd.tensor([1.0, 10.0]))
    >>> m, e
    (tensor([0.5000, 0.6250]), tensor([1, 4], dtype=retrograd.int32))
    """
    if not input.is_floating_point():
        raise RuntimeError("retrograd.frexp() only supports floating-point dtypes")
    return return_types.frexp(*_parts(input))


@one_node("FrexpBackward0", "input", outputs=(0,), saves="exponent=result1")
def _parts(input: Tensor) -> tuple[Tensor, Tensor]:
    with no_grad():
        size = input.detach().abs()
        ordinary = size.isfinite() & (size > 0)
        exponent = size.masked_fill(~ordinary, 0.5).to(float64).log2().floor() + 1
        scaled = size.to(float64) * (-exponent).exp2()
        exponent = exponent + (ordinary & (scaled >= 1)) - 1.0 * (ordinary & (scaled < 0.5))
        exponent = exponent.masked_fill(~ordinary, 0.0)
        half = (exponent / 2).floor()  # of a number near zero, one factor might overflow
        factors = [(-each).exp2().to(input.dtype) for each in (half, exponent - half)]
    return input * factors[0] * factors[1], exponent.to(int32)


@composite
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """The first `size` places of what is not zero; where there are fewer, rows of `fill_value` at the end.

    Raises
    ------
    RuntimeError
        If `size` is negative.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nonzero_static.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nonzero_static(retrograd.tensor([1, 0, 2]), size=3).T
    tensor([[ 0,  2, -1]])
    """
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    if is_mapped(input):
        found: Tensor = sample_by_sample("nonzero_static", nonzero_static, input, size=size, fill_value=fill_value)
        return found
    places = nonzero(input)[:size]
    rest = full((size - places.shape[0], input.ndim), fill_value, dtype=int64, device=input.device)
    return cat([places, rest])
