"""`retrograd.linalg` against PyTorch: values, results' names, derivatives of both orders and modes, batches, errors.

A factorization is compared by what does not depend on a sign or a phase that a library is free to choose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from programs import assert_same

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
    "lu": lambda m, x: tuple(m.linalg.lu(x)),
    "lu_factor": lambda m, x: m.linalg.lu_factor(x)[0],
    "lu_factor_ex": lambda m, x: m.linalg.lu_factor_ex(x)[0],
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
    "lu": lambda m, x: tuple(m.linalg.lu(x)),
    "lu_factor": lambda m, x: m.linalg.lu_factor(x)[0],
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
    assert retrograd.autograd.gradgradcheck(call, (x,), check_fwd_over_rev=True, fast_mode=True)


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


# -- what is refused, and what comes with a result -----------------------------------------------

GIVEN = """
L = torch.linalg
A, R, V = torch.tensor([[2.0, 1.0], [1.0, 3.0]]), torch.ones(2, 3), torch.ones(3)
S, I, H = torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.long), torch.ones(2, 2).half()
stack = torch.stack([A, S])
"""

SQUARE_ONLY = ("inv", "inv_ex", "det", "slogdet", "cholesky", "cholesky_ex", "eigh", "eigvalsh", "eig", "eigvals")
OF_MATRICES = (*SQUARE_ONLY, "qr", "svd", "svdvals", "pinv", "matrix_exp", "matrix_norm", "matrix_rank", "cond")


@pytest.mark.parametrize("name", OF_MATRICES)
def test_refuses_what_pytorch_refuses(name: str, backend: str) -> None:
    kinds = "VRI" if name in SQUARE_ONLY or name == "matrix_exp" else "VI"
    low = "" if name in ("matrix_exp", "matrix_norm") else "H"
    assert_same("".join(f"attempt(L.{name}, {each})\n" for each in kinds + low), GIVEN)


def test_says_which_matrix_is_singular_or_indefinite(backend: str) -> None:
    assert_same(
        """
        attempt(L.inv, S)
        attempt(L.inv, torch.ones(2, 2))
        attempt(L.inv, stack)
        attempt(torch.inverse, S)
        attempt(L.matrix_power, S, -1)
        attempt(L.solve, S, V[:2])
        attempt(L.solve, stack, torch.ones(2, 2, 1))
        attempt(L.cholesky, -A)
        attempt(L.cholesky, torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
        attempt(L.cholesky, stack)
        attempt(torch.cholesky, -A)
        attempt(L.svd, A * math.nan)
        print(L.inv_ex(stack).info, L.cholesky_ex(stack).info, L.slogdet(stack), torch.logdet(stack), torch.logdet(-A))
        print(L.cond(stack, 1), L.det(stack), isinstance(L.LinAlgError(), RuntimeError))
        """,
        GIVEN,
    )


def test_arguments_are_checked_in_pytorchs_words() -> None:
    assert_same(
        """
        for B in (V, R.T, R.double(), I):
            attempt(L.solve, A, B)
        attempt(L.solve, A, V[:2], left=False)
        attempt(L.solve, A, R.T, left=False)
        attempt(L.solve_triangular, A, V, upper=True)
        attempt(L.solve_triangular, A, R.T, upper=True)
        attempt(L.solve_triangular, A, R, upper=True, left=False)
        attempt(L.qr, A, "x")
        attempt(L.eigh, A, UPLO="x")
        attempt(L.svd, A, driver="x")
        attempt(L.matrix_norm, A, "x")
        attempt(L.matrix_norm, A, 3)
        attempt(L.matrix_norm, A, dim=(0, 0))
        attempt(L.norm, A, "x")
        attempt(L.norm, torch.ones(2, 2, 2), 2)
        attempt(L.norm, torch.ones(2, 2, 2), 2, (0, 1, 2))
        attempt(L.norm, A, "nuc", dim=0)
        attempt(L.norm, V, "nuc")
        attempt(torch.norm, A, "x")
        attempt(torch.norm, A, p="nuc", dim=0)
        attempt(torch.norm, torch.ones(2, 2, 2), "nuc")
        attempt(L.vector_norm, torch.ones(0), math.inf)
        attempt(L.vector_norm, torch.ones(0), -1)
        attempt(L.vector_norm, V, "fro")
        attempt(L.cond, A, "x")
        attempt(L.cond, A, 3)
        attempt(L.cond, R, 1)
        for chain in ([A], [A, R.T], [A, torch.ones(2, 2, 2), A], [A, A.double()], [torch.ones(1, 1, 1), A]):
            attempt(L.multi_dot, chain)
        attempt(L.cross, A, A)
        attempt(L.cross, V, R)
        attempt(L.cross, V, V.double())
        attempt(torch.cross, A, A)
        attempt(L.vander, V, N=1)
        attempt(L.vecdot, V, V.double())
        attempt(L.vecdot, I, I)
        attempt(L.tensorinv, R)
        attempt(L.tensorinv, R, 0)
        attempt(L.tensorsolve, torch.eye(6).reshape(2, 6, 3), R, dims=(0, 2))
        attempt(L.lstsq, A, V)
        attempt(L.lstsq, V, V)
        attempt(L.lstsq, R, A, driver="x")
        attempt(L.lstsq, A, A.double())
        attempt(L.lu_factor, S)
        attempt(L.lu_factor, stack)
        attempt(L.lu_factor, V)
        attempt(L.lu_factor, I)
        attempt(L.lu, V)
        print(L.lu_factor_ex(stack), L.lu_factor(A), L.lu(R))
        attempt(L.lu_factor, A, pivot=False)
        attempt(L.lu, A, pivot=False)
        attempt(L.matrix_power, A, 2.0)
        attempt(L.matrix_power, R, 2)
        attempt(torch.cholesky_solve, A, R.T)
        attempt(torch.cholesky_solve, A, A.double())
        attempt(L.inv, [[1.0]])
        """,
        GIVEN,
    )


def test_qr_is_not_differentiable_where_it_is_not_determined(backend: str) -> None:
    assert_same(
        """
        x = torch.tensor([[1.0, 2.0], [3.0, 1.0], [1.0, 1.0]], requires_grad=True)
        attempt(L.qr(x, mode="r").R.sum().backward)
        attempt(L.qr(x, mode="complete").R.sum().backward)
        print(L.qr(x, mode="complete").Q.shape, L.qr(x, mode="r").Q.shape)
        """,
        GIVEN,
    )


def test_results_have_pytorchs_names_nodes_and_types(backend: str) -> None:
    assert_same(
        """
        x = torch.tensor([[2.0, 1.0], [1.0, 3.0]], requires_grad=True)
        for found in (
            L.inv(x), L.det(x), L.slogdet(x).logabsdet, L.slogdet(x).sign, L.cholesky(x), L.qr(x).R, L.svd(x).S,
            L.svdvals(x), L.eigh(x).eigenvalues, L.eigvalsh(x), L.eigvals(x), L.eig(x).eigenvectors, L.solve(x, x),
            L.solve_triangular(x, x, upper=False), L.pinv(x), L.matrix_exp(x), L.matrix_power(x, 3), L.norm(x),
            L.inv_ex(x).inverse, torch.svd(x).V, torch.qr(x).Q, torch.slogdet(x).logabsdet, torch.logdet(x),
        ):
            print(type(found.grad_fn).__name__, found.dtype, found.shape)
        print(L.slogdet(A), torch.slogdet(A), L.inv_ex(A), L.cholesky_ex(A))
        print(torch.svd(A, compute_uv=False), torch.svd(R, some=False).V.shape)
        print(L.lstsq(R.T * A[0], V, driver="gelsd").solution.shape)
        print(L.matrix_rank(R), L.matrix_rank(stack), L.matrix_rank(A, 2.0), L.matrix_rank(A, hermitian=True))
        print(L.matrix_rank(A, atol=torch.tensor([0.5, 2.0, 9.0])), L.pinv(A, 0.5), L.pinv(A, atol=torch.tensor([2.0])))
        print(L.inv(torch.zeros(0, 0)), L.pinv(torch.zeros(0, 3)), L.matrix_norm(torch.ones(0, 2), 2))
        print(L.inv(A, out=torch.empty(2, 2)), L.matrix_power(I, 3), L.matrix_power(I, 0))
        print(L.vander(torch.tensor([1, 2, 3]), N=4), torch.vander(torch.tensor([1, 2, 3])))
        print(L.multi_dot([V[:2], A, R, V]), L.multi_dot([A, R]), L.cross(torch.ones(1, 3), torch.eye(3)))
        print(L.tensorinv(torch.eye(6).reshape(6, 2, 3), 1).shape, L.tensorsolve(torch.eye(6).reshape(2, 3, 6), R))
        print(torch.norm(A, "nuc"), torch.nuclear_norm(A), torch.frobenius_norm(A, 0), L.norm(V, dtype=torch.double))
        """,
        GIVEN,
    )


def test_older_functions_of_triangles_have_nodes_and_gradients_of_their_own(backend: str) -> None:
    assert_same(
        """
        x = (torch.eye(3) * 3 + torch.arange(9.0).reshape(3, 3) / 8).requires_grad_()
        b = torch.arange(6.0).reshape(3, 2).requires_grad_()
        for call in (
            lambda: torch.cholesky_solve(b, x), lambda: b.cholesky_solve(x.expand(2, 3, 3), upper=True),
            lambda: torch.cholesky_inverse(x), lambda: x.cholesky_inverse(True), lambda: torch.cholesky(x @ x.mT),
            lambda: torch.triangular_solve(b, x)[0], lambda: torch.triangular_solve(b, x, True, True, True)[0],
            lambda: torch.triangular_solve(b, x, upper=False, transpose=True)[1],
        ):
            found = call()
            (first,) = torch.autograd.grad(found.sum(), x, create_graph=True)
            (second,) = torch.autograd.grad(first.sin().sum(), x, allow_unused=True)
            rounded = [each if each is None else each.mul(1000).round() for each in (first, second)]
            print(type(found.grad_fn).__name__, [each + 0 if each is not None else each for each in rounded])
        tangent = (torch.ones(3, 3),)
        print(torch.func.jvp(lambda x: torch.cholesky_solve(b.detach(), x), (x.detach(),), tangent)[1])
        print(torch.func.jvp(lambda x: torch.triangular_solve(b.detach(), x)[0], (x.detach(),), tangent)[1])
        for call in (torch.triangular_solve, torch.cholesky_solve):
            for given in ((V, A), (A, V), (R, A), (A, R), (I, I), (A, A.double()), (H, H)):
                attempt(call, *given)
        attempt(torch.cholesky_inverse, I)
        attempt(torch.cholesky, I)
        """,
        GIVEN,
    )


def test_the_gradient_of_a_determinant_is_right_where_it_is_zero(backend: str) -> None:
    """The cofactors, as finite differences have it; PyTorch's are zero where a pivot is zero exactly."""
    x = retrograd.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=retrograd.float64, requires_grad=True)
    retrograd.det(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [[4, -2], [-2, 1]], 1e-12)
    stack = retrograd.tensor([[[1 + 1j, 1], [0, 0]], [[2, 0], [0, 3]]], dtype=retrograd.complex128, requires_grad=True)
    retrograd.det(stack).sum().backward(retrograd.tensor(1 + 0j))
    np.testing.assert_allclose(stack.grad.numpy(), [[[0, 0], [-1, 1 - 1j]], [[3, 0], [0, 2]]], 1e-12, 1e-12)


@pytest.mark.parametrize("shape", [(4, 2), (3, 3)])
def test_least_squares_come_with_residuals_and_ranks(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    a, b = values(shape, "float64"), values((shape[0], 2), "float64", 1)
    for driver in (None, "gels", "gelsd"):
        found, expected = (m.linalg.lstsq(m.tensor(a), m.tensor(b), driver=driver) for m in (retrograd, torch))
        for have, want in zip(found, expected, strict=True):
            assert have.shape == want.shape
            np.testing.assert_allclose(host(have), host(want), 1e-9)


def test_least_squares_of_matrices_without_full_rank_are_the_least(backend: str) -> None:
    """Tall, wide, zero, and one of a stack; `rcond` decides what counts as zero; no rank is asked for with `gels`."""
    assert_same("""
        tall = torch.tensor([[1.0, 2, 3], [2, 4, 6], [1, 0, 1], [0, 1, 1]], dtype=torch.float64)
        right = torch.tensor([[1.0], [2], [0], [3]], dtype=torch.float64)
        stack = torch.stack([tall, tall + torch.eye(4, 3, dtype=torch.float64)])
        for a, b in ((tall, right), (tall[:2], right[:2]), (tall * 0, right), (stack, right.expand(2, 4, 1))):
            for driver in ("gelsy", "gelsd", "gelss"):
                x, y = a.clone().requires_grad_(), b.clone().requires_grad_()
                found, residuals, rank, values = torch.linalg.lstsq(x, y, driver=driver)
                print(residuals, rank, (values * 1e4).round().long())
                for each in (found, *torch.autograd.grad((found**2).sum(), (x, y))):
                    print((each.detach() * 1e4).round().long())
        for rcond in (0.3, 0.1, -1.0):
            found = torch.linalg.lstsq(tall, right, rcond=rcond, driver="gelsd")
            print((found.solution * 1e4).round().long(), found.rank)
        print(torch.linalg.lstsq(tall[:, :2], right, driver="gels"))
    """)


def test_the_gradient_of_a_hermitian_matrix_is_hermitian(backend: str) -> None:
    """Also where what follows tells the triangles apart."""
    assert_same("""
        a = torch.tensor([[4.0, 1 + 0.3j, 0.5], [1 - 0.3j, 3.0, 0.2], [0.5, 0.2, 2.0]], dtype=torch.complex128)
        weights = torch.arange(9.0, dtype=torch.float64).reshape(3, 3)
        for x in (a.real.clone().requires_grad_(), a.clone().requires_grad_()):
            values, vectors = torch.linalg.eigh(x)
            root = vectors @ torch.diag(values.rsqrt()).to(x.dtype) @ vectors.mH
            (gradient,) = torch.autograd.grad((root * weights).sum().abs(), x, create_graph=True)
            (second,) = torch.autograd.grad((gradient * weights).sum().abs(), x)
            print(*((torch.view_as_real(each + 0j) * 1e3).round().long() for each in (gradient, second)))
    """)
