"""Data sets: what an index or an iteration gives samples of, and ways to combine them.

A map-style `Dataset` has `__getitem__` and mostly `__len__`; an `IterableDataset` has `__iter__`. None of the classes
here defines a length that it does not know: `len` of a set without one is a TypeError, as Python has it.

Source: https://docs.pytorch.org/docs/stable/data.html
"""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from retrograd import randperm
from retrograd.random import Generator, default_generator
from retrograd.tensor import Tensor

__all__ = [
    "ChainDataset", "ConcatDataset", "Dataset", "IterableDataset", "StackDataset", "Subset", "TensorDataset",
    "random_split",
]  # fmt: skip

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Samples by index. `a + b` is a `ConcatDataset`.

    Subclasses define `__getitem__`, `__len__` for samplers, and, if they load many samples faster together,
    `__getitems__`, which takes a list of indices and gives a list of samples.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.Dataset

    Examples
    --------
    >>> from retrograd.utils.data import Dataset
    >>> class Squares(Dataset):
    ...     def __getitem__(self, index):
    ...         return index**2
    ...
    ...     def __len__(self):
    ...         return 4
    >>> (Squares() + Squares())[5]
    1
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset[Any]) -> Dataset[Any]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co], Iterable[T_co]):
    """Samples from a stream. `a + b` is a `ChainDataset`.

    In a worker process of a `DataLoader` each copy yields everything, unless its `__iter__` takes its part, which
    `get_worker_info` names.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset

    Examples
    --------
    >>> from retrograd.utils.data import DataLoader, IterableDataset, get_worker_info
    >>> class Numbers(IterableDataset):
    ...     def __iter__(self):
    ...         info = get_worker_info()
    ...         start, step = (0, 1) if info is None else (info.id, info.num_workers)
    ...         return iter(range(start, 5, step))
    >>> list(DataLoader(Numbers(), batch_size=3))
    [tensor([0, 1, 2]), tensor([3, 4])]
    """

    def __add__(self, other: Dataset[Any]) -> Dataset[Any]:
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tuples of what tensors have at an index of their first dimension.

    Raises
    ------
    AssertionError
        If the first dimensions differ in size.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.TensorDataset

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.utils.data import TensorDataset
    >>> TensorDataset(retrograd.eye(2), retrograd.arange(2))[1]
    (tensor([0., 1.]), tensor(1))
    """

    def __init__(self, *tensors: Tensor) -> None:
        if any(tensors[0].size(0) != each.size(0) for each in tensors):
            raise AssertionError("Size mismatch between tensors")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(each[index] for each in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].size(0)


class StackDataset(Dataset[Any]):
    """Samples of several sets of one length side by side: as a tuple, or as a dict if the sets are named.

    Raises
    ------
    ValueError
        If no set is given, if some are named and some are not, or if their lengths differ.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.StackDataset

    Examples
    --------
    >>> from retrograd.utils.data import StackDataset
    >>> StackDataset("ab", range(2))[1]
    ('b', 1)
    >>> StackDataset(letter="ab", number=range(2))[0]
    {'letter': 'a', 'number': 0}
    """

    datasets: tuple[Any, ...] | dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and kwargs:
            raise ValueError(
                "Supported either ``tuple``- (via ``args``) or"
                "``dict``- (via ``kwargs``) like input/output, but both types are given."
            )
        if not args and not kwargs:
            raise ValueError("At least one dataset should be passed")
        self.datasets = args or kwargs
        parts = self._parts()
        self._length = len(parts[0])
        if any(len(each) != self._length for each in parts):
            raise ValueError("Size mismatch between datasets")

    def _parts(self) -> list[Any]:
        return list(self.datasets.values() if isinstance(self.datasets, dict) else self.datasets)

    def _beside(self, items: Iterable[Any]) -> Any:
        """One sample, of the items of each set."""
        return dict(zip(self.datasets, items, strict=True)) if isinstance(self.datasets, dict) else tuple(items)

    def __getitem__(self, index: Any) -> Any:
        return self._beside([each[index] for each in self._parts()])

    def __getitems__(self, indices: list[Any]) -> list[Any]:
        columns = [_items(each, indices) for each in self._parts()]
        for column in columns:
            if len(column) != len(indices):
                raise ValueError(f"Nested dataset's output size mismatch. Expected {len(indices)}, got {len(column)}")
        return [self._beside(row) for row in zip(*columns, strict=True)]

    def __len__(self) -> int:
        return self._length


def _items(dataset: Any, indices: list[Any]) -> list[Any]:
    """Samples of a set, loaded together if it can."""
    together = getattr(dataset, "__getitems__", None)
    return together(indices) if callable(together) else [dataset[index] for index in indices]


class ConcatDataset(Dataset[T_co]):
    """Several map-style sets, one after the other.

    Raises
    ------
    AssertionError
        If there is none, or if one is an `IterableDataset`.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.ConcatDataset

    Examples
    --------
    >>> from retrograd.utils.data import ConcatDataset
    >>> both = ConcatDataset(["abc", "de"])
    >>> len(both), both[3], both[-1]
    (5, 'd', 'e')
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        super().__init__()
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(each, IterableDataset) for each in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset")
        self.cumulative_sizes = self.cumsum(self.datasets)

    @staticmethod
    def cumsum(sequence: Iterable[Any]) -> list[int]:
        """The index that each set ends before."""
        return list(itertools.accumulate(len(each) for each in sequence))

    def __getitem__(self, idx: int) -> T_co:
        if idx < 0:
            if -idx > len(self):
                raise ValueError("absolute value of index should not exceed dataset length")
            idx += len(self)
        place = bisect.bisect_right(self.cumulative_sizes, idx)
        before = self.cumulative_sizes[place - 1] if place else 0
        sample: T_co = self.datasets[place][idx - before]
        return sample

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    @property
    def cummulative_sizes(self) -> list[int]:
        warnings.warn(
            "`cummulative_sizes` attribute is renamed to `cumulative_sizes`", category=FutureWarning, stacklevel=2
        )
        return self.cumulative_sizes


class ChainDataset(IterableDataset[Any]):
    """Several streams, one after the other.

    Raises
    ------
    AssertionError
        When the iteration, or the sum of lengths, comes to what is no `IterableDataset`.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.ChainDataset
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        super().__init__()
        self.datasets = datasets

    def _streams(self) -> Iterator[Any]:
        for each in self.datasets:
            if not isinstance(each, IterableDataset):
                raise AssertionError("ChainDataset only supports IterableDataset")
            yield each

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self._streams())

    def __len__(self) -> int:
        return sum(len(each) for each in self._streams())


class Subset(Dataset[T_co]):
    """The samples of a set at given indices.

    Raises
    ------
    NotImplementedError
        If a subclass defines `__getitem__` and not `__getitems__`, which `DataLoader` would call.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.Subset

    Examples
    --------
    >>> from retrograd.utils.data import Subset
    >>> list(Subset("abcd", [3, 0]))
    ['d', 'a']
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices
        kind = type(self)
        if kind.__getitem__ is not Subset.__getitem__ and kind.__getitems__ is Subset.__getitems__:
            raise NotImplementedError(
                f"{kind.__name__} overrides __getitem__ but not __getitems__. "
                "When subclassing Subset and overriding __getitem__, you must also override "
                "__getitems__ to ensure DataLoader works correctly with your custom logic. "
                "A simple implementation:\n\n"
                "def __getitems__(self, indices):\n"
                "    return [self.__getitem__(idx) for idx in indices]"
            )

    def __getitem__(self, idx: Any) -> T_co:
        chosen = [self.indices[each] for each in idx] if isinstance(idx, list) else self.indices[idx]
        sample: T_co = self.dataset[chosen]
        return sample

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        return _items(self.dataset, [self.indices[each] for each in indices])

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | None = default_generator
) -> list[Subset[Any]]:
    """Parts of a set that have no sample in common, of given lengths or fractions.

    A fraction's length is rounded down; what remains goes to the parts one by one, from the first on.

    Raises
    ------
    ValueError
        If the lengths do not add up to that of the set, or a fraction is not between 0 and 1.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.random_split

    Examples
    --------
    >>> from retrograd.utils.data import random_split
    >>> [len(part) for part in random_split(range(10), [0.5, 0.25, 0.25])]
    [6, 2, 2]
    """
    total = sum(lengths)
    sizes = _sizes(lengths, len(dataset)) if math.isclose(total, 1) and total <= 1 else list(lengths)
    if sum(sizes) != len(dataset):
        raise ValueError("Sum of input lengths does not equal the length of the input dataset!")
    order = randperm(int(sum(sizes)), generator=generator).tolist()
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def _sizes(fractions: Sequence[float], length: int) -> list[int | float]:
    for place, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ValueError(f"Fraction at index {place} is not between 0 and 1")
    sizes: list[int | float] = [math.floor(length * fraction) for fraction in fractions]
    for extra in range(length - int(sum(sizes))):
        sizes[extra % len(sizes)] += 1
    for place, size in enumerate(sizes):
        if size == 0:
            warnings.warn(
                f"Length of split at index {place} is 0. This might result in an empty dataset.", stacklevel=3
            )
    return sizes
