"""What decorators make of a function.

Contract: knows those of Python, Django, asgiref and this package. What another one
does is unknown: nothing is said of a function that the project decorates itself.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import NamedTuple

from django_async_ext.detection.static import outside, types
from django_async_ext.detection.static.values import Code, Method, Outside, Value


class Manner(NamedTuple):
    """How a function is called; ``moved`` is to ``"thread"`` or ``"bridge"``."""

    moved: str = ""
    is_property: bool = False
    is_static: bool = False
    of_class: bool = False
    is_implicit: bool = False
    is_allowed: bool = False
    is_atomic: bool = False
    is_decorated: bool = False
    is_opaque: bool = False


_KNOWN: list[tuple[frozenset[str], dict[str, object]]] = [
    (types.THREADS, {"moved": "thread"}),
    (types.BRIDGE, {"moved": "bridge"}),
    (types.PROPERTIES, {"is_property": True}),
    (types.IMPLICIT, {"is_implicit": True}),
    (types.ALLOWING, {"is_allowed": True}),
    (types.ATOMIC, {"is_atomic": True}),
    (types.CONTEXTS, {}),
    (frozenset(["builtins.staticmethod"]), {"is_static": True}),
    (frozenset(["builtins.classmethod"]), {"of_class": True}),
    (frozenset(["functools.lru_cache", "functools.cache", "functools.wraps"]), {}),
]


def manner(code: Code, value: Callable[[ast.expr], Value | None]) -> Manner:
    """Return what the decorators of ``code`` make of it; ``value`` reads them."""
    found = Manner()
    for node in code.node.decorator_list:
        decorator = value(node.func if isinstance(node, ast.Call) else node)
        found = _with(found, decorator)
    return found


def _with(found: Manner, decorator: Value | None) -> Manner:
    if isinstance(decorator, Method):
        return found._replace(is_decorated=True)
    if not isinstance(decorator, Outside):
        return found._replace(is_opaque=True)
    names = {decorator.name, outside.canonical(decorator.name)}
    for known, changes in _KNOWN:
        if known & names:
            return found._replace(**changes)  # type: ignore[arg-type]
    return found._replace(is_decorated=True)
