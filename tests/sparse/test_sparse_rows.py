"""Matrices in compressed rows and columns, beside PyTorch's."""

from __future__ import annotations

from programs import assert_same

GIVEN = """
import pickle

def made():
    csr = torch.sparse_csr_tensor
    cr, co, v = torch.tensor([0, 1, 3]), torch.tensor([2, 0, 2]), torch.tensor([3.0, 4.0, 5.0])
    x = csr(cr, co, v, (2, 3))
    return {
        "torch": torch, "pickle": pickle, "csr": csr, "cr": cr, "co": co, "v": v, "x": x,
        "d": torch.arange(6.0).reshape(2, 3), "m": torch.arange(6.0).reshape(3, 2),
        "coo": torch.sparse_coo_tensor([[0, 1, 1], [2, 0, 2]], v, (2, 3)).coalesce(),
    }

def told(error):
    return type(error).__name__ + " " + str(error).partition(chr(10))[0].partition(". This could be")[0]

def show(expressions):
    for each in expressions.split(chr(10)):
        if each.strip():
            try:
                print(each, eval(each, made()))
            except Exception as error:
                print(each, told(error))

def derive(expressions):
    for each in expressions.split(chr(10)):
        if not each.strip():
            continue
        names = made()
        leaves = {"x": names["x"].requires_grad_(), "mm": names["m"].requires_grad_()}
        leaves |= {"vv": torch.tensor([3.0, 4.0, 5.0], requires_grad=True), "dd": (names["d"] + 1).requires_grad_()}
        try:
            r = eval(each, names | leaves)
            print(each, r.layout, r.grad_fn)
            r = r if r.layout == torch.strided else r.to_dense()
            r.backward(torch.arange(1.0, r.numel() + 1).reshape(r.shape))
        except Exception as error:
            print(each, told(error))
        for name, leaf in leaves.items():
            if leaf.grad is not None:
                print("   ", name, leaf.grad.layout, leaf.grad.to_dense().tolist())
"""


def test_rows() -> None:
    assert_same(
        """
show('''
x
csr(cr,co,v)
csr([0,1],[0],[1.])
csr(cr,co,v,(2,3),dtype=torch.float64)
csr(cr,co,v,(2,3),requires_grad=True)
csr(cr.int(),co.int(),v,(2,3))
csr(cr,co,v,(2,2))
csr(cr,co,v,(3,3))
csr(cr,co,v[:2],(2,3))
csr(cr,co,v,(2,3),check_invariants=True)
csr(cr,co,v,(2,2),check_invariants=True)
csr(cr,co,v,(3,3),check_invariants=True)
csr(torch.tensor([0,3,1]),co,v,(2,3),check_invariants=True)
csr(torch.tensor([1,1,3]),co,v,(2,3),check_invariants=True)
csr(cr,torch.tensor([2,2,0]),v,(2,3),check_invariants=True)
x.crow_indices()
x.col_indices()
x.values()
x.indices()
x._nnz()
x.layout, x.is_sparse, x.is_sparse_csr, x.shape, x.dtype, x.sparse_dim(), x.dense_dim(), x.ndim, x.numel()
x.is_coalesced()
x.coalesce()
x._indices()
x._values()
x.to_dense()
x.to_sparse()
x.to_sparse_coo()
x.to_sparse_csr() is x
d.to_sparse_csr()
d.to_sparse(layout=torch.sparse_csr)
coo.to_sparse_csr()
coo.to_sparse(layout=torch.sparse_csr)
x.to_sparse(layout=torch.sparse_coo)
torch.sparse_coo_tensor([[0,0],[1,1]],[1.,2.],(2,2)).to_sparse_csr()
x@m
torch.mm(x,m)
torch.sparse.mm(x,m)
x@torch.ones(3)
torch.mv(x,torch.ones(3))
m@x
torch.addmm(torch.ones(2,2),x,m)
torch.sparse.addmm(torch.ones(2,2),x,m,beta=2,alpha=3)
torch.sparse.sampled_addmm(x, d, torch.ones(3,3))
torch.sparse.sampled_addmm(x, torch.ones(2,2), torch.ones(2,3),beta=2,alpha=3)
x*2
2*x
x/2
-x
x+x
x-x
x*x
x*d
d+x
x+d
x.abs()
x.sin()
x.relu()
x.sqrt()
x.sum()
x.sum(0)
x.sum(1,keepdim=True)
x.t()
x.transpose(0,1)
x.clone()
x.detach()
x.double()
x.to(torch.float16)
x.requires_grad_()
x[0]
x[0,2]
x[1,1]
x.select(0,1)
x.numpy()
x.zero_()
torch.zeros_like(x)
pickle.loads(pickle.dumps(x))
x.mul_(2)
x.isnan()
x**2
x.pow(2)
x.neg()
x.sparse_mask(x)
d.sparse_mask(x)
torch.sparse.softmax(x,1)
len(x)
x.add_(x)
torch.add(x,x,alpha=2)
torch.sparse_compressed_tensor(cr,co,v,(2,3),layout=torch.sparse_csr)
d.to_sparse_csc()
torch.sparse_csc_tensor(torch.tensor([0,1,1,3]),torch.tensor([1,0,1]),v,(2,3))
x.ccol_indices()
x.row_indices()
d.crow_indices()
d.col_indices()
coo.crow_indices()
torch.testing.assert_close(x,x)
''')
""",
        GIVEN,
    )


def test_gradients_of_rows() -> None:
    assert_same(
        """
derive('''
x@mm
torch.sparse.mm(x,mm)
csr(cr,co,vv,(2,3))@mm
csr(cr,co,vv,(2,3)).to_dense()
x.to_dense()
x*2
x.values()
dd.to_sparse_csr()
x.to_sparse_coo()
x+x
x.sum()
torch.addmm(torch.ones(2,2),x,mm)
x@torch.ones(3)
torch.sparse.sampled_addmm(x, torch.ones(2,2), torch.ones(2,3))
dd.to_sparse().to_sparse_csr()
''')
""",
        GIVEN,
    )


def test_products_of_rows(backend: str) -> None:
    assert_same("""
    x = torch.sparse_csr_tensor([0, 1, 3], [2, 0, 2], [3.0, 4.0, 5.0], (2, 3), requires_grad=True)
    y = torch.sparse.mm(x, torch.ones(3, 2))
    y.sum().backward()
    print(y, x.grad, (x.detach() @ x.detach().t()).to_dense())
    """)
