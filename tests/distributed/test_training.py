"""A program that trains through servers has, whatever it does with its gradients, the bits of one that trains alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from ps_harness import LiveServer, place_in, serving

import retrograd as rg
import retrograd.distributed as dist
from retrograd.distributed import outbox, pushing

Make = Callable[[list[Any]], rg.optim.Optimizer]
Program = Callable[[rg.nn.Module, rg.optim.Optimizer], None]


class Model(rg.nn.Module):
    """Something large enough to leave early and to be cut, something small, something that is a number, and rows."""

    def __init__(self) -> None:
        super().__init__()
        rg.manual_seed(0)
        self.embedding = rg.nn.Embedding(500, 32)
        self.first = rg.nn.Linear(32, 300)
        self.second = rg.nn.Linear(300, 300)
        self.last = rg.nn.Linear(300, 1)
        self.scale = rg.nn.Parameter(rg.tensor(1.5))
        self.frozen = rg.nn.Parameter(rg.ones(3), requires_grad=False)
        self.whole = rg.nn.Parameter(rg.arange(3), requires_grad=False)
        self.unused = rg.nn.Parameter(rg.ones(2))
        self.wide = rg.nn.Parameter(rg.randn(6, 4).t())  # not contiguous

    def forward(self, words: rg.Tensor) -> rg.Tensor:
        hidden = self.second(self.first(self.embedding(words)).relu()).relu()
        return self.last(hidden).squeeze(-1) * self.scale + self.wide.sum()


def loss(model: rg.nn.Module, step: int, part: int = 0) -> rg.Tensor:
    random = np.random.default_rng(100 * step + part)
    words = rg.tensor(random.integers(0, 500, 8))
    return ((model(words) - rg.tensor(random.standard_normal(8).astype(np.float32))) ** 2).sum()


# ---- programs ---------------------------------------------------------------------------------------------


def plain(model: rg.nn.Module, optimizer: rg.optim.Optimizer) -> None:
    for step in range(4):
        optimizer.zero_grad()
        loss(model, step).backward()
        optimizer.step()


def clipping(model: rg.nn.Module, optimizer: rg.optim.Optimizer) -> None:
    for step in range(4):
        optimizer.zero_grad()
        loss(model, step).backward()
        rg.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()


def writes_that_no_version_counts(model: rg.nn.Module, optimizer: rg.optim.Optimizer) -> None:
    for step in range(4):
        optimizer.zero_grad()
        loss(model, step).backward()
        for number, p in enumerate(each for each in model.parameters() if each.grad is not None):
            if number % 2:
                p.grad.data.mul_(0.5)
            else:
                p.grad.numpy()[...] *= -0.5
        optimizer.step()


def two_backwards(model: rg.nn.Module, optimizer: rg.optim.Optimizer) -> None:
    for step in range(4):
        optimizer.zero_grad()
        for part in range(2):
            loss(model, step, part).backward()
        optimizer.step()


def a_change_of_mind(model: rg.nn.Module, optimizer: rg.optim.Optimizer) -> None:
    for step in range(4):
        loss(model, step).backward()
        optimizer.zero_grad()
        loss(model, step, 1).backward()
        if step % 2:
            model.second.weight.grad = None
        optimizer.step()
        optimizer.zero_grad()


def gradients_that_stay(model: rg.nn.Module, optimizer: rg.optim.Optimizer) -> None:
    for step in range(4):
        optimizer.zero_grad(set_to_none=False)
        loss(model, step).backward()
        optimizer.step()
        optimizer.step()


def a_pull_in_between(model: rg.nn.Module, optimizer: rg.optim.Optimizer) -> None:
    for step in range(4):
        optimizer.zero_grad()
        loss(model, step).backward()
        if isinstance(optimizer, dist.ServerOptimizer):
            optimizer.pull()
            dist.barrier()
        optimizer.step()


def a_closure(model: rg.nn.Module, optimizer: rg.optim.Optimizer) -> None:
    for step in range(4):

        def closure(step: int = step) -> rg.Tensor:
            optimizer.zero_grad()
            error = loss(model, step)
            error.backward()
            return error

        optimizer.step(closure)


def another_rate(model: rg.nn.Module, optimizer: rg.optim.Optimizer) -> None:
    schedule = rg.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for step in range(4):
        optimizer.zero_grad()
        loss(model, step).backward()
        optimizer.step()
        schedule.step()


PROGRAMS = [
    plain,
    clipping,
    writes_that_no_version_counts,
    two_backwards,
    a_change_of_mind,
    gradients_that_stay,
    a_pull_in_between,
    a_closure,
    another_rate,
]


# ---- alone and with servers -------------------------------------------------------------------------------


@contextmanager
def joined(monkeypatch: pytest.MonkeyPatch, shards: int, **options: Any) -> Iterator[list[LiveServer]]:
    """This process as the only worker of servers."""
    with serving(1, shards, slice_bytes=1 << 16, **options) as servers:
        for name, value in place_in(*servers).variables().items():
            monkeypatch.setenv(name, value)
        dist.init()
        try:
            yield servers
        finally:
            dist.shutdown()


def bits(model: rg.nn.Module) -> dict[str, bytes]:
    return {name: p.detach().numpy().tobytes() for name, p in model.named_parameters()}


def alone(program: Program, optimizer: type[rg.optim.Optimizer], **fields: Any) -> dict[str, bytes]:
    model = Model()
    program(model, optimizer(model.parameters(), **fields))
    return bits(model)


@pytest.mark.parametrize("overlap", [True, False], ids=["overlap", "all at the end"])
@pytest.mark.parametrize(
    ("shards", "shared"), [(1, True), (2, True), (1, False), (2, False)], ids=["1", "2", "1 apart", "2 apart"]
)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.__name__)
def test_it_ends_with_the_same_bits(
    program: Program, shards: int, shared: bool, overlap: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "BUCKET_BYTES", 1 << 16)
    monkeypatch.setattr(outbox, "PART_BYTES", 1 << 16)
    monkeypatch.setattr(outbox, "WEIGHTS_BYTES", 1 << 14)
    model = Model()
    with joined(monkeypatch, shards, shared=shared) as servers:
        optimizer = dist.ServerOptimizer(rg.optim.SGD, model.parameters(), lr=1e-3, momentum=0.9, overlap=overlap)
        program(model, optimizer)
        found = bits(model)
        # What is on its way is not changed: that would be taken for damage, and sent again.
        assert [each.counters.rejected for each in servers] == [0] * shards
    assert found == alone(program, rg.optim.SGD, lr=1e-3, momentum=0.9)


OPTIMIZERS = ["Adam", "Adamax", "AdamW", "NAdam", "RAdam", "ASGD", "Adadelta", "Adagrad", "RMSprop", "Rprop"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_works_on_slices(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer_class = getattr(rg.optim, name)
    model = Model()
    with joined(monkeypatch, 2):
        optimizer = dist.ServerOptimizer(optimizer_class, model.parameters(), lr=1e-3)
        plain(model, optimizer)
        found, state = bits(model), optimizer.state_dict()
    assert found == alone(plain, optimizer_class, lr=1e-3)
    other = Model()
    local = optimizer_class(other.parameters(), lr=1e-3)
    plain(other, local)
    assert_same_state(state, local.state_dict())


def assert_same_state(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours["param_groups"] == theirs["param_groups"]
    assert ours["state"].keys() == theirs["state"].keys()
    for index, mine in theirs["state"].items():
        assert ours["state"][index].keys() == mine.keys()
        for name, value in mine.items():
            found = ours["state"][index][name]
            if isinstance(value, rg.Tensor):
                assert (found.shape, found.dtype) == (value.shape, value.dtype)
                assert found.numpy().tobytes() == value.numpy().tobytes(), (index, name)
            else:
                assert found == value


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_was_kept_can_be_loaded_and_training_goes_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer_class = getattr(rg.optim, name)
    model = Model()
    local = optimizer_class(model.parameters(), lr=1e-3)
    plain(model, local)
    state = copied(local.state_dict())
    again = Model()
    again.load_state_dict(model.state_dict())
    plain(model, local)
    with joined(monkeypatch, 2):
        optimizer = dist.ServerOptimizer(optimizer_class, again.parameters(), lr=0.5)
        optimizer.load_state_dict(state)
        plain(again, optimizer)
        assert bits(again) == bits(model)
        assert_same_state(optimizer.state_dict(), local.state_dict())


def copied(state: dict[str, Any]) -> dict[str, Any]:
    """What an optimizer keeps, as it is now."""
    kept = {
        index: {name: each.clone() if isinstance(each, rg.Tensor) else each for name, each in mine.items()}
        for index, mine in state["state"].items()
    }
    return {"state": kept, "param_groups": state["param_groups"]}


def test_gradients_of_several_calls_make_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def two_batches(model: rg.nn.Module, optimizer: rg.optim.Optimizer) -> None:
        for step in range(4):
            for part in range(2):
                optimizer.zero_grad()
                loss(model, step, part).backward()
                optimizer.step()

    model = Model()
    with joined(monkeypatch, 2):
        two_batches(model, dist.ServerOptimizer(rg.optim.SGD, model.parameters(), lr=1e-3, accumulate=2))
        found = bits(model)
    assert found == alone(two_backwards, rg.optim.SGD, lr=1e-3)


def test_weights_on_another_backend_are_written_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    with rg.use_backend("jax"):
        model = Model()
        with joined(monkeypatch, 2):
            plain(model, dist.ServerOptimizer(rg.optim.SGD, model.parameters(), lr=1e-4))
        found = {name: p.detach().numpy() for name, p in model.named_parameters()}
        other = Model()
        plain(other, rg.optim.SGD(other.parameters(), lr=1e-4))
        for name, p in other.named_parameters():
            np.testing.assert_allclose(found[name], p.detach().numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("optimizer", ["SGD", "Adagrad"])
def test_slices_that_did_not_change_are_not_waited_for_on_another_backend(
    optimizer: str, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jax")
    monkeypatch.setattr(outbox, "PART_BYTES", 1 << 16)
    monkeypatch.setattr(outbox, "WEIGHTS_BYTES", 1 << 14)
    kind = getattr(rg.optim, optimizer)

    def train(table: rg.nn.Parameter, optimizer: rg.optim.Optimizer) -> np.ndarray:
        for step, rows in enumerate((slice(0, 700), slice(300, 700), slice(5, 7))):
            table.grad = rg.zeros(1000, 64)
            table.grad[rows] = step + 1.0
            optimizer.step()
        return table.detach().numpy()

    with rg.use_backend("jax"):
        with joined(monkeypatch, 2, shared=shared):
            table = rg.nn.Parameter(rg.ones(1000, 64))
            found = train(table, dist.ServerOptimizer(kind, [table], lr=0.5))
        other = rg.nn.Parameter(rg.ones(1000, 64))
        np.testing.assert_allclose(found, train(other, kind([other], lr=0.5)), rtol=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
def test_of_an_embedding_only_rows_travel(sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with joined(monkeypatch, 1, shared=False):
        embedding = rg.nn.Embedding(10_000, 64, sparse=sparse)
        optimizer = dist.ServerOptimizer(rg.optim.SGD, embedding.parameters(), lr=0.5)
        client = dist.worker.current().client
        before = embedding.weight.detach().numpy().copy()
        traffic = client.channels[0].traffic
        for step in range(6):
            if step == 1:  # the first answer to a new worker is whole
                sent, received = traffic.bytes_sent, traffic.bytes_received
            optimizer.zero_grad()
            embedding(rg.tensor([step, 9_999])).sum().backward()
            optimizer.step()
        assert traffic.bytes_sent - sent < 5 * 30_000  # and not five times 2.5 MB
        assert traffic.bytes_received - received < 5 * 30_000
        before[:6] -= 0.5
        before[9_999] -= 6 * 0.5
        np.testing.assert_allclose(embedding.weight.detach().numpy(), before, rtol=1e-6, atol=1e-6)
