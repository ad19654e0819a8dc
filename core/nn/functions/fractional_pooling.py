"""Max pools whose windows begin at random places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograd.dtypes import Category
from retrograd.nn.functions.pooling import _with_indices
from retrograd.ops.checks import implemented_for
from retrograd.ops.fractional_pools import _fractional_max_pools
from retrograd.ops.sampling import rand
from retrograd.ops.underived import refuse_gradients
from retrograd.tensor import Tensor

__all__ = [
    "fractional_max_pool2d", "fractional_max_pool2d_with_indices", "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
]  # fmt: skip

Sizes = int | Sequence[int]
Ratios = Sequence[float]

_AXES = {2: ("height", "width"), 3: ("time", "height", "width")}


def _sizes(dims: int, argument: str, position: int, value: Any) -> tuple[int, ...]:
    """One int for each spatial dimension."""
    name = f"fractional_max_pool{dims}d"
    if type(value) is int:
        return (value,) * dims
    if not isinstance(value, (tuple, list)):
        kind = type(value).__name__
        raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be tuple of ints, not {kind}")
    for at, each in enumerate(value, 1):
        if type(each) is not int:
            raise TypeError(
                f"{name}(): argument '{argument}' failed to unpack the object at pos {at} with error "
                f'"type must be tuple of ints,but got {type(each).__name__}"'
            )
    if len(value) != dims:
        count = "three Ints" if dims == 3 else "Ints"
        raise RuntimeError(f"{name}: {argument} must either be a single Int or tuple of {count}")
    return tuple(value)


def _output_size(dims: int, input: Tensor, output_ratio: Ratios) -> tuple[int, ...]:
    if dims == 2 and len(output_ratio) > 2:
        raise ValueError("fractional_max_pool2d requires output_ratio to either be a single Int or tuple of Ints.")
    ratios = output_ratio if isinstance(output_ratio, Sequence) else (output_ratio,) * dims
    return tuple(int(input.size(axis - dims) * ratios[axis]) for axis in range(dims))


def _check_input(dims: int, input: Tensor, kernel: tuple[int, ...], output: tuple[int, ...]) -> None:
    name, shape = f"fractional_max_pool{dims}d{'_out' if dims == 3 else ''}()", list(input.shape)
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(f"{name}: Expected {dims + 1}D or {dims + 2}D tensor, but got: {shape}")
    for axis, n in enumerate(shape[1:], 1):
        if n <= 0:
            raise RuntimeError(
                f"{name}: Expected input to have non-zero size for non-batch dimensions, but got{shape} with dimension "
                f"{axis} being empty."
            )
    for which, k, m, n in zip(_AXES[dims], kernel, output, shape[-dims:], strict=True):
        if m + k - 1 > n - (dims == 3):  # PyTorch is stricter where there are three
            raise RuntimeError(f"{name}: pool {which} {k} too large relative to input {which} {n}")
    made = [*shape[:-dims], *output]
    negative = [m for m in made if m < 0]
    if negative:
        raise RuntimeError(f"Trying to create tensor with negative dimension {negative[0]}: {made}")


def _check_samples(dims: int, input: Tensor, samples: Tensor) -> None:
    if samples.dtype is not input.dtype:
        raise RuntimeError("Expect _random_samples to have the same dtype as input")
    if samples.ndim != 3:
        raise RuntimeError(f"Expect _random_samples to have 3 dimensions, got {samples.ndim}")
    if samples.shape[0] < (input.shape[0] if input.ndim == dims + 2 else 1):
        raise RuntimeError("Expect _random_samples.size(0) no less then input batch size.")
    if samples.shape[1] != input.shape[-dims - 1]:
        raise RuntimeError("Expect _random_samples.size(1) equals to input channel size.")
    if samples.shape[2] != dims:
        raise RuntimeError(f"Expect _random_samples.size(2) equals to {dims}; got {samples.shape[2]}.")
    implemented_for(f"fractional_max_pool{dims}d_out_frame", Category.FLOAT)((input,))


def _pool(
    dims: int, input: Tensor, kernel_size: Sizes, output_size: Sizes | None, output_ratio: Ratios | None,
    return_indices: bool, samples: Any,
) -> Any:  # fmt: skip
    name = f"fractional_max_pool{dims}d"
    if output_size is None:
        if output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
        output_size = _output_size(dims, input, output_ratio)
    if samples is None:
        count = 1 if input.dim() == dims + 1 else input.size(0)
        samples = rand(count, input.size(-dims - 1), dims, dtype=input.dtype, device=input.device)
    kernel = _sizes(dims, "kernel_size", 2, kernel_size)
    output = _sizes(dims, "output_size", 3, output_size)
    if not isinstance(samples, Tensor):
        kind = type(samples).__name__
        raise TypeError(f"{name}(): argument 'random_samples' (position 4) must be Tensor, not {kind}")
    refuse_gradients(name, random_samples=samples)
    _check_input(dims, input, kernel, output)
    _check_samples(dims, input, samples)
    used = samples[: input.shape[0]] if input.ndim == dims + 2 else samples[0]
    values, places = _fractional_max_pools[dims](input, used, kernel, output)
    return (values, places) if return_indices else values


def fractional_max_pool2d(
    input: Tensor, kernel_size: Sizes, output_size: Sizes | None = None, output_ratio: Ratios | None = None,
    return_indices: bool = False, _random_samples: Tensor | None = None,
) -> Any:  # fmt: skip
    """The largest element of each of `output_size` windows, which begin at random places in order and may overlap.

    Shapes: input (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    kernel_size
        The size of a window.
    output_size
        The spatial shape of the result.
    output_ratio
        Or what parts of the input's spatial shape it is, between 0 and 1.
    return_indices
        Also give the positions in the flattened image.
    _random_samples
        Numbers from 0 to 1, of shape (N, C, 2), that decide about the places; drawn by default.

    Raises
    ------
    RuntimeError
        If windows do not fit into the input, or shapes or types do not fit.
    ValueError
        If neither a size nor a ratio is given.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.fractional_max_pool2d.html

    Examples
    --------
    >>> import retrograd
    >>> image = retrograd.arange(25.0).reshape(1, 5, 5)
    >>> pooled = retrograd.nn.functional.fractional_max_pool2d(image, 2, output_size=3)
    >>> pooled.shape, pooled[0, 2, 2]
    (retrograd.Size([1, 3, 3]), tensor(24.))
    """
    return _pool(2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool3d(
    input: Tensor, kernel_size: Sizes, output_size: Sizes | None = None, output_ratio: Ratios | None = None,
    return_indices: bool = False, _random_samples: Tensor | None = None,
) -> Any:  # fmt: skip
    """The largest element of each of `output_size` windows in three dimensions; see `fractional_max_pool2d`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.fractional_max_pool3d.html
    """
    return _pool(3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


fractional_max_pool2d_with_indices = _with_indices(fractional_max_pool2d)
fractional_max_pool3d_with_indices = _with_indices(fractional_max_pool3d)
