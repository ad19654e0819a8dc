"""`retrograd.fft`: values, nodes and refusals as PyTorch's; derivatives, tangents and batches by finite differences."""

from __future__ import annotations

from typing import Any

import pytest
from programs import assert_same

import retrograd
from retrograd.func import jvp, vmap

GIVEN = """
x = (torch.arange(30.0, dtype=torch.float64) * 7 % 5).reshape(2, 3, 5).requires_grad_()
z = torch.complex(x.detach(), x.detach().flip(0)).requires_grad_()


def names(y):
    found, node = [], y.grad_fn
    while node is not None and node.next_functions:
        found.append((node.name(), getattr(node, "_saved_dim", None), getattr(node, "_saved_normalization", None)))
        node = node.next_functions[0][0]
    return found


def rounded(y):
    return torch.view_as_real(y + 0j).mul(9973.1234567).round().long().tolist()


def shown(y):
    weights = torch.arange(float(y.numel()), dtype=torch.float64).reshape(y.shape).cos()
    total = (y * weights).real.sum() + (y * weights.flip(0)).imag.sum() if y.is_complex() else (y * weights).sum()
    grads = torch.autograd.grad(total, (x, z), allow_unused=True)
    return y.dtype, tuple(y.shape), rounded(y), [None if g is None else rounded(g) for g in grads]
"""

PROGRAMS = {
    "along_one": """
        F = torch.fft
        for norm in (None, "backward", "forward", "ortho"):
            for function in (F.fft, F.ifft):
                print(norm, shown(function(x, norm=norm)), shown(function(z, norm=norm)))
            for function in (F.rfft, F.ihfft):
                print(norm, shown(function(x, norm=norm)))
            for function in (F.irfft, F.hfft):
                print(norm, shown(function(z, norm=norm)), shown(function(z, 5, 1, norm)))
    """,
    "sizes": """
        F = torch.fft
        for n in (1, 2, 4, 5, 7):
            for function in (F.fft, F.ifft, F.irfft, F.hfft):
                print(n, shown(function(z, n, dim=-1)))
            for function in (F.rfft, F.ihfft, F.fft):
                print(n, shown(function(x, n, dim=1)))
    """,
    "along_several": """
        F = torch.fft
        places = ({}, {"dim": (0, 2)}, {"s": (4, 3)}, {"s": (2, -1), "dim": (1, 0)}, {"dim": 1}, {"norm": "ortho"})
        for options in places:
            for function in (F.fftn, F.ifftn, F.irfftn, F.hfftn):
                print(options, shown(function(z, **options)))
            for function in (F.rfftn, F.ihfftn):
                print(options, shown(function(x, **options)))
        for function in (F.fft2, F.ifft2, F.irfft2, F.hfft2):
            print(shown(function(z)))
        for function in (F.rfft2, F.ihfft2, F.fft2):
            print(shown(function(x, norm="forward")))
    """,
    "nodes": """
        F = torch.fft
        for y in (
            F.fft(x), F.fft(z), F.ifft(x), F.rfft(x), F.irfft(z), F.irfft(x), F.hfft(z), F.ihfft(x), F.fft(x, 7),
            F.fft(x, 2), F.fft2(x), F.rfft2(x), F.irfftn(z), F.hfft2(z), F.ihfft2(x), F.fftshift(x),
            F.ifftn(z, norm="ortho"),
        ):
            print(names(y))
    """,
    "frequencies": """
        F = torch.fft
        for n in (0, 1, 4, 5):
            print(F.fftfreq(n), F.rfftfreq(n, d=0.5), F.fftfreq(n, 2.0, dtype=torch.float64))
        print(F.fftfreq(4, requires_grad=True).requires_grad)
        k = torch.arange(10).reshape(2, 5)
        for dim in (None, 1, (0, -1)):
            print(F.fftshift(k, dim), F.ifftshift(k, dim))
        print(torch.equal(F.ifftshift(F.fftshift(k)), k))
    """,
    "types_and_refusals": """
        F = torch.fft
        r, c = torch.ones(2, 3), torch.ones(2, 3, dtype=torch.complex64)
        for value in (torch.arange(3), torch.ones(3, dtype=torch.bool), torch.ones(3, dtype=torch.float64)):
            print(F.fft(value).dtype, F.rfft(value).dtype, F.irfft(value).dtype)
        for call in (
            lambda: F.fft(r, 0), lambda: F.fft(r, norm="x"), lambda: F.fft(r, dim=3), lambda: F.rfft(c),
            lambda: F.fft2(r[0]),
            lambda: F.fftn(r, s=(1, 2, 3)), lambda: F.fftn(r, s=(2,), dim=(0, 1)), lambda: F.fftn(r, dim=(0, 0)),
            lambda: F.fft(torch.tensor(1.0)), lambda: F.fft(torch.ones(3).half()), lambda: F.irfft(torch.ones(1)),
            lambda: F.rfft(torch.ones(0)), lambda: F.ihfft(c), lambda: F.rfftn(torch.ones(())),
            lambda: F.irfftn(r, dim=()),
            lambda: F.rfft2(c), lambda: F.fftfreq(5, dtype=torch.int64), lambda: F.fft([1, 2]), lambda: F.fft(r, 1.5),
            lambda: F.fftfreq(-1), lambda: F.ihfftn(c), lambda: F.rfft(r, out=torch.empty(3)), lambda: F.fftshift(r, 2),
        ):
            attempt(call)
        out = torch.empty(0, dtype=torch.complex64)
        print(F.fft(r, out=out) is out, out.real)
        attempt(F.fftshift, r, ())
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name], GIVEN)


def _real() -> Any:
    return (retrograd.arange(6.0, dtype=retrograd.float64) * 5 % 7).reshape(2, 3).requires_grad_()


def _complex() -> Any:
    return retrograd.complex(_real().detach(), _real().detach().flip(1)).requires_grad_()


FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "c2c": (lambda F, v: F.fftn(v, s=(2, 4)), _complex),
    "c2c back": (lambda F, v: F.ifft(v, norm="ortho"), _complex),
    "r2c": (lambda F, v: F.rfft2(v), _real),
    "r2c whole": (lambda F, v: F.fft(v, dim=0), _real),
    "c2r even": (lambda F, v: F.irfft(v), _complex),
    "c2r odd": (lambda F, v: F.irfftn(v, s=(2, 5)), _complex),
    "hermitian": (lambda F, v: F.hfft2(v, norm="forward"), _complex),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_tangents_and_batches(name: str, backend: str) -> None:
    function, given = FUNCTIONS[name]

    def f(value: Any) -> Any:
        return function(retrograd.fft, value)

    value = given()
    assert retrograd.autograd.gradcheck(f, value, check_forward_ad=True, check_batched_grad=True)
    assert retrograd.autograd.gradgradcheck(f, value)
    rows = retrograd.stack([value.detach(), value.detach() * 2])
    assert retrograd.allclose(vmap(f)(rows), retrograd.stack([f(row) for row in rows]))
    assert retrograd.allclose(vmap(f, in_dims=2)(rows.movedim(0, 2)), vmap(f)(rows))
    _, tangent = jvp(f, (rows[0],), (rows[1],))
    assert retrograd.allclose(tangent, f(rows[1]))
