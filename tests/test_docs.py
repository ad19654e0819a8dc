"""The documentation is whole: pages are listed, links lead somewhere, and what is generated is complete."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import retrograd
import retrograd.optim
from retrograd.ops.declare import publics

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


def script(name: str) -> ModuleType:
    """A Python file of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def headings(page: Path) -> set[str]:
    """The anchors of a page."""
    found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each).strip().lower().replace(" ", "-") for each in found}


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


@pytest.mark.parametrize("page", sorted((DOCS / "reference").glob("*.md")), ids=lambda page: page.name)
def test_the_reference_names_what_exists(page: Path) -> None:
    for name in re.findall(r"^::: (\S+)", page.read_text(encoding="utf-8"), re.MULTILINE):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            owner, _, attribute = name.rpartition(".")
            assert hasattr(importlib.import_module(owner), attribute), name


def test_every_operator_module_is_in_the_reference() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    homes = {function.__module__ for name, function in publics.items() if not name.startswith("_")}
    assert sorted(home for home in homes if f"::: {home}\n" not in text) == []


def test_every_class_of_nn_and_optim_is_in_the_reference() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    packages = (retrograd.nn, retrograd.optim, retrograd.optim.lr_scheduler)
    classes = [
        each for package in packages for name in package.__all__ if inspect.isclass(each := getattr(package, name))
    ]
    missing = [
        each.__name__
        for each in classes
        if f"::: {each.__module__}\n" not in text and f"::: {each.__module__}.{each.__name__}\n" not in text
    ]
    assert missing == []


def test_the_list_of_operators_is_complete() -> None:
    page = script("operators").on_page_markdown((DOCS / "ops.md").read_text(encoding="utf-8"))
    exported = [name for name, each in publics.items() if getattr(retrograd, name, None) is each]
    missing = [name for name in exported if not name.startswith("_") and f"| `{name}` |" not in page]
    assert missing == []
    assert "| `cumsum` | `CumsumBackward0` | yes | `cumsum_` |" in page
    assert "| `transpose` | `TransposeBackward0` | yes | `transpose_` |" in page


def test_the_pictures_are_current() -> None:
    """Each is drawn anew, from the examples of its page; and none is shown, or lies there, that is not drawn."""
    drawn = script("draw").pictures()
    text = "".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    assert sorted(drawn) == sorted(re.findall(r"images/([\w-]+\.svg)", text))
    assert sorted(drawn) == sorted(path.name for path in (DOCS / "images").iterdir())
    for name, svg in drawn.items():
        kept = (DOCS / "images" / name).read_text(encoding="utf-8")
        assert kept == svg, f"docs/images/{name} is out of date: run `python docs/draw.py`"
