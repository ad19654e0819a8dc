"""Bounds and steps: the larger of two, clamping, rounding, and what replaces single values."""

from __future__ import annotations

from typing import Any

from retrograd.dtypes import DTYPES, Category, finfo
from retrograd.ops.arguments import as_int
from retrograd.ops.batching import elementwise
from retrograd.ops.broadcasting import sum_to
from retrograd.ops.checks import implemented_for, is_bool, is_number, joined_with, no_complex
from retrograd.ops.declare import Array, alias, composite, name_written, op
from retrograd.ops.dispatch import plain_number
from retrograd.ops.fused import fused
from retrograd.ops.overloads import wrong_argument
from retrograd.ops.reducing import deliver
from retrograd.ops.underived import no_slope, no_tangent

__all__: list[str] = []

BOOL, INTEGER, FLOAT, COMPLEX = Category


def _category(K: Any, x: Any) -> Category:
    return DTYPES[K.names[x.dtype]].category


def _masked(K: Any, mask: Any, g: Any) -> Any:
    """`g` where `mask` holds, else 0."""
    return K.where(mask, g, K.zeros_like(g))


# -- the larger and the smaller of two ---------------------------------------------------------


def _share(K: Any, g: Any, wins: Any, ties: Any) -> Any:
    """The gradient goes to the one that wins; half of it where they tie."""
    return K.where(ties, g / 2, _masked(K, wins, g))


@op(
    "maximum",
    promote="common",
    as_numbers=(),
    check=no_complex("maximum not implemented for complex tensors.", RuntimeError),
    vjp={
        "self": lambda K, g, self, other: _share(K, g, ~(self < other), self == other),
        "other": lambda K, g, self, other: _share(K, g, ~(other < self), self == other),
    },
)
def maximum(self: Array, other: Array) -> Array:
    """The larger of each pair of elements; NaN if one is NaN. Equal ones share the gradient.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.maximum.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.maximum(retrograd.tensor([1.0, 2.0]), retrograd.tensor([2.0, 1.0]))
    tensor([2., 2.])
    """


@op(
    "minimum",
    promote="common",
    as_numbers=(),
    check=no_complex("minimum not implemented for complex tensors.", RuntimeError),
    vjp={
        "self": lambda K, g, self, other: _share(K, g, ~(self > other), self == other),
        "other": lambda K, g, self, other: _share(K, g, ~(other > self), self == other),
    },
)
def minimum(self: Array, other: Array) -> Array:
    """The smaller of each pair of elements; NaN if one is NaN. Equal ones share the gradient.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.minimum.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.minimum(retrograd.tensor([1.0, 2.0]), retrograd.tensor([2.0, 1.0]))
    tensor([1., 1.])
    """


@op(
    promote="common",
    as_numbers=(),
    check=no_complex("fmax not implemented for complex tensors.", RuntimeError),
    vjp={
        "self": lambda K, g, self, other: _masked(K, (self >= other) | (other != other), g),
        "other": lambda K, g, self, other: _masked(K, ~((self >= other) | (other != other)), g),
    },
)
def fmax(K, self: Array, other: Array) -> Array:
    """The larger of each pair of elements; where one is NaN, the other.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fmax.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fmax(retrograd.tensor([1.0, float("nan")]), retrograd.tensor([2.0, 1.0]))
    tensor([2., 1.])
    """
    return K.where(K.not_equal(self, self), other, K.where(K.not_equal(other, other), self, K.maximum(self, other)))


@op(
    promote="common",
    as_numbers=(),
    check=no_complex("fmin not implemented for complex tensors.", RuntimeError),
    vjp={
        "self": lambda K, g, self, other: _masked(K, (self <= other) | (other != other), g),
        "other": lambda K, g, self, other: _masked(K, ~((self <= other) | (other != other)), g),
    },
)
def fmin(K, self: Array, other: Array) -> Array:
    """The smaller of each pair of elements; where one is NaN, the other.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fmin.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fmin(retrograd.tensor([1.0, float("nan")]), retrograd.tensor([2.0, 1.0]))
    tensor([1., 1.])
    """
    return K.where(K.not_equal(self, self), other, K.where(K.not_equal(other, other), self, K.minimum(self, other)))


# -- clamping ----------------------------------------------------------------------------------


def _inside(x: Any, low: Any, high: Any) -> Any:
    """Where `x` is within its bounds, which themselves are inside."""
    if low is None:
        return x <= high
    return x >= low if high is None else (x >= low) & (x <= high)


_no_complex_input = no_complex("clamp is not supported for complex types")
_check_one_bound = implemented_for("maximum_cpu", BOOL, INTEGER, FLOAT)
_check_bounds = implemented_for("clamp_cpu", BOOL, INTEGER, FLOAT)
_check_tensors = implemented_for("clamp_cpu", INTEGER, FLOAT)


def _check_clamp(inputs: Any) -> None:
    _no_complex_input(inputs[:1])
    one_bound = len(inputs) == 3 and inputs[2] is None
    (_check_one_bound if one_bound else _check_bounds)(inputs)
    if len(inputs) == 3 and not one_bound and inputs[1] is not None:
        _check_tensors(inputs)  # both bounds are tensors


@op(
    node="ClampBackward1",
    promote="common",
    check=_check_clamp,
    vjp={"self": lambda K, g, self, min, max: _masked(K, _inside(self, min, max), g)},
)
def _clamp_number(K, self: Array, min: Any, max: Any) -> Array:
    """Bounds that are numbers or None."""
    return K.clip(self, min, max)


@op(
    node="ClampBackward0",
    promote="common",
    check=_check_clamp,
    vjp={
        "self": lambda K, g, self, min, max: _masked(K, _inside(self, min, max), g),
        "min": lambda K, g, self, min, max: _masked(K, (self < min) if max is None else (self < min) & (min < max), g),
        "max": lambda K, g, self, min, max: _masked(K, (self > max) if min is None else (self > max) | (max < min), g),
    },
    order=("self", "min", "max"),
)
def _clamp(K, self: Array, min: Array | None, max: Array | None) -> Array:
    """Bounds that are tensors or None."""
    return K.clip(self, min, max)


@composite
def clamp(input: Array, min: Any = None, max: Any = None, *, out: Any = None) -> Array:
    """Each element, brought to the interval from `min` to `max`: numbers, tensors or None.

    The gradient passes where the element was inside, bounds included. If `min` is greater than `max`,
    the result is `max`.

    Raises
    ------
    RuntimeError
        If both bounds are None.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.clamp.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.clamp(retrograd.tensor([-1.0, 0.5, 2.0]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    if out is not None:
        return deliver("clamp", out, clamp(input, min, max), (input, min, max))
    if min is None and max is None:
        raise RuntimeError("retrograd.clamp: At least one of 'min' or 'max' must not be None")
    if all(each is None or is_number(each) for each in (min, max)):
        min, max = (None if each is None else plain_number(each) for each in (min, max))
        return _clamp_number(joined_with(input, min, max), min, max)
    if is_number(min) or is_number(max):
        return clamp(input, *_both_numbers(input, min, max))
    return _clamp(input, min, max)


def _both_numbers(input: Any, *bounds: Any) -> tuple[Any, Any]:
    """The bounds, one of which is a number: the other may be a tensor without dimensions that stands for one."""
    if any(getattr(each, "ndim", 0) or getattr(each, "requires_grad", False) for each in bounds):
        raise wrong_argument("clamp", "max", 2, (input, *bounds))
    low, high = (each.item() if hasattr(each, "item") else each for each in bounds)
    return low, high


@op(
    node="ClampMinBackward0",
    promote="common",
    check=_check_clamp,
    vjp={"self": lambda K, g, self, min: _masked(K, self >= min, g)},
)
def _clamp_min_number(K, self: Array, min: Any) -> Array:
    """A bound that is a number."""
    return K.maximum(self, min)


@op(
    "maximum",
    node="ClampMinBackward1",
    promote="common",
    as_numbers=(),
    check=implemented_for("maximum_cpu", BOOL, INTEGER, FLOAT),
    vjp={
        "self": lambda K, g, self, min: _masked(K, self >= min, g),
        "min": lambda K, g, self, min: _masked(K, self < min, g),
    },
)
def _clamp_min(self: Array, min: Array) -> Array:
    """A bound that is a tensor."""


@composite
def clamp_min(input: Array, min: Any) -> Array:
    """Each element, made at least `min`, a number or a tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.clamp.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.clamp_min(retrograd.tensor([-1.0, 0.5, 2.0]), 1)
    tensor([1., 1., 2.])
    """
    if is_number(min):
        if is_number(input):
            raise wrong_argument("clamp_min", "self", 0, (input, min))
        return _clamp_min_number(joined_with(input, min), plain_number(min))
    return _clamp_min(input, min)


@op(
    node="ClampMaxBackward0",
    promote="common",
    check=_check_clamp,
    vjp={"self": lambda K, g, self, max: _masked(K, self <= max, g)},
)
def _clamp_max_number(K, self: Array, max: Any) -> Array:
    """A bound that is a number."""
    return K.minimum(self, max)


@op(
    "minimum",
    node="ClampMaxBackward1",
    promote="common",
    as_numbers=(),
    check=implemented_for("minimum_cpu", BOOL, INTEGER, FLOAT),
    vjp={
        "self": lambda K, g, self, max: _masked(K, self <= max, g),
        "max": lambda K, g, self, max: _masked(K, self > max, g),
    },
)
def _clamp_max(self: Array, max: Array) -> Array:
    """A bound that is a tensor."""


@composite
def clamp_max(input: Array, max: Any) -> Array:
    """Each element, made at most `max`, a number or a tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.clamp.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.clamp_max(retrograd.tensor([-1.0, 0.5, 2.0]), 1)
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if is_number(max):
        if is_number(input):
            raise wrong_argument("clamp_max", "self", 0, (input, max))
        return _clamp_max_number(joined_with(input, max), plain_number(max))
    return _clamp_max(input, max)


def _check_relu(inputs: Any) -> None:
    if is_bool(inputs[0]):
        raise RuntimeError("Boolean inputs not supported for relu")
    _check_clamp(inputs)


@op(
    name="_threshold_backward",
    node="ThresholdBackwardBackward0",
    vjp={
        "grad": lambda K, g, self, grad_shape: sum_to(K, fused(_threshold_backward)(K, g, self), grad_shape),
        "self": lambda K, g, self_shape: sum_to(K, K.zeros_like(g), self_shape),
    },
    jvp="elementwise",
    batch=elementwise,
)
def _threshold_backward(K, grad: Array, self: Array) -> Array:
    """`grad` where `self` is positive, else 0; an operator, since a gradient depends on where it was taken."""
    return K.zero_where(grad, self <= 0)


_where_positive = fused(_threshold_backward)


@op(
    promote="common",
    check=_check_relu,
    vjp={"self": lambda K, g, result: _where_positive(K, g, result)},
)
def relu(K, self: Array) -> Array:
    """Each element if it is positive, else 0: ``max(input, 0)``. Its derivative at 0 is 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.relu.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.relu(retrograd.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return K.clip(self, 0, None)


# -- rounding ----------------------------------------------------------------------------------


def _rounds(name: str) -> Any:
    """The checks of a rounding function."""
    implemented = implemented_for(f"{name}_vml_cpu", INTEGER, FLOAT)
    real = no_complex(f"{name} is not supported for complex inputs")

    def check(inputs: Any) -> None:
        real(inputs)
        implemented(inputs)

    return check


def _rounded(K: Any, kernel: str, x: Any) -> Any:
    """Integers are what they are."""
    return getattr(K, kernel)(x) if _category(K, x) >= FLOAT else _unchanged(K, x)


def _unchanged(K: Any, x: Any) -> Any:
    """A copy of integers or bools, made as elementwise kernels make results: in the same order of axes."""
    return K.maximum(x, x)


@op(
    "ceil",
    promote="common",
    check=_rounds("ceil"),
    vjp={"self": lambda K, g: K.zeros_like(g)},
)
def ceil(K, self: Array) -> Array:
    """Each element rounded up to a whole number.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.ceil.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.ceil(retrograd.tensor([-1.5, 0.5, 2.0]))
    tensor([-1.,  1.,  2.])
    """
    return _rounded(K, "ceil", self)


@op(
    "floor",
    promote="common",
    check=_rounds("floor"),
    vjp={"self": lambda K, g: K.zeros_like(g)},
)
def floor(K, self: Array) -> Array:
    """Each element rounded down to a whole number.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.floor.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.floor(retrograd.tensor([-1.5, 0.5, 2.0]))
    tensor([-2.,  0.,  2.])
    """
    return _rounded(K, "floor", self)


@op(
    "trunc",
    promote="common",
    check=_rounds("trunc"),
    vjp={"self": lambda K, g: K.zeros_like(g)},
)
def trunc(K, self: Array) -> Array:
    """Each element rounded towards zero to a whole number.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.trunc.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.trunc(retrograd.tensor([-1.5, 0.5, 2.0]))
    tensor([-1.,  0.,  2.])
    """
    return _rounded(K, "trunc", self)


@op(
    "round",
    node="RoundBackward0",
    promote="common",
    check=implemented_for("round_vml_cpu", INTEGER, FLOAT),
    vjp={"self": lambda K, g: K.zeros_like(g)},
)
def _round(K, self: Array) -> Array:
    """To whole numbers."""
    return _rounded(K, "round", self)


@op(
    node="RoundBackward1",
    promote="common",
    check=implemented_for("round_cpu", FLOAT),
    vjp={"self": lambda K, g: K.zeros_like(g)},
)
def _round_decimals(K, self: Array, decimals: int) -> Array:
    """To a number of decimal digits."""
    scale = 10.0 ** (decimals if decimals >= 0 else -decimals)
    return K.round(self * scale) / scale if decimals >= 0 else K.round(self / scale) * scale


@composite
def round(input: Array, *, decimals: int = 0) -> Array:
    """Each element rounded to the nearest whole number, halves to the even one.

    With `decimals`, to that many digits after the point (before it, if negative).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.round.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.round(retrograd.tensor([0.5, 1.5, 2.6]))
    tensor([0., 2., 3.])
    """
    if type(decimals) is int and decimals == 0:
        return _round(input)
    return _round_decimals(input, as_int(decimals))


@op(promote="common", check=implemented_for("frac_cpu", FLOAT), vjp={"self": lambda K, g: g})
def frac(K, self: Array) -> Array:
    """The fractional part of each element, with its sign: ``input - trunc(input)``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.frac.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.frac(retrograd.tensor([1.25, -2.5]))
    tensor([ 0.2500, -0.5000])
    """
    return K.subtract(self, K.trunc(self))


# -- single values -----------------------------------------------------------------------------


@op(
    promote="common",
    vjp={"self": lambda K, g, self: _masked(K, K.isfinite(self), g)},
)
def nan_to_num(
    K, self: Array, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Array:
    """Each element, with NaN and infinities replaced.

    By default NaN becomes 0 and an infinity the largest or the smallest finite number of the type.
    The gradient is 0 where something was replaced.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nan_to_num.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nan_to_num(retrograd.tensor([1.0, float("nan"), float("inf")]), posinf=9.0)
    tensor([1., 0., 9.])
    """
    category = _category(K, self)
    if category < FLOAT:
        return _unchanged(K, self)
    if category is COMPLEX:
        return K.complex(*(_finite(K, part, nan, posinf, neginf) for part in (K.real(self), K.imag(self))))
    return _finite(K, self, nan, posinf, neginf)


def _finite(K: Any, x: Any, nan: float | None, posinf: float | None, neginf: float | None) -> Any:
    largest = finfo(DTYPES[K.names[x.dtype]]).max

    def value(given: float | None, default: float) -> Any:
        return K.full((), default if given is None else given, x.dtype)

    infinite = K.where(K.greater(x, 0), value(posinf, largest), value(neginf, -largest))
    return K.where(K.isnan(x), value(nan, 0.0), K.where(K.isinf(x), infinite, x))


def _check_heaviside(inputs: Any) -> None:
    no_complex("heaviside is not yet implemented for complex tensors.", RuntimeError)(inputs)
    if inputs[0].dtype is not inputs[1].dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")


@op(
    node="NotImplemented",
    promote="common",
    as_numbers=(),
    check=_check_heaviside,
    vjp=dict.fromkeys(("self", "values"), no_slope("heaviside")),
    jvp=dict.fromkeys(("self", "values"), no_tangent("heaviside")),
)
def heaviside(K, self: Array, values: Array) -> Array:
    """0 for a negative element, 1 for a positive one, that of `values` for 0.

    Raises
    ------
    RuntimeError
        If the types differ, or a gradient is asked for.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.heaviside.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.heaviside(retrograd.tensor([-1.0, 0.0, 2.0]), retrograd.tensor(0.5))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return K.where(K.equal(self, 0), values, K.astype(K.greater(self, 0), self.dtype))


name_written(
    heaviside,
    "NotImplemented",
    dict.fromkeys(("self", "values"), no_slope("heaviside_")),
    dict.fromkeys(("self", "values"), no_tangent("heaviside_")),
)


def _copysign_vjp(K: Any, g: Any, self: Any, result: Any) -> Any:
    zero = self == 0
    ratio = result / K.where(zero, K.zeros_like(self) + 1, self)
    return g * _masked(K, ~zero, ratio)


@op(
    "copysign",
    node="CopysignBackward0",
    promote="float",
    as_numbers=(),
    check=implemented_for("copysign_cpu", BOOL, INTEGER, FLOAT),
    vjp={"self": _copysign_vjp, "other": lambda K, g: K.zeros_like(g)},
)
def _copysign(self: Array, other: Array) -> Array:
    """Signs from a tensor."""


@op(
    "copysign",
    node="CopysignBackward1",
    promote="float",
    check=implemented_for("copysign_cpu", BOOL, INTEGER, FLOAT),
    vjp={"self": _copysign_vjp},
)
def _copysign_number(self: Array, other: Array) -> Array:
    """The sign of a number."""


@composite
def copysign(input: Array, other: Any) -> Array:
    """Each element of `input` with the sign of that of `other`; the sign of -0.0 counts.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.copysign.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.copysign(retrograd.tensor([1.0, -2.0]), -1)
    tensor([-1., -2.])
    """
    return (_copysign_number if is_number(other) else _copysign)(input, other)


@op(
    "nextafter",
    promote="common",
    as_numbers=(),
    check=implemented_for("nextafter_cpu", FLOAT),
    widens=False,
    vjp={
        "self": lambda K, g, self, other: K.where(self == other, K.zeros_like(g), g),
        "other": lambda K, g: K.zeros_like(g),
    },
)
def nextafter(self: Array, other: Array) -> Array:
    """The next number that the type can hold, from `input` in the direction of `other`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nextafter.html

    Examples
    --------
    >>> import retrograd
    >>> one = retrograd.tensor([1.0])
    >>> retrograd.nextafter(one, one + 1) - one == retrograd.finfo(one.dtype).eps
    tensor([True])
    """


for _name, _function in {"clip": clamp, "fix": trunc}.items():
    alias(_name, _function)
