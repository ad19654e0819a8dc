"""What a worker prepares while it waits: its next push, and how the answer will look.

It is the worker's side of Note [A step like the one before] in :mod:`~retrograd.distributed.routine`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import zmq

from . import crew
from .calls import Call, Desk
from .errors import ProtocolError
from .gradients import RowFinder
from .incoming import Arrived
from .link import Link
from .messages import Array, Groups, Push, Slice, Weights
from .placement import view
from .protocol import Foreseen, bytes_of, decode, dtype_of
from .shared import Segment
from .transport import Channel

__all__ = ["Draft"]


class Draft:
    """The next push to the only server, whole but for its gradients, as it is if the step is like the last one.

    Parameters
    ----------
    push : Push
        The last one: one message.
    answer : Weights
        What came of it, in one message.
    pieces
        Of each slice that was pushed, the number of its tensor and the slice.
    slices
        Those of the server.
    segment
        Where the weights lie, if the answer says where.
    """

    def __init__(
        self,
        push: Push,
        answer: Weights,
        pieces: Sequence[tuple[int, Slice]],
        slices: Sequence[Slice],
        segment: Segment | None,
    ) -> None:
        self.push, self.answer = Foreseen(push), Foreseen(answer)
        self._came = [slices[slot.index] for slot in answer.tensors if slot.offset < 0]
        self._lent: list[Arrived] = []
        for slot in answer.tensors:
            if slot.offset >= 0:
                assert segment is not None
                self._lent.append((slices[slot.index], segment.array(slot.frames()[0], slot.offset), None))
        self._pieces: list[tuple[int, Slice, np.dtype[Any]]] = [
            (tensor, piece, dtype_of(slot.dtype)) for (tensor, piece), slot in zip(pieces, push.tensors, strict=True)
        ]
        self._tensors = len({tensor for tensor, _ in pieces})
        self._write()

    @classmethod
    def after(
        cls,
        push: Push,
        answer: Weights | None,
        pieces: Sequence[tuple[int, Slice]],
        slices: Sequence[Slice],
        segment: Segment | None,
    ) -> Self | None:
        """The push after this one, unless that cannot be known beforehand."""
        if answer is None or (answer.seq, answer.step, answer.version) != (push.seq, push.step, push.version + 1):
            return None
        slots = (*push.tensors, *answer.tensors)
        if len(pieces) != len(push.tensors) or any(slot.rows >= 0 or slot.codec != "none" for slot in slots):
            return None
        return cls(push, answer, pieces, slices, segment)

    def fill(self, groups: Groups, gradients: Mapping[int, Array], rows: RowFinder) -> list[Array] | None:
        """The slices' gradients, unless the push with them is another than this one."""
        if len(gradients) != self._tensors:
            return None
        arrays = []
        for tensor, piece, dtype in self._pieces:
            gradient = gradients.get(tensor)
            if gradient is None or gradient.dtype != dtype:
                return None
            arrays.append(array := view(gradient, piece))
            if piece.columns and rows.of(tensor << 32 | piece.start, array) is not None:
                return None
        if groups != self.push.message.groups:
            self.push.go_on(groups=groups)
        return arrays

    @property
    def place(self) -> tuple[int, int, int]:
        """The number of the push, its step, and the version of the weights with which it was computed."""
        push = self.push.message
        return push.seq, push.step, push.version

    def laid_down(self, desk: Desk | None, arrays: list[Array], nbytes: int) -> list[Array]:
        """Lay gradients down where the server reads them; those that must be sent."""
        if desk is None:
            return arrays
        places = [(slot.index, array) for slot, array in zip(self.push.message.tensors, arrays, strict=True)]
        crew.each(lambda place: desk.put(*place), places, nbytes)
        return []

    def send(self, link: Link, channel: Channel, arrays: Sequence[Array], call: Call) -> bool:
        """Send the push, foresee the answer, and write the push after this one; whether it has left."""
        push = self.push.message
        try:
            channel.send_frames([self.push.header, *map(bytes_of, arrays)], None)
        except zmq.Again:
            return False
        link.has_said(link.begin(call.deliver(0), call.fail), push, arrays, now=call.began)
        self.answer.go_on(seq=push.seq, step=push.step, version=push.version + 1)
        self._write()
        return True

    def answer_of(self, link: Link, channel: Channel) -> Sequence[Arrived] | None:
        """The weights of the answer, if that comes next and as it was foreseen; else the link has it."""
        frames, now = channel.receive(), time.monotonic()
        # What lies in memory that the server waits for to be read is no case for this.
        arrays = None if self._lent and self.answer.message.awaited else self.answer.read(frames)
        if arrays is None:
            with contextlib.suppress(ProtocolError):
                link.take(*decode(frames), now)
            return None
        link.has_heard(self.answer.message, now)
        return self._lent or [(piece, array, None) for piece, array in zip(self._came, arrays, strict=True)]

    def _write(self) -> None:
        push = self.push.message
        self.push.go_on(seq=push.seq + 1, step=push.step + 1, version=push.version + 1)
