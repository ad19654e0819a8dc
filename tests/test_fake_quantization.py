"""Rounding to what quantized tensors could hold: values, gradients and refusals, beside PyTorch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


GIVEN = """
    of_tensor, of_channels = torch.fake_quantize_per_tensor_affine, torch.fake_quantize_per_channel_affine
    x = torch.tensor([-10.0, -1.26, 0.24, 0.25, 0.26, 0.75, 3.0, 100.0, math.nan, math.inf], requires_grad=True)
    m = torch.arange(-6.0, 6.0).view(3, 4).requires_grad_()
    scales, zeros = torch.tensor([0.5, 1.0, 2.0]), torch.tensor([0, 1, 2], dtype=torch.int32)
"""


def test_values_and_gradients() -> None:
    assert_same(
        """
    for scale, zero in ((0.5, 1), (torch.tensor(0.5), torch.tensor(10, dtype=torch.int32)), (0.0, 1), (-0.5, 1)):
        y = of_tensor(x, scale, zero, -3, 4)
        print(y, y.grad_fn.name(), len(y.grad_fn.next_functions), y.grad_fn._saved_mask)
        print(torch.autograd.grad(y.nan_to_num(0, 0, 0).sum(), x))
    for axis, size in ((0, 3), (1, 4)):
        for zero in (zeros[:1].repeat(size), torch.full((size,), 0.5)):
            y = of_channels(m, torch.arange(1.0, size + 1), zero, axis, -3, 4)
            print(y, y.grad_fn.name(), len(y.grad_fn.next_functions), torch.autograd.grad(y.sum(), m))
    (slope,) = torch.autograd.grad((of_tensor(m, 0.5, 1, -3, 4) ** 2).sum(), m, create_graph=True)
    print(slope, torch.autograd.grad(slope.sum(), m))
    print(torch.vmap(lambda row: of_tensor(row, 0.5, 1, -3, 4))(m.detach()))
    attempt(torch.func.jvp, lambda x: of_tensor(x, 0.5, 1, -3, 4), (m.detach(),), (torch.ones(3, 4),))
    """,
        GIVEN,
    )


def test_types_round_as_in_pytorch() -> None:
    assert_same(
        """
    line = torch.linspace(-7, 7, 1001)
    for type_ in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        for scale in (0.1, 0.037, 1 / 3):
            given = line.to(type_)
            print(of_tensor(given, scale, 3, -100, 100).double().sum().item())
            for zero in (torch.tensor([3], dtype=torch.int32), torch.tensor([3.25])):
                made = of_channels(given[None], torch.tensor([scale]), zero, 0, -100, 100)
                print(made.dtype, made.double().sum().item())
    """,
        GIVEN,
    )


def test_what_is_refused() -> None:
    assert_same(
        """
    for arguments in ((0.5, 1, 4, -3), (0.5, 10, -3, 4), (torch.ones(2), torch.ones(2), -3, 4)):
        attempt(of_tensor, x, *arguments)
    for given in (x.long(), x + 0j):
        attempt(of_tensor, given.detach(), 0.5, 1, -3, 4)
    attempt(of_tensor, x, torch.tensor(0.5, requires_grad=True), torch.tensor(1), -3, 4)
    for arguments in (
        (scales, zeros, 1, -3, 4), (scales, zeros.long(), 0, -3, 4), (scales.double(), zeros, 0, -3, 4),
        (scales, zeros + 10, 0, -3, 4), (scales, zeros, 0, 4, -3), (scales, zeros, 2, -3, 4),
        (scales, zeros[:2], 0, -3, 4), (scales.view(3, 1), zeros, 0, -3, 4),
        (scales.clone().requires_grad_(), zeros, 0, -3, 4), (scales, zeros.float().requires_grad_(), 0, -3, 4),
    ):
        attempt(of_channels, m, *arguments)
    with torch.no_grad():
        print(of_tensor(x, torch.tensor(0.5, requires_grad=True), torch.tensor(1), -3, 4))
    attempt(of_channels, m.detach().long(), scales, zeros, 0, -3, 4)
    for call in (lambda: of_tensor(x, 0.5, 1.5, -3, 4), lambda: of_tensor(3.0, 0.5, 1, -3, 4)):
        try:
            call()
        except TypeError as error:
            print(str(error).partition(", but")[0])
    """,
        GIVEN,
    )
