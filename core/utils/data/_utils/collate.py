"""How samples become a batch: numbers and arrays become tensors, containers stay what they are.

Source: https://docs.pytorch.org/docs/stable/data.html#working-with-collate-fn
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

import retrograd
from retrograd.ops.creation import tensor
from retrograd.tensor import Tensor

__all__ = ["collate", "default_collate", "default_collate_fn_map", "default_convert"]

np_str_obj_array_pattern = re.compile(r"[SaUO]")
"""NumPy's kinds of elements that no tensor has: strings and objects."""

default_collate_err_msg_format = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def default_convert(data: Any) -> Any:
    """NumPy arrays and numbers as tensors, in containers too; all else as it is.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.default_convert

    Examples
    --------
    >>> import numpy
    >>> from retrograd.utils.data import default_convert
    >>> default_convert({"a": numpy.array([0, 1]), "b": [0, "c"]})
    {'a': tensor([0, 1]), 'b': [0, 'c']}
    """
    if isinstance(data, (Tensor, np.str_, np.bytes_)):
        return data
    if isinstance(data, np.ndarray) and np_str_obj_array_pattern.search(data.dtype.kind):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return retrograd.as_tensor(data)
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple):
        converted = [default_convert(each) for each in data]
        return type(data)(*converted) if hasattr(data, "_fields") else converted
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like_sequence(data, [default_convert(each) for each in data])
    return data


def _like_mapping(model: Any, content: dict[Any, Any]) -> Any:
    """A mapping of the class of `model`, with its attributes, where that class lets itself be copied or made."""
    try:
        if isinstance(model, MutableMapping):
            clone = copy.copy(model)
            clone.update(content)
            return clone
        return type(model)(content)
    except TypeError:
        return content


def _like_sequence(model: Any, content: list[Any]) -> Any:
    try:
        if isinstance(model, MutableSequence):
            clone = copy.copy(model)
            for place, each in enumerate(content):
                clone[place] = each
            return clone
        return type(model)(content)
    except TypeError:
        return content


def collate(batch: Any, *, collate_fn_map: dict[Any, Callable[..., Any]] | None = None) -> Any:
    """Make a batch of samples, by the function that a map has for their class, or for one that it derives from.

    Parameters
    ----------
    collate_fn_map
        Functions of a batch and `collate_fn_map`, by class or tuple of classes; the first that fits is taken.

    Raises
    ------
    RuntimeError
        If sequences in the batch differ in length.
    TypeError
        If no rule is known for what is in it.

    Examples
    --------
    >>> from retrograd.utils.data._utils.collate import collate
    >>> collate([{"a": "x"}, {"a": "y"}], collate_fn_map={str: lambda batch, collate_fn_map: "".join(batch)})
    {'a': 'xy'}
    """
    first = batch[0]
    kind = type(first)
    rules = collate_fn_map or {}
    rule = rules.get(kind) or next((rule for known, rule in rules.items() if isinstance(first, known)), None)
    if rule is not None:
        return rule(batch, collate_fn_map=collate_fn_map)

    def together(samples: Any) -> Any:
        return collate(samples, collate_fn_map=collate_fn_map)

    if isinstance(first, Mapping):
        return _like_mapping(first, {key: together([each[key] for each in batch]) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(*map(together, zip(*batch, strict=False)))
    if not isinstance(first, Sequence):
        raise TypeError(default_collate_err_msg_format.format(kind))
    if any(len(each) != len(first) for each in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    columns = [together(column) for column in zip(*batch, strict=False)]
    return columns if isinstance(first, tuple) else _like_sequence(first, columns)


def collate_tensor_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    """Tensors, stacked."""
    return retrograd.stack(list(batch), 0)


def collate_numpy_array_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    """NumPy arrays as one tensor; not of strings or objects."""
    if np_str_obj_array_pattern.search(batch[0].dtype.kind):
        raise TypeError(default_collate_err_msg_format.format(batch[0].dtype))
    if collate_fn_map and collate_fn_map.get(Tensor) is collate_tensor_fn and _are_plain_and_alike(batch):
        return retrograd.as_tensor(np.stack(batch))  # the same, without a tensor for each
    return collate([retrograd.as_tensor(each) for each in batch], collate_fn_map=collate_fn_map)


def _are_plain_and_alike(arrays: Any) -> bool:
    """Whether all are arrays of one type and shape, of which nothing is to be said one by one."""
    kind, shape = arrays[0].dtype, arrays[0].shape
    return kind.isnative and all(
        type(each) is np.ndarray and each.dtype == kind and each.shape == shape and each.flags.carray for each in arrays
    )


def collate_numpy_scalar_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    """NumPy's numbers, of their type."""
    return retrograd.as_tensor(batch)


def collate_float_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    """Python's floats, as float64."""
    return tensor(batch, dtype=retrograd.float64)


def collate_int_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    """Python's ints and booleans."""
    return tensor(batch)


def collate_str_fn(batch: Any, *, collate_fn_map: Any = None) -> Any:
    """Strings, left as they are."""
    return batch


default_collate_fn_map: dict[Any, Callable[..., Any]] = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}
"""How `default_collate` treats what; a program may add its own classes."""


def default_collate(batch: Any) -> Any:
    """Samples as a batch: tensors are stacked, numbers and arrays become tensors, strings stay, containers are kept.

    Tuples become lists, as in PyTorch.

    Raises
    ------
    RuntimeError
        If sequences in the batch differ in length, or tensors in shape.
    TypeError
        If there is something else in it.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.default_collate

    Examples
    --------
    >>> from retrograd.utils.data import default_collate
    >>> default_collate([{"x": 1, "name": "a"}, {"x": 2, "name": "b"}])
    {'x': tensor([1, 2]), 'name': ['a', 'b']}
    >>> default_collate([(0, 1.5), (2, 2.5)])
    [tensor([0, 2]), tensor([1.5000, 2.5000], dtype=retrograd.float64)]
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)
