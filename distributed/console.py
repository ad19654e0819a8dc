"""What a person sees of a run: everyone's output, how far it is, and a table at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .protocol import Report, Status

__all__ = ["Display"]

_COLORS = ("cyan", "green", "magenta", "yellow", "blue", "red")
_PLAIN_INTERVAL = 2.0  # seconds between two lines of progress where no bar can be drawn


class Display:
    """Shows a run on a terminal with a progress bar, and elsewhere line by line.

    Parameters
    ----------
    file : text file, optional
        Where to write; standard output unless given.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._console = Console(file=file or sys.stdout, highlight=False)
        self._colors = {"server": "white"}
        self._progress: Progress | None = None
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

    def update(self, status: Status) -> None:
        """Show how far the slowest worker is, and the mean of the losses."""
        reports = [worker.report for worker in status.workers]
        step, total = min(r.step for r in reports), max(r.total for r in reports)
        if total == 0:
            return  # the script does not say how far it is
        losses = [r.loss for r in reports if r.loss is not None]
        loss = f"loss {sum(losses) / len(losses):.4f}" if losses else ""
        if self._console.is_terminal:
            self._draw_bar(step, total, loss)
        elif step > self._shown[1] and (step == total or time.monotonic() - self._shown[0] >= _PLAIN_INTERVAL):
            self._shown = (time.monotonic(), step)
            self.say(f"step {step}/{total}  {loss}")

    def _draw_bar(self, step: int, total: int, loss: str) -> None:
        if self._progress is None:
            self._progress = Progress(
                TextColumn("training"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._progress.add_task(loss, total=total)
            self._progress.start()
        self._progress.update(self._progress.task_ids[0], completed=step, total=total, description=loss)

    def table(self, status: Status) -> None:
        """What each worker has done, at the end."""
        self.close()
        table = Table(title=None)
        for heading in ("worker", "steps", "samples/s", "waiting", "loss"):
            table.add_column(heading, justify="right")
        for worker in status.workers:
            table.add_row(str(worker.rank), str(worker.step), *_row(worker.report))
        self._console.print(table)
        traffic = status.traffic
        received = f"{traffic.messages_received} messages in ({_size(traffic.bytes_received)})"
        sent = f"{traffic.messages_sent} out ({_size(traffic.bytes_sent)})"
        rejected = f", {status.rejected} rejected" if status.rejected else ""
        self.say(f"server: {status.step} updates, {received} and {sent}{rejected}")

    def close(self) -> None:
        """Take the bar away, so that the terminal is as it was."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _row(report: Report) -> tuple[str, str, str]:
    loss = "" if report.loss is None else f"{report.loss:.4f}"
    if not report.seconds:
        return "", "", loss
    rate = f"{report.samples / report.seconds:.0f}" if report.samples else ""
    return rate, f"{report.waiting / report.seconds:.0%}", loss


def _size(count: int) -> str:
    """
    >>> _size(999), _size(123_456_789)
    ('999 B', '123.5 MB')
    """
    if count < 1000:
        return f"{count} B"
    exponent = min(3, (len(str(count)) - 1) // 3)
    return f"{count / 1000**exponent:.1f} {('kB', 'MB', 'GB')[exponent - 1]}"
