"""`backward` and `grad`: check what the caller gives, then hand it to the engine."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from retrograd.autograd.engine import run_backward
from retrograd.autograd.explaining import note_without_graph
from retrograd.autograd.metadata import InputMetadata, metadata_of
from retrograd.autograd.node import UNTRACKED, Edge, Node, see_output
from retrograd.levels import PLAIN, running, transforms
from retrograd.size import Size
from retrograd.tensor import Tensor, wrap_array

__all__ = ["GradientEdge", "backward", "get_gradient_edge", "grad"]


class GradientEdge(NamedTuple):
    """A place in the graph: an output of a node. It may stand for a tensor that has been dropped."""

    node: Node
    output_nr: int
    ownership_token: Node | None = None
    """Always None here: a node keeps the graph alive."""


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge along which the gradient of `tensor` flows.

    Raises
    ------
    RuntimeError
        If the tensor does not require a gradient.
    AssertionError
        If it does only because what it is a view of does.
    """
    edge = tensor._edge if tensor.requires_grad else None
    if edge is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    if edge is UNTRACKED:
        raise AssertionError("Expected gradient function to be set")
    see_output(tensor, edge)
    return GradientEdge(*edge)


GradientEdge.__module__ = "retrograd.autograd.graph"

Roots = Tensor | GradientEdge | Sequence[Tensor | GradientEdge]


def backward(
    tensors: Roots,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Add to each leaf's `.grad` the sum over `tensors` of its gradient, weighted by `grad_tensors`.

    Parameters
    ----------
    tensors
        The roots: tensors or edges.
    grad_tensors
        For each root the gradient to start with; None for one of a single element, which starts
        with one.
    retain_graph
        Keep what the graph saved. By default as `create_graph`.
    create_graph
        Record the pass, for higher derivatives.
    inputs
        The leaves whose gradients are wanted; all by default.

    Raises
    ------
    RuntimeError
        If a root does not require a gradient, or has several elements and no gradient is given, or
        the graph has been freed.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.backward.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor(3.0, requires_grad=True)
    >>> retrograd.autograd.backward(x * x)
    >>> x.grad
    tensor(6.)
    """
    if transforms():
        raise RuntimeError(
            "backward() called inside a functorch transform. This is not supported, please use functorch.grad or "
            "functorch.vjp instead or call backward() outside of functorch transforms."
        )
    if grad_variables is not None:
        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. "
                "Please only use `grad_tensors`."
            )
        grad_tensors = grad_variables
    wanted = None if inputs is None else _inputs_of("backward", inputs)
    roots = _roots(tensors, grad_tensors)
    edges = None if wanted is None else [_edge_to_accumulate(each) for each in wanted]
    keep: Any = create_graph if retain_graph is None else retain_graph
    if type(keep) is not bool or type(create_graph) is not bool:
        keep, create_graph = _flags(keep, create_graph)
    if create_graph:
        _warn_of_cycle()
    if not roots:
        return
    run_backward(roots, retain_graph=keep, create_graph=create_graph, inputs=edges)


def _flags(*values: Any) -> list[bool]:
    """Bools from numbers, as PyTorch's engine takes them; anything else is refused."""
    return [bool(operator.index(each)) for each in values]


_warned: set[str] = set()


def _warn_of_cycle() -> None:
    """Once: `.grad` of a recorded pass leads to the leaf's node, and that to `.grad`."""
    if "cycle" not in _warned:
        _warned.add("cycle")
        warnings.warn(
            "Using backward() with create_graph=True will create a reference cycle between the parameter and its "
            "gradient which can cause a memory leak. We recommend using autograd.grad when creating the graph to avoid "
            "this. If you have to use this function, make sure to reset the .grad fields of your parameters to None "
            "after use to break the cycle and avoid the leak.",
            stacklevel=3,
        )


def grad(
    outputs: Roots,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """The gradients of `outputs` by `inputs`, returned instead of added to `.grad`.

    Parameters
    ----------
    outputs, grad_outputs, retain_graph, create_graph
        As in `backward`.
    inputs
        Tensors or edges, or a dict of them; the result has the same form.
    allow_unused
        Give None for an input that the outputs do not depend on, instead of an error. By default
        as `materialize_grads`.
    materialize_grads
        Give zeros instead of None.

    Returns
    -------
    tuple of Tensor, or a dict if `inputs` is one

    Raises
    ------
    RuntimeError
        As `backward`, and if an input is not used and `allow_unused` is not set.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor(3.0, requires_grad=True)
    >>> (dx,) = retrograd.autograd.grad(x ** 3, x, create_graph=True)
    >>> retrograd.autograd.grad(dx, x)
    (tensor(18.),)
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for "
            "other parts of the graph, please use retrograd.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    wanted = _inputs_of("grad", inputs)
    keep: Any = create_graph if retain_graph is None else retain_graph
    allowed = materialize_grads if allow_unused is None else allow_unused
    if type(keep) is not bool or type(create_graph) is not bool or type(allowed) is not bool:
        keep, create_graph, allowed = _flags(keep, create_graph, allowed)
    unused = _Unused(allowed, materialize_grads, create_graph)

    def vjp(given: Any, batched: bool = False) -> tuple[Tensor | None, ...]:
        roots = _roots(outputs, given, batched)
        edges = [_input_edge(each) for each in wanted]
        if not roots:
            return (None,) * len(edges)
        results = run_backward(roots, retain_graph=keep, create_graph=create_graph, inputs=edges, accumulate=False)
        return tuple(unused.check(result, i) for i, result in enumerate(results))

    results = _batched(vjp, outputs, grad_outputs) if is_grads_batched else vjp(grad_outputs)
    results = tuple(
        unused.settled(result, i, each) for i, (result, each) in enumerate(zip(results, wanted, strict=True))
    )
    return dict(zip(inputs, results, strict=True)) if type(inputs) is dict else results


class _Unused(NamedTuple):
    """What becomes of an input that the outputs do not depend on."""

    allowed: bool
    materialize: bool
    requires_grad: bool

    def check(self, result: Tensor | None, position: int) -> Tensor | None:
        if result is None and not self.allowed:
            raise RuntimeError(
                f"The differentiated Tensor at index {position} appears to not have been used in the graph. Set "
                "allow_unused=True if this is the desired behavior."
            )
        return result

    def settled(self, result: Tensor | None, position: int, each: Any) -> Tensor | None:
        self.check(result, position)
        if result is not None or not self.materialize:
            return result
        if not isinstance(each, Tensor):
            raise RuntimeError("materialize_grads cannot be used when the given input is a GradientEdge")
        from retrograd.ops.creation import zeros_like

        return zeros_like(each, requires_grad=self.requires_grad)


def _batched(vjp: Any, outputs: Any, grad_outputs: Any) -> Any:
    """One pass for all leading indices of `grad_outputs`: see `retrograd.func.vmap`."""
    from retrograd.func.vmap import vmap

    roots = _as_list(outputs)
    given = _given(grad_outputs, len(roots))
    _roots(roots, [None if each is None else each[0] for each in given], batched=True)  # the errors of the user's call
    if any(each is None for each in given):  # which stands for a one without the dimension that is mapped
        raise ValueError(
            "vmap(vjp, in_dims=0, ...)(<inputs>): Got in_dim=0 for some input, but that input is a Tensor of "
            "dimensionality 0 so expected in_dim to satisfy 0 <= in_dim < 0."
        )

    def one(*grads: Tensor) -> Any:
        with running(PLAIN):
            found = vjp(grads)
        present.extend(each is not None for each in found)
        return tuple(each for each in found if each is not None)

    present: list[bool] = []
    rows = iter(vmap(one)(*given))
    return tuple(next(rows) if each else None for each in present)


def _inputs_of(name: str, inputs: Any) -> tuple[Any, ...]:
    """The inputs of `backward` or `grad`, however they are given."""
    if isinstance(inputs, (Tensor, GradientEdge)):
        return (inputs,)
    if isinstance(inputs, Mapping):
        if type(inputs) is not dict:
            raise TypeError(
                f"`inputs` argument to `{name}()` must be a dict, not {type(inputs).__name__}. Other Mapping types are "
                "not supported."
            )
        inputs = inputs.values()
    found = tuple(inputs)
    if not found:
        raise RuntimeError(f"`inputs` argument to `{name}()` cannot be empty.")
    return found


def _as_list(value: Any) -> list[Any]:
    return [value] if isinstance(value, (Tensor, GradientEdge)) else list(value)


def _given(grads: Any, count: int) -> tuple[Any, ...]:
    if grads is None:
        return (None,) * count
    return (grads,) if isinstance(grads, Tensor) else tuple(grads)


def _edge_of(place: GradientEdge) -> Edge:
    """The edge that it stands for, if its node has such an output."""
    if not 0 <= place.output_nr < place.node._n_differentiable:
        raise IndexError("tuple index out of range")
    return place.node, place.output_nr


def _input_edge(each: Any) -> Edge:
    if isinstance(each, GradientEdge):
        return _edge_of(each)
    if not isinstance(each, Tensor):
        raise RuntimeError(f"all inputs have to be Tensors or GradientEdges, but got {type(each).__name__}")
    edge = each._edge
    if edge is None:
        raise note_without_graph(RuntimeError("One of the differentiated Tensors does not require grad"), each)
    return edge


def _edge_to_accumulate(each: Any) -> Edge:
    """The edge of an input whose `.grad` is wanted."""
    if isinstance(each, Tensor):
        each.retain_grad()
    return _input_edge(each)


def _roots(tensors: Any, grads: Any, batched: bool = False) -> list[tuple[Edge, Tensor]]:
    roots = _as_list(tensors)
    given = _given(grads, len(roots))
    made = [_gradient_of(i, root, grad_, batched) for i, (root, grad_) in enumerate(zip(roots, given, strict=False))]
    if len(made) != len(roots):
        raise RuntimeError(f"got {len(roots)} tensors and {len(made)} gradients")
    return [(_root_edge(i, root), grad_) for i, (root, grad_) in enumerate(zip(roots, made, strict=True))]


def _root_edge(position: int, root: Any) -> Edge:
    if isinstance(root, GradientEdge):
        return _edge_of(root)
    edge = root._edge
    if edge is None or edge is UNTRACKED:
        error = RuntimeError(f"element {position} of tensors does not require grad and does not have a grad_fn")
        raise note_without_graph(error, root)
    return edge


def _gradient_of(position: int, root: Any, given: Any, batched: bool) -> Any:
    """The gradient to start with at a root, checked; or made, for one element."""
    if isinstance(root, GradientEdge):
        what = metadata_of(*_edge_of(root))
    elif isinstance(root, Tensor):
        what = InputMetadata(root.shape, root.dtype, root.device)
    else:
        raise AssertionError("Expected output to be a retrograd.Tensor")
    if isinstance(given, Tensor):
        return given if what is None else _fitting(position, what, given, batched, root)
    if given is not None:
        raise TypeError(f"gradients can be either Tensors or None, but got {type(given).__name__}")
    if isinstance(root, Tensor) and root._edge is None:
        return None
    if what is None or what.shape.numel() != 1:
        raise RuntimeError("grad can be implicitly created only for scalar outputs")
    if not what.dtype.is_floating_point:
        raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {what.dtype}")
    k = root._kernels if isinstance(root, Tensor) else root.node._output_kernels(root.output_nr)
    ones = k.ones(tuple(what.shape), k.dtypes[what.dtype.name])
    if k.level and isinstance(root, Tensor):  # in a mapped function: of each sample, if the root is
        ones = k.spread_like(ones, root._array)
    return wrap_array(ones, k)


def _calculate_shape(output: Any, grad: Tensor, is_grads_batched: bool) -> tuple[Size, Size]:
    """The shapes that must be equal: of a root, a tensor or an edge, and of its gradient."""
    if isinstance(output, Tensor):
        return output.shape, Size(grad.shape[1:]) if is_grads_batched else grad.shape
    if is_grads_batched:
        raise RuntimeError("Batched grads are not supported with GradientEdge")
    what = metadata_of(*_edge_of(output))
    return grad.shape if what is None else what.shape, grad.shape


def _fitting(position: int, what: InputMetadata, given: Tensor, batched: bool, root: Any) -> Tensor:
    if given.shape != what.shape:
        _, shape = _calculate_shape(root, given, batched)
        shapes = f"grad_output[{position}] has a shape of {shape} and output[{position}] has a shape of {what.shape}."
        if batched:
            raise RuntimeError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch "
                "dimension. The sizes of the remaining dimensions are expected to match the shape of corresponding "
                f"output, but a mismatch was detected: {shapes} If you only want some tensors in `grad_output` to be "
                "considered batched, consider using vmap."
            )
        raise RuntimeError(f"Mismatch in shape: {shapes}")
    if given.dtype.is_complex != what.dtype.is_complex:
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
            f"grad_output[{position}] has a dtype of {given.dtype} and output[{position}] has a dtype of {what.dtype}."
        )
    if given.dtype is not what.dtype:
        given = given.to(what.dtype)
    if isinstance(root, Tensor) and given._kernels.level < root._kernels.level:
        given = root._kernels.lift(given)
    return given
