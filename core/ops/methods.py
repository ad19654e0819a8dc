"""Puts the operators on `Tensor`: methods, in-place variants, Python's operator symbols.

Which functions become methods follows from their declarations: all whose first parameter is
`input`. What cannot follow (symbols, properties, names that differ) stands in the tables here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd import memory, typed_storage, untyped_storage
from retrograd.autograd import hooks
from retrograd.ops import (
    attributes,
    differences,
    expanded,
    indexing,
    inplace,
    linalg,
    scattering,
    shape,
    shape_in_place,
    subscript,
)
from retrograd.ops.declare import op_of, parameter_names, publics
from retrograd.ops.inplace import in_place_of, in_place_of_composite, written_over
from retrograd.ops.specialise import public_function
from retrograd.tensor import Tensor

__all__ = ["attach"]

_OPERATORS = {
    "__add__": "add", "__sub__": "sub", "__mul__": "mul", "__truediv__": "true_divide", "__floordiv__": "floor_divide",
    "__mod__": "remainder", "__pow__": "pow", "__matmul__": "matmul", "__neg__": "neg", "__pos__": "positive",
    "__abs__": "abs", "__invert__": "_invert", "__and__": "bitwise_and", "__or__": "bitwise_or",
    "__xor__": "bitwise_xor", "__lshift__": "bitwise_left_shift", "__rshift__": "bitwise_right_shift",
    "__eq__": "eq", "__ne__": "ne", "__lt__": "lt", "__le__": "le", "__gt__": "gt", "__ge__": "ge",
    "__radd__": "add", "__rmul__": "mul", "__rsub__": "rsub", "__rand__": "bitwise_and", "__ror__": "bitwise_or",
    "__rxor__": "bitwise_xor",
}  # fmt: skip

_IN_PLACE = {
    "__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_",
    "__ifloordiv__": "floor_divide_", "__imod__": "remainder_", "__ipow__": "pow_", "__iand__": "bitwise_and_",
    "__ior__": "bitwise_or_", "__ixor__": "bitwise_xor_", "__ilshift__": "bitwise_left_shift_",
    "__irshift__": "bitwise_right_shift_",
}  # fmt: skip

_WITH_IN_PLACE_VARIANT = """
    clamp clamp_max clamp_min clip div divide true_divide floor_divide pow remainder round masked_fill
    scatter scatter_add scatter_reduce index_reduce put index_add index_fill index_copy tril triu
    addmm addmv addr baddbmm cumsum cumprod lerp addcmul addcdiv nan_to_num eq ne lt le gt ge
    logical_and logical_or logical_xor logical_not logit bitwise_and bitwise_or bitwise_xor bitwise_not
    bitwise_left_shift bitwise_right_shift arctan2 fmod copysign xlogy square
""".split()
"""Composites and operators without promotion that PyTorch has an in-place variant of."""

_FOLDED: dict[str, tuple[expanded.Fold, expanded.Fold]] = {
    "masked_fill": (indexing.mask_folded, lambda places, mask, value: (places.masked_select(mask), value)),
    "index_fill": (indexing.index_folded, lambda places, dim, index, value: (places.index_select(dim, index), value)),
}
"""Those whose in-place variants work on expanded tensors."""

_NOT_METHODS = {"where", "complex", "gradient", "histogramdd", "polar", "real", "imag", "result_type"}


_REFLECTED = {
    "__rfloordiv__": "floor_divide", "__rmod__": "remainder", "__rpow__": "pow",
    "__rlshift__": "bitwise_left_shift", "__rrshift__": "bitwise_right_shift",
}  # fmt: skip
"""Symbols whose function takes a number as its first argument."""


_UNARY = ("__neg__", "__pos__", "__abs__", "__invert__")


def _symbol(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of two operands behind a symbol: it gives NotImplemented where PyTorch's does."""
    declared = getattr(function, "__wrapped_op__", None)
    if declared is not None:
        return public_function(declared, out=False, declines=True)

    def symbol(self: Tensor, other: Any) -> Any:
        try:
            return function(self, other)
        except TypeError:
            return NotImplemented

    return symbol


def _called(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, by the name under which those who take it over know it."""
    function.__name__ = name
    return function


def _reflected(function: Callable[..., Any]) -> Callable[..., Any]:
    return _symbol(lambda self, other: function(other, self))


def _rdiv(self: Tensor, other: Any) -> Any:
    return publics["mul"](publics["reciprocal"](self), other)


def attach() -> None:
    """Put everything on the class. Called once, when all operator modules are loaded."""
    for name, function in publics.items():
        if not name.startswith("_") and name not in _NOT_METHODS and _is_method(function):
            setattr(Tensor, name, function)
    _attach_in_place()
    for symbol, name in _OPERATORS.items():
        function = publics[name]
        setattr(Tensor, symbol, function if symbol in _UNARY else _called(symbol, _symbol(function)))
    _called("__invert__", publics["_invert"])
    for symbol, name in _IN_PLACE.items():
        setattr(Tensor, symbol, getattr(Tensor, name))
    for symbol, name in _REFLECTED.items():
        setattr(Tensor, symbol, _called(symbol, _reflected(publics[name])))
    for name in ("copy_", "fill_", "zero_"):
        setattr(Tensor, name, getattr(inplace, name))
    Tensor.set_ = memory.set_  # type: ignore[attr-defined]
    Tensor.addbmm_ = differences.addbmm_  # type: ignore[attr-defined]
    Tensor.masked_scatter_ = written_over("masked_scatter_", indexing.masked_scatter)  # type: ignore[attr-defined]
    Tensor.fill_diagonal_, Tensor.renorm_ = scattering.fill_diagonal_, differences.renorm_  # type: ignore[attr-defined]
    for name in ("squeeze_", "unsqueeze_", "transpose_", "t_", "as_strided_"):
        setattr(Tensor, name, getattr(shape_in_place, name))
    for name, made in (_renamed() | attributes.ATTRIBUTES).items():
        setattr(Tensor, name, made)


def _renamed() -> dict[str, Any]:
    """What is a method under a name that differs from the function's, and the properties."""
    divided = _called("__rdiv__", _symbol(_rdiv))
    return {
        "__rtruediv__": divided, "__rdiv__": divided, "__rmatmul__": _called("__rmatmul__", linalg.rmatmul),
        "__getitem__": _called("__getitem__", subscript.getitem),
        "__setitem__": _called("__setitem__", subscript.setitem), "index_put_": subscript.index_put_,
        "lu_solve": publics["lu_solve"],
        "untyped_storage": untyped_storage.untyped_storage, "storage": typed_storage.storage,
        "_typed_storage": typed_storage.typed_storage, "storage_type": typed_storage.storage_type,
        "share_memory_": typed_storage.share_memory_, "is_shared": typed_storage.is_shared,
        "where": indexing._where_method, "repeat": publics["_repeat_method"],
        "swapaxes_": shape_in_place.transpose_, "swapdims_": shape_in_place.transpose_,
        "_backward_hooks": property(hooks.hooks_of),
        "_post_accumulate_grad_hooks": property(hooks.post_accumulate_hooks_of),
        "T": property(shape._T), "mT": property(shape._mT),
        "H": property(shape._H), "mH": property(shape._mH),
    }  # fmt: skip


def _is_method(function: Callable[..., Any]) -> bool:
    first = next(iter(parameter_names(function)), "")
    return first == "input"


_OUT_OF_PLACE_ALONE = frozenset(("angle", "fmax", "fmin", "logaddexp", "logaddexp2", "maximum", "minimum"))
"""Operators that promote, and of which PyTorch has no variant in place."""


def _attach_in_place() -> None:
    for name, function in list(publics.items()):
        if name in _OUT_OF_PLACE_ALONE:
            continue
        declared = getattr(function, "__wrapped_op__", None)
        wanted = name in _WITH_IN_PLACE_VARIANT or (declared is not None and declared.promote is not None)
        if name.startswith("_") or not wanted or hasattr(Tensor, name + "_") or not _is_method(function):
            continue
        ordinary = op_of(publics["true_divide"]) if name in ("div", "divide") else None
        made = in_place_of(declared) if declared is not None else in_place_of_composite(name, function, ordinary)
        if name in _FOLDED:
            made = expanded.folding(made, *_FOLDED[name])
        elif name in ("tril", "triu"):
            made = expanded.trimming(made)
        setattr(Tensor, name + "_", made)
