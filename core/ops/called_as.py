"""How a public function was called: as a method or from a namespace, and with which keywords.

PyTorch's methods and functions given positions differently, and name none of an argument given by keyword. Here they
are one Python function, which is not told. Once an argument is refused, time does not matter: the instruction that the
caller stands at says it.
"""

from __future__ import annotations

import builtins
import dis
import sys
from types import FrameType, ModuleType
from typing import Any, NamedTuple

__all__ = ["Call", "call_from_outside"]

_ATTRIBUTES = frozenset(("LOAD_ATTR", "LOAD_METHOD"))
_CALLS = frozenset(("CALL", "CALL_KW", "CALL_FUNCTION_EX"))


class Call(NamedTuple):
    """A call: of what name, `as_method` of an object or class, with how many arguments by position and which keywords.

    `given` is without the object of a method, and None where arguments were unpacked.
    """

    name: str
    as_method: bool
    given: int | None
    keywords: tuple[str, ...]


def call_from_outside(name: str) -> Call | None:
    """The call by which a program came here, if it was one of `name`.

    None if it was not, or can't be told: as from C, or without positions in the code.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "retrograd":
        frame = frame.f_back
    call = None if frame is None else _call_at(frame)
    return call if call is not None and call.name == name else None


def _call_at(frame: FrameType) -> Call | None:
    before = [each for each in dis.get_instructions(frame.f_code) if each.offset <= frame.f_lasti]
    call = before[-1]
    if call.opname not in _CALLS or call.positions is None or call.positions.lineno is None:
        return None
    start = call.positions.lineno, call.positions.col_offset
    loads = [each for each in before if each.opname.startswith("LOAD_") and start in _starts(each)]
    if not loads:
        return None
    callee = max(loads, key=_end)
    keywords = _keywords(frame, before)
    given = None if call.arg is None or call.opname == "CALL_FUNCTION_EX" else call.arg - len(keywords)
    if callee.opname in _ATTRIBUTES:
        first = _start(callee)
        path = [each for each in before if _start(each) == first and each.offset < callee.offset and _is_load(each)]
        owner = _resolved(frame, path)
        if isinstance(owner, type) and given is not None:
            given -= 1
        return Call(callee.argval, not isinstance(owner, ModuleType), given, keywords)
    found = _resolved(frame, [callee])
    return Call(getattr(found, "__name__", ""), hasattr(found, "__self__"), given, keywords)


def _is_load(instruction: dis.Instruction) -> bool:
    return instruction.opname.startswith("LOAD_") or instruction.opname in _CALLS


def _start(instruction: dis.Instruction) -> tuple[Any, Any]:
    place = instruction.positions
    return (None, None) if place is None else (place.lineno, place.col_offset)


def _end(instruction: dis.Instruction) -> tuple[int, int]:
    place = instruction.positions
    return (0, 0) if place is None else (place.end_lineno or 0, place.end_col_offset or 0)


def _starts(instruction: dis.Instruction) -> tuple[tuple[Any, Any], ...]:
    """Where a call of what is loaded may be said to start: that of an attribute also where its name does."""
    if instruction.opname not in _ATTRIBUTES:
        return (_start(instruction),)
    line, column = _end(instruction)
    return _start(instruction), (line, column - len(instruction.argval))


def _keywords(frame: FrameType, before: list[dis.Instruction]) -> tuple[str, ...]:
    for each in before[-2:-4:-1]:  # in Python 3.11 there is one between
        if each.opname == "KW_NAMES" or (before[-1].opname == "CALL_KW" and each.opname == "LOAD_CONST"):
            return tuple(frame.f_code.co_consts[each.arg or 0])
    return ()


def _resolved(frame: FrameType, path: list[dis.Instruction]) -> Any:
    """What names and attributes of modules and classes stand for; None for what would have to be computed."""
    found: Any = None
    for i, each in enumerate(path):
        name = each.argval
        if not isinstance(name, str):
            return None
        if each.opname in _ATTRIBUTES:
            found = getattr(found, name, None) if isinstance(found, (ModuleType, type)) else None
        elif i == 0:
            spaces = frame.f_locals, frame.f_globals, vars(builtins)
            found = next((space[name] for space in spaces if name in space), None)
        else:
            return None
    return found
