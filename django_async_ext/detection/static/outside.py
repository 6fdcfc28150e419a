"""Names of what is not the project's: what they stand for, and their base classes.

Contract: looks at modules that are loaded, and imports only Django's and Python's
own. What is not found is called by the name that the project uses.
"""

from __future__ import annotations

import inspect
import sys
from functools import cache
from importlib import import_module
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from django.core.exceptions import ImproperlyConfigured

#: Of Python's own modules, those in which something blocks.
_OF_PYTHON = {
    *("asyncio", "builtins", "concurrent", "contextlib", "ftplib", "functools", "io"),
    *("http", "multiprocessing", "os", "pathlib", "queue", "select", "shutil"),
    *("smtplib", "socket", "sqlite3", "subprocess", "threading", "time", "urllib"),
}
_IMPORTED = {"django", "django_async_ext"}
_MISSING = object()


@cache
def canonical(name: str) -> str:
    """Return where ``name`` is defined: ``django.db.models.base.Model``."""
    found = find(name)
    if isinstance(found, type | FunctionType | BuiltinFunctionType):
        module = getattr(found, "__module__", None)
        return f"{module}.{found.__qualname__}" if module else name
    if isinstance(found, ModuleType):
        return found.__name__
    return name


@cache
def bases(name: str) -> tuple[str, ...]:
    """Return the names of the class ``name`` and of its bases, nearest first."""
    found = find(name)
    if not isinstance(found, type):
        return (name,) if canonical(name) == name else (name, canonical(name))
    names = [name] + [
        f"{each.__module__}.{each.__qualname__}" for each in found.__mro__
    ]
    return tuple(dict.fromkeys(each for each in names if each != "builtins.object"))


def is_class(name: str) -> bool:
    """Tell whether it is a class; what is unknown goes by its capital letter."""
    found = find(name)
    if found is _MISSING:
        return name.rpartition(".")[2][:1].isupper()
    return isinstance(found, type)


def attribute_class(name: str, attribute: str) -> str | None:
    """Return the name of the class of an object that a class outside has."""
    found = getattr(find(name), attribute, None)
    if found is None or isinstance(found, type | FunctionType | property):
        return None
    return f"{type(found).__module__}.{type(found).__qualname__}"


def forget() -> None:
    """Look again: more may be loaded by now."""
    for each in (canonical, bases, find):
        each.cache_clear()


@cache
def find(name: str) -> Any:
    """Return the object, if its module is loaded or may be."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        module = _module(".".join(parts[:end]))
        if module is not None:
            return _attributes(module, parts[end:])
    return _MISSING


def _attributes(found: Any, names: list[str]) -> Any:
    for name in names:
        found = _attribute(found, name)
        if found is _MISSING:
            return _MISSING
    return found


def _attribute(found: Any, name: str) -> Any:
    if isinstance(found, ModuleType):
        # Only a module of these may be asked for what it resolves on first use.
        lazy = found.__name__.partition(".")[0] in _IMPORTED
        return (
            getattr(found, name, _MISSING) if lazy else vars(found).get(name, _MISSING)
        )
    if not isinstance(found, type):
        return _MISSING
    value = inspect.getattr_static(found, name, _MISSING)
    return value.__func__ if isinstance(value, classmethod | staticmethod) else value


def _module(name: str) -> Any:
    if name in sys.modules:
        return sys.modules[name]
    first = name.partition(".")[0]
    if first not in _IMPORTED and first not in _OF_PYTHON:
        return None
    try:
        return import_module(name)
    except (ImportError, RuntimeError, ImproperlyConfigured):
        return None


def exists(name: str) -> bool:
    """Tell whether there is such an object in a module that is loaded."""
    return find(name) is not _MISSING
