"""Reductions: sums, means, products, variances, norms, and logical ones.

Sums of bools and integers are int64. What selects an element (max, median, sort) is in
`retrograd.ops.selection`, what keeps the shape (cumsum) in `retrograd.ops.scans`.
"""

from __future__ import annotations

import builtins
import math
import warnings
from collections.abc import Sequence
from typing import Any

from retrograd.dtypes import Category, dtype, uint8
from retrograd.ops.arguments import NOT_GIVEN, wrap_dim, wrap_dims
from retrograd.ops.batching import along
from retrograd.ops.checks import check_norm_type
from retrograd.ops.declare import Array, Op, op
from retrograd.ops.flags import told
from retrograd.ops.reducing import (
    as_dtype,
    category,
    counted,
    expand,
    native,
    reduction,
    restored,
    summed_as,
    widened,
)
from retrograd.ops.refused import no_int

__all__: list[str] = []

BOOL, INTEGER, FLOAT, COMPLEX = Category
Dims = int | Sequence[int] | None


def _all_dims(x: Any) -> tuple[int, ...]:
    return tuple(range(len(x.shape)))


# -- sums and means ----------------------------------------------------------------------------


@op(
    node="SumBackward0",
    vjp={"self": lambda K, g, self_shape, self_dtype: K.broadcast_to(as_dtype(K, g, self_dtype), self_shape)},
    jvp="linear",
)
def _sum_all(K, self: Array, dtype: Any = None) -> Array:
    """Over everything; `dtype` is the backend's own, or None."""
    return K.sum(as_dtype(K, self, dtype), _all_dims(self), False)


@op(
    "sum",
    node="SumBackward1",
    vjp={"self": lambda K, g, self_shape, dim, keepdim: expand(K, g, self_shape, dim, keepdim)},
    jvp="linear",
    batch=along,
)
def _sum(self: Array, dim: tuple[int, ...], keepdim: bool) -> Array:
    """Over the dimensions `dim`, in the input's type."""


@op(
    node="SumBackward1",
    vjp={
        "self": lambda K, g, self_shape, self_dtype, dim, keepdim: expand(
            K, as_dtype(K, g, self_dtype), self_shape, dim, keepdim
        )
    },
    jvp="linear",
    batch=along,
)
def _sum_as(K, self: Array, dim: tuple[int, ...], keepdim: bool, dtype: Any) -> Array:
    """Over the dimensions `dim`, in another type."""
    return K.sum(as_dtype(K, self, dtype), dim, keepdim)


@reduction
def sum(input: Array, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Array:
    """The sum of all elements, or over the dimensions `dim`.

    Parameters
    ----------
    dim
        A dimension or several; None for all.
    keepdim
        Keep the reduced dimensions, with size 1.
    dtype
        The type to add up in. By default the input's, and int64 for integers and bools.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sum.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> x.sum(), x.sum(0)
    (tensor(10.), tensor([4., 6.]))
    """
    type_ = summed_as(input, dtype)
    if dim is None and not keepdim:
        return _sum_all(input, type_)
    dims = wrap_dims(dim, input.ndim)
    return _sum(input, dims, keepdim) if type_ is None else _sum_as(input, dims, keepdim, type_)


def _without_nan(K: Any, x: Any) -> Any:
    return K.where(K.isnan(x), K.zeros_like(x), x) if category(K, x) >= FLOAT else x


def _nansum_vjp(K: Any, g: Any, self: Any, dim: Any, keepdim: bool, self_shape: Any, self_dtype: Any) -> Any:
    spread = expand(K, as_dtype(K, g, self_dtype), self_shape, dim, keepdim)
    return K.where(K.isnan(self), K.zeros_like(spread), spread)


@op(
    node="NansumBackward0",
    vjp={"self": _nansum_vjp},
    jvp={
        "self": lambda K, t, self, dim, keepdim, dtype: K.sum(
            as_dtype(K, K.where(K.isnan(self), K.zeros_like(t), t), dtype), dim, keepdim
        )
    },
    batch=along,
)
def _nansum(K, self: Array, dim: tuple[int, ...], keepdim: bool, dtype: Any) -> Array:
    return K.sum(as_dtype(K, _without_nan(K, self), dtype), dim, keepdim)


@reduction
def nansum(input: Array, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Array:
    """The sum of the elements that are not NaN.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nansum.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nansum(retrograd.tensor([1.0, float("nan"), 2.0]))
    tensor(3.)
    """
    if input.is_complex():
        raise RuntimeError("nansum on CPU does not support complex inputs")
    if dtype is not None and dtype.is_complex and input.dtype.category is FLOAT:
        raise NotImplementedError(f"\"nansum_cpu\" not implemented for '{dtype.type_name}'")
    return _nansum(input, wrap_dims(dim, input.ndim), keepdim, summed_as(input, dtype))


def _mean_vjp(K: Any, g: Any, self_shape: Any, self_dtype: Any) -> Any:
    count = counted(self_shape, range(len(self_shape)))
    return K.broadcast_to(as_dtype(K, g, self_dtype), self_shape) / builtins.max(count, 1)


@op(node="MeanBackward0", vjp={"self": _mean_vjp}, jvp="linear")
def _mean_all(K, self: Array, dtype: Any = None) -> Array:
    return K.mean(as_dtype(K, self, dtype), _all_dims(self), False)


def _mean_dims_vjp(K: Any, g: Any, self_shape: Any, self_dtype: Any, dim: Any, keepdim: bool) -> Any:
    count = builtins.max(counted(self_shape, dim), 1)
    return expand(K, as_dtype(K, g, self_dtype), self_shape, dim, keepdim) / count


@op(node="MeanBackward1", vjp={"self": _mean_dims_vjp}, jvp="linear", batch=along)
def _mean(K, self: Array, dim: tuple[int, ...], keepdim: bool, dtype: Any) -> Array:
    return K.mean(as_dtype(K, self, dtype), dim, keepdim)


@reduction
def mean(input: Array, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Array:
    """The mean of all elements, or over the dimensions `dim`; NaN of none.

    Raises
    ------
    RuntimeError
        If the elements are integers or bools and no `dtype` is given.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.mean.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([[1.0, 2.0], [3.0, 4.0]]).mean(1)
    tensor([1.5000, 3.5000])
    """
    type_ = input.dtype if dtype is None else dtype
    if type_.category < FLOAT:
        whose = "Input" if dtype is None else "Optional"
        raise RuntimeError(
            f"mean(): could not infer output dtype. {whose} dtype must be either a floating point or complex "
            f"dtype. Got: {type_.type_name}"
        )
    if dim is None and not keepdim:
        return _mean_all(input, native(input, dtype))
    return _mean(input, wrap_dims(dim, input.ndim), keepdim, native(input, dtype))


@reduction
def nanmean(input: Array, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Array:
    """The mean of the elements that are not NaN.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nanmean.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nanmean(retrograd.tensor([1.0, float("nan"), 2.0]))
    tensor(1.5000)
    """
    if input.dtype.category < FLOAT:
        raise RuntimeError(
            f"nanmean(): expected input to have floating point or complex dtype but got {input.dtype.type_name}"
        )
    if dtype is not None and dtype.category < FLOAT:
        raise RuntimeError(
            "nanmean(): could not infer output dtype. Optional dtype must be either a floating point or complex dtype. "
            f"Got: {dtype.type_name}"
        )
    present = sum(input.detach().isnan().logical_not(), dim, keepdim)
    return nansum(input, dim, keepdim, dtype=dtype) / present


# -- products ----------------------------------------------------------------------------------


def _product_of_others(K: Any, x: Any) -> Any:
    """For each element the product of all others along the last axis, without a division.

    A tree: neighbours are multiplied in pairs; what is missing to a pair, times an element's
    neighbour, is missing to the element. So zeros need no special case, in no derivative.
    """
    n = x.shape[-1]
    if n == 1:
        return K.zeros_like(x) + 1
    if n % 2:
        widths = ((0, 0),) * (len(x.shape) - 1) + ((0, 1),)
        return _head(K, _product_of_others(K, K.pad(x, widths, 1)), n)
    lead = (slice(None),) * (len(x.shape) - 1)
    even, odd = (K.slice(x, (*lead, slice(start, n, 2))) for start in (0, 1))
    missing = _product_of_others(K, even * odd)
    return K.reshape(K.stack([missing * odd, missing * even], len(x.shape)), tuple(x.shape))


def _head(K: Any, x: Any, n: int) -> Any:
    return K.slice(x, (*(slice(None),) * (len(x.shape) - 1), slice(0, n, 1)))


def _others_of_all(K: Any, x: Any) -> Any:
    """For each element the product of all others."""
    if 0 in x.shape:
        return K.zeros_like(x)
    return K.reshape(_product_of_others(K, K.reshape(x, (-1,))), tuple(x.shape))


def _others(K: Any, x: Any, dim: tuple[int, ...]) -> Any:
    """For each element the product of all others along a dimension."""
    if 0 in x.shape:
        return K.zeros_like(x)
    axes = _last(len(x.shape), dim[0])
    return K.permute_dims(_product_of_others(K, K.permute_dims(x, axes)), axes)


def _prod_all_vjp(K: Any, g: Any, self: Any, self_dtype: Any, self_shape: Any) -> Any:
    g = as_dtype(K, g, self_dtype)
    return K.zeros_like(self) if 0 in self_shape else g * _others_of_all(K, self)


@op(
    node="ProdBackward0",
    vjp={"self": _prod_all_vjp},
    kept=("result",),
    jvp={"self": lambda K, t, self: K.sum(t * _others_of_all(K, self), _all_dims(self), False)},
)
def _prod_all(K, self: Array, dtype: Any = None) -> Array:
    return K.prod(as_dtype(K, self, dtype), _all_dims(self), False)


def _prod_vjp(K: Any, g: Any, self: Any, self_dtype: Any, self_shape: Any, dim: Any, keepdim: bool) -> Any:
    g = as_dtype(K, g, self_dtype)
    if 0 in self_shape:
        return K.zeros_like(self)
    if not dim:
        return g
    return expand(K, g, self_shape, dim, keepdim) * _others(K, self, dim)


def _last(ndim: int, axis: int) -> tuple[int, ...]:
    """The permutation that exchanges `axis` and the last one; its own inverse."""
    axes = list(range(ndim))
    axes[axis], axes[-1] = axes[-1], axes[axis]
    return tuple(axes)


@op(
    node="ProdBackward1",
    vjp={"self": _prod_vjp},
    kept=("result",),
    jvp={"self": lambda K, t, self, dim, keepdim: K.sum(t * _others(K, self, dim), dim, keepdim) if dim else t},
    batch=along,
)
def _prod(K, self: Array, dim: tuple[int, ...], keepdim: bool, dtype: Any) -> Array:
    return K.prod(as_dtype(K, self, dtype), dim, keepdim)


@reduction
def prod(input: Array, dim: int = NOT_GIVEN, keepdim: bool = False, *, dtype: dtype | None = None) -> Array:
    """The product of all elements, or over the dimension `dim`.

    Its derivatives are exact where elements are zero.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.prod.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([[1.0, 2.0], [3.0, 4.0]]).prod(0)
    tensor([3., 8.])
    """
    type_ = summed_as(input, dtype)
    if dim is NOT_GIVEN:
        return _prod_all(input, type_)
    dims = (wrap_dim(dim, input.ndim),) if input.ndim else ()
    return _prod(input, dims, keepdim, type_)


# -- variance ----------------------------------------------------------------------------------


def _freedom(shape: Any, dim: tuple[int, ...], correction: float | None) -> float:
    """By what the sum of squares is divided; None corrects by 1."""
    return counted(shape, dim) - (1 if correction is None else correction)


def _moments(K: Any, x: Any, dim: tuple[int, ...], keepdim: bool, correction: float | None) -> tuple[Any, Any]:
    """The variance and the mean; NaN or infinity where there are too few elements."""
    wide = widened(K, x)
    center = K.mean(wide, dim, True)
    distance = K.abs(wide - center)
    total = K.sum(distance * distance, dim, keepdim)
    freedom = builtins.max(_freedom(x.shape, dim, correction), 0)
    variance = total / K.full((), freedom, total.dtype)
    real = as_dtype(K, variance, None if wide is x else x.dtype)
    return real, as_dtype(K, K.mean(wide, dim, keepdim), x.dtype)


def _var_vjp(K: Any, g: Any, self: Any, self_shape: Any, dim: Any, keepdim: bool, correction: Any) -> Any:
    if not self_shape:
        return (0 * self + math.nan) * g
    return restored(K, g, self_shape, dim, keepdim) * _var_slope(K, self, self_shape, dim, correction)


def _var_slope(K: Any, self: Any, self_shape: Any, dim: Any, correction: Any) -> Any:
    freedom = _freedom(self_shape, dim, correction)
    scale = 2 / freedom if freedom else math.inf
    center = K.sum(self, dim, True) / builtins.max(counted(self_shape, dim), 1)
    return scale * (self - center)


def _along(K: Any, slope: Any, t: Any, dim: Any, keepdim: bool) -> Any:
    """The change of a real number that the gradient `slope` gives, along `t`."""
    return K.sum(K.real(K.conj(slope) * t), dim, keepdim)


def _var_jvp(K: Any, t: Any, self: Any, self_shape: Any, dim: Any, keepdim: bool, correction: Any) -> Any:
    if not self_shape:
        return K.real(t) * math.nan
    return _along(K, _var_slope(K, self, self_shape, dim, correction), t, dim, keepdim)


def _halved(K: Any, g: Any, std: Any) -> Any:
    """The gradient of a standard deviation as one of its square; zero where it is zero."""
    zero = std == 0
    twice = 2 * K.where(zero, K.zeros_like(std) + 1, std)
    return K.where(zero, K.zeros_like(g), g / twice)


def _std_vjp(K: Any, g: Any, self: Any, self_shape: Any, dim: Any, keepdim: bool, correction: Any, result: Any) -> Any:
    return _var_vjp(K, _halved(K, g, result), self, self_shape, dim, keepdim, correction)


def _std_jvp(K: Any, t: Any, self: Any, self_shape: Any, dim: Any, keepdim: bool, correction: Any, result: Any) -> Any:
    return _halved(K, _var_jvp(K, t, self, self_shape, dim, keepdim, correction), result)


def _mean_part(K: Any, g: Any, shape: Any, dim: Any, keepdim: bool) -> Any:
    return expand(K, g / builtins.max(counted(shape, dim), 1), shape, dim, keepdim)


def _add(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else one + other


def _var_mean_vjp(K: Any, g: Any, self: Any, self_shape: Any, dim: Any, keepdim: bool, correction: Any) -> Any:
    first = None if g[0] is None else _var_vjp(K, g[0], self, self_shape, dim, keepdim, correction)
    return _add(first, None if g[1] is None else _mean_part(K, g[1], self_shape, dim, keepdim))


def _std_mean_vjp(
    K: Any, g: Any, self: Any, self_shape: Any, dim: Any, keepdim: bool, correction: Any, result0: Any
) -> Any:
    first = None if g[0] is None else _std_vjp(K, g[0], self, self_shape, dim, keepdim, correction, result0)
    return _add(first, None if g[1] is None else _mean_part(K, g[1], self_shape, dim, keepdim))


def _var_mean_jvp(K: Any, t: Any, self: Any, self_shape: Any, dim: Any, keepdim: bool, correction: Any) -> Any:
    return _var_jvp(K, t, self, self_shape, dim, keepdim, correction), K.mean(t, dim, keepdim)


def _std_mean_jvp(
    K: Any, t: Any, self: Any, self_shape: Any, dim: Any, keepdim: bool, correction: Any, result0: Any
) -> Any:
    return _std_jvp(K, t, self, self_shape, dim, keepdim, correction, result0), K.mean(t, dim, keepdim)


@op(node="VarBackward0", vjp={"self": _var_vjp}, jvp={"self": _var_jvp}, holomorphic=False, batch=along)
def _var(K, self: Array, dim: tuple[int, ...], correction: float | None, keepdim: bool) -> Array:
    return _moments(K, self, dim, keepdim, correction)[0]


@op(node="StdBackward0", vjp={"self": _std_vjp}, jvp={"self": _std_jvp}, holomorphic=False, batch=along)
def _std(K, self: Array, dim: tuple[int, ...], correction: float | None, keepdim: bool) -> Array:
    return K.sqrt(_moments(K, self, dim, keepdim, correction)[0])


@op(
    node="VarMeanBackward0",
    vjp={"self": _var_mean_vjp},
    jvp={"self": _var_mean_jvp},
    holomorphic=False,
    outputs=2,
    batch=along,
)
def _var_mean(K, self: Array, dim: tuple[int, ...], correction: float | None, keepdim: bool) -> Array:
    return _moments(K, self, dim, keepdim, correction)


@op(
    node="StdMeanBackward0",
    vjp={"self": _std_mean_vjp},
    jvp={"self": _std_mean_jvp},
    holomorphic=False,
    outputs=2,
    batch=along,
)
def _std_mean(K, self: Array, dim: tuple[int, ...], correction: float | None, keepdim: bool) -> Array:
    variance, center = _moments(K, self, dim, keepdim, correction)
    return K.sqrt(variance), center


def _spread(function: Any, input: Any, dim: Any, unbiased: bool | None, correction: float | None, keepdim: bool) -> Any:
    """Sort out the two ways of calling, `f(x, dim, unbiased)` and `f(x, unbiased)`, and check."""
    if dim is True or dim is False:
        dim, unbiased = None, dim
    if unbiased is None:
        raise no_int(unbiased)
    if correction is None:
        correction = None if unbiased is NOT_GIVEN and dim is None else 0 if unbiased is False else 1
    elif unbiased is not NOT_GIVEN:
        raise TypeError(f"{function.__name__[1:]}() got both 'unbiased' and 'correction'")
    if input.dtype.category < FLOAT:
        pair = "_mean" if function.__name__.endswith("_mean") else ""
        raise RuntimeError(f"std{pair} and var{pair} only support floating point and complex dtypes")
    dims = wrap_dims(dim, input.ndim)
    if _freedom(input._array.shape, dims, correction) <= 0:
        warnings.warn(
            f"{function.__name__[1:]}(): degrees of freedom is <= 0. Correction should be strictly less than "
            "the reduction factor (input numel divided by output numel).",
            UserWarning,
            stacklevel=4,
        )
    return function(input, dims, correction, keepdim)


@reduction
def var(
    input: Array,
    dim: Any = None,
    unbiased: bool | None = NOT_GIVEN,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Array:
    """The variance: ``sum(abs(input - mean)**2) / (N - correction)``.

    Parameters
    ----------
    correction
        1 by default (Bessel's), 0 with ``unbiased=False``.

    Raises
    ------
    RuntimeError
        If the elements are integers or bools.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.var.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([1.0, 2.0, 4.0]).var()
    tensor(2.3333)
    """
    return _spread(_var, input, dim, unbiased, correction, keepdim)


@reduction
def std(
    input: Array,
    dim: Any = None,
    unbiased: bool | None = NOT_GIVEN,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Array:
    """The standard deviation, the square root of `var`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.std.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([1.0, 2.0, 4.0]).std()
    tensor(1.5275)
    """
    return _spread(_std, input, dim, unbiased, correction, keepdim)


@reduction
def var_mean(
    input: Array,
    dim: Any = None,
    unbiased: bool | None = NOT_GIVEN,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Array, Array]:
    """The variance and the mean.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.var_mean.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.var_mean(retrograd.tensor([1.0, 3.0]))
    (tensor(2.), tensor(2.))
    """
    return _spread(_var_mean, input, dim, unbiased, correction, keepdim)


@reduction
def std_mean(
    input: Array,
    dim: Any = None,
    unbiased: bool | None = NOT_GIVEN,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Array, Array]:
    """The standard deviation and the mean.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.std_mean.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.std_mean(retrograd.tensor([1.0, 3.0]))
    (tensor(1.4142), tensor(2.))
    """
    return _spread(_std_mean, input, dim, unbiased, correction, keepdim)


# -- norms -------------------------------------------------------------------------------------


def _norm_forward(K: Any, x: Any, order: float, dim: tuple[int, ...], keepdim: bool) -> Any:
    size = K.abs(x)
    if order == math.inf:
        return K.max(size, dim, keepdim)
    if order == -math.inf:
        return K.min(size, dim, keepdim)
    if order == 0:
        return K.sum(K.astype(K.not_equal(size, 0), size.dtype), dim, keepdim)
    if order == 1:
        return K.sum(size, dim, keepdim)
    if order == 2:
        return K.sqrt(K.sum(size * size, dim, keepdim))
    return K.pow(K.sum(K.pow(size, order), dim, keepdim), 1 / order)


def _norm_vjp(K: Any, g: Any, self: Any, ord: float, dim: Any, keepdim: bool, result: Any, self_shape: Any) -> Any:
    """Zero where the norm is, whose kink is there."""
    g = restored(K, g, self_shape, dim, keepdim)
    norm = restored(K, result, self_shape, dim, keepdim)
    if ord == 0:  # constant but where an element is zero: no gradient at all, as in PyTorch
        return None
    if ord == 1:
        return K.sign(self) * g
    if ord in (math.inf, -math.inf):
        hit = K.astype((K.abs(self) == norm) | (norm != norm), g.dtype)
        return K.sign(self) * (g / K.sum(hit, dim, True) * hit)
    zero = norm == 0
    if ord == 2:
        return self * K.where(zero, K.zeros_like(g), g / K.where(zero, K.zeros_like(norm) + 1, norm))
    scale = K.where(zero, K.zeros_like(g), g / K.where(zero, K.zeros_like(norm) + 1, norm) ** (ord - 1))
    size = K.abs(self)
    if ord < 2:
        flat = size == 0
        slope = K.where(flat, K.zeros_like(size), K.where(flat, K.zeros_like(size) + 1, size) ** (ord - 1))
        return K.sign(self) * slope * scale
    return self * size ** (ord - 2) * scale


def _norm_jvp(K: Any, t: Any, self: Any, ord: float, dim: Any, keepdim: bool, result: Any, self_shape: Any) -> Any:
    if ord == 0:
        return K.zeros_like(result)
    if ord == 2:
        zero = result == 0
        return K.where(zero, K.zeros_like(result), _along(K, self, t, dim, keepdim)) / K.where(zero, result + 1, result)
    slope = _norm_vjp(K, K.zeros_like(result) + 1, self, ord, dim, keepdim, result, self_shape)
    return _along(K, slope, t, dim, keepdim)


@op(node="LinalgVectorNormBackward0", vjp={"self": _norm_vjp}, jvp={"self": _norm_jvp}, holomorphic=False)
def _vector_norm(K, self: Array, ord: float, dim: tuple[int, ...], keepdim: bool) -> Array:
    wide = widened(K, self)
    norm = _norm_forward(K, wide, ord, dim, keepdim)
    return norm if wide is self else K.astype(norm, self.dtype)


@reduction
@told(keepdim=("linalg_vector_norm", 4))
def norm(input: Array, p: Any = "fro", dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Array:
    """The `p`-norm of the elements, taken as one vector: ``sum(abs(input)**p)**(1/p)``.

    Parameters
    ----------
    p
        The order: a number, infinity too, or `"fro"`, which means 2; or `"nuc"`, for matrices: the sum of the
        singular values.
    dim
        The dimensions to reduce; None for all.

    Raises
    ------
    RuntimeError
        If the elements are integers or bools, `dtype` cannot hold them, or the order is another word.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.norm.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([3.0, -4.0]).norm(), retrograd.tensor([3.0, -4.0]).norm(1)
    (tensor(5.), tensor(7.))
    """
    if isinstance(p, str) and p != "fro":
        from retrograd.ops.linalg_norms import matrix_norm

        return matrix_norm(input, p, range(input.ndim) if dim is None else dim, keepdim, dtype=dtype)
    order = 2 if p is None or p == "fro" else p if type(p) is int else float(p)
    if input.dtype.category < FLOAT:
        raise RuntimeError(
            f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {input.dtype.type_name}"
        )
    if dtype is not None:
        check_norm_type("linalg.vector_norm", input.dtype, dtype)
        input = Op.cast(input, native(input, dtype))
    if input._kernels.sparse:
        from retrograd.sparse import reductions as of_sparse

        return of_sparse.norm(input, order, None if dim is None else wrap_dims(dim, input.ndim), keepdim)
    return _vector_norm(input, order, wrap_dims(dim, input.ndim), keepdim)


# -- logic and counting ------------------------------------------------------------------------


def _truths(K: Any, x: Any) -> Any:
    return x if x.dtype == K.dtypes["bool"] else as_dtype(K, K.not_equal(x, 0), K.dtypes["bool"])


@op(batch=along)
def _all(K, self: Array, dim: tuple[int, ...], keepdim: bool) -> Array:
    return K.all(_truths(K, self), dim, keepdim)


@op(batch=along)
def _any(K, self: Array, dim: tuple[int, ...], keepdim: bool) -> Array:
    return K.any(_truths(K, self), dim, keepdim)


def _as_truth(input: Any, result: Any) -> Any:
    """uint8 counts as an old kind of bool and stays what it is."""
    return Op.cast(result, native(input, uint8)) if input.dtype is uint8 else result


@reduction
def all(input: Array, dim: Dims = None, keepdim: bool = False) -> Array:
    """Whether all elements are true (not zero), or all along the dimensions `dim`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.all.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([[True, False], [True, True]]).all(1)
    tensor([False,  True])
    """
    return _as_truth(input, _all(input, wrap_dims(dim, input.ndim), keepdim))


@reduction
def any(input: Array, dim: Dims = None, keepdim: bool = False) -> Array:
    """Whether an element is true (not zero), or one along the dimensions `dim`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.any.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([[True, False], [False, False]]).any(1)
    tensor([ True, False])
    """
    return _as_truth(input, _any(input, wrap_dims(dim, input.ndim), keepdim))


@op(batch=along)
def _count_nonzero(K, self: Array, dim: tuple[int, ...]) -> Array:
    return K.sum(K.astype(K.not_equal(self, 0), K.dtypes["int64"]), dim, False)


@reduction
def count_nonzero(input: Array, dim: Dims = None, *more: int) -> Array:
    """How many elements are not zero.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.count_nonzero.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.count_nonzero(retrograd.tensor([0.0, 2.0, 3.0]))
    tensor(2)
    """
    return _count_nonzero(input, wrap_dims((dim, *more) if more else dim, input.ndim))
