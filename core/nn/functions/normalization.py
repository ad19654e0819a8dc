"""Normalizations by mean and variance of a batch, a layer or a group; and by a norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from retrograd.autograd.modes import no_grad
from retrograd.dtypes import Category, finfo
from retrograd.levels import is_mapped
from retrograd.ops.arguments import as_float, as_int, as_tuple
from retrograd.ops.checks import not_implemented
from retrograd.ops.elementwise import _add_number
from retrograd.ops.flags import no_flag
from retrograd.ops.normalization import _batch_norm, _fixed_batch_norm, _group_norm, _layer_norm
from retrograd.storage import write
from retrograd.tensor import Tensor

__all__ = [
    "batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "normalize", "rms_norm",
]  # fmt: skip


_SHARED_STATISTICS = (
    "Batch norm got a batched tensor as input while the running_mean or running_var, which will be updated in place, "
    "were not batched.\nIf you are using a module and do not need eval mode, please set `track_running_stats` to be "
    "False.If you are using a prebuilt module and do not need eval mode, please see the functorch website for "
    "resources on how to patch your module to work with vmap"
)


def _check_size(name: str, values: Tensor | None, expected: int) -> None:
    if values is not None and values.numel() != expected:
        raise RuntimeError(f"{name} should contain {expected} elements not {values.numel()}")


def _check_training_size(input: Tensor) -> None:
    if input.numel() == (input.shape[1] if input.ndim > 1 else 1):
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.size()}")


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias``, channel by channel.

    While training, mean and (biased) variance are the batch's, and `running_mean` and `running_var`
    take a step towards them (the variance unbiased); otherwise the running ones are used.

    Raises
    ------
    ValueError
        If there is only one value per channel while training.
    RuntimeError
        If running statistics are missing, or a size does not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.batch_norm.html
    """
    if type(training) is not bool:
        raise no_flag("batch_norm", "training", training, 6)
    if training:
        _check_training_size(input)
        if eps <= 0.0:
            raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    elif running_mean is None or running_var is None:
        missing = "running_mean" if running_mean is None else "running_var"
        raise RuntimeError(f"Expected {missing} to be defined when training is False")
    if input.ndim == 1 and not input.numel():
        return input.clone()
    channels = input.shape[1] if input.ndim > 1 else 0
    for name, each in (
        ("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias),
    ):  # fmt: skip
        _check_size(name, each, channels)
    if input.ndim < 2:
        raise IndexError("Dimension out of range (expected to be in range of [-1, 0], but got 1)")
    if not training:
        return _fixed_batch_norm(input, weight, bias, running_mean, running_var, eps)
    if is_mapped(input) and not all(each is None or is_mapped(each) for each in (running_mean, running_var)):
        raise RuntimeError(_SHARED_STATISTICS)
    momentum = as_float(momentum)
    out, mean, _, var = _batch_norm(input, weight, bias, eps)
    if not input.numel():
        return out  # of nothing there are no statistics
    _update_running(running_mean, mean, momentum, 1.0)
    count = input.numel() // channels
    _update_running(running_var, var, momentum, count / (count - 1))
    return out


def _update_running(running: Tensor | None, now: Tensor, momentum: float, correction: float) -> None:
    if running is None:
        return
    k, array = running._kernels, running._array
    while now._kernels.level > k.level:  # the same for all samples, as `running` is
        now = now._array.value
    now = k.lift(now) if k.level else now
    fresh = k.astype(k.reshape(now._array, tuple(array.shape)), array.dtype)
    write(running, fresh * (momentum * correction) + array * (1 - momentum))


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`batch_norm` of each sample by itself.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.instance_norm.html
    """
    if type(use_input_stats) is not bool:
        raise no_flag("instance_norm", "use_input_stats", use_input_stats, 6)
    n, channels = input.shape[:2]
    if use_input_stats and math.prod(input.shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.size()}")
    for name, each in (("weight", weight), ("bias", bias)):
        _check_size(name, each, channels)
    merged = input.reshape(1, n * channels, *input.shape[2:])
    wide_weight, wide_bias = (None if each is None else each.repeat(n) for each in (weight, bias))
    means, variances = (None if each is None else each.repeat(n) for each in (running_mean, running_var))
    out = batch_norm(merged, means, variances, wide_weight, wide_bias, use_input_stats, momentum, eps)
    if use_input_stats:
        for running, each in ((running_mean, means), (running_var, variances)):
            if running is not None and each is not None:
                with no_grad():
                    running.copy_(each.reshape(n, channels).mean(0))
    return out.view(*input.shape)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias``, with statistics of the last dimensions.

    Raises
    ------
    RuntimeError
        If `normalized_shape` is not the shape of the last dimensions, or weight or bias are not of it.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.layer_norm.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.functional.layer_norm(retrograd.tensor([1.0, 3.0]), (2,))
    tensor([-1.0000,  1.0000])
    """
    shape = _checked_shape(input, normalized_shape, "layer_norm")
    for name, each in (("weight", weight), ("bias", bias)):
        if each is not None and tuple(each.shape) != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(each.shape)} and normalized_shape = {list(shape)}"
            )
    return _layer_norm(input, weight, bias, len(shape), eps)[0]


def _checked_shape(input: Tensor, normalized_shape: Sequence[int], name: str) -> tuple[int, ...]:
    shape = as_tuple(normalized_shape)
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, "
            "but got "
            "normalized_shape = []"
        )
    if tuple(input.shape[-len(shape) :]) != shape or input.ndim < len(shape):
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*, "
            f"{', '.join(map(str, shape))}], but got input of size{list(input.shape)}"
        )
    return shape


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """``x / sqrt(mean(x**2) + eps) * weight``, with the mean over the last dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.rms_norm.html
    """
    shape = _checked_shape(input, normalized_shape, "rms_norm")
    if weight is not None and tuple(weight.shape) != shape:
        raise RuntimeError(
            f"Expected weight to be of same shape as normalized_shape, but got weight of shape {list(weight.shape)} "
            f"and normalized_shape = {list(shape)}"
        )
    if input.dtype.category < Category.FLOAT:
        raise not_implemented("rms_norm", input.dtype)
    dims = tuple(range(input.ndim - len(shape), input.ndim))
    x = input.float() if input.dtype.itemsize == 2 else input  # squares of float16 numbers soon overflow
    small = finfo(x.dtype).eps if eps is None else eps
    out = x * _add_number(x.pow(2).mean(dims, keepdim=True), small).rsqrt()
    return (out if weight is None else out * weight).to(input.dtype)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """`layer_norm` of each group of channels; weight and bias are per channel.

    Raises
    ------
    RuntimeError
        If the channels do not divide into the groups.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.group_norm.html
    """
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}")
    channels = input.shape[1]
    if as_int(num_groups) <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if channels % num_groups:
        raise RuntimeError(
            f"Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(input.shape)} and num_groups={num_groups}"
        )
    for name, each in (("weight", weight), ("bias", bias)):
        if each is not None and (each.ndim != 1 or each.numel() != channels):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but got "
                f"{name} of "
                f"shape {list(each.shape)} and input of shape {list(input.shape)}"
            )
    return _group_norm(input, weight, bias, num_groups, eps)[0]


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """``x`` divided by a power of ``k + alpha * mean(x**2)`` over neighbouring channels.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.local_response_norm.html
    """
    from retrograd.nn.functions.pooling import avg_pool2d, avg_pool3d
    from retrograd.nn.functions.vision import pad

    if input.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)")
    if input.numel() == 0:
        return input
    n, channels, length = input.shape[:3]
    squares, around = input.mul(input), (size // 2, (size - 1) // 2)
    if input.ndim == 3:
        mean = avg_pool2d(pad(squares.unsqueeze(1), (0, 0, *around)), (size, 1), stride=1).squeeze(1)
    else:
        padded = pad(squares.view(n, 1, channels, length, -1), (0, 0, 0, 0, *around))
        mean = avg_pool3d(padded, (size, 1, 1), stride=1).view(*input.shape)
    return input / mean.mul(alpha).add(k).pow(beta)


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """``x`` divided by its p-norm along `dim`, or by `eps` if that is larger.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.normalize.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.functional.normalize(retrograd.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    divided = input / input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)
    return divided if out is None else out.copy_(divided)
