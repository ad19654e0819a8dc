"""Arithmetic with numbers of 16 bits.

Note [Half precision]
    An operator of float16 or bfloat16 numbers computes in float32, and rounds what comes out of it once, as PyTorch's
    kernels do: `silu` is one operator, however many kernels its body calls. Elementwise ones do, if they do not say
    otherwise, and others if they say so (`widens`). Where it is one kernel that rounds once, that is called as it is.

    A number beside a tensor is rounded to the tensor's type first, but for those inputs that the operator declares as
    `exact_numbers`: factors and divisors. Arguments that are no inputs (``negative_slope``, ``value``) are not rounded,
    but for those that it declares as `rounded`: ``alpha``, and exponents.

    A gradient that PyTorch computes in one kernel (`fused_gradient`: that of an operator that is elementwise and
    promotes nothing has one of its own) is computed like that, too. Others are made of several operators there, each
    of which rounds, and so does each kernel in their formulas here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrograd.autograd.node import Node
    from retrograd.ops.declare import Op
    from retrograd.ops.plan import Plan

__all__ = ["WidePlan", "computed", "half_among", "is_number_beside"]


def half_among(arrays: Sequence[Any], k: Any) -> Any:
    """The first type of 16 bits among those of arrays; None if there is none."""
    for each in arrays:
        dtype = getattr(each, "dtype", None)
        if dtype in k.halves and dtype not in k.float8:
            return dtype
    return None


def computed(op: Op, k: Any, given: Sequence[Any], half: Any) -> Any:
    """What an operator gives of arrays of the type `half` and of arguments, in that type."""
    if op.widens and (not _rounds_once(op, k) or any(getattr(each, "dtype", half) != half for each in given)):
        given = [
            _number_in(each, k, half) if place in op.rounded else _wide(each, k) for place, each in enumerate(given)
        ]
    result = op.forward_for(k)(k, *given)
    return tuple(_rounded(each, k, half) for each in result) if type(result) is tuple else _rounded(result, k, half)


def _rounds_once(op: Op, k: Any) -> bool:
    """Whether an operator is one elementwise kernel, in which the library rounds but once."""
    return op.body is None and op.keeps_type and getattr(k, op.kernel or "") in k.rounds_once


def is_number_beside(value: Any, inputs: Sequence[Any]) -> bool:
    """Whether a value is a number, or a tensor without dimensions beside one that has some."""
    if not hasattr(value, "_array"):
        return value is not None
    return value._array.shape == () and any(getattr(each, "_array", value._array).shape != () for each in inputs)


class WidePlan:
    """The plan of a call on numbers of 16 bits, whose gradient is computed in float32."""

    __slots__ = ("plan",)

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def raw(self, K: Any, g: Any, node: Node) -> Sequence[Any]:
        values = {name: _wide(self.plan.unpack(node, i, as_tensor=False), K) for i, name in enumerate(self.plan.names)}
        return self.plan.evaluate(K, _wide(g, K), values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plan, name)


def _wide(value: Any, k: Any) -> Any:
    dtype = getattr(value, "dtype", None)
    return k.astype(value, k.dtypes["float32"]) if dtype in k.halves and dtype not in k.float8 else value


def _number_in(value: Any, k: Any, half: Any) -> Any:
    """A number as the nearest one that the type has."""
    return float(k.base.to_host(k.base.full((), value, half))) if isinstance(value, float) else value


def _rounded(value: Any, k: Any, half: Any) -> Any:
    return k.astype(value, half) if value.dtype in k.floats else value
