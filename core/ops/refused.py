"""The error for an argument of the wrong type, raised deep inside, in the words of the function that it was given to.

Checks of an argument's type happen where it is used: there alone every call pays for it. What is used there is only the
value. Once it is refused, time does not matter, so the function that was called and its parameter are looked for among
the frames that run.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from types import CodeType, FrameType
from typing import Any, NamedTuple

from retrograd.ops.called_as import Call, call_from_outside
from retrograd.ops.overloads import has_overloads, no_overload

__all__ = ["all_tensors", "c_name", "no_float", "no_int", "no_ints", "tensors_only"]


class _Argument(NamedTuple):
    """Where a value was given: the function's frame, the parameter's name and `order`, and `at` within a tuple.

    `place` is the position in an error's text where it can't be told how the function was called.
    `several`: how many it was given among, one by one, where a tuple could have been given.
    """

    frame: FrameType
    name: str
    order: int
    place: int
    at: int | None = None
    several: int = 0


def no_int(value: Any) -> TypeError:
    """The error for a value that is to be an int."""
    return _refusal(value, "int", "'{kind}' object cannot be interpreted as an integer")


def no_ints(value: Any) -> TypeError:
    """The error for a value that is to be a tuple or list of ints, or for such an element of one."""
    return _refusal(value, "tuple of ints", "ints were expected, and not '{kind}'")


def no_float(value: Any) -> TypeError:
    """The error for a value that is to be a float."""
    return _refusal(value, "float", "a float was expected, and not '{kind}'")


def tensors_only(*values: Any) -> None:
    """Refuse what is no tensor.

    Raises
    ------
    TypeError
        That names the argument.
    """
    for each in values:
        if not hasattr(each, "_kernels"):
            raise _refusal(each, "Tensor", "a tensor was expected, and not '{kind}'")


def all_tensors(values: Sequence[Any], argument: int = 0) -> None:
    """Refuse a sequence of tensors, the argument at that place, of which one is none.

    Raises
    ------
    TypeError
        That names the place.
    """
    for i, each in enumerate(values):
        if not hasattr(each, "_kernels"):
            raise TypeError(f"expected Tensor as element {i} in argument {argument}, but got {c_name(each)}")


def _refusal(value: Any, wanted: str, otherwise: str) -> TypeError:
    kind = c_name(value)
    found = _given_to(value, sys._getframe(2))
    if found is None:
        return TypeError(otherwise.format(kind=kind))
    function, call = _shown_name(found.frame), _call_of(found.frame)
    if found.several > 1:
        places = f"{found.place} positional argument{'s' * (found.place > 1)}"
        return TypeError(f"{function}() takes {places} but {found.place + found.several - 1} were given")
    if has_overloads(function):
        return _no_overload(function, found, call, value)
    if found.at:
        end = f'the object at pos {found.at + 1} with error "type must be {wanted},but got {kind}"'
        return TypeError(f"{function}(): argument '{found.name}' failed to unpack {end}")
    head = f"{function}(): argument '{found.name}'{_position(found, call)} must be "
    if found.at is None:
        return TypeError(f"{head}{wanted}, not {kind}")
    return TypeError(f"{head}tuple of ints, but found element of type {kind} at pos {found.at}")


def _call_of(frame: FrameType) -> Call | None:
    """How a function was called, of one that PyTorch does not have in Python: there it would be one further inside."""
    in_python = frame.f_globals["__name__"].startswith("retrograd.nn.functions")
    return None if in_python else call_from_outside(frame.f_code.co_name)


def _position(found: _Argument, call: Call | None) -> str:
    """Where an argument was given, counted as the caller does; nothing of one that was given by keyword."""
    if call is None:
        return f" (position {found.place})"
    if found.name in call.keywords:
        return ""
    return f" (position {found.order + (not call.as_method)})"


def _no_overload(function: str, found: _Argument, call: Call | None, value: Any) -> TypeError:
    """The error where a value fits none of a function's overloads; it is the last, where it can't be told how many were
    given."""
    as_method = call is not None and call.as_method
    keywords = () if call is None else call.keywords
    count = found.order + 1 if call is None or call.given is None else call.given + as_method
    names, given = found.frame.f_code.co_varnames[as_method:count], found.frame.f_locals
    named = {each: given.get(each, value) for each in keywords}
    return no_overload(function, [given[each] for each in names], named, as_method=as_method)


def c_name(value: Any) -> str:
    """The name of the type of `value` as CPython's C interface has it: with the module for NumPy's scalars."""
    kind = type(value)
    return f"numpy.{kind.__name__}" if kind.__module__ == "numpy" else kind.__name__


def _given_to(value: Any, frame: FrameType | None) -> _Argument | None:
    """The parameter that has the value in the outermost public function that runs."""
    found = None
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "retrograd":
        found = _parameter(value, frame) or found
        frame = frame.f_back
    return found


def _parameter(value: Any, frame: FrameType) -> _Argument | None:
    code = frame.f_code
    if not _is_public(frame):
        return None
    count = code.co_argcount
    first = _first_place(code)
    named = list(enumerate(code.co_varnames[: count + code.co_kwonlyargcount]))
    for place, name in reversed(named) if hasattr(value, "_kernels") else named:
        given = frame.f_locals.get(name)
        if given is value:
            return _Argument(frame, name, place, place + first)
        if (at := _found_in(given, value)) is not None:
            return _Argument(frame, name, place, place + first, at)
    if not code.co_flags & inspect.CO_VARARGS:
        return None
    name = code.co_varnames[count] if code.co_kwonlyargcount else "size"  # as it is called where it is one tuple
    given = frame.f_locals[code.co_varnames[count + code.co_kwonlyargcount]]
    if _found_in(given, value) is not None:
        return _Argument(frame, name, count, count + first, several=len(given))
    at = _found_in(given[0], value) if given else None
    return None if at is None else _Argument(frame, name, count, count + first, at)


def _shown_name(frame: FrameType) -> str:
    """The name of a frame's function in PyTorch's texts, which have that of the namespace before it."""
    from retrograd.tensor import Tensor

    name = frame.f_code.co_name
    for space in ("fft", "linalg") if hasattr(Tensor, name) else ("fft", "linalg", "special"):
        function = getattr(sys.modules.get(f"retrograd.{space}"), name, None)
        if function is not None and getattr(inspect.unwrap(function), "__code__", None) is frame.f_code:
            return f"{space}_{name}"
    return name


def _is_public(frame: FrameType) -> bool:
    """Whether it is of a function that is called from outside; those of the names of methods stand in one namespace."""
    from retrograd.tensor import Tensor

    name = frame.f_code.co_name
    if name.startswith("_"):
        return False
    module = frame.f_globals["__name__"]
    return (
        hasattr(Tensor, name)
        or hasattr(sys.modules["retrograd"], name)
        or module.startswith("retrograd.nn.functions")
        or _shown_name(frame) != name
    )


def _first_place(code: CodeType) -> int:
    """The position of the first parameter: a method's are counted from the second."""
    from retrograd.tensor import Tensor

    return int(code.co_varnames[:1] not in (("self",), ("input",)) or not hasattr(Tensor, code.co_name))


def _found_in(given: Any, value: Any) -> int | None:
    """The place of a value in a tuple or list."""
    several = given if isinstance(given, (tuple, list)) else ()
    return next((i for i, each in enumerate(several) if each is value), None)
