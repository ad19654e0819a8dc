"""Packed and padded sequences, and recurrent layers over them, beside PyTorch's."""

from __future__ import annotations

from typing import Any

import pytest
from programs import assert_same
from twins import assert_twins

GIVEN = """
from importlib import import_module
R = import_module(torch.__name__ + ".nn.utils.rnn")
x = torch.arange(24.0).view(4, 3, 2)
a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0])
packed = R.pack_padded_sequence(x, [4, 2, 1])
"""


@pytest.mark.parametrize(
    "expression",
    [
        "R.pack_padded_sequence(x, [4, 2, 1])",
        "R.pack_padded_sequence(x, torch.tensor([4, 4, 1]))",
        "R.pack_padded_sequence(x, torch.tensor([2.0, 4.0, 1.0]), enforce_sorted=False)",
        "R.pack_padded_sequence(x, [1, 2, 2], enforce_sorted=False)",
        "R.pack_padded_sequence(x, [3, 3, 2, 1], batch_first=True)",
        "R.pack_padded_sequence(x, [1, 3, 2, 3], True, False)",
        "R.pack_padded_sequence(x[:, :, 0], [3, 2, 1])",
        "R.pack_padded_sequence(x, [5, 2, 1])",
        "R.pack_padded_sequence(x, [2, 4, 1])",
        "R.pack_padded_sequence(x, [4, 2])",
        "R.pack_padded_sequence(x, [4, 2, 0])",
        "R.pack_padded_sequence(x, torch.ones(3, 1))",
        "R.pack_padded_sequence(x[:0], [0, 0, 0])",
        "R.pack_padded_sequence(x[:, :0], [])",
        "R.pad_packed_sequence(packed)",
        "R.pad_packed_sequence(packed, True, -1.0, 6)",
        "R.pad_packed_sequence(packed, total_length=3)",
        "R.pad_packed_sequence(R.pack_padded_sequence(x, [2, 4, 1], enforce_sorted=False), padding_value=7)",
        "R.pad_packed_sequence(R.pack_sequence([a, b], False), batch_first=True)",
        "R.pad_sequence([a, b])",
        "R.pad_sequence((each for each in (a, b)), True, -1.0, 'left')",
        "R.pad_sequence([a, b], padding_side='middle')",
        "R.pad_sequence([a, b.long()])",
        "R.pad_sequence([a.long(), b])",
        "R.pad_sequence([x[:2], x[1:2, :1]])",
        "R.pad_sequence(x).shape",
        "R.pad_sequence([x[0], x])",
        "R.pad_sequence([x[0], x[1, :, :1]])",
        "R.pad_sequence([x[0], x[:, 0, :1].expand(4, 3)])",
        "R.pad_sequence([])",
        "R.pad_sequence(3)",
        "R.pack_sequence([b, a])",
        "R.pack_sequence([a, b])",
        "R.unpack_sequence(R.pack_sequence([a, b, a], enforce_sorted=False))",
        "R.unpad_sequence(R.pad_sequence([a, b]), torch.tensor([2, 3]))",
        "R.unpad_sequence(x, torch.tensor([2, 3]))",
        "R.unpad_sequence(x, torch.tensor([2, 3, 1]), batch_first=True)",
        "R.invert_permutation(torch.tensor([2, 0, 1]))",
        "R.invert_permutation(None)",
        "R.PackedSequence(a, torch.tensor([1, 1]), torch.tensor([0]))",
        "R.PackedSequence((a, torch.tensor([1, 1])))",
        "R.PackedSequence(a)",
        "packed.double()",
        "[getattr(packed, kind)().data.dtype for kind in 'float half long int short char byte'.split()]",
        "packed.to(torch.float32) is packed, packed.float() is packed, packed.cpu() is packed, packed.is_cuda",
        "packed == packed.to(a), tuple(packed)[1], isinstance(packed, tuple), packed[0] is packed.data",
    ],
)
def test_packing_is_torchs(expression: str, backend: str) -> None:
    assert_same(f"print({expression})", GIVEN)


def test_unpad_sequence_transposes_what_it_is_given_as_torchs() -> None:
    assert_same("R.unpad_sequence(x, torch.tensor([4, 2, 1])); print(x.shape)", GIVEN)


def test_packing_is_differentiable() -> None:
    assert_same(
        """
        x.requires_grad_(), b.requires_grad_()
        padded, _ = R.pad_packed_sequence(R.pack_padded_sequence(x, [2, 4, 1], enforce_sorted=False), total_length=5)
        (padded * padded).sum().backward()
        print(x.grad)
        (R.pad_sequence([a, b]) ** 2).sum().backward()
        print(b.grad)
        """,
        GIVEN,
    )


LAYERS: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "RNN": ("RNN", (3, 4), {"nonlinearity": "relu"}),
    "two RNNs": ("RNN", (3, 4, 2), {"bidirectional": True, "bias": False}),
    "LSTM": ("LSTM", (3, 4), {}),
    "two LSTMs": ("LSTM", (3, 4, 2), {"bidirectional": True}),
    "projected LSTMs": ("LSTM", (3, 6, 2), {"bidirectional": True, "proj_size": 4}),
    "GRU": ("GRU", (3, 4, 2), {"batch_first": True}),
    "two GRUs": ("GRU", (3, 4), {"bidirectional": True}),
}


def _over_packed(torch: Any, module: Any, x: Any, h: Any, c: Any) -> Any:
    R = torch.nn.utils.rnn
    in_order = R.pack_padded_sequence(x, [5, 3, 3, 1])
    any_order = R.pack_padded_sequence(x, [2, 5, 1, 3], enforce_sorted=False)
    count = module.num_layers * (2 if module.bidirectional else 1)
    cells = torch.cat([c, h], 2)[:count, :, : module.hidden_size]
    state = (h[:count], cells) if module.mode == "LSTM" else h[:count]
    results = []
    for packed in (in_order, any_order):
        for start in (None, state):
            output, last = module(packed, start)
            assert isinstance(output, R.PackedSequence)
            results.append([output.data, R.pad_packed_sequence(output), last])
    return results


@pytest.mark.parametrize("name", LAYERS)
def test_recurrent_layers_take_packed_sequences(name: str) -> None:
    kind, sizes, options = LAYERS[name]
    shapes = [(5, 4, 3), (4, 4, 4), (4, 4, 4)]
    assert_twins(lambda torch: getattr(torch.nn, kind)(*sizes, **options), shapes, _over_packed)


def test_recurrent_layers_take_packed_sequences_on_every_backend(backend: str) -> None:
    shapes = [(5, 4, 3), (4, 4, 4), (4, 4, 4)]
    assert_twins(lambda torch: torch.nn.LSTM(3, 4, bidirectional=True), shapes, _over_packed)


@pytest.mark.parametrize(
    "call",
    [
        "nn.GRU(2, 3)(packed, torch.zeros(1, 2, 3))",
        "nn.GRU(2, 3)(packed, torch.zeros(2, 3))",
        "nn.GRU(3, 3)(packed)",
        "nn.RNN(2, 3)(packed.double())",
        "nn.RNN(2, 3)(x.double())",
        "nn.RNN(2, 3)(x[0, 0])",
        "nn.GRU(2, 3)(x[0, 0])",
        "nn.GRU(3, 3)(x)",
        "nn.RNN(2, 3)(x, torch.zeros(2, 3))",
        "nn.RNN(2, 3)(x[0], torch.zeros(1, 2, 3))",
        "nn.RNN(2, 3)(x, torch.zeros(1, 2, 3))",
        "nn.LSTM(2, 3)(x, (torch.zeros(2, 3), torch.zeros(2, 3)))",
        "nn.LSTM(2, 3)(x[0], (torch.zeros(2, 3), torch.zeros(1, 2, 3)))",
        "nn.LSTM(2, 3)(x, (torch.zeros(1, 3, 3), torch.zeros(1, 2, 3)))",
        "nn.LSTM(2, 3)(x, (torch.zeros(1, 2, 3), torch.zeros(1, 3, 3)))",
        "nn.LSTM(2, 3, proj_size=2)(x, (torch.zeros(1, 3, 3), torch.zeros(1, 3, 3)))",
        "nn.LSTM(2, 3, proj_size=3)",
        "nn.LSTM(2, 3, proj_size=-1)",
        "nn.GRU(2, 3, proj_size=2)",
        "nn.RNN(2, 3, proj_size=2)",
        "nn.GRU(2, 0)",
        "nn.GRU(2, 3.0)",
        "nn.GRU(2, 3, 0)",
        "nn.GRU(2, 3, dropout=2.0)",
        "nn.RNNBase('x', 2, 3)",
    ],
)
def test_recurrent_layers_refuse_what_torch_refuses(call: str) -> None:
    assert_same(f"{call}; print('accepted')", GIVEN)


def test_projected_layers_are_shown_and_listed_as_torchs() -> None:
    assert_same(
        """
        import warnings
        m = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2)
        print(m, [[w.shape for w in ws] for ws in m.all_weights], m(torch.ones(5, 3))[0].shape)
        print([[w.shape for w in ws] for ws in nn.GRU(3, 4, bias=False).all_weights])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            print(nn.GRU(2, 3, dropout=0.5))
        print([str(each.message) for each in caught])
        """
    )
