"""Gradients through operators on sparse tensors, beside PyTorch's: values, and which are sparse."""

from __future__ import annotations

from programs import assert_same
from sparse_expressions import SHOWING


def test_gradients_of_conversions_and_arithmetic() -> None:
    assert_same(
        SHOWING
        + """
derive('''
x.to_dense()
c.to_dense()
h.to_dense()
d.to_sparse()
d.to_sparse(1)
d.to_sparse().to_dense()
x.coalesce()
c.values()
c.coalesce().values()
x.coalesce().values()
h.coalesce().values()
d.sparse_mask(c)
d.sparse_mask(c.detach())
x.clone()
x.double()
-x
x+x
x+y
x-y
torch.add(x,y,alpha=2)
d+x
d-x
torch.add(d,c,alpha=2)
x*2
x*y
c*c
c*y
x*d
d*c
x*torch.tensor(2.)
c/2
c**2
c.square()
c.abs()
c.sqrt()
c.sin()
c.asin()
c.tanh()
c.log1p()
c.expm1()
c.sign()
c.floor()
c.neg()
c.tan()
c.sinh()
c.erf()
c.deg2rad()
x.sum()
c.sum()
h.sum()
torch.sparse.sum(x)
torch.sparse.sum(c)
torch.sparse.sum(c,0)
torch.sparse.sum(x,0)
torch.sparse.sum(h,0)
torch.sparse.sum(h,1)
torch.sparse.sum(h,[0,1])
x.t()
c.t()
''')
"""
    )


def test_gradients_at_coordinates_that_are_stored_twice() -> None:
    assert_same("""
    x = torch.sparse_coo_tensor([[0, 0, 1], [1, 1, 0]], [1.0, 2.0, 3.0], (3, 2)).requires_grad_()
    m = torch.arange(4.0).reshape(2, 2).to_sparse().requires_grad_()
    for f in (
        lambda: torch.sparse.sum(x, 0), lambda: torch.sparse.sum(x, 1), lambda: torch.sparse.sum(x, (0, 1)),
        lambda: torch.sparse.mm(x, m), lambda: torch.sparse.mm(x, m.to_dense()), lambda: x.to_dense(),
        lambda: (x * x).coalesce(), lambda: torch.sparse.softmax(x, 0), lambda: x.to_sparse_csr().to_dense(),
    ):
        x.grad = None
        y = f()
        g = torch.arange(1.0, y.numel() + 1).reshape(y.shape)
        y.backward(g if y.layout == torch.strided else g.to_sparse())
        print(y.layout, x.grad.layout, x.grad.to_dense())
    """)


def test_gradients_of_sums_products_and_rows() -> None:
    assert_same(
        SHOWING
        + """
derive('''
x.transpose(0,1)
x.permute(1,0)
c.select(0,1)
c[0]
c[0,2]
h[0]
c.index_select(0,torch.tensor([1,0]))
torch.cat([x,y])
torch.stack([x,y])
x.narrow_copy(0,0,1)
torch.sparse.mm(x,m)
torch.sparse.mm(c,m)
torch.mm(x,m)
x@m
x@w
torch.mv(x,w)
torch.matmul(x,m)
m@x
torch.mm(m,x)
torch.mm(x,y.t())
torch.sparse.mm(sq,sq)
sq@sq
torch.mm(sq,sq)
torch.sparse.mm(m,x)
torch.sparse.mm(x,w)
torch.sparse.mm(d,m)
torch.sparse.mm(sq,m)
torch.addmm(w,x,torch.ones(3,3))
torch.sparse.softmax(c,1)
torch.sparse.softmax(x,1)
torch.sparse.log_softmax(c,1)
torch.sparse.softmax(h,0)
torch.sparse.softmax(h,1)
torch.sparse.log_softmax(h,1)
(d*c).to_dense()
(c*2).to_dense()
(x+y).to_dense()
torch.sparse.sum(c*d)
torch.sparse.sum(x*d)
(x.to_dense()*d)
x.to_dense().relu()
torch.sparse.sum(x,dtype=torch.float64)
d.gather(0,torch.zeros(1,3,dtype=torch.long),sparse_grad=True)
d.gather(1,torch.tensor([[0],[2]]),sparse_grad=True)
torch.nn.functional.embedding(torch.tensor([0,1,0]),d,sparse=True)
torch.nn.functional.embedding(torch.tensor([[0,1],[1,0]]),d,sparse=True)
torch.nn.functional.embedding(torch.tensor([0,1,0]),d,sparse=True,padding_idx=0)
torch.nn.functional.embedding(torch.tensor([0,1,0]),d*2,sparse=True)
torch.nn.functional.embedding(torch.tensor([0,1,0]),d,sparse=True,scale_grad_by_freq=True)
torch.nn.functional.embedding(torch.tensor([0,1,0]),d,scale_grad_by_freq=True)
torch.nn.functional.embedding(torch.tensor([0,1,0]),d,sparse=True)+d.sum()
torch.nn.functional.embedding(torch.tensor([0,1,0]),d,sparse=True)+torch.nn.functional.embedding(torch.tensor([1,1,1]),d,sparse=True)
x.clone().mul_(2)
x.clone().add_(y)
(d*1).add_(x)
(d*1).mul_(c)
torch.sparse.addmm(torch.ones(2,2),x,m)
torch.sparse.addmm(torch.ones(2,2),x,m,beta=2,alpha=3)
torch.addmm(torch.ones(2,2),x,m)
torch.bmm(b,torch.ones(2,3,2))
c.norm(1)
''')
"""
    )
