"""Checkpointing: the same gradients, calls and errors as PyTorch's, and what it is for: less memory."""

from __future__ import annotations

import contextlib
import functools
import gc
import warnings
import weakref
from typing import Any

import pytest
from programs import assert_same

import retrograd
from retrograd.utils.checkpoint import (
    CheckpointError,
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
    set_checkpoint_debug_enabled,
)

_COMMON = """
        from importlib import import_module
        checkpoints = import_module(torch.__name__ + ".utils.checkpoint")
        checkpoint = checkpoints.checkpoint
        calls = []
        def leaf(): return torch.tensor([0.1, 0.2, 0.3], requires_grad=True)
        def region(a, b=None):
            calls.append("start")
            y = (a * a).exp().sin()
            calls.append("end")
            return y if b is None else y * b
"""

BOTH_WAYS = {
    "gradients_and_calls": """
        a, b = leaf(), leaf()
        y = checkpoint(region, a, b, use_reentrant=REENTRANT)
        y.sum().backward(retain_graph=True)
        print(calls)
        y.sum().backward()
        print(a.grad, b.grad, calls)
        attempt(lambda: y.sum().backward())
    """,
    "grad_and_inputs": """
        a = leaf()
        y = checkpoint(region, a, use_reentrant=REENTRANT)
        attempt(lambda: torch.autograd.grad(y.sum(), a, retain_graph=True))
        attempt(lambda: y.sum().backward(inputs=[a]))
        print(a.grad)
    """,
    "second_derivative": """
        a = leaf()
        y = checkpoint(lambda a: a ** 3, a, use_reentrant=REENTRANT)
        def second():
            first, = torch.autograd.grad(y.sum(), a, create_graph=True)
            return torch.autograd.grad(first.sum(), a)
        attempt(second)
    """,
    "nested": """
        a = leaf()
        inner = lambda a: checkpoint(region, a.sin(), use_reentrant=REENTRANT).exp() * a
        checkpoint(inner, a, use_reentrant=REENTRANT).sum().backward()
        print(a.grad, calls)
    """,
    "arguments": """
        attempt(lambda: checkpoint(region, leaf(), b=2., use_reentrant=REENTRANT).requires_grad)
        two = lambda a: (a * a, a.sum())
        attempt(lambda: [each.shape for each in checkpoint(two, leaf(), use_reentrant=REENTRANT)])
        with torch.no_grad():
            print(checkpoint(region, leaf(), use_reentrant=REENTRANT).requires_grad)
    """,
    "random_numbers": """
        masks = []
        def noisy(a):
            mask = torch.rand(3)
            masks.append(mask.tolist())
            return (a * mask).exp()
        for preserve in (True, False):
            y = checkpoint(noisy, leaf(), use_reentrant=REENTRANT, preserve_rng_state=preserve)
            outside = torch.get_rng_state()
            y.sum().backward()
            print(masks[-2] == masks[-1], bool((outside == torch.get_rng_state()).all()))
    """,
    "without_gradient": """
        a = leaf()
        checkpoint(lambda a: a.detach() * 2 + a, a, use_reentrant=REENTRANT).sum().backward()
        print(a.grad)
        detached = lambda a: a.detach() * 2
        attempt(lambda: checkpoint(detached, leaf(), use_reentrant=REENTRANT).sum().backward())
        print(checkpoint(region, leaf().detach(), use_reentrant=REENTRANT).requires_grad)
    """,
    "sequential": """
        steps = [torch.exp, torch.sin, torch.exp, torch.sin, torch.tanh]
        for segments in (1, 2, 3, 5):
            a = leaf()
            checkpoints.checkpoint_sequential(steps, segments, a, use_reentrant=REENTRANT).sum().backward()
            print(a.grad)
        attempt(lambda: checkpoints.checkpoint_sequential(steps, 2, leaf(), use_reentrant=REENTRANT, other=1))
    """,
}

WITHOUT_REENTRANCY = {
    "early_stop": """
        stops = lambda a: calls.append("before") or (a * 2).exp() + (calls.append("after") or 1)
        for options in ({}, {"early_stop": False}):
            a = leaf()
            checkpoint(stops, a, use_reentrant=False, **options).sum().backward()
            print(a.grad, calls)
        with checkpoints.set_checkpoint_early_stop(False):
            y = checkpoint(stops, leaf(), use_reentrant=False)
        y.sum().backward()
        print(calls)
    """,
    "gradient_inside": """
        def inside(a):
            y = a ** 3
            first, = torch.autograd.grad(y.sum(), a, create_graph=True)
            return first * y
        for early_stop in (True, False):
            a = leaf()
            checkpoint(inside, a, use_reentrant=False, early_stop=early_stop).sum().backward()
            print(a.grad)
    """,
    "input_written_to": """
        a = leaf()
        y = checkpoint(lambda a: a.exp(), a, use_reentrant=False)
        with torch.no_grad():
            a.add_(1)
        attempt(lambda: y.sum().backward())
    """,
    "custom_function": """
        def square(reads):
            class Square(torch.autograd.Function):
                @staticmethod
                def forward(ctx, a):
                    ctx.save_for_backward(a)
                    return a * a
                @staticmethod
                def backward(ctx, grad):
                    for _ in range(reads):
                        a, = ctx.saved_tensors
                    return 2 * grad * a
            return Square.apply
        for reads in (1, 2):
            a = leaf()
            attempt(lambda: checkpoint(square(reads), a, use_reentrant=False).sum().backward())
            print(a.grad)
    """,
    "saved_outside_of_backward": """
        y = checkpoint(torch.exp, leaf(), use_reentrant=False)
        print(y.grad_fn._saved_result, y.grad_fn._saved_result)
    """,
    "exceptions": """
        def fails(a):
            calls.append(1)
            if len(calls) >= at:
                raise ValueError("failed")
            return a.exp()
        at = 1
        attempt(lambda: checkpoint(fails, leaf(), use_reentrant=False))
        at = 3
        attempt(lambda: checkpoint(fails, leaf(), use_reentrant=False).sum().backward())
        attempt(lambda: checkpoint(region, leaf(), use_reentrant=False, determinism_check="other"))
    """,
    "contexts": """
        import contextlib
        @contextlib.contextmanager
        def noting(what):
            calls.append("enter " + what)
            yield
            calls.append("leave " + what)
        both = lambda: (noting("first"), noting("second"))
        y = checkpoint(region, leaf(), use_reentrant=False, context_fn=both)
        y.sum().backward()
        print(calls)
        attempt(lambda: checkpoint(region, leaf(), use_reentrant=False, context_fn=both, debug=True))
        hides = lambda: (contextlib.suppress(ZeroDivisionError), noting("second"))
        attempt(lambda: checkpoint(lambda a: 1 / 0, leaf(), use_reentrant=False, context_fn=hides))
    """,
    "several_passes_in_a_group": """
        a = leaf()
        y, z = checkpoint(lambda a: (region(a), (a * 2).sin()), a, use_reentrant=False)
        with checkpoints.GraphExecGroup():
            y.sum().backward(retain_graph=True)
            z.sum().backward()
        print(a.grad, calls)
        y = checkpoint(region, a, use_reentrant=False)
        with checkpoints.GraphExecGroup():
            y.sum().backward(retain_graph=True)
            attempt(lambda: y.sum().backward())
    """,
}


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("name", BOTH_WAYS)
def test_same_as_pytorch(name: str, reentrant: bool, backend: str) -> None:
    assert_same(_COMMON + BOTH_WAYS[name].replace("REENTRANT", str(reentrant)))


@pytest.mark.parametrize("name", WITHOUT_REENTRANCY)
def test_same_as_pytorch_without_reentrancy(name: str, backend: str) -> None:
    assert_same(_COMMON + WITHOUT_REENTRANCY[name])


# -- errors --------------------------------------------------------------------------------------


class Different:
    """Saves other tensors when it runs for the second time."""

    def __init__(self, first: Any, second: Any) -> None:
        self.ways = iter((first, second))

    def __call__(self, a: Any) -> Any:
        return next(self.ways)(a)


def short(a: Any) -> Any:
    return a.exp()


def long(a: Any) -> Any:
    return a.exp().sin().cos()


def leaf() -> Any:
    return retrograd.tensor([0.1, 0.2, 0.3], requires_grad=True)


def test_fewer_tensors_than_before(backend: str) -> None:
    with pytest.raises(CheckpointError, match=r"saved during forward: 3\nNumber.* recomputation: 1"):
        checkpoint(Different(long, short), leaf(), use_reentrant=False).sum().backward()


def test_more_tensors_than_before(backend: str) -> None:
    checkpoint(Different(short, long), leaf(), use_reentrant=False).sum().backward()  # stopped before
    with pytest.raises(CheckpointError, match="trying to save more tensors during recomputation than during"):
        checkpoint(Different(short, long), leaf(), use_reentrant=False, early_stop=False).sum().backward()


def test_other_metadata(backend: str) -> None:
    different = Different(short, lambda a: a[1:].exp())
    with pytest.raises(CheckpointError, match=r"tensor at position 0:\nsaved metadata: .*Size\(\[3\]\)"):
        checkpoint(different, leaf(), use_reentrant=False).sum().backward()


def test_debug_shows_both_runs() -> None:
    for options, override in (({"debug": True}, None), ({}, True)):
        with set_checkpoint_debug_enabled(override):
            y = checkpoint(Different(long, short), leaf(), use_reentrant=False, **options)
        with pytest.raises(CheckpointError) as caught:
            y.sum().backward()
        text = str(caught.value)
        assert text.count("return a.exp().sin().cos()") == 3
        assert text.count("return a.exp()\n") == 1
        assert "A different number of tensors was saved" in str(caught.value.__cause__)


def test_a_saved_tensor_that_is_changed_in_the_region(backend: str) -> None:
    def writes(a: Any) -> Any:
        y = a.exp()
        y.add_(1)
        return y * a

    with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
        checkpoint(writes, leaf(), use_reentrant=False).sum().backward()


def test_reentrant_has_no_contexts_and_no_debugging() -> None:
    with pytest.raises(ValueError, match="Passing `context_fn` or `debug` is only supported when use_reentrant=False"):
        checkpoint(short, leaf(), use_reentrant=True, debug=True)


def test_use_reentrant_must_be_said() -> None:
    with pytest.warns(UserWarning, match="the use_reentrant parameter should be passed explicitly"):
        checkpoint(short, leaf())


# -- memory and state ----------------------------------------------------------------------------


def test_what_the_region_makes_is_freed(backend: str) -> None:
    made: list[Any] = []

    def region(a: Any) -> Any:
        first = a.exp()
        second = first.sin()
        made.extend((weakref.ref(first), weakref.ref(second)))
        return second.cos()

    gc.disable()
    try:
        y = checkpoint(region, leaf(), use_reentrant=False)
        assert not any(each() for each in made)
        y.sum().backward(retain_graph=True)
        assert len(made) == 4
        assert not any(each() for each in made)
        dead = weakref.ref(y.grad_fn)
        del y
        assert dead() is None
    finally:
        gc.enable()


def test_what_a_function_in_the_region_saves_is_freed(backend: str) -> None:
    made: list[Any] = []

    class Saving(retrograd.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x.exp()
            ctx.save_for_backward(y)
            made.append(weakref.ref(y))
            return y

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * ctx.saved_tensors[0]

    gc.disable()
    try:
        checkpoint(Saving.apply, leaf(), use_reentrant=False).sum().backward()
        assert len(made) == 2
        assert not any(each() for each in made)
    finally:
        gc.enable()


def test_a_part_of_the_graph_leaves_nothing_behind(backend: str) -> None:
    a, b = leaf(), leaf()
    y = checkpoint(lambda a, b: (a * a).exp() + (b * b).exp(), a, b, use_reentrant=False)
    for _ in range(3):
        (gradient,) = retrograd.autograd.grad(y.sum(), a, retain_graph=True)
    y.sum().backward()
    assert gradient.tolist() == a.grad.tolist() == b.grad.tolist()


def test_the_default_backend_of_the_first_run_is_that_of_the_second() -> None:
    pytest.importorskip("jax")
    made = []

    def region(a: Any) -> Any:
        made.append(retrograd.ones(3))
        return (a * made[-1]).exp()

    with retrograd.use_backend("jax"):
        y = checkpoint(region, leaf(), use_reentrant=False)
    y.sum().backward()
    assert [each.device.backend for each in made] == ["jax", "jax"]


# -- selective -----------------------------------------------------------------------------------


def chain(x: Any, w: Any) -> Any:
    return retrograd.sigmoid(retrograd.mm(retrograd.mm(x, w), w)).exp() * w


@pytest.fixture
def kernels_run(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the operators whose kernels have run on the general path."""
    from retrograd.ops import dispatch

    ran: list[str] = []
    forward = dispatch.forward

    def noting(op: Any, *arguments: Any) -> Any:
        ran.append(op.name.strip("_"))
        return forward(op, *arguments)

    monkeypatch.setattr(dispatch, "forward", noting)
    return ran


def _matrices() -> tuple[Any, Any]:
    retrograd.manual_seed(3)
    return retrograd.rand(3, 3, requires_grad=True), retrograd.rand(3, 3, requires_grad=True)


def _policy(context: Any, op: Any, *args: Any) -> CheckpointPolicy:
    assert not context.is_recompute
    kept = (retrograd.ops.aten.exp.default, retrograd.ops.aten.mm.default)
    return CheckpointPolicy.MUST_SAVE if op in kept else CheckpointPolicy.PREFER_RECOMPUTE


@pytest.mark.parametrize(
    ("policy", "again"),
    [
        ([retrograd.mm], ["sigmoid", "exp", "mul"]),
        ([retrograd.ops.aten.mm.default], ["sigmoid", "exp", "mul"]),
        (_policy, ["sigmoid", "mul"]),
    ],
)
def test_kept_results_are_not_computed_again(
    policy: Any, again: list[str], kernels_run: list[str], backend: str
) -> None:
    x, w = _matrices()
    expected = [each.tolist() for each in retrograd.autograd.grad(chain(x, w).sum(), (x, w))]
    contexts = functools.partial(create_selective_checkpoint_contexts, policy)
    y = checkpoint(chain, x, w, use_reentrant=False, context_fn=contexts)
    kernels_run.clear()
    total = y.sum()
    total.backward(retain_graph=True)
    assert kernels_run == again
    assert [x.grad.tolist(), w.grad.tolist()] == expected
    with pytest.raises(RuntimeError, match="Trying to backward an extra time"):
        total.backward()


@pytest.mark.parametrize("allow", [False, True])
def test_a_kept_result_that_is_changed(allow: bool, backend: str) -> None:
    def writes(x: Any) -> Any:
        y = x.exp()
        z = x * 2
        y_times_x = y * x
        with retrograd.no_grad():
            y.mul_(2)
        return y_times_x + z

    contexts = functools.partial(
        create_selective_checkpoint_contexts, [retrograd.exp], allow_cache_entry_mutation=allow
    )
    y = checkpoint(writes, leaf(), use_reentrant=False, context_fn=contexts)
    expected = contextlib.nullcontext() if allow else pytest.raises(RuntimeError, match="has been mutated")
    with expected:
        y.sum().backward()


def test_what_is_no_policy() -> None:
    with pytest.raises(ValueError, match=r"Expected op in `op_list` to be an OpOverload.*matmul"):
        create_selective_checkpoint_contexts([retrograd.matmul])
    with pytest.raises(TypeError, match="policy_fn_or_list must be either a function or a list of ops"):
        create_selective_checkpoint_contexts(3)  # type: ignore[arg-type]


def test_nothing_is_done_without_gradients() -> None:
    with warnings.catch_warnings(), retrograd.no_grad():
        warnings.simplefilter("error")
        assert not checkpoint(short, leaf(), use_reentrant=False).requires_grad
