"""Pieces of tensors reduced, and side by side; and rarer functions of PyTorch's namespace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


def test_segments() -> None:
    assert_same("""
    d, lengths = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), torch.tensor([2, 0, 4])
    for reduce in ("sum", "mean", "max", "min", "prod"):
        print(torch.segment_reduce(d, reduce, lengths=lengths))
        print(torch.segment_reduce(d, reduce, lengths=lengths, initial=2.5))
        print(torch.segment_reduce(d.reshape(3, 2), reduce, lengths=torch.tensor([2, 1])))
        print(torch.segment_reduce(d.reshape(2, 3), reduce, lengths=torch.tensor([[2, 1], [1, 2]]), axis=1))
        print(torch.segment_reduce(d, reduce, offsets=torch.tensor([0, 2, 6])))
    x = torch.tensor([1.0, 1.0, 2.0, 3.0], requires_grad=True)
    for reduce in ("max", "prod"):
        print(torch.autograd.grad(torch.segment_reduce(x, reduce, lengths=torch.tensor([2, 2])).sum(), x))
    attempt(torch.segment_reduce, d, "sum", lengths=torch.tensor([2, 0]))
    attempt(torch.segment_reduce, d, "sum", lengths=torch.tensor([2, 0]), unsafe=True)
    attempt(torch.segment_reduce, d, "sum", lengths=torch.tensor([2, -1, 5]))
    attempt(torch.segment_reduce, d, "sum")
    attempt(torch.segment_reduce, d, "foo", lengths=lengths)
    attempt(torch.segment_reduce, d.long(), "sum", lengths=lengths)
    attempt(torch.segment_reduce, d, "sum", lengths=lengths, axis=1)
    attempt(torch.segment_reduce, d, "sum", lengths=torch.tensor([6.0]))
    """)


def test_chunks_side_by_side() -> None:
    assert_same("""
    for dim, count in ((0, 2), (1, 2), (1, 3)):
        print(torch._chunk_cat([torch.ones(4, 3), torch.arange(8.0).reshape(4, 2)], dim, count))
    print(torch._chunk_cat([torch.ones(3, 3, 2), torch.arange(6.0).reshape(3, 2)], 0, 2))
    d = torch.ones(6)
    attempt(torch._chunk_cat, [], 0, 2)
    attempt(torch._chunk_cat, [d], 0, 0)
    attempt(torch._chunk_cat, [d], 1, 2)
    attempt(torch._chunk_cat, [d, d.double()], 0, 2)
    """)


def test_rare_functions() -> None:
    assert_same("""
    print(torch.conv_tbc(torch.ones(3, 2, 2), torch.ones(2, 2, 1), torch.ones(1)))
    print(torch.conj_physical_(torch.tensor([1 + 2j])))
    print(torch.affine_grid_generator(torch.ones(1, 2, 3), (1, 1, 2, 2), False))
    for name in ("grid_sampler", "grid_sampler_2d"):
        print(getattr(torch, name)(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), 0, 0, False))
    print(torch.grid_sampler_3d(torch.ones(1, 1, 2, 2, 2), torch.zeros(1, 1, 1, 2, 3), 0, 0, False))
    print(torch.rrelu_(torch.tensor([-1.0, 1.0]), 0.5, 0.5))
    w = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    print(torch.embedding_renorm_(w, torch.tensor([0, 1]), 1.0, 2.0), w)
    for size, stride in (((5,), (4,)), ((3, 2, 2), (1, 2, 3)), ((2, 3), (0, 1)), ((2, 2), (1, 1)), ((2,), (0,))):
        x = torch.empty_strided(size, stride)
        print(tuple(x.shape), x.stride(), x._base is None, x.storage_offset(), x.is_contiguous())
    print(torch.empty_strided((3, 2, 2), (1, 2, 3)).fill_(2.0).sum())
    attempt(torch.empty_strided((2,), (0,)).add_, 1.0)
    print(torch.ones(2).new_empty_strided((3,), (2,)).stride())
    """)


def test_segments_are_one_node() -> None:
    assert_same("""
    x = torch.tensor([1.0, 1.0, 2.0, 3.0], requires_grad=True)
    lengths, offsets = torch.tensor([1, 3]), torch.tensor([0, 1, 4])
    for reduce in ("sum", "mean", "max", "prod"):
        for options in ({"lengths": lengths, "initial": 1.0}, {"offsets": offsets}):
            made = torch.segment_reduce(x, reduce, **options)
            node = made.grad_fn
            print(node.name(), len(node.next_functions), [name for name in dir(node) if name.startswith("_saved")])
            print(node._saved_reduce, node._saved_initial, node._saved_lengths, node._saved_offsets, node._saved_result)
            print(torch.autograd.grad(made.sum(), x))
    """)
