"""Windows of `signal`, beside PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

NAMES = "bartlett blackman cosine exponential gaussian general_cosine general_hamming hamming hann kaiser nuttall"


@pytest.mark.parametrize("name", NAMES.split())
def test_windows_equal_torchs(name: str) -> None:
    assert_same(
        """
        window, given = getattr(torch.signal.windows, NAME), {"a": [0.5, 0.3, 0.2]} if NAME == "general_cosine" else {}
        for length in (0, 1, 2, 5, 8):
            for sym in (True, False):
                attempt(window, length, sym=sym, **given)
        attempt(window, -1, **given)
        attempt(window, 3, dtype=torch.float16, **given)
        attempt(window, 3, layout=torch.sparse_coo, **given)
        made = window(3, dtype=torch.float64, requires_grad=True, **given)
        print(made.dtype, made.requires_grad)
        """,
        f"NAME = {name!r}\n",
    )


def test_arguments_of_windows(backend: str) -> None:
    assert_same(
        """
        w = torch.signal.windows
        for center, tau, sym in ((1, 2.0, False), (1, 1.0, True), (None, 0, True), (None, 0.5, True)):
            attempt(w.exponential, 5, center=center, tau=tau, sym=sym)
        for std in (-1, 0.3):
            attempt(w.gaussian, 5, std=std)
        for beta in (-1, 0.0, 2.5):
            attempt(w.kaiser, 5, beta=beta)
        for a in ([], 1, (1.0,)):
            attempt(w.general_cosine, 5, a=a)
        attempt(w.general_hamming, 5, alpha=0.7)
        """
    )
