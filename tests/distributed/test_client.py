"""A worker's side: what it does when answers are lost, and when the server is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import zmq
from ps_harness import Learner, clients, place_in, serving, together

from retrograd.distributed import client as client_module, link as link_module, protocol, transport
from retrograd.distributed.client import Client
from retrograd.distributed.environment import Environment
from retrograd.distributed.errors import DistributedError, ServerLost
from retrograd.distributed.server import Server


def place(address: str, timeout: float = 10.0) -> Environment:
    return Environment(0, 1, (address,), timeout=timeout)


def test_no_server_is_an_error_that_names_the_address() -> None:
    with pytest.raises(
        ServerLost,
        match=r"worker 0 finds no server at tcp://127\.0\.0\.1:9: nobody has answered for 0\.3 s. Start the server",
    ):
        Client(place("tcp://127.0.0.1:9", timeout=0.3))


def test_what_is_no_address_is_an_error() -> None:
    with pytest.raises(DistributedError, match="'nonsense' is no address to connect to"):
        Client(place("nonsense"))


def test_servers_in_another_order_are_an_error() -> None:
    with serving(1, shards=2) as [first, second], pytest.raises(DistributedError, match="name all servers in their"):
        Client(Environment(0, 1, (second.address, first.address)))


def test_fewer_servers_than_there_are_is_an_error() -> None:
    with serving(1, shards=2) as [first, _], pytest.raises(DistributedError, match="is server 0 of 2, and"):
        Client(Environment(0, 1, (first.address,)))


def test_a_server_that_falls_silent_is_an_error_and_not_a_hang() -> None:
    with serving(1) as [server]:
        client = Learner(place_in(server, timeout=1.5))
        client.begin()
    began = time.monotonic()
    with pytest.raises(ServerLost, match=rf"worker 0 has lost the server at {server.address}: no sign of life"):
        client.learn()
    assert time.monotonic() - began < 20
    with pytest.raises(ServerLost):  # and on every later request, at once
        client.barrier()
    client.close()


def test_a_server_that_starts_again_without_its_weights_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "HEARTBEAT", 0.1)
    with serving(1) as [former]:
        client = Learner(place_in(former, timeout=60))
        client.begin()
    with serving(1, bind=former.address):
        with pytest.raises(ServerLost, match=f"server at {former.address} has started again without its weights"):
            client.learn()
        client.close()


def test_nothing_is_left_of_a_closed_client() -> None:
    before = set(threading.enumerate())
    with serving(1) as [server]:
        Client(place_in(server)).close()
    assert set(threading.enumerate()) <= before


def test_nothing_is_left_of_a_client_that_was_not_let_in() -> None:
    before = set(threading.enumerate())
    with serving(2, run="other") as [server], pytest.raises(DistributedError, match="serves run 'other', not ''"):
        Client(Environment(0, 2, (server.address,)))
    assert set(threading.enumerate()) <= before


# ---- lost messages ----------------------------------------------------------------------------------------


@contextmanager
def losing(direction: str, server: Server, losses: int) -> Iterator[str]:
    """A relay that loses the first `losses` requests (or answers) that matter, and passes on the rest."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    front = transport.listen(context, "tcp://127.0.0.1:*")
    backs: dict[bytes, transport.Channel] = {}
    stop, left = threading.Event(), [losses]

    def lost(frames: list[bytes]) -> bool:
        message, _ = protocol.decode(frames)
        matters = isinstance(message, protocol.Push if direction == "requests" else protocol.Weights)
        if matters and left[0] and message.seq > 1:
            left[0] -= 1
            return True
        return False

    def relay() -> None:
        while not stop.is_set():
            if front.poll(0.01):
                peer, *frames = map(bytes, front.socket.recv_multipart())
                back = backs[peer] = backs.get(peer) or transport.connect(context, server.address)
                if not (direction == "requests" and lost(frames)):
                    back.poll(10, to_send=True)
                    back.socket.send_multipart(frames)
            for peer, back in backs.items():
                while back.poll(0):
                    frames = back.socket.recv_multipart()
                    if not (direction == "answers" and lost(frames)):
                        front.socket.send_multipart([peer, *frames])
        context.destroy(linger=0)

    thread = threading.Thread(target=relay)
    thread.start()
    try:
        yield front.address
    finally:
        stop.set()
        thread.join()
    assert left == [0], "the relay had nothing to lose"


@pytest.mark.parametrize("direction", ["requests", "answers"])
def test_a_lost_message_is_sent_again_and_applied_once(direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "_REPEAT", 0.3)
    with serving(1) as [server], losing(direction, server, losses=2) as address:
        client = Learner(place(address))
        client.begin()
        for step in (1, 2):
            [learnt] = together(client.learn)
            np.testing.assert_array_equal(learnt[0], 1 - 0.5 * step)
        client.close()
        assert server.state.position.version == 2
        assert sum(link.retries for link in client.links) >= 2


def test_a_request_that_waits_for_others_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "_REPEAT", 0.1)
    monkeypatch.setattr(client_module, "HEARTBEAT", 0.1)
    with serving(2) as [server], clients(server) as [first, second]:
        waiting = threading.Thread(target=first.barrier)
        waiting.start()
        waiting.join(1.0)  # many times the delay, and ten heartbeats
        second.barrier()
        waiting.join()
        assert server.counters.duplicates == 0
