"""One table of operators, from which tests/test_ops.py makes its tests.

To add an operator, add an `OpInfo` to a table here: its name as in the namespace (dotted, for
`nn.functional.x`), and samples of its arguments. `A(shape)` stands for an array of float64 random
numbers in [low, high), away from kinks of the function; the same on every library. Every sample runs
on every backend, is compared with PyTorch, and if differentiable, so are its first and second
derivative, which finite differences check too. So keep arrays small, and samples few: what differs
in kind (a dimension given or not, broadcast or not), not in size.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["OPS", "A", "OpInfo", "Sample", "s"]


@dataclass(frozen=True)
class A:
    """An array among the arguments.

    Attributes
    ----------
    shape
        Its shape.
    low, high
        The interval of its elements.
    dtype
        float64, complex128, an integer type or `"bool"`.
    values
        The elements themselves instead, nested as `tensor()` takes them.
    grad
        Whether to differentiate by it; only floats and complex numbers are.
    distinct
        Whether its elements are well apart, for what sorts or selects.
    """

    shape: tuple[int, ...] = ()
    low: float = -2.0
    high: float = 2.0
    dtype: str = "float64"
    values: Any = None
    grad: bool = True
    distinct: bool = False

    def make(self, seed: int) -> np.ndarray[Any, Any]:
        if self.values is not None:
            return np.asarray(self.values, self.dtype)
        random = np.random.default_rng(seed)
        if self.dtype == "bool":
            return random.random(self.shape) < 0.5
        if self.dtype.startswith(("int", "uint")):
            return random.integers(int(self.low), int(self.high), self.shape).astype(self.dtype)
        if self.dtype.startswith("complex"):
            return np.asarray(random.uniform(self.low, self.high, (*self.shape, 2)) @ [1, 1j])
        if self.distinct:
            size = int(np.prod(self.shape))
            steps = random.permutation(size) + random.uniform(0.2, 0.8, size)
            return (self.low + (self.high - self.low) * steps / max(size, 1)).reshape(self.shape)
        return np.asarray(random.uniform(self.low, self.high, self.shape))

    @property
    def is_differentiable(self) -> bool:
        return self.grad and self.dtype.startswith(("float", "complex"))


@dataclass(frozen=True)
class Sample:
    """The arguments of one call; arrays stand in them as `A`, lists of arrays as lists."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)

    def arrays(self, name: str) -> list[np.ndarray[Any, Any]]:
        """The arrays' values, in order; the same for the same operator in every run."""
        seed = zlib.crc32(name.encode())
        return [each.make(seed + i) for i, each in enumerate(self.specs())]

    def specs(self) -> Iterator[A]:
        for each in (*self.args, *self.kwargs.values()):
            yield from _specs(each)

    def filled(self, tensors: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments with `tensors` in the places of the arrays."""
        left = iter(tensors)
        args = [_fill(each, left) for each in self.args]
        return args, {name: _fill(each, left) for name, each in self.kwargs.items()}

    def __repr__(self) -> str:
        return ",".join(map(str, self.args))


def _specs(value: Any) -> Iterator[A]:
    if isinstance(value, A):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _specs(each)


def _fill(value: Any, tensors: Iterator[Any]) -> Any:
    if isinstance(value, A):
        return next(tensors)
    return [_fill(each, tensors) for each in value] if isinstance(value, list) else value


def s(*args: Any, **kwargs: Any) -> Sample:
    """A sample: `s(A((2, 3)), 1, keepdim=True)`."""
    return Sample(args, kwargs)


@dataclass(frozen=True)
class OpInfo:
    """An operator under test.

    Attributes
    ----------
    name
        Where it is in the namespace.
    samples
        Calls to compare.
    differentiable
        Whether derivatives are compared. `second`: the second ones too.
    fd
        Whether finite differences are taken. Not where a function is piecewise constant in a way
        that its formula is not the derivative of.
    method
        Whether to call it as a method of the first argument.
    node
        Whether the last node must be PyTorch's; not where only PyTorch's own kernels differ.
    rtol
        Relative tolerance against PyTorch, in float64.
    """

    name: str
    samples: tuple[Sample, ...]
    differentiable: bool = True
    second: bool = True
    fd: bool = True
    method: bool = False
    node: bool = True
    rtol: float = 1e-9

    def __call__(self, module: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if self.method:
            return getattr(args[0], self.name)(*args[1:], **kwargs)
        function = module
        for part in self.name.split("."):
            function = getattr(function, part)
        return function(*args, **kwargs)

    def __str__(self) -> str:
        return self.name


V, M, C = (5,), (2, 3), (2, 1)


def op(name: str, *samples: Sample, **options: Any) -> OpInfo:
    return OpInfo(name, samples, **options)


def unary(names: str, low: float = -2.0, high: float = 2.0, **options: Any) -> list[OpInfo]:
    """Functions of one array, on an interval where they are smooth."""
    return [op(name, s(A(M, low, high)), **options) for name in names.split()]


def binary(names: str, low: float = -2.0, high: float = 2.0, **options: Any) -> list[OpInfo]:
    """Functions of two arrays: of one shape, and broadcast."""
    samples = (s(A(M, low, high), A(M, low, high)), s(A((3,), low, high), A(C, low, high)))
    return [OpInfo(name, samples, **options) for name in names.split()]


def number(name: str, low: float = -2.0, high: float = 2.0, value: float = 1.7, **options: Any) -> OpInfo:
    """A function of an array and a number."""
    return op(name, s(A(M, low, high), value), **options)


ELEMENTWISE = [
    *unary("neg abs sgn exp exp2 expm1 sin cos sinh cosh tanh asinh atan erf erfc sigmoid square sinc relu frac"),
    *unary("ceil floor trunc round sign", fd=False),
    *unary("log log2 log10 log1p sqrt rsqrt reciprocal lgamma digamma", 0.3, 3.0),
    *unary("asin acos atanh erfinv", -0.8, 0.8),
    *unary("tan deg2rad rad2deg nan_to_num positive", -1.2, 1.2),
    *unary("acosh", 1.2, 3.0),
    *unary("logit", 0.1, 0.9),
    *unary("isnan isinf isfinite isposinf isneginf isreal signbit logical_not", differentiable=False),
    *binary("add sub mul atan2 maximum minimum fmax fmin hypot logaddexp logaddexp2 rsub"),
    *binary("div true_divide remainder fmod", 0.4, 2.0),
    *binary("pow xlogy", 0.4, 2.0),
    *binary("copysign"),
    *binary("eq ne lt le gt ge logical_and logical_or logical_xor isclose", differentiable=False),
    op("equal", s(A(M), A(M)), differentiable=False),
    op("allclose", s(A(M), A(M)), differentiable=False),
    op("add", s(A(M), A(M), alpha=0.5), s(A(M), 2), s(3, A(M)), s(A(), A(M)), s(A((0, 3)), A((3,)))),
    op("sub", s(A(M), A(M), alpha=0.5), s(A(M), 2), s(A(), A())),
    op("rsub", s(A(M), 2), s(A(M), A(M), alpha=0.5)),
    op("mul", s(A(M), -1.5), s(A(M), A()), s(A(values=[]), 2.0)),
    op(
        "div",
        s(A(M), 3),
        s(A(M), A(M, 0.5), rounding_mode="floor"),
        s(A(M), 0.7, rounding_mode="trunc"),
        fd=False,
    ),
    number("div"),
    number("remainder", 0.2, 1.5),
    number("fmod", 0.2, 1.5),
    op("pow", s(A(M), 2), s(A(M), 3), s(A(M, 0.3), 0.5), s(A(M, 0.3), -1), s(A(M, 0.3), 2.5), s(2.0, A(M))),
    op("pow", s(A(M), 0), s(A(values=[0.0, 1.0]), 1), s(A(values=[0.0, 2.0]), 2), s(0.0, A(M, 0.5)), fd=False),
    op(
        "pow",
        s(A(values=[0.0, 2.0]), A(values=[2.0, 0.0])),
        s(A(values=[0.0]), A(values=[0.0])),
        fd=False,
        second=False,
    ),
    op("float_power", s(A(M, 0.3), 2), s(A(M, 0.3), A(M))),
    op("xlogy", s(A(M), 1.5), s(1.5, A(M, 0.3)), s(A(values=[0.0, 1.0]), A(values=[0.5, 2.0]))),
    op("xlogy", s(A(values=[0.0, 0.0]), A(values=[0.0, 2.0])), fd=False, second=False),
    op("abs", s(A(values=[0.0, -1.0])), fd=False),
    op("relu", s(A(values=[0.0, -1.0, 1.0])), fd=False),
    op("sinc", s(A(values=[0.0, 1.0])), fd=False, second=False),
    op("hypot", s(A(values=[3.0, 0.0]), A(values=[4.0, 1.0]))),
    op("atan2", s(A(values=[0.0, 1.0]), A(values=[0.0, 0.0])), fd=False, second=False),
    op("maximum", s(A(values=[1.0, 2.0]), A(values=[1.0, 3.0])), fd=False),
    op("minimum", s(A(values=[1.0, 2.0]), A(values=[1.0, 3.0])), fd=False),
    op("fmax", s(A(values=[1.0, np.nan]), A(values=[1.0, 3.0])), fd=False),
    op(
        "clamp",
        s(A(M), -0.5, 0.5),
        s(A(M), min=0.1),
        s(A(M), max=0.1),
        s(A(M), A((3,)), A(C, 2, 3)),
        s(A(M), A(M)),
    ),
    op("clamp", s(A(values=[-1.0, 0.0, 1.0, 2.0]), 0, 1), s(A(M), 1, -1), fd=False),
    op("clip", s(A(M), -0.5, 0.5)),
    op("clamp_min", s(A(M), 0.1), s(A(M), A(M)), method=True),
    op("clamp_max", s(A(M), 0.1), s(A(M), A(M)), method=True),
    op("round", s(A(M), decimals=1), s(A(M, -200, 200), decimals=-2), fd=False),
    op("logit", s(A(M, -0.2, 1.2), 0.1), fd=False),
    op("lerp", s(A(M), A(M), 0.3), s(A(M), A(M), 0.8), s(A(M), A((3,)), A(M))),
    op("addcmul", s(A(M), A(M), A((3,)), value=0.5)),
    op("addcdiv", s(A(M), A(M), A((3,), 0.5), value=0.5)),
    op("copysign", s(A(M), -1.0)),
    op("copysign", s(A(values=[0.0, 2.0]), A(values=[-1.0, -0.0])), fd=False, second=False),
    op("ldexp", s(A(M), A(M))),
    op("heaviside", s(A(M), A((3,))), s(A(values=[0.0, 1.0]), A(values=[0.5, 0.5])), differentiable=False),
    op("nextafter", s(A(M), A(M)), fd=False),
    op("floor_divide", s(A(M), A(M, 0.5)), s(A(M), 0.7), differentiable=False),
    op("polygamma", s(1, A(M, 0.5)), s(2, A(M, 0.5))),
    op(
        "nan_to_num",
        s(A(values=[1.0, np.nan, np.inf, -np.inf])),
        s(A(values=[np.nan, np.inf]), 1.0, 2.0),
        fd=False,
    ),
]

_I = A(M, -9, 9, "int64")
_J = A(M, 1, 9, "int64")
INTEGER = [
    *(op(name, s(_I, _J), s(_J, 3), differentiable=False) for name in "bitwise_and bitwise_or bitwise_xor".split()),
    *(
        op(name, s(_I, A(M, 0, 5, "int64")), differentiable=False)
        for name in ("bitwise_left_shift", "bitwise_right_shift")
    ),
    *(
        op(name, s(_I, _J), s(A((3,), 0, 60, "int32"), A(C, 0, 60, "int32")), differentiable=False)
        for name in ("gcd", "lcm")
    ),
    op("bitwise_not", s(_I), s(A(M, dtype="bool")), differentiable=False),
    op("floor_divide", s(_I, _J), s(_I, 4), differentiable=False),
    op("remainder", s(_I, _J), s(_I, 4), s(7, _J), differentiable=False),
    op("fmod", s(_I, _J), s(_I, 4), differentiable=False),
    op(
        "div",
        s(_I, _J),
        s(_I, _J, rounding_mode="trunc"),
        s(_I, _J, rounding_mode="floor"),
        differentiable=False,
    ),
    op("pow", s(_I, 2), s(_J, A(M, 0, 3, "int64")), s(2, _J), s(A(M, dtype="bool"), 2), differentiable=False),
]

X = A((3, 4), distinct=True)
X3 = A((2, 3, 2), distinct=True)
REDUCTIONS = [
    op("sum", s(X), s(X, 1), s(X3, (0, 2)), s(X, -1, keepdim=True), s(A(), 0), s(A((0, 3)), 0)),
    op("sum", s(_I), s(_I, 1), s(A(M, dtype="bool")), differentiable=False),
    op("nansum", s(X), s(X, 1, keepdim=True), s(A(values=[1.0, np.nan])), fd=False),
    op("mean", s(X), s(X, 1), s(X3, (0, 2), keepdim=True), s(A())),
    op("nanmean", s(X), s(A(values=[[1.0, np.nan], [2.0, 3.0]]), 1), fd=False),
    op("prod", s(X), s(X, 1), s(X, 0, keepdim=True), s(A())),
    op("prod", s(A(values=[2.0, 0.0, 3.0])), s(A(values=[[2.0, 0.0, 0.0], [1.0, 0.0, 4.0]]), 1)),
    op("var", s(X), s(X, 1), s(X, 1, correction=0, keepdim=True), s(X3, (0, 2)), s(X, unbiased=False)),
    op("std", s(X), s(X, 1), s(X, 1, correction=0, keepdim=True), s(X3, (0, 2))),
    op("std", s(A((1,))), s(A(values=[[1.0, 1.0]]), 1), fd=False, second=False),
    op("var_mean", s(X), s(X, 1)),
    op("std_mean", s(X), s(X, 1, keepdim=True)),
    op("norm", s(X), s(X, 1), s(X, 2, 1), s(X, np.inf), s(X, 3, 0, True), s(X, 1.5), s(X, -np.inf), s(X, 0)),
    op(
        "norm",
        s(A(values=[0.0, 0.0])),
        s(A(values=[0.0, 0.0]), 1),
        s(A(values=[0.0, 0.0]), 3),
        fd=False,
        second=False,
    ),
    op("logsumexp", s(X, 1), s(X3, (0, 2), keepdim=True), s(X, 0)),
    op("softmax", s(X, 1), s(X, 0), s(A(), 0)),
    op("log_softmax", s(X, 1), s(X, 0)),
    op("all", s(_I), s(_I, 1), s(A(M, dtype="bool"), 0, keepdim=True), differentiable=False),
    op("any", s(_I), s(_I, 1), s(A(M, dtype="bool"), 0, keepdim=True), differentiable=False),
    op("count_nonzero", s(_I), s(_I, 1), differentiable=False),
    op("max", s(X), s(X, 1), s(X, 0, keepdim=True), s(X, X), s(A(), 0)),
    op("min", s(X), s(X, 1), s(X, 0, keepdim=True), s(X, X)),
    op("max", s(A(values=[1.0, 3.0, 3.0])), s(A(values=[[1.0, 3.0, 3.0]]), 1), fd=False),
    op("amax", s(X), s(X, 1), s(X3, (0, 2), keepdim=True), s(A(values=[[1.0, 3.0, 3.0]]), 1), fd=False),
    op("amin", s(X), s(X, 1)),
    op("aminmax", s(X), s(X, dim=1, keepdim=True)),
    op("argmax", s(X), s(X, 1), s(A(values=[1.0, 3.0, 3.0])), differentiable=False),
    op("argmin", s(X), s(X, 1, keepdim=True), differentiable=False),
    op("sort", s(X), s(X, 0, True), s(A())),
    op("argsort", s(X), s(X, 0, descending=True), differentiable=False),
    op("msort", s(X)),
    op("topk", s(X, 2), s(X, 2, 0, largest=False)),
    op("kthvalue", s(X, 2), s(X, 1, 0, True)),
    op("median", s(X), s(X, 1), s(X, 0, True), s(A(values=[[1.0, np.nan, 2.0]]), 1), fd=False),
    op("nanmedian", s(X), s(X, 1), s(A(values=[[1.0, np.nan, 2.0]]), 1), fd=False),
    op("mode", s(A(values=[[2.0, 1.0, 2.0, 1.0, 3.0]])), s(X, 0, True), fd=False),
    op("quantile", s(X, 0.3), s(X, 0.6, 1, True), s(X, A(values=[0.1, 0.5], grad=False), 0)),
    op("cumsum", s(X, 1), s(X, 0), s(A(), 0)),
    op("cumprod", s(X, 1), s(A(values=[2.0, 0.0, 3.0, 0.0]), 0), s(A(values=[2.0, 0.0, 3.0]), 0)),
    op("cummax", s(X, 1), s(A(values=[1.0, 1.0, np.nan, 3.0]), 0), fd=False),
    op("cummin", s(X, 0), s(A(values=[1.0, 1.0, 0.5, 0.5]), 0), fd=False),
    op("logcumsumexp", s(X, 1), s(X, 0)),
    op("unique", s(A((6,), 0, 4, "int64")), s(A((6,), 0, 4, "int64"), True, True, True), differentiable=False),
    op("unique", s(A((5, 2), 0, 2, "int64"), True, True, True, 0), differentiable=False),
]

Z = A((4,), 0.3, 1.5, "complex128")
COMPLEX = [
    *(op(name, s(Z)) for name in "abs angle sgn conj exp log sqrt sin cosh tanh acosh asin reciprocal square".split()),
    *(op(name, s(Z)) for name in "real imag view_as_real neg sum mean prod var std norm isreal isnan".split()),
    *(op(name, s(Z, Z), s(Z, A((4,)))) for name in "add mul div".split()),
    op("pow", s(Z, 3), s(Z, A((4,))), s(2, Z)),
    op("complex", s(A(M), A(M))),
    op("polar", s(A(M, 0.3), A(M))),
    op("view_as_complex", s(A((3, 2)))),
    op("cumprod", s(Z, 0)),
]

OPS: list[OpInfo] = [*ELEMENTWISE, *INTEGER, *REDUCTIONS, *COMPLEX]
