"""Functions without a derivative: their results require one all the same, and asking for it is an error."""

from __future__ import annotations

import pytest
from programs import assert_same

_SETUP = """
    fw = torch.autograd.forward_ad

    def show(made):
        if isinstance(made, (tuple, list)):
            for each in made:
                show(each)
        else:
            node = made.grad_fn
            print(made.detach(), made.requires_grad, node and node.name(), node and len(node.next_functions))

    def ask(function, *values):
        x = torch.tensor(values or [1.0, 2.0, 2.0], requires_grad=True)
        made = function(x)
        show(made)
        first = made if isinstance(made, torch.Tensor) else made[0]
        attempt((first.sum() + x.sum()).backward)
        with torch.no_grad():
            show(function(x))
        with fw.dual_level():
            attempt(function, fw.make_dual(x.detach(), torch.ones_like(x)))
"""


@pytest.mark.usefixtures("backend")
def test_distinct_elements() -> None:
    assert_same(
        _SETUP
        + """
    ask(torch.unique)
    ask(lambda x: x.unique(return_inverse=True, return_counts=True))
    ask(lambda x: torch.unique(x, dim=0, return_inverse=True, return_counts=True))
    ask(torch.unique_consecutive)
    ask(lambda x: x.unique_consecutive(dim=0, return_inverse=True, return_counts=True))
    """
    )


@pytest.mark.usefixtures("backend")
def test_counts_of_weights() -> None:
    assert_same(
        _SETUP
        + """
    places = torch.tensor([0, 1, 1])
    ask(lambda x: torch.bincount(places, x)[1:])
    ask(lambda x: places.bincount(weights=x.double(), minlength=4)[1:])
    show(torch.bincount(places))
    """
    )


@pytest.mark.usefixtures("backend")
def test_histograms() -> None:
    assert_same("""
    fw = torch.autograd.forward_ad
    points, edges = torch.tensor([1.0, 2.0, 2.0]), torch.tensor([0.0, 1.5, 3.0])
    for of in (
        lambda x: torch.histogram(x, 4), lambda x: x.histogram(edges), lambda x: torch.histogram(points, 4, weight=x),
        lambda x: torch.histogram(points, x), lambda x: torch.histogramdd(x[:, None], 4),
        lambda x: torch.histogramdd(points[:, None], [4], weight=x), lambda x: torch.histogramdd(x[:, None], [edges]),
        lambda x: torch.histogramdd(points[:, None], [x]),
    ):
        x = torch.tensor([0.5, 2.0, 2.0], requires_grad=True)
        made = of(x)
        for each in (made.hist, *(made[1] if isinstance(made[1], tuple) else made[1:])):
            print(each.detach(), each.requires_grad, each.grad_fn and each.grad_fn.name())
        attempt((made.hist.sum() + x.sum()).backward)
        with fw.dual_level():
            attempt(of, fw.make_dual(x.detach(), torch.ones(3)))
    """)


@pytest.mark.usefixtures("backend")
def test_tangents_of_operators() -> None:
    assert_same("""
    fw = torch.autograd.forward_ad
    S, x, one = torch.special, torch.tensor([1.5, 2.0]), torch.ones(2)
    with fw.dual_level():
        d = fw.make_dual(x, one)
        for f in torch.heaviside, torch.floor_divide, torch.igamma, torch.igammac, S.gammainc, S.zeta:
            attempt(f, d, one)
            attempt(f, one, d)
        attempt(lambda: d // 2)
        attempt(lambda: 2 // d)
        attempt(S.zeta, 2, d)
    """)
