"""Options that cannot be: one line says which it is and what is right, the exit code is 2, and nothing is started."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest
from ps_harness import clients, serving

from retrograd.distributed import addresses, cli
from retrograd.distributed.cli import main
from retrograd.distributed.errors import DistributedError

LAUNCH = {
    "--staleness nan": "--staleness: must be a number of steps, 'sync' or 'async', and is 'nan'",
    "--staleness x": "--staleness: must be a number of steps, 'sync' or 'async', and is 'x'",
    "--staleness 1.5": "--staleness: must be a number of steps, 'sync' or 'async', and is '1.5'",
    "--staleness=-inf": "--staleness: must be a number of steps, 'sync' or 'async', and is '-inf'",
    "--backups -1": "--backups: must be a whole number of at least 0, and is '-1'",
    "--backups x": "--backups: must be a whole number of at least 0, and is 'x'",
    "--backups 2": "2 backup workers leave none of 2 to wait for: 1 is the most",
    "--staleness 2 --backups 1": "backup workers are for steps that all do together, so for a staleness of 0",
    "--deterministic --staleness inf": "a deterministic run needs a bound on staleness, since with none speed decides",
    "--scale-rate": "scaling by staleness needs a staleness",
    "--clip nan": "--clip: must be a number from 0 on, and is 'nan'",
    "--clip x": "--clip: must be a number from 0 on, and is 'x'",
    "--recovery -1": "--recovery: must be a number from 0 on, and is '-1'",
    "--compression gzip": "--compression: no codec is called 'gzip'",
    "--compression topk:2": "--compression: 'topk:' goes before a fraction from 0 to 1, not before '2'",
    "--slice-bytes nan": "--slice-bytes: 'nan' is no number of bytes: write 4096, 64k, 100M or 2G",
    "--budget 1e30G": "--budget: '1e30G' is no number of bytes: write 4096, 64k, 100M or 2G",
    "--every 0": "--every: must be a whole number of at least 1, and is '0'",
    "--keep 1.5": "--keep: must be a whole number of at least 1, and is '1.5'",
    "--durable": "--durable keeps a journal beside the snapshots: say where with --snapshots DIR",
    "--resume": "--resume goes on from snapshots: say where they are with --snapshots DIR",
    "--restarts -1": "--restarts: must be a whole number of at least 0, and is '-1'",
    "--workers 0": "--workers: must be a whole number from 1 to 16384, and is '0'",
    "--workers 1e9": "--workers: must be a whole number from 1 to 16384, and is '1e9'",
    "--servers x": "--servers: must be a whole number from 1 to 1024, and is 'x'",
    "--metrics 99999": "--metrics: must be a whole number from 0 to 65535, and is '99999'",
    "--bind nonsense": "--bind: 'nonsense' is no address to listen at: it must look like tcp://127.0.0.1:5555",
    "--bind tcp://127.0.0.1:99999": "'tcp://127.0.0.1:99999' is no address to listen at",
    "--bind tcp://127.0.0.1:-1": "'tcp://127.0.0.1:-1' is no address to listen at",
    "--bind inproc://x": "'inproc://x' is no address to listen at",
    "--bind tcp://0.0.0.0:*": "tcp://0.0.0.0:* can be reached from other machines",
    "--servers 2 --bind tcp://127.0.0.1:5555": "2 servers cannot share a port: say tcp://127.0.0.1:* for a free one",
    "--keys /nowhere/keys": "the keys folder /nowhere/keys cannot be read",
    "--backend abacus": "unknown backend 'abacus'; available: ",
}

COMMANDS = ("launch", "server", "worker", "status", "doctor", "keys", "keys new", "keys list")

OTHERS = {
    "": "the following arguments are required: COMMAND; see retrograd --help\n",
    "launch": "the following arguments are required: script; see retrograd launch --help\n",
    "worker --connect tcp://127.0.0.1:1": "the following arguments are required: script; see retrograd worker --help\n",
    "worker --connect tcp://127.0.0.1:1 x.py": "say --rank N and --world-size N: which worker this is, and of how many",
    "worker --connect tcp://127.0.0.1:1 --rank 0 x.py": "say --world-size N: which worker this is",
    "launch --workers 1 no_such_script.py": "there is no script no_such_script.py",
    "server": "the following arguments are required: --world-size",
    "server --world-size x": "--world-size: must be a whole number from 1 to 16384, and is 'x'",
    "server --world-size 1 --shard 5/2": "must be K/N with K from 0 to N - 1, and N at most 1024, and is '5/2'",
    "server --world-size 1 --shard 0/99999": "--shard: must be K/N with K from 0 to N - 1, and N at most 1024",
    "server --world-size 1 --shard 1/2": "server 1 of 2 must know where server 0 listens: say --lead ADDRESS",
    "server --world-size 1 --shard 1/2 --lead x": "--lead: 'x' is no address to connect to",
    "server --world-size 1 --backups 1": "1 backup workers leave none of 1 to wait for: 0 is the most",
    "server --world-size 1 --bind tcp://*:5555": "tcp://*:5555 can be reached from other machines",
    "server --world-size 1 --backend abacus": "unknown backend 'abacus'; available: ",
    "server --world-size 1 --resume": "--resume goes on from snapshots",
    "worker --connect nonsense --rank 0 --world-size 1 x.py": "RETROGRAD_SERVERS='nonsense': 'nonsense' is no address",
    "worker --connect tcp://127.0.0.1:1, --rank 0 --world-size 1 x.py": "'' is no address to connect to",
    "worker --connect tcp://127.0.0.1:1 --rank x --world-size 1 x.py": "RETROGRAD_RANK='x' is not an integer",
    "worker --connect tcp://127.0.0.1:1 --rank 1 --world-size 1 x.py": "RETROGRAD_RANK=1 is not a rank of a run with",
    "worker --connect tcp://127.0.0.1:1 --rank 0 --world-size 1 x.py": "there is no script x.py",
    "status nonsense": "ADDRESS: 'nonsense' is no address to connect to",
    "doctor tcp://127.0.0.1:*": "ADDRESS: 'tcp://127.0.0.1:*' is no address to connect to",
    "keys new keys --workers -1": "--workers: must be a whole number of at least 0, and is '-1'",
    "keys list /nowhere/keys": "there is no keys folder /nowhere/keys: `retrograd keys new /nowhere/keys` makes one",
    "nonsense": "invalid choice: 'nonsense'",
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands set variables, which must not outlive a test."""
    for name in ("RANK", "WORLD_SIZE", "SERVERS", "RUN", "KEYS", "TIMEOUT"):
        monkeypatch.setenv(f"RETROGRAD_{name}", "")
        monkeypatch.delenv(f"RETROGRAD_{name}")


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that the command says to arguments which cannot be."""
    try:
        code: object = main(arguments)
    except SystemExit as end:
        code = end.code
    output = capsys.readouterr()
    assert (code, output.out) == (2, "")
    who, _, text = output.err.partition(": error: ")
    assert who in ("retrograd", *(f"retrograd {command}" for command in COMMANDS))
    assert text.count("\n") == 1
    return text


@pytest.mark.parametrize("options", LAUNCH)
def test_a_run_is_not_launched(options: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("raise AssertionError('it was started')")
    assert LAUNCH[options] in refused(["launch", *options.split(), str(script)], capsys)


@pytest.mark.parametrize("command", OTHERS)
def test_a_command_is_refused(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert OTHERS[command] in refused(command.split(), capsys)


@pytest.mark.parametrize("seconds", ["nan", "-1", "0", "x", ""])
def test_a_timeout_that_is_none_is_refused(
    seconds: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETROGRAD_TIMEOUT", seconds)
    assert f"RETROGRAD_TIMEOUT='{seconds}' is not a positive number" in refused(["server", "--world-size", "1"], capsys)


@pytest.mark.parametrize("run", ["parser", "command"])
def test_an_interrupt_is_no_traceback(
    run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, {"parser": "_parser", "command": "_backends"}[run], interrupt)
    assert main(["backends"]) == 130
    assert capsys.readouterr() == ("", "")


# ---- addresses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1:1", "tcp://host.name:65535", "tcp://[fe80::1%eth0]:5555", "ipc:///tmp/s", "tcp://eth0:5555"],
)
def test_what_is_an_address(address: str) -> None:
    assert addresses.checked(address) == addresses.checked(address, to_listen=True) == address


@pytest.mark.parametrize(
    "address",
    ["", "tcp://", "tcp://:5555", "tcp://a:b", "tcp://a:65536", "tcp://a:5 ", "tcp://a/b:5", "ipc://", "127.0.0.1:5",
     "tcp://::1:5555", "udp://a:5", "tcp://a:1;b:2", "tcp://a:+5", "tcp://a:٥"],
)  # fmt: skip
def test_what_is_none(address: str) -> None:
    for to_listen in (False, True):
        with pytest.raises(DistributedError, match="is no address to "):
            addresses.checked(address, to_listen=to_listen)


@pytest.mark.parametrize("address", ["tcp://*:5555", "tcp://127.0.0.1:*", "tcp://127.0.0.1:0"])
def test_what_is_one_to_listen_at_only(address: str) -> None:
    assert addresses.checked(address, to_listen=True) == address
    with pytest.raises(DistributedError, match="is no address to connect to"):
        addresses.checked(address)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_a_run_over_ipv6() -> None:
    with serving(1, 2, bind="tcp://[::1]:*") as servers, clients(*servers) as [client]:
        assert all(each.address.startswith("tcp://[::1]:") for each in servers)
        client.begin(1.0)
        np.testing.assert_array_equal(client.learn(1.0)[0], 0.5)
