"""`sparse_coo_tensor`: sparse tensors from coordinates and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograd.device import kernels_of
from retrograd.dtypes import dtype as dtype_class, get_default_dtype, int64
from retrograd.ops.creation import as_tensor as as_dense_tensor
from retrograd.ops.declare import Array, op, op_of
from retrograd.ops.dispatch import call
from retrograd.ops.options import as_dtype, c_name
from retrograd.sparse.compressed import Compressed
from retrograd.sparse.invariants import check_sparse_tensor_invariants, checked_coo
from retrograd.sparse.kernels import empty_coo
from retrograd.sparse.table import coo_of, sparse_side, takes_sparse
from retrograd.tensor import Tensor, wrap_array

__all__ = ["coo_tensor", "empty_sparse", "sparse_coo_tensor", "with_values"]


def _values_gradient(K: Any, g: Any, result: Any) -> Any:
    """What a gradient has at the coordinates of the tensor."""
    from retrograd.sparse.conversion import at_coordinates

    return at_coordinates(K, g, result)


@op(
    name="_sparse_coo_tensor_with_dims_and_tensors",
    jvp="linear",
    node="SparseCooTensorWithDimsAndTensorsBackward0",
    vjp={"values": _values_gradient},
)
def _sparse_coo(K: Any, values: Array, indices: Any, shape: tuple[int, ...], coalesced: bool) -> Array:
    """The tensor of these values at these coordinates."""
    return coo_of(indices, wrap_array(values, K.dense), shape, coalesced)


_OP = op_of(_sparse_coo)
takes_sparse(_sparse_coo, makes=True)


def coo_tensor(indices: Tensor, values: Tensor, shape: Sequence[int], coalesced: bool = False) -> Tensor:
    """`sparse_coo_tensor` of what fits; differentiable by the values, whose memory it shares."""
    made: Tensor = call(_OP, values, indices.detach(), tuple(shape), coalesced)
    if made._array.values._array is values._array:
        made._array.values = values.detach()
    return made


def with_values(like: Tensor, values: Tensor) -> Tensor:
    """A sparse tensor of these values at the coordinates of another."""
    array = like._array
    if isinstance(array, Compressed):
        from retrograd.sparse.compressing import compressed_tensor

        return compressed_tensor(array.starts, array.places, values, array.shape, array.by_rows)
    return coo_tensor(array.indices, values, array.shape, array.coalesced)


def empty_sparse(shape: Sequence[int], native: Any, k: Any, requires_grad: bool = False) -> Tensor:
    """A sparse tensor of zeros, none of which is stored."""
    side = sparse_side(k)
    made = wrap_array(empty_coo(side, tuple(shape), native), side)
    return made.requires_grad_() if requires_grad else made


def rebuilt(
    cls: type[Tensor], requires_grad: bool, indices: Tensor, values: Tensor, shape: tuple[int, ...], coalesced: bool
) -> Any:
    """What a copy is made of. Only of a parameter it requires a gradient, as in PyTorch."""
    made = coo_tensor(indices, values, shape, coalesced)
    if cls is Tensor:
        return made
    return cls._restore(made._array, made._kernels, None, None)._set_requires_grad(requires_grad)


def sparse_coo_tensor(
    *args: Any,
    indices: Any = None,
    values: Any = None,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
    is_coalesced: bool | None = None,
) -> Tensor:
    """A sparse tensor in coordinate format: values, and where each stands.

    Called as `sparse_coo_tensor(indices, values)`, `sparse_coo_tensor(indices, values, size)`, or, for one that stores
    nothing, `sparse_coo_tensor(size)`. What stands at coordinates that are not given is zero; what is given twice
    counts as its sum. The tensor shares the memory of `values`, and its gradient reaches them.

    Parameters
    ----------
    indices
        The coordinates: integers of shape (sparse dimensions, stored elements).
    values
        The elements; with further dimensions if each is an array itself.
    size
        The shape; without it, the smallest into which the coordinates fit.
    dtype, device
        Those of the values, by default as they are given.
    requires_grad
        Whether it is a leaf whose gradient is wanted.
    check_invariants
        Whether to look at the coordinates; by default what `sparse.check_sparse_tensor_invariants` says.
    is_coalesced
        Whether the coordinates are in order, each there once; the caller vouches for it.

    Raises
    ------
    RuntimeError
        If indices, values and size do not fit each other.
    TypeError
        For other arguments.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse_coo_tensor.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.sparse_coo_tensor([[0, 1, 1], [2, 0, 2]], [3.0, 4.0, 5.0], (2, 3))
    >>> x
    tensor(indices=tensor([[0, 1, 1],
                           [2, 0, 2]]),
           values=tensor([3., 4., 5.]),
           size=(2, 3), nnz=3, layout=retrograd.sparse_coo)
    >>> x.to_dense()
    tensor([[0., 0., 3.],
            [4., 0., 5.]])
    """
    indices, values, size = _given(args, indices, values, size)
    wanted = as_dtype("sparse_coo_tensor", dtype)
    k = None if device is None else kernels_of(device)
    if indices is None:
        sizes = _sizes(size, 1)
        where = kernels_of(None) if k is None else k
        return empty_sparse(sizes, where.dtypes[(wanted or get_default_dtype()).name], where, requires_grad)
    made = _of_parts(indices, values, size, wanted, k, check_invariants, is_coalesced)
    return made.requires_grad_() if requires_grad else made


def _given(args: tuple[Any, ...], indices: Any, values: Any, size: Any) -> tuple[Any, Any, Any]:
    """Indices, values and size, however they are given; without indices, the size alone."""
    given = list(args)
    if indices is None and values is None and size is None and len(given) == 1:
        return None, None, given[0]
    if not given and indices is None and values is None and size is not None:
        return None, None, size
    if indices is None and given:
        indices = given.pop(0)
    if values is None and given:
        values = given.pop(0)
    if size is None and given:
        size = given.pop(0)
    wrong = given or indices is None or values is None or not (size is None or isinstance(size, (tuple, list)))
    if wrong:
        raise TypeError(
            "sparse_coo_tensor() received an invalid combination of arguments - got "
            f"({', '.join(c_name(each) for each in args)}), but expected one of:\n"
            " * (object indices, object values, *, bool is_coalesced = None)\n"
            " * (object indices, object values, tuple of ints size, *, bool is_coalesced = None)\n"
            " * (tuple of ints size)\n"
        )
    return indices, values, size


def _sizes(size: Any, position: int) -> tuple[int, ...]:
    if not isinstance(size, (tuple, list)):
        raise TypeError(
            f"sparse_coo_tensor(): argument 'size' (position {position}) must be tuple of ints, not "
            f"{type(size).__name__}"
        )
    return tuple(int(each) for each in size)


def _of_parts(
    indices: Any, values: Any, size: Any, wanted: dtype_class | None, k: Any, check: bool | None, coalesced: bool | None
) -> Tensor:
    held = as_dense_tensor(values, dtype=wanted)
    if k is not None and held._kernels is not k:
        held = held.to(str(k.backend) + ":" + str(k.device))
    if held.ndim == 0:
        held = held.reshape(1)
    places = as_dense_tensor(indices)
    if places._kernels is not held._kernels:
        places = places.to(held.device)
    if places.dtype is not int64:
        places = places.to(int64)
    _check_counts(places, held)
    shape = _inferred(places, held) if size is None else _sizes(size, 3)
    count = int(places.shape[0])
    dense = held.ndim - 1
    if len(shape) != count + dense:
        raise RuntimeError(
            "'len(size) == sparse_dim + dense_dim' is not satisfied: "
            f"len(size) = {len(shape)}, sparse_dim = {count}, dense_dim = {dense}"
        )
    if check_sparse_tensor_invariants.is_enabled() if check is None else check:
        checked_coo(places, held, shape, bool(coalesced))
    return coo_tensor(places, held, shape, bool(coalesced))


def _check_counts(indices: Tensor, values: Tensor) -> None:
    if indices.ndim != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(indices.shape)}")
    if indices.shape[1] != values.shape[0]:
        raise RuntimeError(
            f"indices and values must have same nnz, but got nnz from indices: {indices.shape[1]}, nnz from values: "
            f"{values.shape[0]}"
        )


def _inferred(indices: Tensor, values: Tensor) -> tuple[int, ...]:
    """The smallest shape in which the coordinates are."""
    dense = tuple(values.shape[1:])
    if not indices.numel():
        return (*(0 for _ in range(indices.shape[0])), *dense)
    lowest = indices.amin(1).tolist()
    for dim, each in enumerate(lowest):
        if each < 0:
            raise RuntimeError(f"found negative index {each} for dim {dim}")
    return (*(each + 1 for each in indices.amax(1).tolist()), *dense)
