"""Several optimizers in one script, as networks that train against each other have: each with its own weights."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ps_harness import Learner, all_of, environment, place_in, run_launcher, serving, starting_again, write_script

import retrograd as rg
import retrograd.distributed as dist
from retrograd.distributed.cli import main
from retrograd.distributed.console import Display
from retrograd.distributed.environment import Environment
from retrograd.distributed.errors import Refused, WorkerLost
from retrograd.distributed.metrics import samples_of
from retrograd.distributed.siblings import run_of

ADVERSARIES = """
    import sys
    import numpy as np
    import retrograd as rg
    import retrograd.distributed as dist
    from retrograd import nn

    dist.init()
    rg.manual_seed(dist.rank())
    maker = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    judge = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))
    of_maker = dist.ServerOptimizer(rg.optim.Adam, maker.parameters(), lr=1e-2, betas=(0.5, 0.999))
    of_judge = dist.ServerOptimizer(rg.optim.SGD, judge.parameters(), lr=2e-2, momentum=0.5)
    loss = nn.BCEWithLogitsLoss(reduction="sum")
    world = int(sys.argv[2])
    data = np.random.default_rng(0)
    for step in range(12):
        real = data.standard_normal((world, 4, 2)).astype(np.float32) + 3
        noise = data.standard_normal((world, 4, 4)).astype(np.float32)
        shares = range(world) if dist.world_size() == 1 else [dist.rank()]
        of_judge.zero_grad()
        for share in shares:
            made = maker(rg.tensor(noise[share])).detach()
            (loss(judge(rg.tensor(real[share])), rg.ones(4, 1)) + loss(judge(made), rg.zeros(4, 1))).backward()
        of_judge.step()
        of_maker.zero_grad()
        for share in shares:
            loss(judge(maker(rg.tensor(noise[share]))), rg.ones(4, 1)).backward()
        of_maker.step()
    if dist.rank() == 0:
        np.savez(sys.argv[1], *[p.detach().numpy() for m in (maker, judge) for p in m.parameters()])
"""


@pytest.mark.processes
@pytest.mark.parametrize("servers", [1, 2])
def test_adversaries_end_with_the_bits_that_they_have_alone(servers: int, tmp_path: Path) -> None:
    script = write_script(tmp_path, ADVERSARIES)
    ours, alone = tmp_path / "ours.npz", tmp_path / "alone.npz"
    run = run_launcher("launch", "--workers", "2", "--servers", str(servers), script, ours, "2")
    assert run.returncode == 0, run.stdout + run.stderr
    subprocess.run([sys.executable, script, alone, "2"], env=environment(), check=True)
    with np.load(ours) as found, np.load(alone) as expected:
        for name in expected:
            assert found[name].tobytes() == expected[name].tobytes()


def learner(*servers: Any, number: int, rank: int = 0) -> Learner:
    place = place_in(*servers, rank=rank)
    return Learner(Environment(rank, place.world_size, place.servers, run_of(place.run, number), place.timeout))


def test_one_that_fails_ends_all() -> None:
    with serving(2) as [server], ExitStack() as stack:
        sets = [[learner(server, number=number, rank=rank) for rank in range(2)] for number in range(2)]
        for members in sets:
            for each in members:
                stack.callback(each.close)
            all_of(*(lambda c=each: c.begin(1.0) for each in members))
        sets[1][1].close("it has failed")
        for number in (1, 0):
            with pytest.raises(WorkerLost, match="worker 1 failed after step 0: it has failed"):
                sets[number][0].learn(1.0)


def test_each_comes_back_from_its_own_snapshots(tmp_path: Path) -> None:
    keeping = {"folder": tmp_path, "durable": True, "every": 3, "recovery": 60.0}
    with serving(1, **keeping) as [server], ExitStack() as stack:
        first, second = members = [learner(server, number=number) for number in range(2)]
        for each in members:
            stack.callback(each.close)
        first.begin(1.0)
        second.begin(10.0)
        for _ in range(4):
            first.learn(1.0)
            second.learn(2.0)
        with starting_again(server, *members):
            np.testing.assert_array_equal(first.learn(1.0)[0], 1 - 5 * 0.5)
            np.testing.assert_array_equal(second.learn(2.0)[0], 10 - 5 * 1.0)
            assert (first.step, second.step) == (5, 5)
    assert {each.name for each in tmp_path.iterdir()} == {"server-0", "optimizer-2"}


def test_status_shows_each(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(shards=2) as servers, ExitStack() as stack:
        # The third says HELLO first, as one may on a busy machine: they are shown by their numbers all the same.
        members = {number: learner(*servers, number=number) for number in (0, 2, 1)}
        for number, member in sorted(members.items()):
            stack.callback(member.close)
            member.begin()
            for _ in range(1 + number):
                member.learn(1.0)
        assert main(["status", *(each.address for each in servers)]) == 0
        text = capsys.readouterr().out
        rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line]
        assert [row[:4] for row in rows if "joined" in row] == [[str(n), "0", "joined", str(n)] for n in (1, 2, 3)]
        updates = [row[:3] for row in rows if len(row) == 7]
        assert updates == [[str(n), shard, str(n)] for shard in "01" for n in (1, 2, 3)]
        assert sorted(row[0] for row in rows if len(row) == 6) == sorted("123" * 2)  # two slices each
        statuses = [each.within(each.status) for each in servers]
        found = {(each.name, each.labels): each.value for each in samples_of(statuses)}
        assert found["retrograd_updates_total", (("optimizer", "2"), ("server", "1"))] == 2
        assert found["retrograd_worker_step", (("optimizer", "3"), ("worker", "0"))] == 3
        file = io.StringIO()
        Display(file).table(statuses)
        assert "server 1: 1 + 2 + 3 updates, " in file.getvalue()


def test_there_is_an_end_to_their_number() -> None:
    with serving() as [server]:
        with pytest.raises(Refused, match="at most 16 optimizers, and this is number 17"):
            learner(server, number=16)
        with pytest.raises(Refused, match="serves run '', not '#01'"):
            Learner(Environment(0, 1, (server.address,), "#01", 10.0))


def test_a_process_leaves_with_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as [server]:
        for name, value in place_in(server).variables().items():
            monkeypatch.setenv(name, value)
        dist.init()
        weights = [rg.nn.Parameter(rg.tensor([1.0, 2.0])) for _ in range(3)]
        optimizers = [dist.ServerOptimizer(rg.optim.SGD, [w], lr=0.5) for w in weights]
        for number, (w, optimizer) in enumerate(zip(weights, optimizers, strict=True)):
            for _ in range(number + 1):
                optimizer.zero_grad()
                (w.square().sum() * 0.5).backward()
                optimizer.step()
        assert [w.tolist() for w in weights] == [[0.5, 1.0], [0.25, 0.5], [0.125, 0.25]]
        dist.shutdown()
        assert [each.roster[0].state for each in server.siblings] == ["left"] * 3
