"""Cutting tensors into pieces, and putting pieces together, beyond `split` and `cat`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from retrograd.autograd.modes import current_mode
from retrograd.autograd.node import UNTRACKED
from retrograd.autograd.tangents import move_tangents
from retrograd.layout import contiguous_format
from retrograd.ops.arguments import as_int, as_ints, as_tuple, wrap_dim
from retrograd.ops.arrange import cat
from retrograd.ops.broadcasting import broadcast_shapes as common_shape
from retrograd.ops.declare import Array, composite, op
from retrograd.ops.dispatch import result_type
from retrograd.ops.factories import empty
from retrograd.ops.grouped import one_node
from retrograd.ops.overloads import wrong_argument
from retrograd.ops.refused import all_tensors
from retrograd.ops.shape import chunk_sizes, narrow, reshape, split_views, tensor_split, unsafe_view, unsqueeze
from retrograd.size import Size
from retrograd.storage import INFERENCE, share
from retrograd.tensor import Tensor

__all__: list[str] = []

# -- cutting -------------------------------------------------------------------------------------


def _cut(name: str, input: Tensor, where: Any, dim: int, least: int) -> tuple[Tensor, ...]:
    if input.ndim < least:
        raise RuntimeError(
            f"retrograd.{name} requires a tensor with at least {least} dimension, but got a tensor with {input.ndim} "
            "dimensions!"
        )
    if isinstance(where, int):
        size = input.shape[dim]
        if where <= 0 or size % where:
            raise RuntimeError(
                f"retrograd.{name} attempted to split along dimension {dim}, but the size of the dimension {size} is "
                "not "
                f"divisible by the split_size {where}!"
            )
    return tensor_split(input, where, dim)


def _sections(name: str, input: Tensor, given: Any, more: tuple[int, ...]) -> int | tuple[int, ...]:
    """The number of pieces, or where to cut, which may also be given one by one."""
    try:
        if more or isinstance(given, (tuple, list)):
            return as_ints((given, *more) if more else (given,))
        return as_int(given)
    except TypeError:
        raise wrong_argument(name, "sections", 1, (input, given, *more)) from None


@composite
def hsplit(input: Tensor, indices_or_sections: int | Sequence[int], *more: int) -> tuple[Tensor, ...]:
    """Views of pieces, columns together: as many even ones as given, or cut at the given indices.

    Raises
    ------
    RuntimeError
        If there is no dimension, or that many even pieces cannot be made.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.hsplit.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.hsplit(retrograd.tensor([[1, 2], [3, 4]]), 2)
    (tensor([[1],
            [3]]), tensor([[2],
            [4]]))
    """
    indices_or_sections = _sections("hsplit", input, indices_or_sections, more)
    return _cut("hsplit", input, indices_or_sections, 0 if input.ndim == 1 else 1, 1)


@composite
def vsplit(input: Tensor, indices_or_sections: int | Sequence[int], *more: int) -> tuple[Tensor, ...]:
    """Views of pieces, rows together.

    Raises
    ------
    RuntimeError
        If there are less than two dimensions, or that many even pieces cannot be made.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.vsplit.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.vsplit(retrograd.tensor([[1, 2], [3, 4]]), [1])
    (tensor([[1, 2]]), tensor([[3, 4]]))
    """
    indices_or_sections = _sections("vsplit", input, indices_or_sections, more)
    return _cut("vsplit", input, indices_or_sections, 0, 2)


@composite
def dsplit(input: Tensor, indices_or_sections: int | Sequence[int], *more: int) -> tuple[Tensor, ...]:
    """Views of pieces along the third dimension.

    Raises
    ------
    RuntimeError
        If there are less than three dimensions, or that many even pieces cannot be made.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.dsplit.html

    Examples
    --------
    >>> import retrograd
    >>> [each.shape for each in retrograd.dsplit(retrograd.zeros(1, 2, 4), 2)]
    [retrograd.Size([1, 2, 2]), retrograd.Size([1, 2, 2])]
    """
    indices_or_sections = _sections("dsplit", input, indices_or_sections, more)
    return _cut("dsplit", input, indices_or_sections, 2, 3)


@composite
def unsafe_split(input: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """As `split`, but for the graph the pieces are no views: each may be written to, and nobody else is told.

    They do share the memory of `input`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unsafe_split.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.ones(3, requires_grad=True) * 2
    >>> first, second = retrograd.unsafe_split(x, 2)
    >>> first.mul_(5)
    tensor([10., 10.], grad_fn=<MulBackward0>)
    """
    return _unsafe(split_views(input, as_int(split_size), dim, "UnsafeSplit"))


@composite
def unsafe_split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """As `split_with_sizes`, with pieces as those of `unsafe_split`."""
    return _unsafe(split_views(input, as_tuple(split_sizes), dim, "UnsafeSplit"))


@composite
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """As `chunk`, with pieces as those of `unsafe_split`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unsafe_chunk.html
    """
    return _unsafe(split_views(input, chunk_sizes(input, chunks, dim), dim, "UnsafeSplit"))


def _unsafe(views: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Tensors in the memory of these views, which the graph does not take for views; each has versions of its own."""
    made, inference = [], current_mode().inference
    for each in views:
        own = Tensor._restore(each._array, each._kernels, None if each._edge is UNTRACKED else each._edge, None)
        own._break = each._break
        if inference:
            own._cell = INFERENCE
        share(each, own)
        move_tangents(each, own)
        made.append(own)
    return tuple(made)


@composite
def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """As `narrow`, but a copy.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.narrow_copy.html
    """
    if input._kernels.sparse:
        from retrograd.sparse.choosing import narrow_copy as of_sparse

        return of_sparse(input, dim, start, length)
    return _narrow_copy(input, dim, start, length)


@one_node("NarrowCopyBackward0", "input", saves="dim length self_sym_sizes=input_sym_sizes start")
def _narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    return narrow(input, dim, start, length).clone(memory_format=contiguous_format)


# -- putting together ----------------------------------------------------------------------------


def _with_three(input: Tensor) -> Tensor:
    if input.ndim == 0:
        return reshape(input, (1, 1, 1))
    return unsqueeze(unsqueeze(input, 0), -1) if input.ndim == 1 else unsqueeze(input, -1)


@composite
def atleast_3d(*tensors: Any) -> Any:
    """Each tensor with at least three dimensions; a row becomes one of (1, n, 1), a matrix one of (n, m, 1).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.atleast_3d.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.atleast_3d(retrograd.zeros(4)).shape
    retrograd.Size([1, 4, 1])
    """
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    made = tuple(each if each.ndim > 2 else _with_three(each) for each in given)
    return made[0] if len(tensors) == 1 and isinstance(tensors[0], Tensor) else made


@composite
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the third dimension.

    Raises
    ------
    RuntimeError
        If there are none.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.dstack.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.dstack((retrograd.zeros(2), retrograd.ones(2)))
    tensor([[[0., 1.],
             [0., 1.]]])
    """
    if not tensors:
        raise RuntimeError("dstack expects a non-empty TensorList")
    return cat(list(atleast_3d(*tensors)) if len(tensors) > 1 else [atleast_3d(tensors[0])], 2)


def _as_matrix(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape) if len(shape) == 2 else (1, math.prod(shape))


def _blocks(K: Any, g: Any, shapes: Any) -> list[Any]:
    grads, top, left = [], 0, 0
    for shape in shapes:
        height, width = _as_matrix(shape)
        block = K.slice(g, (slice(top, top + height), slice(left, left + width)))
        grads.append(K.reshape(block, tuple(shape)))
        top, left = top + height, left + width
    return grads


@op(node="BlockDiagBackward0", vjp={"*": lambda K, g, tensors_shapes: _blocks(K, g, tensors_shapes)}, jvp="linear")
def _block_diag(K, tensors: list[Array]) -> Array:
    """Of at most two dimensions each, and of one type."""
    blocks = [K.reshape(each, _as_matrix(tuple(each.shape))) for each in tensors]
    width = sum(each.shape[1] for each in blocks)
    rows, left = [], 0
    for each in blocks:
        own = each.shape[1]
        rows.append(K.pad(each, ((0, 0), (left, width - left - own)), 0))
        left += own
    return K.concat(rows, 0)


@composite
def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with the given matrices, rows and numbers along its diagonal, and zeros elsewhere.

    Raises
    ------
    RuntimeError
        If one has more than two dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.block_diag.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.block_diag(retrograd.ones(1, 2), retrograd.tensor(3.0))
    tensor([[1., 1., 0.],
            [0., 0., 3.]])
    """
    all_tensors(tensors)
    if not tensors:
        return empty(1, 0)
    for i, each in enumerate(tensors):
        if each.ndim > 2:
            raise RuntimeError(
                f"retrograd.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has "
                f"{each.ndim} dimensions"
            )
    common = result_type(*tensors)
    return _block_diag([each if each.dtype is common else each.to(common) for each in tensors])


@composite
def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: every element of `input` times all of `other`, as a block.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.kron.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.kron(retrograd.tensor([1.0, 10.0]), retrograd.tensor([1.0, 2.0]))
    tensor([ 1.,  2., 10., 20.])
    """
    ndim = max(input.ndim, other.ndim)
    own = (1,) * (ndim - input.ndim) + tuple(input.shape)
    others = (1,) * (ndim - other.ndim) + tuple(other.shape)
    first = unsafe_view(input, tuple(n for size in own for n in (size, 1)))
    second = unsafe_view(other, tuple(n for size in others for n in (1, size)))
    made: Tensor = unsafe_view(first * second, tuple(n * m for n, m in zip(own, others, strict=True)))
    return made


def _turned(K: Any, x: Any, turns: int, dims: tuple[int, ...]) -> Any:
    axes = list(range(len(x.shape)))
    first, second = (axes[each] for each in dims)
    if turns % 4 == 0:
        return K.copy(x)
    if turns % 4 == 2:
        return K.flip(x, (first, second))
    axes[first], axes[second] = second, first
    return K.row_major(K.permute_dims(K.flip(x, (second if turns % 4 == 1 else first,)), tuple(axes)))


@op(
    name="_rot90",
    node="Rot90Backward0",
    vjp={"self": lambda K, g, turns, dims: _turned(K, g, -turns, dims)},
    jvp="linear",
)
def _rot90(K, self: Array, turns: int, dims: tuple[int, ...]) -> Array:
    """Turn by right angles in the plane of two dimensions."""
    return _turned(K, self, turns, dims)


@composite
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turn by `k` right angles in the plane of two dimensions, from the first towards the second.

    Raises
    ------
    RuntimeError
        If these are not two different dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.rot90.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.rot90(retrograd.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    k, dims = as_int(k), as_ints((dims,))
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    if dims[0] == dims[1]:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    for each in dims:
        wrap_dim(each, input.ndim)
    return _rot90(input, k, tuple(dims))


# -- shapes that broadcast -----------------------------------------------------------------------


@composite
def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that these broadcast to.

    Raises
    ------
    RuntimeError
        If they do not.
    ValueError
        If a size is negative.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.broadcast_shapes.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.broadcast_shapes((2, 1), (3,))
    retrograd.Size([2, 3])
    """
    found: tuple[int, ...] = ()
    for i, each in enumerate(shapes):
        shape = (each,) if isinstance(each, int) else tuple(each)
        if min(shape, default=0) < 0:
            raise ValueError("Attempting to broadcast a dimension with negative length!")
        for back, (n, m) in enumerate(zip(reversed(shape), reversed(found), strict=False), 1):
            if n != m and 1 not in (n, m):
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {n} at -{back}! Mismatching argument at index {i} "
                    f"had {shape}; but expected shape should be broadcastable to {list(found)}"
                )
        found = common_shape(found, shape)
    return Size(found)


@composite
def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """Sum over the dimensions along which a tensor of `size` would be broadcast to this one.

    Raises
    ------
    RuntimeError
        If `size` does not broadcast to the shape of `input`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.sum_to_size.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.ones(2, 3).sum_to_size(1, 3)
    tensor([[2., 2., 2.]])
    """
    if not size:
        raise TypeError('sum_to_size() missing 1 required positional arguments: "size"')
    wanted, own = as_ints(size), tuple(input._array.shape)
    lead = len(own) - len(wanted)
    if lead < 0 or any(n not in (1, m) for n, m in zip(wanted, own[lead:], strict=True)):
        raise RuntimeError(f"size {{{list(wanted)}}} is not expandable to size {{{list(own)}}}.")
    if not wanted:
        return input.sum()
    if wanted == own:
        return input
    dims = [*range(lead), *(i + lead for i, n in enumerate(wanted) if n == 1 and own[i + lead] != 1)]
    return reshape(input.sum(dims, keepdim=True), wanted) if lead else input.sum(dims, keepdim=True)
