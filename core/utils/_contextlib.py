"""Context managers that are decorators for functions of every kind; packages derive their own from them."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

__all__: list[str] = []

F = TypeVar("F", bound=Callable[..., Any])


class _DecoratorContextManager:
    """A context manager that is a decorator.

    It wraps generators and coroutines so that the context holds while their body runs and only then.
    """

    __slots__ = ()

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, *exc_info: object) -> Any:
        raise NotImplementedError

    def clone(self) -> _DecoratorContextManager:
        """The context of one call: another one of the class, made without arguments unless a subclass says how."""
        return type(self)()

    def __call__(self, function: F) -> F:
        if inspect.isclass(function):
            warnings.warn(
                "Decorating classes is deprecated and will be disabled in future versions. You should only decorate "
                "functions or methods. To preserve the current behavior of class decoration, you can directly decorate "
                "the `__init__` method and nothing else.",
                FutureWarning,
                stacklevel=2,
            )
            return self(lambda *args, **kwargs: function(*args, **kwargs))  # type: ignore[return-value]
        if inspect.isgeneratorfunction(function):
            return _wrap_generator(self.clone, function)
        if inspect.isasyncgenfunction(function):
            return _wrap_async_generator(self.clone, function)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                with self.clone():
                    return await function(*args, **kwargs)

            return coroutine  # type: ignore[return-value]

        @functools.wraps(function)
        def decorated(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return decorated  # type: ignore[return-value]


class _NoParamDecoratorContextManager(_DecoratorContextManager):
    """One that is made without arguments, so that a decorator needs no parentheses."""

    def __new__(cls, orig_func: Any = None) -> Any:
        made = super().__new__(cls)
        return made if orig_func is None else made(orig_func)


def _wrap_generator(context: Callable[[], _DecoratorContextManager], function: Callable[..., Any]) -> Any:
    """Run each step of a generator in `context`, and the code between the steps outside of it."""

    @functools.wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Any:
        running = function(*args, **kwargs)
        try:
            with context():
                value = next(running)
            while True:
                try:
                    sent = yield value
                except GeneratorExit:
                    with context():
                        running.close()
                    raise
                except BaseException as error:
                    with context():
                        value = running.throw(error)
                else:
                    with context():
                        value = running.send(sent)
        except StopIteration as stop:
            return stop.value

    return generator


def _wrap_async_generator(context: Callable[[], _DecoratorContextManager], function: Callable[..., Any]) -> Any:
    """The same for an asynchronous generator."""

    @functools.wraps(function)
    async def generator(*args: Any, **kwargs: Any) -> Any:
        running = function(*args, **kwargs)
        try:
            with context():
                value = await anext(running)
            while True:
                try:
                    sent = yield value
                except GeneratorExit:
                    with context():
                        await running.aclose()
                    raise
                except BaseException as error:
                    with context():
                        value = await running.athrow(error)
                else:
                    with context():
                        value = await running.asend(sent)
        except StopAsyncIteration:
            return

    return generator
