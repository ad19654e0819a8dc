"""Sequences of unequal length in one tensor: padded to the longest, or packed step by step without padding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from retrograd import dtypes
from retrograd.ops.arrange import cat, stack
from retrograd.ops.creation import tensor
from retrograd.ops.factories import arange, empty, full
from retrograd.tensor import Tensor

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence",
    "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """Sequences, the longest first: all first elements, then all second elements, and so on.

    Made by `pack_padded_sequence` and `pack_sequence`, and taken by the recurrent layers.

    Parameters
    ----------
    data
        The elements of all sequences.
    batch_sizes
        How many sequences have a first element, a second, and so on.
    sorted_indices, unsorted_indices
        The order of the sequences by length, and its inverse; None if they are in the order given.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.PackedSequence.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.nn.utils.rnn import pack_sequence
    >>> pack_sequence([retrograd.tensor([1, 2, 3]), retrograd.tensor([4, 5])])
    PackedSequence(data=tensor([1, 4, 2, 5, 3]), batch_sizes=tensor([2, 2, 1]), sorted_indices=None, unsorted_indices=None)
    """  # noqa: E501 - what is printed is one line

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, list | tuple) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """The same with data of another type or on another device; see `Tensor.to`."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        orders = (self.sorted_indices, self.unsorted_indices)
        moved = (None if each is None else each.to(data.device) for each in orders)
        return type(self)(data, self.batch_sizes, *moved)

    def cpu(self) -> Self:
        """The same with data on the host."""
        return self.to(self.data.cpu().device)

    def double(self) -> Self:
        """The same with data as float64."""
        return self.to(dtype=dtypes.float64)

    def float(self) -> Self:
        """The same with data as float32."""
        return self.to(dtype=dtypes.float32)

    def half(self) -> Self:
        """The same with data as float16."""
        return self.to(dtype=dtypes.float16)

    def long(self) -> Self:
        """The same with data as int64."""
        return self.to(dtype=dtypes.int64)

    def int(self) -> Self:
        """The same with data as int32."""
        return self.to(dtype=dtypes.int32)

    def short(self) -> Self:
        """The same with data as int16."""
        return self.to(dtype=dtypes.int16)

    def char(self) -> Self:
        """The same with data as int8."""
        return self.to(dtype=dtypes.int8)

    def byte(self) -> Self:
        """The same with data as uint8."""
        return self.to(dtype=dtypes.uint8)

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a GPU of Nvidia's."""
        return bool(self.data.is_cuda)


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another; None of None.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.utils.rnn.invert_permutation(retrograd.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    return None if permutation is None else permutation.argsort()


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    r"""Pack sequences that were padded to one length.

    Parameters
    ----------
    input
        Shaped (longest, N, \*).
    lengths
        The length of each sequence.
    batch_first
        Whether `input` is (N, longest, \*).
    enforce_sorted
        Whether the sequences must come in the order of their lengths, the longest first; else they are sorted.

    Raises
    ------
    RuntimeError
        If there is nothing to pack, or a length is missing, not positive or out of order.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_padded_sequence.html

    Examples
    --------
    >>> import retrograd
    >>> padded = retrograd.tensor([[1, 4], [2, 5], [3, 0]])
    >>> retrograd.nn.utils.rnn.pack_padded_sequence(padded, [3, 2]).data
    tensor([1, 4, 2, 5, 3])
    """
    lengths = lengths.to(dtypes.int64) if isinstance(lengths, Tensor) else tensor(lengths, dtype=dtypes.int64)
    if lengths.ndim != 1:
        raise RuntimeError(
            f"'lengths' argument should be a 1D CPU int64 tensor, but got {lengths.ndim}D cpu Long tensor"
        )
    steps = input.transpose(0, 1) if batch_first else input
    counts: list[int] = lengths.tolist()
    order = None
    if not enforce_sorted:
        places = sorted(range(len(counts)), key=lambda place: -counts[place])
        order = tensor(places, dtype=dtypes.int64, device=input.device)
        counts = [counts[place] for place in places]
        steps = steps.index_select(1, order)
    _check_lengths(steps, counts)
    sizes = [sum(count > step for count in counts) for step in range(counts[0])]
    batch = steps.shape[1]
    rows = [step * batch + place for step, size in enumerate(sizes[: len(steps)]) for place in range(size)]
    data = steps.flatten(0, 1).index_select(0, tensor(rows, device=input.device))
    # How long the sequences are is asked, also where tensors have no elements.
    return PackedSequence(data, tensor(sizes, device="cpu" if input.is_meta else input.device), order)


def _check_lengths(steps: Tensor, lengths: list[int]) -> None:
    if not steps.numel():
        raise RuntimeError("Cannot pack empty tensors.")
    batch = steps.shape[1]
    if len(lengths) != batch:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(lengths)} (batch_size={batch})"
        )
    if lengths[-1] <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if lengths != sorted(lengths, reverse=True):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you "
            "do not need ONNX exportability."
        )


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    r"""Pad packed sequences to one length: the inverse of `pack_padded_sequence`.

    Parameters
    ----------
    batch_first
        Whether the result is (N, longest, \*) and not (longest, N, \*).
    padding_value
        What stands after the end of each sequence.
    total_length
        The length to pad to; that of the longest by default.

    Returns
    -------
    The sequences, in their original order, and their lengths.

    Raises
    ------
    ValueError
        If a sequence is longer than `total_length`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pad_packed_sequence.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.nn.utils.rnn import pack_sequence, pad_packed_sequence
    >>> packed = pack_sequence([retrograd.tensor([1, 2, 3]), retrograd.tensor([4, 5])])
    >>> pad_packed_sequence(packed, batch_first=True)
    (tensor([[1, 2, 3],
            [4, 5, 0]]), tensor([3, 2]))
    """
    longest = sequence.batch_sizes.size(0)
    if total_length is not None and total_length < longest:
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but got "
            f"total_length={total_length} and max sequence length being {longest}"
        )
    data = sequence.data
    sizes: list[int] = sequence.batch_sizes.tolist()
    steps = longest if total_length is None else total_length
    # Whatever is padding is read from one more row, behind the last.
    rows = [[data.shape[0]] * sizes[0] for _ in range(steps)]
    start = 0
    for row, size in zip(rows, sizes, strict=False):
        row[:size] = range(start, start + size)
        start += size
    lengths = tensor([sum(size > place for size in sizes) for place in range(sizes[0])])
    filled = cat([data, full((1, *data.shape[1:]), padding_value, dtype=data.dtype, device=data.device)])
    places = tensor(rows, dtype=dtypes.int64, device=data.device)
    if sequence.unsorted_indices is not None:
        places = places.index_select(1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices.to(lengths.device)]
    return filled[places.t() if batch_first else places], lengths


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    r"""Stack sequences, each padded to the length of the longest.

    Parameters
    ----------
    sequences
        Tensors (length, \*).
    batch_first
        Whether the result is (N, longest, \*) and not (longest, N, \*).
    padding_value
        What is put at the end of each sequence.
    padding_side
        `"right"`, or `"left"` for its beginning.

    Raises
    ------
    RuntimeError
        If there is no sequence, or their other dimensions differ.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pad_sequence.html

    Examples
    --------
    >>> import retrograd
    >>> sequences = [retrograd.tensor([1, 2, 3]), retrograd.tensor([4, 5])]
    >>> retrograd.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    tensor([[1, 2, 3],
            [4, 5, 0]])
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    given = tuple(sequences)
    if not given:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    longest = max(len(each) for each in given)
    options = {"dtype": given[0].dtype, "device": given[0].device}
    padded = []
    for each in given:
        shape = (len(each), *given[0].shape[1:])
        if each.shape != shape or each.dtype != given[0].dtype:
            each = empty(shape, **options).copy_(each)
        padding = full((longest - len(each), *shape[1:]), padding_value, **options)
        padded.append(cat([each, padding] if padding_side == "right" else [padding, each]))
    return stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """Each of the sequences that `pad_sequence` has put into one tensor.

    Without `batch_first`, `padded_sequences` itself is transposed, as by PyTorch.

    Raises
    ------
    ValueError
        If there are not as many lengths as sequences.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.unpad_sequence.html

    Examples
    --------
    >>> import retrograd
    >>> padded = retrograd.tensor([[1, 4], [2, 5], [3, 0]])
    >>> retrograd.nn.utils.rnn.unpad_sequence(padded, retrograd.tensor([3, 2]))
    [tensor([1, 2, 3]), tensor([4, 5])]
    """
    if not batch_first:
        padded_sequences.transpose_(0, 1)
    places = arange(padded_sequences.shape[1], device=lengths.device)
    return [each[places < length] for each, length in zip(padded_sequences, lengths, strict=True)]


def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences; see `pack_padded_sequence`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_sequence.html

    Examples
    --------
    >>> import retrograd
    >>> sequences = [retrograd.tensor([4, 5]), retrograd.tensor([1, 2, 3])]
    >>> retrograd.nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False).data
    tensor([1, 4, 2, 5, 3])
    """
    lengths = [each.size(0) for each in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences that `pack_sequence` has packed.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.unpack_sequence.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.nn.utils.rnn import pack_sequence, unpack_sequence
    >>> unpack_sequence(pack_sequence([retrograd.tensor([1, 2, 3]), retrograd.tensor([4, 5])]))
    [tensor([1, 2, 3]), tensor([4, 5])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
