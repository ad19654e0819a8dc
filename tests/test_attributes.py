"""What tensors say of their kind and memory, Python functions of elements, and `resize_`: as in PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

PROGRAMS = {
    "kinds": """
        x = torch.ones(2, 3)
        for name in (
            "is_cpu is_cuda is_ipu is_maia is_meta is_mkldnn is_mps is_mtia is_nested is_quantized is_sparse "
            "is_sparse_csr is_vulkan is_xla is_xpu name"
        ).split():
            print(name, getattr(x, name))
        print(x.get_device(), x.is_pinned(), x.is_shared(), x.is_distributed())
        print(x.is_same_size(torch.ones(3, 2)), x.is_same_size(torch.zeros(2, 3)))
        print(x.is_set_to(x), x.is_set_to(x.clone()), x.is_set_to(x.view(2, 3)), x.is_set_to(x.t()))
        print(x[0].is_set_to(x[1]), x[0].is_set_to(x[0]))
        print((x > 0)._is_all_true(), (x < 0)._is_any_true())
    """,
    "sequences": """
        x = torch.arange(6).view(2, 3)
        print(list(reversed(x)), reversed(torch.tensor(3)))
        attempt(lambda: x.__delitem__(0))
    """,
    "views_of_another_base": """
        base, new = torch.arange(6.0), (torch.arange(6.0) * 10).requires_grad_()
        view = base.view(2, 3)[1].unsqueeze(0)
        found = view._view_func(new)
        print(found, found._base is new, torch.autograd.grad(found.sum(), new), view._view_func(torch.arange(6)))
        print(base._view_func(new), view._view_func(torch.ones(2)), view._view_func(torch.ones(3, 2)))
        z = torch.ones(2, dtype=torch.complex64)
        print(torch.view_as_real(z)._view_func(z * 2), z.conj()._view_func(z * 2j), view._view_func_unsafe(new))
        attempt(view._rev_view_func_unsafe, view)
    """,
    "functions_of_elements_in_one_place": """
        for call in (
            lambda x: x.apply_(lambda v: v + 1),
            lambda x: x.map_(torch.arange(4.0).reshape(2, 2), lambda a, b: a * 2 + b),
        ):
            for strides in ((0, 0), (1, 0), (1, 1), (0, 1)):
                memory = torch.arange(5.0)
                print(call(memory.as_strided((2, 2), strides, 1)), memory)
    """,
    "functions_of_elements": """
        x = torch.arange(6.0).view(2, 3)
        y = x.clone()
        print(y.apply_(lambda v: v * v) is y, y, y._version)
        print(x.clone().map_(torch.ones(3), lambda a, b: a + b), x.clone().map2_(x, x, lambda a, b, c: a + b * c))
        print(torch.tensor([1, 2]).apply_(lambda v: v + 1))
        z = x.clone().requires_grad_()
        attempt(z.apply_, lambda v: v)
        attempt(z.map_, x, lambda v, w: v)
        attempt(z.map2_, x, x, lambda u, v, w: v)
    """,
    "resize": """
        x = torch.arange(6.0)
        print(x.resize_(3, 2) is x, x, x.resize_((2, 2)), x.resize_(2), x.untyped_storage().nbytes(), x.resize_(6))
        v = x.view(2, 3)
        x.resize_(2)
        print(v, x)
        x[0] = 9.0
        print(v)
        y = torch.arange(3.0)
        print(y.resize_(5).shape, y[:3], y.stride())
        print(torch.arange(4.0).resize_as_(torch.ones(2, 2)), torch.arange(4.0).view(2, 2).t().resize_(4))
        print(torch.arange(6.0)[2:].resize_(2, 2), torch.arange(4).resize_(0).shape)
        attempt(torch.ones(2, requires_grad=True).resize_, 1)
        attempt((torch.ones(2, requires_grad=True) * 1).resize_, 1)
    """,
    "as_strided": """
        x = torch.arange(6.0)
        print(x.as_strided_((2, 2), (1, 2)) is x, x, x.stride(), x.storage_offset())
        print(x.as_strided_((2,), (2,), 1), x.storage_offset())
        x = torch.arange(6.0, requires_grad=True)
        y = x * 2
        z = y.as_strided_((2, 2), (1, 2))
        print(z is y, y.grad_fn.name(), y._version, y, y.grad_fn._saved_size)
        (y * y).sum().backward()
        print(x.grad)
        y = x * 1
        y.as_strided_((2,), (2,), 1).mul_(3).sum().backward()
        print(x.grad)
        attempt(x.as_strided_, (2,), (1,))
        attempt((x * 1).as_strided_, (9,), (1,))
        attempt(torch.as_strided_, torch.arange(4.0), (2,), (-1,))
        x = torch.arange(6.0)
        print(x.new_empty_strided((2, 3), (1, 2)).shape, x.new_empty_strided((2,), (1,), dtype=torch.long).dtype)
    """,
    "in_place_functions": """
        x = torch.tensor([0.25, 0.5])
        for name in "sin_ exp_ sqrt_ neg_ abs_ clamp_ relu_ sigmoid_ zero_ fill_ square_ round_ log_".split():
            arguments = {"clamp_": (0, 0.5), "fill_": (0.5,)}.get(name, ())
            y = x.clone()
            print(name, getattr(torch, name)(y, *arguments) is y, y)
        w = torch.ones(2, requires_grad=True)
        print(torch.relu_(w * 2).grad_fn.name(), torch.detach(w), torch.is_signed(w), torch.get_device(w))
        print(torch.is_same_size(w, x))
        attempt(torch.exp_, w)
    """,
    "functions_of_nn": """
        x = (torch.arange(8.0) / 4 - 1).view(1, 2, 4)
        print(torch.prelu(x, torch.tensor([0.25])), torch.hardshrink(x), torch.selu(x), torch.celu(x))
        print(torch.conv1d(x, torch.ones(1, 2, 2)), torch.max_pool1d(x, 2), torch.avg_pool1d(x, 2))
        print(torch.dropout(x, 0.5, False), torch.pixel_shuffle(torch.ones(1, 4, 1, 1), 2).shape)
        print(torch.rms_norm(x, (4,)), torch.layer_norm(x, (4,)), torch.threshold(x, 0.1, 9))
        print(torch.cosine_similarity(x, x, 1), torch.pairwise_distance(x[0], x[0] + 1), torch.group_norm(x, 2))
        print(torch.conv_transpose1d(x, torch.ones(2, 1, 2)), torch.adaptive_avg_pool1d(x, 2))
        print(x.hardshrink(), x.hardshrink(0.25), x.prelu(torch.tensor([0.5])))
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])
