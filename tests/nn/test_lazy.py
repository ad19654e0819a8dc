"""Layers that learn the size of their input at the first call, beside PyTorch's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from programs import assert_same

import retrograd


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """PyTorch warns that lazy modules are new."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("LazyLinear", (3,), {}, (2, 4)),
    ("LazyLinear", (3,), {"bias": False}, (5, 2, 4)),
    ("LazyConv1d", (4, 3), {"stride": 2}, (2, 6, 8)),
    ("LazyConv2d", (4, 3), {"padding": 1, "groups": 2, "padding_mode": "circular"}, (2, 6, 5, 5)),
    ("LazyConv2d", (4, 3), {"bias": False}, (6, 5, 5)),
    ("LazyConv3d", (4, 2), {}, (1, 2, 3, 3, 3)),
    ("LazyConvTranspose1d", (4, 3), {}, (2, 6, 5)),
    ("LazyConvTranspose2d", (4, 3), {"groups": 2, "stride": 2, "output_padding": 1}, (2, 6, 5, 5)),
    ("LazyConvTranspose3d", (4, 2), {"bias": False, "dilation": 2}, (1, 2, 3, 3, 3)),
    ("LazyBatchNorm1d", (), {}, (3, 4)),
    ("LazyBatchNorm2d", (0.1,), {"affine": False}, (3, 4, 2, 2)),
    ("LazyBatchNorm3d", (), {"track_running_stats": False, "bias": False}, (3, 4, 2, 2, 2)),
    ("LazyInstanceNorm1d", (), {}, (3, 4, 2)),
    ("LazyInstanceNorm2d", (), {"track_running_stats": False}, (3, 4, 2, 2)),
    ("LazyInstanceNorm3d", (), {"affine": False}, (3, 4, 2, 2, 2)),
]


@pytest.mark.parametrize(
    ("name", "args", "options", "shape"), LAYERS, ids=[f"{i}-{each[0]}" for i, each in enumerate(LAYERS)]
)
def test_lazy_layers_become_torchs(
    name: str, args: tuple[Any, ...], options: dict[str, Any], shape: tuple[int, ...], backend: str
) -> None:
    torch = pytest.importorskip("torch")
    own, theirs = getattr(retrograd.nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    assert repr(own) == repr(theirs)
    assert list(own.state_dict()) == list(theirs.state_dict())
    own, theirs = own.double(), theirs.double()
    x = np.random.default_rng(0).standard_normal(shape)
    theirs(torch.tensor(x)), own(retrograd.tensor(x, dtype=retrograd.float64))
    assert repr(own) == repr(theirs)
    assert type(own).__name__ == type(theirs).__name__ == name.removeprefix("Lazy")
    other = getattr(retrograd.nn, name)(*args, **options).double()
    state = {key: retrograd.tensor(value.numpy()) for key, value in theirs.state_dict().items()}
    for module in (own, other):  # one that knows its sizes, and one that learns them from the dict
        assert str(module.load_state_dict(state)) == "<All keys matched successfully>"
        theirs.load_state_dict({key: torch.tensor(value.numpy()) for key, value in state.items()})
        have, want = module(retrograd.tensor(x, dtype=retrograd.float64)), theirs(torch.tensor(x))
        np.testing.assert_allclose(have.detach().numpy(), want.detach().numpy(), 1e-6, 1e-9)
        assert {str(each.dtype) for each in module.parameters()} <= {"retrograd.float64"}


@pytest.mark.parametrize(
    "program",
    [
        """
        m = nn.LazyLinear(3)
        print(m, m.weight, m.bias, m.has_uninitialized_params(), list(m.parameters()), m.state_dict())
        print(isinstance(m.weight, nn.Parameter), nn.parameter.is_lazy(m.weight), m.weight.dtype)
        weight = m.weight
        m(torch.ones(2, 5))
        print(m, weight is m.weight, weight.shape, weight.requires_grad, type(weight), len(m._forward_pre_hooks))
        """,
        "nn.LazyLinear(3).weight.shape",
        "m = nn.Linear(2, 3); m.load_state_dict(nn.LazyLinear(3).state_dict())",
        "print(nn.LazyLinear(3).load_state_dict(nn.LazyLinear(3).state_dict()))",
        "m = nn.LazyLinear(3); m.load_state_dict(nn.Linear(4, 3).state_dict()); m(torch.ones(2, 5))",
        "m = nn.LazyLinear(3); m.load_state_dict(nn.Linear(5, 3).state_dict()); m(torch.ones(2, 5)); print(m)",
        "nn.LazyConv2d(3, 2)(torch.ones(2, 3))",
        "nn.LazyConv1d(4, 2, groups=2)(torch.ones(2, 3, 5))",
        "nn.LazyBatchNorm1d()(torch.ones(2, 3, 4, 5))",
        "print(nn.LazyBatchNorm2d(), nn.LazyBatchNorm2d().running_mean, nn.LazyBatchNorm2d(affine=False).weight)",
        """
        import copy, pickle
        m = nn.LazyLinear(3, dtype=torch.float64)
        for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m.weight)), copy.deepcopy(m.weight)):
            print(other)
        other = copy.deepcopy(m)
        other(torch.ones(2, 5, dtype=torch.float64))
        print(m, other, other.weight.dtype)
        """,
        """
        m = nn.Sequential(nn.LazyConv2d(2, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(1)).double()
        m(torch.ones(2, 3, 5, 5, dtype=torch.float64)).sum().backward()
        print(m, [each.grad.shape for each in m.parameters()], m[1].running_mean.dtype)
        """,
        """
        class Own(nn.modules.lazy.LazyModuleMixin, nn.Module):
            def __init__(self, works):
                super().__init__()
                self.weight, self.works = nn.UninitializedParameter(requires_grad=False), works
            def initialize_parameters(self, x, scale=1.0):
                if self.works:
                    self.weight.materialize(x.shape)
                    self.weight.fill_(scale)
            def forward(self, x, scale=1.0):
                return x * self.weight
        print(Own(True)(torch.ones(2), scale=3.0))
        attempt(Own(False), torch.ones(2))
        class Without(nn.modules.lazy.LazyModuleMixin, nn.Module):
            pass
        attempt(Without(), torch.ones(2))
        b = nn.UninitializedBuffer()
        print(b, b.requires_grad, b.persistent)
        b.materialize((2,), dtype=torch.int32)
        print(b.shape, b.dtype, type(b) is torch.Tensor)
        """,
    ],
)
def test_lazy_modules_do_as_torchs(program: str) -> None:
    assert_same(program if program.startswith("\n") else program + "; print('accepted')")
