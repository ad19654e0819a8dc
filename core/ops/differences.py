"""Differences, distances and what is computed of them: integrals of samples, covariances, norms that are bounded."""

from __future__ import annotations

import warnings
from math import inf
from typing import Any

from retrograd.autograd.cautions import level_of_caller
from retrograd.dtypes import Category, bool_
from retrograd.levels import is_mapped
from retrograd.ops.arguments import NOT_GIVEN, as_float, as_int, wrap_dim
from retrograd.ops.arrange import cat, roll
from retrograd.ops.autocasting import in_float32, in_lower_type
from retrograd.ops.batching import each_leading
from retrograd.ops.broadcasting import broadcast_shapes, sum_to
from retrograd.ops.checks import computes_ahead, everywhere, is_half, not_implemented
from retrograd.ops.declare import Array, alias, composite, op
from retrograd.ops.elementwise import _div_number, _mul_number
from retrograd.ops.factories import ones_like, zeros_like
from retrograd.ops.grouped import one_node
from retrograd.ops.indexing import where
from retrograd.ops.inplace import written_over
from retrograd.ops.linalg import bmm, factors, refuse_bool
from retrograd.ops.old_order import call_in_old_order
from retrograd.ops.overloads import no_overload
from retrograd.ops.refused import tensors_only
from retrograd.ops.shape import expand, narrow, reshape, select, unsqueeze
from retrograd.tensor import Tensor

__all__: list[str] = []

# -- differences of neighbours -------------------------------------------------------------------


def _neighbours(input: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    if not input.ndim:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    count = max(input.shape[dim] - 1, 0)
    return narrow(input, dim, 0, count), narrow(input, dim, min(1, input.shape[dim]), count)


@composite
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """The differences of neighbours along a dimension, taken `n` times; of booleans, whether they differ.

    Parameters
    ----------
    prepend, append
        Values to join to the ends before.

    Raises
    ------
    RuntimeError
        If `input` has no dimension, or `n` is negative.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.diff.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.diff(retrograd.tensor([1, 4, 9, 16]))
    tensor([3, 5, 7])
    """
    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    n = as_int(n)
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    at = wrap_dim(dim, input.ndim)
    if n == 0:
        return zeros_like(input).copy_(input)
    parts = [each for each in (prepend, input, append) if each is not None]
    found = cat(parts, at) if len(parts) > 1 else input
    for _ in range(min(n, found.shape[at])):
        low, high = _neighbours(found, at)
        found = high.logical_xor(low) if found.dtype.type_name == "Bool" else high - low
    return found


def _widths(name: str, y: Tensor, x: Tensor, dx: Any, at: int) -> Tensor | None:
    """The distances between neighbours, if they were given."""
    if y.dtype is bool_ or getattr(x, "dtype", None) is bool_:
        which = "`y`" if x is NOT_GIVEN else "`x` or `y`"
        raise RuntimeError(f"{name}: received a bool input for {which}, but bool is not supported")
    if x is NOT_GIVEN:
        return None
    tensors_only(x)
    if dx is not None:
        raise no_overload(name, (y, x), {"dx": dx})
    if x.ndim == 1:
        if x.shape[0] != y.size(at):
            raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
        x = reshape(x, (1,) * at + (-1,) + (1,) * (y.ndim - at - 1)) if y.ndim > 1 else x
    elif x.ndim < y.ndim:
        x = reshape(x, (*[1] * (y.ndim - x.ndim), *x.shape))
    low, high = _neighbours(x, at)
    return high - low


def _sums(y: Tensor, at: int) -> Tensor:
    """Of neighbours."""
    low, high = _neighbours(y, at)
    return low + high


@composite
def trapezoid(y: Tensor, x: Tensor = NOT_GIVEN, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral of samples by the trapezoidal rule.

    Parameters
    ----------
    y
        The samples.
    x
        Where they were taken; or `dx`, the distance between two, which is 1 by default.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.trapezoid.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.trapezoid(retrograd.tensor([1.0, 5.0, 10.0]), dx=2)
    tensor(21.)
    """
    if x is NOT_GIVEN:
        y.size(dim)
    at = wrap_dim(dim, y.ndim)
    is_empty = not y.size(at)
    widths = None if is_empty else _widths("trapezoid", y, x, dx, at)
    if widths is not None:
        return _div_number((_sums(y, at) * widths).sum(at), 2)
    if is_empty:
        return _mul_number(y.sum(at), 0)
    ends = select(y, at, 0) + select(y, at, -1)
    return _mul_number(y.sum(at) - _mul_number(ends, 0.5), 1 if dx is None else dx)


alias("trapz", trapezoid)


@composite
def cumulative_trapezoid(y: Tensor, x: Tensor = NOT_GIVEN, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integrals of samples up to each but the first; see `trapezoid`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cumulative_trapezoid.html
    """
    at = wrap_dim(dim, y.ndim)
    widths = _widths("cumulative_trapezoid", y, x, dx, at)
    if widths is not None:
        return _div_number((_sums(y, at) * widths).cumsum(at), 2)
    return _mul_number(_sums(y, at), (1 if dx is None else dx) / 2).cumsum(at)


# -- distances -----------------------------------------------------------------------------------


@composite
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The `p`-norm of the difference.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.dist.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.dist(retrograd.tensor([3.0, 4.0]), retrograd.zeros(2))
    tensor(5.)
    """
    tensors_only(input, other)
    return _dist(input, other, as_float(p))


@one_node("DistBackward0", "input", "other", saves="other p result=result0 self=input")
def _dist(input: Tensor, other: Tensor, p: float) -> Tensor:
    return (input - other).norm(p)


def _ratio(K: Any, g: Any, result: Any) -> Any:
    """What a distance's gradient is for each unit of difference; none where two points are one."""
    zero = K.equal(result, 0)
    return K.where(zero, K.zeros_like(g), g / K.where(zero, K.zeros_like(result) + 1, result))


def _pull(K: Any, g: Any, ours: Any, theirs: Any, result: Any) -> Any:
    ratio = _ratio(K, g, result)
    return ours * K.sum(ratio, (len(ratio.shape) - 1,), True) - K.matmul(ratio, theirs)


def _push(K: Any, t: Any, ours: Any, theirs: Any, result: Any) -> Any:
    return _ratio(K, K.sum(ours * t, (len(t.shape) - 1,), True) - K.matmul(t, theirs.mT), result)


@op(
    name="_euclidean_dist",
    node="EuclideanDistBackward0",
    vjp={
        "x1": lambda K, g, x1, x2, result: _pull(K, g, x1, x2, result),
        "x2": lambda K, g, x1, x2, result: _pull(K, g.mT, x2, x1, result.mT),
    },
    jvp={
        "x1": lambda K, t, x1, x2, result: _push(K, t, x1, x2, result),
        "x2": lambda K, t, x1, x2, result: _push(K, t, x2, x1, result.mT).mT,
    },
    batch=each_leading,
)
def _euclidean_dist(K, x1: Array, x2: Array) -> Array:
    """Distances by ``|a - b|^2 = |a|^2 - 2 ab + |b|^2``; both have the same leading dimensions."""
    last = (len(x1.shape) - 1,)
    squares = K.matmul(x1, x2.mT) * -2 + K.sum(x1 * x1, last, True) + K.sum(x2 * x2, last, True).mT
    return K.sqrt(K.clip(squares, 0, None))


_MM_MODES = {
    "use_mm_for_euclid_dist": 0,
    "use_mm_for_euclid_dist_if_necessary": 25,
    "donot_use_mm_for_euclid_dist": inf,
}
"""The number of rows above which euclidean distances are found by a matrix product."""


@composite
@in_float32
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The `p`-norm distance of each row of `x1` to each of `x2`, of one batch or several.

    Parameters
    ----------
    x1
        Of shape ``(..., P, M)``.
    x2
        Of shape ``(..., R, M)``; the leading dimensions broadcast.
    compute_mode
        Whether euclidean distances are found by a matrix product, which is much quicker and less exact where points
        are close: ``"use_mm_for_euclid_dist_if_necessary"`` (if P or R is above 25), ``"use_mm_for_euclid_dist"`` or
        ``"donot_use_mm_for_euclid_dist"``.

    Raises
    ------
    ValueError
        If `compute_mode` is none of these.
    RuntimeError
        If a shape, a type or `p` does not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cdist.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.cdist(retrograd.zeros(1, 2), retrograd.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    if compute_mode not in _MM_MODES:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    for name, each in (("X1", x1), ("X2", x2)):
        if each.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {each.ndim}D")
        if not each.dtype.is_floating_point:
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {each.dtype.type_name}")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    if x1.dtype is not x2.dtype:
        raise RuntimeError(f"expected scalar type {x1.dtype.type_name} but found {x2.dtype.type_name}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    if p == 2 and max(x1.shape[-2], x2.shape[-2]) > _MM_MODES[compute_mode] and x1.numel() and x2.numel():
        lead = broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
        return _euclidean_dist(expand(x1, *lead, *x1.shape[-2:]), expand(x2, *lead, *x2.shape[-2:]))
    if is_half(x1.dtype):
        raise not_implemented("cdist", x1.dtype)
    return _cdist(x1, x2, float(p))


@one_node("CdistBackward0", "x1", "x2", saves="p result=result0 x1 x2")
def _cdist(x1: Tensor, x2: Tensor, p: float) -> Tensor:
    return row_norms(unsqueeze(x1, -2) - unsqueeze(x2, -3), p)


def row_norms(differences: Tensor, p: float) -> Tensor:
    """Norms along the last dimension; for p = 0 with gradients of zero, where `norm` has none."""
    return differences.norm(p, -1) if p else differences.sign().abs().sum(-1)


# -- products ------------------------------------------------------------------------------------


@composite
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along a dimension of size 3: by default the first.

    Raises
    ------
    RuntimeError
        If that dimension has another size.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cross.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.cross(retrograd.tensor([1.0, 0.0, 0.0]), retrograd.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    if input.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if dim is None:
        dim = next((i for i, n in enumerate(input.shape) if n == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    at = wrap_dim(dim, input.ndim)
    if input.shape[at] != 3 or other.shape[at] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[at]} and {other.shape[at]}"
        )
    common = broadcast_shapes(tuple(input.shape), tuple(other.shape))
    a, b = expand(input, common), expand(other, common)
    return roll(a, -1, at) * roll(b, -2, at) - roll(a, -2, at) * roll(b, -1, at)


def _every(K: Any, g: Any, batch: Any) -> Any:
    """A gradient of the sum of matrices as that of each."""
    return K.broadcast_to(g, (batch.shape[0], *g.shape))


def _scaled(x: Any, factor: Any) -> Any:
    return x if factor == 1 else x * factor


@op(
    name="_addbmm",
    node="AddbmmBackward0",
    vjp={
        "self": lambda K, g, self_shape, beta: _scaled(sum_to(K, g, self_shape), beta),
        "batch1": lambda K, g, batch2, alpha: _scaled(K.matmul(_every(K, g, batch2), batch2.mT), alpha),
        "batch2": lambda K, g, batch1, alpha: _scaled(K.matmul(batch1.mT, _every(K, g, batch1)), alpha),
    },
    jvp={"*": lambda K, t, batch1, batch2, beta, alpha: _addbmm_jvp(K, t, batch1, batch2, beta, alpha)},
    kept=("alpha", "beta", "batch1_shape", "batch2_shape"),
)
def _addbmm(K, self: Array, batch1: Array, batch2: Array, beta: float, alpha: float) -> Array:
    return K.add(_scaled(self, beta), _scaled(K.sum(K.matmul(batch1, batch2), (0,), False), alpha))


def _addbmm_jvp(K: Any, t: Any, batch1: Any, batch2: Any, beta: Any, alpha: Any) -> Any:
    total = None if t[0] is None else _scaled(t[0], beta)
    for left, right in ((t[1], batch2), (batch1, t[2])):
        if left is not None and right is not None:
            part = _scaled(K.sum(K.matmul(left, right), (0,), False), alpha)
            total = part if total is None else total + part
    return total


@composite
@in_lower_type
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *old: Any, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * sum of batch1[i] @ batch2[i]``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.addbmm.html

    Examples
    --------
    >>> import retrograd
    >>> ones = retrograd.ones(3, 1, 2)
    >>> retrograd.addbmm(retrograd.zeros(1, 1), ones, ones.mT)
    tensor([[6.]])
    """
    if old:
        return call_in_old_order(addbmm, input, batch1, batch2, *old)
    if input.dtype is not batch1.dtype is batch2.dtype:
        found = f"{input.dtype.type_name} and {batch1.dtype.type_name}"
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {found}")
    refuse_bool("mm", batch1)
    beta, alpha = factors(batch1, beta, alpha)
    if beta and input.dtype is batch1.dtype is batch2.dtype and _is_sum_of_products(input, batch1, batch2):
        return _addbmm(input, batch1, batch2, beta, alpha)
    product = bmm(batch1, batch2).sum(0, dtype=batch1.dtype)
    scaled = product if alpha == 1 else product * alpha
    return scaled if beta == 0 else (input if beta == 1 else input * beta) + scaled


def _is_sum_of_products(input: Tensor, batch1: Tensor, batch2: Tensor) -> bool:
    """Whether there are as many factors on both sides, and `input` has the shape of the sum or is expanded to it."""
    if batch1.ndim != 3 or batch2.ndim != 3:
        return False
    (count, n, inner), (others, same, m) = batch1.shape, batch2.shape
    if count != others:
        raise RuntimeError(f"batch1 and batch2 must have same number of batches, got {count} and {others}")
    expand(input, (n, m))  # raises if it cannot be
    return inner == same


@composite
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers of each element as a row, from the highest to 1.

    Raises
    ------
    RuntimeError
        If `x` is not one-dimensional.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.vander.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.vander(retrograd.tensor([1, 2, 3]), increasing=True)
    tensor([[1, 1, 1],
            [1, 2, 4],
            [1, 3, 9]])
    """
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    count = x.shape[0] if N is None else as_int(N)
    if count < 0:
        raise RuntimeError("N must be non-negative.")
    powers = [ones_like(x)]
    for _ in range(count - 1):
        powers.append(powers[-1] * x)
    rows = [unsqueeze(each, 1) for each in (powers if increasing else reversed(powers))]
    return cat(rows, 1) if count else narrow(rows[0], 1, 0, 0)


# -- statistics ----------------------------------------------------------------------------------


def _check_observation_weights(name: str, weights: Tensor | None, kind: str, count: int) -> None:
    if weights is None:
        return
    if weights.ndim > 1:
        raise RuntimeError(
            f"cov(): expected {name} to have one or fewer dimensions but got {name} with {weights.ndim} dimensions"
        )
    category = Category.FLOAT if kind == "floating point" else Category.INTEGER
    if weights.dtype.category is not category:
        raise RuntimeError(
            f"cov(): expected {name} to have {kind} dtype but got {name} with {weights.dtype.type_name} dtype"
        )
    if weights.numel() != count:
        raise RuntimeError(
            f"cov(): expected {name} to have the same numel as there are observations in the input but got "
            f"{weights.numel()} != {count}"
        )
    k = weights._kernels
    if not computes_ahead(weights) and not everywhere(k, k.logical_not(weights._array < 0)):
        raise RuntimeError(f"cov(): {name} cannot be negative")


@composite
def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """The covariances of variables, which are the rows, over observations, which are the columns.

    Parameters
    ----------
    correction
        Subtracted from the number of observations before dividing by it.
    fweights
        How often each observation was made.
    aweights
        How much it counts.

    Raises
    ------
    RuntimeError
        If there are more than two dimensions, or the elements are bools.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cov.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.cov(retrograd.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if input.ndim > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions"
        )
    if input.dtype is bool_:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    correction = as_int(correction)
    rows = input if input.ndim == 2 else reshape(input, (1, -1))
    _check_observation_weights("fweights", fweights, "integral", rows.shape[1])
    _check_observation_weights("aweights", aweights, "floating point", rows.shape[1])
    weights = fweights
    if aweights is not None:
        weights = aweights if fweights is None else fweights * aweights
    count: Any
    if weights is None:
        count = rows.shape[1]
        _warn_without_freedom(count - correction <= 0)
        freedom: Any = max(count - correction, 0)
        centred = rows - unsqueeze(rows.sum(1) / count, 1)
        weighted = centred
    else:
        count = weights.sum()
        lost = correction if aweights is None else correction * (weights * aweights).sum() / count
        freedom = (count - lost).clamp(min=0)
        _warn_without_freedom(not freedom._kernels.meta and not is_mapped(freedom) and freedom.item() == 0)
        centred = rows - unsqueeze((rows * weights).sum(1) / count, 1)
        weighted = centred * weights
    conjugated = weighted.conj() if weighted.is_complex() else weighted
    return (centred @ conjugated.t() / freedom).squeeze()


def _warn_without_freedom(lacking: bool) -> None:
    if lacking:
        warnings.warn(
            "cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.",
            UserWarning,
            stacklevel=level_of_caller(),
        )


@composite
def corrcoef(input: Tensor) -> Tensor:
    """The correlations of variables, which are the rows: covariances over standard deviations.

    Raises
    ------
    RuntimeError
        If there are more than two dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.corrcoef.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.corrcoef(retrograd.tensor([[0.0, 1.0, 2.0], [4.0, 2.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if input.ndim > 2:
        raise RuntimeError(
            f"corrcoef(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions"
        )
    found = cov(input)
    if not found.ndim:
        return found / found
    deviations = found.diagonal().sqrt()
    scaled = found / deviations.view(-1, 1) / deviations.view(1, -1)
    return scaled if scaled.is_complex() else scaled.clamp(-1, 1)


@composite
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Each slice along `dim` scaled down so that its `p`-norm is at most `maxnorm`.

    Raises
    ------
    RuntimeError
        If there are less than two dimensions, or a norm or bound makes no sense.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.renorm.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.renorm(retrograd.tensor([[3.0, 4.0], [0.3, 0.4]]), 2, 0, 1)
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    at = wrap_dim(dim, input.ndim)
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm:g}")
    if input.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions")
    return _renorm(input, p, at, maxnorm)


@one_node("RenormBackward0", "input", saves="dim maxnorm p self=input")
def _renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    norms = input.norm(p, [i for i in range(input.ndim) if i != dim], keepdim=True)
    return input * where(norms > maxnorm, maxnorm / (norms + 1e-7), ones_like(norms))


addbmm_ = written_over("addbmm_", addbmm)
renorm_ = written_over("renorm_", renorm)
