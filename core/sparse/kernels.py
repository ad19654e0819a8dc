"""What kernels do with sparse operands. Each rule is written on the record's two tensors, in ordinary operators."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from retrograd.ops.arrange import cat, stack as stacked
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.ops.declare import publics
from retrograd.sparse.compressed import Compressed
from retrograd.sparse.coo import Coo, counted, flat_keys
from retrograd.sparse.merging import intersection, merged
from retrograd.sparse.table import as_tensor, kernel
from retrograd.tensor import Tensor, wrap_array

__all__ = [
    "add_to_dense", "broadcast_coo", "dense_values", "empty_coo", "mask_of", "on_values",
    "projected", "summed",
]  # fmt: skip

Shape = tuple[int, ...]


def empty_coo(side: Any, shape: Sequence[int], native: Any, sparse_dim: int | None = None) -> Coo:
    """Nothing stored."""
    count = len(shape) if sparse_dim is None else sparse_dim
    k = side.dense
    indices = wrap_array(k.zeros((count, 0), k.dtypes["int64"]), k)
    values = wrap_array(k.zeros((0, *shape[count:]), native), k)
    return Coo(side, indices, values, tuple(shape), True)


def dense_values(array: Coo | Compressed) -> Tensor:
    """All elements, those that are not stored as zeros."""
    if isinstance(array, Compressed):
        array = array.coordinates()
    sizes = array.shape[: array.sparse_dim]
    flat = array.values.new_zeros((prod(sizes), *array.shape[array.sparse_dim :]))
    keys = flat_keys(array.indices, array.shape)
    if array.values.dtype.name == "bool":
        flat = flat.int().index_add(0, keys, array.values.int()).bool()
    elif array.nnz:
        flat = flat.index_add(0, keys, array.values)
    return flat.reshape(array.shape)


def mask_of(dense: Tensor, mask: Any) -> Any:
    """The elements of a dense tensor at the coordinates of `mask`."""
    if isinstance(mask, Compressed):
        return mask.with_values(mask_of(dense, mask.coordinates()).values)
    flat = dense.reshape(prod(mask.shape[: mask.sparse_dim]), *mask.shape[mask.sparse_dim :])
    values = flat.index_select(0, flat_keys(mask.indices, mask.shape))
    return Coo(mask.side, mask.indices.clone(), values, mask.shape, mask.coalesced)


def projected(array: Any, mask: Any) -> Any:
    """The elements of a sparse array at the coordinates of `mask`; zeros where it stores none."""
    if isinstance(mask, Compressed):
        return mask.with_values(projected(array, mask.coordinates()).values)
    if isinstance(array, Compressed):
        array = array.coordinates()
    given = array.in_order()
    wanted = flat_keys(mask.indices, mask.shape)
    if not given.nnz:
        values = given.values.new_zeros((mask.nnz, *given.values.shape[1:]))
    else:
        keys = flat_keys(given.indices, given.shape)
        places = _searchsorted(keys, wanted)
        hit = keys.index_select(0, places) == wanted
        values = given.values.index_select(0, places)
        values = values * hit.reshape(-1, *(1,) * (values.ndim - 1)).to(values.dtype)
    return Coo(mask.side, mask.indices.clone(), values, mask.shape, mask.coalesced)


def _searchsorted(keys: Tensor, wanted: Tensor) -> Tensor:
    places: Tensor = publics["searchsorted"](keys, wanted)
    return places.clamp(max=keys.numel() - 1)


# -- arithmetic ----------------------------------------------------------------------------------


@kernel("negative")
def _negative(side: Any, x: Coo) -> Coo:
    return x.with_values(-x.values)


def _add(side: Any, a: Any, b: Any, sign: int) -> Any:
    if not isinstance(a, Coo):
        return add_to_dense(side, as_tensor(side, a), b, sign)
    if not isinstance(b, Coo):
        raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
    if a.shape != b.shape:
        raise RuntimeError(
            f"add: expected sizes of 'self' and 'other' to match, but {list(a.shape)} != {list(b.shape)}"
        )
    if a.sparse_dim != b.sparse_dim:
        raise RuntimeError(
            f"cadd operands have incompatible desnitude: self has {a.sparse_dim} sparse dimensions, while other has "
            f"{b.sparse_dim}"
        )
    return merged(a, b, sign)


def add_to_dense(side: Any, dense: Any, sparse: Coo, sign: int) -> Any:
    if not isinstance(dense, Tensor):
        raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
    if tuple(dense.shape) != sparse.shape:
        if not dense.ndim:
            raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
        raise RuntimeError(
            f"add: expected 'self' and 'other' to have same size, but self has size {list(dense.shape)} while other "
            f"has size {list(sparse.shape)} (FYI: dense-sparse addition does not currently support broadcasting)"
        )
    if not sparse.nnz:
        return dense.clone()._array
    values = sparse.values if sign > 0 else -sparse.values
    if values.dtype is not dense.dtype:
        values = values.to(dense.dtype)
    count = sparse.sparse_dim
    flat = dense.reshape(prod(sparse.shape[:count]), *sparse.shape[count:])
    return flat.index_add(0, flat_keys(sparse.indices, sparse.shape), values).reshape(sparse.shape)._array


@kernel("add")
def _plus(side: Any, a: Any, b: Any, out: Any = None) -> Any:
    return _add(side, a, b, 1)


@kernel("subtract")
def _minus(side: Any, a: Any, b: Any) -> Any:
    return _add(side, a, b, -1)


@kernel("multiply")
def _times(side: Any, a: Any, b: Any) -> Any:
    if isinstance(a, Coo) and isinstance(b, Coo):
        return intersection(a, b)
    sparse, other = (a, b) if isinstance(a, Coo) else (b, a)
    if not _has_shape(other):
        return sparse.with_values(sparse.values * as_tensor(side, other))
    return _times_dense(sparse, as_tensor(side, other))


def _has_shape(value: Any) -> bool:
    """Whether it is an array of at least one dimension."""
    return hasattr(value, "shape") and len(value.shape) > 0


def _times_dense(sparse: Coo, dense: Tensor) -> Coo:
    shape = broadcast_shapes(sparse.shape, tuple(dense.shape))
    if shape != sparse.shape:
        sparse = broadcast_coo(sparse.in_order(), shape, True)
    if tuple(dense.shape) != shape:
        dense = dense.expand(shape)
    factors = mask_of(dense, sparse).values
    return sparse.with_values(sparse.values * factors)


def broadcast_coo(array: Coo, shape: Shape, in_order: bool = False) -> Coo:
    """With copies along dimensions of size 1, and along new ones in front."""
    lead = len(shape) - array.ndim
    count = array.sparse_dim + lead
    sizes = (*(1,) * lead, *array.shape)
    dense = shape[count:]
    values = array.values
    if tuple(values.shape[1:]) != dense:
        values = values.expand(array.nnz, *dense)
    indices = cat([array.indices.new_zeros((lead, array.nnz)), array.indices]) if lead else array.indices
    for axis in range(count):
        if sizes[axis] != shape[axis]:
            indices, values = _repeated(indices, values, axis, shape[axis])
    made = Coo(array.side, indices, values, shape, False)
    if not in_order:
        return made
    return made.in_order()


def _repeated(indices: Tensor, values: Tensor, axis: int, size: int) -> tuple[Tensor, Tensor]:
    """Each element once for every index of a dimension in which all are at 0."""
    n = int(indices.shape[1])
    places = counted(n, indices).repeat_interleave(size)
    indices = indices.index_select(1, places)
    numbers = counted(size, indices).repeat(n)
    rows = [*indices.unbind(0)]
    rows[axis] = numbers
    return stacked(rows), values.index_select(0, places)


@kernel("divide")
def _over(side: Any, a: Any, b: Any) -> Any:
    _check_divisor(b)
    made = a.with_values(a.values / as_tensor(side, b))
    return made


@kernel("floor_divide")
def _over_down(side: Any, a: Any, b: Any) -> Any:
    _check_divisor(b)
    given = a.in_order()
    return given.with_values(given.values // as_tensor(side, b))


def _check_divisor(b: Any) -> None:
    if isinstance(b, Coo) or _has_shape(b):
        raise RuntimeError(
            "Sparse division requires a scalar or zero-dim dense tensor divisor (got shape "
            f"{list(b.shape)} for divisor)"
        )


@kernel("pow")
def _power(side: Any, a: Any, b: Any) -> Any:
    if isinstance(b, Coo) or _has_shape(b):
        from retrograd.sparse.table import no_kernel

        raise no_kernel("pow.Tensor_Tensor" if isinstance(a, Coo) else "pow.Scalar")
    exponent = as_tensor(side, b)
    exponent = exponent.item() if isinstance(exponent, Tensor) else exponent
    if exponent == 0:
        raise RuntimeError("pow: cannot raise to zeroth power on sparse tensor; it would make the result tensor dense")
    given = a.in_order()
    return given.with_values(given.values**exponent)


def on_values(name: str) -> Any:
    def rule(side: Any, x: Coo) -> Coo:
        given = x.in_order()
        return given.with_values(getattr(side.dense, name)(given.values._array))

    return rule


_KEEP_ZEROS = (
    "abs sign sin sinh tan tanh asin asinh atan atanh sqrt log1p expm1 ceil floor round trunc isnan isinf".split()
)
"""Kernels of one operand that formulas may call."""

for _name in _KEEP_ZEROS:
    kernel(_name)(on_values(_name))


# -- types and copies ----------------------------------------------------------------------------


@kernel("astype")
def _astype(side: Any, x: Coo, native: Any) -> Coo:
    return x.with_values(side.dense.astype(x.values._array, native))


@kernel("copy")
def _copy(side: Any, x: Coo) -> Coo:
    return x.copy()


@kernel("zeros_like")
def _zeros_like(side: Any, x: Coo) -> Coo:
    return empty_coo(side, x.shape, x.dtype, x.sparse_dim)


@kernel("conj")
def _conj(side: Any, x: Coo) -> Coo:
    values = x.values
    return x.with_values(values.conj_physical() if values.is_complex() else values)


@kernel("real")
def _real(side: Any, x: Coo) -> Coo:
    return x.with_values(side.dense.real(x.values._array))


@kernel("imag")
def _imag(side: Any, x: Coo) -> Coo:
    return x.with_values(side.dense.imag(x.values._array))


@kernel("as_real")
def _as_real(side: Any, x: Coo) -> Coo:
    return x.with_values(side.dense.as_real(x.values._array))


@kernel("as_complex")
def _as_complex(side: Any, x: Coo) -> Coo:
    return x.with_values(side.dense.as_complex(x.values._array))


@kernel("broadcast_to")
def _broadcast_to(side: Any, x: Coo, shape: Shape) -> Coo:
    if x.shape == tuple(shape):
        return x
    raise RuntimeError("expand is unsupported for Sparse tensors")


@kernel("reshape")
def _reshape(side: Any, x: Coo, shape: Shape) -> Any:
    if x.shape == tuple(shape):
        return x
    if prod(x.shape) == prod(shape) == 1:
        return dense_values(x).reshape(tuple(shape))._array
    lead = x.ndim - len(shape)
    if lead > 0 and x.shape == (*(1,) * lead, *shape) and lead < x.sparse_dim:
        return Coo(side, x.indices[lead:], x.values, tuple(shape), x.coalesced)
    raise RuntimeError("reshape is not implemented for sparse tensors")


# -- sums ----------------------------------------------------------------------------------------


def summed(x: Coo, dims: Sequence[int], keepdim: bool = False) -> Any:
    """Over some dimensions: a tensor, if no sparse one is left, else sparse and in order."""
    count = x.sparse_dim
    values = x.values
    inner = [each - count + 1 for each in dims if each >= count]
    if inner:
        values = values.sum(inner, keepdim=keepdim, dtype=values.dtype)
    outer = [each for each in dims if each < count]
    if len(outer) == count and not keepdim:
        return values.sum(0, dtype=values.dtype)
    rest = [i for i in range(count) if i not in outer]
    sizes = tuple(x.shape[i] for i in rest)
    indices = x.indices.index_select(0, x.indices.new_tensor(rest)) if outer else x.indices
    made = Coo(x.side, indices, values, (*sizes, *values.shape[1:]), x.coalesced and not outer)
    if not keepdim or not outer:
        return made.in_order()
    return _with_ones(made.in_order() if rest else _one_element(made), outer, count)


def _one_element(x: Coo) -> Coo:
    total = x.values.sum(0, keepdim=True, dtype=x.values.dtype)
    return Coo(x.side, x.indices.new_zeros((0, 1)), total, x.shape, True)


def _with_ones(x: Coo, axes: Sequence[int], count: int) -> Coo:
    rows, left, sizes = [], iter(x.indices.unbind(0)), iter(x.shape)
    shape = []
    for axis in range(count):
        rows.append(x.indices.new_zeros(x.nnz) if axis in axes else next(left))
        shape.append(1 if axis in axes else next(sizes))
    return Coo(x.side, stacked(rows), x.values, (*shape, *sizes), False)


@kernel("sum")
def _sum(side: Any, x: Coo, dims: Sequence[int], keepdim: bool = False) -> Any:
    made = summed(x, dims, keepdim)
    return made if isinstance(made, Coo) else made._array


# -- joining --------------------------------------------------------------------------------------


@kernel("concat")
def _concat(side: Any, xs: Sequence[Any], axis: int) -> Coo:
    for position, each in enumerate(xs):
        if not isinstance(each, Coo):
            raise RuntimeError(f"Concatenating sparse tensors, but a dense tensor was found at position {position}.")
    first = xs[0]
    for position, each in enumerate(xs):
        if any(n != m for i, (n, m) in enumerate(zip(first.shape, each.shape, strict=True)) if i != axis):
            raise RuntimeError(
                f"All tensors must have the same shape: {list(first.shape)} (except in the concatenating dimension), "
                f"but found shape: {list(each.shape)} at position {position}."
            )
    shape = (*first.shape[:axis], sum(each.shape[axis] for each in xs), *first.shape[axis + 1 :])
    count = first.sparse_dim
    indices, values, start = [], [], 0
    for each in xs:
        if axis < count:
            rows = [*each.indices.unbind(0)]
            rows[axis] = rows[axis] + start
            indices.append(stacked(rows))
            values.append(each.values)
        else:
            indices.append(each.indices)
            at = axis - count + 1
            before, behind = list(each.values.shape), list(each.values.shape)
            before[at], behind[at] = start, shape[axis] - start - each.shape[axis]
            values.append(cat([each.values.new_zeros(before), each.values, each.values.new_zeros(behind)], at))
        start += each.shape[axis]
    return Coo(side, cat(indices, 1), cat(values), shape, False)


@kernel("stack")
def _stack(side: Any, xs: Sequence[Any], axis: int) -> Coo:
    from retrograd.sparse.views import unsqueezed

    return _concat(side, [unsqueezed(each, axis) if isinstance(each, Coo) else each for each in xs], axis)
