"""What the parameters of a function are, and what its methods assign to ``self``.

Contract: arguments come first, then annotations; a parameter named ``request`` that
says nothing of itself is a request.
"""

from __future__ import annotations

import ast

from django_async_ext.detection.static import types
from django_async_ext.detection.static.annotations import annotated
from django_async_ext.detection.static.manners import Manner
from django_async_ext.detection.static.resolving import Definition, Project
from django_async_ext.detection.static.values import (
    Class,
    Code,
    Function,
    Instance,
    Scope,
    Value,
)


def bound(
    project: Project,
    function: Function,
    manner: Manner,
    args: list[Value | None],
    words: Scope,
) -> Scope:
    """Return what the parameters of ``function`` are."""
    code = function.code
    parameters = [*code.node.args.posonlyargs, *code.node.args.args]
    given = [*_first(function, manner), *args]
    scope: Scope = {}
    for n, parameter in enumerate(parameters):
        scope[parameter.arg] = given[n] if n < len(given) else None
    for parameter in (*parameters, *code.node.args.kwonlyargs):
        value = scope.get(parameter.arg) or words.get(parameter.arg)
        scope[parameter.arg] = value or _stated(project, parameter, code.module)
    for rest in (code.node.args.vararg, code.node.args.kwarg):
        if rest is not None:
            scope[rest.arg] = None
    return scope


def _first(function: Function, manner: Manner) -> list[Value | None]:
    cls = function.code.owner
    if not cls or manner.is_static:
        return []
    if manner.of_class:
        owner = function.owner
        return [
            Class(owner.cls) if isinstance(owner, Instance) else owner or Class(cls)
        ]
    # A method that is read from its class is given its object as an argument.
    return (
        [] if isinstance(function.owner, Class) else [function.owner or Instance(cls)]
    )


def _stated(project: Project, parameter: ast.arg, module: str) -> Value | None:
    if parameter.annotation is not None:
        return annotated(project, parameter.annotation, module)
    return Instance(types.REQUEST) if parameter.arg == "request" else None


def assignments(
    project: Project, definition: Definition
) -> dict[str, list[tuple[Code, ast.expr, bool]]]:
    """Return where methods assign to ``self``: an expression, or a type."""
    found: dict[str, list[tuple[Code, ast.expr, bool]]] = {}
    for node in definition.members.functions.values():
        code = project.code(node, definition.module, definition)
        parameters = [*node.args.posonlyargs, *node.args.args]
        name = parameters[0].arg if parameters else ""
        for each in ast.walk(node):
            match each:
                case ast.Assign(
                    targets=[ast.Attribute(value=ast.Name(id=owner), attr=attr)],
                    value=value,
                ) if owner == name:
                    found.setdefault(attr, []).append((code, value, False))
                case ast.AnnAssign(
                    target=ast.Attribute(value=ast.Name(id=owner), attr=attr)
                ) if owner == name:
                    found.setdefault(attr, []).append((code, each.annotation, True))
    return found
