"""Views of conjugates: `conj`, `mH`, and the parts of what they give."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


_GIVEN = """
x = torch.tensor([1 + 2j, 3 - 1j])
y = x.conj()
leaf = torch.tensor([1 + 2j, 3 - 1j], requires_grad=True)

def said(name):
    return name.replace("CPUComplexFloatType", "torch.ComplexFloatTensor")
"""


def test_a_write_to_either_is_one_to_both() -> None:
    assert_same(
        """
    print(y, y.is_conj(), torch.is_conj(x), y._is_view(), y._base is x, y.data_ptr() == x.data_ptr(), y.stride())
    y.mul_(2j)
    print(x, y, x._version, y._version)
    x[0] = 5 + 5j
    y[1:].add_(1)
    print(x, y, y[1:].is_conj())
    y.copy_(x)
    print(x, y)
    torch.add(x, x, out=y)
    print(x, y, y.is_conj())
    y.conj_physical_()
    x.data.mul_(2)
    print(x, y)
    z = torch.zeros(3, 2, dtype=torch.complex64).t()
    z.mH[1].fill_(2 - 3j)
    z[:, ::2].conj().sub_(1j)
    print(z, z.mH.is_contiguous(), z.mH.stride(), z.H.is_conj(), z.adjoint()._base is z)
    """,
        _GIVEN,
    )


def test_what_is_a_view_of_conjugates_itself() -> None:
    assert_same(
        """
    strided = y.as_strided((1,), (1,), 1)
    views = y.conj(), y.detach(), y.view(2, 1), y.unbind()[0], y.expand(2, 2), y.contiguous(), strided
    copies = y.clone(), y + 1, torch.zeros_like(y), y.to(torch.complex128), y.resolve_conj()
    print([each.is_conj() for each in (*views, *copies)], views[-1], y.conj()._base is x, x.resolve_conj() is x)
    r = torch.ones(2)
    print(r.conj() is r, r.is_conj(), r.is_neg(), r.resolve_neg() is r)
    import copy, pickle
    for each in copy.deepcopy(y), pickle.loads(pickle.dumps(y)):
        print(each, each.is_conj())
    print(y @ x, torch.vdot(x, x), y == x.conj(), torch.stack([y, x]), y.tolist())
    print(torch.func.grad(lambda t: (t.conj() * t).real.sum())(x), torch.vmap(lambda t: t.conj() * 2)(x))
    """,
        _GIVEN,
    )


def test_its_parts_are_views() -> None:
    assert_same(
        """
    print(y.real, y.imag, y.real.is_neg(), y.imag.is_neg(), y.imag.resolve_neg(), y.imag._base is x)
    y.imag.mul_(10)
    y.real.add_(100)
    y.imag[0] = 7
    print(x, y)
    print(y.imag.unfold(0, 2, 1), y.real.as_strided((2,), (2,), 0))
    """,
        _GIVEN,
    )


def test_what_has_to_be_resolved_says_so() -> None:
    assert_same(
        """
    for call in y.numpy, y.imag.numpy, lambda: torch.view_as_real(y), lambda: y.view(torch.float32):
        attempt(call)
    print(y.resolve_conj().numpy(), y.numpy(force=True))
    m = torch.zeros(2, 2, 2)
    for call in lambda: y.mH, lambda: y.H, lambda: m.H, lambda: y.adjoint(), lambda: torch.zeros(2).mH:
        attempt(call)
    print(x[0].mH, x[0].adjoint().is_conj(), torch.tensor(2.0).mT, torch.zeros(3).T)
    """,
        _GIVEN,
    )


def test_gradients_go_through_writes() -> None:
    assert_same(
        """
    w = leaf.conj()
    print(w, w.real.grad_fn.name(), w.imag.grad_fn.name())
    attempt(w.mul_, 2)

    def checked(view, write, of=lambda base, view: base):
        leaf.grad = None
        base = leaf * 1
        seen = view(base)
        write(base, seen)
        print(seen.grad_fn.name(), base.grad_fn.name(), seen)
        (of(base, seen) * (2 + 1j)).real.sum().backward()
        print(leaf.grad + 0)

    checked(lambda b: b.conj(), lambda b, v: v.mul_(2j))
    checked(lambda b: b.conj(), lambda b, v: b.mul_(3j), lambda b, v: v)
    checked(lambda b: b.view(2, 1).conj()[0], lambda b, v: b.mul_(3j), lambda b, v: v)
    checked(lambda b: b.conj().imag, lambda b, v: v.mul_(3))
    checked(lambda b: b.view(1, 2).mH, lambda b, v: v.add_(b.detach().view(2, 1)), lambda b, v: v * b)
    b = leaf * 1
    w = b.conj()
    q = w * w
    b.add_(1)
    try:
        q.real.sum().backward()
    except RuntimeError as error:
        print(said(str(error)).partition("Hint")[0])
    """,
        _GIVEN,
    )


def test_a_mirror_is_there_as_long_as_somebody_looks() -> None:
    x = retrograd.tensor([1 + 2j, 3 - 1j])
    if not x._kernels.mutable:
        pytest.skip("arrays that share no memory have no mirror")
    y = x.conj()
    mirror = weakref.ref(y._tensor_meta.mirror)
    part = y[1:]
    del y
    gc.collect()
    x[1] = 4j
    assert part.tolist() == [-4j]
    del part
    gc.collect()
    assert mirror() is None
    x.mul_(2)
    assert x.conj().tolist() == [2 - 4j, -8j]


def test_every_kind_of_write_reaches_the_other_side() -> None:
    assert_same(
        """
    (leaf * (1 + 1j)).real.sum().backward()
    seen = leaf.grad.conj()
    (leaf * (2 - 1j)).real.sum().backward()
    print(leaf.grad, seen)
    for kind in torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop:
        weight = nn.Parameter(torch.tensor([1 + 2j, 3 - 1j]))
        seen, optimizer = weight.detach().conj(), kind([weight], lr=0.1)
        (weight.conj() * weight).real.sum().backward()
        optimizer.step()
        print(weight.detach(), seen)
    z = torch.zeros(3, dtype=torch.complex64)
    seen = z.conj()
    torch._foreach_add_([z], [torch.ones(3) * 1j])
    z.index_add_(0, torch.tensor([0]), torch.tensor([1j])).scatter_(0, torch.tensor([1]), 5j)
    z.masked_fill_(torch.tensor([False, False, True]), 2 + 2j)
    print(z, seen)
    z.data.add_(1j)
    z.detach().mul_(2)
    nn.init.constant_(z.imag, 3.0)
    seen.real.zero_()
    torch.view_as_real(z)[0, 1] = 9.0
    print(z, seen)
    """,
        _GIVEN,
    )
