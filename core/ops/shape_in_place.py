"""Operators that change a tensor's own shape.

Note [Changes of shape in place]
    Nothing is written to memory: the tensor becomes a view of what it was. To the graph it is a write, as in
    PyTorch. The version goes up, so that what was saved of the tensor is stale and its views look for their
    edges anew. But the history of a base does not change when one of its views is turned: only the edge of
    the tensor itself, by a node that leads to the one it had. Under `no_grad` it keeps its node, which refuses
    gradients of a shape that the one it had cannot be broadcast to.

    A view knows the way to it from its base. When the base changes, the way begins with the step back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retrograd import memory
from retrograd.autograd import tangents
from retrograd.autograd.anomaly import stack_of_caller
from retrograd.autograd.captured import refuse_captured
from retrograd.autograd.modes import current_mode
from retrograd.autograd.rebase import check_writable
from retrograd.autograd.resized import note_shape
from retrograd.levels import births
from retrograd.ops.arguments import NOT_GIVEN, wrap_dim
from retrograd.ops.shape import make_view, named_dim, squeezed, unsqueezed
from retrograd.ops.strided import strided_layout, strided_view
from retrograd.ops.view_steps import swapping
from retrograd.storage import VERSION, announce, bump, sign
from retrograd.tensor import Tensor, has_node
from retrograd.views import AsStrided, Chain, Layout, Permute, Reshape, links_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retrograd.autograd.node import Edge

__all__ = ["as_strided_", "squeeze_", "t_", "transpose_", "unsqueeze_"]


def _check(self: Tensor) -> None:
    mode = current_mode()
    check_writable(self, mode, mode.grad and self.requires_grad, ())


def _change(
    self: Tensor, operator: str, node_name: str, step: Permute | Reshape | AsStrided, **arguments: Any
) -> Tensor:
    """Let a tensor become the view of itself that `step` leads to. See Note [Changes of shape in place]."""
    if births:
        refuse_captured(self, operator)
    return _changed(self, operator, node_name, step, arguments)


def _changed(
    self: Tensor, operator: str, node_name: str, step: Permute | Reshape | AsStrided, arguments: dict[str, Any]
) -> Tensor:
    mode = current_mode()
    records = mode.grad and self.requires_grad
    announce(self)
    made = make_view(self, node_name, step, **arguments)
    if self._kernels.sparse:
        changed: Tensor = self._kernels.changed(self, made, operator)
        return changed
    edge = made._edge if records else None
    if not records and has_node(self) and self._own_meta().view is None:
        note_shape(self)
    if mode.dual:
        _change_tangents(self, made, operator, node_name, step, arguments)
    _lead_back(self, made, step)
    return _become(self, operator, made, edge)


def _become(self: Tensor, operator: str, made: Tensor, edge: Edge | None) -> Tensor:
    """Let a tensor be what `made`, a view of its memory, is; `edge` is what leads to the view, if it is recorded."""
    self._set_array(made._array)
    meta = self._own_meta()
    way, view = made._own_meta(), meta.view
    meta.chain = way.chain
    if view is not None:
        view.chain = way.view.chain  # type: ignore[union-attr]  # it is a view
    bump(self)
    anomaly = current_mode().anomaly
    sign(self._cell, operator, None if edge is None else type(edge[0]), stack_of_caller() if anomaly else None)
    if edge is not None:
        self._edge = edge
        if view is not None:
            view.version = self._cell[0] & VERSION
    return self


def _change_tangents(
    self: Tensor, made: Tensor, operator: str, node_name: str, step: Permute | Reshape | AsStrided, arguments: Any
) -> None:
    """Change the tangents in place as well: whoever gave one to `make_dual` sees that."""
    for level, outside in tangents.outwards():
        tangent = tangents.tangent_of(self, level)
        if isinstance(tangent, Tensor) and not isinstance(step, AsStrided):  # which has no step back
            with tangents.only(outside):
                _changed(tangent, operator, node_name, step, arguments)
        elif tangent is not None:  # if it is no tensor, it stands for one that is not known yet
            tangents.set_tangent(self, level, tangents.tangent_of(made, level))


def _lead_back(base: Tensor, made: Tensor, step: Permute | Reshape | AsStrided) -> None:
    storage = base._own_meta().storage
    assert storage is not None  # made when `made` was
    moved: dict[Chain | None, Chain] = {}
    for alias in storage.live():
        view = alias._own_meta().view
        if view is not None and view.base is base and alias is not made:
            if not moved:
                assert not isinstance(step, AsStrided)  # refused by `as_strided_`, since there is no step back
                shape = tuple(base._array.shape)
                moved[None] = Chain(None, step.inverse(shape), tuple(made._array.shape))
            view.chain = _moved(view.chain, moved)


def _moved(chain: Chain | None, moved: dict[Chain | None, Chain]) -> Chain:
    """The chain, behind that which None has been moved to."""
    for link in links_to(chain, moved):
        moved[link] = Chain(moved[link.before], link.step, link.shape)
    return moved[chain]


def squeeze_(self: Tensor, dim: int | Sequence[int] = NOT_GIVEN, *more: int) -> Tensor:
    """In-place version of `squeeze`."""
    _check(self)
    if more:
        dim = (dim, *more)  # type: ignore[arg-type]  # of several each is a number, or is refused below
    shape, number = squeezed(self, dim)
    return _change(self, "squeeze_", f"SqueezeBackward{number + 3}", Reshape(shape), **named_dim(dim))


def unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """In-place version of `unsqueeze`."""
    _check(self)
    return _change(self, "unsqueeze_", "UnsqueezeBackward1", unsqueezed(self, dim), dim=dim)


def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """In-place version of `transpose`."""
    _check(self)
    step = swapping(self.ndim, wrap_dim(dim0, self.ndim), wrap_dim(dim1, self.ndim))
    return _change(self, "transpose_", "TransposeBackward1", step, dim0=dim0, dim1=dim1)


def t_(self: Tensor) -> Tensor:
    """In-place version of `t`."""
    _check(self)
    if self.ndim > 2:
        raise RuntimeError(f"t_() expects a tensor with <= 2 dimensions, but self is {self.ndim}D")
    return _change(self, "t_", "TBackward1", Permute(tuple(reversed(range(self.ndim)))))


def as_strided_(self: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """In-place version of `as_strided`.

    Raises
    ------
    RuntimeError
        If the layout goes beyond the memory, or the change would have to be recorded of a tensor that has views.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.arange(4).as_strided_((2, 2), (1, 2))
    tensor([[0, 2],
            [1, 3]])
    """
    _check(self)
    sizes, strides, offset = strided_layout(self, size, stride, storage_offset)
    meta = self._tensor_meta
    shared = None if meta is None else meta.storage
    alone = shared is None or not any((view := each._own_meta().view) and view.base is self for each in shared.live())
    if alone and self._layout().is_contiguous() and (meta is None or (meta.view is None and meta.chain is None)):
        step = AsStrided(sizes, strides, offset)
        arguments = {"size": sizes, "stride": strides, "storage_offset": offset}
        return _change(self, "as_strided_", "AsStridedBackward1", step, **arguments)
    if self.requires_grad and current_mode().grad:
        if not alone:
            raise RuntimeError("as_strided_() of a tensor that has views is not recorded; use as_strided()")
        if births:
            refuse_captured(self, "as_strided_")
        place, node = Layout(sizes, strides, offset), "AsStridedBackward1"
        announce(self)
        made = strided_view(self, node, place, size=sizes, stride=strides, storage_offset=offset)
        return _become(self, "as_strided_", made, made._edge)
    return memory.set_(self, self.untyped_storage(), offset, sizes, strides)
