"""Python's symbols on the records of sparse tensors, as formulas write them: each calls the kernel of the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["with_symbols"]

_Record = TypeVar("_Record", bound=type)


def _symbol(kernel: str, reverse: bool = False) -> Callable[[Any, Any], Any]:
    if reverse:
        return lambda self, other: getattr(self.side, kernel)(other, self)
    return lambda self, other: getattr(self.side, kernel)(self, other)


def _unary_symbol(kernel: str) -> Callable[[Any], Any]:
    return lambda self: getattr(self.side, kernel)(self)


def _plus(self: Any, other: Any) -> Any:
    """Of gradients: a dense one may stand on the right, too."""
    return self.side.add(self, other) if hasattr(other, "side") else self.side.add(other, self)


_BINARY = {
    "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide", "mod": "remainder",
    "pow": "pow", "matmul": "matmul",
}  # fmt: skip
_COMPARING = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}  # fmt: skip


def with_symbols(record: _Record) -> _Record:
    """Give a class of records the symbols."""
    for name, kernel in _BINARY.items():
        setattr(record, f"__{name}__", _symbol(kernel))
        setattr(record, f"__r{name}__", _symbol(kernel, reverse=True))
    for name, kernel in _COMPARING.items():
        setattr(record, f"__{name}__", _symbol(kernel))
    for name, kernel in {"neg": "negative", "invert": "bitwise_invert", "abs": "abs"}.items():
        setattr(record, f"__{name}__", _unary_symbol(kernel))
    for name in ("__add__", "__radd__"):
        setattr(record, name, _plus)
    setattr(record, "__hash__", object.__hash__)  # noqa: B010 - to mypy a method; equality is elementwise, as a Tensor's
    return record
