"""`Future`: a value that another thread will set.

Source: https://docs.pytorch.org/docs/stable/futures.html
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Future", "collect_all", "wait_all"]

T = TypeVar("T")
S = TypeVar("S")


class Future(Generic[T]):
    """A value that is not there yet.

    Parameters
    ----------
    devices
        Accepted for PyTorch's sake.

    Examples
    --------
    >>> import retrograd
    >>> future = retrograd.futures.Future()
    >>> twice = future.then(lambda done: 2 * done.value())
    >>> future.set_result(3)
    >>> twice.wait()
    6
    """

    __module__ = "retrograd.futures"

    def __init__(self, *, devices: list[Any] | None = None) -> None:
        self._lock = threading.Condition()
        self._done = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future[T]], Any]] = []

    def done(self) -> bool:
        """Whether it has a value or an error."""
        return self._done

    def wait(self) -> T:
        """The value, when it is there; raises what `set_exception` was given."""
        with self._lock:
            self._lock.wait_for(lambda: self._done)
        return self._value()

    def value(self) -> T:
        """The value of a future that is done; raises what `set_exception` was given."""
        if not self._done:
            raise RuntimeError("value() was called on a Future that is not completed")
        return self._value()

    def _value(self) -> T:
        if self._error is not None:
            raise self._error
        result: T = self._result
        return result

    def then(self, callback: Callable[[Future[T]], S]) -> Future[S]:
        """A future of what `callback` gives, which is called with this one when it is done."""
        following: Future[S] = Future()

        def follow(done: Future[T]) -> None:
            try:
                following.set_result(callback(done))
            except Exception as error:
                following.set_exception(error)

        self.add_done_callback(follow)
        return following

    def add_done_callback(self, callback: Callable[[Future[T]], Any]) -> None:
        """Call `callback` with this future when it is done; now, if it is."""
        with self._lock:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback(self)

    def set_result(self, result: T) -> None:
        """Set the value, once."""
        self._finish(result, None)

    def set_exception(self, result: BaseException) -> None:
        """Set the error that `wait` raises, once."""
        if not isinstance(result, Exception):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._finish(None, result)

    def _finish(self, result: Any, error: BaseException | None) -> None:
        with self._lock:
            if self._done:
                raise RuntimeError(
                    "Attempting to mark a completed Future as complete again. Note that a Future can only be marked "
                    "completed once."
                )
            self._result, self._error, self._done = result, error, True
            callbacks, self._callbacks = self._callbacks, []
            self._lock.notify_all()
        for callback in callbacks:
            callback(self)


def collect_all(futures: list[Future[Any]]) -> Future[list[Future[Any]]]:
    """A future of the list of all, which is done when each of them is.

    Source: https://docs.pytorch.org/docs/stable/futures.html#torch.futures.collect_all
    """
    collected: Future[list[Future[Any]]] = Future()
    waiting, lock = [len(futures)], threading.Lock()

    def count(done: Any) -> None:
        with lock:
            waiting[0] -= 1
            left = waiting[0]
        if left == 0:
            collected.set_result(futures)

    if not futures:
        collected.set_result(futures)
    for each in futures:
        each.add_done_callback(count)
    return collected


def wait_all(futures: list[Future[Any]]) -> list[Any]:
    """The values of all, when they are there.

    Source: https://docs.pytorch.org/docs/stable/futures.html#torch.futures.wait_all
    """
    return [each.wait() for each in collect_all(futures).wait()]
