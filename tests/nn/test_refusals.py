"""What functions of layers refuse, as PyTorch does: types, sizes of windows and results, targets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


TYPES = "types = (torch.int64, torch.uint8, torch.bool, torch.complex64)\n"


def test_types_of_losses() -> None:
    assert_same("""
    for type_ in types:
        x, y = torch.ones(2, 3).to(type_), torch.ones(2, 3).to(type_)
        for loss in (
            F.mse_loss, F.huber_loss, F.smooth_l1_loss, F.soft_margin_loss, F.kl_div, F.hinge_embedding_loss,
            F.binary_cross_entropy, F.binary_cross_entropy_with_logits, F.multilabel_soft_margin_loss,
        ):
            if loss is not F.soft_margin_loss or type_ is not torch.complex64:
                attempt(loss, x, y)
        attempt(F.binary_cross_entropy_with_logits, x, y, weight=torch.ones(3))
        attempt(F.nll_loss, x, torch.tensor([0, 1]))
        attempt(F.nll_loss, torch.ones(1, 3, 1, 1).to(type_), torch.ones(1, 1, 1).long())
        attempt(F.cross_entropy, x, torch.tensor([0, 1]))
        attempt(F.cross_entropy, torch.ones(1, 3, 1, 1).to(type_), torch.ones(1, 1, 1).long())
        attempt(F.cosine_similarity, x, y)
        attempt(F.pdist, x)
        attempt(F.multi_margin_loss, x, torch.tensor([0, 1]))
        attempt(F.multilabel_margin_loss, x, torch.zeros(2, 3).long())
    print(F.margin_ranking_loss(torch.tensor([1, 2]), torch.tensor([3, 4]), torch.tensor([1, -1])))
    print(F.hinge_embedding_loss(torch.tensor([1, 5]), torch.tensor([1, -1]), 1.5, reduction="none"))
    print(F.soft_margin_loss(torch.tensor([1j, 2.0]), torch.tensor([1 + 0j, -1.0])))
    """, TYPES)  # fmt: skip


def test_types_of_layers() -> None:
    assert_same("""
    for type_ in types:
        x = torch.ones(2, 4, 5).to(type_)
        attempt(F.layer_norm, x, (5,))
        attempt(F.group_norm, x, 2)
        attempt(F.batch_norm, x, torch.zeros(4), torch.ones(4))
        attempt(F.batch_norm, x, None, None, training=True)
        for function in (F.dropout, F.dropout1d, F.rrelu, F.alpha_dropout):
            if type_.is_complex is False or function is not F.alpha_dropout:
                attempt(lambda: function(x, training=True).shape)
        for mode in ("reflect", "replicate", "circular"):
            attempt(lambda: F.pad(x, (1, 1), mode=mode).dtype)
        for dilation in (1, 2):
            attempt(lambda: F.conv1d(x, torch.ones(1, 4, 2).to(type_), dilation=dilation).dtype)
        attempt(lambda: F.conv_transpose1d(x, torch.ones(4, 1, 2).to(type_)).dtype)
        attempt(lambda: F.unfold(x[None], 2).dtype)
        attempt(lambda: F.fold(torch.ones(1, 8, 9).to(type_), 4, 2).dtype)
        attempt(F.max_unpool1d, x[:1, :1, :2], torch.tensor([[[0, 2]]]), 2)
        attempt(F.embedding, torch.ones(2).to(type_), torch.ones(2, 3))
        attempt(F.embedding_bag, torch.tensor([[0, 1]]), torch.ones(2, 3).to(type_))
        for mode in ("nearest", "linear"):
            attempt(lambda: F.interpolate(x, scale_factor=2, mode=mode).dtype)
        for mode in ("nearest", "bilinear", "bicubic"):
            attempt(lambda: F.interpolate(x[None], scale_factor=2, mode=mode).dtype)
    """, TYPES)  # fmt: skip


def test_types_of_sixteen_bits() -> None:
    assert_same("""
    x = torch.ones(2, 3, dtype=torch.float16)
    attempt(torch.cdist, x, x)
    attempt(F.pdist, x)
    attempt(F.avg_pool3d, torch.ones(1, 1, 2, 2, 2, dtype=torch.bfloat16), 2)
    attempt(F.multi_margin_loss, x, torch.tensor([0, 1]))
    for name in ("airy_ai", "bessel_j0", "erfcx", "log_ndtr", "ndtri", "modified_bessel_k0", "i0e"):
        attempt(getattr(torch.special, name), x)
    attempt(torch.special.zeta, x, x)
    attempt(torch.special.chebyshev_polynomial_t, x, x)
    for function in (torch.igamma, torch.igammac):
        attempt(function, torch.tensor([1, 2]), torch.tensor([1, 2]))
    """)


def test_pictures_of_bytes() -> None:
    assert_same("""
    x = (torch.arange(2 * 3 * 7 * 9) * 97 % 256).reshape(2, 3, 7, 9).to(torch.uint8)
    for mode in ("bilinear", "bicubic"):
        for options in ({}, {"align_corners": True}, {"antialias": True}):
            for size in ((12, 4), (7, 20)):
                y = F.interpolate(x, size=size, mode=mode, **options)
                print(y.dtype, y.long().sum(), y[1, 2].tolist())
    print(F.interpolate(x, scale_factor=1.7, mode="bilinear")[0, 0].tolist())
    """)


def test_windows() -> None:
    assert_same("""
    for dims in (1, 2, 3):
        for name in ("max", "avg"):
            pool = getattr(F, f"{name}_pool{dims}d")
            spatial = (4, 5, 6)[:dims]
            for shape in ((), (0,) + spatial, (2, 0) + spatial, (0, 2) + spatial, (2,) + spatial, (1, 1, 1, 1, 1, 1)):
                for options in (
                    {"kernel_size": 2}, {"kernel_size": 0}, {"kernel_size": -1}, {"kernel_size": 2, "stride": 0},
                    {"kernel_size": 2, "padding": -1}, {"kernel_size": 2, "padding": 2}, {"kernel_size": 9},
                    {"kernel_size": [2] * 4}, {"kernel_size": 2, "stride": [1] * 4},
                    {"kernel_size": 2, "padding": [0] * 4},
                    {"kernel_size": 3, "padding": 2, "dilation": 2}, {"kernel_size": 2, "dilation": 0},
                )[: 10 if name == "avg" else 12]:
                    if shape or name == "max" or dims != 2:
                        attempt(lambda: pool(torch.ones(shape), **options).shape)
    attempt(F.avg_pool2d, torch.ones(1, 2, 2), 2, divisor_override=0)
    """)


def test_adaptive_pools() -> None:
    assert_same("""
    for dims in (1, 2, 3):
        for name in ("max", "avg"):
            pool = getattr(F, f"adaptive_{name}_pool{dims}d")
            spatial = (3, 4, 5)[:dims]
            for shape in ((), (3,), (0, 2) + spatial, (1, 2) + spatial[:-1] + (0,), (1, 1, 1, 1, 1, 1)):
                for size in (1, 2, 0, [], [-1] * dims, [1, 2, 3, 4]):
                    attempt(lambda: pool(torch.ones(shape), size).shape)
    """)


def test_places_of_maxima() -> None:
    assert_same("""
    for dims in (1, 2, 3):
        unpool = getattr(F, f"max_unpool{dims}d")
        for shape in ((2,) + (2,) * dims, (1, 0) + (2,) * dims, (1, 2) + (2,) * dims):
            x, places = torch.ones(shape), torch.zeros(shape, dtype=torch.int64)
            attempt(lambda: unpool(x, places, 2).shape)
            attempt(unpool, x, places[..., :1], 2)
            attempt(unpool, x, places.int(), 2)
            attempt(unpool, x, places + 99, 2)
            attempt(unpool, x, places - 1, 2)
            attempt(unpool, x, places, 2, output_size=(9,) * dims)
            attempt(lambda: unpool(x, places, 2, output_size=(5,) * dims).shape)
    """)


def test_targets_of_margins() -> None:
    assert_same("""
    for shape in ((5, 0), (0,), (5, 4), (4,), (2, 2, 2)):
        for size in ((5,), (5, 4), (), (4,)):
            for type_ in (torch.float32, torch.int64):
                attempt(F.multi_margin_loss, torch.ones(shape), torch.ones(size, dtype=type_))
                attempt(F.multilabel_margin_loss, torch.ones(shape), torch.ones(size, dtype=type_))
    classes = torch.tensor([0, 1])
    attempt(F.multi_margin_loss, torch.ones(2, 4), classes, weight=torch.ones(5))
    attempt(F.multi_margin_loss, torch.ones(2, 4), classes + 3)
    attempt(F.multilabel_margin_loss, torch.ones(2, 4), torch.full((2, 4), 7))
    """)


def test_numbers() -> None:
    assert_same("""
    x = torch.ones(2, 3)
    attempt(F.softshrink, x, -0.5)
    for lower, upper in ((0.3, 0.1), (math.inf, 0.1), (0.1, math.nan)):
        attempt(F.rrelu, x, lower, upper, training=True)
    for shape in ((), (1,), (1, 1, 1)):
        attempt(F.embedding, torch.tensor([0]), torch.ones(shape))
    attempt(F.rms_norm, torch.ones(1, 2, 3), [1, 2, 3], torch.ones(1, 2))
    attempt(F.rms_norm, torch.tensor([1, 2]), [2])
    attempt(lambda: F.dropout(torch.tensor([1, 2]), 1.0))
    """)


def test_modules() -> None:
    assert_same("""
    for eps in (-1.0, 0.0):
        attempt(nn.BatchNorm1d(3, eps=eps), torch.ones(2, 3))
    for dims in (1, 2, 3):
        attempt(getattr(nn, f"CircularPad{dims}d")(1), torch.ones((2,) * (dims + 3)))
    for options in ({"bias": 1}, {"batch_first": 1}, {"input_size": 2.0}, {"input_size": 0}):
        attempt(lambda: nn.GRU(**{"input_size": 2, "hidden_size": 3, **options}))
    for kind in (nn.RNNCell, nn.GRUCell, nn.LSTMCell):
        cell = kind(4, 5)
        for shape, state in (((3, 2), (3, 5)), ((3, 4), (3, 6)), ((3, 4), (2, 5)), ((3, 4), (1, 1, 3, 5))):
            hidden = torch.ones(state)
            attempt(cell, torch.ones(shape), (hidden, hidden) if kind is nn.LSTMCell else hidden)
    attempt(lambda: nn.HuberLoss(delta=1j))
    attempt(F.nll_loss, torch.ones(2, 3), torch.tensor([0, 1]), torch.ones(3).double())
    """)


def test_nothing_that_counts() -> None:
    assert_same("""
    norm = nn.BatchNorm1d(3)
    print(norm(torch.ones(0, 3, 2)).shape, norm.running_mean, norm.running_var)
    for target in (torch.tensor([1, 1]), torch.tensor([1, 0])):
        for options in ({}, {"weight": torch.ones(3)}):
            x = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 5.0]], requires_grad=True)
            F.cross_entropy(x, target, ignore_index=1, **options).backward()
            print(x.grad + 0)
    print(F.cross_entropy(torch.ones(3), torch.tensor(-100), reduction="none"))
    """)


def test_linear_cross_entropy() -> None:
    assert_same("""
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    w = (torch.arange(12.0).reshape(4, 3) * 0.1).requires_grad_()
    for options in (
        {}, {"reduction": "none"}, {"linear_bias": torch.arange(4.0)}, {"weight": torch.arange(1.0, 5.0)},
        {"label_smoothing": 0.5}, {"ignore_index": 1}, {"options": nn.LinearCrossEntropyOptions(batch_chunk_size=1)},
    ):
        loss = F.linear_cross_entropy(x, w, torch.tensor([1, 3]), **options)
        print(loss.detach(), *torch.autograd.grad(loss.sum(), (x, w)))
    print(F.linear_cross_entropy(x, w, torch.full((2, 4), 0.25)).detach())
    print(F.linear_cross_entropy(x, w.reshape(2, 2, 3), torch.tensor([[0, 1], [1, 0]]), reduction="none"))
    attempt(F.linear_cross_entropy, x, w, torch.full((2, 4), 0.25), ignore_index=1)
    attempt(F.linear_cross_entropy, x, w[0], torch.tensor([1, 3]))
    attempt(F.linear_cross_entropy, x[None], w, torch.tensor([1, 3]))
    attempt(F.linear_cross_entropy, x[0], w.reshape(2, 2, 3), torch.tensor([1, 3]))
    attempt(F.linear_cross_entropy, x, w[:, :2], torch.tensor([1, 3]))
    attempt(F.linear_cross_entropy, x, w, torch.tensor([1, 3]), linear_bias=torch.ones(3))
    for wrong in (
        {"acc_policy": "x"}, {"chunking_method": "aspect_ratio:0"}, {"batch_chunk_size": 0}, {"acc_dtype": torch.int8},
    ):
        attempt(lambda: nn.LinearCrossEntropyOptions(**wrong))
    loss = nn.LinearCrossEntropyLoss(3, 4, out_features=(2,), bias=True)
    print(loss, [(name, tuple(each.shape)) for name, each in loss.named_parameters()], loss.extra_repr())
    """)


def test_padding_by_elements_fits_the_dimensions() -> None:
    assert_same("""
    for shape, padding in (((1, 1, 3, 3), (1, 1)), ((3,), (1, 1)), ((1, 1, 3, 3), (1,) * 8)):
        for mode in ("reflect", "circular", "replicate"):
            attempt(F.pad, torch.ones(shape), padding, mode=mode)
    """)


def test_targets_without_a_derivative() -> None:
    assert_same("""
    x, target = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    attempt(F.soft_margin_loss, x, target)
    with torch.no_grad():
        print(F.soft_margin_loss(x, target))
    print(len(F.soft_margin_loss(x, target.detach()).grad_fn.next_functions))
    """)
