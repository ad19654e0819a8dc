"""Trigonometric and hyperbolic functions, their inverses, and angles."""

from __future__ import annotations

import math
from typing import Any

from retrograd.dtypes import Category
from retrograd.ops.checks import implemented_for, no_complex
from retrograd.ops.declare import Array, alias, name_written, op

__all__: list[str] = []

# -- trigonometry ------------------------------------------------------------------------------


@op("sin", promote="float", vjp={"self": lambda K, g, self: g * K.cos(self)})
def sin(self: Array) -> Array:
    """The sine of each element, in radians.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sin.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.sin(retrograd.tensor([0.0, 0.5, 1.0]))
    tensor([0.0000, 0.4794, 0.8415])
    """


@op("cos", promote="float", vjp={"self": lambda K, g, self: g * -K.sin(self)})
def cos(self: Array) -> Array:
    """The cosine of each element, in radians.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cos.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.cos(retrograd.tensor([0.0, 0.5, 1.0]))
    tensor([1.0000, 0.8776, 0.5403])
    """


@op("tan", promote="float", vjp={"self": lambda K, g, result: g * (1 + result * result)})
def tan(self: Array) -> Array:
    """The tangent of each element, in radians; derivative ``1 + tan(input)**2``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tan.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tan(retrograd.tensor([0.0, 0.5, 1.0]))
    tensor([0.0000, 0.5463, 1.5574])
    """


@op("asin", promote="float", vjp={"self": lambda K, g, self: g / K.sqrt(1 - self * self)})
def asin(self: Array) -> Array:
    """The inverse sine of each element, in radians; NaN outside of [-1, 1].

    Source: https://docs.pytorch.org/docs/stable/generated/torch.asin.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.asin(retrograd.tensor([-0.5, 0.0, 0.5]))
    tensor([-0.5236,  0.0000,  0.5236])
    """


@op("acos", promote="float", vjp={"self": lambda K, g, self: -g / K.sqrt(1 - self * self)})
def acos(self: Array) -> Array:
    """The inverse cosine of each element, in radians; NaN outside of [-1, 1].

    Source: https://docs.pytorch.org/docs/stable/generated/torch.acos.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.acos(retrograd.tensor([-0.5, 0.0, 0.5]))
    tensor([2.0944, 1.5708, 1.0472])
    """


@op("atan", promote="float", vjp={"self": lambda K, g, self: g / (self * self + 1)})
def atan(self: Array) -> Array:
    """The inverse tangent of each element, in radians; derivative ``1 / (1 + input**2)``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.atan.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.atan(retrograd.tensor([-0.5, 0.0, 0.5]))
    tensor([-0.4636,  0.0000,  0.4636])
    """


@op("sinh", promote="float", vjp={"self": lambda K, g, self: g * K.cosh(self)})
def sinh(self: Array) -> Array:
    """The hyperbolic sine of each element.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sinh.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.sinh(retrograd.tensor([-0.5, 0.0, 0.5]))
    tensor([-0.5211,  0.0000,  0.5211])
    """


@op("cosh", promote="float", vjp={"self": lambda K, g, self: g * K.sinh(self)})
def cosh(self: Array) -> Array:
    """The hyperbolic cosine of each element.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cosh.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.cosh(retrograd.tensor([-0.5, 0.0, 0.5]))
    tensor([1.1276, 1.0000, 1.1276])
    """


@op("tanh", promote="float", vjp={"self": lambda K, g, result: g * (1 - result * result)}, fused_gradient=True)
def tanh(self: Array) -> Array:
    """The hyperbolic tangent of each element; derivative ``1 - tanh(input)**2``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tanh.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tanh(retrograd.tensor([-0.5, 0.0, 0.5]))
    tensor([-0.4621,  0.0000,  0.4621])
    """


@op("asinh", promote="float", vjp={"self": lambda K, g, self: g / K.sqrt(self * self + 1)})
def asinh(self: Array) -> Array:
    """The inverse hyperbolic sine of each element.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.asinh.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.asinh(retrograd.tensor([-0.5, 0.0, 0.5]))
    tensor([-0.4812,  0.0000,  0.4812])
    """


def _acosh_vjp(K: Any, g: Any, self: Any) -> Any:
    """Of complex numbers the root is taken by factors, so that it has the function's own branch cut."""
    if "complex" in str(self.dtype):
        return g / (K.sqrt(self - 1) * K.sqrt(self + 1))
    return g / K.sqrt(self * self - 1)


@op("acosh", promote="float", vjp={"self": _acosh_vjp})
def acosh(self: Array) -> Array:
    """The inverse hyperbolic cosine of each element; NaN below 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.acosh.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.acosh(retrograd.tensor([1.0, 2.0, 3.0]))
    tensor([0.0000, 1.3170, 1.7627])
    """


@op("atanh", promote="float", vjp={"self": lambda K, g, self: g / (1 - self * self)})
def atanh(self: Array) -> Array:
    """The inverse hyperbolic tangent of each element; NaN outside of [-1, 1].

    Source: https://docs.pytorch.org/docs/stable/generated/torch.atanh.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.atanh(retrograd.tensor([-0.5, 0.0, 0.5]))
    tensor([-0.5493,  0.0000,  0.5493])
    """


@op(
    "atan2",
    promote="float",
    as_numbers=(),
    check=implemented_for("atan2_cpu", Category.BOOL, Category.INTEGER, Category.FLOAT),
    vjp={
        "self": lambda K, g, self, other: g * _over_square(K, other, self, other),
        "other": lambda K, g, self, other: g * -_over_square(K, self, self, other),
    },
)
def atan2(self: Array, other: Array) -> Array:
    """The angle of the point (`other`, `input`), in radians, in the right quadrant.

    Its gradient at the origin is zero.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.atan2.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.atan2(retrograd.tensor([1.0, -1.0]), retrograd.tensor([1.0, -1.0]))
    tensor([ 0.7854, -2.3562])
    """


def _over_square(K: Any, numerator: Any, y: Any, x: Any) -> Any:
    square_ = y * y + x * x
    origin = square_ == 0
    return K.where(origin, K.zeros_like(square_), numerator / K.where(origin, K.zeros_like(square_) + 1, square_))


@op(
    promote="float",
    node="Deg2RadBackward0",
    check=no_complex("deg2rad is not supported for complex tensors.", RuntimeError),
    vjp={"self": lambda K, g: g * (math.pi / 180)},
)
def deg2rad(K, self: Array) -> Array:
    """Each element, an angle in degrees, in radians.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.deg2rad.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.deg2rad(retrograd.tensor([90.0, 180.0]))
    tensor([1.5708, 3.1416])
    """
    return K.multiply(self, math.pi / 180)


@op(
    promote="float",
    node="Rad2DegBackward0",
    check=no_complex("rad2deg is not supported for complex tensors.", RuntimeError),
    vjp={"self": lambda K, g: g * (180 / math.pi)},
)
def rad2deg(K, self: Array) -> Array:
    """Each element, an angle in radians, in degrees.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.rad2deg.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.rad2deg(retrograd.tensor([1.5, 3.0]))
    tensor([ 85.9437, 171.8873])
    """
    return K.multiply(self, 180 / math.pi)


@op(
    "hypot",
    promote="common",
    as_numbers=(),
    check=implemented_for("hypot_cpu", Category.FLOAT),
    vjp={
        "self": lambda K, g, self, result: g * (self / result),
        "other": lambda K, g, other, result: g * (other / result),
    },
)
def hypot(self: Array, other: Array) -> Array:
    """The hypotenuse of a right triangle: ``sqrt(input**2 + other**2)``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.hypot.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.hypot(retrograd.tensor([3.0]), retrograd.tensor([4.0]))
    tensor([5.])
    """


for _name, _function in {
    "arcsin": asin,
    "arccos": acos,
    "arctan": atan,
    "arctan2": atan2,
    "arcsinh": asinh,
    "arccosh": acosh,
    "arctanh": atanh,
}.items():
    alias(_name, _function)


for _function, _node in ((acosh, "AcoshBackward1"), (asinh, "AsinhBackward1"), (atanh, "AtanhBackward1")):
    name_written(_function, _node)
