"""Tensors that exchange what they are: as in PyTorch, and the graph follows."""

from __future__ import annotations

import weakref

import pytest
from programs import assert_same

import retrograd
from retrograd.utils import swap_tensors

PROGRAMS = {
    "contents": """
        swap = torch.utils.swap_tensors
        a, b = torch.ones(2), torch.zeros(3)
        held = [a, b]
        print(swap(a, b), a, b, held)
        p = nn.Parameter(torch.ones(2))
        p.mark = 3
        t = torch.zeros(2, requires_grad=True)
        t.grad = torch.full((2,), 5.0)
        swap(p, t)
        print(type(p) is torch.Tensor, p, p.grad, hasattr(p, "mark"), type(t) is nn.Parameter, t, t.grad, t.mark)
    """,
    "graph": """
        swap = torch.utils.swap_tensors
        x, y = torch.ones(2, requires_grad=True), torch.full((2,), 3.0, requires_grad=True)
        swap(x, y)
        (x * y * y).sum().backward()
        print(x.grad, y.grad)
        module = nn.Linear(2, 1, bias=False)
        swap(module.weight, nn.Parameter(torch.tensor([[2.0, 4.0]])))
        module(torch.ones(1, 2)).sum().backward()
        print(module.weight.grad, module(torch.ones(1, 2)), type(module.weight))
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])


def test_what_would_be_left_behind_is_refused(backend: str) -> None:
    plain, watched, base = retrograd.ones(2), retrograd.ones(2), retrograd.ones(2)
    reference = weakref.ref(watched)
    view = base[1:]
    alias = view.detach()
    with pytest.raises(RuntimeError, match="Cannot swap t2 because it has weakref associated with it"):
        swap_tensors(plain, watched)
    assert reference() is watched
    with pytest.raises(RuntimeError, match="Cannot swap t1 because there are views of it"):
        swap_tensors(base, plain)
    swap_tensors(view, plain)
    base[1] = 7.0
    assert [plain.tolist(), view.tolist(), alias.tolist()] == [[7.0], [1.0, 1.0], [7.0]]


def test_a_swapped_leaf_and_a_retained_gradient_arrive_at_their_new_objects(backend: str) -> None:
    x, other = retrograd.ones(2, requires_grad=True), retrograd.zeros(2)
    y = x * 2
    y.retain_grad()
    total = (y * y).sum()
    swap_tensors(x, other)
    swap_tensors(y, x)
    total.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [4.0, 4.0]
    assert other.grad is not None
    assert other.grad.tolist() == [8.0, 8.0]
    assert y.grad is None
