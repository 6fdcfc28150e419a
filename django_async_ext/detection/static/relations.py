"""The relations of the project's models, in both directions.

Contract: read from the fields as they are written. A foreign key gives an object of
the model it points to, everything else a manager of related objects.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from django_async_ext.detection.static import types
from django_async_ext.detection.static.resolving import Definition, Project, dotted
from django_async_ext.detection.static.sources import text
from django_async_ext.detection.static.values import Class, Instance, Outside, Value

_FIELDS = re.compile(r"\b(?:ForeignKey|OneToOneField|ManyToManyField)\b")
_ONE = "django.db.models.fields.related.OneToOneField"
_FILE_FIELD = "django.db.models.fields.files.FileField"
_FILE = "django.db.models.fields.files.FieldFile"


class _Field(NamedTuple):
    cls: str
    target: str
    related_name: str
    model: str


class Relations:
    """What leads from one model to another."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def field(self, definition: Definition, name: str) -> Value | None:
        """Return what the field ``name`` of an object of ``definition`` gives."""
        node = definition.members.values.get(name)
        if not isinstance(node, ast.Call):
            return None
        cls = self._class_of(node, definition.module)
        if cls and self._project.is_a(cls, _FILE_FIELD):
            return Instance(_FILE)
        found = self._field(node, definition)
        if found is None:
            return None
        if self._project.is_a(found.cls, types.MANY):
            return Instance(types.MANAGER, Instance(found.target))
        return Instance(found.target)

    def reverse(self, model: str, name: str) -> Value | None:
        """Return what leads by ``name`` from ``model`` to what points to it."""
        for each in self._project.lineage(model):
            field = self._reverse.get((each, name))
            if field is not None:
                item = Instance(field.model)
                one = self._project.is_a(field.cls, _ONE)
                return item if one else Instance(types.MANAGER, item)
        return None

    @cached_property
    def _reverse(self) -> dict[tuple[str, str], _Field]:
        return {
            (field.target, field.related_name): field
            for definition in self._definitions()
            for node in definition.members.values.values()
            if isinstance(node, ast.Call)
            and (field := self._field(node, definition)) is not None
        }

    def _definitions(self) -> Iterator[Definition]:
        for source in self._project.sources.values():
            if ".migrations." in source.name or not _FIELDS.search(text(source)):
                continue
            for name, node in self._project.index(source.name).classes.items():
                yield self._project.add(node, source.name, name)

    def _class_of(self, node: ast.Call, module: str) -> str | None:
        name = dotted(node.func)
        found = self._project.in_module(name, module) if name else None
        return found.name if isinstance(found, Outside | Class) else None

    def _field(self, node: ast.Call, definition: Definition) -> _Field | None:
        cls = self._class_of(node, definition.module)
        if not cls or not self._project.is_a(cls, types.FOREIGN_KEY, types.MANY):
            return None
        given = {word.arg: word.value for word in node.keywords}
        target = self._target(
            node.args[0] if node.args else given.get("to"), definition
        )
        lower = definition.name.lower()
        default = lower if self._project.is_a(cls, _ONE) else f"{lower}_set"
        related = given.get("related_name")
        name = related.value if isinstance(related, ast.Constant) else default
        return _Field(cls, target, str(name), definition.dotted) if target else None

    def _target(self, node: ast.expr | None, definition: Definition) -> str | None:
        found: object = None
        match node:
            case ast.Constant(value="self"):
                return definition.dotted
            case ast.Constant(value=str() as label):
                found = self._project.model(label, definition.module)
            case ast.Name() | ast.Attribute():
                name = dotted(node)
                if name.endswith("settings.AUTH_USER_MODEL"):
                    found = self._project.user_model()
                else:
                    found = self._project.in_module(name, definition.module)
        return found.name if isinstance(found, Class | Outside) else None
