"""How functions become XLA programs, and which stay Python.

Note [Compiled kernels]
    Each kernel is one `jax.jit` function whose shapes, axes and dtypes are static, so that a call
    is one dispatch in C++ once it has been compiled for its arguments. What changes from call to
    call (positions, fill values, keys) is passed as data and does not compile anew.

Note [Compiled formulas]
    The core has whole formulas compiled, with their non-array arguments static. A formula whose
    static arguments never come back (a learning rate that decays, a row's number) would compile on
    every call, which costs 10,000 times what it saves. So a combination of static arguments runs
    uncompiled the first time it is seen, kernel by kernel, and is compiled the second time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any, Final

import jax

__all__ = ["compile_formula", "jit", "jit_on"]

_UNCOMPILABLE: Final = (jax.errors.JAXTypeError, jax.errors.JAXIndexError)
_MOST_REMEMBERED: Final = 4096


def jit(*static: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a kernel of a function; `static` are the positions of its non-array arguments."""
    return lambda function: jax.jit(function, static_argnums=static)


def jit_on(device: Any) -> Callable[..., Any]:
    """`jax.jit` for functions whose results are on `device`; None is where JAX puts them by itself."""
    if device is None:
        return jax.jit
    return partial(jax.jit, out_shardings=jax.sharding.SingleDeviceSharding(device))


def compile_formula(function: Callable[..., Any], static: tuple[int, ...], *, device: Any = None) -> Callable[..., Any]:
    """`function(K, *arguments)`, compiled. `static` counts the arguments without `K`.

    See Note [Compiled formulas]. A formula that reads values on the host, and so cannot be
    compiled, goes on uncompiled.
    """
    if not static and _returns_its_argument(function):
        return function
    jitted = jit_on(device)(function, static_argnums=(0, *(i + 1 for i in static)))
    return _with_constants(function, jitted, static) if static else _without_constants(function, jitted)


def _returns_its_argument(function: Callable[..., Any]) -> bool:
    """Whether the formula is `lambda K, g: g`: XLA would only copy."""
    probe = object()
    try:
        return function(None, probe) is probe
    except Exception:
        return False


def _without_constants(function: Callable[..., Any], jitted: Callable[..., Any]) -> Callable[..., Any]:
    chosen = jitted

    def call(K: Any, *arguments: Any) -> Any:
        nonlocal chosen
        try:
            return chosen(K, *arguments)
        except _UNCOMPILABLE:
            result = function(K, *arguments)  # fails again if the error was another one
            chosen = function
            return result

    return call


def _with_constants(
    function: Callable[..., Any], jitted: Callable[..., Any], static: tuple[int, ...]
) -> Callable[..., Any]:
    constants_of = itemgetter(*static)
    known: dict[Any, Callable[..., Any]] = {}

    def call(K: Any, *arguments: Any) -> Any:
        constants = constants_of(arguments)
        try:
            chosen = known.get(constants)
        except TypeError:  # not hashable
            return function(K, *arguments)
        if chosen is not None:
            try:
                return chosen(K, *arguments)
            except _UNCOMPILABLE:
                known[constants] = function
                return function(K, *arguments)
        result = function(K, *arguments)
        if len(known) >= _MOST_REMEMBERED:
            known.clear()
        known[constants] = function if result is arguments[0] else jitted
        return result

    return call
