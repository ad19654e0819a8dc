"""A memory as elements of another type."""

from __future__ import annotations

from retrograd.dtypes import dtype
from retrograd.storage import share
from retrograd.tensor import Tensor, wrap_array

__all__ = ["of_type"]


def of_type(input: Tensor, type_: dtype) -> Tensor:
    """The memory of `input`, as elements of a type: outside of the graph, and a write to either is one to both."""
    for bit, kind in ((input.is_conj(), "conjugate view tensors"), (input.is_neg(), "tensors with negative bit set")):
        if bit:
            raise RuntimeError(
                f"retrograd.Tensor.view is not supported for {kind} when converting to a different dtype."
            )
    if type_ is input.dtype:
        return input._alias()
    k = input._kernels
    if k.reinterpret is None:
        raise RuntimeError(
            f"view(): on backend {k.backend!r} the memory of a tensor of type {input.dtype} cannot be seen as {type_}. "
            f"to({type_}) converts the elements; their bits can be reinterpreted by NumPy: "
            "from_numpy(x.numpy().view(...))."
        )
    same_size = type_.itemsize == input.dtype.itemsize
    if not same_size:
        _check_reinterpreted(input, type_)
    made = wrap_array(k.reinterpret(input._array, k.dtypes[type_.name]), k)
    made._cell = input._cell
    if same_size:  # else its elements are not those that a chain of views counts
        share(input, made)
    return made


def _check_reinterpreted(input: Tensor, type_: dtype) -> None:
    """Whether elements of another size lie along the last dimension."""
    ending = f"to view {input.dtype.type_name} as {type_.type_name} (different element sizes)"
    if not input.ndim:
        raise RuntimeError(f"self.dim() cannot be 0 {ending}")
    if input.stride(-1) != 1:
        raise RuntimeError(f"self.stride(-1) must be 1 {ending}, but got {input.stride(-1)}")
    times = type_.itemsize // input.dtype.itemsize
    if times < 2:
        return
    if input.shape[-1] % times:
        raise RuntimeError(f"self.size(-1) must be divisible by {times} {ending}, but got {input.shape[-1]}")
    if input.storage_offset() % times:
        raise RuntimeError(
            f"self.storage_offset() must be divisible by {times} {ending}, but got {input.storage_offset()}"
        )
    for dim, stride in enumerate(input.stride()[:-1]):
        if stride % times:
            raise RuntimeError(f"self.stride({dim}) must be divisible by {times} {ending}, but got {stride}")
