"""A server that comes back: from its snapshot and its journal, or from a snapshot alone."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from . import transport
from .addresses import names_a_port
from .errors import AddressInUse
from .roster import Member
from .state import Position

if TYPE_CHECKING:
    import zmq

    from .security import ServerKeys
    from .server import Server

__all__ = ["former_member", "listen", "note_address", "restore"]

log = logging.getLogger("retrograd.distributed.server")


def listen(server: Server, context: zmq.Context[Any], keys: ServerKeys | None) -> transport.Channel:
    """A server's channel, where it was told to listen; if no port was given, at its former one, which others know."""
    options, former = server.options, server.keeper.former_address

    def at(address: str) -> transport.Channel:
        return transport.listen(context, address, keys=keys, insecure=options.insecure, max_frame=options.max_frame)

    if not options.resume and not names_a_port(options.bind) and _host(former) == _host(options.bind):
        with contextlib.suppress(AddressInUse):
            return at(former)
    return at(options.bind)


def _host(address: str) -> str:
    host = address.rpartition(":")[0]
    return "tcp://0.0.0.0" if host == "tcp://*" else host


def note_address(server: Server) -> None:
    """Keep where a server listens, and warn if the workers of its former life do not know."""
    former, here = server.keeper.former_address, server.address
    if former not in ("", here) and server.state is not None and not server.options.resume:
        log.warning(
            "the other processes of this run look for this server at %s, where it listened before, and it listens at "
            "%s: start it with --bind %s, unless something leads them here", former, here, former,
        )  # fmt: skip
    server.keeper.note_address(here)


def restore(server: Server, *, anew: bool = False) -> None:
    """Let a server stand where its former life stood, as far as that was kept; `anew`, without its workers."""
    state = server.keeper.restore(server.office.older)
    if state is None:
        return
    server.state = state
    if server.office.judges and server.options.shards > 1:
        for former in server.keeper.earlier_orders(state.position.number):
            server.office.replayed(former)
    for contribution, order in server.keeper.replay(state.position.number):
        if contribution is not None:
            server.staging.put(contribution)
        if order is not None:
            server.office.replayed(order)
            server.carry_out(order)
    position, anew = state.position, anew or server.options.resume
    if anew:
        ranks = [each.rank for each in server.roster if each.is_counted_on]
        position.incarnations.clear()
        position.made.clear()
        position.clocks = dict.fromkeys(ranks, position.frontier)
        if server.office.judges:
            # What they had under way goes with them. Others need theirs where they are behind: it may be in an order.
            for contribution in server.staging.whole():
                server.staging.forget(contribution.source.rank)
    server.office.restored(position, anew=anew)
    _expect(server, position, anew=anew)
    if anew:
        if server.options.resume or server.options.durable:
            server.keeper.snapshot(server)  # else one that dies soon would wait for workers that are none any more
    else:
        for contribution in server.staging.whole():
            server.office.staged(contribution)
    log.info("back at update %d, order %d", position.version, position.number)


def _expect(server: Server, position: Position, *, anew: bool) -> None:
    """Count on the workers that are to come again."""
    for rank, incarnation in position.incarnations.items():
        server.roster.restore(former_member(server, rank, incarnation))
    for member in server.roster:
        if member.rank not in position.clocks:
            # Nobody waits for it. One that was given up and lives on may join again.
            member.state = "lost" if member.state == "lost" else "left"
        elif not anew:
            server.roster.expect_again(member.rank, server.now())


def former_member(server: Server, rank: int, incarnation: int) -> Member:
    """A worker that took part in the server's former life, and is expected to say HELLO again."""
    assert server.state is not None
    position = server.state.position
    settled = position.applied.get(rank)
    received = settled.seq if settled is not None and settled.incarnation == incarnation else 0
    step = position.clocks[rank]
    for each in server.staging.whole():
        if (each.source.rank, each.source.incarnation) == (rank, incarnation):
            received, step = max(received, each.source.seq), max(step, each.step)
    return Member(
        rank,
        "joined",
        incarnation,
        heard=server.now(),
        takes_part=True,
        step=step,
        received=received,
        answered=received,
    )
