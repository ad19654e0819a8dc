"""Reading pictures at any places, and the places that affine maps lead to."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from retrograd.ops.grids import affine_grid_generator, grid_sampler
from retrograd.tensor import Tensor

__all__ = ["affine_grid", "grid_sample"]

_MODES = {"bilinear": 0, "nearest": 1, "bicubic": 2}
_PADDINGS = {"zeros": 0, "border": 1, "reflection": 2}


def _aligned(align_corners: bool | None) -> Any:
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please "
            "specify align_corners=True if the old behavior is desired. See the documentation of grid_sample for "
            "details.",
            stacklevel=3,
        )
    return align_corners is not None and align_corners


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """The values of pictures at the places that a grid names, differentiable by both.

    Shapes: input (N, C, H, W), grid (N, H', W', 2), result (N, C, H', W'); or input and result with a depth in front of
    the height, and grid (N, D', H', W', 3).

    Parameters
    ----------
    grid
        Places as (x, y) or (x, y, z), from -1 to 1: the left, upper and front end, and the opposite one.
    mode
        How to read between elements: `"bilinear"`, `"nearest"`, or `"bicubic"` (only pictures without depth).
    padding_mode
        What is outside: `"zeros"`, the elements at the `"border"`, or the picture's `"reflection"`.
    align_corners
        Whether -1 and 1 are the middles of the outermost elements, and not their edges.

    Raises
    ------
    RuntimeError, ValueError
        If the shapes or types do not fit, or there is no such mode.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.grid_sample.html

    Examples
    --------
    >>> import retrograd
    >>> picture = retrograd.arange(4.0).reshape(1, 1, 2, 2)
    >>> places = retrograd.tensor([[[[-1.0, -1.0], [0.0, 0.0], [1.0, 0.0]]]])
    >>> retrograd.nn.functional.grid_sample(picture, places, align_corners=True)
    tensor([[[[0.0000, 1.5000, 2.0000]]]])
    """
    if mode not in _MODES:
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
        )
    if padding_mode not in _PADDINGS:
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{padding_mode}'"
        )
    return grid_sampler(input, grid, _MODES[mode], _PADDINGS[padding_mode], _aligned(align_corners))


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Where affine maps take the places of a picture: a grid for `grid_sample`.

    Shapes: theta (N, 2, 3), size (N, C, H, W), result (N, H, W, 2); or (N, 3, 4), (N, C, D, H, W), (N, D, H, W, 3).

    Raises
    ------
    ValueError, NotImplementedError
        If theta is of another shape or no floating-point type, or the size is not that of a picture.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.affine_grid.html

    Examples
    --------
    >>> import retrograd
    >>> turn = retrograd.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    >>> retrograd.nn.functional.affine_grid(turn, (1, 1, 1, 2), align_corners=False)
    tensor([[[[ 0.0000, -0.5000],
              [ 0.0000,  0.5000]]]])
    """
    align = _aligned(align_corners)
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    dims = len(size) - 2
    if dims not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. "
            f"Got size {size}."
        )
    if theta.ndim != 3 or theta.shape[1:] != (dims, dims + 1):
        raise ValueError(
            f"Expected a batch of {dims}D affine matrices of shape Nx{dims}x{dims + 1} for size {size}. "
            f"Got {theta.shape}."
        )
    if align and min(size[2:]) == 1:
        warnings.warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when align_corners=True. This "
            "is not an intended use case of affine_grid. See the documentation of affine_grid for details.",
            stacklevel=2,
        )
    elif min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    return affine_grid_generator(theta, size, align)
