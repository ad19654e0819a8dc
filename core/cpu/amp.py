"""The deprecated names of `retrograd.amp` for `"cpu"`.

Source: https://docs.pytorch.org/docs/stable/amp.html
"""

from __future__ import annotations

import warnings

from retrograd import amp
from retrograd.dtypes import bfloat16, dtype as DType

__path__: list[str] = []  # PyTorch has a package here: its modules are found by `retrograd.places`
__all__ = ["GradScaler", "autocast"]


def _deprecated(name: str, instead: str, stacklevel: int) -> None:
    text = f"`retrograd.cpu.amp.{name}` is deprecated. Please use `retrograd.amp.{instead}` instead."
    warnings.warn(text, FutureWarning, stacklevel=stacklevel)


class autocast(amp.autocast):  # PyTorch's name
    """``amp.autocast("cpu", ...)``; deprecated."""

    def __init__(self, enabled: bool = True, dtype: DType = bfloat16, cache_enabled: bool = True) -> None:
        _deprecated("autocast(args...)", "autocast('cpu', args...)", 3)
        super().__init__("cpu", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)


class GradScaler(amp.GradScaler):
    """``amp.GradScaler("cpu", ...)``; deprecated."""

    def __init__(
        self, init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
        growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        _deprecated("GradScaler(args...)", "GradScaler('cpu', args...)", 3)
        super().__init__("cpu", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
