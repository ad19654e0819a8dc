"""Gradients leave for the servers while backward goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import retrograd as rg

from . import bridge
from .client import Client
from .messages import Array

__all__ = ["BUCKET_BYTES", "Departures"]

BUCKET_BYTES = 1 << 20
"""Gradients leave together in buckets of this size at least; what is smaller waits for the step."""


class Departures:
    """Sends each gradient as soon as backward has made it, and at the step what has changed since.

    What leaves is a copy, where it does not lie in shared memory. A second backward before the step, clipping, or
    anything else that touches a gradient makes it another one, which the client notices by its elements: no version
    tells of what is written through ``.data`` or a NumPy array. The server then has only the later one.

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
        self._bucket: dict[int, rg.Tensor] = {}
        self._bytes = 0
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
            self._client.offer(number, bridge.array_of(gradient))
        self._bucket, self._bytes = {}, 0

    def gradients(self, optimizer: str, totals: Mapping[int, rg.Tensor]) -> dict[int, Array]:
        """All gradients of a step, as they are pushed."""
        return {index: bridge.gradient_of(optimizer, total) for index, total in totals.items()}

    def clear(self) -> None:
        """The step is done."""
        self._bucket, self._bytes = {}, 0
