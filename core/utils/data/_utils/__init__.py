"""The parts of a `DataLoader`: collation, fetching, workers. Programs for PyTorch know them by this name."""

from retrograd.utils.data._utils import collate, crossing, fetch, pool, worker

__all__ = ["collate", "crossing", "fetch", "pool", "worker"]
