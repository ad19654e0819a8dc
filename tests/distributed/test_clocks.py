"""The clock on the wall may jump while a run goes on; what waits, ages and expires here goes by another."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import retrograd.distributed

WALL = {"time": {"time", "time_ns", "localtime", "gmtime", "ctime"}, "datetime": {"now", "utcnow", "today"}}
SHOWN = {"looking.py": 2, "server.py": 1, "metrics.py": 1}
"""Where it is read to be shown: `retrograd doctor` compares two machines' clocks, and lines of a log have a date."""


def readings(tree: ast.Module) -> Iterator[ast.AST]:
    """Where a module reads the clock on the wall, or takes the means to from its module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in WALL:
            names = {each.name for each in node.names}
            if names & WALL[node.module] or node.module == "datetime":
                yield node
        elif (
            isinstance(node, ast.Attribute)
            and node.attr in WALL["time"] | WALL["datetime"]
            and isinstance(node.value, ast.Name)
            and node.value.id in ("time", "datetime", "date")
        ):
            yield node


def test_only_what_is_shown_comes_from_the_clock_on_the_wall() -> None:
    folder = Path(retrograd.distributed.__file__).parent
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("*.py")}
    found = Counter({path.name: sum(1 for _ in readings(tree)) for path, tree in trees.items()})
    assert +found == SHOWN


def test_every_way_to_read_it_is_found() -> None:
    code = "import time\nfrom time import time as t\nimport datetime\ntime.time()\ndatetime.now()\ntime.monotonic()\n"
    assert len(list(readings(ast.parse(code)))) == 3
