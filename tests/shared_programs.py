"""What JAX makes anew for each program it compiles, and processes that compile thousands of small ones can share.

* JAX lowers each program in an MLIR context of its own. That takes a fifth of the time of a small program; and as each
  context stays with its program, at 1.5 MB, and MLIR looks through all that are alive, the 2,000th takes twice as long
  as the first. `share` has programs lowered in one context, until `forget_context`.
* A third of the programs are there already, under another name: a product that a formula computes and that of the
  kernel are one. Of programs that read the same, only the first is compiled.

This reaches into JAX. A version of JAX in which things are called otherwise is left alone, and takes longer.
"""

from __future__ import annotations

import inspect
import re
from collections import OrderedDict
from functools import cache
from typing import Any, Final

__all__ = ["forget_context", "share"]

_MOST_KEPT: Final = 1024
_COMPILES: Final = ["backend", "module", "executable_devices", "options", "host_callbacks"]
_contexts: list[Any] = []
_executables: OrderedDict[Any, Any] = OrderedDict()


@cache
def share() -> None:
    """Have JAX share contexts and executables from now on."""
    try:
        from jax._src import compiler
        from jax._src.interpreters import mlir
    except ImportError:
        return
    _share_context(mlir)
    _share_executables(compiler)


def forget_context() -> None:
    """Have the next program begin a new context."""
    _contexts.clear()


def _share_context(mlir: Any) -> None:
    make = getattr(mlir, "make_ir_context", None)
    if make is None or inspect.signature(make).parameters:
        return

    def shared() -> Any:
        if not _contexts:
            _contexts.append(make())
        return _contexts[0]

    mlir.make_ir_context = shared


def _share_executables(compiler: Any) -> None:
    compile_anew = getattr(compiler, "backend_compile_and_load", None)
    if compile_anew is None or list(inspect.signature(compile_anew).parameters) != _COMPILES:
        return

    def compile_once(backend: Any, module: Any, devices: Any, options: Any, callbacks: Any) -> Any:
        if callbacks:  # which belong to the one program
            return compile_anew(backend, module, devices, options, callbacks)
        text = re.sub(r"^module @\S+", "module", module.operation.get_asm(enable_debug_info=False))
        key = backend, text, devices, options.SerializeAsString()
        executable = _executables.pop(key, None)
        if executable is None:
            executable = compile_anew(backend, module, devices, options, callbacks)
        _executables[key] = executable  # the last to go
        if len(_executables) > _MOST_KEPT:
            _executables.popitem(last=False)
        return executable

    compiler.backend_compile_and_load = compile_once
