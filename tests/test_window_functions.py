"""Windows of signals, and small names that stand for others: as in PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

PROGRAMS = {
    "windows": """
        for name in ("hann_window", "hamming_window", "bartlett_window", "blackman_window"):
            window = getattr(torch, name)
            for length in (5, 8, 2, 1, 0, -1):
                for periodic in (True, False):
                    try:
                        made = window(length, periodic, dtype=torch.float64)
                        print(name, [round(x, 6) + 0.0 for x in made.tolist()], made.dtype)
                    except Exception as error:
                        print(type(error).__name__, error)
            print(window(3).dtype, window(3, requires_grad=True).requires_grad, window(3, requires_grad=True).is_leaf)
        print(torch.hamming_window(4, True, 0.5, 0.25))
    """,
    "other_names": """
        x = torch.tensor([1.0, -2.0])
        print(torch.ger(x, x), x.ger(x + 1), torch.selu_(x.clone()), torch.celu_(x.clone(), 0.5))
        print(torch.threshold_(x.clone(), 0.5, 3.0), torch.alpha_dropout(x, 0.5, False))
        print(torch.ones(2, 2).addbmm_(torch.ones(3, 2, 2), torch.ones(3, 2, 2), beta=2, alpha=0.5))
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])
