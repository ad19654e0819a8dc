"""Gradients leave for the servers while backward goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import retrograd as rg

from . import bridge
from .client import Client
from .messages import Array

__all__ = ["BUCKET_BYTES", "Departures"]

BUCKET_BYTES = 1 << 20
"""Gradients leave together in buckets of this size at least; what is smaller waits for the step."""


class _Left(NamedTuple):
    """A gradient that has left, as it was then."""

    gradient: rg.Tensor  # held, so that no other tensor can have its identity
    version: int
    state: int


class Departures:
    """Sends each gradient as soon as backward has made it, and at the step what has changed since.

    A second backward before the step, clipping, or anything else that touches a gradient makes it another one,
    which is noticed by the tensor and its version; the server then has only the later one.

    Parameters
    ----------
    client : Client
    parameters
        In the order of the tensor table.
    early : bool
        Whether anything leaves before the step.
    """

    def __init__(self, client: Client, parameters: Sequence[rg.Tensor], *, early: bool) -> None:
        self._client = client
        self._left: dict[int, _Left] = {}
        self._bucket: dict[int, rg.Tensor] = {}
        self._bytes = 0
        self._states = 0
        size = sum(bridge.array_of(p).nbytes for p in parameters)
        # Compressed gradients keep a remainder that is right only if each is encoded once.
        if early and size > BUCKET_BYTES and client.compression is None:
            for index, p in enumerate(parameters):
                if p.requires_grad:
                    p.register_post_accumulate_grad_hook(partial(self._depart, index))

    def _depart(self, index: int, p: rg.Tensor) -> None:
        if p.grad is None or p.grad.is_sparse:  # which changes its form before it leaves
            return
        self._bytes += p.grad.nbytes if index not in self._bucket else 0
        self._bucket[index] = p.grad
        if self._bytes < BUCKET_BYTES:
            return
        for number, gradient in self._bucket.items():
            self._states += 1
            self._left[number] = _Left(gradient, gradient._version, self._states)
            self._client.offer(number, bridge.array_of(gradient), self._states)
        self._bucket, self._bytes = {}, 0

    def remaining(self, gradients: Mapping[int, rg.Tensor]) -> dict[int, tuple[Array, int]]:
        """All gradients of a step; those that have left as they are now, with the state they left in, else -1."""
        return {
            index: (bridge.array_of(gradient), self._state(index, gradient)) for index, gradient in gradients.items()
        }

    def _state(self, index: int, gradient: rg.Tensor) -> int:
        left = self._left.get(index)
        return left.state if left and left.gradient is gradient and left.version == gradient._version else -1

    def clear(self) -> None:
        """The step is done."""
        self._left.clear()
        self._bucket, self._bytes = {}, 0
