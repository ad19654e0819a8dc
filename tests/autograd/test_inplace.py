"""In-place writes, views and versions: the same outcome as PyTorch's, errors included, on every backend."""

from __future__ import annotations

import re

import pytest
from programs import assert_same

import retrograd

PROGRAMS = {
    "a_tensor_is_not_written_with_what_its_type_does_not_hold": """
        for t in (torch.float32, torch.float64, torch.int64, torch.complex64, torch.bool):
            x = torch.tensor([2, 3]).to(t)
            for exponent in (2, 2.5, 1j, torch.tensor(2.0), torch.tensor([1, 2])):
                attempt(x.clone().float_power_, exponent)
            attempt(x.clone().polygamma_, 1)
            attempt(x.clone().mvlgamma_, 2)
        w = torch.tensor([2.0, 3.0], dtype=torch.float64, requires_grad=True)
        y = w * 1
        y.float_power_(2).sum().backward()
        print(y, w.grad)
        attempt(w.float_power_, 2)
    """,
    "dirty_inputs_of_functions_are_one_version_later_recorded_or_not": """
        x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
        class Dirty(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, write):
                ctx.mark_dirty(a)
                return a.add_(1) if write else a
            @staticmethod
            def backward(ctx, g): return g, None
        for write in (False, True):
            plain, whole, step = torch.ones(3), torch.ones(4), x * 1
            Dirty.apply(plain, write); Dirty.apply(whole[:2], write); Dirty.apply(step, write)
            print(plain._version, whole._version, step._version)
            with torch.no_grad():
                leaf = torch.ones(3, requires_grad=True)
                print(leaf._version, Dirty.apply(leaf, write).requires_grad, leaf._version)
            weight = torch.ones(3); loss = (x * weight).sum(); Dirty.apply(weight, write)
            attempt(loss.backward)
    """,
    "integers_do_not_come_to_require_a_gradient": """
        x = torch.tensor([1.5, 2.5], requires_grad=True)
        for write in (lambda i: i.copy_(x), lambda i: i.__setitem__(slice(1), x[1:])):
            i = torch.zeros(2, dtype=torch.int64)
            attempt(write, i)
            print(i, i.requires_grad, i.is_leaf)
    """,
    "base_then_view": """
        x = torch.tensor([[1., 2.], [3., 4.]], requires_grad=True)
        b = x * 1
        v = b[0]
        b.mul_(3)
        print(b.grad_fn, v.grad_fn, v)
        v.sum().backward()
        print(x.grad)
    """,
    "view_then_base": """
        x = torch.tensor([[1., 2.], [3., 4.]], requires_grad=True)
        b = x * 1
        v = b[0]
        v.mul_(3)
        print(b.grad_fn, b.grad_fn.next_functions, v.grad_fn, b)
        (b * b).sum().backward()
        print(x.grad)
    """,
    "view_of_view": """
        x = torch.arange(6.).reshape(2, 3).requires_grad_()
        b = x * 1
        v = b.t()[1]
        v.exp_()
        print(b, v, v.grad_fn)
        (b * torch.arange(6.).reshape(2, 3)).sum().backward()
        print(x.grad)
    """,
    "sibling_views": """
        x = torch.ones(4, requires_grad=True)
        b = x * 2
        first, second = b[:3], b[1:]
        first.mul_(5)
        print(second, second.grad_fn, b)
        (second * second).sum().backward()
        print(x.grad)
    """,
    "setitem": """
        x = torch.ones(2, 3, requires_grad=True)
        w = torch.tensor([7., 8.], requires_grad=True)
        y = x * 2
        y[:, 1] = w
        y[0, 0] = 5.
        print(y, y.grad_fn)
        (y * y).sum().backward()
        print(x.grad, w.grad)
    """,
    "setitem_with_tensor_index": """
        x = torch.zeros(4, requires_grad=True)
        w = torch.tensor([1., 2.], requires_grad=True)
        y = x * 1
        y[torch.tensor([0, 2])] = w
        print(y, y.grad_fn)
        (y * torch.arange(4.)).sum().backward()
        print(x.grad, w.grad)
    """,
    "setitem_with_mask": """
        x = torch.tensor([-1., 2., -3.], requires_grad=True)
        y = x * 1
        y[y < 0] = 0.
        print(y)
        y.sum().backward()
        print(x.grad)
    """,
    "leaf": """
        x = torch.ones(2, requires_grad=True)
        attempt(x.add_, 1)
        attempt(x[0].mul_, 2)
        attempt(x.__setitem__, 0, 3.)
        print(x, x._version)
        with torch.no_grad():
            x.add_(1)
        print(x, x._version)
    """,
    "stale_result": """
        x = torch.ones(3, requires_grad=True)
        y = x.exp()
        y.add_(1)
        attempt(y.sum().backward)
    """,
    "stale_input": """
        x = torch.ones(3, requires_grad=True)
        a = x * 1
        y = a * a
        a.mul_(2)
        attempt(y.sum().backward)
    """,
    "stale_through_detach": """
        x = torch.ones(3, requires_grad=True)
        w = torch.ones(3)
        y = x * w
        w.detach()[0] = 5
        attempt(y.sum().backward)
    """,
    "data_is_not_tracked": """
        x = torch.ones(3, requires_grad=True)
        w = torch.ones(3)
        y = x * w
        w.data[0] = 5
        print(w, w._version)
        attempt(y.sum().backward)
    """,
    "not_needed_for_the_gradient": """
        x = torch.ones(3, requires_grad=True)
        a = x * 2
        y = a + 1
        a.mul_(10)
        y.sum().backward()
        print(x.grad, a)
    """,
    "saves_itself": """
        x = torch.ones(3, requires_grad=True)
        w = torch.full((3,), 2., requires_grad=True)
        y = x * 1
        y.mul_(w)
        y.sum().backward()
        print(x.grad, w.grad)
    """,
    "no_grad_views": """
        x = torch.ones(3, requires_grad=True)
        y = x * 1
        with torch.no_grad():
            v = y[:2]
        attempt(v.mul_, 2)
        with torch.no_grad():
            v.mul_(2)
        print(y)
    """,
    "multi_output_views": """
        x = torch.ones(4, requires_grad=True)
        y = x * 1
        a, b = y.split(2)
        attempt(a.mul_, 2)
        c, d, e, f = y.unbind()
        attempt(c.add_, 1)
        print(y)
    """,
    "expanded": """
        x = torch.zeros(1, 3)
        attempt(x.expand(2, 3).add_, 1)
        print(x)
    """,
    "shape_and_type_refused": """
        x = torch.zeros(3)
        attempt(x.add_, torch.ones(2, 3))
        attempt(torch.zeros(3, dtype=torch.int64).add_, 1.5)
        attempt(x.mul_, torch.ones(2))
        print(x, x._version)
    """,
    "versions": """
        x = torch.zeros(3)
        v = x[1:]
        print(x._version, v._version)
        v.add_(1)
        print(x._version, v._version, x.detach()._version, x.data._version)
        x[0] = 2
        x.zero_()
        print(x._version, v._version)
    """,
    "aliases": """
        x = torch.arange(6.).reshape(2, 3)
        t, row, flat = x.t(), x[1], x.view(-1)
        flat[4] = 100
        print(t, row)
        t[0, 0] = -1
        print(x, flat)
        row.copy_(torch.zeros(3))
        print(x, t, flat)
    """,
    "in_place_shapes": """
        x = torch.ones(1, 3, requires_grad=True)
        y = x * 2
        print(y.squeeze_(0).grad_fn, y.unsqueeze_(1).grad_fn, y.transpose_(0, 1).grad_fn, y.t_().grad_fn, y.shape)
        y.sum().backward()
        print(x.grad)
    """,
    "fill_zero_copy": """
        x = torch.ones(3, requires_grad=True)
        w = torch.tensor(2., requires_grad=True)
        y = x * 3
        print(y.zero_().grad_fn)
        print(y.fill_(w).grad_fn, y)
        y.sum().backward()
        print(x.grad, w.grad)
    """,
    "copy_from_other_type": """
        x = torch.ones(3, requires_grad=True)
        y = torch.zeros(3, dtype=torch.float64)
        y.copy_(x)
        print(y, y.grad_fn)
        y.sum().backward()
        print(x.grad)
    """,
    "detached_view_is_refused": """
        x = torch.ones(3, requires_grad=True)
        y = x * 1
        attempt(y[0].detach_)
        y.detach_()
        print(y.requires_grad, y.is_leaf)
    """,
    "iadd_on_slices": """
        x = torch.ones(2, 2, requires_grad=True)
        y = x * 1
        y[0] += 5
        y[:, 1] *= 3
        print(y)
        (y * y).sum().backward()
        print(x.grad)
    """,
    "base_and_is_view": """
        x = torch.ones(2, 2)
        print(x._is_view(), x[0]._is_view(), x[0]._base is x, x[0][0]._base is x, x.detach()._is_view())
    """,
    "requires_grad_after_write": """
        b = torch.zeros(3)
        v = b[:2]
        w = torch.ones(2, requires_grad=True)
        v.mul_(w)
        print(b.requires_grad, v.requires_grad, b.grad_fn, v.grad_fn)
        b.sum().backward()
        print(w.grad)
    """,
    "double_backward_through_copy_slices": """
        x = torch.tensor([1., 2., 3.], requires_grad=True)
        y = x * x
        y[1:].mul_(x[:2])
        (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        print(g)
        print(torch.autograd.grad(g.sum(), x))
    """,
    "hook_before_and_after_write": """
        x = torch.ones(2, requires_grad=True)
        y = x * 2
        y.register_hook(lambda g: print("before", g))
        y.mul_(3)
        y.register_hook(lambda g: print("after", g))
        y.sum().backward()
    """,
    "retain_grad_moves": """
        x = torch.ones(2, requires_grad=True)
        y = x * 2
        y.retain_grad()
        y.mul_(3)
        (y * 5).sum().backward()
        print(y.grad, x.grad)
    """,
    "comparisons_end_gradients": """
        for name in "eq_ ne_ lt_ le_ gt_ ge_".split():
            x = torch.tensor([1., 2., 3.], requires_grad=True)
            other = torch.tensor([[1.], [3.]], requires_grad=True)
            y = x * 2
            w = y.expand(2, 3) * 1
            getattr(w, name)(other)
            print(w.detach(), torch.autograd.grad((w * w).sum() + y.sum(), (x, other)))
            z = x * 1
            getattr(z[:2], name)(2)
            print(z.detach(), torch.autograd.grad(z.sum(), x))
            try:
                getattr(x, name)(2)
            except RuntimeError as error:
                print(error, x._version)
            print(torch.func.jvp(lambda t: getattr(t * 1, name)(2), (x.detach(),), (torch.ones(3),)))
    """,
    "numbers_are_not_tensors": """
        for name in "atan2_ hypot_ igamma_ nextafter_ heaviside_ ldexp_ copysign_ fmod_".split():
            for x in torch.ones(2), torch.ones(2, dtype=torch.float64), torch.ones(2, requires_grad=True) * 1:
                for number in 2, 0.5:
                    try:
                        print(name, getattr(x.clone(), name)(number).tolist())
                    except (TypeError, RuntimeError) as error:
                        print(name, type(error).__name__)
    """,
    "clamp_div_pow_in_place": """
        x = torch.tensor([-1., 2., 3.], requires_grad=True)
        y = x * 1
        y.clamp_(min=0).div_(2).pow_(2)
        print(y, y.grad_fn)
        y.sum().backward()
        print(x.grad)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])


def test_a_shape_changed_unrecorded_is_not_that_of_gradients(backend: str) -> None:
    x = retrograd.arange(6.0).reshape(2, 3).clone().requires_grad_()
    y, z = x * 2, x * 3
    with retrograd.no_grad():
        y.unsqueeze_(0)
        z.unsqueeze_(0)
        z.transpose_(1, 2)
    (y * retrograd.arange(6.0).reshape(2, 3)).sum().backward()
    assert x.grad.tolist() == [[0, 2, 4], [6, 8, 10]]
    text = (
        "MulBackward0 returned an invalid gradient at index 0 - got [1, 3, 2] but expected shape compatible with [2, 3]"
    )
    with pytest.raises(RuntimeError, match=re.escape(text)):
        (z * retrograd.arange(6.0).reshape(3, 2)).sum().backward()


def test_a_refused_change_of_shape_changes_nothing(backend: str) -> None:
    """PyTorch changes an inference tensor before it says that it may not be changed."""
    with retrograd.inference_mode():
        x = retrograd.ones(2, 3)
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode"):
        x.t_()
    assert x.shape == (2, 3)
