"""Pools: what is largest in a window, or its mean."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from retrograd.dtypes import Category, int64
from retrograd.ops.arguments import expand_pair
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


def _check_type(kernel: str, input: Tensor, allowed: bool) -> None:
    """Refuse elements that are no floating-point numbers, unless they are `allowed`."""
    if not (allowed or input.dtype.is_floating_point):
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{input.dtype.type_name}'")


def _check(name: str, input: Tensor, dims: int) -> None:
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"{name}: Expected {dims + 1}D or {dims + 2}D input, but got a {input.ndim}D input"
            if dims == 1
            else f"non-empty {dims + 1}D or {dims + 2}D (batch mode) tensor expected for input"
        )


def _settings(
    dims: int, kernel_size: Pair, stride: Any, padding: Pair, name: str
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    kernel = expand_pair(kernel_size, dims, "kernel_size")
    strides = kernel if stride is None or stride in ((), []) else expand_pair(stride, dims, "stride")
    pads = expand_pair(padding, dims, "padding")
    if any(k <= 0 for k in kernel):
        raise RuntimeError(f"{name}: kernel_size must be greater than zero, but got {list(kernel)}")
    if any(s == 0 for s in strides):
        raise RuntimeError("stride should not be zero")
    for p, k in zip(pads, kernel, strict=True):
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > k // 2:
            raise RuntimeError(
                f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and dilation=1"
                if name.startswith("max")
                else "pad should be smaller than or equal to half of kernel size, but got "
                f"padW = {pads[-1]}, padH = {pads[0]}, kW = {kernel[-1]}, kH = {kernel[0]}"
            )
    return kernel, strides, pads


def _max_pool(
    dims: int, input: Tensor, kernel_size: Pair, stride: Any, padding: Pair, dilation: Pair, ceil_mode: bool,
    return_indices: bool,
) -> Any:  # fmt: skip
    name = f"max_pool{dims}d"
    _check(name, input, dims)
    kernel, strides, pads = _settings(dims, kernel_size, stride, padding, name)
    dilations = expand_pair(dilation, dims, "dilation")
    _check_output(input, dims, kernel, strides, pads, dilations)
    given = strides if stride else ()
    if dims == 1 and not return_indices:
        _check_type("max_pool1d_impl", input, False)
    _check_type(f"max_pool{max(dims, 2)}d", input, input.dtype.category is Category.INTEGER)
    if dims == 1:  # as an image of height one, as in PyTorch
        values, places = _max_pools[2](
            input.unsqueeze(-2), (1, *kernel), (1, *strides), (0, *pads), (1, *dilations), bool(ceil_mode)
        )
        values = values.squeeze(-2)
        return (values, places.squeeze(-2)) if return_indices else values
    values, places = _max_pools[dims](input, kernel, given, pads, dilations, bool(ceil_mode))
    return (values, places) if return_indices else values


def _check_output(input: Tensor, dims: int, kernel: Any, stride: Any, padding: Any, dilation: Any) -> None:
    spatial = input.shape[-dims:]
    sizes = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(spatial, kernel, stride, padding, dilation, strict=True)
    ]
    if any(m < 1 for m in sizes):
        channels = input.shape[-dims - 1]
        before, after = ("x".join(map(str, (channels, *each))) for each in (spatial, sizes))
        raise RuntimeError(f"Given input size: ({before}). Calculated output size: ({after}). Output size is too small")


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
    kernel, strides, pads = _settings(dims, kernel_size, stride, padding, "max_unpool")
    default = [(n - 1) * s - 2 * p + k for n, k, s, p in zip(input.shape[-dims:], kernel, strides, pads, strict=True)]
    size = default if output_size is None else list(output_size)[-dims:]
    for got, near, s in zip(size, default, strides, strict=True):
        if not near - s < got < near + s:
            raise ValueError(f"invalid output_size {list(size)} (dim 0 must be between {near - s} and {near + s})")
    return _unpool(input, indices, (*input.shape[:-dims], *size), dims, True)


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
    name = f"avg_pool{dims}d"
    _check(name, input, dims)
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    kernel, strides, pads = _settings(dims, kernel_size, stride, padding, name)
    _check_output(input, dims, kernel, strides, pads, (1,) * dims)
    _check_type("avg_pool3d_out_frame" if dims == 3 else "avg_pool2d", input, input.dtype is int64)
    if dims == 1:
        settings = ((1, *kernel), (1, *strides), (0, *pads), bool(ceil_mode), bool(count_include_pad), None)
        return _avg_pools[2](input.unsqueeze(-2), settings).squeeze(-2)
    given = strides if stride else ()
    return _avg_pools[dims](input, (kernel, given, pads, bool(ceil_mode), bool(count_include_pad), divisor_override))


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
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _output_size(output_size: Any, input: Tensor, dims: int) -> tuple[int, ...]:
    """The wanted spatial shape; None keeps a size."""
    sizes = (output_size,) * dims if output_size is None or isinstance(output_size, int) else tuple(output_size)
    if len(sizes) == 1:
        sizes *= dims
    return tuple(n if m is None else m for n, m in zip(input.shape[-dims:], sizes, strict=True))


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The means of `output_size` parts of one dimension."""
    (size,) = _output_size(output_size, input, 1)
    return adaptive_avg_pool2d(input.unsqueeze(-2), (1, size)).squeeze(-2)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The means of `output_size` parts of an image.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool2d.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.functional.adaptive_avg_pool2d(retrograd.ones(1, 3, 5, 5), 1).shape
    retrograd.Size([1, 3, 1, 1])
    """
    size = _output_size(output_size, input, 2)
    if size == (1, 1):
        return input.mean((-1, -2), keepdim=True)
    _check_type("adaptive_avg_pool2d", input, False)
    return _adaptive_avg_pools[2](input, size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """The means of `output_size` parts of three dimensions."""
    size = _output_size(output_size, input, 3)
    if size == (1, 1, 1):
        return input.mean((-1, -2, -3), keepdim=True)
    _check_type("adaptive_avg_pool3d_cpu", input, False)
    return _adaptive_avg_pools[3](input, size)


def _adaptive_max_pool(dims: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    size = _output_size(output_size, input, dims)
    _check_type("adaptive_max_pool3d_cpu" if dims == 3 else "adaptive_max_pool2d", input, False)
    if dims == 1:
        values, places = _adaptive_max_pools[2](input.unsqueeze(-2), (1, *size))
        values, places = values.squeeze(-2), places.squeeze(-2)
    else:
        values, places = _adaptive_max_pools[dims](input, size)
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
