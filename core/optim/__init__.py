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

from retrograd.optim import lr_scheduler
from retrograd.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from retrograd.optim.adaptive import ASGD, Adadelta, Adagrad, RMSprop, Rprop
from retrograd.optim.optimizer import Optimizer
from retrograd.optim.sgd import SGD

__all__ = [
    "ASGD",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
]  # fmt: skip
