"""The faults that a `FaultProxy` knows, one class each. Tests make them through the proxy's methods.

They differ by where they act on a lane, which is one direction of one connection: on whole messages, before the line
(`MessageFault`); on how long the line is (`Delay`); at its end, on when bytes may leave it (`Bandwidth`, `HalfOpen`)
and which of them do (`ByteFault`); or on connections (`Refuse`, `CutEvery`).

All but the public methods of `Fault` and `Hold` run on the proxy's loop, where nothing else happens meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypeAlias, TypedDict

from .wire import Header, Message

if TYPE_CHECKING:
    from .proxy import Connection, FaultProxy, Lane

DEADLINE = 60.0  # seconds; only a test that is about to fail comes near it

Direction: TypeAlias = Literal["to_server", "to_worker"]
Match: TypeAlias = str | Callable[[Header, Direction], bool] | None
"""Which messages: those of a type, those that a function of header and direction chooses, or all."""


class Target(TypedDict, total=False):
    """What a fault acts on; all of it, unless said otherwise."""

    direction: Literal["to_server", "to_worker", "both"]
    connection: Connection | None
    times: int | None


class Fault:
    """Something that goes wrong from now on.

    Attributes
    ----------
    hits : int
        How often it has struck: how many messages, chunks of bytes, single bytes or connections.
    on : bool
        Whether it may strike again.
    """

    proxy: FaultProxy

    def __init__(self, target: Target) -> None:
        self.hits = 0
        self.on = True
        self.ended = asyncio.Event()
        self._direction = target.get("direction", "both")
        self._connection = target.get("connection")
        self._times = target.get("times")

    def stop(self) -> None:
        """Let everything pass again, and with it what was held back. To stop twice does no harm."""
        if not self.ended.is_set():
            self.proxy.on_loop(self.end)

    def wait_hit(self, count: int = 1, timeout: float = DEADLINE) -> None:
        """Wait until it has struck so many times in all."""
        self.proxy.wait_for(lambda: self.hits >= count, f"{type(self).__name__} to strike {count} times", timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    # ---- on the loop ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The fault has been switched on."""

    def end(self) -> None:
        self.on = False
        self.ended.set()

    async def ends_within(self, seconds: float) -> None:
        """Wait so long, or until the fault is over."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ended.wait(), seconds)

    def applies(self, lane: Lane) -> bool:
        return self.on and self._direction in ("both", lane.direction) and self._connection in (None, lane.connection)

    def strike(self, count: int = 1) -> None:
        self.hits += count
        if self._times is not None and self.hits >= self._times:
            self.on = False
        self.proxy.changed()


# ---- whole messages ----------------------------------------------------------------------------------------


class MessageFault(Fault):
    """Takes the messages that match, and says what goes on in their place."""

    def __init__(self, match: Match, target: Target) -> None:
        super().__init__(target)
        self._match = match

    def matches(self, header: Header, direction: Direction) -> bool:
        if callable(self._match):
            return self._match(header, direction)
        return self._match in (None, header.get("type"))

    def take(self, lane: Lane, message: Message) -> Sequence[Message]:
        raise NotImplementedError


class Drop(MessageFault):
    def take(self, lane: Lane, message: Message) -> Sequence[Message]:
        return ()


class Duplicate(MessageFault):
    def take(self, lane: Lane, message: Message) -> Sequence[Message]:
        return message, message


class Tamper(MessageFault):
    def __init__(self, change: Callable[[list[bytes]], list[bytes]], match: Match, target: Target) -> None:
        super().__init__(match, target)
        self._change = change

    def take(self, lane: Lane, message: Message) -> Sequence[Message]:
        return (Message.of(self._change(list(message.frames))),)


class Hold(MessageFault):
    """Messages wait here until they are released; what comes meanwhile overtakes them."""

    def __init__(self, match: Match, target: Target) -> None:
        super().__init__(match, target)
        self._held: list[tuple[Lane, Message]] = []

    @property
    def held(self) -> list[Message]:
        """What waits, in the order of arrival."""
        return [message for _, message in self._held]

    def release(self, count: int | None = None) -> None:
        """Let the oldest `count` messages go on, or all. Those whose connection has ended are lost."""
        self.proxy.on_loop(lambda: self._let_go(count))

    def _let_go(self, count: int | None) -> None:
        going, self._held = self._held[:count], [] if count is None else self._held[count:]
        for lane, message in going:
            lane.send(message.raw)

    def take(self, lane: Lane, message: Message) -> Sequence[Message]:
        self._held.append((lane, message))
        return ()

    def end(self) -> None:
        super().end()
        self._let_go(None)


class Reorder(MessageFault):
    """Collects messages of a lane and lets them go on in another order, backwards without a seed."""

    def __init__(self, window: int, seed: int | None, match: Match, target: Target) -> None:
        super().__init__(match, target)
        self._window = window
        self._random = None if seed is None else random.Random(seed)
        self._waiting: dict[Lane, list[Message]] = {}

    def take(self, lane: Lane, message: Message) -> Sequence[Message]:
        waiting = self._waiting.setdefault(lane, [])
        waiting.append(message)
        if len(waiting) < self._window:
            return ()
        del self._waiting[lane]
        return waiting[::-1] if self._random is None else self._random.sample(waiting, len(waiting))

    def end(self) -> None:
        super().end()
        for lane, messages in self._waiting.items():
            for message in messages:
                lane.send(message.raw)
        self._waiting.clear()


# ---- time --------------------------------------------------------------------------------------------------


class Delay(Fault):
    def __init__(self, seconds: float, jitter: float, seed: int, target: Target) -> None:
        super().__init__(target)
        self._seconds, self._jitter, self._random = seconds, jitter, random.Random(seed)

    def draw(self) -> float:
        self.strike()
        return self._seconds + self._random.uniform(0, self._jitter)


class Bandwidth(Fault):
    """A link that all connections share; each direction has its own."""

    def __init__(self, bytes_per_second: float, target: Target) -> None:
        super().__init__(target)
        self._rate = bytes_per_second
        self._free: dict[Direction, float] = {}

    async def pace(self, lane: Lane, size: int) -> None:
        now = asyncio.get_running_loop().time()
        free = max(now, self._free.get(lane.direction, now)) + size / self._rate
        self._free[lane.direction] = free
        self.strike()
        await self.ends_within(free - now)


class HalfOpen(Fault):
    """Bytes and the ends of connections wait until it is over, as behind a cable that is pulled."""


# ---- bytes -------------------------------------------------------------------------------------------------


class ByteFault(Fault):
    """Says what of the bytes at the end of the line goes on: ``None`` for none. Empty bytes are the stream's end."""

    def filter(self, lane: Lane, data: bytes) -> bytes | None:
        raise NotImplementedError


class Swallow(ByteFault):
    """A black hole. A connection that has lost something cannot go on, so it is cut when the fault ends."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._damaged: set[Connection] = set()

    def filter(self, lane: Lane, data: bytes) -> bytes | None:
        self._damaged.add(lane.connection)
        self.strike()
        return None

    def end(self) -> None:
        super().end()
        for connection in self._damaged:
            connection.cut()
        self._damaged.clear()


class Corrupt(ByteFault):
    """Inverts single bytes: the n-th of all that pass, or each with a probability."""

    def __init__(self, at: int | None, probability: float, seed: int, target: Target) -> None:
        super().__init__(target)
        self._at, self._probability, self._random = at, probability, random.Random(seed)
        self._passed = 0

    def filter(self, lane: Lane, data: bytes) -> bytes | None:
        begin, self._passed = self._passed, self._passed + len(data)
        if self._at is not None:
            hit = [self._at - begin] if begin <= self._at < self._passed else []
        else:
            hit = [index for index in range(len(data)) if self._random.random() < self._probability]
        changed = bytearray(data)
        for index in hit:
            changed[index] ^= 0xFF
        if hit:
            self.strike(len(hit))
        return bytes(changed)


class LimitData(ByteFault):
    """Each connection ends after so many more bytes, which arrive."""

    def __init__(self, size: int, target: Target) -> None:
        super().__init__(target)
        self._size = size
        self._left: dict[Lane, int] = {}

    def filter(self, lane: Lane, data: bytes) -> bytes | None:
        left = self._left.get(lane, self._size)
        self._left[lane] = left - len(data)
        if data and left <= len(data):
            lane.end_after_this = True
            self.strike()
        return data[:left]


# ---- connections -------------------------------------------------------------------------------------------


class Refuse(Fault):
    """Nobody listens. Who is refused is not seen, so this never counts a hit."""

    def begin(self) -> None:
        self.proxy.listen_or_not()

    def end(self) -> None:
        super().end()
        self.proxy.listen_or_not()


class CutEvery(Fault):
    def __init__(self, seconds: float, target: Target) -> None:
        super().__init__(target)
        self._seconds = seconds

    def begin(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while self.on:
            await asyncio.sleep(self._seconds)
            self.strike(self.proxy.cut_now(self._connection))

    def end(self) -> None:
        super().end()
        self._task.cancel()
