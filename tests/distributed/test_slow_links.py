"""Networks that are slower than the patience of those who wait: nothing is lost, so nothing is said twice."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest
from link_talk import Talk
from ps_harness import Peer, clients, peer_of, push, serving

from retrograd.distributed import outbox
from retrograd.distributed.messages import Echo, Hello, Slot, TensorSpec


def test_what_is_still_on_its_way_is_not_asked_for_again(joined: Talk) -> None:
    joined.ask(push(2, 1), now=1.0)
    joined.said()
    joined.link.moving(4.0)
    joined.pulse(1, 1, now=4.5)
    assert joined.said() == []
    joined.pulse(1, 1, now=6.5)  # nothing has moved for more than two seconds
    assert [type(each) for each in joined.said()] == [Hello]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how many bytes have passed")
@pytest.mark.parametrize("upwards", [True, False], ids=["sent", "received"])
def test_a_channel_sees_whether_bytes_pass(upwards: bool) -> None:
    def is_moving(peer: Peer) -> bool:
        assert peer.channel.refusal() is None  # reads which connection there is
        return peer.channel.is_moving()

    large = np.zeros(1 << 18, np.uint8)
    with serving() as [server], peer_of(server) as peer:
        peer.hello(0, 1)
        is_moving(peer)
        peer.ask(Echo((), 0.0))
        assert not is_moving(peer)
        peer.send(Echo((Slot(0, "uint8", large.shape),), 0.0), [large])
        if upwards:
            deadline = time.monotonic() + 60
            while not (found := is_moving(peer)) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert found
        else:
            peer.receive()
            assert is_moving(peer)
            assert not is_moving(peer)


def test_an_answer_has_no_more_parts_than_may_wait_for_one_who_reads_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PART_BYTES", 1 << 14)
    table = [TensorSpec(f"parameter {index}", "float32", (1 << 12,)) for index in range(400)]
    with serving(1, shared=False, slice_bytes=1 << 14) as [server], clients(server) as [learner]:
        learner.begin(1.0, table=table)
        assert all((each == 0.5).all() for each in learner.learn(1.0))
        assert (learner.links[0].retries, server.outbox.in_vain) == (0, 0)
