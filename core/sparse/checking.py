"""`gradcheck` of functions of sparse tensors: the same functions, of dense ones."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from retrograd.sparse.compressed import Compressed
from retrograd.sparse.compressing import compressed_tensor, to_sparse_csc, to_sparse_csr
from retrograd.sparse.construction import coo_tensor
from retrograd.sparse.conversion import to_sparse
from retrograd.tensor import Tensor

__all__ = ["as_sparse_gradcheck", "on_dense"]


def on_dense(
    func: Callable[..., Any], inputs: tuple[Any, ...], masked: bool
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A function of dense tensors that gives what `func` gives of sparse ones, and such tensors.

    Masked, these are the values that the sparse tensors store; otherwise all elements, and what is zero is not stored.
    """
    makers: list[Callable[[Any], Any]] = []
    given: list[Any] = []
    for each in inputs:
        if not (isinstance(each, Tensor) and each._kernels.sparse):
            makers.append(_itself)
            given.append(each)
            continue
        source = each.detach()
        if masked:
            dense, make = source._array.values.clone(), functools.partial(_from_values, source)
        else:
            dense, make = source.to_dense(), functools.partial(_from_all, source)
        makers.append(make)
        given.append(dense.requires_grad_(each.requires_grad))

    def of_dense(*args: Any) -> Any:
        return func(*(make(each) for make, each in zip(makers, args, strict=True)))

    return of_dense, tuple(given)


def _itself(value: Any) -> Any:
    return value


def _from_values(source: Tensor, values: Tensor) -> Tensor:
    array = source._array
    if isinstance(array, Compressed):
        return compressed_tensor(array.starts, array.places, values, array.shape, array.by_rows)
    return coo_tensor(array.indices, values, array.shape, array.coalesced)


def _from_all(source: Tensor, dense: Tensor) -> Tensor:
    array = source._array
    if isinstance(array, Compressed):
        return to_sparse_csr(dense) if array.by_rows else to_sparse_csc(dense)
    return to_sparse(dense, array.sparse_dim)


def as_sparse_gradcheck(gradcheck: Callable[..., Any]) -> Callable[..., Any]:
    """`gradcheck` for functions of sparse tensors, which ours takes as it is.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse.as_sparse_gradcheck.html

    Examples
    --------
    >>> import retrograd
    >>> check = retrograd.sparse.as_sparse_gradcheck(retrograd.autograd.gradcheck)
    >>> x = retrograd.eye(2, dtype=retrograd.float64).to_sparse().requires_grad_()
    >>> check(lambda x: retrograd.sparse.mm(x, x.to_dense()), x, masked=True)
    True
    """

    @functools.wraps(gradcheck)
    def checked(func: Callable[..., Any], inputs: Any, **options: Any) -> Any:
        return gradcheck(_with_dense_results(func, bool(options.get("masked", False))), inputs, **options)

    return checked


def _with_dense_results(func: Callable[..., Any], masked: bool) -> Callable[..., Any]:
    def dense(*args: Any) -> Any:
        result = func(*args)
        if isinstance(result, (tuple, list)):
            return tuple(_dense(each, masked) for each in result)
        return _dense(result, masked)

    return dense


def _dense(value: Any, masked: bool) -> Any:
    is_sparse = isinstance(value, Tensor) and value._kernels.sparse
    return value.to_dense(masked_grad=masked) if is_sparse else value
