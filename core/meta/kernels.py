"""The kernels of the device `meta`: each says what its result looks like. See Note [Layouts of results]."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from retrograd.backends.windows import convolved, pooled
from retrograd.dtypes import Category, bool_, dtype, float64, int32, int64, uint32
from retrograd.meta.arrays import MetaArray, along, broadcast, common_type, made, operands
from retrograd.views import (
    AsComplex,
    AsReal,
    AsStrided,
    Diagonal,
    Expand,
    Part,
    Permute,
    Shape,
    Slice,
    Unfold,
    contiguous_strides,
    view_strides,
)

__all__ = ["KERNELS"]

KERNELS: dict[str, Callable[..., Any]] = {}

Array = MetaArray
Axes = tuple[int, ...]


def _kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    KERNELS[function.__name__.removesuffix("_")] = function
    return function


# -- elements that stay in their places ----------------------------------------------------------


def _elementwise(type_of: Callable[[Sequence[Any]], dtype], count: int) -> Callable[..., Array]:
    """A kernel of `count` inputs; one more is the array that the result is written to."""

    def kernel(*values: Any) -> Array:
        inputs = values[:count]
        result = along(inputs, type_of(inputs))
        if len(values) == count:
            return result
        target: Array = values[count]
        assign(target, result)
        return target

    return kernel


def _bool(values: Sequence[Any]) -> dtype:
    return bool_


def _quotient(values: Sequence[Any]) -> dtype:
    found = common_type(values)
    return found if found.category >= Category.FLOAT else float64


def _modulus(values: Sequence[Any]) -> dtype:
    return common_type(values).to_real()


def _of_first(values: Sequence[Any]) -> dtype:
    """That of the first array: what else there is, are settings."""
    return operands(values)[0].dtype


_ELEMENTWISE = (
    (1, _bool, "isfinite isinf isnan logical_not"),
    (1, _modulus, "abs"),
    (
        1,
        common_type,
        "acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh digamma erf erfc erfinv exp expm1 floor "
        "lgamma log log10 log1p log2 negative reciprocal round rsqrt sigmoid sign sin sinh sqrt square tan tanh trunc",
    ),
    (2, _bool, "equal greater greater_equal less less_equal logical_and logical_or logical_xor not_equal"),
    (2, _quotient, "divide"),
    (
        2,
        common_type,
        "add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign floor_divide "
        "fmod gcd hypot logaddexp maximum minimum multiply nextafter pow remainder subtract",
    ),
    (2, _of_first, "polygamma zero_where"),
    (3, common_type, "clip"),
    (3, _of_first, "softplus"),
    (3, lambda values: common_type(values[1:]), "where"),
)
for _count, _type_of, _names in _ELEMENTWISE:
    KERNELS |= dict.fromkeys(_names.split(), _elementwise(_type_of, _count))


@_kernel
def astype(x: Array, type_: dtype) -> Array:
    return along((x,), type_)


@_kernel
def complex_(real: Array, imag: Array) -> Array:
    return made(broadcast((real, imag)), common_type((real, imag)).to_complex())


@_kernel
def special(function: str, *arrays: Array) -> Array:
    return along(arrays, arrays[0].dtype)


@_kernel
def assign(target: Array, value: Any) -> None:
    """Nothing is there to be written; what does not fit is refused."""
    if isinstance(value, Array) and value.shape != target.shape and broadcast((target, value)) != target.shape:
        raise ValueError(f"could not broadcast input array from shape {value.shape} into shape {target.shape}")


@_kernel
def assign_at(target: Array, at: Array, value: Any) -> None:
    if isinstance(value, Array) and value.shape:
        if at.dtype is bool_:
            raise _unknown("index_put")
        assign(made((*at.shape, *target.shape[1:]), target.dtype), value)


def _unknown(name: str) -> NotImplementedError:
    return NotImplementedError(
        f"aten::{name}: attempted to run this operator with Meta tensors, but there was no fake impl or Meta kernel "
        "registered. How many elements there are depends on values, which meta tensors have not"
    )


# -- new arrays ----------------------------------------------------------------------------------


@_kernel
def arange(start: float, stop: float, step: float, type_: dtype) -> Array:
    return made(max(math.ceil((stop - start) / step), 0), type_)


@_kernel
def linspace(start: float, stop: float, num: int, type_: dtype) -> Array:
    return made(num, type_)


@_kernel
def eye(n: int, m: int, type_: dtype) -> Array:
    return made((n, m), type_)


@_kernel
def full(shape: Shape, value: Any, type_: dtype) -> Array:
    return made(shape, type_)


@_kernel
def random_bits(key: tuple[int, int], offset: int, count: int) -> Array:
    return made(count, uint32)


def _like(x: Array, *rest: Any) -> Array:
    return made(x.shape, x.dtype)


def _row_major(x: Array) -> Array:
    return x if x.layout.is_contiguous() else _like(x)


KERNELS |= {"empty": made, "ones": made, "zeros": made, "zeros_like": _like, "copy": _like, "row_major": _row_major}

# -- views ---------------------------------------------------------------------------------------


@_kernel
def broadcast_to(x: Array, shape: Shape) -> Array:
    shape = tuple(shape)
    if broadcast((x, made(shape, x.dtype))) != shape:
        raise ValueError(f"an array of shape {x.shape} cannot be broadcast to {shape}")
    return x.seen(Expand(shape))


@_kernel
def permute_dims(x: Array, axes: Axes) -> Array:
    return x.seen(Permute(tuple(axes)))


@_kernel
def diagonal(x: Array, offset: int, axis1: int, axis2: int) -> Array:
    return x.seen(Diagonal(offset, axis1, axis2))


@_kernel
def slice_(x: Array, index: tuple[Any, ...]) -> Array:
    return x.seen(Slice(tuple(_bounded(each, n) for each, n in zip(index, x.shape, strict=False))))


def _bounded(index: Any, n: int) -> Any:
    if isinstance(index, slice):
        return index.indices(n)
    if not -n <= index < n:
        raise IndexError(f"index {index} is out of bounds for an axis of size {n}")
    return index % n


@_kernel
def reshape(x: Array, shape: Shape | int) -> Array:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if -1 in shape:
        rest = -math.prod(shape)
        shape = tuple(x.size // rest if n == -1 else n for n in shape)
    if math.prod(shape) != x.size:
        raise ValueError(f"cannot reshape an array of shape {x.shape} into shape {shape}")
    strides = view_strides(x.shape, x.strides, shape)
    return made(shape, x.dtype) if strides is None else Array(shape, strides, x.offset, x.dtype)


@_kernel
def as_strided(x: Array, shape: Shape, strides: Shape, offset: int) -> Array:
    """Of elements that lie in row-major order, perhaps with one distance between all of them."""
    flat = reshape(x, (x.size,))
    steps = tuple(step * flat.strides[0] for step in strides)
    return flat.seen(AsStrided(tuple(shape), steps, offset * flat.strides[0]))


@_kernel
def sliding(x: Array, axis: int, size: int, step: int) -> Array:
    return x.seen(Unfold(axis, size, step))


@_kernel
def as_real(x: Array) -> Array:
    return x.seen(AsReal(), x.dtype.to_real())


@_kernel
def as_complex(x: Array) -> Array:
    return x.seen(AsComplex(), x.dtype.to_complex())


@_kernel
def real(x: Array) -> Array:
    return x.seen(Part(False), x.dtype.to_real()) if x.dtype.is_complex else x


@_kernel
def imag(x: Array) -> Array:
    return x.seen(Part(True), x.dtype.to_real()) if x.dtype.is_complex else _like(x)


@_kernel
def reinterpret(x: Array, type_: dtype) -> Array:
    have, want = x.dtype.itemsize, type_.itemsize
    if have == want:
        return Array(x.shape, x.strides, x.offset, type_)
    lead = tuple(step * have // want for step in x.strides[:-1])
    return Array((*x.shape[:-1], x.shape[-1] * have // want), (*lead, 1), x.offset * have // want, type_)


# -- elements that move --------------------------------------------------------------------------


@_kernel
def concat(xs: Sequence[Array], axis: int) -> Array:
    shape = list(xs[0].shape)
    for each in xs[1:]:
        if (*each.shape[:axis], 0, *each.shape[axis + 1 :]) != (*shape[:axis], 0, *shape[axis + 1 :]):
            raise ValueError(f"cannot join arrays of shapes {xs[0].shape} and {each.shape} along axis {axis}")
    shape[axis] = sum(each.shape[axis] for each in xs)
    return made(shape, common_type(xs))


@_kernel
def stack(xs: Sequence[Array], axis: int) -> Array:
    shape = xs[0].shape
    if any(each.shape != shape for each in xs):
        raise ValueError("all arrays to stack must be of one shape")
    axis %= len(shape) + 1
    return made((*shape[:axis], len(xs), *shape[axis:]), common_type(xs))


@_kernel
def pad(x: Array, widths: Sequence[tuple[int, int]], value: Any) -> Array:
    return made([before + n + after for (before, after), n in zip(widths, x.shape, strict=True)], x.dtype)


def _spread_over(g: Array, shape: Shape, *where: Any) -> Array:
    return made(shape, g.dtype)


KERNELS |= dict.fromkeys(
    "flip roll tril triu slice_assign index_put scatter scatter_add scatter_reduce softmax log_softmax cumsum cumprod "
    "cholesky cofactor inv matrix_exp sort".split(),
    _like,
)
KERNELS |= dict.fromkeys("undiagonal unslice unstride".split(), _spread_over)

# -- reductions and ranks ------------------------------------------------------------------------


def _reduced(shape: Shape, axis: Axes, keepdims: bool) -> list[int]:
    if keepdims:
        return [1 if i in axis else n for i, n in enumerate(shape)]
    return [n for i, n in enumerate(shape) if i not in axis]


def _reduction(type_: dtype | None) -> Callable[..., Array]:
    def kernel(x: Array, axis: Axes, keepdims: bool) -> Array:
        return made(_reduced(x.shape, axis, keepdims), type_ or x.dtype)

    return kernel


def _place(x: Array, axis: int | None, keepdims: bool) -> Array:
    return made(_reduced(x.shape, tuple(range(x.ndim)) if axis is None else (axis,), keepdims), int64)


KERNELS |= dict.fromkeys("sum prod max min mean logsumexp".split(), _reduction(None))
KERNELS |= dict.fromkeys(("all", "any"), _reduction(bool_)) | dict.fromkeys(("argmax", "argmin"), _place)


@_kernel
def argsort(x: Array, axis: int, descending: bool, stable: bool) -> Array:
    return made(x.shape, int64)


@_kernel
def topk(x: Array, k: int, axis: int, largest: bool) -> Array:
    return made((*x.shape[:axis], k, *x.shape[axis + 1 :]), int64)


@_kernel
def ranked(x: Array, rank: Array, axis: int) -> Array:
    return made(rank.shape, int64)


@_kernel
def searchsorted(sequence: Array, values: Array, right: bool) -> Array:
    return made(values.shape, int64)


# -- positions -----------------------------------------------------------------------------------


@_kernel
def index(x: Array, indices: Sequence[Array | None]) -> Array:
    """Positions that stand side by side give their axes in place, others in front."""
    axes = [axis for axis, each in enumerate(indices) if each is not None]
    joint = broadcast([each for each in indices if each is not None])
    rest = [n for axis, n in enumerate(x.shape) if axis not in axes]
    at = axes[0] if axes == list(range(axes[0], axes[-1] + 1)) else 0
    return made((*rest[:at], *joint, *rest[at:]), x.dtype)


@_kernel
def gather(x: Array, positions: Array, axis: int) -> Array:
    return made(positions.shape, x.dtype)


@_kernel
def nonzero(x: Array) -> NoReturn:
    raise _unknown("nonzero")


# -- windows and classes -------------------------------------------------------------------------


@_kernel
def convolution(x: Array, w: Array, stride: Axes, padding: Axes, dilation: Axes, groups: int) -> Array:
    return made((x.shape[0], w.shape[0], *convolved(x.shape[2:], w.shape[2:], stride, padding, dilation)), x.dtype)


def _adjoint(g: Array, other: Array, shape: Shape, *settings: Any) -> Array:
    return made(shape, g.dtype)


KERNELS |= dict.fromkeys(("convolution_input", "convolution_weight"), _adjoint)


@_kernel
def max_pool(
    x: Array, kernel: Axes, stride: Axes, padding: Axes, dilation: Axes, ceil_mode: bool
) -> tuple[Array, Array]:
    lead, spatial = x.shape[: -len(kernel)], x.shape[-len(kernel) :]
    shape = (*lead, *pooled(spatial, kernel, stride, padding, dilation, ceil_mode))
    return made(shape, x.dtype), made(shape, int64)


@_kernel
def nll(x: Array, target: Array, weight: Array | None, reduction: str, ignore_index: int) -> Array:
    return made(target.shape if reduction == "none" else (), x.dtype)


@_kernel
def nll_adjoint(grad: Array, target: Array, weight: Array | None, shape: Shape, *settings: Any) -> Array:
    return made(shape, grad.dtype)


# -- matrices ------------------------------------------------------------------------------------


@_kernel
def matmul(a: Array, b: Array) -> Array:
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"cannot multiply matrices of shapes {a.shape} and {b.shape}")
    lead = broadcast((made(a.shape[:-2], a.dtype), made(b.shape[:-2], b.dtype)))
    return made((*lead, a.shape[-2], b.shape[-1]), common_type((a, b)))


@_kernel
def det(x: Array) -> Array:
    return made(x.shape[:-2], x.dtype)


@_kernel
def slogdet(x: Array) -> tuple[Array, Array]:
    return made(x.shape[:-2], x.dtype), made(x.shape[:-2], x.dtype.to_real())


@_kernel
def eig(x: Array) -> tuple[Array, Array]:
    type_ = x.dtype.to_complex()
    return made(x.shape[:-1], type_), made(x.shape, type_)


@_kernel
def eigh(x: Array, upper: bool) -> tuple[Array, Array]:
    return made(x.shape[:-1], x.dtype.to_real()), made(x.shape, x.dtype)


@_kernel
def geqrf(x: Array) -> tuple[Array, Array]:
    return _like(x), made((*x.shape[:-2], min(x.shape[-2:])), x.dtype)


@_kernel
def ldl(x: Array, hermitian: bool) -> tuple[Array, Array, Array]:
    return _like(x), made(x.shape[:-1], int32), made(x.shape[:-2], int32)


@_kernel
def ldl_solve(packed: Array, pivots: Array, b: Array, hermitian: bool) -> Array:
    return _like(b)


@_kernel
def lu(x: Array) -> tuple[Array, Array, Array]:
    *lead, rows, columns = x.shape
    return _like(x), made((*lead, min(rows, columns)), int32), made((*lead, rows), int64)


@_kernel
def qr(x: Array, mode: str) -> tuple[Array, Array]:
    *lead, rows, columns = x.shape
    inner = rows if mode == "complete" else min(rows, columns)
    return made((*lead, rows, inner), x.dtype), made((*lead, inner, columns), x.dtype)


@_kernel
def solve(a: Array, b: Array, *settings: bool) -> Array:
    lead = broadcast((made(a.shape[:-2], a.dtype), made(b.shape[:-2], b.dtype)))
    return made((*lead, *b.shape[-2:]), common_type((a, b)))


KERNELS["solve_triangular"] = solve


@_kernel
def svd(x: Array, full: bool) -> tuple[Array, Array, Array]:
    *lead, rows, columns = x.shape
    rank = min(rows, columns)
    left, right = (rows, columns) if full else (rank, rank)
    return (
        made((*lead, rows, left), x.dtype),
        made((*lead, rank), x.dtype.to_real()),
        made((*lead, right, columns), x.dtype),
    )


@_kernel
def fft(x: Array, axes: Axes, inverse: bool) -> Array:
    return made(x.shape, x.dtype.to_complex())


# -- memory --------------------------------------------------------------------------------------


@_kernel
def from_host(array: Any, copy: bool = True) -> Array:
    """The layout of a host array."""
    size = array.dtype.itemsize
    steps = tuple(step // size for step in array.strides) if array.size else contiguous_strides(array.shape)
    return like(array.shape, steps, Array.table.dtypes[array.dtype.name])


@_kernel
def like(shape: Shape, strides: Shape, type_: dtype) -> Array:
    """A new array, laid out as one with these strides."""
    return along((Array(shape, strides, 0, type_),), type_)


@_kernel
def to_host(x: Array) -> NoReturn:
    raise NotImplementedError("Cannot copy out of meta tensor; no data!")


@_kernel
def as_array(value: Any) -> Array:
    return value if isinstance(value, Array) else from_host(value)


@_kernel
def strides(x: Array) -> Shape:
    return x.strides


@_kernel
def is_contiguous(x: Array) -> bool:
    return x.layout.is_contiguous()


@_kernel
def is_transposed(x: Array) -> bool:
    return not x.layout.is_contiguous() and x.mT.layout.is_contiguous()


@_kernel
def owns(x: Array) -> bool:
    """In row-major order: nobody can write to another's elements."""
    return x.layout.is_contiguous()


@_kernel
def offset(base: Array, x: Array) -> int:
    return x.offset - base.offset


@_kernel
def address(x: Array) -> int:
    return 0
