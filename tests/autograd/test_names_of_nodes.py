"""Functions that are made of operators, and operators in place, have the nodes that PyTorch has for them."""

from __future__ import annotations

from typing import Any

import pytest
from programs import assert_same

import retrograd

GIVEN = """
def shown(name, result):
    results = result if isinstance(result, (tuple, list)) else (result,)
    for each in results:
        node = each.grad_fn
        behind = None if node is None else [other and other.name() for other, _ in node.next_functions]
        print(name, node and node.name(), behind, each.output_nr, each._is_view(), each.requires_grad)
def leaf(*shape):
    numbers = torch.arange(1.0, 1 + math.prod(shape), dtype=torch.float64)
    return (numbers * 0.7).sin().reshape(shape).requires_grad_()
def calls(text):
    for line in text.split(";"):
        shown(line.strip(), eval(line.strip(), globals(), {"x": x, "y": y, "square": square, "L": L, "image": image}))
x, y, square, image = leaf(3, 2), leaf(4, 2), leaf(3, 3), leaf(1, 4, 2, 2)
L = torch.linalg
"""

PROGRAMS = {
    "products of stacks": """
        def below(node):
            return None if node is None else (node.name(), [below(each) for each, _ in node.next_functions])

        shapes = {"A": (2, 3, 4), "B": (2, 4, 5), "C": (2, 2, 3, 4), "D": (2, 2, 4, 5), "E": (2, 1, 3, 4), "M": (3, 4)}
        shapes |= {"N": (4, 5), "v": (4,), "none": (0, 3, 4), "hollow": (2, 3, 0), "flat": (2, 0, 5)}
        for pair in "A B; C D; E D; A D; A N; M B; v B; A v; v D; M D; none N; hollow flat; A v; C N; C v".split(";"):
            a, b = (leaf(*shapes[each]) for each in pair.split())
            for left, right in ((a, b), (a.detach(), b), (a, b.detach()), (a * 1, b * 1)):
                made = left @ right
                print(pair, below(made.grad_fn), made.shape)
                weights = torch.arange(float(made.numel()), dtype=made.dtype).reshape(made.shape)
                print([each.sum() for each in torch.autograd.grad((made * weights).sum(), (a, b), allow_unused=True)
                       if each is not None])
            if a.ndim > 2:
                turned = a.mT.contiguous().mT
                print(pair, below((turned @ b).grad_fn), below((turned @ b.detach()).grad_fn))
            if b.ndim > 2:
                turned = b.transpose(0, 1).contiguous().transpose(0, 1)
                print(pair, below((a @ turned).grad_fn), below((a.detach() @ turned).grad_fn))
    """,
    "distances": """
        calls("torch.cdist(x, y); torch.cdist(x, y.detach(), 1.0); torch.cdist(x.detach(), y, 0.0); F.pdist(x, 3.0);"
              "torch.dist(x, x * 2, 3); torch.renorm(x, 2, 0, 0.5)")
        print(F.pairwise_distance(x, x * 2).grad_fn.name())
    """,
    "linear algebra": """
        calls("L.lu(square); L.lu(x); torch.lu_unpack(square, torch.tensor([1, 2, 3], dtype=torch.int32));"
              "L.lstsq(y, leaf(4, 1)).solution; L.lstsq(y, leaf(4, 1)).residuals;"
              "L.lstsq(y, leaf(4, 1), driver='gels').residuals;"
              "L.lstsq(leaf(2, 4, 2), leaf(2, 4)).solution; L.solve(square, leaf(3));"
              " L.solve(square, leaf(2, 3), left=False); L.solve(square, leaf(2, 3, 1));"
              "L.lu_solve(square, torch.tensor([1, 2, 3], dtype=torch.int32), leaf(3, 1));"
              "L.cholesky(square @ square.mT + torch.eye(3), upper=True);"
              "torch.cholesky(square @ square.mT + torch.eye(3), upper=True);"
              "L.solve_triangular(square, leaf(2, 3), upper=True, left=False)")
    """,
    "layers": """
        at = torch.tensor([[0, 2], [1, 1]])
        best, where = F.max_pool2d(image, 2, return_indices=True)
        shown("bags", F.embedding_bag(at, square, mode="sum"))
        shown("bags", F.embedding_bag(at, square, mode="sum", per_sample_weights=leaf(2, 2)))
        shown("unpool", F.max_unpool2d(best, where, 2))
        calls("F.pixel_shuffle(image, 2); F.pixel_unshuffle(image, 2); F.channel_shuffle(image, 2);"
              "F.rrelu(x, 0.1, 0.3); F.rrelu(x, 0.1, 0.3, training=True)")
        shown("margin", F.multilabel_margin_loss(x, torch.tensor([[0, -1], [1, -1], [1, 0]])))
        logits = leaf(5, 2, 3).log_softmax(-1)
        shown("ctc", F.ctc_loss(logits, torch.tensor([[1, 2], [2, 1]]), (5, 5), (2, 2), reduction="none"))
    """,
    "pieces": """
        mask = torch.tensor([[True, False], [False, True], [True, True]])
        shown("scatter", x.masked_scatter(mask, y))
        calls("torch.frexp(x).mantissa; torch.view_copy(x, (6,)); torch.expand_copy(x, (2, 3, 2)); torch.t_copy(x);"
              "torch.unbind_copy(x); torch.squeeze_copy(x, 0); torch.narrow_copy(x, 0, 1, 2); torch.alias_copy(x)")
        one, at = torch.tensor(2.0, dtype=torch.float64, requires_grad=True), torch.tensor(0)
        shown("add", torch.index_add(one, 0, at, one * 2)); shown("copy", torch.index_copy(one, 0, at, one * 2))
    """,
    "in place": """
        mask = torch.tensor([[True, False], [False, True], [True, True]])
        for name, write in {
            "elu": F.elu_, "selu": F.selu_, "celu": F.celu_, "leaky": F.leaky_relu_, "relu": F.relu_,
            "threshold": lambda h: F.threshold_(h, 0.1, 0.2), "hardtanh": F.hardtanh_, "rrelu": F.rrelu_,
            "drawn": lambda h: F.rrelu_(h, training=True), "acosh": lambda h: h.add_(3).acosh_(),
            "asinh": lambda h: h.asinh_(), "atanh": lambda h: h.atanh_(), "sigmoid": lambda h: h.sigmoid_(),
            "renorm": lambda h: h.renorm_(2, 0, 0.5), "scatter": lambda h: h.masked_scatter_(mask, y),
            "addbmm": lambda h: h.addbmm_(leaf(2, 3, 1), leaf(2, 1, 2)), "mvlgamma": lambda h: h.add_(3).mvlgamma_(1),
        }.items():
            h = x * 1
            result = write(h)
            shown(name, result)
            print(result is h, h._version)
            view = x * 1
            write(view[:])
            shown(name, view)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name], GIVEN)


def test_gradients_through_activations_in_place() -> None:
    assert_same(
        """
        for write in (
            lambda h: F.elu_(h, 1.5), F.selu_, lambda h: F.celu_(h, 0.7), lambda h: F.leaky_relu_(h, 0.1),
            lambda h: F.threshold_(h, -1.5, 5.0), lambda h: F.rrelu_(h, 0.1, 0.3),
            lambda h: F.elu_(h, -1.0), lambda h: F.leaky_relu_(h, -0.1), lambda h: F.celu_(h, -0.7),
        ):
            x = torch.tensor([-2.0, -1.0, 0.5, 3.0], requires_grad=True)
            def derivatives():
                y = write(x * 1)
                (first,) = torch.autograd.grad((y * y).sum(), x, create_graph=True)
                return y.detach(), first.detach(), torch.autograd.grad(first.sum(), x)
            attempt(derivatives)
        """
    )


def test_a_group_is_freed_retained_and_checked_as_one_node(backend: str) -> None:
    assert_same(
        """
        x = torch.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
        y = torch.tensor([[0.5, 1.0]], requires_grad=True)
        d = torch.cdist(x, y, 3.0)
        print(d.grad_fn._saved_p, d.grad_fn._saved_x1 is x, d.grad_fn._saved_result.shape)
        d.sum().backward(retain_graph=True); d.sum().backward()
        print(x.grad, y.grad)
        attempt(d.sum().backward); attempt(lambda: d.grad_fn._saved_x1)
        h = x * 1
        d = torch.cdist(h, y, 3.0)
        h.add_(1)
        attempt(d.sum().backward)
        with torch.no_grad():
            print(torch.cdist(x, y, 3.0).grad_fn)
        print(torch.func.vmap(torch.func.grad(lambda a: torch.cdist(a, y.detach(), 3.0).sum()))(x.detach()[None]))
        """
    )


def test_derivatives_of_all_kinds_go_through_a_group() -> None:
    x = retrograd.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=retrograd.float64, requires_grad=True)
    y = retrograd.tensor([[0.5, 1.0]], dtype=retrograd.float64, requires_grad=True)

    def distances(a: Any, b: Any) -> Any:
        return retrograd.cdist(a, b, 3.0)

    both = {"check_forward_ad": True, "check_batched_grad": True, "check_undefined_grad": True}
    assert retrograd.autograd.gradcheck(distances, (x, y), **both)
    assert retrograd.autograd.gradgradcheck(distances, (x, y))
    with pytest.warns(UserWarning, match="Anomaly Detection"), retrograd.autograd.detect_anomaly(check_nan=False):
        assert distances(x, y).grad_fn.metadata["traceback_"]
