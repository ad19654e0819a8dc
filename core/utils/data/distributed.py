"""A sampler for several processes that train one model: each reads its own part of the data.

Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.distributed.DistributedSampler
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from retrograd import randperm
from retrograd.random import Generator
from retrograd.utils.data.sampler import Sampler, T_co

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler[T_co]):
    """Every `num_replicas`-th index, from `rank` on, of an order that all replicas know.

    All parts have one length: the first indices come again at the end, or the last are dropped. The order depends on
    `seed` and the epoch alone, so `set_epoch` is to be called before each.

    Raises
    ------
    ValueError
        If `rank` is none of `num_replicas`, or one of them is not given: there is no process group to ask.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.distributed.DistributedSampler

    Examples
    --------
    >>> from retrograd.utils.data import DistributedSampler
    >>> [list(DistributedSampler(range(5), num_replicas=2, rank=rank, shuffle=False)) for rank in (0, 1)]
    [[0, 2, 4], [1, 3, 0]]
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            raise ValueError(
                "Default process group has not been initialized, please make sure to call init_process_group."
            )
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        self.shuffle = shuffle
        self.seed = seed
        length = len(dataset)
        self.num_samples = length // num_replicas if drop_last else math.ceil(length / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[T_co]:
        order = self._order()
        if not self.drop_last and order:
            order = (order * math.ceil(self.total_size / len(order)))[: self.total_size]
        return iter(order[self.rank : self.total_size : self.num_replicas])

    def _order(self) -> list[Any]:
        length = len(self.dataset)
        if not self.shuffle:
            return list(range(length))
        source = Generator().manual_seed(self.seed + self.epoch)
        order: list[Any] = randperm(length, generator=source).tolist()
        return order

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next, so that its order is another one."""
        self.epoch = epoch
