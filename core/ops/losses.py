"""Loss functions that are one operator, with their reduction: those that have a node of their own in PyTorch.

Each formula multiplies the slope of the elementwise loss by the gradient that `_spread` derives
from the reduction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from retrograd.dtypes import Category
from retrograd.ops.activation import _hardtanh
from retrograd.ops.checks import implemented_for
from retrograd.ops.declare import Array, op, op_of
from retrograd.ops.decompositions import class_index
from retrograd.ops.fused import fused
from retrograd.ops.underived import no_slope, no_tangent

__all__: list[str] = []

FLOAT = Category.FLOAT


def _reduce(K: Any, x: Any, reduction: str) -> Any:
    if reduction == "none":
        return x
    total = K.sum(x, tuple(range(len(x.shape))), False)
    return total if reduction == "sum" else total / _count(x.shape)


def _count(shape: Any) -> float:
    """The number of elements to divide by; nothing divided by nothing is NaN, as in PyTorch."""
    return math.prod(shape) or math.nan


def _spread(g: Any, x: Any, reduction: str) -> Any:
    """The gradient of each element, up to broadcasting."""
    return g / _count(x.shape) if reduction == "mean" else g


# -- of two tensors of one shape ---------------------------------------------------------------

Slope = Callable[..., Any]


def _two(
    name: str, node: str, kernel: str | None, value: Slope, slope: Slope, target_slope: Slope | None = None,
    order: tuple[str, ...] = ("self", "target"), in_float32: bool | None = None,
) -> Any:  # fmt: skip
    """Declare a loss of (input, target) whose reduction is part of it.

    `kernel` is PyTorch's name of what computes it, for floating-point numbers alone; None: others are seen to before.
    `value(K, x, y, *numbers)` is the elementwise loss and `slope` its derivative by x; that by y is the negative of
    it, unless given. `in_float32`: see Note [Half precision] in `retrograd.ops.half`.
    """

    def by_target(K: Any, x: Any, y: Any, number: Any) -> Any:
        return -slope(K, x, y, number) if target_slope is None else target_slope(K, x, y, number)

    @op(
        name=name,
        node=node,
        check=None if kernel is None else implemented_for(kernel, FLOAT, first=True),
        vjp={
            "self": lambda K, g, self, target, reduction, number: (
                slope(K, self, target, number) * _spread(g, self, reduction)
            ),
            "target": lambda K, g, self, target, reduction, number: (
                by_target(K, self, target, number) * _spread(g, self, reduction)
            ),
        },
        jvp={
            "self": lambda K, t, self, target, reduction, number: _reduce(
                K, slope(K, self, target, number) * t, reduction
            ),
            "target": lambda K, t, self, target, reduction, number: _reduce(
                K, by_target(K, self, target, number) * t, reduction
            ),
        },
        order=order,
        widens=in_float32,
        fused_gradient=in_float32,
    )
    def loss(K, self: Array, target: Array, reduction: str, number: float) -> Array:
        """See the declaration."""
        return _reduce(K, value(K, self, target, number), reduction)

    return loss


def _square(K: Any, x: Any, y: Any, _: Any) -> Any:
    d = x - y
    return d * d


_mse_loss = _two("_mse_loss", "MseLossBackward0", "mse_cpu", _square, lambda K, x, y, _: (x - y) * 2)


def _huber(K: Any, x: Any, y: Any, delta: float) -> Any:
    d = abs(x - y)
    return K.where(d < delta, d * d * 0.5, (d - 0.5 * delta) * delta)


def _huber_slope(K: Any, x: Any, y: Any, delta: float) -> Any:
    d = x - y
    return K.where(d <= -delta, d * 0 - delta, K.where(d >= delta, d * 0 + delta, d))


_huber_loss = _two(
    "_huber_loss", "HuberLossBackward0", "huber_cpu", _huber, _huber_slope, order=("self",), in_float32=True
)


def _smooth_l1(K: Any, x: Any, y: Any, beta: float) -> Any:
    d = abs(x - y)
    return K.where(d < beta, d * d * (0.5 / beta), d - 0.5 * beta)


def _smooth_l1_slope(K: Any, x: Any, y: Any, beta: float) -> Any:
    return fused(_hardtanh)(K, (x - y) / beta, -1, 1)


_smooth_l1_loss = _two(
    "_smooth_l1_loss", "SmoothL1LossBackward0", "smooth_l1_cpu", _smooth_l1, _smooth_l1_slope, in_float32=True
)


def _soft_plus(K: Any, x: Any) -> Any:
    return K.logaddexp(x, K.zeros_like(x))


_soft_margin_loss = _two(
    "_soft_margin_loss",
    "SoftMarginLossBackward0",
    None,
    lambda K, x, y, _: _soft_plus(K, -x * y),
    lambda K, x, y, _: -y * K.sigmoid(-x * y),
    lambda K, x, y, _: -x * K.sigmoid(-x * y),
)
op_of(_soft_margin_loss).node_class._shown_edges = (0,)  # PyTorch's has no derivative by the target


# -- binary cross entropy ----------------------------------------------------------------------


def _logits_value(K: Any, x: Any, t: Any, pos: Any) -> Any:
    """-(pos * t * log(s) + (1 - t) * log(1 - s)) with s = sigmoid(x), without overflow."""
    rest = _soft_plus(K, -x)
    return (1 - t) * x + (rest if pos is None else ((pos - 1) * t + 1) * rest)


def _logits_slope(K: Any, x: Any, t: Any, pos: Any) -> Any:
    s = K.sigmoid(x)
    return s - t if pos is None else (pos * t + 1 - t) * s - pos * t


def _logits_target_slope(K: Any, x: Any, t: Any, pos: Any) -> Any:
    return -x if pos is None else (pos - 1) * _soft_plus(K, -x) - x


_bce_with_logits = _two(
    "_bce_with_logits",
    "BinaryCrossEntropyWithLogitsBackward0",
    "log_sigmoid_cpu",
    lambda K, x, t, _: _logits_value(K, x, t, None),
    lambda K, x, t, _: _logits_slope(K, x, t, None),
    lambda K, x, t, _: _logits_target_slope(K, x, t, None),
    order=("target",),
)


def _weighted(x: Any, weight: Any) -> Any:
    return x if weight is None else x * weight


@op(
    name="_bce_with_logits_weighted",
    node="BinaryCrossEntropyWithLogitsBackward0",
    check=implemented_for("log_sigmoid_cpu", FLOAT, first=True),
    vjp={
        "self": lambda K, g, self, target, weight, pos_weight, reduction: _weighted(
            _logits_slope(K, self, target, pos_weight) * _spread(g, self, reduction), weight
        ),
        "target": lambda K, g, self, target, weight, pos_weight, reduction: _weighted(
            _logits_target_slope(K, self, target, pos_weight) * _spread(g, self, reduction), weight
        ),
    },
    jvp={
        "self": lambda K, t, self, target, weight, pos_weight, reduction: _reduce(
            K, _weighted(_logits_slope(K, self, target, pos_weight) * t, weight), reduction
        ),
        "target": lambda K, t, self, target, weight, pos_weight, reduction: _reduce(
            K, _weighted(_logits_target_slope(K, self, target, pos_weight) * t, weight), reduction
        ),
    },
    order=("target",),
)
def _bce_with_logits_weighted(
    K, self: Array, target: Array, weight: Array | None, pos_weight: Array | None, reduction: str
) -> Array:
    """Binary cross entropy of logits; both weights broadcast."""
    return _reduce(K, _weighted(_logits_value(K, self, target, pos_weight), weight), reduction)


def _clamped_log(K: Any, x: Any) -> Any:
    """The logarithm, at least -100, as PyTorch bounds it."""
    value = K.log(x)
    return K.where(value < -100, K.full((), -100, x.dtype), value)


def _bce_slope(K: Any, x: Any, y: Any) -> Any:
    return (x - y) / _at_least((1 - x) * x, 1e-12, K)


@op(
    name="_bce",
    node="BinaryCrossEntropyBackward0",
    check=implemented_for("binary_cross_entropy", FLOAT, first=True),
    vjp={
        "self": lambda K, g, self, target, weight, reduction: _weighted(
            _bce_slope(K, self, target) * _spread(g, self, reduction), weight
        ),
        "target": lambda K, g, self, weight, reduction: _weighted(
            (K.log(1 - self) - K.log(self)) * _spread(g, self, reduction), weight
        ),
    },
    jvp={
        "self": lambda K, t, self, target, weight, reduction: _reduce(
            K, _weighted(_bce_slope(K, self, target) * t, weight), reduction
        ),
        "target": lambda K, t, self, weight, reduction: _reduce(
            K, _weighted((K.log(1 - self) - K.log(self)) * t, weight), reduction
        ),
    },
)
def _bce(K, self: Array, target: Array, weight: Array | None, reduction: str) -> Array:
    """Binary cross entropy of probabilities."""
    value = (target - 1) * _clamped_log(K, 1 - self) - target * _clamped_log(K, self)
    return _reduce(K, _weighted(value, weight), reduction)


def _at_least(x: Any, least: float, K: Any) -> Any:
    return K.where(x < least, x * 0 + least, x)


# -- negative log likelihood -------------------------------------------------------------------


def _declare_nll(name: str, node: str, kernel: str) -> Any:
    """The loss, linear in the log-probabilities, and its adjoint; see Note [Adjoint pairs]."""

    @op(
        name=f"{name}_adjoint",
        node=node.replace("Backward0", "BackwardBackward0"),
        vjp={
            "grad": lambda K, g, target, weight, reduction, ignore_index: fused(loss)(
                K, g, target, weight, reduction, ignore_index
            ),
            "self": lambda K, g: K.zeros_like(g),
        },
        jvp={
            "grad": lambda K, t, self, target, weight, reduction, ignore_index: fused(adjoint)(
                K, t, self, target, weight, reduction, ignore_index
            ),
            "self": lambda K, t: K.zeros_like(t),
        },
    )
    def adjoint(
        K, grad: Array, self: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int
    ) -> Array:
        """Zeros with minus the gradient at each target's class."""
        return K.nll_adjoint(grad, target, weight, tuple(self.shape), reduction, ignore_index)

    @op(
        name=name,
        node=node,
        check=implemented_for(kernel, FLOAT, first=True),
        vjp={
            "self": lambda K, g, self, target, weight, reduction, ignore_index: fused(adjoint)(
                K, g, self, target, weight, reduction, ignore_index
            )
        },
        jvp="linear",
    )
    def loss(K, self: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int) -> Array:
        """Minus the log-probability of each target's class."""
        return K.nll(self, target, weight, reduction, ignore_index)

    return loss


@op(
    name="_nll_rows_adjoint",
    node="NllLossBackwardBackward0",
    vjp={
        "grad": lambda K, g, target, reduction, ignore_index: fused(_nll_rows)(K, g, target, reduction, ignore_index),
        "self": lambda K, g: K.zeros_like(g),
    },
    jvp={
        "grad": lambda K, t, self, target, reduction, ignore_index: fused(_nll_rows_adjoint)(
            K, t, self, target, reduction, ignore_index
        ),
        "self": lambda K, t: K.zeros_like(t),
    },
)
def _nll_rows_adjoint(K, grad: Array, self: Array, target: Array, reduction: str, ignore_index: int) -> Array:
    """Zeros with minus the gradient at each row's target."""
    return K.nll_adjoint(grad, target, None, tuple(self.shape), reduction, ignore_index)


@op(
    name="_nll_rows",
    node="NllLossBackward0",
    check=implemented_for("nll_loss_out_frame", FLOAT, first=True),
    vjp={
        "self": lambda K, g, self, target, reduction, ignore_index: fused(_nll_rows_adjoint)(
            K, g, self, target, reduction, ignore_index
        )
    },
    jvp="linear",
)
def _nll_rows(K, self: Array, target: Array, reduction: str, ignore_index: int) -> Array:
    """The common case of `_nll_loss`, without a weight: all its inputs are there, so its calls are short."""
    return K.nll(self, target, None, reduction, ignore_index)


_nll_loss = _declare_nll("_nll_loss", "NllLossBackward0", "nll_loss_out_frame")
_nll_loss2d = _declare_nll("_nll_loss2d", "NllLoss2DBackward0", "nll_loss2d_forward_out_frame")


# -- margins over classes ----------------------------------------------------------------------


def _margins(K: Any, x: Any, target: Any, margin: float) -> tuple[Any, Any]:
    """For each sample and class: how far the class is within the margin; and which is the target."""
    index = class_index(K, target, 1)
    chosen = K.scatter(x * 0, index, K.gather(x * 0 + 1, index, 1), 1) > 0.5
    z = x - K.gather(x, index, 1) + margin
    return K.where(chosen, x * 0, K.where(z > 0, z, x * 0)), chosen


def _multi_margin_value(K: Any, x: Any, target: Any, weight: Any, p: int, margin: float, reduction: str) -> Any:
    z, _ = _margins(K, x, target, margin)
    value = K.sum(z if p == 1 else z * z, (1,), False) / x.shape[1]
    return _reduce(K, _weighted(value, None if weight is None else K.index(weight, (target,))), reduction)


@op(
    name="_multi_margin_slope",
    node="NotImplemented",
    vjp={"*": no_slope("multi_margin_loss_backward")},
    jvp={"*": no_tangent("multi_margin_loss_backward")},
)
def _multi_margin_slope(
    K, self: Array, target: Array, weight: Array | None, grad: Array, p: int, margin: float, reduction: str
) -> Array:
    """The gradient of the multi-class margin loss, which has none in PyTorch."""
    z, chosen = _margins(K, self, target, margin)
    slope = K.astype(z > 0, self.dtype) if p == 1 else z * 2
    scale = grad / self.shape[0] if reduction == "mean" else grad
    if weight is not None:
        scale = scale * K.index(weight, (target,))
    scale = K.reshape(scale, (-1, 1)) / self.shape[1]
    slope = slope * scale
    return K.where(chosen, -K.broadcast_to(K.sum(slope, (1,), True), tuple(self.shape)), slope)


def _multi_margin_jvp(
    K: Any, t: Any, self: Any, target: Any, weight: Any, p: int, margin: float, reduction: str
) -> Any:
    z, _ = _margins(K, self, target, margin)
    slope = K.astype(z > 0, self.dtype) if p == 1 else z * 2
    slope = slope * (t - K.gather(t, class_index(K, target, 1), 1))
    value = K.sum(slope, (1,), False) / self.shape[1]
    return _reduce(K, _weighted(value, None if weight is None else K.index(weight, (target._array,))), reduction)


@op(
    name="_multi_margin_loss",
    node="MultiMarginLossBackward0",
    vjp={
        "self": lambda K, g, self, target, weight, p, margin, reduction: fused(_multi_margin_slope)(
            K, self, target, weight, g, p, margin, reduction
        )
    },
    jvp={"self": _multi_margin_jvp},
)
def _multi_margin_loss(
    K, self: Array, target: Array, weight: Array | None, p: int, margin: float, reduction: str
) -> Array:
    """How much other classes come within `margin` of the target's class."""
    return _multi_margin_value(K, self, target, weight, p, margin, reduction)
