"""Any library with a Python array API namespace as a backend, in one line of a plugin::

    @hookimpl
    def retrograd_backends():
        yield array_api_backend("mylib", "mylib.array_api", install="pip install mylib")

Every required kernel is derived from the standard, version 2024.12. What the standard has no function for
goes through NumPy on the host: `complex`, `digamma`, `erf`, `erfinv`, `index_put`, `lgamma`, `scatter`,
`scatter_add`, and, where the library's arrays cannot be written to, `pad`, `slice_assign` and `unslice`. A
library that has a function of its own for one of these, or fused kernels, passes it in `kernels`.

Source: https://data-apis.org/array-api/2024.12/
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from retrograd.backends import registry
from retrograd.backends.philox import WORDS, words_of
from retrograd.backends.spec import BackendSpec, Kernels, NativeTypes

__all__ = ["ArrayApiBackend", "array_api_backend"]

Array = Any
Axes = tuple[int, ...]
Shape = tuple[int, ...]

_NAMES = """
    bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128
""".split()
_OF_MUTABLE = {"address", "offset", "owns", "strides"}
_REAL = ("float16", "bfloat16", "float32", "float64")

_SAME_NAME = """
    abs acos acosh asin asinh atan atan2 atanh bitwise_and bitwise_invert bitwise_left_shift bitwise_or
    bitwise_right_shift bitwise_xor broadcast_to ceil copysign cos cosh divide exp expm1 floor floor_divide
    hypot isfinite isinf isnan log log10 log1p log2 logaddexp matmul negative nextafter
    permute_dims pow reciprocal remainder reshape round sign sin sinh sqrt square subtract tan tanh trunc
    where zeros_like
""".split()


def array_api_backend(
    name: str,
    namespace: Any,
    *,
    install: str = "",
    devices: Mapping[str, Any] | None = None,
    mutable: bool = False,
    kernels: Mapping[str, Callable[..., Any]] | None = None,
) -> BackendSpec:
    """The spec of a backend over an array API namespace.

    Parameters
    ----------
    name
        What users write: `use_backend(name)`.
    namespace
        The namespace, or its import name, imported when the backend is first used.
    install
        The command that installs the library, for the error that says it is missing.
    devices
        The library's device objects by the names users write, the default first. None: one device,
        `cpu`, which is wherever the library puts arrays by itself.
    mutable
        Whether in-place operations write to the library's arrays. Its views must share memory then,
        and `kernels` must hold `address`, `offset`, `owns` and `strides`, for which the standard has
        no functions. By default the core computes new arrays instead, which works with all libraries.
    kernels
        Kernels to use instead of, or beside, those made from the standard.

    Raises
    ------
    TypeError
        If a mutable backend's kernels are not there.
    """
    missing = sorted(_OF_MUTABLE - set(kernels or {}))
    if mutable and missing:
        raise TypeError(f"array_api_backend({name!r}): mutable=True needs the kernels {', '.join(missing)}")

    def load() -> ArrayApiBackend:
        xp = importlib.import_module(namespace) if isinstance(namespace, str) else namespace
        return ArrayApiBackend(name, xp, devices or {"cpu": None}, mutable, kernels or {})

    return BackendSpec(name, load, install)


class ArrayApiBackend:
    """What `array_api_backend` loads."""

    def __init__(
        self,
        name: str,
        namespace: Any,
        devices: Mapping[str, Any],
        mutable: bool,
        kernels: Mapping[str, Callable[..., Any]],
    ) -> None:
        self.name = name
        self.namespace = namespace
        self._devices = devices
        self._mutable = mutable
        self._kernels = kernels

    def devices(self) -> tuple[str, ...]:
        return tuple(self._devices)

    def kernels(self, device: str) -> Kernels:
        xp = self.namespace
        # An array's own dtype, since a namespace may hold something that only stands for it.
        native = {each: xp.empty((0,), dtype=getattr(xp, each)).dtype for each in _NAMES if hasattr(xp, each)}
        dtypes = NativeTypes(self.name, native)
        derived = _Derived(xp, self._devices[device], dtypes)
        members = {each: getattr(xp, each) for each in _SAME_NAME if hasattr(xp, each)}
        members |= {each: getattr(derived, method) for each, method in _DERIVED.items()}
        return Kernels(
            self.name,
            device,
            array_type=type(xp.empty(())),
            mutable=self._mutable,
            dtypes=dtypes,
            names={native: each for each, native in dtypes.items()},
            floats=frozenset(dtypes[each] for each in _REAL if each in dtypes),
            quiet=quiet,
            **members | dict(self._kernels),
        )


def quiet() -> AbstractContextManager[Any]:
    """Many of these libraries compute with NumPy, and warn as it does."""
    return np.errstate(all="ignore")


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array_namespace__")


class _Derived:
    """Kernels made of several functions of the namespace, or with other arguments than they have.

    A method is a kernel, called like it save for a trailing underscore; see `retrograd.backends.spec`.
    """

    def __init__(self, xp: Any, device: Any, dtypes: Mapping[str, Any]) -> None:
        self.xp = xp
        self.dtypes = dtypes
        self.place: dict[str, Any] = {} if device is None else {"device": device}
        self.writable = self._can_write()

    def _can_write(self) -> bool:
        probe = self.xp.zeros((1,))
        try:
            probe[0] = 1.0
        except (TypeError, ValueError):
            return False
        return True

    def is_a(self, x: Array, kind: str) -> bool:
        return bool(self.xp.isdtype(x.dtype, kind))

    # -- to and from the host ------------------------------------------------------------------

    def from_host(self, array: Any, copy: bool = True) -> Array:
        self.dtypes[np.asarray(array).dtype.name]  # raises where the library has no such type
        return self.xp.asarray(array, copy=copy or None, **self.place)

    def to_host(self, array: Array) -> Any:
        try:
            return np.from_dlpack(array)
        except (AttributeError, BufferError, RuntimeError, TypeError):
            return np.asarray(array)

    def as_array(self, value: Any) -> Array:
        return value if _is_array(value) else self.xp.asarray(value, **self.place)

    def on_host(self, name: str, *arguments: Any) -> Array:
        """The NumPy backend's kernel `name`, on the host."""
        with quiet():
            kernel = getattr(registry.kernels("numpy"), name)
            return self.from_host(np.asarray(kernel(*map(self._host_value, arguments))))

    def _host_value(self, value: Any) -> Any:
        if isinstance(value, tuple | list):
            return type(value)(map(self._host_value, value))
        return self.to_host(value) if _is_array(value) else value

    def copy(self, x: Array) -> Array:
        return self.xp.asarray(x, copy=True)

    def assign(self, array: Array, value: Any) -> None:
        array[...] = value

    # -- creation ------------------------------------------------------------------------------

    def arange(self, start: Any, stop: Any, step: Any, dtype: Any) -> Array:
        return self.xp.arange(start, stop, step, dtype=dtype, **self.place)

    def empty(self, shape: Shape, dtype: Any) -> Array:
        return self.xp.empty(shape, dtype=dtype, **self.place)

    def eye(self, n: int, m: int, dtype: Any) -> Array:
        return self.xp.eye(n, m, dtype=dtype, **self.place)

    def full(self, shape: Shape, value: Any, dtype: Any) -> Array:
        if _is_array(value):
            return self.xp.broadcast_to(self.astype(value, dtype), shape)
        return self.xp.full(shape, value, dtype=dtype, **self.place)

    def linspace(self, start: float, stop: float, num: int, dtype: Any) -> Array:
        return self.xp.linspace(start, stop, num, dtype=dtype, **self.place)

    def ones(self, shape: Shape, dtype: Any) -> Array:
        return self.xp.ones(shape, dtype=dtype, **self.place)

    def zeros(self, shape: Shape, dtype: Any) -> Array:
        return self.xp.zeros(shape, dtype=dtype, **self.place)

    def random_bits(self, key: tuple[int, int], offset: int, count: int) -> Array:
        xp = self.xp

        def word(value: int) -> Array:
            return xp.asarray(value, dtype=xp.uint64, **self.place)

        with quiet():
            blocks = xp.arange(-(-count // WORDS), dtype=xp.uint64, **self.place) + word(offset)
            words = words_of(word, (word(key[0]), word(key[1])), blocks)
        return xp.reshape(xp.stack([xp.astype(each, xp.uint32) for each in words], axis=1), (-1,))[:count]

    # -- elementwise ---------------------------------------------------------------------------

    def astype(self, x: Array, dtype: Any) -> Array:
        """A complex number keeps its real part in a real type."""
        if self.is_a(x, "complex floating") and dtype == self.dtypes["bool"]:
            return self.xp.not_equal(x, 0)
        if self.is_a(x, "complex floating") and not self.xp.isdtype(dtype, "complex floating"):
            x = self.xp.real(x)
        return self.xp.astype(x, dtype)

    def conj(self, x: Array) -> Array:
        return self.xp.conj(x) if self.is_a(x, "complex floating") else x

    def real(self, x: Array) -> Array:
        return self.xp.real(x) if self.is_a(x, "complex floating") else x

    def imag(self, x: Array) -> Array:
        return self.xp.imag(x) if self.is_a(x, "complex floating") else self.xp.zeros_like(x)

    def complex_(self, real: Array, imag: Array) -> Array:
        return self.on_host("complex", real, imag)

    def fmod(self, a: Array, b: Array) -> Array:
        """The remainder with the dividend's sign."""
        xp = self.xp
        a, b = self._pair(a, b)
        left = xp.remainder(xp.abs(a), xp.abs(b))
        return xp.where(a < 0, -left, left)

    def add(self, a: Array, b: Array) -> Array:
        """Bools add up to bools, as in NumPy; the standard adds numbers only."""
        return self.xp.logical_or(a, b) if self._are_truths(a, b) else self.xp.add(a, b)

    def multiply(self, a: Array, b: Array) -> Array:
        return self.xp.logical_and(a, b) if self._are_truths(a, b) else self.xp.multiply(a, b)

    def equal(self, a: Array, b: Array) -> Array:
        return self.xp.equal(*self._comparable(a, b))

    def not_equal(self, a: Array, b: Array) -> Array:
        return self.xp.not_equal(*self._comparable(a, b))

    def less(self, a: Array, b: Array) -> Array:
        return self.xp.less(*self._comparable(a, b))

    def less_equal(self, a: Array, b: Array) -> Array:
        return self.xp.less_equal(*self._comparable(a, b))

    def greater(self, a: Array, b: Array) -> Array:
        return self.xp.greater(*self._comparable(a, b))

    def greater_equal(self, a: Array, b: Array) -> Array:
        return self.xp.greater_equal(*self._comparable(a, b))

    def _are_truths(self, *values: Any) -> bool:
        return all(self.is_a(each, "bool") if _is_array(each) else isinstance(each, bool) for each in values)

    def _comparable(self, *values: Any) -> tuple[Any, ...]:
        """Truths as small integers, which the standard orders, and compares with numbers."""
        uint8 = self.dtypes["uint8"]
        return tuple(
            self.xp.astype(each, uint8)
            if _is_array(each) and self.is_a(each, "bool")
            else int(each)
            if isinstance(each, bool)
            else each
            for each in values
        )

    def maximum(self, a: Array, b: Array) -> Array:
        """The standard orders numbers only, not truths."""
        return self.xp.logical_or(a, b) if self._are_truths(a, b) else self.xp.maximum(a, b)

    def minimum(self, a: Array, b: Array) -> Array:
        return self.xp.logical_and(a, b) if self._are_truths(a, b) else self.xp.minimum(a, b)

    def _pair(self, a: Any, b: Any) -> tuple[Array, Array]:
        """Both as arrays; a Python number gets the other's type."""
        if not _is_array(a):
            a = self.xp.asarray(a, dtype=b.dtype, **self.place)
        elif not _is_array(b):
            b = self.xp.asarray(b, dtype=a.dtype, **self.place)
        return a, b

    def _truth(self, x: Any) -> Any:
        if not _is_array(x):
            return bool(x)
        return x if self.is_a(x, "bool") else self.xp.not_equal(x, 0)

    def logical_and(self, a: Array, b: Array) -> Array:
        return self.xp.logical_and(self._truth(a), self._truth(b))

    def logical_not(self, x: Array) -> Array:
        return self.xp.logical_not(self._truth(x))

    def logical_or(self, a: Array, b: Array) -> Array:
        return self.xp.logical_or(self._truth(a), self._truth(b))

    def logical_xor(self, a: Array, b: Array) -> Array:
        return self.xp.logical_xor(self._truth(a), self._truth(b))

    def digamma(self, x: Array) -> Array:
        return self.on_host("digamma", x)

    def erf(self, x: Array) -> Array:
        return self.on_host("erf", x)

    def erfinv(self, x: Array) -> Array:
        return self.on_host("erfinv", x)

    def lgamma(self, x: Array) -> Array:
        return self.on_host("lgamma", x)

    # -- shapes --------------------------------------------------------------------------------

    def concat(self, xs: list[Array], axis: int) -> Array:
        return self.xp.concat(xs, axis=axis)

    def stack(self, xs: list[Array], axis: int) -> Array:
        return self.xp.stack(xs, axis=axis)

    def flip(self, x: Array, axes: Axes) -> Array:
        return self.xp.flip(x, axis=axes)

    def roll(self, x: Array, shift: Any, axis: Any) -> Array:
        return self.xp.roll(x, shift, axis=axis)

    def tril(self, x: Array, k: int = 0) -> Array:
        return self.xp.tril(x, k=k)

    def triu(self, x: Array, k: int = 0) -> Array:
        return self.xp.triu(x, k=k)

    def slice_(self, x: Array, index: tuple[Any, ...]) -> Array:
        return x[(*index, ...)] if len(index) < len(x.shape) else x[index]

    def slice_assign(self, x: Array, index: tuple[Any, ...], value: Any) -> Array:
        if not self.writable:
            return self.on_host("slice_assign", x, index, value)
        out = self.copy(x)
        key = (*index, ...) if len(index) < len(x.shape) else index
        out[key] = self.astype(value, x.dtype) if _is_array(value) else value
        return out

    def unslice(self, g: Array, shape: Shape, index: tuple[Any, ...]) -> Array:
        return self.slice_assign(self.zeros(shape, g.dtype), index, g)

    def pad(self, x: Array, widths: tuple[tuple[int, int], ...], value: Any) -> Array:
        shape = tuple(before + n + after for (before, after), n in zip(widths, x.shape, strict=True))
        inside = tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))
        return self.slice_assign(self.full(shape, value, x.dtype), inside, x)

    def diagonal(self, x: Array, offset: int, axis1: int, axis2: int) -> Array:
        rest = [axis for axis in range(len(x.shape)) if axis not in (axis1, axis2)]
        flat = self.xp.permute_dims(x, (*rest, axis1, axis2))
        flat = self.xp.reshape(flat, (*flat.shape[:-2], x.shape[axis1] * x.shape[axis2]))
        places = _diagonal_places(x.shape[axis1], x.shape[axis2], offset)
        return self.xp.take(flat, self._positions(places), axis=-1)

    def undiagonal(self, g: Array, shape: Shape, offset: int, axis1: int, axis2: int) -> Array:
        """Each element of the result is taken from `g` or from a zero put behind its end."""
        rows, columns = shape[axis1], shape[axis2]
        source = [g.shape[-1]] * (rows * columns)
        for i, place in enumerate(_diagonal_places(rows, columns, offset)):
            source[place] = i
        with_zero = self.xp.concat([g, self.zeros((*g.shape[:-1], 1), g.dtype)], axis=-1)
        flat = self.xp.take(with_zero, self._positions(source), axis=-1)
        rest = [axis for axis in range(len(shape)) if axis not in (axis1, axis2)]
        order = (*rest, axis1, axis2)
        inverse = tuple(order.index(axis) for axis in range(len(shape)))
        return self.xp.permute_dims(self.xp.reshape(flat, (*g.shape[:-1], rows, columns)), inverse)

    def _positions(self, places: list[int]) -> Array:
        return self.xp.asarray(places, dtype=self.dtypes["int64"], **self.place)

    # -- reductions ----------------------------------------------------------------------------

    def sum_(self, x: Array, axis: Axes, keepdims: bool) -> Array:
        return self.xp.sum(x, axis=axis, dtype=x.dtype, keepdims=keepdims) if axis else x

    def prod(self, x: Array, axis: Axes, keepdims: bool) -> Array:
        return self.xp.prod(x, axis=axis, dtype=x.dtype, keepdims=keepdims) if axis else x

    def max_(self, x: Array, axis: Axes, keepdims: bool) -> Array:
        return self._select(self.xp.max, x, axis, keepdims) if axis else x

    def min_(self, x: Array, axis: Axes, keepdims: bool) -> Array:
        return self._select(self.xp.min, x, axis, keepdims) if axis else x

    def _select(self, function: Callable[..., Array], x: Array, axis: Any, keepdims: bool) -> Array:
        if self.is_a(x, "bool"):  # the standard orders numbers only
            numbers = self.xp.astype(x, self.dtypes["uint8"])
            return self.xp.astype(function(numbers, axis=axis, keepdims=keepdims), x.dtype)
        return function(x, axis=axis, keepdims=keepdims)

    def all_(self, x: Array, axis: Axes, keepdims: bool) -> Array:
        return self.xp.all(x, axis=axis, keepdims=keepdims) if axis else self._truth(x)

    def any_(self, x: Array, axis: Axes, keepdims: bool) -> Array:
        return self.xp.any(x, axis=axis, keepdims=keepdims) if axis else self._truth(x)

    def argmax(self, x: Array, axis: int | None, keepdims: bool) -> Array:
        return self._place_of(self.xp.argmax, x, axis, keepdims)

    def argmin(self, x: Array, axis: int | None, keepdims: bool) -> Array:
        return self._place_of(self.xp.argmin, x, axis, keepdims)

    def _place_of(self, function: Callable[..., Array], x: Array, axis: int | None, keepdims: bool) -> Array:
        if self.is_a(x, "bool"):
            x = self.xp.astype(x, self.dtypes["uint8"])
        return self.xp.astype(function(x, axis=axis, keepdims=keepdims), self.dtypes["int64"])

    def cumsum(self, x: Array, axis: int) -> Array:
        return self.xp.cumulative_sum(x, axis=axis, dtype=x.dtype)

    def cumprod(self, x: Array, axis: int) -> Array:
        return self.xp.cumulative_prod(x, axis=axis, dtype=x.dtype)

    # -- indexing ------------------------------------------------------------------------------

    def index(self, x: Array, indices: tuple[Array | None, ...]) -> Array:
        """One `take` of flat positions, from `x` with the indexed axes joined in front."""
        xp = self.xp
        axes = [axis for axis, each in enumerate(indices) if each is not None]
        if not axes:
            return x
        rest = [axis for axis in range(len(x.shape)) if axis not in axes]
        flat = xp.permute_dims(x, (*axes, *rest))
        flat = xp.reshape(flat, (math.prod(x.shape[axis] for axis in axes), *flat.shape[len(axes) :]))
        positions = self._flat_positions(x.shape, indices, axes)
        out = xp.take(flat, xp.reshape(positions, (-1,)), axis=0)
        out = xp.reshape(out, (*positions.shape, *out.shape[1:]))
        if axes != list(range(axes[0], axes[-1] + 1)):
            return out
        count, lead = len(positions.shape), axes[0]
        order = (*range(count, count + lead), *range(count), *range(count + lead, len(out.shape)))
        return xp.permute_dims(out, order)

    def _flat_positions(self, shape: Shape, indices: tuple[Array | None, ...], axes: list[int]) -> Array:
        xp = self.xp
        total = self.zeros((), self.dtypes["int64"])
        for axis in axes:
            each = xp.astype(indices[axis], self.dtypes["int64"])
            if math.prod(each.shape) and bool(xp.any((each < -shape[axis]) | (each >= shape[axis]))):
                raise IndexError(f"index is out of bounds for axis {axis} with size {shape[axis]}")
            total = total * shape[axis] + xp.where(each < 0, each + shape[axis], each)
        return total

    def index_put(self, x: Array, indices: tuple[Array | None, ...], values: Any, accumulate: bool) -> Array:
        return self.on_host("index_put", x, indices, values, accumulate)

    def gather(self, x: Array, positions: Array, axis: int) -> Array:
        part = tuple(slice(n if i != axis else None) for i, n in enumerate(positions.shape))
        return self.xp.take_along_axis(x[part], positions, axis=axis) if part else x

    def scatter(self, x: Array, positions: Array, values: Any, axis: int) -> Array:
        return self.on_host("scatter", x, positions, values, axis)

    def scatter_add(self, x: Array, positions: Array, values: Any, axis: int) -> Array:
        return self.on_host("scatter_add", x, positions, values, axis)

    def argsort(self, x: Array, axis: int, descending: bool, stable: bool) -> Array:
        """Reversed twice for a descending order, so that equal elements stay in order."""
        xp = self.xp
        if not descending:
            return xp.astype(xp.argsort(x, axis=axis, stable=True), self.dtypes["int64"])
        backwards = xp.astype(xp.argsort(xp.flip(x, axis=axis), axis=axis, stable=True), self.dtypes["int64"])
        return xp.flip(x.shape[axis] - 1 - backwards, axis=axis)

    def sort(self, x: Array, axis: int, descending: bool, stable: bool) -> Array:
        return self.xp.take_along_axis(x, self.argsort(x, axis, descending, stable), axis=axis)

    def nonzero(self, x: Array) -> tuple[Array, ...]:
        return tuple(self.xp.astype(each, self.dtypes["int64"]) for each in self.xp.nonzero(x))


_DERIVED = {
    name.removesuffix("_"): name
    for name, member in vars(_Derived).items()
    if callable(member) and not name.startswith("_") and name not in ("is_a", "on_host")
}


def _diagonal_places(rows: int, columns: int, offset: int) -> list[int]:
    """Where the elements of a diagonal stand in a flattened matrix."""
    length = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    return [(i + max(-offset, 0)) * columns + i + max(offset, 0) for i in range(length)]
