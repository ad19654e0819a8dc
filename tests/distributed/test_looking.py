"""What people see of a run: ``retrograd status``, ``retrograd doctor``, and the launcher's display."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator

import pytest
from ps_harness import LiveServer, all_of, clients, serving, start

from retrograd.distributed import looking
from retrograd.distributed.cli import main
from retrograd.distributed.console import Display
from retrograd.distributed.errors import DistributedError
from retrograd.distributed.messages import VERSION


@pytest.fixture(scope="module")
def servers() -> Iterator[list[LiveServer]]:
    """Two servers, and two workers that have done three steps."""
    with serving(2, 2) as servers, clients(*servers) as members:
        start(*members)
        for _ in range(3):
            all_of(*(each.learn for each in members))
        all_of(*(each.barrier for each in members))
        yield servers


def rows_of(text: str) -> list[list[str]]:
    """The rows of the tables in a text, without their lines."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line]


def test_status_shows_workers_servers_and_what_lies_where(
    servers: list[LiveServer], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", *(each.address for each in servers)]) == 0
    text = capsys.readouterr().out
    rows = rows_of(text)
    assert "synchronous" in text
    assert [row[:3] for row in rows if row[1] == "joined"] == [["0", "joined", "3"], ["1", "joined", "3"]]
    assert [row[:3] for row in rows if len(row) == 6] == [["0", "3", "1"], ["1", "3", "1"]]
    placed = sorted(row[1:] for row in rows if len(row) == 5)
    assert placed == [["b", "float32", "0 to 1", "4"], ["w", "float32", "0 to 3", "12"]]
    assert {row[0] for row in rows if len(row) == 5} == {"0", "1"}


def test_status_shows_whose_gradients_were_not_finite(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with serving(2, nonfinite="skip") as [server], clients(server) as [good, bad]:
        start(good, bad)
        for step in range(5):
            all_of(good.learn, lambda step=step: bad.learn(math.inf if step else 1.0))
        assert main(["status", server.address]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert [(row[0], row[-1]) for row in rows if row[1] == "joined"] == [("0", "0"), ("1", "4")]
    said = [each.getMessage() for each in caplog.records if "is left out" in each.getMessage()]
    assert said == [
        f"step {step} is left out: the gradients of worker 1 hold a NaN or an infinity ({count} of its steps so far)"
        for step, count in ((2, 1), (3, 2), (5, 4))
    ]


def test_doctor_measures_the_way_to_a_server(
    servers: list[LiveServer], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "_SIZES", (1024, 1 << 18))
    assert main(["doctor", servers[1].address]) == 0
    first, clock, *sizes = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        rf"{servers[1].address}: retrograd (\S+), protocol {VERSION}; here \1, protocol {VERSION}", first
    )
    assert re.fullmatch(r"  its clock is [\d.]+ ms (ahead|behind), within [\d.]+ ms", clock)
    assert [int(each.split()[0]) for each in sizes] == [1024, 1 << 18]
    assert all(re.search(r": +[\d.]+ ms, +[\d.]+ MB/s$", each) for each in sizes)


def test_nobody_at_an_address_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "_PATIENCE", 0.3)
    with pytest.raises(DistributedError, match="no server answers at tcp://"):
        looking.status_of("tcp://127.0.0.1:9")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_table_that_is_taken_away_at_the_end(
    servers: list[LiveServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    statuses = [each.within(each.status) for each in servers]
    screen = Terminal()
    display = Display(screen)
    display.update(statuses)
    display.update(statuses)
    display.line("worker 1", "a [line] of :smile: text")
    display.close()
    drawn = screen.getvalue()
    assert "synchronous" in drawn
    assert "joined" in drawn
    assert "a [line] of :smile: text" in drawn
    display.close()  # nothing is left to take away
    assert screen.getvalue() == drawn


def test_elsewhere_there_are_lines_and_a_table_at_the_end(servers: list[LiveServer]) -> None:
    file = io.StringIO()
    display = Display(file)
    display.line("server", "hello")
    display.table([each.within(each.status) for each in servers])
    lines = file.getvalue().splitlines()
    assert lines[0] == "[server] hello"
    assert re.fullmatch(r"server 1: 3 updates, \d+ messages in \(.*\) and \d+ out \(.*\)", lines[-1])
    assert "\x1b" not in file.getvalue()
