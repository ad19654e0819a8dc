"""Data sets, samplers and `DataLoader` under PyTorch's names.

Examples
--------
>>> import retrograd
>>> from retrograd.utils.data import DataLoader, TensorDataset
>>> [x.tolist() for (x,) in DataLoader(TensorDataset(retrograd.arange(3)), batch_size=2)]
[[0, 1], [2]]
"""

from retrograd.utils.data import _utils, dataloader, dataset, distributed, sampler
from retrograd.utils.data._utils.collate import default_collate, default_convert
from retrograd.utils.data._utils.worker import get_worker_info
from retrograd.utils.data.dataloader import DataLoader
from retrograd.utils.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from retrograd.utils.data.distributed import DistributedSampler
from retrograd.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "_utils",
    "dataloader",
    "dataset",
    "default_collate",
    "default_convert",
    "distributed",
    "get_worker_info",
    "random_split",
    "sampler",
]
