"""What reads a data set for a `DataLoader`, in its own process or in a worker's."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["IterableFetcher", "MapFetcher", "Recipe"]


class MapFetcher:
    """Samples by index, or lists of them, collated."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def fetch(self, index: Any) -> Any:
        dataset = self.recipe.dataset
        if not self.recipe.batched:
            data = dataset[index]
        elif getattr(dataset, "__getitems__", None):
            data = dataset.__getitems__(index)
        else:
            data = [dataset[each] for each in index]
        return self.recipe.collate_fn(data)


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
