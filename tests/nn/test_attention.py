"""Attention with several heads and the transformer, beside PyTorch's with the same weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from programs import assert_same
from twins import assert_twins, twins

import retrograd


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Both libraries warn of masks of two types, and of layers that nested tensors do not suit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


LENGTH, SOURCES, BATCH, SIZE, HEADS = 3, 5, 2, 8, 4
PADDING = np.array([[False] * 5, [False, False, True, True, False]])
FORBIDDEN = np.triu(np.ones((LENGTH, SOURCES), bool), 2)
ADDED = np.linspace(-1, 1, BATCH * HEADS * LENGTH * SOURCES).reshape(BATCH * HEADS, LENGTH, SOURCES)

ATTENTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "without weights": ({}, {"need_weights": False}),
    "of each head": ({}, {"average_attn_weights": False}),
    "batch first": ({"batch_first": True}, {}),
    "no bias": ({"bias": False}, {}),
    "other sizes": ({"kdim": 6, "vdim": 7}, {}),
    "one other size": ({"vdim": 7, "bias": False, "batch_first": True}, {"need_weights": False}),
    "bias of keys": ({"add_bias_kv": True}, {"key_padding_mask": PADDING, "attn_mask": FORBIDDEN}),
    "zero key": ({"add_zero_attn": True}, {"key_padding_mask": PADDING, "need_weights": False}),
    "both keys": ({"add_bias_kv": True, "add_zero_attn": True}, {"attn_mask": ADDED}),
    "padding": ({}, {"key_padding_mask": PADDING}),
    "forbidden": ({}, {"attn_mask": FORBIDDEN, "need_weights": False}),
    "added": ({"batch_first": True}, {"attn_mask": ADDED, "need_weights": False}),
    "mixed": ({}, {"attn_mask": ADDED, "key_padding_mask": PADDING, "need_weights": False}),
    "mixed with weights": ({}, {"attn_mask": ADDED, "key_padding_mask": PADDING}),
    "causal": ({}, {"attn_mask": FORBIDDEN, "is_causal": True, "need_weights": False}),
    "causal and padding": ({}, {"attn_mask": FORBIDDEN, "key_padding_mask": PADDING, "is_causal": True}),
}


def _masks(torch: Any, options: dict[str, Any]) -> dict[str, Any]:
    return {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}


@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention_equals_torchs(name: str) -> None:
    made, called = ATTENTIONS[name]
    shapes = [(LENGTH, BATCH, SIZE), (SOURCES, BATCH, made.get("kdim", SIZE)), (SOURCES, BATCH, made.get("vdim", SIZE))]
    if made.get("batch_first"):
        shapes = [(batch, length, size) for length, batch, size in shapes]
    assert_twins(
        lambda torch: torch.nn.MultiheadAttention(SIZE, HEADS, **made),
        shapes,
        lambda torch, module, *inputs: module(*inputs, **_masks(torch, called)),
    )


@pytest.mark.parametrize("made", [{}, {"batch_first": True}, {"kdim": SIZE, "add_bias_kv": True}])
def test_attention_of_a_sequence_to_itself_equals_torchs(made: dict[str, Any], backend: str) -> None:
    assert_twins(
        lambda torch: torch.nn.MultiheadAttention(SIZE, HEADS, **made),
        [(3, 3, SIZE)],
        lambda torch, module, x: module(x, x, x, attn_mask=torch.ones(3, 3, dtype=torch.bool).triu(1)),
    )


def test_attention_without_a_batch_equals_torchs() -> None:
    def use(torch: Any, module: Any, x: Any, y: Any) -> Any:
        padding = torch.tensor([False, True, False, False])
        mask = torch.linspace(-1, 1, 4 * 3 * 4, dtype=torch.float64).view(4, 3, 4)
        return [
            module(x, y, y, key_padding_mask=padding),
            module(x, y, y, attn_mask=mask, need_weights=False),
            module(x, x, x, average_attn_weights=False),
        ]

    assert_twins(lambda torch: torch.nn.MultiheadAttention(SIZE, HEADS), [(3, SIZE), (4, SIZE)], use)


def test_attention_takes_keys_that_were_computed_before() -> None:
    def use(torch: Any, module: Any, x: Any, k: Any, v: Any) -> Any:
        return torch.nn.functional.multi_head_attention_forward(
            x, x, x, SIZE, HEADS, module.in_proj_weight, module.in_proj_bias, None, None, True, 0.0,
            module.out_proj.weight, module.out_proj.bias, static_k=k, static_v=v,
        )  # fmt: skip

    assert_twins(lambda torch: torch.nn.MultiheadAttention(SIZE, HEADS), [(3, 2, SIZE), (8, 5, 2), (8, 5, 2)], use)


@pytest.mark.parametrize(
    "call",
    [
        "nn.MultiheadAttention(0, 2)",
        "nn.MultiheadAttention(5, 2)",
        "a(x[0, 0], x, x)",
        "a(x, x[0], x)",
        "a(x[0], x, x)",
        "a(x, x, x, key_padding_mask=torch.zeros(3) != 0)",
        "a(x[0], x[0], x[0], key_padding_mask=torch.zeros(3, 3) != 0)",
        "a(x, x, x, key_padding_mask=torch.zeros(2, 3, dtype=torch.int64))",
        "a(x, x, x, key_padding_mask=torch.zeros(3, 3) != 0)",
        "a(x, x, x, key_padding_mask=torch.zeros(2, 4) != 0)",
        "a(x, x, x, attn_mask=torch.zeros(3) != 0)",
        "a(x, x, x, attn_mask=torch.zeros(3, 4) != 0)",
        "a(x, x, x, attn_mask=torch.zeros(2, 3, 3) != 0)",
        "a(x[0], x[0], x[0], attn_mask=torch.zeros(3, 2, 2) != 0)",
        "a(x, x, x, attn_mask=torch.zeros(3, 3, dtype=torch.int32))",
        "a(x, x, x, is_causal=True)",
        "a(x[..., :2], x, x)",
        "a(x, x, x[:2])",
        "nn.MultiheadAttention(4, 2, kdim=3)(x, x[..., :3], x[:2])",
        "F.multi_head_attention_forward(x, x, x, 4, 3, None, None, None, None, False, 0.0, w, None)",
        "F.multi_head_attention_forward(x, x, x, 4, 2, None, None, None, None, False, 0.0, w, None)",
        "F.multi_head_attention_forward(x, x, x, 4, 2, None, None, None, None, False, 0.0, w, None,"
        " use_separate_proj_weight=True, q_proj_weight=w)",
        "F.multi_head_attention_forward(x, x, x, 4, 2, torch.zeros(12, 4), None, w, None, False, 0.0, w, None)",
        "F.multi_head_attention_forward(x, x, x, 4, 2, torch.zeros(12, 4), None, None, None, False, 0.0, w, None,"
        " static_k=torch.zeros(3, 3, 2))",
    ],
)
def test_attention_refuses_what_torch_refuses(call: str) -> None:
    assert_same(
        f"""
        a, x, w = nn.MultiheadAttention(4, 2), torch.zeros(3, 2, 4), torch.zeros(4, 4)
        {call}
        print("accepted")
        """
    )


LAYER_OPTIONS: list[dict[str, Any]] = [
    {},
    {"norm_first": True, "activation": "gelu"},
    {"batch_first": True, "bias": False, "layer_norm_eps": 0.1},
]


@pytest.mark.parametrize("options", LAYER_OPTIONS)
def test_encoder_layer_equals_torchs(options: dict[str, Any]) -> None:
    def use(torch: Any, module: Any, x: Any) -> Any:
        causal = torch.nn.Transformer.generate_square_subsequent_mask(3)
        padding = torch.tensor([[False, False, True]] * 3)
        return [
            module(x),
            module(x, causal.double()),
            module(x, causal, is_causal=True),
            module(x, src_key_padding_mask=padding),
        ]

    assert_twins(lambda torch: torch.nn.TransformerEncoderLayer(SIZE, 2, 6, 0.0, **options), [(3, 3, SIZE)], use)


@pytest.mark.parametrize("options", LAYER_OPTIONS)
def test_decoder_layer_equals_torchs(options: dict[str, Any]) -> None:
    def use(torch: Any, module: Any, x: Any, memory: Any) -> Any:
        causal = torch.nn.Transformer.generate_square_subsequent_mask(3, dtype=torch.float64)
        padding = torch.tensor([[False, False, True, True]] * 3)
        first = padding[:, :3]
        return [
            module(x, memory),
            module(x, memory, causal, tgt_is_causal=True, memory_key_padding_mask=padding),
            module(x, memory, causal, tgt_key_padding_mask=first, memory_mask=torch.ones(3, 4, dtype=x.dtype).tril()),
        ]

    shapes = [(3, 3, SIZE), (3, 4, SIZE) if options.get("batch_first") else (4, 3, SIZE)]
    assert_twins(lambda torch: torch.nn.TransformerDecoderLayer(SIZE, 2, 6, 0.0, **options), shapes, use)


@pytest.mark.parametrize("options", LAYER_OPTIONS[:2])
def test_transformer_equals_torchs(options: dict[str, Any], backend: str) -> None:
    def use(torch: Any, module: Any, x: Any, y: Any) -> Any:
        causal = module.generate_square_subsequent_mask(3, dtype=torch.float64)
        padding = torch.tensor([[False, False, False, True]] * 2)
        return [
            module(x, y, tgt_mask=causal, src_key_padding_mask=padding, memory_key_padding_mask=padding),
            module(x[:, 0], y[:, 0]),
        ]

    assert_twins(
        lambda torch: torch.nn.Transformer(SIZE, 2, 2, 1, 6, 0.0, **options), [(4, 2, SIZE), (3, 2, SIZE)], use
    )


@pytest.mark.parametrize("padding", [[[0, 0, 0], [0, 1, 1]], [[0, 0, 0], [1, 0, 1]]])
@pytest.mark.parametrize("recorded", [False, True])
def test_encoder_leaves_out_padding_where_torch_does(padding: Any, recorded: bool) -> None:
    def use(torch: Any, module: Any, x: Any) -> Any:
        with torch.set_grad_enabled(recorded):
            return module(x, src_key_padding_mask=torch.tensor(padding) != 0)

    def make(torch: Any) -> Any:
        layer = torch.nn.TransformerEncoderLayer(SIZE, 2, 6, batch_first=True)
        return torch.nn.TransformerEncoder(layer, 2, torch.nn.LayerNorm(SIZE))

    assert_twins(make, [(2, 3, SIZE)], use, training=False)


def test_custom_parts_stand_in_for_encoder_and_decoder() -> None:
    def make(torch: Any) -> Any:
        class Double(torch.nn.Module):
            def forward(self, x: Any, *others: Any, **masks: Any) -> Any:
                return 2 * x + sum(each.sum() for each in others)

        return torch.nn.Transformer(SIZE, 2, custom_encoder=Double(), custom_decoder=Double())

    assert_twins(make, [(4, 2, SIZE), (3, 2, SIZE)])


@pytest.mark.parametrize(
    "call",
    [
        "nn.TransformerEncoderLayer(4, 2, activation='tanh')",
        "t(x[:, :1], x)",
        "t(x, x[..., :2])",
        "t(x, x, src_mask=torch.zeros(3, 3, dtype=torch.int64))",
        "t(x, x, tgt_is_causal=True)",
        "t(x, x, memory_mask=torch.zeros(2, 3))",
    ],
)
def test_transformer_refuses_what_torch_refuses(call: str) -> None:
    assert_same(
        f"""
        t, x = nn.Transformer(4, 2, 1, 1, 6), torch.zeros(3, 2, 4)
        {call}
        print("accepted")
        """
    )


def test_warnings_are_torchs() -> None:
    assert_same(
        """
        import warnings
        layers = [
            nn.TransformerEncoderLayer(6, 2, 4, **options)
            for options in ({}, {"norm_first": True}, {"batch_first": True, "bias": False},
                            {"batch_first": True, "activation": F.silu}, {"batch_first": True})
        ] + [nn.TransformerEncoderLayer(6, 3, 4, batch_first=True), nn.TransformerEncoderLayer(6, 2, batch_first=True)]
        layers[-1].norm2.eps = 0.5
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for layer in layers:
                print(nn.TransformerEncoder(layer, 1).use_nested_tensor)
            x = torch.zeros(3, 2, 6)
            layers[0](x, torch.zeros(3, 3), torch.zeros(2, 3) != 0)
        for each in caught:
            print(each.message)
        """
    )


def test_weights_are_drawn_as_torchs() -> None:
    torch = pytest.importorskip("torch")
    retrograd.manual_seed(0), torch.manual_seed(0)
    for make in (
        lambda m: m.nn.MultiheadAttention(40, 2, add_bias_kv=True),
        lambda m: m.nn.MultiheadAttention(40, 2, kdim=60, vdim=20),
        lambda m: m.nn.Transformer(40, 2, 1, 1, 60),
    ):
        for (name, own), theirs in zip(make(retrograd).named_parameters(), make(torch).parameters(), strict=True):
            a, b = own.detach().numpy(), theirs.detach().numpy()
            assert a.std() == pytest.approx(b.std(), rel=0.3), name
            assert name.startswith("bias_") or abs(a).max() == pytest.approx(abs(b).max(), rel=0.15), name


def test_copies_in_an_encoder_share_nothing() -> None:
    own, _ = twins(lambda m: m.nn.TransformerDecoder(m.nn.TransformerDecoderLayer(4, 2, 6), 2))
    first, second = own.layers
    assert first.linear1.weight is not second.linear1.weight
    assert (first.linear1.weight == second.linear1.weight).all()
