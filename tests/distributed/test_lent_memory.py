"""Weights in shared memory, which a worker may open later than the server goes on with other memory."""

from __future__ import annotations

import contextlib
import os
import resource

import numpy as np
import pytest
from ps_harness import clients, serving

from retrograd.distributed.errors import ProtocolError
from retrograd.distributed.messages import FrameSpec, Slice, TensorSpec
from retrograd.distributed.shared import Segment, is_available
from retrograd.distributed.state import Position, State
from retrograd.distributed.transport import Loan


@pytest.mark.skipif(not is_available(), reason="this system has no memory that processes can share")
def test_lent_memory_can_be_opened_until_it_is_given_back() -> None:
    position = Position("SGD", ({"lr": 0.5},), (TensorSpec("w", "float32", (2,)),), (Slice(0, 0, 2),))
    state = State(position, [np.float32([1, 2])], shared=True)
    assert state.segment is not None
    handle, offset = state.segment.handle, state.slots(in_segment=True)[0].offset
    loan = Loan(state.segment)
    state.detach()  # an update comes before the worker has looked
    state.apply([{0: np.float32([2, 2])}], position.groups)
    assert Segment.open(handle).array(FrameSpec("float32", (2,)), offset).tolist() == [1, 2]
    loan.land()
    with pytest.raises(ProtocolError, match=r"cannot be opened|another one's memory|no shared memory"):
        Segment.open(handle)


def segments_open() -> set[int]:
    """The segments that this process has open, by the numbers of their files."""
    found = set()
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile
            if "memfd:retrograd" in os.readlink(f"/proc/self/fd/{each}"):
                found.add(os.stat(f"/proc/self/fd/{each}").st_ino)
    return found


@pytest.mark.skipif(not is_available(), reason="no shared memory here")
def test_where_none_can_be_made_payloads_take_the_socket(caplog: pytest.LogCaptureFixture) -> None:
    table = (TensorSpec("w", "float32", (100_000,)),)
    limits, before = resource.getrlimit(resource.RLIMIT_FSIZE), segments_open()
    with serving(1) as [server], clients(server) as [worker]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # as by `ulimit -f`
        try:
            worker.begin(1.0, table=table)
            for step in range(1, 3):
                np.testing.assert_array_equal(worker.learn(1.0)[0], np.float32(1 - 0.5 * step))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert server.state is not None
        assert server.state.segment is None
        assert segments_open() <= before  # others of this process may be there still, and go meanwhile
    said = [each.getMessage() for each in caplog.records if "payloads take the socket" in each.getMessage()]
    assert len(said) == 2  # of the server's weights, and of the worker's gradients
    assert all("File too large" in each for each in said)
