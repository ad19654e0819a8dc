"""Refuses writes, in a function that is differentiated, to tensors which it neither got nor made.

See Note [Captured tensors] in `retrograd.levels`, where tensors are marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from retrograd.autograd.modes import current_mode
from retrograd.levels import innermost_derivative, is_mapped

if TYPE_CHECKING:
    from retrograd.levels import Derivative
    from retrograd.ops.declare import Op
    from retrograd.tensor import Tensor

__all__ = ["refuse_captured", "refuse_rebinding"]

_FORMS: Final = {
    "_pow": "Tensor", "_pow_number": "Scalar", "_bernoulli_in_place": "float", "_bernoulli_tensor_in_place": "Tensor",
    "_random_from_in_place": "from", "_random_to_in_place": "to",
}  # fmt: skip
"""Where the overload of an operator in place is not that of the operator."""


def refuse_captured(tensor: Tensor, op: Op | str, operands: Sequence[Any] = ()) -> None:
    """Refuse a write by an operator, or one of this name, to what the innermost derivative's function has captured.

    Raises
    ------
    RuntimeError
        With PyTorch's text.
    """
    derivative, _, inside = innermost_derivative()
    if derivative is None or not derivative.refuses:
        return
    if inside and any(_is_mapped_more(each, tensor) for each in operands):
        return  # which `vmap`, as the inner transform, refuses in its own words
    while any(
        tensor._kernels is table for table in inside
    ):  # what a `vmap` in the function sees of a tensor outside of it
        tensor = tensor._array.value
    cell: Any = tensor._cell
    if (len(cell) > 2 and cell[2] >= derivative.number) if type(cell) is list else current_mode().inference:
        return
    if not any(cell is each for each in derivative.admitted):
        raise RuntimeError(
            "During a grad (vjp, jvp, grad, etc) transform, the function provided attempted to call in-place operation "
            f"(aten::{_overload(op, (tensor, *operands))}) that would mutate a captured Tensor. This is not supported; "
            "please rewrite the function being transformed to explicitly accept the mutated Tensor(s) as inputs."
        )


def refuse_rebinding(tensor: Tensor, value: Tensor) -> None:
    """Refuse `tensor.data = value` where one of the two is what the transform that runs makes of a tensor."""
    derivative, _, inside = innermost_derivative()
    if not inside and derivative is not None:
        if any(_belongs(each, derivative) for each in (tensor, value)):
            raise RuntimeError("mutating directly with `.data` inside functorch transform is not allowed.")
    elif is_mapped(tensor) or is_mapped(value):
        raise RuntimeError("mutating directly with `.data` under vmap transform is not allowed.")


def _belongs(tensor: Tensor, derivative: Derivative) -> bool:
    """Whether a tensor is an argument of the function of a derivative, or was made in it."""
    cell: Any = tensor._cell
    made = type(cell) is list and len(cell) > 2 and cell[2] >= derivative.number
    return made or any(cell is each for each in derivative.admitted)


def _is_mapped_more(operand: Any, target: Tensor) -> bool:
    return hasattr(operand, "_cell") and is_mapped(operand) and not is_mapped(target)


def _overload(op: Op | str, arguments: Sequence[Any]) -> str:
    """The name by which PyTorch's dispatcher knows an operator in place."""
    if isinstance(op, str):
        return op
    from retrograd.ops.aten import overload_of

    name, _, form = overload_of(op, arguments).name().removeprefix("aten::").partition(".")
    form = _FORMS.get(op.name, form)
    return f"{name}_.{form}" if form else f"{name}_"
