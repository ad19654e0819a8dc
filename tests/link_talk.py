"""What the tests of a link share: one that is told what a test says, and what has come of it."""

from __future__ import annotations

from typing import Any

from ps_harness import SGD, SLICES, SLOTS, TABLE, sliced

from retrograd.distributed.environment import Environment
from retrograd.distributed.errors import DistributedError
from retrograd.distributed.link import Link, Request
from retrograd.distributed.messages import Init, Message, Pulse, Push, Ready, Weights, Welcome

PLACE = Environment(1, 2, ("tcp://one", "tcp://two"), "run", timeout=10.0)


def welcome(**fields: Any) -> Welcome:
    usual: dict[str, Any] = {
        "boot": 1, "step": 0, "initialized": True, "takes_part": False, "received": 0, "shard": 0, "shards": 2,
        "slice_bytes": 1 << 20, "compression": "none", "credit": 1 << 20, "recovery": 0.0, "shared": False,
    }  # fmt: skip
    return Welcome(**{**usual, **fields})


class Talk:
    """A link, and what has come of it."""

    def __init__(self) -> None:
        self.link = Link(PLACE, 0, incarnation=7, host="here", now=0.0)
        self.answers: list[Message] = []
        self.errors: list[DistributedError] = []

    def said(self) -> list[Message]:
        """What the link has said since it was last asked."""
        messages = [message for message, _ in self.link.outgoing]
        self.link.outgoing.clear()
        return messages

    def ask(self, message: Message | None, now: float = 0.0) -> Request:
        request = self.link.begin(lambda answer, _: self.answers.append(answer), self.errors.append)
        if message is not None:
            self.link.say(request, message, sliced() if isinstance(message, Push) else (), now=now)
        return request

    def hear(self, message: Any, now: float = 0.0) -> None:
        self.link.take(message, [], now)

    def pulse(self, received: int, answered: int, now: float, boot: int = 1, asked: float | None = None) -> None:
        self.link.take_pulse(Pulse(boot, received, answered), now if asked is None else asked, now)

    def join(self, now: float = 0.0) -> None:
        """Take part, as request 1."""
        self.hear(welcome(), now)
        self.ask(Init(1, "SGD", SGD, TABLE, (), False), now)
        self.hear(Ready(1, 0, SLICES), now)
        self.hear(Weights(SLOTS, 1, 0), now)
        self.said()
        self.answers.clear()
