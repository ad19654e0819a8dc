"""The worker processes of one iterator, as the loader's process sees them: started, spoken to, ended.

Note [Fork or spawn]
    A forked process has everything its parent had, also data sets and functions that cannot be pickled, as programs
    written for Linux expect. But it has one thread only: locks that the parent's other threads held stay locked. JAX
    has such threads from the moment it is used. So workers start as `multiprocessing` would start them, unless that
    is by a fork and JAX is loaded: then they are spawned, and the data set has to be picklable and the program's
    start guarded by `if __name__ == "__main__"`. Whoever gives a `multiprocessing_context` gets that one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.util
import os
import pickle
import signal
import sys
import time
import warnings
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

from retrograd.utils.data._utils import worker
from retrograd.utils.data._utils.crossing import HOST, Crossing, packed, receive, send

__all__ = ["Pool", "default_context"]


def default_context() -> Any:
    """How workers start if nobody says how. See Note [Fork or spawn]."""
    method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    if method == "fork" and "jaxlib" in sys.modules:
        method = "spawn"
    return multiprocessing.get_context(method)


class Pool:
    """Worker processes and the pipes to them.

    Raises
    ------
    TypeError, AttributeError, pickle.PicklingError
        If processes are spawned and the data set, or a function, cannot be pickled.
    """

    def __init__(self, context: Any, task: worker.Task) -> None:
        self._owner = os.getpid()
        self._processes: list[Any] = []
        self._connections: list[Connection] = []
        self._dismissed: set[int] = set()
        # The ends that are inherited by processes forked later would keep the pipes open.
        multiprocessing.util.register_after_fork(self, Pool._close_connections)
        self._moves = {task.device: HOST}
        crossing = Crossing(task, self._moves)
        try:
            for worker_id in range(task.num_workers):
                self._start(context, crossing, worker_id)
        except BaseException:
            self.stop()
            raise

    def _start(self, context: Any, crossing: Crossing, worker_id: int) -> None:
        ours, theirs = context.Pipe()
        self._connections.append(ours)
        process = context.Process(target=worker.run, args=(crossing, worker_id, theirs), daemon=True)
        try:
            process.start()
        except (TypeError, AttributeError, pickle.PicklingError):
            warnings.warn(
                "Got pickle error when attempting to start a worker Process. "
                "This might be because the worker Process arguments are not picklable. "
                "Python 3.14+ changed the multiprocessing start method in non-Mac POSIX platforms "
                "to 'forkserver', which requires the worker Process arguments to be picklable. "
                "You can also try multiprocessing.set_start_method('fork').",
                stacklevel=6,
            )
            raise
        finally:
            theirs.close()
        self._processes.append(process)

    @property
    def pids(self) -> list[int]:
        return [each.pid for each in self._processes]

    def send(self, worker_id: int, order: Any) -> None:
        """Give a worker an order; if it is dead, that shows when its answer is missing."""
        with contextlib.suppress(OSError):
            send(self._connections[worker_id], packed(order, self._moves))

    def dismiss(self, worker_id: int) -> None:
        """Let a worker end: there is nothing more for it to do."""
        if worker_id not in self._dismissed:
            self._dismissed.add(worker_id)
            self.send(worker_id, None)

    def receive(self, timeout: float | None) -> Any:
        """The next answer of any worker; None after `timeout` seconds.

        Raises
        ------
        RuntimeError
            If a worker has died.
        """
        working = {
            connection: place for place, connection in enumerate(self._connections) if place not in self._dismissed
        }
        sentinels = {self._processes[place].sentinel: place for place in working.values()}
        ready = wait([*working, *sentinels], timeout)
        for each in ready:
            if isinstance(each, Connection):
                return self._received(each, working[each])
        for each in ready:
            self._report_death(sentinels[each])
        return None

    def _received(self, connection: Connection, worker_id: int) -> Any:
        try:
            return receive(connection)
        except (EOFError, OSError):
            self._report_death(worker_id)
        except KeyboardInterrupt:
            self.stop()  # half of a message is left in the pipe
            raise

    def _report_death(self, worker_id: int) -> NoReturn:
        process = self._processes[worker_id]
        process.join(worker.GRACE)
        code = process.exitcode
        if code is not None and code < 0:
            cause = f"DataLoader worker (pid {process.pid}) is killed by signal: {signal.strsignal(-code)}. "
        else:
            cause = (
                f"DataLoader worker (pid {process.pid}) exited unexpectedly with exit code {code}. "
                "Details are lost due to multiprocessing. Rerunning with num_workers=0 may give better error trace."
            )
        pid = process.pid
        self.stop()
        raise RuntimeError(f"DataLoader worker (pid(s) {pid}) exited unexpectedly") from RuntimeError(cause)

    def stop(self) -> None:
        """End all workers: by closing the pipes, and after a while by force."""
        if os.getpid() != self._owner:  # a copy, in a forked process
            return
        self._close_connections()
        processes, self._processes = self._processes, []
        deadline = time.monotonic() + worker.GRACE
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
            for end in (process.terminate, process.kill):
                if process.is_alive():
                    end()
                    process.join(worker.GRACE)
            if not process.is_alive():
                process.close()

    def _close_connections(self) -> None:
        for each in self._connections:
            with contextlib.suppress(OSError):
                each.close()
