"""Normalization across channels, beside PyTorch's: its sums and its gradient, which are its own."""

from __future__ import annotations

import pytest
from programs import assert_same

GIVEN = """
x = torch.arange(72.0).square().cos().reshape(2, 9, 2, 2)
weight = torch.arange(72.0).sin().reshape(2, 9, 2, 2)
"""


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 12])
def test_values_and_gradients(size: int, backend: str) -> None:
    if backend == "jax" and size not in (3, 4):
        pytest.skip("on JAX one odd and one even size")
    assert_same(
        f"""
        layer = nn.CrossMapLRN2d({size}, alpha=0.5, beta=0.7, k=1.3)
        given = x.double().requires_grad_()
        made = layer(given)
        print(layer, made, made.grad_fn.name())
        print(torch.autograd.grad((made * weight).sum(), given))
        """,
        GIVEN,
    )


def test_defaults_and_what_is_refused() -> None:
    assert_same(
        """
        layer = nn.CrossMapLRN2d(5)
        print(layer, layer(x * 100), layer(x[:, :2]), layer(x[:0]).shape, layer(x.half()).dtype, layer.state_dict())
        attempt(layer, x[0])
        given = x.clone().requires_grad_()
        attempt(torch.autograd.grad, layer(given).sum(), given, create_graph=True)
        made = layer(given)
        made.sum().backward(retain_graph=True)
        made.sum().backward()
        print(given.grad)
        attempt(made.sum().backward)
        """,
        GIVEN,
    )
