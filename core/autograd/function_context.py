"""The node of a custom Function's call, which is its `ctx`: what `forward` leaves for `backward`.

Source: https://docs.pytorch.org/docs/stable/autograd.html#context-method-mixins
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

from retrograd.autograd import function_saving
from retrograd.autograd.explaining import freed_error
from retrograd.autograd.node import SHOWN, Freed, Node
from retrograd.ops.saved_names import SavedTensor
from retrograd.read_only import seal
from retrograd.tensor import Tensor

if TYPE_CHECKING:
    from retrograd.autograd.function import Function

__all__ = ["ACCESSED", "BackwardCFunction", "FunctionCtx"]


class FunctionCtx:
    """What `ctx` is told by `forward`, and by `setup_context`.

    Attributes
    ----------
    needs_input_grad
        For each input of `forward`, whether its gradient is wanted.
    """

    __module__ = "retrograd.autograd.function"

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors (inputs, outputs or others; None is allowed) for `backward`, under version control."""
        self._tensors_to_save = tensors

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
        self._tensors_for_forward = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which inputs `forward` has changed in place; each must also be returned."""
        self._dirty_inputs = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say which outputs have no gradient."""
        self._outputs_without_grad = tensors

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

    needs_input_grad: tuple[bool, ...] = ()
    _tensors_to_save: tuple[Tensor | None, ...] = ()
    _tensors_for_forward: tuple[Tensor | None, ...] = ()
    _dirty_inputs: tuple[Tensor, ...] = ()
    _outputs_without_grad: tuple[Tensor, ...] = ()
    _materialize_grads: bool = True
    _materialize_non_diff_grads: bool = True
    """Whether missing gradients of outputs that have none reach `backward` as zeros too."""
    _constant_places: tuple[int, ...] = ()
    """The places of those outputs, if not."""


class BackwardCFunction(Node, FunctionCtx):
    """The node of a custom Function's call, and the `ctx` of its `forward`, `backward` and `jvp`.

    Its own attributes have names like `_next_edges` and `_holds`, which nobody else gives his own; all others are the
    user's.
    """

    __module__ = "retrograd.autograd.function"
    __slots__ = ("__dict__", "_input_slots", "_inputs_info", "_n_outputs", "_output_info")

    _runs_undefined = True
    _function_class: type[Function]
    _output_info: tuple[tuple[Any, Any, Any] | None, ...]
    _input_slots: tuple[int | None, ...]
    _inputs_info: tuple[tuple[Any, Any, Any], ...]
    _n_outputs: int

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What `save_for_backward` kept; in `jvp`, what `save_for_forward` did.

        Raises
        ------
        RuntimeError
            If the graph has been freed, one of the tensors has been changed in place since, or the
            Function clears them on access and this is the second.
        """
        if self._tensors_for_forward:
            return self._tensors_for_forward
        if self._holds is ACCESSED:
            raise RuntimeError(
                "saved_tensors can only be accessed once when clear_saved_tensors_on_access=True is set on the "
                "autograd.Function. Either access saved_tensors only once, or set "
                "clear_saved_tensors_on_access=False."
            )
        if type(self._holds) is Freed:
            raise freed_error(self)
        tensors = tuple(function_saving.unpack(self, i, entry) for i, entry in enumerate(self._holds))
        if self._function_class.clear_saved_tensors_on_access:
            self._holds = ACCESSED
        return tensors

    @property
    def saved_variables(self) -> tuple[Tensor | None, ...]:
        warnings.warn("'saved_variables' is deprecated; use 'saved_tensors'", DeprecationWarning, stacklevel=2)
        return self.saved_tensors

    @property
    def _raw_saved_tensors(self) -> tuple[SavedTensor, ...]:
        """What `save_for_backward` kept, each as the node holds it: it takes hooks."""
        if type(self._holds) is Freed:
            raise freed_error(self)
        return tuple(SavedTensor(self, None if each is None else i) for i, each in enumerate(self._holds))

    @property
    def to_save(self) -> tuple[Tensor | None, ...] | None:
        """While `forward` runs, what it has told to save for `backward`."""
        return self._tensors_to_save or None

    @to_save.setter
    def to_save(self, value: Any) -> None:
        self._tensors_to_save = () if value is None else value

    @property
    def saved_for_forward(self) -> tuple[Tensor | None, ...] | None:
        """While `forward` runs, what it has told to save for `jvp`."""
        return self._tensors_for_forward or None

    @saved_for_forward.setter
    def saved_for_forward(self, value: Any) -> None:
        self._tensors_for_forward = () if value is None else value

    @property
    def dirty_tensors(self) -> tuple[Tensor, ...] | None:
        """While `forward` runs, what it has marked as changed in place."""
        return self._dirty_inputs or None

    @dirty_tensors.setter
    def dirty_tensors(self, value: Any) -> None:
        self._dirty_inputs = () if value is None else value

    @property
    def non_differentiable(self) -> tuple[Tensor, ...] | None:
        """While `forward` runs, what it has marked as not differentiable."""
        return self._outputs_without_grad or None

    @non_differentiable.setter
    def non_differentiable(self, value: Any) -> None:
        self._outputs_without_grad = () if value is None else value

    # In PyTorch all of these are of the base of nodes and `ctx`, which their refusals name.
    next_functions = property(Node.next_functions.fget)  # type: ignore[attr-defined]
    metadata = property(Node.metadata.fget)  # type: ignore[attr-defined]
    requires_grad = property(Node.requires_grad.fget)  # type: ignore[attr-defined]
    materialize_grads = property(None, FunctionCtx.set_materialize_grads)

    @property
    def _forward_cls(self) -> type[Function]:
        return self._function_class

    def apply(self, *grads: Any) -> Any:
        """The Function's `backward`; what it returns is not checked."""
        return self._function_class._run_backward(self, list(grads))

    def apply_jvp(self, *tangents: Any) -> Any:
        """The Function's `jvp`, likewise."""
        return self._function_class.jvp(self, *tangents)

    @property
    def _n_differentiable(self) -> int:  # type: ignore[override]  # a node of PyTorch's has those without a gradient, too
        return self._n_outputs

    def _output_kernels(self, position: int) -> Any:
        """The kernels of one of the outputs: `forward` may have moved to another device."""
        info = self._output_info[position]
        return self._kernels if info is None else info[2]

    def _input_kernels(self, place: int) -> Any:
        return self._inputs_info[place][2]

    def __call__(self, *grads: Any, **named: Any) -> Any:
        raise TypeError(f"'{type(self).__name__}' object is not callable")

    def __getattr__(self, name: str) -> Any:
        if name == "materialize_grads":
            text = f"attribute '{name}' of 'retrograd._C._FunctionBase' objects is not readable"
            raise AttributeError(text)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __dir__(self) -> list[str]:
        return [name for name in object.__dir__(self) if name not in _HIDDEN]

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} object at {id(self):#x}>"


_HIDDEN: Final = frozenset(
    name for name in dir(BackwardCFunction) if name.startswith("_") and not name.startswith("__")
) - {*SHOWN, "_forward_cls", "_materialize_non_diff_grads", "_raw_saved_tensors"}
"""What `dir` shows of no node: what is not of PyTorch's."""

seal(BackwardCFunction, "retrograd._C._FunctionBase")


class _Accessed(tuple[()]):
    """What a node has in place of `_holds` once a Function that clears it has read it."""


ACCESSED = _Accessed()
