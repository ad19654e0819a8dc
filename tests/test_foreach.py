"""`_foreach_*`: operators on lists of tensors, the same as PyTorch's."""

from __future__ import annotations

import pytest
from programs import assert_same

GIVEN = """
def lists():
    return [torch.tensor([0.5, -0.25]), torch.tensor([[0.75], [1.5], [0.125]])]


def shown(result):
    return type(result).__name__, [(tuple(t.shape), t.dtype, t.tolist()) for t in result]
"""

PROGRAMS = {
    "unary": """
        names = "abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg "
        names += "reciprocal round rsqrt sigmoid sign sin sinh sqrt tan tanh trunc"
        for name in names.split():
            a = [t.abs() / 2 for t in lists()]
            print(name, shown(getattr(torch, "_foreach_" + name)(a)))
            first = a[0]
            result = getattr(torch, f"_foreach_{name}_")(a)
            print(a[0] is first, a[0].tolist(), a[1].tolist())
    """,
    "binary": """
        for name in ("add", "sub", "mul", "div", "maximum", "minimum", "clamp_min", "clamp_max", "pow"):
            others = (2.0, [2.0, 3.0], [t * 2 for t in lists()])
            if name in ("add", "mul", "div"):
                others += (torch.tensor(2.0),)
            for other in others:
                print(name, shown(getattr(torch, "_foreach_" + name)(lists(), other)))
                a = lists()
                getattr(torch, f"_foreach_{name}_")(a, other)
                print([t.tolist() for t in a])
        print(shown(torch._foreach_add(lists(), lists(), alpha=3)))
        print(shown(torch._foreach_sub(lists(), lists(), alpha=2)))
        print(shown(torch._foreach_pow(2.0, lists())), shown(torch._foreach_mul([torch.ones(2).long()], 2.5)))
        print(shown(torch._foreach_add(tuple(lists()), 1)))
    """,
    "others": """
        a, b = lists(), [t + 1 for t in lists()]
        for value in (2.0, [2.0, 3.0], torch.tensor([2.0, 3.0])):
            print(shown(torch._foreach_addcmul(a, b, b, value)), shown(torch._foreach_addcdiv(a, b, b, value)))
        for weight in (0.25, b):
            print(shown(torch._foreach_lerp(a, b, weight)))
        for order in (1, 2, float("inf")):
            print(shown(torch._foreach_norm(a, order)), shown(torch._foreach_norm(a, order, dtype=torch.float64)))
        print(shown(torch._foreach_max(a)), shown(torch._foreach_clone(a)))
        torch._foreach_addcmul_(a, b, b, 0.5)
        torch._foreach_addcdiv_(a, b, b, [1.0, 2.0])
        torch._foreach_lerp_(a, b, 0.5)
        print([t.tolist() for t in a])
        torch._foreach_copy_(a, b)
        print([t.tolist() for t in a], [t._version for t in a])
        torch._foreach_zero_(a)
        print([t.tolist() for t in a])
    """,
    "gradients": """
        a = [t.requires_grad_() for t in lists()]
        total = sum(t.sum() for t in torch._foreach_mul(torch._foreach_exp(a), [2.0, 3.0]))
        total += sum(torch._foreach_norm(a))
        print([g.tolist() for g in torch.autograd.grad(total, a)])
        b = [t * 1 for t in a]
        torch._foreach_mul_(b, 2.0)
        torch._foreach_sin_(b)
        print([g.tolist() for g in torch.autograd.grad(sum(t.sum() for t in b), a)])
        plain = torch.ones(2)
        attempt(torch._foreach_add_, [plain, a[0]], 1)
        print(plain)
    """,
    "refusals": """
        a = lists()
        attempt(torch._foreach_add, [], 1)
        attempt(torch._foreach_add, a, [1])
        attempt(torch._foreach_add, a, a[:1])
        attempt(torch._foreach_add, [1, 2], 2)
        attempt(torch._foreach_add, a, torch.ones(2))
        attempt(torch._foreach_norm, [])
        attempt(torch._foreach_addcdiv, a, a, a, [1.0])
        attempt(torch._foreach_sub, [torch.ones(2).bool()], 1)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name], GIVEN)
