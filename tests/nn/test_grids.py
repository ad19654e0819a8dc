"""`grid_sample` and `affine_grid`: values, gradients and refusals as PyTorch's; second derivatives and tangents too."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from programs import assert_same

import retrograd
from retrograd.func import vmap

F = retrograd.nn.functional

GIVEN = """
def numbers(*shape):
    count = math.prod(shape)
    return (torch.arange(float(count), dtype=torch.float64) * 37 % 41 / 41).reshape(shape)


def rounded(t):
    return t.detach().mul(9973.1234567).round().long().tolist()


def shown(input, grid, **options):
    y = F.grid_sample(input, grid, **options)
    print(options, tuple(y.shape), y.grad_fn.name(), rounded(y))
    weight = numbers(*y.shape) + 1
    print([rounded(g) for g in torch.autograd.grad((y * weight).sum(), (input, grid))])
"""

PROGRAMS = {
    "two_dimensions": """
        x = numbers(2, 2, 3, 4).requires_grad_()
        g = (numbers(2, 3, 2, 2) * 3.3 - 1.6).requires_grad_()
        for mode in ("bilinear", "nearest", "bicubic"):
            for padding in ("zeros", "border", "reflection"):
                for align in (False, True):
                    shown(x, g, mode=mode, padding_mode=padding, align_corners=align)
        node = F.grid_sample(x, g, align_corners=True).grad_fn
        print([name for name in sorted(dir(node)) if name.startswith("_saved_")])
        print(node._saved_interpolation_mode, node._saved_padding_mode, node._saved_align_corners)
    """,
    "three_dimensions": """
        x = numbers(1, 2, 2, 3, 4).requires_grad_()
        g = (numbers(1, 2, 3, 1, 3) * 3.3 - 1.6).requires_grad_()
        for mode in ("bilinear", "nearest"):
            for padding in ("zeros", "border", "reflection"):
                shown(x, g, mode=mode, padding_mode=padding, align_corners=padding == "border")
        shown(numbers(1, 1, 1, 1).requires_grad_(), (numbers(1, 2, 2, 2) * 4 - 2).requires_grad_(), align_corners=True)
    """,
    "affine": """
        for size, rows in (((2, 1, 3, 4), 2), ((2, 1, 2, 3, 1), 3)):
            theta = (numbers(2, rows, rows + 1) - 0.5).requires_grad_()
            for align in (False, True):
                y = F.affine_grid(theta, size, align_corners=align)
                print(y.grad_fn.name(), tuple(y.shape), rounded(y))
                print(rounded(torch.autograd.grad((y * numbers(*y.shape)).sum(), theta)[0]))
        picture = numbers(2, 1, 3, 4)
        same = torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=torch.float64).expand(2, 2, 3)
        grid = F.affine_grid(same, picture.shape, align_corners=False)
        print(torch.allclose(F.grid_sample(picture, grid, align_corners=False), picture))
    """,
    "refusals": """
        x, g, t = torch.ones(1, 2, 3, 4), torch.zeros(1, 5, 6, 2), torch.ones(2, 2, 3)
        sample = lambda *a, **k: tuple(F.grid_sample(*a, align_corners=False, **k).shape)
        affine = lambda *a: tuple(F.affine_grid(*a, align_corners=False).shape)
        for args in (
            (x, g), (x[0], g[0]), (x, g[0]), (x, torch.zeros(1, 5, 6, 3)), (x, torch.zeros(2, 5, 6, 2)),
            (x.double(), g), (x.long(), g.long()), (torch.ones(1, 2, 0, 3), g), (x, torch.zeros(1, 0, 6, 2)),
            (torch.ones(0, 2, 3, 4), torch.zeros(0, 5, 6, 2)), (x[:, :, 0, 0], g[:, 0, 0]),
        ):
            attempt(sample, *args)
        attempt(sample, x, g, mode="x")
        attempt(sample, x, g, padding_mode="x")
        attempt(sample, torch.ones(1, 1, 2, 2, 2), torch.zeros(1, 1, 1, 1, 3), mode="bicubic")
        for args in (
            (t, (2, 1, 3, 4)), (t, (3, 1, 3, 4)), (t[:, :, :2], (2, 1, 3, 4)), (t, (2, 1, 3)), (t.long(), (2, 1, 3, 4)),
            (t, (2, 1, 0, 4)), (t, (2, 1, 2, 3, 4)), (t, torch.Size((2, 1, 1, 1))),
        ):
            attempt(affine, *args)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name], GIVEN)


def _numbers(*shape: int) -> Any:
    made = retrograd.arange(float(retrograd.Size(shape).numel()), dtype=retrograd.float64)
    return (made * 37 % 41 / 41).reshape(shape)


def _check(mode: str, padding: str) -> None:
    x, g = _numbers(1, 2, 3, 4).requires_grad_(), (_numbers(1, 1, 2, 2) * 2 - 0.9).requires_grad_()

    def f(x: Any, g: Any) -> Any:
        return F.grid_sample(x, g, mode=mode, padding_mode=padding, align_corners=False)

    assert retrograd.autograd.gradcheck(f, (x, g), check_forward_ad=True, nondet_tol=1e-12)
    assert retrograd.autograd.gradgradcheck(f, (x, g), nondet_tol=1e-12)
    both = retrograd.stack([g.detach(), g.detach() / 2])
    assert retrograd.allclose(vmap(f, (None, 0))(x, both), retrograd.stack([f(x, each) for each in both]))


def test_derivatives_tangents_and_batches(backend: str) -> None:
    _check("bilinear", "reflection")


@pytest.mark.parametrize(("mode", "padding"), list(product(("bilinear", "bicubic"), ("zeros", "border", "reflection"))))
def test_derivatives_of_all_modes(mode: str, padding: str) -> None:
    with retrograd.use_backend("numpy"):
        _check(mode, padding)


def test_derivatives_of_affine_grids(backend: str) -> None:
    theta = _numbers(2, 2, 3).requires_grad_()

    def f(theta: Any) -> Any:
        return F.affine_grid(theta, (2, 1, 2, 3), align_corners=False)

    assert retrograd.autograd.gradcheck(f, theta, check_forward_ad=True, nondet_tol=1e-12)
    assert retrograd.autograd.gradgradcheck(f, theta)


def test_the_old_default_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="Default grid_sample and affine_grid behavior has changed"):
        F.grid_sample(_numbers(1, 1, 2, 2), _numbers(1, 1, 1, 2))
