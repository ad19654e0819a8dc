"""What a program that asks for CUDA finds: that there is none under this name.

A GPU is a device of a backend here (`retrograd.device("jax:gpu")`), so the usual line
`device("cuda" if cuda.is_available() else "cpu")` chooses the CPU of the current backend.
"""

from __future__ import annotations

from typing import NoReturn

from retrograd.cuda import amp as amp, devices as _devices
from retrograd.cuda.devices import *  # noqa: F403 - it lists what it exports
from retrograd.ops import legacy

__all__ = ["amp", "device_count", "empty_cache", "is_available", "manual_seed", "manual_seed_all", "synchronize"]
__all__ += [*legacy.__all__, *_devices.__all__]


def is_available() -> bool:
    """False: GPUs are devices of backends.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.device("cuda" if retrograd.cuda.is_available() else "cpu")
    device(type='numpy:cpu')
    """
    return False


def device_count() -> int:
    """0; see `is_available`."""
    return 0


def manual_seed(seed: int) -> None:
    """Nothing: `retrograd.manual_seed` seeds every backend."""


def manual_seed_all(seed: int) -> None:
    """Nothing: `retrograd.manual_seed` seeds every backend."""


def empty_cache() -> None:
    """Nothing: there is no cache of CUDA memory here."""


def synchronize(device: object = None) -> None:
    """Nothing: there are no CUDA streams here."""


class _Absent(type):
    """The type of typed constructors that cannot be called and have no instances."""

    def __call__(cls, *data: object, **options: object) -> NoReturn:
        raise TypeError(f"type retrograd.cuda.{cls.__name__} not available. Torch not compiled with CUDA enabled.")


def _absent(name: str) -> _Absent:
    return _Absent(name, (), {"__doc__": "There are no tensors of this type here.", "__module__": "retrograd.cuda"})


BFloat16Tensor = _absent("BFloat16Tensor")
BoolTensor = _absent("BoolTensor")
ByteTensor = _absent("ByteTensor")
CharTensor = _absent("CharTensor")
DoubleTensor = _absent("DoubleTensor")
FloatTensor = _absent("FloatTensor")
HalfTensor = _absent("HalfTensor")
IntTensor = _absent("IntTensor")
LongTensor = _absent("LongTensor")
ShortTensor = _absent("ShortTensor")
