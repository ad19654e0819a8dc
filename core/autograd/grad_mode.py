"""The modes of recording, where PyTorch has them."""

from __future__ import annotations

from retrograd.autograd.inference import inference_mode
from retrograd.autograd.modes import enable_grad, no_grad, set_grad_enabled
from retrograd.autograd.policies import set_multithreading_enabled

__all__ = ["enable_grad", "inference_mode", "no_grad", "set_grad_enabled", "set_multithreading_enabled"]
