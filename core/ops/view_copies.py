"""Copies of what views show: `view_copy` and its like, for programs that want no view.

Source: https://docs.pytorch.org/docs/stable/generated/torch.view_copy.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.ops.declare import publics
from retrograd.tensor import Tensor

__all__ = [
    "alias_copy", "as_strided_copy", "detach_copy", "diagonal_copy", "expand_copy", "permute_copy", "select_copy",
    "slice_copy", "split_copy", "split_with_sizes_copy", "squeeze_copy", "t_copy", "transpose_copy", "unbind_copy",
    "unfold_copy", "unsqueeze_copy", "view_as_complex_copy", "view_as_real_copy", "view_copy",
]  # fmt: skip


def _copying(name: str) -> Callable[..., Any]:
    def copied(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        function = getattr(Tensor, name, None) or publics[name]
        made = function(input, *args, **kwargs)
        return made.clone() if isinstance(made, Tensor) else type(made)(each.clone() for each in made)

    copied.__name__ = copied.__qualname__ = f"{name}_copy"
    copied.__doc__ = f"What `{name}` shows, in memory of its own."
    return copied


def alias_copy(input: Tensor) -> Tensor:
    """A copy."""
    return input.clone()


detach_copy = alias_copy


def slice_copy(input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    """Every `step`-th slice along `dim` from `start` to before `end`, in memory of its own.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.slice_copy(retrograd.arange(6), 0, 1, None, 2)
    tensor([1, 3, 5])
    """
    before = dim + input.ndim if dim < 0 else dim
    return input[(*(slice(None) for _ in range(before)), slice(start, end, step))].clone()


as_strided_copy = _copying("as_strided")
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
