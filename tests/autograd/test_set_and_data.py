"""A tensor is given other memory, by set_ and by assignment to .data: the same as in PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
from retrograd import storage

PROGRAMS = {
    "a_view_that_has_moved_stays_of_the_family": """
        x = torch.arange(6.0, requires_grad=True)
        base = x * 2
        moved, other, each = base[1:4], base[::2], base.unbind(0)[1]
        with torch.no_grad():
            moved.set_(torch.full((2,), 5.0))
        later = moved[1:]
        base.mul_(3)
        for view in (moved, other, later):
            print(view, view._version)
        attempt(lambda: each.grad_fn)
        moved.add_(1)
        print(base.grad_fn, base.grad_fn.next_functions, moved, base, other)
        print(torch.autograd.grad(base.sum(), x, retain_graph=True), torch.autograd.grad(later.sum(), x))
    """,
    "a_base_that_has_moved_keeps_its_views": """
        x = torch.arange(6.0, requires_grad=True)
        for move in (lambda b: b.set_(torch.zeros(6)), lambda b: setattr(b, "data", torch.ones(6)), lambda b: b.set_()):
            base = x * 2
            view = base[1:4]
            with torch.no_grad():
                move(base)
            print(view._version, view.grad_fn, view._base is base)
            base.mul_(2)
            print(view._version, view.grad_fn, view, base)
            view.mul_(5)
            print(base._version, base.grad_fn, view, base)
            attempt(torch.autograd.grad, base.sum(), x)
    """,
    "part_of_what_a_tensor_looks_at": """
        x = torch.arange(12.0).reshape(3, 4)
        y = torch.zeros(1)
        print(y.set_(x[1], 1, (2,), (1,)), y.storage_offset())
        attempt(y.set_, x[:, 1], 0, (2,), (1,))
        row = x[2]
        print(row.set_(row, 1, (2,), (1,)), row.storage_offset(), row.set_(row))
        source = torch.ones(3, requires_grad=True) * 2
        print(torch.zeros(3).set_(source).grad_fn, torch.zeros(3).set_(source, 0, (3,), (1,)).requires_grad)
    """,
    "data_of_another_layout": """
        x, s = torch.ones(2), torch.eye(2).to_sparse()
        attempt(setattr, x, "data", s)
        attempt(setattr, s, "data", x)
    """,
    "a_leaf_is_another_after_set": """
        for change in ("set_", "data", "data of another type"):
            x = torch.ones(2, requires_grad=True)
            log = []
            x.register_hook(lambda grad: log.append("of the tensor"))
            x.register_post_accumulate_grad_hook(lambda x: log.append("afterwards"))
            edge = torch.autograd.graph.get_gradient_edge(x)
            edge.node.register_hook(lambda grads, arrived: log.append("of the node"))
            edge.node.register_prehook(lambda grads: log.append("before the node"))
            out = (x * 2).sum()
            with torch.no_grad():
                if change == "set_":
                    x.set_(torch.zeros(2))
                else:
                    x.data = torch.zeros(2, dtype=torch.float32 if change == "data" else torch.float64)
            print(change, torch.autograd.graph.get_gradient_edge(x).node is edge.node)
            attempt(lambda: torch.autograd.grad(out, x, retain_graph=True))
            print(torch.autograd.grad(out, edge, retain_graph=True), log)
            log.clear()
            (x * 3).sum().backward()
            print(x.grad, log)
    """,
    "data_assign": """
        x = torch.ones(3, requires_grad=True)
        v0 = x._version
        x.data = torch.full((2, 2), 5.0)
        print(x, x.requires_grad, x.is_leaf, x.shape, x._version)
        (x * 2).sum().backward()
        print(x.grad)
        attempt(setattr, x, "data", torch.ones(3))
        print(x.shape, x.grad)
    """,
    "data_assign_rules": """
        x = torch.ones(3, requires_grad=True)
        attempt(setattr, x, "data", 3)
        attempt(setattr, x, "data", None)
        attempt(setattr, x, "data", torch.ones(3, dtype=torch.int64))
        attempt(setattr, x, "data", torch.ones(3, dtype=torch.float64))
        print(x.dtype, x.requires_grad)
        (x * 2).sum().backward()
        print(x.grad)
        attempt(lambda: delattr(x, "data"))
        y = torch.arange(3)
        y.data = torch.ones(2)
        print(y)
        y = torch.ones(3)
        y.data = torch.arange(3)
        print(y)
    """,
    "data_assign_nonleaf": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        y.data = torch.full((3,), 7.0)
        print(y, y.grad_fn)
        (y * y).sum().backward()
        print(x.grad)
    """,
    "data_shares": """
        x = torch.ones(3, requires_grad=True)
        t = torch.zeros(3)
        x.data = t
        t[0] = 9.0
        print(x, x._version, t._version)
        with torch.no_grad():
            x[1] = 4.0
        print(t, x._version, t._version)
        d = x.data
        d[2] = 1.0
        print(x, t, d.requires_grad, d._version)
    """,
    "data_of_view": """
        b = torch.zeros(4)
        v = b[:2]
        v.data = torch.ones(2)
        print(v, b, v._is_view(), v._base is b)
        v.mul_(5)
        print(v, b)
        b.add_(1)
        print(v, b)
    """,
    "data_same_grad_kept": """
        x = torch.ones(3, requires_grad=True)
        (x * 2).sum().backward()
        x.data = torch.zeros(3)
        print(x.grad)
        x.data = torch.zeros(4)
        print(x.grad)
        attempt(lambda: (x * 2).sum().backward())
    """,
    "data_noncontiguous": """
        x = torch.ones(2, 3, requires_grad=True)
        x.data = torch.arange(6.0).reshape(3, 2).t()
        print(x, x.stride(), x.is_contiguous())
        x.data = x.data[:, 1:]
        print(x, x.storage_offset())
    """,
    "set_basic": """
        a = torch.ones(3)
        b = torch.arange(4.0)
        r = a.set_(b)
        print(r is a, a, a._version, b._version)
        a[0] = 10.0
        print(b, a._version, b._version)
        b[1] = 20.0
        print(a, a._version)
    """,
    "set_empty": """
        a = torch.ones(3)
        a.set_()
        print(a, a.shape)
    """,
    "set_storage": """
        b = torch.arange(6.0)
        a = torch.zeros(1)
        a.set_(b.untyped_storage(), 1, (2, 2), (2, 1)) if False else a.set_(b, 1, (2, 2), (2, 1))
        print(a, a.stride(), a.storage_offset())
        a[0, 0] = 100.0
        print(b)
    """,
    "set_tensor_args": """
        b = torch.arange(6.0)
        a = torch.zeros(1)
        attempt(a.set_, b, 1)
        attempt(a.set_, b, 1, (2,))
        attempt(a.set_, b, 0, (2, 2))
        attempt(a.set_, b, 0, (2, 2), (2, 1))
        attempt(a.set_, b, 3, (2, 2), (2, 1))
        attempt(a.set_, b, -1, (2,), (1,))
        attempt(a.set_, b, 0, (2,), (-1,))
        attempt(a.set_, b, 0, (2, 2), (1,))
        attempt(a.set_, 3)
        attempt(a.set_, torch.arange(3))
        attempt(a.set_, [1.0, 2.0])
    """,
    "set_views_of_target": """
        a = torch.ones(3)
        v = a[:2]
        a.set_(torch.zeros(5))
        print(a, v, v._base is a)
        v.add_(1)
        print(a, v)
    """,
    "set_requires": """
        x = torch.ones(3, requires_grad=True)
        attempt(x.set_, torch.zeros(3))
        attempt(torch.zeros(3).set_, x)
        with torch.no_grad():
            x.set_(torch.zeros(4))
        print(x, x.requires_grad)
        (x * 2).sum().backward()
        print(x.grad)
        y = torch.ones(3, requires_grad=True) * 2
        attempt(y.set_, torch.zeros(3))
        t = torch.zeros(3)
        with torch.no_grad():
            t.set_(y)
        print(t, t.requires_grad)
    """,
    "set_of_requires_grad_source": """
        y = torch.ones(3, requires_grad=True) * 2
        t = torch.zeros(3)
        attempt(t.set_, y)
        attempt(t.set_, y.detach())
        print(t, t.requires_grad)
        t[0] = 5.0
        print(y)
    """,
    "set_view_target": """
        b = torch.zeros(4)
        v = b[:2]
        attempt(v.set_, torch.ones(3))
        print(v, v._is_view())
        v[0] = 7.0
        print(b)
    """,
    "set_graph": """
        x = torch.ones(3, requires_grad=True)
        w = torch.full((3,), 2.0)
        y = x * w
        w.set_(torch.zeros(3))
        attempt(y.sum().backward)
        print(w._version)
    """,
    "set_self_view": """
        a = torch.arange(6.0)
        a.set_(a[2:4])
        print(a, a.storage_offset(), a.shape)
    """,
    "set_scalar": """
        a = torch.zeros(3)
        a.set_(torch.tensor(2.0))
        print(a, a.shape)
    """,
    "untyped_storage": """
        b = torch.arange(6.0)
        s = b.untyped_storage()
        print(s.nbytes(), s.size(), len(s), s.data_ptr() == b.data_ptr(), type(s).__name__)
        v = b[2:]
        print(v.untyped_storage().data_ptr() == s.data_ptr(), v.untyped_storage()._cdata == s._cdata)
        print(torch.ones(2).untyped_storage().data_ptr() == s.data_ptr())
        a = torch.zeros(1)
        for args in ((s,), (s, 1, (2, 2), (2, 1)), (s, 1, (2, 2)), (s, 1, (2,))):
            attempt(a.set_, *args)
        a[0] = 77.0
        print(b)
        print(a.set_(source=b), a.set_(source=b, storage_offset=1, size=(2,), stride=(2,)))
        print(b.t().untyped_storage()._cdata == s._cdata, b.clone().untyped_storage()._cdata == s._cdata)
    """,
    "set_no_derivative": """
        y = torch.ones(3, requires_grad=True) * 2
        t = torch.zeros(3)
        t.set_(y)
        print(t.grad_fn, t.grad_fn.name(), t.grad_fn.next_functions)
        attempt(t.sum().backward)
    """,
    "set_dtype": """
        a = torch.zeros(3)
        attempt(a.set_, torch.arange(3).untyped_storage()) if False else None
        attempt(a.set_, torch.arange(3))
        attempt(a.set_, torch.ones(3, dtype=torch.complex64))
        print(a, a._version)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])


@pytest.mark.parametrize("new", ["(3,)", "(1,)", "(1, 2)", "(4, 2)"])
def test_a_copied_gradient_of_a_leaf_that_has_another_shape_meanwhile_takes_its_shape(new: str) -> None:
    program = f"""
        b = torch.ones(2, requires_grad=True)
        y = (b + 1).sum()
        b.data = torch.zeros({new})
        y.backward()
        print(b.grad, b.grad.stride())
    """
    assert_same(program)


@pytest.mark.parametrize("new", ["(3, 2)", "(2, 2)", "(4, 3)", "(6,)", "(3,)"])
def test_so_does_one_whose_strides_are_not_the_leafs(new: str) -> None:
    program = f"""
        b = torch.ones(2, 3, requires_grad=True)
        y = b.exp().sum()
        b.data = torch.zeros({new})
        y.backward()
        print(b.grad, b.grad.stride())
    """
    assert_same(program)


def test_gradients_fit_the_data_that_a_node_s_output_had(backend: str) -> None:
    assert_same("""
        uses = (
            lambda b: (b * b).sum(), lambda b: b.sum(), lambda b: (b.exp() + b.sin()).sum(), lambda b: b.view(-1).sum(),
        )
        for data in (torch.zeros(4), torch.ones(2, 3), torch.ones(1), torch.tensor(2.0), torch.ones(3)):
            for use in uses:
                x = torch.ones(3, requires_grad=True)
                b = x * 2
                b.data = data
                b.register_hook(lambda grad: print("hook", tuple(grad.shape)))
                attempt(use(b).backward)
                print(x.grad)
        for data in (torch.zeros(4), torch.ones(2, 3)):
            x = torch.ones(3, requires_grad=True)
            b = x * 2
            b.data = data
            attempt(b.backward, torch.ones_like(data))
            attempt(torch.autograd.grad, (b * b).sum(), b)
            print(x.grad)
            b.data = torch.ones(3)
            (b * b).sum().backward()
            print(x.grad)
    """)


def test_a_gradient_of_the_shape_that_a_leaf_had_is_refused(backend: str) -> None:
    assert_same("""
    def turned(forward):
        x = torch.ones(2, 3, requires_grad=True)
        y = forward(x)
        with torch.no_grad():
            x.t_()
        attempt(y.sum().backward)
        print(x.shape, x.grad)
    turned(lambda x: x * 1)
    turned(lambda x: x.exp())
    x = torch.ones(2, 3, requires_grad=True)
    y = (x * 1).sum()
    x.data = torch.ones(3, 2)
    attempt(y.backward)
    print(x.grad)
    """)


def test_what_is_written_past_the_version_is_seen(backend: str) -> None:
    assert_same("""
    def two():
        return torch.tensor([1., 2.], requires_grad=True), torch.tensor([3., 4.], requires_grad=True)

    def a1():
        x, w = two()
        y = x * w
        w.data.mul_(10)
        y.sum().backward()
        return x.grad, w.grad, w._version

    def a2():
        x, w = two()
        y = x * w
        w.data = torch.tensor([7., 8.])
        y.sum().backward()
        return x.grad, w.grad, w._version

    def a3():
        x, w = two()
        y = x.exp()
        z = y * w
        y.data.mul_(2)
        z.sum().backward()
        return x.grad, w.grad

    def a4():
        x, w = two()
        y = x.exp()
        z = y * w
        y.data = torch.tensor([5., 6.])
        z.sum().backward()
        return x.grad, w.grad

    def a5():
        x, w = two()
        y = x * w
        old = w.data
        w.data = torch.tensor([7., 8.])
        w.data = old
        y.sum().backward()
        return x.grad, w.grad

    def a6():
        x, w = two()
        y = x * w
        w.data.mul_(10)
        z = x * w
        w.data.mul_(10)
        (y + z).sum().backward()
        return x.grad, w.grad

    def a7():
        x, w = two()
        y = x * w
        w.data.mul_(10)
        w.detach().mul_(3)
        y.sum().backward()
        return x.grad, w.grad

    def a8():
        x, w = two()
        y = x * w
        w.data[0] = 5.
        y.sum().backward()
        return x.grad

    def a9():
        x, w = two()
        v = w[:1]
        y = x * v
        w.data[0] = 5.
        y.sum().backward()
        return x.grad

    def a10():
        x, w = two()
        d = w.data
        y = x * d
        w.detach().mul_(2)
        y.sum().backward()
        return x.grad

    def a11():
        x, w = two()
        d = w.data
        y = x * d
        d.mul_(2)
        y.sum().backward()
        return x.grad

    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            y = x * w
            ctx.save_for_backward(x, w, y)
            return y
        @staticmethod
        def backward(ctx, g):
            x, w, y = ctx.saved_tensors
            return g * w, g * y

    def a12():
        x, w = two()
        y = F.apply(x, w)
        w.data.mul_(10)
        y.sum().backward()
        return x.grad, w.grad

    def a13():
        x, w = two()
        y = F.apply(x, w)
        w.data = torch.tensor([7., 8.])
        y.sum().backward()
        return x.grad, w.grad

    def a14():
        x, w = two()
        y = F.apply(x, w)
        y.data.mul_(2)
        y.sum().backward()
        return x.grad, w.grad

    def a15():
        x, w = two()
        y = F.apply(x, w)
        y.data = torch.tensor([7., 8.])
        y.sum().backward()
        return x.grad, w.grad

    def a16():
        x, w = two()
        y = x * w
        w.data.mul_(10)
        g, = torch.autograd.grad(y.sum(), x, create_graph=True)
        g.sum().backward()
        return g, x.grad, w.grad

    def a17():
        x, w = two()
        y = torch.linalg.solve(torch.diag(w), x)
        w.data.mul_(2)
        y.sum().backward()
        return x.grad, w.grad

    def a19():
        x, w = two()
        d = x.detach()
        y = w * d
        x.data = torch.tensor([9., 9.])
        y.sum().backward()
        return w.grad

    def a20():
        x, w = two()
        y = x * w
        with torch.autograd._unsafe_preserve_version_counter(w):
            with torch.no_grad():
                w.mul_(10)
        y.sum().backward()
        return x.grad, w.grad

    def a21():
        x, w = two()
        y = x * w
        w.untyped_storage().fill_(0)
        y.sum().backward()
        return x.grad

    def a22():
        x, w = two()
        y = x.sigmoid()
        y.data.fill_(0.5)
        y.sum().backward()
        return x.grad

    def a23():
        x, w = two()
        y = x.sigmoid()
        y.data = torch.tensor([0.1, 0.2])
        y.sum().backward()
        return x.grad

    def a24():
        x, w = two()
        y = x * w
        w.data.mul_(10)
        with torch.no_grad():
            w.mul_(2)
        y.sum().backward()

    def a25():
        x, w = two()
        h = x * 1
        y = h * w
        h.data.mul_(3)
        h.detach_()
        y.sum().backward()
        return w.grad

    def a26():
        l = torch.nn.Linear(2, 1, bias=False)
        with torch.no_grad():
            l.weight.fill_(2.)
        x = torch.ones(1, 2, requires_grad=True)
        y = l(x)
        l.weight.data.mul_(3)
        y.sum().backward()
        return x.grad

    def a27():
        l = torch.nn.Linear(2, 1)
        with torch.no_grad():
            l.weight.fill_(2.)
        x = torch.ones(3, 2, requires_grad=True)
        y = l(x)
        l.weight.data = torch.ones(1, 2)
        y.sum().backward()
        return x.grad

    def a28():
        x, w = two()
        y = (x * w).sum()
        ps = [w]
        for i in range(3):
            w.data.add_(1.)
            y = y + (x * w).sum()
        y.backward()
        return x.grad, w.grad

    def a29():
        x, w = two()
        y = F.apply(x, w[:])
        w.data.mul_(10)
        y.sum().backward()
        return x.grad, w.grad

    def a30():
        x, w = two()
        y = x[:1] * w.view(2, 1).t().reshape(2)[:1]
        w.data.mul_(10)
        y.sum().backward()
        return x.grad, w.grad

    for number in range(40):
        if f"a{number}" in globals():
            attempt(globals()[f"a{number}"])
    """)


def test_moved_data_is_seen_beside_detached_tensors(backend: str) -> None:
    assert_same("""
    def leaf():
        return torch.tensor([3., 4.], requires_grad=True)

    w = leaf()
    d = w.detach()
    y = (w * w).sum()
    w.data = torch.tensor([7., 8.])
    y.backward()
    print(w.grad)
    w = leaf()
    y, d = (w * w).sum(), w.detach().view(2)
    w.data = torch.tensor([7., 8.])
    y.backward()
    print(w.grad)
    w, u = leaf(), torch.ones(2, requires_grad=True)
    d = w.detach()
    y = (u * d * w).sum()
    w.data = torch.tensor([7., 8.])
    w.data = torch.tensor([1., 2.])
    y.backward()
    print(w.grad, u.grad)
    w = torch.zeros(2, requires_grad=True)
    ema, y = w.detach(), (w**2).sum()
    w.data = w.data - 1
    y.backward()
    print(w.grad, ema)
    h = leaf() * 1
    d, y = h.detach(), (h * h).sum()
    h.retain_grad()
    h.data = torch.tensor([1., 1.])
    y.backward()
    print(h.grad)

    class Keeps(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.x = x
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            print(x is ctx.x, x)
            return grad

    w = leaf()
    d, y = w.detach(), Keeps.apply(w)
    w.data = torch.tensor([7., 8.])
    y.sum().backward()
    for pieces in (lambda m: m.unbind()[1], lambda m: m.split(1)[1], lambda m: m.t().chunk(2)[0]):
        m = torch.arange(1., 7.).view(2, 3).requires_grad_()
        piece = pieces(m)
        y = (piece * piece).sum()
        del piece
        m.data.mul_(-.5)
        y.backward()
        print(m.grad)
    layer, x = nn.Linear(2, 1), torch.ones(1, 2, requires_grad=True)
    y, vector = layer(x).sum(), torch.arange(3.)
    nn.utils.vector_to_parameters(vector, layer.parameters())
    y.backward()
    vector[0] = 100
    print(layer.weight, layer.bias, layer.weight._version)
    """)


def test_arrays_that_were_replaced_are_let_go(backend: str) -> None:
    """A training loop that writes through `.data` leaves nothing behind; what a node still needs is kept for it."""
    weight = retrograd.ones(3, requires_grad=True)
    kept = weight * weight.exp()
    for _ in range(5):
        (weight * 2).sum().backward()
        weight.data.sub_(0.1)
        weight.data = weight.data * 2
        weight.data = weight.data
        assert weight._version == 0
        assert len(storage._replaced[id(weight._cell)][1]) <= 2
    kept.sum().backward()
    del kept
    assert id(weight._cell) not in storage._replaced
