"""`copy`, `deepcopy`, `pickle`, and conversions to Python's numbers: the same as in PyTorch."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
from programs import assert_same

import retrograd
from retrograd.autograd import cautions

_SETUP = """
import copy, pickle, warnings
x = torch.tensor([1., 2.], requires_grad=True)
c, p = torch.tensor([1., 2.]), torch.nn.Parameter(torch.ones(2))
def again(t):
    return pickle.loads(pickle.dumps(t))
def same(pair):
    one, other = pair
    other.fill_(9)
    return one is other, one
def with_attribute(t):
    t.note = 3
    return t
def with_gradient(t):
    t.grad = torch.full_like(t, 7.)
    return t
def with_hook(t):
    t.register_hook(print)
    return t
def inference():
    with torch.inference_mode():
        return torch.ones(2)
"""

CASES = (
    "x", "c", "p", "x * 2", "c[:1]", "x[:1]", "c[:1].squeeze()", "torch.tensor(3)", "torch.zeros(0, 2)", "c * 1j",
    "c.to(torch.bfloat16)", "torch.ones(2, 3).t()", "torch.arange(6)[::2]", "torch.ones(1).expand(3)",
    "with_gradient(x)", "with_gradient(p)", "with_attribute(x)", "with_attribute(p)", "inference()",
    "with_hook(x)", "(x * 2).grad_fn",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("how", ["again", "copy.deepcopy", "copy.copy"])
def test_a_copy_is_what_it_is_in_pytorch(how: str, case: str) -> None:
    assert_same(
        _SETUP
        + f"""
made = {how}({case})
print(made, type(made).__name__, made.stride(), made.requires_grad, made.is_leaf, made._is_view())
if made.is_leaf:
    print(made.grad, getattr(made, 'note', None))
"""
    )


@pytest.mark.parametrize("pair", ["(c, c)", "(c, c[:1])", "(c, c.detach())", "(c[1:], c[:1])"])
@pytest.mark.parametrize("how", ["again", "copy.deepcopy"])
def test_what_is_copied_together_shares_as_in_pytorch(how: str, pair: str) -> None:
    assert_same(_SETUP + f"attempt(lambda: same({how}({pair})))\nprint(c)")


def test_hooks_are_left_out_with_a_warning() -> None:
    assert_same(
        _SETUP
        + """
x.register_hook(len)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    again(x)
print([str(each.message)[:60] for each in caught])
copy.deepcopy(x).sum().backward()
"""
    )


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_copy_is_independent_but_for_the_memory_of_a_shallow_one(backend: str, how: object) -> None:
    x = retrograd.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    made = how(x)  # type: ignore[operator]
    (made * made).sum().backward()
    assert made.grad.tolist() == [[2.0, 4.0], [6.0, 8.0]]
    assert x.grad is None
    with retrograd.no_grad():
        made[0, 0] = 9.0
    assert x[0, 0].item() == (9.0 if how is copy.copy else 1.0)


def test_a_view_that_is_copied_with_its_base_is_one_of_the_copy(backend: str) -> None:
    base = retrograd.arange(6.0).reshape(2, 3)
    copied, column = copy.deepcopy([base, base[:, 1]])
    column.fill_(7.0)
    assert copied.tolist() == [[0.0, 7.0, 2.0], [3.0, 7.0, 5.0]]
    assert base.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    strided = pickle.loads(pickle.dumps(base.t()[1:]))
    assert strided.stride() == (1, 3)
    assert strided.tolist() == [[1.0, 4.0], [2.0, 5.0]]


CONVERSIONS = (
    "float(s)", "int(s)", "complex(s)", "bool(s)", "s.item()", "math.sqrt(s)", "f'{s:.1f}'", "float(s.detach())",
    "float(torch.tensor(1j))", "float(torch.tensor(1 + 0j))", "float(torch.ones(2))", "round(s)",
)  # fmt: skip


@pytest.mark.parametrize("conversion", CONVERSIONS)
def test_numbers_of_tensors(conversion: str) -> None:
    assert_same(f"s = torch.tensor(2.25, requires_grad=True) * 1\nattempt(lambda: {conversion})")


def test_a_number_of_a_tensor_with_a_graph_warns_once(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cautions, "_warned", set())
    x = retrograd.tensor(2.0, requires_grad=True)
    assert int(x) == 2
    assert float(x.detach()) == 2.0
    with retrograd.no_grad():
        assert float(x) == complex(x) == 2.0
    assert not cautions._warned
    with pytest.warns(UserWarning, match="Converting a tensor with requires_grad=True to a scalar"):
        assert float(x * 2) == 4.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert complex(x) == 2.0


def test_what_is_pickled_is_a_function_and_its_arguments(backend: str) -> None:
    """To which subclasses add arguments of their own."""
    assert_same("""
        p = nn.Parameter(torch.ones(2))
        p.note, x = "noted", torch.arange(3.0)
        x.state = [1]
        for each in (p, x, torch.ones(2), nn.Parameter(torch.ones(1))):
            build, arguments = each.__reduce_ex__(2)
            made = build(*arguments)
            print(type(made).__name__, made, made.requires_grad, made.__dict__)
    """)


def test_storages_are_copied_with_their_tensors(backend: str) -> None:
    assert_same("""
        import copy
        x = torch.arange(4.0)
        memory = x.untyped_storage()
        for together in ([x, memory, x[1:]], [memory, x, x[1:]], [memory, x.untyped_storage(), x]):
            made = copy.deepcopy(together)
            tensor = next(each for each in made if isinstance(each, torch.Tensor))
            print([each.data_ptr() - tensor.data_ptr() for each in made])
            tensor.fill_(5)
            print(made[-1], x)
    """)
