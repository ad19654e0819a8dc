"""The public names, held: a name that appears or disappears is a decision, and changes `public_names.txt`.

python tests/test_exports.py    # writes the list anew
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

LIST = Path(__file__).with_name("public_names.txt")
NAMESPACES = (
    "retrograd",
    "retrograd.autograd",
    "retrograd.func",
    "retrograd.linalg",
    "retrograd.nn",
    "retrograd.optim",
    "retrograd.backends",
    "retrograd.distributions",
)


def public_names() -> list[str]:
    return [f"{space}.{name}" for space in NAMESPACES for name in sorted(import_module(space).__all__)]


def test_the_public_names_are_those_of_the_list() -> None:
    assert public_names() == LIST.read_text("utf-8").splitlines()


def test_every_public_name_is_there() -> None:
    for each in public_names():
        space, _, name = each.rpartition(".")
        assert hasattr(import_module(space), name), each


if __name__ == "__main__":
    LIST.write_text("\n".join(public_names()) + "\n", "utf-8")
