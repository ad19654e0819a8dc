"""View operators: they look at the same memory in another way.

A view operator computes one or more view steps (see `retrograd.views`) from its arguments;
`make_view` does the rest: the array, the shared storage, the node. Each has PyTorch's node name.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from functools import cache
from operator import index
from typing import Any

from retrograd.autograd import tangents
from retrograd.autograd.anomaly import remember_call
from retrograd.autograd.explaining import remember_break
from retrograd.autograd.modes import current_mode
from retrograd.autograd.node import UNTRACKED
from retrograd.autograd.profiler import operator_name
from retrograd.autograd.stale import make_view_node, make_views_node, view_class
from retrograd.dtypes import Category, dtype, int64
from retrograd.ops.arguments import INT, NOT_GIVEN, as_int, as_ints, as_tuple, infer_size, wrap_dim
from retrograd.ops.batching import leading_shaped
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.ops.conversion import contiguous
from retrograd.ops.declare import Array, alias, composite, op
from retrograd.ops.graph import graph_kernel
from retrograd.ops.options import shown_type
from retrograd.ops.refused import all_tensors, no_int
from retrograd.ops.reinterpreting import of_type
from retrograd.ops.view_arguments import sizes_or_type, split_size
from retrograd.ops.view_steps import permuting, reshaping, slicing, swapping, unsqueezing
from retrograd.storage import VERSION, View, share
from retrograd.tensor import Tensor, own_edge
from retrograd.views import (
    Chain,
    Conjugate,
    Diagonal,
    Expand,
    Part,
    Permute,
    Reshape,
    Slice,
    Step,
    Unsqueeze,
    view_strides,
)

__all__ = ["chunk_sizes", "make_view", "make_views", "split_views"]


def make_view(
    source: Tensor, name: str, *steps: Step, creation: str | None = None, recorded: bool = True, **arguments: Any
) -> Tensor:
    """A tensor that looks at the memory of `source` through `steps`.

    `arguments` are shown as the node's `_saved_*` attributes. One that is not `recorded` is given its edge
    by the caller.
    """
    mode = current_mode()
    if mode.profiler is not None:
        return mode.profiler.call(operator_name(name), make_view, source, name, *steps, creation=creation, **arguments)
    k = source._kernels
    if k.sparse:
        sparse: Tensor = k.view(source, name, steps, recorded, arguments)
        return sparse
    array = source._array
    made = object.__new__(Tensor)
    made._kernels, made._cell = k, source._cell
    made._edge = made._break = made._tensor_meta = None
    share(source, made)
    meta: Any = made._tensor_meta
    own = source._tensor_meta.view  # type: ignore[union-attr]  # which `share` has made
    way = None if own is None else own.chain
    for step in steps:
        shape = tuple(array.shape)
        if k.mutable and type(step) is Conjugate:
            meta.mirror = meta.storage.mirrored(k)
            array = meta.mirror.across(k, array, meta.chain is not None and meta.chain.conjugated)
        else:
            array = step.apply(k, array)
        way = Chain(way, step, shape)
        meta.chain = way if meta.chain is way.before else Chain(meta.chain, step, shape)
    made._array = array
    meta.storage.has_views = True
    if type(source._cell) is not list:  # an inference tensor, whose views are inference tensors, not of a graph
        return made
    meta.view = _view_of(source, way, creation, name, mode)
    if not mode.grad:
        if meta.view.base.requires_grad:
            made._edge = UNTRACKED
    elif recorded and (edge := source._edge) is not None:
        node = make_view_node(view_class(name), steps, source._array, edge, k, arguments)
        if mode.anomaly:
            remember_call(node)
        made._edge = (node, 0)
    if made._edge is None and (recorded or not mode.grad):  # else the caller is to give it an edge
        if mode.anomaly or (not mode.grad and own_edge(source) is not None):
            remember_break(operator_name(name).removeprefix("aten::"), [source], [made], False, mode.grad)
        else:
            made._break = source._break
    if mode.dual:
        tangents.push_view(source, made, name, steps)
    if mode.results is not None and creation != "multi":
        mode.results.see_view(name, source, made, arguments)
    return made


def _view_of(source: Tensor, chain: Chain | None, creation: str | None, name: str, mode: Any) -> View:
    own = None if source._tensor_meta is None else source._tensor_meta.view
    if not mode.grad:
        lasts = mode.inference or (own is not None and own.creation == "inference")
        creation = "inference" if lasts else "no_grad"
    version = source._cell[0] & VERSION
    if own is None:
        return View(source, chain, creation, name, version)
    made = View(own.base, chain, creation or own.creation, name, version)
    made.origin = own.origin if own.dual is None else source
    return made


def make_views(source: Tensor, name: str, steps: Sequence[Step], **arguments: Any) -> tuple[Tensor, ...]:
    """Several views of `source`, with one node between them, which shows the `arguments`."""
    mode = current_mode()
    if mode.profiler is not None:
        return mode.profiler.call(operator_name(name), make_views, source, name, steps, **arguments)
    edge = source._edge if mode.grad and type(source._cell) is list else None
    views = [make_view(source, name, step, creation="multi", recorded=False) for step in steps]
    if edge is not None:
        outputs = max(len(steps), 1)
        node = make_views_node(view_class(name, outputs), tuple(steps), source._array, edge, source._kernels, arguments)
        for position, view in enumerate(views):
            view._edge = (node, position)
    if mode.results is not None:
        mode.results.see_view(name, source, views, arguments)
    return tuple(views)


# -- permutations ------------------------------------------------------------------------------


@composite
def permute(input: Tensor, *args: Any, dims: Sequence[int] | None = None) -> Tensor:
    """A view with the dimensions in another order.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.permute.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.zeros(2, 3, 5).permute(2, 0, 1).shape
    retrograd.Size([5, 2, 3])
    """
    axes = as_ints(args if dims is None else (dims,))
    return make_view(input, "PermuteBackward0", permuting(axes, len(input._array.shape)), dims=axes)


@composite
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with two dimensions swapped.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.transpose.html
    """
    ndim = len(input._array.shape)
    step = swapping(ndim, wrap_dim(dim0, ndim), wrap_dim(dim1, ndim))
    return make_view(input, "TransposeBackward0", step, dim0=dim0, dim1=dim1)


_T_STEP = Permute((1, 0))


@composite
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix, as a view; a tensor of fewer dimensions as it is.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.t.html
    """
    ndim = len(input._array.shape)
    if ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {ndim}D")
    return make_view(input, "TBackward0", _T_STEP if ndim == 2 else Permute(tuple(range(ndim))))


@composite
def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """A view with some dimensions moved to other places, the rest in order."""
    sources = as_ints((source,) if isinstance(source, int) else tuple(source))
    targets = as_ints((destination,) if isinstance(destination, int) else tuple(destination))
    if len(sources) != len(targets):
        raise RuntimeError(
            "movedim: Invalid source or destination dims: source "
            f"({list(sources)} dims) should contain the same number of dims as destination ({list(targets)} dims)"
        )
    as_given = sources, targets
    sources = tuple(wrap_dim(each, input.ndim) for each in sources)
    targets = tuple(wrap_dim(each, input.ndim) for each in targets)
    for what, dims, shown in zip(("source", "destination"), (sources, targets), as_given, strict=True):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{what}` ({list(shown)})")
    rest = iter(i for i in range(input.ndim) if i not in sources)
    placed = dict(zip(targets, sources, strict=True))
    return permute(input, *(placed[i] if i in placed else next(rest) for i in range(input.ndim)))


@composite
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """`transpose`, under NumPy's name."""
    return transpose(input, axis0, axis1)


alias("swapdims", transpose)
alias("moveaxis", movedim)


@composite
def adjoint(input: Tensor) -> Tensor:
    """The conjugate transpose of the last two dimensions, as a view.

    Raises
    ------
    RuntimeError
        If it has one dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.adjoint.html
    """
    return _adjoint(input, "adjoint()")


def _H(self: Tensor) -> Tensor:
    """The conjugate transpose of a matrix."""
    if self.ndim > 2:
        raise RuntimeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor. For batches of matrices, "
            "consider using tensor.mH"
        )
    if self.ndim == 1:
        raise RuntimeError("tensor.H is only supported on matrices (2-D tensors). Got 1-D tensor.")
    return _adjoint(self, "H")


def _mH(self: Tensor) -> Tensor:
    """The conjugate transpose of the last two dimensions."""
    return _adjoint(self, "mH")


def _adjoint(tensor: Tensor, name: str) -> Tensor:
    if tensor.ndim == 1:
        raise RuntimeError(f"tensor.{name} is only supported on matrices or batches of matrices. Got 1-D tensor.")
    if tensor.ndim == 0:
        shown = name if name.endswith("()") else f"Tensor.{name}"
        _warn_of_no_dimensions(shown, "Consider using x.conj().", 4)
        return tensor.conj()
    return transpose(tensor, -2, -1).conj()


@cache
def _warn_of_no_dimensions(name: str, instead: str, stacklevel: int = 3) -> None:
    """Once in a process, as PyTorch does."""
    warnings.warn(f"{name} is deprecated on 0-D tensors. {instead}", UserWarning, stacklevel=stacklevel)


def _T(self: Tensor) -> Tensor:
    """All dimensions in reverse order."""
    if self.ndim == 0:
        _warn_of_no_dimensions("Tensor.T", "This function is the identity in these cases.")
    elif self.ndim != 2:
        _warn_of_reversing()
    axes = tuple(reversed(range(self.ndim)))
    return make_view(self, "PermuteBackward0", Permute(axes), dims=axes)


def _mT(self: Tensor) -> Tensor:
    """The last two dimensions swapped."""
    if self.ndim == 1:
        raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {self.ndim}-D tensor.")
    if self.ndim == 0:
        _warn_of_no_dimensions("Tensor.mT", "This function is the identity in these cases.")
    return transpose(self, -2, -1) if self.ndim else self


@cache
def _warn_of_reversing() -> None:
    warnings.warn(
        "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated and it will throw "
        "an error in a future release. Consider `x.mT` to transpose batches of matrices or "
        "`x.permute(*retrograd.arange(x.ndim - 1, -1, -1))` to reverse the dimensions of a tensor.",
        UserWarning,
        stacklevel=3,
    )


# -- shape -------------------------------------------------------------------------------------


@composite
def view(input: Tensor, *shape: Any, **named: Any) -> Tensor:
    """The same memory under another shape (one size may be -1); of the type that it has, outside of the graph.

    Raises
    ------
    RuntimeError
        If the number of elements differs, the memory layout does not allow it, or another type is asked for on a
        backend whose arrays cannot be written to.
    TypeError
        If it is given anything else than sizes or a type.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.view.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.arange(6).view(2, -1)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    asked = shape if not named and shape and INT.issuperset(map(type, shape)) else sizes_or_type(shape, named)
    if isinstance(asked, dtype):
        return of_type(input, asked)
    wanted = infer_size(as_ints(tuple(asked)), input.numel())
    if not input.is_contiguous() and view_strides(tuple(input._array.shape), input.stride(), wanted) is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            "contiguous subspaces). Use .reshape(...) instead."
        )
    return make_view(input, "ViewBackward0", reshaping(wanted))


@op(
    name="_unsafe_view",
    node="UnsafeViewBackward0",
    vjp={"self": lambda K, g, self_shape: K.reshape(g, self_shape)},
    jvp="linear",
    batch=leading_shaped,
)
def unsafe_view(K, self: Array, shape: tuple[int, ...]) -> Array:
    """Another shape for a result that nobody else has, which need not be copied for it, nor be a view."""
    return K.reshape(self, shape)


@composite
def reshape(input: Tensor, *args: Any, shape: Sequence[int] | None = None) -> Tensor:
    """The elements in row-major order under another shape: a view if the layout allows, else a copy.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.reshape.html
    """
    sizes = as_ints(args if shape is None else (shape,))
    wanted = infer_size(sizes, input.numel())
    if input.is_contiguous():
        return make_view(input, "ViewBackward0", reshaping(wanted))
    if view_strides(tuple(input._array.shape), input.stride(), wanted) is not None:
        return make_view(input, "ReshapeAliasBackward0", reshaping(wanted))
    return unsafe_view(contiguous(input), wanted)


@graph_kernel("reshape", batch=leading_shaped)
def _graph_reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return reshape(x, tuple(shape))


@graph_kernel("permute_dims")
def _graph_permute(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return make_view(x, "PermuteBackward0", Permute(tuple(axes)), dims=tuple(axes))


@composite
def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of `other`."""
    return reshape(input, other.shape)


@composite
def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`view` with the shape of `other`."""
    if not isinstance(other, Tensor):
        raise TypeError(f"view_as(): argument 'other' (position 1) must be Tensor, not {type(other).__name__}")
    return view(input, other.shape)


@composite
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the dimensions from `start_dim` to `end_dim` into one.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.flatten.html
    """
    start, end = wrap_dim(start_dim, input.ndim), wrap_dim(end_dim, input.ndim)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if input.ndim == 0:
        return reshape(input, 1)
    if start == end:
        return input
    shape = tuple(input._array.shape)
    size = 1
    for n in shape[start : end + 1]:
        size *= n
    return reshape(input, (*shape[:start], size, *shape[end + 1 :]))


@composite
def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension: a view if the tensor is contiguous."""
    return make_view(contiguous(input), "ViewBackward0", Reshape((input.numel(),)))


@composite
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Split one dimension into several."""
    if not as_tuple(sizes):
        raise RuntimeError("unflatten: sizes must be non-empty")
    dim = wrap_dim(dim, input.ndim)
    shape = tuple(input._array.shape)
    if not shape:
        unexpected = f"Dimension specified as {dim} but tensor has no dimensions"
        raise RuntimeError(f"unflatten got an unexpected error:\n{unexpected}")
    try:
        inner = infer_size(as_ints((sizes,)), shape[dim])
    except RuntimeError:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} ({shape[dim]}) in the "
            "input tensor"
        ) from None
    return view(input, (*shape[:dim], *inner, *shape[dim + 1 :]))


@composite
def squeeze(input: Tensor, dim: int | Sequence[int] = NOT_GIVEN, *more: int) -> Tensor:
    """A view without dimensions of size 1: all of them, or those in `dim`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.squeeze.html
    """
    if more:
        dim = (dim, *more)  # type: ignore[arg-type]  # of several each is a number, or is refused below
    shape, number = squeezed(input, dim)
    return make_view(input, f"SqueezeBackward{number}", Reshape(shape), **named_dim(dim))


def named_dim(dim: Any) -> dict[str, Any]:
    """What a node of `squeeze` shows of `dim`."""
    return {} if dim is NOT_GIVEN else {"dim": dim}


def squeezed(input: Tensor, dim: int | Sequence[int]) -> tuple[tuple[int, ...], int]:
    """The shape without dimensions of size 1, and the number that PyTorch gives that form of `squeeze`."""
    shape = tuple(input._array.shape)
    if dim is NOT_GIVEN:
        return tuple(n for n in shape if n != 1), 0
    if dim is None:
        raise no_int(dim)
    number = 1 if isinstance(dim, int) else 2
    dims = set()
    for each in (dim,) if isinstance(dim, int) else dim:
        at = wrap_dim(each, input.ndim)
        if at in dims:
            raise RuntimeError(f"dim {at} appears multiple times in the list of dims")
        dims.add(at)
    return tuple(n for i, n in enumerate(shape) if n != 1 or i not in dims), number


@composite
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A view with a new dimension of size 1 at `dim`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unsqueeze.html
    """
    return make_view(input, "UnsqueezeBackward0", unsqueezed(input, dim), dim=dim)


def unsqueezed(input: Tensor, dim: int) -> Unsqueeze:
    """The step to a view with a new dimension of size 1 at `dim`."""
    shape = tuple(input._array.shape)
    return unsqueezing(shape, wrap_dim(dim, len(shape) + 1))


@composite
def expand(input: Tensor, *sizes: Any, size: Sequence[int] | None = None) -> Tensor:
    """A view in which dimensions of size 1 are repeated without a copy; -1 keeps a size.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.expand.html
    """
    wanted = as_ints(sizes if size is None else (size,))
    shape = tuple(input._array.shape)
    lead = len(wanted) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"expand({shown_type(input.dtype)}{{{list(shape)}}}, size={list(wanted)}): the number of "
            f"sizes provided ({len(wanted)}) must be greater or equal to the number of dimensions in the tensor "
            f"({len(shape)})"
        )
    result = list(wanted)
    for i, n in reversed([*enumerate(wanted)]):
        have = shape[i - lead] if i >= lead else None
        if n == -1:
            if have is None:
                raise RuntimeError(
                    f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension {i}"
                )
            result[i] = have
        elif have is not None and have not in (1, n):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({have}) at non-singleton "
                f"dimension {i}.  Target sizes: {list(wanted)}.  Tensor sizes: {list(shape)}"
            )
    if any(n < 0 for n in result):
        raise RuntimeError("numel: integer multiplication overflow")
    return make_view(input, "ExpandBackward0", Expand(tuple(result)))


@graph_kernel("broadcast_to")
def _graph_expand(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return expand(x, tuple(shape))


@composite
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of `other`."""
    return expand(input, other.shape)


@composite
def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Views of the tensors, all of the shape that they broadcast to; itself for one that has it.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.broadcast_tensors.html
    """
    all_tensors(tensors)
    shape = broadcast_shapes(*(tuple(each._array.shape) for each in tensors))
    return tuple(each if tuple(each._array.shape) == shape else expand(each, shape) for each in tensors)


@composite
def broadcast_to(input: Tensor, *sizes: Any, size: Sequence[int] | None = None) -> Tensor:
    """`expand` to `size`."""
    return expand(input, *sizes, size=size)


# -- parts -------------------------------------------------------------------------------------


def _slice_step(shape: tuple[int, ...], dim: int, item: Any) -> Slice:
    return slicing(shape[:dim], item)


@composite
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """A view of one index of a dimension, which disappears.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.select.html
    """
    shape = tuple(input._array.shape)
    if not shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    at = wrap_dim(dim, len(shape))
    index = as_int(index)
    if not -shape[at] <= index < shape[at]:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(shape)} at dimension {at}")
    return make_view(input, "SelectBackward0", _slice_step(shape, at, index % shape[at]), dim=dim, index=index)


def selected(input: Tensor, dim: int, index: int) -> Tensor:
    """`select`, where both are in range."""
    shape = input._array.shape
    return make_view(input, "SelectBackward0", _slice_step(shape, dim, index % shape[dim]), dim=dim, index=index)


_NO_END = 2**63 - 1


def slice_dim(input: Tensor, dim: int, start: int | None, stop: int | None, step: int) -> Tensor:
    """A view of `input[..., start:stop:step, ...]` at `dim`."""
    shape = tuple(input._array.shape)
    if step <= 0:
        raise ValueError("step must be greater than zero")
    first, last, _ = slice(start, stop, step).indices(shape[dim])
    return make_view(
        input, "SliceBackward0", _slice_step(shape, dim, (first, max(first, last), step)),
        dim=dim, start=start or 0, end=_NO_END if stop is None else stop, step=step,
    )  # fmt: skip


@composite
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """A view of `length` indices of a dimension from `start` on.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.narrow.html
    """
    if not input.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    at = wrap_dim(dim, input.ndim)
    size = input._array.shape[at]
    if isinstance(start, Tensor) and (start.ndim or start.dtype.category is not Category.INTEGER):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    first, length = as_int(start), as_int(length)
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -size <= first <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {first})")
    first = first + size if first < 0 else first
    if first + length > size:
        raise RuntimeError(f"start ({first}) + length ({length}) exceeds dimension size ({size}).")
    return slice_dim(input, at, first, first + length, 1)


@composite
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A view of a diagonal of two dimensions, as the last dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.diagonal.html
    """
    offset, axis1, axis2 = as_int(offset), wrap_dim(dim1, input.ndim), wrap_dim(dim2, input.ndim)
    if axis1 == axis2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return make_view(input, "DiagonalBackward0", Diagonal(offset, axis1, axis2), offset=offset, dim1=dim1, dim2=dim2)


# -- several views -----------------------------------------------------------------------------


@composite
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of all indices of a dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unbind.html
    """
    shape = tuple(input._array.shape)
    at = wrap_dim(dim, len(shape))
    if not shape:
        raise IndexError(f"Dimension specified as {at} but tensor has no dimensions")
    return make_views(input, "UnbindBackward0", [_slice_step(shape, at, i) for i in range(shape[at])], dim=dim)


@composite
def split(
    input: Tensor, split_size_or_sections: Any = None, dim: int = 0, *, split_size: Any = None
) -> tuple[Tensor, ...]:
    """Views of consecutive pieces of a dimension: of one size (the last may be smaller), or of given sizes.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.split.html
    """
    wanted = split_size_or_sections if split_size is None else split_size  # the name that the method has for it
    return split_views(input, wanted, dim, "Split")


def split_views(input: Tensor, split_size_or_sections: int | Sequence[int], dim: int, name: str) -> tuple[Tensor, ...]:
    """What `split` gives, with nodes whose names begin with `name`."""
    if not input.ndim:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    shape = tuple(input._array.shape)
    at = wrap_dim(dim, len(shape))
    n = shape[at]
    if not isinstance(split_size_or_sections, (list, tuple)):
        size = split_size(split_size_or_sections)
        if size < 0:
            raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
        if size == 0 and n != 0:
            raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
        starts = range(0, n, size) if size and n else [0]
        pieces = [(start, min(start + size, n)) for start in starts]
        steps = [_slice_step(shape, at, (a, b, 1)) for a, b in pieces]
        return make_views(input, f"{name}Backward0", steps, dim=dim, split_size=size)
    sizes = list(as_ints((split_size_or_sections,)))
    if any(each < 0 for each in sizes):
        raise RuntimeError(
            f"split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes={sizes}"
        )
    if sum(sizes) != n:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {at}), but "
            f"got split_sizes={sizes}"
        )
    starts_at = [sum(sizes[:i]) for i in range(len(sizes))]
    steps = [_slice_step(shape, at, (a, a + each, 1)) for a, each in zip(starts_at, sizes, strict=True)]
    return make_views(input, f"{name}WithSizesBackward0", steps, dim=dim, split_sizes=tuple(sizes))


@composite
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """`split` into pieces of the given sizes."""
    return split(input, as_tuple(split_sizes), dim)


@composite
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` views of consecutive pieces of equal size.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.chunk.html
    """
    return split(input, chunk_sizes(input, chunks, dim), dim)


def chunk_sizes(input: Tensor, chunks: int, dim: int) -> int | list[int]:
    """How `chunk` would have `split` cut."""
    if not input.ndim:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    chunks = as_int(chunks)
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = input._array.shape[wrap_dim(dim, input.ndim)]
    size = -(-n // chunks)
    return size or [0] * chunks


@composite
def tensor_split(
    input: Tensor, indices_or_sections: Any = None, dim: int = 0, *, sections: Any = None, indices: Any = None
) -> tuple[Tensor, ...]:
    """Views of pieces of a dimension: as even as possible, or cut at the given indices.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tensor_split.html
    """
    if not input.ndim:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    at = wrap_dim(dim, input.ndim)
    n = input._array.shape[at]
    if indices_or_sections is None:
        indices_or_sections = sections if indices is None else indices
    if isinstance(indices_or_sections, Tensor):
        _check_cuts(indices_or_sections)
    if isinstance(indices_or_sections, int) or getattr(indices_or_sections, "ndim", None) == 0:
        count = index(indices_or_sections)
        if count <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {count}")
        sizes = [n // count + (i < n % count) for i in range(count)]
        cuts = [sum(sizes[:i]) for i in range(1, count)]
    else:
        cuts = [int(each) for each in indices_or_sections]
    edges = [0, *cuts, n]
    return tuple(slice_dim(input, at, a, b, 1) for a, b in itertools.pairwise(edges))


def _check_cuts(tensor: Tensor) -> None:
    if tensor.ndim > 1:
        raise RuntimeError(
            "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor, but "
            f"got a tensor with {tensor.ndim} dims"
        )
    if tensor.dtype is not int64:
        raise RuntimeError(
            f"tensor_split expected tensor_indices_or_sections to have dtype of long, but got {tensor.dtype.type_name}"
        )


# -- differentiable slices, for formulas -------------------------------------------------------


@graph_kernel("slice")
def _graph_slice(x: Tensor, key: tuple[Any, ...]) -> Tensor:
    return make_view(x, "SliceBackward0", Slice(_normal_key(key, tuple(x._array.shape))))


def _normal_key(key: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(
        each % n if isinstance(each, int) else (lambda a, b, c: (a, max(a, b), c))(*each.indices(n))
        for each, n in zip(key, shape, strict=False)
    )


@op(
    "unslice",
    name="_unslice",
    node="SliceBackwardBackward0",
    vjp={"self": lambda K, g, index: K.slice(g, index)},
    jvp="linear",
)
def _unslice(self: Array, shape: tuple[int, ...], index: tuple[Any, ...]) -> Array:
    """Zeros of `shape` with `self` at `index`."""


@op(
    "slice_assign",
    name="_slice_assign",
    node="SliceScatterBackward0",
    vjp={
        "self": lambda K, g, index: K.slice_assign(g, index, K.zeros_like(K.slice(g, index))),
        "value": lambda K, g, index: K.slice(g, index),
    },
    jvp="linear",
)
def slice_assign(self: Array, index: tuple[Any, ...], value: Array) -> Array:
    """A copy of `self` with `value` at `index`."""


def real_view(input: Tensor) -> Tensor:
    """A view of the real parts."""
    return make_view(input, "ViewAsRealBackward0", Part(False))


def imag_view(input: Tensor) -> Tensor:
    """A view of the imaginary parts."""
    return make_view(input, "ViewAsRealBackward0", Part(True))


def alias_of(input: Tensor) -> Tensor:
    """A view of the whole tensor."""
    return make_view(input, "AliasBackward0", Reshape(tuple(input._array.shape)))
