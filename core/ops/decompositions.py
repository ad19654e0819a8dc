"""Every optional kernel, composed of required ones.

`complete` fills the table of a backend that has no fused kernel of its own for one of
`retrograd.backends.spec.OPTIONAL`. A function here is called like the kernel, with the table in
front.

These run on whatever a backend offers, so they are plain rather than fast: a backend for training
should bring its own convolutions.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from retrograd.backends.hosted import (
    cholesky as cholesky,
    cofactor as cofactor,
    det as det,
    eig as eig,
    eigh as eigh,
    fft as fft,
    geqrf as geqrf,
    inv as inv,
    ldl as ldl,
    ldl_solve as ldl_solve,
    lu as lu,
    matrix_exp as matrix_exp,
    qr as qr,
    slogdet as slogdet,
    solve as solve,
    solve_triangular as solve_triangular,
    svd as svd,
)
from retrograd.backends.spec import OPTIONAL
from retrograd.backends.windows import ceil_padding, convolved, offsets, pooled, taps

__all__ = ["complete", "derived"]

Array = Any
Ints = tuple[int, ...]


derived: dict[str, Callable[..., Array]] = {}
"""Bodies of operators that formulas call by a name of their own (`@op(graph=...)`), by that name."""


def complete(k: Any) -> Any:
    """The table `k`, with a decomposition for each optional kernel that it lacks."""
    for name, body in derived.items():
        if name not in vars(k):
            setattr(k, name, partial(body, k))
    for name in OPTIONAL:
        if name not in vars(k):
            setattr(k, name, _bound(k, globals()[name]))
    return k


def _bound(k: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """The decomposition as a kernel of `k`; as one program, where the backend compiles formulas."""
    if k.compile is None:
        return partial(function, k)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    static = tuple(i for i, each in enumerate(parameters) if each.annotation not in _DYNAMIC)
    return partial(k.compile(function, static), k)


_DYNAMIC = ("Array", "Array | None", "Any")
"""How arguments that are arrays, or may be, are annotated here."""


# -- elementwise -------------------------------------------------------------------------------


def as_real(K: Any, x: Array) -> Array:
    """Complex numbers as pairs of real ones, in a new last axis; a view, where arrays can be written to."""
    return K.stack([K.real(x), K.imag(x)], len(x.shape))


def as_complex(K: Any, x: Array) -> Array:
    """Pairs of real numbers, in the last axis, as complex ones; a view, as above."""
    lead = (slice(None),) * (len(x.shape) - 1)
    return K.complex(K.slice(x, (*lead, 0)), K.slice(x, (*lead, 1)))


def clip(K: Any, x: Array, low: Any, high: Any) -> Array:
    """`x` with a lower and an upper bound, either of which may be None."""
    if low is not None:
        x = K.maximum(x, low)
    return x if high is None else K.minimum(x, high)


def erfc(K: Any, x: Array) -> Array:
    """1 - erf(x); of little relative accuracy far to the right, where a fused kernel has it all."""
    return K.subtract(_scalar(K, 1, x), K.erf(x))


def gcd(K: Any, a: Array, b: Array) -> Array:
    """The greatest common divisor of integers, by Euclid: numbers of 64 bits are done in 92 steps."""
    a, b = K.abs(a), K.abs(b)
    for _ in range(92):
        done = K.equal(b, _scalar(K, 0, b))
        if K.compile is None and bool(K.to_host(done).all()):
            break
        rest = K.remainder(a, K.where(done, _scalar(K, 1, b), b))
        a, b = K.where(done, a, b), K.where(done, b, rest)
    return a


_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def polygamma(K: Any, order: int, x: Array) -> Array:
    """The derivative of order `order` of `digamma`, for positive `x`: Euler and Maclaurin's sum.

    ``(-1)**(order + 1) * order! * sum((x + k)**-(order + 1) for k in 0, 1, ...)``
    """
    s, terms = order + 1, 12

    def power(shift: int, exponent: int) -> Array:
        return K.pow(K.add(x, _scalar(K, shift, x)), _scalar(K, -exponent, x))

    total = K.multiply(power(terms, s), _scalar(K, 0.5, x))
    total = K.add(total, K.multiply(power(terms, s - 1), _scalar(K, 1 / (s - 1), x)))
    for shift in range(terms):
        total = K.add(total, power(shift, s))
    for j, number in enumerate(_BERNOULLI, 1):
        weight = number * math.prod(range(s, s + 2 * j - 1)) / math.factorial(2 * j)
        total = K.add(total, K.multiply(power(terms, s + 2 * j - 1), _scalar(K, weight, x)))
    return K.multiply(total, _scalar(K, (-1) ** s * math.factorial(order), x))


def reciprocal(K: Any, x: Array) -> Array:
    """1 / x."""
    return K.divide(_scalar(K, 1, x), x)


def rsqrt(K: Any, x: Array) -> Array:
    """1 / sqrt(x)."""
    return reciprocal(K, K.sqrt(x))


def sigmoid(K: Any, x: Array) -> Array:
    """1 / (1 + exp(-x)): where that overflows, the result is zero as it should be; `tanh` would lose the left tail."""
    one = _scalar(K, 1.0, x)
    return K.divide(one, K.add(K.exp(K.negative(x)), one))


def softplus(K: Any, x: Array, beta: float, threshold: float) -> Array:
    """log(1 + exp(beta * x)) / beta; `x` itself where beta * x is above the threshold."""
    scaled = K.multiply(x, _scalar(K, beta, x))
    soft = K.divide(K.log1p(K.exp(scaled)), _scalar(K, beta, x))
    return K.where(K.greater(scaled, _scalar(K, threshold, x)), x, soft)


def square(K: Any, x: Array) -> Array:
    """x * x."""
    return K.multiply(x, x)


def _scalar(K: Any, value: Any, like: Array) -> Array:
    return K.full((), value, like.dtype)


# -- reductions --------------------------------------------------------------------------------


def mean(K: Any, x: Array, axis: Ints, keepdims: bool) -> Array:
    """The sum over `axis` divided by how many there are."""
    return K.divide(K.sum(x, axis, keepdims), _scalar(K, math.prod(x.shape[i] for i in axis), x))


def _largest(K: Any, x: Array, axis: Ints) -> Array:
    """The largest elements over `axis`, whose size becomes 1; of none it is minus infinity."""
    if all(x.shape[each] for each in axis):
        return K.max(x, axis, True)
    return K.full(tuple(1 if i in axis else n for i, n in enumerate(x.shape)), -math.inf, x.dtype)


def softmax(K: Any, x: Array, axis: int) -> Array:
    """exp(x) / sum(exp(x)), shifted by the largest element so that nothing overflows."""
    powers = K.exp(K.subtract(x, _largest(K, x, (axis,))))
    return K.divide(powers, K.sum(powers, (axis,), True))


def log_softmax(K: Any, x: Array, axis: int) -> Array:
    """x - log(sum(exp(x)))."""
    shifted = K.subtract(x, _largest(K, x, (axis,)))
    return K.subtract(shifted, K.log(K.sum(K.exp(shifted), (axis,), True)))


def logsumexp(K: Any, x: Array, axis: Ints, keepdims: bool) -> Array:
    """log(sum(exp(x))); infinite elements are not shifted, so that they give no NaN."""
    top = _largest(K, x, axis)
    top = K.where(K.isfinite(top), top, _scalar(K, 0, x))
    total = K.log(K.sum(K.exp(K.subtract(x, top)), axis, True))
    out = K.add(total, top)
    if keepdims:
        return out
    return K.reshape(out, tuple(n for i, n in enumerate(x.shape) if i not in axis))


# -- ranks -------------------------------------------------------------------------------------


def topk(K: Any, x: Array, k: int, axis: int, largest: bool) -> Array:
    """Positions of the `k` first elements in ascending or, of the `largest`, descending order."""
    order = K.argsort(x, axis, largest, True)
    return K.slice(order, (*(slice(None),) * axis, slice(0, k)))


def ranked(K: Any, x: Array, rank: Array, axis: int) -> Array:
    """Positions of the elements of a rank; `rank` and the result are of size 1 along `axis`."""
    return K.gather(K.argsort(x, axis, False, True), rank, axis)


# -- windows -----------------------------------------------------------------------------------


def _whole(x: Array, count: int) -> tuple[slice, ...]:
    return tuple(slice(0, n, 1) for n in x.shape[:count])


def _taps(K: Any, x: Array, kernel: Ints, out: Ints, stride: Ints, dilation: Ints) -> Sequence[Array]:
    """What each tap of the kernel sees of the padded input, over all windows."""
    lead = _whole(x, len(x.shape) - len(kernel))
    return [K.slice(x, (*lead, *taps(offset, out, stride))) for offset in offsets(kernel, dilation)]


def _columns(
    K: Any, x: Array, kernel: Ints, out: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Array:
    """The matrix (groups, C / groups * taps, N * windows) of all that the kernel sees."""
    widths = ((0, 0), (0, 0), *((p, p) for p in padding))
    seen = K.stack(_taps(K, K.pad(x, widths, 0), kernel, out, stride, dilation), 0)  # (taps, N, C, *out)
    seen = K.permute_dims(seen, (2, 0, 1, *range(3, len(seen.shape))))
    rows = x.shape[1] // groups * math.prod(kernel)
    return K.reshape(seen, (groups, rows, x.shape[0] * math.prod(out)))


def _by_group(K: Any, g: Array, groups: int) -> Array:
    """(N, O, *out) as (groups, O / groups, N * windows)."""
    swapped = K.permute_dims(g, (1, 0, *range(2, len(g.shape))))
    return K.reshape(swapped, (groups, g.shape[1] // groups, g.shape[0] * math.prod(g.shape[2:])))


def convolution(K: Any, x: Array, w: Array, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """Cross-correlation of `x` (N, C, *spatial) with `w` (O, C / groups, *kernel)."""
    kernel = tuple(w.shape[2:])
    out = convolved(tuple(x.shape[2:]), kernel, stride, padding, dilation)
    columns = _columns(K, x, kernel, out, stride, padding, dilation, groups)
    matrix = K.reshape(w, (groups, w.shape[0] // groups, w.shape[1] * math.prod(kernel)))
    result = K.reshape(K.matmul(matrix, columns), (w.shape[0], x.shape[0], *out))
    return K.permute_dims(result, (1, 0, *range(2, len(result.shape))))


def convolution_input(
    K: Any, g: Array, w: Array, input_shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Array:
    """The adjoint of `convolution` in its input: each tap's share goes back to where the tap read."""
    kernel, out = tuple(w.shape[2:]), tuple(g.shape[2:])
    matrix = K.reshape(w, (groups, w.shape[0] // groups, w.shape[1] * math.prod(kernel)))
    shares = K.matmul(K.permute_dims(matrix, (0, 2, 1)), _by_group(K, g, groups))
    shares = K.reshape(shares, (groups * w.shape[1], math.prod(kernel), g.shape[0], *out))
    padded = tuple(n + 2 * p for n, p in zip(input_shape[2:], padding, strict=True))
    wide = (input_shape[1], input_shape[0], *padded)
    lead = (slice(0, wide[0], 1), slice(0, wide[1], 1))
    total = K.zeros(wide, g.dtype)
    for tap, offset in enumerate(offsets(kernel, dilation)):
        share = K.slice(shares, (slice(0, wide[0], 1), tap))
        total = K.add(total, K.unslice(share, wide, (*lead, *taps(offset, out, stride))))
    inside = tuple(slice(p, p + n, 1) for n, p in zip(input_shape[2:], padding, strict=True))
    return K.permute_dims(K.slice(total, (*lead, *inside)), (1, 0, *range(2, len(wide))))


def convolution_weight(
    K: Any, g: Array, x: Array, weight_shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Array:
    """The adjoint of `convolution` in its weight."""
    kernel, out = tuple(weight_shape[2:]), tuple(g.shape[2:])
    columns = _columns(K, x, kernel, out, stride, padding, dilation, groups)
    product = K.matmul(_by_group(K, g, groups), K.permute_dims(columns, (0, 2, 1)))
    return K.reshape(product, tuple(weight_shape))


def max_pool(
    K: Any, x: Array, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool
) -> tuple[Array, Array]:
    """The largest element of each window, and its position in the flattened spatial axes of `x`.

    NaN counts as the largest; of equal elements the first is taken. Padding is never taken.
    """
    spatial = tuple(x.shape[len(x.shape) - len(kernel) :])
    lead = tuple(x.shape[: len(x.shape) - len(kernel)])
    out = pooled(spatial, kernel, stride, padding, dilation, ceil_mode)
    around = ceil_padding(spatial, out, kernel, stride, padding, dilation)
    int64 = K.dtypes["int64"]
    places = K.reshape(K.arange(0, math.prod(spatial), 1, int64), spatial)
    places = _taps(K, K.pad(places, around, -1), kernel, out, stride, dilation)
    seen = _taps(K, K.pad(x, ((0, 0),) * len(lead) + around, 0), kernel, out, stride, dilation)
    value = seen[0]
    where = K.broadcast_to(places[0], lead + out)
    zero = K.zeros((), int64)
    for candidate, place in zip(seen[1:], places[1:], strict=True):
        better = K.logical_or(K.greater(candidate, value), K.not_equal(candidate, candidate))
        better = K.logical_and(K.logical_or(better, K.less(where, zero)), K.greater_equal(place, zero))
        value, where = K.where(better, candidate, value), K.where(better, place, where)
    return value, where


# -- any layout --------------------------------------------------------------------------------


def _positions(K: Any, shape: Ints, strides: Ints, offset: int) -> Array:
    """The flat position of each element of a layout, as integers."""
    integer = K.dtypes["int64"]
    total = K.full((), offset, integer)
    for axis, (n, stride) in enumerate(zip(shape, strides, strict=True)):
        along = K.multiply(K.arange(0, n, 1, integer), K.full((), stride, integer))
        total = K.add(total, K.reshape(along, (n,) + (1,) * (len(shape) - axis - 1)))
    return K.broadcast_to(total, shape)


def as_strided(K: Any, x: Array, shape: Ints, strides: Ints, offset: int) -> Array:
    """The elements of a layout on the memory of `x`."""
    return K.index(K.reshape(x, (-1,)), (_positions(K, shape, strides, offset),))


def unstride(K: Any, g: Array, shape: Ints, strides: Ints, offset: int) -> Array:
    """Zeros of `shape` with the elements of `g` added where `as_strided` would read."""
    flat = K.zeros((math.prod(shape),), g.dtype)
    positions = _positions(K, tuple(g.shape), strides, offset)
    return K.reshape(K.index_put(flat, (positions,), g, True), shape)


# -- masks and classes -------------------------------------------------------------------------


def scatter_reduce(K: Any, x: Array, positions: Array, values: Array, axis: int, reduce: str) -> Array:
    """A slice of the index at a time: within one, no two positions are the same."""
    combine = {"prod": K.multiply, "amax": K.maximum, "amin": K.minimum}[reduce]
    for i in range(positions.shape[axis]):
        key = (slice(None),) * axis + (slice(i, i + 1),)
        at = K.slice(positions, key)
        x = K.scatter(x, at, combine(K.gather(x, at, axis), K.slice(values, key)), axis)
    return x


def row_major(K: Any, x: Array) -> Array:
    """`x`, whose elements lie in memory in the order of their indices if the library knows other orders."""
    return x


def zero_where(K: Any, x: Array, condition: Array) -> Array:
    """Zero where `condition` holds, else `x`."""
    return K.where(condition, K.zeros_like(x), x)


def _class_weights(K: Any, target: Any, weight: Any, ignore_index: int, dtype: Any) -> Any:
    """What each target counts: its class' weight, and nothing if it is to be ignored."""
    counts = K.astype(target != ignore_index, dtype)
    if weight is None:
        return counts
    return counts * K.index(weight, (_safe(K, target, ignore_index),))


def _safe(K: Any, target: Any, ignore_index: int) -> Any:
    """Targets with those to be ignored replaced by class 0."""
    return K.where(target == ignore_index, K.zeros_like(target), target)


def _class_axis(shape: Any) -> int:
    return 1 if len(shape) > 1 else 0


def class_index(K: Any, target: Any, axis: int) -> Any:
    """Targets as positions along the classes' axis, for `gather`."""
    return K.reshape(target, (*target.shape[:axis], 1, *target.shape[axis:]))


def nll(K: Any, x: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int) -> Array:
    """Minus the log-probability `x` of each target's class, summed, or averaged by the classes' weights."""
    axis = _class_axis(x.shape)
    counts = _class_weights(K, target, weight, ignore_index, x.dtype)
    index = class_index(K, _safe(K, target, ignore_index), axis)
    picked = K.reshape(K.gather(x, index, axis), tuple(target.shape))
    # Where nothing counts, nothing is added, be the element infinite.
    value = K.where(counts == 0, K.zeros_like(picked), -picked * counts)
    if reduction == "none":
        return value
    total = K.sum(value, tuple(range(len(value.shape))), False)
    return total if reduction == "sum" else total / K.sum(counts, tuple(range(len(counts.shape))), False)


def nll_adjoint(
    K: Any, grad: Array, target: Array, weight: Array | None, shape: Ints, reduction: str, ignore_index: int
) -> Array:
    """Zeros of `shape` with minus the gradient at each target's class: the adjoint of `nll`."""
    axis = _class_axis(shape)
    counts = _class_weights(K, target, weight, ignore_index, grad.dtype)
    if reduction == "mean":
        grad = grad / K.sum(counts, tuple(range(len(counts.shape))), False)
    index = class_index(K, _safe(K, target, ignore_index), axis)
    each = K.where(counts == 0, K.zeros_like(counts), -counts * grad)  # where nothing counts, `grad` may be NaN
    return K.scatter(K.zeros(tuple(shape), grad.dtype), index, class_index(K, each, axis), axis)
