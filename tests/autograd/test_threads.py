"""Threads and tasks: passes at once through shared leaves and shared graphs, and modes that stay where they were set.

All numbers are sums of small integers, so they are exact in whatever order they are added.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import retrograd
from retrograd.autograd import Function
from retrograd.autograd.engine import active_task
from retrograd.autograd.graph import register_multi_grad_hook
from retrograd.autograd.modes import GRAD, current_mode

THREADS, PASSES = 4, 25


@pytest.fixture(autouse=True)
def switch_often() -> Iterator[None]:
    """Let threads take turns as often as the interpreter can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def at_once(work: Callable[[int], Any], threads: int = THREADS) -> list[Any]:
    """Run `work(number)` in several threads that start together; their results, or the first error."""
    barrier = threading.Barrier(threads)
    results: list[Any] = [None] * threads
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait()
            results[number] = work(number)
        except BaseException as error:
            errors.append(error)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    if errors:
        raise errors[0]
    return results


# -- backward ------------------------------------------------------------------------------------


def test_graphs_that_share_leaves(backend: str) -> None:
    with retrograd.use_backend(backend):
        w, b = retrograd.ones(3, requires_grad=True), retrograd.zeros(3, requires_grad=True)
        inputs = [retrograd.tensor([1.0, 2.0, 3.0]) * (number + 1) for number in range(THREADS)]

    def work(number: int) -> None:
        for _ in range(PASSES):
            (inputs[number] * w + b).sum().backward()

    at_once(work)
    factor = PASSES * sum(range(1, THREADS + 1))
    assert w.grad.tolist() == [factor, 2.0 * factor, 3.0 * factor]
    assert b.grad.tolist() == [float(PASSES * THREADS)] * 3


def test_the_first_gradient_of_a_leaf_is_not_lost() -> None:
    for _ in range(50):
        w = retrograd.ones(3, requires_grad=True)
        at_once(lambda _, w=w: (w * 2.0).sum().backward())
        assert w.grad.tolist() == [2.0 * THREADS] * 3


def test_one_graph_that_is_kept(backend: str) -> None:
    with retrograd.use_backend(backend):
        w = retrograd.ones(3, requires_grad=True)
        h = w * w
        loss = (h * 3.0 + h * h).sum()

    def work(number: int) -> None:
        for _ in range(PASSES):
            loss.backward(retain_graph=True)

    at_once(work)
    assert w.grad.tolist() == [10.0 * THREADS * PASSES] * 3


def test_one_part_that_is_kept_below_graphs_of_each_thread() -> None:
    w = retrograd.ones(3, requires_grad=True)
    shared = w * w

    def work(number: int) -> None:
        for _ in range(PASSES):
            (shared * float(number + 1)).sum().backward(retain_graph=True)

    at_once(work)
    assert w.grad.tolist() == [2.0 * PASSES * sum(range(1, THREADS + 1))] * 3


def test_gradients_that_are_returned_belong_to_their_pass() -> None:
    w = retrograd.ones(3, requires_grad=True)
    y = w * w * w

    def work(number: int) -> set[tuple[float, ...]]:
        weight = retrograd.full((3,), float(number + 1))
        found = (
            retrograd.autograd.grad(y, w, weight, retain_graph=True, create_graph=number % 2 == 0)
            for _ in range(PASSES)
        )
        return {tuple(g.tolist()) for (g,) in found}

    assert at_once(work) == [{(3.0 * n,) * 3} for n in range(1, THREADS + 1)]
    assert w.grad is None


def test_every_hook_runs_once_in_every_pass() -> None:
    w, v = retrograd.ones(3, requires_grad=True), retrograd.ones(3, requires_grad=True)
    h = w * v
    loss = h.exp().log().sum()
    calls: list[str] = []  # appending is one operation
    h.register_hook(lambda grad: calls.append("tensor"))
    w.register_hook(lambda grad: calls.append("leaf"))
    w.register_post_accumulate_grad_hook(lambda leaf: calls.append("accumulated"))
    h.grad_fn.register_hook(lambda inputs, outputs: calls.append("node"))
    h.grad_fn.register_prehook(lambda outputs: calls.append("before"))
    register_multi_grad_hook([w, v, h], lambda grads: calls.append(f"all {len(grads)}"))
    register_multi_grad_hook([w, v], lambda grad: calls.append("any"), mode="any")

    at_once(lambda _: [loss.backward(retain_graph=True) for _ in range(PASSES)])
    total = THREADS * PASSES
    expected = ["tensor", "leaf", "accumulated", "node", "before", "all 3", "any"]
    assert {name: calls.count(name) for name in set(calls)} == dict.fromkeys(expected, total)


def test_a_hook_on_any_gradient_runs_once_in_each_of_two_interleaved_passes() -> None:
    w, v = retrograd.ones(2, requires_grad=True), retrograd.ones(2, requires_grad=True)
    first, middle, last = w * 2.0, w * 1.0, v * 3.0  # a pass reaches them from the last to the first
    barrier = threading.Barrier(2)

    def meet(grad: Any) -> None:
        barrier.wait(timeout=60)

    calls = []
    register_multi_grad_hook([first, last], lambda grad: calls.append(threading.get_ident()), mode="any")
    middle.register_hook(meet)
    loss = (first + middle + last).sum()
    at_once(lambda _: loss.backward(retain_graph=True), 2)
    assert len(calls) == len(set(calls)) == 2


def test_custom_functions_in_many_threads() -> None:
    class Cube(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 3 * x * x * grad

    w = retrograd.full((2,), 2.0, requires_grad=True)
    at_once(lambda _: [Cube.apply(w).sum().backward() for _ in range(PASSES)])
    assert w.grad.tolist() == [12.0 * THREADS * PASSES] * 2


def test_a_pass_inside_a_hook_of_another() -> None:
    w = retrograd.ones(2, requires_grad=True)
    v = retrograd.ones(2, requires_grad=True)

    def inner(grad: Any) -> None:
        with retrograd.enable_grad():
            (v * 3.0).sum().backward()

    def work(number: int) -> None:
        for _ in range(PASSES):
            h = w * 2.0
            h.register_hook(inner)
            h.sum().backward()
            assert active_task() is None

    at_once(work)
    assert w.grad.tolist() == [2.0 * THREADS * PASSES] * 2
    assert v.grad.tolist() == [3.0 * THREADS * PASSES] * 2


def test_an_error_in_one_thread_leaves_the_others_alone() -> None:
    w = retrograd.ones(2, requires_grad=True)
    h = w * w

    def refuse(grad: Any) -> None:
        if threading.current_thread().name == "refused":
            raise ValueError("refused")

    h.register_hook(refuse)
    loss = h.sum()

    def work(number: int) -> int:
        if number == 0:
            threading.current_thread().name = "refused"
        errors = 0
        for _ in range(PASSES):
            try:
                loss.backward(retain_graph=True)
            except ValueError:
                errors += 1
            assert current_mode() is GRAD
            assert active_task() is None
        return errors

    assert at_once(work) == [PASSES] + [0] * (THREADS - 1)
    assert w.grad.tolist() == [2.0 * (THREADS - 1) * PASSES] * 2


# -- modes ---------------------------------------------------------------------------------------


def state() -> tuple[bool, bool, bool, bool]:
    return (
        retrograd.is_grad_enabled(),
        retrograd.is_anomaly_enabled(),
        retrograd.is_anomaly_check_nan_enabled(),
        retrograd.is_inference_mode_enabled(),
    )


PLAIN = (True, False, True, False)
CONTEXTS: list[tuple[Callable[[], Any], tuple[bool, bool, bool, bool]]] = [
    (retrograd.no_grad, (False, False, True, False)),
    (lambda: retrograd.autograd.set_detect_anomaly(True), (True, True, True, False)),
    (lambda: retrograd.autograd.set_detect_anomaly(True, check_nan=False), (True, True, False, False)),
    (retrograd.inference_mode, (False, False, True, True)),
]


def test_a_mode_stays_in_its_thread() -> None:
    barrier = threading.Barrier(THREADS, timeout=60)

    def work(number: int) -> list[tuple[bool, ...]]:
        make, inside = CONTEXTS[number]
        seen = [state()]
        with make():
            barrier.wait()  # now all threads are inside
            seen.append(state())
            assert inside == state()
            barrier.wait()
        barrier.wait()
        return [*seen, state()]

    assert at_once(work) == [[PLAIN, inside, PLAIN] for _, inside in CONTEXTS]
    assert state() == PLAIN


@pytest.mark.parametrize(("make", "inside"), CONTEXTS)
def test_a_new_thread_starts_plain(make: Callable[[], Any], inside: tuple[bool, ...]) -> None:
    with make():
        assert state() == inside
        assert at_once(lambda _: state(), 1) == [PLAIN]
        assert state() == inside


def test_a_mode_stays_in_its_task() -> None:
    async def task(make: Callable[[], Any]) -> list[tuple[bool, ...]]:
        seen = [state()]
        with make():
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(state())
        await asyncio.sleep(0)
        return [*seen, state()]

    async def all_tasks() -> list[Any]:
        return await asyncio.gather(*(task(make) for make, _ in CONTEXTS))

    assert asyncio.run(all_tasks()) == [[PLAIN, *([inside] * 3), PLAIN] for _, inside in CONTEXTS]


def test_a_task_starts_with_its_parents_mode() -> None:
    async def child() -> tuple[bool, ...]:
        return state()

    async def parent() -> Any:
        with retrograd.no_grad():
            return await asyncio.create_task(child())

    assert asyncio.run(parent()) == (False, False, True, False)


def test_passes_in_tasks_do_not_mix() -> None:
    w = retrograd.ones(2, requires_grad=True)

    async def task(number: int) -> list[float]:
        found = []
        for _ in range(5):
            y = (w * float(number)).sum()
            await asyncio.sleep(0)
            (g,) = retrograd.autograd.grad(y, w)
            await asyncio.sleep(0)
            found.append(g[0].item())
        return found

    async def all_tasks() -> list[Any]:
        return await asyncio.gather(*(task(number) for number in range(4)))

    assert asyncio.run(all_tasks()) == [[float(number)] * 5 for number in range(4)]


def test_anomaly_mode_of_one_thread_does_not_slow_or_stop_another() -> None:
    inside, leave = threading.Event(), threading.Event()

    def watcher() -> None:
        with retrograd.autograd.set_detect_anomaly(True):
            inside.set()
            leave.wait()

    thread = threading.Thread(target=watcher)
    thread.start()
    inside.wait()
    try:
        x = retrograd.zeros(1, requires_grad=True)
        y = x / x
        assert y.grad_fn._node_extras is None  # no stack was kept
        y.backward()
        assert x.grad.isnan().all()
    finally:
        leave.set()
        thread.join()


def test_an_asynchronous_generator_runs_in_the_mode_it_is_decorated_with() -> None:
    @retrograd.no_grad()
    async def inside() -> Any:
        try:
            received = yield retrograd.is_grad_enabled()
            await asyncio.sleep(0)
            yield received, retrograd.is_grad_enabled()
        except ValueError:
            yield "caught", retrograd.is_grad_enabled()

    async def main() -> list[Any]:
        running = inside()
        seen = [await anext(running), retrograd.is_grad_enabled(), await running.asend(5)]
        seen += [retrograd.is_grad_enabled(), await running.athrow(ValueError()), retrograd.is_grad_enabled()]
        await running.aclose()
        return seen

    assert asyncio.run(main()) == [False, True, (5, False), True, ("caught", False), True]
