"""Python's symbols on the records of sparse tensors."""

from __future__ import annotations

from typing import Any, TypeVar

from retrograd.symbols import with_symbols as with_symbols_of

__all__ = ["with_symbols"]

_Record = TypeVar("_Record", bound=type)


def _plus(self: Any, other: Any) -> Any:
    """Of gradients: a dense one may stand on the right, too."""
    return self.side.add(self, other) if hasattr(other, "side") else self.side.add(other, self)


def with_symbols(record: _Record) -> _Record:
    """Give a class of records the symbols."""
    for name in ("__add__", "__radd__"):
        setattr(with_symbols_of("side")(record), name, _plus)
    return record
