"""Averages of a model's weights over training: equal ones (SWA), or exponential ones (EMA).

Source: Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018;
https://docs.pytorch.org/docs/stable/optim.html#weight-averaging-swa-and-ema
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

from retrograd.autograd.modes import no_grad
from retrograd.dtypes import int64
from retrograd.nn import Module
from retrograd.nn.modules.batchnorm import _BatchNorm
from retrograd.ops.creation import tensor
from retrograd.optim.optimizer import Optimizer
from retrograd.optim.schedule import LRScheduler, per_group
from retrograd.tensor import Tensor

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn",
    "update_bn",
]  # fmt: skip

Average = Callable[[Tensor, Tensor, Any], Tensor]
MultiAverage = Callable[[Sequence[Tensor], Sequence[Tensor], Any], Any]


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def _interpolates(values: Sequence[Tensor]) -> bool:
    return values[0].is_floating_point() or values[0].is_complex()


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """For `AveragedModel`: a function that moves averages in place, ``decay * average + (1 - decay) * value``.

    Raises
    ------
    ValueError
        If `decay` is not between 0 and 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.get_ema_multi_avg_fn.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.optim.swa_utils import get_ema_multi_avg_fn
    >>> average = retrograd.zeros(2)
    >>> get_ema_multi_avg_fn(0.75)([average], [retrograd.ones(2)], 1)
    >>> average
    tensor([0.2500, 0.2500])
    """
    _check_decay(decay)

    @no_grad()
    def update(averages: Sequence[Tensor], values: Sequence[Tensor], _: Any) -> None:
        for average, value in zip(averages, values, strict=True):
            if _interpolates(averages):
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(average * decay + value * (1 - decay))

    return update


def get_swa_multi_avg_fn() -> MultiAverage:
    """For `AveragedModel`: a function that takes values into equal averages of so many, in place.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.get_swa_multi_avg_fn.html
    """

    @no_grad()
    def update(averages: Sequence[Tensor], values: Sequence[Tensor], num_averaged: Any) -> None:
        for average, value in zip(averages, values, strict=True):
            if _interpolates(averages):
                average.lerp_(value, float(1 / (num_averaged + 1)))
            else:
                average.copy_(average + (value - average) / (num_averaged + 1))

    return update


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """For `AveragedModel`: a function that gives ``decay * average + (1 - decay) * value``.

    Raises
    ------
    ValueError
        If `decay` is not between 0 and 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.get_ema_avg_fn.html
    """
    _check_decay(decay)

    @no_grad()
    def updated(average: Tensor, value: Tensor, num_averaged: Any) -> Tensor:
        return decay * average + (1 - decay) * value

    return updated


def get_swa_avg_fn() -> Average:
    """For `AveragedModel`: a function that gives ``average + (value - average) / (num_averaged + 1)``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.get_swa_avg_fn.html
    """

    @no_grad()
    def updated(average: Tensor, value: Tensor, num_averaged: Any) -> Tensor:
        return average + (value - average) / (num_averaged + 1)

    return updated


class AveragedModel(Module):
    """A copy of a model whose weights become averages of the model's, with each `update_parameters`.

    Parameters
    ----------
    model
        What to copy.
    device
        Where to keep the copy.
    avg_fn
        Gives a new average from the present one, the model's value, and how many were averaged.
    multi_avg_fn
        The same for lists of tensors of one type, in place. Without either, averages are equal.
    use_buffers
        Average buffers too; otherwise they are copied.

    Raises
    ------
    AssertionError
        If both functions are given.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.AveragedModel.html

    Examples
    --------
    >>> import retrograd
    >>> model = retrograd.nn.Linear(1, 1, bias=False)
    >>> averaged = retrograd.optim.swa_utils.AveragedModel(model)
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = retrograd.nn.init.constant_(model.weight, value)
    ...     averaged.update_parameters(model)
    >>> averaged.module.weight.item()
    3.0
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model makes of the arguments."""
        return self.module(*args, **kwargs)

    def _averaged(self, model: Module) -> Iterable[Tensor]:
        return itertools.chain(model.parameters(), model.buffers()) if self.use_buffers else model.parameters()

    def update_parameters(self, model: Module) -> None:
        """Take the model's weights into the averages; the first time, copy them."""
        pairs = [
            (average.detach(), value.detach().to(average.device))
            for average, value in zip(self._averaged(self.module), self._averaged(model), strict=False)
        ]
        if self.n_averaged == 0:
            for average, value in pairs:
                average.copy_(value)
        elif self.multi_avg_fn is not None:
            self._update_together(self.multi_avg_fn, pairs)
        else:
            updated = self.avg_fn or get_swa_avg_fn()
            for average, value in pairs:
                average.copy_(updated(average, value, self.n_averaged.to(average.device)))
        if not self.use_buffers:
            for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
                mine.detach().copy_(theirs.detach().to(mine.device))
        self.n_averaged += 1

    def _update_together(self, update: MultiAverage, pairs: list[tuple[Tensor, Tensor]]) -> None:
        groups: dict[Any, list[tuple[Tensor, Tensor]]] = {}
        for pair in pairs:
            groups.setdefault((pair[0].device, pair[0].dtype), []).append(pair)
        for (device, _), group in groups.items():
            averages, values = map(list, zip(*group, strict=True))
            update(averages, values, self.n_averaged.to(device))


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the statistics of a model's batch norms anew, from all batches of a loader.

    Parameters
    ----------
    loader
        Batches: tensors, or lists or tuples whose first element is the model's input.
    device
        Where to move the batches first.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.update_bn.html

    Examples
    --------
    >>> import retrograd
    >>> norm = retrograd.nn.BatchNorm1d(1)
    >>> retrograd.optim.swa_utils.update_bn([retrograd.tensor([[1.0], [3.0]]), retrograd.tensor([[4.0], [8.0]])], norm)
    >>> norm.running_mean
    tensor([4.])
    """
    norms = {module: module.momentum for module in model.modules() if isinstance(module, _BatchNorm)}
    if not norms:
        return
    was_training = model.training
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # which weighs all batches equally
    for batch in loader:
        given = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(given if device is None else given.to(device))
    for norm, momentum in norms.items():
        norm.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Go from the present learning rates to fixed ones, and stay there.

    Parameters
    ----------
    swa_lr
        The rate at the end, one or one for each group.
    anneal_epochs
        How many epochs the way takes.
    anneal_strategy
        `"cos"` or `"linear"`.

    Raises
    ------
    ValueError
        If the strategy is another one, or `anneal_epochs` no number from 0 on.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.SWALR.html

    Examples
    --------
    >>> import retrograd
    >>> optimizer = retrograd.optim.SGD([retrograd.nn.Parameter(retrograd.ones(1))], lr=1.0)
    >>> scheduler = retrograd.optim.swa_utils.SWALR(optimizer, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear")
    >>> rates = []
    >>> for _ in range(3):
    ...     optimizer.step()
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> rates
    [0.75, 0.5, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        for rate, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True):
            group["swa_lr"] = rate.clone() if isinstance(rate, Tensor) else rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def anneal_func(self, part: float) -> float:
        """How much of the way is done after a part of the epochs."""
        return part if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * part)) / 2

    def _done(self, step: int) -> float:
        return self.anneal_func(max(0, min(1, step / max(1, self.anneal_epochs))))

    def next_lr(self, lr: Any, base: Any, group: int) -> Any:
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        final = self.optimizer.param_groups[group]["swa_lr"]
        before, now = self._done(step - 1), self._done(step)
        start = final if before == 1 else (lr - before * final) / (1 - before)
        return final * now + start * (1 - now)
