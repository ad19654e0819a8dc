"""The softmax in clusters, beside PyTorch's: values, gradients, which parts get one, and what is refused."""

from __future__ import annotations

from programs import assert_same

GIVEN = """
def made(*args, **kwargs):
    layer = nn.AdaptiveLogSoftmaxWithLoss(*args, **kwargs)
    with torch.no_grad():
        for k, each in enumerate(layer.parameters()):
            each.copy_((torch.arange(float(each.numel())) * 0.37 + k).sin().reshape(each.shape))
    return layer

x = torch.arange(32.0).square().cos().reshape(4, 8)
"""


def test_values_and_gradients(backend: str) -> None:
    assert_same(
        """
        for bias in False, True:
            layer = made(8, 20, [4, 10], div_value=2.0, head_bias=bias)
            print(layer, sorted(layer.state_dict()), layer.cutoffs, layer.shortlist_size, layer.head_size)
            for target in [0, 3, 5, 19], [1, 1, 2, 3], [5, 19, 11, 4], [6, 6, 7, 4]:
                layer.zero_grad()
                given = x.clone().requires_grad_()
                result = layer(given, torch.tensor(target))
                result.loss.backward()
                print(result, given.grad)
                print({name: None if p.grad is None else p.grad.square().sum() for name, p in layer.named_parameters()})
        """,
        GIVEN,
    )


def test_single_rows_and_all_classes(backend: str) -> None:
    assert_same(
        """
        layer = made(8, 20, [4, 10])
        for target in 0, 7, 19:
            print(layer(x[0], torch.tensor(target)), layer(x[:1], torch.tensor([target])))
        full = layer.log_prob(x)
        print(full, full.exp().sum(1))
        for scale in 1.0, 10.0:
            with torch.no_grad():
                layer.head.weight[4:] *= scale
            print(layer.predict(x), layer.predict(-x), layer.predict(x[:0]), layer.predict(x[1:2]))
        """,
        GIVEN,
    )


def test_refuses_what_pytorch_refuses() -> None:
    assert_same(
        """
        kind = nn.AdaptiveLogSoftmaxWithLoss
        for cutoffs in [], [4, 4], [5, 4], [0, 3], [20], [21], [4.5], [-1], (3, 19):
            attempt(kind, 8, 20, cutoffs)
        layer = made(8, 20, [4, 10])
        for shape in (3,), (), (4, 1):
            attempt(layer, x, torch.zeros(shape, dtype=torch.long))
        attempt(layer, x[0], torch.zeros(8, dtype=torch.long))
        for target in [0, 1, 20, 3], [-1, 0, 0, 0]:
            attempt(layer, x, torch.tensor(target))
        before = layer.tail[1][0].weight.detach().clone()
        layer.reset_parameters()
        print(torch.equal(before, layer.tail[1][0].weight))
        print(kind(8, 20, [4], dtype=torch.float64).tail[0][1].weight.dtype, kind(8, 20, [4]).tail[0][0].out_features)
        """,
        GIVEN,
    )
