"""`retrograd.ops.aten`: the declared operators under the names that PyTorch's dispatcher gives them.

`retrograd.ops.aten.mm.default` stands for the operator that a policy of selective checkpointing is asked about where
PyTorch's is asked about `torch.ops.aten.mm.default`. An operator of ours has the name of its node
(`MmBackward0`); where PyTorch counts several forms as one operator, the overload tells them apart (`sum.default`,
`sum.dim_IntList`).

What has no node of its own is here too, if it is a function or a method (`view`, `add_`, `detach`). Of views and of
writes in place policies are asked under these names.

    >>> import retrograd
    >>> retrograd.ops.aten.mm.default
    <OpOverload(op='aten.mm', overload='default')>
    >>> retrograd.ops.aten.mm.default(retrograd.eye(2), retrograd.ones(2, 2))
    tensor([[1., 1.],
            [1., 1.]])
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from retrograd.ops import dense, view_copies
from retrograd.ops.declare import Op, publics
from retrograd.ops.shape import alias_of
from retrograd.tensor import Tensor

__all__ = ["OpOverload", "OpOverloadPacket", "overload_of", "view_arguments", "view_form", "written_form"]

_NAMES = {
    "smooth_l1loss": "smooth_l1_loss", "nll_loss": "nll_loss_forward", "nll_loss2d": "nll_loss2d_forward",
    "log_sigmoid": "log_sigmoid_forward",
} | {
    name: f"_{name}"
    for name in (
        "softmax", "log_softmax", "unsafe_view", "to_copy", "prelu_kernel", "conj", "conj_physical",
        "adaptive_avg_pool2d", "adaptive_avg_pool3d", "upsample_nearest_exact1d", "upsample_nearest_exact2d",
        "upsample_nearest_exact3d",
    )
}  # fmt: skip
"""Where PyTorch's operator is not called as its node."""

_OVERLOADS = {
    name: overload
    for overload, names in {
        "Tensor": "add sub _rsub mul true_divide _remainder _fmod _copysign _clamp _clamp_min _clamp_max eq ne lt le "
        "gt ge bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift _lerp _fill_tensor _index "
        "ldexp _xlogy",
        "Scalar": "_rsub_number _remainder_number _fmod_number _copysign_number _lerp_number _masked_fill fill "
        "_pow_of_number",
        "Tensor_Tensor": "_pow _normal_by_both",
        "Tensor_Scalar": "_pow_number",
        "Tensor_mode": "_div_rounded",
        "Tensor_float": "_normal_by_mean",
        "float_Tensor": "_normal_by_std",
        "Scalar_Self": "_xlogy_of_number",
        "Scalar_Other": "_xlogy_number",
        "dim_IntList": "_sum _sum_as _count_nonzero",
        "dim": "_mean _max_dim _min_dim _median_dim _nanmedian_dim",
        "dim_int": "_prod",
        "correction": "_var _std _var_mean _std_mean",
        "decimals": "_round_decimals",
        "self": "_where",
        "src": "_scatter",
        "value": "_scatter_fill_zero",
    }.items()
    for name in names.split()
}  # fmt: skip
"""Of operators with an overload other than `default`."""

_OF_NUMBER = dict.fromkeys("eq ne lt le gt ge bitwise_and bitwise_or bitwise_xor".split(), "Scalar") | dict.fromkeys(
    ("bitwise_left_shift", "bitwise_right_shift"), "Tensor_Scalar"
)
"""The overload of operators whose second argument may be a number, if it is one."""

_OF_VIEWS = {
    "select": "int", "slice": "Tensor", "split": "Tensor", "transpose": "int", "unbind": "int",
}  # fmt: skip
"""The overload of views, if it is not `default`; that of `squeeze` follows from its node's number."""

_LAST_OF_VIEWS = {"as_strided": (0,), "diagonal": (0, 0, 1), "slice": (1,), "split": (0,), "unbind": (0,)}
"""The last arguments of views, as they are if they are not given."""

_ELSEWHERE = {
    "convolution_backward": "retrograd.nn.grad",
    "_dirichlet_grad": "retrograd.ops.gamma_sampling",
    "_standard_gamma_grad": "retrograd.ops.gamma_sampling",
}
"""The modules of functions that are no declared operators' own, loaded when they are first asked for."""

_UNASKED = ("default", "Tensor", "Scalar", "int", "memory_format")
"""Overloads of what is a function or method but has no node of its own."""


class OpOverload:
    """One form of an operator: what policies are asked about. Two of the same name are one object.

    Attributes
    ----------
    overloadpacket
        All its forms.
    namespace
        `"aten"`.
    """

    __module__ = "retrograd._ops"
    namespace = "aten"

    def __init__(self, packet: OpOverloadPacket, overload: str) -> None:
        self.overloadpacket = packet
        self._overloadname = overload
        self.__name__ = f"{packet.__name__}.{overload}"

    def name(self) -> str:
        """As profiles have it: `aten::mm`, `aten::sum.dim_IntList`."""
        suffix = "" if self._overloadname == "default" else f".{self._overloadname}"
        return f"aten::{self.overloadpacket.__name__}{suffix}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.overloadpacket(*args, **kwargs)

    def __str__(self) -> str:
        return f"aten.{self.__name__}"

    def __repr__(self) -> str:
        return f"<OpOverload(op='{self.overloadpacket}', overload='{self._overloadname}')>"


class OpOverloadPacket:
    """All forms of an operator, as attributes. Calling it is calling the function or method of that name."""

    __module__ = "retrograd._ops"

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.__name__ = name
        self._function = function
        self._made: dict[str, OpOverload] = {}

    def overloads(self) -> list[str]:
        """The names of the forms."""
        return list(self._made)

    def _form(self, overload: str) -> OpOverload:
        if overload not in self._made:
            self._made[overload] = OpOverload(self, overload)
        return self._made[overload]

    def __getattr__(self, name: str) -> OpOverload:
        try:
            return self.__dict__["_made"][name]
        except KeyError:
            raise AttributeError(f"The underlying op of '{self}' has no overload name '{name}'") from None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __str__(self) -> str:
        return f"aten.{self.__name__}"

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='{self}')>"


def _name_of(op: Op) -> str:
    node = re.sub(r"Backwards?\d*(?=_|$)", "", op.node_class.__name__)
    if node == "NotImplemented":  # it has no derivative in PyTorch
        return op.bare_name
    name = re.sub(r"(?<!^)(?<!\d)(?=[A-Z])", "_", node).lower()
    return _NAMES.get(name, name)


_packets: dict[str, OpOverloadPacket] = {}


def _packet(name: str) -> OpOverloadPacket | None:
    if name in _packets:
        return _packets[name]
    operators = [op for op in Op.registry.values() if _name_of(op) == name]
    function = publics.get(name) or getattr(Tensor, name, None) or _WRITTEN.get(name)
    if name in _ELSEWHERE:
        function = getattr(importlib.import_module(_ELSEWHERE[name]), name)
    if function is None and name in view_copies.__all__:
        function = getattr(view_copies, name)
    if not operators and not callable(function):
        return None
    made = _packets[name] = OpOverloadPacket(name, function or operators[0].public)
    for op in operators:
        made._form(_OVERLOADS.get(op.name, "default"))
        if op.name in _OF_NUMBER:
            made._form(_OF_NUMBER[op.name])
    for overload in () if operators else _UNASKED:
        made._form(overload)
    for overload in _FURTHER.get(name, ()):
        made._form(overload)
    return made


def _slice(input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    before = dim + input.ndim if dim < 0 else dim
    found: Tensor = input[(*(slice(None) for _ in range(before)), slice(start, end, step))]
    return found


_WRITTEN: dict[str, Callable[..., Any]] = {"alias": alias_of, "slice": _slice, "_pin_memory": dense.pin_memory}
_FURTHER = {"squeeze": ("dim", "dims"), "sort": ("stable",)}
"""Overloads of operators besides those of their nodes."""


def view_form(node_name: str) -> OpOverload:
    """The form of the call that makes a view, from the name of its node."""
    base, _, number = node_name.rpartition("Backward")
    name = re.sub(r"(?<!^)(?<!\d)(?=[A-Z])", "_", base).lower()
    packet = _packet("view" if name == "reshape_alias" else name)
    assert packet is not None  # it is a method
    if name == "squeeze":
        return packet._form({"1": "dim", "2": "dims"}.get(number, "default"))
    return packet._form(_OF_VIEWS.get(name, "default"))


def view_arguments(form: OpOverload, made: Any, arguments: dict[str, Any]) -> list[Any]:
    """The arguments of that call besides the tensor, from what the node shows."""
    if form.overloadpacket.__name__ in ("view", "expand"):
        return [list(made.shape)]
    names = ("split_size", "dim") if "split_size" in arguments else tuple(arguments)
    found = [arguments[name] for name in names if not name.startswith("self_")]
    for default in reversed(_LAST_OF_VIEWS.get(form.overloadpacket.__name__, ())):
        if found[-1] != default:
            break
        found.pop()
    return found


def written_form(op: Op, arguments: Sequence[Any]) -> OpOverload:
    """The form of a call in place: `add_.Tensor`."""
    form = overload_of(op, arguments)
    packet = _packet(f"{form.overloadpacket.__name__}_")
    return form if packet is None else packet._form(form._overloadname)


def overload_of(op: Op, arguments: Sequence[Any] = ()) -> OpOverload:
    """The form that a call of a declared operator is."""
    packet = _packet(_name_of(op))
    assert packet is not None  # it has at least this form
    if op.name in _OF_NUMBER and len(arguments) > 1 and not isinstance(arguments[1], Tensor):
        return packet._form(_OF_NUMBER[op.name])
    return packet._form(_OVERLOADS.get(op.name, "default"))


def __getattr__(name: str) -> OpOverloadPacket:
    packet = None if name.startswith("__") else _packet(name)
    if packet is None:
        raise AttributeError(f"'_OpNamespace' 'aten' object has no attribute '{name}'")
    return packet
