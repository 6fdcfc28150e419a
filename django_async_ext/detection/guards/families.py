"""Guards the methods of backends: of Django's, of others', of those to come.

Contract: data, and ``guard_family()``. A method is guarded where a class of the
family defines it. Classes that keep all in memory are silent, and what is derived
from them, unless a class in between is named as loud.
"""

from __future__ import annotations

from functools import lru_cache, partial
from types import FunctionType
from typing import Any, NamedTuple

from django_async_ext.bridge import in_bridge
from django_async_ext.detection import guards
from django_async_ext.detection.guards import subclasses
from django_async_ext.detection.guards.imports import NotThereError
from django_async_ext.detection.rules import Endpoint

_PACKAGE = "django_async_ext."


class Family(NamedTuple):
    """A base class of backends, with the remedy of each method that blocks.

    ``silent`` and ``loud`` are dotted names of classes. ``inside`` is the remedy inside
    the bridge, where those of this package do not block; without one none does.
    """

    rule: str
    base: str
    remedies: dict[str, str]
    silent: tuple[str, ...] = ()
    loud: tuple[str, ...] = ()
    inside: str = ""

    def endpoint(self, cls: type, name: str) -> Endpoint:
        """Return the endpoint that the method ``name`` of ``cls`` is."""
        dotted = f"{_dotted(cls)}.{name}"
        remedy, inside = self.remedies[name], self.inside or False
        return Endpoint(self.rule, dotted, remedy, self._does_block, inside=inside)

    def _does_block(self, subject: Any) -> bool:
        cls = guards.class_of(subject)
        if _is_silent(cls, self.silent, self.loud):
            return False
        return not (_is_ours(cls) and in_bridge())

    def guard_class(self, told: guards.Told, cls: type) -> None:
        """Guard the methods of ``cls``, those too that it has from a silent class."""
        if _dotted(cls) == self.base or _is_silent(cls, self.silent, self.loud):
            return
        for name in self.remedies:
            owner = next((each for each in cls.__mro__ if name in vars(each)), object)
            if owner is object or _dotted(owner) == self.base:
                continue
            if (function := _function(vars(owner)[name])) is not None:
                endpoint = self.endpoint(owner, name)
                guards.guard_function(function, endpoint, told)


def guard_family(family: Family, told: guards.Told) -> None:
    """Guard the classes of ``family`` that there are or will be."""
    subclasses.watch(family.base, partial(family.guard_class, told))


def _function(found: Any) -> FunctionType | None:
    try:
        return guards.function_of(found)
    except NotThereError:
        return None


@lru_cache(maxsize=1024)
def _is_silent(cls: type, silent: tuple[str, ...], loud: tuple[str, ...]) -> bool:
    for each in cls.__mro__:
        if _dotted(each) in loud:
            return False
        if _dotted(each) in silent:
            return True
    return False


@lru_cache(maxsize=1024)
def _is_ours(cls: type) -> bool:
    return any(_dotted(each).startswith(_PACKAGE) for each in cls.__mro__)


def _dotted(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
