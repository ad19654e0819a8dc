"""Inference mode: no recording, and no version counters on what is made meanwhile.

What an inference tensor is, and how its use in a recorded operator is noticed at no cost elsewhere,
is said in Note [Inference cell] of `retrograd.storage`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, overload

from retrograd.autograd.modes import F, ModeContext, current_mode

if TYPE_CHECKING:
    from retrograd.tensor import Tensor

__all__ = ["inference_mode", "is_inference", "is_inference_mode_enabled"]


class inference_mode(ModeContext):  # PyTorch's name
    """A context in which nothing is recorded and new tensors are inference tensors; also a decorator.

    Inference tensors can be read everywhere and written to only in inference mode. An operator that
    records and would save one raises an error; `clone` gives an ordinary tensor. Views of ordinary
    tensors stay ordinary. `enable_grad` has no effect inside.

    Parameters
    ----------
    mode
        False gives ordinary tensors and recording again, inside of a region in inference mode.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad_mode.inference_mode.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.ones(2, requires_grad=True)
    >>> with retrograd.inference_mode():
    ...     y = x * x
    >>> y.requires_grad, y.is_inference()
    (False, True)
    """

    __slots__ = ("mode",)
    __module__ = "retrograd.autograd.grad_mode"

    mode: bool

    @overload
    def __new__(cls, mode: bool = True) -> Self: ...
    @overload
    def __new__(cls, mode: F) -> F: ...  # type: ignore[misc]  # as a decorator without parentheses
    def __new__(cls, mode: Any = True) -> Any:
        made = super().__new__(cls)
        if callable(mode):
            made.mode = True
            return made(mode)
        made.mode = mode
        return made

    def changes(self) -> dict[str, Any]:
        now = current_mode()
        levels = now.dual or now.dual_off
        changed = {"dual_off" if self.mode else "dual": levels, "dual" if self.mode else "dual_off": ()}
        return {"inference": self.mode, "grad": not self.mode, "asked": False, "forward_off": self.mode, **changed}

    def clone(self) -> inference_mode:
        return inference_mode(self.mode)


def is_inference_mode_enabled() -> bool:
    """Whether new tensors are inference tensors in this thread or task now."""
    return current_mode().inference


def is_inference(input: Tensor) -> bool:
    """Whether `input` was made in inference mode.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.is_inference.html
    """
    return input.is_inference()
