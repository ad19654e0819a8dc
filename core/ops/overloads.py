"""PyTorch's error for arguments of which a function has no overload: it lists those that there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from retrograd.ops.called_as import call_from_outside
from retrograd.size import Size

__all__ = ["has_overloads", "no_overload", "wrong_argument"]


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
_TYPE, _OUT = "*, retrograd.dtype dtype = None", ", Tensor out = None"
_TOTAL = f"Tensor input, {{}} dim, bool keepdim = False, {_TYPE}{_OUT}"
_SPREAD = (
    "Tensor input, tuple of ints dim, bool unbiased = True, bool keepdim = False{}",
    "Tensor input, tuple of ints dim = None, *, Number correction = None, bool keepdim = False{}",
    "Tensor input, bool unbiased = True",
)
_TRUTHS = (
    "Tensor input, *, Tensor out = None",
    "Tensor input, tuple of ints dim = None, bool keepdim = False, *, Tensor out = None",
    "Tensor input, int dim, bool keepdim = False, *, Tensor out = None",
)

_OVERLOADS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "copysign", "fmod"), _COMPARED),
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor", "remainder"), _BITWISE),
    **dict.fromkeys(("bitwise_left_shift", "bitwise_right_shift"), _BITWISE),
    **dict.fromkeys(("pow", "float_power"), _POWERS),
    **dict.fromkeys(("xlogy", "special_xlog1py", "special_zeta"), _LOGARITHMS),
    **dict.fromkeys(("hsplit", "vsplit", "dsplit"), _SPLIT),
    **dict.fromkeys(("max", "min"), _EXTREMES),
    **dict.fromkeys(("std_mean", "var_mean"), tuple(each.format("") for each in _SPREAD)),
    **dict.fromkeys(("all", "any"), _TRUTHS),
    "std": (_SPREAD[0].format(f", *{_OUT}"), _SPREAD[1].format(_OUT), _SPREAD[2]),
    "var": (_SPREAD[0].format(f", *{_OUT}"), _SPREAD[1].format(_OUT), _SPREAD[2]),
    "sum": (f"Tensor input, {_TYPE}", _TOTAL.format("tuple of ints")),
    "mean": (f"Tensor input, {_TYPE}{_OUT}", _TOTAL.format("tuple of ints")),
    "prod": (f"Tensor input, {_TYPE}", _TOTAL.format("int")),
    "trapezoid": ("Tensor y, Tensor x, *, int dim = -1", "Tensor y, *, Number dx = 1, int dim = -1"),
    "cumulative_trapezoid": ("Tensor y, Tensor x, *, int dim = -1", "Tensor y, *, Number dx = 1, int dim = -1"),
    "squeeze": ("Tensor input", "Tensor input, int dim", "Tensor input, tuple of ints dim"),
    "clamp_max": _binary("max"), "clamp_min": _binary("min"),
    "clamp": tuple(f"Tensor input, {each} min = None, {each} max = None, *, Tensor out = None" for each in _EITHER),
    "new": (
        "*, retrograd.device device = None", "retrograd.Storage storage", "Tensor other",
        "tuple of ints size, *, retrograd.device device = None", "object data, *, retrograd.device device = None",
    ),
    "SparseTensor.new": (
        "*, retrograd.device device = None", "Tensor indices, Tensor values, *, retrograd.device device = None",
        "Tensor indices, Tensor values, tuple of ints size, *, retrograd.device device = None",
        "tuple of ints size, *, retrograd.device device = None",
    ),
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
    call = call_from_outside(name)
    as_method = call is not None and call.as_method
    if has_overloads(name):
        return no_overload(name, given[as_method:], {}, as_method=as_method)
    shown = "input" if argument == "self" else argument
    place, kind = position + 1 - as_method, _kind(given[position])
    return TypeError(f"{name}(): argument '{shown}' (position {place}) must be Tensor, not {kind}")


def has_overloads(name: str) -> bool:
    """Whether a function's overloads are listed where arguments fit none."""
    return "_polynomial_" in name or name in _OVERLOADS


def no_overload(name: str, given: Sequence[Any], keywords: Mapping[str, Any], *, as_method: bool = False) -> TypeError:
    """The error for arguments that fit none of a function's overloads; those of a method are without the tensor."""
    overloads = _POLYNOMIALS if "_polynomial_" in name else _OVERLOADS[name]
    if as_method:
        overloads = tuple(_of_method(each) for each in overloads)
    named = [f"{key}={_kind(value)}" for key, value in reversed(list(keywords.items()))]
    got = ", ".join([*map(_kind, given), *named])
    got += ", " * bool(named and not given)
    shown = name.rpartition(".")[2]
    listed = "".join(f" * ({each})\n{_unmatched(each, given, keywords)}" for each in overloads)
    return TypeError(
        f"{shown}() received an invalid combination of arguments - got ({got}), but expected one of:\n{listed}"
    )


def _of_method(overload: str) -> str:
    """A method's overload: without the tensor that it is called on, and without `out`."""
    kept = [each for each in overload.split(", ") if each != "Tensor input" and " out = " not in each]
    return ", ".join(kept[:-1] if kept and kept[-1] == "*" else kept)


def _kind(value: Any) -> str:
    if hasattr(value, "_kernels"):
        return "Tensor"
    return "retrograd.Size" if isinstance(value, Size) else type(value).__name__


def _kinds(value: Any) -> str:
    """The name of the type of an argument, and of those of the elements of a sequence."""
    if not isinstance(value, (tuple, list)):
        return _kind(value)
    inner = ", ".join(map(_kind, value))
    if isinstance(value, list):
        return f"{_kind(value)} of [{inner}]"
    return f"{_kind(value)} of ({inner}{',' * (len(value) == 1)})"


def _unmatched(overload: str, given: Sequence[Any], keywords: Mapping[str, Any]) -> str:
    """Why an overload is none of the call's, where PyTorch says it: of one of as many words as there are arguments."""
    words = overload.split(", ")
    if len(words) != len(given) + len(keywords):
        return ""
    names = [each.partition(" = ")[0].rpartition(" ")[2] for each in words]
    wrong = [each for each in keywords if each not in names]
    if wrong:
        return f"      didn't match because some of the keywords were incorrect: {', '.join(wrong)}\n"
    fit = [_kind(each) if _fits(word, each) else f"!{_kinds(each)}!" for word, each in zip(words, given, strict=False)]
    for key, value in keywords.items():
        shown = f"{key}={_kinds(value)}"
        fit.append(shown if _fits(words[names.index(key)], value) else f"!{shown}!")
    return f"      didn't match because some of the arguments have invalid types: ({', '.join(fit)})\n"


def _fits(word: str, value: Any) -> bool:
    return _kind(value) == word.partition(" = ")[0].rpartition(" ")[0]  # of a "Number" PyTorch's text knows none
