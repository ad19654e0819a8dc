"""Reading a picture at any places of it: the operators behind `grid_sample` and `affine_grid`.

Along each axis the value at a place is a sum over taps: whole positions near it, each with a weight that depends on
where the place lies between them. A tap is (position, weight, slope), the slope being the derivative of the weight by
the coordinate in the grid. The value is the sum over all combinations of taps, one of each axis; its derivative by a
coordinate is the same sum with slopes in place of weights along that axis. Both gradients and both tangents follow.

Layout: input (N, C, *spatial), grid (N, *places, axes), whose coordinates name the axes from the last one on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from retrograd.ops.declare import Array, op
from retrograd.ops.flags import flagged
from retrograd.ops.fused import fused
from retrograd.tensor import Tensor

__all__ = ["affine_grid_generator", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d"]

BILINEAR, NEAREST, BICUBIC = 0, 1, 2
ZEROS, BORDER, REFLECTION = 0, 1, 2

Ints = tuple[int, ...]
Tap = tuple[Any, Any, Any]

_CUBIC = -0.75
"""The free coefficient of the cubic convolution."""


# -- along one axis ------------------------------------------------------------------------------


def _padded(K: Any, u: Any, n: int, padding: int, align: bool) -> tuple[Any, Any]:
    """A coordinate brought to where there is something to read, and the derivative of that by what it was."""
    one = K.zeros_like(u) + 1
    if padding == ZEROS:
        return u, one
    turn = one
    if padding == REFLECTION:
        low, high = (0.0, n - 1.0) if align else (-0.5, n - 0.5)
        span = high - low
        if span <= 0:
            return K.zeros_like(u), K.zeros_like(u)
        away = abs(u - low)
        flips = K.floor(away / span)
        rest = away - flips * span
        odd = flips - 2 * K.floor(flips / 2) > 0.5
        turn = K.where(odd, -one, one) * K.where(u < low, -one, one)
        u = K.where(odd, span - rest, rest) + low
    inside = K.where(u <= 0, 0 * one, K.where(u >= n - 1, 0 * one, one))
    held = K.where(u <= 0, 0 * one, K.where(u >= n - 1, one * (n - 1), u))
    return held, turn * inside


def _taps(K: Any, g: Any, n: int, mode: int, padding: int, align: bool) -> list[Tap]:
    scale = (n - 1) / 2 if align else n / 2
    u = (g + 1) * scale if align else ((g + 1) * n - 1) * 0.5
    if mode == BICUBIC:
        return list(_cubic_taps(K, u, scale, n, padding, align))
    u, slope = _padded(K, u, n, padding, align)
    if mode == NEAREST:
        return [(K.round(u), K.zeros_like(u) + 1, K.zeros_like(u))]
    first = K.floor(u)
    part, slope = u - first, slope * scale
    return [(first, 1 - part, -slope), (first + 1, part, slope)]


def _cubic_taps(K: Any, u: Any, scale: float, n: int, padding: int, align: bool) -> Iterator[Tap]:
    first = K.floor(u)
    part, a = u - first, _CUBIC
    for k in (-1, 0, 1, 2):
        d = part - k if k <= 0 else k - part
        side = 1.0 if k <= 0 else -1.0
        if k in (0, 1):
            weight = ((a + 2) * d - (a + 3)) * d * d + 1
            slope = (3 * (a + 2) * d - 2 * (a + 3)) * d
        else:
            weight = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
            slope = (3 * a * d - 10 * a) * d + 8 * a
        yield _padded(K, first + k, n, padding, align)[0], weight, slope * (side * scale)


# -- all axes ------------------------------------------------------------------------------------


def _corners(
    K: Any, grid: Any, spatial: Ints, which: Sequence[int], mode: int, padding: int, align: bool
) -> Iterator[tuple[Any, list[Any]]]:
    """Each combination of taps: its places in the flat picture, (N, P), and what is asked for of weight and slopes.

    `which` names them: 0 for the weight, 1 + i for the slope along axis i. They are zero where the places are outside.
    """
    axes = len(spatial)
    flat = (grid.shape[0], math.prod(grid.shape[1:-1]))
    along = []
    for i, n in enumerate(spatial):
        coordinate = K.reshape(K.slice(grid, (*(slice(None),) * (axes + 1), axes - 1 - i)), flat)
        along.append(
            [(*_placed(K, position, n), *rest) for position, *rest in _taps(K, coordinate, n, mode, padding, align)]
        )
    for taps in product(*along):
        place, inside = None, None
        for (here, whole, _, _), n in zip(taps, spatial, strict=True):
            inside = here if inside is None else inside & here
            place = whole if place is None else place * n + whole
        # The slope along an axis has that of its tap in place of the tap's weight.
        weights = [_product([tap[3 if i == 1 + j else 2] for j, tap in enumerate(taps)]) for i in which]
        zero = K.zeros_like(weights[0])
        yield place, [K.where(inside, each, zero) for each in weights]


def _placed(K: Any, position: Any, n: int) -> tuple[Any, Any]:
    """Whether a position is inside, and the position, as a whole number: those of 16 bits do not tell many apart."""
    here = (position >= 0) & (position <= n - 1)
    return here, K.astype(K.where(here, position, K.zeros_like(position)), _int64(K, position))


def _int64(K: Any, like: Any) -> Any:
    """The type of indices: of the tensor's library, where `K` is of tensors."""
    return getattr(like, "_kernels", K).dtypes["int64"]


def _product(factors: list[Any]) -> Any:
    total = factors[0]
    for each in factors[1:]:
        total = total * each
    return total


def _wide(K: Any, places: Any, channels: int) -> Any:
    """(N, P) for every channel."""
    n, p = places.shape
    return K.broadcast_to(K.reshape(places, (n, 1, p)), (n, channels, p))


def _flat(K: Any, x: Any) -> Any:
    return K.reshape(x, (*x.shape[:2], math.prod(x.shape[2:])))


def _spatial(shape: Any) -> Ints:
    return tuple(shape[2:])


def _read(K: Any, input: Any, grid: Any, which: Any, *settings: Any) -> list[Any]:
    """For each of `which`, as in `_corners`, the sum over the taps, (N, C, P)."""
    flat, totals = _flat(K, input), [None] * len(which)
    for place, weights in _corners(K, grid, _spatial(input.shape), which, *settings):
        value = K.gather(flat, _wide(K, place, input.shape[1]), 2)
        for j, weight in enumerate(weights):
            part = value * K.reshape(weight, (weight.shape[0], 1, weight.shape[1]))
            totals[j] = part if totals[j] is None else totals[j] + part
    return totals


def _out(input: Any, grid: Any) -> Ints:
    return (*input.shape[:2], *grid.shape[1:-1])


def _input_vjp(
    K: Any, g: Any, grid: Any, input_shape: Ints, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Any:
    return fused(_spread)(K, g, grid, tuple(input_shape), interpolation_mode, padding_mode, align_corners)


def _grid_vjp(
    K: Any, g: Any, input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Any:
    axes = len(input.shape) - 2
    slopes = _read(K, input, grid, range(1, axes + 1), interpolation_mode, padding_mode, align_corners)
    flat = _flat(K, g)
    parts = [K.sum(flat * each, (1,), False) for each in reversed(slopes)]
    return K.reshape(K.stack(parts, 2), tuple(grid.shape))


def _input_jvp(K: Any, t: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Any:
    return fused(_samplers[grid.shape[-1]])(K, t, grid, interpolation_mode, padding_mode, align_corners)


def _grid_jvp(
    K: Any, t: Any, input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Any:
    axes = len(input.shape) - 2
    slopes = _read(K, input, grid, range(1, axes + 1), interpolation_mode, padding_mode, align_corners)
    total = None
    for i, slope in enumerate(slopes):
        along = K.slice(t, (*(slice(None),) * (axes + 1), axes - 1 - i))
        part = slope * K.reshape(along, (along.shape[0], 1, math.prod(along.shape[1:])))
        total = part if total is None else total + part
    return K.reshape(total, _out(input, grid))


def _spread_grid_vjp(
    K: Any, g: Any, grad: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Any:
    return _grid_vjp(K, grad, g, grid, interpolation_mode, padding_mode, align_corners)


def _spread_grid_jvp(
    K: Any, t: Any, grad: Any, grid: Any, shape: Ints, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Any:
    total = None
    flat, axes = _flat(K, grad), len(shape) - 2
    slopes = range(1, axes + 1)
    for place, weights in _corners(K, grid, shape[2:], slopes, interpolation_mode, padding_mode, align_corners):
        change = None
        for i in range(axes):
            along = K.slice(t, (*(slice(None),) * (axes + 1), axes - 1 - i))
            part = weights[i] * K.reshape(along, tuple(place.shape))
            change = part if change is None else change + part
        total = _added(K, total, flat, place, change, shape)
    return K.reshape(total, shape)


def _added(K: Any, total: Any, flat: Any, place: Any, weight: Any, shape: Ints) -> Any:
    values = flat * K.reshape(weight, (weight.shape[0], 1, weight.shape[1]))
    part = K.scatter_zeros(values, (*shape[:2], math.prod(shape[2:])), 2, _wide(K, place, shape[1]))
    return part if total is None else total + part


@op(
    name="_grid_sampler_spread",
    node="GridSamplerBackwardBackward0",
    vjp={
        "grad": lambda K, g, grid, interpolation_mode, padding_mode, align_corners: fused(_samplers[grid.shape[-1]])(
            K, g, grid, interpolation_mode, padding_mode, align_corners
        ),
        "grid": _spread_grid_vjp,
    },
    jvp={
        "grad": lambda K, t, grid, shape, interpolation_mode, padding_mode, align_corners: fused(_spread)(
            K, t, grid, shape, interpolation_mode, padding_mode, align_corners
        ),
        "grid": _spread_grid_jvp,
    },
)
def _spread(
    K, grad: Array, grid: Array, shape: Ints, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Array:
    """What was read added back to where it came from: the adjoint in the picture."""
    total, flat = None, _flat(K, grad)
    for place, (weight,) in _corners(K, grid, shape[2:], (0,), interpolation_mode, padding_mode, align_corners):
        total = _added(K, total, flat, place, weight, shape)
    return K.reshape(total, shape)


def _declare(dims: int) -> Any:
    @op(
        name=f"_grid_sampler_{dims}d",
        node=f"GridSampler{dims}DBackward0",
        vjp={"input": _input_vjp, "grid": _grid_vjp},
        jvp={"input": _input_jvp, "grid": _grid_jvp},
        kept=("input", "grid"),
    )
    def sampler(K, input: Array, grid: Array, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Array:
        """The picture at the places of the grid."""
        (value,) = _read(K, input, grid, (0,), interpolation_mode, padding_mode, align_corners)
        return K.reshape(value, _out(input, grid))

    return sampler


_samplers: dict[int, Any] = {dims: _declare(dims) for dims in (2, 3)}


@flagged
def grid_sampler(input: Tensor, grid: Tensor, mode: int, padding_mode: int, align_corners: bool) -> Tensor:
    """The picture at the places of the grid; `mode` and `padding_mode` as numbers.

    Raises
    ------
    RuntimeError
        If the shapes or types do not fit.
    """
    shape, places = list(input.shape), list(grid.shape)
    both = f"input with sizes {shape} and grid with sizes {places}"
    if shape[:1] != places[:1]:
        raise RuntimeError(f"grid_sampler(): expected grid and input to have same batch size, but got {both}")
    axes = input.ndim - 2
    if places[-1] != axes:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {axes} in last dimension, but got grid with sizes {places}"
        )
    for i, n in enumerate(shape[2:], 2):
        if n < 1:
            raise RuntimeError(
                f"grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes {shape} "
                f"with dimension {i} being empty"
            )
    if input.ndim not in (4, 5) or grid.ndim != input.ndim:
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got " + both
        )
    if mode == BICUBIC and axes == 3:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if input.dtype is not grid.dtype:
        raise RuntimeError(f"expected scalar type {input.dtype.type_name} but found {grid.dtype.type_name}")
    if not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"\"grid_sampler_{axes}d_cpu_kernel_impl\" not implemented for '{input.dtype.type_name}'"
        )
    return _samplers[axes](input, grid, mode, padding_mode, align_corners)


def grid_sampler_2d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """`grid_sampler` of pictures."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def grid_sampler_3d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """`grid_sampler` of volumes."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


# -- grids of affine maps ------------------------------------------------------------------------


def _base(K: Any, spatial: Ints, dtype: Any, align: bool) -> Any:
    """The homogeneous coordinates of all places, (P, axes + 1), the last axis first."""
    columns = []
    for i in reversed(range(len(spatial))):
        n = spatial[i]
        steps = K.astype(K.arange(0, n, 1, K.dtypes["int64"]), dtype)
        line = K.zeros_like(steps) if n == 1 else steps * (2 / (n - 1)) - 1
        line = line if align else line * ((n - 1) / n)
        along = tuple(n if i == j else 1 for j in range(len(spatial)))
        columns.append(K.reshape(K.broadcast_to(K.reshape(line, along), spatial), (-1,)))
    return K.stack([*columns, K.zeros_like(columns[0]) + 1], 1)


@op(
    name="_affine_grid_backward",
    node="AffineGridGeneratorBackwardBackward0",
    vjp={"grad": lambda K, g, size, align_corners: fused(_affine_grid)(K, g, size, align_corners)},
    jvp="linear",
)
def _affine_grid_backward(K, grad: Array, size: Ints, align_corners: bool) -> Array:
    """The adjoint of the grid in the maps."""
    base = _base(K, size[2:], grad.dtype, align_corners)
    flat = K.reshape(grad, (grad.shape[0], base.shape[0], grad.shape[-1]))
    return K.matmul(K.permute_dims(flat, (0, 2, 1)), base)


@op(
    name="_affine_grid_generator",
    node="AffineGridGeneratorBackward0",
    vjp={"theta": lambda K, g, size, align_corners: fused(_affine_grid_backward)(K, g, size, align_corners)},
    jvp="linear",
)
def _affine_grid(K, theta: Array, size: Ints, align_corners: bool) -> Array:
    """Where each affine map takes each place."""
    base = _base(K, size[2:], theta.dtype, align_corners)
    moved = K.matmul(base, K.permute_dims(theta, (0, 2, 1)))
    return K.reshape(moved, (theta.shape[0], *size[2:], theta.shape[1]))


@flagged
def affine_grid_generator(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """Where each affine map takes each place of a picture of that size."""
    if size[0] != theta.shape[0]:
        columns = theta.shape[1] + 1
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{size[0]}, {columns}] but got: "
            f"[{theta.shape[0]}, {columns}]."
        )
    return _affine_grid(theta, tuple(size), align_corners)
