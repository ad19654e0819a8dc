"""The switches of oneDNN, which is not used here: `is_available()` is False. They can be set, and change nothing.

Source: https://docs.pytorch.org/docs/stable/backends.html#torch-backends-mkldnn
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["flags", "is_available", "set_flags"]

enabled: bool = True
deterministic: bool = False


def is_available() -> bool:
    """False."""
    return False


def set_flags(enabled: bool, deterministic: bool | None = None) -> dict[str, bool]:
    """Set the switches, but for what is None; what they were is returned."""
    before = {name: globals()[name] for name in ("enabled", "deterministic")}
    globals().update(enabled=enabled)
    if deterministic is not None:
        globals().update(deterministic=deterministic)
    return before


@contextmanager
def flags(enabled: bool = False, deterministic: bool = False) -> Iterator[None]:
    """A context in which the switches are set so."""
    before = set_flags(enabled, deterministic)
    try:
        yield
    finally:
        globals().update(before)
