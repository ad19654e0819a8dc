"""Running sums, products and extrema along a dimension.

Note [Doubling]
    A scan whose step is associative takes log2(n) steps on whole arrays: step i combines each
    element with the one 2**i places away. What no kernel offers is computed so, and so is the
    gradient of a running product, whose recurrence has no division and so no trouble with zeros.
"""

from __future__ import annotations

import math
from typing import Any

from retrograd.dtypes import Category, bool_, dtype
from retrograd.ops import return_types
from retrograd.ops.arguments import wrap_dim
from retrograd.ops.batching import along
from retrograd.ops.declare import Array, op
from retrograd.ops.reducing import as_dtype, category, reduction, summed_as
from retrograd.ops.special import log_added

__all__ = ["running_maximum", "shifted"]

FLOAT = Category.FLOAT


def shifted(K: Any, x: Any, axis: int, by: int, fill: Any = 0) -> Any:
    """Element i is element i + `by` of `x`; `fill` where there is none."""
    n, ndim = x.shape[axis], len(x.shape)
    lead = (slice(None),) * axis
    kept = K.slice(x, (*lead, slice(by, n, 1) if by >= 0 else slice(0, n + by, 1)))
    widths = [(0, 0)] * ndim
    widths[axis] = (0, by) if by >= 0 else (-by, 0)
    return K.pad(kept, tuple(widths), fill)


def _recurrence(K: Any, a: Any, b: Any, axis: int, towards: int) -> Any:
    """`s` with ``s[i] = b[i] + a[i] * s[i + towards]``, 1 or -1. See Note [Doubling]."""
    n, step = b.shape[axis], 1
    while step < n:
        b = b + a * shifted(K, b, axis, step * towards)
        a = a * shifted(K, a, axis, step * towards)
        step *= 2
    return b


# -- sums and products -------------------------------------------------------------------------


def _cumsum_vjp(K: Any, g: Any, self_dtype: Any, dim: int) -> Any:
    g = as_dtype(K, g, self_dtype)
    return K.flip(K.cumsum(K.flip(g, (dim,)), dim), (dim,)) if len(g.shape) else g


@op(node="CumsumBackward0", graph="cumsum", vjp={"self": _cumsum_vjp}, jvp="linear", batch=along)
def _cumsum(K, self: Array, dim: int, dtype: Any = None) -> Array:
    x = as_dtype(K, self, dtype)
    return K.cumsum(x, dim) if len(x.shape) else K.copy(x)


def _scanned_as(name: str, input: Any, type_: dtype | None) -> Any:
    """The native type in which to add up or multiply one after the other."""
    if type_ is bool_:
        raise NotImplementedError(f"\"{name}_out_cpu\" not implemented for 'Bool'")
    return summed_as(input, type_)


@reduction
def cumsum(input: Array, dim: int, *, dtype: dtype | None = None) -> Array:
    """The running sum along `dim`; of integers and bools in int64.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cumsum.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([1, 2, 3]).cumsum(0)
    tensor([1, 3, 6])
    """
    return _cumsum(input, wrap_dim(dim, input.ndim), _scanned_as("cumsum", input, dtype))


def _cumprod_vjp(K: Any, g: Any, self: Any, self_dtype: Any, dim: int) -> Any:
    """``before[i] * s[i]`` with ``s[i] = g[i] + self[i + 1] * s[i + 1]``."""
    g = as_dtype(K, g, self_dtype)
    if not len(g.shape) or g.shape[dim] == 0:
        return g
    before = K.cumprod(shifted(K, self, dim, -1, 1), dim)
    return before * _recurrence(K, shifted(K, self, dim, 1), g, dim, 1)


def _cumprod_jvp(K: Any, t: Any, self: Any, dim: int) -> Any:
    """``s[i] = before[i] * t[i] + self[i] * s[i - 1]``."""
    if not len(t.shape) or t.shape[dim] == 0:
        return K.copy(t)
    before = K.cumprod(shifted(K, self, dim, -1, 1), dim)
    return _recurrence(K, self, before * t, dim, -1)


@op(
    node="CumprodBackward0",
    graph="cumprod",
    vjp={"self": _cumprod_vjp},
    jvp={"self": _cumprod_jvp},
    batch=along,
    kept=("result",),
)
def _cumprod(K, self: Array, dim: int, dtype: Any = None) -> Array:
    x = as_dtype(K, self, dtype)
    return K.cumprod(x, dim) if len(x.shape) else K.copy(x)


@reduction
def cumprod(input: Array, dim: int, *, dtype: dtype | None = None) -> Array:
    """The running product along `dim`; of integers and bools in int64. Its gradient is exact at zeros.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cumprod.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([1, 2, 3]).cumprod(0)
    tensor([1, 2, 6])
    """
    return _cumprod(input, wrap_dim(dim, input.ndim), _scanned_as("cumprod", input, dtype))


def _logcumsumexp_vjp(K: Any, g: Any, self: Any, result: Any, dim: int) -> Any:
    """The sum of ``g[k] * exp(self[i] - result[k])`` over k >= i, by factors that never exceed 1."""
    if not len(g.shape) or g.shape[dim] == 0:
        return g
    decay = _decay(K, result, shifted(K, result, dim, 1, math.inf))
    return K.exp(self - result) * _recurrence(K, decay, g, dim, 1)


def _decay(K: Any, less: Any, more: Any) -> Any:
    step = less - more
    same = step != step  # both infinite
    return K.exp(K.where(same, K.zeros_like(step), step))


def _logcumsumexp_jvp(K: Any, t: Any, self: Any, result: Any, dim: int) -> Any:
    """The sum of ``t[k] * exp(self[k] - result[i])`` over k <= i, by factors that never exceed 1."""
    if not len(t.shape) or t.shape[dim] == 0:
        return K.copy(t)
    decay = _decay(K, shifted(K, result, dim, -1, -math.inf), result)
    return _recurrence(K, decay, _decay(K, self, result) * t, dim, -1)


@op(node="LogcumsumexpBackward0", vjp={"self": _logcumsumexp_vjp}, jvp={"self": _logcumsumexp_jvp}, batch=along)
def _logcumsumexp(K, self: Array, dim: int) -> Array:
    """See Note [Doubling]."""
    x, step = self, 1
    n = x.shape[dim] if len(x.shape) else 0
    if n > 1 and getattr(K, "running_logsumexp", None) is not None and category(K, x) is FLOAT:
        return K.running_logsumexp(x, dim)
    while step < n:
        x = log_added(K, x, shifted(K, x, dim, -step, -math.inf))
        step *= 2
    return x if n > 1 else K.copy(x)


@reduction
def logcumsumexp(input: Array, dim: int) -> Array:
    """``log(cumsum(exp(input)))`` along `dim`, without overflow.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logcumsumexp.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.logcumsumexp(retrograd.tensor([100.0, 100.0]), 0)
    tensor([100.0000, 100.6931])
    """
    if input.dtype.category < FLOAT:
        raise NotImplementedError(f"\"logcumsumexp_out_cpu\" not implemented for '{input.dtype.type_name}'")
    return _logcumsumexp(input, wrap_dim(dim, input.ndim))


# -- extrema -----------------------------------------------------------------------------------


def running_maximum(K: Any, x: Any, axis: int) -> Any:
    """The largest so far of numbers not negative. See Note [Doubling]."""
    if K.running is not None:
        return K.running(x, axis, True)
    step = 1
    while step < x.shape[axis]:
        x = K.maximum(x, shifted(K, x, axis, -step))
        step *= 2
    return x


def _running(K: Any, x: Any, axis: int, largest: bool) -> tuple[Any, Any]:
    """Running extrema and where they are: of equal ones the latest, and a NaN from where it stands."""
    if not len(x.shape):
        return K.copy(x), K.zeros((), K.dtypes["int64"])
    n = x.shape[axis]
    places = K.reshape(K.arange(0, n, 1, K.dtypes["int64"]), (n,) + (1,) * (len(x.shape) - axis - 1))
    if K.running is not None:
        newest = K.equal(x, K.running(x, axis, largest))
        if category(K, x) >= FLOAT:
            newest = K.logical_or(newest, K.isnan(x))
        places = running_maximum(K, K.where(newest, places, K.zeros_like(places)), axis)
        return K.gather(x, places, axis), places
    places = K.broadcast_to(places, tuple(x.shape))
    values, step = x if n > 1 else K.copy(x), 1
    while step < n:
        before, where = shifted(K, values, axis, -step), shifted(K, places, axis, -step, -1)
        stays = K.greater_equal(values, before) if largest else K.less_equal(values, before)
        if category(K, x) >= FLOAT:
            stays = K.logical_or(K.isnan(values), K.logical_and(stays, K.logical_not(K.isnan(before))))
        stays = K.logical_or(stays, K.less(where, 0))
        values, places = K.where(stays, values, before), K.where(stays, places, where)
        step *= 2
    return values, places


def _check_order(name: str, input: Any) -> None:
    if input.is_complex():
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{input.dtype.type_name}'")


def _running_vjp(K: Any, g: Any, result1: Any, self_shape: Any, dim: int) -> Any:
    if g[0] is None or not self_shape:
        return g[0]
    return K.scatter_zeros(g[0], tuple(self_shape), dim, result1)


def _running_jvp(K: Any, t: Any, result1: Any, self_shape: Any, dim: int) -> Any:
    return K.gather(t, result1, dim) if self_shape else K.copy(t), None


def _extremum(node: str) -> Any:
    return op(
        node=node, vjp={"self": _running_vjp}, jvp={"self": _running_jvp}, outputs=2, differentiable=1, batch=along,
        kept=("self",),
    )  # fmt: skip


@_extremum("CummaxBackward0")
def _cummax(K, self: Array, dim: int) -> Array:
    return _running(K, self, dim, True)


@_extremum("CumminBackward0")
def _cummin(K, self: Array, dim: int) -> Array:
    return _running(K, self, dim, False)


@reduction
def cummax(input: Array, dim: int) -> Any:
    """The largest element so far along `dim`, and where it is (of equal ones the latest).

    Returns
    -------
    A named tuple (values, indices)

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cummax.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([1.0, 3.0, 2.0]).cummax(0).indices
    tensor([0, 1, 1])
    """
    _check_order("cummax", input)
    return return_types.cummax(*_cummax(input, wrap_dim(dim, input.ndim)))


@reduction
def cummin(input: Array, dim: int) -> Any:
    """The smallest element so far along `dim`, and where it is (of equal ones the latest).

    Returns
    -------
    A named tuple (values, indices)

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cummin.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([3.0, 1.0, 2.0]).cummin(0).indices
    tensor([0, 1, 1])
    """
    _check_order("cummin", input)
    return return_types.cummin(*_cummin(input, wrap_dim(dim, input.ndim)))
