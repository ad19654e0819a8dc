"""Filling and indexed writing of expanded tensors, whose elements are fewer in memory than in shape."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from programs import assert_same

import retrograd

_GIVEN = """
        T = torch.tensor
        M = T([[True, False, False], [False, True, False]])
        none = torch.zeros(0, dtype=torch.int64)

        def tried(function, dtype=torch.float32):
            x = T([6, 2, 2]).to(dtype)
            e = x.view(1, 3).expand(2, 3)
            attempt(lambda: function(e) is e)
            print(x.tolist(), e.tolist(), x._version)
"""

PROGRAMS = {
    "index_fill": """
        for index in (T([0]), T([1]), T([0, 1]), T([-1]), none, T(1), T([2]), T([-3]), T([[0]]), T([0.0])):
            tried(lambda e: e.index_fill_(0, index, 1.0))
            tried(lambda e: e.index_fill_(1, index, T(1.0)))
        tried(lambda e: e.index_fill_(dim=-2, index=T([1]), value=5))
        tried(lambda e: e.index_fill_(0, T([1]), e[0, 0]))
        tried(lambda e: e.index_fill_(2, T([1]), 1.0))
        tried(lambda e: e.index_fill_(0, T([1]), torch.ones(2)))
    """,
    "masked_fill": """
        for mask in (M, M[0], M[:, :1], M[:1], T(True), T(False), T([True, False]), torch.ones(2, 2, 3) > 0):
            tried(lambda e: e.masked_fill_(mask, 1.0))
        tried(lambda e: e.masked_fill_(value=T(7.0), mask=M))
        tried(lambda e: e.masked_fill_(M, e[1, 2]))
        tried(lambda e: e.masked_fill_(M, True), torch.bool)
    """,
    "index_put": """
        rows = T([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        for accumulate in (False, True):
            for at, values in (
                ((T([0]),), T(1.0)), ((T([1]),), T(1.0)), ((T([0, 1]),), rows), ((T([1, 0]),), rows),
                ((M,), T(9.0)), ((M,), T([8.0, 9.0])), ((T([0, 1]), T([2, 0])), T([8.0, 9.0])), ((T([2]),), T(1.0)),
                ((T([1]),), torch.ones(2)),
            ):
                tried(lambda e: e.index_put_(at, values, accumulate))
        tried(lambda e: e.index_put_((T([1]),), e[0, 2]))
        tried(lambda e: e.index_put_((T([1]),), T(3), True), torch.int64)
    """,
    "setitem": """
        def put(key, value):
            def function(e):
                e[key] = value
                return e
            tried(function)

        put(T([1]), 1.0)
        put(M, 1.0)
        put((slice(None), T([0])), T([[1.0], [2.0]]))
        put((slice(None), T([0, 2])), T([[1.0, 3.0], [2.0, 4.0]]))
        put((slice(None), T([0, 2])), T([1.0, 3.0]))
        put((None, slice(None), T([0, 2])), T([[1.0, 3.0], [2.0, 4.0]]))
        x = torch.zeros(2, 1, 2, 1).expand(2, 3, 2, 4)
        x[T([0, 1]), :, T([1, 0])] = torch.arange(24.0).view(2, 3, 4)
        print(x)
        x = torch.zeros(2, 1, 2, 1).expand(2, 3, 2, 4)
        x[T([0, 1]), :, T([1, 0])] = torch.arange(4.0)
        print(x)
        x[:, T([0, 2]), :, T([1, 3])] = -1.0
        print(x)
        x = torch.zeros(2, 1, 2).expand(2, 3, 2)
        x.transpose(0, 1).index_fill_(0, T([2]), 5.0)
        x[1:].masked_fill_(torch.eye(3, 2) > 0, 6.0)
        print(x)
    """,
    "gradients of values": """
        for f in (
            lambda e, v: e.masked_fill_(M, v),
            lambda e, v: e.index_fill_(0, T([1]), v),
            lambda e, v: e.index_put_((T([1]),), v),
            lambda e, v: e.index_put_((M,), v),
        ):
            for wanted in (0, 1):
                x, v = T([6.0, 2.0, 2.0]), T(5.0, requires_grad=True)
                e = x.view(1, 3).expand(2, 3)
                f(e, v)
                print(x.grad_fn.name(), e.grad_fn.name(), x._version)
                result = (x * T([1.0, 10.0, 100.0]), e * T([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))[wanted]
                print(torch.autograd.grad(result.sum(), v))
    """,
    "tangents": """
        fw = torch.autograd.forward_ad
        for f in (
            lambda e, v: e.masked_fill_(M, v),
            lambda e, v: e.masked_fill_(M, 3.0),
            lambda e, v: e.index_fill_(0, T([1]), v),
            lambda e, v: e.index_fill_(0, T([1]), 3.0),
            lambda e, v: e.index_put_((T([1]),), v),
            lambda e, v: e.index_put_((M,), v),
        ):
            with fw.dual_level():
                x = fw.make_dual(T([6.0, 2.0, 2.0]), T([1.0, 2.0, 3.0])) * 1
                e = x.view(1, 3).expand(2, 3)
                f(e, fw.make_dual(T(5.0), T(7.0)))
                print(fw.unpack_dual(x), fw.unpack_dual(e))
    """,
    "mapped": """
        vmap = torch.func.vmap
        print(vmap(lambda a: a.clone().view(1, 3).expand(2, 3).index_fill_(0, T([1]), 1.0))(torch.zeros(2, 3)))
        masks = torch.eye(6).view(-1, 2, 3)[:2] > 0
        print(vmap(lambda a, m: a.clone().view(1, 3).expand(2, 3).masked_fill_(m, 1.0))(torch.zeros(2, 3), masks))
    """,
    "refused": """
        x = T([6.0, 2.0, 2.0], requires_grad=True)
        attempt(lambda: x.expand(2, 3).masked_fill_(M, 1.0))
        attempt(lambda: x.expand(2, 3).index_put_((T([1]),), T(1.0)))
        with torch.no_grad():
            e = x.expand(2, 3)
        attempt(lambda: e.index_fill_(0, T([1]), 1.0))
        attempt(lambda: x.detach().expand(2, 3).fill_(T(1.0)))
        print(x)
    """,
    "a value in the memory that is written to": """
        for r in (False, True):
            for f in (
                lambda y: y.fill_(y[1]),
                lambda y: y.index_fill_(0, T([0]), y[2]),
                lambda y: y.masked_fill_(M[0], y[2]),
            ):
                y = torch.tensor([1.0, 2.0, 3.0], requires_grad=r) * 1
                print(f(y).tolist(), y.tolist())
    """,
    "index_fill out of place": """
        for index in (T([2]), T([-1]), T([3]), T([-4]), T([[0]]), T(1), none, T([0.0]), T([0], dtype=torch.int32)):
            attempt(lambda: torch.zeros(3).index_fill(0, index, 1.0))
            attempt(lambda: torch.zeros(3).index_fill_(0, index, 1.0))
        attempt(lambda: torch.zeros(3).index_fill(0, T([0]), torch.ones(1)))
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name], given=_GIVEN)


@pytest.mark.filterwarnings("ignore:Use of .* on expanded tensors")
@pytest.mark.parametrize("wanted", ["base", "expanded"])
@pytest.mark.parametrize(
    ("write", "kept", "of_value"),
    [
        (lambda e, v: e.masked_fill_(_mask(), v), [0, 0, 1], [1, 1, 0]),
        (lambda e, v: e.index_fill_(0, retrograd.tensor([0, 1]), v), [0, 0, 0], [1, 1, 1]),
        (lambda e, v: e.index_put_((retrograd.tensor([1]),), v), [0, 0, 0], [1, 1, 1]),
        (lambda e, v: e.index_put_((retrograd.tensor([1]),), v, True), [1, 1, 1], [1, 1, 1]),
    ],
)
def test_gradient_counts_an_element_in_memory_once(
    write: Callable[..., Any], kept: list[int], of_value: list[int], wanted: str, backend: str
) -> None:
    # PyTorch raises in backward if the old values need a gradient.
    x = retrograd.tensor([6.0, 2.0, 2.0], requires_grad=True)
    v = retrograd.tensor(5.0, requires_grad=True)
    y = x * 1
    e = y.view(1, 3).expand(2, 3)
    write(e, v)
    weights = retrograd.tensor([[1.0, 10.0, 100.0], [1000.0, 10000.0, 100000.0]])
    counted = weights[0] if wanted == "base" else weights.sum(0)
    ((y * weights[0]) if wanted == "base" else e * weights).sum().backward()
    assert x.grad.tolist() == (counted * retrograd.tensor(kept)).tolist()
    assert v.grad.item() == (counted * retrograd.tensor(of_value)).sum().item()


def _mask() -> Any:
    return retrograd.tensor([[True, False, False], [False, True, False]])


def _warnings_of(library: Any, function: Callable[..., Any]) -> list[tuple[str, str]]:
    e = library.zeros(1, 3).expand(2, 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(library, e)
    return [(str(each.message).split(" (Triggered")[0], each.filename) for each in caught]


def _assign(t: Any, e: Any) -> None:
    e[t.tensor([1])] = 1.0


@pytest.mark.parametrize(
    "function",
    [
        lambda t, e: e.masked_fill_(t.tensor(False), 1.0),
        lambda t, e: e.index_fill_(0, t.tensor([1]), 1.0),
        lambda t, e: e.index_fill_(1, t.tensor([1]), 1.0),
        lambda t, e: e.index_put_((t.tensor([1]),), t.tensor(1.0)),
        _assign,
        lambda t, e: e[:1].masked_fill_(t.tensor(True), 1.0),
        lambda t, e: e.masked_fill(t.tensor(True), 1.0),
    ],
)
def test_warns_as_pytorch(function: Callable[..., Any], backend: str) -> None:
    torch = pytest.importorskip("torch")
    assert _warnings_of(retrograd, function) == _warnings_of(torch, function)


def test_dimensions_of_size_1_have_pytorch_s_strides(backend: str) -> None:
    assert_same("""
        x, y, none = torch.ones(1, 3), torch.ones(2, 1, 3), torch.ones(0, 3)
        part = x.as_strided((1, 3), (7, 1))
        for view in (
            x.expand(2, 1, 3), x.expand(1, 1, 3), x.expand(1, 3), x.t()[None], x.t().view(1, 3, 1), x[None], x[:, None],
            x.expand(2, 3)[:1].view(1, 3), x.unsqueeze(-1), x.expand(2, 1, 3)[:1], y[:, 0, None],
            y.transpose(0, 1)[None], part.expand(1, 1, 3), part[None], part.unsqueeze(1), part.view(1, 3),
            part.view(1, 1, 3), part.t(),
            torch.ones(1).expand(1), torch.ones(1, 1).expand(3, 1), torch.tensor(1.0).expand(2, 1), x.unfold(1, 3, 1),
            none[None], none.t(), torch.ones(1, 0).expand(3, 0), torch.ones(2, 0, 3).transpose(0, 2), none.view(3, 0),
        ):
            print(tuple(view.shape), view.stride(), view.stride(0), view.is_contiguous())
    """)


def test_parts_of_an_expanded_tensor_can_be_written_to_through_other_strides(backend: str) -> None:
    assert_same("""
        for type_ in (torch.float32, torch.bfloat16, torch.complex64):
            b = torch.ones(6, dtype=type_)
            u = b.expand(2, 6)[1].as_strided((6, 1), (1, 1))
            u.addcmul_(torch.ones(6, 1, dtype=type_), torch.ones(6, 1, dtype=type_))
            u[2:].mul_(3)
            print(b, u.view(-1))
    """)


_WRITES = """
        writes = {
            "add": lambda g: g.add_(torch.arange(6.).reshape(2, 3)), "number": lambda g: g.mul_(2),
            "one": lambda g: g.__setitem__((0, 0), 7.), "row": lambda g: g.__setitem__(0, torch.arange(3.)),
            "zero": lambda g: g.zero_(), "fill": lambda g: g.fill_(3.), "clamp": lambda g: g.clamp_(max=0.),
            "copy": lambda g: g.copy_(torch.ones(2, 3)), "neg": lambda g: g.neg_(),
        }

        def tried(function, **options):
            for name, write in writes.items():
                p = torch.ones(2, 3, requires_grad=True)
                (g,) = torch.autograd.grad(function(p), p, **options)
                try:
                    write(g)
                except RuntimeError as error:
                    print(name, error)
                print(name, g, g.stride())
                p = torch.ones(2, 3, requires_grad=True)
                p.register_hook(lambda grad: (grad[0].zero_(), None)[1])
                function(p).backward()
                print(p.grad, p.grad.stride())
"""


def test_gradients_of_means_can_be_written_to(backend: str) -> None:
    assert_same(
        """
        for function in (lambda p: p.mean(), lambda p: p.mean(0).sum(), lambda p: p.mean(1, keepdim=True).sum(),
                         lambda p: p.view(6).mean(), lambda p: p.unsqueeze(0).mean(), lambda p: p.nanmean()):
            tried(function)
        tried(lambda p: p.mean(), create_graph=True)
        for transform in (torch.func.grad, torch.func.jacrev, lambda f: lambda p: torch.func.vjp(f, p)[1](T(1.))[0]):
            g = transform(lambda p: p.mean())(torch.ones(3))
            g[0] = 7
            print(g.add_(torch.arange(3.)))
        g = torch.func.vmap(torch.func.grad(lambda p: p.mean()))(torch.ones(2, 3))
        print(g.add_(torch.arange(3.)))
        """,
        _GIVEN.partition("def tried")[0] + _WRITES,
    )


def test_gradients_of_sums_are_expanded() -> None:
    """Where arrays can be: not on JAX."""
    assert_same(
        """
        for function in (lambda p: p.sum(), lambda p: p.sum(0).sum(), lambda p: (p + 1).sum(), lambda p: p.t().sum(),
                         lambda p: (p * 2).sum()):
            tried(function)
        p = torch.ones(2, 3, requires_grad=True)
        (g,) = torch.autograd.grad(p.sum(), p)
        print(g._is_view(), g.untyped_storage().nbytes(), g.clone().stride(), (g + 1).stride(), g.numpy())
        with torch.no_grad():
            p -= 0.5 * g
        print(p)
        """,
        _GIVEN.partition("def tried")[0] + _WRITES,
    )
