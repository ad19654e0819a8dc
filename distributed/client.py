"""A worker's side of the conversation with all servers: calls that talk, and a thread that keeps it alive.

The client moves arrays and numbers and knows nothing of tensors, which is
:class:`~retrograd.distributed.optimizer.ServerOptimizer`'s part.

Notes
-----
Note [Who talks]
    The program's thread sends what it asks and receives what it waits for by itself: to hand either to another
    thread and back takes longer than a small step. While it computes, ZeroMQ's own threads carry the bytes, and
    the client's thread beats the heart, sends what ZeroMQ did not take at once, and says again what is lost. The
    sockets belong to whoever holds the lock.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np
import zmq

from . import farewell, messages, protocol, transport
from .allocator import keep_freed_memory
from .calls import BegunPush, Call, Desk, HeartbeatLine, Rejoined
from .compression import Codec, codec_for
from .draft import Draft
from .environment import Environment
from .errors import DistributedError, ProtocolError, Refused
from .failpoints import failpoint
from .gradients import RowFinder
from .incoming import Arrived, Incoming
from .link import Link, Request
from .messages import Array, FrameSpec, Groups, Message, Report, Slice, Slot, TensorSpec
from .outbox import parts_of
from .placement import cut, fitting_slice_bytes, place as place_slices, view
from .security import ClientKeys
from .shared import Segment, host_name

__all__ = ["Client", "Deliver"]

log = logging.getLogger("retrograd.distributed.client")

HEARTBEAT = 0.5
"""Seconds between two heartbeats. A peer is given up after many of them (``RETROGRAD_TIMEOUT``)."""

_TICK = 0.1  # seconds between looks at the clock when nothing arrives
_BLOCKED = 0.002  # the same, while ZeroMQ does not take what is to be sent
_MOST_CHASES = 100  # attempts at the weights of one step, while others go on making steps

Deliver: TypeAlias = Callable[[Sequence[Arrived]], None]
"""Takes the weights of some slices, in the program's thread."""


class Client:
    """The connections of a worker to the servers of a run.

    Parameters
    ----------
    place : Environment
        Which rank of which run this is, and where the servers listen.
    report : callable
        Gives the worker's :class:`~retrograd.distributed.messages.Report` at any moment, in any thread.

    Raises
    ------
    ServerLost
        When a server does not answer in time.
    Refused
        When a server belongs to another run, or the rank is taken.
    """

    def __init__(self, place: Environment, report: Callable[[], Report] = Report) -> None:
        self.place = place
        self.step = 0
        """Steps completed."""
        self.version: dict[int, int] = {}
        """Updates that are in the weights, by server."""
        self._steps: dict[int, int] = {}
        """The step that the weights are of, by server."""
        self.initialized = False
        self.waited = 0.0
        """Seconds spent on waiting for answers."""
        self.bytes_sent = self.bytes_raw = 0
        """Bytes that gradients took on their way, and those that they would have taken as they were."""
        self.rejoined = 0
        """How often this worker was given up, and came back."""
        self.layout: list[list[tuple[int, int, Slice]]] = []
        """Of each tensor its slices, as (server, index there, slice)."""
        self.compression: Codec | None = None
        self._desks: dict[int, Desk] = {}
        """Where gradients lie for servers on this machine."""
        self._segments: dict[int, Segment] = {}
        """Where servers on this machine have their weights."""
        self._report = report
        self._kept: dict[int, tuple[Sequence[messages.Entry], list[Array]]] = {}
        self._released = 0
        """The step at which the last barrier opened."""
        self._rows = RowFinder()
        self._incoming: dict[int, Incoming] = {}
        """What has come of the weights that were asked for last, by server."""
        self._receiving: Call | None = None
        """A push whose weights come while the program goes on."""
        self._is_torn = False
        """Whether the weights that the program computes with are of two times, of which one is gone."""
        self._push: BegunPush | None = None
        self._answer: messages.Weights | None = None
        """The last one, if it was one message."""
        self._draft: Draft | None = None
        """The next push, as far as it is known."""
        self._deliver: Deliver = _ignore
        self._training: tuple[str, Groups, tuple[TensorSpec, ...]] | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._lock = threading.RLock()
        """Held by whoever touches a link or a socket; see Note [Who talks]."""
        self._waiting: Call | None = None
        self._wake = threading.Event()
        """Has the client's thread look at once."""
        self._stopping = False
        keep_freed_memory()
        now = time.monotonic()
        incarnation, host = _number(), host_name()
        try:
            self.links = [Link(place, shard, incarnation, host, now) for shard in range(len(place.servers))]
            self.channels = [self._connect(address) for address in place.servers]
            self._pulses = [HeartbeatLine(self._connect(each.address), each, now) for each in self.channels]
            self._watch = transport.Watch([*self.channels, *(pulse.channel for pulse in self._pulses)])
        except BaseException:
            self._destroy()
            raise
        self._thread = threading.Thread(target=self._run, name="retrograd-client", daemon=True)
        self._thread.start()
        try:
            self._await_welcomes()
        except BaseException as error:
            self._leave(str(error), withdrawn=True)
            raise

    def _connect(self, address: str) -> transport.Channel:
        keys = ClientKeys.read(self.place.keys, "worker", self.place.rank) if self.place.keys else None
        return transport.connect(self._context, address, keys)

    # ---- what the program asks -------------------------------------------------------------------------------

    def initialize(
        self,
        optimizer: str,
        groups: Groups,
        table: Sequence[TensorSpec],
        weights: Sequence[Array],
        deliver: Deliver,
    ) -> None:
        """Agree on what is trained, and get rank 0's weights; only rank 0's `weights` are sent."""
        self._training = optimizer, groups, tuple(table)
        shares: list[list[Slice]] = [[] for _ in self.links]
        welcomes = self._await_welcomes()
        if self.place.rank == 0 and not all(each.initialized for each in welcomes):
            size = welcomes[0].slice_bytes or fitting_slice_bytes(table, len(self.links))
            shares = place_slices(cut(table, size, optimizer), table, len(self.links))
        call = self._call()
        for link, share, welcome in zip(self.links, shares, welcomes, strict=True):
            first = self.place.rank == 0 and not welcome.initialized
            arrays = [view(np.ascontiguousarray(weights[each.tensor]), each) for each in share] if first else []
            self._init(link, call, tuple(share) if first else (), arrays, first)
        self._deliver = deliver
        self._settle_weights(call)
        if (codec := welcomes[0].compression) != "none":
            self.compression = codec_for(codec, seed=self.place.rank)
        self.initialized = True

    def offer(self, tensor: int, gradient: Array) -> None:
        """Let a gradient leave before its step is over, as it is now: :meth:`push` sends again what has changed."""
        push = self._begun()
        slots: dict[int, tuple[list[Slot], list[Array]]] = {}
        for shard, index, piece in self.layout[tensor]:
            some, several = slots.setdefault(shard, ([], []))
            slot, arrays = self._slot(shard, index, piece, view(gradient, piece))
            some.append(slot)
            several.extend(push.keep((shard, index), slot, arrays, self._desks.get(shard)))
        for shard, (some, several) in slots.items():
            self._send_part(push, shard, some, several)

    def push(
        self,
        groups: Groups,
        gradients: dict[int, Array],
        deliver: Deliver,
        *,
        early: bool = False,
    ) -> int:
        """Send this step's gradients, and get the weights that the run's consistency allows; the step now done.

        The gradients' memory may be written again once this returns: the servers have received all of it.

        Parameters
        ----------
        groups
            The optimizer's hyperparameters.
        gradients
            By number of the tensor, also those that have left already.
        deliver
            Takes the new weights.
        early
            Whether to return when the first of them have come. The others are taken by `wait_for`.
        """
        if self._receiving is not None:
            self.wait_for(None)
        if self._is_torn:
            # As if this worker had been given up while it waited in here: these gradients are in nothing.
            self._is_torn = False
            self._give_up_begun()
            return self.step
        failpoint("worker.before_push", self.place.rank)
        self._deliver = deliver
        if (call := self._push_draft(groups, gradients)) is not None:
            if call.missing:
                self._settle_weights(call)
            return self.step
        push = self._begun()
        queued: list[list[tuple[Slot, list[Array]]]] = [[] for _ in self.links]
        present: list[list[int]] = [[] for _ in self.links]
        changed = push.changed(gradients, self.layout)
        for tensor, gradient in gradients.items():
            for shard, index, piece in self.layout[tensor]:
                present[shard].append(index)
                if (shard, index) in changed:
                    queued[shard].append(self._slot(shard, index, piece, view(gradient, piece)))
        for link in self.links:
            self._send_rest(push, link.shard, queued[link.shard], tuple(present[link.shard]), groups)
        self._push = None
        self._settle_weights(push.call, push.requests if early else ())
        said = push.requests[0].messages
        if self._receiving is None and len(self.links) == 1 and push.parts == [1] and not self.compression and said:
            pieces = [(tensor, piece) for tensor in gradients for _, _, piece in self.layout[tensor]]
            segment, slices = self._segments.get(0), self.links[0].slices
            self._draft = Draft.after(cast(messages.Push, said[0][0]), self._answer, pieces, slices, segment)
        return self.step

    def _push_draft(self, groups: Groups, gradients: Mapping[int, Array]) -> Call | None:
        """Send this step's push as it was written beforehand, and take the answer if it comes as it was foreseen.

        Else the call misses its answer still; ``None``, and nothing is sent, if the push is another one.
        """
        draft, link, channel = self._draft, self.links[0], self.channels[0]
        if draft is None or self._push is not None or (arrays := draft.fill(groups, gradients, self._rows)) is None:
            return None
        size, call = sum([each.nbytes for each in arrays]), self._call()
        arrays = draft.laid_down(self._desks.get(0), arrays, size)
        with self._lock:
            if not link.is_clear or draft.place != (link.seq + 1, self.step + 1, self.version[0]):
                return None
            if not draft.send(link, channel, arrays, call):
                return None
            self.bytes_raw += size
            self.bytes_sent += size if arrays else 0
            failpoint("worker.after_push", self.place.rank)
            # Else the heart must beat, or nothing comes for long, which the ordinary way sees to.
            is_time = time.monotonic() - self._pulses[0].asked <= HEARTBEAT and self._watch.wait(_TICK) == [channel]
            weights = draft.answer_of(link, channel) if is_time else None
        if weights is None:
            call.missing = 1
            return call
        self._deliver(weights)
        self._is_at(0, draft.answer.message)
        self.waited += link.heard - call.began
        return call

    @property
    def is_receiving(self) -> bool:
        """Whether weights are on their way while the program goes on."""
        return self._receiving is not None

    def has(self, tensor: int) -> bool:
        """Whether all of a tensor's weights have come that were asked for last."""
        return all(
            (come := self._incoming.get(shard)) is not None and index < come.reached
            for shard, index, _ in self.layout[tensor]
        )

    def wait_for(self, tensor: int | None) -> None:
        """Take weights that are on their way until those of a tensor have come; without one, all."""
        if (call := self._receiving) is None:
            return
        try:
            self._listen(call, None if tensor is None else partial(self.has, tensor))
            if not call.missing:
                self._catch_up()
                self._receiving = None
        except DistributedError:
            self._receiving = None
            raise

    def deliver_to(self, deliver: Deliver) -> None:
        """Hand on weights that come from now on to somebody else."""
        self._deliver = deliver

    def pull(self, deliver: Deliver) -> None:
        """Get the weights that the run's consistency allows now."""
        call = self._call()
        self._give_up_begun()
        for link in self.links:
            self._ask(link, call, partial(messages.Pull, step=self.step, shared=True))
        self._deliver = deliver
        self._settle_weights(call)

    def barrier(self) -> None:
        """Wait until every worker is here."""
        call = self._call()
        self._give_up_begun()
        self._ask(self.links[0], call, messages.Barrier)
        if not self._settle(call, 1):
            self.barrier()
        elif self._released > self.step:
            self.step = self._released
            self.pull(self._deliver)

    def fetch(self) -> list[tuple[Slice, messages.Entry, Array | None]]:
        """What the servers' optimizers keep, by slice."""
        call = self._call()
        self._give_up_begun()
        for link in self.links:
            self._ask(link, call, messages.Fetch)
        self._kept.clear()
        self._settle(call, len(self.links))
        found = []
        for shard, (entries, arrays) in sorted(self._kept.items()):
            came = iter(arrays)
            for each in entries:
                array = None if each.dtype is None else next(came)
                found.append((self.links[shard].slices[each.index], each, array))
        return found

    def load(self, entries: Sequence[tuple[int, messages.Entry, Array | None]]) -> None:
        """Set what the servers' optimizers keep: for each entry the server's number, and its array if it has one."""
        call = self._call()
        self._give_up_begun()
        for link in self.links:
            mine = [(each, array) for shard, each, array in entries if shard == link.shard]
            arrays = [array for _, array in mine if array is not None]
            self._ask(link, call, partial(messages.Load, entries=tuple(each for each, _ in mine)), arrays)
        self._settle(call, len(self.links))

    def close(self, error: str | None = None, *, say_goodbye: bool = True) -> None:
        """Say goodbye, in peace or with the `error` that ends this worker, and end the thread."""
        if self._stopping:
            return
        if self._receiving is not None and error is None:
            try:
                self.wait_for(None)
            finally:
                self._receiving = None
                self.close(error, say_goodbye=say_goodbye)
            return
        self._leave(error, say_goodbye=say_goodbye)

    def _leave(self, error: str | None, *, say_goodbye: bool = True, withdrawn: bool = False) -> None:
        self._stopping = True  # also ends a call that another thread waits in
        with self._lock:
            if say_goodbye:
                self._flush()
                bye = messages.Bye(error and error[:10_000], self._report(), withdrawn)
                farewell.say_goodbye(zip(self.links, self.channels, strict=True), bye)
            self._destroy()
        self._wake.set()
        self._thread.join(_TICK + 3)

    # ---- pushing -------------------------------------------------------------------------------------------

    def _begun(self) -> BegunPush:
        if self._push is None:
            call = self._call()
            with self._lock:
                # One number for all: by it the servers know that what they have are parts of one push.
                seq = 1 + max(link.seq for link in self.links)
                requests = [link.begin(call.deliver(link.shard), call.fail, seq) for link in self.links]
            self._push = BegunPush(requests, call, [0] * len(self.links))
        return self._push

    def _give_up_begun(self) -> None:
        """Another request comes before the end of a push that has begun: the push begins anew, later."""
        if self._push is not None:
            with self._lock:
                for link, request in zip(self.links, self._push.requests, strict=True):
                    link.drop(request)
            self._push = None

    def _slot(self, shard: int, index: int, piece: Slice, gradient: Array) -> tuple[Slot, list[Array]]:
        name = protocol.name_of(gradient)
        self.bytes_raw += gradient.nbytes
        if self.compression is not None and gradient.dtype.kind == "f":
            encoded = self.compression.encode(shard << 32 | index, gradient)
            slot = Slot(index, name, piece.shape, codec=self.compression.name, numbers=encoded.numbers)
            return slot, list(encoded.frames)
        if piece.columns and (rows := self._rows.of(piece.tensor << 32 | piece.start, gradient)) is not None:
            return Slot(index, name, piece.shape, rows=len(rows)), [rows, gradient[rows]]
        if (desk := self._desks.get(shard)) is not None:
            return Slot(index, name, piece.shape, desk.put(index, gradient)), []
        return Slot(index, name, piece.shape), [gradient]

    def _send_rest(
        self,
        push: BegunPush,
        shard: int,
        queued: Sequence[tuple[Slot, list[Array]]],
        present: tuple[int, ...],
        groups: Groups,
    ) -> None:
        parts = list(parts_of([slot for slot, _ in queued], [array for _, arrays in queued for array in arrays]))
        for some, several in parts[:-1]:
            self._send_part(push, shard, some, several)
        some, several = parts[-1]
        self._send_part(push, shard, some, several, present=present, groups=groups, last=True)

    def _send_part(
        self,
        push: BegunPush,
        shard: int,
        slots: Sequence[Slot],
        arrays: Sequence[Array],
        *,
        present: tuple[int, ...] = (),
        groups: Groups = (),
        last: bool = False,
    ) -> None:
        part = push.parts[shard]
        push.parts[shard] += 1
        self.bytes_sent += sum(array.nbytes for array in arrays)
        request = push.requests[shard]
        message = messages.Push(
            tuple(slots),
            request.seq,
            self.step + 1,
            part,
            part + 1 if last else 0,
            self.version.get(shard, 0),
            groups,
            present,
            shared=shard in self._desks,
            segment=self._desks[shard].segment.handle if any(slot.offset >= 0 for slot in slots) else None,
        )
        self._say(self.links[shard], request, message, arrays)

    # ---- asking --------------------------------------------------------------------------------------------

    def _call(self) -> Call:
        if self._receiving is not None:
            self.wait_for(None)
        return Call(began=time.monotonic())

    def _ask(self, link: Link, call: Call, make: Callable[[int], Message], arrays: Sequence[Array] = ()) -> None:
        with self._lock:
            request = link.begin(call.deliver(link.shard), call.fail)
            self._say(link, request, make(request.seq), arrays)

    def _say(self, link: Link, request: Request, message: Message, arrays: Sequence[Array]) -> None:
        with self._lock:
            link.say(request, message, arrays, now=time.monotonic())
            self._flush()
        if self._is_blocked():
            self._wake.set()

    def _init(self, link: Link, call: Call, slices: tuple[Slice, ...], arrays: Sequence[Array], weights: bool) -> None:
        assert self._training is not None
        optimizer, groups, table = self._training
        self._ask(link, call, lambda seq: messages.Init(seq, optimizer, groups, table, slices, weights, True), arrays)

    def _settle_weights(self, call: Call, early: Sequence[Request] = ()) -> None:
        """Wait for the weights of all servers; of the requests `early` for the first of them alone."""
        call.missing = len(self.links)
        self._incoming.clear()
        self._listen(call, self._has_begun if early else None)
        if not call.missing:
            self._catch_up()
            return
        self._receiving, self.step = call, self._incoming[0].step
        with self._lock:
            for link, request in zip(self.links, early, strict=True):
                link.note_made(request)

    def _has_begun(self) -> bool:
        """Whether weights have come of all servers, and are of one step: it is made, whatever happens to the others."""
        come = [self._incoming.get(link.shard) for link in self.links]
        return None not in come and len({each.step for each in come if each is not None}) == 1

    def _catch_up(self) -> None:
        """See that the weights of all servers are of one step.

        Where a step is made without this worker (it was late, or has just come), servers may answer before and after.
        """
        for _ in range(_MOST_CHASES if len(self.links) > 1 else 0):
            newest = max(self._steps.values())
            behind = [link for link in self.links if self._steps[link.shard] < newest]
            if not behind:
                return
            call = Call()
            for link in behind:
                self._ask(link, call, partial(messages.Pull, step=newest, shared=True))
            self._settle(call, len(behind))

    def _settle(self, call: Call, servers: int) -> bool:
        """Wait for all answers to a call, handing on weights as they come.

        Whether they are answers to it: if this worker was given up in between, it has got a new life's weights
        instead, and what it asked for has come to nothing.
        """
        call.missing = servers
        self._incoming.clear()
        self._listen(call)
        return call.as_asked

    def _listen(self, call: Call, is_enough: Callable[[], bool] | None = None) -> None:
        """Take what comes of a call, until that is all or, before, `is_enough`."""
        call.began = time.monotonic()
        self._waiting = call
        try:
            while call.missing or not self._is_over(call):
                if is_enough is not None and call.missing and is_enough():
                    return
                shard, message, arrays = self._next(call)
                if isinstance(message, DistributedError):
                    raise message
                if isinstance(message, Rejoined):
                    call.as_asked = call.as_asked and not call.missing
                    call.missing = len(self.links)
                    self._expect_weights()
                else:
                    call.missing -= self._take(shard, message, arrays)
        finally:
            self._waiting = None
            self.waited += time.monotonic() - call.began

    def _is_over(self, call: Call) -> bool:
        """Whether nothing more comes of a call whose answers are here: it may have led to joining again meanwhile."""
        with self._lock:
            if not call.inbox:
                self._waiting = None
            return self._waiting is None

    def _next(self, call: Call) -> tuple[int, Any, list[Array]]:
        """The next thing that comes of a call. The lock is free again while it is dealt with."""
        with self._lock:
            while not call.inbox:
                if self._stopping:
                    raise DistributedError(f"worker {self.place.rank} has closed its connections")
                self._turn(_TICK)
            return call.inbox.popleft()

    def _take(self, shard: int, message: Any, arrays: list[Array]) -> int:
        """Take an answer; 1 if it was the last of its server's, else 0."""
        if isinstance(message, messages.Weights):
            return self._take_weights(shard, message, arrays)
        if isinstance(message, messages.Ready):
            self._take_ready(shard, message)
            return 0  # the weights follow
        if isinstance(message, messages.Kept):
            self._kept[shard] = message.entries, arrays
        elif isinstance(message, messages.Released):
            self._released = message.step
        return 1

    def _take_ready(self, shard: int, ready: messages.Ready) -> None:
        if shard == 0:
            self.step = ready.step
        if all(link.joined for link in self.links):
            assert self._training is not None
            table = self._training[2]
            self.layout = [[] for _ in table]
            self._desks, self._draft = {}, None
            for link in self.links:
                for index, piece in enumerate(link.slices):
                    self.layout[piece.tensor].append((link.shard, index, piece))
                frames = [FrameSpec(table[piece.tensor].dtype, piece.shape) for piece in link.slices]
                shares = link.welcome is not None and link.welcome.shared
                if shares and (desk := Desk.of(frames)) is not None:
                    self._desks[link.shard] = desk

    def _take_weights(self, shard: int, message: messages.Weights, arrays: list[Array]) -> int:
        """Hand on a part of the weights; 1 if it was the last of its server's."""
        if message.segment is not None and not self._opens(shard, message.segment):
            self._say_landed(shard, message)
            self._ask(self.links[shard], self._waiting or Call(), partial(messages.Pull, step=message.step))
            return 0
        slices, arrived = self.links[shard].slices, []
        for slot, array, rows in self._contents(shard, message, arrays):
            if slot.index >= len(slices) or slices[slot.index].shape != slot.shape:
                raise ProtocolError(
                    f"server {shard} sends slice {slot.index} of shape {slot.shape}, which it does not own"
                )
            arrived.append((slices[slot.index], array, rows))
        self._deliver(arrived)
        if message.segment is not None and message.awaited:
            self._say_landed(shard, message)
        if not self._note(shard, message):
            return 0
        self._is_at(shard, message)
        return 1

    def _is_at(self, shard: int, message: messages.Weights) -> None:
        """All weights of an answer have come, of which this is the last message."""
        self.version[shard], self._steps[shard] = message.version, message.step
        self._answer = message if message.parts == 1 else None
        if shard == 0:
            self.step = message.step

    def _note(self, shard: int, message: messages.Weights) -> bool:
        """Note that a part of the weights has come; whether it was the last."""
        come = self._incoming.get(shard)
        if come is None or come.version != message.version:
            self._is_torn |= self._receiving is not None and come is not None and message.version < come.version
            come = self._incoming[shard] = Incoming(message.version, message.step)
        return come.note(message)

    def _contents(
        self, shard: int, message: messages.Weights, arrays: Sequence[Array]
    ) -> Iterator[tuple[Slot, Array, Array | None]]:
        """Each slot of a message with its array, which came with it or lies in the server's shared memory."""
        came = iter(arrays)
        for slot in message.tensors:
            if slot.offset >= 0 and message.segment is not None:
                yield slot, self._segments[shard].array(slot.frames()[0], slot.offset), None
            elif slot.rows >= 0:
                rows = next(came)
                yield slot, next(came), rows
            else:
                yield slot, next(came), None

    def _say_landed(self, shard: int, message: messages.Weights) -> None:
        """Let the server write again where the weights lie that it has shown us."""
        with self._lock:
            self.links[shard].outgoing.append((messages.Landed(message.seq), ()))
            self._flush()

    def _opens(self, shard: int, handle: messages.SharedSegment) -> bool:
        """Whether the server's memory can be read: it has died, perhaps, or its system does not let us."""
        if shard in self._segments and self._segments[shard].handle == handle:
            return True
        try:
            self._segments[shard] = Segment.open(handle)
        except ProtocolError as error:
            log.info("weights must be sent, since %s", error)
            return False
        return True

    def _expect_weights(self) -> None:
        """What comes next are the weights of a new life."""
        log.warning("worker %d has joined again, with the weights that the servers have now", self.place.rank)
        self._incoming.clear()
        self._is_torn = self._is_torn or self._receiving is not None
        self.rejoined += 1
        if self.compression is not None:
            self.compression.reset()

    def _await_welcomes(self) -> list[messages.Welcome]:
        """What the servers have answered to HELLO."""
        with self._lock:
            self._waiting = Call(began=time.monotonic())
            try:
                while not all(welcomes := [link.welcome for link in self.links]):
                    for link in self.links:
                        if link.failure is not None:
                            raise link.failure
                    self._turn(_TICK)
            finally:
                self._waiting = None
        return [each for each in welcomes if each is not None]

    # ---- talking -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """The client's thread: what must be done while the program computes."""
        while not self._stopping:
            self._wake.wait(_BLOCKED if self._is_blocked() else _TICK)
            self._wake.clear()
            # While the program's thread waits for an answer it holds the lock, and does all this itself.
            if not self._stopping and self._lock.acquire(blocking=False):
                try:
                    self._turn(0)
                except Exception as error:
                    failure = DistributedError(f"the client's thread failed: {type(error).__name__}: {error}")
                    for link in self.links:
                        link.fail(failure)
                    return
                finally:
                    self._lock.release()

    def _turn(self, timeout: float) -> None:
        """Send what is to be sent, hear what has come, waiting up to `timeout` seconds for it, and see to the time."""
        self._flush()
        ready = self._watch.wait(min(timeout, _BLOCKED) if self._is_blocked() else timeout)
        now, waiting = time.monotonic(), self._waiting
        for link, channel, pulse in zip(self.links, self.channels, self._pulses, strict=True):
            if channel in ready:
                for message, arrays in channel.messages():
                    link.take(message, arrays, now)
            if pulse.channel in ready:
                pulse.hearing.heard(now)
                for message, _ in pulse.channel.messages():
                    link.take_pulse(message, pulse.asked, now)
            channel.follow_lane(None if link.welcome is None else link.welcome.lane)
            link.tick(now, waiting_since=None if waiting is None else waiting.began)
            if now - pulse.asked > HEARTBEAT:
                self._beat(link, channel, pulse, now)
        # Only while the program waits for something: it must take the new weights.
        if waiting is not None and any(link.must_join for link in self.links):
            self._rejoin(waiting, now)

    def _beat(self, link: Link, channel: transport.Channel, pulse: HeartbeatLine, now: float) -> None:
        pulse.asked = now
        with contextlib.suppress(zmq.Again):  # not connected: the silence speaks for itself
            pulse.channel.send(messages.Heartbeat(self.place.rank, link.incarnation, self._report()))
        patience = self.place.timeout if link.boot else 0.0
        for each in (channel, pulse.channel):  # asking also mends a connection that ZeroMQ has given up
            if (text := each.refusal(patience)) is not None and link.failure is None:
                link.fail(Refused(text))
        pulse.hearing.look(now)
        if moving := channel.is_moving():
            link.moving(now)
        if link.welcome is None and not moving:
            pulse.answers.look(now)
        else:
            pulse.answers.heard(now)

    def _flush(self) -> None:
        """Send what the links have to say, as far as the connections take it."""
        for link, channel in zip(self.links, self.channels, strict=True):
            while link.outgoing:
                message, arrays = link.outgoing[0]
                try:
                    channel.send(message, arrays)
                except zmq.Again:
                    break
                link.outgoing.popleft()
                if isinstance(message, messages.Push):
                    failpoint("worker.after_push" if message.parts else "worker.between_slices", self.place.rank)

    def _is_blocked(self) -> bool:
        for link in self.links:  # noqa: SIM110 (of which there is one, as a rule)
            if link.outgoing:
                return True
        return False

    def _rejoin(self, waiting: Call, now: float) -> None:
        """Take part again, with the weights that there are: the others have gone on without this worker, or a
        server has come back as it was before."""
        evicted = any(link.evicted is not None for link in self.links)
        incarnation = _number() if evicted else self.links[0].incarnation
        for link in self.links:
            link.begin_anew(incarnation, now)
        if self._training is None:
            return
        waiting.inbox.append((-1, Rejoined(), []))
        optimizer, groups, table = self._training
        for link in self.links:
            request = link.begin(waiting.deliver(link.shard), waiting.fail)
            link.say(request, messages.Init(request.seq, optimizer, groups, table, (), False, True), now=now)

    def _destroy(self) -> None:
        for channel in [*getattr(self, "channels", ()), *(each.channel for each in getattr(self, "_pulses", ()))]:
            channel.close()
        self._context.term()


def _ignore(arrived: Sequence[Arrived]) -> None:
    """For weights that nobody has asked for."""


def _number() -> int:
    return int.from_bytes(os.urandom(7), "little")
