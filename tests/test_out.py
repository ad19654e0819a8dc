"""`out=` of functions that are made of operators: what is written, resized and refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"])
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


_GIVEN = "x, first = torch.arange(1.0, 5.0).reshape(2, 2), torch.tensor([0, 1])\n"


@pytest.mark.usefixtures("_backend")
def test_the_result_is_written_and_given_back() -> None:
    assert_same(
        """
    row = x[0]
    for function, *args in (
        (torch.div, x, 2), (torch.matmul, x, x), (torch.mm, x, x), (torch.bmm, x[None], x[None]), (torch.mv, x, row),
        (torch.dot, row, row), (torch.addmm, x, x, x), (torch.pow, x, 2), (torch.where, x > 1, x, -x),
        (torch.clamp, x, 2, 3), (torch.index_select, x, 0, first), (torch.gather, x, 0, first[None]), (torch.tril, x),
        (torch.remainder, x, 2), (torch.lerp, x, -x, 0.5), (torch.outer, row, row), (torch.round, x / 3),
        (torch.masked_select, x, x > 1), (torch.hstack, (x, x)), (torch.square, x), (torch.diag, x),
    ):
        out = torch.empty(0)
        given = function(*args, out=out)
        print(function.__name__, given is out, out)
    """,
        _GIVEN,
    )


def test_memory_and_versions() -> None:
    assert_same(
        """
    base = torch.zeros(3, 2)
    row, version = base[1], base._version
    torch.mv(x, x[0], out=row)
    print(base, base._version - version, torch.div(first, 2, out=torch.zeros(2, dtype=torch.float64)))
    print(torch.nonzero(x > 2, out=torch.zeros(0, dtype=torch.int64)))
    """,
        _GIVEN,
    )


def test_what_is_refused() -> None:
    assert_same(
        """
    leaf = x.clone().requires_grad_()
    for call in (
        lambda: torch.div(leaf, 2, out=torch.zeros(2, 2)),
        lambda: torch.matmul(x, x, out=leaf),
        lambda: torch.mul(leaf, 2, out=torch.zeros(2, 2)),
        lambda: torch.matmul(x, x, out=torch.zeros(2, 2, dtype=torch.int64)),
    ):
        try:
            print(call())
        except RuntimeError as error:
            print(str(error).partition("():")[2] or "refused")
    with torch.no_grad():
        print(torch.div(leaf, 2, out=torch.zeros(2, 2)))
    """,
        _GIVEN,
    )


def test_results_are_not_written_where_several_elements_are_one(backend: str) -> None:
    assert_same(
        """
    o, out = torch.ones(2, 3), torch.zeros(1, 3).expand(2, 3)
    attempt(lambda: torch.cumsum(o, 0, out=out))
    attempt(lambda: torch.cat([torch.ones(1, 3), torch.zeros(1, 3)], out=out))
    attempt(lambda: torch.matmul(torch.ones(2, 2), o, out=out))
    attempt(lambda: torch.index_select(o, 0, torch.tensor([0, 1]), out=out))
    attempt(lambda: torch.max(torch.ones(2, 2, 3), 0, out=(out, torch.zeros(2, 3, dtype=torch.int64))))
    """
    )
