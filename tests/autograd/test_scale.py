"""A chain of a million nodes: nothing recurses, and twice the length is twice the work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

import retrograd
from retrograd.utils import viz

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
    count = 0

    def watch(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count


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
