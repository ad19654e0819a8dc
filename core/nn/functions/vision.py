"""Padding, resizing, and rearranging of images."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from retrograd.backends import resampling
from retrograd.dtypes import Category, bool_, uint8
from retrograd.layout import channels_last, contiguous_format
from retrograd.ops import arrange, neural
from retrograd.ops.arguments import as_float, as_int, as_tuple, expand_pair
from retrograd.ops.checks import is_half, not_implemented
from retrograd.ops.flags import no_flag
from retrograd.ops.grouped import one_node
from retrograd.ops.shuffles import _pixel_shuffle, _pixel_unshuffle
from retrograd.tensor import Tensor, wrap_array

__all__ = [
    "channel_shuffle", "fold", "interpolate", "pad", "pixel_shuffle", "pixel_unshuffle", "unfold", "upsample",
    "upsample_bilinear", "upsample_nearest",
]  # fmt: skip

Pair = int | Sequence[int]


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Surround a tensor.

    Parameters
    ----------
    pad
        How much before and after each dimension, the last dimension first. Negative numbers cut off.
    mode
        `"constant"`: with `value`; `"reflect"`: mirrored without the edge; `"replicate"`: with the
        edge; `"circular"`: with the other end.

    Raises
    ------
    RuntimeError, NotImplementedError
        If `pad` does not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pad.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.functional.pad(retrograd.ones(2), (1, 2))
    tensor([0., 1., 1., 0., 0.])
    """
    amounts = as_tuple(pad)
    if len(amounts) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(amounts) > 2 * input.ndim:
        raise RuntimeError(
            "Length of pad should be no more than twice the number of dimensions of the input. Pad length is "
            f"{len(amounts)} while the input has {input.ndim} dimensions."
        )
    value = None if value is None else as_float(value)
    if mode == "constant":
        return _pad_constant(input, amounts, 0.0 if value is None else value)
    if value is not None and value != 0:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    return _pad_by_elements(input, amounts, mode)


def _pad_constant(input: Tensor, amounts: tuple[int, ...], value: float) -> Tensor:
    shape = input.shape
    widths = [(0, 0)] * input.ndim
    for i in range(len(amounts) // 2):
        axis = input.ndim - 1 - i
        before, after = amounts[2 * i], amounts[2 * i + 1]
        if shape[axis] + min(before, 0) + min(after, 0) < 0:
            raise RuntimeError("narrow(): length must be non-negative.")
        widths[axis] = (before, after)
    if not input.dtype.is_differentiable:
        value = int(value)
    return arrange._constant_pad(input, tuple(widths), value, amounts)


def _pad_by_elements(input: Tensor, amounts: tuple[int, ...], mode: str) -> Tensor:
    dims = len(amounts) // 2
    if input.ndim not in (dims + 1, dims + 2) or dims > 3:
        raise NotImplementedError(
            f"Padding size {len(amounts)} is not supported for {input.ndim}D input tensor.\n"
            "Supported combinations for non-constant padding:\n"
            "  - 2D or 3D input: padding size = 2 (pads last dimension)\n"
            "  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n"
            "  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"
        )
    axes, positions = [], []
    for i in reversed(range(dims)):
        axis = input.ndim - 1 - i
        axes.append(axis)
        positions.append(_positions(input, axis, amounts[2 * i], amounts[2 * i + 1], mode))
    if input.dtype is bool_ and mode != "circular":
        raise not_implemented(f"{'reflection' if mode == 'reflect' else 'replication'}_pad{dims}d", input.dtype)
    kind = {"reflect": "Reflection", "replicate": "Replication", "circular": "Replication"}[mode]
    return neural._resamples[f"{kind}Pad{dims}D"](input, tuple(axes), tuple(positions), (amounts,))


def _positions(input: Tensor, axis: int, before: int, after: int, mode: str) -> tuple[int, ...]:
    """Which element stands at each place of the padded axis."""
    n = input.shape[axis]
    if mode == "reflect" and max(before, after) >= n:
        raise RuntimeError(
            "Argument #4: Padding size should be less than the corresponding input dimension, but got: "
            "padding "
            f"({before}, {after}) at dimension {axis} of input {list(input.shape)}"
        )
    if mode == "circular" and max(before, after) > n:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    places = range(-before, n + after)
    if mode == "circular":  # what is cut off at one end does not come in at the other
        start, period = max(-before, 0), n + min(before, 0) + min(after, 0)
        return tuple((each - start) % period + start for each in places)
    if mode == "replicate":
        return tuple(min(max(each, 0), n - 1) for each in places)
    return tuple(-each if each < 0 else 2 * (n - 1) - each if each >= n else each for each in places)


# -- resizing ----------------------------------------------------------------------------------

_LINEAR = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize the spatial dimensions of (N, C, *spatial).

    Parameters
    ----------
    size, scale_factor
        The new size, or how many times the present one: a number or one for each dimension.
    mode
        `"nearest"`, `"nearest-exact"`, `"area"`, `"linear"`, `"bilinear"`, `"trilinear"` or `"bicubic"`.
    align_corners
        For the linear modes and `"bicubic"`: whether the corners' centres stay where they are.
    antialias
        For `"bilinear"` and `"bicubic"`: whether an element of a smaller picture stands for all that it covers.

    Raises
    ------
    ValueError
        If both or neither of `size` and `scale_factor` are given, or `antialias` is for another mode.
    NotImplementedError
        For other modes.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html
    """
    from retrograd.nn.functions import pooling

    if antialias and not (mode in ("bilinear", "bicubic") and input.ndim == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
        )
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    if recompute_scale_factor and size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    dims = input.ndim - 2
    sizes, scales = _new_size(input, size, scale_factor, dims, bool(recompute_scale_factor))
    _check_mode(input, mode)
    if mode == "area":
        pool = (pooling.adaptive_avg_pool1d, pooling.adaptive_avg_pool2d, pooling.adaptive_avg_pool3d)[dims - 1]
        return pool(input, sizes)
    _check_resizable(input, mode, sizes, antialias)
    axes = tuple(range(2, input.ndim))
    if mode in ("nearest", "nearest-exact"):
        exact = mode == "nearest-exact"
        positions = tuple(
            resampling.nearest(n, m, s, exact) for n, m, s in zip(input.shape[2:], sizes, scales, strict=True)
        )
        return neural._resamples[f"UpsampleNearest{'Exact' if exact else ''}{dims}D"](
            input, axes, positions, (sizes, *scales)
        )
    name = {1: "UpsampleLinear1D", 2: "UpsampleBilinear2D", 3: "UpsampleTrilinear3D"}[dims]
    name = ("UpsampleBicubic2D" if mode == "bicubic" else name) + "Aa" * antialias
    aligned: Any = align_corners is not None and align_corners
    if type(aligned) is not bool:
        called = name.replace("Upsample", "upsample_").removesuffix("Aa").lower()
        raise no_flag(f"_{called}_aa" if antialias else called, "align_corners", aligned, 3)
    if input.dtype is uint8:
        return _of_bytes(input, axes, sizes, scales, aligned, mode == "bicubic", antialias)
    matrices = tuple(
        _matrix(input, n, m, s, aligned, mode == "bicubic", antialias)
        for n, m, s in zip(input.shape[2:], sizes, scales, strict=True)
    )
    return neural._weighted[name](input, axes, matrices, (aligned, sizes, *scales))


def _check_mode(input: Tensor, mode: str) -> None:
    """Refuse modes that are not there for so many dimensions."""
    dims = input.ndim - 2
    if dims in (1, 2, 3):
        if mode in ("nearest", "area", "nearest-exact") or _LINEAR.get(mode) == dims:
            return
        if mode in _LINEAR and mode != "bicubic":
            raise NotImplementedError(f"Got {input.ndim}D input, but {mode} mode needs {_LINEAR[mode] + 2}D input")
    raise NotImplementedError(
        f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.ndim}D) for the modes: nearest | "
        f"linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact (got {mode})"
    )


def _new_size(
    input: Tensor, size: Any, scale_factor: Any, dims: int, recompute: bool
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    given = size if size is not None else scale_factor
    values = tuple(given) if isinstance(given, list | tuple) else (given,) * dims
    if len(values) != dims and isinstance(given, list | tuple):
        what = "scale_factor" if size is None else "output"
        kind, form = ("scale_factor of shape", "scale_factor in (s1, s2, ...,sK)")
        if size is not None:
            kind, form = "output size of", "output size in (o1, o2, ...,oK)"
        raise ValueError(
            f"Input and {what} must have the same number of spatial dimensions, but got input with spatial dimensions "
            f"of {list(input.shape[2:])} and {kind} {given}. Please provide input tensor in (N, C, d1, d2, ...,dK) "
            f"format and {form} format."
        )
    if size is not None:
        return tuple(int(each) for each in values), (None,) * dims
    sizes = tuple(math.floor(float(n) * each) for n, each in zip(input.shape[2:], values, strict=True))
    return sizes, (None,) * dims if recompute else values


def _check_resizable(input: Tensor, mode: str, sizes: tuple[int, ...], antialias: bool) -> None:
    """Refuse elements that are neither floating-point numbers nor, in pictures and by the nearest, bytes."""
    type_ = input.dtype
    is_nearest, is_picture = mode.startswith("nearest"), input.ndim == 4
    if antialias and type_ is not uint8 and (not type_.is_floating_point or is_half(type_)):
        raise not_implemented("compute_index_ranges_weights", type_)
    if type_.is_floating_point or (type_ is uint8 and (is_nearest or is_picture)):
        return
    kind = "nearest" if is_nearest else "cubic" if mode == "bicubic" else "linear"
    kernel = f"compute_indices_weights_{kind}"
    if is_picture and kind != "cubic":  # PyTorch has a kernel for small ones, and for those with channels last
        last = input.shape[1] > 3 and input.is_contiguous(memory_format=channels_last)
        if sum(sizes) <= 128 or last:
            kernel = f"upsample_{'bilinear' if kind == 'linear' else kind}2d_channels_last"
    raise not_implemented(kernel, type_)


def _of_bytes(input: Tensor, axes: Any, sizes: Any, scales: Any, align: bool, cubic: bool, smooth: bool) -> Tensor:
    """A picture of bytes resized as PyTorch does: with weights of 15 bits, and bytes again after each axis."""
    k = input._kernels
    array = k.astype(input._array, k.dtypes["float64"])
    for axis, m, s in reversed(list(zip(axes, sizes, scales, strict=True))):
        matrix, bits = resampling.whole_weights(input.shape[axis], m, s, align, cubic, smooth)
        total = neural._along(k, array, k.astype(k.base.from_host(matrix), array.dtype), axis)
        array = k.clip(k.floor((total + 2.0 ** (bits - 1)) / 2.0**bits), 0, 255)
    return wrap_array(k.astype(array, input._array.dtype), k)


def _matrix(input: Tensor, *how: Any) -> Any:
    """The weights of the old elements in each of the new ones, in the type of `input`; see `resampling.weights`."""
    k = input._kernels.base
    return k.astype(k.from_host(resampling.weights(*how)), k.dtypes[input.dtype.name])


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """The old name of `interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """The old name of `interpolate` by the nearest element."""
    _warn_of_old("upsample_nearest")
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """The old name of bilinear `interpolate` that keeps the corners."""
    _warn_of_old("upsample_bilinear")
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


def _warn_of_old(name: str) -> None:
    warnings.warn(f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=3)


# -- rearranging -------------------------------------------------------------------------------


def _no_view(moved: Tensor) -> Tensor:
    """What was moved, copied if it still lies where it was: by a factor of 1, or around dimensions of 1."""
    return moved.clone(memory_format=contiguous_format) if moved._is_view() else moved


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(\\*, C r r, H, W) as (\\*, C, H r, W r): each r by r block of pixels comes from r r channels.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pixel_shuffle.html
    """
    r = _checked_factor("pixel_shuffle", "upscale_factor", input, upscale_factor)
    c = input.shape[-3]
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
            "upscale_factor, "
            f"but input.size(-3)={c} is not divisible by {r * r}"
        )
    return _pixel_shuffle(input, r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of `pixel_shuffle`."""
    r = _checked_factor("pixel_unshuffle", "downscale_factor", input, downscale_factor)
    for name, size in zip(("height", "width"), input.shape[-2:], strict=True):
        if size % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but input.size("
                f"{-2 if name == 'height' else -1})={size} is not divisible by {r}"
            )
    return _pixel_unshuffle(input, r)


def _checked_factor(name: str, argument: str, input: Tensor, factor: Any) -> int:
    r = as_int(factor)
    if input.ndim < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"{name} expects a positive {argument}, but got {r}")
    return r


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Divide the channels into groups and deal them out again one from each group."""
    if input.ndim <= 2:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}")
    c = input.shape[1]
    if as_int(groups) <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    if c % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups.")
    return _channels_shuffled(input, groups)


@one_node("ChannelShuffleBackward0", "input", saves="groups")
def _channels_shuffled(input: Tensor, groups: int) -> Tensor:
    n, c, *spatial = input.shape
    dealt = input.reshape(n, groups, c // groups, *spatial).transpose(1, 2)
    return _no_view(dealt.reshape(n, c, *spatial))


def unfold(input: Tensor, kernel_size: Pair, dilation: Pair = 1, padding: Pair = 0, stride: Pair = 1) -> Tensor:
    """The windows of images (N, C, H, W) as columns: (N, C * taps, windows).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.unfold.html
    """
    if input.ndim not in (3, 4):
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero "
            "dimensions for input, "
            f"but got: {list(input.shape)}"
        )
    if input.dtype.category is Category.INTEGER:
        raise not_implemented("im2col_out_cpu", input.dtype)
    batch = input.unsqueeze(0) if input.ndim == 3 else input
    out = neural._unfold(batch, _columns(kernel_size, dilation, padding, stride))
    return out.squeeze(0) if input.ndim == 3 else out


def _columns(kernel_size: Pair, dilation: Pair, padding: Pair, stride: Pair) -> Any:
    named = (("kernel_size", kernel_size), ("dilation", dilation), ("padding", padding), ("stride", stride))
    return tuple(expand_pair(value, 2, name) for name, value in named)


def fold(
    input: Tensor,
    output_size: Pair,
    kernel_size: Pair,
    dilation: Pair = 1,
    padding: Pair = 0,
    stride: Pair = 1,
) -> Tensor:
    """Columns added up into images: the adjoint of `unfold`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.fold.html
    """
    batch = input.unsqueeze(0) if input.ndim == 2 else input
    size = expand_pair(output_size, 2, "output_size")
    settings = _columns(kernel_size, dilation, padding, stride)
    taps = math.prod(settings[0])
    if batch.shape[1] % taps:
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={batch.shape[1]} and kernel_size=({', '.join(map(str, settings[0]))})."
        )
    if input.dtype.category is Category.INTEGER:
        raise not_implemented("col2im_out_cpu", input.dtype)
    out = neural._fold(batch, size, settings)
    return out.squeeze(0) if input.ndim == 2 else out
