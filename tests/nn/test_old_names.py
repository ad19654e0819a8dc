"""Names that PyTorch once had, and layers joined for evaluation: the same as PyTorch's."""

from __future__ import annotations

import pytest
from programs import assert_same

PROGRAMS = {
    "bags_in_the_old_order": """
        import warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            print(F.embedding_bag(torch.arange(6.0).reshape(3, 2), torch.tensor([0, 1, 2]), torch.tensor([0, 1])))
        print([(each.category.__name__, str(each.message)) for each in caught])
    """,
    "initial_values": """
        import warnings
        def told(function, *args, **kwargs):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                result = function(*args, **kwargs)
            print([(each.category.__name__, str(each.message)) for each in caught])
            return result
        for name in ("uniform", "normal", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal",
                     "orthogonal", "eye"):
            print(told(getattr(nn.init, name), torch.empty(3, 3)).shape)
        print(told(nn.init.constant, torch.empty(2), 3.0), told(nn.init.eye, torch.empty(2, 2)))
        print(told(nn.init.sparse, torch.empty(4, 2), 0.5).eq(0).sum(0), told(nn.init.dirac, torch.empty(2, 2, 3)))
        w = torch.ones(2, requires_grad=True)
        w.grad = torch.tensor([3.0, 4.0])
        print(told(nn.utils.clip_grad_norm, [w], 1.0), w.grad)
        layer = nn.Linear(2, 1, bias=False)
        print(told(nn.utils.stateless.functional_call, layer, {"weight": torch.ones(1, 2)}, torch.ones(2)))
    """,
    "assert_allclose": """
        same = torch.testing.assert_allclose
        for a, b in ((torch.ones(2), torch.zeros(2)), (1.0, 1.1), ([1.0, 2.0], torch.tensor([1.0, 2.0])),
                     (torch.ones(2), torch.ones(2).double()), (torch.ones(2, 1), torch.ones(2)),
                     (torch.tensor([math.nan]), torch.tensor([math.nan])), (torch.ones(2), torch.ones(2) + 5e-5)):
            attempt(same, a, b)
        attempt(same, torch.ones(2), torch.zeros(2), msg="hey")
        attempt(same, torch.ones(2), torch.ones(2) + 1e-4, rtol=1e-3, atol=0)
        attempt(same, torch.ones(2), torch.ones(2), rtol=1e-3)
    """,
    "pools_with_indices": """
        x = torch.arange(32.0).reshape(1, 2, 4, 4).cos()
        print(F.max_pool2d_with_indices(x, 2), F.max_pool1d_with_indices(x[0], 2, 1))
        print(F.max_pool2d_with_indices(x, 2, 1, 0))
        print(F.adaptive_max_pool2d_with_indices(x, 2)[1], F.adaptive_max_pool1d_with_indices(x[0], 2)[0])
        print(F.max_pool3d_with_indices(x[None], 2)[1], F.adaptive_max_pool3d_with_indices(x[None], 2)[1])
        y = x.clone().sub_(0.5)
        print(F.rrelu_(y) is y, y)
        t, w, b = torch.arange(30.0).reshape(5, 2, 3), torch.arange(24.0).reshape(2, 3, 4), torch.ones(4)
        print(F.conv_tbc(t, w, b, 1), F.conv_tbc(t, w, b).shape)
        for wrong in ((t[0], w, b), (t, w[0], b), (t, w, b[None])):
            attempt(F.conv_tbc, *wrong)
    """,
    "fusion": """
        torch.manual_seed(0)
        def norm(kind, n):
            made = kind(n).eval()
            with torch.no_grad():
                made.running_mean.copy_(torch.arange(float(n)))
                made.running_var.copy_(torch.arange(float(n)) + 0.5)
                made.weight.copy_(torch.arange(float(n)) - 1)
            return made
        for conv, kind, x in ((nn.Conv2d(2, 3, 2), nn.BatchNorm2d, torch.ones(1, 2, 4, 4)),
                              (nn.Conv1d(2, 3, 2, bias=False), nn.BatchNorm1d, torch.ones(1, 2, 4))):
            with torch.no_grad():
                for p in conv.parameters():
                    p.copy_(torch.arange(float(p.numel())).reshape(p.shape) / 10)
            conv.eval()
            fused = nn.utils.fuse_conv_bn_eval(conv, norm(kind, 3))
            print(fused, fused.weight, fused.bias, fused(x).sum(), conv.bias is None)
            attempt(nn.utils.fuse_conv_bn_eval, conv.train(), norm(kind, 3))
        up = nn.ConvTranspose2d(2, 3, 2).eval()
        bn = norm(nn.BatchNorm2d, 3)
        print(torch.allclose(nn.utils.fuse_conv_bn_eval(up, bn, True)(x[..., None]), bn(up(x[..., None])), atol=1e-5))
        linear = nn.Linear(2, 3).eval()
        bn = norm(nn.BatchNorm1d, 3)
        print(torch.allclose(nn.utils.fuse_linear_bn_eval(linear, bn)(x[0].t()), bn(linear(x[0].t())), atol=1e-5))
        attempt(nn.utils.fuse_linear_bn_eval, linear, norm(nn.BatchNorm1d, 2))
    """,
    "gradients_of_convolutions": """
        G = nn.grad if hasattr(nn, "grad") else __import__("torch.nn.grad").nn.grad
        x = torch.arange(200.0).reshape(2, 4, 5, 5).sin().requires_grad_()
        w = torch.arange(108.0).reshape(6, 2, 3, 3).cos().requires_grad_()
        y = F.conv2d(x, w, None, 2, 1, 1, 2)
        g = torch.ones_like(y).cumsum(-1)
        by_x, by_w = torch.autograd.grad(y, (x, w), g)
        print(torch.allclose(G.conv2d_input(x.shape, w, g, 2, 1, 1, 2), by_x, atol=1e-4))
        print(torch.allclose(G.conv2d_weight(x, w.shape, g, (2, 2), 1, 1, 2), by_w, atol=1e-4))
        ones = torch.ones
        print(G.conv1d_input((1, 2, 5), ones(3, 2, 2), ones(1, 3, 4)))
        print(G.conv1d_weight(ones(1, 2, 5), (3, 2, 2), ones(1, 3, 4)))
        print(G.conv3d_input((1, 1, 2, 2, 2), ones(1, 1, 1, 1, 1), ones(1, 1, 2, 2, 2)).shape)
        print(G.conv3d_weight(ones(1, 1, 2, 2, 2), [1, 1, 1, 1, 1], ones(1, 1, 2, 2, 2), padding=(0, 0, 0)))
    """,
    "attention": """
        attention = nn.attention if hasattr(nn, "attention") else __import__("torch.nn.attention").nn.attention
        print(list(attention.SDPBackend.__members__))
        with attention.sdpa_kernel([attention.SDPBackend.MATH, attention.SDPBackend.FLASH_ATTENTION]):
            print(F.scaled_dot_product_attention(*[torch.ones(1, 2, 3)] * 3))
        def wrong():
            with attention.sdpa_kernel(3):
                pass
        attempt(wrong)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])
