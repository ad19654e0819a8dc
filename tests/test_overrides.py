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


def test_one_level_is_skipped_and_what_runs_inside_is_not(backend: str) -> None:
    assert_same(
        """
        o = torch.overrides
        class Telling(torch.Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                print("object", func.__name__)
                return o.redispatch_function(func, types, args, kwargs)
        class Mode(o.TorchFunctionMode):
            def __torch_function__(self, func, types, args=(), kwargs=None):
                print("mode", func.__name__)
                with self:
                    return o.redispatch_function(func, types, args, kwargs)
        def own(a, b):
            if o.has_torch_function((a, b)):
                return o.handle_torch_function(own, (a, b), a, b)
            return a * b + 1
        x, y = (torch.tensor([each]).as_subclass(Telling) for each in (3.0, 4.0))
        print(type(own(x, y)).__name__, type(x.exp()).__name__)
        a, b = torch.tensor([3.0]), torch.tensor([4.0])
        with Mode():
            print(own(a, b) is None, type(o._get_current_function_mode()).__name__)
            print(len(o._get_current_function_mode_stack()))
        print(o._get_current_function_mode(), o._get_current_function_mode_stack())
        """
    )


def test_what_can_be_taken_over_and_what_cannot() -> None:
    assert_same(
        """
        o = torch.overrides
        dummies, ignored = o.get_testing_overrides(), o.get_ignored_functions()
        print(dummies[torch.relu](torch.ones(2)), dummies[torch.Tensor.shape.__get__](torch.ones(2)))
        print(torch.add in dummies, torch.nn.functional.relu in dummies, torch.manual_seed in dummies)
        print(torch.add in ignored, torch.manual_seed in ignored, torch.Tensor.as_subclass in ignored)
        print(torch.ones in ignored, [each for each in ignored if each in dummies])
        try:
            dummies[torch.relu](1, 2, 3, 4, 5)
        except TypeError:
            print("has the signature")
        """
    )
