"""Samplers: in which order a data set is read.

A sampler is any iterable of indices, a batch sampler any iterable of lists of them. Those that draw random numbers
take them from `generator`, or from the default generator if there is none.

Source: https://docs.pytorch.org/docs/stable/data.html#data-loading-order-and-sampler
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import retrograd
from retrograd.random import Generator
from retrograd.tensor import Tensor

__all__ = [
    "BatchSampler", "RandomSampler", "Sampler", "SequentialSampler", "SubsetRandomSampler", "WeightedRandomSampler",
    "drawn_seed",
]  # fmt: skip

T_co = TypeVar("T_co", covariant=True)


def drawn_seed(generator: Generator | None = None) -> int:
    """A number from [0, 2**63), one draw from the generator."""
    return int(retrograd.empty((), dtype=retrograd.int64).random_(generator=generator).item())


class Sampler(Generic[T_co]):
    """What yields indices, or lists of them. Subclasses define `__iter__`, and `__len__` if they know it.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.Sampler
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError


class SequentialSampler(Sampler[int]):
    """All indices, from the first to the last.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.SequentialSampler
    """

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Indices in random order; with `replacement`, each drawn from all of them.

    Without a generator, each iteration draws a seed from the default one, and all the rest from a generator of its own.

    Parameters
    ----------
    num_samples
        How many; that of the samples, if not given. If more, without replacement, one order follows another.

    Raises
    ------
    TypeError
        If `replacement` is no boolean.
    ValueError
        If `num_samples`, or the length, is not positive.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.RandomSampler

    Examples
    --------
    >>> from retrograd.utils.data import RandomSampler
    >>> sorted(RandomSampler(range(4), num_samples=8))
    [0, 0, 1, 1, 2, 2, 3, 3]
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={self.num_samples}")

    @property
    def num_samples(self) -> int:
        """How many indices an iteration yields; the length of the data may change between two."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        source = Generator().manual_seed(drawn_seed()) if self.generator is None else self.generator
        length = len(self.data_source)
        whole, rest = divmod(self.num_samples, 32 if self.replacement else length)
        if self.replacement:
            for size in (*itertools.repeat(32, whole), rest):
                yield from retrograd.randint(length, (size,), generator=source).tolist()
            return
        for _ in range(whole):
            yield from retrograd.randperm(length, generator=source).tolist()
        yield from retrograd.randperm(length, generator=source).tolist()[:rest]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """Given indices in random order.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.SubsetRandomSampler

    Examples
    --------
    >>> from retrograd.utils.data import SubsetRandomSampler
    >>> sorted(SubsetRandomSampler([5, 2, 9]))
    [2, 5, 9]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for place in retrograd.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[place]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices drawn with probabilities in proportion to weights, which need not add up to one.

    Raises
    ------
    ValueError
        If `num_samples` is not positive, `replacement` no boolean, or `weights` not one-dimensional.
    RuntimeError
        When iterated without replacement over fewer weights than samples are wanted.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.WeightedRandomSampler

    Examples
    --------
    >>> from retrograd.utils.data import WeightedRandomSampler
    >>> list(WeightedRandomSampler([0.0, 2.0, 0.0], 3))
    [1, 1, 1]
    """

    weights: Tensor

    def __init__(
        self,
        weights: Any,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.weights = retrograd.as_tensor(weights, dtype=retrograd.float64)
        if self.weights.ndim != 1:
            raise ValueError(
                f"weights should be a 1d sequence but given weights have shape {tuple(self.weights.shape)}"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        drawn = retrograd.multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator)
        yield from drawn.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices of another sampler; the last one may be shorter, or is dropped.

    Raises
    ------
    ValueError
        If `batch_size` is not a positive integer or `drop_last` no boolean.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.BatchSampler

    Examples
    --------
    >>> from retrograd.utils.data import BatchSampler
    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        length = len(self.sampler)  # type: ignore[arg-type]
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)
