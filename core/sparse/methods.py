"""What sparse tensors have beside operators: methods and attributes of `Tensor` that tell of layouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.layout import layout, sparse_coo, sparse_csr, strided
from retrograd.sparse.compressed import Compressed
from retrograd.sparse.compressing import to_sparse_coo, to_sparse_csc, to_sparse_csr
from retrograd.sparse.conversion import coalesce, sparse_mask, to_dense, to_sparse, values_of
from retrograd.sparse.coo import Coo
from retrograd.sparse.kernels import empty_coo
from retrograd.sparse.table import no_kernel
from retrograd.tensor import Tensor

__all__ = ["METHODS"]


def _layout(self: Tensor) -> layout:
    """How the elements are stored: `strided`, `sparse_coo` or `sparse_csr`."""
    found: layout = self._array.layout if self._kernels.sparse else strided
    return found


def _is_sparse(self: Tensor) -> bool:
    """Whether the tensor is sparse, in coordinate format."""
    return isinstance(self._array, Coo)


def _record(self: Tensor, name: str) -> Any:
    array = self._array
    if not isinstance(array, Coo):
        raise no_kernel(name, "SparseCsrCPU" if self._kernels.sparse else "CPU")
    return array


def _of_coo(self: Tensor, name: str) -> Coo:
    array = self._array
    if not isinstance(array, Coo):
        found = "SparseCsr" if self._kernels.sparse else "Strided"
        raise RuntimeError(f"{name} expected sparse coordinate tensor layout but got {found}")
    return array


def is_coalesced(self: Tensor) -> bool:
    """Whether the coordinates of a sparse tensor are known to be in order, each there once.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.is_coalesced.html
    """
    return _of_coo(self, "is_coalesced").coalesced


def indices(self: Tensor) -> Tensor:
    """The coordinates of a coalesced sparse tensor, a column for each stored element.

    Raises
    ------
    RuntimeError
        If it is dense, or not coalesced.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.indices.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([[0.0, 1.0], [2.0, 0.0]]).to_sparse().indices()
    tensor([[0, 1],
            [1, 0]])
    """
    array = _of_coo(self, "indices")
    if not array.coalesced:
        raise RuntimeError("Cannot get indices on an uncoalesced tensor, please call .coalesce() first")
    return array.indices.detach()


def values(self: Tensor) -> Tensor:
    """The stored elements of a coalesced sparse tensor; differentiable.

    Raises
    ------
    RuntimeError
        If it is dense, or not coalesced.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.values.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([[0.0, 1.0], [2.0, 0.0]]).to_sparse().values()
    tensor([1., 2.])
    """
    if not self._kernels.sparse:
        raise RuntimeError("values expected sparse tensor layout but got Strided")
    if isinstance(self._array, Coo) and not self._array.coalesced:
        raise RuntimeError("Cannot get values on an uncoalesced tensor, please call .coalesce() first")
    return values_of(self)


def _indices(self: Tensor) -> Tensor:
    """The coordinates as they are stored."""
    made: Tensor = _record(self, "_indices").indices.detach()
    return made


def _values(self: Tensor) -> Tensor:
    """The stored elements as they are, in the tensor's own memory; outside of the graph."""
    made: Tensor = _record(self, "_values").values.detach()
    return made


def _nnz(self: Tensor) -> int:
    """How many elements are stored."""
    if not self._kernels.sparse:
        raise no_kernel("_nnz", "CPU")
    count: int = self._array.nnz
    return count


def _coalesced_(self: Tensor, coalesced: bool) -> Tensor:
    """Say, in place, whether the coordinates are in order, each there once; the caller vouches for it."""
    array = _record(self, "_coalesced_")
    self._set_array(Coo(array.side, array.indices, array.values, array.shape, coalesced))
    return self


def sparse_dim(self: Tensor) -> int:
    """How many of the dimensions, the first ones, have coordinates: none of a dense tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.sparse_dim.html
    """
    return self._array.sparse_dim if self._kernels.sparse else 0


def dense_dim(self: Tensor) -> int:
    """The number of the other dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.dense_dim.html
    """
    return self._array.dense_dim if self._kernels.sparse else self.ndim


def _check_resize(array: Coo, size: tuple[int, ...], sparse: int, dense: int) -> None:
    for what, have, want in (("sparse", array.sparse_dim, sparse), ("dense", array.dense_dim, dense)):
        if have != want:
            raise RuntimeError(
                f"changing the number of {what} dimensions (from {have} to {want}) on a non-empty sparse tensor is not "
                "supported."
            )
    for what, begin, end in (("sparse", 0, sparse), ("dense", sparse, len(size))):
        have_sizes, wanted = list(array.shape[begin:end]), list(size[begin:end])
        if any(n > m for n, m in zip(have_sizes, wanted, strict=True)):
            raise RuntimeError(
                f"shrinking the size of {what} dimensions (from {have_sizes} to {wanted}) on a non-empty sparse tensor "
                "is not supported."
            )


def sparse_resize_(self: Tensor, size: Any, sparse_dim: int, dense_dim: int) -> Tensor:
    """Give this sparse tensor another shape, in place; what it stores stays where it is.

    Raises
    ------
    RuntimeError
        If it stores something, and a dimension would shrink or their numbers change.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.sparse_resize_.html
    """
    array = _record(self, "sparse_resize_")
    size = tuple(size)
    if len(size) != sparse_dim + dense_dim:
        raise RuntimeError(
            "'len(size) == sparse_dim + dense_dim' is not satisfied: "
            f"len(size) = {len(size)}, sparse_dim = {sparse_dim}, dense_dim = {dense_dim}"
        )
    if not array.nnz:
        return sparse_resize_and_clear_(self, size, sparse_dim, dense_dim)
    _check_resize(array, size, sparse_dim, dense_dim)
    stored = array.values
    if tuple(stored.shape[1:]) != size[sparse_dim:]:
        grown = stored.new_zeros((array.nnz, *size[sparse_dim:]))
        grown[tuple(slice(0, n) for n in stored.shape)] = stored
        stored = grown
    self._set_array(Coo(array.side, array.indices, stored, size, array.coalesced))
    return self


def resize_as_sparse_(self: Tensor, the_template: Tensor) -> Tensor:
    """`sparse_resize_` to the shape of another sparse tensor, and to as many sparse dimensions as it has."""
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    like = _record(the_template, "resize_as_sparse_")
    sparse_dim = int(like.indices.shape[0])
    return sparse_resize_(self, like.shape, sparse_dim, len(like.shape) - sparse_dim)


def sparse_resize_and_clear_(self: Tensor, size: Any, sparse_dim: int, dense_dim: int) -> Tensor:
    """Give this sparse tensor another shape, in place, and let it store nothing.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.sparse_resize_and_clear_.html
    """
    array = _record(self, "sparse_resize_and_clear_")
    self._set_array(empty_coo(array.side, tuple(size), array.dtype, sparse_dim))
    return self


def _functions(*functions: Callable[..., Any]) -> dict[str, Any]:
    return {each.__name__: each for each in functions}


_WORDS = {
    "crow_indices": ("row", True, "starts"), "col_indices": ("row", True, "places"),
    "ccol_indices": ("column", False, "starts"), "row_indices": ("column", False, "places"),
}  # fmt: skip


def _part(name: str) -> Callable[[Tensor], Tensor]:
    lines, by_rows, slot = _WORDS[name]

    def part(self: Tensor) -> Tensor:
        array = self._array
        if not isinstance(array, Compressed) or array.by_rows is not by_rows:
            found = {strided: "Strided", sparse_coo: "Sparse", sparse_csr: "SparseCsr"}.get(self.layout, "SparseCsc")
            raise RuntimeError(f"{name} expected sparse {lines} compressed tensor layout but got {found}")
        held: Tensor = getattr(array, slot)
        return held.detach()

    part.__name__ = name
    part.__qualname__ = f"Tensor.{name}"
    part.__doc__ = f"Of a matrix in compressed {lines}s: " + (
        f"where each {lines} begins among its elements." if slot == "starts" else "the other index of each element."
    )
    return part


METHODS: dict[str, Any] = {
    **{name: _part(name) for name in _WORDS},
    **_functions(
        to_dense, to_sparse, to_sparse_coo, to_sparse_csc, to_sparse_csr, coalesce, is_coalesced, indices, values,
        _indices, _values, _nnz, _coalesced_, sparse_dim, dense_dim, sparse_mask, sparse_resize_,
        sparse_resize_and_clear_, resize_as_sparse_,
    ),
    "layout": property(_layout, doc=_layout.__doc__),
    "is_sparse_csr": property(lambda self: self.layout is sparse_csr, doc="Whether it is sparse, in rows."),
    "is_sparse": property(_is_sparse, doc=_is_sparse.__doc__),
}  # fmt: skip
"""Of `Tensor`, by name."""
