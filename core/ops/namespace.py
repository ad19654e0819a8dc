"""Loads every operator module and collects what the namespace `retrograd` exports.

The modules of this package are found by looking, so that an operator family is added by adding its
file.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

from retrograd import ops
from retrograd.ops import methods
from retrograd.ops.declare import publics
from retrograd.ops.reducing import taking_out
from retrograd.tensor import Tensor

__all__ = ["load"]

_EXPORTED_WHOLE = (
    "retrograd.amp.state", "retrograd.ops.creation", "retrograd.ops.conversion", "retrograd.ops.foreach",
    "retrograd.ops.legacy", "retrograd.ops.sampling", "retrograd.layout", "retrograd.printing", "retrograd.random",
    "retrograd.serialization", "retrograd.settings", "retrograd.ops.rare_factories", "retrograd.ops.segments",
    "retrograd.ops.view_copies", "retrograd.typed_storage",
)  # fmt: skip
"""Modules of functions that are no operators: their `__all__` is exported."""

_INTERNAL = {"legacy_tensor", "printoptions", "tensor_text"}


_METHODS = """
    abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ as_strided_ asin_ asinh_ atan_ atanh_
    ceil_ clamp_ clamp_max_ clamp_min_ clip_ conj_physical_ cos_ cosh_ deg2rad_ detach detach_ erf_ erfc_ exp2_ exp_
    expm1_ fill_ fix_ floor_ frac_ gcd_ get_device i0_ index_put_ is_same_size is_signed lcm_ ldexp_ log10_ log1p_
    log2_ log_ logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ relu_ resize_as_ round_ rsqrt_ sigmoid_ sin_
    sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_ zero_
""".split()
"""Methods that PyTorch's namespace has too."""

_TAKE_OUT = """
    addbmm addmv addr bernoulli bincount bucketize chain_matmul cholesky cholesky_inverse cholesky_solve clamp_max
    clamp_min column_stack conj_physical copysign cross diag diff dist dstack float_power fmod frexp gather geqrf ger
    histc histogram hstack index_add index_copy index_fill index_reduce index_select inner inverse isin isneginf
    isposinf kron lerp lu lu_solve lu_unpack masked_fill masked_scatter masked_select matrix_power msort multinomial
    mvlgamma narrow_copy nonzero orgqr ormqr outer qr remainder renorm round row_stack scatter scatter_add
    scatter_reduce searchsorted signbit slice_scatter square svd take take_along_dim tensordot triangular_solve vdot
    vstack xlogy
""".split()
"""Functions of the namespace that take `out=`, which their methods do not. Others see to it themselves."""

_OF_OTHERS = ("clone", "isclose", "logdet", "numel")
"""Compositions that objects which are no tensors may take over: see `retrograd.overrides`."""


def load() -> dict[str, Callable[..., Any]]:
    """Put the operators on `Tensor` and return the functions of the namespace."""
    for found in pkgutil.iter_modules(ops.__path__):
        import_module(f"{ops.__name__}.{found.name}")
    methods.attach()
    exported = {name: function for name, function in publics.items() if not name.startswith("_")}
    exported |= {name: getattr(Tensor, name) for name in _METHODS}
    for module_name in _EXPORTED_WHOLE:
        module = import_module(module_name)
        exported |= {name: getattr(module, name) for name in module.__all__ if name not in _INTERNAL}
    return exported | {name: taking_out(exported[name], method=False) for name in (*_TAKE_OUT, *_OF_OTHERS)}
