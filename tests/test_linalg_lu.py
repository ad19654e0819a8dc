"""Solutions by factors, factors taken apart, and `solve_ex`, beside PyTorch's."""

from __future__ import annotations

from programs import assert_same

import retrograd


def test_solutions_by_factors() -> None:
    assert_same("""
    A = torch.tensor([[0.0, 2.0, 1.0], [4.0, 1.0, 0.5], [1.0, 1.0, 3.0]], dtype=torch.float64, requires_grad=True)
    B = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]], dtype=torch.float64, requires_grad=True)
    LU, pivots = torch.linalg.lu_factor(A)
    for adjoint in False, True:
        for left in True, False:
            right = B if left else B.T
            X = torch.linalg.lu_solve(LU, pivots, right, left=left, adjoint=adjoint)
            print(X.detach(), torch.autograd.grad((3 * X ** 2).sum(), (A, B), retain_graph=True))
    stack = torch.stack([A, A.T]).detach()
    print(torch.linalg.lu_solve(*torch.linalg.lu_factor(stack), B.detach()))
    print(torch.lu_solve(B.detach(), LU.detach(), pivots))
    for right in B.detach()[:2], B.detach().float():
        attempt(torch.linalg.lu_solve, LU, pivots, right)
    attempt(torch.linalg.lu_solve, LU, pivots.long(), B)
    attempt(torch.linalg.lu_solve, LU, pivots[:1], B)
    """)


def test_factors_taken_apart() -> None:
    assert_same("""
    wide = torch.tensor([[[0.0, 2.0, 1.0], [4.0, 1.0, 0.5]], [[1.0, 2.0, 3.0], [0.5, 4.0, 1.0]]])
    for A in wide, wide.mT, wide[0, :, :2].clone().requires_grad_():
        LU, pivots = torch.lu(A)
        P, L, U = torch.lu_unpack(LU, pivots)
        print(P, L.detach(), U.detach(), L.requires_grad)
        print(torch.lu_unpack(LU.detach(), pivots, False), torch.lu_unpack(LU.detach(), pivots, True, False))
    print(torch.lu(wide, get_infos=True))
    """)


def test_solutions_with_information() -> None:
    assert_same("""
    A, b = torch.tensor([[2.0, 1.0], [1.0, 3.0]], requires_grad=True), torch.ones(2)
    made = torch.linalg.solve_ex(A, b)
    print(made.result.detach(), made.info, torch.autograd.grad(made.result.sum(), A))
    print(torch.linalg.solve_ex(torch.zeros(2, 2, 2), torch.ones(2, 2)).info)
    attempt(torch.linalg.solve, torch.zeros(2, 2), b)
    """)


def test_on_jax() -> None:
    A = retrograd.tensor([[0.0, 2.0], [4.0, 1.0]], device="jax")
    X = retrograd.linalg.lu_solve(*retrograd.linalg.lu_factor(A), retrograd.ones(2, 1, device="jax"))
    assert retrograd.allclose(A @ X, retrograd.ones(2, 1, device="jax"))


def test_methods_of_old(backend: str) -> None:
    assert_same("""
        a = torch.tensor([[2.0, 1.0], [1.0, 3.0]], requires_grad=True)
        print(a.lu(), a.lu(get_infos=True), type(a.lu(pivot=True)).__name__)
        print(torch.ones(2, 1).lu_solve(*a.detach().lu()))
    """)
