"""Attention whose scores a function changes, and masks as blocks: as PyTorch's, and differentiable."""

from __future__ import annotations

import math

import numpy as np
import pytest
from programs import assert_same

import retrograd
from retrograd.nn.attention.flex_attention import AuxRequest, BlockMask, create_block_mask, flex_attention

GIVEN = """
from importlib import import_module
A = import_module(torch.__name__ + ".nn.attention.flex_attention")

def causal(b, h, q, kv):
    return q >= kv

def near(b, h, q, kv):
    return q - kv <= 5

def filled(*shape):
    n = math.prod(shape)
    return (torch.arange(n, dtype=torch.float32) * 0.37).sin().reshape(shape)
"""


def test_masks_are_cut_into_blocks() -> None:
    assert_same(
        """
        for mask in (
            A.create_block_mask(causal, 1, 1, 256, 300, device="cpu", BLOCK_SIZE=64),
            A.create_block_mask(A.and_masks(causal, near), 2, None, 100, 90, device="cpu", BLOCK_SIZE=(32, 16)),
            A.create_block_mask(A.or_masks(causal, near), None, 6, 40, 40, device="cpu", BLOCK_SIZE=8),
            A.BlockMask.from_kv_blocks(torch.tensor([[[1, 2]]], dtype=torch.int32),
                                       torch.tensor([[[[0, 1], [0, 1]]]], dtype=torch.int32), BLOCK_SIZE=16),
        ):
            print(mask.shape, mask.numel(), round(mask.sparsity(), 4), mask.BLOCK_SIZE, mask.seq_lengths)
            for name in ("kv", "full_kv", "q", "full_q"):
                print(getattr(mask, f"{name}_num_blocks"), getattr(mask, f"{name}_indices"))
            print(mask.to_dense(), mask.to_string(3, limit=2), mask, repr(mask), sep=chr(10))
            part = mask[0, -1:]
            print(part.shape, part.kv_num_blocks, mask[:, 0, 1:].kv_indices.shape)
        print(A.create_mask(causal, None, 2, 3, 4, device="cpu"))
        attempt(A.BlockMask.from_kv_blocks, torch.tensor(1), torch.tensor([1]))
        attempt(A.and_masks, 3)
        """,
        GIVEN,
    )
    part = create_block_mask(lambda b, h, q, kv: q >= kv, 1, 2, 8, 8, BLOCK_SIZE=4)[0, 1]
    with pytest.raises(RuntimeError, match="Cannot use mask_mod from a sliced BlockMask"):
        part.mask_mod(*retrograd.arange(4))


def test_attention_is_pytorchs() -> None:
    assert_same(
        """
        q, k, v = filled(2, 4, 6, 8), filled(2, 4, 7, 8).cos(), filled(2, 4, 7, 5)
        slope = torch.tensor([1.0, 0.5, 0.25, 0.125])
        bias = filled(4, 6, 7)
        mask = A.create_block_mask(causal, 2, 4, 6, 7, device="cpu", BLOCK_SIZE=4)
        def empty(b, h, q, kv):
            return (q > 1) & (kv < 4)
        mods = (
            None, lambda s, b, h, i, j: s * 2, lambda s, b, h, i, j: s + slope[h] * (i - j),
            lambda s, b, h, i, j: torch.where(i >= j, s, -float("inf")),
            lambda s, b, h, i, j: s + bias[h, i, j], lambda s, b, h, i, j: 20 * torch.tanh(s / 20) + b,
        )
        for mod in mods:
            for block_mask in (None, mask, A.create_block_mask(empty, None, None, 6, 7, device="cpu")):
                found = A.flex_attention(q, k, v, mod, block_mask, scale=0.3)
                print(found.shape, (found * 1e3).round().int().tolist())
        shared = A.flex_attention(q, k[:, :2], v[:, :2], enable_gqa=True)
        print((shared * 1e3).round().int().tolist(), shared.dtype)
        print(A.flex_attention(q.double(), k.double(), v.double()).dtype)
        """,
        GIVEN,
    )


def test_what_does_not_fit_is_refused() -> None:
    q = retrograd.ones(2, 4, 6, 8)
    mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, 6, 6, BLOCK_SIZE=2)
    for arguments, text in (
        ((q, q[..., :4], q), "same embedding dimension but got E=8 and E=4"),
        ((q, q[:, :2], q[:, :2]), "same number of heads but got Hq=4 and Hkv=2"),
        ((q, q[:1], q[:1]), "block_mask=None, Bq=2, and Bkv=1"),
        ((q[:, :, :5], q, q, None, mask), "created for a larger length"),
        ((q, retrograd.ones(2, 4, 7, 8), q, None, mask), "created for a smaller length"),
        ((q, q[:, :3], q[:, :3], None, None, None, True), "multiple of kv heads for GQA but got Hq=4 and Hkv=3"),
    ):
        with pytest.raises(ValueError, match=text):
            flex_attention(*arguments)
    with pytest.raises(RuntimeError, match="from a sliced BlockMask"):
        flex_attention(q, q, q, block_mask=mask[0])
    with pytest.raises(ValueError, match="both return_lse and return_aux"):
        flex_attention(q, q, q, return_lse=True, return_aux=AuxRequest())


def test_it_is_scaled_attention_with_gradients(backend: str) -> None:
    random = np.random.default_rng(0)
    given = [retrograd.tensor(random.standard_normal((2, 3, 5, 4))).requires_grad_() for _ in range(3)]
    slope = retrograd.tensor([0.5, 1.0, 2.0], dtype=retrograd.float64, requires_grad=True)
    mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, 5, 5, BLOCK_SIZE=2)
    found, lse = flex_attention(*given, lambda s, b, h, i, j: s - slope[h] * (i - j), mask, return_lse=True)
    apart = retrograd.arange(5)[:, None] - retrograd.arange(5)
    bias = (-slope[:, None, None] * apart).masked_fill(apart < 0, -math.inf)
    expected = retrograd.nn.functional.scaled_dot_product_attention(*given, attn_mask=bias)
    retrograd.testing.assert_close(found, expected)
    scores = given[0] @ given[1].mT / 2 + bias
    retrograd.testing.assert_close(lse, scores.logsumexp(-1))
    _, aux = flex_attention(*given, return_aux=AuxRequest(max_scores=True))
    assert aux.lse is None
    retrograd.testing.assert_close(aux.max_scores, (given[0] @ given[1].mT / 2).amax(-1))
    weight = retrograd.tensor(random.standard_normal((2, 3, 5, 4)))
    ours = retrograd.autograd.grad((found * weight).sum(), [*given, slope])
    theirs = retrograd.autograd.grad((expected * weight).sum(), [*given, slope])
    for one, other in zip(ours, theirs, strict=True):
        retrograd.testing.assert_close(one, other)


def test_queries_without_scores_have_no_gradient() -> None:
    q, k, v = (retrograd.randn(1, 1, 4, 2, dtype=retrograd.float64).requires_grad_() for _ in range(3))
    mask = create_block_mask(lambda b, h, i, j: (i > 1) & (j < 3), None, None, 4, 4, BLOCK_SIZE=4)
    out = flex_attention(q, k, v, block_mask=mask)
    assert out[0, 0, :2].abs().sum() == 0
    out.sum().backward()
    assert q.grad is not None
    assert q.grad.isfinite().all()
    assert q.grad[0, 0, :2].abs().sum() == 0
    assert isinstance(mask.to("cpu"), BlockMask)
