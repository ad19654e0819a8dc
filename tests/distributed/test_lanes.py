"""The short way between a worker and a server of one machine, and what happens when it is none."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import numpy as np
import pytest
import zmq
from hypothesis import given, settings, strategies as st
from ps_harness import SGD, Learner, LiveServer, all_of, clients, serving, start, starting_again, wait_until

from retrograd.distributed import messages, protocol, transport
from retrograd.distributed.lanes import Door, Lane, Lanes, are_available, lane_of, owner_of
from retrograd.distributed.messages import LaneOffer, TensorSpec

pytestmark = pytest.mark.skipif(not are_available(), reason="this system has no lanes")

ROOM = bytearray((128 << 10) + 1)


@pytest.fixture
def ends() -> Iterator[tuple[Lane, Lane]]:
    pair = tuple(map(Lane, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)))
    yield pair
    for each in pair:
        each.close()


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[type[Any]]]:
    """The kinds of messages that go over ZeroMQ meanwhile."""
    kinds: list[type[Any]] = []
    over_zeromq = transport.Channel._send

    def note(self: transport.Channel, frames: Sequence[Any], to: bytes | None) -> transport.Flight:
        kinds.append(type(protocol.decode(frames)[0]))
        return over_zeromq(self, frames, to)

    with monkeypatch.context() as patch:
        patch.setattr(transport.Channel, "_send", note)
        yield kinds


def lane_to(server: LiveServer, client: Learner) -> Lane:
    """The client's end of its lane, once the server has let it in."""
    wait_until(lambda: client.channels[0]._lanes._by_way, "the client's end of a lane")
    peer = server.within(lambda: server.roster[client.place.rank].peer)
    wait_until(lambda: server.within(lambda: lane_of(peer) in server.channel._lanes._by_way), "the server's end")
    return client.channels[0]._lanes._by_way[b""]


# ---- packets -----------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(frames=st.lists(st.binary(max_size=300), max_size=20))
def test_frames_arrive_as_they_were(frames: list[bytes]) -> None:
    one, other = map(Lane, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    assert one.send(frames)
    came = other.receive(ROOM)
    assert came is not None
    assert [bytes(each) for each in came] == frames
    assert other.receive(ROOM) is None
    assert other.is_open
    for each in (one, other):
        each.close()


def test_what_was_received_is_not_written_over_and_arrays_in_it_stand_straight(ends: tuple[Lane, Lane]) -> None:
    for value in (1, 2):
        ends[0].send([b"odd", np.full(5, value, np.float64).data.cast("B")])
    first, second = (ends[1].receive(ROOM) for _ in range(2))
    assert first is not None
    assert second is not None
    arrays = [np.frombuffer(each[1], np.float64) for each in (first, second)]
    assert [each.tolist() for each in arrays] == [[1.0] * 5, [2.0] * 5]
    assert all(each.flags.aligned and each.flags.writeable for each in arrays)


@settings(deadline=None)
@given(packet=st.binary(min_size=1, max_size=200))
def test_a_packet_that_is_none_ends_the_lane_and_nothing_else(packet: bytes) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    lane = Lane(other)
    one.send(packet)
    frames = lane.receive(ROOM)
    assert lane.is_open == (frames is not None)
    one.close()
    lane.close()


def test_what_does_not_fit_and_what_is_not_taken_is_not_on_its_way(ends: tuple[Lane, Lane]) -> None:
    one, other = ends
    assert not one.send([bytes(128 << 10)])
    assert not one.send([b""] * 1000)
    taken = 0
    while one.send([bytes(1000)]):
        taken += 1
    assert taken > 0
    assert one.is_open
    for _ in range(taken):
        assert other.receive(ROOM) is not None
    assert other.receive(ROOM) is None
    assert one.send([b"again"])
    other.close()
    assert not one.send([b"nobody"])
    assert not one.is_open


# ---- who is let in -----------------------------------------------------------------------------------------


def entered(door: Door, offer: LaneOffer, stack: ExitStack) -> tuple[Lane, Lane]:
    mine = Lane.open(offer)
    assert mine is not None
    stack.callback(mine.close)
    theirs = door.enter()
    assert theirs is not None
    stack.callback(theirs.close)
    door.admit(theirs, ROOM)
    return mine, theirs


def test_a_token_is_good_for_one_lane() -> None:
    with closing(Door()) as door, ExitStack() as stack:
        offer = LaneOffer(door.name, door.promise(b"peer", "user"), 1)
        first, second = entered(door, offer, stack), entered(door, offer, stack)
        third = entered(door, LaneOffer(door.name, "0" * 32, 1), stack)
        promise = first[1].promise
        assert promise is not None
        assert (promise.peer, promise.user) == (b"peer", "user")
        assert [pair[1].is_open for pair in (first, second, third)] == [True, False, False]
    assert Lane.open(offer) is None


def test_the_way_of_a_lane_leads_back_to_its_owner() -> None:
    assert owner_of(lane_of(b"\0abcd")) == owner_of(b"\0abcd") == b"\0abcd"


def test_a_worker_whose_address_has_another_port_opens_none() -> None:
    with closing(Door()) as door, serving() as [server], clients(server) as [client]:
        channel = client.channels[0]
        with client._lock:
            port = int(server.address.rpartition(":")[2])
            channel.follow_lane(LaneOffer(door.name, door.promise(b"", None), port % 65_535 + 1))
            assert channel._lanes._by_way == {}


def test_a_run_without_shared_memory_has_none() -> None:
    with serving(shared=False) as [server], clients(server) as [client]:
        start(client)
        assert client.links[0].welcome.lane is None
        assert server.within(lambda: server.channel._lanes.descriptors) == []


def test_a_server_without_descriptors_goes_on_without_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    lanes = Lanes([poller := zmq.Poller()])
    offer = lanes.offer(b"peer", None, 1)
    assert offer is not None
    mine = Lane.open(offer)
    assert mine is not None
    for _ in range(2):  # it comes in, and shows its token
        lanes.sort(dict.fromkeys(lanes.descriptors, zmq.POLLIN))
    stranger = Lane.open(offer)
    assert stranger is not None
    lanes.sort(dict.fromkeys(lanes.descriptors, zmq.POLLIN))
    monkeypatch.setattr(socket.socket, "accept", none_left)
    lanes.sort(dict.fromkeys(lanes.descriptors, zmq.POLLIN))
    mine.send([b"message"])
    lanes.sort(dict.fromkeys(lanes.descriptors, zmq.POLLIN))
    assert lanes.descriptors == [each for each, _ in poller.sockets]  # else to wait would be to turn in circles
    assert len(lanes.descriptors) == 1  # the worker's lane stays, the door and the stranger's are gone
    ((user, (way, frame)),) = lanes.inbox
    assert (user, way, bytes(frame)) == (None, lane_of(b"peer"), b"message")
    assert lanes.send([b"answer"], way)
    monkeypatch.setattr(socket, "socket", none_left)
    assert lanes.offer(b"peer", None, 1) is None
    for each in (lanes, mine, stranger):
        each.close()


# ---- training ----------------------------------------------------------------------------------------------


def test_small_steps_take_no_message_of_zeromq(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(2) as [server], clients(server) as members:
        start(*members)
        for each in members:
            lane_to(server, each)
        with counted(monkeypatch) as kinds:
            for step in range(5):
                for arrays in all_of(*(lambda c=c: c.learn(1.0) for c in members)):
                    assert arrays[0].tolist() == [-float(step)] * 3
            all_of(*(c.barrier for c in members))
            assert set(kinds) <= {messages.Heartbeat, messages.Pulse}


def test_what_is_too_large_goes_over_zeromq_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    table = (TensorSpec("w", "float32", (50_000,)),)  # 200 kB: too much for a packet, too little to be shared
    with serving() as [server], clients(server) as [client]:
        client.begin(table=table)
        lane_to(server, client)
        with counted(monkeypatch) as kinds:
            assert client.learn(1.0)[0].tolist() == [0.5] * 50_000
        assert {messages.Push, messages.Weights} <= set(kinds)
        with counted(monkeypatch) as kinds:
            client.barrier()
        assert messages.Barrier not in kinds


@pytest.mark.parametrize("end", ["the worker's", "the server's"])
def test_training_goes_on_over_zeromq_when_a_lane_is_gone(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as [server], clients(server) as [client]:
        start(client)
        lane = lane_to(server, client)
        assert client.learn(1.0)[0].tolist() == [0.5] * 3
        if end == "the worker's":
            with client._lock:
                client.channels[0]._lanes._drop(lane)
        else:
            server.within(
                lambda: [server.channel._lanes._drop(each) for each in list(server.channel._lanes._lanes.values())]
            )
        with counted(monkeypatch) as kinds:
            assert client.learn(1.0)[0].tolist() == [0.0] * 3
        assert {messages.Push, messages.Weights} <= set(kinds)
        assert client.learn(1.0)[0].tolist() == [-0.5] * 3


def test_a_server_that_comes_back_has_new_lanes(tmp_path: Any) -> None:
    with serving(folder=tmp_path, durable=True, recovery=60.0) as [former], clients(former, timeout=60.0) as [client]:
        start(client)
        lane = lane_to(former, client)
        client.learn(1.0)
        with starting_again(former, client) as server:
            assert client.learn(1.0)[0].tolist() == [0.0] * 3
            assert lane_to(server, client) is not lane
            assert client.learn(1.0, SGD)[0].tolist() == [-0.5] * 3


def test_nothing_is_left_open() -> None:
    before = len(_unix_sockets())
    with serving(2) as [server], clients(server) as members:
        start(*members)
        for each in members:
            lane_to(server, each)
        assert len(_unix_sockets()) == before + 3  # the door, and the server's end of each
    assert len(_unix_sockets()) == before


def _unix_sockets() -> list[str]:
    """Those of this process, since other tests run beside this one."""
    mine = set()
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the list itself
            mine.add(os.readlink(f"/proc/self/fd/{each}"))
    with open("/proc/net/unix", encoding="ascii", errors="replace") as file:
        rows = [line.split() for line in file if "@retrograd-" in line]
    return [row[-1] for row in rows if f"socket:[{row[6]}]" in mine]
