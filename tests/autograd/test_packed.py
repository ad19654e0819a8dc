"""What `saved_tensors_hooks` see: which tensors an operator's node saves, in which order; and that theirs are used."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
from retrograd.autograd.graph import save_on_cpu, saved_tensors_hooks

_GIVEN = """
    F = torch.nn.functional
    places = torch.arange(12.0, dtype=torch.float64).reshape(3, 4)
    x, y = (places.sin() / 2 - places / 90).requires_grad_(), (places.cos() + 1.5).requires_grad_()
    v, w = (torch.arange(n).double().add(start).requires_grad_() for n, start in ((2, 5), (4, 1)))
    i, n, m = torch.tensor([2, 0]), torch.tensor([-1, 0]), x.detach() > 0.1
    given = {"x": x, "y": y, "v": v, "w": w, "i": i, "n": n, "m": m}
    log = []

    def pack(t):
        known = [name for name, each in given.items() if each is t]
        log.append((list(t.shape), t.dtype, known, None if t.grad_fn is None else t.grad_fn.name()))
        return t.detach().clone()

    def unpack(t):
        log.append("unpacked")
        return t

    def rounded(t):
        return None if t is None else (t.detach() * 1e5).round().long().tolist()

    def written(target, key, value):
        made = target * 1
        made[key] = value
        return made
"""
"""Constants are kept by copies, so that what happens to them afterwards does not matter."""

INDICES = (
    "x[i]", "x[n]", "x[:, i]", "x[i, None, n]", "x[i, i]", "x[m]", "x[m[:, 0]]", "x[[0, 2]]", "x[True]", "x[i.int()]",
    "x[i][:, n]", "(x * 1j)[i].abs()", "written(x, i, y[:2])", "written(x, n, 3.0)", "written(x, m, 2.0)",
    "written((x * 1)[:, :2], i, y[:2, :2])", "written(x, (slice(None), i), y[0, :2])",
    "written((x * 1)[1:], i - 1, v[0])", "x.index_put((i, i), v, accumulate=True)", "x.index_put((m,), v[0])",
    "x.index_fill(1, n, 3.0)", "x.index_fill(1, i, v[0])", "x.index_copy(0, i, y[1:])", "x.index_add(0, i, y[1:])",
    "x.take(n)", "x.put(n, v)", "x.put(i, v, accumulate=True)", "x.masked_select(m)", "x.masked_select(m[:, :1])",
    "x.clone().index_fill_(0, i, 1.0)", "x.clone().index_copy_(0, i, y[1:])", "x.gather(0, i[None])",
)  # fmt: skip


def _packed_and_used(expression: str) -> None:
    assert_same(
        f"""
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            made = {expression}
        for each in log:
            print(each)
        log.clear()
        for each in (i, n):
            each.zero_()
        m.logical_not_()
        weights = (torch.arange(made.numel()) + 1.0).reshape(made.shape)
        for grad in torch.autograd.grad((made * weights).sum(), (x, y, v, w), allow_unused=True, create_graph=True):
            print(rounded(grad))
        print(log.count("unpacked"))
        """,
        _GIVEN,
    )


@pytest.mark.parametrize("expression", INDICES)
def test_indices_are_packed_as_they_were_given(expression: str) -> None:
    _packed_and_used(expression)


FAMILIES = (
    "F.layer_norm(x, (4,))", "F.layer_norm(x, (4,), w)", "F.batch_norm(x, None, None, w, training=True)",
    "F.batch_norm(x[None], None, None, training=True)", "F.group_norm(x[None], 1)", "F.instance_norm(x[None])",
    "x.norm(3, 1)", "torch.dist(x, y)", "torch.cdist(x, y)", "F.pdist(x)", "F.pairwise_distance(x, y)",
    "torch.renorm(x, 2, 0, 1.0)", "F.triplet_margin_loss(x, y, x * 2)", "torch.linalg.pinv(x)",
    "x.masked_scatter(m, y)", "x * (y * 1j)", "(x * 1j) / y", "(x * 1j) ** y", "x * i[:1]", "x.tanh().erfinv()",
    "torch.mul(x.float(), y)", "F.kl_div(x, y.softmax(1))", "F.poisson_nll_loss(x, y)",
    "F.multilabel_margin_loss(x, torch.tensor([[0, 1, -1, 2], [3, -1, 0, 0], [1, 2, 3, 0]]))",
    "F.multi_margin_loss(x, i.repeat(2)[:3])",
)  # fmt: skip


@pytest.mark.parametrize("expression", FAMILIES)
def test_what_is_packed(expression: str) -> None:
    _packed_and_used(f"torch.view_as_real({expression})" if "1j" in expression else expression)


GROUPED = (
    "torch.dist(x, y, 3)",
    "torch.cdist(x, y)",
    "F.pdist(x)",
    "F.pairwise_distance(x, y)",
    "torch.linalg.pinv(x)",
)


@pytest.mark.parametrize("expression", GROUPED)
def test_one_saved_tensor_of_a_node_that_stands_for_several(expression: str) -> None:
    assert_same(
        f"""
        made = {expression}
        node = made.grad_fn
        names = [name for name in dir(node) if name.startswith("_raw_saved")]
        for name in names:
            getattr(node, name).register_hooks(lambda t: (t * 2).detach(), lambda t: t / 2)
            attempt(getattr(node, name).register_hooks, pack, unpack)
        print(names, [rounded(getattr(node, name[4:])) for name in names])
        grads = torch.autograd.grad(made.sum(), (x, y), allow_unused=True, create_graph=True)
        print([rounded(each) for each in grads])
        """,
        _GIVEN,
    )


def test_hooks_of_one_saved_tensor_are_two_functions() -> None:
    assert_same(
        """
        saved = x.exp().grad_fn._raw_saved_result
        for hooks in ((pack,), (1, 2), (pack, unpack, pack), (pack, None)):
            attempt(saved.register_hooks, *hooks)
        attempt(torch._C._autograd.SavedTensor)
        print(type(saved) is torch._C._autograd.SavedTensor)
        """,
        _GIVEN,
    )


def test_what_a_node_that_stands_for_several_keeps(backend: str) -> None:
    x = (retrograd.arange(6.0).reshape(3, 2) ** 2).requires_grad_()
    kept: list[retrograd.Tensor] = []

    def pack(tensor: retrograd.Tensor) -> int:
        kept.append(tensor.detach().clone())
        return len(kept) - 1

    expected = retrograd.autograd.grad(retrograd.cdist(x, x[:2], 1.0).sum(), x)[0]
    with saved_tensors_hooks(pack, lambda number: kept[number]):
        distances = retrograd.cdist(x, x[:2], 1.0)
    assert [list(each.shape) for each in kept][-3:] == [[3, 2], [2, 2], [3, 2]]
    with retrograd.no_grad():
        x.zero_()
    assert retrograd.autograd.grad(distances.sum(), x)[0].tolist() == expected.tolist()


def test_indices_on_every_backend(backend: str) -> None:
    x = retrograd.arange(6.0).reshape(2, 3).requires_grad_()
    i, m = retrograd.tensor([-1, 0]), x.detach() > 2
    with save_on_cpu():
        made = (x[:, i], x[m], x.index_fill(1, i, 7.0), x.take(i), x.masked_select(m))
    assert made[0].grad_fn._saved_indices[1].tolist() == [2, 0]
    sum((each * each).sum() for each in made).backward()
    assert x.grad.tolist() == [[0.0, 2.0, 4.0], [18.0, 24.0, 40.0]]


def test_a_hook_may_not_write_to_an_index() -> None:
    x, i = retrograd.ones(3, requires_grad=True), retrograd.tensor([0, 1])
    with (
        saved_tensors_hooks(lambda t: t.add_(1), lambda t: t),
        pytest.raises(RuntimeError, match="pack hook is modifying its input in place"),
    ):
        x[i]
