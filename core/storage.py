"""Shared memory of tensors: aliases, writes, and version counters.

Note [Storage]
    Tensors that share memory share one `Storage`; a tensor alone in its memory has none. On a
    mutable array library (NumPy) aliases are real views and a write is seen by all. On an
    immutable one (JAX) the storage owns the base array and each alias knows the view steps that
    lead to it: a write computes a new base and refreshes the arrays of the live aliases. Reading a
    tensor's array is one attribute access on both.

Note [Version cell]
    A version counter is a list with one int, shared by reference: a view and its base, or a tensor
    and its `detach()`, have the same cell; `.data` gets a cell of its own. Every in-place write
    adds one. A node saves the cell and its value and compares later. In-place operators leave a
    `Signature` behind the int, so that an error can say who wrote. A third entry, which few have, is
    explained in Note [Captured tensors] in `retrograd.levels`; then the second may be None. A fourth is there
    if tensors with this cell are in several memories (`set_` and `.data = ...` move a tensor, and leave it a view
    of its base or its base's views their views): the lists of aliases of all of them. See `family`.

    `detach_` adds `PARTED`, so that nodes look more closely (`retrograd.ops.plan.is_stale`): PyTorch reads the history
    of what a node has saved when it is used, and raises where it is gone. `VERSION` masks the number of writes.

Note [Replaced arrays]
    A node saves a tensor's array. PyTorch's saves the tensor, and so sees what is written to its memory past its
    version, through `.data`, and the memory that `x.data = ...` gives it. Where arrays share memory the first is seen
    anyway. Else `replace` remembers which array another has taken the place of, and adds `REPLACED` to the cell, or
    `MOVED`, if it is in another memory: a node that finds another number there than it has saved looks more closely,
    and asks `current`. A view that is no more has not been told; one of a leaf is taken anew (`stale.view_now`).

Note [Inference cell]
    A tensor made in inference mode has no version, so no node may save it. That must cost nothing
    where it does not happen, which is at every call of an operator. But whoever saves a tensor reads
    `tensor._cell[0]` to note the version; so inference tensors have, instead of a list, one shared
    object whose reading raises PyTorch's error. The straight-line code of `retrograd.ops.specialise`
    needs no test for it, and an operator that saves only the other input (or nothing, like `add`)
    goes through, as in PyTorch. (The other way, a subclass that fails the exact-type test, would send
    all uses of inference tensors to the slow path and show in `type(x)`.) Views and `detach()` share
    their base's cell, and by that are inference tensors exactly if the base is one. In inference
    mode itself the cell reads as zero and takes any write. Writers call `check_write` first, so that
    a refused write raises before anything is changed. In a function that `retrograd.func` differentiates
    it reads as zero, too: what is saved there is used before the transform is over (`admitting`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from retrograd.autograd.modes import current_mode
from retrograd.mirror import Mirror
from retrograd.views import Expand, branches_of, scatter_part, steps_of

if TYPE_CHECKING:
    from retrograd.autograd.node import Extras, Node
    from retrograd.tensor import Tensor
    from retrograd.views import Chain, Step

__all__ = [
    "INFERENCE",
    "MOVED",
    "OWN",
    "PARTED",
    "REPLACED",
    "VERSION",
    "Meta",
    "Signature",
    "Storage",
    "View",
    "admitting",
    "announce",
    "bump",
    "changed",
    "check_write",
    "current",
    "expanded_dims",
    "family",
    "fix",
    "leave",
    "move_to",
    "refuse_overlap",
    "replace",
    "share",
    "shared_of",
    "sign",
    "unsavable",
    "write",
]


PARTED: Final = 1 << 40
VERSION: Final = PARTED - 1
"""See Note [Version cell]."""

REPLACED: Final = 1 << 56
MOVED: Final = 1 << 96
"""See Note [Replaced arrays]."""


class _InferenceCell:
    """See Note [Inference cell]."""

    __slots__ = ()

    def __getitem__(self, index: int) -> int:
        if not current_mode().inference:
            region = _admitting.get()
            if region is None:
                raise unsavable()
            region.used = True
        return 0

    def __setitem__(self, index: int, value: int) -> None:
        pass


INFERENCE: Final[Any] = _InferenceCell()
"""The version cell of all inference tensors."""


class admitting:
    """A context in which nodes may save inference tensors.

    Attributes
    ----------
    used
        Whether one has, or may have.
    outer
        The context around it.
    """

    __slots__ = ("_token", "outer", "used")

    def __enter__(self) -> admitting:
        self.used = False
        self.outer = _admitting.get()
        self._token = _admitting.set(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        _admitting.reset(self._token)
        if self.outer is not None and self.used:
            self.outer.used = True


_admitting: ContextVar[admitting | None] = ContextVar("retrograd.admitting", default=None)


def unsavable() -> RuntimeError:
    """The error of a node that would save an inference tensor."""
    return RuntimeError(
        "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference "
        "mode in computation tracked by autograd. To work around this, you can make a clone to get a "
        "normal tensor and use it in autograd, or use `retrograd.no_grad()` instead of "
        "`retrograd.inference_mode()`."
    )


class Signature(NamedTuple):
    """Who wrote last through an in-place operator. Holds no node: what a node saves must not lead back to it.

    Attributes
    ----------
    version
        The version that the write made.
    name
        The operator's.
    node
        The class of the node of the last write that was recorded, which need not be this one.
    stack
        In anomaly mode, that of the call.
    """

    version: int
    name: str
    node: type[Node] | None
    stack: str | None


def sign(cell: Any, name: str, node: type[Node] | None, stack: str | None) -> None:
    """Leave in a version cell who has just written."""
    if type(cell) is list:
        if node is None and len(cell) > 1 and cell[1] is not None:
            node = cell[1].node
        cell[1:2] = (Signature(cell[0], name, node, stack),)


def check_write(tensor: Tensor) -> None:
    """Refuse to write to an inference tensor outside of inference mode."""
    if type(tensor._cell) is not list and not current_mode().inference:
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone "
            "to get a normal tensor before doing inplace update.See https://github.com/pytorch/rfcs/pull/17 "
            "for more details."
        )


OWN: Final = object()
"""In `Meta.grad_dtype`: the tensor's own type."""


class Meta:
    """What only some tensors have. Class attributes are the defaults."""

    grad: Tensor | None = None
    grad_dtype: Any = OWN  # of a leaf: the type of its gradient, None for any
    storage: Storage | None = None
    chain: Chain | None = None  # of the steps from the storage's base to this tensor
    mirror: Mirror | None = None  # of a view of conjugates, where arrays share memory
    view: View | None = None
    post_accumulate_hooks: dict[int, Callable[[Tensor], Any]] | None = None
    retains_grad: bool = False
    hooks: Extras | None = None  # of a leaf without a gradient: the hooks it had when it had one
    sink: weakref.ref[Node] | None = None  # and the node, as long as a graph has it
    tangents: dict[int, Tensor] | None = None  # by the number of the forward-mode level each belongs to
    name: str | None = None


class View:
    """How a tensor came from its base by view operators, for the graph.

    Attributes
    ----------
    base
        The tensor that is no view itself.
    chain
        Of the steps from the base to this tensor.
    creation
        None for an ordinary view; else why it may not be written to with gradients: `"no_grad"`,
        `"inference"`, `"multi"` (an operator with several outputs) or `"function"` (a custom Function).
    node_name
        The name of the operator that made it.
    version
        The version that its edge belongs to: Note [Stale views] in `retrograd.autograd.stale`.
    dual
        The number of the forward-mode level at which its tangent, or that it has none, is not its base's.
    origin
        The nearest such view that it was taken from, if any.
    """

    __slots__ = ("base", "chain", "creation", "dual", "node_name", "origin", "version")

    def __init__(self, base: Tensor, chain: Chain | None, creation: str | None, node_name: str, version: int) -> None:
        self.base = base
        self.chain = chain
        self.creation = creation
        self.node_name = node_name
        self.version = version
        self.dual: int | None = None
        self.origin: Tensor | None = None


class Storage:
    """See Note [Storage].

    Attributes
    ----------
    fixed
        Whether its size cannot change, because others than tensors share it.
    has_views
        Whether a write to it changes what views are, here or in another memory.
    """

    __slots__ = ("__weakref__", "_prune_at", "aliases", "array", "fixed", "has_views", "mirror")

    def __init__(self, owner: Tensor) -> None:
        self.array = owner._array
        self.aliases: list[weakref.ref[Tensor]] = [weakref.ref(owner)]
        self.has_views = self.fixed = False
        self.mirror: weakref.ref[Mirror] | None = None
        self._prune_at = 16

    def add(self, tensor: Tensor) -> None:
        """Register an alias; forgets dead ones now and then, so that a loop of views stays small."""
        aliases = self.aliases
        if len(aliases) >= self._prune_at:
            aliases[:] = [each for each in aliases if each() is not None]
            self._prune_at = 2 * len(aliases) + 16
        aliases.append(weakref.ref(tensor))

    def mirrored(self, k: Any) -> Mirror:
        """The mirror, which whoever looks at it keeps. Only for libraries whose arrays share memory."""
        mirror = None if self.mirror is None else self.mirror()
        if mirror is None:
            mirror = Mirror(k, self.array)
            self.mirror = weakref.ref(mirror)
        return mirror

    def live(self) -> Iterator[Tensor]:
        for reference in self.aliases:
            tensor = reference()
            if tensor is not None and (meta := tensor._tensor_meta) is not None and meta.storage is self:
                yield tensor

    def write(self, k: Any, chain: Chain | None, value: Any, cell: Any = None) -> None:
        """Replace what `chain` leads to, and refresh all aliases. Only for immutable libraries.

        `cell` is that of the tensor through which it is written to, whose version will tell nodes; None: there is none.
        """
        self.array = scatter_steps(k, self.array, steps_of(chain), value)
        for alias, array in self.arrays(k):
            if alias._cell is not cell:
                replace(alias, alias._array, array)
            alias._set_array(array)

    def arrays(self, k: Any) -> Iterator[tuple[Tensor, Any]]:
        """Each live alias, and its part of the array as it is now.

        The chains are walked as a tree, depth first: each step is taken once, and what no alias holds is kept only
        while there are branches of it to go.
        """
        aliases: dict[Chain | None, list[Tensor]] = {}
        for alias in self.live():
            aliases.setdefault(alias._own_meta().chain, []).append(alias)
        branches = branches_of(aliases)
        todo: list[tuple[Chain | None, Any]] = [(None, self.array)]
        while todo:
            chain, array = todo.pop()
            if chain is not None:
                array = chain.step.apply(k, array)
            for alias in aliases.get(chain, ()):
                yield alias, array
            todo += [(each, array) for each in branches.get(chain, ())]


def scatter_steps(k: Any, base: Any, steps: tuple[Step, ...], value: Any) -> Any:
    """`base` with what `steps` lead to replaced by `value`."""
    bases = [base]
    for i, step in enumerate(steps):
        is_last = i + 1 == len(steps)
        # Every element of an expanded tensor is written at once, or refused before it comes to that.
        if step.overlaps_itself() and not (is_last and isinstance(step, Expand)):
            value, steps = scatter_part(k, bases[-1], steps[i:], value), steps[:i]
            break
        if not is_last:
            bases.append(step.apply(k, bases[-1]))
    for step, before in zip(reversed(steps), reversed(bases[: len(steps)]), strict=True):
        value = step.scatter(k, before, value)
    return value


def expanded_dims(tensor: Tensor) -> list[int]:
    """The dimensions along which the elements of a tensor are one in memory."""
    meta, k, array = tensor._tensor_meta, tensor._kernels, tensor._array
    if not k.mutable and (meta is None or meta.storage is None):
        return []
    if k.is_contiguous is not None and k.is_contiguous(array):
        return []
    strides, shape = tensor._strides(), array.shape
    if 0 not in strides or 0 in shape:
        return []
    return [i for i, stride in enumerate(strides) if stride == 0 and shape[i] > 1]


def refuse_overlap(target: Tensor, others: Iterable[Any], apart: bool = False) -> None:
    """Refuse to write to a tensor of which two elements are one, or what is computed from a part of its memory.

    With `apart` also what is computed from just the elements that are written to.
    """
    meta, k = target._tensor_meta, target._kernels
    shared = None if meta is None else meta.storage
    if shared is None and not k.mutable and not apart:
        return
    if expanded_dims(target):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )
    for other in others:
        if other is target:
            meets = apart and 0 not in target._array.shape
        else:
            own = getattr(other, "_tensor_meta", None)
            meets = shared is not None and own is not None and own.storage is shared and _overlaps(target, other, apart)
        if meets:
            raise RuntimeError(
                "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single "
                "memory location. Please clone() the tensor before performing the operation."
            )


def _overlaps(one: Tensor, other: Tensor, apart: bool) -> bool:
    """Whether two tensors without holes share elements; unless they are to be `apart`, not all in the same places."""
    layouts = one._layout(), other._layout()
    if not all(each.is_dense() for each in layouts):
        return False  # PyTorch does not look closer either
    begins = [each.offset for each in layouts]
    ends = [begin + prod(each.shape) for begin, each in zip(begins, layouts, strict=True)]
    if begins[0] == begins[1] and ends[0] == ends[1]:
        one_way, other_way = ([m for n, m in zip(e.shape, e.strides, strict=True) if n != 1] for e in layouts)
        return apart or one_way != other_way or len(layouts[0].shape) != len(layouts[1].shape)
    return begins[0] < ends[1] and begins[1] < ends[0]


def share(source: Tensor, alias: Tensor) -> None:
    """Make `alias`, by default the same part of it, share the storage of `source`; a view sets its `chain` next."""
    meta, own = source._tensor_meta, alias._tensor_meta
    if meta is None:
        meta = source._tensor_meta = Meta()
    if own is None:
        own = alias._tensor_meta = Meta()
    storage = meta.storage
    if storage is None:
        storage = meta.storage = Storage(source)
    own.storage, own.chain = storage, meta.chain
    if meta.mirror is not None:
        own.mirror = meta.mirror
    storage.add(alias)


def shared_of(tensor: Tensor) -> Storage:
    """The storage of a tensor, which has one from now on."""
    meta = tensor._own_meta()
    if meta.storage is None:
        meta.storage = Storage(tensor)
    return meta.storage


def fix(tensor: Tensor) -> None:
    """The memory of a tensor is shared with an array of the library's own, too: its size cannot change any more."""
    if tensor._kernels.mutable:
        shared_of(tensor).fixed = True


def write(tensor: Tensor, value: Any) -> None:
    """Put `value`, an array of the tensor's shape and type, into its memory; one version later."""
    check_write(tensor)
    announce(tensor)
    k = tensor._kernels
    if k.mutable:
        k.assign(tensor._array, value)
    else:
        meta = tensor._tensor_meta
        if meta is None or meta.storage is None:
            tensor._set_array(value)
        else:
            meta.storage.write(k, meta.chain, value, tensor._cell)
    bump(tensor)


class _Replaced:
    """Of an array that a tensor had: what the tensor has now, and what a node has whose result it is. None: itself.

    If others had the same array and cell when the tensor moved, `edge` tells it from them.
    """

    __slots__ = ("edge", "input", "key", "result")

    def __init__(self, key: weakref.ref[Any]) -> None:
        self.key = key
        self.edge: Any = None
        self.input: Any = None
        self.result: Any = None


_replaced: Final[dict[int, tuple[list[Any], dict[int, _Replaced]]]] = {}
"""By the id of a version cell: the cell, and what has taken the place of arrays, by their ids, that are still there."""


def replace(tensor: Tensor, before: Any, array: Any, moved: bool = False, edge: Any = None) -> None:
    """Let nodes that have saved a tensor, and are not told by its version, use another array than it had.

    See Note [Replaced arrays]. `moved`, if it looks at another memory: what is a node's own result stays what it was.
    With an `edge`, only those that have saved it with that.
    """
    cell = tensor._cell
    if type(cell) is not list or array is before:
        return
    entries = _replaced.setdefault(id(cell), (cell, {}))[1]
    if id(before) not in entries:
        entries[id(before)] = _Replaced(weakref.ref(before, partial(_forget, id(cell), id(before))))
    for each in list(entries.values()):
        known = each.key()
        if (known if each.input is None else each.input) is before:
            each.input, each.edge = None if known is array else array, each.edge or edge
        if not moved and (known if each.result is None else each.result) is before:
            each.result = None if known is array else array
    cell[0] += MOVED if moved else REPLACED


def _forget(cell: int, array: int, _: object, replaced: dict[int, Any] = _replaced) -> None:
    """An array is no more. Has what it needs as arguments, since it may run when the interpreter ends."""
    _, entries = replaced.get(cell, (None, {}))
    entries.pop(array, None)
    if not entries:
        replaced.pop(cell, None)


def current(cell: list[Any], array: Any, edge: Any = None, of_result: bool = False) -> Any:
    """What has taken the place of an array that a node has saved of a tensor with this cell and edge."""
    found = None if (known := _replaced.get(id(cell))) is None else known[1].get(id(array))
    if found is None:
        return array
    now = found.result if of_result or (found.edge is not None and found.edge != edge) else found.input
    return array if now is None else now


def changed(now: int, then: int) -> bool:
    """Whether what has been saved of a tensor is not what it was, by its version cell: Note [Version cell]."""
    return bool((now ^ then) & (REPLACED - 1))


def announce(tensor: Tensor) -> None:
    """The memory of `tensor` is about to be written to; with `bump` afterwards, for those who write past `write`."""
    mutation = current_mode().mutation
    if mutation is not None:
        mutation.before_write(tensor)


def bump(tensor: Tensor) -> None:
    """The memory of `tensor` has been written to: one version later. Its views have to look for their edges."""
    cell, meta = tensor._cell, tensor._tensor_meta
    cell[0] += 1
    if meta is not None and meta.storage is not None and meta.storage.has_views:
        from retrograd.autograd.stale import mark_stale

        if meta.storage.mirror is not None and (mirror := meta.storage.mirror()) is not None:
            mirror.reflect(tensor._kernels, tensor._array, meta.chain is not None and meta.chain.conjugated)
        mark_stale(meta.storage, cell)


def leave(tensor: Tensor) -> None:
    """Let a tensor have no part any more in the memory it shares."""
    meta = tensor._tensor_meta
    if meta is not None and meta.storage is not None:
        meta.storage, meta.chain, meta.mirror = None, None, None


class move_to:
    """A context in which a tensor leaves its memory for another; those with the same version cell stay its family."""

    __slots__ = ("before", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.before = None if tensor._tensor_meta is None else tensor._tensor_meta.storage

    def __enter__(self) -> None:
        if self.before is not None:
            aliases = self.before.aliases
            aliases[:] = [each for each in aliases if each() is not None and each() is not self.tensor]
        leave(self.tensor)

    def __exit__(self, *exc_info: object) -> None:
        before, cell = self.before, self.tensor._cell
        if before is None or type(cell) is not list:
            return
        homes = [each for each in _homes(before, cell) if _lives_there(each, cell)]
        if not homes:
            del cell[3:]
            return
        after = shared_of(self.tensor)
        if not any(each is after.aliases for each in homes):
            homes.append(after.aliases)
        entries: Any = [*cell[1:3], *(None, 0)[len(cell) - 1 :], homes]
        cell[1:] = entries
        before.has_views = after.has_views = True


def _homes(storage: Storage, cell: list[Any]) -> list[list[weakref.ref[Tensor]]]:
    return cell[3] if len(cell) > 3 else [storage.aliases]


def _lives_there(aliases: list[weakref.ref[Tensor]], cell: list[Any]) -> bool:
    return any((each := reference()) is not None and each._cell is cell for reference in aliases)


def family(storage: Storage, cell: Any) -> Iterator[Tensor]:
    """The tensors that share a version cell: views of one base, what was detached of them, and the base.

    Parameters
    ----------
    storage
        The memory of one of them.
    """
    if type(cell) is list:
        for aliases in _homes(storage, cell):
            for reference in aliases:
                if (tensor := reference()) is not None and tensor._cell is cell:
                    yield tensor


def __getattr__(name: str) -> Any:
    """PyTorch's module of this name has the classes for storages."""
    if name in ("TypedStorage", "UntypedStorage", "_LegacyStorage"):
        from retrograd import typed_storage

        return getattr(typed_storage, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
