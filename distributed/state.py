"""What a server owns: weights, optimizer, and which pushes went into them.

The three are one object and change in one place, :meth:`State.apply`. Whoever keeps one of them (a
snapshot, a journal) has to keep all of them together: weights without the table of what was applied
cannot tell a retried push from a new one.
"""

from __future__ import annotations

from collections.abc import Sequence

import retrograd as rg

from . import bridge
from .errors import Mismatch
from .protocol import Array, Groups, Slot, TensorSpec
from .strategies import Source, Update

__all__ = ["State"]


class State:
    """Weights, the optimizer that moves them, and the table of applied pushes.

    Parameters
    ----------
    optimizer : str
        Name of a class in `retrograd.optim`.
    groups
        Hyperparameters of each parameter group.
    table
        Name, dtype, shape and group of each tensor.
    weights
        Initial values, one array for each row of the table. They are copied.
    backend : str, optional
        Where the optimizer computes; the default backend unless given.

    Examples
    --------
    >>> import numpy as np
    >>> state = State("SGD", ({"lr": 0.5},), [TensorSpec("w", "float32", (2,))], [np.float32([1, 2])])
    >>> state.apply(Update(({"lr": 0.5},), {0: np.float32([2, 2])}, (Source(0, 0, 1),)))
    >>> state.weights()[0], state.clock
    (array([0., 1.], dtype=float32), 1)
    """

    def __init__(
        self,
        optimizer: str,
        groups: Groups,
        table: Sequence[TensorSpec],
        weights: Sequence[Array],
        backend: str | None = None,
    ) -> None:
        self.table = tuple(table)
        self.optimizer_name = optimizer
        self.clock = 0
        """Updates applied so far."""
        self.applied: dict[int, Source] = {}
        """For each rank the last of its pushes that is in the weights."""
        self._backend = backend
        # `.copy()`: the arrays are views of frames that belong to the transport.
        self._parameters = [rg.nn.Parameter(bridge.tensor_of(each.copy(), backend)) for each in weights]
        self._optimizer = bridge.build_optimizer(optimizer, groups, self._parameters, self.table)

    def apply(self, update: Update) -> None:
        """Do one step of the optimizer with the update's gradients and hyperparameters."""
        bridge.set_hyperparameters(self._optimizer.param_groups, update.groups)
        for index, parameter in enumerate(self._parameters):
            gradient = update.gradients.get(index)
            parameter.grad = None if gradient is None else bridge.tensor_of(gradient, self._backend)
        self._optimizer.step()
        self.clock += 1
        for source in update.sources:
            self.applied[source.rank] = source

    def has_applied(self, source: Source) -> bool:
        """Whether this push, or a later one of the same life of the same worker, is in the weights."""
        last = self.applied.get(source.rank)
        return last is not None and last.incarnation == source.incarnation and last.seq >= source.seq

    def weights(self) -> list[Array]:
        """The current values; on a backend whose arrays can be written, views of them."""
        return [bridge.array_of(parameter) for parameter in self._parameters]

    def slots(self) -> tuple[Slot, ...]:
        """What :meth:`weights` holds, as a message announces it."""
        return tuple(Slot(index, row.dtype, row.shape) for index, row in enumerate(self.table))

    def check_table(self, optimizer: str, table: Sequence[TensorSpec], rank: int) -> None:
        """Raise `Mismatch`, naming the first difference, when a worker trains something else."""
        if optimizer != self.optimizer_name:
            raise Mismatch(f"worker {rank} wants optimizer {optimizer}, and worker 0 {self.optimizer_name}")
        if len(table) != len(self.table):
            raise Mismatch(f"worker {rank} has {len(table)} parameters, and worker 0 has {len(self.table)}")
        for index, (theirs, ours) in enumerate(zip(table, self.table, strict=True)):
            if theirs != ours:
                raise Mismatch(
                    f"parameter {index} is {describe(theirs)} on worker {rank} and {describe(ours)} on "
                    "worker 0: every worker must build the same model"
                )

    def check_gradients(self, slots: Sequence[Slot], groups: Groups, rank: int) -> None:
        """Raise `Mismatch` when a push does not fit the table."""
        if len(groups) != len(self._optimizer.param_groups):
            raise Mismatch(
                f"worker {rank} pushes {len(groups)} parameter groups, and there are "
                f"{len(self._optimizer.param_groups)}: groups cannot be added once training has begun"
            )
        for slot in slots:
            if slot.index >= len(self.table):
                raise Mismatch(f"worker {rank} pushes parameter {slot.index} of {len(self.table)}")
            row = self.table[slot.index]
            if (slot.dtype, slot.shape) != (row.dtype, row.shape):
                raise Mismatch(
                    f"worker {rank} pushes a gradient of {slot.dtype}{list(slot.shape)} for {row.name}, "
                    f"which is {describe(row)}"
                )


def describe(spec: TensorSpec) -> str:
    """A tensor's dtype and shape in a word.

    >>> describe(TensorSpec("weight", "float32", (3, 4)))
    'float32[3, 4]'
    """
    return f"{spec.dtype}{list(spec.shape)}"
