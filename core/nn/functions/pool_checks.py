"""What pools refuse: numbers of settings, ranks, sizes and types, in PyTorch's words and order."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from retrograd.backends import windows
from retrograd.dtypes import Category, int64
from retrograd.ops.arguments import as_ints
from retrograd.ops.checks import computes_ahead, extremes, not_implemented
from retrograd.tensor import Tensor

__all__ = [
    "adaptive_size", "check_adaptive", "check_filled", "check_line", "check_rank", "check_shape", "check_type",
    "check_unpool", "check_windows", "settings",
]  # fmt: skip

Ints = tuple[int, ...]

_AXES = {2: "HW", 3: "THW"}
_COUNTS = {2: "two", 3: "three"}


def check_type(kernel: str, input: Tensor, allowed: bool = False, halves: bool = True) -> None:
    """Refuse elements that are no floating-point numbers, unless they are `allowed`."""
    type_ = input.dtype
    least = 2 if halves else 4
    if allowed or (type_.category is Category.FLOAT and type_.itemsize >= least):
        return
    raise not_implemented(kernel, type_)


# -- settings ------------------------------------------------------------------------------------


def settings(name: str, dims: int, **given: Any) -> list[Ints]:
    """Each setting as one int for every spatial dimension; a stride that is none is the first of them.

    Raises
    ------
    RuntimeError
        If one has neither one int nor one for each dimension.
    """
    made: list[Ints] = []
    for setting, value in given.items():
        if type(value) is int:
            made.append((value,) * dims)
            continue
        values = () if value is None else as_ints((value,))
        if setting == "stride" and not values:
            made.append(made[0])
        elif len(values) in (1, dims):
            made.append(values * dims if len(values) == 1 else values)
        else:
            raise RuntimeError(_wrong_count(name, dims, setting, len(values)))
    return made


def _wrong_count(name: str, dims: int, setting: str, count: int) -> str:
    if name == "max_pool1d":
        kinds = "an int, list of ints" + ("" if setting in ("kernel_size", "dilation") else ",")
        kinds = f"None, {kinds}" if setting == "stride" else kinds
        return f"max_pool1d() {setting} must be {kinds} or tuple of ints of size 1 but got size {count}"
    if dims == 1:
        return f"{name}() argument '{setting}' should contain one int (got {count})"
    must = "must be either" if setting == "dilation" else "must be" if name == "avg_pool3d" else "must either be"
    if setting == "stride":
        must += " omitted,"
    return f"{name}: {setting} {must} a single int, or a tuple of {_COUNTS[dims]} ints"


# -- windows -------------------------------------------------------------------------------------


def check_rank(name: str, input: Tensor, dims: int) -> None:
    """Refuse an input that has neither a batch dimension nor none."""
    if dims == 1:
        if input.ndim not in (2, 3):
            raise RuntimeError(
                f"Expected 2 to 3 dimensions, but got {input.ndim}-dimensional tensor for argument #1 'self' (while "
                f"checking arguments for {name})"
            )
    elif dims == 2 and name.startswith("avg"):
        if input.ndim < 3:
            input.size(-3)  # what it raises is what PyTorch does
    elif input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(f"non-empty {dims + 1}D or {dims + 2}D (batch mode) tensor expected for input")


def check_line(input: Tensor, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> None:
    """What `max_pool1d` without indices refuses; it has words of its own."""
    for what, value in (("kernel_size", kernel), ("stride", stride)):
        if value <= 0:
            raise RuntimeError(f"max_pool1d() {what} must be greater than zero, but got {value}")
    if padding < 0:
        raise RuntimeError(f"max_pool1d() padding must be non-negative, but got {padding}")
    if padding > kernel // 2:
        raise RuntimeError(
            f"max_pool1d() padding should be at most half of kernel size, but got padding={padding} and "
            f"kernel_size={kernel}"
        )
    if dilation <= 0:
        raise RuntimeError(f"max_pool1d() dilation must be greater than zero, but got {dilation}")
    room = input.shape[-1] + 2 * padding - dilation * (kernel - 1) - 1 + (stride - 1 if ceil_mode else 0)
    if room // stride + 1 <= 0:
        raise RuntimeError(f"max_pool1d() Invalid computed output size: {room // stride + 1}")


def check_shape(input: Tensor) -> None:
    """Refuse what is no line of numbers, or an empty one."""
    if input.ndim not in (2, 3) or 0 in input.shape[-2:]:
        raise RuntimeError(
            "max_pool1d: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but got:"
            f"{list(input.shape)}"
        )


@functools.lru_cache(1024)  # a program has few windows
def check_windows(
    name: str, shape: Sequence[int], kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool
) -> None:
    """Refuse windows that cannot be moved over an input of this shape.

    Raises
    ------
    RuntimeError
        As PyTorch does, which looks at the sizes of the result first.
    """
    for k, s, p, d in zip(kernel, stride, padding, dilation, strict=True):
        if s == 0:
            raise RuntimeError("stride should not be zero")
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > max((k - 1) * d + 1, 0) // 2:
            raise RuntimeError(
                f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and "
                f"dilation={d}"
            )
    axes = _AXES[len(kernel)]
    for what, letter, values in (
        ("kernel size", "k", kernel),
        ("stride", "d", stride),
        ("dilation", "dilation", dilation),
    ):
        if min(values) <= 0:
            each = " ".join(f"{letter}{axis}: {value}" for axis, value in zip(axes, values, strict=True))
            raise RuntimeError(f"{what} should be greater than zero, but got {each}")
    _check_volume(name, shape, kernel)
    _check_padding(kernel, padding)
    _check_result(tuple(shape), kernel, stride, padding, dilation, ceil_mode)


def _check_volume(name: str, shape: Sequence[int], kernel: Ints) -> None:
    dims = len(kernel)
    if dims == 2:
        if len(shape) not in (3, 4) or 0 in shape[-3:]:
            raise RuntimeError(
                f"Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got:{list(shape)}"
            )
        return
    if 0 in shape[-4:]:
        kind = "max_pool3d_with_indices_out_cpu_template" if name.startswith("max") else name
        raise RuntimeError(
            f"{kind}(): Expected input's non-batch dimensions to have positive length, but input has a shape of "
            f"{list(shape)} and non-batch dimension 0 has length zero!"
        )
    if name.startswith("avg") and any(k > n for k, n in zip(kernel, shape[-3:], strict=True)):
        sizes, kernels = (
            " ".join(f"{before}{axis}: {n}" for axis, n in zip("THW", values, strict=True))
            for before, values in (("", shape[-3:]), ("k", kernel))
        )
        raise RuntimeError(f"input image ({sizes}) smaller than kernel size ({kernels})")


def _check_padding(kernel: Ints, padding: Ints) -> None:
    if all(p <= k // 2 for k, p in zip(kernel, padding, strict=True)):
        return
    if len(kernel) == 2:
        shown = f"padW = {padding[1]}, padH = {padding[0]}, kW = {kernel[1]}, kH = {kernel[0]}"
    else:
        shown = (
            f"kT: {kernel[0]} kW: {kernel[2]} kH: {kernel[1]} padT: {padding[0]} padW: {padding[2]} padH: {padding[1]}"
        )
    raise RuntimeError(f"pad should be smaller than or equal to half of kernel size, but got {shown}")


def _check_result(shape: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool) -> None:
    spatial = shape[-len(kernel) :]
    sizes = windows.pooled(spatial, kernel, stride, padding, dilation, ceil_mode)
    if min(sizes) < 1:
        channels = shape[-len(kernel) - 1]
        before, after = ("x".join(map(str, (channels, *each))) for each in (spatial, sizes))
        raise RuntimeError(f"Given input size: ({before}). Calculated output size: ({after}). Output size is too small")


# -- backwards -----------------------------------------------------------------------------------


def check_unpool(input: Tensor, indices: Tensor, size: Ints, stride: Ints) -> None:
    """Refuse positions that do not fit the input, or are not within the result.

    Raises
    ------
    RuntimeError
        As PyTorch does; positions are looked at where that costs no wait for a device.
    """
    dims = len(size)
    shape = list(input.shape)
    if indices.dtype is not int64:
        found = "" if dims == 3 else f" but got: {indices.dtype.type_name}"
        raise RuntimeError(f"elements in indices should be type int64{found}")
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"Input to max_unpooling{dims}d should be a {dims + 1}d or {dims + 2}d Tensor, but got a tensor with "
            f"{input.ndim} dimensions."
        )
    if indices.shape != input.shape:
        raise RuntimeError(
            f"Expected shape of indices to be same as that of the input tensor ({shape}) but got indices tensor with "
            f"shape: {list(indices.shape)}"
        )
    for i in range(1, input.ndim):
        if not shape[i]:
            raise RuntimeError(
                f"max_unpooling{dims}d_forward_out_cpu(): Expected input to have non-zero size for non-batch "
                f"dimensions, but got {shape} with dimension {i} being empty."
            )
    if dims == 3 and min(stride) <= 0:
        raise RuntimeError(f"strides should be greater than zero, but got stride: {list(stride)}")
    check_type(f"max_unpool{dims}d", input)
    if indices.numel() and not computes_ahead(indices):
        least, largest = extremes(indices)
        if least < 0 or largest >= math.prod(size):
            wrong = least if least < 0 else largest
            raise RuntimeError(
                f"Found an invalid max index: {wrong} (output volumes are of size {'x'.join(map(str, size))})"
            )


# -- adaptive ------------------------------------------------------------------------------------


def adaptive_size(name: str, output_size: Any, input: Tensor, dims: int) -> Ints:
    """The wanted spatial shape; None keeps a size.

    Raises
    ------
    ValueError
        If there are more sizes than dimensions.
    TypeError, RuntimeError
        If `output_size` is not one size, or one for each dimension.
    """
    if isinstance(output_size, int):
        return (output_size,) * dims
    sizes = (output_size,) if output_size is None else tuple(output_size)
    if dims == 1:
        if None in sizes:
            raise TypeError(
                f"{name}(): argument 'output_size' (position 2) must be tuple of ints, but found element of type "
                f"NoneType at pos {sizes.index(None)}"
            )
    else:
        if input.ndim <= len(sizes):
            raise ValueError(f"Input dimension should be at least {len(sizes) + 1}")
        last = input.shape[input.ndim - len(sizes) :]
        sizes = tuple(n if m is None else m for n, m in zip(last, sizes, strict=True))
    return sizes


def check_adaptive(name: str, dims: int, shape: Sequence[int], sizes: Ints) -> None:
    """Refuse shapes and sizes that an adaptive pool of two or three dimensions cannot have.

    Raises
    ------
    RuntimeError
        As PyTorch does: a pool of means looks at the sizes first, one of maxima at the input.
    """
    is_mean = "avg" in name
    if is_mean:
        _check_sizes(name, dims, sizes)
        if all(each == 1 for each in sizes):
            return  # a plain mean
    if is_mean and dims == 3:
        check_filled(name, shape)
    if len(shape) not in (dims + 1, dims + 2):
        colon = "" if is_mean else ":"
        raise RuntimeError(f"{name}(): Expected {dims + 1}D or {dims + 2}D tensor, but got{colon} {list(shape)}")
    check_filled(name, shape, len(shape) - dims if is_mean else 1)
    if not is_mean:
        if len(sizes) != dims:
            raise RuntimeError(f"{name}(): internal error: output_size.size() must be {dims}")
        if min(sizes) < 0:
            made = [*shape[: len(shape) - dims], *sizes]
            raise RuntimeError(
                f"Trying to create tensor with negative dimension {next(n for n in made if n < 0)}: {made}"
            )


def check_filled(name: str, shape: Sequence[int], first: int = 1) -> None:
    """Refuse a dimension, from `first` on, of which there is nothing."""
    for i in range(first, len(shape)):
        if not shape[i]:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes "
                f"{list(shape)} with dimension {i} being empty"
            )


def _check_sizes(name: str, dims: int, sizes: Ints) -> None:
    if len(sizes) != dims:
        raise RuntimeError(f"{name}: output_size must be {dims}")
    if min(sizes) < 0:
        shown = ",".join((", ".join(map(str, sizes[:2])), *map(str, sizes[2:])))
        raise RuntimeError(
            f"{name}: elements of output_size must be greater than or equal to 0 but received {{{shown}}}"
        )
