"""What selects elements: the largest and the smallest, sorting, medians, quantiles.

An index among equal elements is that of the first, where PyTorch says which one it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from retrograd.autograd.explaining import remember_break
from retrograd.autograd.modes import current_mode
from retrograd.dtypes import FLOAT8, Category, float32, float64
from retrograd.ops import return_types
from retrograd.ops.arguments import NOT_GIVEN, as_int, wrap_dim, wrap_dims
from retrograd.ops.autocasting import in_float32
from retrograd.ops.batching import along
from retrograd.ops.checks import everywhere, is_number
from retrograd.ops.creation import tensor
from retrograd.ops.declare import Array, composite, op, publics
from retrograd.ops.factories import full_like
from retrograd.ops.overloads import wrong_argument
from retrograd.ops.reducing import category, reduction, restored
from retrograd.ops.scans import running_maximum, shifted
from retrograd.tensor import Tensor

__all__: list[str] = []

BOOL, INTEGER, FLOAT, COMPLEX = Category
Dims = int | Sequence[int] | None


def real_only(kernel: str, input: Any, *others: Category) -> None:
    if input.dtype.category in (COMPLEX, *others) or input.dtype in FLOAT8:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{input.dtype.type_name}'")


def _check_not_empty(name: str, input: Any, dim: int | None) -> None:
    if dim is None:
        if input.numel() == 0:
            raise RuntimeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                "Specify the reduction dim with the 'dim' argument."
            )
    elif input.ndim and input._array.shape[dim] == 0:
        raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")


# -- values at positions -----------------------------------------------------------------------


def _at(K: Any, x: Any, positions: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    """The elements at `positions`, which have size 1 along `dim`, and the positions."""
    values = K.gather(x, positions, dim)
    if keepdim:
        return values, positions
    shape = tuple(n for i, n in enumerate(x.shape) if i != dim)
    return K.reshape(values, shape), K.reshape(positions, shape)


def _selected_vjp(K: Any, g: Any, result1: Any, self_shape: Any, dim: int, keepdim: bool = True) -> Any:
    """The gradient goes to the selected elements."""
    if g[0] is None:
        return None
    if not self_shape:
        return g[0]
    grad, positions = (restored(K, each, self_shape, (dim,), keepdim) for each in (g[0], result1))
    return K.scatter_zeros(grad, tuple(self_shape), dim, positions)


def _without_keepdim_vjp(K: Any, g: Any, result1: Any, self_shape: Any, dim: int) -> Any:
    return _selected_vjp(K, g, result1, self_shape, dim)


def _selected_jvp(K: Any, t: Any, result1: Any, self_shape: Any, dim: int, keepdim: bool = True) -> Any:
    """The tangents of the selected elements; positions have none."""
    if not self_shape:
        return K.copy(t), None
    picked = K.gather(t, restored(K, result1, self_shape, (dim,), keepdim), dim)
    return K.reshape(picked, tuple(result1.shape)), None


def _without_keepdim_jvp(K: Any, t: Any, result1: Any, self_shape: Any, dim: int) -> Any:
    return _selected_jvp(K, t, result1, self_shape, dim)


# The declarations of operators that return values and, as integers, where these were.
_selecting = partial(op, vjp={"self": _selected_vjp}, jvp={"self": _selected_jvp}, outputs=2, differentiable=1)
_ordering = partial(
    op, vjp={"self": _without_keepdim_vjp}, jvp={"self": _without_keepdim_jvp}, outputs=2, differentiable=1
)


def _scalar(K: Any, x: Any) -> tuple[Any, Any]:
    """The selection from a 0-dimensional array: its copy, at position 0."""
    return K.copy(x), K.zeros((), K.dtypes["int64"])


def _shared_vjp(K: Any, g: Any, self: Any, result: Any) -> Any:
    """The gradient of one value, in equal shares to all elements that have it."""
    mask = (self == result) | ((self != self) & (result != result))
    share = K.astype(mask, g.dtype)
    return share * (g / K.sum(share, tuple(range(len(self.shape))), False))


def _shared_jvp(K: Any, t: Any, self: Any, result: Any) -> Any:
    """The mean of the tangents of all elements that have the value."""
    return K.sum(_shared_vjp(K, K.zeros_like(result) + 1, self, result) * t, tuple(range(len(self.shape))), False)


# -- the largest and the smallest --------------------------------------------------------------


def _extremum(K: Any, x: Any, kernel: str, dim: int, keepdim: bool) -> tuple[Any, Any]:
    if not len(x.shape):
        return _scalar(K, x)
    return _at(K, x, getattr(K, kernel)(x, dim, True), dim, keepdim)


@_selecting(node="MaxBackward0", batch=along)
def _max_dim(K, self: Array, dim: int, keepdim: bool) -> Array:
    return _extremum(K, self, "argmax", dim, keepdim)


@_selecting(node="MinBackward0", batch=along)
def _min_dim(K, self: Array, dim: int, keepdim: bool) -> Array:
    return _extremum(K, self, "argmin", dim, keepdim)


@op(node="MaxBackward1", vjp={"self": _shared_vjp}, jvp={"self": _shared_jvp})
def _max_all(K, self: Array) -> Array:
    return K.max(self, tuple(range(len(self.shape))), False)


@op(node="MinBackward1", vjp={"self": _shared_vjp}, jvp={"self": _shared_jvp})
def _min_all(K, self: Array) -> Array:
    return K.min(self, tuple(range(len(self.shape))), False)


def _of_one_or_two(
    name: str, input: Any, dim: Any, keepdim: bool, other: Any, over_all: Any, over_dim: Any, of_two: str
) -> Any:
    """The three overloads of `max` and `min`."""
    second = dim if other is None else other
    if not isinstance(input, Tensor):
        raise wrong_argument(name, "self", 0, (input,) if second is NOT_GIVEN else (input, second))
    if isinstance(second, Tensor):
        return publics[of_two](input, second)
    if dim is NOT_GIVEN:
        real_only(f"{name}_all", input)
        _check_not_empty(name, input, None)
        return over_all(input)
    if input.is_complex():
        raise RuntimeError(f"{name}(): does not support complex input")
    at = wrap_dim(dim, input.ndim)
    _check_not_empty(name, input, at)
    return getattr(return_types, name)(*over_dim(input, at, keepdim))


@reduction
def max(input: Array, dim: Any = NOT_GIVEN, keepdim: bool = False, *, other: Array | None = None) -> Any:
    """The largest element; with `dim`, the largest along it and where; with a tensor, `maximum`.

    NaN counts as the largest. The gradient of the largest of all is shared by all equal ones; along a
    dimension it goes to the first.

    Returns
    -------
    Tensor, or a named tuple (values, indices) if `dim` is given

    Raises
    ------
    RuntimeError, IndexError
        If there is no element.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.max.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[1.0, 4.0], [3.0, 2.0]])
    >>> x.max()
    tensor(4.)
    >>> x.max(1).indices
    tensor([1, 0])
    """
    return _of_one_or_two("max", input, dim, keepdim, other, _max_all, _max_dim, "maximum")


@reduction
def min(input: Array, dim: Any = NOT_GIVEN, keepdim: bool = False, *, other: Array | None = None) -> Any:
    """The smallest element; with `dim`, the smallest along it and where; with a tensor, `minimum`.

    NaN counts as the smallest. Gradients are as those of `max`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.min.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[1.0, 4.0], [3.0, 2.0]])
    >>> x.min()
    tensor(1.)
    >>> x.min(1).indices
    tensor([0, 1])
    """
    return _of_one_or_two("min", input, dim, keepdim, other, _min_all, _min_dim, "minimum")


def _evenly_vjp(K: Any, g: Any, self: Any, result: Any, self_shape: Any, dim: Any, keepdim: bool) -> Any:
    """In equal shares to all elements equal to the result of their slice."""
    top = restored(K, result, self_shape, dim, keepdim)
    share = K.astype(self == top, g.dtype)
    return restored(K, g, self_shape, dim, keepdim) * share / K.sum(share, dim, True)


def _evenly_jvp(K: Any, t: Any, self: Any, result: Any, self_shape: Any, dim: Any, keepdim: bool) -> Any:
    share = _evenly_vjp(K, K.zeros_like(result) + 1, self, result, self_shape, dim, keepdim)
    return K.sum(share * t, dim, keepdim)


@op("max", node="AmaxBackward0", vjp={"self": _evenly_vjp}, jvp={"self": _evenly_jvp}, batch=along)
def _amax(self: Array, dim: tuple[int, ...], keepdim: bool) -> Array:
    """The largest, over several dimensions."""


@op("min", node="AminBackward0", vjp={"self": _evenly_vjp}, jvp={"self": _evenly_jvp}, batch=along)
def _amin(self: Array, dim: tuple[int, ...], keepdim: bool) -> Array:
    """The smallest, over several dimensions."""


def _over_dims(name: str, function: Any, input: Any, dim: Dims, keepdim: bool) -> Any:
    real_only({"amax": "max_values_cpu", "amin": "min_values_cpu"}[name], input)
    dims = wrap_dims(dim, input.ndim)
    if input.numel() == 0:
        if dim is None or dim == ():
            _check_not_empty(name, input, None)
        for each in dims:
            _check_not_empty(name, input, each)
    return function(input, dims, keepdim)


@reduction
def amax(input: Array, dim: Dims = (), keepdim: bool = False) -> Array:
    """The largest element over the dimensions `dim`; equal ones share the gradient.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.amax.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([[1.0, 4.0], [3.0, 2.0]]).amax((0, 1))
    tensor(4.)
    """
    return _over_dims("amax", _amax, input, dim, keepdim)


@reduction
def amin(input: Array, dim: Dims = (), keepdim: bool = False) -> Array:
    """The smallest element over the dimensions `dim`; equal ones share the gradient.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.amin.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([[1.0, 4.0], [3.0, 2.0]]).amin(0)
    tensor([1., 2.])
    """
    return _over_dims("amin", _amin, input, dim, keepdim)


def _aminmax_vjp(
    K: Any, g: Any, self: Any, result0: Any, result1: Any, self_shape: Any, dim: Any, keepdim: bool
) -> Any:
    parts = [
        _evenly_vjp(K, each, self, result, self_shape, dim, keepdim)
        for each, result in zip(g, (result0, result1), strict=True)
        if each is not None
    ]
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _aminmax_jvp(
    K: Any, t: Any, self: Any, result0: Any, result1: Any, self_shape: Any, dim: Any, keepdim: bool
) -> Any:
    return tuple(_evenly_jvp(K, t, self, each, self_shape, dim, keepdim) for each in (result0, result1))


@op(node="AminmaxBackward0", vjp={"self": _aminmax_vjp}, jvp={"self": _aminmax_jvp}, outputs=2, batch=along)
def _aminmax(K, self: Array, dim: tuple[int, ...], keepdim: bool) -> Array:
    return K.min(self, dim, keepdim), K.max(self, dim, keepdim)


@reduction
def aminmax(input: Array, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest and the largest element, over all or along `dim`.

    Returns
    -------
    A named tuple (min, max)

    Source: https://docs.pytorch.org/docs/stable/generated/torch.aminmax.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.aminmax(retrograd.tensor([1.0, 4.0, 2.0])).max
    tensor(4.)
    """
    real_only("aminmax_cpu", input)
    if dim is None and input.numel() == 0:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
        )
    if dim is not None and input.ndim and input._array.shape[at := wrap_dim(dim, input.ndim)] == 0:
        raise IndexError(f"aminmax: Expected reduction dim {at} to have non-zero size.")
    return return_types.aminmax(*_aminmax(input, wrap_dims(dim, input.ndim), keepdim))


@op(batch=along)
def _argmax(K, self: Array, dim: int, keepdim: bool) -> Array:
    return K.argmax(self, dim, keepdim)


@op(batch=along)
def _argmin(K, self: Array, dim: int, keepdim: bool) -> Array:
    return K.argmin(self, dim, keepdim)


def _position(name: str, function: Any, input: Any, dim: int | None, keepdim: bool) -> Any:
    for refused, kind in ((BOOL, "bool"), (COMPLEX, "complex")):
        if input.dtype.category is refused:
            raise RuntimeError(f"{name}(): does not support {kind} input")
    if dim is None:
        if input.numel() == 0:
            raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
        found = function(input.detach().reshape(-1), 0, False)
        found = found.reshape((1,) * input.ndim) if keepdim else found
    else:
        at = wrap_dim(dim, input.ndim)
        _check_not_empty(name, input, at)
        found = function(input, at, keepdim) if input.ndim else function(input.detach().reshape(1), 0, False)
    remember_break(name, (input,), (found,), False, current_mode().grad)
    return found


@reduction
def argmax(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """The position of the (first) largest element, in the flattened tensor or along `dim`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.argmax.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([[1.0, 4.0], [3.0, 2.0]]).argmax(1)
    tensor([1, 0])
    """
    return _position("argmax", _argmax, input, dim, keepdim)


@reduction
def argmin(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """The position of the (first) smallest element, in the flattened tensor or along `dim`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.argmin.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([[1.0, 4.0], [3.0, 2.0]]).argmin(1)
    tensor([0, 1])
    """
    return _position("argmin", _argmin, input, dim, keepdim)


# -- sorting -----------------------------------------------------------------------------------


def _ordered(K: Any, x: Any, dim: int, descending: bool, count: int | None = None) -> tuple[Any, Any]:
    """Values in order and where they were; the first `count` of them."""
    if not len(x.shape):
        return _scalar(K, x)
    order = K.argsort(x, dim, descending, True) if count is None else K.topk(x, count, dim, descending)
    return K.gather(x, order, dim), order


@_ordering(node="SortBackward0", batch=along, order=("self",))
def _sort(K, self: Array, dim: int, descending: bool) -> Array:
    return _ordered(K, self, dim, descending)


@_ordering(node="SortBackward1", batch=along, order=("self",))
def _sort_stable(K, self: Array, dim: int, descending: bool) -> Array:
    return _ordered(K, self, dim, descending)


@reduction
def sort(input: Array, dim: int = -1, descending: bool = False, stable: bool | None = None) -> Any:
    """The elements in order along `dim`, and where they were; NaN counts as the largest.

    Equal elements keep their order, with or without `stable`; but it is another node's name, as in PyTorch.

    Returns
    -------
    A named tuple (values, indices)

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sort.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([3.0, 1.0, 2.0]).sort().indices
    tensor([1, 2, 0])
    """
    if input.dtype.is_complex:
        raise RuntimeError(" Sort does not support complex dtypes on CPU")
    order = _sort if stable is None else _sort_stable
    return return_types.sort(*order(input, wrap_dim(dim, input.ndim), descending))


@reduction
def argsort(input: Array, dim: int = -1, descending: bool = False, stable: bool = False) -> Array:
    """Where the elements in order along `dim` are; see `sort`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.argsort.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([3.0, 1.0, 2.0]).argsort()
    tensor([1, 2, 0])
    """
    found = sort(input.detach(), dim, descending, stable).indices
    remember_break("argsort", (input,), (found,), False, current_mode().grad)
    return found


@composite
def msort(input: Array) -> Array:
    """The elements in order along the first dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.msort.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.msort(retrograd.tensor([3.0, 1.0, 2.0]))
    tensor([1., 2., 3.])
    """
    return sort(input, 0).values


@_ordering(node="TopkBackward0")
def _topk(K, self: Array, count: int, dim: int, largest: bool) -> Array:
    return _ordered(K, self, dim, largest, count)


@reduction
def topk(input: Array, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The `k` largest (or smallest) elements along `dim`, in order, and where they were.

    Returns
    -------
    A named tuple (values, indices)

    Raises
    ------
    RuntimeError
        If there are fewer than `k`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.topk.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([3.0, 1.0, 2.0]).topk(2).indices
    tensor([0, 2])
    """
    for refused, kind in ((BOOL, "topk does not support bool"), (COMPLEX, " topk does not support complex")):
        if input.dtype.category is refused:
            raise RuntimeError(f"{kind} dtypes on CPU")
    k, at = as_int(k), wrap_dim(dim, input.ndim)
    if not 0 <= k <= (input._array.shape[at] if input.ndim else 1):
        raise RuntimeError("selected index k out of range")
    return return_types.topk(*_topk(input, k, at, largest))


def _ranked(K: Any, x: Any, rank: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    """The element of a rank along `dim`; the rank is an int or an array of size 1 along it."""
    if not len(x.shape):
        return _scalar(K, x)
    if isinstance(rank, int):
        rank = K.full((*x.shape[:dim], 1, *x.shape[dim + 1 :]), rank, K.dtypes["int64"])
    return _at(K, x, K.ranked(x, rank, dim), dim, keepdim)


@_selecting(node="KthvalueBackward0")
def _kthvalue(K, self: Array, k: int, dim: int, keepdim: bool) -> Array:
    return _ranked(K, self, k - 1, dim, keepdim)


@reduction
def kthvalue(input: Array, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The `k`-th smallest element along `dim`, counted from 1, and where it is.

    Returns
    -------
    A named tuple (values, indices)

    Raises
    ------
    RuntimeError
        If there are fewer than `k`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.kthvalue.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([3.0, 1.0, 2.0]).kthvalue(2).values
    tensor(2.)
    """
    real_only("kthvalue_cpu", input, BOOL)
    k, at = as_int(k), wrap_dim(dim, input.ndim)
    _check_not_empty("kthvalue", input, at)
    if not 1 <= k <= (input._array.shape[at] if input.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {at}")
    return return_types.kthvalue(*_kthvalue(input, k, at, keepdim))


# -- medians -----------------------------------------------------------------------------------


def _median(K: Any, x: Any, dim: int, keepdim: bool, skip_nan: bool) -> tuple[Any, Any]:
    """The lower of two middle elements. A NaN among them is the result, or does not count."""
    if not len(x.shape) or category(K, x) < FLOAT:
        return _ranked(K, x, (x.shape[dim] - 1) // 2 if len(x.shape) else 0, dim, keepdim)
    n = x.shape[dim]
    nans = K.sum(K.astype(K.isnan(x), K.dtypes["int64"]), (dim,), True)
    if skip_nan:
        rank = K.clip(n - nans - 1, 0, None) // 2
    else:
        rank = K.where(nans > 0, n - nans, (n - 1) // 2)  # NaN is sorted last
    return _ranked(K, x, rank, dim, keepdim)


def _median_of_all(K: Any, x: Any, skip_nan: bool) -> Any:
    return _median(K, K.reshape(x, (-1,)), 0, False, skip_nan)[0]


@op(node="MedianBackward0", vjp={"self": _shared_vjp}, jvp={"self": _shared_jvp})
def _median_all(K, self: Array) -> Array:
    return _median_of_all(K, self, False)


@op(node="NanmedianBackward0", vjp={"self": _shared_vjp}, jvp={"self": _shared_jvp})
def _nanmedian_all(K, self: Array) -> Array:
    return _median_of_all(K, self, True)


@_selecting(node="MedianBackward1", batch=along)
def _median_dim(K, self: Array, dim: int, keepdim: bool) -> Array:
    return _median(K, self, dim, keepdim, False)


@_selecting(node="NanmedianBackward1", batch=along)
def _nanmedian_dim(K, self: Array, dim: int, keepdim: bool) -> Array:
    return _median(K, self, dim, keepdim, True)


def _middle(name: str, input: Any, dim: int, keepdim: bool, over_all: Any, over_dim: Any) -> Any:
    real_only("median_cpu", input, BOOL)
    if dim is NOT_GIVEN:
        if input.numel() == 0:
            return input.sum() * float("nan")
        return over_all(input)
    at = wrap_dim(dim, input.ndim)
    _check_not_empty("median", input, at)
    return getattr(return_types, name)(*over_dim(input, at, keepdim))


@reduction
def median(input: Array, dim: int = NOT_GIVEN, keepdim: bool = False) -> Any:
    """The middle element, of two the lower; along `dim`, also where it is. NaN if there is a NaN.

    Returns
    -------
    Tensor, or a named tuple (values, indices) if `dim` is given

    Source: https://docs.pytorch.org/docs/stable/generated/torch.median.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([3.0, 1.0, 2.0, 4.0]).median()
    tensor(2.)
    """
    return _middle("median", input, dim, keepdim, _median_all, _median_dim)


@reduction
def nanmedian(input: Array, dim: int = NOT_GIVEN, keepdim: bool = False) -> Any:
    """The middle of the elements that are not NaN; see `median`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nanmedian.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([3.0, float("nan"), 2.0]).nanmedian()
    tensor(2.)
    """
    return _middle("nanmedian", input, dim, keepdim, _nanmedian_all, _nanmedian_dim)


def _longest_run(K: Any, x: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    """The most frequent element, of several the smallest, at its last position."""
    if not len(x.shape):
        return _scalar(K, x)
    order = K.argsort(x, dim, False, True)
    ordered = K.gather(x, order, dim)
    n = x.shape[dim]
    place = K.reshape(K.arange(0, n, 1, K.dtypes["int64"]), (n,) + (1,) * (len(x.shape) - dim - 1))
    place = K.broadcast_to(place, tuple(x.shape))
    starts = K.logical_or(K.not_equal(ordered, shifted(K, ordered, dim, -1)), K.equal(place, 0))
    begin = running_maximum(K, K.where(starts, place, 0), dim)
    last = K.argmax(K.subtract(place, begin), dim, True)
    return _at(K, x, K.gather(order, last, dim), dim, keepdim)


@_selecting(node="ModeBackward0", batch=along)
def _mode(K, self: Array, dim: int, keepdim: bool) -> Array:
    return _longest_run(K, self, dim, keepdim)


@reduction
def mode(input: Array, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element along `dim`, of several the smallest, and where it last stands.

    Returns
    -------
    A named tuple (values, indices)

    Source: https://docs.pytorch.org/docs/stable/generated/torch.mode.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([3.0, 1.0, 2.0, 1.0]).mode().values
    tensor(1.)
    """
    real_only("mode_cpu", input)
    at = wrap_dim(dim, input.ndim)
    _check_not_empty("mode", input, at)
    return return_types.mode(*_mode(input, at, keepdim))


# -- quantiles --------------------------------------------------------------------------------

_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


@reduction
@in_float32
def quantile(
    input: Array, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Array:
    """The elements below which the shares `q` of all elements lie, over all or along `dim`.

    Parameters
    ----------
    q
        A number or a 1-d tensor, in [0, 1]; a tensor adds a first dimension.
    interpolation
        How to choose between two elements: `"linear"`, `"lower"`, `"higher"`, `"midpoint"` or `"nearest"`.

    Raises
    ------
    RuntimeError
        If the input is not float32 or float64, `q` is outside of [0, 1] or the interpolation unknown.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.quantile.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([1.0, 2.0, 4.0]).quantile(0.25)
    tensor(1.5000)
    """
    _check_quantile(input, q, interpolation)
    return _quantiles(input, q, dim, keepdim, interpolation, False)


def _quantiles(input: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip_nan: bool) -> Any:
    """The quantiles, in the order of operators that PyTorch's has."""
    shape = () if not input.ndim else _reduced_shape(tuple(input.shape), dim, keepdim)
    if dim is None or not input.ndim:
        ordered = sort(input.flatten(), 0).values
    elif wrap_dim(dim, input.ndim) == input.ndim - 1:
        ordered = sort(input, -1).values
    else:
        ordered = sort(input.unsqueeze(-1).transpose(wrap_dim(dim, input.ndim), -1), -1).values
    ordered = ordered.reshape(*shape, ordered.shape[-1])
    shares = tensor(q, dtype=input.dtype, device=input.device) if is_number(q) else q
    holes = ordered.detach().isnan()
    if skip_nan:
        rank = shares * (holes.logical_not().sum(-1, keepdim=True) - 1).clamp(min=0).to(input.dtype)
    else:
        last = ordered.shape[-1] - 1
        rank = publics["masked_fill"](shares * last, holes.any(-1, keepdim=True), last)
    found = _at_ranks(ordered, rank, interpolation)
    return found.squeeze_(-1) if not shares.ndim else found.unsqueeze_(0).transpose_(0, -1).squeeze_(-1)


def _reduced_shape(shape: tuple[int, ...], dim: int | None, keepdim: bool) -> tuple[int, ...]:
    if dim is None:
        return (1,) * len(shape) if keepdim else ()
    at = wrap_dim(dim, len(shape))
    return (*shape[:at], *((1,) if keepdim else ()), *shape[at + 1 :])


def _check_quantile(input: Any, q: Any, interpolation: str) -> None:
    if input.numel() == 0:
        raise RuntimeError("quantile() input tensor must be non-empty")
    if input.dtype not in (float32, float64):
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if is_number(q):
        if not 0 <= q <= 1:
            raise RuntimeError(f"quantile() q must be in the range [0, 1] but got {q:g}")
    elif q.dtype is not input.dtype:
        raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
    elif not everywhere(q._kernels, q._kernels.logical_and(q._array >= 0, q._array <= 1)):
        raise RuntimeError("quantile() q values must be in the range [0, 1]")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got "
            + interpolation
        )


def _at_ranks(ordered: Any, rank: Any, interpolation: str) -> Any:
    """The elements at places between two of the last dimension."""
    gather = publics["gather"]
    if interpolation in ("nearest", "lower", "higher"):
        chosen = {"nearest": rank.round, "lower": rank.floor, "higher": rank.ceil}[interpolation]()
        return gather(ordered, -1, chosen.long())
    low, high = (gather(ordered, -1, each.long()) for each in (rank.floor(), rank.ceil()))
    weight = full_like(rank, 0.5) if interpolation == "midpoint" else rank - rank.floor()
    return publics["lerp"](low, high, weight)
