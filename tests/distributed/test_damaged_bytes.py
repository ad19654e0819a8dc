"""What is changed on its way, or goes into a connection that nothing comes out of, is said again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.proxy import FaultProxy
from ps_harness import DEADLINE, Learner, LiveServer, place_in, serving, start, wait_until

from retrograd.distributed import (
    client as client_module,
    follower as follower_module,
    lead as lead_module,
    link as link_module,
    protocol,
    transport,
)
from retrograd.distributed.errors import Damaged, ProtocolError
from retrograd.distributed.messages import Slot
from retrograd.distributed.server import ServerOptions


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was lost is said again soon."""
    for module, name in ((lead_module, "_OVERDUE"), (follower_module, "_OVERDUE"), (transport, "_DEAF")):
        monkeypatch.setattr(module, name, 0.3)
    for module, name in ((follower_module, "_REPORT"), (client_module, "HEARTBEAT"), (link_module, "_REPEAT")):
        monkeypatch.setattr(module, name, 0.1)
    monkeypatch.setattr(link_module, "_HELLO_AGAIN", 0.1)


# ---- the checksum -----------------------------------------------------------------------------------------


def frames_of(*sizes: int) -> list[bytearray]:
    arrays = [np.random.default_rng(size).integers(0, 256, size, np.uint8) for size in sizes]
    slots = tuple(Slot(index, "uint8", each.shape) for index, each in enumerate(arrays))
    return [bytearray(each) for each in protocol.seal(protocol.encode(protocol.Push(slots, 3, 2), arrays))]


SIZES = (0, 5, (16 << 10) - 1, 16 << 10, (20 << 10) + 13)


def test_what_is_not_damaged_is_taken() -> None:
    message, arrays = protocol.decode(frames_of(*SIZES))
    assert isinstance(message, protocol.Push)
    assert [each.nbytes for each in arrays] == list(SIZES)


@pytest.mark.parametrize("length", [1, 2, 9, 64, 4096], ids="{} bits".format)
def test_bits_that_are_turned_are_noticed(length: int) -> None:
    chance, frames = random.Random(length), frames_of(*SIZES)
    for frame in frames:
        for _ in range(60 if frame else 0):
            places = range(start := chance.randrange(8 * len(frame)), min(8 * len(frame), start + length))
            turned = [places[0], *(place for place in places[1:] if chance.random() < 0.5)]
            for place in turned:
                frame[place // 8] ^= 1 << place % 8
            with pytest.raises(ProtocolError):
                protocol.decode(frames)
            for place in turned:
                frame[place // 8] ^= 1 << place % 8
    protocol.decode(frames)


@pytest.mark.parametrize("others", [[0, 2, 1, 3, 4, 5], [0, 1, 2, 3, 4], [0], [1, 2]])
def test_frames_that_are_missing_or_in_another_order_are_noticed(others: list[int]) -> None:
    frames = frames_of(*SIZES)
    with pytest.raises(Damaged):
        protocol.decode([frames[each] for each in others])


# ---- connections that damage ------------------------------------------------------------------------------


def turn_a_bit(frames: list[bytes]) -> list[bytes]:
    """Damage that no look at the numbers finds: a sign."""
    *rest, last = frames
    return [*rest, last[:-1] + bytes([last[-1] ^ 0x80])]


def without_a_beginning(frames: list[bytes]) -> list[bytes]:
    return [b"?" + frames[0][1:], *frames[1:]]


@contextmanager
def through_a_proxy(server: LiveServer) -> Iterator[tuple[FaultProxy, Learner]]:
    with FaultProxy(server.address) as proxy:
        learner = Learner(replace(place_in(server), servers=(proxy.address,)))
        try:
            yield proxy, learner
        finally:
            learner.close()


@pytest.mark.parametrize("change", [turn_a_bit, without_a_beginning])
@pytest.mark.parametrize("kind", ["hello", "init", "push", "welcome", "ready", "weights", "heartbeat", "pulse"])
def test_a_message_that_is_damaged_is_said_again(kind: str, change: Any) -> None:
    with serving(1) as [server], FaultProxy(server.address) as proxy:
        fault = proxy.tamper(change, kind, times=2)
        learner = Learner(replace(place_in(server), servers=(proxy.address,)))
        try:
            start(learner)
            for step in range(3):
                w, b = learner.learn(float(step + 1))
            fault.wait_hit(2)
            assert (w.tolist(), b.item(), learner.step) == ([1 - 0.5 * 6] * 3, 1 - 0.5 * 6, 3)
            assert server.failure is None
        finally:
            learner.close()


@pytest.mark.parametrize("kind", ["follow", "staged", "order", "pulse", "weigh", "weighed"])
def test_a_message_among_servers_that_is_damaged_is_said_again(kind: str) -> None:
    with serving(1, 1, clip=100.0) as [alone], FaultProxy(alone.address) as proxy:
        alone.stop()
        options = replace(alone.options, shards=2, slice_bytes=4)
        lead = LiveServer(options)
        proxy.upstream = lead.address
        follower = LiveServer(replace(options, shard=1, lead=proxy.address))
        learner = Learner(place_in(lead, follower))
        try:
            fault = proxy.tamper(turn_a_bit, kind, times=2)
            start(learner)
            for _ in range(3):
                w, b = learner.learn(1.0)
            fault.wait_hit(2)
            assert (w.tolist(), b.item()) == ([-0.5] * 3, -0.5)
            assert (lead.failure, follower.failure) == (None, None)
        finally:
            learner.close()
            follower.stop()
            lead.stop()


def test_a_handshake_that_is_damaged_is_no_refusal_of_one_that_was_let_in(folder: Path) -> None:
    with serving(1, keys=folder) as [server], FaultProxy(server.address) as proxy:
        learner = Learner(replace(place_in(server), servers=(proxy.address,), keys=str(folder)))
        try:
            start(learner)
            learner.learn(1.0)
            fault = proxy.corrupt(120, direction="to_worker")  # in the first command, after the greeting
            proxy.cut()
            fault.wait_hit()
            w, _ = learner.learn(1.0)
            assert w[0] == 0
        finally:
            learner.close()


# ---- connections that swallow -----------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["to_server", "to_worker"])
@pytest.mark.parametrize("which", [0, 1], ids=["requests", "heartbeats"])
def test_a_connection_that_nothing_comes_out_of_is_made_anew(which: int, direction: Any) -> None:
    with serving(1, timeout=3.0) as [server], through_a_proxy(server) as (proxy, learner):
        start(learner)
        learner.learn(1.0)
        connection = list(proxy.connections)[which]
        swallowed = proxy.swallow(connection=connection, direction=direction)
        w, _ = learner.learn(1.0)
        assert w[0] == 0
        proxy.wait_for(lambda: proxy.accepted == 3, "another connection", DEADLINE)
        pulses = server.roster[0].heard
        wait_until(lambda: server.roster[0].heard > pulses, "a heartbeat")
        assert server.failure is None
        swallowed.stop()


def test_a_server_whose_way_to_the_first_swallows_all_goes_another() -> None:
    with serving(1, 1) as [alone], FaultProxy(alone.address) as proxy:
        alone.stop()
        lead = LiveServer(ServerOptions(1, shards=2, slice_bytes=4, timeout=3.0))
        proxy.upstream = lead.address
        follower = LiveServer(replace(lead.options, shard=1, lead=proxy.address))
        learner = Learner(place_in(lead, follower))
        try:
            start(learner)
            learner.learn(1.0)
            [connection] = proxy.connections
            swallowed = proxy.swallow(connection=connection)
            w, _ = learner.learn(1.0)
            assert w[0] == 0
            assert (lead.failure, follower.failure) == (None, None)
            proxy.wait_for(lambda: proxy.accepted == 2, "another connection", DEADLINE)
            swallowed.stop()
        finally:
            learner.close()
            follower.stop()
            lead.stop()
