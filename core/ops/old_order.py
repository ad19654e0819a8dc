"""The order of arguments that PyTorch has deprecated and still takes: factors before what they multiply.

``x.add_(-rate, grad)`` is ``x.add_(grad, alpha=-rate)``, ``torch.addmm(2, x, 3, a, b)`` is ``torch.addmm(x, a, b,
beta=2, alpha=3)``. Optimizers written before 2020 are full of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retrograd.autograd.cautions import warn_of_old_order

__all__ = ["ONE_FACTOR", "call_in_old_order", "in_new_order", "write_in_old_order"]

_PARTS = {
    "add": ("alpha", "other"), "sub": ("alpha", "other"), "addcmul": ("value", "tensor1 tensor2"),
    "addcdiv": ("value", "tensor1 tensor2"), "addmm": ("beta alpha", "mat1 mat2"), "addmv": ("beta alpha", "mat vec"),
    "addr": ("beta alpha", "vec1 vec2"), "addbmm": ("beta alpha", "batch1 batch2"),
    "baddbmm": ("beta alpha", "batch1 batch2"),
}  # fmt: skip
"""The factors and the tensors of each function."""

ONE_FACTOR = frozenset(name for name, (factors, _) in _PARTS.items() if " " not in factors)
"""Operators with one factor, which may be the second argument; the others are composites."""


def in_new_order(name: str, arguments: Sequence[Any], in_place: bool) -> tuple[list[Any], dict[str, Any]]:
    """All arguments, by position as they are to be, and the factors by keyword; warns, once in a process."""
    factors, tensors = (part.split() for part in _PARTS[name])
    given = len(arguments) - 1 - len(tensors)
    if name in ONE_FACTOR:  # the second argument, whatever it is
        first, factor, *rest = arguments
        inputs, values = [first, *rest], [factor]
    else:  # the first of two may stand before the input
        values = [each for each in arguments if not hasattr(each, "_edge")]
        inputs = [each for each in arguments if hasattr(each, "_edge")]
    if given > len(factors) or len(inputs) != 1 + len(tensors):
        raise TypeError(f"{name}() takes {1 + len(tensors)} positional arguments but {len(arguments)} were given")
    _warn(name, factors[:given], factors, tensors, in_place)
    return inputs, dict(zip(factors, values, strict=False))


def _warn(name: str, given: list[str], factors: list[str], tensors: list[str], in_place: bool) -> None:
    self, out = ([], "") if in_place else (["Tensor input"], ", Tensor out = None")
    old = [f"Number {each}" for each in given]
    old[len(factors) - 1 : len(factors) - 1] = self
    new = ", ".join(self + [f"Tensor {each}" for each in tensors])
    defaults = ", ".join(f"Number {each} = 1" for each in factors)
    old_text = ", ".join(old + [f"Tensor {each}" for each in tensors]) + ("" if in_place else f", *{out}")
    warn_of_old_order(name + "_" * in_place, old_text, f"{new}, *, {defaults}{out}")


def write_in_old_order(method: Callable[..., Any], name: str, *arguments: Any) -> Any:
    """Call a method that writes to its first argument with its arguments in their old order."""
    inputs, factors = in_new_order(name, arguments, in_place=True)
    return method(*inputs, **factors)


def call_in_old_order(function: Callable[..., Any], *arguments: Any, **kwargs: Any) -> Any:
    """Call `function` with its arguments in their old order."""
    inputs, factors = in_new_order(function.__name__, arguments, hasattr(arguments[0], "tensor"))
    return function(*inputs, **factors, **kwargs)
