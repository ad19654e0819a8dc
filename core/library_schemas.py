"""What operators of programs' own take and give, as PyTorch writes it: ``(Tensor x, float a=2.0) -> Tensor``."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from retrograd.device import device
from retrograd.dtypes import dtype
from retrograd.tensor import Tensor

__all__ = ["declaration", "infer_schema", "parsed", "written"]

_TYPES: dict[Any, str] = {
    Tensor: "Tensor", int: "SymInt", float: "float", bool: "bool", str: "str", dtype: "ScalarType", device: "Device",
}  # fmt: skip


def infer_schema(
    prototype_function: Callable[..., Any], /, *, mutates_args: str | Iterable[str], op_name: str | None = None
) -> str:
    """What a function takes and gives, by its annotations.

    Raises
    ------
    ValueError
        If they say too little.

    Source: https://docs.pytorch.org/docs/stable/library.html#torch.library.infer_schema

    Examples
    --------
    >>> import retrograd
    >>> def scaled(x: retrograd.Tensor, a: float = 2.0) -> retrograd.Tensor: ...
    >>> retrograd.library.infer_schema(scaled, mutates_args=())
    '(Tensor x, float a=2.0) -> Tensor'
    """
    signature = inspect.signature(prototype_function, eval_str=True)

    def fail(what: str) -> ValueError:
        return ValueError(f"infer_schema(func): {what} Got func with signature {signature})")

    parts, names_only = [], False
    for name, each in signature.parameters.items():
        if each.kind is each.KEYWORD_ONLY and not names_only:
            parts.append("*")
            names_only = True
        if each.annotation is each.empty:
            raise fail(f"Parameter {name} must have a type annotation.")
        kind = _type_name(each.annotation)
        if kind is None:
            raise fail(f"Parameter {name} has unsupported type {each.annotation}.")
        if name in mutates_args or mutates_args == "unknown":
            kind = kind.replace("Tensor", f"Tensor(a{len(parts)}!)", 1) if "Tensor" in kind else kind
        parts.append(f"{kind} {name}" + ("" if each.default is each.empty else f"={_shown(each.default)}"))
    return f"{op_name or ''}({', '.join(parts)}) -> {_result(signature.return_annotation, fail)}"


def _type_name(annotation: Any) -> str | None:
    if annotation in _TYPES:
        return _TYPES[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        kinds = [each for each in arguments if each is not NoneType]
        if set(kinds) == {int, float, bool} or set(kinds) == {int, float}:
            inner: str | None = "Scalar"
        else:
            inner = _type_name(kinds[0]) if len(kinds) == 1 else None
        return inner and inner + ("?" if NoneType in arguments else "")
    if origin in (list, Sequence):
        inner = _type_name(arguments[0])
        return inner and f"{inner}[]"
    return None


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).rpartition(".")[2] if isinstance(value, dtype) else str(value)


def _result(annotation: Any, fail: Callable[[str], ValueError]) -> str:
    if annotation is inspect.Signature.empty:
        raise fail("No return type annotation was provided. Please add one.")
    if annotation in (None, NoneType):
        return "()"
    if get_origin(annotation) is tuple:
        return f"({', '.join(_result(each, fail) for each in get_args(annotation))})"
    kind = _type_name(annotation)
    if kind is None:
        raise fail(f"Return has unsupported type {annotation}.")
    return kind


def parsed(schema: str) -> inspect.Signature:
    """The parameters of a schema, with what is used for those that are not given.

    Examples
    --------
    >>> from retrograd.library_schemas import parsed
    >>> str(parsed("(Tensor(a!) x, int[2] n=[1, 2], *, str? mode=None) -> (Tensor, Tensor)"))
    '(x, n=[1, 2], *, mode=None)'
    """
    inside = schema[schema.index("(") + 1 : schema.rindex("->")].rstrip().removesuffix(")")
    parameters: list[inspect.Parameter] = []
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
    for part in _parts(inside):
        if part == "*":
            kind = inspect.Parameter.KEYWORD_ONLY
            continue
        text, equals, default = part.partition("=")
        value = _value(default.strip()) if equals else inspect.Parameter.empty
        parameters.append(inspect.Parameter(text.split()[-1], kind, default=value))
    return inspect.Signature(parameters)


def written(schema: str) -> list[bool]:
    """Of each parameter, whether it is written to."""
    inside = schema[schema.index("(") + 1 : schema.rindex("->")].rstrip().removesuffix(")")
    return ["!" in each for each in _parts(inside) if each != "*"]


def _parts(text: str) -> list[str]:
    """What stands between commas outside of brackets."""
    found, depth, begin = [], 0, 0
    for i, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            found.append(text[begin:i])
            begin = i + 1
    return [each.strip() for each in (*found, text[begin:]) if each.strip()]


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        import retrograd

        return getattr(retrograd, text, text)


def declaration(name: str, signature: inspect.Signature, schema: str) -> str:
    """A schema as errors show it."""
    inside = schema[schema.index("(") + 1 : schema.rindex("->")].rstrip().removesuffix(")")
    shown = []
    for part in _parts(inside):
        text, equals, default = part.partition("=")
        value = _value(default.strip()) if equals else None
        number = isinstance(value, float) and value == int(value)
        shown.append(f"{text}={int(value)}." if number else part)  # type: ignore[arg-type]  # it is a float
    return f"{name}({', '.join(shown)}) -> {schema[schema.rindex('->') + 2 :].strip()}"
