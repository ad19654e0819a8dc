"""Batch, layer and group normalization: one formula over the axes that statistics are taken of.

With :math:`\\hat x = (x - \\mu) r`, :math:`r = 1 / \\sqrt{\\sigma^2 + \\epsilon}` and :math:`h = g w`,

.. math:: dx = r (h - \\overline{h} - \\hat x \\, \\overline{h \\hat x})

where the bars are means over the normalized axes. In an ordinary backward pass the saved statistics
are used; when the pass is itself recorded they are computed anew, so that they are differentiated.
"""

from __future__ import annotations

import math
from typing import Any

from retrograd.dtypes import Category
from retrograd.ops.batching import folded, leading, shared
from retrograd.ops.checks import implemented_for
from retrograd.ops.declare import Array, op, op_of
from retrograd.ops.graph import G
from retrograd.ops.reducing import into, widened

__all__: list[str] = []

Ints = tuple[int, ...]


def _statistics(K: Any, x: Any, axes: Ints) -> tuple[Any, Any, Any]:
    """Mean and (biased) variance, with the axes kept, and the differences from the mean."""
    count = math.prod(x.shape[i] for i in axes)
    mean = K.sum(x, axes, True) / count
    centered = x - mean
    return mean, K.sum(centered * centered, axes, True) / count, centered


def _inverse_deviation(K: Any, var: Any, eps: float) -> Any:
    return 1 / K.sqrt(var + eps)


def _gradients(
    K: Any, g: Any, x: Any, weight: Any, mean: Any, scale: Any, eps: float, axes: Ints, sums: Ints, needs: Any
) -> tuple[Any, Any, Any]:
    """The gradients by x, weight and bias; `weight` has x's number of axes, `sums` are those it lacks.

    `mean` and `scale`, the inverse deviation, may lack the axes that they are taken over.
    """
    if K is G:
        mean, var, _ = _statistics(K, x, axes)
        scale = _inverse_deviation(K, var, eps)
    else:
        kept = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
        mean, scale = K.reshape(mean, kept), K.reshape(scale, kept)
    normal = into(K, "multiply", x - mean, scale)
    for_x = for_weight = for_bias = None
    if needs[0]:
        h = g if weight is None else g * weight
        count = math.prod(x.shape[i] for i in axes)
        mean_h, mean_hx = K.sum(h, axes, True) / count, K.sum(h * normal, axes, True) / count
        for_x = into(K, "multiply", into(K, "subtract", h - mean_h, normal * mean_hx), scale)
    if needs[1]:
        for_weight = K.sum(g * normal, sums, False) if sums else g * normal
    if needs[2]:
        for_bias = K.sum(g, sums, False) if sums else g
    return for_x, for_weight, for_bias


def _tangent(K: Any, t: Any, x: Any, weight: Any, eps: float, axes: Ints) -> tuple[Any, None, None]:
    """The result's tangent, from those of x, weight and bias; all have x's number of axes. The statistics get none."""
    _, var, centered = _statistics(K, x, axes)
    scale = _inverse_deviation(K, var, eps)
    normal = centered * scale
    total = None
    if t[0] is not None:
        count = math.prod(x.shape[i] for i in axes)
        mean_t, mean_tx = K.sum(t[0], axes, True) / count, K.sum(t[0] * normal, axes, True) / count
        total = (t[0] - mean_t - normal * mean_tx) * scale
        total = total if weight is None else total * weight
    return _affine(total, normal, t), None, None


def _affine(total: Any, normal: Any, t: Any) -> Any:
    """With the parts of weight and bias."""
    for part in (None if t[1] is None else normal * t[1], t[2]):
        total = part if total is None else total if part is None else total + part
    return total


def _scaled(K: Any, centered: Any, scale: Any, weight: Any, bias: Any) -> Any:
    out = into(K, "multiply", centered, scale)
    if weight is not None:
        out = into(K, "multiply", out, weight)
    return out if bias is None else into(K, "add", out, bias)


def _wide(K: Any, x: Any) -> Any:
    """Half types are normalized in float32."""
    return x if x is None else widened(K, x)


def _normalized(K: Any, x: Any, weight: Any, bias: Any, eps: float, axes: Ints) -> tuple[Any, ...]:
    """The result, and mean, inverse deviation and variance with the axes kept."""
    wide = _wide(K, x)
    mean, var, centered = _statistics(K, wide, axes)
    scale = _inverse_deviation(K, var, eps)
    out = _scaled(K, centered, scale, _wide(K, weight), _wide(K, bias))
    if wide is x:
        return out, mean, scale, var
    return tuple(K.astype(each, x.dtype) for each in (out, mean, scale, var))


# -- batch norm --------------------------------------------------------------------------------


def _channels(K: Any, v: Any, ndim: int) -> Any:
    return None if v is None else K.reshape(v, (1, -1) + (1,) * (ndim - 2))


def _all_but_channels(ndim: int) -> Ints:
    return (0, *range(2, ndim))


def _batch_norm_vjp(K: Any, g: Any, self: Any, weight: Any, result1: Any, result2: Any, eps: float, needs: Any) -> Any:
    ndim = len(self.shape)
    axes = _all_but_channels(ndim)
    return _gradients(K, g[0], self, _channels(K, weight, ndim), result1, result2, eps, axes, axes, needs)


def _batch_norm_jvp(K: Any, t: Any, self: Any, weight: Any, eps: float) -> Any:
    ndim = len(self.shape)
    t = [t[0], _channels(K, t[1], ndim), _channels(K, t[2], ndim)]
    return *_tangent(K, t, self, _channels(K, weight, ndim), eps, _all_but_channels(ndim)), None


@op(
    name="_batch_norm",
    node="NativeBatchNormBackward0",
    check=implemented_for("batch_norm", Category.FLOAT, first=True),
    outputs=4,
    differentiable=1,
    vjp={"*": _batch_norm_vjp},
    jvp={"*": _batch_norm_jvp},
    widens=True,
    fused_gradient=True,
)
def _batch_norm(
    K, self: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array, Array]:
    """Normalized by the batch's own statistics: mean, inverse deviation and biased variance, which are returned too."""
    ndim = len(self.shape)
    weight, bias = _channels(K, weight, ndim), _channels(K, bias, ndim)
    # Images keep the order of their memory: their channels may be last.
    source = K.row_major(self) if ndim < 4 else self
    out, *statistics = _normalized(K, source, weight, bias, eps, _all_but_channels(ndim))
    mean, scale, var = (K.reshape(each, (-1,)) for each in statistics)
    return out, mean, scale, var


def _fixed_batch_norm_vjp(
    K: Any, g: Any, self: Any, weight: Any, mean: Any, var: Any, eps: float, needs: Any
) -> tuple[Any, ...]:
    ndim = len(self.shape)
    axes = _all_but_channels(ndim)
    scale = _inverse_deviation(K, _channels(K, var, ndim), eps)
    for_x = for_weight = for_bias = None
    if needs[0]:
        for_x = g * scale if weight is None else g * scale * _channels(K, weight, ndim)
    if needs[1]:
        for_weight = K.sum(g * ((self - _channels(K, mean, ndim)) * scale), axes, False)
    if needs[2]:
        for_bias = K.sum(g, axes, False)
    return for_x, for_weight, for_bias, None, None


def _fixed_batch_norm_jvp(K: Any, t: Any, self: Any, weight: Any, mean: Any, var: Any, eps: float) -> Any:
    ndim = len(self.shape)
    mean, var, weight = (_channels(K, each, ndim) for each in (mean, var, weight))
    scale = _inverse_deviation(K, var, eps)
    total = None if t[0] is None else t[0] * scale if weight is None else t[0] * scale * weight
    return _affine(total, (self - mean) * scale, [None, _channels(K, t[1], ndim), _channels(K, t[2], ndim)])


@op(
    name="_fixed_batch_norm",
    node="NativeBatchNormBackward0",
    check=implemented_for("batch_norm", Category.FLOAT, first=True),
    vjp={"*": _fixed_batch_norm_vjp},
    jvp={"*": _fixed_batch_norm_jvp},
)
def _fixed_batch_norm(
    K, self: Array, weight: Array | None, bias: Array | None, mean: Array, var: Array, eps: float
) -> Array:
    """Normalized by given statistics."""
    ndim = len(self.shape)
    scale = _inverse_deviation(K, _channels(K, _wide(K, var), ndim), eps)
    channels = (_channels(K, _wide(K, each), ndim) for each in (mean, weight, bias))
    mean, weight, bias = channels
    out = _scaled(K, _wide(K, self) - mean, scale, weight, bias)
    return K.astype(out, self.dtype) if out.dtype != self.dtype else out


op_of(_fixed_batch_norm).node_class._shown_edges = (0, 1, 2)


# -- layer norm --------------------------------------------------------------------------------


def _layer_norm_vjp(
    K: Any, g: Any, self: Any, weight: Any, result1: Any, result2: Any, count: int, eps: float, needs: Any
) -> Any:
    lead = len(self.shape) - count
    axes, sums = tuple(range(lead, len(self.shape))), tuple(range(lead))
    return _gradients(K, g[0], self, weight, result1, result2, eps, axes, sums, needs)


def _batched_layer_norm(B: Any, call: Any, x: Any, weight: Any, bias: Any, count: int, eps: float) -> Any:
    scales = shared(B, weight, bias)
    return NotImplemented if scales is None else leading(B, call, x, *scales, count, eps)


def _layer_norm_jvp(K: Any, t: Any, self: Any, weight: Any, count: int, eps: float) -> Any:
    ndim = len(self.shape)
    return _tangent(K, t, self, weight, eps, tuple(range(ndim - count, ndim)))


@op(
    name="_layer_norm",
    node="NativeLayerNormBackward0",
    check=implemented_for("LayerNormKernelImpl", Category.FLOAT, first=True),
    outputs=3,
    differentiable=1,
    vjp={"*": _layer_norm_vjp},
    jvp={"*": _layer_norm_jvp},
    batch=_batched_layer_norm,
    kept=("bias",),
    widens=True,
    fused_gradient=True,
)
def _layer_norm(
    K, self: Array, weight: Array | None, bias: Array | None, count: int, eps: float
) -> tuple[Array, Array, Array]:
    """Each sample normalized over its last `count` axes."""
    axes = tuple(range(len(self.shape) - count, len(self.shape)))
    out, mean, scale, _ = _normalized(K, K.row_major(self), weight, bias, eps, axes)
    return out, mean, scale


# -- group norm --------------------------------------------------------------------------------


def _grouped(K: Any, x: Any, groups: int) -> Any:
    """(N, C, *) as (N, groups, C / groups, rest)."""
    n, channels = x.shape[:2]
    return K.reshape(x, (n, groups, channels // groups, math.prod(x.shape[2:])))


def _group_channels(K: Any, v: Any, groups: int) -> Any:
    return None if v is None else K.reshape(v, (1, groups, v.shape[0] // groups, 1))


def _group_norm_vjp(
    K: Any, g: Any, self: Any, weight: Any, result1: Any, result2: Any, groups: int, eps: float, needs: Any
) -> tuple[Any, ...]:
    parts = _gradients(
        K, _grouped(K, g[0], groups), _grouped(K, self, groups), _group_channels(K, weight, groups), result1,
        result2,
        eps, (2, 3), (0, 3), needs,
    )  # fmt: skip
    shapes = (tuple(self.shape), (self.shape[1],), (self.shape[1],))
    return tuple(None if part is None else K.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True))


def _batched_group_norm(B: Any, call: Any, x: Any, weight: Any, bias: Any, groups: int, eps: float) -> Any:
    scales = shared(B, weight, bias)
    return NotImplemented if scales is None else folded(B, call, x, *scales, groups, eps)


def _group_norm_jvp(K: Any, t: Any, self: Any, weight: Any, groups: int, eps: float) -> Any:
    t = [None if t[0] is None else _grouped(K, t[0], groups), *(_group_channels(K, each, groups) for each in t[1:])]
    pushed, *_ = _tangent(K, t, _grouped(K, self, groups), _group_channels(K, weight, groups), eps, (2, 3))
    return K.reshape(K.broadcast_to(pushed, _grouped(K, self, groups).shape), tuple(self.shape)), None, None


@op(
    name="_group_norm",
    node="NativeGroupNormBackward0",
    check=implemented_for("GroupNormKernelImpl", Category.FLOAT, first=True),
    outputs=3,
    vjp={"*": _group_norm_vjp},
    jvp={"*": _group_norm_jvp},
    batch=_batched_group_norm,
    widens=True,
    fused_gradient=True,
)
def _group_norm(
    K, self: Array, weight: Array | None, bias: Array | None, groups: int, eps: float
) -> tuple[Array, Array, Array]:
    """Each group of channels of each sample normalized."""
    weight, bias = _group_channels(K, weight, groups), _group_channels(K, bias, groups)
    out, mean, scale, _ = _normalized(K, _grouped(K, K.row_major(self), groups), weight, bias, eps, (2, 3))
    by_group = (self.shape[0], groups)
    return K.reshape(out, tuple(self.shape)), K.reshape(mean, by_group), K.reshape(scale, by_group)
