"""Defects of the product: each takes one protection away, for as long as a `pytest.MonkeyPatch` lasts."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from retrograd.distributed import (
    disk,
    gradients,
    journal,
    keeper,
    link,
    messages,
    recovery,
    roster,
    server,
    snapshots,
    strategies,
)
from retrograd.distributed.answers import Answers
from retrograd.distributed.keeper import Keeper
from retrograd.distributed.lead import Lead
from retrograd.distributed.link import Link
from retrograd.distributed.office import Office
from retrograd.distributed.routine import Routine
from retrograd.distributed.server import Server
from retrograd.distributed.sparing import Sparing
from retrograd.distributed.staging import Contribution, Staging, _Assembly
from retrograd.distributed.state import State
from retrograd.distributed.strategies import BoundedStaleness, Decision, Synchronous

from .world import MOMENTUM

Patch: TypeAlias = pytest.MonkeyPatch
Mutant: TypeAlias = Callable[[Patch], None]


def nothing(*_: Any, **__: Any) -> None:
    """What a method does whose work is left out."""


# ---- exactly once ------------------------------------------------------------------------------------------


def no_table_of_what_came(patch: Patch) -> None:
    """Every request is taken for a new one."""

    def is_new(self: Server, member: roster.Member, request: roster.Request) -> bool:
        member.received = min(member.received, request.seq - 1)
        if isinstance(request, messages.Push):
            member.step = min(member.step, request.step - 1)
        return True

    patch.setattr(Server, "_is_new", is_new)


def no_answer_twice(patch: Patch) -> None:
    """What was answered is not answered again."""
    original = Server._is_new

    def is_new(self: Server, member: roster.Member, request: roster.Request) -> bool:
        return request.seq > member.received and original(self, member, request)

    patch.setattr(Server, "_is_new", is_new)


def nothing_said_again(patch: Patch) -> None:
    """A worker does not notice that the server lacks its request."""
    patch.setattr(Link, "_is_missed", lambda *_: False)


def stranger_not_greeted(patch: Patch) -> None:
    """A worker does not say HELLO over a new connection."""
    patch.setattr(Link, "_greet", _only_first(Link._greet))


def _only_first(greet: Callable[[Link, float], None]) -> Callable[[Link, float], None]:
    def once(self: Link, now: float) -> None:
        if self.welcome is None:
            greet(self, now)

    return once


def table_not_kept(patch: Patch) -> None:
    """A server that comes back does not know which pushes are in its weights."""
    original = recovery.former_member

    def former(server: Server, rank: int, incarnation: int) -> roster.Member:
        member = original(server, rank, incarnation)
        member.received = member.answered = 0
        return member

    patch.setattr(recovery, "former_member", former)


# ---- whole or not at all -----------------------------------------------------------------------------------


def half_a_push_counts(patch: Patch) -> None:
    """A push is taken for whole when its first part has come."""

    def add(self: Staging, source: messages.Source, push: messages.Push, came: gradients.Gradients) -> Any:
        assembly = self._assemblies.setdefault(source, _Assembly())
        assembly.add(push, came)
        whole = {index: gradient for index, (_, gradient) in assembly.gradients.items()}
        contribution = self._whole[source] = _contribution(source, push, whole)
        return contribution

    def _contribution(source: messages.Source, push: messages.Push, whole: Any) -> Any:
        return Contribution(source, push.step, push.version, push.groups or MOMENTUM, whole)

    patch.setattr(Staging, "add", add)


def last_part_is_all(patch: Patch) -> None:
    """A push is taken for whole when its last part has come."""
    patch.setattr(_Assembly, "is_whole", property(lambda self: self.last is not None))


def half_is_applied(patch: Patch) -> None:
    """Of the second contribution to an update only the first slice goes in."""
    original = State.apply

    def apply(self: State, addends: Any, *rest: Any) -> None:
        original(self, [addends[0], *({0: each[0]} for each in addends[1:])], *rest)

    patch.setattr(State, "apply", apply)


def nothing_is_applied(patch: Patch) -> None:
    """Gradients are all zero when they come to the optimizer."""
    original = State.apply

    def apply(self: State, addends: Any, *rest: Any) -> None:
        original(self, [{index: 0 * each for index, each in one.items()} for one in addends], *rest)

    patch.setattr(State, "apply", apply)


def order_of_arrival(patch: Patch) -> None:
    """Gradients are added up as they come and not in the order of ranks."""
    original = Synchronous._advance

    def advance(self: Synchronous) -> list[Decision]:
        arrived = [claim.source for claim in self._waiting.get(self.frontier + 1, {}).values()]
        decisions = original(self)
        for each in decisions:
            object.__setattr__(each, "sources", tuple(sorted(each.sources, key=arrived.index)))
        return decisions

    patch.setattr(Synchronous, "_advance", advance)


def sum_of_those_who_are_left(patch: Patch) -> None:
    """The sum over those who take part is not made the mean over them."""
    original = Synchronous._advance

    def advance(self: Synchronous) -> list[Decision]:
        decisions = original(self)
        for each in decisions:
            object.__setattr__(each, "scale", 1.0)
        return decisions

    patch.setattr(Synchronous, "_advance", advance)


def abandoned_parts_stay(patch: Patch) -> None:
    """What has come of a dead worker's push stays in memory."""
    patch.setattr(Staging, "forget", nothing)


# ---- what survives -----------------------------------------------------------------------------------------


def journal_not_written(patch: Patch) -> None:
    """Orders are in no journal."""

    def order(self: Keeper, order: messages.Order) -> None:
        self._last_order = max(order.number, self._last_order)

    patch.setattr(Keeper, "order", order)


def journal_not_flushed(patch: Patch) -> None:
    """The journal is written, and never flushed."""
    patch.setattr(journal.Journal, "flush", nothing)


def no_fsync(patch: Patch) -> None:
    """Everything is flushed, and the disk is not asked."""
    patch.setattr(journal, "sync_data", nothing)
    patch.setattr(disk.os, "fsync", nothing, raising=True)


def snapshot_in_place(patch: Patch) -> None:
    """A snapshot is written where it is to be, and not aside."""

    @contextlib.contextmanager
    def written(path: Path, kind: str, *, sync: bool = True, server: int = 0) -> Iterator[int]:
        for each in path.parent.glob("snapshot-*.safetensors"):
            each.rename(path)  # over the one before
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        yield descriptor
        for point in ("before_sync", "before_rename", "after_rename"):
            snapshots.failpoint(f"{kind}.{point}", server)
        os.fsync(descriptor)
        os.close(descriptor)

    patch.setattr(snapshots, "written_aside", written)


def no_checksum(patch: Patch) -> None:
    """Bits may flip in a snapshot."""
    patch.setattr(snapshots, "_crc32", lambda data: "00000000")
    patch.setattr(snapshots, "_stream", _stream_without_sum)


def _stream_without_sum(descriptor: int, data: memoryview) -> str:
    snapshots.write_all(descriptor, [data])
    return "00000000"


def no_older_snapshot(patch: Patch) -> None:
    """Only the newest snapshot is looked at."""

    def latest(self: snapshots.SnapshotStore, at_most: int | None = None) -> snapshots.Snapshot | None:
        return self.load(max(self.clocks())) if self.clocks() else None

    patch.setattr(snapshots.SnapshotStore, "latest", latest)


def full_disk_is_fatal(patch: Patch) -> None:
    """A snapshot that cannot be written ends the server."""
    patch.setattr(keeper, "DistributedError", ZeroDivisionError)


def going_back_unnoticed(patch: Patch) -> None:
    """Workers do not hear that a server has gone back."""
    patch.setattr(Link, "_for_server", lambda self, message: message)


# ---- who is there ------------------------------------------------------------------------------------------


def silence_unnoticed(patch: Patch) -> None:
    """The silent are waited for for ever."""
    patch.setattr(roster.Roster, "silent", lambda *_: [])


def the_dead_are_waited_for(patch: Patch) -> None:
    """Who is lost is waited for all the same."""
    patch.setattr(Lead, "gone", nothing)


def stale_incarnation_welcome(patch: Patch) -> None:
    """A worker that was declared lost goes on as if it had not been."""
    patch.setattr(roster.Roster, "_member_for", lambda self, hello, now: self[hello.rank])
    original = roster.Roster.admit

    def admit(self: roster.Roster, hello: messages.Hello, peer: bytes, now: float) -> roster.Member:
        member = self[hello.rank]
        if member.state == "lost" and member.incarnation == hello.incarnation:
            member.state, member.takes_part = "joined", True
        return original(self, hello, peer, now)

    patch.setattr(roster.Roster, "admit", admit)
    check = Synchronous._check

    def nobody_is_missing(self: Synchronous, claim: strategies.Claim) -> None:
        self.clocks.setdefault(claim.source.rank, claim.step - 1)
        check(self, claim)

    patch.setattr(Synchronous, "_check", nobody_is_missing)


def late_gradients_count(patch: Patch) -> None:
    """With backup workers a gradient that comes too late is an update of its own."""
    original = Synchronous.offer

    def offer(self: Synchronous, claim: strategies.Claim) -> list[Decision]:
        return [
            Decision(each.frontier, each.dropped, each.scale) if each.dropped else each
            for each in original(self, claim)
        ]

    patch.setattr(Synchronous, "offer", offer)


def no_backups(patch: Patch) -> None:
    """All are waited for, backups or not."""
    patch.setattr(
        Synchronous, "_is_complete", lambda self, arrived: bool(arrived) and self.clocks.keys() <= arrived.keys()
    )


def no_bound(patch: Patch) -> None:
    """Nobody waits, whatever the staleness."""
    patch.setattr(BoundedStaleness, "may_answer", lambda *_: True)


def the_oldest_there_are(patch: Patch) -> None:
    """A worker of a deterministic run reads the oldest weights that are kept."""
    patch.setattr(Office, "readable", lambda self, step, frontier: 0 if self.older else None)


def everybody_waits(patch: Patch) -> None:
    """Everyone waits for all, whatever the staleness."""
    patch.setattr(BoundedStaleness, "may_answer", lambda self, step, frontier: frontier >= step)


def silent_server_unnoticed(patch: Patch) -> None:
    """A worker waits for a server for ever."""
    patch.setattr(Link, "tick", lambda self, now, *, waiting_since=None: None)


def impatient(patch: Patch) -> None:
    """A worker gives a server up at the first pause."""
    original = Link.tick

    def tick(self: Link, now: float, *, waiting_since: float | None = None) -> None:
        self.recovery = 0.0
        original(self, now, waiting_since=waiting_since)

    patch.setattr(Link, "tick", tick)


def hello_all_the_time(patch: Patch) -> None:
    """A worker does not wait for the answer to HELLO before it says it again."""
    patch.setattr(link, "_HELLO_AGAIN", -1.0)


# ---- who is let in with what -------------------------------------------------------------------------------


def no_credit(patch: Patch) -> None:
    """A worker may have as much under way as it likes."""
    patch.setattr(Server, "_check_credit", nothing)


def slow_readers_are_sent_more(patch: Patch) -> None:
    """A worker that has not read its weights is sent more."""
    original = Answers._send_weights
    patch.setattr(Answers, "_send_weights", lambda *args: [each for each in original(*args) if each.landed])


def no_shapes(patch: Patch) -> None:
    """A gradient of any shape is taken."""
    patch.setattr(State, "check_gradients", nothing)


def strangers_end_the_server(patch: Patch) -> None:
    """A message that is none is an error of the server."""
    patch.setattr(server, "ProtocolError", ZeroDivisionError)


def strangers_fill_the_log(patch: Patch) -> None:
    """Each bad message has a line in the log."""
    patch.setattr(Sparing, "__call__", lambda self, *logged: self._log.log(*logged))


def no_finite_check(patch: Patch) -> None:
    """Nobody looks for NaN."""
    patch.setattr(Office, "is_admissible", lambda *_: True)
    patch.setattr(Office, "may_overflow", lambda *_: False)


def finite_check_always(patch: Patch) -> None:
    """NaN is refused though the run allows it."""
    patch.setattr(Office, "looks", True)


def sums_are_not_looked_at(patch: Patch) -> None:
    """Finite gradients are taken to have a finite sum."""
    patch.setattr(Office, "may_overflow", lambda *_: False)


def routine_does_not_look(patch: Patch) -> None:
    """In a step like the one before, gradients are taken to be finite."""
    original = Routine.__init__

    def init(self: Routine, server: Server) -> None:
        original(self, server)
        self._most = 0.0

    patch.setattr(Routine, "__init__", init)


def wall_clock(patch: Patch) -> None:
    """The server looks at the wall clock."""
    original = Server.__init__

    def init(self: Server, options: Any, channel: Any, clock: Callable[[], float]) -> None:
        original(self, options, channel, lambda: clock() + time.time() - 1.7e9 if time.time() > 2e9 else clock())

    patch.setattr(Server, "__init__", init)


def no_end(patch: Patch) -> None:
    """A server whose workers are gone waits for others."""
    patch.setattr(roster.Roster, "is_over", lambda *_, **__: False)
