"""Parametrizations, and weights under a norm, beside PyTorch's."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from programs import assert_same
from twins import assert_twins


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Both libraries warn that `nn.utils.weight_norm` is an older way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


GIVEN = """
import copy
P, N, U = nn.utils.parametrize, nn.utils.parametrizations, nn.utils

class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).transpose(-1, -2)

    def right_inverse(self, x):
        return x.triu()

class Double(nn.Module):
    def forward(self, x):
        return 2 * x

class Sum(nn.Module):
    def forward(self, x, y):
        return x + y

    def right_inverse(self, x):
        return x / 4, x * 3 / 4

class Odd(nn.Module):
    def __init__(self, forward=lambda x: x, right_inverse=None):
        super().__init__()
        self.function = forward
        if right_inverse is not None:
            self.right_inverse = right_inverse

    def forward(self, *x):
        return self.function(*x)

def layer():
    made = nn.Linear(2, 2)
    with torch.no_grad():
        made.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        made.bias.zero_()
    return made

def names(module):
    return [name for name, _ in module.named_parameters()], list(module.state_dict())
"""


@pytest.mark.parametrize(
    "program",
    [
        """
        m = P.register_parametrization(layer(), "weight", Symmetric())
        print(m.weight, names(m), type(m), P.is_parametrized(m), P.is_parametrized(m, "bias"))
        print(m, isinstance(m, nn.Linear), P.type_before_parametrizations(m).__name__)
        m(torch.ones(1, 2)).sum().backward()
        print(m.parametrizations.weight.original.grad)
        m.weight = torch.tensor([[5.0, 6.0], [7.0, 8.0]])
        print(m.weight, m.parametrizations.weight.original)
        """,
        """
        m = layer()
        original = m.weight
        P.register_parametrization(m, "weight", Symmetric())
        P.register_parametrization(m, "weight", Double())
        P.register_parametrization(m, "bias", Double())
        print(m.weight, m.parametrizations.weight.original is original, names(m), len(m.parametrizations.weight))
        P.remove_parametrizations(m, "weight")
        print(m.weight, m.weight is original, names(m), type(m))
        P.remove_parametrizations(m, "bias", leave_parametrized=False)
        print(m.bias, names(m), type(m), hasattr(m, "parametrizations"))
        """,
        """
        m = P.register_parametrization(layer(), "weight", Sum())
        print(m.weight, names(m))
        m.weight = torch.ones(2, 2)
        print(m.parametrizations.weight.original0, m.parametrizations.weight.original1)
        attempt(P.remove_parametrizations, m, "weight", leave_parametrized=False)
        print(P.remove_parametrizations(m, "weight").weight, names(m))
        """,
        """
        m = layer()
        m.register_buffer("scale", torch.tensor([1.0, 2.0]))
        P.register_parametrization(m, "scale", Double())
        print(m.scale, names(m))
        print(P.remove_parametrizations(m, "scale").scale, names(m))
        """,
        """
        m = P.register_parametrization(layer(), "weight", Symmetric())
        with P.cached():
            with P.cached():
                print(m.weight is m.weight)
            first = m.weight
            print(first is m.weight)
        print(m.weight is m.weight, first is m.weight)
        """,
        """
        m = P.register_parametrization(layer(), "weight", Symmetric())
        other = copy.deepcopy(m)
        other.weight = torch.zeros(2, 2)
        print(m.weight, other.weight, type(other))
        import pickle
        attempt(pickle.dumps, m)
        """,
        """
        m, other = P.register_parametrization(layer(), "weight", Sum()), layer()
        other.weight.data.zero_()
        P.transfer_parametrizations_and_params(m, other)
        print(other.weight, names(other))
        one, other = P.register_parametrization(layer(), "weight", Double()), nn.Identity()
        P.transfer_parametrizations_and_params(one, other, "weight")
        print(other.weight, names(other), type(P.transfer_parametrizations_and_params(layer(), other)))
        """,
        "m = P.register_parametrization(layer().eval(), 'weight', Symmetric()); print(m.parametrizations.training)",
        "P.register_parametrization(layer(), 'missing', Symmetric())",
        "P.remove_parametrizations(layer(), 'weight')",
        "P.ParametrizationList([], layer().weight)",
        "P.register_parametrization(layer(), 'weight', Odd(lambda x: 3))",
        "P.register_parametrization(layer(), 'weight', Odd(lambda x: x.double()))",
        "P.register_parametrization(layer(), 'weight', Odd(lambda x: x[0]))",
        "print(P.register_parametrization(layer(), 'weight', Odd(lambda x: x[0]), unsafe=True).weight)",
        "P.register_parametrization(layer(), 'weight', Odd(right_inverse=lambda x: 3))",
        "P.register_parametrization(layer(), 'weight', Odd(right_inverse=lambda x: x.double()))",
        "P.register_parametrization(layer(), 'weight', Odd(right_inverse=lambda x: (x, 3)))",
        *(
            f"""
            m = P.register_parametrization(layer(), "weight", Symmetric())
            P.register_parametrization(m, "weight", Odd({odd}))
            """
            for odd in (
                "lambda x: 3",
                "lambda x: x.double()",
                "lambda x: x[0]",
                "right_inverse=lambda x: 3",
                "right_inverse=lambda x: x.double()",
                "right_inverse=lambda x: x[0]",
            )
        ),
        "m = P.register_parametrization(layer(), 'weight', Double()); m.weight = torch.zeros(2, 2)",
        """
        m = P.register_parametrization(layer(), "weight", Sum())
        m.parametrizations.weight[0].right_inverse = lambda x: x
        attempt(setattr, m, "weight", torch.zeros(2, 2))
        m.parametrizations.weight[0].right_inverse = lambda x: (x,)
        attempt(setattr, m, "weight", torch.zeros(2, 2))
        m.parametrizations.weight[0].right_inverse = lambda x: (x.double(), x)
        attempt(setattr, m, "weight", torch.zeros(2, 2))
        m.parametrizations.weight[0].right_inverse = lambda x: (x, 3)
        attempt(setattr, m, "weight", torch.zeros(2, 2))
        """,
        """
        m = P.register_parametrization(layer(), "weight", Symmetric())
        m.parametrizations.weight[0].right_inverse = lambda x: 3
        attempt(setattr, m, "weight", torch.zeros(2, 2))
        m.parametrizations.weight[0].right_inverse = lambda x: x.double()
        attempt(setattr, m, "weight", torch.zeros(2, 2))
        """,
        """
        m = N.weight_norm(layer())
        print(m, names(m), P.remove_parametrizations(m, "weight").weight)
        old = U.weight_norm(layer())
        print(old, names(old), N.weight_norm(layer()).load_state_dict(old.state_dict()))
        attempt(U.weight_norm, old)
        print(U.remove_weight_norm(old).weight, names(old))
        attempt(U.remove_weight_norm, old)
        """,
        """
        m = U.spectral_norm(layer())
        print(m, names(m), m.state_dict()._metadata)
        attempt(U.spectral_norm, m)
        m(torch.ones(1, 2))
        U.remove_spectral_norm(m)
        print(names(m), m.state_dict()._metadata)
        attempt(U.remove_spectral_norm, m)
        attempt(U.spectral_norm, layer(), n_power_iterations=0)
        attempt(U.spectral_norm, nn.Linear(2, 2, bias=False), "bias")
        """,
        """
        m = N.spectral_norm(layer(), n_power_iterations=30)
        print(m, names(m))
        for _ in range(5):
            m.weight
        print(m.eval().weight, N.spectral_norm(layer(), "bias").bias)
        attempt(N.spectral_norm, layer(), "missing")
        attempt(N.spectral_norm, layer(), n_power_iterations=0)
        attempt(N.spectral_norm, layer(), dim=2)
        print(P.remove_parametrizations(m, "weight").weight)
        """,
    ],
)
def test_parametrizing_is_torchs(program: str) -> None:
    assert_same(program if program.startswith("\n") else program + "; print('accepted')", GIVEN)


ORTHOGONAL: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((3, 3), {}),
    ((5, 3), {}),
    ((3, 5), {}),
    ((3, 3), {"orthogonal_map": "cayley"}),
    ((5, 3), {"orthogonal_map": "cayley"}),
    ((3, 5), {"orthogonal_map": "matrix_exp"}),
    ((3, 3), {"orthogonal_map": "householder"}),
    ((2, 4, 3), {"orthogonal_map": "householder"}),
    ((2, 3, 4), {"orthogonal_map": "matrix_exp"}),
    ((4, 3), {"orthogonal_map": "householder", "use_trivialization": False}),
    ((3, 4), {"orthogonal_map": "householder", "use_trivialization": False}),
    ((3, 4), {"orthogonal_map": "cayley", "use_trivialization": False}),
]


def _orthogonal(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    def make(torch: Any) -> Any:
        module = torch.nn.Module()
        values = [1.0 + (7 * i * i + 3 * i) % 11 / 4 for i in range(math.prod(shape))]
        module.weight = torch.nn.Parameter(torch.tensor(values, dtype=torch.float64).reshape(shape))
        return torch.nn.utils.parametrizations.orthogonal(module, **options)

    def use(torch: Any, module: Any, x: Any) -> Any:
        with torch.no_grad():  # away from where it begins
            lower = 0.3 * x.detach().tril(-1) if shape[-2] >= shape[-1] else 0.3 * x.detach().triu(1)
            module.parametrizations.weight.original.add_(lower)
        return [module.weight, (module.weight * x).sum()]

    assert_twins(make, [shape], use)


@pytest.mark.parametrize(("shape", "options"), ORTHOGONAL)
def test_orthogonal_equals_torchs(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    _orthogonal(shape, options)


def test_orthogonal_equals_torchs_on_every_backend(backend: str) -> None:
    _orthogonal((5, 3), {})


@pytest.mark.parametrize(
    "program",
    [
        "m = N.orthogonal(layer()); print(m, names(m), torch.allclose(m.weight @ m.weight.T, torch.eye(2), atol=1e-6))",
        "m = N.orthogonal(layer()); print(m.parametrizations.weight[0].base, m.parametrizations.weight.original)",
        """
        m = N.orthogonal(layer(), use_trivialization=False, orthogonal_map="householder")
        print(m.weight + 0.0, m.parametrizations.weight.original)
        m.weight = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
        print(m.weight + 0.0, m.parametrizations.weight.original)
        m.weight = torch.eye(2)
        print(m.weight + 0.0, m.parametrizations.weight.original)
        """,
        "m = N.orthogonal(layer()); m.weight = torch.tensor([[0.0, 1.0], [-1.0, 0.0]]); print(m.weight)",
        "m = N.orthogonal(layer(), use_trivialization=False); m.weight = torch.eye(2)",
        "m = N.orthogonal(layer()); m.weight = torch.eye(3)",
        "N.orthogonal(layer(), 'missing')",
        "N.orthogonal(layer(), 'bias')",
        "N.orthogonal(layer(), orthogonal_map='other')",
        """
        m = nn.Module()
        m.register_buffer("turn", torch.tensor([[1j, 0], [0, 1]]))
        N.orthogonal(m, "turn", "householder")
        """,
    ],
)
def test_orthogonal_does_as_torchs(program: str) -> None:
    assert_same(program if program.startswith("\n") else program + "; print('accepted')", GIVEN)


def test_skip_init_is_torchs() -> None:
    assert_same(
        """
        state = torch.get_rng_state()
        m = nn.utils.skip_init(nn.Conv2d, 2, 3, kernel_size=1, bias=False)
        print(m, m.weight.shape, m.weight.requires_grad, (torch.get_rng_state() == state).all())
        attempt(nn.utils.skip_init, nn.Identity)
        attempt(nn.utils.skip_init, str)
        """
    )


def _twice(torch: Any, module: Any, x: Any) -> Any:
    """Two uses before the gradients, for a norm may change its estimate in each."""
    return [module(x), module(2 * x), module.weight]


NORMS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "weight": (lambda N, nn: N.weight_norm(nn.Linear(4, 3)), (2, 4)),
    "weight of columns": (lambda N, nn: N.weight_norm(nn.Conv2d(4, 3, 2), dim=1), (2, 4, 3, 3)),
    "weight with one length": (lambda N, nn: N.weight_norm(nn.Linear(4, 3), dim=None), (2, 4)),
    "bias": (lambda N, nn: N.weight_norm(nn.Linear(4, 3), "bias"), (2, 4)),
    "spectral": (lambda N, nn: N.spectral_norm(nn.Linear(4, 3)), (2, 4)),
    "spectral of a convolution": (lambda N, nn: N.spectral_norm(nn.Conv2d(4, 3, 2), "weight", 2), (2, 4, 3, 3)),
    "spectral of a transposed": (lambda N, nn: N.spectral_norm(nn.ConvTranspose1d(4, 3, 2)), (2, 4, 3)),
    "spectral of columns": (lambda N, nn: N.spectral_norm(nn.Linear(4, 3), eps=0.1, dim=1), (2, 4)),
}


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("name", NORMS)
def test_norms_equal_torchs(name: str, older: bool) -> None:
    build, shape = NORMS[name]
    assert_twins(
        lambda torch: build(torch.nn.utils if older else torch.nn.utils.parametrizations, torch.nn), [shape], _twice
    )


@pytest.mark.parametrize("older", [False, True])
def test_norms_equal_torchs_on_every_backend(older: bool, backend: str) -> None:
    def make(torch: Any) -> Any:
        home = torch.nn.utils if older else torch.nn.utils.parametrizations
        return torch.nn.Sequential(home.weight_norm(torch.nn.Linear(4, 3)), home.spectral_norm(torch.nn.Linear(3, 2)))

    assert_twins(make, [(2, 4)])


def test_parametrized_layers_are_used_by_every_kind_of_layer() -> None:
    def make(torch: Any) -> Any:
        class Double(torch.nn.Module):
            def forward(self, x: Any) -> Any:
                return 2 * x

        nn, register = torch.nn, torch.nn.utils.parametrize.register_parametrization
        lstm = register(nn.LSTM(4, 4, batch_first=True), "weight_hh_l0", Double())
        attention = register(nn.MultiheadAttention(4, 2, batch_first=True), "in_proj_weight", Double())
        norm = register(register(nn.LayerNorm(4), "weight", Double()), "bias", Double())
        return nn.ModuleList([lstm, attention, register(nn.Conv1d(3, 3, 1), "weight", Double()), norm])

    def use(torch: Any, module: Any, x: Any) -> Any:
        lstm, attention, convolution, norm = module
        return [lstm(x), attention(x, x, x), convolution(x), norm(x)]

    assert_twins(make, [(2, 3, 4)], use)
