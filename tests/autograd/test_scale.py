"""A chain of a million nodes: nothing recurses, and twice the length is twice the work."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from frames import frames_entered

import retrograd
from retrograd.autograd import forward_ad as fwAD
from retrograd.utils import viz
from retrograd.views import Permute, Reshape

LONG = 1_000_000


def chain(length: int) -> tuple[Any, Any]:
    x = retrograd.ones(1, requires_grad=True)
    y = x
    for _ in range(length):
        y = y + 1.0
    return x, y


@pytest.mark.slow
def test_a_million_nodes_run_backward_are_shown_and_dropped() -> None:
    x, y = chain(LONG)
    assert repr(y.grad_fn).startswith("<AddBackward0 object at ")
    assert repr(y) == "tensor([1000001.], grad_fn=<AddBackward0>)"
    assert viz.graph(y).dot.count("AddBackward0") < 2000
    y.sum().backward()
    assert x.grad.item() == 1.0
    (g,) = retrograd.autograd.grad(y.sum(), x, create_graph=True)
    assert g.item() == 1.0
    del y, g


def frames(call: Callable[[], Any]) -> int:
    """How many Python functions are entered, and how many built-in ones called, while `call` runs."""
    return len(frames_entered(call, ("call", "c_call")))


@pytest.mark.parametrize("create_graph", [False, True])
def test_the_work_of_a_pass_grows_as_the_chain(create_graph: bool) -> None:
    def work(length: int) -> int:
        x, y = chain(length)
        return frames(lambda: retrograd.autograd.grad(y, x, create_graph=create_graph))

    work(10)
    one, two, four = work(1000), work(2000), work(4000)
    assert four - two == 2 * (two - one)


def test_the_work_of_a_pass_grows_as_its_edges() -> None:
    def work(length: int) -> int:
        x = retrograd.ones(1, requires_grad=True)
        y = x
        for _ in range(length):
            y = y * y  # 2 ** length paths
            y = y - y.detach() + 1.0
        return frames(y.backward)

    work(10)
    one, two, four = work(100), work(200), work(400)
    assert four - two == 2 * (two - one)


def test_the_depth_of_the_stack_does_not_grow() -> None:
    limit = sys.getrecursionlimit()
    x, y = chain(20 * limit)
    y.backward()
    del y
    assert x.grad.item() == 1.0


def test_a_write_through_many_views_does_not_recurse(backend: str) -> None:
    base = retrograd.zeros(2)
    view = base
    for i in range(300):
        view = view.view(1, 2) if i % 2 else view.view(2)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(250)
    try:
        view.fill_(3.0)
    finally:
        sys.setrecursionlimit(limit)
    assert base.tolist() == [3.0, 3.0]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a step of a view has been taken, its layout worked out, and its gradient led back."""
    counts: Counter[str] = Counter()
    for kind in (Permute, Reshape):
        for name in ("apply", "restride", "adjoint"):
            monkeypatch.setattr(kind, name, counted(counts, name, getattr(kind, name)))
    return counts


def counted(counts: Counter[str], name: str, original: Any) -> Any:
    def method(step: Any, *arguments: Any) -> Any:
        counts[name] += 1
        return original(step, *arguments)

    return method


def views_of_views(base: Any, length: int) -> list[Any]:
    views = [base]
    for i in range(length):
        views.append(views[-1].t() if i % 4 < 2 else views[-1].view(2, 3))
    return views[1:]


@pytest.mark.parametrize("write", ["base", "last"])
def test_each_step_of_a_chain_of_views_is_taken_once_a_write(backend: str, taken: Counter[str], write: str) -> None:
    def work(length: int) -> Counter[str]:
        taken.clear()
        x = retrograd.arange(6.0).view(2, 3).requires_grad_()
        base = x * 1.0
        views = views_of_views(base, length)
        (base if write == "base" else views[-1]).mul_(2.0)
        assert all(view.grad_fn.name() == "AsStridedBackward0" for view in views)
        assert views[-1].stride()
        assert views[-1].sum().item() == 30.0
        (views[-1] * 1.0).sum().backward()
        assert x.grad.tolist() == [[2.0] * 3] * 2
        return Counter(taken)

    work(2)
    one, two, four = work(50), work(100), work(200)
    for name in taken:
        assert four[name] - two[name] == 2 * (two[name] - one[name]), name


def test_what_no_view_holds_is_not_kept_after_a_write() -> None:
    with retrograd.use_backend("jax"):
        base = retrograd.zeros(2, 3)
        views = views_of_views(base, 20)
        last, same = views[-1], views[-1].detach()
        del views
        base.add_(1.0)
        assert last._array is same._array
        assert [alias() for alias in base._tensor_meta.storage.aliases if alias() is not None] == [base, last, same]


def test_tangents_of_a_chain_of_views_take_each_step_once_a_write(backend: str, taken: Counter[str]) -> None:
    def work(length: int) -> int:
        taken.clear()
        with fwAD.dual_level():
            base = fwAD.make_dual(retrograd.ones(2, 3), retrograd.ones(2, 3)) * 1.0
            views = views_of_views(base, length)
            base.mul_(3.0)
            assert fwAD.unpack_dual(views[-1]).tangent.sum().item() == 18.0
        return taken["apply"]

    work(2)
    one, two, four = work(25), work(50), work(100)
    assert four - two == 2 * (two - one)
