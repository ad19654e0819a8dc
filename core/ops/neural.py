"""Convolution, pooling, embedding and padding: the operators behind `retrograd.nn.functional`'s.

Note [Adjoint pairs]
    Each of these is linear in each of its inputs, and so its derivative formulas are its adjoints;
    the adjoints' derivatives are the operator itself again. A pair of operators that name each
    other in their formulas is therefore differentiable any number of times. The convolution has
    three: itself, and its adjoints in the input and in the weight.

Layout is PyTorch's: input (N, C, *spatial), weight (O, C / groups, *kernel). Settings (stride,
padding, dilation, ...) are tuples with one int per spatial axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from retrograd.backends import resampling, windows
from retrograd.ops import batching_windows
from retrograd.ops.batching import along, each_leading, folded, leading, leading_shaped, shared
from retrograd.ops.declare import Array, Raw, op, op_of
from retrograd.ops.fused import fused
from retrograd.ops.graph import G, graph_kernel
from retrograd.ops.reducing import as_dtype

__all__: list[str] = []

Ints = tuple[int, ...]


def _declare_depending(node: str) -> Callable[..., Any]:
    """What makes a gradient depend on where it was taken, as PyTorch's do of operators that are linear there.

    Its derivative by that is zero, and not none at all.
    """

    @op(
        name=f"_{node}_gradient",
        node=f"{node}BackwardBackward0",
        vjp={"grad": lambda K, g: g, "self": lambda K, g, self: K.zeros_like(self)},
        jvp={"grad": lambda K, t: t, "self": lambda K, t, grad: K.zeros_like(grad)},
    )
    def depending(K, grad: Array, self: Array) -> Array:
        """`grad`."""
        return K.copy(grad)

    def on_tensors(K: Any, grad: Any, self: Any) -> Any:
        return depending(grad, self) if K is G else grad

    return on_tensors


# -- convolution -------------------------------------------------------------------------------


def _channel_sum(K: Any, g: Any) -> Any:
    """The sum over all axes but the channels'."""
    return K.sum(g, tuple(i for i in range(len(g.shape)) if i != 1), False)


def _channels(K: Any, bias: Any, input_shape: Ints) -> Any:
    """A number for each channel, to be broadcast."""
    return K.reshape(bias, (1, -1) + (1,) * (len(input_shape) - 2))


def _add_channels(K: Any, out: Any, bias: Any) -> Any:
    return out if bias is None else out + K.reshape(bias, (1, -1) + (1,) * (len(out.shape) - 2))


@op(
    name="_convolution",
    node="ConvolutionBackward0",
    vjp={
        "input": lambda K, g, weight, input_shape, stride, padding, dilation, groups: K.convolution_input(
            g, weight, input_shape, stride, padding, dilation, groups
        ),
        "weight": lambda K, g, input, weight_shape, stride, padding, dilation, groups: K.convolution_weight(
            g, input, weight_shape, stride, padding, dilation, groups
        ),
        "bias": _channel_sum,
    },
    jvp={
        "input": lambda K, t, weight, stride, padding, dilation, groups: K.convolution(
            t, weight, stride, padding, dilation, groups
        ),
        "weight": lambda K, t, input, stride, padding, dilation, groups: K.convolution(
            input, t, stride, padding, dilation, groups
        ),
        "bias": _channels,
    },
    kept=("bias_shape",),
)
def _convolution(
    K,
    input: Array,
    weight: Array,
    bias: Array | None,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
) -> Array:
    """Cross-correlation, with a bias for each output channel."""
    return _add_channels(K, K.convolution(input, weight, stride, padding, dilation, groups), bias)


@graph_kernel("convolution", batch=batching_windows.convolution)
def _graph_convolution(x: Any, w: Any, *settings: Any) -> Any:
    return _convolution(x, w, None, *settings)


@op(
    "convolution_input",
    name="_convolution_input",
    node="ConvolutionBackwardBackward0",
    vjp={
        "grad": lambda K, g, weight, stride, padding, dilation, groups: K.convolution(
            g, weight, stride, padding, dilation, groups
        ),
        "weight": lambda K, g, grad, weight_shape, stride, padding, dilation, groups: K.convolution_weight(
            grad, g, weight_shape, stride, padding, dilation, groups
        ),
    },
    jvp="multilinear",
    batch=batching_windows.convolution_input,
)
def _convolution_input(
    grad: Array, weight: Array, input_shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Array:
    """The adjoint of the convolution in its input."""


@op(
    "convolution_weight",
    name="_convolution_weight",
    node="ConvolutionBackwardBackward0",
    vjp={
        "grad": lambda K, g, input, stride, padding, dilation, groups: K.convolution(
            input, g, stride, padding, dilation, groups
        ),
        "input": lambda K, g, grad, input_shape, stride, padding, dilation, groups: K.convolution_input(
            grad, g, input_shape, stride, padding, dilation, groups
        ),
    },
    jvp="multilinear",
    batch=batching_windows.convolution_weight,
)
def _convolution_weight(
    grad: Array, input: Array, weight_shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Array:
    """The adjoint of the convolution in its weight."""


@op(
    name="_transposed_convolution",
    node="ConvolutionBackward0",
    vjp={
        "input": lambda K, g, weight, stride, padding, dilation, groups: K.convolution(
            g, weight, stride, padding, dilation, groups
        ),
        "weight": lambda K, g, input, weight_shape, stride, padding, dilation, groups: K.convolution_weight(
            input, g, weight_shape, stride, padding, dilation, groups
        ),
        "bias": _channel_sum,
    },
    jvp={
        "input": lambda K, t, weight, shape, stride, padding, dilation, groups: K.convolution_input(
            t, weight, shape, stride, padding, dilation, groups
        ),
        "weight": lambda K, t, input, shape, stride, padding, dilation, groups: K.convolution_input(
            input, t, shape, stride, padding, dilation, groups
        ),
        "bias": _channels,
    },
    kept=("bias_shape", "output_padding"),
)
def _transposed_convolution(
    K, input: Array, weight: Array, bias: Array | None, shape: Ints, stride: Ints, padding: Ints, dilation: Ints,
    groups: int, output_padding: Ints,
) -> Array:  # fmt: skip
    """The adjoint of the convolution in its input, used forward; `shape` is the result's."""
    return _add_channels(K, K.convolution_input(input, weight, shape, stride, padding, dilation, groups), bias)


# -- max pooling -------------------------------------------------------------------------------


def _flat(K: Any, x: Any, axes: int) -> Any:
    """The last `axes` axes as one."""
    lead = tuple(x.shape[: len(x.shape) - axes])
    return K.reshape(x, (*lead, math.prod(x.shape[len(lead) :])))


@op(
    name="_unpool",
    node="MaxPoolBackwardBackward0",
    vjp={"grad": lambda K, g, indices, axes: _pool_again(K, g, indices, axes)},
    jvp="linear",
    batch=batching_windows.unpool,
)
def _unpool(K, grad: Array, indices: Array, shape: Ints, axes: int, disjoint: bool) -> Array:
    """Zeros of `shape` with `grad` added at the positions that the pool had chosen."""
    zeros = _flat(K, K.zeros(shape, grad.dtype), axes)
    put = K.scatter if disjoint else K.scatter_add
    return K.reshape(put(zeros, _flat(K, indices, axes), _flat(K, grad, axes), len(zeros.shape) - 1), shape)


@op(
    name="_choose",
    node="MaxPoolBackward0",
    vjp={"self": lambda K, g, indices, self_shape, axes: fused(_unpool)(K, g, indices, self_shape, axes, False)},
    jvp="linear",
    batch=each_leading,
)
def _choose(K, self: Array, indices: Array, axes: int) -> Array:
    """What stands at `indices`, positions in the last `axes` axes as one."""
    flat = _flat(K, self, axes)
    picked = K.gather(flat, _flat(K, indices, axes), len(flat.shape) - 1)
    return K.reshape(picked, tuple(indices.shape))


def _pool_again(K: Any, g: Any, indices: Any, axes: int) -> Any:
    return fused(_choose)(K, g, indices, axes)


def _max_pool_vjp(
    K: Any, g: Any, self: Any, result1: Any, self_shape: Ints, kernel: Ints, stride: Ints, dilation: Ints
) -> Any:
    disjoint = all(s > (k - 1) * d for k, s, d in zip(kernel, stride or kernel, dilation, strict=True))
    gradient = fused(_unpool)(K, g[0], result1, self_shape, len(kernel), disjoint)
    return _max_pools_depending[len(kernel)](K, gradient, self)


_max_pools_depending = {dims: _declare_depending(f"MaxPool{dims}DWithIndices") for dims in (2, 3)}


def _declare_max_pool(dims: int) -> Any:
    @op(
        "max_pool",
        name=f"_max_pool{dims}d",
        node=f"MaxPool{dims}DWithIndicesBackward0",
        outputs=2,
        differentiable=1,
        graph=f"max_pool{dims}d",
        vjp={"self": _max_pool_vjp},
        jvp={"self": lambda K, t, result1, kernel: (fused(_choose)(K, t, result1, len(kernel)), None)},
        batch=leading,
        kept=("padding", "ceil_mode"),
    )
    def max_pool(
        K, self: Array, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool
    ) -> tuple[Array, Array]:
        """The largest element of each window, and its position in the spatial axes as one.

        Windows without a `stride` stand side by side.
        """
        return K.max_pool(self, kernel, stride or kernel, padding, dilation, ceil_mode)

    return max_pool


_max_pools = {dims: _declare_max_pool(dims) for dims in (2, 3)}


def _declare_adaptive_max_pool(dims: int) -> Any:
    depending = _declare_depending(f"AdaptiveMaxPool{dims}D")

    @op(
        name=f"_adaptive_max_pool{dims}d",
        node=f"AdaptiveMaxPool{dims}DBackward0",
        outputs=2,
        differentiable=1,
        vjp={
            "self": lambda K, g, self, result1, self_shape, size: depending(
                K, fused(_unpool)(K, g[0], result1, self_shape, len(size), False), self
            )
        },
        jvp={"self": lambda K, t, result1, size: (fused(_choose)(K, t, result1, len(size)), None)},
        batch=leading,
    )
    def adaptive_max_pool(K, self: Array, size: Ints) -> tuple[Array, Array]:
        """The largest element of each of `size` parts of the spatial axes, and its position."""
        axes = len(size)
        lead, spatial = tuple(self.shape[:-axes]), tuple(self.shape[-axes:])
        if 0 in size:
            nothing = (*lead, *size)
            return K.zeros(nothing, self.dtype), K.zeros(nothing, K.dtypes["int64"])
        if all(n % m == 0 for n, m in zip(spatial, size, strict=True)):  # all parts are of one size
            kernel = tuple(n // m for n, m in zip(spatial, size, strict=True))
            return K.max_pool(self, kernel, kernel, (0,) * axes, (1,) * axes, False)
        positions = K.reshape(K.arange(0, math.prod(spatial), 1, K.dtypes["int64"]), (1,) * len(lead) + spatial)
        values, places = [], []
        for part in _parts(spatial, size):
            key = (slice(None),) * len(lead) + part
            block = _flat(K, K.slice(self, key), axes)
            where = _flat(K, K.broadcast_to(K.slice(positions, key), (*lead, *_lengths(part))), axes)
            best = K.argmax(block, len(lead), True)
            values.append(K.gather(block, best, len(lead)))
            places.append(K.gather(where, best, len(lead)))
        shape = (*lead, *size)
        return K.reshape(K.concat(values, len(lead)), shape), K.reshape(K.concat(places, len(lead)), shape)

    return adaptive_max_pool


def _lengths(part: tuple[slice, ...]) -> Ints:
    return tuple(each.stop - each.start for each in part)


def _parts(spatial: Ints, size: Ints) -> list[tuple[slice, ...]]:
    """The windows of an adaptive pool, in row-major order of its result."""
    found: list[tuple[slice, ...]] = [()]
    for n, m in zip(spatial, size, strict=True):
        edges = [slice(i * n // m, -((i + 1) * n // -m)) for i in range(m)]
        found = [(*each, edge) for each in found for edge in edges]
    return found


_adaptive_max_pools = {dims: _declare_adaptive_max_pool(dims) for dims in (2, 3)}


# -- average pooling ---------------------------------------------------------------------------

PoolSettings = tuple[Ints, Ints, Ints, bool, bool, int | None]
"""Kernel, stride (none: that of the kernel), padding, whether to round up and to count the padding, divisor."""


def _windows(settings: PoolSettings) -> tuple[Ints, Ints]:
    """The size and the stride of the windows."""
    return settings[0], settings[1] or settings[0]


def _pool_divisor(K: Any, spatial: Ints, out: Ints, settings: PoolSettings, dtype: Any) -> Any:
    """What the sum of each window is divided by: one number, or an array of shape `out`."""
    kernel, stride = _windows(settings)
    padding, ceil_mode, counts_padding, divisor = settings[2:]
    if divisor is not None:
        return divisor
    if (counts_padding and not ceil_mode) or (not any(padding) and not ceil_mode):
        return math.prod(kernel)
    total = None
    for axis, (n, m, k, s, p) in enumerate(zip(spatial, out, kernel, stride, padding, strict=True)):
        starts = [i * s - p for i in range(m)]
        # A window that hangs over the padding's end counts only what is inside of it.
        ends = [min(start + k, n + p) for start in starts]
        if counts_padding:
            sizes = [end - start for start, end in zip(starts, ends, strict=True)]
        else:
            sizes = [min(end, n) - max(start, 0) for start, end in zip(starts, ends, strict=True)]
        along = K.reshape(K.stack([K.full((), size, dtype) for size in sizes], 0), (m,) + (1,) * (len(out) - axis - 1))
        total = along if total is None else total * along
    return total


@lru_cache(1024)
def _pool_geometry(
    spatial: Ints, settings: PoolSettings
) -> tuple[Ints, tuple[tuple[int, int], ...], list[tuple[slice, ...]]]:
    """The result's spatial shape, how much to pad around the input, if anything, and what each tap sees of that."""
    kernel, stride = _windows(settings)
    padding, ceil_mode = settings[2:4]
    ones = (1,) * len(kernel)
    out = windows.pooled(spatial, kernel, stride, padding, ones, ceil_mode)
    around = windows.ceil_padding(spatial, out, kernel, stride, padding, ones)
    taps = [windows.taps(offset, out, stride) for offset in windows.offsets(kernel, ones)]
    return out, around if any(any(each) for each in around) else (), taps


@op(
    name="_avg_unpool",
    node="AvgPoolBackwardBackward0",
    vjp={"grad": lambda K, g, settings: fused(_avg_pools[len(settings[0])])(K, g, settings)},
    jvp="linear",
    batch=leading_shaped,
)
def _avg_unpool(K, grad: Array, shape: Ints, settings: PoolSettings) -> Array:
    """Each element of `grad` spread over its window: the adjoint of the average pool."""
    axes = len(settings[0])
    lead, spatial = shape[:-axes], shape[-axes:]
    out, around, taps = _pool_geometry(spatial, settings)
    part = grad / _pool_divisor(K, spatial, out, settings, grad.dtype)
    padded = (
        tuple(n + before + after for n, (before, after) in zip(spatial, around, strict=True)) if around else spatial
    )
    whole = (slice(None),) * len(lead)
    total = None
    for tap in taps:
        each = K.unslice(part, (*lead, *padded), (*whole, *tap))
        total = each if total is None else total + each
    if not around:
        return total
    inner = tuple(slice(before, before + n) for n, (before, _) in zip(spatial, around, strict=True))
    return K.slice(total, (*whole, *inner))


def _declare_avg_pool(dims: int) -> Any:
    depending = _declare_depending(f"AvgPool{dims}D")

    @op(
        name=f"_avg_pool{dims}d",
        node=f"AvgPool{dims}DBackward0",
        vjp={
            "self": lambda K, g, self, self_shape, settings: depending(
                K, fused(_avg_unpool)(K, g, self_shape, settings), self
            )
        },
        jvp="linear",
        batch=leading,
    )
    def avg_pool(K, self: Array, settings: PoolSettings) -> Array:
        """The mean of each window."""
        axes = len(settings[0])
        lead, spatial = len(self.shape) - axes, tuple(self.shape[-axes:])
        out, around, taps = _pool_geometry(spatial, settings)
        if around:
            self = K.pad(self, ((0, 0),) * lead + around, 0)
        total, self = None, K.row_major(self)
        whole = (slice(None),) * lead
        for tap in taps:
            seen = K.slice(self, whole + tap)
            total = seen if total is None else total + seen
        return as_dtype(K, total / _pool_divisor(K, spatial, out, settings, self.dtype), self.dtype)

    return avg_pool


_avg_pools: dict[int, Callable[..., Any]] = {dims: _declare_avg_pool(dims) for dims in (2, 3)}


def _declare_adaptive_avg_pool(dims: int) -> Any:
    @op(
        name=f"_adaptive_avg_unpool{dims}d",
        node=f"AdaptiveAvgPool{dims}DBackwardBackward0",
        vjp={"grad": lambda K, g, grad_shape: fused(_adaptive_avg_pools[dims])(K, g, tuple(grad_shape[-dims:]))},
        jvp="linear",
        batch=leading_shaped,
    )
    def unpool(K, grad: Array, shape: Ints) -> Array:
        """The adjoint of the adaptive average pool."""
        for axis in range(len(shape) - dims, len(shape)):
            matrix = _averages(K, shape[axis], grad.shape[axis], grad.dtype)
            grad = _along(K, grad, matrix, axis)
        return grad

    depending = _declare_depending(f"AdaptiveAvgPool{dims}D")

    @op(
        name=f"_adaptive_avg_pool{dims}d",
        node=f"AdaptiveAvgPool{dims}DBackward0",
        vjp={"self": lambda K, g, self, self_shape: depending(K, fused(unpool)(K, g, self_shape), self)},
        jvp="linear",
        batch=leading,
    )
    def pool(K, self: Array, size: Ints) -> Array:
        """The mean of each of `size` parts of the spatial axes, which may overlap by one element."""
        for i, m in enumerate(size):
            axis = len(self.shape) - dims + i
            self = _along(K, self, K.permute_dims(_averages(K, self.shape[axis], m, self.dtype), (1, 0)), axis)
        return self

    return pool


def _averages(K: Any, n: int, m: int, dtype: Any) -> Any:
    """The matrix (n, m) whose columns average the parts of an axis."""
    start = K.reshape(K.arange(0, m, 1, K.dtypes["int64"]), (1, m))
    position = K.reshape(K.arange(0, n, 1, K.dtypes["int64"]), (n, 1))
    first = K.floor_divide(start * n, m)
    end = -K.floor_divide(-((start + 1) * n), m)
    inside = K.astype(K.logical_and(position >= first, position < end), dtype)
    return inside / K.astype(end - first, dtype)


def _along(K: Any, x: Any, matrix: Any, axis: int) -> Any:
    """`matrix @ x` along one axis of `x`."""
    last = len(x.shape) - 1
    axes = (*(i for i in range(last + 1) if i != axis), axis)
    moved = K.permute_dims(x, axes)
    lead = tuple(moved.shape[:-1])
    product = K.matmul(K.reshape(moved, (math.prod(lead), moved.shape[-1])), K.permute_dims(matrix, (1, 0)))
    back = [0] * (last + 1)
    for i, each in enumerate(axes):
        back[each] = i
    return K.permute_dims(K.reshape(product, (*lead, matrix.shape[0])), tuple(back))


_adaptive_avg_pools = {dims: _declare_adaptive_avg_pool(dims) for dims in (2, 3)}


# -- embedding ---------------------------------------------------------------------------------


@op(
    name="_embedding_gradient",
    node="EmbeddingBackwardBackward0",
    vjp={"grad": lambda K, g, indices, padding: fused(_embed_masked)(K, g, indices, padding)},
    jvp="linear",
)
def _embedding_gradient(K, grad: Array, indices: Array, rows: int, padding: int) -> Array:
    """Rows of `grad` added up by `indices`; those of the padding do not count."""
    kept = _without_padding(K, grad, indices, padding)
    return K.index_put(K.zeros((rows, grad.shape[-1]), grad.dtype), (indices,), kept, True)


def _without_padding(K: Any, rows: Any, indices: Any, padding: int) -> Any:
    if padding < 0:
        return rows
    mask = K.reshape(indices != padding, (*indices.shape, 1))
    return K.where(mask, rows, K.zeros_like(rows))


def _batched_rows(B: Any, call: Any, weight: Any, indices: Any, padding: int) -> Any:
    """Rows of one table for all samples; of a table for each, the body takes."""
    tables = shared(B, weight)
    return NotImplemented if tables is None else leading(B, lambda at: call(*tables, at, padding), indices)


@op(
    name="_embed_masked",
    node="EmbeddingBackward0",
    vjp={
        "weight": lambda K, g, indices, weight_shape, padding: fused(_embedding_gradient)(
            K, g, indices, weight_shape[0], padding
        )
    },
    jvp="linear",
    batch=_batched_rows,
)
def _embed_masked(K, weight: Array, indices: Array, padding: int) -> Array:
    """Rows of `weight`, zeros for the padding: the adjoint of the gradient."""
    return _without_padding(K, K.index(weight, (indices,)), indices, padding)


@op(
    name="_embedding",
    node="EmbeddingBackward0",
    vjp={
        "weight": lambda K, g, indices, weight_shape, padding: fused(_embedding_gradient)(
            K, g, indices, weight_shape[0], padding
        )
    },
    jvp="linear",
    batch=_batched_rows,
)
def _embedding(K, weight: Array, indices: Array, padding: int) -> Array:
    """Rows of `weight`; the padding's row gets no gradient."""
    return K.index(weight, (indices,))


def _rows_gradient(K: Any, g: Any, indices: Any, rows: int, padding: int, by_frequency: bool, sparse: bool) -> Any:
    from retrograd.sparse.gradients import rows_by_frequency, rows_gradient

    if not sparse:
        return fused(_embedding_gradient)(K, rows_by_frequency(K, g, indices, rows), indices, rows, padding)
    if by_frequency:
        raise RuntimeError("embedding_backward: scale_grad_by_freq not supported with sparse gradients")
    return rows_gradient(K, g, indices, rows, padding)


@op(
    name="_embedding_as",
    node="EmbeddingBackward0",
    vjp={
        "weight": lambda K, g, indices, weight_shape, padding, scale_grad_by_freq, sparse: _rows_gradient(
            K, g, indices, weight_shape[0], padding, scale_grad_by_freq, sparse
        )
    },
    jvp="linear",
    batch=lambda B, call, weight, indices, padding, *options: _batched_rows(
        B, lambda *given: call(*given, *options), weight, indices, padding
    ),
)
def _embedding_as(K, weight: Array, indices: Array, padding: int, scale_grad_by_freq: bool, sparse: bool) -> Array:
    """`_embedding` whose gradient is sparse, or has each row divided by how often it was taken."""
    return K.index(weight, (indices,))


op_of(_embedding_as).compiles = False


# -- padding by the tensor's own elements, and resampling --------------------------------------


def _batched_unresample(B: Any, call: Any, grad: Any, shape: Ints, axes: Ints, positions: tuple[Ints, ...]) -> Any:
    by = int(B.of(grad).mapped)
    return leading_shaped(B, call, grad, shape, tuple(each + by for each in axes), positions)


Told = tuple[Any, ...]
"""The arguments of a resampling that `axes` and `positions` or `matrices` have been made of; nodes show them."""


def _declare_resample(node: str) -> Any:
    """A linear map that takes each element of the result from one element of each of several axes."""
    depending = _declare_depending(node)
    is_pad = "Pad" in node  # of which PyTorch's gradient depends on the input, that of resampling does not

    @op(
        name=f"_un{node}",
        node=f"{node}BackwardBackward0",
        vjp={"grad": lambda K, g, axes, positions: fused(made)(K, g, axes, positions, ())},
        jvp="linear",
        batch=_batched_unresample,
    )
    def unresample(K, grad: Array, shape: Ints, axes: Ints, positions: tuple[Ints, ...]) -> Array:
        """Adds what was taken back to where it came from."""
        for axis, position in zip(reversed(axes), reversed(positions), strict=True):
            sizes = (*grad.shape[:axis], shape[axis], *grad.shape[axis + 1 :])
            if (times := _repeats(position, shape[axis])) is not None:
                parts = K.reshape(grad, (*grad.shape[:axis], shape[axis], times, *grad.shape[axis + 1 :]))
                grad = K.sum(parts, (axis + 1,), False)
                continue
            grad = K.index_put(K.zeros(sizes, grad.dtype), (None,) * axis + (_index(K, position),), grad, True)
        return grad

    @op(
        name=f"_{node}",
        node=f"{node}Backward0",
        vjp={
            "self": (
                lambda K, g, self, self_shape, axes, positions: depending(
                    K, fused(unresample)(K, g, self_shape, axes, positions), self
                )
            )
            if is_pad
            else (lambda K, g, self_shape, axes, positions: fused(unresample)(K, g, self_shape, axes, positions))
        },
        jvp="linear",
        batch=along,
        kept=("told",),
    )
    def made(K, self: Array, axes: Ints, positions: tuple[Ints, ...], told: Told = ()) -> Array:
        """Takes element `positions[i][j]` for place j along axis `axes[i]`."""
        shares = True
        for axis, position in zip(axes, positions, strict=True):
            before, n, after = tuple(self.shape[:axis]), self.shape[axis], tuple(self.shape[axis + 1 :])
            if (times := _repeats(position, n)) is not None:
                spread = K.broadcast_to(K.reshape(self, (*before, n, 1, *after)), (*before, n, times, *after))
                self = K.reshape(spread, (*before, n * times, *after))
                shares = shares and (n == 1 or times == 1)
                continue
            self, shares = K.index(self, (None,) * axis + (_index(K, position),)), False
        return K.copy(self) if shares else self

    return made


def _index(K: Any, position: Ints) -> Any:
    return K.from_host(resampling.positions(position))


@lru_cache(maxsize=256)
def _repeats(position: Ints, n: int) -> int | None:
    """How often each of `n` elements is taken, if that is the same for all, and in their order."""
    times, rest = divmod(len(position), max(n, 1))
    same = not rest and times and position == tuple(i // times for i in range(len(position)))
    return times if same else None


_resamples = {
    node: _declare_resample(node)
    for node in (
        *(f"{kind}Pad{dims}D" for kind in ("Reflection", "Replication") for dims in (1, 2, 3)),
        *(f"UpsampleNearest{exact}{dims}D" for exact in ("", "Exact") for dims in (1, 2, 3)),
    )
}


def _declare_weighted(node: str) -> Any:
    """Resampling by a matrix along each axis, such as bilinear interpolation."""

    @op(
        name=f"_un{node}",
        node=f"{node}BackwardBackward0",
        vjp={"grad": lambda K, g, axes, matrices: fused(made)(K, g, axes, matrices, ())},
        jvp="linear",
    )
    def unweighted(K, grad: Array, axes: Ints, matrices: Raw) -> Array:
        """The adjoint."""
        for axis, matrix in zip(reversed(axes), reversed(matrices), strict=True):
            grad = _along(K, grad, K.permute_dims(matrix, (1, 0)), axis)
        return grad

    @op(
        name=f"_{node}",
        node=f"{node}Backward0",
        vjp={"self": lambda K, g, axes, matrices: fused(unweighted)(K, g, axes, matrices)},
        jvp="linear",
        kept=("self_shape", "told"),
    )
    def made(K, self: Array, axes: Ints, matrices: Raw, told: Told = ()) -> Array:
        """`matrices[i]` (new size, old size) applied along axis `axes[i]`."""
        for axis, matrix in zip(axes, matrices, strict=True):
            self = _along(K, self, matrix, axis)
        return self

    return made


_weighted = {
    node: _declare_weighted(node)
    for node in (
        *("UpsampleLinear1D", "UpsampleBilinear2D", "UpsampleBicubic2D", "UpsampleTrilinear3D"),
        *("UpsampleBilinear2DAa", "UpsampleBicubic2DAa"),
    )
}


# -- columns -----------------------------------------------------------------------------------

Columns = tuple[Ints, Ints, Ints, Ints]  # kernel, dilation, padding, stride


@op(
    name="_fold",
    node="Col2ImBackward0",
    vjp={"self": lambda K, g, settings: fused(_unfold)(K, g, settings)},
    jvp="linear",
    batch=folded,
)
def _fold(K, self: Array, size: Ints, settings: Columns) -> Array:
    """Columns (N, C * taps, windows) added up into images (N, C, *size)."""
    kernel, dilation, padding, stride = settings
    out = windows.convolved(size, kernel, stride, padding, dilation)
    count = math.prod(kernel)
    n, channels = self.shape[0], self.shape[1] // count
    taps = K.reshape(self, (n, channels, count, *out))
    padded = tuple(m + 2 * p for m, p in zip(size, padding, strict=True))
    total = None
    for i, offset in enumerate(windows.offsets(kernel, dilation)):
        tap = K.slice(taps, (slice(None), slice(None), i))
        key = (slice(None), slice(None), *windows.taps(offset, out, stride))
        each = K.unslice(tap, (n, channels, *padded), key)
        total = each if total is None else total + each
    inner = tuple(slice(p, p + m) for p, m in zip(padding, size, strict=True))
    return K.row_major(K.slice(total, (slice(None), slice(None), *inner)))


@op(
    name="_unfold",
    node="Im2ColBackward0",
    vjp={"self": lambda K, g, self_shape, settings: fused(_fold)(K, g, tuple(self_shape[2:]), settings)},
    jvp="linear",
    batch=folded,
)
def _unfold(K, self: Array, settings: Columns) -> Array:
    """Images (N, C, *size) as columns (N, C * taps, windows)."""
    kernel, dilation, padding, stride = settings
    n, channels, *size = self.shape
    out = windows.convolved(tuple(size), kernel, stride, padding, dilation)
    padded = K.pad(self, ((0, 0), (0, 0), *((p, p) for p in padding)), 0)
    taps = [
        K.slice(padded, (slice(None), slice(None), *windows.taps(offset, out, stride)))
        for offset in windows.offsets(kernel, dilation)
    ]
    return K.reshape(K.stack(taps, 2), (n, channels * len(taps), math.prod(out)))
