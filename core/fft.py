"""Discrete Fourier transforms, with `torch.fft`'s names: of one, two and any number of dimensions.

`norm` says by what transforms are divided: `"backward"` (the default) the way back by the number of points,
`"forward"` the way there, `"ortho"` both by its root. `n` and `s` are the numbers of points along `dim`: what is longer
is cut, what is shorter padded with zeros. All are differentiable, for real and complex numbers.

Source: https://docs.pytorch.org/docs/stable/fft.html
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from retrograd.dtypes import Category, dtype as _dtype, get_default_dtype
from retrograd.ops import arrange, fourier
from retrograd.ops.arguments import as_ints, wrap_dim
from retrograd.ops.autocasting import widened
from retrograd.ops.creation import tensor
from retrograd.ops.declare import publics as _publics
from retrograd.ops.options import c_name
from retrograd.ops.reducing import deliver
from retrograd.ops.shape import slice_dim
from retrograd.tensor import Tensor

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn", "ifftshift",
    "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

Ints = int | Sequence[int] | None
_LAST_TWO = (-2, -1)


# -- what goes in --------------------------------------------------------------------------------


def _checked(name: str, input: Any) -> Tensor:
    if not isinstance(input, Tensor):
        raise TypeError(f"fft_{name}(): argument 'input' (position 1) must be Tensor, not {c_name(input)}")
    return input


def _floating(x: Tensor) -> Tensor:
    """In a type that there are transforms of."""
    if x.dtype.category < Category.FLOAT:
        return x.to(get_default_dtype())
    if x.dtype.itemsize == 2:
        (x,) = widened(x)  # under autocast
    if x.dtype.itemsize <= 2:
        raise RuntimeError(f"Unsupported dtype {x.dtype.type_name}")
    return x


def _complex(x: Tensor) -> Tensor:
    x = _floating(x)
    return x if x.is_complex() else x.to(x.dtype.to_complex())


def _real(x: Tensor, refusal: str) -> Tensor:
    if x.is_complex():
        raise RuntimeError(f"{refusal}{x.dtype.type_name}")
    return _floating(x)


def _normalization(norm: str | None, forward: bool) -> int:
    if norm is None or norm == "backward":
        return fourier.UNSCALED if forward else fourier.BY_COUNT
    if norm == "forward":
        return fourier.BY_COUNT if forward else fourier.UNSCALED
    if norm == "ortho":
        return fourier.BY_ROOT
    if not isinstance(norm, str):
        raise TypeError(f"argument 'norm' must be str, not {c_name(norm)}")
    raise RuntimeError(f'Invalid normalization mode: "{norm}"')


def _axis(x: Tensor, dim: int) -> int:
    if not x.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return wrap_dim(dim, x.ndim) + 0  # without what it remembers of how it was given


def _check_points(n: int) -> None:
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")


def _points(name: str, x: Tensor, n: int | None, axis: int) -> int:
    if n is not None and (isinstance(n, bool) or not hasattr(n, "__index__")):
        raise TypeError(f"fft_{name}(): argument 'n' (position 2) must be int, not {type(n).__name__}")
    count = x._array.shape[axis] if n is None else int(n)
    _check_points(count)
    return count


def _resized(x: Tensor, axes: tuple[int, ...], sizes: Sequence[int]) -> Tensor:
    """Cut, or padded with zeros, at the end of each of the axes."""
    widths = [(0, 0)] * x.ndim
    for axis, size in zip(axes, sizes, strict=True):
        have = x._array.shape[axis]
        if size < have:
            x = slice_dim(x, axis, 0, size, 1)
        widths[axis] = (0, max(size - have, 0))
    if not any(after for _, after in widths):
        return x
    pad = tuple(each for pair in reversed(widths) for each in pair)
    return arrange._constant_pad(x, tuple(widths), 0.0, pad)


def _axes(x: Tensor, s: Ints, dim: Ints) -> tuple[tuple[int, ...], list[int]]:
    """The axes to transform, and the numbers of points along them; all of `x` by default."""
    sizes = None if s is None else as_ints((s,))
    if dim is not None:
        axes = tuple(_axis(x, each) for each in as_ints((dim,)))
        if len(set(axes)) != len(axes):
            raise RuntimeError("FFT dims must be unique")
        if sizes is not None and len(sizes) != len(axes):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
    else:
        if sizes is not None and len(sizes) > x.ndim:
            raise RuntimeError(f"Got shape with {len(sizes)} values but input tensor only has {x.ndim} dimensions.")
        axes = tuple(range(0 if sizes is None else x.ndim - len(sizes), x.ndim))
    have = [x._array.shape[axis] for axis in axes]
    found = have if sizes is None else [m if n == -1 else n for n, m in zip(sizes, have, strict=True)]
    for each in found:
        _check_points(each)
    return axes, found


def _given(name: str, out: Tensor | None, result: Tensor) -> Tensor:
    if out is None:
        return result
    if result.is_complex() and not out.is_complex():
        raise RuntimeError(f"{name} expects a complex output tensor, but got {out.dtype.type_name}")
    return deliver(name, out, result)


# -- along one dimension -------------------------------------------------------------------------


def _one(name: str, input: Any, n: int | None, dim: int, norm: str | None, forward: bool) -> Tensor:
    x = _floating(_checked(name, input))
    axis = _axis(x, dim)
    x = _resized(x, (axis,), (_points(name, x, n, axis),))
    scale = _normalization(norm, forward)
    if x.is_complex():
        return fourier.c2c(x, (axis,), scale, forward)
    result: Tensor = fourier.r2c(x, (axis,), scale, False)
    return result if forward else result.conj()


def _one_real(name: str, input: Any, n: int | None, dim: int, norm: str | None, forward: bool) -> Tensor:
    x = _real(_checked(name, input), f"{name} expects a real input tensor, but got ")
    axis = _axis(x, dim)
    x = _resized(x, (axis,), (_points(name, x, n, axis),))
    result: Tensor = fourier.r2c(x, (axis,), _normalization(norm, forward), True)
    return result if forward else result.conj()


def _one_back(name: str, input: Any, n: int | None, dim: int, norm: str | None, forward: bool) -> Tensor:
    x = _complex(_checked(name, input))
    axis = _axis(x, dim)
    count = 2 * (x._array.shape[axis] - 1) if n is None else n
    _points(name, x, count, axis)
    x = _resized(x, (axis,), (count // 2 + 1,))
    return fourier.c2r(x.conj() if forward else x, (axis,), _normalization(norm, forward), count)


def fft(
    input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """The discrete Fourier transform along a dimension: ``X[k] = sum(x[j] * exp(-2 pi i j k / n))``.

    Parameters
    ----------
    n
        How many points, by default all.
    norm
        See the module.

    Raises
    ------
    RuntimeError
        If there are no points, or the type is of half precision.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.fft.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fft.fft(retrograd.tensor([1.0, 0.0, 0.0, 1.0]))
    tensor([2.+0.j, 1.+1.j, 0.+0.j, 1.-1.j])
    """
    return _given("fft", out, _one("fft", input, n, dim, norm, True))


def ifft(
    input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """The inverse of `fft`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.ifft.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fft.ifft(retrograd.tensor([4.0, 0.0, 0.0, 0.0]))
    tensor([1.-0.j, 1.-0.j, 1.-0.j, 1.-0.j])
    """
    return _given("ifft", out, _one("ifft", input, n, dim, norm, False))


def rfft(
    input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """The first ``n // 2 + 1`` of what `fft` gives for real numbers; the others are conjugates of them.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.rfft.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fft.rfft(retrograd.tensor([1.0, 0.0, 0.0, 1.0]))
    tensor([2.+0.j, 1.+1.j, 0.+0.j])
    """
    return _given("rfft", out, _one_real("rfft", input, n, dim, norm, True))


def irfft(
    input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """The inverse of `rfft`: real numbers, `n` of them, by default ``2 * (m - 1)`` for an input of m.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.irfft.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fft.irfft(retrograd.fft.rfft(retrograd.tensor([1.0, 2.0, 3.0])), n=3)
    tensor([1., 2., 3.])
    """
    return _given("irfft", out, _one_back("irfft", input, n, dim, norm, False))


def hfft(
    input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """The real transform of a signal of which the input is the half that tells the other, its conjugate.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.hfft.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fft.hfft(retrograd.tensor([1.0, 2.0, 3.0]))
    tensor([ 8., -2.,  0., -2.])
    """
    return _given("hfft", out, _one_back("hfft", input, n, dim, norm, True))


def ihfft(
    input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """The inverse of `hfft`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.ihfft.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fft.ihfft(retrograd.tensor([8.0, -2.0, 0.0, -2.0]))
    tensor([1.-0.j, 2.-0.j, 3.-0.j])
    """
    return _given("ihfft", out, _one_real("ihfft", input, n, dim, norm, False))


# -- along several dimensions --------------------------------------------------------------------


def _several(name: str, input: Any, s: Ints, dim: Ints, norm: str | None, forward: bool) -> Tensor:
    x = _complex(_checked(name, input))
    axes, sizes = _axes(x, s, dim)
    return fourier.c2c(_resized(x, axes, sizes), axes, _normalization(norm, forward), forward)


def fftn(
    input: Tensor, s: Ints = None, dim: Ints = None, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """`fft` along several dimensions, by default all.

    Parameters
    ----------
    s
        The numbers of points along the dimensions; -1 for all. Without `dim` the last ones are meant.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.fftn.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fft.fftn(retrograd.ones(2, 2))
    tensor([[4.+0.j, 0.+0.j],
            [0.+0.j, 0.+0.j]])
    """
    return _given("fftn", out, _several("fftn", input, s, dim, norm, True))


def ifftn(
    input: Tensor, s: Ints = None, dim: Ints = None, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """The inverse of `fftn`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.ifftn.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fft.ifftn(retrograd.ones(2, 2))
    tensor([[1.+0.j, 0.+0.j],
            [0.+0.j, 0.+0.j]])
    """
    return _given("ifftn", out, _several("ifftn", input, s, dim, norm, False))


def rfftn(
    input: Tensor, s: Ints = None, dim: Ints = None, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """`fftn` of real numbers, along the last of the dimensions only the half that tells the other.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.rfftn.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fft.rfftn(retrograd.ones(2, 4)).shape
    retrograd.Size([2, 3])
    """
    x = _real(_checked("rfftn", input), "rfftn expects a real-valued input tensor, but got ")
    axes, sizes = _axes(x, s, dim)
    if not axes:
        raise RuntimeError("rfftn must transform at least one axis")
    return _given("rfftn", out, fourier.r2c(_resized(x, axes, sizes), axes, _normalization(norm, True), True))


def _halved(name: str, input: Any, s: Ints, dim: Ints) -> tuple[Tensor, tuple[int, ...], int]:
    """The half of a spectrum, cut and padded, its axes, and the number of points of the whole along the last."""
    x = _complex(_checked(name, input))
    sizes = None if s is None else [s] if isinstance(s, int) else list(s)
    axes, found = _axes(x, None if sizes is None else [*sizes[:-1], *[1][: len(sizes)]], dim)
    if not axes:
        raise RuntimeError(f"{name} must transform at least one axis")
    count = 2 * (x._array.shape[axes[-1]] - 1) if sizes is None or sizes[-1] == -1 else sizes[-1]
    _check_points(count)
    return _resized(x, axes, [*found[:-1], count // 2 + 1]), axes, count


def irfftn(
    input: Tensor, s: Ints = None, dim: Ints = None, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """The inverse of `rfftn`. `s` are the numbers of points of the result.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.irfftn.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.arange(6.0).reshape(2, 3)
    >>> retrograd.allclose(retrograd.fft.irfftn(retrograd.fft.rfftn(x), s=(2, 3)), x)
    True
    """
    x, axes, count = _halved("irfftn", input, s, dim)
    return _given("irfftn", out, fourier.c2r(x, axes, _normalization(norm, False), count))


def hfftn(
    input: Tensor, s: Ints = None, dim: Ints = None, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """`fftn` of a signal of which the input, along the last of the dimensions, is the half that tells the other.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.hfftn.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fft.hfftn(retrograd.ones(2, 2, dtype=retrograd.complex64))
    tensor([[4., 0.],
            [0., 0.]])
    """
    x, axes, count = _halved("hfftn", input, s, dim)
    scale = _normalization(norm, True)
    if axes[:-1]:
        x = fourier.c2c(x, axes[:-1], scale, True)
    return _given("hfftn", out, fourier.c2r(x.conj(), axes[-1:], scale, count))


def ihfftn(
    input: Tensor, s: Ints = None, dim: Ints = None, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """The inverse of `hfftn`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.ihfftn.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fft.ihfftn(retrograd.ones(2, 4)).shape
    retrograd.Size([2, 3])
    """
    x = _real(_checked("ihfftn", input), "Only supports floating-point dtypes, but found: ")
    axes, sizes = _axes(x, s, dim)
    if not axes:
        raise RuntimeError("ihfftn must transform at least one axis")
    scale = _normalization(norm, False)
    half: Tensor = _publics["conj_physical"](fourier.r2c(_resized(x, axes, sizes), axes[-1:], scale, True))
    return _given("ihfftn", out, fourier.c2c(half, axes[:-1], scale, False) if axes[:-1] else half)


def fft2(
    input: Tensor, s: Ints = None, dim: Ints = _LAST_TWO, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """`fftn` along the last two dimensions."""
    return fftn(input, s, dim, norm, out=out)


def ifft2(
    input: Tensor, s: Ints = None, dim: Ints = _LAST_TWO, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """`ifftn` along the last two dimensions."""
    return ifftn(input, s, dim, norm, out=out)


def rfft2(
    input: Tensor, s: Ints = None, dim: Ints = _LAST_TWO, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """`rfftn` along the last two dimensions."""
    return rfftn(input, s, dim, norm, out=out)


def irfft2(
    input: Tensor, s: Ints = None, dim: Ints = _LAST_TWO, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """`irfftn` along the last two dimensions."""
    return irfftn(input, s, dim, norm, out=out)


def hfft2(
    input: Tensor, s: Ints = None, dim: Ints = _LAST_TWO, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """`hfftn` along the last two dimensions."""
    return hfftn(input, s, dim, norm, out=out)


def ihfft2(
    input: Tensor, s: Ints = None, dim: Ints = _LAST_TWO, norm: str | None = None, *, out: Tensor | None = None
) -> Tensor:
    """`ihfftn` along the last two dimensions."""
    return ihfftn(input, s, dim, norm, out=out)


# -- frequencies ---------------------------------------------------------------------------------


def _frequencies(name: str, n: Any, d: float, places: Any, options: dict[str, Any]) -> Tensor:
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"fft_{name}(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    type_: _dtype | None = options.pop("dtype", None)
    if type_ is not None and type_.category < Category.FLOAT:
        raise RuntimeError(f"{name} requires a floating point or complex dtype")
    scale = 1.0 / (n * d) if n * d else math.inf
    numbers = [each * scale for each in places(n)]
    return tensor(numbers, dtype=type_ or get_default_dtype(), **options)


def fftfreq(n: int, d: float = 1.0, **options: Any) -> Tensor:
    """The frequencies that belong to what `fft` gives: ``[0, 1, ..., -2, -1] / (d * n)``.

    Parameters
    ----------
    d
        The time from one sample to the next.
    options
        `dtype`, `device` and `requires_grad`, as of other functions that make tensors.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.fftfreq.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fft.fftfreq(4)
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    return _frequencies("fftfreq", n, d, lambda n: [*range((n + 1) // 2), *range(-(n // 2), 0)], options)


def rfftfreq(n: int, d: float = 1.0, **options: Any) -> Tensor:
    """The frequencies that belong to what `rfft` gives of `n` points.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.rfftfreq.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fft.rfftfreq(4)
    tensor([0.0000, 0.2500, 0.5000])
    """
    return _frequencies("rfftfreq", n, d, lambda n: range(n // 2 + 1), options)


def _rolled(name: str, input: Any, dim: Ints, more: int) -> Tensor:
    x = _checked(name, input)
    dims = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    axes = tuple(wrap_dim(each, x.ndim) for each in dims)
    return _publics["roll"](x, tuple((x._array.shape[i] + more) // 2 for i in axes), axes)


def fftshift(input: Tensor, dim: Ints = None) -> Tensor:
    """What `fft` gives, with frequency 0 in the middle of the dimensions, by default of all.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.fftshift.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fft.fftshift(retrograd.fft.fftfreq(4))
    tensor([-0.5000, -0.2500,  0.0000,  0.2500])
    """
    return _rolled("fftshift", input, dim, 0)


def ifftshift(input: Tensor, dim: Ints = None) -> Tensor:
    """The inverse of `fftshift`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.ifftshift.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.fft.ifftshift(retrograd.tensor([-2, -1, 0, 1]))
    tensor([ 0,  1, -2, -1])
    """
    return _rolled("ifftshift", input, dim, 1)
