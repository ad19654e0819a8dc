"""What a program that asks for the CPU as a device finds, under PyTorch's names.

Source: https://docs.pytorch.org/docs/stable/cpu.html
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from retrograd.cpu import amp as amp

__all__ = ["amp", "current_device", "device_count", "is_available", "set_device", "stream", "synchronize"]


def is_available() -> bool:
    """True."""
    return True


def device_count() -> int:
    """1."""
    return 1


def current_device() -> str:
    """The text "cpu"."""
    return "cpu"


def set_device(device: object) -> None:
    """Nothing: there is one."""


def synchronize(device: object = None) -> None:
    """Nothing: calls return when they are done, or results wait for themselves."""


def stream(stream: object) -> AbstractContextManager[None]:
    """A context that does nothing: there are no streams."""
    return nullcontext()
