"""What operators refuse, as PyTorch does: numbers for tensors, types, sizes, and what `out=` may be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


def test_numbers_for_tensors() -> None:
    assert_same("""
    x = torch.tensor([1, 2, 3])
    for name in (
        "atan2 fmax fmin gcd lcm heaviside hypot igamma ldexp logaddexp logical_and maximum minimum nextafter isclose "
        "complex polar eq lt ge copysign fmod remainder pow float_power xlogy rsub bitwise_and bitwise_left_shift max "
        "clamp_max clamp_min"
    ).split():
        function = getattr(torch, name)
        if name not in ("eq", "lt", "ge", "copysign", "fmod", "rsub", "clamp_max", "clamp_min", "max"):
            attempt(function, 2, 3)
        if name not in ("remainder", "pow", "float_power", "xlogy", "bitwise_and", "bitwise_left_shift"):
            attempt(function, 2, x)
        attempt(function, x, "a")
    for name in ("atan2", "maximum", "logical_or", "nextafter"):
        attempt(getattr(torch, name), x.float(), 2)
    attempt(torch.hsplit, x, "a")
    print(torch.special.zeta(2, x.float()), torch.eq(x, 2), torch.bitwise_and(3, x), x.float().fmod(2))
    """)


def test_types_of_out() -> None:
    assert_same("""
    x, m = torch.tensor([1.5, -2.5]), torch.ones(2, 2)
    calls = {
        "add": lambda out: torch.add(x, x, out=out), "abs": lambda out: torch.abs(x, out=out),
        "mm": lambda out: torch.mm(m, m, out=out), "dot": lambda out: torch.dot(x, x, out=out),
        "amax": lambda out: torch.amax(x, 0, out=out), "all": lambda out: torch.all(x, 0, out=out),
        "gather": lambda out: torch.gather(x, 0, torch.tensor([1]), out=out),
        "take": lambda out: torch.take(x, torch.tensor([1]), out=out),
        "masked_select": lambda out: torch.masked_select(x, x > 0, out=out),
        "cummax": lambda out: torch.cummax(x, 0, out=(out, torch.empty(2).long()))[0],
        "softmax": lambda out: torch.softmax(x, 0, out=out), "pow": lambda out: torch.float_power(x, 2, out=out),
        "argmax": lambda out: torch.argmax(x, 0, out=out), "stack": lambda out: torch.stack([x, x], out=out),
        "det": lambda out: torch.linalg.det(m, out=out), "where": lambda out: torch.where(x > 0, x, x, out=out),
        "signbit": lambda out: torch.signbit(x, out=out), "cumsum": lambda out: torch.cumsum(x, 0, out=out),
        "complex": lambda out: torch.complex(x, x, out=out),
        "t_copy": lambda out: torch.t_copy(m, out=out),
        "sort": lambda out: torch.sort(x, out=(out, torch.empty(2).long()))[0],
    }
    for name, call in calls.items():
        for type_ in (torch.float64, torch.int64, torch.float32):
            attempt(lambda: (name, call(torch.empty(0, dtype=type_))))
    """)


def test_memory_of_out() -> None:
    assert_same("""
    x = torch.arange(3.0)
    places = torch.tensor([0, 1, 2])
    attempt(torch.gather, x, 0, places, out=x)
    attempt(torch.take, x, places, out=x)
    attempt(torch.index_select, x, 0, places, out=x)
    attempt(torch.masked_select, x, x > 0, out=x)
    attempt(torch.index_select, torch.ones(3, 6), 1, places[:2], out=torch.zeros(1).expand(3, 2))
    print(torch.normal(torch.zeros(2), 0.0, out=(out := torch.ones(2))), out)
    print(torch.signbit(x - 1, out=torch.empty(3, dtype=torch.bool)))
    """)


def test_arguments() -> None:
    assert_same("""
    x = torch.arange(5.0)
    for options in (
        {"fweights": torch.ones(5, 5)}, {"aweights": torch.ones(5, 5)}, {"fweights": torch.ones(5)},
        {"aweights": torch.ones(2).long()}, {"fweights": torch.ones(1).long()}, {"aweights": torch.ones(1)},
        {"fweights": -torch.ones(5).long()}, {"aweights": -torch.ones(5)},
    ):
        attempt(torch.cov, x, **options)
    attempt(torch.fliplr, x)
    attempt(torch.flipud, x[0])
    attempt(torch.hstack, [])
    attempt(torch.vstack, [])
    attempt(torch.diag_embed, torch.ones(2, 2), dim1=1, dim2=1)
    attempt(torch.dot, torch.ones(1), torch.ones(3).half())
    attempt(torch.trace, torch.ones(2, 2, 2))
    attempt(torch.movedim, torch.ones(1, 1, 1), (0, -3), (0, 1))
    attempt(torch.reshape, x[:1], (0, -1))
    attempt(torch.narrow, x, 0, torch.tensor([1]), 2)
    attempt(torch.narrow, x, 0, torch.tensor(True), 2)
    attempt(torch.gradient, torch.ones(3, 3), spacing=[0.1], dim=[1, 0])
    print(torch.gradient(x, spacing=None))
    attempt(torch.aminmax, torch.ones(5, 0), dim=1)
    attempt(x[None].masked_scatter, torch.ones(1, 5), x)
    attempt(torch.ones(3, 5).scatter, 0, torch.full((2, 2), 34), torch.ones(2, 5, 2))
    for bad in ([-1.0, 1.0], [math.nan, 1.0], [math.inf, 1.0]):
        attempt(torch.multinomial, torch.tensor(bad), 2, True)
        attempt(torch.multinomial, torch.tensor(bad), 1)
    attempt(torch.linspace, torch.ones(1), torch.ones(2), 3)
    """)


def test_random_numbers_of_other_types() -> None:
    assert_same("""
    for type_ in (torch.complex64, torch.int64, torch.bool):
        x = torch.ones(3).to(type_)
        for name, arguments in (
            ("cauchy_", ()), ("log_normal_", ()), ("geometric_", (0.5,)), ("random_", ()), ("random_", (1,)),
            ("bernoulli_", (0.5,)), ("bernoulli_", (torch.ones(3),)), ("exponential_", ()),
        ):
            attempt(lambda: getattr(x.clone(), name)(*arguments).dtype)
        attempt(lambda: torch.ones(3).bernoulli_(x).dtype)
        attempt(torch.bernoulli, x)
        attempt(torch.randint_like, x, 1)
        attempt(F.gumbel_softmax, x)
    attempt(torch.normal, torch.ones(3), torch.ones(3) + 0j)
    attempt(torch.ones(2).to(torch.complex64).abs_)
    """)


def test_types_of_kernels() -> None:
    assert_same("""
    for type_ in (torch.complex64, torch.int64, torch.bool, torch.float16):
        x, at = torch.ones(3).to(type_), torch.tensor([0])
        for function in (
            lambda: torch.mvlgamma(x + x + x, 2) * 0, lambda: torch.trapezoid(x), lambda: torch.cumulative_trapezoid(x),
            lambda: torch.isin(x, x), lambda: torch.linalg.vander(x), lambda: torch.clamp(x, x, x),
            lambda: torch.linalg.cross(x, x), lambda: torch.addcmul(x, x, x, value=1.5),
            lambda: torch.round(x, decimals=1) if type_ is not torch.float16 else 0,
        ):
            attempt(function)
        for reduce in ("prod", "mean", "amax"):
            attempt(x.index_reduce, 0, at, x[:1], reduce)
            attempt(x.scatter_reduce, 0, at, x[:1], reduce)
    for type_ in (torch.complex64, torch.int64, torch.bool):
        attempt(torch.histc, torch.ones(3).to(type_), 2)
        attempt(torch.bucketize, torch.ones(3).to(type_), torch.ones(2).to(type_))
    attempt(torch.polar, torch.ones(2).half(), torch.ones(2).half())
    attempt(torch.linalg.pinv, torch.ones(2, 2), rtol=torch.tensor(1j))
    """)


def test_numbers_of_sixteen_bits() -> None:
    assert_same("""
    x = torch.arange(13.0 * 13 * 13).reshape(1, 1, 13, 13, 13).half() / 100
    print(F.grid_sample(x, torch.full((1, 1, 1, 1, 3), 1.0).half(), align_corners=True))
    a, b = (torch.ones(2, dtype=torch.float16, requires_grad=True) for _ in range(2))
    print([each.dtype for each in torch.autograd.grad(torch.complex(a, b).abs().sum(), (a, b))])
    x = torch.arange(4.0, requires_grad=True)
    print(torch.autograd.grad(torch.as_strided_copy(x * 2, (2, 2), (1, 1)).sum(), x))
    """)


def test_sizes_pieces_and_bits() -> None:
    assert_same("""
    for sizes in ([2, 4, 2**29, 2**29], [2**62, 2], [2**63 - 1, 2**63 - 1]):
        for call in (torch.empty, torch.zeros, torch.ones(()).double().resize_, lambda s: torch.full(s, 1.0)):
            attempt(call, sizes)
    for shapes in (((-1, 3),), ((1, 3), (-2, 3)), (-1,), ((2, 3), (4, 3)), ((1, 3), (2, 1))):
        attempt(torch.broadcast_shapes, *shapes)
    x = torch.arange(16.0).view(4, 4)
    for cuts in (x.long(), torch.tensor(1.0), torch.tensor([1.0]), torch.tensor([1, 3]), torch.tensor(2)):
        attempt(x.tensor_split, cuts)
    attempt(x.tensor_split, torch.tensor(2, dtype=torch.int32))
    for index in (torch.zeros(4, 1), torch.zeros(4, 1, dtype=torch.int32), torch.zeros(4, 1) > 0, torch.tensor([0])):
        attempt(torch.take_along_dim, x, index, 1)
    attempt(torch.take_along_dim, x, torch.zeros(3, dtype=torch.int32))
    z = torch.tensor([1 + 2j])
    for dtype in (torch.float32, torch.complex64, torch.int64):
        attempt(z.conj().view, dtype)
        attempt(z.conj().imag.view, dtype)
    print(torch.ops.aten.slice_copy(x, 0, 1, 3), torch.ops.aten.view_copy(x, (2, 8)))
    """)


def test_assertions_and_ranks_of_nothing() -> None:
    assert_same("""
    for x in map(torch.tensor, (1, 0, [1.0], [1.0, 1.0], [], False)):
        attempt(torch._assert_async, x)
        attempt(torch._assert_async, x, "told so")
    e = torch.empty(0, 3)
    for arguments in ((1, 0), (1, 1), (0, 0)):
        attempt(e.kthvalue, *arguments)
    """)


def test_imaginary_parts_that_are_discarded_are_told_of() -> None:
    z = retrograd.ones(2, dtype=retrograd.complex64)
    for write in (
        lambda: retrograd.zeros(2).copy_(z), lambda: retrograd.zeros(2).long().copy_(z),
        lambda: retrograd.zeros(2).__setitem__(slice(None), z), lambda: z.float(),
    ):  # fmt: skip
        with pytest.warns(UserWarning, match="Casting complex values to real discards the imaginary part"):
            write()
    retrograd.zeros(2, dtype=retrograd.bool).copy_(z)
    retrograd.zeros(2, dtype=retrograd.complex128).copy_(z)


def test_gradients_that_the_dispatcher_has_by_themselves() -> None:
    assert_same("""
    grad, x, w = torch.arange(8.0).view(1, 2, 2, 2), torch.arange(9.0).view(1, 1, 3, 3)
    w = torch.arange(8.0).view(2, 1, 2, 2)
    backward = torch.ops.aten.convolution_backward
    for mask in ([True, True, True], [True, False, True], [False, True, False]):
        for sizes in ([2], None):
            print(backward(grad, x, w, sizes, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, mask))
    w = w.view(1, 2, 2, 2)
    print(backward.default(grad, x[:, :, :1, :1], w, None, [1], [0], [1], True, [0], 1, [True] * 3))
    shapes, samples = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([0.5, 2.0, 0.1])
    print(torch._standard_gamma_grad(shapes, samples), torch.ops.aten._standard_gamma_grad(shapes, samples))
    parts, concentrations = torch.tensor([0.3, 0.7]), torch.tensor([0.5, 2.0])
    print(torch._dirichlet_grad(parts, concentrations, torch.tensor(2.5)))
    print(torch.ops.aten._dirichlet_grad(parts, concentrations, torch.tensor(2.5)))
    for function, arguments in (
        (torch._standard_gamma_grad, (shapes, samples)), (torch._dirichlet_grad, (parts, concentrations, parts + 2.0)),
    ):
        for i in range(len(arguments)):
            given = [each.clone().requires_grad_(i == place) for place, each in enumerate(arguments)]
            attempt(lambda: function(*given))
            attempt(lambda: function(*given).sum().backward())
    attempt(torch._standard_gamma_grad, shapes, samples.double())
    attempt(torch._standard_gamma_grad, shapes.long(), samples.long())
    """)


def test_weights_strides_and_windows_that_do_not_fit() -> None:
    assert_same("""
    F = torch.nn.functional
    places, x = torch.tensor([1, 3]), torch.arange(42.0).reshape(1, 6, 7)
    for weights in ([1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]], [1.0, 2.0]):
        print(attempt(torch.bincount, places, torch.tensor(weights)))
    attempt(torch.bincount, torch.tensor([[1]]))
    attempt(torch.bincount, torch.tensor([-1]), torch.tensor([1.0, 2.0]))
    print(torch.bincount(places[:0], torch.tensor([1.5]), 2))
    for size, stride in (((2, 2), (1,)), ((2,), (1, 1)), ((2,), (-1,)), ((43,), (1,))):
        attempt(torch.as_strided, x, size, stride)
    for pool in (F.max_pool2d, F.avg_pool2d):
        print(pool(x, (2, 5), 4, ceil_mode=True).tolist())
        attempt(pool, x, 8, 1, 0, ceil_mode=True)
    print(F.max_pool2d(x, 3, 3, 1, 4, True, True))
    attempt(F.max_pool2d, x, 3, 3, 0, 4, True)
    for least, most in ((0.0, math.inf), (math.nan, 1.0), (2.0, 1.0)):
        attempt(torch.histogram, x, 2, range=(least, most))
    attempt(torch.histogram, torch.tensor([1.0, -math.inf]), 2)
    """)


def test_how_a_function_was_called() -> None:
    assert_same("""
    x = torch.ones(3, 3)
    for text in (
        "torch.tril(x, 1.5)", "x.tril(1.5)", "torch.Tensor.tril(x, 1.5)", "x.tril(diagonal=1.5)", "x.tril(0).tril(1.5)",
        "torch.amax(x, dim=(1, 'a'))", "x.amax(('a', 1))", "torch.amax(input=x, dim='a')", "torch.cumsum(x, None)",
        "x.cumsum(dim=2.5)", "F.softmax(x, 'a')", "torch.linalg.vector_norm(x, 2, 'a')", "torch.fft.fft(x, dim='a')",
        "torch.roll(x, 1, dims='a')", "torch.sum(x, 1, None)", "x.sum(1, keepdim=None)", "x.sum('a')",
        "torch.mean(x, dim='a')", "x.all('a')", "(lambda tril: tril(1.5))(x.tril)", "x.atan2(2)", "x.unsqueeze(None)",
    ):
        attempt(lambda: eval(text))
    attempt(lambda: x
        .sum(0)
        .cumsum(
            "a",
        ))
    """)


def test_none_where_a_dimension_may_be_left_out() -> None:
    assert_same("""
    x = torch.ones(3, 3)
    for text in (
        "x.median(None)", "torch.median(x, dim=None)", "torch.nanmedian(x, None)", "x.prod(None)", "x.prod(dim=None)",
        "torch.prod(x, None)", "x.logsumexp(None)", "x.squeeze(None)", "torch.squeeze(x, dim=None)", "x.max(dim=None)",
        "torch.min(x, None)", "x.std(1, None)", "torch.var(x, 1, None)", "x.var(dim=None, unbiased=None)",
        "torch.std_mean(x, 1, None)", "torch.trapezoid(x, None)", "x.sum(None).shape", "x.mean(dim=None).shape",
        "x.var(None).shape", "x.var(None, True).shape", "x.argmax(None).shape", "x.amax(None)",
    ):
        attempt(lambda: eval(text))
    """)
