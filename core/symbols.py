"""Python's symbols on arrays of our own, as formulas write them: each calls the kernel of the array's table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["with_symbols"]

_Arrays = TypeVar("_Arrays", bound=type)

_BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "pow", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift",
}  # fmt: skip
_COMPARING = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}  # fmt: skip
_UNARY = {"neg": "negative", "invert": "bitwise_invert", "abs": "abs"}


def with_symbols(table: str) -> Callable[[_Arrays], _Arrays]:
    """Give a class of arrays the symbols; `table` is its attribute that holds the kernels."""

    def binary(kernel: str) -> Callable[[Any, Any], Any]:
        return lambda self, other: getattr(getattr(self, table), kernel)(self, other)

    def reverse(kernel: str) -> Callable[[Any, Any], Any]:
        return lambda self, other: getattr(getattr(self, table), kernel)(other, self)

    def unary(kernel: str) -> Callable[[Any], Any]:
        return lambda self: getattr(getattr(self, table), kernel)(self)

    def decorated(arrays: _Arrays) -> _Arrays:
        for name, kernel in (_BINARY | _COMPARING).items():
            setattr(arrays, f"__{name}__", binary(kernel))
        for name, kernel in _BINARY.items():
            setattr(arrays, f"__r{name}__", reverse(kernel))
        for name, kernel in _UNARY.items():
            setattr(arrays, f"__{name}__", unary(kernel))
        setattr(arrays, "__hash__", object.__hash__)  # noqa: B010 - to mypy a method; equality is elementwise
        return arrays

    return decorated
