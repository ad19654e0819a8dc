"""A gradient of None: which nodes and hooks still run behind it, as in PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

_PRELUDE = """
        class Nothing(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1

            @staticmethod
            def backward(ctx, grad):
                return None

        class Half(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, y):
                return x * 1, y * 1

            @staticmethod
            def backward(ctx, gx, gy):
                return None, gy

        def say(name):
            return lambda *grads: print(name, grads)

        x = torch.ones(1, requires_grad=True)
        y = x.sin()
"""

PROGRAMS = {
    "every_kind_of_hook": """
        z = y * 3
        y.retain_grad()
        for name, each in dict(x=x, y=y, z=z).items():
            each.register_hook(say(name))
        x.register_post_accumulate_grad_hook(say("accumulated"))
        for name, node in dict(sin=y.grad_fn, leaf=y.grad_fn.next_functions[0][0]).items():
            node.register_prehook(say(f"before {name}"))
            node.register_hook(say(f"after {name}"))
        torch.autograd.graph.register_multi_grad_hook((x, y), say("all"))
        torch.autograd.graph.register_multi_grad_hook((x, y), say("any"), mode="any")
        Nothing.apply(z).sum().backward()
        print(x.grad, y.grad)
    """,
    "what_was_saved_is_freed": """
        z = y.exp()
        Nothing.apply(z).sum().backward(retain_graph=True)
        Nothing.apply(z).sum().backward()
        attempt(Nothing.apply(z).sum().backward)
        attempt(z.sum().backward)
    """,
    "made_by_a_node_pre_hook": """
        z = y * 3
        z.grad_fn.register_prehook(lambda grads: (None,))
        z.grad_fn.register_hook(say("mul"))
        y.register_hook(say("y"))
        x.register_post_accumulate_grad_hook(say("accumulated"))
        z.sum().backward()
        print(x.grad)
    """,
    "made_by_a_node_hook": """
        z = y * 3
        z.grad_fn.register_hook(lambda inputs, outputs: (None,) * len(inputs))
        y.register_hook(say("y"))
        x.register_post_accumulate_grad_hook(say("accumulated"))
        z.sum().backward()
        print(x.grad)
    """,
    "made_by_a_pre_hook_of_the_leaf": """
        leaf = y.grad_fn.next_functions[0][0]
        leaf.register_prehook(lambda grads: (None,))
        leaf.register_hook(say("leaf"))
        x.register_post_accumulate_grad_hook(say("accumulated"))
        y.sum().backward()
        print(x.grad)
    """,
    "a_hook_that_replaces_it": """
        y.register_hook(lambda grad: torch.ones(1))
        attempt(Nothing.apply(y).sum().backward)
    """,
    "asked_for": """
        y.register_hook(say("y"))
        x.register_hook(say("x"))
        x.register_post_accumulate_grad_hook(say("accumulated"))
        print(torch.autograd.grad(Nothing.apply(y).sum(), [x, y], allow_unused=True))
        attempt(torch.autograd.grad, Nothing.apply(x.sin()).sum(), [x])
        print(torch.autograd.grad(Nothing.apply(x.sin()).sum(), [x], allow_unused=True, materialize_grads=True))
        Nothing.apply(y).sum().backward(inputs=[x])
    """,
    "of_one_input_among_two": """
        a, b = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
        for name, each in dict(a=a, b=b).items():
            each.register_hook(say(name))
            each.register_post_accumulate_grad_hook(say(f"accumulated {name}"))
        torch.autograd.graph.register_multi_grad_hook((a, b), say("all"))
        p, q = Half.apply(a * 2, b * 2)
        (p + q).sum().backward()
        print(a.grad, b.grad)
        p, q = Half.apply(a * 2, a * 3)
        (p + q).sum().backward()
        print(a.grad)
    """,
    "of_one_part": """
        parts = torch.arange(4.0, requires_grad=True).split(2)
        parts[0].register_hook(say("first"))
        parts[1].register_hook(say("second"))
        parts[0].grad_fn.register_prehook(say("split"))
        parts[0].sum().backward()
    """,
    "reaching_a_function": """
        class Identity(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, materialize):
                ctx.set_materialize_grads(materialize)
                return x * 1

            @staticmethod
            def backward(ctx, grad):
                print("identity", grad)
                return grad, None

        x.register_hook(say("x"))
        for materialize in (True, False):
            Nothing.apply(Identity.apply(x, materialize).exp()).sum().backward()
            Nothing.apply(Identity.apply(x, materialize)).sum().backward()
        print(x.grad)
    """,
    "in_a_recorded_pass": """
        x.register_post_accumulate_grad_hook(say("accumulated"))
        Nothing.apply(y).sum().backward(create_graph=True)
        print(x.grad)
    """,
    "in_anomaly_mode": """
        with torch.autograd.detect_anomaly():
            x.register_hook(say("x"))
            Nothing.apply(x.sin().exp()).sum().backward()
    """,
    "in_the_profiler": """
        with torch.autograd.profiler.profile() as profiled:
            Nothing.apply(x.sin().exp()).sum().backward()
        names = {event.name for event in profiled.function_events}
        print(sorted(name for name in names if "Backward" in name and "engine" not in name))
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_hooks_behind_a_gradient_of_none_are_called(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name], given=_PRELUDE)


MEMORY = """
        leaf = (x * 2).grad_fn.next_functions[0][0]
        given = torch.ones(1)
        leaf(given)
        given.mul_(5)
        print(x.grad)
        x.grad, seen = None, []
        leaf.register_hook(lambda inputs, outputs: seen.append(outputs[0]))
        y.sum().backward()
        seen[0].mul_(7)
        print(x.grad)
"""


def test_a_leaf_called_by_hand_copies_what_it_is_given() -> None:
    assert_same(MEMORY, given=_PRELUDE)
