"""What transforms say of arguments, results and cotangents that do not fit."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
from retrograd import func

_SETUP = """
fn = torch.func
i, x = torch.tensor([1, 2]), torch.tensor([1., 2.])
f = lambda v: (v * 1.5).sum()
pair, pull = fn.vjp(lambda v: (v, {'a': v * 2}), x)
one, pull_one = fn.vjp(lambda v: v * 2, x)
"""

CALLS = (
    *(f"fn.{name}(f)(i)" for name in ("grad", "grad_and_value", "jacrev", "jacfwd", "hessian")),
    "fn.grad(f)(i > 1)", "fn.vjp(f, i)", "fn.vjp(lambda a, b: (a * b).sum(), x, i)", "fn.jvp(f, (i,), (i,))",
    "fn.jvp(f, (x,), (i,))", "fn.jvp(f, (i,), (x,))", "fn.linearize(f, i)", "fn.grad(lambda a, b: (a * b).sum())(x, i)",
    "fn.grad(f)(2.)", "fn.grad(lambda v: v[0] * 2)([x.sum(), 3])", "fn.vjp(f, 2.)", "fn.jacrev(f)(2.)",
    *(f"fn.{name}(lambda v: v.argmax())(x)" for name in ("jacrev", "jacfwd")),
    "fn.vjp(lambda v: v.argmax(), x)", "fn.vjp(lambda v: 3., x)", "fn.vjp(lambda v: None, x)",
    "fn.vjp(lambda v: (), x)", "fn.jacrev(lambda v: 3.)(x)", "fn.vjp(lambda v: (v, 3.), x)",
    "fn.vjp(lambda v: v.sum(), x, has_aux=True)", "fn.jacrev(lambda v: v, has_aux=True)(x)",
    "fn.grad(f, argnums=(0, 'a'))(x)", "fn.jacrev(f, argnums='a')(x)", "fn.jacfwd(f, argnums=3)(x)",
    "fn.grad(f, argnums=(0, -1))(x)", "fn.jacrev(torch.mul, argnums=(1, -1))(x, x)",
    "fn.jacrev(f, chunk_size=0)(x)", "fn.jacrev(f, chunk_size=-1)(x)",
    "pull((x, {'a': x}))", "pull((x, x))", "pull([x, {'a': x}])", "pull(x)", "pull(None)", "pull((x, {'b': x}))",
    "pull(x, {'a': x})", "pull((x, {'a': None}))", "pull_one((x,))", "pull_one(x)", "pull_one({'a': [x, x]})",
)  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_what_does_not_fit_is_refused_in_the_words_of_pytorch(call: str) -> None:
    assert_same(_SETUP + f"attempt(lambda: {call})")


@pytest.mark.parametrize("transform", [func.grad, func.grad_and_value, func.jacrev])
def test_integers_have_no_gradient(backend: str, transform: object) -> None:
    with pytest.raises(RuntimeError, match="only Tensors of floating point dtype can require gradients"):
        transform(lambda v: (v * 1.5).sum())(retrograd.tensor([1, 2]))  # type: ignore[operator]
