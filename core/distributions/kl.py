"""`kl_divergence`, and the registry of the pairs of distributions that it can compare.

The formulas are in `retrograd.distributions.divergences`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from retrograd.distributions.distribution import Distribution
from retrograd.tensor import Tensor

__all__ = ["kl_divergence", "register_kl"]

Pair = tuple[type, type]

_KL_REGISTRY: dict[Pair, Callable[..., Tensor]] = {}
"""The formula of each pair of classes."""
_KL_MEMOIZE: dict[Pair, Callable[..., Tensor] | None] = {}
"""What was found for pairs of subclasses."""


def register_kl(type_p: Any, type_q: Any) -> Callable[[Any], Any]:
    """Register a function as the divergence of distributions of two classes; a decorator.

    Raises
    ------
    TypeError
        If one is no class. A class need not be one of distributions: packages register bases of their own.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#torch.distributions.kl.register_kl

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import Normal, kl_divergence, register_kl
    >>> class Mine(Normal):
    ...     pass
    >>> @register_kl(Mine, Normal)
    ... def _(p, q):
    ...     return retrograd.tensor(7.0)
    >>> kl_divergence(Mine(0.0, 1.0), Normal(0.0, 1.0))
    tensor(7.)
    """
    if not (isinstance(type_p, type) and isinstance(type_q, type)):
        raise TypeError("issubclass() arg 1 must be a class")

    def decorator(function: Any) -> Any:
        _KL_REGISTRY[type_p, type_q] = function
        _KL_MEMOIZE.clear()
        return function

    return decorator


def _before(one: Pair, other: Pair) -> bool:
    """Whether a pair is more special, the first class deciding unless it is the same."""
    for mine, theirs in zip(one, other, strict=True):
        if not issubclass(mine, theirs):
            return False
        if mine is not theirs:
            break
    return True


def _most_special(pairs: list[Pair]) -> Pair:
    best = pairs[0]
    for each in pairs[1:]:
        if _before(each, best):
            best = each
    return best


def _dispatch_kl(type_p: type, type_q: type) -> Callable[..., Tensor] | None:
    """The most special formula that is registered; warns where it depends on which class is looked at first."""
    matches = [(p, q) for p, q in _KL_REGISTRY if issubclass(type_p, p) and issubclass(type_q, q)]
    if not matches:
        return None
    left_p, left_q = _most_special(matches)
    right_q, right_p = _most_special([(q, p) for p, q in matches])
    chosen = _KL_REGISTRY[left_p, left_q]
    if chosen is not _KL_REGISTRY[right_p, right_q]:
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). "
            f"Please register_kl({left_p.__name__}, {right_q.__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    return chosen


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The Kullback-Leibler divergence, ``E_p[log p(x) - log q(x)]``, of each pair of the batch.

    Raises
    ------
    NotImplementedError
        If no formula is registered for the classes of `p` and `q`.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#torch.distributions.kl.kl_divergence

    Examples
    --------
    >>> from retrograd.distributions import Normal, kl_divergence
    >>> kl_divergence(Normal(1.0, 1.0), Normal(0.0, 1.0))
    tensor(0.5000)
    """
    pair = type(p), type(q)
    if pair not in _KL_MEMOIZE:
        _KL_MEMOIZE[pair] = _dispatch_kl(*pair)
    function = _KL_MEMOIZE[pair]
    if function is None:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {p.__class__.__name__} and q type {q.__class__.__name__}"
        )
    return function(p, q)
