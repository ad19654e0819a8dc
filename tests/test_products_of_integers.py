"""Products and sums of integers and bools: their types, the factors they take, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


def test_factors_are_of_the_type_that_they_scale() -> None:
    assert_same("""
    for type_ in (torch.bool, torch.uint8, torch.int64, torch.float32):
        A, v = torch.tensor([[1, 2], [3, 4]]).to(type_), torch.tensor([1, 2]).to(type_)
        B = A.expand(2, 2, 2)
        for factors in ({"beta": 0.5, "alpha": 2.5}, {"beta": 2}, {"beta": 0.0}, {"alpha": 1j}, {"alpha": True}):
            for function in (
                lambda: torch.addmm(A, A, A, **factors), lambda: torch.addmv(v, A, v, **factors),
                lambda: torch.addr(A, v, v, **factors), lambda: torch.addbmm(A, B, B, **factors),
                lambda: torch.baddbmm(B, B, B, **factors), lambda: A.clone().addmm_(A, A, **factors),
            ):
                attempt(function)
    """)


def test_products_of_bools_and_of_several_types_are_refused() -> None:
    assert_same("""
    A = torch.tensor([[True, False], [True, True]])
    B, v = A.expand(2, 2, 2), A[0]
    for function in (
        lambda: A @ A, lambda: A.mv(v), lambda: B.bmm(B), lambda: v.dot(v), lambda: v.vdot(v), lambda: A @ v,
        lambda: torch.addmm(A, A, A), lambda: torch.addbmm(A, B, B), lambda: A[:0] @ A,
    ):
        attempt(function)
    for function in (
        lambda: torch.addmv(v.double(), A.int(), v.int()), lambda: torch.addbmm(A.double(), B.int(), B.int()),
    ):
        attempt(function)
    print(torch.addr(A.double(), v.int(), v.int()), torch.addr(A, v, v, beta=2))
    """)


def test_covariances_and_sums_to_a_size() -> None:
    assert_same("""
    for type_ in (torch.bool, torch.uint8, torch.int64):
        A = torch.tensor([[1, 2, 4], [3, 4, 0]]).to(type_)
        for function in (
            lambda: A.cov(), lambda: A[0].cov(), lambda: A.corrcoef(), lambda: A.cov(correction=0),
            lambda: A.cov(fweights=torch.tensor([1, 2, 2])), lambda: A[0, 0].sum_to_size(()),
            lambda: A.sum_to_size(1, 3), lambda: A.sum_to_size(), lambda: A.sum_to_size(2, 3),
        ):
            attempt(function)
    """)
