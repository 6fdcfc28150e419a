"""What an expression may be, as far as syntax trees tell.

Contract: data only. ``None`` is what nothing is known of, and of that nothing is
reported. Names are dotted. "Outside" is what is not the project's own code.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TypeAlias

from django_async_ext.detection.static.findings import Finding


@dataclass(frozen=True)
class Outside:
    """A module, class, function or object outside of the project."""

    name: str


@dataclass(frozen=True)
class Module:
    """A module of the project."""

    name: str


@dataclass(frozen=True)
class Class:
    """A class of the project."""

    name: str


@dataclass(frozen=True)
class Instance:
    """An object of the class ``cls``, which is the project's or not.

    ``item`` is what it contains or gives: the model object of a queryset. ``via`` is
    the queryset class of a manager, or the alias of a cache. ``loaded`` is what has
    its data and no longer blocks; ``fresh``, a model object without its relations.
    """

    cls: str
    item: Value | None = None
    via: str = ""
    loaded: bool = False
    fresh: bool = False
    parent: bool = False


@dataclass(eq=False)
class Code:
    """A function of the project; ``scope`` is what surrounds a nested
    one, ``plain`` is without its decorators.
    """

    node: ast.FunctionDef | ast.AsyncFunctionDef
    module: str
    path: str
    name: str
    owner: str = ""
    scope: dict[str, Value | None] = field(default_factory=dict)
    plain: bool = False

    @property
    def is_async(self) -> bool:
        """Whether it is a coroutine function, or an asynchronous generator."""
        return isinstance(self.node, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Function:
    """A function of the project, bound to ``owner`` if it is a method."""

    code: Code
    owner: Instance | Class | None = None


@dataclass(frozen=True)
class Method:
    """A method of an object that is defined outside of the project."""

    owner: Instance
    name: str


@dataclass(frozen=True)
class Pending:
    """What can be awaited, and then gives ``result``."""

    result: Value | None = None


@dataclass(frozen=True)
class Generator:
    """What runs, and blocks as ``found`` says, when it is iterated or entered."""

    found: tuple[Finding, ...] = ()
    item: Value | None = None


@dataclass(frozen=True)
class Moved:
    """A function that runs elsewhere, and is awaited: in a thread or the bridge."""

    function: Value | None
    bridge: bool = False


@dataclass(frozen=True)
class Nothing:
    """The constant ``None``."""


Value: TypeAlias = (
    Outside
    | Module
    | Class
    | Instance
    | Function
    | Method
    | Pending
    | Generator
    | Moved
    | Nothing
)
Scope: TypeAlias = dict[str, Value | None]


def either(one: Value | None, other: Value | None) -> Value | None:
    """Return what is known of an expression that is ``one`` or ``other``."""
    if one == other or isinstance(other, Nothing):
        return one
    if isinstance(one, Nothing):
        return other
    if isinstance(one, Instance) and isinstance(other, Instance):
        return _either_instance(one, other)
    return None


def _either_instance(one: Instance, other: Instance) -> Instance | None:
    if (one.cls, one.via) != (other.cls, other.via):
        return None
    return Instance(
        one.cls,
        either(one.item, other.item),
        one.via,
        loaded=one.loaded and other.loaded,
        fresh=one.fresh and other.fresh,
    )
