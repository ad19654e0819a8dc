"""Tensors that take another shape in memory that they share: `out=`, `resize_`, `set_`, storages; beside PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


ALIASES = """
    def of_vector():
        x = torch.arange(6.0)
        return x, x.detach(), x.data, x[2:4], x.view(2, 3)

    def same(*tensors):
        print(*tensors, [each.untyped_storage() == tensors[0].untyped_storage() for each in tensors])
        print([each._version for each in tensors], tensors[0].untyped_storage().nbytes())
"""


def test_out_of_another_shape_keeps_its_memory() -> None:
    assert_same(
        """
    for size in (8, 3):
        x, *others = of_vector()
        print(torch.add(torch.ones(size), 1, out=x) is x)
        same(x, *others)
        x[0] = 7
        same(x, *others)
    x = torch.arange(6.0)
    v = x[2:4]
    for size in (3, 6):
        torch.mul(torch.ones(size), 5, out=v)
        same(v, x)
        print(v.storage_offset(), v._base is x)
    x[3] = 1
    print(v)
    empty = torch.empty(0)
    alias = empty.detach()
    torch.add(torch.ones(3), 1, out=empty)
    same(empty, alias)
    x = torch.arange(6.0).view(2, 3)
    t = x.t()
    torch.add(torch.ones(2, 2), 1, out=t)
    same(t, x)
    print(t.stride())
    """,
        ALIASES,
    )


def test_all_that_take_out() -> None:
    assert_same(
        """
    o, at = torch.ones(3, 4), torch.tensor([[1, 0]])
    for call in (
        lambda out: torch.sum(o, 0, out=out), lambda out: torch.matmul(o, o.t(), out=out),
        lambda out: torch.cat([o[0], o[1]], out=out), lambda out: torch.stack([o, o], out=out),
        lambda out: torch.arange(4.0, out=out), lambda out: torch.zeros(2, 3, out=out),
        lambda out: torch.linspace(0, 1, 3, out=out), lambda out: torch.gather(o, 0, at, out=out),
        lambda out: torch.masked_select(o, o > 0, out=out), lambda out: torch.cumsum(o, 1, out=out),
        lambda out: torch.eye(2, out=out), lambda out: torch.dot(o[0], o[0], out=out),
        lambda out: torch.softmax(o, 0, out=out), lambda out: torch.scatter(o[0], 0, at[0], o[1], out=out),
        lambda out: torch.sort(o, 0, out=(out, torch.zeros(7, dtype=torch.int64))).values,
    ):
        out = torch.arange(7.0)
        alias = out.detach()
        print(call(out) is out, out, alias, out.untyped_storage() == alias.untyped_storage(), alias._version)
    for function in (torch.arange, torch.zeros):
        print(function(4, out=torch.zeros(2, 2)))
    print(torch.linspace(0, 1, 4, out=torch.zeros(2, 2).t()), torch.logspace(0, 1, 4, out=torch.zeros(2, 2)))
    """
    )


def test_who_is_warned() -> None:
    ones = retrograd.ones(2, 3)
    with pytest.warns(
        UserWarning, match=r"since it had shape \[4\], which does not match the required output shape"
    ) as at:
        retrograd.add(ones, 1, out=retrograd.zeros(4))
    assert at[0].filename == __file__
    with pytest.warns(UserWarning, match=r"required output shape \[3\]\. This behavior is deprecated"):
        retrograd.sum(ones, 0, out=retrograd.zeros(4))
    with pytest.warns(UserWarning, match=r"shape \[3\] is 3 which does not match the computed number of elements 2"):
        retrograd.arange(2.0, out=retrograd.zeros(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        retrograd.add(ones, 1, out=retrograd.zeros(0, 4))
        retrograd.zeros(2, out=retrograd.zeros(3))


def test_resize_keeps_memory() -> None:
    assert_same(
        """
    x, *others = of_vector()
    print(x.resize_(3) is x)
    same(x, *others)
    x.resize_(8)[6:] = 0
    x[2] = 9
    same(x, *others)
    v = others[2]
    v.resize_(8)
    v.fill_(1)
    same(v, x, *others)
    print(v.storage_offset(), v._base is x, x.resize_as_(torch.zeros(2, 2)), x.stride(), x.resize_(2, 2)._version)
    t = torch.arange(6.0).view(2, 3).t()
    print(t.resize_(3, 2).stride(), t.resize_(2, 2), t.stride(), t.resize_(()).shape, t.resize_(0)._version)
    for sizes in ((-1,), (), ("a",), (2.5,), (2, "a")):
        attempt(lambda: torch.ones(3).resize_(*sizes))
    attempt(torch.ones(3).resize_as_, 3)
    with torch.inference_mode():
        made = torch.ones(3)
    attempt(made.resize_, 2)
    """,
        ALIASES,
    )


def test_views_of_another_shape_find_their_way_back() -> None:
    assert_same(
        """
    def written(x, size):
        w = torch.ones(size, requires_grad=True)
        x.mul_(w)
        return w

    x, v = torch.arange(6.0), None
    v = x[2:4].resize_(3)
    w = written(x, 6)
    print(v.grad_fn.name(), v.grad_fn._saved_size, v.grad_fn._saved_storage_offset)
    v.sum().backward()
    print(w.grad)
    for place in (slice(0, 2), slice(2, 4)):
        x = torch.arange(6.0)
        v = x[place]
        x.resize_(3)
        w = written(x, 3)
        v.sum().backward()
        print(v, w.grad)
    for x in (torch.arange(6.0).view(2, 3).clone(), torch.arange(6.0).view(2, 3)):
        v = x[:, 1]
        x.resize_(8)[6:] = 1
        w = written(x, 8)
        attempt(lambda: (v * v).sum().backward())
        print(w.grad)
    b = torch.ones(3, requires_grad=True) * 2
    attempt(b.resize_, 2)
    with torch.no_grad():
        attempt(b.resize_, 2)
        torch.add(torch.ones(2), 1, out=b)
    print(b, b._version)
    attempt(lambda: b.sum().backward())
    """
    )


def test_conjugates_and_parts() -> None:
    assert_same(
        """
    c = torch.tensor([1 + 1j, 2 + 2j, 3 + 3j])
    d, r = c.conj(), torch.view_as_real(c)
    c.resize_(5)[3:] = 0
    c[0] = 9j
    print(c, d.resolve_conj(), d.is_conj(), r)
    d.resize_(2)[0] = 5j
    print(d.resolve_conj(), d.is_conj(), c, r.resize_(10))
    i = c.imag
    print(i.resize_(4), i.stride(), i.storage_offset())
    """
    )


def test_memory_given_by_set() -> None:
    assert_same(
        """
    x = torch.arange(3.0)
    alias, z = x.detach(), torch.empty(0)
    print(z.set_(x, 1, (2,)))
    print(z.set_(x, 1, (4,))[:2])
    print(z.set_(x, 1, (4,), (1,))[:2], x.untyped_storage().nbytes(), alias.untyped_storage() == z.untyped_storage())
    z[0] = 7
    print(x, alias)
    s = torch.UntypedStorage(4)
    print(torch.empty(0).set_(s, 0, (3,)).shape, s.nbytes())
    attempt(z.set_, x, 1, (4,), (1, 1))
    attempt(z.set_, x, -1, (4,), (1,))
    attempt(z.set_, x, 1, (-4,), (1,))
    """
    )


def test_memory_of_arrays_cannot_grow() -> None:
    if retrograd.get_default_backend() != "numpy":
        pytest.skip("arrays that cannot be written to are not shared")
    assert_same(
        """
    import numpy
    t = torch.from_numpy(numpy.arange(3.0))
    print(t.resize_(2), t.untyped_storage().resizable())
    attempt(t.resize_, 5)
    attempt(t.untyped_storage().resize_, 80)
    own = torch.ones(3)
    print(own.untyped_storage().resizable(), own.numpy().shape, own.untyped_storage().resizable())
    attempt(own.resize_, 5)
    """
    )


def test_in_vmap() -> None:
    assert_same(
        """
    o, z = torch.ones(3, 2), torch.zeros(3, 2)
    for function in (
        lambda a: a.resize_(1), lambda a: a.clone().resize_(1), lambda a: torch.zeros(4).resize_(2) + a,
        lambda a: torch.zeros(4).set_(torch.ones(2)) + a, lambda a: a.set_(torch.ones(2)),
        lambda a: torch.zeros(2).set_(a),
        lambda a: a.resize_as_(torch.zeros(1)), lambda a: torch.zeros(2).resize_as_(a), lambda a: a.untyped_storage(),
    ):
        attempt(torch.vmap(function), torch.arange(6.0).view(3, 2))
    attempt(torch.func.grad(lambda a: a.resize_(1).sum()), torch.zeros(2))
    """
    )
