"""Nested tuples, lists and dicts as trees of leaves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

__all__ = ["tree_flatten", "tree_map", "tree_unflatten"]

Spec = Any


def tree_flatten(tree: Any) -> tuple[list[Any], Spec]:
    """The leaves of `tree` in order, and what `tree_unflatten` needs to build it again."""
    if isinstance(tree, (dict, OrderedDict)):
        keys = list(tree)
        parts = [tree_flatten(tree[key]) for key in keys]
        return [leaf for leaves, _ in parts for leaf in leaves], (type(tree), keys, [spec for _, spec in parts])
    if isinstance(tree, (tuple, list)):
        parts = [tree_flatten(each) for each in tree]
        return [leaf for leaves, _ in parts for leaf in leaves], (type(tree), None, [spec for _, spec in parts])
    return [tree], None


def tree_unflatten(leaves: list[Any], spec: Spec) -> Any:
    """The tree of `spec` with other leaves."""
    remaining = iter(leaves)
    return _build(remaining, spec)


def _build(leaves: Any, spec: Spec) -> Any:
    if spec is None:
        return next(leaves)
    kind, keys, parts = spec
    built = [_build(leaves, part) for part in parts]
    if keys is not None:
        return kind(zip(keys, built, strict=True))
    return kind(*built) if hasattr(kind, "_fields") else kind(built)


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with `function` applied to each leaf."""
    leaves, spec = tree_flatten(tree)
    return tree_unflatten([function(leaf) for leaf in leaves], spec)
