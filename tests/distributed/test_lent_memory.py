"""Weights in shared memory, which a worker may open later than the server goes on with other memory."""

from __future__ import annotations

import numpy as np
import pytest

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
