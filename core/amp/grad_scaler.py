"""Scaling of losses, so that gradients in float16 neither vanish nor overflow.

Source: https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from retrograd.autograd.modes import no_grad
from retrograd.dtypes import float16, float32, int32
from retrograd.ops.creation import full
from retrograd.tensor import Tensor

if TYPE_CHECKING:
    from retrograd.optim import Optimizer

__all__ = ["GradScaler", "OptState"]


class OptState(Enum):
    """What has been done with an optimizer since the last `update`."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _new_state() -> dict[str, Any]:
    return {"stage": OptState.READY, "found_inf_per_device": {}}


class GradScaler:
    """Scale a loss, unscale its gradients, and skip steps in which they are not finite.

    `update` lowers the scale after a skipped step, and raises it after `growth_interval` steps that were not.

    Parameters
    ----------
    device
        `"cpu"` for tensors of every backend here. `"cuda"`, the default as in PyTorch, is accepted and disabled with a
        warning.
    init_scale, growth_factor, backoff_factor, growth_interval
        The scale at first, its factor when raised and when lowered, and after how many steps it is raised.
    enabled
        If false, losses and steps are what they would be without.

    Source: https://docs.pytorch.org/docs/stable/amp.html#torch.amp.GradScaler

    Examples
    --------
    >>> import retrograd
    >>> weight = retrograd.nn.Parameter(retrograd.ones(1))
    >>> optimizer = retrograd.optim.SGD([weight], lr=0.5)
    >>> scaler = retrograd.amp.GradScaler("cpu", init_scale=4.0)
    >>> scaler.scale((weight * 3).sum()).backward()
    >>> weight.grad
    tensor([12.])
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> weight.data, weight.grad, scaler.get_scale()
    (tensor([-0.5000]), tensor([3.]), 4.0)
    """

    def __init__(
        self, device: str = "cuda", init_scale: float = 2.0**16, growth_factor: float = 2.0,
        backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        self._device = device
        self._enabled = enabled
        if device == "cuda" and enabled:
            text = "retrograd.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling."
            warnings.warn(text, stacklevel=2 if type(self) is GradScaler else 3)
            self._enabled = False
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale = init_scale
        self._scale: Tensor | None = None
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._init_growth_tracker = 0
        self._growth_tracker: Tensor | None = None
        self._per_optimizer_states: dict[int, dict[str, Any]] = defaultdict(_new_state)

    # -- scaling ---------------------------------------------------------------------------------

    def scale(self, outputs: Any) -> Any:
        """A tensor times the scale, or tensors of which an iterable consists, in one of its type."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                self._begin(outputs)
            assert self._scale is not None
            return outputs * self._scale.to(outputs.device)
        if not isinstance(outputs, Iterable):
            raise ValueError("outputs must be a Tensor or an iterable of Tensors")
        scaled = map(self.scale, outputs)
        return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled

    def _begin(self, like: Tensor) -> None:
        """Make the tensors of the scale and of the count, where the first loss is."""
        self._scale = full((), self._init_scale, dtype=float32, device=like.device)
        self._growth_tracker = full((), self._init_growth_tracker, dtype=int32, device=like.device)

    def _begun(self, name: str) -> tuple[Tensor, Tensor]:
        fix = "This may indicate your script did not use scaler.scale(loss or outputs) earlier in the iteration."
        if self._scale is None:
            raise AssertionError(f"Attempted {name} but _scale is None.  {fix}")
        assert self._growth_tracker is not None
        return self._scale, self._growth_tracker

    # -- steps -----------------------------------------------------------------------------------

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of an optimizer by the scale, to look at them or clip them before `step`.

        Raises
        ------
        RuntimeError
            If that has been done since the last `update`.
        ValueError
            If a gradient is float16, which the parameters should not be.
        """
        if not self._enabled:
            return
        scale, _ = self._begun("unscale_")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        state["found_inf_per_device"] = self._unscale(optimizer, scale.double().reciprocal().float())
        state["stage"] = OptState.UNSCALED

    @staticmethod
    def _unscale(optimizer: Optimizer, inverse: Tensor) -> dict[Any, Tensor]:
        """Multiply all gradients; 1.0 of each device where one is not finite."""
        found: dict[Any, Tensor] = {}
        with no_grad():
            grads = [each.grad for group in optimizer.param_groups for each in group["params"] if each.grad is not None]
            if any(each.dtype is float16 for each in grads):
                raise ValueError("Attempting to unscale FP16 gradients.")
            for grad in grads:
                if grad.device not in found:
                    found[grad.device] = full((), 0.0, dtype=float32, device=grad.device)
                held = grad._values() if grad.is_sparse else grad
                if not held.isfinite().all().item():
                    found[grad.device].fill_(1.0)
                grad.mul_(inverse.to(grad.device))
        return found

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Unscale the gradients if that has not been done, and let the optimizer step if all are finite.

        Raises
        ------
        RuntimeError
            If it is called twice without `update`, or with a closure.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._begun("step")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if state["stage"] is OptState.READY:
            self.unscale_(optimizer)
        found = state["found_inf_per_device"]
        if not found:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = None
        if not any(each.item() for each in found.values()):
            result = optimizer.step(*args, **kwargs)
        state["stage"] = OptState.STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Lower the scale if a gradient was not finite, raise it if all have been for long; or set it.

        Raises
        ------
        AssertionError
            If no gradients have been looked at since the last call.
        """
        if not self._enabled:
            return
        scale, tracker = self._begun("update")
        if new_scale is not None:
            self._set_scale(scale, new_scale)
        else:
            states = self._per_optimizer_states.values()
            found = [each for state in states for each in state["found_inf_per_device"].values()]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            self._adapt(scale, tracker, any(each.item() for each in found))
        self._per_optimizer_states = defaultdict(_new_state)

    @staticmethod
    def _set_scale(scale: Tensor, new: float | Tensor) -> None:
        if isinstance(new, Tensor):
            if new.numel() != 1 or new.requires_grad:
                raise AssertionError(
                    "new_scale should be a float or a 1-element retrograd.cuda.FloatTensor or retrograd.FloatTensor "
                    "with requires_grad=False."
                )
            scale.copy_(new)
        else:
            scale.fill_(new)

    def _adapt(self, scale: Tensor, tracker: Tensor, overflowed: bool) -> None:
        successes = 0 if overflowed else tracker.item() + 1
        if overflowed:
            scale.mul_(self._backoff_factor)
        elif successes == self._growth_interval:
            grown = scale * self._growth_factor
            if math.isfinite(grown.item()):
                scale.copy_(grown)
            successes = 0
        tracker.fill_(successes)

    # -- what it is like -------------------------------------------------------------------------

    def get_scale(self) -> float:
        """The scale; 1.0 if disabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else cast(float, self._scale.item())

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        return self._init_growth_tracker if self._growth_tracker is None else cast(int, self._growth_tracker.item())

    def get_growth_factor(self) -> float:
        """By what the scale is multiplied when it is raised."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set the factor for raising."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """By what the scale is multiplied when it is lowered."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set the factor for lowering."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many steps that were not skipped the scale is raised."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set the interval."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether anything is scaled."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The scale, how it changes, and how many steps have succeeded; nothing if disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` gave.

        Raises
        ------
        RuntimeError
            If it is empty, as that of a disabled scaler is.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._init_scale = state_dict["scale"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        if self._scale is not None and self._growth_tracker is not None:
            self._scale.fill_(self._init_scale)
            self._growth_tracker.fill_(self._init_growth_tracker)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if self._enabled:
            if self._per_optimizer_states:
                raise AssertionError(
                    "A GradScaler instance may only be pickled at the beginning of an iteration, or at the end after "
                    "scaler.update()."
                )
            state |= {"_init_scale": self.get_scale(), "_init_growth_tracker": self._get_growth_tracker()}
            state |= {"_scale": None, "_growth_tracker": None}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
