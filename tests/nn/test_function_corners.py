"""What functions of nn give at the edges of what they take, as PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"])
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


@pytest.mark.usefixtures("_backend")
def test_output_padding_beyond_the_stride() -> None:
    assert_same("""
    x, w = torch.ones(1, 1, 3, 3, requires_grad=True), torch.ones(1, 1, 2, 2, requires_grad=True)
    out = F.conv_transpose2d(x, w, torch.ones(1), stride=(1, 3), padding=(1, 0), output_padding=(1, 3), dilation=(2, 4))
    print(out.detach(), torch.autograd.grad((out * out).sum(), (x, w)))
    """)


@pytest.mark.usefixtures("_backend")
def test_vectors_of_unlike_shapes_have_the_cosine_of_what_they_broadcast_to() -> None:
    assert_same("""
    x, y = torch.arange(6.0).reshape(1, 2, 3) + 1, torch.ones(2, 1, 3)
    print(F.cosine_similarity(x, y, dim=-2), F.cosine_similarity(x, y, dim=0), F.cosine_similarity(x, y, dim=2))
    """)


def test_what_is_cut_off_does_not_come_round() -> None:
    assert_same("""
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    print(F.pad(x, (-1, 1, -2, 1), "circular"), F.pad(x, (2, -1, 1, -1), "circular"))
    """)


def test_targets_that_are_no_class_are_refused(backend: str) -> None:
    assert_same(
        """
    for target in [0, -1], [0, 3], [0, -9], [0, -100]:
        for weight in None, torch.ones(3):
            for function in F.nll_loss, F.cross_entropy:
                attempt(lambda: function(torch.zeros(2, 3), torch.tensor(target), weight=weight))
    attempt(F.cross_entropy, torch.zeros(1, 3, 2, 2), torch.full((1, 2, 2), 5))
    """
    )


def test_pixels_are_not_shuffled_by_what_is_no_factor(backend: str) -> None:
    assert_same("""
    x = torch.ones(1, 4, 2, 2)
    for function in F.pixel_shuffle, F.pixel_unshuffle:
        for given, factor in (x, 0), (x, -2), (x, 3), (torch.ones(4, 2), 2):
            attempt(function, given, factor)
    x = torch.arange(16.0).reshape(1, 4, 2, 2).requires_grad_()
    y = F.pixel_shuffle(x, 2)
    print(y.detach(), y.grad_fn.name(), y.grad_fn._saved_upscale_factor, torch.equal(F.pixel_unshuffle(y, 2), x))
    (slope,) = torch.autograd.grad((y**3).sum(), x, create_graph=True)
    print(slope.detach(), torch.autograd.grad(slope.sum(), x))
    """)
