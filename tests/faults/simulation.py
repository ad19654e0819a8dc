"""A network without sockets, threads or real time: nodes send messages, and a test decides what becomes of them.

A node is any object with ``handle(peer, frames)`` and ``tick(now)``, so a server that is told what arrives and what
time it is, and sends through a `Channel`, runs here as it does over ZeroMQ::

    network = Network()
    network.rules.append(Weather(random.Random(seed), drop=0.1, duplicate=0.1, delay=(0.0, 0.5)))
    channel = Channel(network.endpoint("server"), protocol.encode)
    network.attach("server", Server(options, channel, network.clock.now), tick=0.1)
    ...
    network.run_until(lambda: server.clock == 100, within=60)

Time passes only from one event to the next, and what happens depends on the rules alone: a run can be repeated, and
an hour takes a second. With the rule `by_hand` nothing arrives unless the test says `deliver`, `lose` or `double`;
`faults.machine` lets hypothesis say it.

As with ZeroMQ, a client names the server it sends to, and a server names the connection that a message came over, a
`peer`. Connections end when `cut` or a crash ends them; the next message of the client opens another, and who sends to
the old one's peer gets an error. ZeroMQ keeps the messages of a connection in order and loses none while it lasts. This
network does neither unless the rules do, so what works here is expected to work there.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import zmq

from .wire import header_of

Frame: TypeAlias = bytes | bytearray | memoryview
Match: TypeAlias = "str | Callable[[Flight], bool]"

_MOST_EVENTS = 1_000_000  # in one call; more is a loop in which no time passes


class Node(Protocol):
    """A server or a client's session: it does nothing but when it is called."""

    def handle(self, peer: bytes, frames: Sequence[bytes]) -> None:
        """A message has arrived; `peer` is what an answer is sent to."""

    def tick(self, now: float) -> None:
        """Some time has passed."""


class Clock:
    """The time on the network, in seconds from its beginning."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time


@dataclass(eq=False, slots=True)
class Flight:
    """A message under way."""

    number: int
    source: str
    target: str
    peer: bytes
    """How the one who gets it calls the one who sends it."""
    connection: Connection
    frames: tuple[bytes, ...]
    sent: float
    due: float = math.inf

    @property
    def kind(self) -> str | None:
        """The type in its header; ``None`` for a message that is not one of ours."""
        header = header_of(self.frames[0]) if self.frames else None
        return None if header is None else header.get("type")

    def __repr__(self) -> str:
        what = self.kind or b" ".join(self.frames)[:40]
        return f"{self.source} -> {self.target} (connection {self.connection.number}): {what!r}"


Rule: TypeAlias = "Callable[[Flight], Sequence[float] | None]"
"""After how many seconds a message arrives, once for each number; ``None`` leaves it to the next rule."""


def by_hand(flight: Flight) -> Sequence[float]:
    """A rule by which nothing arrives by itself."""
    return [math.inf]


class Weather:
    """A rule by which messages are lost, doubled and late at random.

    Parameters
    ----------
    random : random.Random
        Seeded, or one of hypothesis' (`strategies.randoms`), which then finds the shortest history that fails.
    drop, duplicate : float
        Probabilities.
    delay : pair of float
        The least and the most seconds under way.
    ordered : bool
        Whether the messages of a connection stay in order in each direction, as ZeroMQ keeps them.
    """

    def __init__(
        self,
        random: random.Random,
        *,
        drop: float = 0.0,
        duplicate: float = 0.0,
        delay: tuple[float, float] = (0.0, 0.0),
        ordered: bool = False,
    ) -> None:
        self._random = random
        self._drop, self._duplicate, self._delay, self._ordered = drop, duplicate, delay, ordered
        self._latest: dict[tuple[Connection, str], float] = {}

    def __call__(self, flight: Flight) -> Sequence[float]:
        if self._random.random() < self._drop:
            return []
        copies = 2 if self._random.random() < self._duplicate else 1
        return [self._arrival(flight) - flight.sent for _ in range(copies)]

    def _arrival(self, flight: Flight) -> float:
        due = flight.sent + self._random.uniform(*self._delay)
        if self._ordered:
            way = (flight.connection, flight.target)
            due = self._latest[way] = max(due, self._latest.get(way, 0.0))
        return due


class Interference:
    """A rule for chosen messages, as the first push: ``[]`` loses it, ``[0, 0]`` doubles it, ``[5]`` delays it."""

    def __init__(self, match: Match, delays: Sequence[float], times: int | None = None) -> None:
        self.hits = 0
        self._match, self._delays, self._times = match, delays, times

    def __call__(self, flight: Flight) -> Sequence[float] | None:
        chosen = self._match(flight) if callable(self._match) else flight.kind == self._match
        if not chosen or self.hits == self._times:
            return None
        self.hits += 1
        return self._delays


@dataclass(eq=False, slots=True)
class Connection:
    """What a client's messages to a server go over, and the server's to the client, until it ends."""

    client: str
    server: str
    number: int
    is_open: bool = True

    @property
    def peer(self) -> bytes:
        """How the server calls it."""
        return f"{self.client}#{self.number}".encode()


@dataclass(slots=True)
class _Place:
    """Where a node is, or was."""

    node: Node | None = None
    life: int = 0
    is_paused: bool = False
    waiting: list[Flight] = field(default_factory=list)


class Network:
    """Carries messages between nodes in virtual time."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.rules: list[Rule] = []
        """Asked from the last to the first; what none of them decides arrives at once."""
        self.in_flight: list[Flight] = []
        """In the order in which they were sent."""
        self.trace: list[tuple[float, str]] = []
        """What has happened, and when."""
        self._places: dict[str, _Place] = {}
        self._connections: dict[tuple[str, str], Connection] = {}
        self._numbers = itertools.count(1)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._blocked: set[tuple[str, str]] = set()

    # ---- nodes ---------------------------------------------------------------------------------------------

    def endpoint(self, name: str) -> Endpoint:
        """What the node of that name sends through."""
        self._places.setdefault(name, _Place())
        return Endpoint(self, name)

    def attach(self, name: str, node: Node, *, tick: float | None = None) -> None:
        """Let a node live here, for the first time or after a `crash`; it is told the time every `tick` seconds."""
        self.endpoint(name)
        place = self._places[name]
        if place.node is not None:
            raise ValueError(f"there is a {name} already")
        place.node, place.life = node, place.life + 1
        if tick is not None:
            self._tick_every(tick, place, place.life)

    def crash(self, name: str) -> None:
        """End a node at once. Its connections end; what was under way to it is lost, what it has sent arrives."""
        self._note(f"{name} crashes")
        place = self._places[name]
        place.node, place.is_paused, place.waiting = None, False, []
        for connection in list(self._connections.values()):
            if name in (connection.client, connection.server):
                self._end(connection)
        for flight in [each for each in self.in_flight if each.target == name]:
            self.lose(flight)

    def pause(self, name: str) -> None:
        """Let a node do nothing, as one that is stopped or busy; what arrives waits for it."""
        self._note(f"{name} pauses")
        self._places[name].is_paused = True

    def resume(self, name: str) -> None:
        """Let it go on; it finds all that has arrived."""
        self._note(f"{name} resumes")
        place = self._places[name]
        place.is_paused = False
        waiting, place.waiting = place.waiting, []
        for flight in waiting:
            self._hand_over(flight)

    def is_paused(self, name: str) -> bool:
        return self._places[name].is_paused

    def _tick_every(self, seconds: float, place: _Place, life: int) -> None:
        def tick() -> None:
            if place.node is not None and place.life == life:
                self.call_at(self.clock.now() + seconds, tick)
                if not place.is_paused:
                    place.node.tick(self.clock.now())

        self.call_at(self.clock.now() + seconds, tick)

    # ---- connections ---------------------------------------------------------------------------------------

    def cut(self, client: str, server: str, *, arrive: int = 0) -> None:
        """End a connection. Of what was under way to the server the first `arrive` messages do arrive, no others."""
        connection = self._connections.get((client, server))
        if connection is not None:
            self._note(f"the connection of {client} to {server} ends")
            self._end(connection)
            flights = [each for each in self.in_flight if each.connection is connection]
            sent = [each for each in flights if each.target == server]
            for flight in flights:
                if flight not in sent[:arrive]:
                    self.lose(flight)

    def block(self, source: str, target: str) -> None:
        """Let nothing pass from one node to another until `heal`; then it goes on, as TCP sends it again."""
        self._note(f"nothing passes from {source} to {target}")
        self._blocked.add((source, target))

    def partition(self, *groups: Sequence[str]) -> None:
        """Let messages pass only between nodes of the same group; nodes in no group are one more."""
        rest = [name for name in self._places if not any(name in group for group in groups)]
        for one, other in itertools.permutations([*groups, rest], 2):
            for source, target in itertools.product(one, other):
                self.block(source, target)

    def heal(self) -> None:
        """Let everything pass again."""
        self._note("all passes")
        self._blocked.clear()
        for flight in self.in_flight:
            if flight.due <= self.clock.now():  # it has been waiting
                self._arrive_at(flight, self.clock.now())

    def _end(self, connection: Connection) -> None:
        connection.is_open = False
        del self._connections[connection.client, connection.server]

    # ---- messages ------------------------------------------------------------------------------------------

    def is_up(self, name: str) -> bool:
        """Whether a node lives, so that one can connect to it."""
        return name in self._places and self._places[name].node is not None

    def send(self, source: str, to: str | bytes, frames: Sequence[Frame]) -> None:
        """Put a message on its way. Its bytes are copied, as a wire does."""
        connection, target, peer = self._route(source, to)
        copied = tuple(map(bytes, frames))
        flight = Flight(next(self._numbers), source, target, peer, connection, copied, self.clock.now())
        decisions = (rule(flight) for rule in reversed(self.rules))
        delays = next((each for each in decisions if each is not None), [0.0])
        if not delays:
            self._note(f"lost: {flight}")
        for delay in delays:
            self._launch(flight, self.clock.now() + delay)

    def deliver(self, flight: Flight) -> None:
        """Let a message arrive now, whatever else is under way."""
        self._remove(flight)
        self._hand_over(flight)

    def lose(self, flight: Flight) -> None:
        """Let a message never arrive."""
        self._remove(flight)
        self._note(f"lost: {flight}")

    def double(self, flight: Flight) -> None:
        """Let a message arrive once more than it would."""
        self._note(f"doubled: {flight}")
        self._launch(flight, flight.due)

    @property
    def deliverable(self) -> list[Flight]:
        """What is under way, and nothing is in its way."""
        return [each for each in self.in_flight if not self._is_blocked(each)]

    def _route(self, source: str, to: str | bytes) -> tuple[Connection, str, bytes]:
        """The connection of a message, whom it goes to, and what that one is told about where it comes from."""
        if isinstance(to, str):
            if not self.is_up(to):
                raise zmq.Again
            connection = self._connections.get((source, to)) or self._connect(source, to)
            return connection, to, connection.peer
        for connection in self._connections.values():
            if connection.server == source and connection.peer == to:
                return connection, connection.client, source.encode()
        raise zmq.ZMQError(zmq.EHOSTUNREACH)

    def _connect(self, client: str, server: str) -> Connection:
        connection = Connection(client, server, next(self._numbers))
        self._connections[client, server] = connection
        return connection

    def _launch(self, flight: Flight, due: float) -> None:
        copy = replace(flight, number=next(self._numbers))
        self.in_flight.append(copy)
        self._arrive_at(copy, due)

    def _arrive_at(self, flight: Flight, due: float) -> None:
        flight.due = due
        if due < math.inf:
            self.call_at(due, lambda: self._arrive(flight, due))

    def _arrive(self, flight: Flight, due: float) -> None:
        # It may have gone another way since.
        if flight in self.in_flight and flight.due == due and not self._is_blocked(flight):
            self.deliver(flight)

    def _is_blocked(self, flight: Flight) -> bool:
        return (flight.source, flight.target) in self._blocked

    def _hand_over(self, flight: Flight) -> None:
        place = self._places[flight.target]
        if place.node is None:
            self._note(f"nobody is there: {flight}")
        elif place.is_paused:
            place.waiting.append(flight)
        else:
            self._note(f"{flight}")
            place.node.handle(flight.peer, flight.frames)

    def _remove(self, flight: Flight) -> None:
        self.in_flight.remove(flight)

    # ---- time ----------------------------------------------------------------------------------------------

    def call_at(self, when: float, function: Callable[[], None]) -> None:
        """Call a function at a moment; of several at the same, in the order of these calls."""
        heapq.heappush(self._events, (when, next(self._numbers), function))

    def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.clock.now() + seconds
        self._run(lambda: not self._events or self._events[0][0] > end)
        self.clock.time = end

    def run_until(self, condition: Callable[[], Any], what: str = "", *, within: float = 3600.0) -> None:
        """Let time pass until a condition holds.

        Raises
        ------
        AssertionError
            When it does not within so many seconds of the network's time, or never will as nothing is to happen; the
            text says what is under way and what has happened last.
        """
        end = self.clock.now() + within
        self._run(lambda: condition() or not self._events or self._events[0][0] > end)
        if not condition():
            raise AssertionError(f"{what or 'the condition'} has not come about in {within:g} s\n{self.describe()}")

    def calm(self) -> None:
        """End all faults: no rules, no partition, nobody is paused, and what is under way arrives."""
        self.rules.clear()
        self.heal()
        for name, place in self._places.items():
            if place.is_paused:
                self.resume(name)
        for flight in self.in_flight:
            self._arrive_at(flight, self.clock.now())

    def describe(self) -> str:
        """What is under way, and the last things that have happened."""
        lines = [f"at {self.clock.now():.3f} s, {len(self.in_flight)} messages are under way:"]
        lines += [f"    {flight!r}, due at {flight.due:.3f} s" for flight in self.in_flight[:20]]
        lines += ["last:", *(f"    {when:.3f} s  {what}" for when, what in self.trace[-20:])]
        return "\n".join(lines)

    def _run(self, is_over: Callable[[], Any]) -> None:
        for _ in range(_MOST_EVENTS):
            if is_over():
                return
            when, _, function = heapq.heappop(self._events)
            self.clock.time = max(self.clock.time, when)
            function()
        raise AssertionError(f"{_MOST_EVENTS} events, and no end\n{self.describe()}")

    def _note(self, what: str) -> None:
        self.trace.append((self.clock.now(), what))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A node's own access to the network."""

    network: Network
    name: str

    def send(self, to: str | bytes, frames: Sequence[Frame]) -> None:
        """Send a message: a client to a server of that name, a server to a peer.

        Raises
        ------
        zmq.Again
            When there is no server of that name.
        zmq.ZMQError
            With `errno` EHOSTUNREACH, when the peer's connection has ended.
        """
        self.network.send(self.name, to, frames)


class Landed:
    """What `Channel.send` returns: nobody reads the sender's memory any more."""

    landed = True

    def land(self) -> None:
        """It has."""

    def wait(self, timeout: float) -> bool:
        return True


@dataclass(slots=True)
class Channel:
    """What a `retrograd.distributed.transport.Channel` is to whoever sends through it.

    Parameters
    ----------
    endpoint : Endpoint
    encode : callable
        Makes frames of a message and its arrays: `retrograd.distributed.protocol.encode`.
    to : str, optional
        The server that a client sends to.
    traffic
        What the owner counts traffic in; nothing is counted here.
    """

    endpoint: Endpoint
    encode: Callable[[Any, Sequence[Any]], Sequence[Frame]]
    to: str | None = None
    traffic: Any = None
    user: str | None = None

    @property
    def address(self) -> str:
        return f"sim://{self.to or self.endpoint.name}"

    def cut_flood(self, limit: int, now: float) -> None:
        """Messages are whole here."""

    def send(self, message: Any, arrays: Sequence[Any] = (), *, to: bytes | None = None) -> Landed:
        """Send a message to the server, or `to` a peer; errors are those of `Endpoint.send`."""
        return self.send_frames(self.encode(message, arrays), to)

    def send_frames(self, frames: Sequence[Frame], to: bytes | None) -> Landed:
        """Send a message that is encoded."""
        target = self.to if to is None else to
        if target is None:
            raise ValueError("a server says which peer it sends to")
        self.endpoint.send(target, frames)
        return Landed()

    def offer_lane(self, peer: bytes) -> None:
        """There is no other way here than the network."""

    def join(self, poller: Any) -> None:
        """Nobody waits: what has come is handed over by `Node.handle`."""

    def poll(self, timeout: float, *, to_send: bool = False) -> bool:
        """Whether a client may send; there is never anything to receive, as `Node.handle` gets it."""
        return to_send and (self.to is None or self.endpoint.network.is_up(self.to))

    def close(self) -> None:
        """Nothing to give back."""
