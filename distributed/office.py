"""What the first server and the others have in common: the run's consistency, and who is asked about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import transport
from .gradients import overflows, square_norm, sum_in_order
from .messages import Source, Staged, Weighed
from .staging import Contribution
from .strategies import strategy_for

if TYPE_CHECKING:
    from .server import Server
    from .server_options import ServerOptions

__all__ = ["Office", "consistency_of"]


class Office:
    """The part of a server that stands between its workers and what is decided.

    Parameters
    ----------
    server : Server
        The one that it is part of.
    """

    judges = False
    """Whether it may declare workers lost."""
    channels: tuple[transport.Channel, ...] = ()
    """Whom it listens to beside the workers."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.begin_again()

    def begin_again(self) -> None:
        """Know of nothing that has happened."""
        options = self.server.options
        self.strategy = strategy_for(
            options.world_size,
            options.staleness,
            backups=options.backups,
            deterministic=options.deterministic,
            scale_rate=options.scale_rate,
            uneven=options.on_loss == "continue" or (options.folder is not None and not options.durable),
        )

    def forgive(self, seconds: float) -> None:
        """Do not take for other servers' silence a time in which this one did not listen."""

    @property
    def in_step(self) -> bool:
        """Whether all workers count the same steps."""
        return self.strategy.staleness == 0

    @property
    def is_in_lockstep(self) -> bool:
        """Whether weights change only when every worker has pushed again, and so has read the last ones."""
        return self.in_step and not self.server.options.backups

    @property
    def looks(self) -> bool:
        """Whether anybody looks at how large the numbers are."""
        return self.server.options.nonfinite != "allow"

    @property
    def older(self) -> int:
        """How many steps back weights must be kept."""
        return self.strategy.older

    def may_answer(self, step: int, frontier: int) -> bool:
        return self.strategy.may_answer(step, frontier)

    def readable(self, step: int, frontier: int) -> int | None:
        """The frontier whose weights a worker may read after `step`; ``None``: the newest."""
        return max(0, step - self.older) if self.older else None

    def describe(self) -> str:
        return consistency_of(self.server.options)

    def is_admissible(self, contribution: Contribution) -> bool:
        """Whether a push may be in a step, as far as its numbers are concerned."""
        return not self.looks or contribution.is_finite()

    def staged_by(self, contribution: Contribution) -> Staged:
        """What is told of a push that is whole here."""
        return Staged(contribution.source, self.is_admissible(contribution), self.may_overflow(contribution))

    def may_overflow(self, contribution: Contribution) -> bool:
        """Whether a push is so large that the sum that it goes into must be looked at before it is made."""
        return self.looks and contribution.fullness * self.server.options.world_size > 1

    def weigh(self, number: int, sources: Sequence[Source], scale: float) -> Weighed:
        """What the sum of a step's gradients is, as far as they are this server's."""
        addends = [self.server.staging.get(source).gradients for source in sources]
        overflow = any(map(self.may_overflow, map(self.server.staging.get, sources))) and overflows(addends, scale)
        squares = self.squares(sources, scale) if self.server.options.clip and not overflow else 0.0
        return Weighed(number, self.server.options.shard, squares, overflow)

    def squares(self, sources: Sequence[Source], scale: float) -> float:
        """The sum of the squares of a step's gradients, as far as they are this server's."""
        total = sum_in_order([self.server.staging.get(source).gradients for source in sources])
        return square_norm(total.values()) * scale**2


def consistency_of(options: ServerOptions) -> str:
    """The consistency of a run in a word or two."""
    if options.staleness == 0:
        return f"synchronous, {options.backups} backups" if options.backups else "synchronous"
    bound = f"staleness {options.staleness:g}"
    return f"{bound}, deterministic" if options.deterministic else bound
