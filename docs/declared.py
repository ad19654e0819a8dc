"""An extension of griffe, which mkdocstrings reads the code with: what the code says in its own way, for readers.

`@op` makes `add(input, other, *, alpha=1, out=None)` of `add(K, self, other, *, alpha=1)` (`retrograd.ops.declare`), so
declarations are shown with the signature of the function that is made of them. The line `Source: ...` of a
docstring, wherever it stands, goes under its summary, and becomes a link if it is one.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_SOURCE = re.compile(r"\n\n+Source: (.+?)(?:\n\n+|\Z)", re.DOTALL)


class DeclaredOperators(griffe.Extension):
    """See the module's text."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        if not any(str(each.value).startswith("op(") for each in func.decorators):
            return
        for parameter in list(func.parameters):
            if parameter.name == "K":
                del func.parameters[parameter.name]
            elif parameter.name == "self":
                parameter.name = "input"
            if str(parameter.annotation).startswith("Array"):
                parameter.annotation = str(parameter.annotation).replace("Array", "Tensor")
        func.returns = "Tensor" if str(func.returns) == "Array" else func.returns
        func.decorators = []

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is None:
            return
        found = _SOURCE.search(obj.docstring.value)
        if found is not None:
            rest = _SOURCE.sub("\n\n", obj.docstring.value, count=1)
            summary, _, body = rest.partition("\n\n")
            source = f"[Source]({found[1]})" if re.fullmatch(r"\S+", found[1]) else f"*Source: {found[1]}*"
            obj.docstring.value = f"{summary}\n\n{source}\n\n{body}".rstrip()
