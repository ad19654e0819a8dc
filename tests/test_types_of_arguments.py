"""Arguments of the wrong type: refused as PyTorch refuses them, before anything is changed."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opinfo import OPS, OpInfo
from opinfo_nn import NN_OPS
from opinfo_places import PLACE_OPS
from programs import assert_same
from test_ops import call, tensors_of

import retrograd

_INTS = ("int", "int | None", "int | Sequence[int]", "int | Sequence[int] | None", "Sequence[int]", "Dims", "Pair")
_NUMBERS = ("float", "float | None")


def _function(op: OpInfo) -> Any:
    function: Any = retrograd
    for part in op.name.split("."):
        function = getattr(function, part, None) or getattr(retrograd.Tensor, part)
    return function


def _parameters(op: OpInfo) -> Iterator[tuple[str, int, tuple[Any, ...]]]:
    for place, (name, parameter) in enumerate(inspect.signature(_function(op)).parameters.items()):
        place = sys.maxsize if parameter.kind is parameter.KEYWORD_ONLY else place
        if parameter.annotation in _INTS:
            yield name, place, (True, 0.5, "a", (True,), (0.5,))
        elif parameter.annotation in _NUMBERS:
            yield name, place, ("a", (1.0,), [2])


_CASES = [
    pytest.param(op, *given, id=f"{op.name}-{given[0]}")
    for op in [*OPS, *NN_OPS, *PLACE_OPS]
    for given in _parameters(op)
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("op", "name", "place", "wrong"), _CASES)
def test_is_refused_where_torch_refuses_it(op: OpInfo, name: str, place: int, wrong: tuple[Any, ...]) -> None:
    torch = pytest.importorskip("torch")
    sample = next((each for each in op.samples if name in each.kwargs or len(each.args) > place), op.samples[0])

    def refuses(module: Any, value: Any) -> bool:
        args, kwargs = list(sample.args), dict(sample.kwargs)
        if place < len(args):
            args[place] = value
        else:
            kwargs[name] = value
        given = type(sample)(tuple(args), kwargs)
        try:
            call(module, op, given, tensors_of(module, op, given))
        except TypeError:
            return True
        except (RuntimeError, ValueError, IndexError):
            return False
        return False

    accepted = [value for value in wrong if refuses(torch, value) and not refuses(retrograd, value)]
    assert not accepted


_GIVEN = "x = torch.arange(6.0).reshape(2, 3)\n"


def test_the_error_names_function_argument_and_position() -> None:
    assert_same(
        """
    for wrong in (True, 0.5, None, "a"):
        attempt(x.tril, wrong)
        attempt(x.unsqueeze, wrong)
        attempt(x.select, 0, wrong)
        attempt(x.diagonal, wrong)
        attempt(x.topk, wrong)
        attempt(x.unfold, 0, wrong, 1)
        attempt(F.glu, x, wrong)
        attempt(F.max_pool2d, x[None], wrong or 0.5)
        attempt(torch.logit, x, "a")
    attempt(x.transpose, torch.tensor(True), 1)
    attempt(x.reshape, (True, 6))
    attempt(x.reshape, True, 6)
    attempt(x.expand, 2.0, 3)
    attempt(x.flip, (0.5,))
    attempt(x.reshape, range(6))
    attempt(F.leaky_relu, x, (1,))
    attempt(F.leaky_relu_, x, None)
    attempt(x.nan_to_num_, (1,))
    attempt(F.threshold, x, 1.0, None)
    attempt(torch.addcmul, x, 2, 3)
    attempt(torch.addcdiv, x, x, 3)
    attempt(x.dist, 2)
    attempt(torch.polygamma, 0.5, x)
    attempt(x.pinverse, x)
    attempt(torch.hstack, x)
    attempt(torch.block_diag, x, 1)
    attempt(torch.broadcast_tensors, 1, x)
    attempt(x.flip)
    attempt(torch.zeros, True)
    """,
        _GIVEN,
    )


def test_methods_that_take_no_arguments_by_position() -> None:
    with pytest.raises(TypeError):
        retrograd.ones(2).double(retrograd.preserve_format)
    with pytest.raises(TypeError):
        retrograd.ones(2).contiguous(retrograd.contiguous_format)
    with pytest.raises(TypeError):
        retrograd.ones(2).is_contiguous(retrograd.contiguous_format)


def test_what_stands_for_an_int_or_a_number() -> None:
    assert_same(
        """
    import numpy
    whole, real = torch.tensor(1), torch.tensor(0.5)
    print(x.transpose(whole, numpy.int64(0)), x.sum(torch.tensor([1])), x.sum((numpy.int64(1),)))
    print(x.tril(numpy.int64(1)), x.triu(whole))
    print(x.reshape((3, True, 2)).shape, x.clamp(real, 2), x.clamp_(whole, 4.5), F.leaky_relu(-x, numpy.float32(0.5)))
    print(torch.nan_to_num(x, real), torch.logit(x, real), x.narrow(1, whole, 1), x.split(whole, 1), x.hsplit((1, 2)))
    print(x.copy_(3), x.to(torch.uint8).copy_(300), x.count_nonzero(0, 1), x.reshape(1, 2, 1, 3).squeeze_(0, 2).shape)
    print(F.elu_(-x, 0.5, 2, 3), torch.rsub(x, 1, 2), torch.atleast_1d(), F.dropout(x, real).shape)
    """,
        _GIVEN,
    )


def test_a_refused_call_takes_no_random_numbers() -> None:
    retrograd.manual_seed(0)
    expected = retrograd.rand(2).tolist()
    retrograd.manual_seed(0)
    for wrong in (0.5, "a"):
        with pytest.raises(TypeError):
            retrograd.randperm(wrong)  # type: ignore[arg-type]
    assert retrograd.rand(2).tolist() == expected


def test_a_view_of_other_rank_is_not_written_with_what_it_shows() -> None:
    assert_same(
        "attempt(x[None].add_, x)\nattempt(x.mul_, x[None])\nprint(x.add_(x[:]), x[None].add_(x[None]))", _GIVEN
    )
