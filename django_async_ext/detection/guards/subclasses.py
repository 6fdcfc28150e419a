"""Sees each subclass of a class, those too that are defined later.

Contract: ``watch()`` imports nothing, and changes nothing but that the class tells of
its new subclasses until ``forget()``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django_async_ext.detection.guards import imports

OfClass = Callable[[type], None]

_watched: list[type] = []


def watch(dotted: str, of_class: OfClass) -> None:
    """Call ``of_class`` with the class ``dotted`` and with each of its subclasses."""
    imports.when_there(dotted, partial(_watch, dotted, of_class))


def _watch(dotted: str, of_class: OfClass) -> bool:
    try:
        module, path = imports.found(dotted)
    except imports.NotThereError:
        return False
    base = vars(module).get(path[0])
    if len(path) > 1 or base is None:
        return False
    for cls in _all_below(base):
        of_class(cls)
    _tell_of_new(base, of_class)
    return True


def _all_below(cls: type) -> list[type]:
    found = [cls]
    each: type
    for each in type.__subclasses__(cls):
        found += _all_below(each)
    return found


def _tell_of_new(base: Any, of_class: OfClass) -> None:
    if "__init_subclass__" in vars(base):
        return

    def init_subclass(cls: type, /, **options: Any) -> None:
        super(base, cls).__init_subclass__(**options)
        of_class(cls)

    base.__init_subclass__ = classmethod(init_subclass)
    _watched.append(base)


def forget() -> None:
    """Watch no class any more."""
    while _watched:
        del _watched.pop().__init_subclass__
