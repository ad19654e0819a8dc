"""Waiting for what comes over several sockets at once."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
import zmq

from retrograd.distributed import protocol, transport
from retrograd.distributed.addresses import port_of
from retrograd.distributed.messages import Barrier, Released

Pair = tuple[transport.Channel, transport.Channel]


@pytest.fixture
def pair() -> Iterator[Pair]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    server = transport.listen(context, "tcp://127.0.0.1:*")
    client = transport.connect(context, server.address)
    yield server, client
    for each in (server, client):
        each.close()
    context.term()


def test_what_has_come_while_something_was_sent_is_found(pair: Pair) -> None:
    """To send also takes notice of what has come, of which ZeroMQ's descriptor then says nothing any more."""
    server, client = pair
    watch = transport.Watch([server])
    assert client.poll(10.0, to_send=True)
    client.send(Barrier(0))
    assert watch.wait(10.0) == [server]
    peer = bytes(server.receive()[0])
    for seq in range(1, 200):
        assert watch.wait(0.0) == []
        client.send(Barrier(seq))
        if seq % 2:
            assert client.poll(0.0) is False
        for _ in range(seq % 5):
            server.send(Released(seq, 0), to=peer)
        assert watch.wait(10.0) == [server]
        assert protocol.decode(server.receive()[1:])[0] == Barrier(seq)
        assert not server.has_message()
        for _ in range(seq % 5):
            assert client.poll(10.0)
            assert protocol.decode(client.receive())[0] == Released(seq, 0)


def test_whoever_connects_does_not_end_the_waiting(pair: Pair) -> None:
    server, _ = pair
    port = port_of(server.address)
    assert port is not None
    began = time.monotonic()
    strangers = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    for each in strangers:
        each.sendall(b"\xff\0\0\0\0\0\0\0\1\x7f")
    assert transport.Watch([server]).wait(0.3) == []
    assert time.monotonic() - began >= 0.3
    for each in strangers:
        each.close()
