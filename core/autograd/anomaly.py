"""Anomaly mode: every node remembers its forward call, and the backward pass stops at the first NaN."""

from __future__ import annotations

from typing import Any

from retrograd.autograd.modes import ModeContext, current_mode, set_mode

__all__ = ["detect_anomaly", "is_anomaly_check_nan_enabled", "is_anomaly_enabled", "set_detect_anomaly"]


class set_detect_anomaly(ModeContext):  # noqa: N801 - PyTorch's name
    """Switch anomaly mode on or off, at once; as a context manager, until its end.

    Parameters
    ----------
    mode
        On or off.
    check_nan
        Raise when a node of the backward pass gives NaN.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#anomaly-detection

    Examples
    --------
    >>> import retrograd
    >>> with retrograd.autograd.set_detect_anomaly(True):
    ...     retrograd.is_anomaly_enabled()
    True
    """

    __slots__ = ("check_nan", "mode")

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.mode = bool(mode)
        self.check_nan = check_nan
        self._previous = [current_mode()]
        set_mode(current_mode().but(**self.changes()))

    def changes(self) -> dict[str, Any]:
        return {"anomaly": self.mode, "check_nan": self.check_nan}

    def __enter__(self) -> None:
        set_mode(current_mode().but(**self.changes()))

    def __exit__(self, *exc_info: object) -> None:
        set_mode(self._previous[-1])

    def clone(self) -> set_detect_anomaly:
        return set_detect_anomaly(self.mode, self.check_nan)


class detect_anomaly(ModeContext):  # noqa: N801 - PyTorch's name
    """A context with anomaly mode on. For debugging: it is slow.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#anomaly-detection

    Examples
    --------
    >>> import retrograd
    >>> with retrograd.autograd.detect_anomaly():
    ...     retrograd.is_anomaly_enabled()
    True
    """

    __slots__ = ("check_nan",)

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan

    def changes(self) -> dict[str, Any]:
        return {"anomaly": True, "check_nan": self.check_nan}

    def clone(self) -> detect_anomaly:
        return detect_anomaly(self.check_nan)


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on."""
    return current_mode().anomaly


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode is on and looks for NaN."""
    return current_mode().anomaly and current_mode().check_nan
