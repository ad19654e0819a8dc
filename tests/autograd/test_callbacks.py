"""Callbacks at the end of a backward pass, and the dicts in which tensors show their hooks: as in PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

_PRELUDE = """
        engine = torch.autograd.Variable._execution_engine
        x = torch.ones(2, requires_grad=True)

        def during(hook, value=None):
            y = x * 2
            y.register_hook(hook)
            return y.sum()

        def boom():
            raise ValueError("boom")
"""

PROGRAMS = {
    "the_pass_that_runs": """
        numbers, orders = [], []

        def hook(grad):
            numbers.append(torch._C._current_graph_task_id())
            orders.append([node.name() for node in torch._C._current_graph_task_execution_order()])

        x = torch.ones(2, requires_grad=True)
        y = torch.ones(2, requires_grad=True)
        z = (x.sin() * y.exp()).sum()
        z.register_hook(hook)
        with torch.autograd.set_multithreading_enabled(False):
            for _ in range(2):
                z.backward(retain_graph=True)
            torch.autograd.grad(z, x, retain_graph=True)
        print([after - before for before, after in zip(numbers, numbers[1:])], torch._C._current_graph_task_id())
        print(orders)
        attempt(z.backward)
        attempt(torch._C._current_graph_task_execution_order)
    """,
    "outside_of_a_pass": """
        attempt(engine.queue_callback, lambda: print("called"))
    """,
    "at_the_end_in_order": """
        def hook(grad):
            print("hook", x.grad)
            engine.queue_callback(lambda: print("first", x.grad))
            engine.queue_callback(lambda: print("second"))

        during(hook).backward()
        print("done")
        during(hook).backward()
        print(torch.autograd.grad(during(hook), x))
    """,
    "inside_another_pass": """
        def hook(grad):
            engine.queue_callback(lambda: print("outer", x.grad))
            with torch.enable_grad():
                z = torch.ones(1, requires_grad=True)
                w = z * 3
            w.register_hook(lambda grad: engine.queue_callback(lambda: print("inner", z.grad, x.grad)))
            w.backward()
            print("after inner")

        during(hook).backward()
    """,
    "errors": """
        def two(grad):
            engine.queue_callback(boom)
            engine.queue_callback(lambda: print("never called"))

        attempt(during(two).backward)
        print(x.grad)
        attempt(engine.queue_callback, boom)
        attempt(during(lambda grad: engine.queue_callback(3)).backward)

        def bad(grad):
            engine.queue_callback(lambda: print("never called"))
            raise RuntimeError("bad")

        attempt(during(bad).backward)
        during(lambda grad: None).backward()
        print(x.grad)
    """,
    "what_a_callback_may_do": """
        def more():
            print("more")
            engine.queue_callback(lambda: print("queued by a callback"))

        during(lambda grad: engine.queue_callback(more)).backward()
        during(lambda grad: engine.queue_callback(lambda: print(torch.is_grad_enabled()))).backward()
        seen = lambda: print(torch.is_grad_enabled())
        print(torch.autograd.grad(during(lambda grad: engine.queue_callback(seen)), x, create_graph=True))
        print(torch.is_grad_enabled())

        def again():
            with torch.enable_grad():
                (x * 3).sum().backward()
            print(x.grad)

        during(lambda grad: engine.queue_callback(again)).backward()
    """,
    "from_a_function": """
        class Identity(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1

            @staticmethod
            def backward(ctx, grad):
                engine.queue_callback(lambda: print("from the function", x.grad))
                print(engine.is_checkpoint_valid())
                return grad

        Identity.apply(x).sum().backward()
        Identity.apply(x).sum().backward(inputs=[x])
        print(engine.is_checkpoint_valid())
    """,
    "hooks_shown": """
        y = x * 1
        print(x._backward_hooks, y._backward_hooks, x._post_accumulate_grad_hooks, torch.ones(1)._backward_hooks)
        for tensor in (x, y):
            hook = lambda grad: grad * 2
            handle = tensor.register_hook(hook)
            other = tensor.register_hook(hook)
            print(list(tensor._backward_hooks) == [handle.id, other.id], tensor._backward_hooks[handle.id] is hook)
            handle.remove()
            print(list(tensor._backward_hooks) == [other.id])
            other.remove()
            print(len(tensor._backward_hooks))
        handle = x.register_post_accumulate_grad_hook(print)
        print(list(x._post_accumulate_grad_hooks.items()) == [(handle.id, print)])
        handle.remove()
        print(x._post_accumulate_grad_hooks)
    """,
    "hooks_taken_away": """
        delete = lambda hooks, i: hooks.__delitem__(i)
        for take in (lambda hooks, i: hooks.clear(), lambda hooks, i: hooks.pop(i), delete):
            for tensor in (x * 1, torch.ones(2, requires_grad=True)):
                handle = tensor.register_hook(lambda grad: print("called"))
                take(tensor._backward_hooks, handle.id)
                tensor.sum().backward()
                print(len(tensor._backward_hooks))
        x.register_post_accumulate_grad_hook(lambda leaf: print("called"))
        x._post_accumulate_grad_hooks.clear()
        x.sum().backward()
    """,
    "handles": """
        import collections, warnings
        hooks = torch.utils.hooks
        mine, more = collections.OrderedDict(), collections.OrderedDict()
        handle = hooks.RemovableHandle(mine, extra_dict=more)
        mine[handle.id], more[handle.id] = print, print
        handle.remove()
        print(mine, more)
        with hooks.RemovableHandle(mine) as handle:
            mine[handle.id] = print
        print(mine)

        def loud(grad):
            pass

        @hooks.unserializable_hook
        def silent(grad):
            pass

        for hook in (loud, silent):
            handle = x.register_hook(hook)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                hooks.warn_if_has_hooks(x)
            print([str(each.message) for each in caught if "will not be serialized" in str(each.message)])
            handle.remove()
        hooks.warn_if_has_hooks(torch.ones(1))
    """,
    "hooks_of_a_module": """
        module = nn.Linear(1, 1)
        user_hooks = [lambda module, before, after: print("grad_input", before, after)]
        watcher = torch.utils.hooks.BackwardHook(module, user_hooks, [lambda module, grad: print("grad_output", grad)])
        (value,) = watcher.setup_input_hook((x,))
        result = watcher.setup_output_hook(value * 3)
        result.sum().backward()
        print(x.grad)
    """,
    "forward_mode_off": """
        fw = torch.autograd.forward_ad
        with fw.dual_level():
            y = fw.make_dual(torch.ones(2), torch.ones(2))
            with fw._set_fwd_grad_enabled(False):
                z = y * 2
                print(fw.unpack_dual(z), fw.unpack_dual(y))
                with fw._set_fwd_grad_enabled(True):
                    print(fw.unpack_dual(y * 3))
                print(fw.unpack_dual(y * 3))
            print(fw.unpack_dual(z), fw.unpack_dual(y * 2))
            switch = fw._set_fwd_grad_enabled(False)
            print(fw.unpack_dual(y))
            switch.__exit__(None, None, None)
            print(fw.unpack_dual(y))
    """,
    "functionalize": """
        functionalize = torch.func.functionalize

        def writes(x):
            y = x.clone()
            y.add_(1)
            x.mul_(2)
            v = x.view(-1)
            v.add_(1)
            return y, v

        q = torch.ones(2, 2)
        print(functionalize(writes)(q), q)
        print(functionalize(writes, remove="mutations_and_views").__name__)
        attempt(functionalize, writes, remove="all")
        print(torch.func.grad(functionalize(lambda x: x.clone().mul_(2).sum()))(q))
        Old = type("Old", (torch.autograd.Function,), dict(forward=staticmethod(lambda ctx, x: x.sin())))
        New = type("New", (torch.autograd.Function,), dict(
            forward=staticmethod(lambda x: x.sin()), setup_context=staticmethod(lambda ctx, inputs, output: None)
        ))
        attempt(lambda: functionalize(Old.apply)(q))
        attempt(lambda: functionalize(New.apply)(q))
        attempt(lambda: functionalize(torch.func.grad(lambda x: New.apply(x).sum()))(q))
        attempt(lambda: functionalize(lambda x: x.requires_grad_())(q))
        print(torch.vmap(functionalize(lambda x: x.clone().mul_(2)))(q), functionalize(lambda x, *, k: x * k)(q, k=2))
    """,
    "tools_that_are_absent": """
        profiler = torch.autograd.profiler
        for each in (profiler.emit_nvtx, profiler.emit_itt):
            with each(enabled=False, record_shapes=True) as entered:
                print(entered)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(_PRELUDE + PROGRAMS[name])
