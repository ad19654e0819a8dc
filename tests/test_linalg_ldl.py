"""Factors of indefinite matrices, and solutions by them, beside PyTorch's."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
from retrograd import func

GIVEN = """
L = torch.linalg
H = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]], dtype=torch.float64)
x = (torch.arange(36.0, dtype=torch.float64) ** 2).cos().reshape(6, 6)
A = x + x.mT - torch.eye(6, dtype=torch.float64)
C = torch.complex(A, x - x.mT)
B = torch.arange(12.0, dtype=torch.float64).reshape(6, 2)
"""


def test_factors_and_solutions(backend: str) -> None:
    assert_same(
        """
        print(L.ldl_factor(H), L.ldl_factor_ex(H.mT * 2))
        for kind, hermitian in (A, False), (A, True), (C, True), (torch.complex(A, A * A), False), (C, False):
            LD, pivots = L.ldl_factor(kind, hermitian=hermitian)
            right = B.to(kind.dtype)
            X = L.ldl_solve(LD, pivots, right, hermitian=hermitian)
            print(LD, pivots, X)
        stack = torch.stack([A, A * A, -A])
        LD, pivots = L.ldl_factor(stack)
        print(LD, pivots, L.ldl_solve(LD, pivots, B), L.ldl_solve(LD[0], pivots[0].long(), torch.stack([B, B + 1])))
        print(L.ldl_factor_ex(torch.stack([H, H * 0])), L.ldl_factor_ex(H * 0).info, L.ldl_factor_ex(H).info.shape)
        print(L.ldl_factor(torch.ones(2, 0, 0)), L.ldl_factor(A.float()).LD.dtype)
        """,
        GIVEN,
    )


def test_no_derivatives() -> None:
    assert_same(
        """
        a, b = A.clone().requires_grad_(), B.clone().requires_grad_()
        LD, pivots = L.ldl_factor(a)
        print(type(LD.grad_fn).__name__, pivots.requires_grad, LD.requires_grad)
        attempt(LD.sum().backward)
        for made in L.ldl_solve(LD, pivots, B), L.ldl_solve(LD.detach(), pivots, b):
            print(type(made.grad_fn).__name__)
            attempt(made.sum().backward)
        with torch.autograd.forward_ad.dual_level():
            attempt(L.ldl_factor, torch.autograd.forward_ad.make_dual(A, A))
            attempt(L.ldl_solve, LD.detach(), pivots, torch.autograd.forward_ad.make_dual(B, B))
        """,
        GIVEN,
    )


def test_refuses_what_pytorch_refuses() -> None:
    assert_same(
        """
        one = torch.ones
        for each in one(3), one(3, 4), one(3, 3).long(), one(3, 3).half(), one(3, 3).bool(), 3:
            attempt(L.ldl_factor, each)
            attempt(L.ldl_factor_ex, each)
        LD, pivots = L.ldl_factor(A)
        for each in B[:3], B.float(), B[:3].float(), B[:, 0], torch.stack([B, B])[..., :4, :], 3:
            attempt(L.ldl_solve, LD, pivots, each)
        for each in pivots[:3], pivots.float(), torch.stack([pivots, pivots]), 3:
            attempt(L.ldl_solve, LD, each, B)
        for each in LD[:3], LD[0], torch.stack([LD, LD]), LD.float(), 3:
            attempt(L.ldl_solve, each, pivots, B)
        attempt(L.ldl_solve, LD.long(), pivots, B.long())
        attempt(L.ldl_solve, LD.half(), pivots, B.half())
        out = torch.empty(0), torch.empty(0, dtype=torch.int32)
        print(L.ldl_factor(H.float(), out=out)[0] is out[0], out[1])
        """,
        GIVEN,
    )


@pytest.mark.parametrize("factorize", [retrograd.linalg.ldl_factor, retrograd.linalg.ldl_factor_ex])
def test_a_singular_matrix_is_an_error(factorize: object) -> None:
    options = {"check_errors": True} if factorize is retrograd.linalg.ldl_factor_ex else {}
    with pytest.raises(RuntimeError, match=r"retrograd.linalg.ldl_factor(_ex)?: Unknown error code: 1\."):
        factorize(retrograd.stack([retrograd.eye(2), retrograd.zeros(2, 2)]), **options)  # type: ignore[operator]


def test_mapped_equals_one_by_one(backend: str) -> None:
    x = retrograd.arange(18.0).reshape(2, 3, 3).square().cos()
    even = x + x.mT
    found, pivots = func.vmap(lambda A: tuple(retrograd.linalg.ldl_factor(A)))(even)
    alone, expected = retrograd.linalg.ldl_factor(even)
    assert retrograd.equal(found, alone)
    assert retrograd.equal(pivots, expected)
    solve = retrograd.linalg.ldl_solve
    assert retrograd.equal(func.vmap(solve, (0, 0, None))(found, pivots, x[0]), solve(found, pivots, x[0]))
