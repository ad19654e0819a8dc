"""Operators that copy elements into another arrangement: joining, repeating, flipping, triangles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograd.dtypes import int32, int64
from retrograd.layout import contiguous_format
from retrograd.levels import bare, is_mapped
from retrograd.ops.arguments import as_int, as_ints, as_shape, wrap_dim, wrap_dims
from retrograd.ops.batching import along, joined, leading, leading_shaped
from retrograd.ops.checks import extremes
from retrograd.ops.declare import Array, alias, composite, op
from retrograd.ops.graph import graph_kernel
from retrograd.ops.reducing import deliver
from retrograd.ops.refused import all_tensors, c_name
from retrograd.ops.shape import flatten, reshape, unsqueeze
from retrograd.tensor import Tensor

# -- copies in another arrangement -------------------------------------------------------------


@op(
    "concat",
    node="CatBackward0",
    vjp={"*": lambda K, g, tensors_shapes, dim: _uncat(K, g, tensors_shapes, dim)},
    jvp="linear",
    batch=joined,
)
def _cat(tensors: list[Array], dim: int) -> Array:
    """Concatenate; `dim` is not negative and the types agree."""


def _uncat(K: Any, g: Any, shapes: Any, dim: int) -> list[Any]:
    grads, start = [], 0
    for shape in shapes:
        if shape == (0,) and len(g.shape) != 1:
            grads.append(K.zeros_like(K.slice(g, tuple(slice(0, 0) if i == dim else 0 for i in range(len(g.shape))))))
            continue
        key = (slice(None),) * dim + (slice(start, start + shape[dim]),)
        grads.append(K.slice(g, key))
        start += shape[dim]
    return grads


def _alike(tensors: Sequence[Any]) -> Any:
    """The shape of tensors which all have the same, and one type: nothing is then to be checked. None of others."""
    first = tensors[0]
    if not isinstance(first, Tensor):
        return None
    shape, type_ = first._array.shape, first._array.dtype
    for each in tensors:
        if not (isinstance(each, Tensor) and each._array.shape == shape and each._array.dtype == type_):
            return None
    return shape


def _same_dtype(tensors: Sequence[Any]) -> list[Tensor]:
    from retrograd.ops.dispatch import result_type

    dtype = result_type(*tensors)
    return [each if each.dtype is dtype else each.to(dtype) for each in tensors]


@composite
def cat(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None, out: Tensor | None = None) -> Tensor:
    """Join tensors along an existing dimension.

    Raises
    ------
    RuntimeError
        If there are none, or their shapes differ in another dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cat.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.cat([retrograd.ones(2), retrograd.zeros(1)])
    tensor([1., 1., 0.])
    """
    dim = dim if axis is None else axis  # NumPy's name for it
    if not isinstance(tensors, (list, tuple)):
        raise TypeError(
            f"cat(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}"
        )
    tensors = list(tensors)
    if not tensors:
        raise ValueError("retrograd.cat(): expected a non-empty list of Tensors")
    if out is None and (shape := _alike(tensors)) not in (None, (), (0,)):
        return _cat(tensors, wrap_dim(dim, len(shape)))
    for i, each in enumerate(tensors):
        if not isinstance(each, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(each).__name__}")
        if each.ndim == 0:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    # PyTorch lets an empty 1-d tensor join anything.
    kept = [each for each in tensors if tuple(each._array.shape) != (0,)] or tensors
    first = tuple(kept[0]._array.shape)
    at = wrap_dim(dim, len(first))
    for i, each in enumerate(kept):
        _check_cat(first, tuple(each._array.shape), at, i)
    if len(kept) != len(tensors):
        kept = [each if tuple(each._array.shape) != (0,) else _empty_along(each, first, at) for each in tensors]
    joined = _cat(_same_dtype(kept), at)
    return joined if out is None else deliver("cat", out, joined, tensors)


def _empty_along(empty: Tensor, shape: tuple[int, ...], dim: int) -> Tensor:
    """An empty 1-d tensor, as one that has no elements in `dim` and fits otherwise; its gradient stays defined."""
    return empty if len(shape) == 1 else reshape(empty, (*shape[:dim], 0, *shape[dim + 1 :]))


def _check_cat(first: tuple[int, ...], shape: tuple[int, ...], dim: int, position: int) -> None:
    if len(shape) != len(first):
        raise RuntimeError(f"Tensors must have same number of dimensions: got {len(first)} and {len(shape)}")
    for i, (expected, n) in enumerate(zip(first, shape, strict=True)):
        if i != dim and expected != n:
            raise RuntimeError(
                f"Sizes of tensors must match except in dimension {dim}. Expected size {expected} but got size {n} for "
                f"tensor number {position} in the list."
            )


alias("concat", cat)
alias("concatenate", cat)


@graph_kernel("concat", batch=joined)
def _graph_concat(xs: Sequence[Tensor], axis: int) -> Tensor:
    return _cat(list(xs), axis)


@op(
    "stack",
    node="StackBackward0",
    vjp={"*": lambda K, g, tensors_shapes, dim: [
        K.slice(g, (slice(None),) * dim + (i,)) for i in range(len(tensors_shapes))
    ]}, jvp="linear",
    batch=joined,
)  # fmt: skip
def _stack(tensors: list[Array], dim: int) -> Array:
    """Stack; `dim` is not negative, shapes and types agree."""


@composite
def stack(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None, out: Tensor | None = None) -> Tensor:
    """Join tensors of one shape along a new dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.stack.html
    """
    dim = dim if axis is None else axis  # NumPy's name for it
    if not isinstance(tensors, (list, tuple)):
        raise TypeError(
            f"stack(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}"
        )
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    if out is None and (alike := _alike(tensors)) is not None:
        return _stack(tensors, wrap_dim(dim, len(alike) + 1))
    shape = tuple(tensors[0]._array.shape)
    for i, each in enumerate(tensors):
        if tuple(each._array.shape) != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and "
                f"{list(each._array.shape)} at entry {i}"
            )
    stacked = _stack(_same_dtype(tensors), wrap_dim(dim, len(shape) + 1))
    return stacked if out is None else deliver("stack", out, stacked, tensors)


def _at_least(tensor: Tensor, ndim: int) -> Tensor:
    if ndim >= 1 and tensor.ndim == 0:
        tensor = reshape(tensor, 1)
    return unsqueeze(tensor, 0) if ndim == 2 and tensor.ndim == 1 else tensor


def _each_at_least(tensors: tuple[Any, ...], ndim: int) -> Any:
    """Of a function's arguments, which may be one sequence: the tensor of one that stands alone, else a tuple."""
    is_sequence = not tensors or isinstance(tensors[0], (list, tuple))
    given = tensors[0] if is_sequence and tensors else tensors
    all_tensors(given)
    made = tuple(_at_least(each, ndim) for each in given)
    return made if len(made) > 1 or is_sequence else made[0]


def _check_some(name: str, tensors: Sequence[Tensor]) -> None:
    if not isinstance(tensors, (tuple, list)):
        kind = c_name(tensors)
        raise TypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not {kind}")
    if not len(tensors):
        raise RuntimeError(f"{name} expects a non-empty TensorList")


@composite
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the second dimension, or the first of 1-d tensors."""
    _check_some("hstack", tensors)
    parts = [_at_least(each, 1) for each in tensors]
    return cat(parts, 0 if parts[0].ndim == 1 else 1)


@composite
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the first dimension; 1-d tensors are rows."""
    _check_some("vstack", tensors)
    return cat([_at_least(each, 2) for each in tensors], 0)


alias("row_stack", vstack)


@composite
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the second dimension; 1-d tensors are columns."""
    _check_some("column_stack", tensors)
    return cat([each.reshape(-1, 1) if each.ndim < 2 else each for each in tensors], 1)


@composite
def atleast_1d(*tensors: Any) -> Any:
    """Each tensor with at least one dimension."""
    return _each_at_least(tensors, 1)


@composite
def atleast_2d(*tensors: Any) -> Any:
    """Each tensor with at least two dimensions."""
    return _each_at_least(tensors, 2)


@op(
    "flip",
    name="_flip",
    node="FlipBackward0",
    vjp={"self": lambda K, g, dims: K.flip(g, dims)},
    jvp="linear",
    batch=along,
    order=("self",),
)
def _flip(self: Array, dims: tuple[int, ...]) -> Array:
    """Reverse the order along non-negative `dims`."""


@composite
def flip(input: Tensor, *args: Any, dims: Sequence[int] | None = None) -> Tensor:
    """A copy with the order of elements reversed along `dims`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.flip.html
    """
    if not args and dims is None:
        raise TypeError('flip() missing 1 required positional arguments: "dims"')
    given = as_ints(args if dims is None else (dims,))
    return _flip(input, wrap_dims(given, input.ndim) if given else ())


@composite
def fliplr(input: Tensor) -> Tensor:
    """`flip` of the second dimension."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


@composite
def flipud(input: Tensor) -> Tensor:
    """`flip` of the first dimension."""
    if input.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


def _batched_roll(B: Any, call: Any, x: Any, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    return along(B, lambda value, axes: call(value, shifts, axes), x, dims)


@op(
    "roll",
    name="_roll",
    node="RollBackward0",
    vjp={"self": lambda K, g, shifts, dims: K.roll(g, tuple(-s for s in shifts), dims)},
    jvp="linear",
    batch=_batched_roll,
)
def _roll(self: Array, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Array:
    """Shift along non-negative `dims`."""


@op(
    name="_roll_flat",
    node="RollBackward0",
    vjp={"self": lambda K, g, shifts: _rolled_flat(K, g, tuple(-s for s in shifts))},
    jvp="linear",
)
def _roll_flat(K, self: Array, shifts: tuple[int, ...]) -> Array:
    """Shift the elements in row-major order, over the ends of rows."""
    return _rolled_flat(K, self, shifts)


def _rolled_flat(K: Any, x: Any, shifts: tuple[int, ...]) -> Any:
    return K.reshape(K.roll(K.reshape(x, (-1,)), shifts, (0,)), tuple(x.shape))


@composite
def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """A copy with the elements shifted along `dims`, those that fall off the end coming in at the start.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.roll.html
    """
    amounts = as_ints((shifts,))
    if not amounts:
        raise RuntimeError("`shifts` required")
    if dims is None or dims == ():
        if len(amounts) > 1:
            raise RuntimeError(f"shifts and dimensions must align. shifts: {len(amounts)}, dims:0")
        return _roll_flat(input, amounts)
    if not input.ndim:
        raise IndexError(f"Dimension specified as {as_ints((dims,))[0]} but tensor has no dimensions")
    at = tuple(wrap_dim(each, input.ndim) for each in as_ints((dims,)))
    if len(at) != len(amounts):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(amounts)}, dims:{len(at)}")
    return _roll(input, amounts, at)


@op(
    name="_repeat",
    node="RepeatBackward0",
    vjp={"self": lambda K, g, self_shape, repeats: _unrepeat(K, g, self_shape, repeats)},
    jvp="linear",
)
def _repeat(K, self: Array, repeats: tuple[int, ...]) -> Array:
    """Tile; there are at least as many `repeats` as dimensions."""
    shape = (1,) * (len(repeats) - len(self.shape)) + tuple(self.shape)
    split_ = tuple(n for pair in zip((1,) * len(shape), shape, strict=True) for n in pair)
    wide = tuple(n for pair in zip(repeats, shape, strict=True) for n in pair)
    tiled = K.broadcast_to(K.reshape(self, split_), wide)
    return K.copy(K.reshape(tiled, tuple(r * n for r, n in zip(repeats, shape, strict=True))))


def _unrepeat(K: Any, g: Any, shape: tuple[int, ...], repeats: tuple[int, ...]) -> Any:
    full = (1,) * (len(repeats) - len(shape)) + tuple(shape)
    wide = tuple(n for pair in zip(repeats, full, strict=True) for n in pair)
    g = K.sum(K.reshape(g, wide), tuple(range(0, len(wide), 2)), False)
    return K.reshape(g, tuple(shape))


@composite
def _repeat_method(input: Tensor, *args: Any, repeats: Sequence[int] | None = None) -> Tensor:
    """A copy tiled along each dimension; more repeats than dimensions add leading ones.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.repeat.html
    """
    counts = as_ints(args if repeats is None else (repeats,))
    if len(counts) < input.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    lead = len(counts) - input.ndim
    as_shape((tuple(n * (input._array.shape[i - lead] if i >= lead else 1) for i, n in enumerate(counts)),))
    return _repeat(input, counts)


@composite
def tile(input: Tensor, *args: Any, dims: Sequence[int] | None = None) -> Tensor:
    """`repeat`, with missing leading repeats taken as 1."""
    if not args and dims is None:
        raise TypeError('tile() missing 1 required positional arguments: "dims"')
    counts = as_ints(args if dims is None else (dims,))
    return _repeat(input, (1,) * (input.ndim - len(counts)) + counts)


def _counts(repeats: Any, n: int, output_size: int | None) -> list[int]:
    """How often each of `n` elements is repeated."""
    is_number = isinstance(repeats, int)
    if not is_number and repeats.dtype not in (int32, int64):
        raise NotImplementedError(f"\"repeat_interleave_cpu\" not implemented for '{repeats.dtype.type_name}'")
    if not is_number and repeats._kernels.meta:
        return _counts_on_meta(n, output_size)
    counts = [repeats] if is_number else [int(each) for each in repeats.reshape(-1).tolist()]
    counts = counts * n if len(counts) == 1 else counts
    if len(counts) != n:
        raise RuntimeError(f"repeats must have the same size as input along dim, but got {len(counts)} and {n}")
    if any(each < 0 for each in counts):
        raise RuntimeError("Repeats must be non-negative" if is_number else "repeats can not be negative")
    if output_size is not None and output_size != sum(counts):
        raise RuntimeError(
            f"repeat_interleave: Invalid output_size, expected {sum(counts)} but got {output_size}"
            if is_number
            else "allocated size does not match required size"
        )
    return counts


def _repeated(repeats: Tensor, n: int, output_size: int | None) -> Tensor:
    """Which element each is that `repeat_interleave` gives, inside `vmap`."""
    from retrograd.ops.counting import searchsorted
    from retrograd.ops.creation import arange

    ends = (repeats if repeats.numel() == n else repeats.expand(n)).cumsum(0)
    if repeats.numel() and extremes(repeats)[0] < 0:
        raise RuntimeError("repeats can not be negative")
    totals = bare(ends[-1]).reshape(-1).tolist() if n else [0]
    for entry, total in enumerate(totals):
        if total != totals[0]:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got [{totals[0]}] at entry 0 and [{total}] at entry "
                f"{entry}"
            )
    if output_size is not None and output_size != totals[0]:
        raise RuntimeError("allocated size does not match required size")
    return searchsorted(ends, arange(totals[0], device=repeats.device), right=True)


def _counts_on_meta(n: int, output_size: int | None) -> list[int]:
    """Any that have the sum."""
    if output_size is None:
        raise RuntimeError("cannot repeat_interleave a meta tensor without output_size")
    return [output_size, *[0] * (n - 1)]


@composite
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """A copy with each element repeated in place, along `dim` or of the flattened tensor.

    With a tensor of counts alone, each position as often as the count there says. `output_size`, how many
    elements there will be, is taken for PyTorch's sake: the counts are known here anyway.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.repeat_interleave.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.repeat_interleave(retrograd.tensor([5, 6]), 2)
    tensor([5, 5, 6, 6])
    >>> retrograd.repeat_interleave(retrograd.tensor([1, 2]))
    tensor([0, 1, 1])
    """
    from retrograd.ops.creation import arange, tensor

    if repeats is None:
        repeats, input = input, arange(input.numel(), device=input.device)
    if dim is None:
        input, dim = flatten(input), 0
    at = wrap_dim(dim, input.ndim)
    repeats = repeats if isinstance(repeats, Tensor) else as_int(repeats)
    if isinstance(repeats, Tensor) and is_mapped(repeats):
        return input.index_select(at, _repeated(repeats, input._array.shape[at], output_size))
    counts = _counts(repeats, input._array.shape[at], output_size)
    if isinstance(repeats, int) and input.ndim:
        shape = tuple(input._array.shape)
        wide = unsqueeze(input, at + 1).expand(*shape[: at + 1], repeats, *shape[at + 1 :])
        return flatten(wide.clone(memory_format=contiguous_format), at, at + 1)
    positions = tensor([i for i, count in enumerate(counts) for _ in range(count)], device=input.device)
    return input.index_select(at, positions.long())


def _triangle(kernel: str) -> Any:
    """Declares an operator that keeps one triangle of matrices, and of their gradients."""
    return op(
        name=kernel,
        graph=kernel,
        node=f"{kernel.title()}Backward0",
        vjp={"self": lambda K, g, diagonal: getattr(K, kernel)(g, diagonal)},
        jvp="linear",
        batch=leading,
        out=True,
    )


@_triangle("tril")
def tril(K, self: Array, diagonal: int = 0) -> Array:
    """The lower triangle of matrices, the rest zero.

    Raises
    ------
    RuntimeError
        If `self` has less than two dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tril.html
    """
    _check_matrices("tril", self)
    return K.tril(self, diagonal)


@_triangle("triu")
def triu(K, self: Array, diagonal: int = 0) -> Array:
    """The upper triangle of matrices, the rest zero.

    Raises
    ------
    RuntimeError
        If `self` has less than two dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.triu.html
    """
    _check_matrices("triu", self)
    return K.triu(self, diagonal)


def _check_matrices(name: str, x: Any) -> None:
    if len(x.shape) < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")


def _batched_undiagonal(B: Any, call: Any, x: Any, shape: Any, offset: int, dim1: int, dim2: int) -> Any:
    by = int(B.of(x).mapped)
    return leading_shaped(B, call, x, shape, offset, dim1 + by, dim2 + by)


@op(
    "undiagonal",
    name="_diag_embed",
    node="DiagEmbedBackward0",
    vjp={"self": lambda K, g, offset, dim1, dim2: K.diagonal(g, offset, dim1, dim2)},
    jvp="linear",
    batch=_batched_undiagonal,
)
def _diag_embed(self: Array, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Array:
    """Zeros of `shape` with a diagonal."""


@composite
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices whose diagonal is the last dimension of `input`."""
    ndim = input.ndim + 1
    offset, axis1, axis2 = as_int(offset), wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)
    if axis1 == axis2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    size = input._array.shape[-1] + abs(offset)
    rest = iter(input._array.shape[:-1])
    shape = tuple(size if i in (axis1, axis2) else next(rest) for i in range(ndim))
    return _diag_embed(input, shape, offset, axis1, axis2)


def _batched_diagonal(B: Any, call: Any, x: Any, offset: int, dim1: int, dim2: int) -> Any:
    by = int(B.of(x).mapped)
    return leading(B, call, x, offset, dim1 + by, dim2 + by)


@op(
    "diagonal",
    name="_diagonal_copy",
    node="DiagonalBackward0_copy",
    vjp={"self": lambda K, g, self_shape, offset, dim1, dim2: K.undiagonal(g, self_shape, offset, dim1, dim2)},
    jvp="linear",
    batch=_batched_diagonal,
)
def _diagonal_copy(K, self: Array, offset: int, dim1: int, dim2: int) -> Array:
    """A copied diagonal."""
    return K.copy(K.diagonal(self, offset, dim1, dim2))


@composite
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with a given diagonal.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.diag.html
    """
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    return _diagonal_copy(input, as_int(diagonal), 0, 1)


@composite
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """`diag` of the flattened tensor."""
    return diag_embed(flatten(input), offset)


def _batched_pad(B: Any, call: Any, x: Any, widths: tuple[tuple[int, int], ...], value: float, pad: Any = ()) -> Any:
    return leading(B, call, x, ((0, 0), *widths) if B.of(x).mapped else widths, value, pad)


def _padded(K: Any, x: Any, widths: tuple[tuple[int, int], ...], value: Any) -> Any:
    """Surrounded with `value`; where a width is negative, that much is cut off."""
    cut, widths = _cut(K, x, widths)
    return K.pad(cut, widths, value)


def _cut(K: Any, x: Any, widths: tuple[tuple[int, int], ...]) -> tuple[Any, tuple[tuple[int, int], ...]]:
    """What negative widths leave, and the others."""
    if all(before >= 0 and after >= 0 for before, after in widths):
        return x, widths
    kept = zip(widths, x.shape, strict=True)
    x = K.slice(x, tuple(slice(max(-before, 0), n - max(-after, 0)) for (before, after), n in kept))
    return x, tuple((max(before, 0), max(after, 0)) for before, after in widths)


def _unpadded(K: Any, g: Any, widths: tuple[tuple[int, int], ...]) -> Any:
    """The gradient: as much is cut off as was put around, and the other way round."""
    cut, widths = _cut(K, g, tuple((-before, -after) for before, after in widths))
    return K.pad(cut, widths, 0) if any(map(any, widths)) else cut


@op(
    name="_constant_pad",
    node="ConstantPadNdBackward0",
    vjp={"self": lambda K, g, widths: _unpadded(K, g, widths)},
    jvp={"self": lambda K, t, widths: _padded(K, t, widths, 0)},
    graph="pad",
    batch=_batched_pad,
    kept=("pad",),
)
def _constant_pad(
    K, self: Array, widths: tuple[tuple[int, int], ...], value: float, pad: tuple[int, ...] = ()
) -> Array:
    """`_padded`; `widths` follow from what `pad` says of the last axes."""
    return _padded(K, self, widths, value)
