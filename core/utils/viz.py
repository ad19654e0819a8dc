"""Pictures of a graph: Graphviz's DOT, and an SVG that this module lays out itself.

    viz.graph(loss, params=model).save("graph.svg")

What is shown: a box per node with PyTorch's name, what it has saved, and its hooks; leaves and roots as
coloured boxes with their names and shapes; an edge per gradient, in the direction of the forward pass.
Views are drawn dashed, and a write to a view (`CopySlices`) shows the node of the write inside. Nothing
here recurses.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrograd.autograd.function import BackwardCFunction
from retrograd.autograd.node import AccumulateGrad, Extras, Freed, Node
from retrograd.autograd.rebase import CopySlices
from retrograd.autograd.stale import MultiViewPlan, ViewPlan
from retrograd.ops.plan import Packed
from retrograd.tensor import Tensor

__all__ = ["Graph", "graph"]


@dataclass(eq=False)
class _Box:
    """A box of the picture: its lines of text, what kind of thing it is, and the boxes its inputs come from."""

    lines: list[str]
    kind: str  # "op", "view", "write", "leaf", "more", or "way", which is not drawn
    sources: list[_Box] = field(default_factory=list)


def graph(
    root: Any, params: Any = None, *, show_saved: bool = True, show_shapes: bool = True, max_nodes: int = 1000
) -> Graph:
    """Draw the graph that leads to `root`.

    Parameters
    ----------
    root
        A tensor, or several.
    params
        Names for leaves: a dict from names to tensors, (name, tensor) pairs, or a module.
    show_saved
        Whether to list what each node has saved.
    show_shapes
        Whether to give the shapes of leaves, roots and saved tensors.
    max_nodes
        How many nodes to draw, the latest first; the rest is drawn as one box.

    Returns
    -------
    An object with the picture as `dot` (Graphviz) and `svg()`; notebooks show it, and `save(path)` writes it.

    Raises
    ------
    ValueError
        If no root has a graph.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.utils.viz import graph
    >>> w = retrograd.ones(3, requires_grad=True)
    >>> picture = graph((w * 2).sum(), {"w": w})
    >>> print(picture.dot.splitlines()[0])
    digraph {
    >>> [line.split("[")[0].strip() for line in picture.dot.splitlines() if "->" in line]
    ['n1 -> n0', 'n2 -> n1', 'n0 -> n3']
    """
    roots = [root] if isinstance(root, Tensor) else list(root)
    if all(each._edge is None for each in roots):
        raise ValueError("viz.graph: the tensor has no graph; it does not require a gradient")
    builder = _Builder(_names(params), show_saved, show_shapes, max_nodes)
    return Graph(builder.build(roots))


def _names(params: Any) -> dict[Node, str]:
    """The names of leaves, by their nodes."""
    if params is None:
        return {}
    if hasattr(params, "named_parameters"):
        pairs: Iterable[tuple[str, Any]] = params.named_parameters()
    else:
        pairs = params.items() if isinstance(params, Mapping) else params
    return {each._edge[0]: name for name, each in pairs if each._edge is not None}


class _Builder:
    def __init__(self, names: dict[Node, str], show_saved: bool, show_shapes: bool, max_nodes: int) -> None:
        self.names = names
        self.show_saved = show_saved
        self.show_shapes = show_shapes
        self.max_nodes = max_nodes

    def build(self, roots: list[Tensor]) -> list[_Box]:
        """The boxes, those of the roots' nodes first and those of the roots last."""
        edges = [each._edge for each in roots if each._edge is not None]
        nodes = self.reachable([edge[0] for edge in edges])
        boxes = {node: self.box(node) for node in nodes}
        more = _Box([f"more than {self.max_nodes} nodes"], "more")
        for node, box in boxes.items():
            for source, _ in node.next_functions:
                if source is not None:
                    box.sources.append(boxes.get(source, more))
        outputs = [
            _Box([self.shape_of(each) or "output"], "leaf", [boxes[each._edge[0]]])
            for each in roots
            if each._edge is not None
        ]
        cut = [more] if any(more in box.sources for box in boxes.values()) else []
        return [*boxes.values(), *cut, *outputs]

    def reachable(self, roots: list[Node]) -> list[Node]:
        """At most `max_nodes` nodes, breadth first."""
        found = list(dict.fromkeys(roots))
        seen = set(found)
        for node in found:
            for source, _ in node.next_functions:
                if source is not None and source not in seen and len(found) < self.max_nodes:
                    seen.add(source)
                    found.append(source)
        return found

    def shape_of(self, tensor: Any) -> str:
        return "(" + ", ".join(map(str, tensor.shape)) + ")" if self.show_shapes else ""

    def value(self, saved: Any) -> str:
        if isinstance(saved, (bool, int, float, complex)):
            return f"= {saved}"
        return "(packed)" if isinstance(saved, Packed) or not hasattr(saved, "shape") else self.shape_of(saved)

    def box(self, node: Node) -> _Box:
        if isinstance(node, AccumulateGrad):
            leaf = node.variable
            name = self.names.get(node) or (None if leaf._tensor_meta is None else leaf._tensor_meta.name) or "leaf"
            return _Box([line for line in (name, self.shape_of(leaf)) if line] + _hook_lines(node), "leaf")
        lines = [type(node).__name__]
        kind = "view" if isinstance(node._grad_plan, (ViewPlan, MultiViewPlan)) else "op"
        if isinstance(node, CopySlices):
            kind = "write"
            if type(node._holds) is not Freed:
                lines.append(f"writes by {type(node._holds[1]).__name__}")
        return _Box(lines + (self.saved_lines(node) if self.show_saved else []) + _hook_lines(node), kind)

    def saved_lines(self, node: Node) -> list[str]:
        """A line for each saved tensor, read from what the node holds, so that no hook is called."""
        if type(node._holds) is Freed:
            return ["saved: freed"]
        if isinstance(node, BackwardCFunction):  # what a custom Function saves has no names
            return [f"saved {i} {self.value(each[0])}" for i, each in enumerate(node._holds) if each is not None]
        plan, lines, position = node._grad_plan, [], 0
        for name, is_tensor in zip(getattr(plan, "names", ()), getattr(plan, "is_tensor", ()), strict=False):
            value = node._holds[position]
            if is_tensor and value is not None:
                lines.append(f"saved {name} {self.value(value)}".rstrip())
            position += 3 if is_tensor else 1
        return lines


def _hook_lines(node: Node) -> list[str]:
    """A line for each kind of hooks at a node, in the order in which they run."""
    extras = node._node_extras or Extras()
    before = [kind for kind, _, _ in (extras.pre_hooks or {}).values()]
    written = node.meta.post_accumulate_hooks if isinstance(node, AccumulateGrad) else None
    counts = {
        "on the gradient": before.count("tensor"),
        "before the node": before.count("node"),
        "after .grad is written": len(written or ()),
        "after the node": len(extras.post_hooks or ()),
    }
    return [f"{count} hook{'s' * (count > 1)} {place}" for place, count in counts.items() if count]


class Graph:
    """A drawn graph. See `graph`."""

    def __init__(self, boxes: list[_Box]) -> None:
        self._boxes = boxes

    @property
    def dot(self) -> str:
        """The graph in Graphviz's language."""
        number = {id(box): i for i, box in enumerate(self._boxes)}
        lines = ["digraph {", '  node [shape=box, style=filled, fontname="monospace", fontsize=10]']
        for i, box in enumerate(self._boxes):
            label = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in box.lines)
            dashed = ', style="filled,dashed"' if box.kind == "view" else ""
            lines.append(f'  n{i} [label="{label}", fillcolor="{_FILL[box.kind]}"{dashed}]')
        for i, box in enumerate(self._boxes):
            lines += [f"  n{number[id(each)]} -> n{i}" for each in box.sources]
        return "\n".join([*lines, "}"])

    def svg(self) -> str:
        """The graph as an SVG picture: rows from the leaves down to the roots."""
        return _Picture(self._boxes).svg()

    def _repr_svg_(self) -> str:
        return self.svg()

    def save(self, path: str | Path) -> None:
        """Write the picture: SVG, or DOT if the name ends in `.dot` or `.gv`."""
        path = Path(path)
        if path.suffix not in (".svg", ".dot", ".gv"):
            raise ValueError(f"viz: cannot write {path.suffix or 'a file without suffix'}; use .svg, .dot or .gv")
        path.write_text(self.svg() if path.suffix == ".svg" else self.dot, encoding="utf-8")


_FILL = {"op": "#eeeeee", "view": "#f7f7f7", "write": "#ffe0cc", "leaf": "#d4e6ff", "more": "#ffffff"}
_LINE, _CHARACTER, _PAD, _GAP, _ROW_GAP = 14, 6.7, 8, 20, 36
_LONGEST_WAY = 50  # rows; a longer edge is drawn behind the boxes, so that a picture of many rows stays cheap


class _Picture:
    """A layered layout: each box a row below its last source, boxes of a row ordered by where their sources are.

    An edge that passes a row has a place of its own in it, a box that is not drawn, so that no box hides the edge.
    """

    def __init__(self, boxes: list[_Box]) -> None:
        self.boxes = boxes
        rows = self._layered()
        self.ways = self._ways(rows)
        self.rows = self._ordered(rows)
        self.x: dict[int, float] = {}
        self.y: dict[int, float] = {}
        self.row_height: dict[int, int] = {}
        self.width = self.height = 0.0
        self._place()

    def _layered(self) -> list[list[_Box]]:
        """Rows by the longest way from a leaf; a box without sources stands right above its first user."""
        level = dict.fromkeys(map(id, self.boxes), 0)
        for box in _forward_order(self.boxes):
            level[id(box)] = 1 + max((level[id(each)] for each in box.sources), default=-1)
        users: dict[int, int] = {}
        for box in self.boxes:
            for each in box.sources:
                users[id(each)] = min(users.get(id(each), level[id(box)]), level[id(box)])
        for box in self.boxes:
            if not box.sources and id(box) in users:
                level[id(box)] = users[id(box)] - 1
        rows: list[list[_Box]] = [[] for _ in range(max(level.values()) + 1)]
        for box in self.boxes:
            rows[level[id(box)]].append(box)
        return [row for row in rows if row]

    def _ways(self, rows: list[list[_Box]]) -> dict[int, list[list[_Box]]]:
        """Each box's edges: a source, places in the rows between, which edges of a source share, and the box."""
        level = {id(box): i for i, row in enumerate(rows) for box in row}
        places: dict[tuple[int, int], _Box] = {}
        ways: dict[int, list[list[_Box]]] = {}
        for box in self.boxes:
            for source in box.sources:
                passed = range(level[id(source)] + 1, level[id(box)])
                way = [source]
                for row in passed if len(passed) <= _LONGEST_WAY else ():
                    if (id(source), row) not in places:
                        places[id(source), row] = _Box([], "way", [way[-1]])
                        rows[row].append(places[id(source), row])
                    way.append(places[id(source), row])
                ways.setdefault(id(box), []).append([*way, box])
        return ways

    def _ordered(self, rows: list[list[_Box]]) -> list[list[_Box]]:
        """Each row sorted by the mean place of its boxes' neighbours, down and then up, so that few edges cross."""
        sources: dict[int, list[_Box]] = {}
        users: dict[int, list[_Box]] = {}
        for row in rows:
            for box in row:
                sources[id(box)] = [way[-2] for way in self.ways.get(id(box), [])] or box.sources
                for each in sources[id(box)]:
                    users.setdefault(id(each), []).append(box)
        for sweep in range(4):
            place = {id(box): i / len(row) for row in rows for i, box in enumerate(row)}
            for row in rows if sweep % 2 else reversed(rows):
                mean = {}
                for box in row:
                    near = sources[id(box)] if sweep % 2 else users.get(id(box), [])
                    mean[id(box)] = sum(place[id(each)] for each in near) / len(near) if near else place[id(box)]
                row.sort(key=lambda box, mean=mean: mean[id(box)])  # type: ignore[misc]
                place.update((id(box), i / len(row)) for i, box in enumerate(row))
        return rows

    def _place(self) -> None:
        widths = [sum(map(_width, row)) + _GAP * (len(row) - 1) for row in self.rows]
        self.width = max(widths) + 2 * _GAP
        y = float(_GAP)
        for row, width in zip(self.rows, widths, strict=True):
            x = (self.width - width) / 2
            for box in row:
                self.x[id(box)], self.y[id(box)] = x, y
                self.row_height[id(box)] = max(map(_height, row))
                x += _width(box) + _GAP
            y += max(map(_height, row)) + _ROW_GAP
        self.height = y - _ROW_GAP + _GAP

    def svg(self) -> str:
        size = f'width="{self.width:.0f}" height="{self.height:.0f}" viewBox="0 0 {self.width:.0f} {self.height:.0f}"'
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} style="background: white" font-family="monospace" '
            'font-size="11">'
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>'
        )
        edges = [self._edge(way) for box in self.boxes for way in self.ways.get(id(box), [])]
        return "\n".join([head, *edges, *map(self._box, self.boxes), "</svg>"])

    def _edge(self, way: list[_Box]) -> str:
        x0, y0 = self.x[id(way[0])] + _width(way[0]) / 2, self.y[id(way[0])] + _height(way[0])
        path = f"M{x0:.1f} {y0:.1f}"
        for box in way[1:]:
            x1, y1 = self.x[id(box)] + _width(box) / 2, self.y[id(box)]
            bend = (y1 - y0) / 2
            path += f" C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {y1 - bend:.1f} {x1:.1f} {y1:.1f}"
            x0, y0 = x1, y1
            if box.kind == "way":
                y0 += self.row_height[id(box)]
                path += f" L{x0:.1f} {y0:.1f}"
        return f'<path d="{path}" fill="none" stroke="black" marker-end="url(#arrow)"/>'

    def _box(self, box: _Box) -> str:
        x, y = self.x[id(box)], self.y[id(box)]
        dashes = ' stroke-dasharray="4 3"' if box.kind == "view" else ""
        rect = (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{_width(box):.1f}" height="{_height(box)}" rx="3" '
            f'fill="{_FILL[box.kind]}" stroke="black"{dashes}/>'
        )
        middle = x + _width(box) / 2
        texts = (
            f'<text x="{middle:.1f}" y="{y + _PAD / 2 + _LINE * (i + 0.8):.1f}" text-anchor="middle">'
            f"{html.escape(line)}</text>"
            for i, line in enumerate(box.lines)
        )
        return rect + "".join(texts)


def _width(box: _Box) -> float:
    return max(map(len, box.lines), default=0) * _CHARACTER + 2 * _PAD


def _height(box: _Box) -> int:
    return len(box.lines) * _LINE + _PAD


def _forward_order(boxes: list[_Box]) -> list[_Box]:
    """The boxes, each after its sources."""
    order: list[_Box] = []
    state: dict[int, bool] = {}  # False: entered; True: done
    for start in boxes:
        stack = [start]
        while stack:
            box = stack[-1]
            if id(box) not in state:
                state[id(box)] = False
                stack += [each for each in box.sources if id(each) not in state]
                continue
            stack.pop()
            if not state[id(box)]:
                state[id(box)] = True
                order.append(box)
    return order
