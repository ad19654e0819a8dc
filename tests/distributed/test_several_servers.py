"""Several servers are as one: the same bits, the same decisions, and nothing of a push that one of them lacks."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from ps_harness import (
    DEADLINE,
    SGD,
    TABLE,
    Learner,
    LiveServer,
    Peer,
    all_of,
    clients,
    peer_of,
    place_in,
    serving,
    start,
    together,
    wait_until,
    weights,
)

import retrograd as rg
from retrograd.distributed import messages
from retrograd.distributed.errors import NonFiniteGradient
from retrograd.distributed.messages import Array, Groups, Slot, TensorSpec
from retrograd.distributed.placement import cut, place, view

MODEL = (
    TensorSpec("first", "float32", (7, 5)),
    TensorSpec("bias", "float32", (33,)),
    TensorSpec("scale", "float32", ()),
    TensorSpec("second", "float64", (4, 3, 2)),
)
SMALL: dict[str, Any] = {"slice_bytes": 48}  # cuts the model into two dozen slices


def random_arrays(seed: int, table: Sequence[TensorSpec] = MODEL) -> list[Array]:
    random = np.random.default_rng(seed)
    return [np.asarray(random.standard_normal(row.shape), row.dtype) for row in table]


def train(shards: int, optimizer: str, groups: Groups, workers: int = 2, steps: int = 5, **options: Any) -> list[Array]:
    """The weights that workers with random gradients end with."""
    with serving(workers, shards, **{**SMALL, **options}) as servers, clients(*servers) as members:
        initial = random_arrays(0)
        all_of(*(lambda c=c: c.begin(initial, optimizer, groups, MODEL) for c in members))
        for step in range(steps):
            gradients = [random_arrays(1000 * step + rank + 1) for rank in range(workers)]
            gradients[0][1 if step % 2 else 3] = None  # type: ignore[call-overload]  # some have none for a tensor
            found = all_of(*(lambda c=c, g=g: c.learn(g, groups) for c, g in zip(members, gradients, strict=True)))
        assert all(len(each.state.position.slices) > 3 for each in servers)
        for mine in found:
            for ours, theirs in zip(mine, found[0], strict=True):
                assert ours.tobytes() == theirs.tobytes()
        return found[0]


def train_alone(optimizer: str, groups: Groups, workers: int = 2, steps: int = 5, clip: float = 0.0) -> list[Array]:
    """The same with one local optimizer, whose gradients are added up in the order of workers."""
    parameters = [rg.nn.Parameter(rg.from_numpy(each)) for each in random_arrays(0)]
    chosen = getattr(rg.optim, optimizer)([{"params": parameters, **groups[0]}])
    for step in range(steps):
        gradients = [random_arrays(1000 * step + rank + 1) for rank in range(workers)]
        gradients[0][1 if step % 2 else 3] = None  # type: ignore[call-overload]
        for index, parameter in enumerate(parameters):
            mine = [each[index] for each in gradients if each[index] is not None]
            parameter.grad = rg.from_numpy(np.asarray(sum(mine[1:], mine[0]))) if mine else None
        if clip:
            rg.nn.utils.clip_grad_norm_(parameters, clip)
        chosen.step()
    return [np.asarray(parameter.detach().numpy()) for parameter in parameters]


OPTIMIZERS: list[tuple[str, Groups]] = [
    ("SGD", ({"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},)),
    ("Adam", ({"lr": 0.01, "betas": (0.8, 0.99)},)),
]


# ---- as one -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 2, 3])
@pytest.mark.parametrize(("optimizer", "groups"), OPTIMIZERS, ids=["SGD", "Adam"])
def test_any_number_of_servers_gives_the_bits_of_one_process(shards: int, optimizer: str, groups: Groups) -> None:
    found, expected = train(shards, optimizer, groups), train_alone(optimizer, groups)
    for spec, ours, theirs in zip(MODEL, found, expected, strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert ours.tobytes() == theirs.tobytes(), spec.name


def test_servers_may_compute_with_another_backend() -> None:
    pytest.importorskip("jax")
    optimizer, groups = OPTIMIZERS[0]
    groups = ({**groups[0], "lr": 0.25, "momentum": 0.5},)
    found, expected = train(2, optimizer, groups, backend="jax", steps=2), train_alone(optimizer, groups, steps=2)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shards", [1, 3])
def test_gradients_are_clipped_by_their_norm_over_all_servers(shards: int) -> None:
    optimizer, groups = OPTIMIZERS[0]
    found = train(shards, optimizer, groups, clip=2.0)
    for ours, theirs in zip(found, train_alone(optimizer, groups, clip=2.0), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    for ours, theirs in zip(found, train_alone(optimizer, groups), strict=True):
        assert not np.allclose(ours, theirs, rtol=1e-2)
    for ours, again in zip(found, train(shards, optimizer, groups, clip=2.0), strict=True):
        assert ours.tobytes() == again.tobytes()


def test_a_push_is_one_also_after_something_that_only_one_server_was_asked() -> None:
    with serving(2, 3) as servers, clients(*servers) as members:
        start(*members)
        for step in range(1, 4):
            all_of(*(each.barrier for each in members))
            for w, b in all_of(*(each.learn for each in members)):
                np.testing.assert_array_equal(w, 1 - step)
                assert b.item() == 1 - step


def test_more_servers_than_slices_are_servers_too() -> None:
    with serving(2, 4) as servers, clients(*servers) as members:
        start(*members)
        for w, b in all_of(*(each.learn for each in members)):
            np.testing.assert_array_equal(w, 0.0)
            assert b.item() == 0.0
        assert sorted(len(each.state.position.slices) for each in servers) == [0, 0, 1, 1]
        all_of(*(each.barrier for each in members))
        assert [each.state.position.version for each in servers] == [1] * 4


# ---- a push that one server lacks -------------------------------------------------------------------------


class Half:
    """A worker of two servers, each of which owns one tensor of `TABLE`, that sends each what a test says."""

    def __init__(self, rank: int, peers: Sequence[Peer]) -> None:
        self.rank = rank
        self.peers = peers
        self.shares = place(cut(TABLE), TABLE, len(peers))

    def begin(self, world_size: int) -> None:
        for peer, share in zip(self.peers, self.shares, strict=True):
            peer.hello(self.rank, world_size)
            mine = tuple(share) if self.rank == 0 else ()
            arrays = [view(weights()[each.tensor], each) for each in mine]
            peer.send(messages.Init(1, "SGD", SGD, TABLE, mine, self.rank == 0), arrays)

    def take(self) -> None:
        for peer in self.peers:
            assert isinstance(peer.receive()[0], messages.Ready)
            assert isinstance(peer.receive()[0], messages.Weights)

    def push(self, shard: int, seq: int, step: int, value: float) -> None:
        [piece] = self.shares[shard]
        slot = Slot(0, "float32", piece.shape)
        message = messages.Push((slot,), seq, step, groups=SGD, present=(0,))
        self.peers[shard].send(message, [np.full(piece.shape, value, np.float32)])


def test_a_push_that_one_server_never_gets_is_in_no_weights() -> None:
    with (
        serving(2, 2, on_loss="continue") as servers,
        peer_of(servers[0]) as one,
        peer_of(servers[1]) as other,
        peer_of(servers[0]) as broken,
        peer_of(servers[1]) as whole,
    ):
        good, bad = Half(0, [one, other]), Half(1, [broken, whole])
        for worker in (good, bad):
            worker.begin(2)
        for worker in (good, bad):
            worker.take()
        for shard in (0, 1):
            good.push(shard, 2, 1, 1.0)
        bad.push(1, 2, 1, 100.0)  # and dies before the first server has its part
        wait_until(lambda: servers[1].roster[1].waiting, "the half push")
        wait_until(lambda: servers[0].roster[0].waiting, "the whole push")
        assert [each.state.position.version for each in servers] == [0, 0]
        servers[0].within(lambda: servers[0].lose(servers[0].roster[1], "lost worker 1: as the test says"))
        for peer in (one, other):
            message, [array] = peer.receive()
            assert isinstance(message, messages.Weights)
            np.testing.assert_array_equal(array, 1 - 0.5 * 2)
        wait_until(lambda: [each.staging.nbytes for each in servers] == [0, 0], "nothing to be left of it")


def test_a_push_that_becomes_whole_late_is_made_then() -> None:
    with (
        serving(1, 2) as servers,
        peer_of(servers[0]) as one,
        peer_of(servers[1]) as other,
    ):
        worker = Half(0, [one, other])
        worker.begin(1)
        worker.take()
        worker.push(0, 2, 1, 1.0)
        wait_until(lambda: servers[0].roster[0].waiting, "the first half")
        assert [each.state.position.version for each in servers] == [0, 0]
        worker.push(1, 2, 1, 1.0)
        for peer in (one, other):
            assert peer.receive()[0].version == 1


# ---- what is not finite -----------------------------------------------------------------------------------


def bad_gradients(client: Learner) -> list[Array]:
    """Gradients of which one element of one tensor, so one server's, is not finite."""
    gradients = [np.ones_like(each) for each in client.arrays]
    gradients[1][...] = np.inf
    return gradients


@pytest.mark.parametrize("shards", [1, 2])
def test_a_gradient_that_is_not_finite_is_refused(shards: int) -> None:
    with serving(2, shards) as servers, clients(*servers) as [good, bad]:
        start(good, bad)
        waiting = threading.Thread(target=good.learn)
        waiting.start()
        with pytest.raises(NonFiniteGradient, match="gradients of worker 1 for step 1 hold a NaN or an infinity"):
            bad.learn(bad_gradients(bad))
        assert [each.state.position.version for each in servers] == [0] * shards
        for found in (bad.learn(1.0), waiting.join(DEADLINE) or good.now()):  # the step is made with its next
            np.testing.assert_array_equal(found[0], 0.0)
            assert found[1].item() == 0.0
        assert [each.nonfinite for each in servers[0].status().workers] == [0, 1]


@pytest.mark.parametrize("shards", [1, 2])
def test_a_step_with_a_gradient_that_is_not_finite_is_left_out(shards: int) -> None:
    with serving(2, shards, nonfinite="skip") as servers, clients(*servers) as [good, bad]:
        start(good, bad)
        for found in all_of(good.learn, lambda: bad.learn(bad_gradients(bad))):
            np.testing.assert_array_equal(found[0], 1.0)
            assert found[1].item() == 1.0
        for found in all_of(good.learn, bad.learn):
            np.testing.assert_array_equal(found[0], 0.0)
        assert (good.step, bad.step) == (2, 2)
        wait_until(lambda: [each.counters.skipped for each in servers] == [1] * shards, "all to have skipped it")
        assert [each.nonfinite for each in servers[0].status().workers] == [0, 1]


def large_gradients(client: Learner) -> list[Array]:
    """Finite gradients, two of which have a sum that is not, for one element of one tensor."""
    gradients = [np.ones_like(each) for each in client.arrays]
    gradients[1][...] = 2e38
    return gradients


@pytest.mark.parametrize("clip", [0.0, 1e30])
@pytest.mark.parametrize("shards", [1, 2])
def test_gradients_whose_sum_is_not_finite_are_refused(shards: int, clip: float) -> None:
    with serving(2, shards, clip=clip) as servers, clients(*servers) as members:
        start(*members)
        for failure in together(*(lambda c=c: c.learn(large_gradients(c)) for c in members)):
            with pytest.raises(NonFiniteGradient, match="workers 0, 1 for step 1 are finite, and their sum is not"):
                raise failure
        assert [each.state.position.version for each in servers] == [0] * shards
        for _ in range(2):  # the first comes too late for the step, of which there is no update
            found = all_of(*(each.learn for each in members))
        for w, b in found:
            np.testing.assert_array_equal(w, 0.0)
            assert b.item() == 0.0


@pytest.mark.parametrize("shards", [1, 2])
def test_a_step_whose_sum_is_not_finite_is_left_out(shards: int) -> None:
    with serving(2, shards, nonfinite="skip") as servers, clients(*servers) as members:
        start(*members)
        for w, _ in all_of(*(lambda c=c: c.learn(large_gradients(c)) for c in members)):
            np.testing.assert_array_equal(w, 1.0)
        for w, _ in all_of(*(each.learn for each in members)):
            np.testing.assert_array_equal(w, 0.0)
        assert [each.step for each in members] == [2, 2]
        wait_until(lambda: [each.counters.skipped for each in servers] == [1] * shards, "all to have skipped it")


def test_a_large_gradient_whose_sum_is_finite_counts() -> None:
    with serving(2) as [server], clients(server) as [large, small]:
        start(large, small)
        for _, b in all_of(lambda: large.learn(large_gradients(large)), small.learn):
            assert b.item() == np.float32(1 - 0.5 * 2e38)


@pytest.mark.parametrize("shards", [1, 2])
def test_a_gradient_that_is_not_finite_may_be_let_in(shards: int) -> None:
    with serving(2, shards, nonfinite="allow") as servers, clients(*servers) as [good, bad]:
        start(good, bad)
        for found in all_of(good.learn, lambda: bad.learn(bad_gradients(bad))):
            np.testing.assert_array_equal(found[0], 0.0)
            assert found[1].item() == -np.inf


# ---- who takes part ---------------------------------------------------------------------------------------


def lose(servers: Sequence[LiveServer], rank: int) -> None:
    lead = servers[0]
    lead.within(lambda: lead.lose(lead.roster[rank], f"lost worker {rank}: as the test says"))


@pytest.mark.parametrize("shards", [2, 3])
def test_a_lost_worker_s_late_push_is_refused_by_all_and_it_comes_back(shards: int) -> None:
    with serving(2, shards, on_loss="continue") as servers, clients(*servers) as [first, second]:
        start(first, second)
        lose(servers, 1)
        np.testing.assert_array_equal(first.learn(1.0)[0], 0.0)
        for late in second.learn(100.0):  # goes into nothing
            np.testing.assert_array_equal(late, 0.0)
        assert (second.rejoined, second.step) == (1, 1)
        for w, b in all_of(first.learn, second.learn):
            np.testing.assert_array_equal(w, -1.0)
            assert b.item() == -1.0
        assert (first.step, second.step) == (2, 2)
        assert [each.state.position.version for each in servers] == [2] * shards


def test_a_worker_leaves_and_another_joins() -> None:
    with serving(2, 2, on_loss="continue") as servers, clients(*servers) as [first, second]:
        start(first, second)
        all_of(first.learn, second.learn)
        second.close()
        wait_until(lambda: servers[0].roster[1].state == "left", "its goodbye")
        np.testing.assert_array_equal(first.learn(1.0)[0], 0 - 0.5 * 2)
        with closing(Learner(place_in(*servers, rank=1))) as third:
            np.testing.assert_array_equal(third.begin(9.0)[0], -1.0)
            for w, _ in all_of(first.learn, third.learn):
                np.testing.assert_array_equal(w, -2.0)
            assert (first.step, third.step) == (3, 3)
