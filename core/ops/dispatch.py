"""The general path of a call: every operator, every mode, every kind of input.

The generated functions of `retrograd.ops.specialise` handle the common case (plain tensors of one
floating-point type on one backend, nothing unusual switched on) and come here for all else, errors
included. So whatever an operator means is written here; the fast path only repeats a part of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from retrograd.autograd.anomaly import remember_call, stack_of_caller
from retrograd.autograd.explaining import remember_break
from retrograd.autograd.modes import Mode, current_mode
from retrograd.autograd.node import Node, extras_of_outputs, next_sequence_number
from retrograd.autograd.profiler import operator_name
from retrograd.dtypes import DTYPES, FLOAT8, Category, bool_, dtype, get_default_dtype, int64, promote_types
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.ops.called_as import call_from_outside
from retrograd.ops.half import WidePlan, computed, half_among, is_number_beside
from retrograd.ops.overloads import wrong_argument
from retrograd.ops.refused import c_name
from retrograd.overrides import overridden
from retrograd.storage import INFERENCE

if TYPE_CHECKING:
    from retrograd.ops.declare import Op
    from retrograd.tensor import Tensor

__all__ = ["call", "call_or_decline", "forward", "new_node", "result_type", "stack_of_caller"]


in_place: dict[type, Any] = {}
"""How a call runs whose first input is a `retrograd.ops.inplace.Target`; that module enters itself here."""


def call(op: Op, *arguments: Any) -> Any:
    """Call `op` with all its arguments in declared order.

    Raises
    ------
    TypeError
        If an input is neither a tensor nor, where the operator broadcasts, a number.
    RuntimeError
        If inputs are on different backends, their shapes do not broadcast or their types do not fit.
    """
    mode = current_mode()
    if arguments and type(arguments[0]) in in_place:
        return in_place[type(arguments[0])](op, arguments[0].tensor, *arguments[1:])
    if mode.autocast is not None:
        from retrograd.ops import autocasting

        return autocasting.call(op, mode, arguments)
    if op.numbers:
        arguments = with_numbers(op, op.name, arguments)
    if mode.profiler is not None:
        return mode.profiler.call(operator_name(op.node_class.__name__), call, op, *arguments)
    if mode.dual:
        from retrograd.autograd import tangents

        result = tangents.call(op, mode, arguments)
        if result is not NotImplemented:
            return result
    try:
        inputs, values = _split(op, arguments)
    except TypeError:
        if (result := _overridden(op, arguments)) is NotImplemented:
            raise
        return result
    if op.check is not None:
        op.check(inputs)
    k = common_kernels(op.name, inputs)
    if k.sparse or op.makes_sparse:
        op, k = sparse_form(op, inputs, k)
    inputs = lifted(inputs, k)
    arrays = promoted(op, inputs, k, values)
    known = None if mode.results is None else mode.results.find(op)
    outputs = forward(op, arguments, arrays, k) if known is None else known
    result = _wrap(op, mode, inputs, arrays, outputs, values, k)
    if mode.results is not None:
        mode.results.keep(op, arguments, result)
    return result


def _overridden(op: Op, arguments: Sequence[Any]) -> Any:
    """What an object that is no tensor makes of the call; NotImplemented if there is none, or nobody calls `op`."""
    if op.name.startswith("_"):
        return NotImplemented
    from retrograd.ops.declare import publics

    given, options = [], {}
    for (name, parameter), value in zip(op.signature.parameters.items(), arguments, strict=True):
        if parameter.default is parameter.empty:
            given.append(value)
        elif value is not parameter.default:
            options[name] = value
    return overridden(publics["div"] if op.name == "true_divide" else op.public, given, options)


def call_or_decline(op: Op, *arguments: Any) -> Any:
    """`call` for an operator's symbol: NotImplemented for an operand of a type it does not take."""
    try:
        return call(op, *arguments)
    except TypeError:
        return NotImplemented


def with_numbers(op: Op, name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments, of which one that is to be a number may be a tensor without dimensions; `name` is for the error.

    Raises
    ------
    TypeError
        If it is a tensor that has dimensions or requires a gradient, or no number at all.
    """
    for parameter, place, kind in op.numbers:
        value = arguments[place]
        if type(value) is int or (type(value) is float and kind != "int"):
            continue
        number = _number(value, kind)
        if number is NotImplemented:
            raise _no_number(op, name, parameter, place, kind, value)
        arguments = (*arguments[:place], number, *arguments[place + 1 :])
    return arguments


def _no_number(op: Op, name: str, parameter: str, place: int, kind: str, value: Any) -> TypeError:
    from retrograd.tensor import Tensor

    wanted = {"float": "Number", "float | None": "float"}.get(kind, kind)
    is_method = (kind == "int" or name.endswith("_")) and hasattr(Tensor, name) and not op.input_places[0]
    call = call_from_outside(name)
    place += not (is_method if call is None else call.as_method)  # whose arguments are counted from the second
    named = parameter in op.keywords or (call is not None and parameter in call.keywords)
    position = "" if named else f" (position {place})"
    return TypeError(f"{name.lstrip('_')}(): argument '{parameter}'{position} must be {wanted}, not {c_name(value)}")


def _number(value: Any, kind: str) -> Any:
    """What is given for a number of that kind as one of Python's; NotImplemented if it is none."""
    if value is None:
        return value if kind == "float | None" else NotImplemented
    if getattr(value, "requires_grad", False) or getattr(value, "shape", ()) != ():
        return NotImplemented
    if not isinstance(value, _NUMBERS) and hasattr(value, "item"):
        value = value.item()
    fits = {"int": _WHOLE, "float | None": _REAL, "float": _NUMBERS}[kind]
    if not isinstance(value, fits) or (kind == "int" and isinstance(value, bool)):
        return NotImplemented
    return value


def forward(op: Op, arguments: Sequence[Any], arrays: Sequence[Any], k: Any) -> tuple[Any, ...]:
    """The raw results, from arrays that are already promoted."""
    remaining = iter(arrays)
    given: list[Any] = []
    for (_, kind), argument in zip(op.arguments, arguments, strict=True):
        if kind == "list":
            given.append([next(remaining) for _ in argument])
        else:
            given.append(next(remaining) if kind else argument)
    half = half_among(arrays, k) if op.widens or op.keeps_type else None
    try:
        with k.quiet():
            result = op.forward_for(k)(k, *given) if half is None else computed(op, k, given, half)
    except (ValueError, TypeError, IndexError) as error:
        raise _explained(op, arrays, error) from error
    results = result if op.outputs != 1 else (result,)
    results = tuple(each if type(each) is k.array_type else k.as_array(each) for each in results)
    if op.order and k.in_order_of:
        leading = [arrays[place] for place in op.order]
        results = tuple(k.in_order_of(each, leading) for each in results)
    return results


def _explained(op: Op, arrays: Sequence[Any], error: Exception) -> Exception:
    """A kernel refused: with PyTorch's text where shapes do not broadcast, else the library's, with a note."""
    shapes = [tuple(each.shape) for each in arrays if hasattr(each, "shape")]
    if op.promote is not None:
        try:
            broadcast_shapes(*shapes)
        except RuntimeError as mismatch:
            return mismatch
    if isinstance(error, IndexError):
        return error  # a position out of range, in the kernel's words
    return RuntimeError(f"{op.name.strip('_')}(): {error} (input shapes: {', '.join(map(str, shapes))})")


def _split(op: Op, arguments: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """The tensor inputs, flat, and the other arguments by name."""
    from retrograd.tensor import Tensor

    inputs: list[Any] = []
    values: dict[str, Any] = {}
    for position, ((name, kind), argument) in enumerate(zip(op.arguments, arguments, strict=True)):
        if kind is None:
            values[name] = argument
        elif kind == "list":
            for i, each in enumerate(argument):
                if not isinstance(each, Tensor):
                    raise TypeError(
                        f"expected Tensor as element {i} in argument {position}, but got {type(each).__name__}"
                    )
                inputs.append(each)
        elif isinstance(argument, Tensor) or (kind == "optional" and argument is None):
            inputs.append(argument)
        elif op.promote is not None and isinstance(argument, _NUMBERS) and name in op.as_numbers:
            inputs.append(plain_number(argument))
        elif op.promote is not None and hasattr(argument, "__array__") and getattr(argument, "ndim", 1) == 0:
            inputs.append(argument.__array__().item())  # a NumPy scalar is a number, and so is an array of one
        else:
            raise wrong_argument(op.name, name, position, _inputs_of(op, arguments))
    if op.promote is not None and not any(isinstance(each, Tensor) for each in inputs):
        if op.name not in _ARITHMETIC:
            raise wrong_argument(op.name, op.inputs[0], 0, _inputs_of(op, arguments))
        inputs[0] = _as_tensor(inputs[0])
    return inputs, values


_ARITHMETIC = frozenset(("add", "sub", "mul", "true_divide", "_div_rounded", "floor_divide"))
"""Operators that PyTorch computes of numbers alone, too."""


def _as_tensor(number: Any) -> Tensor:
    from retrograd.ops.creation import tensor

    return tensor(number)


def _inputs_of(op: Op, arguments: Sequence[Any]) -> list[Any]:
    return [arguments[place] for place in op.input_places]


def common_kernels(name: str, inputs: Sequence[Any]) -> Any:
    """The kernels of the backend and device that all tensors among `inputs` are on.

    Inside `vmap` those of the innermost level: tensors from outside are lifted to it (`lifted`).
    """
    k = None
    for each in inputs:
        own = getattr(each, "_kernels", None)
        if own is None or own is k:
            continue
        if k is not None and own.level == k.level == 0:
            if own.base is k.base:  # one of them is sparse
                k = own if own.sparse else k
                continue
            if k.meta or own.meta:
                return _meta_kernels(inputs)
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, "
                f"{k.backend}:{k.device} and {own.backend}:{own.device}! {name}() computes on one "
                f"backend: move a tensor with .to('{k.backend}') or .to('{own.backend}')"
            )
        if k is None or own.level > k.level:
            k = own
    if k is None:
        kind = type(inputs[0]).__name__ if inputs else "nothing"
        raise TypeError(f"{name.strip('_')}(): argument 'input' (position 1) must be Tensor, not {kind}")
    return k


def _meta_kernels(inputs: Sequence[Any]) -> Any:
    """The kernels of `meta`, of whose tensors and others these are; the latter are numbers, or it is an error."""
    tables = [each._kernels for each in inputs if hasattr(each, "_kernels")]
    for each in inputs:
        if hasattr(each, "_kernels") and not each._kernels.meta and each.ndim:
            raise RuntimeError(f"Tensor on device {each.device} is not on the expected device meta!")
    return next(k for k in tables if k.meta)


def lifted_onto_meta(inputs: list[Any], target: Tensor) -> list[Any]:
    """The inputs, some of which are on `meta`, of an operator that writes to `target`."""
    if not target._kernels.meta:
        raise RuntimeError(f"Tensor on device meta is not on the expected device {target.device}!")
    return lifted(inputs, target._kernels)


def _on_meta(value: Any, k: Any) -> Any:
    return value.to("meta") if getattr(value, "_kernels", k) is not k else value


def sparse_form(op: Op, inputs: Sequence[Any], k: Any) -> tuple[Op, Any]:
    """The operator that runs for a call of `op` with sparse operands or results, and their table."""
    from retrograd.sparse.table import sparse_side

    return op if op.makes_sparse else k.form_of(op, inputs), sparse_side(k)


def lifted(inputs: list[Any], k: Any) -> list[Any]:
    """The inputs at the level of `k`, the table that `common_kernels` found."""
    if k.level == 0:
        return [_on_meta(each, k) for each in inputs] if k.meta else inputs
    return [each if getattr(each, "_kernels", k) is k else k.lift(each) for each in inputs]


def result_type(*inputs: Any) -> dtype:
    """The type that arithmetic on `inputs`, tensors or Python numbers, gives.

    A tensor with dimensions decides over a 0-dimensional one of the same category, and that over a
    number.

    Source: https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc

    Examples
    --------
    >>> import retrograd
    >>> retrograd.result_type(retrograd.tensor([1, 2]), 1.5)
    retrograd.float32
    """
    dimensioned: dtype | None = None
    zero_dim: dtype | None = None
    number: dtype | None = None
    for each in inputs:
        kind = type(each)
        if kind not in _NUMBERS and isinstance(each, _NUMBERS):
            kind = type(plain_number(each))
        if kind is bool:
            number = _join(number, bool_)
        elif kind is int:
            number = _join(number, int64)
        elif kind is float:
            number = _join(number, get_default_dtype())
        elif kind is complex:
            number = _join(number, get_default_dtype().to_complex())
        elif each._array.shape == ():
            zero_dim = _join(zero_dim, each.dtype)
        else:
            dimensioned = _join(dimensioned, each.dtype)
    return _outrank(_outrank(dimensioned, zero_dim), number) or get_default_dtype()


_NUMBERS = (bool, int, float, complex)
_REAL, _WHOLE = (bool, int, float), (int,)


def plain_number(value: Any) -> Any:
    """A number as one of Python's own types: NumPy's float64, an IntEnum and their like are subclasses of these."""
    if type(value) in _NUMBERS:
        return value
    return next(kind for kind in _NUMBERS if isinstance(value, kind))(value)


def _join(one: dtype | None, other: dtype) -> dtype:
    return other if one is None else promote_types(one, other)


def _outrank(higher: dtype | None, lower: dtype | None) -> dtype | None:
    """`higher` decides, unless `lower` is of a higher category."""
    if higher is None or lower is None:
        return higher or lower
    if lower.category <= higher.category:
        return higher
    if lower.is_complex:
        return lower if higher.category < Category.FLOAT else higher.to_complex()
    return lower if higher.category < Category.FLOAT else higher


def promoted(op: Op, inputs: Sequence[Any], k: Any, values: Mapping[str, Any]) -> list[Any]:
    """The inputs' arrays, brought to one type if the operator promotes.

    Raises
    ------
    NotImplementedError
        If the operator does not take that type: see `retrograd.ops.float8`.
    """
    if op.promote is None:
        arrays = [None if each is None else each._array for each in inputs]
        if op.float8 is not None:
            for array in arrays:
                if array is not None and array.dtype in k.float8:
                    op.float8.check(DTYPES[k.names[array.dtype]], values, k)
        return arrays
    given = [getattr(each, "_array", None) for each in inputs]
    type_ = getattr(given[0], "dtype", None)
    if type_ in k.floats and all(each is not None and each.dtype is type_ for each in given):
        return given  # the usual case
    common = result_type(*(each for each in inputs if each is not None))
    if op.float8 is not None and common in FLOAT8:
        op.float8.check(common, values, k, inputs)
    if op.promote == "float" and common.category < Category.FLOAT:
        common = get_default_dtype()
    native = k.dtypes[common.name]
    exact = op.exact_numbers if native in k.halves else ()
    arrays = []
    for place, each in enumerate(inputs):
        own = k.dtypes["float32"] if place in exact and is_number_beside(each, inputs) else native
        if each is None:
            arrays.append(None)
        elif isinstance(each, (bool, int, float, complex)):
            arrays.append(k.full((), number_as(each, common), own))
        else:
            array = each._array
            arrays.append(array if array.dtype == own else k.astype(array, own))
    return arrays


def number_as(value: Any, type_: dtype) -> Any:
    """A Python number as one that fits the type's category, wrapped around as C does for integers."""
    if type_.is_complex:
        return complex(value)
    if type_.is_floating_point:
        return float(value)
    if type_ is bool_:
        return bool(value)
    bits = 8 * type_.itemsize
    wrapped = int(value) & ((1 << bits) - 1)
    return wrapped - (1 << bits) if type_.is_signed and wrapped >> (bits - 1) else wrapped


def _wrap(
    op: Op, mode: Mode, inputs: list[Any], arrays: list[Any], outputs: tuple[Any, ...], values: dict[str, Any], k: Any
) -> Any:
    """Tensors of the results, with a node if a gradient may be asked for."""
    from retrograd.tensor import side_of, wrap_array

    tensors = [wrap_array(each, side_of(each, k) if k.sparse else k) for each in outputs]
    node = None
    if mode.grad and op.vjp:
        edges = tuple(None if each is None else getattr(each, "_edge", None) for each in inputs)
        if any(edge is not None for edge in edges):
            node = record(op, mode, inputs, arrays, tensors, values, edges, k)
    if mode.dual:
        from retrograd.autograd import tangents

        tangents.push(op, inputs, tensors, values)
        if node is not None:
            node._grad_plan.keep_tangents(node, inputs, tensors)
    if mode.inference:
        for each in tensors:
            each._cell = INFERENCE
    if node is None or op.outputs > 1 or tensors[0]._edge is None:
        remember_break(op.shown_name, inputs, tensors, node is not None, mode.grad)
    return tensors[0] if op.outputs == 1 else tuple(tensors)


def record(
    op: Op, mode: Mode, inputs: Sequence[Any], arrays: Sequence[Any], tensors: Sequence[Tensor],
    values: dict[str, Any], edges: tuple[Any, ...], k: Any,
) -> Node:  # fmt: skip
    """Make the node of a call and make it the origin of those outputs that can have a gradient."""
    node = new_node(op, mode, inputs, arrays, tensors, values, edges, k)
    for position, tensor in enumerate(tensors):
        if tensor.dtype.is_differentiable:
            tensor._edge = (node, position)
    if node._n_differentiable > 1:
        node._need_extras().outputs = extras_of_outputs(tensors).outputs
    if mode.saved_hooks:
        node._grad_plan.pack(node, inputs, tensors)
    return node


def new_node(
    op: Op, mode: Mode, inputs: Sequence[Any], arrays: Sequence[Any], tensors: Sequence[Tensor],
    values: dict[str, Any], edges: tuple[Any, ...], k: Any,
) -> Node:  # fmt: skip
    mask = (True,) * len(op.inputs) if "list" in op.kinds.values() else tuple(e is not None for e in edges)
    plan = op.plans_for(k)[mask]
    node = op.node_class()
    node._next_edges = edges
    node._kernels = k
    node._node_extras = None
    node._grad_fix = _fix(op, inputs, arrays, tensors, k)
    node._seq_nr = next_sequence_number()
    node._holds = plan.save(inputs, arrays, tensors, values)
    node._grad_plan = plan
    if op.holomorphic and any(DTYPES[k.names[a.dtype]].is_complex for a in arrays if hasattr(a, "dtype")):
        from retrograd.ops.declare import ConjugatedPlan

        node._grad_plan = ConjugatedPlan(plan)
    elif op.fused_gradient and half_among(arrays, k) is not None:
        node._grad_plan = WidePlan(plan)
    if mode.anomaly:
        remember_call(node)
    return node


def _fix(op: Op, inputs: Sequence[Any], arrays: Sequence[Any], outputs: Sequence[Tensor], k: Any) -> Any:
    """See `Node._grad_fix`: what broadcasting and promotion changed, per input."""
    if op.promote is None:
        return _fix_types(arrays, k)
    shape = outputs[0]._array.shape
    fix: list[Any] = []
    for each, array in zip(inputs, arrays, strict=True):
        own = getattr(each, "_array", None)
        if own is None:
            fix.append(None)
            continue
        wrong_shape = tuple(own.shape) if own.shape != shape else None
        wrong_dtype = own.dtype if own.dtype != array.dtype or own.dtype in k.widening else None
        fix.append((wrong_shape, wrong_dtype) if wrong_shape is not None or wrong_dtype is not None else None)
    return tuple(fix) if any(each is not None for each in fix) else None


def _fix_types(arrays: Sequence[Any], k: Any) -> Any:
    """`Node._grad_fix` of inputs used as they are: types that numbers in a formula would widen, or that are not one."""
    types = [getattr(each, "dtype", None) for each in arrays]
    real = {each for each in types if each in k.floats or each in k.widening}
    if len(real) < 2 and not any(each in k.widening for each in real):
        return None
    return tuple((None, each) if each in real else None for each in types)
