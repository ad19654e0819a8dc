"""Lists of tensors in groups of one device and type, as optimizers of other packages handle them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograd.device import device
from retrograd.dtypes import dtype
from retrograd.tensor import Tensor

__all__: list[str] = []

Groups = dict[tuple[device, dtype], tuple[list[list[Any]], list[int]]]


def _group_tensors_by_device_and_dtype(
    tensorlistlist: Sequence[Sequence[Tensor | None]], with_indices: bool = False
) -> Groups:
    """By device and type of the first list's tensors: of each list the part that belongs there, and the positions.

    Raises
    ------
    RuntimeError
        If a tensor of the first list is missing, or a list that is not empty has another length.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.utils._foreach_utils import _group_tensors_by_device_and_dtype
    >>> lists = [[retrograd.ones(1), retrograd.ones(1).double(), retrograd.zeros(1)], ["a", "b", "c"]]
    >>> groups = _group_tensors_by_device_and_dtype(lists, with_indices=True)
    >>> [(kind, parts[1], places) for (_, kind), (parts, places) in groups.items()]
    [(retrograd.float32, ['a', 'c'], [0, 2]), (retrograd.float64, ['b'], [1])]
    """
    first = tensorlistlist[0]
    if any(len(each) not in (0, len(first)) for each in tensorlistlist):
        raise RuntimeError(
            f"Expected lists of {len(first)} tensors or none, but got {[len(x) for x in tensorlistlist]}"
        )
    groups: Groups = {}
    for place, tensor in enumerate(first):
        if tensor is None:
            raise RuntimeError(
                "Tensors of the first list of nested Tensor lists are supposed to be defined but "
                f"the {place}-th Tensor is not."
            )
        parts, places = groups.setdefault((tensor.device, tensor.dtype), ([[] for _ in tensorlistlist], []))
        for part, given in zip(parts, tensorlistlist, strict=True):
            if given:
                part.append(given[place])
        if with_indices:
            places.append(place)
    return groups


def _device_has_foreach_support(device: device) -> bool:
    """True: every device has the operators on lists."""
    return True


def _has_foreach_support(tensors: Sequence[Any], device: device) -> bool:
    """Whether the operators on lists take these: tensors, or None."""
    return all(each is None or isinstance(each, Tensor) for each in tensors)
