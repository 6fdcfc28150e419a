"""What a name of the project stands for, through imports and base classes.

Contract: knows names and definitions, not what code does. Follows re-exports within
the project; for what is outside, asks ``outside``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from django.apps import apps
from django.conf import settings

from django_async_ext.detection.static import outside
from django_async_ext.detection.static.sources import Index, Source, index, indexed
from django_async_ext.detection.static.sources import sources as all_sources
from django_async_ext.detection.static.values import (
    Class,
    Code,
    Function,
    Module,
    Outside,
    Value,
)

_FROM_QUERYSET = "from_queryset"


@dataclass(eq=False)
class Definition:
    """A class of the project."""

    node: ast.ClassDef
    module: str
    name: str

    @cached_property
    def members(self) -> Index:
        """What its body defines."""
        return indexed(self.node.body)

    @property
    def dotted(self) -> str:
        """Its whole name."""
        return f"{self.module}.{self.name}"


class Project:
    """The names of the project."""

    def __init__(self, sources: dict[str, Source] | None = None) -> None:
        self.sources = all_sources() if sources is None else sources
        #: What cannot be read, by file.
        self.broken: dict[str, SyntaxError] = {}
        self._indexes: dict[str, Index] = {}
        self._classes: dict[str, Definition] = {}
        self._codes: dict[ast.AST, Code] = {}
        self._linear: dict[str, list[str]] = {}
        self._resolving: set[str] = set()

    def index(self, module: str) -> Index:
        """Return what ``module`` defines; nothing, if it is not Python."""
        if module not in self._indexes:
            source = self.sources[module]
            try:
                self._indexes[module] = index(source)
            except SyntaxError as error:
                self.broken[source.path] = error
                self._indexes[module] = Index()
        return self._indexes[module]

    def resolve(self, name: str) -> Value | ast.expr | None:
        """Return what the dotted ``name`` stands for, or the expression it is.

        An expression belongs to the module that ``home()`` gives.
        """
        found = self._resolved(name)
        return found[0] if found else None

    def home(self, name: str) -> str:
        """Return the module that defines ``name``, of several that pass it on."""
        found = self._resolved(name)
        return found[1] if found else ""

    def _resolved(self, name: str) -> tuple[Value | ast.expr, str] | None:
        if name in self.sources:
            return Module(name), name
        module = name.rpartition(".")[0]
        while module and module not in self.sources:
            module = module.rpartition(".")[0]
        if not module:
            return Outside(name), ""
        if name in self._resolving:
            return None
        self._resolving.add(name)
        try:
            return self._in_module(module, name[len(module) + 1 :])
        finally:
            self._resolving.discard(name)

    def _in_module(self, module: str, rest: str) -> tuple[Value | ast.expr, str] | None:
        first, _, more = rest.partition(".")
        defined = self.index(module)
        if first in defined.classes:
            return self._in_class(module, defined.classes[first], more)
        if first in defined.functions:
            code = self.code(defined.functions[first], module)
            return (Function(code), module) if not more else None
        if first in defined.imports:
            passed_on = ".".join(filter(None, (defined.imports[first], more)))
            return self._resolved(passed_on)
        if first in defined.values:
            return (defined.values[first], module) if not more else None
        for star in defined.stars:
            found = self._resolved(f"{star}.{rest}") if star in self.sources else None
            if found is not None:
                return found
        return None

    def _in_class(
        self, module: str, node: ast.ClassDef, more: str
    ) -> tuple[Value | ast.expr, str] | None:
        definition = Definition(node, module, node.name)
        self._classes.setdefault(definition.dotted, definition)
        for part in filter(None, more.split(".")):
            inner = definition.members.classes.get(part)
            if inner is None:
                return None
            definition = Definition(inner, module, f"{definition.name}.{part}")
            self._classes.setdefault(definition.dotted, definition)
        return Class(definition.dotted), module

    def add(self, node: ast.ClassDef, module: str, name: str) -> Definition:
        """Return the class of ``node``, known from now on."""
        definition = Definition(node, module, name)
        return self._classes.setdefault(definition.dotted, definition)

    def definition(self, cls: str) -> Definition | None:
        """Return the class of that name, if it is the project's."""
        if cls not in self._classes:
            self.resolve(cls)
        return self._classes.get(cls)

    def code(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef,
        module: str,
        owner: Definition | None = None,
    ) -> Code:
        """Return the function of ``node``, one for each."""
        if node not in self._codes:
            name = f"{owner.name}.{node.name}" if owner else node.name
            path = self.sources[module].path
            cls = owner.dotted if owner else ""
            self._codes[node] = Code(node, module, path, name, cls)
        return self._codes[node]

    def lineage(self, cls: str) -> list[str]:
        """Return ``cls`` and its bases, nearest first, whosever they are."""
        if cls not in self._linear:
            self._linear[cls] = [cls]
            self._linear[cls] = list(dict.fromkeys(self._lineage(cls)))
        return self._linear[cls]

    def _lineage(self, cls: str) -> Iterator[str]:
        definition = self.definition(cls)
        if definition is None:
            yield from outside.bases(cls)
            return
        yield cls
        for base in definition.node.bases:
            for name in self._base(base, definition.module):
                yield from self.lineage(name)

    def _base(self, node: ast.expr, module: str) -> Iterator[str]:
        match node:
            case ast.Call(func=ast.Attribute(value=manager, attr=attr), args=args):
                # A manager that has the methods of a queryset: as if it had both bases.
                if attr == _FROM_QUERYSET:
                    for each in (manager, *args[:1]):
                        yield from self._base(each, module)
            case ast.Subscript(value=value):
                yield from self._base(value, module)
            case _:
                name = dotted(node)
                found = self.in_module(name, module) if name else None
                if isinstance(found, Class | Outside):
                    yield found.name
                elif isinstance(found, ast.expr):
                    home = self.home(f"{module}.{name}")
                    if found is not node:
                        yield from self._base(found, home or module)

    def in_module(self, name: str, module: str) -> Value | ast.expr | None:
        """Return what ``name`` stands for in the code of ``module``."""
        first = name.partition(".")[0]
        defined = self.index(module)
        known = (
            first in defined.imports
            or first in defined.classes
            or first in defined.functions
            or first in defined.values
        )
        if known or defined.stars:
            found = self.resolve(f"{module}.{name}")
            if known or found is not None:
                return found
        for star in defined.stars:
            if star not in self.sources and outside.exists(f"{star}.{first}"):
                return Outside(f"{star}.{name}")
        return (
            Outside(f"builtins.{name}") if outside.exists(f"builtins.{first}") else None
        )

    def is_a(self, cls: str, *bases: str) -> bool:
        """Tell whether ``cls`` is one of ``bases`` or derives from one."""
        wanted = {each for base in bases for each in (base, outside.canonical(base))}
        return any(
            each in wanted or outside.canonical(each) in wanted
            for each in self.lineage(cls)
        )

    def model(self, label: str, module: str) -> Value | None:
        """Return the model of a name as foreign keys give it."""
        if "." not in label:
            found = self.in_module(label, module)
            if isinstance(found, Class | Outside):
                return found
            label = f"{self._app_label(module)}.{label}"
        try:
            model = apps.get_model(label)
        except (LookupError, ValueError):
            return self._by_label(label)
        found = self.resolve(f"{model.__module__}.{model.__qualname__}")
        return None if isinstance(found, ast.expr) else found

    def _by_label(self, label: str) -> Value | None:
        app, _, name = label.partition(".")
        for module in (f"{app}.models", f"{app}.models.{name.lower()}"):
            if module in self.sources:
                found = self.resolve(f"{module}.{name}")
                return found if isinstance(found, Class) else None
        return None

    def user_model(self) -> Value | None:
        """Return the model of users."""
        return self.model(settings.AUTH_USER_MODEL, "")

    def _app_label(self, module: str) -> str:
        found = apps.get_containing_app_config(module)
        return found.label if found else ""


def dotted(node: ast.expr) -> str:
    """Return the name that ``node`` spells, ``""`` if it is something else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            start = dotted(value)
            return f"{start}.{attr}" if start else ""
    return ""
