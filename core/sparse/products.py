"""Products whose gradients are sparse where the factor is: `torch.sparse.mm` and `torch.sparse.addmm`."""

from __future__ import annotations

from typing import Any

from retrograd.ops.declare import Array, op, op_of
from retrograd.ops.dispatch import call
from retrograd.sparse.conversion import masked_as, on_tensors
from retrograd.sparse.coo import counted
from retrograd.sparse.table import as_tensor, no_kernel, takes_sparse
from retrograd.tensor import Tensor

__all__ = ["addmm", "hspmm", "mm", "smm", "sspaddmm"]


def _masked_product(g: Tensor, mat2: Tensor, mat1: Tensor, alpha: float) -> Tensor:
    """The gradient of the left factor, at the coordinates that it stores."""
    product = g.matmul(mat2.conj().t()) if mat2.is_complex() else g.matmul(mat2.t())
    if mat1._kernels.sparse:
        product = _at(product, mat1)
    return product if alpha == 1 else product * alpha


def _right(g: Tensor, mat1: Tensor, alpha: float) -> Tensor:
    product = mat1.t().matmul(g)
    return product if alpha == 1 else product * alpha


@op(
    name="_sparse_addmm",
    node="SparseAddmmBackward0",
    vjp={
        "self": lambda K, g, self_shape, beta: on_tensors(K, _to_shape, g, self_shape, beta),
        "mat1": lambda K, g, mat2, mat1, alpha: on_tensors(K, _masked_product, g, mat2, mat1, alpha),
        "mat2": lambda K, g, mat1, alpha: on_tensors(K, _right, g, mat1, alpha),
    },
    jvp={
        "self": lambda K, t, beta: t * beta,
        "mat1": lambda K, t, mat2, alpha: on_tensors(K, lambda t, mat2: t.matmul(mat2) * alpha, t, mat2),
        "mat2": lambda K, t, mat1, alpha: on_tensors(K, lambda t, mat1: mat1.matmul(t) * alpha, t, mat1),
    },
)
def _sparse_addmm(K: Any, self: Array, mat1: Array, mat2: Array, beta: float, alpha: float) -> Array:
    """``beta * self + alpha * (mat1 @ mat2)``."""
    product = as_tensor(K, K.matmul(mat1, mat2)) * alpha
    return product._array if beta == 0 else (as_tensor(K, self) * beta + product)._array


def _to_shape(g: Tensor, shape: tuple[int, ...], beta: float) -> Tensor:
    return (g if beta == 1 else g * beta).sum_to_size(shape)


@op(
    name="_sparse_sparse_matmul",
    jvp="multilinear",
    node="SparseSparseMatmulBackward0",
    vjp={
        "self": lambda K, g, self, other: on_tensors(
            K, lambda g, self, other: _at(_product(g, other.t()), self), g, self, other
        ),
        "other": lambda K, g, self, other: on_tensors(
            K, lambda g, self, other: _at(_product(self.t(), g), other), g, self, other
        ),
    },
)
def _sparse_sparse_matmul(K: Any, self: Array, other: Array) -> Array:
    """Product of two sparse matrices."""
    return K.matmul(self, other)


def _at(product: Tensor, factor: Tensor) -> Tensor:
    """The gradient of a factor at the coordinates that it stores, each once."""
    return masked_as(product, factor.coalesce() if factor.is_sparse else factor)


def _product(a: Tensor, b: Tensor) -> Tensor:
    made: Tensor = call(op_of(_sparse_sparse_matmul), a, b)
    return made


takes_sparse(_sparse_addmm, makes=True)
takes_sparse(_sparse_sparse_matmul)


def mm(mat1: Tensor, mat2: Tensor, reduce: str | None = None) -> Tensor:
    """Product of two matrices of which the first is sparse; its gradient has only the elements that it stores.

    Two sparse matrices have a sparse product; that of a sparse and a dense one, in either order, is dense.

    Raises
    ------
    RuntimeError
        If the shapes or types do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse.mm.html

    Examples
    --------
    >>> import retrograd
    >>> a = retrograd.sparse_coo_tensor([[0, 1], [1, 0]], [2.0, 3.0], (2, 2), requires_grad=True)
    >>> retrograd.sparse.mm(a, retrograd.ones(2, 2)).sum().backward()
    >>> a.grad
    tensor(indices=tensor([[0, 1],
                           [1, 0]]),
           values=tensor([2., 2.]),
           size=(2, 2), nnz=2, layout=retrograd.sparse_coo)
    """
    if reduce is not None:
        raise no_kernel("_sparse_mm_reduce_impl")
    if mat1._kernels.sparse and mat2._kernels.sparse:
        _check(mat1, mat2)
        return _product(mat1, mat2)
    if mat1._kernels.sparse:
        start = mat2.new_zeros((mat1.shape[0], mat2.shape[1] if mat2.ndim == 2 else mat2.size(1)))
        return _added(start, mat1, mat2, 0, 1)
    if mat1.ndim == 2 and mat2.ndim == 2:
        _check(mat1, mat2)
    start = mat1.new_zeros((mat2.shape[1], mat1.shape[0]))
    return _added(start, mat2.transpose(0, 1), mat1.transpose(0, 1), 0, 1).transpose(0, 1)


def _check(mat1: Tensor, mat2: Tensor) -> None:
    if mat1.shape[-1] != mat2.shape[0]:
        raise RuntimeError(
            "mat1 and mat2 shapes cannot be multiplied "
            f"({mat1.shape[0]}x{mat1.shape[1]} and {mat2.shape[0]}x{mat2.shape[1]})"
        )


def _added(mat: Tensor, mat1: Tensor, mat2: Tensor, beta: float, alpha: float) -> Tensor:
    for name, each in (("mat1", mat1), ("mat2", mat2)):
        if each.ndim != 2:
            raise RuntimeError(f"addmm: expected {name} to be a matrix, got {each.ndim}-D tensor")
    if mat1.shape[1] != mat2.shape[0]:
        if not mat1._kernels.sparse:
            _check(mat1, mat2)
        raise RuntimeError(f"addmm: Argument #3 (dense): Expected dim 0 size {mat1.shape[1]}, got {mat2.shape[0]}")
    made: Tensor = call(op_of(_sparse_addmm), mat, mat1, mat2, beta, alpha)
    return made


def addmm(mat: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """``beta * mat + alpha * (mat1 @ mat2)`` of a sparse `mat1`, whose gradient has only the elements that it stores.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse.addmm.html

    Examples
    --------
    >>> import retrograd
    >>> a = retrograd.tensor([[0.0, 2.0], [3.0, 0.0]]).to_sparse()
    >>> retrograd.sparse.addmm(retrograd.ones(2, 2), a, retrograd.eye(2))
    tensor([[1., 3.],
            [4., 1.]])
    """
    shape = (mat1.shape[0], mat2.shape[1])
    if tuple(mat.shape) != shape:
        mat = mat.expand(shape)
    return _added(mat, mat1, mat2, beta, alpha)


# -- with sparse results -------------------------------------------------------------------------


def hspmm(mat1: Tensor, mat2: Tensor) -> Tensor:
    """A sparse matrix times a dense one, as a sparse tensor of those rows that are not all zeros.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.hspmm.html
    """
    from retrograd.sparse.construction import coo_tensor

    given = mat1.detach().coalesce()
    rows = given._indices()[0].unique()
    product = given.matmul(mat2.detach())
    return coo_tensor(rows.unsqueeze(0), product.index_select(0, rows), (mat1.shape[0], mat2.shape[1]))


def sspaddmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)`` of a sparse `input` and `mat1`, as a sparse tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sspaddmm.html
    """
    from retrograd.ops.arrange import cat
    from retrograd.sparse.construction import coo_tensor

    given = mat1.detach().coalesce()
    rows = given._indices()[0].unique()
    columns = int(mat2.shape[1])
    product = given.matmul(mat2.detach()).index_select(0, rows) * alpha
    places = cat([
        rows.repeat_interleave(columns).unsqueeze(0), counted(columns, rows).repeat(rows.numel()).unsqueeze(0)
    ])  # fmt: skip
    start = input.detach()
    indices = cat([start._indices(), places], 1)
    return coo_tensor(indices, cat([start._values() * beta, product.reshape(-1)]), tuple(input.shape))


def smm(input: Tensor, mat2: Tensor) -> Tensor:
    """A sparse matrix times a dense one, as a sparse tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.smm.html
    """
    from retrograd.sparse.construction import empty_sparse

    start = empty_sparse((input.shape[0], mat2.shape[1]), input._array.dtype, input._kernels)
    return sspaddmm(start, input, mat2)
