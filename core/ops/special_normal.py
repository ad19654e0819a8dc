"""Functions of the normal distribution, of entropies and of several gamma functions, which `retrograd.special` has."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from retrograd.dtypes import Category, bool_, get_default_dtype
from retrograd.ops.arguments import as_int
from retrograd.ops.checks import implemented_for, is_number, not_implemented
from retrograd.ops.declare import Array, composite, op
from retrograd.ops.elementwise import _add_number, _mul_number
from retrograd.tensor import Tensor

__all__: list[str] = []

_ROOT_HALF = math.sqrt(0.5)
_LOG_ROOT_TAU = math.log(2 * math.pi) / 2


_REAL = (Category.BOOL, Category.INTEGER, Category.FLOAT)


def _real(kernel: str) -> Any:
    return implemented_for(kernel, *_REAL)


def _entropy(K: Any, x: Any) -> Any:
    inside = K.where(x > 0, x, K.zeros_like(x) + 1)
    value = K.where(x > 0, -x * K.log(inside), K.where(K.equal(x, 0), K.zeros_like(x), K.zeros_like(x) - math.inf))
    return K.where(K.isnan(x), x, value)


@op(
    name="_entr",
    node="SpecialEntrBackward0",
    promote="float",
    check=_real("entr_cpu"),
    vjp={"self": lambda K, g, self: g * -(K.log(self) + 1)},
)
def entr(K, self: Array) -> Array:
    """The entropy of each element: ``-x log(x)``, 0 at 0 and ``-inf`` where it is negative.

    Source: https://docs.pytorch.org/docs/stable/special.html#torch.special.entr

    Examples
    --------
    >>> import retrograd
    >>> retrograd.special.entr(retrograd.tensor([0.0, 0.5, 1.0]))
    tensor([0.0000, 0.3466, -0.0000])
    """
    return _entropy(K, self)


def ndtr(input: Tensor) -> Tensor:
    """The area under the density of the standard normal distribution up to each element.

    Source: https://docs.pytorch.org/docs/stable/special.html#torch.special.ndtr

    Examples
    --------
    >>> import retrograd
    >>> retrograd.special.ndtr(retrograd.tensor([-1.0, 0.0, 1.0]))
    tensor([0.1587, 0.5000, 0.8413])
    """
    made: Tensor = _mul_number(_add_number(_mul_number(input, _ROOT_HALF).erf(), 1), 0.5)
    return made


def _far_left(K: Any, x: Any) -> Any:
    """The logarithm of the area up to a point far to the left: an asymptotic series in ``1 / x**2``."""
    inverse = 1 / (x * x)
    series = K.zeros_like(x) + 1
    for factor in range(19, 0, -2):
        series = 1 - factor * inverse * series
    return -x * x / 2 - K.log(-x) - _LOG_ROOT_TAU + K.log(series)


def _log_area(K: Any, x: Any) -> Any:
    far, left = x < -10, x < -1
    near = K.where(far, K.zeros_like(x), x)
    beyond = K.where(far, x, K.zeros_like(x) - 11)
    area = K.erfc(near * -_ROOT_HALF) * 0.5
    rest = K.erfc(K.where(left, K.zeros_like(x), x) * _ROOT_HALF) * 0.5
    return K.where(far, _far_left(K, beyond), K.where(left, K.log(area), K.log1p(-rest)))


@op(
    name="_log_ndtr",
    node="SpecialLogNdtrBackward0",
    promote="float",
    check=implemented_for("log_ndtr_cpu", *_REAL, halves=False),
    vjp={"self": lambda K, g, self, result: g * K.exp(-self * self / 2 - result - _LOG_ROOT_TAU)},
)
def log_ndtr(K, self: Array) -> Array:
    """The logarithm of `ndtr`, where that would be too small a number too.

    Source: https://docs.pytorch.org/docs/stable/special.html#torch.special.log_ndtr

    Examples
    --------
    >>> import retrograd
    >>> retrograd.special.log_ndtr(retrograd.tensor([-20.0, 0.0]))
    tensor([-203.9172,   -0.6931])
    """
    return _log_area(K, self)


def _xlog1py_forward(K: Any, x: Any, y: Any) -> Any:
    zero = K.logical_and(K.equal(x, 0), K.logical_not(K.isnan(y)))
    return K.where(zero, K.zeros_like(K.multiply(x, y)), K.multiply(x, K.log1p(y)))


def _xlog1py_slope(K: Any, g: Any, x: Any, y: Any) -> Any:
    slope = K.log1p(y + 0 * x)
    return g * K.where((x == 0) & (y <= -1), K.zeros_like(slope), slope)


@op(
    name="_xlog1py",
    node="SpecialXlog1PyBackward0",
    promote="float",
    check=_real("xlog1py_cpu"),
    vjp={
        "self": lambda K, g, self, other: _xlog1py_slope(K, g, self, other),
        "other": lambda K, g, self, other: g * self / (other + 1),
    },
)
def _xlog1py(K, self: Array, other: Array) -> Array:
    """Two tensors."""
    return _xlog1py_forward(K, self, other)


@op(
    name="_xlog1py_of_number",
    node="SpecialXlog1PyBackward1",
    promote="float",
    check=_real("xlog1py_cpu"),
    vjp={"other": lambda K, g, self, other: g * self / (other + 1)},
)
def _xlog1py_of_number(K, self: Array, other: Array) -> Array:
    """The factor is a number."""
    return _xlog1py_forward(K, self, other)


@op(
    name="_xlog1py_number",
    node="SpecialXlog1PyBackward2",
    promote="float",
    check=_real("xlog1py_cpu"),
    vjp={"self": lambda K, g, self, other: g * K.log1p(K.zeros_like(self) + other)},
)
def _xlog1py_number(K, self: Array, other: Array) -> Array:
    """The logarithm is that of a number."""
    return _xlog1py_forward(K, self, other)


def xlog1py(input: Any, other: Any) -> Any:
    """``input * log(1 + other)``, which is 0 where `input` is, unless `other` is NaN.

    Source: https://docs.pytorch.org/docs/stable/special.html#torch.special.xlog1py

    Examples
    --------
    >>> import retrograd
    >>> retrograd.special.xlog1py(retrograd.tensor([0.0, 2.0]), retrograd.tensor([-1.0, 0.5]))
    tensor([0.0000, 0.8109])
    """
    if is_number(input):
        return _xlog1py_of_number(input, other)
    return (_xlog1py_number if is_number(other) else _xlog1py)(input, other)


def _summed(function: Callable[[Any], Any], x: Any, p: int) -> Any:
    """The sum of ``function(x - i / 2)`` for i up to `p`."""
    total = function(x)
    for i in range(1, p):
        total = total + function(x - i / 2)
    return total


@op(
    name="_mvlgamma",
    node="MvlgammaBackward0",
    promote="float",
    check=_real("lgamma_vml_cpu"),
    vjp={"self": lambda K, g, self, p: g * _summed(K.digamma, self, p)},
)
def _mvlgamma(K, self: Array, p: int) -> Array:
    return _summed(K.lgamma, self, p) + p * (p - 1) / 4 * math.log(math.pi)


@composite
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension `p`.

    ``p (p - 1) / 4 * log(pi) + sum of lgamma(input - i / 2) for i in range(p)``.

    Raises
    ------
    RuntimeError
        If `p` is less than one.

    Source: https://docs.pytorch.org/docs/stable/special.html#torch.special.multigammaln

    Examples
    --------
    >>> import retrograd
    >>> retrograd.mvlgamma(retrograd.tensor([2.0]), 2)
    tensor([0.4516])
    """
    if input.is_complex():
        raise not_implemented("arange_cpu", input.dtype)
    if input.dtype is bool_:
        raise RuntimeError("The input tensor may not be a boolean tensor.")
    p = as_int(p)
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    return _mvlgamma(input if input.is_floating_point() else input.to(get_default_dtype()), p)
