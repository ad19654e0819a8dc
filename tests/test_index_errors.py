"""Which of several errors of an index is told first, and how: types, then shapes, then positions out of range."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd

_GIVEN = """
x, values = torch.zeros(3, 4), torch.ones(2, 4)
far, near = torch.tensor([0, 5]), torch.tensor([0, 1])
wide, long = torch.tensor([[0, 5]]), torch.tensor([[0, 1, 0, 1, 0]])
pair = torch.ones(1, 2)

def put(key, value):
    copy = x.clone()
    copy[key] = value
    return copy
"""


@pytest.fixture(params=["numpy", "jax"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> object:
    with retrograd.use_backend(request.param):
        yield


def test_of_what_is_put_by_an_index() -> None:
    assert_same(
        """
    attempt(put, far, torch.ones(3, 4))
    attempt(put, far, values)
    attempt(put, far, values.long())
    attempt(put, near, torch.ones(3, 4))
    attempt(put, near, torch.ones(3, 4).long())
    attempt(put, (far, torch.tensor([0, 1, 2])), 1.0)
    attempt(put, (0, 0, 0), 1.0)
    attempt(x.index_put, (far,), torch.ones(3, 4))
    attempt(x.index_put, (far,), values.long())
    attempt(x.index_put, (near, near, near), torch.ones(2).long())
    attempt(x.index_put, (far.float(),), values.long())
    print(x)
    """,
        _GIVEN,
    )


def test_of_slices_by_an_index() -> None:
    assert_same(
        """
    for function in (x.index_add, x.index_copy):
        for index, source in (
            (far, torch.ones(2, 5)), (far, values), (far, torch.ones(3, 4)), (far, values.long()),
            (far, torch.ones(3, 4).long()), (far.float(), torch.ones(2, 5)), (far[None], values.long()),
        ):
            attempt(function, 0, index, source)
    attempt(torch.zeros(3).index_add, 0, far, torch.ones(2))
    attempt(x.index_add, 0, far.int(), values)
    for source in (torch.ones(3, 4), values, values.long(), torch.ones(2, 5), torch.ones(2)):
        attempt(x.index_reduce, 0, far, source, "prod")
    attempt(x.index_reduce, 0, far, torch.ones(3, 4), "other")
    attempt(x.index_select, 0, far.float())
    attempt(x[0].index_select, 0, far.float())
    """,
        _GIVEN,
    )


def test_of_a_scatter() -> None:
    assert_same(
        """
    for function in (x.scatter, x.scatter_add):
        for index, source in (
            (wide, pair), (wide, torch.ones(1, 1)), (wide, pair.long()), (wide[0], pair), (wide.float(), pair.long()),
            (long, torch.ones(1, 5)), (long, torch.ones(1, 5).long()), (wide, torch.ones(2)),
        ):
            attempt(function, 0, index, source)
            attempt(x.scatter_reduce, 0, index, source, "sum")
            attempt(x.scatter_reduce, 0, index, source, "other")
    attempt(x.scatter, 0, long, 1.0)
    attempt(x.scatter, 0, wide, 1.0)
    attempt(x.scatter, 0, wide, pair, reduce="other")
    attempt(x.scatter, 0, torch.zeros(0), torch.ones(1).long())
    attempt(torch.tensor(1.0).scatter, 0, torch.tensor(1), torch.tensor(2.0))
    attempt(x.gather, 0, wide)
    attempt(x.gather, 0, wide[0].float())
    """,
        _GIVEN,
    )


def test_of_masks() -> None:
    assert_same(
        """
    small = torch.ones(2, 4)
    attempt(x.masked_scatter, small > 0, torch.ones(3).long())
    attempt(x.masked_scatter, torch.ones(3, 4), torch.ones(3).long())
    attempt(x.masked_scatter, x == 0, torch.ones(3))
    attempt(x.masked_fill, small, torch.ones(2))
    attempt(x.masked_fill, small > 0, torch.ones(2))
    attempt(x.masked_fill, small > 0, 1.0)
    attempt(x.masked_select, small)
    attempt(x.masked_select, small > 0)
    """,
        _GIVEN,
    )


@pytest.mark.parametrize("name", ["int8", "int16", "float16", "complex64"])
def test_of_which_type_an_index_may_be(name: str) -> None:
    assert_same(
        f"""
    i = torch.tensor([1]).to(torch.{name})
    for key in (i, (i, i), (slice(1), i), (0, i), i[0], (i[0], 0)):
        attempt(lambda: x[key].shape)
        attempt(put, key, 1.0)
    attempt(x.index_put, (i,), torch.ones(4))
    """,
        _GIVEN,
    )


def test_of_leading_dimensions_of_one_element() -> None:
    assert_same(
        """
    rows = torch.arange(3)
    w = torch.ones(1, 3, requires_grad=True)
    for key in ((rows, rows), (range(3), range(3)), (rows, 0), ([0, 1, 2], slice(1))):
        attempt(put, key, torch.arange(3.0).view(1, 1, 3, *[1] * (type(key[1]) is slice)))
    attempt(put, x == 0, torch.ones(1, 12))
    attempt(put, x == 0, torch.ones(1, 1))
    attempt(put, (x[:, 0] == 0, 1), torch.ones(1, 3))
    attempt(put, (x[:, 0] == 0, 1), torch.ones(1, 2))
    attempt(put, (slice(None), near), torch.ones(2, 1, 2))
    attempt(put, True, torch.ones(1, 1, 3, 4))
    attempt(put, torch.tensor(True), torch.ones(1, 1, 3, 4))
    attempt(x.index_put, (rows, rows), torch.ones(1, 3))
    y = x.clone()
    y[rows, rows] = w
    (y * torch.arange(12.0).view(3, 4)).sum().backward()
    print(w.grad)
    """,
        _GIVEN,
    )
