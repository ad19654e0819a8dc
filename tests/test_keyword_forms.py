"""Arguments by the names that PyTorch gives them, where they usually come by position."""

from __future__ import annotations

from programs import assert_same

_GIVEN = "x = torch.arange(6.0).reshape(2, 3)\n"


def test_sizes_and_dimensions_by_keyword() -> None:
    assert_same(
        """
    print(torch.flip(x, dims=(0,)), x.flip(dims=(0, 1)), torch.tile(x, dims=(1, 2)), x.repeat(repeats=(1, 2)))
    print(x.expand(size=(2, 2, 3)).shape, x.new_zeros(size=(2,)), x.new_ones(size=(2,)), x.new_empty(size=(2,)).shape)
    print(torch.swapaxes(x, axis0=0, axis1=1).shape, torch.swapdims(x, dim0=0, dim1=1).shape)
    """,
        _GIVEN,
    )


def test_pieces_by_keyword() -> None:
    assert_same(
        """
    print(x.split(split_size=1), torch.split(x, split_size_or_sections=[1, 1]), x.split_with_sizes(split_sizes=[2]))
    print(torch.tensor_split(x, sections=2), torch.tensor_split(x, indices=(1,)), x.tensor_split(torch.tensor(2)))
    print(torch.scatter(x, 0, torch.tensor([[0, 1, 0]]), value=2.0))
    """,
        _GIVEN,
    )


def test_repeat_interleave() -> None:
    assert_same(
        """
    counts = torch.tensor([1, 2])
    print(torch.repeat_interleave(counts), torch.repeat_interleave(counts, output_size=3))
    print(x.repeat_interleave(counts, dim=0, output_size=3), x.repeat_interleave(torch.tensor(2), 0))
    attempt(x.repeat_interleave, torch.tensor([2.0]))
    attempt(x.repeat_interleave, -1)
    attempt(x.repeat_interleave, torch.tensor([2, -1]), 0)
    attempt(lambda: x.repeat_interleave(2, output_size=3))
    """,
        _GIVEN,
    )
