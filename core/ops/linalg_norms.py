"""Norms and condition numbers: functions of `retrograd.linalg`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from retrograd.autograd.modes import no_grad
from retrograd.dtypes import dtype as dtype_
from retrograd.ops.arguments import wrap_dim, wrap_dims
from retrograd.ops.autocasting import in_float32
from retrograd.ops.checks import check_norm_type, is_number
from retrograd.ops.declare import Op, publics
from retrograd.ops.factories import zeros_like
from retrograd.ops.factorizations import _linalg_inv
from retrograd.ops.linalg_checks import check_floating, check_matrices, of_linalg, zero_pivots
from retrograd.ops.linalg_spectra import svdvals
from retrograd.ops.reducing import native
from retrograd.ops.reductions import _vector_norm
from retrograd.ops.shape import movedim, unsqueeze
from retrograd.tensor import Tensor

__all__ = ["cond", "matrix_norm", "norm", "vector_norm"]


def _cast(name: str, input: Tensor, dtype: dtype_ | None) -> Tensor:
    if dtype is None:
        return input
    check_norm_type(name, input.dtype, dtype)
    return Op.cast(input, native(input, dtype))


def _shown(order: Any) -> str:
    """An order as PyTorch prints it."""
    return str(int(order)) if isinstance(order, float) and order.is_integer() else str(order)


@of_linalg
def vector_norm(
    x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: dtype_ | None = None
) -> Tensor:
    """The norm of vectors: ``sum(abs(x)**ord)**(1/ord)``.

    Parameters
    ----------
    ord
        Any number; with infinity it is the greatest modulus, with minus infinity the least, with 0 the number of
        elements that are not zero.
    dim
        The dimensions that make a vector; None for all.
    dtype
        The type in which to compute.

    Raises
    ------
    RuntimeError
        If the elements are integers or bools, `dtype` cannot hold them, or there are none and their norm is not
        defined.
    TypeError
        If `ord` is no number.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.vector_norm.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.vector_norm(retrograd.tensor([3.0, -4.0]))
    tensor(5.)
    """
    if not is_number(ord):
        raise TypeError(f"linalg_vector_norm(): argument 'ord' (position 2) must be Number, not {type(ord).__name__}")
    check_floating("linalg.vector_norm", x)
    x = _cast("linalg.vector_norm", x, dtype)
    dims = wrap_dims(dim, x.ndim)
    if ord < 0 or ord == math.inf:
        _check_identity(x, ord, dims, dim is None)
    return _vector_norm(x, ord if type(ord) is int else float(ord), dims, keepdim)


def _check_identity(x: Tensor, ord: Any, dims: Sequence[int], whole: bool) -> None:
    """Refuse a least or greatest element of none."""
    empty = [each for each in dims if x.ndim and x.shape[each] == 0]
    if not empty:
        return
    where = "an empty tensor" if whole else f"the dimension {empty[0]}"
    reason = "the operation" if whole else "this dimension is empty and the operation"
    raise RuntimeError(
        f"linalg.vector_norm cannot compute the {_shown(ord)} norm on {where} because {reason} does not have an "
        "identity"
    )


def _two(A: Tensor, dim: Any) -> tuple[int, int]:
    if isinstance(dim, int) or len(dim) != 2:
        shown = dim if isinstance(dim, int) else " ".join(map(str, dim))
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {shown}")
    first, second = (wrap_dim(each, A.ndim) for each in dim)
    if first == second:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})")
    return first, second


@of_linalg
def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: dtype_ | None = None
) -> Tensor:
    """The norm of matrices.

    Parameters
    ----------
    ord
        `"fro"`: the norm of all elements as a vector. `"nuc"`: the sum of the singular values. 2 and -2: the
        greatest and the least of these. 1 and -1: the greatest and least sum of a column's moduli; infinity and
        minus infinity: of a row's.
    dim
        The two dimensions that make a matrix.
    dtype
        The type in which to compute.

    Raises
    ------
    RuntimeError
        If `ord` is another, the dimensions are not two different ones, the elements are integers, or `dtype` cannot
        hold them.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_norm.html

    Examples
    --------
    >>> import retrograd
    >>> A = retrograd.tensor([[3.0, 0.0], [0.0, 4.0]])
    >>> retrograd.linalg.matrix_norm(A), retrograd.linalg.matrix_norm(A, ord=1)
    (tensor(5.), tensor(4.))
    """
    check_matrices("linalg.matrix_norm", A)
    check_floating("linalg.matrix_norm", A, low=ord not in ("nuc", 2, -2))
    rows, columns = _two(A, dim)
    if ord not in ("fro", "nuc") and (isinstance(ord, str) or abs(ord) not in (1, 2, math.inf)):
        raise RuntimeError(f"linalg.matrix_norm: Order {_shown(ord)} not supported.")
    A = _cast("linalg.matrix_norm", A, dtype)
    if ord == "fro":
        return vector_norm(A, 2, (rows, columns), keepdim)
    if not A.numel():
        return A.abs().sum((rows, columns), keepdim)
    if ord == "nuc" or abs(ord) == 2:
        return _of_values(movedim(A, (rows, columns), (-2, -1)), ord, sorted((rows, columns)) if keepdim else ())
    over = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = A.abs().sum(over[0], True)
    best = (sums.amax if ord > 0 else sums.amin)(over[1], True)
    return best if keepdim else best.squeeze((rows, columns))


def _of_values(A: Tensor, ord: Any, kept: Sequence[int]) -> Tensor:
    """A norm that is a function of the singular values, with some dimensions of size 1 put in."""
    values = svdvals(A)
    found = values.sum(-1) if ord == "nuc" else (values.amax if ord > 0 else values.amin)(-1)
    for each in kept:
        found = unsqueeze(found, each)
    return found


@of_linalg
def norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: dtype_ | None = None) -> Tensor:
    """The norm of vectors or matrices.

    Without `ord`, of the elements as one vector, or along `dim`. With it, of a vector if `A` has one dimension or
    `dim` is one; of a matrix if they are two, or `ord` is a word.

    Raises
    ------
    RuntimeError
        If there are more dimensions, or as for `vector_norm` and `matrix_norm`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.norm.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.norm(retrograd.tensor([[3.0, 0.0], [0.0, 4.0]]), ord=2)
    tensor(4.)
    """
    count = A.ndim if dim is None else 1 if isinstance(dim, int) else len(dim)
    if ord is not None and dim is None and A.ndim not in (1, 2):
        raise RuntimeError(
            f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A.ndim}D."
        )
    if ord is not None and dim is not None and not isinstance(ord, str) and count not in (1, 2):
        raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dim)}")
    if ord is not None and (isinstance(ord, str) or count == 2):
        return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype)


@of_linalg
@in_float32
def cond(A: Tensor, p: Any = None) -> Tensor:
    """The condition number: the norm of a matrix times that of its inverse; infinite if it has none.

    Parameters
    ----------
    p
        The norm, as in `matrix_norm`. With 2, which is the default, and -2 it is the quotient of singular values,
        and the matrices need not be square.

    Raises
    ------
    RuntimeError
        If `p` is another, or the matrices should be square.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.cond.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.cond(retrograd.tensor([[4.0, 0.0], [0.0, 2.0]]))
    tensor(2.)
    """
    if A.ndim < 2:
        raise RuntimeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if p not in (None, "fro", "nuc") and (isinstance(p, str) or abs(p) not in (1, 2, math.inf)):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {_shown(p)}")
    if p in (None, 2, -2):
        if not A.numel():
            return A.abs().sum((-2, -1))
        values = svdvals(A)
        return values[..., -1] / values[..., 0] if p == -2 else values[..., 0] / values[..., -1]
    n, m = A.shape[-2:]
    if n != m:
        raise RuntimeError(
            f"linalg.cond(ord={_shown(p)}): A must be batches of square matrices, but they are {n} by {m} matrices"
        )
    if not A.numel():
        return A.abs().sum((-2, -1))
    with no_grad():
        singular = any(zero_pivots(A))
    found = matrix_norm(A, p) * _norm_of_inverse(A, p, singular)
    return publics["where"](found.isnan(), math.inf, found) if singular else found


def _norm_of_inverse(A: Tensor, p: Any, singular: bool) -> Tensor:
    """That of the inverses; NaN for matrices that have none."""
    inverse = _linalg_inv(A)
    if not singular:
        return matrix_norm(inverse, p)
    bad = ~inverse.isfinite().all(-1).all(-1)
    clean = publics["where"](bad[..., None, None], zeros_like(inverse), inverse)
    return publics["where"](bad, math.nan, matrix_norm(clean, p))
