"""The part of the operators' table that `retrograd.nn.functional` fills; see tests/opinfo.py."""

from __future__ import annotations

from typing import Any

from opinfo import A, OpInfo, Sample, s

__all__ = ["NN_OPS"]

X = A((2, 3, 4))
FAR = A((3, 4), 3.5, 8.0)  # beyond every kink
MID = A((3, 4), 0.6, 0.9)  # within the bounds of the clipping functions
IMAGE = A((2, 4, 5, 6))
SIGNAL = A((2, 4, 7))
VOLUME = A((1, 2, 4, 4, 5))
APART = A((2, 2, 5, 6), distinct=True)
LOGITS = A((4, 5))
CLASSES = A(values=[0, 4, 2, 2], dtype="int64")
IGNORING = A(values=[0, -100, 2, 1], dtype="int64")
WEIGHT = A((5,), 0.5, 2.0, grad=False)
PROBABILITY = A((3, 4), 0.1, 0.9)
SIGNS = A(values=[1.0, -1.0, 1.0, -1.0], grad=False)
FIXED = A((3, 4), grad=False)


def f(name: str, *samples: Sample, **options: Any) -> OpInfo:
    return OpInfo(f"nn.functional.{name}", samples, **options)


def reductions(*args: Any, **kwargs: Any) -> tuple[Sample, ...]:
    return tuple(s(*args, reduction=each, **kwargs) for each in ("mean", "sum", "none"))


_PLAIN = (
    "relu relu6 leaky_relu elu selu celu gelu silu mish softplus logsigmoid sigmoid tanh hardtanh hardswish "
    "hardshrink softshrink tanhshrink softsign"
).split()

ACTIVATIONS = [
    *(f(name, s(X), s(FAR), s(MID)) for name in _PLAIN),
    f("hardsigmoid", s(X), s(FAR), second=False, rtol=1e-6),
    f("gelu", s(X, approximate="tanh")),
    f("leaky_relu", s(X, -0.3)),
    f("elu", s(X, 1.5)),
    f("celu", s(X, 0.5)),
    f("softplus", s(X, 2.0, 1.0)),
    f("hardtanh", s(X, -0.5, 1.5)),
    f("threshold", s(X, 0.3, 7.0)),
    f("glu", s(A((3, 4))), s(A((4, 3)), 0)),
    f("prelu", s(X, A((3,))), s(X, A((1,))), s(A((3,)), A((1,))), s(A((2, 3)), A((3,)))),
    f("softmax", s(X, 1), s(X, dim=-1)),
    f("softmin", s(X, 1)),
    f("log_softmax", s(X, 1)),
    f("normalize", s(X), s(X, 1.0, -1), s(X, 3.0, 0)),
    f("cosine_similarity", s(A((3, 4)), A((3, 4))), s(A((3, 4)), A((3, 4)), 0)),
    f("pairwise_distance", s(A((3, 4)), A((3, 4))), s(A((3, 4)), A((3, 4)), 1.0, keepdim=True)),
    f("pdist", s(A((4, 3))), second=False),
]

LINEAR = [
    f(
        "linear",
        s(A((3, 4)), A((2, 4)), A((2,))),
        s(A((3, 4)), A((2, 4))),
        s(A((2, 3, 4)), A((2, 4)), A((2,))),
        s(A((2, 3, 4)), A((2, 4))),
        s(A((4,)), A((2, 4)), A((2,))),
        s(A((4,)), A((2, 4))),
        s(A((3, 4)), A((4,))),
    ),
    f("bilinear", s(A((3, 4)), A((3, 2)), A((5, 4, 2)), A((5,)))),
    f(
        "embedding",
        s(A(values=[[0, 2], [2, 1]], dtype="int64"), A((4, 3))),
    ),
    f("embedding", s(A(values=[[0, 2], [2, 1]], dtype="int64"), A((4, 3)), 2), fd=False),
    f(
        "one_hot",
        s(A(values=[0, 2, 1], dtype="int64")),
        s(A(values=[[1]], dtype="int64"), 3),
        differentiable=False,
    ),
    f(
        "embedding_bag",
        s(A(values=[[0, 2], [2, 1]], dtype="int64"), A((4, 3))),
        s(A(values=[0, 2, 2, 1], dtype="int64"), A((4, 3)), A(values=[0, 3], dtype="int64"), mode="sum"),
        second=False,
    ),
    f("scaled_dot_product_attention", s(A((2, 3, 4)), A((2, 5, 4)), A((2, 5, 2))), second=False),
    f(
        "scaled_dot_product_attention",
        s(A((2, 3, 4)), A((2, 3, 4)), A((2, 3, 4)), is_causal=True),
        second=False,
    ),
]

CONVOLUTIONS = [
    f(
        "conv1d",
        s(SIGNAL, A((6, 4, 3)), A((6,))),
        s(SIGNAL, A((6, 2, 3)), None, 2, 1, 1, 2),
        s(A((4, 7)), A((6, 4, 3)), None, 1, "same"),
    ),
    f(
        "conv2d",
        s(IMAGE, A((6, 4, 3, 3)), A((6,))),
        s(IMAGE, A((6, 4, 3, 2)), None, 2, 1),
        s(IMAGE, A((6, 2, 2, 3)), A((6,)), (1, 2), (2, 1), (2, 1), 2),
        s(IMAGE, A((4, 1, 3, 3)), None, 1, "same", 1, 4),
        s(IMAGE, A((2, 4, 2, 2)), None, 1, "valid"),
        s(A((4, 5, 6)), A((6, 4, 3, 3)), A((6,))),
    ),
    f("conv3d", s(VOLUME, A((3, 2, 2, 2, 3)), A((3,))), s(VOLUME, A((2, 1, 2, 2, 2)), None, 2, 1, 1, 2)),
    f("conv_transpose1d", s(SIGNAL, A((4, 3, 3)), A((3,))), s(SIGNAL, A((4, 3, 3)), None, 2, 1, 1)),
    f(
        "conv_transpose2d",
        s(IMAGE, A((4, 3, 2, 3)), A((3,))),
        s(IMAGE, A((4, 3, 3, 3)), None, 2, 1, 1, 2),
        s(IMAGE, A((4, 3, 2, 2)), None, 1, 0, 0, 1, 2),
    ),
    f("conv_transpose3d", s(VOLUME, A((2, 2, 2, 2, 2)), A((2,)))),
    f("unfold", s(IMAGE, 2), s(IMAGE, (2, 3), 2, 1, 2)),
    f("fold", s(A((2, 12, 20)), (5, 6), 2), s(A((2, 12, 12)), (5, 6), (2, 2), 1, 1, 2)),
]

POOLS = [
    f("max_pool1d", s(A((2, 3, 8), distinct=True), 2), s(A((3, 8), distinct=True), 3, 2, 1)),
    f("max_pool2d", s(APART, 2), s(APART, 3, 2, 1), s(APART, 2, 1, 0, 2), s(APART, 2, ceil_mode=True)),
    f("max_pool2d", s(APART, 2, return_indices=True), s(A((2, 5, 6), distinct=True), 2)),
    f("max_pool3d", s(A((1, 2, 4, 4, 4), distinct=True), 2)),
    f("avg_pool1d", s(SIGNAL, 2), s(SIGNAL, 3, 2, 1, False, False)),
    f(
        "avg_pool2d",
        s(IMAGE, 2),
        s(IMAGE, 3, 2, 1),
        s(IMAGE, 3, 2, 1, True),
        s(IMAGE, 3, 2, 1, True, False),
        s(IMAGE, (2, 3), 1, (1, 0), False, False),
        s(IMAGE, 2, divisor_override=3),
    ),
    f("avg_pool3d", s(VOLUME, 2), s(VOLUME, 2, 1, 1)),
    f("adaptive_avg_pool1d", s(SIGNAL, 3)),
    f("adaptive_avg_pool2d", s(IMAGE, 3), s(IMAGE, 1), s(IMAGE, (2, None)), s(IMAGE, (4, 7))),
    f("adaptive_avg_pool3d", s(VOLUME, 2)),
    f("adaptive_max_pool1d", s(A((2, 3, 8), distinct=True), 3)),
    f("adaptive_max_pool2d", s(APART, 3), s(APART, (2, 4), return_indices=True)),
    f("lp_pool1d", s(A((2, 3, 8), 0.5), 2.0, 2)),
    f("lp_pool2d", s(A((2, 3, 4, 4), 0.5), 3.0, 2)),
]

NORMS = [
    f(
        "batch_norm",
        s(A((4, 3)), None, None, A((3,)), A((3,)), True),
        s(A((2, 3, 2, 2)), None, None, None, None, True),
        s(A((4, 3)), A((3,), grad=False), A((3,), 0.5, 2.0, grad=False), A((3,)), A((3,))),
        s(A((4, 3)), A((3,), grad=False), A((3,), 0.5, 2.0, grad=False)),
        rtol=1e-7,
    ),
    f("layer_norm", s(A((3, 4)), (4,)), s(A((2, 3, 4)), (3, 4), A((3, 4)), A((3, 4))), rtol=1e-7),
    f("group_norm", s(A((2, 4, 3)), 2), s(A((2, 4, 3)), 4, A((4,)), A((4,))), rtol=1e-7),
    f("instance_norm", s(A((2, 3, 4))), s(A((2, 3, 4)), None, None, A((3,)), A((3,))), rtol=1e-7),
    f("rms_norm", s(A((3, 4)), (4,)), s(A((3, 4)), (4,), A((4,))), rtol=1e-7),
    f("local_response_norm", s(A((2, 5, 3)), 3), rtol=1e-7),
]

VISION = [
    f(
        "pad",
        s(X, (1, 2)),
        s(X, (1, 2, 3, 0), "constant", 1.5),
        s(X, (-1, 2)),
        s(IMAGE, (1, 2, 2, 1), "reflect"),
        s(SIGNAL, (2, 3), "reflect"),
        s(IMAGE, (1, 2, 2, 1), "replicate"),
        s(VOLUME, (1, 1, 2, 1, 0, 1), "replicate"),
    ),
    f("pad", s(IMAGE, (1, 2, 2, 1), "circular"), node=False),
    f(
        "interpolate",
        s(IMAGE, (7, 9)),
        s(IMAGE, scale_factor=2),
        s(IMAGE, (3, 4), mode="nearest-exact"),
        s(SIGNAL, 10),
        s(SIGNAL, 10, mode="linear"),
        s(IMAGE, (7, 9), mode="bilinear"),
        s(IMAGE, (7, 9), mode="bilinear", align_corners=True),
        s(IMAGE, scale_factor=1.7, mode="bilinear"),
        s(IMAGE, (7, 9), mode="bicubic"),
        s(IMAGE, scale_factor=0.7, mode="bicubic"),
        s(IMAGE, (7, 9), mode="bicubic", align_corners=True),
        s(IMAGE, (3, 4), mode="area"),
        s(VOLUME, scale_factor=2, mode="trilinear"),
    ),
    f("pixel_shuffle", s(A((1, 8, 2, 3)), 2)),
    f("pixel_unshuffle", s(A((1, 2, 4, 6)), 2)),
    f("channel_shuffle", s(A((1, 4, 2, 2)), 2)),
]

PAIR = (A((3, 4)), A((3, 4)))
TRIPLE = (A((3, 4)), A((3, 4)), A((3, 4)))

LOSSES = [
    *(f(name, *reductions(*PAIR)) for name in "mse_loss l1_loss smooth_l1_loss huber_loss".split()),
    f("smooth_l1_loss", s(*PAIR, beta=0.3), s(*PAIR, beta=0.0)),
    f("huber_loss", s(*PAIR, delta=0.4)),
    f("soft_margin_loss", *reductions(A((3, 4)), A((3, 4), grad=False))),
    f("kl_div", *(s(*PAIR, reduction=each, log_target=True) for each in ("batchmean", "sum", "none"))),
    f("kl_div", s(A((3, 4)), PROBABILITY, reduction="batchmean")),
    f(
        "poisson_nll_loss",
        *reductions(A((3, 4)), A((3, 4), 0.0, 4.0)),
        s(A((3, 4), 0.5), A((3, 4), 1.5, 4.0), False, True),
    ),
    f("gaussian_nll_loss", *reductions(*PAIR, A((3, 4), 0.5)), s(*PAIR, A((3, 1), 0.5), full=True)),
    f(
        "binary_cross_entropy",
        *reductions(PROBABILITY, PROBABILITY),
        s(PROBABILITY, PROBABILITY, A((4,), grad=False)),
    ),
    f(
        "binary_cross_entropy_with_logits",
        *reductions(A((3, 4)), PROBABILITY),
        s(A((3, 4)), PROBABILITY, A((4,), grad=False)),
        s(A((3, 4)), PROBABILITY, A((3, 4), grad=False), pos_weight=A((4,), 0.5, grad=False)),
        s(A((3, 4), 20.0, 90.0), PROBABILITY),
        s(A((3, 4), -90.0, -20.0), PROBABILITY),
    ),
    f("hinge_embedding_loss", *reductions(A((4,)), SIGNS)),
    f("margin_ranking_loss", *reductions(A((4,)), A((4,)), SIGNS, margin=0.3)),
    f("cosine_embedding_loss", *reductions(A((4, 3)), A((4, 3)), SIGNS, margin=0.1)),
    f("triplet_margin_loss", *reductions(*TRIPLE), s(*TRIPLE, swap=True, margin=2.0)),
    f("nll_loss", *reductions(LOGITS, CLASSES), s(LOGITS, IGNORING), s(LOGITS, CLASSES, WEIGHT)),
    f(
        "nll_loss",
        *reductions(A((2, 3, 4)), A((2, 4), 0, 3, "int64")),
        *reductions(A((2, 3, 2, 2)), A((2, 2, 2), 0, 3, "int64")),
        s(A((3,)), A(values=1, dtype="int64")),
    ),
    f(
        "cross_entropy",
        *reductions(LOGITS, CLASSES),
        s(LOGITS, IGNORING),
        *reductions(LOGITS, IGNORING, WEIGHT),
        *reductions(LOGITS, IGNORING, WEIGHT, label_smoothing=0.2),
        s(LOGITS, CLASSES, label_smoothing=0.2),
        s(LOGITS, CLASSES, ignore_index=2),
        *reductions(A((2, 3, 4)), A((2, 4), 0, 3, "int64")),
        s(A((2, 3, 2, 2)), A((2, 2, 2), 0, 3, "int64")),
        s(A((3,)), A(values=1, dtype="int64")),
    ),
    f(
        "cross_entropy",
        *reductions(LOGITS, A((4, 5), 0.0, 1.0)),
        s(LOGITS, A((4, 5), 0.0, 1.0), WEIGHT, label_smoothing=0.1),
        s(A((3,)), A((3,), 0.0, 1.0)),
    ),
    f("multi_margin_loss", *reductions(LOGITS, CLASSES), s(LOGITS, CLASSES, 2, 0.7, WEIGHT), second=False),
    f(
        "multilabel_margin_loss",
        *reductions(A((2, 4)), A(values=[[3, 0, -1, 1], [1, -1, 0, 0]], dtype="int64")),
        second=False,
    ),
    f("multilabel_soft_margin_loss", *reductions(A((3, 4)), PROBABILITY)),
]

NN_OPS: list[OpInfo] = [
    *ACTIVATIONS, *LINEAR, *CONVOLUTIONS, *POOLS, *NORMS, *VISION, *LOSSES,
]  # fmt: skip
