"""Costs that can be counted: the functions that are entered while something runs."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["frames_entered"]


def frames_entered(call: Callable[[], Any], kinds: tuple[str, ...] = ("call",)) -> list[str]:
    """The names of the functions entered while `call` runs, its own left out: Python's, with `"c_call"` built-in ones.

    The collector is off: what it calls about others' garbage would be counted, too.
    """
    entered: list[str] = []

    def watch(frame: Any, event: str, argument: Any) -> None:
        if event in kinds:
            entered.append(frame.f_code.co_name)

    gc.disable()
    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
        gc.enable()
    return entered[1:]
