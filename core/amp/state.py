"""Whether autocast is on, and in which type, by the kind of device; in this thread or task.

The settings of all kinds of device are kept as PyTorch's are; those of `"cpu"` decide for tensors of every backend.

Source: https://docs.pytorch.org/docs/stable/amp.html
"""

from __future__ import annotations

import warnings
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Final

from retrograd.autograd.modes import current_mode, set_mode
from retrograd.dtypes import bfloat16, dtype, float16
from retrograd.ops.autocasting import Autocast

__all__ = [
    "autocast_decrement_nesting", "autocast_increment_nesting", "clear_autocast_cache", "get_autocast_cpu_dtype",
    "get_autocast_dtype", "get_autocast_gpu_dtype", "is_autocast_cache_enabled", "is_autocast_cpu_enabled",
    "is_autocast_enabled", "set_autocast_cache_enabled", "set_autocast_cpu_dtype", "set_autocast_cpu_enabled",
    "set_autocast_dtype", "set_autocast_enabled", "set_autocast_gpu_dtype",
]  # fmt: skip

DEFAULTS: Final = {
    "cpu": bfloat16, "cuda": float16, "hpu": bfloat16, "ipu": float16, "maia": bfloat16, "mps": float16,
    "mtia": bfloat16, "privateuseone": float16, "xla": bfloat16, "xpu": float16,
}  # fmt: skip
"""The kinds of device that PyTorch has autocast for, and the type each begins with."""


@dataclass(frozen=True, slots=True)
class _Settings:
    enabled: frozenset[str] = frozenset()
    types: dict[str, dtype] = field(default_factory=lambda: DEFAULTS)
    caches: bool = True
    nesting: int = 0
    kept: dict[int, tuple[Any, Any]] = field(default_factory=dict)


_START: Final = _Settings()
_settings: ContextVar[_Settings] = ContextVar("retrograd.autocast")


def _set(**changes: Any) -> None:
    """Change the settings, and the mode by them."""
    settings = replace(_settings.get(_START), **changes)
    _settings.set(settings)
    state = Autocast(settings.types["cpu"], settings.kept if settings.caches else None)
    set_mode(current_mode().but(autocast=state if "cpu" in settings.enabled else None))


_OTHER = "mkldnn opengl opencl ideep hip ve fpga lazy vulkan meta".split()
_ALL = "cpu cuda ipu xpu mkldnn opengl opencl ideep hip ve fpga maia xla lazy vulkan mps meta hpu mtia privateuseone"


def is_kind(device_type: str) -> bool:
    """Whether PyTorch knows such a kind of device.

    Raises
    ------
    RuntimeError
        If not.
    """
    if device_type in DEFAULTS or device_type in _OTHER:
        return True
    expected = _ALL.replace(" ", ", ")
    raise RuntimeError(f"Expected one of {expected} device type at start of device string: {device_type}")


def known(device_type: str, text: str = "unsupported scalarType") -> str:
    """The kind of device, if PyTorch has autocast for it."""
    if is_kind(device_type) and device_type not in DEFAULTS:
        raise RuntimeError(text)
    return device_type


_UNKNOWN = "unknown device type for autocast in get_autocast_dispatch_key_from_device_type"


def is_autocast_enabled(device_type: Any = "cuda") -> bool:
    """Whether autocast is on for a kind of device; by default for `"cuda"`, as in PyTorch.

    Source: https://docs.pytorch.org/docs/stable/amp.html

    Examples
    --------
    >>> import retrograd
    >>> with retrograd.autocast("cpu"):
    ...     retrograd.is_autocast_enabled("cpu"), retrograd.is_autocast_enabled()
    (True, False)
    """
    if not isinstance(device_type, str):
        found = type(device_type).__name__
        raise TypeError(f"is_autocast_enabled(): argument 'device_type' (position 1) must be str, not {found}")
    return known(device_type, _UNKNOWN) in _settings.get(_START).enabled


def set_autocast_enabled(device_type: str | bool, enabled: bool | None = None) -> None:
    """Switch autocast for a kind of device; ``set_autocast_enabled(enabled)`` is for `"cuda"`.

    `retrograd.autocast` does it for a region.
    """
    kind, on = ("cuda", device_type) if isinstance(device_type, bool) else (device_type, enabled)
    now = _settings.get(_START).enabled
    _set(enabled=now | {known(kind, _UNKNOWN)} if on else now - {kind})


def get_autocast_dtype(device_type: str) -> dtype:
    """The lower type of autocast for a kind of device: bfloat16 for `"cpu"`, unless it has been set.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.get_autocast_dtype("cpu"), retrograd.get_autocast_dtype("cuda")
    (retrograd.bfloat16, retrograd.float16)
    """
    return _settings.get(_START).types[known(device_type)]


def set_autocast_dtype(device_type: str, dtype: dtype) -> None:
    """Set the lower type for a kind of device."""
    _set(types=_settings.get(_START).types | {known(device_type): dtype})


def is_autocast_cache_enabled() -> bool:
    """Whether casts of parameters are kept until the outermost region ends."""
    return _settings.get(_START).caches


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Switch the keeping of casts."""
    _set(caches=enabled)


def clear_autocast_cache() -> None:
    """Forget the casts of parameters, which have changed."""
    _settings.get(_START).kept.clear()


def autocast_increment_nesting() -> int:
    """Enter a region; how many are open then."""
    settings = _settings.get(_START)
    kept = settings.kept if settings.nesting else {}
    _set(nesting=settings.nesting + 1, kept=kept)
    return settings.nesting + 1


def autocast_decrement_nesting() -> int:
    """Leave a region; how many are open then."""
    nesting = _settings.get(_START).nesting - 1
    _set(nesting=nesting)
    return nesting


# -- deprecated --------------------------------------------------------------------------------


def _deprecated(name: str, instead: str) -> None:
    text = f"retrograd.{name} is deprecated. Please use retrograd.{instead} instead."
    warnings.warn(text, DeprecationWarning, stacklevel=3)


def is_autocast_cpu_enabled() -> bool:
    """Deprecated: ``is_autocast_enabled("cpu")``."""
    _deprecated("is_autocast_cpu_enabled()", "is_autocast_enabled('cpu')")
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """Deprecated: ``set_autocast_enabled("cpu", enabled)``."""
    _deprecated("set_autocast_cpu_enabled(enabled)", "set_autocast_enabled('cpu', enabled)")
    set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> dtype:
    """Deprecated: ``get_autocast_dtype("cpu")``."""
    _deprecated("get_autocast_cpu_dtype()", "get_autocast_dtype('cpu')")
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: dtype) -> None:
    """Deprecated: ``set_autocast_dtype("cpu", dtype)``."""
    _deprecated("set_autocast_cpu_dtype(dtype)", "set_autocast_dtype('cpu', dtype)")
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> dtype:
    """Deprecated: ``get_autocast_dtype("cuda")``."""
    _deprecated("get_autocast_gpu_dtype()", "get_autocast_dtype('cuda')")
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: dtype) -> None:
    """Deprecated: ``set_autocast_dtype("cuda", dtype)``."""
    _deprecated("set_autocast_gpu_dtype(dtype)", "set_autocast_dtype('cuda', dtype)")
    set_autocast_dtype("cuda", dtype)
