"""Reads the project from its coroutines on, through the functions that they call.

Contract: each coroutine function is read once. A function that one calls is read with
what it is given, once for the same; recursion ends where it began. Nothing is run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace as changed
from typing import NamedTuple, cast

from django_async_ext.detection.rules import Endpoint
from django_async_ext.detection.static import types
from django_async_ext.detection.static.annotations import annotated
from django_async_ext.detection.static.facts import Facts, facts
from django_async_ext.detection.static.findings import Finding
from django_async_ext.detection.static.known import Table
from django_async_ext.detection.static.manners import Manner, manner
from django_async_ext.detection.static.relations import Relations
from django_async_ext.detection.static.resolving import Definition, Project
from django_async_ext.detection.static.scopes import assignments, bound
from django_async_ext.detection.static.silence import Silence
from django_async_ext.detection.static.sources import Source, text
from django_async_ext.detection.static.values import (
    Code,
    Function,
    Scope,
    Value,
    either,
)
from django_async_ext.detection.static.walking import Walking

#: How many functions deep a call is followed, and with how many kinds of arguments.
DEPTH = 12
KINDS = 16
_ROOT = re.compile(r"\basync\s+def\b|\bon_loop\b")

#: Stands for a module, where there is no function.
_NOWHERE = cast(ast.FunctionDef, ast.parse("def module(): pass").body[0])


class Summary(NamedTuple):
    """What a call of a function does and gives."""

    found: tuple[Finding, ...] = ()
    result: Value | None = None
    yields: bool = False
    item: Value | None = None


_Key = tuple[Code, frozenset[tuple[str, Value | None]], bool]


class Analysis:
    """What is known of the project, while it is read."""

    def __init__(self, sources: dict[str, Source] | None = None) -> None:
        self.project, self.table = Project(sources), Table()
        self.relations, self._silence = Relations(self.project), Silence()
        self._final: dict[_Key, Summary] = {}
        self._met: dict[_Key, Summary] = {}
        self._kinds: dict[Code, int] = {}
        self._depth = 0
        self._values: dict[ast.expr, Value | None] = {}
        self._facts: dict[ast.AST, Facts] = {}
        self._manners: dict[Code, Manner] = {}
        self._plain: dict[Code, Code] = {}
        self._assigned: dict[str, dict[str, list[tuple[Code, ast.expr, bool]]]] = {}
        self._assigning: set[tuple[str, str]] = set()

    # From where it starts.

    def findings(self) -> list[Finding]:
        """Return all that blocks in the coroutines of the project."""
        found = [each for code in self._roots() for each in self._read(code)]
        unique = {(each.place, each.what, each.chain): each for each in found}
        return sorted(unique.values(), key=lambda each: each.place)

    def _roots(self) -> Iterator[Code]:
        for source in self.project.sources.values():
            # Tests wait for nobody but themselves, and have the plugin for pytest.
            if source.is_test or not _ROOT.search(text(source)):
                continue
            index = self.project.index(source.name)
            for node in index.functions.values():
                yield self.project.code(node, source.name)
            for name, cls in index.classes.items():
                yield from self._methods(self.project.add(cls, source.name, name))

    def _methods(self, definition: Definition) -> Iterator[Code]:
        for node in definition.members.functions.values():
            yield self.project.code(node, definition.module, definition)
        for name, cls in definition.members.classes.items():
            inner = f"{definition.name}.{name}"
            yield from self._methods(self.project.add(cls, definition.module, inner))

    def _read(
        self, code: Code, scope: Scope | None = None, *, bridge: bool = False
    ) -> list[Finding]:
        own = self.manner(code)
        on_loop = own.moved == "bridge"
        if not (code.is_async or on_loop or self.facts(code.node).has_coroutines):
            return []
        if own.is_allowed or self._silence.allows(code):
            return []
        if scope is None:
            scope = self.bound(Function(code), [], {})
        bridge |= on_loop or own.is_implicit or self._silence.implicit(code)
        walker = Walking(self, code, scope, bridge=bridge)
        walker.run()
        found = walker.found if code.is_async or on_loop else []
        for nested, inner in walker.nested:
            # The body of a streaming response waits as its view does.
            body = bridge and self.facts(nested.node).yields
            found = found + self._read(nested, inner, bridge=body)
        return found

    # What its functions do.

    def summary(self, code: Code, scope: Scope, *, bridge: bool) -> Summary:
        """Return what ``code`` does when it is called with ``scope``."""
        key = (code, frozenset(scope.items()), bridge)
        known = self._final.get(key) or self._met.get(key)
        if known is not None:
            return known
        if self._depth >= DEPTH:
            return Summary(yields=self.facts(code.node).yields)
        self._met[key] = Summary(yields=self.facts(code.node).yields)
        self._depth += 1
        try:
            found = self._met[key] = self._summary(code, scope, bridge)
        finally:
            self._depth -= 1
        if found.found:
            self._final[key] = found
        if self._depth == 0:
            # What led back to a function that blocks may block too: it is read again.
            if not found.found:
                self._final |= self._met
            self._met.clear()
        return found

    def _summary(self, code: Code, scope: Scope, bridge: bool) -> Summary:
        own = self.manner(code)
        walker = Walking(self, code, scope, bridge=bridge or own.is_implicit)
        if own.is_atomic:
            atomic = self.table.method([types.ATOMIC_BLOCK], "__enter__")
            walker.hit(atomic, "atomic()", code.node, None)
        walker.run()
        silent = own.is_allowed or self._silence.allows(code)
        found = () if silent else tuple(walker.found[:1])
        return Summary(found, walker.result, self.facts(code.node).yields, walker.item)

    def bound(
        self, function: Function, args: list[Value | None], words: Scope
    ) -> Scope:
        """Return what the parameters of ``function`` are."""
        code = function.code
        kinds = self._kinds[code] = self._kinds.get(code, 0) + 1
        if kinds > KINDS:
            args, words = [], {}
        return bound(self.project, function, self.manner(code), args, words)

    def facts(self, node: ast.AST) -> Facts:
        """Return what is to be seen of the function ``node``."""
        if node not in self._facts:
            self._facts[node] = facts(node)
        return self._facts[node]

    def manner(self, code: Code) -> Manner:
        """Return what the decorators of ``code`` make of it."""
        if code.plain:
            return Manner()
        if code not in self._manners:
            self._manners[code] = Manner()
            reader = self._reader(code.module, code.scope)
            self._manners[code] = manner(code, reader.value)
        return self._manners[code]

    def unmoved(self, function: Function) -> Function:
        """Return ``function`` as it is without its decorators."""
        code = function.code
        if code not in self._plain:
            self._plain[code] = changed(code, plain=True)
        return changed(function, code=self._plain[code])

    def blocks(self, endpoint: Endpoint, owner: Value | None, bridge: bool) -> bool:
        """Tell whether ``endpoint`` blocks in this project, for ``owner``."""
        return not self._silence.of(endpoint, owner, self.project, bridge)

    # What its expressions are.

    def _reader(self, module: str, scope: Scope) -> Walking:
        path = self.project.sources[module].path
        reader = Walking(self, Code(_NOWHERE, module, path, "module"), scope)
        reader.run()
        reader.quiet = 1
        return reader

    def evaluate(self, node: ast.expr, module: str) -> Value | None:
        """Return what an expression at the level of ``module`` is."""
        if node not in self._values:
            self._values[node] = None
            self._values[node] = self._reader(module, {}).value(node)
        return self._values[node]

    def member(self, definition: Definition, name: str) -> Value | None:
        """Return what the body of a class assigns to ``name``."""
        return self.evaluate(definition.members.values[name], definition.module)

    def assigned(self, definition: Definition, name: str) -> tuple[bool, Value | None]:
        """Return whether methods assign to ``self.name``, and what."""
        cls = definition.dotted
        if cls not in self._assigned:
            self._assigned[cls] = assignments(self.project, definition)
        places = self._assigned[cls].get(name)
        if places is None or (cls, name) in self._assigning:
            return places is not None, None
        self._assigning.add((cls, name))
        try:
            values = [self._assignment(*place) for place in places]
        finally:
            self._assigning.discard((cls, name))
        found = values[0]
        for each in values[1:]:
            found = either(found, each)
        return True, found

    def _assignment(self, code: Code, node: ast.expr, is_type: bool) -> Value | None:
        if is_type:
            return annotated(self.project, node, code.module)
        scope = bound(self.project, Function(code), Manner(), [], {})
        walker = Walking(self, code, scope)
        walker.quiet, walker.yields = 1, []
        return walker.value(node)
