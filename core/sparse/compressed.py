"""The record of a sparse matrix whose rows, or columns, lie one behind the other: `sparse_csr` and `sparse_csc`.

What cannot be done on the values alone is done by way of coordinates, which rows and columns are made of easily.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retrograd.layout import sparse_csc, sparse_csr
from retrograd.ops.arrange import cat, stack
from retrograd.sparse.coo import Coo, counted
from retrograd.sparse.symbols import with_symbols
from retrograd.tensor import Tensor, wrap_array

if TYPE_CHECKING:
    from retrograd.sparse.table import SparseKernels

__all__ = ["Compressed", "compressed_from"]


@with_symbols
class Compressed:
    """A matrix of which only some elements are stored, row by row or column by column.

    Attributes
    ----------
    starts
        Where each row (or column) begins among the stored elements, and where the last one ends.
    places
        The column (or row) of each stored element.
    values
        The stored elements.
    by_rows
        Which of the two.
    """

    __slots__ = ("__weakref__", "by_rows", "places", "shape", "side", "starts", "values")
    __array_ufunc__ = None  # NumPy leaves `array * record` to the record
    coalesced = True
    sparse_dim = 2
    dense_dim = 0
    ndim = 2

    def __init__(
        self, side: SparseKernels, starts: Tensor, places: Tensor, values: Tensor, shape: tuple[int, ...], by_rows: bool
    ) -> None:
        self.side = side
        self.starts = starts
        self.places = places
        self.values = values
        self.shape = shape
        self.by_rows = by_rows

    @property
    def dtype(self) -> Any:
        """The backend's own type of the elements."""
        return self.values._array.dtype

    @property
    def nnz(self) -> int:
        """How many elements are stored."""
        return int(self.places._array.shape[0])

    @property
    def layout(self) -> Any:
        return sparse_csr if self.by_rows else sparse_csc

    @property
    def mT(self) -> Compressed:  # the array API's name
        """The transpose: the same parts, read the other way."""
        return Compressed(self.side, self.starts, self.places, self.values, self.shape[::-1], not self.by_rows)

    def parts(self) -> list[tuple[str, Tensor]]:
        """The tensors that make it, by name."""
        names = ("crow_indices", "col_indices") if self.by_rows else ("ccol_indices", "row_indices")
        return [(names[0], self.starts), (names[1], self.places), ("values", self.values)]

    def reduced(self, cls: type[Tensor], requires_grad: bool) -> tuple[Any, ...]:
        """A function that makes a tensor of this again, and its arguments: what `pickle` keeps."""
        from retrograd.sparse.compressing import rebuilt

        return rebuilt, (cls, requires_grad, self.starts, self.places, self.values, self.shape, self.by_rows)

    def with_values(self, values: Any, coalesced: bool | None = None) -> Compressed:
        """Other values, a tensor or a raw array, in the same places."""
        if not isinstance(values, Tensor):
            values = wrap_array(values, self.side.dense)
        return Compressed(self.side, self.starts, self.places, values, self.shape, self.by_rows)

    def in_order(self) -> Compressed:
        """Itself: the elements have an order."""
        return self

    def copy(self) -> Compressed:
        parts = (self.starts.clone(), self.places.clone(), self.values.clone())
        return Compressed(self.side, *parts, self.shape, self.by_rows)

    def coordinates(self) -> Coo:
        """The same matrix by coordinates."""
        counts = self.starts[1:] - self.starts[:-1]
        lines = counted(int(counts.shape[0]), counts).repeat_interleave(counts)
        pair = (lines, self.places) if self.by_rows else (self.places, lines)
        indices = stack([each.long() for each in pair])
        return Coo(self.side, indices, self.values, self.shape, self.by_rows)

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError("Could not run this operator with a gradient from the 'SparseCsrCPU' backend.")

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={part!r}" for name, part in self.parts())
        return f"Compressed({parts}, shape={self.shape})"


def compressed_from(array: Coo, by_rows: bool = True) -> Compressed:
    """A matrix given by coordinates, row by row or column by column."""
    if not by_rows:
        return compressed_from(array.mT, True).mT
    given = array.in_order()
    counts = given.indices[0].bincount(minlength=array.shape[0]).cumsum(0)
    starts = cat([counts.new_zeros(1), counts])
    return Compressed(array.side, starts, given.indices[1].clone(), given.values, array.shape, True)
