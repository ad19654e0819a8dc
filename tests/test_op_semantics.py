"""What operators do with types, numbers, edge cases and wrong input: each expression under both libraries.

An expression sees `t` (the library) and a few tensors; its outcome is its printed form, or the
type and text of its error, and must be PyTorch's.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import retrograd

torch = pytest.importorskip("torch")

TYPES = ("bool", "uint8", "int64", "float16", "bfloat16", "float32", "float64", "complex64")

PROMOTION = """
a + b; a - b; a * b; a / b; a // b; a % b; a ** b; a == b; a < b; a & b; t.maximum(a, b); t.atan2(a, b)
t.fmod(a, b); t.logical_xor(a, b); t.xlogy(a, b); t.clamp(a, b); t.hypot(a, b)
""".replace("\n", ";").split(";")

ONE_TYPE = """
-a; +a; a + 1; a + 1.5; 1 - a; a - True; 2 * a; a / 2; 3 / a; a // 2; 7 // a; a % 2; 7 % a; a ** 2
a ** 2.0; 2 ** a; a ** 0.5; a ** -1; a == 1; a < 1.5; ~a; a & 1; a << 1; a >= a; abs(a); a.neg()
a.sign(); a.sgn(); a.exp(); a.sqrt(); a.log(); a.square(); a.reciprocal(); a.rsqrt(); a.sigmoid()
a.tanh(); a.sin(); a.atan(); a.erf(); a.ceil(); a.floor(); a.trunc(); a.round(); a.frac(); a.relu()
a.clamp(0, 1); a.clamp(0.5); a.clamp_min(1); a.isnan(); a.isfinite(); a.isposinf(); a.signbit()
a.isreal(); a.nan_to_num(); a.logical_not(); a.angle(); a.expm1(); a.log1p(); a.exp2(); a.deg2rad()
a.lgamma(); a.sum(); a.sum(0); a.mean(); a.prod(); a.max(); a.min(); a.amax(); a.argmax(); a.std()
a.var(0); a.norm(); a.cumsum(0); a.cumprod(0); a.all(); a.any(); a.count_nonzero(); a.softmax(0)
a.log_softmax(0); a.logsumexp(0); a.sort(); a.topk(1); a.median(); a.max(0); a.mean(dtype=t.float64)
a.sum(dtype=t.float32); a.aminmax(); a.logit(); a.nansum(); a.cummax(0); t.lerp(a, a, 0.5)
t.addcmul(a, a, a); t.addcdiv(a, a, a); t.logaddexp(a, a); t.copysign(a, 1.0); t.add(a, a, alpha=2)
t.isclose(a, a); t.gcd(a, a); t.bitwise_not(a); t.div(a, 2, rounding_mode='trunc')
t.sub(a, a, alpha=1.5); a.float_power(2)
""".replace("\n", ";").split(";")

EDGES = """
e.sum(); e.mean(); e.prod(); e.max(); e.argmax(); e.amax(); e.max(0); m.max(1); e.std(); e.median()
e.cumsum(0); e.sort(); e.all(); e.any(); e.norm(); e.logsumexp(0); e.softmax(0); x.sum(3); x.sum((0, 0))
x.sum(()); x.max(5); x.argmax(9); x.topk(7); x.kthvalue(9); x.std(correction=2); x[:1].std(); o.sum(0)
o.max(0); o.sort(); o.cumsum(0); o.softmax(0); o.median(); o.all(); o.argmax(0); o.mean(-1); o.sum(1)
o.prod(0); o.cummax(0); o.topk(1); o.logsumexp(0); o.std(); o.amax(0); o.mode(); n.max(); n.min()
n.max(0); n.amax(); n.argmax(); n.sort(); n.sort(descending=True); n.median(); n.nanmedian(); n.mean()
n.nanmean(); n.nansum(); n.cummax(0); n.cummin(0); n.topk(2); t.fmax(n, o); t.maximum(n, o)
n.clamp(0, 1); n.relu(); n.sign(); n.nan_to_num(0.0, 1.0, -1.0); n == n; n.isclose(n, equal_nan=True)
n.logsumexp(0); n.softmax(0); n.norm(); n.aminmax(); i // 0; i % 0; t.fmod(i, 0); i ** -1; i.clamp()
t.div(i, 2, rounding_mode='x'); x + t.ones(3); x * t.ones(2, 3); t.equal(i, x); x.var(0, correction=0)
x.var(False); x.std(0, True); x.sum(axis=0); x.max(axis=0, keepdims=True); t.allclose(x, x + 1e-9)
t.isclose(i, x); t.true_divide(i, 2); x.quantile(0.5); t.quantile(x, t.tensor([0.0, 1.0]))
i.quantile(0.5); x.quantile(2.0); t.heaviside(x, i); t.complex(x, i); t.view_as_real(x)
t.view_as_complex(x); t.imag(x); x.unique(return_counts=True); i == [1, 2]; i == 'a'
i < 'a'; x + [1]; [1] - x; x / 'a'; 'a' // x; x ** None; x @ 2; i != None
t.exp(2.0); t.add('a', x); t.max(x, i); x.norm(p=0); x.norm(float('inf')); x.logit(0.1)
t.polygamma(1, x); i.add(i, alpha=1.5); (x > 0).add(x > 0, alpha=True); t.where(x > 1, x, 0)
""".replace("\n", ";").split(";")

LEVELS = {
    "float16": 2e-3,
    "bfloat16": 2e-2,
    "float32": 1e-5,
    "complex64": 1e-5,
    "float64": 1e-12,
    "complex128": 1e-12,
}


ZERO_DIVISION = "RuntimeError: ZeroDivisionError"


def outcome(module: Any, expression: str, names: dict[str, Any]) -> Any:
    """A list of results, or the error as text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = eval(expression, {"t": module, **names})
    except Exception as error:
        return f"{type(error).__name__}: {error}".replace("torch.", "retrograd.")
    return list(result) if isinstance(result, tuple) else [result]


def assert_same(found: Any, expected: Any, expression: str) -> None:
    if expected == ZERO_DIVISION and retrograd.get_default_backend() != "numpy":
        return  # a device's numbers are not read back to look for a zero; as on PyTorch's own devices
    if isinstance(expected, str) or isinstance(found, str):
        assert found == expected, expression
        return
    assert len(found) == len(expected), expression
    for have, want in zip(found, expected, strict=True):
        if not isinstance(want, torch.Tensor):
            assert (type(have), have) == (type(want), want), expression
            continue
        assert str(have.dtype).rpartition(".")[2] == str(want.dtype).rpartition(".")[2], expression
        assert tuple(have.shape) == tuple(want.shape), expression
        wide = torch.complex128 if want.is_complex() else torch.float64
        tolerance = LEVELS.get(str(want.dtype).rpartition(".")[2], 0)
        assert torch.allclose(
            torch.tensor(have.tolist(), dtype=wide), want.to(wide), tolerance, tolerance, equal_nan=True
        ), f"{expression}: {have} != {want}"


def array(module: Any, type_: str) -> Any:
    return module.tensor([1, 0, 2] if type_ != "bool" else [True, False, True]).to(getattr(module, type_))


def edges(module: Any) -> dict[str, Any]:
    nan, inf = float("nan"), float("inf")
    return {
        "x": module.tensor([0.5, 2.0]),
        "i": module.tensor([1, 2]),
        "e": module.tensor([]),
        "m": module.ones(2, 0),
        "o": module.tensor(1.5),
        "n": module.tensor([1.0, nan, -inf, inf]),
    }


@pytest.mark.parametrize("expression", [each.strip() for each in EDGES if each.strip()])
def test_edge_cases(expression: str, backend: str) -> None:
    expected = outcome(torch, expression, edges(torch))
    assert_same(outcome(retrograd, expression, edges(retrograd)), expected, expression)


@pytest.mark.parametrize("expression", [each.strip() for each in ONE_TYPE if each.strip()])
def test_types(expression: str, backend: str) -> None:
    for type_ in TYPES if backend == "numpy" else ("int64", "bfloat16"):
        expected = outcome(torch, expression, {"a": array(torch, type_)})
        found = outcome(retrograd, expression, {"a": array(retrograd, type_)})
        assert_same(found, expected, f"{expression} on {type_}")


@pytest.mark.parametrize("expression", [each.strip() for each in PROMOTION if each.strip()])
def test_promotion(expression: str, backend: str) -> None:
    types = TYPES if backend == "numpy" else ("int64", "float32")
    for one in types:
        for other in types:
            for scalar in (False, True):
                if scalar and (one, other) == ("float16", "complex64"):
                    continue  # PyTorch has half complex numbers
                if expression == "a ** b" and "complex64" in (one, other):
                    continue  # PyTorch's 0j ** 0 is NaN
                names = []
                for module in (torch, retrograd):
                    b = array(module, other)
                    names.append({"a": array(module, one), "b": b[2] if scalar else b + 1 if other != "bool" else b})
                expected = outcome(torch, expression, names[0])
                found = outcome(retrograd, expression, names[1])
                assert_same(found, expected, f"{expression} on {one}, {other}{' of 0 dimensions' * scalar}")
