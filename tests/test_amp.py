"""Autocast and the scaling of losses, beside PyTorch's."""

from __future__ import annotations

import pickle
import warnings

import pytest
from programs import assert_same

import retrograd

SHOW = """
def numbers(*shape):
    return (torch.arange(float(math.prod(shape))) / 8 - 0.25).reshape(shape)

def show(name, function, *inputs, second=torch.bfloat16):
    given = [numbers(*shape).requires_grad_() for shape in inputs]
    others = [each.detach().to(second).requires_grad_() if i % 2 else each for i, each in enumerate(given)]
    y = function(*others)
    y.float().sum().backward()
    print(name, y.dtype, [each.grad.dtype for each in others], y.grad_fn.name())
"""


def test_operators_of_the_first_list_run_in_the_lower_type() -> None:
    program = """
    for lower in torch.bfloat16, torch.float16:
        with torch.autocast("cpu", dtype=lower):
            show("mm", torch.mm, (2, 3), (3, 2))
            show("matmul", torch.matmul, (2, 2, 3), (3,))
            show("bmm", torch.bmm, (2, 2, 3), (2, 3, 2))
            show("addmm", torch.addmm, (2, 2), (2, 3), (3, 2))
            show("baddbmm", torch.baddbmm, (2, 2, 2), (2, 2, 3), (2, 3, 2))
            show("linear", F.linear, (2, 3), (4, 3), (4,))
            show("conv1d", F.conv1d, (1, 2, 5), (3, 2, 3), (3,))
            show("conv_transpose2d", F.conv_transpose2d, (1, 2, 3, 3), (2, 1, 2, 2))
            show("prelu", F.prelu, (2, 3), (1,))
            print(F.scaled_dot_product_attention(*3 * [numbers(1, 2, 3)], numbers(2, 2)).dtype)
            print(torch.mv(numbers(2, 2), numbers(2)).dtype, torch.dot(numbers(2), numbers(2)).dtype)
            print((numbers(2, 2).double() @ numbers(2, 2).double()).dtype, (numbers(2, 2) @ numbers(2)).dtype)
    """
    assert_same(program, SHOW)


def test_operators_of_the_second_list_run_in_float32() -> None:
    program = """
    with torch.autocast("cpu"):
        for name in (
            "mse_loss l1_loss smooth_l1_loss huber_loss kl_div poisson_nll_loss binary_cross_entropy_with_logits"
        ).split():
            show(name, getattr(F, name), (2, 3), (2, 3))
        show("binary_cross_entropy", lambda a, b: F.binary_cross_entropy(b.sigmoid(), a.sigmoid()), (3,), (3,))
        low = numbers(3, 3).bfloat16()
        targets = torch.tensor([0, 2, 1])
        for loss in F.nll_loss, F.cross_entropy, F.multi_margin_loss:
            print(loss(low, targets))
        print(F.cross_entropy(low, low.sigmoid()).dtype, F.cross_entropy(low, targets, label_smoothing=0.1).dtype)
        print(F.cosine_embedding_loss(low, low, targets.sign()), F.triplet_margin_loss(low, low, low + 1))
        for function in torch.prod, torch.trace, torch.pinverse, torch.linalg.qr, torch.linalg.svdvals:
            print([each.dtype for each in function(low)] if function is torch.linalg.qr else function(low).dtype)
        print(torch.cdist(low, low.float()).dtype, torch.quantile(low, 0.5), torch.polar(low, low).dtype)
        print(F.avg_pool3d(numbers(1, 1, 2, 2, 2).bfloat16(), 2), F.pad(low[None], (1, 1), "reflect").dtype)
        print(torch.fft.rfft(low).dtype, torch.fft.ifft2(low).dtype)
        print(torch.cat([low, low.float()]).dtype, torch.index_copy(low, 0, targets, low.float()).dtype)
    """
    assert_same(program, SHOW)


def test_all_other_operators_run_in_the_types_of_their_inputs() -> None:
    program = """
    with torch.autocast("cpu"):
        low = numbers(2, 3).bfloat16()
        for y in low + 1, low + numbers(3), low.softmax(-1), low.relu(), low.sum(), low.exp(), F.layer_norm(low, (3,)):
            print(y.dtype)
        attempt(torch.mv, low, numbers(3))
        attempt(torch.linalg.det, low[:, :2])
        print(torch.mm(numbers(2, 2), numbers(2, 2), out=torch.zeros(2, 2)).dtype)
        print(numbers(2, 2).addmm_(numbers(2, 2), numbers(2, 2)).dtype)
    """
    assert_same(program, SHOW)


def test_regions_nest_and_decorate() -> None:
    assert_same("""
    x = torch.ones(2, 2)
    off = torch.autocast("cpu", enabled=False)
    with torch.autocast("cpu"):
        print((x @ x).dtype)
        with off:
            print((x @ x).dtype, torch.is_autocast_enabled("cpu"))
        with torch.autocast("cpu", dtype=torch.float16):
            print((x @ x).dtype, torch.get_autocast_dtype("cpu"))
        with torch.no_grad():
            print((x @ x).dtype)
        print((x @ x).dtype, torch.get_autocast_dtype("cpu"))

    @torch.autocast("cpu", dtype=torch.float16)
    def product(a, b):
        return a @ b

    print(product.__name__, product(x, x).dtype, (x @ x).dtype, torch.is_autocast_enabled("cpu"))
    print(torch.func.vmap(product)(x[None], x[None]).dtype)
    """)


def test_the_cast_of_a_parameter_is_kept_within_the_outermost_region() -> None:
    assert_same("""
    w, x = torch.ones(2, 2, requires_grad=True), torch.ones(2, 2)

    def origins():
        with torch.autocast("cpu"):
            with torch.no_grad():
                x @ w
            a, b = x @ w, x @ w
        casts = [each.grad_fn.next_functions[1][0] for each in (a, b)]
        return casts[0] is casts[1], casts[0].name()

    print(origins(), torch.is_autocast_cache_enabled())
    torch.set_autocast_cache_enabled(False)
    print(origins())
    torch.set_autocast_cache_enabled(True)
    with torch.autocast("cpu", cache_enabled=False):
        a, b = x @ w, x @ w
        print(a.grad_fn.next_functions[1][0] is b.grad_fn.next_functions[1][0], torch.is_autocast_cache_enabled())
    with torch.autocast("cpu"):
        x @ w
        with torch.no_grad():
            w.mul_(2)
        print((x @ w).sum())
        torch.clear_autocast_cache()
        print((x @ w).sum())
    """)


def test_settings_and_what_is_refused() -> None:
    assert_same("""
    for kind in "cpu", "cuda", "mps", "xla", "meta", "nothing":
        attempt(torch.get_autocast_dtype, kind)
        attempt(torch.is_autocast_enabled, kind)
        attempt(torch.amp.is_autocast_available, kind)
    attempt(torch.autocast, 3)
    attempt(torch.autocast, "meta")
    attempt(torch.autocast, "nothing")
    attempt(torch.autocast("cpu"), 3)
    print(torch.is_autocast_enabled())
    torch.set_autocast_dtype("cpu", torch.float16)
    with torch.autocast("cpu"):
        print(torch.mm(torch.ones(1, 1), torch.ones(1, 1)).dtype)
    torch.set_autocast_dtype("cpu", torch.bfloat16)
    torch.set_autocast_enabled("cpu", True)
    print(torch.mm(torch.ones(1, 1), torch.ones(1, 1)).dtype)
    torch.set_autocast_enabled("cpu", False)
    print(torch.autocast_increment_nesting(), torch.autocast_decrement_nesting())
    with torch.autocast("cuda"), torch.autocast("cpu", dtype=torch.float64):
        print(torch.is_autocast_enabled("cuda"), torch.is_autocast_enabled("cpu"))
    """)


def test_custom_functions_follow_autocast() -> None:
    assert_same("""
    def make(cast):
        class Product(torch.autograd.Function):
            @staticmethod
            @torch.amp.custom_fwd(device_type="cpu", cast_inputs=cast)
            def forward(ctx, a, b):
                ctx.save_for_backward(a, b)
                print(a.dtype, torch.is_autocast_enabled("cpu"))
                return a @ b

            @staticmethod
            @torch.amp.custom_bwd(device_type="cpu")
            def backward(ctx, grad):
                a, b = ctx.saved_tensors
                print(torch.is_autocast_enabled("cpu"), (a @ b).dtype)
                return (grad @ b.t()).to(a.dtype), (a.t() @ grad).to(b.dtype)
        return Product

    for cast in None, torch.float32, torch.float16:
        a = torch.ones(2, 2, requires_grad=True)
        with torch.autocast("cpu"):
            y = make(cast).apply(a, a)
        print(y.dtype)
        y.float().sum().backward()
        print(a.grad, make(cast).apply(a, a).dtype)
    """)


def test_a_checkpointed_region_is_recomputed_under_its_autocast() -> None:
    assert_same("""
    checkpoint = torch.utils.checkpoint.checkpoint
    for reentrant in False, True:
        x, types = torch.ones(2, 2, requires_grad=True), []
        def square(x):
            y = x @ x
            types.append(y.dtype)
            return y * y
        with torch.autocast("cpu"):
            y = checkpoint(square, x, use_reentrant=reentrant)
        y.sum().backward()
        print(types, x.grad)
    """)


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_a_layer_trains_under_autocast_on_every_backend(backend: str) -> None:
    with retrograd.use_backend(backend):
        layer = retrograd.nn.Linear(3, 1)
        with retrograd.autocast("cpu"):
            y = layer(retrograd.ones(2, 3))
            loss = retrograd.nn.functional.mse_loss(y, retrograd.zeros(2, 1))
        loss.backward()
        grad = layer.weight.grad
    assert grad is not None
    assert (y.dtype, loss.dtype, grad.dtype) == (retrograd.bfloat16, retrograd.float32, retrograd.float32)
    assert retrograd.allclose(grad, 2 * y.detach().float().mean().expand(1, 3), rtol=0.01)


# -- scaling -----------------------------------------------------------------------------------


def test_a_scaler_skips_lowers_and_raises() -> None:
    assert_same("""
    w = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([w], lr=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    print(scaler.state_dict())
    for factor in 1.0, math.inf, 0.5, 0.25, 1.0:
        optimizer.zero_grad()
        scaler.scale((w * factor).sum()).backward()
        result = scaler.step(optimizer)
        scaler.update()
        print(result, w.data, w.grad, scaler.get_scale(), scaler._get_growth_tracker())
    scaler.update(2.0)
    print(scaler.state_dict(), scaler.scale([w.data, (w.data,)]))
    scaler.update(torch.tensor([4.0]))
    other = torch.amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    print(other.state_dict(), other.scale(torch.ones(1)), other.is_enabled())
    other.load_state_dict({**scaler.state_dict(), "scale": 3.0})
    print(other.get_scale(), other.get_growth_factor(), other.get_backoff_factor(), other.get_growth_interval())
    """)


def test_what_a_scaler_refuses() -> None:
    assert_same("""
    w = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([w], lr=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    attempt(scaler.step, optimizer)
    attempt(scaler.unscale_, optimizer)
    attempt(scaler.update)
    attempt(scaler.scale, 3)
    scaler.scale(w.sum()).backward()
    attempt(scaler.update)
    attempt(scaler.step, optimizer, closure=None)
    scaler.unscale_(optimizer)
    print(w.grad)
    attempt(scaler.unscale_, optimizer)
    scaler.step(optimizer)
    print(w)
    attempt(scaler.step, optimizer)
    attempt(scaler.unscale_, optimizer)
    attempt(torch.amp.GradScaler, "cpu", growth_factor=1.0)
    attempt(torch.amp.GradScaler, "cpu", backoff_factor=1.0)
    attempt(scaler.load_state_dict, {})
    half = torch.nn.Parameter(torch.ones(2, dtype=torch.float16))
    half.grad = torch.ones(2, dtype=torch.float16)
    attempt(torch.amp.GradScaler.unscale_, scaler, torch.optim.SGD([half]))
    empty = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])
    attempt(scaler.step, empty)
    off = torch.amp.GradScaler("cpu", enabled=False)
    print(off.scale(3), off.state_dict(), off.get_scale(), off.update(), off.step(optimizer), off.is_enabled())
    """)


def test_names_for_cuda_are_accepted_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="CUDA is not available"):
        assert not retrograd.amp.GradScaler().is_enabled()
    with pytest.warns(FutureWarning, match="deprecated"):
        scaler = retrograd.cpu.amp.GradScaler(init_scale=2.0)
    assert pickle.loads(pickle.dumps(scaler)).get_scale() == 2.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with retrograd.cuda.amp.autocast():
            assert not retrograd.is_autocast_enabled()
        with retrograd.cpu.amp.autocast(dtype=retrograd.float16):
            assert retrograd.get_autocast_cpu_dtype() is retrograd.float16
            assert retrograd.is_autocast_cpu_enabled()
        retrograd.set_autocast_cpu_enabled(False)
        retrograd.set_autocast_cpu_dtype(retrograd.bfloat16)
        retrograd.set_autocast_gpu_dtype(retrograd.float16)
        assert retrograd.get_autocast_gpu_dtype() is retrograd.float16


def test_the_deprecated_names_work_in_custom_functions() -> None:
    assert_same("""
    class Double(torch.autograd.Function):
        @staticmethod
        @torch.cuda.amp.custom_fwd
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        @torch.cuda.amp.custom_bwd
        def backward(ctx, grad):
            return 2 * grad

    x = torch.ones(2, requires_grad=True)
    Double.apply(x).sum().backward()
    print(x.grad)
    """)


def test_layers_under_autocast_have_pytorchs_types() -> None:
    torch = pytest.importorskip("torch")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.nn.LSTM(8, 4)(torch.ones(2, 3, 8))
    except RuntimeError:
        lstm = ""  # PyTorch has no such layer in bfloat16 for this processor
    else:
        lstm = '"lstm": (nn.LSTM(8, 4), (x,)),'
    assert_same(
        """
    torch.manual_seed(0)
    x = torch.ones(2, 3, 8)
    cases = {
        "attention": (nn.MultiheadAttention(8, 2, batch_first=True), (x, x, x)),
        "encoder": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (x,)),
        "decoder": (nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), (x, x)),
        LSTM "gru": (nn.GRU(8, 4), (x,)), "bilinear": (nn.Bilinear(8, 8, 2), (x, x)),
        "norms": (nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.GELU(), nn.Softmax(-1)), (x,)),
        "channels": (nn.Sequential(nn.Conv1d(3, 4, 2), nn.GroupNorm(2, 4), nn.BatchNorm1d(4)), (x,)),
    }
    for name, (module, arguments) in cases.items():
        for train in True, False:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                out = module.train(train)(*arguments)
            out = out[0] if isinstance(out, tuple) else out
            out.float().sum().backward()
            grads = [each.grad for each in module.parameters() if each.grad is not None]
            print(name, train, out.dtype, {str(each.dtype) for each in grads})
    """.replace("LSTM ", lstm)
    )
