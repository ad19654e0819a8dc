"""The types of sizes that a compiler does not know yet: programs ask whether a number is of one.

Programs run eagerly here and every size is known, so that there are no instances.
"""

from __future__ import annotations

from typing import NoReturn

__all__ = ["SymBool", "SymFloat", "SymInt"]


class _Unknown:
    __module__ = "retrograd"

    def __new__(cls, node: object) -> NoReturn:
        raise TypeError(f"cannot create 'retrograd.{cls.__name__}': sizes are known numbers here")


class SymInt(_Unknown):
    """The type of a size that is not known yet; those of tensors here are ints.

    Source: https://docs.pytorch.org/docs/stable/torch.html#symbolic-numbers

    Examples
    --------
    >>> import retrograd
    >>> isinstance(retrograd.ones(2).shape[0], retrograd.SymInt)
    False
    """

    __module__ = "retrograd"


class SymFloat(_Unknown):
    """The type of a number that follows from sizes which are not known yet.

    Source: https://docs.pytorch.org/docs/stable/torch.html#symbolic-numbers
    """

    __module__ = "retrograd"


class SymBool(_Unknown):
    """The type of a condition on sizes that are not known yet.

    Source: https://docs.pytorch.org/docs/stable/torch.html#symbolic-numbers
    """

    __module__ = "retrograd"
