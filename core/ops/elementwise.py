"""Elementwise arithmetic: sums, products, quotients and remainders, signs, and combinations of them.

Formulas are those of the derivative of each function; broadcasting, promotion and complex
conjugation are undone by the machinery (see `retrograd.ops.declare`).
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from retrograd.autograd.modes import GRAD, NO_GRAD, current_mode
from retrograd.dtypes import DTYPES, Category, cpp_name, dtype
from retrograd.ops.batching import leading
from retrograd.ops.checks import implemented_for, is_bool, is_number, no_bool, no_zero_divisor
from retrograd.ops.declare import Array, Formulas, Op, alias, composite, name_written, op, op_of
from retrograd.ops.dispatch import call
from retrograd.ops.graph import graph_kernel
from retrograd.ops.reducing import deliver
from retrograd.ops.underived import no_slope, no_tangent
from retrograd.tensor import Tensor, wrap_array

__all__: list[str] = []

BOOL, INTEGER, FLOAT, COMPLEX = Category


def _category(K: Any, x: Any) -> Category:
    return DTYPES[K.names[x.dtype]].category


# -- casting -----------------------------------------------------------------------------------


@op(
    "astype",
    node="ToCopyBackward0",
    graph="_to_copy",
    vjp={"self": lambda K, g, self_dtype: K.astype(g, self_dtype)},
    jvp="linear",
)
def _to_copy(self: Array, dtype: Any) -> Array:
    """The same numbers in another type, one of the backend's own."""


_TO_COPY = op_of(_to_copy)


@graph_kernel("astype", batch=leading)
def _cast(x: Any, type_: Any) -> Any:
    """`x` in another type, retrograd's or the backend's own; `x` itself if it has it."""
    native = x._kernels.dtypes[type_.name] if isinstance(type_, dtype) else type_
    return x if x._array.dtype == native else to_copy(x, native)


def to_copy(x: Any, native: Any) -> Any:
    """`x` in another of its backend's types, or a copy in the same; without gradient in an integer type."""
    if native in x._kernels.floats or DTYPES[x._kernels.names[native]].is_complex:
        return _to_copy(x, native)
    mode = current_mode()
    if (mode is GRAD or mode is NO_GRAD) and type(x) is Tensor and x._edge is None:
        made = wrap_array(x._kernels.astype(x._array, native), x._kernels)
        made._break = x._break
        return made
    return call(_TO_COPY, x, native)  # the fast path would take any result for differentiable


Op.cast = staticmethod(_cast)


# -- arithmetic --------------------------------------------------------------------------------


def _scaled(K: Any, x: Any, alpha: Any) -> Any:
    """`alpha * x`, for an `alpha` that the type of `x` can hold."""
    if alpha is True or alpha is False:
        if _category(K, x) is not BOOL:
            raise RuntimeError("Boolean alpha only supported for Boolean results.")
    elif isinstance(alpha, (float, complex)) and _category(K, x) <= INTEGER:
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    elif not is_number(alpha):
        raise TypeError(f"argument 'alpha' must be Number, not {type(alpha).__name__}")
    if _category(K, x) is BOOL:
        return x if alpha else K.zeros_like(x)
    return x if alpha == 1 else K.multiply(x, alpha)


@op(
    "add",
    promote="common",
    vjp={
        "self": lambda K, g: g,
        "other": lambda K, g, alpha: g if alpha == 1 else g * alpha,
    },
    rounded=("alpha",),
    fused_gradient=True,
)
def add(K, self: Array, other: Array, *, alpha: float = 1) -> Array:
    """Add elementwise: ``input + alpha * other``.

    Inputs broadcast against each other and are promoted to a common type.

    Raises
    ------
    RuntimeError
        If the shapes do not broadcast, or `alpha` is not a number the common type can hold.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.add.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.add(retrograd.tensor([1.0, 2.0]), 3, alpha=2)
    tensor([7., 8.])
    """
    return K.add(self, _scaled(K, other, alpha))


def _check_subtraction(inputs: Sequence[Any]) -> None:
    flags = [is_bool(each) for each in inputs]
    if all(flags):
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. "
            "Use the `^` or `logical_xor()` operator instead."
        )
    if any(flags):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. "
            "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )


@op(
    "subtract",
    promote="common",
    check=_check_subtraction,
    vjp={
        "self": lambda K, g: g,
        "other": lambda K, g, alpha: -g if alpha == 1 else g * -alpha,
    },
    rounded=("alpha",),
    fused_gradient=True,
)
def sub(K, self: Array, other: Array, *, alpha: float = 1) -> Array:
    """Subtract elementwise: ``input - alpha * other``.

    Raises
    ------
    RuntimeError
        If an input is a bool, or the shapes do not broadcast.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sub.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.sub(retrograd.tensor([1, 2]), retrograd.tensor([0, 1]))
    tensor([1, 1])
    """
    return K.subtract(self, _scaled(K, other, alpha))


_RSUB_VJP: Formulas = {
    "self": lambda K, g, alpha: -g if alpha == 1 else g * -alpha,
    "other": lambda K, g: g,
}


@op(
    node="RsubBackward0",
    promote="common",
    as_numbers=("other",),
    check=_check_subtraction,
    vjp=_RSUB_VJP,
    rounded=("alpha",),
    fused_gradient=True,
    order=("other", "self"),
)
def _rsub(K, self: Array, other: Array, alpha: float = 1) -> Array:
    """``other - alpha * self`` of two tensors."""
    return K.subtract(other, _scaled(K, self, alpha))


@op(
    node="RsubBackward1",
    promote="common",
    check=_check_subtraction,
    vjp={"self": _RSUB_VJP["self"]},
    rounded=("alpha",),
    fused_gradient=True,
)
def _rsub_number(K, self: Array, other: Array, alpha: float = 1) -> Array:
    """``other - alpha * self`` where `other` is a number."""
    return K.subtract(other, _scaled(K, self, alpha))


@composite
def rsub(input: Array, other: Any, alpha: float = 1) -> Array:
    """Subtract the other way round: ``other - alpha * input``.

    Raises
    ------
    RuntimeError
        If an input is a bool, or the shapes do not broadcast.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.rsub.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.rsub(retrograd.tensor([1.0, 2.0]), 10)
    tensor([9., 8.])
    """
    return (_rsub_number if is_number(other) else _rsub)(input, other, alpha)


@op(
    "multiply",
    promote="common",
    vjp={
        "self": lambda K, g, other: g * other,
        "other": lambda K, g, self: g * self,
    },
    exact_numbers=("self", "other"),
)
def mul(self: Array, other: Array) -> Array:
    """Multiply elementwise: ``input * other``.

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
    exact_numbers=("other",),
)
def true_divide(self: Array, other: Array) -> Array:
    """Divide elementwise: ``input / other``; integers give floating-point numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.true_divide.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.true_divide(retrograd.tensor([1, 2]), 4)
    tensor([0.2500, 0.5000])
    """


# PyTorch's functions of several operators have nodes of one edge for arithmetic with a number.


@op("add", node="AddBackward1", promote="common", vjp={"self": lambda K, g: g})
def _add_number(self: Array, other: Array) -> Array:
    """``self + other``, where `other` is a number."""


@op("subtract", node="SubBackward1", promote="common", check=_check_subtraction, vjp={"self": lambda K, g: g})
def _sub_number(self: Array, other: Array) -> Array:
    """``self - other``, where `other` is a number."""


@op(
    "multiply",
    node="MulBackward1",
    promote="common",
    vjp={"self": lambda K, g, other: g * other},
    exact_numbers=("other",),
)
def _mul_number(self: Array, other: Array) -> Array:
    """``self * other``, where `other` is a number."""


@op(
    "divide",
    node="DivBackward1",
    promote="float",
    vjp={"self": lambda K, g, other: g / other},
    exact_numbers=("other",),
)
def _div_number(self: Array, other: Array) -> Array:
    """``self / other``, where `other` is a number."""


def _truncated_quotient(K: Any, self: Any, other: Any) -> Any:
    if _category(K, self) >= FLOAT:
        return K.trunc(K.divide(self, other))
    quotient = K.floor_divide(self, other)
    inexact = K.not_equal(K.multiply(quotient, other), self)
    return K.add(quotient, K.astype(K.logical_and(inexact, K.less(quotient, 0)), quotient.dtype))


@op(
    node="DivBackward2",
    promote="common",
    vjp={"self": lambda K, g: K.zeros_like(g), "other": lambda K, g: K.zeros_like(g)},
    kept={"self": ("other", "rounding_mode"), "other": ("self", "other", "rounding_mode")},
    exact_numbers=("other",),
)
def _div_rounded(K, self: Array, other: Array, rounding_mode: str) -> Array:
    """The quotient rounded down (`"floor"`) or towards zero (`"trunc"`): its gradient is zero."""
    return K.floor_divide(self, other) if rounding_mode == "floor" else _truncated_quotient(K, self, other)


@composite
def div(input: Array, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Array:
    """Divide elementwise: ``input / other``, rounded if asked.

    Parameters
    ----------
    rounding_mode
        None for the true quotient (of integers too), `"trunc"` to round it towards zero, `"floor"`
        to round it down.

    Raises
    ------
    RuntimeError
        If `rounding_mode` is something else, the shapes do not broadcast, or an integer is divided
        by zero.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.div.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([-3.0, 3.0])
    >>> retrograd.div(x, 2), retrograd.div(x, 2, rounding_mode="floor")
    (tensor([-1.5000,  1.5000]), tensor([-2.,  1.]))
    """
    if out is not None:
        return deliver("div", out, div(input, other, rounding_mode=rounding_mode), (input, other))
    if rounding_mode is None:
        return true_divide(input, other)
    if rounding_mode not in ("trunc", "floor"):
        raise RuntimeError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'"
        )
    implemented_for(f"div_{rounding_mode}_cpu", INTEGER, FLOAT)((input, other))
    no_zero_divisor((input, other))
    return _div_rounded(input, other, rounding_mode)


def _check_floor_divide(inputs: Sequence[Any]) -> None:
    implemented_for("div_floor_cpu", INTEGER, FLOAT)(inputs)
    no_zero_divisor(inputs)


@op(
    "floor_divide",
    node="NotImplemented",
    promote="common",
    check=_check_floor_divide,
    vjp=dict.fromkeys(("self", "other"), no_slope("floor_divide")),
    jvp=dict.fromkeys(("self", "other"), no_tangent("floor_divide")),
    exact_numbers=("other",),
)
def floor_divide(self: Array, other: Array) -> Array:
    """Divide elementwise and round down; not differentiable (`div` with a `rounding_mode` is).

    Raises
    ------
    RuntimeError
        If an integer is divided by zero, or a gradient is asked for.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.floor_divide.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([-3, 3]) // 2
    tensor([-2,  1])
    """


name_written(
    floor_divide,
    "NotImplemented",
    dict.fromkeys(("self", "other"), no_slope("floor_divide_")),
    dict.fromkeys(("self", "other"), no_tangent("floor_divide_")),
)


def _check_remainder(inputs: Sequence[Any]) -> None:
    implemented_for("remainder_cpu", INTEGER, FLOAT)(inputs)
    no_zero_divisor(inputs)


_remainder_vjp: Formulas = {
    "self": lambda K, g: g,
    "other": lambda K, g, self, other: -g * K.floor(self / other),
}


@op("remainder", node="RemainderBackward1", promote="common", check=_check_remainder, vjp=_remainder_vjp)
def _remainder(self: Array, other: Array) -> Array:
    """The remainder of two tensors, with the sign of the divisor."""


@op(
    "remainder",
    node="RemainderBackward0",
    promote="common",
    check=_check_remainder,
    vjp={"self": lambda K, g: g},
)
def _remainder_number(self: Array, other: Array) -> Array:
    """The remainder after division by a number."""


@composite
def remainder(input: Any, other: Any) -> Array:
    """Python's modulo, elementwise: ``input - floor(input / other) * other``, of the sign of `other`.

    Raises
    ------
    RuntimeError
        If an integer is divided by zero.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.remainder.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.remainder(retrograd.tensor([-3.0, 3.0]), 2)
    tensor([1., 1.])
    """
    return (_remainder_number if is_number(other) else _remainder)(input, other)


def _check_fmod(inputs: Sequence[Any]) -> None:
    implemented_for("fmod_cpu", INTEGER, FLOAT)(inputs)
    no_zero_divisor(inputs)


@op(
    "fmod",
    node="FmodBackward1",
    promote="common",
    as_numbers=(),
    check=_check_fmod,
    vjp={
        "self": lambda K, g: g,
        "other": lambda K, g, self, other: -g * K.trunc(self / other),
    },
)
def _fmod(self: Array, other: Array) -> Array:
    """The remainder of two tensors, with the sign of the dividend."""


@op("fmod", node="FmodBackward0", promote="common", check=_check_fmod, vjp={"self": lambda K, g: g})
def _fmod_number(self: Array, other: Array) -> Array:
    """The remainder after division by a number, with the sign of the dividend."""


@composite
def fmod(input: Array, other: Any) -> Array:
    """C's remainder, elementwise: ``input - trunc(input / other) * other``, of the sign of `input`.

    Raises
    ------
    RuntimeError
        If an integer is divided by zero.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fmod.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fmod(retrograd.tensor([-3.0, 3.0]), 2)
    tensor([-1.,  1.])
    """
    return (_fmod_number if is_number(other) else _fmod)(input, other)


@op(
    "negative",
    node="NegBackward0",
    promote="common",
    check=no_bool(
        "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, "
        "use the `~` or `logical_not()` operator instead."
    ),
    vjp={"self": lambda K, g: -g},
)
def neg(self: Array) -> Array:
    """The negative of each element: ``-input``.

    Raises
    ------
    RuntimeError
        If the elements are bools.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.neg.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.neg(retrograd.tensor([1.0, -2.0]))
    tensor([-1.,  2.])
    """


@composite
def positive(input: Array) -> Array:
    """The tensor itself: ``+input``.

    Raises
    ------
    RuntimeError
        If the elements are bools.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.positive.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.positive(retrograd.tensor([1.0, -2.0]))
    tensor([ 1., -2.])
    """
    if is_bool(input):
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def _sgn_vjp(K: Any, g: Any, self: Any, self_dtype: Any) -> Any:
    """Zero for real numbers; for complex ones what is tangential to the unit circle, over the modulus."""
    if "complex" not in str(self_dtype):
        return K.zeros_like(g)
    unit = K.sign(self)
    tangential = K.imag(g * K.conj(unit))
    modulus = K.abs(self)
    scaled = K.where(modulus == 0, 0, tangential / K.where(modulus == 0, 1, modulus))
    return K.complex(-scaled * K.imag(unit), scaled * K.real(unit))


def _sign(K: Any, x: Any) -> Any:
    """Of bools what they are, of NaN 0."""
    category = _category(K, x)
    if category is FLOAT:
        return K.where(K.isnan(x), K.zeros_like(x), K.sign(x))
    return K.logical_or(x, x) if category is BOOL else K.sign(x)


@op(
    promote="common",
    graph="sign",
    vjp={"self": _sgn_vjp},
    jvp={"self": _sgn_vjp},
    holomorphic=False,
    kept=("result",),
)
def sgn(K, self: Array) -> Array:
    """The sign of each element; of a complex number, ``input / abs(input)``, and 0 for 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sgn.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.sgn(retrograd.tensor([3 + 4j, 0]))
    tensor([0.6000+0.8000j, 0.0000+0.0000j])
    """
    return _sign(K, self)


def _check_sign(inputs: Sequence[Any]) -> None:
    if inputs[0].dtype.is_complex:
        raise NotImplementedError(
            "Unlike NumPy, retrograd.sign is not intended to support complex numbers. Please use retrograd.sgn instead."
        )


@op(promote="common", check=_check_sign, vjp={"self": lambda K, g: K.zeros_like(g)})
def sign(K, self: Array) -> Array:
    """The sign of each element: -1, 0 or 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sign.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.sign(retrograd.tensor([-2.5, 0.0, 3.0]))
    tensor([-1.,  0.,  1.])
    """
    return _sign(K, self)


@op(
    "abs",
    promote="common",
    check=implemented_for("abs_cpu", INTEGER, FLOAT, COMPLEX),
    vjp={"self": lambda K, g, self: g * K.sign(self)},
    jvp={"self": lambda K, t, self: K.real(K.conj(K.sign(self)) * t)},
    holomorphic=False,
)
def abs(self: Array) -> Array:
    """The absolute value of each element; the modulus of a complex number, as a real one.

    The derivative is the sign, and so 0 at 0.

    Raises
    ------
    NotImplementedError
        If the elements are bools.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.abs.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.abs(retrograd.tensor([-1.0, 2.0]))
    tensor([1., 2.])
    """


# -- combinations ------------------------------------------------------------------------------


@op(
    node="AddcmulBackward0",
    promote="common",
    as_numbers=(),
    check=implemented_for("addcmul_cpu_out", INTEGER, FLOAT, COMPLEX),
    vjp={
        "self": lambda K, g: g,
        "tensor1": lambda K, g, tensor2, value: g * (tensor2 * value),
        "tensor2": lambda K, g, tensor1, value: g * (tensor1 * value),
    },
)
def addcmul(K, self: Array, tensor1: Array, tensor2: Array, *, value: float = 1) -> Array:
    """Add a product: ``input + value * tensor1 * tensor2``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.addcmul.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([1.0, 2.0])
    >>> retrograd.addcmul(x, x, x, value=10)
    tensor([11., 42.])
    """
    if isinstance(value, float) and _category(K, tensor1) <= INTEGER:
        value = int(value)
    return K.add(self, K.multiply(_scaled(K, tensor1, value), tensor2))


def _check_addcdiv(inputs: Sequence[Any]) -> None:
    if all(is_number(each) or each.dtype.category <= INTEGER for each in inputs[1:]):
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will "
            "perform a true division of tensor1 and tensor2. The historic addcdiv behavior can be "
            "implemented as (input + value * retrograd.trunc(tensor1 / tensor2)).to(input.dtype) for integer "
            "inputs and as (input + value * tensor1 / tensor2) for float inputs. The future addcdiv behavior "
            "is just the latter implementation: (input + value * tensor1 / tensor2), for all dtypes."
        )


@op(
    node="AddcdivBackward0",
    promote="common",
    as_numbers=(),
    check=_check_addcdiv,
    vjp={
        "self": lambda K, g: g,
        "tensor1": lambda K, g, tensor2, value: g * (value / tensor2),
        "tensor2": lambda K, g, tensor1, tensor2, value: -g * ((value * tensor1) / (tensor2 * tensor2)),
    },
)
def addcdiv(K, self: Array, tensor1: Array, tensor2: Array, *, value: float = 1) -> Array:
    """Add a quotient: ``input + value * tensor1 / tensor2``.

    Raises
    ------
    RuntimeError
        If `tensor1` and `tensor2` are integers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.addcdiv.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([1.0, 2.0])
    >>> retrograd.addcdiv(x, x, x, value=10)
    tensor([11., 12.])
    """
    return K.add(self, K.multiply(K.divide(tensor1, tensor2), value))


_check_lerp = implemented_for("lerp_kernel_scalar", FLOAT, COMPLEX)


@op(
    node="LerpBackward0",
    promote="common",
    check=_check_lerp,
    vjp={
        "self": lambda K, g, weight: g * (1 - weight),
        "end": lambda K, g, weight: g * weight,
    },
    fused_gradient=True,
)
def _lerp_number(K, self: Array, end: Array, weight: Any) -> Array:
    """Linear interpolation with one weight; from the nearer end, so that weight 1 gives `end` exactly."""
    if builtins.abs(weight) < 0.5:
        return K.add(self, K.multiply(K.subtract(end, self), weight))
    return K.subtract(end, K.multiply(K.subtract(end, self), 1 - weight))


@op(
    node="LerpBackward1",
    promote="common",
    check=implemented_for("lerp_kernel_tensor", FLOAT, COMPLEX),
    vjp={
        "self": lambda K, g, weight: g * (1 - weight),
        "end": lambda K, g, weight: g * weight,
        "weight": lambda K, g, self, end: g * (end - self),
    },
)
def _lerp(K, self: Array, end: Array, weight: Array) -> Array:
    """Linear interpolation with a weight for each element."""
    difference = end - self
    return K.where(K.abs(weight) < 0.5, self + weight * difference, end - difference * (1 - weight))


@composite
def lerp(input: Array, end: Array, weight: Any) -> Array:
    """Interpolate linearly: ``input + weight * (end - input)``, with a number or a tensor as weight.

    Raises
    ------
    RuntimeError
        If `end`, or a weight with dimensions, is of another type.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.lerp.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.lerp(retrograd.tensor([1.0, 2.0]), retrograd.tensor([3.0, 6.0]), 0.5)
    tensor([2., 4.])
    """
    number = is_number(weight)
    for name, each in (("end", end),) if number or not weight.ndim else (("end", end), ("weight", weight)):
        if each.dtype is not input.dtype:
            kinds = cpp_name(input.dtype), cpp_name(each.dtype)
            raise RuntimeError(f"expected dtype {kinds[0]} for `{name}` but got dtype {kinds[1]}")
    return (_lerp_number if number else _lerp)(input, end, weight)


for _name, _function in {
    "subtract": sub,
    "multiply": mul,
    "divide": div,
    "negative": neg,
    "absolute": abs,
}.items():
    alias(_name, _function)
