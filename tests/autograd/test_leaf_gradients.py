"""What a leaf takes as its gradient, of which type, and whether as it is: the same as in PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd

PROGRAMS = {
    "types_of_retained_gradients": """
        b = torch.ones(2, requires_grad=True) * 2
        for step in (lambda: None, b.retain_grad, lambda: b.sum().backward()):
            step()
            attempt(lambda: b.grad_dtype)
            for type_ in (torch.float64, torch.float32, None):
                attempt(setattr, b, "grad_dtype", type_)
    """,
    "grad_dtype_get": """
        x = torch.ones(3, requires_grad=True)
        print(x.grad_dtype)
        y = torch.ones(3)
        print(y.grad_dtype)
        print(torch.arange(3).grad_dtype)
        attempt(lambda: (x * 2).grad_dtype)
        print(torch.ones(2, dtype=torch.complex64, requires_grad=True).grad_dtype)
    """,
    "grad_dtype_set": """
        x = torch.ones(3, requires_grad=True)
        x.grad_dtype = torch.float64
        print(x.grad_dtype, x.dtype)
        (x * 2).sum().backward()
        print(x.grad, x.grad.dtype)
        (x * 2).sum().backward()
        print(x.grad, x.grad.dtype)
    """,
    "grad_dtype_half": """
        x = torch.ones(3, requires_grad=True)
        x.grad_dtype = torch.bfloat16
        (x * 2).sum().backward()
        print(x.grad.dtype, x.grad)
        x.grad = torch.ones(3, dtype=torch.bfloat16)
        attempt(setattr, x, "grad", torch.ones(3))
        print(torch.autograd.grad((x * 2).sum(), x)[0].dtype)
    """,
    "grad_dtype_none": """
        x = torch.ones(3, requires_grad=True)
        x.grad_dtype = None
        print(x.grad_dtype)
        x.grad = torch.ones(3, dtype=torch.float64)
        print(x.grad)
        (x * 2).sum().backward()
        print(x.grad)
        x.grad = torch.ones(3, dtype=torch.int64)
        print(x.grad)
        attempt((x * 2).sum().backward)
        x.grad = None
        (x * 2).sum().backward()
        print(x.grad.dtype)
    """,
    "grad_dtype_errors": """
        x = torch.ones(3, requires_grad=True)
        attempt(setattr, x, "grad_dtype", 3)
        attempt(setattr, x, "grad_dtype", "float32")
        attempt(setattr, x, "grad_dtype", torch.complex64)
        y = x * 2
        attempt(setattr, y, "grad_dtype", torch.float64)
        attempt(setattr, y, "grad_dtype", torch.float32)
        z = torch.ones(3)
        attempt(setattr, z, "grad_dtype", torch.float64)
        print(z.grad_dtype)
        (x * 2).sum().backward()
        attempt(setattr, x, "grad_dtype", torch.float64)
        attempt(setattr, x, "grad_dtype", torch.float32)
        attempt(setattr, x, "grad_dtype", None)
        print(x.grad_dtype)
    """,
    "grad_dtype_after_set_requires": """
        z = torch.ones(3)
        z.grad_dtype = torch.float64
        z.requires_grad_()
        print(z.grad_dtype)
        (z * 2).sum().backward()
        print(z.grad)
    """,
    "grad_dtype_assign_text": """
        x = torch.ones(3, requires_grad=True)
        attempt(setattr, x, "grad", torch.ones(3, dtype=torch.float64))
        attempt(setattr, x, "grad", torch.ones(3, dtype=torch.int64))
        x.grad_dtype = torch.float64
        attempt(setattr, x, "grad", torch.ones(3))
        attempt(setattr, x, "grad", torch.ones(4, dtype=torch.float64))
        x.grad = torch.ones(3, dtype=torch.float64)
        print(x.grad)
    """,
    "grad_dtype_backward_grad_args": """
        x = torch.ones(3, requires_grad=True)
        x.grad_dtype = torch.float64
        y = x.to(torch.float64) * 2
        y.sum().backward()
        print(x.grad)
        print(torch.autograd.grad((x * 2).sum(), x))
        acc = (x * 2).grad_fn.next_functions[0][0]
        acc.register_hook(lambda gi, go: print("post", go))
        acc.register_prehook(lambda go: print("pre", go))
        x.register_hook(lambda g: print("hook", g))
        (x * 2).sum().backward()
        print(x.grad)
    """,
    "grad_dtype_none_mixed": """
        x = torch.ones(3, requires_grad=True)
        x.grad_dtype = None

        class F(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def backward(ctx, g):
                return g.double() * 2

        F.apply(x).sum().backward()
        print(x.grad)
        w = torch.ones(3, requires_grad=True)
        F.apply(w).sum().backward()
        print(w.grad)
    """,
    "grad_dtype_create_graph": """
        x = torch.ones(3, requires_grad=True)
        x.grad_dtype = torch.float64
        (x**3).sum().backward(create_graph=True)
        print(x.grad)
    """,
    "grad_dtype_deepcopy_data": """
        import copy

        x = torch.ones(3, requires_grad=True)
        x.grad_dtype = torch.float64
        y = copy.deepcopy(x)
        print(y.grad_dtype, x.detach().grad_dtype, x.data.grad_dtype)
        x.data = torch.ones(3, dtype=torch.float64)
        print(x.grad_dtype)
        p = torch.nn.Parameter(torch.ones(2))
        p.grad_dtype = torch.bfloat16
        print(p.grad_dtype)
    """,
    "grad_rules": """
        x = torch.ones(3, requires_grad=True)
        attempt(setattr, x, "grad", x)
        attempt(setattr, x, "grad", 3)
        attempt(setattr, x, "grad", torch.ones(3, 1))
        attempt(setattr, x, "grad", torch.ones(()))
        attempt(setattr, x, "grad", [1.0, 2.0, 3.0])
        x.grad = torch.ones(3)
        del x.grad
        print(x.grad)
        y = x * 2
        y.grad = torch.ones(3)
        print(y.grad)
        z = torch.ones(3)
        z.grad = torch.ones(3)
        print(z.grad, z.requires_grad)
        i = torch.arange(3)
        attempt(setattr, i, "grad", torch.ones(3))
        attempt(setattr, i, "grad", torch.arange(3))
    """,
    "grad_identity": """
        x = torch.ones(3, requires_grad=True)
        g = torch.full((3,), 2.0)
        x.grad = g
        print(x.grad is g)
        (x * 3).sum().backward()
        print(x.grad is g, g, g._version)
        (x * 3).sum().backward(create_graph=True)
        print(x.grad is g, g, x.grad)
    """,
    "grad_stolen_or_cloned": """
        x = torch.ones(3, requires_grad=True)
        seed = torch.ones(3)
        x.backward(seed)
        print(x.grad is seed)
        seed.fill_(5.0)
        print(x.grad)
        y = torch.ones(3, requires_grad=True)
        (x + y).backward(torch.ones(3))
        print(x.grad is y.grad)
        x.grad.zero_()
        print(y.grad)
        z = torch.ones(3, requires_grad=True)
        hold = []
        z.register_hook(lambda g: hold.append(g))
        (z * 2).sum().backward()
        hold[0].zero_()
        print(z.grad)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])


_NON_LEAVES = {
    "a result": "x * 2",
    "a view": "x[0]",
    "a result that was written to": "(x * 2).add_(1)",
    "a detached alias": "(x * 2).detach()",
    "a leaf": "x",
    "a constant": "torch.ones(2)",
}


@pytest.mark.parametrize("made", _NON_LEAVES.values(), ids=_NON_LEAVES)
@pytest.mark.parametrize("before", ["", "y.retain_grad() if y.requires_grad else None", "y._version, y.shape"])
def test_reading_the_gradient_of_a_non_leaf_warns_as_in_pytorch(made: str, before: str) -> None:
    assert_same(
        f"""
    import warnings
    x = torch.ones(2, requires_grad=True)
    y = {made}
    {before}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        print(y.grad)
    print([(each.category.__name__, str(each.message)[:70]) for each in caught])
    """
    )


def test_reading_the_gradient_of_a_non_leaf_warns(backend: str) -> None:
    x = retrograd.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="attribute of a Tensor that is not a leaf Tensor is being accessed"):
        assert (x * 2).grad is None
    assert x.grad is None
    assert retrograd.ones(2).grad is None


def test_recorded_gradients_lie_as_their_leaves() -> None:
    with retrograd.use_backend("numpy"):  # elsewhere results lie row by row
        assert_same("""
        for x in (torch.ones(2, 3).t(), torch.ones(4, 3)[::2], torch.ones(2, 3, 4).permute(2, 0, 1)):
            x = x.detach().requires_grad_()
            for create_graph in (False, True):
                x.grad = None
                (x * 2).exp().sum().backward(create_graph=create_graph)
                print(x.grad.stride(), x.grad.sum(), x.grad.grad_fn and x.grad.grad_fn.name())
        """)
