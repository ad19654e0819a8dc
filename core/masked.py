"""Reductions and normalisations of the elements that a mask admits, with `torch.masked`'s names for plain tensors.

`mask` is a tensor of bools that broadcasts to the input, with at most as many dimensions: True admits an element. What
is left out is replaced by the **identity** of the operation, the value that changes no result, and so has gradient
zero; without a mask nothing is left out. A slice without any admitted element gives the identity, too: 0 for sums, 1
for products, the least value of the type for maxima, and NaN where there is none, for `mean`, `median`, `var`, `std`
and `softmax`. Results have the type of the input unless `dtype` names another, and unless a function says otherwise.

All raise `IndexError` for a mask of more dimensions than the input, and `RuntimeError` for one that does not broadcast.

Source: https://docs.pytorch.org/docs/stable/masked.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, nan

from retrograd.dtypes import bool_, dtype as _dtype, float32, iinfo, int64
from retrograd.linalg import vector_norm
from retrograd.ops.creation import ones
from retrograd.tensor import Tensor

__path__: list[str] = []  # PyTorch has a package here: its modules are found by `retrograd.places`
__all__ = [
    "amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp", "logsumexp", "mean", "median",
    "norm", "normalize", "prod", "softmax", "softmin", "std", "sum", "var",
]  # fmt: skip

Dims = int | Sequence[int] | None


# -- what is left out ----------------------------------------------------------------------------


def _least(name: str, x: Tensor) -> float:
    """The identity of maxima, and of logarithms of sums."""
    if x.is_floating_point():
        return -inf
    return iinfo(_ordered(name, x)).min


def _greatest(name: str, x: Tensor) -> float:
    if x.is_floating_point():
        return inf
    return iinfo(_ordered(name, x)).max


def _ordered(name: str, x: Tensor) -> _dtype:
    if x.dtype is bool_:
        raise NotImplementedError(f"identity of {name} on {x.dtype} input")
    return x.dtype


_IDENTITIES: dict[str, Callable[[Tensor], float]] = {
    "sum": lambda x: 0,
    "prod": lambda x: 1,
    "amax": lambda x: _least("amax", x),
    "argmax": lambda x: _least("argmax", x),
    "logaddexp": lambda x: _least("logaddexp", x),
    "logsumexp": lambda x: -inf if x.is_complex() else _least("logsumexp", x),
    "amin": lambda x: _greatest("amin", x),
    "argmin": lambda x: _greatest("argmin", x),
    "median": lambda x: nan,  # that `nanmedian` passes over
}


def _admitted(input: Tensor, mask: Tensor) -> Tensor:
    """The mask as bools in the shape of the input."""
    if mask.shape != input.shape:
        if mask.ndim > input.ndim:
            raise IndexError(
                "_input_mask expected broadcastable mask (got mask dimensionality higher than of the input)"
            )
        mask = mask.broadcast_to(input.shape)
    return mask.to(bool_)


def _replaced(input: Tensor, mask: Tensor | None, identity: Callable[[Tensor], float]) -> Tensor:
    """The input, with the identity in place of what is left out."""
    if mask is None:
        return input
    admitted = _admitted(input, mask)
    return input.where(admitted, input.new_full((), identity(input)))


def _dims(dim: Dims, ndim: int) -> tuple[int, ...]:
    """Dimensions counted from the first, in order; none given are all of them."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    ndim = max(ndim, 1)
    found: list[int] = []
    for each in (dim,) if isinstance(dim, int) else dim:
        if each in found:
            raise RuntimeError(f"dim={each} appears multiple times in the list of dims")
        if not -ndim <= each < ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got {each})"
            )
        found.append(each % ndim)
    return tuple(sorted(found))


def _widened(type_: _dtype) -> _dtype:
    """The type in which sums and products of elements are made."""
    return type_ if type_.is_floating_point or type_.is_complex else int64


def _count(input: Tensor, mask: Tensor | None, dim: Dims, keepdim: bool) -> Tensor:
    """How many elements there are along `dim`."""
    if mask is None:
        return sum(ones(input.shape, dtype=int64, device=input.device), dim, keepdim=keepdim)
    counted: Tensor = _admitted(input, mask).sum(dim=dim, keepdim=keepdim)
    return counted


# -- sums and products ---------------------------------------------------------------------------


def sum(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool | None = False,
    dtype: _dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The sum of the admitted elements along `dim`, 0 if there is none; of integers and bools in int64.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[-3, -2, -1], [0, 1, 2]])
    >>> mask = retrograd.tensor([[True, False, True], [False, False, False]])
    >>> retrograd.masked.sum(x, 1, mask=mask)
    tensor([-4,  0])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.sum.html
    """
    dtype = dtype or _widened(input.dtype)
    dims = _dims(dim, input.ndim)
    result: Tensor = _replaced(input, mask, _IDENTITIES["sum"]).sum(dims, bool(keepdim), dtype=dtype)
    return result


def prod(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool | None = False,
    dtype: _dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The product of the admitted elements along `dim`, 1 if there is none; of integers and bools in int64.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[-3, -2, -1], [0, 1, 2]])
    >>> mask = retrograd.tensor([[True, False, True], [False, False, False]])
    >>> retrograd.masked.prod(x, 1, mask=mask)
    tensor([3, 1])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.prod.html
    """
    dtype = dtype or _widened(input.dtype)
    dims = _dims(dim, input.ndim)
    result = _replaced(input, mask, _IDENTITIES["prod"]).to(dtype)
    for each in reversed(dims):
        result = result.prod(each, bool(keepdim))
    return result


def cumsum(input: Tensor, dim: int, *, dtype: _dtype | None = None, mask: Tensor | None = None) -> Tensor:
    """The sums of the admitted elements up to each along `dim`; of integers in their own type.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([1.0, 2.0, 3.0, 4.0])
    >>> retrograd.masked.cumsum(x, 0, mask=retrograd.tensor([True, False, True, True]))
    tensor([1., 1., 4., 8.])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.cumsum.html
    """
    dtype = dtype or input.dtype
    along = _dims(dim, input.ndim)[0]
    result: Tensor = _replaced(input, mask, _IDENTITIES["sum"]).cumsum(along, dtype=dtype)
    return result


def cumprod(input: Tensor, dim: int, *, dtype: _dtype | None = None, mask: Tensor | None = None) -> Tensor:
    """The products of the admitted elements up to each along `dim`; of integers in their own type.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([2.0, 3.0, 4.0, 5.0])
    >>> retrograd.masked.cumprod(x, 0, mask=retrograd.tensor([True, False, True, True]))
    tensor([ 2.,  2.,  8., 40.])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.cumprod.html
    """
    dtype = dtype or input.dtype
    along = _dims(dim, input.ndim)[0]
    result: Tensor = _replaced(input, mask, _IDENTITIES["prod"]).cumprod(along, dtype=dtype)
    return result


# -- extremes ------------------------------------------------------------------------------------


def amax(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool | None = False,
    dtype: _dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The largest of the admitted elements along `dim`; the least value of the type if there is none.

    With a mask, `NotImplementedError` for bools and `TypeError` for complex numbers.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[-3.0, -2.0, -1.0], [0.0, 1.0, 2.0]])
    >>> mask = retrograd.tensor([[True, True, False], [False, False, False]])
    >>> retrograd.masked.amax(x, 1, mask=mask)
    tensor([-2., -inf])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.amax.html
    """
    return _extreme("amax", input, dim, keepdim, dtype, mask)


def amin(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool | None = False,
    dtype: _dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The smallest of the admitted elements along `dim`; the greatest value of the type if there is none.

    With a mask, `NotImplementedError` for bools and `TypeError` for complex numbers.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[-3, -2, -1], [0, 1, 2]], dtype=retrograd.int8)
    >>> mask = retrograd.tensor([[False, True, True], [False, False, False]])
    >>> retrograd.masked.amin(x, 1, mask=mask)
    tensor([ -2, 127], dtype=retrograd.int8)

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.amin.html
    """
    return _extreme("amin", input, dim, keepdim, dtype, mask)


def _extreme(
    name: str, input: Tensor, dim: Dims, keepdim: bool | None, dtype: _dtype | None, mask: Tensor | None
) -> Tensor:
    replaced = _replaced(input, mask, _IDENTITIES[name])
    result: Tensor = getattr(replaced, name)(_dims(dim, input.ndim), bool(keepdim))
    return result.to(dtype or input.dtype)


def argmax(
    input: Tensor,
    dim: int | None = None,
    *,
    keepdim: bool | None = False,
    dtype: _dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Where the largest of the admitted elements is along `dim`, or among all: an index in the type of the input.

    With a mask, `NotImplementedError` for bools and `TypeError` for complex numbers.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[-3, -2, -1], [0, 1, 2]])
    >>> mask = retrograd.tensor([[True, True, False], [True, False, False]])
    >>> retrograd.masked.argmax(x, 1, mask=mask)
    tensor([1, 0])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.argmax.html
    """
    return _replaced(input, mask, _IDENTITIES["argmax"]).argmax(dim, bool(keepdim)).to(dtype or input.dtype)


def argmin(
    input: Tensor,
    dim: int | None = None,
    *,
    keepdim: bool | None = False,
    dtype: _dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Where the smallest of the admitted elements is along `dim`, or among all: an index in the type of the input.

    With a mask, `NotImplementedError` for bools and `TypeError` for complex numbers.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[-3, -2, -1], [0, 1, 2]])
    >>> mask = retrograd.tensor([[False, True, True], [False, False, True]])
    >>> retrograd.masked.argmin(x, 1, mask=mask)
    tensor([1, 2])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.argmin.html
    """
    return _replaced(input, mask, _IDENTITIES["argmin"]).argmin(dim, bool(keepdim)).to(dtype or input.dtype)


# -- statistics ----------------------------------------------------------------------------------


def mean(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool | None = False,
    dtype: _dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The mean of the admitted elements along `dim`, NaN if there is none.

    Raises `ValueError` if neither the input nor `dtype` is of a floating-point or complex type.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[-3.0, -2.0, -1.0], [0.0, 1.0, 2.0]])
    >>> mask = retrograd.tensor([[True, False, True], [False, False, False]])
    >>> retrograd.masked.mean(x, 1, mask=mask)
    tensor([-2., nan])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.mean.html
    """
    of = "Input" if dtype is None else "Optional"
    dtype = dtype or input.dtype
    if not (dtype.is_floating_point or dtype.is_complex):
        raise ValueError(
            f"mean(): Could not infer output dtype. {of} dtype must be either "
            f"a floating point or complex dtype. Got: {dtype}"
        )
    count = _count(input, mask, dim, bool(keepdim))
    return sum(input, dim, keepdim=keepdim, dtype=dtype, mask=mask) / count


def median(
    input: Tensor, dim: int = -1, *, keepdim: bool = False, dtype: _dtype | None = None, mask: Tensor | None = None
) -> Tensor:
    """The median of the admitted elements along `dim`, the lower of two; NaN if there is none.

    Raises `ValueError` if there is none, and the input is not of a floating-point type.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[5.0, 1.0, 3.0], [0.0, 1.0, 2.0]])
    >>> mask = retrograd.tensor([[True, False, True], [False, False, False]])
    >>> retrograd.masked.median(x, 1, mask=mask)
    tensor([3., nan])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.median.html
    """
    along = _dims(dim, input.ndim)[0]
    floating = input if input.is_floating_point() else input.to(float32)
    result: Tensor = _replaced(floating, mask, _IDENTITIES["median"]).nanmedian(along, keepdim).values
    if floating is input:
        return result
    if result.isnan().any():
        raise ValueError("masked median expects no fully masked out rows if dtype is not floating point")
    return result.to(dtype or input.dtype)


def var(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool | None = False,
    dtype: _dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The variance of the admitted elements along `dim`, of integers in float32.

    ``sum((x - mean)**2) / max(0, n - correction)``, where n elements are admitted; the correction is 1 by default, and
    0 for ``unbiased=False``. `AssertionError` if both are given.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[-3.0, -2.0, -1.0], [0.0, 1.0, 2.0]])
    >>> mask = retrograd.tensor([[True, False, True], [False, False, False]])
    >>> retrograd.masked.var(x, 1, mask=mask)
    tensor([2., nan])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.var.html
    """
    if unbiased is not None and correction is not None:
        raise AssertionError("Only one of unbiased and correction may be given")
    if correction is None:
        correction = 0.0 if unbiased is False else 1.0
    inexact = input.dtype if input.is_floating_point() or input.is_complex() else float32
    given = dtype or inexact
    within = given if given.is_floating_point or given.is_complex else float32
    count = _count(input, mask, dim, True)
    x = input - sum(input, dim, keepdim=True, dtype=given, mask=mask) / count
    total = sum(x * x.conj(), dim, keepdim=keepdim, dtype=within, mask=mask)
    count = count if keepdim else count.reshape(total.shape)
    if correction != 0:
        real = count.to(within.to_real()) - correction
        count = real.maximum(real.new_zeros(()))
    return (total / count).to(given)


def std(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool | None = False,
    dtype: _dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The standard deviation of the admitted elements along `dim`: the root of their `var`.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[-3.0, -2.0, 1.0], [0.0, 1.0, 2.0]])
    >>> mask = retrograd.tensor([[True, False, True], [False, False, False]])
    >>> retrograd.masked.std(x, 1, False, mask=mask)
    tensor([2., nan])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.std.html
    """
    return var(input, dim, unbiased, correction=correction, keepdim=keepdim, dtype=dtype, mask=mask).sqrt()


def norm(
    input: Tensor,
    ord: float | None = 2.0,
    dim: Dims = None,
    *,
    keepdim: bool | None = False,
    dtype: _dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The vector norm of the admitted elements along `dim`: ``sum(abs(x)**ord)**(1/ord)``.

    See `linalg.vector_norm` for the orders. What is left out counts as 0, and as infinity for ``ord=-inf``, for which
    the input must be of a floating-point type, or `AssertionError` is raised.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[3.0, -2.0, 4.0], [0.0, 1.0, 2.0]])
    >>> mask = retrograd.tensor([[True, False, True], [False, False, False]])
    >>> retrograd.masked.norm(x, 2.0, 1, mask=mask)
    tensor([5., 0.])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.norm.html
    """
    replaced = _replaced(input, mask, lambda x: _identity_of_norm(x, ord))
    result: Tensor = vector_norm(replaced, ord, _dims(dim, input.ndim), bool(keepdim), dtype=dtype or input.dtype)
    return result


def _identity_of_norm(x: Tensor, ord: float | None) -> float:
    if ord != -inf:
        return 0
    if not x.is_floating_point():
        raise AssertionError(f"input must be floating point, got {x.dtype}")
    return inf


# -- logarithms of sums --------------------------------------------------------------------------


def logsumexp(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: _dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """``log(sum(exp(x)))`` of the admitted elements along `dim`, minus infinity if there is none.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[0.0, 5.0, 0.0], [0.0, 1.0, 2.0]])
    >>> mask = retrograd.tensor([[True, False, True], [False, False, False]])
    >>> retrograd.masked.logsumexp(x, 1, mask=mask)
    tensor([0.6931,   -inf])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.logsumexp.html
    """
    dims = _dims(dim, input.ndim)
    result: Tensor = _replaced(input, mask, _IDENTITIES["logsumexp"]).logsumexp(dims, keepdim=keepdim)
    return result.to(dtype or input.dtype)


def logaddexp(
    input: Tensor,
    other: Tensor,
    *,
    dtype: _dtype | None = None,
    input_mask: Tensor | None = None,
    other_mask: Tensor | None = None,
) -> Tensor:
    """``log(exp(x) + exp(y))``, element by element, where what a mask leaves out counts as minus infinity.

    Examples
    --------
    >>> import retrograd
    >>> x, y = retrograd.tensor([-100.0, -200.0, -300.0]), retrograd.tensor([-1.0, -2.0, -3.0])
    >>> mask = retrograd.tensor([True, False, True])
    >>> retrograd.masked.logaddexp(x, y, input_mask=mask, other_mask=mask)
    tensor([-1., -inf, -3.])

    Source: https://docs.pytorch.org/docs/stable/masked.html
    """
    identity = _IDENTITIES["logaddexp"]
    result: Tensor = _replaced(input, input_mask, identity).logaddexp(_replaced(other, other_mask, identity))
    return result.to(dtype or input.dtype)


# -- normalisations ------------------------------------------------------------------------------


def softmax(input: Tensor, dim: int, *, dtype: _dtype | None = None, mask: Tensor | None = None) -> Tensor:
    """``exp(x) / sum(exp(x))`` over the admitted elements along `dim`, and 0 for the others.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[0.0, 5.0, 0.0], [0.0, 1.0, 2.0]])
    >>> mask = retrograd.tensor([[True, False, True], [False, False, False]])
    >>> retrograd.masked.softmax(x, 1, mask=mask)
    tensor([[0.5000, 0.0000, 0.5000],
            [   nan,    nan,    nan]])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.softmax.html
    """
    return _softmax(input, dim, dtype, mask, "softmax")


def log_softmax(input: Tensor, dim: int, *, dtype: _dtype | None = None, mask: Tensor | None = None) -> Tensor:
    """``log(exp(x) / sum(exp(x)))`` over the admitted elements along `dim`, minus infinity for the others.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([0.0, 5.0, 0.0])
    >>> retrograd.masked.log_softmax(x, 0, mask=retrograd.tensor([True, False, True]))
    tensor([-0.6931,    -inf, -0.6931])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.log_softmax.html
    """
    return _softmax(input, dim, dtype, mask, "log_softmax")


def _softmax(input: Tensor, dim: int, dtype: _dtype | None, mask: Tensor | None, name: str) -> Tensor:
    along = _dims(dim, input.ndim)[0]
    replaced = _replaced(input, mask, _IDENTITIES["amax"])
    result: Tensor = getattr(replaced, name)(along, dtype=dtype or input.dtype)
    return result


def softmin(input: Tensor, dim: int, *, dtype: _dtype | None = None, mask: Tensor | None = None) -> Tensor:
    """``exp(-x) / sum(exp(-x))`` over the admitted elements along `dim`, and 0 for the others.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([0.0, -5.0, 0.0])
    >>> retrograd.masked.softmin(x, 0, mask=retrograd.tensor([True, False, True]))
    tensor([0.5000, 0.0000, 0.5000])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.softmin.html
    """
    along = _dims(dim, input.ndim)[0]
    result: Tensor = _replaced(input, mask, _IDENTITIES["amin"]).neg().softmax(along, dtype=dtype or input.dtype)
    return result


def normalize(
    input: Tensor,
    ord: float,
    dim: int,
    *,
    eps: float = 1e-12,
    dtype: _dtype | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """``x / max(norm(x, ord), eps)`` over the admitted elements along `dim`, and 0 for the others.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[3.0, -2.0, 4.0], [0.0, 1.0, 2.0]])
    >>> mask = retrograd.tensor([[True, False, True], [False, False, False]])
    >>> retrograd.masked.normalize(x, 2.0, 1, mask=mask)
    tensor([[0.6000, 0.0000, 0.8000],
            [0.0000, 0.0000, 0.0000]])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked.normalize.html
    """
    replaced = _replaced(input, mask, _IDENTITIES["sum"])
    size = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return replaced / size.maximum(size.new_full((), eps))
