"""Objects that are no tensors and take part in functions: those whose class defines `__torch_function__`.

Where such an object is given for a tensor, the function calls its ``__torch_function__(func, types, args, kwargs)``
and gives back what that does. Operators, reductions, the functions of `linalg` and those that take `out=` do so; views
and other compositions do not. Subclasses of `Tensor` are tensors: what they define by this name is not called.

Source: https://docs.pytorch.org/docs/stable/notes/extending.html#extending-torch-python-api
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = [
    "handle_torch_function", "has_torch_function", "has_torch_function_unary", "has_torch_function_variadic",
    "is_tensor_like", "overridden",
]  # fmt: skip


def _takes_over(value: object) -> bool:
    from retrograd.tensor import Tensor

    return hasattr(type(value), "__torch_function__") and not isinstance(value, Tensor)


def has_torch_function(relevant_args: Iterable[object]) -> bool:
    """Whether one of these is no tensor and defines `__torch_function__`.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.overrides import has_torch_function
    >>> has_torch_function((retrograd.ones(2), 3))
    False
    """
    return any(map(_takes_over, relevant_args))


def has_torch_function_unary(relevant_arg: object) -> bool:
    """`has_torch_function` of one argument."""
    return _takes_over(relevant_arg)


def has_torch_function_variadic(*relevant_args: object) -> bool:
    """`has_torch_function`, with the arguments one by one."""
    return has_torch_function(relevant_args)


def is_tensor_like(inp: object) -> bool:
    """Whether it is a tensor, or an object that takes part in functions as one.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.overrides import is_tensor_like
    >>> is_tensor_like(retrograd.ones(2)), is_tensor_like([1.0])
    (True, False)
    """
    from retrograd.tensor import Tensor

    return isinstance(inp, Tensor) or hasattr(type(inp), "__torch_function__")


def _by_class(candidates: Iterable[object]) -> list[Any]:
    """One object of each class, in order; that of a subclass in front of that of its base."""
    found: list[Any] = []
    for each in candidates:
        if any(type(each) is type(other) for other in found):
            continue
        place = next((i for i, other in enumerate(found) if isinstance(each, type(other))), len(found))
        found.insert(place, each)
    return found


def _flat(values: Iterable[object]) -> list[object]:
    return [each for value in values for each in (value if isinstance(value, (list, tuple)) else (value,))]


def overridden(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What an argument's `__torch_function__` gives for this call, or NotImplemented if no argument has one.

    Raises
    ------
    TypeError
        If each of them gives NotImplemented.
    """
    taking_over = _by_class(filter(_takes_over, _flat((*args, *kwargs.values()))))
    if not taking_over:
        return NotImplemented
    types = tuple(map(type, taking_over))
    for each in taking_over:
        result = each.__torch_function__(function, types, tuple(args), kwargs or None)
        if result is not NotImplemented:
            return result
    names = "\n".join(f"  - tensor subclass {each}" for each in types)
    raise TypeError(
        f"Multiple dispatch failed for 'torch.{function.__name__}'; all __torch_function__ handlers returned "
        f"NotImplemented:\n\n{names}\n\nFor more information, try re-running with TORCH_LOGS=not_implemented"
    )


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """Call the `__torch_function__` of the first of `relevant_args` that has an answer; for functions of one's own.

    Raises
    ------
    TypeError
        If none has.
    """
    relevant = _by_class(each for each in relevant_args if is_tensor_like(each))
    types = tuple(map(type, relevant))
    for each in filter(_takes_over, relevant):
        result = each.__torch_function__(public_api, types, args, kwargs)
        if result is not NotImplemented:
            return result
    name = f"{public_api.__module__}.{public_api.__name__}"
    raise TypeError(f"no implementation found for '{name}' on types that implement __torch_function__: {list(types)}")
