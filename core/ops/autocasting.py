"""What autocast does to operators: which run in the lower type, and which in float32.

Note [Autocast]
    While autocast is on, the mode has an `Autocast`, so that every operator takes the general path, which comes here
    (`call`). The lists are those of PyTorch's documentation for CPUs. An operator in a list gets its inputs in the
    type that the list says, and runs without autocast, as what it is made of does. Most functions of the lists have
    one operator each, and it is those that `_POLICIES` names; a function made of several operators says it itself, by
    `in_float32`, `in_lower_type` or `widened`. The third list, of operators that run in their inputs' widest type, is
    that of `cat`, `stack` and `index_copy`: the first two promote anyway.

    Casts are recorded. That of a parameter is kept until the outermost region ends, so that a weight that is used
    twice is cast once.

Source: https://docs.pytorch.org/docs/stable/amp.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from retrograd.autograd.modes import Mode, current_mode, set_mode
from retrograd.dtypes import dtype, float32, float64

if TYPE_CHECKING:
    from retrograd.ops.declare import Op

__all__ = ["Autocast", "call", "in_float32", "in_lower_type", "lowered", "unites", "widened"]

F = TypeVar("F", bound=Callable[..., Any])
LOWER: Final = "lower"
WIDE: Final = "float32"
WIDEST: Final = "widest"

_POLICIES: Final = {
    **dict.fromkeys("_addmm _baddbmm _bmm _convolution _mm _prelu _transposed_convolution".split(), LOWER),
    **dict.fromkeys(
        """
        _adaptive_avg_pool3d _adaptive_max_pool3d _avg_pool3d _bce _bce_with_logits _bce_with_logits_weighted
        _fractional_max_pool2d _fractional_max_pool3d _huber_loss _max_pool3d _mse_loss _multi_margin_loss _nll_loss
        _nll_loss2d _nll_rows _prod _prod_all _ReflectionPad1D _ReflectionPad2D _ReplicationPad1D _ReplicationPad2D
        _ReplicationPad3D _smooth_l1_loss _soft_margin_loss _trace _unpool polar
        """.split(),
        WIDE,
    ),
    "_index_copy": WIDEST,
}


class Autocast:
    """What a mode has while autocast is on: the lower type, and the casts of parameters that are kept, or None."""

    __slots__ = ("kept", "lower")

    def __init__(self, lower: dtype, kept: dict[int, tuple[Any, Any]] | None) -> None:
        self.lower = lower
        self.kept = kept

    def cast(self, value: Any, policy: str) -> Any:
        """`value`, or what is in it, in the type of the policy."""
        if type(value) in (list, tuple):
            return type(value)(self.cast(each, policy) for each in value)
        kind = getattr(value, "dtype", None)
        if not isinstance(kind, dtype) or not _may_be_cast(kind):
            return value
        target = self.lower if policy == LOWER else float32
        if kind is target:
            return value
        return self._lowered(value) if policy == LOWER else value.to(target)

    def _lowered(self, tensor: Any) -> Any:
        """In the lower type; the cast of a parameter is kept, with the parameter, so that its id stays its own."""
        keeps = self.kept is not None and tensor.dtype is float32 and tensor.requires_grad and tensor.is_leaf
        if not keeps or not current_mode().grad or tensor._is_view():
            return tensor.to(self.lower)
        assert self.kept is not None
        found = self.kept.get(id(tensor))
        if found is None:
            found = self.kept[id(tensor)] = (tensor, tensor.to(self.lower))
        return found[1]


def call(op: Op, mode: Mode, arguments: tuple[Any, ...]) -> Any:
    """Run an operator by its list, without autocast."""
    policy = _POLICIES.get(op.name)
    if policy == WIDEST:
        types = {getattr(each, "dtype", None) for each in op.inputs_among(arguments)}
        policy = WIDE if float32 in types else LOWER
    return _run(lambda *given: op.run(given), mode, policy, arguments, {})


def _run(
    function: Callable[..., Any], mode: Mode, policy: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    set_mode(mode.but(autocast=None))
    try:
        if policy is not None:
            args = mode.autocast.cast(args, policy)
            kwargs = {name: mode.autocast.cast(each, policy) for name, each in kwargs.items()}
        return function(*args, **kwargs)
    finally:
        set_mode(mode)


def unites(*tensors: Any) -> bool:
    """Whether an operator of the lists will bring the tensors to one type, which they are not of yet."""
    return current_mode().autocast is not None and all(_may_be_cast(each.dtype) for each in tensors)


def _may_be_cast(kind: dtype) -> bool:
    return kind.is_floating_point and kind is not float64


def widened(*tensors: Any) -> Any:
    """The tensors in float32 while autocast is on: the start of a function of the second list."""
    mode = current_mode()
    return tensors if mode.autocast is None else mode.autocast.cast(tensors, WIDE)


def lowered(*tensors: Any) -> Any:
    """The tensors in the lower type while autocast is on: the start of a function of the first list."""
    mode = current_mode()
    return tensors if mode.autocast is None else mode.autocast.cast(tensors, LOWER)


def in_float32(function: F) -> F:
    """Make a function one of the second list: as `widened`, and what it calls runs without autocast."""
    return _listed(function, WIDE)


def in_lower_type(function: F) -> F:
    """Make a function one of the first list: as `lowered`, and what it calls runs without autocast."""
    return _listed(function, LOWER)


def _listed(function: F, policy: str) -> F:
    @functools.wraps(function)
    def listed(*args: Any, **kwargs: Any) -> Any:
        mode = current_mode()
        if mode.autocast is None:
            return function(*args, **kwargs)
        return _run(function, mode, policy, args, kwargs)

    return listed  # type: ignore[return-value]
