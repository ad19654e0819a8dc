"""Random numbers: the generator, one stream for every backend, distributions, in-place variants."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.stats
from expressions import check, check_error_type

import retrograd
from retrograd import random as rg_random
from retrograd.device import current_kernels


@pytest.fixture(autouse=True)
def forked() -> Iterator[None]:
    with rg_random.fork_rng():
        retrograd.manual_seed(0)
        yield


# -- the generator -----------------------------------------------------------------------------


def test_the_stream_is_philoxs(backend: str) -> None:
    """Known answers of Random123 for Philox4x64 with 10 rounds; its first words, the lower half first."""
    k = current_kernels()
    assert k.to_host(k.random_bits((0, 0), 0, 3)).tolist() == [0xCA36314C, 0x16554D9E, 0x672D0FDC]


def test_a_seed_repeats_its_numbers(backend: str) -> None:
    first = retrograd.manual_seed(5)
    assert first is retrograd.default_generator
    a = [retrograd.rand(3).tolist(), retrograd.randn(2).tolist(), retrograd.randperm(5).tolist()]
    retrograd.manual_seed(5)
    assert a == [retrograd.rand(3).tolist(), retrograd.randn(2).tolist(), retrograd.randperm(5).tolist()]
    assert retrograd.rand(3).tolist() != a[0]


def test_state_goes_back_and_forth(backend: str) -> None:
    state = retrograd.get_rng_state()
    assert state.dtype is retrograd.uint8
    a = retrograd.rand(5).tolist()
    retrograd.set_rng_state(state)
    assert retrograd.rand(5).tolist() == a


def test_state_is_checked() -> None:
    with pytest.raises(TypeError, match=r"RNG state must be a retrograd\.ByteTensor"):
        retrograd.set_rng_state(retrograd.zeros(16))
    with pytest.raises(RuntimeError, match="size 16 but found"):
        retrograd.set_rng_state(retrograd.zeros(3, dtype=retrograd.uint8))


def test_generators_are_independent() -> None:
    g = retrograd.Generator().manual_seed(3)
    a = retrograd.rand(4, generator=g)
    retrograd.rand(10)
    copy = g.clone_state()
    assert retrograd.rand(4, generator=g).tolist() == retrograd.rand(4, generator=copy).tolist()
    assert retrograd.rand(4, generator=g.manual_seed(3)).tolist() == a.tolist()
    again = pickle.loads(pickle.dumps(g))
    assert retrograd.rand(2, generator=again).tolist() == retrograd.rand(2, generator=g).tolist()


def test_fork_rng_restores_also_after_an_error() -> None:
    state = retrograd.get_rng_state().tolist()

    def fails() -> None:
        with rg_random.fork_rng():
            retrograd.rand(3)
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert retrograd.get_rng_state().tolist() == state


def test_seed_cannot_be_known() -> None:
    assert retrograd.seed() != retrograd.seed()
    assert retrograd.initial_seed() == rg_random.default_generator.initial_seed()


def test_a_draw_that_fails_uses_up_nothing(backend: str) -> None:
    leaf = retrograd.ones(2, requires_grad=True)
    state = retrograd.get_rng_state().tolist()
    for name in ("uniform_", "normal_", "bernoulli_", "random_", "exponential_", "cauchy_", "log_normal_"):
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            getattr(leaf, name)()
    assert leaf.tolist() == [1.0, 1.0]
    assert retrograd.get_rng_state().tolist() == state


# -- the same numbers on every backend ---------------------------------------------------------

EXACT: dict[str, Callable[[], Any]] = {
    "rand": lambda: retrograd.rand(1001),
    "rand float64": lambda: retrograd.rand(7, 5, dtype=retrograd.float64),
    "rand float16": lambda: retrograd.rand(100, dtype=retrograd.float16),
    "rand bfloat16": lambda: retrograd.rand(100, dtype=retrograd.bfloat16),
    "rand complex": lambda: retrograd.view_as_real(retrograd.rand(10, dtype=retrograd.complex64)),
    "randint": lambda: retrograd.randint(-5, 1000, (300,)),
    "randint of wide range": lambda: retrograd.randint(-(2**62), 2**62, (300,)),
    "randint uint8": lambda: retrograd.randint(0, 256, (300,), dtype=retrograd.uint8),
    "randperm": lambda: retrograd.randperm(501),
    "bernoulli": lambda: retrograd.bernoulli(retrograd.linspace(0, 1, 300)),
    "bernoulli p": lambda: retrograd.zeros(300).bernoulli_(0.3),
    "uniform_": lambda: retrograd.zeros(300).uniform_(-2, 5),
    "random_": lambda: retrograd.zeros(300, dtype=retrograd.int64).random_(),
    "multinomial": lambda: retrograd.multinomial(retrograd.tensor([1.0, 2.0, 3.0, 0.0]), 500, True),
    "multinomial without": lambda: retrograd.multinomial(retrograd.ones(4, 50), 20),
    "poisson": lambda: retrograd.poisson(retrograd.linspace(0, 20, 100)),
}

ROUNDED: dict[str, Callable[[], Any]] = {
    "randn": lambda: retrograd.randn(1001),
    "randn float64": lambda: retrograd.randn(1001, dtype=retrograd.float64),
    "randn float16": lambda: retrograd.randn(1001, dtype=retrograd.float16),
    "normal": lambda: retrograd.normal(retrograd.ones(300), 2.0),
    "normal_": lambda: retrograd.zeros(300).normal_(3, 2),
    "exponential_": lambda: retrograd.zeros(300).exponential_(2),
    "log_normal_": lambda: retrograd.zeros(300).log_normal_(),
    "geometric_": lambda: retrograd.zeros(300).geometric_(0.2),
}


def _on(name: str, make: Callable[[], Any]) -> Any:
    with retrograd.use_backend(name):
        retrograd.manual_seed(12345678901234567890)
        made = make()
        made = made.float() if made.dtype is retrograd.bfloat16 else made
        return made.numpy().copy()


@pytest.mark.parametrize("name", EXACT)
def test_numbers_are_equal_on_all_backends(name: str) -> None:
    pytest.importorskip("jax")
    np.testing.assert_array_equal(_on("numpy", EXACT[name]), _on("jax", EXACT[name]))


@pytest.mark.parametrize("name", ROUNDED)
def test_numbers_agree_to_a_rounding_on_all_backends(name: str) -> None:
    pytest.importorskip("jax")
    ours, theirs = _on("numpy", ROUNDED[name]), _on("jax", ROUNDED[name])
    # Libraries compute logarithm, sine and cosine to within some units of the last place of a number near 1.
    ulps = 1 if ours.dtype == np.float16 else 8
    scale = np.spacing(np.maximum(np.maximum(np.abs(ours), np.abs(theirs)), 1).astype(ours.dtype))
    assert (np.abs(ours.astype(float) - theirs.astype(float)) <= ulps * scale.astype(float)).all()
    assert (ours == theirs).mean() > 0.5


# -- distributions -----------------------------------------------------------------------------

CONTINUOUS: dict[str, tuple[Callable[[], Any], Any]] = {
    "rand": (lambda: retrograd.rand(50_000), scipy.stats.uniform),
    "rand float64": (lambda: retrograd.rand(50_000, dtype=retrograd.float64), scipy.stats.uniform),
    "randn": (lambda: retrograd.randn(50_001), scipy.stats.norm),
    "randn float64": (lambda: retrograd.randn(50_001, dtype=retrograd.float64), scipy.stats.norm),
    "normal": (lambda: retrograd.normal(3.0, 2.0, (50_000,)), scipy.stats.norm(3, 2)),
    "normal_": (lambda: retrograd.zeros(50_000).normal_(-1, 0.5), scipy.stats.norm(-1, 0.5)),
    "uniform_": (lambda: retrograd.zeros(50_000).uniform_(2, 5), scipy.stats.uniform(2, 3)),
    "exponential_": (lambda: retrograd.zeros(50_000).exponential_(2), scipy.stats.expon(scale=0.5)),
    "cauchy_": (lambda: retrograd.zeros(50_000).cauchy_(1, 2), scipy.stats.cauchy(1, 2)),
    "log_normal_": (lambda: retrograd.zeros(50_000).log_normal_(0, 1), scipy.stats.lognorm(1)),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_distributions(name: str) -> None:
    make, distribution = CONTINUOUS[name]
    numbers = make().double().numpy()
    assert scipy.stats.kstest(numbers, distribution.cdf).pvalue > 0.01
    correlation = np.corrcoef(np.argsort(np.argsort(numbers))[:-1], np.argsort(np.argsort(numbers))[1:])[0, 1]
    assert abs(correlation) < 4 / math.sqrt(len(numbers))


DISCRETE: dict[str, tuple[Callable[[], Any], list[float]]] = {
    "randint": (lambda: retrograd.randint(0, 6, (30_000,)), [1 / 6] * 6),
    "bernoulli": (lambda: retrograd.bernoulli(retrograd.full((30_000,), 0.3)).long(), [0.7, 0.3]),
    "bernoulli_": (lambda: retrograd.zeros(30_000).bernoulli_(0.8).long(), [0.2, 0.8]),
    "multinomial": (
        lambda: retrograd.multinomial(retrograd.tensor([1.0, 0.0, 3.0]), 30_000, replacement=True),
        [0.25, 0.0, 0.75],
    ),
    "multinomial without replacement": (
        lambda: retrograd.multinomial(retrograd.tensor([1.0, 2.0, 7.0]).expand(30_000, 3), 1).reshape(-1),
        [0.1, 0.2, 0.7],
    ),
    "randperm": (lambda: retrograd.stack([retrograd.randperm(4)[0] for _ in range(2000)]), [0.25] * 4),
    "poisson": (
        lambda: retrograd.poisson(retrograd.full((30_000,), 1.5)).clamp(max=4).long(),
        [*scipy.stats.poisson(1.5).pmf(range(4)), float(scipy.stats.poisson(1.5).sf(3))],
    ),
    "geometric_": (
        lambda: retrograd.zeros(30_000).geometric_(0.5).clamp(max=4).long() - 1,
        [0.5, 0.25, 0.125, 0.125],
    ),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_distributions(name: str) -> None:
    make, probabilities = DISCRETE[name]
    counts = np.bincount(make().numpy(), minlength=len(probabilities))
    expected = np.array(probabilities) * counts.sum()
    assert (counts[expected == 0] == 0).all()
    assert scipy.stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 0.01


def test_complex_numbers_have_variance_one() -> None:
    numbers = retrograd.randn(20_000, dtype=retrograd.complex64).numpy()
    assert abs(np.mean(np.abs(numbers) ** 2) - 1) < 0.03
    assert abs(np.mean(numbers)) < 0.03


def test_uniform_numbers_stay_below_one(backend: str) -> None:
    for dtype in (retrograd.float16, retrograd.bfloat16, retrograd.float32):
        numbers = retrograd.rand(20_000, dtype=dtype).double()
        assert numbers.max().item() < 1
        assert numbers.min().item() >= 0


def test_permutations_hold_each_number_once(backend: str) -> None:
    assert sorted(retrograd.randperm(100).tolist()) == list(range(100))
    drawn = retrograd.multinomial(retrograd.ones(20), 20)
    assert sorted(drawn.tolist()) == list(range(20))


def test_zero_weights_come_last(backend: str) -> None:
    weights = retrograd.tensor([[0.0, 1.0, 0.0, 1.0]]).expand(50, 4)
    first = retrograd.multinomial(weights, 2)
    assert set(first.reshape(-1).tolist()) == {1, 3}


def test_the_mask_of_dropout(backend: str) -> None:
    k = current_kernels()
    mask = k.to_host(rg_random.bernoulli_mask((100, 100), 0.25, k))
    assert mask.dtype == np.bool_
    assert abs(mask.mean() - 0.25) < 0.02
    assert k.to_host(rg_random.bernoulli_mask((50,), 1.0, k)).all()
    assert not k.to_host(rg_random.bernoulli_mask((50,), 0.0, k)).any()


# -- as PyTorch's ------------------------------------------------------------------------------

VALUES = """
torch.rand(2, 3).shape
torch.rand((2, 3), dtype=torch.float64).dtype
torch.rand(0)
torch.rand(size=(2,)).shape
torch.rand(2, requires_grad=True).requires_grad
torch.randn(2, 3, dtype=torch.complex128).dtype
torch.rand(()).shape
torch.randint(3, 4, (2,))
torch.randint(low=2, high=3, size=(2,))
torch.randint(1, (2,))
torch.randint(high=1, size=(2,))
torch.randint(0, 1, (2,), dtype=torch.float32)
torch.randint(0, 1, (2,), dtype=torch.bool)
torch.randperm(0)
torch.randperm(1, dtype=torch.float32)
torch.rand_like(torch.zeros(2, 3, dtype=torch.float64)).dtype
torch.randn_like(torch.tensor([1.0]), dtype=torch.float64).dtype
torch.randint_like(torch.tensor([1.0]), 3, 4)
torch.randint_like(torch.tensor([1.0]), 1)
torch.bernoulli(torch.tensor([0.0, 1.0]))
torch.bernoulli(torch.tensor([1, 1]), 1.0)
torch.bernoulli(torch.tensor([1.0], requires_grad=True))
torch.tensor([1, 2]).bernoulli_(1.0)
torch.tensor([1, 2]).bernoulli_(torch.tensor(1.0))
torch.multinomial(torch.tensor([0.0, 2.0]), 1)
torch.multinomial(torch.tensor([[1.0, 0], [0, 1]]), 1)
torch.multinomial(torch.tensor([0.0, 2.0]), 3, True)
torch.normal(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.0]))
torch.normal(torch.tensor([1.0, 2.0], requires_grad=True), 0.0)
torch.normal(1.0, torch.tensor([0.0, 0.0], requires_grad=True))
torch.normal(torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([0.0, 0.0]))
torch.normal(torch.tensor([1.0, 2.0]), torch.tensor([[1.0], [0.0]])).shape
torch.normal(2.0, 0.0, (2,))
torch.normal(2.0, 0.0, size=(2,), dtype=torch.float64)
torch.poisson(torch.zeros(2, requires_grad=True))
(torch.ones(2, requires_grad=True) * 1).uniform_().grad_fn
(torch.ones(2, requires_grad=True) * 1).normal_().grad_fn
(torch.ones(2, requires_grad=True) * 1).bernoulli_().grad_fn
(torch.ones(2, requires_grad=True) * 1).bernoulli_(torch.tensor(1.0)).grad_fn
(torch.ones(2, requires_grad=True) * 1).random_().grad_fn
(torch.ones(2, requires_grad=True) * 1).random_(3).grad_fn
(torch.ones(2, requires_grad=True) * 1).random_(1, 3).grad_fn
(torch.ones(2, requires_grad=True) * 1).exponential_().grad_fn
(torch.ones(2, requires_grad=True) * 1).cauchy_().grad_fn
(torch.ones(2, requires_grad=True) * 1).log_normal_().grad_fn
(torch.ones(2, requires_grad=True) * 1).geometric_(0.5).grad_fn
torch.zeros(2).random_(3, 4)
torch.zeros(2, dtype=torch.uint8).random_(1)
torch.manual_seed(-1).initial_seed()
torch.Generator().initial_seed()
torch.Generator().manual_seed(3).initial_seed()
""".strip().splitlines()

ERRORS = """
torch.rand(2, dtype=torch.int64)
torch.randn(2, dtype=torch.int64)
torch.rand_like(torch.tensor([1]))
torch.randint(5, 2, (2,))
torch.randint(5, 2)
torch.randint(0, 300, (2,), dtype=torch.uint8)
torch.randint(0, (2,))
torch.randperm(-1)
torch.randperm(3, requires_grad=True)
torch.manual_seed(2**64)
torch.manual_seed(-2**63 - 1)
torch.manual_seed('a')
torch.bernoulli(torch.tensor([2.0]))
torch.bernoulli(torch.tensor([1]))
torch.tensor([1.0]).bernoulli_(2)
torch.tensor([1.0]).bernoulli_(torch.tensor([float('nan')]))
torch.multinomial(torch.tensor([1.0, 2]), 3)
torch.multinomial(torch.tensor([1.0, -1]), 1)
torch.multinomial(torch.tensor([0.0, 0]), 1)
torch.multinomial(torch.tensor([0.0, 0]), 1, True)
torch.multinomial(torch.tensor([1, 2]), 1)
torch.multinomial(torch.tensor(1.0), 1)
torch.multinomial(torch.tensor([1.0, 2]), 0)
torch.multinomial(torch.tensor([1.0, float('nan')]), 1)
torch.normal(torch.tensor([1.0, 2]), -1.0)
torch.normal(0, -1.0, (2,))
torch.normal(0.0, torch.tensor([1.0, -2]))
torch.normal(torch.tensor([1, 2]), 1.0)
torch.poisson(torch.tensor([-1.0]))
torch.tensor([1.0]).uniform_(2, 1)
torch.tensor([1.0]).uniform_(0, inf)
torch.tensor([1]).uniform_()
torch.tensor([1]).normal_()
torch.tensor([1.0]).normal_(0, -1)
torch.tensor([1.0]).exponential_(0)
torch.tensor([1]).exponential_()
torch.tensor([1.0]).random_(3, 1)
torch.tensor([1.0]).random_(0)
torch.tensor([1], dtype=torch.uint8).random_(0, 300)
torch.tensor([1.0]).geometric_(0)
torch.tensor([1.0]).geometric_(1.0)
torch.tensor([1.0]).cauchy_(0, -1)
torch.tensor([1.0]).log_normal_(0, -1)
torch.ones(2, requires_grad=True).uniform_()
torch.tensor([1.0]).uniform_(generator=3)
""".strip().splitlines()


@pytest.mark.parametrize("line", [*VALUES, *ERRORS])
def test_as_pytorch(line: str, backend: str) -> None:
    check(line)


@pytest.mark.parametrize(
    "line",
    [
        "torch.normal(0.0, 1.0)",
        "torch.randint(0, 2.5, (2,))",
        "torch.randint()",
        "torch.rand(2, generator=3)",
    ],
)
def test_errors_are_of_pytorchs_types(line: str, backend: str) -> None:
    check_error_type(line)


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: x.uniform_(),
        lambda x: x.normal_(),
        lambda x: x.bernoulli_(0.5),
        lambda x: x.random_(0, 3),
        lambda x: retrograd.bernoulli(x.abs()),
        lambda x: retrograd.normal(x, 1.0),
        lambda x: retrograd.normal(x, x.abs()),
    ],
)
def test_what_is_drawn_has_no_gradient(draw: Callable[[Any], Any], backend: str) -> None:
    x = retrograd.tensor([0.2, 0.4], requires_grad=True)
    draw(x * 1).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.0]


def test_writing_through_a_view_reaches_the_base(backend: str) -> None:
    base = retrograd.zeros(2, 3)
    base[1].uniform_(5, 6)
    assert base[0].tolist() == [0.0, 0.0, 0.0]
    assert min(base[1].tolist()) >= 5
    assert base._version == 1


def test_both_parts_of_complex_numbers_are_drawn(backend: str) -> None:
    z = retrograd.zeros(2000, dtype=retrograd.complex64)
    for drawn in z.clone().uniform_(-1, 2), retrograd.nn.init.uniform_(z.clone(), -1, 2):
        for part in drawn.real, drawn.imag:
            assert -1 <= part.min() < -0.9
            assert 1.9 < part.max() < 2
    for drawn in z.clone().normal_(1, 2), retrograd.nn.init.normal_(z.clone(), 1, 2):
        assert abs(drawn.mean() - 1) < 0.2
        assert all(abs(part.var() - 2) < 0.3 for part in (drawn.real, drawn.imag))
    wide = retrograd.complex64
    for layer, shape in (
        (retrograd.nn.Linear(2, 3, dtype=wide), (1, 2)), (retrograd.nn.Conv1d(2, 3, 2, dtype=wide), (1, 2, 4)),
    ):  # fmt: skip
        assert layer(retrograd.ones(shape, dtype=wide)).dtype is wide
        assert layer.weight.imag.abs().min() > 0


def test_small_draws_are_those_of_a_large_one(backend: str) -> None:
    """What is made ahead for small draws (Note [Small draws]) changes no number, in whichever order they are drawn."""
    g = retrograd.Generator()
    for draw in (retrograd.rand, retrograd.randn):
        whole = draw(4096, generator=g.manual_seed(5)).tolist()
        g.manual_seed(5)
        parts = [(draw(16, generator=g).tolist(), retrograd.randint(9, (8,), generator=g)) for _ in range(150)]
        for i, (part, _) in enumerate(parts):
            assert part == whole[24 * i : 24 * i + 16]
        for block in (200, 3, 100, 3):
            g.manual_seed(5)
            retrograd.rand(8 * block, generator=g)
            assert draw(24, generator=g).tolist() == whole[8 * block : 8 * block + 24]
            g.manual_seed(6)
            assert draw(8, generator=g).tolist() != whole[:8]
