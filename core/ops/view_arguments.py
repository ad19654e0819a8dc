"""What `Tensor.view` may be called with: sizes, one by one or as a sequence, or a type; and the size of pieces."""

from __future__ import annotations

from typing import Any, NoReturn

from retrograd.dtypes import dtype
from retrograd.ops.arguments import as_ints
from retrograd.ops.options import c_name, described

__all__ = ["sizes_or_type", "split_size"]

_FORMS = {"dtype": "retrograd.dtype dtype", "size": "tuple of ints size"}


def sizes_or_type(given: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """The sizes, or the type, that `view(*given, **named)` asks for.

    Raises
    ------
    TypeError
        With PyTorch's texts, if the call has neither form.
    """
    if len(given) + len(named) != 1:
        if named or len(given) < 2 or not _is_int(given[0]):
            _refuse(given, named)
        return _checked(given)
    (name, value) = ("", given[0]) if given else next(iter(named.items()))
    if name not in ("", *_FORMS):
        _refuse(given, named)
    if name != "size" and isinstance(value, dtype):
        return value
    if name != "dtype" and isinstance(value, (list, tuple)) and (not value or _is_int(value[0])):
        return _checked(value)
    if name != "dtype" and _is_int(value) and not isinstance(value, bool):
        return (value,)
    _refuse(given, named)


def _is_int(value: Any) -> bool:
    return hasattr(value, "__index__")


def _checked(sizes: Any) -> Any:
    for position, each in enumerate(sizes):
        if not _is_int(each):
            raise TypeError(
                f"view(): argument 'size' failed to unpack the object at pos {position + 1} with error \"type must be "
                f'tuple of ints,but got {_named(each)}"'
            )
    return sizes


def _named(value: Any) -> str:
    return "retrograd.dtype" if isinstance(value, dtype) else c_name(value)


def _refuse(given: tuple[Any, ...], named: dict[str, Any]) -> NoReturn:
    got = [*map(_named, given), *(f"{name}={_named(each)}" for name, each in named.items())]
    shown = ", ".join(got) + (", " if named and not given else "")
    text = f"view() received an invalid combination of arguments - got ({shown}), but expected one of:\n"
    for form, words in _FORMS.items():
        text += f" * ({words})\n"
        if len(got) != 1:
            continue
        if named and form not in named:
            text += f"      didn't match because some of the keywords were incorrect: {next(iter(named))}\n"
            continue
        wrong = f"!{got[0]}!, " if named else f"!{described(given[0])}!"
        text += f"      didn't match because some of the arguments have invalid types: ({wrong})\n"
    raise TypeError(text)


def split_size(given: Any) -> int:
    """One size: an int, or what can be used as one, such as an integer tensor of one element."""
    try:
        return as_ints((given,))[0]
    except TypeError:
        raise TypeError(
            f"split_with_sizes(): argument 'split_sizes' (position 2) must be tuple of ints, not {type(given).__name__}"
        ) from None
