"""Operations are counted as PyTorch counts them, by module and operator, forward and backward."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
from retrograd.utils.flop_counter import FlopCounterMode, flop_registry, register_flop_formula
from retrograd.utils.module_tracker import ModuleTracker

COUNTING = """
from importlib import import_module
FlopCounterMode = import_module(torch.__name__ + ".utils.flop_counter").FlopCounterMode

def R(*shape):
    return torch.randn(*shape, requires_grad=True)

def show(function, backward=True):
    with FlopCounterMode(display=False) as counter:
        result = function()
        if backward:
            result.sum().backward()
    print({name: sorted((str(op), n) for op, n in each.items()) for name, each in sorted(counter.get_flop_counts().items())})
    print(counter.get_total_flops())
"""  # noqa: E501


def test_products_are_counted() -> None:
    assert_same(
        """
        show(lambda: R(3, 4) @ R(4, 5))
        show(lambda: torch.addmm(R(5), R(3, 4), R(4, 5)))
        show(lambda: torch.bmm(R(2, 3, 4), R(2, 4, 5)))
        show(lambda: torch.baddbmm(R(2, 3, 5), R(2, 3, 4), R(2, 4, 5)))
        show(lambda: R(2, 1, 3, 4) @ R(5, 4, 6))
        show(lambda: R(4) @ R(4))
        show(lambda: F.linear(R(2, 3, 4), R(5, 4), R(5)))
        show(lambda: torch.einsum("bij,bjk->bik", R(2, 3, 4), R(2, 4, 5)), backward=False)
        show(lambda: torch.exp(R(3)))
        """,
        COUNTING,
    )


def test_convolutions_are_counted() -> None:
    assert_same(
        """
        show(lambda: F.conv2d(R(2, 4, 8, 8), R(6, 2, 3, 3), R(6), padding=1, stride=2, groups=2))
        show(lambda: F.conv1d(R(2, 4, 8), R(6, 4, 3)))
        show(lambda: F.conv2d(torch.randn(2, 4, 8, 8), R(6, 4, 3, 3)))
        show(lambda: F.conv2d(R(2, 4, 8, 8), torch.randn(6, 4, 3, 3)))
        show(lambda: F.conv3d(R(1, 2, 4, 4, 4), R(3, 2, 2, 2, 2), dilation=2))
        show(lambda: F.conv_transpose2d(R(2, 4, 8, 8), R(4, 6, 3, 3), stride=2, output_padding=1))
        show(lambda: F.conv_transpose1d(R(2, 4, 8), torch.randn(4, 3, 3), groups=2))
        """,
        COUNTING,
    )


NET = (
    COUNTING
    + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 5)
        self.b = nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 3))

    def forward(self, x):
        return self.b(self.a(x))
"""
)


def test_modules_are_told_apart() -> None:
    assert_same(
        """
        net = Net()
        show(lambda: net(torch.randn(2, 3, 4)))
        show(lambda: net(torch.randn(2, 3, 4)), backward=False)
        show(lambda: net.b(torch.randn(2, 5)) + net.a(torch.randn(3, 4)).sum())
        checkpoint = import_module(torch.__name__ + ".utils.checkpoint").checkpoint
        show(lambda: checkpoint(net.b, R(2, 5), use_reentrant=False))
        gru = nn.GRU(4, 6)
        show(lambda: gru(torch.randn(2, 3, 4))[0])
        """,
        NET,
    )


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    model = retrograd.nn.Sequential(retrograd.nn.Linear(64, 64), retrograd.nn.Sequential(retrograd.nn.Linear(64, 8)))
    with FlopCounterMode(depth=1):
        model(retrograd.ones(10, 64))
        _ = retrograd.ones(10, 64) @ retrograd.ones(64, 64)
    assert capsys.readouterr().out == (
        "Module              FLOP    % Total\n"
        "--------------  --------  ---------\n"
        "Global          174.080K    100.00%\n"
        " - aten.addmm    92.160K     52.94%\n"
        " - aten.mm       81.920K     47.06%\n"
        " Sequential      92.160K     52.94%\n"
        "  - aten.addmm   92.160K     52.94%\n"
    )
    with FlopCounterMode(display=False) as counter:
        pass
    assert counter.get_table().splitlines()[-1].split() == ["Global", "0", "0%"]


def test_formulas_of_others() -> None:
    aten = retrograd.ops.aten

    def formula(x: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        assert x == out_shape
        return 7 * x[0]

    with FlopCounterMode(display=False, custom_mapping={aten.exp: formula}) as counter:
        retrograd.ones(3).exp()
    assert counter.get_flop_counts() == {"Global": {aten.exp: 21}}
    register_flop_formula(aten.sin, get_raw=True)(lambda x, out_val: int(x.sum().item()))
    try:
        with FlopCounterMode(display=False) as counter:
            retrograd.full((4,), 2.0).sin()
        assert counter.get_total_flops() == 8
        with pytest.raises(RuntimeError, match=r"duplicate registrations for aten\.sin"):
            register_flop_formula(aten.sin)(formula)
    finally:
        del flop_registry[aten.sin]
    with pytest.raises(ValueError, match="expected each target to be OpOverloadPacket"):
        register_flop_formula([len])(formula)
    with pytest.warns(UserWarning, match="mods argument is not needed anymore"):
        FlopCounterMode(retrograd.nn.ReLU())


def test_samples_and_fused_operators_count() -> None:
    a, b = retrograd.ones(5, 2, 3), retrograd.ones(3, 4)
    with FlopCounterMode(display=False) as counter:
        retrograd.func.vmap(lambda x: x @ b)(a)
    assert counter.get_total_flops() == 5 * 2 * 2 * 3 * 4
    q = retrograd.ones(2, 3, 6, 8, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        retrograd.nn.functional.scaled_dot_product_attention(q, q, q).sum().backward()
    assert counter.get_total_flops() == 6 * (2 * 2 * 3 * 6 * 6 * 8)
    lstm = retrograd.nn.LSTM(4, 6)
    with FlopCounterMode(display=False) as counter:
        lstm(retrograd.ones(5, 3, 4))
    assert counter.get_total_flops() == 2 * 5 * 3 * (4 + 6) * 24


def test_it_costs_nothing_on_meta() -> None:
    with retrograd.device("meta"):
        layer, x = retrograd.nn.Linear(2**16, 2**16), retrograd.ones(2**12, 2**16)
    with FlopCounterMode(display=False) as counter:
        layer(x).sum().backward()
    assert counter.get_total_flops() == 2 * 2 * 2 ** (12 + 32)


def test_the_tracker_tells_what_runs() -> None:
    assert_same(
        """
        ModuleTracker = import_module(torch.__name__ + ".utils.module_tracker").ModuleTracker
        class Telling(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                print("forward", sorted(tracker.parents), tracker.is_bw)
                return x * 2
            @staticmethod
            def backward(ctx, g):
                print("backward", sorted(tracker.parents), tracker.is_bw)
                return g * 2
        class Part(nn.Module):
            def forward(self, x):
                return Telling.apply(x)
        class Whole(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.second = Part(), nn.ModuleList([Part()])
            def forward(self, x):
                return self.second[0](self.first(x))
        x = torch.ones(2, requires_grad=True)
        whole = Whole()
        with ModuleTracker() as tracker:
            for _ in range(2):
                whole(x * 1).sum().backward()
                print(sorted(tracker.parents))
        print(sorted(tracker.parents))
        """,
        COUNTING,
    )
    with ModuleTracker() as tracker:
        assert tracker.parents == {"Global"}
