"""Settings that programs for PyTorch make at their beginning, and what becomes of them here.

On a CPU the operators of both backends give the same result each time, and their libraries choose how many threads
work: so these are remembered, and change nothing.
"""

from __future__ import annotations

import os
import warnings
from typing import Literal

__all__ = [
    "are_deterministic_algorithms_enabled", "get_deterministic_debug_mode", "get_float32_matmul_precision",
    "get_num_interop_threads", "get_num_threads", "is_deterministic_algorithms_warn_only_enabled",
    "set_deterministic_debug_mode", "set_float32_matmul_precision", "set_num_interop_threads", "set_num_threads",
    "use_deterministic_algorithms",
]  # fmt: skip


class _Settings:
    threads: int | None = None
    interop_threads: int | None = None
    deterministic: bool = False
    warn_only: bool = False
    precision: str = "highest"


_settings = _Settings()
_MODES = ("default", "warn", "error")
_PRECISIONS = ("highest", "high", "medium")


def get_num_threads() -> int:
    """The number given to `set_num_threads`, or the variable `OMP_NUM_THREADS`, or the number of processors.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.get_num_threads.html
    """
    return _settings.threads or int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


def set_num_threads(num: int) -> None:
    """Remember how many threads are wanted; the backend's library takes its number from the environment.

    Raises
    ------
    RuntimeError
        If it is not positive.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.set_num_threads.html
    """
    _settings.threads = _positive(num, "set_num_threads")


def get_num_interop_threads() -> int:
    """As `get_num_threads`, of `set_num_interop_threads`."""
    return _settings.interop_threads or os.cpu_count() or 1


def set_num_interop_threads(num: int) -> None:
    """As `set_num_threads`."""
    _settings.interop_threads = _positive(num, "set_num_interop_threads")


def _positive(num: int, name: str) -> int:
    if not isinstance(num, int) or isinstance(num, bool):
        raise RuntimeError(f"{name} expects an int, but got {type(num).__name__}")
    if num <= 0:
        raise RuntimeError(f"{name} expects a positive integer")
    return num


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for operators that give the same result each time: those here do, on a CPU.

    Raises
    ------
    TypeError
        If `mode` is no boolean.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.use_deterministic_algorithms(True)
    >>> retrograd.are_deterministic_algorithms_enabled()
    True
    >>> retrograd.use_deterministic_algorithms(False)
    """
    if not isinstance(mode, bool):
        raise TypeError(
            f"_set_deterministic_algorithms(): argument 'mode' (position 1) must be bool, not {type(mode).__name__}"
        )
    _settings.deterministic, _settings.warn_only = mode, warn_only


def are_deterministic_algorithms_enabled() -> bool:
    """Whether `use_deterministic_algorithms` has asked for them."""
    return _settings.deterministic


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether a warning would do."""
    return _settings.warn_only


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """`use_deterministic_algorithms` by a word or number: `"default"` (0), `"warn"` (1), `"error"` (2).

    Raises
    ------
    RuntimeError
        If it is another.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.set_deterministic_debug_mode.html
    """
    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if isinstance(debug_mode, str):
        if debug_mode not in _MODES:
            raise RuntimeError(
                "invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got " + debug_mode
            )
        debug_mode = _MODES.index(debug_mode)
    if not 0 <= debug_mode < len(_MODES):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    use_deterministic_algorithms(debug_mode > 0, warn_only=debug_mode == 1)


def get_deterministic_debug_mode() -> int:
    """0, 1 or 2; see `set_deterministic_debug_mode`."""
    return 0 if not _settings.deterministic else 1 if _settings.warn_only else 2


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` has asked for."""
    return _settings.precision


def set_float32_matmul_precision(precision: Literal["highest", "high", "medium"]) -> None:
    """Allow products of `float32` to be less exact; those here are not. Of an unknown precision it only warns.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.set_float32_matmul_precision.html
    """
    if precision in _PRECISIONS:
        _settings.precision = precision
    else:
        warnings.warn(
            f"{precision} is not one of 'highest', 'high', or 'medium'; the current setFloat32MatmulPrecision call has "
            "no effect.",
            stacklevel=2,
        )
