"""Waits for modules that the project may import later, or never.

Contract: nothing is imported here. ``when_there()`` tries at once, and again each
time that one of the modules in a dotted name was imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.machinery import ModuleSpec
from typing import Any

Attempt = Callable[[], bool]

#: By each name of a module that would have to be there first.
_awaited: dict[str, list[_Waiting]] = {}


class NotThereError(Exception):
    """A module is not imported, or what it should have is not in it."""


def when_there(dotted: str, attempt: Attempt) -> bool:
    """Call ``attempt``, now and after imports, until it is true; tell if it is.

    ``dotted`` begins with the name of the module that it needs.
    """
    if attempt():
        return True
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    waiting = _Waiting(attempt)
    for name in _prefixes(dotted):
        _awaited.setdefault(name, []).append(waiting)
    return False


class _Waiting:
    """An attempt that is made until it is true."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt: Attempt | None = attempt

    def try_again(self) -> None:
        if self._attempt is not None and self._attempt():
            self._attempt = None


def found(dotted: str) -> tuple[Any, list[str]]:
    """Return the module that ``dotted`` begins with, and the rest of the name.

    Raises ``NotThereError`` if none of it is imported.
    """
    for name in _prefixes(dotted):
        if (module := sys.modules.get(name)) is not None:
            return module, dotted[len(name) + 1 :].split(".")
    raise NotThereError(dotted)


def _prefixes(dotted: str) -> Iterator[str]:
    while "." in dotted:
        dotted = dotted.rpartition(".")[0]
        yield dotted


def forget() -> None:
    """Wait for nothing more."""
    _awaited.clear()
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


class _Finder:
    """Finds what the finders after it find, and is told when that was imported."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name not in _awaited:
            return None
        for finder in list(sys.meta_path):
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            if (spec := finder.find_spec(name, path, target)) is not None:
                _tell_after(spec)
                return spec
        return None


_finder: Any = _Finder()


def _tell_after(spec: ModuleSpec) -> None:
    loader: Any = spec.loader
    # A class that loads all modules of a kind must stay as it is.
    if isinstance(loader, type) or not hasattr(loader, "exec_module"):
        return
    stock = loader.exec_module

    def exec_module(module: Any) -> None:
        with suppress(AttributeError):
            del loader.exec_module
        stock(module)
        _imported(spec.name)

    with suppress(AttributeError):
        loader.exec_module = exec_module


def _imported(name: str) -> None:
    for each in _awaited.pop(name, []):
        # Still in vain if it is the package of the module that is meant.
        each.try_again()
