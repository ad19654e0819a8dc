"""What the inputs of nodes were that nobody has looked at before: their shapes and types."""

from __future__ import annotations

from typing import Any

import pytest
from opinfo import OPS, OpInfo, Sample
from opinfo_nn import NN_OPS
from opinfo_places import PLACE_OPS
from programs import assert_same

import retrograd
from retrograd.autograd.graph import GradientEdge

CASES = [pytest.param(op, id=f"{op}-{i}") for i, op in enumerate([*OPS, *NN_OPS, *PLACE_OPS]) if op.differentiable]


def _made_by_a_node_that_does_not_know(leaf: Any) -> Any:
    return retrograd.stack([leaf, leaf]).mean(0) if leaf.requires_grad else leaf


def _unlike(op: OpInfo, sample: Sample) -> list[str]:
    """The inputs of a call's first nodes that these take for something else than they were."""
    leaves = [retrograd.tensor(each) for each in sample.arrays(op.name)]
    for spec, leaf in zip(sample.specs(), leaves, strict=True):
        leaf.requires_grad_(spec.is_differentiable)
    inputs = [_made_by_a_node_that_does_not_know(leaf) for leaf in leaves]
    were = {each._edge[0]: (list(each.shape), each.dtype) for each in inputs if each.requires_grad}
    args, kwargs = sample.filled(inputs)
    result = op(retrograd, args, kwargs)
    results = list(result) if isinstance(result, (tuple, list)) else [result]
    waiting = [each.grad_fn for each in results if getattr(each, "grad_fn", None) is not None]
    wrong, seen = [], set(waiting)
    while waiting:
        node = waiting.pop()
        for made_by, _ in node.next_functions:
            if made_by in were:
                (what,) = made_by._input_metadata
                if what is None or (list(what.shape), what.dtype) != were[made_by]:
                    wrong.append(f"{node.name()}: {what}, not {were[made_by]}")
            elif made_by is not None and made_by not in seen:
                seen.add(made_by)
                waiting.append(made_by)
    return wrong


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0", "ignore:index_reduce.. is in beta")
@pytest.mark.parametrize("op", CASES)
def test_every_operator_tells_what_its_inputs_were(op: OpInfo) -> None:
    assert not [wrong for sample in op.samples for wrong in _unlike(op, sample)]


def test_inputs_told_on_every_backend(backend: str) -> None:
    leaf = retrograd.ones(3, 4, requires_grad=True)
    x = _made_by_a_node_that_does_not_know(leaf)
    constant = retrograd.ones(4, 2)
    results = (
        x @ constant, x.cumsum(0), x.flip(1), retrograd.einsum("ij,jk->ki", x, constant), x.softmax(-1),
        x.reshape(2, 6), retrograd.complex(x, x.detach()), x * (1 + 1j), x.index_fill(0, retrograd.tensor([1]), 0.0),
    )  # fmt: skip
    for each in results:
        node = each.grad_fn
        while node is not x._edge[0]:
            node, number = next(edge for edge in node.next_functions if edge[0] is not None)
        (what,) = GradientEdge(node, number).node._input_metadata
        assert (list(what.shape), what.dtype) == ([3, 4], retrograd.float32), each.grad_fn.name()


def test_a_hook_learns_it_before_the_node_has_run() -> None:
    assert_same("""
        x = torch.ones(2, 3, requires_grad=True)
        y = (x.sum(0, keepdim=True) @ torch.ones(3, 2)).cumsum(1).flip(0)
        node = y.grad_fn
        del y
        while node is not None:
            for what in node._input_metadata:
                print(node.name(), list(what.shape), what.dtype)
            node = node.next_functions[0][0] if node.next_functions else None
    """)


def test_an_edge_to_an_output_that_is_not_there() -> None:
    made = """
        x = torch.ones(2, 3, requires_grad=True)
        edge = torch.autograd.graph.GradientEdge
        nodes = lambda: ((x * 2).grad_fn, torch.var_mean(x, 0)[0].grad_fn, x.view(6).grad_fn, x.unbind()[0].grad_fn)
    """
    assert_same(
        """
        for i, number in ((0, 1), (1, 2), (2, 1), (3, 5)):
            attempt(torch.autograd.grad, edge(nodes()[i], number), x, torch.ones(2, 3))
            attempt(torch.autograd.grad, edge(nodes()[i], number), x)
            attempt(torch.autograd.backward, edge(nodes()[i], number), torch.ones(2, 3))
    """,
        made,
    )


@pytest.mark.parametrize("number", [-1, 1])
def test_edges_that_end_pytorchs_process(number: int) -> None:
    x = retrograd.ones(2, requires_grad=True)
    y = x * 2
    assert y.grad_fn is not None
    edge = GradientEdge(y.grad_fn, number)
    with pytest.raises(IndexError, match="out of range"):
        retrograd.autograd.grad(y.sum(), edge)
    with pytest.raises(IndexError, match="out of range"):
        retrograd.autograd.backward(edge, retrograd.ones(2))
