"""Weights that come while the program goes on: who waits for which, and that nobody sees old ones or half of them."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.proxy import FaultProxy
from ps_harness import LiveServer, serving

import retrograd as rg
import retrograd.distributed as dist
from retrograd.distributed import answers, link as link_module, outbox, worker
from retrograd.distributed.environment import Environment

LAYERS = 6


def model() -> rg.nn.Sequential:
    """Layers of 4 KiB and a bias, of which each is a message of its own."""
    rg.manual_seed(0)
    return rg.nn.Sequential(*(rg.nn.Linear(32, 32) for _ in range(LAYERS)))


def backward(trained: rg.nn.Module, step: int) -> None:
    x = np.random.default_rng(step).standard_normal((4, 32)).astype(np.float32)
    trained(rg.tensor(x)).square().mean().backward()


def reference(steps: int) -> list[np.ndarray]:
    trained = model()
    optimizer = rg.optim.SGD(trained.parameters(), lr=0.1, momentum=0.9)
    for step in range(steps):
        optimizer.zero_grad()
        backward(trained, step)
        optimizer.step()
    return values(trained)


def values(trained: rg.nn.Module) -> list[np.ndarray]:
    return [p.detach().numpy().copy() for p in trained.parameters()]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.tobytes() == theirs.tobytes()


class Slow:
    """A worker of one server, whose weights but for the first message wait until they are let through."""

    def __init__(self, server: LiveServer, proxy: FaultProxy) -> None:
        self.server, self.proxy = server, proxy
        self.model = model()
        self.optimizer = dist.ServerOptimizer(rg.optim.SGD, self.model.parameters(), lr=0.1, momentum=0.9)
        self.parameters = list(self.model.parameters())
        self.client = worker.current().client
        self.steps = 0

    def step(self, first: int = 1) -> Any:
        """Make a step of which only the first parts of the weights come; what holds the others."""
        self.optimizer.zero_grad()
        backward(self.model, self.steps)
        self.steps += 1
        hold = self.proxy.hold(lambda header, _: header["type"] == "weights" and header.get("part", 0) >= first)
        self.optimizer.step()
        assert self.client.is_receiving
        return hold


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    with slow_worker(monkeypatch) as made:
        yield made


@contextmanager
def slow_worker(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Iterator[Slow]:
    monkeypatch.setattr(outbox, "PART_BYTES", 1 << 12)
    monkeypatch.setattr(outbox, "WEIGHTS_BYTES", 1 << 12)
    monkeypatch.setattr(answers, "WORTH_SHARING", 0)
    monkeypatch.setattr(link_module, "_REPEAT", 0.3)
    with serving(1, shared=False, slice_bytes=1 << 14, **options) as [server], FaultProxy(server.address) as proxy:
        place = Environment(0, 1, (proxy.address,), "", 10.0)
        for name, value in place.variables().items():
            monkeypatch.setenv(name, value)
        dist.init()
        try:
            yield Slow(server, proxy)
        finally:
            dist.shutdown()


def blocked(look: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """A look that waits, in a thread, and where its result will be."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(look()))
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    return thread, found


def test_a_layer_waits_for_its_own_weights_alone(slow: Slow) -> None:
    hold = slow.step(first=4)
    expected = reference(1)
    assert slow.parameters[0].detach().numpy().tobytes() == expected[0].tobytes()
    assert slow.model[0](rg.ones(1, 32)).shape == (1, 32)
    thread, found = blocked(lambda: slow.model[-1].weight.sum().item())
    hold.stop()
    thread.join(60)
    assert found == [model_sum(expected[-2])]
    assert_same(values(slow.model), expected)
    assert not slow.client.is_receiving


def model_sum(array: np.ndarray) -> float:
    return float(rg.tensor(array).sum().item())


def test_pending_parameters_look_like_others(slow: Slow) -> None:
    hold = slow.step()
    last = slow.parameters[-2]
    assert isinstance(last, rg.nn.Parameter)
    assert type(last).__name__ == "Parameter"
    assert last.requires_grad
    assert last.is_leaf
    assert last.grad is not None
    slow.optimizer.zero_grad()
    assert slow.client.is_receiving  # nobody has looked at elements
    hold.stop()
    assert type(copy.deepcopy(last)) is rg.nn.Parameter
    assert_same([copy.deepcopy(slow.model)[-1].weight.detach().numpy()], [reference(1)[-2]])
    assert all(type(each) is rg.nn.Parameter for each in [last, *values_of_types(slow)])


def values_of_types(slow: Slow) -> list[rg.Tensor]:
    values(slow.model)
    return slow.parameters


@pytest.mark.parametrize(
    "write",
    [lambda p: p.mul_(2.0), lambda p: setattr(p, "data", p.data * 2), lambda p: p.copy_(p.detach().clone() * 2)],
    ids=["in place", "data", "copy_"],
)
def test_a_write_comes_after_the_step(write: Callable[[Any], Any], slow: Slow) -> None:
    hold = slow.step()
    hold.stop()
    with rg.no_grad():
        write(slow.parameters[-2])
    assert_same([slow.parameters[-2].detach().numpy()], [reference(1)[-2] * 2])


@pytest.mark.parametrize(
    "keep",
    [
        lambda p: p.detach(),
        lambda p: p.detach().numpy(),
        lambda p: p.view(-1)[3:],
        lambda p: p.data,
        lambda p: np.asarray(p.detach())[1:],
    ],
    ids=["alias", "array", "view", "data", "part of an array"],
)
def test_whoever_shares_the_memory_sees_the_new_weights(keep: Callable[[Any], Any], slow: Slow) -> None:
    kept = keep(slow.parameters[-2])
    slow.optimizer.zero_grad()
    backward(slow.model, 0)
    slow.optimizer.step()
    expected = rg.nn.Parameter(rg.tensor(reference(1)[-2]))
    ours, theirs = (
        np.asarray(each) if isinstance(each, np.ndarray) else each.detach().numpy() for each in (kept, keep(expected))
    )
    np.testing.assert_array_equal(ours, theirs)


def test_connections_that_break_meanwhile_lose_nothing(slow: Slow) -> None:
    for number in range(4):
        hold = slow.step(first=1 + number)
        slow.proxy.cut()
        hold.stop()
    assert_same(values(slow.model), reference(4))
    assert slow.client.links[0].retries > 0


def test_a_server_that_goes_back_meanwhile_takes_the_gradient_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"folder": tmp_path, "every": 3, "recovery": 60.0}
    with slow_worker(monkeypatch, **options) as slow:
        hold = slow.step(first=3)
        hold.stop()
        first = values(slow.model)  # order 2, the first one being that the worker has joined
        hold = slow.step(first=3)
        hold.stop()
        values(slow.model)  # order 3, of which there is a snapshot
        kept = values(slow.model)
        hold = slow.step(first=3)
        slow.server.stop()
        again = LiveServer(replace(slow.server.options, bind=slow.server.address))
        try:
            hold.stop()
            slow.proxy.cut()
            slow.optimizer.zero_grad()
            backward(slow.model, 3)  # with weights of two times, which no node notices
            slow.optimizer.step()
            assert_same(values(slow.model), kept)
            assert again.within(lambda: again.state.position.version) == 2
            assert slow.client.step == 2
            slow.steps = 2
            slow.step(first=3).stop()
            assert_same(values(slow.model), reference(3))
            assert first[0].tobytes() != kept[0].tobytes()
        finally:
            dist.shutdown()
            again.stop()


def test_a_server_that_is_lost_meanwhile_is_an_error_where_the_weights_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with slow_worker(monkeypatch) as slow:
        slow.step()
        slow.client.place = replace(slow.client.place, timeout=0.3)
        slow.client.links[0].place = slow.client.place
        slow.proxy.half_open()
        with pytest.raises(dist.ServerLost):
            backward(slow.model, 1)
        values(slow.model)  # as they are
        slow.client.close("it has failed", say_goodbye=False)


def test_nobody_waits_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with slow_worker(monkeypatch) as slow:
        slow.step().stop()
        trained = slow.model
    assert_same(values(trained), reference(1))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning", "ignore:.*fork:DeprecationWarning")
def test_a_child_has_all_weights(slow: Slow) -> None:
    slow.step().stop()
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.write(writer, b"".join(each.tobytes() for each in values(slow.model))[-4096:])
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        received = pipe.read()
    os.waitpid(child, 0)
    assert received == b"".join(each.tobytes() for each in reference(1))[-4096:]


def test_on_an_immutable_library(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    with rg.use_backend("jax"), slow_worker(monkeypatch) as slow:
        alias = slow.parameters[-1].detach()
        del alias
        for _ in range(3):
            slow.step(first=2).stop()
        with rg.inference_mode():  # a mode of the program's is none of the weights'
            assert slow.model[-1].weight.sum().ndim == 0
        for ours, theirs in zip(values(slow.model), reference(3), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
