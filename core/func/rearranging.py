"""`rearrange`: permute, split, join, stack and squeeze dimensions by a pattern that names them.

Source: https://docs.pytorch.org/docs/stable/func.api.html
"""

from __future__ import annotations

import keyword
import re
import warnings
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from retrograd.tensor import Tensor

__all__ = ["rearrange"]

_DOTS: Final = "…"
"""Stands for the ellipsis, in whose place come all dimensions that are not named."""

Groups = list[tuple[str, ...]]
"""The names of each dimension: several, if it is made of several, none, if it is of size 1."""


class _Side(NamedTuple):
    """What stands on one side of the arrow."""

    groups: Groups
    dots_in_brackets: bool

    @property
    def names(self) -> set[str]:
        return {name for group in self.groups for name in group}


def rearrange(tensor: Tensor | Sequence[Tensor], pattern: str, **axes_lengths: int) -> Tensor:
    """Give the dimensions of a tensor the order and the grouping that a pattern says.

    Both sides of ``->`` name all dimensions. Those in brackets are one dimension: on the left it is split, on the
    right they are joined; ``1`` or ``()`` is a dimension of size 1, ``...`` all that are not named.

    Parameters
    ----------
    tensor
        A tensor, or several of one shape, which are stacked first.
    pattern
        As ``"b c (h k) -> (b h) c k"``.
    axes_lengths
        The sizes of named dimensions, of all but one in each pair of brackets on the left.

    Raises
    ------
    ValueError
        If the pattern is none, or is not about such a tensor.
    TypeError
        If a size is no int.
    RuntimeError
        If the sizes do not fit.

    Source: https://docs.pytorch.org/docs/stable/func.api.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.func import rearrange
    >>> images = retrograd.zeros(2, 6, 4, 3)
    >>> rearrange(images, "b h w c -> b c h w").shape
    retrograd.Size([2, 3, 6, 4])
    >>> rearrange(images, "b (h k) w c -> (b k) h (w c)", k=2).shape
    retrograd.Size([4, 3, 12])
    >>> rearrange(list(images), "b ... c -> c b (...)").shape
    retrograd.Size([3, 2, 24])
    """
    from retrograd.ops.declare import publics
    from retrograd.tensor import Tensor

    whole: Tensor = tensor if isinstance(tensor, Tensor) else publics["stack"](tensor)
    left, right = _sides(pattern)
    _check(pattern, left, right, axes_lengths)
    return _rearranged(whole, left, right, axes_lengths)


def _rearranged(tensor: Tensor, left: _Side, right: _Side, lengths: dict[str, int]) -> Tensor:
    unnamed = tensor.ndim - sum(group != (_DOTS,) for group in left.groups)
    dotted = (_DOTS,) in left.groups
    if unnamed < 0 or (unnamed and not dotted):
        raise ValueError(
            f"Number of dimensions in pattern ({len(left.groups)}) must be equal to the number of dimensions in the "
            f"tensor ({tensor.ndim})"
        )
    extra = tuple(f"{_DOTS}{i}" for i in range(unnamed))
    before, after = _spread(left.groups, extra), _spread(right.groups, extra)
    sizes: dict[str, int] = {}
    for group, size in zip(before, tensor.shape, strict=True):
        sizes |= _split(group, size, lengths)
    names = [name for group in before for name in group]
    order = [names.index(name) for group in after for name in group]
    apart = tensor.reshape([sizes[name] for name in names]).permute(order)
    made: Tensor = apart.reshape([prod(sizes[name] for name in group) for group in after])
    return made


def _spread(groups: Groups, extra: tuple[str, ...]) -> Groups:
    """Groups with the dimensions that nobody named in place of the ellipsis."""
    found: Groups = []
    for group in groups:
        if group == (_DOTS,):
            found += [(each,) for each in extra]
        else:
            found.append(tuple(each for name in group for each in (extra if name == f"({_DOTS})" else (name,))))
    return found


def _split(group: tuple[str, ...], size: int, lengths: dict[str, int]) -> dict[str, int]:
    """The sizes of the dimensions that make up one of `size`."""
    known = {name: lengths[name] for name in group if name in lengths}
    unknown = [name for name in group if name not in known]
    if len(unknown) > 1:
        raise RuntimeError(f"cannot infer the sizes of {len(unknown)} dimensions at once: {', '.join(unknown)}")
    rest = prod(known.values())
    if unknown and rest and size % rest == 0:
        return known | {unknown[0]: size // rest}
    if unknown or size != rest:
        raise RuntimeError(f"the sizes {known} of the dimensions {group} do not fit into one of size {size}")
    return known


# -- the pattern ---------------------------------------------------------------------------------


def _sides(pattern: str) -> tuple[_Side, _Side]:
    left, *others = pattern.split("->")
    if len(others) != 1:
        raise ValueError("Pattern must contain a single '->' separator")
    return _parsed(left), _parsed(others[0])


def _parsed(text: str) -> _Side:
    if "." in text:
        if "..." not in text:
            raise ValueError("Expression may contain dots only inside ellipsis (...)")
        if text.count("...") != 1 or text.count(".") != 3:
            raise ValueError("Expression may contain dots only inside ellipsis (...); only one ellipsis for tensor ")
    groups: Groups = []
    bracket: list[str] | None = None
    seen: set[str] = set()
    for token in re.findall(r"\.\.\.|[()]|[^\s()]+", text):
        if token == "(":
            if bracket is not None:
                raise ValueError("Axis composition is one-level (brackets inside brackets not allowed)")
            bracket = []
        elif token == ")":
            if bracket is None:
                raise ValueError("Brackets are not balanced")
            groups.append(tuple(bracket))
            bracket = None
        else:
            _take(token, groups, bracket, seen)
    if bracket is not None:
        raise ValueError(f"Imbalanced parentheses in expression: '{text}'")
    return _Side(groups, any(f"({_DOTS})" in group for group in groups))


def _take(token: str, groups: Groups, bracket: list[str] | None, seen: set[str]) -> None:
    """Read one name, the ellipsis or `1`."""
    if token == "...":
        name = _DOTS if bracket is None else f"({_DOTS})"
    elif token == "1":
        if bracket is None:
            groups.append(())
        return
    else:
        name = token
        _check_name(name)
        if name in seen:
            raise ValueError(f"Indexing expression contains duplicate dimension '{name}'")
        seen.add(name)
    if bracket is None:
        groups.append((name,))
    else:
        bracket.append(name)


def _check_name(name: str) -> None:
    for character in name:
        if not character.isalnum() and character != "_":
            raise ValueError(f"Unknown character '{character}'")
    if name.isdecimal():
        raise ValueError("rearrange only supports unnamed axes of size 1")
    if not name.isidentifier():
        raise ValueError(f"Invalid axis identifier: {name}\nnot a valid python identifier")
    if name.startswith("_") or name.endswith("_"):
        raise ValueError(f"Invalid axis identifier: {name}\naxis name should should not start or end with underscore")
    if keyword.iskeyword(name):
        warnings.warn(f"It is discouraged to use axes names that are keywords: {name}", RuntimeWarning, stacklevel=6)


def _check(pattern: str, left: _Side, right: _Side, lengths: dict[str, int]) -> None:
    if left.dots_in_brackets:
        raise ValueError(f"Ellipsis is parenthesis in the left side is not allowed: {pattern}")
    named, others = ({name.strip("()") for name in side.names} for side in (left, right))
    if apart := named ^ others:
        shown = {"..." if name == _DOTS else name for name in apart}
        raise ValueError(f"Identifiers only on one side of rearrange expression (should be on both): {shown}")
    for value in lengths.values():
        if not isinstance(value, int):
            raise TypeError(f"rearrange axis lengths must be integers, got: {type(value)}")
    if missing := lengths.keys() - named:
        raise ValueError(f"Identifiers not found in rearrange expression: {missing}")
