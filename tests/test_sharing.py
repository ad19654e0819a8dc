"""A result shares memory with an input only where it does in PyTorch; elsewhere writes to it would change the input."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from opinfo import OPS, OpInfo
from opinfo_nn import NN_OPS
from opinfo_places import PLACE_OPS
from programs import assert_same

import retrograd

pytestmark = pytest.mark.filterwarnings("ignore")

TABLE = [*OPS, *NN_OPS, *PLACE_OPS]
VARIANTS: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda x: x,
    "sizes of 1": lambda x: x[(slice(0, 1),) * x.ndim],
    "0-d": lambda x: x[(slice(0, 1),) * x.ndim].reshape(()) if x.size else x,
    "integers": lambda x: x.astype("int64") if x.dtype.kind == "f" else x,
    "bools": lambda x: x > 0 if x.dtype.kind == "f" else x,
    "one integer": lambda x: x[(slice(0, 1),) * x.ndim].astype("int64") if x.dtype.kind == "f" else x,
}

Call = Callable[[Any, list[Any]], Any]


def called(module: Any, call: Call, arrays: list[Any], forward: bool) -> tuple[list[Any], list[Any]]:
    """Inputs and results, or the tangents of both; of what is refused, nothing."""
    fwAD = importlib.import_module(module.__name__ + ".autograd.forward_ad")
    inputs = [module.tensor(each) for each in arrays]
    try:
        if not forward:
            made = call(module, inputs)
            return inputs, [*made] if isinstance(made, (tuple, list)) else [made]
        with fwAD.dual_level():
            given = [module.ones_like(x) if x.is_floating_point() else None for x in inputs]
            duals = [x if t is None else fwAD.make_dual(x, t) for x, t in zip(inputs, given, strict=True)]
            made = call(module, duals)
            results = made if isinstance(made, (tuple, list)) else [made]
            tensors = [each for each in results if isinstance(each, module.Tensor)]
            return given, [fwAD.unpack_dual(each).tangent for each in tensors]
    except Exception:
        return [], []


def shared(module: Any, call: Call, arrays: list[Any], forward: bool) -> list[tuple[int, int]]:
    """Which results lie in the memory of which inputs."""
    inputs, results = called(module, call, arrays, forward)
    both = [[x if isinstance(x, module.Tensor) and x.numel() else None for x in each] for each in (inputs, results)]
    return [
        (i, j)
        for i, result in enumerate(both[1])
        for j, given in enumerate(both[0])
        if result is not None and given is not None and _overlap(module, result, given)
    ]


def _overlap(module: Any, x: Any, y: Any) -> bool:
    if module is retrograd:
        return type(x._array) is type(y._array) is np.ndarray and np.may_share_memory(x._array, y._array)
    return bool(x.layout == y.layout and x.untyped_storage().data_ptr() == y.untyped_storage().data_ptr())


def excess(call: Call, arrays: list[Any]) -> list[Any]:
    """What shares memory here and not in PyTorch, unless PyTorch refuses the call."""
    torch, found = pytest.importorskip("torch"), []
    for forward in (False, True):
        if ours := shared(retrograd, call, arrays, forward):
            theirs = shared(torch, call, arrays, forward)
            accepted = called(torch, call, arrays, forward)[1]
            found += [("tangent" if forward else "result", pair) for pair in ours if accepted and pair not in theirs]
    return found


def of_table(op: OpInfo) -> list[Any]:
    found = []
    for sample in op.samples:
        for variant, change in VARIANTS.items():
            arrays = [change(each) for each in sample.arrays(op.name)]

            def call(module: Any, tensors: list[Any], sample: Any = sample) -> Any:
                args, kwargs = sample.filled(tensors)
                return op(module, args, kwargs)

            found += [(op.name, sample, variant, each) for each in excess(call, arrays)]
    return found


@pytest.mark.parametrize("part", range(8))
def test_results_of_the_tables_operators_share_no_more_than_pytorchs(part: int) -> None:
    retrograd.manual_seed(0)
    failures = [each for op in TABLE[part::8] for each in of_table(op)]
    assert not failures, "\n".join(map(str, failures))


OF_FACTOR_ONE = (
    "F.interpolate(x, scale_factor=1)", "F.interpolate(x, size=x.shape[2:], mode='nearest-exact')",
    "F.interpolate(x, scale_factor=(3, 1))", "F.pixel_shuffle(x, 1)", "F.pixel_shuffle(x, 2)",
    "F.pixel_unshuffle(x, 1)", "F.channel_shuffle(x, 1)", "F.channel_shuffle(x, 4)",
    "F.pad(x, (0, 0, 0, 0), mode='reflect')", "F.pad(x, (0, 0, 0, 0), mode='circular')",
    "F.pad(x, (0, 0, 0, 0), mode='replicate')", "F.pad(x, (2, 1, 0, 0), mode='replicate')",
    "torch.chain_matmul(x.flatten(1))", "torch.fft.fftn(x * 1j, dim=())", "torch.fft.ifftn(x, dim=())",
    "torch.func.vmap(lambda v: v.cummax(0)[0])(x)", "torch.func.vmap(lambda v: F.pixel_shuffle(v, 1))(x)",
)  # fmt: skip


@pytest.mark.parametrize("shape", [(2, 4, 1, 1), (1, 4, 3, 3)])
@pytest.mark.parametrize("expression", OF_FACTOR_ONE)
def test_what_leaves_all_in_place_copies_it(expression: str, shape: tuple[int, ...]) -> None:
    def call(module: Any, tensors: list[Any]) -> Any:
        return eval(expression, {"x": tensors[0], "torch": module, "F": module.nn.functional})

    assert not excess(call, [np.ones(shape)])


def test_a_write_to_a_result_or_its_tangent_leaves_the_input_alone() -> None:
    assert_same(
        """
        fwAD = torch.autograd.forward_ad
        x = torch.ones(1, 4, 2, 2, requires_grad=True)
        z = torch.ones(2, 2, dtype=torch.complex64)
        for f in (
            lambda x: F.interpolate(x, scale_factor=1), lambda x: F.pixel_shuffle(x, 1),
            lambda x: F.pad(x, (0, 0, 0, 0), mode="replicate"), lambda x: x[:, :1].cummax(1)[0],
        ):
            result = f(x)
            result.mul_(3)
            print(x.sum(), torch.autograd.grad(result.sum(), x)[0].sum(), result.grad_fn)
            with fwAD.dual_level():
                t = torch.ones(1, 4, 2, 2)
                f(fwAD.make_dual(x.detach(), t)).mul_(3)
                print(t.sum())
        print(torch.chain_matmul(x[0, 0]).grad_fn, torch.fft.fftn(z.requires_grad_(), dim=()).grad_fn)
        attempt(torch.chain_matmul, x)
        attempt(torch.chain_matmul)
        print(F.pad(torch.ones(2, 3, 1, 1), (1, 1, 1, 1), mode="replicate").stride())
        turned = torch.ones(3, 2, 4, 5).transpose(0, 1)
        for f in (
            lambda x: F.pad(x, (0, 0, 0, 0), mode="replicate"), lambda x: F.interpolate(x, scale_factor=1),
            lambda x: F.pixel_shuffle(x, 1), lambda x: F.channel_shuffle(x, 3), lambda x: F.pixel_unshuffle(x, 1),
            lambda x: x[:, :1].cummax(1)[0], lambda x: x.int().floor(), lambda x: x.bool().nan_to_num(),
            lambda x: x.bool().sign(), lambda x: x.bool().sgn(),
        ):
            result = f(turned)
            print(result.dtype, [n for n, size in zip(result.stride(), result.shape) if size > 1])
        """
    )
