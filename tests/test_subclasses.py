"""Tensors of a program's own classes."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd
from retrograd import interposing


@pytest.fixture(params=["numpy", "jax"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


_GIVEN = """
class Tagged(torch.Tensor):
    tag = None

    def doubled_(self):
        return self.mul_(2)

make = torch.Tensor._make_subclass
"""


def test_a_leaf_of_another_class_shares_the_memory() -> None:
    assert_same(
        """
    x = torch.tensor([1.0, 2.0])
    tagged = make(Tagged, x)
    tagged.tag = "t"
    tagged.doubled_()
    print(x, x._version, tagged._version, tagged.tag, isinstance(tagged, Tagged), tagged.is_leaf, tagged.requires_grad)
    leaf = make(Tagged, x * 1, True)
    (leaf * 3).sum().backward()
    print(leaf.grad, type(make(nn.Parameter, x, require_grad=True)).__name__)
    """,
        _GIVEN,
    )


def test_a_view_of_another_class_is_in_the_graph() -> None:
    assert_same(
        """
    y = torch.tensor([1.0, 2.0], requires_grad=True)
    view = y.as_subclass(Tagged)
    print(type(view).__name__, view.grad_fn.name(), view._is_view(), view._base is y)
    view.sum().backward()
    print(y.grad)
    x = torch.zeros(2)
    x.as_subclass(Tagged).add_(1)
    print(x)
    """,
        _GIVEN,
    )


def test_what_is_no_class_of_tensors() -> None:
    assert_same(
        """
    x = torch.ones(2)
    attempt(make, int, x)
    attempt(make, Tagged, 3)
    attempt(make, Tagged, torch.ones(2, dtype=torch.int64), True)
    attempt(x.as_subclass, int)
    """,
        _GIVEN,
    )


# -- results of a class --------------------------------------------------------------------------

_CLASSES = """
class Sub(torch.Tensor):
    pass

class Other(torch.Tensor):
    pass

class Deeper(Sub):
    pass

def kinds(*values):
    print(*[(type(v).__name__, v.tolist(), v.requires_grad, type(v.grad_fn).__name__) for v in values])

plain = torch.ones(2)
sub = torch.tensor([1.0, 2.0]).as_subclass(Sub)
other = torch.tensor([3.0, 4.0]).as_subclass(Other)
deeper = torch.tensor([5.0, 6.0]).as_subclass(Deeper)
"""


def test_results_are_of_the_most_derived_class() -> None:
    assert_same(
        """
    kinds(sub + plain, plain + sub, sub + deeper, deeper - sub, 2 / sub, sub.sum(), sub[0], sub[None].t(), -sub)
    print([type(each).__name__ for each in (*sub.split(1), *sub.unbind(), *sub, torch.max(sub, 0).values)])
    print(type(torch.max(sub, 0)).__name__, sub, repr(deeper), (sub.clone().requires_grad_() * 2))
    for call in lambda: sub + other, lambda: torch.add(sub, other), lambda: torch.stack([other, deeper]):
        attempt(call)
    torch.add(plain, plain, out=sub)
    sub.mul_(3)
    kinds(sub, sub.to(torch.float64), sub.detach(), sub.data)
    print(type(nn.Linear(2, 2)(sub)).__name__, type(F.softmax(sub, 0)).__name__, isinstance(plain, Sub))
    """,
        _CLASSES,
    )


def test_they_are_in_the_graph() -> None:
    assert_same(
        """
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.as_subclass(Sub) * 2
    kinds(y, y.sum())
    y.register_hook(lambda g: print(type(g).__name__, g))
    y.sum().backward()
    leaf = sub.clone().detach().requires_grad_()
    (leaf * leaf).sum().backward()
    print(x.grad, type(leaf.grad).__name__, leaf.grad, torch.autograd.grad((leaf * leaf).sum(), leaf))
    print(type(torch.func.grad(lambda t: (t * t).sum())(sub)).__name__)
    """,
        _CLASSES,
    )


def test_parameters_keep_their_class() -> None:
    assert_same(
        """
    class Own(nn.Parameter):
        pass

    parameter, own = nn.Parameter(sub), Own(plain)
    print(type(parameter).__name__, isinstance(parameter, nn.Parameter), isinstance(sub, nn.Parameter))
    print(type(own + 1).__name__, parameter.requires_grad, parameter.is_leaf)
    module = nn.Module()
    module.weight = parameter
    print(len(list(module.parameters())), list(module.state_dict()))

    class Losing(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return super().__torch_function__(func, types, args, kwargs).as_subclass(torch.Tensor)

    attempt(nn.Parameter, plain.as_subclass(Losing))
    """,
        _CLASSES,
    )


# -- functions taken over ------------------------------------------------------------------------

_TELLING = """
from importlib import import_module
overrides = import_module(torch.__name__ + ".overrides")

class Telling(torch.Tensor):
    told = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.told.append((func, [each.__name__ for each in types if each is not torch.Tensor], len(args)))
        return super().__torch_function__(func, types, args, kwargs)

def told(call):
    Telling.told.clear()
    call()
    return [func for func, *_ in Telling.told]

x, plain = torch.tensor([[1.0, 2.0], [3.0, 5.0]]).as_subclass(Telling), torch.ones(2, 2)
whole = torch.tensor([[1, 2], [3, 4]]).as_subclass(Telling)
T = torch.Tensor
"""


def test_parameters_of_other_classes_say_so() -> None:
    assert_same(
        """
        class Named(nn.Parameter):
            pass
        class Plain(torch.Tensor):
            pass
        class Own(torch.Tensor):
            def __repr__(self):
                return "own " + super().__repr__()
        print(repr(Named(torch.ones(2))), Named(torch.arange(30.0)))
        print(nn.Parameter(Plain([1.0, 2.0])), nn.Parameter(torch.ones(2).as_subclass(Own)), Plain([1.0]))
        for each in Named(torch.ones(2, device="meta")), nn.Parameter(torch.ones(2)):
            print(torch.Tensor.__repr__(each))
        """
    )


def test_methods_symbols_and_properties_are_told() -> None:
    assert_same(
        """
    import copy, operator
    symbols = {
        "add": T.add, "sub": T.sub, "mul": T.mul, "truediv": T.div, "floordiv": T.__floordiv__, "mod": T.remainder,
        "matmul": T.matmul, "eq": T.__eq__, "ne": T.ne, "lt": T.lt, "le": T.le, "gt": T.gt, "ge": T.ge,
        "iadd": T.add_, "imul": T.mul_, "itruediv": T.div_,
    }
    for name, func in symbols.items():
        print(name, told(lambda: getattr(operator, name)(x, plain)) == [func], Telling.told[0][1:])
    print(told(lambda: 2 - x) == [T.__rsub__], told(lambda: 2 / x) == [T.__rdiv__])
    print(told(lambda: 2 ** x) == [T.__rpow__], told(lambda: plain < x) == [T.gt])
    print(told(lambda: whole & 1) == [T.__and__], told(lambda: ~whole) == [T.__invert__])
    for name in "shape dtype device ndim T mT grad data requires_grad is_leaf grad_fn real itemsize _version".split():
        print(name, told(lambda: getattr(x, name)) == [getattr(T, name).__get__])
    print(told(lambda: setattr(x, "requires_grad", False)) == [T.requires_grad.__set__])
    print(told(lambda: setattr(x, "own", False)), told(lambda: hash(x)))
    print(told(lambda: x[0]) == [T.__getitem__], told(lambda: x.__setitem__(0, 1.0)) == [T.__setitem__])
    print(told(lambda: plain.__setitem__(0, x[0])) == [T.__getitem__, T.__setitem__])
    print(told(lambda: len(x)) == [T.__len__])
    print(told(lambda: float(x[0, 0])) == [T.__getitem__, T.__float__], told(lambda: repr(x)) == [T.__repr__])
    print(told(lambda: x.numpy()) == [T.numpy], told(lambda: x.size()) == [T.size], told(lambda: x.backward) == [])
    """,
        _TELLING,
    )


def test_functions_are_told() -> None:
    assert_same(
        """
    print(told(lambda: torch.cat([plain, x])) == [torch.cat], told(lambda: torch.add(input=x, other=x)) == [torch.add])
    print(told(lambda: torch.split(x, 1)) == [torch.split], told(lambda: torch.add(plain, 1, out=x)) == [torch.add])
    print(told(lambda: F.relu(x)) == [F.relu], told(lambda: nn.Linear(2, 3)(x)) == [F.linear])
    print(told(lambda: torch.linalg.norm(x)) == [torch.linalg.norm], told(lambda: torch.fft.fft(x)) == [torch.fft.fft])
    print(told(lambda: torch.einsum("ij->i", x)) == [torch.einsum])
    print(told(lambda: torch.ones_like(x)) == [torch.ones_like])
    print(told(lambda: torch.tensor(x)), told(lambda: torch.as_tensor(x)), told(lambda: torch.is_tensor(x)))
    print(told(lambda: x.as_subclass(torch.Tensor)), told(lambda: torch.full((2,), x.sum())) == [T.sum])
    y = x.clone().requires_grad_()
    print(told(lambda: y.sum().backward()) == [T.sum, T.backward])
    print(told(lambda: torch.autograd.grad(y.sum(), y)) == [T.sum, torch.autograd.grad])
    with torch._C.DisableTorchFunctionSubclass():
        print(told(lambda: x + 1), type(x + 1).__name__, overrides.has_torch_function((x,)))
    print(overrides.has_torch_function((plain, x)), overrides.has_torch_function((plain, nn.Parameter(plain))))

    class Silent(torch.Tensor):
        __torch_function__ = torch._C._disabled_torch_function_impl

    print(type(plain.as_subclass(Silent) + 1).__name__)
    print(overrides.is_tensor_method_or_property(T.shape.__get__), overrides.resolve_name(F.relu))
    for function in (torch.ones, torch.arange, torch.tensor, T.shape.__get__, T.requires_grad.__set__):
        print(overrides.resolve_name(function))
    """,
        _TELLING,
    )


def test_views_and_compositions_of_other_objects_are_told() -> None:
    assert_same(
        """
    handled = {}

    def implements(function):
        return lambda own: handled.setdefault(function, own)

    class Diagonal:
        def __init__(self, n, value):
            self.n, self.value = n, value

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if func not in handled or not all(issubclass(each, (torch.Tensor, Diagonal)) for each in types):
                return NotImplemented
            return handled[func](*args, **(kwargs or {}))

    implements(torch.mean)(lambda self: self.value / self.n)
    implements(torch.reshape)(lambda self, shape: ("reshaped", shape))
    implements(F.relu)(lambda self, inplace=False: "relu")
    implements(torch.stack)(lambda tensors, dim=0: ("stacked", len(tensors)))
    diagonal = Diagonal(5, 2)
    print(torch.mean(diagonal), torch.reshape(diagonal, (3,)), F.relu(diagonal), torch.stack([plain, diagonal]))
    attempt(torch.add, diagonal, 2)
    """,
        _TELLING,
    )


def test_modes_take_over_whatever_is_given() -> None:
    assert_same(
        """
    class Mode(overrides.TorchFunctionMode):
        def __init__(self, name):
            self.name = name

        def __torch_function__(self, func, types, args=(), kwargs=None):
            print(self.name, func.__name__, len(args))
            return func(*args, **(kwargs or {}))

    class Fake(overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return "fake"

    with Mode("a"):
        y = torch.ones(2) + 1
        F.relu(torch.tensor([1.0]))
        y[0]
        y.shape
        torch.zeros_like(y)
        with Mode("b"):
            y * x[0]
            with torch._C.DisableTorchFunction():
                y * 2
    with Fake():
        print(torch.ones(3), torch.add(1, 2), plain + plain)
    try:
        with Fake():
            raise ValueError
    except ValueError:
        print(plain + plain)
    """,
        _TELLING,
    )


def test_an_ordinary_program_is_asked_nothing() -> None:
    program = """
import retrograd, sys
assert "retrograd.interposing" not in sys.modules
retrograd.nn.Linear(2, 2)(retrograd.ones(2)).sum().backward()
class Module(retrograd.nn.Module): ...
class Own(retrograd.nn.Parameter): ...
assert "retrograd.interposing" not in sys.modules
class Sub(retrograd.Tensor): ...
assert "retrograd.interposing" in sys.modules
assert type(retrograd.ones(2).as_subclass(Sub) + 1) is Sub
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_frames_of_functions_that_ask_can_be_looked_into() -> None:
    """As debuggers and reporters of errors do; in a process of its own, for a wrong answer ends it."""
    program = """
import sys, retrograd
class Sub(retrograd.Tensor): ...
from retrograd import interposing
closures = [each for each in interposing._exchanged if each.__code__.co_freevars]
assert len(closures) > 100
for function in closures:
    try:
        function(object())
    except Exception as error:
        frames = error.__traceback__
        while frames:
            assert isinstance(frames.tb_frame.f_locals, dict)
            frames = frames.tb_next
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_a_function_is_stays_to_be_seen() -> None:
    before = {each: inspect.signature(each) for each in (retrograd.add, retrograd.sum, retrograd.Tensor.backward)}
    interposing.install()
    assert {each: inspect.signature(each) for each in before} == before
    assert retrograd.add.__name__ == "add"
    assert retrograd.add(retrograd.ones(1), other=1).item() == 2
    interposing.uninstall()
    assert not hasattr(retrograd.Tensor.backward, "__wrapped__")


def test_a_custom_function_that_returns_its_input_asks_the_class() -> None:
    assert_same(
        """
        class Wrapping(torch.Tensor):
            def __init__(self, data):
                super().__init__()
                self.inside = data

            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                args = tuple(each.inside if isinstance(each, cls) else each for each in args)
                return cls(func(*args, **(kwargs or {})))

        class Same(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x

            @staticmethod
            def backward(ctx, grad):
                return grad

        made = Same.apply(Wrapping(torch.ones(2)))
        print(type(made).__name__, made.inside.inside if isinstance(made.inside, Wrapping) else made.inside)
        """
    )
