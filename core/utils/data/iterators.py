"""One iteration over a `DataLoader`: in this process, or by workers that read ahead."""

from __future__ import annotations

import itertools
import warnings
import weakref
from typing import TYPE_CHECKING, Any

from retrograd.autograd.profiler import record_function
from retrograd.device import get_default_device
from retrograd.dtypes import get_default_dtype
from retrograd.utils.data._utils.pool import Pool, default_context
from retrograd.utils.data._utils.worker import RESUME, ExceptionWrapper, Exhausted, Task
from retrograd.utils.data.sampler import drawn_seed

if TYPE_CHECKING:
    from retrograd.utils.data.dataloader import DataLoader

__all__ = ["_BaseDataLoaderIter", "_MultiProcessingDataLoaderIter", "_SingleProcessDataLoaderIter"]


class _BaseDataLoaderIter:
    """What both iterations share: indices, and a warning of a stream that is longer than it says."""

    _profile_name = ""

    def __init__(self, loader: DataLoader[Any]) -> None:
        if loader.pin_memory and loader.pin_memory_device:
            warnings.warn(
                "pin_memory_device is deprecated, the current accelerator will be used as the device,"
                f"ignore pin_memory_device='{loader.pin_memory_device}'.",
                stacklevel=5,
            )
        if loader.pin_memory:
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, "
                "then device pinned memory won't be used.",
                stacklevel=5,
            )
        self._loader = loader
        self._indices = iter(loader._index_sampler)
        self._base_seed = drawn_seed(loader.generator)
        self._yielded = 0
        self._length = loader._IterableDataset_len_called

    def __init_subclass__(cls) -> None:
        cls._profile_name = f"enumerate(DataLoader)#{cls.__name__}.__next__"

    def __iter__(self) -> _BaseDataLoaderIter:
        return self

    def __len__(self) -> int:
        return len(self._loader._index_sampler)

    def __next__(self) -> Any:
        with record_function(self._profile_name):
            data = self._next_data()
        self._yielded += 1
        if self._loader._iterable and self._length is not None and self._yielded > self._length:
            self._warn_of_length()
        return data

    def _next_data(self) -> Any:
        raise NotImplementedError

    def _warn_of_length(self) -> None:
        text = (
            f"Length of IterableDataset {self._loader.dataset} was reported to be {self._length}"
            f"(when accessing len(dataloader)), but {self._yielded} samples have been fetched. "
        )
        if self._loader.num_workers > 0:
            text += (
                "For multiprocessing data-loading, this could be caused by not properly configuring the "
                "IterableDataset replica at each worker. Please see "
                "https://pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset for examples."
            )
        warnings.warn(text, stacklevel=3)

    def __getstate__(self) -> Any:
        raise NotImplementedError("{} cannot be pickled", type(self).__name__)


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """Reads each batch when it is asked for.

    Raises
    ------
    AssertionError
        If there is a timeout, which needs workers.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader)
        if loader.timeout != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        self._fetcher = loader._recipe().fetcher()

    def _next_data(self) -> Any:
        return self._fetcher.fetch(next(self._indices))


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """Has workers read in advance, and yields in the order of the indices.

    Batches are numbered as they are given out, to each worker in turn. Of those not yielded yet, `_given` knows the
    worker, and `_ready` the data, if it came before its turn. Workers end with the iteration, with the iterator, or
    with the program, whichever is first; those of a loader with `persistent_workers` with the latter two.

    Raises
    ------
    RuntimeError
        From `next`, if a worker dies, or takes longer than the loader's `timeout`; what a data set raises in a worker
        is raised here with the traceback from there.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader)
        if not loader.prefetch_factor:
            raise AssertionError("prefetch_factor must be greater than 0 for MultiProcessingDataLoaderIter")
        task = Task(
            loader._recipe(),
            loader.worker_init_fn,
            self._base_seed,
            loader.num_workers,
            get_default_dtype(),
            str(get_default_device()),
        )
        self._limit = loader.prefetch_factor * loader.num_workers
        self._pool = Pool(loader.multiprocessing_context or default_context(), task)
        self._shutdown_workers = weakref.finalize(self, self._pool.stop)
        self._begin()

    def reset(self) -> None:
        """Begin another epoch with the same workers; what they still read for the last one is dropped."""
        for worker_id in range(self._loader.num_workers):
            self._pool.send(worker_id, RESUME)
        waiting = self._loader.num_workers
        while waiting:
            number, _ = self._answer()
            waiting -= number == RESUME
        self._begin()

    def _begin(self) -> None:
        loader = self._loader
        self._indices = iter(loader._index_sampler)
        self._yielded = 0
        self._length = loader._IterableDataset_len_called
        self._next_given = self._next_yielded = 0
        self._given: dict[int, int] = {}
        self._ready: dict[int, Any] = {}
        self._working = [True] * loader.num_workers
        self._loads = [0] * loader.num_workers
        self._turns = itertools.cycle(range(loader.num_workers))
        for _ in range(self._limit):
            self._give()

    def _give(self) -> None:
        """Give the next index to a worker."""
        try:
            index = next(self._indices)
        except StopIteration:
            return
        for worker_id in itertools.islice(self._turns, self._loader.num_workers):
            if self._working[worker_id] and (
                self._loader.in_order or self._loads[worker_id] < self._limit // sum(self._working)
            ):
                break
        else:
            return
        self._pool.send(worker_id, (self._next_given, index))
        self._given[self._next_given] = worker_id
        self._loads[worker_id] += 1
        self._next_given += 1

    def _answer(self) -> Any:
        timeout = self._loader.timeout
        answer = self._pool.receive(timeout or None)
        if answer is None:
            raise RuntimeError(f"DataLoader timed out after {timeout} seconds")
        return answer

    def _next_data(self) -> Any:
        while self._find_turn():
            number = self._next_yielded
            if number in self._ready:
                return self._finish(number, self._ready.pop(number))
            number, data = self._answer()
            if isinstance(data, Exhausted):
                self._end_stream(data.worker_id)
            elif number == self._next_yielded or not self._loader.in_order:
                return self._finish(number, data)
            else:
                self._ready[number] = data
        if not self._loader.persistent_workers:
            self._shutdown_workers()
        raise StopIteration

    def _find_turn(self) -> bool:
        """Go on to the next batch that there is or will be."""
        while self._next_yielded < self._next_given:
            number = self._next_yielded
            if number in self._ready or (number in self._given and self._working[self._given[number]]):
                return True
            self._given.pop(number, None)
            self._next_yielded += 1
        return False

    def _end_stream(self, worker_id: int) -> None:
        self._working[worker_id] = False
        if not self._loader.persistent_workers:
            self._pool.dismiss(worker_id)
        self._give()

    def _finish(self, number: int, data: Any) -> Any:
        self._loads[self._given.pop(number)] -= 1
        self._give()
        if isinstance(data, ExceptionWrapper):
            raise data.error()
        return data
