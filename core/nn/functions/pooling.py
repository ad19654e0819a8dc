"""Pools: what is largest in a window, or its mean."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from retrograd.dtypes import Category, int64
from retrograd.nn.functions.pool_checks import (
    adaptive_size,
    check_adaptive,
    check_filled,
    check_line,
    check_rank,
    check_shape,
    check_type,
    check_unpool,
    check_windows,
    settings,
)
from retrograd.ops.arguments import as_int, expand_pair
from retrograd.ops.autocasting import widened
from retrograd.ops.flags import no_flag
from retrograd.ops.grouped import one_node
from retrograd.ops.neural import (
    _adaptive_avg_pools,
    _adaptive_max_pools,
    _avg_pools,
    _max_pools,
    _unpool,
)
from retrograd.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d", "adaptive_max_pool3d_with_indices", "avg_pool1d", "avg_pool2d", "avg_pool3d", "lp_pool1d",
    "lp_pool2d", "lp_pool3d", "max_pool1d", "max_pool1d_with_indices", "max_pool2d", "max_pool2d_with_indices",
    "max_pool3d", "max_pool3d_with_indices", "max_unpool1d", "max_unpool2d", "max_unpool3d",
]  # fmt: skip

Pair = int | Sequence[int]


def _max_pool(
    dims: int, input: Tensor, kernel_size: Pair, stride: Any, padding: Pair, dilation: Pair, ceil_mode: bool,
    return_indices: bool,
) -> Any:  # fmt: skip
    if type(ceil_mode) is not bool:
        raise no_flag(f"max_pool{dims}d{'_with_indices' * bool(return_indices)}", "ceil_mode", ceil_mode, 6)
    name = f"max_pool{dims}d"
    is_line = dims == 1 and not return_indices
    if is_line:
        check_shape(input)
    kernel, strides, pads, dilations = settings(
        name, dims, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation
    )
    if is_line:
        check_line(input, kernel[0], strides[0], pads[0], dilations[0], ceil_mode)
        check_type("max_pool1d_impl", input)
    else:
        check_rank(name, input, dims)
    given = strides if stride else ()
    if dims == 1:  # as an image of height one, as in PyTorch
        input = input.unsqueeze(-2)
        kernel, strides, pads, dilations = ((first, *each) for first, each in zip(
            (1, 1, 0, 1), (kernel, strides, pads, dilations), strict=True
        ))  # fmt: skip
        given = strides
    check_windows(name, input.shape, kernel, strides, pads, dilations, ceil_mode)
    check_type(f"max_pool{len(kernel)}d", input, input.dtype.category is Category.INTEGER)
    values, places = _max_pools[len(kernel)](input, kernel, given, pads, dilations, ceil_mode)
    if dims == 1:
        values = values.squeeze(-2)
        places = places.squeeze(-2) if return_indices else places
    return (values, places) if return_indices else values


def max_pool1d(
    input: Tensor, kernel_size: Pair, stride: Any = None, padding: Pair = 0, dilation: Pair = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window along one dimension; see `max_pool2d`."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor, kernel_size: Pair, stride: Any = None, padding: Pair = 0, dilation: Pair = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window.

    Shapes: input (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    stride
        The distance between windows; `kernel_size` by default.
    padding
        How much is added around the input, less than anything in it.
    ceil_mode
        Let a last window hang over the end.
    return_indices
        Also give the positions in the flattened image.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool2d.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.functional.max_pool2d(retrograd.arange(4.0).reshape(1, 1, 2, 2), 2)
    tensor([[[[3.]]]])
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor, kernel_size: Pair, stride: Any = None, padding: Pair = 0, dilation: Pair = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window in three dimensions; see `max_pool2d`."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _max_unpool(
    dims: int, input: Tensor, indices: Tensor, kernel_size: Pair, stride: Any, padding: Pair, output_size: Any
) -> Tensor:
    kernel = expand_pair(kernel_size, dims, "kernel_size")
    strides = kernel if stride is None or stride in ((), []) else expand_pair(stride, dims, "stride")
    pads = expand_pair(padding, dims, "padding")
    default = [
        (input.shape[i - dims] - 1) * s - 2 * p + k
        for i, (k, s, p) in enumerate(zip(kernel, strides, pads, strict=True))
    ]
    size = default if output_size is None else list(output_size)[-dims:]
    for i, (got, near, s) in enumerate(zip(size, default, strides, strict=True)):
        if output_size is not None and not near - s < got < near + s:
            raise ValueError(f'invalid output_size "{tuple(size)}" (dim {i} must be between {near - s} and {near + s})')
    if dims == 1:  # as an image of width one, as in PyTorch
        size = [*size, 1]
        input, indices, strides = input.unsqueeze(-1), indices.unsqueeze(-1), (*strides, 1)
        check_unpool(input, indices, tuple(size), strides)
        return _unpooled_images(input, indices, (*input.shape[:-2], *size)).squeeze(-1)
    check_unpool(input, indices, tuple(size), strides)
    unpooled = _unpooled_images if dims == 2 else _unpooled_volumes
    return unpooled(input, indices, (*input.shape[:-dims], *size))


@one_node("MaxUnpool2DBackward0", "input", saves="indices")
def _unpooled_images(input: Tensor, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
    return _unpool(input, indices, shape, 2, True)


@one_node("MaxUnpool3DBackward0", "input", saves="indices")
def _unpooled_volumes(input: Tensor, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
    return _unpool(input, indices, shape, 3, True)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Pair,
    stride: Any = None,
    padding: Pair = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros with the elements of `input` where `max_pool1d` found them."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Pair,
    stride: Any = None,
    padding: Pair = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros with the elements of `input` where `max_pool2d` found them."""
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Pair,
    stride: Any = None,
    padding: Pair = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros with the elements of `input` where `max_pool3d` found them."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


def _avg_pool(
    dims: int, input: Tensor, kernel_size: Pair, stride: Any, padding: Pair, ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    if type(ceil_mode) is not bool:
        raise no_flag(f"avg_pool{dims}d", "ceil_mode", ceil_mode)
    if type(count_include_pad) is not bool:
        raise no_flag(f"avg_pool{dims}d", "count_include_pad", count_include_pad)
    name = f"avg_pool{dims}d"
    if dims == 1:
        check_rank(name, input, dims)
    kernel, strides, pads = settings(name, dims, kernel_size=kernel_size, stride=stride, padding=padding)
    if dims == 3:
        check_rank(name, input, dims)
    if divisor_override is not None and as_int(divisor_override) == 0:
        raise RuntimeError("divisor must be not zero")
    if dims == 2:
        check_rank(name, input, dims)
    given = strides if stride else ()
    if dims == 1:
        input, kernel, strides, pads = input.unsqueeze(-2), (1, *kernel), (1, *strides), (0, *pads)
        given = strides
    check_windows(name, input.shape, kernel, strides, pads, (1,) * len(kernel), ceil_mode)
    kernel_name = "avg_pool3d_out_frame" if dims == 3 else "avg_pool2d"
    check_type(kernel_name, input, input.dtype is int64, halves=dims != 3)
    told = (kernel, given, pads, ceil_mode, count_include_pad, divisor_override)
    made: Tensor = _avg_pools[len(kernel)](input, told)
    return made.squeeze(-2) if dims == 1 else made


def avg_pool1d(
    input: Tensor, kernel_size: Pair, stride: Any = None, padding: Pair = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """The mean of each window along one dimension; see `avg_pool2d`."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Tensor, kernel_size: Pair, stride: Any = None, padding: Pair = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window.

    Parameters
    ----------
    count_include_pad
        Whether the zeros around the input count.
    divisor_override
        Divide the sums by this number.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool2d.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.functional.avg_pool2d(retrograd.arange(4.0).reshape(1, 1, 2, 2), 2)
    tensor([[[[1.5000]]]])
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Tensor, kernel_size: Pair, stride: Any = None, padding: Pair = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window in three dimensions; see `avg_pool2d`."""
    (input,) = widened(input)
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _check_single(name: str, sizes: tuple[int, ...]) -> None:
    if len(sizes) != 1:
        raise RuntimeError(f"{name}() argument 'output_size' should contain one int (got {len(sizes)})")


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The means of `output_size` parts of one dimension."""
    sizes = adaptive_size("adaptive_avg_pool1d", output_size, input, 1)
    check_rank("adaptive_avg_pool1d", input, 1)
    _check_single("adaptive_avg_pool1d", sizes)
    return _adaptive_avg_pool(2, input.unsqueeze(-2), (1, *sizes)).squeeze(-2)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The means of `output_size` parts of an image.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool2d.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.functional.adaptive_avg_pool2d(retrograd.ones(1, 3, 5, 5), 1).shape
    retrograd.Size([1, 3, 1, 1])
    """
    return _adaptive_avg_pool(2, input, adaptive_size("adaptive_avg_pool2d", output_size, input, 2))


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """The means of `output_size` parts of three dimensions."""
    return _adaptive_avg_pool(3, input, adaptive_size("adaptive_avg_pool3d", output_size, input, 3))


def _adaptive_avg_pool(dims: int, input: Tensor, sizes: tuple[int, ...]) -> Tensor:
    check_adaptive(f"adaptive_avg_pool{dims}d", dims, input.shape, sizes)
    if all(each == 1 for each in sizes):
        return input.mean(tuple(range(-1, -dims - 1, -1)), keepdim=True)
    check_type("adaptive_avg_pool3d_cpu" if dims == 3 else "adaptive_avg_pool2d", input)
    made: Tensor = _adaptive_avg_pools[dims](input, sizes)
    return made


def _adaptive_max_pool(dims: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    name = f"adaptive_max_pool{dims}d"
    sizes = adaptive_size(name, output_size, input, dims)
    if dims == 1:
        check_rank(name, input, 1)
        _check_single(name, sizes)
        check_filled(name, input.shape)
        input, sizes = input.unsqueeze(-2), (1, *sizes)
    check_adaptive(f"adaptive_max_pool{max(dims, 2)}d", max(dims, 2), input.shape, sizes)
    check_type("adaptive_max_pool3d_cpu" if dims == 3 else "adaptive_max_pool2d", input)
    values, places = _adaptive_max_pools[len(sizes)](input, sizes)
    if dims == 1:
        values = values.squeeze(-2)
        places = places.squeeze(-2) if return_indices else places
    return (values, places) if return_indices else values


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of `output_size` parts of one dimension."""
    return _adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of `output_size` parts of an image."""
    return _adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of `output_size` parts of three dimensions."""
    return _adaptive_max_pool(3, input, output_size, return_indices)


def _lp_pool(dims: int, input: Tensor, norm_type: float, kernel_size: Pair, stride: Any, ceil_mode: bool) -> Tensor:
    kernel = expand_pair(kernel_size, dims, "kernel_size")
    if abs(norm_type) == math.inf:
        largest = _max_pool(dims, input.abs() * math.copysign(1, norm_type), kernel, stride, 0, 1, ceil_mode, False)
        return largest * math.copysign(1, norm_type)
    count = 1
    for k in kernel:
        count *= k
    mean = _avg_pool(dims, input.pow(norm_type), kernel, stride, 0, ceil_mode, True)
    return (mean.sign() * mean.abs().relu()).mul(count).pow(1.0 / norm_type)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Pair, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """The p-norm of each window along one dimension."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Pair, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """The p-norm of each window."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Pair, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """The p-norm of each window along three dimensions."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def _with_indices(pool: Callable[..., Any]) -> Callable[..., Any]:
    """The pooling function, which gives the positions of what it takes whether they are asked for or not."""
    place = list(inspect.signature(pool).parameters).index("return_indices")

    @functools.wraps(pool)
    def found(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("return_indices", None)
        return pool(*args[:place], **kwargs, return_indices=True)

    found.__name__ = found.__qualname__ = f"{pool.__name__}_with_indices"
    found.__doc__ = f"`{pool.__name__}` with ``return_indices=True``."
    return found


max_pool1d_with_indices, max_pool2d_with_indices = _with_indices(max_pool1d), _with_indices(max_pool2d)
max_pool3d_with_indices = _with_indices(max_pool3d)
adaptive_max_pool1d_with_indices = _with_indices(adaptive_max_pool1d)
adaptive_max_pool2d_with_indices = _with_indices(adaptive_max_pool2d)
adaptive_max_pool3d_with_indices = _with_indices(adaptive_max_pool3d)
