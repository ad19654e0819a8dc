"""`autograd.functional` against PyTorch, option by option."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from programs import SQUARE, assert_same

import retrograd
from retrograd.utils._pytree import tree_leaves

FUNCTIONS: dict[str, Any] = {
    "elementwise": (lambda t: lambda x: (x * x * x).exp(), "a", "a"),
    "two_in_two_out": (lambda t: lambda x, y: ((x * y).sin().sum(1), (y * y * y) * 2), "ab", "bb"),
    "number": (lambda t: lambda x: (x * x * x).sum(), "a", "s"),
    "number_of_two": (lambda t: lambda x, y: (x * x * y).exp().sum(), "ab", "s"),
    "linear": (lambda t: lambda x: x.sum(), "a", "s"),
    "unused_input": (lambda t: lambda x, y: (x * x * x).sum(), "ab", "s"),
    "detached": (lambda t: lambda x: x.detach(), "a", "a"),
    "one_element": (lambda t: lambda x: x * x * x, "s", "s"),
    "tuples_of_one": (lambda t: lambda x: (x * x * x,), ("b",), ("b",)),
}


def _values(torch: ModuleType, names: Any) -> Any:
    numbers = {"a": [[0.1, 0.2], [0.3, 0.4]], "b": [0.5, 0.25], "s": 0.7}
    tensors = tuple(torch.tensor(numbers[name], dtype=torch.float64) for name in names)
    return tensors if len(names) > 1 or isinstance(names, tuple) else tensors[0]


def _shown(value: Any) -> Any:
    """Numbers, shapes and whether a gradient is required, nested as in `value`."""
    if isinstance(value, (tuple, list)):
        return tuple(_shown(each) for each in value)
    numbers = [round(number, 8) + 0.0 for number in value.detach().reshape(-1).tolist()]
    return tuple(value.shape), value.requires_grad, numbers


def _outcome(call: Any) -> Any:
    try:
        return _shown(call())
    except (RuntimeError, NotImplementedError) as error:
        return type(error).__name__, str(error).replace("retrograd.", "torch.")


def _outcomes(torch: ModuleType, name: str, create_graph: bool, strict: bool) -> dict[str, Any]:
    make, inputs, cotangents = FUNCTIONS[name]
    functional, f = torch.autograd.functional, make(torch)
    x, v = _values(torch, inputs), _values(torch, cotangents)
    options = {"create_graph": create_graph, "strict": strict}
    results = {"vjp": _outcome(lambda: functional.vjp(f, x, v, **options))}
    for product in ("jvp", "vhp", "hvp"):
        results[product] = _outcome(lambda p=product: getattr(functional, p)(f, x, x, **options))
    for matrix in ("jacobian", "hessian"):
        for vectorize in (False, True):
            results[f"{matrix}, vectorize={vectorize}"] = _outcome(
                lambda m=matrix, v=vectorize: getattr(functional, m)(f, x, vectorize=v, **options)
            )
    return results


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("backend", "strict"), [("numpy", False), ("numpy", True), ("jax", False)], indirect=["backend"]
)
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_as_pytorch(name: str, create_graph: bool, strict: bool, backend: str) -> None:
    torch = pytest.importorskip("torch")
    assert _outcomes(retrograd, name, create_graph, strict) == _outcomes(torch, name, create_graph, strict)


@pytest.mark.parametrize("name", ["elementwise", "two_in_two_out", "number_of_two", "one_element"])
def test_forward_mode_gives_the_same_matrices(name: str, backend: str) -> None:
    make, inputs, _ = FUNCTIONS[name]
    f, x = make(retrograd), _values(retrograd, inputs)
    functional = retrograd.autograd.functional
    forward = functional.jacobian(f, x, vectorize=True, strategy="forward-mode")
    assert _shown(forward) == _shown(functional.jacobian(f, x))
    if name in ("number_of_two", "one_element"):
        forward = functional.hessian(f, x, vectorize=True, outer_jacobian_strategy="forward-mode")
        pairs = zip(tree_leaves(forward), tree_leaves(functional.hessian(f, x)), strict=True)
        assert all(_shown(one.detach()) == _shown(other) for one, other in pairs)  # the former has a graph


PROGRAMS = {
    "forward_mode_of_what_is_written_to": """
        def copied(x):
            y = torch.zeros(2)
            y.copy_(x * x)
            return y

        def placed(x):
            y = torch.zeros(2)
            y[0] = x[1]
            return y.add_(x.sum())

        x = torch.tensor([1.0, 2.0])
        for function in (copied, placed):
            print(torch.autograd.functional.jacobian(function, x, strategy="forward-mode", vectorize=True))
            print(torch.autograd.functional.jvp(function, x, torch.ones(2))[1])
    """,
    "what_is_refused": """
        functional = torch.autograd.functional
        a, b, s = torch.ones(2, 2), torch.ones(2), torch.tensor(2.)
        cube = lambda x: (x ** 3).sum()
        both = lambda x, y: (x ** 2 * y).sum()
        for f in (functional.vjp, functional.jvp, functional.vhp, functional.hvp):
            attempt(lambda: f(cube, a))
            attempt(lambda: f(both, (a, b), (a,)))
            attempt(lambda: f(both, (a, b), (a, a)))
            attempt(lambda: f(cube, a, b))
            attempt(lambda: f(cube, [a], a))
            attempt(lambda: f(cube, (a, 2), a))
            attempt(lambda: f(lambda x: 3, a, a))
            attempt(lambda: f(cube, a, (a, a)))
            attempt(lambda: f(lambda x: (x.sum(), x.sum()), a, a))
            attempt(lambda: f(lambda x: x ** 3, s))
        for options in ({"strategy": "x"}, {"strategy": "forward-mode"}, {"strict": True, "vectorize": True},
                        {"strategy": "forward-mode", "vectorize": True, "create_graph": True},
                        {"strategy": "forward-mode", "vectorize": True, "strict": True}):
            attempt(lambda: functional.jacobian(cube, a, **options))
        attempt(lambda: functional.hessian(cube, a, outer_jacobian_strategy="x"))
        attempt(lambda: functional.hessian(lambda x: x * x, a))
        attempt(lambda: functional.hessian(lambda x: (x.sum(),), a))
    """,
    "by_columns": """
        functional = torch.autograd.functional
        t, p = torch.tensor([1., 10.]), torch.tensor([3., 4.], requires_grad=True)
        for f, point in ((lambda v: v * v * p, t), (lambda v: v * v, p), (lambda v: torch.ones(2), t),
                         (lambda v: (v * v,), t), (lambda v: v.abs(), t + 1j * t), (lambda v: v * v, t + 1j * t)):
            result = functional.jacobian(f, point, vectorize=True, strategy="forward-mode")
            for each in result if isinstance(result, tuple) else (result,):
                print(each.detach(), each.requires_grad)
        attempt(lambda: functional.jacobian(lambda v: v, t.long(), vectorize=True, strategy="forward-mode"))
        attempt(lambda: functional.jacobian(lambda v: v, [t], vectorize=True, strategy="forward-mode"))
        forward = {"vectorize": True, "outer_jacobian_strategy": "forward-mode"}
        for point in (p, t):
            found = functional.hessian(lambda v: (v ** 3).sum(), point, **forward)
            print(found.detach(), found.requires_grad, found.is_leaf)
        for row in functional.hessian(lambda v, w: (v ** 3 * w).sum(), (t, t), **forward):
            print(*(each.detach() for each in row), *(each.requires_grad for each in row))
        attempt(lambda: functional.hessian(lambda v: v ** 3, t, **forward))
        attempt(lambda: functional.hessian(lambda v: v, t[0], outer_jacobian_strategy="forward-mode"))
    """,
    "jvp": """
        functional = torch.autograd.functional
        x, t, p = torch.tensor([1., 2.]), torch.tensor([1., 10.]), torch.ones(2, requires_grad=True)

        def seen(v):
            print("called", v.requires_grad)
            return v * v

        print(functional.jvp(Square.apply, x, t))
        print(functional.jvp(seen, x, t))
        print(functional.jvp(lambda v: torch.autograd.grad((v ** 3).sum(), v, create_graph=True)[0], x, t))
        for create_graph in (True, False):
            print(functional.jvp(lambda v: v.detach() * v, x, t, create_graph=create_graph))
            print(functional.jvp(lambda v: p * v, x, t, create_graph=create_graph))
            print(functional.jvp(lambda v: v * v, p, t, create_graph=create_graph))
        print(functional.jvp(lambda v: v * v, x, t.long()), functional.jvp(lambda v: v * v, x, t.double()))
        print(functional.jvp(lambda v: v.prod(), torch.tensor(3.)))
    """,
    "complex": """
        functional = torch.autograd.functional
        c = torch.tensor([1 + 2j, 3 - 1j])
        attempt(lambda: functional.jacobian(lambda x: x * x, c))
        print(functional.jacobian(lambda x: x.abs(), c))
        print(functional.jvp(lambda x: x * x, c, c))
    """,
    "captured_tensors_are_apart": """
        functional = torch.autograd.functional
        x = torch.tensor([1., 2.], requires_grad=True)
        print(functional.jacobian(lambda y: x * y, x))
        print(functional.vjp(lambda y: x * y, x, torch.ones(2)))
    """,
    "differentiable": """
        functional = torch.autograd.functional
        x = torch.tensor([1., 2.], requires_grad=True)
        with torch.no_grad():
            jacobian = functional.jacobian(lambda y: (y * x) ** 2, x, create_graph=True)
        print(torch.autograd.grad(jacobian.sum(), x))
        _, product = functional.jvp(lambda y: y ** 3, x, torch.ones(2), create_graph=True)
        print(torch.autograd.grad(product.sum(), x))
    """,
    "structures": """
        x, y = torch.tensor([1.0, 2.0]), torch.tensor([[3.0], [4.0]])

        def text(value):
            if isinstance(value, torch.Tensor):
                return tuple(value.shape), value.requires_grad, value.tolist()
            return type(value).__name__, [text(each) for each in value]

        cases = {
            "tensor, tensor": (lambda a: a * a, x),
            "tuple, tensor": (lambda a: a * a, (x,)),
            "two, tensor": (lambda a, b: a * a * b.sum(), (x, y)),
            "two, two": (lambda a, b: (a * a, b * a.sum()), (x, y)),
            "tensor, tuple": (lambda a: (a * a,), x),
            "tensor, two": (lambda a: (a * a, a.sum()), x),
            "two, unused": (lambda a, b: (a * 2, torch.ones(2)), (x, y)),
            "list": (lambda a: a, [x]),
            "tensor, list": (lambda a: [a], x),
            "tensor, number": (lambda a: 3, x),
        }
        options = ({}, {"vectorize": True}, {"vectorize": True, "strategy": "forward-mode"})
        options += ({"strategy": "forward-mode"}, {"strategy": "forward-mode", "strict": True})
        for name, (f, inputs) in cases.items():
            for each in options:
                print(name, each)
                attempt(lambda: text(torch.autograd.functional.jacobian(f, inputs, **each)))
        f = lambda a, b: (a**3).sum() * (b**2).sum()
        for each in ({}, {"vectorize": True}):
            for graph in (False, True):
                result = torch.autograd.functional.hessian(f, (x, y), create_graph=graph, **each)
                print(each, graph, text(result))
        result = torch.autograd.functional.hessian(f, (x, y), vectorize=True, outer_jacobian_strategy="forward-mode")
        print(type(result), [type(each) for each in result])
        print([[each.detach().tolist() for each in row] for row in result])
    """,
    "gradients_of_pools_and_paddings_depend": """
        x = (torch.arange(16.0) * 5 % 7).reshape(1, 1, 4, 4).requires_grad_()
        functions = (
            lambda x: F.max_pool2d(x, 2), lambda x: F.avg_pool2d(x, 2), lambda x: F.adaptive_avg_pool2d(x, 3),
            lambda x: F.adaptive_max_pool2d(x, 3), lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
            lambda x: F.pad(x, (1, 1, 1, 1), mode="replicate"), lambda x: F.interpolate(x, scale_factor=2),
        )
        for f in functions:
            (g,) = torch.autograd.grad((f(x) ** 1).sum(), x, create_graph=True)
            print(g.requires_grad, g.grad_fn and g.grad_fn.name())
            if g.requires_grad:
                print(torch.autograd.grad((g * g).sum(), x))
        w = (torch.arange(64.0) % 5).requires_grad_()
        for m in ("nearest", "bilinear", "bicubic"):
            y = F.interpolate(x, scale_factor=2, mode=m).reshape(-1)
            (g,) = torch.autograd.grad((y * w).sum(), x, create_graph=True)
            print(torch.autograd.grad((g**2).sum(), w))
        for m in ("constant", "replicate", "reflect"):
            (g,) = torch.autograd.grad((F.pad(x, (2,) * 4, mode=m).reshape(-1) * w).sum(), x, create_graph=True)
            print(torch.autograd.grad((g**2).sum(), w))
    """,
    "how_often_a_gradient_depends": """
        functions = (
            lambda x: x**2, lambda x: x.square(), lambda x: x**3, lambda x: x**1, lambda x: x * x, F.relu, F.relu6,
            lambda x: F.leaky_relu(x, 0.1), F.hardtanh,
        )
        for f in functions:
            x = torch.tensor([0.5, -2.0], requires_grad=True)
            y = f(x).sum()
            for _ in range(4):
                if not y.requires_grad:
                    break
                (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
                print(y.tolist(), y.requires_grad, y.grad_fn.name() if y.requires_grad else None)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_is_the_same_under_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name], SQUARE)


def test_an_output_that_is_returned_twice_has_its_derivative_twice(backend: str) -> None:
    assert_same("""
        def twice(x):
            y = x * 2
            return y, y

        print(torch.autograd.functional.jvp(twice, torch.ones(3), torch.ones(3)))
        print(torch.autograd.functional.jvp(lambda x: (x, x), torch.ones(3), torch.ones(3)))
        print(torch.autograd.functional.jacobian(twice, torch.ones(3), vectorize=True, strategy="forward-mode"))
    """)
