"""The deprecated functions of `gradcheck` that give Jacobians: as PyTorch's."""

from __future__ import annotations

from programs import assert_same


def test_same_as_pytorch(backend: str) -> None:
    assert_same("""
        import importlib, warnings
        check = importlib.import_module(torch.__name__ + ".autograd.gradcheck")
        x = torch.tensor([1.0, 2.0], dtype=torch.double, requires_grad=True)
        y = torch.tensor([3.0], dtype=torch.double, requires_grad=True)
        number = check.get_numerical_jacobian
        attempt(number, lambda i: i[0] * i[1], (x, y), eps=1e-6)
        attempt(number, lambda i: (i[0] * i[1], i[0].sum()), (x, y), eps=1e-6)
        attempt(number, lambda i: i[0] * i[1], (x, 3), eps=1e-6)
        attempt(number, lambda i: i[0] * i[1], (x, y), target=y, eps=1e-6)
        attempt(number, lambda i: i[0] * 1j, (x, y))
        attempt(number, lambda i: i[0], (x,), grad_out=2.0)
        attempt(check.get_numerical_jacobian_wrt_specific_input, lambda x, y: x * y, 0, (x, y), (x * y,), 1e-6)
        graph = check.get_analytical_jacobian
        attempt(graph, (x, y), x * x)
        attempt(graph, (x, 3), x * x)
        attempt(graph, (x,), x.sum())
        attempt(graph, (x, y), x * y)
        attempt(graph, (x,), x * 1j)
        attempt(graph, (x,), x, grad_out=2.0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            graph((x,), x * x)
        print(caught[0].category, caught[0].message)
        print(x)
    """)
