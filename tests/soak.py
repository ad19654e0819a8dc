"""Ten minutes of training in which workers and servers are killed and stopped all the time: ``make soak``.

    python tests/soak.py [--seconds 600] [--seed 0]

At the end the run must have gone through, the servers' memory, threads and open files must have stayed where they
were, and nothing may be left: no process, no shared memory, no file beside the snapshots.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from ps_harness import environment, launch_command, write_script

SCRIPT = """
import os, sys, time
import numpy as np
import retrograd as rg, retrograd.distributed as dist
dist.init()
end = float(sys.argv[1])
nn = rg.nn
model = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
opt = dist.ServerOptimizer(rg.optim.SGD, model.parameters(), lr=1e-4, momentum=0.9)
data, step = np.random.default_rng(dist.rank()), 0
while time.time() < end:
    x, y = rg.tensor(data.standard_normal((16, 64), np.float32)), rg.tensor(data.integers(0, 10, 16))
    opt.zero_grad()
    loss = rg.nn.functional.cross_entropy(model(x), y) / dist.world_size()
    loss.backward()
    opt.step()
    step += 1
    dist.progress(step, 0, loss=loss.item(), samples=16)
"""
WORKERS, SERVERS = 4, 2
PAUSE = 4.0  # seconds between two blows, on average


@dataclass
class Watched:
    """What was seen of the servers over time: (seconds, bytes, threads, files)."""

    seen: dict[int, list[tuple[float, int, int, int]]] = field(default_factory=dict)

    def look(self, servers: list[psutil.Process], now: float) -> None:
        for process in servers:
            try:
                with process.oneshot():
                    row = (now, process.memory_info().rss, process.num_threads(), process.num_fds())
            except psutil.Error:
                continue
            self.seen.setdefault(process.pid, []).append(row)

    def assert_flat(self) -> None:
        """What lived long enough has not grown after its first minute (or quarter of its life)."""
        for pid, rows in self.seen.items():
            if len(rows) < 20:
                continue
            half = len(rows) // 2
            early, late = rows[half // 2 : half], rows[half:]
            for column, what, slack in ((1, "bytes of memory", 32 << 20), (2, "threads", 2), (3, "open files", 8)):
                before, after = max(row[column] for row in early), max(row[column] for row in late)
                assert after <= before + slack, f"server {pid} grew from {before} to {after} {what}"


def members(launcher: psutil.Process, role: str) -> list[psutil.Process]:
    """The launcher's servers, or workers; not the guards that stand before them for a moment."""
    found = []
    for process in launcher.children(recursive=True):
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if "guard.py" not in line and ("retrograd.distributed server" in line) == (role == "server"):
            found.append(process)
    return found


def strike(launcher: psutil.Process, dice: random.Random) -> str:
    """Kill or stop somebody."""
    role = dice.choices(("worker", "server"), (4, 1))[0]
    victims = members(launcher, role)
    if len(victims) < (WORKERS if role == "worker" else SERVERS):
        return "nobody: some are still coming back"
    victim = dice.choice(victims)
    blow = dice.choice((signal.SIGKILL, signal.SIGSTOP))
    victim.send_signal(blow)
    if blow == signal.SIGSTOP:
        # What it stands still for is the blow itself. It is less than the run's patience (RETROGRAD_TIMEOUT, below), so
        # that nobody may take it for dead; and enough to miss beats, and to let messages pile up.
        time.sleep(dice.uniform(0.1, 3.0))
        victim.send_signal(signal.SIGCONT)
    return f"{role} {victim.pid}: {blow.name}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # with all that was started
    dice, watched = random.Random(options.seed), Watched()
    shared = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = write_script(folder, SCRIPT)
        end = time.time() + options.seconds
        command = launch_command(
            "launch", "--workers", str(WORKERS), "--servers", str(SERVERS), "--on-loss", "continue", "--snapshots",
            folder / "kept", "--durable", "--every", "200", "--restarts", "100000", script, str(end),
        )  # fmt: skip
        popen = subprocess.Popen(command, env=environment(RETROGRAD_TIMEOUT="5"))
        launcher = psutil.Process(popen.pid)
        family: dict[int, psutil.Process] = {}
        try:
            while time.time() < end - 15:
                for _ in range(max(1, round(dice.expovariate(1 / PAUSE)))):
                    # Between two looks the run is left alone; there is no event to wait for.
                    time.sleep(1)
                    watched.look(members(launcher, "server"), time.time())
                family.update({each.pid: each for each in launcher.children(recursive=True)})
                assert popen.poll() is None, f"the launcher has ended with exit code {popen.returncode}"
                print("struck", strike(launcher, dice), flush=True)
            code = popen.wait(timeout=120)
        finally:
            for process in family.values():
                if process.is_running() and popen.poll() is None:
                    process.kill()
            popen.kill()
        assert code == 0, f"the launcher has ended with exit code {code}"
        left = sorted(path.name for path in (folder / "kept").rglob("*.tmp*"))
        assert not left, f"files are left: {left}"
    alive = [each for each in family.values() if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    assert not alive, f"processes are left: {alive}"
    assert not shared or set(os.listdir("/dev/shm")) <= shared, "shared memory is left"
    watched.assert_flat()
    print(f"went through; {len(watched.seen)} lives of servers were watched", file=sys.stderr)


if __name__ == "__main__":
    main()
