"""Memory: a graph is freed the moment its last tensor is dropped, and a step needs what it saves and little more.

Everything here runs without the garbage collector: what it would have to find is a leak.
"""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from opinfo import OPS, OpInfo
from opinfo_nn import NN_OPS

import retrograd
from retrograd import nn
from retrograd.autograd import Function, forward_ad
from retrograd.autograd.graph import register_multi_grad_hook, saved_tensors_hooks
from retrograd.autograd.node import AccumulateGrad, Node


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def nodes_below(*tensors: Any) -> list[Node]:
    """All nodes of the graphs of `tensors` but those of leaves."""
    found: dict[Node, None] = {}
    stack = [each.grad_fn for each in tensors if each.grad_fn is not None]
    while stack:
        node = stack.pop()
        if node in found or isinstance(node, AccumulateGrad):
            continue
        found[node] = None
        stack += [edge[0] for edge in node._next_edges if edge is not None]
    return list(found)


def watched(results: Any) -> list[weakref.ref[Any]]:
    """Weak references to the nodes and the tensors of a result."""
    tensors = [
        each for each in (results if isinstance(results, (list, tuple)) else [results]) if hasattr(each, "grad_fn")
    ]
    return [weakref.ref(each) for each in [*nodes_below(*tensors), *tensors]]


def alive(references: list[weakref.ref[Any]]) -> list[Any]:
    return [each() for each in references if each() is not None]


# -- graphs die with their tensors -----------------------------------------------------------------


def call(op: OpInfo, backward: bool, create_graph: bool) -> list[weakref.ref[Any]]:
    sample = op.samples[0]
    leaves = [retrograd.tensor(each) for each in sample.arrays(op.name)]
    for spec, leaf in zip(sample.specs(), leaves, strict=True):
        leaf.requires_grad_(spec.is_differentiable)
    args, kwargs = sample.filled(leaves)
    results = op(retrograd, args, kwargs)
    results = list(results) if isinstance(results, (list, tuple)) else [results]
    roots = [each for each in results if getattr(each, "requires_grad", False)]
    references = watched(roots)
    if backward and roots:
        inputs = [leaf for leaf in leaves if leaf.requires_grad]
        weights = [retrograd.ones_like(each) for each in roots]
        grads = retrograd.autograd.grad(roots, inputs, weights, create_graph=create_graph, allow_unused=True)
        references += watched([each for each in grads if each is not None])
    return references


DIFFERENTIABLE = [each for each in (*OPS, *NN_OPS) if each.differentiable]


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=lambda op: op.name)
def test_the_graph_of_every_operator_dies_with_its_results(op: OpInfo) -> None:
    assert not alive(call(op, False, False))
    assert not alive(call(op, True, False))
    if op.second:
        assert not alive(call(op, True, True))


class Keeps(Function):
    """Saves its input and its output, and a tensor that is neither."""

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        out = a * 2
        ctx.save_for_backward(a, out, a + 1)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, out, other = ctx.saved_tensors
        return grad * (a + out + other)


class Writes(Function):
    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        a.mul_(2)
        ctx.mark_dirty(a)
        ctx.save_for_backward(a)
        return a

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad * 2


class Several(Function):
    @staticmethod
    def forward(a: Any, b: Any) -> Any:
        return a * b, (a > b).float(), a

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[1], *output[:2])
        ctx.save_for_forward(inputs[1], *output[:2])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Any, _: Any, other: Any) -> Any:
        return grad * ctx.saved_tensors[0] + other, grad


def views(x: Any) -> Any:
    y = x * 1
    return y.view(6)[1:].unsqueeze(0).transpose(0, 1), y


def written(x: Any) -> Any:
    y = x * 2
    y.mul_(x)
    y.exp_()
    return y


def overwritten_after_saving(x: Any) -> Any:
    y = x.exp()  # saves its result, whose cell then knows of the write
    y.add_(1)
    return y


def written_views(x: Any) -> Any:
    y = x * 1
    rows = y[0], y[1]
    rows[0].mul_(2)
    rows[1].mul_(x[0])
    y[0, 1].add_(3.0)
    return y, *rows


def hooked(x: Any) -> Any:
    y = x.exp()
    y.register_hook(lambda grad: grad * 2)
    y.retain_grad()
    y.grad_fn.register_hook(lambda inputs, outputs: None)
    y.grad_fn.register_prehook(lambda outputs: None)
    y.grad_fn.metadata["note"] = 1
    return y.sum()


def hooked_together(x: Any) -> Any:
    y, z = x.exp(), x * 2
    register_multi_grad_hook([x, y, z], lambda grads: None).remove()
    register_multi_grad_hook([y, z], lambda grads: None)
    register_multi_grad_hook([y, z], lambda grad: None, mode="any")
    return y, y * z


def packed(x: Any) -> Any:
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        return Keeps.apply(x.exp()).tanh()


def in_anomaly_mode(x: Any) -> Any:
    with retrograd.autograd.set_detect_anomaly(True):
        y = x.exp().detach_().requires_grad_() * x
        y.mul_(x[0].detach())
        return y


def checkpointed(x: Any) -> Any:
    from retrograd.utils.checkpoint import checkpoint

    return checkpoint(lambda t: t.exp().tanh(), x, use_reentrant=False)


GRAPHS: dict[str, Callable[[Any], Any]] = {
    "views": views,
    "splits": lambda x: (x * 1).unbind(),
    "write": written,
    "write after saving": overwritten_after_saving,
    "write to views": written_views,
    "hooks": hooked,
    "hooks of several": hooked_together,
    "saved-tensor hooks": packed,
    "anomaly mode": in_anomaly_mode,
    "checkpoint": checkpointed,
    "custom function": Keeps.apply,
    "custom function that writes": lambda x: Writes.apply(x * 1),
    "custom function with several outputs": lambda x: Several.apply(x * 2, x * 3),
    "detached": lambda x: (lambda y: (y, y.detach(), y.data))(x * 1),
}


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_a_graph_dies_with_its_last_tensor(make: Callable[[Any], Any], backward: bool, backend: str) -> None:
    x = (retrograd.arange(6.0).reshape(2, 3) / 10 + 0.1).requires_grad_()
    results = make(x)
    results = results if isinstance(results, tuple) else (results,)
    references = watched(results)
    assert alive(references)
    roots = [each for each in results if each.requires_grad]
    if backward and make is not overwritten_after_saving:
        retrograd.autograd.backward(roots, [retrograd.ones_like(each) for each in roots])
    if make is overwritten_after_saving:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            results[0].sum().backward()
    del results, roots
    assert not alive(references)
    assert x.grad is not None or not backward or make is overwritten_after_saving


def test_a_graph_dies_with_a_ctx_that_outlived_its_tensors(backend: str) -> None:
    kept: list[Any] = []

    class Remembers(Keeps):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            kept.append(ctx)
            return Keeps.forward(ctx, a)

    x = retrograd.ones(2, 3, requires_grad=True)
    out = Remembers.apply(x * 2)
    references = watched([out])
    out.sum().backward(retain_graph=True)
    del out
    assert len(kept[0].saved_tensors) == 3
    assert alive(references)
    kept.clear()
    assert not alive(references)


def pushed_at_a_level(x: Any, v: Any) -> Any:
    with forward_ad.dual_level():
        return forward_ad.unpack_dual((forward_ad.make_dual(x, v) @ v.t()).tanh())


def pushed_twice(x: Any, v: Any) -> Any:
    def inner(y: Any) -> Any:
        return retrograd.func.jvp(lambda z: (z @ v.t()).tanh(), (y,), (v,))

    return sum(retrograd.func.jvp(inner, (x,), (v,)), ())


@pytest.mark.parametrize("x_requires", [False, True])
@pytest.mark.parametrize(
    "push",
    [
        pushed_at_a_level,
        pushed_twice,
        lambda x, v: retrograd.func.jvp(lambda z: (z @ v.t()).tanh(), (x,), (v,)),
        lambda x, v: retrograd.func.jacfwd(lambda z: (z @ v.t()).tanh())(x),
    ],
    ids=["dual level", "nested jvp", "jvp", "jacfwd"],
)
def test_the_graphs_of_tangents_die_with_their_tensors(push: Any, x_requires: bool, backend: str) -> None:
    x = retrograd.rand(2, 3).requires_grad_(x_requires)
    v = retrograd.rand(2, 3, requires_grad=True)
    results = push(x, v)
    references = watched(results)
    assert len(alive(references)) > 1
    del results
    assert not alive(references)


def test_a_pass_frees_what_nodes_saved_as_it_goes() -> None:
    x = retrograd.ones(3, requires_grad=True)
    saved = x.exp()
    array = weakref.ref(saved._array)
    y = (saved * 2).sum()
    del saved
    assert array() is not None
    y.backward()
    assert array() is None


def test_a_higher_derivative_dies_with_its_tensors() -> None:
    x = retrograd.rand(4, requires_grad=True)
    references = []
    y = (x.exp() * x.tanh()).sum()
    for _ in range(3):
        references += watched(y)
        (g,) = retrograd.autograd.grad(y, x, create_graph=True)
        references += watched(g)
        y = (g * g).sum()
    del y, g
    assert not alive(references)


def test_the_cycle_that_create_graph_leaves_goes_with_grad() -> None:
    x = retrograd.rand(4, requires_grad=True)
    y = (x * x * x).sum()
    references = watched(y)
    y.backward(create_graph=True)
    references += watched(x.grad)
    del y
    assert alive(references)  # x.grad leads to the graph, as the warning says
    x.grad = None
    assert not alive(references)


# -- training -----------------------------------------------------------------------------------------


# A leak of one activation per step would be 16 MB here. In a process of its own, since in one that has run other
# tests the resident memory also moves with what the allocator finds to reuse.
TRAINING = """
import gc
import psutil
import retrograd
from retrograd import nn

gc.disable()
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
optimizer = retrograd.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
x, labels = retrograd.randn(64, 64), retrograd.arange(64) % 4
loss_function = nn.CrossEntropyLoss()

def train(steps):
    for _ in range(steps):
        optimizer.zero_grad()
        loss_function(model(x), labels).backward()
        optimizer.step()

train(100)
objects, resident = len(gc.get_objects()), psutil.Process().memory_info().rss
train(1000)
print(len(gc.get_objects()) - objects, psutil.Process().memory_info().rss - resident)
"""


def test_a_thousand_training_steps_leave_the_process_as_it_was() -> None:
    output = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True, check=True).stdout
    objects, resident = map(int, output.split())
    assert objects <= 10
    assert resident <= 4 * 2**20


LAYERS, WIDTH, BATCH = 50, 64, 2048


def test_the_peak_of_a_deep_network_is_what_it_saves() -> None:
    model = nn.Sequential(*(layer for _ in range(LAYERS) for layer in (nn.Linear(WIDTH, WIDTH), nn.ReLU())))
    x = retrograd.randn(BATCH, WIDTH)
    for each in model.parameters():
        each.grad = retrograd.zeros_like(each)

    # Each ReLU keeps its result, which is the next layer's input; of the rest nothing is kept.
    expected = LAYERS * BATCH * WIDTH * x.element_size()
    assert saved_bytes(model(x), exclude=[x, *model.parameters()]) == expected

    model(x).sum().backward()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        model(x).sum().backward()
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert expected <= peak <= 1.1 * expected


def test_a_profiled_step_leaves_nothing_behind() -> None:
    x = retrograd.ones(3, requires_grad=True)

    def step() -> int:
        with retrograd.autograd.profiler.profile(profile_memory=True, record_shapes=True) as prof:
            (x * 2).exp().sum().backward()
        assert any(each.cpu_parent is not None for each in prof.function_events)
        return len(prof.function_events)

    step()
    objects = len(gc.get_objects())
    assert step() > 10
    assert len(gc.get_objects()) <= objects


def test_an_event_of_a_profile_knows_its_parent_as_long_as_there_is_a_list() -> None:
    x = retrograd.ones(3, requires_grad=True)
    with retrograd.autograd.profiler.profile() as prof:
        (x * 2).sum().backward()
    copied = pickle.loads(pickle.dumps(prof.function_events))
    inner, other = ([each for each in events if each.cpu_parent] for events in (prof.function_events, copied))
    assert [each.cpu_parent.name for each in inner] == [each.cpu_parent.name for each in other]
    assert all(each in each.cpu_parent.cpu_children for each in other)
    del prof
    assert inner[0].cpu_parent is None


def saved_bytes(root: Any, exclude: list[Any]) -> int:
    """The bytes of all arrays that the graph of `root` keeps alive, those of `exclude` left out."""
    given = {owner(each._array).ctypes.data for each in exclude}
    arrays = {}
    for node in nodes_below(root):
        for each in node._holds:
            if isinstance(each, np.ndarray):
                base = owner(each)
                arrays[base.ctypes.data] = base.nbytes
    return sum(size for address, size in arrays.items() if address not in given)


def owner(array: Any) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
