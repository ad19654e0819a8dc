"""Settings that programs for PyTorch make at their beginning, and what becomes of them here.

On a CPU the operators of both backends give the same result each time, and their libraries choose how many threads
work: so these are remembered, and change nothing but what `empty` makes where all is to be deterministic.
"""

from __future__ import annotations

import os
import warnings
from typing import Any, Literal

__all__ = [
    "are_deterministic_algorithms_enabled", "get_deterministic_debug_mode", "get_float32_matmul_precision",
    "get_num_interop_threads", "get_num_threads", "is_deterministic_algorithms_warn_only_enabled",
    "is_warn_always_enabled", "set_default_tensor_type", "set_deterministic_debug_mode", "set_float32_matmul_precision",
    "set_flush_denormal", "set_num_interop_threads", "set_num_threads", "set_warn_always",
    "use_deterministic_algorithms",
]  # fmt: skip


class _Settings:
    threads: int | None = None
    interop_threads: int | None = None
    deterministic: bool = False
    warn_only: bool = False
    precision: str = "highest"
    warns_always: bool = False


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


def set_flush_denormal(mode: bool) -> bool:
    """False: a process cannot change how its libraries treat numbers near zero.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.set_flush_denormal.html
    """
    return False


def set_warn_always(b: bool) -> None:
    """Remember whether warnings should be given each time; Python's filters decide.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.set_warn_always.html
    """
    _settings.warns_always = b


def is_warn_always_enabled() -> bool:
    """What `set_warn_always` has set."""
    return _settings.warns_always


def set_default_tensor_type(t: Any) -> None:
    """Set the default floating-point type by a typed constructor or its name; deprecated.

    Raises
    ------
    TypeError
        If it is none of floating point.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.set_default_tensor_type.html

    Examples
    --------
    >>> import retrograd
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     retrograd.set_default_tensor_type(retrograd.FloatTensor)
    >>> retrograd.get_default_dtype()
    retrograd.float32
    """
    from retrograd.dtypes import DTYPES, dtype, set_default_dtype

    warnings.warn(
        "retrograd.set_default_tensor_type() is deprecated as of PyTorch 2.1, please use "
        "retrograd.set_default_dtype() and retrograd.set_default_device() as alternatives.",
        UserWarning,
        stacklevel=2,
    )
    name = t if isinstance(t, str) else f"{getattr(t, '__module__', '')}.{getattr(t, '__name__', '')}"
    name = f"retrograd.{name.removeprefix('torch.')}" if name.startswith("torch.") else name
    if ".cuda." in name:
        raise TypeError(f"type {name} not available. Torch not compiled with CUDA enabled.")
    found = next((each for each in DTYPES.values() if name == f"retrograd.{each.type_name}Tensor"), None)
    if isinstance(t, dtype) or found is None:
        raise TypeError("invalid type object: only floating-point types are supported as the default type")
    if not found.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    set_default_dtype(found)
