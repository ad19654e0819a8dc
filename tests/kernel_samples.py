"""One table of calls of kernels, on which every backend must agree with NumPy's.

A sample's arguments are host values: NumPy arrays become arrays of the backend, a `Type` its dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from retrograd.device import kernels_of

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int32", "int64", "int16", "uint8")
COMPLEX = ("complex64", "complex128")

# Relative and absolute error that two libraries may differ by.
TOLERANCE = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 2e-5, "complex64": 2e-5}
HALVES = (np.dtype("float16"), np.dtype(ml_dtypes.bfloat16))


@dataclass(frozen=True)
class Type:
    """Stands for a backend's dtype of this name."""

    name: str


@dataclass(frozen=True)
class Sample:
    """One call. `exact` says that results are equal to the last bit."""

    kernel: str
    arguments: tuple[Any, ...]
    note: str = ""
    exact: bool = False

    def __str__(self) -> str:
        return f"{self.kernel}-{self.note}" if self.note else self.kernel

    def dtypes(self) -> set[str]:
        """The names of all types it needs."""
        return set(_types_in(self.arguments))

    def run(self, k: Any) -> Any:
        """The results on a backend, as NumPy arrays."""
        with k.quiet():
            result = getattr(k, self.kernel)(*_to_backend(k, self.arguments))
        if isinstance(result, tuple | list):
            return tuple(to_host(k, each) for each in result)
        return to_host(k, result)


def to_host(k: Any, array: Any) -> Any:
    return np.asarray(k.to_host(k.as_array(array)))


def _types_in(value: Any) -> Iterator[str]:
    if isinstance(value, tuple | list):
        for each in value:
            yield from _types_in(each)
    elif isinstance(value, np.ndarray):
        yield value.dtype.name
    elif isinstance(value, Type):
        yield value.name


def _to_backend(k: Any, value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_to_backend(k, each) for each in value)
    if isinstance(value, np.ndarray):
        return k.from_host(value)
    return k.dtypes[value.name] if isinstance(value, Type) else value


def assert_same(result: Any, expected: Any, exact: bool = False) -> None:
    """Results of one sample on two backends agree in structure, dtype, shape and values."""
    if isinstance(expected, tuple):
        assert len(result) == len(expected)
        for one, other in zip(result, expected, strict=True):
            assert_same(one, other, exact)
        return
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    if exact or expected.dtype.kind in "biu":
        np.testing.assert_array_equal(result, expected)
        return
    tolerance = TOLERANCE.get(expected.dtype.name, 1e-9)
    if expected.dtype in HALVES:
        result, expected = result.astype(np.float32), expected.astype(np.float32)
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


def numbers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Any:
    """Reproducible numbers of a type, some of them negative, small ones for integers."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.startswith(("int", "uint")):
        return rng.integers(0 if dtype.startswith("u") else -9, 10, shape).astype(dtype)
    values = rng.standard_normal(shape) * 2
    if dtype.startswith("complex"):
        values = values + 1j * rng.standard_normal(shape)
    return np.asarray(values).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def special(dtype: str) -> Any:
    """Values at which implementations differ if they do."""
    values = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.5, 3.25, -3.75, np.inf, -np.inf, np.nan]
    return np.array(values).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def _elementwise() -> Iterator[Sample]:
    unary = """
        abs acos acosh asin asinh atan atanh ceil cos cosh erf erfinv exp expm1 floor isfinite isinf isnan
        log log10 log1p log2 logical_not negative real imag conj round sign sin sinh sqrt tan tanh trunc
        erfc sigmoid square
    """.split()
    for name in unary:
        for dtype in FLOATS:
            yield Sample(name, (special(dtype),), dtype)
    for dtype in FLOATS:
        positive = np.abs(special(dtype)[2:]) + special(dtype)[2]
        yield Sample("lgamma", (positive,), dtype)
        yield Sample("digamma", (positive,), dtype)
        yield Sample("rsqrt", (positive,), dtype)
        yield Sample("reciprocal", (special(dtype),), dtype)
    for name in "abs conj cos exp imag log negative real reciprocal sin sqrt square tanh".split():
        for dtype in COMPLEX:
            yield Sample(name, (numbers((7,), dtype),), dtype)
    for name in "abs negative sign square".split():
        for dtype in INTEGERS[:3]:
            yield Sample(name, (numbers((3, 4), dtype),), dtype)
    for dtype in (*INTEGERS, "bool"):
        yield Sample("bitwise_invert", (numbers((9,), dtype),), dtype)
        yield Sample("logical_not", (numbers((9,), dtype),), dtype)


def _binary() -> Iterator[Sample]:
    arithmetic = "add divide maximum minimum multiply subtract".split()
    real = "atan2 copysign floor_divide fmod hypot logaddexp nextafter pow remainder".split()
    comparisons = "equal greater greater_equal less less_equal not_equal".split()
    for dtype in FLOATS:
        a, b = np.meshgrid(special(dtype), special(dtype))
        for name in arithmetic + real + comparisons:
            if name == "nextafter" and dtype in ("float16", "bfloat16"):
                continue  # checked against float32's neighbours nowhere in retrograd
            yield Sample(name, (a, b), dtype)
        column, row = numbers((3, 1), dtype), numbers((4,), dtype, 1)
        for name in (*arithmetic, "less", "logical_and"):
            yield Sample(name, (column, row), f"{dtype}-broadcast")
            yield Sample(name, (column, 3), f"{dtype}-int")
            if dtype != "bfloat16":  # not among NumPy's `floats`: see Kernels
                yield Sample(name, (column, 2.0), f"{dtype}-number")
    for dtype in INTEGERS:
        a, b = np.meshgrid(numbers((6,), dtype), numbers((6,), dtype, 1))
        for name in "add bitwise_and bitwise_or bitwise_xor gcd maximum minimum multiply subtract".split():
            yield Sample(name, (a, b), dtype)
        for name in ("floor_divide", "remainder"):  # by zero too
            yield Sample(name, (a, b), dtype)
        yield Sample("floor_divide", (a, np.where(b == 0, 1, b).astype(dtype)), f"{dtype}-nonzero")
        yield Sample("fmod", (a, np.where(b == 0, 1, b).astype(dtype)), f"{dtype}-nonzero")
        yield Sample("pow", (a, np.abs(b)), dtype)
        for name in comparisons:
            yield Sample(name, (a, b), dtype)
        small = (np.abs(b) % 7).astype(dtype)
        yield Sample("bitwise_left_shift", (a, small), dtype)
        yield Sample("bitwise_right_shift", (a, small), dtype)
    for name in "add divide equal multiply not_equal pow subtract".split():
        for dtype in COMPLEX:
            yield Sample(name, (numbers((3, 1), dtype), numbers((4,), dtype, 1)), dtype)
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    for name in "bitwise_and bitwise_or bitwise_xor equal logical_and logical_or logical_xor not_equal".split():
        yield Sample(name, (a, b), "bool")


def _creation() -> Iterator[Sample]:
    for dtype in ("float32", "float64", "int64", "int32", "uint8"):
        yield Sample("arange", (0, 7, 1, Type(dtype)), dtype, exact=True)
        yield Sample("arange", (2, 20, 3, Type(dtype)), f"{dtype}-step", exact=True)
        yield Sample("eye", (3, 5, Type(dtype)), dtype)
        yield Sample("full", ((2, 3), 7, Type(dtype)), dtype)
        yield Sample("ones", ((2, 3), Type(dtype)), dtype)
        yield Sample("zeros", ((2, 0, 3), Type(dtype)), dtype)
        yield Sample("zeros_like", (numbers((2, 3), dtype),), dtype)
    yield Sample("arange", (9, 0, -2, Type("int64")), "down", exact=True)
    yield Sample("arange", (0.5, 3.0, 0.25, Type("float32")), "fraction", exact=True)
    yield Sample("full", ((), True, Type("bool")), "bool")
    yield Sample("full", ((2,), 1 + 2j, Type("complex64")), "complex")
    yield Sample("full", ((2,), float("nan"), Type("float32")), "nan")
    yield Sample("linspace", (0.0, 1.0, 7, Type("float32")), "float32", exact=True)
    yield Sample("linspace", (-3.0, 1.0, 1, Type("float64")), "one", exact=True)
    for count in (0, 1, 2, 1001):
        yield Sample("random_bits", ((1, 2), 0, count), f"{count}", exact=True)
    yield Sample("random_bits", ((2**32 - 1, 7), 2**33 + 5, 100), "far", exact=True)


def _shapes() -> Iterator[Sample]:
    x = numbers((3, 4, 5), "float32")
    yield Sample("broadcast_to", (numbers((3, 1), "float32"), (2, 3, 4)))
    yield Sample("concat", ([x, x[:, :2]], 1))
    yield Sample("stack", ([x, x], 2))
    yield Sample("flip", (x, (0, 2)))
    yield Sample("pad", (x, ((0, 0), (1, 2), (3, 0)), 1.5))
    yield Sample("pad", (numbers((3,), "int64"), ((2, 1),), 0), "int")
    yield Sample("permute_dims", (x, (2, 0, 1)))
    yield Sample("reshape", (x, (5, 12)))
    yield Sample("reshape", (x, (-1,)), "flat")
    yield Sample("roll", (x, (1, -2), (0, 2)))
    for k in (-1, 0, 2):
        yield Sample("tril", (x, k), f"{k}")
        yield Sample("triu", (x, k), f"{k}")
    keys = {
        "int": (1,), "ints": (2, 0), "range": (slice(1, 3),), "step": (slice(0, 3, 2), 1, slice(1, 5, 3)),
        "all": (slice(None),), "none": (slice(2, 2),), "element": (0, 1, 2),
        "last": (slice(None), slice(0, 1)),
    }  # fmt: skip
    for note, key in keys.items():
        part = x[key]
        yield Sample("slice", (x, key), note)
        yield Sample("unslice", (np.asarray(part), (3, 4, 5), key), note)
        yield Sample("slice_assign", (x, key, np.asarray(part * 2)), note)
        yield Sample("slice_assign", (x, key, 7.0), f"{note}-number")
    yield Sample("slice_assign", (x, (slice(0, 2), slice(0, 4, 2)), x[0, 0]), "broadcast")
    for offset, axis1, axis2 in ((0, 0, 1), (1, 0, 2), (-2, 1, 2), (-1, 2, 0), (9, 0, 1)):
        part = np.ascontiguousarray(np.diagonal(x, offset, axis1, axis2))
        yield Sample("diagonal", (x, offset, axis1, axis2), f"{offset}-{axis1}-{axis2}")
        yield Sample("undiagonal", (part, (3, 4, 5), offset, axis1, axis2), f"{offset}-{axis1}-{axis2}")


def _reductions() -> Iterator[Sample]:
    axes = {"all": (0, 1, 2), "last": (2,), "outer": (0, 2), "none": ()}
    for dtype in (*FLOATS, *INTEGERS, "complex64"):
        x = numbers((3, 4, 5), dtype)
        for note, axis in axes.items() if dtype == "float32" else [("outer", (0, 2))]:
            for keepdims in (False, True) if dtype == "float32" else (False,):
                where = f"{dtype}-{note}{'-keep' if keepdims else ''}"
                yield Sample("sum", (x, axis, keepdims), where)
                if dtype in FLOATS:
                    yield Sample("logsumexp", (x, axis, keepdims), where)
                    yield Sample("mean", (x, axis, keepdims), where)
                if dtype in FLOATS[:2]:
                    yield Sample("prod", (x, axis, keepdims), where)
                if dtype != "complex64":
                    yield Sample("max", (x, axis, keepdims), where)
                    yield Sample("min", (x, axis, keepdims), where)
        for axis in (0, 2) if dtype == "float32" else (1,):
            yield Sample("cumsum", (x, axis), f"{dtype}-{axis}")
            yield Sample("cumprod", (x[:2], axis), f"{dtype}-{axis}")
            if dtype in FLOATS:
                yield Sample("softmax", (x, axis), f"{dtype}-{axis}")
                yield Sample("log_softmax", (x, axis), f"{dtype}-{axis}")
        if dtype != "complex64":
            for axis in (None, 0, 2) if dtype == "float32" else (1,):
                yield Sample("argmax", (x, axis, False), f"{dtype}-{axis}")
                yield Sample("argmin", (x, axis, True), f"{dtype}-{axis}")
    for name in ("all", "any"):
        for dtype in ("bool", "float32", "int64"):
            yield Sample(name, (numbers((3, 4), dtype), (1,), False), dtype)
            yield Sample(name, (numbers((), dtype), (), False), f"{dtype}-0d")
    for name in ("max", "argmax"):
        yield Sample(name, (numbers((3, 4), "bool"), (1,) if name == "max" else 1, False), "bool")
        yield Sample(name, (special("float32"), (0,) if name == "max" else 0, False), "nan")
    yield Sample("sum", (numbers((0, 3), "float32"), (0,), False), "empty")
    yield Sample("sum", (np.full(3000, 1.0, "float16"), (0,), False), "float16-many")
    infinite = np.array([[-np.inf, -np.inf], [np.inf, 1.0], [-np.inf, 1.0]], "float32")
    yield Sample("logsumexp", (infinite, (1,), False), "infinite")


def _indexing() -> Iterator[Sample]:
    x = numbers((4, 5, 6), "float32")
    rows, columns = np.array([0, 3, 0, -1]), np.array([[1], [4]])
    keys: dict[str, Any] = {
        "first": (rows,), "second": (None, rows), "both": (rows, np.array([1, 0, 1, 2])),
        "apart": (rows, None, rows),
        "broadcast": (rows, columns), "scalar": (np.array(2),), "empty": (np.zeros((0,), np.int64),),
        "int32": (rows.astype("int32"),),
    }  # fmt: skip
    for note, key in keys.items():
        shape = x[tuple(slice(None) if each is None else each for each in key)].shape
        yield Sample("index", (x, key), note)
        yield Sample("index_put", (x, key, numbers(shape, "float32", 1), True), f"{note}-add")
        yield Sample("index_put", (x, key, 7.0, False), f"{note}-number")
    unique = (np.array([2, 0]),)
    yield Sample("index_put", (x, unique, numbers((2, 5, 6), "float32", 1), False), "values")
    positions = np.array([[0, 2, 1], [1, 1, 0]])
    small = numbers((4, 5), "float32")
    for axis in (0, 1):
        distinct = np.array([[0, 2, 1], [1, 3, 0]])
        values = numbers((2, 3), "float32", 2)
        yield Sample("gather", (small, positions, axis), f"{axis}")
        yield Sample("scatter", (small, distinct, values, axis), f"{axis}")
        yield Sample("scatter", (small, distinct, 5.0, axis), f"{axis}-number")
        yield Sample("scatter_add", (small, positions, values, axis), f"{axis}")
        for how in ("prod", "amax", "amin"):
            yield Sample("scatter_reduce", (small, positions, values, axis, how), f"{axis}-{how}")
    ties = np.array([[3.0, 1.0, np.nan, 1.0, 3.0], [0.0, -0.0, 0.0, np.inf, -np.inf]], "float32")
    for data, note in ((ties, "ties"), (numbers((3, 4), "int64"), "int64"), (small, "float32")):
        for descending in (False, True):
            for axis in (0, 1):
                where = f"{note}-{axis}{'-down' if descending else ''}"
                yield Sample("argsort", (data, axis, descending, True), where)
                yield Sample("sort", (data, axis, descending, False), where)
    yield Sample("nonzero", (np.array([[1, 0, 2], [0, 0, 3]]),))
    yield Sample("nonzero", (np.array([True, False, True]),), "bool")
    condition = np.array([True, False, True, False])
    for dtype in ("float32", "float64", "int64", "complex64"):
        yield Sample("where", (condition, numbers((3, 4), dtype), numbers((3, 1), dtype, 1)), dtype)
    yield Sample("where", (condition, numbers((4,), "float32"), 0.0), "number")


def _others() -> Iterator[Sample]:
    for source in ("bool", "uint8", "int32", "int64", "float32", "float64", "bfloat16", "complex64"):
        for target in (
            "bool",
            "int8",
            "uint8",
            "int32",
            "int64",
            "float16",
            "float32",
            "float64",
            "complex128",
        ):
            yield Sample("astype", (numbers((6,), source), Type(target)), f"{source}-{target}")
    yield Sample("complex", (special("float32"), special("float32")[::-1].copy()))
    yield Sample("complex", (numbers((3, 1), "float64"), numbers((2,), "float64")), "float64")
    yield Sample("copy", (numbers((3,), "float32"),))
    shapes = {"2d": ((3, 4), (4, 2)), "batch": ((5, 3, 4), (5, 4, 2)), "broadcast": ((5, 1, 3, 4), (2, 4, 3))}
    for dtype in (*FLOATS, "int64", "complex64"):
        for note, (a, b) in shapes.items():
            yield Sample("matmul", (numbers(a, dtype), numbers(b, dtype, 1)), f"{dtype}-{note}")
    x = special("float32")
    yield Sample("as_real", (numbers((2, 3), "complex64"),))
    yield Sample("as_complex", (numbers((3, 2), "float64"),))
    yield Sample("row_major", (numbers((3, 4), "float32").T,))
    yield Sample("zero_where", (numbers((3, 4), "float32"), numbers((3, 4), "bool")))
    yield Sample("zero_where", (np.full((70, 70), np.nan, "float32"), numbers((70, 70), "bool")), "large")
    yield Sample("clip", (x, -1.0, 2.0), "both")
    yield Sample("clip", (x, None, 2.0), "high")
    yield Sample("clip", (x, numbers((14,), "float32"), None), "array")
    for order in (1, 2):
        yield Sample("polygamma", (order, np.abs(x[2:11])), f"{order}")
    for note, (shape, strides, offset) in {
        "overlap": ((3, 3), (1, 1), 2), "apart": ((2, 3), (6, 2), 1), "repeat": ((4, 2), (0, 1), 3),
    }.items():  # fmt: skip
        yield Sample("as_strided", (numbers((3, 5), "float32"), shape, strides, offset), note)
        yield Sample("unstride", (numbers(shape, "float32"), (3, 5), strides, offset), note)
    target, weight = np.array([2, 0, 3, 2]), np.array([1.0, 0.5, 2.0, 0.25], "float32")
    scores = numbers((4, 4), "float32")
    for reduction in ("none", "sum", "mean"):
        for note, weights, ignored in (
            ("plain", None, -100),
            ("weights", weight, -100),
            ("ignore", weight, 2),
        ):
            g = numbers((4,) if reduction == "none" else (), "float32", 3)
            where = f"{reduction}-{note}"
            yield Sample("nll", (scores, target, weights, reduction, ignored), where)
            yield Sample("nll_adjoint", (g, target, weights, (4, 4), reduction, ignored), where)
    yield Sample("softplus", (x, 1.0, 20.0))
    yield Sample("softplus", (x * 10, 2.0, 3.0), "beta")
    yield from _large()
    yield from _ranks()


def _many(dtype: str = "float32", seed: int = 0) -> Any:
    """Enough numbers for the quick ways, with special ones among them."""
    many = numbers((70, 75), dtype, seed)
    many[3, :5] = [np.nan, np.inf, -np.inf, 0, -0.0]
    many[4, :5] = [np.inf, np.inf, -np.inf, np.nan, 0]
    return many


def _large() -> Iterator[Sample]:
    """Where NumPy's kernels take another way than for few numbers."""
    x, y = _many(), _many(seed=1)
    for dtype in ("float32", "float64", "float16", "complex64", "int32"):
        pair = [numbers((70, 75), dtype, seed) for seed in (0, 1)]
        condition = numbers((70, 75), "bool", 2)
        yield Sample("where", (condition, *pair), f"{dtype}-many")
        yield Sample("where", (condition, pair[0], np.zeros((), dtype)), f"{dtype}-many-number")
    yield Sample("where", (numbers((70, 1), "bool", 2), x, y), "many-broadcast")
    yield Sample("erf", (np.linspace(-5, 5, 5000, dtype="float32"),), "many")
    yield Sample("erf", (x * np.float32(1e-3),), "many-small")
    yield Sample("erf", (x.T,), "many-transposed")
    for name in ("log1p", "expm1", "sigmoid"):
        yield Sample(name, (x,), "many")
        yield Sample(name, ((x * np.float32(30)).T,), "many-transposed")
    yield Sample("logaddexp", (x, y), "many")
    yield Sample("logaddexp", (x * 100, np.zeros((), "float32")), "many-number")
    yield Sample("softplus", (x * 30, 1.0, 20.0), "many")
    for low, high in ((0, None), (None, 1.0), (-1.0, 0.5)):
        yield Sample("clip", (x, low, high), f"many-{low}-{high}")
    positions = numbers((60, 75), "int64", 3) % 50
    for axis in (0, 1):
        yield Sample("gather", (x, positions, axis), f"many-{axis}")
        yield Sample("scatter_add", (numbers((70, 75), "float32"), positions, y[:60], axis), f"many-{axis}")
    yield Sample("gather", (x.T, positions[:, :70], 0), "many-transposed")


def _ranks() -> Iterator[Sample]:
    plain, tied = numbers((70, 75), "float32"), np.round(_many() * 4) / 4
    for note, data in (("plain", plain), ("tied", tied), ("int32", numbers((70, 75), "int32")), ("few", plain[:4, :5])):
        for axis in (0, 1):
            for descending in (False, True):
                where = f"{note}-{axis}{'-down' if descending else ''}"
                yield Sample("argsort", (data, axis, descending, True), f"many-{where}")
                for k in (1, 3):
                    yield Sample("topk", (data, k, axis, descending), f"{where}-{k}")
            for rank in (0, 2, data.shape[axis] // 2):
                each = np.full(np.delete(np.array(data.shape), axis), rank)
                yield Sample("ranked", (data, np.expand_dims(each, axis), axis), f"{note}-{axis}-{rank}")
            each = np.arange(data.shape[1 - axis]) % data.shape[axis]
            yield Sample("ranked", (data, np.expand_dims(each, axis), axis), f"{note}-{axis}-several")


# name: (input, weight, stride, padding, dilation, groups)
CONVOLUTIONS: dict[str, Any] = {
    "1d": ((3, 4, 11), (5, 4, 4), (3,), (2,), (2,), 1),
    "2d": ((3, 4, 9, 8), (6, 4, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    "same": ((2, 4, 6, 6), (3, 4, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    "settings": ((3, 4, 9, 8), (6, 2, 3, 2), (2, 3), (1, 2), (2, 1), 2),
    "depthwise": ((2, 4, 9, 8), (4, 1, 3, 3), (2, 1), (1, 1), (1, 1), 4),
    "pointwise": ((2, 4, 5, 5), (3, 4, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    "3d": ((2, 2, 5, 6, 7), (4, 1, 3, 2, 2), (1, 2, 1), (1, 0, 1), (1, 1, 2), 2),
}

# name: (spatial, kernel, stride, padding, dilation, ceil_mode)
POOLS: dict[str, Any] = {
    "1d": ((9,), (3,), (2,), (1,), (1,), True),
    "2d": ((8, 8), (2, 2), (2, 2), (0, 0), (1, 1), False),
    "overlap": ((9, 8), (3, 3), (1, 2), (1, 1), (1, 1), False),
    "ceil": ((9, 8), (3, 2), (2, 3), (1, 1), (2, 1), True),
    "3d": ((5, 6, 7), (3, 2, 2), (2, 2, 2), (1, 0, 1), (1, 1, 1), True),
}


def _windows() -> Iterator[Sample]:
    from retrograd.backends.windows import convolved

    for note, (x_shape, w_shape, *settings, groups) in CONVOLUTIONS.items():
        stride, padding, dilation = settings
        out = convolved(x_shape[2:], w_shape[2:], stride, padding, dilation)
        for dtype in ("float32", "float64"):
            x, w = numbers(x_shape, dtype), numbers(w_shape, dtype, 1)
            g = numbers((x_shape[0], w_shape[0], *out), dtype, 2)
            where = f"{note}-{dtype}"
            yield Sample("convolution", (x, w, *settings, groups), where)
            yield Sample("convolution_input", (g, w, x_shape, *settings, groups), where)
            yield Sample("convolution_weight", (g, x, w_shape, *settings, groups), where)
    for note, (spatial, *settings) in POOLS.items():
        x = numbers((2, 3, *spatial), "float32")
        yield Sample("max_pool", (x, *settings), note)
        yield Sample("max_pool", (np.where(x > 2, np.nan, x).astype("float32"), *settings), f"{note}-nan")
        yield Sample("max_pool", (numbers((2, 3, *spatial), "int64"), *settings), f"{note}-int")
        yield Sample("max_pool", (np.full_like(x, -np.inf), *settings), f"{note}-infinite")


def _matrices() -> Iterator[Sample]:
    for dtype in ("float32", "float64", *COMPLEX):
        for note, shape in (("one", (3, 3)), ("stack", (2, 3, 3))):
            x = numbers(shape, dtype)
            definite = x @ x.conj().mT + np.eye(3, dtype=dtype)
            for name in ("cofactor", "det", "inv", "lu", "matrix_exp", "slogdet"):
                yield Sample(name, (x / 2,), f"{dtype}-{note}")
            yield Sample("cholesky", (definite,), f"{dtype}-{note}")
            yield Sample("solve", (x, numbers((*shape[:-1], 2), dtype, 1)), f"{dtype}-{note}")
            yield Sample("solve_triangular", (x, x, True, False), f"{dtype}-{note}")
            yield Sample("solve_triangular", (x, x, False, True), f"{dtype}-{note}-unit")
            yield Sample("eigh", (definite, False), f"{dtype}-{note}")
    # Of LAPACK on both sides, and so with the same signs.
    yield Sample("eig", (numbers((2, 3, 3), "float64"),))
    yield Sample("eigh", (numbers((3, 3), "float64"), True), "upper")
    for mode in ("reduced", "complete"):
        yield Sample("qr", (numbers((2, 4, 2), "float64"), mode), mode)
    yield Sample("geqrf", (numbers((2, 4, 2), "complex64"),), "tall")
    yield Sample("geqrf", (numbers((2, 4), "float64"),), "wide")
    for hermitian in (False, True):
        x = numbers((2, 4, 4), "complex128") * (1 - np.eye(4))  # which has blocks of two rows
        packed = kernels_of("numpy").ldl(x, hermitian)
        yield Sample("ldl", (x, hermitian), f"hermitian {hermitian}")
        yield Sample("ldl_solve", (packed[0], packed[1], x[..., :2], hermitian), f"hermitian {hermitian}")
    for full in (False, True):
        yield Sample("svd", (numbers((2, 2, 3), "float64"), full), f"full {full}")
    singular = np.ones((2, 2, 2)) * [[[1]], [[0]]] + [[[0, 0], [0, 1]], [[0, 0], [0, 0]]]
    yield Sample("cofactor", (np.ones((2, 2)),), "singular")
    yield Sample("cholesky", (singular - np.eye(2),), "not definite")
    yield Sample("slogdet", (singular,), "singular")
    yield Sample("matrix_exp", (np.zeros((0, 0)),), "empty")
    yield Sample("lu", (numbers((2, 3), "float64"),), "wide")


def _transforms() -> Iterator[Sample]:
    for dtype in ("float32", "float64", *COMPLEX):
        for axes in ((), (0,), (1, 2), (2, 0, 1)):
            for inverse in (False, True):
                yield Sample("fft", (numbers((2, 3, 5), dtype), axes, inverse), f"{dtype}-{axes}-{inverse}")


def all_samples() -> list[Sample]:
    """The whole table."""
    families: tuple[Callable[[], Iterator[Sample]], ...] = (
        _elementwise, _binary, _creation, _shapes, _reductions, _indexing, _others, _windows, _matrices,
        _transforms,
    )  # fmt: skip
    return [sample for family in families for sample in family()]
