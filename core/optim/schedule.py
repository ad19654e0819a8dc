"""What all learning-rate schedules share: epochs, rates, and the order of steps."""

from __future__ import annotations

import functools
import warnings
import weakref
from collections.abc import Sequence
from typing import Any, Final

from retrograd.optim.optimizer import Optimizer
from retrograd.tensor import Tensor

__all__ = [
    "EPOCH_DEPRECATION_WARNING",
    "LRScheduler",
    "check_optimizer",
    "per_group",
    "set_option",
    "values_of",
]

EPOCH_DEPRECATION_WARNING: Final = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. "
    "Please use "
    "`scheduler.step()` to step the scheduler. During the deprecation, if epoch is different from None, the "
    "closed "
    "form is used instead of the new chainable form, where available. Please open an issue if you are "
    "unable to "
    "replicate your use case: https://github.com/pytorch/pytorch/issues/new/choose."
)
_ORDER = "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"


def set_option(group: dict[str, Any], key: str, value: Any) -> None:
    """Set an option; one that is a tensor keeps being that tensor."""
    if isinstance(group[key], Tensor):
        group[key].fill_(float(value))
    else:
        group[key] = value


def values_of(optimizer: Optimizer, key: str) -> list[Any]:
    values = (group[key] for group in optimizer.param_groups)
    return [each.clone() if isinstance(each, Tensor) else each for each in values]


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """A list with one value for each group, from one value or such a list."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. "
            f"{name} has {len(value)} values, param_groups has {count}."
        )
    return list(value)


def check_optimizer(optimizer: Any) -> None:
    # A wrapper, such as the parameter server's, may stand for an optimizer that it does not derive from.
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


class LRScheduler:
    """What all schedules share. A schedule of one's own overrides `get_lr`.

    Parameters
    ----------
    optimizer
        The optimizer whose groups' `lr` is set.
    last_epoch
        The epoch to go on from; -1 starts afresh.

    Raises
    ------
    TypeError
        If `optimizer` is none.
    KeyError
        If it goes on from an epoch and a group has no `initial_lr`.
    """

    _get_lr_called_within_step: bool = False
    _is_initial: bool = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                lr = group["lr"]
                group.setdefault("initial_lr", lr.clone() if isinstance(lr, Tensor) else lr)
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with "
                    "last_epoch >= 0.\nThis typically happens when:\n"
                    "1. You're trying to resume training from a checkpoint but haven't properly loaded the "
                    "optimizer "
                    "state\n2. You're using last_epoch >= 0 for a fresh training run (not recommended)"
                )
        self.base_lrs = values_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        _note_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """The rates that the last step set, one for each group."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The rates for `last_epoch`, one for each group; called by `step`."""
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
                UserWarning,
                stacklevel=2,
            )
        return [
            self.next_lr(lr, base, i)
            for i, (lr, base) in enumerate(zip(values_of(self.optimizer, "lr"), self.base_lrs, strict=True))
        ]

    def next_lr(self, lr: Any, base: Any, group: int) -> Any:
        """The rate for `last_epoch` of one group, from its present rate and its first one."""
        raise NotImplementedError

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch (or to `epoch`, which is deprecated) and set the rates."""
        if self._step_count == 1:
            self._check_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _check_order(self) -> None:
        if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
            warnings.warn(
                "Seems like `optimizer.step()` has been overridden after learning rate scheduler "
                "initialization. "
                "Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`. See more "
                "details at " + _ORDER,
                UserWarning,
                stacklevel=3,
            )
        elif not getattr(self.optimizer, "_opt_called", False):
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 and "
                "later, you "
                "should call them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`.  "
                "Failure "
                "to do this will result in PyTorch skipping the first value of the learning rate schedule. "
                "See more "
                "details at " + _ORDER,
                UserWarning,
                stacklevel=3,
            )

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = True
        try:
            self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
            closed = getattr(self, "closed_lr", None)
            if epoch is None or closed is None:
                rates = self.get_lr()
            else:
                rates = [closed(base) for base in self.base_lrs]
        finally:
            self._get_lr_called_within_step = False
        self._set_rates(rates)

    def _set_rates(self, rates: Sequence[Any]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            set_option(group, "lr", lr)
        self._last_lr = values_of(self.optimizer, "lr")


def _note_steps(optimizer: Optimizer) -> None:
    """Let the optimizer remember that it has stepped, so that a wrong order can be noticed."""
    if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        return
    reference = weakref.ref(optimizer)
    function = optimizer.step.__func__  # type: ignore[attr-defined]

    @functools.wraps(function)
    def step(*args: Any, **kwargs: Any) -> Any:
        stepping = reference()
        stepping._opt_called = True  # type: ignore[union-attr]
        return function(stepping, *args, **kwargs)

    step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
    optimizer.step = step  # type: ignore[method-assign]
