"""Every example in a docstring, in docs/, in the README and in CONTRIBUTING.md runs and prints what it shows.

pytest's own `--doctest-modules` would import `core/` under that name, beside `retrograd`; here each module is
imported as a user does.
"""

import doctest
import importlib
import importlib.util
import pkgutil
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

ROOT = Path(__file__).parent.parent
# An editable install maps each of these names to a folder of its own, so each is walked.
PACKAGES = ("retrograd", "retrograd.backends", "retrograd.distributed")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Modules whose import needs a library that may be absent.
NEEDS = {"retrograd.backends.jax": "jax"}


def modules_below(folder: Path, package: str) -> Iterator[str]:
    """The names of all modules in a package's folder, found without importing any."""
    for module in pkgutil.iter_modules([str(folder)], f"{package}."):
        yield module.name
        if module.ispkg:
            yield from modules_below(folder / module.name.rpartition(".")[2], module.name)


def module_names() -> list[str]:
    found = set(PACKAGES)
    for package in PACKAGES:
        for folder in importlib.import_module(package).__path__:
            found.update(modules_below(Path(folder), package))
    return sorted(name for name in found if not name.endswith(".__main__"))


def skip_if_library_is_absent(name: str) -> None:
    for prefix, library in NEEDS.items():
        if f"{name}.".startswith(f"{prefix}.") and importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")


_format_exception_only = traceback.format_exception_only


def _without_notes(kind: type[BaseException], error: BaseException) -> list[str]:
    """As doctest shows an exception. Python 3.11's compares the last line alone, which may be a note's."""
    error.__notes__ = []
    return _format_exception_only(kind, error)


def run(test: doctest.DocTest) -> None:
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    with mock.patch.object(traceback, "format_exception_only", _without_notes):
        failed = runner.run(test, out=report.append).failed
    if failed:
        pytest.fail("".join(report), pytrace=False)


@pytest.mark.parametrize("name", module_names())
def test_docstrings(name: str) -> None:
    skip_if_library_is_absent(name)
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        run(test)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages(page: Path) -> None:
    # A closing fence would read as expected output: blank the fences, which keeps the line numbers.
    text = re.sub(r"^\s*(```|~~~).*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    run(doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0))
