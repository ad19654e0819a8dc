"""Tensors of a program's own classes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


_GIVEN = """
class Tagged(torch.Tensor):
    tag = None

    def doubled_(self):
        return self.mul_(2)

make = torch.Tensor._make_subclass
"""


def test_a_leaf_of_another_class_shares_the_memory() -> None:
    assert_same(
        """
    x = torch.tensor([1.0, 2.0])
    tagged = make(Tagged, x)
    tagged.tag = "t"
    tagged.doubled_()
    print(x, x._version, tagged._version, tagged.tag, isinstance(tagged, Tagged), tagged.is_leaf, tagged.requires_grad)
    leaf = make(Tagged, x * 1, True)
    (leaf * 3).sum().backward()
    print(leaf.grad, type(make(nn.Parameter, x, require_grad=True)).__name__)
    """,
        _GIVEN,
    )


def test_a_view_of_another_class_is_in_the_graph() -> None:
    assert_same(
        """
    y = torch.tensor([1.0, 2.0], requires_grad=True)
    view = y.as_subclass(Tagged)
    print(type(view).__name__, view.grad_fn.name(), view._is_view(), view._base is y)
    view.sum().backward()
    print(y.grad)
    x = torch.zeros(2)
    x.as_subclass(Tagged).add_(1)
    print(x)
    """,
        _GIVEN,
    )


def test_what_is_no_class_of_tensors() -> None:
    assert_same(
        """
    x = torch.ones(2)
    attempt(make, int, x)
    attempt(make, Tagged, 3)
    attempt(make, Tagged, torch.ones(2, dtype=torch.int64), True)
    attempt(x.as_subclass, int)
    """,
        _GIVEN,
    )
