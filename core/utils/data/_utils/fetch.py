"""What reads a data set for a `DataLoader`, in its own process or in a worker's."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from retrograd.utils.data._utils.collate import default_collate
from retrograd.utils.data.dataset import Subset, TensorDataset

__all__ = ["IterableFetcher", "MapFetcher", "Recipe"]


class MapFetcher:
    """Samples by index, or lists of them, collated."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def fetch(self, index: Any) -> Any:
        dataset = self.recipe.dataset
        if not self.recipe.batched:
            data = dataset[index]
        elif self._takes_whole_batches:
            while type(dataset) is Subset:
                dataset, index = dataset.dataset, [dataset.indices[each] for each in index]
            return [each[list(index)] for each in dataset.tensors]  # what collating one by one comes to
        elif getattr(dataset, "__getitems__", None):
            data = dataset.__getitems__(index)
        else:
            data = [dataset[each] for each in index]
        return self.recipe.collate_fn(data)

    @functools.cached_property
    def _takes_whole_batches(self) -> bool:
        """Whether samples are rows of tensors that nobody looks at one by one."""
        dataset = self.recipe.dataset
        while type(dataset) is Subset:
            dataset = dataset.dataset
        plain = type(dataset) is TensorDataset and self.recipe.collate_fn is default_collate
        return plain and not any(each.requires_grad for each in dataset.tensors)


class IterableFetcher:
    """The next samples of a stream, as many as there are indices, collated."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.stream = iter(recipe.dataset)
        self.ended = False

    def fetch(self, index: Any) -> Any:
        if self.ended:
            raise StopIteration
        if not self.recipe.batched:
            return self.recipe.collate_fn(next(self.stream))
        data = list(itertools.islice(self.stream, len(index)))
        self.ended = len(data) < len(index)
        if not data or (self.recipe.drop_last and self.ended):
            raise StopIteration
        return self.recipe.collate_fn(data)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What batches are made of, and how."""

    dataset: Any
    iterable: bool
    batched: bool
    collate_fn: Callable[[Any], Any]
    drop_last: bool

    def fetcher(self) -> MapFetcher | IterableFetcher:
        return IterableFetcher(self) if self.iterable else MapFetcher(self)
