"""PyTorch's error for arguments of which a function has no overload: it lists those that there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["wrong_argument"]


def _binary(other: str, *, number_first: str = "") -> tuple[str, ...]:
    """The overloads of a function of two tensors, the second of which, and maybe the first, may be a number."""
    first = (number_first.format(other=other),) if number_first else ()
    out = "*, Tensor out = None"
    return f"Tensor input, Tensor {other}, {out}", *first, f"Tensor input, Number {other}, {out}"


_FIRST = "Number self, Tensor {other}"
_COMPARED, _BITWISE = _binary("other"), _binary("other", number_first=_FIRST)
_POWERS = _binary("exponent", number_first=f"{_FIRST}, *, Tensor out = None")
_LOGARITHMS = _binary("other", number_first=f"{_FIRST}, *, Tensor out = None")
_POLYNOMIALS = tuple(each.replace("input", "x").replace("self", "x").replace("other", "n") for each in _LOGARITHMS)
_EXTREMES = (
    "Tensor input, *, Tensor out = None", "Tensor input, Tensor other, *, Tensor out = None",
    "Tensor input, int dim, bool keepdim = False, *, tuple of Tensors out = None",
)  # fmt: skip
_EITHER = "Tensor", "Number"
_SPLIT = "Tensor input, int sections", "Tensor input, tuple of ints indices"

_OVERLOADS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "copysign", "fmod"), _COMPARED),
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor", "remainder"), _BITWISE),
    **dict.fromkeys(("bitwise_left_shift", "bitwise_right_shift"), _BITWISE),
    **dict.fromkeys(("pow", "float_power"), _POWERS),
    **dict.fromkeys(("xlogy", "special_xlog1py", "special_zeta"), _LOGARITHMS),
    **dict.fromkeys(("hsplit", "vsplit", "dsplit"), _SPLIT),
    **dict.fromkeys(("max", "min"), _EXTREMES),
    "clamp_max": _binary("max"), "clamp_min": _binary("min"),
    "clamp": tuple(f"Tensor input, {each} min = None, {each} max = None, *, Tensor out = None" for each in _EITHER),
    "rsub": ("Tensor input, Tensor other, *, Number alpha = 1", "Tensor input, Number other, Number alpha = 1"),
}  # fmt: skip

_SUFFIXES = "_of_number", "_number", "_tensor"
_SPECIAL = frozenset(("xlog1py", "zeta"))


def wrong_argument(operator: str, argument: str, position: int, given: Sequence[Any]) -> TypeError:
    """The error for an argument of the wrong type, the first of which is at `position` (from 0).

    Parameters
    ----------
    operator
        The function's name, or that of the operator that it chose.
    argument
        What the argument is called.
    given
        All that the function was called with, in order.
    """
    name = operator.strip("_")
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    name = f"special_{name}" if name in _SPECIAL else name
    overloads = _POLYNOMIALS if "_polynomial_" in name else _OVERLOADS.get(name)
    if overloads is None:
        shown = "input" if argument == "self" else argument
        found = type(given[position]).__name__
        return TypeError(f"{name}(): argument '{shown}' (position {position + 1}) must be Tensor, not {found}")
    kinds = ["Tensor" if hasattr(each, "_kernels") else type(each).__name__ for each in given]
    listed = "".join(f" * ({each})\n{_unmatched(each, kinds)}" for each in overloads)
    got = ", ".join(kinds)
    return TypeError(
        f"{name}() received an invalid combination of arguments - got ({got}), but expected one of:\n{listed}"
    )


def _unmatched(overload: str, kinds: list[str]) -> str:
    """Why an overload is none of the call's, where PyTorch says it: of one whose arguments are all positional."""
    if "*" in overload or overload.count(",") + 1 != len(kinds):
        return ""
    fits = 1 if overload.startswith("Tensor") else 0
    shown = ", ".join((*kinds[:fits], *(f"!{kind}!" for kind in kinds[fits:])))
    return f"      didn't match because some of the arguments have invalid types: ({shown})\n"
