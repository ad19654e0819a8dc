"""Pieces that share memory with what they were cut from, of which the graph and the version counters do not know."""

from __future__ import annotations

import pytest
from programs import assert_same

_GIVEN = """
        fw = torch.autograd.forward_ad

        def show(pieces, base):
            for x in pieces:
                node = x.grad_fn and x.grad_fn.name()
                print(x.tolist(), x._is_view(), x._version, x.is_leaf, node, x.data_ptr() - base.data_ptr())
            print(base.tolist(), base._version)
"""

PROGRAMS = {
    "memory": """
        for recorded in (False, True):
            a = torch.ones(4, requires_grad=recorded)
            b = a * 1
            pieces = f(b)
            show(pieces, b)
            pieces[0].mul_(2)
            show(pieces, b)
            b.add_(1)
            show(pieces, b)
        (pieces[0].sum() * 3 + (pieces[1] ** 2).sum()).backward()
        print(a.grad, pieces[0].grad_fn.next_functions[0][0].name())
    """,
    "modes": """
        a = torch.ones(4, requires_grad=True)
        with torch.no_grad():
            for b in (a, a * 1):
                print(f(b)[0].requires_grad, f(b)[0].is_leaf)
        with torch.inference_mode():
            pieces = f(a * 1)
            print(pieces[0].is_inference(), pieces[0].is_leaf, pieces[0].add_(1))
        print(f(a)[0].mul_(2), a)
        with fw.dual_level():
            b = fw.make_dual(torch.ones(4), torch.arange(4.0)) * 1
            pieces = f(b)
            print([fw.unpack_dual(each) for each in pieces])
            print(fw.unpack_dual(pieces[0].mul_(3)), fw.unpack_dual(b).primal)
        print(torch.func.grad(lambda x: f(x * 2)[0].mul_(4).sum())(torch.ones(4)))
    """,
}


@pytest.mark.parametrize(
    "cut", ["b.unsafe_split(2)", "b.unsafe_split_with_sizes([1, 3])", "torch.unsafe_chunk(b, 3, dim=-1)"]
)
@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, cut: str, backend: str) -> None:
    assert_same(PROGRAMS[name], given=_GIVEN + f"\n        f = lambda b: {cut}\n")


def test_refused_as_by_pytorch(backend: str) -> None:
    assert_same("""
        attempt(lambda: torch.tensor(1.0).unsafe_split(1))
        attempt(lambda: torch.ones(3).unsafe_split(-1))
        attempt(lambda: torch.ones(3).unsafe_split_with_sizes([1, 1]))
        attempt(lambda: torch.ones(3).unsafe_chunk(0))
        attempt(lambda: torch.tensor(1.0).unsafe_chunk(1))
        attempt(lambda: torch.zeros(0).unsafe_chunk(2))
    """)
