"""`multiprocessing.spawn`: processes that work, raise, and exit; memory that processes share."""

from __future__ import annotations

import pytest
from spawned import be_killed, fail, leave, put_index, write_to_what_comes

import retrograd
from retrograd import multiprocessing as mp


def test_every_process_gets_its_index() -> None:
    queue = mp.get_context("spawn").SimpleQueue()
    assert mp.start_processes(put_index, (queue,), nprocs=2, start_method="spawn") is None
    assert sorted(queue.get() for _ in range(2)) == [(0, [0.0, 0.0]), (1, [1.0, 1.0])]


def test_errors_come_to_who_waits() -> None:
    with pytest.raises(mp.ProcessRaisedException, match=r"Process 1 terminated with the following error(?s:.*)broken"):
        mp.start_processes(fail, nprocs=2, start_method="spawn")
    with pytest.raises(mp.ProcessExitedException, match="process 0 terminated with exit code 3") as exited:
        mp.start_processes(leave, start_method="spawn")
    assert exited.value.exit_code == 3
    with pytest.raises(mp.ProcessExitedException, match="process 0 terminated with signal SIGKILL"):
        mp.start_processes(be_killed, start_method="spawn")


def test_names_of_the_standard_library() -> None:
    context = mp.spawn(fail, nprocs=1, join=False, start_method="spawn")
    assert context is not None
    assert len(context.pids()) == 1
    assert context.join()
    assert mp.get_sharing_strategy() in mp.get_all_sharing_strategies()
    assert mp.cpu_count() >= 1


def test_tensors_cross_with_their_memory() -> None:
    context = mp.get_context("spawn")
    there, back = context.Queue(), context.Queue()
    given, model = retrograd.zeros(3), retrograd.nn.Linear(2, 1)
    process = context.Process(target=write_to_what_comes, args=(there, back, given, model), daemon=True)
    process.start()
    x = retrograd.arange(6.0)
    y = x.view(2, 3)
    there.put((x, x[2:]))
    came, parameter, turned, number = back.get(timeout=60)
    assert came.tolist() == x.tolist() == y.flatten().tolist() == [100.0, 1.0, 2.0, 3.0, 4.0, 50.0]
    assert came.untyped_storage() == x.untyped_storage() == y.untyped_storage()
    assert y.is_shared()
    assert type(parameter) is retrograd.nn.Parameter
    assert parameter.requires_grad
    assert (turned.tolist(), turned.stride()) == ([[0.0, 2.0], [1.0, 3.0]], (1, 2))
    assert number.item() == 3
    there.put(None)
    process.join(60)
    assert process.exitcode == 0
    assert given.tolist() == [1.0, 1.0, 1.0]
    assert [each.flatten().tolist() for each in model.parameters()] == [[5.0, 5.0], [5.0]]


def test_memory_is_shared_in_place() -> None:
    x = retrograd.arange(4.0, requires_grad=True)
    views = x.detach()[1:], x.detach().view(2, 2).t()
    assert not x.is_shared()
    assert x.share_memory_() is x
    assert all(each.is_shared() for each in (x, *views))
    with retrograd.no_grad():
        x[3] = 7.0
    assert [each.tolist() for each in views] == [[1.0, 2.0, 7.0], [[0.0, 2.0], [1.0, 7.0]]]
    assert not retrograd.ones(2).is_shared()
    other = retrograd.ones(2, 3).t().share_memory_()
    assert (other.stride(), other.shape, other.is_shared()) == ((1, 3), (3, 2), True)
    assert not x.untyped_storage().clone().is_shared()
    model = retrograd.nn.BatchNorm1d(2)
    model(retrograd.ones(3, 2)).sum().backward()
    assert model.share_memory() is model
    assert all(each.is_shared() for each in (*model.parameters(), *model.buffers(), model.weight.grad))


def test_what_cannot_be_shared_is_refused(backend: str) -> None:
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor which requires_grad"):
        mp.reductions.reduce_tensor(retrograd.ones(2, requires_grad=True) * 2)
    if retrograd.ones(1)._kernels.mutable:
        return
    with pytest.raises(RuntimeError, match=r"tensors of .* cannot be in memory that processes share"):
        retrograd.ones(2).share_memory_()
    rebuild, arguments, *_ = mp.reductions.reduce_tensor(retrograd.ones(2))
    assert rebuild(*arguments).tolist() == [1.0, 1.0]
