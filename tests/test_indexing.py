"""Subscripts, read and assigned to, right and wrong: the same as in PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

PROGRAMS = {
    "full_slices": """
        x = torch.ones(2, 3, requires_grad=True)
        a = x * 1
        for n, f in dict(
            colon=lambda: a[:],
            dots=lambda: a[...],
            cc=lambda: a[:, :],
            two=lambda: a[0:2],
            big=lambda: a[0:9],
            dd=lambda: a[..., :3],
            mix=lambda: a[:1, :],
            neg=lambda: a[-2:],
            none=lambda: a[None],
            non2=lambda: a[:, None],
            none3=lambda: a[None, :, None],
            sel=lambda: a[0],
            sel2=lambda: a[0, 1],
            ell=lambda: a[..., 0],
            e=lambda: a[()],
            tr=lambda: a[True],
            st=lambda: a[::1],
            st2=lambda: a[::2],
            st3=lambda: a[:, ::2],
            emp=lambda: a[5:],
            ti=lambda: a[torch.tensor(1)],
            tl=lambda: a[torch.tensor([1, 0])],
            li=lambda: a[[0, 1]],
            t2=lambda: a[:, torch.tensor([1, 0])],
            bo=lambda: a[a > 0],
            selnone=lambda: a[0, None],
            mixt=lambda: a[0, torch.tensor([0, 1])],
            mix2=lambda: a[None, torch.tensor([0])],
            mix3=lambda: a[torch.tensor([0, 1]), :, None],
            f=lambda: a[False],
            tb=lambda: a[torch.tensor(True)],
            np0=lambda: a[torch.tensor(0) : 2],
        ).items():
            try:
                r = f()
            except Exception as e:
                print(n, type(e).__name__, e)
                continue
            g = r.grad_fn
            c = []
            while g is not None and len(c) < 6:
                c.append(g.name())
                g = g.next_functions[0][0] if g.next_functions else None
            print(
                n,
                c,
                r.shape,
                r._is_view(),
                r is a,
                {k: getattr(r.grad_fn, k) for k in dir(r.grad_fn) if k.startswith("_saved")}
                if "Index" not in c[0]
                else "",
            )
            r.sum().backward(retain_graph=True)
        print(x.grad)
    """,
    "zero_dim": """
        a = torch.tensor(3.0)
        b = torch.ones(2, 3)
        for f in (
            lambda: a[0],
            lambda: a[:1],
            lambda: a[:],
            lambda: a[...],
            lambda: a[None],
            lambda: a[True],
            lambda: a[()],
            lambda: a[0, 0],
            lambda: b[0, 0, 0],
            lambda: b[0, 0, :],
            lambda: b[:, :, :],
            lambda: b[5],
            lambda: b[-3],
            lambda: b[0, 7],
            lambda: b[1.5],
            lambda: b["a"],
            lambda: b[::0],
            lambda: b[::-1],
            lambda: b[..., ...],
            lambda: b[torch.tensor([5])],
            lambda: b[[9]],
            lambda: b[torch.tensor([1.5])],
            lambda: b[torch.tensor([True, False, True])],
            lambda: b[None, None].shape,
            lambda: iter(a),
            lambda: len(a),
            lambda: b[0][0][0][0],
            lambda: a[torch.tensor(0)],
            lambda: a[torch.tensor([0])],
            lambda: a[a > 0],
            lambda: b.select(0, 5),
            lambda: b.select(3, 0),
            lambda: b.narrow(0, 1, 5),
            lambda: b.narrow(0, -5, 1),
            lambda: b.narrow(0, 0, -1),
            lambda: a.select(0, 0),
            lambda: a.narrow(0, 0, 1),
            lambda: a.unbind(),
            lambda: a.split(1),
            lambda: a.chunk(1),
            lambda: a.t(),
            lambda: a.expand(2),
            lambda: b.expand(2),
            lambda: b.expand(2, 4),
            lambda: b.view(7),
            lambda: b.view(-1, -1),
            lambda: b.permute(0),
            lambda: b.permute(0, 0),
            lambda: b.diagonal(0, 0, 0),
            lambda: b.unfold(0, 3, 1),
            lambda: b.unfold(0, 1, 0),
            lambda: a.diagonal(),
            lambda: b.movedim(0, 5),
            lambda: b.unflatten(0, (3, 1)),
            lambda: b.squeeze(4),
            lambda: b.transpose(0, 3),
            lambda: b.swapaxes(0, 4),
            lambda: b.flatten(1, 0),
            lambda: torch.ones(2, 2, 2).t(),
            lambda: torch.ones(2, 2, 2).T,
            lambda: a.mT,
            lambda: b.H,
            lambda: b.view_as(3),
            lambda: b.tensor_split(0),
            lambda: b.as_strided((9, 9), (9, 9)),
            lambda: b.as_strided((2,), (-1,)),
            lambda: b.unsqueeze(5),
            lambda: b.split(0),
            lambda: b.split(-1),
            lambda: b.split([1, 2]),
            lambda: b.chunk(0),
        ):
            try:
                print(f())
            except Exception as e:
                print(type(e).__name__, e)
    """,
    "set_zero_dim": """
        a = torch.tensor(3.0)
        b = torch.ones(2, 3)

        def s(t, i, v):
            t[i] = v
            print(t)

        for args in (
            (a, 0, 1.0),
            (a, slice(None, 1), 1.0),
            (a, (), 2.0),
            (a, ..., 4.0),
            (a, None, 5.0),
            (a, True, 6.0),
            (a, False, 7.0),
            (b, 5, 1.0),
            (b, 0, torch.ones(4)),
            (b, 0, torch.ones(1, 1, 3)),
            (b, 0, torch.ones(2, 3)),
            (b, (0, 0, 0), 1.0),
            (b, [0, 5], 1.0),
            (b, torch.tensor([True, False]), torch.ones(2)),
            (b, "a", 1.0),
            (b, 0, "x"),
            (b, slice(None, None, -1), 1.0),
            (b, 0, 1j),
            (b, 0, [1, 2, 3]),
            (b, slice(None), None),
            (b, (slice(None), 1), torch.tensor([3.0, 4.0])),
            (b, 0, True),
            (b.long(), 0, 1.7),
        ):
            try:
                s(*args)
            except Exception as e:
                print(type(e).__name__, e)
    """,
    "items_and_values": """
        x = torch.ones(2, 3, requires_grad=True)
        a = x * 1
        import numpy as np

        def s(i, v):
            b = torch.zeros(2, 3)
            try:
                b[i] = v
                print(b)
            except Exception as e:
                print(type(e).__name__, e)

        for f in (
            lambda: a[:, :9],
            lambda: a[:, 0:],
            lambda: a[:, -3:],
            lambda: a[0:2, :],
            lambda: a[(slice(0, 2),)],
            lambda: a[:, :, None],
            lambda: a[:2, None, ...],
            lambda: a[..., :],
            lambda: a[[slice(None)]] if 0 else a[:, :],
        ):
            r = f()
            print(r.grad_fn.name(), r.grad_fn.next_functions[0][0].name())
        for f in (
            lambda: a[None, 0, 7],
            lambda: a[..., 7],
            lambda: a[:, None, 7],
            lambda: a[7, :],
            lambda: a[True, 0, 7],
            lambda: a[::0, 0],
            lambda: a["ab"],
            lambda: a["ab", 0],
            lambda: a[0, "a"],
            lambda: a[b"x"],
            lambda: a[1j],
            lambda: a[{}],
            lambda: a[object()],
            lambda: a[1.0:2],
            lambda: a["a":2],
            lambda: a[:, 1.0],
            lambda: a[{1}],
            lambda: a[np.float32(1)],
            lambda: a[np.int32(1)].shape,
            lambda: a[np.array(1)].shape,
            lambda: a[np.array([1])].shape,
            lambda: a[np.array([True, False])].shape,
            lambda: a[np.bool_(True)].shape,
            lambda: a[[]].shape,
            lambda: a[[], 0].shape,
            lambda: a[(1,)].shape,
            lambda: a[[1, 0]].shape,
            lambda: a[torch.tensor([]).long()].shape,
            lambda: a[torch.tensor([])].shape,
        ):
            try:
                print(f())
            except Exception as e:
                print(type(e).__name__, e)
        for v in (
            np.float32(2),
            np.float64(2),
            np.int64(3),
            np.array([1, 2, 3.0]),
            np.array(5.0),
            np.bool_(True),
            (1, 2, 3),
            object(),
            10**40,
            float("inf"),
            torch.tensor(5),
            torch.tensor([1j]),
            1e300,
            "a",
            None,
            True,
        ):
            s(0, v)
        for v in (np.float32(2), np.array([1, 2, 3.0]), [1, 2], None, 1j):
            s(torch.tensor([0]), v)

        def put(v, dtype):
            b = torch.zeros(2, dtype=dtype)
            try:
                b[0] = v
                print(b)
            except Exception as e:
                print(type(e).__name__, e)

        for v in (1.7, -1.7, 2**63, 1e30, float("nan"), 1j, True, torch.tensor(2.6)):
            put(v, torch.long)
        for v in (256, -1, 300.5, 2**40):
            put(v, torch.uint8)

        def f(v):
            b = torch.zeros(2)
            try:
                b.fill_(v)
                print(b)
            except Exception as e:
                print(type(e).__name__, e)

        for v in (1j, 10**40, 1e300, "a", None, [1], np.float32(2), True):
            f(v)
    """,
    "set_nodes": """
        w = torch.ones((), requires_grad=True)

        def t(f):
            x = torch.ones(2, 3, requires_grad=True) * 1
            try:
                f(x)
            except Exception as e:
                print(type(e).__name__, e)
                return
            g = x.grad_fn
            print(g.name(), [None if n is None else n.name() for n, _ in g.next_functions], x._version, x._is_view())

        def s(i, v):
            def f(x):
                x[i] = v

            return f

        for i in (
            slice(None),
            ...,
            (slice(None), slice(None)),
            0,
            (0, 1),
            None,
            True,
            False,
            torch.tensor([0]),
            (0, torch.tensor([1])),
            torch.ones(2, 3) > 0,
            (slice(0, 2),),
            (slice(None), None),
            (),
        ):
            t(s(i, 1.0))
            t(s(i, w))
            t(s(i, torch.tensor(2.0)))
            t(s(i, torch.ones(1)))
        t(s(0, torch.ones(3)))
        t(s(0, torch.ones(1, 3, requires_grad=True)))
        t(s(0, torch.ones(3, dtype=torch.double, requires_grad=True)))
    """,
    "nothing_to_read": """
        five, first = torch.tensor([5]), torch.tensor([0])
        for part in (
            lambda: torch.ones(0, 3)[five], lambda: torch.ones(3, 0)[five], lambda: torch.ones(3, 0)[-five],
            lambda: torch.ones(3, 0)[five, first], lambda: torch.ones(0, 3)[:, [5]],
            lambda: torch.ones(3, 4)[five, first[:0]],
            lambda: torch.ones(2, 3, 0)[:, five], lambda: torch.ones(2, 0, 3)[five, :, first],
            lambda: torch.ones(3, 0)[5],
            lambda: torch.ones(3, 0).index_select(0, five), lambda: torch.ones(3, 0).index_select(1, first),
            lambda: torch.ones(0).take(first), lambda: torch.ones(0).put(first, torch.ones(1)),
            lambda: torch.ones(3, 0).index_add(0, five, torch.ones(1, 0)),
            lambda: torch.ones(3, 0).index_copy(0, five, torch.ones(1, 0)),
            lambda: torch.ones(3, 0).index_fill(0, five, 1.0),
            lambda: torch.ones(3, 4)[torch.tensor([0, 1]), five[[0, 0, 0]]],
        ):
            attempt(lambda: (tuple(part().shape), part().stride()))
        x = torch.ones(3, 0, requires_grad=True)
        x[five].sum().backward()
        x.data[five] = 1
        print(tuple(x.grad.shape))
    """,
    "several_ellipses": """
        y, w, first = torch.arange(12.0).reshape(3, 4), torch.ones(2, 3, 4, 5), torch.tensor([0])
        for part in (
            lambda: y[..., ...], lambda: y[..., 0, ...], lambda: y[0, ..., ..., ...], lambda: y[..., ..., None],
            lambda: y[..., ..., 0], lambda: y[..., ..., first], lambda: y[..., ..., 1:], lambda: w[..., ..., 0:1],
            lambda: w[..., first, ..., first], lambda: w[..., first, ...],
            lambda: w[..., 0, ..., 0], lambda: y[..., ..., True],
        ):
            attempt(lambda: (tuple(part().shape), part().sum()))
        y[..., 0, ...] = 7
        print(y)
        attempt(y.__setitem__, (..., ..., first), 1)
    """,
    "sequences_as_indices": """
        import collections
        class Letters:
            def __init__(self, content):
                self.content = content
            def __len__(self):
                return len(self.content)
            def __getitem__(self, place):
                return self.content[place]
        x, pair = torch.arange(24.0).reshape(2, 3, 4), collections.namedtuple("pair", "a b")
        for index in (
            (0, 2), pair(0, 2), torch.Size([1, 1]), (), ((0, 2), (1, 1)), [(0,), (1,)], (True, False, True),
            collections.deque([0, 2]), Letters([0, 2]), range(2), (torch.tensor(0), torch.tensor(2)),
            [0.5, 1.9], [1j], (slice(None), 1), (None, 1), {1: 2}, {1, 2}, 1.0, "ab",
        ):
            attempt(lambda: x[:, index])
            attempt(lambda: x[..., index].shape)
        pairs = [(0, 1), (0, 1)]
        for key in (((0, 1),), tuple(pairs), pairs, Letters([0, 1]), Letters(pairs), pair(0, 2)):
            attempt(lambda: x[key])
        x[:, (0, 2)] = 0
        print(x)
    """,
    "masks_of_bytes": """
        import warnings
        x, mask = torch.arange(3.0), torch.tensor([1, 0, 1], dtype=torch.uint8)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            print(x[mask], x[:, None][mask, 0], x[mask.bool()])
        print([str(each.message).partition(" (Triggered")[0] for each in caught], caught[0].category)
    """,
    "values_of_another_type": """
        mask, places = torch.tensor([True, False, True]), torch.tensor([0, 2])
        for into in (torch.float32, torch.int64, torch.complex64, torch.bool):
            for of in (torch.float32, torch.int64, torch.bool):
                for key in (mask, places, [0, 2], slice(0, 2), (Ellipsis, places), torch.tensor(1)):
                    for value in (torch.ones(2), torch.tensor(1.0), torch.ones(1)):
                        x = torch.zeros(3, dtype=into)
                        attempt(lambda: x.__setitem__(key, value.to(of)))
                        print(x, x._version)
                for key in (mask, places):
                    attempt(lambda: torch.zeros(3, dtype=into).index_put((key,), torch.tensor(1.0).to(of)))
    """,
    "writes_by_masks_and_places": """
        x = torch.arange(12.0).reshape(4, 3)
        v = x[1:3]
        x[x > 8] = 0
        v[v == 4] = torch.tensor(-1.0)
        x[torch.tensor([0, -1, 0])] = torch.arange(9.0).reshape(3, 3)
        x[torch.tensor([[0, 1]])] = 7.0
        x.t()[torch.tensor([1])] = 5
        print(x, v, x._version)
        for key in (torch.tensor([4]), torch.tensor([-5, 0]), x[:2] > 0):
            attempt(lambda: x.__setitem__(key, 1.0))
        print(x, x._version)
        y = torch.zeros(3, requires_grad=True) * 1
        y[torch.tensor([0, 1])] = torch.ones(2, requires_grad=True)
        print(y)
        x[x > 0] = torch.tensor(2.0, requires_grad=True)
        print(x)
        e = torch.zeros(1).expand(3)
        e[e == 0] = 1.0
        print(e)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])


def test_a_scalar_is_selected_once(backend: str) -> None:
    assert_same(
        """
    for index in [0], [0, 0], []:
        attempt(torch.tensor(1.0).index_select, 0, torch.tensor(index, dtype=torch.int64))
    """
    )


def test_truth_values_are_accumulated(backend: str) -> None:
    assert_same(
        """
        x, rows = torch.tensor([False, True, False, False]), torch.tensor([0, 0, 1])
        print(x.index_put((rows,), torch.tensor([True, False, False]), accumulate=True))
        print(torch.ones(2, dtype=torch.bool).resize_(4)[2:].fill_(True))
        """
    )
