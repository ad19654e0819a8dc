"""The deprecated names of `retrograd.amp` for `"cuda"`.

Source: https://docs.pytorch.org/docs/stable/amp.html
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from retrograd import amp
from retrograd.dtypes import dtype as DType, float16

__path__: list[str] = []  # PyTorch has a package here: its modules are found by `retrograd.places`
__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]


def _deprecated(name: str, instead: str, stacklevel: int) -> None:
    text = f"`retrograd.cuda.amp.{name}` is deprecated. Please use `retrograd.amp.{instead}` instead."
    warnings.warn(text, FutureWarning, stacklevel=stacklevel)


class autocast(amp.autocast):  # PyTorch's name
    """``amp.autocast("cuda", ...)``; deprecated."""

    def __init__(self, enabled: bool = True, dtype: DType = float16, cache_enabled: bool = True) -> None:
        _deprecated("autocast(args...)", "autocast('cuda', args...)", 3)
        super().__init__("cuda", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)


class GradScaler(amp.GradScaler):
    """``amp.GradScaler("cuda", ...)``; deprecated."""

    def __init__(
        self, init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
        growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        _deprecated("GradScaler(args...)", "GradScaler('cuda', args...)", 3)
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)


def custom_fwd(fwd: Callable[..., Any] | None = None, *, cast_inputs: DType | None = None) -> Callable[..., Any]:
    """``amp.custom_fwd`` for `"cuda"`; deprecated."""
    _deprecated("custom_fwd(args...)", "custom_fwd(args..., device_type='cuda')", 3)
    return amp.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd: Callable[..., Any]) -> Callable[..., Any]:
    """``amp.custom_bwd`` for `"cuda"`; deprecated."""
    _deprecated("custom_bwd(args...)", "custom_bwd(args..., device_type='cuda')", 3)
    return amp.custom_bwd(bwd, device_type="cuda")
