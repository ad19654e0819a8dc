"""In-place variants of operators, `out=`, and writes of values.

Each is the operator's own declaration, run by another rule: the result goes into the memory of the
first input, and the graph is rebased (see Note [Rebase] in `retrograd.autograd.rebase`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retrograd.autograd.captured import refuse_captured
from retrograd.autograd.explaining import first_break
from retrograd.autograd.modes import current_mode
from retrograd.autograd.node import UNGENERATED
from retrograd.autograd.profiler import operator_name
from retrograd.autograd.rebase import check_writable, rebase
from retrograd.autograd.tangents import (
    Level,
    check_writable_tangents,
    clone_tangents,
    push_write,
    refuse_out,
    tangents_of,
)
from retrograd.dtypes import bool_, can_cast, complex128, float64, int64
from retrograd.levels import births
from retrograd.ops import dispatch, specialise
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.ops.checks import warn_of_discarding
from retrograd.ops.declare import Array, Op, op, op_of
from retrograd.ops.flags import Flags, no_flag, unflagged
from retrograd.ops.mapped_writes import at_level_of, whole
from retrograd.ops.options import as_number, c_name, described, fill_number
from retrograd.ops.out_types import check_out_type
from retrograd.ops.plain_writes import fits, leave_break, wrote
from retrograd.overrides import _disabled_torch_function_impl
from retrograd.resizing import put
from retrograd.storage import refuse_overlap, sign, write
from retrograd.tensor import Tensor, own_edge, side_of, wrap_array

__all__ = [
    "Target", "call_inplace", "call_out", "check_broadcast", "in_place_of", "in_place_of_composite", "written_over",
]  # fmt: skip


def call_inplace(op: Op, target: Tensor, *rest: Any) -> Tensor:
    """Run `op` with `target` as its first input and write the result into it.

    Raises
    ------
    RuntimeError
        Before anything is changed: if the graph forbids the write, the result has another shape, or
        its type cannot be cast to the target's.
    """
    mode = current_mode()
    if wrote(op, target, rest, mode):
        return target
    if mode.profiler is not None:
        name = operator_name(op.node_class.__name__) + "_"
        return mode.profiler.call(name, call_inplace, op, target, *rest)
    op = op.written
    if op.numbers:
        rest = dispatch.with_numbers(op, op.written_name, (target, *rest))[1:]
    if births:
        refuse_captured(target, op, rest)
    inputs, values = dispatch._split(op, (target, *rest))
    if op.check is not None:
        op.check(inputs)
    k = dispatch.common_kernels(op.written_name, inputs)
    if k.sparse:
        op, k = dispatch.sparse_form(op, inputs, k)
    if k.level or op.raw:
        inputs = at_level_of(op, target, inputs, [each for name in op.raw for each in values[name]])
        k = target._kernels
    elif k.meta:
        inputs = dispatch.lifted_onto_meta(inputs, target)
    tangents = _tangents(op, inputs, values) if mode.dual else {}
    records = mode.grad and bool(op.vjp) and target.dtype.is_differentiable
    records = records and any(getattr(each, "requires_grad", False) for each in inputs)
    check_writable(target, mode, records, () if op is _fill_op else inputs[1:])
    edges = tuple(getattr(each, "_edge", None) for each in inputs) if records else ()
    arrays = dispatch.promoted(op, inputs, k, values)
    in_memory = not target._kernels.sparse and not (op is _copy_op and rest[0] is target)
    if in_memory and (op.name not in _OF_ONE_VALUE or target.is_conj()):
        refuse_overlap(target, () if op.name == "_addmm" else rest[:-1] if op.name in _OF_A_NUMBER else rest)
    known = None if mode.results is None else mode.results.find(op, in_place=True)
    (result,) = dispatch.forward(op, (target, *rest), arrays, k) if known is None else known
    if k.sparse:
        result = k.written(op, target, inputs, result)
    result = whole(target, _fitting(op, target, result, k))
    if records:  # The inputs are saved as they are before the write: what was one of them and is written to, is stale.
        inputs, arrays = _snapshot(op, inputs, arrays, edges, k)
        node = dispatch.new_node(op, mode, inputs, arrays, [target], values, edges, k)
        if mode.saved_hooks:
            node._grad_plan.pack(node, inputs, results=False)
    else:  # before the write, which makes edges of views stale
        _remember_break(op.shown_name + "_", inputs, target, mode.grad)
    write(target, result)
    if records:
        node._grad_plan.save_results(node, [target])
        if mode.saved_hooks:
            node._grad_plan.pack(node, outputs=[target], results=True)
        rebase(target, node, op.written_name)
    else:
        sign(target._cell, op.written_name, None, dispatch.stack_of_caller() if mode.anomaly else None)
    if mode.dual:
        push_write(target, tangents)
        if records:
            node._grad_plan.keep_tangents(node, inputs, [target])
    if mode.results is not None:
        mode.results.keep_written(op, (target, *rest))
    return target


def _remember_break(name: str, inputs: Sequence[Any], target: Tensor, grad: bool) -> None:
    """Leave the first break with what is written to without a graph, and with what it is a view of."""
    if own_edge(target) is None:
        within = any(isinstance(each, Tensor) and own_edge(each) is not None for each in inputs)
        target._break = first_break(name, inputs, within, target.dtype, False, grad)
        view = None if target._break is None or target._tensor_meta is None else target._tensor_meta.view
        if view is not None and own_edge(view.base) is None:
            view.base._break = view.base._break or target._break


_OF_ONE_VALUE = frozenset(("fill", "zero"))
"""What may be written to a tensor in which several elements are one, as an expanded one, as it is.

See `retrograd.ops.expanded` for others."""

_OF_A_NUMBER = frozenset(("_fill_tensor", "_masked_fill_tensor", "_index_fill_tensor"))
"""Whose last input, of no dimension, may be in the memory that is written to: it is read before."""


def _tangents(op: Op, inputs: Sequence[Any], values: dict[str, Any]) -> dict[Level, Tensor]:
    """In forward mode the tangents of the result, from the same operator run out of place."""
    if not any(tangents_of(each) for each in inputs):
        return {}
    target = inputs[0]
    check_writable_tangents(target)
    if current_mode().grad:  # The graph of the tangents saves the target and its tangents as they are before the write.
        kept = _kept(target._kernels, target._array, target)
        inputs = [kept if each is target else each for each in inputs]
    arguments = iter(inputs)
    functional = dispatch.call(op, *(next(arguments) if n in op.kinds else values[n] for n in op.signature.parameters))
    return tangents_of(functional)


def _fitting(op: Op, target: Tensor, result: Any, k: Any) -> Any:
    """The result in the target's shape and type, or an error."""
    own = target._array
    if op.name == "abs" and target.is_complex():
        raise RuntimeError("In-place abs is not supported for complex tensors.")
    if tuple(result.shape) != tuple(own.shape):
        raise RuntimeError(
            f"output with shape {list(own.shape)} doesn't match the broadcast shape {list(result.shape)}"
        )
    if result.dtype != own.dtype:
        result_type = wrap_array(result, k).dtype
        if not can_cast(result_type, target.dtype):
            raise RuntimeError(
                f"result type {result_type.type_name} can't be cast to the desired output type {target.dtype.type_name}"
            )
        result = k.astype(result, own.dtype)
    return result


def _snapshot(
    op: Op, inputs: Sequence[Any], arrays: Sequence[Any], edges: tuple[Any, ...], k: Any
) -> tuple[list[Any], list[Any]]:
    """Inputs as a node may save them: the target's old value is kept, if the formulas need it, as a copy."""
    plan = op.plans_for(k)[tuple(edge is not None for edge in edges)]
    first = op.inputs[0]
    if first not in plan.names:
        return list(inputs), list(arrays)
    kept = _kept(k, arrays[0], inputs[0])
    return [kept, *inputs[1:]], [kept._array, *arrays[1:]]


def _kept(k: Any, array: Any, target: Tensor) -> Tensor:
    """The target with its edge and tangents as they are, although its memory and theirs is written to."""
    k = side_of(array, k) if k.sparse else k
    kept = wrap_array(k.copy(array) if k.mutable else array, k)
    kept._edge = target._edge
    clone_tangents(target, kept)
    return kept


class Target(Tensor):
    """Stands for a tensor that a composite function is to change in place.

    It is of no type that the fast path knows, so the operator that the composite chooses takes the
    general path, and there runs in place on the tensor that this one stands for.
    """

    __slots__ = ("tensor",)
    __torch_function__: Any = _disabled_torch_function_impl

    @classmethod
    def of(cls, tensor: Tensor, recorded: bool) -> Target:
        edge = tensor._edge if recorded else own_edge(tensor)
        made = cls._restore(tensor._array, tensor._kernels, edge, tensor._tensor_meta)
        made.tensor = tensor
        return made


dispatch.in_place[Target] = call_inplace


def in_place_of(op: Op) -> Callable[..., Tensor]:
    """The in-place variant of an operator: `mul_` of `mul`."""
    return _named(specialise.in_place_function(op), op.written_name, f"In-place version of `{op.name}`.")


_READ_ONE_BY_ONE: dict[str, int | None] = {
    **dict.fromkeys("index_add index_copy index_reduce put scatter scatter_add scatter_reduce".split(), None),
    "index_fill": 2,  # a tensor that is filled with is read before
}
"""Functions that read elements while they write others, so that what they write to may be nothing that they read; how
many of their arguments that concerns, if it is not all."""


def in_place_of_composite(name: str, function: Callable[..., Any], ordinary: Op | None) -> Callable[..., Tensor]:
    """The in-place variant of a function that chooses among operators: `div_` of `div`.

    Called with the inputs alone it is that of the `ordinary` one, if there is one.
    """
    chosen = None if ordinary is None else specialise.in_place_function(ordinary)
    function = unflagged(function)
    flags, apart = Flags(function, f"{name}_", method=True), name in _READ_ONE_BY_ONE

    def in_place(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if chosen is not None and len(args) == 1 and not kwargs:
            return chosen(self, *args)
        if flags.kinds:
            flags.check((self, *args), kwargs)
        if apart:
            refuse_overlap(self, args[: _READ_ONE_BY_ONE[name]], apart=True)
        mode, meta = current_mode(), self._tensor_meta
        if meta is not None and meta.view is not None:  # refused before it is asked where it comes from
            check_writable(self, mode, mode.grad and self.requires_grad)
        result = function(Target.of(self, mode.grad), *args, **kwargs)
        if result is not self:
            copy_(self, result)
        return self

    return _named(in_place, name + "_", f"In-place version of `{name}`.")


def written_over(name: str, function: Callable[..., Any], refusal: str = "") -> Callable[..., Tensor]:
    """The in-place variant of a function that computes anew: its node is that of the result.

    `refusal` says that a result of one type cannot be written to the tensor, which is of another.
    """

    def in_place(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        mode = current_mode()
        check_writable(
            self, mode, mode.grad and self.requires_grad, [each for each in args if isinstance(each, Tensor)]
        )
        is_apart = not mode.grad or mode.dual or self._kernels.level
        result = function(_kept(self._kernels, self._array, self) if mode.grad else self, *args, **kwargs)
        if refusal and not can_cast(result.dtype, self.dtype):
            raise RuntimeError(refusal.format(result=result.dtype.type_name, own=self.dtype.type_name))
        if is_apart:
            return copy_(self, result)
        if result._edge is None or result.shape != self.shape or result.dtype is not self.dtype:
            return copy_(self, result)
        check_writable(self, mode, True)
        write(self, result._array)
        rebase(self, result._edge[0], name)
        return self

    return _named(in_place, name, f"In-place version of `{name.removesuffix('_')}`.")


def _named(function: Callable[..., Any], name: str, doc: str) -> Callable[..., Any]:
    function.__name__ = name
    function.__qualname__ = f"Tensor.{name}"
    function.__doc__ = doc
    return function


def call_out(op: Op, out: Tensor, *arguments: Any) -> Tensor:
    """Run `op` and put the result into `out`, which is resized if its shape differs.

    Raises
    ------
    RuntimeError
        If an input or `out` requires a gradient, or the types do not fit.
    """
    mode = current_mode()
    arguments = dispatch.with_numbers(op, op.name, arguments)
    inputs, values = dispatch._split(op, arguments)
    if mode.grad and any(getattr(each, "_edge", None) is not None for each in (*inputs, out)):
        raise RuntimeError(
            f"{op.name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
            "arguments requires grad."
        )
    refuse_out("div" if op.name == "true_divide" else op.bare_name, (*inputs, out))
    k = dispatch.common_kernels(op.name, [*inputs, out])
    if k.level:
        raise RuntimeError(
            f"Batching rule not implemented for aten::{op.name}.out; the fallback path doesn't work on out= or view "
            "ops."
        )
    refuse_overlap(out, inputs)
    inputs = dispatch.lifted_onto_meta(inputs, out) if k.meta else inputs
    (result,) = dispatch.forward(op, arguments, dispatch.promoted(op, inputs, k, values), k)
    result_type = wrap_array(result, k).dtype
    check_out_type(op.bare_name, result_type, out.dtype)
    put(out, k.astype(result, out._array.dtype))
    sign(out._cell, f"{op.name}(out=...)", None, dispatch.stack_of_caller() if mode.anomaly else None)
    return out


# -- writing values ----------------------------------------------------------------------------


@op(
    name="copy",
    node="CopyBackwards",
    vjp={
        "self": lambda K, g: K.zeros_like(g),
        "src": lambda K, g, src_shape, src_dtype: _back_to(K, g, src_shape, src_dtype),
    },
    jvp="linear",
)
def _copy(K, self: Array, src: Array) -> Array:
    """`src`, broadcast to the shape of `self` and cast to its type."""
    value = src if src.dtype == self.dtype else K.astype(src, self.dtype)
    return value if value.shape == self.shape else K.broadcast_to(value, tuple(self.shape))


def _note_discarding(target: Tensor, value: Tensor) -> None:
    if value.is_complex() and not target.is_complex() and target.dtype is not bool_:
        warn_of_discarding(3)


_copy_op = op_of(_copy)
_copy_op.node_class._name_prefix = UNGENERATED
_copied = specialise.in_place_function(_copy_op)


def _back_to(K: Any, g: Any, shape: Any, dtype: Any) -> Any:
    from retrograd.ops.broadcasting import sum_to

    g = sum_to(K, g, shape)
    return g if g.dtype == dtype else K.astype(g, dtype)


def check_broadcast(shape: tuple[int, ...], given: tuple[int, ...]) -> None:
    """What is written must broadcast to the `shape` it is written to."""
    if (common := broadcast_shapes(shape, given)) != shape:
        raise RuntimeError(f"output with shape {list(shape)} doesn't match the broadcast shape {list(common)}")


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Write the elements of `src` into this tensor, broadcast and cast; differentiable. A number goes everywhere.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.copy_.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.zeros(2).copy_(retrograd.tensor(3))
    tensor([3., 3.])
    """
    if type(non_blocking) is not bool:
        raise no_flag("copy_", "non_blocking", non_blocking)
    if isinstance(src, Tensor) and src._kernels is self._kernels and src._array.shape == self._array.shape:
        if src._array.dtype is not self._array.dtype:
            _note_discarding(self, src)
        return _copied(self, src)
    if not isinstance(src, Tensor):
        src = _of_number(self._kernels, src)
    if src._kernels is not self._kernels and src._kernels.base is not self._kernels.base:
        src = src.to(self.device)
    _note_discarding(self, src)
    shape, given = tuple(self._array.shape), tuple(src._array.shape)
    if given != shape:
        mode = current_mode()
        check_writable(self, mode, mode.grad and (self.requires_grad or src.requires_grad), (src,))
        refuse_overlap(self, [src])
        check_broadcast(shape, given)
    return call_inplace(_copy_op, self, src)


def _of_number(k: Any, value: Any) -> Tensor:
    """A tensor of one number, of the widest type of its category."""
    if not isinstance(value, (bool, int, float, complex)):
        raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(value).__name__}")
    number = dispatch.plain_number(value)
    kind = {bool: bool_, int: int64, float: float64, complex: complex128}[type(number)]
    return wrap_array(k.full((), number, k.dtypes[kind.name]), k)


@op(name="fill", node="FillBackward2", vjp={"self": lambda K, g: K.zeros_like(g)}, jvp="zero")
def _fill(K, self: Array, value: Any) -> Array:
    """The shape of `self`, every element `value`."""
    return K.full(tuple(self.shape), value, self.dtype)


@op(
    name="_fill_tensor",
    node="FillBackward3",
    vjp={"self": lambda K, g: K.zeros_like(g), "value": lambda K, g: K.sum(g, tuple(range(len(g.shape))), False)},
    jvp="linear",
)
def _fill_tensor(K, self: Array, value: Array) -> Array:
    """The shape of `self`, every element that of the 0-d tensor `value`."""
    return K.broadcast_to(K.astype(value, self.dtype), tuple(self.shape))


@op(name="zero", node="ZeroBackward0", vjp={"self": lambda K, g: K.zeros_like(g)}, jvp="zero")
def _zero(K, self: Array) -> Array:
    """The shape of `self`, all zeros."""
    return K.zeros_like(self)


_fill_op, _fill_tensor_op = op_of(_fill), op_of(_fill_tensor)
_filled = specialise.in_place_function(_fill_op)


def fill_(self: Tensor, value: Any) -> Tensor:
    """Write `value`, a number or a 0-d tensor, into every element."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions."
            )
        _note_discarding(self, value)
        return call_inplace(_fill_tensor_op, self, value)
    if fits(value, self._kernels, self._array.dtype):
        return _filled(self, value)
    if not isinstance(value, (bool, int, float, complex)) and not hasattr(value, "item"):
        got = described(value)
        raise TypeError(
            f"fill_() received an invalid combination of arguments - got ({c_name(value)}), but expected one of:\n"
            " * (Tensor value)\n"
            f"      didn't match because some of the arguments have invalid types: (!{got}!)\n"
            " * (Number value)\n"
            f"      didn't match because some of the arguments have invalid types: (!{got}!)\n"
        )
    return call_inplace(_fill_op, self, fill_number(as_number("fill_", value, "value", 1), self.dtype))


zero_ = _named(specialise.in_place_function(op_of(_zero)), "zero_", "Write zero into every element.")
specialise.link(call_out=call_out, call_inplace=call_inplace, leave_break=leave_break)
