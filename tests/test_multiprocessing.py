"""`multiprocessing.spawn`: processes that work, raise, and exit."""

from __future__ import annotations

import pytest
from spawned import be_killed, fail, leave, put_index

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
