"""The weights of a run's further optimizers: for each a server of its own, in the same process and at the same address.

A script may have several optimizers, as one that trains two networks against each other. To a worker each is a run of
its own, whose name says its number; here each has its own weights, order of updates, snapshots and journal, and shares
nothing with the others but the socket, the loop, and the end: when one fails, all do.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from .errors import DistributedError, Refused
from .lanes import owner_of
from .messages import MAX_OPTIMIZERS, Follow, Heartbeat, Hello, Message

if TYPE_CHECKING:
    from .server import Server

__all__ = ["Siblings", "run_of"]

log = logging.getLogger("retrograd.distributed.server")

_ASLEEP = 1.0  # a longer pause than this between two looks is the process's own


def run_of(run: str, number: int) -> str:
    """The name by which a run's optimizer goes, of which 0 is the first.

    >>> run_of("mine", 0), run_of("mine", 1)
    ('mine', 'mine#1')
    """
    return f"{run}#{number}" if number else run


class Siblings:
    """The servers of a process, of which the first has the socket and hears of everything first.

    Parameters
    ----------
    first : Server
    """

    def __init__(self, first: Server) -> None:
        self.first = first
        self.others: dict[int, Server] = {}
        """By the number of their optimizer."""
        self._cut: dict[int, str] = {}
        """By incarnation, why a worker's connection was cut off, of which it sees nothing but a reset."""
        self._parent = os.getppid()
        self._routes: dict[bytes, Server] = {}
        """Which of the others somebody speaks to, by routing id."""

    def __iter__(self) -> Iterator[Server]:
        yield self.first
        yield from self.others.values()

    def of(self, way: bytes) -> Server | None:
        """The other server that is spoken to this way, if one is known to be."""
        return self._routes.get(owner_of(way)) if self._routes else None

    def claim(self, server: Server, message: Message, peer: bytes) -> Server:
        """Whose a message is that has come to a server from somebody who may mean another."""
        if server is not self.first:
            return server
        found = None
        if isinstance(message, Hello | Follow):
            found = self._of_run(message.run)
        elif isinstance(message, Heartbeat):
            found = next((each for each in self.others.values() if _counts(each, message)), None)
        if found is None:
            return server
        self._routes[owner_of(peer)] = found
        return found

    def _of_run(self, run: str) -> Server | None:
        own = self.first.options.run
        match = re.fullmatch(r"#([1-9]\d?)", run.removeprefix(own)) if run.startswith(own) else None
        if match is None:
            return None
        number = int(match[1])
        if number >= MAX_OPTIMIZERS:
            raise Refused(f"a run has at most {MAX_OPTIMIZERS} optimizers, and this is number {1 + number}")
        if number not in self.others:
            self.others[number] = self._make(number)
            self.first.watch_all()
        return self.others[number]

    def _make(self, number: int) -> Server:
        first, options = self.first, self.first.options
        folder = options.folder and options.folder / f"optimizer-{1 + number}"
        mine = replace(options, run=run_of(options.run, number), folder=folder)
        try:
            return first.another(mine, self)
        except DistributedError as error:
            raise Refused(f"there is no server for optimizer {1 + number} of this run: {error}") from error

    def tick(self, now: float, passed: float) -> bool:
        """Look at the time, of which so much has passed since the last look; whether nobody needs the process."""
        for each in self:
            if _ASLEEP < passed < inf:  # who was silent may have been asleep, too, as all of a machine that stood still
                each.roster.forgive(passed)
                each.office.forgive(passed)
            each.tick(now)
        return self.are_over(now)

    def are_over(self, now: float) -> bool:
        """Look who floods the process, and whether anybody still needs it; whether nobody does."""
        first = self.first
        # The largest message that may be is a LOAD, with all that an optimizer keeps of all weights.
        most = max([first.budget, *(4 * each.state.nbytes for each in self if each.state is not None)])
        if (cut := first.channel.cut_flood(most, now)) is not None:
            member = first.roster.of_peer(cut.peer)
            log.warning("%s", cut.describe(member))
            if member is not None and cut.nbytes > cut.limit:  # else others have sent the most of it
                self._cut[member.incarnation] = cut.describe(member)
        # Not by its silence: whoever stops a launcher with Ctrl-Z means to come back.
        if first.launchers and os.getppid() != self._parent:
            first.fail(DistributedError("the launcher has died: nobody is left to look after the run"))
            return True
        others_are_over = all(each.roster.is_over(given_up=True) for each in self.others.values())
        return not first.launchers and others_are_over and first.roster.is_over(given_up=first.failure is not None)

    def check_cut(self, hello: Hello) -> None:
        """Raise `Refused` if a worker that was cut off is back, to send the same again."""
        if (why := self._cut.get(hello.incarnation)) is not None:
            raise Refused(f"the server has {why}. Raise --budget, or take a smaller model or more servers")

    def fail(self, error: DistributedError, culprit: int | None) -> None:
        """End all, since one has failed."""
        for each in self:
            if each.failure is None:
                each.fail(error, culprit)


def _counts(server: Server, message: Heartbeat) -> bool:
    member = server.roster.get(message.rank)
    return member is not None and member.incarnation == message.incarnation
