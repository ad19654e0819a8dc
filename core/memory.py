"""A tensor is given other memory: `Tensor.set_`, assignment to `.data`.

What sharing memory means is in `retrograd.storage`; here a tensor changes which memory it shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograd.autograd.anomaly import remember_call, stack_of_caller
from retrograd.autograd.captured import refuse_rebinding
from retrograd.autograd.modes import current_mode
from retrograd.autograd.node import UNGENERATED, AccumulateGrad, Node, next_sequence_number
from retrograd.autograd.rebase import check_writable, rebase
from retrograd.autograd.resized import note_shape
from retrograd.autograd.tangents import tangents_of
from retrograd.dtypes import cpp_name
from retrograd.levels import transforms
from retrograd.memory_bytes import bytes_in, extent, look_at
from retrograd.ops.mapped_writes import lost_in_vmap
from retrograd.ops.options import described
from retrograd.resizing import reserve, trace_views
from retrograd.storage import Storage, bump, move_to, replace, share, shared_of, sign
from retrograd.tensor import Tensor, own_edge
from retrograd.typed_storage import TypedStorage
from retrograd.untyped_storage import UntypedStorage
from retrograd.views import Layout, contiguous_strides, outside

__all__ = ["check_place", "rebind", "set_"]


# -- set_ ----------------------------------------------------------------------------------------


def set_(
    self: Tensor,
    source: Tensor | UntypedStorage | TypedStorage | None = None,
    storage_offset: int | None = None,
    size: Sequence[int] | None = None,
    stride: Sequence[int] | None = None,
) -> Tensor:
    """Let this tensor look at other memory, in place: that of `source`, which it shares from then on.

    Its own version goes up and stays apart from that of `source`. The change is recorded as one that has no
    derivative.

    Parameters
    ----------
    source
        A tensor of the same type on the same device, or a storage. None: empty memory.
    storage_offset, size, stride
        Where in the memory, counted in elements. By default as `source`; a storage as a whole. For a tensor that
        takes another shape by it, a memory that is too small grows.

    Raises
    ------
    RuntimeError
        If types or devices differ, the graph forbids a write, or the memory is too small and cannot grow.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.set_.html

    Examples
    --------
    >>> import retrograd
    >>> x, y = retrograd.zeros(1), retrograd.arange(6.0)
    >>> x.set_(y, 1, (2, 2), (2, 1))
    tensor([[1., 2.],
            [3., 4.]])
    """
    if not (source is None or isinstance(source, (Tensor, UntypedStorage, TypedStorage))) or (
        storage_offset is None
    ) != (size is None):
        raise _no_such_form(source, storage_offset)
    source = _untyped(self, source)
    if lost_in_vmap(self, source, "set_", "set_" if source is None else "set_.source_Tensor"):
        return self
    mode = current_mode()
    given = [self, source] if isinstance(source, Tensor) and size is None else [self]
    records = mode.grad and any(each.requires_grad for each in given)
    check_writable(self, mode, records)
    place = _place(self, source, storage_offset or 0, size, stride)
    if tangents_of(self):
        raise NotImplementedError(
            "Trying to use forward AD with set_ that does not support it because it has not been implemented yet.\n"
            "Please file an issue to PyTorch at https://github.com/pytorch/pytorch/issues/new?template=feature-request.yml"
            " so that we can prioritize its implementation."
        )
    edges = tuple(each._edge for each in given) if records else ()
    bump(self)
    if place is None or place.shape != self.shape:
        note_shape(self)
    _move(self, source, place)
    trace_views(self)
    stack = stack_of_caller() if mode.anomaly else None
    sign(self._cell, "set_", _NotImplemented if records else None, stack)
    if records:
        rebase(self, _node_without_derivative(edges, self._kernels), "set_")
    else:
        _renew_sink(self)
    return self


def _renew_sink(self: Tensor) -> None:
    """Give a leaf that has become another a new node; the old one stays in the graphs that know it as it was.

    Hooks of the tensor go along, those of the node do not.
    """
    edge = own_edge(self)
    if edge is None or type(edge[0]) is not AccumulateGrad:
        return
    node = AccumulateGrad(self)
    hooks = {} if edge[0]._node_extras is None else edge[0]._node_extras.pre_hooks or {}
    of_tensor = {number: entry for number, entry in hooks.items() if entry[0] == "tensor"}
    if of_tensor:
        node._need_extras().pre_hooks = of_tensor
    self._edge = (node, 0)


def _place(
    self: Tensor, source: Any, offset: int, size: Sequence[int] | None, stride: Sequence[int] | None
) -> Layout | None:
    """The part of the memory of `source` to look at, checked. None: as `source` does."""
    if source is None:
        return None
    _check_type(self, source)
    if source._kernels is not self._kernels:
        raise RuntimeError(
            f'Attempted to set the storage of a tensor on device "{self.device}" to a storage on different device '
            f'"{source.device}".  This is no longer allowed; the devices must match.'
        )
    type_ = self.dtype
    if size is None and isinstance(source, Tensor):
        return None
    if isinstance(source, Tensor):
        if not source.is_contiguous():
            raise RuntimeError("passed in tensor to be used as storage must be contiguous")
        offset += source.storage_offset()
    shared, k = _shared_of(source), self._kernels
    nbytes = bytes_in(shared, k)
    if size is None:
        return Layout((nbytes // type_.itemsize,), (1,))
    sizes = tuple(size)
    stays = sizes == tuple(self._array.shape) and (not stride or tuple(stride) == self.stride())
    strides = tuple(stride) if stride else self.stride() if stays else contiguous_strides(sizes)
    place = Layout(sizes, strides, offset)
    check_place(place)
    needed = extent(place) * type_.itemsize
    if stays and needed > nbytes:
        raise outside(place, type_.itemsize, nbytes, told=bool(stride))
    reserve(shared, k, needed)
    return place


def _shared_of(source: Tensor | UntypedStorage) -> Storage:
    return shared_of(source) if isinstance(source, Tensor) else source._shared


def _check_type(self: Tensor, source: Any) -> None:
    given = source.dtype if isinstance(source, Tensor) else self.dtype
    if given is not self.dtype:
        raise RuntimeError(f"Could not set tensor of type {cpp_name(given)} to a tensor of type {cpp_name(self.dtype)}")


def _untyped(self: Tensor, source: Any) -> Any:
    """`source`, of a typed storage its memory."""
    if not isinstance(source, TypedStorage):
        return source
    if source.dtype is not self.dtype:
        raise RuntimeError(
            f"Expected a Storage of type {cpp_name(self.dtype)} or an UntypedStorage, but got type "
            f"{source.dtype.type_name} for argument 1 'storage'"
        )
    return source._untyped_storage


def check_place(place: Layout) -> None:
    """Refuse sizes, strides and an offset that no memory has."""
    size, stride = place.shape, place.strides
    if len(size) != len(stride):
        raise RuntimeError(f"unequal size length ({len(size)}) and stride length ({len(stride)})")
    if any(each < 0 for each in size):
        raise RuntimeError("numel: integer multiplication overflow")
    if any(each < 0 for each in stride):
        raise RuntimeError(f"Storage size calculation overflowed with sizes={list(size)} and strides={list(stride)}")
    if place.offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {place.offset}")


def _move(self: Tensor, source: Any, place: Layout | None) -> None:
    if source is self and place is None:
        return
    shared = None if source is None else _shared_of(source)
    with move_to(self):
        if shared is None:
            self._set_array(self._kernels.zeros((0,), self._array.dtype))
        elif place is None:
            self._set_array(source._array)
            share(source, self)
        else:
            look_at(self, shared, self._kernels, self.dtype, place)


class _NoDerivative:
    """The plan of a change that has no derivative."""

    __slots__ = ()
    holds_tensors = False

    def raw(self, K: Any, g: Any, node: Node) -> Any:
        raise RuntimeError("derivative for set_ is not implemented")

    graph = raw

    def saved_attribute(self, node: Node, name: str) -> Any:
        raise AttributeError(f"'{type(node).__name__}' object has no attribute '_saved_{name}'")


_NO_DERIVATIVE = _NoDerivative()
_NotImplemented = type(
    "NotImplemented", (Node,), {"__slots__": (), "__module__": "builtins", "_name_prefix": UNGENERATED}
)  # PyTorch's name


def _node_without_derivative(edges: tuple[Any, ...], k: Any) -> Node:
    node = _NotImplemented()
    node._next_edges, node._holds, node._grad_plan = edges, (), _NO_DERIVATIVE
    node._kernels, node._grad_fix, node._node_extras, node._seq_nr = k, None, None, next_sequence_number()
    if current_mode().anomaly:
        remember_call(node)
    return node


def _no_such_form(source: Any, storage_offset: int | None) -> TypeError:
    got = [type(each).__name__ for each in (source, storage_offset) if each is not None]
    mismatch = (
        ""
        if len(got) > 1
        else (f"\n      didn't match because some of the arguments have invalid types: (!{described(source)}!)")
    )
    return TypeError(
        f"set_() received an invalid combination of arguments - got ({', '.join(got)}), but expected one of:\n"
        f" * (){mismatch}\n"
        f" * (retrograd.Storage source){mismatch}\n"
        " * (retrograd.Storage source, int storage_offset, tuple of ints size, tuple of ints stride = None)\n"
        f" * (Tensor source){mismatch}\n"
        " * (Tensor source, int storage_offset, tuple of ints size, tuple of ints stride = None)\n"
    )


# -- data ----------------------------------------------------------------------------------------


def _has_others(tensor: Tensor) -> bool:
    """Whether other tensors have the same array and version: what nodes have saved of them, they have of this one."""
    shared = None if tensor._tensor_meta is None else tensor._tensor_meta.storage
    others = () if shared is None else (each for each in shared.live() if each is not tensor)
    return any(each._array is tensor._array and each._cell is tensor._cell for each in others)


def rebind(self: Tensor, value: Any) -> None:
    """`self.data = value`: look at the memory of `value`, and keep one's own version, history and gradient.

    Raises
    ------
    TypeError
        If `value` is no tensor.
    RuntimeError
        If the type of `value` cannot have the gradient that `self` requires.
    """
    if not isinstance(value, Tensor):
        name = "NoneType" if value is None else type(value).__name__
        raise TypeError(f"Variable data has to be a tensor, but got {name}")
    if self.requires_grad and not value.dtype.is_differentiable:
        raise RuntimeError("data set to a tensor that requires gradients must be floating point or complex dtype")
    if value._kernels.sparse is not self._kernels.sparse:
        raise RuntimeError(
            "Attempted to call `variable.set_data(tensor)`, but `variable` and `tensor` have incompatible tensor type."
        )
    if transforms():
        refuse_rebinding(self, value)
    other_kind = value._kernels is not self._kernels or value.dtype is not self.dtype
    if value is self:
        return
    if value._array.shape != self._array.shape:
        note_shape(self)
    if not other_kind and value._array.shape == self._array.shape:
        edge = own_edge(self) if (others := _has_others(self)) else None
        if edge is not None or not others:
            replace(self, self._array, value._array, moved=True, edge=edge)
    with move_to(self):
        self._kernels = value._kernels
        if value.is_inference():
            self._cell = value._cell
        self._set_array(value._array)
        if other_kind:
            _renew_sink(self)
        share(value, self)
    trace_views(self)
