"""The `ctx` of custom Functions: what `forward` leaves for `backward`.

Source: https://docs.pytorch.org/docs/stable/autograd.html#context-method-mixins
"""

from __future__ import annotations

import warnings
from abc import ABCMeta
from typing import Any, Final

from retrograd.autograd import function_saving
from retrograd.autograd.explaining import freed_error
from retrograd.autograd.node import Freed, Node
from retrograd.ops.saved_names import SavedTensor
from retrograd.read_only import seal
from retrograd.tensor import Tensor

__all__ = ["ACCESSED", "FunctionCtx"]


class FunctionCtx(metaclass=ABCMeta):
    """What `forward` leaves for `backward`: the `ctx` argument of both.

    Attributes
    ----------
    needs_input_grad
        For each input of `forward`, whether its gradient is wanted.
    """

    __module__ = "retrograd.autograd.function"
    __slots__ = ("__dict__", "__weakref__", "_node")

    _node: Any
    """The node whose context this is. Not in the dict, which is the node's too: it would keep itself alive."""

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors (inputs, outputs or others; None is allowed) for `backward`, under version control."""
        self._to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `jvp`, which finds them in `saved_tensors`.

        Raises
        ------
        AssertionError
            If one is neither a tensor nor None.
        """
        if not all(each is None or isinstance(each, Tensor) for each in tensors):
            raise AssertionError(
                "save_for_forward expects all arguments to be tensors; you should save non-tensors as attributes on "
                "ctx."
            )
        self._saved_for_forward = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which inputs `forward` has changed in place; each must also be returned."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say which outputs have no gradient."""
        self._non_differentiable = tensors

    def mark_shared_storage(self, *pairs: Any) -> None:
        """Nothing: which tensors share memory is known. Deprecated."""
        warnings.warn(
            "`mark_shared_storage` is deprecated. Tensors with shared storages are automatically tracked. Note that "
            "calls to `set_()` are not tracked",
            FutureWarning,
            stacklevel=2,
        )

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients of outputs reach `backward` as zeros (the default) or as None."""
        if type(value) is not bool:
            raise TypeError(
                "set_materialize_grads received an invalid combination of arguments - got "
                f"({type(value).__name__}), but expected (bool)"
            )
        self._materialize_grads = value

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What `save_for_backward` kept; in `jvp`, what `save_for_forward` did.

        Raises
        ------
        RuntimeError
            If the graph has been freed, one of the tensors has been changed in place since, or the
            Function clears them on access and this is the second.
        """
        if self._saved_for_forward:
            return self._saved_for_forward
        node = self._node
        if node.saved is ACCESSED:
            raise RuntimeError(
                "saved_tensors can only be accessed once when clear_saved_tensors_on_access=True is set on the "
                "autograd.Function. Either access saved_tensors only once, or set "
                "clear_saved_tensors_on_access=False."
            )
        if type(node.saved) is Freed:
            raise freed_error(node)
        tensors = tuple(function_saving.unpack(node, i, entry) for i, entry in enumerate(node.saved))
        if node.function.clear_saved_tensors_on_access:
            node.saved = ACCESSED
        return tensors

    @property
    def saved_variables(self) -> tuple[Tensor | None, ...]:
        warnings.warn("'saved_variables' is deprecated; use 'saved_tensors'", DeprecationWarning, stacklevel=2)
        return self.saved_tensors

    @property
    def _raw_saved_tensors(self) -> tuple[SavedTensor, ...]:
        """What `save_for_backward` kept, each as the node holds it: it takes hooks."""
        node = self._node
        if type(node.saved) is Freed:
            raise freed_error(node)
        return tuple(SavedTensor(node, None if each is None else i) for i, each in enumerate(node.saved))

    @property
    def to_save(self) -> tuple[Tensor | None, ...] | None:
        """While `forward` runs, what it has told to save for `backward`."""
        return self._to_save or None

    @to_save.setter
    def to_save(self, value: Any) -> None:
        self._to_save = () if value is None else value

    @property
    def saved_for_forward(self) -> tuple[Tensor | None, ...] | None:
        """While `forward` runs, what it has told to save for `jvp`."""
        return self._saved_for_forward or None

    @saved_for_forward.setter
    def saved_for_forward(self, value: Any) -> None:
        self._saved_for_forward = () if value is None else value

    @property
    def dirty_tensors(self) -> tuple[Tensor, ...] | None:
        """While `forward` runs, what it has marked as changed in place."""
        return self._dirty or None

    @dirty_tensors.setter
    def dirty_tensors(self, value: Any) -> None:
        self._dirty = () if value is None else value

    @property
    def non_differentiable(self) -> tuple[Tensor, ...] | None:
        """While `forward` runs, what it has marked as not differentiable."""
        return self._non_differentiable or None

    @non_differentiable.setter
    def non_differentiable(self, value: Any) -> None:
        self._non_differentiable = () if value is None else value

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        return self._node.next_functions

    @property
    def metadata(self) -> dict[Any, Any]:
        return self._node.metadata

    @property
    def requires_grad(self) -> bool:
        return self._node.requires_grad

    def __getattr__(self, name: str) -> Any:
        if name in _OF_NODES:
            return getattr(self._node, name)
        if name == "materialize_grads":
            text = f"attribute '{name}' of 'retrograd._C._FunctionBase' objects is not readable"
            raise AttributeError(text)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    materialize_grads = property(None, set_materialize_grads)
    needs_input_grad: tuple[bool, ...] = ()
    _to_save: tuple[Tensor | None, ...] = ()
    _saved_for_forward: tuple[Tensor | None, ...] = ()
    _dirty: tuple[Tensor, ...] = ()
    _non_differentiable: tuple[Tensor, ...] = ()
    _materialize_grads: bool = True
    _materialize_non_diff_grads: bool = True
    """Whether missing gradients of outputs that have none reach `backward` as zeros too."""
    _constants: tuple[int, ...] = ()
    """The places of those outputs, if not."""


seal(FunctionCtx, "retrograd._C._FunctionBase")

_OF_NODES: Final = frozenset(
    "_forward_cls _input_metadata _register_hook_dict _sequence_nr _set_sequence_nr apply apply_jvp name "
    "register_hook register_prehook".split()
)
"""What `ctx`, which in PyTorch is the node, has of it."""


class _Accessed(tuple[()]):
    """What a node has in place of `saved` once a Function that clears it has read it."""


ACCESSED = _Accessed()
