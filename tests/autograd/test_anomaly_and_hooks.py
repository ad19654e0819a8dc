"""Anomaly mode unpacks what saved-tensor hooks have packed no more than once, so it is the NaN that is told."""

from __future__ import annotations

import pytest
from programs import assert_same

_PRELUDE = """
        x = torch.ones(2, requires_grad=True)
        unpacked = []

        def unpack(tensor):
            unpacked.append(1)
            return tensor

        def count(function):
            with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, unpack):
                total = function(x).sum()
            attempt(total.backward)
            print(len(unpacked))
"""

PROGRAMS = {
    "an_operator": """
        with torch.autograd.detect_anomaly():
            count(lambda x: (x * 0).sqrt() * 0)
    """,
    "a_function": """
        class Broken(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * 1

            @staticmethod
            def backward(ctx, grad):
                return grad * ctx.saved_tensors[0] * float("nan")

        with torch.autograd.detect_anomaly():
            count(Broken.apply)
    """,
    "a_checkpoint": """
        checkpoint = torch.utils.checkpoint.checkpoint
        with torch.autograd.detect_anomaly():
            attempt(checkpoint(lambda x: (x * 0).sqrt() * 0, x, use_reentrant=False).sum().backward)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_saved_tensors_are_unpacked_once(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name], given=_PRELUDE)


def test_nodes_keep_the_call_and_the_node_that_made_them() -> None:
    assert_same(
        """
    x = torch.ones(2, requires_grad=True)
    with torch.autograd.detect_anomaly():
        y = x * 2
        (g,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
    print(sorted(y.grad_fn.metadata), sorted(g.grad_fn.metadata), type(y.grad_fn.metadata["traceback_"]).__name__)
    print(g.grad_fn.metadata["parent_"].name())
    """
    )
