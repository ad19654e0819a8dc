"""Elementwise arithmetic, exponentials, trigonometry, rounding and comparison.

Formulas are those of the derivative of each function; broadcasting, promotion and complex
conjugation are undone by the machinery (see `retrograd.ops.declare`).
"""

from __future__ import annotations

import math
from typing import Any

from retrograd.ops.declare import Array, Op, composite, op

# -- arithmetic --------------------------------------------------------------------------------


@op(
    "add",
    promote="common",
    vjp={
        "self": lambda K, g: g,
        "other": lambda K, g, alpha: g if alpha == 1 else g * alpha,
    },
)
def add(K, self: Array, other: Array, *, alpha: float = 1) -> Array:
    """Add elementwise: ``self + alpha * other``.

    Inputs broadcast against each other and are promoted to a common type.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.add.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.add(retrograd.tensor([1.0, 2.0]), 3, alpha=2)
    tensor([7., 8.])
    """
    return K.add(self, other if alpha == 1 else K.multiply(other, alpha))


@op(
    "subtract",
    promote="common",
    vjp={
        "self": lambda K, g: g,
        "other": lambda K, g, alpha: -g if alpha == 1 else g * -alpha,
    },
)
def sub(K, self: Array, other: Array, *, alpha: float = 1) -> Array:
    """Subtract elementwise: ``self - alpha * other``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sub.html
    """
    return K.subtract(self, other if alpha == 1 else K.multiply(other, alpha))


@op(
    node="RsubBackward1",
    promote="common",
    vjp={
        "self": lambda K, g, alpha: -g if alpha == 1 else g * -alpha,
        "other": lambda K, g: g,
    },
)
def rsub(K, self: Array, other: Array, *, alpha: float = 1) -> Array:
    """Subtract the other way round: ``other - alpha * self``."""
    return K.subtract(other, self if alpha == 1 else K.multiply(self, alpha))


@op(
    "multiply",
    promote="common",
    vjp={
        "self": lambda K, g, other: g * other,
        "other": lambda K, g, self: g * self,
    },
)
def mul(self: Array, other: Array) -> Array:
    """Multiply elementwise: ``self * other``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.mul.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([[1.0], [2.0]]) * retrograd.tensor([10.0, 20.0])
    tensor([[10., 20.],
            [20., 40.]])
    """


@op(
    "divide",
    node="DivBackward0",
    promote="float",
    vjp={
        "self": lambda K, g, other: g / other,
        "other": lambda K, g, self, other: -g * ((self / other) / other),
    },
)
def _true_divide(self: Array, other: Array) -> Array:
    """Divide elementwise: ``self / other``; integers give floating-point numbers."""


@op("negative", node="NegBackward0", promote="common", vjp={"self": lambda K, g: -g})
def neg(self: Array) -> Array:
    """The negative of each element: ``-self``."""


@op("tanh", promote="float", vjp={"self": lambda K, g, result: g * (1 - result * result)})
def tanh(self: Array) -> Array:
    """Hyperbolic tangent of each element; derivative ``1 - tanh(x)**2``."""
