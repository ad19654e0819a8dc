"""What a node's outputs are: shape, type and device, as far as the node lets it be known.

A node does not keep its output's shape, which every call would pay for; one with several outputs does. Who gets at
a node by a tensor has that at hand, and it is noted what it is (`see_output`). Who gets at it by the node that its
output went into has what that one keeps of its inputs (`see_inputs`). What other nodes keep mostly tells: a saved
result, a view's steps, the inputs' shapes where nothing was broadcast. What no node keeps, its formulas tell: they are
run on arrays without elements.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

from retrograd.autograd.node import LEAVES, AccumulateGrad, Edge, Freed, Node, seen_outputs
from retrograd.device import device
from retrograd.dtypes import DTYPES, dtype
from retrograd.size import Size

__all__ = ["InputMetadata", "metadata_of", "see_inputs"]


class InputMetadata(NamedTuple):
    """Of an output of a node, and so of the gradient that arrives there."""

    shape: Size
    dtype: dtype
    device: device
    is_nested_tensor: bool = False
    is_cpp_nested_tensor: bool = False


def metadata_of(node: Node, position: int) -> InputMetadata | None:
    """What an output of `node` is; None if that cannot be known."""
    while True:
        seen = seen_outputs.get(node, {}).get(position)
        found = _own(node, position) if seen is None else _made(*seen)
        if found is not None:
            return found
        step = _like_an_input(node)
        if step is None:
            return None
        node, position = step


def _own(node: Node, position: int) -> InputMetadata | None:
    """What the node tells by itself, without a look at its inputs."""
    if type(node) is AccumulateGrad:
        return _of_array(node._array, node._kernels)
    info = getattr(node, "_output_info", None) or (None if node._node_extras is None else node._node_extras.outputs)
    if info is not None:
        return None if info[position] is None else _made(info[position][0], info[position][1], info[position][2])
    plan = node._grad_plan
    for index, name in enumerate(getattr(plan, "names", ())):
        kind, number, _ = plan.op.source_of(name)
        if kind == "result" and number == position and (known := _saved(node, index)) is not None:
            return _of_array(known, node._kernels)
    return _of_view(node, position)


def _saved(node: Node, index: int) -> Any:
    """What a node keeps by the name at `index`: of a tensor an object that has its shape and type. None if it is gone.

    Whether it has been written to since does not matter, and no hook is called to know.
    """
    from retrograd.ops.plan import Dual, Packed

    if type(node._holds) is Freed:
        return None
    value = node._grad_plan._entry(node, index)[0]
    if type(value) is Dual:
        return value.array
    return None if type(value) is Packed and value.shape is None else value


def see_inputs(node: Node) -> None:
    """Remember what the inputs of a node were, as far as it tells, as long as those that made them are."""
    for place, edge in enumerate(node._next_edges):
        if edge is None or type(edge[0]) in LEAVES or edge[1] in seen_outputs.get(edge[0], ()):
            continue
        found = _input_of(node, place)
        if found is not None:
            seen_outputs.setdefault(edge[0], {})[edge[1]] = (*found, edge[0]._output_kernels(edge[1]))


def _input_of(node: Node, place: int) -> tuple[Any, Any] | None:
    """Shape and type of an input, as the library has them."""
    if (infos := getattr(node, "_inputs_info", None)) is not None:
        return infos[place][:2]
    own = metadata_of(node, next(iter(seen_outputs.get(node, (0,)))))
    like = None if own is None else node._output_kernels(0).dtypes[own.dtype.name]
    op = getattr(node._grad_plan, "op", None)
    if op is None:
        return _input_of_other(node, place, own, like)
    if op.promote is None:
        return _kept_of_input(node, op, place, like) or _by_formula(node, place)
    shape, native = (node._grad_fix and node._grad_fix[place]) or (None, None)
    if own is not None:
        shape = tuple(own.shape) if shape is None else shape
        native = like if native is None and op.holomorphic else native
    return _by_formula(node, place) if shape is None or native is None else (shape, native)


def _input_of_other(node: Node, place: int, own: InputMetadata | None, like: Any) -> tuple[Any, Any] | None:
    """That of a node which is no operator's: of a view, a move, a write to a part."""
    from retrograd.autograd.rebase import CopySlices
    from retrograd.autograd.stale import MultiViewPlan, ViewPlan
    from retrograd.ops.conversion import ToCopyBackward0

    if own is None:
        return None
    if type(node) is ToCopyBackward0:
        return tuple(own.shape), node._holds[1]
    if type(node) is CopySlices and place == 0:
        return tuple(own.shape), like
    if type(node._grad_plan) is MultiViewPlan:
        return node._holds[1][0], like
    return _by_formula(node, place) if isinstance(node._grad_plan, ViewPlan) else None


def _kept_of_input(node: Node, op: Any, place: int, like: Any) -> tuple[Any, Any] | None:
    """The same from what the formulas need; an input whose type they do not is `like` the result."""
    shape, native = None, like
    for index, name in enumerate(node._grad_plan.names):
        kind, number, _ = op.source_of(name)
        if kind == "shapes" and len(op.inputs) == 1 and (shapes := _saved(node, index)) is not None:
            shape = shapes[place]
        elif number == place and kind in ("input", "shape", "dtype") and (known := _saved(node, index)) is not None:
            if kind == "input" and hasattr(known, "shape"):
                return tuple(known.shape), known.dtype
            shape, native = (
                (known, native) if kind == "shape" else (shape, known) if kind == "dtype" else (shape, native)
            )
    return None if shape is None or native is None else (shape, native)


def _by_formula(node: Node, place: int) -> tuple[Any, Any] | None:
    """The same from a gradient of that input, computed of arrays that have no elements."""
    from retrograd.meta.table import TABLE

    known = [metadata_of(node, position) for position in range(node._n_differentiable)]
    if type(node._holds) is Freed or node._kernels.level or all(each is None for each in known):
        return None
    plan, arrived = node._grad_plan, [None if each is None else TABLE.zeros(each.shape, each.dtype) for each in known]
    arrived += [None] * (node._n_outputs - node._n_differentiable)
    given = arrived[0] if node._n_outputs == 1 else arrived
    try:
        if not hasattr(plan, "op"):
            grads = plan.raw(TABLE, given, node)
        else:
            values = {name: _without_elements(_saved(node, i), node._kernels) for i, name in enumerate(plan.names)}
            grads = plan.evaluate(TABLE, given, values)
        shape, native = tuple(grads[place].shape), node._kernels.dtypes[grads[place].dtype.name]
    except Exception:  # the formula looks at elements, or no gradient follows from those that are known
        return None
    fixed_shape, fixed_type = (node._grad_fix and node._grad_fix[place]) or (None, None)
    return shape if fixed_shape is None else fixed_shape, native if fixed_type is None else fixed_type


def _without_elements(value: Any, k: Any) -> Any:
    """What a formula is given, with arrays that have no elements in place of its arrays, and types that are theirs."""
    from retrograd.meta.table import TABLE

    if isinstance(value, (tuple, list)):
        return type(value)(_without_elements(each, k) for each in value)
    if type(value) is k.array_type:
        return TABLE.zeros(tuple(value.shape), DTYPES[k.names[value.dtype]])
    return DTYPES[k.names[value]] if isinstance(value, Hashable) and value in k.names else value


def _of_view(node: Node, position: int) -> InputMetadata | None:
    from retrograd.autograd.stale import MultiViewPlan, ViewPlan

    if not isinstance(node._grad_plan, (ViewPlan, MultiViewPlan)) or node._next_edges[0] is None:
        return None
    base = metadata_of(*node._next_edges[0])
    if base is None:
        return None
    return base._replace(shape=Size(node._grad_plan.shape_of_output(node, base.shape, position)))


def _like_an_input(node: Node) -> Edge | None:
    """The edge to an input of the output's shape and type: one that was neither broadcast nor promoted."""
    op = getattr(node._grad_plan, "op", None)
    if op is None or op.promote is None:
        return None
    for i, edge in enumerate(node._next_edges):
        if edge is not None and (node._grad_fix is None or node._grad_fix[i] is None):
            return edge
    return None


def _of_array(array: Any, k: Any) -> InputMetadata:
    return _made(tuple(array.shape), array.dtype, k)


def _made(shape: Any, native: Any, k: Any) -> InputMetadata:
    return InputMetadata(Size(tuple(shape)), DTYPES[k.names[native]], device(k))
