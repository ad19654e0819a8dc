"""What has no derivative, and says so when one is asked for: operators' formulas, and functions of several operators.

PyTorch has two kinds, with words of their own: those that its list of derivatives names as having none, and those that
it does not name at all.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from retrograd.autograd.modes import current_mode, is_grad_enabled, no_grad
from retrograd.autograd.tangents import tangents_of
from retrograd.levels import is_mapped
from retrograd.ops.declare import Array, Raw, op
from retrograd.tensor import Tensor

__all__ = ["no_slope", "no_tangent", "refuse_gradients", "underived"]

F = TypeVar("F", bound=Callable[..., Any])


def no_slope(name: str, listed: bool = False) -> Callable[..., Any]:
    """The formula of a gradient that PyTorch's operator of this name does not have; `listed` if it says so."""

    def formula(K: Any, g: Any) -> Any:
        if listed:
            raise NotImplementedError(f"the derivative for '{name}' is not implemented.")
        raise RuntimeError(f"derivative for aten::{name} is not implemented")

    return formula


def no_tangent(name: str, listed: bool = False) -> Callable[..., Any]:
    """The same for tangents."""

    def formula(K: Any, t: Any) -> Any:
        raise _tangent_error(name, listed)

    return formula


def _tangent_error(name: str, listed: bool) -> NotImplementedError:
    if not listed:
        return NotImplementedError(f"Trying to use forward AD with aten::{name} that does not support it.")
    return NotImplementedError(
        f"Trying to use forward AD with {name} that does not support it because it has not been implemented yet.\n"
        "Please file an issue to PyTorch at https://github.com/pytorch/pytorch/issues/new?template=feature-request.yml "
        "so that we can prioritize its implementation or submit a PR adding the implementation to derivatives.yaml"
    )


def refuse_gradients(name: str, **arguments: Tensor) -> None:
    """Refuse arguments of PyTorch's operator of that name by which it has no derivative, if they require a gradient."""
    if is_grad_enabled():
        for argument, value in arguments.items():
            if value.requires_grad:
                raise RuntimeError(
                    f"The function '{name}' is not differentiable with respect to argument '{argument}'. This input "
                    "cannot have requires_grad True."
                )


def underived(name: str, *inputs: str, node: str | None = None) -> Callable[[F], F]:
    """A decorator: results of a function without a derivative require one, and it is refused when asked for.

    Parameters
    ----------
    name
        PyTorch's operator.
    inputs
        The parameters that are tensors with gradients, or sequences of them.
    node
        The node's name, if PyTorch's list names the operator.
    """
    listed = node is not None
    kept = _declare(name, node)

    def decorate(function: F) -> F:
        places = {each: place for place, each in enumerate(inspect.signature(function).parameters)}

        @functools.wraps(function)
        def refusing(*args: Any, **kwargs: Any) -> Any:
            given = [args[at] if (at := places[each]) < len(args) else kwargs.get(each) for each in inputs]
            tensors = [each for value in given for each in _tensors_in(value)]
            if any(is_mapped(each) for each in tensors):
                with no_grad():
                    return function(*args, **kwargs)
            if current_mode().dual and any(tangents_of(each) for each in tensors):
                raise _tangent_error(name, listed)
            if not (is_grad_enabled() and any(each._edge for each in tensors)):
                return function(*args, **kwargs)
            with no_grad():
                made = function(*args, **kwargs)
            return _marked(kept, tensors, made)

        return refusing  # type: ignore[return-value]

    return decorate


def _tensors_in(value: Any) -> list[Tensor]:
    return [each for each in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(each, Tensor)]


def _marked(kept: Callable[..., Any], tensors: list[Tensor], made: Any) -> Any:
    """The results, those with a node that can have one."""
    if isinstance(made, Tensor):
        return kept(tensors, made._array) if made.dtype.is_differentiable else made
    results = [_marked(kept, tensors, each) for each in made]
    return type(made)(*results) if hasattr(made, "_fields") else tuple(results)


def _declare(name: str, node: str | None) -> Callable[..., Any]:
    @op(
        name=f"_{name.strip('_')}_kept",
        node=node or "NotImplemented",
        vjp={"*": no_slope(name, node is not None)},
        jvp={"*": no_tangent(name, node is not None)},
    )
    def result_of(K, tensors: list[Array], result: Raw) -> Array:
        """What was computed of the tensors."""
        return result

    return result_of
