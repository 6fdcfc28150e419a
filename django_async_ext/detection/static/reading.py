"""Looks names and attributes up, where code is read: what they are, if that is clear.

Contract: the base of ``evaluating`` and ``walking``. A lookup may itself be a finding:
``request.user``, or a property of the project that blocks.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from django_async_ext.detection.rules import Endpoint
from django_async_ext.detection.static import outside, types
from django_async_ext.detection.static.annotations import annotated
from django_async_ext.detection.static.findings import Finding, Location
from django_async_ext.detection.static.resolving import Definition, dotted
from django_async_ext.detection.static.values import (
    Class,
    Code,
    Function,
    Instance,
    Method,
    Module,
    Outside,
    Scope,
    Value,
)

if TYPE_CHECKING:
    from django_async_ext.detection.static.analysis import Analysis

_MANAGERS = ("objects", "_default_manager", "_base_manager")
_WITH_TIMEOUT = ("locks", "threads", "subprocess")
_WORDS = {
    "__bool__": "the truth of a {}",
    "__contains__": "in with a {}",
    "__enter__": "entering of {}",
    "__getitem__": "indexing of a {}",
    "__iter__": "iterating over a {}",
    "__len__": "len() of a {}",
    "__repr__": "the text of a {}",
    "__setitem__": "setting a key of a {}",
}


class Reading:
    """Where code is read: a function, what its names are, and what was found."""

    def __init__(
        self, analysis: Analysis, code: Code, scope: Scope, *, bridge: bool = False
    ) -> None:
        self.analysis, self.project = analysis, analysis.project
        self.code, self.scope, self.bridge = code, dict(scope), bridge
        self.found: list[Finding] = []
        self.quiet = 0
        self.awaited: ast.expr | None = None
        self._stored = set(analysis.facts(code.node).stored)

    # What is found.

    def report(self, finding: Finding) -> None:
        """Keep ``finding``, unless the code may block."""
        if not self.quiet and finding not in self.found:
            self.found.append(finding)

    def hit(
        self, endpoint: Endpoint | None, what: str, node: ast.AST, owner: Value | None
    ) -> bool:
        """Report that ``endpoint`` blocks here, if it does; tell whether it does."""
        if endpoint is None or not self.analysis.blocks(endpoint, owner, self.bridge):
            return False
        self.report(
            Finding(
                endpoint.rule,
                what,
                endpoint.remedy,
                self.place(node),
                self.code.name,
            )
        )
        return True

    def hit_method(self, owner: Instance, name: str, node: ast.AST) -> bool:
        """Report that the method ``name`` of ``owner`` blocks, if it does."""
        lineage = self.project.lineage(owner.cls)[owner.parent :]
        endpoint = self.analysis.table.method(lineage, name)
        if endpoint is None and self.is_manager(owner):
            endpoint = self.analysis.table.method([types.QUERYSET], name)
        if endpoint is None or (owner.loaded and name not in _ALWAYS):
            return False
        if endpoint.rule in _WITH_TIMEOUT and _waits_not(node):
            return False
        cls = endpoint.short.rpartition(".")[0] or owner.cls.rpartition(".")[2]
        called = cls if owner.cls == types.LAZY_USER else f"{cls}.{name}()"
        what = _WORDS[name].format(cls) if name in _WORDS else called
        return self.hit(endpoint, what, node, owner)

    def place(self, node: ast.AST) -> Location:
        """Return the line of ``node``; of a long call that of its name."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return Location(self.code.path, node.func.end_lineno or node.lineno)
        return Location(self.code.path, getattr(node, "lineno", 1))

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Read what does not run here, or may block."""
        self.quiet += 1
        try:
            yield
        finally:
            self.quiet -= 1

    def loads(self, node: ast.expr) -> None:
        """Note that what ``node`` names has its data from now on."""
        name = dotted(node)
        value = self.scope.get(name) if name else None
        if name and value is None and "." in name:
            value = self._known_path(node)
        if name and isinstance(value, Instance):
            self.scope[name] = replace(value, loaded=True)

    def _known_path(self, node: ast.expr) -> Value | None:
        with self.quietly():
            return self.value(node)

    def value(self, node: ast.expr) -> Value | None:
        """Return what ``node`` is, and report what blocks in it."""
        raise NotImplementedError

    def call(self, function: Function, node: ast.expr) -> Value | None:
        """Return what ``function`` gives, called without arguments."""
        raise NotImplementedError

    # What names are.

    def lookup(self, name: str) -> Value | None:
        """Return what ``name`` is here."""
        for scope in (self.scope, self.code.scope):
            if name in scope:
                return scope[name]
        if name in self._stored:
            return None
        found = self.project.in_module(name, self.code.module)
        if isinstance(found, ast.expr):
            return self.named(f"{self.code.module}.{name}")
        return self._object(found)

    def named(self, name: str) -> Value | None:
        """Return what the dotted ``name`` of the project is."""
        found = self.project.resolve(name)
        if isinstance(found, ast.expr):
            return self.analysis.evaluate(found, self.project.home(name))
        return self._object(found)

    def _object(self, found: Value | None) -> Value | None:
        if isinstance(found, Outside) and found.name in types.OBJECTS:
            cls, via = types.OBJECTS[found.name]
            return Instance(cls, via=via)
        return found

    # What attributes are.

    def attribute(self, owner: Value | None, name: str, node: ast.expr) -> Value | None:
        """Return what the attribute ``name`` of ``owner`` is."""
        match owner:
            case Module(module):
                return self.named(f"{module}.{name}")
            case Outside(start):
                return self._of_outside(start, name)
            case Class(cls):
                return self._of_class(cls, name)
            case Instance():
                return self._of_instance(owner, name, node)
        return None

    def _of_outside(self, start: str, name: str) -> Value | None:
        full = f"{start}.{name}"
        if name in _MANAGERS and self.project.is_a(start, types.MODEL):
            manager = outside.attribute_class(start, name) or types.MANAGER
            return Instance(manager, Instance(start))
        if start.rpartition(".")[2][:1].isupper() and outside.is_class(start):
            return Method(Instance(start), name)
        return self._object(Outside(full))

    def _of_class(self, cls: str, name: str) -> Value | None:
        for each in self.project.lineage(cls):
            definition = self.project.definition(each)
            if definition is None:
                continue
            members = definition.members
            if name in members.functions:
                code = self._method(definition, name)
                return Function(code, Class(cls))
            if name in members.classes:
                inner = f"{definition.name}.{name}"
                node = members.classes[name]
                return Class(self.project.add(node, definition.module, inner).dotted)
            if name in members.values:
                value = self.analysis.member(definition, name)
                return self._bound(value, cls)
        if name in _MANAGERS and self.project.is_a(cls, types.MODEL):
            users = self.project.is_a(cls, types.USER_BASE)
            manager = types.USER_MANAGER if users else types.MANAGER
            return Instance(manager, Instance(cls))
        return Method(Instance(cls), name)

    def _bound(self, value: Value | None, cls: str) -> Value | None:
        if isinstance(value, Instance) and self.is_manager(value):
            return replace(value, item=Instance(cls))
        return value

    def _method(self, definition: Definition, name: str) -> Code:
        node = definition.members.functions[name]
        return self.project.code(node, definition.module, definition)

    def is_manager(self, owner: Instance) -> bool:
        """Tell whether it is a manager of models."""
        return self.project.is_a(owner.cls, types.BASE_MANAGER)

    def is_queryset(self, owner: Value | None) -> bool:
        """Tell whether it is a queryset."""
        return isinstance(owner, Instance) and self.project.is_a(
            owner.cls, types.QUERYSET
        )

    def _of_instance(self, owner: Instance, name: str, node: ast.expr) -> Value | None:
        lineage = self.project.lineage(owner.cls)[owner.parent :]
        if owner.via and self.is_manager(owner):
            lineage = [*lineage, *self.project.lineage(owner.via)]
        for each in lineage:
            definition = self.project.definition(each)
            if definition is not None:
                found, value = self._of_definition(definition, owner, name, node)
                if found:
                    return value
        return self._of_known(owner, name, node)

    def _of_definition(
        self, definition: Definition, owner: Instance, name: str, node: ast.expr
    ) -> tuple[bool, Value | None]:
        members = definition.members
        if name in members.functions:
            function = Function(self._method(definition, name), owner)
            if self.analysis.manner(function.code).is_property:
                return True, self.call(function, node)
            return True, function
        relation = self.analysis.relations.field(definition, name)
        if relation is not None:
            return True, relation
        if name in members.values:
            return True, self.analysis.member(definition, name)
        if name in members.annotated:
            home = definition.module
            return True, annotated(self.project, members.annotated[name], home)
        return self.analysis.assigned(definition, name)

    def _of_known(self, owner: Instance, name: str, node: ast.expr) -> Value | None:
        is_a = self.project.is_a
        if name in ("user", "session") and is_a(owner.cls, types.REQUEST):
            if name == "session":
                return Instance(types.SESSION)
            user = Instance(types.LAZY_USER)
            if not self.quiet and self.hit_method(user, "__load__", node):
                self.loads(node)
            return user
        if name == "request" and is_a(owner.cls, types.VIEW):
            return Instance(types.REQUEST)
        if name in types.OF_PATHS and is_a(owner.cls, types.PATH):
            return Method(owner, name) if name != "parent" else Instance(types.PATH)
        if is_a(owner.cls, types.MODEL):
            relation = self.analysis.relations.reverse(owner.cls, name)
            if relation is not None:
                return relation
        return Method(owner, name)


#: What blocks even when the data was loaded before: it writes.
_ALWAYS = {
    *("save", "flush", "create", "cycle_key", "delete", "exists", "load"),
}


def _waits_not(node: ast.AST) -> bool:
    """Tell whether a call says that it does not wait: ``get(block=False)``."""
    if not isinstance(node, ast.Call):
        return False
    words = ("block", "blocking", "timeout")
    given = [word.value for word in node.keywords if word.arg in words]
    return any(
        isinstance(each, ast.Constant) and each.value is not None and not each.value
        for each in (*node.args[:1], *given)
    )
