"""Keys: their files, who may use them for what, and the commands that make them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest
import zmq
import zmq.auth

from retrograd.distributed import keys_cli, security, transport
from retrograd.distributed.errors import DistributedError, Refused
from retrograd.distributed.security import ClientKeys, Keyring, ServerKeys, check_bind, new_key, new_keys

posix = pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever changes in a keys folder counts at once, and not a second later."""
    monkeypatch.setattr(security, "_LOOK_EVERY", 0.0)


def worker(folder: Path, rank: int = 0) -> ClientKeys:
    return ClientKeys.read(folder, "worker", rank)


# ---- as whom -----------------------------------------------------------------------------------------------


def test_a_key_is_one_role_s_and_one_worker_s(folder: Path) -> None:
    new_key(folder, "pool", "worker", "2-4,7")
    new_key(folder, "any", "worker", "*")
    keyring = Keyring(folder)
    keyring.allows("worker-1", "worker", 1)
    keyring.allows("pool", "worker", 7)
    keyring.allows("any", "worker", 4095)
    keyring.allows("launcher", "launcher")
    keyring.allows("server", "server")
    with pytest.raises(Refused, match="'worker-1' is for ranks 1, and this process says it is worker 0: use the key"):
        keyring.allows("worker-1", "worker", 0)
    for rank in (0, 5, 6, 8, None):
        with pytest.raises(Refused, match="for ranks 2-4,7"):
            keyring.allows("pool", "worker", rank)
    with pytest.raises(Refused, match="'worker-1' is a worker's, and this process says it is a launcher"):
        keyring.allows("worker-1", "launcher")
    with pytest.raises(Refused, match="'launcher' is a launcher's, and this process says it is a worker"):
        keyring.allows("launcher", "worker", 0)
    for user, who in ((None, "a process without a key"), ("", "a process without a key"), ("mallory", "'mallory'")):
        with pytest.raises(Refused, match=f"{who} is not on the server's list"):
            keyring.allows(user, "worker", 0)


# ---- where a server may listen -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["tcp://*:5555", "tcp://0.0.0.0:*", "tcp://0:5555", "tcp://192.0.2.7:5555", "tcp://[::]:5555", "tcp://eth0:5555",
     "tcp://[fe80::1]:5555", "tcp://host.example:5555"],
)  # fmt: skip
def test_without_keys_no_other_machine_may_connect(address: str, folder: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with pytest.raises(Refused, match=r"`retrograd keys new DIR` and say --keys DIR; or use tcp://127.0.0.1:\*; or"):
        transport.listen(context, address)
    context.term()
    check_bind(address, ServerKeys.read(folder), insecure=False)
    check_bind(address, None, insecure=True)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:*", "tcp://127.8.9.10:5555", "tcp://[::1]:5555", "ipc:///tmp/s"])
def test_on_this_machine_nothing_is_needed(address: str) -> None:
    check_bind(address, None, insecure=False)


# ---- files -------------------------------------------------------------------------------------------------


@posix
def test_only_the_owner_can_read_a_new_secret(tmp_path: Path) -> None:
    before = os.umask(0)  # the most careless one
    try:
        new_keys(tmp_path / "keys", workers=1)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()}
    assert modes == {
        "server.key_secret": 0o600, "launcher.key_secret": 0o600, "worker-0.key_secret": 0o600,
        "server.key": 0o644, "launcher.key": 0o644, "worker-0.key": 0o644,
    }  # fmt: skip
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_secret_that_others_can_read_is_refused(folder: Path, mode: int) -> None:
    (folder / "server.key_secret").chmod(mode)
    (folder / "worker-0.key_secret").chmod(mode)
    with pytest.raises(Refused, match=r"server.key_secret \(mode \d+\): say chmod 600"):
        ServerKeys.read(folder)
    with pytest.raises(Refused, match=r"secret key .*/\w+(-0)?.key_secret \(mode \d+\): say chmod 600"):
        worker(folder)


@pytest.mark.usefixtures("at_once")
@posix
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
@pytest.mark.parametrize("what", ["", "worker-0.key"])
def test_a_list_that_others_can_change_is_refused(folder: Path, what: str, mode: int) -> None:
    keyring = Keyring(folder)
    (folder / what).chmod(mode)
    with pytest.raises(Refused, match="they could decide who gets in: say chmod go-w"):
        ServerKeys.read(folder)
    with pytest.raises(Refused, match="they could decide who gets in"):
        worker(folder)
    with pytest.raises(Refused):  # while a server runs, too
        keyring.allows("worker-0", "worker", 0)


def test_no_key_is_overwritten(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DistributedError, match=r"server.key exists, and a key is never overwritten"):
        new_keys(folder, workers=4)
    with pytest.raises(DistributedError, match=r"worker-1.key exists"):
        new_key(folder, "worker-1", "worker", "1")
    (folder / "launcher.key").unlink()
    with pytest.raises(DistributedError, match=r"launcher.key_secret exists"):
        new_key(folder, "launcher", "launcher")
    assert {path: path.read_bytes() for path in folder.iterdir()}.items() <= before.items()


def test_no_secret_is_written_where_a_link_points(tmp_path: Path) -> None:
    keys, elsewhere = tmp_path / "keys", tmp_path / "elsewhere"
    keys.mkdir(mode=0o700)
    (keys / "worker-0.key_secret").symlink_to(elsewhere)
    with pytest.raises(DistributedError, match=r"worker-0.key_secret cannot be written"):
        new_key(keys, "worker-0", "worker", "0")
    assert not elsewhere.exists()
    assert not (keys / "worker-0.key").exists()


def test_other_tools_can_read_the_files(folder: Path) -> None:
    public, secret = zmq.auth.load_certificate(folder / "worker-0.key_secret")
    assert secret is not None
    assert zmq.curve_public(secret) == public
    assert zmq.auth.load_certificate(folder / "worker-0.key") == (public, None)


def test_no_secret_is_shown(folder: Path) -> None:
    for keys in (worker(folder), ServerKeys.read(folder)):
        assert "secret=" not in repr(keys)
        assert repr(keys.secret) not in repr(keys)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('role = "worker"', 'role = "king"', "role = 'king' must be one of worker, launcher, server"),
        ('ranks = "0"', "", "says which `ranks` may use it"),
        ('ranks = "0"', 'ranks = "0-"', "ranks = '0-' cannot be read"),
        ('ranks = "0"', 'ranks = "-1"', "ranks = '-1' cannot be read"),
        ('role = "worker"', 'role = "server"', "and no other key does"),
        ("public-key", "pubic-key", "public-key is not 40 characters of Z85"),
        ('public-key = "', 'public-key = "x', "public-key is not 40 characters of Z85"),
        ("curve\n", 'curve\n    secret-key = "x"\n', "holds a secret key, which must not be passed around"),
    ],
)
def test_a_file_that_is_no_key_is_an_error_at_the_start(folder: Path, old: str, new: str, text: str) -> None:
    path = folder / "worker-0.key"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DistributedError, match=r"worker-0.key is no key file") as caught:
        Keyring(folder)
    assert text in str(caught.value)


@pytest.mark.parametrize("name", ["", ".hidden", "a b", "../up", "x" * 65, "é"])
def test_names_of_keys(tmp_path: Path, name: str) -> None:
    with pytest.raises(DistributedError, match="no name for a key"):
        new_key(tmp_path / "keys", name, "launcher")
    assert not (tmp_path / "keys").exists()


def test_halves_that_do_not_fit(folder: Path) -> None:
    path, other = folder / "worker-0.key_secret", folder / "worker-1.key_secret"
    head, _ = path.read_text().split("    secret-key")
    _, tail = other.read_text().split("    secret-key")
    path.write_text(head + "    secret-key" + tail)
    with pytest.raises(DistributedError, match="its public key does not belong to its secret key"):
        worker(folder)


def test_which_key_a_process_takes(folder: Path) -> None:
    assert worker(folder, 1).key.name == "worker-1"
    assert ClientKeys.read(folder, "launcher").key.role == "launcher"
    assert ClientKeys.read(folder / "worker-0.key_secret", "worker", 0).key.name == "worker-0"
    there = "launcher.key_secret of a launcher, server.key_secret of a server, worker-0.key_secret of worker 0, "
    with pytest.raises(DistributedError, match=rf"no secret key for worker 2 is in .* \(there is {there}.*\): copy"):
        worker(folder, 2)
    path = folder / "worker-1.key_secret"
    with pytest.raises(DistributedError, match=r"\(there is worker-1.key_secret of worker 1\): copy its NAME"):
        ClientKeys.read(path, "worker", 0)
    new_key(folder, "spare", "worker", "0-9")
    with pytest.raises(DistributedError, match=r"several secret keys for worker 0 \(spare.key_secret, worker-0"):
        worker(folder, 0)
    assert worker(folder, 2).key.name == "spare"
    with pytest.raises(DistributedError, match="cannot be read"):
        ClientKeys.read(folder / "missing.key_secret", "worker", 0)
    (folder / "server.key").unlink()
    with pytest.raises(DistributedError, match=r"the public key of the server must be in .* and there is none"):
        worker(folder, 2)


def test_what_a_server_needs(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DistributedError, match=r"`retrograd keys new .*nowhere` makes one"):
        ServerKeys.read(tmp_path / "nowhere")
    new_keys(tmp_path / "alone", workers=0)
    (tmp_path / "alone" / "launcher.key").unlink()
    with pytest.raises(DistributedError, match="so nobody could connect"):
        ServerKeys.read(tmp_path / "alone")
    (folder / "server.key_secret").unlink()
    with pytest.raises(DistributedError, match="no secret key for a server"):
        ServerKeys.read(folder)


# ---- the library -------------------------------------------------------------------------------------------


def test_an_old_libzmq_is_refused() -> None:
    security._check_zmq((4, 3, 3))
    with pytest.raises(ImportError, match=r"libzmq 4.3.2 .* needs 4.3.3 or later: pip install --upgrade pyzmq"):
        security._check_zmq((4, 3, 2))


def test_a_libzmq_without_curve_is_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq, "has", lambda capability: False)
    for attempt in (
        lambda: new_keys(tmp_path / "new", workers=1),
        lambda: ServerKeys.read(folder),
        lambda: worker(folder),
    ):
        with pytest.raises(DistributedError, match="built without CURVE"):
            attempt()


# ---- the command -------------------------------------------------------------------------------------------


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    keys_cli.add_commands(parser.add_subparsers())
    options = parser.parse_args(["keys", *arguments])
    code: int = options.run(options)
    return code


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "keys")
    assert command("new", folder, "--workers", "1") == 0
    assert command("add", folder, "pool", "--ranks", "1-3") == 0
    made = capsys.readouterr().out
    assert "RETROGRAD_KEYS" in made
    (tmp_path / "keys" / "pool.key_secret").unlink()
    assert command("list", folder) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:3] for row in table[1:]] == [
        ["launcher", "launcher", "-"],
        ["pool", "worker", "1-3"],
        ["server", "server", "-"],
        ["worker-0", "worker", "0"],
    ]
    fingerprints = {key.name: key.fingerprint for key in Keyring(folder)}
    for name, _, _, fingerprint, *here in table[1:]:
        assert fingerprint == fingerprints[name]
        assert fingerprint in made
        assert bool(here) == (name != "pool")
    with pytest.raises(DistributedError, match="never overwritten"):
        command("new", folder)
    with pytest.raises(DistributedError, match="says which `ranks`"):
        command("add", folder, "nobody")
    with pytest.raises(SystemExit):
        command("new", str(tmp_path / "other"), "--workers", "-1")
