"""Reads statements in the order in which they run.

Contract: what is known after a branch is what both ways agree on. A loop is read
once. A nested coroutine function is read where it is defined, a nested function
where it is called.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from contextlib import ExitStack

from django_async_ext.detection.static import types
from django_async_ext.detection.static.annotations import annotated
from django_async_ext.detection.static.evaluating import Evaluating
from django_async_ext.detection.static.sources import imports
from django_async_ext.detection.static.values import (
    Code,
    Function,
    Generator,
    Instance,
    Outside,
    Pending,
    Scope,
    Value,
    either,
)

_ENDS = ast.Return | ast.Raise | ast.Continue | ast.Break


class Walking(Evaluating):
    """Reads the body of a function."""

    def run(self) -> None:
        """Read all of it; what it returns and yields is known afterwards."""
        self.returns: list[Value | None] = []
        self.yields = []
        self.nested: list[tuple[Code, Scope]] = []
        self._block(self.code.node.body)

    @property
    def result(self) -> Value | None:
        """What the function gives."""
        return _joined(self.returns)

    @property
    def item(self) -> Value | None:
        """What the function yields."""
        return _joined(self.yields)

    def _block(self, statements: list[ast.stmt]) -> None:
        for each in statements:
            reader: Callable[[ast.stmt], None] | None
            reader = getattr(self, f"_{type(each).__name__.lower()}", None)
            if reader:
                reader(each)
            else:
                self._parts(each)

    def _functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for each in (*node.decorator_list, *node.args.defaults):
            self.value(each)
        name = f"{self.code.name}.{node.name}"
        scope = self.code.scope | self.scope
        code = Code(node, self.code.module, self.code.path, name, scope=scope)
        self.scope[node.name] = Function(code)
        # So that it knows itself, and is one for all of its calls.
        code.scope[node.name] = Function(code)
        if code.is_async:
            self.nested.append((code, self.analysis.bound(Function(code), [], {})))

    _asyncfunctiondef = _functiondef

    def _classdef(self, node: ast.ClassDef) -> None:
        self.scope[node.name] = None

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        source = self.project.sources[self.code.module]
        for name, origin in imports(node, source.package).items():
            self.scope[name] = self.named(origin)

    _importfrom = _import

    def _return(self, node: ast.Return) -> None:
        self.returns.append(self.value(node.value) if node.value else None)

    def _assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            if isinstance(target, ast.Tuple | ast.List) and self.is_queryset(value):
                self.iterated(value, node.value)
            self.bind(target, value)

    def _annassign(self, node: ast.AnnAssign) -> None:
        value = self.value(node.value) if node.value else None
        stated = annotated(self.project, node.annotation, self.code.module)
        self.bind(node.target, value or stated)

    def _augassign(self, node: ast.AugAssign) -> None:
        self.value(node.value)
        if not isinstance(node.target, ast.Name):
            self.value(node.target)

    def _if(self, node: ast.If) -> None:
        self.truth(node.test)
        self._ways(node.body, node.orelse)

    def _while(self, node: ast.While) -> None:
        self.truth(node.test)
        self._ways(node.body, [])
        self._block(node.orelse)

    def _assert(self, node: ast.Assert) -> None:
        self.truth(node.test)

    def _for(self, node: ast.For) -> None:
        item = self.iterate(node.iter)
        self._loop(node, item)

    def _asyncfor(self, node: ast.AsyncFor) -> None:
        self._loop(node, self.awaiting(node.iter))

    def _loop(self, node: ast.For | ast.AsyncFor, item: Value | None) -> None:
        before = dict(self.scope)
        self.bind(node.target, item)
        self._block(node.body)
        self.scope = _merged(before, self.scope)
        self._block(node.orelse)

    def _try(self, node: ast.Try) -> None:
        self._block(node.body)
        for handler in node.handlers:
            self._ways(handler.body, [])
        self._block(node.orelse)
        self._block(node.finalbody)

    _trystar = _try

    def _match(self, node: ast.Match) -> None:
        self.value(node.subject)
        for case in node.cases:
            if case.guard is not None:
                self.truth(case.guard)
            self._ways(case.body, [])

    def _ways(self, *ways: list[ast.stmt]) -> None:
        before, after = self.scope, []
        for statements in ways:
            self.scope = dict(before)
            self._block(statements)
            if not (statements and isinstance(statements[-1], _ENDS)):
                after.append(self.scope)
        self.scope = before if not after else after[0]
        for other in after[1:]:
            self.scope = _merged(self.scope, other)

    def _with(self, node: ast.With) -> None:
        with ExitStack() as stack:
            for item in node.items:
                call = item.context_expr
                entered = self._entered(call, stack)
                if item.optional_vars is not None:
                    self.bind(item.optional_vars, entered)
            self._block(node.body)

    def _entered(self, node: ast.expr, stack: ExitStack) -> Value | None:
        value = self.value(node)
        if isinstance(value, Generator):
            for each in value.found:
                self.report(each)
            return value.item
        if not isinstance(value, Instance):
            return None
        if value.cls in types.ALLOWING:
            stack.enter_context(self.quietly())
            return None
        method = self.attribute(value, "__enter__", node)
        if isinstance(method, Function):
            return self.call(method, node)
        if not self.hit_method(value, "__enter__", node):
            self.hit_method(value, "__exit__", node)
        return value

    def _asyncwith(self, node: ast.AsyncWith) -> None:
        for item in node.items:
            value = self.value(item.context_expr)
            if isinstance(value, Pending):
                value = value.result
            if item.optional_vars is not None:
                known = value if isinstance(value, Instance) else None
                self.bind(item.optional_vars, known)
        self._block(node.body)

    def _global(self, node: ast.Global) -> None:
        for name in node.names:
            self._stored.discard(name)

    def _nonlocal(self, node: ast.Nonlocal) -> None:
        for name in node.names:
            self._stored.discard(name)


def _merged(one: Scope, other: Scope) -> Scope:
    return {name: either(one.get(name), other.get(name)) for name in one | other}


def _joined(values: list[Value | None]) -> Value | None:
    if not values:
        return None
    found = values[0]
    for each in values[1:]:
        found = either(found, each)
    return found


__all__ = ["Outside", "Walking"]
