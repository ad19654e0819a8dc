"""Workers die, messages are lost, servers die: the faults 1 to 10 that a run must survive.

Each is a function of a folder, which raises when the outcome is not what was promised. The same functions are run on
the product, and on mutants of it under which they must fail. All happens in virtual time; a hang is an
`AssertionError` when the network's time is up. The number is that of the fault in the list of `test_twenty_faults`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from retrograd.distributed.errors import WorkerLost

from .complaints import Complaints
from .failpoints import armed
from .simulation import Interference
from .world import World

Body: TypeAlias = Callable[[Path], None]

# ---- 1, 2: a worker dies -----------------------------------------------------------------------------------


def dead_before_its_push_fails(folder: Path) -> None:
    """1: a worker dies before its push, and the run is to end with it: all others are told who it was, in time."""
    with World(folder, 3) as world:
        world.train(2)
        world.workers[2].kill()
        world.push(0, 1)
        world.wait(lambda: len(world.errors()) == 2, "the others to be told", within=15)
        for error in world.errors().values():
            assert isinstance(error, WorkerLost), error
            assert "lost worker 2 (last step 2, last heard of 10." in str(error)
        world.check(failed=[0, 1])
        assert world.server.frontier == 2


def dead_before_its_push_shrinks(folder: Path) -> None:
    """1: the same where the others go on: the step is completed by two of three, and is the mean over the two."""
    with World(folder, 3, on_loss="continue") as world:
        world.train(2)
        world.workers[2].kill()
        world.train(4, within=20)
        world.check()
        assert [len(order.sources) for order in world.log.orders if order.sources] == [3, 3, 2, 2]
        assert world.server.roster[2].state == "lost"


def dead_where_nobody_waits(folder: Path) -> None:
    """1: the same where nobody waits: the others are not held up for a moment."""
    with World(folder, 3, on_loss="continue", staleness=float("inf")) as world:
        world.train(2)
        world.workers[2].kill()
        world.train(20, within=1)
        world.check()


def dead_between_slices(folder: Path) -> None:
    """2: a worker dies when part of its push is sent: that part is in nothing, and is not kept either."""
    with World(folder, 2, on_loss="continue", parts=2) as world:
        world.train(1)
        dying = world.workers[1].name
        its_pushes = lambda flight: flight.source == dying and flight.kind == "push"
        world.network.rules += [Interference(its_pushes, []), Interference(its_pushes, [0.0], times=1)]
        world.push(1)
        world.wait(lambda: world.server.staging.nbytes, "half of the push", within=5)
        world.workers[1].kill()
        world.train(3, 0, within=20)
        world.check()
        assert world.server.staging.nbytes == 0
        assert [len(order.sources) for order in world.log.orders if order.sources] == [2, 1, 1]


# ---- 3 to 6: messages are lost, doubled and late ------------------------------------------------------------


def answer_lost(folder: Path) -> None:
    """3: the answer to a push is lost: it is applied once, and the answer is sent again."""
    with World(folder) as world:
        world.train(1)
        lost = Interference("weights", [], times=2)
        world.network.rules.append(lost)
        world.train(3, within=30)
        world.check()
        assert (lost.hits, world.server.state.position.version) == (2, 3)
        assert world.server.counters.duplicates == 2


def request_lost(folder: Path) -> None:
    """4: a push is lost: it is sent again, later each time, and applied once."""
    with World(folder) as world:
        world.train(1)
        first = world.workers[0].name
        lost = Interference(lambda flight: flight.kind == "push" and flight.source == first, [], times=2)
        world.network.rules.append(lost)
        world.train(2, within=30)
        lost_of_both = Interference("push", [], times=4)
        world.network.rules.append(lost_of_both)
        world.train(4, within=60)
        world.check()
        assert (lost.hits, lost_of_both.hits, world.server.state.position.version) == (2, 4, 4)
        assert sum(each.link.retries for each in world.workers.values()) >= 2


def doubled_while_it_waits(folder: Path) -> None:
    """5: a push comes once more while the first waits for the other worker: it joins the first."""
    with World(folder) as world:
        world.train(1)
        world.network.rules.append(Interference("push", [0.0, 0.5]))
        world.push(0)
        world.network.run_for(2)
        assert world.server.counters.duplicates == 1
        world.train(2, within=5)
        world.check()
        assert world.server.state.position.version == 2


def doubled_where_nobody_waits(folder: Path) -> None:
    """5: and where each push is an update of its own, it is one update."""
    with World(folder, 1, staleness=float("inf")) as world:
        world.network.rules.append(Interference("push", [0.0, 0.5]))
        world.train(4)
        world.network.run_for(2)
        world.check()
        assert (world.server.state.position.version, world.server.counters.duplicates) == (4, 4)


def parts_out_of_order(folder: Path) -> None:
    """6: the parts of a push come in any order: the result is the same."""
    with World(folder, 2, parts=2) as world:
        world.train(1)
        world.network.rules.append(lambda flight: [1.0 - flight.number % 2] if flight.kind == "push" else None)
        world.train(6, within=30)
        world.check()


def pushes_out_of_order(folder: Path) -> None:
    """6: a push comes once more after a later one: it is ignored, and counted."""
    with World(folder, 1) as world:
        world.network.rules.append(Interference("push", [0.0, 0.5], times=1))
        world.network.rules.append(lambda flight: [0.2] if flight.kind == "weights" else None)
        world.train(6)
        world.check()
        assert (world.server.state.position.version, world.server.counters.duplicates) == (6, 1)


# ---- 7 to 10: the server dies, and what it has kept ---------------------------------------------------------


def server_dies_before_its_answer(folder: Path, point: str = "server.after_apply_before_ack:5") -> None:
    """7: the server dies when an update is applied and nobody told: it comes back with it, and it is applied once."""
    with World(folder, durable=True) as world, world.killing(point):
        world.train(8, within=60)
        world.check()
        assert (world.deaths, world.server.state.position.version) == (1, 8)
        assert [each.rejoined for each in world.workers.values()] == [0, 0]


def server_dies_after_an_answer(folder: Path) -> None:
    """7: or when one worker has its answer and the other has not."""
    server_dies_before_its_answer(folder, "server.after_ack:7")


def server_dies_without_a_journal(folder: Path) -> None:
    """7: without a journal the run goes back to the last snapshot, and the workers with it."""
    with World(folder, every=4) as world, world.killing("server.after_apply_before_ack:5"):
        world.train(8, within=60)
        world.check()
        assert world.deaths == 1
        assert [each.rejoined for each in world.workers.values()] in ([0, 0], [1, 1])


SNAPSHOT_POINTS = ("torn", "before_sync", "before_rename", "after_rename", "before_prune")


def server_dies_in_a_snapshot(folder: Path) -> None:
    """8: the server dies at each point of writing a snapshot: the one before counts, or the whole new one."""
    for point in SNAPSHOT_POINTS:
        with World(folder / point, durable=True, every=4) as world, world.killing(f"snapshot.{point}:3"):
            world.train(9, within=60)
            world.check()
            assert (world.deaths, world.server.state.position.version) == (1, 9), point


def newest_snapshot_damaged(folder: Path) -> None:
    """9: bits of the newest snapshot flip: the server names the file, and comes back with the one before."""
    for damage in (flip, truncate):
        with World(folder / damage.__name__, every=4) as world:
            world.train(10)
            before, newest = world.disk.files("snapshot-*.safetensors")[-2:]
            with Complaints() as warnings:
                world.kill_server()
                damage(world.disk.folder / newest.relative_to(newest.parents[1]))
                world.wait(lambda: world.network.is_up("server"), "the server")
            assert any(newest.name in text and "damaged" in text for text in warnings.texts), warnings.texts
            assert f"{world.server.state.position.number:012d}" in before.name
            world.train(12, within=60)
            world.check()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 0x40  # in the tensors
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def disk_full(folder: Path) -> None:
    """10: no room for a snapshot: training goes on, the log says so, and the old snapshots stay."""
    with World(folder, every=4) as world, Complaints() as warnings:
        world.train(4)
        kept = world.disk.files("snapshot-*.safetensors")
        with armed("snapshot.before_sync=raise:ENOSPC"):
            world.train(14, within=5)
        world.check()
        assert world.server.state.position.version == 14
        assert world.disk.files("snapshot-*") == kept
        world.train(20)
        assert sum("no snapshot of update" in text and "No space left" in text for text in warnings.texts) == 3
        assert world.disk.files("snapshot-*") != kept


FAULTS: tuple[Body, ...] = (
    dead_before_its_push_fails,
    dead_before_its_push_shrinks,
    dead_where_nobody_waits,
    dead_between_slices,
    answer_lost,
    request_lost,
    doubled_while_it_waits,
    doubled_where_nobody_waits,
    parts_out_of_order,
    pushes_out_of_order,
    server_dies_before_its_answer,
    server_dies_after_an_answer,
    server_dies_without_a_journal,
    server_dies_in_a_snapshot,
    newest_snapshot_damaged,
    disk_full,
)
