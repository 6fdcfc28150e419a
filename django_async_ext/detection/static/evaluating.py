"""Reads expressions: what each is, and what blocks in it.

Contract: every part of an expression that runs is read once. The body of a lambda does
not run where it stands; a generator runs where it is iterated over.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import cast

from django_async_ext.detection.static import types
from django_async_ext.detection.static.calling import Calling
from django_async_ext.detection.static.findings import Finding
from django_async_ext.detection.static.resolving import dotted
from django_async_ext.detection.static.values import (
    Generator,
    Instance,
    Nothing,
    Pending,
    Scope,
    Value,
    either,
)


class Evaluating(Calling):
    """Reads expressions in a function."""

    def value(self, node: ast.expr) -> Value | None:
        """Return what ``node`` is, and report what blocks in it."""
        reader = getattr(self, f"_{type(node).__name__.lower()}", None)
        if reader is not None:
            return cast(Value | None, reader(node))
        self._parts(node)
        return None

    def _parts(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child)
            elif not isinstance(child, ast.expr_context):
                self._parts(child)

    def _name(self, node: ast.Name) -> Value | None:
        return self.lookup(node.id)

    def _constant(self, node: ast.Constant) -> Value | None:
        if node.value is None:
            return Nothing()
        return Instance("builtins.str") if isinstance(node.value, str) else None

    def _attribute(self, node: ast.Attribute) -> Value | None:
        name = dotted(node)
        if name and name in self.scope:
            return self.scope[name]
        return self.attribute(self.value(node.value), node.attr, node)

    def _lambda(self, node: ast.Lambda) -> Value | None:
        """Say nothing: it runs when it is called."""

    def _await(self, node: ast.Await) -> Value | None:
        self.awaited = node.value
        found = self.value(node.value)
        if isinstance(found, Pending):
            return found.result
        if self.is_queryset(found) and isinstance(found, Instance):
            self.loads(node.value)
            return Instance(types.LIST, found.item)
        return None

    def _namedexpr(self, node: ast.NamedExpr) -> Value | None:
        found = self.value(node.value)
        self.bind(node.target, found)
        return found

    def _ifexp(self, node: ast.IfExp) -> Value | None:
        self.truth(node.test)
        return either(self.value(node.body), self.value(node.orelse))

    def _boolop(self, node: ast.BoolOp) -> Value | None:
        found = [self.truth(each) for each in node.values[:-1]]
        last = self.value(node.values[-1])
        return either(found[0], last) if len(found) == 1 else last

    def _unaryop(self, node: ast.UnaryOp) -> Value | None:
        if isinstance(node.op, ast.Not):
            self.truth(node.operand)
        else:
            self.value(node.operand)
        return None

    def truth(self, node: ast.expr) -> Value | None:
        """Read ``node`` where it is asked whether it is true."""
        return self._implicit(node, "__bool__")

    def _implicit(self, node: ast.expr, method: str) -> Value | None:
        found = self.value(node)
        if isinstance(found, Instance) and self.hit_method(found, method, node):
            self.loads(node)
        return found

    def _compare(self, node: ast.Compare) -> None:
        self.value(node.left)
        for operator, each in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, ast.In | ast.NotIn):
                self._implicit(each, "__contains__")
            else:
                self.value(each)

    def _formattedvalue(self, node: ast.FormattedValue) -> None:
        self._implicit(node.value, "__repr__")
        if node.format_spec is not None:
            self.value(node.format_spec)

    def _binop(self, node: ast.BinOp) -> Value | None:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(left, Instance) and isinstance(node.op, ast.Div):
            return left if self.project.is_a(left.cls, types.PATH) else None
        both = self.is_queryset(left) and self.is_queryset(right)
        return left if both and isinstance(node.op, ast.BitOr | ast.BitAnd) else None

    def _subscript(self, node: ast.Subscript) -> Value | None:
        owner = self.value(node.value)
        self.value(node.slice)
        if not isinstance(owner, Instance):
            return None
        if owner.cls in types.ITEMS:
            alias = node.slice.value if isinstance(node.slice, ast.Constant) else ""
            return Instance(types.ITEMS[owner.cls], via=str(alias))
        if isinstance(node.slice, ast.Slice) and node.slice.step is None:
            return owner
        write = isinstance(node.ctx, ast.Store | ast.Del)
        if self.hit_method(owner, "__setitem__" if write else "__getitem__", node):
            self.loads(node.value)
        return owner.item

    def _starred(self, node: ast.Starred) -> Value | None:
        return self.iterate(node.value)

    def _yieldfrom(self, node: ast.YieldFrom) -> Value | None:
        self.yields.append(self.iterate(node.value))
        return None

    def _yield(self, node: ast.Yield) -> Value | None:
        self.yields.append(self.value(node.value) if node.value else None)
        return None

    def _list(self, node: ast.List) -> Value | None:
        items = [self.value(each) for each in node.elts]
        same = items and all(each == items[0] for each in items)
        return Instance(types.LIST, items[0] if same else None)

    # What iterates.

    def iterate(self, node: ast.expr) -> Value | None:
        """Read ``node`` where it is iterated over; return what an item is."""
        found = self.value(node)
        item = self.iterated(found, node)
        if self.is_queryset(found):
            self.loads(node)
        return item

    def _comprehension(self, node: ast.expr, *results: ast.expr) -> Value | None:
        outer = dict(self.scope)
        for clause in getattr(node, "generators", []):
            if clause.is_async:
                self.bind(clause.target, self.awaiting(clause.iter))
            else:
                self.bind(clause.target, self.iterate(clause.iter))
            for test in clause.ifs:
                self.truth(test)
        found = [self.value(each) for each in results]
        loaded: Scope = {
            name: value
            for name, value in self.scope.items()
            if name in outer and isinstance(value, Instance) and value.loaded
        }
        self.scope = outer | loaded
        return found[-1]

    def awaiting(self, node: ast.expr) -> Value | None:
        """Read ``node`` where ``async for`` iterates; return what an item is."""
        found = self.value(node)
        self.loads(node)
        if isinstance(found, Generator | Instance):
            return found.item
        return None

    def _listcomp(self, node: ast.ListComp) -> Value | None:
        return Instance(types.LIST, self._comprehension(node, node.elt))

    def _setcomp(self, node: ast.SetComp) -> Value | None:
        return Instance(types.LIST, self._comprehension(node, node.elt))

    def _dictcomp(self, node: ast.DictComp) -> Value | None:
        self._comprehension(node, node.key, node.value)
        return None

    def _generatorexp(self, node: ast.GeneratorExp) -> Value | None:
        item, found = self.postponed(lambda: self._comprehension(node, node.elt))
        return Generator(found, item)

    def postponed(
        self, read: Callable[[], Value | None]
    ) -> tuple[Value | None, tuple[Finding, ...]]:
        """Return what ``read`` gives and finds, without reporting it now."""
        before, self.found = self.found, []
        try:
            return read(), tuple(self.found)
        finally:
            self.found = before

    # What binds.

    def bind(self, target: ast.expr, value: Value | None) -> None:
        """Let ``target`` be ``value`` from here on."""
        match target:
            case ast.Name(id=name):
                self._forget(name)
                self.scope[name] = value
            case ast.Tuple(elts=elts) | ast.List(elts=elts):
                item = value.item if isinstance(value, Instance) else None
                for each in elts:
                    self.bind(each, item)
            case ast.Starred(value=inner):
                self.bind(inner, None)
            case ast.Attribute(value=owner):
                self.value(owner)
                self._set_attribute(target, value)
            case ast.Subscript():
                self.value(target)

    def _set_attribute(self, target: ast.Attribute, value: Value | None) -> None:
        name = dotted(target)
        if name:
            self._forget(name)
            self.scope[name] = value
        if target.attr == "object_list":
            # A page that is given its rows does not query for them.
            self.loads(target.value)

    def _forget(self, name: str) -> None:
        for each in [n for n in self.scope if n.startswith(f"{name}.")]:
            del self.scope[each]
