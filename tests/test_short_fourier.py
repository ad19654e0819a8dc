"""`stft` and `istft`, beside PyTorch's."""

from __future__ import annotations

from programs import assert_same

import retrograd


def test_transforms_and_their_gradients() -> None:
    assert_same("""
    x = torch.sin(torch.arange(20, dtype=torch.float64) * 0.7).requires_grad_()
    w, short = torch.hann_window(6, dtype=torch.float64), torch.hamming_window(4, dtype=torch.float64)
    for signal, n, options in (
        (x, 6, {"window": w}), (x, 6, {"window": w, "hop_length": 2, "normalized": True}),
        (x, 6, {"window": short, "win_length": 4, "center": False}), (x, 4, {"window": short, "onesided": False}),
        (x.reshape(2, 10), 4, {"window": short, "pad_mode": "constant"}), (x * (1 + 1j), 4, {"window": short}),
    ):
        y = torch.stft(signal, n, return_complex=True, **options)
        print(y.shape, y.abs().sum().detach(), torch.autograd.grad((y.abs() ** 2).sum(), x))
    print(torch.stft(x.detach(), 4, window=short, return_complex=False).shape)
    """)


def test_signals_come_back() -> None:
    assert_same("""
    x = torch.sin(torch.arange(20, dtype=torch.float64) * 0.7)
    w = torch.hann_window(4, dtype=torch.float64)
    for options in {}, {"hop_length": 2}, {"normalized": True}, {"onesided": False}:
        s = torch.stft(x, 4, window=w, return_complex=True, **options).requires_grad_()
        y = torch.istft(s, 4, window=w, **options)
        print(y.detach(), torch.autograd.grad((y * y).sum(), s)[0].abs().sum())
        print(torch.istft(s.detach(), 4, window=w, length=12, **options))
    s = torch.stft(x.reshape(2, 10) * 1j, 4, window=w, return_complex=True)
    print(torch.istft(s, 4, window=w, return_complex=True, length=24))
    """)


def test_what_is_refused() -> None:
    assert_same("""
    x, w = torch.arange(8.0), torch.hann_window(4)
    attempt(torch.stft, x, 4)
    attempt(torch.stft, x[None, None], 4, window=w, return_complex=True)
    attempt(torch.stft, x, 4, hop_length=0, window=w, return_complex=True)
    attempt(torch.stft, x, 4, win_length=5, return_complex=True)
    attempt(torch.stft, x, 4, window=torch.ones(3), return_complex=True)
    attempt(torch.stft, x, 4, window=w, return_complex=True, align_to_window=True)
    attempt(torch.istft, x.reshape(2, 4), 4)
    half, whole = torch.fft.rfft(x.reshape(2, 4)).t(), torch.fft.fft(x.reshape(2, 4)).t()
    print(torch.istft(whole, 4, window=w), torch.istft(half, 4, window=w), torch.istft(whole, 4, return_complex=True))
    attempt(torch.istft, half, 4, window=w, return_complex=True)
    attempt(torch.istft, whole, 4, window=w.to(torch.complex64))
    """)


def test_on_jax() -> None:
    x = retrograd.sin(retrograd.arange(12.0, device="jax"))
    w = retrograd.hann_window(4, device="jax")
    y = retrograd.istft(retrograd.stft(x, 4, window=w, return_complex=True), 4, window=w)
    assert retrograd.allclose(x, y, atol=1e-5)
