"""Where values stand among others, and how many there are: searching, counting, membership. None has a derivative."""

from __future__ import annotations

import math
from typing import Any

from retrograd import dtypes
from retrograd.autograd.explaining import remember_break
from retrograd.autograd.modes import no_grad
from retrograd.levels import is_mapped
from retrograd.ops.arguments import as_int, as_ints
from retrograd.ops.arrange import cat
from retrograd.ops.batching import refuse_dynamic, sample_by_sample
from retrograd.ops.bounds import _clamp_number
from retrograd.ops.checks import least_and_greatest, not_implemented
from retrograd.ops.declare import composite
from retrograd.ops.factories import full_like, ones, ones_like, zeros, zeros_like
from retrograd.ops.flags import flagged
from retrograd.ops.indexing import _scatter_add, gather, where
from retrograd.ops.selection import real_only
from retrograd.ops.shape import movedim, narrow, reshape, unsqueeze
from retrograd.ops.underived import underived
from retrograd.tensor import Tensor, wrap_array

__all__: list[str] = []

# -- searching -----------------------------------------------------------------------------------


def _after(bound: Tensor, value: Tensor, right: bool) -> Tensor:
    """Whether the place of `value` is after `bound`; NaN is greater than all numbers."""
    if not bound.dtype.is_floating_point:
        return bound <= value if right else bound < value
    beyond = bound > value if right else bound >= value
    nan = bound.isnan()
    return ~(beyond | (nan & ~value.isnan() if right else nan))


def _search(sequence: Tensor, values: Tensor, right: bool) -> Tensor:
    """By halving the part that is left, of all values at once, where the backend has no way of its own."""
    k, vector = values._kernels, sequence._array
    if (
        k.searchsorted is not None
        and sequence._kernels is k
        and sequence.ndim == 1
        and vector.dtype == values._array.dtype
    ):
        found = wrap_array(k.as_array(k.searchsorted(vector, values._array, right)), k)
        remember_break("searchsorted", (sequence, values), (found,), False, False)
        return found
    size = sequence.shape[-1]
    low = zeros_like(values, dtype=dtypes.int64)
    high = full_like(low, size)
    for _ in range(size.bit_length()):
        open_ = low < high
        middle = (low + high) // 2
        at = middle.clamp(max=size - 1)
        bound = sequence[at] if sequence.ndim == 1 else gather(sequence, -1, at)
        after = _after(bound, values, right)
        low = where(open_ & after, middle + 1, low)
        high = where(open_ & ~after, middle, high)
    return low


@composite
@flagged
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where in a sorted sequence each value would be put, so that it stays sorted.

    Parameters
    ----------
    sorted_sequence
        Sorted along its last dimension; of one dimension, or of the shape of `input` but for the last.
    right
        Behind what is equal, instead of in front; or `side="right"`.
    sorter
        The order that sorts the sequence, if it is not sorted.

    Raises
    ------
    RuntimeError
        If the shapes do not fit, or `side` contradicts `right`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.searchsorted.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.searchsorted(retrograd.tensor([1, 3, 5]), retrograd.tensor([0, 3, 9]))
    tensor([0, 1, 3])
    """
    if side is not None and side not in ("left", "right"):
        raise RuntimeError(f"retrograd.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError(
            "retrograd.searchsorted(): side and right can't be set to opposites, got side of left while right was True"
        )
    values = input if isinstance(input, Tensor) else full_like(reshape(sorted_sequence, -1)[:1].sum(), input)
    for each in (sorted_sequence, values):
        if each.is_complex() or each.dtype in dtypes.FLOAT8 or sorted_sequence.dtype is values.dtype is dtypes.bool_:
            raise not_implemented("searchsorted_out_cpu", each.dtype)
    if sorted_sequence.ndim != 1 and tuple(sorted_sequence.shape[:-1]) != tuple(values.shape[:-1]):
        raise RuntimeError(
            "retrograd.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of "
            "boundaries tensor and input value tensor must match, but we got boundaries tensor "
            f"{list(sorted_sequence.shape)} and input value tensor {list(values.shape)}"
        )
    with no_grad():
        if sorter is not None:
            sorted_sequence = gather(sorted_sequence, -1, sorter)
        found = _search(sorted_sequence, values, right or side == "right")
        return found.to(dtypes.int32) if out_int32 else found


@composite
@flagged
def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """The number of the interval between `boundaries`, which are sorted, that each value lies in.

    Raises
    ------
    RuntimeError
        If the boundaries are not one-dimensional.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bucketize.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.bucketize(retrograd.tensor([3, 6]), retrograd.tensor([1, 3, 5]))
    tensor([1, 3])
    """
    if boundaries.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


@composite
@flagged
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each element is among others.

    Parameters
    ----------
    assume_unique
        Accepted: nothing is faster for it here.
    invert
        Whether it is not.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isin.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.isin(retrograd.tensor([1, 2, 3]), retrograd.tensor([3, 1]))
    tensor([ True, False,  True])
    """
    from retrograd.ops.creation import tensor

    given = elements, test_elements
    if not (isinstance(elements, Tensor) and isinstance(test_elements, Tensor)):
        where = next((each.device for each in given if isinstance(each, Tensor)), None)
        elements, test_elements = (each if isinstance(each, Tensor) else tensor(each, device=where) for each in given)
    tested = test_elements
    for each in (elements, tested):
        if each.is_complex() or each.dtype is dtypes.bool_:
            raise RuntimeError(f"Unsupported input type encountered for isin(): {each.dtype.type_name}")
    with no_grad():
        found = _among(elements, tested)
        return ~found if invert else found


_FEW_PAIRS = 1 << 14  # up to which it is quicker to compare all than to sort


def _among(elements: Tensor, tested: Tensor) -> Tensor:
    count = tested.numel()
    if not count:
        return zeros_like(elements, dtype=dtypes.bool_)
    if count * elements.numel() <= _FEW_PAIRS:
        return (unsqueeze(elements, -1) == reshape(tested, -1)).any(-1)
    known = reshape(tested, -1).sort()[0]
    at = _search(known, elements, False).clamp(max=count - 1)
    return known[at] == elements


# -- counting ------------------------------------------------------------------------------------


def _tally(places: Tensor, count: int) -> Tensor:
    """How often each of 0, 1, ... `count` - 1 occurs in a vector of no other numbers."""
    k = places._kernels
    if k.bincount is None:
        return _scatter_add(zeros(count, dtype=dtypes.int64, device=places.device), 0, places, ones_like(places))
    made = wrap_array(k.bincount(places._array, count), k)
    remember_break("bincount", (places,), (made,), False, False)
    return made


@composite
@underived("bincount", "weights")
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, 2, ... occurs; or the sum of the weights where it does.

    Raises
    ------
    NotImplementedError
        If `input` is not of whole numbers.
    RuntimeError
        If one is negative, `input` is not one-dimensional, or there is not a weight for each.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bincount.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.bincount(retrograd.tensor([1, 1, 3]))
    tensor([0, 2, 0, 1])
    """
    if is_mapped(input) or (weights is not None and is_mapped(weights)):
        counted: Tensor = sample_by_sample("bincount", bincount, input, weights, minlength)
        return counted
    if input.dtype.category is not dtypes.Category.INTEGER:
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{input.dtype.type_name}'")
    minlength = as_int(minlength)
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if input.ndim == 1 and not input.numel():
        return zeros(minlength, dtype=dtypes.int64, device=input.device)
    least, most = least_and_greatest(input, int) if input.ndim == 1 else (-1, -1)
    if least < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    count = max(most + 1, minlength)
    if weights is None:
        return _tally(input.long(), count)
    if tuple(weights.shape) != tuple(input.shape):
        raise RuntimeError("weights should be 1-d and have the same length as input")
    if weights.dtype is not dtypes.float32:
        weights = weights.to(dtypes.float64)
    return _scatter_add(zeros(count, dtype=weights.dtype, device=input.device), 0, input.long(), weights)


_KERNELS_OF_HISTC = {
    dtypes.Category.BOOL: "linspace_cpu",
    dtypes.Category.INTEGER: "histogram_cpu",
    dtypes.Category.COMPLEX: "aminmax_cpu",
}


@composite
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements lie in each of `bins` equal parts of ``[min, max]``; others are not counted.

    Without bounds (or with equal ones), they are the least and the greatest element.

    Raises
    ------
    RuntimeError
        If there are no bins, or `max` is less than `min`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.histc.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.histc(retrograd.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    if bins <= 0:
        raise RuntimeError(f"retrograd.histogram(): bins must be > 0, but got {bins} for dimension 0")
    if max < min:
        raise RuntimeError("retrograd.histc: max must be larger than min")
    if input.dtype.category in _KERNELS_OF_HISTC:
        raise not_implemented(_KERNELS_OF_HISTC[input.dtype.category], input.dtype)
    if is_mapped(input):
        counted: Tensor = sample_by_sample("histc", histc, input, bins, min, max)
        return counted
    with no_grad():
        values = input if input.ndim == 1 else reshape(input, -1)
        low, high = float(min), float(max)
        within_bounds = low == high and values.numel() > 0
        if within_bounds:
            low, high = least_and_greatest(values, float)
        if low == high:
            low, high = low - 1, high + 1
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RuntimeError(f"retrograd.histc: range of [{low}, {high}] is not finite")
        if not within_bounds:
            values = values[(values >= low) & (values <= high)]
        places = _clamp_number(((values - low) / (high - low) * bins).long(), None, bins - 1)
        return _tally(places, bins).to(input.dtype)


@composite
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates, one tensor a dimension, of positions in the flattened tensor of `shape`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unravel_index.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.unravel_index(retrograd.tensor([5, 7]), (3, 4))
    (tensor([1, 1]), tensor([1, 3]))
    """
    sizes = as_ints((shape,))
    found: list[Tensor] = []
    for size in reversed(sizes):
        found.insert(0, indices % size)
        indices = indices // size
    return tuple(found)


@composite
@flagged
@underived("unique_consecutive", "input", node="UniqueConsecutiveBackward0")
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements, or the slices along `dim`, without those that equal the one in front of them.

    Parameters
    ----------
    return_inverse
        Also return, for each element, which of the results it is in.
    return_counts
        Also return how many each result stands for.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unique_consecutive.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.unique_consecutive(retrograd.tensor([1, 1, 2, 2, 1]), return_counts=True)
    (tensor([1, 2, 1]), tensor([2, 2, 1]))
    """
    if is_mapped(input):
        refuse_dynamic("unique_consecutive")
    real_only("unique", input)
    slices = reshape(input, -1) if dim is None else movedim(input, dim, 0)
    count = slices.shape[0]
    rows = reshape(slices, count, -1) if count else slices
    if count:
        differs = (narrow(rows, 0, 1, count - 1) != narrow(rows, 0, 0, count - 1)).any(1)
        first = cat([ones(1, dtype=dtypes.bool_, device=input.device), differs])
    else:
        first = zeros(0, dtype=dtypes.bool_, device=input.device)
    kept = slices[first]
    results: list[Tensor] = [kept if dim is None else movedim(kept, 0, dim)]
    group = first.long().cumsum(0) - 1
    if return_inverse:
        results.append(group.reshape(input.shape) if dim is None else group)
    if return_counts:
        results.append(bincount(group))
    return tuple(results) if len(results) > 1 else results[0]
