"""`rearrange`: patterns that name dimensions, and what is no pattern: the same as PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
from retrograd.func import rearrange

PATTERNS = (
    ("a b c -> a b c", {}), ("a b c->c a b", {}), ("a b c -> (a b) c", {}), ("a b c -> a (c b)", {}),
    ("(a1 a2) b c -> a2 a1 b c", {"a1": 2}), ("a b (c1 c2) -> a c1 b c2", {"c2": 2}), ("a b ... -> b a ...", {}),
    ("... c -> c ...", {}), ("a ... -> ... a", {}), ("a b c -> a 1 c b", {}), ("a b c -> () (b c) 1 a", {}),
    ("... -> (...)", {}), ("a b ... c -> a ... b c", {}), ("... (c1 c2) -> (...) c1 c2", {"c1": 2}),
    ("(a1 a2) b c -> a1 a2 b c", {"a1": 1, "a2": 2}), ("a b c -> a c b", {"a": 2}), ("a b class -> class a b", {}),
    ("a b -> b a", {}), ("a b c d -> a b c d", {}), ("a b c -> a b", {}), ("a b c -> a b c d", {}),
    ("a a c -> a c", {}), ("a b c", {}), ("a b c -> a -> b", {}), ("a b c -> (a b c", {}), ("a b c -> a b c)", {}),
    ("a b c -> (a (b c))", {}), ("a b c -> a b c", {"d": 3}), ("a (...) -> a ...", {}), ("a ... ... -> a", {}),
    ("a b .. -> a b ..", {}), ("a b _c -> a b _c", {}), ("a b c_ -> a b c_", {}), ("a b 1x -> a b 1x", {}),
    ("a b 2 -> a b 2", {}), ("a b c- -> a b c-", {}), ("1 a b c -> a b c", {}), ("(a d) b c -> a d b c", {"a": "x"}),
)  # fmt: skip


def test_patterns_mean_what_they_mean_in_pytorch(backend: str) -> None:
    assert_same(
        f"""
        x = torch.arange(24.0).reshape(2, 3, 4)
        for pattern, sizes in {PATTERNS!r}:
            attempt(lambda: torch.func.rearrange(x, pattern, **sizes))
        y = torch.ones(1, 2, 1)
        for pattern in ("1 a 1 -> a", "a b c -> b a", "() a b -> a b", "1 a -> a"):
            attempt(lambda: torch.func.rearrange(y, pattern).shape)
        print(torch.func.rearrange([torch.ones(2, 3), torch.zeros(2, 3)], "n h w -> h n w"))
        z = torch.ones(2, 3, requires_grad=True)
        (torch.func.rearrange(z, "a b -> b a") * torch.arange(6.0).reshape(3, 2)).sum().backward()
        print(z.grad, torch.func.vmap(lambda t: torch.func.rearrange(t, "a b -> b a"))(torch.ones(4, 2, 3)).shape)
        print(torch.func.rearrange(torch.zeros(0, 3), "(a b) c -> a b c", b=2).shape)
        """
    )


def test_sizes_that_do_not_fit_are_refused() -> None:
    x = retrograd.ones(6, 2)
    with pytest.raises(RuntimeError, match="cannot infer the sizes of 2 dimensions at once: a, b"):
        rearrange(x, "(a b) c -> a b c")
    with pytest.raises(RuntimeError, match=r"do not fit into one of size 6"):
        rearrange(x, "(a b) c -> a b c", a=4)
    with pytest.raises(RuntimeError, match=r"do not fit into one of size 2"):
        rearrange(x, "a 1 -> a")
    with pytest.warns(RuntimeWarning, match="axes names that are keywords: for"):
        rearrange(x, "a for -> for a")
