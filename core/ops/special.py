"""Special functions: logistic, error and gamma functions, and logarithms of sums."""

from __future__ import annotations

import math
from typing import Any

from retrograd.dtypes import DTYPES, Category
from retrograd.ops.checks import implemented_for, is_number
from retrograd.ops.declare import Array, composite, op

__all__: list[str] = []

LN2 = math.log(2)


def _real(kernel: str) -> Any:
    """A check that no input is complex."""
    return implemented_for(kernel, Category.BOOL, Category.INTEGER, Category.FLOAT)


@op("sigmoid", promote="float", vjp={"self": lambda K, g, result: g * ((1 - result) * result)}, fused_gradient=True)
def sigmoid(self: Array) -> Array:
    """The logistic function of each element: ``1 / (1 + exp(-input))``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sigmoid.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.sigmoid(retrograd.tensor([-1.0, 0.0, 1.0]))
    tensor([0.2689, 0.5000, 0.7311])
    """


def _logit_vjp(K: Any, g: Any, self: Any, eps: float | None) -> Any:
    low, outside = (0.0, math.nan) if eps is None else (eps, 0.0)
    inside = (self >= low) & (self <= 1 - low)
    return K.where(inside, g / (self * (1 - self)), K.zeros_like(g) + outside)


@op(promote="float", check=_real("logit_cpu"), vjp={"self": _logit_vjp})
def logit(K, self: Array, eps: float | None = None) -> Array:
    """The inverse of the logistic function: ``log(input / (1 - input))``.

    With `eps`, elements are first clamped to [eps, 1 - eps]; without, those outside of [0, 1] give NaN.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logit.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.logit(retrograd.tensor([0.25, 0.5, 0.75]))
    tensor([-1.0986,  0.0000,  1.0986])
    """
    x = self if eps is None else K.minimum(K.maximum(self, eps), 1 - eps)
    return K.log(K.divide(x, 1 - x))


@op(
    "erf",
    promote="float",
    check=_real("erf_vml_cpu"),
    vjp={"self": lambda K, g, self: g * (2 / math.sqrt(math.pi) * K.exp(-(self * self)))},
    order=("self",),
)
def erf(self: Array) -> Array:
    """The error function of each element: the integral of ``2 / sqrt(pi) * exp(-t**2)`` from 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.erf.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.erf(retrograd.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.8427,  0.0000,  0.8427])
    """


@op(
    "erfc",
    promote="float",
    check=_real("erfc_vml_cpu"),
    vjp={"self": lambda K, g, self: g * (-2 / math.sqrt(math.pi) * K.exp(-(self * self)))},
)
def erfc(self: Array) -> Array:
    """The complementary error function of each element: ``1 - erf(input)``, exact in the tail.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.erfc.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.erfc(retrograd.tensor([-1.0, 0.0, 1.0]))
    tensor([1.8427, 1.0000, 0.1573])
    """


@op(
    "erfinv",
    promote="float",
    check=_real("erfinv_vml_cpu"),
    vjp={"self": lambda K, g, self: g * (math.sqrt(math.pi) / 2 * K.exp(K.square(K.erfinv(self))))},
)
def erfinv(self: Array) -> Array:
    """The inverse of the error function; infinite at -1 and 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.erfinv.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.erfinv(retrograd.tensor([-0.5, 0.0, 0.5]))
    tensor([-0.4769,  0.0000,  0.4769])
    """


@op(
    "lgamma",
    promote="float",
    check=_real("lgamma_vml_cpu"),
    vjp={"self": lambda K, g, self: g * K.digamma(self)},
)
def lgamma(self: Array) -> Array:
    """The logarithm of the absolute value of the gamma function.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.lgamma.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.lgamma(retrograd.tensor([0.5, 1.0, 4.0]))
    tensor([0.5724, 0.0000, 1.7918])
    """


@op(
    "digamma",
    promote="float",
    check=_real("digamma"),
    vjp={"self": lambda K, g, self: g * K.polygamma(1, self)},
)
def digamma(self: Array) -> Array:
    """The derivative of the logarithm of the gamma function.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.digamma.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.digamma(retrograd.tensor([0.5, 1.0, 4.0]))
    tensor([-1.9635, -0.5772,  1.2561])
    """


@op(
    "polygamma",
    promote="float",
    check=_real("trigamma"),
    vjp={"input": lambda K, g, n, input: g * K.polygamma(n + 1, input)},
)
def polygamma(n: int, input: Array) -> Array:
    """The derivative of order `n` of the digamma function, for `n` at least 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.special.polygamma.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.polygamma(1, retrograd.tensor([0.5, 1.0, 4.0]))
    tensor([4.9348, 1.6449, 0.2838])
    """


def _xlogy_self(K: Any, g: Any, self: Any, other: Any) -> Any:
    slope = K.log(other)
    return g * K.where((self == 0) & (other <= 0), K.zeros_like(slope), slope)


def _xlogy_forward(K: Any, self: Any, other: Any) -> Any:
    zero = K.logical_and(K.equal(self, 0), K.logical_not(K.isnan(other)))
    return K.where(zero, K.zeros_like(K.multiply(self, other)), K.multiply(self, K.log(other)))


@op(
    node="XlogyBackward0",
    check=_real("xlogy_cpu"),
    promote="float",
    vjp={"self": _xlogy_self, "other": lambda K, g, self, other: g * self / other},
    widens=False,
)
def _xlogy(K, self: Array, other: Array) -> Array:
    """Two tensors."""
    return _xlogy_forward(K, self, other)


@op(
    node="XlogyBackward1",
    check=_real("xlogy_cpu"),
    promote="float",
    vjp={"other": lambda K, g, self, other: g * self / other},
    widens=False,
)
def _xlogy_of_number(K, self: Array, other: Array) -> Array:
    """The factor is a number."""
    return _xlogy_forward(K, self, other)


@op(
    node="XlogyBackward2",
    check=_real("xlogy_cpu"),
    promote="float",
    vjp={"self": lambda K, g, self, other: g * K.log(K.zeros_like(self) + other)},
    widens=False,
)
def _xlogy_number(K, self: Array, other: Array) -> Array:
    """The logarithm is that of a number."""
    return _xlogy_forward(K, self, other)


@composite
def xlogy(input: Any, other: Any) -> Array:
    """``input * log(other)``, which is 0 where `input` is, unless `other` is NaN.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.xlogy.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.xlogy(retrograd.tensor([0.0, 2.0]), retrograd.tensor([0.0, 1.5]))
    tensor([0.0000, 0.8109])
    """
    if is_number(input):
        return _xlogy_of_number(input, other)
    return (_xlogy_number if is_number(other) else _xlogy)(input, other)


def _sinc_vjp(K: Any, g: Any, self: Any) -> Any:
    angle = self * math.pi
    below = angle * self
    zero = below == 0
    slope = (angle * K.cos(angle) - K.sin(angle)) / K.where(zero, K.zeros_like(below) + 1, below)
    return g * K.where(zero, K.zeros_like(slope), slope)


@op(promote="float", vjp={"self": _sinc_vjp})
def sinc(K, self: Array) -> Array:
    """The normalised sinc of each element: ``sin(pi * input) / (pi * input)``, and 1 at 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sinc.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.sinc(retrograd.tensor([0.0, 0.5, 1.5]))
    tensor([ 1.0000,  0.6366, -0.2122])
    """
    zero = K.equal(self, 0)
    angle = K.where(zero, 1, self * math.pi)
    return K.where(zero, 1, K.divide(K.sin(angle), angle))


def log_added(K: Any, x: Any, y: Any) -> Any:
    """``log(exp(x) + exp(y))`` of arrays of one type, complex ones too."""
    if not DTYPES[K.names[x.dtype]].is_complex:
        return K.logaddexp(x, y)
    real_x, real_y = K.real(x), K.real(y)
    larger = K.greater_equal(real_x, real_y)
    top, low = K.where(larger, x, y), K.where(larger, y, x)
    alike = K.logical_and(K.equal(real_x, real_y), K.logical_not(K.isfinite(real_x)))  # their difference is NaN
    apart = K.where(alike, K.zeros_like(x), low - top)
    infinite = K.where(K.less(real_x, 0), low, K.log(K.exp(low) + K.exp(top)))
    return K.where(alike, infinite, top + K.log1p(K.exp(apart)))


_check_logaddexp = implemented_for("logaddexp_cpu", Category.FLOAT, Category.COMPLEX)


@op(
    "logaddexp",
    promote="common",
    as_numbers=(),
    check=_check_logaddexp,
    vjp={
        "self": lambda K, g, self, other: g * K.sigmoid(self - other),
        "other": lambda K, g, self, other: g * K.sigmoid(other - self),
    },
)
def logaddexp(K, self: Array, other: Array) -> Array:
    """``log(exp(input) + exp(other))``, without overflow.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logaddexp.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.logaddexp(retrograd.tensor([0.0, 100.0]), retrograd.tensor([0.0, 100.0]))
    tensor([  0.6931, 100.6931])
    """
    return log_added(K, self, other)


@op(
    promote="common",
    as_numbers=(),
    check=implemented_for("logaddexp2_cpu", Category.FLOAT),
    vjp={
        "self": lambda K, g, self, other: g * K.sigmoid((self - other) * LN2),
        "other": lambda K, g, self, other: g * K.sigmoid((other - self) * LN2),
    },
)
def logaddexp2(K, self: Array, other: Array) -> Array:
    """``log2(2**input + 2**other)``, without overflow.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logaddexp2.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.logaddexp2(retrograd.tensor([0.0, 100.0]), retrograd.tensor([0.0, 100.0]))
    tensor([  1., 101.])
    """
    top = K.maximum(self, other)
    apart = K.where(K.equal(self, other), K.zeros_like(top), -K.abs(self - other))
    return top + K.log1p(K.exp(apart * LN2)) / LN2
