"""What a server owns: weights, optimizer, and which pushes went into them.

The three are one object and change in one place, :meth:`State.apply`. Whoever keeps one of them (a
snapshot, a journal) has to keep all of them together: weights without the table of what was applied
cannot tell a retried push from a new one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

import retrograd as rg

from . import bridge, crew
from .errors import Mismatch
from .gradients import Gradient, Gradients, Rows, dense, rows_of, scaled, summed
from .messages import Array, Entry, FrameSpec, Groups, Hyperparameter, Slice, Slot, Source, TensorSpec
from .placement import LOOKS_AT_ROWS, LOOKS_AT_TENSORS, check_cuts, shape_for
from .protocol import dtype_of, name_of, size_of
from .shared import Segment, is_available, room_for
from .touched import Touched, leaves_other_rows

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
    applied: dict[int, Source] = {}
    """For each rank the last of its pushes that is settled: in the weights, or dropped for good."""
    clocks: dict[int, int] = {}
    """For each worker that takes part, or is expected to, the step that it has done."""
    made: dict[int, int] = {}
    """How many pushes each of them has made since it joined."""
    incarnations: dict[int, int] = {}
    scalars: dict[str, bool | int | float] = {}
    """The optimizer's state that is numbers and not tensors."""
    shard: int = 0
    """Which server this is, of `shards`: the others have the other slices."""
    shards: int = 1


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
    shared : bool
        Whether the weights lie in memory that other processes of this machine can read.

    Examples
    --------
    >>> import numpy as np
    >>> position = Position("SGD", ({"lr": 0.5},), (TensorSpec("w", "float32", (2,)),), (Slice(0, 0, 2),))
    >>> state = State(position, [np.float32([1, 2])])
    >>> state.apply([{0: np.float32([2, 0])}, {0: np.float32([0, 2])}], ({"lr": 0.5},))
    >>> state.weights()[0], state.position.version
    (array([0., 1.], dtype=float32), 1)
    """

    def __init__(
        self,
        position: Position,
        weights: Sequence[Array],
        backend: str | None = None,
        older: int = 0,
        *,
        shared: bool = False,
    ) -> None:
        self.position = position
        self.source = "worker 0"
        """Who has said what is trained, for people."""
        self.segment: Segment | None = None
        """The shared memory in which the weights lie, if they do."""
        self._backend = backend
        check_cuts(position.optimizer, position.table, position.slices)
        self._frames = [FrameSpec(position.table[piece.tensor].dtype, piece.shape) for piece in position.slices]
        self._shapes = [shape_for(position.optimizer, each, position.table[each.tensor]) for each in position.slices]
        """How the optimizer sees the slices, which travel in the shapes of the frames."""
        self._is_reshaped = position.optimizer in LOOKS_AT_TENSORS
        self._takes_rows = position.optimizer in LOOKS_AT_ROWS
        self._offsets = room_for(self._frames)
        self.nbytes = sum(map(size_of, self._frames))
        """Size of the weights."""
        self._slots = tuple(
            tuple(
                Slot(index, dtype, shape, offset)  # type: ignore[arg-type]
                for index, ((dtype, shape), offset) in enumerate(zip(self._frames, offsets, strict=True))
            )
            for offsets in ([-1] * len(self._frames), self._offsets[:-1])
        )
        self._shared = shared and is_available()
        self._parameters = [
            rg.nn.Parameter(each, requires_grad=each.dtype.is_floating_point or each.dtype.is_complex)
            for each in self._tensors(weights)
        ]
        self._group_of = [position.table[piece.tensor].group for piece in position.slices]
        # One for each slice, so that a slice is added up and applied while it is in the processor's cache, and
        # several are at once. To most rules, which are elementwise, a slice is a tensor like another; to all others
        # one that is a whole tensor.
        self._optimizers = [
            bridge.build_optimizer(position.optimizer, position.groups, parameter, group)
            for parameter, group in zip(self._parameters, self._group_of, strict=True)
        ]
        self._groups: Groups | None = None
        """The hyperparameters that the optimizers have, with `_rate` times the learning rates."""
        self._rate, self._goes_by_rows = 1.0, False
        self._scratch = threading.local()
        self.touched = Touched(position.slices, position.version)
        """Which rows have changed since when."""
        self._older_kept = older
        self._older: dict[int, list[Array]] = {}
        self.remember()

    def _house(self, arrays: Sequence[Array]) -> list[Array]:
        """Copies of arrays in memory of our own: shared if they are to be, else each by itself."""
        self.segment = Segment.create_if_there_is_room(self._offsets[-1]) if self._shared else None
        if self.segment is None:
            self._shared = False
            return [each.copy() for each in arrays]
        homes = [self.segment.array(*each) for each in zip(self._frames, self._offsets, strict=False)]
        for home, each in zip(homes, arrays, strict=True):
            home[...] = each
        return homes

    def _tensors(self, arrays: Sequence[Array]) -> list[rg.Tensor]:
        """Copies of slices as the optimizer sees them."""
        homes = zip(self._house(arrays), self._shapes, strict=True)
        return [bridge.tensor_of(home.reshape(shape), self._backend) for home, shape in homes]

    # ---- what happens to it --------------------------------------------------------------------------------

    def apply(self, addends: Sequence[Gradients], groups: Groups, scale: float = 1.0, rate: float = 1.0) -> None:
        """Do one step of the optimizer with the sum of the gradients, times `scale`.

        The hyperparameters are those of `groups`, and the learning rate `rate` times theirs.
        """

        self._set_hyperparameters(groups, rate)
        update = partial(self._update, addends, scale)
        indices = range(len(self._parameters))
        totals = crew.each(update, indices, self.nbytes)
        self.position.groups = groups
        self.position.version += 1
        self.touched.note(self.position.version, totals, by_rows=self._goes_by_rows)

    def _set_hyperparameters(self, groups: Groups, rate: float) -> None:
        """Let the optimizers have these, unless they have: as a rule it is the same object again."""
        if groups is self._groups and rate == self._rate:
            return
        for optimizer, group in zip(self._optimizers, self._group_of, strict=True):
            bridge.set_hyperparameters(optimizer.param_groups, [groups[group]], rate)
        self._groups, self._rate = groups, rate
        self._goes_by_rows = leaves_other_rows(self.position.optimizer, groups)

    def _update(self, addends: Sequence[Gradients], scale: float, index: int) -> Gradient | None:
        gradients = [each[index] for each in addends if index in each]
        if not gradients:
            return None  # as for a parameter whose `.grad` is None
        out, tensor = self._out(index)
        if self._is_reshaped:
            gradients = [dense(each).reshape(self._shapes[index]) for each in gradients]
        elif self._takes_rows:
            gradients = [rows_of(each) for each in gradients]
        total = scaled(summed(gradients, out), scale)
        parameter = self._parameters[index]
        if self._takes_rows and isinstance(total, Rows):
            tensor = bridge.sparse_of(total, self._backend)
        elif total is not tensor._array:
            tensor = bridge.tensor_of(dense(total), self._backend)
        if parameter.grad is not tensor:  # else it has been left there, and says what it is to say now
            parameter.grad = tensor
        self._optimizers[index].step()
        if total is not out:
            parameter.grad = None
        return total

    def _out(self, index: int) -> tuple[Array, rg.Tensor]:
        """Memory for the sum of a slice's gradients, which is free again after its update, and a tensor of it."""
        buffers: dict[Any, tuple[Array, rg.Tensor]] = self._scratch.__dict__
        key = self._frames[index].dtype, self._shapes[index]
        if key not in buffers:
            array = np.empty(key[1], dtype_of(key[0]))
            buffers[key] = array, bridge.tensor_of(array, self._backend)
        return buffers[key]

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
        for parameter, tensor in zip(self._parameters, self._tensors(self.weights()), strict=True):
            parameter.data = tensor

    # ---- what it shows -------------------------------------------------------------------------------------

    def weights(self, frontier: int | None = None) -> list[Array]:
        """The current values; on a backend whose arrays can be written, views of them.

        With `frontier`, those of that step, or the oldest there are.
        """
        if frontier is not None and self._older_kept:
            return self._older[max(frontier, min(self._older))]
        arrays = [bridge.array_of(parameter) for parameter in self._parameters]
        if not self._is_reshaped:
            return arrays
        # The same objects, where it can be: an answer that was written before is one of these very arrays.
        return [
            array if array.shape == frame.shape else array.reshape(frame.shape)
            for array, frame in zip(arrays, self._frames, strict=True)
        ]

    def slots(self, *, in_segment: bool = False) -> tuple[Slot, ...]:
        """What `weights` holds, as a message announces it, or where in the shared memory it lies."""
        return self._slots[in_segment]

    def is_shared(self, arrays: Sequence[Array]) -> bool:
        """Whether these weights lie in the segment, so that another process of the machine can read them there."""
        if self.segment is None:
            return False
        homes = (self.segment.array(*each) for each in zip(self._frames, self._offsets, strict=False))
        return all(address_of(home) == address_of(each) for home, each in zip(homes, arrays, strict=True))

    # ---- snapshots -----------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Array]:
        """All that must be kept beside `position`, by name: weights, older ones, and the optimizer's state."""
        kept = {f"weight.{index}": each for index, each in enumerate(self.weights())}
        for frontier, arrays in self._older.items():
            kept.update((f"older.{frontier}.{index}", each) for index, each in enumerate(arrays))
        entries, arrays = self.entries()
        named = [f"state.{each.index}.{each.name}" for each in entries if each.dtype is not None]
        self.position.scalars = {
            f"{each.index}.{each.name}": each.number
            for each in entries
            if each.dtype is None and each.number is not None
        }
        return kept | dict(zip(named, arrays, strict=True))

    @classmethod
    def restored(
        cls,
        position: Position,
        tensors: Mapping[str, Array],
        backend: str | None = None,
        older: int = 0,
        *,
        shared: bool = False,
    ) -> State:
        """A state as `position` and `tensors` have kept it.

        Raises
        ------
        Mismatch
            When they do not fit together.
        """
        weights = [tensors[f"weight.{index}"] for index in range(len(position.slices))]
        for piece, array in zip(position.slices, weights, strict=True):
            row = position.table[piece.tensor]
            if (name_of(array), array.shape) != (row.dtype, piece.shape):
                raise Mismatch(
                    f"the weights of {row.name} are {name_of(array)}{list(array.shape)}, and a slice of it is "
                    f"{row.dtype}{list(piece.shape)}"
                )
        state = cls(position, weights, backend, older, shared=shared)
        state.source = "the snapshot"
        frontiers = {int(name.split(".")[1]) for name in tensors if name.startswith("older.")}
        state._older.update(
            (frontier, [tensors[f"older.{frontier}.{index}"] for index in range(len(weights))])
            for frontier in frontiers
        )
        entries, arrays = [], []
        for name, value in position.scalars.items():
            index, _, key = name.partition(".")
            entries.append(Entry(int(index), key, number=value))
        for name, array in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "state":
                index, _, key = rest.partition(".")
                entries.append(Entry(int(index), key, name_of(array), array.shape))
                arrays.append(array)
        state.load(entries, arrays)
        return state

    def entries(self) -> tuple[list[Entry], list[Array]]:
        """What the optimizer keeps, and the arrays of those entries that are arrays, in their order."""
        entries: list[Entry] = []
        arrays: list[Array] = []
        for index, (parameter, optimizer) in enumerate(zip(self._parameters, self._optimizers, strict=True)):
            for name, value in optimizer.state.get(parameter, {}).items():
                if isinstance(value, rg.Tensor):
                    array = bridge.array_of(value)
                    entries.append(Entry(index, name, name_of(array), array.shape))
                    arrays.append(array)
                elif isinstance(value, bool | int | float):
                    entries.append(Entry(index, name, number=value))
        return entries, arrays

    def load(self, entries: Sequence[Entry], arrays: Sequence[Array]) -> None:
        """Let the optimizer keep this, and nothing else."""
        came = iter(arrays)
        values = [each.number if each.dtype is None else next(came) for each in entries]
        for each in entries:
            if each.index >= len(self._parameters):
                raise Mismatch(f"the optimizer's state speaks of more than {len(self._parameters)} slices")
            if each.dtype is not None and each.shape and not self._fits(each.shape, self._shapes[each.index]):
                raise Mismatch(
                    f"the optimizer's {each.name} of slice {each.index} has shape {list(each.shape)}, and the slice "
                    f"{list(self._shapes[each.index])}"
                )
        for parameter, optimizer in zip(self._parameters, self._optimizers, strict=True):
            optimizer.state.pop(parameter, None)
        for each, value in zip(entries, values, strict=True):
            kept = self._optimizers[each.index].state[self._parameters[each.index]]
            kept[each.name] = value if each.dtype is None else bridge.tensor_of(value.copy(), self._backend)  # type: ignore[union-attr]

    def _fits(self, kept: tuple[int, ...], shape: tuple[int, ...]) -> bool:
        """Whether an optimizer may keep something of the shape `kept` for a slice that it sees in another."""
        if not self._is_reshaped:
            return kept == shape
        # Of rows and columns an average is kept, in place of which there is one element.
        return len(kept) == len(shape) and all(one in (1, other) for one, other in zip(kept, shape, strict=True))

    # ---- checks --------------------------------------------------------------------------------------------

    def check_table(self, optimizer: str, table: Sequence[TensorSpec], rank: int) -> None:
        """Raise `Mismatch`, naming the first difference, when a worker trains something else."""
        position = self.position
        if optimizer != position.optimizer:
            raise Mismatch(f"worker {rank} wants optimizer {optimizer}, and {self.source} {position.optimizer}")
        if len(table) != len(position.table):
            raise Mismatch(f"worker {rank} has {len(table)} parameters, and {self.source} has {len(position.table)}")
        for index, (theirs, ours) in enumerate(zip(table, position.table, strict=True)):
            if theirs != ours:
                raise Mismatch(
                    f"parameter {index} is {describe(theirs)} on worker {rank} and {describe(ours)} on "
                    f"{self.source}: every worker must build the same model"
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
        if groups == self.position.groups:
            return
        for number, (theirs, ours) in enumerate(zip(groups, self.position.groups, strict=True)):
            for name in theirs.keys() & ours.keys():
                if ours[name] is not None and _kind(theirs[name]) != _kind(ours[name]):
                    raise Mismatch(
                        f"worker {rank} pushes {name}={theirs[name]!r} for parameter group {number}, where it was "
                        f"{ours[name]!r}: a hyperparameter may change, and stays a number or so many numbers"
                    )


def _kind(value: Hyperparameter) -> int | None:
    """Whether a hyperparameter is a number (-1), so many numbers, or nothing."""
    return len(value) if isinstance(value, tuple | list) else None if value is None else -1


def address_of(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def describe(spec: TensorSpec) -> str:
    """A tensor's dtype and shape in a word.

    >>> describe(TensorSpec("weight", "float32", (3, 4)))
    'float32[3, 4]'
    """
    return f"{spec.dtype}{list(spec.shape)}"
