"""Every optimizer on servers is the optimizer of one process, however its tensors are cut: bits, state, and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ps_harness import LiveServer, all_of, clients, place_in, serving, together

import retrograd as rg
import retrograd.distributed as dist
from retrograd.distributed import bridge, worker
from retrograd.distributed.errors import DistributedError, Mismatch
from retrograd.distributed.gradients import Rows, dense, sum_in_order
from retrograd.distributed.messages import Array, Slice, TensorSpec
from retrograd.distributed.placement import LOOKS_AT_ROWS, LOOKS_AT_TENSORS, check_cuts, cut, shape_for, view
from retrograd.distributed.state import Position, State

CLASSES = [
    each
    for name in rg.optim.__all__
    if isinstance(each := getattr(rg.optim, name), type) and each not in (rg.optim.Optimizer, rg.optim.LBFGS)
]
ON_SERVERS = pytest.mark.parametrize("kind", CLASSES, ids=[each.__name__ for each in CLASSES])

SHAPES: list[tuple[int, ...]] = [(7, 5), (33,), (), (4, 3, 2, 3), (6, 1), (1, 9), (3, 2, 2, 1)]
SMALL = {"slice_bytes": 48}  # less than the rows of some


def shapes_for(kind: type) -> list[tuple[int, ...]]:
    """Those that it takes."""
    if kind is rg.optim.SparseAdam:
        return [shape for shape in SHAPES if shape]
    return [(7, 5), (6, 1), (1, 9), (20, 30)] if kind is rg.optim.Muon else SHAPES


def hyperparameters(kind: type) -> dict[str, Any]:
    """Other ones than those by default, that make it keep what it can keep."""
    more = {"SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.9, "centered": True}, "Adam": {"amsgrad": True}}
    return {"lr": 0.02, **more.get(kind.__name__, {})}


def arrays_for(kind: type, seed: int) -> list[Array]:
    """Weights or gradients; for sparse ones with rows that are zero."""
    random = np.random.default_rng(seed)
    made = [np.asarray(random.standard_normal(shape), np.float32) for shape in shapes_for(kind)]
    if kind.__name__ in LOOKS_AT_ROWS and seed:
        for each in made:
            each[random.random(len(each)) < 0.6] = 0
    return made


def parameters_for(kind: type) -> list[rg.Tensor]:
    return [rg.nn.Parameter(rg.from_numpy(each)) for each in arrays_for(kind, 0)]


def gradient(kind: type, array: Array) -> rg.Tensor:
    tensor = rg.from_numpy(array.copy())
    return tensor.to_sparse(1) if kind.__name__ in LOOKS_AT_ROWS else tensor


def learn(kind: type, optimizer: rg.optim.Optimizer, steps: Sequence[int]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for step in steps:
        for index, (p, array) in enumerate(zip(parameters, arrays_for(kind, 1 + step), strict=True)):
            p.grad = None if (index, step) == (1, 1) else gradient(kind, array)
        optimizer.step()


def assert_same_bits(ours: Any, theirs: Any) -> None:
    """Of numbers, tensors, and what holds them; where a backend does not promise bits, nearly the same."""
    if isinstance(theirs, rg.Tensor):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        one, other = ours.detach().numpy(), theirs.detach().numpy()
        if isinstance(theirs._array, np.ndarray):
            assert one.tobytes() == other.tobytes()
        else:  # what compiles a rule for each shape rounds as it likes
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            assert_same_bits(ours[key], value)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same_bits(one, other)
    else:
        assert (type(ours), ours) == (type(theirs), theirs)


@contextmanager
def joined(servers: Sequence[LiveServer], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process is the only worker of the servers' run."""
    me = worker.Worker(place_in(*servers))
    with monkeypatch.context() as context:
        context.setattr(worker, "_current", me)
        try:
            yield
        finally:
            me.close()


# ---- as in one process ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 3])
@ON_SERVERS
def test_cut_tensors_get_the_bits_of_whole_ones(kind: type, shards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = parameters_for(kind), parameters_for(kind)
    alone = kind(theirs, **hyperparameters(kind))
    with serving(1, shards, **SMALL) as servers, joined(servers, monkeypatch):
        optimizer = dist.ServerOptimizer(kind, ours, **hyperparameters(kind))
        for each in servers:
            slices = each.state.position.slices
            assert slices
            assert kind.__name__ not in LOOKS_AT_TENSORS or all(piece.start == 0 for piece in slices)
        learn(kind, alone, range(4))
        learn(kind, optimizer, range(4))
        assert_same_bits(ours, theirs)
        assert_same_bits(optimizer.state_dict(), alone.state_dict())


@ON_SERVERS
def test_the_state_of_one_process_goes_to_servers_and_back(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = parameters_for(kind), parameters_for(kind)
    alone = kind(theirs, **hyperparameters(kind))
    learn(kind, alone, range(3))
    with rg.no_grad():
        for one, other in zip(ours, theirs, strict=True):
            one.copy_(other)
    with serving(1, 2, **SMALL) as servers, joined(servers, monkeypatch):
        optimizer = dist.ServerOptimizer(kind, ours, **hyperparameters(kind))
        optimizer.load_state_dict(alone.state_dict())
        assert_same_bits(optimizer.state_dict(), alone.state_dict())
        learn(kind, optimizer, range(3, 5))
        learn(kind, alone, range(3, 5))
        assert_same_bits(ours, theirs)
        assert_same_bits(optimizer.state_dict(), alone.state_dict())


@ON_SERVERS
def test_a_server_goes_on_from_its_snapshot(kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = parameters_for(kind), parameters_for(kind)
    alone = kind(theirs, **hyperparameters(kind))
    learn(kind, alone, range(5))
    kept = {"folder": tmp_path, "every": 1, **SMALL}
    for steps, options in ((range(3), kept), (range(3, 5), {**kept, "resume": True})):
        with serving(1, **options) as servers, joined(servers, monkeypatch):
            optimizer = dist.ServerOptimizer(kind, ours, **hyperparameters(kind))
            learn(kind, optimizer, steps)
            found = optimizer.state_dict()
    assert_same_bits(ours, theirs)
    assert_same_bits(found, alone.state_dict())


def test_kernels_are_seen_as_they_are_in_a_real_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(make: Callable[[Any], Any]) -> list[rg.Tensor]:
        rg.manual_seed(0)
        model = rg.nn.Sequential(rg.nn.Conv2d(2, 4, 3), rg.nn.Tanh(), rg.nn.Flatten(), rg.nn.Linear(64, 5))
        optimizer = make(model.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            model(rg.randn(3, 2, 6, 6)).square().sum().backward()
            optimizer.step()
        return list(model.parameters())

    expected = train(rg.optim.Adafactor)
    with serving(1, 2, **SMALL) as servers, joined(servers, monkeypatch):
        assert_same_bits(train(lambda p: dist.ServerOptimizer(rg.optim.Adafactor, p)), expected)


@pytest.mark.parametrize("kind", [rg.optim.Adafactor, rg.optim.Muon, rg.optim.SparseAdam])
def test_gradients_of_several_workers_are_added_up(kind: type) -> None:
    theirs, groups = parameters_for(kind), ({**hyperparameters(kind)},)
    alone, table = kind(theirs, **groups[0]), bridge.table_of([{"params": theirs}])
    with serving(2, 2, **SMALL) as servers, clients(*servers) as members:
        all_of(*(lambda c=c: c.begin(arrays_for(kind, 0), kind.__name__, groups, table) for c in members))
        for step in range(3):
            parts = [arrays_for(kind, 100 * step + rank + 1) for rank in range(2)]
            found = all_of(*(lambda c=c, g=g: c.learn(g, groups) for c, g in zip(members, parts, strict=True)))
            for p, one, other in zip(theirs, *parts, strict=True):
                p.grad = gradient(kind, one) + gradient(kind, other)
            alone.step()
    for ours, p in zip(found[1], theirs, strict=True):
        assert ours.tobytes() == p.detach().numpy().tobytes()


@pytest.mark.parametrize("kind", [rg.optim.Adafactor, rg.optim.SparseAdam])
def test_another_backend_sees_whole_tensors_and_rows_as_well(kind: type) -> None:
    pytest.importorskip("jax")
    table, groups = (TensorSpec("w", "float32", (4, 3, 2)),), ({"lr": 0.1},)
    initial, gradients = np.random.default_rng(0).standard_normal((2, 4, 6)).astype(np.float32)
    gradients[[0, 2]] = 0
    found = []
    for backend in ("numpy", "jax"):
        state = State(Position(kind.__name__, groups, table, tuple(cut(table))), [initial], backend)
        state.apply([{0: gradients}], groups)
        found.append(state.weights()[0])
    assert (found[0] != initial).any()
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)


# ---- whole tensors ----------------------------------------------------------------------------------------


def test_a_cut_tensor_is_refused_where_the_optimizer_needs_a_whole_one() -> None:
    table = (TensorSpec("w", "float32", (4, 2)),)
    for optimizer, piece, text in [
        ("Adafactor", Slice(0, 0, 4, columns=2), r"Adafactor needs whole tensors, and 0 to 4 is only a part of w"),
        ("Muon", Slice(0, 4, 8, columns=2), r"Muon needs whole tensors, and 4 to 8"),
        ("Muon", Slice(0, 0, 0), r"Muon needs whole tensors, and 0 to 0"),
        ("SparseAdam", Slice(0, 0, 3), r"SparseAdam needs whole rows, and 0 to 3"),
        ("SparseAdam", Slice(0, 1, 3, columns=2), r"SparseAdam needs whole rows, and 1 to 3"),
    ]:
        with pytest.raises(Mismatch, match=text):
            State(Position(optimizer, ({"lr": 0.1},), table, (piece,)), [np.zeros(piece.shape, np.float32)])
    check_cuts("SparseAdam", table, [Slice(0, 0, 4, columns=2), Slice(0, 4, 8, columns=2)])
    check_cuts("Adam", table, [Slice(0, 0, 3), Slice(0, 3, 8)])


def test_who_cuts_what_it_may_not_is_told_by_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrograd.distributed.client.cut", lambda table, size, optimizer: cut(table, size))
    with serving(1, **SMALL) as [server], clients(server) as [client]:
        table = (TensorSpec("w", "float32", (9, 9)),)
        with pytest.raises(Mismatch, match="Muon needs whole tensors"):
            client.begin(1.0, "Muon", ({"lr": 0.1},), table)
        assert server.state is None


@pytest.mark.parametrize("shape", [(0, 4), (5, 0), (0,), (3,), (2, 3, 0)])
def test_tensors_without_elements_are_whole_too(shape: tuple[int, ...]) -> None:
    table = [TensorSpec("w", "float32", shape)]
    for optimizer in ("Adafactor", "SparseAdam", "Adam"):
        pieces = cut(table, 4, optimizer)
        check_cuts(optimizer, table, pieces)
        for piece in pieces:
            view(np.zeros(shape, np.float32), piece).reshape(shape_for(optimizer, piece, table[0]))


def test_a_state_of_another_shape_is_refused() -> None:
    table = (TensorSpec("w", "float32", (2, 3, 4)),)
    state = State(Position("Adafactor", ({"lr": 0.1},), table, tuple(cut(table))), [np.ones((2, 12), np.float32)])
    state.apply([{0: np.ones((2, 12), np.float32)}], ({"lr": 0.1},))
    entries, arrays = state.entries()
    assert {each.name: each.shape for each in entries} == {"step": (), "row_var": (2, 3, 1), "col_var": (2, 1, 4)}
    assert state.weights()[0].shape == (2, 12)
    for shape in ((2, 3), (2, 12), (2, 2, 1), (1, 2, 3, 1)):
        wrong = [np.ones(shape, np.float32) if each.shape == (2, 3, 1) else each for each in arrays]
        with pytest.raises(Mismatch, match=r"row_var of slice 0 has shape .*, and the slice \[2, 3, 4\]"):
            state.load([bridge.Entry(0, e.name, e.dtype, a.shape) for e, a in zip(entries, wrong, strict=True)], wrong)
    state.load(entries, arrays)


# ---- rows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulate", [1, 2])
def test_sparse_embeddings_learn_on_servers(accumulate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(make: Callable[[Any], Any], backwards: int, steps: int) -> rg.Tensor:
        rg.manual_seed(0)
        table = rg.nn.Embedding(50, 16, sparse=True, padding_idx=3)
        optimizer, random = make(table.parameters()), np.random.default_rng(1)
        for _ in range(steps):
            optimizer.zero_grad()
            for _ in range(backwards):  # with some rows more than once
                table(rg.from_numpy(random.integers(0, 50, 20))).square().sum().backward()
            optimizer.step()
        return table.weight

    expected = train(rg.optim.SparseAdam, accumulate, 6)
    with serving(1, 2, slice_bytes=1000) as servers, joined(servers, monkeypatch):
        make = partial(dist.ServerOptimizer, rg.optim.SparseAdam, accumulate=accumulate)
        found = train(make, 1, 6 * accumulate)
        assert [server.state.position.version for server in servers] == [6, 6]
        assert_same_bits(found, expected)


def test_threads_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    w = rg.nn.Parameter(rg.zeros(1000))
    with serving(1) as [server], joined([server], monkeypatch):
        optimizer = dist.ServerOptimizer(rg.optim.SGD, [w], lr=1.0)
        w.grad = rg.full((1000,), -1.0)
        failures = together(*[lambda: [optimizer.step() for _ in range(50)]] * 3, lambda: optimizer.state_dict())
        assert not [each for each in failures if isinstance(each, BaseException)]
        assert server.state.position.version == 150
        optimizer.pull()
        assert (w == 150).all()


def test_rows_without_a_gradient_stay() -> None:
    table, groups = (TensorSpec("w", "float32", (8, 2)),), ({"lr": 0.5},)
    state = State(Position("SparseAdam", groups, table, tuple(cut(table))), [np.ones((8, 2), np.float32)])
    state.apply([{0: Rows((8, 2), np.array([1, 4]), np.ones((2, 2), np.float32))}], groups)
    before = state.weights()[0].copy()
    gradient = np.zeros((8, 2), np.float32)
    gradient[6] = 1  # as it comes from who has not looked for rows
    state.apply([{0: gradient}], groups)
    changed = np.flatnonzero((state.weights()[0] != before).any(axis=1))
    assert changed.tolist() == [6]
    assert [state.touched.since(version, 0).tolist() for version in (0, 1, 2)] == [[1, 4, 6], [6], []]


def test_rows_that_cancel_have_a_gradient_however_they_come() -> None:
    table, groups = (TensorSpec("w", "float32", (4, 2)),), ({"lr": 0.5},)
    one = Rows((4, 2), np.array([1]), np.float32([[2, 3]]))
    results = []
    for parts in ([one, one._replace(values=-one.values)], [dense(one), -dense(one)]):
        state = State(Position("SparseAdam", groups, table, tuple(cut(table))), [np.ones((4, 2), np.float32)])
        state.apply([{0: one}], groups)
        state.apply([{0: each} for each in parts], groups)
        results.append(state.weights()[0])
    assert results[0].tobytes() == results[1].tobytes()
    assert results[0][1, 0] < 0.5  # by the momentum of the first step


def test_rows_of_one_dimension_are_elements() -> None:
    elements = [Rows((5,), np.array(at), np.float32(values)) for at, values in (([1, 3], [1, 2]), ([3], [4]))]
    total = sum_in_order([{0: each} for each in elements])[0]
    assert dense(total).tolist() == [0, 1, 0, 6, 0]


@pytest.mark.parametrize("kind", ["dense", "of elements"])
def test_other_gradients_than_rows_are_refused_as_in_one_process(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    w = rg.nn.Parameter(rg.ones(3, 2))
    with serving(1) as servers, joined(servers, monkeypatch):
        optimizer = dist.ServerOptimizer(rg.optim.SparseAdam, [w])
        w.grad = rg.ones(3, 2) if kind == "dense" else rg.ones(3, 2).to_sparse()
        with pytest.raises(DistributedError, match=r"takes gradients of rows.* (dense|2 sparse dimensions)"):
            optimizer.step()


# ---- what no server can run -------------------------------------------------------------------------------


class Own(rg.optim.SGD):
    """A rule of the program's own, whose code does not travel."""


@pytest.mark.parametrize(
    ("kind", "text"),
    [(rg.optim.LBFGS, "LBFGS cannot run on a server, which sees no loss"), (Own, "has no optimizer 'Own' to run")],
)
def test_what_no_server_can_run_is_refused_before_anything_is_sent(
    kind: type, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = rg.nn.Parameter(rg.ones(3))
    with serving(1) as servers, joined(servers, monkeypatch):
        with pytest.raises(DistributedError, match=text):
            dist.ServerOptimizer(kind, [w], lr=0.5)
        assert servers[0].state is None
        optimizer = dist.ServerOptimizer(rg.optim.SGD, [w], lr=0.5)  # the connection is as good as new
        w.grad = rg.ones(3)
        optimizer.step()
        assert w.tolist() == [0.5] * 3


def test_alone_any_optimizer_runs() -> None:
    dist.init()
    try:
        w = rg.nn.Parameter(rg.ones(3))
        optimizer = dist.ServerOptimizer(Own, [w], lr=0.5)
        w.grad = rg.ones(3)
        optimizer.step()
        assert w.tolist() == [0.5] * 3
        dist.ServerOptimizer(rg.optim.LBFGS, [w])
    finally:
        dist.shutdown()
