"""Classes that take functions over: those that define `__torch_function__`.

A public function that is given an object of such a class, for a tensor or among tensors, does not run: it calls the
object's ``__torch_function__(func, types, args, kwargs)`` and gives back what that does. `Tensor` defines it too, for
its subclasses: the function runs, and tensors that it gives become of the subclass. A `TorchFunctionMode` takes over
all functions, whatever they are given, within a `with` statement.

Note [Asked first]
    Ordinary programs have no such objects, and functions do not look for them. With the first subclass of `Tensor`
    that is defined, the first mode that is entered or the first other object of such a class that an operator meets,
    `retrograd.interposing` puts a question in front of every public function: whether somebody takes the call over.

Source: https://docs.pytorch.org/docs/stable/notes/extending.html#extending-torch-python-api
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

__all__ = [
    "BaseTorchFunctionMode", "TorchFunctionMode", "enable_reentrant_dispatch", "get_default_nowrap_functions",
    "get_ignored_functions", "get_overridable_functions", "get_testing_overrides", "handle_torch_function",
    "has_torch_function", "has_torch_function_unary", "has_torch_function_variadic", "is_tensor_like",
    "is_tensor_method_or_property", "redispatch_function", "resolve_name", "wrap_torch_function",
]  # fmt: skip


class _Taking(threading.local):
    """Who may take functions over in this thread."""

    objects = True
    modes: tuple[TorchFunctionMode, ...] = ()
    skips_next: bool = False  # whether the next who would be asked is not


taking = _Taking()


class DisableTorchFunctionSubclass:
    """Within it, no object takes functions over; modes do.

    Examples
    --------
    >>> import retrograd
    >>> class Named(retrograd.Tensor):
    ...     pass
    >>> x = retrograd.ones(2).as_subclass(Named)
    >>> with retrograd._C.DisableTorchFunctionSubclass():
    ...     type(x + 1).__name__
    'Tensor'
    """

    def __enter__(self) -> None:
        self._before = taking.objects, taking.modes
        taking.objects = False

    def __exit__(self, *exception: object) -> None:
        taking.objects, taking.modes = self._before


class DisableTorchFunction(DisableTorchFunctionSubclass):
    """Within it, neither objects nor modes take functions over."""

    def __enter__(self) -> None:
        super().__enter__()
        taking.modes = ()


def _disabled_torch_function_impl(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """The `__torch_function__` of classes that take nothing over: the function runs, and gives plain tensors."""
    with DisableTorchFunctionSubclass():
        return func(*args, **(kwargs or {}))


def default_torch_function(cls: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """What `Tensor` does as its subclasses' `__torch_function__`: run, and give what comes out their class.

    Parameters
    ----------
    cls
        The class that the tensors become.
    func, types, args, kwargs
        The function, the classes that take it over, and what it was called with.

    Returns
    -------
    Any
        NotImplemented if one of `types` is no base of `cls`.
    """
    from retrograd.tensor import Tensor

    if not all(issubclass(cls, each) for each in types) or (cls is Tensor and not taking.objects):
        return NotImplemented  # the last, where another library that knows the protocol asks a plain tensor
    with DisableTorchFunctionSubclass():
        result = func(*args, **(kwargs or {}))
        return result if func in get_default_nowrap_functions() else _as_class(result, cls)


def _as_class(result: Any, cls: Any) -> Any:
    from retrograd.tensor import Tensor

    if cls is Tensor:
        return result
    if isinstance(result, Tensor) and not isinstance(result, cls):
        return result.as_subclass(cls)
    if isinstance(result, (tuple, list)):
        parts = [_as_class(each, cls) for each in result]
        return type(result)._make(parts) if hasattr(result, "_make") else type(result)(parts)
    return result


@cache
def get_default_nowrap_functions() -> frozenset[Callable[..., Any]]:
    """The functions whose results `Tensor.__torch_function__` leaves as they are."""
    from retrograd.tensor import Tensor

    attributes: Any = Tensor
    return frozenset((attributes._base.__get__, attributes.grad.__get__))


# -- who takes over ------------------------------------------------------------------------------


def kind_of(value: object) -> Any:
    """The class of an object; of a stale view, which is of a class by itself, that which it has for others."""
    kind = type(value)
    return getattr(kind, "_fresh", kind)


def takes_over(value: object) -> bool:
    """Whether functions that are given this object ask it first."""
    own = getattr(type(value), "__torch_function__", None)
    if own is None or own is _disabled_torch_function_impl:
        return False
    from retrograd.tensor import Tensor

    return kind_of(value) is not Tensor


def has_torch_function(relevant_args: Iterable[object]) -> bool:
    """Whether one of these takes functions over.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.overrides import has_torch_function
    >>> has_torch_function((retrograd.ones(2), 3))
    False
    """
    asked = bool(taking.modes) or (taking.objects and any(map(takes_over, relevant_args)))
    return asked and not _skipped()


def _skipped() -> bool:
    """Whether this question is the one that `redispatch_function` has told to skip."""
    skipped, taking.skips_next = taking.skips_next, False
    return skipped


def has_torch_function_unary(relevant_arg: object) -> bool:
    """`has_torch_function` of one argument."""
    return has_torch_function((relevant_arg,))


def has_torch_function_variadic(*relevant_args: object) -> bool:
    """`has_torch_function`, with the arguments one by one."""
    return has_torch_function(relevant_args)


def is_tensor_like(inp: object) -> bool:
    """Whether it is a tensor, or an object that takes functions over.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.overrides import is_tensor_like
    >>> is_tensor_like(retrograd.ones(2)), is_tensor_like([1.0])
    (True, False)
    """
    return hasattr(type(inp), "__torch_function__")


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


@contextmanager
def _without_innermost() -> Iterator[TorchFunctionMode]:
    """The innermost mode, which does not see what functions it calls itself."""
    before = taking.modes
    taking.modes = before[:-1]
    try:
        yield before[-1]
    finally:
        taking.modes = before


def _answered(function: Any, objects: Sequence[Any], types: tuple[type, ...], args: Any, kwargs: Any) -> Any:
    """What the modes or one of the objects make of a call; NotImplemented if none takes it."""
    if taking.modes:
        with _without_innermost() as mode:
            result = mode.__torch_function__(function, types, args, kwargs)
        if result is not NotImplemented:
            return result
    for each in objects:
        result = each.__torch_function__(function, types, args, kwargs)
        if result is not NotImplemented:
            return result
    return NotImplemented


def overridden(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What somebody who takes this call over makes of it, or NotImplemented if nobody does.

    Raises
    ------
    TypeError
        If each of them gives NotImplemented.
    """
    asked = _by_class(filter(takes_over, _flat((*args, *kwargs.values())))) if taking.objects else []
    if (not asked and not taking.modes) or _skipped():
        return NotImplemented
    interpose()
    types = tuple(map(kind_of, asked))
    result = _answered(function, asked, types, tuple(args), kwargs or None)
    if result is not NotImplemented:
        return result
    names = "\n".join(f"  - tensor subclass {each}" for each in types)
    raise TypeError(
        f"Multiple dispatch failed for 'torch.{function.__name__}'; all __torch_function__ handlers returned "
        f"NotImplemented:\n\n{names}\n\nFor more information, try re-running with TORCH_LOGS=not_implemented"
    )


def interpose() -> None:
    """Let every public function ask from now on: see Note [Asked first]."""
    from retrograd.interposing import install

    install()


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
    types = tuple(map(kind_of, relevant))
    result = _answered(public_api, list(filter(takes_over, relevant)), types, args, kwargs)
    if result is not NotImplemented:
        return result
    name = f"{public_api.__module__}.{public_api.__name__}"
    raise TypeError(f"no implementation found for '{name}' on types that implement __torch_function__: {list(types)}")


def wrap_torch_function(dispatcher: Callable[..., Iterable[Any]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that lets a function of one's own ask first those that `dispatcher` gives for its arguments.

    Examples
    --------
    >>> from retrograd.overrides import wrap_torch_function
    >>> @wrap_torch_function(lambda value: (value,))
    ... def double(value):
    ...     return value * 2
    >>> double(4)
    8
    """
    from functools import wraps

    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def asking(*args: Any, **kwargs: Any) -> Any:
            relevant = dispatcher(*args, **kwargs)
            if has_torch_function(relevant):
                return handle_torch_function(asking, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        return asking

    return decorated


def redispatch_function(func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
    """Run a function that a `__torch_function__` was given, without asking for it again.

    Those that a function of the program's own calls do ask; within one of this package nobody is asked.

    Source: https://docs.pytorch.org/docs/stable/torch.overrides.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.overrides import handle_torch_function, has_torch_function, redispatch_function
    >>> class Telling(retrograd.Tensor):
    ...     @classmethod
    ...     def __torch_function__(cls, func, types, args=(), kwargs=None):
    ...         print(func.__name__)
    ...         return redispatch_function(func, types, args, kwargs)
    >>> def doubled(x):
    ...     return handle_torch_function(doubled, (x,), x) if has_torch_function((x,)) else x.mul(2)
    >>> y = doubled(retrograd.ones(2).as_subclass(Telling))
    doubled
    mul
    """
    if func in _names():
        with DisableTorchFunction():
            return func(*args, **(kwargs or {}))
    taking.skips_next = True
    try:
        return func(*args, **(kwargs or {}))
    finally:
        taking.skips_next = False


@contextmanager
def enable_reentrant_dispatch() -> Iterator[None]:
    """Nothing: what is called within a function that has been taken over may be taken over, too."""
    yield


def _get_overloaded_args(relevant_args: Iterable[Any], get_type_fn: Callable[[Any], type] | None = None) -> list[Any]:
    """The objects that are asked, in that order: one of each class, those of subclasses first."""
    return _by_class(filter(takes_over, relevant_args)) if taking.objects else []


# -- modes ---------------------------------------------------------------------------------------


class TorchFunctionMode:
    """What takes over every function that is called within its `with` statement, in this thread.

    A subclass defines ``__torch_function__(self, func, types, args=(), kwargs=None)``; functions that this calls go to
    the modes outside of it.

    Source: https://docs.pytorch.org/docs/stable/torch.overrides.html

    Examples
    --------
    >>> import retrograd
    >>> class Telling(retrograd.overrides.TorchFunctionMode):
    ...     def __torch_function__(self, func, types, args=(), kwargs=None):
    ...         print(func.__name__)
    ...         return func(*args, **(kwargs or {}))
    >>> with Telling():
    ...     x = retrograd.ones(2) + 1
    ones
    add
    """

    def __init__(self) -> None:
        pass

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Any:
        interpose()
        taking.modes = (*taking.modes, self)
        return self

    def __exit__(self, *exception: object) -> None:
        taking.modes = taking.modes[:-1]

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        """An instance, to be entered."""
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """The mode that lets every function run as it is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def _get_current_function_mode() -> TorchFunctionMode | None:
    """The innermost mode."""
    return taking.modes[-1] if taking.modes else None


def _get_current_function_mode_stack() -> list[TorchFunctionMode]:
    """All modes, the innermost last."""
    return list(taking.modes)


# -- what can be taken over ----------------------------------------------------------------------


def get_overridable_functions() -> dict[Any, list[Callable[..., Any]]]:
    """The public functions that objects can take over, by the module or class that they belong to.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.overrides import get_overridable_functions
    >>> retrograd.add in get_overridable_functions()[retrograd]
    True
    """
    from retrograd.interposing import overridable

    return overridable()


def get_ignored_functions() -> set[Callable[..., Any]]:
    """The public functions that objects cannot take over: as those that take no tensors.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.overrides import get_ignored_functions
    >>> retrograd.manual_seed in get_ignored_functions(), retrograd.add in get_ignored_functions()
    (True, False)
    """
    from retrograd.interposing import ignored

    return ignored()


def get_testing_overrides() -> dict[Callable[..., Any], Callable[..., Any]]:
    """For each function that objects can take over one of the same signature that gives -1.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.overrides import get_testing_overrides
    >>> get_testing_overrides()[retrograd.relu](retrograd.ones(2))
    -1
    """
    return {each: _dummy(each) for functions in get_overridable_functions().values() for each in functions}


def _dummy(function: Callable[..., Any]) -> Callable[..., Any]:
    if isinstance(getattr(function, "__self__", None), property):
        signature = inspect.signature(_SLOTS[function.__name__])
    else:
        signature = inspect.signature(function)

    def dummy(*args: Any, **kwargs: Any) -> int:
        signature.bind(*args, **kwargs)
        return -1

    dummy.__name__ = function.__name__
    dummy.__signature__ = signature  # type: ignore[attr-defined]
    return dummy


_SLOTS: dict[str, Callable[..., Any]] = {
    "__get__": lambda self: -1, "__set__": lambda self, value: -1, "__delete__": lambda self: -1,
}  # fmt: skip


@cache
def _names() -> dict[Callable[..., Any], str]:
    found: dict[Callable[..., Any], str] = {}
    others = {id(each): each for each in get_ignored_functions()}
    for space, functions in get_overridable_functions().items():
        where = space.__name__ if isinstance(space, ModuleType) else f"{space.__module__}.{space.__name__}"
        named = {id(value): name for name, value in vars(space).items()}
        # Of several names that which the function itself has.
        named |= {id(each): name for name, each in vars(space).items() if getattr(each, "__name__", None) == name}
        for each in (*functions, *(others[key] for key in named if key in others)):
            owner = getattr(each, "__self__", each)  # a property, of its functions
            if not isinstance(owner, property):
                owner = each
            suffix = "" if owner is each else f".{each.__name__}"
            found.setdefault(each, f"{where}.{named.get(id(owner), each.__name__)}{suffix}")
    return found


def resolve_name(f: Callable[..., Any]) -> str | None:
    """The full name of a function that a `__torch_function__` was given; None for one that is not overridable.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.overrides.resolve_name(retrograd.linalg.cholesky)
    'retrograd.linalg.cholesky'
    """
    return _names().get(f)


def is_tensor_method_or_property(func: Callable[..., Any]) -> bool:
    """Whether it is a method of `Tensor`, or reads or sets an attribute of one.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.overrides import is_tensor_method_or_property
    >>> is_tensor_method_or_property(retrograd.Tensor.add), is_tensor_method_or_property(retrograd.ones)
    (True, False)
    """
    from retrograd.tensor import Tensor

    return func in get_overridable_functions()[Tensor] or func.__name__ == "__get__"
