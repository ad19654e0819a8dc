"""Training in many processes on one set of weights, through a parameter server over ZeroMQ.

The training loop stays as it is; the optimizer's step is done by the server::

    import retrograd as rg
    import retrograd.distributed as dist

    dist.init()  # rank, world size and server from the launcher; alone: rank 0 of 1
    model = rg.nn.Linear(64, 10)
    opt = dist.ServerOptimizer(rg.optim.SGD, model.parameters(), lr=0.1)
    for x, y in batches:
        opt.zero_grad()
        loss(model(x), y).backward()
        opt.step()  # push gradients, pull weights

and ``retrograd launch --workers 4 script.py`` starts it all on one machine. ZeroMQ and the rest are
imported when `init` finds a server to talk to; a script that trains alone never loads them.

The pieces, each a module that can be read by itself. What travels: `messages` is the schema, `protocol` the bytes,
`transport` and `shared` the ways, `addresses` whereto, `compression` what makes it less, `security` and `handshake`
who may. A worker's side: `client` talks in a thread, by one `link` for each server; `pushing` lets gradients leave
while backward goes on, and `prefetch` lets weights come while the next forward pass does.
A server's side: `server` handles messages; `roster` keeps its workers, `staging` what has arrived, `state` what it
owns, `answers` says what goes back; `siblings` are those of further optimizers; `lead` gives orders by the
`strategies`; `keeper` writes `snapshots` and the `journal`. `bridge` writes tensors. Around it: `launcher` starts
processes, `job` looks after them, `console` and `metrics` show them, and `cli` is the command.
"""

from __future__ import annotations

from .errors import (
    AddressInUse,
    DistributedError,
    Evicted,
    Mismatch,
    NonFiniteGradient,
    ProtocolError,
    Refused,
    RemoteError,
    ServerLost,
    WorkerLost,
)
from .optimizer import ServerOptimizer
from .worker import barrier, init, is_available, is_initialized, progress, rank, shutdown, world_size

__all__ = [
    "AddressInUse",
    "DistributedError",
    "Evicted",
    "Mismatch",
    "NonFiniteGradient",
    "ProtocolError",
    "Refused",
    "RemoteError",
    "ServerLost",
    "ServerOptimizer",
    "WorkerLost",
    "barrier",
    "init",
    "is_available",
    "is_initialized",
    "progress",
    "rank",
    "shutdown",
    "world_size",
]
