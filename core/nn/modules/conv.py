"""Convolution layers."""

from __future__ import annotations

import math
from typing import Any

from retrograd.nn import functional as F, init
from retrograd.nn.modules.module import Module
from retrograd.ops.arguments import expand_pair
from retrograd.ops.factories import empty
from retrograd.parameter import Parameter
from retrograd.tensor import Tensor

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
Ints = tuple[int, ...]


class _ConvNd(Module):
    """Settings and parameters; `dims` is the number of spatial dimensions."""

    dims: int
    transposed: bool = False

    def _setup(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
        output_padding: Any, groups: int, bias: bool, padding_mode: str, device: Any, dtype: Any,
    ) -> None:  # fmt: skip
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = expand_pair(kernel_size, self.dims, "kernel_size")
        self.stride = expand_pair(stride, self.dims, "stride")
        self.dilation = expand_pair(dilation, self.dims, "dilation")
        self.output_padding = expand_pair(output_padding, self.dims, "output_padding")
        self.groups = groups
        self._set_padding(padding, padding_mode)
        inner = (out_channels if self.transposed else in_channels) // groups
        outer = in_channels if self.transposed else out_channels
        self.weight = Parameter(empty((outer, inner, *self.kernel_size), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _set_padding(self, padding: Any, padding_mode: str) -> None:
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {padding!r}, should be one of {{'same', 'valid'}}")
            if padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if padding_mode not in _PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {set(_PADDING_MODES)}, but got padding_mode='{padding_mode}'"
            )
        self.padding = padding if isinstance(padding, str) else expand_pair(padding, self.dims, "padding")
        self.padding_mode = padding_mode
        around = []
        for i, (k, d) in enumerate(zip(self.kernel_size, self.dilation, strict=True)):
            if self.padding == "same":
                total = d * (k - 1)
                around.append((total // 2, total - total // 2))
            elif isinstance(self.padding, str):
                around.append((0, 0))
            else:
                around.append((self.padding[i], self.padding[i]))
        self._reversed_padding_repeated_twice = [each for pair in reversed(around) for each in pair]

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._fans(self.weight)
            if fan_in:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def _convolve(self, function: Any, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = (0,) * self.dims
        return function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        zeros, ones = (0,) * self.dims, (1,) * self.dims
        if self.padding != zeros:
            text += f", padding={self.padding}"
        if self.dilation != ones:
            text += f", dilation={self.dilation}"
        if self.output_padding != zeros:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text + (f", padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "")


class _Forward(_ConvNd):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._setup(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias, padding_mode,
            device,
            dtype,
        )  # fmt: skip


class Conv1d(_Forward):
    """A convolution along one dimension; see `Conv2d`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv1d.html
    """

    dims = 1

    def forward(self, input: Tensor) -> Tensor:
        return self._convolve(F.conv1d, input)


class Conv2d(_Forward):
    """A convolution of images; see `retrograd.nn.functional.conv2d`.

    Weight and bias start uniformly in ``±1 / sqrt(fan_in)``.

    Parameters
    ----------
    in_channels, out_channels
        The numbers of channels.
    kernel_size, stride, padding, dilation
        Ints, or one for each dimension; `padding` may be `"same"` or `"valid"`.
    groups
        Into how many parts, convolved separately, the channels are divided.
    bias
        Whether there is one.
    padding_mode
        `"zeros"`, or `"reflect"`, `"replicate"` or `"circular"`, as in `retrograd.nn.functional.pad`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.Conv2d(3, 8, kernel_size=3, padding=1)
    >>> layer(retrograd.ones(1, 3, 5, 5)).shape
    retrograd.Size([1, 8, 5, 5])
    """

    dims = 2

    def forward(self, input: Tensor) -> Tensor:
        return self._convolve(F.conv2d, input)


class Conv3d(_Forward):
    """A convolution along three dimensions; see `Conv2d`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv3d.html
    """

    dims = 3

    def forward(self, input: Tensor) -> Tensor:
        return self._convolve(F.conv3d, input)


class _ConvTransposeNd(_ConvNd):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        self._setup(
            in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def _spread(self, function: Any, input: Tensor, output_size: Any) -> Tensor:
        extra = self.output_padding if output_size is None else self._extra_for(input, output_size)
        return function(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _extra_for(self, input: Tensor, output_size: Any) -> Ints:
        """The output padding that leads to `output_size`."""
        wanted = tuple(output_size)[-self.dims :]
        extra = []
        for i in range(self.dims):
            least = (
                (input.shape[input.ndim - self.dims + i] - 1) * self.stride[i]
                - 2 * self.padding[i]
                + self.dilation[i] * (self.kernel_size[i] - 1)
                + 1
            )
            if not least <= wanted[i] <= least + self.stride[i] - 1:
                raise ValueError(
                    f"requested an output size of {list(wanted)}, but dimension {i} must lie between "
                    f"{least} and "
                    f"{least + self.stride[i] - 1}"
                )
            extra.append(wanted[i] - least)
        return tuple(extra)


class ConvTranspose1d(_ConvTransposeNd):
    """The transpose of `Conv1d`."""

    dims = 1

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return self._spread(F.conv_transpose1d, input, output_size)


class ConvTranspose2d(_ConvTransposeNd):
    """The transpose of `Conv2d`: each element is spread over a window.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html
    """

    dims = 2

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return self._spread(F.conv_transpose2d, input, output_size)


class ConvTranspose3d(_ConvTransposeNd):
    """The transpose of `Conv3d`."""

    dims = 3

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return self._spread(F.conv_transpose3d, input, output_size)
