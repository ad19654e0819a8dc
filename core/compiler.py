"""PyTorch's names for its compiler, under which functions and modules stay what they are.

Nothing is compiled here (the JAX backend compiles operators by itself). What `compile` and its like give is what they
give in PyTorch with ``disable=True``: the very function or module, which runs eagerly to the same results.

Source: https://docs.pytorch.org/docs/stable/torch.compiler_api.html
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, Self, TypeVar

__all__ = [
    "allow_in_graph", "assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable",
    "get_default_backend", "is_compiling", "is_dynamo_compiling", "is_exporting", "list_backends",
    "nested_compile_region", "reset", "set_default_backend", "set_stance", "substitute_in_graph", "wrap_numpy",
]  # fmt: skip

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])


def compile(
    model: Any = None, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = None,
    mode: str | None = None, options: dict[str, Any] | None = None, name: str | None = None, disable: bool = False,
    recompile_limit: int | None = None, isolate_recompiles: bool = False, shapes_spec: Any = None,
) -> Any:  # fmt: skip
    """`model` itself, a function or module; without one, a decorator.

    All options are taken, and change nothing.

    Raises
    ------
    RuntimeError
        If both `mode` and `options` are given.
    AssertionError
        If `model` cannot be called.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.compile.html

    Examples
    --------
    >>> import retrograd
    >>> @retrograd.compile(fullgraph=True)
    ... def halve(x):
    ...     return x / 2
    >>> halve(retrograd.tensor([4.0]))
    tensor([2.])
    """
    if model is None:
        return functools.partial(_compiled, mode=mode, options=options)
    return _compiled(model, mode, options)


def _compiled(model: Any, mode: str | None, options: dict[str, Any] | None) -> Any:
    if model is None:
        raise RuntimeError("Model can't be None")
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if not callable(model):
        raise AssertionError(f"A callable function is expected, but {type(model)} is provided.")
    return model


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """`fn` itself, which is not compiled anyway; without one, a decorator.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.compiler.disable.html

    Examples
    --------
    >>> import retrograd
    >>> @retrograd.compiler.disable(recursive=False)
    ... def one():
    ...     return 1
    >>> one()
    1
    """
    return _itself if fn is None else fn


def _itself(fn: _T) -> _T:
    return fn


def is_compiling() -> bool:
    """False: nothing is compiled.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.compiler.is_compiling.html
    """
    return False


def is_dynamo_compiling() -> bool:
    """False."""
    return False


def is_exporting() -> bool:
    """False: nothing is exported."""
    return False


def allow_in_graph(fn: _T) -> _T:
    """`fn` itself, a function or a list of them.

    Raises
    ------
    AssertionError
        If it cannot be called.
    """
    if isinstance(fn, (list, tuple)):
        return [allow_in_graph(each) for each in fn]  # type: ignore[return-value]
    if not callable(fn):
        raise AssertionError("allow_in_graph expects a callable")
    return fn


def assume_constant_result(fn: _F) -> _F:
    """`fn` itself."""
    return fn


def substitute_in_graph(
    original_fn: Callable[..., Any], *, can_constant_fold_through: bool = False, skip_signature_check: bool = False
) -> Callable[[_F], _F]:
    """A decorator that gives back the substitute, of which nothing makes use."""
    return _itself


def nested_compile_region(fn: Any = None, **options: Any) -> Any:
    """`fn` itself; without one, a decorator."""
    return _itself if fn is None else fn


def reset() -> None:
    """Nothing: there is nothing compiled to forget.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.compiler.reset.html
    """


def cudagraph_mark_step_begin() -> None:
    """Nothing: there are no CUDA graphs."""


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """No compilers: an empty list."""
    return []


_default: list[Any] = ["inductor"]


def get_default_backend() -> Any:
    """What `set_default_backend` has set, and nothing uses; `"inductor"` at first, as in PyTorch."""
    return _default[0]


def set_default_backend(backend: Any) -> None:
    """Set the backend that `compile` would use; None for the first."""
    _default[0] = "inductor" if backend is None else backend


class set_stance(contextlib.ContextDecorator):  # PyTorch's name
    """Say how calls of compiled functions should behave: as a function, context manager or decorator.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.compiler.set_stance.html
    """

    def __init__(
        self, stance: str = "default", *, skip_guard_eval_unsafe: bool = False, force_backend: Any = None
    ) -> None:
        self.stance = stance

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass


def wrap_numpy(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors made of one of NumPy's arrays, which cannot be differentiated.

    Examples
    --------
    >>> import numpy, retrograd
    >>> retrograd.compiler.wrap_numpy(numpy.sort)(retrograd.tensor([2.0, 1.0]))
    tensor([1., 2.])
    """
    from retrograd.ops.creation import as_tensor
    from retrograd.tensor import Tensor

    @functools.wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        given = [each.numpy() if isinstance(each, Tensor) else each for each in args]
        named = {name: each.numpy() if isinstance(each, Tensor) else each for name, each in kwargs.items()}
        made = fn(*given, **named)
        return tuple(map(as_tensor, made)) if isinstance(made, tuple) else as_tensor(made)

    return wrapped
