"""Nested tuples, lists and dicts as trees of leaves."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from retrograd.size import Size

__all__ = ["LEAF", "TreeSpec", "broadcast_leaves", "tree_flatten", "tree_map", "tree_unflatten"]


@dataclass(frozen=True, slots=True, repr=False)
class TreeSpec:
    """The form of a tree: what a node is, and the forms of its children.

    Attributes
    ----------
    kind
        The type of the container; None for a leaf.
    context
        What else it takes to make one: a dict's keys, with a defaultdict's factory in front.
    """

    kind: type | None
    context: Any
    children: tuple[TreeSpec, ...]

    def __repr__(self) -> str:
        return self._text(2)

    def _text(self, indent: int) -> str:
        if self.kind is None:
            return "*"
        named = hasattr(self.kind, "_fields") and self.kind.__bases__ == (tuple,)
        name, context = ("namedtuple", self.kind) if named else (self.kind.__name__, self.context)
        separator = ",\n" + " " * indent
        inner = separator.join(child._text(indent + 2) for child in self.children)
        return f"TreeSpec({name}, {context}, [{inner}])"


LEAF = TreeSpec(None, None, ())


def _parts(tree: Any) -> tuple[Any, list[Any]] | None:
    """The context and the children of a container; None for a leaf."""
    kind = type(tree)
    if kind is dict or kind is OrderedDict:
        return list(tree), list(tree.values())
    if kind is defaultdict:
        return [tree.default_factory, list(tree)], list(tree.values())
    if kind in (tuple, list, deque, Size) or (isinstance(tree, tuple) and hasattr(kind, "_fields")):
        return None, list(tree)
    return None


def tree_flatten(tree: Any) -> tuple[list[Any], TreeSpec]:
    """The leaves of `tree` in order, and what `tree_unflatten` needs to build it again."""
    found = _parts(tree)
    if found is None:
        return [tree], LEAF
    context, children = found
    leaves: list[Any] = []
    specs = []
    for child in children:
        some, spec = tree_flatten(child)
        leaves += some
        specs.append(spec)
    return leaves, TreeSpec(type(tree), context, tuple(specs))


def tree_unflatten(leaves: list[Any], spec: TreeSpec) -> Any:
    """The tree of `spec` with other leaves."""
    return _build(iter(leaves), spec)


def _build(leaves: Iterator[Any], spec: TreeSpec) -> Any:
    kind = spec.kind
    if kind is None:
        return next(leaves)
    built = [_build(leaves, part) for part in spec.children]
    if kind is defaultdict:
        return defaultdict(spec.context[0], zip(spec.context[1], built, strict=True))
    if spec.context is not None:
        return kind(zip(spec.context, built, strict=True))
    return kind(*built) if hasattr(kind, "_fields") else kind(built)


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with `function` applied to each leaf."""
    leaves, spec = tree_flatten(tree)
    return tree_unflatten([function(leaf) for leaf in leaves], spec)


def broadcast_leaves(tree: Any, spec: TreeSpec) -> list[Any] | None:
    """A leaf of `tree` for each leaf of `spec`: one in the place of a subtree stands for all of its leaves.

    None if the two do not fit.
    """
    found = _parts(tree)
    if found is None:
        return [tree] * _count(spec)
    context, children = found
    if spec.kind is not type(tree) or context != spec.context or len(children) != len(spec.children):
        return None
    flat: list[Any] = []
    for child, part in zip(children, spec.children, strict=True):
        leaves = broadcast_leaves(child, part)
        if leaves is None:
            return None
        flat += leaves
    return flat


def _count(spec: TreeSpec) -> int:
    return 1 if spec.kind is None else sum(map(_count, spec.children))
