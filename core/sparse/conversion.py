"""Between dense and sparse tensors, and the parts of sparse ones."""

from __future__ import annotations

from typing import Any

from retrograd.layout import layout as layout_class, sparse_coo, sparse_csc, sparse_csr, strided
from retrograd.ops.declare import Array, op, op_of
from retrograd.ops.dispatch import call
from retrograd.ops.graph import G
from retrograd.sparse.coo import Coo, coordinates_of
from retrograd.sparse.kernels import dense_values, mask_of, projected
from retrograd.sparse.table import as_tensor, coo_of, no_kernel, takes_sparse
from retrograd.tensor import Tensor, wrap_array

__all__ = [
    "at_coordinates", "coalesce", "dense_of", "made_sparse", "masked_as", "on_tensors", "sparse_mask", "to_dense",
    "to_sparse", "values_of",
]  # fmt: skip


def on_tensors(K: Any, function: Any, *values: Any) -> Any:
    """What a function of tensors makes of them in a recorded pass, and of arrays in one that is not."""
    if K is G:
        return function(*values)
    return function(*(as_tensor(K, each) for each in values))._array


# -- to dense ------------------------------------------------------------------------------------


def _to_dense_gradient(K: Any, g: Any, self: Any, masked: bool) -> Any:
    if masked:
        return on_tensors(K, lambda g, self: masked_as(g, coalesce(self) if self.is_sparse else self), g, self)
    return on_tensors(K, lambda g, self: to_sparse(g, self.sparse_dim()), g, self)


@op(name="_to_dense", jvp="linear", node="ToDenseBackward0", vjp={"self": _to_dense_gradient})
def _to_dense(K: Any, self: Array, masked: bool) -> Array:
    """All elements of a sparse tensor."""
    return dense_values(self)._array


def dense_of(tensor: Tensor, masked: bool = True) -> Tensor:
    """A tensor in which all elements stand; itself, if it is dense."""
    made: Tensor = call(op_of(_to_dense), tensor, masked) if tensor._kernels.sparse else tensor
    return made


def to_dense(self: Tensor, dtype: Any = None, *, masked_grad: bool | None = None) -> Tensor:
    """This tensor as a dense one; itself if it is, or another type of it.

    Parameters
    ----------
    masked_grad
        Whether the gradient of a sparse tensor has only those elements that the tensor stores: by default it has.

    Raises
    ------
    RuntimeError
        If a sparse tensor is to become of another type.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.to_dense.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([0.0, 2.0]).to_sparse().to_dense()
    tensor([0., 2.])
    """
    if not self._kernels.sparse:
        return self if dtype is None else self.to(dtype)
    if dtype is not None:
        raise RuntimeError("dtype argument is not supported by sparse_to_dense")
    return dense_of(self, masked_grad is not False)


# -- to sparse -----------------------------------------------------------------------------------


def made_sparse(K: Any, array: Any, sparse_dim: int) -> Coo:
    dense = wrap_array(array, K.dense)
    shape = tuple(dense.shape)
    kept = dense if dense.dtype.name == "bool" else dense != 0
    for axis in range(len(shape) - 1, sparse_dim - 1, -1):
        kept = kept.any(axis)
    indices = coordinates_of(kept)
    values = dense[tuple(indices.unbind(0))] if sparse_dim else dense.reshape(1, *shape)[: indices.shape[1]]
    return coo_of(indices, values.contiguous(), shape, True)


def _to_sparse_gradient(K: Any, g: Any) -> Any:
    return on_tensors(K, dense_of, g)


@op(name="_to_sparse", jvp="linear", node="ToSparseBackward1", vjp={"self": _to_sparse_gradient})
def _to_sparse(K: Any, self: Array) -> Array:
    """The elements that are not zero."""
    return made_sparse(K, self, self.ndim)


@op(name="_to_sparse_in", jvp="linear", node="ToSparseBackward0", vjp={"self": _to_sparse_gradient})
def _to_sparse_in(K: Any, self: Array, sparse_dim: int) -> Array:
    """What is not all zeros, along the first dimensions."""
    return made_sparse(K, self, sparse_dim)


def to_sparse(
    self: Tensor, sparse_dim: Any = None, *, layout: Any = None, blocksize: Any = None, dense_dim: Any = None
) -> Tensor:
    """This tensor with only those elements stored that are not zero.

    Parameters
    ----------
    sparse_dim
        How many of the dimensions, the first ones, have coordinates; all by default. What is stored are then arrays
        of the others.
    layout
        `retrograd.sparse_coo`, which is the default, or `retrograd.sparse_csr`.

    Raises
    ------
    RuntimeError
        If there are not so many dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.to_sparse.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([[0.0, 1.0], [2.0, 0.0]]).to_sparse()
    tensor(indices=tensor([[0, 1],
                           [1, 0]]),
           values=tensor([1., 2.]),
           size=(2, 2), nnz=2, layout=retrograd.sparse_coo)
    """
    if isinstance(sparse_dim, layout_class):
        sparse_dim, layout = None, sparse_dim
    if layout in (sparse_csr, sparse_csc):
        compress = self.to_sparse_csr if layout is sparse_csr else self.to_sparse_csc
        compressed: Tensor = compress()
        return compressed
    if layout is not None and layout is not sparse_coo:
        raise RuntimeError(f"to_sparse: conversion from {self.layout} to {layout} is not offered")
    if self._kernels.sparse:
        return _sparse_again(self, sparse_dim)
    if sparse_dim is None:
        made: Tensor = call(_TO_SPARSE, self)
        return made
    if not 0 <= sparse_dim <= self.ndim:
        raise RuntimeError(
            f"dense_to_sparse: sparse_dim argument must be in [0,{self.ndim}] range, but {sparse_dim} is given"
        )
    if self.ndim and not sparse_dim:
        raise RuntimeError("dense_to_sparse: sparse_dim argument must be in >0 when self.dim()>0")
    found: Tensor = call(_TO_SPARSE_IN, self, sparse_dim)
    return found


def _sparse_again(self: Tensor, sparse_dim: int | None) -> Tensor:
    if not isinstance(self._array, Coo):
        made: Tensor = self.to_sparse_coo()
        return made
    if sparse_dim not in (None, self._array.sparse_dim):
        raise RuntimeError(
            "to_sparse: conversion from Sparse to Sparse with sparse_dim argument !=self.sparse_dim() is not supported"
        )
    return self


_TO_SPARSE, _TO_SPARSE_IN = op_of(_to_sparse), op_of(_to_sparse_in)
takes_sparse(_to_sparse, _to_sparse_in, makes=True)


# -- parts ---------------------------------------------------------------------------------------


@op(
    name="_values_of",
    jvp="linear",
    node="ValuesBackward0",
    vjp={"self": lambda K, g, self: on_tensors(K, _with_values, g, self)},
)
def _values_of(K: Any, self: Array) -> Array:
    """The stored elements."""
    return self.values._array


def _with_values(g: Tensor, like: Tensor) -> Tensor:
    from retrograd.sparse.construction import with_values

    return with_values(like, g)


def values_of(tensor: Tensor) -> Tensor:
    """The stored elements of a sparse tensor, in memory that it shares."""
    made: Tensor = call(op_of(_values_of), tensor)
    if made._edge is None:
        detached: Tensor = tensor._array.values.detach()
        return detached
    return made


@op(name="_coalesce", jvp="linear", node="CoalesceBackward0", vjp={"self": lambda K, g: g})
def _coalesce(K: Any, self: Array) -> Array:
    """The same elements, in order and each once."""
    return self.in_order()


def coalesce(self: Tensor) -> Tensor:
    """This sparse tensor with its coordinates in order, each once: what was stored at equal ones is added up.

    Itself, if it is so already.

    Raises
    ------
    RuntimeError
        If it is dense.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.coalesce.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.sparse_coo_tensor([[1, 1]], [1.0, 2.0], (2,)).coalesce().values()
    tensor([3.])
    """
    array = self._array
    if not isinstance(array, Coo):
        raise RuntimeError(f"coalesce expected sparse coordinate tensor layout but got {_layout_name(self)}")
    if array.coalesced:
        return self
    made: Tensor = call(op_of(_coalesce), self)
    return made


def _layout_name(tensor: Tensor) -> str:
    return {strided: "Strided", sparse_csr: "SparseCsr"}.get(tensor.layout, "Sparse")


# -- masks ---------------------------------------------------------------------------------------


def _mask_gradient(K: Any, g: Any, mask: Any) -> Any:
    given = wrap_array(mask, mask.side)
    return on_tensors(K, lambda g: dense_of(masked_as(g, given)), g)


@op(
    name="_sparse_mask",
    jvp="linear",
    node="SparseMaskBackward0",
    vjp={"self": _mask_gradient},
)
def _sparse_mask(K: Any, self: Array, mask: Any) -> Array:
    """The elements of a dense tensor at the coordinates of a record."""
    return mask_of(wrap_array(self, K.dense), mask)


@op(
    name="_sparse_mask_projection",
    jvp="linear",
    node="SparseMaskBackward0",
    vjp={"self": lambda K, g, mask: on_tensors(K, lambda g: masked_as(g, wrap_array(mask, mask.side)), g)},
)
def _projected(K: Any, self: Array, mask: Any) -> Array:
    """The elements of a sparse tensor at the coordinates of a record."""
    return projected(self, mask)


takes_sparse(_sparse_mask, makes=True)
takes_sparse(_to_dense, _values_of, _coalesce, _projected)


def masked_as(tensor: Tensor, mask: Tensor) -> Tensor:
    """The elements at the coordinates of a sparse tensor."""
    found = op_of(_projected) if tensor._kernels.sparse else op_of(_sparse_mask)
    made: Tensor = call(found, tensor, mask._array)
    return made


def sparse_mask(self: Tensor, mask: Tensor) -> Tensor:
    """The elements of this tensor at the coordinates of a sparse one, as a sparse tensor.

    Raises
    ------
    RuntimeError
        If the shapes differ.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.sparse_mask.html

    Examples
    --------
    >>> import retrograd
    >>> mask = retrograd.sparse_coo_tensor([[1]], [1.0], (3,))
    >>> retrograd.tensor([4.0, 5.0, 6.0]).sparse_mask(mask).to_dense()
    tensor([0., 5., 0.])
    """
    if self.shape != mask.shape:
        raise RuntimeError(
            f"sparse_mask(): operands have incompatible sizes; self has size {list(self.shape)} but mask has size "
            f"{list(mask.shape)}"
        )
    if not mask._kernels.sparse:
        raise no_kernel("sparse_mask", "CPU")
    return self if self is mask else masked_as(self, mask)


def at_coordinates(K: Any, g: Any, mask: Any) -> Any:
    """The elements of a gradient, dense or sparse, at the coordinates of a sparse tensor; dense."""
    return on_tensors(K, lambda g, mask: values_of(masked_as(g, mask)), g, mask)


# -- to another backend --------------------------------------------------------------------------


def moved(tensor: Tensor, k: Any, type_name: str) -> Tensor:
    """A sparse tensor on another backend; its gradient goes the way back, by way of its values."""
    from retrograd.dtypes import DTYPES
    from retrograd.sparse.construction import coo_tensor

    array = tensor._array
    values = values_of(tensor) if tensor.requires_grad else array.values
    there = values.to(f"{k.backend}:{k.device}").to(DTYPES[type_name])
    return coo_tensor(array.indices.to(there.device), there, array.shape, array.coalesced)
