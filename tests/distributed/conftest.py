"""What several files here ask for by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from link_talk import Talk

from retrograd.distributed.security import new_keys


@pytest.fixture
def talk() -> Talk:
    """A worker's conversation with a server that has not begun."""
    return Talk()


@pytest.fixture
def joined(talk: Talk) -> Talk:
    """One of a worker that takes part."""
    talk.join()
    return talk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The keys of a server, a launcher and two workers."""
    new_keys(tmp_path / "keys", workers=2)
    return tmp_path / "keys"
