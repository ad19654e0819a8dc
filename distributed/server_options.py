"""How a server runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import transport
from .environment import DEFAULT_TIMEOUT
from .strategies import NonFinite

__all__ = ["ServerOptions"]


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server runs."""

    world_size: int
    bind: str = "tcp://127.0.0.1:*"
    backend: str | None = None
    run: str = ""
    timeout: float = DEFAULT_TIMEOUT
    insecure: bool = False
    max_frame: int = transport.DEFAULT_MAX_FRAME
    shard: int = 0
    """Number of this server; the first one leads."""
    shards: int = 1
    lead: str = ""
    """Address of the first server."""
    staleness: float = 0
    backups: int = 0
    deterministic: bool = False
    scale_rate: bool = False
    on_loss: Literal["fail", "continue"] = "fail"
    """What the loss of a worker does to the run."""
    nonfinite: NonFinite = "reject"
    clip: float = 0
    """The largest norm of a step's gradients, over all servers; 0 is no bound."""
    slice_bytes: int = 0
    """The largest slice of a tensor; 0 is one that suits the model."""
    compression: str = "none"
    shared: bool = True
    """Whether workers on this machine may use shared memory."""
    budget: int = 0
    """Bytes that gradients may take while they wait; 0 is half of the machine's memory."""
    folder: Path | None = None
    """Where snapshots are kept, and the journal of a durable run."""
    every: int = 100
    """Updates from one snapshot to the next."""
    keep: int = 3
    durable: bool = False
    recovery: float = 0
    """How long workers wait for this server if it dies; 0 is not at all."""
    keys: Path | None = None
    """Folder of the server's key and of those that may come in; without, nothing is encrypted."""
    resume: bool = False
    """Whether the snapshots are a former run's, whose workers are not expected to be there any more."""
