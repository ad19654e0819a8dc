"""Creation functions that need no data: filled, counted and spaced tensors, grids and index tables.

All take `dtype`, `device`, `requires_grad` and `out` by keyword (see `retrograd.ops.options`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Unpack

from retrograd.autograd.cautions import level_of_caller
from retrograd.backends.memory_order import axes_in_order
from retrograd.dtypes import FLOAT8, Category, bool_, dtype, float64, get_default_dtype, iinfo, int64
from retrograd.layout import preserve_format
from retrograd.levels import is_mapped
from retrograd.ops.batching import sample_by_sample
from retrograd.ops.dispatch import result_type
from retrograd.ops.flags import flagged
from retrograd.ops.options import (
    Destination,
    Options,
    as_number,
    as_size,
    checked_number,
    destination,
    dtype_of_number,
    finish,
)
from retrograd.ops.refused import all_tensors
from retrograd.settings import are_deterministic_algorithms_enabled
from retrograd.tensor import Tensor

__all__ = [
    "arange", "cartesian_prod", "combinations", "empty", "empty_like", "empty_strided", "eye", "full",
    "full_like",
    "linspace", "logspace", "meshgrid", "ones", "ones_like", "scalar_tensor", "tril_indices",
    "triu_indices", "zeros", "zeros_like",
]  # fmt: skip

# -- filled ------------------------------------------------------------------------------------


def size_and_options(name: str, size: tuple[Any, ...], options: dict[str, Any]) -> tuple[int, ...]:
    """The size, which PyTorch also takes as `size=`."""
    if "size" in options:
        size = (options.pop("size"),)
    return as_size(name, size)


def odd_value(type_: dtype) -> Any:
    """What is in memory that nobody has written to, if all is to be deterministic: no result; None, if not."""
    if not are_deterministic_algorithms_enabled():
        return None
    from retrograd.utils import deterministic

    if not deterministic.fill_uninitialized_memory:
        return None
    return math.nan if type_.is_differentiable else type_ is bool_ or iinfo(type_).max


def uninitialized(to: Destination, shape: tuple[int, ...]) -> Any:
    """An array with whatever its memory held, or `odd_value`."""
    odd = odd_value(to.dtype or get_default_dtype())
    return to.k.empty(shape, to.native()) if odd is None else to.k.full(shape, odd, to.native())


def empty(*size: Any, **options: Unpack[Options]) -> Tensor:
    """A tensor whose elements are whatever its memory held.

    Parameters
    ----------
    size
        The shape, as ints one by one or as one sequence.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.empty.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.empty(2, 3).shape
    retrograd.Size([2, 3])
    """
    shape = size_and_options("empty", size, options)  # type: ignore[arg-type]
    to = destination("empty", options)
    return finish(uninitialized(to, shape), to)


def zeros(*size: Any, **options: Unpack[Options]) -> Tensor:
    """A tensor of zeros.

    Parameters
    ----------
    size
        The shape, as ints one by one or as one sequence.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.zeros.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.zeros(2, dtype=retrograd.int32)
    tensor([0, 0], dtype=retrograd.int32)
    """
    shape = size_and_options("zeros", size, options)  # type: ignore[arg-type]
    to = destination("zeros", options)
    return finish(to.k.zeros(shape, to.native()), to)


def ones(*size: Any, **options: Unpack[Options]) -> Tensor:
    """A tensor of ones.

    Parameters
    ----------
    size
        The shape, as ints one by one or as one sequence.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.ones.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.ones((2, 1))
    tensor([[1.],
            [1.]])
    """
    shape = size_and_options("ones", size, options)  # type: ignore[arg-type]
    to = destination("ones", options)
    return finish(to.k.ones(shape, to.native()), to)


def full(size: Sequence[int], fill_value: Any, **options: Unpack[Options]) -> Tensor:
    """A tensor with every element `fill_value`, which also decides its type if `dtype` is not given.

    Raises
    ------
    RuntimeError
        If the value is out of the type's range.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.full.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.full((2,), 3), retrograd.full((2,), True)
    (tensor([3, 3]), tensor([True, True]))
    """
    to = destination("full", options)
    if isinstance(size, int):
        raise TypeError("full(): argument 'size' (position 1) must be tuple of ints, not int")
    fill_value = as_number("full", fill_value, "fill_value", 2)
    chosen = to.dtype or dtype_of_number(fill_value)
    value = checked_number(fill_value, chosen)
    return finish(to.k.full(as_size("full", (size,)), value, to.native(chosen)), to)


def scalar_tensor(s: Any, **options: Unpack[Options]) -> Tensor:
    """A 0-dimensional tensor of the default type, whatever the type of the number.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.scalar_tensor(3)
    tensor(3.)
    """
    to = destination("scalar_tensor", options)
    value = checked_number(as_number("scalar_tensor", s, "s", 1), to.dtype or get_default_dtype())
    return finish(to.k.full((), value, to.native()), to)


def empty_strided(size: Sequence[int], stride: Sequence[int], **options: Unpack[Options]) -> Tensor:
    """A tensor of a given shape and strides, its elements whatever its memory held.

    Elements may overlap in memory, or leave holes.

    Raises
    ------
    RuntimeError
        If there are not as many strides as sizes, or one is negative.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.empty_strided.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.empty_strided((2, 3), (1, 2)).shape
    retrograd.Size([2, 3])
    """
    shape, strides = as_size("empty_strided", (size,)), as_size("empty_strided", (stride,), "stride")
    if len(shape) != len(strides):
        raise RuntimeError(
            f"dimensionality of sizes ({len(shape)}) must match dimensionality of strides ({len(strides)})"
        )
    order = sorted(range(len(shape)), key=lambda i: (-strides[i], -shape[i]))
    expected, is_dense = 1, True
    for i in reversed(order):
        is_dense = is_dense and (shape[i] == 1 or strides[i] == expected or 0 in shape)
        expected *= shape[i]
    to = destination("empty_strided", options)
    if not is_dense:
        return _with_strides(shape, strides, to)
    inverse = tuple(order.index(i) for i in range(len(shape)))
    array = uninitialized(to, tuple(shape[i] for i in order))
    return finish(to.k.permute_dims(array, inverse), to)


def _with_strides(shape: tuple[int, ...], strides: tuple[int, ...], to: Destination) -> Tensor:
    """Of elements that overlap or leave holes: in memory that reaches to the last of them."""
    length = 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    flat = finish(uninitialized(to, (length,)), to._replace(requires_grad=False))
    made: Tensor = flat.set_(flat.untyped_storage(), 0, shape, strides)
    return made.requires_grad_(to.requires_grad) if to.requires_grad else made


# -- like another ------------------------------------------------------------------------------


def _check_tensor(name: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(value).__name__}")


def _alike(input: Tensor, to: Any, options: Options, make: Callable[[tuple[int, ...]], Any]) -> Tensor:
    """What `make` makes of a shape, in memory in the order that the elements of `input` have."""
    shape, k = tuple(input._array.shape), to.k
    if k.sparse and input._kernels is k:
        return finish(k.alike(input._array, make, to.dtype), to)
    preserves = options.get("memory_format", preserve_format) is preserve_format
    if preserves and len(shape) > 1 and k.mutable and not input._kernels.sparse and not input.is_contiguous():
        order = axes_in_order([input.stride()], shape)
        array = make(tuple(shape[axis] for axis in order))
        return finish(k.permute_dims(array, tuple(order.index(axis) for axis in range(len(shape)))), to)
    return finish(make(shape), to)


def empty_like(input: Tensor, **options: Unpack[Options]) -> Tensor:
    """A tensor of the shape, type and device of `input`, its elements whatever its memory held.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.empty_like.html
    """
    _check_tensor("empty_like", input)
    to = destination("empty_like", options, input)
    return _alike(input, to, options, lambda shape: uninitialized(to, shape))


def zeros_like(input: Tensor, **options: Unpack[Options]) -> Tensor:
    """Zeros of the shape, type and device of `input`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.zeros_like.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.zeros_like(retrograd.tensor([1, 2]))
    tensor([0, 0])
    """
    _check_tensor("zeros_like", input)
    to = destination("zeros_like", options, input)
    return _alike(input, to, options, lambda shape: to.k.zeros(shape, to.native()))


def ones_like(input: Tensor, **options: Unpack[Options]) -> Tensor:
    """Ones of the shape, type and device of `input`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.ones_like.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.ones_like(retrograd.tensor([1, 2]), dtype=retrograd.float32)
    tensor([1., 1.])
    """
    _check_tensor("ones_like", input)
    to = destination("ones_like", options, input)
    return _alike(input, to, options, lambda shape: to.k.ones(shape, to.native()))


def full_like(input: Tensor, fill_value: Any, **options: Unpack[Options]) -> Tensor:
    """A tensor of the shape, type and device of `input`, with every element `fill_value`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.full_like.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.full_like(retrograd.tensor([1, 2]), 7)
    tensor([7, 7])
    """
    _check_tensor("full_like", input)
    to = destination("full_like", options, input)
    value = checked_number(as_number("full_like", fill_value, "fill_value", 2), to.dtype)  # type: ignore[arg-type]
    return _alike(input, to, options, lambda shape: to.k.full(shape, value, to.native()))


# -- counted and spaced ------------------------------------------------------------------------


def arange(*bounds: Any, **options: Any) -> Tensor:
    """The numbers ``start, start + step, ...`` before `end`: ``ceil((end - start) / step)`` of them.

    Called as `arange(end)`, `arange(start, end)` or `arange(start, end, step)`. Of type int64 if all are
    integers, else of the default type.

    Raises
    ------
    RuntimeError
        If `step` is zero or leads away from `end`, or a bound is not finite.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.arange.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.arange(1, 2.5, 0.5)
    tensor([1.0000, 1.5000, 2.0000])
    """
    start, end, step = _bounds("arange", bounds, options)
    to = destination("arange", options)  # type: ignore[arg-type]
    counts = all(isinstance(each, int) for each in (start, end, step))
    chosen = to.dtype or (int64 if counts else get_default_dtype())
    if chosen is bool_ or chosen.is_complex or chosen in FLOAT8:
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{chosen.type_name}'")
    if chosen.category is Category.INTEGER:
        start, end, step = int(start), int(end), int(step)
    _checkrange(start, end, step)
    if isinstance(start, int) and isinstance(end, int) and isinstance(step, int):
        count = -((start - end) // step)
    else:
        count = math.ceil((end - start) / step)
    return _finish_row(_count(to.k, start, step, count, to.native(chosen), chosen), to)


def _bounds(name: str, bounds: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """(start, end, step) of a call with some of them positional and some by name."""
    given = dict(zip(("end",) if len(bounds) == 1 else ("start", "end", "step"), bounds, strict=False))
    if len(bounds) == 1 and "end" in options:  # arange(1, end=3)
        given = {"start": bounds[0]}
    for each in ("start", "end", "step"):
        if each in options:
            given[each] = options.pop(each)
    if "end" not in given or len(bounds) > 3 or ("step" in given and "start" not in given):
        got = ", ".join([type(each).__name__ for each in bounds])
        raise TypeError(
            f"{name}() received an invalid combination of arguments - got ({got}), but expected one of:\n"
            " * (Number end, *, ...)\n * (Number start, Number end, Number step = 1, *, ...)"
        )
    positions = {"start": 1, "end": 1 if "start" not in given else 2, "step": 3}
    start, end, step = (
        as_number(name, given.get(each, default), each, positions[each])
        for each, default in (("start", 0), ("end", 0), ("step", 1))
    )
    for value in (start, end, step):
        if isinstance(value, complex):
            raise RuntimeError("value cannot be converted to type double without overflow")
    return start, end, step


def _finish_row(array: Any, to: Destination) -> Tensor:
    """As `finish`, but an `out` of as many elements keeps its shape."""
    if to.out is not None:
        shape, count = tuple(to.out._array.shape), array.shape[0]
        if prod(shape) == count:
            array = to.k.reshape(array, shape)
        elif to.name == "arange" and 0 not in shape:
            warnings.warn(
                f"The number of elements in the out tensor of shape {list(shape)} is {prod(shape)} which does not "
                f"match the computed number of elements {count}. Note that this may occur as a result of rounding "
                f"error. The out tensor will be resized to a tensor of shape ({count},).",
                UserWarning,
                stacklevel=level_of_caller(),
            )
    return finish(array, to)


def _checkrange(start: Any, end: Any, step: Any) -> None:
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start:g} -> {end:g}")
    if (end - start) * (1 if step > 0 else -1) < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")


def _count(k: Any, start: Any, step: Any, count: int, native: Any, chosen: dtype) -> Any:
    """``start + step * i``, computed in 64 bits and then rounded."""
    if chosen.category is Category.INTEGER:
        exact = k.arange(0, count, 1, k.dtypes["int64"])
        return k.astype(exact if (start, step) == (0, 1) else exact * step + start, native)
    exact = k.arange(0, count, 1, k.dtypes["float64"])
    return k.astype(exact * float(step) + float(start), native)


def linspace(start: Any, end: Any, steps: int, **options: Unpack[Options]) -> Tensor:
    """`steps` numbers from `start` to `end`, both included, at equal distances.

    Raises
    ------
    RuntimeError
        If `steps` is negative, or a bound is a tensor with dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linspace.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    if _is_mapped(start) or _is_mapped(end):
        made: Tensor = sample_by_sample("", linspace, start, end, steps, **_with_type(options, start, end))
        return made
    first, last, count = _spacing("linspace", start, end, steps)
    to = destination("linspace", options)
    chosen = to.dtype or _spaced_dtype(first, last)
    if chosen is bool_ or chosen in FLOAT8:
        raise NotImplementedError(f"\"linspace_cpu\" not implemented for '{chosen.type_name}'")
    return _finish_row(_spaced(to.k, first, last, count, chosen), to)


def _is_mapped(bound: Any) -> bool:
    return isinstance(bound, Tensor) and is_mapped(bound)


def _with_type(options: Options, start: Any, end: Any) -> Options:
    """The options, with the type that bounds inside `vmap` have where none is given."""
    type_ = result_type(start, end)
    return options if type_.category < Category.FLOAT else {"dtype": type_, **options}


def _spaced_dtype(*numbers: Any) -> dtype:
    default = get_default_dtype()
    return default.to_complex() if any(isinstance(each, complex) for each in numbers) else default


def _spacing(name: str, start: Any, end: Any, steps: Any) -> tuple[Any, Any, int]:
    for value in (start, end):
        if isinstance(value, Tensor) and value.ndim:
            shown = " and ".join(
                f"{which} with {one.ndim} dimension(s)" for which, one in (("start", start), ("end", end))
                if isinstance(one, Tensor)
            )  # fmt: skip
            raise RuntimeError(f"{name} only supports 0-dimensional start and end tensors, but got {shown}.")
    if isinstance(steps, bool) or not hasattr(steps, "__index__"):
        raise TypeError(f"{name}(): argument 'steps' (position 3) must be int, not {type(steps).__name__}")
    count = steps.__index__()
    if count < 0:
        raise RuntimeError("number of steps must be non-negative")
    return as_number(name, start, "start", 1), as_number(name, end, "end", 2), count


def _spaced(k: Any, first: Any, last: Any, count: int, chosen: dtype) -> Any:
    """Both halves counted from their own end, so that the last element is exactly `last`."""
    wide = k.dtypes["complex128" if chosen.is_complex else "float64"]
    index = k.astype(k.arange(0, count, 1, k.dtypes["float64"]), wide)
    step = (last - first) / (count - 1) if count > 1 else 0.0
    if chosen.category is Category.INTEGER:
        first, last = int(first), int(last)
        step = (last - first) / (count - 1) if count > 1 else 0.0
    upwards = index * step + first
    downwards = (index - (count - 1)) * step + last
    half = k.arange(0, count, 1, k.dtypes["int64"]) < max(count // 2, 1 if count == 1 else 0)
    return k.astype(k.where(half, upwards, downwards), k.dtypes[chosen.name])


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, **options: Unpack[Options]) -> Tensor:
    """`steps` powers of `base`, the exponents at equal distances from `start` to `end`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logspace.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    if _is_mapped(start) or _is_mapped(end):
        made: Tensor = sample_by_sample("", logspace, start, end, steps, base, **_with_type(options, start, end))
        return made
    first, last, count = _spacing("logspace", start, end, steps)
    to = destination("logspace", options)
    chosen = to.dtype or _spaced_dtype(first, last, base)
    if chosen is bool_ or chosen in FLOAT8:
        raise NotImplementedError(f"\"logspace_cpu\" not implemented for '{chosen.type_name}'")
    wide = chosen.to_complex() if chosen.is_complex else float64
    exponents = _spaced(to.k, first, last, count, wide)
    with to.k.quiet():
        powers = to.k.pow(to.k.full((count,), base, exponents.dtype), exponents)
    return _finish_row(to.k.astype(powers, to.native(chosen)), to)


# -- matrices and grids ------------------------------------------------------------------------


def eye(n: int, m: int | None = None, **options: Unpack[Options]) -> Tensor:
    """The n x m matrix (square if `m` is not given) with ones on its diagonal and zeros elsewhere.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.eye.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    columns = n if m is None else m
    for position, (name, value) in enumerate((("n", n), ("m", columns)), 1):
        if not hasattr(value, "__index__") or type(value) is bool:
            raise TypeError(f"eye(): argument '{name}' (position {position}) must be int, not {type(value).__name__}")
        if value < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {value}")
    to = destination("eye", options)
    return finish(to.k.eye(int(n), int(columns), to.native()), to)


def tril_indices(row: int, col: int, offset: int = 0, **options: Unpack[Options]) -> Tensor:
    """The rows and columns of the elements on and below a diagonal, in row-major order; shape (2, count).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tril_indices.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    return _triangle_indices("tril_indices", row, col, offset, options)


def triu_indices(row: int, col: int, offset: int = 0, **options: Unpack[Options]) -> Tensor:
    """The rows and columns of the elements on and above a diagonal, in row-major order; shape (2, count).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.triu_indices.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.triu_indices(2, 2)
    tensor([[0, 0, 1],
            [0, 1, 1]])
    """
    return _triangle_indices("triu_indices", row, col, offset, options)


def _triangle_indices(name: str, row: int, col: int, offset: int, options: Options) -> Tensor:
    for what, value in (("row", row), ("col", col)):
        if value < 0:
            raise RuntimeError(f"{what} must be non-negative, got{value}")
    if "out" in options:
        raise TypeError(f"{name}() got an unexpected keyword argument 'out'")
    to = destination(name, options)
    chosen = to.dtype or int64
    if chosen.category is not Category.INTEGER:
        raise NotImplementedError(f"\"{name}\" not implemented for '{chosen.type_name}'")
    k = to.k
    if k.meta:
        below = sum(min(max(i + offset + (name == "tril_indices"), 0), col) for i in range(row))
        return finish(k.zeros((2, below if name == "tril_indices" else row * col - below), to.native(chosen)), to)
    triangle = k.tril if name == "tril_indices" else k.triu
    rows, columns = k.nonzero(triangle(k.ones((row, col), k.dtypes["bool"]), offset))
    return finish(k.astype(k.stack([rows, columns], 0), to.native(chosen)), to)


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """The coordinates of a grid: one tensor per axis, each of the whole grid's shape.

    Parameters
    ----------
    tensors
        Coordinates along each axis, 0- or 1-dimensional; one by one or as one sequence.
    indexing
        `"ij"`: axis i of the grid is the i-th tensor's. `"xy"`: the first two are swapped.

    Raises
    ------
    RuntimeError
        If there is no tensor, one has more dimensions, or their types differ.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.meshgrid.html

    Examples
    --------
    >>> import retrograd
    >>> x, y = retrograd.meshgrid(retrograd.arange(2), retrograd.arange(3), indexing="ij")
    >>> x
    tensor([[0, 0, 0],
            [1, 1, 1]])
    """
    axes: tuple[Tensor, ...] = (
        tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    )
    all_tensors(axes)
    if indexing is None:
        warnings.warn(
            "retrograd.meshgrid: in an upcoming release, it will be required to pass the indexing argument.",
            UserWarning,
            stacklevel=2,
        )
    _check_axes(axes)
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f'retrograd.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    swap = indexing == "xy" and len(axes) > 1
    if swap:
        axes = (axes[1], axes[0], *axes[2:])
    shape = tuple(each.numel() for each in axes)
    grids = []
    for i, each in enumerate(axes):
        alone = (1,) * i + (-1,) + (1,) * (len(axes) - i - 1)
        grids.append(each.view(alone).expand(shape))
    return (grids[1], grids[0], *grids[2:]) if swap else tuple(grids)


def _check_axes(axes: tuple[Tensor, ...]) -> None:
    if not axes:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for each in axes:
        if each.ndim > 1:
            raise RuntimeError(f"retrograd.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {each}")
        if each.dtype is not axes[0].dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
        if each._kernels.base is not axes[0]._kernels.base:
            raise RuntimeError("meshgrid expects all tensors to have the same device")


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element of each 1-dimensional tensor, one a row.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cartesian_prod.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.cartesian_prod(retrograd.tensor([1, 2]), retrograd.tensor([3, 4]))
    tensor([[1, 3],
            [1, 4],
            [2, 3],
            [2, 4]])
    """
    from retrograd.ops.arrange import stack

    all_tensors(tensors)
    for each in tensors:
        if each.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(each.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([grid.flatten() for grid in meshgrid(*tensors, indexing="ij")], 1)


@flagged
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All ways to choose `r` elements of a 1-dimensional tensor, in order of position, one a row.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.combinations.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.combinations(retrograd.tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    from itertools import combinations as chosen, combinations_with_replacement as repeated

    from retrograd.ops.creation import tensor

    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return empty(0, dtype=input.dtype, device=input.device)
    rows = list((repeated if with_replacement else chosen)(range(input.numel()), r))
    positions = tensor(rows, dtype=int64, device=input.device).reshape(len(rows), r)
    return input[positions]
