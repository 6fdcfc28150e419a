"""What an annotation says of a value.

Contract: reads the annotation as written, in a string or not. What may be several
things, ``None`` aside, is unknown.
"""

from __future__ import annotations

import ast

from django_async_ext.detection.static import outside, types
from django_async_ext.detection.static.resolving import Project, dotted
from django_async_ext.detection.static.values import (
    Class,
    Instance,
    Outside,
    Pending,
    Value,
)

_SEVERAL = frozenset(
    f"{module}.{name}"
    for module in ("typing", "collections.abc", "builtins")
    for name in ("list", "List", "Sequence", "Iterable", "Collection", "set", "Set")
)
_AWAITABLE = frozenset(
    f"{module}.{name}"
    for module in ("typing", "collections.abc")
    for name in ("Awaitable", "Coroutine")
)
_WRAPPING = frozenset(
    f"{module}.{name}"
    for module in ("typing", "typing_extensions")
    for name in ("Optional", "Annotated", "Final", "ClassVar")
)


def annotated(project: Project, node: ast.expr, module: str) -> Value | None:
    """Return what ``node`` says, in ``module``."""
    match node:
        case ast.Constant(value=str() as text):
            try:
                inner = ast.parse(text, mode="eval").body
            except SyntaxError:
                return None
            return annotated(project, inner, module)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _one_of(project, [left, right], module)
        case ast.Subscript(value=value, slice=inner):
            return _subscript(project, value, inner, module)
        case ast.Name() | ast.Attribute():
            found = _class(project, node, module)
            return Instance(found) if found else None
    return None


def _one_of(project: Project, nodes: list[ast.expr], module: str) -> Value | None:
    rest = [n for n in nodes if not (isinstance(n, ast.Constant) and n.value is None)]
    return annotated(project, rest[0], module) if len(rest) == 1 else None


def _subscript(
    project: Project, value: ast.expr, inner: ast.expr, module: str
) -> Value | None:
    cls = _class(project, value, module)
    if cls is None:
        return None
    arguments = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    first = annotated(project, arguments[0], module) if arguments else None
    if cls in _WRAPPING:
        return first
    if cls in ("typing.Union",):
        return _one_of(project, arguments, module)
    if cls in _AWAITABLE:
        return Pending(annotated(project, arguments[-1], module))
    if cls in _SEVERAL:
        return Instance(types.LIST, first)
    return Instance(cls, first)


def _class(project: Project, node: ast.expr, module: str) -> str | None:
    name = dotted(node)
    found = project.in_module(name, module) if name else None
    if isinstance(found, Class):
        return found.name
    if isinstance(found, Outside):
        return found.name if outside.is_class(found.name) else None
    return None
