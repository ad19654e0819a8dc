"""Decompositions of low rank and a few eigenvalues, beside PyTorch's, by what does not depend on random numbers."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
from retrograd.autograd import gradcheck, gradgradcheck

GIVEN = """
x = torch.arange(24.0, dtype=torch.float64).reshape(6, 4)
A = (x * x + 1).sin() @ (x[:4] * x[:4]).cos()[:, :2] @ (x[:2] * 2 + 1).sqrt()
start = (torch.arange(24.0, dtype=torch.float64) ** 2).cos().reshape(12, 2)
wide = (torch.arange(144.0, dtype=torch.float64) ** 2).sin().reshape(12, 12)
S = wide @ wide.mT / 12 + torch.arange(12.0, dtype=torch.float64).diag()
"""


def test_singular_values_of_low_rank(backend: str) -> None:
    assert_same(
        """
        def shown(U, S, V):
            print(U.shape, S, V.shape, (U * S.unsqueeze(-2)) @ V.mH, U.dtype)

        shown(*torch.svd_lowrank(A, q=2))
        shown(*torch.svd_lowrank(A.mT, 2, 1))
        shown(*torch.svd_lowrank(torch.stack([A, 2 * A]), q=2, niter=None))
        shown(*torch.svd_lowrank(A, 2, 3, A[:1] * 0.5))
        shown(*torch.svd_lowrank(A.mT.float(), q=2, M=0.5 * A.mT[:, :1].float()))
        shown(*torch.svd_lowrank(torch.complex(A, A + 1), q=3))
        shown(*torch.pca_lowrank(A, q=2))
        shown(*torch.pca_lowrank(A, 2, False))
        print(torch.svd_lowrank(A)[1].shape, torch.pca_lowrank(A)[1].shape)
        """,
        GIVEN,
    )


def test_low_rank_refuses_what_pytorch_refuses() -> None:
    assert_same(
        """
        attempt(torch.pca_lowrank, A, -1)
        attempt(torch.pca_lowrank, A, 5)
        attempt(torch.pca_lowrank, A, 2, True, -1)
        attempt(torch.svd_lowrank, A, 2, M=A[:2])
        print(hasattr(torch.Tensor, "svd_lowrank"), hasattr(torch.Tensor, "lobpcg"))
        """,
        GIVEN,
    )


def test_derivatives_of_low_rank() -> None:
    assert_same(
        """
        X = A.clone().requires_grad_()
        U, S, V = torch.svd_lowrank(X, q=2)
        print(torch.autograd.grad((S ** 2).sum() + (((U * S) @ V.mT) ** 2).sum(), X))
        X = A.clone().requires_grad_()
        print(torch.autograd.grad(torch.pca_lowrank(X, q=2)[1].sum(), X))
        """,
        GIVEN,
    )


SEARCHES = """
def search(A, **options):
    steps = []

    def tracker(worker):
        tol = worker.fparams["tol"]
        steps.append((worker.ivars["istep"], worker.ivars["converged_count"], worker.S.shape, tol))
        assert worker.tvars["rerr"].shape == worker.X.shape[1:] and "LOBPCG:" in str(worker)

    E, X = torch.lobpcg(A, tracker=tracker, **options)
    print(E, X.abs(), steps)
"""


@pytest.mark.parametrize("method", ["ortho", "basic"])
@pytest.mark.parametrize("largest", [True, False])
def test_searches_go_as_pytorchs(method: str, largest: bool, backend: str) -> None:
    if backend == "jax" and largest:
        pytest.skip("one of each kind")
    assert_same(
        f"""
        options = dict(method="{method}", largest={largest}, X=start.clone(), niter=6, tol=1e-4)
        search(S, **options)
        B = wide.mT @ wide / 40 + torch.eye(12, dtype=torch.float64)
        search(S, **options | dict(B=B, k=1, X=start.clone()))
        """,
        GIVEN + SEARCHES,
    )


def test_more_of_searches() -> None:
    assert_same(
        """
        search(S, method="basic", largest=False, iK=torch.inverse(S), X=start.clone(), niter=4, tol=1e-9)
        search(S, X=start, niter=4, ortho_iparams=dict(ortho_i_max=1, ortho_j_max=1), ortho_fparams=dict(ortho_tol=0.5))
        search(S, X=start, niter=3, tol=1e-3, ortho_bparams=dict(ortho_use_drop=True))
        for k in 1, 3:
            E, X = torch.lobpcg(S, k, tol=1e-8)
            print(E, X.abs())
        E, X = torch.lobpcg(torch.stack([S, 2 * S]), 2, largest=False, tol=1e-8)
        print(E, X.abs())
        E, X = torch.lobpcg(S.float(), n=3, k=2)
        print(E, X.dtype, X.shape)

        def stop(worker):
            worker.bvars["force_stop"] = worker.ivars["istep"] == 2
            if worker.ivars["istep"] == 2:
                print("stopped")

        torch.lobpcg(S, tracker=stop, tol=0.0)
        attempt(torch.lobpcg, S, 5)
        attempt(torch.lobpcg, S[:3])
        attempt(torch.lobpcg, S, B=S[:3])
        attempt(torch.lobpcg, S, X=start[:4])
        attempt(torch.lobpcg, torch.stack([S, S]), X=start[:4].expand(2, 4, 2))
        attempt(torch.lobpcg, S.half())
        """,
        GIVEN + SEARCHES,
    )


def test_derivatives_of_eigenvalues(backend: str) -> None:
    assert_same(
        """
        X = S.clone().requires_grad_()
        for k in 1, 3:
            E, U = torch.lobpcg(X, k, tol=1e-13, niter=200)
            found = torch.autograd.grad((E ** 2).sum() + (U ** 4).sum(), X)
            print(E.grad_fn.name(), found)
        E, U = torch.lobpcg(torch.stack([X, 2 * X]), 2, largest=False, tol=1e-13, niter=200)
        print(torch.autograd.grad(E.sum() + (U ** 4).sum(), X))
        E, U = torch.lobpcg(X, B=torch.eye(12, dtype=torch.float64))
        attempt(E.sum().backward)
        """,
        GIVEN,
    )


def test_derivatives_equal_finite_differences() -> None:
    retrograd.manual_seed(0)
    x = retrograd.randn(7, 7, dtype=retrograd.float64)
    even = (x @ x.mT + retrograd.arange(7.0, dtype=retrograd.float64).diag()).requires_grad_()

    def call(A: retrograd.Tensor) -> tuple[retrograd.Tensor, retrograd.Tensor]:
        values, vectors = retrograd.lobpcg((A + A.mT) / 2, 2, tol=1e-14, niter=100)
        return values, vectors.square()

    assert gradcheck(call, (even,), atol=1e-4)
    assert gradgradcheck(call, (even,), atol=1e-3)
