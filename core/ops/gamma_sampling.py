"""Samples of gamma, Dirichlet and binomial distributions; those of the first two depend differentiably on parameters.

Note [Implicit gradients]
    A sample x of a distribution with the distribution function F(x; a) moves, with its quantile held, by
    ``dx/da = -(dF/da) / (dF/dx)``. The derivative of F by a is an integral over the density, from the sample
    outwards to the nearer end. It is computed in the logarithm (of x, or of x / (1 - x)), where densities are
    log-concave, by the trapezoidal rule after a change of variable under which the integrand falls off doubly
    exponentially at both ends, so that some sixty points are enough for nine digits.

    Sources: Figurnov, Mohamed, Mnih, "Implicit reparameterization gradients", 2018. Takahasi, Mori, "Double
    exponential formulas for numerical integration", 1974.
"""

from __future__ import annotations

import math
from typing import Any

from retrograd.dtypes import finfo
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.ops.checks import everywhere
from retrograd.ops.declare import Array, op, publics
from retrograd.ops.sampling import _at_drawing_level, _drawn, _forgetting, _source
from retrograd.ops.underived import no_slope, no_tangent
from retrograd.random import Generator, drawing_level, normal_array, open_uniform_array
from retrograd.tensor import Tensor, wrap_array

__all__ = ["binomial"]

_STEP = 0.16
_FIRST, _LAST = -23, 37
_AT_ONCE = 2**21  # numbers in one temporary array, if there are not more samples


def _integral(K: Any, x: Any, integrand: Any) -> Any:
    """The integral of a function over the positive numbers, at each element of `x`.

    `integrand` gets places, along a dimension that is added at the right.
    """
    shape = tuple(x.shape)
    width = max(1, min(_LAST - _FIRST + 1, _AT_ONCE // max(1, math.prod(shape))))
    total = K.zeros_like(x)
    for start in range(_FIRST, _LAST + 1, width):
        count = min(width, _LAST + 1 - start)
        ones = K.broadcast_to(K.reshape(K.zeros_like(x) + 1, (*shape, 1)), (*shape, count))
        t = (K.cumsum(ones, len(shape)) + (start - 1)) * _STEP
        falls = K.exp(-t)
        place = K.exp(t - falls)
        total = total + K.sum(integrand(place) * place * (1 + falls), (len(shape),), False)
    return total * _STEP


def _column(K: Any, x: Any) -> Any:
    return K.reshape(x, (*x.shape, 1))


def _gamma_slope(K: Any, shape: Any, x: Any) -> Any:
    """The derivative of a sample of the standard gamma distribution by its shape. See Note [Implicit gradients]."""
    left = x <= shape
    side = K.where(left, K.zeros_like(x) - 1, K.zeros_like(x) + 1)
    scale = _gamma_scale(K, shape, x, left)
    # Farther out there is nothing left to add up, and the exponential would overflow.
    limit = K.where(x < 1, -K.log(x), K.zeros_like(x)) + 5
    columns = (shape, x, scale, limit, left, K.log(x) - K.digamma(shape))
    a, at, scale_, limit_, left_, start = (_column(K, each) for each in columns)

    def integrand(place: Any) -> Any:
        far = scale_ * place
        s = K.where(left_, -far, K.where(far > limit_, limit_, far))
        return K.exp(a * s - at * K.expm1(s)) * (start + s)

    return side * x * scale * _integral(K, x, integrand)


def _gamma_scale(K: Any, shape: Any, x: Any, left: Any) -> Any:
    """How far from the sample the density falls off."""
    slope = K.abs(shape - x)
    length = 2 / (slope + K.sqrt(slope * slope + 2 * x))
    inverse = 1 / shape
    outwards = K.log1p(1 / x) + 1
    onwards = K.where(length > outwards, outwards, length)
    for _ in range(3):  # Newton's method for x (exp(s) - 1) - shape s = 1
        gap = x * K.expm1(onwards) - shape * onwards - 1
        onwards = onwards - gap / (x * K.exp(onwards) - shape)
    return K.where(left, K.where(length > inverse, length, inverse), onwards)


def _beta_slope(K: Any, x: Any, one: Any, other: Any) -> Any:
    """The derivative of a sample x of ``Beta(one, other)`` by `one`, over ``1 - x``. See Note [Implicit gradients]."""
    both, rest = one + other, 1 - x
    left = x * both <= one
    side = K.where(left, K.zeros_like(x) - 1, K.zeros_like(x) + 1)
    slope = K.abs(one * rest - other * x)
    length = 2 / (slope + K.sqrt(slope * slope + 2 * both * x * rest))
    inverse = K.where(left, 1 / one, 1 / other)
    scale = K.where(length > inverse, length, inverse)
    start = K.log(x) - K.digamma(one) + K.digamma(both)
    columns = (one, both, scale, left, K.where(left, x, rest), start)
    a, ab, scale_, left_, share, start = (_column(K, each) for each in columns)

    def integrand(place: Any) -> Any:
        far = scale_ * place
        s = K.where(left_, -far, far)
        moved = K.log1p(share * K.expm1(-far))  # the logarithm of what the nearer share has become
        gone = K.where(left_, moved, s + moved)
        return K.exp(a * s - ab * gone) * (start + s - gone)

    return side * x * scale * _integral(K, x, integrand)


def _gamma_vjp(K: Any, g: Any, self: Any, result: Any) -> Any:
    return g * _gamma_slope(K, self, result)


@op(name="_gamma_sample", node="StandardGammaBackward0", vjp={"self": _gamma_vjp}, jvp="elementwise")
def _gamma_sample(K, self: Array, value: Array) -> Array:
    """`value`, drawn beforehand from the gamma distributions of the shapes in `self`."""
    return value


@op(
    name="_gamma_derivative",
    node="StandardGammaGradBackward0",
    promote="common",
    vjp={"self": no_slope("_standard_gamma_grad", listed=True)},
    jvp={"self": no_tangent("_standard_gamma_grad", listed=True)},
)
def _gamma_derivative(K, self: Array, output: Array) -> Array:
    shape = broadcast_shapes(tuple(self.shape), tuple(output.shape))
    return _gamma_slope(K, *(K.broadcast_to(each, shape) for each in (self, output)))


def _standard_gamma_grad(input: Tensor, output: Tensor) -> Tensor:
    """The derivatives of samples `output` of gamma distributions by the shapes in `input`."""
    if input.dtype is not output.dtype:
        raise RuntimeError(f"Found dtype {output.dtype.type_name} but expected {input.dtype.type_name}")
    if not input.is_floating_point():
        raise NotImplementedError(f"\"_standard_gamma_grad_cpu\" not implemented for '{input.dtype.type_name}'")
    made: Tensor = _gamma_derivative(input, output.detach())
    return made


@op(
    name="_dirichlet_grad",
    node="NotImplemented",
    promote="common",
    vjp={name: no_slope("_dirichlet_grad") for name in ("x", "alpha", "total")},
    jvp={name: no_tangent("_dirichlet_grad") for name in ("x", "alpha", "total")},
)
def _dirichlet_grad(K, x: Array, alpha: Array, total: Array) -> Array:
    """The derivatives of parts `x` of a whole by their concentrations `alpha`, if those of all parts are `total`.

    Over ``1 - x``: how far the other parts make room is left to the caller.
    """
    shape = broadcast_shapes(broadcast_shapes(tuple(x.shape), tuple(alpha.shape)), tuple(total.shape))
    part, one, whole = (K.broadcast_to(each, shape) for each in (x, alpha, total))
    return _beta_slope(K, part, one, whole - one)


def _dirichlet_slope(K: Any, self: Any, result: Any) -> Any:
    total = K.sum(self, (self.ndim - 1,), True)
    return _beta_slope(K, result, self, total - self)


def _dirichlet_vjp(K: Any, g: Any, self: Any, result: Any) -> Any:
    return _dirichlet_slope(K, self, result) * (g - K.sum(result * g, (self.ndim - 1,), True))


def _dirichlet_jvp(K: Any, t: Any, self: Any, result: Any) -> Any:
    moved = _dirichlet_slope(K, self, result) * t
    return moved - result * K.sum(moved, (self.ndim - 1,), True)


@op(
    name="_dirichlet_sample",
    node="SampleDirichletBackward0",
    vjp={"self": _dirichlet_vjp},
    jvp={"self": _dirichlet_jvp},
)
def _dirichlet_sample(K, self: Array, value: Array) -> Array:
    """`value`, drawn beforehand from the Dirichlet distributions of the concentrations in `self`."""
    return value


def _log_gamma_array(k: Any, shape: Any, source: Generator) -> Any:
    """A raw float64 array of logarithms of samples of gamma distributions, by squeezing and rejecting.

    Where the shape is below 1, a sample for the shape plus 1 times a power of a uniform number.

    Source: Marsaglia, Tsang, "A simple method for generating gamma variables", 2000.
    """
    size, wide = tuple(shape.shape), k.dtypes["float64"]
    small = shape < 1
    with k.quiet():
        d = k.where(small, shape + 1, shape) - 1 / 3
        c = 1 / (3 * k.sqrt(d))
        made, waiting = k.zeros_like(d), d > 0
        while not everywhere(k, k.logical_not(waiting)):
            normal = normal_array(k, size, wide, source)
            uniform = open_uniform_array(k, size, wide, source)
            cube = 1 + c * normal
            cube = cube * cube * cube
            log_cube = k.log(k.where(cube > 0, cube, k.zeros_like(cube) + 1))
            taken = k.log(uniform) < normal * normal / 2 + d * (1 - cube + log_cube)
            taken = k.logical_and(k.logical_and(taken, cube > 0), waiting)
            made = k.where(taken, k.log(d) + log_cube, made)
            waiting = k.logical_and(waiting, k.logical_not(taken))
        power = k.log(open_uniform_array(k, size, wide, source)) / shape
        made = k.where(small, made + power, made)
        return k.where(d > 0, made, d * math.nan)


def _standard_gamma(input: Any, generator: Generator | None = None) -> Tensor:
    """Samples of ``Gamma(input, 1)``, differentiable by the shapes `input`. See Note [Implicit gradients]."""
    if not isinstance(input, Tensor):
        kind = type(input).__name__
        raise TypeError(f"_standard_gamma(): argument 'input' (position 1) must be Tensor, not {kind}")
    if not input.is_floating_point():
        raise NotImplementedError(f"\"gamma_cpu\" not implemented for '{input.dtype.type_name}'")
    (input,) = _at_drawing_level(input)
    k, source = input._kernels, _source("_standard_gamma", generator)
    logs = _log_gamma_array(k, k.astype(input._array, k.dtypes["float64"]), source)
    with k.quiet():
        drawn = k.astype(k.exp(logs), input._array.dtype)
        tiny = k.full((), finfo(input.dtype).tiny, drawn.dtype)
        drawn = k.where(drawn < tiny, tiny, drawn)
    return publics["_gamma_sample"](input, wrap_array(drawn, drawing_level(k)))


def _sample_dirichlet(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Samples of Dirichlet distributions whose concentrations are along the last dimension, differentiable by them.

    Gamma samples divided by their sums; from their logarithms, so that tiny concentrations give no zeros by zeros.
    """
    (input,) = _at_drawing_level(input)
    k, source = input._kernels, _source("_sample_dirichlet", generator)
    logs = _log_gamma_array(k, k.astype(input._array, k.dtypes["float64"]), source)
    last = (logs.ndim - 1,)
    with k.quiet():
        shares = k.exp(logs - k.max(logs, last, True))
        drawn = k.astype(shares / k.sum(shares, last, True), input._array.dtype)
        tiny = k.full((), finfo(input.dtype).tiny, drawn.dtype)
        drawn = k.where(drawn < tiny, tiny, drawn)
    return publics["_dirichlet_sample"](input, wrap_array(drawn, drawing_level(k)))


_BINOMIAL = _forgetting("_binomial", "BinomialBackward0")


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """Numbers of successes in `count` trials of probability `prob`, in the type of `count`.

    By counting: the k-th of the exponential times at which n trials would succeed comes after the one before it by
    an exponential time over the number of those left, so the time this takes grows with the largest ``count * prob``
    (or with its complement, if that is smaller).

    Raises
    ------
    RuntimeError
        If the types differ, or are no floating-point types.

    Source: Devroye, "Generating the maximum of independent identically distributed random variables", 1980.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.binomial(retrograd.tensor([5.0, 7.0]), retrograd.tensor([0.0, 1.0]))
    tensor([0., 7.])
    """
    count, prob = _at_drawing_level(count, prob)
    if count.dtype is not prob.dtype:
        raise RuntimeError("Binomial tensors should have the same dtype")
    k, source, wide = count._kernels, _source("binomial", generator), count._kernels.dtypes["float64"]
    shape = broadcast_shapes(tuple(count._array.shape), tuple(prob._array.shape))
    trials = k.floor(k.broadcast_to(k.astype(count._array, wide), shape))
    chance = k.broadcast_to(k.astype(prob._array, wide), shape)
    often = chance > 0.5
    with k.quiet():
        end = -k.log1p(-k.where(often, 1 - chance, chance))
        number, time = k.zeros(shape, wide), k.zeros(shape, wide)
        while True:
            left = trials - number
            wait = -k.log(open_uniform_array(k, shape, wide, source)) / left
            time = time + wait
            running = k.logical_and(time <= end, left > 0)
            if everywhere(k, k.logical_not(running)):
                break
            number = number + k.astype(running, wide)
            time = k.where(running, time, k.zeros_like(time) + math.inf)
        number = k.where(often, trials - number, number)
        number = k.where(k.isnan(chance), chance, number)
    return _drawn(_BINOMIAL, count.expand(shape), k.astype(number, count._array.dtype))


publics["binomial"] = binomial
