"""Pictures of a graph: what is in them, and that their boxes do not overlap."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

import retrograd
from retrograd import nn
from retrograd.autograd.graph import saved_tensors_hooks
from retrograd.utils import viz

SVG = "{http://www.w3.org/2000/svg}"


def labels(dot: str) -> dict[str, str]:
    return dict(re.findall(r'(n\d+) \[label="(.*?)"', dot))


def edges(dot: str) -> set[tuple[str, str]]:
    """The edges, each end by its whole label."""
    names = labels(dot)
    return {(names[a], names[b]) for a, b in re.findall(r"(n\d+) -> (n\d+)", dot)}


def test_nodes_leaves_shapes_and_saved_tensors(backend: str) -> None:
    a, b = retrograd.ones(2, 3, requires_grad=True), retrograd.ones(3, requires_grad=True)
    dot = viz.graph((a * b).sum(), {"a": a, "b": b}).dot
    mul = r"MulBackward0\nsaved other (3)\nsaved self (2, 3)"
    assert edges(dot) == {
        (r"a\n(2, 3)", mul),
        (r"b\n(3)", mul),
        (mul, "SumBackward0"),
        ("SumBackward0", "()"),
    }


def test_names_come_from_a_module_or_from_pairs() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    y = model(retrograd.ones(1, 2))
    for params in (model, dict(model.named_parameters()), model.named_parameters()):
        assert {r"0.weight\n(3, 2)", r"0.bias\n(3)"} <= set(labels(viz.graph(y, params).dot).values())
    assert r"leaf\n(3)" in labels(viz.graph(y).dot).values()


def test_views_and_writes_to_them() -> None:
    x = retrograd.ones(2, 3, requires_grad=True)
    y = x * 1
    y[0].mul_(y[1].exp())
    dot = viz.graph(y.view(6)).dot
    assert r"CopySlices\nwrites by MulBackward0" in labels(dot).values()
    assert re.search(r'label="ViewBackward0".*dashed', dot)
    assert re.search(r'label="SelectBackward0".*dashed', dot)
    assert re.search(r'label="UnbindBackward0".*dashed', viz.graph((x * 1).unbind()).dot)


def test_a_node_is_drawn_once_and_every_root_is_drawn() -> None:
    x = retrograd.ones(2, requires_grad=True)
    y = x * x
    assert sorted(labels(viz.graph([y + y, y]).dot).values(), key=len)[:2] == ["(2)", "(2)"]
    assert viz.graph([y + y, y]).dot.count("MulBackward0") == 1


def test_what_is_packed_freed_or_not_wanted() -> None:
    x = retrograd.ones(2, requires_grad=True)
    with saved_tensors_hooks(lambda t: None, lambda packed: pytest.fail("a picture must not unpack")):
        y = x.exp()
    assert r"ExpBackward0\nsaved result (packed)" in labels(viz.graph(y).dot).values()
    y = x.exp()
    y.sum().backward()
    assert r"ExpBackward0\nsaved: freed" in labels(viz.graph(y).dot).values()
    assert set(labels(viz.graph(y, show_saved=False, show_shapes=False).dot).values()) == {
        "ExpBackward0",
        "leaf",
        "output",
    }


class _Scaled(retrograd.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, factor: Any) -> Any:
        ctx.save_for_backward(None, x, factor)
        return x * factor

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        _, _, factor = ctx.saved_tensors
        return grad * factor, None


def test_what_a_custom_function_saves() -> None:
    x = retrograd.ones(2, requires_grad=True)
    y = _Scaled.apply(x, retrograd.ones(3, 1))
    assert r"_ScaledBackward\nsaved 1 (2)\nsaved 2 (3, 1)" in labels(viz.graph(y).dot).values()
    with saved_tensors_hooks(lambda t: None, lambda packed: pytest.fail("a picture must not unpack")):
        y = _Scaled.apply(x, retrograd.ones(3, 1))
    assert r"_ScaledBackward\nsaved 1 (packed)\nsaved 2 (packed)" in labels(viz.graph(y).dot).values()
    y = _Scaled.apply(x, x)
    y.sum().backward()
    assert r"_ScaledBackward\nsaved: freed" in labels(viz.graph(y).dot).values()


def test_hooks_are_counted() -> None:
    x = retrograd.ones(2, requires_grad=True)
    y = x * 2
    for _ in range(2):
        y.register_hook(print)
    y.grad_fn.register_prehook(print)
    y.grad_fn.register_hook(print)
    x.register_hook(print)
    x.register_post_accumulate_grad_hook(print)
    z = y.exp()
    z.register_hook(print).remove()
    leaf = r"x\n(2)\n1 hook on the gradient\n1 hook after .grad is written"
    node = r"MulBackward0\n2 hooks on the gradient\n1 hook before the node\n1 hook after the node"
    assert edges(viz.graph(z, {"x": x}, show_saved=False).dot) == {
        (leaf, node), (node, "ExpBackward0"), ("ExpBackward0", "(2)"),
    }  # fmt: skip


def test_a_picture_is_limited_and_does_not_recurse() -> None:
    y = retrograd.ones(1, requires_grad=True)
    for _ in range(20_000):
        y = y + 1
    assert len(labels(viz.graph(y, max_nodes=10).dot)) == 12
    assert "more than 10 nodes" in viz.graph(y, max_nodes=10).dot
    assert len(labels(viz.graph(y, max_nodes=100_000).dot)) == 20_002
    assert viz.graph(y, max_nodes=5000).svg().count("<rect") == 5002


def test_the_svg_is_well_formed_and_no_boxes_overlap() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    h = model(retrograd.ones(5, 4))
    picture = viz.graph(
        nn.functional.cross_entropy(h, retrograd.zeros(5, dtype=retrograd.int64)) + (h * h).sum(), model
    )
    root = ElementTree.fromstring(picture.svg())
    boxes = [tuple(float(each.get(k)) for k in ("x", "y", "width", "height")) for each in root.iter(f"{SVG}rect")]
    assert len(boxes) == len(labels(picture.dot))
    for i, (x, y, w, h_) in enumerate(boxes):
        assert x >= 0
        assert x + w <= float(root.get("width"))
        assert y + h_ <= float(root.get("height"))
        for x1, y1, w1, h1 in boxes[:i]:
            assert x + w <= x1 or x1 + w1 <= x or y + h_ <= y1 or y1 + h1 <= y
    # Every arrow points down: from a row to a later one.
    paths = [each.get("d") for each in root.iter(f"{SVG}path") if each.get("fill") == "none"]
    assert len(paths) == picture.dot.count("->")
    for path in paths:
        numbers = [float(each) for each in re.findall(r"-?[\d.]+", path)]
        assert numbers[1] < numbers[-1]


def test_an_edge_goes_round_the_boxes_between_its_ends() -> None:
    x = retrograd.ones(2, requires_grad=True)
    y = x.exp()
    root = ElementTree.fromstring(viz.graph(y.sin().cos() * y + x, {"x": x}).svg())
    boxes = [[float(each.get(k)) for k in ("x", "y", "width", "height")] for each in root.iter(f"{SVG}rect")]
    paths = [each.get("d") for each in root.iter(f"{SVG}path") if each.get("fill") == "none"]
    passes = [(float(x), float(y)) for path in paths for x, y in re.findall(r"L([\d.]+) ([\d.]+)", path)]
    assert len(passes) == 2 + 4  # from y past the sine and cosine, from x past all that is made of it
    for left, top, width, height in boxes:
        assert not [1 for x, y in passes if left <= x <= left + width and top <= y <= top + height]


def test_text_is_escaped() -> None:
    x = retrograd.ones(1, requires_grad=True)
    picture = viz.graph(x * 2, {'<a> & "b"': x})
    ElementTree.fromstring(picture.svg())
    assert r"<a> & \"b\"" in picture.dot


@pytest.mark.parametrize("suffix", [".svg", ".dot", ".gv"])
def test_saving(tmp_path: Path, suffix: str) -> None:
    picture: Any = viz.graph(retrograd.ones(1, requires_grad=True) * 2)
    picture.save(tmp_path / f"graph{suffix}")
    written = (tmp_path / f"graph{suffix}").read_text(encoding="utf-8")
    assert written == (picture._repr_svg_() if suffix == ".svg" else picture.dot)


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no graph"):
        viz.graph(retrograd.ones(1))
    picture = viz.graph(retrograd.ones(1, requires_grad=True) * 2)
    with pytest.raises(ValueError, match=r"cannot write \.png"):
        picture.save(tmp_path / "graph.png")
