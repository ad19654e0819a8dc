"""`hub`: what is on this machine, and that nothing is fetched."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import retrograd
from retrograd import hub

CONFIGURATION = '''
dependencies = ["json"]
from neighbour import SIZE
def layer(out, bias=True):
    """A layer."""
    import retrograd
    return retrograd.nn.Linear(SIZE, out, bias=bias)
def _own():
    pass
'''


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "hub" / "owner_name_main"
    folder.mkdir(parents=True)
    (folder / "hubconf.py").write_text(CONFIGURATION)
    (folder / "neighbour.py").write_text("SIZE = 4\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(tmp_path))
        yield folder
    sys.modules.pop("neighbour", None)


def test_repositories(repository: Path) -> None:
    assert hub.load(str(repository), "layer", 2, source="local", bias=False).weight.shape == (2, 4)
    assert hub.load("owner/name", "layer", 3).weight.shape == (3, 4)
    assert hub.load("owner/name:main", "layer", out=1).weight.shape == (1, 4)
    assert hub.list("owner/name") == ["layer"]
    assert hub.help(str(repository), "layer", source="local") == "A layer."
    with pytest.raises(RuntimeError, match="Cannot find callable absent in hubconf"):
        hub.load("owner/name", "absent")
    with pytest.raises(ValueError, match='Unknown source: "there"'):
        hub.load("owner/name", "layer", source="there")
    with pytest.raises(
        RuntimeError, match=r"fetches nothing from the network, and the repository other/name is not in"
    ):
        hub.load("other/name", "layer")
    (repository / "hubconf.py").write_text("dependencies = ['no_such_package']\ndef layer(): pass\n")
    with pytest.raises(RuntimeError, match="Missing dependencies: no_such_package"):
        hub.load("owner/name", "layer")


def test_weights(repository: Path, tmp_path: Path) -> None:
    retrograd.save({"weight": retrograd.ones(2)}, tmp_path / "weights.pt")
    digest = hashlib.sha256((tmp_path / "weights.pt").read_bytes()).hexdigest()
    named = tmp_path / f"weights-{digest[:8]}.pt"
    (tmp_path / "weights.pt").rename(named)
    with pytest.raises(RuntimeError, match=r"put what is at https://example\.org/a\.pt into the file .*a\.pt yourself"):
        hub.load_state_dict_from_url("https://example.org/a.pt")
    assert hub.load_state_dict_from_url(named.as_uri(), check_hash=True)["weight"].tolist() == [1.0, 1.0]
    assert (Path(hub.get_dir()) / "checkpoints" / named.name).exists()
    again = retrograd.utils.model_zoo.load_url(f"https://example.org/{named.name}", weights_only=True)
    assert again["weight"].tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="invalid hash value"):
        hub.download_url_to_file(named.as_uri(), tmp_path / "b", "0" * 8 if digest[0] != "0" else "1")
    assert not (tmp_path / "b").exists()


def test_the_folder(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(tmp_path))
        assert Path(hub.get_dir()) == tmp_path / "hub"
        patch.setattr(hub, "_dir", None)
        hub.set_dir(tmp_path)
        assert Path(hub.get_dir()) == tmp_path


def test_progress_is_a_line_where_no_package_shows_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    from retrograd.utils.model_zoo import tqdm

    with tqdm(total=8, unit="B", disable=False) as shown:
        shown.set_description("weights")
        shown.update(2)
        shown.update(6)
    with tqdm() as endless:
        endless.update(3)
        endless.close()
        endless.update(3)
    tqdm(disable=True).update(1)
    tqdm().write("said")
    assert capsys.readouterr().err == "\r25.0%\r100.0%\n\r3.0 bytessaid\n"
