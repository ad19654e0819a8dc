"""Which operators take sparse operands: most as they are declared, some in a form of their own.

A form that is not the operator itself has the same arguments. Its name here is that of the operator it stands for,
without a public function.
"""

from __future__ import annotations

from typing import Any

from retrograd.ops.declare import Array, Op, op, op_of
from retrograd.sparse.conversion import on_tensors
from retrograd.sparse.table import COMPRESSED_FORMS, FORMS, ON_VALUES, no_kernel

_AS_THEY_ARE = """
    add sub mul true_divide _div_rounded floor_divide neg _to_copy _clone _clone_contiguous _conj_physical
    _sum_all _sum _sum_as _mm _bmm _mv _addmm _cat _stack copy zero ldexp
""".split()

_KEEP_ZEROS = """
    abs sgn asin asinh atan atanh ceil deg2rad erf erfinv expm1 floor frac isinf isnan isneginf isposinf nan_to_num
    rad2deg _round _round_decimals sign signbit sin sinh sqrt tan trunc
""".split()

for _name in (*_AS_THEY_ARE, *_KEEP_ZEROS):
    FORMS[_name] = Op.registry[_name]
ON_VALUES.update(_KEEP_ZEROS)
COMPRESSED_FORMS.update(name for name in _KEEP_ZEROS if name != "nan_to_num")
COMPRESSED_FORMS.update(
    """
    add mul neg _to_copy _clone _clone_contiguous _conj_physical _sum_all _sum _mm _mv _addmm copy zero relu tanh log1p
    _to_dense _values_of _sparse_mask _sparse_mask_projection _csr_to_coo _sparse_sampled_addmm
    _sparse_addmm _sparse_sparse_matmul _sparse_compressed_tensor
    """.split()
)


def _pow_gradient(K: Any, g: Any, self: Any, exponent: Any) -> Any:
    if exponent == 0:
        return K.zeros_like(g)
    return g * (exponent * self ** (exponent - 1))


# -- of one operand ------------------------------------------------------------------------------


def _on_values(name: str, array: Any, *rest: Any) -> Any:
    given = array.in_order()
    dense = array.side.dense
    return given.with_values(Op.registry[name].forward_for(dense)(dense, given.values._array, *rest))


def _refused(name: str) -> Any:
    def formula(K: Any, g: Any) -> Any:
        raise no_kernel(name)

    return formula


def _kept_where_positive(g: Any, result: Any) -> Any:
    from retrograd.sparse.construction import with_values

    values = result._array.values
    return g * with_values(result, (values > 0).to(values.dtype))


@op(name="_sparse_relu", node="ReluBackward0", promote="common", vjp={
    "self": lambda K, g, result: on_tensors(K, _kept_where_positive, g, result)
})  # fmt: skip
def _relu(K: Any, self: Array) -> Array:
    """`relu`."""
    return _on_values("relu", self)


@op(name="_sparse_tanh", node="TanhBackward0", promote="float", vjp={"self": _refused("tanh_backward")})
def _tanh(K: Any, self: Array) -> Array:
    """`tanh`."""
    return _on_values("tanh", self)


def _over_one_plus(g: Any, self: Any) -> Any:
    """``g / (1 + self)``, where `g` is stored."""
    from retrograd.sparse.construction import with_values
    from retrograd.sparse.conversion import masked_as, values_of

    stored = values_of(masked_as(self, g)) + 1
    return with_values(g, values_of(g) / stored)


@op(name="_sparse_log1p", node="Log1PBackward0", promote="float", vjp={
    "self": lambda K, g, self: on_tensors(K, _over_one_plus, g, self)
})  # fmt: skip
def _log1p(K: Any, self: Array) -> Array:
    """`log1p`."""
    return _on_values("log1p", self)


@op(name="_sparse_pow_number", node="PowBackward0", promote="common", vjp={"self": _pow_gradient}, jvp="elementwise")
def _pow_number(K: Any, self: Array, exponent: Any) -> Array:
    """`pow` with a number."""
    return K.pow(self, exponent)


@op(name="_sparse_any", node="NotImplemented")
def _any(K: Any, self: Array, dim: tuple[int, ...], keepdim: bool) -> Array:
    """`any` of all elements."""
    if len(dim) != self.ndim or keepdim:
        raise no_kernel("any.dim")
    return self.values.any()._array


for _name, _function in (
    ("relu", _relu), ("tanh", _tanh), ("log1p", _log1p), ("_pow_number", _pow_number), ("_any", _any),
):  # fmt: skip
    FORMS[_name] = op_of(_function)
