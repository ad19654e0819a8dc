"""Products of several matrices, of vectors, and matrices of powers: functions of `retrograd.linalg`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from retrograd.dtypes import Category, bool_, cpp_name, int64
from retrograd.ops.arguments import as_int, wrap_dim
from retrograd.ops.arrange import cat
from retrograd.ops.autocasting import in_lower_type
from retrograd.ops.broadcasting import broadcast_shapes, sum_to
from retrograd.ops.checks import is_half, not_implemented
from retrograd.ops.declare import Array, op, publics
from retrograd.ops.factories import ones_like
from retrograd.ops.linalg import matmul, vdot
from retrograd.ops.linalg_checks import check_floating, of_linalg
from retrograd.ops.shape import diagonal as _diagonal, expand, unsqueeze, view
from retrograd.tensor import Tensor

__all__ = ["cross", "diagonal", "multi_dot", "vander", "vecdot"]


def _check_chain(tensors: Sequence[Tensor]) -> None:
    """Refuse matrices that make no product."""
    count = len(tensors)
    if count < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {count}")
    for i, each in enumerate(tensors):
        if i in (0, count - 1) and each.ndim not in (1, 2):
            which = "first" if i == 0 else "last"
            raise RuntimeError(f"multi_dot(): the {which} tensor must be 1D or 2D but got {each.ndim}D")
        if 0 < i < count - 1 and each.ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {i} must be 2D but got {each.ndim}D")
        if each.dtype is not tensors[0].dtype:
            raise RuntimeError(
                f"multi_dot(): all tensors must have be the same dtype but tensor 0 is {cpp_name(tensors[0].dtype)} "
                f"and tensor {i} {cpp_name(each.dtype)}"
            )


def _order(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split the chain of matrices i to j, so that the fewest numbers are multiplied."""
    count = len(sizes) - 1
    cost = {(i, i): 0 for i in range(count)}
    split: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            costs = [(cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)]
            cost[i, j], split[i, j] = min(costs)
    return split


@of_linalg
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of matrices, in the order that takes the fewest multiplications.

    Parameters
    ----------
    tensors
        Matrices; the first may be a vector, which is a row, and the last one, which is a column.

    Raises
    ------
    RuntimeError
        If there are fewer than two, or their shapes or types do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.multi_dot.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.multi_dot([retrograd.ones(2, 3), retrograd.ones(3, 4), retrograd.ones(4)])
    tensor([12., 12.])
    """
    _check_chain(tensors)
    first, *_, last = tensors
    chain = list(tensors)
    chain[0] = unsqueeze(first, 0) if first.ndim == 1 else first
    chain[-1] = unsqueeze(last, -1) if last.ndim == 1 else last
    for i, (a, b) in enumerate(itertools.pairwise(chain)):
        if a.shape[-1] != b.shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(a.shape)} and {list(b.shape)} cannot be "
                "multiplied"
            )
    split = _order([chain[0].shape[0], *(each.shape[1] for each in chain)])

    def product(i: int, j: int) -> Tensor:
        if i == j:
            return chain[i]
        return matmul(product(i, split[i, j]), product(split[i, j] + 1, j))

    found = product(0, len(chain) - 1)
    if first.ndim == last.ndim == 2:
        return found
    made: Tensor = view(found, (*first.shape[:-1], *last.shape[1:]))
    return made


def _vector_product(K: Any, a: Any, b: Any, dim: int) -> Any:
    def turned(x: Any, by: int) -> Any:
        return K.roll(x, (-by,), (dim,))

    return turned(a, 1) * turned(b, 2) - turned(a, 2) * turned(b, 1)


@op(
    name="_linalg_cross",
    node="LinalgCrossBackward0",
    vjp={
        "self": lambda K, g, self_shape, other, dim: sum_to(K, _vector_product(K, other, g, dim), self_shape),
        "other": lambda K, g, self, other_shape, dim: sum_to(K, _vector_product(K, g, self, dim), other_shape),
    },
    jvp="multilinear",
)
def _linalg_cross(K, self: Array, other: Array, dim: int) -> Array:
    """Of the same number of dimensions, and both of 3 elements along `dim`."""
    return K.row_major(_vector_product(K, self, other, dim))


@of_linalg
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product of vectors of three elements, along `dim`.

    Raises
    ------
    RuntimeError
        If the vectors have not three elements, or shapes or types do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.cross.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.cross(retrograd.tensor([1.0, 0.0, 0.0]), retrograd.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    if input.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if input.dtype is bool_ and other.dtype is bool_:
        raise not_implemented("cross", bool_)
    at = wrap_dim(dim, input.ndim)
    if input.shape[at] != 3 or other.shape[at] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[at]} and {other.shape[at]}"
        )
    if input.dtype is not other.dtype:
        raise RuntimeError(f"expected scalar type {input.dtype.type_name} but found {other.dtype.type_name}")
    broadcast_shapes(tuple(input._array.shape), tuple(other._array.shape))
    return _linalg_cross(input, other, at)


@of_linalg
def vander(x: Tensor, N: int | None = None) -> Tensor:
    """The matrix with row i ``1, x[i], x[i]**2, ...`` of `N` powers; by default as many as there are elements.

    Raises
    ------
    RuntimeError
        If `N` is less than 2.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.vander.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.vander(retrograd.tensor([2, 3]), N=3)
    tensor([[1, 2, 4],
            [1, 3, 9]])
    """
    count = (x.shape[-1] if x.ndim else 1) if N is None else as_int(N)
    if count <= 1:
        raise RuntimeError("N must be greater than 1.")
    if x.dtype is bool_ or is_half(x.dtype):
        raise RuntimeError(
            f"linalg.vander supports floating point, complex, and integer tensors, but got {x.dtype.type_name}"
        )
    if x.dtype.category < Category.FLOAT:
        x = x.to(int64)
    column = unsqueeze(x if x.ndim else unsqueeze(x, 0), -1)
    powers = publics["cumprod"](expand(column, (*column.shape[:-1], count - 1)), -1)
    return cat([ones_like(column), powers], -1)


@of_linalg
@in_lower_type
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The inner products of vectors along `dim`, the first conjugated: ``sum(x.conj() * y)``.

    Raises
    ------
    RuntimeError
        If shapes or types do not fit, or the elements are integers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.vecdot.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.vecdot(retrograd.tensor([1.0, 2.0]), retrograd.tensor([3.0, 4.0]))
    tensor(11.)
    """
    check_floating("linalg.vecdot", x)
    if x.dtype is not y.dtype:
        raise RuntimeError(
            f"linalg.vecdot: Expected x and y to have the same dtype, but found x of type {x.dtype.type_name} and y of "
            f"type {y.dtype.type_name} instead"
        )
    if x.ndim == 1 and y.ndim == 1:
        return vdot(x, y)
    return ((x.conj() if x.is_complex() else x) * y).sum(dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """A view of the diagonals of matrices, in the last dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.diagonal.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.diagonal(retrograd.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    return _diagonal(A, offset, dim1, dim2)


def first_of_three(input: Tensor) -> int:
    """The first dimension of size 3, along which `retrograd.cross` takes vectors unless told."""
    found = next((i for i, n in enumerate(input.shape) if n == 3), None)
    if found is None:
        raise RuntimeError("no dimension of size 3 in input")
    return found
