"""A worker's conversation with one server: who we are, what we have asked, and what to say again.

There is no socket and no clock in here: a link is told what has arrived and what time it is, and leaves what
it has to say in `outgoing`. So the same conversation runs over ZeroMQ and in a simulation.

Note [When something is said again]
    ZeroMQ loses messages when a connection breaks, and a server that has started again knows nothing of the
    old one's connections. A link learns of both from the server's pulse, which names the last request that
    the server has: it says HELLO once more, and after WELCOME repeats what the server does not have, and asks
    once more for the answer of what it has. The server does nothing twice.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct, structs

from .environment import Environment
from .errors import DistributedError, Evicted, ServerLost, Stranger, Taken, from_kind
from .messages import (
    AnyMessage,
    Array,
    Barrier,
    Done,
    Error,
    Fetch,
    Hello,
    Init,
    Kept,
    Load,
    Message,
    Pull,
    Pulse,
    Push,
    Ready,
    Released,
    Slice,
    Weights,
    Welcome,
)

__all__ = ["Link", "Request"]

log = logging.getLogger("retrograd.distributed.client")

_REPEAT = 2.0  # seconds after which what the server does not know of is said again; doubles each time
_REPEAT_MOST = 10.0
_HELLO_AGAIN = 1.0  # seconds between two HELLOs that are not answered
_ASLEEP = 1.0  # a longer pause than this between two ticks is ours, and no silence of the server

Answer = Callable[[AnyMessage, list[Array]], None]


class Request(Struct, eq=False):
    """Something that was asked, and is answered once by `deliver` or `fail`."""

    seq: int
    deliver: Answer
    fail: Callable[[DistributedError], None]
    messages: list[tuple[Message, Sequence[Array]]] = []
    """All that it consists of: one message, or the parts of a push."""
    is_complete: bool = True
    """Whether the last part is among them."""
    parts_seen: set[int] = set()
    version: int = 0
    """Of the weights of which those are parts."""
    is_made: bool = False
    """Whether the server is known to have done it, so that it is not to be asked to do it again."""
    sent: float = 0.0
    patience: float = 0.0
    """After how many seconds it is said again."""


class Link:
    """The conversation with one server.

    Parameters
    ----------
    place : Environment
        Which rank of which run this is.
    shard : int
        The server's number.
    incarnation : int
        Which life of the worker this is.
    host : str
        Names this machine.
    now : float
        The time in seconds, as for all methods.
    """

    def __init__(self, place: Environment, shard: int, incarnation: int, host: str, now: float) -> None:
        self.place = place
        self.shard = shard
        self.address = place.servers[shard]
        self.incarnation = incarnation
        self.outgoing: deque[tuple[Message, Sequence[Array]]] = deque()
        self.welcome: Welcome | None = None
        """The server's answer to HELLO; ``None`` while it is out."""
        self.was_let_in = False
        """Whether the server has ever answered HELLO."""
        self.boot = 0
        self.recovery = place.recovery
        self.joined = False
        """Whether the server has counted on us."""
        self.slices: tuple[Slice, ...] = ()
        """What the server owns, once it has said so."""
        self.requests: dict[int, Request] = {}
        self.seq = 0
        self.retries = 0
        self.evicted: Evicted | None = None
        """The server has gone on without us."""
        self.forgotten = False
        """The server has come back from before we took part."""
        self.failure: DistributedError | None = None
        """Why nothing more can be asked."""
        self.heard = now
        self._host = host
        self._misses = False
        """Whether it was said that the server is silent."""
        self._restarted: Welcome | None = None
        """Where a server that has started again stands, until an answer of it tells our program."""
        self._ticked = now
        self._greeted = 0.0
        self._greet(now)

    # ---- asking --------------------------------------------------------------------------------------------

    def begin(self, deliver: Answer, fail: Callable[[DistributedError], None], seq: int = 0) -> Request:
        """A new request, of which nothing is said yet; with `seq`, by that number and not the next."""
        self.seq = seq or self.seq + 1
        request = self.requests[self.seq] = Request(self.seq, deliver, fail, patience=_REPEAT)
        if self.failure is not None:
            del self.requests[self.seq]
            fail(self.failure)
        return request

    def say(self, request: Request, message: Message, arrays: Sequence[Array] = (), *, now: float) -> None:
        """Say a request, or a part of it; nothing if it was given up in between."""
        if self.requests.get(request.seq) is not request:
            return
        message = self._for_server(message)
        request.messages.append((message, arrays))
        request.is_complete = not isinstance(message, Push) or message.parts > 0
        request.sent = now
        if self.welcome is not None and not self.must_join:
            self.outgoing.append((message, arrays))
        # Else all of it is said when the server has answered HELLO, or never, since we must begin anew.

    def has_said(self, request: Request, message: Message, arrays: Sequence[Array], *, now: float) -> None:
        """Note that all of a request has gone out, as it may at once while the link `is_clear`."""
        request.messages.append((message, arrays))
        request.sent = now

    def note_made(self, request: Request) -> None:
        """Note that of a push only the weights are missing. The gradients' memory is the program's again."""
        request.messages = [(_without_tensors(message), ()) for message, _ in request.messages[-1:]]
        request.is_made = True

    @property
    def is_clear(self) -> bool:
        """Whether nothing stands between what is asked now and the server, and nothing else is asked."""
        return self.welcome is not None and not (
            self.outgoing or self.requests or self.failure or self._restarted or self.must_join
        )

    def drop(self, request: Request) -> None:
        """Forget a request of which something may have been said: nothing is to come of it."""
        self.requests.pop(request.seq, None)

    # ---- hearing -------------------------------------------------------------------------------------------

    def take(self, message: AnyMessage, arrays: list[Array], now: float) -> None:
        """Understand what the server has said."""
        self.heard = now
        if isinstance(message, Welcome | Error) and message.incarnation not in (0, self.incarnation):
            return  # to a former life of ours
        if isinstance(message, Welcome):
            self._take_welcome(message, now)
        elif isinstance(message, Error):
            self._take_error(message, now)
        elif isinstance(message, Ready | Weights | Done | Released | Kept):
            self._take_answer(message, arrays)

    def has_heard(self, message: Weights, now: float) -> None:
        """Note the whole answer to a request, which goes to the program by a shorter way than `deliver`."""
        self.heard, self._restarted = now, None
        del self.requests[message.seq]

    def take_pulse(self, message: AnyMessage, asked: float, now: float) -> None:
        """Understand what the server has said to a heartbeat that left at the time `asked`."""
        self.heard = now
        if isinstance(message, Error) and self.welcome is not None and message.incarnation in (0, self.incarnation):
            self._take_error(message, now)
        elif isinstance(message, Pulse) and self.welcome is not None:
            request = next(iter(self.requests.values()), None)
            if message.boot != self.boot:
                self._greet(now)
            elif request is not None and self._is_missed(request, message, asked):
                request.patience = min(2 * request.patience, _REPEAT_MOST)
                self._greet(now)

    def _is_missed(self, request: Request, pulse: Pulse, asked: float) -> bool:
        """Whether the server, some time after a request, has not received it or believes to have answered it.

        While it has received it and not answered, it waits for other workers, and so may we.
        """
        waits = pulse.answered < request.seq <= pulse.received
        return request.is_complete and not waits and asked - request.sent > request.patience

    def moving(self, now: float) -> None:
        """Messages are on their way: until they have come, none that was asked for is missed."""
        for request in self.requests.values():
            request.sent = now

    def _take_welcome(self, welcome: Welcome, now: float) -> None:
        self.was_let_in = True
        if (welcome.shard, welcome.shards) != (self.shard, len(self.place.servers)):
            self.fail(
                DistributedError(
                    f"{self.address} is server {welcome.shard} of {welcome.shards}, and RETROGRAD_SERVERS names it as "
                    f"number {self.shard} of {len(self.place.servers)}: name all servers in their order"
                )
            )
            return
        if self.boot not in (0, welcome.boot):
            self._restarted = welcome
        self.welcome, self.boot, self.recovery = welcome, welcome.boot, welcome.recovery
        if self.joined and not welcome.initialized:
            self.fail(
                ServerLost(
                    f"the server at {self.address} has started again without its weights. Start the run with "
                    "--snapshots, so that it can come back with them"
                )
            )
        elif self.joined and not welcome.takes_part:
            self.forgotten = True
        else:
            for request in self.requests.values():
                self._repeat(request, welcome, now)

    def _repeat(self, request: Request, welcome: Welcome, now: float) -> None:
        """Say what the server does not have; see Note [When something is said again]."""
        self.retries += request.sent < now and bool(request.messages)
        request.sent = now
        if request.seq <= welcome.received:
            # It has all of it: without tensors the message only asks for the answer.
            for message, _ in request.messages[-1:]:
                self.outgoing.append((_without_tensors(message), ()))
            return
        if request.is_made:  # and the server has gone back to before it
            request.messages = [(Pull(request.seq, welcome.step, shared=True), ())]
        request.messages = [(self._for_server(each), arrays) for each, arrays in request.messages]
        self.outgoing.extend(request.messages)

    def _for_server(self, message: Message) -> Message:
        """The message as it is right for a server that has gone back, perhaps, to before what our program knows."""
        server = self._restarted
        if server is not None and isinstance(message, Push):
            version = message.version if message.version <= server.version else 0  # else it is of weights that are gone
            return structs.replace(message, step=server.step + 1, version=version)
        if server is not None and isinstance(message, Pull):
            return structs.replace(message, step=server.step)
        return message

    def _take_error(self, message: Error, now: float) -> None:
        error = from_kind(message.kind, message.text)
        if isinstance(error, Evicted):
            self.evicted = error
        elif isinstance(error, Stranger):
            if self.welcome is not None:
                self._greet(now)
        elif isinstance(error, Taken) and self.welcome is None:
            self.heard = now  # the other may be our own former life, and is given up soon: HELLO is said again
            self._taken = error
        elif message.seq in self.requests:
            self.requests.pop(message.seq).fail(error)
        elif message.seq == 0:
            self.fail(error)

    _taken: Taken | None = None

    def _take_answer(self, message: Ready | Weights | Done | Released | Kept, arrays: list[Array]) -> None:
        request = self.requests.get(message.seq)
        if request is None:
            return  # to something that was repeated, and is answered twice
        if isinstance(message, Weights) and not self.joined:
            return  # of slices that we do not know, since READY was damaged: both come again
        if isinstance(message, Ready):
            self.slices, self.joined = message.slices, True
        elif isinstance(message, Weights):
            if message.version != request.version:  # asked again, the server has others than it had
                request.version, request.parts_seen = message.version, set()
            if message.part in request.parts_seen:
                return
            request.parts_seen.add(message.part)
            if len(request.parts_seen) == message.parts:
                del self.requests[message.seq]
        else:
            del self.requests[message.seq]
        if isinstance(message, Ready | Weights | Done):
            self._restarted = None
        request.deliver(message, arrays)

    # ---- time passes ---------------------------------------------------------------------------------------

    def tick(self, now: float, *, waiting_since: float | None = None) -> None:
        """Look at the time.

        `waiting_since` is when this worker began to wait for an answer, if it does: before, silence is no
        reason to give up.
        """
        if now - self._ticked > _ASLEEP:
            self.heard += now - self._ticked
        self._ticked = now
        if self.welcome is None and now - self._greeted > _HELLO_AGAIN:
            self._greet(now)
        if waiting_since is None or self.failure is not None:
            return
        limit = self.place.timeout + self.recovery
        if self._taken is not None and self.welcome is None and now - waiting_since > self.place.timeout:
            self.fail(self._taken)
        elif (silence := now - max(self.heard, waiting_since)) > limit:
            self.fail(ServerLost(self._obituary(limit)))
        elif silence <= self.place.timeout:
            self._misses = False
        elif not self._misses:
            self._misses = True
            log.warning(
                "worker %d has heard nothing from the server at %s for %g s, and waits up to %g s more for it to come "
                "back there: whoever starts it again elsewhere says --bind %s", self.place.rank, self.address,
                self.place.timeout, self.recovery, self.address,
            )  # fmt: skip

    def _obituary(self, seconds: float) -> str:
        """What is said of a server that has been silent for so long."""
        if not self.boot:
            return (
                f"worker {self.place.rank} finds no server at {self.address}: nobody has answered for {seconds:g} s. "
                "Start the server, or see whether the address is right and the network lets it through"
            )
        return (
            f"worker {self.place.rank} has lost the server at {self.address}: no sign of life for {seconds:g} s. "
            "The server or the network between has died, or it was started again at another address, where this worker "
            f"does not look (--bind {self.address} would have it come back here); its log says more. Start the run "
            "again"
        )

    @property
    def must_join(self) -> bool:
        """Whether the server does not count on us any more, or not yet again."""
        return self.evicted is not None or self.forgotten

    def begin_anew(self, incarnation: int, now: float) -> None:
        """Ask nothing more of what was asked; `incarnation` is another one if the old one was given up."""
        self.requests.clear()
        self.joined, self.evicted, self.forgotten = False, None, False
        if incarnation != self.incarnation:
            self.incarnation = incarnation
            self._greet(now)

    def _greet(self, now: float) -> None:
        self.welcome, self._greeted = None, now
        self.outgoing.clear()
        self.outgoing.append((self.hello, ()))

    @property
    def hello(self) -> Hello:
        """Who we are."""
        place = self.place
        return Hello(place.run, "worker", place.world_size, self.incarnation, place.rank, self._host)

    def fail(self, error: DistributedError) -> None:
        """Give up: nothing more can be asked."""
        self.failure = error
        requests, self.requests = self.requests, {}
        for request in requests.values():
            request.fail(error)


def _without_tensors(message: Message) -> Message:
    if isinstance(message, Push):
        return structs.replace(message, tensors=())
    if isinstance(message, Init):
        return structs.replace(message, weights=False, slices=())
    if isinstance(message, Load):
        return structs.replace(message, entries=())
    assert isinstance(message, Pull | Barrier | Fetch)
    return message
