"""What the processes of a run say to each other: the schema of every message.

A declaration here *is* the form on the wire. The decoder of :mod:`~retrograd.distributed.protocol` holds
every incoming header against it, field by field, so that code behind the decoder can rely on the types and
ranges written here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import numpy.typing as npt
from msgspec import Meta, Struct

from .compression import CODECS
from .errors import ProtocolError

__all__ = [
    "MAX_OPTIMIZERS",
    "MAX_SERVERS",
    "MAX_TENSORS",
    "MAX_WORKERS",
    "OLDEST_VERSION",
    "VERSION",
    "AnyMessage",
    "Array",
    "Barrier",
    "Bye",
    "DType",
    "Done",
    "Echo",
    "Entry",
    "Error",
    "Exited",
    "Farewell",
    "Fetch",
    "Follow",
    "FrameSpec",
    "Group",
    "Groups",
    "Heartbeat",
    "Hello",
    "Hyperparameter",
    "Init",
    "Joined",
    "Kept",
    "Landed",
    "LaneOffer",
    "Load",
    "Message",
    "Number",
    "Order",
    "Pull",
    "Pulse",
    "Push",
    "Ready",
    "Released",
    "Report",
    "Rewind",
    "SharedSegment",
    "Slice",
    "Slot",
    "Source",
    "Staged",
    "Status",
    "StatusRequest",
    "TensorSpec",
    "Traffic",
    "Weigh",
    "Weighed",
    "Weights",
    "Welcome",
    "WorkerStatus",
]

VERSION = 7
"""Version of the protocol. Goes up with every change of a message."""
OLDEST_VERSION = 7
"""The oldest version that this one still speaks. HELLO names the range, and the server chooses the newest
version that both sides have."""

MAX_WORKERS = 16_384
MAX_SERVERS = 1024
MAX_OPTIMIZERS = 16
MAX_TENSORS = 65_536
MAX_SLICES = 1 << 20
_MAX_DIMS = 32

Array: TypeAlias = npt.NDArray[Any]
DType: TypeAlias = Literal[
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip

Natural: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Rank: TypeAlias = Annotated[int, Meta(ge=0, lt=MAX_WORKERS)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0)]
Name: TypeAlias = Annotated[str, Meta(max_length=1024)]
Text: TypeAlias = Annotated[str, Meta(max_length=65_536)]
Length: TypeAlias = Annotated[int, Meta(ge=0, le=2**48)]
Shape: TypeAlias = Annotated[tuple[Length, ...], Meta(max_length=_MAX_DIMS)]
SliceIndex: TypeAlias = Annotated[int, Meta(ge=0, lt=MAX_SLICES)]
ShardIndex: TypeAlias = Annotated[int, Meta(ge=0, lt=MAX_SERVERS)]

# An optimizer goes over the wire as a name and numbers, never as code. `betas` is a tuple of numbers.
Number: TypeAlias = bool | int | float | None
Hyperparameter: TypeAlias = Number | Annotated[tuple[Number, ...], Meta(max_length=16)]
Group: TypeAlias = Annotated[dict[Name, Hyperparameter], Meta(max_length=64)]
Groups: TypeAlias = Annotated[tuple[Group, ...], Meta(max_length=MAX_TENSORS)]


# ---- what messages are made of -----------------------------------------------------------------------------


class FrameSpec(NamedTuple):
    """What the bytes of one frame are."""

    dtype: str
    shape: tuple[int, ...]


class TensorSpec(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One row of the tensor table, on which INIT agrees."""

    name: Name
    dtype: DType
    shape: Shape
    group: Annotated[int, Meta(ge=0, lt=MAX_TENSORS)] = 0
    """Index of the optimizer's parameter group that the tensor belongs to."""


class Slice(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The elements `start` to `stop` of a tensor in C order: what a server owns, and messages carry.

    Cut between rows of the tensor's first dimension it has `columns` of them in each row, else none (0).

    >>> Slice(0, 128, 192, columns=32).shape, Slice(0, 0, 7).shape
    ((2, 32), (7,))
    """

    tensor: Annotated[int, Meta(ge=0, lt=MAX_TENSORS)]
    start: Length
    stop: Length
    columns: Length = 0

    @property
    def size(self) -> int:
        return self.stop - self.start

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size // self.columns, self.columns) if self.columns else (self.size,)


class Slot(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A slice's gradient or value inside a message.

    Dense and uncompressed it is one frame. With `rows` >= 0 it has the numbers of so many rows, and then
    those rows; with a codec, what that codec makes. With `offset` >= 0 the frames stand one after the other,
    at multiples of 64 bytes, in the shared memory that the message names.
    """

    index: SliceIndex
    dtype: DType
    shape: Annotated[tuple[Length, ...], Meta(max_length=2)]
    offset: Annotated[int, Meta(ge=-1, le=2**48)] = -1
    rows: Annotated[int, Meta(ge=-1, le=2**48)] = -1
    codec: Name = "none"
    numbers: Annotated[tuple[int | float, ...], Meta(max_length=8)] = ()

    def frames(self) -> Sequence[FrameSpec]:
        """What the frames of the slot are.

        >>> Slot(0, "float32", (4, 2), rows=1).frames()
        [FrameSpec(dtype='int64', shape=(1,)), FrameSpec(dtype='float32', shape=(1, 2))]
        """
        if self.rows >= 0:
            if len(self.shape) != 2 or self.rows > self.shape[0] or self.codec != "none":
                raise ProtocolError(f"slot {self.index} of shape {self.shape} cannot travel as {self.rows} rows")
            return [FrameSpec("int64", (self.rows,)), FrameSpec(self.dtype, (self.rows, self.shape[1]))]
        if self.codec == "none":
            return [FrameSpec(self.dtype, self.shape)]
        if self.codec not in CODECS:
            raise ProtocolError(f"slot {self.index} is compressed by {self.codec!r}, which is none of {sorted(CODECS)}")
        return [FrameSpec(*each) for each in CODECS[self.codec].layout(self.shape, self.dtype, self.numbers)]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class SharedSegment(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Shared memory as another process finds it; see Note [A segment has no name]."""

    pid: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    descriptor: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    size: Annotated[int, Meta(ge=64, le=2**48)]
    token: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]


class LaneOffer(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a worker of the server's machine may open a lane, and with what token; see Note [Lanes]."""

    name: Name
    token: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    port: Annotated[int, Meta(ge=1, lt=1 << 16)]
    """At which the server listens. A worker with another one in its address has a reason, and opens no lane."""


class Source(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Which push something came from; never the same twice, over all workers and all their lives."""

    rank: Rank
    incarnation: Natural
    seq: Natural


class Joined(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A worker that takes part from `clock` on."""

    rank: Rank
    incarnation: Natural
    clock: Natural


class Report(Struct, frozen=True, forbid_unknown_fields=True):
    """How far a worker is, and how fast. Informs people; nothing is computed from it."""

    step: Natural = 0
    total: Natural = 0
    loss: float | None = None
    samples: Natural = 0
    seconds: Seconds = 0.0
    waiting: Seconds = 0.0
    sent: Natural = 0
    """Bytes that this worker's gradients took on their way, and `raw` those that they would have taken."""
    raw: Natural = 0
    retries: Natural = 0


class Traffic(Struct, forbid_unknown_fields=True):
    """What has gone through a channel: whole messages, and the bytes of all their frames."""

    messages_sent: Natural = 0
    messages_received: Natural = 0
    bytes_sent: Natural = 0
    bytes_received: Natural = 0


class WorkerStatus(Struct, frozen=True, forbid_unknown_fields=True):
    """One worker as the server sees it."""

    rank: Rank
    state: Literal["expected", "joined", "left", "lost"]
    step: Natural
    silent: Seconds
    report: Report
    behind: Natural = 0
    """Steps that the slowest worker is behind this one."""
    nonfinite: Natural = 0
    """Pushes with a NaN or an infinity in them."""


class Message(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag=str.lower):
    """A header. The tag of a class on the wire is its name in lower case."""

    def payload(self) -> Sequence[FrameSpec]:
        """What the frames after the header hold, in order."""
        return ()


class _Tensors(Message, frozen=True):
    """A message that carries slices."""

    tensors: Annotated[tuple[Slot, ...], Meta(max_length=MAX_SLICES)]

    def payload(self) -> Sequence[FrameSpec]:
        return [frame for slot in self.tensors if slot.offset < 0 for frame in slot.frames()]


# ---- worker to server --------------------------------------------------------------------------------------


class Hello(Message, frozen=True):
    """First message of every connection: who is there. Answered by WELCOME or ERROR.

    A worker that starts again has another incarnation, so that what its former life sent is told apart.
    """

    run: Name
    role: Literal["worker", "launcher"]
    world_size: Annotated[int, Meta(ge=1, le=MAX_WORKERS)]
    incarnation: Natural
    rank: Rank = 0
    host: Name = ""
    """Names the machine, so that shared memory is offered only within it."""
    oldest: Natural = OLDEST_VERSION
    protocol: Natural = VERSION


class Init(Message, frozen=True):
    """What is to be trained, and how. Answered by READY and WEIGHTS.

    Rank 0 of a run that has no weights yet sends them along, and so decides how they are cut: `slices` are
    those of the server that the message goes to. From all others `slices` is empty.
    """

    seq: Natural
    optimizer: Name
    groups: Groups
    table: Annotated[tuple[TensorSpec, ...], Meta(max_length=MAX_TENSORS)]
    slices: Annotated[tuple[Slice, ...], Meta(max_length=MAX_SLICES)]
    weights: bool
    shared: bool = False

    def payload(self) -> Sequence[FrameSpec]:
        if not self.weights:
            return ()
        for each in self.slices:
            if each.tensor >= len(self.table) or each.stop < each.start:
                raise ProtocolError(f"{each} is no slice of any of {len(self.table)} tensors")
        return [FrameSpec(self.table[each.tensor].dtype, each.shape) for each in self.slices]


class Push(_Tensors, frozen=True):
    """A part of the gradients of one step; all parts together are one push.

    When the last has come, and the consistency of the run allows it, the answer is WEIGHTS, or DONE if
    `reply` is false. A later part that holds a slice again replaces the earlier one's. Only slices in
    `present`, which stands in the last part (the one with `parts` > 0), count: a tensor without a gradient
    is absent. The hyperparameters go with each push, so that a push means the same however often and
    whenever it is sent.
    """

    seq: Natural
    step: Natural
    part: Annotated[int, Meta(ge=0, lt=MAX_SLICES)] = 0
    parts: Annotated[int, Meta(ge=0, le=MAX_SLICES)] = 1
    version: Natural = 0
    """Updates that were in the weights which the gradients were computed with."""
    groups: Groups = ()
    present: Annotated[tuple[SliceIndex, ...], Meta(max_length=MAX_SLICES)] = ()
    reply: bool = True
    shared: bool = False
    segment: SharedSegment | None = None
    """The worker's shared memory, in which slots with an offset stand. It is written again after the answer."""


class Pull(Message, frozen=True):
    """Asks for the weights as the consistency allows them to a worker that has pushed step `step`."""

    seq: Natural
    step: Natural
    shared: bool = False
    """Whether the answer may be in shared memory; INIT and PUSH say so, too."""


class Entry(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One thing that an optimizer keeps for a slice: an array, or a number."""

    index: SliceIndex
    name: Name
    dtype: DType | None = None
    shape: Shape = ()
    number: int | float | bool | None = None


class _Entries(Message, frozen=True):
    """A message that carries what an optimizer keeps."""

    seq: Natural
    entries: Annotated[tuple[Entry, ...], Meta(max_length=MAX_SLICES)] = ()

    def payload(self) -> Sequence[FrameSpec]:
        return [FrameSpec(each.dtype, each.shape) for each in self.entries if each.dtype is not None]


class Fetch(Message, frozen=True):
    """Asks for what the optimizer keeps. Answered by KEPT."""

    seq: Natural


class Load(_Entries, frozen=True):
    """Sets what the optimizer keeps, in place of all that it kept before. Answered by DONE."""


class Landed(Message, frozen=True):
    """The weights of answer `seq`, which lay in shared memory, have been read. Not answered."""

    seq: Natural


class Barrier(Message, frozen=True):
    """Answered by RELEASED when every worker has sent its own."""

    seq: Natural


class Heartbeat(Message, frozen=True):
    """Sent on a connection of its own, a few times a second. Answered by PULSE."""

    rank: Rank
    incarnation: Natural
    report: Report


class Bye(Message, frozen=True):
    """This process leaves: in peace, or because of `error`. A worker's is answered by FAREWELL.

    One that is `withdrawn` was not let in everywhere, and has asked nothing: another may come in its place.
    """

    error: Text | None = None
    report: Report | None = None
    withdrawn: bool = False


# ---- launcher to server ------------------------------------------------------------------------------------


class StatusRequest(Message, frozen=True):
    """Answered by STATUS. A `visit` is somebody's who looks and goes, and says no HELLO."""

    visit: bool = False


class Echo(_Tensors, frozen=True):
    """Answered by the same, with the server's time and versions: to measure the way."""

    time: float = 0.0
    version: Name = ""
    protocol: Natural = VERSION


class Exited(Message, frozen=True):
    """A worker's process has ended; the launcher sees it before silence tells."""

    rank: Rank
    failed: bool
    text: Text


# ---- server to worker --------------------------------------------------------------------------------------


class Welcome(Message, frozen=True):
    """The server takes part in the run that HELLO named, and this is how the run is done."""

    boot: Natural
    """A number for this life of the server: another one means that it has started again."""
    step: Natural
    """The step that this worker has done, as far as the server knows; for a new one, that the others have."""
    initialized: bool
    """Whether it has weights."""
    takes_part: bool
    """Whether the server counts on this worker; if not, it must say INIT."""
    received: Natural
    """Number of the last request of this incarnation that the server has."""
    shard: ShardIndex
    shards: Annotated[int, Meta(ge=1, le=MAX_SERVERS)]
    slice_bytes: Annotated[int, Meta(ge=0, le=2**30)]
    """Of what size slices are to be; 0: as it suits the model."""
    compression: Name
    credit: Natural
    """Bytes of gradients that the worker may have under way."""
    recovery: Seconds
    """How long to wait for this server if it dies: it keeps what it needs to come back. 0 is not at all."""
    shared: bool
    """Whether payloads may go through shared memory."""
    lane: LaneOffer | None = None
    version: Natural = 0
    """Updates in the server's weights."""
    incarnation: Natural = 0
    """Which life of the worker is welcome."""
    protocol: Natural = VERSION


class Ready(Message, frozen=True):
    """This worker takes part from `step` on; the server owns `slices`, whose WEIGHTS follow."""

    seq: Natural
    step: Natural
    slices: Annotated[tuple[Slice, ...], Meta(max_length=MAX_SLICES)]


class Weights(_Tensors, frozen=True):
    """A part of the server's weights; the answer is whole with part number `parts` - 1.

    `step` is the step that this worker has now done, `version` the number of updates in the weights. A slice
    that is absent from all parts has not changed since the worker was last sent it.
    """

    seq: Natural
    step: Natural
    version: Natural = 0
    part: Annotated[int, Meta(ge=0, lt=MAX_SLICES)] = 0
    parts: Annotated[int, Meta(ge=1, le=MAX_SLICES)] = 1
    segment: SharedSegment | None = None
    """The server's shared memory, in which slots with an offset stand until the worker has read them."""
    awaited: bool = True
    """Whether the worker is to say LANDED then; else its next request says as much."""


class Kept(_Entries, frozen=True):
    """What the optimizer keeps: momenta and the like."""


class Done(Message, frozen=True):
    """Push number `seq` is applied."""

    seq: Natural
    step: Natural


class Farewell(Message, frozen=True):
    """Answers BYE: the server has heard it, and it need not be said again."""


class Released(Message, frozen=True):
    """Everyone has reached the barrier."""

    seq: Natural
    step: Natural = 0
    """The step that this worker has now done. It is beyond its own if others had more of them; then it pulls."""


class Pulse(Message, frozen=True):
    """The server lives, has received this worker's requests up to one, and answered up to another."""

    boot: Natural
    received: Natural
    answered: Natural
    common: Natural | None = None
    """To a server that follows: the newest snapshot that all have, which nobody is to drop."""


class Status(Message, frozen=True):
    """The server's view of the run."""

    step: Natural
    failure: Text | None
    culprit: Rank | None
    rejected: Natural
    duplicates: Natural
    traffic: Traffic
    workers: Annotated[tuple[WorkerStatus, ...], Meta(max_length=MAX_WORKERS)]
    version: Natural = 0
    shard: ShardIndex = 0
    shards: Annotated[int, Meta(ge=1, le=MAX_SERVERS)] = 1
    slices: Annotated[tuple[Slice, ...], Meta(max_length=MAX_SLICES)] = ()
    table: Annotated[tuple[TensorSpec, ...], Meta(max_length=MAX_TENSORS)] = ()
    memory: Natural = 0
    """Bytes that the server's process holds, `queued` those of them in gradients that wait."""
    queued: Natural = 0
    snapshot: Natural | None = None
    """Updates in the last snapshot, and `snapshot_age` its age in seconds."""
    snapshot_age: Seconds = 0.0
    skipped: Natural = 0
    """Steps left out because of a NaN or an infinity."""
    dropped: Natural = 0
    """Pushes that came too late for their step."""
    consistency: Name = ""
    optimizer: Annotated[int, Meta(ge=1)] = 1
    """Which of the script's optimizers this is, and `others` the further ones, which the same process serves."""
    others: Annotated[tuple[Status, ...], Meta(max_length=MAX_OPTIMIZERS - 1)] = ()

    def by_optimizer(self) -> tuple[Status, ...]:
        """This one and the others."""
        return (self, *self.others)


class Error(Message, frozen=True):
    """Request number `seq` (0: none in particular) was not, and will not be, done."""

    kind: Name
    text: Text
    seq: Natural = 0
    incarnation: Natural = 0
    """Which life of the worker a HELLO or HEARTBEAT is refused; 0 for others."""


# ---- among servers -----------------------------------------------------------------------------------------


class Follow(Message, frozen=True):
    """A server presents itself to the first one, whose orders it has carried out up to `number`.

    Answered by PULSE and all later ORDERs, or by REWIND.
    """

    run: Name
    shard: ShardIndex
    number: Natural
    initialized: bool
    boot: Natural = 0
    """A number for this life of the server, as in WELCOME."""
    protocol: Natural = VERSION
    snapshots: tuple[Natural, ...] = ()
    """The orders up to which its snapshots go."""


class Rewind(Message, frozen=True):
    """Tells a server to go back to its snapshot of order `number`, if its life is still that called `boot`.

    Answered by FOLLOW in a new life.
    """

    number: Natural
    boot: Natural


class Staged(Message, frozen=True):
    """The whole of a push has arrived at this server."""

    source: Source
    finite: bool
    large: bool = False
    """Whether the sum of several such may be infinite."""


class Order(Message, frozen=True):
    """What every server does next, as the first one has decided. Orders are numbered without a gap."""

    number: Natural
    frontier: Natural
    """Steps that are done, by everyone on whom the consistency waits."""
    sources: tuple[Source, ...] = ()
    """Pushes to add up, in this order, for one update; without any there is no update."""
    leading: Natural = 0
    """Which of them says with what hyperparameters."""
    scale: float = 1.0
    """What their sum is multiplied by."""
    rate: float = 1.0
    """What the learning rates are multiplied by."""
    clip: float = 1.0
    """What the sum is multiplied by, beside `scale`, to keep its norm within bounds."""
    skip: bool = False
    """Whether to leave out the update, for a NaN or an infinity in it."""
    dropped: tuple[Source, ...] = ()
    """Pushes to forget: they came too late."""
    refused: tuple[Source, ...] = ()
    """Pushes to forget, and to tell their workers so: with an error of `kind` and `text`."""
    kind: Name = ""
    text: Text = ""
    joined: tuple[Joined, ...] = ()
    gone: tuple[Joined, ...] = ()
    """Workers that have left or were lost; what is staged of them and in no order is forgotten."""


class Weigh(Message, frozen=True):
    """Asks a server about its part of the sum of a step's gradients, before order `number` that they go into."""

    number: Natural
    sources: tuple[Source, ...]
    scale: float


class Weighed(Message, frozen=True):
    """Answers WEIGH: the sum of the squares of all elements, where norms are bounded, and whether one is infinite."""

    number: Natural
    shard: ShardIndex
    squares: float
    overflow: bool = False


AnyMessage: TypeAlias = (
    Hello | Init | Push | Pull | Fetch | Load | Landed | Barrier | Heartbeat | Bye
    | StatusRequest | Echo | Exited
    | Kept | Welcome | Ready | Weights | Done | Released | Farewell | Pulse | Status | Error
    | Follow | Rewind | Staged | Order | Weigh | Weighed
)  # fmt: skip
