"""`retrograd launch`: whole runs that go well, and that go wrong in every way we know."""

from __future__ import annotations

import re
import shlex
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from ps_harness import (
    Learner,
    environment,
    launch_command,
    launched,
    run_launcher,
    wait_until,
    write_script,
)

from retrograd.distributed.environment import Environment
from retrograd.distributed.errors import ServerLost

pytestmark = pytest.mark.processes

# `act(step)` is what a test makes of it. Without that it trains until somebody stops it.
TRAIN = """
    import os, signal, sys, time
    from pathlib import Path
    import retrograd as rg
    import retrograd.distributed as dist

    folder = Path(sys.argv[1])
    dist.init()
    w = rg.nn.Parameter(rg.ones(3))
    opt = dist.ServerOptimizer(rg.optim.SGD, [w], lr=0.1)
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 10**9
    {act}
    for step in range(1, steps + 1):
        act(step)
        opt.zero_grad()
        w.sum().backward()
        opt.step()
        dist.progress(step, steps, loss=1 / step, samples=8)
        if step == 3:
            (folder / f"ready-{{dist.rank()}}").touch()
"""


def script(folder: Path, act: str = "act = lambda step: None") -> Path:
    return write_script(folder, TRAIN.format(act=act))


def wait_for_training(folder: Path, workers: int) -> None:
    wait_until(lambda: len(list(folder.glob("ready-*"))) == workers, "all workers to train")


# ---- well -------------------------------------------------------------------------------------------------


def test_a_run_shows_logs_progress_and_a_table(tmp_path: Path) -> None:
    path = script(tmp_path, act="act = lambda step: print('step', step, 'of', os.environ['RETROGRAD_RANK'])")
    done = run_launcher("launch", "--workers", "2", path, tmp_path, "5")
    assert done.returncode == 0, done.stdout + done.stderr
    for rank in (0, 1):
        lines = [line for line in done.stdout.splitlines() if line.startswith(f"[worker {rank}]")]
        assert lines == [f"[worker {rank}] step {step} of {rank}" for step in range(1, 6)]
    assert "step 5/5  loss 0.2000" in done.stdout
    for heading in ("worker", "steps", "samples/s", "waiting"):
        assert heading in done.stdout
    assert "server: 5 updates" in done.stdout
    assert "trained alone" not in done.stdout


def test_numerical_libraries_share_the_cores_unless_told_otherwise(tmp_path: Path) -> None:
    path = write_script(tmp_path, "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['MKL_NUM_THREADS'])")
    done = run_launcher("launch", "--workers", "2", path, OMP_NUM_THREADS="7")
    threads = max(1, len(psutil.Process().cpu_affinity()) // 2)
    assert f"[worker 0] 7 {threads}" in done.stdout


@pytest.mark.parametrize("joins", ["", "import retrograd.distributed as dist; dist.init(); "], ids=["never", "in vain"])
def test_a_script_that_trains_alone_is_run_all_the_same_and_told_so(joins: str, tmp_path: Path) -> None:
    path = write_script(tmp_path, joins + "print('hello')")
    done = run_launcher("launch", "--workers", "2", path)
    assert done.returncode == 0
    assert "[worker 1] hello" in done.stdout
    assert "no worker has joined with a ServerOptimizer, so each process has trained alone: call" in done.stdout


def test_random_bytes_at_the_port_change_nothing(tmp_path: Path) -> None:
    act = """
    import numpy as np, socket, zmq
    def act(step):
        if step == steps:
            np.save(folder / f"w-{dist.rank()}.npy", w.detach().numpy())
        if step != 5 or dist.rank():
            return
        address = os.environ["RETROGRAD_SERVERS"]
        with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
            stranger.connect(address)
            for size in range(50):
                stranger.send_multipart([os.urandom(size), b"RGP1" + os.urandom(size)])
            assert stranger.poll(10_000), "no answer"
        host, port = address.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(os.urandom(10_000))
    """
    done = run_launcher("launch", "--workers", "2", script(tmp_path, act), tmp_path, "10")
    assert done.returncode == 0, done.stdout + done.stderr
    # And more than these: ZeroMQ takes raw bytes for frames of its oldest protocol.
    [rejected] = re.findall(r"(\d+) rejected", done.stdout)
    assert int(rejected) >= 50
    expected = np.ones(3, np.float32)
    for _ in range(9):
        expected -= np.float32(0.1) * np.float32(2)
    for rank in (0, 1):
        np.testing.assert_allclose(np.load(tmp_path / f"w-{rank}.npy"), expected, rtol=1e-6)


# ---- a worker fails ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "code", "headline", "others_hear"),
    [
        ("raise ValueError('boom')", 1, "worker 1 ended with exit code 1",
         "worker 1 failed after step 3: ValueError: boom"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "worker 1 was killed by signal 9 (SIGKILL)",
         "lost worker 1 (last step 3, last heard of"),
        ("sys.exit(3)", 3, "worker 1 ended with exit code 3", "its process ended with exit code 3"),
    ],
    ids=["raises", "killed", "exits"],
)  # fmt: skip
def test_a_worker_that_fails_ends_the_run(act: str, code: int, headline: str, others_hear: str, tmp_path: Path) -> None:
    path = script(tmp_path, f"""
    def act(step):
        if step == 4 and dist.rank() == 1:
            {act}
    """)  # fmt: skip
    with launched("launch", "--workers", "2", path, tmp_path) as launch:
        launch.know_family(3)
        returncode, output = launch.end()
        assert returncode == code, output
        assert headline in output
        assert others_hear in output
        launch.assert_nobody_is_left()


@pytest.mark.parametrize("act", ["sys.exit(0)", "os._exit(0)"], ids=["says goodbye", "says nothing"])
def test_a_worker_that_ends_early_and_in_peace_lets_the_others_go_on(act: str, tmp_path: Path) -> None:
    path = script(tmp_path, f"""
    import numpy as np
    def act(step):
        if step == 4 and dist.rank() == 1:
            {act}
        if step == 9:
            np.save(folder / "w.npy", w.detach().numpy())
    """)  # fmt: skip
    done = run_launcher("launch", "--workers", "2", path, tmp_path, "9")
    assert done.returncode == 0, done.stdout + done.stderr
    # Three steps of two gradients, and five of one that stands for two.
    np.testing.assert_allclose(np.load(tmp_path / "w.npy"), 1 - 8 * 0.1 * 2, rtol=1e-5)


def test_the_traceback_of_the_one_that_failed_is_shown_last(tmp_path: Path) -> None:
    path = script(tmp_path, """
    def act(step):
        if step == 4 and dist.rank() == 2:
            raise ValueError("the culprit's own words")
    """)  # fmt: skip
    done = run_launcher("launch", "--workers", "3", path, tmp_path)
    tail = done.stdout[done.stdout.index("worker 2 ended with exit code 1; its last lines:") :]
    assert "Traceback (most recent call last):" in tail
    assert "    ValueError: the culprit's own words\n" in tail
    reason = "worker 2 failed after step 3: ValueError: the culprit's own words"
    assert tail.rstrip().endswith(f"The run has failed: {reason}")


def test_a_worker_that_cannot_start_ends_the_run(tmp_path: Path) -> None:
    done = run_launcher("launch", "--workers", "2", write_script(tmp_path, "import no_such_module_anywhere"))
    assert done.returncode == 1
    assert "No module named 'no_such_module_anywhere'" in done.stdout


def test_workers_with_different_models_are_told(tmp_path: Path) -> None:
    path = write_script(tmp_path, """
        import retrograd as rg, retrograd.distributed as dist
        dist.init()
        w = rg.nn.Parameter(rg.ones(3 + dist.rank()))
        dist.ServerOptimizer(rg.optim.SGD, [w], lr=0.1)
        dist.barrier()
    """)  # fmt: skip
    done = run_launcher("launch", "--workers", "2", path)
    assert done.returncode == 1
    assert "parameter 0 is float32[4] on worker 1 and float32[3] on worker 0" in done.stdout


def test_what_a_worker_has_started_ends_with_it(tmp_path: Path) -> None:
    path = write_script(tmp_path, """
        import subprocess, sys
        from pathlib import Path
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        Path(sys.argv[1], "child").write_text(str(child.pid))
        child.__class__.__del__ = lambda self: None  # it is meant to be left behind
    """)  # fmt: skip
    done = run_launcher("launch", "--workers", "1", path, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not psutil.pid_exists(child), "the end of what the worker left behind")


# ---- the server fails -------------------------------------------------------------------------------------


def test_a_server_that_is_killed_ends_the_run(tmp_path: Path) -> None:
    with launched("launch", "--workers", "2", script(tmp_path), tmp_path) as launch:
        family = launch.know_family(3)
        wait_for_training(tmp_path, 2)
        [server] = [process for process in family if "server" in process.cmdline()]
        server.kill()
        code, output = launch.end()
        assert code == 137
        assert "server was killed by signal 9 (SIGKILL)" in output
        assert "a run with --snapshots DIR would have started it again" in output
        launch.assert_nobody_is_left()


def test_a_worker_started_by_hand_notices_that_its_server_was_killed() -> None:
    process = subprocess.Popen(
        launch_command("server", "--world-size", "1"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().removeprefix("listening at ").strip()
        client = Learner(Environment(0, 1, (address,)))
        client.begin()
        client.learn()
        # Only now, when the server has imported all it needs: until then a busy machine may keep it silent.
        for link in client.links:
            link.place = replace(link.place, timeout=1.5)
        process.kill()
        process.wait()
        with pytest.raises(ServerLost, match=rf"worker 0 has lost the server at {address}: no sign of life for 1\.5 s"):
            client.learn()
        client.close()
    finally:
        process.kill()
        process.communicate()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        done = run_launcher("launch", "--bind", address, script(tmp_path), tmp_path)
    assert done.returncode == 1
    assert f"cannot listen at {address}: the address is in use by another process" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors as Linux does")
def test_a_process_that_cannot_be_started_is_an_error_in_a_line(tmp_path: Path) -> None:
    few = "ulimit -n 20; exec " + " ".join(map(shlex.quote, launch_command("launch", script(tmp_path), str(tmp_path))))
    done = subprocess.run(["sh", "-c", few], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Too many open files" in done.stdout
    assert "Traceback (most recent call last)" not in done.stderr


# ---- the launcher is stopped ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(number: signal.Signals, tmp_path: Path) -> None:
    with launched("launch", "--workers", "2", script(tmp_path), tmp_path) as launch:
        launch.know_family(3)
        wait_for_training(tmp_path, 2)
        launch.signal(number)
        code, output = launch.end()
        assert code == 128 + number, output
        assert f"stopping: {number.name}" in output
        assert "Traceback" not in output
        launch.assert_nobody_is_left()


def test_a_worker_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    path = script(tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN); act = lambda step: None")
    with launched("launch", "--workers", "1", path, tmp_path) as launch:
        launch.know_family(2)
        wait_for_training(tmp_path, 1)
        launch.signal(signal.SIGTERM)
        launch.end()
        launch.assert_nobody_is_left()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the server notices, after its timeout")
def test_nothing_survives_a_launcher_that_is_killed(tmp_path: Path) -> None:
    with launched("launch", "--workers", "2", script(tmp_path), tmp_path) as launch:
        launch.know_family(3)
        wait_for_training(tmp_path, 2)
        launch.signal(signal.SIGKILL)
        launch.popen.wait()
        launch.assert_nobody_is_left()


# ---- the command ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--version"], 0, "retrograd "),
        (["backends"], 0, "numpy"),
        (["launch", "no_such_script.py"], 2, "there is no script no_such_script.py"),
    ],
)
def test_the_command_answers_clearly(arguments: list[str], code: int, text: str) -> None:
    done = run_launcher(*arguments)
    assert done.returncode == code
    assert text in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
