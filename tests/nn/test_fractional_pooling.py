"""Max pools with windows at random places, beside PyTorch's with the same random numbers."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
from retrograd import func
from retrograd.autograd import gradcheck, gradgradcheck

GIVEN = """
x = torch.arange(2 * 3 * 7 * 8.0).square().cos().reshape(2, 3, 7, 8)
s = torch.arange(12.0).square().sin().abs().reshape(2, 3, 2)
X = torch.arange(2 * 3 * 5 * 6 * 7.0).square().cos().reshape(2, 3, 5, 6, 7)
S = torch.arange(18.0).square().sin().abs().reshape(2, 3, 3)
flat, deep = F.fractional_max_pool2d, F.fractional_max_pool3d
"""


@pytest.mark.parametrize(
    "case",
    [
        "flat, x, s, (2, 3), (3, 4)",
        "flat, x, s, 3, 1",
        "flat, x[0], s, 2, (6, 2)",
        "flat, x, s.repeat(2, 1, 1), 1, 7",
        "deep, X, S, (2, 3, 2), (2, 3, 4)",
        "deep, X[1], S[1:], 2, (1, 4, 2)",
    ],
)
def test_values_places_and_gradients(case: str, backend: str) -> None:
    if backend == "jax" and "(2, 3" not in case:
        pytest.skip("on JAX one of each kind: all of it is compiled")
    assert_same(
        f"""
        pool, input, samples, kernel, output = {case}
        given = input.clone().requires_grad_()
        values, places = pool(given, kernel, output_size=output, return_indices=True, _random_samples=samples)
        print(values.grad_fn.name(), values, places, places.requires_grad)
        print(torch.autograd.grad((values ** 2).sum(), given))
        print(torch.equal(pool(input, kernel, output, _random_samples=samples), values))
        """,
        GIVEN,
    )


def test_sizes() -> None:
    assert_same(
        """
        print(flat(x, 2, output_ratio=(0.5, 0.4), _random_samples=s), deep(X, 2, None, 0.5, _random_samples=S).shape)
        print(flat(x.double(), 2, 3, _random_samples=s.double()).dtype, flat(x[:0], 2, 3).shape, flat(x, 2, 0).shape)
        """,
        GIVEN,
    )


def test_special_values_and_types() -> None:
    assert_same(
        """
        y = x.clone()
        y[0, 0, 0:3, 0:4] = math.nan
        y[0, 1] = -math.inf
        print(flat(y, 3, 2, _random_samples=s, return_indices=True))
        print(flat(y, 0, 3, _random_samples=s, return_indices=True)[1].shape, deep(X, 2, 2, None, True, S)[1].dtype)
        for kind in torch.half, torch.bfloat16:
            for pool, input, samples in (flat, x, s), (deep, X, S):
                print(pool(input.to(kind), 2, 3, None, True, samples.to(kind)))
        with torch.autocast("cpu"):
            print(flat(x.bfloat16(), 2, 3).dtype)
        made = flat(x.clone().requires_grad_(), 2, (3, 2), _random_samples=s)
        print(sorted(n for n in dir(made.grad_fn) if n.startswith("_saved")), made.grad_fn._saved_output_size)
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x, x + 1)
            print(torch.autograd.forward_ad.unpack_dual(flat(dual, 2, (3, 2), _random_samples=s)).tangent)
        """,
        GIVEN,
    )


@pytest.mark.parametrize(("name", "shape"), [("flat", "(5, 6)"), ("deep", "(5, 6, 7)")])
def test_refuses_what_pytorch_refuses(name: str, shape: str) -> None:
    assert_same(
        f"""
        pool, x = {name}, torch.ones(2, 3, *{shape})
        s = torch.ones(2, 3, len({shape})) / 2
        for input in x[0, 0, 0], x[0, 0], x[None], x.long(), x.bool(), x[:, :0], x[..., :0]:
            attempt(pool, input, 2, 3, _random_samples=s.to(input.dtype))
        for samples in s[0], s[:1], s[:, :2], s[..., :1], s.double(), s.repeat(2, 1, 2), 3, s.clone().requires_grad_():
            attempt(pool, x, 2, 3, _random_samples=samples)
        for size in (3,), (), 9, "a", 2.5, True, (3, 2.5, 3)[:len({shape})], [6] * len({shape}), (3, 3, 3, 3):
            attempt(pool, x, size, 3, _random_samples=s)
            attempt(pool, x, 2, size, _random_samples=s)
        attempt(pool, x, 2, -1, _random_samples=s)
        attempt(pool, x, 2)
        attempt(pool, x, 2, None, (0.5,))
        attempt(pool, x, 2, None, (0.9, 0.9, 0.9))
        attempt(pool, x.long(), 2, 3)
        """,
        GIVEN,
    )


def test_modules(backend: str) -> None:
    assert_same(
        """
        for kind in nn.FractionalMaxPool2d, nn.FractionalMaxPool3d:
            for args in (2,), (2, 3, 0.5), (2, None, 1.5), (0, 3), ((2, 0, 1), 3), (-1, 2):
                attempt(kind, *args)
            layer = kind(2, output_ratio=0.5, return_indices=True)
            print(layer, layer.kernel_size, layer.output_ratio, layer.output_size, layer.state_dict())
        layer = nn.FractionalMaxPool2d((2, 3), 2, _random_samples=s)
        print(layer(x), sorted(layer.state_dict()), nn.FractionalMaxPool3d(2, (2, 2, 3), _random_samples=S)(X))
        print(F.fractional_max_pool2d_with_indices(x, 2, 3, _random_samples=s)[1].dtype)
        values, places = nn.FractionalMaxPool2d(1, 7, return_indices=True)(x[..., :7])
        print(torch.equal(F.max_unpool2d(values, places, 1), x[..., :7]))
        """,
        GIVEN,
    )


def test_draws_anew(backend: str) -> None:
    x = retrograd.arange(400.0).reshape(1, 1, 20, 20)
    pools = [retrograd.nn.functional.fractional_max_pool2d(x, 2, 8) for _ in range(5)]
    assert any(not retrograd.equal(pools[0], each) for each in pools[1:])
    retrograd.manual_seed(3)
    first = retrograd.nn.functional.fractional_max_pool2d(x, 2, 8)
    retrograd.manual_seed(3)
    assert retrograd.equal(retrograd.nn.functional.fractional_max_pool2d(x, 2, 8), first)


def test_derivatives_and_samples_of_vmap(backend: str) -> None:
    retrograd.manual_seed(0)
    x = retrograd.randn(2, 2, 5, 6, dtype=retrograd.float64)
    samples = retrograd.rand(2, 2, 2, dtype=retrograd.float64)

    def pool(x: retrograd.Tensor, samples: retrograd.Tensor = samples) -> retrograd.Tensor:
        found: retrograd.Tensor = retrograd.nn.functional.fractional_max_pool2d(x, 2, 3, _random_samples=samples)
        return found

    if backend == "numpy":
        given = x.clone().requires_grad_()
        assert gradcheck(pool, (given,), check_forward_ad=True)
        assert gradgradcheck(lambda x: pool(x).square(), (given,))
    stack, several = retrograd.stack([x, -x]), retrograd.stack([samples, 1 - samples])
    mapped = func.vmap(pool)(stack, several)
    assert retrograd.equal(mapped, retrograd.stack([pool(a, b) for a, b in zip(stack, several, strict=True)]))
    assert retrograd.equal(func.vmap(pool, (0, None))(stack, samples)[1], pool(-x))
