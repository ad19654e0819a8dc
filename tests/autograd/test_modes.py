"""The modes, as contexts and as decorators, and what shows them: the same as PyTorch's."""

from __future__ import annotations

import pytest
from programs import assert_same

PROGRAMS = {
    "ended_in_another_order": """
        def hooked():
            y = torch.ones(1, requires_grad=True).exp()
            try:
                y.grad_fn._raw_saved_result.register_hooks(lambda x: x, lambda x: x)
            except RuntimeError:
                return True
            return False

        graph, off = torch.autograd.graph, torch.no_grad()
        hooks = graph.saved_tensors_hooks(lambda x: x, lambda x: x)
        off.__enter__()
        hooks.__enter__()
        off.__exit__(None, None, None)
        print(torch.is_grad_enabled(), hooked())
        hooks.__exit__()
        print(torch.is_grad_enabled(), hooked())

        first, second = torch.no_grad(), torch.enable_grad()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        print(torch.is_grad_enabled())
        second.__exit__(None, None, None)
        print(torch.is_grad_enabled())
        torch.set_grad_enabled(True)

        anomaly = torch.autograd.set_detect_anomaly(True)
        with torch.no_grad():
            anomaly.__exit__()
            print(torch.is_grad_enabled(), torch.is_anomaly_enabled())
    """,
    "objects": """
        import weakref

        hooks = torch.autograd.graph.saved_tensors_hooks(id, id)
        for each in (torch.no_grad(), torch.inference_mode(), torch.set_grad_enabled(True), hooks):
            each.note = 1
            print(weakref.ref(each)() is each, each.note)
    """,
    "reprs": """
        print(torch.no_grad(), torch.enable_grad(), torch.inference_mode())
        print(torch.set_grad_enabled(True), torch.set_grad_enabled(False), torch.set_grad_enabled(True))
        print(torch.autograd.set_detect_anomaly(False), torch.autograd.graph.saved_tensors_hooks(id, id))
        print(torch.autograd.detect_anomaly(), torch.autograd.graph.save_on_cpu())
        print(torch.autograd.set_multithreading_enabled(True))
        A = torch.autograd
        for c in (
            torch.no_grad,
            torch.enable_grad,
            torch.inference_mode,
            torch.set_grad_enabled,
            A.detect_anomaly,
            A.set_detect_anomaly,
            A.Function,
            A.graph.saved_tensors_hooks,
            A.graph.save_on_cpu,
            A.graph.Node,
            A.graph.GradientEdge,
            A.profiler.profile,
            A.profiler.record_function,
            A.forward_ad.dual_level,
            A.forward_ad.UnpackedDualTensor,
            A.function.FunctionCtx,
        ):
            print(c)
    """,
    "types": """
        x = torch.ones(2, requires_grad=True)
        print(type(x), torch.Tensor, torch.nn.Parameter, torch.Size, torch.dtype, torch.device)
        print(type(x.shape), type(x.dtype), type(x.device))
        print(type(torch.nn.Parameter(torch.ones(1))), type((x * 2).grad_fn))
        print(type(x[:1]), type(x.detach()), type(x.data))
        print(torch.Tensor.__name__, torch.nn.Parameter.__module__, torch.Tensor.__qualname__)
        y = x * 1
        v = y[:1]
        y.mul_(2)
        print(type(v), isinstance(v, torch.Tensor), type(v).__name__)
        print(v.sum().item(), type(v))
        print(torch.is_tensor(v), torch.is_tensor(3), isinstance(torch.nn.Parameter(torch.ones(1)), torch.Tensor))
    """,
    "decorators_plain": """
        x = torch.ones(2, requires_grad=True)

        @torch.no_grad()
        def a(v):
            "doc"
            return (v * 2).requires_grad

        @torch.no_grad
        def b(v):
            return (v * 2).requires_grad

        @torch.inference_mode()
        def c(v):
            return (v * 2).is_inference()

        @torch.inference_mode
        def d(v):
            return (v * 2).is_inference()

        @torch.enable_grad()
        def e(v):
            return (v * 2).requires_grad

        @torch.set_grad_enabled(False)
        def f(v):
            return (v * 2).requires_grad

        @torch.inference_mode(False)
        def g(v):
            return (v * 2).requires_grad

        for fn in (a, b, c, d, e, f, g):
            print(fn.__name__, fn.__doc__, fn(x), torch.is_grad_enabled(), torch.is_inference_mode_enabled())
        with torch.no_grad():
            print(e(x), torch.is_grad_enabled())
        print(torch.no_grad()(lambda: torch.is_grad_enabled())())
    """,
    "decorators_class": """
        import warnings

        def deco(make):
            with warnings.catch_warnings(record=True) as w:
                warnings.simplefilter("always")
                try:

                    @make
                    class K:
                        def __init__(self):
                            self.on = torch.is_grad_enabled()

                        def m(self):
                            return torch.is_grad_enabled()

                    k = K()
                    print(k.on, k.m(), K.__name__)
                except Exception as e:
                    print(type(e).__name__, e)
                print([(i.category.__name__, str(i.message)) for i in w])

        deco(torch.no_grad())
        deco(torch.no_grad)
        deco(torch.enable_grad())
        deco(torch.inference_mode())
    """,
    "decorators_method": """
        class M:
            @torch.no_grad()
            def m(self, v):
                return (v * 2).requires_grad

            @staticmethod
            @torch.no_grad()
            def s(v):
                return (v * 2).requires_grad

            @classmethod
            @torch.no_grad()
            def c(cls, v):
                return (v * 2).requires_grad

            @property
            @torch.no_grad()
            def p(self):
                return torch.is_grad_enabled()

        x = torch.ones(1, requires_grad=True)
        print(M().m(x), M.s(x), M.c(x), M().p, torch.is_grad_enabled())
    """,
    "generators": """
        @torch.no_grad()
        def gen():
            got = []
            try:
                while True:
                    got.append((yield torch.is_grad_enabled()))
            except ValueError as e:
                print("caught", e, torch.is_grad_enabled())
                yield "after", torch.is_grad_enabled()
            finally:
                print("closing", torch.is_grad_enabled())
            return got

        g = gen()
        print(next(g), torch.is_grad_enabled())
        print(g.send(1), torch.is_grad_enabled())
        print(g.throw(ValueError("x")), torch.is_grad_enabled())
        try:
            next(g)
        except StopIteration as s:
            print("stop", s.value)
        g = gen()
        next(g)
        g.close()
        print(torch.is_grad_enabled())

        def outer():
            r = yield from gen()
            return r

        g = outer()
        print(next(g))
        g.close()

        @torch.no_grad()
        def changes():
            torch.set_grad_enabled(True)
            yield torch.is_grad_enabled()
            yield torch.is_grad_enabled()

        print([(a, torch.is_grad_enabled()) for a in changes()])

        @torch.no_grad()
        def empty():
            return
            yield

        print(list(empty()))

        @torch.no_grad()
        def raising():
            yield 1
            raise KeyError("k")

        r = raising()
        next(r)
        attempt(next, r)
        print(torch.is_grad_enabled())
    """,
    "reentrant": """
        n = torch.no_grad()
        with n:
            print(torch.is_grad_enabled())
        with n:
            print(torch.is_grad_enabled())
        print(torch.is_grad_enabled())
        s = torch.set_grad_enabled(False)
        print(torch.is_grad_enabled())
        with s:
            print(torch.is_grad_enabled())
        print(torch.is_grad_enabled())
        torch.set_grad_enabled(True)
        with torch.set_grad_enabled(False):
            print(torch.is_grad_enabled())
        print(torch.is_grad_enabled())
        s = torch.set_grad_enabled(False)
        torch.set_grad_enabled(True)
        with s:
            print(torch.is_grad_enabled())
        print(torch.is_grad_enabled())
        torch.set_grad_enabled(True)
    """,
    "exceptions_restore": """
        def boom():
            with torch.no_grad():
                raise ValueError("x")

        attempt(boom)
        print(torch.is_grad_enabled())

        @torch.no_grad()
        def boom2():
            raise ValueError("y")

        attempt(boom2)
        print(torch.is_grad_enabled())
    """,
    "creation_in_modes": """
        with torch.no_grad():
            a = torch.ones(2, requires_grad=True)
            p = torch.nn.Parameter(torch.ones(2))
            b = a * 2
            c = a.clone()
            d = a.detach()
            e = a.view(2)
            f = a.requires_grad_()
            print([each.requires_grad for each in (a, p, b, c, d, e, f)], a.is_leaf)
            b.requires_grad_()
            print(b.requires_grad, b.is_leaf)
            a.add_(1)
            print(a, a.requires_grad)
            b.copy_(a)
            print(b.grad_fn)
            attempt((a * 2).sum().backward)
        with torch.inference_mode():
            i = torch.ones(2)
            attempt(torch.ones, 2, requires_grad=True)
            j = torch.ones(2, requires_grad=True)
            print(i.is_inference(), j.is_inference(), j.requires_grad, (j * 2).requires_grad, j.is_leaf)
            attempt(i.requires_grad_)
            with torch.enable_grad():
                print((j * 2).requires_grad, torch.is_grad_enabled())
            with torch.inference_mode(False):
                print((torch.ones(2, requires_grad=True) * 2).requires_grad, torch.is_inference_mode_enabled())
        attempt(i.requires_grad_)
        attempt(lambda: i._version)
        attempt(i.add_, 1)
        x = torch.ones(2, requires_grad=True)
        attempt(lambda: (x * i).sum().backward())
        attempt(lambda: (x + i).sum().backward())
        print((x + i).requires_grad, x.grad)
        attempt(lambda: (x * i.clone()).sum().backward())
        print(x.grad)
        attempt(setattr, x, "grad", i)
    """,
    "set_grad_enabled_arguments": """
        attempt(torch.set_grad_enabled, 1)
        torch.set_grad_enabled(True)
        attempt(torch.set_grad_enabled, None)
        torch.set_grad_enabled(True)
        attempt(torch.set_grad_enabled)
        attempt(torch.autograd.set_detect_anomaly, True)
        print(torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())
        torch.autograd.set_detect_anomaly(True, check_nan=False)
        print(torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())
        torch.autograd.set_detect_anomaly(False)
        print(torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())
        torch.set_grad_enabled(True)
        print(torch.is_grad_enabled())
    """,
    "aliases": """
        A = torch.autograd
        print(A.no_grad is torch.no_grad, A.grad_mode.no_grad is torch.no_grad, A.enable_grad is torch.enable_grad)
        print(A.inference_mode is torch.inference_mode, A.anomaly_mode.detect_anomaly is A.detect_anomaly)
        V = A.Variable
        print(
            V, isinstance(torch.ones(1), V), isinstance(3, V), V(torch.ones(1)), V(torch.ones(1), requires_grad=True)
        )
        t = torch.ones(2)
        v = V(t, requires_grad=True)
        t.add_(1)
        print(v, type(v), v._version, V((v * 2)).requires_grad, A.variable.Variable is V)
        attempt(V, [1.0, 2.0])
        attempt(V)
        attempt(V, torch.arange(2), requires_grad=True)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])
