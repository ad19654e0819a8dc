"""`DataLoader`: batches of a data set, read in this process or in others.

Note [Random numbers of a loader]
    Each iteration draws one number for the seeds of workers, from the loader's generator or the default one, whether
    or not there are workers; then the sampler draws when it is first asked for an index. So it is in PyTorch, and a
    program draws the same numbers with workers and without. Workers that are kept keep their seeds.

Source: https://docs.pytorch.org/docs/stable/data.html
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from retrograd.random import Generator
from retrograd.utils.data._utils.collate import default_collate, default_convert
from retrograd.utils.data._utils.fetch import Recipe
from retrograd.utils.data._utils.worker import get_worker_info
from retrograd.utils.data.dataset import IterableDataset
from retrograd.utils.data.iterators import (
    _BaseDataLoaderIter,
    _MultiProcessingDataLoaderIter,
    _SingleProcessDataLoaderIter,
)
from retrograd.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

T_co = TypeVar("T_co", covariant=True)
_collate_fn_t = Callable[[list[Any]], Any]


class _InfiniteConstantSampler(Sampler[None]):
    """None, without end: a stream ends by itself."""

    def __iter__(self) -> Iterator[None]:
        while True:
            yield None


class DataLoader(Generic[T_co]):
    """Batches of a data set, anew with each iteration.

    Parameters
    ----------
    dataset
        Map-style, or an `IterableDataset`, which takes neither samplers nor `shuffle`.
    batch_size
        How many samples become a batch; with None, and no `batch_sampler`, samples are yielded one by one.
    shuffle
        Read in random order.
    sampler
        In which order to read: an iterable of indices.
    batch_sampler
        An iterable of lists of indices, in place of `batch_size`, `shuffle`, `sampler` and `drop_last`.
    num_workers
        How many processes read; with 0, this one does. See Note [Fork or spawn] in `_utils.pool` for how they start,
        and Note [Tensors in workers] in `_utils.crossing` for where tensors are.
    collate_fn
        Makes a batch of a list of samples: `default_collate`; `default_convert`, if samples come one by one.
    pin_memory, pin_memory_device
        Accepted: there is no memory to pin, and a warning says so.
    drop_last
        Leave out the last batch, if it is smaller.
    timeout
        Seconds to wait for a batch of a worker; 0 is for ever.
    worker_init_fn
        Called in each worker, with its number, before it reads.
    multiprocessing_context
        How workers start: `"fork"`, `"spawn"`, `"forkserver"`, or a context of `multiprocessing`.
    generator
        What `RandomSampler` and the seeds of workers draw from.
    prefetch_factor
        How many batches each worker reads in advance: 2.
    persistent_workers
        Keep the workers from one iteration to the next.
    in_order
        With False, batches of workers come as they are ready.

    Raises
    ------
    ValueError
        If options exclude each other, or numbers are negative.
    TypeError
        If `multiprocessing_context` is no context.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.DataLoader

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.utils.data import DataLoader, TensorDataset
    >>> data = TensorDataset(retrograd.arange(5.0), retrograd.arange(5))
    >>> for x, y in DataLoader(data, batch_size=2):
    ...     print(x, y)
    tensor([0., 1.]) tensor([0, 1])
    tensor([2., 3.]) tensor([2, 3])
    tensor([4.]) tensor([4])
    """

    __initialized = False
    _iterator: _MultiProcessingDataLoaderIter | None

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_worker_options(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order

        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            _check_options_of_stream(shuffle, sampler, batch_sampler)
        _check_batching(batch_size, bool(shuffle), sampler, batch_sampler, drop_last)
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        if sampler is None:
            sampler = self._default_sampler(bool(shuffle), generator)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)

        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        self.collate_fn = collate_fn or (default_collate if self._auto_collation else default_convert)
        self.persistent_workers = persistent_workers
        self.__initialized = True
        self._IterableDataset_len_called: int | None = None
        self._iterator = None
        self.check_worker_number_rationality()

    def _default_sampler(self, shuffle: bool, generator: Generator | None) -> Sampler[Any]:
        if self._iterable:
            return _InfiniteConstantSampler()
        return RandomSampler(self.dataset, generator=generator) if shuffle else SequentialSampler(self.dataset)

    @property
    def multiprocessing_context(self) -> Any:
        """How workers start, if that was said."""
        return self.__multiprocessing_context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: Any) -> None:
        self.__multiprocessing_context = None if context is None else _context(context, self.num_workers)

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__initialized and name in _FIXED:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    def _get_iterator(self) -> _BaseDataLoaderIter:
        if self.num_workers == 0:
            return _SingleProcessDataLoaderIter(self)
        self.check_worker_number_rationality()
        return _MultiProcessingDataLoaderIter(self)

    def __iter__(self) -> _BaseDataLoaderIter:
        if not (self.persistent_workers and self.num_workers > 0):
            return self._get_iterator()
        if self._iterator is None:
            self._iterator = _MultiProcessingDataLoaderIter(self)
        else:
            self._iterator.reset()
        return self._iterator

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _recipe(self) -> Recipe:
        return Recipe(self.dataset, self._iterable, self._auto_collation, self.collate_fn, self.drop_last)

    def __len__(self) -> int:
        """How many batches; of a stream, as many as its own length makes, which workers may change."""
        if not self._iterable:
            return len(self._index_sampler)
        length = self._IterableDataset_len_called = len(self.dataset)
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)

    def check_worker_number_rationality(self) -> None:
        """Warn of more workers than processors."""
        if not self.num_workers:
            return
        asked = hasattr(os, "sched_getaffinity")
        processors = len(os.sched_getaffinity(0)) if asked else os.cpu_count()
        if processors is not None and self.num_workers <= processors:
            return
        unsure = "" if asked else " (`cpuset` is not taken into account)"
        suggestion = (
            "DataLoader is not able to compute a suggested max number of worker in current system."
            if processors is None
            else f"Our suggested max number of worker in current system is {processors}{unsure}, which is smaller "
            "than what this DataLoader is going to create."
        )
        warnings.warn(
            f"This DataLoader will create {self.num_workers} worker processes in total. {suggestion} "
            "Please be aware that excessive worker creation might get DataLoader running slow or even freeze, "
            "lower the worker number to avoid potential slowness/freeze if necessary.",
            stacklevel=3,
        )


_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


def _check_worker_options(num_workers: int, timeout: float, prefetch_factor: int | None, persistent: bool) -> None:
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing."
            "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_options_of_stream(shuffle: bool | None, sampler: Any, batch_sampler: Any) -> None:
    if shuffle not in {False, None}:
        raise ValueError(
            f"DataLoader with IterableDataset: expected unspecified shuffle option, but got shuffle={shuffle}"
        )
    if sampler is not None:
        raise ValueError(
            f"DataLoader with IterableDataset: expected unspecified sampler option, but got sampler={sampler}"
        )
    if batch_sampler is not None:
        raise ValueError(
            "DataLoader with IterableDataset: expected unspecified "
            f"batch_sampler option, but got batch_sampler={batch_sampler}"
        )


def _check_batching(batch_size: int | None, shuffle: bool, sampler: Any, batch_sampler: Any, drop_last: bool) -> None:
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None:
        if batch_size != 1 or shuffle or sampler is not None or drop_last:
            raise ValueError(
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
            )
    elif batch_size is None and drop_last:
        raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")


def _context(context: Any, num_workers: int) -> Any:
    if num_workers <= 0:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got "
            f"num_workers={num_workers}"
        )
    if isinstance(context, str):
        known = multiprocessing.get_all_start_methods()
        if context not in known:
            raise ValueError(
                f"multiprocessing_context option should specify a valid start method in {known!r}, but got "
                f"multiprocessing_context={context!r}"
            )
        return multiprocessing.get_context(context)
    if not isinstance(context, multiprocessing.context.BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string specifying the start method, "
            f"but got multiprocessing_context={context}"
        )
    return context
