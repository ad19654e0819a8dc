"""A run's numbers for programs: Prometheus' text, JSON lines, event files for TensorBoard."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from ps_harness import all_of, clients, serving, start

from retrograd.distributed.errors import DistributedError
from retrograd.distributed.messages import Status
from retrograd.distributed.metrics import samples_of, sinks_for
from retrograd.distributed.server import Server, ServerOptions


@pytest.fixture(scope="module")
def statuses() -> Iterator[list[Status]]:
    """What the two servers of a run say when two workers have done three steps."""
    with serving(2, 2) as servers, clients(*servers) as members:
        start(*members)
        for _ in range(3):
            all_of(*(each.learn for each in members))
        all_of(*(each.barrier for each in members))
        yield [each.within(each.status) for each in servers]


def test_each_number_has_its_name_and_its_owner(statuses: list[Status]) -> None:
    found = {(each.name, each.labels): each for each in samples_of(statuses)}
    for server in "01":
        assert found["retrograd_updates_total", (("server", server),)].value == 3
        assert found["retrograd_received_bytes_total", (("server", server),)].value > 0
    for worker in "01":
        assert found["retrograd_worker_step", (("worker", worker),)].value == 3
        assert found["retrograd_worker_up", (("worker", worker),)].value == 1
    assert all(each.counts == each.name.endswith("_total") for each in found.values())
    assert ("retrograd_snapshot_age_seconds", (("server", "0"),)) not in found  # there is no snapshot


def test_prometheus_reads_them_over_http(statuses: list[Status]) -> None:
    pytest.importorskip("prometheus_client")
    [sink] = sinks_for(0, None, None)
    try:
        sink.take(statuses)
        with urllib.request.urlopen(sink.address) as answer:  # type: ignore[attr-defined]
            lines = answer.read().decode().splitlines()
    finally:
        sink.close()
    assert 'retrograd_updates_total{server="1"} 3.0' in lines
    assert 'retrograd_worker_step{worker="0"} 3.0' in lines
    assert "# TYPE retrograd_updates_total counter" in lines
    assert "# TYPE retrograd_memory_bytes gauge" in lines


def test_a_port_that_cannot_be_had_is_named() -> None:
    pytest.importorskip("prometheus_client")
    with pytest.raises(DistributedError, match="metrics cannot be served at port 99999"):
        sinks_for(99999, None, None)


def test_a_line_of_json_has_all_numbers(statuses: list[Status], tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    [sink] = sinks_for(None, path, None)
    sink.take(statuses)
    sink.take(statuses)  # less than a second later
    sink.close()
    [line] = map(json.loads, path.read_text().splitlines())
    assert line["server0"]["updates_total"] == line["server1"]["updates_total"] == 3
    assert line["worker1"]["step"] == 3
    assert line["time"] > 0


def test_a_loss_that_is_no_number_leaves_the_line_valid(statuses: list[Status], tmp_path: Path) -> None:
    first = statuses[0]
    losses = (float("nan"), float("inf"))
    workers = tuple(
        structs.replace(each, report=structs.replace(each.report, loss=loss))
        for each, loss in zip(first.workers, losses, strict=True)
    )
    path = tmp_path / "run.jsonl"
    [sink] = sinks_for(None, path, None)
    sink.take([structs.replace(first, workers=workers)])
    sink.close()
    line = json.loads(path.read_text(), parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    assert line["worker0"]["loss"] is line["worker1"]["loss"] is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_is_said_once_and_ends_nothing(
    statuses: list[Status], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    [sink] = sinks_for(None, Path("/dev/full"), None)
    sink.interval = 0.0
    for _ in range(3):
        sink.take(statuses)
    sink.close()
    [record] = caplog.records
    assert "the run's numbers cannot be written, and training goes on: [Errno 28]" in record.getMessage()


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DistributedError, match="cannot write metrics: "):
        sinks_for(None, tmp_path / "no" / "file", None)


def test_tensorboard_gets_event_files(statuses: list[Status], tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    [sink] = sinks_for(None, None, tmp_path)
    sink.take(statuses)
    sink.close()
    [path] = tmp_path.glob("events.out.tfevents.*")
    content = path.read_bytes()
    for tag in (b"retrograd_updates_total/0", b"retrograd_updates_total/1", b"retrograd_worker_step/1"):
        assert tag in content


@pytest.mark.parametrize(("interval", "times"), [(0.0, 5), (1e9, 1)])
def test_numbers_are_gathered_only_when_someone_takes_them(
    interval: float, times: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    [sink] = sinks_for(None, tmp_path / "run.jsonl", None)
    sink.interval = interval
    server, turns, asked = Server(ServerOptions(1)), iter(range(5)), []

    def turn(timeout: float) -> None:
        if next(turns) == 4:
            server.stop()

    def status(gather: Any = server.status) -> Status:
        asked.append(None)
        return gather()

    sink._written = -interval  # it is time
    monkeypatch.setattr(server, "turn", turn)
    monkeypatch.setattr(server, "status", status)
    server.serve([sink])
    sink.close()
    assert len(asked) == times
