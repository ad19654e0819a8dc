"""Nodes that a program puts into a graph to see what a backward pass does: one that fails, one that ends gradients.

`retrograd._C._functions` exports them under PyTorch's names. `once_differentiable` is made of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from retrograd.autograd.modes import no_grad
from retrograd.autograd.node import UNGENERATED, AccumulateGrad, Node, next_sequence_number
from retrograd.tensor import Tensor

__all__ = ["DelayedError", "UndefinedGrad"]


class DelayedError:
    """A function whose results are equal to its arguments, and whose node raises when a backward pass runs it.

    Parameters
    ----------
    message
        Of the `RuntimeError`.
    num_inputs
        How many tensors it is called with. Each may be None.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.ones(2, requires_grad=True)
    >>> y = retrograd._C._functions.DelayedError("not this way", 1)(x)
    >>> y
    tensor([1., 1.], grad_fn=<Error>)
    >>> y.sum().backward()
    Traceback (most recent call last):
        ...
    RuntimeError: not this way
    """

    __module__ = "builtins"

    def __init__(self, message: str | bytes, num_inputs: int) -> None:
        self._message = message.decode() if isinstance(message, bytes) else message
        self._inputs = num_inputs

    def __call__(self, *inputs: Tensor | None) -> Any:
        """One result for each argument; the only one by itself."""
        made = _passed_on(inputs, self._inputs, Error, self._message)
        return made[0] if len(made) == 1 else made


class UndefinedGrad:
    """A function whose result is equal to its argument, and behind whose node there is no gradient.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.ones(2, requires_grad=True)
    >>> retrograd._C._functions.UndefinedGrad()(x).sum().backward()
    >>> x.grad is None
    True
    """

    __module__ = "builtins"

    def __call__(self, *inputs: Tensor | None) -> Tensor | None:
        """The result."""
        return _passed_on(inputs, 1, UndefinedGradBackward, "")[0]


class _Ending(Node):
    """A node with as many outputs as inputs."""

    __slots__ = ("_n_differentiable", "_n_outputs", "_output_info", "message")

    __module__ = "builtins"
    _name_prefix = UNGENERATED
    message: str
    _output_info: tuple[tuple[Any, Any, Any] | None, ...]


class Error(_Ending):
    """The node of `DelayedError`: it fails, whether a gradient has reached it or not."""

    __slots__ = ()
    __module__ = "builtins"
    _runs_undefined = True


class UndefinedGradBackward(_Ending):
    """The node of `UndefinedGrad`."""

    __slots__ = ()
    __module__ = "builtins"


class _FailingPlan:
    __slots__ = ()
    holds_tensors = False

    def raw(self, K: Any, g: Any, node: _Ending) -> Sequence[Any]:
        raise RuntimeError(node.message)

    graph = raw

    def saved_attribute(self, node: Node, name: str) -> Any:
        raise AttributeError(f"'{type(node).__name__}' object has no attribute '_saved_{name}'")


class _UndefinedPlan(_FailingPlan):
    __slots__ = ()

    def raw(self, K: Any, g: Any, node: _Ending) -> Sequence[Any]:
        return (None,) * len(node._next_edges)

    graph = raw


def __getattr__(name: str) -> type[Node]:
    """A class of nodes by its name, as `retrograd._C._functions` has them."""
    from retrograd.ops.declare import Op

    found: dict[str, type[Node]] = {"AccumulateGrad": AccumulateGrad}
    if not name.startswith("__"):
        found |= {op.node_class.__name__: op.node_class for op in Op.registry.values()}
    if name not in found:
        raise AttributeError(f"module 'retrograd._C._functions' has no attribute {name!r}")
    return found[name]


_PLANS: Final = {Error: _FailingPlan(), UndefinedGradBackward: _UndefinedPlan()}


def _passed_on(inputs: Sequence[Any], expected: int, kind: type[_Ending], message: str) -> tuple[Tensor | None, ...]:
    """The inputs as results of a node of class `kind`, if one of them requires a gradient."""
    if len(inputs) != expected:
        raise TypeError(f"expected {expected} arguments, got {len(inputs)} instead")
    for i, each in enumerate(inputs):
        if not (each is None or isinstance(each, Tensor)):
            raise TypeError(f"argument {i} is not a Variable")
    with no_grad():
        made = tuple(None if each is None else each.detach() for each in inputs)
    if any(each is not None and each.requires_grad for each in inputs):
        node = _node(kind, inputs, message)
        for position, each in enumerate(made):
            if each is not None and each.dtype.is_differentiable:
                each._edge = (node, position)
    return made


def _node(kind: type[_Ending], inputs: Sequence[Tensor | None], message: str) -> _Ending:
    node = kind()
    node._next_edges = tuple(None if each is None else each._edge for each in inputs)
    node._holds, node._grad_plan, node._grad_fix, node._node_extras = (), _PLANS[kind], None, None
    node._seq_nr, node.message = next_sequence_number(), message
    node._n_outputs = node._n_differentiable = len(inputs)
    node._kernels = next(each._kernels for each in inputs if each is not None)
    node._output_info = tuple(
        None if each is None else (tuple(each._array.shape), each._array.dtype, each._kernels) for each in inputs
    )
    return node
