"""Errors of the backward pass: PyTorch's text, followed by notes that say which, where and why."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from programs import SQUARE, assert_same

import retrograd
from retrograd.autograd import Function

TEXTS = {
    "stale result": """
        x = torch.ones(3, requires_grad=True)
        y = x.exp()
        y.add_(1)
        y.sum().backward()
    """,
    "stale input, unrecorded write": """
        w, x = torch.ones(3, requires_grad=True), torch.ones(3)
        y = x * w
        x.zero_()
        y.sum().backward()
    """,
    "stale input, two writes": """
        w = torch.ones(3, requires_grad=True)
        x = w * 2
        y = x * x
        x.mul_(2)
        with torch.no_grad():
            x.zero_()
        y.sum().backward()
    """,
    "twice": """
        x = torch.ones(3, requires_grad=True)
        y = (x * x).mean()
        y.backward()
        y.backward()
    """,
    "twice, after grad to a node in the middle": """
        x = torch.ones(3, requires_grad=True)
        y = x.exp()
        z = (y * y).sum()
        print(torch.autograd.grad(z, y))
        y.sum().backward()
        print(x.grad)
        z.backward()
    """,
    "twice through a Function that does not read what it saved": """
        class F(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a):
                ctx.save_for_backward(a)
                return a * 2
            @staticmethod
            def backward(ctx, grad):
                return grad * 2
        x = torch.ones(3, requires_grad=True)
        y = F.apply(x).sum()
        y.backward()
        y.backward()
        print(x.grad)
    """,
    "twice through a Function that reads it": """
        x = torch.ones(3, requires_grad=True)
        y = Square.apply(x).sum()
        y.backward()
        y.backward()
    """,
    "twice through a write to a view": """
        x = torch.ones(3, requires_grad=True)
        y = x * 1
        y[0].mul_(y[1].exp())
        z = y.sum()
        z.backward()
        z.backward()
    """,
    "no graph": """
        x = torch.ones(3, requires_grad=True)
        (x.detach() * 2).sum().backward()
    """,
    "gradient of the wrong shape": """
        class F(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, b):
                return a * b
            @staticmethod
            def backward(ctx, grad):
                return grad, grad[:2]
        x = torch.ones(3, requires_grad=True)
        F.apply(x, x).sum().backward()
    """,
    "nan": """
        x = torch.tensor([-1., 4.], requires_grad=True)
        with torch.autograd.detect_anomaly():
            x.sqrt().sum().backward()
    """,
    "nan in the second output, and not looked for": """
        x = torch.tensor([0., 4.], requires_grad=True)
        y = torch.tensor([0., 4.], requires_grad=True)
        with torch.autograd.detect_anomaly(check_nan=False):
            (x / y).sum().backward()
        with torch.autograd.set_detect_anomaly(True):
            (x / y).sum().backward()
    """,
}


@pytest.mark.parametrize("program", TEXTS.values(), ids=TEXTS)
def test_the_text_is_pytorchs(program: str) -> None:
    assert_same(program, SQUARE)


@contextlib.contextmanager
def anomaly(on: bool = True) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with retrograd.autograd.set_detect_anomaly(on):
            yield


def notes(call: Callable[[], Any], kind: type[Exception] = RuntimeError) -> str:
    """What the error that `call` raises says beyond its text."""
    with pytest.raises(kind) as caught:
        call()
    return "\n".join(getattr(caught.value, "__notes__", []))


def leaf(n: int = 3) -> Any:
    return retrograd.ones(n, requires_grad=True)


# -- a saved tensor that was written to ----------------------------------------------------------


def written_result() -> Any:
    y = leaf().exp()
    y.add_(1)  # the write
    return y.sum()


def written_constant() -> Any:
    x = retrograd.ones(3)
    y = leaf() * x
    x.zero_()
    return y.sum()


def written_in_a_function() -> Any:
    class Keeps(Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            ctx.save_for_backward(a)
            return a * 2

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * ctx.saved_tensors[0]

    x = leaf() * 1
    y = Keeps.apply(x)
    x.mul_(3)
    return y.sum()


@pytest.mark.parametrize(
    ("make", "saver", "name", "writer"),
    [
        (written_result, "ExpBackward0", "result", "add_"),
        (written_constant, "MulBackward0", "other", "zero_"),
        (written_in_a_function, "KeepsBackward", "saved_tensors[0]", "mul_"),
    ],
)
def test_a_stale_tensor_names_who_saved_it_and_who_wrote(
    make: Callable[[], Any], saver: str, name: str, writer: str
) -> None:
    text = notes(make().backward)
    assert f"saved by {saver}, as {name!r}, and was last written to by {writer}." in text
    assert "forward call" not in text


def test_in_anomaly_mode_a_stale_tensor_shows_both_lines() -> None:
    with anomaly():
        text = notes(written_result().backward)
    saved, written = text.split("The call of add_ was:")
    assert "y = leaf().exp()" in saved
    assert "y.add_(1)  # the write" in written


def test_a_write_that_is_no_operator_is_not_put_on_the_last_operator() -> None:
    w = leaf()
    with retrograd.no_grad():
        w.mul_(1)
    y = (w * w).sum()
    retrograd.autograd.graph.increment_version(w)
    text = notes(y.backward)
    assert "after mul_, was last written to by something that is not an in-place operator" in text


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (lambda b: b.fill_(retrograd.tensor(2.0)), "fill_"),
        (lambda b: b.fill_(2.0), "fill_"),
        (lambda b: b.uniform_(), "uniform_"),
        (lambda b: retrograd.add(retrograd.ones(3), 1, out=b), "add(out=...)"),
        (lambda b: retrograd.cumsum(retrograd.ones(3), 0, out=b), "cumsum(out=...)"),
        (lambda b: retrograd.ones(3, out=b), "ones(out=...)"),
    ],
)
def test_a_write_is_told_by_the_name_that_it_has_in_programs(write: Callable[[Any], Any], name: str) -> None:
    b = retrograd.ones(3)
    y = leaf(3) * b
    write(b)
    assert f"was last written to by {name}." in notes(y.sum().backward)


# -- a freed graph -------------------------------------------------------------------------------


@pytest.mark.parametrize("through", [".backward()", "autograd.grad()"])
def test_a_freed_node_names_the_pass_that_freed_it(through: str) -> None:
    x = leaf()
    loss = (x * x).mean()
    if through == ".backward()":
        loss.backward()
    else:
        retrograd.autograd.grad(loss, x)
    text = notes(loss.backward)
    assert f"What MulBackward0 had saved is gone: an earlier {through} that began at MeanBackward0 has freed it" in text
    assert text.count("\n  - ") == 3


def test_in_anomaly_mode_a_freed_node_shows_the_forward_call_and_the_first_pass() -> None:
    with anomaly():
        loss = leaf().exp().sum()  # the forward call
        loss.backward()  # the first pass
    text = notes(loss.backward)
    assert "# the forward call" in text
    assert "# the first pass" in text


def test_saved_tensors_of_a_freed_node_say_the_same() -> None:
    y = leaf().exp()
    y.sum().backward()
    assert "ExpBackward0 had saved is gone" in notes(lambda: y.grad_fn._saved_result)


# -- no graph ------------------------------------------------------------------------------------


def under_no_grad() -> Any:
    x = leaf()
    with retrograd.no_grad():
        y = x * 2
    return (y + 1).sum()


def made_inference() -> Any:
    with retrograd.inference_mode():
        return leaf().sum()


def non_differentiable() -> Any:
    class Marks(Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            out = a * 1
            ctx.mark_non_differentiable(out)
            return out

    return Marks.apply(leaf()).sum()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (under_no_grad, "first break is at mul: an input required a gradient, but recording was off"),
        (lambda: leaf().detach().sum(), "first break is at detach(): "),
        (lambda: leaf().data.sum(), "first break is at .data: "),
        (lambda: leaf().long().float().sum(), "but its result is of type retrograd.int64"),
        (lambda: (retrograd.ones(2) * leaf(2).detach()).sum(), "first break is at detach()"),
        (lambda: (retrograd.ones(2) * 2).sum(), "No leaf it was computed from requires a gradient"),
        (non_differentiable, "marked as not differentiable"),
        (made_inference, "It was made in inference_mode()"),
    ],
)
def test_in_anomaly_mode_the_first_break_is_named(make: Callable[[], Any], said: str) -> None:
    with anomaly():
        text = notes(make().backward)
        assert said in text
    assert "\n  File " in text or make is made_inference


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: retrograd.ones(3).sum(),
            "retrograd.autograd.detect_anomaly() the first operator on such leaves is named",
        ),
        (made_inference, "It was made in inference_mode()"),
        (lambda: (leaf() > 0).sum(), "Its type is retrograd.int64"),
    ],
)
def test_without_anomaly_mode_what_can_be_seen_is_said(make: Callable[[], Any], said: str) -> None:
    assert said in notes(make().backward)


def test_an_alias_of_a_tensor_with_a_graph_is_recognised() -> None:
    x = leaf(1)
    assert "detach() takes its result out of the graph" in notes(x.detach().backward)
    assert ".data takes its result out of the graph" in notes(x.data.backward)
    with retrograd.no_grad():
        view = x[0]
    assert "made by SelectBackward0 while recording was off" in notes(view.backward)
    with retrograd.no_grad():
        assert "Recording is off here" in notes(retrograd.ones(()).backward)


@pytest.mark.parametrize(
    ("take_out", "name"),
    [
        (lambda x: (x * 2).detach(), "detach()"),
        (lambda x: (x * 2).detach()[0], "detach()"),
        (lambda x: (x * 2).detach_(), "detach()"),
        (lambda x: (x * 2).data, ".data"),
    ],
)
def test_what_took_a_tensor_out_of_its_graph_is_known_without_anomaly_mode(
    take_out: Callable[[Any], Any], name: str, backend: str
) -> None:
    text = f"The first break is at {name}: an input required a gradient, but {name} takes its result out of the graph."
    assert notes(take_out(leaf(2)).backward) == text
    assert "No graph leads to it" in notes(retrograd.ones(()).detach().backward)


def test_an_input_without_a_graph_is_explained_too() -> None:
    x = leaf()
    loss = (x * 2).sum()
    assert "No graph leads to it" in notes(lambda: retrograd.autograd.grad(loss, retrograd.ones(3)))


# -- formulas ------------------------------------------------------------------------------------


class Fails(Function):
    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        return a * 2

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        raise KeyError("oops")


def test_a_formula_that_raises_names_its_operator() -> None:
    text = notes(Fails.apply(leaf()).sum().backward, KeyError)
    said = "Raised while FailsBackward computed the gradients of its inputs from that of its output, of shape [3]."
    assert said in text


def test_in_anomaly_mode_a_formula_that_raises_shows_its_forward_call_and_warns_as_pytorch() -> None:
    with retrograd.autograd.set_detect_anomaly(True):
        y = Fails.apply(leaf()).sum()  # the forward call
        with pytest.warns(UserWarning, match="Error detected in FailsBackward. Traceback of forward call that caused"):
            text = notes(y.backward, KeyError)
    assert "# the forward call" in text


def test_an_error_in_a_recorded_pass_tells_which_forward_call_induced_it() -> None:
    with anomaly():
        x = retrograd.zeros(1, requires_grad=True)
        y = x.sqrt()  # the inducing call
    with retrograd.autograd.set_detect_anomaly(True, check_nan=False):
        (g,) = retrograd.autograd.grad(y.exp() * 0, x, create_graph=True)
        with (
            retrograd.autograd.set_detect_anomaly(True),
            pytest.warns(UserWarning, match="Error detected in DivBackward0"),
            pytest.warns(
                UserWarning, match="Previous calculation was induced by SqrtBackward0. .*(.|\n)*inducing call"
            ),
            pytest.raises(RuntimeError, match="returned nan values"),
        ):
            g.backward()


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda g: g[:2], "a tensor of shape [2], which does not reduce to [3], as its 2nd value"),
        (lambda g: 1.0, "a value of type float as its 2nd value"),
    ],
)
def test_a_gradient_that_does_not_fit_names_the_function_and_the_input(returned: Any, said: str) -> None:
    class Wrong(Function):
        @staticmethod
        def forward(ctx: Any, left: Any, right: Any) -> Any:
            return left * right

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad, returned(grad)

    text = notes(Wrong.apply(leaf(), leaf()).sum().backward)
    assert said in text
    assert "the gradient of input 'right' of " in text
    assert "Wrong.forward" in text


# -- anomaly mode --------------------------------------------------------------------------------


def test_a_nan_comes_with_the_forward_call_the_shapes_and_the_values(backend: str) -> None:
    with retrograd.autograd.set_detect_anomaly(True):
        x = retrograd.tensor([-1.0, 0.0, 4.0], requires_grad=True)
        y = x.sqrt()  # the forward call
        with pytest.warns(UserWarning, match="Error detected in SqrtBackward0"):
            text = notes(y.sum().backward)
    assert "arrived:  gradient of output 0: [3] float32, min 1, max 1, 0 nan, 0 inf" in text
    assert "saved:    result: [3] float32, min 0, max 2, 1 nan, 0 inf" in text
    assert "returned: gradient of input 0: [3] float32, min 0.25, max 0.25, 1 nan, 1 inf" in text
    assert "# the forward call" in text


def test_the_first_node_that_makes_a_nan_is_the_one_that_is_named() -> None:
    x = retrograd.tensor([0.0], requires_grad=True)
    with anomaly(), pytest.raises(RuntimeError, match="'DivBackward0' returned nan values in its 1th output"):
        (x / x * 2).backward()


def test_entering_detect_anomaly_warns() -> None:
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled. This mode will increase the runtime"):
        context = retrograd.autograd.detect_anomaly()
    with context:
        assert retrograd.is_anomaly_enabled()
        assert retrograd.is_anomaly_check_nan_enabled()
        with retrograd.autograd.set_detect_anomaly(True, check_nan=False):
            assert not retrograd.is_anomaly_check_nan_enabled()
        with retrograd.autograd.set_detect_anomaly(False):
            assert not retrograd.is_anomaly_enabled()
        assert retrograd.is_anomaly_check_nan_enabled()
    assert not retrograd.is_anomaly_enabled()


def test_a_decorated_function_leaves_the_callers_mode_alone() -> None:
    @retrograd.autograd.set_detect_anomaly(True)
    def inside() -> bool:
        return retrograd.is_anomaly_enabled()

    assert not retrograd.is_anomaly_enabled()
    assert inside()
    assert not retrograd.is_anomaly_enabled()


def test_create_graph_warns_once_of_the_cycle_through_grad(monkeypatch: pytest.MonkeyPatch) -> None:
    from retrograd.autograd import api

    monkeypatch.setattr(api, "_warned", set())
    x = leaf()
    with pytest.warns(UserWarning, match=r"^Using backward\(\) with create_graph=True will create a reference cycle"):
        (x * x).sum().backward(create_graph=True)
    (x * x).sum().backward(create_graph=True)
    x.grad = None


# -- on every backend, in both kinds of pass -----------------------------------------------------


class Squared(retrograd.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grad * 2 * x


class Misfit(retrograd.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any) -> Any:
        return x * weight

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad, retrograd.ones(5)


def stale(x: Any) -> Any:
    a = x * 1
    y = (a * a).sum()
    a.add_(1)  # the write
    return y


def stale_in_a_function(x: Any) -> Any:
    a = x * 1
    y = Squared.apply(a).sum()
    a.mul_(2)  # the write
    return y


def freed(x: Any) -> Any:
    y = x.exp().sum()  # the call
    y.backward()
    return y


def misfit(x: Any) -> Any:
    return Misfit.apply(x, leaf()).sum()  # the call


def failing_hook(x: Any) -> Any:
    y = x * 2
    y.register_hook(bad_hook)
    return y.sum()


def bad_hook(grad: Any) -> Any:
    raise RuntimeError("no")


TAUGHT = [
    (stale, ["saved by MulBackward0, as 'other'", "last written to by add_"], ["y = (a * a).sum()", "# the write"]),
    (
        stale_in_a_function,
        ["saved by SquaredBackward, as 'saved_tensors[0]'", "last written to by mul_"],
        ["y = Squared.apply(a).sum()", "# the write"],
    ),
    (
        freed,
        ["What ExpBackward0 had saved is gone: an earlier .backward() that began at SumBackward0", "Usual causes"],
        ["y = x.exp().sum()  # the call", "y.backward()"],
    ),
    (
        misfit,
        ["Misfit.backward returned a tensor of shape [5]", "its 2nd value, the gradient of input 'weight' of Misfit"],
        ["return Misfit.apply(x, leaf()).sum()  # the call"],
    ),
    (failing_hook, ["Raised by the hook 'bad_hook' on the gradient of output 0 of MulBackward0"], []),
]


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize(("make", "said", "lines"), TAUGHT)
def test_what_is_said_on_every_backend_and_in_every_pass(
    make: Callable[[Any], Any], said: list[str], lines: list[str], watched: bool, create_graph: bool, backend: str
) -> None:
    x = leaf()
    with anomaly(watched), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = make(x)
        text = notes(lambda: retrograd.autograd.grad(loss, x, create_graph=create_graph))
    for each in said:
        assert each in text
    for each in lines:
        assert (each in text) is watched


def test_in_anomaly_mode_an_optimizers_step_is_named(backend: str) -> None:
    for kind in (retrograd.optim.SGD, retrograd.optim.Adam):
        w = leaf()
        with anomaly():
            loss = (w * w).sum()
            w.grad = retrograd.ones(3)
            kind([w], lr=0.1).step()
            text = notes(loss.backward)
        assert f"last written to by {kind.__name__}.step()" in text
        assert "kind([w], lr=0.1).step()" in text


def test_what_was_saved_of_a_tensor_is_refused_once_that_is_detached_in_place(backend: str) -> None:
    """Not what was saved of a result, of a view, of a leaf, of a constant, or by a custom Function."""
    assert_same("""
        class Keeps(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a):
                ctx.save_for_backward(a)
                return a.exp()

            @staticmethod
            def backward(ctx, grad):
                return grad * ctx.saved_tensors[0]

        def attempt_after_detaching(build, change=lambda a, b: None):
            x = torch.ones(3, requires_grad=True)
            a = x.clone()
            b = build(a)
            a.detach_()
            change(a, b)
            attempt(lambda: (b.sum().backward(), x.grad, a._version, a.is_leaf))

        for build in (
            torch.sin, torch.exp, lambda a: a * a, lambda a: a + a, lambda a: a * 2, lambda a: a @ a, lambda a: a**3,
            lambda a: a.softmax(0), lambda a: F.linear(a, torch.ones(2, 3)), F.gelu, lambda a: a.norm(),
            lambda a: a.std(),
            lambda a: torch.where(a > 0, a * a, a), lambda a: a[[0, 1]] * a[:2], lambda a: (a * a.detach()).exp(),
            lambda a: F.cross_entropy(a, torch.tensor(1)), Keeps.apply,
        ):
            attempt_after_detaching(build)
        attempt_after_detaching(torch.sin, lambda a, b: a.mul_(2))
        attempt_after_detaching(lambda a: (a.detach() * a.detach().requires_grad_()).sin() + a, lambda a, b: None)
        for detach, write in ((True, False), (False, True), (True, True)):
            x = torch.ones(3, requires_grad=True)
            b = x.clone().exp()
            c = b * 2
            if detach:
                b.detach_()
            if write:
                b.add_(1)
            attempt(lambda: (c.sum().backward(), x.grad))
        a = torch.ones(3, requires_grad=True).clone()
        a.detach_().requires_grad_()
        (a * a).sum().backward()
        print(a.grad)
        x = torch.ones(3, requires_grad=True)
        y = x.sin()
        x.detach_()
        attempt(lambda: (y.sum().backward(), x.grad))
    """)
