"""A retrograd plugin as a third party would write it: a backend, and a kernel of another backend replaced.

The backend `counting` is NumPy's under another name. On `numpy` itself, `add` is replaced by one that counts
its calls in `calls`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from retrograd.backends.spec import Backend, BackendSpec, Kernels, hookimpl

calls: dict[str, int] = {}
"""How often a kernel was called, by `backend.kernel`."""


class CountingBackend:
    """NumPy's kernels, each counting its calls."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def kernels(self, device: str) -> Kernels:
        members = vars(self._inner.kernels(device)) | {"backend": "counting", "device": device}
        table = Kernels(**members)
        table.matmul = counted("counting.matmul", table.matmul)
        return table


def counted(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel, counting its calls under `name`."""

    def counting(*arguments: Any) -> Any:
        calls[name] = calls.get(name, 0) + 1
        return kernel(*arguments)

    return counting


def _load() -> Backend:
    from retrograd.backends.numpy.backend import NumpyBackend

    return CountingBackend(NumpyBackend())


@hookimpl
def retrograd_backends() -> Iterable[BackendSpec]:
    yield BackendSpec("counting", load=_load)


@hookimpl
def retrograd_kernels(backend: str, kernels: Kernels) -> Mapping[str, Callable[..., Any]]:
    return {"add": counted("numpy.add", kernels.add)} if backend == "numpy" else {}
