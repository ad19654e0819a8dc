"""The graph of a model as TensorBoard shows it: the nodes that its outputs come from, by the module that made them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from retrograd.autograd.modes import enable_grad
from retrograd.autograd.node import AccumulateGrad, name_of, next_sequence_number
from retrograd.nn.modules.everywhere import register_module_forward_hook, register_module_forward_pre_hook
from retrograd.nn.modules.module import Module
from retrograd.tensor import Tensor
from retrograd.utils._pytree import tree_leaves

__all__ = ["graph_of"]


class _Call(NamedTuple):
    """Which nodes were made while a module ran, by their sequence numbers."""

    name: str
    first: int
    end: int


def graph_of(model: Module, inputs: Any) -> Any:
    """TensorFlow's record of the graph that a call of the model makes.

    Raises
    ------
    RuntimeError
        If nothing that the model returns depends on its parameters or on its inputs by a gradient.
    """
    given = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    leaves = [_leaf(each) for each in given]
    with enable_grad(), _calls_of(model) as calls:
        outputs = model(*leaves)
    roots = [each for each in tree_leaves(outputs) if isinstance(each, Tensor) and each.requires_grad]
    if not roots:
        raise RuntimeError("add_graph(): no output of the model has a graph, so that there is nothing to show")
    return _Writer(model, leaves, calls).graph(roots)


def _leaf(value: Any) -> Any:
    """An input from which a graph leads on."""
    if not isinstance(value, Tensor):
        return value
    return value.detach().requires_grad_(value.dtype.is_differentiable)


@contextmanager
def _calls_of(model: Module) -> Iterator[list[_Call]]:
    """Note when the modules of a model run."""
    root = type(model).__name__
    names = {module: f"{root}.{name}".rstrip(".").replace(".", "/") for name, module in model.named_modules()}
    running: list[int] = []
    found: list[_Call] = []

    def begin(module: Module, args: Any) -> None:
        running.append(next_sequence_number())

    def finish(module: Module, args: Any, output: Any) -> None:
        found.append(_Call(names.get(module, type(module).__name__), running.pop(), next_sequence_number()))

    handles = [register_module_forward_pre_hook(begin), register_module_forward_hook(finish)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


class _Writer:
    """Names nodes, and writes each once."""

    def __init__(self, model: Module, inputs: Sequence[Any], calls: Sequence[_Call]) -> None:
        root = type(model).__name__
        self.calls = calls  # those within a call stand in front of it
        self.leaves = {id(each): f"{root}/{name.replace('.', '/')}" for name, each in model.named_parameters()}
        self.leaves |= {id(each): f"input/{i}" for i, each in enumerate(inputs) if isinstance(each, Tensor)}
        self.numbers: Counter[str] = Counter()
        self.names: dict[Any, str] = {}

    def graph(self, roots: Sequence[Tensor]) -> Any:
        from tensorboardX.proto.graph_pb2 import GraphDef
        from tensorboardX.proto.node_def_pb2 import NodeDef
        from tensorboardX.proto.versions_pb2 import VersionDef

        ends = [each._edge[0] for each in roots if each._edge is not None]
        made = [NodeDef(name=f"output/{i}", op="IO Node", input=[self.name(end)]) for i, end in enumerate(ends)]
        seen, todo = set(ends), [*dict.fromkeys(ends)]
        while todo:
            node = todo.pop()
            before = [edge[0] for edge in node._next_edges if edge is not None]
            made.append(NodeDef(name=self.name(node), op=self.kind(node), input=[self.name(each) for each in before]))
            todo += [each for each in dict.fromkeys(before) if each not in seen]
            seen.update(before)
        return GraphDef(node=made, versions=VersionDef(producer=22))

    def name(self, node: Any) -> str:
        """A node's name: that of the module, of the operator, and a number if there are several."""
        if node not in self.names:
            if isinstance(node, AccumulateGrad):
                plain = self.leaves.get(id(node._variable()), "constant")
            else:
                plain = f"{self.scope(node._seq_nr)}{_operator(node)}"
            number = self.numbers[plain]
            self.numbers[plain] += 1
            self.names[node] = f"{plain}_{number}" if number else plain
        return self.names[node]

    def kind(self, node: Any) -> str:
        if not isinstance(node, AccumulateGrad):
            return _operator(node)
        return "IO Node" if self.name(node).startswith("input/") else "Parameter"

    def scope(self, number: int) -> str:
        """The innermost module that ran when a node was made."""
        inner = next((each.name for each in self.calls if each.first < number < each.end), "")
        return f"{inner}/" if inner else ""


def _operator(node: Any) -> str:
    return re.sub(r"Backwards?\d*$", "", name_of(node))
