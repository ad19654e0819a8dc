"""Fourier transforms of short pieces of a signal, and signals from these: `stft` and `istft`.

Source: https://docs.pytorch.org/docs/stable/generated/torch.stft.html
"""

from __future__ import annotations

import warnings

from retrograd.ops.autocasting import in_float32
from retrograd.ops.complex_numbers import view_as_real
from retrograd.ops.creation import arange, ones, zeros
from retrograd.ops.declare import composite
from retrograd.ops.flags import flagged, told
from retrograd.ops.options import shown_type
from retrograd.tensor import Tensor

__all__: list[str] = []


def _shown(window: Tensor | None) -> str:
    return "None" if window is None else f"{shown_type(window.dtype)}{{{list(window.shape)}}}"


def _window(window: Tensor | None, length: int, n_fft: int, like: Tensor) -> Tensor:
    """The window in the middle of a piece; ones, if there is none."""
    real = like.real if like.is_complex() else like
    given = ones(length, dtype=real.dtype, device=like.device) if window is None else window
    if length == n_fft:
        return given
    from retrograd.nn.functional import pad

    left = (n_fft - length) // 2
    return pad(given, (left, n_fft - length - left))


def _warn_of_none(text: str) -> None:
    warnings.warn(f"A window was not provided. A rectangular window will be applied.{text}", UserWarning, stacklevel=5)


@composite
@flagged
@told(center=None, align_to_window=None)
@in_float32
def stft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Tensor | None = None, center: bool = True, pad_mode: str = "reflect", normalized: bool = False,
    onesided: bool | None = None, return_complex: bool | None = None, align_to_window: bool | None = None,
) -> Tensor:  # fmt: skip
    """The Fourier transforms of the pieces of `n_fft` samples that begin every `hop_length` samples.

    Shapes: input (samples) or (batch, samples); result (\\*, frequencies, pieces).

    Parameters
    ----------
    hop_length, win_length
        By default ``n_fft // 4`` and `n_fft`; a shorter window stands in the middle of each piece.
    center
        Whether the first piece has its middle at the first sample; then the signal is padded at both ends.
    onesided
        Whether negative frequencies are left out; by default, of real signals.

    Raises
    ------
    RuntimeError
        If sizes do not fit, or `return_complex` is not given for a real signal.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.stft.html

    Examples
    --------
    >>> import retrograd
    >>> window = retrograd.hann_window(4)
    >>> retrograd.stft(retrograd.ones(8), 4, window=window, return_complex=True).abs()[:, 2]
    tensor([2., 1., 0.])
    """
    from retrograd import fft
    from retrograd.nn.functional import pad

    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    if center:
        wide = input.view([1] * (3 - input.ndim) + list(input.shape))
        wide = pad(wide, [n_fft // 2, n_fft // 2], pad_mode)
        input = wide.view(wide.shape[-input.ndim :])
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    call = (
        f"stft(retrograd.{input.dtype.type_name}Tensor{list(input.shape)}, n_fft={n_fft}, hop_length={hop}, "
        f"win_length={length}, window={_shown(window)}, normalized={int(normalized)}, onesided="
        f"{'None' if onesided is None else int(onesided)}, return_complex="
        f"{'None' if return_complex is None else int(return_complex)}, align_to_window=None) : expected "
    )
    if not input.dtype.is_differentiable:
        raise RuntimeError(f"{call}a tensor of floating point or complex values")
    if window is None:
        _warn_of_none(" This is known to cause spectral leakage; pass a window such as retrograd.hann_window's.")
    if return_complex is None and not (input.is_complex() or (window is not None and window.is_complex())):
        raise RuntimeError(
            "stft requires the return_complex parameter be given for real inputs, and will further require that "
            "return_complex=True in a future PyTorch release."
        )
    if input.ndim not in (1, 2):
        raise RuntimeError(f"{call}a 1D or 2D tensor")
    samples = input.shape[-1]
    if n_fft <= 0 or n_fft > samples:
        raise RuntimeError(f"{call}0 < n_fft < {samples}, but got n_fft={n_fft}")
    if hop <= 0:
        raise RuntimeError(f"{call}hop_length > 0, but got hop_length={hop}")
    if length <= 0 or length > n_fft:
        raise RuntimeError(f"{call}0 < win_length <= n_fft, but got win_length={length}")
    if window is not None and (window.ndim != 1 or window.shape[0] != length):
        raise RuntimeError(
            f"{call}a 1D window tensor of size equal to win_length={length}, but got window with size "
            f"{list(window.shape)}"
        )
    pieces = input.unfold(-1, n_fft, hop) * _window(window, length, n_fft, input)
    half = not pieces.is_complex() if onesided is None else onesided
    norm = "ortho" if normalized else "backward"
    found = (fft.rfft if half else fft.fft)(pieces, norm=norm).transpose(-1, -2)
    return view_as_real(found) if return_complex is False else found


def _added(pieces: Tensor, hop: int) -> Tensor:
    """The sum of overlapping pieces (batch, count, size)."""
    batch, count, size = pieces.shape
    steps = arange(count, device=pieces.device).unsqueeze(1) * hop
    places = (steps + arange(size, device=pieces.device)).reshape(-1)
    start = zeros(batch, size + hop * (count - 1), dtype=pieces.dtype, device=pieces.device)
    return start.index_add(1, places, pieces.reshape(batch, -1))


@composite
@flagged
def istft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Tensor | None = None, center: bool = True, normalized: bool = False, onesided: bool | None = None,
    length: int | None = None, return_complex: bool = False,
) -> Tensor:  # fmt: skip
    """The signal of which `stft` has given the transforms of pieces, with the same window: the best in the mean square.

    Shapes: input (\\*, frequencies, pieces); result (samples) or (batch, samples).

    Parameters
    ----------
    onesided
        Whether the transforms have the frequencies from zero up alone; by default, unless there are `n_fft`.
    length
        The number of samples; by default all that the pieces tell of.
    return_complex
        Whether the signal is complex; then the transforms have all frequencies.

    Raises
    ------
    RuntimeError
        If sizes do not fit, the windows are zero together somewhere, or a complex signal is asked of half of the
        frequencies, or a real one of a complex window.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.istft.html

    Examples
    --------
    >>> import retrograd
    >>> x, window = retrograd.arange(8.0), retrograd.hann_window(4)
    >>> y = retrograd.istft(retrograd.stft(x, 4, window=window, return_complex=True), 4, window=window)
    >>> retrograd.allclose(x, y, atol=1e-5)
    True
    """
    from retrograd import fft
    from retrograd.nn.functional import pad

    if window is None:
        _warn_of_none(" Please provide the same window used by stft to make the inversion lossless.")
    if not input.is_complex():
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with return_complex=True."
        )
    hop = n_fft // 4 if hop_length is None else hop_length
    size = n_fft if win_length is None else win_length
    half = input.shape[-2] != n_fft if onesided is None else onesided
    wanted = n_fft // 2 + 1 if half else n_fft
    if input.shape[-2] != wanted:
        rule = "n_fft / 2 + 1 when onesided=True" if half else "n_fft when onesided=False"
        raise RuntimeError(
            "istft: expected the frequency dimension (3rd to the last) of the input tensor to match "
            f"{rule}, but got {input.shape[-2]}"
        )
    if not 0 < hop <= size:
        raise RuntimeError("istft: expected 0 < hop_length <= win_length")
    if not 0 < size <= n_fft:
        raise RuntimeError("istft: expected 0 < win_length <= n_fft")
    if return_complex and half:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if not return_complex and window is not None and window.is_complex():
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    norm = "ortho" if normalized else "backward"
    spectra = (input if input.ndim == 3 else input.unsqueeze(0)).transpose(1, 2)
    if return_complex:
        pieces = fft.ifft(spectra, norm=norm)
    else:
        pieces = fft.irfft(spectra if half else spectra[..., : n_fft // 2 + 1], n_fft, norm=norm)
    shape = _window(window, size, n_fft, pieces)
    signal = _added(pieces * shape, hop)
    weight = _added((shape * shape).expand(1, pieces.shape[1], n_fft), hop)
    begin = n_fft // 2 if center else 0
    end = signal.shape[1] - begin if length is None else begin + length
    signal, weight = signal[:, begin:end], weight[:, begin:end]
    if float(weight.abs().min()) <= 1e-11:
        raise RuntimeError("istft: window overlap add min: 1")
    found = signal / weight
    if length is not None and found.shape[1] < length:
        warnings.warn(
            "The length of signal is shorter than the length parameter. Result is being padded with zeros in the tail. "
            "Please check your center and hop_length settings.",
            UserWarning,
            stacklevel=2,
        )
        found = pad(found, (0, length - found.shape[1]))
    return found if input.ndim == 3 else found.squeeze(0)
