"""Fail-points do nothing until they are told to, and then what they are told, where and when."""

from __future__ import annotations

import ast
import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.failpoints import Failpoints, armed

from retrograd.distributed import failpoints
from retrograd.distributed.errors import DistributedError
from retrograd.distributed.failpoints import POINTS, Injected, Plan, failpoint

APPLY, ACK = "server.before_apply", "server.after_apply_before_ack"
DEADLINE = 60  # seconds; only a test that is about to fail comes near it


def passages(point: str, count: int, index: int = 0) -> list[bool]:
    """Come by a point; at which passages something was raised."""
    raised = []
    for _ in range(count):
        try:
            failpoint(point, index)
        except Injected:
            raised.append(True)
        else:
            raised.append(False)
    return raised


# ---- when nothing is on ------------------------------------------------------------------------------------


def test_a_point_that_is_off_enters_no_other_function() -> None:
    entered: list[str] = []

    def note(frame: object, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            entered.append(event)

    sys.setprofile(note)
    failpoint(APPLY)
    sys.setprofile(None)
    assert entered == ["call", "c_call"]  # `failpoint` itself, and the last line's `setprofile`


def test_what_was_on_is_off_after_its_block() -> None:
    with armed(f"{APPLY}=raise"):
        assert passages(APPLY, 2) == [True, True]
    assert passages(APPLY, 2) == [False, False]


# ---- which point, whom, when -------------------------------------------------------------------------------


def test_only_the_named_point_strikes() -> None:
    with armed(f"{APPLY}=raise"):
        assert passages(ACK, 1) == [False]
        with pytest.raises(Injected, match=APPLY):
            failpoint(APPLY)


def test_only_the_nth_passage_strikes() -> None:
    with armed(f"{APPLY}:3=raise"):
        assert passages(APPLY, 5) == [False, False, True, False, False]


def test_only_the_numbered_process_is_struck_and_each_counts_for_itself() -> None:
    with armed(f"{APPLY}@1:2=raise"):
        assert passages(APPLY, 3, index=0) == [False] * 3
        assert passages(APPLY, 3, index=1) == [False, True, False]
    with armed(f"{APPLY}:2=raise"):
        assert passages(APPLY, 1, index=0) == passages(APPLY, 1, index=1) == [False]
        assert passages(APPLY, 1, index=0) == passages(APPLY, 1, index=1) == [True]


def test_there_may_be_several_rules_and_spaces() -> None:
    with armed(f" {APPLY}:1 = raise ;; {APPLY}:3=raise; {ACK}=raise;"):
        assert passages(APPLY, 4) == [True, False, True, False]
        assert passages(ACK, 1) == [True]


def test_passages_are_counted_across_threads() -> None:
    raised: list[bool] = []
    with armed(f"{APPLY}:1000=raise"):
        threads = [threading.Thread(target=lambda: raised.extend(passages(APPLY, 500))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert raised.count(True) == 1


# ---- actions that a process survives -----------------------------------------------------------------------


def test_an_error_of_the_system_can_be_raised() -> None:
    with armed(f"{APPLY}=raise:ENOSPC"), pytest.raises(OSError, match="No space left on device") as caught:
        failpoint(APPLY)
    assert caught.value.errno == errno.ENOSPC


def test_a_point_can_take_its_time() -> None:
    with armed(f"{APPLY}:2=sleep:0.05"):
        failpoint(APPLY)
        began = time.monotonic()
        failpoint(APPLY)
        assert time.monotonic() - began >= 0.05


# ---- what cannot be read -----------------------------------------------------------------------------------


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(DistributedError, match=r"'server\.no_such'.*server\.before_apply.*snapshot\.before_rename"):
        Plan("server.no_such=kill")
    with armed(f"{APPLY}=raise"), pytest.raises(DistributedError, match="'typing_error'"):
        failpoint("typing_error")


@pytest.mark.parametrize("text", [APPLY, f"{APPLY}:0=kill", f"{APPLY}:x=kill", f"{APPLY}@=kill", f"{APPLY}:2@1=kill"])
def test_a_rule_of_another_form_is_an_error(text: str) -> None:
    with pytest.raises(DistributedError, match="must look like name@index:n=action"):
        Plan(text)


@pytest.mark.parametrize(
    "action", ["", "explode", "kill:1", "stop:1", "raise:ENOSUCH", "raise:errno", "sleep", "sleep:-1"]
)
def test_an_unknown_action_is_an_error_that_lists_the_known_ones(action: str) -> None:
    with pytest.raises(DistributedError, match=r"no action.*kill, stop, raise, raise:ERRNO and sleep:SECONDS"):
        Plan(f"{APPLY}={action}")


def test_what_cannot_be_read_leaves_on_what_was() -> None:
    with armed(f"{APPLY}=raise"):
        with pytest.raises(DistributedError):
            failpoints.arm("nonsense")
        assert passages(APPLY, 1) == [True]


# ---- the log -----------------------------------------------------------------------------------------------


def test_what_happened_is_logged_and_does_not_happen_in_the_next_life(tmp_path: Path) -> None:
    plan = Failpoints(f"{APPLY}:2=raise", tmp_path)
    lives = []
    for _ in range(2):
        with armed(plan.variables["RETROGRAD_FAILPOINTS"], plan.log):
            lives.append(passages(APPLY, 3))
    assert lives == [[False, True, False], [False, False, False]]
    hit = plan.wait_hit()
    assert (hit.rule, hit.index, hit.pid) == (f"{APPLY}:2=raise", 0, os.getpid())
    assert plan.hits() == [hit]


def test_what_happens_at_every_passage_happens_in_every_life(tmp_path: Path) -> None:
    plan = Failpoints(f"{APPLY}=raise", tmp_path)
    for _ in range(2):
        with armed(plan.variables["RETROGRAD_FAILPOINTS"], plan.log):
            assert passages(APPLY, 2, index=7) == [True, True]
    assert [hit.index for hit in plan.hits()] == [7] * 4


def test_each_of_several_processes_is_struck_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for expected in (True, False):
        with armed(f"{APPLY}:1=raise", log):
            assert passages(APPLY, 1, index=0) == passages(APPLY, 1, index=1) == [expected]


# ---- processes ---------------------------------------------------------------------------------------------


def start(plan: Failpoints, body: str = "") -> subprocess.Popen[str]:
    """A process that comes by the two points, and says so."""
    code = f"""
import sys
from retrograd.distributed.failpoints import failpoint
{body}
for point in ({APPLY!r}, {ACK!r}):
    failpoint(point)
    print(point, flush=True)
"""
    variables = {**os.environ, **plan.variables}
    return subprocess.Popen([sys.executable, "-c", code], env=variables, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.processes
def test_a_process_kills_itself_and_the_next_one_lives(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    plan = Failpoints(f"{ACK}:1=kill", tmp_path)
    # Neither a handler nor `finally` nor `atexit` may run.
    started.append(start(plan, "import atexit; atexit.register(print, 'exit handler', flush=True)"))
    output, _ = started[0].communicate(timeout=DEADLINE)
    assert started[0].returncode == -signal.SIGKILL
    assert output.split() == [APPLY]
    assert [hit.pid for hit in plan.hits()] == [started[0].pid]
    started.append(start(plan))
    output, _ = started[1].communicate(timeout=DEADLINE)
    assert (started[1].returncode, output.split()) == (0, [APPLY, ACK])


@pytest.mark.processes
def test_a_process_stops_itself_and_goes_on_when_told(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    plan = Failpoints(f"{ACK}=stop", tmp_path)
    # A second thread, which the signal must not go to instead.
    started.append(start(plan, "import threading; threading.Thread(target=sys.stdin.read, daemon=True).start()"))
    [process] = started
    hit = plan.wait_hit()
    assert hit.pid == process.pid
    hit.wait_stopped()
    assert process.stdout is not None
    assert process.stdout.readline() == f"{APPLY}\n"
    assert process.poll() is None
    hit.resume()
    output, _ = process.communicate(timeout=DEADLINE)
    assert (process.returncode, output) == (0, f"{ACK}\n")


@pytest.mark.processes
def test_a_bad_variable_ends_a_process_before_it_begins(tmp_path: Path) -> None:
    variables = {**os.environ, "RETROGRAD_FAILPOINTS": "server.no_such=kill"}
    code = "import retrograd.distributed.failpoints"
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 1
    assert "no fail-point has the name 'server.no_such'; there are worker.before_push" in done.stderr


# ---- the names ---------------------------------------------------------------------------------------------


def names_in_the_code() -> set[str]:
    """The points that the package comes by, as patterns: a name made of parts has holes."""
    names: set[str] = set()
    for path in sorted(Path(failpoints.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="failpoint") | ast.Attribute(attr="failpoint"), args=[name, *_]):
                    names |= patterns(name)
    return names


def patterns(name: ast.expr) -> set[str]:
    match name:
        case ast.Constant(value=str(text)):
            return {re.escape(text)}
        case ast.JoinedStr(values=parts):
            return {"".join(re.escape(str(p.value)) if isinstance(p, ast.Constant) else r"\w+" for p in parts)}
        case ast.IfExp(body=one, orelse=other):
            return patterns(one) | patterns(other)
    raise AssertionError(f"a fail-point whose name cannot be read: {ast.dump(name)}")


def test_every_point_of_the_code_is_declared() -> None:
    for name in names_in_the_code():
        assert any(re.fullmatch(name, point) for point in POINTS), name


def test_every_declared_point_is_in_the_code() -> None:
    names = names_in_the_code()
    assert [point for point in POINTS if not any(re.fullmatch(name, point) for name in names)] == []
