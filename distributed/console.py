"""What a person sees of a run: everyone's output, how far it is, and a table at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .placement import bytes_of
from .protocol import Report, Status

__all__ = ["Display", "placement_table", "server_table", "worker_table"]

_COLORS = ("cyan", "green", "magenta", "yellow", "blue", "red")
_PLAIN_INTERVAL = 2.0  # seconds between two lines of progress where no bar can be drawn


class Display:
    """Shows a run: on a terminal as a table with a progress bar, and elsewhere line by line.

    Parameters
    ----------
    file : text file, optional
        Where to write; standard output unless given.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._console = Console(file=file or sys.stdout, highlight=False)
        if not self._console.is_terminal:
            self._console.width = 120  # a log is as wide as it needs to be
        self._colors = {"server": "white"}
        self._progress: Progress | None = None
        self._live: Live | None = None
        self._shown = (0.0, 0)  # when a plain line of progress was written, and for which step

    def line(self, name: str, text: str) -> None:
        """One line that a process has written."""
        if not self._console.is_terminal:
            print(f"[{name}] {text}", file=self._console.file, flush=True)
            return
        color = self._colors.setdefault(name, _COLORS[len(self._colors) % len(_COLORS)])
        self._console.print(f"[{color}]\\[{name}][/] {escape(text)}", soft_wrap=True, emoji=False)

    def say(self, text: str, style: str = "") -> None:
        """Something that the launcher itself has to say."""
        self._console.print(text, style=style, markup=False, soft_wrap=True, emoji=False)

    def failure(self, headline: str, tail: Sequence[str]) -> None:
        """What went wrong, and the last that the process wrote about it."""
        self.close()
        self.say(headline, style="bold red")
        for text in tail:
            self.say(f"    {text}")

    def update(self, statuses: Sequence[Status]) -> None:
        """Show how far everyone is: on a terminal as a table that is drawn again and again, else in a line."""
        if not statuses:
            return
        step, total, loss = _progress_of(statuses[0])
        if self._console.is_terminal:
            self._draw(statuses, step, total, loss)
        elif (
            total and step > self._shown[1] and (step == total or time.monotonic() - self._shown[0] >= _PLAIN_INTERVAL)
        ):
            self._shown = (time.monotonic(), step)
            self.say(f"step {step}/{total}  {loss}")

    def _draw(self, statuses: Sequence[Status], step: int, total: int, loss: str) -> None:
        if self._live is None:
            self._progress = Progress(
                TextColumn("training"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._progress.add_task(loss, total=total or None)
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        assert self._progress is not None
        self._progress.update(self._progress.task_ids[0], completed=step, total=total or None, description=loss)
        self._live.update(Group(worker_table(statuses[0]), server_table(statuses), self._progress))

    def table(self, statuses: Sequence[Status]) -> None:
        """What each process has done, at the end."""
        self.close()
        if not statuses:
            return
        self._console.print(worker_table(statuses[0]))
        for status in statuses:
            traffic = status.traffic
            name = "server" if status.shards == 1 else f"server {status.shard}"
            updates = " + ".join(str(each.version) for each in status.by_optimizer())
            received = f"{traffic.messages_received} messages in ({_size(traffic.bytes_received)})"
            sent = f"{traffic.messages_sent} out ({_size(traffic.bytes_sent)})"
            counts = {"rejected": status.rejected, "repeated": status.duplicates, "steps skipped": status.skipped}
            odd = "".join(f", {count} {what}" for what, count in counts.items() if count)
            self.say(f"{name}: {updates} updates, {received} and {sent}{odd}")

    def close(self) -> None:
        """Take away what is drawn, so that the terminal is as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = self._progress = None


def worker_table(status: Status) -> Table:
    """The workers as a table: how far, how fast, and how much of the time they wait.

    The pushes that held a NaN or an infinity are counted in a column that is there when somebody has made one, and
    which optimizer a row is about is said in one that is there when there are several.
    """
    table = Table(title=None)
    headings = ("worker", "state", "steps", "ahead", "samples/s", "waiting", "sent", "ratio", "retries", "loss")
    rows = [(each, worker) for each in status.by_optimizer() for worker in each.workers]
    odd = any(worker.nonfinite for _, worker in rows)
    for heading in (*_optimizer(status, "optimizer"), *headings, *(("not finite",) if odd else ())):
        table.add_column(heading, justify="right")
    for each, worker in rows:
        report = worker.report
        rate = f"{report.samples / report.seconds:.0f}" if report.samples and report.seconds else ""
        waiting = f"{report.waiting / report.seconds:.0%}" if report.seconds else ""
        ratio = f"{report.raw / report.sent:.1f}" if report.sent and report.raw else ""
        loss = "" if report.loss is None else f"{report.loss:.4f}"
        table.add_row(
            *_optimizer(status, each.optimizer), str(worker.rank), worker.state, str(worker.step), str(worker.behind),
            rate, waiting, _size(report.sent), ratio, str(report.retries), loss,
            *((str(worker.nonfinite),) if odd else ()),
        )  # fmt: skip
    return table


def server_table(statuses: Sequence[Status]) -> Table:
    """The servers as a table: what they hold, and what waits in them."""
    first = statuses[0]
    table = Table(title=first.consistency)
    headings = ("server", "updates", "slices", "memory", "queued", "snapshot")
    for heading in (*_optimizer(first, "optimizer"), *headings):
        table.add_column(heading, justify="right")
    for status in (each for server in statuses for each in server.by_optimizer()):
        kept = "" if status.snapshot is None else f"update {status.snapshot}, {status.snapshot_age:.0f} s ago"
        table.add_row(
            *_optimizer(first, status.optimizer), str(status.shard), str(status.version), str(len(status.slices)),
            _size(status.memory), _size(status.queued), kept,
        )  # fmt: skip
    return table


def placement_table(statuses: Sequence[Status]) -> Table:
    """What lies where: the slices of each server."""
    first = statuses[0]
    table = Table(title="placement")
    for heading in (*_optimizer(first, "optimizer"), "server", "tensor", "dtype", "elements", "bytes"):
        table.add_column(heading, justify="right")
    for status in (each for server in statuses for each in server.by_optimizer()):
        for piece in status.slices:
            row = status.table[piece.tensor]
            size = bytes_of(piece, status.table)
            table.add_row(
                *_optimizer(first, status.optimizer), str(status.shard), row.name, row.dtype,
                f"{piece.start} to {piece.stop}", str(size),
            )  # fmt: skip
    return table


def _optimizer(first: Status, cell: object) -> tuple[str, ...]:
    """A cell that says which optimizer, of a run that has several."""
    return (str(cell),) if first.others else ()


def _progress_of(status: Status) -> tuple[int, int, str]:
    """How far the slowest worker is, of how many steps, and the mean of the losses."""
    reports = [worker.report for worker in status.workers if worker.state != "lost"] or [Report()]
    losses = [report.loss for report in reports if report.loss is not None]
    loss = f"loss {sum(losses) / len(losses):.4f}" if losses else ""
    return min(report.step for report in reports), max(report.total for report in reports), loss


def _size(count: int) -> str:
    """
    >>> _size(999), _size(123_456_789)
    ('999 B', '123.5 MB')
    """
    if count < 1000:
        return f"{count} B"
    exponent = min(3, (len(str(count)) - 1) // 3)
    return f"{count / 1000**exponent:.1f} {('kB', 'MB', 'GB')[exponent - 1]}"
