"""Tensors without dimensions, or without elements, where functions expect some: they count as having one dimension."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"])
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


@pytest.mark.usefixtures("_backend")
def test_indexing() -> None:
    assert_same("""
    x, first = torch.tensor(3.0, requires_grad=True), torch.tensor([0])

    def gradient(result):
        (grad,) = torch.autograd.grad(result.sum(), x)
        print(result.detach(), grad)

    gradient(torch.index_add(x, 0, first, torch.tensor(2.0), alpha=2))
    gradient(torch.index_add(x, -1, torch.tensor(0), x))
    gradient(torch.index_copy(x, 0, first, x * x))
    gradient(torch.index_fill(x, 0, first, x * x))
    gradient(torch.index_reduce(x, 0, first, torch.tensor(2.0), "prod"))
    gradient(torch.gather(x, 0, torch.tensor([0, 0])))
    gradient(torch.scatter(x, 0, first, torch.ones(1) * x))
    attempt(torch.index_fill, x, 0, torch.tensor(1), 2.0)
    attempt(torch.index_add, x, 1, first, x)
    print(x.detach().clone().index_fill_(0, first, 2.0), x.detach().clone().index_add_(0, first, torch.tensor(2.0)))
    """)


@pytest.mark.usefixtures("_backend")
def test_functions_of_nn() -> None:
    assert_same("""
    x = torch.tensor(-2.0)
    print(F.prelu(x, torch.tensor([0.5])), F.multi_margin_loss(x, torch.tensor(0)).abs())
    print(F.multilabel_margin_loss(x, torch.tensor(0)), F.multi_margin_loss(x, torch.tensor(0), reduction="none").abs())
    """)


def test_quantiles() -> None:
    assert_same("""
    x = torch.tensor(2.0)
    print(x.quantile(0.5, dim=0), x.quantile(0.5, dim=0, keepdim=True), x.quantile(torch.tensor([0.5, 0.2])))
    """)


def test_matrices_without_elements() -> None:
    assert_same("""
    for shape in (0, 0), (2, 0, 0):
        print(torch.linalg.inv_ex(torch.zeros(shape)), torch.linalg.cholesky_ex(torch.zeros(shape)))
    """)


@pytest.mark.usefixtures("_backend")
def test_what_is_joined_has_a_gradient_though_it_is_empty() -> None:
    assert_same("""
    empty, rows = torch.zeros(0, requires_grad=True), torch.ones(1, 2, requires_grad=True)
    print(torch.autograd.grad(torch.cat([empty, empty]).sum(), empty))
    joined = torch.cat([rows, empty], 1)
    print(joined, [type(node).__name__ for node, _ in joined.grad_fn.next_functions][:1])
    print(torch.autograd.grad(joined.sum(), (empty, rows)))
    """)


@pytest.mark.usefixtures("_backend")
def test_refusals() -> None:
    assert_same("""
    x, two = torch.tensor(2.0), torch.ones(2)
    for sections in 2, [1], torch.tensor([1]):
        attempt(x.tensor_split, sections)
    for dim in 0, -1, 1:
        attempt(x.unbind, dim)
        attempt(x.size, dim)
    attempt(two.unflatten, 0, ())
    for mode in "nearest", "nearest-exact", "area", "linear", "bilinear", "trilinear", "bicubic", "other":
        for shape in (), (2,), (2, 2), (1, 1, 2), (1, 1, 2, 2), (1, 1, 2, 2, 2), (1, 1, 1, 2, 2, 2):
            for given in {"size": 2}, {"scale_factor": 2}, {"size": (2, 2)}, {"scale_factor": [2.0]}:
                attempt(lambda: print(torch.nn.functional.interpolate(torch.ones(shape), mode=mode, **given).shape))
    """)
    with pytest.raises(RuntimeError, match="error:\nDimension specified as 0 but tensor has no dimensions"):
        retrograd.tensor(2.0).unflatten(-1, (1, 1))


def test_integrals_of_samples_at_places_of_another_shape() -> None:
    assert_same("""
    for function in torch.trapezoid, torch.cumulative_trapezoid:
        for y in (), (0,), (2,), (3,), (2, 3):
            attempt(function, torch.ones(y), dx=2)
            for x in (), (0,), (1,), (2,), (3,), (2, 2), (1, 3), (2, 1):
                for dim in 0, -1:
                    samples = torch.arange(6.0)[:math.prod(y)].reshape(y)
                    attempt(lambda: print(function(samples, torch.ones(x).cumsum(-1), dim=dim)))
    """)
