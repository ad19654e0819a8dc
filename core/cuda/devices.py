"""Devices, streams and memory of CUDA, of which there are none: what may be asked says so, the rest is refused.

Source: https://docs.pytorch.org/docs/stable/cuda.html
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NoReturn

__all__ = [
    "CUDAGraph", "Event", "Stream", "StreamContext", "current_device", "current_stream", "default_stream", "device",
    "get_arch_list", "get_device_capability", "get_device_name", "get_device_properties", "get_rng_state",
    "get_rng_state_all", "graph", "init", "initial_seed", "ipc_collect", "is_bf16_supported",
    "is_current_stream_capturing", "is_initialized", "max_memory_allocated", "max_memory_reserved", "mem_get_info",
    "memory_allocated", "memory_reserved", "memory_stats", "seed", "seed_all", "set_device", "set_rng_state_all",
    "stream",
]  # fmt: skip


def _refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("Torch not compiled with CUDA enabled")


def current_device() -> int:
    """Refused, with AssertionError, like all that needs a device."""
    _refuse()


def current_stream(device: object = None) -> Stream:
    """Refused: there is no device."""
    _refuse()


def default_stream(device: object = None) -> Stream:
    """Refused: there is no device."""
    _refuse()


def get_device_name(device: object = None) -> str:
    """Refused: there is no device."""
    _refuse()


def get_device_capability(device: object = None) -> tuple[int, int]:
    """Refused: there is no device."""
    _refuse()


def get_device_properties(device: object = None) -> Any:
    """Refused: there is no device."""
    _refuse()


def get_rng_state(device: object = "cuda") -> Any:
    """Refused: there is no device."""
    _refuse()


def init() -> None:
    """Refused: there is no device."""
    _refuse()


def initial_seed() -> int:
    """Refused: there is no device."""
    _refuse()


def ipc_collect() -> None:
    """Refused: there is no device."""
    _refuse()


def mem_get_info(device: object = None) -> tuple[int, int]:
    """Refused: there is no device."""
    _refuse()


def is_initialized() -> bool:
    """False."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


def get_arch_list() -> list[str]:
    """None."""
    return []


def get_rng_state_all() -> list[Any]:
    """The states of no generators."""
    return []


def set_rng_state_all(new_states: Any) -> None:
    """Nothing, of no generators' states."""
    if len(new_states):
        _refuse()


def seed() -> None:
    """Nothing: `retrograd.seed` seeds every backend."""


def seed_all() -> None:
    """Nothing: `retrograd.seed` seeds every backend."""


def memory_allocated(device: object = None) -> int:
    """0: no memory is CUDA's."""
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated


def memory_stats(device: object = None) -> OrderedDict[str, Any]:
    """Empty."""
    return OrderedDict()


def is_current_stream_capturing() -> NoReturn:
    """Refused, as in PyTorch where it has no CUDA."""
    raise RuntimeError("Tried to instantiate dummy base class _cuda_isCurrentStreamCapturing")


def set_device(device: object) -> None:
    """Nothing for what stands for no device; others are refused."""
    if not _is_none(device):
        _refuse()


def _is_none(device: object) -> bool:
    return device is None or (isinstance(device, int) and device < 0)


class device:
    """A context in which a device would be the current one; refused, but for what stands for no device.

    Raises
    ------
    RuntimeError
        When it is entered, if a device is meant.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cuda.device.html
    """

    def __init__(self, device: object) -> None:
        self.idx = -1 if _is_none(device) else device

    def __enter__(self) -> None:
        if self.idx != -1:
            raise RuntimeError("PyTorch was compiled without CUDA support")

    def __exit__(self, *exc_info: object) -> None:
        pass


class StreamContext:
    """A context in which a stream would be the current one; of None, all that there is, it does nothing.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cuda.StreamContext.html
    """

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: object) -> None:
        pass


def stream(stream: Stream | None) -> StreamContext:
    """A context that does nothing: there are no streams.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cuda.stream.html
    """
    return StreamContext(stream)


class Stream:
    """A queue of a device; there is none, so that this is the name of a type alone.

    Raises
    ------
    RuntimeError
        When one is made.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cuda.Stream.html
    """

    def __init__(self, *arguments: object, **options: object) -> None:
        raise RuntimeError("torch.cuda.Stream requires CUDA support")


class graph:
    """A context that would record what streams run; there are none.

    Raises
    ------
    RuntimeError
        When one is made.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cuda.graph.html
    """

    def __init__(self, *arguments: object, **options: object) -> None:
        Stream()


class Event:
    """A mark in a queue of a device; see `Stream`.

    Raises
    ------
    RuntimeError
        When one is made.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html
    """

    def __init__(self, *arguments: object, **options: object) -> None:
        raise RuntimeError("Tried to instantiate dummy base class Event")


class CUDAGraph:
    """What a device has been told once, to tell it again; see `Stream`.

    Raises
    ------
    RuntimeError
        When one is made.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cuda.CUDAGraph.html
    """

    def __init__(self, *arguments: object, **options: object) -> None:
        raise RuntimeError("Tried to instantiate dummy base class CUDAGraph")
