"""Data sets, samplers and `DataLoader` without workers: as in PyTorch, apart from the order of random numbers."""

from __future__ import annotations

import subprocess
import sys

import pytest
from programs import assert_same

import retrograd
from retrograd.utils import data
from retrograd.utils.data import DataLoader, RandomSampler, Subset, TensorDataset, random_split

_GIVEN = """
    import collections
    import numpy as np
    from collections import OrderedDict, defaultdict, namedtuple, UserList, UserDict
    D = torch.utils.data

    class Plain(D.Dataset):
        def __init__(self, n): self.n = n
        def __getitem__(self, i): return i * 10
        def __len__(self): return self.n

    class Together(Plain):
        def __getitems__(self, indices):
            print("together", indices)
            return [self[i] for i in indices]

    class Stream(D.IterableDataset):
        def __init__(self, n, claimed=None): self.n, self.claimed = n, claimed
        def __iter__(self): return iter(range(self.n))
        def __len__(self): return self.n if self.claimed is None else self.claimed
"""

PROGRAMS = {
    "datasets": """
        t = D.TensorDataset(torch.arange(6).reshape(3, 2), torch.arange(3.0))
        print(len(t), t[1], t[-1], t[[0, 2]], t[:2])
        attempt(D.TensorDataset, torch.zeros(2), torch.zeros(3))
        c = Plain(2) + Plain(3)
        print(type(c).__name__, len(c), [c[i] for i in range(-5, 5)], c.cumulative_sizes, c.cummulative_sizes)
        attempt(c.__getitem__, -6)
        attempt(c.__getitem__, 5)
        attempt(D.ConcatDataset, [])
        attempt(D.ConcatDataset, [Stream(2)])
        s = Stream(2) + Stream(3)
        print(type(s).__name__, len(s), list(s))
        attempt(len, D.ChainDataset([Plain(2)]))
        attempt(list, D.ChainDataset([Plain(2)]))
        attempt(D.Dataset().__getitem__, 0)
        attempt(len, D.Dataset())
        attempt(iter, D.Sampler())
        attempt(len, D.Sampler())
    """,
    "stacks": """
        print(D.StackDataset(Plain(3), "abc")[1], D.StackDataset(x=Plain(3), y="abc")[2], len(D.StackDataset("ab")))
        attempt(D.StackDataset)
        attempt(D.StackDataset, Plain(2), x=Plain(2))
        attempt(D.StackDataset, Plain(2), Plain(3))
        attempt(D.StackDataset, x=Plain(2), y=Plain(3))
        print(D.StackDataset(Together(3), Plain(3)).__getitems__([2, 0]))
        print(D.StackDataset(a=Together(3), b="xyz").__getitems__([2, 0]))
        class Short(Plain):
            def __getitems__(self, indices): return [0]
        attempt(D.StackDataset(Short(3)).__getitems__, [1, 2])
        attempt(D.StackDataset(a=Short(3)).__getitems__, [1, 2])
    """,
    "subsets": """
        s = D.Subset(Together(5), [4, 2, 0])
        print(len(s), s[0], s[-1], s.__getitems__([1, 2]), D.Subset(Plain(5), [3, 1]).__getitems__([0]))
        print(D.Subset(torch.arange(5) * 2, [3, 1])[[0, 1]])
        class Own(D.Subset):
            def __getitem__(self, i): return 0
        attempt(Own, Plain(2), [0])
        for lengths in ([2, 3], [0.5, 0.5], [0.3, 0.3, 0.4], [0.9, 0.1], [0.05, 0.95], [1.0]):
            parts = D.random_split(range(5), lengths, generator=torch.Generator().manual_seed(1))
            print([len(p) for p in parts], sorted(i for p in parts for i in p), type(parts[0]).__name__)
        attempt(D.random_split, range(5), [2, 2])
        attempt(D.random_split, range(5), [0.5, 0.4])
        attempt(D.random_split, range(5), [1.5, -0.5])
    """,
    "samplers": """
        print(list(D.SequentialSampler("abc")), len(D.SequentialSampler("abc")))
        r = D.RandomSampler(range(4), num_samples=10)
        print(len(r), [sorted(list(r)[i:i + 4]) for i in (0, 4)], len(list(r)))
        print(len(list(D.RandomSampler(range(3), replacement=True, num_samples=70))))
        attempt(D.RandomSampler, range(3), replacement=1)
        attempt(D.RandomSampler, range(3), num_samples=0)
        attempt(D.RandomSampler, range(3), num_samples=2.5)
        attempt(D.RandomSampler, [])
        print(sorted(D.SubsetRandomSampler([7, 5])), len(D.SubsetRandomSampler([7, 5])))
        w = D.WeightedRandomSampler([0, 1, 0, 1], 2, replacement=False)
        print(sorted(w), len(w), w.weights)
        attempt(D.WeightedRandomSampler, [1.0], 0)
        attempt(D.WeightedRandomSampler, [1.0], True)
        attempt(D.WeightedRandomSampler, [1.0], 1, replacement=0)
        attempt(D.WeightedRandomSampler, [[1.0]], 1)
        for drop in (False, True):
            b = D.BatchSampler(D.SequentialSampler(range(5)), 2, drop)
            print(list(b), len(b), list(D.BatchSampler(range(4), 2, drop)))
        attempt(D.BatchSampler, range(3), 0, False)
        attempt(D.BatchSampler, range(3), True, False)
        attempt(D.BatchSampler, range(3), 2, 1)
    """,
    "distributed sampler": """
        for length, replicas, drop in ((5, 2, False), (5, 2, True), (2, 5, False), (2, 5, True), (6, 3, False)):
            parts = [D.DistributedSampler(range(length), replicas, rank, shuffle=False, drop_last=drop)
                     for rank in range(replicas)]
            print([list(p) for p in parts], [len(p) for p in parts], parts[0].total_size)
        parts = [D.distributed.DistributedSampler(range(6), 2, rank) for rank in range(2)]
        print(sorted(i for p in parts for i in p))
        one = D.DistributedSampler(range(40), 1, 0)
        before = list(one)
        print(before == list(one))
        one.set_epoch(1)
        print(before == list(one), one.epoch)
        attempt(D.DistributedSampler, range(3), 2, 2)
        attempt(D.DistributedSampler, range(3))
    """,
    "collation": """
        P = namedtuple("P", "x y")
        C = D.default_collate
        for batch in ([1, 2], [1.5, 2], [True, False], ["a", "b"], [b"a"], [torch.ones(2), torch.zeros(2)],
                      [np.zeros(2), np.ones(2)], [np.float32(1), np.float32(2)], [np.int64(1)], [np.bool_(True)],
                      [(1, "a"), (2, "b")], [[1, 2.0], [3, 4.0]], [{"a": 1}, {"a": 2}], [P(1, 2), P(3, 4)],
                      [OrderedDict(a=1), OrderedDict(a=2)], [defaultdict(int, a=1)], [UserList([1]), UserList([3])],
                      [range(2), range(2)], [{"x": [torch.ones(1), {"y": 3}]}] * 2, [[], []], [np.zeros((1, 0))]):
            result = C(batch)
            print(type(result).__name__, result)
        attempt(C, [[1], [1, 2]])
        attempt(C, [object])
        attempt(C, [None])
        for arrays in ([np.ones(2), np.ones(2, np.float32)], [np.ones(2), np.ones(3)], [np.array(1.0), np.array(2.0)],
                       [np.arange(3.0)[::-1]] * 2, [np.arange(6.0)[::2]] * 2, [np.ones(2, ">f8")] * 2,
                       [np.ones(2, bool)] * 2, [np.ones(2).view(np.memmap)] * 2, [np.ones(2), torch.ones(2)]):
            attempt(C, arrays)
        attempt(C, [np.array(["a"])])
        attempt(C, [np.array([None])])
        V = D.default_convert
        for value in (1, 2.5, "a", np.arange(2), np.float32(3), np.array("a"), np.str_("b"),
                      [np.arange(2), 1], (1, np.arange(1)), P(np.arange(1), "s"), {"a": np.zeros(1)}, range(2), None,
                      torch.ones(1), UserList([np.arange(1)]), UserDict(a=np.arange(1))):
            print(type(V(value)).__name__, V(value))
        m = D._utils.collate.default_collate_fn_map
        print(D._utils.collate.collate([object(), object()], collate_fn_map={object: lambda b, collate_fn_map: len(b)}))
        print(D.dataloader.default_collate is C)
    """,
    "loaders": """
        for options in ({}, dict(batch_size=2), dict(batch_size=2, drop_last=True), dict(batch_size=None),
                        dict(sampler=[3, 1]), dict(batch_sampler=[[0, 1], [4]]), dict(batch_size=3, collate_fn=sum),
                        dict(batch_size=None, sampler=[2]), dict(batch_size=None, sampler=[[0, 1]], collate_fn=str)):
            if "sampler" in options and isinstance(options["sampler"][0], list):
                loader = D.DataLoader(torch.arange(5), **options)
            else:
                loader = D.DataLoader(Plain(5), **options)
            print(len(loader), list(loader), loader.batch_size, loader.drop_last, type(loader.sampler).__name__,
                  type(loader.batch_sampler).__name__, loader.prefetch_factor, loader.collate_fn.__name__)
        print(list(D.DataLoader(Together(4), batch_size=3)), list(D.DataLoader([1.5, 2.5], 2)))
        x = D.DataLoader(D.TensorDataset(torch.arange(6.0).reshape(3, 2), torch.arange(3)), batch_size=2)
        print(list(x), len(x), list(x) is None)
        it = iter(x)
        print(it is iter(it), len(it), next(it))
        print(list(D.DataLoader(Plain(2), pin_memory=True)), D.get_worker_info())
    """,
    "streams": """
        for options in ({}, dict(batch_size=2), dict(batch_size=2, drop_last=True), dict(batch_size=None)):
            loader = D.DataLoader(Stream(5), **options)
            print(list(loader), len(loader), list(loader), type(loader.sampler).__name__)
        class Endless(D.IterableDataset):
            def __iter__(self): return iter(range(3))
        attempt(len, D.DataLoader(Endless()))
        attempt(D.DataLoader, Stream(2), shuffle=True)
        attempt(D.DataLoader, Stream(2), sampler=[0])
        attempt(D.DataLoader, Stream(2), batch_sampler=[[0]])
        import warnings
        loader = D.DataLoader(Stream(5, 3), batch_size=None)
        len(loader)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            list(loader)
        print([str(w.message).partition("Stream object at ")[2].partition(">")[2] for w in caught])
    """,
    "refusals": """
        L = D.DataLoader
        for options in (dict(num_workers=-1), dict(timeout=-1), dict(prefetch_factor=2), dict(persistent_workers=True),
                        dict(num_workers=1, prefetch_factor=-1), dict(sampler=[0], shuffle=True), dict(batch_size=0),
                        dict(batch_sampler=[[0]], batch_size=2), dict(batch_sampler=[[0]], shuffle=True),
                        dict(batch_sampler=[[0]], sampler=[0]), dict(batch_sampler=[[0]], drop_last=True),
                        dict(batch_size=None, drop_last=True), dict(batch_size=2.5), dict(drop_last=1),
                        dict(multiprocessing_context="fork"), dict(num_workers=1, multiprocessing_context="thread"),
                        dict(num_workers=1, multiprocessing_context=3)):
            attempt(lambda: L(Plain(3), **options) and "taken")
        attempt(L, [], shuffle=True)
        print(list(L([])))
        loader = L(Plain(3))
        for name in ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"):
            attempt(setattr, loader, name, 1)
        loader.collate_fn = lambda batch: "own"
        print(list(loader))
        class Mine(L): pass
        attempt(setattr, Mine(Plain(1)), "dataset", 1)
        attempt(iter, L(Plain(3), timeout=1))
        attempt(iter(loader).__getstate__)
        class Wrong(Plain):
            def __getitem__(self, i): raise KeyError("missing")
        attempt(list, L(Wrong(2)))
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_in_pytorch(name: str) -> None:
    assert_same(PROGRAMS[name], _GIVEN)


def test_which_numbers_are_drawn_when_is_as_in_pytorch() -> None:
    # How many draws a generator has made shows by what it draws next.
    assert_same(
        """
        def drawn(generator, begin):
            g = torch.default_generator if generator is None else generator
            g.manual_seed(3)
            begin()
            after = g.get_state()
            g.manual_seed(3)
            for count in range(4):
                if torch.equal(g.get_state(), after):
                    return count
                torch.empty((), dtype=torch.int64).random_(generator=g)
        g = torch.Generator()
        loader = lambda **o: D.DataLoader(range(5), **o)
        print([drawn(None, lambda: iter(loader(**o))) for o in ({}, dict(shuffle=True), dict(generator=g))])
        print([drawn(g, lambda: iter(loader(generator=g, **o))) for o in ({}, dict(shuffle=True))])
        print([drawn(None, lambda: list(loader(**o))) for o in ({}, dict(shuffle=True))])
        print([drawn(None, lambda: list(loader(generator=g, **o))) for o in ({}, dict(shuffle=True))])
        print([drawn(g, lambda: list(loader(generator=g))), drawn(None, lambda: list(D.RandomSampler(range(9))))])
        print(drawn(None, lambda: list(D.RandomSampler(range(9), True, 40))))
        """,
        _GIVEN,
    )


@pytest.mark.parametrize("backend", retrograd.backends.available())
def test_a_seed_gives_one_order_on_each_backend(backend: str) -> None:
    def orders() -> list[list[int]]:
        retrograd.manual_seed(5)
        g = retrograd.Generator().manual_seed(7)
        return [
            list(RandomSampler(range(20))),
            list(RandomSampler(range(20), generator=g)),
            [int(x) for x in DataLoader(range(20), shuffle=True)],
            [i for part in random_split(range(20), [0.5, 0.5]) for i in part],
            list(data.WeightedRandomSampler([1.0, 2.0, 3.0], 20)),
        ]

    expected = orders()
    assert expected == orders()
    with retrograd.use_backend(backend):
        assert orders() == expected
    assert len({str(each) for each in expected}) == len(expected)


@pytest.mark.parametrize("backend", retrograd.backends.available())
def test_batches_are_of_the_current_backend(backend: str) -> None:
    with retrograd.use_backend(backend):
        dataset = data.TensorDataset(retrograd.arange(3.0), retrograd.arange(3))
        for x, y in DataLoader(dataset, batch_size=2):
            assert x.device.backend == y.device.backend == backend
        (numbers,) = DataLoader([1, 2], batch_size=2)
        assert numbers.device.backend == backend


def test_it_is_imported_when_first_used() -> None:
    program = (
        "import sys, retrograd\nassert 'retrograd.utils.data' not in sys.modules\n"
        "print(retrograd.utils.data.DataLoader.__name__)\n"
        "import retrograd.utils.data\nfrom retrograd.utils.data.distributed import DistributedSampler"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "DataLoader\n"


def test_rows_of_tensors_are_taken_at_once_where_nobody_can_tell(backend: str) -> None:
    rows = retrograd.arange(40.0).reshape(10, 4)
    numbers = retrograd.arange(10)

    class Told(TensorDataset):
        """The same, one by one."""

    for batch_size, drop_last in ((3, False), (3, True), (10, False)):
        ours, theirs = (
            [
                *DataLoader(kind(rows, numbers), batch_size, drop_last=drop_last),
                *DataLoader(Subset(Subset(kind(rows, numbers), [5, 3, -1, 2]), [2, 0, 1]), 2),
            ]
            for kind in (TensorDataset, Told)
        )
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert type(one) is type(other) is list
            for found, expected in zip(one, other, strict=True):
                assert found.dtype == expected.dtype
                assert found.device == expected.device
                assert found.tolist() == expected.tolist()
                found.zero_()  # it is nobody else's memory
    assert rows.sum() == 780
