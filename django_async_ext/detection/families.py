"""Guards the methods of backends: of Django's, of others', of those to come.

Contract: data, and ``guard_family()``. A method is guarded where a class of the
family defines it. Classes that keep all in memory are silent, and what is derived
from them, unless a class in between is named as loud.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from types import FunctionType
from typing import Any, NamedTuple

from django_async_ext.detection import guards, subclasses
from django_async_ext.detection.imports import NotThereError
from django_async_ext.detection.rules import Endpoint


class Family(NamedTuple):
    """A base class of backends, with the remedy of each method that blocks.

    ``silent`` and ``loud`` are dotted names of classes. ``blocks``, given the
    instance, has the last word on one that is loud.
    """

    rule: str
    base: str
    remedies: dict[str, str]
    silent: tuple[str, ...] = ()
    loud: tuple[str, ...] = ()
    blocks: Callable[[Any], bool] | None = None

    def endpoint(self, cls: type, name: str) -> Endpoint:
        """Return the endpoint that the method ``name`` of ``cls`` is."""
        dotted = f"{_dotted(cls)}.{name}"
        return Endpoint(self.rule, dotted, self.remedies[name], self._does_block)

    def _does_block(self, subject: Any) -> bool:
        if _is_silent(guards.class_of(subject), self.silent, self.loud):
            return False
        return self.blocks is None or self.blocks(subject)

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


def _dotted(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
