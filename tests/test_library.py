"""`library`: operators of programs' own, beside PyTorch."""

from __future__ import annotations

import itertools

from programs import assert_same

_numbers = itertools.count()


def assert_same_of_own(program: str) -> None:
    """Each run has a namespace of its own, for operators stay where they are."""
    assert_same(program.replace("SPACE", f"space{next(_numbers)}"))


GIVEN = """
    library = torch.library

    @library.custom_op("SPACE::scale", mutates_args=())
    def scale(x: torch.Tensor, a: float = 2.0) -> torch.Tensor:
        return x * a

    def setup(ctx, inputs, output):
        x, ctx.a = inputs
        ctx.save_for_backward(output)

    x = torch.ones(3, requires_grad=True)
"""


def test_an_operator_of_a_function(backend: str) -> None:
    assert_same_of_own(
        GIVEN
        + """
    print(scale, type(scale).__name__, scale(x), scale(x.detach(), 3.0), scale(x).requires_grad, scale._qualname)
    attempt(scale(x).sum().backward)
    scale.register_autograd(lambda ctx, g: (g * ctx.a * ctx.saved_tensors[0], None), setup_context=setup)
    y = scale(x, a=4.0)
    y.sum().backward()
    print(y.grad_fn.name(), x.grad)
    own = torch.ops.SPACE.scale
    own(x, 3.0).sum().backward()
    own.default(x).sum().backward()
    print(x.grad, own.default, repr(own.default), own, own.overloads())
    attempt(scale)
    attempt(scale, x, 1, 2)
    attempt(scale, x, b=1) if False else None
    attempt(lambda: torch.ops.SPACE.nope)
    with torch.no_grad():
        print(scale(x))
    """
    )


def test_other_forms() -> None:
    assert_same_of_own(
        """
    library = torch.library

    @library.custom_op("SPACE::write", mutates_args={"x"})
    def write(x: torch.Tensor, *, by: int = 1) -> None:
        x.add_(by)

    t = torch.zeros(2)
    print(write(t), write(t, by=3), t, t._version)

    def two(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + y, x * y

    two = library.custom_op("SPACE::two", two, mutates_args=())
    two.register_autograd(lambda ctx, g, h: (g, h))
    a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    p, q = two(a, b)
    (p.sum() + 2 * q.sum()).backward()
    print(a.grad, b.grad)

    @library.custom_op("SPACE::named", mutates_args=())
    def named(x: torch.Tensor, *, k: float) -> torch.Tensor:
        return x * k

    def setup(ctx, inputs, keyword_only_inputs, output):
        ctx.k = keyword_only_inputs["k"]

    named.register_autograd(lambda ctx, g: g * ctx.k, setup_context=setup)
    a.grad = None
    named(a, k=5.0).sum().backward()
    print(a.grad)

    @two.register_kernel("cpu")
    def _(x, y):
        return x - y, x.clone()

    @two.register_fake
    def _(x, y):
        return torch.empty_like(x), torch.empty_like(x)

    print(two(a.detach(), b.detach()))
    """
    )


def test_libraries() -> None:
    assert_same_of_own(
        """
    library = torch.library
    lib = library.Library("SPACE", "DEF")
    lib.define("foo(Tensor x, int n=2) -> Tensor")
    lib.impl("foo", lambda x, n=2: x * n, "CompositeExplicitAutograd")
    foo = torch.ops.SPACE.foo
    print(foo(torch.ones(2)), foo(torch.ones(2), n=5))
    library.register_autograd("SPACE::foo", lambda ctx, g: (g * 7, None), lib=lib)
    z = torch.ones(2, requires_grad=True)
    foo(z).sum().backward()
    print(z.grad)
    library.define("SPACE::bar", "(Tensor x) -> Tensor")

    @library.impl("SPACE::bar", "cpu")
    def bar(x):
        return x + 1

    @library.register_fake("SPACE::bar")
    def _(x):
        return x

    print(torch.ops.SPACE.bar(torch.ones(1)))
    lib.define("sin3(Tensor x) -> Tensor")
    lib.impl("sin3", lambda x: x.sin() * 3, "CompositeImplicitAutograd")
    print(torch.ops.SPACE.sin3(z).grad_fn.name())
    attempt(library.Library, "SPACE", "OTHER")
    attempt(torch.ops.load_library, "/none.so")
    """
    )


def test_schemas() -> None:
    assert_same(
        """
    from typing import List, Optional, Sequence, Union
    T = torch.Tensor

    def a(x: T, n: int, s: str = "a", d: Optional[torch.dtype] = None, *, ok: bool = True) -> T: ...
    def b(xs: List[T], n: Sequence[int], f: float = 1.5, v: torch.device = None) -> None: ...
    def c(x: Optional[T], z: Union[int, float, bool] = 2) -> List[T]: ...
    def e(x: T) -> tuple[T, int]: ...
    def f(x) -> T: ...
    def g(x: T): ...

    for function in (a, b, c, e):
        attempt(torch.library.infer_schema, function, mutates_args=())
    print(torch.library.infer_schema(a, mutates_args={"x"}))
    for function in (f, g):
        try:
            torch.library.infer_schema(function, mutates_args=())
        except ValueError as error:
            print(str(error).partition(" Got func")[0])
    """
    )


def test_operators_are_mapped() -> None:
    assert_same_of_own(
        GIVEN
        + """
    @scale.register_vmap
    def _(info, in_dims, x, a):
        print(info.batch_size, in_dims)
        return scale(x, a), in_dims[0]

    print(torch.func.vmap(lambda x: scale(x, 3.0))(torch.ones(2, 3)))
    """
    )
