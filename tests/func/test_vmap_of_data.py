"""Mapped functions that look at elements: by a composition that need not, or sample by sample."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
from retrograd import func

_GIVEN = """
grad, vmap = torch.func.grad, torch.func.vmap
x = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 5.0]], dtype=torch.float64)
whole = x.long()
"""


@pytest.fixture(params=["numpy", "jax"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> object:
    with retrograd.use_backend(request.param):
        yield


def test_counts_and_places() -> None:
    assert_same(
        """
    print(vmap(lambda a: torch.histc(a, 3))(x), vmap(lambda a: torch.histc(a, 3, 0, 5))(x))
    print(*vmap(lambda a: torch.histogram(a, 3))(x), *vmap(lambda w: torch.histogram(x[0], 2, weight=w))(x))
    print(vmap(lambda a: torch.bincount(a, minlength=8))(whole), vmap(lambda w: torch.bincount(whole[0], w))(x))
    attempt(vmap(torch.bincount), whole)
    print(vmap(torch.argwhere)(x), vmap(lambda a: torch.nonzero_static(a, size=3))(x))
    attempt(vmap(torch.argwhere), torch.tensor([1.0, 0.0]))
    attempt(vmap(torch.nonzero), x)
    print(vmap(vmap(lambda a: torch.histc(a, 2)))(x.reshape(2, 3, 1)))
    attempt(vmap(lambda a: torch.histc(a, 3)), torch.zeros(0, 3))
    print(vmap(lambda a: torch.linspace(a, 3, 4))(x[0]), vmap(lambda a: torch.logspace(0, a, 3))(x[0]))
    """,
        _GIVEN,
    )


def test_solutions_by_the_factors_of_each_sample() -> None:
    assert_same(
        """
    A = torch.tensor([[0.0, 2, 1, 4, 0, 1, 1, 1, 3], [2, 1, 0, 1, 3, 1, 5, 1, 4]]).reshape(2, 3, 3)
    B = torch.arange(12.0).reshape(2, 3, 2)
    LU, pivots = torch.linalg.lu_factor(A)
    for options in ({}, {"adjoint": True}, {"left": False}):
        right = B if options.get("left", True) else B.mT
        print(vmap(lambda lu, p, b: torch.linalg.lu_solve(lu, p, b, **options))(LU, pivots, right))
    print(vmap(lambda p: torch.linalg.lu_solve(LU[0], p, B[0]))(pivots), *vmap(torch.lu_unpack)(LU, pivots))
    print(vmap(grad(lambda lu, p, b: torch.linalg.lu_solve(lu, p, b).pow(2).sum(), (0, 2)))(LU, pivots, B))
    single = torch.stack([A[0], torch.zeros(3, 3)])
    for function in (torch.linalg.inv_ex, torch.linalg.cholesky_ex, lambda a: torch.linalg.solve_ex(a, B[0])):
        print(vmap(function)(single + 0).info, vmap(vmap(function))(single[:, None]).info)
    print(vmap(torch.linalg.lu_factor_ex)(single).info)
    """,
        _GIVEN,
    )


def test_elements_by_a_mask_or_counts_of_each_sample() -> None:
    assert_same(
        """
    print(vmap(lambda a, m, s: a.masked_scatter(m, s))(x, x > 1, x + 10))
    print(vmap(lambda m: x[0].masked_scatter(m, x[1]))(x > 1), vmap(lambda s: x[0].masked_scatter(x[0] > 0, s))(x))
    print(vmap(grad(lambda a, s: a.masked_scatter(a > 1, s).pow(2).sum(), (0, 1)))(x, x + 10))
    attempt(vmap(lambda m: x[0].masked_scatter(m, x[1, :1])), x > 0)
    counts = torch.tensor([[1, 2, 1], [0, 3, 1]])
    print(vmap(lambda c: x[0].repeat_interleave(c))(counts), vmap(lambda a, c: a.repeat_interleave(c))(x, counts))
    print(vmap(lambda c: torch.repeat_interleave(c, output_size=4))(counts))
    print(vmap(lambda c: x.repeat_interleave(c, 1))(counts))
    attempt(vmap(lambda c: x[0].repeat_interleave(c)), torch.tensor([[1, 2, 1], [1, 1, 3]]))
    """,
        _GIVEN,
    )


def test_running_statistics_that_differ_where_the_input_does_not() -> None:
    assert_same(
        """
    batch = torch.arange(12.0).reshape(4, 3)
    def step(mean, var, weight):
        return F.batch_norm(batch, mean, var, weight, training=True), mean, var
    print(*vmap(step)(x.float(), x.float() + 1, x.float()))
    print(vmap(lambda w: F.batch_norm(batch, torch.zeros(3), torch.ones(3), w, training=True))(x.float()))
    """,
        _GIVEN,
    )


def test_a_loop_over_the_samples_is_told_of() -> None:
    with pytest.warns(UserWarning, match=r"implemented the batching rule for aten::histc\."):
        func.vmap(lambda a: retrograd.histc(a, 3))(retrograd.ones(2, 3))
