"""Objects that are no tensors, in functions."""

from __future__ import annotations

from programs import assert_same

_GIVEN = """
from importlib import import_module
overrides = import_module(torch.__name__ + ".overrides")

class Lazy:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        name = func.__name__.removeprefix("linalg_")
        return cls.__name__, name, [each.__name__ for each in types], len(args), kwargs

class Lazier(Lazy):
    pass

class Unwilling:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return NotImplemented

x, lazy = torch.ones(2), Lazy()
"""


def test_functions_ask_them() -> None:
    assert_same(
        """
    print(torch.add(x, lazy), torch.add(lazy, x, alpha=2), torch.add(3, lazy), torch.mul(lazy, 2), torch.exp(lazy))
    print(torch.sum(lazy, 0), torch.mean(lazy, dim=0, keepdim=True), torch.gather(lazy, 0, x), torch.div(lazy, x))
    print(torch.matmul(x, lazy), torch.matmul(lazy, x), torch.clone(lazy), torch.linalg.cholesky(lazy))
    print(x + lazy, x @ lazy, x.add(lazy))
    """,
        _GIVEN,
    )


def test_a_subclass_is_asked_first() -> None:
    assert_same("print(torch.add(lazy, Lazier()), torch.add(Lazier(), lazy))", _GIVEN)


def test_where_nobody_answers() -> None:
    assert_same(
        """
    attempt(torch.add, x, Unwilling())
    attempt(torch.sum, Unwilling())
    attempt(torch.matmul, x, 3)
    attempt(torch.add, x, "a")
    print(torch.add(Unwilling(), lazy))
    """,
        _GIVEN,
    )


def test_functions_of_a_program_ask_them_too() -> None:
    assert_same(
        """
    def double(value, other=None):
        if overrides.has_torch_function((value, other)):
            return overrides.handle_torch_function(double, (value, other), value, other=other)
        return value * 2

    print(double(x), double(lazy), double(x, lazy))
    attempt(double, Unwilling())
    for each in x, lazy, 3, nn.Parameter(x):
        print(overrides.is_tensor_like(each), overrides.has_torch_function_unary(each))
    print(overrides.has_torch_function_variadic(x, lazy))
    """,
        _GIVEN,
    )
