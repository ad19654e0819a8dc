"""Writing to places: what is refused, in-place variants, and derivatives that the table of operators does not take."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd

_PRELUDE = """
        x = torch.ones(3, 4)
        i = torch.tensor([[0, 1, 2, 0]])
        s = torch.full((1, 4), 2.0)
        m = torch.tensor([[True, False, False, True], [False] * 4, [False] * 4])
"""

PROGRAMS = {
    "zeros_that_meet_in_a_product": """
        at, own = torch.tensor([0, 0]), torch.tensor([1.5], requires_grad=True)
        for values in ([0.0, 0.0], [0.0, 2.0], [3.0, 2.0]):
            source = torch.tensor(values, requires_grad=True)
            for include in (True, False):
                made = own.scatter_reduce(0, at, source, "prod", include_self=include)
                (g,) = torch.autograd.grad(made.sum(), source, create_graph=True)
                print(g.tolist())
                attempt(lambda: torch.autograd.grad((g * torch.tensor([1.0, 3.0])).sum(), source))
                made = own.index_reduce(0, at, source, "prod", include_self=include)
                (g,) = torch.autograd.grad(made.sum(), source, create_graph=True)
                attempt(lambda: torch.autograd.grad((g * torch.tensor([1.0, 3.0])).sum(), source))
    """,
    "without_dimensions": """
        index = torch.tensor(1)
        for own in (torch.zeros(4), torch.tensor(3.0)):
            for at in (index * min(own.ndim, 1), index[None] * min(own.ndim, 1)):
                for source in (torch.tensor(2.0), torch.tensor([2.0])):
                    print(own.scatter(0, at, source), own.scatter_add(-1, at, source))
                    print(own.scatter_reduce(0, at, source, "sum"), own.scatter(0, at, 5.0))
                    print(own.clone().scatter_(0, at, source), own.clone().scatter_add_(0, at, source))
                x = own.clone().requires_grad_()
                picked = torch.gather(x, 0, at)
                print(picked, torch.autograd.grad(picked.sum(), x))
                print(torch.autograd.grad(torch.gather(x, 0, at, sparse_grad=True).sum(), x)[0].to_dense())
        x, source = torch.zeros(4, requires_grad=True), torch.tensor(2.0, requires_grad=True)
        for made in (x.scatter(0, index, source), x.scatter_add(0, index, source), x.scatter(0, index[None], source)):
            print(made, torch.autograd.grad((made * torch.arange(4.0)).sum(), (x, source)))
        attempt(torch.gather, torch.zeros(3, 3), 0, index)
        attempt(torch.gather, torch.zeros(3), 0, index * 7)
        attempt(torch.take_along_dim, torch.zeros(3, 3), torch.tensor([0]), 0)
        attempt(torch.take_along_dim, torch.tensor(1.0), torch.tensor(0), 0)
    """,
    "scatter_reduce": """
        for args in (
            (0, i, s, "foo"), (0, i, s, "sum"), (5, i, s, "sum"), (0, i, s.double(), "sum"), (0, i[0], s, "sum"),
            (0, torch.zeros(1, 9, dtype=torch.long), s, "sum"), (0, i, s[:, :2], "sum"), (0, i.int(), s, "prod"),
            (0, torch.empty(0, 4, dtype=torch.long), s, "amax"), (0, torch.tensor([[0, 5, 0, 0]]), s, "amin"),
        ):
            attempt(x.scatter_reduce, *args)
        attempt(x.long().scatter_reduce, 0, i, s.long() * 3, "mean")
        attempt(x.long().scatter_reduce, 0, i, s.long() * 4, "mean", include_self=False)
        attempt(x.bool().scatter_reduce, 0, i, s.bool(), "sum")
        attempt(torch.tensor(1.0).scatter_reduce, 0, torch.tensor(0), torch.tensor(3.0), "amax")
        attempt(torch.scatter_reduce, x, 0, i, src=s, reduce="prod", include_self=False)
        y = torch.ones(3, 4, requires_grad=True)
        z = y * 2
        print(z.scatter_reduce_(0, i, s, "prod") is z, z, z.grad_fn.name(), z._version)
        z.sum().backward()
        print(y.grad)
    """,
    "index_reduce": """
        import warnings
        warnings.simplefilter("ignore")
        at = torch.tensor([0, 0])
        for args in (
            (0, at, torch.full((2, 4), 3.0), "prod"), (0, at, torch.ones(2, 4), "sum"),
            (0, at, torch.ones(3, 4), "prod"), (0, torch.tensor([0, 9]), torch.ones(2, 4), "mean"),
        ):
            attempt(x.index_reduce, *args)
            attempt(x.clone().index_reduce_, *args)
        attempt(x.index_reduce, 0, at, torch.full((2, 4), 3.0), "mean", include_self=False)
        attempt(x.long().index_reduce, 0, at, torch.full((2, 4), 4), "mean")
    """,
    "put": """
        attempt(x.put, torch.tensor([0, -1]), torch.tensor([5.0, 6.0]))
        attempt(x.put, torch.tensor([0, 99]), torch.tensor([5.0, 6.0]))
        attempt(x.put, torch.tensor([0, 1, 1]), torch.tensor([5.0, 6.0]))
        attempt(x.put, torch.tensor([0, 1]), torch.tensor([5, 6]))
        attempt(x.put, torch.tensor([0.0]), torch.tensor([5.0]))
        attempt(torch.put, x, torch.tensor([[0], [0]]), torch.tensor([5.0, 3.0]), True)
        y = x.clone()
        print(y.put_(torch.tensor([2]), torch.tensor([8.0])) is y, y, y._version)
        attempt(x.take, torch.tensor([0.0]))
        attempt(x.take, torch.tensor([12]))
    """,
    "fill_diagonal": """
        attempt(x.clone().fill_diagonal_, 7)
        for shape in ((7, 3), (4, 3), (3, 7), (8, 2), (3, 3), (2, 2, 2)):
            for wrap in (False, True):
                print(torch.zeros(shape).fill_diagonal_(7, wrap=wrap))
        attempt(torch.ones(3).fill_diagonal_, 1)
        attempt(torch.ones(2, 2, 3).fill_diagonal_, 5)
        attempt(torch.ones(2, 2).long().fill_diagonal_, 1.5)
        base = torch.zeros(4, 5)
        base[1:, 2:].t().fill_diagonal_(3)
        print(base, base._version)
        y = torch.ones(3, 3, requires_grad=True)
        z = y * 2
        z.fill_diagonal_(5.0)
        print(z.grad_fn.name())
        z.sum().backward()
        print(y.grad)
        attempt(y.fill_diagonal_, 1.0)
    """,
    "parts": """
        zeros = torch.zeros(3, 3)
        for src, args in (
            (torch.ones(3), ()), (torch.ones(2), (1,)), (torch.ones(3), (1,)), (torch.tensor(2.0), ()),
            (torch.ones(3).long(), ()), (torch.ones(3), (0, 0, 5)),
        ):
            attempt(torch.diagonal_scatter, zeros, src, *args)
        for src, args in (
            (torch.ones(2, 2), ((2, 2), (1, 2))), (torch.ones(2, 2), ((2, 2), (1, 2), 1)),
            (torch.ones(2, 3), ((2, 2), (1, 2))), (torch.ones(9, 9), ((9, 9), (1, 2))),
        ):
            attempt(torch.as_strided_scatter, zeros, src, *args)
        tall = torch.zeros(4, 2)
        for src, args in ((torch.ones(2, 2), (0, 1, 3)), (torch.ones(3, 2), (0, 1, 3)), (torch.ones(2), (0, 1, 3)),
                          (torch.ones(2, 2).long(), (0, 1, 3)), (torch.ones(0, 2), (0, 3, 1)), (torch.ones(4, 2), ())):
            attempt(torch.slice_scatter, tall, src, *args)
        for n, args in ((2, (0, 1)), (3, (0, 1)), (2, (0, 9)), (2, (0, -1))):
            src = torch.ones(n)
            attempt(torch.select_scatter, tall, src, *args)
    """,
    "index_put": """
        attempt(x.index_put, (m,), torch.tensor([5.0, 6.0]))
        attempt(x.index_put, (m,), torch.tensor(5.0))
        attempt(torch.index_put, x, (torch.tensor([0]),), torch.tensor(3.0), accumulate=True)
        attempt(x.index_put, (m[0][:3],), torch.tensor(3.0))
        attempt(x.index_put, [torch.tensor([0]), m[0]], torch.tensor(3.0))
        attempt(x.index_put, (torch.tensor([1.0]),), torch.tensor(3.0))
        attempt(x.index_put, torch.tensor([1]), torch.tensor(3.0))
        attempt(x.index_put, (torch.tensor([1], dtype=torch.int32),), torch.tensor(3.0))
        attempt(x.clone().index_put_, (m,), torch.tensor([5.0, 6.0]), accumulate=True)
        y = torch.ones(3, 4, requires_grad=True)
        v = torch.tensor([5.0, 6.0], requires_grad=True)
        z = y.index_put((m,), v)
        print(z.grad_fn.name())
        z.pow(2).sum().backward()
        print(y.grad, v.grad)
    """,
    "nodes": """
        y = torch.ones(3, 4, requires_grad=True)
        t = torch.tensor(2.0, requires_grad=True)
        at = torch.tensor([0, 2])
        for z in (
            y.take(at), y.index_fill(0, at, 1.0), y.index_fill(0, at, t), y.index_copy(0, at, torch.ones(2, 4)),
            y.scatter(0, i, 2.0), y.scatter(0, i, s), y.masked_fill(m, 2.0), y.masked_fill(m, t), y.masked_select(m),
            y.put(at, torch.ones(2)), y.scatter_reduce(0, i, s, "amax"), torch.select_scatter(y, s[0], 0, 1),
            torch.slice_scatter(y, s, 0, 0, 1), torch.diagonal_scatter(y, torch.ones(3)),
        ):
            print(z.grad_fn.name())
        z = y * 1
        z.masked_fill_(m, t)
        z.sum().backward()
        print(z.grad_fn.name(), y.grad, t.grad)
    """,
    "sizes": """
        for size in ((1, 4), ((3, 1),), (4,), ((),), (2, 4), (1, 3, 4)):
            attempt(x.sum_to_size, *size)
        print(x.sum_to_size(3, 4) is x)
        for shapes in (((2, 1), (1, 3), 4), ((2, 1), (1, 3)), ((2,), (3,)), (), (5, (1,))):
            attempt(torch.broadcast_shapes, *shapes)
    """,
    "more_in_place": """
        y = torch.tensor([1.0, 4.0])
        print(y.copysign_(torch.tensor([-1.0, 1.0])), y.square_(), y.xlogy_(torch.tensor([1.0, 2.0])), y.copysign_(-1))
        print(torch.ones(2, 2).renorm_(2, 0, 1.0), torch.ones(2).index_fill_(0, torch.tensor([1]), 3.0))
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(_PRELUDE + PROGRAMS[name])


def test_the_gradient_of_as_strided_scatter_is_the_derivative(backend: str) -> None:
    x = retrograd.arange(12, dtype=retrograd.float64).reshape(3, 4).requires_grad_()
    src = retrograd.ones(3, dtype=retrograd.float64, requires_grad=True)
    assert retrograd.autograd.gradcheck(lambda x, src: retrograd.as_strided_scatter(x, src, (3,), (4,), 1), (x, src))


@pytest.mark.parametrize("name", ["index_add", "index_copy", "index_add_", "index_copy_"])
def test_slices_that_do_not_fit_are_refused(backend: str, name: str) -> None:
    assert_same(
        f"""
    t, z, o = torch.tensor, torch.zeros, torch.ones
    write = lambda x, *arguments: getattr(x, "{name}")(*arguments)
    for given in [
        (z(3), 0, t([7]), o(1)), (z(3), 0, t([0, -1]), o(2)), (z(2, 3), 0, t([0, 1]), o(1, 3)),
        (z(2, dtype=torch.int64), 0, t([0]), t([1.5])), (z(2), 0, t([0]), t([1.5], dtype=torch.float64)),
        (z(2), 0, t([0.0]), o(1)), (z(2), 0, t([0]), t([1 + 2j])), (z(2, 3), 0, t([0]), o(1, 2)),
        (z(2, 3), 0, t([0]), o(3)), (z(2, 3), 0, t([[0]]), o(1, 3)), (z(3), 0, t(1), t(5.0)),
        (z(3, 2), 0, t(1), o(1, 2)),
        (z(3), 0, t([], dtype=torch.int64), o(0)), (z(()), 0, t([0]), o(1)), (z(2, 3), 1, t([2, 0]), o(2, 2)),
    ]:
        attempt(write, *given)
    """
    )


def test_sources_of_another_type_are_refused(backend: str) -> None:
    assert_same(
        """
    t, z, wide = torch.tensor, torch.zeros(2), torch.ones(1, dtype=torch.float64)
    attempt(z.scatter_add_, 0, t([0]), wide)
    attempt(z.scatter_add, 0, t([0]), wide)
    attempt(z.masked_scatter_, t([True, False]), wide)
    attempt(z.index_reduce, 0, t([0]), wide, "prod")
    """
    )
