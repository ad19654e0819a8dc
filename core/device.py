"""Devices, and which backend a new tensor goes to.

The choice, in order: an explicit `device=`; `with use_backend(...)`; `set_default_backend`; the
environment variable `RETROGRAD_BACKEND`; `backend` in `[tool.retrograd]` of the nearest
`pyproject.toml`, or in `retrograd.toml`; `numpy`.
"""

from __future__ import annotations

import functools
import os
import tomllib
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from retrograd.backends import registry
from retrograd.backends.spec import Kernels
from retrograd.ops.decompositions import complete

__all__ = [
    "current_kernels", "device", "get_default_backend", "get_default_device", "host_kernels", "kernels_of",
    "set_default_backend", "set_default_device", "use_backend",
]  # fmt: skip


class device:
    """A backend and one of its devices: `numpy:cpu`, `jax:gpu:0`.

    Written as `"jax"` (its default device), `"jax:gpu"`, `"jax:gpu:0"`, or in PyTorch's words: `"cpu"`
    is the current backend's CPU. On `"meta"` tensors have shapes, types and strides, and no elements. Devices of
    PyTorch's that are not here, as `"mps"`, can be named and compared; making a tensor on one raises. So can `"cuda"`,
    which is the current backend's GPU, if it has one.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.device("numpy")
    device(type='numpy:cpu')
    """

    __module__ = "retrograd"

    __slots__ = ("_kernels",)

    def __init__(self, type: str | device | Kernels = "", index: int | None = None) -> None:
        if isinstance(type, device):
            self._kernels: Kernels = type._kernels
        elif isinstance(type, Kernels):
            self._kernels = type.base
        else:
            self._kernels = _named(type if index is None or not isinstance(type, str) else f"{type}:{index}")

    @property
    def backend(self) -> str:
        return self._kernels.backend

    @property
    def type(self) -> str:
        return self._kernels.device.partition(":")[0]

    @property
    def index(self) -> int | None:
        number = self._kernels.device.partition(":")[2]
        return int(number) if number else None

    def __str__(self) -> str:
        return f"{self._prefix()}{self._kernels.device}"

    def _prefix(self) -> str:
        k: Any = self._kernels
        return "" if type(k) is _Absent or k.meta else f"{k.backend}:"

    def __repr__(self) -> str:
        index = self.index
        name = f"{self._prefix()}{self.type}"
        return f"device(type='{name}'{'' if index is None else f', index={index}'})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self._kernels is _named(other)
        return isinstance(other, device) and self._kernels is other._kernels

    def __hash__(self) -> int:
        return hash(self._kernels)

    def __enter__(self) -> device:
        _entered.set((*_entered.get(), kernels_of(self)))
        return self

    def __exit__(self, *exc_info: object) -> None:
        _entered.set(_entered.get()[:-1])


class _Absent:
    """What a device that is not here has in place of kernels."""

    backend = ""

    def __init__(self, name: str) -> None:
        self.device = name


_ABSENT = ("mps", "xpu", "xla", "hpu", "ipu", "mtia", "vulkan", "maia", "privateuseone")


def _named(where: Any) -> Any:
    """What a device of this name holds: a table of kernels, or an `_Absent`, which `kernels_of` refuses."""
    kind = where.partition(":")[0] if isinstance(where, str) else ""
    if kind in _ABSENT:
        return _absent(where)
    try:
        return kernels_of(where)
    except registry.BackendError:
        if kind != "cuda":
            raise
        return _absent(where)


@functools.cache
def _absent(name: str) -> _Absent:
    return _Absent(name)


# The blocks that this thread or task is in, innermost last. A tuple: tasks share what the variable holds.
_entered: ContextVar[tuple[Kernels, ...]] = ContextVar("retrograd.backend", default=())
_default: Kernels | None = None


_OF_CURRENT_BACKEND = ("cpu", "gpu", "tpu", "cuda")


def kernels_of(where: Any) -> Kernels:
    """The kernel table that `where` (a name, a device, a table, or None for the current one) means.

    A table of a level of `vmap` means that of its backend: a level is no place to put new tensors.
    """
    if isinstance(where, device):
        k: Any = where._kernels
        return kernels_of(k.device) if type(k) is _Absent else k  # the former raises, but where a backend has a GPU
    if where is None or where == "":
        return current_kernels()
    if isinstance(where, Kernels):
        return where.base
    if not isinstance(where, str):
        raise TypeError(f"device must be a string or a retrograd.device, not {type(where).__name__}")
    return _by_name(where, host_kernels() if where.partition(":")[0] in _OF_CURRENT_BACKEND else None)


@functools.lru_cache(maxsize=256)
def _by_name(where: str, current: Kernels | None) -> Kernels:
    if current is not None:
        return complete(registry.kernels(current.backend, where.replace("cuda", "gpu")))
    backend, _, name = where.partition(":")
    if where == "meta" or where == "meta:0":
        from retrograd.meta import TABLE  # which a program may never need

        return TABLE
    return complete(registry.kernels(backend, name))


registry.on_change.append(_by_name.cache_clear)


def current_kernels() -> Kernels:
    """The kernels of the backend that new tensors go to now."""
    entered = _entered.get()
    return entered[-1] if entered else _default or _configured()


def host_kernels() -> Kernels:
    """The same, but of the innermost that has elements: where a program on `meta` means the CPU to be."""
    for k in reversed((_default, *_entered.get())):
        if k is not None and not k.meta:
            return k
    return _configured()


@functools.cache
def _configured() -> Kernels:
    """The backend the environment or a configuration file asks for; NumPy if none does."""
    named = os.environ.get("RETROGRAD_BACKEND") or _from_files(Path.cwd()) or "numpy"
    backend, _, name = named.partition(":")
    return complete(registry.kernels(backend, name))


def _from_files(start: Path) -> str | None:
    for folder in (start, *start.parents):
        for file, table in (("retrograd.toml", ()), ("pyproject.toml", ("tool", "retrograd"))):
            path = folder / file
            if not path.is_file():
                continue
            try:
                content = tomllib.loads(path.read_text("utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise registry.BackendError(f"cannot read the backend from {path}: {error}") from error
            for key in table:
                content = content.get(key, {})
            if "backend" in content:
                if not isinstance(content["backend"], str):
                    raise registry.BackendError(f"'backend' in {path} must be a string, not {content['backend']!r}")
                return content["backend"]
            if file == "pyproject.toml":
                return None
    return None


def get_default_backend() -> str:
    """The backend, or backend and device, that new tensors go to: `"numpy"`."""
    k = current_kernels()
    return k.backend


def set_default_backend(name: str | None) -> None:
    """Have new tensors made on this backend, in every thread; None goes back to the configured one.

    Raises
    ------
    retrograd.BackendError
        If there is no such backend, or its library is missing.
    """
    global _default
    _default = None if name is None else kernels_of(name)


def get_default_device() -> device:
    """The device that new tensors go to."""
    return device(current_kernels())


def set_default_device(where: str | device | None) -> None:
    """PyTorch's name for `set_default_backend`."""
    global _default
    _default = None if where is None else kernels_of(where)


class use_backend:
    """Make new tensors on another backend, inside a `with` block, in this thread or task.

    Examples
    --------
    >>> import retrograd
    >>> with retrograd.use_backend("numpy"):
    ...     retrograd.ones(2).device
    device(type='numpy:cpu')
    """

    __slots__ = ("_device",)

    def __init__(self, name: str) -> None:
        self._device = device(name)

    def __enter__(self) -> device:
        return self._device.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        self._device.__exit__(*exc_info)
