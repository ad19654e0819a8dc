"""Comparison, tests of single numbers, and logic: their results are bools and have no gradient."""

from __future__ import annotations

import math
from typing import Any

from retrograd.dtypes import DTYPES, Category
from retrograd.levels import is_mapped
from retrograd.ops.batching import elementwise
from retrograd.ops.checks import implemented_for
from retrograd.ops.declare import Array, alias, composite, name_written, op
from retrograd.ops.flags import flagged
from retrograd.ops.overloads import wrong_argument
from retrograd.tensor import Tensor

__all__: list[str] = []

BOOL, INTEGER, FLOAT, COMPLEX = Category


def _category(K: Any, x: Any) -> Category:
    return DTYPES[K.names[x.dtype]].category


@op("equal", promote="common", as_numbers=("other",))
def eq(self: Array, other: Array) -> Array:
    """Whether each element is equal: ``input == other``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.eq.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.eq(retrograd.tensor([1, 2, 3]), 2)
    tensor([False,  True, False])
    """


@op("not_equal", promote="common", as_numbers=("other",))
def ne(self: Array, other: Array) -> Array:
    """Whether each element is different: ``input != other``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.ne.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.ne(retrograd.tensor([1, 2, 3]), 2)
    tensor([ True, False,  True])
    """


@op("less", promote="common", as_numbers=("other",), check=implemented_for("lt_cpu", BOOL, INTEGER, FLOAT))
def lt(self: Array, other: Array) -> Array:
    """Whether each element is smaller: ``input < other``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.lt.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.lt(retrograd.tensor([1, 2, 3]), 2)
    tensor([ True, False, False])
    """


@op("less_equal", promote="common", as_numbers=("other",), check=implemented_for("le_cpu", BOOL, INTEGER, FLOAT))
def le(self: Array, other: Array) -> Array:
    """Whether each element is smaller or equal: ``input <= other``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.le.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.le(retrograd.tensor([1, 2, 3]), 2)
    tensor([ True,  True, False])
    """


@op("greater", promote="common", as_numbers=("other",), check=implemented_for("gt_cpu", BOOL, INTEGER, FLOAT))
def gt(self: Array, other: Array) -> Array:
    """Whether each element is greater: ``input > other``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.gt.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.gt(retrograd.tensor([1, 2, 3]), 2)
    tensor([False, False,  True])
    """


@op("greater_equal", promote="common", as_numbers=("other",), check=implemented_for("ge_cpu", BOOL, INTEGER, FLOAT))
def ge(self: Array, other: Array) -> Array:
    """Whether each element is greater or equal: ``input >= other``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.ge.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.ge(retrograd.tensor([1, 2, 3]), 2)
    tensor([False,  True,  True])
    """


_NO_GRADIENT: Any = {"self": lambda K, g: K.zeros_like(g), "other": lambda K, g: K.zeros_like(g)}

for _function in eq, ne, lt, le, gt, ge:  # written in place of numbers with gradients, the result ends these
    name_written(_function, f"{_function.__name__.capitalize()}Backward1", _NO_GRADIENT, "zero")


@composite
def equal(input: Array, other: Array) -> bool:
    """Whether two tensors have the same shape and equal elements; NaN equals nothing.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.equal.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.equal(retrograd.tensor([1, 2]), retrograd.tensor([1, 2]))
    True
    """
    if tuple(input._array.shape) != tuple(other._array.shape):
        return False
    same = eq(input, other).all()
    if is_mapped(same):
        raise RuntimeError("Batching rule not implemented for aten::equal. We could not generate a fallback.")
    return bool(same)


def _same_types(input: Array, other: Array) -> None:
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype.type_name} did not match {other.dtype.type_name}")


@op(promote="common")
def _isclose(K, self: Array, other: Array, rtol: float, atol: float, equal_nan: bool) -> Array:
    """Without a check of the types."""
    close = K.equal(self, other)
    if equal_nan and _category(K, self) >= FLOAT:
        close = K.logical_or(close, K.logical_and(K.isnan(self), K.isnan(other)))
    if rtol == 0 and atol == 0:
        return close
    if _category(K, self) < FLOAT:
        self, other = (K.astype(each, K.dtypes["float64"]) for each in (self, other))
    distance = K.abs(self - other)
    within = K.logical_and(K.isfinite(distance), K.less_equal(distance, atol + K.abs(rtol * other)))
    return K.logical_or(close, within)


@composite
@flagged
def isclose(input: Array, other: Array, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Array:
    """Whether each pair of elements is close: ``abs(input - other) <= atol + rtol * abs(other)``.

    Raises
    ------
    RuntimeError
        If the types differ or a tolerance is negative.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isclose.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.isclose(retrograd.tensor([1.0, 2.0]), retrograd.tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    for position, (name, each) in enumerate((("input", input), ("other", other))):
        if not isinstance(each, Tensor):
            raise wrong_argument("isclose", name, position, (input, other))
    _same_types(input, other)
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value:g}")
    return _isclose(input, other, rtol, atol, equal_nan)


@composite
@flagged
def allclose(input: Array, other: Array, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all pairs of elements are close; see `isclose`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.allclose.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.allclose(retrograd.tensor([1.0, 2.0]), retrograd.tensor([1.0, 2.1]))
    False
    """
    close = isclose(input, other, rtol, atol, equal_nan).all()
    if is_mapped(close):
        raise RuntimeError(
            "vmap over retrograd.allclose isn't supported yet. Please file an issue at "
            "https://github.com/pytorch/pytorch/issues if you need this feature."
        )
    return bool(close)


# -- tests of single numbers -------------------------------------------------------------------


@op("isnan", batch=elementwise)
def isnan(self: Array) -> Array:
    """Whether each element is NaN.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isnan.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.isnan(retrograd.tensor([1.0, float("inf"), float("nan")]))
    tensor([False, False,  True])
    """


@op("isinf", batch=elementwise)
def isinf(self: Array) -> Array:
    """Whether each element is infinite.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isinf.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.isinf(retrograd.tensor([1.0, float("inf"), float("nan")]))
    tensor([False,  True, False])
    """


@op("isfinite", batch=elementwise)
def isfinite(self: Array) -> Array:
    """Whether each element is neither infinite nor NaN.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isfinite.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.isfinite(retrograd.tensor([1.0, float("inf"), float("nan")]))
    tensor([ True, False, False])
    """


@op(batch=elementwise)
def isposinf(K, self: Array) -> Array:
    """Whether each element is positive infinity.

    Raises
    ------
    RuntimeError
        If the elements are complex.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isposinf.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.isposinf(retrograd.tensor([1.0, float("inf"), -float("inf")]))
    tensor([False,  True, False])
    """
    if _category(K, self) is COMPLEX:
        raise RuntimeError("isposinf does not support complex inputs.")
    return K.equal(self, math.inf) if _category(K, self) is FLOAT else K.zeros(self.shape, K.dtypes["bool"])


@op(batch=elementwise)
def isneginf(K, self: Array) -> Array:
    """Whether each element is negative infinity.

    Raises
    ------
    RuntimeError
        If the elements are complex.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isneginf.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.isneginf(retrograd.tensor([1.0, float("inf"), -float("inf")]))
    tensor([False, False,  True])
    """
    if _category(K, self) is COMPLEX:
        raise RuntimeError("isneginf does not support complex inputs.")
    return K.equal(self, -math.inf) if _category(K, self) is FLOAT else K.zeros(self.shape, K.dtypes["bool"])


@op(batch=elementwise)
def isreal(K, self: Array) -> Array:
    """Whether each element is a real number, or has imaginary part 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isreal.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.isreal(retrograd.tensor([1 + 1j, 2 + 0j]))
    tensor([False,  True])
    """
    if _category(K, self) is COMPLEX:
        return K.equal(K.imag(self), 0)
    return K.ones(self.shape, K.dtypes["bool"])


@op(batch=elementwise)
def signbit(K, self: Array) -> Array:
    """Whether each element has its sign bit set: is negative, or the float -0.0.

    Raises
    ------
    RuntimeError
        If the elements are complex.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signbit.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.signbit(retrograd.tensor([-1.0, -0.0, 2.0]))
    tensor([ True,  True, False])
    """
    category = _category(K, self)
    if category is COMPLEX:
        raise NotImplementedError("signbit is not implemented for complex tensors.")
    if category is FLOAT:
        return K.less(K.copysign(K.astype(K.ones(self.shape, K.dtypes["float32"]), self.dtype), self), 0)
    return K.less(self, 0) if category is INTEGER else K.zeros(self.shape, K.dtypes["bool"])


# -- logic -------------------------------------------------------------------------------------


@op("logical_and", promote="common", as_numbers=())
def logical_and(self: Array, other: Array) -> Array:
    """The logical and of each pair of elements; what is not zero counts as true.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logical_and.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.logical_and(retrograd.tensor([0, 1, 2]), retrograd.tensor([0, 0, 1]))
    tensor([False, False,  True])
    """


@op("logical_or", promote="common", as_numbers=())
def logical_or(self: Array, other: Array) -> Array:
    """The logical or of each pair of elements; what is not zero counts as true.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logical_or.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.logical_or(retrograd.tensor([0, 1, 2]), retrograd.tensor([0, 0, 1]))
    tensor([False,  True,  True])
    """


@op("logical_xor", promote="common", as_numbers=())
def logical_xor(self: Array, other: Array) -> Array:
    """The logical xor of each pair of elements; what is not zero counts as true.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logical_xor.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.logical_xor(retrograd.tensor([0, 1, 2]), retrograd.tensor([0, 0, 1]))
    tensor([False,  True, False])
    """


@op("logical_not", promote="common")
def logical_not(self: Array) -> Array:
    """Whether each element is zero.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logical_not.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.logical_not(retrograd.tensor([0, 1, 2]))
    tensor([ True, False, False])
    """


for _name, _function in {
    "not_equal": ne,
    "less": lt,
    "less_equal": le,
    "greater": gt,
    "greater_equal": ge,
}.items():
    alias(_name, _function)
