"""A backend made of an array API namespace trains a network as NumPy does."""

import importlib.util
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import retrograd
from retrograd.backends import registry
from retrograd.backends.array_api import array_api_backend
from retrograd.backends.spec import hookimpl
from retrograd.nn import functional

LIBRARIES = {"strict": "array_api_strict", "adapted": "jax.numpy"}


class Plugin:
    """One backend whose arrays can be written to, and one whose cannot."""

    @staticmethod
    @hookimpl
    def retrograd_backends() -> Iterator[Any]:
        for name, library in LIBRARIES.items():
            yield array_api_backend(name, library, install=f"pip install {library}")


@pytest.fixture(params=LIBRARIES)
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    if importlib.util.find_spec(LIBRARIES[request.param].partition(".")[0]) is None:
        pytest.skip(f"{LIBRARIES[request.param]} is not installed")
    unregister = registry.register(Plugin)
    if request.param == "adapted":
        retrograd.device("jax")  # the built-in backend enables JAX's 64-bit types
    yield request.param
    unregister()


def _train(backend: str) -> list[Any]:
    """Three steps of a small classifier: the losses, then the gradients and weights as NumPy arrays."""
    with retrograd.use_backend(backend):
        retrograd.manual_seed(0)
        x, y = retrograd.randn(8, 6), retrograd.arange(8) % 3
        shapes = ((6, 5), (5,), (5, 3))
        weights = [retrograd.randn(*shape).mul_(0.3).requires_grad_() for shape in shapes]
        losses: list[Any] = []
        for _ in range(3):
            hidden = (x @ weights[0] + weights[1]).tanh()
            scores = (hidden @ weights[2]).log_softmax(1)
            loss = -scores[retrograd.arange(8), y].mean()
            loss.backward()
            losses.append(np.array(loss.item()))
            gradients = [each.grad.numpy().copy() for each in weights]
            with retrograd.no_grad():
                for each in weights:
                    each -= 0.5 * each.grad
                    each.grad = None
        return losses + gradients + [each.detach().numpy() for each in weights]


def test_training_equals_numpys(name: str) -> None:
    for result, expected in zip(_train(name), _train("numpy"), strict=True):
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_views_share_memory(name: str) -> None:
    x = retrograd.zeros(3, 4, device=name)
    row, flat = x[1], x.view(-1)
    row.fill_(7)
    x.t()[0, 2] = 5
    assert flat.tolist() == [0, 0, 0, 0, 7, 7, 7, 7, 5, 0, 0, 0]
    assert x.device == retrograd.device(name)


def test_second_derivatives(name: str) -> None:
    x = retrograd.tensor([0.5, -1.0], device=name, requires_grad=True)
    (first,) = retrograd.autograd.grad((x.exp() * x).sum(), x, create_graph=True)
    (second,) = retrograd.autograd.grad(first.sum(), x)
    expected = np.exp([0.5, -1.0]) * np.array([2.5, 1.0])
    np.testing.assert_allclose(second.numpy(), expected, rtol=1e-5)


def test_convolution_is_composed(name: str) -> None:
    """The standard has no convolution: the core's composition of required kernels is used."""
    x = retrograd.arange(32, dtype=retrograd.float32).reshape(1, 2, 4, 4)
    w = retrograd.ones(3, 2, 3, 3)
    expected = functional.conv2d(x, w, padding=1)
    result = functional.conv2d(x.to(name), w.to(name), padding=1)
    assert result.device == retrograd.device(name)
    np.testing.assert_array_equal(result.numpy(), expected.numpy())


def test_own_kernels_replace_derived_ones() -> None:
    pytest.importorskip("array_api_strict")
    calls = []

    def matmul(a: Any, b: Any) -> Any:
        calls.append((a.shape, b.shape))
        return a @ b

    spec = array_api_backend("own", "array_api_strict", kernels={"matmul": matmul})
    unregister = registry.register(SimpleNamespace(retrograd_backends=hookimpl(lambda: [spec])))
    try:
        a = retrograd.ones(2, 3, device="own")
        assert (a @ a.t()).tolist() == [[3, 3], [3, 3]]
    finally:
        unregister()
    assert calls == [((2, 3), (3, 2))]


def test_named_devices() -> None:
    strict = pytest.importorskip("array_api_strict")
    devices = {"cpu": None, "first": strict.Device("device1")}
    spec = array_api_backend("placed", strict, devices=devices)
    unregister = registry.register(SimpleNamespace(retrograd_backends=hookimpl(lambda: [spec])))
    try:
        x = retrograd.ones(2, device="placed:first")
        assert x._array.device == strict.Device("device1")
        assert str((x + x).device) == "placed:first"
        with pytest.raises(RuntimeError, match="placed:first and placed:cpu"):
            x + retrograd.ones(2, device="placed")
    finally:
        unregister()


def test_mutable_needs_its_memory_kernels() -> None:
    """Without `strides` and the like, in-place operations could not know what they write to."""
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="mutable=True needs the kernels address, offset, owns, strides"):
        array_api_backend("wrong", strict, mutable=True)


def test_it_can_be_mapped_over(name: str) -> None:
    with retrograd.use_backend(name):
        weight, rows = retrograd.randn(3, 4), retrograd.randn(5, 4)
        targets = retrograd.arange(5) % 3

        def loss(weight: retrograd.Tensor, row: retrograd.Tensor, target: retrograd.Tensor) -> retrograd.Tensor:
            return retrograd.nn.functional.cross_entropy((weight @ row)[None], target[None])

        mapped = retrograd.func.vmap(retrograd.func.grad(loss), (None, 0, 0))(weight, rows, targets)
        for i in range(5):
            alone = retrograd.func.grad(loss)(weight, rows[i], targets[i])
            np.testing.assert_allclose(mapped[i].numpy(), alone.numpy(), rtol=1e-5, atol=1e-6)
