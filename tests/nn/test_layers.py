"""Every layer on each backend: shown, saved and computed as PyTorch's with the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from programs import assert_same

import retrograd
from retrograd import nn

Shapes = tuple[Any, ...]

ACTIVATIONS = (
    "ReLU ReLU6 RReLU Hardtanh Hardsigmoid Hardswish SELU SiLU Mish Sigmoid Tanh LogSigmoid Softsign "
    "Tanhshrink ELU CELU "
    "LeakyReLU GELU GLU Softplus Hardshrink Softshrink PReLU Identity"
).split()

LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], Shapes]] = [
    *((name, (), {}, ((2, 4, 6),)) for name in ACTIVATIONS),
    *((name, (), {"inplace": True}, ((2, 4),)) for name in ("Hardtanh", "Hardswish", "Hardsigmoid")),
    ("Threshold", (0.1, 5.0), {}, ((2, 4),)),
    ("Softmax", (1,), {}, ((2, 4),)),
    ("LogSoftmax", (), {"dim": -1}, ((2, 4),)),
    ("Softmin", (1,), {}, ((2, 4),)),
    ("Softmax2d", (), {}, ((2, 4, 3, 3),)),
    ("Linear", (4, 3), {}, ((2, 4),)),
    ("Linear", (4, 3), {"bias": False}, ((2, 5, 4),)),
    ("Bilinear", (4, 3, 2), {}, ((5, 4), (5, 3))),
    ("Flatten", (), {}, ((2, 3, 4),)),
    ("Unflatten", (1, (2, 3)), {}, ((2, 6),)),
    ("Conv1d", (3, 4, 3), {"padding": 1}, ((2, 3, 8),)),
    ("Conv2d", (4, 6, 3), {"stride": 2, "padding": (1, 2), "groups": 2}, ((2, 4, 7, 8),)),
    ("Conv2d", (4, 6, 3), {"padding": "same", "dilation": 2, "bias": False}, ((4, 7, 8),)),
    ("Conv2d", (2, 3, 3), {"padding": 1, "padding_mode": "circular"}, ((1, 2, 5, 5),)),
    ("Conv2d", (2, 3, 3), {"padding": "same", "padding_mode": "reflect"}, ((1, 2, 5, 5),)),
    ("Conv3d", (2, 3, 2), {}, ((1, 2, 4, 4, 4),)),
    ("ConvTranspose1d", (3, 2, 3), {"stride": 2}, ((2, 3, 5),)),
    ("ConvTranspose2d", (3, 2, 3), {"stride": 2, "padding": 1, "output_padding": 1}, ((2, 3, 5, 4),)),
    ("ConvTranspose3d", (2, 2, 2), {}, ((1, 2, 3, 3, 3),)),
    ("MaxPool1d", (2,), {}, ((2, 3, 8),)),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, ((2, 3, 8, 9),)),
    ("MaxPool3d", (2,), {}, ((1, 2, 4, 4, 4),)),
    ("AvgPool1d", (2,), {}, ((2, 3, 8),)),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, ((2, 3, 8, 9),)),
    ("AvgPool3d", (2,), {}, ((1, 2, 4, 4, 4),)),
    ("AdaptiveAvgPool1d", (3,), {}, ((2, 3, 8),)),
    ("AdaptiveAvgPool2d", ((2, 3),), {}, ((2, 3, 8, 9),)),
    ("AdaptiveMaxPool2d", (3,), {}, ((2, 3, 8, 9),)),
    ("ConstantPad1d", (2, 3.5), {}, ((2, 3, 4),)),
    ("ZeroPad2d", ((1, 2, 0, 1),), {}, ((2, 3, 4, 4),)),
    ("ReflectionPad2d", (1,), {}, ((2, 3, 4, 4),)),
    ("ReplicationPad1d", (1,), {}, ((2, 3, 4),)),
    ("CircularPad2d", (1,), {}, ((2, 3, 4, 4),)),
    ("ZeroPad3d", (1,), {}, ((2, 3, 4, 4, 4),)),
    ("ReflectionPad3d", ((1, 2, 0, 1, 2, 2),), {}, ((2, 3, 4, 4, 4),)),
    ("ReplicationPad3d", (1,), {}, ((3, 2, 4, 3),)),
    ("CircularPad3d", (1,), {}, ((2, 3, 4, 4, 4),)),
    ("LPPool1d", (2, 3), {}, ((2, 3, 8),)),
    ("LPPool2d", (4, 3, 2, True), {}, ((2, 3, 8, 8),)),
    ("LPPool2d", (float("inf"), (3, 2)), {}, ((2, 3, 8, 8),)),
    ("LPPool2d", (-float("inf"), 2), {"stride": 1}, ((2, 3, 8, 8),)),
    ("LPPool3d", (2, 2), {}, ((2, 3, 4, 4, 4),)),
    ("UpsamplingNearest2d", (), {"scale_factor": 2}, ((1, 2, 3, 4),)),
    ("UpsamplingBilinear2d", ((5, 6),), {}, ((1, 2, 3, 4),)),
    ("ChannelShuffle", (3,), {}, ((2, 6, 2),)),
    ("Upsample", (), {"scale_factor": 2, "mode": "bilinear"}, ((1, 2, 3, 4),)),
    ("Upsample", ((5, 6),), {}, ((1, 2, 3, 4),)),
    ("PixelShuffle", (2,), {}, ((1, 8, 2, 2),)),
    ("PixelUnshuffle", (2,), {}, ((1, 2, 4, 4),)),
    ("Unfold", (2,), {}, ((1, 2, 4, 4),)),
    ("Fold", ((4, 4), 2), {}, ((1, 8, 9),)),
    ("BatchNorm1d", (4,), {}, ((5, 4),)),
    ("BatchNorm1d", (4,), {"momentum": None}, ((3, 4, 5),)),
    ("BatchNorm2d", (4,), {"affine": False}, ((3, 4, 2, 2),)),
    ("BatchNorm2d", (4,), {"track_running_stats": False}, ((3, 4, 2, 2),)),
    ("BatchNorm3d", (4,), {"eps": 0.1}, ((3, 4, 2, 2, 2),)),
    ("InstanceNorm1d", (4,), {"affine": True}, ((3, 4, 5),)),
    ("InstanceNorm2d", (4,), {"track_running_stats": True}, ((3, 4, 2, 2),)),
    ("LayerNorm", (4,), {}, ((3, 4),)),
    ("LayerNorm", ((3, 4),), {"bias": False}, ((2, 3, 4),)),
    ("RMSNorm", (4,), {}, ((3, 4),)),
    ("GroupNorm", (2, 4), {}, ((3, 4, 5),)),
    ("LocalResponseNorm", (2,), {}, ((3, 4, 5),)),
    ("Dropout", (0.0,), {}, ((3, 4),)),
    ("Dropout2d", (0.3,), {"inplace": True}, ((3, 4, 2, 2),)),
    ("AlphaDropout", (), {}, ((3, 4),)),
    ("RNNCell", (4, 3), {}, ((2, 4),)),
    ("LSTMCell", (4, 3), {"bias": False}, ((2, 4),)),
    ("GRUCell", (4, 3), {}, ((2, 4),)),
    ("RNN", (4, 3), {"nonlinearity": "relu"}, ((5, 2, 4),)),
    ("LSTM", (4, 3, 2), {"bidirectional": True, "batch_first": True}, ((2, 5, 4),)),
    ("GRU", (4, 3, 2), {}, ((5, 4),)),
    ("CosineSimilarity", (), {}, ((3, 4), (3, 4))),
    ("PairwiseDistance", (), {}, ((3, 4), (3, 4))),
    ("MSELoss", (), {}, ((3, 4), (3, 4))),
    ("SmoothL1Loss", (), {"reduction": "sum"}, ((3, 4), (3, 4))),
    ("HuberLoss", (), {"delta": 0.5}, ((3, 4), (3, 4))),
    ("BCEWithLogitsLoss", (), {}, ((3, 4), (3, 4))),
]
RANDOM = {"RReLU", "Dropout2d", "AlphaDropout"}
cases = pytest.mark.parametrize(
    ("name", "args", "options", "shapes"), LAYERS, ids=[f"{i}-{layer[0]}" for i, layer in enumerate(LAYERS)]
)


def flat(value: Any) -> list[Any]:
    return [each for part in value for each in flat(part)] if isinstance(value, tuple) else [value]


def run(module: Any, layer: Any, shapes: Shapes) -> list[Any]:
    """Results, gradients by inputs and parameters, and buffers afterwards, as host arrays."""
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape) for shape in shapes]
    inputs = [module.tensor(each, dtype=module.float64, requires_grad=True) for each in arrays]
    inplace = getattr(layer, "inplace", False)
    results = flat(layer(*(each * 1 for each in inputs) if inplace else inputs))
    sum((each * each).sum() for each in results).backward()
    tensors = [
        *results,
        *(each.grad for each in inputs),
        *(p.grad for p in layer.parameters()),
        *layer.buffers(),
    ]
    return [each.detach().numpy() for each in tensors if each is not None]


@cases
def test_layer_equals_torch(
    name: str, args: tuple[Any, ...], options: dict[str, Any], shapes: Shapes, backend: str
) -> None:
    torch = pytest.importorskip("torch")
    own, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    assert repr(own) == repr(theirs)
    state = theirs.state_dict()
    assert list(own.state_dict()) == list(state)
    own, theirs = own.double(), theirs.double()
    own.load_state_dict({key: retrograd.tensor(value.numpy()) for key, value in theirs.state_dict().items()})
    if name in RANDOM:
        own.eval(), theirs.eval()
    for _ in range(2):  # training, then evaluation
        for have, want in zip(run(retrograd, own, shapes), run(torch, theirs, shapes), strict=True):
            np.testing.assert_allclose(have, want, 1e-6, 1e-9)
        own.eval(), theirs.eval()
        own.zero_grad(), theirs.zero_grad()


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("Linear", (100, 50)),
        ("Conv2d", (8, 16, 3)),
        ("Bilinear", (20, 10, 60)),
        ("LSTM", (20, 10)),
        ("ConvTranspose2d", (8, 16, 3)),
    ],
)
def test_default_initial_values_are_spread_as_torchs(name: str, args: tuple[int, ...], backend: str) -> None:
    torch = pytest.importorskip("torch")
    retrograd.manual_seed(0)
    torch.manual_seed(0)
    own, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    for (key, a), (other, b) in zip(own.named_parameters(), theirs.named_parameters(), strict=True):
        assert key == other
        a, b = a.detach().numpy(), b.detach().numpy()
        assert a.shape == b.shape
        assert abs(a).max() == pytest.approx(abs(b).max(), rel=0.15)
        assert a.std() == pytest.approx(b.std(), rel=0.25)


def test_every_dropout_keeps_its_mean(backend: str) -> None:
    retrograd.manual_seed(0)
    x = retrograd.ones(50, 40, 3, 3)
    for layer in (nn.Dropout(0.25), nn.Dropout2d(0.25)):
        y = layer(x)
        kept = (y != 0).float().mean().item()
        assert kept == pytest.approx(0.75, abs=0.04)
        assert y.max().item() == pytest.approx(1 / 0.75)
    channels = nn.Dropout2d(0.5)(x).reshape(2000, 9)
    assert ((channels == 0).all(1) | (channels != 0).all(1)).all()
    y = nn.AlphaDropout(0.3)(retrograd.randn(20000))
    assert y.mean().item() == pytest.approx(0, abs=0.05)
    assert y.std().item() == pytest.approx(1, abs=0.05)


def test_dropout_of_everything_gives_zeros() -> None:
    x = retrograd.ones(4, requires_grad=True)
    y = nn.functional.dropout(x, 1.0)
    y.sum().backward()
    assert y.tolist() == x.grad.tolist() == [0.0] * 4


BAD: list[tuple[str, Any]] = [
    ("cross_entropy", lambda m: (m.zeros(2, 3), m.tensor([0, 3]))),
    ("cross_entropy", lambda m: (m.zeros(2, 3), m.tensor([0, 1, 2]))),
    ("cross_entropy", lambda m: (m.zeros(2, 3), m.tensor([0, 1]), m.ones(2))),
    ("cross_entropy", lambda m: (m.zeros(2, 3, 4), m.zeros(2, 5, dtype=m.int64))),
    ("nll_loss", lambda m: (m.zeros(2, 3), m.tensor([0, 7]))),
    ("binary_cross_entropy", lambda m: (m.zeros(2) + 2, m.zeros(2))),
    ("binary_cross_entropy", lambda m: (m.zeros(2), m.zeros(3))),
    ("binary_cross_entropy_with_logits", lambda m: (m.zeros(2), m.zeros(3))),
    ("conv2d", lambda m: (m.zeros(1, 3, 4, 4), m.zeros(2, 4, 3, 3))),
    ("conv2d", lambda m: (m.zeros(1, 3, 2, 2), m.zeros(2, 3, 3, 3))),
    ("conv2d", lambda m: (m.zeros(3, 4), m.zeros(2, 3, 3, 3))),
    ("conv2d", lambda m: (m.zeros(1, 3, 4, 4), m.zeros(2, 3, 3, 3), m.zeros(5))),
    ("embedding", lambda m: (m.tensor([5]), m.zeros(3, 2))),
    ("dropout", lambda m: (m.zeros(3), 1.5)),
    ("layer_norm", lambda m: (m.zeros(2, 3), (4,))),
    ("group_norm", lambda m: (m.zeros(2, 3), 2)),
    ("batch_norm", lambda m: (m.zeros(1, 3), None, None, None, None, True)),
    ("linear", lambda m: (m.zeros(2, 3), m.zeros(4, 5), m.zeros(4))),
    ("linear", lambda m: (m.zeros(2, 3), m.zeros(4, 5))),
    ("linear", lambda m: (m.zeros(2, 3), m.zeros(4, 3), m.zeros(4).double())),
    ("linear", lambda m: (m.zeros(5, 2, 3).double(), m.zeros(4, 3), m.zeros(4))),
    ("linear", lambda m: (m.zeros(2, 3).double(), m.nn.Parameter(m.zeros(4, 3)), m.nn.Parameter(m.zeros(4)))),
    ("one_hot", lambda m: (m.tensor([0, 5]), 3)),
    ("one_hot", lambda m: (m.tensor([-1]), 3)),
    ("glu", lambda m: (m.zeros(3),)),
    ("mse_loss", lambda m: (m.zeros(3), m.zeros(3), None, None, "middle")),
    ("max_pool2d", lambda m: (m.zeros(1, 1, 2, 2), 3)),
    ("interpolate", lambda m: (m.zeros(1, 1, 2, 2),)),
    ("pad", lambda m: (m.zeros(1, 1, 2), (3, 3), "reflect")),
    ("channel_shuffle", lambda m: (m.zeros(1, 2, 2), 3)),
    ("channel_shuffle", lambda m: (m.zeros(1, 2, 2), 0)),
    ("channel_shuffle", lambda m: (m.zeros(2, 2), 1)),
]


@pytest.mark.parametrize(("name", "make"), BAD, ids=[f"{i}-{each[0]}" for i, each in enumerate(BAD)])
def test_bad_input_is_refused_as_by_torch(name: str, make: Any) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for module in (retrograd, torch):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is compared
            getattr(module.nn.functional, name)(*make(module))
        found.append((type(caught.value).__name__, str(caught.value).split("\n")[0].replace("torch.", "retrograd.")))
    assert found[0] == found[1]


def test_old_names_are_torchs() -> None:
    assert_same(
        """
        import warnings
        x = torch.arange(8.0).view(1, 2, 2, 2)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            print(F.upsample_nearest(x, scale_factor=2), F.upsample_bilinear(x, (3, 3)))
            print(nn.NLLLoss2d(reduction="sum")(x, torch.tensor([[[0, 1], [1, 0]]])))
        for each in caught:
            print(each.category.__name__, each.message)
        """
    )
