"""Modified Bessel functions of the first kind, and the incomplete gamma functions.

Both Bessel functions are sums of positive terms, in which no digits are lost, up to `_FAR`; beyond, they are the
exponential function times an asymptotic series in ``1 / x``.

Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 9.6.10, 9.7.1, 6.5.29 and 6.5.31
"""

from __future__ import annotations

import math
from typing import Any, Final

from retrograd.dtypes import Category
from retrograd.ops.checks import implemented_for
from retrograd.ops.declare import Array, op
from retrograd.ops.underived import no_slope, no_tangent

__all__: list[str] = []

_FAR: Final = 20.0
_TERMS: Final = 52
"""The last of the terms for ``x = _FAR`` is below 1e-17 of the sum."""


def _real(kernel: str) -> Any:
    return implemented_for(kernel, Category.BOOL, Category.INTEGER, Category.FLOAT)


def _near(order: int) -> list[float]:
    """The coefficients of ``(x**2 / 4)**k`` in ``I(x) / (x / 2)**order``."""
    return [1 / (math.factorial(k) * math.factorial(k + order)) for k in range(_TERMS)]


def _far(order: int) -> list[float]:
    """The coefficients of ``x**-k`` in ``I(x) * exp(-x) * sqrt(2 pi x)``, up to the least term at `_FAR`."""
    found = [1.0]
    for k in range(1, 26):
        found.append(found[-1] * -(4 * order * order - (2 * k - 1) ** 2) / (8 * k))
    return found


_COEFFICIENTS: Final = {order: (_near(order), _far(order)) for order in (0, 1)}


def _polynomial(K: Any, x: Any, coefficients: list[float]) -> Any:
    total = K.zeros_like(x) + coefficients[-1]
    for each in reversed(coefficients[:-1]):
        total = total * x + each
    return total


def _bessel(K: Any, x: Any, order: int, scaled: bool) -> Any:
    """``I(x)``, or ``exp(-|x|) I(x)``, of order 0 or 1."""
    near, far = _COEFFICIENTS[order]
    size = K.abs(x)
    is_far = size > _FAR
    low = K.where(is_far, K.zeros_like(x), size)
    high = K.where(is_far, size, K.zeros_like(x) + _FAR)
    inside = _polynomial(K, low * low * 0.25, near)
    if order:
        inside = inside * low * 0.5
    outside = _polynomial(K, 1 / high, far) / K.sqrt(high * (2 * math.pi))
    if scaled:
        inside = inside * K.exp(-low)
    else:
        half = K.exp(high * 0.5)  # twice the half, so that only the product overflows
        outside = outside * half * half
    value = K.where(is_far, outside, inside)
    value = K.where(K.isnan(x), x, value)
    return K.where(x < 0, -value, value) if order else value


@op(promote="float", check=_real("i0_vml_cpu"), graph="i0", vjp={"self": lambda K, g, self: g * K.i1(self)})
def i0(K, self: Array) -> Array:
    """The modified Bessel function of the first kind, of order 0.

    Source: https://docs.pytorch.org/docs/stable/special.html#torch.special.i0

    Examples
    --------
    >>> import retrograd
    >>> retrograd.i0(retrograd.tensor([0.0, 1.0, -2.0]))
    tensor([1.0000, 1.2661, 2.2796])
    """
    return _bessel(K, self, 0, False)


@op(
    name="_i0e",
    node="SpecialI0EBackward0",
    promote="float",
    check=_real("i0e_cpu"),
    graph="i0e",
    vjp={"self": lambda K, g, self, result: g * (K.i1e(self) - K.sign(self) * result)},
)
def i0e(K, self: Array) -> Array:
    """``exp(-|x|) i0(x)``.

    Source: https://docs.pytorch.org/docs/stable/special.html#torch.special.i0e

    Examples
    --------
    >>> import retrograd
    >>> retrograd.special.i0e(retrograd.tensor([0.0, 1.0]))
    tensor([1.0000, 0.4658])
    """
    return _bessel(K, self, 0, True)


def _i1_vjp(K: Any, g: Any, self: Any, result: Any) -> Any:
    is_zero = K.equal(self, 0)
    divisor = K.where(is_zero, K.zeros_like(self) + 1, self)
    return g * K.where(is_zero, K.zeros_like(self) + 0.5, K.i0(self) - result / divisor)


@op(
    name="_i1",
    node="SpecialI1Backward0",
    promote="float",
    check=_real("i1_cpu"),
    graph="i1",
    vjp={"self": _i1_vjp},
)
def i1(K, self: Array) -> Array:
    """The modified Bessel function of the first kind, of order 1.

    Source: https://docs.pytorch.org/docs/stable/special.html#torch.special.i1

    Examples
    --------
    >>> import retrograd
    >>> retrograd.special.i1(retrograd.tensor([0.0, 1.0, -2.0]))
    tensor([ 0.0000,  0.5652, -1.5906])
    """
    return _bessel(K, self, 1, False)


def _i1e_vjp(K: Any, g: Any, self: Any, result: Any) -> Any:
    is_zero = K.equal(self, 0)
    divisor = K.where(is_zero, K.zeros_like(self) + 1, self)
    slope = K.i0e(self) - result * (K.sign(self) + 1 / divisor)
    return g * K.where(is_zero, K.zeros_like(self) + 0.5, slope)


@op(
    name="_i1e",
    node="SpecialI1EBackward0",
    promote="float",
    check=_real("i1e_cpu"),
    graph="i1e",
    vjp={"self": _i1e_vjp},
)
def i1e(K, self: Array) -> Array:
    """``exp(-|x|) i1(x)``.

    Source: https://docs.pytorch.org/docs/stable/special.html#torch.special.i1e

    Examples
    --------
    >>> import retrograd
    >>> retrograd.special.i1e(retrograd.tensor([0.0, 1.0]))
    tensor([0.0000, 0.2079])
    """
    return _bessel(K, self, 1, True)


# -- incomplete gamma functions ------------------------------------------------------------------

_STEPS: Final = 160


def _lower_series(K: Any, a: Any, x: Any) -> Any:
    """The sum of ``x**n / ((a + 1) ... (a + n))``."""
    term = K.zeros_like(a) + 1
    total, denominator = term, a
    for _ in range(_STEPS):
        denominator = denominator + 1
        term = term * (x / denominator)
        total = total + term
    return total


def _upper_fraction(K: Any, a: Any, x: Any) -> Any:
    """The continued fraction of ``Q(a, x) / (x**a exp(-x) / gamma(a))``, evaluated from the back, for ``x > a + 1``."""
    tail = x + (2 * _STEPS + 1) - a
    for n in range(_STEPS, 0, -1):
        tail = x + (2 * n - 1) - a - (n * (n - a)) / tail
    return 1 / tail


def _regularized(K: Any, a: Any, x: Any, upper: bool) -> Any:
    one, zero = K.zeros_like(x * a) + 1, K.zeros_like(x * a)
    inside = (a > 0) & (x > 0) & (x < math.inf) & (a < math.inf)
    a_, x_ = K.where(inside, a, one), K.where(inside, x, one)
    is_far = x_ > a_ + 1
    low = K.where(is_far, a_, x_)
    high = K.where(is_far, x_, a_ + 2)
    scale = a_ * K.log(x_) - x_ - K.lgamma(a_)
    left = K.exp(scale - K.log(a_)) * _lower_series(K, a_, low)
    right = K.exp(scale) * _upper_fraction(K, a_, high)
    lower = K.where(is_far, 1 - right, left)
    higher = K.where(is_far, right, 1 - left)
    ends = (zero, one) if upper else (one, zero)  # at x = inf (or a = 0), and at x = 0 (or a = inf)
    at_end = K.where((x > 0) & (a < math.inf), zero + ends[0], zero + ends[1])
    nothing = (a < 0) | (x < 0) | K.isnan(a) | K.isnan(x) | (K.equal(a, 0) & K.equal(x, 0))
    nothing = nothing | (K.equal(a, math.inf) & K.equal(x, math.inf))
    return K.where(nothing, zero + math.nan, K.where(inside, higher if upper else lower, at_end))


def _density(K: Any, g: Any, self: Any, other: Any) -> Any:
    return g * K.exp((self - 1) * K.log(other) - other - K.lgamma(self))


@op(
    promote="float",
    as_numbers=(),
    check=implemented_for("igamma_cpu", Category.FLOAT),
    vjp={"self": no_slope("igamma: input", listed=True), "other": _density},
    jvp=dict.fromkeys(("self", "other"), no_tangent("igamma", listed=True)),
)
def igamma(K, self: Array, other: Array) -> Array:
    """The regularized lower incomplete gamma function ``P(input, other)``; differentiable by `other`.

    Raises
    ------
    NotImplementedError
        In the backward pass, if `input` requires a gradient.

    Source: https://docs.pytorch.org/docs/stable/special.html#torch.special.gammainc

    Examples
    --------
    >>> import retrograd
    >>> retrograd.igamma(retrograd.tensor([4.0]), retrograd.tensor([3.0, 4.0, 5.0]))
    tensor([0.3528, 0.5665, 0.7350])
    """
    return _regularized(K, self, other, False)


@op(
    promote="float",
    as_numbers=(),
    check=implemented_for("igammac_cpu", Category.FLOAT),
    vjp={
        "self": no_slope("igammac: input", listed=True),
        "other": lambda K, g, self, other: -_density(K, g, self, other),
    },
    jvp=dict.fromkeys(("self", "other"), no_tangent("igammac", listed=True)),
)
def igammac(K, self: Array, other: Array) -> Array:
    """The regularized upper incomplete gamma function, ``1 - igamma(input, other)``.

    Source: https://docs.pytorch.org/docs/stable/special.html#torch.special.gammaincc

    Examples
    --------
    >>> import retrograd
    >>> retrograd.igammac(retrograd.tensor([4.0]), retrograd.tensor([3.0, 4.0, 5.0]))
    tensor([0.6472, 0.4335, 0.2650])
    """
    return _regularized(K, self, other, True)
