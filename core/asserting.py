"""Checks that programs make: `_check(condition, message)` and its like, one for each kind of error.

Source: https://docs.pytorch.org/docs/stable/_modules/torch.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.dtypes import bool_
from retrograd.tensor import Tensor

__all__ = [
    "_check", "_check_index", "_check_is_size", "_check_not_implemented", "_check_tensor_all", "_check_type",
    "_check_value", "_check_with",
]  # fmt: skip

Message = Callable[[], Any] | None


def _check_with(error_type: type[Exception], cond: Any, message: Message) -> None:
    """Raise an error of a type, with the text that `message` gives, unless `cond`, a bool, is true."""
    if isinstance(cond, Tensor):
        raise TypeError(
            "cond must be a bool, but got a Tensor. For tensor conditions, use retrograd._check_tensor_all() to assert "
            "that all elements are true."
        )
    if not isinstance(cond, bool):
        raise TypeError(f"cond must be a bool, but got {type(cond)}")
    if not cond:
        raise error_type(_text(message))


def _text(message: Message) -> str:
    if message is None:
        return "Expected cond to be True, but got False. (Give a message to say what was expected.)"
    if not callable(message):
        raise TypeError("message must be a callable")
    return str(message())


def _check(cond: Any, message: Message = None) -> None:
    """Raise a `RuntimeError` unless `cond` is true.

    Parameters
    ----------
    message
        Called for the text if it is needed.

    Examples
    --------
    >>> import retrograd
    >>> retrograd._check(1 < 2, lambda: "one is not below two")
    """
    _check_with(RuntimeError, cond, message)


def _check_index(cond: Any, message: Message = None) -> None:
    """Raise an `IndexError` unless `cond` is true."""
    _check_with(IndexError, cond, message)


def _check_value(cond: Any, message: Message = None) -> None:
    """Raise a `ValueError` unless `cond` is true."""
    _check_with(ValueError, cond, message)


def _check_type(cond: Any, message: Message = None) -> None:
    """Raise a `TypeError` unless `cond` is true."""
    _check_with(TypeError, cond, message)


def _check_not_implemented(cond: Any, message: Message = None) -> None:
    """Raise a `NotImplementedError` unless `cond` is true."""
    _check_with(NotImplementedError, cond, message)


def _check_is_size(i: int, message: Message = None, *, max: int | None = None) -> None:
    """Raise a `RuntimeError` unless `i` is at least zero, and at most `max` if that is given."""
    _check(i >= 0 and (max is None or i <= max), message)


def _check_tensor_all(cond: Any, message: Message = None) -> None:
    """Raise a `RuntimeError` unless all elements of a tensor of bools are true."""
    if not isinstance(cond, Tensor):
        raise TypeError(f"cond must be a tensor, but got {type(cond)}")
    if cond.dtype is not bool_:
        raise TypeError(f"cond tensor must have dtype retrograd.bool, but got {cond.dtype}")
    _check(bool(cond.all()), message)
