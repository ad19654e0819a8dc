"""Arguments that say yes or no: PyTorch takes bools for them and nothing else, no 0 or 1 either.

Which they are is read off a function's annotations. A call that gives none of them is not looked at.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from retrograd.ops.called_as import call_from_outside
from retrograd.ops.refused import c_name

__all__ = ["Flags", "flagged", "no_flag", "told", "unflagged"]

F = TypeVar("F", bound=Callable[..., Any])

_FLAG = frozenset((bool,))
_KINDS = {"bool": _FLAG, "bool | None": _FLAG | {type(None)}}


class Flags:
    """Those parameters of a function that must be bools.

    Attributes
    ----------
    kinds
        The types that each takes, by name.
    places
        Where those stand that can be given by position.
    method
        Whether the function may be one of Tensor.
    first
        The place of the first of these. Calls with no more arguments, and no keywords, need no check.
    """

    __slots__ = ("first", "kinds", "method", "name", "places", "told")

    def __init__(self, function: Callable[..., Any], name: str, method: bool = False) -> None:
        inner = inspect.unwrap(function)
        code = inner.__code__
        parameters = code.co_varnames[: code.co_argcount]
        self.name = name
        self.told = getattr(function, "__told__", {})
        self.kinds = {
            each: _KINDS[kind]
            for each, kind in inner.__annotations__.items()
            if kind in _KINDS and each != "return" and self.told.get(each, True)
        }
        self.places = {each: place for place, each in enumerate(parameters) if each in self.kinds}
        self.first = min(self.places.values(), default=sys.maxsize)
        self.method = method

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Refuse what is no bool.

        Raises
        ------
        TypeError
            That names the argument, and its position if it was given by position; a method's are counted from `self`.
        """
        for each, place in self.places.items():
            if place < len(args) and type(args[place]) not in self.kinds[each]:
                raise self._error(each, args[place], place + (not self._is_method()))
        for each, value in kwargs.items():
            if each in self.kinds and type(value) not in self.kinds[each]:
                raise self._error(each, value, 0)

    def _is_method(self) -> bool:
        from retrograd.tensor import Tensor

        return self.method and hasattr(Tensor, self.name)

    def _error(self, name: str, value: Any, position: int) -> TypeError:
        if position and name not in self.told and (call := call_from_outside(self.name)) is not None:
            position = self.places[name] + (not call.as_method)
        function, position = self.told.get(name, (self.name, position))
        return no_flag(function, name, value, position)


def no_flag(function: str, argument: str, value: Any, position: int = 0) -> TypeError:
    """The error for a value that is no bool, of an argument at `position` (from 1) or given by keyword."""
    where = f" (position {position})" if position else ""
    return TypeError(f"{function}(): argument '{argument}'{where} must be bool, not {c_name(value)}")


def flagged(function: F) -> F:
    """A decorator for functions that take bools: it checks that they are."""
    flags = Flags(function, function.__name__, method=True)
    first = flags.first

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) > first:
            flags.check(args, kwargs)
        return function(*args, **kwargs)

    checked.__unflagged__ = function  # type: ignore[attr-defined]
    return checked  # type: ignore[return-value]


def told(**where: tuple[str, int] | None) -> Callable[[F], F]:
    """A decorator for functions that PyTorch, too, has written in Python: who there says that an argument is no bool.

    Parameters
    ----------
    where
        For a parameter the function that is called with it and its position there, 0 if by keyword; None if anything
        will do.
    """

    def decorate(function: F) -> F:
        function.__told__ = where  # type: ignore[attr-defined]
        return function

    return decorate


def unflagged(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function without the check, for those who check themselves."""
    return getattr(function, "__unflagged__", function)
