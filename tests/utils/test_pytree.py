"""Trees of leaves, taken apart and put together: the same as PyTorch's."""

from __future__ import annotations

import pytest
from programs import assert_same

_PRELUDE = """
        import collections
        pytree = torch.utils._pytree
        Point = collections.namedtuple("Point", "x y")
"""

PROGRAMS = {
    "forms": """
        for tree in (
            1, None, [], (), {}, {"b": [1, (2, 3)], "a": None}, Point(1, [2]), torch.Size([1, 2]),
            collections.deque([1, 2], maxlen=3), collections.defaultdict(list, a=1), collections.OrderedDict(b=1, a=2),
            type("D", (dict,), {})(a=1), type("P", (Point,), {})(1, 2), "ab", {1, 2}, torch.ones(2), range(3),
        ):
            leaves, spec = pytree.tree_flatten(tree)
            print(len(leaves), spec, spec.is_leaf(), spec.num_leaves, spec.num_nodes, spec.num_children)
            print(spec == pytree.tree_structure(tree), spec == pytree.tree_structure([tree]), spec.children())
            print(spec.unflatten([7] * len(leaves)), pytree.treespec_pprint(spec), pytree.tree_is_leaf(tree))
    """,
    "attributes": """
        spec = pytree.tree_structure({"a": [1, 2], "b": 3})
        print(spec.type, spec.context, spec.child(0), spec.child(1).type, spec.children()[0].context)
        print(pytree.TreeSpec(list, None, [pytree.tree_structure(1)]))
        attempt(lambda: pytree.TreeSpec(None, 1, []))
        attempt(lambda: pytree.TreeSpec(None, None, [spec]))
        print(len({spec, pytree.tree_structure({"a": [5, 6], "b": 7})}))
    """,
    "unflatten": """
        spec = pytree.tree_structure({"b": [1, (2, 3)], "a": None})
        for leaves in ([1], [1, 2, 3, 4], range(4), iter("abcd"), 5):
            attempt(pytree.tree_unflatten, leaves, spec)
        attempt(pytree.tree_unflatten, [1], 5)
    """,
    "map": """
        add = lambda *xs: sum(xs)
        for trees in (
            ([1, 2], [3, 4], [5, 6]), ([1, 2], [3]), ([1, 2], (3, 4)), ({"a": 1}, {"b": 2}),
            ({"a": 1}, {"a": 2, "b": 3}),
            ({"a": 1, "b": 2}, collections.OrderedDict(b=2, a=5)), ({"a": 1}, 5), (Point(1, 2), (1, 2)),
            (Point(1, 2), Point(3, 4)), ([1], 5), (1, 2), (collections.defaultdict(list, a=1), {"a": 4}),
            (torch.Size([1]), (1,)), ([1, [2]], [3, [4]]), (torch.Size([1, 2]), torch.Size([2, 3])),
        ):
            attempt(pytree.tree_map, add, *trees)
        print(pytree.tree_map(lambda x: x, [1, (2,)], is_leaf=lambda x: isinstance(x, tuple)))
        print(pytree.tree_map_(print, [1, 2]))
        print(pytree.tree_map_with_path(lambda path, x, y: (pytree.keystr(path), x, y), {"a": [1]}, {"a": [2]}))
    """,
    "map_only": """
        tree = [1, "a", 2.0, torch.ones(2)]
        for which in (int, (int, str), int | str, lambda x: isinstance(x, float), torch.Tensor, 5, [int]):
            attempt(pytree.tree_map_only, which, lambda x: x * 2, tree)
        print(pytree.tree_map_only_(int, print, tree))
        print(pytree.tree_all(bool, [1, (2,)]), pytree.tree_any(bool, [0, (2,)]), pytree.tree_all(bool, [0]))
        print(pytree.tree_any_only(int, lambda x: x > 3, [1, "a"]))
        print(pytree.tree_all_only(int, lambda x: x > 0, [1, "a"]))
        print(list(pytree.tree_iter([1, (2, {"a": 3})])), pytree.tree_leaves(4))
    """,
    "paths": """
        tree = {"a": [1, 2], "b": Point(1, (2,)), 3: collections.defaultdict(list, z=1), "d": collections.deque([1])}
        for path, leaf in pytree.tree_leaves_with_path(tree):
            print(pytree.keystr(path), path, leaf, pytree.key_get(tree, path) == leaf)
        print(pytree.tree_flatten_with_path([5]))
    """,
    "up_to": """
        spec = pytree.tree_structure({"b": [1, (2, 3)], "a": None})
        for tree in (
            {"b": [(1, 2), (2, 3)], "a": None}, {"b": [1], "a": 2}, [1, 2], {"b": 1, "c": 2},
            {"a": {}, "b": [1, (2, [])]},
        ):
            attempt(spec.flatten_up_to, tree)
        for tree in (0, {"b": 0, "a": 1}, [0], {"b": [1, 2], "a": 3}):
            print(pytree._broadcast_to_and_flatten(tree, spec))
    """,
    "register": """
        class Pair:
            def __init__(self, a, b):
                self.a, self.b = a, b

            def __repr__(self):
                return f"Pair({self.a}, {self.b})"

        pytree.register_pytree_node(Pair, lambda p: ([p.a, p.b], "tag"), lambda parts, tag: Pair(*parts))
        try:
            leaves, spec = pytree.tree_flatten({"p": Pair(1, [2])})
            print(leaves, spec, spec.unflatten([4, 5]))
            attempt(pytree.register_pytree_node, Pair, None, None)
            attempt(pytree.tree_flatten_with_path, Pair(1, 2))
            attempt(pytree.tree_map, max, Pair(1, 2), Pair(3, 4))
            attempt(pytree.tree_map, max, Pair(1, 2), [3, 4])
            print(torch.func.vmap(lambda p: p.a + p.b[0])(Pair(torch.ones(2), [torch.ones(2)])))
            print(torch.func.grad(lambda p: (p.a * p.b).sum())(Pair(torch.ones(2), torch.ones(2) * 3)))
        finally:
            del pytree.SUPPORTED_NODES[Pair]
        attempt(pytree.register_pytree_node, list, None, None)
    """,
    "kinds": """
        import time
        for each in (Point, Point(1, 2), (1, 2), tuple, time.localtime(0), time.struct_time, 1):
            print(pytree.is_namedtuple(each), pytree.is_namedtuple_instance(each), pytree.is_structseq(each))
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str) -> None:
    assert_same(_PRELUDE + PROGRAMS[name])
