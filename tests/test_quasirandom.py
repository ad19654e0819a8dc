"""Sobol' sequences: the points of PyTorch's engine."""

from __future__ import annotations

from programs import assert_same


def test_points(backend: str) -> None:
    assert_same("""
        Engine = torch.quasirandom.SobolEngine
        e = Engine(3)
        print(e, e.dimension, e.scramble, e.seed, e.num_generated, e.MAXBIT, e.MAXDIM)
        print(e.draw(), e.draw(4), e.draw(2, dtype=torch.float64), e.num_generated)
        out = torch.empty(0)
        print(e.draw(3, out=out), out, e.draw(0), e.reset().draw(2), e)
        print(Engine(3).fast_forward(5).draw(2), Engine(3).fast_forward(0).draw(1), Engine(40).draw(300)[-1])
        print(Engine(2).draw_base2(3), Engine(1).draw(5), Engine(21201).draw(3)[:, -3:])
        for dtype in (torch.int64, torch.float16):
            attempt(Engine(2).draw, 2, dtype=dtype)
        attempt(e.draw, -1)
        for dimension in (0, 21202):
            attempt(Engine, dimension)
        for n in (3, 4):
            e = Engine(2)
            e.draw(n)
            attempt(e.draw_base2, 2)
    """)


def test_scrambled_points() -> None:
    """They are other ones than PyTorch's, of the same properties."""
    assert_same("""
        Engine = torch.quasirandom.SobolEngine
        e = Engine(2, scramble=True, seed=3)
        x = e.draw(64)
        print(e, x.dtype, bool(x.min() >= 0), bool(x.max() < 1), (x * 8).long().unique(dim=0).shape)
        print(torch.equal(Engine(2, True, 3).draw(64), x), torch.equal(Engine(2, True, 4).draw(64), x))
        y = Engine(2, True, 3)
        print(torch.equal(torch.cat([y.draw(10), y.draw(54)]), x), torch.equal(y.reset().draw(64), x))
        print(torch.equal(Engine(2, True, 3).fast_forward(10).draw(54), x[10:]))
        made = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            made.append(Engine(2, True).draw(4))
        print(torch.equal(made[0], made[1]), torch.equal(made[0], made[2]))
    """)
