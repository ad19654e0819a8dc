"""Optimizers and learning-rate schedules under PyTorch's names.

Examples
--------
>>> import retrograd
>>> w = retrograd.nn.Parameter(retrograd.tensor([4.0]))
>>> optimizer = retrograd.optim.SGD([w], lr=0.25)
>>> for _ in range(2):
...     optimizer.zero_grad()
...     w.square().sum().backward()
...     optimizer.step()
>>> w.tolist()
[1.0]
"""

from typing import TYPE_CHECKING, Any

from retrograd.optim import lr_scheduler
from retrograd.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from retrograd.optim.adaptive import ASGD, Adadelta, Adagrad, RMSprop, Rprop
from retrograd.optim.factored import Adafactor, Muon, SparseAdam
from retrograd.optim.lbfgs import LBFGS
from retrograd.optim.optimizer import Optimizer
from retrograd.optim.sgd import SGD
from retrograd.places import settle as _settle

if TYPE_CHECKING:
    from retrograd.optim import swa_utils

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "swa_utils",
]  # fmt: skip

_settle(__name__)


def __getattr__(name: str) -> Any:
    """Import `swa_utils` when first used: it needs `nn`, which no optimizer does."""
    if name == "swa_utils":
        from importlib import import_module

        return import_module("retrograd.optim.swa_utils")
    raise AttributeError(f"module 'retrograd.optim' has no attribute {name!r}")
