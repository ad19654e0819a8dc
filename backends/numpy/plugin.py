"""Registers the NumPy backend; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from retrograd.backends.spec import Backend, BackendSpec, hookimpl

__all__ = ["retrograd_backends"]


def _load() -> Backend:
    from retrograd.backends.numpy.backend import NumpyBackend

    return NumpyBackend()


@hookimpl
def retrograd_backends() -> Iterable[BackendSpec]:
    yield BackendSpec("numpy", load=_load, install="pip install numpy")
