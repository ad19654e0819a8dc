"""Powers, roots, exponentials and logarithms."""

from __future__ import annotations

import cmath
import math
from typing import Any

from retrograd.dtypes import DTYPES, Category, dtype, float64
from retrograd.ops.checks import implemented_for, is_number, joined_with
from retrograd.ops.declare import Array, Op, composite, op
from retrograd.ops.graph import G
from retrograd.ops.overloads import wrong_argument
from retrograd.ops.reducing import deliver

__all__: list[str] = []

BOOL, INTEGER, FLOAT, COMPLEX = Category
LN2, LN10 = math.log(2), math.log(10)

# -- powers ------------------------------------------------------------------------------------


@op("reciprocal", promote="float", vjp={"self": lambda K, g, result: -g * (result * result)})
def reciprocal(self: Array) -> Array:
    """One over each element: ``1 / input``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.reciprocal.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.reciprocal(retrograd.tensor([2.0, 4.0]))
    tensor([0.5000, 0.2500])
    """


@op("sqrt", promote="float", vjp={"self": lambda K, g, result: g / (2 * result)})
def sqrt(self: Array) -> Array:
    """The square root of each element; NaN for a negative real number.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sqrt.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.sqrt(retrograd.tensor([4.0, 9.0]))
    tensor([2., 3.])
    """


@op("rsqrt", promote="float", vjp={"self": lambda K, g, result: -0.5 * g * (result * result * result)})
def rsqrt(self: Array) -> Array:
    """One over the square root of each element.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.rsqrt.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.rsqrt(retrograd.tensor([4.0, 16.0]))
    tensor([0.5000, 0.2500])
    """


def _pow_number_vjp(K: Any, g: Any, self: Any, exponent: Any) -> Any:
    if exponent == 0:
        return K.zeros_like(g)
    if exponent == 2 and K is not G:  # on tensors a power, so that it is known to depend on them however often derived
        return g * (2 * self)
    return g * (exponent * self ** (exponent - 1))


@op(node="PowBackward0", promote="common", vjp={"self": _pow_number_vjp}, rounded=("exponent",))
def _pow_number(K, self: Array, exponent: Any) -> Array:
    """A tensor to the power of a number; the common exponents by multiplication and roots."""
    if exponent == 2:
        return K.multiply(self, self)
    if exponent == 3:
        return K.multiply(K.multiply(self, self), self)
    if exponent == 0.5:
        return K.sqrt(self)
    if exponent == -1:
        return K.reciprocal(self)
    return K.pow(self, exponent)


def _pow_base_vjp(K: Any, g: Any, self: Any, exponent: Any) -> Any:
    slope = exponent * self ** (exponent - 1)
    return g * K.where(exponent == 0, K.zeros_like(slope), slope)


def _pow_exponent_vjp(K: Any, g: Any, self: Any, exponent: Any, result: Any) -> Any:
    """Zero where the base is and the power is constant there: for a non-negative exponent."""
    constant = (K.imag(exponent) == 0) & (K.real(exponent) >= 0) if _is_complex(exponent) else exponent >= 0
    flat = (self == 0) & constant
    slope = result * K.log(self)
    return g * K.where(flat, K.zeros_like(slope), slope)


def _is_complex(x: Any) -> bool:
    return "complex" in str(x.dtype)


@op(
    "pow",
    node="PowBackward1",
    promote="common",
    check=implemented_for("pow", INTEGER, FLOAT, COMPLEX),
    vjp={"self": _pow_base_vjp, "exponent": _pow_exponent_vjp},
)
def _pow(self: Array, exponent: Array) -> Array:
    """A tensor to the power of a tensor."""


def _log_of(base: Any) -> Any:
    if isinstance(base, complex):
        return cmath.log(base) if base else complex(-math.inf)
    return math.log(base) if base > 0 else (-math.inf if base == 0 else math.nan)


def _pow_of_number_vjp(K: Any, g: Any, base: Any, exponent: Any, result: Any) -> Any:
    slope = result * _log_of(complex(base) if _is_complex(exponent) else base)
    if base != 0:
        return g * slope
    flat = (exponent == 0) if _is_complex(exponent) else (exponent >= 0)
    return g * K.where(flat, K.zeros_like(slope), slope)


@op(node="PowBackward2", promote="common", vjp={"exponent": _pow_of_number_vjp}, rounded=("base",))
def _pow_of_number(K, base: Any, exponent: Array) -> Array:
    """A number to the power of a tensor."""
    return K.pow(base, exponent)


@composite
def pow(input: Any, exponent: Any, *, out: Any = None) -> Array:
    """Raise to a power elementwise: ``input ** exponent``; one of the two may be a number.

    By the base, the derivative is ``exponent * input ** (exponent - 1)`` and 0 for exponent 0; by the
    exponent it is ``result * log(input)``, and 0 where the base is 0 and the exponent is not negative.

    Raises
    ------
    RuntimeError
        If integers are raised to a negative integer.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.pow.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([1.0, 2.0, 3.0])
    >>> retrograd.pow(x, 2), retrograd.pow(2, x)
    (tensor([1., 4., 9.]), tensor([2., 4., 8.]))
    """
    if out is not None:
        return deliver("pow", out, pow(input, exponent), (input, exponent))
    if is_number(exponent):
        if is_number(input):
            raise wrong_argument("pow", "self", 0, (input, exponent))
        if isinstance(exponent, int) and exponent < 0 and input.dtype.category <= INTEGER:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        return _pow_number(joined_with(input, exponent), exponent)
    if is_number(input):
        return _pow_of_number(input, joined_with(exponent, input))
    return _pow(input, exponent)


@composite
def float_power(input: Any, exponent: Any) -> Array:
    """`pow` in double precision, whatever the inputs' types.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.float_power.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.float_power(retrograd.tensor([1, 2, 3]), 2)
    tensor([1., 4., 9.], dtype=retrograd.float64)
    """
    wide = doubled("float_power", input, exponent)
    return pow(*(each if is_number(each) else Op.cast(each, wide) for each in (input, exponent)))


def doubled(name: str, *given: Any) -> dtype:
    """The type of double precision in which function `name` takes its arguments."""
    if all(map(is_number, given)) or not all(is_number(each) or hasattr(each, "_kernels") for each in given):
        raise wrong_argument(name, "self", 0, given)
    is_complex = any(isinstance(each, complex) or (not is_number(each) and each.is_complex()) for each in given)
    return DTYPES["complex128"] if is_complex else float64


@composite
def square(input: Array) -> Array:
    """The square of each element.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.square.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.square(retrograd.tensor([2.0, -3.0]))
    tensor([4., 9.])
    """
    return pow(input, 2)


# -- exponentials and logarithms ---------------------------------------------------------------


@op("exp", promote="float", vjp={"self": lambda K, g, result: g * result})
def exp(self: Array) -> Array:
    """e to the power of each element; its own derivative.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.exp.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.exp(retrograd.tensor([0.0, 0.5, 1.0]))
    tensor([1.0000, 1.6487, 2.7183])
    """


@op(promote="float", vjp={"self": lambda K, g, result: g * (result * LN2)})
def exp2(K, self: Array) -> Array:
    """Two to the power of each element.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.exp2.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.exp2(retrograd.tensor([0.0, 0.5, 1.0]))
    tensor([1.0000, 1.4142, 2.0000])
    """
    return K.pow(2.0, self)


@op("expm1", promote="float", vjp={"self": lambda K, g, result: g * (result + 1)}, order=("self",))
def expm1(self: Array) -> Array:
    """``exp(input) - 1``, exact for small elements.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.expm1.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.expm1(retrograd.tensor([0.0, 0.5, 1.0]))
    tensor([0.0000, 0.6487, 1.7183])
    """


@op("log", promote="float", vjp={"self": lambda K, g, self: g / self})
def log(self: Array) -> Array:
    """The natural logarithm of each element; derivative ``1 / input``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.log.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.log(retrograd.tensor([0.5, 1.0, 2.0]))
    tensor([-0.6931,  0.0000,  0.6931])
    """


@op("log2", node="Log2Backward0", promote="float", vjp={"self": lambda K, g, self: g / (self * LN2)})
def log2(self: Array) -> Array:
    """The logarithm to base 2 of each element.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.log2.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.log2(retrograd.tensor([0.5, 1.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """


@op("log10", node="Log10Backward0", promote="float", vjp={"self": lambda K, g, self: g / (self * LN10)})
def log10(self: Array) -> Array:
    """The logarithm to base 10 of each element.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.log10.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.log10(retrograd.tensor([0.5, 1.0, 2.0]))
    tensor([-0.3010,  0.0000,  0.3010])
    """


@op("log1p", node="Log1PBackward0", promote="float", vjp={"self": lambda K, g, self: g / (self + 1)}, order=("self",))
def log1p(self: Array) -> Array:
    """``log(1 + input)``, exact for small elements.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.log1p.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.log1p(retrograd.tensor([0.0, 0.5, 1.0]))
    tensor([0.0000, 0.4055, 0.6931])
    """


@op(
    promote="float",
    as_numbers=(),
    vjp={
        "self": lambda K, g, other: g * 2.0**other,
        "other": lambda K, g, result: g * (result * LN2),
    },
)
def ldexp(K, self: Array, other: Array) -> Array:
    """Multiply by a power of two: ``input * 2**other``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.ldexp.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.ldexp(retrograd.tensor([1.0, 3.0]), retrograd.tensor([2, 3]))
    tensor([ 4., 24.])
    """
    return K.multiply(self, K.pow(2.0, other))
