"""What several files here ask for by name."""

from __future__ import annotations

import pytest
from link_talk import Talk


@pytest.fixture
def talk() -> Talk:
    """A worker's conversation with a server that has not begun."""
    return Talk()


@pytest.fixture
def joined(talk: Talk) -> Talk:
    """One of a worker that takes part."""
    talk.join()
    return talk
