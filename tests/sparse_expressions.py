"""Expressions of sparse tensors, which several tests evaluate under both libraries and show in one line each."""

from __future__ import annotations

__all__ = ["SHOWING"]

SHOWING = """
def shown(r):
    if isinstance(r, (tuple, list)):
        return [shown(each) for each in r]
    if not isinstance(r, torch.Tensor):
        return r
    node = type(r.grad_fn).__name__ if r.grad_fn else ""
    if r.layout == torch.sparse_coo:
        order = "in order" if r.is_coalesced() else "as it is"
        return order, r._indices().tolist(), r._values().tolist(), tuple(r.shape), r.dtype, node
    return r.tolist(), tuple(r.shape), r.dtype, node

def made():
    sct = torch.sparse_coo_tensor
    i = torch.tensor([[0, 1, 1], [2, 0, 2]])
    x = sct(i, torch.tensor([3.0, 4.0, 5.0]), (2, 3))
    return {
        "torch": torch, "sct": sct, "i": i, "x": x, "c": x.coalesce(), "xi": x.int(), "e": sct((2, 3)),
        "y": sct(torch.tensor([[0, 1], [1, 2]]), torch.tensor([1.0, 2.0]), (2, 3)),
        "d": torch.arange(6.0).reshape(2, 3) + 1, "m": torch.arange(6.0).reshape(3, 2) + 1, "w": torch.ones(3),
        "h": sct(torch.tensor([[0, 1, 0]]), torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), (2, 2)),
        "b": torch.ones(2, 2, 3).to_sparse(),
        "sq": sct(torch.tensor([[0, 1, 2], [2, 0, 2]]), torch.tensor([1.0, 2.0, 3.0]), (3, 3)).coalesce(),
    }

def told(error):
    return type(error).__name__ + " " + str(error).partition(chr(10))[0].partition(". This could be")[0]

def show(expressions):
    for each in expressions.split(chr(10)):
        if each.strip():
            try:
                print(each, shown(eval(each, made())))
            except Exception as error:
                print(each, told(error))

def derive(expressions):
    for each in expressions.split(chr(10)):
        if not each.strip():
            continue
        names = made()
        leaves = {n: names[n].requires_grad_() for n in "x c y d m w h b sq".split()}
        try:
            r = eval(each, names)
            print(each, shown(r))
            g = torch.arange(1.0, r.numel() + 1).reshape(r.shape)
            r.backward(g if r.layout == torch.strided else g.to_sparse(r.sparse_dim()))
        except Exception as error:
            print(each, told(error))
        for name, leaf in leaves.items():
            if leaf.grad is not None:
                g = leaf.grad
                print("   ", name, g.layout, (g.to_dense() if g.layout != torch.strided else g).tolist())
"""
"""What programs begin with: `show` evaluates lines, `derive` also the gradients of the tensors in them."""
