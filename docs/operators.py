"""The tables of docs/ops.md, made of the declarations: `python docs/operators.py` prints them.

mkdocs runs `on_page_markdown` (see `hooks` in mkdocs.yml), so the page cannot be out of date.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import retrograd
import retrograd.nn.functional
from retrograd.ops.declare import publics

MARK = "<!-- operators -->"
_NODE_NAME = re.compile(r'"([A-Z]\w*Backward\d?)"')

Function = Callable[..., Any]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """mkdocs' hook: put the tables where a page asks for them."""
    return markdown.replace(MARK, tables()) if MARK in markdown else markdown


def tables() -> str:
    """All tables, a section for each family."""
    parts = [_section(module, functions) for module, functions in sorted(families().items())]
    return "\n\n".join([*parts, _neural()])


def families() -> dict[str, dict[str, Function]]:
    """The public operators by the module that declares them."""
    found: dict[str, dict[str, Function]] = defaultdict(dict)
    for name, function in publics.items():
        if not name.startswith("_") and getattr(retrograd, name, None) is function:
            found[function.__module__][name] = function
    return found


def nodes_of(function: Function) -> list[str]:
    """The nodes that a function makes: its own, or those of the operators that it chooses among."""
    declared = getattr(function, "__wrapped_op__", None)
    if declared is not None:
        return [declared.node_class.__name__] if declared.vjp else []
    written = inspect.unwrap(function)
    if not inspect.isfunction(written):
        return []
    named = (written.__globals__.get(each) for each in written.__code__.co_names)
    operators = (getattr(each, "__wrapped_op__", None) for each in named)
    found = {each.node_class.__name__ for each in operators if each is not None and each.vjp}
    return sorted(found | set(_NODE_NAME.findall(inspect.getsource(written))))


def _section(module: str, functions: dict[str, Function]) -> str:
    title = (sys.modules[module].__doc__ or module).strip().split("\n\n")[0].replace("\n", " ").rstrip(".")
    rows = "\n".join(_row(name, functions[name]) for name in sorted(functions))
    heading = module.rpartition(".")[2].replace("_", " ").capitalize()
    return f"## {heading}\n\n{title}.\n\n| function | nodes | method | in place |\n|---|---|---|---|\n{rows}"


def _row(name: str, function: Function) -> str:
    nodes = ", ".join(f"`{each}`" for each in nodes_of(function))
    method = "yes" if hasattr(retrograd.Tensor, name) else ""
    in_place = f"`{name}_`" if hasattr(retrograd.Tensor, name + "_") else ""
    return f"| `{name}` | {nodes} | {method} | {in_place} |"


def _neural() -> str:
    rows = "\n".join(
        f"| `{name}` | {', '.join(f'`{each}`' for each in nodes_of(function))} |" for name, function in _functional()
    )
    return f"## nn.functional\n\nThe functions of `retrograd.nn.functional`.\n\n| function | nodes |\n|---|---|\n{rows}"


def _functional() -> Iterator[tuple[str, Function]]:
    functional = retrograd.nn.functional
    for name in sorted(functional.__all__):
        function = getattr(functional, name)
        if inspect.isroutine(function):
            yield name, function


if __name__ == "__main__":
    print(tables())
