"""Numbers and arrays of NumPy among tensors, and layouts that a program can see: as in PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd

PROGRAMS = {
    "numpy_numbers": """
        import numpy as np
        x = torch.ones(2)
        for made in (x * np.float64(2), np.sqrt(2) * x, x / np.sqrt(2), x > np.float64(0), x ** np.float64(2),
                     torch.clamp(x, np.float64(0)), torch.where(x > 0, x, np.float64(0)), x + np.int64(1)):
            print(made, made.dtype)
        print(x.add_(np.float64(1)))
    """,
    "errors": """
        t = torch.arange(24.).view(2, 3, 4)
        attempt(lambda: t[5])
        attempt(int, t)
        attempt(float, torch.ones(2))
        attempt(nn.Parameter, torch.ones(2, dtype=torch.int64))
        attempt(F.cross_entropy, torch.ones(2, 3), torch.ones(2))
        attempt(F.cross_entropy, torch.ones(2, 3), torch.zeros(1, 3, dtype=torch.int64))
        attempt(torch.cat, torch.ones(2, 2))
        attempt(torch.stack, torch.ones(2, 2))
        print([each.shape for each in torch.broadcast_tensors(torch.ones(2, 1), torch.ones(3))])
        print(torch.cuda.device_count() if not torch.cuda.is_available() else 0)
    """,
    "lists_and_keywords": """
        t = torch.arange(24.).view(2, 3, 4)
        for key in ([0, 1], [[0, 1], [1, 0]], [slice(0, 1)], [None, 0], [0, [1, 0]], [True, False]):
            print(t[key].shape)
        print(torch.permute(t, dims=(2, 0, 1)).shape, t.permute(2, 0, 1).shape, t.view(size=(6, 4)).shape)
        print(torch.reshape(t, shape=(6, 4)).shape, torch.cat([t, t], axis=1).shape, torch.stack([t, t], axis=2).shape)
    """,
    "copies_share_nothing": """
        x = torch.arange(3.)
        for made in (x.flip(0), x.roll(1), x[[0, 1, 2]], torch.cat([x]), x.clone(), x + 0, x.sort()[0], x.repeat(1)):
            before = made.clone()
            made.add_(100)
            print(before, x)
    """,
}

LAYOUTS = """
    t = torch.arange(24.).view(2, 3, 4)
    print(t[:, [0, 2]].view(-1), t[..., [0, 2]].stride(), t[:, 0][:, [1, 2]].view(-1), t.flip(0).stride())
    print(t[:, torch.tensor([True, False, True])].is_contiguous())
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])


def test_layouts_are_those_of_pytorch() -> None:
    assert_same(LAYOUTS)


def test_numpys_functions_of_a_tensor_give_tensors() -> None:
    numpy = pytest.importorskip("numpy")
    x = retrograd.ones(2)
    assert isinstance(numpy.sin(x), retrograd.Tensor)
    assert (x + numpy.ones(2)).dtype is retrograd.float64
