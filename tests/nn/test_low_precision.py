"""Layers and activations of types of 16 bits: results and gradients are of the types that PyTorch gives them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


def test_activations_and_noise_keep_the_type() -> None:
    assert_same(
        """
    ways = {
        "dropout": lambda t: F.dropout(t, 0.5), "alpha": lambda t: F.alpha_dropout(t, 0.5, True), "gelu": F.gelu,
        "tanh": lambda t: F.gelu(t, approximate="tanh"), "silu": F.silu, "mish": F.mish, "elu": F.elu, "celu": F.celu,
        "selu": F.selu, "hardswish": F.hardswish, "softplus": F.softplus, "logsigmoid": F.logsigmoid,
        "attention": lambda t: F.scaled_dot_product_attention(t[None], t[None], t[None], dropout_p=0.5),
        "rms": lambda t: F.rms_norm(t, (8,)), "normalize": F.normalize, "gumbel": F.gumbel_softmax,
    }
    for dtype in torch.bfloat16, torch.float16:
        for name, way in ways.items():
            x = torch.linspace(-1, 1, 16).reshape(2, 8).to(dtype).requires_grad_()
            y = way(x)
            y.float().sum().backward()
            print(name, y.dtype, x.grad.dtype)
    """
    )


def test_norms_with_wider_weights_give_them_gradients_of_their_type() -> None:
    assert_same(
        """
    modules = {
        "layer": nn.LayerNorm(8), "group": nn.GroupNorm(2, 4), "batch": nn.BatchNorm1d(4), "rms": nn.RMSNorm(8),
        "frozen": nn.BatchNorm1d(4).eval(), "instance": nn.InstanceNorm1d(4, affine=True),
    }
    for name, module in modules.items():
        x = torch.randn(2, 4, 8).bfloat16().requires_grad_()
        y = module(x)
        y.float().sum().backward()
        print(name, y.dtype, x.grad.dtype, [each.grad.dtype for each in module.parameters()])
    """
    )


def test_squares_beyond_the_type_do_not_overflow() -> None:
    assert_same("""
    for dtype in torch.bfloat16, torch.float16, torch.float32:
        for scale in (100.0, 1e-4):
            x = (torch.tensor([[3.0, -2.0, 1.0], [0.5, 4.0, 300.0]]) * scale).to(dtype).requires_grad_()
            y = F.rms_norm(x, (3,))
            print(y.grad_fn.name(), y.dtype, y.float().tolist(), F.rms_norm(x, (3,), x[0], eps=0.5).float().tolist())
    """)


def test_a_sum_and_a_product_of_halves_are_rounded_once(backend: str) -> None:
    assert_same("""
        A, B, C = (((torch.arange(float(n * m)).reshape(n, m) * 0.37).sin()) for n, m in ((16, 8), (8, 24), (16, 24)))
        for type_ in (torch.float16, torch.bfloat16):
            a, b, c = A.to(type_), B.to(type_), C.to(type_)
            matrix = torch.addmm(c, a, b, beta=0.5, alpha=1.5)
            for result in (matrix, torch.baddbmm(c[None], a[None], b[None], alpha=0.25)):
                print(result.dtype, result.float().flatten()[::7].tolist())
    """)
