"""Models from folders with a `hubconf.py`, and weights by their address, as far as they are on this machine.

Nothing is fetched from the network: what a cache folder does not have is refused.

Source: https://docs.pytorch.org/docs/stable/hub.html
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, Self
from urllib.parse import unquote, urlparse

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")
_CONFIGURATION = "hubconf.py"
_dir: str | None = None


def _get_torch_home() -> str:
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    return os.path.expanduser(os.getenv("TORCH_HOME", os.path.join(cache, "torch")))


def get_dir() -> str:
    """The folder of repositories and weights: that of `set_dir`, or `$TORCH_HOME/hub`.

    Source: https://docs.pytorch.org/docs/stable/hub.html#torch.hub.get_dir
    """
    return os.path.join(_get_torch_home(), "hub") if _dir is None else _dir


def set_dir(d: str | os.PathLike[str]) -> None:
    """Set the folder of repositories and weights.

    Source: https://docs.pytorch.org/docs/stable/hub.html#torch.hub.set_dir
    """
    global _dir
    _dir = os.path.expanduser(d)


# -- progress --------------------------------------------------------------------------------------


class _Faketqdm:
    """What programs find as `tqdm` here where that package is not installed: a line with how much has come."""

    def __init__(self, total: float | None = None, disable: bool = False, *_: object, **__: object) -> None:
        self.total, self.disable, self.n = total, disable, 0.0

    def update(self, n: float = 1) -> None:
        """Add to what has come, and show it."""
        if not self.disable:
            self.n += n
            text = f"{self.n:.1f} bytes" if self.total is None else f"{100 * self.n / self.total:.1f}%"
            print(f"\r{text}", end="", file=sys.stderr, flush=True)

    def set_description(self, *_: object, **__: object) -> None:
        """Nothing: there is no room for it."""

    def write(self, s: object) -> None:
        """Print a line."""
        print(s, file=sys.stderr)

    def close(self) -> None:
        """Show nothing any more."""
        self.disable = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if not self.disable:
            print(file=sys.stderr)


def __getattr__(name: str) -> Any:
    """Import `tqdm` when first asked for, which only other packages do."""
    if name != "tqdm":
        raise AttributeError(f"module 'retrograd.hub' has no attribute {name!r}")
    try:
        return importlib.import_module("tqdm").tqdm
    except ImportError:
        return _Faketqdm


# -- repositories ----------------------------------------------------------------------------------


@contextmanager
def _importable(folder: str) -> Iterator[None]:
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _folder(repo_or_dir: str, source: str) -> str:
    source = source.lower()
    if source not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source == "local":
        return repo_or_dir
    repository, _, branch = repo_or_dir.partition(":")
    owner, _, name = repository.partition("/")
    branches = (branch,) if branch else ("main", "master")
    folders = [os.path.join(get_dir(), f"{owner}_{name}_{each.replace('/', '_')}") for each in branches]
    found = next((each for each in folders if os.path.isdir(each)), None)
    if found is None:
        raise RuntimeError(
            f"retrograd.hub fetches nothing from the network, and the repository {repo_or_dir} is not in the cache "
            f"({get_dir()}): fetch it yourself and call with source='local' and its folder"
        )
    return found


@contextmanager
def _configuration(folder: str) -> Iterator[ModuleType]:
    """The module of a repository, which may import its neighbours."""
    with _importable(folder):
        path = os.path.join(folder, _CONFIGURATION)
        spec = importlib.util.spec_from_file_location("hubconf", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


def _entry(module: ModuleType, name: Any) -> Callable[..., Any]:
    if not isinstance(name, str):
        raise ValueError("Invalid input: model should be a str of function name")
    missing = [each for each in getattr(module, "dependencies", ()) if importlib.util.find_spec(each) is None]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
    function = getattr(module, name, None)
    if not callable(function):
        raise RuntimeError(f"Cannot find callable {name} in hubconf")
    return function


def load(
    repo_or_dir: str, model: str, *args: Any, source: str = "github", trust_repo: Any = None,
    force_reload: bool = False, verbose: bool = True, skip_validation: bool = False, **kwargs: Any,
) -> Any:  # fmt: skip
    """What the function `model` of a repository's `hubconf.py` gives for the other arguments.

    Parameters
    ----------
    repo_or_dir
        A folder, if `source` is `"local"`; else ``owner/name[:branch]``, which must be in the cache.
    trust_repo, force_reload, verbose, skip_validation
        Accepted for PyTorch's sake.

    Raises
    ------
    ValueError
        If the source is another.
    RuntimeError
        If the repository is not here, or has no such function, or something it needs is missing.

    Source: https://docs.pytorch.org/docs/stable/hub.html#torch.hub.load
    """
    with _configuration(_folder(repo_or_dir, source)) as module:
        return _entry(module, model)(*args, **kwargs)


def list(
    github: str, force_reload: bool = False, skip_validation: bool = False, trust_repo: Any = None,
    verbose: bool = True, source: str = "github",
) -> Any:  # fmt: skip
    """The names of all functions of a repository's `hubconf.py`; see `load`.

    Source: https://docs.pytorch.org/docs/stable/hub.html#torch.hub.list
    """
    with _configuration(_folder(github, source)) as module:
        return [each for each in dir(module) if callable(getattr(module, each)) and not each.startswith("_")]


def help(
    github: str, model: str, force_reload: bool = False, skip_validation: bool = False, trust_repo: Any = None,
    source: str = "github",
) -> str | None:  # fmt: skip
    """The docstring of a function of a repository's `hubconf.py`; see `load`.

    Source: https://docs.pytorch.org/docs/stable/hub.html#torch.hub.help
    """
    with _configuration(_folder(github, source)) as module:
        return _entry(module, model).__doc__


# -- weights ---------------------------------------------------------------------------------------


def _not_fetched(url: str, wanted: str) -> NoReturn:
    raise RuntimeError(
        f"retrograd.hub fetches nothing from the network: put what is at {url} into the file {wanted} yourself"
    )


def download_url_to_file(
    url: str, dst: str | os.PathLike[str], hash_prefix: str | None = None, progress: bool = True
) -> None:
    """Copy a file of a ``file:`` address.

    Raises
    ------
    RuntimeError
        If the address is another, or the hash of the file does not begin so.

    Source: https://docs.pytorch.org/docs/stable/hub.html#torch.hub.download_url_to_file
    """
    parts = urlparse(url)
    if parts.scheme != "file":
        _not_fetched(url, os.fspath(dst))
    content = Path(unquote(parts.path))
    digest = hashlib.sha256(content.read_bytes()).hexdigest()
    if hash_prefix and not digest.startswith(hash_prefix):
        raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{digest}")')
    shutil.copyfile(content, dst)


def load_state_dict_from_url(
    url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True, check_hash: bool = False,
    file_name: str | None = None, weights_only: bool = False,
) -> Any:  # fmt: skip
    """Load a file by its address, which must be one of ``file:`` or in the folder of weights.

    Parameters
    ----------
    model_dir
        The folder; by default ``checkpoints`` in that of `get_dir`.
    check_hash
        Whether the hash of a file that is copied must begin as its name says.
    file_name
        The name in the folder; by default that in the address.

    Raises
    ------
    RuntimeError
        If the file is not here.

    Source: https://docs.pytorch.org/docs/stable/hub.html#torch.hub.load_state_dict_from_url
    """
    from retrograd.serialization import load as load_file

    folder = os.path.join(get_dir(), "checkpoints") if model_dir is None else model_dir
    os.makedirs(folder, exist_ok=True)
    name = os.path.basename(urlparse(url).path) if file_name is None else file_name
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        found = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, path, found[1] if found else None, progress)
    return load_file(path, map_location=map_location, weights_only=weights_only)
