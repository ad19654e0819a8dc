"""`gradcheck` finds wrong gradients, accepts right ones, and reports as PyTorch's does."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from programs import assert_same

import retrograd
from retrograd.autograd import GradcheckError, gradcheck, gradgradcheck

float64, complex128 = retrograd.float64, retrograd.complex128


@pytest.fixture(autouse=True)
def _double_precision(backend: str) -> None:
    """Both backends, with float64."""


def real(*shape: int) -> Any:
    size = 1
    for n in shape:
        size *= n
    return (retrograd.arange(size, dtype=float64) * 0.3 + 0.1).reshape(shape).requires_grad_()


def complex_() -> Any:
    return retrograd.tensor([1 + 2j, 0.5 - 0.3j], dtype=complex128, requires_grad=True)


each_mode = pytest.mark.parametrize(
    ("backend", "fast_mode"), [("numpy", False), ("numpy", True), ("jax", True)], indirect=["backend"]
)
"""Whole Jacobians by single elements only on NumPy: on JAX they take seconds and show nothing else."""


class Wrong(retrograd.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * x * grad

    @staticmethod
    def jvp(ctx: Any, tangent: Any) -> Any:
        return tangent


class Double(retrograd.autograd.Function):
    """Right; what its backward does besides is set per test."""

    around: Callable[[Any], Any] = staticmethod(lambda grad: grad)

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.set_materialize_grads(False)
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Double.around(grad)


RIGHT: dict[str, tuple[Callable[..., Any], Callable[[], Any]]] = {
    "two inputs": (lambda a, b: (a * b).exp(), lambda: (real(3), real(3))),
    "two outputs": (lambda a, b: (a @ b, a.sum()), lambda: (real(2, 2), real(2, 3))),
    "an output without gradient": (lambda a: (a * 2, (a > 0.5).sum(), a.sum()), lambda: real(2, 2)),
    "view": (lambda a: a.t().reshape(-1)[1:], lambda: real(2, 3)),
    "in place": (lambda a: a.clone().mul_(a), lambda: real(3)),
    "number": (lambda a: a.sum() ** 2, lambda: real(2)),
    "input without gradient": (lambda a, b, n: a * b * n, lambda: (real(2), real(2).detach(), 3.0)),
    "empty": (lambda a: a * 2, lambda: real(0)),
    "constant": (lambda a: retrograd.ones(2, dtype=float64), lambda: real(2)),
    "complex to real": (lambda a: a.abs(), complex_),
    "complex to complex": (lambda a: a * a.conj() * a, complex_),
    "complex to both": (lambda a: (a * a, a.real * 3), complex_),
    "real to complex": (lambda a: retrograd.complex(a, a * a), lambda: real(2)),
}


@each_mode
@pytest.mark.parametrize("name", RIGHT)
def test_accepts(name: str, fast_mode: bool) -> None:
    function, inputs = RIGHT[name]
    assert gradcheck(function, inputs(), fast_mode=fast_mode, check_batched_grad=True, check_grad_dtypes=True)


@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize("name", ["two inputs", "two outputs", "view", "complex to real", "complex to complex"])
def test_accepts_in_forward_mode(name: str, fast_mode: bool) -> None:
    function, inputs = RIGHT[name]
    assert gradcheck(function, inputs(), fast_mode=fast_mode, check_forward_ad=True, check_backward_ad=False)


@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize("name", ["two inputs", "two outputs", "number", "complex to complex", "complex to real"])
def test_accepts_second_derivatives(name: str, fast_mode: bool) -> None:
    function, inputs = RIGHT[name]
    assert gradgradcheck(function, inputs(), fast_mode=fast_mode)


def test_a_batch_of_tangents() -> None:
    x = real(2)
    assert gradcheck(lambda a: (a.exp() * a, a.sum()), x, check_forward_ad=True, check_batched_forward_grad=True)


def test_forward_over_reverse() -> None:
    assert gradgradcheck(lambda a: a.exp() * a, real(2), check_fwd_over_rev=True)


def test_given_and_non_contiguous_gradients_of_outputs() -> None:
    assert gradgradcheck(lambda a: a**3, real(3), real(3))
    assert gradgradcheck(lambda a: a.exp(), real(2, 2), gen_non_contig_grad_outputs=True)


def test_the_input_is_as_before_and_so_is_the_generator() -> None:
    x, state = real(3), retrograd.get_rng_state()
    before, version = x.tolist(), x._version
    gradgradcheck(lambda a: a.exp(), x, fast_mode=True)
    assert x.tolist() == before
    assert x._version == version
    assert retrograd.get_rng_state().tolist() == state.tolist()


@pytest.mark.parametrize("fast_mode", [False, True])
def test_rejects_a_wrong_gradient(fast_mode: bool) -> None:
    with pytest.raises(GradcheckError, match="Jacobian mismatch for output 0 with respect to input 0"):
        gradcheck(Wrong.apply, real(2), fast_mode=fast_mode)
    assert not gradcheck(Wrong.apply, real(2), fast_mode=fast_mode, raise_exception=False)
    with pytest.raises(GradcheckError, match="Jacobian computed with forward mode mismatch for output 0"):
        gradcheck(Wrong.apply, real(2), fast_mode=fast_mode, check_forward_ad=True, check_backward_ad=False)
    with pytest.raises(GradcheckError, match="While considering the imaginary part of complex outputs only, "):
        gradcheck(Wrong.apply, complex_(), fast_mode=fast_mode)
    with pytest.raises(GradcheckError, match="Numerical gradient for function expected to be zero"):
        gradcheck(lambda a: a.detach(), real(2), fast_mode=fast_mode)


def test_fast_mode_shows_the_whole_jacobians() -> None:
    with pytest.raises(GradcheckError, match=r"(?s)Numerical:\n tensor\(\[\[0\.2000.*max per-element difference"):
        gradcheck(Wrong.apply, real(2), fast_mode=True)


@pytest.fixture
def around(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], Any]], None]:
    return lambda function: monkeypatch.setattr(Double, "around", staticmethod(function))


def test_rejects_what_no_jacobian_shows(around: Any) -> None:
    around(lambda grad: retrograd.full_like(grad, 2.0))
    with pytest.raises(GradcheckError, match="backward not multiplied by grad_output"):
        gradcheck(Double.apply, real(1))

    calls = iter(range(1000))
    around(lambda grad: grad * (2 + next(calls) * 1e-7))
    with pytest.raises(GradcheckError, match="Backward is not reentrant"):
        gradcheck(Double.apply, real(2), check_undefined_grad=False)
    assert gradcheck(Double.apply, real(2), nondet_tol=1e-3, check_undefined_grad=False)


def test_undefined_gradients(around: Any) -> None:
    def strict(grad: Any) -> Any:
        if grad is None:
            raise RuntimeError("no gradient")
        return grad * 2

    def careless(grad: Any) -> Any:
        return retrograd.ones(2, dtype=float64) if grad is None else grad * 2

    for function, text in (
        (strict, "Expected backward function to handle undefined output grads"),
        (
            careless,
            "Expected all input grads to be undefined or zero when all output grads are undefined or zero",
        ),
    ):
        around(function)
        assert gradcheck(Double.apply, real(2), check_undefined_grad=False)
        with (
            pytest.warns(UserWarning, match="undefined gradient support checking"),
            pytest.raises(GradcheckError, match=text),
        ):
            gradcheck(Double.apply, real(2))


def test_module_and_function_at_once() -> None:
    import retrograd.autograd.gradcheck

    assert retrograd.autograd.gradcheck(lambda a: a * a, real(2))
    assert retrograd.autograd.gradcheck.GradcheckError is GradcheckError


def test_single_precision_is_warned_of() -> None:
    x = retrograd.ones(1, requires_grad=True)
    with pytest.warns(UserWarning, match="Input #0 requires gradient and is not a double precision"):
        assert gradcheck(lambda a: a * a, x, eps=1e-2)


@pytest.mark.parametrize("base", [-2, -1.5, 3, 1j])
def test_powers_of_numbers_by_complex_exponents(base: Any) -> None:
    exponent = retrograd.tensor([0.5 + 0.3j, 2.0 - 1j], dtype=retrograd.complex128, requires_grad=True)
    assert gradcheck(lambda each: retrograd.pow(base, each), exponent)
    assert gradgradcheck(lambda each: base**each, exponent)


REPORTS = {
    "inputs_without_tangents": """
        fwd = {"check_forward_ad": True, "check_backward_ad": False}
        class F(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, y):
                return x * 1, y * 1
            @staticmethod
            def jvp(ctx, x, y):
                calls.append(1)
                return (x, y) if wrong is None else (x, y * wrong(x) if y is not None else None)
        x, y = (torch.ones(1, dtype=torch.float64, requires_grad=True) for _ in range(2))
        for wrong in (None, lambda x: 1.0 + bool((x == 0).all())):
            for options in ({"check_undefined_grad": False}, {}, {"check_batched_forward_grad": True}):
                if options and wrong is None or not options and wrong is not None:
                    calls = []
                    attempt(lambda: torch.autograd.gradcheck(F.apply, (x, y), **fwd, **options))
                    print(len(calls) if wrong is None else None)
    """,
    "functions_are_mapped_as_they_are": """
        class Inner(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2
            @staticmethod
            def backward(ctx, grad):
                return grad * 2 + (torch.randn_like(grad) * 0 if random else 0)
        class Outer(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x
            @staticmethod
            def backward(ctx, grad):
                return Inner.apply(grad) * ctx.saved_tensors[0]
        random = False
        x = torch.ones(2, requires_grad=True)
        print(torch.autograd.grad(Outer.apply(x), x, torch.eye(2), is_grads_batched=True))
        print(torch.autograd.functional.jacobian(Outer.apply, x, vectorize=True))
        print(torch.autograd.functional.hessian(lambda x: Outer.apply(x).sum(), x, vectorize=True))
        random = True
        attempt(lambda: torch.autograd.grad(Inner.apply(x), x, torch.eye(2), is_grads_batched=True))
    """,
    "sparse_rows": """
        x = torch.tensor([[0.0, 2.0], [3.0, 0.0]], dtype=torch.float64)
        for layout in (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc):
            for masked in (True, False):
                s = x.to_sparse(layout=layout).detach().requires_grad_()
                f = lambda s: s.to_dense(masked_grad=masked) * 2
                print(torch.autograd.gradcheck(f, (s,), masked=masked))
    """,
    "reports": """
        gradcheck = torch.autograd.gradcheck
        class Wrong(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x
            @staticmethod
            def backward(ctx, grad):
                return 3 * ctx.saved_tensors[0] * grad
        x = torch.tensor([0.1, 0.4], dtype=torch.float64, requires_grad=True)
        z = torch.tensor([1 + 2j, 0.5 - 0.3j], dtype=torch.complex128, requires_grad=True)
        attempt(lambda: gradcheck(Wrong.apply, x))
        attempt(lambda: gradcheck(lambda a, b: (a, b * 2, Wrong.apply(b)), (x, x.detach() + x.detach())))
        attempt(lambda: gradcheck(Wrong.apply, z))
    """,
    "refusals": """
        gradcheck, gradgradcheck = torch.autograd.gradcheck, torch.autograd.gradgradcheck
        x = torch.tensor([0.1, 0.4], dtype=torch.float64, requires_grad=True)
        f = lambda a: a * 2
        attempt(lambda: gradcheck(f, x.detach()))
        attempt(lambda: gradcheck(f, torch.ones(1, 1, dtype=torch.float64).expand(2, 2).requires_grad_()))
        attempt(lambda: gradcheck(f, x, check_backward_ad=False))
        forward = {"check_backward_ad": False, "check_forward_ad": True}
        attempt(lambda: gradcheck(f, x, check_batched_grad=True, **forward))
        attempt(lambda: gradcheck(f, x, check_batched_forward_grad=True))
        attempt(lambda: gradgradcheck(f, x, check_rev_over_rev=False))
        attempt(lambda: gradgradcheck(f, x, check_rev_over_rev=False, check_fwd_over_rev=True))
    """,
}


@pytest.mark.parametrize("name", REPORTS)
def test_same_as_pytorch(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_same(REPORTS[name])
