"""Finds backends and makes their kernel tables, once each.

Everything here runs when a backend is first named; the result is cached, and no operator comes
back to this module.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from retrograd.backends.spec import OPTIONAL, PROJECT, REQUIRED, Backend, BackendSpec, Hooks, Kernels

__all__ = ["BackendError", "available", "kernels", "load", "plugin_manager", "register"]

_lock = threading.RLock()


class BackendError(RuntimeError):
    """A backend that does not exist, cannot be imported or does not keep the contract."""


@functools.cache
def plugin_manager() -> pluggy.PluginManager:
    """The manager with every plugin of the entry-point group `retrograd`, built-in ones included."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    for entry_point in sorted(entry_points(group=PROJECT), key=lambda each: each.name):
        _load_plugin(manager, entry_point)
    return manager


def _load_plugin(manager: pluggy.PluginManager, entry_point: EntryPoint) -> None:
    """Register one plugin. A broken one is named in a warning, and the others work on."""
    try:
        manager.register(entry_point.load(), entry_point.name)
    except Exception as error:
        distribution = entry_point.dist.name if entry_point.dist is not None else "?"
        warnings.warn(
            f"retrograd plugin {entry_point.name!r} ({entry_point.value}, of package {distribution!r}) is ignored, "
            f"because it cannot be loaded: {type(error).__name__}: {error}",
            RuntimeWarning,
            stacklevel=2,
        )


def register(plugin: object, name: str | None = None) -> Callable[[], None]:
    """Register a plugin object or module by hand, for tests and notebooks; returns what undoes it."""
    manager = plugin_manager()
    manager.register(plugin, name)
    _forget()

    def unregister() -> None:
        manager.unregister(plugin)
        _forget()

    return unregister


def _forget() -> None:
    for cached in (_specs, load, kernels):
        cached.cache_clear()


@functools.cache
def _specs() -> Mapping[str, tuple[BackendSpec, str]]:
    """Every backend's spec and the plugin it comes from, by name."""
    manager = plugin_manager()
    found: dict[str, tuple[BackendSpec, str]] = {}
    for implementation in manager.hook.retrograd_backends.get_hookimpls():
        for spec in implementation.function():
            if not isinstance(spec, BackendSpec):
                raise BackendError(
                    f"plugin {implementation.plugin_name!r} yields {spec!r} from retrograd_backends; "
                    f"it must yield retrograd.backends.spec.BackendSpec records"
                )
            if spec.name in found:
                raise BackendError(
                    f"two plugins offer a backend named {spec.name!r}: {found[spec.name][1]!r} and "
                    f"{implementation.plugin_name!r}; uninstall one of them"
                )
            found[spec.name] = (spec, implementation.plugin_name)
    return found


def available() -> dict[str, str]:
    """The names of all backends, each with the plugin that offers it."""
    return {name: plugin for name, (_, plugin) in sorted(_specs().items())}


@functools.cache
def load(name: str) -> Backend:
    """Import a backend's library.

    Raises
    ------
    BackendError
        If there is none of this name, or its library cannot be imported.
    """
    with _lock:
        try:
            spec, plugin = _specs()[name]
        except KeyError:
            raise BackendError(_unknown(name)) from None
        try:
            return spec.load()
        except ImportError as error:
            how = f"; install it with: {spec.install}" if spec.install else ""
            raise BackendError(
                f"backend {name!r} (plugin {plugin!r}) cannot be loaded: {error}{how}"
            ) from error


def _unknown(name: str) -> str:
    return (
        f"unknown backend {name!r}; available: {', '.join(map(repr, available()))}. A backend comes as a Python "
        f"package with an entry point in the group 'retrograd': install it with pip, or check the spelling"
    )


@functools.cache
def kernels(backend: str, device: str = "") -> Kernels:
    """The kernel table of one device, complete and with all plugins' overrides applied.

    Parameters
    ----------
    backend
        A backend's name.
    device
        A device's name as the backend gives it, `"gpu:0"`; a bare kind means its first device,
        and an empty string the backend's default.
    """
    with _lock:
        loaded = load(backend)
        table = loaded.kernels(_match_device(backend, loaded.devices(), device))
        _override(table)
        missing = sorted(name for name in REQUIRED if name not in table.__dict__)
        if missing:
            raise BackendError(
                f"backend {backend!r} (plugin {available()[backend]!r}) lacks required kernels: {', '.join(missing)}"
            )
        return table


def _match_device(backend: str, devices: tuple[str, ...], wanted: str) -> str:
    if not wanted:
        return devices[0]
    for device in devices:
        if wanted in (device, device.partition(":")[0]) or wanted == f"{device}:0":
            return device
    raise BackendError(
        f"backend {backend!r} has no device {wanted!r}; it has: {', '.join(map(repr, devices))}"
    )


def _override(table: Kernels) -> None:
    manager = plugin_manager()
    # pluggy lists implementations in the order of registration: the last registered wins.
    for implementation in manager.hook.retrograd_kernels.get_hookimpls():
        arguments: dict[str, Any] = {"backend": table.backend, "kernels": table}
        chosen = {name: arguments[name] for name in implementation.argnames}
        for name, kernel in (implementation.function(**chosen) or {}).items():
            if name not in REQUIRED | OPTIONAL or not callable(kernel):
                raise BackendError(
                    f"plugin {implementation.plugin_name!r} overrides {name!r} of backend {table.backend!r} with "
                    f"{kernel!r}; it must be a function under a name of retrograd.backends.spec.REQUIRED or OPTIONAL"
                )
            setattr(table, name, kernel)
