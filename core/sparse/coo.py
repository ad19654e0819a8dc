"""The record that a sparse tensor has for an array: coordinates, and what stands at each.

Note [Sparse tensors]
    A sparse tensor is a `Tensor` like any other: `_array` is a `Coo` and `_kernels` a `SparseKernels`, the sparse
    side of its backend's own table. A `Coo` holds two ordinary tensors without a graph, so whoever is given them
    (`_values()`) shares their memory on every backend, and the rules for sparse operands are written with ordinary
    operators, once for all backends. Gradients go along the sparse tensor's own edge, never along those of its parts.

    Operators know nothing of this. Their general path asks the table which form of an operator is for sparse
    operands (`SparseKernels.form_of`), and their formulas compute with `Coo`s by Python's symbols and by kernels, as
    they do with arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retrograd.layout import sparse_coo
from retrograd.ops.arrange import cat
from retrograd.ops.factories import arange
from retrograd.sparse.symbols import with_symbols
from retrograd.tensor import Tensor, wrap_array

if TYPE_CHECKING:
    from retrograd.sparse.table import SparseKernels

__all__ = ["Coo", "coordinates_of", "counted", "flat_keys", "unflattened"]


@with_symbols
class Coo:
    """An array of which only some elements are stored, each with its coordinates.

    Attributes
    ----------
    indices
        int64, of shape (sparse dimensions, stored elements).
    values
        Of shape (stored elements, *sizes of the dense dimensions).
    shape
        The sizes of the sparse dimensions, then of the dense ones.
    coalesced
        Whether the coordinates are known to be in order, each there once. Otherwise what is stored at equal
        coordinates counts as its sum.
    """

    __slots__ = ("__weakref__", "coalesced", "indices", "shape", "side", "values")
    __array_ufunc__ = None  # NumPy leaves `array * coo` to the record

    def __init__(
        self, side: SparseKernels, indices: Tensor, values: Tensor, shape: tuple[int, ...], coalesced: bool
    ) -> None:
        self.side = side
        self.indices = indices
        self.values = values
        self.shape = shape
        self.coalesced = coalesced

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> Any:
        """The backend's own type of the elements."""
        return self.values._array.dtype

    @property
    def nnz(self) -> int:
        """How many elements are stored."""
        return int(self.values._array.shape[0])

    @property
    def sparse_dim(self) -> int:
        return int(self.indices._array.shape[0])

    @property
    def dense_dim(self) -> int:
        return len(self.shape) - self.sparse_dim

    @property
    def mT(self) -> Coo:  # the array API's name
        axes = (*range(self.ndim - 2), self.ndim - 1, self.ndim - 2)
        made: Coo = self.side.permute_dims(self, axes)
        return made

    def with_values(self, values: Any, coalesced: bool | None = None) -> Coo:
        """Other values, a tensor or a raw array, at the same coordinates."""
        if not isinstance(values, Tensor):
            values = wrap_array(values, self.side.dense)
        shape = (*self.shape[: self.sparse_dim], *values.shape[1:])
        return Coo(self.side, self.indices, values, shape, self.coalesced if coalesced is None else coalesced)

    def in_order(self) -> Coo:
        """The same array, coalesced."""
        if self.coalesced:
            return self
        if self.nnz < 2:
            return Coo(self.side, self.indices.clone(), self.values.clone(), self.shape, True)
        keys = flat_keys(self.indices, self.shape)
        unique, places = keys.unique(return_inverse=True)
        summed = self.values.new_zeros((unique.numel(), *self.values.shape[1:]))
        if self.values.dtype.name == "bool":  # a sum of truths
            summed = summed.int().index_add(0, places, self.values.int()).bool()
        else:
            summed = summed.index_add(0, places, self.values)
        return Coo(self.side, unflattened(unique, self.shape[: self.sparse_dim]), summed, self.shape, True)

    @property
    def layout(self) -> Any:
        return sparse_coo

    def parts(self) -> list[tuple[str, Tensor]]:
        """The tensors that make it, by name."""
        return [("indices", self.indices), ("values", self.values)]

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError("Could not run this operator with a gradient from the 'SparseCPU' backend.")

    def reduced(self, cls: type[Tensor], requires_grad: bool) -> tuple[Any, ...]:
        """A function that makes a tensor of this again, and its arguments: what `pickle` keeps."""
        from retrograd.sparse.construction import rebuilt

        return rebuilt, (cls, requires_grad, self.indices, self.values, self.shape, self.coalesced)

    def copy(self) -> Coo:
        return Coo(self.side, self.indices.clone(), self.values.clone(), self.shape, self.coalesced)

    def __repr__(self) -> str:
        return f"Coo(indices={self.indices!r}, values={self.values!r}, shape={self.shape})"


def counted(count: int, like: Tensor) -> Tensor:
    """The numbers from 0 on, where `like` is."""
    numbers: Tensor = arange(count, device=like.device)
    return numbers


def flat_keys(indices: Tensor, shape: tuple[int, ...]) -> Tensor:
    """One number for each column of coordinates; in the order of the coordinates."""
    keys = indices.new_zeros(indices.shape[1])
    for row, size in zip(indices.unbind(0), shape, strict=False):
        keys = keys * size + row
    return keys


def unflattened(keys: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The coordinates that `flat_keys` has made numbers of."""
    rows: list[Tensor] = []
    for size in reversed(sizes):
        rows.insert(0, (keys % size).unsqueeze(0))
        keys = keys // size
    return cat(rows) if rows else keys.new_zeros((0, keys.numel()))


def coordinates_of(nonzero: Tensor) -> Tensor:
    """The coordinates of what is not zero, a column for each element."""
    return nonzero.nonzero().t().contiguous()
