"""Data sets for the tests of `DataLoader`, where a spawned process finds them."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

import retrograd
from retrograd.utils.data import Dataset, IterableDataset, get_worker_info


class Squares(Dataset[Any]):
    """A tensor, a number and a text."""

    def __init__(self, length: int = 10) -> None:
        self.length = length

    def __getitem__(self, index: int) -> Any:
        return retrograd.tensor([float(index) ** 2, 1.0]), index, str(index)

    def __len__(self) -> int:
        return self.length


class Fails(Dataset[Any]):
    """Raises at index 1."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getitem__(self, index: int) -> Any:
        if index == 1:
            raise self.error
        return index

    def __len__(self) -> int:
        return 4


class TwoArguments(Exception):
    def __init__(self, one: Any, two: Any) -> None:
        super().__init__(one, two)


class Origin(Dataset[Any]):
    """Which process reads, and what it knows of itself."""

    def __getitem__(self, index: int) -> Any:
        info = get_worker_info()
        known = None if info is None else (info.id, info.num_workers, info.seed)
        drawn = random.random(), float(np.random.rand()), float(retrograd.rand(()))
        return os.getpid(), known, drawn, retrograd.get_default_backend(), "jaxlib" in sys.modules

    def __len__(self) -> int:
        return 6


class Sharded(IterableDataset[int]):
    """Numbers below `end`, of which each worker yields its part."""

    def __init__(self, end: int, claimed: int | None = None) -> None:
        self.end = end
        self.claimed = claimed

    def __iter__(self) -> Any:
        info = get_worker_info()
        return iter(range(self.end) if info is None else range(info.id, self.end, info.num_workers))

    def __len__(self) -> int:
        return self.end if self.claimed is None else self.claimed


class Dies(Dataset[Any]):
    """Its process is killed, or leaves, at index 1."""

    def __init__(self, killed: bool) -> None:
        self.killed = killed

    def __getitem__(self, index: int) -> int:
        if index == 1:
            if self.killed:
                os.kill(os.getpid(), signal.SIGKILL)
            os._exit(3)
        return index

    def __len__(self) -> int:
        return 4


class Sleeps(Dataset[Any]):
    def __getitem__(self, index: int) -> int:
        time.sleep(600)
        return index

    def __len__(self) -> int:
        return 2


class Meets(Dataset[Any]):
    """Sample 0 is there only once sample 1 is being read, by another process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, index: int) -> int:
        (self.folder / str(index)).touch()
        while not (self.folder / str(1 - index)).exists():
            time.sleep(0.01)
        return index

    def __len__(self) -> int:
        return 2


class Counts(Dataset[Any]):
    """Counts, in memory that processes share, how often it is read."""

    def __init__(self, count: Any) -> None:
        self.count = count

    def __getitem__(self, index: int) -> int:
        with self.count.get_lock():
            self.count.value += 1
        return index

    def __len__(self) -> int:
        return 4


class CannotCross(Dataset[Any]):
    """Samples that cannot be pickled."""

    def __getitem__(self, index: int) -> Any:
        return threading.Lock()

    def __len__(self) -> int:
        return 1


class NonLeaf(Dataset[Any]):
    def __getitem__(self, index: int) -> Any:
        return retrograd.ones(2, requires_grad=True) * 2

    def __len__(self) -> int:
        return 1


def first(batch: list[Any]) -> Any:
    return batch[0]


def fails_to_begin(worker_id: int) -> None:
    raise ValueError(f"worker {worker_id}")
