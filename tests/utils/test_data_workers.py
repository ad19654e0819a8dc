"""`DataLoader` with workers: what they yield, what they are told, and that none is left."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import data_sets
import psutil
import pytest

import retrograd
from retrograd.utils.data import DataLoader, Subset
from retrograd.utils.data._utils import crossing, pool

pytestmark = [
    pytest.mark.processes,
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),  # on a machine with few processors
    # Loading is what forks here, of data sets that need no other thread.
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
METHODS = [each for each in ("fork", "spawn", "forkserver") if each in multiprocessing.get_all_start_methods()]
TESTS = str(Path(__file__).parents[1])


def loader(dataset: Any, workers: int = 1, **options: Any) -> DataLoader[Any]:
    options.setdefault("multiprocessing_context", METHODS[0])
    return DataLoader(dataset, num_workers=workers, **options)


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Any:
    before = {each.pid for each in multiprocessing.active_children()}
    yield
    gc.collect()
    assert [each for each in multiprocessing.active_children() if each.pid not in before] == []


def lists(batches: Any) -> list[Any]:
    return [[each.tolist() if isinstance(each, retrograd.Tensor) else each for each in batch] for batch in batches]


@pytest.mark.parametrize("method", METHODS)
def test_batches_are_those_of_no_workers(method: str) -> None:
    dataset = data_sets.Squares(7)
    options: dict[str, Any] = {"batch_size": 3, "shuffle": True}
    retrograd.manual_seed(4)
    here = lists(DataLoader(dataset, **options))
    retrograd.manual_seed(4)
    assert lists(loader(dataset, 2, multiprocessing_context=method, **options)) == here


def test_tensors_that_arrive_can_be_written_to_and_are_of_their_type() -> None:
    (batch,) = loader(
        [retrograd.ones(2, dtype=retrograd.bfloat16), retrograd.zeros(2, dtype=retrograd.bfloat16)], batch_size=2
    )
    assert batch.dtype is retrograd.bfloat16
    assert batch.add_(1).tolist() == [[2.0, 2.0], [1.0, 1.0]]


@pytest.mark.parametrize("in_place", [True, False])
def test_large_arrays_arrive_whole(in_place: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossing, "_READS_IN_PLACE", in_place and crossing._READS_IN_PLACE)
    samples = [retrograd.arange(150_000.0), retrograd.arange(150_000.0) * -1, retrograd.zeros(150_000)]
    batches = list(loader(samples, batch_size=2))
    assert [each.shape for each in batches] == [(2, 150_000), (1, 150_000)]
    assert bool((batches[0] == retrograd.stack(samples[:2])).all())
    assert bool((batches[1] == 0).all())


@pytest.mark.parametrize("method", METHODS)
def test_a_data_set_may_share_memory_with_its_copies(method: str) -> None:
    context = multiprocessing.get_context(method)
    dataset = data_sets.Counts(context.Value("i", 0))
    assert len(list(loader(dataset, 2, multiprocessing_context=context))) == 4
    assert dataset.count.value == 4


def test_workers_read_at_the_same_time(tmp_path: Path) -> None:
    assert [int(x) for x in loader(data_sets.Meets(tmp_path), 2, timeout=60)] == [0, 1]


def test_batches_come_as_they_are_ready_if_their_order_does_not_matter(tmp_path: Path) -> None:
    assert sorted(int(x) for x in loader(range(20), 2, in_order=False)) == list(range(20))


def test_workers_know_themselves_and_draw_their_own_numbers() -> None:
    generator = retrograd.Generator().manual_seed(5)
    options: dict[str, Any] = {"batch_size": None, "collate_fn": tuple, "generator": generator}
    seen = list(loader(data_sets.Origin(), 2, **options))
    again = list(loader(data_sets.Origin(), 2, **(options | {"generator": generator.manual_seed(5)})))
    base = seen[0][1][2]
    assert [known for _, known, *_ in seen] == [(i % 2, 2, base + i % 2) for i in range(6)]
    assert len({pid for pid, *_ in seen} | {os.getpid()}) == 3
    assert len({drawn for _, _, drawn, *_ in seen}) == 6
    assert [drawn for _, _, drawn, *_ in again] == [drawn for _, _, drawn, *_ in seen]
    assert [known for _, known, *_ in DataLoader(data_sets.Origin(), **options)] == [None] * 6


def test_the_seed_of_numpy_is_pytorchs() -> None:
    worker = pytest.importorskip("torch.utils.data._utils.worker")
    import numpy as np

    generator = retrograd.Generator().manual_seed(5)
    seen = list(loader(data_sets.Origin(), 2, batch_size=None, collate_fn=tuple, generator=generator))
    base = seen[0][1][2]
    expected = [float(np.random.RandomState(worker._generate_state(base, i)).rand()) for i in (0, 1)]
    assert [drawn[1] for _, _, drawn, *_ in seen[:2]] == expected


def test_streams_are_divided_among_workers() -> None:
    for persistent in (False, True):
        sharded = loader(data_sets.Sharded(7), 2, batch_size=2, persistent_workers=persistent)
        expected = [[0, 2], [1, 3], [4, 6], [5]]
        assert [x.tolist() for x in sharded] == expected
        assert [x.tolist() for x in sharded] == expected
        assert len(sharded) == 4


def test_a_worker_without_a_part_leaves_the_others_at_work() -> None:
    assert list(loader(data_sets.Sharded(5), 3, batch_size=None)) == [0, 1, 2, 3, 4]
    assert [x.tolist() for x in loader(data_sets.Sharded(1), 3)] == [[0]]


def test_a_stream_longer_than_it_says_warns() -> None:
    stream = loader(data_sets.Sharded(3, claimed=2))
    assert len(stream) == 2
    with pytest.warns(UserWarning, match="was reported to be 2.*For multiprocessing data-loading"):
        list(stream)


def test_workers_that_are_kept_are_the_same_processes() -> None:
    options: dict[str, Any] = {"batch_size": None, "collate_fn": tuple}
    kept = loader(data_sets.Origin(), 2, persistent_workers=True, **options)
    first = list(kept)
    half = [each for each, _ in zip(kept, range(2), strict=False)]
    second = list(kept)
    assert [pid for pid, *_ in first] == [pid for pid, *_ in second]
    assert [pid for pid, *_ in half] == [pid for pid, *_ in first[:2]]
    assert {known for _, known, *_ in first} == {known for _, known, *_ in second}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("bad sample"), ValueError),
        (KeyError("bad\nkey"), KeyError),
        (data_sets.TwoArguments(1, 2), RuntimeError),
        (StopIteration(), StopIteration),
    ],
)
def test_errors_are_raised_with_the_traceback_of_the_worker(error: Exception, kind: type[Exception]) -> None:
    it = iter(loader(data_sets.Fails(error)))
    assert next(it).tolist() == [0]
    with pytest.raises(kind) as caught:
        next(it)
    text = str(caught.value)
    assert text.startswith(
        f"Caught {type(error).__name__} in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
    )
    assert "in __getitem__\n    raise self.error" in text
    assert [x.tolist() for x in it] == [[2], [3]]


def test_an_error_of_a_class_that_cannot_be_found_becomes_a_runtime_error() -> None:
    class Local(Exception):
        pass

    with pytest.raises(RuntimeError, match="Local: gone"):
        list(loader(Subset(data_sets.Fails(Local("gone")), [1]), multiprocessing_context=METHODS[0]))


def test_an_error_at_the_beginning_is_raised() -> None:
    with pytest.raises(ValueError, match="Caught ValueError in DataLoader worker process 0"):
        list(loader(range(3), 2, worker_init_fn=data_sets.fails_to_begin))


def test_samples_that_cannot_be_sent_raise() -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        list(loader(data_sets.CannotCross(), collate_fn=data_sets.first))
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor which requires_grad"):
        list(loader(data_sets.NonLeaf()))


def test_what_cannot_be_pickled_cannot_be_given_to_a_spawned_process() -> None:
    it = loader(range(3), collate_fn=lambda batch: batch, multiprocessing_context="spawn")
    with pytest.warns(UserWarning, match="Got pickle error"), pytest.raises((AttributeError, TypeError)):
        iter(it)


@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_a_forked_process_needs_nothing_that_can_be_pickled() -> None:
    assert list(loader(range(2), collate_fn=lambda batch: [-each for each in batch])) == [[0], [-1]]


@pytest.mark.parametrize(
    ("killed", "cause"), [(True, r"is killed by signal: Killed\. "), (False, "exited unexpectedly with exit code 3")]
)
def test_the_death_of_a_worker_is_reported(killed: bool, cause: str) -> None:
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly") as caught:
        list(loader(data_sets.Dies(killed)))
    with pytest.raises(RuntimeError, match=cause):
        raise caught.value.__cause__  # type: ignore[misc]


def test_a_timeout_is_reported_and_a_worker_at_work_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool.worker, "GRACE", 0.2)
    with pytest.raises(RuntimeError, match=r"^DataLoader timed out after 0\.1 seconds$"):
        list(loader(data_sets.Sleeps(), timeout=0.1))


def test_workers_end_with_the_iterator() -> None:
    it = iter(loader(range(100), 2))
    next(it)
    workers = [psutil.Process(pid) for pid in it._pool.pids]  # type: ignore[attr-defined]
    assert all(each.is_running() for each in workers)
    del it
    assert not any(each.is_running() for each in workers)


def test_iterators_side_by_side_end_each_by_itself() -> None:
    one = iter(loader(range(100), 2))
    other = iter(loader(range(100), 2))
    next(one)
    del one
    assert [int(x) for x in other] == list(range(100))


def ends(process: psutil.Process, patience: float = 30.0) -> bool:
    """Whether a process that is no child comes to its end; who inherits it may leave it a zombie."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def started(program: str) -> subprocess.Popen[str]:
    """A program that has printed the processes of its workers, and waits."""
    begin = "import os, sys, signal, time\nimport data_sets\nfrom retrograd.utils.data import DataLoader\n"
    begin += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background has it ignored
    env = os.environ | {"PYTHONPATH": TESTS}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", begin + textwrap.dedent(program)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("end", ["interrupt", "kill", "exit"])
def test_no_worker_outlives_the_program(end: str) -> None:
    program = started(
        """
        it = iter(DataLoader(data_sets.Squares(1000), num_workers=2, persistent_workers=True))
        next(it)
        print(*it._pool.pids, flush=True)
        if sys.stdin.readline() != "exit\\n":
            time.sleep(600)
        """
        if end != "exit"
        else """
        it = iter(DataLoader(data_sets.Squares(1000), num_workers=2, persistent_workers=True))
        next(it)
        print(*it._pool.pids, flush=True)
        """
    )
    assert program.stdout is not None
    workers = [psutil.Process(int(pid)) for pid in program.stdout.readline().split() if psutil.pid_exists(int(pid))]
    if end == "interrupt":
        os.killpg(program.pid, signal.SIGINT)
    elif end == "kill":
        program.kill()
    _, errors = program.communicate(timeout=60)
    assert all(ends(each) for each in workers)
    assert program.returncode == {"interrupt": -signal.SIGINT, "kill": -signal.SIGKILL, "exit": 0}[end], errors
    assert errors.count("Traceback") == (end == "interrupt")


def test_no_process_is_forked_once_jax_is_loaded_and_workers_do_not_load_it() -> None:
    pytest.importorskip("jax")
    import jax  # noqa: F401

    assert pool.default_context().get_start_method() != "fork"
    with retrograd.use_backend("jax"):
        origin = DataLoader(data_sets.Origin(), num_workers=1, batch_size=None, collate_fn=tuple)
        assert {each[3:] for each in origin} == {("numpy", False)}
        dataset = Subset(retrograd.arange(6.0), [0, 1, 4])
        batches = list(DataLoader(dataset, num_workers=1, batch_size=2))
        indices = [retrograd.tensor(3), retrograd.tensor(1)]
        read = list(DataLoader(data_sets.Origin(), sampler=indices, num_workers=1, batch_size=None, collate_fn=tuple))
        assert {each[3:] for each in read} == {("numpy", False)}
    assert [x.tolist() for x in batches] == [[0.0, 1.0], [4.0]]
    assert {x.device.backend for x in batches} == {"jax"}


def test_a_forked_worker_reads_with_numpy_whatever_block_it_was_forked_in() -> None:
    pytest.importorskip("jax")
    with retrograd.use_backend("jax"):
        origin = loader(data_sets.Origin(), batch_size=None, collate_fn=tuple, timeout=60)
        assert {backend for *_, backend, _ in origin} == {"numpy"}


def test_options_that_workers_need() -> None:
    with pytest.raises(AssertionError, match="prefetch_factor must be greater than 0"):
        iter(loader(range(3), prefetch_factor=0))
    with pytest.warns(UserWarning, match="'pin_memory' argument is set as true but no accelerator is found"):
        assert len(list(loader(range(3), pin_memory=True))) == 3
    many = (os.cpu_count() or 1) + 1
    with pytest.warns(UserWarning, match=f"This DataLoader will create {many} worker processes in total"):
        loader(range(3), many)
