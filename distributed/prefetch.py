"""Weights that are on their way while the program goes on: whoever looks at a parameter waits for that one alone.

Note [Weights arrive while the program goes on]
    When the first of an answer's messages has come the step is made, and `step()` returns. The other parameters are
    *pending*: instances of a subclass of their class, called the same, in which `_array` is a property (as views become
    instances of another class in Note [Stale views] of `retrograd.autograd.stale`). The first look at its elements, as
    a rule its layer's in the forward pass, waits until they have come and turns the parameter back. So nobody can see
    old weights, ordinary tensors cost nothing, and operators know nothing of it.

    Only of a parameter whose memory nobody else holds can it be known who looks. So one that has views or aliases, or
    whose array has more references than the parameter itself needs, is waited for in `step()`.

    Weights may come twice, where a connection breaks and the server has newer ones by then. What the forward pass has
    used must stay as it is until the backward pass has: such weights are put aside until the next step.
"""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import retrograd as rg

from .bridge import Receiver
from .client import Client
from .errors import DistributedError
from .incoming import Arrived

__all__ = ["Prefetch"]

_slot: Any = rg.Tensor.__dict__["_array"]


class _Pending:
    """What a pending parameter has in place of its class's attributes."""

    __slots__ = ()
    _fresh: type[rg.Tensor]
    _prefetch: Prefetch

    @property
    def _array(self: Any) -> Any:
        self._prefetch.await_memory_of(self)
        return _slot.__get__(self)

    @_array.setter
    def _array(self: Any, array: Any) -> None:
        self._prefetch.await_memory_of(self)
        _slot.__set__(self, array)


class Prefetch:
    """Lets a program go on while weights are on their way.

    Parameters
    ----------
    client : Client
    parameters
        In the order of the tensor table.
    receive : Receiver
        Writes weights into them.
    """

    def __init__(self, client: Client, parameters: Sequence[rg.Tensor], receive: Receiver) -> None:
        self._client, self._parameters, self._receive = client, parameters, receive
        self._class = _pending_class(rg.nn.Parameter, self)
        self._pending: dict[int, int] = {}
        """By identity of the parameter its number."""
        self._put_aside: list[Arrived] = []
        self._is_delivering = False
        self._lock = threading.RLock()
        self.is_busy = False
        """Whether something may be left to `finish`."""

    def begin(self) -> None:
        """Let the program go on without the weights that the client is still getting."""
        client = self._client
        for number, each in enumerate(self._parameters):
            if not client.has(number) and not _is_alone(each):
                client.wait_for(number)
            if client.has(number):
                self._receive.finish(number)
        missing = [number for number in range(len(self._parameters)) if not client.has(number)]
        with self._lock:
            for number in missing:
                parameter: Any = self._parameters[number]
                self._pending[id(parameter)] = number
                parameter.__class__ = self._class
        client.deliver_to(self)
        self.is_busy = True

    def __call__(self, arrived: Sequence[Arrived]) -> None:
        """Take the weights of some slices."""
        with self._lock:
            if not self._client.is_receiving:
                self._catch_up()
                self._receive(arrived)
                return
            pending = [each for each in arrived if id(self._parameters[each[0].tensor]) in self._pending]
            for piece, array, rows in arrived:
                if id(self._parameters[piece.tensor]) not in self._pending:
                    self._put_aside.append((piece, array.copy(), None if rows is None else rows.copy()))
            self._aside(self._receive, pending)

    def _aside(self, write: Callable[..., None], *arguments: object) -> None:
        """Write weights, whatever the program is doing with tensors just now: this is not a part of it."""
        self._is_delivering = True
        try:
            contextvars.Context().run(write, *arguments)
        finally:
            self._is_delivering = False

    def await_memory_of(self, parameter: rg.Tensor) -> None:
        """Wait until the elements of a pending parameter may be looked at; it is pending no more."""
        with self._lock:
            if self._is_delivering:
                return
            number = self._pending.get(id(parameter))
            if number is not None:
                try:
                    self._client.wait_for(number)
                    self._aside(self._receive.finish, number)
                except DistributedError:
                    self._give_up()
                    raise
            self._release(parameter)

    def finish(self) -> None:
        """Wait for all: the next step begins."""
        with self._lock:
            try:
                self._client.wait_for(None)
                self._aside(self._receive.finish)
            finally:
                if not self._client.is_receiving:
                    self._give_up()
                    self._catch_up()
                    self.is_busy = False

    def _catch_up(self) -> None:
        put_aside, self._put_aside = self._put_aside, []
        for each in put_aside:  # one by one: of a slice that came twice the later counts
            self._receive([each])
        self._receive.finish()

    def _give_up(self) -> None:
        """Wait for nothing more."""
        for parameter in self._parameters:
            if id(parameter) in self._pending:
                self._release(parameter)

    def _release(self, parameter: Any) -> None:
        self._pending.pop(id(parameter), None)
        if type(parameter) is self._class:
            parameter.__class__ = rg.nn.Parameter


def _pending_class(cls: Any, prefetch: Prefetch) -> Any:
    names = {"__slots__": (), "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return type(cls)(cls.__name__, (_Pending, cls), {**names, "_fresh": cls, "_prefetch": prefetch})


def _references(holder: Any) -> int:
    array = holder._array
    return sys.getrefcount(array)


class _Holder:
    __slots__ = ("_array",)
    _array: object


_holder = _Holder()
_holder._array = object()
_OWN = _references(_holder)
"""What is counted of an object that nothing but a slot holds."""


def _is_alone(parameter: rg.Tensor) -> bool:
    """Whether nobody but a parameter itself can look into its memory."""
    if type(parameter) is not rg.nn.Parameter or sys.implementation.name != "cpython":
        return False
    meta: Any = parameter._tensor_meta
    storage = None if meta is None else meta.storage
    if storage is not None and any(alias is not parameter for alias in storage.live()):
        return False
    array = parameter._array
    if type(array) is not np.ndarray:
        return True  # elements of other arrays do not change: who holds one has what was
    if array.base is not None:
        return False
    sink = None if parameter._edge is None else getattr(parameter._edge[0], "_array", None)
    known = (storage is not None and storage.array is array) + (sink is array)
    del array, sink
    return _references(parameter) <= _OWN + known
