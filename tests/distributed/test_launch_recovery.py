"""`retrograd launch` when something dies that can be started again: the run ends as it would have."""

from __future__ import annotations

import io
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from ps_harness import Launch, environment, launched, run_launcher, wait_until, write_script

from retrograd.distributed import job as job_module
from retrograd.distributed.console import Display
from retrograd.distributed.errors import DistributedError
from retrograd.distributed.job import Job, JobOptions
from retrograd.distributed.launcher import LocalLauncher, LocalProcess

pytestmark = pytest.mark.processes

# Trains for eight steps. Before the fifth it waits until the test has done what it wants to do.
TRAIN = """
    import os, signal, sys, threading
    from pathlib import Path
    import numpy as np
    import retrograd as rg
    import retrograd.distributed as dist

    folder = Path(sys.argv[1])
    dist.init()
    w = rg.nn.Parameter(rg.ones(30))
    opt = dist.ServerOptimizer(rg.optim.SGD, [w], lr=0.5, momentum=0.5)
    started = dist.worker.current().client.step
    for step in range(started + 1, 9):
        if step == 5:
            (folder / f"ready-{dist.rank()}").touch()
            while not (folder / "go").exists():
                threading.Event().wait(0.01)
        {act}
        opt.zero_grad()
        (w * (dist.rank() + 1)).sum().backward()
        opt.step()
    dist.barrier()
    np.save(folder / f"w-{dist.rank()}.npy", w.detach().numpy())
"""


def script(folder: Path, act: str = "pass") -> Path:
    return write_script(folder, TRAIN.replace("{act}", act))


def expected(steps: int = 8, start: float = 1.0, velocity: float = 0.0) -> np.ndarray:
    w = start
    for _ in range(steps):
        velocity = 0.5 * velocity + 3.0
        w -= 0.5 * velocity
    return np.full(30, w, np.float32)


def kill_when_ready(launch: Launch, folder: Path, which: str) -> None:
    """Let all workers come to their fifth step, kill a process of the run, and let them go on."""
    wait_until(lambda: launch.is_running() and len(list(folder.glob("ready-*"))) == 2, "both workers")
    [victim] = [
        each for each in launch.know_family(1) if which in " ".join(each.cmdline()) and "server" in each.cmdline()
    ]
    victim.kill()
    psutil.wait_procs([victim], timeout=30)
    (folder / "go").touch()


def servers_of(launch: Launch) -> list[psutil.Process]:
    return [each for each in launch.know_family(1) if "server" in each.cmdline()]


def test_a_port_that_somebody_else_has_meanwhile_is_waited_for(tmp_path: Path) -> None:
    options = ("--workers", "2", "--snapshots", tmp_path / "kept", "--durable", "--restarts", "1")
    with launched("launch", *options, script(tmp_path), tmp_path) as launch, socket.socket() as other:
        wait_until(lambda: len(list(tmp_path.glob("ready-*"))) == 2, "both workers")
        [victim] = servers_of(launch)
        [port] = {each.laddr.port for each in victim.net_connections() if each.status == psutil.CONN_LISTEN}
        victim.kill()
        psutil.wait_procs([victim], timeout=30)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        [vain] = wait_until(lambda: servers_of(launch), "another server")
        psutil.wait_procs([vain], timeout=60)
        other.close()
        (tmp_path / "go").touch()
        code, output = launch.end()
        assert code == 0, output
        assert f"retrograd: error: cannot listen at tcp://127.0.0.1:{port}: the address is in use" in output
        assert output.count("it is started again") <= 2
        launch.assert_nobody_is_left()
    for rank in (0, 1):
        assert np.load(tmp_path / f"w-{rank}.npy").tobytes() == expected().tobytes()


@pytest.mark.parametrize(
    ("servers", "which", "name"),
    [(1, "", "server"), (2, "--shard 0/2", "server 0"), (2, "--shard 1/2", "server 1")],
    ids=["the only one", "the first", "the second"],
)
def test_a_server_that_is_killed_comes_back_with_all_it_had(
    servers: int, which: str, name: str, tmp_path: Path
) -> None:
    options = ["--servers", str(servers), "--snapshots", str(tmp_path / "kept"), "--durable", "--slice-bytes", "64"]
    with launched("launch", "--workers", "2", *options, script(tmp_path), tmp_path) as launch:
        kill_when_ready(launch, tmp_path, which)
        code, output = launch.end()
        assert code == 0, output
        assert f"{name} was killed by signal 9 (SIGKILL); it is started again from its last snapshot" in output
        launch.assert_nobody_is_left()
    for rank in (0, 1):
        np.testing.assert_array_equal(np.load(tmp_path / f"w-{rank}.npy"), expected())


def test_a_worker_that_is_killed_is_started_again_if_the_run_goes_on(tmp_path: Path) -> None:
    act = """if step == 6 and dist.rank() == 1 and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)"""
    (tmp_path / "go").touch()
    done = run_launcher("launch", "--workers", "2", "--on-loss", "continue", script(tmp_path, act), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "worker 1 was killed by signal 9 (SIGKILL); it is started again" in done.stdout
    found = [np.load(tmp_path / f"w-{rank}.npy") for rank in (0, 1)]
    np.testing.assert_array_equal(found[0], found[1])


def test_without_restarts_the_others_go_on(tmp_path: Path) -> None:
    act = "if step == 6 and dist.rank() == 1: os.kill(os.getpid(), signal.SIGKILL)"
    (tmp_path / "go").touch()
    options = ["--on-loss", "continue", "--restarts", "0"]
    done = run_launcher("launch", "--workers", "2", *options, script(tmp_path, act), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "worker 1 was killed by signal 9 (SIGKILL); the others go on without it" in done.stdout
    assert (tmp_path / "w-0.npy").exists()
    assert not (tmp_path / "w-1.npy").exists()


def test_a_worker_that_stands_still_for_good_does_not_keep_a_run_that_is_done(tmp_path: Path) -> None:
    act = "if step == 6 and dist.rank() == 1: os.kill(os.getpid(), signal.SIGSTOP)"
    (tmp_path / "go").touch()
    command = ["launch", "--workers", "2", "--on-loss", "continue", script(tmp_path, act), tmp_path]
    done = run_launcher(*command, RETROGRAD_TIMEOUT="2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "worker 1 was lost and has not come back; it is ended, since all others are done" in done.stdout
    assert (tmp_path / "w-0.npy").exists()


def test_a_run_goes_on_from_the_snapshots_of_another_if_it_is_told_to(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    kept = ["--servers", "2", "--snapshots", str(tmp_path / "kept"), "--every", "1000", "--slice-bytes", "64"]
    command = ["launch", "--workers", "2", *kept]
    first = script(tmp_path, "if step > 5: break")
    done = run_launcher(*command, first, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "w-0.npy"), expected(5))
    refused = run_launcher(*command, first, tmp_path)
    assert refused.returncode == 1
    assert "holds the snapshots of a former run: say --resume to go on from them" in refused.stdout
    done = run_launcher(*command[:3], "--resume", *kept, script(tmp_path), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "w-1.npy"), expected())
    empty = run_launcher("launch", "--snapshots", str(tmp_path / "nothing"), "--resume", first, tmp_path)
    assert (empty.returncode, "holds no snapshot" in empty.stdout) == (1, True)


class Slow(LocalLauncher):
    """Starts servers that take their time over the last snapshot."""

    def start(self, name: str, arguments: Sequence[str], variables: Mapping[str, str]) -> LocalProcess:
        own = {**environment(), "RETROGRAD_FAILPOINTS": "snapshot.before_rename:2=sleep:2"}
        return super().start(name, arguments, {**variables, **own})


@pytest.mark.parametrize("patience", [60.0, 0.5], ids=["is waited for", "is given up"])
def test_the_last_snapshot_is_waited_for(patience: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "_FAREWELL", 0.2)
    monkeypatch.setattr(job_module, "_KEEPING", patience)
    (tmp_path / "go").touch()
    command, screen = (str(script(tmp_path)), str(tmp_path)), io.StringIO()
    fields = {"folder": tmp_path / "kept", "every": 1000}
    code = Job(JobOptions(command, 2, fields=fields), Slow(), Display(screen)).run()
    is_kept = len(list(tmp_path.glob("kept/server-0/snapshot-*.safetensors"))) == 2  # beside that of the beginning
    if patience > 1:
        assert (code, is_kept) == (0, True), screen.getvalue()
    else:
        assert (code, is_kept) == (1, False), screen.getvalue()
        assert "server has not written its last snapshot within 0.5 s, and is ended" in screen.getvalue()


class Dying(LocalLauncher):
    """Starts servers the first few of which die in their sixth update, be it one that they do again."""

    def __init__(self, lives: int) -> None:
        self._lives = lives

    def start(self, name: str, arguments: Sequence[str], variables: Mapping[str, str]) -> LocalProcess:
        own = environment()
        if name == "server" and self._lives:
            self._lives -= 1
            own["RETROGRAD_FAILPOINTS"] = "server.before_apply:6=kill"
        return super().start(name, arguments, {**variables, **own})


@pytest.mark.parametrize("lives", [3, 99], ids=["comes back in the end", "never does"])
def test_a_server_that_is_killed_while_it_is_started_again_is_started_once_more(lives: int, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    fields = {"folder": tmp_path / "kept", "durable": True, "recovery": 60.0}
    command = (str(script(tmp_path)), str(tmp_path))
    screen = io.StringIO()
    job = Job(JobOptions(command, 2, fields=fields, restarts=3), Dying(lives), Display(screen))
    code = job.run()
    said = [line for line in screen.getvalue().splitlines() if line.startswith("server ")]
    assert said[0] == "server was killed by signal 9 (SIGKILL); it is started again from its last snapshot"
    tries = [
        line for line in said if line.startswith("server did not come back: server could not start: it was killed")
    ]
    if lives == 3:
        assert code == 0, screen.getvalue()
        assert len(tries) == 2
        for rank in (0, 1):
            np.testing.assert_array_equal(np.load(tmp_path / f"w-{rank}.npy"), expected())
    else:
        assert code == 128 + signal.SIGKILL, screen.getvalue()
        assert len(tries) == 3
        assert "Processes were started again 3 times, which is what --restarts allows" in screen.getvalue()
        assert not list(tmp_path.glob("w-*.npy"))
    assert psutil.Process().children(recursive=True) == []


class Damaging(LocalLauncher):
    """Starts a server that dies, and damages its journal before it is started again."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._starts = 0

    def start(self, name: str, arguments: Sequence[str], variables: Mapping[str, str]) -> LocalProcess:
        own = environment()
        if name == "server":
            self._starts += 1
            own["RETROGRAD_FAILPOINTS"] = "server.before_apply:6=kill"
            for file in self._journal.glob("*.log") if self._starts == 2 else ():
                damaged = bytearray(file.read_bytes())
                damaged[len(damaged) // 2] ^= 255
                file.write_bytes(damaged)
        return super().start(name, arguments, {**variables, **own})


def test_a_server_that_says_why_it_cannot_come_back_is_the_one_that_is_shown(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    fields = {"folder": tmp_path / "kept", "durable": True, "recovery": 60.0}
    screen = io.StringIO()
    options = JobOptions((str(script(tmp_path)), str(tmp_path)), 2, fields=fields, restarts=9)
    code = Job(options, Damaging(tmp_path / "kept/server-0/journal"), Display(screen)).run()
    said = screen.getvalue()
    assert code == 1, said
    assert said.count("it is started again") == 2, said  # not nine times
    shown = said.partition("server ended with exit code 1; its last lines:")[2]
    assert "a record with a wrong checksum" in shown, said
    assert "--restarts" not in said
    assert psutil.Process().children(recursive=True) == []


@pytest.mark.parametrize(("last", "code"), [(0, 0), (3, 1), (None, 1)], ids=["done", "failed", "left behind"])
def test_a_server_may_be_seen_to_end_before_its_workers(
    last: int | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that nobody watches, since it has just come back, ends by itself as soon as all workers have left."""
    job: Any = object.__new__(Job)
    server, worker = SimpleNamespace(rank=None, shard=0, code=None), SimpleNamespace(rank=0, code=None)
    job._servers, job._workers, job._starting, job._given_up, job._monitor = [server], [worker], None, set(), None
    turns = iter([(0, None), (0, last)])

    def turn() -> None:
        server.code, worker.code = next(turns, (0, last))

    for name, way in {"_turn": turn, "_restart": lambda _: False, "_finish": lambda: 0, "_fail": lambda _: 1}.items():
        monkeypatch.setattr(job, name, way)
    monkeypatch.setattr(f"{Job.__module__}._FAREWELL", 0.1)
    assert job._watch() == code


@pytest.mark.parametrize(
    ("answer", "is_ended"), [("lost", True), ("joined", False), (None, False)], ids=["lost", "back", "no answer"]
)
def test_a_worker_is_ended_only_if_it_is_lost_by_now(
    answer: str | None, is_ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status at hand may be from before it came back."""

    def status(state: str) -> Any:
        return SimpleNamespace(workers=[SimpleNamespace(rank=0, state="left"), SimpleNamespace(rank=1, state=state)])

    def ask(address: str, keys: str | None) -> Any:
        asked.append(address)
        if answer is None:
            raise DistributedError("no server answers")
        return status(answer)

    asked: list[str] = []
    ended: list[int] = []
    job = Job(JobOptions(("train.py",), 2), LocalLauncher(), Display(io.StringIO()))
    seen: Any = job
    process = SimpleNamespace(name="worker 1", kill=lambda: ended.append(1))
    seen._servers = [SimpleNamespace(address="tcp://127.0.0.1:5555")]
    seen._workers = [SimpleNamespace(rank=0, code=0), SimpleNamespace(rank=1, code=None, process=process)]
    seen._monitor, seen._timeout = SimpleNamespace(status=status("lost")), 0.0
    monkeypatch.setattr(f"{Job.__module__}.status_of", ask)
    seen._end_the_lost()
    assert asked == ["tcp://127.0.0.1:5555"]
    assert (ended == [1], seen._given_up == {1}) == (is_ended, is_ended)
    assert is_ended or seen._lonely_since is None  # and its time begins anew
