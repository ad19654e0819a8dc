"""`ServerOptimizer`: N workers and a server end with the bits of one process that accumulates N shards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ps_harness import environment, run_launcher, write_script

import retrograd as rg
import retrograd.distributed as dist
from retrograd.distributed.errors import DistributedError

TRAIN = """
    import sys
    import numpy as np
    import retrograd as rg
    import retrograd.distributed as dist

    out, optimizer, accumulate = sys.argv[1], sys.argv[2], int(sys.argv[3])
    dist.init()
    rg.manual_seed(dist.rank())  # so that the workers differ until they get rank 0's weights
    model = rg.nn.Sequential(rg.nn.Linear(5, 7), rg.nn.ReLU(), rg.nn.Linear(7, 3))
    unused = rg.nn.Parameter(rg.ones(2))  # never gets a gradient
    groups = [
        {"params": [*model[0].parameters(), unused], "weight_decay": 0.01},
        {"params": model[2].parameters()},
    ]
    chosen = {
        "SGD": lambda: dist.ServerOptimizer(rg.optim.SGD, groups, lr=0.01, momentum=0.9, nesterov=True),
        "Adam": lambda: dist.ServerOptimizer(rg.optim.Adam, groups, lr=0.01, betas=(0.8, 0.99)),
        "AdamW": lambda: dist.ServerOptimizer(rg.optim.AdamW, groups, lr=0.01),
    }
    opt = chosen[optimizer]()
    shards = dist.world_size() * accumulate
    data = np.random.default_rng(0)
    for step in range(20):
        x = data.standard_normal((6, 5)).astype(np.float32)
        y = data.standard_normal((6, 3)).astype(np.float32)
        opt.zero_grad()
        for shard in range(dist.rank() * accumulate, (dist.rank() + 1) * accumulate):
            mine = slice(shard * 6 // shards, (shard + 1) * 6 // shards)
            error = model(rg.tensor(x[mine])) - rg.tensor(y[mine])
            (error * error).sum().backward()
        opt.param_groups[0]["lr"] *= 0.9
        opt.step()
        dist.progress(step + 1, 20, samples=6 // shards)
    assert unused.grad is None
    for rank in range(dist.world_size()):
        dist.barrier()
        if rank == dist.rank():
            weights = [p.detach().numpy() for p in model.parameters()]
            np.savez(f"{out}-{rank}.npz", *weights, unused.detach().numpy())
"""


def trained(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as saved:
        return dict(saved)


def train_alone(script: Path, out: Path, optimizer: str, accumulate: int, backend: str) -> None:
    command = [sys.executable, str(script), str(out), optimizer, str(accumulate)]
    subprocess.run(command, env=environment(RETROGRAD_BACKEND=backend), check=True, timeout=60)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("workers", "optimizer", "backend", "servers"),
    [
        (1, "SGD", "numpy", 1),
        (3, "SGD", "numpy", 1),
        (2, "Adam", "numpy", 3),
        (3, "AdamW", "numpy", 2),
        (2, "SGD", "jax", 1),
    ],
)
def test_n_workers_equal_the_accumulation_of_n_shards(
    workers: int, optimizer: str, backend: str, servers: int, tmp_path: Path
) -> None:
    if backend == "jax":
        pytest.importorskip("jax")
    script = write_script(tmp_path, TRAIN)
    train_alone(script, tmp_path / "alone", optimizer, workers, backend)
    options = ["--workers", workers, "--servers", servers, "--slice-bytes", 64, "--backend", backend]
    done = run_launcher("launch", *map(str, options), script, tmp_path / "many", optimizer, "1")
    assert done.returncode == 0, done.stdout + done.stderr
    expected = trained(tmp_path / "alone-0.npz")
    for rank in range(workers):
        for name, weight in trained(tmp_path / f"many-{rank}.npz").items():
            if backend == "numpy":
                assert weight.tobytes() == expected[name].tobytes(), f"{name} of worker {rank}"
            else:
                np.testing.assert_allclose(weight, expected[name], rtol=1e-5, atol=1e-6)


# ---- alone ------------------------------------------------------------------------------------------------


@pytest.fixture
def alone() -> Iterator[None]:
    dist.init()
    yield
    dist.shutdown()


@pytest.mark.usefixtures("alone")
def test_alone_it_is_the_local_optimizer() -> None:
    ours, theirs = (rg.nn.Parameter(rg.tensor([1.0, -2.0])) for _ in range(2))
    server = dist.ServerOptimizer(rg.optim.SGD, [ours], lr=0.1, momentum=0.9)
    local = rg.optim.SGD([theirs], lr=0.1, momentum=0.9)
    for _ in range(3):
        for parameter, optimizer in ((ours, server), (theirs, local)):
            optimizer.zero_grad()
            (parameter * parameter).sum().backward()
            optimizer.step()
    assert ours.detach().numpy().tobytes() == theirs.detach().numpy().tobytes()
    assert server.state_dict().keys() == local.state_dict().keys()
    assert (dist.rank(), dist.world_size(), dist.is_initialized()) == (0, 1, True)
    dist.barrier()


@pytest.mark.usefixtures("alone")
def test_a_closure_is_called_and_its_loss_returned() -> None:
    w = rg.nn.Parameter(rg.tensor([3.0]))
    opt = dist.ServerOptimizer(rg.optim.SGD, [w], lr=0.5)

    def closure() -> rg.Tensor:
        opt.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert opt.step(closure).item() == 9.0
    assert w.item() == 0.0


def test_before_init_there_is_no_rank() -> None:
    assert not dist.is_initialized()
    for call in (dist.rank, dist.world_size, dist.barrier):
        with pytest.raises(DistributedError, match=r"call retrograd\.distributed\.init\(\) first"):
            call()
    with pytest.raises(DistributedError, match=r"call retrograd\.distributed\.init\(\) first"):
        dist.ServerOptimizer(rg.optim.SGD, [rg.nn.Parameter(rg.ones(1))], lr=0.1)


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"RETROGRAD_RANK": "0"}, "lacks RETROGRAD_WORLD_SIZE and RETROGRAD_SERVERS"),
        (
            {"RETROGRAD_RANK": "x", "RETROGRAD_WORLD_SIZE": "2", "RETROGRAD_SERVERS": "tcp://a:1"},
            "'x' is not an integer",
        ),
        (
            {"RETROGRAD_RANK": "2", "RETROGRAD_WORLD_SIZE": "2", "RETROGRAD_SERVERS": "tcp://a:1"},
            "ranks go from 0 to",
        ),
        (
            {"RETROGRAD_RANK": "0", "RETROGRAD_WORLD_SIZE": "2", "RETROGRAD_SERVERS": "a"},
            "RETROGRAD_SERVERS='a': 'a' is no address to connect to",
        ),
    ],
)
def test_half_an_environment_is_an_error(variables: dict[str, str], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DistributedError, match=text):
        dist.init()
    assert not dist.is_initialized()


def test_alone_nothing_of_the_network_is_imported(tmp_path: Path) -> None:
    script = write_script(
        tmp_path,
        """
        import sys
        import retrograd as rg, retrograd.distributed as dist
        dist.init()
        w = rg.nn.Parameter(rg.ones(1))
        opt = dist.ServerOptimizer(rg.optim.SGD, [w], lr=0.1)
        (w * w).sum().backward()
        opt.step()
        dist.progress(1, 1, loss=1.0)
        dist.shutdown()
        print(sorted({"zmq", "msgspec", "rich", "jax"} & set(sys.modules)))
        """,
    )
    done = subprocess.run(
        [sys.executable, script], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "[]\n", done.stderr
