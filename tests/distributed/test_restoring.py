"""What a server makes of a folder that is not as its former life left it: it goes on rightly, or says why it does not.

Damage that is found by checksums is in `test_snapshots` and `test_journal_damage`; here are files that are whole and do
not fit, and files that are missing.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from ps_harness import (
    Learner,
    all_of,
    clients,
    peer_of,
    place_in,
    serving,
    start,
    together,
    wait_until,
)

from retrograd.distributed import protocol
from retrograd.distributed.errors import DistributedError, FolderInUse, JournalError, Mismatch, SnapshotError
from retrograd.distributed.messages import Entry
from retrograd.distributed.server import Server, ServerOptions
from retrograd.distributed.snapshots import Snapshot, SnapshotStore

MOMENTUM = ({"lr": 0.5, "momentum": 0.5},)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a durable run of one worker has left after five steps, with its last snapshot at order 4."""
    with serving(1, folder=tmp_path, every=2, durable=True) as [server], clients(server) as [client]:
        client.begin(1.0, groups=MOMENTUM)
        for _ in range(5):
            client.learn(1.0, MOMENTUM)
        server.keeper.is_over = True  # it dies, and makes no last snapshot
    return tmp_path


def snapshots(folder: Path) -> list[Path]:
    return sorted(folder.glob("server-0/*.safetensors"))


def restart(folder: Path, **options: Any) -> Server:
    """A server of the run's, which is told to go on; one that starts is ended."""
    options = {"durable": True, "resume": True, **options}
    server = Server(ServerOptions(1, folder=folder, every=2, **options))
    server.close()
    return server


def test_a_folder_as_it_was_left_is_gone_on_from(folder: Path) -> None:
    state = restart(folder).state
    assert state is not None
    assert state.position.version == 5


# ---- nothing there ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize(
    "damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")], ids=["gone", "empty"]
)
def test_a_run_that_is_to_go_on_does_not_begin_anew_where_no_snapshot_is_whole(
    damage: Callable[[Path], Any], durable: bool, folder: Path
) -> None:
    for path in snapshots(folder):
        damage(path)
    with pytest.raises(DistributedError, match=r"nothing to resume from: .*server-0 holds no whole snapshot"):
        restart(folder, durable=durable)


def test_a_journal_without_the_snapshot_before_it_is_not_written_on(folder: Path) -> None:
    for path in snapshots(folder):
        path.unlink()
    with pytest.raises(
        DistributedError, match=r"holds a journal and no whole snapshot that it goes on from: .* another folder"
    ):
        restart(folder, resume=False)


def test_that_a_journal_is_missing_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(folder / "server-0" / "journal")
    state = restart(folder).state
    assert state is not None
    assert state.position.number == 6
    assert "there is no journal in" in caplog.text
    assert "what came after order 6 is lost" in caplog.text


def test_what_to_do_about_a_damaged_journal_is_said(folder: Path) -> None:
    for path in folder.glob("server-0/journal/*.log"):
        path.write_bytes(b"?" * 100)
    with pytest.raises(
        JournalError, match=r"no segment begins like this.* To go on from the newest snapshot alone, and lose"
    ):
        restart(folder)
    shutil.rmtree(folder / "server-0" / "journal")  # as it says
    restart(folder)


# ---- whole, and another's ---------------------------------------------------------------------------------


def rewrite(folder: Path, change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> None:
    """Let the newest snapshot be whole and say something else."""
    with SnapshotStore(folder / "server-0") as store:
        newest = store.latest()
        assert newest is not None
        meta, tensors = msgspec.msgpack.decode(newest.meta), dict(newest.tensors)
        change(meta, tensors)
        store.save(Snapshot(newest.clock, msgspec.msgpack.encode(meta), tensors))


UNFIT: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "another version of retrograd has written it": lambda meta, tensors: meta.pop("optimizer"),
    "so another version": lambda meta, tensors: tensors.pop("weight.0"),
    "has no optimizer 'Another' to run on the server": lambda meta, tensors: meta.update(optimizer="Another"),
    r"the weights of w are float64\[3\], and a slice of it is float32\[3\]": lambda meta, tensors: tensors.update(
        {"weight.0": np.zeros(3)}
    ),
    r"the weights of w are float32\[9\], and a slice of it is float32\[3\]": lambda meta, tensors: tensors.update(
        {"weight.0": np.zeros(9, np.float32)}
    ),
    r"the optimizer's momentum_buffer of slice 0 has shape \[8\], and the slice \[3\]": lambda meta, tensors: (
        tensors.update({"state.0.momentum_buffer": np.zeros(8, np.float32)})
    ),
    "state speaks of more than 2 slices": lambda meta, tensors: tensors.update({"state.7.x": np.zeros(3, np.float32)}),
    "it is of server 1 of 2, and this is server 0 of 1: .* as many servers": lambda meta, tensors: meta.update(
        shard=1, shards=2
    ),
}


@pytest.mark.parametrize("text", UNFIT)
def test_a_snapshot_that_is_not_this_servers_is_an_error(text: str, folder: Path) -> None:
    rewrite(folder, UNFIT[text])
    with pytest.raises(SnapshotError, match=f"cannot go on from the snapshot of order 6 in .*server-0: .*{text}"):
        restart(folder)


def test_a_run_does_not_go_on_with_fewer_servers(tmp_path: Path) -> None:
    with serving(1, 2, folder=tmp_path) as servers, clients(*servers) as [client]:
        client.begin(1.0)
    with pytest.raises(SnapshotError, match="it is of server 0 of 2, and this is server 0 of 1"):
        restart(tmp_path, durable=False)


def test_whoever_has_another_model_than_the_snapshot_is_told_so(folder: Path) -> None:
    with (
        serving(1, folder=folder, durable=True, resume=True) as [server],
        clients(server) as [client],
        pytest.raises(Mismatch, match="worker 0 wants optimizer Adam, and the snapshot SGD"),
    ):
        client.begin(1.0, "Adam", ({"lr": 0.5},))


def test_a_new_worker_is_told_how_a_server_goes_on_with_new_workers(tmp_path: Path) -> None:
    with serving(1, folder=tmp_path, durable=True) as [server]:
        gone = Learner(place_in(server))
        gone.begin(1.0)
        gone.close(say_goodbye=False)
    with serving(1, folder=tmp_path, durable=True) as [server], peer_of(server) as peer:
        answer = peer.hello(0, 1, incarnation=5)
        assert isinstance(answer, protocol.Error)
        assert answer.kind == "taken"
        assert "rank 0 is kept for the process that had it before" in answer.text
        assert "start the server with --resume" in answer.text


def test_what_was_under_way_is_not_taken_for_a_push_of_a_run_that_goes_on(tmp_path: Path) -> None:
    options: dict[str, Any] = {"folder": tmp_path, "durable": True, "every": 2}
    with serving(2, **options) as [server]:
        former = [Learner(place_in(server, rank=rank)) for rank in (0, 1)]
        start(*former)
        all_of(*(each.learn for each in former))
        pushing = threading.Thread(target=lambda: together(former[0].learn))
        pushing.start()  # for step 2, for which worker 1 never will
        wait_until(lambda: server.staging.nbytes and server.roster[0].answered < server.roster[0].received, "its push")
        server.keeper.is_over = True
        server.stop()
        for each in former:
            each.close(say_goodbye=False)
        pushing.join()
    with serving(2, resume=True, **options) as [server], clients(server) as [first, second]:
        start(first, second)
        early = threading.Thread(target=second.learn)
        early.start()
        wait_until(lambda: server.roster[1].answered < server.roster[1].received, "the push of worker 1")
        assert server.within(lambda: server.frontier) == 1  # nothing is there that it could go with
        np.testing.assert_array_equal(first.learn()[0], 1 - 2 * 0.5 * 2)
        early.join()


def test_a_run_that_goes_on_knows_its_own_workers_after_the_next_death(tmp_path: Path) -> None:
    with serving(1, folder=tmp_path, durable=True) as [server]:
        former = Learner(place_in(server))
        former.begin(1.0)
        former.close(say_goodbye=False)
    with serving(1, folder=tmp_path, durable=True, resume=True) as [server]:
        server.keeper.is_over = True  # it dies before anybody has come
    with serving(1, folder=tmp_path, durable=True) as [server], peer_of(server) as peer:
        assert isinstance(peer.hello(0, 1, incarnation=77), protocol.Welcome)


# ---- what must be kept ------------------------------------------------------------------------------------


def test_a_durable_run_does_not_begin_without_its_first_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise SnapshotError("the disk is full")

    monkeypatch.setattr(SnapshotStore, "save", full)
    with serving(2, folder=tmp_path, durable=True) as [server], clients(server) as members:
        for failure in together(*(lambda c=c: c.begin(1.0) for c in members)):
            with pytest.raises(DistributedError, match="no snapshot can be written, and the run is to be durable"):
                raise failure
    assert not list(tmp_path.rglob("*.log"))  # so that the next may use the folder
    with serving(1, folder=tmp_path / "other") as [server], clients(server) as [client]:  # which need not be
        client.begin(1.0)
        client.learn(1.0)


@pytest.mark.parametrize("index", [0, 5])
def test_a_state_that_fits_no_slice_is_refused_and_changes_nothing(index: int) -> None:
    with serving(2) as [server], clients(server) as members:
        all_of(*(lambda c=c: c.begin(1.0, groups=MOMENTUM) for c in members))
        all_of(*(lambda c=c: c.learn(1.0, MOMENTUM) for c in members))
        entry = (0, Entry(index, "momentum_buffer", "float32", (2,)), np.ones(2, np.float32))
        with pytest.raises(Mismatch, match=r"slice 0 has shape|more than 2 slices"):
            members[1].load([entry])
        for w, _ in all_of(*(lambda c=c: c.learn(1.0, MOMENTUM) for c in members)):
            np.testing.assert_array_equal(w, 1 - 0.5 * 2 - 0.5 * 3)


def test_a_run_is_not_gone_on_from_while_it_runs(tmp_path: Path) -> None:
    with serving(1, folder=tmp_path, every=1) as [server], clients(server) as [client]:
        client.begin(1.0)
        client.learn(1.0)
        with pytest.raises(FolderInUse, match=f"server-0 is in use by process {os.getpid()}"):
            Server(ServerOptions(1, folder=tmp_path, resume=True))
    Server(ServerOptions(1, folder=tmp_path, resume=True)).close()


def test_an_optimizer_that_asks_for_the_loss_again_does_not_run_on_a_server() -> None:
    with serving(1) as [server]:
        client = Learner(place_in(server))
        with pytest.raises(Mismatch, match=r"has no optimizer 'LBFGS' to run on the server; it has ASGD, SGD, .*Rprop"):
            client.begin(1.0, "LBFGS", ({"lr": 0.5},))
        client.close()
        assert server.state is None
