"""`backward` and `grad`: check what the caller gives, then hand it to the engine."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from retrograd.autograd.engine import run_backward
from retrograd.autograd.explaining import note_without_graph
from retrograd.autograd.node import UNTRACKED, Edge, Node
from retrograd.levels import transforms
from retrograd.tensor import Tensor, wrap_array

__all__ = ["GradientEdge", "backward", "get_gradient_edge", "grad"]


class GradientEdge(NamedTuple):
    """A place in the graph: an output of a node. It may stand for a tensor that has been dropped."""

    node: Node
    output_nr: int


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge along which the gradient of `tensor` flows.

    Raises
    ------
    RuntimeError
        If the tensor does not require a gradient.
    """
    if tensor._edge is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients.")
    return GradientEdge(*tensor._edge)


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
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. "
                "Please only use `grad_tensors`."
            )
        grad_tensors = grad_variables
    if inputs is not None and not isinstance(inputs, (Tensor, GradientEdge)) and len(inputs) == 0:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    roots = _roots(tensors, grad_tensors)
    edges: list[Any] | None = None
    if inputs is not None:
        edges = []
        for i, each in enumerate(_as_list(inputs)):
            if isinstance(each, Tensor) and each._edge is None:
                raise RuntimeError(f"One of the differentiated Tensors does not require grad (input {i})")
            edges.append(tuple(each) if isinstance(each, GradientEdge) else each._edge)
            if isinstance(each, Tensor) and not each.is_leaf:
                each.retain_grad()
    if create_graph:
        _warn_of_cycle()
    run_backward(
        roots,
        retain_graph=create_graph if retain_graph is None else retain_graph,
        create_graph=create_graph,
        inputs=edges,
    )


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
    if isinstance(inputs, Mapping):
        names = list(inputs)
        values = grad(
            outputs, [inputs[name] for name in names], grad_outputs, retain_graph, create_graph, only_inputs,
            allow_unused, is_grads_batched, materialize_grads,
        )  # fmt: skip
        return dict(zip(names, values, strict=True))
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    allow_unused = materialize_grads if allow_unused is None else allow_unused
    wanted = _as_list(inputs)
    keep = create_graph if retain_graph is None else retain_graph
    if is_grads_batched:
        return _batched(outputs, wanted, grad_outputs, keep, create_graph, allow_unused, materialize_grads)
    roots = _roots(outputs, grad_outputs)
    edges = [_input_edge(each) for each in wanted]
    results = run_backward(roots, retain_graph=keep, create_graph=create_graph, inputs=edges, accumulate=False)
    return tuple(
        _settle_unused(result, i, each, allow_unused, materialize_grads)
        for i, (result, each) in enumerate(zip(results, wanted, strict=True))
    )


def _settle_unused(result: Any, position: int, each: Any, allow_unused: bool, materialize: bool) -> Any:
    if result is not None:
        return result
    if not allow_unused:
        raise RuntimeError(
            f"The differentiated Tensor at index {position} appears to not have been used in the graph. Set "
            "allow_unused=True if this is the desired behavior."
        )
    if materialize:
        from retrograd.ops.creation import zeros_like

        return zeros_like(each)
    return None


def _batched(
    outputs: Any, wanted: Any, grad_outputs: Any, keep: bool, create_graph: bool, allow_unused: bool, materialize: bool
) -> Any:
    """One pass per leading index of `grad_outputs`; the results stacked."""
    from retrograd.ops.arrange import stack

    batches = _as_list(grad_outputs)
    count = batches[0].shape[0]
    rows = [
        grad(
            outputs, wanted, [None if each is None else each[i] for each in batches], True if i < count - 1 else keep,
            create_graph, True, allow_unused, False, materialize,
        )
        for i in range(count)
    ]  # fmt: skip
    return tuple(None if column[0] is None else stack(list(column)) for column in zip(*rows, strict=True))


def _as_list(value: Any) -> list[Any]:
    return [value] if isinstance(value, (Tensor, GradientEdge)) else list(value)


def _input_edge(each: Any) -> Edge:
    if isinstance(each, GradientEdge):
        return (each.node, each.output_nr)
    if each._edge is None:
        raise note_without_graph(RuntimeError("One of the differentiated Tensors does not require grad"), each)
    return each._edge


def _roots(tensors: Any, grads: Any) -> list[tuple[Edge, Tensor]]:
    roots = _as_list(tensors)
    given = [None] * len(roots) if grads is None else _as_list(grads) if _is_given(grads) else list(grads)
    if len(given) != len(roots):
        raise RuntimeError(f"got {len(roots)} tensors and {len(given)} gradients")
    return [_root(i, root, grad_) for i, (root, grad_) in enumerate(zip(roots, given, strict=True))]


def _is_given(grads: Any) -> bool:
    return isinstance(grads, Tensor)


def _root(position: int, root: Any, given: Tensor | None) -> tuple[Edge, Tensor]:
    if isinstance(root, GradientEdge):
        if given is None:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        return (root.node, root.output_nr), given
    if given is None:
        if root.numel() != 1 and root._edge is not None:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
    elif not isinstance(given, Tensor):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(given).__name__}")
    elif given.shape != root.shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{position}] has a shape of {given.shape} and output[{position}] has a "
            f"shape of {root.shape}."
        )
    elif root.is_complex() != given.is_complex():
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
            f"grad_output[{position}] has a dtype of {given.dtype} and output[{position}] has a dtype of {root.dtype}."
        )
    if root._edge is None or root._edge is UNTRACKED:
        error = RuntimeError(f"element {position} of tensors does not require grad and does not have a grad_fn")
        raise note_without_graph(error, root)
    if given is None:
        if root.is_complex():
            raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {root.dtype}")
        k, array = root._k, root._array
        given = wrap_array(k.ones(tuple(array.shape), array.dtype), k)
    elif given.dtype is not root.dtype:
        given = given.to(root.dtype)
    if given._k.level < root._k.level:
        given = root._k.lift(given)
    return root._edge, given
