"""What a server shows of a run."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs

from .messages import Status

if TYPE_CHECKING:
    from .server import Server

__all__ = ["Counters", "half_of_memory", "status_of"]


@dataclass(slots=True)
class Counters:
    """What has happened that should not, or not often."""

    rejected: int = 0
    duplicates: int = 0
    skipped: int = 0
    dropped: int = 0


def status_of(server: Server) -> Status:
    """The run as the server sees it; of all optimizers, if it is the first's."""
    status = _status_of(server)
    if server is server.siblings.first and server.siblings.others:
        numbered = sorted(server.siblings.others.items())
        others = tuple(structs.replace(_status_of(each), optimizer=1 + number) for number, each in numbered)
        status = structs.replace(status, others=others)
    return status


def _status_of(server: Server) -> Status:
    now = server.now()
    position = None if server.state is None else server.state.position
    return Status(
        step=server.frontier,
        failure=None if server.failure is None else str(server.failure.error),
        culprit=None if server.failure is None else server.failure.culprit,
        rejected=server.counters.rejected,
        duplicates=server.counters.duplicates,
        traffic=server.channel.traffic,
        workers=tuple(member.status(now, server.frontier) for member in server.roster),
        version=0 if position is None else position.version,
        shard=server.options.shard,
        shards=server.options.shards,
        slices=() if position is None else position.slices,
        table=() if position is None else position.table,
        memory=_memory(),
        queued=server.staging.nbytes,
        snapshot=server.keeper.last,
        snapshot_age=server.keeper.age,
        skipped=server.counters.skipped,
        dropped=server.counters.dropped,
        consistency=server.office.describe(),
    )


@functools.cache
def half_of_memory() -> int:
    """Half of the bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _memory() -> int:
    """Bytes that this process holds in memory; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
