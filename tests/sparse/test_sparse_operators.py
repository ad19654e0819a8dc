"""Operators on sparse tensors, beside PyTorch's: results, layouts, order, and errors."""

from __future__ import annotations

import pytest
from programs import assert_same
from sparse_expressions import SHOWING

import retrograd
from retrograd.sparse import merging, multiplying


def test_elementwise_operators() -> None:
    assert_same(
        SHOWING
        + """
show('''
-x
x+x
x+y
c+y
x-y
x+h
x+d
d+x
x-d
d-x
d+h
torch.ones(3)+x
x+torch.ones(3)
x+1
1+x
x-1
torch.add(x,y,alpha=2)
torch.add(d,x,alpha=2)
torch.sub(x,y,alpha=2)
x+xi
xi+x
d.double()+x
d+x.double()
d.int()+x
x*2
2*x
xi*2
xi*2.5
x*x
x*y
x*c
c*c
x*d
d*x
x*torch.tensor(2.)
torch.tensor(2.)*x
x*torch.ones(3)
x*torch.ones(1,3)
x*torch.ones(2,1)
h*h
h*torch.ones(2,2)
h*torch.ones(2)
x*torch.ones(2,2,3)
x*h
x/2
xi/2
2/x
x/x
x/d
x/torch.tensor(2.)
d/x
x//2
x.floor_divide(2)
torch.div(x,2,rounding_mode='floor')
torch.div(x,2,rounding_mode='trunc')
x**2
x**0.5
x**0
x**-1
x**x
2**x
xi**2
x.pow(2)
x.square()
x.abs()
abs(x)
x.sqrt()
xi.sqrt()
x.sin()
x.cos()
x.exp()
x.relu()
torch.relu(x)
torch.nn.functional.relu(x)
x.asin()
x.asinh()
x.atan()
x.atanh()
x.ceil()
x.floor()
x.round()
x.trunc()
x.frac()
x.sign()
x.sgn()
x.signbit()
x.erf()
x.erfinv()
x.expm1()
x.log1p()
x.sinh()
x.tan()
x.tanh()
x.deg2rad()
x.rad2deg()
x.isnan()
x.isinf()
x.isposinf()
x.isneginf()
x.nan_to_num()
x.neg()
x.positive()
x.sigmoid()
x.log()
x.any()
x.all()
x.mean()
x.mean(0)
x.prod()
x.max()
x.squeeze()
sct((1,3)).squeeze(0)
x.tril()
x.diagonal()
x.diag()
x.clamp(0,1)
x>0
x.eq(0)
torch.where(d>1,x,x)
torch.maximum(x,x)
x.topk(1)
x.nonzero()
x.count_nonzero()
torch.zeros_like(x)
x.real
x.conj()
x.is_conj()
torch.conj_physical(x)
torch.view_as_real(x.to(torch.complex64))
x.to(torch.complex64).abs()
x.gather(0,torch.zeros(1,3,dtype=torch.long))
x.lerp(y,0.5)
torch.addcmul(x,x,x)
torch.rsub(x,x)
torch.subtract(x,y)
torch.multiply(x,2)
torch.negative(x)
torch.true_divide(x,2)
x.absolute()
x.arcsin()
x.fix()
x.hypot(x)
x.atan2(x)
x.fmod(2)
x%2
x.logical_not()
~x.bool()
x.bool()&x.bool()
x.bool().any()
e.any()
e.coalesce().is_coalesced()
e+x
e*x
e.to_dense()
''')
"""
    )


def test_sums_norms_and_softmax() -> None:
    assert_same(
        SHOWING
        + """
show('''
x.sum()
xi.sum()
x.sum(0)
x.sum(1)
x.sum((0,1))
x.sum(0,keepdim=True)
x.sum(-1)
torch.sum(x,0)
torch.sparse.sum(x)
torch.sparse.sum(x,0)
torch.sparse.sum(x,1)
torch.sparse.sum(x,[0,1])
torch.sparse.sum(x,-1)
torch.sparse.sum(x,2)
torch.sparse.sum(h,0)
torch.sparse.sum(h,1)
torch.sparse.sum(h,[0,1])
torch.sparse.sum(h)
torch.sparse.sum(x,dtype=torch.float64)
torch.sparse.sum(x,0,dtype=torch.float64)
torch.sparse.sum(d)
torch.sparse.sum(b,[0,2])
h.sum(0)
h.sum(1)
h.sum(dtype=torch.float64)
x.norm()
x.norm(1)
x.norm(3)
x.norm(float('inf'))
x.norm(2,0)
torch.norm(x)
torch.linalg.norm(x)
torch.linalg.vector_norm(x)
x.cumsum(0)
x.softmax(0)
torch.sparse.softmax(x,1)
torch.sparse.softmax(x,0)
torch.sparse.softmax(h,1)
torch.sparse.softmax(h,0)
torch.sparse.softmax(x,2)
torch.sparse.softmax(d,1)
torch.sparse.softmax(x,1,dtype=torch.float64)
torch.sparse.log_softmax(x,1)
torch.sparse.log_softmax(h,0)
torch.sparse.log_softmax(h,1)
torch.sparse.softmax(xi,1)
e.sum()
e.norm()
''')
"""
    )


def test_choosing_and_rearranging() -> None:
    assert_same(
        SHOWING
        + """
show('''
x/torch.tensor([2.])
x.t()
c.t()
x.T
x.mT
x.transpose(0,1)
b.transpose(0,2)
b.transpose(0,1)
h.transpose(0,1)
h.t()
x.permute(1,0)
b.permute(2,0,1)
h.permute(1,0)
x.unsqueeze(0)
x.unsqueeze(1)
x.unsqueeze(-1)
h.unsqueeze(-1)
h.unsqueeze(1)
c.unsqueeze(0)
x.unsqueeze(4)
x.select(0,1)
x.select(1,2)
c.select(0,1)
x.select(1,-1)
x.select(2,0)
x.select(0,5)
h.select(0,0)
h.select(1,0)
h[0]
h[0,1]
h[:,1]
b[0]
b[:,1]
b[0,1]
b[0,1,2]
b[...,0]
b[0,:,0]
x[None]
x[-1]
x[5]
x[1,1]
x.index_select(0,torch.tensor([1,0,1]))
x.index_select(1,torch.tensor([2]))
c.index_select(1,torch.tensor([2,0]))
x.index_select(-1,torch.tensor([2]))
h.index_select(1,torch.tensor([1]))
h.index_select(0,torch.tensor([0,0]))
x.index_select(0,torch.tensor([2]))
x.index_select(0,torch.tensor([-1]))
x.narrow(0,0,1)
x.narrow_copy(0,0,1)
x.narrow_copy(1,1,2)
h.narrow_copy(1,1,1)
torch.cat([x,y])
torch.cat([x,y],1)
torch.cat([c,c])
torch.cat([h,h],1)
torch.cat([h,h],0)
torch.cat([x,d])
torch.cat([x,sct((3,3))])
torch.stack([x,y])
torch.stack([x,y],1)
torch.stack([x,y],2)
torch.stack([h,h],1)
torch.vstack([x,y])
torch.hstack([x,y])
x.expand(2,2,3)
x.broadcast_to((2,2,3))
x.flatten()
x.chunk(2)
x.split(1)
x.unbind()
x.flip(0)
''')
"""
    )


def test_writes() -> None:
    assert_same(
        SHOWING
        + """
show('''
x.fill_(1)
x.zero_()
x.mul_(2)
x.mul_(y)
x.mul_(d)
x.add_(y)
x.add_(d)
x.add_(1)
d.add_(x)
d.add_(x,alpha=2)
d.sub_(x)
d.mul_(x)
d.copy_(x)
x.copy_(y)
x.copy_(d)
x.sub_(y)
x.div_(2)
x.div_(d)
x.pow_(2)
x.neg_()
x.abs_()
x.sqrt_()
x.relu_()
x.sin_()
x.floor_()
x.t_()
x.transpose_(0,1)
x.unsqueeze_(0)
''')
"""
    )


def test_whose_coordinates_a_result_has() -> None:
    assert_same("""
    def parts(x):
        return x.is_coalesced(), x._indices().tolist(), x._values().tolist()
    for one, in_order in (([0, 0], True), ([0, 0], False), ([0], False), ([1, 0], False)):
        for other, ordered in (([0, 1], True), ([1, 0, 1], False), ([1], False), ([0, 1, 1], True)):
            a = torch.sparse_coo_tensor([one], torch.arange(1.0, len(one) + 1), (3,))
            b = torch.sparse_coo_tensor([other], torch.arange(1.0, len(other) + 1) * 10, (3,))
            a, b = a.coalesce() if in_order else a, b.coalesce() if ordered else b
            print(one, other, parts(a * b), parts(b * a), parts(a + b), parts(a.sparse_mask(b)))
            print(parts(torch.arange(1.0, 4).sparse_mask(b)), parts(a.to_dense().to_sparse()))
    """)


@pytest.mark.parametrize(("at_once", "dense"), [(1 << 21, 16), (40, 0), (40, 16), (1, 0)])
def test_large_products_are_those_of_dense_matrices(monkeypatch: pytest.MonkeyPatch, at_once: int, dense: int) -> None:
    monkeypatch.setattr(multiplying, "_AT_ONCE", at_once)
    monkeypatch.setattr(multiplying, "_DENSE", dense)
    a = retrograd.arange(48.0).reshape(8, 6) % 5
    b = retrograd.arange(42.0).reshape(6, 7) % 3
    product = retrograd.sparse.mm(a.to_sparse(), b.to_sparse())
    assert product.is_coalesced()
    assert retrograd.equal(product.to_dense(), a @ b)
    assert retrograd.equal(a.to_sparse() @ b, a @ b)


def test_many_elements_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    x = retrograd.sparse_coo_tensor([[2, 0, 2]], [1.0, 2.0, 3.0], (3,))
    monkeypatch.setattr(merging, "_MANY", 4)
    assert (x + x).to_dense().tolist() == [4.0, 0.0, 8.0]
    assert (x.coalesce() + x.coalesce()).values().tolist() == [4.0, 8.0]


@pytest.mark.parametrize("name", ["cos", "exp", "sigmoid", "argmax", "cumsum", "tril", "sort", "unique"])
def test_operators_without_a_sparse_form_are_refused(backend: str, name: str) -> None:
    x = retrograd.tensor([[0.0, 1.0]]).to_sparse()
    with pytest.raises(RuntimeError, match=r"Could not run 'aten::\w+|not implemented for sparse"):
        getattr(x, name)(*([0] if name == "cumsum" else []))
