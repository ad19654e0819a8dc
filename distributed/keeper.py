"""What outlives a server: snapshots of its state, and in a durable run a journal of what came after them.

The journal is the log of what was received and what was decided, so that reading it is being the server once
more: pushes are staged, orders are carried out, and the weights come out with the very numbers they had.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from . import protocol
from .errors import DistributedError, JournalError, Mismatch, ProtocolError, SnapshotError
from .gradients import Gradient, Rows, unpack
from .messages import Array, Order, Push, Slot, Source
from .protocol import name_of
from .staging import Contribution
from .state import Position, State

if TYPE_CHECKING:
    from pathlib import Path

    from .server import Server
    from .server_options import ServerOptions
    from .snapshots import Snapshot

__all__ = ["Keeper"]

log = logging.getLogger("retrograd.distributed.server")

_ADDRESS = "address"  # the name of a file
_AT_THE_END = ", at the end of the run"
_UNREADABLE = (JournalError, ProtocolError, msgspec.MsgspecError)

Record: TypeAlias = tuple[Contribution | None, Order | None]

_position = msgspec.msgpack.Decoder(Position)
_source = msgspec.msgpack.Decoder(Source)
_encode = msgspec.msgpack.Encoder().encode


class _Writing(NamedTuple):
    """A snapshot that a thread is writing."""

    done: Future[Any]
    number: int
    version: int


class Keeper:
    """Writes snapshots and the journal, and reads them.

    A snapshot on the way is written by a thread of its own, from a copy, and the server goes on meanwhile. Until it is
    safe, the journal is not cut.

    Parameters
    ----------
    options : ServerOptions
        Without a `folder` nothing is kept.

    Raises
    ------
    DistributedError
        When the folder cannot be used, or another server uses it.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._store = self._journal = None
        self.last: int | None = None
        """Updates in the last snapshot."""
        self._last_at = time.monotonic()
        self._last_number = 0
        self.clocks: tuple[int, ...] = ()
        """The orders up to which there are snapshots that can be gone back to."""
        self.is_over = False
        """Set when the state is not fit to be kept."""
        self._writing: _Writing | None = None
        self._writer = ThreadPoolExecutor(1, "retrograd-snapshot")
        if options.folder is None:
            return
        from .journal import Journal
        from .snapshots import SnapshotStore

        folder = options.folder / f"server-{options.shard}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DistributedError(f"snapshots cannot be kept in {options.folder}: {error.strerror}") from None
        self._store = SnapshotStore(folder, options.keep, server=options.shard, together=options.shards > 1)
        self._store.own()
        if options.durable:
            try:
                self._journal = Journal(folder / "journal", server=options.shard)
            except JournalError as error:
                raise _damaged(error, folder / "journal") from None

    @property
    def former_address(self) -> str:
        """Where a former life of this server listened, as far as that is known."""
        try:
            return "" if self._store is None else (self._store.folder / _ADDRESS).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def note_address(self, address: str) -> None:
        """Keep where this server listens, for its next life."""
        if self._store is not None:
            with contextlib.suppress(OSError):  # which helps people, and is no reason to end
                (self._store.folder / _ADDRESS).write_text(address + "\n", encoding="ascii")

    @property
    def age(self) -> float:
        """Seconds since the last snapshot."""
        return 0.0 if self.last is None else time.monotonic() - self._last_at

    # ---- writing -------------------------------------------------------------------------------------------

    @property
    def is_replaying(self) -> bool:
        """Whether what the server does now, a former life of it has done."""
        return self._replaying

    def note(self, contribution: Contribution) -> None:
        """Keep a whole push, which is not in the weights yet."""
        if self._journal is not None:
            self._journal.append(self._last_order + 1, _frames_of(contribution))
            if self._options.shards > 1 or self._options.deterministic:
                # Others may count on the push, or its worker go on, before it is in an order.
                self._journal.flush()

    def order(self, order: Order) -> None:
        """Keep what is about to be carried out, once; when this returns it is safe."""
        if order.number <= self._last_order:
            return
        self._last_order = order.number
        if self._journal is not None and not self._replaying:
            self._journal.append(order.number, [protocol.encode(order)[0]])
            self._journal.flush()

    _last_order = 0
    _replaying = False

    def snapshot_if_due(self, server: Server) -> None:
        """Begin a snapshot every so many orders."""
        assert server.state is not None
        if not self._replaying and server.state.position.number % self._options.every == 0:
            self._begin(server)

    def snapshot(self, server: Server) -> bool:
        """Write a snapshot; whether that went well. If not, the older ones stay."""
        self._begin(server, copied=False)
        return self._end(", which the run needs to be durable" if self._journal is not None else "")

    def _begin(self, server: Server, *, copied: bool = True) -> None:
        """Have a snapshot written, after the one before it."""
        state = server.state
        self._end()
        if self._store is None or state is None or self.is_over:
            return
        from .snapshots import Snapshot

        tensors = state.tensors()  # before the position, into which it writes
        if copied:
            tensors = {name: array.copy() for name, array in tensors.items()}
        number, version = state.position.number, state.position.version
        snapshot = Snapshot(number, _encode(state.position), tensors)
        self._carry_over(server, number)
        self._writing = _Writing(self._writer.submit(self._store.save, snapshot), number, version)

    def _carry_over(self, server: Server, number: int) -> None:
        """Note again in the journal what follows the snapshot and was noted before it."""
        if self._journal is None:
            return
        try:
            for contribution in server.staging.whole():
                self._journal.append(number + 1, _frames_of(contribution))
            self._journal.flush()
        except DistributedError as error:
            log.error("the journal cannot be written: %s", error)  # the next order ends the run

    def look(self) -> None:
        """See whether a snapshot is finished."""
        if self._writing is not None and self._writing.done.done():
            self._end()

    def _end(self, matters: str = "") -> bool:
        """Wait for the snapshot that is being written, and drop what it makes superfluous; whether it went well.

        `matters` is said of one that does not.
        """
        if self._writing is None:
            return True
        (done, number, version), self._writing = self._writing, None
        assert self._store is not None
        try:
            done.result()
        except DistributedError as error:
            log.error("no snapshot of update %d%s: %s", version, matters or ", and training goes on", error)
            return False
        self.last, self._last_at, self._last_number = version, time.monotonic(), number
        try:
            # Later ones, if there are any, are damaged.
            self.clocks = tuple(clock for clock in self._store.clocks() if clock <= number)
            if self._journal is not None:
                self._journal.cut(min(self.clocks))
        except DistributedError as error:
            log.error("what the snapshot of update %d makes superfluous stays: %s", version, error)
        return True

    def finish(self, server: Server) -> bool:
        """Keep the end of a run; whether all updates are in a snapshot or the journal, if they are to be."""
        self._end(_AT_THE_END)
        state = server.state
        if state is None or state.position.number == self._last_number:
            return True
        self._begin(server, copied=False)
        behind = state.position.version - (self.last or 0)
        if self._end(_AT_THE_END) or self._journal is not None or not behind:
            return True
        kept = "there is none" if self.last is None else f"the newest is of update {self.last}"
        log.error("the run is over, and its last %d updates are in no snapshot: %s", behind, kept)
        return False

    def close(self) -> None:
        self._end()
        self._writer.shutdown()
        for each in (self._store, self._journal):
            if each is not None:
                each.close()

    def pin(self, number: int | None) -> None:
        """Drop nothing that is as new as order `number`, up to which every server of the run has a snapshot."""
        if self._store is not None:
            self._store.pinned = number

    def rewind(self, number: int) -> None:
        """Forget what came after order `number`."""
        self._end()
        for each in (self._store, self._journal):
            if each is not None:
                each.rewind(number)

    # ---- reading -------------------------------------------------------------------------------------------

    def restore(self, older: int) -> State | None:
        """The state of the newest whole snapshot, if there is one.

        Raises
        ------
        DistributedError
            When there is none and there should be, or when it is no snapshot of this server.
        """
        if self._store is None:
            return None
        snapshot = self._store.latest()
        if snapshot is None:
            self._check_new()
            return None
        state = self._state_of(snapshot, older)
        position = state.position
        self.last, self._last_number, self._last_order = position.version, position.number, position.number
        # Later ones are damaged.
        self.clocks = tuple(clock for clock in self._store.clocks() if clock <= position.number)
        if self._journal is not None and self._journal.is_empty and position.number:
            log.warning("there is no journal in %s: if there was one, what came after order %d is lost",
                        self._store.folder, position.number)  # fmt: skip
        return state

    def _check_new(self) -> None:
        """Raise unless a server that finds no snapshot may begin."""
        assert self._store is not None
        if self._options.resume:
            raise DistributedError(f"nothing to resume from: {self._store.folder} holds no whole snapshot")
        if self._journal is not None and not self._journal.is_empty:
            raise DistributedError(
                f"{self._store.folder} holds a journal and no whole snapshot that it goes on from: nothing can be made "
                "of it. Put the snapshots back, or choose another folder with --snapshots"
            )

    def _state_of(self, snapshot: Snapshot, older: int) -> State:
        options = self._options
        try:
            position = _position.decode(snapshot.meta)
            if (position.shard, position.shards) != (options.shard, options.shards):
                raise Mismatch(
                    f"it is of server {position.shard} of {position.shards}, and this is server {options.shard} of "
                    f"{options.shards}: a run goes on with as many servers as it had, each in its own folder"
                )
            return State.restored(position, snapshot.tensors, options.backend, older, shared=options.shared)
        except (Mismatch, LookupError, ValueError, msgspec.MsgspecError) as error:
            why = error if isinstance(error, Mismatch) else f"{error!r}, so another version of retrograd has written it"
            assert self._store is not None
            raise SnapshotError(
                f"this server cannot go on from the snapshot of order {snapshot.clock} in {self._store.folder}: {why}"
            ) from None

    def replay(self, after: int) -> Iterator[Record]:
        """What the journal has after an order: pushes that were received, and orders, as they came."""
        try:
            yield from self._records(after)
        except _UNREADABLE as error:
            assert self._journal is not None
            raise _damaged(error, self._journal.folder) from None

    def _records(self, after: int) -> Iterator[Record]:
        if self._journal is None:
            return
        self._replaying = True
        try:
            for _, frames in self._journal.replay(after):
                yield _record_of(frames)
        finally:
            self._replaying = False

    def earlier_orders(self, number: int) -> list[Order]:
        """The orders up to `number` that the journal has, since the oldest snapshot from which it can be read.

        The state has them already. Other servers may not.
        """
        for clock in sorted(clock for clock in self.clocks if clock < number):
            try:
                orders = [order for _, order in self._records(clock) if order is not None and order.number <= number]
            except _UNREADABLE as error:
                log.warning("the orders after order %d cannot be read: %s", clock, error)
                continue
            if [each.number for each in orders] == list(range(clock + 1, number + 1)):
                return orders
        return []


def _damaged(error: Exception, folder: Path) -> DistributedError:
    """What is said of a journal that cannot be read, and what can be done."""
    if isinstance(error, JournalError) and error.errno is not None:
        return error  # the system has refused something
    return JournalError(
        f"{error}. What follows cannot be known, so the server does not start. To go on from the newest snapshot "
        f"alone, and lose what came after it, move {folder} away"
    )


def _frames_of(contribution: Contribution) -> list[protocol.Frame]:
    slots: list[Slot] = []
    arrays: list[Array] = []
    for index, gradient in contribution.gradients.items():
        slot, several = _slot(index, gradient)
        slots.append(slot)
        arrays.extend(several)
    push = Push(
        tuple(slots),
        contribution.source.seq,
        contribution.step,
        version=contribution.version,
        groups=contribution.groups,
        present=tuple(contribution.gradients),
    )
    return [_encode(contribution.source), *protocol.encode(push, arrays)]


def _slot(index: int, gradient: Gradient) -> tuple[Slot, list[Array]]:
    if isinstance(gradient, Rows):
        name = name_of(gradient.values)
        return Slot(index, name, gradient.shape, rows=len(gradient.numbers)), [gradient.numbers, gradient.values]
    return Slot(index, name_of(gradient), gradient.shape), [gradient]


def _record_of(frames: list[bytes]) -> Record:
    if len(frames) == 1:
        message, _ = protocol.decode(frames)
        assert isinstance(message, Order)
        return None, message
    source = _source.decode(frames[0])
    message, arrays = protocol.decode(frames[1:])
    assert isinstance(message, Push)
    gradients = unpack(message.tensors, arrays)
    return Contribution(source, message.step, message.version, message.groups, gradients), None
