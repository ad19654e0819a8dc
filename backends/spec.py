"""The contract between the graph core and an array library.

A backend is a pluggy plugin: a module with `@hookimpl` functions, found through the entry-point
group `retrograd`. It yields a `BackendSpec`, a small record that costs nothing to make; the
backend's library is imported only when the backend is first used. From then on the core talks to
a `Kernels` object, whose attributes are plain functions on raw arrays: no hook is called per
operation.

A kernel knows nothing of tensors, graphs or views. It gets arrays of the shapes and types it is
documented for, with axes already non-negative, and returns a new array (or one that shares memory
with its input, which the core takes care of). Axes are ints or tuples of ints; `dtype` arguments
are the library's own, from `Kernels.dtypes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol

import pluggy

from retrograd.backends.float8 import FLOAT8

__all__ = ["OPTIONAL", "REQUIRED", "Backend", "BackendSpec", "Hooks", "Kernels", "hookimpl", "hookspec"]

PROJECT: Final = "retrograd"
hookspec: Final = pluggy.HookspecMarker(PROJECT)
hookimpl: Final = pluggy.HookimplMarker(PROJECT)

_UNARY = (
    "abs acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh erf erfinv exp expm1 floor imag "
    "isfinite isinf isnan lgamma digamma log log10 log1p log2 logical_not negative real round sign sin sinh "
    "sqrt tan tanh trunc"
)
_BINARY = (
    "add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign divide "
    "equal floor_divide fmod greater greater_equal hypot less less_equal logaddexp logical_and logical_or "
    "logical_xor maximum minimum multiply nextafter not_equal pow remainder subtract"
)
_CREATE = "arange empty eye full linspace ones zeros zeros_like"
_SHAPE = (
    "broadcast_to concat diagonal flip pad permute_dims reshape roll slice slice_assign stack tril triu "
    "undiagonal unslice"
)
_REDUCE = "all any argmax argmin cumprod cumsum max min prod sum"
_INDEX = "argsort gather index index_put nonzero scatter scatter_add sort where"
_OTHER = "astype complex copy from_host matmul random_bits to_host"

REQUIRED: Final[frozenset[str]] = frozenset(
    " ".join((_UNARY, _BINARY, _CREATE, _SHAPE, _REDUCE, _INDEX, _OTHER)).split()
)
"""What every backend must offer, named as in the Python array API standard where that has a name."""

OPTIONAL: Final[frozenset[str]] = frozenset(
    "as_complex as_real as_strided clip convolution convolution_input convolution_weight erfc fft gcd "
    "log_softmax logsumexp max_pool mean nll nll_adjoint polygamma ranked reciprocal row_major rsqrt scatter_reduce "
    "sigmoid softmax softplus square topk unstride zero_where "
    "cholesky cofactor det eig eigh geqrf inv ldl ldl_solve lu matrix_exp qr slogdet solve solve_triangular "
    "svd".split()
)
"""Fused kernels: where a backend has none, the core composes it from required ones.

Their arguments are those of the functions in `retrograd.ops.decompositions`, after `K`.
"""


_REAL = ("float16", "bfloat16", "float32", "float64")
_INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")


class Kernels:
    """The resolved table of one device: every kernel is an attribute.

    Attributes
    ----------
    backend, device
        Their names, for example `"numpy"` and `"cpu"`.
    array_type
        The exact type of the library's arrays. A kernel that returns something else (NumPy gives
        scalars for 0-d results) has it passed through `as_array`.
    as_array
        Makes an array of such a result.
    mutable
        Whether arrays can be written in place (then `assign(array, value)` must exist, and views
        made by `slice`, `reshape`, `permute_dims`, `broadcast_to` and `diagonal` share memory where
        the layout allows). Immutable libraries get in-place semantics from the core.
    takes_out
        Of a mutable library: the elementwise kernels that take, after their inputs, the array to write to.
    rounds_once
        The elementwise kernels that compute with numbers of 16 bits as if in float32, and round the result. With
        others the core does that.
    dtypes
        Native dtype by retrograd's name for it.
    names
        The reverse: retrograd's name by native dtype.
    floats
        The native real floating types that are computed with as they are: a Python number takes the array's type.
    widening
        The others of them, as a rule those of 16 bits: the core brings results and gradients back to them where they
        were computed in float32. Computed from `dtypes` and `floats`.
    halves
        Those of 16 bits or less. Computed from `dtypes`.
    float8
        The native floating types of 8 bits, which operators keep and move, and few compute with. Computed from
        `dtypes`.
    discrete, counting
        The native types of integers and bools, and those of integers into which a Python int mostly fits.
        Computed from `dtypes`.
    is_contiguous
        None, or of a mutable library a function of an array: whether its elements lie in row-major order without
        holes, whatever the strides of dimensions of one element.
    in_order_of
        None, or of a mutable library whose arrays tell `flags.c_contiguous` a function of the result of an elementwise
        kernel and of its arguments, one of which does not lie row by row: the result in PyTorch's order of axes.
    searchsorted
        None, or a function of a sorted vector, values of its type and a bool: where each would be put, in front of or
        behind what is equal, as int64. NaN is greater than all numbers.
    bincount
        None, or a function of a vector of int64 and a number: how often each of 0, 1, ... below that occurs, as int64.
    running
        None, or a function of an array, an axis and a bool: the largest so far, or else the smallest; NaN is both.
    running_logsumexp
        None, or a function of a real array and an axis: the logarithm of the sum of the exponentials so far.
    assign_at
        None, or of a mutable library a function of an array, an array of bools of its shape or of integers, and a
        value: writes it to the elements, or the parts along the first axis, that these name. Raises before it writes.
    in_blocks
        None, or of a mutable library a function of a table of kernels, of an elementwise function of such and of
        arguments, and of these arguments, the first of which is an array: writes to that what the function gives, block
        by block and without more memory than for some of them, or leaves it as it is and returns False.
    within
        None, or a function of an array of integers that has elements, and a size: whether all are from 0 to that - 1.
    sliding
        None, or of a mutable library a function of an array, an axis, a size and a step: the view of all windows, with
        the window as the last axis.
    reinterpret
        None, or of a mutable library a function of an array and a native type: its memory as elements of that type.
    compile
        None, or a function that compiles a formula over arrays (`jax.jit`): the core then calls
        whole derivative formulas through it.
    wait
        None, or of a library that computes ahead a function that returns when the device has done all it was asked for.
    quiet
        A context in which floating-point conditions make no warnings.
    level, base
        0, and the table itself; `vmap` makes tables of higher levels on top of a backend's own, which is
        the `base` of them all.
    meta
        Whether its arrays have no elements (`retrograd.meta`): what asks for their values is left out or refused.
    sparse, dense
        Whether it is a table of sparse tensors (`retrograd.sparse.table`), and the table of dense ones at its side:
        itself, if it is not.
    """

    level = 0
    meta = False
    sparse = False

    backend: str
    device: str
    array_type: type
    as_array: Callable[[Any], Any]
    mutable: bool
    dtypes: Mapping[str, Any]
    names: Mapping[Any, str]
    floats: frozenset[Any]
    widening: frozenset[Any]
    halves: frozenset[Any]
    float8: frozenset[Any]
    discrete: frozenset[Any]
    counting: frozenset[Any]
    takes_out: frozenset[Any] = frozenset()
    rounds_once: frozenset[Any] = frozenset()
    is_contiguous: Callable[[Any], bool] | None = None
    in_order_of: Callable[[Any, Sequence[Any]], Any] | None = None
    searchsorted: Callable[[Any, Any, bool], Any] | None = None
    assign_at: Callable[[Any, Any, Any], None] | None = None
    in_blocks: Callable[[Any, Callable[..., Any], Sequence[Any]], bool] | None = None
    within: Callable[[Any, int], bool] | None = None
    bincount: Callable[[Any, int], Any] | None = None
    running: Callable[[Any, int, bool], Any] | None = None
    running_logsumexp: Callable[[Any, int], Any] | None = None
    sliding: Callable[[Any, int, int, int], Any] | None = None
    reinterpret: Callable[[Any, Any], Any] | None = None
    compile: Callable[..., Any] | None = None
    wait: Callable[[], None] | None = None

    def __init__(self, backend: str, device: str, **members: Any) -> None:
        self.backend = backend
        self.device = device
        self.quiet: Callable[[], AbstractContextManager[Any]] = nullcontext
        for name, member in members.items():
            setattr(self, name, member)
        self.dtypes = NativeTypes(backend, self.dtypes)
        reals = {self.dtypes[name] for name in _REAL if name in self.dtypes}
        self.widening = frozenset(reals - self.floats)
        self.halves = frozenset(self.dtypes[name] for name in ("float16", "bfloat16", *FLOAT8) if name in self.dtypes)
        self.float8 = frozenset(self.dtypes[name] for name in FLOAT8 if name in self.dtypes)
        self.discrete = frozenset(self.dtypes[name] for name in ("bool", *_INTEGERS) if name in self.dtypes)
        self.counting = frozenset(self.dtypes[name] for name in ("int32", "int64") if name in self.dtypes)

    @property
    def base(self) -> Kernels:
        return self

    @property
    def dense(self) -> Kernels:
        return self

    def __repr__(self) -> str:
        return f"<kernels of {self.backend}:{self.device}>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"backend {self.__dict__.get('backend')!r} has no kernel {name!r}; kernels are listed in "
            f"retrograd.backends.spec.REQUIRED and OPTIONAL"
        )


class NativeTypes(dict[str, Any]):
    """The native types of a backend by retrograd's names; one that the library lacks is an error that says so."""

    def __init__(self, backend: str, types: Mapping[str, Any]) -> None:
        super().__init__(types)
        self.backend = backend

    def __missing__(self, name: str) -> NoReturn:
        raise TypeError(
            f"the arrays of backend {self.backend!r} cannot be of type {name}: its types are {', '.join(self)}"
        )


class Backend(Protocol):
    """What `BackendSpec.load` returns."""

    def devices(self) -> tuple[str, ...]:
        """Names of the devices present, the default first: `("cpu",)`, `("gpu:0", "cpu:0")`."""

    def kernels(self, device: str) -> Kernels:
        """The table for one of them."""


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """A backend before it is loaded.

    Attributes
    ----------
    name
        What users write: `use_backend(name)`, `tensor.to(name)`.
    load
        Imports the library and returns the `Backend`. May raise ImportError.
    install
        The command that brings a missing library, shown in the error: `pip install retrograd[jax]`.
    """

    name: str
    load: Callable[[], Backend]
    install: str = ""


class Hooks:
    """Hook specifications. A plugin module implements one or both."""

    @hookspec
    def retrograd_backends(self) -> Iterable[BackendSpec]:  # type: ignore[empty-body]
        """Yield the backends this plugin offers.

        Example of a plugin's module::

            from retrograd.backends.spec import BackendSpec, hookimpl

            @hookimpl
            def retrograd_backends():
                yield BackendSpec("mylib", load=lambda: MyBackend(), install="pip install mylib")
        """

    @hookspec
    def retrograd_kernels(self, backend: str, kernels: Kernels) -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
        """Return kernels that add to or replace those of `backend`, by name.

        Called once per device, when its table is made. `kernels` is the table so far, so that a
        replacement can call what it replaces.

        Example of a plugin's module::

            @hookimpl
            def retrograd_kernels(backend, kernels):
                if backend != "numpy":
                    return {}
                original = kernels.matmul
                return {"matmul": lambda a, b: original(a, b)}
        """
