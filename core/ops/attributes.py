"""What a tensor says of its kind, compares of its memory, and does element by element on the host.

Also `resize_`, which changes the shape. None of these has a derivative; all are methods only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from math import prod
from operator import mul
from typing import Any

from retrograd.autograd.modes import current_mode
from retrograd.autograd.tangents import tangents_of
from retrograd.dtypes import bool_
from retrograd.levels import is_mapped
from retrograd.memory_bytes import extent
from retrograd.ops.arguments import as_ints
from retrograd.ops.checks import is_number
from retrograd.ops.declare import publics
from retrograd.ops.dense import DENSE
from retrograd.ops.factories import odd_value
from retrograd.ops.flags import flagged, told
from retrograd.ops.inplace import written_over
from retrograd.ops.mapped_writes import lost_in_vmap
from retrograd.ops.options import bad_size
from retrograd.ops.powers import doubled
from retrograd.ops.refused import tensors_only
from retrograd.ops.shape import make_view
from retrograd.resizing import resize
from retrograd.storage import announce, bump, check_write, sign
from retrograd.tensor import Tensor
from retrograd.views import Layout, steps_of

__all__ = ["ATTRIBUTES"]

# -- kinds ---------------------------------------------------------------------------------------


def _is_cpu(self: Tensor) -> bool:
    """Whether it is on a CPU, of whichever backend."""
    return self.device.type.endswith("cpu")


def _never(name: str) -> property:
    return property(lambda self: False, doc=f"False: there are no such tensors here (`{name}`).")


_KINDS = ("is_cuda is_ipu is_maia is_mkldnn is_mps is_mtia is_nested is_quantized is_vulkan is_xla is_xpu").split()
"""What PyTorch's tensors can be and these cannot. A GPU is a device of a backend: `device.type` names it."""


def get_device(self: Tensor) -> int:
    """The number of the tensor's device; -1 on a CPU."""
    return -1 if _is_cpu(self) or self._kernels.meta else self.device.index or 0


def is_pinned(self: Tensor, device: Any = None) -> bool:
    """False: memory is not pinned here."""
    return False


def is_distributed(self: Tensor) -> bool:
    """False; the servers that share weights hold arrays of their own."""
    return False


def is_same_size(self: Tensor, other: Tensor) -> bool:
    """Whether two tensors have one shape.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.is_same_size.html
    """
    return tuple(self._array.shape) == tuple(other._array.shape)


def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both are the same elements of one memory, in the same layout.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.is_set_to.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.zeros(4)
    >>> x.is_set_to(x.view(4)), x.is_set_to(x.view(2, 2)), x.is_set_to(x.clone())
    (True, False, False)
    """
    one, other = self._layout(), tensor._layout()
    same = (one.shape, one.strides, one.offset) == (other.shape, other.strides, other.offset)
    return same and self.dtype is tensor.dtype and self.data_ptr() == tensor.data_ptr()


def _is_all_true(self: Tensor) -> Tensor:
    """Whether all elements of a tensor of booleans hold."""
    return _of_bool(self).all()


def _is_any_true(self: Tensor) -> Tensor:
    """Whether an element of a tensor of booleans holds."""
    return _of_bool(self).any()


def _of_bool(self: Tensor) -> Any:
    if self.dtype is not bool_:
        raise RuntimeError(f"expected a tensor of dtype retrograd.bool, got {self.dtype}")
    return self


# -- element by element --------------------------------------------------------------------------


def _computed(self: Tensor, name: str, function: Callable[..., Any], others: tuple[Tensor, ...]) -> Tensor:
    if self.requires_grad:
        raise _no_graph(name)
    from retrograd.ops.creation import tensor

    _check_others(self, name, others)
    columns = [each.expand(self.shape).reshape(-1).tolist() for each in others]
    if (layout := self._layout()).overlaps_itself():
        _compute_in_order(self, layout, function, columns)
        return self
    values = [function(*row) for row in zip(self.reshape(-1).tolist(), *columns, strict=True)]
    made = tensor(values, dtype=self.dtype, device=self.device).reshape(self.shape)
    self.data.copy_(made)  # as in PyTorch, the version stays
    return self


def _compute_in_order(self: Tensor, layout: Layout, function: Callable[..., Any], columns: list[list[Any]]) -> None:
    """What lies in one place is computed again and again, each time from what it has become."""
    memory = self.data.as_strided((extent(layout),), (1,), 0)
    values = memory.tolist()
    for index, *row in zip(product(*map(range, self.shape)), *columns, strict=True):
        at = layout.offset + sum(map(mul, index, layout.strides))
        values[at] = memory.new_tensor(function(values[at], *row)).item()
    memory.copy_(memory.new_tensor(values))


def _no_graph(name: str) -> RuntimeError:
    return RuntimeError(f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() instead.")


def _check_others(self: Tensor, name: str, others: tuple[Tensor, ...]) -> None:
    for argument, each in zip(("other",) if len(others) == 1 else ("x", "y"), others, strict=False):
        tensors_only(each)
        if each.requires_grad:
            raise _no_graph(name)
        if each.dtype is not self.dtype:
            raise TypeError(f"{name}: expected {self.type()} for '{argument}' (got {each.type()})")


def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replace each element by what a Python function makes of it; slow, and without a gradient.

    Raises
    ------
    RuntimeError
        If the tensor requires a gradient.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.apply_.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([1.0, 2.0]).apply_(lambda x: x * x + 1)
    tensor([2., 5.])
    """
    return _computed(self, "apply_", callable, ())


def map_(self: Tensor, other: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """As `apply_`, with the elements of a second tensor, which is broadcast, as second arguments.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.map_.html
    """
    return _computed(self, "map_", callable, (other,))


def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable[[Any, Any, Any], Any]) -> Tensor:
    """As `map_`, with two more tensors."""
    return _computed(self, "map2_", callable, (x, y))


# -- views of another base ---------------------------------------------------------------------


def _view_func(self: Tensor, new_base: Tensor) -> Tensor | None:
    """This view's part of another base, as a view of that; None if this is none, or the base of another layout.

    Examples
    --------
    >>> import retrograd
    >>> row = retrograd.zeros(2, 2)[1]
    >>> row._view_func(retrograd.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([3., 4.])
    """
    tensors_only(new_base)
    meta = self._tensor_meta
    if meta is None or meta.view is None or meta.view.base._layout() != new_base._layout():
        return None
    if self.dtype is meta.view.base.dtype and self.is_conj() is meta.view.base.is_conj():
        place = self._layout()
        found: Tensor = publics["as_strided"](new_base, place.shape, place.strides, place.offset)
        return found
    return make_view(new_base, meta.view.node_name, *steps_of(meta.view.chain))


def _rev_view_func_unsafe(self: Tensor, new_view: Tensor) -> Tensor:
    """Never there: no view knows its base from another view."""
    tensors_only(new_view)
    raise RuntimeError("No _rev_view_func() found")


# -- functions of nn -----------------------------------------------------------------------------


def hardshrink(self: Tensor, lambd: float = 0.5) -> Tensor:
    """`nn.functional.hardshrink`."""
    from retrograd.nn import functional

    return functional.hardshrink(self, lambd)


def prelu(self: Tensor, weight: Tensor) -> Tensor:
    """`nn.functional.prelu`."""
    from retrograd.nn import functional

    return functional.prelu(self, weight)


@flagged
@told(pivot=("_lu_with_info", 0), get_infos=None)
def lu(self: Tensor, pivot: bool = True, get_infos: bool = False) -> tuple[Tensor, ...]:
    """`lu`, whose result is a plain tuple here; deprecated.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.lu.html
    """
    return tuple(publics["lu"](self, pivot, get_infos))


mvlgamma_ = written_over(
    "mvlgamma_",
    lambda self, p: publics["mvlgamma"](self, p),
    "mvlgamma: result type {own} can't be cast to the desired output type {result}",
)


def polygamma(self: Tensor, n: int) -> Tensor:
    """`retrograd.polygamma` of order `n`."""
    return publics["polygamma"](n, self)


polygamma_ = written_over(
    "polygamma_", polygamma, "result type {result} can't be cast to the desired output type {own}"
)


def float_power_(self: Tensor, exponent: Any) -> Tensor:
    """In-place version of `float_power`, for tensors of its results' type.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.float_power_.html
    """
    wide = doubled("float_power_", self, exponent)
    if self.dtype is not wide:
        raise RuntimeError(
            f"the base given to float_power_ has dtype {self.dtype.type_name} but the operation's result requires "
            f"dtype {wide.type_name}"
        )
    return self.pow_(exponent if is_number(exponent) else exponent.to(wide))


# -- sequences -----------------------------------------------------------------------------------


def _reversed(self: Tensor) -> Tensor:
    """`reversed(x)`: the first dimension from its end."""
    return self.flip(0) if self.ndim else self


def _delete_item(self: Tensor, key: Any) -> None:
    raise TypeError("Tensor does not support deleting items")


# -- memory --------------------------------------------------------------------------------------


def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Let this tensor have another shape, row-major from where it begins in its memory, without a gradient.

    If the memory is too small, it grows, for all tensors that share it; what is new is zero.

    Raises
    ------
    RuntimeError
        If the tensor requires a gradient, or its memory cannot grow.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.resize_.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[1, 2], [3, 4], [5, 6]])
    >>> x.resize_(2, 2)
    tensor([[1, 2],
            [3, 4]])
    """
    if not sizes:
        raise TypeError('resize_() missing 1 required positional arguments: "size"')
    if self._kernels.sparse:
        raise NotImplementedError("resize_() of a sparse tensor is not offered: see sparse_resize_()")
    if self.requires_grad and not current_mode().inference:
        check_write(self)
        raise RuntimeError("cannot resize variables that require grad")
    if tangents_of(self):
        raise RuntimeError("cannot resize variables that has a forward grad")
    try:
        wanted = as_ints(sizes)
    except (TypeError, AttributeError):
        raise bad_size("resize_", sizes, "size") from None
    if min(wanted, default=0) < 0 or prod(wanted) >= 2**63:
        raise RuntimeError("numel: integer multiplication overflow")
    if prod(wanted) * self.element_size() >= 2**63:
        raise RuntimeError(f"Storage size calculation overflowed with sizes={list(wanted)}")
    check_write(self)
    if wanted != tuple(self._array.shape):
        announce(self)
        odd = None if is_mapped(self) else odd_value(self.dtype)
        held = 0 if odd is None else self.untyped_storage().nbytes() // self.element_size() - self.storage_offset()
        resize(self, wanted)
        if odd is not None and self.numel() > held:
            self.detach().view(-1)[held:].fill_(odd)
        bump(self)
        sign(self._cell, "resize_", None, None)
    return self


def resize_as_(self: Tensor, the_template: Any, memory_format: Any = None) -> Tensor:
    """`resize_` to the shape of another tensor; of sparse tensors, `sparse_resize_`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.resize_as_.html
    """
    if not isinstance(the_template, Tensor):
        kind = type(the_template).__name__
        raise TypeError(f"resize_as_(): argument 'the_template' (position 1) must be Tensor, not {kind}")
    if lost_in_vmap(self, the_template, "resize_as_"):
        return self
    if self.is_sparse and the_template.is_sparse:
        return self.resize_as_sparse_(the_template)
    return resize_(self, tuple(the_template.shape))


def new_empty_strided(self: Tensor, size: Any, stride: Any, **options: Any) -> Tensor:
    """A tensor of these sizes and strides, by default of this one's type and on its device.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.new_empty_strided.html
    """
    from retrograd.ops.factories import empty_strided

    options.setdefault("dtype", self.dtype)
    options.setdefault("device", self.device)
    return empty_strided(size, stride, **options)


def _own(functions: Any) -> Iterator[tuple[str, Any]]:
    return ((each.__name__, each) for each in functions)


ATTRIBUTES: dict[str, Any] = {
    **DENSE,
    "_cdata": property(id, doc="A number that no other tensor has as long as this one is there."),
    "_view_func_unsafe": _view_func,
    "is_cpu": property(_is_cpu),
    "is_meta": property(lambda self: self._kernels.meta),
    "name": property(lambda self: None, doc="None: tensors have no names."),
    "__reversed__": _reversed,
    "__delitem__": _delete_item,
    **{name: _never(name) for name in _KINDS},
    **dict(
        _own(
            (
                get_device, is_pinned, is_distributed, is_same_size, is_set_to, _is_all_true, _is_any_true,
                _view_func, _rev_view_func_unsafe, apply_, map_, map2_, resize_, resize_as_, new_empty_strided,
                hardshrink, lu, mvlgamma_, polygamma, polygamma_, prelu, float_power_,
            )
        )
    ),
}  # fmt: skip
"""Of `Tensor`, by name."""
