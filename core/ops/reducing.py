"""What all reductions share: NumPy's names for their arguments, `out=`, and the way back of gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from retrograd.autograd.modes import current_mode
from retrograd.autograd.tangents import refuse_out
from retrograd.dtypes import DTYPES, Category, dtype, int64
from retrograd.levels import innermost_vmap
from retrograd.ops.batching import leading
from retrograd.ops.declare import composite
from retrograd.ops.flags import Flags, unflagged
from retrograd.ops.graph import graph_kernel
from retrograd.ops.out_types import check_out_type
from retrograd.overrides import overridden
from retrograd.resizing import put
from retrograd.storage import refuse_overlap, sign

__all__ = [
    "as_dtype",
    "category",
    "counted",
    "deliver",
    "expand",
    "into",
    "native",
    "reduction",
    "refuse_out_of_random",
    "restored",
    "summed_as",
    "taking_out",
    "widened",
]

_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim", "x": "input"}
_HALVES = frozenset(("float16", "bfloat16"))
_APART = {
    **dict.fromkeys("cat column_stack dstack hstack index_select nonzero stack take vstack".split(), None),
    **dict.fromkeys("gather kthvalue masked_select take_along_dim".split(), 1),
}
"""Functions that read at other places than they write, so that `out` may share nothing with their inputs; how many of
these, counted from the first, if it is not all."""
_FREE = frozenset(
    """
    all amax amin any argmax argmin bucketize count_nonzero cummax cummin diag log_softmax logsumexp mean median nanmean
    nanmedian nansum norm prod quantile searchsorted softmax std sum tril triu var linalg_norm linalg_vector_norm
""".split()
)
"""Functions that read all that there is before they write, or do not ask."""
_RANDOM = frozenset(("bernoulli", "multinomial"))
_UNUSUAL = frozenset((*_NUMPY_NAMES, "out"))


def refuse_out_of_random() -> None:
    """Refuse `out=` of a function that draws random numbers inside `vmap`, as PyTorch does."""
    if innermost_vmap() is not None:
        raise RuntimeError(
            "vmap: We do not support calling out variants of random operations inside of vmap. Please use non-out "
            "variants as a workaround"
        )


def reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    """Export a composite that also takes `axis` for `dim`, `keepdims` for `keepdim`, and `out=`."""
    return composite(taking_out(function))


def taking_out(function: Callable[..., Any], method: bool = True) -> Callable[..., Any]:
    """The same function, which takes `out=` and NumPy's names for arguments too, and for flags bools alone.

    With `method` it is one of Tensor too, whose arguments are counted from the second.
    """
    function = unflagged(function)
    flags = Flags(function, function.__name__, method)
    first, last = flags.first, flags.first + 1
    looked_at: dict[str, type | None] = {**dict.fromkeys(_UNUSUAL), **dict.fromkeys(flags.kinds, bool)}

    @functools.wraps(function)
    def public(*args: Any, **kwargs: Any) -> Any:
        try:
            if len(args) <= first or (len(args) == last and type(args[first]) is bool):
                if not kwargs:
                    return function(*args)
                for name in kwargs:
                    if name in looked_at and type(kwargs[name]) is not looked_at[name]:
                        break
                else:
                    return function(*args, **kwargs)
            return _unusually(function, flags, args, **kwargs)
        except (AttributeError, TypeError):
            if (result := overridden(public, args, kwargs)) is NotImplemented:
                raise
            return result

    return public


def _unusually(function: Callable[..., Any], flags: Flags, args: Any, out: Any = None, **kwargs: Any) -> Any:
    given = {_NUMPY_NAMES.get(name, name): value for name, value in kwargs.items()}
    flags.check(args, given)
    if out is not None and function.__name__ in _RANDOM:
        refuse_out_of_random()
    result = function(*args, **given)
    if out is None:
        return result
    if not isinstance(result, (tuple, list)):
        return deliver(function.__name__, out, result, args)
    written = [deliver(function.__name__, *pair, args, several=True) for pair in zip(out, result, strict=True)]
    return type(result)(*written) if hasattr(result, "_fields") else type(result)(written)


def deliver(name: str, out: Any, result: Any, inputs: Any = (), several: bool = False) -> Any:
    """Write a result, or one of `several`, into `out`, which is resized if its shape differs.

    Raises
    ------
    RuntimeError
        If the types do not fit, one requires a gradient, or `out` shares memory with itself or `inputs`.
    """
    if current_mode().grad and (out._edge is not None or result._edge is not None):
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of "
            "the arguments requires grad."
        )
    refuse_out(name, (out, result))
    # Under autocast the result may have the lower type, which PyTorch's would not have.
    check_out_type(name, out.dtype if current_mode().autocast is not None else result.dtype, out.dtype, several)
    apart = name in _APART
    read = () if name in _FREE else _tensors_in(inputs[: _APART[name]] if apart else inputs)
    refuse_overlap(out, read, apart)
    k, array = out._kernels, as_dtype(out._kernels, result._array, out._array.dtype)
    if k.mutable and result._tensor_meta is not None and array is result._array:
        array = k.copy(array)  # it may be in the memory of another tensor
    put(out, array)
    sign(out._cell, f"{name}(out=...)", None, None)
    return out


def _tensors_in(inputs: Iterable[Any]) -> Iterator[Any]:
    """The inputs of a function one by one, of which some may be lists."""
    for each in inputs:
        if isinstance(each, (tuple, list)):
            yield from each
        else:
            yield each


def category(K: Any, x: Any) -> Category:
    """The category of a raw array's type."""
    return DTYPES[K.names[x.dtype]].category


def native(input: Any, type_: dtype | None) -> Any:
    """The backend's own type for one of ours."""
    return None if type_ is None else input._kernels.dtypes[type_.name]


def summed_as(input: Any, type_: dtype | None) -> Any:
    """The native type in which to add up or multiply: the one asked for, int64 for integers and bools."""
    if type_ is None and input.dtype.category <= Category.INTEGER:
        type_ = int64
    return None if type_ is None or type_ is input.dtype else native(input, type_)


def as_dtype(K: Any, x: Any, type_: Any) -> Any:
    """`x` in a native type (None: its own); `x` itself if it has it."""
    return x if type_ is None or x.dtype == type_ else K.astype(x, type_)


def widened(K: Any, x: Any) -> Any:
    """float16 and bfloat16 as float32, to compute in."""
    return K.astype(x, K.dtypes["float32"]) if K.names[x.dtype] in _HALVES else x


def into(K: Any, operation: str, x: Any, *others: Any) -> Any:
    """An operation on `x`, which nobody else has, and what broadcasts to it: in the memory of `x`, if kernels can."""
    kernel = getattr(K, operation)
    if kernel in getattr(K, "takes_out", ()) and type(x) is K.array_type and x.dtype in K.floats:
        return kernel(x, *others, x)
    return kernel(x, *others)


def counted(shape: tuple[int, ...], dims: Iterable[int]) -> int:
    """How many elements are reduced to one."""
    count = 1
    for each in dims:
        count *= shape[each]
    return count


def restored(K: Any, x: Any, shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool) -> Any:
    """A reduction's result with its reduced dimensions back, of size 1."""
    if keepdim or not dims:
        return x
    return K.reshape(x, tuple(1 if i in dims else n for i, n in enumerate(shape)))


def expand(K: Any, x: Any, shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool) -> Any:
    """A reduction's result, or its gradient, repeated over what was reduced."""
    return K.broadcast_to(restored(K, x, shape, dims, keepdim), shape)


@graph_kernel("zeros_like", batch=leading)
def _zeros_like(x: Any) -> Any:
    from retrograd.tensor import wrap_array

    return wrap_array(x._kernels.zeros_like(x._array), x._kernels)
