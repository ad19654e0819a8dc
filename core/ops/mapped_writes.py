"""Writing in place inside `vmap`: a tensor that all samples share cannot take what differs by sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from retrograd.autograd.modes import current_mode
from retrograd.autograd.tangents import move_tangents, tangents_of
from retrograd.levels import innermost_derivative, is_mapped
from retrograd.ops.batching import warn_of_loop
from retrograd.storage import Storage
from retrograd.tensor import Tensor, own_edge, wrap_array

if TYPE_CHECKING:
    from retrograd.ops.declare import Op

__all__ = ["at_level_of", "lost_in_vmap", "refuse_write", "whole"]

# PyTorch has a text for its own batching rules of in-place operators, and two for those that have none.
_OF_ARITHMETIC = frozenset(
    "clamp_max clamp_min copy div logical_and logical_or logical_xor masked_fill mul sub true_divide".split()
)
_BY_NAME = frozenset("fill index_add index_fill index_put scatter_add".split())
_OF_SHAPE = frozenset(
    "add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor gcd lcm".split()
)


def at_level_of(op: Op, target: Tensor, inputs: Sequence[Any], raw: Sequence[Any] = ()) -> list[Any]:
    """The inputs of an in-place operator at the level of `target`, its first.

    Parameters
    ----------
    raw
        Arrays among the operator's other arguments.

    Raises
    ------
    RuntimeError
        If one of them differs by sample at a level at which the target does not.
    """
    _raise_if_made_inside(target, inputs)
    k = target._kernels
    found: list[Any] = [_as_it_was(target, inputs)]
    for each in inputs[1:]:
        while isinstance(each, Tensor) and each._kernels.level > k.level:
            if each._array.mapped:
                _refuse(op, target, each)
            each = each._array.value
        if isinstance(each, Tensor) and k.level:
            each = k.lift(each)
            if each._array.mapped and not target._array.mapped:
                _refuse(op, target, each)
        found.append(each)
    for array in raw:
        if getattr(array, "mapped", False) and not (k.level and target._array.mapped):
            _refuse(op, target, None)
    return found


def _raise_if_made_inside(target: Tensor, inputs: Sequence[Any]) -> None:
    """Bring a target from below to the level of an input whose place in a graph, or tangent, it is to take over.

    What a function makes belongs to no level. If it is differentiated inside of a `vmap`, graph and tangents are at
    the level of that; what is made inside of the derivative can be brought there, because nobody else sees it.
    """
    derivative, outside, _ = innermost_derivative()
    cell: Any = target._cell
    if derivative is None or len(cell) < 3 or cell[2] < derivative.number:
        return
    for table in outside:
        if getattr(table, "level", 0) > target._kernels.level and any(
            getattr(each, "_kernels", None) is table
            and not each._array.mapped
            and (own_edge(each) is not None or tangents_of(each))
            for each in inputs
        ):
            _raise_to(table, target)


def _raise_to(table: Any, target: Tensor) -> None:
    meta, k = target._tensor_meta, target._kernels
    storage = None if meta is None else meta.storage
    base = target if meta is None or meta.view is None else meta.view.base
    inner = wrap_array(base._array if storage is None else storage.array, k)
    inner._edge = own_edge(base)
    move_tangents(base, inner)
    lifted = table.lift(inner)._array
    if storage is not None:
        storage.array = lifted
    for each, array in [(target, lifted)] if storage is None else list(storage.arrays(table)):
        each._kernels, each._edge = table, None
        each._set_array(array)
        if each._tensor_meta is not None:
            each._tensor_meta.tangents = None


def _as_it_was(target: Tensor, inputs: Sequence[Any]) -> Tensor:
    """The target for the computation of its new value.

    If that is written to a tensor outside of the `vmap` too, what graphs here and there save of the old one is a copy.
    """
    storage = None if target._tensor_meta is None else target._tensor_meta.storage
    if not target._kernels.level or storage is None or type(storage) is Storage or not current_mode().grad:
        return target
    array = target._array
    value = array.value
    if not value.requires_grad and not any(getattr(each, "requires_grad", False) for each in inputs):
        return target
    kept = wrap_array(value._kernels.copy(value._array) if value._kernels.mutable else value._array, value._kernels)
    kept._edge = value._edge
    move_tangents(value, kept)
    made = wrap_array(target._kernels.wrap(kept, array.mapped), target._kernels)
    made._edge = target._edge
    move_tangents(target, made)
    return made


def whole(target: Tensor, result: Any) -> Any:
    """The result of an in-place operator on a tensor that differs by sample, even where it does not: it may later."""
    k = target._kernels
    if k.level and target._array.mapped and not result.mapped:
        return k.wrap(k.spread(result), True)
    return result


def lost_in_vmap(target: Tensor, other: Any, name: str, shown: str | None = None) -> bool:
    """Whether what a function would give a tensor, other memory or another shape, is given to its samples and lost.

    PyTorch runs such functions, of which one is `name`, with a view of each sample that nobody has.

    Raises
    ------
    RuntimeError
        If `other` differs by sample and the target does not.
    """
    mapped = [each for each in (target, other) if isinstance(each, Tensor) and is_mapped(each)]
    if not mapped:
        return False
    warn_of_loop(f"aten::{shown or name}", 3)
    if mapped[0] is not target:
        refuse_write(f"aten::{name}", f"at level {other._kernels.level}")
    return True


def _refuse(op: Op, target: Tensor, other: Tensor | None) -> NoReturn:
    name = op.bare_name.removesuffix("_tensor").removesuffix("_number")
    if name in _OF_SHAPE and other is not None:
        shape = [other._kernels.size, *other.shape]
        raise RuntimeError(f"output with shape {list(target.shape)} doesn't match the broadcast shape {shape}")
    level = "in a vmap"
    if name in _OF_ARITHMETIC:
        called = "inplace arithmetic"
    elif name in _BY_NAME:
        called = f"{name}_"
    else:
        called, level = (
            f"aten::{name}_",
            f"at level {target._kernels.level + 1 if other is None else other._kernels.level}",
        )
    refuse_write(called, level)


def refuse_write(called: str, level: str) -> NoReturn:
    """PyTorch's text about the operator `called`; `level` says where, or in PyTorch's words that somewhere."""
    raise RuntimeError(
        f"vmap: {called}(self, *extra_args) is not possible because there exists a Tensor `other` in extra_args that "
        "has more elements than `self`. This happened due to `other` being vmapped over but `self` not being vmapped "
        f"over {level}. Please try to use out-of-place operators instead of {called}. If said operator is being called "
        "inside the PyTorch framework, please file a bug report instead."
    )
