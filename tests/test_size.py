"""What `Size` takes and is."""

from __future__ import annotations

from programs import assert_same


def test_sizes_are_whole_numbers() -> None:
    assert_same("""
    for given in (2, torch.tensor(3)), [torch.tensor([3])], (True,), torch.tensor([2, 3]), range(2):
        size = torch.Size(given)
        print(size, [type(each).__name__ for each in size])
    for given in [1.5], ["a"], (torch.tensor(2.0),), [None], (torch.tensor([1, 2]),), 3:
        attempt(torch.Size, given)
    print(torch.Size(), torch.zeros(torch.Size((2, torch.tensor(1)))))
    """)


def test_what_is_made_of_sizes_is_one() -> None:
    assert_same("""
    import copy, pickle
    size = torch.Size([2, 3])
    for made in size + (4,), (4,) + size, size * 2, size[:1], copy.deepcopy(size), pickle.loads(pickle.dumps(size)):
        print(made, type(made).__name__)
    print(size.numel(), size == (2, 3), hash(size) == hash((2, 3)), torch.ones(2, 3).shape, torch.ones(2, 3).size(0))
    """)
