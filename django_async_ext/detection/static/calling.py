"""Reads calls: who is called, whether that blocks, and what it gives.

Contract: a function of the project that blocks is reported where it is called. What is
handed to a thread is not called here, what is handed to the bridge runs on the loop.
"""

from __future__ import annotations

import ast
from dataclasses import replace

from django_async_ext.detection.static import outside, types
from django_async_ext.detection.static.annotations import annotated
from django_async_ext.detection.static.reading import Reading
from django_async_ext.detection.static.values import (
    Class,
    Function,
    Generator,
    Instance,
    Method,
    Moved,
    Outside,
    Pending,
    Value,
)

Arguments = list[Value | None]
Words = dict[str, Value | None]

_INSTANCE = "__class__"


class Calling(Reading):
    """Reads calls in a function."""

    #: What the function has yielded so far.
    yields: list[Value | None]

    def iterate(self, node: ast.expr) -> Value | None:
        """Read ``node`` where it is iterated over; return what an item is."""
        raise NotImplementedError

    def _call(self, node: ast.Call) -> Value | None:
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            return Instance(self.code.owner, parent=True) if self.code.owner else None
        awaited = self.awaited is node
        function = self.value(node.func)
        if isinstance(function, Outside):
            implicit = self._builtin(outside.canonical(function.name), node)
            if implicit is not None:
                return implicit[0]
        args = [self.value(each) for each in node.args]
        words = {word.arg: self.value(word.value) for word in node.keywords}
        named = {name: value for name, value in words.items() if name is not None}
        if isinstance(function, Outside) and function.name.endswith("get_model"):
            return self._model(node)
        if isinstance(function, Outside) and function.name in types.LOADING:
            for each in node.args:
                self.loads(each)
        return self.apply(function, node, args, named, awaited=awaited)

    def call(self, function: Function, node: ast.expr) -> Value | None:
        """Return what ``function`` gives, called without arguments."""
        return self._apply_function(function, node, [], {}, awaited=False)

    def apply(
        self,
        function: Value | None,
        node: ast.expr,
        args: Arguments,
        words: Words,
        *,
        awaited: bool = False,
    ) -> Value | None:
        """Return what a call of ``function`` gives, and report that it blocks."""
        match function:
            case Outside(name):
                return self._apply_outside(name, node, args)
            case Method():
                return self._apply_method(function, node, args)
            case Function():
                return self._apply_function(
                    function, node, args, words, awaited=awaited
                )
            case Class(name):
                return self._construct(name, node, args, words)
            case Moved(moved, bridge):
                return Pending(self._elsewhere(moved, node, args, words, bridge=bridge))
        return None

    def _elsewhere(
        self,
        function: Value | None,
        node: ast.expr,
        args: Arguments,
        words: Words,
        *,
        bridge: bool,
    ) -> Value | None:
        if not bridge:
            with self.quietly():
                return self.apply(function, node, args, words)
        before, self.bridge = self.bridge, True
        try:
            return self.apply(function, node, args, words)
        finally:
            self.bridge = before

    # Python's own functions.

    def _builtin(self, name: str, node: ast.Call) -> tuple[Value | None] | None:
        """Read a call that iterates over its argument; None if it does not."""
        if len(node.args) == 0 or isinstance(node.args[0], ast.Starred):
            return None
        if name in types.CONSUMERS:
            item = self.iterate(node.args[0])
            for each in (*node.args[1:], *(word.value for word in node.keywords)):
                self.value(each)
            single = name.rpartition(".")[2] in ("next", "min", "max")
            return (item if single else Instance(types.LIST, item),)
        if name in types.LAZY:
            before, self.found = self.found, []
            item = [self.iterate(each) for each in node.args][-1]
            found, self.found = tuple(self.found), before
            return (Generator(found, item),)
        if name in types.BY_METHOD:
            return self._by_method(types.BY_METHOD[name], node)
        return None

    def _by_method(self, method: str, node: ast.Call) -> tuple[None]:
        for each in node.args:
            found = self.value(each)
            if isinstance(found, Instance) and self.hit_method(found, method, each):
                self.loads(each)
        return (None,)

    def iterated(self, found: Value | None, node: ast.expr) -> Value | None:
        """Report what iterating over ``found`` blocks; return what an item is."""
        if isinstance(found, Generator):
            for each in found.found:
                self.report(each._replace(place=self.place(node)))
            return found.item
        if not isinstance(found, Instance):
            return None
        if self.is_manager(found):
            return None
        if not self.hit_method(found, "__iter__", node):
            method = self.attribute(found, "__iter__", node)
            if isinstance(method, Function):
                inner = self.call(method, node)
                return self.iterated(inner, node)
        return found.item

    # What is outside of the project.

    def _apply_outside(
        self, name: str, node: ast.expr, args: Arguments
    ) -> Value | None:
        names = {name, outside.canonical(name)}
        first = args[0] if args else None
        if names & (types.THREADS | types.BRIDGE):
            return Moved(first, bridge=bool(names & types.BRIDGE))
        if names & types.TO_THREAD:
            return Pending(self._elsewhere(first, node, args[1:], {}, bridge=False))
        if names & types.PASS_ON:
            return first if isinstance(first, Pending) else Pending()
        self.hit(self.analysis.table.function(name), _spelled(name), node, None)
        return self._given(name, names, first)

    def _given(self, name: str, names: set[str], first: Value | None) -> Value | None:
        last = name.rpartition(".")[2]
        if last == "get_user_model":
            return self.project.user_model()
        if last in ("get_object_or_404", "aget_object_or_404"):
            item = _object_of(first)
            return item if last[0] == "g" else Pending(item)
        for each in names:
            if each in types.RESULTS:
                return Instance(types.RESULTS[each])
        if not outside.is_class(name):
            return None
        item = first.item if isinstance(first, Instance) else None
        return Instance(name, item)

    def _model(self, node: ast.Call) -> Value | None:
        label = ".".join(
            each.value
            for each in node.args
            if isinstance(each, ast.Constant) and isinstance(each.value, str)
        )
        return self.project.model(label, self.code.module) if "." in label else None

    def _apply_method(
        self, method: Method, node: ast.expr, args: Arguments
    ) -> Value | None:
        owner, name = method.owner, method.name
        if name == _INSTANCE:
            return owner
        rows = self.is_queryset(owner) or self.is_manager(owner)
        if not (rows and name == "iterator"):
            self.hit_method(owner, name, node)
        if name == "join" and args and isinstance(node, ast.Call):
            self.iterated(args[0], node.args[0])
        called = node.func if isinstance(node, ast.Call) else None
        if self.project.is_a(owner.cls, types.SESSION) and isinstance(
            called, ast.Attribute
        ):
            self.loads(called.value)
        if rows:
            return self._rows(owner, name, args)
        return self._of_method(owner, name)

    def _of_method(self, owner: Instance, name: str) -> Value | None:
        for cls in self.project.lineage(owner.cls):
            if (result := types.RESULTS.get(f"{cls}.{name}")) is not None:
                return Instance(result)
        if name in types.OF_PATHS and self.project.is_a(owner.cls, types.PATH):
            return Instance(types.PATH)
        is_paginator = self.project.is_a(owner.cls, *types.PAGINATORS)
        if name in ("page", "get_page") and is_paginator:
            return Instance("django.core.paginator.Page", owner.item)
        return None

    def _rows(self, owner: Instance, name: str, args: Arguments) -> Value | None:
        """Return what a method of a queryset or of a manager gives."""
        if name == "as_manager":
            return Instance(types.MANAGER, via=owner.cls)
        if name == "from_queryset":
            via = args[0].name if args and isinstance(args[0], Class) else ""
            return Method(Instance(owner.cls, via=via), _INSTANCE)
        if self.is_manager(owner):
            rows = Instance(owner.via or types.QUERYSET, owner.item)
        else:
            rows = replace(owner, loaded=False, parent=False)
        if name in types.CHAINED or name == "iterator":
            return rows
        if name in types.PLAIN:
            return replace(rows, item=None)
        if name == "raw":
            return Instance(types.RAW_QUERYSET, owner.item)
        item = _several(owner.item) if name.endswith("or_create") else owner.item
        if name in types.SINGLE:
            return item
        return Pending(item if name[1:] in types.SINGLE else None)

    # What is of the project.

    def _construct(
        self, name: str, node: ast.expr, args: Arguments, words: Words
    ) -> Value | None:
        made = Instance(name)
        lineage = self.project.lineage(name)
        for each in lineage:
            definition = self.project.definition(each)
            if definition and "__init__" in definition.members.functions:
                init = self._method(definition, "__init__")
                self._apply_function(
                    Function(init, made), node, args, words, awaited=False
                )
                return made
        endpoint = self.analysis.table.constructor(lineage)
        self.hit(endpoint, f"{name.rpartition('.')[2]}()", node, None)
        return made

    def _apply_function(
        self,
        function: Function,
        node: ast.expr,
        args: Arguments,
        words: Words,
        *,
        awaited: bool,
    ) -> Value | None:
        code, manner = function.code, self.analysis.manner(function.code)
        if manner.moved:
            plain = self.analysis.unmoved(function)
            bridge = manner.moved == "bridge"
            inner = self._elsewhere(plain, node, args, words, bridge=bridge)
            return Pending(inner)
        if manner.is_opaque or (awaited and manner.is_decorated and not code.is_async):
            return Pending() if awaited else None
        scope = self.analysis.bound(function, args, words)
        bridge = self.bridge and not code.is_async
        summary = self.analysis.summary(code, scope, bridge=bridge)
        result = summary.result or self._announced(function)
        if code.is_async:
            return Generator((), summary.item) if summary.yields else Pending(result)
        found = [
            each.called_by(code.name, self.code.name, self.place(node))
            for each in summary.found[:1]
        ]
        if summary.yields:
            return Generator(tuple(found), summary.item)
        for each in found:
            self.report(each)
        return result

    def _announced(self, function: Function) -> Value | None:
        returns = function.code.node.returns
        if returns is None:
            return None
        return annotated(self.project, returns, function.code.module)


def _spelled(name: str) -> str:
    """Return how code calls a function outside of the project."""
    parts = name.split(".")
    short = parts[0] in ("builtins", "django", "django_async_ext")
    return f"{parts[-1] if short else name}()"


def _object_of(value: Value | None) -> Value | None:
    if isinstance(value, Class | Outside):
        return Instance(value.name)
    return value.item if isinstance(value, Instance) else None


def _several(item: Value | None) -> Value | None:
    return Instance("builtins.tuple", item)
