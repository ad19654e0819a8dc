"""What a server owns: weights, optimizer, and which pushes went into them.

The three are one object and change in one place, :meth:`State.apply`. Whoever keeps one of them (a
snapshot, a journal) has to keep all of them together: weights without the table of what was applied
cannot tell a retried push from a new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

import retrograd as rg

from . import bridge
from .errors import Mismatch
from .gradients import Gradients, dense
from .messages import Array, Groups, Slice, Slot, Source, TensorSpec

__all__ = ["Position", "State", "describe"]


class Position(msgspec.Struct):
    """How far a server is: what a snapshot keeps beside tensors."""

    optimizer: str
    groups: Groups
    table: tuple[TensorSpec, ...]
    slices: tuple[Slice, ...]
    number: int = 0
    """The last order that was carried out."""
    version: int = 0
    """Updates that are in the weights."""
    frontier: int = 0
    applied: dict[int, Source] = {}  # noqa: RUF012  # msgspec gives each its own
    """For each rank the last of its pushes that is settled: in the weights, or dropped for good."""
    clocks: dict[int, int] = {}  # noqa: RUF012
    """For each worker that takes part, the step that it has done."""
    incarnations: dict[int, int] = {}  # noqa: RUF012
    scalars: dict[str, float] = {}  # noqa: RUF012
    """The optimizer's state that is numbers and not tensors."""


class State:
    """Weights, the optimizer that moves them, and the table of settled pushes.

    Parameters
    ----------
    position : Position
        What is trained, with which optimizer, and how far it is.
    weights
        Values of the slices. They are copied.
    backend : str, optional
        Where the optimizer computes; the default backend unless given.
    older : int
        How many steps back weights can be had by `weights`.

    Examples
    --------
    >>> import numpy as np
    >>> position = Position("SGD", ({"lr": 0.5},), (TensorSpec("w", "float32", (2,)),), (Slice(0, 0, 2),))
    >>> state = State(position, [np.float32([1, 2])])
    >>> state.apply({0: np.float32([2, 2])}, ({"lr": 0.5},))
    >>> state.weights()[0], state.position.version
    (array([0., 1.], dtype=float32), 1)
    """

    def __init__(
        self, position: Position, weights: Sequence[Array], backend: str | None = None, older: int = 0
    ) -> None:
        self.position = position
        self._backend = backend
        # `.copy()`: the arrays are views of frames that belong to the transport.
        self._parameters = [rg.nn.Parameter(bridge.tensor_of(each.copy(), backend)) for each in weights]
        group_of = [position.table[piece.tensor].group for piece in position.slices]
        self._optimizer = bridge.build_optimizer(position.optimizer, position.groups, self._parameters, group_of)
        self._older_kept = older
        self._older: dict[int, list[Array]] = {}
        self.remember()

    # ---- what happens to it --------------------------------------------------------------------------------

    def apply(self, gradients: Gradients, groups: Groups, rate: float = 1.0) -> None:
        """Do one step of the optimizer with these gradients and hyperparameters, at `rate` times their `lr`."""
        bridge.set_hyperparameters(self._optimizer.param_groups, groups, rate)
        for index, parameter in enumerate(self._parameters):
            gradient = gradients.get(index)
            parameter.grad = None if gradient is None else bridge.tensor_of(dense(gradient), self._backend)
        self._optimizer.step()
        for parameter in self._parameters:
            parameter.grad = None
        self.position.groups = groups
        self.position.version += 1

    def settle(self, sources: Sequence[Source]) -> None:
        """Note that these pushes are in the weights, or never will be."""
        for source in sources:
            self.position.applied[source.rank] = source

    def has_settled(self, source: Source) -> bool:
        """Whether this push, or a later one of the same life of the same worker, is settled."""
        last = self.position.applied.get(source.rank)
        return last is not None and last.incarnation == source.incarnation and last.seq >= source.seq

    def remember(self) -> None:
        """Keep the weights as those of the frontier, if older ones may be asked for."""
        if self._older_kept:
            self._older[self.position.frontier] = [each.copy() for each in self.weights()]
            for frontier in [each for each in self._older if each < self.position.frontier - self._older_kept]:
                del self._older[frontier]

    def detach(self) -> None:
        """Leave the weights' memory, which someone still reads, as it is, and go on with a copy of it."""
        for parameter in self._parameters:
            parameter.data = parameter.data.clone()

    # ---- what it shows -------------------------------------------------------------------------------------

    def weights(self, frontier: int | None = None) -> list[Array]:
        """The current values; on a backend whose arrays can be written, views of them.

        With `frontier`, those of that step, or the oldest there are.
        """
        if frontier is not None and self._older_kept:
            return self._older[max(frontier, min(self._older))]
        return [bridge.array_of(parameter) for parameter in self._parameters]

    def slots(self) -> list[Slot]:
        """What `weights` holds, as a message announces it."""
        table = self.position.table
        return [Slot(index, table[piece.tensor].dtype, piece.shape) for index, piece in enumerate(self.position.slices)]

    @property
    def nbytes(self) -> int:
        return sum(each.nbytes for each in self.weights())

    # ---- snapshots -----------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Array]:
        """All that must be kept beside `position`, by name: weights, and the optimizer's state."""
        kept = {f"weight.{index}": each for index, each in enumerate(self.weights())}
        self.position.scalars = {}
        for index, parameter in enumerate(self._parameters):
            for name, value in self._optimizer.state.get(parameter, {}).items():
                if isinstance(value, rg.Tensor):
                    kept[f"state.{index}.{name}"] = bridge.array_of(value)
                elif isinstance(value, bool | int | float):
                    self.position.scalars[f"{index}.{name}"] = value
        return kept

    @classmethod
    def restored(
        cls, position: Position, tensors: Mapping[str, Array], backend: str | None = None, older: int = 0
    ) -> State:
        """A state as `position` and `tensors` have kept it."""
        weights = [tensors[f"weight.{index}"] for index in range(len(position.slices))]
        state = cls(position, weights, backend, older)
        for name, value in position.scalars.items():
            index, _, key = name.partition(".")
            state._state_of(int(index))[key] = value
        for name, array in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "state":
                index, _, key = rest.partition(".")
                state._state_of(int(index))[key] = bridge.tensor_of(array.copy(), backend)
        return state

    def _state_of(self, index: int) -> dict[str, Any]:
        entry: dict[str, Any] = self._optimizer.state.setdefault(self._parameters[index], {})
        return entry

    # ---- checks --------------------------------------------------------------------------------------------

    def check_table(self, optimizer: str, table: Sequence[TensorSpec], rank: int) -> None:
        """Raise `Mismatch`, naming the first difference, when a worker trains something else."""
        position = self.position
        if optimizer != position.optimizer:
            raise Mismatch(f"worker {rank} wants optimizer {optimizer}, and worker 0 {position.optimizer}")
        if len(table) != len(position.table):
            raise Mismatch(f"worker {rank} has {len(table)} parameters, and worker 0 has {len(position.table)}")
        for index, (theirs, ours) in enumerate(zip(table, position.table, strict=True)):
            if theirs != ours:
                raise Mismatch(
                    f"parameter {index} is {describe(theirs)} on worker {rank} and {describe(ours)} on "
                    "worker 0: every worker must build the same model"
                )

    def check_gradients(self, slots: Sequence[Slot], rank: int) -> None:
        """Raise `Mismatch` when a push does not fit the slices."""
        slices, table = self.position.slices, self.position.table
        for slot in slots:
            if slot.index >= len(slices):
                raise Mismatch(f"worker {rank} pushes slice {slot.index} of {len(slices)}")
            piece = slices[slot.index]
            row = table[piece.tensor]
            if (slot.dtype, slot.shape) != (row.dtype, piece.shape):
                raise Mismatch(
                    f"worker {rank} pushes a gradient of {slot.dtype}{list(slot.shape)} for a slice of "
                    f"{row.name}, which is {row.dtype}{list(piece.shape)}"
                )

    def check_groups(self, groups: Groups, rank: int) -> None:
        """Raise `Mismatch` when a push has other parameter groups."""
        if len(groups) != len(self.position.groups):
            raise Mismatch(
                f"worker {rank} pushes {len(groups)} parameter groups, and there are "
                f"{len(self.position.groups)}: groups cannot be added once training has begun"
            )


def describe(spec: TensorSpec) -> str:
    """A tensor's dtype and shape in a word.

    >>> describe(TensorSpec("weight", "float32", (3, 4)))
    'float32[3, 4]'
    """
    return f"{spec.dtype}{list(spec.shape)}"
