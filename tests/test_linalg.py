"""`retrograd.linalg` against PyTorch: values, results' names, derivatives of both orders and modes, batches, errors.

A factorization is compared by what does not depend on a sign or a phase that a library is free to choose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import retrograd
from retrograd import func

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.cross", "ignore:.*torch.triangular_solve", "ignore:.*torch.qr")

Build = Callable[[Any, Any], Any]

EVEN = (3, 3)
SHAPES = [EVEN, (2, 3, 3)]


def even(x: Any) -> Any:
    """A Hermitian matrix of any."""
    return x + x.mH


def definite(m: Any, x: Any) -> Any:
    return x @ x.mH + m.eye(x.shape[-1], dtype=x.dtype)


def projectors(vectors: Any) -> Any:
    """Of each column the projector on it, which does not depend on its phase."""
    return vectors.unsqueeze(-2) * vectors.conj().unsqueeze(-3)


def stretched(factors: Any) -> Any:
    """The matrix with other singular values, which does not depend on the vectors' phases."""
    u, s, vh = factors
    return (u * s.exp().unsqueeze(-2)) @ vh


def turned(q: Any, r: Any) -> Any:
    """What does not depend on the sign of a column of Q and a row of R."""
    return q @ (r * r.abs()), r.abs()


def weighted(values: Any, vectors: Any) -> Any:
    """Numbers that do not depend on the order or the phases of eigenvectors."""
    return (projectors(vectors) * values[..., None, None, :]).sum(-1)


# Of square matrices; each is compared with PyTorch and checked by finite differences, real and complex.
SQUARE: dict[str, Build] = {
    "inv": lambda m, x: m.linalg.inv(x),
    "inv_ex": lambda m, x: m.linalg.inv_ex(x)[0],
    "inverse": lambda m, x: x.inverse(),
    "det": lambda m, x: m.linalg.det(x),
    "det method": lambda m, x: x.det(),
    "slogdet": lambda m, x: tuple(m.linalg.slogdet(x)),
    "cholesky": lambda m, x: m.linalg.cholesky(definite(m, x)),
    "cholesky upper": lambda m, x: m.linalg.cholesky(definite(m, x), upper=True),
    "cholesky_ex": lambda m, x: m.linalg.cholesky_ex(definite(m, x))[0],
    "cholesky_solve": lambda m, x: m.cholesky_solve(x, x.tril()),
    "cholesky_solve upper": lambda m, x: x.cholesky_solve(x.triu(), upper=True),
    "cholesky_inverse": lambda m, x: m.cholesky_inverse(m.linalg.cholesky(definite(m, x))),
    "solve": lambda m, x: m.linalg.solve(x, x.mT * 2 + 1),
    "solve right": lambda m, x: m.linalg.solve(x, x.mT * 2 + 1, left=False),
    "solve vector": lambda m, x: m.linalg.solve(x, x[..., 0]),
    "solve_triangular": lambda m, x: m.linalg.solve_triangular(x, x + 1, upper=True),
    "solve_triangular lower": lambda m, x: m.linalg.solve_triangular(x, x + 1, upper=False, left=False),
    "solve_triangular unit": lambda m, x: m.linalg.solve_triangular(x, x + 1, upper=False, unitriangular=True),
    "triangular_solve": lambda m, x: m.triangular_solve(x + 1, x, transpose=True)[0],
    "pinv": lambda m, x: m.linalg.pinv(x),
    "pinv hermitian": lambda m, x: m.linalg.pinv(even(x), hermitian=True),
    "qr": lambda m, x: turned(*m.linalg.qr(x)),
    "svdvals": lambda m, x: m.linalg.svdvals(x),
    "svd": lambda m, x: projectors(m.linalg.svd(x)[0]) + projectors(m.linalg.svd(x)[2].mH),
    "svd product": lambda m, x: stretched(m.linalg.svd(x)),
    "eigvalsh": lambda m, x: m.linalg.eigvalsh(even(x)),
    "eigh": lambda m, x: projectors(m.linalg.eigh(even(x))[1]),
    "eigh upper": lambda m, x: projectors(m.linalg.eigh(even(x), "U")[1]).sin(),
    "eig": lambda m, x: weighted(*m.linalg.eig(x)),
    "eigvals": lambda m, x: m.linalg.eigvals(x).exp().sum(-1),
    "matrix_exp": lambda m, x: x.matrix_exp(),
    "matrix_power": lambda m, x: (x.matrix_power(5), m.linalg.matrix_power(x, -2), m.linalg.matrix_power(x, 0)),
    "fro": lambda m, x: m.linalg.norm(x, "fro", dim=(-2, -1)),
    "nuc": lambda m, x: m.linalg.matrix_norm(x, "nuc", keepdim=True),
    "2": lambda m, x: m.linalg.matrix_norm(x, 2),
    "-2": lambda m, x: m.linalg.matrix_norm(x, -2, dim=(-1, -2)),
    "1": lambda m, x: m.linalg.matrix_norm(x, 1),
    "-inf": lambda m, x: m.linalg.matrix_norm(x, float("-inf"), keepdim=True),
    "norm": lambda m, x: m.linalg.norm(x),
    "vector_norm": lambda m, x: m.linalg.vector_norm(x, 3, dim=-1),
    "cond": lambda m, x: m.linalg.cond(x),
    "cond 1": lambda m, x: m.linalg.cond(x, 1),
    "cross": lambda m, x: m.linalg.cross(x, x.mT),
    "old cross": lambda m, x: m.cross(x, x.mT),
    "vecdot": lambda m, x: m.linalg.vecdot(x, x.mT),
    "vander": lambda m, x: m.linalg.vander(x, N=4),
    "diagonal": lambda m, x: m.linalg.diagonal(x, offset=1),
}

# Of tall and wide matrices.
OBLONG: dict[str, Build] = {
    "qr": lambda m, x: turned(*m.qr(x)),
    "svd": lambda m, x: stretched(m.linalg.svd(x, full_matrices=False)),
    "old svd": lambda m, x: projectors(m.svd(x)[0]).sum(-1) if x.shape[-2] > x.shape[-1] else projectors(m.svd(x)[2]),
    "svdvals": lambda m, x: m.linalg.svdvals(x),
    "pinv": lambda m, x: m.linalg.pinv(x, rtol=1e-9),
    "pinverse": lambda m, x: x.pinverse(),
    "lstsq": lambda m, x: m.linalg.lstsq(x, x[..., :1] * 2 + 1)[0],
    "cond": lambda m, x: m.linalg.cond(x),
    "nuc": lambda m, x: m.linalg.matrix_norm(x, "nuc"),
}

CASES = [
    pytest.param(build, shape, id=f"{name}-{'x'.join(map(str, shape))}")
    for table, shapes in ((SQUARE, SHAPES), (OBLONG, [(4, 2), (2, 2, 3)]))
    for name, build in table.items()
    for shape in shapes
]
DTYPES = ["float64", "complex128"]


def values(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray[Any, Any]:
    """Numbers that make matrices far from singular."""
    random = np.random.default_rng(seed)
    real = random.uniform(-1, 1, shape)
    return real if dtype == "float64" else real + 1j * random.uniform(-1, 1, shape)


def several(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, tuple) else (result,)


def host(tensor: Any) -> np.ndarray[Any, Any]:
    return np.asarray(tensor.detach().resolve_conj().numpy(force=True))


def number(m: Any, results: tuple[Any, ...]) -> Any:
    """One real number of all results, that is not linear in them."""
    total: Any = 0
    for result in results:
        weights = m.tensor(np.linspace(0.5, 1.5, max(result.numel(), 1))[: result.numel()]).reshape(result.shape)
        parts = (result.real, result.imag) if result.is_complex() else (result,)
        total = total + sum((weights * (each + each * each / 3)).sum() for each in parts)
    return total


def derivatives(m: Any, build: Build, array: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """The results, the gradient of a number of them, and that of a number of the gradient."""
    x = m.tensor(array).requires_grad_()
    results = several(build(m, x))
    if build is SQUARE["cond 1"]:  # PyTorch writes over what its derivative needs
        return [*map(host, results)]
    (first,) = m.autograd.grad(number(m, results), x, create_graph=True)
    (second,) = m.autograd.grad(number(m, (first,)), x)
    return [*map(host, results), host(first), host(second)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("build", "shape"), CASES)
def test_equals_torch_in_both_derivatives(build: Build, shape: tuple[int, ...], dtype: str, backend: str) -> None:
    torch = pytest.importorskip("torch")
    if backend == "jax" and (len(shape) == 3 or dtype != "float64"):
        pytest.skip("on JAX one of each kind: every operator is compiled")
    array = values(shape, dtype)
    for have, want in zip(derivatives(retrograd, build, array), derivatives(torch, build, array), strict=True):
        assert have.dtype == want.dtype
        assert have.shape == want.shape
        np.testing.assert_allclose(have, want, 1e-7, 1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("build", "shape"), [case for case in CASES if "2x" not in case.id])  # type: ignore[operator]
def test_derivatives_equal_finite_differences(build: Build, shape: tuple[int, ...], dtype: str) -> None:
    x = retrograd.tensor(values(shape, dtype)).requires_grad_()

    def call(x: Any) -> Any:
        return several(build(retrograd, x))

    assert retrograd.autograd.gradcheck(call, (x,), check_forward_ad=True)
    assert retrograd.autograd.gradgradcheck(call, (x,), check_fwd_over_rev=True)


@pytest.mark.parametrize(("build", "shape"), [case for case in CASES if "2x" not in case.id])  # type: ignore[operator]
def test_mapped_equals_one_by_one(build: Build, shape: tuple[int, ...]) -> None:
    x = retrograd.tensor(values((2, *shape), "float64"))

    def slope(x: Any) -> Any:
        return func.grad(lambda x: number(retrograd, several(build(retrograd, x))))(x)

    def call(x: Any) -> Any:
        return (*several(build(retrograd, x)), slope(x))

    found = func.vmap(call)(x)
    for have, *alone in zip(found, *(call(each) for each in x), strict=True):
        np.testing.assert_allclose(host(have), np.stack([host(each) for each in alone]), 1e-8, 1e-10)
