"""Snapshots are written beside training: the server answers meanwhile, and what is written is of one moment."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ps_harness import (
    DEADLINE,
    Learner,
    clients,
    environment,
    launch_command,
    run_launcher,
    serving,
    wait_until,
    write_script,
)

from retrograd.distributed.environment import Environment
from retrograd.distributed.errors import JournalError, SnapshotError
from retrograd.distributed.journal import Journal
from retrograd.distributed.keeper import Keeper
from retrograd.distributed.server import Server, ServerOptions
from retrograd.distributed.snapshots import SnapshotStore


class Slow:
    """A disk on which nothing is written until it is told to."""

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()
        self.error: SnapshotError | None = None


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    slow, save = Slow(), SnapshotStore.save

    def slowly(self: SnapshotStore, *args: Any) -> Any:
        if threading.current_thread().name.startswith("retrograd-snapshot") and args[0].clock:
            slow.began.set()
            assert slow.go_on.wait(DEADLINE)
            if slow.error is not None:
                raise slow.error
        return save(self, *args)

    monkeypatch.setattr(SnapshotStore, "save", slowly)
    yield slow
    slow.go_on.set()


def newest(folder: Path) -> np.ndarray:
    """The weights in the newest snapshot."""
    snapshot = SnapshotStore(folder / "server-0").latest()
    assert snapshot is not None
    return snapshot.tensors["weight.0"]


@pytest.mark.parametrize("durable", [False, True])
def test_the_server_goes_on_while_a_snapshot_of_one_moment_is_written(
    durable: bool, disk: Slow, tmp_path: Path
) -> None:
    with serving(1, folder=tmp_path, every=3, durable=durable) as [server], clients(server) as [client]:
        client.begin(1.0)  # order 1
        for _ in range(3):
            client.learn(1.0)  # the snapshot is of order 3, step 2
        assert disk.began.wait(DEADLINE)
        assert client.step == 3
        np.testing.assert_array_equal(newest(tmp_path), 1.0)
        disk.go_on.set()
        wait_until(lambda: server.keeper.clocks == (0, 3), "the snapshot")
        np.testing.assert_array_equal(newest(tmp_path), 1 - 2 * 0.5)
        np.testing.assert_array_equal(client.now()[0], 1 - 3 * 0.5)


def test_the_next_one_waits_for_it(disk: Slow, tmp_path: Path) -> None:
    with serving(1, folder=tmp_path, every=2) as [server], clients(server) as [client]:
        client.begin(1.0)
        client.learn(1.0)  # order 2
        client.learn(1.0)
        assert disk.began.wait(DEADLINE)
        learning = threading.Thread(target=client.learn)
        learning.start()  # order 4
        disk.go_on.set()
        learning.join(DEADLINE)
        wait_until(lambda: server.keeper.clocks == (0, 2, 4), "both")


def test_one_that_cannot_be_written_leaves_the_older_ones(
    disk: Slow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk.error = SnapshotError("the disk is full")
    disk.go_on.set()
    with serving(1, folder=tmp_path, every=2) as [server], clients(server) as [client]:
        client.begin(1.0)
        for _ in range(2):
            client.learn(1.0)
        wait_until(lambda: "no snapshot of update 1, and training goes on: the disk is full" in caplog.text, "the log")
        assert server.keeper.clocks == (0,)
        disk.error = None
        for _ in range(2):
            client.learn(1.0)
        wait_until(lambda: server.keeper.clocks == (0, 4), "the next")


def test_a_folder_that_cannot_be_listed_for_once_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    listed, out_of_files = SnapshotStore.clocks, threading.Event()

    def clocks(self: SnapshotStore) -> list[int]:
        if out_of_files.is_set() and not threading.current_thread().name.startswith("retrograd-snapshot"):
            raise SnapshotError(24, "cannot list the snapshots: Too many open files")
        return listed(self)

    with serving(1, folder=tmp_path, every=2, durable=True) as [server], clients(server) as [client]:
        client.begin(1.0)
        monkeypatch.setattr(SnapshotStore, "clocks", clocks)
        out_of_files.set()
        client.learn(1.0)
        client.learn(1.0)
        client.learn(1.0)
        wait_until(lambda: "of update 1 makes superfluous stays: [Errno 24]" in caplog.text, "the log")
        out_of_files.clear()
        for _ in range(3):
            client.learn(1.0)
        wait_until(lambda: 6 in server.keeper.clocks, "the next")
        np.testing.assert_array_equal(client.now()[0], 1 - 6 * 0.5)


def test_the_end_of_a_run_waits_for_it(disk: Slow, tmp_path: Path) -> None:
    with serving(1, folder=tmp_path, every=2) as [server], clients(server) as [client]:
        client.begin(1.0)
        client.learn(1.0)
        assert disk.began.wait(DEADLINE)
        stopping: Callable[[], None] = server.stop
        ending = threading.Thread(target=stopping)
        ending.start()
        disk.go_on.set()
        ending.join(DEADLINE)
        np.testing.assert_array_equal(newest(tmp_path), 0.5)


@pytest.mark.parametrize("durable", [False, True], ids=["not durable", "durable"])
def test_an_end_of_a_run_that_cannot_be_written_is_a_failure_unless_a_journal_has_it(
    durable: bool, disk: Slow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk.go_on.set()
    server = Server(ServerOptions(1, folder=tmp_path, every=4, durable=durable))
    went_well: list[bool] = []
    serving = threading.Thread(target=lambda: went_well.append(server.serve()))
    serving.start()
    client = Learner(Environment(0, 1, (server.address,), "", 10.0))
    client.begin(1.0)
    for _ in range(3):
        client.learn(1.0)
    wait_until(lambda: server.keeper.last == 3, "the snapshot")
    disk.error = SnapshotError("the disk is full")
    for _ in range(2):
        client.learn(1.0)
    client.close()
    serving.join(DEADLINE)
    assert went_well == [durable]
    assert "no snapshot of update 5, at the end of the run: the disk is full" in caplog.text
    assert "training goes on" not in caplog.text
    lost = "the run is over, and its last 2 updates are in no snapshot: the newest is of update 3"
    assert (lost in caplog.text) == (not durable)


def test_a_launch_whose_end_is_in_no_snapshot_has_failed(tmp_path: Path) -> None:
    script = write_script(
        tmp_path,
        """
        import shutil, sys
        from pathlib import Path
        import retrograd as rg
        import retrograd.distributed as dist

        dist.init()
        w = rg.nn.Parameter(rg.ones(3))
        opt = dist.ServerOptimizer(rg.optim.SGD, [w], lr=0.1)
        for step in range(3):
            if step == 1:
                shutil.rmtree(sys.argv[1])
                Path(sys.argv[1]).touch()
            w.sum().backward()
            opt.step()
        """,
    )
    kept = tmp_path / "kept"
    options = ("--workers", "1", "--snapshots", kept, "--every", "1000")
    done = run_launcher("launch", *options, script, kept / "server-0")
    assert done.returncode == 1, done.stdout + done.stderr
    shown = done.stdout.partition("server ended with exit code 1; its last lines:")[2]
    assert "the run is over, and its last 3 updates are in no snapshot: the newest is of update 0" in shown


def test_an_older_part_of_a_journal_that_is_damaged_does_not_keep_a_server_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def replay(self: Journal, after: int) -> Any:
        raise JournalError("damaged at offset 16")

    monkeypatch.setattr(Journal, "replay", replay)
    keeper = Keeper(ServerOptions(1, folder=tmp_path, durable=True))
    keeper.clocks = (0, 3)
    try:
        assert keeper.earlier_orders(3) == []  # the newest snapshot has them
        assert "the orders after order 0 cannot be read: damaged at offset 16" in caplog.text
        assert "does not start" not in caplog.text
        with pytest.raises(JournalError, match=r"damaged at offset 16\. .* so the server does not start"):
            list(keeper.replay(3))
        assert not keeper.is_replaying
    finally:
        keeper.close()


def test_a_server_that_is_told_to_end_keeps_what_it_has(tmp_path: Path) -> None:
    command = launch_command("server", "--world-size", "1", "--snapshots", tmp_path, "--every", "1000")
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().removeprefix("listening at ").strip()
            client = Learner(Environment(0, 1, (address,), "", 10.0))
            client.begin(1.0)
            for _ in range(3):
                client.learn(1.0)
            server.send_signal(signal.SIGTERM)
            assert server.wait(DEADLINE) == 128 + signal.SIGTERM
            client.close(say_goodbye=False)
        finally:
            server.kill()
    np.testing.assert_array_equal(newest(tmp_path), 1 - 3 * 0.5)
    assert not list(tmp_path.rglob("*.tmp"))
