"""What PyTorch's tensors say of quantization, pinned memory and layouts that there are not here."""

from __future__ import annotations

import warnings
from typing import Any, NoReturn

from retrograd.tensor import Tensor

__all__: list[str] = []


def dequantize(self: Tensor) -> Tensor:
    """This tensor in float32: nothing is quantized here."""
    return self.float()


def dim_order(self: Tensor, *, ambiguity_check: bool | list[Any] = False) -> tuple[int, ...]:
    """The dimensions in the order in which they lie in memory, the outermost first.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.dim_order.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.ones(2, 3).t().dim_order()
    (1, 0)
    """
    strides = self.stride()
    return tuple(sorted(range(self.ndim), key=lambda axis: -strides[axis]))


def pin_memory(self: Tensor, device: Any = None) -> NoReturn:
    """Refused: there is no accelerator of PyTorch's kind for which memory could be pinned.

    Raises
    ------
    RuntimeError
        Always.
    """
    raise RuntimeError("Cannot access accelerator device when none is available.")


def conj_physical_(self: Tensor) -> Tensor:
    """Conjugate in place."""
    return self.copy_(self.conj_physical()) if self.is_complex() else self


def resize_as(self: Tensor, tensor: Tensor) -> Tensor:
    """This tensor in the shape of another of as many elements; deprecated."""
    warnings.warn("non-inplace resize_as is deprecated", UserWarning, stacklevel=2)
    return self.reshape(tensor.shape)


_DENSE = (dequantize, dim_order, pin_memory, conj_physical_, resize_as)
DENSE: dict[str, Any] = {
    **{each.__name__: each for each in _DENSE},
    "volatile": property(lambda self: False, doc="False: PyTorch has no such variables any more."),
}
"""Of `Tensor`, by name."""
