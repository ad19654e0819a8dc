"""What nodes show of what they have saved: `grad_fn._saved_*` and `_raw_saved_*`, under PyTorch's names.

A node saves what its formulas name, and shows that under the same names; what an input that needs no
gradient would have needed shows as None. Where PyTorch has another name for it, or shows other things,
the table here says so. What no formula needs is named by the operator's `kept=`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from retrograd.autograd.node import Freed
from retrograd.ops.arguments import given

if TYPE_CHECKING:
    from retrograd.autograd.node import Node
    from retrograd.ops.plan import Plan
    from retrograd.tensor import Tensor

__all__ = [
    "SavedTensor", "names_by_source", "presented", "raw_saved_names", "raw_saved_value", "saved_names", "saved_value",
]  # fmt: skip

_TABLE: Final = """
AdaptiveAvgPool2D0: self
AdaptiveAvgPool3D0: self
AdaptiveMaxPool2D0: result1 self
AdaptiveMaxPool3D0: result1 self
Add0: alpha
Addbmm0: alpha batch1 batch1_sym_argsize_0=batch1_shape/0 batch1_sym_argsize_1=batch1_shape/1 batch2 \
batch2_sym_argsize_2=batch2_shape/2 beta
Addmm0: alpha beta mat1 mat1_sym_sizes mat1_sym_strides mat2 mat2_sym_sizes mat2_sym_strides
Amax0: dim keepdim result self
Amin0: dim keepdim result self
Aminmax0: dim/one keepdim max=result1 min=result0 self
AvgPool2D0: ceil_mode=settings/3 count_include_pad=settings/4 divisor_override=settings/5 kernel_size=settings/0 \
padding=settings/2 self stride=settings/1
AvgPool3D0: ceil_mode=settings/3 count_include_pad=settings/4 divisor_override=settings/5 kernel_size=settings/0 \
padding=settings/2 self stride=settings/1
BinaryCrossEntropyWithLogits0: pos_weight? reduction self target weight?
Bmm0: mat2 self
Cholesky0: result upper=@false
Col2Im0: dilation=settings/1 kernel_size=settings/0 padding=settings/2 stride=settings/3
Complex0: imag real
ConstantPadNd0: pad
Convolution0: bias_sym_sizes_opt=bias_shape/optional dilation groups input \
output_padding=@no_output_padding padding stride transposed=@false weight
Convolution0@_transposed_convolution: bias_sym_sizes_opt=bias_shape/optional dilation groups input \
output_padding padding stride transposed=@true weight
Cummax0: dim indices=result1 self
Cummin0: dim indices=result1 self
Cumprod0: dim result self
Cumsum0: dim
DiagonalScatter0: dim1 dim2 offset/unsigned
Diagonal0_copy: dim1 dim2 offset self_sym_sizes
Div1: other/number
Embedding0: indices padding_idx=padding/unsigned scale_grad_by_freq=@false sparse=@false \
weight_sym_argsize_0=weight_shape/0
Embedding0@_embedding_as: indices padding_idx=padding/unsigned scale_grad_by_freq sparse \
weight_sym_argsize_0=weight_shape/0
Gather0: dim index self sparse_grad=@false
Gather0@_gather_sparse: dim index self sparse_grad=@true
Erfinv0: self
HuberLoss0: delta=number reduction self target
Im2Col0: dilation=settings/1 kernel_size=settings/0 padding=settings/2 self_sym_argsize_minus_1=self_shape/-1 \
self_sym_argsize_minus_2=self_shape/-2 stride=settings/3
IndexAdd0: alpha dim index source source_dim=source_shape/count
IndexCopy0: dim=places/ahead index=places/last source source_dim=source_shape/count
IndexFill0: dim=places/ahead index=places/last
IndexFill1: dim=places/ahead index=places/last
Index0: indices=@indices self_sym_sizes
IndexPut0: accumulate indices=@indices
IndexReduce0: dim include_self reduce result self source=src
IndexSelect0: dim index self_sym_sizes
Kthvalue0: dim indices=result1 keepdim self_sym_sizes
LinalgCholeskyEx0: L=result upper=@false
LinalgDet0: A=self result
LinalgEig0: eigenvalues=result0 eigenvectors=result1
LinalgEigh0: eigenvalues=result0 eigenvectors=result1
LinalgInvEx0: inverse=result
LinalgLuFactorEx0: LU=result0 pivot=@true pivots=result1/from_one
LinalgQr0: Q=result0 R=result1 mode
LinalgSlogdet0: A=self sign=result0
LinalgSolveEx0: A=self left=@true result
LinalgSolveTriangular0: left=@true result self unitriangular upper
LinalgSvd0: S=result1 S_sym_argsize_minus_1=result1/width U=result0 Vh=result2 full_matrices=full
LinalgVectorNorm0: dim keepdim ord result self
Logaddexp0: other self
Logaddexp20: other self
Logsumexp0: dim keepdim result self
MaskedFill0: mask
MaskedScatter0: mask=@selected source_sym_sizes
MaskedSelect0: mask=@selected self
Max0: dim indices=result1 keepdim self_sym_sizes
LogSigmoid0: buffer=@buffer self
MaxPool2DWithIndices0: ceil_mode dilation kernel_size=kernel padding result1 self stride
MaxPool3DWithIndices0: ceil_mode dilation kernel_size=kernel padding result1 self stride
Mean0: self_sym_numel self_sym_sizes
Mean1: dim keepdim self_sym_numel self_sym_sizes
Median1: dim indices=result1 keepdim self_sym_sizes
Min0: dim indices=result1 keepdim self_sym_sizes
Mm0: mat2 mat2_sym_sizes mat2_sym_strides self self_sym_sizes self_sym_strides
Mode0: dim indices=result1 keepdim self_sym_sizes
MseLoss0: reduction self target
Mul1: other/number
Nanmedian1: dim indices=result1 keepdim self_sym_sizes
Nansum0: dim keepdim self
NativeBatchNorm0: eps input=self result1 result2 running_mean=@none running_var=@none training=@true weight
NativeBatchNorm0@_fixed_batch_norm: eps input=self result1=@nothing result2=@nothing \
running_mean=mean running_var=var training=@false weight
NativeGroupNorm0: C=@channels HxW=@places N=@samples eps group=groups input=self result1 result2 weight
NativeLayerNorm0: bias input=self normalized_shape=@normalized_shape result1 result2 weight
NllLoss0: ignore_index/unsigned reduction self target total_weight=@total_weight weight?
NllLoss2D0: ignore_index/unsigned reduction self target total_weight=@total_weight weight?
Polar0: result
Polygamma0: n self=input
Pow0: exponent self
Pow2: exponent result self=base/number
Prod0: result self
Prod1: dim/one keepdim result self
Put0: accumulate index=index/array source
ReflectionPad1D0: padding=told/0 self
ReflectionPad2D0: padding=told/0 self
ReflectionPad3D0: padding=told/0 self
Repeat0: repeats self_sym_sizes
ReplicationPad1D0: padding=told/0 self
ReplicationPad2D0: padding=told/0 self
ReplicationPad3D0: padding=told/0 self
Rot900: dims k=turns/unsigned
Rsub0: alpha
Rsub1: alpha
Sgn0: result self
SliceScatter0: dim=index/ahead end=index/stop start=index/start step=index/step
SmoothL1Loss0: beta=number/float reduction self target
SoftMarginLoss0: reduction self target
Sort0: dim indices=result1 self_sym_sizes
Sort1: dim indices=result1 self_sym_sizes
Std0: correction dim keepdim result self
StdMean0: correction dim keepdim result0 self
Sub0: alpha
Sum0: self_sym_sizes
Sum1: dim keepdim self_sym_sizes
Take0: index=places/last self
Topk0: dim indices=result1 self_sym_sizes
Trace0: self_sym_sizes
TriangularSolve0: A self solution=result0 transpose unitriangular upper
UnsafeSplit0: dim self_sym_sizes split_size
UnsafeView0: self_sym_sizes
UpsampleBicubic2D0: align_corners=told/0 output_size=told/1 scales_h=told/2 scales_w=told/3 self_sym_sizes
UpsampleBilinear2D0: align_corners=told/0 output_size=told/1 scales_h=told/2 scales_w=told/3 self_sym_sizes
UpsampleLinear1D0: align_corners=told/0 output_size=told/1 scales=told/2 self_sym_sizes
UpsampleNearest1D0: output_size=told/0 scales=told/1 self_sym_sizes
UpsampleNearest2D0: output_size=told/0 scales_h=told/1 scales_w=told/2 self_sym_sizes
UpsampleNearest3D0: output_size=told/0 scales_d=told/1 scales_h=told/2 scales_w=told/3 self_sym_sizes
UpsampleNearestExact1D0: output_size=told/0 scales=told/1 self_sym_sizes
UpsampleNearestExact2D0: output_size=told/0 scales_h=told/1 scales_w=told/2 self_sym_sizes
UpsampleNearestExact3D0: output_size=told/0 scales_d=told/1 scales_h=told/2 scales_w=told/3 self_sym_sizes
UpsampleTrilinear3D0: align_corners=told/0 output_size=told/1 scales_d=told/2 scales_h=told/3 scales_w=told/4 \
self_sym_sizes
Var0: correction dim keepdim self
VarMean0: correction dim keepdim self
Where0: condition
Xlogy1: other self/number
Xlogy2: other/number self
"""
"""For each node (`Add0`: `AddBackward0`), or each operator that has it (after `@`), the names; after `=` what the
formulas call it, or `@` and what it follows from, after `/` a part of that. One with a `?` is None for an operator that
does not take it."""


_REDUCTIONS: Final = {"none": 0, "mean": 1, "sum": 2}


class _Shown(NamedTuple):
    name: str
    source: str
    part: str


def _parsed() -> Iterator[tuple[str, tuple[_Shown, ...]]]:
    for line in _TABLE.strip().splitlines():
        node, _, entries = line.partition(":")
        node, at, op = node.partition("@")
        yield f"{node[:-1]}Backward{node[-1]}{at}{op}", tuple(map(_entry, entries.split()))


def _entry(text: str) -> _Shown:
    name, _, rest = text.partition("=")
    if not rest:
        name, _, part = name.partition("/")
        return _Shown(name.removesuffix("?"), name, part)

    source, _, part = rest.partition("/")
    return _Shown(name, source, part)


_ENTRIES: Final = dict(_parsed())


def _shown(plan: Plan, node: Node) -> tuple[_Shown, ...]:
    found = _ENTRIES.get(f"{type(node).__name__}@{plan.op.name}") or _ENTRIES.get(type(node).__name__)
    if found is not None:
        return found
    names = dict.fromkeys(name for needs in (*plan.op.needs.values(), *plan.op.kept.values()) for name in needs)
    told = (*plan.op.inputs, *plan.op.params)
    return tuple(_Shown(name, name, "") for name in names if name in told or _is_result(plan, name))


def _is_result(plan: Plan, name: str) -> bool:
    return name.startswith("result") and plan.op.source_of(name)[0] == "result"


def saved_names(plan: Plan, node: Node) -> list[str]:
    """The names under which a node shows what it has saved."""
    return [each.name for each in _shown(plan, node) if _reading(plan, each) is not None]


def names_by_source(plan: Plan, node: Node) -> dict[str, str]:
    """Under which name each thing is shown that a node has saved."""
    return {each.source.removesuffix("?"): each.name for each in _shown(plan, node)}


def saved_value(plan: Plan, node: Node, name: str) -> Any:
    """`node._saved_<name>`.

    Raises
    ------
    AttributeError
        If it shows nothing under this name.
    RuntimeError
        If the graph has been freed, or a saved tensor has been written to.
    """
    for each in _shown(plan, node):
        if each.name == name and (read := _reading(plan, each)) is not None:
            return _presented(read(node), each, node)
    raise AttributeError(f"'{type(node).__name__}' object has no attribute '_saved_{name}'")


def _reading(plan: Plan, shown: _Shown) -> Callable[[Node], Any] | None:
    """How to get at a value. None: the node does not have it."""
    source = shown.source
    if source.startswith("@"):
        computed, needs = _COMPUTED[source[1:]]
        known = not needs or needs in plan.names
        return (lambda node: computed(plan, node)) if known else None
    if source.endswith("?"):
        absent = source[:-1] not in plan.op.inputs
        return (lambda node: None) if absent else _reading(plan, shown._replace(source=source[:-1]))
    if source in plan.names:
        return lambda node: _kept(plan, node, source)
    owner, _, what = source.rpartition("_sym_")
    if what in _OF_SHAPES:
        return _reading_of_shape(plan, owner, what)
    if source in plan.op.params:  # which no formula that is here needs, and PyTorch does not set then either
        return (lambda node: plan.op.defaults[source]) if source in plan.op.defaults else None
    saved_elsewhere = any(source in needs for needs in (*plan.op.needs.values(), *plan.op.kept.values()))
    return (lambda node: None) if saved_elsewhere else None


def _kept(plan: Plan, node: Node, name: str) -> Any:
    from retrograd.ops.plan import CONSTANT, PACKED

    index = plan.names.index(name)
    made = plan.unpack(node, index, as_tensor=True, as_given=True)
    if plan.is_tensor[index] and hasattr(made, "_cell"):
        _, cell, _ = plan._entry(node, index)
        if cell is not CONSTANT and cell is not PACKED:
            made._cell = cell  # it is the memory that was saved: their versions are one
    return made


def _input_shape(plan: Plan, node: Node) -> tuple[int, ...]:
    return tuple(_kept(plan, node, "self").shape)


def _normalized_shape(plan: Plan, node: Node) -> tuple[int, ...]:
    return _input_shape(plan, node)[-_kept(plan, node, "count") :]


def _indices(plan: Plan, node: Node) -> tuple[Tensor | None, ...]:
    """Each index as it was given, but counted from the front: a mask has been saved as its coordinates."""
    from retrograd.tensor import wrap_array

    k, raw, shape = node._kernels, list(_kept(plan, node, "indices")), _kept(plan, node, "self_shape")
    for first, count in reversed(_kept(plan, node, "masks")):
        none_of_it = k.zeros(tuple(shape[first : first + count]), k.dtypes["bool"])
        raw[first : first + count] = [k.index_put(none_of_it, tuple(raw[first : first + count]), True, False)]
    return tuple(None if each is None else wrap_array(each, k) for each in raw)


def _selected(plan: Plan, node: Node) -> Tensor:
    """The mask of which a node has the coordinates."""
    from retrograd.tensor import wrap_array

    k = node._kernels
    none_of_it = k.zeros(tuple(_kept(plan, node, "self_shape")), k.dtypes["bool"])
    return wrap_array(k.index_put(none_of_it, _kept(plan, node, "places"), True, False), k)


def _total_weight(plan: Plan, node: Node) -> Tensor:
    """The sum of the weights of the targets, where the loss is one number."""
    scores, target = _kept(plan, node, "self").detach(), _kept(plan, node, "target")
    if _kept(plan, node, "reduction") == "none":
        return scores.new_zeros(())
    counted: Tensor = target[target != _kept(plan, node, "ignore_index")]
    weight = _kept(plan, node, "weight") if "weight" in plan.names else None
    return scores.new_tensor(float(counted.numel())) if weight is None else weight.detach()[counted].sum()


_COMPUTED: Final[dict[str, tuple[Callable[[Plan, Node], Any], str]]] = {
    "false": (lambda plan, node: False, ""),
    "none": (lambda plan, node: None, ""),
    "true": (lambda plan, node: True, ""),
    "no_output_padding": (lambda plan, node: (0,) * len(_kept(plan, node, "stride")), "stride"),
    "normalized_shape": (_normalized_shape, "count"),
    "samples": (lambda plan, node: _input_shape(plan, node)[0], "self"),
    "channels": (lambda plan, node: _input_shape(plan, node)[1], "self"),
    "places": (lambda plan, node: prod(_input_shape(plan, node)[2:]), "self"),
    "indices": (_indices, "indices"),
    "buffer": (lambda plan, node: (-_kept(plan, node, "self").detach().abs()).exp(), "self"),
    "nothing": (lambda plan, node: _kept(plan, node, "self").detach().new_empty((0,)), "self"),
    "selected": (_selected, "places"),
    "total_weight": (_total_weight, "self"),
}  # fmt: skip
"""What follows from what is saved, and the name of that."""

_OF_SHAPES: Final = ("sizes", "numel", "strides")


def _reading_of_shape(plan: Plan, owner: str, what: str) -> Callable[[Node], Any] | None:
    def tensor(node: Node) -> Tensor:
        found: Tensor = _kept(plan, node, owner)
        return found

    kept = f"{owner}_shape"
    if kept in plan.names and what == "strides" and owner not in plan.names:
        return lambda node: ()  # PyTorch has them only with the tensor
    if kept in plan.names and what != "strides":

        def shape(node: Node) -> tuple[int, ...]:
            return tuple(_kept(plan, node, kept))

        return shape if what == "sizes" else lambda node: prod(shape(node))
    if owner not in plan.names:
        return None
    readings: dict[str, Callable[[Node], Any]] = {
        "sizes": lambda node: tuple(tensor(node).shape),
        "numel": lambda node: tensor(node).numel(),
        "strides": lambda node: tensor(node).stride(),
    }
    return readings[what]


def presented(name: str, value: Any) -> Any:
    """An argument as PyTorch shows it under this name."""
    if isinstance(value, str) and name == "reduction":
        return _REDUCTIONS[value]
    return _unsigned(given(value)) if name in _COUNTED else value


def _presented(value: Any, shown: _Shown, node: Node) -> Any:
    """As PyTorch shows it: numbers that stand for tensors as tensors, dimensions as given and without a sign."""
    from retrograd.tensor import Tensor, wrap_array

    if shown.part in ("array", "last"):
        return None if value is None else wrap_array(value[-1] if shown.part == "last" else value, node._kernels)
    if shown.part:
        value = _part(value, shown.part)
        return _unsigned(value) if shown.name in _COUNTED else value
    if value is None or isinstance(value, Tensor):
        return value
    if shown.name == "reduction" or shown.name in _COUNTED:
        return presented(shown.name, value)
    if shown.source not in node._grad_plan.op.inputs:
        return value
    k = node._kernels
    if hasattr(value, "shape"):
        return wrap_array(value, k)
    type_ = "float64" if isinstance(value, float) else "complex128" if isinstance(value, complex) else "int64"
    return wrap_array(k.full((), value, k.dtypes[type_]), k)


_COUNTED: Final = frozenset("dim dim1 dim2 dims offset diagonal shifts pad padding divisor_override k".split())
"""What PyTorch shows without its sign."""


def _unsigned(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(each % 2**64 for each in value)
    return value if value is None else value % 2**64


def _part(value: Any, part: str) -> Any:
    if part == "optional":  # of a tensor that was not given
        return (0,) if value is None else value
    if value is None:
        return None
    if part == "float":
        return float(value) if isinstance(value, (int, float)) else value
    if part == "number":
        return value.item() if hasattr(value, "item") else value
    if part == "unsigned":
        return value % 2**64
    if part == "one":
        value = given(value)
        return _unsigned(None if value == () else value[0] if isinstance(value, tuple) else value)
    if part in _PARTS:
        return _PARTS[part](value)
    return value[int(part)]


_PARTS: Final[dict[str, Callable[[Any], Any]]] = {
    "from_one": lambda positions: positions + 1,
    "count": len,
    "width": lambda tensor: tensor.shape[-1],
    "ahead": lambda places: len(places) - 1,
    "start": lambda index: index[-1].start,
    "stop": lambda index: index[-1].stop,
    "step": lambda index: index[-1].step,
}  # fmt: skip


class SavedTensor:
    """A tensor that a node has saved, by itself: `grad_fn._raw_saved_<name>`.

    Raises
    ------
    RuntimeError
        If a program makes one itself.
    """

    __module__ = "retrograd._C._autograd"
    __slots__ = ("_index", "_node")

    def __init__(self, node: Node | None = None, index: int | None = None) -> None:
        if node is None:
            raise RuntimeError("Trying to create a SavedTensor object from Python is forbidden.")
        self._node = node
        self._index = index  # None: this input would be saved if another one required a gradient

    @property
    def data(self) -> Any:
        """The tensor, as the node uses it."""
        return None if self._index is None else self._node._grad_plan.unpack(self._node, self._index, as_tensor=True)

    def register_hooks(self, *hooks: Callable[..., Any]) -> None:
        """Keep `pack_hook(tensor)` in place of the tensor, and call `unpack_hook` of it when it is needed.

        Raises
        ------
        RuntimeError
            If the node has been freed, has hooks for it already, or has saved None.
        TypeError
            If it is not given two functions, the pack hook and the unpack hook.

        Source: https://docs.pytorch.org/tutorials/intermediate/autograd_saved_tensors_hooks_tutorial.html
        """
        if len(hooks) != 2 or not all(map(callable, hooks)):
            raise TypeError(
                "register_hooks(): incompatible function arguments. The following argument types are supported:\n"
                "    1. (self: retrograd._C._autograd.SavedTensor, arg0: collections.abc.Callable, arg1: "
                "collections.abc.Callable) -> None\n\nInvoked with: " + ", ".join(map(repr, (self, *hooks)))
            )
        if type(self._node._holds) is Freed:
            raise RuntimeError(
                "Calling register_hooks on a saved tensor after it has been freed. Saved intermediate values of the "
                "graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need "
                "to backward through the graph a second time or if you need to access saved variables after calling "
                "backward."
            )
        if self._index is None:
            raise RuntimeError("Calling register_hooks on a saved tensor with value None is forbidden")
        self._node._grad_plan.pack_one(self._node, self._index, *hooks)


def raw_saved_names(plan: Plan, node: Node) -> list[str]:
    """The names under which a node shows the tensors that it has saved."""
    return [each.name for each in _shown(plan, node) if _is_tensor(plan, each) and _reading(plan, each) is not None]


def _is_tensor(plan: Plan, shown: _Shown) -> bool:
    source = shown.source
    number = plan.op.promote is not None and shown.part in ("float", "number")
    if number or shown.part in _PARTS:  # of which the node has another form
        return False
    return source.endswith("?") or source in plan.op.inputs or _is_result(plan, source)


def raw_saved_value(plan: Plan, node: Node, name: str) -> SavedTensor:
    """`node._raw_saved_<name>`; there is one for each tensor."""
    for each in _shown(plan, node):
        if each.name == name and _is_tensor(plan, each) and _reading(plan, each) is not None:
            source = each.source.removesuffix("?")
            return SavedTensor(node, plan.names.index(source) if source in plan.names else None)
    raise AttributeError(f"'{type(node).__name__}' object has no attribute '_raw_saved_{name}'")
