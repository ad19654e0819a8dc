"""A worker's side: what it does when answers are lost, and when the server is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import zmq
from ps_harness import SGD, SLOTS, TABLE, clients, serving, together, weights

from retrograd.distributed import client as client_module, protocol, transport
from retrograd.distributed.client import Client
from retrograd.distributed.environment import Environment
from retrograd.distributed.errors import DistributedError, ServerLost
from retrograd.distributed.server import Server


def place(address: str, timeout: float = 10.0) -> Environment:
    return Environment(0, 1, (address,), timeout=timeout)


def test_no_server_is_an_error_that_names_the_address() -> None:
    with pytest.raises(
        ServerLost, match=r"lost the server at tcp://127\.0\.0\.1:9 in step 1: no connection for 0\.3 s"
    ):
        Client(place("tcp://127.0.0.1:9", timeout=0.3))


def test_what_is_no_address_is_an_error() -> None:
    with pytest.raises(DistributedError, match="'nonsense' is no address to connect to"):
        Client(place("nonsense"))


def test_two_servers_are_more_than_this_version_can() -> None:
    with pytest.raises(DistributedError, match="names 2 servers"):
        Client(Environment(0, 1, ("tcp://127.0.0.1:1", "tcp://127.0.0.1:2")))


def test_a_server_that_falls_silent_is_an_error_and_not_a_hang() -> None:
    with serving(1) as server:
        client = Client(place(server.address, timeout=1.5))
        client.initialize("SGD", SGD, TABLE, weights())
    began = time.monotonic()
    with pytest.raises(ServerLost, match=rf"worker 0 has lost the server at {server.address} in step 1"):
        client.push(SGD, SLOTS, weights())
    assert time.monotonic() - began < 10
    client.close()


def test_a_silence_that_is_our_own_is_not_the_server_s() -> None:
    with serving(2) as server, clients(server) as [first, second]:
        # As after an hour in which this process was stopped: the last pulse is old, the server well.
        first._heart.stop()
        first._heart._pulse = (time.monotonic() - 3600, 0.0, protocol.Pulse(0, 0))
        waiting = threading.Thread(target=first.barrier)
        waiting.start()
        waiting.join(1.0)  # several looks at the pulse
        second.barrier()
        waiting.join()
        assert server.roster[0].answered == 1


def test_nothing_is_left_of_a_closed_client() -> None:
    before = set(threading.enumerate())
    with serving(1) as server:
        Client(place(server.address)).close()
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
    monkeypatch.setattr(client_module, "_RESEND_AFTER", 0.3)
    with serving(1) as server, losing(direction, server, losses=2) as address:
        client = Client(place(address))
        client.initialize("SGD", SGD, TABLE, weights(1.0))
        for step in (1, 2):
            [(w, _)] = together(lambda: client.push(SGD, SLOTS, weights(1.0)))
            np.testing.assert_array_equal(w, 1 - 0.5 * step)
        client.close()
        assert server.state.clock == 2


def test_a_push_that_waits_for_others_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_RESEND_AFTER", 0.1)
    with serving(2) as server, clients(server) as [first, second]:
        waiting = threading.Thread(target=first.barrier)
        waiting.start()
        waiting.join(2.0)  # many times the delay, and three heartbeats
        second.barrier()
        waiting.join()
        assert server.duplicates == 0
