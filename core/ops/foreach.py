"""Operators on lists of tensors, one call for all: `retrograd._foreach_add` and its like.

Each does to every tensor of a list what the operator of its name does to one; there is no kernel of several tensors
behind it. A second operand is a number or a tensor without dimensions for all, or a list with one for each. Those that
end with an underscore write to the tensors, and check before the first is written to that all may be.

Source: https://docs.pytorch.org/docs/stable/torch.html#foreach-operations
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retrograd.autograd.modes import current_mode
from retrograd.autograd.rebase import check_writable
from retrograd.ops.declare import publics
from retrograd.ops.flags import flagged
from retrograd.ops.inplace import copy_, zero_
from retrograd.ops.options import c_name
from retrograd.tensor import Tensor

__all__ = [
    "_foreach_addcdiv", "_foreach_addcdiv_", "_foreach_addcmul", "_foreach_addcmul_", "_foreach_clone",
    "_foreach_copy_", "_foreach_lerp", "_foreach_lerp_", "_foreach_max", "_foreach_mm", "_foreach_norm",
    "_foreach_pow", "_foreach_pow_", "_foreach_powsum", "_foreach_zero_",
]  # fmt: skip

Tensors = tuple[Tensor, ...]

_UNARY = """
    abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg reciprocal round
    rsqrt sigmoid sign sin sinh sqrt tan tanh trunc
""".split()
_BINARY = {
    "add": "add", "sub": "sub", "mul": "mul", "div": "div", "clamp_max": "clamp_max", "clamp_min": "clamp_min",
    "maximum": "clamp_min", "minimum": "clamp_max",
}  # fmt: skip
"""The operator, of one tensor, that each is."""

_WITH_ALPHA = frozenset(("add", "sub"))


def _checked(name: str, tensors: Any, place: int = 0) -> list[Tensor]:
    if not isinstance(tensors, (list, tuple)):
        raise TypeError(
            f"{name}() received an invalid combination of arguments - got ({c_name(tensors)}, ...), but expected a "
            "tuple of Tensors"
        )
    if not tensors:
        raise RuntimeError("Tensor list must have at least one tensor.")
    for i, each in enumerate(tensors):
        if not isinstance(each, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument {place}, but got {type(each).__name__}")
    return list(tensors)


def _for_each(tensors: list[Tensor], other: Any) -> list[Any]:
    """The second operand of each tensor."""
    if isinstance(other, Tensor):
        if other.ndim:
            raise RuntimeError(
                f"scalar tensor expected to be 0 dim but it has {other.ndim} dimensions and {other.numel()} elements."
            )
        return [other] * len(tensors)
    if not isinstance(other, (list, tuple)):
        return [other] * len(tensors)
    if len(other) != len(tensors):
        if other and isinstance(other[0], Tensor):
            raise RuntimeError(
                f"Tensor lists must have the same number of tensors, got {len(tensors)} and {len(other)}"
            )
        raise RuntimeError("Tensor list must have same number of elements as scalar list.")
    return list(other)


def _values(tensors: list[Tensor], value: Any) -> list[Any]:
    """A number for each tensor, which may be given as a vector."""
    return _for_each(tensors, value.tolist() if isinstance(value, Tensor) and value.ndim == 1 else value)


def _check_all(targets: list[Tensor], *others: Sequence[Any]) -> None:
    mode = current_mode()
    for target, *beside in zip(targets, *others, strict=True):
        records = mode.grad and any(getattr(each, "requires_grad", False) for each in (target, *beside))
        check_writable(target, mode, records, [each for each in beside if isinstance(each, Tensor)])


def _named(function: Callable[..., Any], name: str, doc: str) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    __all__.append(name)
    return function


def _unary(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    in_place = f"{name}_"

    def function(self: Any) -> Tensors:
        operator = publics[name]
        return tuple(operator(each) for each in _checked(f"_foreach_{name}", self))

    def method(self: Any) -> list[Tensor]:
        tensors = _checked(f"_foreach_{in_place}", self)
        _check_all(tensors)
        return [getattr(each, in_place)() for each in tensors]

    return function, method


def _binary(name: str, one: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    in_place, with_alpha = f"{one}_", name in _WITH_ALPHA

    def function(self: Any, other: Any, *, alpha: Any = 1) -> Tensors:
        tensors = _checked(f"_foreach_{name}", self)
        operator, options = publics[one], {"alpha": alpha} if with_alpha else {}
        return tuple(operator(a, b, **options) for a, b in zip(tensors, _for_each(tensors, other), strict=True))

    def method(self: Any, other: Any, *, alpha: Any = 1) -> list[Tensor]:
        tensors = _checked(f"_foreach_{name}_", self)
        others, options = _for_each(tensors, other), {"alpha": alpha} if with_alpha else {}
        _check_all(tensors, others)
        return [getattr(a, in_place)(b, **options) for a, b in zip(tensors, others, strict=True)]

    return function, method


def _with_two(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    in_place = f"{name}_"

    def function(self: Any, tensor1: Any, tensor2: Any, value: Any = 1) -> Tensors:
        tensors, operator = _checked(f"_foreach_{name}", self), publics[name]
        first, second = (_for_each(tensors, each) for each in (tensor1, tensor2))
        rows = zip(tensors, first, second, _values(tensors, value), strict=True)
        return tuple(operator(a, b, c, value=v) for a, b, c, v in rows)

    def method(self: Any, tensor1: Any, tensor2: Any, value: Any = 1) -> list[Tensor]:
        tensors = _checked(f"_foreach_{in_place}", self)
        first, second = (_for_each(tensors, each) for each in (tensor1, tensor2))
        _check_all(tensors, first, second)
        rows = zip(tensors, first, second, _values(tensors, value), strict=True)
        return [getattr(a, in_place)(b, c, value=v) for a, b, c, v in rows]

    return function, method


def _declare() -> None:
    """Make those that follow from an operator on one tensor."""
    made = {name: _unary(name) for name in _UNARY} | {name: _binary(name, one) for name, one in _BINARY.items()}
    for name, (function, method) in made.items():
        globals()[f"_foreach_{name}"] = _named(function, f"_foreach_{name}", f"`{name}` of each tensor of a list.")
        globals()[f"_foreach_{name}_"] = _named(method, f"_foreach_{name}_", f"`{name}` in place, of each tensor.")


_declare()

_foreach_addcmul, _foreach_addcmul_ = _with_two("addcmul")
_foreach_addcdiv, _foreach_addcdiv_ = _with_two("addcdiv")


def _foreach_lerp(self: Any, tensors1: Any, weight: Any) -> Tensors:
    """`lerp` of each tensor of a list, with one of `tensors1`."""
    tensors = _checked("_foreach_lerp", self)
    rows = zip(tensors, _for_each(tensors, tensors1), _for_each(tensors, weight), strict=True)
    return tuple(publics["lerp"](a, b, w) for a, b, w in rows)


def _foreach_lerp_(self: Any, tensors1: Any, weight: Any) -> list[Tensor]:
    """`lerp` in place, of each tensor."""
    tensors = _checked("_foreach_lerp_", self)
    ends, weights = _for_each(tensors, tensors1), _for_each(tensors, weight)
    _check_all(tensors, ends, weights)
    return [a.lerp_(b, w) for a, b, w in zip(tensors, ends, weights, strict=True)]


def _foreach_pow(self: Any, exponent: Any) -> Tensors:
    """`pow` of each tensor of a list; or of a number by each exponent of a list."""
    if not isinstance(self, (list, tuple)) and isinstance(exponent, (list, tuple)):
        return tuple(publics["pow"](self, each) for each in _checked("_foreach_pow", exponent, 1))
    tensors = _checked("_foreach_pow", self)
    return tuple(publics["pow"](a, b) for a, b in zip(tensors, _for_each(tensors, exponent), strict=True))


def _foreach_pow_(self: Any, exponent: Any) -> list[Tensor]:
    """`pow` in place, of each tensor."""
    tensors = _checked("_foreach_pow_", self)
    exponents = _for_each(tensors, exponent)
    _check_all(tensors, exponents)
    return [a.pow_(b) for a, b in zip(tensors, exponents, strict=True)]


def _foreach_norm(self: Any, ord: Any = 2, dtype: Any = None) -> Tensors:
    """The norm of each tensor of a list, taken as a vector.

    Examples
    --------
    >>> import retrograd
    >>> retrograd._foreach_norm([retrograd.tensor([3.0, 4.0]), retrograd.ones(4)])
    (tensor(5.), tensor(2.))
    """
    return tuple(publics["norm"](each, ord, dtype=dtype) for each in _checked("_foreach_norm", self))


def _foreach_powsum(self: Any, ord: Any = 2, dtype: Any = None) -> Tensors:
    """The sum of powers of the absolute values of each tensor."""
    return tuple(each.abs().pow(ord).sum(dtype=dtype) for each in _checked("_foreach_powsum", self))


def _foreach_max(self: Any) -> Tensors:
    """The largest element of each tensor."""
    return tuple(each.max() for each in _checked("_foreach_max", self))


def _foreach_mm(self: Any, mat2: Any) -> Tensors:
    """The product of each matrix of a list with one of another."""
    tensors = _checked("_foreach_mm", self)
    return tuple(publics["mm"](a, b) for a, b in zip(tensors, _for_each(tensors, mat2), strict=True))


def _foreach_clone(self: Any, *, memory_format: Any = None) -> Tensors:
    """A copy of each tensor."""
    options = {} if memory_format is None else {"memory_format": memory_format}
    return tuple(each.clone(**options) for each in _checked("_foreach_clone", self))


@flagged
def _foreach_copy_(self: Any, src: Any, non_blocking: bool = False) -> list[Tensor]:
    """Write to each tensor the elements of one of `src`."""
    tensors = _checked("_foreach_copy_", self)
    sources = _for_each(tensors, src)
    _check_all(tensors, sources)
    return [copy_(a, b, non_blocking) for a, b in zip(tensors, sources, strict=True)]


def _foreach_zero_(self: Any) -> list[Tensor]:
    """Write zero to each tensor."""
    tensors = _checked("_foreach_zero_", self)
    _check_all(tensors)
    return [zero_(each) for each in tensors]
