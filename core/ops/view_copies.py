"""Copies of what views show: `view_copy` and its like, for programs that want no view.

Source: https://docs.pytorch.org/docs/stable/generated/torch.view_copy.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retrograd.autograd.node import name_of
from retrograd.layout import contiguous_format
from retrograd.ops.arguments import as_int
from retrograd.ops.declare import publics
from retrograd.ops.grouped import one_node
from retrograd.ops.reducing import taking_out
from retrograd.tensor import Tensor

__all__ = [
    "alias_copy", "as_strided_copy", "detach_copy", "diagonal_copy", "expand_copy", "permute_copy", "select_copy",
    "slice_copy", "split_copy", "split_with_sizes_copy", "squeeze_copy", "t_copy", "transpose_copy", "unbind_copy",
    "unfold_copy", "unsqueeze_copy", "view_as_complex_copy", "view_as_real_copy", "view_copy",
]  # fmt: skip


def _name_of_view(made: Any) -> str:
    """That of the node of a copy: `ViewBackward0_copy`, of what has been copied."""
    copy = made[0] if isinstance(made, tuple) else made
    (edge,) = copy._edge[0]._next_edges
    return f"{name_of(edge[0])}_copy"


def _copy(tensor: Tensor) -> Tensor:
    return tensor.clone(memory_format=contiguous_format)


def _copying(name: str) -> Callable[..., Any]:
    @one_node(_name_of_view, "input")
    def copy(input: Tensor, args: Any, kwargs: Any) -> Any:
        function = getattr(Tensor, name, None) or publics[name]
        made = function(input, *args, **kwargs)
        return _copy(made) if isinstance(made, Tensor) else tuple(map(_copy, made))

    def copied(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        return copy(input, args, kwargs)

    copied.__name__ = copied.__qualname__ = f"{name}_copy"
    copied.__doc__ = f"What `{name}` shows, in memory of its own."
    return taking_out(copied)


@taking_out
@one_node("AliasBackward0_copy", "input")
def alias_copy(input: Tensor) -> Tensor:
    """A copy."""
    return _copy(input)


@taking_out
def as_strided_copy(
    input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """What `as_strided` shows, in memory of its own.

    It reads the memory that `input` is a view of, and so its gradient goes through that.
    """
    return _copy(input.as_strided(size, stride, storage_offset))


detach_copy = alias_copy


def slice_copy(input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    """Every `step`-th slice along `dim` from `start` to before `end`, in memory of its own.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.slice_copy(retrograd.arange(6), 0, 1, None, 2)
    tensor([1, 3, 5])
    """
    first, last = (each if each is None else as_int(each) for each in (start, end))
    return _slice_copy(input, as_int(dim), first, last, as_int(step))


@one_node("SliceBackward0_copy", "input")
def _slice_copy(input: Tensor, dim: int, start: int | None, end: int | None, step: int) -> Tensor:
    before = dim + input.ndim if dim < 0 else dim
    return input[(*(slice(None) for _ in range(before)), slice(start, end, step))].clone()


diagonal_copy = _copying("diagonal")
expand_copy = _copying("expand")
permute_copy = _copying("permute")
select_copy = _copying("select")
split_copy = _copying("split")
split_with_sizes_copy = _copying("split_with_sizes")
squeeze_copy = _copying("squeeze")
t_copy = _copying("t")
transpose_copy = _copying("transpose")
unbind_copy = _copying("unbind")
unfold_copy = _copying("unfold")
unsqueeze_copy = _copying("unsqueeze")
view_copy = _copying("view")
view_as_complex_copy = _copying("view_as_complex")
view_as_real_copy = _copying("view_as_real")
