"""What memory tangents are in: whose they alias, when they are copied, and what writes reach. The same as PyTorch's."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
from retrograd.autograd import forward_ad as fwAD

GIVEN = """
fwAD = torch.autograd.forward_ad


def tangent(tensor):
    return fwAD.unpack_dual(tensor).tangent


def dual():
    t = torch.tensor([1.0, 2.0])
    return fwAD.make_dual(torch.tensor([1.0, 1.0]), t), t
"""

PROGRAMS = {
    "given": """
        with fwAD.dual_level():
            x, t = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
            d = fwAD.make_dual(x, t)
            primal, found = fwAD.unpack_dual(d)
            print(found is t, primal is x, primal._base is x, d._base is x, tangent(x))
            t.mul_(2)
            print(tangent(d), found)
            found.add_(1)
            print(t)
            x.mul_(5)
            print(d, primal)
            d.mul_(2)
            print(d, x, t, found)
            primal.add_(1)
            print(x, d)
            attempt(d.detach_)
    """,
    "copied_where_it_lies_otherwise": """
        with fwAD.dual_level():
            points = {
                "rows": torch.ones(2, 3), "columns": torch.ones(3, 2).t(), "behind": torch.ones(3, 3)[1:],
                "one": torch.ones(1).expand(2, 3), "whole": torch.ones(2, 3)[:],
            }
            for n, x in points.items():
                for m, t in points.items():
                    if n == m or x._base is not points["one"]._base or m != "one":
                        try:
                            print(n, m, tangent(fwAD.make_dual(x, t)) is t)
                        except RuntimeError as error:
                            print(n, m, error)
            t = torch.ones(2, 3)
            d = fwAD.make_dual(torch.ones(3, 2).t(), t)
            t.mul_(2)
            d.mul_(3)
            print(t, tangent(d))
            attempt(fwAD.make_dual, torch.ones(2), fwAD.make_dual(torch.ones(2), torch.ones(2)))
    """,
    "operators_give_new_ones": """
        with fwAD.dual_level():
            functions = (
                lambda d: d + 1, lambda d: d - 1, lambda d: torch.ones(2) + d, lambda d: d + torch.ones(3, 2),
                lambda d: d.clone(), lambda d: torch.zeros(2).copy_(d), lambda d: torch.zeros(2).add_(d),
                lambda d: d.to(torch.float32), lambda d: d.view(1, 2), lambda d: d[1:], lambda d: d.detach(),
                lambda d: torch.cat([d]), lambda d: d.relu(), lambda d: d.expand(2, 2), lambda d: d.sum(),
            )
            for f in functions:
                d, t = dual()
                r = tangent(f(d))
                t.mul_(10)
                print(r is t, r)
    """,
    "writes_reach_them": """
        with fwAD.dual_level():
            writes = (
                lambda d: d.mul_(2), lambda d: d.add_(1), lambda d: d.add_(d), lambda d: d.sin_(), lambda d: d.fill_(3),
                lambda d: d.zero_(), lambda d: d.copy_(torch.ones(2)), lambda d: d.copy_(dual()[0] * 7),
                lambda d: d[:1].mul_(3), lambda d: d.__setitem__(0, 5.0), lambda d: d.clamp_(0, 0.5),
                lambda d: d.masked_fill_(torch.tensor([True, False]), 0.0), lambda d: d.data.mul_(2),
                lambda d: d.scatter_(0, torch.tensor([0]), torch.tensor([9.0])), lambda d: d.view(1, 2).tril_(),
            )
            for f in writes:
                d, t = dual()
                first, part = tangent(d), d[1:]
                f(d)
                print(tangent(d) is t, first, t, tangent(part))
            attempt(dual()[0].set_, torch.ones(2))
    """,
    "views_of_duals": """
        with fwAD.dual_level():
            y = torch.ones(3, requires_grad=True) * 1
            d = fwAD.make_dual(y, torch.tensor([1.0, 2.0, 3.0]))
            d[:1].mul_(2)
            print(tangent(d).tolist(), tangent(y), y.tolist())
            y = torch.ones(3)
            d = fwAD.make_dual(y, torch.tensor([1.0, 2.0, 3.0]))
            v = d[1:]
            v[0].mul_(5)
            print(tangent(d), tangent(v), y, tangent(y))
            y.mul_(2)
            print(d, tangent(y))
            y.mul_(fwAD.make_dual(torch.ones(3), torch.ones(3)))
            print(d, tangent(v), tangent(y))
            shared = torch.ones(3)
            one, other = fwAD.make_dual(torch.ones(3), shared), fwAD.make_dual(torch.ones(3), shared)
            one.mul_(3)
            print(one, other, shared)
    """,
    "changes_of_shape": """
        for change in (
            lambda d: d.t_(), lambda d: d.transpose_(0, 1), lambda d: d.unsqueeze_(0), lambda d: d.squeeze_(0),
        ):
            with fwAD.dual_level():
                t = torch.arange(6.0).reshape(2, 3)
                d = fwAD.make_dual(torch.ones(2, 3), t)
                attempt(change, d)
                d.mul_(2)
                print(tuple(t.shape), t.stride(), t.tolist(), tangent(d).tolist(), tangent(d * d).tolist())
        with fwAD.dual_level():
            attempt(fwAD.make_dual(torch.ones(2, 3), torch.ones(2, 3)).resize_, 3, 2)
    """,
    "with_a_graph": """
        with fwAD.dual_level():
            t = torch.ones(2, requires_grad=True)
            d = fwAD.make_dual(torch.ones(2), t)
            attempt(d.mul_, 2)
            d = fwAD.make_dual(torch.ones(2), t * 1)
            d.mul_(2)
            print(torch.autograd.grad(tangent(d).sum(), t))
            x = torch.tensor([0.5, 2.0], requires_grad=True)
            d = fwAD.make_dual(x, torch.tensor([1.0, 10.0])) * 1
            d.mul_(d * 1).mul_(x).mul_(3)
            print(torch.autograd.grad(tangent(d).sum(), x)[0].tolist())
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name], GIVEN)


def test_a_refused_write_to_a_tangent_changes_nothing(backend: str) -> None:
    with fwAD.dual_level():
        t = retrograd.ones(2, requires_grad=True)
        d = fwAD.make_dual(retrograd.ones(2), t)
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place"):
            d.mul_(2)
        assert d.tolist() == [1.0, 1.0]
        assert fwAD.unpack_dual(d).tangent is t


def test_a_tangent_in_memory_of_another_size_is_copied(backend: str) -> None:
    assert_same("""
        fw = torch.autograd.forward_ad
        whole, six = torch.zeros(5), torch.zeros(6)
        for primal, make in (
            (torch.zeros(3), lambda: torch.ones(5)[:3]), (whole[:3], lambda: torch.ones(3)),
            (whole[:3], lambda: torch.ones(5)[:3]), (whole[:3], lambda: torch.ones(6)[:3]),
            (six[3:], lambda: torch.ones(3)), (six[::2], lambda: torch.ones(6)[::2]), (six[::2], lambda: torch.ones(3)),
            (torch.zeros(3), lambda: torch.ones(3, dtype=torch.float64)), (torch.zeros(0), lambda: torch.ones(3)[:0]),
        ):
            with fw.dual_level():
                given = make()
                tangent = fw.unpack_dual(fw.make_dual(primal, given)).tangent
                given.add_(1)
                print(tangent, tangent.stride(), tangent.storage_offset(), tangent.untyped_storage().nbytes())
    """)
