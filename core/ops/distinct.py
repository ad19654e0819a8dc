"""The distinct elements of a tensor, or its distinct slices."""

from __future__ import annotations

import math
from typing import Any

from retrograd.levels import is_mapped
from retrograd.ops.batching import refuse_dynamic
from retrograd.ops.declare import Array, composite, publics
from retrograd.ops.factories import arange, empty_like, ones_like, zeros_like
from retrograd.ops.flags import flagged, told
from retrograd.ops.selection import argsort, real_only
from retrograd.ops.underived import underived
from retrograd.tensor import Tensor, wrap_array

__all__: list[str] = []


@composite
@flagged
@told(sorted=("_unique2", 0), return_inverse=("_unique2", 0), return_counts=("_unique2", 0))
def unique(
    input: Array,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements, in order, or the distinct slices along `dim`; without a derivative.

    Parameters
    ----------
    return_inverse
        Also return, for each element, where among the distinct ones it is.
    return_counts
        Also return how often each distinct one occurs.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unique.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.unique(retrograd.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    real_only("unique", input)
    if is_mapped(input):
        refuse_dynamic("_unique2" if dim is None else "unique_dim")
    if dim is None:
        return _unique_elements(input, return_inverse, return_counts)
    return _unique_slices(input, dim, return_inverse, return_counts)


@underived("unique_dim", "input", node="UniqueDimBackward0")
def _unique_slices(input: Tensor, dim: int, return_inverse: bool, return_counts: bool) -> Any:
    rows = input.movedim(dim, 0).reshape(input.shape[dim], -1)
    order, group = _groups(rows)
    count = int(group[-1]) + 1 if len(group) else 0
    inverse = empty_like(group).scatter(0, order, group)
    first = _first_of_groups(order, group)
    counts = zeros_like(first).scatter_add(0, group, ones_like(group))
    results = [input.index_select(dim, first)]
    results += [inverse] if return_inverse else []
    results += [counts[:count]] if return_counts else []
    return results[0] if len(results) == 1 else tuple(results)


@underived("_unique2", "input", node="Unique2Backward0")
def _unique_elements(input: Tensor, return_inverse: bool, return_counts: bool) -> Any:
    k = input._kernels
    size = math.prod(input._array.shape)
    flat, integers = k.reshape(input._array, (size,)), k.dtypes["int64"]
    order = k.argsort(flat, 0, False, True)
    ordered = k.gather(flat, order, 0)
    some = int(size > 0)
    head, tail = (k.slice(ordered, (part,)) for part in (slice(0, size - some), slice(some, size)))
    starts = k.concat([k.ones((some,), k.dtypes["bool"]), k.not_equal(head, tail)], 0)
    first = k.nonzero(starts)[0]
    results = [k.gather(ordered, first, 0)]
    if return_inverse:
        groups = k.cumsum(k.astype(starts, integers), 0) - 1
        results.append(k.reshape(k.scatter(groups, order, groups, 0), tuple(input._array.shape)))
    if return_counts:
        ends = k.concat([k.slice(first, (slice(1, first.shape[0]),)), k.full((some,), size, integers)], 0)
        results.append(ends - first)
    made = tuple(wrap_array(each, k) for each in results)
    return made[0] if len(made) == 1 else made


def _groups(rows: Any) -> tuple[Any, Any]:
    """An order in which equal rows are neighbours, and the number of each row's group in that order."""
    order = arange(rows.shape[0], device=rows.device)
    for column in reversed(range(rows.shape[1])):
        order = order[argsort(rows[order, column])]
    ordered = rows[order]
    changes = (ordered[1:] != ordered[:-1]).any(1).long()
    start = zeros_like(order[:1])
    return order, publics["cat"]([start, changes]).cumsum(0)


def _first_of_groups(order: Any, group: Any) -> Any:
    """The first row of each group; rows of a group stand in their own order."""
    starts = publics["cat"]([group[:1] == 0, group[1:] != group[:-1]])
    return order[starts]
