"""`einsum` and `tensordot` against PyTorch: values, gradients and errors, on every backend."""

from __future__ import annotations

import pytest
from programs import assert_same

EQUATIONS = {
    "ij,jk->ik": "a, b", "ij,jk": "a, b", "ij->ji": "a,", "ij->": "a,", "ij->j": "a,", "ii": "s,", "ii->i": "s,",
    "i,i": "v, v", "i,j->ij": "v, v", "ij,ij->ij": "a, a", "bij,bjk->bik": "c, d", "...ij,...jk->...ik": "c, d",
    "...ij->...ji": "c,", "bij,jk->bik": "c, b", "ij,jk,kl->il": "a, b, b.t()", "bij,bij->b": "c, c",
    "...i,i->...": "c, v", "ij,kj->ik": "a, a", "i...->...": "c,", "ij,ij->i": "a, a[:1]",
}  # fmt: skip

PROGRAM = """
v = torch.tensor([1., -2., .5], requires_grad=True)
a = torch.arange(6.).reshape(2, 3).requires_grad_()
b = (torch.arange(12.).reshape(3, 4) / 5).requires_grad_()
c = (torch.arange(12.).reshape(2, 2, 3) / 3).requires_grad_()
d = (torch.arange(24.).reshape(2, 3, 4) / 7).requires_grad_()
s = torch.arange(9.).reshape(3, 3).requires_grad_()
out = torch.einsum("{equation}", {operands})
print(out.detach(), out.requires_grad)
(out * out).sum().backward()
print([each.grad for each in (v, a, b, c, d, s)])
"""


@pytest.mark.parametrize("equation", EQUATIONS)
def test_equals_pytorch(equation: str, backend: str) -> None:
    assert_same(PROGRAM.replace("{equation}", equation).replace("{operands}", EQUATIONS[equation]))


def test_tensordot_and_errors() -> None:
    assert_same("""
        a, b = torch.arange(24.).reshape(2, 3, 4), torch.arange(12.).reshape(3, 4)
        print(torch.tensordot(a, b), torch.tensordot(a, b.t(), 1), torch.tensordot(a, b, ([1], [0])))
        attempt(torch.einsum, "ij,jk", b)
        attempt(torch.einsum, "ij", b, b)
        attempt(torch.einsum, "ij->ik", b)
        attempt(torch.einsum, "ij,ik->jk", b, torch.ones(2, 2))
        attempt(torch.tensordot, a, b, ([0], [0]))
        for terms, *shape in ("ii->i", 1, 3), ("ii", 3, 1), ("iji->j", 2, 2, 3), ("...ii->...", 4, 2, 3), ("ii", 1, 1):
            attempt(lambda: print(torch.einsum(terms, torch.ones(shape))))
        attempt(torch.einsum, "ij,kk->i", b, torch.ones(1, 2))
    """)


def test_tensordot_is_a_product_of_matrices(backend: str) -> None:
    assert_same("""
        m, n, dot = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(3, 4), torch.tensordot
        a = m.clone().requires_grad_()
        for y in (dot(a, a, ([0], [0])), dot(a, n, 1), dot(n, a, ([0], [1])), dot(a, a, 0), dot(a, a)):
            product = y.grad_fn.next_functions[0][0]
            print(y, y.grad_fn.name(), product.name(), torch.autograd.grad(y.sum(), a))
        print(dot(m, torch.ones(1, 4), 1), dot(m, n, torch.tensor(1)), dot(m, n, torch.tensor([[1], [0]])))
        for arguments in (
            (m, n.int(), 1), (m, n.double(), 1), (m, m, 1), (m, m, 3), (m, m, -1), (m, n, 1.0), (m, n, ([1], [0, 1])),
            (m, n, ([5], [0])), (m, m, ([0, 0], [0, 0])),
        ):
            attempt(dot, *arguments)
    """)
