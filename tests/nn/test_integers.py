"""Functions of layers of integers, bools and complex numbers, and of no channels: results and refusals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


def test_activations() -> None:
    assert_same("""
    for type_ in (torch.bool, torch.uint8, torch.int8, torch.int64, torch.complex64):
        x = torch.tensor([-7, -2, 0, 2, 4, 9]).to(type_)
        for function in (
            lambda: F.hardtanh(x), lambda: F.hardtanh(x, 0, 3.5), lambda: F.hardtanh(x.clone(), -2, 3, inplace=True),
            lambda: F.relu6(x), lambda: F.threshold(x, 1.5, 5.5), lambda: F.threshold(x.clone(), 1, 5, inplace=True),
            lambda: F.softshrink(x), lambda: F.gelu(x), lambda: F.celu(x), lambda: F.prelu(x, x[1]), lambda: F.elu(x),
        ):
            attempt(function)
    print(F.silu(torch.tensor([0.5 + 1j, -2j, 3.0])))
    """)
    z = retrograd.tensor([0.5 + 1j, -2j, 3.0], dtype=retrograd.complex128, requires_grad=True)
    assert retrograd.autograd.gradcheck(retrograd.nn.functional.silu, (z,))


def test_pools() -> None:
    assert_same("""
    for type_ in (torch.bool, torch.int8, torch.int64, torch.complex64):
        x = torch.tensor([[[[-7, -2, 0, 2, 4, 9]]]]).to(type_)
        for function in (
            lambda: F.avg_pool1d(x[0], 2), lambda: F.avg_pool2d(x, (1, 3), padding=(0, 1), count_include_pad=False),
            lambda: F.avg_pool2d(x, (1, 2), divisor_override=3), lambda: F.avg_pool3d(x, (1, 1, 2)),
            lambda: F.adaptive_avg_pool1d(x[0], 2), lambda: F.adaptive_avg_pool1d(x[0], 1),
            lambda: F.adaptive_avg_pool2d(x, (1, 2)), lambda: F.adaptive_avg_pool3d(x, (1, 1, 2)),
            lambda: F.max_pool1d(x[0], 2), lambda: F.max_pool1d(x[0], 2, return_indices=True),
            lambda: F.max_pool2d(x, (1, 2)), lambda: F.max_pool3d(x, (1, 1, 2)),
            lambda: F.adaptive_max_pool2d(x, (1, 2)), lambda: F.adaptive_max_pool3d(x, (1, 1, 2)),
        ):
            attempt(function)
    print(F.local_response_norm(torch.tensor([[[1, 2], [3, 4]]]), 2))
    """)


def test_statistics_of_groups_have_gradients() -> None:
    assert_same("""
    x = torch.arange(12.0, dtype=torch.float64).reshape(1, 4, 3).square().requires_grad_()
    made, mean, inverse = torch.native_group_norm(x, None, None, 1, 4, 3, 2, 1e-5)
    print(mean.detach(), inverse.detach())
    print(*torch.autograd.grad((mean.square() + inverse * 100).sum() + (made**3).sum(), x))
    print([each.shape for each in torch.native_group_norm(x[:0], None, None, 0, 4, 3, 2, 1e-5)])
    """)


def test_batches_without_channels() -> None:
    assert_same("""
    none, three = torch.zeros(0), torch.arange(3.0)
    for training in (True, False):
        for x in (none, three):
            attempt(F.batch_norm, x, none, none, training=training)
            attempt(F.batch_norm, x, three, three, training=training)
    attempt(F.batch_norm, three, None, None, training=True)
    """)
