"""Nested containers as trees of leaves: PyTorch's `torch.utils._pytree`, and what the transforms of `func` use.

A container is known by its exact type; of the types of the standard library those in `BUILTIN_TYPES`, every named
tuple, `retrograd.Size`, and what `register_pytree_node` adds. Everything else is a leaf, `None` too.

    >>> from retrograd.utils import _pytree as pytree
    >>> leaves, spec = pytree.tree_flatten({"a": [1, 2], "b": (3,)})
    >>> leaves
    [1, 2, 3]
    >>> pytree.tree_unflatten([x * 10 for x in leaves], spec)
    {'a': [10, 20], 'b': (30,)}
"""

from __future__ import annotations

import types
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pprint import pformat
from typing import Any, NamedTuple

from retrograd.size import Size

__all__ = [
    "BUILTIN_TYPES",
    "LEAF",
    "SUPPORTED_NODES",
    "GetAttrKey",
    "KeyEntry",
    "LeafSpec",
    "MappingKey",
    "NodeDef",
    "PyTree",
    "PyTreeSpec",
    "SequenceKey",
    "TreeSpec",
    "broadcast_leaves",
    "is_namedtuple",
    "is_namedtuple_class",
    "is_namedtuple_instance",
    "is_structseq",
    "is_structseq_class",
    "is_structseq_instance",
    "key_get",
    "keystr",
    "register_pytree_node",
    "tree_all",
    "tree_all_only",
    "tree_any",
    "tree_any_only",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_is_leaf",
    "tree_iter",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_",
    "tree_map_only",
    "tree_map_only_",
    "tree_map_with_path",
    "tree_structure",
    "tree_unflatten",
    "treespec_pprint",
]  # fmt: skip

PyTree = Any
IsLeaf = Callable[[Any], bool] | None
Types = type[Any] | tuple[type[Any], ...] | types.UnionType

# -- ways to a leaf ------------------------------------------------------------------------------


@dataclass(frozen=True)
class SequenceKey:
    """A step into a sequence."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"

    def get(self, container: Any) -> Any:
        """What the step leads to."""
        return container[self.idx]


@dataclass(frozen=True)
class MappingKey:
    """A step into a mapping."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, container: Any) -> Any:
        """What the step leads to."""
        return container[self.key]


@dataclass(frozen=True)
class GetAttrKey:
    """A step to an attribute, as of a named tuple."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"

    def get(self, container: Any) -> Any:
        """What the step leads to."""
        return getattr(container, self.name)


KeyEntry = Any
KeyPath = tuple[KeyEntry, ...]


def keystr(kp: KeyPath) -> str:
    """A path as Python would write it: ``['a'][0].x``."""
    return "".join(map(str, kp))


def key_get(obj: Any, kp: KeyPath) -> Any:
    """What a path leads to from `obj`."""
    for key in kp:
        obj = key.get(obj)
    return obj


# -- kinds of nodes ------------------------------------------------------------------------------


class NodeDef(NamedTuple):
    """How a container is taken apart and put together."""

    type: Any
    flatten_fn: Callable[[Any], tuple[list[Any], Any]]
    unflatten_fn: Callable[[Iterable[Any], Any], Any]
    flatten_with_keys_fn: Callable[[Any], tuple[list[tuple[KeyEntry, Any]], Any]] | None


SUPPORTED_NODES: dict[Any, NodeDef] = {}
"""By type. All named tuples stand under `collections.namedtuple`."""


def _keyed_by(
    flatten: Callable[[Any], tuple[list[Any], Any]], key: Callable[[Any, Any, int], KeyEntry]
) -> Callable[[Any], tuple[list[tuple[KeyEntry, Any]], Any]]:
    def flatten_with_keys(tree: Any) -> tuple[list[tuple[KeyEntry, Any]], Any]:
        children, context = flatten(tree)
        return [(key(tree, context, i), child) for i, child in enumerate(children)], context

    return flatten_with_keys


def _add(kind: Any, flatten: Any, unflatten: Any, key: Callable[[Any, Any, int], KeyEntry]) -> None:
    SUPPORTED_NODES[kind] = NodeDef(kind, flatten, unflatten, _keyed_by(flatten, key))


def _plain(tree: Any) -> tuple[list[Any], None]:
    return list(tree), None


def _by_place(tree: Any, context: Any, i: int) -> SequenceKey:
    return SequenceKey(i)


def _by_key(tree: Any, context: Any, i: int) -> MappingKey:
    return MappingKey(context[i])


def _keys_and_values(tree: Any) -> tuple[list[Any], list[Any]]:
    return list(tree.values()), list(tree)


def _dict_flatten_with_keys(d: Mapping[Any, Any]) -> tuple[list[tuple[KeyEntry, Any]], list[Any]]:
    """Entries with their keys, and the context; by this name packages register mappings of their own."""
    return [(MappingKey(key), value) for key, value in d.items()], list(d)


_add(tuple, _plain, lambda children, _: tuple(children), _by_place)
_add(list, _plain, lambda children, _: list(children), _by_place)
_add(dict, _keys_and_values, lambda children, keys: dict(zip(keys, children, strict=True)), _by_key)
_add(
    namedtuple,
    lambda tree: (list(tree), type(tree)),
    lambda children, kind: kind(*children),
    lambda tree, context, i: GetAttrKey(tree._fields[i]),
)
_add(OrderedDict, _keys_and_values, lambda children, keys: OrderedDict(zip(keys, children, strict=True)), _by_key)
_add(
    defaultdict,
    lambda tree: (list(tree.values()), [tree.default_factory, list(tree)]),
    lambda children, context: defaultdict(context[0], zip(context[1], children, strict=True)),
    lambda tree, context, i: MappingKey(context[1][i]),
)
_add(
    deque,
    lambda tree: (list(tree), tree.maxlen),
    lambda children, maxlen: deque(children, maxlen=maxlen),
    _by_place,
)
BUILTIN_TYPES = frozenset(SUPPORTED_NODES)
_add(Size, _plain, lambda children, _: tuple(children), _by_place)
_DICTS = frozenset({dict, OrderedDict, defaultdict})


def register_pytree_node(
    cls: type[Any],
    flatten_fn: Callable[[Any], tuple[list[Any], Any]],
    unflatten_fn: Callable[[Iterable[Any], Any], Any],
    *,
    serialized_type_name: str | None = None,
    to_dumpable_context: Callable[[Any], Any] | None = None,
    from_dumpable_context: Callable[[Any], Any] | None = None,
    flatten_with_keys_fn: Callable[[Any], tuple[list[tuple[KeyEntry, Any]], Any]] | None = None,
) -> None:
    """Let instances of a class be containers.

    Parameters
    ----------
    cls
        The class; instances of its subclasses stay leaves.
    flatten_fn
        From an instance to its children and the context that it takes to build one again.
    unflatten_fn
        The way back, from the children and the context.
    serialized_type_name, to_dumpable_context, from_dumpable_context
        Accepted: forms of trees are not written to files here.
    flatten_with_keys_fn
        As `flatten_fn`, with the key of each child in front of it, for paths.

    Raises
    ------
    TypeError
        If `cls` is no class.
    ValueError
        If it is registered already.

    Examples
    --------
    >>> from retrograd.utils import _pytree as pytree
    >>> class Pair:
    ...     def __init__(self, a, b):
    ...         self.a, self.b = a, b
    >>> pytree.register_pytree_node(Pair, lambda pair: ([pair.a, pair.b], None), lambda parts, _: Pair(*parts))
    >>> pytree.tree_leaves({"pair": Pair(1, [2, 3])})
    [1, 2, 3]
    >>> del pytree.SUPPORTED_NODES[Pair]
    """
    if not isinstance(cls, type):
        raise TypeError(f"{cls!r} is not a class")
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn, flatten_with_keys_fn)


def is_namedtuple_class(cls: type) -> bool:
    """Whether a class is made by `collections.namedtuple`, or derives from one that is."""
    return (
        isinstance(cls, type)
        and issubclass(cls, tuple)
        and isinstance(fields := getattr(cls, "_fields", None), tuple)
        and all(type(each) is str for each in fields)
        and callable(getattr(cls, "_make", None))
        and callable(getattr(cls, "_asdict", None))
    )


def is_namedtuple_instance(obj: object) -> bool:
    """Whether an object is a named tuple."""
    return is_namedtuple_class(type(obj))


def is_namedtuple(obj: object | type) -> bool:
    """Whether it is a named tuple or the class of one."""
    return is_namedtuple_class(obj if isinstance(obj, type) else type(obj))


def is_structseq_class(cls: type) -> bool:
    """Whether a class is a struct sequence of C, such as `time.struct_time`."""
    counts = ("n_fields", "n_sequence_fields", "n_unnamed_fields")
    if not isinstance(cls, type) or cls.__bases__ != (tuple,):
        return False
    return all(isinstance(getattr(cls, each, None), int) for each in counts)


def is_structseq_instance(obj: object) -> bool:
    """Whether an object is a struct sequence."""
    return is_structseq_class(type(obj))


def is_structseq(obj: object | type) -> bool:
    """Whether it is a struct sequence or the class of one."""
    return is_structseq_class(obj if isinstance(obj, type) else type(obj))


def _get_node_type(tree: Any) -> Any:
    """The key of a container in `SUPPORTED_NODES`; some other type for a leaf."""
    kind = type(tree)
    if kind not in SUPPORTED_NODES and isinstance(tree, tuple) and is_namedtuple_class(kind):
        return namedtuple
    return kind


def tree_is_leaf(tree: PyTree, is_leaf: IsLeaf = None) -> bool:
    """Whether `tree` is a leaf: no container, or one that `is_leaf` says is one."""
    return (is_leaf is not None and is_leaf(tree)) or _get_node_type(tree) not in SUPPORTED_NODES


# -- forms of trees ------------------------------------------------------------------------------


@dataclass(init=False, frozen=True, eq=False, repr=False, slots=True)
class TreeSpec:
    """The form of a tree: what a node is, and the forms of its children.

    Attributes
    ----------
    type
        The type of the container; None for a leaf.
    context
        What else it takes to make one: a dict's keys, with a defaultdict's factory in front.
    num_nodes, num_leaves, num_children
        How many there are.
    """

    type: Any
    context: Any
    _children: list[TreeSpec]
    num_nodes: int = field(init=False)
    num_leaves: int = field(init=False)
    num_children: int = field(init=False)

    def __init__(self, type: Any, context: Any, children_specs: list[TreeSpec]) -> None:
        if type is None and context is not None:
            raise AssertionError("leaf node should not have a context")
        if type is None and children_specs:
            raise AssertionError("leaf node should not have children")
        for name, value in (("type", type), ("context", context), ("_children", children_specs)):
            object.__setattr__(self, name, value)
        leaves = 1 if type is None else sum(child.num_leaves for child in children_specs)
        object.__setattr__(self, "num_nodes", 1 + sum(child.num_nodes for child in children_specs))
        object.__setattr__(self, "num_leaves", leaves)
        object.__setattr__(self, "num_children", len(children_specs))

    def is_leaf(self) -> bool:
        """Whether it is the form of a leaf."""
        return self.type is None

    def children(self) -> list[TreeSpec]:
        """The forms of the children."""
        return self._children.copy()

    def child(self, index: int) -> TreeSpec:
        """The form of one child."""
        return self._children[index]

    def unflatten(self, leaves: Iterable[Any]) -> PyTree:
        """The tree of this form with these leaves.

        Raises
        ------
        ValueError
            If there are too many or too few.
        """
        if not isinstance(leaves, (list, tuple)):
            leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(
                f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers to a pytree that "
                f"holds {self.num_leaves} items ({self})."
            )
        return self._build(iter(leaves))

    def _build(self, leaves: Iterator[Any]) -> PyTree:
        if self.type is None:
            return next(leaves)
        return SUPPORTED_NODES[self.type].unflatten_fn([each._build(leaves) for each in self._children], self.context)

    def flatten_up_to(self, tree: PyTree) -> list[PyTree]:
        """The subtrees of `tree` in the places of this form's leaves.

        Raises
        ------
        ValueError
            If `tree` has another form above them.
        """
        if self.type is None:
            return [tree]
        children = _children_as(self, tree)
        return [
            each for spec, child in zip(self._children, children, strict=True) for each in spec.flatten_up_to(child)
        ]

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, TreeSpec):
            return NotImplemented
        return (
            self.type == other.type
            and self.num_leaves == other.num_leaves
            and bool(self.context == other.context)
            and self._children == other._children
        )

    def __hash__(self) -> int:
        return hash((self.type, repr(self.context), tuple(self._children)))

    def __repr__(self) -> str:
        return self._text(0)

    def _text(self, indent: int) -> str:
        if self.type is None:
            return "*"
        indent += 2
        inner = (",\n" + " " * indent).join(child._text(indent) for child in self._children)
        return f"TreeSpec({self.type.__name__}, {self.context}, [{inner}])"


PyTreeSpec = TreeSpec
LEAF = TreeSpec(None, None, [])


def LeafSpec() -> TreeSpec:
    """The form of a leaf."""
    return LEAF


def _children_as(spec: TreeSpec, tree: PyTree) -> list[Any]:
    """The children of a container that has the form of `spec`."""
    kind = _get_node_type(tree)
    if spec.type not in BUILTIN_TYPES:
        if kind != spec.type:
            raise ValueError(f"Type mismatch; expected {spec.type!r}, but got {kind!r}.")
        children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
        _check_arity(spec, len(children))
        if context != spec.context:
            raise ValueError(f"Node context mismatch for custom node type {spec.type!r}.")
        return children
    if spec.type in _DICTS and kind in _DICTS:
        _check_arity(spec, len(tree))
        keys = spec.context[1] if spec.type is defaultdict else spec.context
        if set(keys) != set(tree):
            text = "Node keys mismatch"
            if missing := set(keys) - set(tree):
                text += f"; missing key(s): {missing}"
            if extra := set(tree) - set(keys):
                text += f"; extra key(s): {extra}"
            raise ValueError(text + ".")
        return [tree[key] for key in keys]
    if kind != spec.type:
        raise ValueError(f"Node type mismatch; expected {spec.type!r}, but got {kind!r}.")
    _check_arity(spec, len(tree))
    children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
    if kind is not deque and context != spec.context:
        raise ValueError(f"Node context mismatch; expected {spec.context!r}, but got {context!r}.")
    return children


def _check_arity(spec: TreeSpec, count: int) -> None:
    if count != spec.num_children:
        raise ValueError(f"Node arity mismatch; expected {spec.num_children}, but got {count}.")


def treespec_pprint(treespec: TreeSpec) -> str:
    """A form of a tree as the tree with stars for leaves."""
    return pformat(treespec.unflatten([_Star()] * treespec.num_leaves), sort_dicts=False)


class _Star:
    def __repr__(self) -> str:
        return "*"


# -- taking apart and putting together -------------------------------------------------------------


def tree_flatten(tree: PyTree, is_leaf: IsLeaf = None) -> tuple[list[Any], TreeSpec]:
    """The leaves of `tree` in order, and what `tree_unflatten` needs to build it again."""
    leaves: list[Any] = []
    return leaves, _collect(tree, leaves, is_leaf)


def _collect(tree: PyTree, leaves: list[Any], is_leaf: IsLeaf) -> TreeSpec:
    kind = _get_node_type(tree)
    if kind not in SUPPORTED_NODES or (is_leaf is not None and is_leaf(tree)):
        leaves.append(tree)
        return LEAF
    children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
    return TreeSpec(kind, context, [_collect(child, leaves, is_leaf) for child in children])


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> PyTree:
    """The tree of the form `treespec` with these leaves.

    Raises
    ------
    TypeError
        If `treespec` is no form of a tree.
    ValueError
        If there are too many leaves or too few.
    """
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"Expected `treespec` to be an instance of PyTreeSpec but got item of type {type(treespec)}.")
    return treespec.unflatten(leaves)


def tree_iter(tree: PyTree, is_leaf: IsLeaf = None) -> Iterator[Any]:
    """The leaves, one after the other."""
    if tree_is_leaf(tree, is_leaf):
        yield tree
        return
    for child in SUPPORTED_NODES[_get_node_type(tree)].flatten_fn(tree)[0]:
        yield from tree_iter(child, is_leaf)


def tree_leaves(tree: PyTree, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves in order."""
    return list(tree_iter(tree, is_leaf))


def tree_structure(tree: PyTree, is_leaf: IsLeaf = None) -> TreeSpec:
    """The form of `tree`."""
    return tree_flatten(tree, is_leaf)[1]


def tree_flatten_with_path(tree: PyTree, is_leaf: IsLeaf = None) -> tuple[list[tuple[KeyPath, Any]], TreeSpec]:
    """As `tree_flatten`, with the path of each leaf in front of it.

    Raises
    ------
    ValueError
        If a container's registration names no keys.
    """
    return list(_paths(tree, (), is_leaf)), tree_structure(tree, is_leaf)


def _paths(tree: PyTree, path: KeyPath, is_leaf: IsLeaf) -> Iterator[tuple[KeyPath, Any]]:
    if tree_is_leaf(tree, is_leaf):
        yield path, tree
        return
    kind = _get_node_type(tree)
    flatten = SUPPORTED_NODES[kind].flatten_with_keys_fn
    if flatten is None:
        raise ValueError(
            f"Did not find a flatten_with_keys_fn for type: {kind}. Please pass a flatten_with_keys_fn argument to "
            "register_pytree_node."
        )
    for key, child in flatten(tree)[0]:
        yield from _paths(child, (*path, key), is_leaf)


def tree_leaves_with_path(tree: PyTree, is_leaf: IsLeaf = None) -> list[tuple[KeyPath, Any]]:
    """The leaves in order, each with its path in front."""
    return list(_paths(tree, (), is_leaf))


# -- functions of all leaves -----------------------------------------------------------------------


def tree_map(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: IsLeaf = None) -> PyTree:
    """The same tree with `func` applied to each leaf, and to what stands in its place in the other trees.

    Raises
    ------
    ValueError
        If another tree has another form.

    Examples
    --------
    >>> from retrograd.utils._pytree import tree_map
    >>> tree_map(lambda x, y: x + y, {"a": (1, 2)}, {"a": (10, 20)})
    {'a': (11, 22)}
    """
    leaves, spec = tree_flatten(tree, is_leaf)
    return spec.unflatten([func(*each) for each in zip(leaves, *map(spec.flatten_up_to, rests), strict=True)])


def tree_map_(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: IsLeaf = None) -> PyTree:
    """Call `func` as `tree_map` does, and return the tree itself."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def tree_map_with_path(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: IsLeaf = None) -> PyTree:
    """As `tree_map`, with the path of the leaf as the first argument."""
    found, spec = tree_flatten_with_path(tree, is_leaf)
    others = map(spec.flatten_up_to, rests)
    return spec.unflatten([func(path, leaf, *more) for (path, leaf), *more in zip(found, *others, strict=True)])


def _predicate(types_or_pred: Any) -> Callable[[Any], bool]:
    if isinstance(types_or_pred, (type, tuple, types.UnionType)):
        return lambda leaf: isinstance(leaf, types_or_pred)
    if callable(types_or_pred):
        return types_or_pred
    raise TypeError("Argument must be a type, a tuple of types, or a callable.")


def tree_map_only(
    type_or_types_or_pred: Types | Callable[[Any], bool],
    /,
    func: Callable[[Any], Any],
    tree: PyTree,
    is_leaf: IsLeaf = None,
) -> PyTree:
    """`tree_map` that leaves alone the leaves that are not of these types, or of which the predicate is False.

    Raises
    ------
    TypeError
        If the first argument is no type, tuple of types, nor callable.
    """
    chosen = _predicate(type_or_types_or_pred)
    return tree_map(lambda leaf: func(leaf) if chosen(leaf) else leaf, tree, is_leaf=is_leaf)


def tree_map_only_(
    type_or_types_or_pred: Types | Callable[[Any], bool],
    /,
    func: Callable[[Any], Any],
    tree: PyTree,
    is_leaf: IsLeaf = None,
) -> PyTree:
    """Call `func` as `tree_map_only` does, and return the tree itself."""
    tree_map_only(type_or_types_or_pred, func, tree, is_leaf)
    return tree


def tree_all(pred: Callable[[Any], bool], tree: PyTree, is_leaf: IsLeaf = None) -> bool:
    """Whether `pred` holds of all leaves."""
    return all(map(pred, tree_iter(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: PyTree, is_leaf: IsLeaf = None) -> bool:
    """Whether `pred` holds of a leaf."""
    return any(map(pred, tree_iter(tree, is_leaf)))


def tree_all_only(type_or_types: Types, /, pred: Callable[[Any], bool], tree: PyTree, is_leaf: IsLeaf = None) -> bool:
    """Whether `pred` holds of all leaves of these types."""
    return all(pred(each) for each in tree_iter(tree, is_leaf) if isinstance(each, type_or_types))


def tree_any_only(type_or_types: Types, /, pred: Callable[[Any], bool], tree: PyTree, is_leaf: IsLeaf = None) -> bool:
    """Whether `pred` holds of a leaf of these types."""
    return any(pred(each) for each in tree_iter(tree, is_leaf) if isinstance(each, type_or_types))


def broadcast_leaves(tree: PyTree, spec: TreeSpec) -> list[Any] | None:
    """A leaf of `tree` for each leaf of `spec`: one in the place of a subtree stands for all of its leaves.

    None if the two do not fit.
    """
    kind = _get_node_type(tree)
    if kind not in SUPPORTED_NODES:
        return [tree] * spec.num_leaves
    if kind != spec.type:
        return None
    children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
    if len(children) != spec.num_children or context != spec.context:
        return None
    flat: list[Any] = []
    for child, part in zip(children, spec.children(), strict=True):
        leaves = broadcast_leaves(child, part)
        if leaves is None:
            return None
        flat += leaves
    return flat


_broadcast_to_and_flatten = broadcast_leaves
