"""Programs written with TorchScript's names run eagerly, to the same results."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd


def test_scripted_functions_and_modules_compute_the_same() -> None:
    # Functions are scripted from their source, which a program given as text has not: tracing needs none.
    assert_same("""
    class Cube(nn.Module):
        def forward(self, x):
            return x * x * x

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.jit.trace(Cube(), (x,))(x)
    y.sum().backward()
    print(y.detach(), x.grad, torch.jit.trace(torch.sin, (x,))(x).detach())
    print(torch.jit.is_scripting(), torch.jit.is_tracing(), torch.jit.annotate(int, 3))
    """)


def test_scripting_gives_back_what_it_was_given() -> None:
    module, function = retrograd.nn.Linear(2, 1), retrograd.sin
    assert retrograd.jit.script(module) is retrograd.jit.trace_module(module, {"forward": ()}) is module
    assert retrograd.jit.script(function) is retrograd.jit.script_method(function) is function
    assert retrograd.jit._script_if_tracing(function) is retrograd.jit._overload_method(function) is function


def test_marks_of_functions() -> None:
    assert_same("""
    for mark in (torch.jit.ignore, torch.jit.ignore(), torch.jit.ignore(drop=True), torch.jit.unused, torch.jit.export):
        def function():
            return 1
        print(mark(function)(), function._torchscript_modifier if mark(function) is function else "wrapped")
    attempt(torch.jit.ignore, 3)
    attempt(torch.jit.interface, 3)
    """)


def test_isinstance_looks_into_containers() -> None:
    assert_same("""
    from typing import Dict, List, Optional, Tuple, Union
    for value in [], [1], ["a"], {}, {"a": [1]}, {1: [1]}, (1, "a"), (1, 2), (1,), 1, None, "a", torch.ones(2):
        print([torch.jit.isinstance(value, kind) for kind in (
            List[int], Dict[str, List[int]], Tuple[int, str], Optional[int], Union[str, int], (int, str), torch.Tensor
        )])
    """)


def test_warnings_of_traces_can_be_filtered() -> None:
    assert_same("""
    import warnings
    print(torch.jit.TracerWarning.__mro__[1:3], torch.jit.TracerWarning.__name__)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        warnings.warn("seen once", torch.jit.TracerWarning)
    """)


def test_programs_may_ask_for_what_only_compilers_have(backend: str) -> None:
    """Whether a size is symbolic, a model on its way to ONNX, a function being transformed; and an alias by name."""
    assert_same("""
        x = torch.ones(2, 3, requires_grad=True)
        print([isinstance(x.shape[0], kind) for kind in (torch.SymInt, torch.SymFloat, torch.SymBool, int)])
        print(torch.SymInt, torch.onnx.is_in_onnx_export(), torch._C._get_tracing_state())
        active = torch._C._are_functorch_transforms_active
        def seen(x):
            print(active())
            return x.sum()
        print(active(), torch.func.vmap(seen)(x).shape, torch.func.grad(seen)(x).shape, active())
        from torch._jit_internal import _copy_to_script_wrapper, _overload_method, is_scripting
        print(_copy_to_script_wrapper(seen)._torchscript_modifier, is_scripting(), _overload_method is None)
        print(isinstance(seen, torch.jit.ScriptFunction))
        attempt(torch.jit.ScriptFunction)
        future = torch.futures.Future()
        print(isinstance(future, torch.Future), isinstance(future.then(len), torch.Future), isinstance(x, torch.Future))
        y = x * 1
        same = torch.ops.aten.alias(y)
        same.mul_(2)
        print(y, same._base is y, torch.ops.aten.alias(x), torch.ops.aten.alias.default(x)._is_view())
    """)
    with pytest.raises(TypeError, match="sizes are known numbers here"):
        retrograd.SymInt(3)
