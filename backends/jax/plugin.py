"""Registers the JAX backend; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from retrograd.backends.spec import Backend, BackendSpec, hookimpl

__all__ = ["retrograd_backends"]


def _load() -> Backend:
    from retrograd.backends.jax.backend import JaxBackend

    return JaxBackend()


@hookimpl
def retrograd_backends() -> Iterable[BackendSpec]:
    yield BackendSpec("jax", load=_load, install="pip install retrograd[jax]")
