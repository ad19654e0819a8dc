"""`sparse_csr_tensor`, and between coordinates and compressed rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from retrograd.dtypes import int32, int64
from retrograd.layout import sparse_csc, sparse_csr
from retrograd.ops.creation import as_tensor as as_dense_tensor
from retrograd.ops.declare import Array, op, op_of
from retrograd.ops.dispatch import call
from retrograd.ops.options import as_dtype
from retrograd.sparse.compressed import Compressed, compressed_from
from retrograd.sparse.conversion import at_coordinates, dense_of, on_tensors
from retrograd.sparse.coo import Coo
from retrograd.sparse.invariants import check_sparse_tensor_invariants
from retrograd.sparse.table import no_kernel, takes_sparse
from retrograd.tensor import Tensor, wrap_array

__all__ = [
    "compressed_tensor", "rebuilt", "sparse_compressed_tensor", "sparse_csc_tensor", "sparse_csr_tensor",
    "to_sparse_coo", "to_sparse_csc", "to_sparse_csr",
]  # fmt: skip


@op(
    name="_sparse_compressed_tensor",
    node="SparseCompressedTensorBackward0",
    jvp="linear",
    vjp={"values": lambda K, g, result: at_coordinates(K, g, result)},
)
def _compressed(K: Any, values: Array, starts: Any, places: Any, shape: tuple[int, ...], by_rows: bool) -> Array:
    """The matrix of these values."""
    return Compressed(K, starts, places, wrap_array(values, K.dense), shape, by_rows)


takes_sparse(_compressed, makes=True)


def compressed_tensor(starts: Tensor, places: Tensor, values: Tensor, shape: Sequence[int], by_rows: bool) -> Tensor:
    """A tensor of these parts; differentiable by the values, whose memory it shares."""
    made: Tensor = call(op_of(_compressed), values, starts.detach(), places.detach(), tuple(shape), by_rows)
    if made._array.values._array is values._array:
        made._array.values = values.detach()
    return made


def rebuilt(
    cls: type[Tensor], requires_grad: bool, starts: Tensor, places: Tensor, values: Tensor, shape: Any, by_rows: bool
) -> Any:
    """What a copy is made of. Only of a parameter it requires a gradient, as in PyTorch."""
    made = compressed_tensor(starts, places, values, shape, by_rows)
    if cls is Tensor:
        return made
    return cls._restore(made._array, made._kernels, None, None)._set_requires_grad(requires_grad)


def sparse_csr_tensor(
    crow_indices: Any,
    col_indices: Any,
    values: Any,
    size: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> Tensor:
    """A sparse matrix in compressed rows: the rows' elements one behind the other, and where each row begins.

    Parameters
    ----------
    crow_indices
        Where each row begins among the elements, and where the last one ends.
    col_indices
        The column of each element.
    values
        The elements, whose memory the tensor shares.
    size
        The shape; without it, the smallest into which the elements fit.
    dtype, device
        Those of the values, by default as they are given.
    requires_grad
        Whether it is a leaf whose gradient is wanted.
    check_invariants
        Whether to look at the parts; by default what `sparse.check_sparse_tensor_invariants` says.

    Raises
    ------
    RuntimeError
        If the parts do not fit each other, where that is looked at.
    NotImplementedError
        For stacks of matrices.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse_csr_tensor.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.sparse_csr_tensor([0, 1, 3], [2, 0, 2], [3.0, 4.0, 5.0], (2, 3))
    >>> x @ retrograd.ones(3)
    tensor([3., 9.])
    """
    options = {"dtype": as_dtype("sparse_csr_tensor", dtype), "device": device}
    made = _of_parts(crow_indices, col_indices, values, size, options, True, check_invariants)
    return made.requires_grad_() if requires_grad else made


def sparse_csc_tensor(
    ccol_indices: Any,
    row_indices: Any,
    values: Any,
    size: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> Tensor:
    """As `sparse_csr_tensor`, in compressed columns.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse_csc_tensor.html
    """
    options = {"dtype": as_dtype("sparse_csc_tensor", dtype), "device": device}
    made = _of_parts(ccol_indices, row_indices, values, size, options, False, check_invariants)
    return made.requires_grad_() if requires_grad else made


def sparse_compressed_tensor(
    compressed_indices: Any,
    plain_indices: Any,
    values: Any,
    size: Any = None,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> Tensor:
    """`sparse_csr_tensor` or `sparse_csc_tensor`, by `layout`.

    Raises
    ------
    RuntimeError
        If the layout is neither.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse_compressed_tensor.html
    """
    if layout not in (sparse_csr, sparse_csc):
        raise RuntimeError(f"sparse_compressed_tensor(): layout {layout} is not offered")
    make = sparse_csr_tensor if layout is sparse_csr else sparse_csc_tensor
    return make(
        compressed_indices, plain_indices, values, size, dtype=dtype, device=device, requires_grad=requires_grad,
        check_invariants=check_invariants,
    )  # fmt: skip


def _of_parts(
    compressed: Any, plain: Any, values: Any, size: Any, options: dict[str, Any], by_rows: bool, check: bool | None
) -> Tensor:
    held = as_dense_tensor(values, **options)
    starts, places = (
        each if each.dtype in (int32, int64) else each.to(int64)
        for each in (as_dense_tensor(part, device=held.device) for part in (compressed, plain))
    )
    if starts.ndim != 1 or held.ndim != 1:
        raise NotImplementedError("stacks of sparse matrices, and of blocks, are not offered")
    if size is None:
        size = (starts.shape[0] - 1, int(places.max().item()) + 1 if places.numel() else 0)
        size = size if by_rows else size[::-1]
    shape = tuple(int(each) for each in size)
    if check_sparse_tensor_invariants.is_enabled() if check is None else check:
        _check(starts, places, held, shape if by_rows else shape[::-1])
    return compressed_tensor(starts, places, held, shape, by_rows)


def _check(starts: Tensor, places: Tensor, values: Tensor, shape: tuple[int, ...]) -> None:
    rows, columns = shape
    if starts.shape[0] != rows + 1:
        raise RuntimeError(
            f"crow_indices.shape[-1] must be equal to the number of rows + 1 (={rows + 1}), but got {starts.shape[0]}"
        )
    if places.shape[0] != values.shape[0]:
        raise RuntimeError("number of dimensions of col_indices and values do not fit")
    begin, count = starts.tolist(), int(places.shape[0])
    if begin[0] != 0:
        raise RuntimeError("`crow_indices[..., 0] == 0` is not satisfied.")
    if begin[-1] != count:
        raise RuntimeError("`crow_indices[..., -1] == nnz` is not satisfied.")
    if any(not 0 <= b - a <= columns for a, b in pairwise(begin)):
        raise RuntimeError("`0 <= crow_indices[..., 1:] - crow_indices[..., :-1] <= ncols` is not satisfied.")
    at = places.tolist()
    if any(not 0 <= each < columns for each in at):
        raise RuntimeError("`0 <= col_indices < ncols` is not satisfied.")
    for a, b in pairwise(begin):
        if any(x >= y for x, y in zip(at[a : b - 1], at[a + 1 : b], strict=True)):
            raise RuntimeError(
                "`col_indices[..., crow_indices[..., i - 1]:crow_indices[..., i]] for all i = 1, ..., nrows are sorted "
                "and distinct along the last dimension values` is not satisfied."
            )


# -- conversions ---------------------------------------------------------------------------------


def _back(g: Tensor, self: Tensor) -> Tensor:
    """A gradient in the layout of what was converted."""
    if self.is_sparse:
        return to_sparse_coo(g) if g._kernels.sparse else g.to_sparse(self.sparse_dim())
    return dense_of(g)


@op(
    name="_coo_to_csr",
    node="ToSparseCsrBackward0",
    jvp="linear",
    vjp={"self": lambda K, g, self: on_tensors(K, _back, g, self)},
)
def _coo_to_csr(K: Any, self: Array) -> Array:
    """By rows, from coordinates."""
    return compressed_from(self)


@op(
    name="_coo_to_csc",
    node="ToSparseCscBackward0",
    jvp="linear",
    vjp={"self": lambda K, g, self: on_tensors(K, _back, g, self)},
)
def _coo_to_csc(K: Any, self: Array) -> Array:
    """By columns, from coordinates."""
    return compressed_from(self, False)


@op(
    name="_dense_to_csr",
    node="ToSparseCsrBackward0",
    jvp="linear",
    vjp={"self": lambda K, g: on_tensors(K, dense_of, g)},
)
def _dense_to_csr(K: Any, self: Array) -> Array:
    """By rows, from all elements."""
    from retrograd.sparse.conversion import made_sparse

    return compressed_from(made_sparse(K, self, 2))


@op(
    name="_csr_to_coo",
    node="ToSparseBackward1",
    jvp="linear",
    vjp={"self": lambda K, g, self: on_tensors(K, lambda g, self: g.sparse_mask(self), g, self)},
)
def _csr_to_coo(K: Any, self: Array) -> Array:
    """By coordinates, from rows."""
    return self.coordinates().in_order()


takes_sparse(_dense_to_csr, makes=True)
takes_sparse(_coo_to_csr, _coo_to_csc, _csr_to_coo)


def to_sparse_csr(self: Tensor, dense_dim: int | None = None) -> Tensor:
    """This matrix with only those elements stored that are not zero, row by row; itself if it is so.

    Raises
    ------
    RuntimeError
        If it is no matrix.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.to_sparse_csr.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([[0.0, 1.0], [2.0, 0.0]]).to_sparse_csr()
    tensor(crow_indices=tensor([0, 1, 2]),
           col_indices=tensor([1, 0]),
           values=tensor([1., 2.]), size=(2, 2), nnz=2, layout=retrograd.sparse_csr)
    """
    if self.layout is sparse_csr:
        return self
    if self.ndim != 2:
        raise NotImplementedError(f"to_sparse_csr(): a matrix is wanted, not a tensor of {self.ndim} dimensions")
    if self._kernels.sparse:
        given = self if self.is_sparse else to_sparse_coo(self)
        made: Tensor = call(op_of(_coo_to_csr), given)
        return made
    found: Tensor = call(op_of(_dense_to_csr), self)
    return found


def to_sparse_csc(self: Tensor, dense_dim: int | None = None) -> Tensor:
    """This matrix with only those elements stored that are not zero, column by column; itself if it is so.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.to_sparse_csc.html
    """
    if self.layout is sparse_csc:
        return self
    if self.ndim != 2:
        raise NotImplementedError(f"to_sparse_csc(): a matrix is wanted, not a tensor of {self.ndim} dimensions")
    made: Tensor = call(op_of(_coo_to_csc), to_sparse_coo(self))
    return made


def to_sparse_coo(self: Tensor) -> Tensor:
    """This tensor with only those elements stored that are not zero, by coordinates; itself if it is so.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.to_sparse_coo.html
    """
    if not self._kernels.sparse:
        return self.to_sparse()
    if isinstance(self._array, Coo):
        return self
    made: Tensor = call(op_of(_csr_to_coo), self)
    return made


# -- sampled products ----------------------------------------------------------------------------


def _sampled_gradient(g: Tensor, left: Tensor, alpha: float) -> Tensor:
    return g.matmul(left) * alpha


@op(
    name="_sparse_sampled_addmm",
    node="SparseSampledAddmmBackward0",
    vjp={
        "self": lambda K, g, beta: g * beta,
        "mat1": lambda K, g, mat2, alpha: on_tensors(K, lambda g, b: g.matmul(b.t()) * alpha, g, mat2),
        "mat2": lambda K, g, mat1, alpha: on_tensors(K, lambda g, a: g.t().matmul(a).t() * alpha, g, mat1),
    },
    jvp={
        "self": lambda K, t, beta: t * beta,
        "mat1": lambda K, t, mat2, self, alpha: on_tensors(
            K, lambda t, b, x: t.matmul(b).sparse_mask(x) * alpha, t, mat2, self
        ),
        "mat2": lambda K, t, mat1, self, alpha: on_tensors(
            K, lambda t, a, x: a.matmul(t).sparse_mask(x) * alpha, t, mat1, self
        ),
    },
)
def _sampled(K: Any, self: Array, mat1: Array, mat2: Array, beta: float, alpha: float) -> Array:
    """``alpha * (mat1 @ mat2) + beta * self`` where `self` has elements."""
    places = self.coordinates().indices
    left, right = wrap_array(mat1, K.dense), wrap_array(mat2, K.dense)
    products = (left.index_select(0, places[0]) * right.t().index_select(0, places[1])).sum(1)
    return self.with_values(products * alpha + self.values * beta)


takes_sparse(_sampled)


def sampled_addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1.0, alpha: float = 1.0, out: Any = None
) -> Tensor:
    """``alpha * (mat1 @ mat2) + beta * input``, only where the sparse matrix `input` has elements.

    Raises
    ------
    NotImplementedError
        If `input` is dense.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse.sampled_addmm.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.eye(2).to_sparse_csr()
    >>> retrograd.sparse.sampled_addmm(x, retrograd.ones(2, 2), retrograd.ones(2, 2)).values()
    tensor([3., 3.])
    """
    if not isinstance(input._array, Compressed):
        raise no_kernel("sparse_sampled_addmm", "SparseCPU" if input._kernels.sparse else "CPU")
    made: Tensor = call(op_of(_sampled), input, mat1, mat2, beta, alpha)
    return made
