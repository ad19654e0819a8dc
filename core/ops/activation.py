"""Activation functions: the operators behind `retrograd.nn.functional`'s.

`relu`, `sigmoid`, `tanh` and the softmaxes are declared with the families they belong to. Numbers
in a comparison are compared with the elements' own type, as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from retrograd.ops.batching import along, elementwise
from retrograd.ops.broadcasting import sum_to
from retrograd.ops.declare import Array, op, op_of
from retrograd.ops.fused import fused
from retrograd.ops.graph import G
from retrograd.ops.reducing import into
from retrograd.ops.underived import no_slope, no_tangent

__all__: list[str] = []

SQRT_HALF = math.sqrt(0.5)
SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
ONE_OVER_SQRT_2PI = 1 / math.sqrt(2 * math.pi)


def _keep(K: Any, mask: Any, g: Any) -> Any:
    """`g` where `mask` holds, zero elsewhere; an infinite gradient does not leak into the rest."""
    return K.where(mask, g, K.zeros_like(g))


def _gate(name: str, node: str, through: Callable[..., Any]) -> Any:
    """Declare the gradient of an activation that is made of straight lines, whose own slope by `self` is zero.

    ``through(K, grad, x, *numbers)`` is what becomes of `grad`, in which it is linear.
    """

    @op(
        name=name,
        node=node,
        vjp={
            "grad": lambda K, g, self, numbers, grad_shape: sum_to(K, through(K, g, self, *numbers), grad_shape),
            "self": lambda K, g, self_shape: sum_to(K, K.zeros_like(g), self_shape),
        },
        jvp="elementwise",
        batch=elementwise,
    )
    def gate(K, grad: Array, self: Array, numbers: tuple[float, ...]) -> Array:
        """See the declaration."""
        return through(K, grad, self, *numbers)

    def gradient(K: Any, g: Any, x: Any, *numbers: float) -> Any:
        return gate(g, x, numbers) if K is G else through(K, g, x, *numbers)

    return gradient


_leaky_relu_backward = _gate(
    "_leaky_relu_backward", "LeakyReluBackwardBackward0",
    lambda K, g, x, negative_slope: K.where(x > 0, g, g * negative_slope),
)  # fmt: skip
_hardtanh_backward = _gate(
    "_hardtanh_backward", "HardtanhBackwardBackward0",
    lambda K, g, x, min_val, max_val: _keep(K, K.logical_and(x > min_val, x < max_val), g),
)  # fmt: skip
_hardshrink_backward, _softshrink_backward = (
    _gate(
        f"_{each.lower()}_backward", f"{each}BackwardBackward0",
        lambda K, g, x, lambd: K.where(abs(x) <= lambd, K.zeros_like(g), g),
    )
    for each in ("Hardshrink", "Softshrink")
)  # fmt: skip
_threshold_backward = _gate(
    "_threshold_backward", "ThresholdBackwardBackward0",
    lambda K, g, x, threshold: K.where(x <= threshold, K.zeros_like(g), g),
)  # fmt: skip


@op(
    name="_leaky_relu",
    node="LeakyReluBackward0",
    vjp={"self": lambda K, g, self, negative_slope: _leaky_relu_backward(K, g, self, negative_slope)},
    jvp="elementwise",
    batch=elementwise,
)
def _leaky_relu(K, self: Array, negative_slope: float) -> Array:
    """``x`` where it is positive, else ``negative_slope * x``."""
    return K.where(self > 0, self, self * negative_slope)


@op(
    name="_leaky_relu_",
    node="LeakyReluBackward1",
    vjp={
        "self": lambda K, g, result, negative_slope: _leaky_relu_backward(
            K, g, result, _not_negative("leakyReLu", negative_slope)
        )
    },
    jvp="elementwise",
    batch=elementwise,
)
def _leaky_relu_in_place(K, self: Array, negative_slope: float) -> Array:
    """`_leaky_relu`, of which the result decides."""
    return K.where(self > 0, self, self * negative_slope)


def _not_negative(name: str, slope: float) -> float:
    """A slope with which the sign of a result is that of what it was computed of."""
    if slope < 0:
        raise RuntimeError(
            f"In-place {name} backward calculation is triggered with a negative slope which is not supported. This is "
            "caused by calling in-place forward function with a negative slope, please call out-of-place version "
            "instead." + _LEAKY_MORE * (name != "elu")
        )
    return slope


_LEAKY_MORE = (
    " File an issue at https://github.com/pytorch/pytorch if you do require supporting in-place leakRelu backward "
    "calculation with negative slope"
)


def _elu_gradient(name: str, below: Callable[..., Any], curve: Callable[..., Any]) -> Any:
    """Declare the gradient of `_elu`, by its input or its result.

    ``below(K, g, x, alpha, scale, input_scale)`` is the gradient where `x` is not above zero, and `curve` that of this
    by `x`. At zero itself PyTorch has none: there the gradient's gradient is that of the line above.
    """

    def slope(K: Any, g: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Any:
        return K.where(x > 0, g * scale, below(K, g, x, alpha, scale, input_scale))

    @op(
        name=name,
        node="EluBackwardBackward0",
        vjp={
            "grad": lambda K, g, x, alpha, scale, input_scale, grad_shape: sum_to(
                K, slope(K, g, x, alpha, scale, input_scale), grad_shape
            ),
            "x": lambda K, g, grad, x, alpha, scale, input_scale, x_shape: sum_to(
                K, _keep(K, x < 0, curve(K, g * grad * input_scale, x, alpha, scale, input_scale)), x_shape
            ),
        },
        jvp="elementwise",
        batch=elementwise,
    )
    def gradient(K, grad: Array, x: Array, alpha: float, scale: float, input_scale: float) -> Array:
        """See the declaration."""
        return slope(K, grad, x, alpha, scale, input_scale)

    return fused(gradient)


def _elu_below(K: Any, g: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    return g * (K.exp(_below(K, x) * input_scale) * (alpha * scale * input_scale))


_elu_vjp = _elu_gradient("_elu_backward", _elu_below, _elu_below)
_elu_vjp_of_result = _elu_gradient(
    "_elu_backward_of_result",
    lambda K, g, result, alpha, scale, input_scale: g * ((result + alpha * scale) * input_scale),
    lambda K, g, *_: g,
)


def _below(K: Any, x: Any) -> Any:
    """The negative part, so that `exp` of it does not overflow."""
    return K.where(x > 0, K.zeros_like(x), x)


def _elu_of_result(K: Any, g: Any, result: Any, alpha: float, scale: float, input_scale: float) -> Any:
    return _elu_vjp_of_result(K, g, result, _not_negative("elu", alpha), scale, input_scale)


@op(
    name="_elu",
    node="EluBackward0",
    vjp={"self": lambda K, g, self, alpha, scale, input_scale: _elu_vjp(K, g, self, alpha, scale, input_scale)},
    jvp="elementwise",
    batch=elementwise,
)
def _elu(K, self: Array, alpha: float, scale: float, input_scale: float) -> Array:
    """``scale * x`` where positive, else ``scale * alpha * (exp(input_scale * x) - 1)``."""
    return K.where(self > 0, self * scale, K.expm1(_below(K, self) * input_scale) * (alpha * scale))


@op(
    name="_celu",
    node="CeluBackward0",
    vjp={"self": lambda K, g, self, alpha: _elu_vjp(K, g, self, alpha, 1.0, 1.0 / alpha)},
    jvp="elementwise",
    batch=elementwise,
)
def _celu(K, self: Array, alpha: float) -> Array:
    """``x`` where positive, else ``alpha * (exp(x / alpha) - 1)``."""
    return K.where(self > 0, self, K.expm1(_below(K, self) * (1.0 / alpha)) * alpha)


@op(name="_elu_", node="EluBackward1", vjp={"self": _elu_of_result}, jvp="elementwise", batch=elementwise)
def _elu_in_place(K, self: Array, alpha: float, scale: float, input_scale: float) -> Array:
    """`_elu`, of which the result decides."""
    return K.where(self > 0, self * scale, K.expm1(_below(K, self) * input_scale) * (alpha * scale))


@op(
    name="_celu_",
    node="CeluBackward1",
    vjp={"self": lambda K, g, result, alpha: _elu_of_result(K, g, result, alpha, 1.0, 1.0 / alpha)},
    jvp="elementwise",
    batch=elementwise,
)
def _celu_in_place(K, self: Array, alpha: float) -> Array:
    """`_celu`, of which the result decides."""
    return K.where(self > 0, self, K.expm1(_below(K, self) * (1.0 / alpha)) * alpha)


def _gelu_tanh_argument(x: Any) -> Any:
    return (x + x * x * x * 0.044715) * SQRT_2_OVER_PI


def _gelu_vjp(K: Any, g: Any, self: Any, approximate: str) -> Any:
    if approximate == "tanh":
        t = K.tanh(_gelu_tanh_argument(self))
        slope = (self * self * (3 * 0.044715) + 1) * SQRT_2_OVER_PI
        return g * ((t + 1) * 0.5 + self * 0.5 * (1 - t * t) * slope)
    density = into(K, "multiply", K.exp(into(K, "multiply", self * self, -0.5)), self)
    slope = into(K, "add", into(K, "multiply", density, ONE_OVER_SQRT_2PI), _cumulative(K, self))
    return into(K, "multiply", slope, g)


def _cumulative(K: Any, x: Any) -> Any:
    """The normal distribution's."""
    return into(K, "multiply", into(K, "add", K.erf(x * SQRT_HALF), 1), 0.5)


@op(name="_gelu", node="GeluBackward0", vjp={"self": _gelu_vjp}, jvp="elementwise", batch=elementwise)
def _gelu(K, self: Array, approximate: str) -> Array:
    """``x`` times the normal distribution's cumulative function of ``x``, or an approximation by tanh."""
    if approximate == "tanh":
        return self * 0.5 * (K.tanh(_gelu_tanh_argument(self)) + 1)
    return into(K, "multiply", _cumulative(K, self), self)


def _silu_vjp(K: Any, g: Any, self: Any) -> Any:
    s = K.sigmoid(self)
    return g * (s * (self * (1 - s) + 1))


@op(name="_silu", node="SiluBackward0", vjp={"self": _silu_vjp}, jvp="elementwise", batch=elementwise)
def _silu(K, self: Array) -> Array:
    """``x * sigmoid(x)``."""
    return self * K.sigmoid(self)


def _plus(K: Any, x: Any) -> Any:
    """log(1 + exp(x)), without overflow."""
    return K.logaddexp(x, K.zeros_like(x))


def _mish_vjp(K: Any, g: Any, self: Any) -> Any:
    t = K.tanh(_plus(K, self))
    return g * (t + self * K.sigmoid(self) * (1 - t * t))


@op(name="_mish", node="MishBackward0", vjp={"self": _mish_vjp}, jvp="elementwise", batch=elementwise)
def _mish(K, self: Array) -> Array:
    """``x * tanh(softplus(x))``."""
    return self * K.tanh(_plus(K, self))


@op(
    name="_softplus",
    node="SoftplusBackward0",
    vjp={"self": lambda K, g, self, beta, threshold: K.where(self * beta > threshold, g, g * K.sigmoid(self * beta))},
    jvp="elementwise",
    batch=elementwise,
)
def _softplus(K, self: Array, beta: float, threshold: float) -> Array:
    """``log(1 + exp(beta * x)) / beta``, and ``x`` itself where ``beta * x`` is above `threshold`."""
    return K.softplus(self, beta, threshold)


@op(
    name="_log_sigmoid",
    node="LogSigmoidBackward0",
    vjp={"self": lambda K, g, self: g * K.sigmoid(-self)},
    jvp="elementwise",
    batch=elementwise,
    order=(),
)
def _log_sigmoid(K, self: Array) -> Array:
    """``log(sigmoid(x))``, without overflow."""
    return -_plus(K, -self)


@op(
    name="_hardtanh",
    node="HardtanhBackward0",
    vjp={"self": lambda K, g, self, min_val, max_val: _hardtanh_backward(K, g, self, min_val, max_val)},
    jvp="elementwise",
    batch=elementwise,
)
def _hardtanh(K, self: Array, min_val: float, max_val: float) -> Array:
    """``x`` brought into [min_val, max_val]."""
    return K.clip(self, min_val, max_val)


@op(
    name="_hardsigmoid_backward",
    node="NotImplemented",
    vjp={"*": no_slope("hardsigmoid_backward")},
    jvp={"*": no_tangent("hardsigmoid_backward")},
    batch=elementwise,
)
def _hardsigmoid_backward(K, grad: Array, self: Array) -> Array:
    """A sixth of `grad` where `self` is between -3 and 3, else 0."""
    return _keep(K, abs(self) < 3, grad * (1 / 6))


@op(
    name="_hardsigmoid",
    node="HardsigmoidBackward0",
    vjp={"self": lambda K, g, self: fused(_hardsigmoid_backward)(K, g, self)},
    jvp="elementwise",
    batch=elementwise,
)
def _hardsigmoid(K, self: Array) -> Array:
    """``clamp(x / 6 + 1/2, 0, 1)``."""
    return K.clip(self + 3, 0, 6) / 6


@op(
    name="_hardswish",
    node="HardswishBackward0",
    vjp={
        "self": lambda K, g, self: K.where(self >= 3, g, _keep(K, self > -3, g * (self / 3 + 0.5))),
    },
    jvp="elementwise",
    batch=elementwise,
)
def _hardswish(K, self: Array) -> Array:
    """``x * clamp(x + 3, 0, 6) / 6``."""
    return self * K.clip(self + 3, 0, 6) / 6


@op(
    name="_hardshrink",
    node="HardshrinkBackward0",
    vjp={"self": lambda K, g, self, lambd: _hardshrink_backward(K, g, self, lambd)},
    jvp="elementwise",
    batch=elementwise,
)
def _hardshrink(K, self: Array, lambd: float) -> Array:
    """Zero within [-lambd, lambd], ``x`` outside."""
    return K.where(abs(self) <= lambd, K.zeros_like(self), self)


@op(
    name="_softshrink",
    node="SoftshrinkBackward0",
    vjp={"self": lambda K, g, self, lambd: _softshrink_backward(K, g, self, lambd)},
    jvp="elementwise",
    batch=elementwise,
)
def _softshrink(K, self: Array, lambd: float) -> Array:
    """``x`` moved towards zero by `lambd`, and zero within [-lambd, lambd]."""
    inner = K.where(self < -lambd, self + lambd, self * 0)
    return K.where(self > lambd, self - lambd, inner)


@op(
    name="_threshold",
    node="ThresholdBackward0",
    vjp={"self": lambda K, g, self, threshold: _threshold_backward(K, g, self, threshold)},
    jvp="elementwise",
    batch=elementwise,
)
def _threshold(K, self: Array, threshold: float, value: float) -> Array:
    """``x`` where it is above `threshold`, else `value`."""
    return K.where(self <= threshold, K.full((), value, self.dtype), self)


@op(
    name="_threshold_",
    node="ThresholdBackward1",
    vjp={"self": lambda K, g, self, threshold: _threshold_backward(K, g, self, threshold)},
    jvp="elementwise",
    batch=elementwise,
)
def _threshold_in_place(K, self: Array, threshold: float, value: float) -> Array:
    """`_threshold`."""
    return K.where(self <= threshold, K.full((), value, self.dtype), self)


def _halves(K: Any, x: Any, dim: int) -> tuple[Any, Any]:
    half = x.shape[dim] // 2
    before = (slice(None),) * dim
    return K.slice(x, (*before, slice(0, half))), K.slice(x, (*before, slice(half, 2 * half)))


def _glu_vjp(K: Any, g: Any, self: Any, dim: int) -> Any:
    a, b = _halves(K, self, dim)
    s = K.sigmoid(b)
    return K.concat([g * s, g * a * s * (1 - s)], dim)


def _glu_jvp(K: Any, t: Any, self: Any, dim: int) -> Any:
    a, b = _halves(K, self, dim)
    for_a, for_b = _halves(K, t, dim)
    s = K.sigmoid(b)
    return for_a * s + for_b * (a * s * (1 - s))


@op(name="_glu", node="GluBackward0", vjp={"self": _glu_vjp}, jvp={"self": _glu_jvp}, batch=along)
def _glu(K, self: Array, dim: int) -> Array:
    """The first half along `dim` times the sigmoid of the second."""
    a, b = _halves(K, self, dim)
    return a * K.sigmoid(b)


# At zero PyTorch computes the gradient of `prelu` as if below, and the gradient of that as if above.


@op(
    name="_prelu_backward",
    node="PreluKernelBackwardBackward0",
    promote="common",
    vjp={
        "grad": lambda K, g, self, weight: K.where(self < 0, g * weight, g),
        "self": lambda K, g: K.zeros_like(g),
        "weight": lambda K, g, grad, self: _keep(K, self < 0, g * grad),
    },
)
def _prelu_backward(K, grad: Array, self: Array, weight: Array) -> Array:
    """`grad` where `self` is positive, else ``weight * grad``."""
    return K.where(self > 0, grad, grad * weight)


@op(
    name="_prelu_weight_backward",
    node="PreluKernelBackwardBackward0",
    promote="common",
    vjp={
        "grad": lambda K, g, self: _keep(K, self < 0, g * self),
        "self": lambda K, g, grad, self: _keep(K, self < 0, g * grad),
    },
)
def _prelu_weight_backward(K, grad: Array, self: Array) -> Array:
    """Zero where `self` is positive, else ``grad * self``."""
    return K.where(self > 0, K.zeros_like(grad), grad * self)


@op(
    name="_prelu",
    node="PreluKernelBackward0",
    promote="common",
    vjp={
        "self": lambda K, g, self, weight: fused(_prelu_backward)(K, g, self, weight),
        "weight": lambda K, g, self: fused(_prelu_weight_backward)(K, g, self),
    },
)
def _prelu(K, self: Array, weight: Array) -> Array:
    """``x`` where positive, else ``weight * x``."""
    return K.where(self > 0, self, self * weight)


def _rrelu_vjp(K: Any, g: Any, sign: Any, noise: Any, self_shape: Any) -> Any:
    return sum_to(K, K.where(sign > 0, g, g * noise), self_shape)


_OF_RRELU: Any = {"jvp": "elementwise", "batch": elementwise, "kept": ("lower", "upper", "training")}


@op(
    name="_rrelu",
    node="RreluWithNoiseBackward0",
    vjp={"self": lambda K, g, self, noise, self_shape: _rrelu_vjp(K, g, self, noise, self_shape)},
    **_OF_RRELU,
)
def _rrelu(K, self: Array, noise: Array, lower: float, upper: float, training: bool) -> Array:
    """``x`` where positive, else ``noise * x``."""
    return K.where(self > 0, self, self * noise)


@op(
    name="_rrelu_",
    node="RreluWithNoiseBackward1",
    vjp={"self": lambda K, g, result, noise, self_shape: _rrelu_vjp(K, g, result, noise, self_shape)},
    **_OF_RRELU,
)
def _rrelu_in_place(K, self: Array, noise: Array, lower: float, upper: float, training: bool) -> Array:
    """`_rrelu`, of which the result decides."""
    return K.where(self > 0, self, self * noise)


@op(
    name="_rrelu_fixed",
    node="RreluWithNoiseBackward0",
    vjp={"self": lambda K, g, self, lower, upper: _leaky_relu_backward(K, g, self, (lower + upper) / 2)},
    **_OF_RRELU,
)
def _rrelu_fixed(K, self: Array, lower: float, upper: float, training: bool) -> Array:
    """`_rrelu` outside of training: all slopes are their mean."""
    return K.where(self > 0, self, self * ((lower + upper) / 2))


@op(
    name="_rrelu_fixed_",
    node="RreluWithNoiseBackward1",
    vjp={
        "self": lambda K, g, result, lower, upper: _leaky_relu_backward(
            K, g, result, _not_negative("leakyReLu", (lower + upper) / 2)
        )
    },
    **_OF_RRELU,
)
def _rrelu_fixed_in_place(K, self: Array, lower: float, upper: float, training: bool) -> Array:
    """`_rrelu_fixed`, of which the result decides."""
    return K.where(self > 0, self, self * ((lower + upper) / 2))


for _plain, _written in (
    (_leaky_relu, _leaky_relu_in_place), (_elu, _elu_in_place), (_celu, _celu_in_place),
    (_threshold, _threshold_in_place), (_rrelu, _rrelu_in_place), (_rrelu_fixed, _rrelu_fixed_in_place),
):  # fmt: skip
    op_of(_plain).written = op_of(_written)
