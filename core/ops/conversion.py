"""Tensors of another type or on another backend, copies, and questions about types.

Note [Moving between backends]
    `x.to("jax")` is an operator with a gradient: its node belongs to the backend it leads to, where
    its gradient arrives, and it hands on a gradient on the backend it came from, in the type it
    came from. Numbers travel through host memory, without a copy where both ends allow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from retrograd import dtypes, overrides
from retrograd.autograd import tangents
from retrograd.autograd.anomaly import remember_call
from retrograd.autograd.modes import current_mode
from retrograd.autograd.node import Node, next_sequence_number
from retrograd.backends.memory_order import axes_in_order
from retrograd.backends.spec import Kernels
from retrograd.device import device, kernels_of
from retrograd.layout import contiguous_format, preserve_format
from retrograd.ops import dispatch, elementwise
from retrograd.ops.batching import leading
from retrograd.ops.checks import warn_of_discarding
from retrograd.ops.declare import Array, op
from retrograd.ops.flags import flagged, no_flag
from retrograd.ops.options import as_dtype, fresh
from retrograd.ops.refused import tensors_only
from retrograd.tensor import Tensor

__all__ = [
    "_assert", "_assert_async", "clone", "is_complex", "is_floating_point", "is_nonzero", "is_tensor", "numel",
    "result_type", "typename",
]  # fmt: skip

# -- to another backend ------------------------------------------------------------------------


class _MovePlan:
    """The gradient of a move: back to where it came from. `_holds` holds the source's kernels and type."""

    __slots__ = ()
    holds_tensors = False

    def raw(self, K: Any, g: Any, node: Node) -> tuple[Any]:
        source, native = node._holds
        moved = source.from_host(K.to_host(g), True)
        return (moved if moved.dtype == native else source.astype(moved, native),)

    def graph(self, G: Any, g: Any, node: Node) -> tuple[Any]:
        source, native = node._holds
        return (_move(g, source, source.names[native]),)

    def pack(self, node: Node, inputs: Sequence[Any] = (), results: bool | None = None) -> None:
        """Nothing saved is a tensor."""

    def saved_attribute(self, node: Node, name: str) -> Any:
        raise AttributeError(f"'{type(node).__name__}' object has no attribute '_saved_{name}'")


_MOVE_PLAN = _MovePlan()


class ToCopyBackward0(Node):
    """The node of a move. See Note [Moving between backends]."""

    __slots__ = ()
    __module__ = "builtins"


def _move(x: Tensor, k: Kernels, type_name: str) -> Tensor:
    """`x` on the device of `k`, as type `type_name`; recorded."""
    mode = current_mode()
    if mode.profiler is not None:
        return mode.profiler.call("aten::_to_copy", _move, x, k, type_name)
    if x._kernels.sparse:
        sparse: Tensor = x._kernels.moved(x, k, type_name)
        return sparse
    source, array = x._kernels, x._array
    native = source.dtypes[type_name]
    if k.meta:
        moved = fresh(k.like(tuple(array.shape), x.stride(), k.dtypes[type_name]), k)
    else:
        cast = array if array.dtype == native else source.astype(array, native)
        moved = fresh(k.from_host(source.to_host(cast), True), k)
    if mode.grad and x._edge is not None and moved.dtype.is_differentiable:
        node = ToCopyBackward0()
        node._next_edges, node._holds, node._grad_plan = (x._edge,), (source, array.dtype), _MOVE_PLAN
        node._kernels, node._grad_fix, node._node_extras, node._seq_nr = k, None, None, next_sequence_number()
        if mode.anomaly:
            remember_call(node)
        moved._edge = (node, 0)
    if mode.dual and moved.dtype.is_differentiable:
        tangents.carry(lambda tangent: _move(tangent, k, type_name), x, moved)
    return moved


# -- to another type ---------------------------------------------------------------------------


class _Wanted(NamedTuple):
    """What a call of `to` asks for; None: as it is."""

    k: Kernels | None
    dtype: dtypes.dtype | None
    copy: bool


def wanted(args: tuple[Any, ...], options: dict[str, Any]) -> _Wanted:
    """Tell the forms of `to` apart: by a tensor, by a type, or by a device and perhaps a type."""
    rest = list(args)
    options = dict(options)
    other = rest.pop(0) if rest and isinstance(rest[0], Tensor) else options.pop("other", None)
    where, type_ = options.pop("device", None), options.pop("dtype", None)
    if isinstance(other, Tensor):
        where, type_ = other._kernels, other.dtype
    elif rest and _is_type(rest[0]):
        type_ = rest.pop(0)
    elif rest:
        where = rest.pop(0)
        if rest and (rest[0] is None or _is_type(rest[0])):
            type_ = rest.pop(0)
    flags = dict(zip(("non_blocking", "copy"), rest, strict=False)) | options
    unknown = set(flags) - {"non_blocking", "copy", "memory_format"}
    if unknown or len(rest) > 2 or not (other is None or isinstance(other, Tensor)):
        given = [type(each).__name__ for each in args]
        raise TypeError(
            "to() received an invalid combination of arguments - got "
            f"({', '.join([*given, *sorted(unknown)])}); expected a tensor, a dtype, or a device and a "
            "dtype, then non_blocking and copy"
        )
    _check_flags(flags, len(args) - len(rest) + 1, options)
    k = None if where is None else kernels_of(where)
    return _Wanted(k, as_dtype("to", type_), flags.get("copy", False))


def _check_flags(flags: dict[str, Any], position: int, keywords: dict[str, Any]) -> None:
    """Refuse a `non_blocking` or `copy` that is no bool; by position the first can stand at `position`."""
    for place, name in enumerate(("non_blocking", "copy"), position):
        if name in flags and type(flags[name]) is not bool:
            raise no_flag("to", name, flags[name], 0 if name in keywords else place)


def _is_type(value: Any) -> bool:
    return isinstance(value, (dtypes.dtype, type))


_PLACES = (str, device)


def to(self: Tensor, *args: Any, **options: Any) -> Tensor:
    """This tensor as another type or on another backend; itself if nothing has to change.

    Called as `to(dtype)`, `to(device)`, `to(device, dtype)` or `to(other)`, for the type and device of
    another tensor; each also with `non_blocking` (ignored) and `copy`, which asks for a copy in any
    case. Gradients go the way back.

    Raises
    ------
    TypeError
        For other arguments.
    retrograd.BackendError
        If there is no such backend.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.to.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([1.9]).to(retrograd.int64)
    tensor([1])
    >>> retrograd.tensor([1.0]).to("numpy", retrograd.float64)
    tensor([1.], dtype=retrograd.float64)
    """
    if len(args) == 1 and not options and type(args[0]) in _PLACES and kernels_of(args[0]).base is self._kernels.base:
        return self
    asked = wanted(args, options)
    type_ = asked.dtype or self.dtype
    if asked.k is not None and asked.k.base is not self._kernels.base:
        return _move(self, asked.k, type_.name)
    if type_ is self.dtype and not asked.copy:
        return self
    return _cast(self, type_)


def _cast(x: Tensor, type_: dtypes.dtype) -> Tensor:
    if x.is_complex() and not type_.is_complex and type_ is not dtypes.bool_:
        warn_of_discarding(3)
    result: Tensor = elementwise.to_copy(x, x._kernels.dtypes[type_.name])
    return result


def _converter(name: str, type_: dtypes.dtype) -> Callable[..., Tensor]:
    def convert(self: Tensor, *, memory_format: Any = None) -> Tensor:
        return self if self.dtype is type_ else _cast(self, type_)

    convert.__name__, convert.__qualname__ = name, f"Tensor.{name}"
    convert.__doc__ = f"This tensor as {type_}; itself if it is already."
    return convert


_CONVERTERS = {
    "bool": dtypes.bool_, "byte": dtypes.uint8, "char": dtypes.int8, "short": dtypes.int16,
    "int": dtypes.int32, "long": dtypes.int64, "half": dtypes.float16,
    "bfloat16": dtypes.bfloat16, "float": dtypes.float32, "double": dtypes.float64,
    "cfloat": dtypes.complex64, "cdouble": dtypes.complex128,
}  # fmt: skip


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """This tensor as the type of `other`, on its backend."""
    tensors_only(other)
    return to(self, other)


def cpu(self: Tensor, *, memory_format: Any = None) -> Tensor:
    """This tensor in its backend's CPU memory; itself if it is there."""
    return to(self, "cpu" if self._kernels.meta else f"{self._kernels.backend}:cpu")


@flagged
def cuda(self: Tensor, device: Any = None, non_blocking: bool = False, *, memory_format: Any = None) -> Tensor:
    """This tensor on its backend's GPU.

    Raises
    ------
    retrograd.BackendError
        If its backend has none here.
    """
    number = "" if device is None else f":{str(device).rpartition(':')[2]}"
    return to(self, f"gpu{number}" if self._kernels.meta else f"{self._kernels.backend}:gpu{number}")


# -- copies ------------------------------------------------------------------------------------


def _order_in_memory(k: Any, x: Any) -> tuple[int, ...] | None:
    """The axes from the outermost to the innermost, unless that is row-major order; then None."""
    if not k.mutable or x.ndim < 2:
        return None
    order = axes_in_order([k.strides(x)], tuple(x.shape))
    return None if order == [*range(x.ndim)] else tuple(order)


def _copy_in_order(K: Any, x: Any) -> Any:
    """A copy whose axes lie in memory in the same order."""
    order = _order_in_memory(K, x)
    if order is None:
        return K.copy(x)
    inverse = tuple(order.index(i) for i in range(len(order)))
    return K.permute_dims(K.copy(K.permute_dims(x, order)), inverse)


@op(name="_clone", node="CloneBackward0", vjp={"self": lambda K, g: g}, jvp="linear", graph="_clone", batch=leading)
def _clone(K, self: Array) -> Array:
    """A copy in memory of its own, its axes in the same order."""
    return _copy_in_order(K, self)


@op(
    "copy",
    name="_clone_contiguous",
    node="CloneBackward0",
    vjp={"self": lambda K, g: g},
    jvp="linear",
    graph="copy",
    batch=leading,
)
def _clone_contiguous(self: Array) -> Array:
    """A copy in memory of its own, in row-major order."""


def clone(input: Tensor, *, memory_format: Any = preserve_format) -> Tensor:
    """A copy in memory of its own, through which gradients flow.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.clone.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([1.0], requires_grad=True)
    >>> retrograd.clone(x)
    tensor([1.], grad_fn=<CloneBackward0>)
    """
    made: Tensor = (_clone_contiguous if memory_format is contiguous_format else _clone)(input)
    return made


def contiguous(self: Tensor, *, memory_format: Any = contiguous_format) -> Tensor:
    """This tensor if it lies in memory in row-major order, else a copy that does.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.contiguous.html
    """
    if self._kernels.sparse:
        raise RuntimeError("unsupported memory format option Contiguous")
    return self if self.is_contiguous() else _clone_contiguous(self)


# -- questions ---------------------------------------------------------------------------------


def _tensor(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(value).__name__}")
    return value


def _assert(condition: Any, message: str) -> Any:
    """``assert condition, message``, as a function: an object that stands for a condition can take it over.

    None, or what such an object gives.

    Raises
    ------
    AssertionError
        If `condition` is false.
    """
    if type(condition) is not Tensor and overrides.has_torch_function((condition,)):
        return overrides.handle_torch_function(_assert, (condition,), condition, message)
    if not condition:
        raise AssertionError(message)
    return None


def _assert_async(input: Tensor, assert_msg: str = "Expected Tensor with single nonzero value, but got zero") -> None:
    """Refuse a tensor of one element that is zero; on some of PyTorch's devices, later.

    Raises
    ------
    RuntimeError
        If it is zero, or has more elements than one, or none.
    """
    if not bool(input):
        raise RuntimeError(assert_msg)


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a tensor.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.is_tensor(1.0)
    False
    """
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether a tensor's type is a real floating-point one."""
    return _tensor("is_floating_point", input).is_floating_point()


def is_complex(input: Tensor) -> bool:
    """Whether a tensor's type is a complex one."""
    return _tensor("is_complex", input).is_complex()


def numel(input: Tensor) -> int:
    """The number of elements of a tensor.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.numel(retrograd.zeros(2, 3))
    6
    """
    return _tensor("numel", input).numel()


def is_nonzero(input: Tensor) -> bool:
    """Whether the only element of a tensor is not zero.

    Raises
    ------
    RuntimeError
        If there is not exactly one element.
    """
    return bool(_tensor("is_nonzero", input))


def result_type(tensor1: Any, tensor2: Any) -> dtypes.dtype:
    """The type that arithmetic on two tensors, or a tensor and a number, gives.

    A tensor with dimensions decides over a 0-dimensional one of the same category, and that over a
    number.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.result_type.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.result_type(retrograd.tensor([1, 2]), 1.5)
    retrograd.float32
    """
    for each in (tensor1, tensor2):
        if not isinstance(each, (Tensor, bool, int, float, complex)):
            raise TypeError(
                "result_type() received an invalid combination of arguments - got "
                f"({type(tensor1).__name__}, {type(tensor2).__name__}), but expected tensors or numbers"
            )
    return dispatch.result_type(tensor1, tensor2)


def typename(obj: Any) -> str:
    """The name of a tensor's type, `retrograd.FloatTensor`, or the qualified name of another object's."""
    if isinstance(obj, Tensor):
        kind = "sparse." if obj.is_sparse else "meta." if obj._kernels.meta else ""
        return f"retrograd.{kind}{obj.dtype.type_name}Tensor"
    class_ = obj if isinstance(obj, type) else type(obj)
    module = "" if class_.__module__ in ("builtins", "__builtin__") else f"{class_.__module__}."
    return f"{module}{class_.__qualname__}"


# -- on the class ------------------------------------------------------------------------------

for _name, _type in _CONVERTERS.items():
    setattr(Tensor, _name, _converter(_name, _type))
for _method in (to, type_as, cpu, cuda, clone, contiguous, is_nonzero):
    setattr(Tensor, _method.__name__, _method)
Tensor.is_cuda = property(lambda self: self.device.type == "gpu")  # type: ignore[attr-defined]
