"""Convolutions in one, two and three dimensions, and their transposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograd.dtypes import Category, bool_, cpp_name, dtype, int64
from retrograd.nn.functions.vision import pad
from retrograd.ops import arrange
from retrograd.ops.arguments import as_int, expand_pair
from retrograd.ops.autocasting import unites
from retrograd.ops.checks import not_implemented
from retrograd.ops.neural import _convolution, _transposed_convolution
from retrograd.tensor import Tensor

__all__ = [
    "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
]  # fmt: skip

Pair = int | Sequence[int]
Ints = tuple[int, ...]


def _check_ranks(name: str, input: Any, weight: Any, dims: int) -> bool:
    """Whether there is no batch dimension."""
    if not isinstance(input, Tensor) or not isinstance(weight, Tensor):
        wrong = "input" if not isinstance(input, Tensor) else "weight"
        given = input if wrong == "input" else weight
        raise TypeError(f"{name}(): argument '{wrong}' must be Tensor, not {type(given).__name__}")
    if weight.ndim != dims + 2:
        raise RuntimeError(
            f"expected {dims + 2}-dimensional weight, but got {weight.ndim}-dimensional weight of size "
            f"{list(weight.shape)} instead"
        )
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"Expected {dims + 1}D (unbatched) or {dims + 2}D (batched) input to {name}, but got input of "
            "size: "
            f"{list(input.shape)}"
        )
    return input.ndim == dims + 1


def _check_types(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    for what, each in (("weight", weight), ("bias", bias)):
        if each is not None and each.dtype is not input.dtype and not unites(input, each):
            kinds = cpp_name(input.dtype), cpp_name(each.dtype)
            raise RuntimeError(f"Input type ({kinds[0]}) and {what} type ({kinds[1]}) should be the same")


def _check_channels(
    input: Tensor, weight: Tensor, bias: Tensor | None, groups: int, transposed: bool, shape: list[int]
) -> None:
    size = list(weight.shape)
    if as_int(groups) <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if size[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight "
            "of size "
            f"{size} instead"
        )
    if size[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got "
            "weight of "
            f"size [{', '.join(map(str, size))}] instead"
        )
    channels, expected = input.shape[1], size[0] if transposed else size[1] * groups
    if channels != expected:
        kind = f"Given transposed={int(transposed)}" if transposed else f"Given groups={groups}"
        raise RuntimeError(
            f"{kind}, weight of size {size}, expected input{shape} to have {expected} channels, but got "
            f"{channels} "
            "channels instead"
        )
    outputs = size[1] * groups if transposed else size[0]
    if bias is not None and (bias.ndim != 1 or bias.shape[0] != outputs):
        kind = f"Given transposed={int(transposed)}" if transposed else f"Given weight of size {size}"
        raise RuntimeError(
            f"{kind}{f', weight of size {size}' if transposed else ''}, expected bias to be 1-dimensional "
            "with "
            f"{outputs} elements, but got bias of size {list(bias.shape)} instead"
        )


def _check_kernel(type_: dtype, dims: int, dilated: bool) -> None:
    """Refuse what PyTorch has no convolution of: bools, and integers other than int64 with a dilation."""
    if dilated and type_.category < Category.FLOAT and type_ is not int64:
        raise not_implemented("slow_conv_dilated<>", type_)
    if type_ is bool_:
        raise not_implemented("compute_columns3d" if dims == 3 else "slow_conv2d_cpu", type_)


def _check_positive(stride: Ints, dilation: Ints) -> None:
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError("dilation should be greater than zero")


def _convolve(
    name: str, dims: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Any,
    dilation: Pair, groups: int,
) -> Tensor:  # fmt: skip
    is_single = _check_ranks(name, input, weight, dims)
    strides, dilations = expand_pair(stride, dims, "stride"), expand_pair(dilation, dims, "dilation")
    _check_positive(strides, dilations)
    batch = input.unsqueeze(0) if is_single else input
    if isinstance(padding, str):
        batch, pads = _named_padding(batch, padding, tuple(weight.shape[2:]), strides, dilations)
    else:
        pads = expand_pair(padding, dims, "padding")
        if any(p < 0 for p in pads):
            raise RuntimeError("negative padding is not supported")
    _check_channels(batch, weight, bias, groups, False, list(input.shape))
    _check_types(input, weight, bias)
    padded = [n + 2 * p for n, p in zip(batch.shape[2:], pads, strict=True)]
    extent = [d * (k - 1) + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    if any(k > n for k, n in zip(extent, padded, strict=True)):
        shown = (" x ".join(map(str, each)) for each in (padded, extent))
        raise RuntimeError(
            "Calculated padded input size per channel: ({}). Kernel size: ({}). Kernel size can't be "
            "greater than "
            "actual input size".format(*shown)
        )
    _check_kernel(input.dtype, dims, any(d > 1 for d in dilations))
    out = _convolution(batch, weight, bias, strides, pads, dilations, groups)
    return out.squeeze(0) if is_single else out


def _named_padding(batch: Tensor, padding: str, kernel: Ints, stride: Ints, dilation: Ints) -> tuple[Tensor, Ints]:
    """Symmetric padding for `"valid"` or `"same"`; what cannot be symmetric is put around the input."""
    if padding == "valid":
        return batch, (0,) * len(kernel)
    if padding != "same":
        raise ValueError(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if any(each % 2 for each in total):
        widths = ((0, 0), (0, 0), *((0, each % 2) for each in total))
        batch = arrange._constant_pad(batch, widths, 0)
    return batch, tuple(each // 2 for each in total)


def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Pair = 1, padding: Any = 0,
    dilation: Pair = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation along one dimension; see `conv2d`.

    Shapes: input (N, C, L) or (C, L), weight (O, C / groups, K).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv1d.html
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Pair = 1, padding: Any = 0,
    dilation: Pair = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation of images with kernels.

    Shapes: input (N, C, H, W) or (C, H, W), weight (O, C / groups, KH, KW), bias (O).

    Parameters
    ----------
    stride, dilation
        The distances between windows and between the taps of a window.
    padding
        Zeros around the input: an int, one for each dimension, `"valid"` for none, or `"same"` for as
        many as keep the size.
    groups
        Into how many parts, convolved separately, the channels are divided.

    Raises
    ------
    RuntimeError
        If the shapes or types do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv2d.html

    Examples
    --------
    >>> import retrograd
    >>> image, kernel = retrograd.ones(1, 1, 3, 3), retrograd.ones(1, 1, 2, 2)
    >>> retrograd.nn.functional.conv2d(image, kernel)
    tensor([[[[4., 4.],
              [4., 4.]]]])
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Pair = 1, padding: Any = 0,
    dilation: Pair = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation along three dimensions; see `conv2d`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv3d.html
    """
    return _convolve("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def _transpose(
    name: str, dims: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair,
    output_padding: Pair, groups: int, dilation: Pair,
) -> Tensor:  # fmt: skip
    is_single = _check_ranks(name, input, weight, dims)
    strides, dilations = expand_pair(stride, dims, "stride"), expand_pair(dilation, dims, "dilation")
    pads, extra = expand_pair(padding, dims, "padding"), expand_pair(output_padding, dims, "output_padding")
    _check_positive(strides, dilations)
    for e, s, d in zip(extra, strides, dilations, strict=True):
        if e >= max(s, d):
            raise RuntimeError(
                "output padding must be smaller than either stride or dilation, but got "
                + " ".join(
                    f"output_padding_{axis}: {one}"
                    for axis, one in zip(("depth", "height", "width")[-dims:], extra, strict=True)
                )
            )
    batch = input.unsqueeze(0) if is_single else input
    _check_channels(batch, weight, bias, groups, True, list(input.shape))
    _check_types(input, weight, bias)
    if input.dtype.category < Category.FLOAT and input.dtype is not int64:
        raise not_implemented(f"slow_conv_transpose{max(dims, 2)}d_out_cpu", input.dtype)
    if any(e >= s for e, s in zip(extra, strides, strict=True)):  # more than the stride leaves open: cut from the whole
        whole = _transpose(name, dims, input, weight, None, strides, 0, 0, groups, dilations)
        out = pad(whole, [each for p, e in zip(pads[::-1], extra[::-1], strict=True) for each in (-p, e - p)])
        return out if bias is None else out + bias.reshape(-1, *(1,) * dims)
    spatial = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(batch.shape[2:], strides, pads, dilations, weight.shape[2:], extra, strict=True)
    )
    shape = (batch.shape[0], weight.shape[1] * groups, *spatial)
    out = _transposed_convolution(batch, weight, bias, shape, strides, pads, dilations, groups, extra)
    return out.squeeze(0) if is_single else out


def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Pair = 1, padding: Pair = 0,
    output_padding: Pair = 0, groups: int = 1, dilation: Pair = 1,
) -> Tensor:  # fmt: skip
    """The transpose of `conv1d`; see `conv_transpose2d`."""
    return _transpose("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Pair = 1, padding: Pair = 0,
    output_padding: Pair = 0, groups: int = 1, dilation: Pair = 1,
) -> Tensor:  # fmt: skip
    """The transpose of `conv2d` as a linear map of its input: each element is spread over a window.

    Shapes: input (N, C, H, W) or (C, H, W), weight (C, O / groups, KH, KW), bias (O).

    Parameters
    ----------
    output_padding
        Added to the result's size at one side, which `stride` leaves open.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose2d.html
    """
    return _transpose("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Pair = 1, padding: Pair = 0,
    output_padding: Pair = 0, groups: int = 1, dilation: Pair = 1,
) -> Tensor:  # fmt: skip
    """The transpose of `conv3d`; see `conv_transpose2d`."""
    return _transpose("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """`conv1d` with time first: input (T, N, C), weight (K, C, O), bias (O).

    Source: https://docs.pytorch.org/docs/stable/nn.functional.html
    """
    if input.ndim != 3:
        raise RuntimeError("Input must have 3 dims: time, batch, in_channel")
    if weight.ndim != 3:
        raise RuntimeError("Weight tensor must have 3 dims: kernel_width, in_channels, out_channels.")
    if bias.ndim != 1:
        raise RuntimeError("Bias must be 1-D")
    return conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad).permute(2, 0, 1)
