"""Names of the autograd modules and their small print, as in PyTorch: what cannot be set, flags, idle settings."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest
from programs import assert_same

import retrograd

PROGRAMS = {
    "what_suites_take_from_inside": """
        C, A = torch._C, torch.autograd
        inside = C._autograd
        x = torch.ones(4, requires_grad=True)
        print(A._calculate_shape(x, torch.ones(2, 4), True), A._calculate_shape(x, torch.ones(2, 4), False))
        print(A._profiler_enabled(), C.is_grad_enabled(), A.forward_ad._current_level)
        with A.profiler.profile(), A.forward_ad.dual_level():
            print(A._profiler_enabled(), A.forward_ad._current_level)
        print(A.profiler_util._format_time(1.5e6), A.profiler_util._format_time(2500), A.profiler_util._format_time(3))
        print(inside._saved_tensors_hooks_is_enabled(), inside._top_saved_tensors_default_hooks(False))
        pack, unpack = (lambda x: x), (lambda x: x)
        inside._push_saved_tensors_default_hooks(pack, unpack)
        print(inside._top_saved_tensors_default_hooks(False) == (pack, unpack))
        inside._pop_saved_tensors_default_hooks()
        inside._saved_tensors_hooks_disable("not now")
        print(inside._saved_tensors_hooks_is_enabled(), inside._saved_tensors_hooks_get_disabled_error_message())
        inside._saved_tensors_hooks_enable()
        y = x * 1
        inside._unsafe_set_version_counter((y,), (5,))
        print(y._version)
        attempt(inside._unsafe_set_version_counter, (y,), (-1,))
        resize = __import__("importlib").import_module(torch.__name__ + ".autograd._functions").Resize
        made = resize.apply(x, (2, 2))
        made.sum().backward()
        print(made.shape, made.grad_fn.name(), x.grad)
        attempt(resize.apply, x, (3,))
        print(isinstance(y.grad_fn.next_functions[0][0], C._functions.AccumulateGrad))
        print(torch.jit.wait(torch.jit.fork(len, [1])))
    """,
    "an_old_name_of_saved_tensors": """
        import warnings
        class Keeps(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a):
                ctx.save_for_backward(a)
                return a * 2
            @staticmethod
            def backward(ctx, g):
                print(ctx.saved_variables)
                return g
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            kept = Keeps.apply(torch.ones(2, requires_grad=True))
            print(kept.grad_fn.saved_variables)
            kept.sum().backward()
            attempt(getattr, kept.grad_fn, "saved_variables")
        print(*((each.category.__name__, str(each.message)) for each in told))
        print(sorted(torch.autograd.graph.__all__))
    """,
    "what_cannot_be_set": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        class Keeps(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a):
                for name in ("saved_tensors", "saved_variables", "next_functions", "metadata", "requires_grad"):
                    attempt(setattr, ctx, name, None)
                attempt(getattr, ctx, "materialize_grads")
                ctx.to_save = (a,); ctx.materialize_grads = False
                ctx.needs_input_grad = (True,); ctx.name = 3
                print(ctx.to_save[0] is a, ctx.name)
                return a * 2, a * 3
            @staticmethod
            def backward(ctx, g, h):
                print(ctx.saved_tensors[0].shape, g, h)
                return g
        kept = Keeps.apply(x)[0]
        for name in ("saved_tensors", "saved_variables", "next_functions", "metadata", "requires_grad"):
            attempt(setattr, kept.grad_fn, name, None)
        kept.sum().backward()
        names = (
            "grad_fn is_leaf shape dtype device ndim T mT H _version layout name output_nr is_sparse _base itemsize "
            "nbytes retains_grad is_cuda is_quantized"
        ).split()
        for name in names:
            attempt(setattr, y, name, None)
        for name in ("shape", "grad_fn", "name"):
            attempt(delattr, y, name)
        for node in (y.grad_fn, x.sum().grad_fn):
            for name in ("next_functions", "metadata", "requires_grad", "_input_metadata"):
                attempt(setattr, node, name, None)
                attempt(delattr, node, name)
    """,
    "flags_of_a_pass_are_numbers": """
        x = torch.ones(3, requires_grad=True)
        for value in ("a", 2.5, [], 0, 1):
            for name in ("retain_graph", "create_graph", "allow_unused", "materialize_grads"):
                attempt(lambda: torch.autograd.grad((x * x).sum(), x, **{name: value})[0].requires_grad)
            for name in ("retain_graph", "create_graph"):
                attempt(lambda: (x * x).sum().backward(**{name: value}))
    """,
    "the_node_that_runs": """
        now = torch._C._current_autograd_node
        x = torch.ones(2, requires_grad=True)
        class Looks(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a): return a * 1
            @staticmethod
            def backward(ctx, g):
                print("backward", now().name())
                return g
        y = x * 2
        y.register_hook(lambda g: print("hook", now().name()))
        y.grad_fn.register_prehook(lambda *g: print("before", now().name()))
        y.grad_fn.register_hook(lambda *g: print("after", now().name()))
        x.register_post_accumulate_grad_hook(lambda p: print("leaf", now().name()))
        Looks.apply(y).sum().backward()
        print(now())
    """,
    "settings_without_effect": """
        graph, profiler = torch.autograd.graph, torch.autograd.profiler
        for value in (True, 3, "a"):
            attempt(graph.set_warn_on_accumulate_grad_stream_mismatch, value)
            attempt(graph.set_override_stale_capture_stream, value)
        attempt(torch.autograd.set_multithreading_enabled)
        print(torch.autograd.set_multithreading_enabled(True).clone().mode)
        replayed = torch.autograd._force_original_view_tracking
        with replayed(True):
            print(torch._C._is_view_replay_enabled(), replayed.__module__)
        print(torch._C._is_view_replay_enabled(), torch.autograd.functional._construct_standard_basis_for(
            (torch.ones(2, 1), torch.ones(1, dtype=torch.float64)), (2, 1)
        ))
        attempt(torch.autograd.functional._construct_standard_basis_for, (torch.ones(2),), (2, 1))
        attempt(torch.autograd.functional._construct_standard_basis_for, (), ())
        with profiler.emit_itt() as one, profiler.emit_itt(enabled=False) as other:
            print(type(one).__name__, other)
        unique = profiler.EnforceUnique()
        attempt(unique.see, 1, 2); attempt(unique.see, 1, 2); attempt(unique.see, 1)
        steps = profiler.KinetoStepTracker
        start = steps.current_step()
        print([steps.increment_step("a") - start for _ in range(3)])
        steps.init_step_count("b")
        print(steps.increment_step("b") - start, steps.current_step() - start)
        print(steps.erase_step_count("a"), steps.erase_step_count("b"), steps.erase_step_count("b"))
        kind = torch.utils.checkpoint.DefaultDeviceType
        print(kind.get_device_type()); kind.set_device_type("xpu"); print(kind.get_device_type())
        kind.set_device_type(None)
        nested = torch.autograd.NestedIOFunction
        attempt(lambda: nested.forward_extended(None)); attempt(lambda: nested.backward_extended(None))
    """,
    "budgets_are_for_compiled_regions": """
        for value in (0.5, 1, True, 2, "a"):
            try:
                torch.autograd.graph.region_activation_memory_budget(value)
            except Exception as error:
                print(type(error).__name__, str(error).partition(" can only")[0])
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])


MODULES = (
    "autograd", "autograd.anomaly_mode", "autograd.forward_ad", "autograd.function", "autograd.functional",
    "autograd.grad_mode", "autograd.gradcheck", "autograd.graph", "autograd.profiler", "autograd.variable", "func",
    "overrides", "profiler", "utils.checkpoint",
)  # fmt: skip

ABSENT = {
    "autograd": {"DeviceType", "ProfilerActivity", "ProfilerConfig", "ProfilerEvent", "ProfilerState", "SavedTensor",
                 "handle_torch_function", "has_torch_function", "is_tensor_like", "is_view_replay_enabled",
                 "kineto_available"},
    "autograd.function": {"custom_function_call"},
    "autograd.grad_mode": {"F"},
    "autograd.gradcheck": {"is_tensor_like", "vmap"},
    "autograd.graph": {"TorchDispatchMode", "Variable"},
    "autograd.profiler": {"DeviceType", "Future", "MemRecordsAcc", "ProfilerActivity", "ProfilerConfig",
                          "ProfilerState", "kineto_available", "load_nvprof", "parse_nvprof_trace"},
    "profiler": {"DeviceType", "ExecutionTraceObserver", "KinetoStepTracker", "Optimizer", "RecordScope",
                 "is_fbcode", "register_optimizer_step_post_hook"},
    "utils.checkpoint": {"LoggingTensorMode", "SavedTensor", "TorchDispatchMode", "capture_logs", "tree_map"},
}  # fmt: skip
"""What PyTorch's modules have imported for themselves, and what of its profiler is of accelerators."""


@pytest.mark.parametrize("where", MODULES)
def test_names_are_there(where: str) -> None:
    torch = pytest.importorskip("torch")
    theirs: Any = import_module(f"{torch.__name__}.{where}")
    ours: Any = import_module(f"retrograd.{where}")
    public = {
        name for name in dir(theirs)
        if not name.startswith("_") and getattr(getattr(theirs, name), "__module__", "").startswith("torch")
        and not inspect.ismodule(getattr(theirs, name))
    }  # fmt: skip
    assert {name for name in public if not hasattr(ours, name)} <= ABSENT.get(where, set())


OTHERWISE = {"FunctionEvent", "FunctionEventAvg", "EventList", "no_grad", "enable_grad"}
"""Classes that programs do not make, and two that show how they are called as decorators."""


@pytest.mark.parametrize("where", MODULES)
def test_signatures_are_pytorchs(where: str) -> None:
    torch = pytest.importorskip("torch")
    theirs: Any = import_module(f"{torch.__name__}.{where}")
    ours: Any = import_module(f"retrograd.{where}")
    for name in dir(theirs):
        found, own = getattr(theirs, name), getattr(ours, name, None)
        if name.startswith("_") or name in OTHERWISE or own is None or inspect.ismodule(own) or not callable(found):
            continue
        if getattr(found, "__module__", "").startswith("torch") and (wanted := _parameters(found)) is not None:
            assert _parameters(own) == wanted, name


def _parameters(function: Any) -> Any:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    return [
        (each.name, each.kind, repr(each.default).replace("torch", "retrograd").partition(" at 0x")[0])
        for each in signature.parameters.values()
    ]


def test_what_is_refused_changes_nothing() -> None:
    x = retrograd.ones(2)
    with pytest.raises(AttributeError, match=r"attribute 'shape' of 'retrograd\._C\.TensorBase' objects is not wr"):
        x.shape = (1, 2)  # type: ignore[misc]
    assert x.shape == (2,)


def test_modes_below_the_graph_are_refused_when_they_are_entered() -> None:
    from retrograd.utils._mode_utils import no_dispatch
    from retrograd.utils._python_dispatch import TorchDispatchMode

    with no_dispatch(), pytest.raises(NotImplementedError, match="has no __torch_dispatch__"), TorchDispatchMode():
        pass
