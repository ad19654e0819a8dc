"""What kernels do with matrices in compressed rows or columns; what is not done on the values, by coordinates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retrograd.sparse.compressed import Compressed, compressed_from
from retrograd.sparse.coo import Coo
from retrograd.sparse.kernels import _has_shape, add_to_dense, mask_of, on_values
from retrograd.sparse.merging import intersection, merged
from retrograd.sparse.multiplying import multiply_matrices
from retrograd.sparse.table import COMPRESSED_RULES, as_tensor
from retrograd.sparse.views import selected

__all__: list[str] = []

for _name in (
    "negative abs sign sin sinh tan tanh asin asinh atan atanh sqrt log1p expm1 ceil floor round trunc isnan isinf"
).split():
    COMPRESSED_RULES[_name] = on_values(_name)


def _rule(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(rule: Callable[..., Any]) -> Callable[..., Any]:
        COMPRESSED_RULES[name] = rule
        return rule

    return register


def _pair(a: Any, b: Any) -> tuple[Any, Any]:
    return tuple(each.coordinates() if isinstance(each, Compressed) else each for each in (a, b))  # type: ignore[return-value]  # two


def _layout_of(a: Any, b: Any) -> bool:
    return next(each.by_rows for each in (a, b) if isinstance(each, Compressed))


@_rule("add")
def _add(side: Any, a: Any, b: Any) -> Any:
    """The sum with a dense matrix is dense, on whichever side it stands."""
    one, other = _pair(a, b)
    if isinstance(one, Coo) and isinstance(other, Coo):
        if one.shape != other.shape:
            raise RuntimeError(
                f"torch.add: Expected input tensors to have the same shape but got {list(one.shape)} and "
                f"{list(other.shape)}".replace("torch.", "")
            )
        return compressed_from(merged(one.in_order(), other.in_order(), 1), _layout_of(a, b))
    dense, sparse = (one, other) if isinstance(other, Coo) else (other, one)
    return add_to_dense(side, as_tensor(side, dense), sparse, 1)


@_rule("multiply")
def _multiply(side: Any, a: Any, b: Any) -> Any:
    sparse, other = (a, b) if isinstance(a, Compressed) else (b, a)
    if isinstance(other, (Compressed, Coo)):
        one, second = _pair(a, b)
        return compressed_from(intersection(one.in_order(), second.in_order()), _layout_of(a, b))
    if not _has_shape(other):
        return sparse.with_values(sparse.values * as_tensor(side, other))
    factors = mask_of(as_tensor(side, other).expand(sparse.shape), sparse).values
    return sparse.with_values(sparse.values * factors)


@_rule("matmul")
def _matmul(side: Any, a: Any, b: Any) -> Any:
    made = multiply_matrices(side, *_pair(a, b))
    return compressed_from(made) if isinstance(made, Coo) else made


@_rule("astype")
def _astype(side: Any, x: Compressed, native: Any) -> Compressed:
    return x.with_values(side.dense.astype(x.values._array, native))


@_rule("copy")
def _copy(side: Any, x: Compressed) -> Compressed:
    return x.copy()


@_rule("conj")
def _conj(side: Any, x: Compressed) -> Compressed:
    return x.with_values(x.values.conj_physical() if x.values.is_complex() else x.values)


@_rule("zeros_like")
def _zeros_like(side: Any, x: Compressed) -> Compressed:
    starts, places = x.starts.new_zeros(int(x.starts.shape[0])), x.places.new_zeros(0)
    return Compressed(side, starts, places, x.values.new_zeros(0), x.shape, x.by_rows)


@_rule("permute_dims")
def _permute(side: Any, x: Compressed, axes: Sequence[int]) -> Compressed:
    return x.mT if tuple(axes) == (1, 0) else x


@_rule("broadcast_to")
def _broadcast_to(side: Any, x: Compressed, shape: tuple[int, ...]) -> Compressed:
    if x.shape == tuple(shape):
        return x
    raise RuntimeError("Expand is unsupported for SparseCsr tensors")


@_rule("sum")
def _sum(side: Any, x: Compressed, dims: Sequence[int], keepdim: bool = False) -> Any:
    if len(dims) == 2 and not keepdim:
        return x.values.sum(dtype=x.values.dtype)._array
    if not keepdim:
        raise RuntimeError("reduction operations on CSR tensors with keepdim=False is unsupported")
    from retrograd.sparse.kernels import summed

    return compressed_from(summed(x.coordinates(), dims, True))


@_rule("slice")
def _slice(side: Any, x: Compressed, key: Sequence[Any]) -> Any:
    return side.slice(x.coordinates(), key) if len(key) > 1 else selected(x.coordinates(), 0, key[0])
