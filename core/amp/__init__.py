"""Automatic mixed precision: operators choose the type they run in, and losses are scaled.

Inside of `autocast`, operators on CPUs that gain by it run in bfloat16 (or float16), and those that need it in float32,
by the lists of PyTorch's documentation. `GradScaler` keeps gradients in float16 from vanishing.

Source: https://docs.pytorch.org/docs/stable/amp.html
"""

from retrograd.amp.autocast_mode import (
    autocast as autocast,
    custom_bwd as custom_bwd,
    custom_fwd as custom_fwd,
    is_autocast_available as is_autocast_available,
)
from retrograd.amp.grad_scaler import GradScaler as GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
