"""The accelerators of the current backend: the devices that it has besides the CPU, as JAX's GPUs and TPUs.

Source: https://docs.pytorch.org/docs/stable/accelerator.html
"""

from __future__ import annotations

from typing import Any

from retrograd.backends import registry
from retrograd.device import device, host_kernels, kernels_of

__all__ = [
    "current_accelerator", "current_device_idx", "current_device_index", "device_count", "empty_cache", "is_available",
    "synchronize",
]  # fmt: skip


def _names() -> list[str]:
    backend = host_kernels().backend
    return [f"{backend}:{name}" for name in registry.load(backend).devices() if not name.startswith("cpu")]


def _checked() -> list[str]:
    found = _names()
    if not found:
        raise RuntimeError("Cannot access accelerator device when none is available.")
    return found


def is_available() -> bool:
    """Whether the current backend has an accelerator.

    Examples
    --------
    >>> import retrograd
    >>> with retrograd.use_backend("numpy"):
    ...     retrograd.accelerator.current_accelerator().type if retrograd.accelerator.is_available() else "cpu"
    'cpu'
    """
    return bool(_names())


def device_count() -> int:
    """How many there are."""
    return len(_names())


def current_accelerator(check_available: bool = False) -> device | None:
    """The one that new tensors go to, or else the first; None if there is none."""
    found = _names()
    if not found:
        return None
    current = str(device(host_kernels()))
    return device(current if current in found else found[0])


def current_device_index() -> int:
    """The number of `current_accelerator`.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    found = _checked()
    current = str(device(host_kernels()))
    return found.index(current) if current in found else 0


def current_device_idx() -> int:
    """`current_device_index`."""
    return current_device_index()


def synchronize(device: Any = None) -> None:
    """Return when an accelerator, by default the current one, has done what it was asked for.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    found = _checked()
    number = current_device_index() if device is None else device
    k = kernels_of(found[number] if isinstance(number, int) else number)
    if k.wait is not None:
        k.wait()


def empty_cache() -> None:
    """Nothing: backends manage their memory themselves.

    Raises
    ------
    RuntimeError
        If there is no accelerator.
    """
    _checked()
