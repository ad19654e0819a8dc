"""NumPy as a backend: which function of NumPy or SciPy is which kernel."""

from __future__ import annotations

import functools
import warnings
from contextlib import AbstractContextManager
from sys import getrefcount
from typing import Any

import ml_dtypes
import numpy as np
import scipy.special

from retrograd.backends.float8 import FLOAT8, from_float32
from retrograd.backends.numpy import (
    division,
    elementwise,
    fourier,
    indexing,
    linalg,
    neural,
    ordering,
    random,
    reductions,
)
from retrograd.backends.numpy.blocks import in_blocks
from retrograd.backends.numpy.elementwise import in_float32
from retrograd.backends.numpy.layouts import in_order_of, strided
from retrograd.backends.numpy.reductions import in_row_major
from retrograd.backends.spec import Kernels

__all__ = ["NumpyBackend"]

Array = np.ndarray[Any, Any]

_DTYPES = {
    name: np.dtype(name)
    for name in (
        "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 float32 float64 complex64 complex128"
    ).split()
}
_DTYPES |= {name: np.dtype(getattr(ml_dtypes, name)) for name in ("bfloat16", *FLOAT8)}
_FLOAT8 = frozenset(_DTYPES[name] for name in FLOAT8)

# Kernels that are a NumPy function of the same name, C code without a frame of ours in between.
# What NumPy lacks for bfloat16 comes from ml_dtypes' own loops.
_SAME_NAME = """
    abs acos acosh asin asinh atan atanh atan2 bitwise_and bitwise_invert bitwise_left_shift bitwise_or
    bitwise_right_shift bitwise_xor ceil copysign cos cosh divide equal exp expm1 floor floor_divide fmod gcd
    greater greater_equal hypot isfinite isinf isnan less less_equal log log10 log1p log2
    logical_and logical_not logical_or logical_xor maximum minimum multiply negative nextafter not_equal pow
    remainder sign sin sinh sqrt square subtract tan tanh trunc add
""".split()


def quiet() -> AbstractContextManager[Any]:
    return np.errstate(all="ignore")


def as_array(value: Any) -> Array:
    return np.asarray(value)


def assign(array: Array, value: Any) -> None:
    """Write `value` into `array`, cast and broadcast as NumPy's assignment does.

    Also into a broadcast array, which NumPy makes read-only although its memory is not.
    """
    try:
        array[...] = value
    except ValueError:
        if array.flags.writeable:
            raise
        _writable(array)[...] = value


def _writable(array: Array) -> Array:
    """A read-only array with leave to write, if the memory of an array that has it is what this one lies in."""
    try:
        array.flags.writeable = True
    except ValueError:  # of which NumPy loses sight where strides were set
        base = array.base
        while base is not None and not (isinstance(base, np.ndarray) and base.flags.writeable):
            base = getattr(base, "base", None)
        if base is None:
            raise
        plain = {"typestr": f"|V{array.dtype.itemsize}", "descr": [("", f"|V{array.dtype.itemsize}")]}
        place = _Place({**array.__array_interface__, **plain, "data": (array.ctypes.data, False)}, base)
        return np.asarray(place).view(array.dtype)
    return array


class _Place:
    """Where an array lies, as NumPy asks for it; `base` keeps the memory."""

    def __init__(self, interface: dict[str, Any], base: Array) -> None:
        self.__array_interface__, self.base = interface, base


def assign_at(array: Array, index: Array, value: Any) -> None:
    """Write `value` to the elements of `array`, or to its parts along the first axis, that `index` names."""
    array[index] = value


def astype(x: Array, dtype: Any) -> Array:
    """A copy of `x` in another type; a complex number keeps its real part in a real type."""
    if x.dtype.num < _FIRST_COMPLEX and dtype.num < _FIRST_COMPLEX:
        out = x.astype(dtype)
    else:
        out = _cast(x, dtype)
    # What is expanded has no order of its own to keep, though NumPy finds one.
    return out.copy() if not out.flags.c_contiguous and 0 in x.strides else out


# NumPy numbers its types; before the complex ones come bools, integers and the usual floating-point ones.
_FIRST_COMPLEX = np.dtype(np.complex64).num


def _cast(x: Array, dtype: Any) -> Array:
    if x.dtype.kind == "c" and dtype.kind not in "cb":
        x = x.real
    if dtype in _FLOAT8:
        return as_array(from_float32(np, x.astype(np.float32, copy=False), dtype))
    return (x.astype(np.float32) if x.dtype in _FLOAT8 else x).astype(dtype)


def concat(xs: list[Array], axis: int) -> Array:
    return in_row_major(np.concatenate(xs, axis))


def stack(xs: list[Array], axis: int) -> Array:
    return in_row_major(np.stack(xs, axis))


def tril(x: Array, k: int) -> Array:
    return in_row_major(np.tril(x, k))


def triu(x: Array, k: int) -> Array:
    return in_row_major(np.triu(x, k))


def slice_(x: Array, index: tuple[Any, ...]) -> Array:
    """Basic indexing with ints and slices (of positive step): a view, also where one element is left."""
    return x[(*index, Ellipsis)]


def unslice(g: Array, shape: tuple[int, ...], index: tuple[Any, ...]) -> Array:
    """Zeros of `shape` with `g` at `index`: the adjoint of `slice`."""
    out = np.zeros(shape, g.dtype)
    out[index] = g
    return out


def slice_assign(x: Array, index: tuple[Any, ...], value: Any) -> Array:
    """A copy of `x` with `value` at `index`."""
    out = x.copy()
    out[index] = value
    return out


def undiagonal(g: Array, shape: tuple[int, ...], offset: int, axis1: int, axis2: int) -> Array:
    """Zeros of `shape` with `g` on a diagonal: the adjoint of `diagonal`."""
    out = np.zeros(shape, g.dtype)
    diagonal(out, offset, axis1, axis2)[...] = g
    return out


def as_strided(x: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
    """Any layout on the elements of `x`, in row-major order; a view, if they lie so in memory."""
    flat = x.reshape(-1)  # of one element repeated, as gradients of sums are, it has a stride of zero
    return strided(flat[offset:], shape, tuple(map(flat.strides[0].__mul__, strides)))


def sliding(x: Array, axis: int, size: int, step: int) -> Array:
    """The view of all windows along an axis; the window is the last axis."""
    shape = (*x.shape[:axis], (x.shape[axis] - size) // step + 1, *x.shape[axis + 1 :], size)
    strides = (*x.strides[:axis], x.strides[axis] * step, *x.strides[axis + 1 :], x.strides[axis])
    return strided(x, shape, strides)


def unstride(g: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
    """Zeros of `shape` with the elements of `g` added where `as_strided` would read."""
    out = np.zeros(shape, g.dtype)
    positions = np.full((), offset)
    for axis, (n, step) in enumerate(zip(g.shape, strides, strict=True)):
        positions = positions + (np.arange(n) * step).reshape((n,) + (1,) * (g.ndim - axis - 1))
    np.add.at(out.reshape(-1), np.broadcast_to(positions, g.shape), g)
    return out


def address(array: Array) -> int:
    return array.__array_interface__["data"][0]


def offset(base: Array, array: Array) -> int:
    """How many elements after the start of `base` the view `array` starts."""
    return (address(array) - address(base)) // array.itemsize


_ITERATES: Any = ["multi_index", "refs_ok", "zerosize_ok"]
_READS: Any = ["readonly"]


def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
    """The view that `np.broadcast_to` gives, which spends as long again on its checks."""
    return np.nditer((x,), _ITERATES, _READS, itershape=shape, order="C").itviews[0]


def permute_dims(x: Array, axes: tuple[int, ...]) -> Array:
    return x.transpose(axes)


def reshape(x: Array, shape: tuple[int, ...]) -> Array:
    return x.reshape(shape)


def pad(x: Array, widths: tuple[tuple[int, int], ...], value: Any) -> Array:
    """Surround `x` with `value`: `widths` holds (before, after) for each axis, none negative."""
    shape = tuple(before + n + after for (before, after), n in zip(widths, x.shape, strict=True))
    out = np.full(shape, value, x.dtype)
    out[tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))] = x
    return out


def diagonal(x: Array, offset: int, axis1: int, axis2: int) -> Array:
    """A writable view of a diagonal, as the last axis."""
    view = np.diagonal(x, offset, axis1, axis2)
    if x.flags.writeable:
        view.flags.writeable = True
    return view


def matmul(a: Array, b: Array) -> Array:
    """Matrix product of 2-d arrays or of stacks of them; types of 16 bits or less accumulate in float32."""
    if a.dtype.itemsize <= 2 and a.dtype.kind in "fV":
        return astype(np.matmul(a.astype(np.float32), b.astype(np.float32)), a.dtype)
    return np.matmul(a, b)


def conj(x: Array) -> Array:
    return np.conjugate(x) if x.dtype.kind == "c" else x


def complex_(real: Array, imag: Array) -> Array:
    out = np.empty(np.broadcast_shapes(real.shape, imag.shape), np.result_type(real.dtype, np.complex64))
    out.real = real
    out.imag = imag
    return out


def as_real(x: Array) -> Array:
    """Complex numbers as pairs of real ones, in a new last axis: a view."""
    return x[..., None].view(x.real.dtype)


def as_complex(x: Array) -> Array:
    """Pairs of real numbers, in the last axis, as complex ones: a view if a pair lies together."""
    if x.strides[-1] != x.itemsize or x.dtype.itemsize < 4:
        return complex_(x[..., 0], x[..., 1])
    return x.view(np.result_type(x.dtype, np.complex64))[..., 0]


def rsqrt(x: Array) -> Any:
    return np.asarray(1, x.dtype) / np.sqrt(x)


def reciprocal(x: Array) -> Any:
    return np.asarray(1, x.dtype) / x


def linspace(start: float, stop: float, num: int, dtype: Any) -> Array:
    return np.linspace(start, stop, num).astype(dtype)


def full(shape: tuple[int, ...], value: Any, dtype: Any) -> Array:
    return np.full(shape, value, dtype) if dtype not in _FLOAT8 else np.full(shape, astype(np.float32(value), dtype))


def from_host(array: Array, copy: bool = True) -> Array:
    return np.array(array, copy=True) if copy else array


def to_host(array: Array) -> Array:
    return array


def owns(array: Array) -> bool:
    """Whether nobody else can reach the memory of `array`, which lies in row-major order.

    Then a gradient may keep it as it is. The memory may be that of another array, of which `array`
    is a transpose: if nothing but `array` refers to that one.
    """
    if not array.flags.c_contiguous:
        return False
    if array.base is None:
        return array.flags.owndata
    return type(array.base) is np.ndarray and array.base.size == array.size and getrefcount(array.base) == 2


def is_transposed(array: Array) -> bool:
    """Whether a matrix lies in memory column by column."""
    return array.flags.f_contiguous and not array.flags.c_contiguous


def strides(array: Array) -> tuple[int, ...]:
    """Distances between neighbours along each axis, in elements."""
    size = array.itemsize
    if not array.size and not any(array.strides):  # NumPy's own for an empty array; the others have row-major ones
        steps = np.maximum(array.shape[1:], 1)[::-1].cumprod()[::-1]
        return (*steps.tolist(), 1)
    return tuple(map(size.__rfloordiv__, array.strides))


def polygamma(order: int, x: Array) -> Any:
    """The derivative of order `order` of `digamma`."""
    return in_float32(functools.partial(scipy.special.polygamma, order))(x).astype(x.dtype)


def _lgamma(x: Array) -> Any:
    return scipy.special.gammaln(x)


_OWN = {
    "as_array": as_array,
    "as_complex": as_complex,
    "as_real": as_real,
    "assign": assign,
    "assign_at": assign_at,
    "astype": astype,
    "broadcast_to": broadcast_to,
    "arange": np.arange,
    "complex": complex_,
    "concat": concat,
    "conj": conj,
    "copy": lambda x: x.copy(),
    "diagonal": diagonal,
    "digamma": in_float32(scipy.special.psi),
    "empty": np.empty,
    "erfc": in_float32(scipy.special.erfc),
    "erfinv": in_float32(scipy.special.erfinv),
    "eye": lambda n, m, dtype: np.eye(n, m, dtype=dtype),
    "flip": lambda x, axes: np.flip(x, axes).copy(),
    "from_host": from_host,
    "full": full,
    "imag": lambda x: x.imag,
    "lgamma": in_float32(_lgamma),
    "is_transposed": is_transposed,
    "linspace": linspace,
    "matmul": matmul,
    "ones": np.ones,
    "owns": owns,
    "pad": pad,
    "permute_dims": permute_dims,
    "polygamma": polygamma,
    "real": lambda x: x.real,
    "reciprocal": reciprocal,
    "is_contiguous": lambda array: array.flags.c_contiguous,
    "in_order_of": in_order_of,
    "sliding": sliding,
    "reinterpret": lambda x, dtype: x.view(dtype),
    "reshape": reshape,
    "roll": np.roll,
    "round": np.rint,
    "rsqrt": rsqrt,
    "slice": slice_,
    "slice_assign": slice_assign,
    "undiagonal": undiagonal,
    "address": address,
    "as_strided": as_strided,
    "unstride": unstride,
    "offset": offset,
    "stack": stack,
    "strides": strides,
    "to_host": to_host,
    "tril": tril,
    "triu": triu,
    "unslice": unslice,
    "zeros": np.zeros,
    "zeros_like": lambda x: np.zeros(x.shape, x.dtype),
}


class NumpyBackend:
    """Host memory, one device: `numpy:cpu`.

    Loading it silences NumPy's warnings of floating-point conditions (1 / 0, log(0), overflow) in calls from
    this package, and nowhere else: `np.errstate` around every kernel would cost more than the kernel.
    """

    def __init__(self) -> None:
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"retrograd\.")

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def kernels(self, device: str) -> Kernels:
        members: dict[str, Any] = {name: getattr(np, name) for name in _SAME_NAME}
        members |= _OWN
        for module in (division, elementwise, fourier, indexing, linalg, neural, ordering, random, reductions):
            members |= module.KERNELS
        ufuncs = frozenset(each for each in members.values() if isinstance(each, np.ufunc))
        return Kernels(
            "numpy",
            device,
            array_type=np.ndarray,
            mutable=True,
            takes_out=ufuncs,
            rounds_once=ufuncs,
            in_blocks=in_blocks,
            dtypes=_DTYPES,
            names={native: name for name, native in _DTYPES.items()},
            floats=frozenset(_DTYPES[name] for name in ("float32", "float64")),
            quiet=quiet,
            **members,
        )
