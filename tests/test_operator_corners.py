"""What operators give at the edges of what they take, as PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"])
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


_GIVEN = "x = torch.arange(6.0).reshape(2, 3)\n"


@pytest.mark.usefixtures("_backend")
def test_a_value_that_fills_an_element_twice_counts_once() -> None:
    assert_same(
        """
    value = torch.tensor(2.0, requires_grad=True)
    filled = torch.index_fill(x, 1, torch.tensor([0, 0, 1]), value)
    print(filled, torch.autograd.grad(filled.sum(), value))
    """,
        _GIVEN,
    )


@pytest.mark.usefixtures("_backend")
def test_indices_of_32_bits_and_negative_ones() -> None:
    assert_same(
        """
    short = torch.tensor([[1], [0]], dtype=torch.int32)
    print(x.gather(1, short), x.scatter(1, short, 9.0), x.scatter_add(1, short, x))
    print(torch.take_along_dim(x, torch.tensor([[-1], [0]]), 1))
    for index in short.to(torch.int8), short:
        attempt(x.gather if index.dtype is torch.int8 else lambda *_: torch.take_along_dim(x, index, 1), 1, index)
    attempt(torch.take_along_dim, x, torch.tensor([-1]))
    """,
        _GIVEN,
    )


@pytest.mark.usefixtures("_backend")
def test_a_contracted_dimension_of_size_one_stands_for_all() -> None:
    assert_same("""
    a, b = torch.ones(1, 2, requires_grad=True), torch.arange(12.0).reshape(3, 4).requires_grad_()
    product = torch.tensordot(a, b, dims=([0], [0]))
    print(product.detach(), torch.autograd.grad(product.sum(), (a, b)))
    print(torch.tensordot(b.detach(), torch.ones(2, 1, 1), ([0, 1], [1, 2])))
    """)


def test_quantiles_have_a_gradient_for_the_share() -> None:
    assert_same("""
    x, share = torch.arange(12.0).reshape(3, 4).requires_grad_(), torch.tensor([0.4], requires_grad=True)
    print(torch.autograd.grad(x.quantile(share, dim=1).sum(), (x, share)))
    """)


def test_no_differences_are_a_copy() -> None:
    assert_same(
        """
    same = x.requires_grad_().diff(0, prepend=x)
    print(same, same is x)
    """,
        _GIVEN,
    )


def test_triangles_are_those_of_matrices() -> None:
    assert_same(
        """
    for few in (torch.tensor(1.0), torch.ones(3)):
        for call in (torch.tril, torch.triu, few.tril_, few.triu_):
            attempt(call, *([few] if call in (torch.tril, torch.triu) else []))
    print(x.tril(), x.triu(1))
    """,
        _GIVEN,
    )


def test_what_has_the_common_shape_is_not_expanded() -> None:
    assert_same(
        """
    row = torch.ones(3, requires_grad=True)
    a, b = torch.broadcast_tensors(row, x)
    print(a.grad_fn.name(), b is x, torch.broadcast_tensors(row, row)[0] is row)
    """,
        _GIVEN,
    )


@pytest.mark.usefixtures("_backend")
def test_the_next_number_moves_with_the_number() -> None:
    assert_same("""
    a = torch.tensor([1.0, 1.0, math.inf, math.inf, 0.0, math.nan], requires_grad=True)
    b = torch.tensor([1.0, 2.0, 1.0, math.inf, 1.0, 1.0], requires_grad=True)
    print(torch.autograd.grad(torch.nextafter(a, b).sum(), (a, b)))
    """)


def test_tensors_without_dimensions_or_elements() -> None:
    assert_same(
        """
    x = torch.tensor(2.0, requires_grad=True)
    y = torch.scatter(x, 0, torch.tensor(0), x * 3)
    (y * y).backward()
    print(y, x.grad, torch.scatter(x, 0, torch.tensor(0), 5.0).grad_fn.name())
    v = torch.arange(3.0, requires_grad=True)
    print(torch.gather(v, 0, torch.zeros(2, 0, dtype=torch.int64)).shape)
    print(torch.gather(v, 0, torch.zeros(2, 0, dtype=torch.uint8)).requires_grad)
    m = torch.eye(2, requires_grad=True)
    p = torch.linalg.matrix_power(m, 0)
    p.sum().backward()
    print(p, m.grad)
    for n in 0, 2:
        pivots = torch.zeros(0, n, dtype=torch.int32)
        print([each.shape for each in torch.lu_unpack(torch.zeros(0, 3, n), pivots)])
    print(torch.linalg.ldl_solve(torch.zeros(0, 0), torch.zeros(0, dtype=torch.int32), torch.zeros(0, 5)).shape)
    """
    )


@pytest.mark.usefixtures("_backend")
def test_a_modulus_that_is_not_positive() -> None:
    assert_same("""
    for modulus in (1.5, 0.0, -1.5):
        r, angle = (torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in (modulus, 0.5))
        z = torch.polar(r, angle)
        print(z, [torch.autograd.grad(part, (r, angle), retain_graph=True) for part in (z.real, z.imag)])
        (slope,) = torch.autograd.grad(z.imag, angle, create_graph=True)
        print([each + 0 for each in torch.autograd.grad(slope, (r, angle))])
    """)


def test_long_sums_of_exponentials_stay_exact(backend: str) -> None:
    x = retrograd.zeros(3, 20_000)
    expected = np.log(np.arange(1, 20_001))
    np.testing.assert_allclose(x.logcumsumexp(1)[1].numpy(), expected, rtol=3e-7, atol=1e-7)
    x[:, 5], x[:, 7], x[:, 9] = -retrograd.inf, retrograd.inf, retrograd.nan
    found = x.t().logcumsumexp(0)[:, 2].numpy()
    np.testing.assert_allclose(found[:7], np.log([1, 2, 3, 4, 5, 5, 6]), rtol=3e-7)
    assert (found[7:9] == np.inf).all()
    assert np.isnan(found[9:]).all()
