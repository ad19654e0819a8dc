"""Draws the pictures of docs/images: `python docs/draw.py`. tests/test_docs.py checks that they are current."""

from __future__ import annotations

from pathlib import Path

import retrograd
from retrograd.utils import viz

IMAGES = Path(__file__).parent / "images"


def pictures() -> dict[str, str]:
    """The SVG of each picture, by the name of its file."""
    x, y = retrograd.ones(5), retrograd.zeros(3)
    w, b = retrograd.ones(5, 3, requires_grad=True), retrograd.ones(3, requires_grad=True)
    z = retrograd.matmul(x, w) + b
    loss = retrograd.nn.functional.binary_cross_entropy_with_logits(z, y)
    leaf = retrograd.ones(2, 2, requires_grad=True)
    base = leaf * 1
    top, column = base[0], base[:, 1]
    top.mul_(10)
    return {
        "tutorial-graph.svg": viz.graph(loss, {"w": w, "b": b}, show_saved=False).svg(),
        "tutorial-backward.svg": viz.graph(loss, {"w": w, "b": b}).svg(),
        "view-write.svg": viz.graph([base, column], {"leaf": leaf}, show_saved=False).svg(),
    }


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for name, svg in pictures().items():
        (IMAGES / name).write_text(svg, encoding="utf-8")
