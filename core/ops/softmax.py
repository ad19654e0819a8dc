"""Softmax, its logarithm, and the sum of exponentials that both are divided by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from retrograd.dtypes import Category, dtype, get_default_dtype
from retrograd.ops.arguments import wrap_dim, wrap_dims
from retrograd.ops.batching import along
from retrograd.ops.checks import not_implemented
from retrograd.ops.declare import Array, Op, op
from retrograd.ops.reducing import into, native, reduction, restored
from retrograd.ops.refused import no_ints

__all__: list[str] = []

FLOAT = Category.FLOAT


def _logsumexp_vjp(K: Any, g: Any, self: Any, dim: Any, keepdim: bool, result: Any, self_shape: Any) -> Any:
    top = restored(K, result, self_shape, dim, keepdim)
    top = K.where(top == -math.inf, K.zeros_like(top), top)
    return restored(K, g, self_shape, dim, keepdim) * K.exp(self - top)


def _logsumexp_jvp(K: Any, t: Any, self: Any, dim: Any, keepdim: bool, result: Any, self_shape: Any) -> Any:
    share = _logsumexp_vjp(K, K.zeros_like(result) + 1, self, dim, keepdim, result, self_shape)
    return K.sum(share * t, dim, keepdim)


@op(node="LogsumexpBackward0", vjp={"self": _logsumexp_vjp}, jvp={"self": _logsumexp_jvp}, promote=None, batch=along)
def _logsumexp(K, self: Array, dim: tuple[int, ...], keepdim: bool) -> Array:
    return K.logsumexp(self, dim, keepdim)


@reduction
def logsumexp(input: Array, dim: int | Sequence[int], keepdim: bool = False) -> Array:
    """``log(sum(exp(input)))`` over the dimensions `dim`, without overflow.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logsumexp.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.logsumexp(retrograd.tensor([100.0, 100.0]), 0)
    tensor(100.6931)
    """
    if input.dtype.category < FLOAT:
        input = Op.cast(input, native(input, get_default_dtype()))
    if dim is None:
        raise no_ints(dim)
    return _logsumexp(input, wrap_dims(dim, input.ndim), keepdim)


def _softmax_vjp(K: Any, g: Any, result: Any, dim: int) -> Any:
    weighted = g * result
    total = K.sum(weighted, (dim,), True)
    return into(K, "subtract", weighted, result * total)


_AS_SOFTMAX: dict[str, Any] = {
    "vjp": {"self": _softmax_vjp},
    "jvp": {"self": _softmax_vjp},
    "batch": along,
    "widens": True,
    "fused_gradient": True,
}


@op("softmax", node="SoftmaxBackward0", **_AS_SOFTMAX)
def _softmax(self: Array, dim: int) -> Array:
    """Along one dimension, in the input's type."""


@op("softmax", node="SafeSoftmaxBackward0", **_AS_SOFTMAX)
def _softmax_of_finite(self: Array, dim: int) -> Array:
    """As `_safe_softmax`, where never all is minus infinity."""


@op(node="SafeSoftmaxBackward0", **_AS_SOFTMAX)
def _safe_softmax(K, self: Array, dim: int) -> Array:
    """Along one dimension; zeros instead of NaN where all is minus infinity."""
    made = K.softmax(self, dim)
    return K.where(K.all(K.equal(self, -math.inf), (dim,), True), K.zeros_like(made), made)


def _refuse(name: str, type_: dtype, is_last: bool) -> None:
    """Refuse elements that are no floating-point numbers; PyTorch has another kernel for the last dimension."""
    if type_.category is not FLOAT:
        raise not_implemented(f"{name}_lastdim_kernel_impl" if is_last else f"{name}_kernel_impl", type_)


def _check_classes(inputs: Sequence[Any]) -> None:
    """Of a cross entropy, whose classes are the second dimension."""
    _refuse("log_softmax", inputs[0].dtype, inputs[0].ndim <= 2)


@op(
    "log_softmax",
    node="LogSoftmaxBackward0",
    check=_check_classes,
    vjp={"self": lambda K, g, result, dim: g - into(K, "multiply", K.exp(result), K.sum(g, (dim,), True))},
    jvp={"self": lambda K, t, result, dim: t - K.sum(K.exp(result) * t, (dim,), True)},
    batch=along,
    widens=True,
    fused_gradient=True,
)
def _log_softmax(self: Array, dim: int) -> Array:
    """Along one dimension, in the input's type."""


@op(node="SoftmaxBackward0", vjp={"self": lambda K, g: K.zeros_like(g)}, jvp="zero", kept=("dim", "result"))
def _softmax_of_scalar(K, self: Array, dim: int) -> Array:
    """Of a 0-dimensional tensor: 1."""
    return K.exp(self - self)


@op(node="LogSoftmaxBackward0", vjp={"self": lambda K, g: K.zeros_like(g)}, jvp="zero", kept=("dim", "result"))
def _log_softmax_of_scalar(K, self: Array, dim: int) -> Array:
    """Of a 0-dimensional tensor: 0."""
    return self - self


def _over_one_dim(name: str, function: Any, over_scalar: Any, input: Any, dim: int, type_: dtype | None) -> Any:
    if type_ is not None and type_ is not input.dtype:
        input = Op.cast(input, native(input, type_))
    at = wrap_dim(dim, input.ndim)
    _refuse(name, input.dtype, at >= input.ndim - 1)
    return function(input, at) if input.ndim else over_scalar(input, at)


@reduction
def softmax(input: Array, dim: int, dtype: dtype | None = None) -> Array:
    """``exp(input) / sum(exp(input))`` along `dim`, without overflow.

    Parameters
    ----------
    dtype
        The type to cast the input to first.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.softmax(retrograd.tensor([0.0, 1.0]), 0)
    tensor([0.2689, 0.7311])
    """
    return _over_one_dim("softmax", _softmax, _softmax_of_scalar, input, dim, dtype)


@reduction
def log_softmax(input: Array, dim: int, dtype: dtype | None = None) -> Array:
    """The logarithm of `softmax`, computed without its rounding errors.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.log_softmax(retrograd.tensor([0.0, 1.0]), 0)
    tensor([-1.3133, -0.3133])
    """
    return _over_one_dim("log_softmax", _log_softmax, _log_softmax_of_scalar, input, dim, dtype)
