"""A proxy that damages the connections between ZeroMQ workers and servers, when and as a test says.

::

    with FaultProxy(server.address) as proxy:
        client = Client(proxy.address)
        lost = proxy.drop("weights", direction="to_worker", times=1)
        client.push(...)  # its first answer is lost
        assert lost.hits == 1

A fault is on from the call that makes it until `stop`, or the end of its ``with`` block, or until it has struck
`times` times. It acts in one `direction` or in both, on one `connection` or on all, and has taken effect when the call
returns. `Fault.wait_hit` and `FaultProxy.wait_for` wait for what happens, so that no test sleeps.

The proxy runs an event loop in a thread of its own. It forwards whole ZeroMQ messages, so faults that choose messages
may be switched on at any moment. Messages can be told apart on connections without encryption; on others, and for
what is not ZeroMQ at all, only the faults of bytes and connections act.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack
from urllib.parse import urlsplit

from . import damage, wire
from .damage import DEADLINE, Direction, Fault, Hold, Match, Target

T = TypeVar("T")
F = TypeVar("F", bound=Fault)

_WINDOW = 4 << 20  # bytes under way in a lane, about as many as TCP itself keeps


class FaultProxy:
    """Forwards connections to a server until its block ends.

    Parameters
    ----------
    upstream : str
        Where the server listens, as ``tcp://127.0.0.1:5555``. May be changed at any time: new connections go to the
        new address, as when a server starts again at another port.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.accepted = 0
        """Connections so far."""
        self.connections: list[Connection] = []
        """Those that are open, in the order in which they came."""
        self.seen: Counter[tuple[Direction, str]] = Counter()
        """How many messages of each type have come, before any fault."""
        self.faults: list[Fault] = []
        self._errors: list[BaseException] = []
        self._changed = threading.Condition()
        # Keeps the port while nobody listens at it.
        self._reservation = _bound_socket(0)
        self._port: int = self._reservation.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self._port}"
        self._listener: socket.socket | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy")

    # ---- faults of messages --------------------------------------------------------------------------------

    def drop(self, match: Match = None, **target: Unpack[Target]) -> Fault:
        """Lose messages."""
        return self._start(damage.Drop(match, target))

    def duplicate(self, match: Match = None, **target: Unpack[Target]) -> Fault:
        """Forward messages twice."""
        return self._start(damage.Duplicate(match, target))

    def hold(self, match: Match = None, **target: Unpack[Target]) -> Hold:
        """Keep messages back until `Hold.release`; others overtake them."""
        return self._start(damage.Hold(match, target))

    def reorder(
        self, match: Match = None, *, window: int = 2, seed: int | None = None, **target: Unpack[Target]
    ) -> Fault:
        """Collect `window` messages of a connection, and forward them backwards or, with a seed, shuffled."""
        return self._start(damage.Reorder(window, seed, match, target))

    def tamper(
        self, change: Callable[[list[bytes]], list[bytes]], match: Match = None, **target: Unpack[Target]
    ) -> Fault:
        """Forward other frames instead of a message's own."""
        return self._start(damage.Tamper(change, match, target))

    # ---- faults of bytes -----------------------------------------------------------------------------------

    def delay(self, seconds: float, *, jitter: float = 0.0, seed: int = 0, **target: Unpack[Target]) -> Fault:
        """Let everything arrive later, by up to `jitter` more; the order stays."""
        return self._start(damage.Delay(seconds, jitter, seed, target))

    def bandwidth(self, bytes_per_second: float, **target: Unpack[Target]) -> Fault:
        """Let no more pass in each direction, over all connections together."""
        return self._start(damage.Bandwidth(bytes_per_second, target))

    def half_open(self, **target: Unpack[Target]) -> Fault:
        """Forward nothing, not even the end of a connection, until the fault stops; then all of it."""
        return self._start(damage.HalfOpen(target))

    def swallow(self, **target: Unpack[Target]) -> Fault:
        """Read everything and lose it; connections that lost something are cut when the fault stops."""
        return self._start(damage.Swallow(target))

    def corrupt(
        self, at: int | None = None, *, probability: float = 0.0, seed: int = 0, **target: Unpack[Target]
    ) -> Fault:
        """Invert byte number `at`, from 0, of those that pass from now on; or each with a probability."""
        return self._start(damage.Corrupt(at, probability, seed, target))

    def limit_data(self, size: int, **target: Unpack[Target]) -> Fault:
        """End each connection when `size` more bytes have gone through it in one direction."""
        return self._start(damage.LimitData(size, target))

    # ---- faults of connections -----------------------------------------------------------------------------

    def refuse(self) -> Fault:
        """Let nobody connect; the connections that there are stay."""
        return self._start(damage.Refuse({}))

    def cut(self, connection: Connection | None = None) -> int:
        """Reset one connection or all; how many those were.

        A peer notices when it next reads. What ZeroMQ has written until then is lost, so a test whose next message
        must arrive waits first until the peer has come back: until `accepted` has grown.
        """
        return self.on_loop(lambda: self.cut_now(connection))

    def cut_every(self, seconds: float, **target: Unpack[Target]) -> Fault:
        """Reset connections again and again."""
        return self._start(damage.CutEvery(seconds, target))

    def heal(self) -> None:
        """Stop all faults."""
        for fault in tuple(self.faults):
            fault.stop()

    # ---- from the test's thread ----------------------------------------------------------------------------

    def wait_for(self, condition: Callable[[], Any], what: str, timeout: float = DEADLINE) -> None:
        """Wait until something that the proxy counts has come about."""
        with self._changed:
            done = self._changed.wait_for(lambda: self._errors or condition(), timeout)
        self._raise_errors()
        if not done:
            seen = [f"{count} {kind!r} {direction}" for (direction, kind), count in self.seen.items()]
            raise AssertionError(
                f"waited {timeout:g} s in vain for {what}; the proxy has accepted {self.accepted} connections, "
                f"{len(self.connections)} are open, and it has seen {', '.join(seen) or 'no message of ours'}"
            )

    def on_loop(self, function: Callable[[], T]) -> T:
        """Call a function on the proxy's loop, and wait for what it returns."""

        async def call() -> T:
            return function()

        if threading.current_thread() is self._thread:
            raise RuntimeError("a function that chooses messages must not switch faults")
        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(DEADLINE)

    def __enter__(self) -> Self:
        self._thread.start()
        self.on_loop(self.listen_or_not)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(DEADLINE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._reservation.close()
        if error is None:
            self._raise_errors()

    def _start(self, fault: F) -> F:
        def begin() -> None:
            self.faults = [each for each in self.faults if not each.ended.is_set()] + [fault]
            fault.begin()

        fault.proxy = self
        self.on_loop(begin)
        return fault

    def _raise_errors(self) -> None:
        if self._errors:
            raise self._errors.pop()

    # ---- on the loop ---------------------------------------------------------------------------------------

    def changed(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def cut_now(self, connection: Connection | None = None) -> int:
        doomed = self.connections.copy() if connection is None else [connection]
        for each in doomed:
            each.cut()
        return len(doomed)

    def listen_or_not(self) -> None:
        """Listen, unless a fault forbids it."""
        refused = any(isinstance(fault, damage.Refuse) and fault.on for fault in self.faults)
        if self._listener is None and not refused:
            self._listener = _bound_socket(self._port)
            self._listener.listen()
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._accept, self._listener)
        elif self._listener is not None and refused:
            self._stop_listening()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            accepted, _ = listener.accept()
            self.accepted += 1
            connection = Connection(self, self.accepted, accepted)
            self.connections.append(connection)
            connection.task = self._loop.create_task(self._serve(connection))
            self.changed()

    async def _serve(self, connection: Connection) -> None:
        try:
            await connection.run()
        except* OSError:  # an end of the connection, as networks have it
            pass
        except* Exception as group:  # a function of the test's
            self._errors += group.exceptions
        finally:
            connection.reset()
            self.forget(connection)

    def forget(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
            self.changed()

    async def _close(self) -> None:
        self.cut_now()
        for fault in self.faults:
            fault.end()
        self._stop_listening()
        # With them those of connections that were cut before and are not at their end yet.
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*tasks, return_exceptions=True)


class Connection:
    """A worker's connection through the proxy, and the proxy's own to the server."""

    task: asyncio.Task[None]

    def __init__(self, proxy: FaultProxy, number: int, accepted: socket.socket) -> None:
        self.proxy = proxy
        self.number = number
        """1 for the first that was accepted."""
        self.seen: Counter[tuple[Direction, str]] = Counter()
        """How many messages of each type have come over it, before any fault."""
        self._accepted = accepted
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def up(self) -> bool:
        """Whether the connection to the server stands as well."""
        return len(self._writers) == 2

    async def run(self) -> None:
        worker = await asyncio.open_connection(sock=self._accepted)
        self._writers.append(worker[1])
        address = urlsplit(self.proxy.upstream)
        server = await asyncio.open_connection(address.hostname, address.port)
        self._writers.append(server[1])
        self.proxy.changed()
        lanes = Lane(self, "to_server", worker[0], server[1]), Lane(self, "to_worker", server[0], worker[1])
        async with asyncio.TaskGroup() as group:
            for lane in lanes:
                group.create_task(lane.read())
                group.create_task(lane.write())

    def cut(self) -> None:
        self.reset()
        self.proxy.forget(self)
        self.task.cancel()

    def reset(self) -> None:
        """End both connections at once, and tell the peers so: what was under way is lost."""
        for writer in self._writers:
            with contextlib.suppress(OSError):
                linger = struct.pack("ii", 1, 0)  # for no time: a reset is sent
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        if not self._writers:
            self._accepted.close()


class Lane:
    """One direction of a connection: a stream cut into messages, a line in which bytes wait, and its end."""

    def __init__(
        self,
        connection: Connection,
        direction: Direction,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.connection = connection
        self.direction = direction
        self.end_after_this = False
        """Whether the stream ends when the bytes that leave the line now are written."""
        self._reader, self._writer = reader, writer
        # When bytes are due, the faults that say so, and the bytes; none for the end of the stream.
        self._line: asyncio.Queue[tuple[float, list[damage.Delay], bytes]] = asyncio.Queue()
        self._waiting = 0
        self._room = asyncio.Event()

    def faults(self, kind: type[F]) -> list[F]:
        return [each for each in self.connection.proxy.faults if isinstance(each, kind) and each.applies(self)]

    async def read(self) -> None:
        with contextlib.suppress(ConnectionError):  # a reset ends the stream as well
            async for unit in wire.split(self._reader):
                if isinstance(unit, bytes):
                    self.send(unit)
                else:
                    self._route(unit)
                while self._waiting > _WINDOW:
                    self._room.clear()
                    await self._room.wait()
        self.send(b"")

    def _route(self, message: wire.Message) -> None:
        if (header := message.header) is not None:
            self._count(str(header.get("type")))
            for fault in self.faults(damage.MessageFault):
                if fault.matches(header, self.direction):
                    for each in fault.take(self, message):
                        self.send(each.raw)
                    fault.strike()
                    return
        self.send(message.raw)

    def _count(self, kind: str) -> None:
        for counter in (self.connection.seen, self.connection.proxy.seen):
            counter[self.direction, kind] += 1
        self.connection.proxy.changed()

    def send(self, data: bytes) -> None:
        """Put bytes into the line: whole messages only, as others may follow from elsewhere."""
        delays = self.faults(damage.Delay)
        due = self._now() + sum(fault.draw() for fault in delays)
        for piece in wire.pieces(data):
            self._waiting += len(piece)
            self._line.put_nowait((due, delays, piece))

    async def write(self) -> None:
        while True:
            data = await self._next()
            if (kept := self._filter(data)) is None:
                continue
            self._writer.write(kept)
            await self._writer.drain()
            if self.end_after_this or not data:
                self._writer.close()
                await self._writer.wait_closed()
                break
        if self.end_after_this:
            self.connection.cut()

    async def _next(self) -> bytes:
        """The next bytes of the line, once they may leave it."""
        due, delays, data = await self._line.get()
        for delay in delays:
            await delay.ends_within(due - self._now())
        for bandwidth in self.faults(damage.Bandwidth):
            await bandwidth.pace(self, len(data))
        while closed := self.faults(damage.HalfOpen):
            closed[0].strike()
            await closed[0].ended.wait()
        self._waiting -= len(data)
        self._room.set()
        return data

    def _filter(self, data: bytes) -> bytes | None:
        for fault in self.faults(damage.ByteFault):
            if (kept := fault.filter(self, data)) is None:
                return None
            data = kept
        return data

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _bound_socket(port: int) -> socket.socket:
    """A socket with a port of the loopback interface, which others that are made here may have as well."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    return made
