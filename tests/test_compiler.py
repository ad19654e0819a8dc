"""Programs that ask to be compiled run eagerly, to the same results."""

from __future__ import annotations

from programs import assert_same

import retrograd


def test_what_is_compiled_stays_what_it_is() -> None:
    module = retrograd.nn.Linear(2, 1)
    assert retrograd.compile(module) is module
    assert retrograd.compile(mode="max-autotune", backend="eager", dynamic=True)(retrograd.sin) is retrograd.sin
    assert retrograd.compiler.disable(module) is retrograd.compiler.disable()(module) is module
    assert retrograd.compiler.allow_in_graph([retrograd.sin]) == [retrograd.sin]
    assert not retrograd.compiler.is_compiling()


def test_compiled_programs_and_what_is_refused() -> None:
    assert_same("""
    @torch.compile(disable=True)
    def cube(x):
        return x * x * x

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    cube(x).sum().backward()
    layer = nn.Linear(2, 2)
    print(x.grad, torch.compile(layer, disable=True) is layer, torch.compiler.is_compiling())
    attempt(torch.compile, layer, mode="default", options={})
    attempt(torch.compile, 3)
    attempt(torch.compile(disable=True), None)
    print(torch.compiler.disable(cube)(x.detach()), torch.compiler.get_default_backend(), torch.compiler.is_exporting())
    with torch.compiler.set_stance("force_eager"):
        print(cube(x.detach()))
    torch.compiler.reset()
    """)


def test_modules_compile_in_place() -> None:
    module = retrograd.nn.Linear(2, 1)
    assert module.compile(fullgraph=True) is None  # type: ignore[func-returns-value]
    assert module(retrograd.ones(1, 2)).shape == (1, 1)
