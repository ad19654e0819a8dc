"""Masks of attention as blocks: which blocks of the scores are computed in part, as a whole, or not at all."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from retrograd.dtypes import bool_, float32, int8, int32
from retrograd.func import vmap
from retrograd.nn.functional import pad
from retrograd.ops.factories import arange, zeros
from retrograd.ops.selection import argsort
from retrograd.tensor import Tensor

__all__ = ["BlockMask", "and_masks", "create_block_mask", "create_mask", "noop_mask", "or_masks"]

MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

BLOCK = 128
"""The size of a block along either dimension, if nobody says otherwise."""


def over_all(function: Callable[..., Any], scores: bool) -> Callable[..., Any]:
    """A function of a score (if `scores`), a batch, a head and two places, of all there are."""
    for axis in (3, 2, 1, 0):
        dims = tuple(0 if i == axis else None for i in range(4))
        function = vmap(function, in_dims=(0, *dims) if scores else dims)
    return function


def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """The mask that admits everything."""
    made: Tensor = batch.new_ones((), dtype=bool_)
    return made


def or_masks(*mask_mods: MaskMod) -> MaskMod:
    """The mask that admits what one of the masks does."""
    _check_callable(mask_mods)

    def or_mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        result: Any = b.new_zeros((), dtype=bool_)
        for mask in mask_mods:
            result = result | mask(b, h, q_idx, kv_idx)
        return result

    return or_mask


def and_masks(*mask_mods: MaskMod) -> MaskMod:
    """The mask that admits what all of the masks do."""
    _check_callable(mask_mods)

    def and_mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        result: Any = b.new_ones((), dtype=bool_)
        for mask in mask_mods:
            result = result & mask(b, h, q_idx, kv_idx)
        return result

    return and_mask


def _check_callable(mask_mods: tuple[Any, ...]) -> None:
    if not all(map(callable, mask_mods)):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")


def create_mask(mod_fn: MaskMod, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None) -> Tensor:
    """A mask as a tensor of bools of shape (B, H, Q_LEN, KV_LEN); None stands for 1.

    Parameters
    ----------
    mod_fn
        A function of batch, head and both places that tells whether a score counts.

    Examples
    --------
    >>> from retrograd.nn.attention.flex_attention import create_mask
    >>> create_mask(lambda b, h, q, kv: q >= kv, None, None, 2, 3)
    tensor([[[[ True, False, False],
              [ True,  True, False]]]])
    """
    places = [arange(n or 1, device=device) for n in (B, H, Q_LEN, KV_LEN)]
    made: Tensor = over_all(mod_fn, scores=False)(*places)
    return made


def create_block_mask(
    mask_mod: MaskMod,
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = None,
    BLOCK_SIZE: int | tuple[int, int] = BLOCK,
    _compile: bool = False,
) -> BlockMask:
    """The blocks of a mask; see `create_mask`.

    Source: https://docs.pytorch.org/docs/stable/nn.attention.flex_attention.html

    Examples
    --------
    >>> from retrograd.nn.attention.flex_attention import create_block_mask
    >>> mask = create_block_mask(lambda b, h, q, kv: q >= kv, 1, 1, 256, 256, BLOCK_SIZE=64)
    >>> mask.sparsity()
    37.5
    """
    sizes = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else BLOCK_SIZE
    mask = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)
    mask = pad(mask.to(int8), (0, -KV_LEN % sizes[1], 0, -Q_LEN % sizes[0]))
    batch, heads, rows, columns = mask.shape
    parts = mask.view(batch, heads, rows // sizes[0], sizes[0], columns // sizes[1], sizes[1]).permute(0, 1, 2, 4, 3, 5)
    count = parts.sum([-2, -1])
    whole = count == sizes[0] * sizes[1]
    partial = (count > 0) & ~whole
    blocks = (*_in_order(partial), *_in_order(whole))
    return BlockMask.from_kv_blocks(*blocks, BLOCK_SIZE=sizes, mask_mod=mask_mod, seq_lengths=(Q_LEN, KV_LEN))


def _in_order(dense: Tensor) -> tuple[Tensor, Tensor]:
    """How many blocks of each row count, and the numbers of all: those that count first."""
    dense = dense.to(int32)
    return dense.sum(-1).to(int32), argsort(dense, dim=-1, descending=True, stable=True).to(int32)


def _as_dense(count: Tensor, indices: Tensor) -> Tensor:
    """The reverse of `_in_order`."""
    counts = arange(indices.shape[-1], device=indices.device) < count.unsqueeze(-1)
    made: Tensor = zeros(indices.shape, dtype=int32, device=indices.device)
    return made.scatter(-1, indices.long(), counts.to(int32))


def _transposed(count: Tensor | None, indices: Tensor | None) -> tuple[Any, Any]:
    if count is None or indices is None:
        return None, None
    return _in_order(_as_dense(count, indices).transpose(-2, -1))


def refuse_sliced(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """The function of a mask of which a part was taken: places are no longer what they were."""
    raise RuntimeError(
        "Cannot use mask_mod from a sliced BlockMask. When you slice a BlockMask using [], the mask_mod attribute is "
        "reset. You must set it from the original BlockMask's mask_mod."
    )


@dataclass(repr=False, eq=False)
class BlockMask:
    """Which blocks of the scores of attention count.

    Attributes
    ----------
    seq_lengths
        How many queries and keys there are.
    kv_num_blocks, kv_indices
        How many blocks of each row of blocks count in part, and which: these stand first. Shapes (batch, heads, rows)
        and (batch, heads, rows, columns).
    full_kv_num_blocks, full_kv_indices
        The same of blocks that count as a whole.
    q_num_blocks, q_indices, full_q_num_blocks, full_q_indices
        The same, column by column.
    BLOCK_SIZE
        The sizes of a block.
    mask_mod
        Tells of each score whether it counts.

    Source: https://docs.pytorch.org/docs/stable/nn.attention.flex_attention.html
    """

    seq_lengths: tuple[int, int]
    kv_num_blocks: Tensor
    kv_indices: Tensor
    full_kv_num_blocks: Tensor | None
    full_kv_indices: Tensor | None
    q_num_blocks: Tensor | None
    q_indices: Tensor | None
    full_q_num_blocks: Tensor | None
    full_q_indices: Tensor | None
    BLOCK_SIZE: tuple[int, int]
    mask_mod: MaskMod

    @classmethod
    def from_kv_blocks(
        cls,
        kv_num_blocks: Tensor,
        kv_indices: Tensor,
        full_kv_num_blocks: Tensor | None = None,
        full_kv_indices: Tensor | None = None,
        BLOCK_SIZE: int | tuple[int, int] = BLOCK,
        mask_mod: MaskMod | None = None,
        seq_lengths: tuple[int, int] | None = None,
        compute_q_blocks: bool = True,
    ) -> BlockMask:
        """A mask of the blocks of its rows; those of its columns follow.

        Raises
        ------
        RuntimeError
            If `kv_indices` has fewer than two dimensions.
        AssertionError
            If only one of the arguments for whole blocks is given.
        """
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        if (full_kv_num_blocks is None) != (full_kv_indices is None):
            raise AssertionError("full_kv_num_blocks and full_kv_indices must be both provided or omitted")
        sizes = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else BLOCK_SIZE
        by_column: tuple[Any, ...] = (None,) * 4
        if compute_q_blocks:
            by_column = (*_transposed(kv_num_blocks, kv_indices), *_transposed(full_kv_num_blocks, full_kv_indices))
        if seq_lengths is None:
            seq_lengths = kv_indices.shape[-2] * sizes[0], kv_indices.shape[-1] * sizes[1]
        by_row = kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices
        fields: tuple[Any, ...] = (seq_lengths, *by_row, *by_column, sizes, mask_mod or noop_mask)
        return cls(*fields)

    @property
    def shape(self) -> tuple[int, ...]:
        """Batch, heads, and how many queries and keys there are."""
        return (*self.kv_indices.shape[:-2], *self.seq_lengths)

    def numel(self) -> int:
        """How many scores there are."""
        return prod(self.shape)

    def sparsity(self) -> float:
        """How many percent of them are in blocks that do not count."""
        blocks = self.kv_num_blocks.sum()
        if self.full_kv_num_blocks is not None:
            blocks = blocks + self.full_kv_num_blocks.sum()
        computed: float = blocks.item() * self.BLOCK_SIZE[0] * self.BLOCK_SIZE[1]
        return 100 * (1 - computed / self.numel())

    def to_dense(self) -> Tensor:
        """1 for each block that counts, in part or as a whole, 0 for the others."""
        found = _as_dense(self.kv_num_blocks, self.kv_indices)
        if self.full_kv_num_blocks is not None and self.full_kv_indices is not None:
            found = found | _as_dense(self.full_kv_num_blocks, self.full_kv_indices)
        return found

    def __getitem__(self, index: Any) -> BlockMask:
        """The mask of some batches, heads and rows of blocks; a single one stays a dimension."""
        given = index if isinstance(index, tuple) else (index,)
        key = []
        for each, n in zip((*given, *[slice(None)] * 3), self.kv_num_blocks.shape, strict=False):
            at = each % n if isinstance(each, int) and -n <= each < n else each
            key.append(slice(at, at + 1) if isinstance(at, int) else at)
        parts = (self.kv_num_blocks, self.kv_indices, self.full_kv_num_blocks, self.full_kv_indices)
        chosen: list[Any] = [None if each is None else each[tuple(key)] for each in parts]
        chosen += [self.BLOCK_SIZE, refuse_sliced, self.seq_lengths, self.q_indices is not None]
        return BlockMask.from_kv_blocks(*chosen)

    def to(self, device: Any) -> BlockMask:
        """The mask on a device."""
        moved = {name: each.to(device) for name, each in vars(self).items() if isinstance(each, Tensor)}
        return BlockMask(**{**vars(self), **moved})

    def to_string(self, grid_size: int | tuple[int, int] = (20, 20), limit: int = 4) -> str:
        """A picture of the first `limit` of batches and heads, each in at most so many rows and columns."""
        dense = self.to_dense()
        rows, columns = (grid_size, grid_size) if isinstance(grid_size, int) else grid_size
        *lead, height, width = dense.shape
        steps = max(1, -(-height // rows)), max(1, -(-width // columns))
        found = []
        for i, place in enumerate(itertools.product(*map(range, lead))):
            if i == limit:
                found += [
                    "...",
                    "To print out more, set BlockMask.to_string(limit=N)",
                    "You can also index (BlockMask[batch, head]) to choose a specific batch or head",
                ]
                break
            found.append(f"{place}\n{_picture(dense[place], steps)}")
        return "\n".join(found)

    def __str__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%, \n{self.to_string().strip()}\n)"

    def __repr__(self) -> str:
        names = (
            "kv_num_blocks kv_indices full_kv_num_blocks full_kv_indices q_num_blocks q_indices full_q_num_blocks "
            "full_q_indices"
        ).split()
        lines = [f"{name}={getattr(getattr(self, name), 'shape', None)}" for name in names]
        lines += [f"BLOCK_SIZE={self.BLOCK_SIZE}", f"shape={self.shape}", f"sparsity={self.sparsity():.2f}%"]
        lines.append(f"mask_mod={getattr(self.mask_mod, '__name__', self.mask_mod)}")
        return "BlockMask(\n    " + ",\n    ".join(lines) + "\n)"


def _picture(dense: Tensor, steps: tuple[int, int]) -> str:
    lines = []
    for r in range(0, dense.shape[0], steps[0]):
        shares = (
            dense[r : r + steps[0], c : c + steps[1]].to(float32).mean().item()
            for c in range(0, dense.shape[1], steps[1])
        )
        lines.append("".join(2 * ("█" if share == 1 else " " if share == 0 else "░") for share in shares))
    return "".join(f"{line}\n" for line in lines)
