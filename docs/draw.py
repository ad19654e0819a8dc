"""Draws the pictures of docs/images: `python docs/draw.py`. tests/test_docs.py checks that they are current.

A page says what a picture shows, in a comment before it. It is drawn when the examples above it have run:

    <!-- drawn: viz.graph(loss, {"w": w}) -->
    ![The graph of the loss](images/loss.svg)
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import warnings
from pathlib import Path
from typing import Any

from retrograd.utils import viz

DOCS = Path(__file__).parent
IMAGES = DOCS / "images"
_DRAWN = re.compile(r"<!-- drawn: (.*?) -->\n!\[[^\]]+\]\((?:\.\./)*images/([\w-]+\.svg)\)", re.DOTALL)


def pictures() -> dict[str, str]:
    """The SVG of each picture, by the name of its file."""
    drawn: dict[str, str] = {}
    for page in sorted(DOCS.rglob("*.md")):
        text, start = page.read_text(encoding="utf-8"), 0
        scope: dict[str, Any] = {"viz": viz}
        for found in _DRAWN.finditer(text):
            _run(text[start : found.start()], page.name, scope)
            assert found[2] not in drawn, f"{found[2]} is drawn twice"
            drawn[found[2]] = eval(found[1], scope).svg()
            start = found.end()
    return drawn


def _run(text: str, name: str, scope: dict[str, Any]) -> None:
    """Run the examples in a part of a page. tests/test_doctests.py looks at what they print."""
    text = re.sub(r"^```.*$", "", text, flags=re.MULTILINE)
    for example in doctest.DocTestParser().get_examples(text, name):
        raises = contextlib.suppress(Exception) if example.exc_msg else contextlib.nullcontext()
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), raises:
            warnings.simplefilter("ignore")
            exec(compile(example.source, name, "single"), scope)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for name, svg in pictures().items():
        (IMAGES / name).write_text(svg, encoding="utf-8")
