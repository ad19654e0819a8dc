"""retrograd: PyTorch's define-by-run automatic differentiation over pluggable array backends.

    import retrograd as torch

What PyTorch calls `torch.X` is here `retrograd.X`, with the same meaning. What is added: backends
(`use_backend`, `set_default_backend`, `device("jax")`) and the parameter server
(`retrograd.distributed`).
"""

from __future__ import annotations


import math as _math
from typing import Any

from retrograd import autograd
from retrograd.autograd.inference import inference_mode, is_inference, is_inference_mode_enabled
from retrograd.autograd.modes import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from retrograd.backends.registry import BackendError
from retrograd.device import (
    device,
    get_default_backend,
    get_default_device,
    set_default_backend,
    set_default_device,
    use_backend,
)
from retrograd.dtypes import (
    bfloat16,
    can_cast,
    complex64,
    complex128,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    set_default_dtype,
    uint8,
)
from retrograd.dtypes import bool_ as bool  # noqa: A004 - PyTorch's name
from retrograd.size import Size
from retrograd.tensor import Parameter, Tensor

# isort: split
from retrograd.ops import specialise as _specialise

_specialise.link(Tensor=Tensor, Parameter=Parameter, new=object.__new__)
from retrograd.ops import namespace as _namespace  # noqa: E402 - operators need the classes linked

globals().update(_namespace.load())

# isort: split
from retrograd.autograd.anomaly import is_anomaly_check_nan_enabled, is_anomaly_enabled  # noqa: E402
from retrograd.ops import return_types  # noqa: E402

__version__ = "0.1.0"

half, float, double = float16, float32, float64  # noqa: A001 - PyTorch's names
short, int, long = int16, int32, int64  # noqa: A001
cfloat, cdouble = complex64, complex128
pi, e, inf, nan, newaxis = _math.pi, _math.e, _math.inf, _math.nan, None

_LAZY = ("distributed", "func", "nn", "optim", "utils", "random", "backends", "profiler")


def __getattr__(name: str) -> Any:
    """Import sub-packages, and what comes from them, when first used."""
    if name in _LAZY:
        from importlib import import_module

        return import_module(f"retrograd.{name}")
    if name == "vmap":
        from retrograd.func import vmap

        return vmap
    raise AttributeError(f"module 'retrograd' has no attribute {name!r}")


__all__ = sorted(
    {name for name in globals() if not name.startswith("_") and name not in ("Any", "annotations")} | {*_LAZY, "vmap"}
)
