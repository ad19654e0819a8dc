"""Refuses writes, in a function that is differentiated, to tensors which it neither got nor made.

See Note [Captured tensors] in `retrograd.levels`, where tensors are marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from retrograd.levels import innermost_derivative, is_mapped

if TYPE_CHECKING:
    from retrograd.tensor import Tensor

__all__ = ["refuse_captured"]

_BY_OPERAND: Final = frozenset(
    "eq ne lt le gt ge fmod remainder pow lerp bitwise_and bitwise_or bitwise_xor fill masked_fill".split()
)
_OF_TENSORS: Final = frozenset("add sub mul div floor_divide clamp clamp_min clamp_max".split())
_OTHERS: Final = {
    "true_divide": "div_.Tensor", "div_rounded": "div_.Tensor_mode", "round_decimals": "round_.decimals",
    "bernoulli_tensor": "bernoulli_.Tensor", "bernoulli": "bernoulli_.float", "random_from": "random_.from",
    "random_to": "random_.to", "scatter": "scatter_.src",
}  # fmt: skip


def refuse_captured(tensor: Tensor, name: str, operands: Sequence[Any] = ()) -> None:
    """Raise, before a write by the operator `name`, if the innermost derivative's function has captured `tensor`.

    Raises
    ------
    RuntimeError
        With PyTorch's text.
    """
    derivative, _, inside = innermost_derivative()
    if derivative is None:
        return
    if inside and any(_is_mapped_more(each, tensor) for each in operands):
        return  # which `vmap`, as the inner transform, refuses in its own words
    while any(tensor._k is table for table in inside):  # what a `vmap` in the function sees of a tensor outside of it
        tensor = tensor._array.value
    cell: Any = tensor._cell
    if type(cell) is not list or (len(cell) > 2 and cell[2] >= derivative.number):
        return
    if not any(cell is each for each in derivative.admitted):
        raise RuntimeError(
            "During a grad (vjp, jvp, grad, etc) transform, the function provided attempted to call in-place operation "
            f"(aten::{_overload(name, operands)}) that would mutate a captured Tensor. This is not supported; please "
            "rewrite the function being transformed to explicitly accept the mutated Tensor(s) as inputs."
        )


def _is_mapped_more(operand: Any, target: Tensor) -> bool:
    return hasattr(operand, "_cell") and is_mapped(operand) and not is_mapped(target)


def _overload(name: str, operands: Sequence[Any]) -> str:
    """The name by which PyTorch's dispatcher knows an in-place operator."""
    if name.endswith("_"):  # of those that change a shape, and have one name
        return name
    plain = name.strip("_").removesuffix("_in_place").removesuffix("_raw")
    of_number, of_tensor = plain.removesuffix("_number"), plain.removesuffix("_tensor")
    if plain in _OTHERS:
        return _OTHERS[plain]
    if of_number != plain:
        return f"{of_number}_.Scalar" if of_number in _BY_OPERAND else f"{of_number}_"
    if of_tensor in _BY_OPERAND:
        return f"{of_tensor}_.{'Tensor' if operands and hasattr(operands[-1], '_cell') else 'Scalar'}"
    return f"{plain}_.Tensor" if plain in _OF_TENSORS else f"{plain}_"
