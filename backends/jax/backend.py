"""JAX as a backend: XLA on CPU, GPU and TPU.

Loading it enables JAX's 64-bit types (`jax_enable_x64`), for the whole process: PyTorch's default integer is
int64 and `float64` means double, and without this JAX would silently make 32-bit arrays of both. JAX code of
the program's own that relies on 32-bit defaults should name its dtypes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402

from retrograd.backends.float8 import FLOAT8  # noqa: E402
from retrograd.backends.jax import elementwise, fourier, indexing, linalg, neural, reductions, shapes  # noqa: E402
from retrograd.backends.jax.compiling import compile_formula  # noqa: E402
from retrograd.backends.jax.creation import as_array, creation_kernels, to_host  # noqa: E402
from retrograd.backends.spec import Kernels  # noqa: E402

__all__ = ["JaxBackend"]

_DTYPES = {
    name: np.dtype(name)
    for name in (
        "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 float32 float64 complex64 complex128"
    ).split()
}
_DTYPES |= {name: np.dtype(getattr(ml_dtypes, name)) for name in ("bfloat16", *FLOAT8)}


class JaxBackend:
    """The devices that JAX sees: those of the default platform first, then the CPU.

    A platform's devices are numbered (`gpu:0`, `gpu:1`), except that a single CPU is just `cpu`.
    """

    def __init__(self) -> None:
        default = jax.devices()
        others = [] if default[0].platform == "cpu" else jax.devices("cpu")
        self._devices = _named(default) | _named(others)

    def devices(self) -> tuple[str, ...]:
        return tuple(self._devices)

    def kernels(self, device: str) -> Kernels:
        members: dict[str, Any] = {}
        for module in (elementwise, fourier, indexing, linalg, neural, reductions, shapes):
            members |= module.KERNELS
        # Named only if it is not the one JAX uses by itself, whose programs then need no placement.
        placed = None if device == self.devices()[0] else self._devices[device]
        members |= creation_kernels(placed)
        return Kernels(
            "jax",
            device,
            array_type=type(jnp.zeros(())),
            as_array=as_array,
            mutable=False,
            rounds_once=frozenset(members[name] for name in elementwise.ROUND_ONCE),
            dtypes=_DTYPES,
            names={native: name for name, native in _DTYPES.items()},
            floats=frozenset(_DTYPES[name] for name in ("float32", "float64")),
            compile=partial(compile_formula, device=placed),
            copy=lambda x: x,  # nobody can write to it
            owns=lambda x: True,
            to_host=to_host,
            wait=partial(_wait, self._devices[device]),
            **members,
        )


def _wait(device: Any) -> None:
    """Until all arrays are there, and a program that has begun after those of which the results are gone."""
    jax.block_until_ready((jax.live_arrays(), jax.device_put(0, device) + 1))


def _named(devices: list[Any]) -> dict[str, Any]:
    if len(devices) == 1 and devices[0].platform == "cpu":
        return {"cpu": devices[0]}
    return {f"{each.platform}:{i}": each for i, each in enumerate(devices)}
