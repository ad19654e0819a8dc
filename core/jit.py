"""PyTorch's names for TorchScript, under which functions and modules stay what they are.

There is no TorchScript here. What its decorators and entry points do is what they do in PyTorch itself while it is
switched off (``PYTORCH_JIT=0``): they give back what they were given, so that a program written with them runs
eagerly, with the same results.

Source: https://docs.pytorch.org/docs/stable/jit.html
"""

from __future__ import annotations

import builtins
from collections import namedtuple
from collections.abc import Callable
from typing import (  # noqa: UP035 - programs import these from `jit.annotations`
    Any,
    Dict as Dict,
    Final as Final,
    List as List,
    Optional as Optional,
    Tuple as Tuple,
    TypeVar,
    Union as Union,
    get_args,
    get_origin,
)

from retrograd.futures import Future
from retrograd.nn import Module

__all__ = [
    "Attribute", "Final", "ScriptFunction", "ScriptModule", "TracerWarning", "annotate", "export", "fork", "ignore",
    "interface", "is_scripting", "is_tracing", "isinstance", "script", "script_if_tracing", "script_method", "trace",
    "trace_module", "unused", "wait",
]  # fmt: skip

__path__: list[str] = []  # PyTorch has a package here: its modules are found by `retrograd.places`

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])

_MARK = "_torchscript_modifier"
_EXPORT = "export (compile this function even if nothing calls it)"
_IGNORE = "ignore (leave as a call to Python, cannot be torch.jit.save'd)"
_COPIED = "if this method is not scripted, copy the python method onto the scripted model"
_UNUSED = "unused (ignored and replaced with raising of an exception)"

Attribute = namedtuple("Attribute", ["value", "type"])
"""A value with the type that TorchScript would give to it."""


class _BroadcastingList:
    """In an annotation: a list of so many elements, for which TorchScript takes one, too."""

    def __getitem__(self, types: Any) -> None:
        """Nothing: annotations are not looked at."""


BroadcastingList1 = BroadcastingList2 = BroadcastingList3 = _BroadcastingList()
BroadcastingList4 = BroadcastingList5 = BroadcastingList6 = BroadcastingList1


class TracerWarning(Warning):
    """What PyTorch warns with of Python that a trace does not see: a category to filter, of which there are none here.

    Source: https://docs.pytorch.org/docs/stable/jit.html
    """

    __module__ = "retrograd.jit"


def fork(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
    """Call a function, at once; `wait` gives what it has returned.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.jit.fork.html

    Examples
    --------
    >>> import retrograd
    >>> future = retrograd.jit.fork(retrograd.add, retrograd.ones(2), 1)
    >>> retrograd.jit.wait(future)
    tensor([2., 2.])
    """
    future: Future[Any] = Future()
    future.set_result(func(*args, **kwargs))
    return future


def wait(future: Future[Any]) -> Any:
    """What a function that was forked has returned.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.jit.wait.html
    """
    return future.wait()


_fork, _wait = fork, wait


class ScriptFunction:
    """What the compiler would make of a function: there is none, so none of these either."""

    def __new__(cls, *args: object, **kwargs: object) -> ScriptFunction:
        """Refuse, as PyTorch does."""
        raise TypeError("ScriptFunction: No constructor defined!")


class ScriptModule(Module):
    """A `Module`: what PyTorch's is while TorchScript is switched off."""

    def __init__(self, arg: object = None) -> None:
        super().__init__()


def script(
    obj: _T, optimize: object = None, _frames_up: int = 0, _rcb: object = None, example_inputs: object = None
) -> _T:
    """`obj` itself, a function, class or module.

    Examples
    --------
    >>> import retrograd
    >>> @retrograd.jit.script
    ... def halve(x):
    ...     return x / 2
    >>> halve(retrograd.tensor([4.0]))
    tensor([2.])

    Source: https://docs.pytorch.org/docs/stable/generated/torch.jit.script.html
    """
    return obj


def script_method(fn: _F) -> _F:
    """`fn` itself, a method of a `ScriptModule`."""
    return fn


def script_if_tracing(fn: _F) -> _F:
    """`fn` itself: nothing is traced here."""
    return fn


_script_if_tracing = script_if_tracing


def _overload(func: _F) -> _F:
    """`func` itself, a signature for the compiler: what is called is the definition that follows."""
    return func


_overload_method = _overload


def trace(func: _T, example_inputs: object = None, *args: object, **kwargs: object) -> _T:
    """`func` itself, which is not called.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.jit.trace.html
    """
    return func


def trace_module(mod: _T, inputs: object, *args: object, **kwargs: object) -> _T:
    """`mod` itself, which is not called."""
    return mod


def ignore(drop: Any = False, **kwargs: object) -> Any:
    """Mark a function as one that TorchScript leaves to Python: ``@ignore``, ``@ignore()`` or ``@ignore(drop=True)``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.jit.ignore.html
    """
    if callable(drop):
        return _marked(drop, _IGNORE)
    if not builtins.isinstance(drop, bool):
        raise RuntimeError(f"Argument to @retrograd.jit.ignore must be a bool or a function but got {drop}")
    return lambda fn: _marked(fn, _UNUSED if drop else _IGNORE)


def unused(fn: _F) -> _F:
    """Mark a function as one that scripted code does not call."""
    return _marked(fn, _UNUSED)


def export(fn: _F) -> _F:
    """Mark a method as one to compile even if nothing calls it."""
    return _marked(fn, _EXPORT)


def _copy_to_script_wrapper(fn: _F) -> _F:
    """Mark a method as one that a scripted module keeps in Python."""
    return _marked(fn, _COPIED)


def annotate(the_type: object, the_value: _T) -> _T:
    """`the_value`, of whose type TorchScript is told.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.jit.annotate(list[int], [])
    []
    """
    return the_value


def interface(obj: _T) -> _T:
    """Mark a class as an interface.

    Raises
    ------
    RuntimeError
        If `obj` is no class.
    """
    if not builtins.isinstance(obj, type):
        raise RuntimeError("interface must be applied to a class")
    obj.__torch_script_interface__ = True  # type: ignore[attr-defined]
    return obj


def is_scripting() -> bool:
    """False: nothing is compiled by TorchScript."""
    return False


def is_tracing() -> bool:
    """False: nothing is traced."""
    return False


def isinstance(obj: object, target_type: Any) -> bool:
    """Whether `obj` is of a type, whose parts are looked into: ``List[int]``, ``Dict[str, Tensor]``, ``Optional``.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.jit.isinstance([1, 2], list[int]), retrograd.jit.isinstance([1, "2"], list[int])
    (True, False)
    """
    if builtins.isinstance(target_type, tuple):
        return any(isinstance(obj, each) for each in target_type)
    origin, parts = get_origin(target_type), get_args(target_type)
    if origin is None:
        return builtins.isinstance(obj, target_type)
    if origin is dict:
        return builtins.isinstance(obj, dict) and all(
            isinstance(key, parts[0]) and isinstance(value, parts[1]) for key, value in obj.items()
        )
    if origin is list:
        return builtins.isinstance(obj, list) and all(isinstance(each, parts[0]) for each in obj)
    if origin is tuple:
        return builtins.isinstance(obj, tuple) and len(obj) == len(parts) and all(map(isinstance, obj, parts))
    return obj is None or any(isinstance(obj, each) for each in parts)  # Optional, and any other Union


def _marked(fn: _T, modifier: str) -> _T:
    setattr(fn, _MARK, modifier)
    return fn
