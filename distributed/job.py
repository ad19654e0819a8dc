"""One run from beginning to end: start servers and workers, look after them, leave nothing behind."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from .console import Display
from .environment import Environment, read_timeout
from .errors import DistributedError
from .launcher import Launcher, Process, describe_exit
from .looking import status_of
from .metrics import Sink
from .monitor import Monitor
from .protocol import Status
from .run_options import arguments_of
from .transport import ADDRESS_IN_USE

__all__ = ["Job", "JobOptions"]

_TICK = 0.05  # seconds between looks at the processes
_ASK_INTERVAL = 0.25  # seconds between questions to the server
_START_TIMEOUT = 60.0  # seconds for a server to start: importing JAX on a busy machine takes ten
_FAREWELL = 3.0  # seconds for others to end by themselves once one has failed, and after SIGTERM
_KEEPING = 600.0  # seconds for the servers' last snapshots, which may be large
_TAIL = 25  # lines of a failed process's output that are shown again
_ADDRESS = "listening at "

# Numerical libraries start a thread for each core in every process unless told otherwise, and workers that
# share the cores then spend their time on taking them from each other.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What to run."""

    script: Sequence[str]
    """The script and its arguments."""
    workers: int
    servers: int = 1
    bind: str = "tcp://127.0.0.1:*"
    fields: dict[str, Any] = field(default_factory=dict)
    """The options of the run, by the names of `ServerOptions`' fields."""
    restarts: int = 3
    """How often processes that died are started again: servers that keep snapshots, and workers of a run that
    goes on without one."""
    resume: bool = False
    """Whether to go on from the snapshots of a former run."""


class Stopped(Exception):
    """A signal asked the launcher to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass(slots=True)
class _Member:
    """A process of the run, and what it last wrote."""

    process: Process
    rank: int | None = None
    """Number of the worker; ``None`` for a server."""
    shard: int = 0
    """Number of the server."""
    address: str = ""
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL))
    code: int | None = None


class Job:
    """Runs a script in several workers around one or several servers.

    Parameters
    ----------
    options : JobOptions
    launcher : Launcher
        Where the processes run.
    display : Display
    sinks : sequence of Sink
        Where the run's numbers go.
    """

    def __init__(self, options: JobOptions, launcher: Launcher, display: Display, sinks: Sequence[Sink] = ()) -> None:
        self.options = options
        self._sinks = sinks
        self._launcher = launcher
        self._display = display
        self._run = uuid.uuid4().hex
        self._timeout = read_timeout()
        self._servers: list[_Member] = []
        self._restarts = options.restarts
        self._workers: list[_Member] = []
        self._monitor: Monitor | None = None
        self._asked = 0.0
        self._signals: list[int] = []
        self._starting: _Member | None = None
        self._given_up: set[int] = set()
        """Workers that have died for good, in a run that goes on without them."""
        self._lonely_since: float | None = None
        """When nobody was left but workers that the run has gone on without."""

    def run(self) -> int:
        """Run to the end; the exit code for the launcher's own process."""
        with self._catching_signals():
            try:
                self._check_folder()
                for shard in range(self.options.servers):
                    self._servers.append(self._start_server(shard))
                addresses = [server.address for server in self._servers]
                keys = self.options.fields.get("keys")
                self._monitor = Monitor(addresses, self._run, self.options.workers, keys and str(keys))
                for rank in range(self.options.workers):
                    self._workers.append(self._start_worker(rank))
                return self._watch()
            except Stopped as stop:
                self._display.close()
                self._display.say(f"stopping: {signal.Signals(stop.number).name}")
                return 128 + stop.number
            except DistributedError as error:
                self._display.failure(str(error), ())
                return 1
            finally:
                self._stop()

    # ---- beginning -----------------------------------------------------------------------------------------

    def _check_folder(self) -> None:
        """A former run's snapshots are neither overwritten nor trained on by mistake."""
        folder: Path | None = self.options.fields.get("folder")
        used = folder is not None and any(folder.glob("server-*/snapshot-*.safetensors"))
        if used and not self.options.resume:
            raise DistributedError(
                f"{folder} holds the snapshots of a former run: say --resume to go on from them, or choose another "
                "folder"
            )
        if self.options.resume and not used:
            raise DistributedError(f"nothing to resume from: {folder or '--snapshots'} holds no snapshot")

    def _start_server(self, shard: int, address: str | None = None, *, resume: bool | None = None) -> _Member:
        options = self.options
        name = "server" if options.servers == 1 else f"server {shard}"
        arguments = ["-m", "retrograd.distributed", "server", "--world-size", str(options.workers)]
        arguments += ["--bind", address or options.bind, "--run", self._run]
        arguments += ["--shard", f"{shard}/{options.servers}"] if options.servers > 1 else []
        arguments += ["--lead", self._servers[0].address] if shard else []
        arguments += ["--resume"] if (options.resume if resume is None else resume) else []
        arguments += arguments_of(options.fields)
        server = _Member(self._launcher.start(name, arguments, self._variables()), shard=shard)
        self._starting = server
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            self._turn()
            for text in server.tail:
                if text.startswith(_ADDRESS):
                    server.address, self._starting = text.removeprefix(_ADDRESS), None
                    return server
            if server.code is not None:
                how = describe_exit(server.code)
                raise DistributedError("\n".join([f"{name} could not start: it {how}", *server.tail]))
        raise DistributedError(f"{name} has not come up within {_START_TIMEOUT:g} s")

    def _start_worker(self, rank: int) -> _Member:
        addresses = tuple(server.address for server in self._servers)
        keys, recovery = self.options.fields.get("keys"), self.options.fields.get("recovery") or 0.0
        place = Environment(
            rank, self.options.workers, addresses, self._run, self._timeout, str(keys) if keys else "", recovery
        )
        variables = {**self._variables(), **place.variables()}
        return _Member(self._launcher.start(f"worker {rank}", self.options.script, variables), rank)

    def _variables(self) -> dict[str, str]:
        threads = max(1, _cores() // self.options.workers)
        variables = {name: str(threads) for name in _THREAD_VARIABLES if name not in os.environ}
        if backend := self.options.fields.get("backend"):
            variables["RETROGRAD_BACKEND"] = backend
        return variables

    # ---- middle --------------------------------------------------------------------------------------------

    def _watch(self) -> int:
        while True:
            self._turn()
            ended = [server for server in self._servers if server.code == 0]
            if ended:  # by itself, as one does that nobody watches, a moment ago restarted, once all workers have left
                self._wait_for(self._workers, _FAREWELL)
            failed = [member for member in self._members() if member.code not in (None, 0)]
            failed += ended if any(worker.code is None for worker in self._workers) else []
            for member in failed:
                if not self._is_let_go(member) and not self._restart(member):
                    return self._fail(member if member.rank is not None else self._servers[member.shard])
            self._end_the_lost()
            if all(worker.code is not None for worker in self._workers):
                return self._finish()

    def _is_let_go(self, member: _Member) -> bool:
        """Whether the run goes on without a worker that has died."""
        return member.rank in self._given_up

    def _end_the_lost(self) -> None:
        """End workers that were given up, stand still, and are all that is left of a run that went on without them."""
        status = None if self._monitor is None else self._monitor.status
        lost = set() if status is None else {each.rank for each in status.workers if each.state == "lost"}
        running = [worker for worker in self._workers if worker.code is None]
        now = time.monotonic()
        if not running or any(worker.rank not in lost for worker in running):
            self._lonely_since = None
            return
        self._lonely_since = self._lonely_since or now
        if now - self._lonely_since < self._timeout:
            return  # one that goes on joins again by itself
        lost = self._lost_by_now()
        if any(worker.rank not in lost for worker in running):
            self._lonely_since = None  # it has come back since, or nobody knows
            return
        for worker in running:
            assert worker.rank is not None
            self._given_up.add(worker.rank)
            self._display.say(
                f"{worker.process.name} was lost and has not come back; it is ended, since all others are done"
            )
            worker.process.kill()

    def _lost_by_now(self) -> set[int]:
        """The workers that the first server calls lost when it is asked now; none if it does not say.

        By a connection of its own: on the monitor's there may be answers that are older than the question.
        """
        keys = self.options.fields.get("keys")
        try:
            status = status_of(self._servers[0].address, keys and str(keys))
        except DistributedError:
            return set()
        return {each.rank for each in status.workers if each.state == "lost"}

    def _restart(self, member: _Member) -> bool:
        """Start a process again that has died, if that can help; whether the run goes on."""
        how = describe_exit(member.code or 0)
        if member.rank is None:
            if self.options.fields.get("folder") is None or self._restarts < 1 or self._server_says_it_failed():
                return False
            return self._restart_server(member, how)
        if self.options.fields.get("on_loss") != "continue":
            return False
        if self._restarts < 1:
            self._given_up.add(member.rank)
            goes_on = any(worker.rank not in self._given_up for worker in self._workers)
            then = "the others go on without it" if goes_on else "nobody is left"
            self._display.say(f"{member.process.name} {how}; {then}")
            return goes_on
        self._restarts -= 1
        self._display.say(f"{member.process.name} {how}; it is started again")
        self._workers[member.rank] = self._start_worker(member.rank)
        return True

    def _restart_server(self, member: _Member, how: str) -> bool:
        """Start a server again, as often as it takes; whether it runs."""
        said, deadline = "", time.monotonic() + (self.options.fields.get("recovery") or 0.0)
        while self._restarts > 0:
            self._restarts -= 1
            if how != said or ADDRESS_IN_USE not in how:
                self._display.say(f"{member.process.name} {how}; it is started again from its last snapshot")
            said = how
            try:
                self._servers[member.shard] = self._start_server(member.shard, member.address, resume=False)
            except DistributedError as error:
                tried, self._starting, how = self._starting, None, f"did not come back: {error}"
                if ADDRESS_IN_USE in how and time.monotonic() < deadline:
                    self._restarts += 1  # somebody else has its port meanwhile, who may go while workers wait
                    self._turn()
                elif how == said and tried is not None and (tried.code or 0) > 0:
                    self._servers[member.shard] = tried  # it has said twice why it cannot, and will say so again
                    return False
            else:
                return True
        self._display.say(f"{member.process.name} {how}")
        return False

    def _server_says_it_failed(self) -> bool:
        status = None if self._monitor is None else self._monitor.status
        return status is not None and status.failure is not None

    def _turn(self) -> None:
        """Wait a moment, show what was written, see who has ended, and ask how it goes."""
        running = [member for member in self._members() if member.code is None]
        self._launcher.wait([member.process for member in running], _TICK)
        for member in running:
            code = member.process.poll()  # before its lines, so that the last ones are among them
            for _, text in member.process.lines():
                member.tail.append(text)
                if not text.startswith(_ADDRESS) or member.rank is not None:
                    self._display.line(member.process.name, text)
            member.code = code
            if code is not None and member.rank is not None and self._monitor is not None:
                self._monitor.tell_exited(member.rank, code != 0, f"its process {describe_exit(code)}")
        if self._monitor is not None and time.monotonic() - self._asked >= _ASK_INTERVAL:
            self._asked = time.monotonic()
            self._ask(0.0)
        if self._signals:
            raise Stopped(self._signals[0])

    def _ask(self, timeout: float) -> None:
        assert self._monitor is not None
        self._monitor.ask()
        if self._monitor.read(timeout) and self._monitor.status is not None:
            statuses = [status for status in self._monitor.statuses if status is not None]
            self._display.update(statuses)
            for sink in self._sinks:
                sink.take(statuses)

    def _members(self) -> list[_Member]:
        starting = [self._starting] if self._starting and self._starting not in self._servers else []
        return [*self._servers, *starting, *self._workers]

    # ---- end -----------------------------------------------------------------------------------------------

    def _finish(self) -> int:
        """Everyone is done: show the table, and let the server go."""
        assert self._monitor is not None
        self._hear(lambda status: all(worker.state in ("left", "lost") for worker in status.workers))
        self._display.table([status for status in self._monitor.statuses if status is not None])
        if self._nobody_trained():
            self._display.say(
                "no worker has joined with a ServerOptimizer, so each process has trained alone: call "
                "retrograd.distributed.init() in the script, and step a retrograd.distributed.ServerOptimizer"
            )
        self._monitor.close()
        self._monitor = None
        keeps = self.options.fields.get("folder") is not None
        self._wait_for(self._servers, _KEEPING if keeps else _FAREWELL)
        for server in self._servers:
            if server.code is None and keeps:
                text = f"{server.process.name} has not written its last snapshot within {_KEEPING:g} s, and is ended"
                self._display.failure(text, tuple(server.tail))
                return 1
            if server.code not in (None, 0):
                self._show_failure(server)
                return 1
        return 0

    def _nobody_trained(self) -> bool:
        """Whether no worker has ever brought the servers a model."""
        status = None if self._monitor is None else self._monitor.status
        return status is not None and not any(each.table for each in status.by_optimizer())

    def _fail(self, first: _Member) -> int:
        """One has failed. Let the others hear of it and say so, then show the one that was the cause.

        The first process that is seen to have ended need not be the cause: others end because of it, and
        fast. The server knows who it was.
        """
        if first.rank is not None:
            self._wait_for(self._workers, _FAREWELL)
            self._hear(lambda status: status.failure is not None)
        culprit = self._culprit(first)
        self._show_failure(culprit)
        if self._monitor and self._monitor.status and self._monitor.status.failure:
            self._display.say(f"The run has failed: {self._monitor.status.failure}")
        if culprit.rank is None and (advice := self._advice(culprit)):
            self._display.say(advice)
        code = culprit.code or 1
        return code if code > 0 else 128 - code

    def _advice(self, server: _Member) -> str:
        """Why a server that has died is not started again, if more of an option would have helped."""
        if not server.code or self._server_says_it_failed():
            return ""
        if self.options.fields.get("folder") is None:
            return "Its weights are gone with it: a run with --snapshots DIR would have started it again"
        again = 0 if self._restarts else self.options.restarts
        return f"Processes were started again {again} times, which is what --restarts allows" if again else ""

    def _hear(self, enough: Callable[[Status], bool]) -> None:
        """Ask until the server's answer is `enough`: one that is under way may be older than what has happened."""
        assert self._monitor is not None
        deadline = time.monotonic() + _FAREWELL
        while self._servers[0].code is None and time.monotonic() < deadline:
            self._ask(_TICK)
            if self._monitor.status is not None and enough(self._monitor.status):
                return
            self._turn()

    def _culprit(self, first: _Member) -> _Member:
        status = None if self._monitor is None else self._monitor.status
        if first.rank is None or status is None or status.failure is None:
            return first
        return self._servers[0] if status.culprit is None else self._workers[status.culprit]

    def _show_failure(self, member: _Member) -> None:
        how = "failed" if member.code is None else describe_exit(member.code)
        last = "; its last lines:" if member.tail else ""
        self._display.failure(f"{member.process.name} {how}{last}", tuple(member.tail))

    def _wait_for(self, members: Sequence[_Member], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while any(member.code is None for member in members) and time.monotonic() < deadline:
            self._turn()

    def _stop(self) -> None:
        """End whatever still runs: by SIGTERM, by SIGKILL what does not listen. A second Ctrl-C hurries."""
        self._display.close()
        if self._monitor is not None:
            self._monitor.close()
        first_signals = len(self._signals)
        for member in self._members():
            member.process.terminate()
        deadline = time.monotonic() + _FAREWELL
        while time.monotonic() < deadline and len(self._signals) == first_signals:
            running = [member.process for member in self._members() if member.process.poll() is None]
            if not running:
                break
            self._launcher.wait(running, _TICK)
            for process in running:
                process.lines()  # a process whose pipe is full cannot end
        for member in self._members():
            member.process.kill()
            member.process.lines()

    @contextmanager
    def _catching_signals(self) -> Iterator[None]:
        # A handler that raised could interrupt the very lines that start or end a process.
        def note(number: int, frame: FrameType | None) -> None:
            self._signals.append(number)

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
