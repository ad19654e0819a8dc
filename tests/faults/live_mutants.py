"""Defects that need real sockets, files and keys to be found: each takes one protection away, as in `mutants`."""

from __future__ import annotations

from typing import Any

import zmq

from retrograd.distributed import handshake, lead as lead_module, recovery, server as server_module, transport
from retrograd.distributed.floods import Floods
from retrograd.distributed.follower import Follower
from retrograd.distributed.keeper import Keeper
from retrograd.distributed.lanes import Door, Lane, Promise
from retrograd.distributed.lead import Lead
from retrograd.distributed.security import Keyring, ServerKeys
from retrograd.distributed.server import Server
from retrograd.distributed.transport import Channel

from .mutants import Patch, nothing

# ---- all go back together ----------------------------------------------------------------------------------


def who_is_behind_speaks(patch: Patch) -> None:
    """A server that has come back from before the others answers workers all the same."""
    patch.setattr(Lead, "may_speak", True)
    patch.setattr(Follower, "may_speak", property(lambda self: True, nothing), raising=False)


def return_of_the_first_unnoticed(patch: Patch) -> None:
    """A first server that comes back without a journal goes on as if the others had done no more than it."""

    def restored(self: Lead, position: Any, *, anew: bool) -> None:
        self.number = position.number
        self.strategy.restore(position.clocks, position.made, position.frontier, position.version)

    patch.setattr(Lead, "restored", restored)


def the_lost_are_not_called_gone(patch: Patch) -> None:
    """After all have gone back, who was given up before is taken for one that has said goodbye."""
    expect = recovery._expect

    def all_left(server: Server, position: Any, *, anew: bool) -> None:
        expect(server, position, anew=anew)
        for member in server.roster:
            member.state = "left" if member.state == "lost" else member.state

    patch.setattr(recovery, "_expect", all_left)


def nobody_goes_back(patch: Patch) -> None:
    """A server that has come back from before the others is sent what comes next."""
    patch.setattr(Lead, "_has_gap", lambda *_, **__: False)


# ---- writing snapshots beside training ---------------------------------------------------------------------


def no_copy_is_taken(patch: Patch) -> None:
    """A snapshot is written from the very weights that training goes on to change."""
    begin = Keeper._begin
    patch.setattr(Keeper, "_begin", lambda self, server, *, copied=True: begin(self, server, copied=False))


# ---- twins -------------------------------------------------------------------------------------------------


def twins_share_a_place(patch: Patch) -> None:
    """Whoever says that it is a server of the run is one."""
    patch.setattr(lead_module, "_ASLEEP", 0.0)


# ---- floods ------------------------------------------------------------------------------------------------


def a_message_need_not_end(patch: Patch) -> None:
    """Nobody looks how much of a message has come."""
    patch.setattr(Floods, "look", nothing)


# ---- damaged bytes -----------------------------------------------------------------------------------------


def no_checksum_of_messages(patch: Patch) -> None:
    """What a message's bytes were when it was sent is not known."""
    patch.setattr(transport, "seal", lambda frames: frames)


def damage_is_an_error(patch: Patch) -> None:
    """Who has sent a message that was damaged is told what is wrong with it, and not to say it again."""
    patch.setattr(server_module, "Damaged", ())


def a_deaf_connection_is_kept(patch: Patch) -> None:
    """A connection over which nothing comes is waited for."""
    patch.setattr(transport.Hearing, "look", nothing)


# ---- keys --------------------------------------------------------------------------------------------------


def any_key_is_any_workers(patch: Patch) -> None:
    """Whose key it is, is not looked at."""
    patch.setattr(Keyring, "allows", nothing)


def nobody_looks_at_the_list(patch: Patch) -> None:
    """Connections are encrypted, and with whom is not asked."""

    def guard(socket: zmq.Socket[bytes], keys: ServerKeys) -> None:
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)

    patch.setattr(transport, "guard_server", guard)


def no_key_is_needed(patch: Patch) -> None:
    """A server with keys lets in who has none."""
    patch.setattr(transport, "guard_server", nothing)


def refusals_are_not_told(patch: Patch) -> None:
    """Who is refused does not hear of it."""
    patch.setattr(Channel, "refusal", nothing)


def a_name_is_believed(patch: Patch) -> None:
    """On a server without keys a name that a peer gives itself is taken for that of a key."""

    def receive(self: Channel) -> Any:
        parts = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
        self.user = handshake.user_of(parts[0])
        return [part.buffer for part in parts]

    patch.setattr(Channel, "receive", receive)


# ---- lanes -------------------------------------------------------------------------------------------------


def any_token_opens_a_lane(patch: Patch) -> None:
    """Whoever comes to the door is taken for a worker."""

    def admit(self: Door, lane: Lane, room: bytearray) -> Promise | None:
        lane.receive(room)
        lane.promise = Promise(b"peer", "user")
        return lane.promise

    patch.setattr(Door, "admit", admit)


def a_chosen_way_is_left(patch: Patch) -> None:
    """A worker takes a lane although its address leads elsewhere, as through a proxy."""
    patch.setattr(Channel, "follow_lane", lambda self, offer: self._lanes.follow(offer))
