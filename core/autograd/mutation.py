"""`allow_mutation_on_saved_tensors`: what a node has saved is copied before it is written to.

A graph that is recorded inside keeps its saved tensors by handles. A write inside (`retrograd.storage.write`
and the few places that write past it) first asks whether the memory is one that a handle stands for, and
if so copies it. On a library whose arrays never change nothing has to be copied.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from weakref import WeakKeyDictionary, WeakSet

from retrograd.autograd.modes import current_mode, set_mode
from retrograd.tensor import Tensor, wrap_array

__all__ = ["allow_mutation_on_saved_tensors"]


class _Handle:
    """What a node keeps in place of a saved tensor."""

    __slots__ = ("__weakref__",)


class _AllowMutationOnSavedContext:
    """The saved tensors of the graphs recorded in one `allow_mutation_on_saved_tensors`.

    Attributes
    ----------
    original, cloned
        By the handles of nodes that still are: the tensors as they were saved, or the copies made of them
        before they were written to.
    """

    def __init__(self) -> None:
        self.cloned: WeakKeyDictionary[_Handle, Tensor] = WeakKeyDictionary()
        self.original: WeakKeyDictionary[_Handle, Tensor] = WeakKeyDictionary()
        self._by_cell: dict[int, WeakSet[_Handle]] = {}

    def clear(self) -> None:
        """Forget all saved tensors. A pass that needs one fails from now on."""
        self.cloned.clear()
        self.original.clear()
        self._by_cell.clear()

    def pack(self, tensor: Tensor) -> _Handle:
        known = self._by_cell.setdefault(id(tensor._cell), WeakSet())
        for handle in known:
            original = self.original.get(handle)
            if original is not None and original._array is tensor._array:
                return handle  # saved already, and not written to since
        handle = _Handle()
        kept = wrap_array(tensor._array, tensor._kernels)  # a leaf itself would show what is written to it
        kept._cell = tensor._cell
        self.original[handle] = kept
        # The version cell tells one memory from another: as long as a handle is, so is its cell.
        known.add(handle)
        return handle

    def unpack(self, handle: _Handle) -> Tensor:
        found = self.cloned.get(handle)
        if found is None:
            found = self.original.get(handle)
        if found is None:
            raise AssertionError(
                "Trying to backward outside of the 'allow_mutation_on_saved_tensors' contextin which the graph was "
                "originally recorded."
            )
        return found

    def before_write(self, tensor: Tensor) -> None:
        """Copy what is saved of the memory of `tensor`, which is about to be written to."""
        meta = tensor._tensor_meta
        aliases = [tensor] if meta is None or meta.storage is None else [tensor, *meta.storage.live()]
        for cell in {id(each._cell) for each in aliases}:
            for handle in self._by_cell.pop(cell, ()):
                kept = self.original.pop(handle)
                array = kept._kernels.copy(kept._array) if kept._kernels.mutable else kept._array
                self.cloned[handle] = wrap_array(array, kept._kernels)


@contextlib.contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[_AllowMutationOnSavedContext]:
    """A context in which tensors that are saved for the backward pass may be written to.

    The pass uses their old values, which are copied at the first write. It must run inside of the context.

    Returns
    -------
    An object whose `clear()` lets go of all that is kept.

    Raises
    ------
    RuntimeError
        If it is entered inside of itself.
    AssertionError
        By a backward pass outside of the context, or after `clear()`.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.graph.allow_mutation_on_saved_tensors

    Examples
    --------
    >>> import retrograd
    >>> a = retrograd.ones(2, requires_grad=True)
    >>> with retrograd.autograd.graph.allow_mutation_on_saved_tensors():
    ...     b = a.clone()
    ...     out = (b ** 2).sum()
    ...     _ = b.sin_()
    ...     out.backward()
    >>> a.grad
    tensor([2., 2.])
    """
    mode = current_mode()
    if mode.mutation is not None:
        raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
    if mode.saved_hooks_disabled is not None:
        raise RuntimeError(mode.saved_hooks_disabled)
    context = _AllowMutationOnSavedContext()
    set_mode(mode.but(mutation=context, saved_hooks=(*mode.saved_hooks, (context.pack, context.unpack))))
    try:
        yield context
    finally:
        context.clear()
        set_mode(current_mode().but(mutation=None, saved_hooks=mode.saved_hooks))
