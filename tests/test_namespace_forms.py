"""Functions of layers in the forms that PyTorch's own namespace has, beside PyTorch's."""

from __future__ import annotations

from programs import assert_same

NUMBERS = """
def numbers(*shape, grad=True):
    x = torch.sin(torch.arange(float(math.prod(shape)), dtype=torch.float64)).reshape(shape)
    return x.requires_grad_(grad)

def show(function, *args, **options):
    made = function(*args, **options)
    made = made if isinstance(made, (tuple, list)) else (made,)
    print([each.detach() for each in made])
    given = [each for each in args if isinstance(each, torch.Tensor) and each.requires_grad]
    for each in args:
        given += [one for one in each if isinstance(one, torch.Tensor)] if isinstance(each, (list, tuple)) else []
    (made[0] ** 3).sum().backward()
    print([each.grad for each in given])
    for each in given:
        each.grad = None
"""


def test_losses_take_reductions_as_numbers() -> None:
    program = """
    sign = torch.tensor([1.0, -1.0])
    for reduction in 0, 1, 2:
        show(torch.kl_div, numbers(2, 3), numbers(2, 3, grad=False).abs(), reduction)
        show(torch.kl_div, numbers(2, 3), numbers(2, 3, grad=False), reduction, log_target=True)
        show(torch.binary_cross_entropy_with_logits, numbers(4), numbers(4, grad=False).abs(), None, None, reduction)
        show(torch.cosine_embedding_loss, numbers(2, 3), numbers(2, 3), sign, 0.1, reduction)
        show(torch.hinge_embedding_loss, numbers(2), sign, 1.0, reduction)
        show(torch.margin_ranking_loss, numbers(2), numbers(2), sign, 0.5, reduction)
        show(torch.poisson_nll_loss, numbers(3), torch.ones(3), True, False, 1e-8, reduction)
        show(torch.triplet_margin_loss, numbers(2, 3), numbers(2, 3), numbers(2, 3), 1.0, 2.0, 1e-6, False, reduction)
        probabilities = numbers(5, 1, 3).log_softmax(-1).detach().requires_grad_()
        show(torch.ctc_loss, probabilities, torch.tensor([[1, 2]]), [5], [2], 0, reduction)
    show(torch.kl_div, numbers(2, 3), numbers(2, 3, grad=False).abs())
    show(torch.binary_cross_entropy_with_logits, numbers(4), numbers(4, grad=False).abs())
    show(torch.cosine_embedding_loss, numbers(2, 3), numbers(2, 3), sign)
    show(torch.hinge_embedding_loss, numbers(2), sign)
    show(torch.margin_ranking_loss, numbers(2), numbers(2), sign)
    show(torch.triplet_margin_loss, numbers(2, 3), numbers(2, 3), numbers(2, 3))
    show(torch.ctc_loss, probabilities, torch.tensor([[1, 2]]), [5], [2])
    """
    assert_same(program, NUMBERS)


def test_embeddings_and_normalization() -> None:
    program = """
    places = torch.tensor([0, 2, 1, 2])
    show(torch.embedding, numbers(3, 2), places)
    show(torch.embedding, numbers(3, 2), places, 2)
    for mode in 0, 1, 2:
        print(torch.embedding_bag(numbers(3, 2), places, torch.tensor([0, 1]), mode=mode)[0].detach())
    mean, variance = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    show(torch.batch_norm, numbers(4, 3), numbers(3), numbers(3), mean, variance, True, 0.1, 1e-5, False)
    show(torch.batch_norm, numbers(4, 3), numbers(3), numbers(3), mean, variance, False, 0.1, 1e-5, False)
    show(torch.native_batch_norm, numbers(4, 3), numbers(3), numbers(3), mean, variance, True, 0.1, 1e-5)
    show(torch.native_batch_norm, numbers(4, 3), numbers(3), numbers(3), mean, variance, False, 0.1, 1e-5)
    show(torch.instance_norm, numbers(2, 3, 4), numbers(3), numbers(3), None, None, True, 0.1, 1e-5, False)
    show(torch.native_layer_norm, numbers(2, 3), [3], numbers(3), numbers(3), 1e-5)
    show(torch.native_group_norm, numbers(2, 4, 3), numbers(4), numbers(4), 2, 4, 3, 2, 1e-5)
    for dim in -1, 0, 1:
        show(torch.norm_except_dim, numbers(2, 3), 2, dim)
    print(mean, variance)
    """
    assert_same(program, NUMBERS)


def test_layers_and_dropout() -> None:
    program = """
    show(torch.constant_pad_nd, numbers(2, 2), (1, 0), 3.0)
    show(torch.convolution, numbers(1, 2, 4), numbers(3, 2, 2), numbers(3), [1], [1], [1], False, [0], 1)
    show(torch.convolution, numbers(1, 2, 4), numbers(2, 3, 2), None, [2], [0], [1], True, [1], 1)
    show(torch.max_pool1d_with_indices, numbers(1, 2, 4), 2)
    print(torch.native_channel_shuffle(numbers(1, 4, 2, grad=False), 2))
    for train in False, True:
        show(torch.native_dropout, numbers(3), 0.0, train)
    x = numbers(2, 3, 2, grad=False)
    print(torch.feature_dropout(x, 1.0, True), torch.dropout_(x.clone(), 1.0, True), torch.dropout_(x, 0.5, False) is x)
    print(torch.feature_dropout_(x, 0.5, False) is x, torch.alpha_dropout_(x, 0.5, False) is x)
    print(torch.feature_alpha_dropout_(x, 0.5, False) is x)
    y, kept = torch.native_dropout(torch.ones(100), 0.25, True)
    print(kept.dtype, torch.equal(y, kept / 0.75))
    """
    assert_same(program, NUMBERS)


def test_recurrent_cells_and_layers() -> None:
    program = """
    for cell, gates in (torch.gru_cell, 3), (torch.rnn_tanh_cell, 1), (torch.rnn_relu_cell, 1):
        show(cell, numbers(2, 3), numbers(2, 2), numbers(2 * gates, 3), numbers(2 * gates, 2), numbers(2 * gates))
    start = numbers(2, 2), numbers(2, 2)
    show(torch.lstm_cell, numbers(2, 3), start, numbers(8, 3), numbers(8, 2), numbers(8), numbers(8))

    def weights(gates, layers, directions, biases):
        every = []
        for layer in range(layers):
            for _ in range(directions):
                every += [numbers(2 * gates, 3 if layer == 0 else 2 * directions), numbers(2 * gates, 2)]
                every += [numbers(2 * gates), numbers(2 * gates)] if biases else []
        return every

    for layers, both, biases in (1, False, True), (2, True, False):
        start = numbers(layers * (1 + both), 2, 2)
        rest = biases, layers, 0.0, True, both
        for layer, gates in (torch.gru, 3), (torch.rnn_tanh, 1), (torch.rnn_relu, 1):
            show(layer, numbers(3, 2, 3), start, weights(gates, layers, 1 + both, biases), *rest, False)
        show(torch.lstm, numbers(2, 3, 3), (start, start), weights(4, layers, 1 + both, biases), *rest, True)
        sizes = torch.tensor([2, 2, 1])
        show(torch.gru, numbers(5, 3), sizes, start, weights(3, layers, 1 + both, biases), *rest)
        show(torch.lstm, numbers(5, 3), sizes, [start, start], weights(4, layers, 1 + both, biases), *rest)
    """
    assert_same(program, NUMBERS)


def test_copies_of_views_and_factories() -> None:
    program = """
    for name, args in {
        "alias": (), "as_strided": ((2,), (3,)), "detach": (), "diagonal": (), "expand": ((2, 2, 3),),
        "permute": ((1, 0),), "select": (1, 0), "slice": (1, 0, None, 2), "split": (1,),
        "split_with_sizes": ([1, 1],), "squeeze": (), "t": (), "transpose": (0, 1), "unbind": (), "unfold": (1, 2, 1),
        "unsqueeze": (0,), "view": ((3, 2),),
    }.items():
        x = numbers(2, 3)
        y = getattr(torch, name + "_copy")(x, *args)
        parts = y if isinstance(y, (tuple, list)) else [y]
        print(name, [each.detach() for each in parts], [each._is_view() for each in parts], parts[0].requires_grad)
    print(torch.view_as_real_copy(torch.tensor([1 + 2j])), torch.view_as_complex_copy(torch.tensor([[1.0, 2.0]])))
    print(torch.range(1, 4), torch.range(0, 1, 0.3), torch.range(5, 1, -2, dtype=torch.int64))
    attempt(torch.range, 1, 2, 0)
    attempt(torch.range, 1, 2, -1)
    print(torch.empty_permuted((2, 3, 5), (2, 0, 1)).stride(), torch.empty_permuted((2, 3), (1, 0)).shape)
    for order in (0,), (0, 2), (0, 0):
        attempt(torch.empty_permuted, (2, 3), order)
    """
    assert_same(program, NUMBERS)
