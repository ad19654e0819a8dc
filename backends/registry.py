"""Finds backends and makes their kernel tables, once each.

Everything here runs when a backend is first named; the result is cached, and no operator comes
back to this module.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from retrograd.backends.spec import OPTIONAL, PROJECT, REQUIRED, Backend, BackendSpec, Hooks, Kernels

__all__ = ["BackendError", "available", "kernels", "load", "on_change", "plugin_manager", "register"]

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
            f"retrograd plugin {entry_point.name!r} ({entry_point.value}, of package {distribution!r}) is "
            f"ignored, because it cannot be loaded: {type(error).__name__}: {error}",
            RuntimeWarning,
            stacklevel=2,
        )


def register(plugin: object, name: str | None = None) -> Callable[[], None]:
    """Register a plugin object or module by hand, for tests and notebooks; returns what undoes it.

    Backends that are in use stay as they are: kernels that the plugin overrides are overridden in
    tables that are made later.
    """
    manager = plugin_manager()
    manager.register(plugin, name)
    _notify()

    def unregister() -> None:
        manager.unregister(plugin)
        _notify()

    return unregister


on_change: list[Callable[[], None]] = []
"""Called when a plugin has come or gone, by those who remember what this module told them."""


def _notify() -> None:
    _offers.cache_clear()
    for forget in on_change:
        forget()


@dataclass(frozen=True, slots=True)
class _Offer:
    """A backend's spec, with the plugin it comes from."""

    spec: BackendSpec
    plugin_name: str
    plugin: object


@functools.cache
def _offers() -> Mapping[str, _Offer]:
    """Every backend on offer, by name."""
    manager = plugin_manager()
    found: dict[str, _Offer] = {}
    for implementation in manager.hook.retrograd_backends.get_hookimpls():
        offered: Any = implementation.function()
        for spec in offered:
            if not isinstance(spec, BackendSpec):
                raise BackendError(
                    f"plugin {implementation.plugin_name!r} yields {spec!r} from retrograd_backends; "
                    f"it must yield retrograd.backends.spec.BackendSpec records"
                )
            if spec.name in found:
                raise BackendError(
                    f"two plugins offer a backend named {spec.name!r}: {found[spec.name].plugin_name!r} and "
                    f"{implementation.plugin_name!r}; uninstall one of them"
                )
            found[spec.name] = _Offer(spec, implementation.plugin_name, implementation.plugin)
    return found


def available() -> dict[str, str]:
    """The names of all backends, each with the plugin that offers it."""
    return {name: offer.plugin_name for name, offer in sorted(_offers().items())}


_loaded: dict[str, tuple[object, Backend]] = {}
"""Backends in use by name, each with its plugin."""

_tables: dict[tuple[str, str], tuple[Backend, Kernels]] = {}
"""Tables in use by backend and device, each with the backend it is of."""


def load(name: str) -> Backend:
    """Import a backend's library.

    Raises
    ------
    BackendError
        If there is none of this name, or its library cannot be imported.
    """
    with _lock:
        try:
            offer = _offers()[name]
        except KeyError:
            raise BackendError(_unknown(name)) from None
        plugin, backend = _loaded.get(name, (None, None))
        if backend is None or plugin is not offer.plugin:
            backend = _import(offer)
            _loaded[name] = (offer.plugin, backend)
        return backend


def _import(offer: _Offer) -> Backend:
    try:
        return offer.spec.load()
    except ImportError as error:
        how = f"; install it with: {offer.spec.install}" if offer.spec.install else ""
        raise BackendError(
            f"backend {offer.spec.name!r} (plugin {offer.plugin_name!r}) cannot be loaded: {error}{how}"
        ) from error


def _unknown(name: str) -> str:
    return (
        f"unknown backend {name!r}; available: {', '.join(map(repr, available()))}. A backend comes as a "
        f"Python package with an entry point in the group 'retrograd': install it with pip, or check the "
        f"spelling"
    )


def kernels(backend: str, device: str = "") -> Kernels:
    """The kernel table of one device, complete and with all plugins' overrides applied.

    There is one table per device: two names of one device give the same object.

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
        name = _match_device(backend, loaded.devices(), device)
        owner, table = _tables.get((backend, name), (None, None))
        if table is None or owner is not loaded:
            table = _complete(backend, loaded.kernels(name))
            _tables[backend, name] = (loaded, table)
        return table


def _complete(backend: str, table: Kernels) -> Kernels:
    """Apply the overrides and check that nothing is missing."""
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
    raise BackendError(f"backend {backend!r} has no device {wanted!r}; it has: {', '.join(map(repr, devices))}")


def _override(table: Kernels) -> None:
    manager = plugin_manager()
    # pluggy lists implementations in the order of registration: the last registered wins.
    for implementation in manager.hook.retrograd_kernels.get_hookimpls():
        arguments: dict[str, Any] = {"backend": table.backend, "kernels": table}
        chosen = {name: arguments[name] for name in implementation.argnames}
        offered: Any = implementation.function(**chosen)
        for name, kernel in (offered or {}).items():
            if name not in REQUIRED | OPTIONAL or not callable(kernel):
                raise BackendError(
                    f"plugin {implementation.plugin_name!r} overrides {name!r} of backend {table.backend!r} "
                    f"with {kernel!r}; it must be a function under a name of "
                    f"retrograd.backends.spec.REQUIRED or OPTIONAL"
                )
            setattr(table, name, kernel)
